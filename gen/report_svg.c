/*
** report_svg.c - the strokes of report.html's charts.
*/
#include "report_svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void svg_begin_for(text *t, const char *pages, int width, int height, const char *label)
{
    text_printf(
        t, "<div class=\"chart %s\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
        pages, width, height, label);
}

void svg_begin(text *t, int height, const char *label)
{
    svg_begin_for(t, "all", SVG_WIDTH, height, label);
}

void svg_end(text *t)
{
    text_printf(t, "</svg></div>\n");
}

void svg_rect(text *t, double x, double y, double w, double h, const char *class)
{
    text_printf(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"%s\"/>\n", x,
                y, w, h, class);
}

void svg_line(text *t, double x1, double y1, double x2, double y2, const char *class)
{
    text_printf(t, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1,
                x2, y2, class);
}

void svg_text(text *t, double x, double y, const char *class, const char *fmt, ...)
{
    char words[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    text_printf(t, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class, words);
}

void svg_rect_titled(text *t, double x, double y, double w, double h, const char *class)
{
    text_printf(t,
                "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" class=\"%s\"><title>",
                x, y, w, h, class);
}

void svg_dot_titled(text *t, double x, double y, double r, const char *class)
{
    text_printf(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" class=\"%s\"><title>", x, y, r,
                class);
}

void svg_end_titled(text *t, const char *element)
{
    text_printf(t, "</title></%s>\n", element);
}

double svg_at(const svg_axis *a, double v)
{
    double share = a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
    return a->from + (a->to - a->from) * share;
}

double nice_step(double v)
{
    double ten = pow(10, floor(log10(v)));
    double lead = v / ten;

    return ten * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}
