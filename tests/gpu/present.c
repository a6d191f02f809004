/*
** present.c - is there a GPU? Prints which; status 77 where there is none.
*/
#include <cuda_runtime_api.h>
#include <stdio.h>

enum { SKIPPED = 77 };

int main(void)
{
    struct cudaDeviceProp p;
    size_t left = 0, all = 0;
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);

    if (e == cudaSuccess && n > 0)
        e = cudaGetDeviceProperties(&p, 0);
    if (e != cudaSuccess || n == 0) {
        fprintf(stderr, "skipped: no GPU: %s\n",
                e == cudaSuccess ? "none is visible" : cudaGetErrorString(e));
        return SKIPPED;
    }
    if (cudaMemGetInfo(&left, &all) != cudaSuccess)
        return SKIPPED;
    printf("%s, compute capability %d.%d, %d multiprocessors, %zu of %zu MiB free\n", p.name,
           p.major, p.minor, p.multiProcessorCount, left >> 20, all >> 20);
    return 0;
}
