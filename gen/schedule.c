/*
** schedule.c - from decisions to steps.
**
** One list a band and phase: a pass through all layers. Prefill's is cut into panels, which
** the emitted code runs one after the other, each over all chunks. Decides nothing.
*/
#include "schedule.h"

typedef struct step_list {
    hi_step *step; /* NULL: count only */
    int n;
} step_list;

static void add(step_list *l, hi_step_kind kind, int a0, int a1, int a2, int a3)
{
    if (l->step != NULL)
        l->step[l->n] = (hi_step){ kind, { a0, a1, a2, a3, 0 } };
    l->n++;
}

typedef struct maker {
    const hi_spec *s;
    const hi_plan *p;
    const hi_band *b;
    hi_phase phase;
    step_list l;
} maker;

/* Rows that tiles of the last band cover at a full context. */
static int64_t tiled_rows(const hi_plan *p)
{
    return round_up(p->ctx, p->band[p->n_bands - 1].tile);
}

static void add_group(maker *m, int g)
{
    const hi_group *gr = &m->b->group_of[g];
    int resident = (int)m->p->resident[m->phase][gr->layer];
    bool rolls = layer_rolls(m->s, gr->layer, m->p->ctx);

    add(&m->l, STEP_open_heads, gr->layer, gr->head, gr->n, 0);
    if (rolls)
        add(&m->l, STEP_attend_near, gr->layer, gr->head, gr->n, 0);
    else
        add(&m->l, STEP_attend_resident, gr->layer, gr->head, gr->n, resident);
    if (!rolls && m->p->offload && resident < tiled_rows(m->p)) {
        add(&m->l, STEP_each_tile, resident, (int)m->b->tile, 0, 0);
        add(&m->l, STEP_await, 0, 0, 0, 0);
        add(&m->l, STEP_attend, gr->layer, gr->head, gr->n, 0);
        add(&m->l, STEP_refill, 0, g, 0, 0);
        add(&m->l, STEP_end_tiles, 0, 0, 0, 0);
    }
    if (rolls || m->p->offload)
        add(&m->l, STEP_attend_newest, gr->layer, gr->head, gr->n, 0);
    add(&m->l, STEP_close_heads, gr->layer, gr->head, gr->n, 0);
}

/* In prefill the last layer's queries matter for the prompt's last row alone. */
static bool cut(const maker *m, int layer)
{
    return m->phase == PREFILL && !m->p->req.logits_all && layer == m->s->layers - 1;
}

static void add_part(maker *m, hi_part part, int layer)
{
    int per_layer = m->s->kv_heads / m->b->group;

    switch (part) {
    case PART_NORM_QKV:
        if (m->p->offload)
            add(&m->l, STEP_await_store, 0, 0, 0, 0);
        add(&m->l, cut(m, layer) ? STEP_norm_kv : STEP_norm_qkv, layer, 0, 0, 0);
        if (m->p->offload && !layer_rolls(m->s, layer, m->p->ctx))
            add(&m->l, STEP_store, layer, 0, 0, 0);
        if (cut(m, layer))
            add(&m->l, STEP_last_row, 0, 0, 0, 0);
        break;
    case PART_ATTEND:
        for (int g = 0; g < per_layer; g++)
            add_group(m, layer * per_layer + g);
        break;
    default:
        add(&m->l, STEP_out_mlp, layer, m->phase == PREFILL ? (int)m->p->mlp_rows : 1, 0, 0);
        if (cut(m, layer))
            add(&m->l, STEP_end_last_row, 0, 0, 0, 0);
    }
}

static void add_layer(maker *m, int layer)
{
    bool hold = m->phase == PREFILL && m->p->hold;

    if (m->p->streamed[layer])
        add(&m->l, STEP_await_weights, layer, 0, 0, 0);
    for (int i = 0; i < m->s->n_parts; i++)
        add_part(m, m->s->part[i], layer);
    if (m->phase == PREFILL && layer_rolls(m->s, layer, m->p->ctx))
        add(&m->l, STEP_keep_near, layer, 0, 0, 0);
    if (m->p->streamed[layer])
        add(&m->l, hold ? STEP_retire_weights : STEP_refill_weights, layer, 0, 0, 0);
}

/* Layers [first, end), with what stands before and behind them in a pass. */
static void add_panel(maker *m, int first, int end)
{
    add(&m->l, first == 0 ? STEP_embed : STEP_take_hidden, 0, 0, 0, 0);
    for (int layer = first; layer < end; layer++)
        add_layer(m, layer);
    if (end == m->s->layers)
        add(&m->l, STEP_logits, 0, 0, 0, 0);
    else if (m->p->hidden == AT_HOST)
        add(&m->l, STEP_put_hidden, 0, 0, 0, 0);
}

static void add_pass(maker *m, int *panel_at)
{
    int panel = m->phase == PREFILL ? m->p->panel : m->s->layers, n = 0;

    for (int first = 0; first < m->s->layers; first += panel) {
        if (panel_at != NULL)
            panel_at[n++] = m->l.n;
        add_panel(m, first, first + panel < m->s->layers ? first + panel : m->s->layers);
    }
    if (panel_at != NULL)
        panel_at[n] = m->l.n;
}

/* Room that prefill used for activations gets the rows that decode keeps in it. */
static void add_enter(const hi_spec *s, const hi_plan *p, step_list *l)
{
    if (!p->offload)
        return;
    for (int i = 0; i < s->layers; i++)
        if (p->resident[DECODE][i] > p->resident[PREFILL][i])
            add(l, STEP_settle, i, (int)p->resident[PREFILL][i], (int)p->resident[DECODE][i], 0);
}

static hi_step *take_steps(hi_arena *a, int n, hi_error *e)
{
    hi_step *step = arena_alloc(a, sizeof *step * (size_t)(n > 0 ? n : 1));
    if (step == NULL)
        gen_fail(e, "out of memory for %d steps", n);
    return step;
}

static int make_groups(hi_arena *a, const hi_spec *s, hi_band *b, hi_error *e)
{
    int per_layer = s->kv_heads / b->group;

    b->n_groups = s->layers * per_layer;
    b->group_of = arena_alloc(a, sizeof *b->group_of * (size_t)b->n_groups);
    if (b->group_of == NULL)
        return gen_fail(e, "out of memory for %d head groups", b->n_groups);
    for (int g = 0; g < b->n_groups; g++)
        b->group_of[g] = (hi_group){ g / per_layer, g % per_layer * b->group, b->group };
    return 0;
}

/* Counts, allocates, fills: the lists have exactly their length. */
static int make_band(hi_arena *a, const hi_spec *s, const hi_plan *p, hi_band *b, hi_error *e)
{
    if (make_groups(a, s, b, e) != 0)
        return -1;
    b->panel_at = arena_alloc(a, sizeof *b->panel_at * (size_t)(p->panels + 1));
    if (b->panel_at == NULL)
        return gen_fail(e, "out of memory for %d panels", p->panels);
    for (int phase = PREFILL; phase <= DECODE; phase++) {
        maker m = { s, p, b, phase, { NULL, 0 } };
        add_pass(&m, NULL);
        m.l.step = b->steps[phase] = take_steps(a, m.l.n, e);
        if (m.l.step == NULL)
            return -1;
        m.l.n = 0;
        add_pass(&m, phase == PREFILL ? b->panel_at : NULL);
        b->n_steps[phase] = m.l.n;
    }
    return 0;
}

int schedule_make(hi_arena *a, const hi_spec *s, hi_plan *p, hi_error *e)
{
    step_list l = { NULL, 0 };

    for (int i = 0; i < p->n_bands; i++)
        if (make_band(a, s, p, &p->band[i], e) != 0)
            return -1;
    add_enter(s, p, &l);
    l.step = p->enter = take_steps(a, l.n, e);
    if (l.step == NULL)
        return -1;
    l.n = 0;
    add_enter(s, p, &l);
    p->n_enter = l.n;
    return 0;
}
