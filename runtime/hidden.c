/*
** hidden.c - hidden states: where those of a pass are, and how they wait between panels.
**
** With several panels each chunk passes once through every panel. On the device the states of
** the whole prompt are worked on in place. On the host a pass's rows leave at its end and come
** back a pass before they are needed, into the half of x that is not in use: passes take turns.
** A single chunk never leaves.
*/
#include "state.h"

static int64_t state_bytes(const hi_model *m)
{
    return (int64_t)m->hidden * m->elt;
}

/* Do the prompt's hidden states wait on the host between passes? */
static bool moves(const hi_run *r)
{
    return r->in->m->hidden_on_host && r->in->phase == HI_PREFILL && r->chunks > 1;
}

/* The half of x that belongs to a pass. */
static unsigned char *half(hi_run *r, int number)
{
    const hi_model *m = r->in->m;
    return run_buffer(r, HI_B_X) + (number & 1) * m->rows[HI_PREFILL] * state_bytes(m);
}

static unsigned char *first_state(hi_run *r)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;

    if (s->phase == HI_PREFILL && m->panels > 1 && !m->hidden_on_host)
        return run_buffer(r, HI_B_HIDDEN) + (s->pass.pos - s->prompt.base) * state_bytes(m);
    return half(r, moves(r) ? s->pass.number : 0);
}

unsigned char *hidden_states(hi_run *r)
{
    return first_state(r) + r->in->pass.first * state_bytes(r->in->m);
}

int active_rows(const hi_run *r)
{
    return r->in->pass.n - r->in->pass.first;
}

/* A chunk's rows on the host. */
static unsigned char *waiting(hi_run *r, int chunk)
{
    return run_host(r, HI_H_HIDDEN) +
           (int64_t)chunk * r->in->m->rows[HI_PREFILL] * state_bytes(r->in->m);
}

/* Starts the copy of the next pass's rows, if they come from the host. The half they go to
   belonged to the pass before this one; what left it last, and they, have left after last_put. */
static void fetch_next(hi_run *r)
{
    struct hi_state *s = r->in;
    int next = s->pass.number + 1;

    if (!moves(r) || next < r->chunks || next == s->m->panels * r->chunks)
        return;
    int chunk = next % r->chunks;
    dev_copy c = {
        .dst = half(r, next),
        .src = waiting(r, chunk),
        .bytes = chunk_rows(r, chunk) * state_bytes(s->m),
        .planes = 1,
        .after = s->last_put,
    };
    s->fetched = run_copy(r, DEV_H2D, &c);
}

/* What begins every pass. */
static void begin(hi_run *r)
{
    struct hi_state *s = r->in;

    dev_rope_table(s->dev, (float *)run_buffer(r, HI_B_ROPE), s->pass.pos, s->pass.n);
    if (s->m->offload)
        ring_begin(r);
    fetch_next(r);
}

void embed(hi_run *r)
{
    struct hi_state *s = r->in;
    const pass_state *p = &s->pass;

    if (!run_ok(r))
        return;
    if (moves(r))
        dev_wait(s->dev, DEV_D2H, s->put[p->number & 1]);
    dev_embed(s->dev, hidden_states(r), (int32_t *)run_buffer(r, HI_B_IDS), p->pos - s->prompt.base,
              p->n);
    begin(r);
}

void take_hidden(hi_run *r)
{
    if (!run_ok(r))
        return;
    if (moves(r))
        dev_wait(r->in->dev, DEV_H2D, r->in->fetched);
    begin(r);
}

void put_hidden(hi_run *r)
{
    struct hi_state *s = r->in;

    if (!run_ok(r) || !moves(r))
        return;
    dev_copy c = {
        .dst = waiting(r, s->pass.chunk),
        .src = hidden_states(r),
        .bytes = s->pass.n * state_bytes(s->m),
        .planes = 1,
    };
    s->last_put = s->put[s->pass.number & 1] = run_copy(r, DEV_D2H, &c);
}
