/*
** tok_regex.h - the regular expressions of a tokenizer.json, which are written for Oniguruma,
** run by PCRE2.
*/
#ifndef TOK_REGEX_H
#define TOK_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include "tok_file.h"

typedef struct tok_regex tok_regex;

/* NULL with a message if it is wrong or if the two engines would not agree on it. */
tok_regex *tok_regex_open(const tok_file *f, const char *where, const char *pattern, size_t n);
void tok_regex_close(tok_regex *r);

/*
** The leftmost match that starts at or behind *begin in n bytes of valid UTF-8. Returns 1 and
** its place, 0 if there is none, -1 if memory or the steps allowed for a match run out.
*/
int tok_regex_find(const tok_regex *r, const char *s, size_t n, size_t *begin, size_t *end);

#endif
