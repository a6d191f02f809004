/*
** checked.h - the only size arithmetic the loaders use.
**
** Every sum or product of numbers that come from a file goes through here; each
** function says whether the true result fits and stores it only then.
*/
#ifndef CHECKED_H
#define CHECKED_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes of files and of memory are one type");

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    uint64_t v;
    if (__builtin_add_overflow(a, b, &v))
        return false;
    *sum = v;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *product)
{
    uint64_t v;
    if (__builtin_mul_overflow(a, b, &v))
        return false;
    *product = v;
    return true;
}

/* a - b for a >= b. */
static inline bool checked_sub(uint64_t a, uint64_t b, uint64_t *difference)
{
    uint64_t v;
    if (__builtin_sub_overflow(a, b, &v))
        return false;
    *difference = v;
    return true;
}

#endif
