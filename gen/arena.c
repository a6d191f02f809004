/*
** arena.c - memory that is freed together.
**
** A chain of blocks, the newest first; an allocation is cut from the newest or
** opens one of its own size. Nothing is freed alone. Running out of memory is
** returned as NULL and reported by the caller, who knows what it was for.
*/
#include <stdlib.h>
#include <string.h>

#include "gen.h"

enum {
    ALIGN = 16,
#ifdef __SANITIZE_ADDRESS__
    BLOCK_BYTES = 0 /* a block per allocation, so that overruns are seen */
#else
    BLOCK_BYTES = 64 * 1024
#endif
};

/* The bytes start one header behind the block; 32 keeps them aligned. */
typedef struct block {
    struct block *next;
    size_t used, size;
    size_t pad;
} block;

struct hi_arena {
    block *newest;
};

hi_arena *arena_new(void)
{
    return calloc(1, sizeof(hi_arena));
}

static block *open_block(hi_arena *a, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    block *b;

    if (size > SIZE_MAX - sizeof *b)
        return NULL;
    b = calloc(1, sizeof *b + size);
    if (b == NULL)
        return NULL;
    b->size = size;
    b->next = a->newest;
    a->newest = b;
    return b;
}

void *arena_alloc(hi_arena *a, size_t bytes)
{
    block *b = a->newest;
    char *p;

    _Static_assert(sizeof *b % ALIGN == 0, "a block's bytes start aligned");
    if (bytes > SIZE_MAX - ALIGN)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (bytes == 0) /* still an address of its own */
        bytes = ALIGN;
    if (b == NULL || bytes > b->size - b->used)
        b = open_block(a, bytes);
    if (b == NULL)
        return NULL;
    p = (char *)(b + 1) + b->used;
    b->used += bytes;
    return p;
}

char *arena_strdup(hi_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = arena_alloc(a, n);

    return p == NULL ? NULL : memcpy(p, s, n);
}

void arena_free(hi_arena *a)
{
    if (a == NULL)
        return;
    for (block *b = a->newest, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}
