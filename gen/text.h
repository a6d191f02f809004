/*
** text.h - a growing string, and whole files in and out.
*/
#ifndef TEXT_H
#define TEXT_H

#include "gen.h"

typedef struct text {
    char *data;                      /* malloc'd, 0-terminated once anything was added */
    size_t len, cap;
    bool failed;                     /* out of memory: later additions are dropped */
} text;

void text_add(text *t, const char *s, size_t n);
void text_printf(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_free(text *t);

/* A regular file of at most 'most' bytes. Returns 0 or -1 with a message. */
int text_read(text *t, const char *path, size_t most, hi_error *e);

/* Writes a file by way of a temporary beside it; leaves it alone if it has these bytes. */
int text_write(const char *path, const char *data, size_t n, hi_error *e);

#endif
