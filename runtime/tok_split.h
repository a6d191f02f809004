/*
** tok_split.h - a text cut into the pieces that are encoded one by one: the "pre_tokenizer".
*/
#ifndef TOK_SPLIT_H
#define TOK_SPLIT_H

#include "tok_file.h"
#include "tok_regex.h"
#include "tok_text.h"

enum {
    TOK_MAX_SPLITS = 16
};

typedef enum tok_behavior {
    TOK_ISOLATED,
    TOK_REMOVED,
    TOK_WITH_PREVIOUS,
    TOK_WITH_NEXT,
    TOK_CONTIGUOUS
} tok_behavior;

typedef enum tok_prepend {
    TOK_NEVER,
    TOK_FIRST,
    TOK_ALWAYS
} tok_prepend;

/* One step: perhaps text in front, perhaps spaces replaced, perhaps cuts. */
typedef struct tok_split {
    char prefix[8]; /* what 'prepend' puts in front of a text without it */
    size_t n_prefix;
    tok_prepend prepend;
    bool replace; /* spaces by the prefix */
    char literal[64];
    size_t n_literal; /* cut at these bytes, */
    tok_regex *regex; /* or at this; neither: no cut */
    tok_behavior behavior;
    bool invert; /* what matches and what lies between change roles */
} tok_split;

typedef struct tok_splits {
    tok_split step[TOK_MAX_SPLITS];
    size_t n;
    bool byte_level; /* the last one is ByteLevel */
} tok_splits;

int tok_splits_open(tok_splits *p, const tok_file *f, const json_t *v);
void tok_splits_close(tok_splits *p);

/* Takes one piece, which is not empty; false stops. */
typedef bool tok_piece_fn(void *arg, const char *s, size_t n);

/*
** Gives the pieces of n bytes of valid UTF-8 in order. 'first': s is the very start of the text.
** Returns false if 'piece' did, or memory ran out.
*/
bool tok_splits_run(const tok_splits *p, const char *s, size_t n, bool first, tok_piece_fn *piece,
                    void *arg);

#endif
