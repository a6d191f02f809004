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
#include <time.h>

#include <cmocka.h>

#include "gen.h"
#include "replay.h"

#if defined(__SANITIZE_ADDRESS__)
enum { N_RANDOM = 1000 };
#else
enum { N_RANDOM = 4000 };
#endif

enum {
    N_POOL = 1000,
    N_PER_KIND = 100,
    MAX_KINDS = 300
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

static const hi_machine machine = {
    .name = "card",
    .host = "host",
    .memory = 24LL << 30,
    .reserve = 1 << 12,
    .matmul = 100e12,
    .attend = 60e12,
    .read = 800e9,
    .attend_read = 600e9,
    .h2d = 24e9,
    .d2h = 24e9,
    .both = 0.8,
    .step_s = 5e-6,
    .ram = 256LL << 30,
    .dram = 100e9,
    .cores = 16,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

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
    s.layers = (int)between(1, 6);
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
    s.query_scalar = s.head_dim;
    if (one_in(3)) /* windows: of some layers or all, shorter than the context or not */
        s.window = (hi_window){ one_in(2) ? between(1, 700) : log_between(1, 20001),
                                (int)between(0, s.layers - 1), (int)between(1, 3) };
    const hi_tensor_role norms[] = { T_Q_NORM, T_K_NORM, T_ATTN_POST_NORM, T_MLP_POST_NORM };
    bool some = one_in(3);
    for (size_t i = 0; some && i < COUNT(norms); i++)
        snprintf(s.tensor[norms[i]], TENSOR_NAME_LEN, "norm%zu.%%d", i);
    return s;
}

/* Which layers' weights and hidden states stay where. */
static void random_placement(const hi_spec *s, hi_request *q)
{
    q->weights = one_in(3) ? (int)between(0, s->layers) : -1;
    q->weight_slots = one_in(6) ? (int)between(MIN_WEIGHT_SLOTS, 5) : 0;
    q->panel = one_in(2) ? (int)between(1, s->layers) : 0;
    q->hidden = one_in(2) ? PICK(AT_DEVICE, AT_HOST) : AT_NONE;
    q->embed = one_in(4) ? (s->tied ? AT_DEVICE : PICK(AT_DEVICE, AT_HOST)) : AT_NONE;
}

/* Tiles small enough for several bands, mostly. */
static void random_tiles(const hi_spec *s, hi_request *q)
{
    int group = one_in(2) ? 1 : (int)between(1, s->kv_heads);
    q->tile = one_in(2) ? KEY_SPLIT * PICK(1, 2, 3, 4, 4, 8) : 0;
    q->group = one_in(2) && s->kv_heads % group == 0 ? group : 0;
    q->slots = one_in(4) ? (int)between(MIN_SLOTS, 9) : 0;
    q->bands = one_in(2) ? (int)between(1, MAX_BANDS) : 0;
    q->resident = one_in(4) ? (int)between(0, 6) : -1;
}

static hi_request random_request(const hi_spec *s)
{
    hi_request q = { .vram_bytes = -1, .ram_bytes = -1, .resident = -1 };
    q.numerics = one_in(2) ? NUM_F32 : NUM_BF16;
    q.target = q.numerics == NUM_BF16 && one_in(3) ? TARGET_CUDA : TARGET_CPU;
    if (q.target == TARGET_CPU && one_in(3))
        q.weights_type = PICK(WEIGHTS_Q8, WEIGHTS_Q4);
    q.logits_all = one_in(3);
    q.goal = PICK(GOAL_BALANCED, GOAL_PREFILL, GOAL_DECODE);
    q.policy =
        one_in(8) ? PICK(POLICY_STANDARD, POLICY_CHUNKED, POLICY_LAYER, POLICY_HEAD) : POLICY_AUTO;
    q.ctx = one_in(3) ? between(1, s->ctx) : 0;
    q.chunk = one_in(3) ? KEY_BLOCK * between(1, 16) : 0;
    q.mlp_rows = one_in(6) ? KEY_BLOCK * between(1, q.chunk > 0 ? q.chunk / KEY_BLOCK : 1) : 0;
    random_tiles(s, &q);
    random_placement(s, &q);
    return q;
}

static hi_plan *make(hi_arena *a, const hi_spec *s, hi_request q, int64_t vram, int64_t *min)
{
    hi_error e = { "" };
    *min = 0;
    q.vram_bytes = vram;
    return plan_make(a, s, &q, &machine, min, &e);
}

/* Half of the smallest budget that works to twice what everything needs, or no budget. */
static int64_t random_budget(hi_arena *a, const hi_spec *s, hi_request q)
{
    int64_t min, none;
    make(a, s, q, 1, &min);
    hi_plan *all = make(a, s, q, -1, &none);
    if (min == 0 || all == NULL || one_in(8))
        return -1;
    return log_between(0.5 * (double)min, 2.0 * (double)(all->arena_bytes + machine.reserve));
}

static void print_case(const hi_spec *s, const hi_request *q)
{
    print_message(
        "layers %d kv_heads %d heads %d head_dim %d hidden %d ffn %d vocab %d ctx %" PRId64
        " biases %d%d%d tied %d\n",
        s->layers, s->kv_heads, s->heads, s->head_dim, s->hidden, s->ffn, s->vocab, s->ctx,
        s->qkv_bias, s->o_bias, s->mlp_bias, s->tied);
    print_message("vram %" PRId64 " ram %" PRId64 " ctx %" PRId64 " chunk %" PRId64 " tile %" PRId64
                  " group %d slots %d bands %d resident %d weights %d weight_slots %d panel %d"
                  " mlp_rows %" PRId64 " hidden %d embed %d goal %d policy %d all %d num %d"
                  " weights_type %d\n",
                  q->vram_bytes, q->ram_bytes, q->ctx, q->chunk, q->tile, q->group, q->slots,
                  q->bands, q->resident, q->weights, q->weight_slots, q->panel, q->mlp_rows,
                  (int)q->hidden, (int)q->embed, (int)q->goal, (int)q->policy, q->logits_all,
                  (int)q->numerics, (int)q->weights_type);
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

/* What the random plans contain: every kind of arrangement several times. */
typedef struct census {
    int accepted, for_memory, for_else, wrong;
    int offload, bands, panels, on_host, on_device, streams, hold, not_hold, embed;
} census;

static void count_plan(census *n, const hi_plan *p)
{
    n->accepted++;
    n->offload += p->offload;
    n->bands += p->n_bands > 1;
    n->panels += p->panels > 1;
    n->on_host += p->hidden == AT_HOST;
    n->on_device += p->hidden == AT_DEVICE;
    n->streams += p->weight_slots > 0;
    n->hold += p->weight_slots > 0 && p->hold;
    n->not_hold += !p->hold;
    n->embed += p->embed == AT_HOST;
}

static void random_plans_pass(void **state)
{
    (void)state;
    census n = { 0 };
    for (int i = 0; i < N_RANDOM && n.wrong < 10; i++) {
        hi_arena *a = arena_new();
        hi_spec s = random_spec();
        hi_request q = random_request(&s);
        int64_t min, vram = random_budget(a, &s, q);
        q.ram_bytes = one_in(20) ? log_between(1e3, 1e8) : -1;
        q.vram_bytes = vram;
        hi_plan *p = make(a, &s, q, vram, &min);
        n.for_memory += p == NULL && min > 0;
        n.for_else += p == NULL && min <= 0;
        if (p != NULL)
            count_plan(&n, p);
        if (p != NULL)
            n.wrong += !passes(&s, p);
        else if (min > 0)
            n.wrong += !refusal_is_exact(a, &s, q, min);
        arena_free(a);
    }
    print_message("accepted %d, refused %d for device memory, %d else\n", n.accepted, n.for_memory,
                  n.for_else);
    print_message(
        "offload %d, several bands %d, panels %d (host %d, device %d), weights streamed %d"
        " (hold %d, not %d), embedding on the host %d\n",
        n.offload, n.bands, n.panels, n.on_host, n.on_device, n.streams, n.hold, n.not_hold,
        n.embed);
    assert_int_equal(n.wrong, 0);
    assert_true(n.accepted >= N_RANDOM * 2 / 5);
    assert_true(n.offload >= N_RANDOM / 10);
    const int each[] = { n.bands, n.on_host, n.on_device, n.hold, n.not_hold, n.embed };
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
        assert_true(each[i] >= N_RANDOM / 50);
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
    int band, phase; /* -1: enter */
} site;

static hi_step *step_at(const site *w)
{
    return *w->list + w->at;
}

/* Offers every step of a kind, followed by one of 'then' (-1: any, or none), evenly. */
static void offer(site w, int step, int then, int *seen, site *out)
{
    for (w.at = 0; w.at < *w.n; w.at++) {
        const hi_step *st = step_at(&w);
        if ((int)st->kind != step || (then >= 0 && (w.at + 1 == *w.n || (int)st[1].kind != then)))
            continue;
        if (one_in(++*seen))
            *out = w;
    }
}

static bool find_site(hi_plan *p, int step, int then, site *out)
{
    int seen = 0;
    offer((site){ &p->enter, &p->n_enter, 0, -1, -1 }, step, then, &seen, out);
    for (int b = 0; b < p->n_bands; b++)
        for (int phase = 0; phase < N_PHASES; phase++)
            offer((site){ &p->band[b].steps[phase], &p->band[b].n_steps[phase], 0, b, phase }, step,
                  then, &seen, out);
    return seen > 0;
}

/* Makes room for one step more (by 1), or closes the step's place (by -1). */
static void move_rest(hi_plan *p, const site *w, int by)
{
    hi_step *from = step_at(w) + (by < 0);
    memmove(from + by, from, (size_t)(*w->list + *w->n - from) * sizeof *from);
    *w->n += by;
    for (int i = 0; w->phase == PREFILL && i <= p->panels; i++)
        if (p->band[w->band].panel_at[i] > w->at)
            p->band[w->band].panel_at[i] += by;
}

/* Rows in whole splits before a pass: the most, in the passes that a band is for. */
static int64_t most_complete(const hi_plan *p, int band)
{
    int64_t whole = (p->ctx - 1) / KEY_SPLIT * KEY_SPLIT;
    return p->band[band].upto < whole ? p->band[band].upto : whole;
}

/* Does no pass use the step's band? Its context then begins in the band's last split. */
static bool never_used(const hi_plan *p, const site *w)
{
    return w->band > 0 && p->band[w->band - 1].upto >= most_complete(p, w->band);
}

/* Turns of the loop around a step, or that the step begins or ends, after 'complete' rows. */
static int64_t turns(const site *w, int64_t complete)
{
    int i = w->at;
    while ((*w->list)[i].kind != STEP_each_tile)
        i--;
    const hi_step *loop = *w->list + i;
    int64_t rows = complete - loop->arg[0];
    return rows > 0 ? (rows + loop->arg[1] - 1) / loop->arg[1] : 0;
}

static int64_t most_turns(const hi_plan *p, const site *w)
{
    return turns(w, most_complete(p, w->band));
}

static int64_t fewest_turns(const hi_plan *p, const site *w)
{
    return turns(w, w->band > 0 ? p->band[w->band - 1].upto + KEY_SPLIT : 0);
}

static bool in_loop(int step)
{
    return step == STEP_await || step == STEP_attend || step == STEP_refill;
}

/* Is what stands here never run? */
static bool never_runs(const hi_plan *p, const site *w, int step)
{
    return never_used(p, w) || (in_loop(step) && most_turns(p, w) == 0);
}

/* Resident attention over no rows: no resident ones, or no pass has a whole split. */
static bool attends_nothing(const hi_plan *p, const site *w)
{
    return p->offload && (step_at(w)->arg[3] == 0 || most_complete(p, w->band) == 0);
}

static outcome delete_step(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, -1, &w))
        return ABSENT;
    if (never_runs(p, &w, k->a) || (k->a == STEP_attend_resident && attends_nothing(p, &w)))
        return NO_EFFECT;
    if (k->a == STEP_attend_near && p->ctx <= KEY_SPLIT) /* no split is ever complete before a pass */
        return NO_EFFECT;
    move_rest(p, &w, -1);
    return APPLIED;
}

static outcome repeat_step(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, -1, &w))
        return ABSENT;
    /* what was waited for stays over */
    if (k->a == STEP_await || k->a == STEP_await_store || k->a == STEP_await_weights)
        return NO_EFFECT;
    if (never_runs(p, &w, k->a) || (k->a == STEP_each_tile && most_turns(p, &w) == 0))
        return NO_EFFECT;
    hi_step st = *step_at(&w);
    move_rest(p, &w, 1);
    *step_at(&w) = st;
    return APPLIED;
}

/* Resident attention moved into the loop behind it: that runs once in every pass, or once at most
   and there are no rows. */
static bool same_in_loop(const hi_plan *p, site w)
{
    bool nothing = attends_nothing(p, &w);
    w.at++;
    return most_turns(p, &w) <= 1 && (nothing || fewest_turns(p, &w) == 1);
}

static outcome swap_steps(const kind *k, hi_plan *p)
{
    site w;
    if (!find_site(p, k->a, k->b, &w))
        return ABSENT;
    if (never_used(p, &w) || (in_loop(k->a) && in_loop(k->b) && most_turns(p, &w) == 0))
        return NO_EFFECT;
    if (k->a == STEP_attend_resident && k->b == STEP_each_tile && same_in_loop(p, w))
        return NO_EFFECT;
    if (k->a == STEP_end_tiles && most_turns(p, &w) == 1 && fewest_turns(p, &w) == 1)
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
    if (never_runs(p, &w, k->a))
        return NO_EFFECT;
    int by = PICK(-1, 1, -2, 2, 3);
    step_at(&w)->arg[k->b] += by;
    return APPLIED;
}

/* ---- buffers ---- */

static bool stays(int id)
{
    return id == BUF_weights || id == BUF_layers || id == BUF_tails || id == BUF_kept;
}

/* Applies to the other phase too where the buffer keeps its place. */
static void set_buffer(hi_plan *p, int phase, int id, hi_buffer b)
{
    p->buf[phase][id] = b;
    if (stays(id))
        p->buf[!phase][id] = b;
}

static outcome resize_buffer(const kind *k, hi_plan *p)
{
    int phase = (int)between(0, 1);
    if (p->buf[phase][k->a].bytes == 0)
        phase = !phase;
    hi_buffer b = p->buf[phase][k->a];
    if (b.bytes == 0)
        return ABSENT;
    b.bytes += k->b > 0 || b.bytes > BUF_ALIGN ? k->b * BUF_ALIGN : -b.bytes;
    set_buffer(p, phase, k->a, b);
    return APPLIED;
}

/* A buffer that is there, or behind which another is. */
static int some_buffer(const hi_buffer *b, int n)
{
    int id;
    do
        id = (int)between(0, n - 1);
    while (b[id].bytes == 0);
    return id;
}

/* The buffer behind 'id', or -1. */
static int next_buffer(const hi_buffer *b, int n, int id)
{
    int next = -1;
    for (int i = 0; i < n; i++)
        if (b[i].bytes > 0 && b[i].offset > b[id].offset &&
            (next < 0 || b[i].offset < b[next].offset))
            next = i;
    return next;
}

static bool neighbours(const hi_plan *p, int *phase, int *id, int *next)
{
    *phase = (int)between(0, 1);
    *id = some_buffer(p->buf[*phase], N_BUFFERS);
    *next = next_buffer(p->buf[*phase], N_BUFFERS, *id);
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
    int phase = (int)between(0, 1), id = some_buffer(p->buf[phase], N_BUFFERS);
    hi_buffer b = p->buf[phase][id];
    b.offset += PICK(1, 64, 128);
    set_buffer(p, phase, id, b);
    return APPLIED;
}

/* The next buffer begins where this one ends, or a little later. */
static outcome close_gap(const kind *k, hi_plan *p)
{
    (void)k;
    int phase, id, next;
    if (!neighbours(p, &phase, &id, &next))
        return ABSENT;
    hi_buffer b = p->buf[phase][next], before = p->buf[phase][id];
    b.offset = (before.offset + before.bytes + BUF_ALIGN - 1) / BUF_ALIGN * BUF_ALIGN;
    set_buffer(p, phase, next, b);
    return APPLIED;
}

static outcome part_kept_buffer(const kind *k, hi_plan *p)
{
    int id = PICK(BUF_weights, BUF_layers, BUF_tails, BUF_kept), phase = (int)between(0, 1);
    if (p->buf[phase][id].bytes == 0)
        return ABSENT;
    if (k->a)
        p->buf[phase][id].offset += p->arena_bytes;
    else
        p->buf[phase][id].bytes += 1;
    return APPLIED;
}

/* ---- host buffers ---- */

static outcome resize_host(const kind *k, hi_plan *p)
{
    if (p->host[k->a].bytes == 0)
        return ABSENT;
    p->host[k->a].bytes += k->b;
    return APPLIED;
}

static outcome misalign_host(const kind *k, hi_plan *p)
{
    if (p->host[k->a].bytes == 0)
        return ABSENT;
    p->host[k->a].offset += PICK(1, 256, 2048);
    return APPLIED;
}

static outcome overlap_host(const kind *k, hi_plan *p)
{
    (void)k;
    if (p->host_bytes == 0)
        return ABSENT;
    int id = some_buffer(p->host, N_HOSTS), next = next_buffer(p->host, N_HOSTS, id);
    if (next < 0)
        return ABSENT;
    p->host[next].offset = (p->host[id].offset + p->host[id].bytes - 1) / 4096 * 4096;
    return APPLIED;
}

/* ---- what stays ---- */

static int some_layer(const hi_plan *p)
{
    return (int)between(0, p->band[0].group_of[p->band[0].n_groups - 1].layer);
}

static outcome change_resident(const kind *k, hi_plan *p)
{
    int64_t *rows = &p->resident[k->a][some_layer(p)];
    *rows += k->b * (one_in(2) ? 1 : p->band[p->n_bands - 1].tile);
    return APPLIED;
}

/* The sums are the same, so every buffer's size is. */
static outcome swap_resident(const kind *k, hi_plan *p)
{
    int64_t *rows = p->resident[k->a];
    int i = some_layer(p), j = some_layer(p);
    if (rows[i] == rows[j])
        return ABSENT;
    int64_t t = rows[i];
    rows[i] = rows[j];
    rows[j] = t;
    return APPLIED;
}

static outcome change_streamed(const kind *k, hi_plan *p)
{
    (void)k;
    bool *streamed = &p->streamed[some_layer(p)];
    *streamed = !*streamed;
    return APPLIED;
}

static outcome swap_streamed(const kind *k, hi_plan *p)
{
    (void)k;
    int i = some_layer(p), j = some_layer(p);
    if (p->streamed[i] == p->streamed[j])
        return ABSENT;
    p->streamed[i] = !p->streamed[i];
    p->streamed[j] = !p->streamed[j];
    return APPLIED;
}

/* ---- bands and panels ---- */

static hi_band *some_band(hi_plan *p)
{
    return &p->band[between(0, p->n_bands - 1)];
}

static outcome change_group(const kind *k, hi_plan *p)
{
    hi_band *b = some_band(p);
    hi_group *g = &b->group_of[between(0, b->n_groups - 1)];
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
    hi_band *b = some_band(p);
    if (b->n_groups < 2)
        return ABSENT;
    int64_t i = between(0, b->n_groups - 2);
    hi_group t = b->group_of[i];
    b->group_of[i] = b->group_of[i + 1];
    b->group_of[i + 1] = t;
    return APPLIED;
}

/* Two bands' schedules: as if each stood in the other's place. */
static outcome swap_bands(const kind *k, hi_plan *p)
{
    int i = (int)between(0, p->n_bands - 1);
    if (i + 1 == p->n_bands)
        return ABSENT;
    hi_band t = p->band[i];
    p->band[i] = p->band[i + 1];
    p->band[i + 1] = t;
    if (k->a) { /* the borders stay */
        p->band[i + 1].upto = p->band[i].upto;
        p->band[i].upto = t.upto;
    }
    return APPLIED;
}

static outcome change_panel_at(const kind *k, hi_plan *p)
{
    int i = k->a ? (int)between(0, p->panels) : 1;
    if (!k->a && p->panels == 1)
        return ABSENT;
    int *at = some_band(p)->panel_at;
    at[k->a ? (i > 0 ? p->panels : 0) : i] += one_in(2) ? 1 : -1;
    return APPLIED;
}

static outcome drop_enter(const kind *k, hi_plan *p)
{
    (void)k;
    if (p->n_enter == 0)
        return ABSENT;
    p->n_enter--;
    return APPLIED;
}

static int other_place(hi_place at)
{
    return at == AT_HOST ? AT_DEVICE : AT_HOST;
}

static int streamed_layers(const hi_plan *p)
{
    int n = 0;
    for (int l = 0; l < MAX_LAYERS; l++)
        n += p->streamed[l];
    return n;
}

/* ---- numbers ---- */

/* Changes of one number; the second column says which plans have the number. */
#define LAST_BAND p->band[p->n_bands - 1]
#define NUMBERS(N)                                                                            \
    N(step_unknown, true, p->band[0].steps[PREFILL][0].kind = N_STEPS)                        \
    N(offload_the_other_way, true, p->offload = !p->offload)                                  \
    N(slots_more, p->offload, p->slots++)                                                     \
    N(slots_fewer, p->offload, p->slots--)                                                    \
    N(arena_too_small, true, p->arena_bytes -= BUF_GAP + BUF_ALIGN)                           \
    N(arena_too_large, true, p->arena_bytes += BUF_GAP + BUF_ALIGN)                           \
    N(arena_huge, true, p->arena_bytes = INT64_MAX / BUF_ALIGN * BUF_ALIGN)                   \
    N(buffer_huge, true, p->buf[DECODE][BUF_x].bytes = INT64_MAX)                             \
    N(host_less, true, p->host_bytes -= 4096)                                                 \
    N(host_more, true, p->host_bytes += 4096)                                                 \
    N(tile_not_of_splits, true, some_band(p)->tile += KEY_BLOCK)                              \
    N(tile_other, p->offload || p->piece == p->band[0].tile, some_band(p)->tile += KEY_SPLIT) \
    N(piece_other, true, p->piece += KEY_SPLIT)                                               \
    N(tile_huge, true, some_band(p)->tile = INT64_MAX / 4 / KEY_SPLIT * KEY_SPLIT)            \
    N(group_more, true, some_band(p)->group++)                                                \
    N(group_fewer, true, some_band(p)->group--)                                               \
    N(groups_fewer, true, some_band(p)->n_groups--)                                           \
    N(upto_more, true, some_band(p)->upto += KEY_SPLIT)                                       \
    N(upto_fewer, true, some_band(p)->upto -= KEY_SPLIT)                                      \
    N(upto_by_one, true, some_band(p)->upto++)                                                \
    N(bands_fewer, true, p->n_bands--)                                                        \
    N(bands_many, true, p->n_bands = MAX_BANDS + 1)                                           \
    N(ctx_huge, true, p->ctx = INT64_MAX)                                                     \
    N(ctx_more, true, p->ctx++)                                                               \
    N(ctx_fewer, true, p->ctx--)                                                              \
    N(chunk_not_of_blocks, true, p->chunk++)                                                  \
    N(chunk_other, true, p->chunk += KEY_BLOCK)                                               \
    N(mlp_rows_more, true, p->mlp_rows += KEY_BLOCK)                                          \
    N(mlp_rows_fewer, true, p->mlp_rows -= KEY_BLOCK)                                         \
    N(mlp_rows_not_of_blocks, true, p->mlp_rows--)                                            \
    N(panel_more, true, p->panel++)                                                           \
    N(panel_fewer, true, p->panel--)                                                          \
    N(panels_more, true, p->panels++)                                                         \
    N(panels_fewer, true, p->panels--)                                                        \
    N(resident_layers_more, true, p->resident_layers++)                                       \
    N(resident_layers_fewer, true, p->resident_layers--)                                      \
    N(weight_slots_more, true, p->weight_slots++)                                             \
    N(weight_slots_fewer, true, p->weight_slots--)                                            \
    N(hold_the_other_way, true, p->hold = !p->hold)                                           \
    N(hidden_nowhere, p->panels > 1, p->hidden = AT_NONE)                                     \
    N(hidden_elsewhere, true, p->hidden = other_place(p->hidden))                             \
    N(embed_nowhere, true, p->embed = AT_NONE)                                                \
    N(embed_elsewhere, true, p->embed = other_place(p->embed))                                \
    N(rows_of_prefill, true, p->rows[PREFILL]++)                                              \
    N(rows_of_decode, true, p->rows[DECODE]++)                                                \
    N(rows_of_logits, true, p->logit_rows[PREFILL]++)                                         \
    N(elt, true, p->elt = 6 - p->elt)                                                         \
    N(over_vram, true, p->req.vram_bytes = p->arena_bytes + p->reserve_bytes - 1)             \
    N(over_ram, p->host_bytes > 0, p->req.ram_bytes = p->host_bytes - 1)                      \
    N(reserve_negative, true, p->reserve_bytes = -1)                                          \
    N(forced_chunk, true, p->req.chunk = p->chunk + KEY_BLOCK)                                \
    N(forced_tile, true, p->req.tile = LAST_BAND.tile + KEY_SPLIT)                            \
    N(forced_group, true, p->req.group = LAST_BAND.group + 1)                                 \
    N(forced_slots, p->offload, p->req.slots = p->slots + 1)                                  \
    N(forced_bands, p->n_bands > 1, p->req.bands = p->n_bands - 1)                            \
    N(forced_ctx, true, p->req.ctx = p->ctx + 1)                                              \
    N(forced_numerics, true, p->req.numerics = !p->req.numerics)                              \
    N(forced_weights_type, true, p->req.weights_type = (p->req.weights_type + 1) % 3)         \
    N(weights_type, true, p->req.weights_type = N_WEIGHTS_TYPES)                              \
    N(forced_logits_all, true, p->req.logits_all = !p->req.logits_all)                        \
    N(forced_resident, true, p->req.resident = p->resident[DECODE][0] ? 0 : 1)                \
    N(forced_weights, true, p->req.weights = p->resident_layers ? p->resident_layers - 1 : 1) \
    N(forced_weight_slots, p->weight_slots < streamed_layers(p),                              \
      p->req.weight_slots = p->weight_slots + 1)                                              \
    N(forced_panel, true, p->req.panel = p->panel + 1)                                        \
    N(forced_mlp_rows, true, p->req.mlp_rows = p->mlp_rows + KEY_BLOCK)                       \
    N(forced_hidden, p->panels > 1, p->req.hidden = other_place(p->hidden))                   \
    N(forced_embed, true, p->req.embed = other_place(p->embed))

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

static const char *const host_name[N_HOSTS] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
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
    { STEP_embed, STEP_await_weights },
    { STEP_take_hidden, STEP_norm_qkv },
    { STEP_take_hidden, STEP_norm_kv },
    { STEP_take_hidden, STEP_await_store },
    { STEP_take_hidden, STEP_await_weights },
    { STEP_await_weights, STEP_norm_qkv },
    { STEP_await_weights, STEP_norm_kv },
    { STEP_await_store, STEP_norm_qkv },
    { STEP_await_store, STEP_norm_kv },
    { STEP_norm_qkv, STEP_store },
    { STEP_norm_kv, STEP_store },
    { STEP_norm_qkv, STEP_open_heads },
    { STEP_norm_kv, STEP_last_row },
    { STEP_store, STEP_last_row },
    { STEP_last_row, STEP_open_heads },
    { STEP_open_heads, STEP_attend_resident },
    { STEP_attend_resident, STEP_each_tile },
    { STEP_attend_resident, STEP_attend_newest },
    { STEP_attend_resident, STEP_close_heads },
    { STEP_open_heads, STEP_attend_near },
    { STEP_attend_near, STEP_attend_newest },
    { STEP_out_mlp, STEP_keep_near },
    { STEP_each_tile, STEP_await },
    { STEP_await, STEP_attend },
    { STEP_attend, STEP_refill },
    { STEP_refill, STEP_end_tiles },
    { STEP_end_tiles, STEP_attend_newest },
    { STEP_attend_newest, STEP_close_heads },
    { STEP_close_heads, STEP_open_heads },
    { STEP_close_heads, STEP_out_mlp },
    { STEP_out_mlp, STEP_norm_qkv },
    { STEP_out_mlp, STEP_norm_kv },
    { STEP_out_mlp, STEP_end_last_row },
    { STEP_out_mlp, STEP_refill_weights },
    { STEP_out_mlp, STEP_retire_weights },
    { STEP_out_mlp, STEP_put_hidden },
    { STEP_out_mlp, STEP_take_hidden },
    { STEP_out_mlp, STEP_logits },
    { STEP_put_hidden, STEP_take_hidden },
    { STEP_retire_weights, STEP_take_hidden },
    { STEP_end_last_row, STEP_refill_weights },
    { STEP_end_last_row, STEP_retire_weights },
    { STEP_end_last_row, STEP_logits },
};

static const kind plain[] = { { "shift a buffer into the one before", shift_buffer, 0, 0 },
                              { "misalign a buffer", misalign_buffer, 0, 0 },
                              { "close the gap between buffers", close_gap, 0, 0 },
                              { "keep: other size in one phase", part_kept_buffer, 0, 0 },
                              { "keep: other place in one phase", part_kept_buffer, 1, 0 },
                              { "overlap host buffers", overlap_host, 0, 0 },
                              { "resident in prefill: more", change_resident, PREFILL, 1 },
                              { "resident in prefill: fewer", change_resident, PREFILL, -1 },
                              { "resident in decode: more", change_resident, DECODE, 1 },
                              { "resident in decode: fewer", change_resident, DECODE, -1 },
                              { "resident in prefill: swap layers", swap_resident, PREFILL, 0 },
                              { "resident in decode: swap layers", swap_resident, DECODE, 0 },
                              { "streamed: one layer", change_streamed, 0, 0 },
                              { "streamed: swap layers", swap_streamed, 0, 0 },
                              { "group: layer", change_group, 0, 0 },
                              { "group: head", change_group, 1, 0 },
                              { "group: n", change_group, 2, 0 },
                              { "swap two groups of the ring", swap_groups, 0, 0 },
                              { "swap two bands", swap_bands, 0, 0 },
                              { "swap two bands but for upto", swap_bands, 1, 0 },
                              { "panel_at: a later panel", change_panel_at, 0, 0 },
                              { "panel_at: first or end", change_panel_at, 1, 0 },
                              { "leave out a step of enter", drop_enter, 0, 0 },
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
    for (int i = 0; i < 2 * N_BUFFERS; i++)
        NAME(add_kind(resize_buffer, i / 2, i % 2 ? 1 : -1), "%s %s", i % 2 ? "grow" : "shrink",
             buffer_name[i / 2]);
    for (int i = 0; i < 2 * N_HOSTS; i++)
        NAME(add_kind(resize_host, i / 2, i % 2 ? 1 : -1), "%s host's %s",
             i % 2 ? "grow" : "shrink", host_name[i / 2]);
    for (int i = 0; i < N_HOSTS; i++)
        NAME(add_kind(misalign_host, i, 0), "misalign host's %s", host_name[i]);
    for (size_t i = 0; i < COUNT(plain); i++)
        kinds[n_kinds++] = plain[i];
}

/* ---- 2: running them ---- */

static hi_spec pool_spec[N_POOL];
static hi_plan *pool[N_POOL];

/* Of three plans one at least streams tiles, one in several bands: the others have few steps. */
static bool fits_pool(const hi_plan *p, int n)
{
    return n % 3 == 0 || (p->offload && (n % 3 == 1 || p->n_bands > 1));
}

static void fill_pool(hi_arena *a)
{
    for (int n = 0; n < N_POOL;) {
        hi_arena *scratch = arena_new();
        hi_spec s = random_spec();
        hi_request q = random_request(&s);
        int64_t min, vram = random_budget(scratch, &s, q);
        hi_plan *p = make(scratch, &s, q, vram, &min);
        if (p != NULL && fits_pool(p, n)) {
            pool_spec[n] = s;
            pool[n++] = make(a, &s, q, vram, &min);
        }
        arena_free(scratch);
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
    for (int i = 0; i < p->n_bands; i++) {
        hi_band *b = &c->band[i];
        b->group_of = copy_bytes(a, b->group_of, (size_t)b->n_groups * sizeof *b->group_of, 0);
        b->panel_at = copy_bytes(a, b->panel_at, (size_t)(p->panels + 1) * sizeof *b->panel_at, 0);
        for (int phase = 0; phase < N_PHASES; phase++)
            b->steps[phase] = copy_bytes(
                a, b->steps[phase], (size_t)b->n_steps[phase] * sizeof(hi_step), sizeof(hi_step));
    }
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
    int missed = 0, unused = 0;
    for (int i = 0; i < N_POOL; i++)
        assert_true(passes(&pool_spec[i], pool[i]));
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
    assert_int_equal(missed, 0);
    assert_int_equal(unused, 0);
}

/* ---- 3: leaps over tiles ---- */

/* The machine's state after every pass and in the last turns of every loop is the same whether a
   replay leaps or not. */
static void leaps_change_nothing(void **state)
{
    (void)state;
    int64_t steps = 0, leapt = 0;
    for (int i = 0; i < N_POOL; i++) {
        replay_log slow, fast;
        hi_error e = { "" };
        if (!pool[i]->offload)
            continue;
        assert_int_equal(replay_logged(&pool_spec[i], pool[i], true, &slow, &e), 0);
        assert_int_equal(replay_logged(&pool_spec[i], pool[i], false, &fast, &e), 0);
        assert_int_equal(slow.passes, fast.passes);
        if (slow.digest != fast.digest)
            fail_msg("plan %d of the pool: another state after leaps", i);
        steps += slow.steps;
        leapt += slow.steps - fast.steps;
    }
    print_message("%" PRId64 " steps, %" PRId64 " of them leapt over\n", steps, leapt);
    assert_true(leapt > steps / 10);
}

/* ---- 4: cases made by hand ---- */

/* Two layers of two KV heads that move alone, five tiles, at the smallest budget. */
static hi_plan *small_plan(hi_arena *a, hi_spec *s, hi_request q)
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
    q.ram_bytes = -1;
    q.chunk = KEY_BLOCK;
    q.tile = KEY_SPLIT;
    q.group = 1;
    make(a, s, q, 1, &min);
    hi_plan *p = make(a, s, q, min, &min);
    assert_non_null(p);
    assert_true(p->offload && p->n_bands == 1 && p->band[0].n_groups == 4);
    assert_true(passes(s, p));
    return copy_plan(a, p);
}

/* The KV cache streams, the weights stay; 'panel' layers at a time. */
static hi_request streaming(int panel, int slots)
{
    return (hi_request){ .resident = 1, .weights = 2, .panel = panel, .slots = slots };
}

static int find_step(const hi_plan *p, int phase, int step, int layer)
{
    const hi_step *list = p->band[0].steps[phase];
    int i = 0;
    while ((int)list[i].kind != step || (layer >= 0 && list[i].arg[0] != layer))
        i++;
    return i;
}

/* Moves the step at 'from' to 'to'; the steps between move up or down. */
static void move_step(hi_plan *p, int phase, int from, int to)
{
    hi_step *list = p->band[0].steps[phase], t = list[from];
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

/* A store may start as late as the layer's tiles begin, but no later: when one is consumed, the
   layer's may be fetched for the next token, where the ring has room for that many. */
static void late_store_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, streaming(2, 9));
    int from = find_step(p, DECODE, STEP_store, 1),
        to = find_step(p, DECODE, STEP_open_heads, 1) + 1;
    move_step(p, DECODE, from, to);
    assert_int_equal(p->band[0].steps[DECODE][to + 1].kind, STEP_each_tile);
    assert_true(passes(&s, p));
    p = small_plan(a, &s, streaming(2, 9));
    move_step(p, DECODE, from, find_step(p, DECODE, STEP_out_mlp, 1) - 1);
    check_fails(&s, p, "fetches layer 1 heads 0+1 up to row");
    arena_free(a);
}

/* The wait belongs before the layer that overwrites the window, not behind its projection. */
static void late_wait_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, streaming(2, 3));
    int i = find_step(p, PREFILL, STEP_norm_kv, 1);
    move_step(p, PREFILL, i, i - 1);
    check_fails(&s, p, "prefill step");
    check_fails(&s, p, "norm_kv(r, 1);: overwrites rows that a store may still read");
    arena_free(a);
}

/* Heads in another order than the ring's get another group's tile. */
static void other_order_than_the_ring_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, streaming(2, 3));
    int first = find_step(p, DECODE, STEP_open_heads, 0), n = 0;
    while (p->band[0].steps[DECODE][first + n].kind != STEP_close_heads)
        n++;
    for (int i = 0; i <= n; i++)
        move_step(p, DECODE, first, first + 2 * n + 1);
    check_fails(&s, p, "the slot holds rows [256, 512) of layer 0 heads 0+1");
    arena_free(a);
}

/* A layer of which decode keeps more rows than prefill has these copied on the change. */
static void unfilled_frames_are_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p =
        small_plan(a, &s, (hi_request){ .resident = -1, .weights = 2, .panel = 2, .slots = 3 });
    assert_true(p->n_enter > 0);
    p->n_enter--;
    check_fails(&s, p, "are not filled");
    p->n_enter++;
    p->enter[0].arg[2] -= KEY_SPLIT;
    check_fails(&s, p, "enter step 0: settle(r, ");
    arena_free(a);
}

/* What leaves for the host before a panel's last layer is through is of the wrong layer. */
static void early_put_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_request q = streaming(1, 3);
    q.hidden = AT_HOST;
    hi_plan *p = small_plan(a, &s, q);
    int i = find_step(p, PREFILL, STEP_put_hidden, -1);
    move_step(p, PREFILL, i, i - 1);
    check_fails(&s, p, "put_hidden(r);: 'x' is not the input of layer 1");
    arena_free(a);
}

/* The ring's slot is the next layer's once a layer's weights are released. */
static void early_release_is_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, (hi_request){ .resident = 1, .panel = 2 });
    assert_int_equal(p->weight_slots, 2);
    int i = find_step(p, DECODE, STEP_refill_weights, 0);
    move_step(p, DECODE, i, i - 1);
    check_fails(&s, p, "refill_weights(r, 0);: layer 0 of this pass is not through");
    p = small_plan(a, &s, (hi_request){ .resident = 1, .panel = 2 });
    p->band[0].steps[PREFILL][find_step(p, PREFILL, STEP_retire_weights, 0)].kind =
        STEP_refill_weights;
    check_fails(&s, p, "the prompt's next chunk needs these weights");
    p = small_plan(a, &s, (hi_request){ .resident = 1, .panel = 2 });
    move_step(p, DECODE, i, find_step(p, DECODE, STEP_refill_weights, 1));
    check_fails(&s, p, "the weights of layer 0 are to be released first");
    arena_free(a);
}

/* Where the last layer goes on for the prompt's last row alone, no other row has a query. */
static void heads_before_the_last_row_are_a_hazard(void **state)
{
    (void)state;
    hi_arena *a = arena_new();
    hi_spec s;
    hi_plan *p = small_plan(a, &s, streaming(2, 3));
    move_step(p, PREFILL, find_step(p, PREFILL, STEP_last_row, -1),
              find_step(p, PREFILL, STEP_close_heads, 1));
    check_fails(&s, p, "open_heads(r, 1, 0, 1);: only the last row of layer 1 has a query");
    arena_free(a);
}

static hi_spec large_spec(int64_t ctx)
{
    return (hi_spec){ .name = "large",
                      .path = "specs/large.lua",
                      .family = "llama",
                      .layers = 80,
                      .hidden = 8192,
                      .heads = 64,
                      .kv_heads = 8,
                      .head_dim = 128,
                      .ffn = 28672,
                      .vocab = 128256,
                      .ctx = ctx,
                      .norm_eps = 1e-5,
                      .rope = { .theta = 5e5 },
                      .bos = -1,
                      .part = { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP },
                      .n_parts = 3 };
}

/* 80 layers of 8 KV heads that move alone, in the shortest tiles, nothing resident: the most steps
   of any known model. Their number does not depend on the context. */
static void large_plan_passes(void **state)
{
    (void)state;
    const int64_t ctx[] = { 131072, 4 << 20, 1 << 30 };
    int64_t least = 0;
    for (size_t i = 0; i < COUNT(ctx); i++) {
        hi_arena *a = arena_new();
        hi_spec s = large_spec(ctx[i]);
        hi_request q = { .ram_bytes = -1, .tile = 256, .group = 1, .bands = 1, .weights = 80 };
        int64_t min;
        hi_error e = { "" };
        replay_log log;
        hi_plan *p = make(a, &s, q, -1, &min);
        assert_non_null(p);
        clock_t begin = clock();
        assert_true(p->offload && passes(&s, p));
        double ms = (double)(clock() - begin) * 1e3 / CLOCKS_PER_SEC;
        assert_int_equal(replay_logged(&s, p, false, &log, &e), 0);
        print_message("%" PRId64 " tokens: %.1f ms, %" PRId64 " passes, %" PRId64 " steps\n",
                      ctx[i], ms, log.passes, log.steps);
        least = i == 0 ? log.steps : least;
        assert_true(log.steps <= least + least / 10);
        assert_true(log.steps < 4000000);
        arena_free(a);
    }
}

static void text_is(const hi_band *b, hi_step st, const char *text)
{
    char line[80];
    step_text(b, &st, line, sizeof line);
    assert_string_equal(line, text);
}

static void steps_read_as_emitted(void **state)
{
    (void)state;
    hi_group g[2] = { { 7, 2, 2 }, { 100, 0, 1 } };
    hi_band b = { .group_of = g, .n_groups = 1 };
    text_is(&b, (hi_step){ STEP_embed, { 0 } }, "embed(r);");
    text_is(&b, (hi_step){ STEP_norm_qkv, { 7 } }, "norm_qkv(r, 7);");
    text_is(&b, (hi_step){ STEP_each_tile, { 512, 256 } },
            "for (int64_t t = 512; t < r->complete; t += 256) {");
    text_is(&b, (hi_step){ STEP_await, { 0 } }, "await(r, SLOT);");
    text_is(&b, (hi_step){ STEP_attend, { 7, 2, 2 } }, "attend(r, 7, 2, 2, t, SLOT);");
    text_is(&b, (hi_step){ STEP_refill, { 0, 0 } }, "refill(r, SLOT, L07_H2_3);");
    text_is(&b, (hi_step){ STEP_end_tiles, { 0 } }, "}");
    text_is(&b, (hi_step){ STEP_last_row, { 0 } }, "if (last_row(r)) {");
    text_is(&b, (hi_step){ STEP_end_last_row, { 0 } }, "}");
    text_is(&b, (hi_step){ STEP_out_mlp, { 7, 128 } }, "out_mlp(r, 7, 128);");
    text_is(&b, (hi_step){ STEP_settle, { 7, 512, 1024 } }, "settle(r, 7, 512, 1024);");
    b.n_groups = 2;
    text_is(&b, (hi_step){ STEP_refill, { 0, 1 } }, "refill(r, SLOT, L100_H0);");
    char few[9];
    step_text(&b, &(hi_step){ STEP_norm_qkv, { 7 } }, few, sizeof few);
    assert_string_equal(few, "norm_qkv");
}

static hi_arena *pool_arena;

static int make_pool(void **state)
{
    (void)state;
    pool_arena = arena_new();
    fill_pool(pool_arena);
    return 0;
}

static int free_pool(void **state)
{
    (void)state;
    arena_free(pool_arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_plans_pass),
        cmocka_unit_test(changed_plans_fail),
        cmocka_unit_test(leaps_change_nothing),
        cmocka_unit_test(late_store_is_a_hazard),
        cmocka_unit_test(late_wait_is_a_hazard),
        cmocka_unit_test(other_order_than_the_ring_is_a_hazard),
        cmocka_unit_test(unfilled_frames_are_a_hazard),
        cmocka_unit_test(early_put_is_a_hazard),
        cmocka_unit_test(early_release_is_a_hazard),
        cmocka_unit_test(heads_before_the_last_row_are_a_hazard),
        cmocka_unit_test(large_plan_passes),
        cmocka_unit_test(steps_read_as_emitted),
    };
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
