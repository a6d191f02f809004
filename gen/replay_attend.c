/*
** replay_attend.c - the steps of a replay that make up attention over one group of heads.
**
** In a long loop over tiles every turn does the same: the ring is full of this group's tiles, one
** is consumed, one fetched. Such turns are leapt over; what the model holds then is what it
** would hold after them.
*/
#include "replay_machine.h"

/* The group of the pass's band that a step's arguments "layer head n" name, or -1 with the error
   written. check_groups has found the groups in order. */
static int named_group(machine *m, const hi_step *st)
{
    const hi_band *b = m->now.band;
    int l = st->arg[0], head = st->arg[1];
    if (st->arg[2] == b->group && head % b->group == 0)
        return (l * m->s->kv_heads + head) / b->group;
    hazard(m, "layer %d has no group of heads %d to %d", l, head, head + st->arg[2] - 1);
    return -1;
}

/* The open group, if the step names it, or -1 with the error written. */
static int open_group(machine *m, const hi_step *st)
{
    int g = named_group(m, st);
    if (g >= 0 && g != m->open) {
        hazard(m, "these heads are not open");
        return -1;
    }
    return g;
}

/* Adds keys [lo, hi) to 'carry'. */
static int add_keys(machine *m, int64_t lo, int64_t hi)
{
    if (m->carry_end != lo)
        return hazard(m, "keys [%lld, %lld) follow keys [0, %lld)", (ll)lo, (ll)hi,
                      (ll)m->carry_end);
    m->carry_end = hi;
    m->touched = true;
    return 0;
}

int replay_open_heads(machine *m, const hi_step *st)
{
    int g = named_group(m, st);
    if (g < 0)
        return -1;
    if (m->open >= 0)
        return hazard(m, "'carry' is in use");
    if (m->qkv_layer != st->arg[0])
        return hazard(m, "'qkv' is not of layer %d", st->arg[0]);
    if (m->qkv_one != m->in_last)
        return hazard(m, "only the last row of layer %d has a query", st->arg[0]);
    if (m->closed[st->arg[1]])
        return hazard(m, "these heads are closed already");
    m->open = g;
    m->touched = false;
    m->carry_end = 0;
    return 0;
}

int replay_attend_resident(machine *m, const hi_step *st)
{
    if (open_group(m, st) < 0)
        return -1;
    int l = st->arg[0];
    const layer_rows *y = &m->layer[l];
    int64_t resident = m->p->resident[m->phase][l];
    if (rolls(m, l))
        return hazard(m, "layer %d keeps a window alone", l);
    if (st->arg[3] != resident)
        return hazard(m, "layer %d has %lld rows on the device", l, (ll)resident);
    if (m->touched)
        return hazard(m, "attention over these heads has begun already");
    int64_t end = least(resident, m->p->offload ? m->now.complete : m->now.pos + m->now.n);
    int64_t kept = least(end, m->p->resident[PREFILL][l]);
    if (y->kept < kept)
        return hazard(m, "'kept' has rows [0, %lld), needs %lld", (ll)y->kept, (ll)kept);
    if (kept < end && (y->frame_lo > kept || y->frame_hi < end))
        return hazard(m, "'frames' has " ROWS ", needs " ROWS, (ll)y->frame_lo, (ll)y->frame_hi,
                      (ll)kept, (ll)end);
    return add_keys(m, 0, end);
}

/* The first row that the open group's queries see, where they see a window. */
static int64_t window_start(const machine *m)
{
    int64_t query = m->in_last ? m->now.pos + m->now.n - 1 : m->now.pos;
    return most(0, query - m->s->window.size + 1);
}

int replay_attend_near(machine *m, const hi_step *st)
{
    if (open_group(m, st) < 0)
        return -1;
    const layer_rows *y = &m->layer[st->arg[0]];
    int64_t first = least(window_start(m), m->now.complete);
    if (!rolls(m, st->arg[0]))
        return hazard(m, "layer %d has no window", st->arg[0]);
    if (m->touched)
        return hazard(m, "attention over these heads has begun already");
    if (first < m->now.complete && (y->near_lo > first || y->near_hi < m->now.complete))
        return hazard(m, "'near' has " ROWS ", needs " ROWS, (ll)y->near_lo, (ll)y->near_hi,
                      (ll)first, (ll)m->now.complete);
    return add_keys(m, 0, m->now.complete);
}

int replay_attend_newest(machine *m, const hi_step *st)
{
    if (!m->p->offload && !rolls(m, st->arg[0]))
        return hazard(m, "this plan has no 'window' and no 'tails'");
    if (open_group(m, st) < 0)
        return -1;
    if (!newest_in_place(m, st->arg[0]))
        return hazard(m, ROWS " of layer %d are not on the device", (ll)m->now.complete,
                      (ll)(m->now.pos + m->now.n), st->arg[0]);
    return add_keys(m, m->now.complete, m->now.pos + m->now.n);
}

int replay_close_heads(machine *m, const hi_step *st)
{
    if (open_group(m, st) < 0)
        return -1;
    if (m->loop >= 0)
        return hazard(m, "stands in a loop over tiles");
    if (m->carry_end != m->now.pos + m->now.n)
        return hazard(m, "'carry' has keys [0, %lld) of %lld", (ll)m->carry_end,
                      (ll)(m->now.pos + m->now.n));
    m->closed[st->arg[1]] = true;
    m->n_closed += st->arg[2];
    m->open = -1;
    return 0;
}

/* ---- the loop over tiles ---- */

/* Are the steps behind the loop's begin the usual three? */
static bool body_is_plain(const machine *m)
{
    const hi_step *st = &m->list[m->loop];
    const hi_group *g = &m->now.band->group_of[m->open];
    return m->loop + 4 < m->list_end && st[1].kind == STEP_await && st[2].kind == STEP_attend &&
           st[3].kind == STEP_refill && st[4].kind == STEP_end_tiles && st[2].arg[0] == g->layer &&
           st[2].arg[1] == g->head && st[2].arg[2] == g->n && st[3].arg[1] == m->open;
}

/* Is the ring full of this group's tiles from t on, whole ones, that nobody has touched? */
static bool ring_is_steady(machine *m)
{
    int64_t T = m->now.band->tile;
    for (int i = 0; i < m->p->slots; i++) {
        const slot_rows *k = ring_slot(m, m->released + i);
        if (k->group != m->open || k->at != m->t + i * T || k->hi != k->at + T || k->for_next ||
            k->awaited || k->read)
            return false;
    }
    return true;
}

/* At the top of the loop: leaps to the turn in which the cursor has left the whole tiles. */
static void leap(machine *m)
{
    int64_t T = m->now.band->tile, slots = m->p->slots;
    int64_t turns = (m->now.complete - m->next_row) / T;
    if (m->every_tile || m->ahead || m->next_group != m->open || turns < 1 ||
        m->issued - m->released != slots || m->next_row != m->t + slots * T ||
        m->carry_end != m->t ||
        m->layer[m->now.band->group_of[m->open].layer].stored < m->now.complete ||
        !body_is_plain(m) || !ring_is_steady(m))
        return;
    m->t += turns * T;
    m->carry_end += turns * T;
    m->next_row += turns * T;
    m->released += turns;
    m->issued += turns;
    m->touched = true;
    for (int i = 0; i < slots; i++)
        *ring_slot(m, m->released + i) = (slot_rows){
            .group = m->open,
            .at = m->t + i * T,
            .hi = m->t + (i + 1) * T,
        };
}

/* The last turns are run one by one whether others are leapt over or not. */
static void begin_turn(machine *m)
{
    int64_t T = m->now.band->tile;
    leap(m);
    if (m->t + (m->p->slots + 1) * T > m->now.complete)
        log_state(m);
}

int replay_each_tile(machine *m, const hi_step *st)
{
    if (!m->p->offload)
        return hazard(m, "nothing is streamed in this plan");
    if (m->loop >= 0)
        return hazard(m, "a loop over tiles inside another");
    if (m->open < 0)
        return hazard(m, "no heads are open");
    int64_t resident = m->p->resident[m->phase][m->now.band->group_of[m->open].layer];
    if (st->arg[0] != resident || st->arg[1] != m->now.band->tile)
        return hazard(m, "the group's tiles are of %lld rows, from row %lld on",
                      (ll)m->now.band->tile, (ll)resident);
    int end = m->at + 1;
    while (end < m->list_end && m->list[end].kind != STEP_end_tiles &&
           m->list[end].kind != STEP_last_row && m->list[end].kind != STEP_end_last_row)
        end++;
    if (end == m->list_end || m->list[end].kind != STEP_end_tiles)
        return hazard(m, "the loop has no end");
    m->t = st->arg[0];
    if (m->t >= m->now.complete) {
        m->at = end;
        return 0;
    }
    m->loop = m->at;
    begin_turn(m);
    return 0;
}

int replay_end_tiles(machine *m, const hi_step *st)
{
    (void)st;
    if (m->loop < 0)
        return hazard(m, "ends no loop");
    m->t += m->now.band->tile;
    if (m->t < m->now.complete) {
        m->at = m->loop;
        begin_turn(m);
        return 0;
    }
    m->loop = -1;
    return 0;
}

/* The filled current slot, or NULL with the error written. */
static slot_rows *current_slot(machine *m)
{
    if (m->loop < 0)
        hazard(m, "is outside a loop over tiles");
    else if (m->issued == m->released)
        hazard(m, "no copy into the slot was started");
    else
        return ring_slot(m, m->released);
    return NULL;
}

int replay_await(machine *m, const hi_step *st)
{
    (void)st;
    slot_rows *k = current_slot(m);
    if (k == NULL)
        return -1;
    k->awaited = true;
    return 0;
}

int replay_attend(machine *m, const hi_step *st)
{
    slot_rows *k = current_slot(m);
    int g = k == NULL ? -1 : open_group(m, st);
    if (g < 0)
        return -1;
    if (!k->awaited)
        return hazard(m, "the slot is read before its copy has ended");
    int64_t hi = least(m->t + m->now.band->tile, m->now.complete);
    if (k->for_next)
        return hazard(m, "the slot is filled for the next pass");
    if (k->group != g || k->at != m->t || k->hi < hi) {
        const hi_group *h = &m->now.band->group_of[k->group];
        return hazard(m, "the slot holds " ROWS " of layer %d heads %d+%d", (ll)k->at, (ll)k->hi,
                      h->layer, h->head, h->n);
    }
    k->read = true;
    return add_keys(m, m->t, hi);
}

int replay_refill(machine *m, const hi_step *st)
{
    slot_rows *k = current_slot(m);
    if (k == NULL)
        return -1;
    if (!k->read)
        return hazard(m, "the slot is released before it is read");
    if (k->group != st->arg[1])
        return hazard(m, "the slot is of group %d", k->group);
    m->released++;
    return ring_fill(m, m->now.band->group_of[k->group].layer);
}
