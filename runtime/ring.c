/*
** ring.c - the staging ring: which tile goes into which slot, and when.
**
** A cursor walks the head groups in the schedule's order and, inside a group, the tiles
** past its resident ones. Copy number i goes to slot i mod slots, so slots are reused in
** the order in which compute meets them. The cursor may run into the next pass, but only
** to layers whose rows of this pass are already on their way to the store.
*/
#include "state.h"

/* Rows of splits complete before the cursor's pass. */
static int64_t complete_rows(const struct hi_state *s)
{
    if (!s->ring.next_pass)
        return s->complete;
    return (s->length + s->n) / s->m->split * s->m->split;
}

static int64_t tiles_of(const struct hi_state *s)
{
    return (complete_rows(s) + s->m->tile - 1) / s->m->tile;
}

void ring_reset(hi_run *r)
{
    struct hi_state *s = r->in;

    if (s->filled != NULL)           /* discarded copies must not land in a slot used anew */
        for (int i = 0; i < s->m->slots; i++)
            dev_wait(s->dev, DEV_H2D, s->filled[i]);
    r->turn = 0;
    s->ring = (ring_cursor){ 0 };
}

void ring_begin(hi_run *r)
{
    ring_cursor *c = &r->in->ring;

    if (c->next_pass)
        c->next_pass = false;
    else
        *c = (ring_cursor){ .issued = c->issued };
    ring_pump(r, 0);
}

/* Moves the cursor to the next tile there is; false when it must stop. */
static bool find_next(struct hi_state *s, int before_layer)
{
    ring_cursor *c = &s->ring;

    for (;;) {
        if (c->group == s->m->n_groups) {
            if (c->next_pass || !s->more)
                return false;
            c->group = 0;
            c->next_pass = true;
            c->placed = false;
        }
        const hi_group *g = &s->m->ring[c->group];
        if (c->next_pass && g->layer >= before_layer)
            return false;
        if (!c->placed) {
            c->tile = g->resident[s->phase];
            c->placed = true;
        }
        if (c->tile < tiles_of(s))
            return true;
        c->group++;
        c->placed = false;
    }
}

static void start_copy(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    const hi_group *g = &m->ring[s->ring.group];
    int64_t slot = s->ring.issued % m->slots, row = row_bytes(m);
    int64_t first = s->ring.tile * m->tile, rows = complete_rows(s) - first;

    if (rows > m->tile)
        rows = m->tile;
    dev_copy c = {
        .dst = run_buffer(r, HI_B_SLOTS) + slot * m->group * 2 * m->tile * row,
        .src = store_row(r, g->layer, g->head, first),
        .dst_pitch = m->tile * row,
        .src_pitch = m->ctx * row,
        .bytes = rows * row,
        .planes = 2 * g->n,
        .after = s->stored[g->layer],
    };
    s->filled[slot] = dev_start(s->dev, DEV_H2D, &c);
    s->ring.issued++;
    s->ring.tile++;
}

void ring_pump(hi_run *r, int before_layer)
{
    struct hi_state *s = r->in;

    while (s->ring.issued - r->turn < s->m->slots && find_next(s, before_layer))
        start_copy(r);
}
