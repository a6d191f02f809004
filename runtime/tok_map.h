/*
** tok_map.h - 64-bit keys to small numbers, in an open-addressing table.
*/
#ifndef TOK_MAP_H
#define TOK_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct tok_map_slot {
    uint64_t key;
    int32_t value;
} tok_map_slot;

typedef struct tok_map {
    tok_map_slot *slot; /* (mask + 1), at most half of them in use */
    uint64_t mask;      /* a power of two - 1 */
} tok_map;

#define TOK_MAP_FREE UINT64_MAX /* no key */

/* Room for n keys. false: out of memory. */
static inline bool tok_map_alloc(tok_map *m, size_t n)
{
    uint64_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    m->slot = malloc(slots * sizeof *m->slot);
    m->mask = slots - 1;
    for (uint64_t i = 0; m->slot && i < slots; i++)
        m->slot[i].key = TOK_MAP_FREE;
    return m->slot;
}

/* The key's slot, or the free one it belongs into. */
static inline tok_map_slot *tok_map_at(const tok_map *m, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    for (uint64_t i = h >> 32 ^ h >> 15;; i++) {
        tok_map_slot *at = &m->slot[i & m->mask];
        if (at->key == key || at->key == TOK_MAP_FREE)
            return at;
    }
}

static inline void tok_map_put(tok_map *m, uint64_t key, int32_t value)
{
    *tok_map_at(m, key) = (tok_map_slot){ key, value };
}

#endif
