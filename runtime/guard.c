/*
** guard.c - counts what is allocated, aborts on an allocation during a pass.
*/
#include "guard.h"

#ifdef HI_GUARD
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int passes;
static atomic_long live_bytes;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);

void guard_begin(void)
{
    passes++;
}

void guard_end(void)
{
    passes--;
}

long guard_allocations(void)
{
    return live_bytes;
}

static void *count(void *p)
{
    if (passes > 0) {
        fputs("guard: allocation during a pass\n", stderr);
        abort();
    }
    live_bytes += p == NULL ? 0 : (long)malloc_usable_size(p);
    return p;
}

void *__wrap_malloc(size_t n)
{
    return count(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return count(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    live_bytes -= p == NULL ? 0 : (long)malloc_usable_size(p);
    return count(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
    live_bytes -= p == NULL ? 0 : (long)malloc_usable_size(p);
    __real_free(p);
}
#endif
