/*
** kern_attend.h - attention of one KV head, on top of a matrix product.
**
** Needs product(), K_STEP, ROW_STEP and ROW_GROUP of the instruction set. Keys and values
** of a block are packed once per chunk of rows; then for every group of rows: scores,
** softmax step, output.
*/
#ifndef KERN_ATTEND_H
#define KERN_ATTEND_H

#include "kern_vec.h"

enum {
    DEPTH = (HEAD_DIM + K_STEP - 1) / K_STEP * K_STEP,     /* of a score's sum, zero-padded */
    /* Rows that share a packed block: their output takes 128 KiB of the second cache. */
    CHUNK_WANT = 32768 / HEAD_DIM,
    CHUNK = CHUNK_WANT < 512 ? CHUNK_WANT : 512,
    /* Products work on whole steps of rows: the last step may begin at row CHUNK - 1. What
       lies in the rows past the last one reaches no other row. */
    CHUNK_ROWS = CHUNK + ROW_STEP,
    KEY_DWORDS = HEAD_DIM * (int)sizeof(elt) / 4,
    DEPTH_DWORDS = DEPTH * (int)sizeof(elt) / 4
};

/* A call's memory, on the stack: about 400 KiB at most. */
typedef struct work {
    _Alignas(64) uint32_t keys[DEPTH_DWORDS][KEY_BLOCK];   /* packed: [HEAD_DIM / 2][key][2] */
    elt values[KEY_BLOCK * HEAD_DIM];                      /* packed: [key / 2][HEAD_DIM][2] */
    float scores[ROW_GROUP][KEY_BLOCK];
    elt probabilities[ROW_GROUP][KEY_BLOCK];
    elt q[CHUNK_ROWS][DEPTH];
    float o[CHUNK_ROWS][HEAD_DIM];                         /* the part: running output, */
    float ml[CHUNK_ROWS][2];                               /* maximum (times log2 e), sum */
} work;

/* Queries of rows [r0, r0 + n), side by side. */
static void gather_queries(work *w, const kern_attend *a, int64_t r0, int n)
{
    for (int i = 0; i < n; i++) {
        const elt *q = a->q + (r0 + i) / GQA * a->q_stride + (r0 + i) % GQA * HEAD_DIM;
        memcpy(w->q[i], q, HEAD_DIM * sizeof(elt));
        memset(w->q[i] + HEAD_DIM, 0, (DEPTH - HEAD_DIM) * sizeof(elt));
    }
}

/* n keys to w->keys; columns past them are zero: 0 x NaN would not be. */
static void pack_keys(work *w, const elt *k, int n)
{
    enum { PAD = (DEPTH_DWORDS - KEY_DWORDS) * KEY_BLOCK };
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
    }
    memset((uint32_t *)w->keys + KEY_DWORDS * KEY_BLOCK, 0, PAD * sizeof(uint32_t));
}

#if HI_F32

/* n values to w->values, rows past them zero. */
static void pack_values(work *w, const elt *v, int n)
{
    memcpy(w->values, v, (size_t)n * HEAD_DIM * sizeof(elt));
    memset(w->values + n * HEAD_DIM, 0, (size_t)(KEY_BLOCK - n) * HEAD_DIM * sizeof(elt));
}

#else

static void pack_values(work *w, const elt *v, int n)
{
    static const elt none[HEAD_DIM];
    for (int i = 0; i < KEY_BLOCK; i += 2) {
        const elt *even = i < n ? v + (int64_t)i * HEAD_DIM : none;
        const elt *odd = i + 1 < n ? v + (int64_t)(i + 1) * HEAD_DIM : none;
        for (int d = 0; d < HEAD_DIM; d += VL)
            store_dwords(w->values + i * HEAD_DIM + d * 2,
                         load_words(even + d) | (load_words(odd + d) << 16));
    }
}

#endif

/* Starts n rows of k and v on their way into the second cache. */
static void prefetch_rows(const elt *k, const elt *v, int64_t n)
{
    for (int64_t i = 0; i < n * HEAD_DIM; i += 64 / (int64_t)sizeof(elt)) {
        __builtin_prefetch(k + i, 0, 2);
        __builtin_prefetch(v + i, 0, 2);
    }
}

/*
** One row's softmax step over a block of which it sees 'visible' keys (at least one).
** Scores become probabilities of the new maximum; returns what the row's output must be
** multiplied by, exactly 1 where the maximum stays.
*/
static float softmax_step(float *s, elt *p, float *ml, int visible)
{
    const float scale = (float)(1.4426950408889634 / sqrt(HEAD_DIM));    /* exp is exp2 here */
    for (int j = visible; j < KEY_BLOCK; j++)
        s[j] = -INFINITY;
    vf top = load(s);
    for (int j = VL; j < KEY_BLOCK; j += VL)
        top = max_v(top, load(s + j));
    float max = reduce_max(top)[0] * scale;
    max = max > ml[0] ? max : ml[0];
    vf shift = splat(max == -INFINITY ? 0 : -max), sum = splat(0);
    for (int j = 0; j < KEY_BLOCK; j += VL) {
        vf e = exp2_v(fma_v(load(s + j), splat(scale), shift));
        sum += e;
        store_probabilities(p + j, e);
    }
    float alpha = exp2_v(splat(ml[0]) + shift)[0];
    ml[0] = max;
    ml[1] = ml[1] * alpha + reduce_add(sum)[0];
    return alpha;
}

static void scale_row(float *o, float by)
{
    for (int d = 0; d < HEAD_DIM; d++)
        o[d] *= by;
}

/*
** Rows [first, n) of the chunk that begins at row r0, over the packed block of 'valid' keys,
** of which the rows of token 0 see the first seen_by_0 (none or less: may be negative).
*/
static void attend_rows(work *w, int first, int n, int64_t seen_by_0, int64_t r0, int valid)
{
    for (int r = first; r < n; r += ROW_GROUP) {
        int rows = n - r < ROW_GROUP ? n - r : ROW_GROUP;
        product_args s = { w->scores[0], w->q[r], (const elt *)w->keys, KEY_BLOCK, DEPTH, KEY_BLOCK,
                           DEPTH, false };
        product(&s, rows, KEY_BLOCK);
        for (int i = 0; i < rows; i++) {
            int64_t seen = seen_by_0 + (r0 + r + i) / GQA;
            int visible = seen < valid ? (int)seen : valid;
            float alpha = softmax_step(w->scores[i], w->probabilities[i], w->ml[r + i], visible);
            if (alpha != 1)          /* also where it is NaN */
                scale_row(w->o[r + i], alpha);
        }
        product_args o = { w->o[r], w->probabilities[0], w->values, HEAD_DIM, KEY_BLOCK, HEAD_DIM,
                           KEY_BLOCK, true };
        product(&o, rows, HEAD_DIM);
    }
}

/* The part of rows [r0, r0 + n), whose queries are gathered, over one split. */
static void part(work *w, const kern_attend *a, int64_t split, int64_t r0, int n)
{
    for (int i = 0; i < n; i++) {
        w->ml[i][0] = -INFINITY;
        w->ml[i][1] = 0;
    }
    memset(w->o, 0, (size_t)n * sizeof w->o[0]);
    for (int64_t key = split * KEY_SPLIT; key < (split + 1) * KEY_SPLIT; key += KEY_BLOCK) {
        /* Rows that see none of these keys are a prefix: nothing of them is touched. */
        int64_t seen_by_0 = a->pos0 - (a->key0 + key) + 1;
        int64_t first = (seen_by_0 < 1 ? 1 - seen_by_0 : 0) * GQA - r0;
        int64_t left = a->n_keys - key;
        if (left <= 0 || first >= n)
            break;
        int valid = left < KEY_BLOCK ? (int)left : KEY_BLOCK;
        pack_keys(w, a->k + key * HEAD_DIM, valid);
        pack_values(w, a->v + key * HEAD_DIM, valid);
        if (left > KEY_BLOCK) {
            int64_t next = (key + KEY_BLOCK) * HEAD_DIM;
            prefetch_rows(a->k + next, a->v + next, left < 2 * KEY_BLOCK ? left - KEY_BLOCK : KEY_BLOCK);
        }
        attend_rows(w, first > 0 ? (int)first : 0, n, seen_by_0, r0, valid);
    }
}

static void merge(float *o, float *ml, const float *part_o, const float *part_ml, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++, o += HEAD_DIM, part_o += HEAD_DIM, ml += 2, part_ml += 2) {
        if (part_ml[0] == -INFINITY)             /* an empty part? */
            continue;
        if (ml[0] == -INFINITY) {                /* an empty carry? */
            memcpy(o, part_o, HEAD_DIM * sizeof *o);
            memcpy(ml, part_ml, 2 * sizeof *ml);
            continue;
        }
        float max = ml[0] > part_ml[0] ? ml[0] : part_ml[0];
        float old = exp2_v(splat(ml[0] - max))[0], new = exp2_v(splat(part_ml[0] - max))[0];
        for (int d = 0; d < HEAD_DIM; d++)
            o[d] = o[d] * old + part_o[d] * new;
        ml[0] = max;
        ml[1] = ml[1] * old + part_ml[1] * new;
    }
}

static void attend(const kern_attend *a, int64_t r0, int64_t r1)
{
    work w;
    for (; r0 < r1; r0 += CHUNK) {
        int n = r1 - r0 < CHUNK ? (int)(r1 - r0) : CHUNK;
        int64_t last = a->pos0 + (r0 + n - 1) / GQA;       /* position of the last row */
        gather_queries(&w, a, r0, n);
        for (int64_t s = 0; s * KEY_SPLIT < a->n_keys && a->key0 + s * KEY_SPLIT <= last; s++) {
            part(&w, a, s, r0, n);
            merge(a->o + r0 * HEAD_DIM, a->ml + r0 * 2, w.o[0], w.ml[0], n);
        }
    }
}

static void attend_part(const kern_attend *a, int64_t split, int64_t r0, int64_t r1, float *part_o,
                        float *part_ml)
{
    work w;
    for (; r0 < r1; r0 += CHUNK) {
        int n = r1 - r0 < CHUNK ? (int)(r1 - r0) : CHUNK;
        gather_queries(&w, a, r0, n);
        part(&w, a, split, r0, n);
        memcpy(part_o, w.o, (size_t)n * sizeof w.o[0]);
        memcpy(part_ml, w.ml, (size_t)n * sizeof w.ml[0]);
        part_o += CHUNK * HEAD_DIM;
        part_ml += CHUNK * 2;
    }
}

#endif
