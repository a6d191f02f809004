/*
** replay.c - runs a plan's steps on a model of the machine and finds hazards.
**
** The model holds no numbers, only which rows of which entries each buffer holds. Rows come
** in ascending order, so an interval says it; all heads of a layer are appended together,
** and all heads of a group are copied together, so a layer's or a group's state is enough.
** What the runtime does by itself is modelled as it stands there: the ring's cursor, the
** copy stream's order, and the stores a copy from the host store waits for. The change from
** prefill to decode drains both streams; the change back does not wait for stores.
*/
#include "replay.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROWS "rows [%lld, %lld)"

typedef long long ll;

/* What the device and the host store hold of one layer, the same for all its heads. */
typedef struct layer_rows {
    int64_t stored;           /* rows [0, stored) are in the host store or on their way */
    int64_t kept;             /* rows [0, kept) were appended to the kept tiles they fall in */
    int64_t tail_lo, tail_hi; /* rows in 'tails' */
} layer_rows;

/* What the decode-only frames hold of one group. */
typedef struct frame_rows {
    int64_t lo, hi;
    bool settled;
} frame_rows;

typedef struct slot_rows {
    int group, tile;
    int64_t hi;    /* rows [tile * T, hi) */
    bool for_next; /* fetched for the pass after this one */
    bool awaited, read;
} slot_rows;

typedef struct machine {
    const hi_spec *s;
    const hi_plan *p;
    hi_error *e;
    int *group_at;     /* (layers, kv_heads) the group that starts there, or -1 */
    layer_rows *layer; /* (layers) */
    frame_rows *frame; /* (n_groups) */
    bool *closed;      /* (per_layer) the current layer's closed groups */
    int per_layer;     /* groups of a layer; they stand together in group_of */

    hi_phase phase;
    int64_t len;  /* tokens in the context before the pass */
    bool storing; /* a store may still read 'window' or 'tails' */

    int64_t n, a; /* the pass: rows [len, len + n); rows [0, a) are whole splits */
    int tiles;
    bool scored;
    int x_layer;       /* 'x' is the input of this layer; -1: garbage */
    int qkv_layer;     /* 'qkv' and the appended rows are this layer's; -1: none */
    int window_layer;  /* 'window' holds this layer's rows [a, len + n); -1: garbage */
    int open;          /* the group in 'carry', or -1 */
    bool touched;      /* attention over the open group has begun */
    int64_t carry_end; /* keys [0, carry_end) are in 'carry' */
    int n_closed;      /* KV heads closed in the current layer */

    slot_rows ring[MAX_SLOTS];
    int64_t issued, released;  /* fetches; the ring's slot is their number mod slots */
    bool ahead;                /* the cursor walks the next pass's groups */
    int next_group, next_tile; /* the cursor; next_tile -1: the group's first streamed tile */

    const char *where;
    const hi_step *list; /* (n_list) */
    int n_list, at;
    int loop; /* the each_tile around 'at', or -1 */
    int t;
} machine;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t split_floor(int64_t rows)
{
    return rows / KEY_SPLIT * KEY_SPLIT;
}

/* The first row behind tile t where rows [0, end) exist. */
static int64_t tile_end(const machine *m, int t, int64_t end)
{
    return least((t + (int64_t)1) * m->p->tile, end);
}

__attribute__((format(printf, 2, 3))) static int hazard(machine *m, const char *fmt, ...)
{
    char why[384], step[128] = "end of the list", tile[32] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (m->at < m->n_list)
        step_text(m->p, &m->list[m->at], step, sizeof step);
    if (m->loop >= 0)
        snprintf(tile, sizeof tile, ", t = %d", m->t);
    return gen_fail(m->e, "%s step %d: %s: %s (pass of " ROWS "%s)", m->where, m->at, step, why,
                    (ll)m->len, (ll)(m->len + m->n), tile);
}

/* The group a step's arguments "layer head n" name, or -1 with the error written. */
static int named_group(machine *m, const hi_step *st)
{
    int g = m->group_at[st->arg[0] * m->s->kv_heads + st->arg[1]];
    if (g >= 0 && m->p->group_of[g].n == st->arg[2])
        return g;
    hazard(m, "layer %d has no group of heads %d to %d", st->arg[0], st->arg[1],
           st->arg[1] + st->arg[2] - 1);
    return -1;
}

/* ---- the ring ---- */

static void ring_reset(machine *m)
{
    m->issued = m->released = 0;
    m->ahead = false;
    m->next_group = 0;
    m->next_tile = -1;
}

static slot_rows *ring_slot(machine *m)
{
    return &m->ring[m->released % m->p->slots];
}

/* Moves the cursor to a tile it may fetch: of the next pass only groups of layers below
   'limit', whose rows of this pass have been stored. */
static bool cursor_find(machine *m, int limit)
{
    for (;;) {
        if (m->next_group == m->p->n_groups) {
            if (m->ahead)
                return false;
            m->ahead = true;
            m->next_group = 0;
            m->next_tile = -1;
        }
        const hi_group *g = &m->p->group_of[m->next_group];
        if (m->ahead && g->layer >= limit)
            return false;
        int64_t a = m->ahead ? split_floor(m->len + m->n) : m->a;
        if (m->next_tile < 0)
            m->next_tile = g->resident[m->phase];
        if (m->next_tile * m->p->tile < a)
            return true;
        m->next_group++;
        m->next_tile = -1;
    }
}

/* Issues fetches while there is room. */
static int ring_fill(machine *m, int limit)
{
    while (m->issued - m->released < m->p->slots && cursor_find(m, limit)) {
        const hi_group *g = &m->p->group_of[m->next_group];
        int64_t a = m->ahead ? split_floor(m->len + m->n) : m->a;
        int64_t hi = tile_end(m, m->next_tile, a);
        int64_t stored = m->layer[g->layer].stored;
        if (hi > stored)
            return hazard(m, "fetches layer %d heads %d+%d up to row %lld, the store has %lld",
                          g->layer, g->head, g->n, (ll)hi, (ll)stored);
        m->ring[m->issued++ % m->p->slots] = (slot_rows){
            .group = m->next_group,
            .tile = m->next_tile,
            .hi = hi,
            .for_next = m->ahead,
        };
        m->next_tile++;
    }
    return 0;
}

/* ---- one function per kind of step; 0 or -1 ---- */

static int do_embed(machine *m, const hi_step *st)
{
    (void)st;
    if (m->list == m->p->enter || m->at != 0)
        return hazard(m, "begins a pass, so it is the first step");
    m->x_layer = 0;
    return ring_fill(m, -1);
}

static int do_await_store(machine *m, const hi_step *st)
{
    (void)st;
    if (!m->p->offload)
        return hazard(m, "this plan has no host store");
    m->storing = false;
    return 0;
}

/* Rows go to the window and the tails; the window begins with rows that the tails hold. */
static int append_rows(machine *m, int l)
{
    layer_rows *y = &m->layer[l];
    int64_t end = m->len + m->n;
    if (m->storing)
        return hazard(m, "overwrites rows that a store may still read");
    if (m->phase == DECODE) {
        y->tail_lo = most(y->tail_hi == m->len ? y->tail_lo : m->len, end - 2 * KEY_SPLIT);
        y->tail_hi = end;
        return 0;
    }
    if (m->a < m->len && (y->tail_lo > m->a || y->tail_hi < m->len))
        return hazard(m, "needs " ROWS " of 'tails', which has " ROWS, (ll)m->a, (ll)m->len,
                      (ll)y->tail_lo, (ll)y->tail_hi);
    m->window_layer = l;
    y->tail_lo = split_floor(end);
    y->tail_hi = end;
    return 0;
}

/* In decode, a row may fall in a frame, which then must reach up to it. */
static void append_frames(machine *m, int l)
{
    for (int g = l * m->per_layer; g < (l + 1) * m->per_layer; g++) {
        const hi_group *gr = &m->p->group_of[g];
        frame_rows *f = &m->frame[g];
        int64_t lo = gr->resident[PREFILL] * m->p->tile, hi = gr->resident[DECODE] * m->p->tile;
        if (m->len < lo || m->len >= hi)
            continue;
        if (f->lo == f->hi || f->hi != m->len)
            f->lo = m->len;
        f->hi = m->len + m->n;
    }
}

static int do_norm_qkv(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    if (m->x_layer != l)
        return hazard(m, "'x' is not the input of layer %d (it is of %d)", l, m->x_layer);
    if (m->qkv_layer == l)
        return hazard(m, "the rows of layer %d were appended already", l);
    if (m->p->offload && append_rows(m, l) != 0)
        return -1;
    if (m->layer[l].kept == m->len)
        m->layer[l].kept = m->len + m->n;
    if (m->phase == DECODE)
        append_frames(m, l);
    m->qkv_layer = l;
    m->n_closed = 0;
    memset(m->closed, 0, (size_t)m->per_layer * sizeof *m->closed);
    return 0;
}

/* Are the rows from the last whole split on in the window or the tails? */
static bool newest_in_place(const machine *m, int l)
{
    const layer_rows *y = &m->layer[l];
    if (m->phase == PREFILL)
        return m->window_layer == l;
    return y->tail_lo <= m->a && y->tail_hi == m->len + m->n;
}

static int do_store(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    if (!m->p->offload)
        return hazard(m, "this plan has no host store");
    if (m->qkv_layer != l || !newest_in_place(m, l))
        return hazard(m, "the rows of layer %d are not on the device", l);
    if (m->layer[l].stored != m->len)
        return hazard(m, "the store has rows [0, %lld) already", (ll)m->layer[l].stored);
    m->layer[l].stored = m->len + m->n;
    m->storing = true;
    return 0;
}

static int do_open_heads(machine *m, const hi_step *st)
{
    int g = named_group(m, st);
    if (g < 0)
        return -1;
    if (m->open >= 0)
        return hazard(m, "'carry' is in use");
    if (m->qkv_layer != st->arg[0])
        return hazard(m, "'qkv' is not of layer %d", st->arg[0]);
    if (m->closed[g % m->per_layer])
        return hazard(m, "these heads are closed already");
    m->open = g;
    m->touched = false;
    m->carry_end = 0;
    return 0;
}

/* The open group, if the step names it, or -1 with the error written. */
static int open_group(machine *m, const hi_step *st)
{
    int g = named_group(m, st);
    if (g >= 0 && g != m->open) {
        hazard(m, "these heads are not open");
        return -1;
    }
    return g;
}

/* Adds keys [lo, hi) to 'carry'. */
static int add_keys(machine *m, int64_t lo, int64_t hi)
{
    if (m->carry_end != lo)
        return hazard(m, "keys [%lld, %lld) follow keys [0, %lld)", (ll)lo, (ll)hi,
                      (ll)m->carry_end);
    m->carry_end = hi;
    m->touched = true;
    return 0;
}

static int do_attend_resident(machine *m, const hi_step *st)
{
    int g = open_group(m, st);
    if (g < 0)
        return -1;
    const hi_group *gr = &m->p->group_of[g];
    if (st->arg[3] != gr->resident[m->phase])
        return hazard(m, "the group has %d tiles on the device", gr->resident[m->phase]);
    if (m->touched)
        return hazard(m, "attention over these heads has begun already");
    int64_t end = least(st->arg[3] * m->p->tile, m->p->offload ? m->a : m->len + m->n);
    int64_t kept = least(end, gr->resident[PREFILL] * m->p->tile);
    int64_t has = m->layer[gr->layer].kept;
    if (has < kept)
        return hazard(m, "'kept' has rows [0, %lld), needs %lld", (ll)has, (ll)kept);
    if (kept < end && (m->frame[g].lo > kept || m->frame[g].hi < end))
        return hazard(m, "'frames' has " ROWS ", needs " ROWS, (ll)m->frame[g].lo,
                      (ll)m->frame[g].hi, (ll)kept, (ll)end);
    return add_keys(m, 0, end);
}

static int do_each_tile(machine *m, const hi_step *st)
{
    if (!m->p->offload)
        return hazard(m, "nothing is streamed in this plan");
    if (m->loop >= 0)
        return hazard(m, "a loop over tiles inside another");
    if (m->open < 0)
        return hazard(m, "no heads are open");
    if (st->arg[0] != m->p->group_of[m->open].resident[m->phase])
        return hazard(m, "the group has %d tiles on the device",
                      m->p->group_of[m->open].resident[m->phase]);
    int end = m->at + 1;
    while (end < m->n_list && m->list[end].kind != STEP_end_tiles)
        end++;
    if (end == m->n_list)
        return hazard(m, "the loop has no end");
    m->t = st->arg[0];
    if (m->t < m->tiles)
        m->loop = m->at;
    else
        m->at = end;
    return 0;
}

static int do_end_tiles(machine *m, const hi_step *st)
{
    (void)st;
    if (m->loop < 0)
        return hazard(m, "ends no loop");
    if (++m->t < m->tiles)
        m->at = m->loop;
    else
        m->loop = -1;
    return 0;
}

/* The filled current slot, or NULL with the error written. */
static slot_rows *current_slot(machine *m)
{
    if (m->loop < 0)
        hazard(m, "is outside a loop over tiles");
    else if (m->issued == m->released)
        hazard(m, "no copy into the slot was started");
    else
        return ring_slot(m);
    return NULL;
}

static int do_await(machine *m, const hi_step *st)
{
    (void)st;
    slot_rows *k = current_slot(m);
    if (k == NULL)
        return -1;
    k->awaited = true;
    return 0;
}

static int do_attend(machine *m, const hi_step *st)
{
    slot_rows *k = current_slot(m);
    int g = k == NULL ? -1 : open_group(m, st);
    if (g < 0)
        return -1;
    if (!k->awaited)
        return hazard(m, "the slot is read before its copy has ended");
    int64_t hi = tile_end(m, m->t, m->a);
    if (k->for_next || k->group != g || k->tile != m->t || k->hi < hi) {
        const hi_group *h = &m->p->group_of[k->group];
        return hazard(m, "the slot holds tile %d of layer %d heads %d+%d up to row %lld%s", k->tile,
                      h->layer, h->head, h->n, (ll)k->hi, k->for_next ? ", for the next pass" : "");
    }
    k->read = true;
    return add_keys(m, m->t * m->p->tile, hi);
}

static int do_refill(machine *m, const hi_step *st)
{
    slot_rows *k = current_slot(m);
    if (k == NULL)
        return -1;
    if (!k->read)
        return hazard(m, "the slot is released before it is read");
    if (k->group != st->arg[1])
        return hazard(m, "the slot is of group %d", k->group);
    m->released++;
    return ring_fill(m, m->p->group_of[st->arg[1]].layer);
}

static int do_attend_newest(machine *m, const hi_step *st)
{
    if (!m->p->offload)
        return hazard(m, "this plan has no 'window' and no 'tails'");
    if (open_group(m, st) < 0)
        return -1;
    if (!newest_in_place(m, st->arg[0]))
        return hazard(m, ROWS " of layer %d are not on the device", (ll)m->a, (ll)(m->len + m->n),
                      st->arg[0]);
    return add_keys(m, m->a, m->len + m->n);
}

static int do_close_heads(machine *m, const hi_step *st)
{
    int g = open_group(m, st);
    if (g < 0)
        return -1;
    if (m->carry_end != m->len + m->n)
        return hazard(m, "'carry' has keys [0, %lld) of %lld", (ll)m->carry_end,
                      (ll)(m->len + m->n));
    m->closed[g % m->per_layer] = true;
    m->n_closed += st->arg[2];
    m->open = -1;
    return 0;
}

static int do_out_mlp(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    if (m->x_layer != l || m->qkv_layer != l)
        return hazard(m, "'x' and 'o' are not of layer %d", l);
    if (m->n_closed != m->s->kv_heads)
        return hazard(m, "'o' has %d of %d KV heads", m->n_closed, m->s->kv_heads);
    m->x_layer = l + 1;
    m->qkv_layer = -1;
    return 0;
}

static int do_logits(machine *m, const hi_step *st)
{
    (void)st;
    if (m->x_layer != m->s->layers)
        return hazard(m, "'x' is the input of layer %d of %d", m->x_layer, m->s->layers);
    if (m->scored)
        return hazard(m, "scores of this pass exist already");
    m->scored = true;
    return 0;
}

static int do_settle(machine *m, const hi_step *st)
{
    int g = named_group(m, st);
    if (g < 0)
        return -1;
    if (m->list != m->p->enter)
        return hazard(m, "belongs into the change from prefill to decode");
    const hi_group *gr = &m->p->group_of[g];
    if (st->arg[3] != gr->resident[PREFILL] || st->arg[4] != gr->resident[DECODE])
        return hazard(m, "the group's frames are tiles [%d, %d)", gr->resident[PREFILL],
                      gr->resident[DECODE]);
    if (!m->p->offload || m->frame[g].settled)
        return hazard(m, "these frames are not to be filled");
    m->frame[g].settled = true;
    m->frame[g].lo = least(st->arg[3] * m->p->tile, m->layer[gr->layer].stored);
    m->frame[g].hi = least(st->arg[4] * m->p->tile, m->layer[gr->layer].stored);
    return 0;
}

static int (*const run_step[N_STEPS])(machine *m, const hi_step *st) = {
#define S(name, args, what) do_##name,
#include "steps.def"
#undef S
};

static int run_list(machine *m, const char *where, const hi_step *list, int n)
{
    m->where = where;
    m->list = list;
    m->n_list = n;
    m->loop = -1;
    for (m->at = 0; m->at < n; m->at++)
        if (run_step[list[m->at].kind](m, &list[m->at]) != 0)
            return -1;
    return m->loop >= 0 ? hazard(m, "the loop has no end") : 0;
}

/* ---- passes ---- */

/* Everything a pass owes the next one. */
static int pass_end(machine *m)
{
    if (!m->scored)
        return hazard(m, "no scores");
    for (int l = 0; m->p->offload && l < m->s->layers; l++)
        if (m->layer[l].stored != m->len + m->n)
            return hazard(m, "layer %d was not stored", l);
    for (int64_t i = m->released; i < m->issued; i++)
        if (!m->ring[i % m->p->slots].for_next)
            return hazard(m, "the ring still holds tiles of this pass");
    if (m->p->offload && cursor_find(m, -1))
        return hazard(m, "tile %d of group %d was not fetched", m->next_tile, m->next_group);
    return 0;
}

static int pass_run(machine *m, int64_t n)
{
    int64_t T = m->p->tile;
    m->n = n;
    m->a = split_floor(m->len);
    m->tiles = (int)((m->a + T - 1) / T);
    m->scored = false;
    m->x_layer = m->qkv_layer = m->window_layer = m->open = -1;
    if (run_list(m, m->phase == PREFILL ? "prefill" : "decode", m->p->steps[m->phase],
                 m->p->n_steps[m->phase]) != 0 ||
        pass_end(m) != 0)
        return -1;
    for (int64_t i = m->released; i < m->issued; i++)
        m->ring[i % m->p->slots].for_next = false;
    m->ahead = false;
    m->len += n;
    return 0;
}

/* A change of phase: buffers are placed anew, what the ring fetched ahead is dropped. */
static void phase_begin(machine *m, hi_phase phase)
{
    m->phase = phase;
    m->n = 0;
    m->x_layer = m->qkv_layer = m->window_layer = m->open = -1;
    ring_reset(m);
    memset(m->frame, 0, (size_t)m->p->n_groups * sizeof *m->frame);
}

static int decode_begin(machine *m)
{
    phase_begin(m, DECODE);
    m->storing = false;
    if (run_list(m, "enter", m->p->enter, m->p->n_enter) != 0)
        return -1;
    for (int g = 0; g < m->p->n_groups; g++) {
        const hi_group *gr = &m->p->group_of[g];
        if (gr->resident[DECODE] > gr->resident[PREFILL] && !m->frame[g].settled)
            return hazard(m, "the frames of layer %d heads %d+%d are not filled", gr->layer,
                          gr->head, gr->n);
    }
    return 0;
}

/* Prefills up to row 'end' in chunks. */
static int prefill_to(machine *m, int64_t end)
{
    int rc = 0;
    while (rc == 0 && m->len < end)
        rc = pass_run(m, least(end - m->len, m->p->rows[PREFILL]));
    return rc;
}

/* Decodes n tokens, fewer where the context ends. */
static int decode_some(machine *m, int n)
{
    if (m->len == m->p->ctx)
        return 0;
    if (decode_begin(m) != 0)
        return -1;
    for (; n > 0 && m->len < m->p->ctx; n--)
        if (pass_run(m, 1) != 0)
            return -1;
    return 0;
}

/* The state as if passes had brought the context to 'len' tokens; next comes a prefill. What
   the last pass left under way may still be. */
static void jump(machine *m, int64_t len)
{
    phase_begin(m, PREFILL);
    m->len = len;
    m->storing = m->storing && len > 0;
    for (int l = 0; l < m->s->layers; l++)
        m->layer[l] = (layer_rows){ len, len, split_floor(len), len };
}

/* ---- scenarios ---- */

/* Chunks and a short one up to just before 'mark', tokens across it, a chat turn, tokens. */
static int cross_in_decode(machine *m, int64_t start, int64_t mark)
{
    jump(m, start);
    if (prefill_to(m, most(most(start, mark - 2), 1)) != 0 || decode_some(m, 4) != 0)
        return -1;
    phase_begin(m, PREFILL);
    if (prefill_to(m, least(m->len + m->p->rows[PREFILL] + 3, m->p->ctx)) != 0)
        return -1;
    return decode_some(m, 2);
}

/* A chunk from row 'start' on, a short one, tokens: a mark inside a chunk. */
static int cross_in_prefill(machine *m, int64_t start)
{
    jump(m, start);
    if (prefill_to(m, least(start + m->p->rows[PREFILL] + 1, m->p->ctx)) != 0)
        return -1;
    return decode_some(m, 2);
}

static int cross(machine *m, int64_t mark)
{
    if (mark < 1 || mark > m->p->ctx)
        return 0;
    int64_t before = most(0, mark - m->p->rows[PREFILL] - KEY_SPLIT / 2 - 3);
    if (cross_in_decode(m, before, mark) != 0 || cross_in_prefill(m, most(0, mark - 5)) != 0)
        return -1;
    return mark < m->p->ctx ? 0 : cross_in_prefill(m, mark - 1);
}

/* Where resident tiles end: the fewest and the most of any group, and inside them. */
static int cross_resident(machine *m, hi_phase phase)
{
    int lo = m->p->tiles, hi = 0;
    for (int g = 0; g < m->p->n_groups; g++) {
        int n = m->p->group_of[g].resident[phase];
        lo = n < lo ? n : lo;
        hi = n > hi ? n : hi;
    }
    if (cross(m, lo * m->p->tile) != 0)
        return -1;
    return hi > lo ? cross(m, hi * m->p->tile) : 0;
}

static int run_scenarios(machine *m)
{
    int64_t chunk = m->p->rows[PREFILL], ctx = m->p->ctx;
    if (cross_in_decode(m, 0, least(ctx, 2 * chunk + KEY_SPLIT / 2 + 7)) != 0)
        return -1;
    if (cross(m, KEY_SPLIT) != 0 || cross(m, m->p->tile) != 0)
        return -1;
    if (m->p->offload && (cross_resident(m, PREFILL) != 0 || cross_resident(m, DECODE) != 0))
        return -1;
    if (cross(m, split_floor(ctx - 1)) != 0 || cross(m, ctx) != 0)
        return -1;
    jump(m, 0);
    return decode_some(m, 2);
}

int replay_plan(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    hi_arena *a = arena_new();
    machine *m = a == NULL ? NULL : arena_alloc(a, sizeof *m);
    size_t n = (size_t)p->n_groups, entries = (size_t)s->layers * (size_t)s->kv_heads;
    if (m != NULL) {
        *m = (machine){ .s = s, .p = p, .e = e, .per_layer = s->kv_heads / p->group };
        m->group_at = arena_alloc(a, entries * sizeof *m->group_at);
        m->layer = arena_alloc(a, (size_t)s->layers * sizeof *m->layer);
        m->frame = arena_alloc(a, n * sizeof *m->frame);
        m->closed = arena_alloc(a, n * sizeof *m->closed);
    }
    if (m == NULL || !m->group_at || !m->layer || !m->frame || !m->closed) {
        arena_free(a);
        return gen_fail(e, "out of memory");
    }
    for (size_t i = 0; i < entries; i++)
        m->group_at[i] = -1;
    for (int g = 0; g < p->n_groups; g++)
        m->group_at[p->group_of[g].layer * s->kv_heads + p->group_of[g].head] = g;
    int rc = run_scenarios(m);
    arena_free(a);
    return rc;
}
