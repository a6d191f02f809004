/*
** view_pass.c - one phase's schedules as the templates print them: bands, layers, panels.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "print.h"
#include "view.h"
#include "view_fields.h"

static const char *const PHASE_NAME[] = { "prefill", "decode" };

typedef struct walk { /* over the steps of one band and phase */
    lua_State *L;
    const hi_spec *s;
    const hi_plan *p;
    const hi_band *b;
    hi_phase phase;
    const char *suffix; /* of the band's functions */
    int at, group;
    int depth; /* of C's blocks */
} walk;

static const hi_step *step_at(const walk *w)
{
    return &w->b->steps[w->phase][w->at];
}

static bool more_steps(const walk *w)
{
    return w->at < w->b->n_steps[w->phase];
}

/* The next step's line, indented inside C's blocks. */
static void add_step(walk *w)
{
    char line[LINE_LEN];
    hi_step_kind kind = step_at(w)->kind;

    if (kind == STEP_end_tiles || kind == STEP_end_last_row)
        w->depth--;
    step_text(w->b, step_at(w), line, sizeof line);
    add_line(w->L, "%*s%s", 4 * w->depth, "", line);
    if (kind == STEP_each_tile || kind == STEP_last_row)
        w->depth++;
    w->at++;
}

/* ---- head groups ---- */

static void heads_text(const hi_group *g, char *out, size_t n)
{
    if (g->n == 1)
        snprintf(out, n, "head %d", g->head);
    else
        snprintf(out, n, "heads %d-%d", g->head, g->head + g->n - 1);
}

/* The group after the present one whose tiles the ring fetches. */
static const hi_group *next_streamed(const walk *w)
{
    const hi_band *b = w->b;
    int g = w->group;

    do {
        g = (g + 1) % b->n_groups;
    } while (g != w->group && layer_rolls(w->s, b->group_of[g].layer, w->p->ctx));
    return &b->group_of[g];
}

/* The paragraph's comment: what stays, what streams, what the ring fetches after it. */
static void add_group_comment(walk *w)
{
    const hi_band *b = w->b;
    const hi_group *gr = &b->group_of[w->group], *next = next_streamed(w);
    int64_t resident = w->p->resident[w->phase][gr->layer];
    char heads[64], after[64];

    heads_text(gr, heads, sizeof heads);
    heads_text(next, after, sizeof after);
    if (layer_rolls(w->s, gr->layer, w->p->ctx))
        add_line(w->L, "%*s/* %s: the window's %" PRId64 " rows */", 4 * w->depth, "", heads,
                 w->s->window.size);
    else if (resident >= w->p->ctx)
        add_line(w->L, "%*s/* %s: all rows resident */", 4 * w->depth, "", heads);
    else
        add_line(w->L,
                 "%*s/* %s: %" PRId64 " rows resident, the rest streamed; next: layer %d, %s */",
                 4 * w->depth, "", heads, resident, next->layer, after);
    w->group++;
}

/* Steps up to the end of one head group, with its comment. */
static void add_group_paragraph(walk *w)
{
    lua_newtable(w->L);
    if (step_at(w)->kind == STEP_last_row)
        add_step(w);
    add_group_comment(w);
    for (bool last = false; !last;) {
        last = step_at(w)->kind == STEP_close_heads;
        add_step(w);
    }
}

/* ---- layers ---- */

static bool begins_group(const walk *w)
{
    return step_at(w)->kind == STEP_open_heads || step_at(w)->kind == STEP_last_row;
}

/* The last step of a layer's function. */
static bool ends_layer(const walk *w, int layer)
{
    const hi_step *st = step_at(w);

    if (w->p->streamed[layer])
        return st->kind == STEP_refill_weights || st->kind == STEP_retire_weights;
    if (w->phase == PREFILL && layer_rolls(w->s, layer, w->p->ctx))
        return st->kind == STEP_keep_near;
    if (w->phase == PREFILL && !w->p->req.logits_all && layer == w->s->layers - 1)
        return st->kind == STEP_end_last_row;
    return st->kind == STEP_out_mlp;
}

static void add_cost(walk *w, int layer)
{
    char size[32], resident[32];
    int64_t row = kv_row_bytes(w->s, w->p->elt) * w->s->kv_heads;

    mib_text(streamed_rows(w->p, w->b, layer, w->phase) * row, size, sizeof size);
    mib_text(w->p->resident[w->phase][layer] * row, resident, sizeof resident);
    lua_newtable(w->L);
    add_line(w->L, "Layer %d: %d KV heads in groups of %d.", layer, w->s->kv_heads, w->b->group);
    if (layer_rolls(w->s, layer, w->p->ctx)) {
        mib_text(w->p->near_rows * row, resident, sizeof resident);
        add_line(w->L, "It sees %" PRId64 " tokens: %s on the device, none on the host.",
                 w->s->window.size, resident);
    } else if (w->p->offload)
        add_line(w->L, "At %" PRId64 " tokens: %s copied from the host, %s resident.", w->b->upto,
                 size, resident);
    else
        add_line(w->L, "No k or v is copied: %s are resident.", resident);
    mib_text(layer_weight_bytes(w->s, plan_format(w->p)), size, sizeof size);
    if (w->p->streamed[layer])
        add_line(w->L, "Its weights (%s) come through the ring of %d.", size, w->p->weight_slots);
    lua_setfield(w->L, -2, "cost");
}

static void layer_name(const walk *w, int layer, char *out, size_t n)
{
    snprintf(out, n, "layer_%0*d%s", layer_width(w->s), layer, w->suffix);
}

/* One layer's function: paragraphs, one for each head group. */
static void push_layer(walk *w, int layer)
{
    char name[64];
    int n = 0;

    lua_newtable(w->L);
    layer_name(w, layer, name, sizeof name);
    set_text(w->L, "name", name);
    add_cost(w, layer);
    lua_newtable(w->L);
    for (bool last = false; !last;) {
        if (begins_group(w))
            add_group_paragraph(w);
        else {
            lua_newtable(w->L);
            while (!last && !begins_group(w)) {
                last = ends_layer(w, layer);
                add_step(w);
            }
        }
        lua_rawseti(w->L, -2, ++n);
    }
    lua_setfield(w->L, -2, "paragraphs");
}

/* ---- panels ---- */

static void panel_name(const walk *w, int panel, char *out, size_t n)
{
    if (w->phase == DECODE)
        snprintf(out, n, "token%s", w->suffix);
    else if (w->p->panels == 1)
        snprintf(out, n, "chunk%s", w->suffix);
    else
        snprintf(out, n, "panel_%0*d%s", layer_width(w->s), panel, w->suffix);
}

static bool in_layer(const walk *w)
{
    switch (step_at(w)->kind) {
    case STEP_embed:
    case STEP_take_hidden:
    case STEP_put_hidden:
    case STEP_logits:
        return false;
    default:
        return true;
    }
}

/* A panel's function and, in 'layers', those of its layers. */
static void push_panel(walk *w, int panel, int first, int end)
{
    char name[64];

    lua_newtable(w->L);
    panel_name(w, panel, name, sizeof name);
    set_text(w->L, "name", name);
    lua_newtable(w->L); /* lines */
    add_step(w);
    lua_newtable(w->L); /* layers */
    for (int layer = first; layer < end; layer++) {
        push_layer(w, layer);
        lua_rawseti(w->L, -2, layer - first + 1);
        layer_name(w, layer, name, sizeof name);
        lua_insert(w->L, -2);
        add_line(w->L, "%s(r);", name);
        lua_insert(w->L, -2);
    }
    lua_setfield(w->L, -3, "layers");
    while (more_steps(w) && !in_layer(w) && step_at(w)->kind != STEP_take_hidden)
        add_step(w);
    lua_setfield(w->L, -2, "lines");
}

static void push_band(walk *w)
{
    int panel = w->phase == PREFILL ? w->p->panel : w->s->layers, n = 0;
    char suffix[32] = "";

    if (w->p->n_bands > 1)
        snprintf(suffix, sizeof suffix, "_by_%d", w->b->group);
    w->suffix = suffix;
    lua_newtable(w->L);
    lua_newtable(w->L);
    if (w->p->n_bands > 1)
        add_line(w->L,
                 "Passes before which at most %" PRId64 " rows are complete: %d heads x %" PRId64
                 " rows a slot.",
                 w->b->upto, w->b->group, w->b->tile);
    lua_setfield(w->L, -2, "comment");
    lua_newtable(w->L);
    for (int first = 0; first < w->s->layers; first += panel) {
        push_panel(w, n, first, first + panel < w->s->layers ? first + panel : w->s->layers);
        lua_rawseti(w->L, -2, ++n);
    }
    lua_setfield(w->L, -2, "panels");
    w->suffix = NULL;
}

/* Lines that run panel 'i' by the pass's band. */
static void add_calls(walk *w, int panel)
{
    char name[64], suffix[32] = "";

    w->suffix = suffix;
    for (int i = 0; i < w->p->n_bands; i++) {
        if (w->p->n_bands > 1)
            snprintf(suffix, sizeof suffix, "_by_%d", w->p->band[i].group);
        panel_name(w, panel, name, sizeof name);
        if (w->p->n_bands == 1)
            add_line(w->L, "%s(r);", name);
        else if (i == w->p->n_bands - 1)
            add_line(w->L, "else");
        else
            add_line(w->L, "%sif (r->band == %d)", i > 0 ? "else " : "", i);
        if (w->p->n_bands > 1)
            add_line(w->L, "    %s(r);", name);
    }
    w->suffix = NULL;
}

/* The loops of the phase's function, one for each panel. */
static void set_calls(walk *w)
{
    int panel = w->phase == PREFILL ? w->p->panel : w->s->layers, n = 0;

    lua_newtable(w->L);
    for (int first = 0; first < w->s->layers; first += panel) {
        int last = (first + panel < w->s->layers ? first + panel : w->s->layers) - 1;
        lua_newtable(w->L);
        set_int(w->L, "panel", n);
        set_int(w->L, "first", first);
        set_int(w->L, "last", last);
        lua_newtable(w->L);
        add_calls(w, n);
        lua_setfield(w->L, -2, "lines");
        lua_rawseti(w->L, -2, ++n);
    }
    lua_setfield(w->L, -2, "calls");
}

/* ---- the change to decode, the file's header ---- */

static void set_enter(walk *w)
{
    char line[LINE_LEN], size[32];
    int64_t rows = 0;
    const hi_plan *p = w->p;

    lua_newtable(w->L);
    lua_newtable(w->L);
    for (int i = 0; i < p->n_enter; i++) {
        step_text(&p->band[0], &p->enter[i], line, sizeof line);
        add_line(w->L, "%s", line);
        rows += p->enter[i].arg[2] - p->enter[i].arg[1];
    }
    if (p->n_enter == 0)
        add_line(w->L, "(void)r;");
    lua_setfield(w->L, -2, "lines");
    lua_newtable(w->L);
    mib_text(rows * w->s->kv_heads * kv_row_bytes(w->s, p->elt), size, sizeof size);
    if (p->n_enter > 0) {
        add_line(w->L,
                 "From prefill to decode: room that activations needed now holds resident rows.");
        add_line(w->L, "Up to %s copied from the host.", size);
    } else
        add_line(w->L, "From prefill to decode: the same rows stay.");
    lua_setfield(w->L, -2, "cost");
    lua_setfield(w->L, -2, "enter");
}

static void set_header(walk *w)
{
    const hi_plan *p = w->p;

    lua_newtable(w->L);
    if (w->phase == DECODE)
        add_line(w->L, "A pass appends one token.");
    else if (p->panels == 1)
        add_line(w->L, "A pass appends up to %d tokens.", p->rows[PREFILL]);
    else
        add_line(w->L,
                 "Panels of up to %d layers, one after the other; each takes all chunks of up to "
                 "%d tokens.",
                 p->panel, p->rows[PREFILL]);
    if (p->offload) {
        add_line(
            w->L,
            "r->complete counts the rows in splits of %d that were complete before the pass; the",
            KEY_SPLIT);
        add_line(w->L,
                 "leading ones are resident, the others come in tiles through a ring of %d slots.",
                 p->slots);
    }
    lua_setfield(w->L, -2, "header");
}

void view_set_pass(lua_State *L, const hi_spec *s, const hi_plan *p, hi_phase phase)
{
    lua_newtable(L);
    set_text(L, "name", PHASE_NAME[phase]);
    set_text(L, "what",
             phase == PREFILL ? "the schedule of a prompt." : "the schedule of one decoded token.");
    walk w = { .L = L, .s = s, .p = p, .phase = phase };
    set_header(&w);
    lua_newtable(L);
    for (int i = 0; i < p->n_bands; i++) {
        walk band = { .L = L, .s = s, .p = p, .b = &p->band[i], .phase = phase };
        push_band(&band);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "bands");
    set_calls(&w);
    if (phase == DECODE)
        set_enter(&w);
    else
        set_bool(L, "enter", false);
    lua_setfield(L, -2, "pass");
}
