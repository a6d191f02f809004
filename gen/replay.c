/*
** replay.c - runs a plan's steps on a model of the machine and finds hazards.
**
** Prompts go panel by panel, in each chunk by chunk; tokens one at a time. The change from prefill
** to decode drains both streams; the change back does not wait for stores. What a step does:
** replay_step.c, replay_attend.c; the rings: replay_ring.c; what is run: replay_scenario.c.
*/
#include <stdarg.h>
#include <stdio.h>

#include "plan_check.h"
#include "replay_machine.h"

int hazard(machine *m, const char *fmt, ...)
{
    char why[384], step[128] = "end of the list", more[96] = "";
    size_t n = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (m->at < m->list_end)
        step_text(m->now.band, &m->list[m->at], step, sizeof step);
    if (m->p->n_bands > 1)
        n += (size_t)snprintf(more, sizeof more, ", band %d", (int)(m->now.band - m->p->band));
    if (m->p->panels > 1)
        n += (size_t)snprintf(more + n, sizeof more - n, ", panel %d", m->now.panel);
    if (m->loop >= 0)
        snprintf(more + n, sizeof more - n, ", t = %lld", (ll)m->t);
    return gen_fail(m->e, "%s step %d: %s: %s (pass of " ROWS "%s)", m->where, m->at, step, why,
                    (ll)m->now.pos, (ll)(m->now.pos + m->now.n), more);
}

/* ---- the log ---- */

static void log_number(machine *m, int64_t n)
{
    m->log->digest = (m->log->digest ^ (uint64_t)n) * 0x100000001b3u;
}

void log_state(machine *m)
{
    if (m->log == NULL)
        return;
    const int64_t number[] = { m->issued,    m->released, m->ahead,     m->next_group, m->next_row,
                               m->carry_end, m->n_closed, m->open,      m->touched,    m->t,
                               m->at,        m->w_issued, m->w_released };
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
        log_number(m, number[i]);
    for (int64_t i = m->released; i < m->issued; i++) {
        const slot_rows *k = ring_slot(m, i);
        log_number(m, k->group);
        log_number(m, k->at);
        log_number(m, k->hi);
        log_number(m, k->for_next + 2 * k->awaited + 4 * k->read);
    }
}

/* ---- lists of steps ---- */

static int (*const run_step[N_STEPS])(machine *m, const hi_step *st) = {
#define S(name, args, what) replay_##name,
#include "steps.def"
#undef S
};

static int run_list(machine *m, const char *where, const hi_step *list, int at, int end)
{
    bool enter = list == m->p->enter;
    m->where = where;
    m->list = list;
    m->list_at = at;
    m->list_end = end;
    m->loop = -1;
    m->in_last = false;
    for (m->at = at; m->at < end; m->at++) {
        if (m->log != NULL)
            m->log->steps++;
        if ((list[m->at].kind == STEP_settle) != enter)
            return hazard(m, "belongs into %s", enter ? "a pass" : "the change to decode");
        if (run_step[list[m->at].kind](m, &list[m->at]) != 0)
            return -1;
    }
    return m->loop >= 0 || m->in_last ? hazard(m, "a loop or block has no end") : 0;
}

/* ---- passes ---- */

bool rolls(const machine *m, int l)
{
    return sees_window(m->s, m->p, l);
}

bool is_cut(const machine *m)
{
    return m->phase == PREFILL && !m->p->req.logits_all;
}

static pass pass_of_rows(const machine *m, int panel, int64_t pos, int64_t n)
{
    pass q = { .panel = panel, .pos = pos, .n = n, .complete = split_floor(pos), .last = true };
    q.band = m->p->band;
    while (q.band->upto < q.complete)
        q.band++;
    q.layer_hi = m->s->layers;
    return q;
}

/* Groups of the pass's layers; the last layer has none where it does not go on. */
static void pass_groups(const machine *m, pass *q)
{
    int per_layer = m->s->kv_heads / q->band->group;
    bool without = q->layer_hi == m->s->layers && is_cut(m) && !q->last;
    q->group_lo = q->layer_lo * per_layer;
    q->group_hi = (q->layer_hi - without) * per_layer;
}

static pass pass_of_chunk(const machine *m, int panel, int chunk)
{
    int64_t first = chunk * m->p->chunk, n = least(m->p->chunk, m->prompt - first);
    pass q = pass_of_rows(m, panel, m->len + first, n);
    q.chunk = chunk;
    q.last = chunk == m->chunks - 1;
    q.layer_lo = panel * m->p->panel;
    q.layer_hi = (int)least(q.layer_lo + (int64_t)m->p->panel, m->s->layers);
    pass_groups(m, &q);
    return q;
}

static pass pass_of_token(const machine *m, int64_t pos)
{
    pass q = pass_of_rows(m, 0, pos, 1);
    pass_groups(m, &q);
    return q;
}

/* Where the pass's hidden states are. */
static x_rows *x_of_pass(machine *m)
{
    int number = m->now.panel * m->chunks + m->now.chunk;
    if (m->phase == DECODE || m->p->hidden == AT_NONE)
        return &m->x_of[0];
    if (m->p->hidden == AT_DEVICE)
        return &m->x_of[m->now.chunk];
    return &m->x_of[m->chunks > 1 ? number & 1 : 0];
}

/* Weights that the pass has to release. */
static int due_weights(const machine *m)
{
    int n = 0;
    if (m->phase == PREFILL && m->p->hold && !m->now.last)
        return 0;
    for (int l = m->now.layer_lo; l < m->now.layer_hi; l++)
        n += m->cycle_of[l] >= 0;
    return n;
}

/* Everything a pass owes the next one. */
static int pass_end(machine *m)
{
    bool last_panel = m->now.layer_hi == m->s->layers;
    if (m->done_layer != m->now.layer_hi - 1)
        return hazard(m, "layer %d is not through", m->done_layer + 1);
    if (m->scored != last_panel)
        return hazard(m, "no scores");
    if (m->sent != (!last_panel && m->p->hidden == AT_HOST))
        return hazard(m, "the hidden states stay on the device");
    for (int l = m->now.layer_lo; l < m->now.layer_hi; l++) {
        if (rolls(m, l) ? m->layer[l].near_hi != m->now.pos + m->now.n
                        : m->p->offload && m->layer[l].stored != m->now.pos + m->now.n)
            return hazard(m, "layer %d was not stored", l);
    }
    if (m->n_released != due_weights(m))
        return hazard(m, "%d of %d layers' weights are released", m->n_released, due_weights(m));
    return ring_done(m);
}

/* Runs 'now'. */
static int pass_run(machine *m)
{
    const hi_band *b = m->now.band;
    bool prefill = m->phase == PREFILL;
    m->scored = m->sent = false;
    m->storing = m->p->offload; /* of the pass before, or of the chat turn before */
    m->qkv_layer = m->window_layer = m->open = -1;
    m->done_layer = m->now.layer_lo - 1;
    m->n_released = 0;
    m->x = x_of_pass(m);
    if (m->now.panel == 0)
        m->x->layer = -1;
    ring_turn(m);
    if (run_list(m, prefill ? "prefill" : "decode", b->steps[m->phase],
                 prefill ? b->panel_at[m->now.panel] : 0,
                 prefill ? b->panel_at[m->now.panel + 1] : b->n_steps[DECODE]) != 0 ||
        pass_end(m) != 0)
        return -1;
    if (m->log != NULL)
        m->log->passes++;
    log_state(m);
    return 0;
}

/* ---- prompts and tokens ---- */

static int run_chunk(machine *m, int panel, int chunk)
{
    m->now = pass_of_chunk(m, panel, chunk);
    m->has_next = true;
    if (chunk + 1 < m->chunks)
        m->next = pass_of_chunk(m, panel, chunk + 1);
    else if (panel + 1 < m->p->panels)
        m->next = pass_of_chunk(m, panel + 1, 0);
    else
        m->has_next = false;
    return pass_run(m);
}

int run_prompt(machine *m, int64_t n)
{
    m->prompt = n;
    m->chunks = (int)((n + m->p->chunk - 1) / m->p->chunk);
    for (int i = 0; i < REPLAY_CHUNKS; i++) {
        m->x_of[i] = (x_rows){ .layer = -1 };
        m->host_layer[i] = -1;
    }
    for (int panel = 0; panel < m->p->panels; panel++)
        for (int chunk = 0; chunk < m->chunks; chunk++)
            if (run_chunk(m, panel, chunk) != 0)
                return -1;
    m->len += n;
    return 0;
}

/* A change of phase: buffers are placed anew, what the ring fetched ahead is dropped. */
void begin_phase(machine *m, hi_phase phase)
{
    m->phase = phase;
    m->now = pass_of_rows(m, 0, m->len, 0);
    m->qkv_layer = m->window_layer = m->open = m->done_layer = -1;
    m->x_of[0] = (x_rows){ .layer = -1 };
    ring_reset(m);
    for (int l = 0; l < m->s->layers; l++) {
        m->layer[l].frame_lo = m->layer[l].frame_hi = 0;
        m->layer[l].settled = false;
    }
}

static int enter_decode(machine *m)
{
    begin_phase(m, DECODE);
    if (run_list(m, "enter", m->p->enter, 0, m->p->n_enter) != 0)
        return -1;
    for (int l = 0; l < m->s->layers; l++)
        if (m->p->resident[DECODE][l] > m->p->resident[PREFILL][l] && !m->layer[l].settled)
            return hazard(m, "the frames of layer %d are not filled", l);
    return 0;
}

int run_tokens(machine *m, int n)
{
    if (m->len == m->p->ctx)
        return 0;
    if (enter_decode(m) != 0)
        return -1;
    for (; n > 0 && m->len < m->p->ctx; n--, m->len++) {
        m->now = pass_of_token(m, m->len);
        m->has_next = m->len + 1 < m->p->ctx;
        if (m->has_next)
            m->next = pass_of_token(m, m->len + 1);
        if (pass_run(m) != 0)
            return -1;
    }
    return 0;
}

/* What the last pass left under way may still be; the ring of weights goes on where it was. */
void jump_to(machine *m, int64_t len)
{
    m->len = len;
    begin_phase(m, PREFILL);
    for (int l = 0; l < m->s->layers; l++)
        m->layer[l] = (layer_rows){
            .stored = len,
            .kept = len,
            .tail_lo = split_floor(len),
            .tail_hi = len,
            .near_lo = most(0, len - m->p->near_rows),
            .near_hi = len,
        };
}

/* ---- entry ---- */

static machine *make_machine(hi_arena *a, const hi_spec *s, const hi_plan *p)
{
    machine *m = arena_alloc(a, sizeof *m);
    size_t layers = (size_t)s->layers;
    if (m == NULL)
        return NULL;
    *m = (machine){ .s = s, .p = p };
    m->layer = arena_alloc(a, layers * sizeof *m->layer);
    m->closed = arena_alloc(a, (size_t)s->kv_heads * sizeof *m->closed);
    m->cycle = arena_alloc(a, layers * sizeof *m->cycle);
    m->cycle_of = arena_alloc(a, layers * sizeof *m->cycle_of);
    return m->layer && m->closed && m->cycle && m->cycle_of ? m : NULL;
}

/* log NULL: none. */
static int replay(const hi_spec *s, const hi_plan *p, bool every_tile, replay_log *log, hi_error *e)
{
    hi_arena *a = arena_new();
    machine *m = a == NULL ? NULL : make_machine(a, s, p);
    int rc = -1;
    if (m != NULL) {
        m->e = e;
        m->log = log;
        m->every_tile = every_tile;
        weights_open(m);
        rc = run_scenarios(m);
    } else {
        gen_fail(e, "out of memory");
    }
    if (a != NULL)
        arena_free(a);
    return rc;
}

int replay_logged(const hi_spec *s, const hi_plan *p, bool every_tile, replay_log *log, hi_error *e)
{
    *log = (replay_log){ 0, 0, 0 };
    return replay(s, p, every_tile, log, e);
}

int replay_plan(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    return replay(s, p, false, NULL, e);
}
