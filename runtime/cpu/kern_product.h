/*
** kern_product.h - matrix products in registers: every instruction set but AMX.
**
** A tile of up to TILE_ROWS rows and some vectors of columns stays in registers over the
** whole sum, so that the order of additions is k = 0, 1, 2, ... whatever the tile's size.
** The packed operand is [k / 2][columns][2] (float: [k][columns]): weights and, packed
** for the purpose, blocks of keys and values.
*/
#ifndef KERN_PRODUCT_H
#define KERN_PRODUCT_H

#include "kern_unpack.h"

enum {
    ROW_GROUP = VL == 16 ? 48 : 24,  /* rows of attention at once: of tiles and of vectors */
    PANEL_ROWS = 24,                 /* rows of a panel's product at once */
    K_BLOCK = 512,                   /* of k at once */
#if VL == 16
    TILE_ROWS = 6,
#else
    TILE_ROWS = 4,
#endif
    /* From so many rows on (to 4) fetching weights ahead is faster than leaving it to the
       processor: measured. Dot products are done too soon, narrow tiles leave lines out. */
#if defined(__AVX512BF16__) || VL == 4
    FETCH_ROWS = 1,
#elif VL == 8
    FETCH_ROWS = 2,
#else
    FETCH_ROWS = 5,
#endif
    PAIR = HI_F32 ? 1 : 2,           /* values of k side by side */
    X_BYTES = 1 << 20                /* rows of x that pass over all panels together: they
                                        stay in the second cache, weights stream once each */
};

/* Sums over k of rows of a and columns of b; b packed [k / 2][columns][2] (float:
   [k][columns]): weights, and blocks of keys and values. */
typedef struct product_args {
    float *c;                        /* (rows, columns), rows c_row apart */
    const elt *a;                    /* (rows, k), rows a_row apart */
    const elt *b;                    /* packed, rows b_columns columns apart */
    int64_t c_row, a_row, b_columns;
    int k;
    bool add;                        /* start from c, not from 0 */
    bool stream;                     /* b comes from memory: prefetch */
} product_args;

#if HI_F32

INLINE void tile_step(int rows, int cols, vf acc[][8], const elt *a, int64_t a_row, const elt *b)
{
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            acc[r][j] = fma_v(splat(a[r * a_row]), load(b + j * VL), acc[r][j]);
}

#elif defined(__AVX512BF16__)

INLINE void tile_step(int rows, int cols, vf acc[][8], const elt *a, int64_t a_row, const elt *b)
{
    __m512bh w[4];
#pragma GCC unroll 4
    for (int j = 0; j < cols; j++)
        w[j] = (__m512bh)load_dwords(b + j * 2 * VL);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        uint32_t pair;
        memcpy(&pair, a + r * a_row, sizeof pair);
        __m512bh x = (__m512bh)_mm512_set1_epi32((int)pair);
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            acc[r][j] = _mm512_dpbf16_ps(acc[r][j], x, w[j]);
    }
}

#elif defined(NEON) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)

INLINE void tile_step(int rows, int cols, vf acc[][8], const elt *a, int64_t a_row, const elt *b)
{
    bfloat16x8_t w[8];
#pragma GCC unroll 8
    for (int j = 0; j < cols; j++)
        w[j] = (bfloat16x8_t)load_dwords(b + j * 2 * VL);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        uint32_t pair;
        memcpy(&pair, a + r * a_row, sizeof pair);
        bfloat16x8_t x = (bfloat16x8_t)vdupq_n_u32(pair);
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            acc[r][j] = vbfdotq_f32(acc[r][j], w[j], x);
    }
}

#elif defined(NEON)

/* As below; a row's two values are lanes of one register. */
INLINE void tile_step(int rows, int cols, vf acc[][8], const elt *a, int64_t a_row, const elt *b)
{
    float32x4_t x[TILE_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        uint32_t pair;
        memcpy(&pair, a + r * a_row, sizeof pair);
        x[r] = (float32x4_t)vshll_n_u16((uint16x4_t)(uint32x2_t){ pair }, 16);
    }
#pragma GCC unroll 8
    for (int j = 0; j < cols; j++) {
        vu w = load_dwords(b + j * 2 * VL);
        vf even = (vf)(w << 16), odd = (vf)(w & 0xffff0000);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            acc[r][j] = vfmaq_laneq_f32(acc[r][j], even, x[r], 0);
            acc[r][j] = vfmaq_laneq_f32(acc[r][j], odd, x[r], 1);
        }
    }
}

#else

/* A dword holds k even in its low half, k odd in its high half. */
INLINE void tile_step(int rows, int cols, vf acc[][8], const elt *a, int64_t a_row, const elt *b)
{
    vu x[TILE_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        uint32_t pair;
        memcpy(&pair, a + r * a_row, sizeof pair);
        x[r] = pair - (vu){0};
    }
#pragma GCC unroll 8
    for (int j = 0; j < cols; j++) {
        vu w = load_dwords(b + j * 2 * VL);
        vf even = (vf)(w << 16), odd = (vf)(w & 0xffff0000);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            acc[r][j] = fma_v((vf)(x[r] << 16), even, acc[r][j]);
            acc[r][j] = fma_v((vf)(x[r] & 0xffff0000), odd, acc[r][j]);
        }
    }
}

#endif

/* 'rows' and 'cols' (vectors) are constants where this is inlined: acc becomes registers. */
INLINE void tile(int rows, int cols, const product_args *p, int row, int col)
{
    const elt *a = p->a + row * p->a_row, *b = p->b + (int64_t)col * PAIR;
    float *c = p->c + row * p->c_row + col;
    vf acc[TILE_ROWS][8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            acc[r][j] = p->add ? load(c + r * p->c_row + j * VL) : splat(0);
    for (int k = 0; k < p->k; k += PAIR) {
        if (rows >= FETCH_ROWS && rows <= 4 && cols * VL >= 32 && p->stream)
            prefetch_ahead(b, cols * VL * 4);
        tile_step(rows, cols, acc, a + k, p->a_row, b);
        b += p->b_columns * PAIR;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < cols; j++)
            store(c + r * p->c_row + j * VL, acc[r][j]);
}

typedef struct tile_kind {
    int columns;
    void (*run)(const product_args *p, int row, int col);
} tile_kind;

#define TILE(rows, cols)                                                                           \
    static void tile_##rows##_##cols(const product_args *p, int row, int col)                      \
    {                                                                                              \
        tile(rows, cols, p, row, col);                                                             \
    }
#define KIND(rows, cols) { (cols) * VL, tile_##rows##_##cols }

/* By rows - 1: the widest that the registers hold, and one that divides 16 columns. */
#if VL == 16
TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4) TILE(5, 4) TILE(6, 4)
TILE(1, 1) TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1)
static const tile_kind TILES[TILE_ROWS][2] = {
    { KIND(1, 4), KIND(1, 1) }, { KIND(2, 4), KIND(2, 1) }, { KIND(3, 4), KIND(3, 1) },
    { KIND(4, 4), KIND(4, 1) }, { KIND(5, 4), KIND(5, 1) }, { KIND(6, 4), KIND(6, 1) },
};
#elif defined(NEON)
TILE(1, 8) TILE(2, 8) TILE(1, 4) TILE(2, 4) TILE(3, 4) TILE(4, 4)
static const tile_kind TILES[TILE_ROWS][2] = {
    { KIND(1, 8), KIND(1, 4) }, { KIND(2, 8), KIND(2, 4) },
    { KIND(3, 4), KIND(3, 4) }, { KIND(4, 4), KIND(4, 4) },
};
#else
TILE(1, 8) TILE(2, 4) TILE(1, 2) TILE(2, 2) TILE(3, 2) TILE(4, 2)
static const tile_kind TILES[TILE_ROWS][2] = {
    { KIND(1, 8), KIND(1, 2) }, { KIND(2, 4), KIND(2, 2) },
    { KIND(3, 2), KIND(3, 2) }, { KIND(4, 2), KIND(4, 2) },
};
#endif

static void product(const product_args *p, int rows, int columns)
{
    for (int r = 0; r < rows; r += TILE_ROWS) {
        const tile_kind *kinds = TILES[(rows - r < TILE_ROWS ? rows - r : TILE_ROWS) - 1];
        for (int j = 0; j < columns;) {
            const tile_kind *t = &kinds[columns - j < kinds[0].columns];
            t->run(p, r, j);
            j += t->columns;
        }
    }
}

/* Rows [row, row + rows) of x times panel j, to c (rows, PANEL). */
static void panel_product(float *c, const kern_matmul *m, int j, int64_t row, int rows)
{
    _Alignas(64) elt room[K_BLOCK * PANEL];
    for (int k = 0; k < m->k; k += K_BLOCK) {
        int n = m->k - k < K_BLOCK ? m->k - k : K_BLOCK;
        product_args p = { .c = c, .c_row = PANEL, .a = m->x + row * m->x_stride + k,
                           .a_row = m->x_stride, .b = panel_block(m, j, k, n, room),
                           .b_columns = PANEL, .k = n, .add = k > 0, .stream = true };
        product(&p, rows, PANEL);
    }
}

static void matmul(const kern_matmul *m, int m0, int m1, int j0, int j1)
{
    _Alignas(64) float c[PANEL_ROWS * PANEL];
    int64_t groups = X_BYTES / (m->k * (int64_t)sizeof(elt) * PANEL_ROWS);
    int64_t step = (groups > 1 ? groups : 1) * PANEL_ROWS;
    for (int64_t r0 = m0; r0 < m1; r0 += step) {
        int64_t r1 = m1 - r0 < step ? m1 : r0 + step;
        for (int j = j0; j < j1; j++) {
            for (int64_t r = r0; r < r1; r += PANEL_ROWS) {
                int rows = r1 - r < PANEL_ROWS ? (int)(r1 - r) : PANEL_ROWS;
                panel_product(c, m, j, r, rows);
                store_rows(m, c, j, r, rows);
            }
        }
    }
}

#endif
