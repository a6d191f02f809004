/*
** emu.c - fibers, barriers, warp collectives and asynchronous copies of the emulated GPU.
**
** Lanes of a warp run one after the other to their next collective; the last to arrive performs
** it for all and goes on. Blocks run one at a time per OS thread. This file itself is compiled
** without a sanitizer and tells the one named by EMU_ASAN, EMU_TSAN or EMU_MSAN what happens:
** which stack is in use, what orders threads, what is written on a thread's behalf.
**
** TSan's runtime must accept a fiber per CUDA thread: gcc 12's takes 8128. Version 3 of that
** runtime (clang 14, gcc 13) has 255 and silently forgets races beyond them.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "emu.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_TSAN
#include <sanitizer/tsan_interface.h>
void __tsan_read_range(void *p, unsigned long bytes);
void __tsan_write_range(void *p, unsigned long bytes);
#endif
#ifdef EMU_MSAN
#include <sanitizer/msan_interface.h>
#endif

enum {
    MOST_THREADS = 1024,             /* of a block */
    MOST_WARPS = MOST_THREADS / 32,
    MOST_COPIES = 512,               /* cp.async in flight, per thread */
    MOST_WORKERS = 64,
    MOST_SMEM = 227 << 10,           /* sm_90 */
    MOST_GRID_YZ = 65535,
#ifdef EMU_ASAN
    STACK_BYTES = 512 << 10,
#else
    STACK_BYTES = 128 << 10,
#endif
    GUARD_BYTES = 4096
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

__thread emu_thread *emu_self;
__thread emu_dim3 emu_block, emu_block_dim, emu_grid_dim;
__thread unsigned char *emu_smem;
__thread const char *(*emu_block_end)(void);
emu_stats emu_stat;
int emu_threads;
unsigned emu_seed;

static __thread machine *M;
static char message[1024];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of message and pool */
static machine *pool[MOST_WORKERS];
static int n_pool;

static const char *op_name[] = { "nothing",  "__syncwarp",     "shfl", "any",
                                 "ldmatrix", "ldmatrix.trans", "mma",  "__syncthreads",
                                 "collective", "wait" };

/* ---- what the sanitizers are told; nothing in a plain build ---- */

static char launch_tag, end_tag;     /* host before kernel before host; blocks are not ordered */

#ifdef EMU_TSAN
#define ORDER_RELEASE(tag) __tsan_release(tag)
#define ORDER_ACQUIRE(tag) __tsan_acquire(tag)
#define IS_READ(p, n) __tsan_read_range((void *)(p), n)
#define IS_WRITTEN(p, n) __tsan_write_range(p, n)
#else
#define ORDER_RELEASE(tag) ((void)(tag))
#define ORDER_ACQUIRE(tag) ((void)(tag))
#define IS_READ(p, n) ((void)(p), (void)(n))
#define IS_WRITTEN(p, n) ((void)(p), (void)(n))
#endif

#ifdef EMU_MSAN
#define IS_DEFINED(p, n) __msan_unpoison(p, n)
#define IS_UNDEFINED(p, n) __msan_poison(p, n)
#define MUST_BE_DEFINED(p, n) __msan_check_mem_is_initialized(p, n)
#else
#define IS_DEFINED(p, n) ((void)(p), (void)(n))
#define IS_UNDEFINED(p, n) ((void)(p), (void)(n))
#define MUST_BE_DEFINED(p, n) ((void)(p), (void)(n))
#endif

#ifdef EMU_ASAN
#define IS_ADDRESSABLE(p, n) __asan_unpoison_memory_region(p, n)
#define IS_OUT_OF_BOUNDS(p, n) __asan_poison_memory_region(p, n)
#else
#define IS_ADDRESSABLE(p, n) ((void)(p), (void)(n))
#define IS_OUT_OF_BOUNDS(p, n) ((void)(p), (void)(n))
#endif

/* ---- switching ---- */

#ifndef EMU_UCONTEXT
/* Saves the callee-saved registers on the stack, the stack in *save, and goes on at 'to'. */
void emu_switch(void **save, void *to);
__asm__(".text\n.globl emu_switch\n.type emu_switch,@function\nemu_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
        ".size emu_switch,.-emu_switch\n");
#else
static ucontext_t *context_of(const emu_thread *t)
{
    return &M->context[t == &M->host ? MOST_THREADS : t - M->slot];
}
#endif

static void switch_to(emu_thread *from, emu_thread *to)
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

/* Keeps the launch's first message. */
static void report(const char *format, ...)
{
    char text[sizeof message - 100];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    M->failed = true;
    pthread_mutex_lock(&lock);
    if (!M->job->failed) {
        M->job->failed = 1;
        if (emu_self == &M->host)
            snprintf(message, sizeof message, "%s", text);
        else
            snprintf(message, sizeof message, "%s [block %u,%u,%u thread %u]", text, emu_block.x,
                     emu_block.y, emu_block.z, emu_self->index);
    }
    pthread_mutex_unlock(&lock);
}

/* Reports, and leaves the fiber for good: the block is abandoned. */
#define FAIL(...) (report(__VA_ARGS__), abandon())

static _Noreturn void abandon(void)
{
    emu_self->done = 1;
    switch_to(emu_self, &M->host);
    abort();
}

/* A runnable lane after 'lane', or a random one. */
static unsigned pick_lane(warp *w, unsigned lane)
{
    if (emu_seed) {
        w->rng = w->rng * 1664525u + 1013904223u;
        lane = w->rng >> 27;
    }
    unsigned above = w->runnable & ~((2u << lane) - 1u);
    return (unsigned)__builtin_ctz(above ? above : w->runnable);
}

static warp *warp_of(const emu_thread *t)
{
    return &M->w[t->index / 32];
}

/* t cannot go on: another lane of its warp does, or the host looks for another warp. */
static void give_way(emu_thread *t)
{
    warp *w = warp_of(t);
    switch_to(t, w->runnable ? t - t->lane + pick_lane(w, t->lane) : &M->host);
}

static void release_barrier(void)
{
    for (unsigned i = 0; i < M->n_warps; i++) {
        M->w[i].runnable |= M->w[i].at_barrier;
        M->w[i].at_barrier = 0;
    }
    M->arrived = 0;
    M->barrier_file = NULL;
    M->stat.barriers++;
}

/* ---- life of a CUDA thread ---- */

static void fiber_main(void)
{
#ifdef EMU_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    ORDER_ACQUIRE(&launch_tag);
    M->job->fn(M->job->args);
    ORDER_RELEASE(&end_tag);

    emu_thread *t = emu_self;
    warp *w = warp_of(t);
    if (t->copy_head != t->copy_tail)
        FAIL("thread ends with cp.async in flight");
    t->done = 1;
    w->runnable &= ~(1u << t->lane);
    w->live &= ~(1u << t->lane);
    M->done++;
    if (M->arrived && M->arrived + M->done == M->n_threads)
        release_barrier();           /* threads that ended do not hold up a barrier */
    give_way(t);
    abort();
}

static void name_fiber(emu_thread *t)
{
#ifdef EMU_TSAN
    char name[64];
    snprintf(name, sizeof name, "block %u,%u,%u thread %u", emu_block.x, emu_block.y, emu_block.z,
             t->index);
    if (!t->fiber)
        t->fiber = __tsan_create_fiber(0);
    __tsan_set_fiber_name(t->fiber, name);
#else
    (void)t;
#endif
}

static void fiber_init(emu_thread *t)
{
    char *low = M->stacks + (size_t)(t - M->slot) * (STACK_BYTES + GUARD_BYTES) + GUARD_BYTES;
    /* tops at different offsets, or all lanes share the same few cache sets */
    size_t top = STACK_BYTES - t->lane * 128 - t->index / 32 % 8 * 64;
    t->stack = low;
    t->stack_bytes = STACK_BYTES;
    t->fake_stack = NULL;
    name_fiber(t);
#ifdef EMU_UCONTEXT
    ucontext_t *c = context_of(t);
    getcontext(c);
    c->uc_stack.ss_sp = low;
    c->uc_stack.ss_size = top;
    c->uc_link = NULL;
    makecontext(c, fiber_main, 0);
#else
    void **sp = (void **)(low + top);
    *--sp = NULL;                    /* at entry the stack is 8 past a multiple of 16 */
    *--sp = (void *)fiber_main;
    for (int i = 0; i < 6; i++)
        *--sp = NULL;
    t->sp = sp;
#endif
}

/* ---- collectives of a warp; t[0..31] are its lanes ---- */

static float wide(uint16_t x)
{
    union {
        uint32_t u;
        float f;
    } v = { (uint32_t)x << 16 };
    return v.f;
}

/* k outermost, so that the inner loops become vectors over the 16 rows of a and d. */
static void do_mma(emu_thread *t)
{
    float a[16][16] __attribute__((aligned(64)));
    float b[16][8] __attribute__((aligned(64)));
    float d[8][16] __attribute__((aligned(64)));
    for (unsigned l = 0; l < 32; l++) {
        const uint32_t *fa = t[l].in[0], *fb = t[l].in[1];
        const float *fd = t[l].out;
        unsigned row = l / 4, col = l % 4 * 2;
        for (unsigned i = 0; i < 4; i++) {
            unsigned r = row + i % 2 * 8, c = col + i / 2 * 8;
            a[c][r] = wide((uint16_t)fa[i]);
            a[c + 1][r] = wide((uint16_t)(fa[i] >> 16));
            d[col + i % 2][row + i / 2 * 8] = fd[i];
        }
        for (unsigned i = 0; i < 2; i++) {
            b[col + i * 8][row] = wide((uint16_t)fb[i]);
            b[col + i * 8 + 1][row] = wide((uint16_t)(fb[i] >> 16));
        }
    }
    for (int k = 0; k < 16; k++) {
        for (int n = 0; n < 8; n++) {
            float x = b[k][n];
            for (int m = 0; m < 16; m++)
                d[n][m] += a[k][m] * x;
        }
    }
    for (unsigned l = 0; l < 32; l++) {
        float *fd = t[l].out;
        for (unsigned i = 0; i < 4; i++)
            fd[i] = d[l % 4 * 2 + i % 2][l / 4 + i / 2 * 8];
        IS_DEFINED(fd, 16);
    }
    M->stat.mma++;
}

/* Passes that the eight 16-byte rows of one matrix need beyond the first. */
static unsigned conflicts_of(const emu_thread *t)
{
    unsigned count[8] = { 0 }, worst = 0;
    for (int r = 0; r < 8; r++) {
        unsigned n = ++count[(uintptr_t)t[r].in[0] / 16 % 8];
        worst = n > worst ? n : worst;
    }
    return worst - 1;
}

static void do_ldmatrix(emu_thread *t, bool transposed)
{
    for (unsigned m = 0; m < 4; m++) {
        const emu_thread *rows = t + m * 8;
        M->stat.conflicts += conflicts_of(rows);
        for (unsigned l = 0; l < 32; l++) {
            uint32_t *out = t[l].out;
            uint16_t pair[2];
            for (unsigned i = 0; i < 2; i++) {
                unsigned row = transposed ? l % 4 * 2 + i : l / 4;
                unsigned col = transposed ? l / 4 : l % 4 * 2 + i;
                pair[i] = ((const uint16_t *)rows[row].in[0])[col];
            }
            out[m] = pair[0] | (uint32_t)pair[1] << 16;
            IS_DEFINED(&out[m], 4);
        }
    }
    M->stat.ldmatrix++;
}

static void do_shfl(emu_thread *t, unsigned mask)
{
    unsigned v[32];
    for (unsigned l = 0; l < 32; l++)
        v[l] = t[l].val;
    for (unsigned l = 0; l < 32; l++) {
        if (!(mask >> l & 1))
            continue;
        if (!(mask >> (t[l].n & 31) & 1))
            FAIL("shfl at %s:%d: lane %u reads lane %d, which takes no part", t[l].file, t[l].line,
                 l, t[l].n & 31);
        t[l].val = v[t[l].n & 31];
    }
    M->stat.shfl++;
}

static void do_any(emu_thread *t, unsigned mask)
{
    unsigned any = 0;
    for (unsigned l = 0; l < 32; l++)
        any |= mask >> l & 1 ? t[l].val : 0;
    for (unsigned l = 0; l < 32; l++)
        t[l].val = any;
}

static void run_op(emu_thread *t, emu_op op, unsigned mask)
{
    if (op == EMU_MMA_BF16)
        do_mma(t);
    else if (op == EMU_LDMATRIX || op == EMU_LDMATRIX_T)
        do_ldmatrix(t, op == EMU_LDMATRIX_T);
    else if (op == EMU_SHFL)
        do_shfl(t, mask);
    else if (op == EMU_CALL)
        t->call(t);
    else if (op == EMU_ANY)
        do_any(t, mask);
}

/* Everyone the mask names must be alive, and whoever waits already, at this very line. */
static void check_warp(const emu_thread *t, emu_op op, unsigned mask, const char *file, int line)
{
    const warp *w = warp_of(t);
    const emu_thread *t0 = t - t->lane;
    if (UNLIKELY(!(mask >> t->lane & 1)))
        FAIL("%s at %s:%d: lane %u is not in its own mask %08x", op_name[op], file, line, t->lane,
             mask);
    if (UNLIKELY(mask & ~w->live))
        FAIL("%s at %s:%d: mask %08x names lanes that have ended (live: %08x)", op_name[op], file,
             line, mask, w->live);
    unsigned peers = (w->waiting | w->at_barrier) & mask;
    if (!peers)
        return;
    const emu_thread *p = t0 + __builtin_ctz(peers);
    if (UNLIKELY(p->op != op || p->mask != mask || p->line != line || p->file != file))
        FAIL("warp divergence: lane %u at %s %s:%d, lane %u at %s %s:%d", t->lane, op_name[op],
             file, line, p->lane, op_name[p->op], p->file, p->line);
}

static void check_operands(emu_thread *t, emu_op op)
{
    if (op == EMU_LDMATRIX || op == EMU_LDMATRIX_T) {
        IS_READ(t->in[0], 16);
        MUST_BE_DEFINED(t->in[0], 16);
    } else if (op == EMU_MMA_BF16) {
        MUST_BE_DEFINED(t->in[0], 16);
        MUST_BE_DEFINED(t->in[1], 8);
        MUST_BE_DEFINED(t->out, 16);
    } else if (op == EMU_SHFL || op == EMU_ANY) {
        MUST_BE_DEFINED(&t->val, 4);
    }
}

void emu_warp_op(emu_op op, unsigned mask, const char *file, int line)
{
    emu_thread *t = emu_self, *t0 = t - t->lane;
    warp *w = warp_of(t);
    unsigned me = 1u << t->lane;
    check_warp(t, op, mask, file, line);
    check_operands(t, op);
    t->op = op;
    t->mask = mask;
    t->file = file;
    t->line = line;
    if (op == EMU_SYNCWARP)          /* the one collective that orders memory */
        ORDER_RELEASE(&t0->warp_tag);
    if (((w->waiting | me) & mask) == mask) {
        w->waiting &= ~mask;
        w->runnable |= mask;
        run_op(t0, op, mask);
    } else {
        w->waiting |= me;
        w->runnable &= ~me;
        give_way(t);
    }
    if (op == EMU_SYNCWARP)
        ORDER_ACQUIRE(&t0->warp_tag);
}

void emu_barrier(const char *file, int line)
{
    emu_thread *t = emu_self;
    warp *w = warp_of(t);
    if (M->barrier_file && (M->barrier_file != file || M->barrier_line != line))
        FAIL("barrier divergence: __syncthreads at %s:%d, others wait at %s:%d", file, line,
             M->barrier_file, M->barrier_line);
    if (w->waiting) {
        const emu_thread *p = t - t->lane + __builtin_ctz(w->waiting);
        FAIL("warp divergence: lane %u at __syncthreads %s:%d, lane %u at %s %s:%d", t->lane, file,
             line, p->lane, op_name[p->op], p->file, p->line);
    }
    M->barrier_file = t->file = file;
    M->barrier_line = t->line = line;
    t->op = EMU_BARRIER;
    ORDER_RELEASE(&M->t->block_tag);
    w->at_barrier |= 1u << t->lane;
    w->runnable &= ~(1u << t->lane);
    M->arrived++;
    if (M->arrived + M->done == M->n_threads)
        release_barrier();
    else
        give_way(t);
    ORDER_ACQUIRE(&M->t->block_tag);
}

void emu_warp_call(void (*call)(emu_thread *lanes), const char *file, int line)
{
    emu_self->call = call;
    emu_warp_op(EMU_CALL, ~0u, file, line);
}

void emu_wait(const char *file, int line)
{
    emu_thread *t = emu_self;
    warp *w = warp_of(t);
    t->op = EMU_WAIT;
    t->file = file;
    t->line = line;
    w->asleep |= 1u << t->lane;
    w->runnable &= ~(1u << t->lane);
    give_way(t);
}

void emu_yield(void)
{
    switch_to(emu_self, &M->host);
}

void emu_wake(void)
{
    for (unsigned i = 0; i < M->n_warps; i++) {
        M->w[i].runnable |= M->w[i].asleep;
        M->w[i].asleep = 0;
    }
}

void emu_fail(const char *format, ...)
{
    char text[sizeof message - 100];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    FAIL("%s", text);
}

/* ---- addresses ---- */

void emu_check_threads(const char *kernel, unsigned most)
{
    if (UNLIKELY(M->n_threads > most))
        FAIL("%s: %u threads, launch bounds say %u", kernel, M->n_threads, most);
}

void emu_check_align(const void *p, unsigned bytes, const char *file, int line)
{
    if (UNLIKELY((uintptr_t)p % bytes))
        FAIL("%s:%d: address is not a multiple of %u", file, line, bytes);
}

void emu_check_smem(const void *p, unsigned bytes, const char *what, const char *file, int line)
{
    const unsigned char *b = p;
    if (UNLIKELY(b < emu_smem || b + bytes > emu_smem + M->job->smem_bytes))
        FAIL("%s at %s:%d: shared address out of bounds: %td of %zu bytes", what, file, line,
             b - emu_smem, M->job->smem_bytes);
    if (UNLIKELY((uintptr_t)p % bytes))
        FAIL("%s at %s:%d: misaligned shared address %td", what, file, line, b - emu_smem);
}

/* ---- cp.async: the target is NaN from issue to wait ---- */

void emu_cp_async(void *dst, const void *src, unsigned bytes, unsigned valid, const char *file,
                  int line)
{
    emu_thread *t = emu_self;
    emu_check_smem(dst, bytes, "cp.async", file, line);
    emu_check_align(src, bytes, file, line);
    if (t->copy_tail - t->copy_head == MOST_COPIES)
        FAIL("cp.async at %s:%d: more than %d copies in flight", file, line, MOST_COPIES);
    t->copies[t->copy_tail++ % MOST_COPIES] =
        (emu_copy){ dst, src, bytes, valid, t->copy_group };
    memset(dst, 0xff, bytes);
    IS_WRITTEN(dst, bytes);
    IS_UNDEFINED(dst, bytes);
}

void emu_cp_commit(void)
{
    emu_self->copy_group++;
}

void emu_cp_wait(unsigned n)
{
    emu_thread *t = emu_self;
    while (t->copy_head != t->copy_tail) {
        const emu_copy *c = &t->copies[t->copy_head % MOST_COPIES];
        if ((int)(t->copy_group - n - c->group) <= 0)
            break;
        memcpy(c->dst, c->src, c->valid);
        memset((char *)c->dst + c->valid, 0, c->bytes - c->valid);
        IS_WRITTEN(c->dst, c->bytes);
        M->stat.async_bytes += c->valid;
        t->copy_head++;
    }
}

/* ---- a block ---- */

/*
** Fresh and of exact size for every block, aligned as on a GPU. Fresh pages under TSan: no
** false race with the block before, and no order between blocks through a lock of malloc.
*/
static unsigned char *smem_new(size_t bytes, size_t *room)
{
    unsigned char *p;
    *room = (bytes / 1024 + 1) * 1024;
#ifdef EMU_TSAN
    p = mmap(NULL, *room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < *room; i++)
        ((volatile unsigned char *)p)[i] = 0xff;
#else
    p = aligned_alloc(1024, *room);
    memset(p, 0xff, *room);
#endif
    IS_OUT_OF_BOUNDS(p + bytes, *room - bytes);
    IS_UNDEFINED(p, bytes);
    return p;
}

static void smem_free(unsigned char *p, size_t room)
{
#ifdef EMU_TSAN
    munmap(p, room);
#else
    IS_ADDRESSABLE(p, room);
    free(p);
#endif
}

static void block_init(emu_dim3 b)
{
    M->arrived = M->done = 0;
    M->barrier_file = NULL;
    M->failed = false;
    for (unsigned i = 0; i < M->n_warps; i++) {
        unsigned lanes = M->n_threads - i * 32, rng = b.x * 73856093u ^ b.y * 19349663u;
        M->w[i] = (warp){ .live = lanes >= 32 ? ~0u : (1u << lanes) - 1u,
                          .rng = emu_seed * 2654435761u + (rng ^ b.z * 83492791u) + i * 977u };
        M->w[i].runnable = M->w[i].live;
    }
#ifdef EMU_TSAN
    /* through all slots in turn, or thread i of every block would be one thread to TSan */
    M->base += M->n_warps * 32;
    if (M->base + M->n_warps * 32 > MOST_THREADS)
        M->base = 0;
#endif
    M->t = M->slot + M->base;
    for (unsigned i = 0; i < M->n_threads; i++) {
        emu_thread *t = &M->t[i];
        emu_dim3 d = emu_block_dim;
        t->index = i;
        t->lane = i % 32;
        t->tid = (emu_dim3){ i % d.x, i / d.x % d.y, i / d.x / d.y };
        t->op = EMU_NONE;
        t->done = 0;
        t->copy_head = t->copy_tail = t->copy_group = 0;
        t->copies = M->copies + (size_t)i * MOST_COPIES;
        fiber_init(t);
    }
}

static void report_deadlock(void)
{
    char where[600] = "";
    const emu_thread *last = NULL;
    for (unsigned i = 0, at = 0; i < M->n_threads && at < sizeof where - 100; i++) {
        const emu_thread *t = &M->t[i];
        if (t->done || (last && last->line == t->line && last->op == t->op))
            continue;
        at += (unsigned)snprintf(where + at, sizeof where - at, " thread %u: %s line %d;", i,
                                 op_name[t->op], t->line);
        last = t;
    }
    report("deadlock in block %u,%u,%u:%s", emu_block.x, emu_block.y, emu_block.z, where);
}

/* Fibers of an abandoned block end here, half-way: their stacks must not tell of it, nor TSan meet
   them again. */
static void drop_fibers(void)
{
    for (unsigned i = 0; i < M->n_threads; i++) {
        emu_thread *t = &M->t[i];
        IS_ADDRESSABLE(t->stack, t->stack_bytes);
        IS_DEFINED(t->stack, t->stack_bytes);
#ifdef EMU_TSAN
        __tsan_destroy_fiber(t->fiber);
#endif
        t->fiber = NULL;
    }
}

static void run_block(emu_dim3 b)
{
    const char *wrong = NULL;
    size_t room;
    emu_block = b;
    emu_smem = smem_new(M->job->smem_bytes, &room);
    ORDER_RELEASE(&launch_tag);
    block_init(b);
    unsigned w = 0, rng = emu_seed + b.x;
    while (M->done < M->n_threads && !M->failed) {
        unsigned k = 0;
        if (emu_seed) {
            rng = rng * 1664525u + 1013904223u;
            w = (rng >> 16) % M->n_warps;
        }
        while (k < M->n_warps && !M->w[(w + k) % M->n_warps].runnable)
            k++;
        if (k == M->n_warps) {
            report_deadlock();
            break;
        }
        w = (w + k) % M->n_warps;
        switch_to(&M->host, &M->t[w * 32 + pick_lane(&M->w[w], 31)]);
        w++;
    }
    if (M->failed)
        drop_fibers();
    else if (emu_block_end)
        wrong = emu_block_end();
    if (wrong)
        report("%s in block %u,%u,%u", wrong, b.x, b.y, b.z);
    emu_block_end = NULL;
    M->stat.blocks++;
    smem_free(emu_smem, room);
}

/* ---- a launch ---- */

static machine *machine_new(void)
{
    size_t each = STACK_BYTES + GUARD_BYTES;
    machine *m = calloc(1, sizeof *m);
    emu_copy *copies = malloc(sizeof *copies * MOST_COPIES * MOST_THREADS);
    char *p = mmap(NULL, MOST_THREADS * each, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!m || !copies || p == MAP_FAILED) {
        fprintf(stderr, "emu: out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < MOST_THREADS; i++)
        mprotect(p + i * each, GUARD_BYTES, PROT_NONE);
    m->stacks = p;
    m->copies = copies;
    return m;
}

/* The machine is this OS thread's until the launch ends. */
static void machine_take(job *j)
{
    pthread_mutex_lock(&lock);
    M = n_pool ? pool[--n_pool] : NULL;
    pthread_mutex_unlock(&lock);
    if (!M)
        M = machine_new();
    M->job = j;
    M->n_threads = j->block.x * j->block.y * j->block.z;
    M->n_warps = (M->n_threads + 31) / 32;
    memset(&M->stat, 0, sizeof M->stat);
    emu_block_dim = j->block;
    emu_grid_dim = j->grid;
    emu_self = &M->host;
#ifdef EMU_ASAN
    pthread_attr_t attr;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &M->host.stack, &M->host.stack_bytes);
    pthread_attr_destroy(&attr);
#endif
#ifdef EMU_TSAN
    M->host.fiber = __tsan_get_current_fiber();
#endif
}

static void machine_give(void)
{
    emu_self = NULL;
    pthread_mutex_lock(&lock);
    unsigned long long *sum = (void *)&emu_stat, *add = (void *)&M->stat;
    for (size_t i = 0; i < sizeof emu_stat / sizeof *sum; i++)
        sum[i] += add[i];
    pool[n_pool++] = M;
    pthread_mutex_unlock(&lock);
    M = NULL;
}

static void *work(void *p)
{
    job *j = p;
    machine_take(j);
    while (!__atomic_load_n(&j->failed, __ATOMIC_RELAXED)) {
        unsigned long long i = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
        if (i >= j->total)
            break;
        run_block((emu_dim3){ (unsigned)(i % j->grid.x), (unsigned)(i / j->grid.x % j->grid.y),
                              (unsigned)(i / j->grid.x / j->grid.y) });
    }
    ORDER_ACQUIRE(&end_tag);
    machine_give();
    return NULL;
}

static bool fits(const job *j)
{
    unsigned long long threads = (unsigned long long)j->block.x * j->block.y * j->block.z;
    return threads > 0 && threads <= MOST_THREADS && j->smem_bytes <= MOST_SMEM && j->total > 0 &&
           j->grid.x <= 0x7fffffff && j->grid.y <= MOST_GRID_YZ && j->grid.z <= MOST_GRID_YZ;
}

static int from_environment(const char *name, int otherwise)
{
    const char *s = getenv(name);
    return s ? atoi(s) : otherwise;
}

int emu_launch(emu_dim3 grid, emu_dim3 block, size_t smem_bytes, void (*fn)(const void *),
               const void *args)
{
    job j = { .grid = grid, .block = block, .smem_bytes = smem_bytes, .fn = fn, .args = args };
    pthread_t worker[MOST_WORKERS];
    int n = 0;
    j.total = (unsigned long long)grid.x * grid.y * grid.z;
    if (!fits(&j)) {
        snprintf(message, sizeof message, "launch out of range: grid %u,%u,%u block %u,%u,%u "
                 "shared %zu", grid.x, grid.y, grid.z, block.x, block.y, block.z, smem_bytes);
        return -1;
    }
    if (!emu_threads) {
        emu_threads = from_environment("EMU_THREADS", 1);
        if (!emu_seed)
            emu_seed = (unsigned)from_environment("EMU_SEED", 0);
    }
    while (n < emu_threads - 1 && n < MOST_WORKERS - 1 &&
           !pthread_create(&worker[n], NULL, work, &j))
        n++;
    work(&j);
    while (n > 0)
        pthread_join(worker[--n], NULL);
    return j.failed ? -1 : 0;
}

const char *emu_error(void)
{
    return message;
}
