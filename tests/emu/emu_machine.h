/*
** emu_machine.h - what emu.c and emu_warp.c share: the machine that an OS thread runs a block on.
*/
#ifndef EMU_MACHINE_H
#define EMU_MACHINE_H

#include "emu.h"
#include "emu_tell.h"

#include <stdbool.h>

#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

enum {
    MOST_THREADS = 1024,             /* of a block */
    MOST_WARPS = MOST_THREADS / 32,
    MOST_COPIES = 512                /* cp.async in flight, per thread */
};

#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct emu_copy {
    void *dst;
    const void *src;
    unsigned bytes, valid, group;    /* zeros from valid to bytes */
};

typedef struct warp {
    unsigned live, runnable, waiting, at_barrier; /* masks of lanes */
    unsigned asleep;                 /* until emu_wake */
    unsigned rng;
} warp;

/* A launch, shared by the OS threads that work on it. */
typedef struct job {
    emu_dim3 grid, block;
    size_t smem_bytes;
    void (*fn)(const void *);
    const void *args;
    unsigned long long next, total;  /* blocks handed out, of */
    int failed;
} job;

/* What one OS thread needs to run a block. */
typedef struct machine {
    emu_thread slot[MOST_THREADS];
    emu_thread *t;                   /* the current block's window of them */
    emu_thread host;                 /* the OS thread's own context */
    warp w[MOST_WARPS];
    unsigned n_threads, n_warps, base, arrived, done;
    job *job;
    char *stacks;
    emu_copy *copies;
    const char *barrier_file;
    int barrier_line;
    bool failed;
    emu_stats stat;
#ifdef EMU_UCONTEXT
    ucontext_t context[MOST_THREADS + 1];
#endif
} machine;

/* This OS thread's, while it works on a launch. */
extern __thread machine *emu_machine;
#define M emu_machine

extern const char *const emu_op_name[];

static inline warp *warp_of(const emu_thread *t)
{
    return &M->w[t->index / 32];
}

/* Keeps the launch's first message. */
void emu_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Leaves the fiber for good: the block is abandoned. */
_Noreturn void emu_abandon(void);
/* Reports, and abandons the block. */
#define FAIL(...) (emu_report(__VA_ARGS__), emu_abandon())

/* ---- switching: inlined, the machine does little else ---- */

#ifndef EMU_UCONTEXT
/* Saves the callee-saved registers on the stack, the stack in *save, and goes on at 'to'. */
void emu_switch(void **save, void *to);
#else
static inline ucontext_t *context_of(const emu_thread *t)
{
    return &M->context[t == &M->host ? MOST_THREADS : t - M->slot];
}
#endif

static inline void switch_to(emu_thread *from, emu_thread *to)
{
    M->stat.switches++;
    emu_self = to;
#ifdef EMU_ASAN
    __sanitizer_start_switch_fiber(from->done ? NULL : &from->fake_stack, to->stack,
                                   to->stack_bytes);
#endif
#ifdef EMU_TSAN
    __tsan_switch_to_fiber(to->fiber, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef EMU_UCONTEXT
    swapcontext(context_of(from), context_of(to));
#else
    emu_switch(&from->sp, to->sp);
#endif
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

/* A runnable lane after 'lane', or a random one. */
static inline unsigned pick_lane(warp *w, unsigned lane)
{
    if (emu_seed) {
        w->rng = w->rng * 1664525u + 1013904223u;
        lane = w->rng >> 27;
    }
    unsigned above = w->runnable & ~((2u << lane) - 1u);
    return (unsigned)__builtin_ctz(above ? above : w->runnable);
}

/* t cannot go on: another lane of its warp does, or the host looks for another warp. */
static inline void give_way(emu_thread *t)
{
    warp *w = warp_of(t);
    switch_to(t, w->runnable ? t - t->lane + pick_lane(w, t->lane) : &M->host);
}

#endif
