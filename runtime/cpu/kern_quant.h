/*
** kern_quant.h - weights of 8 and 4 bits: how a matrix lies, and how rows become one.
**
** A matrix (n, k) is made of panels of PANEL columns, a panel of blocks of QUANT_BLOCK along k, the
** last one filled up with zeros. In a block every column has a scale and QUANT_BLOCK values:
**     KERN_Q8  fp16 [PANEL] scales, then bytes [QUANT_BLOCK / 2][PANEL][2]: value + 128
**     KERN_Q4  fp16 [PANEL] scales, then bytes [QUANT_BLOCK / 2][PANEL]: value + 8 of k even in the
**              low four bits, of k odd in the high ones
** An element is scale x value, rounded to nearest; in floats the product is exact. That is all that
** a type means to a product: what it adds up are elements, in the order of any other matrix.
**
** How a block is made (hi_kernels.quant_rows):
**     KERN_Q8  the scale is max |w| / 127 in fp16, or the next larger one where that is too small;
**              the value is the nearest to w / scale
**     KERN_Q4  of three scales the one of least squared error; each makes the element of largest
**              magnitude about -8, which has eight steps on its side and seven on the other
** Elements beyond the largest scale's range become that range's end.
*/
#ifndef KERN_QUANT_H
#define KERN_QUANT_H

#include <string.h>
#include "kern.h"

enum {
    QUANT_BLOCK = 32,                /* of k share a scale */
    QUANT_SCALES = PANEL * 2,        /* bytes of a block's scales */
    Q8_BLOCK = QUANT_SCALES + QUANT_BLOCK * PANEL,        /* bytes of a block */
    Q4_BLOCK = QUANT_SCALES + QUANT_BLOCK / 2 * PANEL
};

static inline int64_t quant_block_bytes(kern_type type)
{
    return type == KERN_Q8 ? Q8_BLOCK : Q4_BLOCK;
}

int64_t quant_bytes(kern_type type, int64_t n, int64_t k);     /* of a matrix */

static inline float float_of_half(uint16_t h)
{
    uint32_t size = h & 0x7fff, bits = (size << 13) + (112 << 23);
    float x = (float)(int)size * 0x1p-24f;
    if (size >= 0x400)
        memcpy(&x, &bits, sizeof x);
    return h & 0x8000 ? -x : x;
}

/* One row of the (n, k) matrix, in elements. */
void quant_unpack_row(kern_type type, elt *dst, const void *packed, int64_t row, int64_t k);

#endif
