/*
** cost.h - predicted seconds and bytes of a plan, from its numbers alone (no steps are read).
**
** Where compute, link and memory overlap, the slowest of them counts; what bounds a result and
** at what fraction of its limit is told. Formulas: cost.c.
*/
#ifndef COST_H
#define COST_H

#include "gen.h"

typedef enum { BOUND_COMPUTE, BOUND_LINK, BOUND_DRAM, BOUND_HBM } hi_bound;

typedef struct hi_cost {
    double seconds;
    double compute_s;                /* if nothing else took time: products, attention, steps */
    double link_s;                   /* the busier direction of the link, slowed by the other */
    double hbm_s;                    /* weights and keys read from device memory */
    double dram_s;                   /* host memory: copies; where shared, compute too */
    double flops;
    int64_t h2d_bytes, d2h_bytes;
    hi_bound bound;                  /* the largest of the four */
    double fraction;                 /* of that bound reached: its seconds / seconds */
} hi_cost;

/*
** A prompt of n tokens into an empty sequence, 1 <= n <= p->ctx. Reads of p: ctx, elt, offload, chunk,
** mlp_rows, slots, panel, panels, hidden, embed, streamed, weight_slots, hold, resident, logits of req,
** machine, band's group, tile, upto (groups and steps need not exist).
*/
void cost_prefill(const hi_spec *s, const hi_plan *p, int64_t n, hi_cost *out);

/* One decoded token after n others, 0 <= n < p->ctx. */
void cost_decode(const hi_spec *s, const hi_plan *p, int64_t n, hi_cost *out);

/* FLOPs of a prompt of n tokens: every layer's products, causal attention once, scores of the last
   token; 'cut': the last layer's queries, output and feed-forward for the last token alone. */
double prefill_flops(const hi_spec *s, int64_t n, bool cut);

const char *bound_text(hi_bound b);  /* "compute", "link", "DRAM", "HBM" */

#endif
