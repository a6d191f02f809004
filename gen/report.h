/*
** report.h - what the parts of report.html share.
*/
#ifndef REPORT_H
#define REPORT_H

#include "methods.h"
#include "report_svg.h"

typedef struct report {
    const hi_spec *s;
    const hi_plan *p;
    text *out;
    methods m;
    forecast f;
    int64_t longest;
} report;

extern const char REPORT_STYLE[]; /* report_style.c */

void report_memory(const report *r);   /* stacked bars, one method each */
void report_timeline(const report *r); /* one decoded token, whole and near */
void report_times(const report *r);    /* seconds against context */
void report_roofline(const report *r);
void report_tables(const report *r); /* decisions, predictions, buffers */

#endif
