/*
** interrupt.h - Ctrl-C: ends what is under way; a second one, or where nothing is, the program.
*/
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>
#include "hi.h"

void interrupt_catch(void);          /* from now on; also: a closed stdout is an error, no death */

/* Work begins, or is over: Ctrl-C then ends the program (exit 130). */
void interrupt_begin(void);
void interrupt_end(void);

/* While not NULL, the first Ctrl-C cancels the pass of this run, too. */
void interrupt_cancels(hi_run *r);

bool interrupted(void);              /* since interrupt_begin */

#endif
