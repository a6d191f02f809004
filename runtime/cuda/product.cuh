/*
** product.cuh - products of a few rows: of decoded tokens.
**
** Reading the weights once is all the time there is. What a lane copies, 16 bytes of a row, is, as
** it lies, the right operands of two mma: elements of k take part in another order than they have
** in memory, those of x likewise. So a lane reads back what it copied itself and no one waits for
** another: every warp has a ring of its own, and some 8 KB under way.
**
** The order over k hangs on k alone: pieces go to warps in turns, a warp adds up its own, and the
** warps' sums are added in their order. A row's bits are those it has alone, a column's those that
** it has among others.
*/
#ifndef PRODUCT_CUH
#define PRODUCT_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"

enum {
    PRODUCT_STEP = PRODUCT_WARPS * PRODUCT_PIECE, /* from a warp's piece to its next */
    PRODUCT_HALF = PRODUCT_PIECE / 2,             /* what four lanes copy of a row at once */
    PRODUCT_COPY = 32 * 16                        /* bytes that a warp copies at once */
};

static_assert(PRODUCT_ROWS == 16 && PRODUCT_HALF == 4 * 8, "a lane copies 16 bytes");

/* A row of x or of weights, from this lane's first element on. */
struct product_row {
    const bf16 *at;
    bool there;                      /* or else all of it is zero, and not read */
};

GPU_FN int product_first(void)
{
    return (int)threadIdx.x % 4 * 8;
}

GPU_FN product_row product_row_of(const void *m, i64 stride, int row, int rows)
{
    return { (const bf16 *)m + (row < rows ? row * stride + product_first() : 0), row < rows };
}

/* Starts the copy of this lane's part of the piece of weights from element i on. */
template <int TILES>
GPU_FN void product_fetch(const product_args &a, gpu_shared slot, const product_row *col, int i)
{
    const int end = a.k - product_first();
    if (i < a.k) {
        GPU_UNROLL
        for (int n = 0; n < 2 * TILES; n++) {
            const product_row &c = col[n / 2];
            const int j = i + n % 2 * PRODUCT_HALF;
            gpu_cp_async16(slot + n * PRODUCT_COPY, c.at + j, c.there && j < end);
        }
    }
    gpu_cp_commit();                 /* of nothing too: waits count groups */
}

/* The same part of x, two rows. Many blocks read it: L1 may keep it. */
GPU_FN void product_rows(const product_args &a, u32x4 (*x)[2], const product_row *row, int i)
{
    const int end = a.k - product_first();
    GPU_UNROLL
    for (int n = 0; n < 4; n++) {
        const int j = i + n % 2 * PRODUCT_HALF;
        x[n / 2][n % 2] = { 0, 0, 0, 0 };
        if (row[n / 2].there && j < end)
            x[n / 2][n % 2] = gpu_load16(row[n / 2].at + j);
    }
}

template <int TILES>
GPU_FN void product_add(float (*sum)[4], const u32x4 (*x)[2], const unsigned char *slot)
{
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        const u32 low[4] = { x[0][h].x, x[1][h].x, x[0][h].y, x[1][h].y };
        const u32 high[4] = { x[0][h].z, x[1][h].z, x[0][h].w, x[1][h].w };
        GPU_UNROLL
        for (int t = 0; t < TILES; t++) {
            const u32x4 w = gpu_load16(slot + (2 * t + h) * PRODUCT_COPY);
            const u32 b[4] = { w.x, w.y, w.z, w.w };
            gpu_mma_bf16(sum[t], low, b);
            gpu_mma_bf16(sum[t], high, b + 2);
        }
    }
}

/* One element of y: all that is added to it is, before it is rounded. */
GPU_FN void product_end(const product_args &a, int row, int col, float v)
{
    const i64 at = (i64)row * a.n + col;
    bf16 *y = (bf16 *)a.y + at;
    if (a.mode == PRODUCT_ADD)
        v = gpu_add(v, gpu_bf16(*y));
    if (a.bias)
        v = gpu_add(v, gpu_bf16(((const bf16 *)a.bias)[col]));
    if (FINAL_CAPPED && a.mode == PRODUCT_F32)
        v = FINAL_CAP * gpu_tanh(gpu_div(v, FINAL_CAP));
    if (a.mode == PRODUCT_F32)
        ((float *)a.y)[at] = v;
    else
        *y = gpu_to_bf16(v);
}

/* Sums of the block's PRODUCT_ROWS rows and 8 * TILES columns over the pieces of a warp. */
template <int TILES>
GPU_FN void product_sum(const product_args &a, float (*sum)[4], unsigned char *ring, int row0,
                        int col0)
{
    enum { SLOT = 2 * TILES * PRODUCT_COPY, DEPTH = PRODUCT_RING / SLOT };
    const int lane = (int)threadIdx.x % 32, first = (int)threadIdx.x / 32 * PRODUCT_PIECE;
    product_row row[2], col[TILES];
    u32x4 x[2][2];

    GPU_UNROLL
    for (int t = 0; t < TILES; t++)
        col[t] = product_row_of(a.w, a.k, col0 + 8 * t + lane / 4, a.to);
    GPU_UNROLL
    for (int d = 0; d < DEPTH; d++)
        product_fetch<TILES>(a, gpu_shared_at(ring + d * SLOT), col, first + d * PRODUCT_STEP);
    GPU_UNROLL
    for (int r = 0; r < 2; r++)
        row[r] = product_row_of(a.x, a.x_stride, row0 + 8 * r + lane / 4, a.rows);
    for (int i = first, slot = 0; i < a.k; i += PRODUCT_STEP) {
        product_rows(a, x, row, i);
        gpu_cp_wait<DEPTH - 1>();
        product_add<TILES>(sum, x, ring + slot);
        product_fetch<TILES>(a, gpu_shared_at(ring + slot), col, i + DEPTH * PRODUCT_STEP);
        slot = slot + SLOT < PRODUCT_RING ? slot + SLOT : 0;
    }
}

/* A block for every PRODUCT_ROWS rows and 8 * TILES columns from a.from on, in a grid of any shape.
   Blocks start in the order of x, then y: those that read the same weights for other rows do so
   together, and find them in the L2 cache. */
template <int TILES> GPU_FN void product_block(const product_args &a, unsigned char *smem)
{
    const int tid = (int)threadIdx.x, block = (int)(blockIdx.x + gridDim.x * blockIdx.y);
    const int tiles = (a.rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    const int row0 = block % tiles * PRODUCT_ROWS, col0 = a.from + block / tiles * 8 * TILES;
    unsigned char *const ring = smem + tid / 32 * PRODUCT_RING + tid % 32 * 16;
    float sum[TILES][4] = {};

    product_sum<TILES>(a, sum, ring, row0, col0);
    GPU_UNROLL
    for (int t = 0; t < TILES; t++)  /* to where this lane alone has read */
        *(f32x4 *)(ring + t * PRODUCT_COPY) = { sum[t][0], sum[t][1], sum[t][2], sum[t][3] };
    gpu_sync();
    GPU_UNROLL
    for (int i = 0; i < PRODUCT_ROWS * 8 * TILES; i += PRODUCT_THREADS) {
        const int r = (i + tid) / (8 * TILES), c = (i + tid) % (8 * TILES);
        const float *left = (const float *)(smem + c / 8 * PRODUCT_COPY) +
                            (r % 8 * 4 + c % 8 / 2) * 4 + r / 8 * 2 + c % 2;
        float total = 0;
        GPU_UNROLL
        for (int w = 0; w < PRODUCT_WARPS; w++)
            total = gpu_add(total, left[w * (PRODUCT_RING / 4)]);
        if (row0 + r < a.rows && col0 + c < a.to)
            product_end(a, row0 + r, col0 + c, total);
    }
}

GPU_KERNEL(k_product, product_args, PRODUCT_THREADS, PRODUCT_BLOCKS)
{
    GPU_DYN_SMEM(smem);
    product_block<PRODUCT_COLS / 8>(a, smem);
}

GPU_KERNEL(k_product_wide, product_args, PRODUCT_THREADS, PRODUCT_WIDE_BLOCKS)
{
    GPU_DYN_SMEM(smem);
    product_block<PRODUCT_WIDE_COLS / 8>(a, smem);
}

#endif
