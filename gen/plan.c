/*
** plan.c - from a checked spec and a byte budget to a list of steps.
**
** Decides whether the context fits on the device, and if not: chunk, head group,
** tile, ring and how many leading tiles of every entry stay; then where each
** buffer lies and in which order a pass runs. Knows nothing of C or CUDA:
** emit.c prints what is planned here. Pure: same spec and request, same plan.
**
** How it chooses: a few candidates of each quantity, larger first. The first
** combination that fits with activations and ring in modest shares of the budget
** is taken; when none does, the first that fits at all. What is left over becomes
** resident tiles.
*/
#include "gen.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {                               /* of the budget that weights and tails leave, at most */
    ACTIVATION_SHARE = 2,            /* 1/2: a chunk twice as long halves prefill's KV traffic */
    RING_SHARE = 4                   /* 1/4: the rest becomes resident tiles */
};

static const int64_t CHUNKS[] = { 4096, 2048, 1024, 512, 256, 128 };
static const int64_t TILES[] = { 16384, 4096, 2048, 1024, 512, 256 };
static const int GROUPS[] = { 8, 4, 2, 1 };
enum {
    N_CHUNKS = sizeof CHUNKS / sizeof *CHUNKS,
    N_TILES = sizeof TILES / sizeof *TILES,
    N_GROUPS = sizeof GROUPS / sizeof *GROUPS,
    RESIDENT_CHUNK = 2               /* first chunk tried when nothing streams: 1024 rows */
};

/* What a layout depends on; kept and frames count tiles summed over all entries. */
typedef struct shape {
    bool offload;
    int64_t chunk, tile;
    int group, slots;
    int64_t kept, frames;
} shape;

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t frame_bytes(const hi_spec *s, const hi_plan *p, int64_t tile)
{
    return tile * kv_row_bytes(s, p->elt);
}

/* ---- layout ---- */

typedef enum { KEEP = 3, BOTH = 4 } phases_wanted;       /* PREFILL and DECODE are 0 and 1 */

static const int PHASES_OF[N_BUFFERS] = {
#define B(name, phases, what) phases,
#include "buffers.def"
#undef B
};

static bool in_phase(hi_buffer_id id, hi_phase phase)
{
    return PHASES_OF[id] == KEEP || PHASES_OF[id] == BOTH || PHASES_OF[id] == (int)phase;
}

static int64_t activation_bytes(const hi_spec *s, const hi_plan *p, hi_buffer_id id, int64_t rows)
{
    int64_t q_cols = (int64_t)s->heads * s->head_dim;
    int64_t kv_cols = (int64_t)s->kv_heads * s->head_dim;

    switch (id) {
    case BUF_ids:
        return rows * 4;
    case BUF_rope:
        return rows * s->head_dim * 4;
    case BUF_x:
    case BUF_h:
        return rows * s->hidden * p->elt;
    case BUF_qkv:
        return rows * (q_cols + 2 * kv_cols) * p->elt;
    case BUF_o:
        return rows * q_cols * p->elt;
    case BUF_mlp:
        return rows * 2 * s->ffn * p->elt;
    default:
        return 0;
    }
}

/* Floats of the running state of one KV head's query rows: output, max and sum. */
static int64_t state_bytes(const hi_spec *s, int64_t rows)
{
    return rows * (s->heads / s->kv_heads) * (s->head_dim + 2) * 4;
}

static int64_t buffer_bytes(const hi_spec *s, const hi_plan *p, const shape *f, hi_phase phase,
                            hi_buffer_id id)
{
    int64_t rows = phase == PREFILL ? f->chunk : 1;
    int64_t entries = (int64_t)s->layers * s->kv_heads;
    int64_t row = kv_row_bytes(s, p->elt);

    if (!in_phase(id, phase))
        return 0;
    switch (id) {
    case BUF_weights:
        return weight_bytes(s, p->elt);
    case BUF_tails:
        return f->offload ? entries * 2 * KEY_SPLIT * row : 0;
    case BUF_kept:
        return f->kept * frame_bytes(s, p, f->tile);
    case BUF_frames:
        return f->frames * frame_bytes(s, p, f->tile);
    case BUF_slots:
        return f->offload ? f->slots * f->group * frame_bytes(s, p, f->tile) : 0;
    case BUF_window:
        return f->offload ? s->kv_heads * (KEY_SPLIT + f->chunk) * row : 0;
    case BUF_carry:
        return f->group * state_bytes(s, rows);
    case BUF_parts:
        return f->group * (f->tile / KEY_SPLIT) * state_bytes(s, rows);
    case BUF_logits:
        return (p->req.logits_all ? rows : 1) * (int64_t)s->vocab * 4;
    default:
        return activation_bytes(s, p, id, rows);
    }
}

/* Places the buffers of both phases; returns the arena's size. */
static int64_t lay_out(const hi_spec *s, hi_plan *p, const shape *f)
{
    int64_t end[N_PHASES] = { 0, 0 };

    memset(p->buf, 0, sizeof p->buf);
    for (int id = 0; id < N_BUFFERS; id++)
        for (int phase = PREFILL; phase <= DECODE; phase++) {
            hi_buffer *b = &p->buf[phase][id];
            b->bytes = buffer_bytes(s, p, f, phase, id);
            if (b->bytes == 0)
                continue;
            b->offset = end[phase] == 0 ? 0 : round_up(end[phase] + BUF_GAP, BUF_ALIGN);
            end[phase] = b->offset + b->bytes;
        }
    return round_up(end[PREFILL] > end[DECODE] ? end[PREFILL] : end[DECODE], BUF_ALIGN);
}

static int64_t phase_end(const hi_plan *p, hi_phase phase)
{
    int64_t end = 0;
    for (int id = 0; id < N_BUFFERS; id++) {
        const hi_buffer *b = &p->buf[phase][id];
        if (b->bytes > 0 && b->offset + b->bytes > end)
            end = b->offset + b->bytes;
    }
    return end;
}

/* ---- residency ---- */

/* Spreads 'tiles' frames over the groups: evenly, the first groups one more; never beyond
   'most' per entry. Returns the frames used. */
static int64_t spread(hi_plan *p, hi_phase phase, int64_t entries, int64_t tiles, int64_t most)
{
    int64_t each = tiles / entries, used = 0;
    if (each > most)
        each = most;
    int64_t left = tiles - each * entries;

    for (int g = 0; g < p->n_groups; g++) {
        hi_group *gr = &p->group_of[g];
        bool more = each < most && left >= gr->n;
        gr->resident[phase] = (int)(each + more);
        left -= more ? gr->n : 0;
        used += (int64_t)gr->resident[phase] * gr->n;
    }
    return used;
}

/* Frames of both phases as the groups have them now. */
static void count_frames(const hi_plan *p, shape *f)
{
    f->kept = f->frames = 0;
    for (int g = 0; g < p->n_groups; g++) {
        const hi_group *gr = &p->group_of[g];
        f->kept += (int64_t)gr->n * gr->resident[PREFILL];
        f->frames += (int64_t)gr->n * (gr->resident[DECODE] - gr->resident[PREFILL]);
    }
}

/* Decode's leftovers: more tiles per entry than prefill's, cut group by group to fit. */
static void spread_decode(const hi_spec *s, hi_plan *p, shape *f, int64_t budget)
{
    int64_t frame = frame_bytes(s, p, f->tile);
    int64_t entries = (int64_t)s->layers * s->kv_heads;

    lay_out(s, p, f);
    int64_t room = (budget - phase_end(p, DECODE) - BUF_GAP - BUF_ALIGN) / frame;
    if (room <= 0)
        return;
    spread(p, DECODE, entries, f->kept + room, p->tiles);
    for (int g = 0; g < p->n_groups; g++) {
        hi_group *gr = &p->group_of[g];
        if (gr->resident[DECODE] < gr->resident[PREFILL])
            gr->resident[DECODE] = gr->resident[PREFILL];
    }
    count_frames(p, f);
}

/* Turns what the budget leaves into resident tiles. */
static void keep_tiles(const hi_spec *s, hi_plan *p, shape *f)
{
    int64_t entries = (int64_t)s->layers * s->kv_heads;
    int64_t budget = p->req.vram_bytes - p->reserve_bytes;

    if (p->req.resident >= 0) {
        for (int g = 0; g < p->n_groups; g++)
            for (int ph = 0; ph < N_PHASES; ph++) {
                int want = p->req.resident < p->tiles ? p->req.resident : p->tiles;
                p->group_of[g].resident[ph] = f->offload ? want : p->tiles;
            }
        count_frames(p, f);
        return;
    }
    int64_t frame = frame_bytes(s, p, f->tile);
    int64_t room = (budget - lay_out(s, p, f) - BUF_GAP - BUF_ALIGN) / frame;
    if (!f->offload)
        room = entries * p->tiles;
    spread(p, PREFILL, entries, room > 0 ? room : 0, p->tiles);
    spread(p, DECODE, entries, room > 0 ? room : 0, p->tiles);
    count_frames(p, f);
    if (f->offload)
        spread_decode(s, p, f, budget);
}

/* ---- search ---- */

typedef struct search {
    const hi_spec *s;
    hi_plan *p;
    int64_t budget;                  /* of the arena */
    int64_t least;                   /* smallest arena among all candidates met */
    shape found;
    bool ok;
} search;

static int64_t forced_resident(const hi_plan *p)
{
    return p->req.resident < 0 ? 0 : p->req.resident;
}

/* Arena bytes of a candidate with the fewest resident tiles it may have. */
static int64_t least_bytes(search *q, shape *f)
{
    int64_t entries = (int64_t)q->s->layers * q->s->kv_heads;
    int64_t tiles = div_up(q->p->ctx, f->tile);
    int64_t want = forced_resident(q->p) < tiles ? forced_resident(q->p) : tiles;

    f->kept = entries * (f->offload ? want : tiles);
    f->frames = 0;
    return lay_out(q->s, q->p, f);
}

static int64_t share_of(const search *q, const shape *f, int first, int last)
{
    int64_t sum = 0;
    for (int id = first; id <= last; id++)
        sum += buffer_bytes(q->s, q->p, f, PREFILL, id);
    return sum;
}

/* Do activations and ring keep to their shares, so that leading tiles get the rest? */
static bool modest(const search *q, const shape *f)
{
    int64_t fixed = share_of(q, f, BUF_weights, BUF_tails);
    int64_t rest = q->budget - fixed;
    return share_of(q, f, BUF_window, BUF_logits) <= rest / ACTIVATION_SHARE &&
           share_of(q, f, BUF_slots, BUF_slots) <= rest / RING_SHARE;
}

static void consider(search *q, const shape *candidate, bool soft)
{
    shape f = *candidate;
    int64_t bytes = least_bytes(q, &f);
    bool fits = q->budget < 0 || bytes <= q->budget;

    if (q->least == 0 || bytes < q->least)
        q->least = bytes;
    if (q->ok || !fits)
        return;
    if (soft && f.offload && q->budget >= 0 && !modest(q, &f))
        return;
    q->found = f;
    q->ok = true;
}

static void try_tiles(search *q, shape *f, bool soft)
{
    const hi_request *r = &q->p->req;
    int64_t whole = round_up(q->p->ctx, KEY_SPLIT);

    if (r->tile > 0) {
        f->tile = r->tile;
        consider(q, f, soft);
        return;
    }
    if (!f->offload && whole <= TILES[0]) {      /* one tile holds everything */
        f->tile = whole;
        consider(q, f, soft);
    }
    for (int i = f->offload ? 1 : 0; i < N_TILES; i++)
        if (TILES[i] <= whole) {
            f->tile = TILES[i];
            consider(q, f, soft);
        }
}

static void try_groups(search *q, shape *f, bool soft)
{
    const hi_request *r = &q->p->req;
    int kv = q->s->kv_heads;

    if (r->group > 0 || !f->offload) {
        f->group = r->group > 0 ? r->group : kv;
        try_tiles(q, f, soft);
        if (r->group > 0)
            return;
    }
    for (int i = 0; i < N_GROUPS; i++)
        if (kv % GROUPS[i] == 0) {
            f->group = GROUPS[i];
            try_tiles(q, f, soft);
        }
}

static void try_chunks(search *q, shape *f, bool soft)
{
    const hi_request *r = &q->p->req;

    if (r->chunk > 0) {
        f->chunk = r->chunk;
        try_groups(q, f, soft);
        return;
    }
    for (int i = f->offload ? 0 : RESIDENT_CHUNK; i < N_CHUNKS; i++)
        if (CHUNKS[i] <= round_up(q->p->ctx, KEY_BLOCK)) {
            f->chunk = CHUNKS[i];
            try_groups(q, f, soft);
        }
}

/* Would the host store of an offloaded context keep to --ram? */
static bool store_fits(const search *q)
{
    const hi_request *r = &q->p->req;
    return r->ram_bytes < 0 || kv_token_bytes(q->s, q->p->elt) * q->p->ctx <= r->ram_bytes;
}

/* Everything resident first; then the ring, modestly; then the ring, at any price. */
static void search_all(search *q)
{
    const hi_request *r = &q->p->req;
    shape f = { .slots = r->slots > 0 ? r->slots : MIN_SLOTS };

    f.offload = false;
    if (r->resident < 0 || r->resident >= div_up(q->p->ctx, r->tile > 0 ? r->tile : KEY_SPLIT))
        try_chunks(q, &f, false);
    f.offload = true;
    for (int soft = 1; soft >= 0 && store_fits(q); soft--)
        try_chunks(q, &f, soft);
}

/* ---- steps ---- */

typedef struct step_list {
    hi_step *step;
    int n;
} step_list;

static void add(step_list *l, hi_step_kind kind, int a0, int a1, int a2, int a3)
{
    if (l->step != NULL)
        l->step[l->n] = (hi_step){ kind, { a0, a1, a2, a3, 0 } };
    l->n++;
}

static void add_group(const hi_plan *p, step_list *l, hi_phase phase, int g)
{
    const hi_group *gr = &p->group_of[g];
    int resident = gr->resident[phase];

    add(l, STEP_open_heads, gr->layer, gr->head, gr->n, 0);
    add(l, STEP_attend_resident, gr->layer, gr->head, gr->n, resident);
    if (p->offload && resident < p->tiles) {
        add(l, STEP_each_tile, resident, 0, 0, 0);
        add(l, STEP_await, 0, 0, 0, 0);
        add(l, STEP_attend, gr->layer, gr->head, gr->n, 0);
        add(l, STEP_refill, 0, g, 0, 0);
        add(l, STEP_end_tiles, 0, 0, 0, 0);
    }
    if (p->offload)
        add(l, STEP_attend_newest, gr->layer, gr->head, gr->n, 0);
    add(l, STEP_close_heads, gr->layer, gr->head, gr->n, 0);
}

static void add_layer(const hi_spec *s, const hi_plan *p, step_list *l, hi_phase phase, int layer)
{
    int per_layer = s->kv_heads / p->group;

    for (int i = 0; i < s->n_parts; i++)
        switch (s->part[i]) {
        case PART_NORM_QKV:
            if (p->offload)
                add(l, STEP_await_store, 0, 0, 0, 0);
            add(l, STEP_norm_qkv, layer, 0, 0, 0);
            if (p->offload)
                add(l, STEP_store, layer, 0, 0, 0);
            break;
        case PART_ATTEND:
            for (int g = 0; g < per_layer; g++)
                add_group(p, l, phase, layer * per_layer + g);
            break;
        default:
            add(l, STEP_out_mlp, layer, 0, 0, 0);
        }
}

static void add_pass(const hi_spec *s, const hi_plan *p, step_list *l, hi_phase phase)
{
    add(l, STEP_embed, 0, 0, 0, 0);
    for (int layer = 0; layer < s->layers; layer++)
        add_layer(s, p, l, phase, layer);
    add(l, STEP_logits, 0, 0, 0, 0);
}

/* Frames that prefill used for activations get the tiles that decode keeps in them. */
static void add_enter(const hi_plan *p, step_list *l)
{
    if (!p->offload)
        return;
    for (int g = 0; g < p->n_groups; g++) {
        const hi_group *gr = &p->group_of[g];
        if (gr->resident[DECODE] > gr->resident[PREFILL]) {
            add(l, STEP_settle, gr->layer, gr->head, gr->n, gr->resident[PREFILL]);
            if (l->step != NULL)
                l->step[l->n - 1].arg[4] = gr->resident[DECODE];
        }
    }
}

/* Counts, allocates, fills: the lists have exactly their length. */
static int make_steps(hi_arena *a, const hi_spec *s, hi_plan *p, hi_error *e)
{
    for (int phase = 0; phase <= N_PHASES; phase++) {        /* N_PHASES: the change between them */
        step_list l = { NULL, 0 };
        for (int fill = 0; fill < 2; fill++) {
            if (fill) {
                l.step = arena_alloc(a, sizeof *l.step * (size_t)(l.n > 0 ? l.n : 1));
                if (l.step == NULL)
                    return gen_fail(e, "out of memory for %d steps", l.n);
                l.n = 0;
            }
            if (phase < N_PHASES)
                add_pass(s, p, &l, phase);
            else
                add_enter(p, &l);
        }
        *(phase < N_PHASES ? &p->steps[phase] : &p->enter) = l.step;
        *(phase < N_PHASES ? &p->n_steps[phase] : &p->n_enter) = l.n;
    }
    return 0;
}

/* ---- entry ---- */

static int check_request(const hi_spec *s, const hi_request *q, hi_error *e)
{
    if (q->chunk > 0 && (q->chunk % KEY_BLOCK != 0 || q->chunk > 1 << 20))
        return gen_fail(e, "--chunk %" PRId64 ": must be a multiple of %d, at most 1048576", q->chunk,
                        KEY_BLOCK);
    if (q->tile > 0 && (q->tile % KEY_SPLIT != 0 || q->tile > 1 << 24))
        return gen_fail(e, "--tile %" PRId64 ": must be a multiple of %d, at most 16777216", q->tile,
                        KEY_SPLIT);
    if (q->group > 0 && (q->group > s->kv_heads || s->kv_heads % q->group != 0))
        return gen_fail(e, "--group %d: must divide kv_heads (%d) of %s", q->group, s->kv_heads, s->path);
    if (q->slots > 0 && (q->slots < MIN_SLOTS || q->slots > MAX_SLOTS))
        return gen_fail(e, "--slots %d: must be %d to %d", q->slots, MIN_SLOTS, MAX_SLOTS);
    if (q->ctx < 0 || q->ctx > 1 << 30)
        return gen_fail(e, "--ctx %" PRId64 ": must be 1 to 1073741824 tokens", q->ctx);
    return 0;
}

/* Nothing was found: is it the host's memory, or the device's? */
static hi_plan *refuse(const search *q, int64_t *min_bytes, hi_error *e)
{
    const hi_plan *p = q->p;
    int64_t need = q->least + p->reserve_bytes, row = kv_token_bytes(q->s, p->elt);
    char host[256] = "";

    if (!store_fits(q))
        snprintf(host, sizeof host, "; a host store of %" PRId64 " bytes does not fit --ram %" PRId64
                                    ", which holds %" PRId64 " tokens",
                 row * p->ctx, p->req.ram_bytes, p->req.ram_bytes / row);
    if (q->least == 0) {             /* no candidate at all: the ring was asked for */
        gen_fail(e, "%s: --resident %d%s", q->s->path, p->req.resident, host);
        return NULL;
    }
    if (min_bytes != NULL)
        *min_bytes = need;
    gen_fail(e,
             "%s: %" PRId64 " tokens need %" PRId64 " bytes on the device (%.1f MiB, of it weights "
             "%.1f MiB); --vram is %" PRId64 " bytes; smallest budget that works: %" PRId64 " bytes "
             "(--vram %" PRId64 "M)%s",
             q->s->path, p->ctx, need, (double)need / 1048576, (double)weight_bytes(q->s, p->elt) / 1048576,
             p->req.vram_bytes, need, div_up(need, 1048576), host);
    return NULL;
}

static int make_groups(hi_arena *a, const hi_spec *s, hi_plan *p, hi_error *e)
{
    int per_layer = s->kv_heads / p->group;

    p->n_groups = s->layers * per_layer;
    p->group_of = arena_alloc(a, sizeof *p->group_of * (size_t)p->n_groups);
    if (p->group_of == NULL)
        return gen_fail(e, "out of memory for %d head groups", p->n_groups);
    for (int g = 0; g < p->n_groups; g++) {
        hi_group *gr = &p->group_of[g];
        gr->layer = g / per_layer;
        gr->head = g % per_layer * p->group;
        gr->n = p->group;
    }
    return 0;
}

/* Copies the search's result into the plan. */
static void settle_shape(hi_plan *p, const shape *f)
{
    p->offload = f->offload;
    p->chunk = f->chunk;
    p->tile = f->tile;
    p->tiles = (int)div_up(p->ctx, f->tile);
    p->group = f->group;
    p->slots = f->slots;
    p->rows[PREFILL] = (int)f->chunk;
    p->rows[DECODE] = 1;
    p->logit_rows[PREFILL] = p->req.logits_all ? (int)f->chunk : 1;
    p->logit_rows[DECODE] = 1;
}

hi_plan *plan_make(hi_arena *a, const hi_spec *s, const hi_request *r, int64_t *min_bytes, hi_error *e)
{
    if (min_bytes != NULL)
        *min_bytes = 0;
    if (check_request(s, r, e) != 0)
        return NULL;
    hi_plan *p = arena_alloc(a, sizeof *p);
    if (p == NULL) {
        gen_fail(e, "out of memory for a plan");
        return NULL;
    }
    p->req = *r;
    p->elt = elt_bytes(r->numerics);
    p->ctx = r->ctx > 0 ? r->ctx : s->ctx;

    search q = { .s = s, .p = p };
    q.budget = r->vram_bytes < 0 ? -1 : r->vram_bytes - p->reserve_bytes;
    search_all(&q);
    if (!q.ok)
        return refuse(&q, min_bytes, e);
    settle_shape(p, &q.found);
    if (make_groups(a, s, p, e) != 0)
        return NULL;
    q.found.kept = q.found.frames = 0;
    keep_tiles(s, p, &q.found);
    p->arena_bytes = lay_out(s, p, &q.found);
    p->store_bytes = p->offload ? kv_token_bytes(s, p->elt) * p->ctx : 0;
    if (make_steps(a, s, p, e) != 0)
        return NULL;
    return p;
}
