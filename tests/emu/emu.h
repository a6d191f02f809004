/*
** emu.h - runs CUDA kernels on the CPU, one fiber per CUDA thread.
**
** For tests: a kernel written over gpu.h runs unchanged, a block at a time, and the machine
** checks what a GPU would only punish: warps and barriers that diverge, a deadlock, copies never
** waited for, shared addresses out of bounds or misaligned, bank conflicts. Shared memory
** begins as NaN, and a cp.async target is NaN until the wait, the latest moment the ISA allows.
** Built with EMU_ASAN, EMU_TSAN or EMU_MSAN it tells that sanitizer about its fibers: out of
** bounds, races (only barriers and __syncwarp order threads, blocks are unordered) and
** uninitialised reads are then found in the kernels.
**
** Kernels see it through gpu.h; emu.c knows nothing of any kernel. Arithmetic is the CPU's: the
** bits of mma, exp2 and the like are not those of a GPU.
*/
#ifndef EMU_H
#define EMU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct emu_dim3 {
    unsigned x, y, z;
} emu_dim3;

/* Summed over launches; the caller clears. */
typedef struct emu_stats {
    unsigned long long mma, ldmatrix, shfl, barriers, blocks, switches;
    unsigned long long conflicts;    /* extra shared-memory passes of all ldmatrix together */
    unsigned long long async_bytes;  /* copied by cp.async, zeros not counted */
} emu_stats;

extern emu_stats emu_stat;
extern int emu_threads;              /* OS threads that share a grid's blocks; EMU_THREADS, 1 */
extern unsigned emu_seed;            /* 0: lanes in order; else a random schedule; EMU_SEED */

/*
** Runs fn(args) in every thread of the grid and returns when all have ended.
** Returns 0, or -1 after the first error: the launch is then abandoned, its results are
** meaningless, and emu_error says what happened and where. The machine stays usable.
*/
int emu_launch(emu_dim3 grid, emu_dim3 block, size_t smem_bytes, void (*fn)(const void *),
               const void *args);

/* The message of the latest failed launch; "" before any. */
const char *emu_error(void);

/* ---- for emu_gpu.h ---- */

typedef enum {
    EMU_NONE,
    EMU_SYNCWARP,
    EMU_SHFL,
    EMU_ANY,
    EMU_LDMATRIX,
    EMU_LDMATRIX_T,
    EMU_MMA_BF16,
    EMU_BARRIER,
    EMU_CALL,
    EMU_WAIT
} emu_op;

typedef struct emu_copy emu_copy;
typedef struct emu_thread emu_thread;

struct emu_thread {
    emu_dim3 tid;                    /* threadIdx */
    unsigned lane, index;            /* in its warp, in its block */
    void *sp;                        /* saved stack pointer */
    emu_op op;                       /* collective it waits in, and that one's operands */
    unsigned mask, val;
    int n;
    void *out;
    const void *in[2];
    const char *file;                /* the source line it waits at */
    int line;
    int done;
    unsigned copy_head, copy_tail, copy_group;
    emu_copy *copies;                /* cp.async in flight, a ring */
    void *stack, *fake_stack, *fiber; /* the sanitizers' */
    size_t stack_bytes;
    char warp_tag, block_tag;        /* addresses that stand for an order of threads */
    void (*call)(emu_thread *lanes); /* EMU_CALL: what the last lane to arrive does for all */
};

extern __thread emu_thread *emu_self;
extern __thread emu_dim3 emu_block, emu_block_dim, emu_grid_dim;
extern __thread unsigned char *emu_smem;

void emu_check_threads(const char *kernel, unsigned most);
void emu_check_align(const void *p, unsigned bytes, const char *file, int line);
void emu_check_smem(const void *p, unsigned bytes, const char *what, const char *file, int line);
void emu_barrier(const char *file, int line);
void emu_warp_op(emu_op op, unsigned mask, const char *file, int line);
void emu_cp_async(void *dst, const void *src, unsigned bytes, unsigned valid, const char *file,
                  int line);
void emu_cp_commit(void);
void emu_cp_wait(unsigned n);

/* ---- for machines built on this one: emu_sm90.c ---- */

/* Runs 'call' once all lanes of the warp are here. */
void emu_warp_call(void (*call)(emu_thread *lanes), const char *file, int line);

/* This thread goes on after the next emu_wake, which lets all waiting threads look again. */
void emu_wait(const char *file, int line);
void emu_wake(void);

/* Other warps may run first. */
void emu_yield(void);

/* Reports, and abandons the block. */
__attribute__((noreturn, format(printf, 1, 2))) void emu_fail(const char *format, ...);

/* Not NULL: called once when all threads of the current block have ended well. Returns what is
   wrong, or NULL. */
extern __thread const char *(*emu_block_end)(void);

#ifdef __cplusplus
}
#endif

#endif
