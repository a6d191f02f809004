/*
** kern_softmax.h - softmax steps where a vector holds scores of one or more keys, rows in lanes.
**
** Lane l is row l % FEW and key l / FEW of the vector's, or (many rows) row l of one key. A row's
** sum is of PARTIAL sums, of the keys of equal remainder, added in halves: the same in both.
*/
#ifndef KERN_SOFTMAX_H
#define KERN_SOFTMAX_H

#include "kern_vec.h"

enum {
    FEW = GQA <= 1 ? 1 : GQA <= 2 ? 2 : GQA <= 4 ? 4 : GQA <= 8 ? 8 : 16,
    PARTIAL = VL / FEW > 4 ? VL / FEW : 4
};

/* Of scores, to units of log2; capped ones are in them. */
#define SCORE_SCALE ((float)(1.4426950408889634 / sqrt(QUERY_SCALAR)))
#define SCALE (ATTN_SOFTCAP > 0 ? 1 : SCORE_SCALE)

static void cap_scores(float *s, int n)
{
    for (int i = 0; i < n; i += VL)
        store(s + i, cap_v(load(s + i), SCORE_SCALE / LOG2_E, (float)ATTN_SOFTCAP) * LOG2_E);
}

INLINE vf probability_v(vf score, vf shift)
{
    return exp2_low_v(fma_v(score, splat(SCALE), shift));
}

/*
** The new maximum from a block's largest scores, and -max for the exponents; returns the factor of
** what came before. Scores of -inf alone, out of overflow, must not make inf - inf.
*/
INLINE vf step_max(vf *max, vf top, vf *shift)
{
    vf old = *max;
    *max = max_v(top * splat(SCALE), old);
    *shift = (vf)((vu)-*max & ~(vu)(*max == -INFINITY));
    return exp2_v(old + *shift);
}

/* Across the keys of a vector: to all lanes. */
INLINE vf max_of_keys(vf v)
{
    if (FEW <= 8)
        v = max_v(v, swap_v(v, BY8));
    if (FEW <= 4)
        v = max_v(v, swap_v(v, BY4));
    if (FEW <= 2)
        v = max_v(v, swap_v(v, BY2));
    return FEW <= 1 ? max_v(v, swap_v(v, BY1)) : v;
}

INLINE vf sum_of_keys(vf v)
{
    if (FEW <= 8)
        v += swap_v(v, BY8);
    if (FEW <= 4)
        v += swap_v(v, BY4);
    if (FEW <= 2)
        v += swap_v(v, BY2);
    return FEW <= 1 ? v + swap_v(v, BY1) : v;
}

/* Rounded to the nearest element (none is NaN, negative, or meant where it is): x in the low
   halves, y in the high ones. */
INLINE vu pair_words(vf x, vf y)
{
    vu u = (vu)x + 0x8000, v = (vu)y + 0x8000;
    return (u >> 16) | (v & 0xffff0000);
}

/* Pairs of two vectors of VL / FEW keys each: to p[row][key], from 'key' on. */
INLINE void few_store(elt p[][KEY_BLOCK], int key, vu pairs)
{
    enum { KEYS = VL / FEW };
#define WORD(i) 2 * ((i) % (2 * KEYS) % KEYS * FEW + (i) / (2 * KEYS)) + (i) % (2 * KEYS) / KEYS
#define WORDS8(i) WORD(i), WORD(i + 1), WORD(i + 2), WORD(i + 3), WORD(i + 4), WORD(i + 5),        \
                  WORD(i + 6), WORD(i + 7)
    static const uint16_t order[32] = { WORDS8(0), WORDS8(8), WORDS8(16), WORDS8(24) };
    elt rows[FEW][2 * KEYS];
    _mm512_storeu_si512(rows, _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)pairs));
    for (int r = 0; r < FEW; r++)
        memcpy(p[r] + key, rows[r], sizeof rows[0]);
#undef WORD
#undef WORDS8
}

#endif
