/*
** test_cudart.h - what the tests of the emulated CUDA runtime share: a kernel, and a rig that keeps
** what is reported.
*/
#ifndef TEST_CUDART_H
#define TEST_CUDART_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cuda_runtime_api.h>
#include "emu.h"
#include "emu_cuda.h"

/* ---- kernels ---- */

typedef struct add_args {
    const float *x;
    float *y;
    float by;
    int n;
} add_args;

void t_add(const void *args);
extern const unsigned long t_add_args_bytes;
const unsigned long t_add_args_bytes = sizeof(add_args);

/* y = x + by */
void t_add(const void *args)
{
    const add_args *a = args;
    int i = (int)(emu_block.x * emu_block_dim.x + emu_self->tid.x);

    if (i < a->n)
        a->y[i] = a->x[i] + a->by;
}

/* ---- rig ---- */

enum { N = 64, BYTES = N * sizeof(float), PAGE = 4096 };

static int faults;
static char fault[512];

static inline void note_fault(const char *message)
{
    faults++;
    snprintf(fault, sizeof fault, "%s", message);
}

static inline int begin(void **state)
{
    (void)state;
    emu_cuda_on_error = note_fault;
    emu_cuda_reset();
    faults = 0;
    fault[0] = '\0';
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    emu_cuda_reset();
    return 0;
}

static inline void ok(cudaError_t e)
{
    if (e != cudaSuccess)
        fail_msg("%s; %s", cudaGetErrorName(e), fault);
}

/* The call was refused, with one report that has this text. */
static inline void refused(cudaError_t e, const char *text)
{
    assert_int_not_equal(e, cudaSuccess);
    assert_int_equal(faults, 1);
    assert_non_null(strstr(fault, text));
    faults = 0;
}

static inline cudaStream_t stream(void)
{
    cudaStream_t s;
    ok(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
}

static inline cudaEvent_t event(void)
{
    cudaEvent_t e;
    ok(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    return e;
}

static inline float *device(void)
{
    void *p;
    ok(cudaMalloc(&p, BYTES));
    return p;
}

static inline float *pinned(float value)
{
    void *p;
    ok(cudaHostAlloc(&p, BYTES, cudaHostAllocDefault));
    for (int i = 0; i < N; i++)
        ((float *)p)[i] = value;
    return p;
}

static inline void put(float *dst, const float *src, cudaStream_t s)
{
    ok(cudaMemcpyAsync(dst, src, BYTES, cudaMemcpyHostToDevice, s));
}

static inline void get(float *dst, const float *src, cudaStream_t s)
{
    ok(cudaMemcpyAsync(dst, src, BYTES, cudaMemcpyDeviceToHost, s));
}

static inline cudaKernel_t kernel(void)
{
    static const char code[] = "code";
    cudaLibrary_t l;
    cudaKernel_t k;

    ok(cudaLibraryLoadData(&l, code, NULL, NULL, 0, NULL, NULL, 0));
    ok(cudaLibraryGetKernel(&k, l, "t_add"));
    return k;
}

static inline void add(cudaKernel_t k, float *y, const float *x, float by, cudaStream_t s)
{
    add_args a = { x, y, by, N };
    void *args[] = { &a };
    ok(cudaLaunchKernel(k, (dim3){ 2, 1, 1 }, (dim3){ N / 2, 1, 1 }, args, 0, s));
}

static inline bool all_are(const float *p, float value)
{
    for (int i = 0; i < N; i++)
        if (!(p[i] == value))
            return false;
    return true;
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
