/*
** forecast.c - predicted times of a plan at contexts that people compare, and its longest one.
*/
#include "forecast.h"

/* As HeadInfer reports them: K is 1024 tokens, M is 1000 K. */
static const int64_t CONTEXTS[] = { 1, 10, 20, 40, 100, 200, 400, 1000, 2000, 4000 };
enum {
    N_CONTEXTS = sizeof CONTEXTS / sizeof *CONTEXTS
};

_Static_assert(N_CONTEXTS + 1 == MAX_POINTS, "the contexts and the plan's own");

void forecast_token(const hi_spec *s, const hi_plan *p, int64_t tokens, hi_cost *out)
{
    cost_decode(s, p, tokens - 1, out);
}

static void add_point(const hi_spec *s, const hi_plan *p, int64_t tokens, forecast *out)
{
    forecast_point *x = &out->at[out->n++];

    x->tokens = tokens;
    cost_prefill(s, p, tokens, &x->prompt);
    forecast_token(s, p, tokens, &x->token);
}

void forecast_make(const hi_spec *s, const hi_plan *p, forecast *out)
{
    out->n = 0;
    for (int i = 0; i < N_CONTEXTS && CONTEXTS[i] * 1024 < p->ctx; i++)
        add_point(s, p, CONTEXTS[i] * 1024, out);
    add_point(s, p, p->ctx, out);
}

int64_t forecast_ram(const hi_plan *p)
{
    return p->req.ram_bytes >= 0 ? p->req.ram_bytes : p->machine.ram;
}

int64_t forecast_longest(const hi_spec *s, const hi_plan *p)
{
    if (p->req.vram_bytes < 0)
        return 0;
    int64_t longest = plan_longest(s, &p->req, &p->machine);
    bool fits = p->host_bytes <= forecast_ram(p);

    return fits && longest >= 0 && longest < p->ctx ? p->ctx : longest; /* of a part of a split */
}
