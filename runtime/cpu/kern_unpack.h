/*
** kern_unpack.h - from blocks of 8 and 4 bits to the elements that products add up.
**
** Every instruction set makes the same bits of them: scale x value is exact in floats (11 bits of a
** scale, at most 8 of a value) and rounded once, to nearest.
*/
#ifndef KERN_UNPACK_H
#define KERN_UNPACK_H

#include "kern_vec.h"
#include "kern_quant.h"

#if !HI_F32 && defined(__AVX512BF16__) && defined(__AVX512VBMI__)

/*
** Sixteen bytes become as many floats by one permutation: each goes to bits 8 to 15 of 2^15, which
** makes 2^15 + byte of it; one multiply-add takes the offset away, exactly: 9 bits x 11.
*/

/* Line by line among much work: to the first cache, from near. */
INLINE void prefetch_line(const unsigned char *p)
{
    enum { AHEAD_BYTES = 2048 };
    __builtin_prefetch((const void *)((uintptr_t)p + AHEAD_BYTES));
}

/* Scales of eight columns and what they take away, each twice: for k even and odd. */
typedef struct unpack_scales {
    __m512 by[8], less[8];
} unpack_scales;

INLINE __m512 half_twice(const unsigned char *half)
{
    __m256i pair = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)half));
    return _mm512_cvtph_ps(_mm256_or_si256(pair, _mm256_slli_epi32(pair, 16)));
}

/* The low two bytes of 'bytes' i are sources 16 g + i (once), or 8 g + i / 2 (twice). */
INLINE __m512i spread_index(int g, bool twice)
{
    int32_t index[16];
    for (int i = 0; i < 16; i++)
        index[i] = (twice ? 8 * g + i / 2 : 16 * g + i) << 8;
    return _mm512_loadu_si512(index);
}

INLINE __m512 spread(__m512i bytes, __m512i index)
{
    const __mmask64 second = 0x2222222222222222;
    const __m512i large = _mm512_set1_epi32(0x47000000);         /* 2^15 */
    return (__m512)_mm512_mask_permutexvar_epi8(large, second, index, bytes);
}

INLINE void store_pairs(elt *out, __m512 low, __m512 high)
{
    _mm512_store_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Of the 64 columns of a block at b. */
INLINE void scales_q8(unpack_scales *s, const unsigned char *b)
{
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) {
        s->by[c] = half_twice(b + c * 16);
        s->less[c] = s->by[c] * -(0x1p15f + 128);
    }
}

/* k in [k, end) of the block at b, to the block at out. */
INLINE void rows_q8(elt *out, const unsigned char *b, const unpack_scales *s, int k, int end)
{
    const unsigned char *v = b + QUANT_SCALES + k * PANEL;
    out += k * PANEL;
    for (; k < end; k += 2, out += 2 * PANEL)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++, v += 64) {
            prefetch_line(v);
            __m512i bytes = _mm512_loadu_si512(v);
            __m512 x[4];
#pragma GCC unroll 4
            for (int g = 0; g < 4; g++)
                x[g] = _mm512_fmadd_ps(spread(bytes, spread_index(g, false)), s->by[half * 4 + g],
                                       s->less[half * 4 + g]);
            store_pairs(out + half * 64, x[0], x[1]);
            store_pairs(out + half * 64 + 32, x[2], x[3]);
        }
}

/* A byte has two values. Of the one for k odd, in bits 12 to 15, the unit is 16. */
INLINE void scales_q4(unpack_scales *s, const unsigned char *b)
{
    const __m512 unit = (__m512)_mm512_set1_epi64(0x3d8000003f800000);     /* 1, 1 / 16 */
    const __m512 zero = (__m512)_mm512_set1_epi64((long long)0xc7008000c7000800u);
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) {
        s->by[c] = half_twice(b + c * 16) * unit;
        s->less[c] = s->by[c] * zero;
    }
}

INLINE void rows_q4(elt *out, const unsigned char *b, const unpack_scales *s, int k, int end)
{
    const __m512i bits = _mm512_set1_epi64((long long)0xff00f000ff000f00u);
    const unsigned char *v = b + QUANT_SCALES + k / 2 * PANEL;
    out += k * PANEL;
    for (; k < end; k += 2, out += 2 * PANEL, v += PANEL) {
        prefetch_line(v);
        __m512i bytes = _mm512_loadu_si512(v);
        __m512 x[8];
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            __m512i both = (__m512i)spread(bytes, spread_index(g, true));
            x[g] = _mm512_fmadd_ps((__m512)_mm512_and_si512(both, bits), s->by[g], s->less[g]);
        }
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++)
            store_pairs(out + g * 32, x[2 * g], x[2 * g + 1]);
    }
}

INLINE void unpack_q8(elt *out, const unsigned char *b, int n)
{
    unpack_scales s;
    scales_q8(&s, b);
    rows_q8(out, b, &s, 0, n);
}

INLINE void unpack_q4(elt *out, const unsigned char *b, int n)
{
    unpack_scales s;
    scales_q4(&s, b);
    rows_q4(out, b, &s, 0, n);
}

#else

/* To the second cache, which takes more at a time: a line of what is read in some microseconds. */
INLINE void prefetch_block(const unsigned char *p)
{
    enum { AHEAD_BYTES = 16384 };
    __builtin_prefetch((const void *)((uintptr_t)p + AHEAD_BYTES), 0, 2);
}

INLINE vf halves_v(const unsigned char *p)
{
#if VL == 16
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif VL == 8
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    uint16_t half[VL];
    memcpy(half, p, sizeof half);
    vu h = words_v(half), size = h & 0x7fff, small = (vu)(size < 0x400);
    vu normal = (size << 13) + (112 << 23);
    vu tiny = (vu)(__builtin_convertvector((vi)size, vf) * 0x1p-24f);
    return (vf)((h & 0x8000) << 16 | (normal & ~small) | (tiny & small));
#endif
}

/* VL columns of k even and of k odd, to their places. */
INLINE void store_pairs(elt *out, int column, vf even, vf odd)
{
#if HI_F32
    store(out + column, even);
    store(out + PANEL + column, odd);
#elif defined(__AVX512BF16__)
    /* the instruction leaves sixteen of one and then sixteen of the other: */
#define PAIR_WORDS(i) (i) | (16 + (i)) << 16
    const vi order = LANES(PAIR_WORDS);
#undef PAIR_WORDS
    vu words = (vu)_mm512_cvtne2ps_pbh(odd, even);
    store_dwords(out + column * 2, (vu)_mm512_permutexvar_epi16((__m512i)order, (__m512i)words));
#else
    vu low = round_number(even), high = (vu)odd;
    high = (high + 0x7fff + (high >> 16 & 1)) & 0xffff0000;
    store_dwords(out + column * 2, low | high);
#endif
}

INLINE void unpack_q8(elt *out, const unsigned char *b, int n)
{
    for (int i = 0; i < Q8_BLOCK; i += 64)
        prefetch_block(b + i);
    for (int c = 0; c < PANEL; c += VL) {
        vf by = halves_v(b + c * 2), less = by * 128;
        const unsigned char *v = b + QUANT_SCALES + c * 2;
        for (int k = 0; k < n; k += 2, v += PANEL * 2) {
            uint16_t pairs[VL];
            memcpy(pairs, v, sizeof pairs);
            vu w = words_v(pairs);
            store_pairs(out + k * PANEL, c, __builtin_convertvector((vi)w & 255, vf) * by - less,
                        __builtin_convertvector((vi)w >> 8, vf) * by - less);
        }
    }
}

INLINE void unpack_q4(elt *out, const unsigned char *b, int n)
{
    for (int i = 0; i < Q4_BLOCK; i += 64)
        prefetch_block(b + i);
    for (int c = 0; c < PANEL; c += VL) {
        vf by = halves_v(b + c * 2), less = by * 8;
        const unsigned char *v = b + QUANT_SCALES + c;
        for (int k = 0; k < n; k += 2, v += PANEL) {
            vi w = (vi)bytes_v(v);
            store_pairs(out + k * PANEL, c, __builtin_convertvector(w & 15, vf) * by - less,
                        __builtin_convertvector(w >> 4, vf) * by - less);
        }
    }
}

#endif

/* Where what panel_block reads begins: for those who fetch ahead. k is a multiple of 32. */
static inline const char *panel_memory(const kern_matmul *m, int j, int k)
{
    int64_t blocks = (m->k + QUANT_BLOCK - 1) / QUANT_BLOCK;
    if (m->type == KERN_PLAIN)
        return (const char *)(m->w + ((int64_t)j * m->k + k) * PANEL);
    return (const char *)m->w + (j * blocks + k / QUANT_BLOCK) * quant_block_bytes(m->type);
}

/* Of panel j, k in [k, k + n), as panel_block says. */
static __attribute__((noinline, unused)) void unpack_block(const kern_matmul *m, int j, int k,
                                                           int n, elt *room)
{
    int64_t bytes = quant_block_bytes(m->type);
    const unsigned char *b = (const unsigned char *)panel_memory(m, j, k);
    for (; n > 0; n -= QUANT_BLOCK, b += bytes, room += QUANT_BLOCK * PANEL) {
        int some = n < QUANT_BLOCK ? n : QUANT_BLOCK;
        if (m->type == KERN_Q8)
            unpack_q8(room, b, some);
        else
            unpack_q4(room, b, some);
    }
}

/* The packed elements of panel j, k in [k, k + n): [n / 2][PANEL][2] (float: [n][PANEL]), where
   they lie or in room, which has n * PANEL elements and is aligned to 64 bytes. k is a multiple
   of 32. */
static inline const elt *panel_block(const kern_matmul *m, int j, int k, int n, elt *room)
{
    if (m->type == KERN_PLAIN)
        return (const elt *)panel_memory(m, j, k);
    unpack_block(m, j, k, n, room);
    return room;
}

/* kern_body.h: rows [row, row + rows) of panel j from their sums, rows of c PANEL apart, to y. */
static void store_rows(const kern_matmul *m, const float *c, int j, int64_t row, int rows);

#endif
