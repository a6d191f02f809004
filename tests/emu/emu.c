/*
** emu.c - fibers, barriers, blocks and launches of the emulated GPU.
**
** Lanes of a warp run one after the other to their next collective (emu_warp.c); the last to arrive
** performs it for all and goes on. Blocks run one at a time per OS thread.
**
** TSan's runtime must accept a fiber per CUDA thread: gcc 12's takes 8128. Version 3 of that
** runtime (clang 14, gcc 13) has 255 and silently forgets races beyond them.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "emu_machine.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
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

__thread emu_thread *emu_self;
__thread emu_dim3 emu_block, emu_block_dim, emu_grid_dim;
__thread unsigned char *emu_smem;
__thread const char *(*emu_block_end)(void);
emu_stats emu_stat;
int emu_threads;
unsigned emu_seed;

__thread machine *emu_machine;
static char message[1024];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of message and pool */
static machine *pool[MOST_WORKERS];
static int n_pool;

const char *const emu_op_name[] = { "nothing",    "__syncwarp",     "shfl", "any",
                                    "ldmatrix",   "ldmatrix.trans", "mma",  "__syncthreads",
                                    "collective", "wait" };

static char launch_tag, end_tag;     /* host before kernel before host; blocks are not ordered */

/* ---- switching ---- */

#ifndef EMU_UCONTEXT
__asm__(".text\n.globl emu_switch\n.type emu_switch,@function\nemu_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
        ".size emu_switch,.-emu_switch\n");
#endif

/* ---- errors ---- */

void emu_report(const char *format, ...)
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

_Noreturn void emu_abandon(void)
{
    emu_self->done = 1;
    switch_to(emu_self, &M->host);
    abort();
}

/* ---- life of a CUDA thread ---- */

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

/* ---- a thread waits ---- */

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
             line, p->lane, emu_op_name[p->op], p->file, p->line);
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
                                 emu_op_name[t->op], t->line);
        last = t;
    }
    emu_report("deadlock in block %u,%u,%u:%s", emu_block.x, emu_block.y, emu_block.z, where);
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
        emu_report("%s in block %u,%u,%u", wrong, b.x, b.y, b.z);
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
