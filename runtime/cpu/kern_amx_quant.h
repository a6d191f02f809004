/*
** kern_amx_quant.h - AMX products of few rows and quantised weights.
**
** One step of k, a block of weights, is unpacked while tiles multiply by the one before: with both
** in one stream of instructions neither the vector units, nor the tiles, nor memory wait.
*/
#ifndef KERN_AMX_QUANT_H
#define KERN_AMX_QUANT_H

#include "kern_unpack.h"

/* A block at b unpacked to 'next', beside the product by the one that is 'ready'. */
INLINE void quant_step(kern_type type, elt *next, const unsigned char *b, const elt *ready,
                       const elt *a, int64_t a_bytes)
{
    const int64_t b_bytes = PANEL * 4;
    unpack_scales s;
    if (type == KERN_Q8)
        scales_q8(&s, b);
    else
        scales_q4(&s, b);
#define QUARTER(q)                                                  \
    if (type == KERN_Q8)                                            \
        rows_q8(next, b, &s, (q) * K_STEP / 4, ((q) + 1) * K_STEP / 4); \
    else                                                            \
        rows_q4(next, b, &s, (q) * K_STEP / 4, ((q) + 1) * K_STEP / 4)
    TILE_LOAD(4, a, a_bytes);
    QUARTER(0);
    TILE_LOAD(5, ready, b_bytes);
    TILE_DOT(0, 4, 5);
    QUARTER(1);
    TILE_LOAD(6, ready + 32, b_bytes);
    TILE_DOT(1, 4, 6);
    QUARTER(2);
    TILE_LOAD(7, ready + 64, b_bytes);
    TILE_DOT(2, 4, 7);
    QUARTER(3);
    TILE_LOAD(5, ready + 96, b_bytes);
    TILE_DOT(3, 4, 5);
#undef QUARTER
}

/* The sums of 16 rows x one panel over 'steps' blocks from b on: a as few_product's. */
INLINE void quant_panel(kern_type type, float *c, const elt *a, int64_t a_bytes, int64_t a_step,
                        const unsigned char *b, int steps, bool add)
{
    _Alignas(64) elt room[2][K_STEP * PANEL];
    const int64_t c_bytes = PANEL * 4;
    if (type == KERN_Q8)
        unpack_q8(room[0], b, K_STEP);
    else
        unpack_q4(room[0], b, K_STEP);
    TILE_START(0, c, c_bytes, add);
    TILE_START(1, c + 16, c_bytes, add);
    TILE_START(2, c + 32, c_bytes, add);
    TILE_START(3, c + 48, c_bytes, add);
    for (int i = 0; i + 1 < steps; i++, a += a_step) {
        b += quant_block_bytes(type);
        quant_step(type, room[~i & 1], b, room[i & 1], a, a_bytes);
    }
    TILE_STORE(0, c, c_bytes);
    TILE_STORE(1, c + 16, c_bytes);
    TILE_STORE(2, c + 32, c_bytes);
    TILE_STORE(3, c + 48, c_bytes);
    few_product(c, a, a_bytes, a_step, room[~steps & 1], 1, true);
}

static __attribute__((noinline)) void q8_panel(float *c, const elt *a, int64_t a_bytes,
                                               int64_t a_step, const unsigned char *b, int steps,
                                               bool add)
{
    quant_panel(KERN_Q8, c, a, a_bytes, a_step, b, steps, add);
}

static __attribute__((noinline)) void q4_panel(float *c, const elt *a, int64_t a_bytes,
                                               int64_t a_step, const unsigned char *b, int steps,
                                               bool add)
{
    quant_panel(KERN_Q4, c, a, a_bytes, a_step, b, steps, add);
}

#endif
