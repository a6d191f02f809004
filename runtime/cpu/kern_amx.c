/*
** kern_amx.c - the kernels for AMX: bf16 products in tiles of 16 x 16 sums, 32 of k a step.
**
** The left operand's tiles are 16 rows of 64 bytes, the packed operand is the layout the
** instruction wants. A sum goes through k in steps of 32 from 0, padded with zeros at the
** end only, so it does not depend on how rows are grouped into tiles or k is cut.
** Tile registers: 0-3 sums, 4-5 left, 6-7 packed operand.
*/
#include "kern.h"

#if defined(__x86_64__) && !HI_F32
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VL 16
#include "kern_unpack.h"

enum {
    K_STEP = 32,
    ROW_STEP = 16,
    ROW_GROUP = 32,                  /* two tiles: rows of x at once */
    K_BLOCK = 256,                   /* of k at once: 32 KiB of weights in the first cache */
    X_BLOCK = 2048,                  /* of k of all rows: 1 MiB of x in the second */
    BLOCK_ROWS = 256,
    BLOCK_PANELS = 16,               /* whose sums wait for the next X_BLOCK */
    FEW_K = 4096                     /* of k whose x is kept for few rows */
};

/* Own asm: the compiler's intrinsics do not say that a load reads memory. */
#define TILE_LOAD(t, p, bytes) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(p), "r"(bytes) : "memory")
/* Past the first cache: what is read once before it would be there no more. */
#define TILE_PASS(t, p, bytes) \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t : : "r"(p), "r"(bytes) : "memory")
#define TILE_STORE(t, p, bytes) \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"(p), "r"(bytes) : "memory")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define TILE_START(t, p, bytes, add) \
    do {                             \
        if (add)                     \
            TILE_LOAD(t, p, bytes);  \
        else                         \
            TILE_ZERO(t);            \
    } while (0)

/* ---- products of many rows ----
** A block of weights, of one panel, stays in the first cache while all rows pass by; their x
** stays in the second. */

/* Lines of the next block to fetch beside every step of k. */
typedef struct ahead {
    uintptr_t at;
    int lines;
} ahead;

/* 32 rows x 32 columns of a panel: a is [step][32][32], c's rows are PANEL apart. */
static void group_product(float *c, const elt *a, const elt *b, int steps, bool add, ahead *f)
{
    float *low = c + 16 * PANEL;
    const int64_t a_bytes = K_STEP * 2, c_bytes = PANEL * 4, b_bytes = PANEL * 4;
    TILE_START(0, c, c_bytes, add);
    TILE_START(1, c + 16, c_bytes, add);
    TILE_START(2, low, c_bytes, add);
    TILE_START(3, low + 16, c_bytes, add);
    for (int s = 0; s < steps; s++) {
        for (int i = 0; i < f->lines; i++, f->at += 64)
            __builtin_prefetch((const void *)f->at, 0, 2);
        TILE_LOAD(6, b, b_bytes);
        TILE_PASS(4, a, a_bytes);
        TILE_DOT(0, 4, 6);
        TILE_LOAD(7, b + 32, b_bytes);
        TILE_DOT(1, 4, 7);
        TILE_PASS(5, a + 16 * K_STEP, a_bytes);
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
        a += ROW_GROUP * K_STEP;
        b += PANEL * K_STEP;
    }
    TILE_STORE(0, c, c_bytes);
    TILE_STORE(1, c + 16, c_bytes);
    TILE_STORE(2, low, c_bytes);
    TILE_STORE(3, low + 16, c_bytes);
}

/* Rows of n columns of x as tiles: [step][tile_rows][32], zeros in the rows and columns that are
   not there. */
static void pack_x(elt *a, const elt *x, int64_t x_stride, int rows, int tile_rows, int n)
{
    for (int r = 0; r < tile_rows; r++, a += K_STEP, x += x_stride) {
        elt *to = a;
        int k = 0;
        for (; r < rows && k + K_STEP <= n; k += K_STEP, to += tile_rows * K_STEP)
            memcpy(to, x + k, K_STEP * sizeof(elt));
        for (; k < n; k += K_STEP, to += tile_rows * K_STEP) {
            memset(to, 0, K_STEP * sizeof(elt));
            if (r < rows)
                memcpy(to, x + k, (size_t)(n - k) * sizeof(elt));
        }
    }
}

/* The elements past the last whole step of n, zeros up to it. */
static void pack_tail(elt *to, const elt *b, int n)
{
    int whole = n & ~(K_STEP - 1), tail = n - whole;
    memcpy(to, b + whole * PANEL, (size_t)tail * PANEL * sizeof(elt));
    memset(to + tail * PANEL, 0, (size_t)(K_STEP - tail) * PANEL * sizeof(elt));
}

/* A call's memory, on the stack: 2 MiB. */
typedef struct block_work {
    _Alignas(64) elt a[BLOCK_ROWS / ROW_GROUP][X_BLOCK * ROW_GROUP];
    float c[BLOCK_PANELS][BLOCK_ROWS * PANEL];
    elt room[K_BLOCK * PANEL];
    elt tail[K_STEP * PANEL];
} block_work;

/* All rows, packed, times a block of weights: k in [k, k + n), of which k0 is the first packed. */
static void block_product(block_work *w, float *c, int groups, const elt *b, int k0, int k, int n,
                          ahead f)
{
    int steps = n / K_STEP;
    if (n % K_STEP)
        pack_tail(w->tail, b, n);
    for (int g = 0; g < groups; g++, c += ROW_GROUP * PANEL) {
        const elt *a = w->a[g] + (k - k0) * ROW_GROUP;
        for (int h = 0; h < PANEL; h += 32) {
            group_product(c + h, a, b + h * 2, steps, k > 0, &f);
            if (n % K_STEP)
                group_product(c + h, a + steps * K_STEP * ROW_GROUP, w->tail + h * 2, 1,
                              k + steps > 0, &f);
        }
    }
}

/* One panel, k in [k0, k1), to its sums. then: where the weights lie that come next, or NULL. */
static void panel_product(block_work *w, float *c, const kern_matmul *m, int groups, int j, int k0,
                          int k1, const char *then)
{
    for (int k = k0; k < k1; k += K_BLOCK) {
        int n = k1 - k < K_BLOCK ? k1 - k : K_BLOCK;
        const elt *b = panel_block(m, j, k, n, w->room);
        const char *next = k + n < k1 ? panel_memory(m, j, k + n) : then;
        ahead f = { (uintptr_t)next, next ? (K_STEP + groups - 1) / groups : 0 };
        block_product(w, c, groups, b, k0, k, n, f);
    }
}

/* Rows [row, row + rows) times panels [j, j_end). packed: the rows' x is, from panels before. */
static void many_rows(block_work *w, const kern_matmul *m, int64_t row, int rows, int j, int j_end,
                      bool packed)
{
    int groups = (rows + ROW_GROUP - 1) / ROW_GROUP;
    for (int k0 = 0; k0 < m->k; k0 += X_BLOCK) {
        int k1 = m->k - k0 < X_BLOCK ? m->k : k0 + X_BLOCK;
        for (int g = 0; g < groups && !packed; g++) {
            int at = g * ROW_GROUP, some = rows - at < ROW_GROUP ? rows - at : ROW_GROUP;
            pack_x(w->a[g], m->x + (row + at) * m->x_stride + k0, m->x_stride, some, ROW_GROUP,
                   k1 - k0);
        }
        for (int p = j; p < j_end; p++) {
            float *c = w->c[m->k > X_BLOCK ? p - j : 0];
            const char *then = NULL;
            if (p + 1 < j_end)
                then = panel_memory(m, p + 1, k0);
            else if (k1 < m->k)
                then = panel_memory(m, j, k1);
            panel_product(w, c, m, groups, p, k0, k1, then);
            if (k1 == m->k)
                store_rows(m, c, p, row, rows);
        }
    }
}

/* ---- products of few rows ----
** Bound by memory: weights are read in the order in which they lie, which the processor's own
** prefetch follows best. */

/* 16 rows x one panel: sums c (16, PANEL). a_bytes: from row to row; a_step: from step to step. */
static void few_product(float *c, const elt *a, int64_t a_bytes, int64_t a_step, const elt *b,
                        int steps, bool add)
{
    const int64_t b_bytes = PANEL * 4, c_bytes = PANEL * 4;
    TILE_START(0, c, c_bytes, add);
    TILE_START(1, c + 16, c_bytes, add);
    TILE_START(2, c + 32, c_bytes, add);
    TILE_START(3, c + 48, c_bytes, add);
    for (int i = 0; i < steps; i++) {
        TILE_LOAD(4, a, a_bytes);
        TILE_PASS(5, b, b_bytes);
        TILE_DOT(0, 4, 5);
        TILE_PASS(6, b + 32, b_bytes);
        TILE_DOT(1, 4, 6);
        TILE_PASS(7, b + 64, b_bytes);
        TILE_DOT(2, 4, 7);
        TILE_PASS(5, b + 96, b_bytes);
        TILE_DOT(3, 4, 5);
        a += a_step;
        b += PANEL * K_STEP;
    }
    TILE_STORE(0, c, c_bytes);
    TILE_STORE(1, c + 16, c_bytes);
    TILE_STORE(2, c + 32, c_bytes);
    TILE_STORE(3, c + 48, c_bytes);
}

#include "kern_amx_quant.h"

/* Rows, up to 16, times panel j for k in [k0, k0 + n). */
static void few_panel(float *c, const kern_matmul *m, const elt *a, int64_t a_bytes, int64_t a_step,
                      int j, int k0, int n)
{
    _Alignas(64) elt tail[K_STEP * PANEL];
    const char *b = panel_memory(m, j, k0);
    int steps = n / K_STEP;
    if (m->type != KERN_PLAIN) {
        (m->type == KERN_Q8 ? q8_panel : q4_panel)(c, a, a_bytes, a_step, (const unsigned char *)b,
                                                   (n + K_STEP - 1) / K_STEP, k0 > 0);
        return;
    }
    few_product(c, a, a_bytes, a_step, (const elt *)b, steps, k0 > 0);
    if (n % K_STEP) {
        pack_tail(tail, (const elt *)b, n);
        few_product(c, a + steps * a_step, a_bytes, a_step, tail, 1, k0 + steps > 0);
    }
}

/* Rows [row, row + rows), up to 16. One row is read as it lies: it is all 16 of a tile. */
static void few_rows(const kern_matmul *m, int64_t row, int rows, int j0, int j1)
{
    _Alignas(64) elt a[FEW_K * ROW_STEP];
    _Alignas(64) float c[BLOCK_PANELS][ROW_STEP * PANEL];
    const elt *x = m->x + row * m->x_stride;
    bool in_place = rows == 1 && m->k % K_STEP == 0;
    for (int j = j0; j < j1; j += BLOCK_PANELS) {
        int panels = j1 - j < BLOCK_PANELS ? j1 - j : BLOCK_PANELS;
        for (int k = 0; k < m->k; k += FEW_K) {
            int n = m->k - k < FEW_K ? m->k - k : FEW_K;
            if (!in_place && (j == j0 || m->k > FEW_K))
                pack_x(a, x + k, m->x_stride, rows, ROW_STEP, n);
            for (int i = 0; i < panels; i++) {
                if (in_place)
                    few_panel(c[i], m, x + k, 0, K_STEP, j + i, k, n);
                else
                    few_panel(c[i], m, a, K_STEP * 2, K_STEP * ROW_STEP, j + i, k, n);
                if (k + n == m->k)
                    store_rows(m, c[i], j + i, row, rows);
            }
        }
    }
}

static void matmul(const kern_matmul *m, int m0, int m1, int j0, int j1)
{
    if (m1 - m0 <= ROW_STEP) {
        few_rows(m, m0, m1 - m0, j0, j1);
        return;
    }
    block_work w;
    for (int r = m0; r < m1; r += BLOCK_ROWS)
        for (int j = j0; j < j1; j += BLOCK_PANELS)
            many_rows(&w, m, r, m1 - r < BLOCK_ROWS ? m1 - r : BLOCK_ROWS, j,
                      j1 - j < BLOCK_PANELS ? j1 : j + BLOCK_PANELS, j > j0 && m->k <= X_BLOCK);
}

#include "kern_attend_amx.h"
#include "kern_body.h"

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

/* The system keeps tile registers for a process that has asked for them. */
static bool usable(void)
{
    const unsigned amx = 1u << 22 | 1u << 24;      /* AMX-BF16, AMX-TILE */
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512vbmi"))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & amx) != amx)
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static void thread_begin(void)
{
    TILE_CONFIG(WHOLE);
}

KERNELS(amx, usable, thread_begin)
#endif
