/*
** beside.h - device memory that a process takes besides what it asks for: context, kernels,
** libraries.
**
** Only a process that has a context can ask how much is free, so its own is never seen to come. A
** second process, which begins first and takes nothing but its context, sees the difference.
*/
#ifndef BESIDE_H
#define BESIDE_H

#include <stdint.h>
#include <sys/types.h>

typedef struct beside {
    pid_t pid;
    int end;      /* closing it ends the second process */
    int64_t free; /* what that one saw; -1: nothing */
} beside;

/* Before the first CUDA call of this process. */
beside beside_open(void);

/* Bytes that are gone since then, less 'asked'; of all that is in use, where that is not known. */
int64_t beside_bytes(const beside *b, int64_t asked);

void beside_close(beside *b);

#endif
