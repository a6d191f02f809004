/*
** decode.cuh - attention of a few tokens: a part for every split of KEY_SPLIT keys, and the merge
** of the parts into the state.
**
** Reading K and V once is all the time there is: a block of k_attend_part has some 16 KB under
** way per warp, and the warps of a block, each with keys and a ring of its own, wait for one
** another only to add up. Arithmetic is on tensor cores because 16 rows then cost what one does.
**
** The bits of a row's part depend on its query and the keys it sees: not on the other rows of the
** tile, its place there, the tokens of the pass or the keys behind its own. An empty part is a
** maximum of -inf; its output is not written.
**
** Source: FlashDecoding; FlashAttention-2, arXiv 2307.08691, for the registers that are scores
** and then, as they lie, the left operand of P V.
*/
#ifndef DECODE_CUH
#define DECODE_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"
#include "window.cuh"

enum {
    PART_STEPS = PART_KEYS / PART_UNIT,          /* units of keys of a warp, and of values */
    PART_Q_KEPT = HEAD_DIM <= 128,
    PART_CHUNKS = HEAD_DIM / 8,                  /* of 16 bytes in a key */
    PART_RING = PART_UNITS * PART_UNIT * SMEM_ROW,
    PART_LEFT = HEAD_DIM + 8,                    /* floats of a row that a warp leaves behind */

    /* Blocks of a multiprocessor: those of 100 KB have no room for more than this, and then more
       registers for each. */
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
    PART_ROOM = (100 << 10) / (PART_SMEM + 1024),
#else
    PART_ROOM = PART_BLOCKS,
#endif
    PART_BLOCKS_HERE = PART_ROOM < PART_BLOCKS ? PART_ROOM : PART_BLOCKS
};

static_assert(PART_UNIT == 16 && PART_STEPS * PART_UNIT * PART_WARPS == KEY_SPLIT,
              "a unit is the depth of one mma");
static_assert(PART_UNITS <= 2 * PART_STEPS && PART_ROWS * PART_LEFT * 4 <= PART_RING,
              "what a warp leaves fits its ring");

/* A warp's view of its split. Keys are counted from the split's first. */
struct part_warp {
    const unsigned char *k, *v;      /* of the warp's first key, this lane's chunk */
    int first;                       /* key of the warp */
    int chunks;                      /* from there to the last key that a row of the block sees */
    int low[2], high[2];             /* this lane's two rows see keys [low, high) */
    unsigned char *left;             /* what it leaves behind: in its ring, when that is read */
    gpu_shared ring;
    int lane;
};

/* Starts the copy of unit u: keys, then values. Chunks past the last key become zeros: a NaN
   there must not meet a probability of 0. */
GPU_FN void part_fetch(const part_warp &w, int u)
{
    if (u < 2 * PART_STEPS) {
        const unsigned char *src = u < PART_STEPS ? w.k : w.v;
        gpu_shared slot = w.ring + u % PART_UNITS * PART_UNIT * SMEM_ROW;
        const int begin = u % PART_STEPS * PART_UNIT * PART_CHUNKS;
        GPU_UNROLL
        for (int i = 0; i < PART_UNIT * PART_CHUNKS / 32; i++) {
            const int at = begin + 32 * i, c = w.lane + 32 * i;
            gpu_cp_async16(slot + c / PART_CHUNKS * SMEM_ROW + c % PART_CHUNKS * 16, src + at * 16,
                           at < w.chunks);
        }
    }
    gpu_cp_commit();                 /* of nothing too: waits count groups */
}

/* Until unit u, the oldest under way, has landed for every lane. */
GPU_FN gpu_shared part_await(const part_warp &w, int u)
{
    gpu_cp_wait<PART_UNITS - 1>();
    gpu_syncwarp();
    return w.ring + u % PART_UNITS * PART_UNIT * SMEM_ROW;
}

/* The slot of unit u has been read: the next unit may have it. */
GPU_FN void part_release(const part_warp &w, int u)
{
    gpu_syncwarp();
    part_fetch(w, u + PART_UNITS);
}

/* Scores of the warp's keys: s[i] are those of keys 8 i .. 8 i + 7. Queries of a long head would
   take too many registers: they are read anew for every unit. */
GPU_FN void part_scores(const part_warp &w, gpu_shared q, float (*s)[4])
{
    u32 qf[HEAD_DIM / 16][4];
    const int key = (w.lane & 7) + (w.lane >> 4) * 8, half = w.lane >> 3 & 1;
    q += (w.lane & 15) * SMEM_ROW + (w.lane >> 4) * 16;
    GPU_UNROLL
    for (int i = 0; i < HEAD_DIM / 16 && PART_Q_KEPT; i++)
        gpu_ldmatrix_x4(qf[i], q + i * 32);
    GPU_UNROLL
    for (int u = 0; u < PART_STEPS; u++) {
        gpu_shared slot = part_await(w, u) + key * SMEM_ROW + half * 16;
        GPU_UNROLL
        for (int j = 0; j < 4; j++)
            s[2 * u][j] = s[2 * u + 1][j] = 0;
        GPU_UNROLL
        for (int i = 0; i < HEAD_DIM / 16; i++) {
            u32 b[4];
            if (!PART_Q_KEPT)
                gpu_ldmatrix_x4(qf[i], q + i * 32);
            gpu_ldmatrix_x4(b, slot + i * 32);
            gpu_mma_bf16(s[2 * u], qf[i], b);
            gpu_mma_bf16(s[2 * u + 1], qf[i], b + 2);
        }
        part_release(w, u);
    }
}

/* Scores to probabilities, for row r of the lane's two: their maximum, in units of log2, and
   sum. The four lanes that share the row add in one order. */
GPU_FN void part_softmax(const part_warp &w, float (*s)[4], int r, float scale, float *max,
                         float *sum)
{
    const int key = w.first + (w.lane & 3) * 2;
    float top = -GPU_INF, total = 0;
    GPU_UNROLL
    for (int i = 0; i < PART_KEYS / 4; i++) {
        float *x = &s[i / 2][2 * r + i % 2];
        int j = key + i / 2 * 8 + i % 2;
        if (ATTN_CAPPED)
            *x = gpu_tanh(*x * (scale * 0.69314718f / ATTN_CAP));
        if (j >= w.high[r] || (ATTN_WINDOW && j < w.low[r]))
            *x = -GPU_INF;
        top = gpu_max(top, *x);
    }
    top = gpu_max(top, gpu_shfl_xor(top, 1));
    top = gpu_max(top, gpu_shfl_xor(top, 2));
    if (ATTN_CAPPED)
        scale = ATTN_CAP * 1.44269504f;
    *max = gpu_mul(top, scale);
    const float shift = *max == -GPU_INF ? 0 : *max;
    GPU_UNROLL
    for (int i = 0; i < PART_KEYS / 4; i++) {
        float *x = &s[i / 2][2 * r + i % 2];
        *x = gpu_exp2(gpu_fma(*x, scale, -shift));
        total += *x;
    }
    total += gpu_shfl_xor(total, 1);
    *sum = total + gpu_shfl_xor(total, 2);
}

/* Probabilities in bf16, for every unit of values the left operand of its mma. */
GPU_FN void part_round(const float (*s)[4], u32 (*p)[4])
{
    GPU_UNROLL
    for (int u = 0; u < PART_STEPS; u++)
        GPU_UNROLL
        for (int i = 0; i < 4; i++)
            p[u][i] = gpu_pack_bf16(s[2 * u + i / 2][i % 2 * 2], s[2 * u + i / 2][i % 2 * 2 + 1]);
}

/* o = P V over the warp's keys: o[i] are columns 8 i .. 8 i + 7. */
GPU_FN void part_output(const part_warp &w, const u32 (*p)[4], float (*o)[4])
{
    GPU_UNROLL
    for (int i = 0; i < HEAD_DIM / 8; i++)
        o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0;
    GPU_UNROLL
    for (int u = 0; u < PART_STEPS; u++) {
        gpu_shared slot = part_await(w, PART_STEPS + u);
        slot += (w.lane & 15) * SMEM_ROW + (w.lane >> 4) * 16;
        GPU_UNROLL
        for (int i = 0; i < HEAD_DIM / 16; i++) {
            u32 b[4];
            gpu_ldmatrix_x4_t(b, slot + i * 32);
            gpu_mma_bf16(o[2 * i], p[u], b);
            gpu_mma_bf16(o[2 * i + 1], p[u], b + 2);
        }
        part_release(w, PART_STEPS + u);
    }
}

/* Leaves what the warp has of its rows in its own ring: HEAD_DIM outputs, maximum, sum. */
GPU_FN void part_leave(const part_warp &w, const float (*o)[4], const float *max, const float *sum)
{
    GPU_UNROLL
    for (int r = 0; r < 2; r++) {
        float *row = (float *)w.left + ((w.lane >> 2) + 8 * r) * PART_LEFT;
        GPU_UNROLL
        for (int i = 0; i < HEAD_DIM / 8; i++)
            *(f32x2 *)(row + 8 * i + (w.lane & 3) * 2) = { o[i][2 * r], o[i][2 * r + 1] };
        if ((w.lane & 3) == 0)
            *(f32x2 *)(row + HEAD_DIM) = { max[r], sum[r] };
    }
}

/* Adds up what the warps left of columns [column, column + 4) of a row, in ascending order. */
GPU_FN void part_add(const unsigned char *rings, int row, int column, float *part_o, float *part_ml)
{
    const float *left = (const float *)rings + row * PART_LEFT;
    float max = -GPU_INF, sum = 0;
    f32x4 o = { 0, 0, 0, 0 };
    GPU_UNROLL
    for (int w = 0; w < PART_WARPS; w++)
        max = gpu_max(max, left[w * (PART_RING / 4) + HEAD_DIM]);
    if (max > -GPU_INF) {
        GPU_UNROLL
        for (int w = 0; w < PART_WARPS; w++, left += PART_RING / 4) {
            const f32x4 x = *(const f32x4 *)(left + column);
            const float by = gpu_exp2(left[HEAD_DIM] - max);
            sum = gpu_fma(left[HEAD_DIM + 1], by, sum);
            o.x = gpu_fma(x.x, by, o.x);
            o.y = gpu_fma(x.y, by, o.y);
            o.z = gpu_fma(x.z, by, o.z);
            o.w = gpu_fma(x.w, by, o.w);
        }
        *(f32x4 *)(part_o + column) = o;
    }
    if (column == 0)
        *(f32x2 *)part_ml = { max, sum };
}

GPU_FN int part_clamp(i64 keys)
{
    return keys < 0 ? 0 : keys < KEY_SPLIT ? (int)keys : KEY_SPLIT;
}

GPU_KERNEL(k_attend_part, attend_args, PART_THREADS, PART_BLOCKS_HERE)
{
    GPU_DYN_SMEM(smem);
    /* Blocks start in the order of x, then y, then z. Those that read the same keys for other
       rows must start together, to find them in the L2 cache. */
    const u32 block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int split = (int)(block / gridDim.z % gridDim.x);
    const int kv_head = (int)(block / gridDim.z / gridDim.x);
    const int tid = (int)threadIdx.x, all = a.rows * GQA;
    const int row0 = (int)(block % gridDim.z) * PART_ROWS;
    const int rows = all - row0 < PART_ROWS ? all - row0 : PART_ROWS;
    const i64 part = ((i64)kv_head * a.splits + split) * all + row0;
    const i64 key0 = a.key0 + (i64)split * KEY_SPLIT;
    const i64 seen = (a.pos ? *a.pos : a.pos0) - key0 + 1;        /* keys that token 0 sees */
    const i64 exist = a.n_keys - (i64)split * KEY_SPLIT;
    const i64 seen_last = seen + (row0 + rows - 1) / GQA;
    const int keys = part_clamp(exist < seen_last ? exist : seen_last);
    part_warp w;

    if (keys == 0 || window_first(a, seen - 1 + row0 / GQA) >= keys) {
        if (tid < rows)
            *(f32x2 *)(a.part_ml + (part + tid) * 2) = { -GPU_INF, 0 };
        return;
    }
    w.lane = tid & 31;
    w.first = tid / 32 * PART_KEYS;
    w.chunks = (keys - w.first) * PART_CHUNKS - w.lane;
    w.ring = gpu_shared_at(smem) + PART_ROWS * SMEM_ROW + tid / 32 * PART_RING;
    w.k = a.k + kv_head * a.head_pitch + ((i64)split * KEY_SPLIT + w.first) * (HEAD_DIM * 2);
    w.k += w.lane * 16;
    w.v = w.k + a.v_offset;
    for (int i = tid; i < PART_ROWS * PART_CHUNKS; i += PART_THREADS) {
        int r = i / PART_CHUNKS, at = row0 + r;
        i64 from = at / GQA * a.q_stride + (kv_head * GQA + at % GQA) * HEAD_DIM;
        gpu_cp_async16(gpu_shared_at(smem) + r * SMEM_ROW + i % PART_CHUNKS * 16,
                       (const bf16 *)a.q + (r < rows ? from + i % PART_CHUNKS * 8 : 0), r < rows);
    }
    gpu_cp_commit();
    GPU_UNROLL
    for (int u = 0; u < PART_UNITS; u++)
        part_fetch(w, u);
    GPU_UNROLL
    for (int r = 0; r < 2; r++) {
        i64 sees = seen + (row0 + (w.lane >> 2) + 8 * r) / GQA;
        w.high[r] = part_clamp(exist < sees ? exist : sees);
        w.low[r] = part_clamp(window_first(a, sees - 1));
    }
    gpu_cp_wait<PART_UNITS>();       /* the queries have landed, */
    gpu_sync();                      /* those that other warps fetched too */

    float s[PART_KEYS / 8][4], o[HEAD_DIM / 8][4], max[2], sum[2];
    u32 p[PART_STEPS][4];
    part_scores(w, gpu_shared_at(smem), s);
    part_softmax(w, s, 0, a.scale_log2, &max[0], &sum[0]);
    part_softmax(w, s, 1, a.scale_log2, &max[1], &sum[1]);
    part_round(s, p);
    part_output(w, p, o);
    /* asked anew: to keep them all the while would take registers */
    w.left = smem + PART_ROWS * SMEM_ROW + gpu_thread() / 32 * PART_RING;
    part_leave(w, o, max, sum);
    gpu_sync();
    for (int i = gpu_thread(); i < rows * (HEAD_DIM / 4); i += PART_THREADS) {
        int r = i / (HEAD_DIM / 4);
        part_add(smem + PART_ROWS * SMEM_ROW, r, i % (HEAD_DIM / 4) * 4,
                 a.part_o + (part + r) * HEAD_DIM, a.part_ml + (part + r) * 2);
    }
}

/*
** MERGE_BATCH parts of a row on their way into its state, one lane for each: the factors of what
** came before it and of itself. Running maxima are the same however they are found, so the
** factors are those of one part after the other.
*/
struct merge_batch {
    float keep, add, sum;            /* the lane's part; sum already times add */
    float max;                       /* of the state once all are in */
    float x[MERGE_BATCH];            /* this thread's column of each; where add is 0, none */
};

/* Parts [split, split + MERGE_BATCH) of a row whose part of split 0 is 'first', the next 'step'
   parts on, to follow a state of maximum 'max'. Past the last split they are empty. */
GPU_FN void merge_load(merge_batch &b, const attend_args &a, i64 first, int step, int split,
                       float max, int column)
{
    const int lane = (int)threadIdx.x & 31;
    f32x2 ml = { -GPU_INF, 0 };
    if (split + lane < a.splits)
        ml = *(const f32x2 *)(a.part_ml + (first + (i64)(split + lane) * step) * 2);
    float top = gpu_max(ml.x, max);
    GPU_UNROLL
    for (int by = 1; by < MERGE_BATCH; by *= 2) {
        float before = gpu_shfl(top, lane < by ? lane : lane - by);
        top = gpu_max(top, before);
    }
    const float before = gpu_shfl(top, lane ? lane - 1 : 0);
    const bool empty = ml.x == -GPU_INF;
    b.keep = empty ? 1 : gpu_exp2((lane ? before : max) - top);
    b.add = empty ? 0 : gpu_exp2(ml.x - top);
    b.sum = gpu_mul(ml.y, b.add);
    b.max = gpu_shfl(top, MERGE_BATCH - 1);
    GPU_UNROLL
    for (int group = 0; group < MERGE_BATCH; group += MERGE_GROUP) {
        if (split + group >= a.splits)
            break;
        GPU_UNROLL
        for (int i = group; i < group + MERGE_GROUP; i++) {
            const i64 at = (first + (i64)(split + i) * step) * HEAD_DIM + column;
            b.x[i] = gpu_shfl(b.add, i) > 0 ? a.part_o[at] : 0;
        }
    }
}

/* The batch's n parts. One whose factor is 0 is none: the state stays as it is, to the bit. */
GPU_FN void merge_add(const merge_batch &b, int n, float *o, float *sum)
{
    GPU_UNROLL
    for (int group = 0; group < MERGE_BATCH; group += MERGE_GROUP) {
        if (group >= n)
            break;
        GPU_UNROLL
        for (int i = group; i < group + MERGE_GROUP; i++) {
            const float keep = gpu_shfl(b.keep, i), add = gpu_shfl(b.add, i);
            const float more = gpu_shfl(b.sum, i);
            if (add > 0) {
                *o = gpu_fma(*o, keep, gpu_mul(b.x[i], add));
                *sum = gpu_fma(*sum, keep, more);
            }
        }
    }
}

/* One block per row, one thread per column; the next batch is on its way while one is added. */
GPU_KERNEL(k_merge, attend_args, MERGE_THREADS, 1)
{
    const int tid = (int)threadIdx.x, column = tid < HEAD_DIM ? tid : 0;
    const int all = a.rows * GQA, row = (int)blockIdx.x;
    const i64 first = (i64)(row / all) * a.splits * all + row % all;
    float *ml = a.ml + (i64)row * 2, *state = a.o + (i64)row * HEAD_DIM + column;
    float max = -GPU_INF, sum = 0, o = 0;
    merge_batch batch, next;

    if (!a.fresh) {
        max = ml[0];
        sum = ml[1];
        o = *state;
    }
    merge_load(batch, a, first, all, 0, max, column);
    for (int split = 0; split < a.splits; split += MERGE_BATCH) {
        const bool more = split + MERGE_BATCH < a.splits;
        max = batch.max;
        if (more)
            merge_load(next, a, first, all, split + MERGE_BATCH, max, column);
        merge_add(batch, a.splits - split, &o, &sum);
        if (more)
            batch = next;
    }
    gpu_sync();                      /* every warp has read the state that one now writes */
    if (tid < HEAD_DIM)
        *state = o;
    if (tid == 0)
        *(f32x2 *)ml = { max, sum };
}

#endif
