/*
** cublaslt_algo.c - algorithms of the emulated cuBLASLt: which there are, and which is offered.
**
** They differ in what a host must care for: the heuristic offers those that split k first where a
** product has few columns, and their bits are not those of one that does not. How they compute is
** cublaslt_product.c's.
*/
#include "cublaslt.h"

#include <string.h>

enum { MOST_TILES = 4, MOST_SPLITS = 32, FEW_COLUMNS = 64 };

static const uint32_t MAGIC = 0x616c676f;

/* ---- kinds ---- */

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

bool algo_works(const algo *a, const product *p)
{
    const kind *k = a->magic == MAGIC ? find_kind(a->id) : NULL;
    bool split = a->splits > 1;

    return k != NULL && lists(k->tiles, k->n_tiles, a->tile) &&
           lists(k->stages, k->n_stages, a->stages) && a->swizzle <= 1 &&
           a->custom <= (uint32_t)k->custom_max && a->splits >= 1 && a->splits <= MOST_SPLITS &&
           a->splits <= p->k && (!split || k->splits) &&
           split == (a->scheme != CUBLASLT_REDUCTION_SCHEME_NONE) && a->scheme <= 4;
}

size_t algo_workspace(const algo *a, const product *p, size_t out_bytes)
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

/* ---- heuristic ---- */

static void describe(cublasLtMatmulHeuristicResult_t *r, const algo *a, const product *p,
                     const operands *o)
{
    *r = (cublasLtMatmulHeuristicResult_t){ .state = CUBLAS_STATUS_SUCCESS };
    memcpy(&r->algo, a, sizeof *a);
    r->workspaceSize = algo_workspace(a, p, layout_elt_bytes(&o->l[3]));
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
    cublasStatus_t s = operands_check(o, &p);

    *n = 0;
    if (s != CUBLAS_STATUS_SUCCESS)
        return s;
    if (most <= 0)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithms are asked for");
    for (int i = 0; i < 4; i++)
        if (f->align[i] % ALIGN != 0)
            return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an alignment below 16 bytes");
    *n = suggest(&p, o, f, most, results);
    return *n > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
    cublasLtMatmulPreference_t pref, int most, cublasLtMatmulHeuristicResult_t results[], int *n)
{
    cublasStatus_t s = lt_enter(__func__);
    preference f;

    (void)handle;
    *n = 0;
    memcpy(&f, pref, sizeof f);
    operands o = operands_of(d, a, b, c, to);
    return lt_leave(s != CUBLAS_STATUS_SUCCESS ? s : heuristic(&o, &f, most, results, n));
}

/* ---- choosing without the heuristic ---- */

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
    cublasStatus_t s = lt_enter(__func__);

    (void)handle;
    *n = 0;
    if (s == CUBLAS_STATUS_SUCCESS && !types_known(compute, scale, a, b, c, d))
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    for (int i = 0; s == CUBLAS_STATUS_SUCCESS && i < COUNT(kinds) && i < most; i++)
        ids[(*n)++] = kinds[i].id;
    return lt_leave(s);
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute,
                                      cudaDataType_t scale, cudaDataType_t a, cudaDataType_t b,
                                      cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t *to)
{
    algo x = { .magic = MAGIC, .id = id, .splits = 1 };
    cublasStatus_t s = lt_enter(__func__);

    (void)handle;
    bool known = find_kind(id) != NULL && types_known(compute, scale, a, b, c, d);
    if (s == CUBLAS_STATUS_SUCCESS && !known)
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    if (s == CUBLAS_STATUS_SUCCESS) {
        *to = (cublasLtMatmulAlgo_t){ 0 };
        memcpy(to, &x, sizeof x);
    }
    return lt_leave(s);
}

static cublasStatus_t check_algo(const operands *o, const algo *a,
                                 cublasLtMatmulHeuristicResult_t *r)
{
    product p;
    cublasStatus_t s = operands_check(o, &p);

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
    cublasStatus_t s = lt_enter(__func__);
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
    return lt_leave(s);
}

/* ---- attributes: configuration, capabilities ---- */

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
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "an algorithm's id is set by its init");
    return lt_set(a, algo_fields, COUNT(algo_fields), (int)attr, buf, bytes);
}

static cublasStatus_t get(const void *value, size_t value_bytes, void *buf, size_t bytes,
                          size_t *written)
{
    if (bytes == 0 && written == NULL)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute to nowhere");
    if (written != NULL)
        *written = value_bytes;
    if (bytes == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (buf == NULL || bytes < value_bytes)
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "too little room for an attribute");
    memcpy(buf, value, value_bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *a,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr,
                                                    void *buf, size_t bytes, size_t *written)
{
    const field *f = lt_field(algo_fields, COUNT(algo_fields), (int)attr);

    if (f == NULL)
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "an attribute that is not emulated");
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
        return lt_refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithm");
    if (attr == CUBLASLT_ALGO_CAP_TILE_IDS)
        return get(k->tiles, (size_t)k->n_tiles * sizeof *k->tiles, buf, bytes, written);
    if (attr == CUBLASLT_ALGO_CAP_STAGES_IDS)
        return get(k->stages, (size_t)k->n_stages * sizeof *k->stages, buf, bytes, written);
    if (attr == CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS)
        return get(&impl, sizeof impl, buf, bytes, written);
    if (!capability(k, (int)attr, &value))
        return lt_refuse(CUBLAS_STATUS_NOT_SUPPORTED, "a capability that is not emulated");
    return get(&value, sizeof value, buf, bytes, written);
}
