/*
** store.c - the host's allocation of the cuda target: mapped, touched by all cores, pinned in
** slabs.
**
** Copies run beside compute only from pinned memory. One registration of hundreds of GiB fails on
** some drivers, and a machine may allow less than all: slabs of at most 64 GiB are pinned one after
** the other, smaller ones where a large one fails. What is left stays pageable and goes through
** the bounce buffers of queue.c.
*/
#include "inside.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../memory.h"

enum { PAGE = 4096, MOST_THREADS = 64 };

static const int64_t LARGEST_SLAB = 64LL << 30, SMALLEST_SLAB = 64LL << 10;

/* ---- first touch: by one core it would take as long as a prompt ---- */

typedef struct touch_job {
    unsigned char *p;
    int64_t bytes;
} touch_job;

static void *touch(void *arg)
{
    const touch_job *j = arg;
    for (int64_t i = 0; i < j->bytes; i += PAGE)
        j->p[i] = 0;
    return NULL;
}

static void touch_all(host_store *s)
{
    pthread_t thread[MOST_THREADS];
    touch_job job[MOST_THREADS];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int n = cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (int)cores;
    int64_t part = (s->bytes / n / PAGE + 1) * PAGE;
    bool runs[MOST_THREADS] = { false };

    for (int i = 0; i < n && i * part < s->bytes; i++) {
        int64_t left = s->bytes - i * part;
        job[i] = (touch_job){ s->base + i * part, left < part ? left : part };
        runs[i] = pthread_create(&thread[i], NULL, touch, &job[i]) == 0;
        if (!runs[i])
            touch(&job[i]);
    }
    for (int i = 0; i < n; i++)
        if (runs[i])
            pthread_join(thread[i], NULL);
}

/* ---- pinning ---- */

static bool pin(host_store *s, int64_t at, int64_t bytes)
{
    if (cudaHostRegister(s->base + at, (size_t)bytes, cudaHostRegisterDefault) == cudaSuccess)
        return true;
    (void)cudaGetLastError();        /* not a failure of the run: what is left stays pageable */
    return false;
}

static int64_t pinned_bytes(const host_store *s)
{
    return s->n_slabs == 0 ? 0 : s->slab_end[s->n_slabs - 1];
}

static void pin_slabs(host_store *s)
{
    int64_t slab = LARGEST_SLAB;

    while (pinned_bytes(s) < s->bytes && s->n_slabs < MOST_SLABS && slab >= SMALLEST_SLAB) {
        int64_t at = pinned_bytes(s), left = s->bytes - at;
        int64_t bytes = left < slab ? left : slab;
        if (pin(s, at, bytes))
            s->slab_end[s->n_slabs++] = at + bytes;
        else
            slab = bytes / 2 / PAGE * PAGE;
    }
}

/* ---- open and close ---- */

bool store_open(hi_device *d, int *code)
{
    host_store *s = &d->store;
    char why[ERROR_LEN];

    *code = 3;
    s->bytes = d->m->host_bytes;
    if (s->bytes == 0)
        return true;
    if (!memory_left(d->m->name, s->bytes, why, sizeof why))
        return cuda_fail(d, "%s", why);
    void *p = mmap(NULL, (size_t)s->bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return cuda_fail(d, "cannot map %lld bytes of host memory", (long long)s->bytes);
    s->base = p;
    madvise(p, (size_t)s->bytes, MADV_HUGEPAGE);
    touch_all(s);
    pin_slabs(s);
    if (pinned_bytes(s) < s->bytes)
        snprintf(d->note, sizeof d->note,
                 "%.2f of %.2f GiB of host memory could be pinned; the rest is copied twice",
                 (double)pinned_bytes(s) / (1 << 30), (double)s->bytes / (1 << 30));
    return true;
}

void store_close(hi_device *d)
{
    host_store *s = &d->store;
    int64_t at = 0;

    for (int i = 0; i < s->n_slabs; at = s->slab_end[i++])
        (void)cudaHostUnregister(s->base + at);
    if (s->base != NULL)
        munmap(s->base, (size_t)s->bytes);
}

int64_t store_run(const host_store *s, int64_t at, bool *pinned)
{
    for (int i = 0; i < s->n_slabs; i++)
        if (at < s->slab_end[i]) {
            *pinned = true;
            return s->slab_end[i];
        }
    *pinned = false;
    return s->bytes;
}

bool store_has(const host_store *s, const void *p)
{
    const unsigned char *c = p;
    return s->base != NULL && c >= s->base && c < s->base + s->bytes;
}
