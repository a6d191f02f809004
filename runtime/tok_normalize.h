/*
** tok_normalize.h - text rewritten before it is cut: the "normalizer".
*/
#ifndef TOK_NORMALIZE_H
#define TOK_NORMALIZE_H

#include "tok_file.h"
#include "tok_text.h"

enum {
    TOK_MAX_NORMALIZERS = 16,
    TOK_MAX_REPLACED = 64 /* bytes of what is replaced, put in or put in front */
};

typedef enum tok_rewrite {
    TOK_PREPEND,
    TOK_REPLACE,
    TOK_NFC,
    TOK_NFD,
    TOK_NFKC,
    TOK_NFKD
} tok_rewrite;

typedef struct tok_normalizer {
    tok_rewrite kind;
    char from[TOK_MAX_REPLACED], to[TOK_MAX_REPLACED];
    size_t n_from, n_to;
} tok_normalizer;

typedef struct tok_normalizers {
    tok_normalizer step[TOK_MAX_NORMALIZERS];
    size_t n;
} tok_normalizers;

int tok_normalizers_open(tok_normalizers *p, const tok_file *f, const json_t *v);

/* A text and where it came from. */
typedef struct tok_normal {
    tok_bytes text;
    size_t *origin; /* (text.n + 1) of each byte, in the raw text; NULL: not asked for */
    size_t cap;
} tok_normal;

/*
** Rewrites n bytes of valid UTF-8, which begin at 'base' of the raw text, into the zeroed out.
** false: out of memory. tok_normal_free in either case.
*/
bool tok_normalizers_run(const tok_normalizers *p, const char *s, size_t n, size_t base,
                         bool with_origin, tok_normal *out);
void tok_normal_free(tok_normal *t);

#endif
