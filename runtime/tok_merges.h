/*
** tok_merges.h - which neighbours become one token, in which order.
*/
#ifndef TOK_MERGES_H
#define TOK_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOK_NO_RANK UINT32_MAX

typedef struct tok_merge {
    uint32_t left, right; /* ids; left UINT32_MAX: a free slot */
    uint32_t rank;        /* smaller ones come first */
    int32_t id;           /* of the two together */
} tok_merge;

typedef struct tok_merges {
    tok_merge *slot;  /* (mask + 1) by hash, at most half of them in use */
    uint32_t mask;    /* a power of two - 1 */
    int32_t *of_rank; /* (n) the id that each rank makes */
    size_t n;
} tok_merges;

/* Room for n merges. false: out of memory. */
bool tok_merges_alloc(tok_merges *m, size_t n);
void tok_merges_free(tok_merges *m);

/* A pair that is there already takes the later rank, as it does for others. */
void tok_merges_put(tok_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id);

static inline uint32_t tok_pair_hash(uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

/* The rank of a pair; TOK_NO_RANK: the two stay apart. */
static inline uint32_t tok_merges_rank(const tok_merges *m, int32_t left, int32_t right)
{
    for (uint32_t i = tok_pair_hash((uint32_t)left, (uint32_t)right);; i++) {
        const tok_merge *at = &m->slot[i & m->mask];
        if (at->left == (uint32_t)left && at->right == (uint32_t)right)
            return at->rank;
        if (at->left == UINT32_MAX)
            return TOK_NO_RANK;
    }
}

/*
** Merges n symbols in place until no pair is left, always the pair of the smallest rank and
** of those the leftmost. O(n log n). Returns how many are left; SIZE_MAX: out of memory.
*/
size_t tok_merges_apply(const tok_merges *m, int32_t *symbol, size_t n);

#endif
