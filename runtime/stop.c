/*
** stop.c - stop strings across the borders of pieces.
**
** Only text that may still become a stop string is kept, so that a search looks at the new bytes
** and at less than one stop string before them.
*/
#include "stop.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct stop {
    const char *const *strings; /* (n) */
    int n;
    char *text; /* (cap): shown_n bytes given out by the last call, then
                   held_n that are held back */
    size_t shown_n, held_n, cap;
    bool found;
};

stop *stop_open(const char *const *strings, int n)
{
    stop *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->strings = strings;
    s->n = n;
    s->cap = 64;
    s->text = malloc(s->cap);
    if (s->text == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

void stop_close(stop *s)
{
    if (s == NULL)
        return;
    free(s->text);
    free(s);
}

void stop_reset(stop *s)
{
    s->shown_n = s->held_n = 0;
    s->found = false;
}

/* Appends to what is held back, which moves to the front. */
static int append(stop *s, const char *text, size_t n)
{
    memmove(s->text, s->text + s->shown_n, s->held_n);
    s->shown_n = 0;
    if (n > s->cap - s->held_n) {
        size_t cap = 2 * (s->held_n + n);
        char *more = n > SIZE_MAX / 4 ? NULL : realloc(s->text, cap);
        if (more == NULL)
            return -1;
        s->text = more;
        s->cap = cap;
    }
    if (n > 0)
        memcpy(s->text + s->held_n, text, n);
    s->held_n += n;
    return 0;
}

/* Length of the longest stop string that ends where 'end' bytes do; 0: none. */
static size_t complete_at(const stop *s, size_t end)
{
    size_t longest = 0;

    for (int i = 0; i < s->n; i++) {
        size_t len = strlen(s->strings[i]);
        if (len <= end && len > longest && memcmp(s->text + end - len, s->strings[i], len) == 0)
            longest = len;
    }
    return longest;
}

/* Is text from 'at' on the beginning of a stop string? */
static bool may_become(const stop *s, size_t at)
{
    size_t n = s->held_n - at;

    for (int i = 0; i < s->n; i++)
        if (strlen(s->strings[i]) > n && memcmp(s->text + at, s->strings[i], n) == 0)
            return true;
    return false;
}

/* Gives out the first n bytes. */
static const char *show(stop *s, size_t n, size_t *n_out)
{
    s->shown_n = n;
    s->held_n -= n;
    *n_out = n;
    return s->text;
}

const char *stop_put(stop *s, const char *text, size_t n, size_t *n_out)
{
    size_t old = s->held_n, at = 0;

    *n_out = 0;
    if (s->found)
        return s->text;
    if (append(s, text, n) != 0)
        return NULL;
    for (size_t end = old + 1; end <= s->held_n; end++) {
        size_t len = complete_at(s, end);
        if (len > 0) {
            s->found = true;
            s->held_n = end - len;
            return show(s, s->held_n, n_out);
        }
    }
    while (at < s->held_n && !may_become(s, at))
        at++;
    return show(s, at, n_out);
}

bool stop_found(const stop *s)
{
    return s->found;
}

const char *stop_end(stop *s, size_t *n_out)
{
    memmove(s->text, s->text + s->shown_n, s->held_n);
    s->shown_n = 0;
    return show(s, s->held_n, n_out);
}
