/*
** bench_gpu.h - what measurements on a GPU share: failures, time by events, random data, the two
** limits of a device.
*/
#ifndef BENCH_GPU_H
#define BENCH_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cuda_runtime_api.h>

enum { BENCH_SKIPPED = 77 };

/* Ends the program with a message unless e is success; status 77 where there is no GPU. */
void bench_check(cudaError_t e, const char *action);
void bench_die(const char *what, const char *why);

/* BENCH_TINY in the environment: sizes for a try on the emulated GPU, whose times mean nothing. */
bool bench_tiny(void);
int64_t bench_size(int64_t full, int64_t tiny);

void *bench_alloc(size_t bytes);     /* on the device */
/* Random bf16 in [-1, 1); a pattern of some MB, repeated. */
void bench_fill(void *device, size_t bytes);

/* Work issued to the stream. 'i' counts calls, so that they can take turns with their data. */
typedef void bench_call(void *arg, cudaStream_t s, int i);

/*
** Milliseconds of one call: the median of several measurements, of as many calls each as take some
** milliseconds, after calls that do not count.
*/
double bench_ms(bench_call *call, void *arg, cudaStream_t s);

/* Measured once, then remembered. */
double bench_copy_gbs(cudaStream_t s);      /* device to device, bytes read plus bytes written */
double bench_matrix_tflops(cudaStream_t s); /* cuBLASLt, bf16, 8192^3, its first choice */

#endif
