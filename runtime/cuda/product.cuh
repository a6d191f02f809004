/*
** product.cuh - products of a few rows: of decoded tokens.
**
** Reading the weights once is all the time there is. A lane's 16 bytes of a row of weights are, as
** they lie, right operands of two mma: elements of k take part in another order than they have in
** memory, the same for x. So weights need no shared memory, and most registers of a multiprocessor
** hold some that are on their way.
**
** The order over k hangs on k alone: pieces go to warps in turns, a warp adds up its own, the
** warps' sums are added in their order. A row's bits are those it has alone, and a column's those
** of the whole product.
*/
#ifndef PRODUCT_CUH
#define PRODUCT_CUH

#include "args.h"
#include "geometry.h"
#include "gpu.h"

enum {
    PRODUCT_STEP = PRODUCT_WARPS * PRODUCT_PIECE,        /* from a warp's piece to its next */
    PRODUCT_HALF = PRODUCT_PIECE / 2                     /* what four lanes load of a row at once */
};

static_assert(PRODUCT_HALF == 4 * 8, "a lane loads 16 bytes");
static_assert(PRODUCT_THREADS == PRODUCT_ROWS * PRODUCT_COLS, "a thread ends one element");

/* A row of x, or of weights, from the first element that is a lane's: so many there are from there
   on. What there is not is zero; a row that there is not is nothing else. */
struct product_row {
    const bf16 *at;
    int end;
};

GPU_FN product_row product_row_of(const void *m, i64 stride, int row, int rows, int k)
{
    const int first = (int)threadIdx.x % 4 * 8;
    if (row >= rows)
        return { (const bf16 *)m, 0 };
    return { (const bf16 *)m + row * stride + first, k - first };
}

/* This lane's part of the piece of weights from element i on. */
GPU_FN void product_fetch(u32x4 (*w)[2], const product_row *row, int i)
{
    GPU_UNROLL
    for (int n = 0; n < 2 * PRODUCT_TILES; n++) {
        const int j = i + n % 2 * PRODUCT_HALF;
        w[n / 2][n % 2] = { 0, 0, 0, 0 };
        if (j < row[n / 2].end)
            w[n / 2][n % 2] = gpu_load16_once(row[n / 2].at + j);
    }
}

/* The same of x, which many blocks read. */
GPU_FN void product_rows(u32x4 (*x)[2], const product_row *row, int i)
{
    GPU_UNROLL
    for (int n = 0; n < 4; n++) {
        const int j = i + n % 2 * PRODUCT_HALF;
        x[n / 2][n % 2] = { 0, 0, 0, 0 };
        if (j < row[n / 2].end)
            x[n / 2][n % 2] = gpu_load16(row[n / 2].at + j);
    }
}

GPU_FN void product_add(float (*sum)[4], const u32x4 (*x)[2], const u32x4 (*w)[2])
{
    GPU_UNROLL
    for (int h = 0; h < 2; h++) {
        const u32 low[4] = { x[0][h].x, x[1][h].x, x[0][h].y, x[1][h].y };
        const u32 high[4] = { x[0][h].z, x[1][h].z, x[0][h].w, x[1][h].w };
        GPU_UNROLL
        for (int t = 0; t < PRODUCT_TILES; t++) {
            const u32 b[4] = { w[t][h].x, w[t][h].y, w[t][h].z, w[t][h].w };
            gpu_mma_bf16(sum[t], low, b);
            gpu_mma_bf16(sum[t], high, b + 2);
        }
    }
}

/* A warp's sums, (PRODUCT_ROWS, PRODUCT_COLS). */
GPU_FN void product_leave(float *to, const float (*sum)[4], int lane)
{
    to += lane / 4 * PRODUCT_COLS + lane % 4 * 2;
    GPU_UNROLL
    for (int i = 0; i < 2 * PRODUCT_TILES; i++)
        *(f32x2 *)(to + i % 2 * 8 * PRODUCT_COLS + i / 2 * 8) = { sum[i / 2][i % 2 * 2],
                                                                   sum[i / 2][i % 2 * 2 + 1] };
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
    if (a.mode == PRODUCT_F32)
        ((float *)a.y)[at] = v;
    else
        *y = gpu_to_bf16(v);
}

/* x: PRODUCT_ROWS rows, y: PRODUCT_COLS columns from a.from on. Blocks start in the order of x:
   those that read the same weights for other rows do so together. */
GPU_KERNEL(k_product, product_args, PRODUCT_THREADS, PRODUCT_BLOCKS)
{
    GPU_DYN_SMEM(smem);
    float *const sums = (float *)smem, sum[PRODUCT_TILES][4] = {}, total = 0;
    const int tid = (int)threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int row0 = (int)blockIdx.x * PRODUCT_ROWS;
    const int col0 = a.from + (int)blockIdx.y * PRODUCT_COLS;
    product_row row[2], col[PRODUCT_TILES];
    u32x4 w[PRODUCT_DEPTH][PRODUCT_TILES][2], x[2][2];

    GPU_UNROLL
    for (int t = 0; t < PRODUCT_TILES; t++)
        col[t] = product_row_of(a.w, a.k, col0 + 8 * t + lane / 4, a.to, a.k);
    GPU_UNROLL
    for (int d = 0; d < PRODUCT_DEPTH; d++)
        product_fetch(w[d], col, warp * PRODUCT_PIECE + d * PRODUCT_STEP);
    GPU_UNROLL
    for (int r = 0; r < 2; r++)
        row[r] = product_row_of(a.x, a.x_stride, row0 + 8 * r + lane / 4, a.rows, a.k);
    for (int i = warp * PRODUCT_PIECE; i < a.k; i += PRODUCT_DEPTH * PRODUCT_STEP) {
        GPU_UNROLL
        for (int d = 0; d < PRODUCT_DEPTH; d++) {
            product_rows(x, row, i + d * PRODUCT_STEP);
            product_add(sum, x, w[d]);
            product_fetch(w[d], col, i + (d + PRODUCT_DEPTH) * PRODUCT_STEP);
        }
    }
    product_leave(sums + warp * PRODUCT_THREADS, sum, lane);
    gpu_sync();
    GPU_UNROLL
    for (int i = 0; i < PRODUCT_WARPS; i++)
        total = gpu_add(total, sums[i * PRODUCT_THREADS + tid]);
    if (row0 + tid / PRODUCT_COLS < a.rows && col0 + tid % PRODUCT_COLS < a.to)
        product_end(a, row0 + tid / PRODUCT_COLS, col0 + tid % PRODUCT_COLS, total);
}

#endif
