/*
** jinja_heap.c - memory of a parse or a render, its limits, and the way out of both.
*/
#include "jinja_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "infile.h"

typedef struct jj_chunk {
    struct jj_chunk *next;
    size_t n;
    _Alignas(16) char bytes[];
} jj_chunk;

#define CHUNK ((size_t)64 << 10)

_Noreturn void jj_raise(jj_heap *h, const char *fmt, ...)
{
    char text[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    infile_fail(h->err, h->n_err, "%s:%d: %s", h->name, h->line, text);
    longjmp(h->failed, 1);
}

_Noreturn void jj_raise_bare(jj_heap *h, const char *text, size_t n)
{
    infile_fail(h->err, h->n_err, "%.*s", (int)(n < 4000 ? n : 4000), text);
    longjmp(h->failed, 1);
}

void *jj_alloc(jj_heap *h, size_t n)
{
    if (n > JJ_MAX_OUT * (size_t)8 || h->total + n > JJ_MAX_HEAP)
        jj_raise(h, "needs more than %llu MiB of memory", JJ_MAX_HEAP >> 20);
    n = (n + 15) / 16 * 16;
    if (n > h->left) {
        size_t size = n > CHUNK / 4 ? n : CHUNK;
        jj_chunk *c = calloc(1, sizeof *c + size);
        if (!c)
            jj_raise(h, "out of memory");
        h->total += size;
        c->next = h->chunks;
        h->chunks = c;
        if (size == n) /* a chunk of its own: the current one goes on */
            return c->bytes;
        h->at = c->bytes;
        h->left = size;
    }
    void *p = h->at;
    h->at += n;
    h->left -= n;
    return p;
}

void *jj_grow(jj_heap *h, void *old, size_t old_n, size_t n)
{
    void *p = jj_alloc(h, n);
    if (old_n > 0)
        memcpy(p, old, old_n);
    return p;
}

void jj_heap_free(jj_heap *h)
{
    while (h->chunks) {
        jj_chunk *next = h->chunks->next;
        free(h->chunks);
        h->chunks = next;
    }
}

void jj_charge(jj_heap *h, uint64_t work)
{
    h->work += work;
    if (h->work > JJ_MAX_WORK)
        jj_raise(h, "does not end: stopped after %llu steps", JJ_MAX_WORK);
}

void jj_enter(jj_heap *h, int most)
{
    if (h->depth >= most)
        jj_raise(h, "nested more than %d deep", most);
    h->depth++;
}
