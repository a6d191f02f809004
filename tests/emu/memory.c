/*
** memory.c - memory of the emulated device, and pinned memory of the host.
**
** Every allocation is one of the host's, of exactly its size, so that an address sanitizer sees
** what leaves it. Blocks are kept in ascending order.
*/
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, DEVICE_ALIGN = 512 };

typedef enum { DEVICE, PINNED, REGISTERED } block_kind;

typedef struct block {
    unsigned char *at;
    size_t bytes;
    block_kind kind;
} block;

static block *blocks;
static int n_blocks, room;

/* ---- the table ---- */

/* The first block that ends behind p. */
static int first_behind(const void *p)
{
    int lo = 0, hi = n_blocks;

    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if ((uintptr_t)blocks[mid].at + blocks[mid].bytes > (uintptr_t)p)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* The block that begins at p, or -1. */
static int find(const void *p)
{
    int i = first_behind(p);
    return i < n_blocks && blocks[i].at == p ? i : -1;
}

static bool overlaps_any(uintptr_t from, uintptr_t to)
{
    int i = first_behind((const void *)from);
    return i < n_blocks && (uintptr_t)blocks[i].at < to;
}

static void note_bytes(block_kind kind, size_t bytes, bool added)
{
    size_t *now = kind == DEVICE ? &emu_count.device_bytes : &emu_count.pinned_bytes;
    size_t *peak = kind == DEVICE ? &emu_count.peak_device_bytes : &emu_count.peak_pinned_bytes;

    *now = added ? *now + bytes : *now - bytes;
    if (*now > *peak)
        *peak = *now;
    emu_count.blocks += added ? 1 : -1;
}

static void insert(void *p, size_t bytes, block_kind kind)
{
    int i = first_behind(p);

    if (n_blocks == room) {
        room = 2 * room + 16;
        blocks = realloc(blocks, (size_t)room * sizeof *blocks);
        if (blocks == NULL)
            abort();
    }
    memmove(blocks + i + 1, blocks + i, (size_t)(n_blocks - i) * sizeof *blocks);
    blocks[i] = (block){ p, bytes, kind };
    n_blocks++;
    note_bytes(kind, bytes, true);
}

static void delete(int i)
{
    if (blocks[i].kind != REGISTERED)
        free(blocks[i].at);
    note_bytes(blocks[i].kind, blocks[i].bytes, false);
    n_blocks--;
    memmove(blocks + i, blocks + i + 1, (size_t)(n_blocks - i) * sizeof *blocks);
}

void memory_reset(void)
{
    while (n_blocks > 0)
        delete(n_blocks - 1);
    free(blocks);
    blocks = NULL;
    room = 0;
}

/* ---- areas ---- */

static size_t extent(const area *a)
{
    return a->height == 0 ? 0 : (a->height - 1) * a->pitch + a->width;
}

area_place memory_place(const area *a)
{
    uintptr_t from = (uintptr_t)a->at, to = from + extent(a);
    int i = first_behind(a->at);

    if (i == n_blocks || (uintptr_t)blocks[i].at >= to)
        return IN_PAGEABLE;
    const block *b = &blocks[i];
    if (from < (uintptr_t)b->at || to > (uintptr_t)b->at + b->bytes)
        return IN_PIECES;
    return b->kind == DEVICE ? IN_DEVICE : IN_PINNED;
}

/* Does any row of 'a' meet the bytes [from, to)? The first one that ends behind 'from' tells. */
static bool row_meets(const area *a, uintptr_t from, uintptr_t to)
{
    uintptr_t at = (uintptr_t)a->at;
    size_t row = from < at + a->width ? 0 : (from - at - a->width) / a->pitch + 1;

    return row < a->height && at + row * a->pitch < to;
}

bool area_overlaps(const area *a, const area *b)
{
    uintptr_t at = (uintptr_t)b->at;

    if (!row_meets(&(area){ a->at, 1, extent(a), 1 }, at, at + extent(b)))
        return false;
    for (size_t i = 0; i < b->height; i++)
        if (row_meets(a, at + i * b->pitch, at + i * b->pitch + b->width))
            return true;
    return false;
}

/* ---- allocation ---- */

static void *filled(size_t align, size_t bytes)
{
    void *p = NULL;

    if (posix_memalign(&p, align, bytes) != 0)
        return NULL;
    memset(p, 0xff, bytes);          /* NaN, whether bf16 or float */
    return p;
}

static cudaError_t allocate(void **to, size_t bytes, block_kind kind)
{
    size_t limit = kind == DEVICE ? emu_set.memory : emu_set.pinned;
    size_t used = kind == DEVICE ? emu_count.device_bytes : emu_count.pinned_bytes;

    if (streams_recording(false))
        return emu_complain(cudaErrorStreamCaptureUnsupported, "an allocation while recording");
    *to = NULL;
    if (bytes == 0)
        return cudaSuccess;
    if (bytes > limit - used)
        return cudaErrorMemoryAllocation;
    *to = filled(kind == DEVICE ? DEVICE_ALIGN : PAGE, bytes);
    if (*to == NULL)
        return cudaErrorMemoryAllocation;
    insert(*to, bytes, kind);
    return cudaSuccess;
}

/* A driver waits for the device before it frees; to rely on that is an error, except after a
   failure on demand, which may have been that of the proper wait. */
static cudaError_t check_unused(const block *b, const char *call)
{
    area a = area_of(b->at, b->bytes);
    const char *user = emu_broken() ? NULL : queued_touching(&a);

    if (streams_recording(false))
        return emu_complain(cudaErrorStreamCaptureUnsupported, "%s while recording", call);
    if (user != NULL && !emu_failed())
        return emu_complain(cudaErrorInvalidValue, "%s(%p): a queued %s still uses it", call,
                            (void *)b->at, user);
    if (user != NULL)
        streams_finish();
    return cudaSuccess;
}

/* Also where the call fails for another reason, 'before': what is left over then is no leak. */
static cudaError_t release(cudaError_t before, void *p, block_kind kind, const char *call)
{
    int i = find(p);

    if (i < 0 || blocks[i].kind != kind)
        return emu_complain(cudaErrorInvalidValue, "%s(%p): not what begins there", call, p);
    cudaError_t e = check_unused(&blocks[i], call);
    if (e != cudaSuccess)
        return e;
    delete(i);
    return before;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    cudaError_t e = emu_enter(__func__);
    if (e == cudaSuccess)
        e = allocate(p, bytes, DEVICE);
    emu_count.device_allocations += e == cudaSuccess;
    return emu_leave(e);
}

cudaError_t cudaFree(void *p)
{
    cudaError_t e = emu_enter(__func__);
    return emu_leave(p == NULL ? e : release(e, p, DEVICE, __func__));
}

static cudaError_t host_alloc(cudaError_t e, void **p, size_t bytes)
{
    if (e == cudaSuccess)
        e = allocate(p, bytes, PINNED);
    emu_count.host_allocations += e == cudaSuccess;
    return emu_leave(e);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
    (void)flags;
    return host_alloc(emu_enter(__func__), p, bytes);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return host_alloc(emu_enter(__func__), p, bytes);
}

cudaError_t cudaFreeHost(void *p)
{
    cudaError_t e = emu_enter(__func__);
    return emu_leave(p == NULL ? e : release(e, p, PINNED, __func__));
}

/* ---- registration ---- */

/* Pages are pinned as wholes: two regions cannot share one. */
static cudaError_t pin(void *p, size_t bytes)
{
    uintptr_t from = (uintptr_t)p / PAGE * PAGE, to = (uintptr_t)p + bytes;

    if (p == NULL || bytes == 0)
        return cudaErrorInvalidValue;
    if (overlaps_any(from, (to + PAGE - 1) / PAGE * PAGE))
        return cudaErrorHostMemoryAlreadyRegistered;
    if (bytes > emu_set.pinned - emu_count.pinned_bytes)
        return cudaErrorMemoryAllocation;
    insert(p, bytes, REGISTERED);
    emu_count.registrations++;
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags)
{
    cudaError_t e = emu_enter(__func__);
    (void)flags;
    return emu_leave(e != cudaSuccess ? e : pin(p, bytes));
}

cudaError_t cudaHostUnregister(void *p)
{
    cudaError_t e = emu_enter(__func__);
    if (find(p) < 0)
        return emu_leave(cudaErrorHostMemoryNotRegistered);
    return emu_leave(release(e, p, REGISTERED, __func__));
}

/* ---- questions ---- */

cudaError_t cudaHostGetDevicePointer(void **d, void *p, unsigned flags)
{
    area a = area_of(p, 1);
    cudaError_t e = emu_enter(__func__);

    (void)flags;
    if (e == cudaSuccess && memory_place(&a) != IN_PINNED)
        e = cudaErrorInvalidValue;
    if (e == cudaSuccess)
        *d = p;
    return emu_leave(e);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
    static const enum cudaMemoryType types[] = {
        [IN_PAGEABLE] = cudaMemoryTypeUnregistered,
        [IN_PINNED] = cudaMemoryTypeHost,
        [IN_DEVICE] = cudaMemoryTypeDevice,
    };
    cudaError_t e = emu_enter(__func__);

    if (e == cudaSuccess) {
        area a = area_of(p, 1);
        area_place at = memory_place(&a);
        *attributes = (struct cudaPointerAttributes){ .type = types[at] };
        if (at != IN_PAGEABLE)
            attributes->devicePointer = (void *)(uintptr_t)p;
        if (at != IN_DEVICE)
            attributes->hostPointer = (void *)(uintptr_t)p;
    }
    return emu_leave(e);
}
