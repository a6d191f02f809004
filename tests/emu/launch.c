/*
** launch.c - libraries and kernels of the emulated CUDA runtime.
**
** A kernel is the function of that name that the program exports; name_args_bytes beside it tells
** the size of its one argument, which a launch copies. The machine of emu.h runs it.
*/
#include "queue.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "emu.h"

enum { MOST_THREADS = 1024, PLAIN_SMEM = 48 << 10 };

/* Libraries stay until the reset: queued work has the names of their kernels. */
struct CUlib_st {
    struct CUlib_st *next;
    bool unloaded;
    cudaKernel_t kernels;
};

struct CUkern_st {
    struct CUkern_st *next;
    char *name;
    void (*fn)(const void *);
    size_t args_bytes;
    int smem;                        /* what a launch may have */
};

/* The kernel's own argument follows. */
typedef struct launch {
    void (*fn)(const void *);
    emu_dim3 grid, block;
    size_t smem, args_bytes;
} launch;

enum { MOST_ARGS = 4096 };           /* bytes: what a GPU takes at most */
enum { ARGS_AT = (sizeof(launch) + 15) / 16 * 16 };

static cudaLibrary_t libraries;

/* ---- libraries ---- */

static void drop_kernels(cudaKernel_t k)
{
    while (k != NULL) {
        cudaKernel_t next = k->next;
        free(k->name);
        free(k);
        k = next;
    }
}

void launch_reset(void)
{
    while (libraries != NULL) {
        cudaLibrary_t l = libraries;
        libraries = l->next;
        drop_kernels(l->kernels);
        free(l);
    }
}

cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code,
                                enum cudaJitOption *jit, void **jit_values, unsigned n_jit,
                                enum cudaLibraryOption *options, void **values, unsigned n_options)
{
    cudaError_t e = emu_enter(__func__);
    cudaLibrary_t l = calloc(1, sizeof *l);

    (void)jit, (void)jit_values, (void)n_jit, (void)options, (void)values, (void)n_options;
    if (l == NULL)
        abort();
    if (e == cudaSuccess && code == NULL)
        e = cudaErrorInvalidValue;
    if (e != cudaSuccess) {
        free(l);
        return emu_leave(e);
    }
    l->next = libraries;
    libraries = l;
    *library = l;
    return emu_leave(e);
}

static bool is_loaded(cudaLibrary_t library)
{
    for (cudaLibrary_t l = libraries; l != NULL; l = l->next)
        if (l == library && !l->unloaded)
            return true;
    emu_complain(cudaErrorInvalidResourceHandle, "no library, or an unloaded one");
    return false;
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library)
{
    cudaError_t e = emu_enter(__func__);

    if (!is_loaded(library))
        return emu_leave(cudaErrorInvalidResourceHandle);
    library->unloaded = true;
    return emu_leave(e);
}

/* ---- kernels ---- */

static cudaError_t find_kernel(cudaKernel_t *kernel, cudaLibrary_t l, const char *name)
{
    char size_name[256];
    void *fn = dlsym(RTLD_DEFAULT, name);

    for (cudaKernel_t k = l->kernels; k != NULL; k = k->next)
        if (strcmp(k->name, name) == 0) {
            *kernel = k;
            return cudaSuccess;
        }
    if (fn == NULL)
        return cudaErrorSymbolNotFound;
    snprintf(size_name, sizeof size_name, "%s_args_bytes", name);
    const unsigned long *bytes = dlsym(RTLD_DEFAULT, size_name);
    if (bytes != NULL && *bytes > MOST_ARGS)
        return emu_complain(cudaErrorInvalidValue, "%s: more than %d bytes of arguments", name, MOST_ARGS);
    if (bytes == NULL)
        return emu_complain(cudaErrorSymbolNotFound, "%s: %s is not exported", name, size_name);
    cudaKernel_t k = calloc(1, sizeof *k);
    if (k == NULL)
        abort();
    *k = (struct CUkern_st){ l->kernels, strdup(name), NULL, *bytes, PLAIN_SMEM };
    memcpy(&k->fn, &fn, sizeof fn);  /* from a pointer to data */
    l->kernels = *kernel = k;
    return cudaSuccess;
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name)
{
    cudaError_t e = emu_enter(__func__);

    if (e == cudaSuccess && !is_loaded(library))
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e != cudaSuccess ? e : find_kernel(kernel, library, name));
}

static cudaKernel_t kernel_of(const void *func, const char *call)
{
    for (cudaLibrary_t l = libraries; l != NULL; l = l->next)
        for (cudaKernel_t k = l->kernels; k != NULL; k = k->next)
            if (k == func && !l->unloaded)
                return k;
    emu_complain(cudaErrorInvalidDeviceFunction, "%s: no kernel of a loaded library", call);
    return NULL;
}

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    cudaError_t e = emu_enter(__func__);
    cudaKernel_t k = e == cudaSuccess ? kernel_of(func, __func__) : NULL;

    if (e == cudaSuccess && k == NULL)
        e = cudaErrorInvalidDeviceFunction;
    else if (e == cudaSuccess && attr == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || value > emu_most_smem())
            e = cudaErrorInvalidValue;
        else
            k->smem = value;
    }
    return emu_leave(e);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attr, const void *func)
{
    cudaError_t e = emu_enter(__func__);
    cudaKernel_t k = e == cudaSuccess ? kernel_of(func, __func__) : NULL;

    if (k != NULL)
        *attr = (struct cudaFuncAttributes){
            .maxThreadsPerBlock = MOST_THREADS,
            .numRegs = 32,
            .ptxVersion = emu_set.major * 10 + emu_set.minor,
            .binaryVersion = emu_set.major * 10 + emu_set.minor,
            .maxDynamicSharedSizeBytes = k->smem,
        };
    else if (e == cudaSuccess)
        e = cudaErrorInvalidDeviceFunction;
    return emu_leave(e);
}

/* ---- launches ---- */

static void run_launch(const void *args)
{
    const launch *l = args;
    _Alignas(128) unsigned char own[MOST_ARGS];  /* as aligned as a GPU's */
    cudaError_t code = cudaErrorIllegalAddress;

    if (emu_fails("launch", &code)) {
        emu_break(code);
        return;
    }
    emu_count.launches++;
    memcpy(own, (const unsigned char *)args + ARGS_AT, l->args_bytes);
    if (emu_launch(l->grid, l->block, l->smem, l->fn, own) != 0) {
        emu_break(cudaErrorLaunchFailure);
        emu_complain(cudaErrorLaunchFailure, "%s", emu_error());
    }
}

static cudaError_t check_shape(const struct CUkern_st *k, dim3 grid, dim3 block, size_t smem)
{
    bool some = grid.x > 0 && grid.y > 0 && grid.z > 0 && block.x > 0 && block.y > 0 && block.z > 0;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;

    if (!some || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535 || threads > MOST_THREADS ||
        block.z > 64)
        return emu_complain(cudaErrorInvalidConfiguration, "%s: grid %u %u %u of blocks %u %u %u",
                            k->name, grid.x, grid.y, grid.z, block.x, block.y, block.z);
    if (smem > (size_t)k->smem)
        return emu_complain(cudaErrorInvalidValue, "%s: %zu bytes of shared memory, %d are allowed",
                            k->name, smem, k->smem);
    return cudaSuccess;
}

static work *launch_work(const struct CUkern_st *k, launch l, const void *args)
{
    unsigned char *all = calloc(1, ARGS_AT + k->args_bytes);

    if (all == NULL)
        abort();
    memcpy(all, &l, sizeof l);
    memcpy(all + ARGS_AT, args, k->args_bytes);
    work *w = work_new(k->name, run_launch, all, ARGS_AT + k->args_bytes);
    w->pointers_at = ARGS_AT;
    free(all);
    return w;
}

cudaError_t cudaLaunchKernel(const void *func, dim3 grid, dim3 block, void **args, size_t smem,
                             cudaStream_t handle)
{
    cudaError_t e = emu_enter(__func__);
    cudaKernel_t k = e == cudaSuccess ? kernel_of(func, __func__) : NULL;
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (e != cudaSuccess || k == NULL || s == NULL)
        return emu_leave(e != cudaSuccess ? e : cudaErrorInvalidResourceHandle);
    e = check_shape(k, grid, block, smem);
    if (e != cudaSuccess)
        return emu_leave(e);
    launch l = { k->fn, { grid.x, grid.y, grid.z }, { block.x, block.y, block.z }, smem, k->args_bytes };
    return emu_leave(stream_submit(s, launch_work(k, l, args[0])));
}
