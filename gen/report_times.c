/*
** report_times.c - report.html: seconds against context, both logarithmic.
*/
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include "units.h"

enum {
    LEFT = 64,
    RIGHT = SVG_WIDTH - 128,
    TOP = 12,
    BOTTOM = 380,
    CURVE = 72, /* points of a line */
    APART = 36  /* labels on the lower axis */
};

static const double DOT = 3.2;

typedef struct chart {
    const report *r;
    svg_axis x, y;
} chart;

static double first_context(const report *r)
{
    return r->p->ctx > 1024 ? 1024 : 1;
}

/* The decades that hold all times, the resident plan's included. */
static svg_axis time_axis(const report *r)
{
    double lo = INFINITY, hi = 0;

    if (r->m.has_resident) {
        hi_cost token;
        cost_decode(r->s, &r->m.resident, 0, &token);
        lo = token.seconds;
    }
    for (int i = 0; i < r->f.n; i++) {
        lo = fmin(lo, fmin(r->f.at[i].prompt.seconds, r->f.at[i].token.seconds));
        hi = fmax(hi, fmax(r->f.at[i].prompt.seconds, r->f.at[i].token.seconds));
    }
    return (svg_axis){ pow(10, floor(log10(lo))), pow(10, ceil(log10(hi * 1.05))), BOTTOM, TOP,
                       true };
}

static void print_grid(const chart *c)
{
    text *t = c->r->out;
    double last = svg_at(&c->x, (double)c->r->p->ctx), free_from = 0;

    for (double v = c->y.lo; v <= c->y.hi * 1.001; v *= 10) {
        char at[UNIT_LEN];
        if (v >= 0.9995)
            snprintf(at, sizeof at, "%.0f s", v);
        else if (v >= 0.0009995)
            snprintf(at, sizeof at, "%.0f ms", v * 1e3);
        else
            snprintf(at, sizeof at, "%.3g ms", v * 1e3);
        svg_line(t, LEFT, svg_at(&c->y, v), RIGHT, svg_at(&c->y, v), "");
        svg_text(t, LEFT - 8, svg_at(&c->y, v) + 4, "s m e", "%s", at);
    }
    for (int i = 0; i < c->r->f.n; i++) {
        char tokens[UNIT_LEN];
        double x = svg_at(&c->x, (double)c->r->f.at[i].tokens);
        if (i == c->r->f.n - 1 || x < last - 2 * DOT)
            svg_line(t, x, TOP, x, BOTTOM + 4, "");
        tokens_text(c->r->f.at[i].tokens, tokens);
        if (i < c->r->f.n - 1 && (x < free_from || x > last - 2 * APART))
            continue;
        svg_text(t, x, BOTTOM + 18, "s m c", "%s", tokens);
        free_from = x + APART;
    }
    svg_text(t, RIGHT + 34, BOTTOM + 18, "s m", "tokens");
}

static double seconds_of(const chart *c, const hi_plan *p, bool prompt, int64_t n)
{
    hi_cost cost;

    if (prompt)
        cost_prefill(c->r->s, p, n, &cost);
    else
        forecast_token(c->r->s, p, n, &cost);
    return cost.seconds;
}

static void print_curve(const chart *c, const hi_plan *p, bool prompt, const char *class)
{
    double lo = c->x.lo, hi = (double)p->ctx;

    text_printf(c->r->out, "<path class=\"%s\" d=\"", class);
    for (int i = 0; i <= CURVE; i++) {
        int64_t n = (int64_t)(lo * pow(hi / lo, (double)i / CURVE) + 0.5);
        double seconds = fmin(fmax(seconds_of(c, p, prompt, n), c->y.lo), c->y.hi);
        text_printf(c->r->out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', svg_at(&c->x, (double)n),
                    svg_at(&c->y, seconds));
    }
    text_printf(c->r->out, "\"/>\n");
}

static void print_dots(const chart *c, bool prompt)
{
    const forecast *f = &c->r->f;
    hi_bound last = (hi_bound)-1;

    for (int i = 0; i < f->n; i++) {
        const hi_cost *cost = prompt ? &f->at[i].prompt : &f->at[i].token;
        double x = svg_at(&c->x, (double)f->at[i].tokens), y = svg_at(&c->y, cost->seconds);
        char time[UNIT_LEN];
        if (i < f->n - 1 && x > svg_at(&c->x, (double)c->r->p->ctx) - DOT * 2)
            continue; /* hidden by the last */
        time_text(cost->seconds, time);
        svg_dot_titled(c->r->out, x, y, DOT,
                       cost->bound == BOUND_COMPUTE ? prompt ? "p" : "d"
                       : prompt                     ? "o p"
                                                    : "o d");
        text_printf(c->r->out, "%" PRId64 " tokens: %s, %s %.0f%%", f->at[i].tokens, time,
                    bound_text(cost->bound), cost->fraction * 100);
        svg_end_titled(c->r->out, "circle");
        if (cost->bound != last && i < f->n - 1)
            svg_text(c->r->out, x + 6, y > BOTTOM - 24 ? y - 8 : y + 16, "s m", "%s",
                     bound_text(cost->bound));
        last = cost->bound;
    }
}

static void print_ends(const chart *c)
{
    const forecast_point *end = &c->r->f.at[c->r->f.n - 1];
    char prompt[UNIT_LEN], token[UNIT_LEN];
    double x = RIGHT + 10, y_prompt = svg_at(&c->y, end->prompt.seconds),
           y_token = svg_at(&c->y, end->token.seconds);

    if (y_token < y_prompt + 34) /* close together: keep the labels apart */
        y_token = y_prompt + 34;
    time_text(end->prompt.seconds, prompt);
    time_text(end->token.seconds, token);
    svg_text(c->r->out, x, y_prompt + 1, "b tp", "prefill %s", prompt);
    svg_text(c->r->out, x, y_prompt + 15, "s m", "the whole prompt");
    svg_text(c->r->out, x, y_token + 1, "b td", "decode %s", token);
    svg_text(c->r->out, x, y_token + 15, "s m", "each token");
    if (!c->r->m.has_resident)
        return;
    double y = svg_at(&c->y, seconds_of(c, &c->r->m.resident, false, c->r->p->ctx));
    if (y > y_token + 28)
        svg_text(c->r->out, x, y + 4, "s m", "if all were resident");
}

void report_times(const report *r)
{
    chart c = { r,
                { first_context(r), fmax((double)r->p->ctx, first_context(r) * 2), LEFT, RIGHT,
                  true },
                time_axis(r) };

    text_printf(
        r->out,
        "<h2>Time against context</h2>\n<p class=\"note\">Predicted seconds of <i class=\"p\">"
        "prefill</i> and of one <i class=\"d\">decoded token</i>. Filled dots: compute is the "
        "bound; open: link or memory, as written. Dashed: the same if everything were "
        "resident.</p>\n");
    svg_begin(r->out, BOTTOM + 26,
              "Seconds of prefill and of a decoded token against tokens of context");
    print_grid(&c);
    if (r->m.has_resident) {
        print_curve(&c, &r->m.resident, true, "h");
        print_curve(&c, &r->m.resident, false, "h");
    }
    print_curve(&c, r->p, true, "p");
    print_curve(&c, r->p, false, "d");
    print_dots(&c, true);
    print_dots(&c, false);
    print_ends(&c);
    svg_end(r->out);
}
