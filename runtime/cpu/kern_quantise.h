/*
** kern_quantise.h - from rows of elements to blocks of 8 and 4 bits.
**
** Every instruction set makes the same bits: IEEE operations, each on one element, and sums in one
** order. kern_quant.h says how a block lies and what its scale is.
*/
#ifndef KERN_QUANTISE_H
#define KERN_QUANTISE_H

#include "kern_vec.h"
#include "kern_quant.h"

enum {
    QUANT_VECTORS = QUANT_BLOCK / VL,
    QUANT_PIECE = 8,                 /* blocks of a row at once: a panel's stay in a cache */
    MOST_HALF = 0x7bff               /* 65504 */
};

typedef uint64_t vq __attribute__((vector_size(VL * 4)));

/* Elements of one row and block. */
typedef struct quant_block {
    vf w[QUANT_VECTORS];
} quant_block;

/* Pairs of values, as bytes of a block hold them: of k even, then of k odd. */
typedef struct quant_pairs {
    uint64_t of[QUANT_BLOCK / 2];
} quant_pairs;

/* The nearest fp16, ties to even; the largest for what is larger. */
static inline uint16_t half_of(float x)
{
    float size = fabsf(x), steps = size * 0x1p24f + 0x1p23f;
    uint32_t bits, small;
    memcpy(&bits, &size, sizeof bits);
    memcpy(&small, &steps, sizeof small);
    uint32_t half = size < 0x1p-14f ? small - 0x4b000000
                                    : ((bits + 0xfff + (bits >> 13 & 1)) >> 13) - (112 << 10);
    return (uint16_t)((size < 65504 ? half : MOST_HALF) | (x < 0 ? 0x8000 : 0));
}

/* Columns [0, n) of a row, then zeros. */
INLINE quant_block load_block(const elt *src, int64_t n)
{
    elt padded[QUANT_BLOCK] = { 0 };
    quant_block b;
    if (n < QUANT_BLOCK) {
        memcpy(padded, src, (size_t)n * sizeof *src);
        src = padded;
    }
    for (int i = 0; i < QUANT_VECTORS; i++)
        b.w[i] = load_elts(src + i * VL);
    return b;
}

INLINE vf clamp_v(vf x, float low, float high)
{
    return min_v(max_v(x, splat(low)), splat(high));
}

/* The nearest whole number of what is small: a float whose low bits hold it. */
INLINE vf whole_v(vf x)
{
    return x + 0x1.8p23f;
}

/* The element of largest magnitude; of two the positive one. */
INLINE float largest(const quant_block *b)
{
    vf high = b->w[0], low = b->w[0];
    for (int i = 1; i < QUANT_VECTORS; i++) {
        high = max_v(high, b->w[i]);
        low = min_v(low, b->w[i]);
    }
    float most = reduce_max(high)[0], least = -reduce_max(-low)[0];
    return most >= -least ? most : least;
}

/* Subnormal scales are coarse: the nearest may be too small by more than half a step of 127. */
INLINE uint16_t quant_q8(const quant_block *b, quant_pairs *p)
{
    float most = fabsf(largest(b));
    uint16_t scale = half_of(most / 127);
    scale += scale < MOST_HALF && most > 127.5f * float_of_half(scale);
    vf by = splat(scale == 0 ? 1 : float_of_half(scale));
    for (int i = 0; i < QUANT_VECTORS; i++) {
        vq value = (vq)((vi)whole_v(clamp_v(b->w[i] / by, -127, 127)) - (0x4b400000 - 128));
        value = (value & 0xff) | (value >> 24 & 0xff00);
        memcpy(&p->of[i * VL / 2], &value, sizeof value);
    }
    return scale;
}

/* The sum of squares of what 4 bits with this scale miss: 16 partial sums whatever the width. */
INLINE float missed_q4(const quant_block *b, float scale)
{
    vf by = splat(1 / scale), sum[16 / VL];
    for (int i = 0; i < QUANT_VECTORS; i++) {
        vf off = b->w[i] - (whole_v(clamp_v(b->w[i] * by, -8, 7)) - 0x1.8p23f) * scale;
        sum[i % (16 / VL)] = i < 16 / VL ? off * off : sum[i % (16 / VL)] + off * off;
    }
    for (int i = 1; i < 16 / VL; i++)
        sum[0] += sum[i];
    return reduce_add(sum[0])[0];
}

/* The scale that misses least: with it the largest element becomes one of these, or is cut. */
INLINE uint16_t scale_q4(const quant_block *b)
{
    static const float END[] = { -8, -7.5f, -8.5f };
    float most = largest(b), least = 0;
    uint16_t best = 0;
    for (size_t i = 0; most != 0 && i < sizeof END / sizeof *END; i++) {
        uint16_t scale = half_of(most / END[i]);
        scale |= (scale & 0x7fff) == 0;
        float missed = missed_q4(b, float_of_half(scale));
        if (i == 0 || missed < least) {
            least = missed;
            best = scale;
        }
    }
    return best;
}

INLINE uint16_t quant_q4(const quant_block *b, quant_pairs *p)
{
    uint16_t scale = scale_q4(b);
    vf by = splat(scale == 0 ? 0 : 1 / float_of_half(scale));
    for (int i = 0; i < QUANT_VECTORS; i++) {
        vq value = (vq)((vi)whole_v(clamp_v(b->w[i] * by, -8, 7)) - (0x4b400000 - 8));
        value = (value & 0xf) | (value >> 28 & 0xf0);
        memcpy(&p->of[i * VL / 2], &value, sizeof value);
    }
    return scale;
}

/* One block of the row that is a panel's column; n: columns of it that exist. */
INLINE void put_block(kern_type type, unsigned char *dst, const elt *src, int64_t n, int64_t column)
{
    quant_block b = load_block(src, n);
    quant_pairs p;
    uint16_t scale = type == KERN_Q8 ? quant_q8(&b, &p) : quant_q4(&b, &p);
    size_t bytes = type == KERN_Q8 ? 2 : 1;
    memcpy(dst + column * 2, &scale, sizeof scale);
    dst += QUANT_SCALES + column * (int64_t)bytes;
    for (size_t i = 0; i < QUANT_BLOCK / 2; i++)
        memcpy(dst + i * bytes * PANEL, &p.of[i], bytes);  /* little-endian, as fp16 scales are */
}

/* Some rows of one panel at dst, the first its column 'column'. */
INLINE void put_panel(kern_type type, unsigned char *dst, const elt *src, int64_t column,
                      int64_t rows, int64_t k)
{
    enum { COLUMNS = QUANT_PIECE * QUANT_BLOCK };
    int64_t bytes = quant_block_bytes(type);
    for (int64_t from = 0; from < k; from += COLUMNS)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = from; i < from + COLUMNS && i < k; i += QUANT_BLOCK)
                put_block(type, dst + i / QUANT_BLOCK * bytes, src + r * k + i, k - i, column + r);
}

static void quant_rows(kern_type type, void *dst, const elt *src, int64_t row0, int64_t rows,
                       int64_t k)
{
    while (rows > 0) {
        int64_t column = row0 % PANEL, some = PANEL - column < rows ? PANEL - column : rows;
        unsigned char *panel = (unsigned char *)dst + quant_bytes(type, row0 - column, k);
        if (type == KERN_Q8)
            put_panel(KERN_Q8, panel, src, column, some, k);
        else
            put_panel(KERN_Q4, panel, src, column, some, k);
        src += some * k;
        row0 += some;
        rows -= some;
    }
}

#endif
