/*
** tok_added.h - the tokens that a text is searched for before anything else is done to it.
*/
#ifndef TOK_ADDED_H
#define TOK_ADDED_H

#include "tok_file.h"
#include "tok_normalize.h"
#include "tok_regex.h"
#include "tok_vocab.h"
#include "tokenizer.h"

typedef struct tok_added {
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} tok_added;

/* Characters of the tokens one below the other; siblings share what lies before them. */
typedef struct tok_node {
    unsigned char byte;
    int32_t token; /* place in the list; -1: none ends here */
    int32_t child, sibling;
} tok_node;

typedef struct tok_trie {
    tok_node *node; /* (n) */
    size_t n, cap;
    int32_t root[256]; /* node of each first byte, -1: none */
} tok_trie;

typedef struct tok_added_list {
    tok_added *at; /* (n) */
    size_t n;
    tok_trie raw, normal; /* searched for before and after normalizing */
    bool special_normal;  /* a special one is searched for in normalized text */
    tok_regex *word;      /* a character of a word; NULL: nobody asks */
} tok_added_list;

/* Takes added_tokens; puts them into v. */
int tok_added_open(tok_added_list *l, const tok_file *f, const json_t *added,
                   const tok_normalizers *normalizers, tok_vocab *v);
void tok_added_close(tok_added_list *l);

/* Where a search stands. Set all but at and taken, which begin at 0. */
typedef struct tok_search {
    const tok_added_list *list;
    const tok_trie *trie;
    const char *text; /* (n) valid UTF-8 */
    size_t n;
    size_t base;          /* where it begins in the raw text; */
    const size_t *origin; /* or (n + 1) where each byte lies there */
    const tok_options *options;
    size_t at, taken; /* up to where was searched, and belongs to tokens found */
} tok_search;

/*
** The next token: the leftmost one, of those the longest. Returns false if there is none;
** otherwise its id and its place, white space that it takes with it included.
*/
bool tok_added_next(tok_search *s, int32_t *id, size_t *begin, size_t *end);

#endif
