/*
** lt.c - matrix products of prompts by cuBLASLt: algorithms chosen at start, one for each matrix.
**
** y (rows, n) = x (rows, k) W^T with rows side by side is, in the library's columns, y^T = W x^T: W
** is its transposed A, x its B. A product of some columns alone uses the algorithm of all of them.
*/
#include "lt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lt_load.h"

enum { MOST_PLANS = 8, CANDIDATES = 16, ALIGNMENT = 16 };

/* The matrices of a model, as far as products differ. */
typedef struct lt_shape {
    int n, k;
    int64_t x_stride;
    dev_mode mode;
    bool bias;
    int cut;                         /* columns before it or behind are asked for alone; 0: never */
} lt_shape;

typedef struct lt_plan {
    lt_shape shape;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
    size_t workspace;                /* bytes that the algorithm takes */
} lt_plan;

struct lt_plans {
    const lt_api *api;
    cublasLtHandle_t handle;
    lt_place place;
    lt_plan plan[MOST_PLANS];
    int n_plans;
};

static bool failed(cublasStatus_t s, const lt_shape *p, const char *action, char *err, size_t n)
{
    if (s == CUBLAS_STATUS_SUCCESS)
        return false;
    snprintf(err, n, "cuBLASLt, product with a matrix (%d, %d): %s failed with status %d", p->n,
             p->k, action, (int)s);
    return true;
}

/* ---- descriptors ---- */

static cublasStatus_t set(const lt_plans *p, const lt_plan *q, cublasLtMatmulDescAttributes_t what,
                          int32_t value)
{
    return p->api->cublasLtMatmulDescSetAttribute(q->desc, what, &value, sizeof value);
}

static cublasStatus_t set_epilogue(const lt_plans *p, const lt_plan *q)
{
    cublasStatus_t s = set(p, q, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    return set(p, q, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
}

/* For the most rows that a pass can have. */
static bool describe(lt_plans *p, lt_plan *q, int rows, char *err, size_t n)
{
    const lt_api *api = p->api;
    const lt_shape *s = &q->shape;
    uint64_t w = (uint64_t)s->n, k = (uint64_t)s->k;

    return !failed(api->cublasLtMatmulDescCreate(&q->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), s,
                   "describing it", err, n) &&
           !failed(set(p, q, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T), s, "transposing", err, n) &&
           (!s->bias || !failed(set_epilogue(p, q), s, "adding a bias", err, n)) &&
           !failed(api->cublasLtMatrixLayoutCreate(&q->a, CUDA_R_16BF, k, w, (int64_t)k), s,
                   "laying out weights", err, n) &&
           !failed(api->cublasLtMatrixLayoutCreate(&q->b, CUDA_R_16BF, k, (uint64_t)rows,
                                                   s->x_stride),
                   s, "laying out rows", err, n) &&
           !failed(api->cublasLtMatrixLayoutCreate(&q->d, CUDA_R_16BF, w, (uint64_t)rows,
                                                   (int64_t)w),
                   s, "laying out the result", err, n);
}

/* ---- the choice of an algorithm ---- */

static uint32_t config(const lt_plans *p, const cublasLtMatmulAlgo_t *a,
                       cublasLtMatmulAlgoConfigAttributes_t what)
{
    uint32_t value = 0;
    size_t written;

    if (p->api->cublasLtMatmulAlgoConfigGetAttribute(a, what, &value, sizeof value, &written) !=
        CUBLAS_STATUS_SUCCESS)
        return 0;
    return value;
}

/* Does it add over k in one order, whatever the number of rows? */
static bool in_one_order(const lt_plans *p, const cublasLtMatmulAlgo_t *a)
{
    return config(p, a, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1 &&
           config(p, a, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) == CUBLASLT_REDUCTION_SCHEME_NONE;
}

static cublasStatus_t set_rows(const lt_plans *p, const lt_plan *q, int rows)
{
    uint64_t n = (uint64_t)rows;
    cublasStatus_t s = p->api->cublasLtMatrixLayoutSetAttribute(q->b, CUBLASLT_MATRIX_LAYOUT_COLS,
                                                                &n, sizeof n);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    return p->api->cublasLtMatrixLayoutSetAttribute(q->d, CUBLASLT_MATRIX_LAYOUT_COLS, &n,
                                                    sizeof n);
}

static cublasStatus_t set_cols(const lt_plans *p, const lt_plan *q, int cols)
{
    uint64_t n = (uint64_t)cols;
    cublasStatus_t s = p->api->cublasLtMatrixLayoutSetAttribute(q->a, CUBLASLT_MATRIX_LAYOUT_COLS,
                                                                &n, sizeof n);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    return p->api->cublasLtMatrixLayoutSetAttribute(q->d, CUBLASLT_MATRIX_LAYOUT_ROWS, &n,
                                                    sizeof n);
}

/* Does it work for so many rows and columns? */
static bool takes(const lt_plans *p, const lt_plan *q, const cublasLtMatmulAlgo_t *a, int rows,
                  int cols)
{
    cublasLtMatmulHeuristicResult_t r;

    return set_rows(p, q, rows) == CUBLAS_STATUS_SUCCESS &&
           set_cols(p, q, cols) == CUBLAS_STATUS_SUCCESS &&
           p->api->cublasLtMatmulAlgoCheck(p->handle, q->desc, q->a, q->b, q->d, q->d, a, &r) ==
               CUBLAS_STATUS_SUCCESS &&
           r.workspaceSize <= (size_t)p->place.bytes;
}

/* For a single row, and for the columns that are asked for alone, before 'cut' and behind it? */
static bool takes_all(const lt_plans *p, const lt_plan *q, const cublasLtMatmulAlgo_t *a, int rows)
{
    int n = q->shape.n, cut = q->shape.cut;

    return takes(p, q, a, 1, n) && (cut == 0 || (takes(p, q, a, 1, cut) &&
                                                 takes(p, q, a, rows, n - cut))) &&
           takes(p, q, a, rows, n);
}

static cublasLtMatmulPreference_t preference(const lt_plans *p)
{
    cublasLtMatmulPreference_t f = NULL;
    uint64_t bytes = (uint64_t)p->place.bytes;
    uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE, align = ALIGNMENT;
    static const cublasLtMatmulPreferenceAttributes_t ALIGNED[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
    };

    if (p->api->cublasLtMatmulPreferenceCreate(&f) != CUBLAS_STATUS_SUCCESS)
        return NULL;
    p->api->cublasLtMatmulPreferenceSetAttribute(f, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &bytes, sizeof bytes);
    p->api->cublasLtMatmulPreferenceSetAttribute(f, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                 &none, sizeof none);
    for (size_t i = 0; i < sizeof ALIGNED / sizeof *ALIGNED; i++)
        p->api->cublasLtMatmulPreferenceSetAttribute(f, ALIGNED[i], &align, sizeof align);
    return f;
}

static bool choose(lt_plans *p, lt_plan *q, int rows, char *err, size_t n)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    cublasLtMatmulPreference_t f = preference(p);
    int n_found = 0;
    cublasStatus_t s = CUBLAS_STATUS_ALLOC_FAILED;

    if (f != NULL) {
        s = p->api->cublasLtMatmulAlgoGetHeuristic(p->handle, q->desc, q->a, q->b, q->d, q->d, f,
                                                   CANDIDATES, found, &n_found);
        p->api->cublasLtMatmulPreferenceDestroy(f);
    }
    if (failed(s, &q->shape, "looking for an algorithm", err, n))
        return false;
    for (int i = 0; i < n_found; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS && in_one_order(p, &found[i].algo) &&
            takes_all(p, q, &found[i].algo, rows)) {
            q->algo = found[i].algo;
            q->workspace = found[i].workspaceSize;
            return true;
        }
    snprintf(err, n, "cuBLASLt has no algorithm for a matrix (%d, %d) that adds in one order",
             q->shape.n, q->shape.k);
    return false;
}

/* ---- open and close ---- */

static bool add(lt_plans *p, lt_shape shape, int rows, char *err, size_t n)
{
    lt_plan *q = &p->plan[p->n_plans++];

    q->shape = shape;
    return describe(p, q, rows, err, n) && choose(p, q, rows, err, n);
}

static bool add_all(lt_plans *p, const hi_model *m, char *err, size_t n)
{
    int q_cols = m->heads * m->head_dim, qkv = q_cols + 2 * m->kv_heads * m->head_dim;
    const hi_layer *l = &m->layer[0];
    /* what is normed before it is added is stored */
    dev_mode attended = l->attn_post_norm < 0 ? DEV_ADD : DEV_STORE;
    dev_mode fed = l->mlp_post_norm < 0 ? DEV_ADD : DEV_STORE;
    const lt_shape SHAPES[] = {
        { qkv, m->hidden, m->hidden, DEV_STORE, l->qkv_bias >= 0, q_cols },
        { m->hidden, q_cols, q_cols, attended, l->o_bias >= 0, 0 },
        { 2 * m->ffn, m->hidden, m->hidden, DEV_STORE, l->gate_up_bias >= 0, 0 },
        { m->hidden, m->ffn, 2 * m->ffn, fed, l->down_bias >= 0, 0 },
    };

    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (!add(p, SHAPES[i], m->rows[HI_PREFILL], err, n))
            return false;
    return true;
}

lt_plans *lt_plans_open(const hi_model *m, lt_place place, char *err, size_t n)
{
    lt_plans *p = calloc(1, sizeof *p);

    if (p == NULL) {
        snprintf(err, n, "out of memory for the matrix products");
        return NULL;
    }
    p->place = place;
    p->api = lt_load(err, n);
    if (p->api == NULL) {
        free(p);
        return NULL;
    }
    cublasStatus_t s = p->api->cublasLtCreate(&p->handle);
    if (s != CUBLAS_STATUS_SUCCESS)
        snprintf(err, n, "cuBLASLt cannot be opened: status %d", (int)s);
    if (s == CUBLAS_STATUS_SUCCESS && add_all(p, m, err, n))
        return p;
    lt_plans_close(p);
    return NULL;
}

void lt_plans_close(lt_plans *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < p->n_plans; i++) {
        const lt_plan *q = &p->plan[i];
        if (q->desc != NULL)
            p->api->cublasLtMatmulDescDestroy(q->desc);
        if (q->a != NULL)
            p->api->cublasLtMatrixLayoutDestroy(q->a);
        if (q->b != NULL)
            p->api->cublasLtMatrixLayoutDestroy(q->b);
        if (q->d != NULL)
            p->api->cublasLtMatrixLayoutDestroy(q->d);
    }
    if (p->handle != NULL)
        p->api->cublasLtDestroy(p->handle);
    free(p);
}

/* ---- products ---- */

static lt_plan *find(lt_plans *p, const dev_product *product)
{
    for (int i = 0; i < p->n_plans; i++) {
        lt_plan *q = &p->plan[i];
        const lt_shape *s = &q->shape;
        if (s->n == product->n && s->k == product->k &&
            s->x_stride == product->x_stride && s->mode == product->mode &&
            s->bias == (product->bias != NULL))
            return q;
    }
    return NULL;
}

/* Columns [from, to) of 'rows' rows. */
static cublasStatus_t resize(const lt_plans *p, const lt_plan *q, const dev_product *product)
{
    cublasStatus_t s = set_cols(p, q, product->to - product->from);
    return s == CUBLAS_STATUS_SUCCESS ? set_rows(p, q, product->rows) : s;
}

static cublasStatus_t set_bias(const lt_plans *p, const lt_plan *q, const dev_product *product)
{
    if (!q->shape.bias)
        return CUBLAS_STATUS_SUCCESS;
    const uint16_t *bias = (const uint16_t *)product->bias + product->from;
    return p->api->cublasLtMatmulDescSetAttribute(q->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                                  sizeof bias);
}

bool lt_multiply(lt_plans *p, const dev_product *product, char *err, size_t n)
{
    const lt_plan *q = find(p, product);
    const float one = 1, beta = product->mode == DEV_ADD ? 1 : 0;
    int64_t from = product->from;

    if (q == NULL) {
        snprintf(err, n, "no product was prepared for a matrix (%d, %d)", product->n, product->k);
        return false;
    }
    const uint16_t *w = (const uint16_t *)product->w + from * product->k;
    uint16_t *y = (uint16_t *)product->y + from;
    if (failed(resize(p, q, product), &q->shape, "setting its size", err, n) ||
        failed(set_bias(p, q, product), &q->shape, "setting its bias", err, n))
        return false;
    cublasStatus_t s = p->api->cublasLtMatmul(p->handle, q->desc, &one, w, q->a, product->x, q->b,
                                              &beta, y, q->d, y, q->d, &q->algo, p->place.scratch,
                                              (size_t)p->place.bytes, p->place.stream);
    return !failed(s, &q->shape, "multiplying", err, n);
}
