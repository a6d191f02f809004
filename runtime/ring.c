/*
** ring.c - the staging ring: which tile goes into which slot, and when.
**
** A cursor walks the head groups of a pass's panel in the order of its band and, inside a
** group, the tiles past the resident rows. Copy number i goes to slot i mod slots, so slots are
** reused in the order in which compute meets them. The cursor may run into the next pass: of the
** next chunk or token only to layers whose rows of this pass are already on their way to the
** store; the next panel begins again with the first chunk, whose tiles were stored before the
** prompt.
*/
#include "state.h"

int64_t ring_slot_bytes(const hi_model *m) /* the same in every band */
{
    return m->band[0].group * 2 * m->band[0].tile * row_bytes(m);
}

unsigned char *ring_slot(hi_run *r, int64_t slot)
{
    return run_buffer(r, HI_B_SLOTS) + slot * ring_slot_bytes(r->in->m);
}

/* ---- passes as the cursor sees them ---- */

static ring_pass view(const hi_run *r, int panel, int chunk, int64_t pos)
{
    const hi_model *m = r->in->m;
    ring_pass p = { .complete = complete_before(m, pos), .layer_end = m->layers };

    p.band = &m->band[band_of(m, p.complete)];
    if (r->in->phase == HI_DECODE)
        return p;
    p.layer = panel * m->panel;
    if (p.layer + m->panel < m->layers)
        p.layer_end = p.layer + m->panel;
    else if (!m->logits_all && chunk + 1 < r->chunks)
        p.layer_end--; /* the last layer's queries are those of the last row alone */
    return p;
}

/* The pass after the one under way; false: there is none, or it is unknown. */
static bool view_next(const hi_run *r, ring_pass *next)
{
    const struct hi_state *s = r->in;
    const pass_state *p = &s->pass;

    if (s->phase == HI_DECODE && p->pos + 1 < s->m->ctx)
        *next = view(r, 0, 0, p->pos + 1);
    else if (s->phase == HI_PREFILL && p->chunk + 1 < r->chunks)
        *next = view(r, p->panel, p->chunk + 1, chunk_pos(r, p->chunk + 1));
    else if (s->phase == HI_PREFILL && p->panel + 1 < s->m->panels)
        *next = view(r, p->panel + 1, 0, chunk_pos(r, 0));
    else
        return false;
    return true;
}

/* Is all that the next pass's tiles hold stored already? */
static bool next_is_old(const hi_run *r)
{
    return r->in->phase == HI_PREFILL && r->in->pass.chunk + 1 == r->chunks;
}

/* ---- the cursor ---- */

void ring_reset(hi_run *r)
{
    struct hi_state *s = r->in;

    if (s->filled != NULL) /* discarded copies must not land in a slot used anew */
        for (int i = 0; i < s->m->slots; i++)
            dev_wait(s->dev, DEV_H2D, s->filled[i]);
    r->turn = 0;
    s->ring = (ring_cursor){ 0 };
}

static void enter(ring_cursor *c, ring_pass pass, bool ahead)
{
    c->pass = pass;
    c->ahead = ahead;
    c->group = 0;
    c->row = -1;
}

/* Moves the cursor to the next tile there is; false when it must stop. 'stored' is the last layer
   whose rows of the pass under way are stored; -1: none. */
static bool find_next(hi_run *r, int stored)
{
    struct hi_state *s = r->in;
    ring_cursor *c = &s->ring;

    for (;;) {
        ring_pass next;
        if (c->group == c->pass.band->n_groups) {
            if (c->ahead || !view_next(r, &next))
                return false;
            enter(c, next, true);
        }
        const hi_group *g = &c->pass.band->ring[c->group];
        bool mine = g->layer >= c->pass.layer && g->layer < c->pass.layer_end;
        if (mine && c->ahead && g->layer > stored && !next_is_old(r))
            return false;
        if (mine && c->row < 0)
            c->row = s->m->layer[g->layer].resident[s->phase];
        if (mine && c->row < c->pass.complete)
            return true;
        c->group++;
        c->row = -1;
    }
}

static void start_copy(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    ring_cursor *c = &s->ring;
    const hi_group *g = &c->pass.band->ring[c->group];
    int64_t slot = c->issued % m->slots, row = row_bytes(m), tile = c->pass.band->tile;
    dev_copy copy = {
        .dst = ring_slot(r, slot),
        .src = store_row(r, g->layer, g->head, c->row),
        .dst_pitch = tile * row,
        .src_pitch = m->ctx * row,
        .bytes = min64(tile, c->pass.complete - c->row) * row,
        .planes = 2 * g->n,
        .after = s->stored[g->layer],
    };
    s->filled[slot] = run_copy(r, DEV_H2D, &copy);
    c->issued++;
    c->row += tile;
}

/* Starts copies while there is room. */
static void pump(hi_run *r, int stored)
{
    struct hi_state *s = r->in;

    while (s->ring.issued - r->turn < s->m->slots && find_next(r, stored))
        start_copy(r);
}

void ring_begin(hi_run *r)
{
    struct hi_state *s = r->in;

    if (s->ring.ahead)
        s->ring.ahead = false;
    else
        enter(&s->ring, view(r, s->pass.panel, s->pass.chunk, s->pass.pos), false);
    pump(r, -1);
}

void refill(hi_run *r, int64_t slot, int group)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return;
    dev_poison(s->dev, ring_slot(r, slot), ring_slot_bytes(s->m));
    r->turn++;
    pump(r, s->m->band[r->band].ring[group].layer);
}
