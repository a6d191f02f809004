/*
** test_plan_check.c - plan_make's plans pass plan_check, broken ones do not.
**
** Random plans, then plans with one thing changed. Where a change is without effect on some
** plans, a rule here says so and why; the checker is not asked.
*/
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gen.h"

enum {
    N_RANDOM = 10000,
    N_POOL = 1500,
    N_PER_KIND = 100,
    MAX_KINDS = 200
};

/* ---- random specs and requests ---- */

static uint64_t rng = 20240607;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* lo..hi, both included */
static int64_t between(int64_t lo, int64_t hi)
{
    return lo + (int64_t)(next_random() % (uint64_t)(hi - lo + 1));
}

static bool one_in(int n)
{
    return between(1, n) == 1;
}

static int64_t log_between(double lo, double hi)
{
    double u = (double)(next_random() >> 11) / 9007199254740992.0;
    return (int64_t)exp(log(lo) + u * (log(hi) - log(lo)));
}

#define PICK(...) pick((const int[]){ __VA_ARGS__ }, sizeof(int[]){ __VA_ARGS__ } / sizeof(int))

static int pick(const int *of, size_t n)
{
    return of[between(0, (int64_t)n - 1)];
}

static hi_spec random_spec(void)
{
    hi_spec s = { .name = "random",
                  .path = "specs/random.lua",
                  .family = "llama",
                  .norm_eps = 1e-5,
                  .rope = { .theta = 10000 },
                  .bos = -1,
                  .part = { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP },
                  .n_parts = 3 };
    s.layers = (int)between(1, 4);
    s.kv_heads = PICK(1, 2, 3, 4, 6, 8);
    s.heads = s.kv_heads * (int)between(1, 8);
    s.head_dim = PICK(16, 32, 48, 64, 128);
    s.hidden = 16 * (int)between(1, 16);
    s.ffn = 16 * (int)between(1, 16);
    s.vocab = (int)between(2, 1000);
    s.ctx = one_in(4) ? between(1, 600) : one_in(3) ? log_between(1, 20001) : between(1, 20000);
    s.qkv_bias = one_in(2);
    s.o_bias = one_in(2);
    s.mlp_bias = one_in(2);
    s.tied = one_in(2);
    return s;
}

static hi_request random_request(const hi_spec *s)
{
    hi_request q = { .vram_bytes = -1, .ram_bytes = -1, .resident = -1 };
    q.numerics = one_in(2) ? NUM_F32 : NUM_BF16;
    q.logits_all = one_in(3);
    q.ctx = one_in(3) ? between(1, s->ctx) : 0;
    q.chunk = one_in(4) ? KEY_BLOCK * between(1, 16) : 0;
    q.tile = one_in(3) ? KEY_SPLIT * between(1, 8) : 0;
    q.slots = one_in(4) ? (int)between(MIN_SLOTS, 9) : 0;
    q.resident = one_in(4) ? (int)between(0, 6) : -1;
    int group = (int)between(1, s->kv_heads);
    q.group = one_in(3) && s->kv_heads % group == 0 ? group : 0;
    return q;
}

static hi_plan *make(hi_arena *a, const hi_spec *s, hi_request q, int64_t vram, int64_t *min)
{
    hi_error e = { "" };
    *min = 0;
    q.vram_bytes = vram;
    return plan_make(a, s, &q, min, &e);
}

/* Half of the smallest budget that works to twice what everything needs, or no budget. */
static int64_t random_budget(hi_arena *a, const hi_spec *s, hi_request q)
{
    int64_t min, none;
    q.resident = one_in(2) ? q.resident : -1;
    make(a, s, q, 1, &min);
    hi_plan *all = make(a, s, q, -1, &none);
    if (min == 0 || all == NULL || one_in(8))
        return -1;
    return log_between(0.5 * (double)min, 2.0 * (double)(all->arena_bytes + all->reserve_bytes));
}

static void print_case(const hi_spec *s, const hi_request *q)
{
    print_message(
        "layers %d kv_heads %d heads %d head_dim %d hidden %d ffn %d vocab %d ctx %" PRId64
        " %d%d%d%d; vram %" PRId64 " ram %" PRId64 " ctx %" PRId64 " chunk %" PRId64
        " tile %" PRId64 " group %d slots %d resident %d all %d num %d\n",
        s->layers, s->kv_heads, s->heads, s->head_dim, s->hidden, s->ffn, s->vocab, s->ctx,
        s->qkv_bias, s->o_bias, s->mlp_bias, s->tied, q->vram_bytes, q->ram_bytes, q->ctx, q->chunk,
        q->tile, q->group, q->slots, q->resident, q->logits_all, q->numerics);
}

/* ---- 1: what plan_make accepts is right ---- */

static bool passes(const hi_spec *s, const hi_plan *p)
{
    hi_error e = { "" };
    if (plan_check(s, p, &e) == 0)
        return true;
    print_message("plan_check: %s\n", e.text);
    print_case(s, &p->req);
    return false;
}

/* A refusal names the smallest budget that works: it works, and less does not. */
static bool refusal_is_exact(hi_arena *a, const hi_spec *s, hi_request q, int64_t min)
{
    int64_t again;
    hi_plan *p = make(a, s, q, min, &again);
    bool less = make(a, s, q, min - BUF_ALIGN, &again) != NULL;
    q.vram_bytes = min;
    if (p == NULL || less) {
        print_message("%s\n", less ? "accepted below min_bytes" : "refused at min_bytes");
        print_case(s, &q);
        return false;
    }
    return passes(s, p);
}

static void random_plans_pass(void **state)
{
    (void)state;
    int accepted = 0, offload = 0, for_memory = 0, for_else = 0, wrong = 0;
    for (int i = 0; i < N_RANDOM && wrong < 10; i++) {
        hi_arena *a = arena_new();
        hi_spec s = random_spec();
        hi_request q = random_request(&s);
        int64_t min, vram = random_budget(a, &s, q);
        q.ram_bytes = one_in(20) ? log_between(1e3, 1e8) : -1;
        q.vram_bytes = vram;
        hi_plan *p = make(a, &s, q, vram, &min);
        accepted += p != NULL;
        offload += p != NULL && p->offload;
        for_memory += p == NULL && min > 0;
        for_else += p == NULL && min <= 0;
        if (p != NULL)
            wrong += !passes(&s, p);
        else if (min > 0)
            wrong += !refusal_is_exact(a, &s, q, min);
        arena_free(a);
    }
    print_message("accepted %d (%d with offload), refused %d for device memory, %d else\n",
                  accepted, offload, for_memory, for_else);
    assert_int_equal(wrong, 0);
    assert_true(accepted >= N_RANDOM * 2 / 5);
    assert_true(offload >= N_RANDOM / 10);
}

/* ---- 2: changed plans ---- */

typedef enum {
    ABSENT,
    NO_EFFECT,
    APPLIED
} outcome;

typedef struct kind {
    char name[48];
    outcome (*apply)(const struct kind *k, hi_plan *p);
    int a, b; /* step kind or buffer; argument or second step kind */
} kind;

/* One step of a plan. */
typedef struct site {
    hi_step **list; /* (*n), room for one more */
    int *n, at;
    int phase; /* -1: enter */
} site;

static hi_step *step_at(const site *w)
{
    return *w->list + w->at;
}

/* Picks a step of a kind, followed by one of 'then' (-1: any, or none), evenly. */
static bool find_site(hi_plan *p, int step, int then, site *out)
{
    int seen = 0;
    for (int phase = -1; phase < N_PHASES; phase++) {
        hi_step **list = phase < 0 ? &p->enter : &p->steps[phase];
        int *n = phase < 0 ? &p->n_enter : &p->n_steps[phase];
        for (int i = 0; i < *n; i++) {
            if ((int)(*list)[i].kind != step ||
                (then >= 0 && (i + 1 == *n || (int)(*list)[i + 1].kind != then)))
                continue;
            if (one_in(++seen))
                *out = (site){ list, n, i, phase };
        }
    }
    return seen > 0;
}

/* Tiles of the pass with the most: it begins at the context's last row. */
static int most_tiles(const hi_plan *p)
{
    int64_t whole = (p->ctx - 1) / KEY_SPLIT * KEY_SPLIT;
    return (int)((whole + p->tile - 1) / p->tile);
}

/* The loop around a step, or that the step begins or ends: its first tile. */
static int loop_first(const site *w)
{
    int i = w->at;
    while ((*w->list)[i].kind != STEP_each_tile)
        i--;
    return (*w->list)[i].arg[0];
}

static bool in_loop(int step)
{
    return step == STEP_await || step == STEP_attend || step == STEP_refill;
}

/* A loop whose first tile no pass reaches: what stands in it is never run. */
static bool never_runs(const hi_plan *p, const site *w)
{
    return loop_first(w) >= most_tiles(p);
}

/* The first wait of a pass: no store is under way where no pass ever follows another. */
static bool waits_for_nothing(const hi_plan *p, const site *w)
{
    return w->at <= 1 && p->ctx == 1;
}

/* Resident attention over no rows: no resident tiles, or no pass has a whole split. */
static bool attends_nothing(const hi_plan *p, const site *w)
{
    return p->offload && (step_at(w)->arg[3] == 0 || most_tiles(p) == 0);
}

static outcome delete_step(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, -1, &w))
        return ABSENT;
    if ((in_loop(k->a) && never_runs(p, &w)) ||
        (k->a == STEP_await_store && waits_for_nothing(p, &w)) ||
        (k->a == STEP_attend_resident && attends_nothing(p, &w)))
        return NO_EFFECT;
    memmove(step_at(&w), step_at(&w) + 1, (size_t)(*w.n - w.at - 1) * sizeof(hi_step));
    --*w.n;
    return APPLIED;
}

static outcome repeat_step(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, -1, &w))
        return ABSENT;
    if (k->a == STEP_await || k->a == STEP_await_store) /* what was waited for stays over */
        return NO_EFFECT;
    if ((in_loop(k->a) || k->a == STEP_each_tile) && never_runs(p, &w))
        return NO_EFFECT;
    memmove(step_at(&w) + 1, step_at(&w), (size_t)(*w.n - w.at) * sizeof(hi_step));
    ++*w.n;
    return APPLIED;
}

static outcome swap_steps(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, k->b, &w))
        return ABSENT;
    if (in_loop(k->a) && in_loop(k->b) && never_runs(p, &w))
        return NO_EFFECT;
    if (k->a == STEP_await_store && waits_for_nothing(p, &w))
        return NO_EFFECT;
    /* into a loop that runs at most once when nothing is resident, or over no rows */
    if (k->a == STEP_attend_resident && k->b == STEP_each_tile &&
        (most_tiles(p) == 0 || (step_at(&w)->arg[3] == 0 && most_tiles(p) == 1)))
        return NO_EFFECT;
    hi_step t = step_at(&w)[0];
    step_at(&w)[0] = step_at(&w)[1];
    step_at(&w)[1] = t;
    return APPLIED;
}

static outcome change_arg(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, -1, &w))
        return ABSENT;
    if (in_loop(k->a) && never_runs(p, &w))
        return NO_EFFECT;
    int by = PICK(-1, 1, -2, 2, 3);
    step_at(&w)->arg[k->b] += by;
    return APPLIED;
}

/* ---- buffers ---- */

/* Applies to the other phase too where the buffer keeps its place. */
static void set_buffer(hi_plan *p, int phase, int id, hi_buffer b)
{
    p->buf[phase][id] = b;
    if (id == BUF_weights || id == BUF_tails || id == BUF_kept)
        p->buf[!phase][id] = b;
}

static outcome shrink_buffer(const kind *k, hi_plan *p)
{
    int phase = (int)between(0, 1);
    if (p->buf[phase][k->a].bytes == 0)
        phase = !phase;
    hi_buffer b = p->buf[phase][k->a];
    if (b.bytes == 0)
        return ABSENT;
    b.bytes = b.bytes > BUF_ALIGN ? b.bytes - BUF_ALIGN : 0;
    set_buffer(p, phase, k->a, b);
    return APPLIED;
}

/* Two buffers of one phase, 'next' being the one behind 'id'; false where id is the last. */
static bool neighbours(const hi_plan *p, int *phase, int *id, int *next)
{
    *phase = (int)between(0, 1);
    do
        *id = (int)between(0, N_BUFFERS - 1);
    while (p->buf[*phase][*id].bytes == 0);
    const hi_buffer *b = p->buf[*phase];
    *next = -1;
    for (int i = 0; i < N_BUFFERS; i++)
        if (b[i].bytes > 0 && b[i].offset > b[*id].offset &&
            (*next < 0 || b[i].offset < b[*next].offset))
            *next = i;
    return *next >= 0;
}

static outcome shift_buffer(const kind *k, hi_plan *p)
{
    (void)k;
    int phase, id, next;
    if (!neighbours(p, &phase, &id, &next))
        return ABSENT;
    hi_buffer b = p->buf[phase][next];
    b.offset = p->buf[phase][id].offset + (one_in(2) ? 0 : BUF_ALIGN);
    if (b.offset >= p->buf[phase][id].offset + p->buf[phase][id].bytes + BUF_GAP)
        b.offset -= BUF_ALIGN;
    set_buffer(p, phase, next, b);
    return APPLIED;
}

static outcome misalign_buffer(const kind *k, hi_plan *p)
{
    (void)k;
    int phase, id, next;
    neighbours(p, &phase, &id, &next);
    hi_buffer b = p->buf[phase][id];
    b.offset += PICK(1, 64, 128);
    set_buffer(p, phase, id, b);
    return APPLIED;
}

static outcome close_gap(const kind *k, hi_plan *p)
{
    (void)k;
    int phase, id, next;
    if (!neighbours(p, &phase, &id, &next))
        return ABSENT;
    hi_buffer b = p->buf[phase][id];
    b.bytes = p->buf[phase][next].offset - b.offset - BUF_GAP + 1;
    set_buffer(p, phase, id, b);
    return APPLIED;
}

static outcome part_kept_buffer(const kind *k, hi_plan *p)
{
    int id = PICK(BUF_weights, BUF_tails, BUF_kept), phase = (int)between(0, 1);
    if (p->buf[phase][id].bytes == 0)
        return ABSENT;
    if (k->a)
        p->buf[phase][id].offset += p->arena_bytes;
    else
        p->buf[phase][id].bytes += 1;
    return APPLIED;
}

/* ---- numbers ---- */

static outcome change_resident(const kind *k, hi_plan *p)
{
    p->group_of[between(0, p->n_groups - 1)].resident[k->a] += k->b;
    return APPLIED;
}

static outcome change_group(const kind *k, hi_plan *p)
{
    hi_group *g = &p->group_of[between(0, p->n_groups - 1)];
    int by = one_in(2) ? 1 : -1;
    if (k->a == 0)
        g->layer += by;
    else if (k->a == 1)
        g->head += by;
    else
        g->n += by;
    return APPLIED;
}

static outcome swap_groups(const kind *k, hi_plan *p)
{
    (void)k;
    if (p->n_groups < 2)
        return ABSENT;
    int64_t i = between(0, p->n_groups - 2);
    hi_group t = p->group_of[i];
    p->group_of[i] = p->group_of[i + 1];
    p->group_of[i + 1] = t;
    return APPLIED;
}

static outcome drop_enter(const kind *k, hi_plan *p)
{
    (void)k;
    if (p->n_enter == 0)
        return ABSENT;
    p->n_enter = 0;
    return APPLIED;
}

static outcome flip_offload(const kind *k, hi_plan *p)
{
    (void)k;
    p->offload = !p->offload;
    return APPLIED;
}

/* Changes of one number; the second column says which plans have the number. */
#define NUMBERS(N)                                                                \
    N(step_unknown, true, p->steps[PREFILL][0].kind = N_STEPS)                    \
    N(slots_more, p->offload, p->slots++)                                         \
    N(slots_fewer, p->offload, p->slots--)                                        \
    N(arena_too_small, true, p->arena_bytes -= BUF_GAP + BUF_ALIGN)               \
    N(arena_too_large, true, p->arena_bytes += BUF_GAP + BUF_ALIGN)               \
    N(store_too_small, p->offload, p->store_bytes--)                              \
    N(store_without_offload, !p->offload, p->store_bytes++)                       \
    N(tile_not_of_splits, true, p->tile += KEY_BLOCK)                             \
    N(tile_other, true, p->tile += KEY_SPLIT * (p->tile + p->ctx))                \
    N(tile_huge, true, p->tile = INT64_MAX / 4 / KEY_SPLIT * KEY_SPLIT)           \
    N(ctx_huge, true, p->ctx = INT64_MAX)                                         \
    N(arena_huge, true, p->arena_bytes = INT64_MAX / BUF_ALIGN * BUF_ALIGN)       \
    N(buffer_huge, true, p->buf[PREFILL][BUF_x].bytes = INT64_MAX)                \
    N(tiles_more, true, p->tiles++)                                               \
    N(tiles_fewer, true, p->tiles--)                                              \
    N(chunk_not_of_blocks, true, p->chunk++)                                      \
    N(chunk_other, true, p->chunk += KEY_BLOCK)                                   \
    N(group_more, true, p->group++)                                               \
    N(group_fewer, true, p->group--)                                              \
    N(groups_fewer, true, p->n_groups--)                                          \
    N(rows_of_prefill, true, p->rows[PREFILL]++)                                  \
    N(rows_of_decode, true, p->rows[DECODE]++)                                    \
    N(rows_of_logits, true, p->logit_rows[PREFILL]++)                             \
    N(elt, true, p->elt = 6 - p->elt)                                             \
    N(ctx_more, true, p->ctx++)                                                   \
    N(ctx_fewer, true, p->ctx--)                                                  \
    N(over_vram, true, p->req.vram_bytes = p->arena_bytes + p->reserve_bytes - 1) \
    N(over_ram, p->offload, p->req.ram_bytes = p->store_bytes - 1)                \
    N(reserve_negative, true, p->reserve_bytes = -1)                              \
    N(forced_chunk, true, p->req.chunk = p->chunk + KEY_BLOCK)                    \
    N(forced_tile, true, p->req.tile = p->tile + KEY_SPLIT)                       \
    N(forced_slots, true, p->req.slots = p->slots + 1)                            \
    N(forced_group, true, p->req.group = p->group + 1)                            \
    N(forced_ctx, true, p->req.ctx = p->ctx + 1)                                  \
    N(forced_numerics, true, p->req.numerics = !p->req.numerics)                  \
    N(forced_logits_all, true, p->req.logits_all = !p->req.logits_all)            \
    N(forced_resident, true, p->req.resident = p->group_of[0].resident[DECODE] ? 0 : 1)

#define N(name, has, change)                       \
    static outcome name(const kind *k, hi_plan *p) \
    {                                              \
        (void)k;                                   \
        if (!(has))                                \
            return ABSENT;                         \
        change;                                    \
        return APPLIED;                            \
    }
NUMBERS(N)
#undef N

/* ---- the table of changes ---- */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *const step_name[N_STEPS] = {
#define S(name, args, what) #name,
#include "steps.def"
#undef S
};

static const char *const step_args[N_STEPS] = {
#define S(name, args, what) args,
#include "steps.def"
#undef S
};

static const char *const buffer_name[N_BUFFERS] = {
#define B(name, phases, what) #name,
#include "buffers.def"
#undef B
};

/* Neighbours of which the second needs the first. */
static const int dependent[][2] = {
    { STEP_embed, STEP_norm_qkv },
    { STEP_embed, STEP_await_store },
    { STEP_await_store, STEP_norm_qkv },
    { STEP_norm_qkv, STEP_store },
    { STEP_norm_qkv, STEP_open_heads },
    { STEP_open_heads, STEP_attend_resident },
    { STEP_attend_resident, STEP_each_tile },
    { STEP_attend_resident, STEP_attend_newest },
    { STEP_attend_resident, STEP_close_heads },
    { STEP_each_tile, STEP_await },
    { STEP_await, STEP_attend },
    { STEP_attend, STEP_refill },
    { STEP_refill, STEP_end_tiles },
    { STEP_end_tiles, STEP_attend_newest },
    { STEP_attend_newest, STEP_close_heads },
    { STEP_close_heads, STEP_open_heads },
    { STEP_close_heads, STEP_out_mlp },
    { STEP_out_mlp, STEP_norm_qkv },
    { STEP_out_mlp, STEP_logits },
};

static const kind plain[] = { { "shift a buffer into the one before", shift_buffer, 0, 0 },
                              { "misalign a buffer", misalign_buffer, 0, 0 },
                              { "grow a buffer into its gap", close_gap, 0, 0 },
                              { "keep: other size in one phase", part_kept_buffer, 0, 0 },
                              { "keep: other place in one phase", part_kept_buffer, 1, 0 },
                              { "group: resident in prefill + 1", change_resident, PREFILL, 1 },
                              { "group: resident in prefill - 1", change_resident, PREFILL, -1 },
                              { "group: resident in decode + 1", change_resident, DECODE, 1 },
                              { "group: resident in decode - 1", change_resident, DECODE, -1 },
                              { "group: layer", change_group, 0, 0 },
                              { "group: head", change_group, 1, 0 },
                              { "group: n", change_group, 2, 0 },
                              { "swap two groups of the ring", swap_groups, 0, 0 },
                              { "leave out enter", drop_enter, 0, 0 },
                              { "offload the other way", flip_offload, 0, 0 },
#define N(name, has, change) { "number: " #name, name, 0, 0 },
                              NUMBERS(N)
#undef N
};

static kind kinds[MAX_KINDS];
static int n_kinds;

static kind *add_kind(outcome (*apply)(const kind *, hi_plan *), int a, int b)
{
    assert_true(n_kinds < MAX_KINDS);
    kinds[n_kinds] = (kind){ .apply = apply, .a = a, .b = b };
    return &kinds[n_kinds++];
}

#define NAME(k, ...) snprintf((k)->name, sizeof(k)->name, __VA_ARGS__)

static void add_arg_kinds(int step)
{
    const char *at = step_args[step];
    for (int i = 0; *at != '\0'; i++) {
        int len = (int)strcspn(at, " ");
        NAME(add_kind(change_arg, step, i), "argument: %s's %.*s", step_name[step], len, at);
        at += len;
        at += strspn(at, " ");
    }
}

static void add_kinds(void)
{
    for (int i = 0; i < N_STEPS; i++)
        NAME(add_kind(delete_step, i, 0), "delete %s", step_name[i]);
    for (int i = 0; i < N_STEPS; i++)
        NAME(add_kind(repeat_step, i, 0), "repeat %s", step_name[i]);
    for (size_t i = 0; i < COUNT(dependent); i++)
        NAME(add_kind(swap_steps, dependent[i][0], dependent[i][1]), "swap %s, %s",
             step_name[dependent[i][0]], step_name[dependent[i][1]]);
    for (int i = 0; i < N_STEPS; i++)
        add_arg_kinds(i);
    for (int i = 0; i < N_BUFFERS; i++)
        NAME(add_kind(shrink_buffer, i, 0), "shrink %s", buffer_name[i]);
    for (size_t i = 0; i < COUNT(plain); i++)
        kinds[n_kinds++] = plain[i];
}

/* ---- 2: running them ---- */

static hi_spec pool_spec[N_POOL];
static hi_plan *pool[N_POOL];

/* Two of three plans with offload at least: the others have few steps. */
static void fill_pool(hi_arena *a)
{
    for (int n = 0; n < N_POOL;) {
        hi_arena *scratch = arena_new();
        hi_spec s = random_spec();
        hi_request q = random_request(&s);
        int64_t min, vram = random_budget(scratch, &s, q);
        arena_free(scratch);
        hi_plan *p = make(a, &s, q, vram, &min);
        if (p == NULL || (!p->offload && n % 3 != 0))
            continue;
        pool_spec[n] = s;
        pool[n++] = p;
    }
}

static void *copy_bytes(hi_arena *a, const void *from, size_t n, size_t room)
{
    void *to = arena_alloc(a, n + room);
    assert_non_null(to);
    if (n > 0)
        memcpy(to, from, n);
    return to;
}

/* A copy whose lists have room for one more step. */
static hi_plan *copy_plan(hi_arena *a, const hi_plan *p)
{
    hi_plan *c = copy_bytes(a, p, sizeof *p, 0);
    c->group_of = copy_bytes(a, p->group_of, (size_t)p->n_groups * sizeof *p->group_of, 0);
    for (int phase = 0; phase < N_PHASES; phase++)
        c->steps[phase] = copy_bytes(a, p->steps[phase],
                                     (size_t)p->n_steps[phase] * sizeof(hi_step), sizeof(hi_step));
    c->enter = copy_bytes(a, p->enter, (size_t)p->n_enter * sizeof(hi_step), sizeof(hi_step));
    return c;
}

typedef struct tally {
    int applied, caught, no_effect;
} tally;

static void try_kind(const kind *k, int i, tally *n)
{
    hi_arena *a = arena_new();
    hi_plan *p = copy_plan(a, pool[i]);
    hi_error e = { "" };
    outcome is = k->apply(k, p);
    if (is == APPLIED) {
        n->applied++;
        if (plan_check(&pool_spec[i], p, &e) != 0 && e.text[0] != '\0')
            n->caught++;
        else
            print_message("%s: not caught, plan %d of the pool\n", k->name, i);
    }
    n->no_effect += is == NO_EFFECT;
    arena_free(a);
}

static void changed_plans_fail(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    int missed = 0, unused = 0;
    fill_pool(a);
    add_kinds();
    print_message("%-40s caught/applied, no effect\n", "");
    for (int j = 0; j < n_kinds; j++) {
        tally n = { 0, 0, 0 };
        int first = (int)between(0, N_POOL - 1);
        for (int i = 0; i < N_POOL && n.applied < N_PER_KIND; i++)
            try_kind(&kinds[j], (first + i) % N_POOL, &n);
        print_message("%-40s %3d/%3d, %d\n", kinds[j].name, n.caught, n.applied, n.no_effect);
        missed += n.applied - n.caught;
        unused += n.applied + n.no_effect == 0;
    }
    print_message("%d kinds\n", n_kinds);
    arena_free(a);
    assert_int_equal(missed, 0);
    assert_int_equal(unused, 0);
}

/* ---- 3: cases made by hand ---- */

/* Two layers of two KV heads that move alone, five tiles, at the smallest budget. */
static hi_plan *small_plan(hi_arena *a, hi_spec *s, int resident)
{
    int64_t min;
    *s = (hi_spec){ .name = "small",
                    .path = "specs/small.lua",
                    .family = "llama",
                    .layers = 2,
                    .hidden = 32,
                    .heads = 4,
                    .kv_heads = 2,
                    .head_dim = 16,
                    .ffn = 64,
                    .vocab = 50,
                    .ctx = 1200,
                    .norm_eps = 1e-5,
                    .rope = { .theta = 10000 },
                    .bos = -1,
                    .tied = true,
                    .part = { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP },
                    .n_parts = 3 };
    hi_request q = { .ram_bytes = -1,
                     .resident = resident,
                     .chunk = KEY_BLOCK,
                     .tile = KEY_SPLIT,
                     .group = 1,
                     .slots = 3 };
    make(a, s, q, 1, &min);
    hi_plan *p = make(a, s, q, min, &min);
    assert_non_null(p);
    assert_true(p->offload && p->tiles == 5 && p->n_groups == 4);
    assert_true(passes(s, p));
    return copy_plan(a, p);
}

static int find_step(const hi_plan *p, int phase, int step, int layer)
{
    int i = 0;
    while ((int)p->steps[phase][i].kind != step || p->steps[phase][i].arg[0] != layer)
        i++;
    return i;
}

/* Moves the step at 'from' to 'to'; the steps between move up or down. */
static void move_step(hi_plan *p, int phase, int from, int to)
{
    hi_step *list = p->steps[phase], t = list[from];
    for (; from < to; from++)
        list[from] = list[from + 1];
    for (; from > to; from--)
        list[from] = list[from - 1];
    list[to] = t;
}

static void check_fails(const hi_spec *s, const hi_plan *p, const char *why)
{
    hi_error e = { "" };
    assert_int_equal(plan_check(s, p, &e), -1);
    if (strstr(e.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, e.text);
}

/* A store may start as late as its layer ends: what is fetched ahead is of lower layers. */
static void late_store_is_safe(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, 1);
    for (int l = 0; l < s.layers; l++)
        move_step(p, DECODE, find_step(p, DECODE, STEP_store, l),
                  find_step(p, DECODE, STEP_out_mlp, l) - 1);
    assert_true(passes(&s, p));
    arena_free(a);
}

/* The wait belongs before the layer that overwrites the window, not behind its projection. */
static void late_wait_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, 1);
    int i = find_step(p, PREFILL, STEP_norm_qkv, 1);
    move_step(p, PREFILL, i, i - 1);
    check_fails(&s, p, "prefill step");
    check_fails(&s, p, "norm_qkv(r, 1);: overwrites rows that a store may still read");
    arena_free(a);
}

/* Heads in another order than the ring's get another group's tile. */
static void other_order_than_the_ring_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, 1);
    int first = find_step(p, DECODE, STEP_open_heads, 0), n = 0;
    while (p->steps[DECODE][first + n].kind != STEP_close_heads)
        n++;
    for (int i = 0; i <= n; i++)
        move_step(p, DECODE, first, first + 2 * n + 1);
    check_fails(&s, p, "the slot holds tile 1 of layer 0 heads 0+1");
    arena_free(a);
}

/* A group of which decode keeps more tiles than prefill has these copied on the change. */
static void unfilled_frames_are_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, -1);
    assert_true(p->n_enter > 0);
    p->n_enter--;
    check_fails(&s, p, "are not filled");
    p->n_enter++;
    p->enter[0].arg[4]--;
    check_fails(&s, p, "enter step 0: settle(r, ");
    arena_free(a);
}

/* 80 layers of 8 KV heads that move alone, 128 tiles: the most steps of any known model. */
static void large_plan_passes(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s = { .name = "large",
                  .path = "specs/large.lua",
                  .family = "llama",
                  .layers = 80,
                  .hidden = 8192,
                  .heads = 64,
                  .kv_heads = 8,
                  .head_dim = 128,
                  .ffn = 28672,
                  .vocab = 128256,
                  .ctx = 131072,
                  .norm_eps = 1e-5,
                  .rope = { .theta = 5e5 },
                  .bos = -1,
                  .part = { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP },
                  .n_parts = 3 };
    hi_request q = { .ram_bytes = -1, .resident = -1, .tile = 1024, .group = 1 };
    int64_t min;
    make(a, &s, q, 1, &min);
    hi_plan *p = make(a, &s, q, min + min / 20, &min);
    assert_non_null(p);
    assert_true(p->offload && passes(&s, p));
    arena_free(a);
}

static void text_is(const hi_plan *p, hi_step st, const char *text)
{
    char line[80];
    step_text(p, &st, line, sizeof line);
    assert_string_equal(line, text);
}

static void steps_read_as_emitted(void **state)
{
    (void)state;
    hi_group g[2] = { { 7, 2, 2, { 0, 0 } }, { 100, 0, 2, { 0, 0 } } };
    hi_plan p = { .group_of = g, .n_groups = 1 };
    text_is(&p, (hi_step){ STEP_embed, { 0 } }, "embed(r);");
    text_is(&p, (hi_step){ STEP_norm_qkv, { 7 } }, "norm_qkv(r, 7);");
    text_is(&p, (hi_step){ STEP_each_tile, { 12 } }, "for (int t = 12; t < r->tiles; t++) {");
    text_is(&p, (hi_step){ STEP_await, { 0 } }, "await(r, SLOT);");
    text_is(&p, (hi_step){ STEP_attend, { 7, 2, 2 } }, "attend(r, 7, 2, 2, t, SLOT);");
    text_is(&p, (hi_step){ STEP_refill, { 0, 0 } }, "refill(r, SLOT, L07_H2);");
    text_is(&p, (hi_step){ STEP_end_tiles, { 0 } }, "}");
    text_is(&p, (hi_step){ STEP_settle, { 7, 2, 2, 3, 12 } }, "settle(r, 7, 2, 2, 3, 12);");
    p.n_groups = 2;
    text_is(&p, (hi_step){ STEP_refill, { 0, 0 } }, "refill(r, SLOT, L007_H2);");
    char few[9];
    step_text(&p, &(hi_step){ STEP_norm_qkv, { 7 } }, few, sizeof few);
    assert_string_equal(few, "norm_qkv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_plans_pass),
        cmocka_unit_test(changed_plans_fail),
        cmocka_unit_test(late_store_is_safe),
        cmocka_unit_test(late_wait_is_a_hazard),
        cmocka_unit_test(other_order_than_the_ring_is_a_hazard),
        cmocka_unit_test(unfilled_frames_are_a_hazard),
        cmocka_unit_test(large_plan_passes),
        cmocka_unit_test(steps_read_as_emitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
