/*
** kern_amx.c - the kernels for AMX: bf16 products in tiles of 16 x 16 sums, 32 of k a step.
**
** A product's left operand is read as it lies (16 rows of 64 bytes), the packed operand is
** the layout the instruction wants. A sum goes through k in steps of 32 from 0, padded with
** zeros at the end only, so it does not depend on how rows are grouped into tiles.
** Tile registers: 0-3 sums, 4-5 left, 6-7 packed operand.
*/
#include "kern.h"

#if defined(__x86_64__) && !HI_F32
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VL 16
#include "kern_vec.h"

enum {
    K_STEP = 32,
    ROW_STEP = 16,
    ROW_GROUP = 32,                  /* two tiles: rows of attention, and of x, at once */
    PANEL_ROWS = 256,                /* rows of a panel's product at once */
    K_BLOCK = 2048,                  /* of k at once: 256 KiB of weights stay in the second cache */
    K_COPY = 512                     /* of k at once where x must be copied */
};

/* Own asm: the compiler's intrinsics do not say that a load reads memory. */
#define TILE_LOAD(t, p, bytes) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(p), "r"(bytes) : "memory")
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

/* 32 rows x 32 columns. */
static void tile_2x2(const product_args *p, int row, int col)
{
    const elt *a = p->a + row * p->a_row, *b = p->b + (int64_t)col * 2;
    float *c = p->c + row * p->c_row + col, *low = c + 16 * p->c_row;
    int64_t c_bytes = p->c_row * 4, a_bytes = p->a_row * 2, b_bytes = p->b_columns * 4;
    TILE_START(0, c, c_bytes, p->add);
    TILE_START(1, c + 16, c_bytes, p->add);
    TILE_START(2, low, c_bytes, p->add);
    TILE_START(3, low + 16, c_bytes, p->add);
    int skip = col / 32 * (p->k / K_STEP) * p->ahead_bytes;    /* what earlier columns fetched */
    uintptr_t ahead = (uintptr_t)p->ahead + (uintptr_t)skip;
    for (int k = 0; k < p->k; k += K_STEP) {
        for (int i = 0; i < p->ahead_bytes; i += 64)
            __builtin_prefetch((const void *)(ahead + (uintptr_t)i), 0, 2);
        ahead += (uintptr_t)p->ahead_bytes;
        TILE_LOAD(6, b, b_bytes);
        TILE_LOAD(4, a + k, a_bytes);
        TILE_DOT(0, 4, 6);
        TILE_LOAD(7, b + 32, b_bytes);
        TILE_DOT(1, 4, 7);
        TILE_LOAD(5, a + k + 16 * p->a_row, a_bytes);
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
        b += p->b_columns * K_STEP;
    }
    TILE_STORE(0, c, c_bytes);
    TILE_STORE(1, c + 16, c_bytes);
    TILE_STORE(2, low, c_bytes);
    TILE_STORE(3, low + 16, c_bytes);
}

/* 16 rows x 64 columns. */
static void tile_1x4(const product_args *p, int row, int col)
{
    const elt *a = p->a + row * p->a_row, *b = p->b + (int64_t)col * 2;
    float *c = p->c + row * p->c_row + col;
    int64_t c_bytes = p->c_row * 4, a_bytes = p->a_row * 2, b_bytes = p->b_columns * 4;
    TILE_START(0, c, c_bytes, p->add);
    TILE_START(1, c + 16, c_bytes, p->add);
    TILE_START(2, c + 32, c_bytes, p->add);
    TILE_START(3, c + 48, c_bytes, p->add);
    for (int k = 0; k < p->k; k += K_STEP) {
        if (p->stream)
            prefetch_ahead(b, K_STEP / 2 * PANEL * 4);
        TILE_LOAD(4, a + k, a_bytes);
        TILE_LOAD(5, b, b_bytes);
        TILE_DOT(0, 4, 5);
        TILE_LOAD(6, b + 32, b_bytes);
        TILE_DOT(1, 4, 6);
        TILE_LOAD(7, b + 64, b_bytes);
        TILE_DOT(2, 4, 7);
        TILE_LOAD(5, b + 96, b_bytes);
        TILE_DOT(3, 4, 5);
        b += p->b_columns * K_STEP;
    }
    TILE_STORE(0, c, c_bytes);
    TILE_STORE(1, c + 16, c_bytes);
    TILE_STORE(2, c + 32, c_bytes);
    TILE_STORE(3, c + 48, c_bytes);
}

/* 16 rows x 16 columns: what is left over. */
static void tile_1x1(const product_args *p, int row, int col)
{
    const elt *a = p->a + row * p->a_row, *b = p->b + (int64_t)col * 2;
    float *c = p->c + row * p->c_row + col;
    TILE_START(0, c, p->c_row * 4, p->add);
    for (int k = 0; k < p->k; k += K_STEP) {
        TILE_LOAD(4, a + k, p->a_row * 2);
        TILE_LOAD(6, b, p->b_columns * 4);
        TILE_DOT(0, 4, 6);
        b += p->b_columns * K_STEP;
    }
    TILE_STORE(0, c, p->c_row * 4);
}

/* Rows are rounded up to whole tiles: a and c must have them. */
static void product(const product_args *p, int rows, int columns)
{
    for (int r = 0; r < rows; r += 32) {
        bool two = rows - r > 16;
        int j = 0;
        for (; two && j + 32 <= columns; j += 32)
            tile_2x2(p, r, j);
        for (; !two && j + 64 <= columns; j += 64)
            tile_1x4(p, r, j);
        for (; j < columns; j += 16) {
            tile_1x1(p, r, j);
            if (two)
                tile_1x1(p, r + 16, j);
        }
    }
}

/* n columns of some rows of x, side by side, zeros up to a whole step. */
static void copy_x(elt a[][K_COPY], const elt *x, int64_t x_stride, int rows, int n)
{
    int pad = -n & (K_STEP - 1);
    for (int r = 0; r < rows; r++) {
        memcpy(a[r], x + r * x_stride, (size_t)n * sizeof(elt));
        memset(a[r] + n, 0, (size_t)pad * sizeof(elt));
    }
}

/* The product for k of any even length and rows without a tile's padding: through copies. */
static void product_copied(const product_args *p, int rows)
{
    _Alignas(64) elt a[ROW_GROUP][K_COPY], b[K_STEP * PANEL];
    for (int k = 0; k < p->k; k += K_COPY) {
        int n = p->k - k < K_COPY ? p->k - k : K_COPY, whole = n & ~(K_STEP - 1), tail = n - whole;
        copy_x(a, p->a + k, p->a_row, rows, n);
        product_args q = { .c = p->c, .c_row = PANEL, .a = a[0], .a_row = K_COPY,
                           .b = p->b + (int64_t)k * PANEL, .b_columns = PANEL, .k = whole,
                           .add = p->add || k > 0, .stream = p->stream };
        product(&q, rows, PANEL);
        if (!tail)
            continue;
        memcpy(b, q.b + whole * PANEL, (size_t)tail * PANEL * sizeof(elt));
        memset(b + tail * PANEL, 0, (size_t)(K_STEP - tail) * PANEL * sizeof(elt));
        q.a += whole;
        q.b = b;
        q.k = K_STEP;
        q.add = true;
        product(&q, rows, PANEL);
    }
}

/* Rows [row, row + rows) of x times one panel, to c (PANEL_ROWS, PANEL). While one block of
   weights is at work, the next is fetched: a share of it beside every group of rows. */
static void panel_product(float *c, const kern_matmul *m, const elt *panel, int64_t row, int rows)
{
    for (int k = 0; k < m->k; k += K_BLOCK) {
        int n = m->k - k < K_BLOCK ? m->k - k : K_BLOCK;
        product_args p = { .c_row = PANEL, .a_row = m->x_stride, .b = panel + (int64_t)k * PANEL,
                           .b_columns = PANEL, .k = n, .add = k > 0 };
        p.ahead = (const char *)(p.b + (int64_t)n * PANEL);
        p.ahead_bytes = PANEL * K_STEP * ROW_GROUP / (rows < ROW_GROUP ? ROW_GROUP : rows);
        p.stream = rows <= ROW_STEP;
        for (int r = 0; r < rows; r += ROW_GROUP) {
            int some = rows - r < ROW_GROUP ? rows - r : ROW_GROUP;
            p.c = c + r * PANEL;
            p.a = m->x + (row + r) * m->x_stride + k;
            if (some % ROW_STEP == 0 && n % K_STEP == 0)
                product(&p, some, PANEL);
            else
                product_copied(&p, some);
            p.ahead += 2 * (n / K_STEP) * p.ahead_bytes;
        }
    }
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
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
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
