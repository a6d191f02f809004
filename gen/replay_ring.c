/*
** replay_ring.c - the two rings of a replay: tiles of keys and values, layers of weights.
**
** The ring of tiles walks the groups of a pass in order and may go on into the next pass. The
** ring of weights walks the streamed layers over and over, from the start of the run on.
*/

#include "replay_machine.h"

/* ---- tiles ---- */

void ring_reset(machine *m)
{
    m->issued = m->released = 0;
    m->ahead = false;
    m->next_group = -1;
    m->next_row = -1;
}

/* What was fetched for the next pass is now for this one; 'now' is the new pass. */
void ring_turn(machine *m)
{
    for (int64_t i = m->released; i < m->issued; i++)
        ring_slot(m, i)->for_next = false;
    if (!m->ahead) {
        m->next_group = m->now.group_lo;
        m->next_row = -1;
    }
    m->ahead = false;
}

slot_rows *ring_slot(machine *m, int64_t copy)
{
    return &m->ring[copy % m->p->slots];
}

/* Which layers' tiles of the next pass may be fetched? What an earlier panel's passes read
   there was stored before this prompt: all of them. */
static bool may_fetch(const machine *m, int layer, int limit)
{
    return m->next.panel != m->now.panel || layer <= limit;
}

/* Moves the cursor to a tile it may fetch. */
static bool cursor_find(machine *m, int limit)
{
    for (;;) {
        const pass *q = m->ahead ? &m->next : &m->now;
        if (m->next_group == q->group_hi) {
            if (m->ahead || !m->has_next)
                return false;
            m->ahead = true;
            m->next_group = m->next.group_lo;
            m->next_row = -1;
            continue;
        }
        int layer = q->band->group_of[m->next_group].layer;
        if (m->ahead && !may_fetch(m, layer, limit))
            return false;
        if (m->next_row < 0)
            m->next_row = m->p->resident[m->phase][layer];
        if (m->next_row < q->complete)
            return true;
        m->next_group++;
        m->next_row = -1;
    }
}

int ring_fill(machine *m, int limit)
{
    while (m->p->offload && m->issued - m->released < m->p->slots && cursor_find(m, limit)) {
        const pass *q = m->ahead ? &m->next : &m->now;
        const hi_group *g = &q->band->group_of[m->next_group];
        int64_t hi = least(m->next_row + q->band->tile, q->complete);
        int64_t stored = m->layer[g->layer].stored;
        if (hi > stored)
            return hazard(m, "fetches layer %d heads %d+%d up to row %lld, the store has %lld",
                          g->layer, g->head, g->n, (ll)hi, (ll)stored);
        *ring_slot(m, m->issued++) = (slot_rows){
            .group = m->next_group,
            .at = m->next_row,
            .hi = hi,
            .for_next = m->ahead,
        };
        m->next_row += q->band->tile;
    }
    return 0;
}

int ring_done(machine *m)
{
    for (int64_t i = m->released; i < m->issued; i++)
        if (!ring_slot(m, i)->for_next)
            return hazard(m, "the ring still holds tiles of this pass");
    if (m->p->offload && !m->ahead && cursor_find(m, NO_LAYER) && !m->ahead)
        return hazard(m, "the tile from row %lld of group %d was not fetched", (ll)m->next_row,
                      m->next_group);
    return 0;
}

/* ---- weights ---- */

static void weights_fill(machine *m)
{
    for (; m->w_issued - m->w_released < m->p->weight_slots; m->w_issued++)
        m->w_arrived[m->w_issued % m->p->weight_slots] = false;
}

void weights_open(machine *m)
{
    m->n_cycle = 0;
    for (int l = 0; l < m->s->layers; l++) {
        m->cycle_of[l] = m->p->streamed[l] ? m->n_cycle : -1;
        if (m->p->streamed[l])
            m->cycle[m->n_cycle++] = l;
    }
    m->w_issued = m->w_released = 0;
    weights_fill(m);
}

/* The number of the copy of a streamed layer that is in the ring, or comes next into it. */
static int64_t weights_copy(const machine *m, int l)
{
    int64_t n = m->n_cycle, ahead = m->cycle_of[l] - m->w_released % n;
    return m->w_released + (ahead < 0 ? ahead + n : ahead);
}

static int weights_started(machine *m, int l)
{
    if (weights_copy(m, l) < m->w_issued)
        return 0;
    return hazard(m, "the weights of layer %d are not in the ring, its oldest are of layer %d", l,
                  m->cycle[m->w_released % m->n_cycle]);
}

int weights_arrive(machine *m, int l)
{
    if (m->cycle_of[l] < 0)
        return hazard(m, "the weights of layer %d stay on the device", l);
    if (weights_started(m, l) != 0)
        return -1;
    m->w_arrived[weights_copy(m, l) % m->p->weight_slots] = true;
    return 0;
}

int weights_ready(machine *m, int l)
{
    if (m->cycle_of[l] < 0)
        return 0;
    if (weights_started(m, l) != 0)
        return -1;
    if (!m->w_arrived[weights_copy(m, l) % m->p->weight_slots])
        return hazard(m, "the weights of layer %d are read before their copy has ended", l);
    return 0;
}

int weights_release(machine *m, int l)
{
    if (m->cycle_of[l] < 0)
        return hazard(m, "the weights of layer %d stay on the device", l);
    if (weights_ready(m, l) != 0)
        return -1;
    if (weights_copy(m, l) != m->w_released)
        return hazard(m, "the weights of layer %d are to be released first",
                      m->cycle[m->w_released % m->n_cycle]);
    m->w_released++;
    m->n_released++;
    weights_fill(m);
    return 0;
}
