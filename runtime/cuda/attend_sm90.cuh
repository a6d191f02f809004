/*
** attend_sm90.cuh - prefill attention on Hopper: a run of keys added to the state of all rows.
**
** What k_attend_full and k_attend_causal of attend.cuh do, for head sizes 64 and 128, in blocks of
** ATTEND_SM90_KEYS keys; the bits are this file's own. A block of threads takes 128 query rows of
** one KV head: the first warp group fetches keys and values into a ring of stages, the other two
** compute 64 rows each. The two take turns in issuing matrix products, so that one's softmax runs
** under the other's products; and within one, the softmax of a block of keys runs under the product
** of the block before with its values.
**
** Source: FlashAttention-3, arXiv 2407.08608, sections 3.1 and 3.2.
*/
#ifndef ATTEND_SM90_CUH
#define ATTEND_SM90_CUH

#include "args.h"
#include "geometry.h"
#include "gpu_sm90.h"
#include "window.cuh"

#if HEAD_DIM == 64 || HEAD_DIM == 128

enum {
    SM90_GROUP = 128,                           /* threads of a warp group */
    SM90_HALF = 128 * ATTEND_SM90_KEYS,         /* bytes of 64 columns of a tile of keys */
    SM90_Q = ATTEND_SM90_TILE / 2,              /* bytes of the query rows of one warp group */
    SM90_Q_HALF = SM90_Q / (HEAD_DIM / 64),
    SM90_STEPS = ATTEND_SM90_KEYS / 16,         /* products a block of values takes */

    /* Registers of a thread: all threads start with an equal share. 128 accumulators, 32 words of
       probabilities and what is alive beside them must fit without spilling. */
    SM90_REGS_START = 65536 / ATTEND_SM90_THREADS / 8 * 8,
    SM90_REGS_FETCH = 24,
    SM90_REGS_COMPUTE = 240,

    /* named barriers; 0 is gpu_sync's */
    SM90_TURN = 1                               /* + warp group: its turn to issue products */
};

static_assert(SM90_REGS_FETCH + 2 * SM90_REGS_COMPUTE <= 3 * SM90_REGS_START, "out of registers");
static_assert(ATTEND_SM90_ROWS == 2 * 64, "a warp group has 64 rows");

/* Barriers of a ring stage: its keys, or its values, have come; all warps have used them. */
struct sm90_stage {
    u64 k_full, v_full, k_empty, v_empty;
};

struct sm90_smem {
    unsigned char *q;                           /* (2 warp groups, HEAD_DIM / 64, 64 rows, 64) */
    unsigned char *k, *v;                       /* (STAGES, HEAD_DIM / 64, KEYS, 64) each */
    sm90_stage *stage;                          /* (STAGES) */
};

GPU_FN sm90_smem sm90_carve(unsigned char *base)
{
    sm90_smem m;
    m.q = base;
    m.k = m.q + ATTEND_SM90_TILE;
    m.v = m.k + ATTEND_SM90_STAGES * ATTEND_SM90_TILE;
    m.stage = (sm90_stage *)(m.v + ATTEND_SM90_STAGES * ATTEND_SM90_TILE);
    return m;
}

/* Blocks of keys, by number in the run, that some row of the tile sees: first <= b < end. */
struct sm90_span {
    int first, end;
};

template <bool CAUSAL> GPU_FN sm90_span sm90_blocks(const attend_args &a, i64 row0)
{
    i64 end = a.n_keys, first = 0;
    if (CAUSAL) {
        i64 rows = (i64)a.rows * GQA, last = row0 + ATTEND_SM90_ROWS;
        i64 sees = a.pos0 + ((last < rows ? last : rows) - 1) / GQA - a.key0 + 1;
        if (sees < end)
            end = sees;
        first = window_first(a, a.pos0 + row0 / GQA - a.key0);
    }
    sm90_span s;
    s.first = first > 0 ? (int)(first / ATTEND_SM90_KEYS) : 0;
    s.end = end > 0 ? (int)((end + ATTEND_SM90_KEYS - 1) / ATTEND_SM90_KEYS) : 0;
    return s;
}

/* Of tile 'turn' of a ring: where it lies, and the parity of its round. */
GPU_FN unsigned char *sm90_tile(unsigned char *ring, int turn)
{
    return ring + turn % ATTEND_SM90_STAGES * ATTEND_SM90_TILE;
}

GPU_FN sm90_stage *sm90_at(const sm90_smem &m, int turn)
{
    return &m.stage[turn % ATTEND_SM90_STAGES];
}

GPU_FN u32 sm90_parity(int turn)
{
    return (u32)(turn / ATTEND_SM90_STAGES) & 1;
}

/* Waits until the place of tile 'turn' is free, at once in the first round, and starts its copy. */
GPU_FN void sm90_fetch_tile(unsigned char *ring, const tensor_map *map, u64 *full, u64 *empty,
                            int turn, int block, int head)
{
    gpu_mbar_wait(empty, sm90_parity(turn) ^ 1);
    gpu_mbar_expect(full, ATTEND_SM90_TILE);
    gpu_tma_load(sm90_tile(ring, turn), map, full, 0, block * ATTEND_SM90_KEYS, 0, head);
}

/* One thread, in the order in which tiles are waited for: k 0, k 1, v 0, k 2, v 1, .. */
GPU_FN void sm90_fetch(const attend_sm90_args &a, const sm90_smem &m, sm90_span span, int head)
{
    const int n = span.end - span.first;
    for (int i = 0; i <= n; i++) {
        sm90_stage *k = sm90_at(m, i), *v = sm90_at(m, i + ATTEND_SM90_STAGES - 1);
        if (i < n)
            sm90_fetch_tile(m.k, &a.k, &k->k_full, &k->k_empty, i, span.first + i, head);
        if (i > 0)
            sm90_fetch_tile(m.v, &a.v, &v->v_full, &v->v_empty, i - 1, span.first + i - 1, head);
    }
}

/* Query rows of one warp group, from row0 on, to shared memory; rows past the last are zeros. */
GPU_FN void sm90_load_q(unsigned char *q, const attend_args &a, i64 row0, int head, int thread)
{
    enum { CHUNKS = HEAD_DIM / 8 };
    const bf16 *src = (const bf16 *)a.q + (i64)head * GQA * HEAD_DIM;
    i64 rows = (i64)a.rows * GQA;
    GPU_UNROLL
    for (int i = 0; i < 64 * CHUNKS / SM90_GROUP; i++) {
        int c = i * SM90_GROUP + thread, r = c / CHUNKS, chunk = c % CHUNKS;
        i64 row = row0 + r;
        u32x4 x = { 0, 0, 0, 0 };
        if (row < rows)
            x = gpu_load16(src + row / GQA * a.q_stride + row % GQA * HEAD_DIM + chunk * 8);
        gpu_smem_store16(q + chunk / 8 * SM90_Q_HALF + gpu_swizzle128(r, chunk % 8), x);
    }
}

/* What a thread of a computing warp group holds of its two rows. */
struct sm90_rows {
    i64 index[2];                               /* of a KV head's rows */
    i64 first[2], end[2];                       /* keys it sees, from the run's first */
    float max[2], sum[2];
};

GPU_FN void sm90_load_state(sm90_rows &r, float (&o)[HEAD_DIM / 2], const attend_args &a, int head,
                            int column)
{
    i64 rows = (i64)a.rows * GQA;
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        bool carried = !a.fresh && r.index[h] < rows;
        i64 at = head * rows + r.index[h];
        const float *from = a.o + at * HEAD_DIM + column;
        r.max[h] = carried ? a.ml[2 * at] : -GPU_INF;
        r.sum[h] = carried ? a.ml[2 * at + 1] : 0;
        GPU_UNROLL
        for (int i = 0; i < HEAD_DIM / 8; i++) {
            f32x2 x = { 0, 0 };
            if (carried)
                x = *(const f32x2 *)(from + 8 * i);
            o[4 * i + 2 * h] = x.x;
            o[4 * i + 2 * h + 1] = x.y;
        }
    }
}

GPU_FN void sm90_store_state(const sm90_rows &r, const float (&o)[HEAD_DIM / 2],
                             const attend_args &a, int head, int column)
{
    i64 rows = (i64)a.rows * GQA;
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        if (r.index[h] >= rows)
            continue;
        i64 at = head * rows + r.index[h];
        float *to = a.o + at * HEAD_DIM + column;
        if (column == 0) {
            f32x2 ml = { r.max[h], r.sum[h] };
            *(f32x2 *)(a.ml + 2 * at) = ml;
        }
        /* + 0: a -0 would become 0 with the next block, and bits must not show where a run ends */
        GPU_UNROLL
        for (int i = 0; i < HEAD_DIM / 8; i++) {
            f32x2 x = { gpu_add(o[4 * i + 2 * h], 0), gpu_add(o[4 * i + 2 * h + 1], 0) };
            *(f32x2 *)(to + 8 * i) = x;
        }
    }
}

/* s = q k^T */
GPU_FN void sm90_scores(float (&s)[64], const unsigned char *q, const unsigned char *k)
{
    u64 a = gpu_wgmma_matrix(q, 0, 1024), b = gpu_wgmma_matrix(k, 0, 1024);
    gpu_wgmma_rows<false>(s, a, b);
    GPU_UNROLL
    for (int i = 1; i < HEAD_DIM / 16; i++) {
        u32 x = (u32)(i / 4 * SM90_Q_HALF + i % 4 * 32), y = (u32)(i / 4 * SM90_HALF + i % 4 * 32);
        gpu_wgmma_rows<true>(s, a + (x >> 4), b + (y >> 4));
    }
}

/* o += p v */
GPU_FN void sm90_values(float (&o)[HEAD_DIM / 2], const u32 (&p)[4 * SM90_STEPS],
                        const unsigned char *v)
{
    u64 b = gpu_wgmma_matrix(v, SM90_HALF, 1024);
    GPU_UNROLL
    for (int i = 0; i < SM90_STEPS; i++)
        gpu_wgmma_columns(o, p + 4 * i, b + (u32)(i * 16 * 128 >> 4));
}

/* Scores to cap * tanh(score / cap) in units of log2; they need no further scale. */
GPU_FN void sm90_softcap(float (&s)[64], float scale_log2)
{
    const float cap = ATTN_CAP * 1.44269504088896341f, inner = gpu_div(scale_log2, cap);
    GPU_UNROLL
    for (int i = 0; i < 64; i++)
        s[i] = gpu_mul(cap, gpu_tanh(gpu_mul(s[i], inner)));
}

/* Scores of block 'block' that a row does not see become -inf. */
GPU_FN void sm90_mask(float (&s)[64], const sm90_rows &r, int block, int column)
{
    i64 key = (i64)block * ATTEND_SM90_KEYS + column;
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        i64 left = r.end[h] - key, skip = r.first[h] - key;
        int end = left < ATTEND_SM90_KEYS ? (int)(left < 0 ? 0 : left) : ATTEND_SM90_KEYS;
        int first = skip < ATTEND_SM90_KEYS ? (int)(skip < 0 ? 0 : skip) : ATTEND_SM90_KEYS;
        GPU_UNROLL
        for (int i = 0; i < 32; i++) {
            int c = i / 2 * 8 + i % 2;
            if (c >= end || (ATTN_WINDOW && c < first))
                s[i / 2 * 4 + 2 * h + i % 2] = -GPU_INF;
        }
    }
}

/* Of the four threads that share a row; the same bits in all of them. */
GPU_FN float sm90_row_max(float x)
{
    x = gpu_max(x, gpu_shfl_xor(x, 1));
    return gpu_max(x, gpu_shfl_xor(x, 2));
}

GPU_FN float sm90_row_sum(float x)
{
    x = gpu_add(x, gpu_shfl_xor(x, 1));
    return gpu_add(x, gpu_shfl_xor(x, 2));
}

/* s becomes exp2(s * scale - max), max and sum move on, 'fade' is what the output is to be
   multiplied by. Additions are in one order, whatever the call. */
GPU_FN void sm90_softmax(float (&s)[64], sm90_rows &r, float (&fade)[2], float scale)
{
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        float most = gpu_max(s[2 * h], s[2 * h + 1]);
        GPU_UNROLL
        for (int i = 1; i < 16; i++)
            most = gpu_max(most, gpu_max(s[4 * i + 2 * h], s[4 * i + 2 * h + 1]));
        most = gpu_max(r.max[h], gpu_mul(sm90_row_max(most), scale));
        float shift = most == -GPU_INF ? 0 : most;   /* has the row seen no key yet? */
        fade[h] = gpu_exp2(r.max[h] - shift);
        r.max[h] = most;
        float even = 0, odd = 0;
        GPU_UNROLL
        for (int i = 0; i < 16; i++) {
            float *x = &s[4 * i + 2 * h];
            x[0] = gpu_exp2(gpu_fma(x[0], scale, -shift));
            x[1] = gpu_exp2(gpu_fma(x[1], scale, -shift));
            even = gpu_add(even, x[0]);
            odd = gpu_add(odd, x[1]);
        }
        r.sum[h] = gpu_fma(r.sum[h], fade[h], sm90_row_sum(gpu_add(even, odd)));
    }
}

/* The accumulator's layout is that of an operand: see gpu_sm90.h. */
GPU_FN void sm90_pack(u32 (&p)[4 * SM90_STEPS], const float (&s)[64])
{
    GPU_UNROLL
    for (int i = 0; i < 2 * SM90_STEPS; i++) {
        p[2 * i] = gpu_pack_bf16(s[4 * i], s[4 * i + 1]);
        p[2 * i + 1] = gpu_pack_bf16(s[4 * i + 2], s[4 * i + 3]);
    }
}

GPU_FN void sm90_fade(float (&o)[HEAD_DIM / 2], const float (&fade)[2])
{
    GPU_UNROLL
    for (int i = 0; i < HEAD_DIM / 2; i++)
        o[i] = gpu_mul(o[i], fade[i / 2 % 2]);
}

/* One warp is done with a stage. */
GPU_FN void sm90_release(u64 *empty)
{
    if (threadIdx.x % 32 == 0)
        gpu_mbar_arrive(empty);
}

/* The computing warp groups issue their products in turn, group 0 first. To take the turn is a
   barrier of the group's own threads, too: the first shows them their queries. */
GPU_FN void sm90_take_turn(int group)
{
    gpu_bar_sync(SM90_TURN + group, 2 * SM90_GROUP);
}

GPU_FN void sm90_pass_turn(int group)
{
    gpu_bar_arrive(SM90_TURN + 1 - group, 2 * SM90_GROUP);
}

/* Row 'index[0]' and the one 8 further on, of a KV head's rows. */
GPU_FN void sm90_place_rows(sm90_rows &r, const attend_args &a, i64 row)
{
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        r.index[h] = row + 8 * h;
        i64 end = a.pos0 + r.index[h] / GQA + 1 - a.key0;
        r.first[h] = window_first(a, end - 1);
        r.end[h] = end < a.n_keys ? end : a.n_keys;
    }
}

/* Blocks that a warp's 16 rows from 'row' on see as a whole: first <= b < end. */
GPU_FN sm90_span sm90_unmasked(const attend_args &a, i64 row)
{
    i64 end = a.pos0 + row / GQA + 1 - a.key0;
    i64 first = window_first(a, a.pos0 + (row + 15) / GQA - a.key0);
    sm90_span s;
    end = end < a.n_keys ? end : a.n_keys;
    s.first = first > 0 ? (int)((first + ATTEND_SM90_KEYS - 1) / ATTEND_SM90_KEYS) : 0;
    s.end = end > 0 ? (int)(end / ATTEND_SM90_KEYS) : 0;
    return s;
}

/* Scores of a block of keys to probabilities not yet divided; the state moves on. */
template <bool CAUSAL>
GPU_FN void sm90_weigh(float (&s)[64], sm90_rows &r, float (&fade)[2], const attend_args &a,
                       int block, sm90_span unmasked)
{
    if (ATTN_CAPPED)
        sm90_softcap(s, a.scale_log2);
    if (CAUSAL && (block >= unmasked.end || (ATTN_WINDOW && block < unmasked.first)))
        sm90_mask(s, r, block, (int)threadIdx.x % 4 * 2);
    sm90_softmax(s, r, fade, ATTN_CAPPED ? 1 : a.scale_log2);
}

/*
** What one warp group computes: its 64 rows against the blocks of 'span'. In turn i it issues
** scores of block i and the product of block i - 1 with its values, and while the latter runs makes
** probabilities of the former. The first and the last turn have one half of that each: a product
** must not be under an if, or the compiler no longer lets it run on.
*/
template <bool CAUSAL>
GPU_FN void sm90_compute(const attend_args &a, const sm90_smem &m, sm90_span span, i64 row0,
                         int head, int group)
{
    const int thread = (int)threadIdx.x % SM90_GROUP, column = thread % 4 * 2;
    const int n = span.end - span.first;
    const i64 warp_row = row0 + thread / 32 * 16;
    const sm90_span unmasked = sm90_unmasked(a, warp_row);
    unsigned char *q = m.q + group * SM90_Q;
    sm90_rows r;
    float s[64], o[HEAD_DIM / 2], fade[2];
    u32 p[4 * SM90_STEPS];

    sm90_load_q(q, a, row0, head, thread);
    gpu_async_fence();                           /* the barrier of the first turn follows */
    sm90_place_rows(r, a, warp_row + thread % 32 / 4);
    sm90_load_state(r, o, a, head, column);

    if (group == 1)
        sm90_pass_turn(1);
    if (n > 0) {
        gpu_mbar_wait(&m.stage[0].k_full, 0);
        sm90_take_turn(group);
        gpu_wgmma_fence();
        sm90_scores(s, q, m.k);
        gpu_wgmma_commit();
        sm90_pass_turn(group);
        gpu_wgmma_wait<0>(s);
        sm90_release(&m.stage[0].k_empty);
        sm90_weigh<CAUSAL>(s, r, fade, a, span.first, unmasked);
        sm90_fade(o, fade);
        sm90_pack(p, s);
    }
    if (n > 1)
        gpu_mbar_wait(&sm90_at(m, 1)->k_full, sm90_parity(1));
    for (int i = 1; i < n; i++) {
        sm90_take_turn(group);
        gpu_wgmma_fence();
        sm90_scores(s, q, sm90_tile(m.k, i));
        gpu_wgmma_commit();
        gpu_mbar_wait(&sm90_at(m, i - 1)->v_full, sm90_parity(i - 1));
        gpu_wgmma_fence();
        sm90_values(o, p, sm90_tile(m.v, i - 1));
        gpu_wgmma_commit();
        sm90_pass_turn(group);
        gpu_wgmma_wait<1>(s);
        sm90_release(&sm90_at(m, i)->k_empty);
        sm90_weigh<CAUSAL>(s, r, fade, a, span.first + i, unmasked);
        gpu_settle(s);
        if (i + 1 < n)                           /* a loop: keeps the next wait from moving up */
            gpu_mbar_wait(&sm90_at(m, i + 1)->k_full, sm90_parity(i + 1));
        gpu_wgmma_wait<0>(o);
        sm90_release(&sm90_at(m, i - 1)->v_empty);
        sm90_fade(o, fade);
        sm90_pack(p, s);
    }
    if (n > 0) {
        gpu_mbar_wait(&sm90_at(m, n - 1)->v_full, sm90_parity(n - 1));
        gpu_wgmma_fence();
        sm90_values(o, p, sm90_tile(m.v, n - 1));
        gpu_wgmma_commit();
        gpu_wgmma_wait<0>(o);
    }
    if (n > 0 || a.fresh)                        /* else it stands there as it was */
        sm90_store_state(r, o, a, head, column);
    if (group == 0)
        sm90_take_turn(0);                       /* the one that is passed last */
}

template <bool CAUSAL> GPU_FN void sm90_attend(const attend_sm90_args &a)
{
    GPU_DYN_SMEM(base);
    const sm90_smem m = sm90_carve(base);
    /* rows that see most first: the tail of the grid is then short */
    const i64 tile = CAUSAL ? (i64)gridDim.x - 1 - blockIdx.x : blockIdx.x;
    const i64 row0 = tile * ATTEND_SM90_ROWS;
    const int head = (int)blockIdx.y, group = gpu_uniform((int)threadIdx.x / SM90_GROUP);
    const sm90_span span = sm90_blocks<CAUSAL>(a.attend, row0);

    if (threadIdx.x == 0) {
        gpu_tma_prefetch(&a.k);
        gpu_tma_prefetch(&a.v);
        for (int i = 0; i < ATTEND_SM90_STAGES; i++) {
            gpu_mbar_init(&m.stage[i].k_full, 1);
            gpu_mbar_init(&m.stage[i].v_full, 1);
            gpu_mbar_init(&m.stage[i].k_empty, 2 * SM90_GROUP / 32);
            gpu_mbar_init(&m.stage[i].v_empty, 2 * SM90_GROUP / 32);
        }
        gpu_mbar_publish();
    }
    gpu_sync();
    if (group == 0) {
        gpu_registers_fewer<SM90_REGS_FETCH>();
        if (threadIdx.x == 0)
            sm90_fetch(a, m, span, head);
    } else {
        gpu_registers_more<SM90_REGS_COMPUTE>();
        sm90_compute<CAUSAL>(a.attend, m, span, row0 + (group - 1) * 64, head, group - 1);
    }
}

/* Grid: ceil(rows * GQA / ATTEND_SM90_ROWS), n. */
GPU_KERNEL(k_attend_full_sm90, attend_sm90_args, ATTEND_SM90_THREADS, 1)
{
    sm90_attend<false>(a);
}

GPU_KERNEL(k_attend_causal_sm90, attend_sm90_args, ATTEND_SM90_THREADS, 1)
{
    sm90_attend<true>(a);
}

#endif

#endif
