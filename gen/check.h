/*
** check.h - what the kernels of a generated folder cost, on a machine without nvcc and GPU.
*/
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

#include "gen.h"

/*
** Compiles the kernels of a folder with NVRTC and prints, for every architecture and kernel,
** registers, shared memory known at compile time, stack, spills and constants.
**
** folder  holds shape.h, and kernels.cu if it is not hi-gen's own
** home    hi-gen's folder
** archs   "sm_80,sm_90a", or "all": one of each generation
** out     gets the tables, and NVRTC's log if a kernel does not compile
** Returns 0, or -1 with a message.
*/
int check_kernels(const char *folder, const char *home, const char *archs, FILE *out, hi_error *e);

#endif
