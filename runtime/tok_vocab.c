/*
** tok_vocab.c - strings and their ids: an arena and an open-addressing table of ids.
*/
#include "tok_vocab.h"

#include <stdlib.h>
#include <string.h>

static uint64_t load(const char *s, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, s, n);
    return word;
}

uint64_t tok_hash(const char *s, size_t n)
{
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    for (; n > 8; s += 8, n -= 8) {
        h = (h ^ load(s, 8)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h = (h ^ load(s, n)) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

static bool grow_ids(tok_vocab *v, int32_t id)
{
    if (id >= v->cap) {
        int32_t cap = v->cap < 512 ? 512 : v->cap;
        while (cap <= id)
            cap *= 2;
        uint32_t *begin = realloc(v->begin, (size_t)cap * sizeof *begin);
        v->begin = begin ? begin : v->begin;
        uint32_t *length = realloc(v->length, (size_t)cap * sizeof *length);
        v->length = length ? length : v->length;
        uint8_t *kind = realloc(v->kind, (size_t)cap * sizeof *kind);
        v->kind = kind ? kind : v->kind;
        if (!begin || !length || !kind)
            return false;
        v->cap = cap;
    }
    for (; v->n_ids <= id; v->n_ids++) {
        v->begin[v->n_ids] = 0;
        v->length[v->n_ids] = TOK_NO_STRING;
        v->kind[v->n_ids] = 0;
    }
    return true;
}

static void place(const tok_vocab *v, int32_t *slot, uint32_t n_slots, int32_t id)
{
    uint32_t i = (uint32_t)tok_hash(v->text.at + v->begin[id], v->length[id]);
    while (slot[i &= n_slots - 1] >= 0)
        i++;
    slot[i] = id;
}

/* At most half of the table is in use. */
static bool grow_slots(tok_vocab *v)
{
    if (v->n_strings * 2 < v->n_slots)
        return true;
    uint32_t n = v->n_slots < 1024 ? 1024 : v->n_slots * 2;
    int32_t *slot = malloc(n * sizeof *slot);
    if (!slot)
        return false;
    memset(slot, -1, n * sizeof *slot);
    for (int32_t id = 0; id < v->n_ids; id++)
        if (v->length[id] != TOK_NO_STRING)
            place(v, slot, n, id);
    free(v->slot);
    v->slot = slot;
    v->n_slots = n;
    return true;
}

bool tok_vocab_put(tok_vocab *v, const char *s, size_t n, int32_t id, uint8_t kind)
{
    if (v->text.n + n >= UINT32_MAX || !grow_slots(v) || !tok_bytes_put(&v->text, s, n))
        return false;
    if (!grow_ids(v, id))
        return false;
    v->begin[id] = (uint32_t)(v->text.n - n);
    v->length[id] = (uint32_t)n;
    v->kind[id] = kind;
    v->n_strings++;
    place(v, v->slot, v->n_slots, id);
    return true;
}

int32_t tok_vocab_find(const tok_vocab *v, const char *s, size_t n)
{
    if (v->n_slots == 0)
        return -1;
    for (uint32_t i = (uint32_t)tok_hash(s, n);; i++) {
        int32_t id = v->slot[i & (v->n_slots - 1)];
        if (id < 0)
            return -1;
        if (v->length[id] == n && memcmp(v->text.at + v->begin[id], s, n) == 0)
            return id;
    }
}

void tok_vocab_free(tok_vocab *v)
{
    free(v->text.at);
    free(v->begin);
    free(v->length);
    free(v->kind);
    free(v->slot);
    *v = (tok_vocab){ 0 };
}
