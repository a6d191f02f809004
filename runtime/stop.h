/*
** stop.h - strings that end an answer, found in text that comes piece by piece.
**
** Text that may be the beginning of a stop string is held back until that is certain. The result
** does not depend on how the text was cut: the string that is complete first ends it; of several
** that are complete at once, the longest.
*/
#ifndef STOP_H
#define STOP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct stop stop;

/* strings: (n) none empty, borrowed until stop_close. NULL: out of memory. */
stop *stop_open(const char *const *strings, int n);
void stop_close(stop *s);

/* Forgets all text. */
void stop_reset(stop *s);

/* Text that may be shown now, *n_out bytes; borrowed until the next call; NULL: out of memory.
   Behind a stop string that was found nothing is. */
const char *stop_put(stop *s, const char *text, size_t n, size_t *n_out);
bool stop_found(const stop *s);

/* The text is over: what was held back. */
const char *stop_end(stop *s, size_t *n_out);

#endif
