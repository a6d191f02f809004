/*
** methods.c - the memory of other ways to run the same context: for comparison with a plan.
**
** Those that hi-gen can build are planned, each by its --policy, without a budget, and shown as in
** prefill, where they need most; 4-bit keys and values, which it cannot, are the standard method's
** bytes with a quarter of bf16's KV.
*/
#include "methods.h"

#include <string.h>

static const struct {
    const char *name, *what;
    hi_policy policy;
} METHOD[N_METHODS] = {
    [M_STANDARD] = { "standard", "all resident, the prompt at once", POLICY_STANDARD },
    [M_CHUNKED] = { "chunked", "all resident, the prompt in chunks", POLICY_CHUNKED },
    [M_4BIT] = { "4-bit KV", "not built: arithmetic", POLICY_AUTO },
    [M_LAYER] = { "layer-wise", "KV of a layer moves whole", POLICY_LAYER },
    [M_HEAD] = { "head-wise", "KV of a head group moves whole", POLICY_HEAD },
    [M_PREFILL] = { "this plan, prefill", "the buffers below", POLICY_AUTO },
    [M_DECODE] = { "this plan, decode", "same arena, laid out anew", POLICY_AUTO },
};

holding buffer_holds(hi_buffer_id id)
{
    switch (id) {
    case BUF_weights:
    case BUF_layers:
        return HOLDS_WEIGHTS;
    case BUF_tails:
    case BUF_kept:
    case BUF_near:
    case BUF_frames:
    case BUF_slots:
    case BUF_window:
        return HOLDS_KV;
    default:
        return HOLDS_REST;
    }
}

static void take_plan(const hi_plan *p, hi_phase phase, method *m)
{
    m->known = m->built = true;
    m->weights = m->kv = m->rest = m->device = 0;
    for (int id = 0; id < N_BUFFERS; id++) {
        int64_t bytes = p->buf[phase][id].bytes;
        *(buffer_holds(id) == HOLDS_WEIGHTS ? &m->weights
          : buffer_holds(id) == HOLDS_KV    ? &m->kv
                                            : &m->rest) += bytes;
        m->device += bytes;
    }
    m->host = p->host_bytes;
}

/* Four bits an element, and whatever the standard method has besides. */
static void take_4bit(const hi_plan *p, const method *standard, method *m)
{
    m->known = standard->known;
    m->weights = standard->weights;
    m->kv = standard->kv / (2 * p->elt);
    m->rest = standard->rest;
    m->device = m->weights + m->kv + m->rest;
}

static hi_request request_of(const hi_plan *p, hi_policy policy)
{
    return (hi_request){
        .vram_bytes = -1,
        .ram_bytes = -1,
        .ctx = p->ctx,
        .resident = -1,
        .weights = -1,
        .policy = policy,
        .logits_all = p->req.logits_all,
        .numerics = p->req.numerics,
        .weights_type = p->req.weights_type,
    };
}

/* The numbers of a plan alone: its arena goes. */
static void keep_numbers(const hi_plan *p, hi_plan *out)
{
    *out = *p;
    out->enter = NULL;
    for (int i = 0; i < MAX_BANDS; i++)
        out->band[i] = (hi_band){ .group = p->band[i].group,
                                  .tile = p->band[i].tile,
                                  .upto = p->band[i].upto };
}

/* Plans one method; -1: out of memory. */
static int plan_method(const hi_spec *s, const hi_plan *p, method_id id, methods *out)
{
    hi_request q = request_of(p, METHOD[id].policy);
    hi_error e = { "" };
    hi_arena *a = arena_new();

    if (a == NULL)
        return -1;
    const hi_plan *other = plan_make(a, s, &q, &p->machine, NULL, &e);
    if (other != NULL)
        take_plan(other, PREFILL, &out->of[id]);
    if (other != NULL && id == M_CHUNKED) {
        keep_numbers(other, &out->resident);
        out->has_resident = true;
    }
    arena_free(a);
    return other == NULL && strstr(e.text, "out of memory") != NULL ? -1 : 0;
}

int methods_make(const hi_spec *s, const hi_plan *p, methods *out)
{
    memset(out, 0, sizeof *out);
    for (int id = 0; id < N_METHODS; id++) {
        out->of[id].name = METHOD[id].name;
        out->of[id].what = METHOD[id].what;
        if (METHOD[id].policy != POLICY_AUTO && plan_method(s, p, id, out) != 0)
            return -1;
    }
    take_4bit(p, &out->of[M_STANDARD], &out->of[M_4BIT]);
    take_plan(p, PREFILL, &out->of[M_PREFILL]);
    take_plan(p, DECODE, &out->of[M_DECODE]);
    return 0;
}
