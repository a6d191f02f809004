/*
** report_timeline.c - report.html: one decoded token, from timeline.c's spans.
**
** The whole step as shares of time in which each lane is busy; then a few steps around the border
** between two layers in the middle, with the slots of the rings.
*/
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cost.h"
#include "timeline.h"
#include "units.h"

enum {
    LEFT = 92,
    RIGHT = SVG_WIDTH - 4,
    BINS = 300,
    LANE = 30,
    GAP = 10,
    TOP = 22,
    NEAR_BEFORE = 9,
    NEAR_AFTER = 12, /* steps of compute around the border */
    MOST_NEAR = 400, /* spans drawn */
    MOST_SLOTS = 8,
    SLOT_LANE = 14,
    MOST_TILES = 200000 /* of the step that is run: a quarter of a second for all runs */
};

/* What a lane's time goes to. */
typedef enum {
    USE_WEIGHTS,
    USE_KV,
    USE_ROW,
    N_USES
} use;

static const char *const FILL[N_USES] = { "w", "k", "a" };
static const char *const LANE_NAME[N_LANES] = { "compute", "copies in", "copies out" };

static use use_of(span_kind kind)
{
    switch (kind) {
    case SPAN_PRODUCTS:
    case SPAN_COPY_WEIGHTS:
        return USE_WEIGHTS;
    case SPAN_COPY_EMBED:
        return USE_ROW;
    default:
        return USE_KV;
    }
}

/* ---- first run: the whole ---- */

typedef struct whole {
    double seconds;
    double busy[N_LANES];
    double bin[N_LANES][N_USES][BINS]; /* seconds of each */
    double layer_at[MAX_LAYERS];       /* when norm_qkv began */
    int middle;                        /* layer whose end is shown near */
    int64_t border;                    /* number of its out_mlp among compute's spans */
    int64_t computed;
} whole;

static void add_to_bins(whole *w, const span *x)
{
    double per_bin = w->seconds / BINS, start = fmax(x->start, 0), end = fmin(x->end, w->seconds);

    if (end <= start)
        return;
    w->busy[x->lane] += end - start;
    for (int i = (int)(start / per_bin); i < BINS && i * per_bin < end; i++)
        w->bin[x->lane][use_of(x->kind)][i] +=
            fmin(end, (i + 1) * per_bin) - fmax(start, i * per_bin);
}

static void see_whole(const span *x, void *to)
{
    whole *w = to;

    add_to_bins(w, x);
    if (x->lane != LANE_COMPUTE)
        return;
    if (x->kind == SPAN_PRODUCTS && x->layer >= 0 && strcmp(x->step, "norm_qkv") == 0)
        w->layer_at[x->layer] = x->start;
    if (x->kind == SPAN_PRODUCTS && x->layer == w->middle && strcmp(x->step, "out_mlp") == 0)
        w->border = w->computed;
    w->computed++;
}

/* ---- second run: the window ---- */

typedef struct window {
    int64_t first, last; /* spans of compute that bound it */
    int64_t computed;
    double start, end;
} window;

static void see_window(const span *x, void *to)
{
    window *w = to;

    if (x->lane != LANE_COMPUTE)
        return;
    if (w->computed == w->first)
        w->start = x->start;
    if (w->computed == w->last || (w->computed > w->first && w->computed < w->last))
        w->end = x->end;
    w->computed++;
}

typedef struct near {
    double start, end;
    span of[MOST_NEAR];
    int n;
} near;

static void see_near(const span *x, void *to)
{
    near *w = to;
    bool in_slot = x->lane == LANE_COMPUTE && x->slot >= 0;
    double start = in_slot ? fmin(x->copy_start, x->start) : x->start;

    if (start < w->end && x->end > w->start && w->n < MOST_NEAR)
        w->of[w->n++] = *x;
}

/* ---- axes ---- */

/* From 'a->lo' on, which is named where it is not 0. */
static void print_axis(text *t, const svg_axis *a, double top, double bottom)
{
    double length = a->hi - a->lo, step = nice_step(length / 7);
    char at[UNIT_LEN];

    for (int i = 0; i * step <= length * (1 + 1e-9); i++) {
        double x = svg_at(a, a->lo + i * step);
        bool last = x > RIGHT - 24;
        svg_line(t, x, top, x, bottom + 4, "");
        time_text(i == 0 ? a->lo : i * step, at);
        if (i == 0)
            svg_text(t, x, bottom + 17, a->lo > 0 ? "s m" : "s m c", a->lo > 0 ? "at %s" : "0", at);
        else
            svg_text(t, x, bottom + 17, last ? "s m e" : "s m c", a->lo > 0 ? "+%s" : "%s", at);
    }
}

/* ---- the whole ---- */

static void print_share(text *t, const whole *w, span_lane lane, use u, double top)
{
    double width = (double)(RIGHT - LEFT) / BINS, per_bin = w->seconds / BINS;
    double last = -1, below = 0, sum = 0;

    for (int i = 0; i < BINS; i++)
        sum += w->bin[lane][u][i];
    if (sum == 0)
        return;
    text_printf(t, "<path class=\"%s\" d=\"M%d %.1f", FILL[u], LEFT, top + LANE);
    for (int i = 0; i < BINS; i++) {
        below = 0;
        for (int v = 0; v <= (int)u; v++) /* uses are stacked; earlier ones are drawn over later */
            below += w->bin[lane][v][i] / per_bin;
        double y = top + LANE - LANE * fmin(below, 1);
        if (fabs(y - last) > 0.05)
            text_printf(t, "H%.1fV%.1f", LEFT + i * width, y);
        last = y;
    }
    text_printf(t, "H%dV%.1fZ\"/>\n", RIGHT, top + LANE);
}

static void print_layers(text *t, const report *r, const whole *w, const svg_axis *a)
{
    int step = (r->s->layers + 7) / 8;

    svg_text(t, 0, TOP - 8, "s m", "layer");
    for (int l = 0; l < r->s->layers; l += step) {
        double x = svg_at(a, w->layer_at[l]);
        svg_line(t, x, TOP - 5, x, TOP - 1, "r");
        svg_text(t, x, TOP - 8, "s m c", "%d", l);
    }
}

static void print_whole(const report *r, const whole *w)
{
    text *t = r->out;
    double bottom = TOP + N_LANES * (LANE + GAP) - GAP;
    svg_axis a = { .lo = 0, .hi = w->seconds, .from = LEFT, .to = RIGHT };

    svg_begin(t, (int)bottom + 22, "The whole step: how busy each lane is");
    print_axis(t, &a, TOP, bottom);
    for (int lane = 0; lane < N_LANES; lane++) {
        double top = TOP + lane * (LANE + GAP);
        svg_text(t, 0, top + 14, "b", "%s", LANE_NAME[lane]);
        svg_text(t, 0, top + 28, "s m", "%.0f%% busy", 100 * w->busy[lane] / w->seconds);
        for (int u = N_USES - 1; u >= 0; u--)
            print_share(t, w, lane, u, top);
        svg_line(t, LEFT, top + LANE, RIGHT, top + LANE, "");
    }
    print_layers(t, r, w, &a);
    svg_end(t);
}

/* ---- the window ---- */

static double clip(const svg_axis *a, double v)
{
    return svg_at(a, fmin(fmax(v, a->lo), a->hi));
}

static void print_span(text *t, const svg_axis *a, const span *x, double top, double height,
                       bool faint)
{
    double from = clip(a, x->start), to = clip(a, x->end);
    char class[8];

    snprintf(class, sizeof class, "%s%s", FILL[use_of(x->kind)], faint ? " f" : "");
    svg_rect_titled(t, from, top, fmax(to - from - 0.5, 0.6), height, class);
    span_print(x, t);
    svg_end_titled(t, "rect");
}

/* The names of long steps, and where a layer ends. */
static void print_names(text *t, const svg_axis *a, const near *w, double bottom)
{
    double free_from = LEFT;

    for (int i = 0; i < w->n; i++) {
        const span *x = &w->of[i];
        if (x->lane != LANE_COMPUTE || x->end <= w->start || x->start >= w->end)
            continue;
        double from = clip(a, x->start), middle = (from + clip(a, x->end)) / 2;
        bool begins = x->start >= w->start && strcmp(x->step, "norm_qkv") == 0;
        if (begins) {
            svg_line(t, from - 0.25, TOP - 18, from - 0.25, bottom, "r");
            if (from < free_from || from > RIGHT - 56)
                continue;
            svg_text(t, from + 4, TOP - 10, "s b", "layer %d", x->layer);
            free_from = from + 58;
        }
        double half = 3.0 * (double)strlen(x->step);
        if (begins || x->kind == SPAN_TILE || x->kind == SPAN_NEWEST ||
            clip(a, x->end) - from < 2 * half + 8 || middle - half < free_from ||
            middle + half > RIGHT)
            continue;
        svg_text(t, middle, TOP - 10, "s m c", "%s", x->step);
        free_from = middle + half + 6;
    }
}

/* The slots of a ring: filling, waiting, in use. */
static int print_slots(text *t, const svg_axis *a, const near *w, int slots, bool weights,
                       double top)
{
    span_kind copy = weights ? SPAN_COPY_WEIGHTS : SPAN_COPY_TILE;
    int shown = slots < MOST_SLOTS ? slots : MOST_SLOTS;

    for (int i = 0; i < shown; i++) {
        svg_text(t, 0, top + i * SLOT_LANE + 9, "s m", weights ? "weights %d" : "slot %d", i);
        svg_line(t, LEFT, top + i * SLOT_LANE + 5, RIGHT, top + i * SLOT_LANE + 5, "");
    }
    for (int i = 0; i < w->n; i++) {
        const span *x = &w->of[i];
        double y = top + x->slot * SLOT_LANE;
        bool uses = x->lane == LANE_COMPUTE && (use_of(x->kind) == USE_WEIGHTS) == weights;
        if (x->slot < 0 || x->slot >= shown || !(uses || x->kind == copy))
            continue;
        if (uses && x->copy_end < w->end && x->start > w->start)
            svg_line(t, clip(a, x->copy_end), y + 5, clip(a, x->start), y + 5,
                     weights ? "yw" : "y");
        if (uses ? x->end > w->start && x->start < w->end : x->end > w->start)
            print_span(t, a, x, y, 10, !uses);
    }
    return shown;
}

static void print_near(const report *r, const near *w)
{
    text *t = r->out;
    int slots = r->p->offload ? r->p->slots : 0, ring = r->p->weight_slots;
    int lanes = (slots < MOST_SLOTS ? slots : MOST_SLOTS) + (ring < MOST_SLOTS ? ring : MOST_SLOTS);
    double first_slot = TOP + N_LANES * (LANE + GAP), bottom = first_slot + lanes * SLOT_LANE;
    svg_axis a = { .lo = w->start, .hi = w->end, .from = LEFT, .to = RIGHT };

    svg_begin(t, (int)bottom + 24, "A few steps: compute, copies, slots");
    print_axis(t, &a, TOP, bottom);
    for (int lane = 0; lane < N_LANES; lane++) {
        double top = TOP + lane * (LANE + GAP);
        svg_text(t, 0, top + 19, "b", "%s", LANE_NAME[lane]);
        svg_rect(t, LEFT, top, RIGHT - LEFT, LANE, "x");
        for (int i = 0; i < w->n; i++)
            if ((int)w->of[i].lane == lane && w->of[i].end > w->start && w->of[i].start < w->end)
                print_span(t, &a, &w->of[i], top, LANE, false);
    }
    int shown = slots > 0 ? print_slots(t, &a, w, slots, false, first_slot) : 0;
    if (ring > 0)
        print_slots(t, &a, w, ring, true, first_slot + shown * SLOT_LANE);
    print_names(t, &a, w, bottom);
    svg_end(t);
}

/* ---- both ---- */

static void print_words(const report *r, const whole *w, int64_t n)
{
    char ctx[UNIT_LEN], seconds[UNIT_LEN], predicted[UNIT_LEN];
    hi_cost cost;

    forecast_token(r->s, r->p, n + 1, &cost);
    digits_text(n + 1, ctx);
    time_text(w->seconds, seconds);
    time_text(cost.seconds, predicted);
    text_printf(
        r->out,
        "<h2>One decoded token</h2>\n<p>The schedule of the last of %s tokens, run step by step on "
        "a model of the machine, takes %s; the formulas behind the tables say %s.</p>\n",
        ctx, seconds, predicted);
    text_printf(
        r->out,
        "<p class=\"note\">Colour is what is read or moved: <i class=\"w\">weights</i>, <i "
        "class=\"k\">keys and values</i>.</p>\n<h3>The whole step: share of the time in which each "
        "lane is busy</h3>\n");
}

static int64_t tiles_of(const report *r, int64_t n)
{
    const hi_band *b = &r->p->band[r->p->n_bands - 1];
    int64_t complete = n / KEY_SPLIT * KEY_SPLIT, tiles = 0;

    for (int l = 0; l < r->s->layers && r->p->offload; l++) {
        int64_t rows = complete - r->p->resident[DECODE][l];
        if (rows > 0)
            tiles += (rows + b->tile - 1) / b->tile * (r->s->kv_heads / b->group);
    }
    return tiles;
}

/* The plan's last token, or an earlier one where that has too many tiles to follow. */
static int64_t token_shown(const report *r)
{
    int64_t n = r->p->ctx - 1;

    while (tiles_of(r, n) > MOST_TILES)
        n /= 2;
    return n;
}

void report_timeline(const report *r)
{
    whole w = { .middle = (r->s->layers - 1) / 2 };
    window edge = { 0 };
    near close = { 0 };
    int64_t n = token_shown(r);

    w.seconds = timeline_run(r->s, r->p, n, NULL, NULL);
    timeline_run(r->s, r->p, n, see_whole, &w);
    edge.first = w.border > NEAR_BEFORE ? w.border - NEAR_BEFORE : 0;
    edge.last = w.border + NEAR_AFTER;
    timeline_run(r->s, r->p, n, see_window, &edge);
    close.start = edge.start;
    close.end = edge.end;
    timeline_run(r->s, r->p, n, see_near, &close);
    print_words(r, &w, n);
    print_whole(r, &w);
    text_printf(r->out, "<h3>A few steps in the middle%s</h3>\n",
                r->p->offload || r->p->weight_slots > 0
                    ? "; slots are filled (pale), wait (line), are in use"
                    : "");
    print_near(r, &close);
}
