/*
** plan.c - from a checked spec and a byte budget to the best program that fits it.
**
** Checks what is asked, applies a policy, lets search.c find the best choice, and refuses with
** numbers where there is none. layout.c says what a choice costs in bytes, cost.c in seconds;
** schedule.c writes the steps. Knows nothing of C or CUDA. Pure: same input, same plan.
*/
#include "gen.h"

#include <inttypes.h>
#include <stdio.h>
#include "schedule.h"
#include "search.h"
#include "target.h"

enum {
    LARGEST_CHUNK = 1 << 20,
    POLICY_CHUNK = 10240 /* HeadInfer's and the chunked baseline's */
};

/* ---- requests ---- */

static int check_range(const char *flag, int64_t v, int64_t step, int64_t most, hi_error *e)
{
    if (v <= 0 || (v % step == 0 && v <= most))
        return 0;
    return gen_fail(e, "%s %" PRId64 ": must be a multiple of %" PRId64 ", at most %" PRId64, flag,
                    v, step, most);
}

static int check_request(const hi_spec *s, const hi_request *q, hi_error *e)
{
    if (check_range("--chunk", q->chunk, KEY_BLOCK, LARGEST_CHUNK, e) != 0 ||
        check_range("--mlp-rows", q->mlp_rows, KEY_BLOCK, LARGEST_CHUNK, e) != 0 ||
        check_range("--tile", q->tile, KEY_SPLIT, 1 << 24, e) != 0)
        return -1;
    if (q->chunk > 0 && q->mlp_rows > q->chunk)
        return gen_fail(e, "--mlp-rows %" PRId64 ": at most --chunk %" PRId64, q->mlp_rows,
                        q->chunk);
    if (q->group > 0 && (q->group > s->kv_heads || s->kv_heads % q->group != 0))
        return gen_fail(e, "--group %d: must divide kv_heads (%d) of %s", q->group, s->kv_heads,
                        s->path);
    if (q->slots > 0 && (q->slots < MIN_SLOTS || q->slots > MAX_SLOTS))
        return gen_fail(e, "--slots %d: must be %d to %d", q->slots, MIN_SLOTS, MAX_SLOTS);
    if (q->bands < 0 || q->bands > MAX_BANDS)
        return gen_fail(e, "--bands %d: must be 1 to %d", q->bands, MAX_BANDS);
    if (q->weights > s->layers)
        return gen_fail(e, "--weights %d: %s has %d layers", q->weights, s->path, s->layers);
    if (q->weight_slots > 0 &&
        (q->weight_slots < MIN_WEIGHT_SLOTS || q->weight_slots > MAX_WEIGHT_SLOTS))
        return gen_fail(e, "--weight-slots %d: must be %d to %d", q->weight_slots, MIN_WEIGHT_SLOTS,
                        MAX_WEIGHT_SLOTS);
    if (q->resident >= 0 && (q->policy == POLICY_STANDARD || q->policy == POLICY_CHUNKED))
        return gen_fail(e, "--resident %d: --policy standard and chunked keep everything resident",
                        q->resident);
    if (q->resident >= 0 && rolling_layers(s, q->ctx > 0 ? q->ctx : s->ctx) == s->layers)
        return gen_fail(e,
                        "--resident %d: every layer of %s sees a window alone, which is resident",
                        q->resident, s->path);
    if (q->panel > s->layers)
        return gen_fail(e, "--panel %d: %s has %d layers", q->panel, s->path, s->layers);
    if (q->embed == AT_HOST && s->tied)
        return gen_fail(
            e,
            "--embed host: %s uses its embedding for the scores too (tied): it must stay on "
            "the device",
            s->path);
    if (q->ctx < -1 || q->ctx > 1 << 30)
        return gen_fail(e, "--ctx %" PRId64 ": must be 1 to 1073741824 tokens", q->ctx);
    return target_check(s, q, e);
}

/* What a policy decides, where no flag does. */
static void apply_policy(search *q)
{
    hi_request *r = &q->q;
    int64_t whole = round_up(q->p->ctx, KEY_SPLIT);
    bool offloads = r->policy == POLICY_LAYER || r->policy == POLICY_HEAD;

    q->force_offload = -1;
    if (r->policy == POLICY_AUTO)
        return;
    q->force_offload = offloads;
    r->weights = r->weights < 0 ? q->s->layers : r->weights;
    r->embed = r->embed == AT_NONE ? AT_DEVICE : r->embed;
    r->panel = r->panel == 0 ? q->s->layers : r->panel;
    if (r->chunk == 0) /* standard and layer-wise: the whole prompt at once */
        r->chunk = r->policy == POLICY_STANDARD || r->policy == POLICY_LAYER
                       ? whole
                       : min64(POLICY_CHUNK, whole);
    r->mlp_rows = r->mlp_rows == 0 ? r->chunk : r->mlp_rows;
    if (!offloads)
        return;
    r->resident = r->resident < 0 ? 0 : r->resident;
    r->tile = r->tile == 0 ? whole : r->tile; /* whole heads */
    r->slots = r->slots == 0 ? MIN_SLOTS : r->slots;
    r->group = r->group > 0 ? r->group : r->policy == POLICY_LAYER ? q->s->kv_heads : 1;
    r->bands = r->bands == 0 && r->policy == POLICY_LAYER ? 1 : r->bands;
}

/* A number of resident tiles that is less than the context's asks for the ring. */
static bool wants_ring(const search *q)
{
    const hi_request *r = &q->q;
    return r->resident >= 0 && r->resident < div_up(q->p->ctx, r->tile > 0 ? r->tile : KEY_SPLIT);
}

static void begin_search(search *q, int64_t ctx)
{
    q->p->ctx = ctx;
    q->q = q->p->req;
    q->least = 0;
    q->least_host = -1;
    apply_policy(q);
    if (wants_ring(q))
        q->force_offload = 1;
    if (rolling_layers(q->s, ctx) == q->s->layers) /* windows alone: there is nothing to store */
        q->force_offload = 0;
}

static bool fits_at(search *q, int64_t ctx)
{
    begin_search(q, ctx);
    search_all(q, true);
    return q->ok;
}

/* The longest context that fits, in splits: lo, which fits, or more, up to hi. */
static int64_t longest_between(search *q, int64_t lo, int64_t hi)
{
    while (lo < hi) {
        int64_t mid = (lo + hi + 1) / 2;
        if (fits_at(q, mid * KEY_SPLIT))
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

/* The longest context that fits, in whole splits; 0: none. Longer ones take more memory, but for
   the first beyond a window, from which on layers have no place in the store. Where every layer has
   a window nothing grows at all: as long as the checkpoint was made for. */
static int64_t longest(search *q)
{
    int64_t most = (1 << 30) / KEY_SPLIT, beyond = q->s->window.size / KEY_SPLIT + 1;

    if (rolling_layers(q->s, 1 << 30) == q->s->layers)
        most = div_up(q->s->ctx, KEY_SPLIT);
    if (q->s->window.size == 0 || beyond > most)
        return longest_between(q, 0, most) * KEY_SPLIT;
    if (fits_at(q, beyond * KEY_SPLIT))
        return longest_between(q, beyond, most) * KEY_SPLIT;
    return longest_between(q, 0, beyond - 1) * KEY_SPLIT;
}

/* Nothing was found: is it the host's memory, the device's, or what is asked? */
static hi_plan *refuse(search *q, int64_t *min_bytes, hi_error *e)
{
    const hi_plan *p = q->p;
    int64_t least = q->least, host = q->least_host, need = q->least + p->reserve_bytes;
    char longer[96] = "";
    int64_t ctx = p->ctx, fit = longest(q); /* forgets what the search has met */

    if (fit > 0)
        snprintf(longer, sizeof longer, "; the longest context that fits: %" PRId64 " tokens", fit);
    if (host < 0)
        gen_fail(e,
                 "%s: the forced decisions contradict each other: a panel's streamed layers need "
                 "as many "
                 "--weight-slots, and no more slots than layers are streamed",
                 q->s->path);
    else if (least == 0)
        gen_fail(e,
                 "%s: %" PRId64 " tokens need %" PRId64 " bytes on the host; --ram allows %" PRId64
                 "%s",
                 q->s->path, ctx, host, q->ram, longer);
    else
        gen_fail(e,
                 "%s: %" PRId64 " tokens need %" PRId64
                 " bytes on the device (%.1f MiB, of it %.1f MiB for the "
                 "driver; all weights would be %.1f MiB); --vram is %" PRId64
                 " bytes; smallest budget that works: "
                 "%" PRId64 " bytes (--vram %" PRId64 "M)%s",
                 q->s->path, ctx, need, (double)need / 1048576, (double)p->reserve_bytes / 1048576,
                 (double)weight_bytes(q->s, plan_format(p)) / 1048576, p->req.vram_bytes, need,
                 div_up(need, 1048576), longer);
    if (min_bytes != NULL && host >= 0 && least > 0)
        *min_bytes = need;
    return NULL;
}

/* ---- entry ---- */

static hi_plan *make(search *q, hi_arena *a, int64_t *min_bytes, hi_error *e)
{
    hi_plan *p = q->p;

    if (p->req.ctx < 0) {
        if (q->ram < 0)
            q->ram = p->machine.ram;
        p->ctx = longest(q);
        if (p->ctx == 0)
            p->ctx = KEY_SPLIT;
    }
    begin_search(q, p->ctx);
    search_all(q, false);
    if (!q->ok)
        return refuse(q, min_bytes, e);
    reasons_fill(q);
    choice_evaluate(q, &q->best);
    return schedule_make(a, q->s, p, e) == 0 ? p : NULL;
}

static void open_search(search *q, const hi_spec *s, const hi_request *r, const hi_machine *machine,
                        hi_plan *p)
{
    p->req = *r;
    p->machine = *machine;
    p->elt = elt_bytes(r->numerics);
    p->ctx = r->ctx > 0 ? r->ctx : s->ctx;
    p->reserve_bytes = r->vram_bytes < 0 ? 0 : machine->reserve;
    *q = (search){ .s = s, .p = p, .ram = r->ram_bytes };
    q->budget = r->vram_bytes < 0                  ? -1
                : r->vram_bytes > p->reserve_bytes ? r->vram_bytes - p->reserve_bytes
                                                   : 0;
}

hi_plan *plan_make(hi_arena *a, const hi_spec *s, const hi_request *r, const hi_machine *machine,
                   int64_t *min_bytes, hi_error *e)
{
    search q;

    if (min_bytes != NULL)
        *min_bytes = 0;
    if (check_request(s, r, e) != 0) {
        if (min_bytes != NULL)
            *min_bytes = -1;
        return NULL;
    }
    hi_plan *p = arena_alloc(a, sizeof *p);
    if (p == NULL) {
        gen_fail(e, "out of memory for a plan");
        return NULL;
    }
    open_search(&q, s, r, machine, p);
    return make(&q, a, min_bytes, e);
}

int64_t plan_longest(const hi_spec *s, const hi_request *r, const hi_machine *machine)
{
    hi_arena *a = arena_new();
    hi_plan *p = a != NULL ? arena_alloc(a, sizeof *p) : NULL;
    int64_t ctx = -1;
    search q;

    if (p != NULL) {
        open_search(&q, s, r, machine, p);
        q.ram = r->ram_bytes >= 0 ? r->ram_bytes : machine->ram;
        ctx = longest(&q);
    }
    arena_free(a);
    return ctx;
}
