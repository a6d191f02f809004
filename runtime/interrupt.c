/*
** interrupt.c - Ctrl-C.
*/
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>
#include "cli.h"

static atomic_int presses = 1; /* nothing is under way */
static _Atomic(hi_run *) running;

static void on_interrupt(int sig)
{
    (void)sig;
    if (atomic_fetch_add(&presses, 1) > 0)
        _exit(EXIT_INTERRUPTED);
    hi_run *r = atomic_load(&running);
    if (r != NULL)
        hi_cancel(r);
}

void interrupt_catch(void)
{
    signal(SIGINT, on_interrupt);
    signal(SIGPIPE, SIG_IGN);
}

void interrupt_begin(void)
{
    atomic_store(&presses, 0);
}

void interrupt_end(void)
{
    atomic_store(&presses, 1);
}

void interrupt_cancels(hi_run *r)
{
    atomic_store(&running, r);
}

bool interrupted(void)
{
    return atomic_load(&presses) > 0;
}
