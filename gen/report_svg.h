/*
** report_svg.h - the strokes of report.html's charts.
**
** Colours are classes of report_style.c. Texts are put in as they are: names have no characters
** that HTML would read.
*/
#ifndef REPORT_SVG_H
#define REPORT_SVG_H

#include "text.h"

enum {
    SVG_WIDTH = 720
};

/* A chart of SVG_WIDTH x height units, which scrolls sideways where the page is narrow, or one of
   another width for wide ("big") or narrow ("small") pages only. */
void svg_begin(text *t, int height, const char *label);
void svg_begin_for(text *t, const char *pages, int width, int height, const char *label);
void svg_end(text *t);

void svg_rect(text *t, double x, double y, double w, double h, const char *class);
void svg_line(text *t, double x1, double y1, double x2, double y2, const char *class);
void svg_text(text *t, double x, double y, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* A rectangle or a dot that says 'title' when pointed at; the title is printed between the two. */
void svg_rect_titled(text *t, double x, double y, double w, double h, const char *class);
void svg_dot_titled(text *t, double x, double y, double r, const char *class);
void svg_end_titled(text *t, const char *element);

/* An axis on which v lies at svg_at(): linear, or logarithmic. */
typedef struct svg_axis {
    double lo, hi;   /* values */
    double from, to; /* units of the chart */
    bool log;
} svg_axis;

double svg_at(const svg_axis *a, double v);

/* The smallest of 1, 2, 5 x 10^k that is at least v. */
double nice_step(double v);

#endif
