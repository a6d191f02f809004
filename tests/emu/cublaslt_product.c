/*
** cublaslt_product.c - a product of the emulated cuBLASLt: its operands, their checks, its sums.
**
** Sums are float, in the order of k, and rounded once. Splitting k changes the bits, in-place
** reduction changes them from run to run: an algorithm that does either is known by its results.
*/
#include "cublaslt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- operands ---- */

size_t layout_elt_bytes(const layout *l)
{
    return l->type == CUDA_R_32F ? sizeof(float) : sizeof(uint16_t);
}

matrix layout_matrix(const void *p, const layout *l, int32_t trans)
{
    bool across = (l->order == CUBLASLT_ORDER_ROW) != (trans == CUBLAS_OP_T);
    return (matrix){ p, across ? l->ld : 1, across ? 1 : l->ld, l->type == CUDA_R_32F };
}

area layout_area(const void *p, const layout *l)
{
    bool by_rows = l->order == CUBLASLT_ORDER_ROW;
    size_t e = layout_elt_bytes(l);

    return (area){ p, (size_t)l->ld * e, (by_rows ? l->cols : l->rows) * e,
                   by_rows ? l->rows : l->cols };
}

static cublasStatus_t check_layout(const layout *l, bool result)
{
    int64_t least = (int64_t)(l->order == CUBLASLT_ORDER_ROW ? l->cols : l->rows);

    if (l->type != CUDA_R_16BF && !(result && l->type == CUDA_R_32F))
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a matrix of a type that is not emulated");
    if (l->order != CUBLASLT_ORDER_COL && l->order != CUBLASLT_ORDER_ROW)
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an order that is not emulated");
    if (l->batches != 1)
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "batches are not emulated");
    if (l->rows == 0 || l->cols == 0 || l->ld < least)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "leading dimension below the rows");
    if (l->type == CUDA_R_16BF && (size_t)l->ld * layout_elt_bytes(l) % ALIGN != 0)
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED,
                         "leading dimension not a multiple of 16 bytes");
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_desc(const desc *d)
{
    if (d->compute != CUBLAS_COMPUTE_32F || d->scale != CUDA_R_32F ||
        d->pointer_mode != CUBLASLT_POINTER_MODE_HOST || d->trans_c != CUBLAS_OP_N ||
        d->trans_a > CUBLAS_OP_T || d->trans_b > CUBLAS_OP_T ||
        (d->epilogue != CUBLASLT_EPILOGUE_DEFAULT && d->epilogue != CUBLASLT_EPILOGUE_BIAS))
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a product that is not emulated");
    return CUBLAS_STATUS_SUCCESS;
}

operands operands_of(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to)
{
    operands o;

    memcpy(&o.desc, d, sizeof o.desc);
    memcpy(&o.l[0], a, sizeof o.l[0]);
    memcpy(&o.l[1], b, sizeof o.l[1]);
    memcpy(&o.l[2], c, sizeof o.l[2]);
    memcpy(&o.l[3], to, sizeof o.l[3]);
    return o;
}

cublasStatus_t operands_check(const operands *o, product *p)
{
    bool ta = o->desc.trans_a == CUBLAS_OP_T, tb = o->desc.trans_b == CUBLAS_OP_T;
    const layout *l = o->l;
    cublasStatus_t s = check_desc(&o->desc);

    for (int i = 0; s == CUBLAS_STATUS_SUCCESS && i < 4; i++)
        s = check_layout(&l[i], i >= 2);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    p->m = (int64_t)l[3].rows;
    p->n = (int64_t)l[3].cols;
    p->k = (int64_t)(ta ? l[0].rows : l[0].cols);
    if ((ta ? l[0].cols : l[0].rows) != l[3].rows || (tb ? l[1].rows : l[1].cols) != l[3].cols ||
        (tb ? l[1].cols : l[1].rows) != (uint64_t)p->k || l[2].rows != l[3].rows ||
        l[2].cols != l[3].cols || l[2].type != l[3].type)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "shapes that do not fit");
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- arithmetic ---- */

enum { LANES = 16 };                 /* rows computed together */

/* LANES floats are four of these. */
typedef float quad __attribute__((vector_size(16), may_alias));

static float from_bf16(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static uint16_t to_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    if (isnan(f))
        return 0x7fff;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float load(const unsigned char *p, bool f32, int64_t at)
{
    float f;
    uint16_t x;

    if (f32) {
        memcpy(&f, p + at * 4, sizeof f);
        return f;
    }
    memcpy(&x, p + at * 2, sizeof x);
    return from_bf16(x);
}

static void store(const matrix *d, int64_t i, int64_t j, float f)
{
    unsigned char *p = (unsigned char *)(uintptr_t)d->at;
    int64_t at = i * d->down + j * d->right;
    uint16_t x = to_bf16(f);

    if (d->f32)
        memcpy(p + at * 4, &f, sizeof f);
    else
        memcpy(p + at * 2, &x, sizeof x);
}

/* sum (LANES) = sums of a[k] b[k] over [from, to), in the order of k; a (k, LANES). */
static void dot(const float *a, const float *b, int64_t from, int64_t to, float *sum)
{
    quad s[4] = { 0 };

    for (int64_t k = from; k < to; k++) {
        const quad *row = (const quad *)(a + k * LANES);
        for (int i = 0; i < 4; i++)
            s[i] += row[i] * b[k];
    }
    memcpy(sum, s, sizeof s);
}

static float part_of(const product *p, float f)
{
    bool round = p->scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE && !p->d.f32;
    return round ? from_bf16(to_bf16(f)) : f;
}

/* The parts of k are added in their order; in place, in any. */
static void split_dot(const product *p, const float *a, const float *b, float *sum)
{
    bool in_place = p->scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE;
    int first = in_place ? (int)(emu_random() % (uint64_t)p->splits) : 0;
    float part[LANES];

    memset(sum, 0, sizeof part);
    for (int i = 0; i < p->splits; i++) {
        int64_t at = (first + i) % p->splits;
        dot(a, b, p->k * at / p->splits, p->k * (at + 1) / p->splits, part);
        for (int r = 0; r < LANES; r++)
            sum[r] += part_of(p, part[r]);
    }
}

/* LANES rows of op(a) from row i on, to (k, LANES); rows past the end are zero. */
static void load_rows(const product *p, int64_t i, float *a)
{
    int64_t n = p->m - i < LANES ? p->m - i : LANES;

    memset(a, 0, (size_t)p->k * LANES * sizeof *a);
    for (int64_t r = 0; r < n; r++)
        for (int64_t k = 0; k < p->k; k++)
            a[k * LANES + r] = load(p->a.at, false, (i + r) * p->a.down + k * p->a.right);
}

static void finish(const product *p, int64_t i, int64_t j, const float *sum)
{
    for (int64_t r = 0; r < LANES && i + r < p->m; r++) {
        float f = p->alpha * sum[r];
        if (p->beta != 0)
            f += p->beta * load(p->c.at, p->c.f32, (i + r) * p->c.down + j * p->c.right);
        if (p->bias != NULL)
            f += load(p->bias, p->bias_f32, i + r);
        store(&p->d, i + r, j, f);
    }
}

static float *floats(int64_t n)
{
    void *p = NULL;
    if (posix_memalign(&p, sizeof(quad), (size_t)n * sizeof(float)) != 0)
        abort();
    return p;
}

void product_run(const void *args)
{
    const product *p = args;
    float *a = floats(p->k * LANES), *b = floats(p->k * p->n), sum[LANES];

    for (int64_t j = 0; j < p->n; j++)
        for (int64_t k = 0; k < p->k; k++)
            b[j * p->k + k] = load(p->b.at, false, k * p->b.down + j * p->b.right);
    for (int64_t i = 0; i < p->m; i += LANES) {
        load_rows(p, i, a);
        for (int64_t j = 0; j < p->n; j++) {
            split_dot(p, a, b + j * p->k, sum);
            finish(p, i, j, sum);
        }
    }
    if (p->workspace_bytes > 0)
        memset(p->workspace, 0xff, p->workspace_bytes);
    emu_count.matmuls++;
    free(a);
    free(b);
}
