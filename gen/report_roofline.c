/*
** report_roofline.c - report.html: FLOP/s against FLOP per byte, under the roofs of the machine.
**
** Two slopes, for what is read from device memory and for what comes over the link, below one
** roof. A point's bytes are those of its slope: of the plan, over the link; of a plan with
** everything resident, from device memory.
*/
#include "report.h"

#include <math.h>
#include <stdio.h>
#include "units.h"

enum {
    LEFT = 64,
    RIGHT = SVG_WIDTH - 16,
    TOP = 24,
    BOTTOM = 360
};

static const double LITTLE = 1e-3; /* share of the time that the link must be busy to count */

typedef struct chart {
    const report *r;
    forecast resident; /* of the plan with everything resident; n 0: there is none */
    svg_axis x, y;
} chart;

typedef struct point {
    double intensity; /* FLOP per byte; 0: nothing crosses */
    double rate;      /* FLOP/s */
} point;

static point point_of(const hi_cost *c, double bytes)
{
    return (point){ bytes > 0 ? c->flops / bytes : 0, c->flops / c->seconds };
}

static point on_link(const report *r, const hi_cost *c)
{
    return point_of(c, c->link_s > LITTLE * c->seconds ? c->link_s * r->p->machine.h2d : 0);
}

static point in_memory(const report *r, const hi_cost *c)
{
    return point_of(c, c->hbm_s * r->p->machine.read);
}

/* ---- axes ---- */

static void reach(svg_axis *x, svg_axis *y, point a)
{
    if (a.intensity <= 0)
        return;
    x->lo = fmin(x->lo, a.intensity);
    x->hi = fmax(x->hi, a.intensity);
    y->lo = fmin(y->lo, a.rate);
    y->hi = fmax(y->hi, a.rate);
}

static double decade_below(double v)
{
    return pow(10, floor(log10(v)));
}

static void set_axes(chart *c)
{
    const hi_machine *m = &c->r->p->machine;
    const forecast *all[] = { &c->r->f, &c->resident };

    c->x = (svg_axis){ 1, m->matmul / m->h2d * 2, LEFT, RIGHT, true };
    c->y = (svg_axis){ m->matmul, fmax(m->matmul, m->attend), BOTTOM, TOP, true };
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < all[k]->n; i++) {
            const forecast_point *p = &all[k]->at[i];
            reach(&c->x, &c->y, k ? in_memory(c->r, &p->prompt) : on_link(c->r, &p->prompt));
            reach(&c->x, &c->y, k ? in_memory(c->r, &p->token) : on_link(c->r, &p->token));
        }
    c->x.lo = decade_below(c->x.lo);
    c->x.hi = decade_below(c->x.hi * 9.99);
    c->y.lo = decade_below(c->y.lo * 0.5);
    c->y.hi *= 1.6;
}

/* "10", "100 G": a power of ten. */
static void decade_text(double v, char *out, size_t n)
{
    static const char *const UNIT[] = { "", " k", " M", " G", " T", " P" };
    int k = (int)lround(log10(v)), u = k < 0 ? 0 : k / 3 < 5 ? k / 3 : 5;

    snprintf(out, n, "%g%s", pow(10, k - 3 * u), UNIT[u]);
}

static void print_grid(const chart *c)
{
    text *t = c->r->out;
    char at[UNIT_LEN];

    for (double v = c->x.lo; v <= c->x.hi * 1.001; v *= 10) {
        decade_text(v, at, sizeof at);
        svg_line(t, svg_at(&c->x, v), TOP, svg_at(&c->x, v), BOTTOM + 4, "");
        svg_text(t, svg_at(&c->x, v), BOTTOM + 18, "s m c", "%s", at);
    }
    for (double v = c->y.lo; v <= c->y.hi * 1.001; v *= 10) {
        decade_text(v, at, sizeof at);
        svg_line(t, LEFT, svg_at(&c->y, v), RIGHT, svg_at(&c->y, v), "");
        svg_text(t, LEFT - 8, svg_at(&c->y, v) + 4, "s m e", "%s", at);
    }
    svg_text(t, RIGHT, BOTTOM + 36, "s m e",
             "FLOP per byte that is read, or that crosses the link");
    svg_text(t, 0, TOP - 12, "s m", "FLOP/s");
}

/* ---- roofs ---- */

static void print_roof(const chart *c, double speed, const char *name)
{
    const hi_machine *m = &c->r->p->machine;
    double lo = fmax(c->x.lo, c->y.lo / speed), ridge = m->matmul / speed;
    char rate[UNIT_LEN];

    rate_text(speed, "B", rate);
    text_printf(c->r->out, "<path class=\"q\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", svg_at(&c->x, lo),
                svg_at(&c->y, lo * speed), svg_at(&c->x, ridge), svg_at(&c->y, m->matmul));
    double x1 = svg_at(&c->x, lo), y1 = svg_at(&c->y, lo * speed);
    double x2 = svg_at(&c->x, ridge), y2 = svg_at(&c->y, m->matmul);
    double share = 0.62, x = x1 + (x2 - x1) * share, y = y1 + (y2 - y1) * share;
    text_printf(
        c->r->out,
        "<text transform=\"translate(%.1f %.1f) rotate(%.1f)\" class=\"s m c\">%s %s</text>\n",
        x - 4, y - 7, atan2(y2 - y1, x2 - x1) * 57.29578, name, rate);
}

static void print_roofs(const chart *c)
{
    const hi_machine *m = &c->r->p->machine;
    double from = svg_at(&c->x, m->matmul / fmax(m->read, m->h2d));
    char rate[UNIT_LEN];

    rate_text(m->matmul, "FLOP", rate);
    text_printf(c->r->out, "<path class=\"q\" d=\"M%.1f %.1fH%d\"/>\n", from,
                svg_at(&c->y, m->matmul), RIGHT);
    svg_text(c->r->out, RIGHT, svg_at(&c->y, m->matmul) - 8, "s m e", "products %s", rate);
    print_roof(c, m->read, m->shared ? "memory" : "device memory");
    print_roof(c, m->h2d, "link");
}

/* ---- points ---- */

/* The contexts of one kind: small dots, the longest large and named. */
static void print_points(const chart *c, const forecast *f, bool prompt, bool link)
{
    const char *kind = prompt ? "prefill" : "decode";
    point last = { 0 };

    for (int i = 0; i < f->n; i++) {
        const hi_cost *cost = prompt ? &f->at[i].prompt : &f->at[i].token;
        point a = link ? on_link(c->r, cost) : in_memory(c->r, cost);
        char tokens[UNIT_LEN], rate[UNIT_LEN];
        if (a.intensity <= 0)
            continue;
        tokens_text(f->at[i].tokens, tokens);
        rate_text(a.rate, "FLOP", rate);
        svg_dot_titled(c->r->out, svg_at(&c->x, a.intensity), svg_at(&c->y, a.rate),
                       i == f->n - 1 ? 5 : 2.2,
                       link     ? prompt ? "p" : "d"
                       : prompt ? "o p"
                                : "o d");
        text_printf(c->r->out, "%s, %s tokens, %s: %s", kind, tokens,
                    link ? "this plan" : "all resident", rate);
        svg_end_titled(c->r->out, "circle");
        last = a;
    }
    if (last.intensity > 0)
        svg_text(c->r->out, svg_at(&c->x, last.intensity) + (prompt ? 0 : 10),
                 svg_at(&c->y, last.rate) + (!prompt ? 5
                                             : link  ? 20
                                                     : 38),
                 prompt ? "s tp c" : "s td", "%s, %s", kind, link ? "over the link" : "resident");
}

void report_roofline(const report *r)
{
    chart c = { .r = r };

    if (r->m.has_resident)
        forecast_make(r->s, &r->m.resident, &c.resident);
    set_axes(&c);
    text_printf(
        r->out,
        "<h2>Roofline</h2>\n<p class=\"note\">How near <i class=\"p\">prefill</i> and <i "
        "class=\"d\">"
        "decode</i> come to what the machine can do; small dots are shorter contexts. Filled: this "
        "plan, against the bytes that cross the link. Open: everything resident, against the bytes "
        "read from device memory.</p>\n");
    svg_begin(r->out, BOTTOM + 44, "FLOP/s against FLOP per byte");
    print_grid(&c);
    print_roofs(&c);
    print_points(&c, &c.resident, true, false);
    print_points(&c, &c.resident, false, false);
    print_points(&c, &r->f, true, true);
    print_points(&c, &r->f, false, true);
    svg_end(r->out);
}
