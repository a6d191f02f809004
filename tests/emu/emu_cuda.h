/*
** emu_cuda.h - the emulated CUDA runtime, as a test sees it.
**
** One device whose memory is separate allocations of the host, filled with NaN. Whatever is
** asynchronous is queued and runs when it must, in the worst order that the API allows: see
** emu_cuda_mode. Work sees host memory as it is when it runs, so a missing wait shows as wrong
** results. What would fail on a GPU, or silently lose its asynchrony, is reported to
** emu_cuda_on_error.
**
** Environment, read at the first call and by emu_cuda_reset:
**   CUDA_EMU_MODE      random (default), late, lazy, eager
**   CUDA_EMU_SEED      of the random order (1)
**   CUDA_EMU_DEVICES   1; 0: calls return cudaErrorNoDevice
**   CUDA_EMU_MEMORY    bytes of the device, suffixes K M G (1G)
**   CUDA_EMU_PINNED    bytes that can be pinned (no limit)
**   CUDA_EMU_PAGEABLE  1; 0: an asynchronous copy of pageable memory is an error
**   CUDA_EMU_CC        compute capability (8.0)
**   CUDA_EMU_SMS       multiprocessors (4)
**   CUDA_EMU_LT        version of cuBLASLt (130100)
**   CUDA_EMU_FAIL      failures, see emu_cuda_fail
*/
#ifndef EMU_CUDA_H
#define EMU_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
** late    all other streams run as far as they can before the one that is awaited
** lazy    nothing runs but what the awaited work needs
** random  streams have random ranks, which change; some work runs as soon as it is queued
** eager   work runs as soon as it is queued
*/
typedef enum { EMU_RANDOM, EMU_LATE, EMU_LAZY, EMU_EAGER } emu_cuda_mode;

typedef struct emu_cuda_counts {
    uint64_t h2d_bytes, d2h_bytes, d2d_bytes, h2h_bytes;
    uint64_t copies, pageable_copies;    /* executed; issued of memory that is not pinned */
    uint64_t launches, matmuls, graph_launches, host_functions;
    uint64_t calls;                      /* of the API, but not of its error functions */
    uint64_t device_allocations, host_allocations, registrations;
    size_t device_bytes, peak_device_bytes, pinned_bytes, peak_pinned_bytes;
    int queued;                          /* pieces of work that have not run */
    int blocks, streams, events;         /* not yet freed or destroyed; pinned blocks included */
} emu_cuda_counts;

/* Gets what a program did wrong. Prints and aborts unless it is set; if it returns, so does the
   call, with an error. It must not jump away: a lock is held. */
extern void (*emu_cuda_on_error)(const char *message);

/* Counts since the last reset. */
emu_cuda_counts emu_cuda_stats(void);

/* Forgets all objects, queued work and failures, frees the device, reads the environment anew. */
void emu_cuda_reset(void);

void emu_cuda_schedule(emu_cuda_mode mode, uint64_t seed);

/*
** Failures to come, counted from now on, as "name:n" or "name:n=code", comma separated; NULL: none.
** The n-th call of the function of that name ("any": of any) returns the code, by default
** cudaErrorMemoryAllocation or cudaErrorUnknown. "launch:n" and "copy:n": the n-th piece of that
** work fails when it runs, with cudaErrorIllegalAddress by default; every later call returns that.
*/
void emu_cuda_fail(const char *failures);
bool emu_cuda_failed(void);              /* has one of them occurred? */

/* Reports an error if queued work reads or writes any of these bytes. Pointers in the arguments of
   kernels count as touching the one byte they point to. */
void emu_cuda_check_host(const void *p, size_t bytes);

/* Prints what every stream has queued. */
void emu_cuda_print(void);

#endif
