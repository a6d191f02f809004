/*
** kern_amx_many.h - attention of many rows, as in prefill, in whole tiles of AMX.
**
** Rows are in groups of 16, one per lane, so maxima and sums need no shuffles, nor do the pairs of
** probabilities that tiles want: O^T = V^T P^T takes them as they are. v is transposed once for
** all rows of a chunk. The carry stays transposed until the chunk has seen all keys.
*/
#ifndef KERN_AMX_MANY_H
#define KERN_AMX_MANY_H

enum {
    CHUNK = 512,                                 /* rows that share a transposed block of v */
    GROUPS = CHUNK / 16
};

typedef struct many {
    _Alignas(64) elt q[GROUPS][DEPTH / 2][16][2];
    elt v[KEY_SPLIT / KEY_BLOCK][HEAD_DIM][KEY_BLOCK];     /* transposed */
    float s[2][KEY_BLOCK][16];                   /* of two groups of 16 rows */
    elt p[2][KEY_BLOCK / 2][16][2];
    float part[2][HEAD_DIM][16];
    vf part_max[2], part_sum[2];
    float o[GROUPS][HEAD_DIM][16];               /* the carry */
    vf max[GROUPS], sum[GROUPS];
    vi token[GROUPS];                            /* of each row */
    uint32_t pairs[2][16][16];
    padding pad[KEY_SPLIT / KEY_BLOCK];
} many;

/* Lanes past the last row are as that row: they see no block that it does not. */
static void many_queries(many *w, const kern_attend *a, int64_t r0, int n)
{
    uint32_t rows[16][DEPTH / 2];
    for (int i = 0; i < n; i += 16) {
        for (int r = 0; r < 16; r++) {
            int64_t row = r0 + (i + r < n ? i + r : n - 1);
            const elt *q = a->q + row / GQA * a->q_stride + row % GQA * HEAD_DIM;
            memcpy(rows[r], q, HEAD_DIM * sizeof *q);
            memset((elt *)rows[r] + HEAD_DIM, 0, (DEPTH - HEAD_DIM) * sizeof *q);
            w->token[i / 16][r] = (int32_t)(row / GQA);
        }
        for (int d = 0; d < DEPTH / 2; d += 4)
            transpose_quad((uint32_t *)w->q[i / 16][d], 16, (const char *)&rows[0][d],
                           sizeof rows[0]);
    }
}

/* v of a block, transposed: 32 keys, 32 columns at a time. */
static void many_values(many *w, elt v[HEAD_DIM][KEY_BLOCK], const block *b)
{
    for (int i = 0; i < KEY_BLOCK; i += 32)
        for (int d = 0; d < HEAD_DIM; d += 32) {
            for (int j = 0; j < 16; j++) {
                const elt *even = b->v + (i + 2 * j) * HEAD_DIM;
                vu lo, hi;
                interleave(even, even + HEAD_DIM, d, &lo, &hi);
                store_dwords(w->pairs[0][j], lo);
                store_dwords(w->pairs[1][j], hi);
            }
            for (int j = 0; j < 32 && d + j < HEAD_DIM; j += 4)
                transpose_quad((uint32_t *)(v[d + j] + i), KEY_BLOCK / 2,
                               (const char *)(w->pairs[j / 4 & 1][0] + j / 8 * 4), 64);
        }
}

/* S^T of one or two groups of rows. */
INLINE void many_scores(many *w, const block *b, int g, int tiles)
{
    for (int i = 0; i < KEY_BLOCK; i += 32) {
        const elt *k = b->k + i * DEPTH;
        TILE_ZERO(0);
        TILE_ZERO(2);
        if (tiles > 1) {
            TILE_ZERO(1);
            TILE_ZERO(3);
        }
        for (int d = 0; d < DEPTH; d += 32) {
            TILE_LOAD(4, k + d, (int64_t)(DEPTH * 2));
            TILE_LOAD(6, w->q[g][d / 2], 64L);
            TILE_DOT(0, 4, 6);
            TILE_LOAD(5, k + 16 * DEPTH + d, (int64_t)(DEPTH * 2));
            TILE_DOT(2, 5, 6);
            if (tiles > 1) {
                TILE_LOAD(7, w->q[g + 1][d / 2], 64L);
                TILE_DOT(1, 4, 7);
                TILE_DOT(3, 5, 7);
            }
        }
        TILE_STORE(0, w->s[0][i], 64L);
        TILE_STORE(2, w->s[0][i + 16], 64L);
        if (tiles > 1) {
            TILE_STORE(1, w->s[1][i], 64L);
            TILE_STORE(3, w->s[1][i + 16], 64L);
        }
    }
}

/* O^T of one or two groups of rows. */
INLINE void many_output(many *w, const elt v[HEAD_DIM][KEY_BLOCK], int tiles, bool add)
{
    for (int d = 0; d < HEAD_DIM; d += 32) {
        bool two = d + 16 < HEAD_DIM;
        TILE_START(0, w->part[0][d], 64L, add);
        if (two)
            TILE_START(2, w->part[0][d + 16], 64L, add);
        if (tiles > 1) {
            TILE_START(1, w->part[1][d], 64L, add);
            if (two)
                TILE_START(3, w->part[1][d + 16], 64L, add);
        }
        for (int i = 0; i < KEY_BLOCK; i += 32) {
            TILE_LOAD(4, v[d] + i, (int64_t)sizeof v[0]);
            TILE_LOAD(6, w->p[0][i / 2], 64L);
            TILE_DOT(0, 4, 6);
            if (two) {
                TILE_LOAD(5, v[d + 16] + i, (int64_t)sizeof v[0]);
                TILE_DOT(2, 5, 6);
            }
            if (tiles > 1) {
                TILE_LOAD(7, w->p[1][i / 2], 64L);
                TILE_DOT(1, 4, 7);
                if (two)
                    TILE_DOT(3, 5, 7);
            }
        }
        TILE_STORE(0, w->part[0][d], 64L);
        if (two)
            TILE_STORE(2, w->part[0][d + 16], 64L);
        if (tiles > 1) {
            TILE_STORE(1, w->part[1][d], 64L);
            if (two)
                TILE_STORE(3, w->part[1][d + 16], 64L);
        }
    }
}

/* Scores of keys that their rows do not see become -inf, so p exactly 0. */
static void many_mask(float s[KEY_BLOCK][16], const block *b, vi token)
{
    vi seen, hidden;
    for (int l = 0; l < 16; l++) {
        int64_t see = b->seen_by_0 + token[l];
        seen[l] = key_count(see < b->valid ? see : b->valid);
        hidden[l] = key_count(b->hidden_0 + token[l]);
    }
    for (int i = 0; i < KEY_BLOCK; i++) {
        vi unseen = (i >= seen) | (i < hidden);
        store(s[i], (vf)(((vu)load(s[i]) & ~(vu)unseen) | ((vu)unseen & (vu)splat(-INFINITY))));
    }
}

static vf many_max(float s[KEY_BLOCK][16])
{
    vf top[4] = { splat(-INFINITY), splat(-INFINITY), splat(-INFINITY), splat(-INFINITY) };
    for (int i = 0; i < KEY_BLOCK; i += 4)
        for (int j = 0; j < 4; j++)
            top[j] = max_v(load(s[i + j]), top[j]);        /* a NaN is none */
    return max_v(max_v(top[0], top[1]), max_v(top[2], top[3]));
}

/* Probabilities of 16 rows; returns their sums before they are rounded. */
static vf many_exponentials(elt p[KEY_BLOCK / 2][16][2], float s[KEY_BLOCK][16], vf shift)
{
    vf sum[PARTIAL];
    for (int j = 0; j < PARTIAL; j++)
        sum[j] = splat(0);
    for (int i = 0; i < KEY_BLOCK; i += PARTIAL)
#pragma GCC unroll 16
        for (int j = 0; j < PARTIAL; j += 2) {
            vf x = probability_v(load(s[i + j]), shift);
            vf y = probability_v(load(s[i + j + 1]), shift);
            sum[j] += x;
            sum[j + 1] += y;
            store_dwords(p[(i + j) / 2], pair_words(x, y));
        }
    for (int j = PARTIAL / 2; j >= 1; j /= 2)
        for (int k = 0; k < j; k++)
            sum[k] += sum[k + j];
    return sum[0];
}

static void many_softmax(many *w, const block *b, int g, int t, bool add)
{
    vi token = w->token[g + t];
    vf shift, alpha;
    for (int i = 0; i < KEY_BLOCK && ATTN_SOFTCAP > 0; i++)
        cap_scores(w->s[t][i], 16);
    if (!all_seen(b, token[0], token[15]))
        many_mask(w->s[t], b, token);
    alpha = step_max(&w->part_max[t], many_max(w->s[t]), &shift);
    w->part_sum[t] = w->part_sum[t] * alpha + many_exponentials(w->p[t], w->s[t], shift);
    if (add && _mm512_cmp_ps_mask(alpha, splat(1), _CMP_NEQ_UQ) != 0)
        for (int d = 0; d < HEAD_DIM; d++)
            store(w->part[t][d], load(w->part[t][d]) * alpha);
}

/* The part of groups g (and g + 1) over the split of blocks b. */
INLINE void many_part(many *w, const block *b, int g, int tiles)
{
    bool add = false;
    int64_t first = w->token[g][0], last = w->token[g + tiles - 1][15];
    for (int t = 0; t < tiles; t++) {
        w->part_max[t] = splat(-INFINITY);
        w->part_sum[t] = splat(0);
    }
    for (int i = 0; i < KEY_SPLIT / KEY_BLOCK; i++) {
        if (!any_seen(&b[i], first, last))
            continue;
        many_scores(w, &b[i], g, tiles);
        for (int t = 0; t < tiles; t++)
            many_softmax(w, &b[i], g, t, add);
        many_output(w, w->v[i], tiles, add);
        add = true;
    }
    if (!add)
        memset(w->part, 0, sizeof w->part);
    for (int t = 0; t < tiles; t++)
        for (int d = 0; d < HEAD_DIM; d++)       /* no -0, as in few_row */
            store(w->part[t][d], load(w->part[t][d]) + 0.0f);
}

static __mmask16 are_empty(vf max, vf sum)
{
    return _mm512_cmp_ps_mask(max, splat(-INFINITY), _CMP_EQ_OQ) &
           _mm512_cmp_ps_mask(sum, splat(0), _CMP_EQ_OQ);
}

/* As merge(), rows in lanes. */
static void many_merge(many *w, int g, int t)
{
    vf part_max = w->part_max[t], max = w->max[g];
    __mmask16 none = are_empty(part_max, w->part_sum[t]);
    __mmask16 first = are_empty(max, w->sum[g]) & ~none;
    vf top = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(max, part_max, _CMP_GT_OQ), part_max, max);
    vf old = exp2_v(max - top), new = exp2_v(part_max - top);
    vf sum = w->sum[g] * old + w->part_sum[t] * new;
    for (int d = 0; d < HEAD_DIM; d++) {
        vf o = load(w->o[g][d]), part = load(w->part[t][d]), both = o * old + part * new;
        both = _mm512_mask_blend_ps(none, both, o);
        store(w->o[g][d], _mm512_mask_blend_ps(first, both, part));
    }
    sum = _mm512_mask_blend_ps(none, sum, w->sum[g]);
    w->sum[g] = _mm512_mask_blend_ps(first, sum, w->part_sum[t]);
    w->max[g] = _mm512_mask_blend_ps(none, top, max);
}

/* (rows, HEAD_DIM) and (rows, 2) to a group's lanes, those past 'rows' empty. */
static void lanes_of(float to[HEAD_DIM][16], vf *max, vf *sum, const float *o, const float *ml,
                     int rows)
{
    float all[16][HEAD_DIM];
    if (rows < 16) {
        memset(all, 0, sizeof all);
        memcpy(all, o, (size_t)rows * sizeof all[0]);
        o = all[0];
    }
    for (int d = 0; d < HEAD_DIM; d += 4)
        transpose_quad((uint32_t *)to[d], 16, (const char *)(o + d), sizeof all[0]);
    for (int r = 0; r < 16; r++) {
        (*max)[r] = r < rows ? ml[2 * r] : -INFINITY;
        (*sum)[r] = r < rows ? ml[2 * r + 1] : 0;
    }
}

/* The way back. */
static void rows_of(float *o, float *ml, float from[HEAD_DIM][16], vf max, vf sum, int rows)
{
    float all[16][HEAD_DIM];
    for (int r = 0; r < 16; r += 4)
        for (int d = 0; d < HEAD_DIM; d += 16)
            transpose_quad((uint32_t *)&all[r][d], HEAD_DIM, (const char *)&from[d][r], 64);
    memcpy(o, all, (size_t)rows * sizeof all[0]);
    for (int r = 0; r < rows; r++) {
        ml[2 * r] = max[r];
        ml[2 * r + 1] = sum[r];
    }
}

/* Parts of rows [r0, r0 + n), whose queries are gathered, over one split: merged into the carry,
   or alone to o and ml. */
static void many_split(many *w, const kern_attend *a, int64_t split, int n, float *o, float *ml)
{
    block b[KEY_SPLIT / KEY_BLOCK];
    int64_t last = w->token[(n - 1) / 16][(n - 1) % 16];
    for (int i = 0; i < KEY_SPLIT / KEY_BLOCK; i++) {
        b[i] = block_at(&w->pad[i], a, split * KEY_SPLIT + i * KEY_BLOCK);
        if (any_seen(&b[i], w->token[0][0], last))
            many_values(w, w->v[i], &b[i]);
    }
    for (int g = 0; g * 16 < n; g += 2) {
        int tiles = n - g * 16 > 16 ? 2 : 1;
        if (tiles == 2)
            many_part(w, b, g, 2);
        else
            many_part(w, b, g, 1);
        for (int t = 0; t < tiles; t++) {
            int r = (g + t) * 16, rows = n - r < 16 ? n - r : 16;
            if (o)
                rows_of(o + r * HEAD_DIM, ml + r * 2, w->part[t], w->part_max[t], w->part_sum[t],
                        rows);
            else
                many_merge(w, g + t, t);
        }
    }
}

static void many_carry(many *w, const kern_attend *a, int64_t r0, int n, bool back)
{
    for (int r = 0; r < n; r += 16) {
        int rows = n - r < 16 ? n - r : 16, g = r / 16;
        float *o = a->o + (r0 + r) * HEAD_DIM, *ml = a->ml + (r0 + r) * 2;
        if (back)
            rows_of(o, ml, w->o[g], w->max[g], w->sum[g], rows);
        else
            lanes_of(w->o[g], &w->max[g], &w->sum[g], o, ml, rows);
    }
}

#endif
