/*
** tok_merges.c - the table of merges and the two ways to apply it: a scan for the smallest
** rank while the symbols are few, a heap over a linked list when they are many.
*/
#include "tok_merges.h"

#include <stdlib.h>
#include <string.h>

enum {
    FEW = 64 /* symbols that a scan is faster for */
};

#define NOWHERE UINT32_MAX

bool tok_merges_alloc(tok_merges *m, size_t n)
{
    size_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    m->slot = malloc(slots * sizeof *m->slot);
    m->of_rank = malloc((n + 1) * sizeof *m->of_rank);
    if (!m->slot || !m->of_rank)
        return false;
    memset(m->slot, 0xff, slots * sizeof *m->slot);
    m->mask = (uint32_t)(slots - 1);
    m->n = n;
    return true;
}

void tok_merges_free(tok_merges *m)
{
    free(m->slot);
    free(m->of_rank);
    *m = (tok_merges){ 0 };
}

void tok_merges_put(tok_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint32_t l = (uint32_t)left, r = (uint32_t)right, i = tok_pair_hash(l, r);
    tok_merge *at;
    do
        at = &m->slot[i++ & m->mask];
    while (at->left != UINT32_MAX && (at->left != l || at->right != r));
    *at = (tok_merge){ l, r, rank, id };
    m->of_rank[rank] = id;
}

/* ---- few symbols ---- */

static size_t merge_few(const tok_merges *m, int32_t *symbol, size_t n)
{
    uint32_t rank[FEW]; /* (n - 1) of each symbol with the next */
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = tok_merges_rank(m, symbol[i], symbol[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            best = rank[i] < rank[best] ? i : best;
        if (rank[best] == TOK_NO_RANK)
            break;
        symbol[best] = m->of_rank[rank[best]];
        n--;
        memmove(symbol + best + 1, symbol + best + 2, (n - best - 1) * sizeof *symbol);
        if (best + 1 < n) {
            memmove(rank + best + 1, rank + best + 2, (n - best - 2) * sizeof *rank);
            rank[best] = tok_merges_rank(m, symbol[best], symbol[best + 1]);
        }
        if (best > 0)
            rank[best - 1] = tok_merges_rank(m, symbol[best - 1], symbol[best]);
    }
    return n;
}

/* ---- many ---- */

typedef struct link {
    int32_t id; /* -1: merged into the one before */
    uint32_t prev, next;
    uint32_t rank; /* with the next */
} link;

/* Pairs to merge, rank << 32 | place, the smallest first; four children per node. */
typedef struct heap {
    uint64_t *at;
    size_t n, cap;
} heap;

static void sift_down(heap *h, size_t i)
{
    uint64_t key = h->at[i];
    for (size_t child = 4 * i + 1; child < h->n; child = 4 * i + 1) {
        size_t end = child + 4 < h->n ? child + 4 : h->n, least = child;
        for (size_t c = child + 1; c < end; c++)
            least = h->at[c] < h->at[least] ? c : least;
        if (h->at[least] >= key)
            break;
        h->at[i] = h->at[least];
        i = least;
    }
    h->at[i] = key;
}

static uint64_t pop(heap *h)
{
    uint64_t top = h->at[0];
    h->at[0] = h->at[--h->n];
    if (h->n > 1)
        sift_down(h, 0);
    return top;
}

static bool push(heap *h, uint64_t key)
{
    if (h->n == h->cap) {
        uint64_t *grown = realloc(h->at, h->cap * 2 * sizeof *grown);
        if (!grown)
            return false;
        h->at = grown;
        h->cap *= 2;
    }
    size_t i = h->n++;
    for (; i > 0 && h->at[(i - 1) / 4] > key; i = (i - 1) / 4)
        h->at[i] = h->at[(i - 1) / 4];
    h->at[i] = key;
    return true;
}

static bool set_rank(const tok_merges *m, heap *h, link *s, uint32_t i)
{
    s[i].rank = s[i].next == NOWHERE ? TOK_NO_RANK : tok_merges_rank(m, s[i].id, s[s[i].next].id);
    return s[i].rank == TOK_NO_RANK || push(h, (uint64_t)s[i].rank << 32 | i);
}

static bool merge_all(const tok_merges *m, heap *h, link *s)
{
    while (h->n > 0) {
        uint64_t top = pop(h);
        uint32_t rank = (uint32_t)(top >> 32), i = (uint32_t)top;
        if (s[i].id < 0 || s[i].rank == TOK_NO_RANK || m->of_rank[s[i].rank] != m->of_rank[rank])
            continue; /* its symbols have merged with others since */
        uint32_t gone = s[i].next, next = s[gone].next;
        s[i].id = m->of_rank[rank];
        s[i].next = next;
        s[gone].id = -1;
        if (next != NOWHERE)
            s[next].prev = i;
        if (!set_rank(m, h, s, i) || (s[i].prev != NOWHERE && !set_rank(m, h, s, s[i].prev)))
            return false;
    }
    return true;
}

static void fill(const tok_merges *m, heap *h, link *s, const int32_t *symbol, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n;
        s[i] = (link){ symbol[i], i == 0 ? NOWHERE : (uint32_t)i - 1,
                       last ? NOWHERE : (uint32_t)i + 1, TOK_NO_RANK };
        if (!last)
            s[i].rank = tok_merges_rank(m, symbol[i], symbol[i + 1]);
        if (s[i].rank != TOK_NO_RANK)
            h->at[h->n++] = (uint64_t)s[i].rank << 32 | i;
    }
    for (size_t i = h->n / 4 + 1; i-- > 0;)
        if (i < h->n)
            sift_down(h, i);
}

static size_t merge_many(const tok_merges *m, int32_t *symbol, size_t n)
{
    if (n >= NOWHERE)
        return SIZE_MAX;
    heap h = { .at = malloc(n * sizeof *h.at), .cap = n };
    link *s = malloc(n * sizeof *s);
    bool done = false;
    size_t kept = 0;
    if (h.at && s) {
        fill(m, &h, s, symbol, n);
        done = merge_all(m, &h, s);
    }
    for (size_t i = 0; done && i < n; i++)
        if (s[i].id >= 0)
            symbol[kept++] = s[i].id;
    free(h.at);
    free(s);
    return done ? kept : SIZE_MAX;
}

size_t tok_merges_apply(const tok_merges *m, int32_t *symbol, size_t n)
{
    return n <= FEW ? merge_few(m, symbol, n) : merge_many(m, symbol, n);
}
