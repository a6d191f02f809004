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

enum { PRINT_COLUMNS = 100 };

/* A line, broken at spaces where it is longer than PRINT_COLUMNS; later lines are indented. */
void wrap_print(text *out, int indent, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "needle-8M", "toy-resident-f32", "toy-8M-q8": the executable's name. */
void plan_name(const hi_spec *s, const hi_plan *p, char *out, size_t n);

/* How its weights are kept: "8-bit (blocks of 32), not exact: .."; "as stored". */
const char *weights_text(const hi_plan *p);

/* The hi-gen command line that gives this plan, without folders. */
void plan_command(const hi_spec *s, const hi_plan *p, char *out, size_t n);

/* The decisions and the memory table, plain text of at most 100 columns. */
void plan_print(const hi_spec *s, const hi_plan *p, text *out);

/* Why a decision is what it is: "runner-up 512 tokens: +3.2% time". */
void reason_text(const hi_decision *d, char *out, size_t n);

/* The same with the reasons, predicted times and traffic, and the longest context: --explain. */
void explain_print(const hi_spec *s, const hi_plan *p, text *out);

/* All of it for programs: plan.json. */
void json_print(const hi_spec *s, const hi_plan *p, text *out);

/* All of it as one self-contained page: report.html. */
void report_print(const hi_spec *s, const hi_plan *p, text *out);

/* Rows of each KV head that stream into one pass of a layer where the band's 'upto' rows, of ctx at
   most, are in the context: those past its resident rows and before the last split. */
int64_t streamed_rows(const hi_plan *p, const hi_band *b, int layer, hi_phase phase);

/* Radians per position of pair (i, i + head_dim / 2), in a program for a context of so many tokens. */
double rope_freq(const hi_spec *s, int64_t ctx, int i);

/* Factor of cosine and sine. */
double rope_scale(const hi_spec *s);

/* longrope: is the context beyond the original one, so that the long factors hold? */
bool rope_is_long(const hi_spec *s, int64_t ctx);

#endif
