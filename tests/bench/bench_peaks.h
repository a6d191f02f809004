/*
** bench_peaks.h - what this machine could do: arithmetic from registers, reading from memory.
*/
#ifndef BENCH_PEAKS_H
#define BENCH_PEAKS_H

#include <stddef.h>

double bench_now(void); /* seconds */

/*
** Multiply-add operations per second, each counted twice, that so many threads reach in registers.
**
** isa    "amx", "avx512bf16", "avx512", "avx2" or "portable"; 0 for others
** begin  runs first in every thread, or NULL
*/
double bench_peak_flops(const char *isa, void (*begin)(void), int threads);

/* Bytes per second of so many threads, each reading its part of n bytes: the best of 'passes'. */
double bench_peak_reads(const void *data, size_t n, int threads, int passes);

#endif
