/*
** guard.h - no allocation during a pass: checked builds (HI_GUARD) abort on one.
**
** The guard works where the linker wraps malloc and its kin (runtime.cmake does so in
** checked builds); elsewhere the calls cost nothing.
*/
#ifndef GUARD_H
#define GUARD_H

#ifdef HI_GUARD
void guard_begin(void);              /* from here on, in this process, no allocation ... */
void guard_end(void);                /* ... until here */
long guard_allocations(void);        /* bytes allocated and not freed, seen by the wrappers */
#else
static inline void guard_begin(void)
{
}
static inline void guard_end(void)
{
}
#endif

#endif
