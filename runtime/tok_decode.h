/*
** tok_decode.h - ids back to text: the "decoder".
*/
#ifndef TOK_DECODE_H
#define TOK_DECODE_H

#include "tok_file.h"
#include "tok_text.h"
#include "tok_vocab.h"

enum {
    TOK_MAX_DECODERS = 16
};

/* One replacement inside a token. */
typedef struct tok_swap {
    char from[64], to[64];
    size_t n_from, n_to;
    bool drop_first; /* in a text's first token: by nothing */
} tok_swap;

typedef struct tok_decoder {
    bool byte_level; /* tokens are bytes of the byte-level alphabet, nothing else is done */
    tok_swap swap[TOK_MAX_DECODERS];
    size_t n_swaps;
    bool byte_tokens; /* <0xHH> is a byte */
    char strip[8];    /* taken from the text's start, at most n_strips times */
    size_t n_strip, n_strips;
} tok_decoder;

int tok_decoder_open(tok_decoder *d, const tok_file *f, const json_t *v);

/*
** What one token adds to a text. 'first': it is the text's first. Returns its byte if it is
** one, otherwise -1 with its text put into *out, or -2: out of memory.
*/
int tok_decoder_spell(const tok_decoder *d, const tok_vocab *v, int32_t id, bool first,
                      tok_bytes *out);

#endif
