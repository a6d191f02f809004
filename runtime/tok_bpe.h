/*
** tok_bpe.h - byte-pair encoding of one piece of text: the "model" of a tokenizer.json.
*/
#ifndef TOK_BPE_H
#define TOK_BPE_H

#include "tok_file.h"
#include "tok_map.h"
#include "tok_merges.h"
#include "tok_text.h"
#include "tok_vocab.h"

typedef struct tok_cached tok_cached;

typedef struct tok_bpe {
    tok_merges merges;
    bool byte_level;     /* symbols are bytes, otherwise characters */
    bool whole;          /* a piece that is a token stays whole: ignore_merges */
    bool fuse_unknown;   /* neighbours without a symbol become one */
    bool fallback;       /* characters without a symbol become bytes */
    int32_t unknown;     /* -1: characters without a symbol vanish */
    int32_t symbol[256]; /* of bytes, or of ASCII characters; -1: none */
    int32_t byte[256];   /* fallback's tokens */
    tok_map chars;       /* symbols of other characters, by code point */
    tok_vocab raw;       /* byte-level and whole: tokens by the bytes they stand for */
    const tok_vocab *vocab;
    bool may_cut;      /* text may be cut between two symbols that are not in: */
    tok_map joined;    /* left << 32 | right: symbols that some merge has at its seam */
    tok_cached *cache; /* of short pieces */
} tok_bpe;

/* Takes model.vocab into v, nothing else. 0, or -1 with a message. */
int tok_bpe_take_vocab(const tok_file *f, json_t *model, tok_vocab *v);

/* Takes the rest; v outlives b. */
int tok_bpe_open(tok_bpe *b, const tok_file *f, json_t *model, const tok_vocab *v, bool byte_level);
void tok_bpe_close(tok_bpe *b);

/* The symbol of the byte or character at s, -1 if it has none, and its bytes. */
static inline int32_t tok_bpe_symbol(const tok_bpe *b, const char *s, size_t *len)
{
    unsigned char c = (unsigned char)*s;
    *len = 1;
    if (b->byte_level || c < 0x80)
        return b->symbol[c];
    *len = tok_utf8_len(*s);
    const tok_map_slot *at = tok_map_at(&b->chars, (uint64_t)tok_utf8_get(s));
    return at->key == TOK_MAP_FREE ? -1 : at->value;
}

/* The cache, empty. false: out of memory. */
bool tok_bpe_alloc_cache(tok_bpe *b);

/* Ids of one piece of valid UTF-8. false: out of memory. */
bool tok_bpe_encode(tok_bpe *b, const char *s, size_t n, tok_ids *out);

#endif
