/*
** dev_cuda.c - the device of kernel tests is a GPU, through the CUDA runtime.
*/
#include "dev.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77, ALIGNMENT = 256, PLAIN_SMEM = 48 << 10 };

extern const unsigned char hi_kernels_image[];

static void check(cudaError_t e, const char *what)
{
    if (!e)
        return;
    fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
    exit(e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver ? SKIPPED : 1);
}

void *dev_new(size_t bytes)
{
    void *p;
    check(cudaMalloc(&p, bytes ? bytes : ALIGNMENT), "cudaMalloc");
    check(cudaMemset(p, 0xff, bytes), "cudaMemset");
    return p;
}

void dev_free(void *p)
{
    check(cudaFree(p), "cudaFree");
}

void dev_put(void *dst, const void *src, size_t bytes)
{
    check(cudaMemcpy(dst, src, bytes, cudaMemcpyHostToDevice), "copy to the device");
}

void dev_get(void *dst, const void *src, size_t bytes)
{
    check(cudaMemcpy(dst, src, bytes, cudaMemcpyDeviceToHost), "copy from the device");
}

static cudaKernel_t find(const char *name)
{
    static cudaLibrary_t library;
    cudaKernel_t kernel;
    if (!library)
        check(cudaLibraryLoadData(&library, hi_kernels_image, NULL, NULL, 0, NULL, NULL, 0),
              "load the kernels");
    check(cudaLibraryGetKernel(&kernel, library, name), name);
    return kernel;
}

void dev_launch(const char *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned threads,
                size_t smem, const void *args, size_t args_bytes)
{
    const void *k = (const void *)find(kernel);
    void *copy = malloc(args_bytes), *parameters[1] = { copy };
    memcpy(copy, args, args_bytes);
    if (smem > PLAIN_SMEM)
        check(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)smem),
              kernel);
    check(cudaLaunchKernel(k, (struct dim3){ gx, gy, gz }, (struct dim3){ threads, 1, 1 },
                           parameters, smem, NULL),
          kernel);
    check(cudaDeviceSynchronize(), kernel);
    free(copy);
}

unsigned long long dev_conflicts(void)
{
    return 0;
}
