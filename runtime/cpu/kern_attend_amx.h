/*
** kern_attend_amx.h - attention of one KV head in tiles of AMX.
**
** Scores are computed transposed, S^T = K Q^T: keys are the left operand as they lie in memory,
** and a row's maximum and sum run across vectors. Few rows (a decoded token) share narrow tiles
** and meet v as P V, v interleaved in pairs of keys; many rows (prefill) meet it as V^T P^T, v
** transposed once for all rows of a chunk. A sum adds the same products in the same order both
** ways, so the bits are the same.
*/
#ifndef KERN_ATTEND_AMX_H
#define KERN_ATTEND_AMX_H

#include "kern_merge.h"
#include "kern_softmax.h"

enum {
    DEPTH = (HEAD_DIM + 31) / 32 * 32,           /* of a score's sum, zero-padded */
    LINES = KEY_BLOCK * HEAD_DIM * (int)sizeof(elt) / 64   /* cache lines of a block's keys */
};

/* ---- tiles ---- */

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* What products expect. */
static const tile_config WHOLE = { .palette = 1,
                                   .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
                                   .rows = { 16, 16, 16, 16, 16, 16, 16, 16 } };

/* Of few rows: 0 scores (16 keys x rows), 1 queries, 2 keys or values, 3 probabilities,
   4-7 output. */
static const tile_config NARROW = { .palette = 1,
                                    .row_bytes = { FEW * 4, FEW * 4, 64, 64, 64, 64, 64, 64 },
                                    .rows = { 16, 16, 16, FEW, FEW, FEW, FEW, FEW } };

#define TILE_CONFIG(config) __asm__ volatile("ldtilecfg %0" : : "m"(config))

/* ---- blocks ---- */

/* Rows that do not lie in memory as tiles want them: a head's last step of d is not whole, or
   there are fewer than KEY_BLOCK; zeros take the place of what is missing. */
typedef struct padding {
    _Alignas(64) elt k[KEY_BLOCK][DEPTH], v[KEY_BLOCK][HEAD_DIM];
} padding;

/* KEY_BLOCK keys, or what there is of them. */
typedef struct block {
    const elt *k, *v;                /* (KEY_BLOCK, DEPTH), (KEY_BLOCK, HEAD_DIM) */
    int valid;                       /* keys in it */
    int64_t seen_by_0;               /* keys up to the position of token 0; may be negative */
    int64_t hidden_0;                /* keys before its window; may be negative, or beyond all */
} block;

static block block_at(padding *pad, const kern_attend *a, int64_t key)
{
    int64_t left = a->n_keys - key;
    block b = { .k = a->k + key * HEAD_DIM,
                .v = a->v + key * HEAD_DIM,
                .valid = left < KEY_BLOCK ? left < 0 ? 0 : (int)left : KEY_BLOCK,
                .seen_by_0 = a->pos0 - (a->key0 + key) + 1 };
    b.hidden_0 = ATTN_WINDOW && a->window > 0 ? b.seen_by_0 - a->window : INT64_MIN / 2;
    if (b.valid == KEY_BLOCK && DEPTH == HEAD_DIM)
        return b;
    memset(pad->k, 0, sizeof pad->k);
    for (int i = 0; i < b.valid; i++)
        memcpy(pad->k[i], b.k + i * HEAD_DIM, HEAD_DIM * sizeof(elt));
    b.k = pad->k[0];
    if (b.valid < KEY_BLOCK) {
        memcpy(pad->v, b.v, (size_t)b.valid * sizeof pad->v[0]);
        memset(pad->v[b.valid], 0, (size_t)(KEY_BLOCK - b.valid) * sizeof pad->v[0]);
        b.v = pad->v[0];
    }
    return b;
}

/* Does any of the tokens first .. last see a key of the block? */
static bool any_seen(const block *b, int64_t first, int64_t last)
{
    return b->valid > 0 && b->seen_by_0 + last > 0 &&
           !(ATTN_WINDOW && b->hidden_0 + first >= b->valid);
}

/* Does each of them see all of KEY_BLOCK? */
static bool all_seen(const block *b, int64_t first, int64_t last)
{
    return b->valid == KEY_BLOCK && b->seen_by_0 + first >= KEY_BLOCK &&
           !(ATTN_WINDOW && b->hidden_0 + last > 0);
}

static int key_count(int64_t keys)
{
    return keys < 0 ? 0 : keys < KEY_BLOCK ? (int)keys : KEY_BLOCK;
}

/* Lines on their way into the second cache, some at a time beside all work: all at once they would
   wait for one another, and the work for them. The stream is k and v in turn. */
typedef struct fetch {
    const char *k, *v;
    int line, end;
} fetch;

INLINE void fetch_some(fetch *f, int lines)
{
    int end = f->line + lines < f->end ? f->line + lines : f->end;
    for (int i = f->line; i < end; i++) {
        __builtin_prefetch(f->k + i * 64, 0, 2);
        __builtin_prefetch(f->v + i * 64, 0, 2);
    }
    f->line = end;
}

/* Keys of the block at 'key', values of the one before. Of a block that is not whole nothing. */
static fetch fetch_at(const kern_attend *a, int64_t key, int64_t end)
{
    return (fetch){ .k = (const char *)(a->k + key * HEAD_DIM),
                    .v = (const char *)(a->v + (key - KEY_BLOCK) * HEAD_DIM),
                    .end = key + KEY_BLOCK <= end ? LINES : 0 };
}

/* The two vectors of 32 columns of rows a and b, interleaved: columns 0-3, 8-11, .. of the
   pieces of 4 in lo, 4-7, 12-15, .. in hi. The last 16 of a head may be alone. */
INLINE void interleave(const elt *a, const elt *b, int d, vu *lo, vu *hi)
{
    __mmask32 there = d + 32 <= HEAD_DIM ? 0xffffffff : 0xffff;
    __m512i x = _mm512_maskz_loadu_epi16(there, a + d), y = _mm512_maskz_loadu_epi16(there, b + d);
    *lo = (vu)_mm512_unpacklo_epi16(x, y);
    *hi = (vu)_mm512_unpackhi_epi16(x, y);
}

#include "kern_amx_few.h"
#include "kern_amx_many.h"

static void merge(float *o, float *ml, const float *part_o, const float *part_ml, int64_t rows)
{
    unsigned mode = flush_subnormal();
    merge_rows(o, ml, part_o, part_ml, rows);
    restore_mode(mode);
}

/* The first split that a row of the window of row r0, or of a later one, sees. */
static int64_t first_split(const kern_attend *a, int64_t r0)
{
    int64_t first = a->pos0 + r0 / GQA - a->window + 1 - a->key0;
    return ATTN_WINDOW && a->window > 0 && first > 0 ? first / KEY_SPLIT : 0;
}

/* The end of the splits that a row before r1 sees. */
static int64_t end_split(const kern_attend *a, int64_t r1)
{
    int64_t seen = a->pos0 + (r1 - 1) / GQA - a->key0 + 1;
    if (seen > a->n_keys)
        seen = a->n_keys;
    return (seen + KEY_SPLIT - 1) / KEY_SPLIT;
}

static __attribute__((noinline)) void attend_few(const kern_attend *a, int64_t r0, int n)
{
    few w;
    TILE_CONFIG(NARROW);
    few_queries(&w, a, r0, n);
    few_splits(&w, a, r0, n, first_split(a, r0), end_split(a, r0 + n), a->o + r0 * HEAD_DIM,
               a->ml + r0 * 2, true);
    TILE_CONFIG(WHOLE);
}

static __attribute__((noinline)) void attend_many(const kern_attend *a, int64_t r0, int64_t r1)
{
    many w;
    for (; r0 < r1; r0 += CHUNK) {
        int n = r1 - r0 < CHUNK ? (int)(r1 - r0) : CHUNK;
        many_queries(&w, a, r0, n);
        many_carry(&w, a, r0, n, false);
        for (int64_t s = first_split(a, r0), end = end_split(a, r0 + n); s < end; s++)
            many_split(&w, a, s, n, NULL, NULL);
        many_carry(&w, a, r0, n, true);
    }
}

static void attend(const kern_attend *a, int64_t r0, int64_t r1)
{
    unsigned mode = flush_subnormal();
    if (r1 - r0 <= FEW)
        attend_few(a, r0, (int)(r1 - r0));
    else
        attend_many(a, r0, r1);
    restore_mode(mode);
}

static __attribute__((noinline)) void parts_few(const kern_attend *a, int64_t s0, int64_t s1,
                                                int64_t r0, int n, float *part_o, float *part_ml)
{
    few w;
    TILE_CONFIG(NARROW);
    few_queries(&w, a, r0, n);
    few_splits(&w, a, r0, n, s0, s1, part_o, part_ml, false);
    TILE_CONFIG(WHOLE);
}

static __attribute__((noinline)) void parts_many(const kern_attend *a, int64_t s0, int64_t s1,
                                                 int64_t r0, int64_t r1, float *part_o,
                                                 float *part_ml)
{
    many w;
    for (int64_t r = r0; r < r1; r += CHUNK) {
        int n = r1 - r < CHUNK ? (int)(r1 - r) : CHUNK;
        many_queries(&w, a, r, n);
        for (int64_t s = s0; s < s1; s++) {
            int64_t at = (s - s0) * (r1 - r0) + r - r0;
            many_split(&w, a, s, n, part_o + at * HEAD_DIM, part_ml + at * 2);
        }
    }
}

static void attend_parts(const kern_attend *a, int64_t s0, int64_t s1, int64_t r0, int64_t r1,
                         float *part_o, float *part_ml)
{
    unsigned mode = flush_subnormal();
    if (r1 - r0 <= FEW)
        parts_few(a, s0, s1, r0, (int)(r1 - r0), part_o, part_ml);
    else
        parts_many(a, s0, s1, r0, r1, part_o, part_ml);
    restore_mode(mode);
}

#endif
