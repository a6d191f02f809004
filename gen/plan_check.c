/*
** plan_check.c - is a plan safe to run and within its budget?
**
** Checks a plan's numbers against its request, the groups, the arguments of every step, and
** every buffer's size and place; sizes are counted here once more. Whether the steps come in
** an order that works is replay.c's. Shares no code with plan.c and sizes.c.
*/
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

/* Where a buffer lives; the names are those of buffers.def. */
typedef enum {
    PLACE_KEEP,
    PLACE_BOTH,
    PLACE_PREFILL,
    PLACE_DECODE
} place;

static const struct {
    const char *name;
    place place;
} buffer[N_BUFFERS] = {
#define B(name, phases, what) { #name, PLACE_##phases },
#include "buffers.def"
#undef B
};

static const char *const phase_name[N_PHASES] = { "prefill", "decode" };

/* ---- counting bytes: what does not fit in 63 bits counts as INT64_MAX ---- */

static int64_t mul(int64_t a, int64_t b)
{
    int64_t n;
    return __builtin_mul_overflow(a, b, &n) ? INT64_MAX : n;
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t n;
    return __builtin_add_overflow(a, b, &n) ? INT64_MAX : n;
}

/* The end of a tensor of n elements that follows 'at'; tensors start at multiples of 64. */
static int64_t tensor(int64_t at, int64_t n, int elt)
{
    return add(add(at, 63) / 64 * 64, mul(n, elt));
}

static int64_t packed(int64_t at, int64_t rows, int64_t cols, int elt)
{
    return tensor(at, mul((rows + PANEL - 1) / PANEL * PANEL, cols), elt);
}

static int64_t count_layer(const hi_spec *s, int64_t at, int elt)
{
    int64_t qkv = (s->heads + 2 * (int64_t)s->kv_heads) * s->head_dim;
    at = tensor(at, s->hidden, elt);
    at = packed(at, qkv, s->hidden, elt);
    if (s->qkv_bias)
        at = tensor(at, qkv, elt);
    at = packed(at, s->hidden, (int64_t)s->heads * s->head_dim, elt);
    if (s->o_bias)
        at = tensor(at, s->hidden, elt);
    at = tensor(at, s->hidden, elt);
    at = packed(at, 2 * (int64_t)s->ffn, s->hidden, elt);
    if (s->mlp_bias)
        at = tensor(at, 2 * (int64_t)s->ffn, elt);
    at = packed(at, s->hidden, s->ffn, elt);
    return s->mlp_bias ? tensor(at, s->hidden, elt) : at;
}

static int64_t count_weights(const hi_spec *s, int elt)
{
    int64_t at = packed(0, s->vocab, s->hidden, elt);
    if (!s->tied)
        at = tensor(at, mul(s->vocab, s->hidden), elt);
    at = tensor(at, s->hidden, elt);
    for (int l = 0; l < s->layers; l++)
        at = count_layer(s, at, elt);
    return at;
}

/* K and V of 'rows' rows of one entry. */
static int64_t kv_bytes(const hi_spec *s, const hi_plan *p, int64_t rows)
{
    return mul(rows, 2 * (int64_t)s->head_dim * p->elt);
}

/* All groups' tiles between the resident counts of two phases; from < 0: from tile 0. */
static int64_t count_frames(const hi_spec *s, const hi_plan *p, int from, int to)
{
    int64_t n = 0;
    for (int g = 0; g < p->n_groups; g++) {
        const hi_group *gr = &p->group_of[g];
        n += (int64_t)gr->n * (gr->resident[to] - (from < 0 ? 0 : gr->resident[from]));
    }
    return mul(n, kv_bytes(s, p, p->tile));
}

/* Bytes a phase needs of a buffer. */
static int64_t count(const hi_spec *s, const hi_plan *p, hi_phase phase, hi_buffer_id id)
{
    int64_t rows = p->rows[phase], elt = p->elt;
    int64_t gqa = s->heads / s->kv_heads, state = mul(rows * gqa * (s->head_dim + 2), 4);
    int64_t entries = (int64_t)s->layers * s->kv_heads;
    switch (id) {
    case BUF_weights:
        return count_weights(s, p->elt);
    case BUF_tails:
        return p->offload ? mul(entries, kv_bytes(s, p, 2 * KEY_SPLIT)) : 0;
    case BUF_kept:
        return count_frames(s, p, -1, PREFILL);
    case BUF_frames:
        return count_frames(s, p, PREFILL, DECODE);
    case BUF_slots:
        return p->offload ? mul((int64_t)p->slots * p->group, kv_bytes(s, p, p->tile)) : 0;
    case BUF_window:
        return p->offload ? mul(s->kv_heads, kv_bytes(s, p, KEY_SPLIT + p->chunk)) : 0;
    case BUF_ids:
        return mul(rows, 4);
    case BUF_rope:
        return mul(rows, s->head_dim * (int64_t)4);
    case BUF_x:
    case BUF_h:
        return mul(rows, s->hidden * elt);
    case BUF_qkv:
        return mul(rows, (s->heads + 2 * (int64_t)s->kv_heads) * s->head_dim * elt);
    case BUF_o:
        return mul(rows, (int64_t)s->heads * s->head_dim * elt);
    case BUF_mlp:
        return mul(rows, 2 * (int64_t)s->ffn * elt);
    case BUF_carry:
        return mul(p->group, state);
    case BUF_parts:
        return mul(mul(p->group, p->tile / KEY_SPLIT), state);
    case BUF_logits:
        return mul(p->logit_rows[phase], s->vocab * (int64_t)4);
    case N_BUFFERS:
        break;
    }
    return 0;
}

/* ---- numbers ---- */

static int want(const char *what, int64_t is, int64_t should, hi_error *e)
{
    if (is == should)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be %" PRId64, what, is, should);
}

static int want_within(const char *what, int64_t is, int64_t lo, int64_t hi, hi_error *e)
{
    if (lo <= is && is <= hi)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be within %" PRId64 " and %" PRId64, what, is, lo,
                    hi);
}

static int want_multiple(const char *what, int64_t is, int64_t of, hi_error *e)
{
    if (is % of == 0)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be a multiple of %" PRId64, what, is, of);
}

/* Numbers that later checks divide by and count with. */
static int check_numbers(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    if (want("elt", p->elt, p->req.numerics == NUM_F32 ? 4 : 2, e) ||
        want_within("ctx", p->ctx, 1, INT64_MAX / 4, e) ||
        want_within("chunk", p->chunk, 1, INT32_MAX, e) ||
        want_multiple("chunk", p->chunk, KEY_BLOCK, e) ||
        want_within("tile", p->tile, 1, INT64_MAX / 4, e) ||
        want_multiple("tile", p->tile, KEY_SPLIT, e) ||
        want("tiles", p->tiles, (p->ctx + p->tile - 1) / p->tile, e) ||
        want_within("group", p->group, 1, s->kv_heads, e) ||
        want("kv_heads / group, remainder", s->kv_heads % p->group, 0, e) ||
        (p->offload && want_within("slots", p->slots, MIN_SLOTS, MAX_SLOTS, e)))
        return -1;
    bool all = p->req.logits_all;
    if (want("rows in prefill", p->rows[PREFILL], p->chunk, e) ||
        want("rows in decode", p->rows[DECODE], 1, e) ||
        want("rows of logits in prefill", p->logit_rows[PREFILL], all ? p->chunk : 1, e) ||
        want("rows of logits in decode", p->logit_rows[DECODE], 1, e))
        return -1;
    return 0;
}

/* What the request forces; resident tiles up to a full context's. */
static int check_request(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    const hi_request *q = &p->req;
    if (want("ctx", p->ctx, q->ctx > 0 ? q->ctx : s->ctx, e) ||
        (q->chunk > 0 && want("chunk", p->chunk, q->chunk, e)) ||
        (q->tile > 0 && want("tile", p->tile, q->tile, e)) ||
        (q->group > 0 && want("group", p->group, q->group, e)) ||
        (q->slots > 0 && want("slots", p->slots, q->slots, e)))
        return -1;
    if (q->resident < 0)
        return 0;
    int resident = q->resident < p->tiles ? q->resident : p->tiles;
    for (int g = 0; g < p->n_groups; g++)
        for (int phase = 0; phase < N_PHASES; phase++)
            if (want("resident tiles", p->group_of[g].resident[phase], resident, e))
                return -1;
    return 0;
}

/* Layers in order, in each the KV heads in groups of p->group, each head once. */
static int check_groups(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    int per_layer = s->kv_heads / p->group;
    if (want("n_groups", p->n_groups, (int64_t)s->layers * per_layer, e))
        return -1;
    for (int i = 0; i < p->n_groups; i++) {
        const hi_group *g = &p->group_of[i];
        if (want("layer of a group", g->layer, i / per_layer, e) ||
            want("heads of a group", g->n, p->group, e) ||
            want("first head of a group", g->head, i % per_layer * p->group, e) ||
            want_within("resident tiles in decode", g->resident[DECODE], p->offload ? 0 : p->tiles,
                        p->tiles, e) ||
            want_within("resident tiles in prefill", g->resident[PREFILL],
                        p->offload ? 0 : p->tiles, g->resident[DECODE], e))
            return -1;
    }
    return 0;
}

/* ---- arguments of steps: the range that each name in steps.def allows ---- */

static int arg_limit(const hi_spec *s, const hi_plan *p, const char *name, size_t len)
{
    const struct {
        const char *name;
        int limit;
    } limit[] = {
        { "layer", s->layers - 1 },
        { "head", s->kv_heads - 1 },
        { "n", s->kv_heads },
        { "tiles", p->tiles },
        { "first", p->tiles },
        { "last", p->tiles },
        { "group", p->n_groups - 1 },
        { "slot", 0 },
        { "tile", 0 },
    };
    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++)
        if (strlen(limit[i].name) == len && memcmp(limit[i].name, name, len) == 0)
            return limit[i].limit;
    return -1;
}

static int check_args(const hi_spec *s, const hi_plan *p, const hi_step *st, const char *list,
                      int at, hi_error *e)
{
    static const char *const args[N_STEPS] = {
#define S(name, args, what) args,
#include "steps.def"
#undef S
    };
    if ((unsigned)st->kind >= N_STEPS)
        return gen_fail(e, "%s step %d: no such step: %d", list, at, (int)st->kind);
    const char *name = args[st->kind];
    for (int i = 0; *name != '\0'; i++) {
        size_t len = strcspn(name, " ");
        int limit = arg_limit(s, p, name, len);
        if (st->arg[i] < 0 || st->arg[i] > limit) {
            char line[128];
            step_text(p, st, line, sizeof line);
            return gen_fail(e, "%s step %d: %s: %.*s = %d: must be within 0 and %d", list, at, line,
                            (int)len, name, st->arg[i], limit);
        }
        name += len + strspn(name + len, " ");
    }
    return 0;
}

static int check_steps(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    for (int phase = 0; phase < N_PHASES; phase++)
        for (int i = 0; i < p->n_steps[phase]; i++)
            if (check_args(s, p, &p->steps[phase][i], phase_name[phase], i, e) != 0)
                return -1;
    for (int i = 0; i < p->n_enter; i++)
        if (check_args(s, p, &p->enter[i], "enter", i, e) != 0)
            return -1;
    return 0;
}

/* ---- buffers ---- */

static int check_size(const hi_spec *s, const hi_plan *p, hi_phase phase, int id, hi_error *e)
{
    const hi_buffer *b = &p->buf[phase][id];
    place at = buffer[id].place;
    bool absent = at == (phase == PREFILL ? PLACE_DECODE : PLACE_PREFILL);
    bool exact = absent || id == BUF_kept || id == BUF_frames || id == BUF_slots;
    int64_t need = absent ? 0 : count(s, p, phase, id);
    if (exact ? b->bytes != need : b->bytes < need)
        return gen_fail(e, "buffer %s in %s: %" PRId64 " bytes, needs %" PRId64, buffer[id].name,
                        phase_name[phase], b->bytes, need);
    if (b->bytes > 0 && (b->offset < 0 || b->offset % BUF_ALIGN != 0))
        return gen_fail(e, "buffer %s in %s: offset %" PRId64 " is not a multiple of %d",
                        buffer[id].name, phase_name[phase], b->offset, BUF_ALIGN);
    const hi_buffer *o = &p->buf[!phase][id];
    if (at == PLACE_KEEP && (b->bytes != o->bytes || (b->bytes > 0 && b->offset != o->offset)))
        return gen_fail(e, "buffer %s: differs between the phases", buffer[id].name);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const hi_buffer *x = *(const hi_buffer *const *)a, *y = *(const hi_buffer *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Finds the end of the phase's last buffer; every buffer has its gap before the next one. */
static int check_places(const hi_plan *p, hi_phase phase, int64_t *end, hi_error *e)
{
    const hi_buffer *order[N_BUFFERS];
    int n = 0;
    for (int id = 0; id < N_BUFFERS; id++)
        if (p->buf[phase][id].bytes > 0)
            order[n++] = &p->buf[phase][id];
    qsort(order, (size_t)n, sizeof *order, by_offset);
    for (int i = 0; i + 1 < n; i++)
        if (order[i + 1]->offset < add(add(order[i]->offset, order[i]->bytes), BUF_GAP))
            return gen_fail(e, "buffers %s and %s in %s: less than %d bytes between them",
                            buffer[order[i] - p->buf[phase]].name,
                            buffer[order[i + 1] - p->buf[phase]].name, phase_name[phase], BUF_GAP);
    int64_t last = n > 0 ? add(order[n - 1]->offset, order[n - 1]->bytes) : 0;
    *end = last > *end ? last : *end;
    return 0;
}

static int check_buffers(const hi_spec *s, const hi_plan *p, int64_t *end, hi_error *e)
{
    *end = 0;
    for (int phase = 0; phase < N_PHASES; phase++) {
        for (int id = 0; id < N_BUFFERS; id++)
            if (check_size(s, p, phase, id, e) != 0)
                return -1;
        if (check_places(p, phase, end, e) != 0)
            return -1;
    }
    return 0;
}

/* The arena ends with its last buffer or that buffer's gap, and fits the budgets. */
static int check_budgets(const hi_spec *s, const hi_plan *p, int64_t end, hi_error *e)
{
    if (want_within("arena_bytes", p->arena_bytes, end, add(end, BUF_GAP + BUF_ALIGN - 1), e) ||
        want_multiple("arena_bytes", p->arena_bytes, BUF_ALIGN, e) ||
        want_within("reserve_bytes", p->reserve_bytes, 0, INT64_MAX, e))
        return -1;
    int64_t entries = (int64_t)s->layers * s->kv_heads;
    int64_t store = p->offload ? mul(mul(entries, kv_bytes(s, p, 1)), p->ctx) : 0;
    if (want("store_bytes", p->store_bytes, store, e))
        return -1;
    if (p->req.vram_bytes >= 0 &&
        want_within("arena_bytes + reserve_bytes", add(p->arena_bytes, p->reserve_bytes), 0,
                    p->req.vram_bytes, e))
        return -1;
    if (p->req.ram_bytes >= 0 && want_within("store_bytes", store, 0, p->req.ram_bytes, e))
        return -1;
    return 0;
}

int plan_check(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    int64_t end;
    if (check_numbers(s, p, e) != 0 || check_groups(s, p, e) != 0 || check_request(s, p, e) != 0)
        return -1;
    if (check_steps(s, p, e) != 0 || check_buffers(s, p, &end, e) != 0)
        return -1;
    return check_budgets(s, p, end, e) != 0 ? -1 : replay_plan(s, p, e);
}
