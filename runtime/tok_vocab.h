/*
** tok_vocab.h - strings and their ids, both ways.
*/
#ifndef TOK_VOCAB_H
#define TOK_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tok_text.h"

enum {
    TOK_IN_MODEL = 1, /* of the model's vocabulary: BPE may give it */
    TOK_ADDED = 2,
    TOK_SPECIAL = 4
};

typedef struct tok_vocab {
    tok_bytes text;   /* every string, one behind the other */
    uint32_t *begin;  /* (n_ids) of each id's string in text */
    uint32_t *length; /* (n_ids) bytes; TOK_NO_STRING: the id is no token */
    uint8_t *kind;    /* (n_ids) TOK_.. */
    int32_t n_ids;    /* largest id + 1 */
    int32_t cap;
    int32_t *slot;    /* (n_slots) ids by hash; -1: none */
    uint32_t n_slots; /* a power of two */
    size_t n_strings;
} tok_vocab;

#define TOK_NO_STRING UINT32_MAX

/* 64 bits of n bytes. */
uint64_t tok_hash(const char *s, size_t n);

/* Puts a string that is not there yet under an id that is free. false: out of memory. */
bool tok_vocab_put(tok_vocab *v, const char *s, size_t n, int32_t id, uint8_t kind);

/* -1: no such string. */
int32_t tok_vocab_find(const tok_vocab *v, const char *s, size_t n);

static inline bool tok_vocab_has(const tok_vocab *v, int32_t id)
{
    return id >= 0 && id < v->n_ids && v->length[id] != TOK_NO_STRING;
}

void tok_vocab_free(tok_vocab *v);

#endif
