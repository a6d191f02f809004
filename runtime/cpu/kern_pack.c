/*
** kern_pack.c - the packed layout of weights, and the rotation table.
*/
#include "kern.h"

#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    PAIR = HI_F32 ? 1 : 2,           /* values of k side by side: a word */
    WORDS = 16                       /* of a row at once: a cache line, 4 KiB of a panel */
};

typedef uint32_t four __attribute__((vector_size(16)));

int64_t pack_bytes(int64_t n, int64_t k)
{
    return (n + PANEL - 1) / PANEL * PANEL * k * (int64_t)sizeof(elt);
}

/* Where element (row, 0) of a packed matrix lies; (row, i), i a multiple of PAIR: i * PANEL on. */
static int64_t packed_at(int64_t row, int64_t k)
{
    return row / PANEL * PANEL * k + row % PANEL * PAIR;
}

/* Word i of four rows, src_step words apart, to words 4 i .. 4 i + 3 of rows PANEL words apart. */
static inline void turn_four(uint32_t *dst, const uint32_t *src, int64_t src_step)
{
    four a, b, c, d;

    memcpy(&a, src, sizeof a);
    memcpy(&b, src + src_step, sizeof b);
    memcpy(&c, src + 2 * src_step, sizeof c);
    memcpy(&d, src + 3 * src_step, sizeof d);
    four ab = __builtin_shuffle(a, b, (four){ 0, 4, 1, 5 });
    four cd = __builtin_shuffle(c, d, (four){ 0, 4, 1, 5 });
    four ab2 = __builtin_shuffle(a, b, (four){ 2, 6, 3, 7 });
    four cd2 = __builtin_shuffle(c, d, (four){ 2, 6, 3, 7 });
    a = __builtin_shuffle(ab, cd, (four){ 0, 1, 4, 5 });
    b = __builtin_shuffle(ab, cd, (four){ 2, 3, 6, 7 });
    c = __builtin_shuffle(ab2, cd2, (four){ 0, 1, 4, 5 });
    d = __builtin_shuffle(ab2, cd2, (four){ 2, 3, 6, 7 });
    memcpy(dst, &a, sizeof a);
    memcpy(dst + PANEL, &b, sizeof b);
    memcpy(dst + 2 * PANEL, &c, sizeof c);
    memcpy(dst + 3 * PANEL, &d, sizeof d);
}

/* 'words' words of 'rows' rows, each src_step words behind the last, to columns of one panel. */
static void turn(uint32_t *dst, const uint32_t *src, int64_t src_step, int64_t rows, int64_t words)
{
    int64_t r = 0, w;

    for (; r + 4 <= rows; r += 4) {
        for (w = 0; w + 4 <= words; w += 4)
            turn_four(dst + w * PANEL + r, src + r * src_step + w, src_step);
        for (; w < words; w++)
            for (int64_t i = r; i < r + 4; i++)
                memcpy(dst + w * PANEL + i, src + i * src_step + w, sizeof *dst);
    }
    for (; r < rows; r++)
        for (w = 0; w < words; w++)
            memcpy(dst + w * PANEL + r, src + r * src_step + w, sizeof *dst);
}

/* Past the caches where this can be said: nothing will read the weights so soon. With ordinary
   stores every line would be fetched first, half as much traffic again. */
static void put_away(uint32_t *dst, const uint32_t *from, int64_t words)
{
#if defined(__SSE2__)
    if ((uintptr_t)dst % sizeof(__m128i) == 0) {
        for (int64_t i = 0; i < words; i += 4)
            _mm_stream_si128((__m128i *)(dst + i), *(const __m128i *)(from + i));
        return;
    }
#endif
    memcpy(dst, from, (size_t)words * sizeof *dst);
}

/* Rows that all lie in one panel; a whole one goes by way of a block in the first cache. */
static void pack_panel(uint32_t *dst, const uint32_t *src, int64_t rows, int64_t words)
{
    _Alignas(64) uint32_t block[WORDS * PANEL];

    for (int64_t w = 0; w < words; w += WORDS) {
        int64_t n = words - w < WORDS ? words - w : WORDS;
        if (rows < PANEL) {
            turn(dst + w * PANEL, src + w, words, rows, n);
            continue;
        }
        turn(block, src + w, words, PANEL, n);
        put_away(dst + w * PANEL, block, n * PANEL);
    }
}

void pack_rows(elt *dst, const elt *src, int64_t row0, int64_t rows, int64_t k)
{
    while (rows > 0) {
        int64_t some = PANEL - row0 % PANEL;
        if (some > rows)
            some = rows;
        pack_panel((uint32_t *)(dst + packed_at(row0, k)), (const uint32_t *)src, some, k / PAIR);
        src += some * k;
        row0 += some;
        rows -= some;
    }
#if defined(__SSE2__)
    _mm_sfence();                    /* what is then said to be there is there */
#endif
}

void unpack_row(elt *dst, const elt *packed, int64_t row, int64_t k)
{
    packed += packed_at(row, k);
    for (int64_t i = 0; i < k; i += PAIR)
        memcpy(dst + i, packed + i * PANEL, PAIR * sizeof(elt));
}

/* In double and then rounded: the same bits with every mathematics library. */
void rope_row(float *cs, const float *freq, float scale, int64_t pos)
{
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        float angle = (float)pos * freq[i];
        cs[2 * i] = (float)cos(angle) * scale;
        cs[2 * i + 1] = (float)sin(angle) * scale;
    }
}
