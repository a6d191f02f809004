/*
** kernels.c - the program's kernels: loaded from the image in the executable, launched by number.
**
** The image has machine code for some architectures. For another one NVRTC compiles the sources,
** which the executable carries too, and keeps the result in the user's cache folder.
*/
#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cubin_cache.h"
#include "tensor_map.h"

enum { MOST_SOURCES = 32 };

extern const unsigned char hi_kernels_image[];              /* a fat binary */
extern const char hi_kernels_archs[];                       /* that it has: "80 86 90a" */
extern const char *const hi_kernels_sources[];          /* name, text, .., NULL; kernels.cu first */

static const char *const NAMES[N_KERNELS] = {
#define K(name) "k_" #name,
#define H(name) "k_" #name,
#include "kernels.def"
#undef H
#undef K
};

static const bool HOPPERS[N_KERNELS] = {
#define K(name) false,
#define H(name) true,
#include "kernels.def"
#undef H
#undef K
};

/* Code for 8.0 runs on 8.6, not on 9.0; that with an 'a' runs nowhere else, and alone has what is
   special there. */
static bool has_code_for(int major, int minor, bool special)
{
    for (const char *a = hi_kernels_archs; *a != '\0';) {
        char *end;
        long arch = strtol(a, &end, 10);
        bool exact = *end == 'a';
        if (arch / 10 == major && (exact || !special) &&
            (exact ? arch % 10 == minor : arch % 10 <= minor))
            return true;
        for (a = end; *a != '\0' && (*a < '0' || *a > '9');)
            a++;
    }
    return false;
}

static nvrtc_program program(nvrtc_source *headers)
{
    const char *const *s = hi_kernels_sources;
    nvrtc_program p = { .main = { s[0], s[1] }, .headers = headers };

    for (s += 2; s[0] != NULL && p.n_headers < MOST_SOURCES; s += 2)
        headers[p.n_headers++] = (nvrtc_source){ s[0], s[1] };
    return p;
}

/* Compiles, or takes from the cache, what the device needs. */
static bool compile(hi_device *d, int major, int minor, cubin *out)
{
    nvrtc_source headers[MOST_SOURCES];
    nvrtc_program p = program(headers);
    char arch[16], why[ERROR_LEN];
    nvrtc *rt = nvrtc_open(HI_TOOLKIT, why, sizeof why);

    snprintf(arch, sizeof arch, "sm_%d%d%s", major, minor, major == 9 && minor == 0 ? "a" : "");
    if (rt == NULL)
        return cuda_fail(d, "the program has no code for %s, and NVRTC, which could compile it, "
                            "cannot be loaded: %s", arch, why);
    int rc = cubin_build(rt, &p, arch, NULL, out, stderr, why, sizeof why);
    nvrtc_close(rt);
    return rc == 0 || cuda_fail(d, "%s", why);
}

static bool open_kernel(hi_device *d, int k)
{
    return CUDA(d, NAMES[k], cudaLibraryGetKernel(&d->kernel[k], d->library, NAMES[k])) &&
           CUDA(d, NAMES[k],
                cudaFuncSetAttribute((const void *)d->kernel[k],
                                     cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     kernel_shared[k]));
}

static bool load(hi_device *d, const void *code)
{
    if (!CUDA(d, "loading the kernels",
              cudaLibraryLoadData(&d->library, code, NULL, NULL, 0, NULL, NULL, 0)))
        return false;
    for (int k = 0; k < N_KERNELS; k++)
        if ((d->hopper || !HOPPERS[k]) && !open_kernel(d, k))
            return false;
    return true;
}

bool kernels_open(hi_device *d, int major, int minor)
{
    cubin made = { 0 };
    bool carried = has_code_for(major, minor, false), hopper = major == 9 && minor == 0;

    d->hopper = kernels_hopper && hopper && (!carried || has_code_for(major, minor, true));
    if (d->hopper && tensor_map_load() != 0)
        return cuda_fail(d, "the driver makes no tensor maps: install one of series 580 or newer");
    if (carried)
        return load(d, hi_kernels_image);
    bool ok = compile(d, major, minor, &made) && load(d, made.data);
    cubin_free(&made);
    return ok;
}

void kernels_close(hi_device *d)
{
    if (d->library != NULL)
        (void)cudaLibraryUnload(d->library);
}

void kernel_launch(hi_device *d, kernel_id k, launch_shape s, const void *args)
{
    void *list[1] = { (void *)args };
    dim3 grid = { (unsigned)s.x, (unsigned)s.y, (unsigned)s.z };
    dim3 block = { (unsigned)s.threads, 1, 1 };

    if (s.x == 0)
        return;
    CUDA(d, NAMES[k],
         cudaLaunchKernel((const void *)d->kernel[k], grid, block, list,
                          (size_t)kernel_shared[k], d->compute));
    d->issued++;
}
