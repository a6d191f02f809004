/*
** e2e.h - what the end-to-end programs share: giving up, opening, feeding tokens.
*/
#ifndef E2E_H
#define E2E_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "hi.h"

extern const hi_model hi_the_model;

enum { EXIT_SKIPPED = 77 };          /* ctest's SKIP_RETURN_CODE */

static inline void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static inline void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline void *take_memory(size_t bytes)
{
    void *p = malloc(bytes);
    if (p == NULL)
        die("out of memory: %zu bytes", bytes);
    return p;
}

static inline hi_run *open_run(const hi_options *o)
{
    char err[4096];
    hi_run *r = hi_open(&hi_the_model, o, NULL, err, sizeof err);
    if (r == NULL)
        die("open: %s", err);
    return r;
}

/* Ends the program unless the call before gave 0. */
static inline void must(hi_run *r, const char *what, int rc)
{
    if (rc != 0)
        die("%s at token %lld: %s", what, (long long)hi_length(r), hi_error_text(r));
}

/* Prefills a prompt of n tokens. */
static inline void feed(hi_run *r, const int32_t *ids, int n)
{
    must(r, "prefill", hi_prefill(r, ids, n));
}

/* Scores of the newest row: n tokens came with the last call, a prompt or one decoded token. */
static inline const float *last_scores(hi_run *r, int n)
{
    const hi_model *m = &hi_the_model;
    int row = m->logits_all ? (n - 1) % m->rows[HI_PREFILL] : 0;
    return hi_logits(r) + (int64_t)row * m->vocab;
}

/* Bytes copied to the device; a plan within a budget must have copied some. */
static inline int64_t copied_bytes(const hi_run *r)
{
    hi_stats s;
    hi_get_stats(r, &s);
    if (hi_the_model.budget_bytes >= 0 && s.h2d_bytes == 0)
        die("nothing was copied: this plan tests no offloading");
    return s.h2d_bytes;
}

#endif
