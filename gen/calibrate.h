/*
** calibrate.h - hi-gen calibrate: measures the machine at hand and writes its machine file.
*/
#ifndef CALIBRATE_H
#define CALIBRATE_H

#include <stdio.h>
#include "gen.h"

/*
** The whole command: "calibrate [--target T] [--seconds N]", the file to standard output, progress
** to standard error.
**
** argc, argv  from the word 'calibrate' on
** home        hi-gen's folder
** Returns the exit code: 0, 1 with a message on standard error, or 2 where usage is wrong.
*/
int calibrate_command(int argc, char **argv, const char *home);

/*
** Measures the cpu target and writes the file that machine_load reads.
**
** seconds     that it may take; a slow machine needs longer
** most_bytes  of memory to use; never more than a quarter of what is available
** log         is told how far it is, or NULL
** Returns 0, or -1: too little memory, HI_ISA names what this machine lacks, or 'out' cannot
** be written.
*/
int calibrate_run(FILE *out, double seconds, int64_t most_bytes, FILE *log, hi_error *e);

/*
** Measures the cuda target: the GPU by 'program', which calibrate/cuda makes, the host as above.
** Fails for the program's reasons, too.
*/
int calibrate_cuda(FILE *out, const char *program, double seconds, int64_t most_bytes, FILE *log,
                   hi_error *e);

#endif
