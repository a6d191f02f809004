/*
** report_memory.c - report.html: what each method needs on the device, as stacked bars.
*/
#include "report.h"

#include <stdio.h>
#include "units.h"

enum {
    BAR = 17,
    PAST_BAR = 74
}; /* height; room for a total behind it */

/* The chart for wide pages has names beside the bars, that for narrow ones above. */
typedef struct layout {
    const char *pages;
    int width, left, top, row;
    int bar; /* y of the bar in its row */
    bool beside;
} layout;

static const layout WIDE = { "big", SVG_WIDTH, 196, 28, 48, 0, true };
static const layout NARROW = { "small", 360, 0, 24, 64, 20, false };

typedef struct chart {
    const report *r;
    layout at;
    double scale; /* units a byte */
    double limit; /* x of the budget; 0: none */
} chart;

static const char *const FILL[] = { "w", "k", "a" };
static const char *const WORD[] = { "weights", "keys and values", "activations" };

static chart chart_of(const report *r, layout at)
{
    const hi_plan *p = r->p;
    int64_t arena = p->req.vram_bytes - p->reserve_bytes, most = arena > 0 ? arena : 1;
    chart c = { .r = r, .at = at };

    for (int i = 0; i < N_METHODS; i++)
        most = r->m.of[i].device > most ? r->m.of[i].device : most;
    c.scale = (at.width - at.left - (at.beside ? PAST_BAR : 2)) / (double)most;
    if (p->req.vram_bytes >= 0)
        c.limit = at.left + (double)arena * c.scale;
    return c;
}

/* The three figures below a bar, each in its colour. */
static void print_figures(const chart *c, const int64_t *bytes, double y)
{
    text *t = c->r->out;

    text_printf(t, "<text x=\"%d\" y=\"%.1f\" class=\"s\">", c->at.left, y);
    for (int i = 0; i < 3; i++) {
        char size[UNIT_LEN];
        bytes_text((double)bytes[i], size);
        text_printf(t, "<tspan%s class=\"%s\">%s</tspan>", i > 0 ? " dx=\"10\"" : "", FILL[i],
                    size);
    }
    text_printf(t, "</text>\n");
}

static void print_total(const chart *c, const method *m, double end, double y)
{
    char size[UNIT_LEN];

    bytes_text((double)m->device, size);
    if (!c->at.beside) {
        svg_text(c->r->out, c->at.width, y - 7, "b e", "%s", size);
        return;
    }
    if (c->limit > end - 4 && c->limit < end + PAST_BAR - 8) /* the budget's line would cross it */
        end = c->limit;
    svg_text(c->r->out, end + 8, y + 13, "b", "%s", size);
}

static void print_bar(const chart *c, const method *m, double y)
{
    const int64_t bytes[] = { m->weights, m->kv, m->rest };
    text *t = c->r->out;
    double x = c->at.left;
    char size[UNIT_LEN], class[8];

    for (int i = 0; i < 3; i++) {
        double w = (double)bytes[i] * c->scale;
        char digits[UNIT_LEN];
        digits_text(bytes[i], digits);
        snprintf(class, sizeof class, "%s%s", FILL[i], m->built ? "" : " f");
        svg_rect_titled(t, x, y, w, BAR, class);
        text_printf(t, "%s: %s %s bytes", m->name, WORD[i], digits);
        svg_end_titled(t, "rect");
        x += w;
    }
    print_total(c, m, x, y);
    print_figures(c, bytes, y + BAR + 13);
    if (m->host == 0)
        return;
    bytes_text((double)m->host, size);
    svg_text(t, c->at.width, y + BAR + 13, "s m e", "and %s on the host", size);
}

static void print_method(const chart *c, const method *m, double y)
{
    text *t = c->r->out;
    double bar = y + c->at.bar;

    if (c->at.beside) {
        svg_text(t, 0, y + 13, m->built ? "b" : "", "%s", m->name);
        svg_text(t, 0, y + BAR + 12, "s m", "%s", m->what);
    } else
        svg_text(t, 0, bar - 7, "",
                 "<tspan class=\"%s\">%s</tspan> <tspan class=\"s m\" dx=\"4\">%s</tspan>",
                 m->built ? "b" : "", m->name, m->what);
    if (m->known)
        print_bar(c, m, bar);
    else
        svg_text(t, c->at.left, bar + 13, "m", "cannot be planned");
}

/* Its line runs beside the bars only, not through the figures. */
static void print_budget(const chart *c)
{
    const hi_plan *p = c->r->p;
    char budget[UNIT_LEN], driver[UNIT_LEN];
    bool left = c->limit < (c->at.left + c->at.width) / 2.0;

    if (p->req.vram_bytes < 0)
        return;
    bytes_text((double)p->req.vram_bytes, budget);
    bytes_text((double)p->reserve_bytes, driver);
    for (int i = 0; i < N_METHODS; i++) {
        double y = c->at.top + i * c->at.row + c->at.bar;
        svg_line(c->r->out, c->limit, y - 5, c->limit, y + BAR + 2, "l");
    }
    double x = left && !c->at.beside ? 0 : left ? c->limit - 2 : c->limit + 2;
    svg_text(c->r->out, x, c->at.top - 10, left ? "s tl" : "s tl e",
             p->reserve_bytes > 0 ? "budget %s, of it %s for the driver" : "budget %s", budget,
             driver);
}

static void print_chart(const report *r, layout at)
{
    chart c = chart_of(r, at);

    svg_begin_for(r->out, at.pages, at.width, at.top + N_METHODS * at.row,
                  "Device memory of each method");
    for (int i = 0; i < N_METHODS; i++)
        print_method(&c, &r->m.of[i], at.top + i * at.row);
    print_budget(&c);
    svg_end(r->out);
}

void report_memory(const report *r)
{
    const method *standard = &r->m.of[M_STANDARD];
    char ctx[UNIT_LEN], all[UNIT_LEN], ours[UNIT_LEN], host[UNIT_LEN];

    digits_text(r->p->ctx, ctx);
    bytes_text((double)standard->device, all);
    bytes_text((double)r->p->arena_bytes, ours);
    bytes_text((double)r->p->host_bytes, host);
    text_printf(r->out, "<h2>Memory</h2>\n<p>");
    if (standard->known)
        text_printf(r->out, "Standard inference over %s tokens would take %s on the device. ", ctx,
                    all);
    text_printf(r->out, "This plan takes %s there", ours);
    text_printf(r->out, r->p->host_bytes > 0 ? " and %s on the host.</p>\n" : ".</p>\n", host);
    text_printf(
        r->out,
        "<p class=\"note\">On the device: <i class=\"w\">weights</i>, <i class=\"k\">keys and "
        "values</i>, <i class=\"a\">activations</i> and scores.</p>\n");
    print_chart(r, WIDE);
    print_chart(r, NARROW);
}
