/*
** jinja.h - templates in the part of Jinja that chat templates are written in.
*/
#ifndef JINJA_H
#define JINJA_H

#include <jansson.h>
#include <stddef.h>
#include "tokenizer.h"

typedef struct jinja jinja;

/* NULL with "name:LINE: ...", the unsupported construct named. */
jinja *jinja_parse(const char *name, const char *text, size_t n_text, char *err, size_t n);
void jinja_free(jinja *j);

/* Rendered text and the parts of it that are not the user's. */
typedef struct jinja_text {
    char *text;                      /* (n) malloc'd, 0-terminated */
    size_t n;
    tok_span *trusted;               /* (n_trusted) malloc'd, ascending */
    size_t n_trusted;
} jinja_text;

/* Variables of both objects are globals; text that comes from the template or from 'given' is
   trusted, text from 'user' is not. Returns 0, or -1 with a message. */
int jinja_render(const jinja *j, json_t *given, json_t *user, jinja_text *out, char *err, size_t n);

#endif
