/*
** kernels.c - the program's kernels: loaded from the image in the executable, launched by number.
*/
#include "inside.h"

#include <string.h>

extern const unsigned char hi_kernels_image[];      /* image.S: a fat binary */

static const char *const NAMES[N_KERNELS] = {
#define K(name) "k_" #name,
#include "kernels.def"
#undef K
};

bool kernels_open(hi_device *d)
{
    if (!CUDA(d, "loading the kernels",
              cudaLibraryLoadData(&d->library, hi_kernels_image, NULL, NULL, 0, NULL, NULL, 0)))
        return false;
    for (int k = 0; k < N_KERNELS; k++)
        if (!CUDA(d, NAMES[k], cudaLibraryGetKernel(&d->kernel[k], d->library, NAMES[k])) ||
            !CUDA(d, NAMES[k],
                  cudaFuncSetAttribute((const void *)d->kernel[k],
                                       cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       kernel_shared[k])))
            return false;
    return true;
}

void kernels_close(hi_device *d)
{
    if (d->library != NULL)
        (void)cudaLibraryUnload(d->library);
}

void kernel_launch(hi_device *d, kernel_id k, launch_shape s, const void *args)
{
    void *list[1] = { (void *)args };
    dim3 grid = { (unsigned)s.x, (unsigned)s.y, (unsigned)s.z }, block = { (unsigned)s.threads, 1, 1 };

    if (s.x == 0)
        return;
    CUDA(d, NAMES[k],
         cudaLaunchKernel((const void *)d->kernel[k], grid, block, list,
                          (size_t)kernel_shared[k], d->compute));
    d->issued++;
}
