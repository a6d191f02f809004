/*
** cublaslt.c - products of bf16 matrices, in the place of cuBLASLt.
**
** Sums are float, in the order of k, and rounded once. Algorithms differ in what a host must
** care for: splitting k changes the bits, in-place reduction changes them from run to run, and
** the heuristic offers such algorithms first where a product has few columns. What cuBLASLt does
** slowly, or not at all, for want of alignment is an error here.
*/
#include <cublasLt.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "queue.h"

enum { ALIGN = 16, LANES = 16, MOST_SPLITS = 32, FEW_COLUMNS = 64 };

struct cublasLtContext {
    int open;
};

typedef struct layout {
    uint32_t type;
    int32_t order;
    uint64_t rows, cols;
    int64_t ld, batch_stride;
    int32_t batches;
} layout;

typedef struct desc {
    int32_t compute, scale, pointer_mode, trans_a, trans_b, trans_c;
    uint32_t epilogue;
    int32_t bias_type;               /* -1: that of D */
    const void *bias;
} desc;

typedef struct preference {
    uint32_t search, schemes, align[4];
    float waves;
    uint64_t workspace, impl;
} preference;

typedef struct algo {
    uint32_t magic;
    int32_t id;
    uint32_t tile;
    int32_t splits;
    uint32_t scheme, swizzle, custom, stages;
    uint16_t inner, cluster;
} algo;

static const uint32_t MAGIC = 0x616c676f;

_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "layout");
_Static_assert(sizeof(desc) <= sizeof(cublasLtMatmulDescOpaque_t), "desc");
_Static_assert(sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "preference");
_Static_assert(sizeof(algo) <= sizeof(cublasLtMatmulAlgo_t), "algo");

static cublasStatus_t refuse(cublasStatus_t s, const char *what)
{
    emu_complain(cudaErrorInvalidValue, "cublasLt: %s", what);
    return s;
}

static cublasStatus_t enter(const char *call)
{
    switch (emu_enter(call)) {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorNoDevice: return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorMemoryAllocation: return CUBLAS_STATUS_ALLOC_FAILED;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}

static cublasStatus_t leave(cublasStatus_t s)
{
    emu_leave(cudaSuccess);
    return s;
}

/* ---- the library ---- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    cublasStatus_t s = enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS) {
        *handle = calloc(1, sizeof **handle);
        if (*handle == NULL)
            abort();
        (*handle)->open = 1;
    }
    return leave(s);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    cublasStatus_t s = enter(__func__);
    free(handle);
    return leave(s);
}

size_t cublasLtGetVersion(void)
{
    emu_enter(__func__);             /* reads the environment, if it is the first call */
    emu_leave(cudaSuccess);
    return emu_set.lt_version;
}

size_t cublasLtGetCudartVersion(void)
{
    return CUDART_VERSION;
}

static const struct {
    cublasStatus_t status;
    const char *name, *text;
} statuses[] = {
    { CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success" },
    { CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "not initialized" },
    { CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed" },
    { CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an invalid value was used" },
    { CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "failed to execute" },
    { CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "not supported" },
};

enum { N_STATUSES = sizeof statuses / sizeof statuses[0] };

const char *cublasLtGetStatusName(cublasStatus_t s)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (statuses[i].status == s)
            return statuses[i].name;
    return "unknown";
}

const char *cublasLtGetStatusString(cublasStatus_t s)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (statuses[i].status == s)
            return statuses[i].text;
    return "unknown";
}

/* ---- attributes: where an object keeps them ---- */

typedef struct field {
    int attr;
    size_t at, bytes;
} field;

#define FIELD(type, attr, member) { attr, offsetof(type, member), sizeof(((type *)0)->member) }
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

static const field *find_field(const field *f, int n, int attr)
{
    for (int i = 0; i < n; i++)
        if (f[i].attr == attr)
            return &f[i];
    return NULL;
}

static cublasStatus_t set(void *object, const field *list, int n, int attr, const void *buf,
                          size_t bytes)
{
    const field *f = find_field(list, n, attr);

    if (f == NULL)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an attribute that is not emulated");
    if (object == NULL || buf == NULL || bytes != f->bytes)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of another size");
    memcpy((unsigned char *)object + f->at, buf, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

/* Opaque memory with what it stands for. */
static void *object(size_t opaque_bytes, const void *content, size_t bytes)
{
    void *p = calloc(1, opaque_bytes);

    if (p == NULL)
        abort();
    memcpy(p, content, bytes);
    return p;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *to, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    layout l = { type, CUBLASLT_ORDER_COL, rows, cols, ld, 0, 1 };
    cublasStatus_t s = enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &l, sizeof l);
    return leave(s);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attr,
                                                const void *buf, size_t bytes)
{
    static const field list[] = {
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, type),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, order),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, rows),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_COLS, cols),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_LD, ld),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batches),
        FIELD(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, batch_stride),
    };
    return set(l, list, COUNT(list), (int)attr, buf, bytes);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *to, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    desc d = { .compute = (int32_t)compute, .scale = (int32_t)scale,
               .epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1 };
    cublasStatus_t s = enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &d, sizeof d);
    return leave(s);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    free(d);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attr, const void *buf,
                                              size_t bytes)
{
    static const field list[] = {
        FIELD(desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute),
        FIELD(desc, CUBLASLT_MATMUL_DESC_SCALE_TYPE, scale),
        FIELD(desc, CUBLASLT_MATMUL_DESC_POINTER_MODE, pointer_mode),
        FIELD(desc, CUBLASLT_MATMUL_DESC_TRANSA, trans_a),
        FIELD(desc, CUBLASLT_MATMUL_DESC_TRANSB, trans_b),
        FIELD(desc, CUBLASLT_MATMUL_DESC_TRANSC, trans_c),
        FIELD(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue),
        FIELD(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias),
        FIELD(desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type),
    };
    return set(d, list, COUNT(list), (int)attr, buf, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *to)
{
    preference p = { .schemes = CUBLASLT_REDUCTION_SCHEME_MASK,
                     .align = { 256, 256, 256, 256 }, .impl = UINT64_MAX };
    cublasStatus_t s = enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &p, sizeof p);
    return leave(s);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *buf, size_t bytes)
{
    static const field list[] = {
        FIELD(preference, CUBLASLT_MATMUL_PREF_SEARCH_MODE, search),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace),
        FIELD(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align[0]),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align[1]),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align[2]),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align[3]),
        FIELD(preference, CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, waves),
        FIELD(preference, CUBLASLT_MATMUL_PREF_IMPL_MASK, impl),
    };
    return set(p, list, COUNT(list), (int)attr, buf, bytes);
}

/* ---- a product ---- */

typedef struct matrix {
    const unsigned char *at;
    int64_t down, right;             /* elements to the next row, column */
    bool f32;
} matrix;

typedef struct product {
    matrix a, b, c, d;               /* op(a) (m, k), op(b) (k, n), c and d (m, n) */
    int64_t m, n, k;
    const unsigned char *bias;       /* (m), or NULL */
    bool bias_f32;
    float alpha, beta;
    int splits;
    uint32_t scheme;
    unsigned char *workspace;
    size_t workspace_bytes;
} product;

static size_t elt_bytes(const layout *l)
{
    return l->type == CUDA_R_32F ? sizeof(float) : sizeof(uint16_t);
}

static matrix matrix_of(const void *p, const layout *l, int32_t trans)
{
    bool across = (l->order == CUBLASLT_ORDER_ROW) != (trans == CUBLAS_OP_T);
    return (matrix){ p, across ? l->ld : 1, across ? 1 : l->ld, l->type == CUDA_R_32F };
}

static area area_of_layout(const void *p, const layout *l)
{
    bool by_rows = l->order == CUBLASLT_ORDER_ROW;
    size_t e = elt_bytes(l);

    return (area){ p, (size_t)l->ld * e, (by_rows ? l->cols : l->rows) * e,
                   by_rows ? l->rows : l->cols };
}

static cublasStatus_t check_layout(const layout *l, bool result)
{
    int64_t least = (int64_t)(l->order == CUBLASLT_ORDER_ROW ? l->cols : l->rows);

    if (l->type != CUDA_R_16BF && !(result && l->type == CUDA_R_32F))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a matrix of a type that is not emulated");
    if (l->order != CUBLASLT_ORDER_COL && l->order != CUBLASLT_ORDER_ROW)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an order that is not emulated");
    if (l->batches != 1)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "batches are not emulated");
    if (l->rows == 0 || l->cols == 0 || l->ld < least)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "leading dimension below the rows");
    if (l->type == CUDA_R_16BF && (size_t)l->ld * elt_bytes(l) % ALIGN != 0)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "leading dimension not a multiple of 16 bytes");
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_desc(const desc *d)
{
    if (d->compute != CUBLAS_COMPUTE_32F || d->scale != CUDA_R_32F ||
        d->pointer_mode != CUBLASLT_POINTER_MODE_HOST || d->trans_c != CUBLAS_OP_N ||
        d->trans_a > CUBLAS_OP_T || d->trans_b > CUBLAS_OP_T ||
        (d->epilogue != CUBLASLT_EPILOGUE_DEFAULT && d->epilogue != CUBLASLT_EPILOGUE_BIAS))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a product that is not emulated");
    return CUBLAS_STATUS_SUCCESS;
}

/* The operands of a product: a, b, c, d. */
typedef struct operands {
    desc desc;
    layout l[4];
} operands;

static operands operands_of(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                            cublasLtMatrixLayout_t to)
{
    operands o;

    memcpy(&o.desc, d, sizeof o.desc);
    memcpy(&o.l[0], a, sizeof o.l[0]);
    memcpy(&o.l[1], b, sizeof o.l[1]);
    memcpy(&o.l[2], c, sizeof o.l[2]);
    memcpy(&o.l[3], to, sizeof o.l[3]);
    return o;
}

/* Fills in m, n, k. */
static cublasStatus_t check_operands(const operands *o, product *p)
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
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "shapes that do not fit");
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- arithmetic ---- */

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

static void run_product(const void *args)
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

/* ---- algorithms ---- */

enum { MOST_TILES = 4 };

typedef struct kind {
    int32_t id;
    uint32_t tiles[MOST_TILES], stages[MOST_TILES];
    int n_tiles, n_stages;
    int32_t splits;                  /* can k be split? */
    int32_t custom_max;
} kind;

static const kind kinds[] = {
    { 6, { CUBLASLT_MATMUL_TILE_64x64, CUBLASLT_MATMUL_TILE_128x64 },
      { CUBLASLT_MATMUL_STAGES_32x3, CUBLASLT_MATMUL_STAGES_64x3 }, 2, 2, 1, 0 },
    { 21, { CUBLASLT_MATMUL_TILE_64x64, CUBLASLT_MATMUL_TILE_128x64, CUBLASLT_MATMUL_TILE_128x128 },
      { CUBLASLT_MATMUL_STAGES_64x3, CUBLASLT_MATMUL_STAGES_64x4 }, 3, 2, 1, 2 },
    { 31, { CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_MATMUL_TILE_256x128 },
      { CUBLASLT_MATMUL_STAGES_64x3 }, 2, 1, 0, 0 },
};

static const struct tile {
    uint32_t id;
    int m, n;
} tiles[] = {
    { CUBLASLT_MATMUL_TILE_64x64, 64, 64 },     { CUBLASLT_MATMUL_TILE_128x64, 128, 64 },
    { CUBLASLT_MATMUL_TILE_128x128, 128, 128 }, { CUBLASLT_MATMUL_TILE_256x128, 256, 128 },
};

static const kind *find_kind(int32_t id)
{
    for (int i = 0; i < COUNT(kinds); i++)
        if (kinds[i].id == id)
            return &kinds[i];
    return NULL;
}

static bool lists(const uint32_t *list, int n, uint32_t x)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

static bool algo_works(const algo *a, const product *p)
{
    const kind *k = a->magic == MAGIC ? find_kind(a->id) : NULL;
    bool split = a->splits > 1;

    return k != NULL && lists(k->tiles, k->n_tiles, a->tile) &&
           lists(k->stages, k->n_stages, a->stages) && a->swizzle <= 1 &&
           a->custom <= (uint32_t)k->custom_max && a->splits >= 1 && a->splits <= MOST_SPLITS &&
           a->splits <= p->k && (!split || k->splits) &&
           split == (a->scheme != CUBLASLT_REDUCTION_SCHEME_NONE) && a->scheme <= 4;
}

static size_t workspace_of(const algo *a, const product *p, size_t out_bytes)
{
    size_t parts = (size_t)(p->m * p->n) * (size_t)a->splits;

    if (a->scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
        return parts * sizeof(float);
    return a->scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE ? parts * out_bytes : 0;
}

static float waves_of(const algo *a, const product *p)
{
    for (int i = 0; i < COUNT(tiles); i++)
        if (tiles[i].id == a->tile)
            return (float)((p->m + tiles[i].m - 1) / tiles[i].m *
                           ((p->n + tiles[i].n - 1) / tiles[i].n) * a->splits) /
                   (float)emu_set.sms;
    return 0;
}

static void describe(cublasLtMatmulHeuristicResult_t *r, const algo *a, const product *p,
                     const operands *o)
{
    *r = (cublasLtMatmulHeuristicResult_t){ .state = CUBLAS_STATUS_SUCCESS };
    memcpy(&r->algo, a, sizeof *a);
    r->workspaceSize = workspace_of(a, p, elt_bytes(&o->l[3]));
    r->wavesCount = waves_of(a, p);
}

static bool allowed(const cublasLtMatmulHeuristicResult_t *r, const algo *a, const preference *f)
{
    return r->workspaceSize <= f->workspace &&
           (a->scheme == CUBLASLT_REDUCTION_SCHEME_NONE || (f->schemes & a->scheme) != 0) &&
           (f->waves == 0 || r->wavesCount <= f->waves);
}

/* Few columns: k is split, in place first. */
static int suggest(const product *p, const operands *o, const preference *f, int most,
                   cublasLtMatmulHeuristicResult_t *results)
{
    enum { SPLIT = 3 };
    static const algo list[] = {
        { MAGIC, 21, CUBLASLT_MATMUL_TILE_128x64, 4, CUBLASLT_REDUCTION_SCHEME_INPLACE, 0, 0,
          CUBLASLT_MATMUL_STAGES_64x3, 0, 0 },
        { MAGIC, 21, CUBLASLT_MATMUL_TILE_64x64, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 1, 1,
          CUBLASLT_MATMUL_STAGES_64x4, 0, 0 },
        { MAGIC, 6, CUBLASLT_MATMUL_TILE_64x64, 2, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 0, 0,
          CUBLASLT_MATMUL_STAGES_64x3, 0, 0 },
        { MAGIC, 21, CUBLASLT_MATMUL_TILE_128x128, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 1, 2,
          CUBLASLT_MATMUL_STAGES_64x4, 0, 0 },
        { MAGIC, 31, CUBLASLT_MATMUL_TILE_256x128, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, 0,
          CUBLASLT_MATMUL_STAGES_64x3, 0, 0 },
        { MAGIC, 6, CUBLASLT_MATMUL_TILE_64x64, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, 0,
          CUBLASLT_MATMUL_STAGES_32x3, 0, 0 },
    };
    int n = 0;

    for (int i = p->n <= FEW_COLUMNS ? 0 : SPLIT; i < COUNT(list) && n < most; i++) {
        describe(&results[n], &list[i], p, o);
        if (algo_works(&list[i], p) && allowed(&results[n], &list[i], f))
            n++;
    }
    return n;
}

static cublasStatus_t heuristic(const operands *o, const preference *f, int most,
                                cublasLtMatmulHeuristicResult_t *results, int *n)
{
    product p;
    cublasStatus_t s = check_operands(o, &p);

    *n = 0;
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    if (most <= 0)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithms are asked for");
    for (int i = 0; i < 4; i++)
        if (f->align[i] % ALIGN != 0)
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an alignment below 16 bytes");
    *n = suggest(&p, o, f, most, results);
    return *n > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
    cublasLtMatmulPreference_t pref, int most, cublasLtMatmulHeuristicResult_t results[], int *n)
{
    cublasStatus_t s = enter(__func__);
    preference f;

    (void)handle;
    *n = 0;
    memcpy(&f, pref, sizeof f);
    operands o = operands_of(d, a, b, c, to);
    return leave(s != CUBLAS_STATUS_SUCCESS ? s : heuristic(&o, &f, most, results, n));
}

static bool types_known(cublasComputeType_t compute, cudaDataType_t scale, cudaDataType_t a,
                        cudaDataType_t b, cudaDataType_t c, cudaDataType_t d)
{
    return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F && a == CUDA_R_16BF &&
           b == CUDA_R_16BF && c == d && (d == CUDA_R_16BF || d == CUDA_R_32F);
}

cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t handle, cublasComputeType_t compute,
                                        cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                        cudaDataType_t c, cudaDataType_t d, int most, int ids[],
                                        int *n)
{
    cublasStatus_t s = enter(__func__);

    (void)handle;
    *n = 0;
    if (s == CUBLAS_STATUS_SUCCESS && !types_known(compute, scale, a, b, c, d))
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    for (int i = 0; s == CUBLAS_STATUS_SUCCESS && i < COUNT(kinds) && i < most; i++)
        ids[(*n)++] = kinds[i].id;
    return leave(s);
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute,
                                      cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                      cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t *to)
{
    algo x = { .magic = MAGIC, .id = id, .splits = 1 };
    cublasStatus_t s = enter(__func__);

    (void)handle;
    bool known = find_kind(id) != NULL && types_known(compute, scale, a, b, c, d);
    if (s == CUBLAS_STATUS_SUCCESS && !known)
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    if (s == CUBLAS_STATUS_SUCCESS) {
        *to = (cublasLtMatmulAlgo_t){ 0 };
        memcpy(to, &x, sizeof x);
    }
    return leave(s);
}

static cublasStatus_t check_algo(const operands *o, const algo *a,
                                 cublasLtMatmulHeuristicResult_t *r)
{
    product p;
    cublasStatus_t s = check_operands(o, &p);

    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    if (!algo_works(a, &p))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    describe(r, a, &p, o);
    return s;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
                                       const cublasLtMatmulAlgo_t *which,
                                       cublasLtMatmulHeuristicResult_t *r)
{
    cublasStatus_t s = enter(__func__);
    operands o = operands_of(d, a, b, c, to);
    cublasLtMatmulHeuristicResult_t found;
    algo x;

    (void)handle;
    memcpy(&x, which, sizeof x);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = check_algo(&o, &x, &found);
    r->state = s;
    if (s == CUBLAS_STATUS_SUCCESS) {
        r->workspaceSize = found.workspaceSize;
        r->wavesCount = found.wavesCount;
    }
    return leave(s);
}

static const field algo_fields[] = {
    FIELD(algo, CUBLASLT_ALGO_CONFIG_ID, id),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_TILE_ID, tile),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, splits),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, scheme),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, swizzle),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, custom),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_STAGES_ID, stages),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, inner),
    FIELD(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, cluster),
};

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t *a,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr,
                                                    const void *buf, size_t bytes)
{
    if (attr == CUBLASLT_ALGO_CONFIG_ID)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an algorithm's id is set by its init");
    return set(a, algo_fields, COUNT(algo_fields), (int)attr, buf, bytes);
}

static cublasStatus_t get(const void *value, size_t value_bytes, void *buf, size_t bytes,
                          size_t *written)
{
    if (bytes == 0 && written == NULL)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute to nowhere");
    if (written != NULL)
        *written = value_bytes;
    if (bytes == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (buf == NULL || bytes < value_bytes)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "too little room for an attribute");
    memcpy(buf, value, value_bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *a,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr,
                                                    void *buf, size_t bytes, size_t *written)
{
    const field *f = find_field(algo_fields, COUNT(algo_fields), (int)attr);

    if (f == NULL)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an attribute that is not emulated");
    return get((const unsigned char *)a + f->at, f->bytes, buf, bytes, written);
}

/* Those of 32 bits. */
static bool capability(const kind *k, int attr, uint32_t *value)
{
    switch (attr) {
    case CUBLASLT_ALGO_CAP_SPLITK_SUPPORT: *value = (uint32_t)k->splits; break;
    case CUBLASLT_ALGO_CAP_REDUCTION_SCHEME_MASK:
        *value = k->splits ? CUBLASLT_REDUCTION_SCHEME_MASK : 0;
        break;
    case CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX: *value = (uint32_t)k->custom_max; break;
    case CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT:
    case CUBLASLT_ALGO_CAP_OUT_OF_PLACE_RESULT_SUPPORT:
    case CUBLASLT_ALGO_CAP_POINTER_MODE_MASK: *value = 1; break;
    case CUBLASLT_ALGO_CAP_EPILOGUE_MASK:
        *value = CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_BIAS;
        break;
    case CUBLASLT_ALGO_CAP_STRIDED_BATCH_SUPPORT:
    case CUBLASLT_ALGO_CAP_UPLO_SUPPORT:
    case CUBLASLT_ALGO_CAP_CUSTOM_MEMORY_ORDER:
    case CUBLASLT_ALGO_CAP_LD_NEGATIVE: *value = 0; break;
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES: *value = ALIGN; break;
    default: return false;
    }
    return true;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t *which,
                                                 cublasLtMatmulAlgoCapAttributes_t attr, void *buf,
                                                 size_t bytes, size_t *written)
{
    uint64_t impl = 0;
    uint32_t value;
    algo a;

    memcpy(&a, which, sizeof a);
    const kind *k = a.magic == MAGIC ? find_kind(a.id) : NULL;
    if (k == NULL)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithm");
    if (attr == CUBLASLT_ALGO_CAP_TILE_IDS)
        return get(k->tiles, (size_t)k->n_tiles * sizeof *k->tiles, buf, bytes, written);
    if (attr == CUBLASLT_ALGO_CAP_STAGES_IDS)
        return get(k->stages, (size_t)k->n_stages * sizeof *k->stages, buf, bytes, written);
    if (attr == CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS)
        return get(&impl, sizeof impl, buf, bytes, written);
    if (!capability(k, (int)attr, &value))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a capability that is not emulated");
    return get(&value, sizeof value, buf, bytes, written);
}

/* ---- the call ---- */

static cublasStatus_t check_memory(const area *a)
{
    area_place p = memory_place(a);

    if ((uintptr_t)a->at % ALIGN != 0)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an operand that is not aligned to 16 bytes");
    if (p != IN_DEVICE && p != IN_PINNED)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an operand that is not in one allocation");
    return CUBLAS_STATUS_SUCCESS;
}

static work *product_work(const product *p, const area *areas, int n)
{
    work *w = work_new("matrix product", run_product, p, sizeof *p);
    for (int i = 0; i < n; i++)
        work_touches(w, areas[i]);
    return w;
}

static cublasStatus_t submit(const operands *o, const product *p, cudaStream_t stream)
{
    area areas[MOST_AREAS] = {
        area_of_layout(p->d.at, &o->l[3]),
        area_of_layout(p->a.at, &o->l[0]),
        area_of_layout(p->b.at, &o->l[1]),
    };
    int n = 3;

    if (p->beta != 0 && p->c.at != p->d.at)
        areas[n++] = area_of_layout(p->c.at, &o->l[2]);
    if (p->bias != NULL)
        areas[n++] = area_of(p->bias, (size_t)p->m * (p->bias_f32 ? 4 : 2));
    if (p->workspace_bytes > 0)
        areas[n++] = area_of(p->workspace, p->workspace_bytes);
    for (int i = 0; i < n; i++)
        if (check_memory(&areas[i]) != CUBLAS_STATUS_SUCCESS)
            return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 1; i < n; i++)
        if (area_overlaps(&areas[i], &areas[0]))
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "D overlaps an operand");
    cudaStream_t s = stream_of(stream, "cublasLtMatmul");
    if (s == NULL || stream_submit(s, product_work(p, areas, n)) != cudaSuccess)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    return CUBLAS_STATUS_SUCCESS;
}

/* Completes the product by its algorithm. */
static cublasStatus_t apply(const operands *o, const cublasLtMatmulAlgo_t *which, product *p,
                            size_t workspace_bytes)
{
    algo a;

    if (which == NULL)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithm: the heuristic's choice may "
                                                   "depend on the number of columns");
    memcpy(&a, which, sizeof a);
    if (!algo_works(&a, p))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an algorithm that does not fit");
    p->splits = a.splits;
    p->scheme = a.scheme;
    p->workspace_bytes = workspace_of(&a, p, elt_bytes(&o->l[3]));
    if (p->workspace_bytes > workspace_bytes)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "the workspace is too small");
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t matmul(const operands *o, product *p, const cublasLtMatmulAlgo_t *which,
                             size_t workspace_bytes, cudaStream_t stream)
{
    cublasStatus_t s = check_operands(o, p);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = apply(o, which, p, workspace_bytes);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    if (o->desc.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        int32_t type = o->desc.bias_type < 0 ? (int32_t)o->l[3].type : o->desc.bias_type;
        p->bias = o->desc.bias;
        p->bias_f32 = type == CUDA_R_32F;
        if (p->bias == NULL)
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "no bias");
    }
    return submit(o, p, stream);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *to, cublasLtMatrixLayout_t lto,
                              const cublasLtMatmulAlgo_t *which, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    cublasStatus_t s = enter(__func__);
    operands o = operands_of(d, la, lb, lc, lto);
    product p = {
        .a = matrix_of(a, &o.l[0], o.desc.trans_a),
        .b = matrix_of(b, &o.l[1], o.desc.trans_b),
        .c = matrix_of(c, &o.l[2], CUBLAS_OP_N),
        .d = matrix_of(to, &o.l[3], CUBLAS_OP_N),
        .alpha = *(const float *)alpha,
        .beta = *(const float *)beta,
        .workspace = workspace,
    };

    if (handle == NULL || handle->open != 1)
        s = refuse(CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
    return leave(s != CUBLAS_STATUS_SUCCESS ? s : matmul(&o, &p, which, workspace_bytes, stream));
}
