/*
** replay_step.c - the steps of a replay that stand around attention.
**
** Hidden states, weights, new rows and their store, the block for the last row, scores, and the
** rows that decode keeps beyond prefill's. Each function checks what the step needs, then changes
** the model as the step changes the machine.
*/
#include <string.h>

#include "replay_machine.h"

/* What is skipped in all passes but a prompt's last must not stand in the block for its last row.
 */
static int outside_last_row(machine *m)
{
    return m->in_last ? hazard(m, "must not be left out where the last row's block is") : 0;
}

/* ---- hidden states ---- */

static int begins_pass(machine *m)
{
    return m->at == m->list_at ? 0 : hazard(m, "begins a pass, so it is the first step");
}

/* Do hidden states leave the device between panels? One chunk stays in 'x'. */
static bool x_moves(const machine *m)
{
    return m->phase == PREFILL && m->p->hidden == AT_HOST && m->chunks > 1;
}

/* Starts the copy of the next pass's hidden states, as they are on the host, into the half of 'x'
   that this pass does not use. The runtime orders the copies; what the plan can do wrong is to
   send rows too early or not at all, and x_is finds that. */
static void fetch_hidden(machine *m)
{
    if (!x_moves(m) || !m->has_next || m->next.panel == 0)
        return;
    int chunk = m->next.chunk;
    m->x_of[m->x == &m->x_of[0]] = (x_rows){ chunk, m->host_layer[chunk] };
}

int replay_embed(machine *m, const hi_step *st)
{
    (void)st;
    if (begins_pass(m) != 0)
        return -1;
    if (m->now.panel > 0)
        return hazard(m, "the hidden states of panel %d exist already", m->now.panel);
    *m->x = (x_rows){ m->now.chunk, 0 };
    fetch_hidden(m);
    return ring_fill(m, NO_LAYER);
}

int replay_take_hidden(machine *m, const hi_step *st)
{
    (void)st;
    if (begins_pass(m) != 0)
        return -1;
    if (m->now.panel == 0)
        return hazard(m, "there are no hidden states before the first panel");
    fetch_hidden(m);
    return ring_fill(m, NO_LAYER);
}

/* Is 'x' this pass's, and the input of layer l? */
static int x_is(machine *m, int l)
{
    if (m->x->layer != l || m->x->chunk != m->now.chunk)
        return hazard(m, "'x' is not the input of layer %d (it is of %d, chunk %d)", l, m->x->layer,
                      m->x->chunk);
    return 0;
}

int replay_put_hidden(machine *m, const hi_step *st)
{
    (void)st;
    if (m->phase != PREFILL || m->p->hidden != AT_HOST || m->now.panel == m->p->panels - 1)
        return hazard(m, "no hidden states leave the device here");
    if (x_is(m, m->now.layer_hi) != 0)
        return -1;
    if (m->sent)
        return hazard(m, "the pass's hidden states have left already");
    m->sent = true;
    if (x_moves(m))
        m->host_layer[m->now.chunk] = m->x->layer;
    return 0;
}

/* ---- weights ---- */

int replay_await_weights(machine *m, const hi_step *st)
{
    return weights_arrive(m, st->arg[0]);
}

static int release(machine *m, int l, bool now)
{
    if (outside_last_row(m) != 0)
        return -1;
    if (l < m->now.layer_lo || l > m->done_layer)
        return hazard(m, "layer %d of this pass is not through", l);
    return now ? weights_release(m, l) : weights_ready(m, l);
}

int replay_refill_weights(machine *m, const hi_step *st)
{
    if (m->phase == PREFILL && m->p->hold)
        return hazard(m, "the prompt's next chunk needs these weights");
    return release(m, st->arg[0], true);
}

int replay_retire_weights(machine *m, const hi_step *st)
{
    if (m->phase == DECODE || !m->p->hold)
        return hazard(m, "the ring waits for these weights' slot");
    return release(m, st->arg[0], m->now.last);
}

/* ---- new rows ---- */

int replay_await_store(machine *m, const hi_step *st)
{
    (void)st;
    if (!m->p->offload)
        return hazard(m, "this plan has no host store");
    m->storing = false;
    return 0;
}

/* Rows go to the window and the tails; the window begins with rows that the tails hold. */
static int append_rows(machine *m, int l)
{
    layer_rows *y = &m->layer[l];
    int64_t pos = m->now.pos, end = pos + m->now.n;
    if (m->storing)
        return hazard(m, "overwrites rows that a store may still read");
    if (m->phase == DECODE) {
        y->tail_lo = most(y->tail_hi == pos ? y->tail_lo : pos, end - 2 * KEY_SPLIT);
        y->tail_hi = end;
        return 0;
    }
    if (m->now.complete < pos && (y->tail_lo > m->now.complete || y->tail_hi < pos))
        return hazard(m, "needs " ROWS " of 'tails', which has " ROWS, (ll)m->now.complete, (ll)pos,
                      (ll)y->tail_lo, (ll)y->tail_hi);
    m->window_layer = l;
    y->tail_lo = split_floor(end);
    y->tail_hi = end;
    return 0;
}

/* In decode, a row may fall in the frames, which then must reach up to it. */
static void append_frame(machine *m, int l)
{
    layer_rows *y = &m->layer[l];
    int64_t pos = m->now.pos;
    if (pos < m->p->resident[PREFILL][l] || pos >= m->p->resident[DECODE][l])
        return;
    if (y->frame_lo == y->frame_hi || y->frame_hi != pos)
        y->frame_lo = pos;
    y->frame_hi = pos + 1;
}

/* Rows from 'lo' to the pass's last take the place of older ones in 'near'. */
static int append_near(machine *m, int l, int64_t lo)
{
    layer_rows *y = &m->layer[l];
    int64_t end = m->now.pos + m->now.n;
    if (lo > y->near_hi && lo > end - m->p->near_rows)
        return hazard(m, "'near' ends with row %lld of layer %d", (ll)y->near_hi, l);
    y->near_lo = most(y->near_lo, end - m->p->near_rows);
    y->near_hi = end;
    return 0;
}

int replay_keep_near(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    if (!rolls(m, l) || m->phase != PREFILL)
        return hazard(m, "the rows of layer %d are in no window, or there already", l);
    if (outside_last_row(m) != 0)
        return -1;
    if (m->done_layer != l || m->window_layer != l)
        return hazard(m, "attention may still read older rows of layer %d, or its own are not there",
                      l);
    return append_near(m, l, most(m->now.pos, m->now.pos + m->now.n - m->p->near_rows));
}

static int norm(machine *m, int l, bool one)
{
    bool should = is_cut(m) && l == m->s->layers - 1;
    if (outside_last_row(m) != 0)
        return -1;
    if (one != should)
        return hazard(
            m, one ? "other rows of layer %d go on too" : "of layer %d only a row goes on", l);
    if (x_is(m, l) != 0 || weights_ready(m, l) != 0)
        return -1;
    if (m->qkv_layer == l || m->done_layer >= l)
        return hazard(m, "the rows of layer %d were appended already", l);
    if ((m->p->offload || rolls(m, l)) && append_rows(m, l) != 0)
        return -1;
    if (m->phase == DECODE && rolls(m, l) && append_near(m, l, m->now.pos) != 0)
        return -1;
    if (m->layer[l].kept == m->now.pos && !rolls(m, l))
        m->layer[l].kept = m->now.pos + m->now.n;
    if (m->phase == DECODE)
        append_frame(m, l);
    m->qkv_layer = l;
    m->qkv_one = one;
    m->n_closed = 0;
    memset(m->closed, 0, (size_t)m->s->kv_heads * sizeof *m->closed);
    return 0;
}

int replay_norm_qkv(machine *m, const hi_step *st)
{
    return norm(m, st->arg[0], false);
}

int replay_norm_kv(machine *m, const hi_step *st)
{
    return norm(m, st->arg[0], true);
}

/* Are the rows from the last whole split on in the window or the tails? */
bool newest_in_place(const machine *m, int l)
{
    const layer_rows *y = &m->layer[l];
    if (m->phase == PREFILL)
        return m->window_layer == l;
    return y->tail_lo <= m->now.complete && y->tail_hi == m->now.pos + m->now.n;
}

int replay_store(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    if (!m->p->offload)
        return hazard(m, "this plan has no host store");
    if (outside_last_row(m) != 0)
        return -1;
    if (m->qkv_layer != l || !newest_in_place(m, l))
        return hazard(m, "the rows of layer %d are not on the device", l);
    if (rolls(m, l))
        return hazard(m, "layer %d has no place in the store", l);
    if (m->layer[l].stored != m->now.pos)
        return hazard(m, "the store has rows [0, %lld) already", (ll)m->layer[l].stored);
    m->layer[l].stored = m->now.pos + m->now.n;
    m->storing = true;
    return 0;
}

/* ---- the end of a layer ---- */

/* The step of a kind that ends the block begun at 'at'; -1: another comes first, or none. */
static int find_end(const machine *m)
{
    for (int i = m->at + 1; i < m->list_end; i++) {
        if (m->list[i].kind == STEP_end_last_row)
            return i;
        if (m->list[i].kind == STEP_last_row)
            return -1;
    }
    return -1;
}

int replay_last_row(machine *m, const hi_step *st)
{
    (void)st;
    int end = find_end(m);
    if (m->in_last || m->loop >= 0 || end < 0)
        return hazard(m, "the block has no end, or stands in another");
    if (m->qkv_layer < 0 || !m->qkv_one || m->open >= 0)
        return hazard(m, "does not follow 'norm_kv'");
    if (m->now.last) {
        m->in_last = true;
        return 0;
    }
    m->done_layer = m->qkv_layer;
    m->at = end;
    return 0;
}

int replay_end_last_row(machine *m, const hi_step *st)
{
    (void)st;
    if (!m->in_last || m->loop >= 0)
        return hazard(m, "ends no block");
    if (m->x->layer != m->s->layers)
        return hazard(m, "the last row is not through layer %d", m->s->layers - 1);
    m->in_last = false;
    return 0;
}

int replay_out_mlp(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    int64_t rows = m->phase == PREFILL ? m->p->mlp_rows : 1;
    if (st->arg[1] != rows)
        return hazard(m, "'mlp' has %lld rows", (ll)rows);
    if (x_is(m, l) != 0 || weights_ready(m, l) != 0)
        return -1;
    if (m->qkv_layer != l)
        return hazard(m, "'o' is not of layer %d", l);
    if (m->n_closed != m->s->kv_heads)
        return hazard(m, "'o' has %d of %d KV heads", m->n_closed, m->s->kv_heads);
    m->x->layer = l + 1;
    m->qkv_layer = -1;
    m->done_layer = l;
    return 0;
}

int replay_logits(machine *m, const hi_step *st)
{
    (void)st;
    bool wanted = m->now.last || m->p->req.logits_all;
    if (outside_last_row(m) != 0)
        return -1;
    if (m->now.panel != m->p->panels - 1 && m->phase == PREFILL)
        return hazard(m, "stands in panel %d of %d", m->now.panel, m->p->panels);
    if (m->scored)
        return hazard(m, "scores of this pass exist already");
    m->scored = true;
    return wanted ? x_is(m, m->s->layers) : 0;
}

int replay_settle(machine *m, const hi_step *st)
{
    int l = st->arg[0];
    layer_rows *y = &m->layer[l];
    int64_t lo = m->p->resident[PREFILL][l], hi = m->p->resident[DECODE][l];
    if (st->arg[1] != lo || st->arg[2] != hi)
        return hazard(m, "the layer's frames are " ROWS, (ll)lo, (ll)hi);
    if (!m->p->offload || y->settled)
        return hazard(m, "these frames are not to be filled");
    y->settled = true;
    y->frame_lo = least(lo, y->stored);
    y->frame_hi = least(hi, y->stored);
    return 0;
}
