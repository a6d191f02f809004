/*
** device.c - the cuda target: one GPU, its arena, three streams.
**
** Opens and closes what the other files of this folder use, and keeps the first failure.
*/
#include "inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char hi_target_help[] = "";

const bool hi_row_classes = true;

/* ---- failures ---- */

bool cuda_failed(const hi_device *d)
{
    return d->error[0] != '\0';
}

bool cuda_fail(hi_device *d, const char *fmt, ...)
{
    va_list ap;

    if (!cuda_failed(d)) {
        va_start(ap, fmt);
        vsnprintf(d->error, sizeof d->error, fmt, ap);
        va_end(ap);
    }
    return false;
}

bool cuda_check(hi_device *d, cudaError_t e, const char *action)
{
    if (e == cudaSuccess)
        return !cuda_failed(d);
    return cuda_fail(d, "CUDA, %s: %s (%s)", action, cudaGetErrorString(e), cudaGetErrorName(e));
}

const char *dev_error(hi_device *d)
{
    return cuda_failed(d) ? d->error : NULL;
}

/* ---- open and close ---- */

/* Takes the first device that there is; CUDA_VISIBLE_DEVICES chooses. */
static bool open_gpu(hi_device *d)
{
    struct cudaDeviceProp p;
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);

    if (e == cudaErrorInsufficientDriver)
        return cuda_fail(d, "no NVIDIA driver, or one older than CUDA %d.%d needs: install a driver "
                            "of series 580 or newer",
                         CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (e == cudaErrorNoDevice || (e == cudaSuccess && n == 0))
        return cuda_fail(d, "no NVIDIA GPU is visible here; without one, generate the program with "
                            "--target cpu");
    if (!cuda_check(d, e, "looking for a GPU") ||
        !CUDA(d, "asking for the GPU's properties", cudaGetDeviceProperties(&p, 0)) ||
        !CUDA(d, "opening the GPU", cudaSetDevice(0)))
        return false;
    if (p.major < 8)
        return cuda_fail(d, "%s has compute capability %d.%d; 8.0 or newer is needed", p.name,
                         p.major, p.minor);
    d->major = p.major;
    d->minor = p.minor;
    snprintf(d->isa, sizeof d->isa, "sm_%d%d %.80s", p.major, p.minor, p.name);
    int host_pointers = 0;
    if (!CUDA(d, "asking for the GPU's properties",
              cudaDeviceGetAttribute(&host_pointers,
                                     cudaDevAttrCanUseHostPointerForRegisteredMem, 0)))
        return false;
    d->reads_host = host_pointers != 0;
    d->memory_pitch = p.memPitch > INT32_MAX ? INT32_MAX : (int)p.memPitch;
    return true;
}

static bool open_streams(hi_device *d)
{
    if (!CUDA(d, "making the compute stream",
              cudaStreamCreateWithFlags(&d->compute, cudaStreamNonBlocking)) ||
        !CUDA(d, "making an event", cudaEventCreateWithFlags(&d->mark, cudaEventDisableTiming)))
        return false;
    for (int i = 0; i < 2; i++)
        if (!CUDA(d, "making an event",
                  cudaEventCreateWithFlags(&d->paced[i], cudaEventDisableTiming)))
            return false;
    for (int i = 0; i < EVENTS; i++)
        if (!CUDA(d, "making an event", cudaEventCreate(&d->wait_begin[i])) ||
            !CUDA(d, "making an event", cudaEventCreate(&d->wait_end[i])))
            return false;
    return queues_open(d);
}

/* The one allocation on the device. */
static bool open_arena(hi_device *d, int *code)
{
    size_t left = 0, all = 0, need = (size_t)d->m->arena_bytes;
    void *p = NULL;

    if (!CUDA(d, "asking for free memory", cudaMemGetInfo(&left, &all)))
        return false;
    if (left < need || cudaMalloc(&p, need) != cudaSuccess) {
        *code = 3;
        return cuda_fail(d, "%s needs %zu MiB of device memory in one piece; %zu of %zu MiB are free: "
                            "end what else uses the GPU, or generate it with a smaller --vram",
                         d->m->name, need >> 20, left >> 20, all >> 20);
    }
    d->arena = p;
    return CUDA(d, "clearing the arena", cudaMemsetAsync(d->arena, 0, need, d->compute)) &&
           CUDA(d, "clearing the arena", cudaStreamSynchronize(d->compute));
}

/* What the host writes or reads beside the store. */
static bool open_desk(hi_device *d)
{
    int64_t rows = d->m->logits_all ? d->m->rows[HI_PREFILL] : 1;
    void *ids = NULL, *scores = NULL, *pos = NULL;

    d->score_floats = rows * d->m->vocab;
    CUDA(d, "pinning memory for token ids",
         cudaHostAlloc(&ids, (size_t)d->m->ctx * sizeof *d->ids, cudaHostAllocDefault));
    CUDA(d, "pinning memory for scores",
         cudaHostAlloc(&scores, (size_t)d->score_floats * sizeof *d->scores, cudaHostAllocDefault));
    CUDA(d, "pinning memory for a position",
         cudaHostAlloc(&pos, sizeof *d->pos, cudaHostAllocDefault));
    d->ids = ids;
    d->pos = pos;
    d->scores = scores;
    return !cuda_failed(d);
}

static bool open_parts(hi_device *d, int *code)
{
    *code = 1;
    if (!open_gpu(d) || !open_streams(d))
        return false;
    if (!open_arena(d, code))
        return false;
    if (!open_desk(d))               /* before the store, which may take all that can be pinned */
        return false;
    if (!store_open(d, code))
        return false;
    *code = 1;
    if (!kernels_open(d, d->major, d->minor))
        return false;
    char why[ERROR_LEN] = "";
    const hi_buffer *work = &d->m->buf[HI_PREFILL][HI_B_WORK];
    int64_t bytes = work->bytes > WORD_BYTES ? work->bytes - WORD_BYTES : 0;
    d->plans = lt_plans_open(d->m, (lt_place){ d->compute, d->arena + work->offset, bytes }, why,
                             sizeof why);
    return d->plans != NULL || cuda_fail(d, "%s", why);
}

/* What is an option of the other target is not ignored in silence. */
static const char *foreign_option(const hi_options *o)
{
    if (o->threads > 0)
        return "-t";
    if (o->link_gbps > 0)
        return "--link-gbps";
    return o->isa != NULL ? "--isa" : NULL;
}

hi_device *dev_open(const hi_model *m, const hi_options *o, int *code, char *err, size_t n)
{
    hi_device *d = calloc(1, sizeof *d);
    const char *foreign = foreign_option(o);

    if (d == NULL || foreign != NULL) {
        *code = foreign != NULL ? 2 : 1;
        if (foreign != NULL)
            snprintf(err, n, "%s: only programs of the cpu target have it", foreign);
        else
            snprintf(err, n, "out of memory for a device");
        free(d);
        return NULL;
    }
    d->m = m;
    if (!open_parts(d, code)) {
        snprintf(err, n, "%s", d->error);
        dev_close(d);
        return NULL;
    }
    return d;
}

void dev_close(hi_device *d)
{
    if (d == NULL)
        return;
    if (d->compute != NULL)
        (void)cudaStreamSynchronize(d->compute);
    queues_close(d);
    graph_close(d);
    lt_plans_close(d->plans);
    kernels_close(d);
    store_close(d);
    if (d->ids != NULL)
        (void)cudaFreeHost(d->ids);
    if (d->pos != NULL)
        (void)cudaFreeHost(d->pos);
    if (d->scores != NULL)
        (void)cudaFreeHost(d->scores);
    if (d->arena != NULL)
        (void)cudaFree(d->arena);
    for (int i = 0; i < EVENTS; i++) {
        if (d->wait_begin[i] != NULL)
            (void)cudaEventDestroy(d->wait_begin[i]);
        if (d->wait_end[i] != NULL)
            (void)cudaEventDestroy(d->wait_end[i]);
    }
    if (d->mark != NULL)
        (void)cudaEventDestroy(d->mark);
    for (int i = 0; i < 2; i++)
        if (d->paced[i] != NULL)
            (void)cudaEventDestroy(d->paced[i]);
    if (d->compute != NULL)
        (void)cudaStreamDestroy(d->compute);
    free(d);
}

/* ---- questions ---- */

unsigned char *dev_arena(hi_device *d)
{
    return d->arena;
}

unsigned char *dev_host(hi_device *d)
{
    return d->store.base;
}

void dev_layout(hi_device *d, const hi_buffer *buffers)
{
    (void)d, (void)buffers;
}

const char *dev_isa(const hi_device *d)
{
    return d->isa;
}

int dev_threads(const hi_device *d)
{
    (void)d;
    return 0;
}

const char *dev_note(const hi_device *d)
{
    return d->note;
}

int64_t dev_touched_bytes(const hi_device *d)
{
    return d->m->arena_bytes;        /* one allocation: the driver counts all of it */
}

/* ---- the run's beginning and end ---- */

void dev_begin(hi_device *d, const int32_t *ids, int64_t n)
{
    memcpy(d->ids, ids, (size_t)n * sizeof *d->ids);
}

void dev_finish(hi_device *d)
{
    CUDA(d, "computing", cudaStreamSynchronize(d->compute));
}

void dev_pace(hi_device *d)
{
    uint64_t n = d->passes++;

    CUDA(d, "marking a pass", cudaEventRecord(d->paced[n % 2], d->compute));
    CUDA(d, "computing", cudaEventSynchronize(d->paced[(n + 1) % 2]));
}

const float *dev_scores(hi_device *d, const float *p, int64_t n)
{
    CUDA(d, "reading scores",
         cudaMemcpyAsync(d->scores, p, (size_t)n * sizeof *p, cudaMemcpyDeviceToHost, d->compute));
    dev_finish(d);
    if (cuda_failed(d))              /* all ones: not a number */
        memset(d->scores, 0xff, (size_t)n * sizeof *d->scores);
    return d->scores;
}
