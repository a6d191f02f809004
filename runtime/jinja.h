/*
** jinja.h - the part of Jinja that chat templates are written in: parsed once, rendered often.
**
** As the reference's environment: trim_blocks, lstrip_blocks, break and continue, tojson without
** HTML escapes, lists and mappings that cannot be changed. What is not supported is an error
** of jinja_parse that names it; so is an unknown filter, test, function or method.
*/
#ifndef JINJA_H
#define JINJA_H

#include <jansson.h>
#include <stddef.h>
#include <time.h>
#include "tokenizer.h"

typedef struct jinja jinja;

/*
** name    what messages call the template; copied, as is the text
** text    n_text bytes of UTF-8, at most 1 MiB
** Returns a template the caller frees; NULL with "name:LINE: ...".
*/
jinja *jinja_parse(const char *name, const char *text, size_t n_text, char *err, size_t n);
void jinja_free(jinja *j);

/* strftime_now tells this time, in UTC; before the first call it tells local time. */
void jinja_set_clock(jinja *j, time_t now);

typedef struct jinja_text {
    char *text; /* n bytes and a 0 */
    size_t n;
    tok_span *trusted; /* (n_trusted) ascending, not touching: bytes that are not the user's */
    size_t n_trusted;
} jinja_text;

/*
** Renders with the entries of 'given' and 'user', objects or NULL, as variables; a name in both
** is the user's. Text of the template and of 'given' is trusted, text of 'user' is not, and
** each byte keeps that through every filter, method and operator. One thing of the user's is
** trusted: an entry "role" that is system, developer, user, assistant, model, tool, function or
** ipython, since templates write tokens around it.
**
** Returns 0 and a text that jinja_text_free frees; -1 with "name:LINE: ...", or with the bare
** message of the template's raise_exception.
** At most 64 MiB come out; loops and memory are bounded too.
*/
int jinja_render(const jinja *j, json_t *given, json_t *user, jinja_text *out, char *err, size_t n);
void jinja_text_free(jinja_text *t);

#endif
