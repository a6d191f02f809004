/*
** kern_attend.h - attention of one KV head, on top of a matrix product.
**
** Every instruction set but AMX. Keys and values of a block are packed once per chunk of rows;
** then for every group of rows: scores, softmax step, output.
*/
#ifndef KERN_ATTEND_H
#define KERN_ATTEND_H

#include "kern_merge.h"
#include "kern_product.h"

enum {
    /* Rows that share a packed block: their output takes 128 KiB of the second cache. */
    CHUNK_WANT = 32768 / HEAD_DIM,
    CHUNK = CHUNK_WANT < 512 ? CHUNK_WANT : 512,
    KEY_DWORDS = HEAD_DIM * (int)sizeof(elt) / 4,
    LINES = KEY_BLOCK * HEAD_DIM * (int)sizeof(elt) / 64   /* cache lines of a block's keys */
};

static_assert(ROW_GROUP % VL == 0, "the softmax step works on whole vectors of rows");

/* A call's memory, on the stack: 200 to 300 KiB, 600 with floats and a head of 256. */
typedef struct work {
    _Alignas(64) uint32_t keys[KEY_DWORDS][KEY_BLOCK];     /* packed: [HEAD_DIM / 2][key][2] */
    elt values[KEY_BLOCK * HEAD_DIM];                      /* packed: [key / 2][HEAD_DIM][2] */
    float scores[ROW_GROUP][KEY_BLOCK];
    elt probabilities[ROW_GROUP][KEY_BLOCK];
    elt q[CHUNK][HEAD_DIM];
    float o[CHUNK][HEAD_DIM];                              /* the part */
    float ml[CHUNK][2];
    /* of every row of the part: maximum (of scores times log2 e) and sum so far */
    float max[CHUNK + ROW_GROUP], sum[CHUNK + ROW_GROUP];
    /* of the group's rows: largest score, then -max; factor of what came before; new sum */
    float shift[ROW_GROUP], alpha[ROW_GROUP], total[ROW_GROUP];
    const char *next_k, *next_v;                           /* the next block, to prefetch: */
    int line, lines;                                       /* lines [line, lines) of each */
} work;

/* Queries of rows [r0, r0 + n), side by side. */
static void gather_queries(work *w, const kern_attend *a, int64_t r0, int n)
{
    for (int i = 0; i < n; i++) {
        const elt *q = a->q + (r0 + i) / GQA * a->q_stride + (r0 + i) % GQA * HEAD_DIM;
        memcpy(w->q[i], q, HEAD_DIM * sizeof(elt));
    }
}

/*
** Starts some lines of the next block's keys and values on their way into the second cache.
** Called wherever there is work to hide them behind: all at once they would wait for one
** another, and the work for them.
*/
INLINE void prefetch_some(work *w, int lines)
{
    int end = w->line + lines < w->lines ? w->line + lines : w->lines;
    for (int i = w->line; i < end; i++) {
        __builtin_prefetch(w->next_k + i * 64, 0, 2);
        __builtin_prefetch(w->next_v + i * 64, 0, 2);
    }
    w->line = end;
}

/* n keys to w->keys; columns past them are zero, their scores masked. */
static void pack_keys(work *w, const elt *k, int n)
{
    elt rest[VL][HEAD_DIM];          /* the last VL keys where not all of them exist */
    for (int i = 0; i < KEY_BLOCK; i += VL) {
        const elt *rows = rest[0];
        if (i + VL <= n) {
            rows = k + (int64_t)i * HEAD_DIM;
        } else {
            memset(rest, 0, sizeof rest);
            if (i < n)
                memcpy(rest, k + (int64_t)i * HEAD_DIM, (size_t)(n - i) * sizeof rest[0]);
        }
        for (int d = 0; d < KEY_DWORDS; d += 4)
            transpose_quad(&w->keys[d][i], KEY_BLOCK, (const char *)rows + d * 4, sizeof rest[0]);
        prefetch_some(w, LINES * VL / KEY_BLOCK / 4);
    }
}

#if HI_F32

/* n values to w->values, rows past them zero: their probability is 0, and 0 x NaN is NaN. */
static void pack_values(work *w, const elt *v, int n)
{
    memcpy(w->values, v, (size_t)n * HEAD_DIM * sizeof(elt));
    memset(w->values + n * HEAD_DIM, 0, (size_t)(KEY_BLOCK - n) * HEAD_DIM * sizeof(elt));
}

#else

/* n values to w->values, rows past them zero: their probability is 0, and 0 x NaN is NaN. */
static void pack_values(work *w, const elt *v, int n)
{
    static const elt none[HEAD_DIM];
    for (int i = 0; i < KEY_BLOCK; i += 2) {
        const elt *even = i < n ? v + (int64_t)i * HEAD_DIM : none;
        const elt *odd = i + 1 < n ? v + (int64_t)(i + 1) * HEAD_DIM : none;
        for (int d = 0; d < HEAD_DIM; d += VL)
            store_dwords(w->values + i * HEAD_DIM + d * 2,
                         words_v(even + d) | (words_v(odd + d) << 16));
        prefetch_some(w, LINES * 2 / KEY_BLOCK / 4);
    }
}

#endif

/* A packed block as rows see it. */
typedef struct block {
    int valid;                       /* keys in it */
    bool fresh;                      /* the part's first: outputs begin here */
    int64_t seen_by_0;               /* keys up to the position of token 0; may be negative */
    int64_t hidden_0;                /* keys before its window; may be negative, or beyond all */
} block;

/* A row's scores times log2 e, capped. */
INLINE void cap_scores(float *s, float scale)
{
    for (int j = 0; j < KEY_BLOCK; j += VL)
        store(s + j, cap_v(load(s + j), scale / LOG2_E, (float)ATTN_SOFTCAP) * LOG2_E);
}

/* A row's largest score among the keys it sees, [hidden, visible); the others become -inf, so p
   exactly 0. */
INLINE float mask_and_max(float *s, int hidden, int visible)
{
    for (int j = 0; j < hidden; j++)
        s[j] = -INFINITY;
    for (int j = visible; j < KEY_BLOCK; j++)
        s[j] = -INFINITY;
    vf top = load(s);
    for (int j = VL; j < KEY_BLOCK; j += VL)
        top = max_v(top, load(s + j));
    return reduce_max(top)[0];
}

/* A row's probabilities, of the maximum -shift; returns their sum before they are rounded. */
INLINE float exponentials(elt *p, const float *s, float scale, float shift)
{
    vf sum = splat(0);
    for (int j = 0; j < KEY_BLOCK; j += 2 * VL) {
        vf x = exp2_v(fma_v(load(s + j), splat(scale), splat(shift)));
        vf y = exp2_v(fma_v(load(s + j + VL), splat(scale), splat(shift)));
        sum += x;
        sum += y;
        store_probabilities(p + j, x, y);
    }
    return reduce_add(sum)[0];
}

/* A count of keys that may be beyond the block. */
INLINE int key_of(int64_t keys)
{
    return keys < KEY_BLOCK ? (int)keys : KEY_BLOCK;
}

/* New maxima of VL rows from their largest scores. Scores of -inf alone, out of overflow,
   must not make inf - inf. */
static void step_max(work *w, int r, int i, float scale)
{
    vf old = load(w->max + r + i), max = max_v(load(w->shift + i) * scale, old);
    vf shift = (vf)((vu)-max & ~(vu)(max == -INFINITY));
    store(w->max + r + i, max);
    store(w->shift + i, shift);
    store(w->alpha + i, exp2_v(old + shift));
}

/*
** The softmax step of rows [r, r + rows) of the chunk that begins at row r0. In passes over
** all of them: one row's maximum is a chain of operations that wait for one another, and
** the processor finds others to do only if they stand near by. Lanes past the last row
** compute nonsense that nobody reads.
*/
static void softmax_step(work *w, const block *b, int64_t r0, int r, int rows)
{
    const float plain = (float)(1.4426950408889634 / sqrt(QUERY_SCALAR));    /* exp is exp2 here */
    const float scale = ATTN_SOFTCAP > 0 ? 1 : plain;
    for (int i = 0; i < rows; i++) {
        int64_t seen = b->seen_by_0 + (r0 + r + i) / GQA, hidden = b->hidden_0 + (r0 + r + i) / GQA;
        if (ATTN_SOFTCAP > 0)
            cap_scores(w->scores[i], plain);
        w->shift[i] = mask_and_max(w->scores[i], ATTN_WINDOW && hidden > 0 ? key_of(hidden) : 0,
                                   key_of(seen < b->valid ? seen : b->valid));
    }
    for (int i = 0; i < rows; i += VL)
        step_max(w, r, i, scale);
    for (int i = 0; i < rows; i++) {
        w->total[i] = exponentials(w->probabilities[i], w->scores[i], scale, w->shift[i]);
        prefetch_some(w, 1 + (w->lines - w->line) / (rows - i));
    }
    for (int i = 0; i < rows; i += VL) {
        vf sum = load(w->sum + r + i) * load(w->alpha + i);
        store(w->sum + r + i, sum + load(w->total + i));
    }
}

static void scale_row(float *o, float by)
{
    for (int d = 0; d < HEAD_DIM; d++)
        o[d] *= by;
}

/* Rows [first, n) of the chunk that begins at row r0; each sees at least one key. */
static void attend_rows(work *w, const block *b, int64_t r0, int first, int n)
{
    for (int r = first; r < n; r += ROW_GROUP) {
        int rows = n - r < ROW_GROUP ? n - r : ROW_GROUP;
        product_args s = { .c = w->scores[0], .c_row = KEY_BLOCK, .a = w->q[r], .a_row = HEAD_DIM,
                           .b = (const elt *)w->keys, .b_columns = KEY_BLOCK, .k = HEAD_DIM };
        product(&s, rows, KEY_BLOCK);
        softmax_step(w, b, r0, r, rows);
        for (int i = 0; i < rows && !b->fresh; i++)
            scale_row(w->o[r + i], w->alpha[i]);
        product_args o = { .c = w->o[r], .c_row = HEAD_DIM, .a = w->probabilities[0],
                           .a_row = KEY_BLOCK, .b = w->values, .b_columns = HEAD_DIM,
                           .k = KEY_BLOCK, .add = !b->fresh };
        product(&o, rows, HEAD_DIM);
    }
}

static void empty_rows(work *w, int n)
{
    memset(w->o, 0, (size_t)n * sizeof w->o[0]);
    for (int i = 0; i < n + VL; i++) {           /* whole vectors of the last rows */
        w->max[i] = -INFINITY;
        w->sum[i] = 0;
    }
}

/* The part of rows [r0, r0 + n), whose queries are gathered, over one split. */
static void part(work *w, const kern_attend *a, int64_t split, int64_t r0, int n)
{
    empty_rows(w, n);
    for (int64_t key = split * KEY_SPLIT; key < (split + 1) * KEY_SPLIT; key += KEY_BLOCK) {
        int64_t left = a->n_keys - key, next = left - KEY_BLOCK;
        block b = { .valid = left < KEY_BLOCK ? (int)left : KEY_BLOCK,
                    .fresh = key == split * KEY_SPLIT,
                    .seen_by_0 = a->pos0 - (a->key0 + key) + 1 };
        /* Rows that see none of these keys come first: nothing of them is touched. */
        int64_t first = (b.seen_by_0 < 1 ? 1 - b.seen_by_0 : 0) * GQA - r0;
        if (left <= 0 || first >= n)
            break;
        b.hidden_0 = a->window > 0 ? b.seen_by_0 - a->window : INT64_MIN / 2;
        if (ATTN_WINDOW && b.hidden_0 + (r0 + (first > 0 ? first : 0)) / GQA >= b.valid)
            continue;                /* before the windows of all rows */
        w->next_k = (const char *)(a->k + (key + b.valid) * HEAD_DIM);
        w->next_v = (const char *)(a->v + (key + b.valid) * HEAD_DIM);
        w->line = 0;
        w->lines = next <= 0 ? 0 : next < KEY_BLOCK ? (int)next * LINES / KEY_BLOCK : LINES;
        pack_keys(w, a->k + key * HEAD_DIM, b.valid);
        pack_values(w, a->v + key * HEAD_DIM, b.valid);
        attend_rows(w, &b, r0, first > 0 ? (int)first : 0, n);
    }
    for (int i = 0; i < n; i++) {
        w->ml[i][0] = w->max[i];
        w->ml[i][1] = w->sum[i];
    }
}

static void merge(float *o, float *ml, const float *part_o, const float *part_ml, int64_t rows)
{
    merge_rows(o, ml, part_o, part_ml, rows);
}

/* The first split that a row of the window of row r0, or of a later one, sees. */
static int64_t first_split(const kern_attend *a, int64_t r0)
{
    int64_t first = a->pos0 + r0 / GQA - a->window + 1 - a->key0;
    return ATTN_WINDOW && a->window > 0 && first > 0 ? first / KEY_SPLIT : 0;
}

static void attend(const kern_attend *a, int64_t r0, int64_t r1)
{
    work w;
    for (; r0 < r1; r0 += CHUNK) {
        int n = r1 - r0 < CHUNK ? (int)(r1 - r0) : CHUNK;
        int64_t last = a->pos0 + (r0 + n - 1) / GQA;       /* position of the last row */
        gather_queries(&w, a, r0, n);
        for (int64_t s = first_split(a, r0);
             s * KEY_SPLIT < a->n_keys && a->key0 + s * KEY_SPLIT <= last; s++) {
            part(&w, a, s, r0, n);
            merge(a->o + r0 * HEAD_DIM, a->ml + r0 * 2, w.o[0], w.ml[0], n);
        }
    }
}

static void attend_parts(const kern_attend *a, int64_t s0, int64_t s1, int64_t r0, int64_t r1,
                         float *part_o, float *part_ml)
{
    work w;
    for (int64_t r = r0; r < r1; r += CHUNK) {
        int n = r1 - r < CHUNK ? (int)(r1 - r) : CHUNK;
        gather_queries(&w, a, r, n);
        for (int64_t s = s0; s < s1; s++) {
            int64_t at = (s - s0) * (r1 - r0) + r - r0;
            part(&w, a, s, r, n);
            memcpy(part_o + at * HEAD_DIM, w.o, (size_t)n * sizeof w.o[0]);
            memcpy(part_ml + at * 2, w.ml, (size_t)n * sizeof w.ml[0]);
        }
    }
}

#endif
