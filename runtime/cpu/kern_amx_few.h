/*
** kern_amx_few.h - attention of few rows, as of one decoded token, in narrow tiles of AMX.
**
** Keys and values pass once, at the speed of memory: scores are tiles of 16 keys and as few rows as
** there are; values are interleaved in pairs of keys, which costs two shuffles for two lines, 32
** keys at a time before they meet the probabilities; and beside each such step the scores of the
** next block are made. Lines are fetched one block ahead, a few at a time everywhere: bursts stall
** whatever follows them.
*/
#ifndef KERN_AMX_FEW_H
#define KERN_AMX_FEW_H

enum {
    FEW_COLUMNS = 64,                            /* of v at once: four tiles of output */
    /* Lines of k and of v to fetch beside two vectors of probabilities, 32 columns and 2 rows of
       v, 16 keys and 32 columns of scores: about even in time, and all before the block ends. */
    FETCH_P = 1,
    FETCH_V = 3,
    FETCH_S = 4
};

typedef struct few {
    _Alignas(64) elt q[DEPTH / 2][FEW][2];
    float s[2][KEY_BLOCK * FEW];                 /* [key][row], of this block and the next */
    elt p[FEW][KEY_BLOCK];
    elt v[2][FEW_COLUMNS / 16][16][16][2];       /* 32 keys: tiles of [key / 2][column][2] */
    float o[FEW][DEPTH];                         /* the same */
    vf max, sum;                                 /* lane % FEW: row */
    fetch fetch;
    padding pad[2];
} few;

/* Queries of rows [r0, r0 + n), those past them zero. */
static void few_queries(few *w, const kern_attend *a, int64_t r0, int n)
{
    memset(w->q, 0, sizeof w->q);
    for (int r = 0; r < n; r++) {
        const elt *q = a->q + (r0 + r) / GQA * a->q_stride + (r0 + r) % GQA * HEAD_DIM;
        for (int d = 0; d < HEAD_DIM; d += 2)
            memcpy(w->q[d / 2][r], q + d, 2 * sizeof *q);
    }
}

/* Scores of keys [i, i + 16). */
INLINE void few_scores(few *w, float *s, const block *b, int i)
{
    TILE_ZERO(0);
#pragma GCC unroll 8
    for (int d = 0; d < DEPTH; d += 32) {
        TILE_LOAD(1, w->q[d / 2], (int64_t)(FEW * 4));
        TILE_LOAD(2, b->k + i * DEPTH + d, (int64_t)(DEPTH * 2));
        TILE_DOT(0, 2, 1);
        fetch_some(&w->fetch, FETCH_S);
    }
    TILE_STORE(0, s + i * FEW, (int64_t)(FEW * 4));
}

/* Scores of keys that their rows do not see become -inf, so p exactly 0. */
static void few_mask(float *s, const block *b, int64_t r0)
{
    vi key = { 0 }, seen = { 0 }, hidden = { 0 };
    for (int l = 0; l < VL; l++) {
        int64_t token = (r0 + l % FEW) / GQA;
        key[l] = l / FEW;
        seen[l] = key_count(b->seen_by_0 + token < b->valid ? b->seen_by_0 + token : b->valid);
        hidden[l] = key_count(b->hidden_0 + token);
    }
    for (int i = 0; i < KEY_BLOCK * FEW; i += VL, key += VL / FEW) {
        vi unseen = (key >= seen) | (key < hidden);
        store(s + i, (vf)((vi)((vu)load(s + i) & ~(vu)unseen) | (unseen & (vi)splat(-INFINITY))));
    }
}

/* The softmax step of a block; returns the factor of what came before, lane % FEW: row. */
static vf few_softmax(few *w, float *s, const block *b, int64_t r0, int n, bool *rescale)
{
    enum { KEYS = VL / FEW, SUMS = PARTIAL / KEYS, AT_ONCE = SUMS > 2 ? SUMS : 2 };
    if (ATTN_SOFTCAP > 0)
        cap_scores(s, KEY_BLOCK * FEW);
    if (!all_seen(b, r0 / GQA, (r0 + n - 1) / GQA))
        few_mask(s, b, r0);
    vf top = splat(-INFINITY), top1 = top;
    for (int i = 0; i < KEY_BLOCK * FEW; i += 2 * VL) {
        top = max_v(load(s + i), top);           /* a NaN is none */
        top1 = max_v(load(s + i + VL), top1);
    }
    vf shift, alpha = step_max(&w->max, max_of_keys(max_v(top, top1)), &shift);
    vf sum[AT_ONCE];
    for (int j = 0; j < AT_ONCE; j++)
        sum[j] = splat(0);
    for (int i = 0; i < KEY_BLOCK * FEW; i += AT_ONCE * VL)
#pragma GCC unroll 4
        for (int j = 0; j < AT_ONCE; j += 2) {
            vf x = probability_v(load(s + i + j * VL), shift);
            vf y = probability_v(load(s + i + (j + 1) * VL), shift);
            sum[j % SUMS] += x;
            sum[(j + 1) % SUMS] += y;
            few_store(w->p, (i / VL + j) * KEYS, pair_words(x, y));
            fetch_some(&w->fetch, FETCH_P);
        }
    for (int j = SUMS / 2; j >= 1; j /= 2)
        for (int k = 0; k < j; k++)
            sum[k] += sum[k + j];
    w->sum = w->sum * alpha + sum_of_keys(sum[0]);
    *rescale = _mm512_cmp_ps_mask(alpha, splat(1), _CMP_NEQ_UQ) != 0;
    return alpha;
}

/* 32 keys of v, columns [d, d + FEW_COLUMNS). */
INLINE void few_values(few *w, elt v[][16][16][2], const elt *from, int d)
{
    for (int i = 0; i < 16; i++) {
        for (int c = 0; c < FEW_COLUMNS && d + c < DEPTH; c += 32) {
            vu lo, hi;
            interleave(from + 2 * i * HEAD_DIM, from + (2 * i + 1) * HEAD_DIM, d + c, &lo, &hi);
            store_dwords(v[c / 16][i], lo);
            store_dwords(v[c / 16 + 1][i], hi);
        }
        fetch_some(&w->fetch, FETCH_V);
    }
}

#define EACH_OUT(x) x(4, 0) x(5, 1) if (d + 32 < DEPTH) { x(6, 2) x(7, 3) }
#define OUT_START(t, n) TILE_START(t, w->o[0] + d + 16 * (n), (int64_t)sizeof w->o[0], add);
#define OUT_STORE(t, n) TILE_STORE(t, w->o[0] + d + 16 * (n), (int64_t)sizeof w->o[0]);
#define OUT_DOT(t, n) TILE_LOAD(2, v[n], 64L); TILE_DOT(t, 3, 2);

/* The output of a block, and meanwhile the scores of the next. */
static void few_output(few *w, const block *b, bool add, const block *next, float *s)
{
    enum { STEPS = (DEPTH + FEW_COLUMNS - 1) / FEW_COLUMNS * 4 };
    for (int d = 0, step = 0; d < DEPTH; d += FEW_COLUMNS) {
        EACH_OUT(OUT_START)
        for (int i = 0; i < KEY_BLOCK; i += 32, step++) {
            elt (*v)[16][16][2] = w->v[step & 1];
            few_values(w, v, b->v + i * HEAD_DIM, d);
            for (int k = step * 8 / STEPS; next && k < (step + 1) * 8 / STEPS; k++)
                few_scores(w, s, next, k * 16);
            TILE_LOAD(3, w->p[0] + i, (int64_t)sizeof w->p[0]);
            EACH_OUT(OUT_DOT)
        }
        EACH_OUT(OUT_STORE)
    }
}

static void few_rescale(few *w, vf alpha, int n)
{
    for (int r = 0; r < n; r++)
        for (int d = 0; d < DEPTH; d += VL)
            store(w->o[r] + d, load(w->o[r] + d) * alpha[r]);
}

/* A row's output in the order of its columns. + 0: a tile's sum may be -0, a subnormal one flushed,
   and is +0 if a block follows that adds nothing. */
static void few_row(float *o, const float *from)
{
#define FROM_LO(i) ((i) & 3) + ((i) >> 3) * 4 + (((i) & 4) << 2)
    vi low = LANES(FROM_LO);
    for (int d = 0; d < DEPTH; d += 32) {
        vf lo = load(from + d), hi = load(from + d + VL);
        store(o + d, __builtin_shuffle(lo, hi, low) + 0.0f);
        if (d + VL < HEAD_DIM)
            store(o + d + VL, __builtin_shuffle(lo, hi, low + 8) + 0.0f);
    }
#undef FROM_LO
}

/* Does a split's part end here? Then it goes to its place, or into the carry. */
static void few_close(few *w, int n, bool any, float *o, float *ml, bool merged)
{
    float part_o[FEW * HEAD_DIM], part_ml[FEW * 2];
    float *to = merged ? part_o : o, *to_ml = merged ? part_ml : ml;
    for (int r = 0; r < n; r++) {
        if (any)
            few_row(to + r * HEAD_DIM, w->o[r]);
        else
            memset(to + r * HEAD_DIM, 0, HEAD_DIM * sizeof *o);
        to_ml[r * 2] = w->max[r];
        to_ml[r * 2 + 1] = w->sum[r];
    }
    if (merged)
        merge_rows(o, ml, part_o, part_ml, n);
}

/* Finds the first block from *key on that a row sees; false: there is none before 'end'. */
static bool few_next(few *w, const kern_attend *a, int64_t r0, int n, int64_t *key, int64_t end,
                     block *b)
{
    for (; *key < end && *key < a->n_keys; *key += KEY_BLOCK) {
        *b = block_at(&w->pad[*key / KEY_BLOCK & 1], a, *key);
        if (any_seen(b, r0 / GQA, (r0 + n - 1) / GQA))
            return true;
    }
    return false;
}

/* Rows [r0, r0 + n) over splits [s0, s1): merged into o and ml one after the other, or side by
   side there. */
static void few_splits(few *w, const kern_attend *a, int64_t r0, int n, int64_t s0, int64_t s1,
                       float *o, float *ml, bool merged)
{
    int64_t key = s0 * KEY_SPLIT, end = s1 * KEY_SPLIT;
    block b, next;
    bool more = few_next(w, a, r0, n, &key, end, &b);
    w->fetch = fetch_at(a, key + KEY_BLOCK, end < a->n_keys ? end : a->n_keys);
    if (more)
        for (int i = 0; i < KEY_BLOCK; i += 16)
            few_scores(w, w->s[key / KEY_BLOCK & 1], &b, i);
    for (int64_t split = s0; split < s1; split++) {
        bool add = false, rescale;
        w->max = splat(-INFINITY);
        w->sum = splat(0);
        while (more && key < (split + 1) * KEY_SPLIT) {
            float *s = w->s[key / KEY_BLOCK & 1];
            w->fetch = fetch_at(a, key + 2 * KEY_BLOCK, end < a->n_keys ? end : a->n_keys);
            key += KEY_BLOCK;
            more = few_next(w, a, r0, n, &key, end, &next);
            vf alpha = few_softmax(w, s, &b, r0, n, &rescale);
            if (add && rescale)
                few_rescale(w, alpha, n);
            few_output(w, &b, add, more ? &next : NULL, w->s[key / KEY_BLOCK & 1]);
            b = next;
            add = true;
        }
        int64_t at = merged ? 0 : (split - s0) * n;
        few_close(w, n, add, o + at * HEAD_DIM, ml + at * 2, merged);
    }
}

#endif
