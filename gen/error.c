/*
** error.c - the one way in which the generator's functions fail.
**
** A message says what went wrong first: later failures of a call that is already
** unwinding add nothing and are dropped. Printing it is main.c's work.
*/
#include <stdarg.h>
#include <stdio.h>

#include "gen.h"

int gen_fail(hi_error *e, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL || e->text[0] != '\0') /* not the first? */
        return -1;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return -1;
}
