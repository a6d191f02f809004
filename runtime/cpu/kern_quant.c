/*
** kern_quant.c - sizes of quantised weights, and a row of them.
*/
#define VL 4
#include "kern_vec.h"
#include "kern_quant.h"

int64_t quant_bytes(kern_type type, int64_t n, int64_t k)
{
    int64_t panels = (n + PANEL - 1) / PANEL, blocks = (k + QUANT_BLOCK - 1) / QUANT_BLOCK;
    return panels * blocks * quant_block_bytes(type);
}

/* The difference of two exact products: +0 for a value of 0, whatever the scale's sign. */
void quant_unpack_row(kern_type type, elt *dst, const void *packed, int64_t row, int64_t k)
{
    int64_t column = row % PANEL;
    const unsigned char *b = (const unsigned char *)packed + quant_bytes(type, row - column, k);
    for (int64_t i = 0; i < k; i++) {
        if (i > 0 && i % QUANT_BLOCK == 0)
            b += quant_block_bytes(type);
        const unsigned char *values = b + QUANT_SCALES;
        int64_t pair = i % QUANT_BLOCK / 2 * PANEL + column;
        int value = type == KERN_Q8 ? values[pair * 2 + i % 2] : values[pair] >> i % 2 * 4 & 15;
        uint16_t half;
        memcpy(&half, b + column * 2, sizeof half);
        float scale = float_of_half(half);
        dst[i] = elt_of(scale * (float)value - scale * (type == KERN_Q8 ? 128 : 8));
    }
}
