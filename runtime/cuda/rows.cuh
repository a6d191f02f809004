/*
** rows.cuh - everything that goes over rows once: embedding, rotation table, norm, placing of
** new queries, keys and values, activation, the end of attention.
**
** Memory decides, so each kernel reads what it needs once, in pieces of 16 bytes, keeps it in
** registers and writes its result. What becomes of a row depends on that row alone.
*/
#ifndef ROWS_CUH
#define ROWS_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"

static_assert(HIDDEN % 8 == 0 && FFN % 8 == 0 && HEAD_DIM % 16 == 0, "rows are 16-byte pieces");

enum {
    HALF_CHUNKS = HEAD_DIM / 16      /* of half a head */
};

/* Eight elements. */
GPU_FN void row_unpack(float *x, u32x4 v)
{
    x[0] = gpu_bf16_lo(v.x);
    x[1] = gpu_bf16_hi(v.x);
    x[2] = gpu_bf16_lo(v.y);
    x[3] = gpu_bf16_hi(v.y);
    x[4] = gpu_bf16_lo(v.z);
    x[5] = gpu_bf16_hi(v.z);
    x[6] = gpu_bf16_lo(v.w);
    x[7] = gpu_bf16_hi(v.w);
}

GPU_FN u32x4 row_pack(const float *x)
{
    return { gpu_pack_bf16(x[0], x[1]), gpu_pack_bf16(x[2], x[3]), gpu_pack_bf16(x[4], x[5]),
             gpu_pack_bf16(x[6], x[7]) };
}

/* round(round(x) * y) of each */
GPU_FN u32x4 row_round_times(float *x, u32x4 y)
{
    float by[8];
    row_unpack(x, row_pack(x));
    row_unpack(by, y);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] *= by[i];
    return row_pack(x);
}

GPU_FN float row_squares(u32x4 v, float sum)
{
    float x[8];
    row_unpack(x, v);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        sum = gpu_fma(x[i], x[i], sum);
    return sum;
}

/* round(round(x * scale) * w) of eight; with NORM_OFFSET round(x * scale * (1 + w)) */
GPU_FN u32x4 row_normed(u32x4 v, float scale, u32x4 w)
{
    float x[8], by[8];
    row_unpack(x, v);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] *= scale;
    if (!NORM_OFFSET)
        return row_round_times(x, w);
    row_unpack(by, w);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] *= gpu_add(by[i], 1);
    return row_pack(x);
}

/* round(x + y) of eight */
GPU_FN u32x4 row_sum(u32x4 v, u32x4 w)
{
    float x[8], y[8];
    row_unpack(x, v);
    row_unpack(y, w);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] += y[i];
    return row_pack(x);
}

/* round(x * EMBED_SCALE) of eight; without one they pass as they are, NaN with its bits. */
GPU_FN u32x4 row_embedded(u32x4 v)
{
    float x[8];
    if (EMBED_SCALE == 1)
        return v;
    row_unpack(x, v);
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] *= (float)EMBED_SCALE;
    return row_pack(x);
}

/* The table may be in host memory: a thread's pieces are all under way at once. */
GPU_KERNEL(k_embed, embed_args, ROW_THREADS, 1)
{
    const i64 row = blockIdx.x;
    const u32x4 *from = (const u32x4 *)a.table + (i64)a.ids[row] * ROW_CHUNKS;
    u32x4 *to = (u32x4 *)a.x + row * ROW_CHUNKS, v[NORM_CHUNKS] = {};
    GPU_UNROLL
    for (int i = 0; i < NORM_CHUNKS; i++) {
        int c = (int)threadIdx.x + i * ROW_THREADS;
        if (c < ROW_CHUNKS)
            v[i] = gpu_load16_once(from + c);
    }
    GPU_UNROLL
    for (int i = 0; i < NORM_CHUNKS; i++) {
        int c = (int)threadIdx.x + i * ROW_THREADS;
        if (c < ROW_CHUNKS)
            gpu_store16(to + c, row_embedded(v[i]));
    }
}

GPU_KERNEL(k_rope_table, rope_args, ROPE_THREADS, 1)
{
    const int i = (int)threadIdx.x;
    const i64 row = blockIdx.x, pos = (a.pos ? *a.pos : a.pos0) + row;
    if (i < HEAD_DIM / 2) {
        f32x2 cs;
        gpu_sincos(gpu_mul((float)pos, a.freq[i]), &cs.y, &cs.x);
        cs = { gpu_mul(cs.x, a.scale), gpu_mul(cs.y, a.scale) };
        *(f32x2 *)(a.cs + (row * (HEAD_DIM / 2) + i) * 2) = cs;
    }
}

GPU_KERNEL(k_rmsnorm, norm_args, ROW_THREADS, 1)
{
    GPU_DYN_SMEM(smem);
    float *sums = (float *)smem, sum = 0;
    const int tid = (int)threadIdx.x;
    const i64 at = (i64)blockIdx.x * ROW_CHUNKS;
    u32x4 x[NORM_CHUNKS] = {}, w[NORM_CHUNKS] = {};
    GPU_UNROLL
    for (int i = 0; i < NORM_CHUNKS; i++) {
        int c = tid + i * ROW_THREADS;
        if (c < ROW_CHUNKS) {
            x[i] = gpu_load16((const u32x4 *)a.x + at + c);
            w[i] = gpu_load16((const u32x4 *)a.w + c);
        }
    }
    GPU_UNROLL
    for (int i = 0; i < NORM_CHUNKS; i++)
        sum = row_squares(x[i], sum);
    GPU_UNROLL
    for (int lanes = 16; lanes; lanes /= 2)
        sum += gpu_shfl_xor(sum, lanes);
    if (tid % 32 == 0)
        sums[tid / 32] = sum;
    gpu_sync();
    sum = 0;
    GPU_UNROLL
    for (int i = 0; i < ROW_THREADS / 32; i++)
        sum += sums[i];
    const float scale = gpu_rsqrt(gpu_add(gpu_div(sum, HIDDEN), a.eps));
    GPU_UNROLL
    for (int i = 0; i < NORM_CHUNKS; i++) {
        int c = tid + i * ROW_THREADS;
        if (c < ROW_CHUNKS) {
            u32x4 *y = (u32x4 *)a.y + at + c, v = row_normed(x[i], scale, w[i]);
            gpu_store16(y, a.add ? row_sum(gpu_load16(y), v) : v);
        }
    }
}

/* RMSNorm of a head, where it is wanted: a lane's two pieces. All lanes of the warp take part. */
GPU_FN void place_norm(u32x4 *x, const void *weights, float eps, int lane, bool wanted)
{
    const u32x4 *w = (const u32x4 *)weights + lane;
    float sum = row_squares(x[1], row_squares(x[0], 0));
    GPU_UNROLL
    for (int lanes = PLACE_LANES / 2; lanes; lanes /= 2)
        sum += gpu_shfl_xor(sum, lanes);
    const float scale = gpu_rsqrt(gpu_add(gpu_div(sum, HEAD_DIM), eps));
    if (wanted) {
        x[0] = row_normed(x[0], scale, gpu_load16(w));
        x[1] = row_normed(x[1], scale, gpu_load16(w + HALF_CHUNKS));
    }
}

/* Turns eight pairs; cs: cosine and sine of each. */
GPU_FN void place_turn(u32x4 *x, const f32x4 *cs)
{
    float p[8], q[8];
    row_unpack(p, x[0]);
    row_unpack(q, x[1]);
    GPU_UNROLL
    for (int i = 0; i < 8; i++) {
        const float c = i % 2 ? cs[i / 2].z : cs[i / 2].x, s = i % 2 ? cs[i / 2].w : cs[i / 2].y;
        const float turned = gpu_fma(p[i], c, -gpu_mul(q[i], s));
        q[i] = gpu_fma(q[i], c, gpu_mul(p[i], s));
        p[i] = turned;
    }
    x[0] = row_pack(p);
    x[1] = row_pack(q);
}

/* A lane's pieces of the row's k, or v: to every run that has the row. */
GPU_FN void place_send(const place_args &a, int row, int kv_head, bool is_v, int lane,
                       const u32x4 *x)
{
    const i64 moved = a.pos ? *a.pos : 0;
    for (int r = 0; r < a.n_runs; r++) {
        const place_run &run = a.run[r];
        const int i = row - run.row;
        if (i < 0 || i >= run.rows)
            continue;
        unsigned char *to = run.dst + (moved + i) * (HEAD_DIM * 2) + kv_head * run.head_pitch;
        to += (is_v ? run.v_offset : 0) + lane * 16;
        gpu_store16(to, x[0]);
        gpu_store16(to + HEAD_DIM, x[1]);
    }
}

/* One block per row, PLACE_LANES lanes per head. */
GPU_KERNEL(k_place, place_args, ROW_THREADS, 4)
{
    const int row = (int)blockIdx.x, lane = (int)threadIdx.x % PLACE_LANES;
    const f32x4 *table = (const f32x4 *)(a.cs + (i64)row * HEAD_DIM) + lane * 4;
    f32x4 cs[4];
    GPU_UNROLL
    for (int i = 0; i < 4; i++)
        cs[i] = lane < HALF_CHUNKS ? table[i] : f32x4{ 0, 0, 0, 0 };
    int first = row < a.q_row ? HEADS : 0;       /* queries not wanted are passed over */
    for (; first < HEADS + 2 * KV_HEADS; first += PLACE_HEADS) {
        const int head = first + (int)threadIdx.x / PLACE_LANES;
        const bool mine = lane < HALF_CHUNKS && head < HEADS + 2 * KV_HEADS;
        u32x4 *at = (u32x4 *)a.qkv + ((i64)row * QKV_COLS + (i64)head * HEAD_DIM) / 8 + lane;
        u32x4 x[2] = { { 0, 0, 0, 0 }, { 0, 0, 0, 0 } };
        if (mine) {
            x[0] = gpu_load16(at);
            x[1] = gpu_load16(at + HALF_CHUNKS);
        }
        const bool is_v = head >= HEADS + KV_HEADS;
        if (QK_NORM)
            place_norm(x, head < HEADS ? a.q_norm : a.k_norm, a.eps, lane, mine && !is_v);
        if (!is_v)
            place_turn(x, cs);
        if (mine && head >= HEADS) {
            place_send(a, row, head - HEADS - (is_v ? KV_HEADS : 0), is_v, lane, x);
        } else if (mine) {
            gpu_store16(at, x[0]);
            gpu_store16(at + HALF_CHUNKS, x[1]);
        }
    }
}

/* x times the sigmoid of z */
GPU_FN float act_sigmoid(float x, float z)
{
    return gpu_div_fast(x, 1 + gpu_exp2(z * -1.44269504f));
}

/* SiLU; or gelu's tanh form, where (1 + tanh u) / 2 is the sigmoid of 2 u */
GPU_FN float act(float x, bool gelu)
{
    return act_sigmoid(x, gelu ? (x + x * x * x * 0.044715f) * 1.59576912f : x);
}

/* ACTIVATE_BLOCKS blocks per row, a thread takes eight columns. */
GPU_KERNEL(k_activate, activate_args, ACTIVATE_THREADS, 1)
{
    const int c = (int)(blockIdx.x % ACTIVATE_BLOCKS * ACTIVATE_THREADS + threadIdx.x);
    const i64 row = blockIdx.x / ACTIVATE_BLOCKS;
    u32x4 *gate = (u32x4 *)a.mlp + row * (FFN / 4) + c;
    if (c >= FFN / 8)
        return;
    const u32x4 up = gpu_load16(gate + FFN / 8);
    float x[8];
    row_unpack(x, gpu_load16(gate));
    GPU_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] = act(x[i], a.gelu);
    gpu_store16(gate, row_round_times(x, up));
}

/* CLOSE_ROWS rows of the state per block, eight columns at a time. */
GPU_KERNEL(k_close, close_args, CLOSE_THREADS, 1)
{
    const int all = a.rows * GQA;
    for (int i = (int)threadIdx.x; i < CLOSE_ROWS * (HEAD_DIM / 8); i += CLOSE_THREADS) {
        const i64 row = (i64)blockIdx.x * CLOSE_ROWS + i / (HEAD_DIM / 8);
        if (row >= (i64)a.n * all)
            return;
        const int column = i % (HEAD_DIM / 8) * 8;
        const int r = (int)(row % all), head = (int)(row / all) * GQA + r % GQA;
        const f32x4 *o = (const f32x4 *)(a.o + row * HEAD_DIM + column);
        const f32x4 p = o[0], q = o[1];
        const float sum = a.ml[row * 2 + 1];
        const float x[8] = { gpu_div(p.x, sum), gpu_div(p.y, sum), gpu_div(p.z, sum),
                             gpu_div(p.w, sum), gpu_div(q.x, sum), gpu_div(q.y, sum),
                             gpu_div(q.z, sum), gpu_div(q.w, sum) };
        gpu_store16((bf16 *)a.out + r / GQA * a.out_stride + head * HEAD_DIM + column, row_pack(x));
    }
}

#endif
