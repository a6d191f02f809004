/*
** cublaslt.c - products of bf16 matrices, in the place of cuBLASLt.
**
** The library, its objects with their attributes, and the call that queues a product. What cuBLASLt
** does slowly, or not at all, for want of alignment is an error here. Arithmetic is
** cublaslt_product.c's, algorithms are cublaslt_algo.c's.
*/
#include "cublaslt.h"

#include <stdlib.h>
#include <string.h>

struct cublasLtContext {
    int open;
};

cublasStatus_t lt_refuse(cublasStatus_t s, const char *what)
{
    emu_complain(cudaErrorInvalidValue, "cublasLt: %s", what);
    return s;
}

cublasStatus_t lt_enter(const char *call)
{
    switch (emu_enter(call)) {
    case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
    case cudaErrorNoDevice: return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorMemoryAllocation: return CUBLAS_STATUS_ALLOC_FAILED;
    default: return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}

cublasStatus_t lt_leave(cublasStatus_t s)
{
    emu_leave(cudaSuccess);
    return s;
}

/* ---- the library ---- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    cublasStatus_t s = lt_enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS) {
        *handle = calloc(1, sizeof **handle);
        if (*handle == NULL)
            abort();
        (*handle)->open = 1;
    }
    return lt_leave(s);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    cublasStatus_t s = lt_enter(__func__);
    free(handle);
    return lt_leave(s);
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

/* ---- objects and their attributes ---- */

const field *lt_field(const field *f, int n, int attr)
{
    for (int i = 0; i < n; i++)
        if (f[i].attr == attr)
            return &f[i];
    return NULL;
}

cublasStatus_t lt_set(void *object, const field *list, int n, int attr, const void *buf,
                      size_t bytes)
{
    const field *f = lt_field(list, n, attr);

    if (f == NULL)
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an attribute that is not emulated");
    if (object == NULL || buf == NULL || bytes != f->bytes)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of another size");
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
    cublasStatus_t s = lt_enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &l, sizeof l);
    return lt_leave(s);
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
    return lt_set(l, list, COUNT(list), (int)attr, buf, bytes);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *to, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    desc d = { .compute = (int32_t)compute, .scale = (int32_t)scale,
               .epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1 };
    cublasStatus_t s = lt_enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &d, sizeof d);
    return lt_leave(s);
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
    return lt_set(d, list, COUNT(list), (int)attr, buf, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *to)
{
    preference p = { .schemes = CUBLASLT_REDUCTION_SCHEME_MASK,
                     .align = { 256, 256, 256, 256 }, .impl = UINT64_MAX };
    cublasStatus_t s = lt_enter(__func__);

    if (s == CUBLAS_STATUS_SUCCESS)
        *to = object(sizeof **to, &p, sizeof p);
    return lt_leave(s);
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
    return lt_set(p, list, COUNT(list), (int)attr, buf, bytes);
}

/* ---- the call ---- */

static cublasStatus_t check_memory(const area *a)
{
    area_place p = memory_place(a);

    if ((uintptr_t)a->at % ALIGN != 0)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "an operand that is not aligned to 16 bytes");
    if (p != IN_DEVICE && p != IN_PINNED)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "an operand that is not in one allocation");
    return CUBLAS_STATUS_SUCCESS;
}

static work *product_work(const product *p, const area *areas, int n)
{
    work *w = work_new("matrix product", product_run, p, sizeof *p);
    for (int i = 0; i < n; i++)
        work_touches(w, areas[i]);
    return w;
}

static cublasStatus_t submit(const operands *o, const product *p, cudaStream_t stream)
{
    area areas[MOST_AREAS] = {
        layout_area(p->d.at, &o->l[3]),
        layout_area(p->a.at, &o->l[0]),
        layout_area(p->b.at, &o->l[1]),
    };
    int n = 3;

    if (p->beta != 0 && p->c.at != p->d.at)
        areas[n++] = layout_area(p->c.at, &o->l[2]);
    if (p->bias != NULL)
        areas[n++] = area_of(p->bias, (size_t)p->m * (p->bias_f32 ? 4 : 2));
    if (p->workspace_bytes > 0)
        areas[n++] = area_of(p->workspace, p->workspace_bytes);
    for (int i = 0; i < n; i++)
        if (check_memory(&areas[i]) != CUBLAS_STATUS_SUCCESS)
            return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 1; i < n; i++)
        if (area_overlaps(&areas[i], &areas[0]))
            return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "D overlaps an operand");
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
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithm: the heuristic's choice may "
                                                      "depend on the number of columns");
    memcpy(&a, which, sizeof a);
    if (!algo_works(&a, p))
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an algorithm that does not fit");
    p->splits = a.splits;
    p->scheme = a.scheme;
    p->workspace_bytes = algo_workspace(&a, p, layout_elt_bytes(&o->l[3]));
    if (p->workspace_bytes > workspace_bytes)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "the workspace is too small");
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t matmul(const operands *o, product *p, const cublasLtMatmulAlgo_t *which,
                             size_t workspace_bytes, cudaStream_t stream)
{
    cublasStatus_t s = operands_check(o, p);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = apply(o, which, p, workspace_bytes);
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    if (o->desc.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        int32_t type = o->desc.bias_type < 0 ? (int32_t)o->l[3].type : o->desc.bias_type;
        p->bias = o->desc.bias;
        p->bias_f32 = type == CUDA_R_32F;
        if (p->bias == NULL)
            return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "no bias");
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
    cublasStatus_t s = lt_enter(__func__);
    operands o = operands_of(d, la, lb, lc, lto);
    product p = {
        .a = layout_matrix(a, &o.l[0], o.desc.trans_a),
        .b = layout_matrix(b, &o.l[1], o.desc.trans_b),
        .c = layout_matrix(c, &o.l[2], CUBLAS_OP_N),
        .d = layout_matrix(to, &o.l[3], CUBLAS_OP_N),
        .alpha = *(const float *)alpha,
        .beta = *(const float *)beta,
        .workspace = workspace,
    };

    if (handle == NULL || handle->open != 1)
        s = lt_refuse(CUBLAS_STATUS_NOT_INITIALIZED, "no handle");
    if (s == CUBLAS_STATUS_SUCCESS)
        s = matmul(&o, &p, which, workspace_bytes, stream);
    return lt_leave(s);
}
