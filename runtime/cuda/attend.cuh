/*
** attend.cuh - prefill attention: many query rows over a run of keys, state carried in and out.
**
** A block of threads takes ATTEND_ROWS rows of one KV head, the GQA query heads of a token being
** neighbouring rows, and goes through the keys ATTEND_KEYS at a time at absolute positions. Each
** warp owns its rows alone: scores, probabilities and output stay in registers, and the softmax
** needs only shuffles among the four lanes that share a row. K and V have one buffer each: V
** arrives while Q K^T is computed, the next K while P V is.
**
** Shared memory. Tiles are rows of HEAD_DIM * 2 bytes whose 16-byte chunks are exchanged by
** exclusive or with bits of the row number, so that the eight rows ldmatrix reads at once lie in
** eight different banks.
**
** Bits. What a row gets depends on that row and the keys alone, not on its place in the block or
** on where the keys are cut into calls: the running maximum is of scaled scores, the sum of a
** block is reduced over lanes before it is added, and both are what the state holds.
**
** Source: FlashAttention-2, Dao, arXiv 2307.08691; layouts: PTX ISA, mma.m16n8k16 and ldmatrix.
*/
#ifndef ATTEND_CUH
#define ATTEND_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"
#include "window.cuh"

enum {
    ATTEND_CHUNKS = HEAD_DIM / 8,    /* of 16 bytes, in a row */
    ATTEND_STEPS = HEAD_DIM / 16,    /* of mma, along a row */
    ATTEND_COLS = ATTEND_KEYS / 8,   /* mma tiles of scores */
    /* chunks in a row modulo 8 decide where its first one lies: rows that begin in the same bank
       are told apart by as many bits as the swizzle takes */
    SWIZZLE_SHIFT = ATTEND_CHUNKS % 8 == 0 ? 0 : ATTEND_CHUNKS % 4 == 0 ? 1 : 2,
    SWIZZLE_MASK = 7 >> SWIZZLE_SHIFT
};

/* What a lane keeps of its rows: of each tile, row lane / 4 (h = 0) and the one 8 below (h = 1).
   Elements 2h, 2h + 1 of an accumulator are columns lane % 4 * 2 and the next. */
struct attend_rows {
    float o[ATTEND_TILES][ATTEND_CHUNKS][4];
    float max[ATTEND_TILES][2], sum[ATTEND_TILES][2];
};

/* Where a block of threads stands; a row number counts from the KV head's first. */
struct attend_place {
    int row0, rows;                  /* first row of the warp; rows there are */
    int lane;
    i64 first_pos;                   /* of token 0, relative to the first key */
    int keys;                        /* seen by any row of the block of threads */
};

/* Where a chunk of a tile lies. */
GPU_FN int attend_chunk(int row, int chunk)
{
    return row * HEAD_DIM * 2 + ((chunk ^ (row >> SWIZZLE_SHIFT & SWIZZLE_MASK)) << 4);
}

/* From a chunk's place, chunk 0 or 1 of its row, to that 'rows' (of 8) and 'chunks' (of 2) on:
   the swizzle repeats after 8 rows and exchanges chunks only within SWIZZLE_MASK. */
GPU_FN int attend_move(int at, int rows, int chunks)
{
    return (at ^ ((chunks & SWIZZLE_MASK) << 4)) + (chunks & ~SWIZZLE_MASK) * 16 +
           rows * HEAD_DIM * 2;
}

/* ---- copies to shared memory ---- */

GPU_FN void attend_load_q(const attend_args &a, gpu_shared sq, int row0, int rows)
{
    const bf16 *q = (const bf16 *)a.q + (i64)blockIdx.y * GQA * HEAD_DIM;
    GPU_UNROLL
    for (int i = 0; i < ATTEND_ROWS * ATTEND_CHUNKS / ATTEND_THREADS; i++) {
        int c = (int)threadIdx.x + i * ATTEND_THREADS;
        int r = c / ATTEND_CHUNKS, row = row0 + r, there = row < rows ? row : 0;
        const bf16 *src = q + there / GQA * a.q_stride + there % GQA * HEAD_DIM;
        gpu_cp_async16(sq + attend_chunk(r, c % ATTEND_CHUNKS), src + c % ATTEND_CHUNKS * 8,
                       row < rows);
    }
}

/* ATTEND_KEYS rows; those from 'keys' on, if not all, are zeros and are not read. */
GPU_FN void attend_load_keys(gpu_shared tile, const unsigned char *src, bool all, int keys)
{
    GPU_UNROLL
    for (int i = 0; i < ATTEND_KEYS * ATTEND_CHUNKS / ATTEND_THREADS; i++) {
        int c = (int)threadIdx.x + i * ATTEND_THREADS, r = c / ATTEND_CHUNKS;
        gpu_cp_async16(tile + attend_chunk(r, c % ATTEND_CHUNKS), src + c * 16, all || r < keys);
    }
}

/* ---- the state ---- */

GPU_FN void attend_open(const attend_args &a, attend_rows &r, const attend_place &p)
{
    const int col = p.lane % 4 * 2;
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            int row = p.row0 + t * 16 + h * 8 + p.lane / 4;
            bool there = !a.fresh && row < p.rows;
            i64 at = (i64)blockIdx.y * p.rows + row;
            r.max[t][h] = there ? a.ml[at * 2] : -GPU_INF;
            r.sum[t][h] = there ? a.ml[at * 2 + 1] : 0;
            GPU_UNROLL
            for (int n = 0; n < ATTEND_CHUNKS; n++) {
                f32x2 v = { 0, 0 };
                if (there)
                    v = *(const f32x2 *)(a.o + at * HEAD_DIM + n * 8 + col);
                r.o[t][n][2 * h] = v.x;
                r.o[t][n][2 * h + 1] = v.y;
            }
        }
    }
}

GPU_FN void attend_close(const attend_args &a, const attend_rows &r, const attend_place &p)
{
    const int col = p.lane % 4 * 2;
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            int row = p.row0 + t * 16 + h * 8 + p.lane / 4;
            i64 at = (i64)blockIdx.y * p.rows + row;
            if (row >= p.rows)
                continue;
            GPU_UNROLL
            for (int n = 0; n < ATTEND_CHUNKS; n++) {
                f32x2 v = { r.o[t][n][2 * h], r.o[t][n][2 * h + 1] };
                *(f32x2 *)(a.o + at * HEAD_DIM + n * 8 + col) = v;
            }
            if (col == 0) {
                f32x2 ml = { r.max[t][h], r.sum[t][h] };
                *(f32x2 *)(a.ml + at * 2) = ml;
            }
        }
    }
}

/* ---- one block of keys ---- */

/* s = Q K^T of the warp's rows. Q is read again for every block: registers are dearer. */
GPU_FN void attend_scores(float (*s)[ATTEND_COLS][4], gpu_shared sq, gpu_shared sk,
                          int warp, int lane)
{
    const int q_at = attend_chunk(warp * 16 * ATTEND_TILES + lane % 16, lane / 16);
    const int k_at = attend_chunk(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int n = 0; n < ATTEND_COLS; n++)
            s[t][n][0] = s[t][n][1] = s[t][n][2] = s[t][n][3] = 0;
    }
    GPU_UNROLL
    for (int k = 0; k < ATTEND_STEPS; k++) {
        u32 q[ATTEND_TILES][4];
        GPU_UNROLL
        for (int t = 0; t < ATTEND_TILES; t++)
            gpu_ldmatrix_x4(q[t], sq + attend_move(q_at, t * 16, k * 2));
        GPU_UNROLL
        for (int n = 0; n < ATTEND_COLS; n += 2) {
            u32 b[4];
            gpu_ldmatrix_x4(b, sk + attend_move(k_at, n * 8, k * 2));
            GPU_UNROLL
            for (int t = 0; t < ATTEND_TILES; t++) {
                gpu_mma_bf16(s[t][n], q[t], b);
                gpu_mma_bf16(s[t][n + 1], q[t], b + 2);
            }
        }
    }
}

/* Scores of keys that a row does not see, of the block that begins at 'key0', become -inf. */
GPU_FN void attend_mask(float (*s)[ATTEND_COLS][4], const attend_args &a, const attend_place &p,
                        int key0)
{
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            int row = p.row0 + t * 16 + h * 8 + p.lane / 4;
            i64 pos = p.first_pos + row / GQA;
            int end = pos < p.keys ? (int)pos + 1 : p.keys;
            int first = (int)window_first(a, pos);
            GPU_UNROLL
            for (int n = 0; n < ATTEND_COLS; n++) {
                GPU_UNROLL
                for (int i = 0; i < 2; i++) {
                    int key = key0 + n * 8 + p.lane % 4 * 2 + i;
                    if (key >= end || (ATTN_WINDOW && key < first))
                        s[t][n][2 * h + i] = -GPU_INF;
                }
            }
        }
    }
}

/* Scores to cap * tanh(score / cap) in units of log2; they need no further scale. */
GPU_FN void attend_softcap(float (*s)[ATTEND_COLS][4], float scale_log2)
{
    const float cap = ATTN_CAP * 1.44269504088896341f, inner = scale_log2 / cap;
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int n = 0; n < ATTEND_COLS; n++) {
            GPU_UNROLL
            for (int i = 0; i < 4; i++)
                s[t][n][i] = cap * gpu_tanh(s[t][n][i] * inner);
        }
    }
}

/* What exponents are relative to: 0 for a row that has seen no key yet. */
GPU_FN float attend_base(float max)
{
    return max == -GPU_INF ? 0 : max;
}

/* One row's new maximum; -inf as long as it has seen no key. */
GPU_FN float attend_max(const float (*s)[4], int h, float max, float scale)
{
    float m = s[0][2 * h];
    GPU_UNROLL
    for (int n = 0; n < ATTEND_COLS; n++)
        m = gpu_max(m, gpu_max(s[n][2 * h], s[n][2 * h + 1]));
    m = gpu_max(m, gpu_shfl_xor(m, 1));
    m = gpu_max(m, gpu_shfl_xor(m, 2));
    return gpu_max(max, gpu_mul(m, scale));
}

/* One row's scores become probabilities; returns their sum, the same in its four lanes. */
GPU_FN float attend_exp(float (*s)[4], int h, float max, float scale)
{
    float sum = 0;
    GPU_UNROLL
    for (int n = 0; n < ATTEND_COLS; n++) {
        GPU_UNROLL
        for (int i = 2 * h; i < 2 * h + 2; i++) {
            s[n][i] = gpu_exp2(gpu_fma(s[n][i], scale, -max));
            sum = gpu_add(sum, s[n][i]);
        }
    }
    sum = gpu_add(sum, gpu_shfl_xor(sum, 1));
    return gpu_add(sum, gpu_shfl_xor(sum, 2));
}

/* The rows' maxima take in the scores; sums and output follow. Where no maximum of the warp's has
   risen all factors are 1, and nothing is multiplied. */
GPU_FN void attend_rise(const float (*s)[ATTEND_COLS][4], attend_rows &r, float scale)
{
    float fix[ATTEND_TILES][2];
    bool risen = false;
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            float max = attend_max(s[t], h, r.max[t][h], scale);
            fix[t][h] = gpu_exp2(r.max[t][h] - attend_base(max));
            risen |= max != r.max[t][h];
            r.max[t][h] = max;
        }
    }
    if (!gpu_any(risen))
        return;
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int i = 0; i < 4; i++) {
            GPU_UNROLL
            for (int n = 0; n < ATTEND_CHUNKS; n++)
                r.o[t][n][i] = gpu_mul(r.o[t][n][i], fix[t][i / 2]);
        }
        r.sum[t][0] = gpu_mul(r.sum[t][0], fix[t][0]);
        r.sum[t][1] = gpu_mul(r.sum[t][1], fix[t][1]);
    }
}

/* Scores to probabilities, which the sums take in. */
GPU_FN void attend_softmax(float (*s)[ATTEND_COLS][4], attend_rows &r, float scale)
{
    attend_rise(s, r, scale);
    GPU_UNROLL
    for (int t = 0; t < ATTEND_TILES; t++) {
        GPU_UNROLL
        for (int h = 0; h < 2; h++) {
            float sum = attend_exp(s[t], h, attend_base(r.max[t][h]), scale);
            r.sum[t][h] = gpu_add(r.sum[t][h], sum);
        }
    }
}

/* o += P V; the accumulators of two tiles of scores are one operand tile of P. */
GPU_FN void attend_values(attend_rows &r, const float (*s)[ATTEND_COLS][4],
                          gpu_shared sv, int lane)
{
    const int v_at = attend_chunk(lane % 16, lane / 16);
    GPU_UNROLL
    for (int k = 0; k < ATTEND_KEYS / 16; k++) {
        u32 p[ATTEND_TILES][4];
        GPU_UNROLL
        for (int t = 0; t < ATTEND_TILES; t++) {
            GPU_UNROLL
            for (int i = 0; i < 4; i++) {
                const float *pair = s[t][2 * k + i / 2] + i % 2 * 2;
                p[t][i] = gpu_pack_bf16(pair[0], pair[1]);
            }
        }
        GPU_UNROLL
        for (int n = 0; n < ATTEND_CHUNKS; n += 2) {
            u32 b[4];
            gpu_ldmatrix_x4_t(b, sv + attend_move(v_at, k * 16, n));
            GPU_UNROLL
            for (int t = 0; t < ATTEND_TILES; t++) {
                gpu_mma_bf16(r.o[t][n], p[t], b);
                gpu_mma_bf16(r.o[t][n + 1], p[t], b + 2);
            }
        }
    }
}

/* ---- the kernels ---- */

/* Asked once more at the end: to keep it all the while would take registers. */
GPU_FN attend_place attend_here(const attend_args &a, int tile)
{
    const int thread = gpu_thread();
    attend_place p;
    p.row0 = tile * ATTEND_ROWS + thread / 32 * 16 * ATTEND_TILES;
    p.rows = a.rows * GQA;
    p.lane = thread % 32;
    p.first_pos = (a.pos ? *a.pos : a.pos0) - a.key0;
    p.keys = (int)a.n_keys;
    return p;
}

/* Keys [first, p.keys), if any; first is a multiple of ATTEND_KEYS. */
GPU_FN void attend_run(const attend_args &a, int tile, const attend_place &p, int first,
                       bool causal)
{
    GPU_DYN_SMEM(smem);
    gpu_shared sq = gpu_shared_at(smem), sk = sq + ATTEND_ROWS * HEAD_DIM * 2;
    gpu_shared sv = sk + ATTEND_KEYS * HEAD_DIM * 2;
    const int warp = (int)threadIdx.x / 32;
    const unsigned char *k = a.k + blockIdx.y * a.head_pitch + (i64)first * HEAD_DIM * 2;
    /* keys before clear and from seen on are visible to every row of the warp */
    const i64 pos = p.first_pos + p.row0 / GQA;
    const int clear = pos < p.keys ? (int)pos + 1 : p.keys;
    const i64 seen = window_first(a, p.first_pos + (p.row0 + 16 * ATTEND_TILES - 1) / GQA);
    attend_rows r;

    if (!causal || first < p.keys) {
        attend_load_q(a, sq, p.row0 - warp * 16 * ATTEND_TILES, p.rows);
        attend_load_keys(sk, k, !causal, p.keys - first);
    }
    gpu_cp_commit();
    attend_open(a, r, p);
    for (int key = first; key < p.keys; key += ATTEND_KEYS, k += ATTEND_KEYS * HEAD_DIM * 2) {
        float s[ATTEND_TILES][ATTEND_COLS][4];
        gpu_cp_wait<0>();
        gpu_sync();                  /* K has come, and no warp reads V any more */
        attend_load_keys(sv, k + a.v_offset, !causal, p.keys - key);
        gpu_cp_commit();
        attend_scores(s, sq, sk, warp, p.lane);
        gpu_cp_wait<0>();
        gpu_sync();                  /* V has come, and no warp reads K any more */
        if (key + ATTEND_KEYS < p.keys)
            attend_load_keys(sk, k + ATTEND_KEYS * HEAD_DIM * 2, !causal,
                             p.keys - key - ATTEND_KEYS);
        gpu_cp_commit();
        if (ATTN_CAPPED)
            attend_softcap(s, a.scale_log2);
        if (causal && (key + ATTEND_KEYS > clear || (ATTN_WINDOW && key < seen)))
            attend_mask(s, a, p, key);
        attend_softmax(s, r, ATTN_CAPPED ? 1 : a.scale_log2);
        attend_values(r, s, sv, p.lane);
    }
    attend_close(a, r, attend_here(a, tile));
}

/* Every row sees every key, and n_keys is a multiple of ATTEND_KEYS. */
GPU_KERNEL(k_attend_full, attend_args, ATTEND_THREADS, ATTEND_BLOCKS)
{
    const int tile = (int)blockIdx.x;
    attend_run(a, tile, attend_here(a, tile), 0, false);
}

/* The last rows see the most keys and come first: short blocks of threads fill the end. */
GPU_KERNEL(k_attend_causal, attend_args, ATTEND_THREADS, ATTEND_BLOCKS)
{
    const int tile = (int)(gridDim.x - 1 - blockIdx.x), row0 = tile * ATTEND_ROWS;
    attend_place p = attend_here(a, tile);
    const int last = row0 + ATTEND_ROWS < p.rows ? row0 + ATTEND_ROWS - 1 : p.rows - 1;
    const i64 keys = p.first_pos + last / GQA + 1;
    const i64 from = window_first(a, p.first_pos + row0 / GQA);
    int first = 0;
    p.keys = keys < 0 ? 0 : keys < p.keys ? (int)keys : p.keys;
    if (ATTN_WINDOW && from > 0)
        first = from < p.keys ? (int)(from / ATTEND_KEYS * ATTEND_KEYS) : p.keys;
    if (first < p.keys || a.fresh)   /* else the state stays as it is */
        attend_run(a, tile, p, first, true);
}

#endif
