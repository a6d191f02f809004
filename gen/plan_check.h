/*
** plan_check.h - what plan_check.c and plan_check_bytes.c share.
*/
#ifndef PLAN_CHECK_H
#define PLAN_CHECK_H

#include "gen.h"

/* ---- plan_check.c: a number, its name, and what it must be; 0 or -1 ---- */

int want(const char *what, int64_t is, int64_t should, hi_error *e);
int want_within(const char *what, int64_t is, int64_t lo, int64_t hi, hi_error *e);
int want_multiple(const char *what, int64_t is, int64_t of, hi_error *e);

/* Is layer l one of those that see a window alone, shorter than the context? */
bool sees_window(const hi_spec *s, const hi_plan *p, int l);

/* ---- plan_check_bytes.c ---- */

/* Every buffer's size and place on device and host, and the budgets. */
int check_bytes(const hi_spec *s, const hi_plan *p, hi_error *e);

/* ---- arithmetic: what does not fit in 63 bits counts as INT64_MAX ---- */

static inline int64_t mul(int64_t a, int64_t b)
{
    int64_t n;
    return __builtin_mul_overflow(a, b, &n) ? INT64_MAX : n;
}

static inline int64_t add(int64_t a, int64_t b)
{
    int64_t n;
    return __builtin_add_overflow(a, b, &n) ? INT64_MAX : n;
}

/* a >= 0 rounded up; INT64_MAX / to * to where that does not fit. */
static inline int64_t up_to(int64_t a, int64_t to)
{
    return add(a, to - 1) / to * to;
}

#endif
