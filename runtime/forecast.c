/*
** forecast.c - the plan's predictions between the points of its table.
*/
#include "forecast.h"

#include <math.h>

/* At a share t of the way from a to b in the logarithm of the tokens. */
static double between(double a, double b, double t)
{
    return a > 0 && b > 0 ? exp(log(a) + t * (log(b) - log(a))) : a + t * (b - a);
}

hi_forecast forecast_at(const hi_model *m, int64_t n)
{
    int i = 1;

    while (i < m->n_forecasts - 1 && m->forecast[i].tokens < n)
        i++;
    if (m->n_forecasts == 1)
        return m->forecast[0];
    const hi_forecast *a = &m->forecast[i - 1], *b = &m->forecast[i];
    double t = log((double)n / (double)a->tokens) / log((double)b->tokens / (double)a->tokens);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return (hi_forecast){
        .tokens = n,
        .prefill_s = between(a->prefill_s, b->prefill_s, t),
        .prefill_in = between(a->prefill_in, b->prefill_in, t),
        .prefill_out = between(a->prefill_out, b->prefill_out, t),
        .decode_s = between(a->decode_s, b->decode_s, t),
        .decode_in = between(a->decode_in, b->decode_in, t),
        .decode_out = between(a->decode_out, b->decode_out, t),
    };
}

double forecast_enter(const hi_model *m, int64_t n)
{
    double rows = 0;

    for (int l = 0; m->offload && l < m->layers; l++) {
        int64_t first = m->layer[l].resident[HI_PREFILL], last = m->layer[l].resident[HI_DECODE];
        last = last < n ? last : n;
        rows += last > first ? (double)(last - first) : 0;
    }
    return rows * 2 * m->kv_heads * m->head_dim * m->elt;
}
