/*
** print.h - what a plan says of itself: names, byte counts, the memory table.
*/
#ifndef PRINT_H
#define PRINT_H

#include "text.h"

/* "24G", "8M", "1536K" or "1000B": the largest unit that divides. */
void size_text(int64_t bytes, char *out, size_t n);

/* "12.5 MiB": for people. */
void mib_text(int64_t bytes, char *out, size_t n);

/* "needle-8M", "toy-resident-f32": the executable's name. */
void plan_name(const hi_spec *s, const hi_plan *p, char *out, size_t n);

/* The hi-gen command line that gives this plan, without folders. */
void plan_command(const hi_spec *s, const hi_plan *p, char *out, size_t n);

/* The decisions and the memory table, plain text of at most 100 columns. */
void plan_print(const hi_spec *s, const hi_plan *p, text *out);

/* Rows that stream into one pass of one group at the full context: those past its resident
   tiles and before the last split. */
int64_t streamed_rows(const hi_plan *p, const hi_group *g, hi_phase phase);

/* Radians per position of pair (i, i + head_dim / 2). */
double rope_freq(const hi_spec *s, int i);

#endif
