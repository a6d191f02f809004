/*
** weight_ring.c - the ring of layers: weights that do not stay on the device.
**
** Streamed layers in ascending order form a cycle, in which they are used and released whatever
** the phase. Copy number i, counted from weights_start, fetches the (i mod n)-th of them into slot
** i mod weight_slots. Copies depend on nothing: as many as there are slots are always under way
** or in use.
*/
#include <stdlib.h>
#include "state.h"

int weights_place(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    weight_ring *w = &s->weights;
    size_t layers = (size_t)m->layers;

    w->cycle = calloc(layers, sizeof *w->cycle);
    w->place = calloc(layers, sizeof *w->place);
    w->filled = calloc((size_t)m->weight_slots + 1, sizeof *w->filled);
    if (w->cycle == NULL || w->place == NULL || w->filled == NULL)
        return -1;
    for (int layer = 0; layer < m->layers; layer++) {
        w->place[layer] = m->layer[layer].streamed ? w->n : -1;
        if (m->layer[layer].streamed)
            w->cycle[w->n++] = layer;
    }
    return 0;
}

void weights_free(hi_run *r)
{
    free(r->in->weights.cycle);
    free(r->in->weights.place);
    free(r->in->weights.filled);
}

static unsigned char *slot_at(hi_run *r, int64_t copy)
{
    const hi_model *m = r->in->m;
    return run_buffer(r, HI_B_LAYERS) + copy % m->weight_slots * m->layer_bytes;
}

/* The next copy of a streamed layer that compute meets. */
static int64_t copy_of(const weight_ring *w, int layer)
{
    return w->turn + (w->place[layer] + w->n - w->turn % w->n) % w->n;
}

const unsigned char *layer_weights(hi_run *r, int layer)
{
    const struct hi_state *s = r->in;

    if (!s->m->layer[layer].streamed)
        return run_buffer(r, HI_B_WEIGHTS) + s->m->layer[layer].at;
    return slot_at(r, copy_of(&s->weights, layer));
}

void weights_start(hi_run *r)
{
    struct hi_state *s = r->in;
    weight_ring *w = &s->weights;

    while (w->n > 0 && w->issued - w->turn < s->m->weight_slots) {
        dev_copy c = {
            .dst = slot_at(r, w->issued),
            .src = s->host + s->m->layer[w->cycle[w->issued % w->n]].at,
            .bytes = s->m->layer_bytes,
            .planes = 1,
        };
        w->filled[w->issued % s->m->weight_slots] = run_copy(r, DEV_H2D, &c);
        w->issued++;
    }
}

void weights_restart(hi_run *r)
{
    weight_ring *w = &r->in->weights;

    w->issued = w->turn = 0;
    weights_start(r);
}

void await_weights(hi_run *r, int layer)
{
    struct hi_state *s = r->in;

    if (run_ok(r))
        dev_wait(s->dev, DEV_H2D,
                 s->weights.filled[copy_of(&s->weights, layer) % s->m->weight_slots]);
}

void refill_weights(hi_run *r, int layer)
{
    struct hi_state *s = r->in;

    (void)layer; /* layers are released in the order of the cycle */
    if (!run_ok(r))
        return;
    dev_poison(s->dev, slot_at(r, s->weights.turn), s->m->layer_bytes);
    s->weights.turn++;
    weights_start(r);
}

void retire_weights(hi_run *r, int layer)
{
    if (r->last)
        refill_weights(r, layer);
}
