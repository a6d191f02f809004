/*
** memory.h - does the host have the memory that a program needs?
*/
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True where 'bytes' can be taken now: later the program would be killed, not refused. Otherwise a
   message for the user of program 'name'. */
bool memory_left(const char *name, int64_t bytes, char *err, size_t n);

#endif
