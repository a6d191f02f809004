/*
** test_cublaslt.c - the emulation of cuBLASLt: products against double, algorithms that differ in
** what a host must care for, and calls that the library would refuse or run slowly.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include "emu_cuda.h"

static int faults;
static char fault[512];
static cublasLtHandle_t lt;
static cudaStream_t compute;

static void note_fault(const char *message)
{
    faults++;
    snprintf(fault, sizeof fault, "%s", message);
}

static void cuda_ok(cudaError_t e)
{
    if (e != cudaSuccess)
        fail_msg("%s; %s", cudaGetErrorName(e), fault);
}

static void ok(cublasStatus_t s)
{
    if (s != CUBLAS_STATUS_SUCCESS)
        fail_msg("%s; %s", cublasLtGetStatusName(s), fault);
}

static void refused(cublasStatus_t s, const char *text)
{
    assert_int_not_equal(s, CUBLAS_STATUS_SUCCESS);
    assert_int_equal(faults, 1);
    assert_non_null(strstr(fault, text));
    faults = 0;
}

static int begin(void **state)
{
    (void)state;
    emu_cuda_on_error = note_fault;
    emu_cuda_reset();
    faults = 0;
    fault[0] = '\0';
    ok(cublasLtCreate(&lt));
    cuda_ok(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
    return 0;
}

static int end(void **state)
{
    (void)state;
    ok(cublasLtDestroy(lt));
    emu_cuda_reset();
    return 0;
}

/* ---- a linear layer as the host describes it ---- */

/* y (rows, n) = alpha x (rows, k) w (n, k)^T + beta y + bias: by columns, y is (n, rows). */
typedef struct linear {
    int rows, n, k, x_stride, y_stride;
    bool f32, by_rows;               /* float results; layouts in row order */
    float alpha, beta;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    uint16_t *host_w, *host_x, *d_w, *d_x, *bias;
    unsigned char *host_y, *d_y, *first;
    unsigned char *workspace;
} linear;

enum { WORKSPACE = 1 << 20, SLACK = 5 };

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
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float noise(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

static void *device(size_t bytes)
{
    void *p;
    cuda_ok(cudaMalloc(&p, bytes));
    return p;
}

static uint16_t *random_elts(size_t n, uint16_t **to)
{
    uint16_t *h = malloc(n * sizeof *h);

    for (size_t i = 0; i < n; i++)
        h[i] = to_bf16(noise());
    *to = device(n * sizeof *h);
    cuda_ok(cudaMemcpyAsync(*to, h, n * sizeof *h, cudaMemcpyHostToDevice, compute));
    return h;
}

static size_t y_elts(const linear *l)
{
    return (size_t)(l->rows - 1) * (size_t)l->y_stride + (size_t)l->n;
}

static size_t y_bytes(const linear *l)
{
    return y_elts(l) * (l->f32 ? 4 : 2);
}

static float y_at(const linear *l, const unsigned char *p, int row, int i)
{
    size_t at = (size_t)row * (size_t)l->y_stride + (size_t)i;
    float f;
    uint16_t x;

    if (l->f32) {
        memcpy(&f, p + at * 4, 4);
        return f;
    }
    memcpy(&x, p + at * 2, 2);
    return from_bf16(x);
}

static void open_results(linear *l)
{
    size_t n = y_elts(l);

    l->host_y = malloc(y_bytes(l));
    l->first = malloc(y_bytes(l));
    for (size_t i = 0; i < n; i++) {
        float f = noise();
        uint16_t x = to_bf16(f);
        memcpy(l->first + i * (l->f32 ? 4 : 2), l->f32 ? (void *)&f : (void *)&x, l->f32 ? 4 : 2);
    }
    l->d_y = device(y_bytes(l));
    cuda_ok(cudaMemcpyAsync(l->d_y, l->first, y_bytes(l), cudaMemcpyHostToDevice, compute));
}

static void describe(linear *l)
{
    cublasOperation_t t = CUBLAS_OP_T;
    int32_t order = CUBLASLT_ORDER_ROW;
    cudaDataType out = l->f32 ? CUDA_R_32F : CUDA_R_16BF;
    uint64_t n = (uint64_t)l->n, k = (uint64_t)l->k, rows = (uint64_t)l->rows;

    ok(cublasLtMatmulDescCreate(&l->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t));
    ok(cublasLtMatrixLayoutCreate(&l->w, CUDA_R_16BF, k, n, l->k));
    ok(cublasLtMatrixLayoutCreate(&l->x, CUDA_R_16BF, k, rows, l->x_stride));
    ok(cublasLtMatrixLayoutCreate(&l->y, out, n, rows, l->y_stride));
    if (!l->by_rows)
        return;
    /* The same memory in row order: w (n, k) is not transposed, x (rows, k) is as B. */
    cublasLtMatrixLayout_t w = l->w, x = l->x;
    t = CUBLAS_OP_N;
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t));
    ok(cublasLtMatrixLayoutSetAttribute(w, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order));
    ok(cublasLtMatrixLayoutSetAttribute(w, CUBLASLT_MATRIX_LAYOUT_ROWS, &n, sizeof n));
    ok(cublasLtMatrixLayoutSetAttribute(w, CUBLASLT_MATRIX_LAYOUT_COLS, &k, sizeof k));
    t = CUBLAS_OP_T;
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_TRANSB, &t, sizeof t));
    ok(cublasLtMatrixLayoutSetAttribute(x, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, sizeof order));
    ok(cublasLtMatrixLayoutSetAttribute(x, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof rows));
    ok(cublasLtMatrixLayoutSetAttribute(x, CUBLASLT_MATRIX_LAYOUT_COLS, &k, sizeof k));
}

static linear open_linear(int rows, int n, int k, bool f32)
{
    linear l = { rows, n, k, k + 8, n + 8, f32, false, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL,
                 NULL, NULL, NULL, NULL, NULL, NULL, NULL };

    srand(1);
    l.host_w = random_elts((size_t)n * (size_t)k, &l.d_w);
    l.host_x = random_elts((size_t)rows * (size_t)l.x_stride, &l.d_x);
    l.workspace = device(WORKSPACE);
    open_results(&l);
    describe(&l);
    return l;
}

static void close_linear(linear *l)
{
    ok(cublasLtMatmulDescDestroy(l->desc));
    ok(cublasLtMatrixLayoutDestroy(l->w));
    ok(cublasLtMatrixLayoutDestroy(l->x));
    ok(cublasLtMatrixLayoutDestroy(l->y));
    free(l->host_w);
    free(l->host_x);
    free(l->host_y);
    free(l->first);
    free(l->bias);
}

static void add_bias(linear *l)
{
    uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    int32_t type = CUDA_R_16BF;
    uint16_t *d_bias;

    l->bias = random_elts((size_t)l->n, &d_bias);
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                      sizeof epilogue));
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &d_bias,
                                      sizeof d_bias));
    ok(cublasLtMatmulDescSetAttribute(l->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type,
                                      sizeof type));
}

/* Algorithms that may reduce by these schemes, at most 16. */
static int algos(const linear *l, uint32_t schemes, cublasLtMatmulHeuristicResult_t *results)
{
    cublasLtMatmulPreference_t p;
    uint64_t workspace = WORKSPACE;
    int n;

    ok(cublasLtMatmulPreferenceCreate(&p));
    ok(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                            sizeof workspace));
    ok(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                            sizeof schemes));
    ok(cublasLtMatmulAlgoGetHeuristic(lt, l->desc, l->w, l->x, l->y, l->y, p, 16, results, &n));
    ok(cublasLtMatmulPreferenceDestroy(p));
    return n;
}

static cublasStatus_t multiply(const linear *l, const cublasLtMatmulAlgo_t *a)
{
    return cublasLtMatmul(lt, l->desc, &l->alpha, l->d_w, l->w, l->d_x, l->x, &l->beta, l->d_y,
                          l->y, l->d_y, l->y, a, l->workspace, WORKSPACE, compute);
}

static void fetch(linear *l)
{
    cuda_ok(cudaMemcpyAsync(l->host_y, l->d_y, y_bytes(l), cudaMemcpyDeviceToHost, compute));
}

static void run(linear *l, uint32_t schemes, int which)
{
    cublasLtMatmulHeuristicResult_t results[16];

    assert_true(algos(l, schemes, results) > which);
    ok(multiply(l, &results[which].algo));
    fetch(l);
}

static void check(const linear *l)
{
    double unit = l->f32 ? 1e-6 : 1.0 / 256;

    for (int row = 0; row < l->rows; row++)
        for (int i = 0; i < l->n; i++) {
            double sum = 0, size = 1;
            for (int k = 0; k < l->k; k++) {
                double a = from_bf16(l->host_w[i * l->k + k]);
                double b = from_bf16(l->host_x[row * l->x_stride + k]);
                sum += a * b;
                size += fabs(a * b) * 1e-2;
            }
            sum = l->alpha * sum + l->beta * (double)y_at(l, l->first, row, i);
            if (l->bias != NULL)
                sum += from_bf16(l->bias[i]);
            assert_true(fabs(y_at(l, l->host_y, row, i) - sum) <= unit * (fabs(sum) + size) + 1e-5);
        }
    for (int row = 0; row + 1 < l->rows; row++)
        for (int i = l->n; i < l->y_stride; i++)
            assert_true(y_at(l, l->host_y, row, i) == y_at(l, l->first, row, i));
}

/* ---- tests ---- */

static void products_agree_with_double(void **state)
{
    static const int shapes[][3] = { { 1, 8, 16 }, { 3, 40, 64 }, { 17, 24, 200 }, { 70, 72, 32 } };

    (void)state;
    for (int i = 0; i < 4; i++)
        for (int variant = 0; variant < 16; variant++) {
            linear l = open_linear(shapes[i][0], shapes[i][1], shapes[i][2], variant & 1);
            l.beta = variant & 2 ? 0.5f : 0;
            l.alpha = variant & 2 ? 2 : 1;
            if (variant & 4)
                add_bias(&l);
            emu_cuda_schedule(EMU_RANDOM, (uint64_t)variant);
            run(&l, CUBLASLT_REDUCTION_SCHEME_NONE, variant & 8 ? 1 : 0);
            check(&l);
            close_linear(&l);
            emu_cuda_reset();
            cuda_ok(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
        }
}

static void rows_may_be_the_order(void **state)
{
    linear l = open_linear(5, 24, 48, false), m = l;
    float one = 1, zero = 0;
    cublasLtMatmulHeuristicResult_t results[16];

    (void)state;
    run(&l, 0, 0);
    m.by_rows = true;
    describe(&m);
    algos(&m, 0, results);
    memset(l.host_y, 0, y_bytes(&l));
    ok(cublasLtMatmul(lt, m.desc, &one, l.d_w, m.w, l.d_x, m.x, &zero, NULL, m.y, l.d_y, m.y,
                      &results[0].algo, NULL, 0, compute));
    fetch(&l);
    check(&l);
    ok(cublasLtMatmulDescDestroy(m.desc));
    ok(cublasLtMatrixLayoutDestroy(m.w));
    ok(cublasLtMatrixLayoutDestroy(m.x));
    ok(cublasLtMatrixLayoutDestroy(m.y));
    close_linear(&l);
}

/* A row's bits are the same alone and among others, with one algorithm. */
static void rows_do_not_depend_on_each_other(void **state)
{
    linear many = open_linear(20, 40, 96, true), one = open_linear(1, 40, 96, true);

    (void)state;
    run(&many, 0, 0);
    run(&one, 0, 0);
    assert_memory_equal(many.host_y, one.host_y, 40 * sizeof(float));
    close_linear(&many);
    close_linear(&one);
}

/* With few rows the heuristic prefers to split k: other bits than with many. */
static void an_algorithm_that_is_not_pinned_shows(void **state)
{
    linear many = open_linear(100, 40, 96, true), one = open_linear(1, 40, 96, true);

    (void)state;
    run(&many, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 0);
    run(&one, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 0);
    check(&one);
    assert_memory_not_equal(many.host_y, one.host_y, 40 * sizeof(float));
    refused(multiply(&one, NULL), "no algorithm");
    close_linear(&many);
    close_linear(&one);
}

static void reduction_in_place_differs_from_run_to_run(void **state)
{
    linear l = open_linear(1, 40, 96, true);
    unsigned char *before = malloc(y_bytes(&l));
    int others = 0;

    (void)state;
    for (int i = 0; i < 10; i++) {
        run(&l, CUBLASLT_REDUCTION_SCHEME_INPLACE, 0);
        check(&l);
        others += i > 0 && memcmp(before, l.host_y, y_bytes(&l)) != 0;
        memcpy(before, l.host_y, y_bytes(&l));
    }
    assert_true(others > 0);
    for (int i = 0; i < 3; i++) {    /* the other split ones do not */
        run(&l, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 0);
        assert_true(i == 0 || memcmp(before, l.host_y, y_bytes(&l)) == 0);
        memcpy(before, l.host_y, y_bytes(&l));
    }
    free(before);
    close_linear(&l);
}

static uint32_t config(const cublasLtMatmulAlgo_t *a, cublasLtMatmulAlgoConfigAttributes_t attr)
{
    uint32_t v;
    size_t written;

    ok(cublasLtMatmulAlgoConfigGetAttribute(a, attr, &v, sizeof v, &written));
    assert_int_equal(written, sizeof v);
    return v;
}

/* As a host does that keeps numbers, not opaque structs. */
static void an_algorithm_is_rebuilt_from_its_numbers(void **state)
{
    static const cublasLtMatmulAlgoConfigAttributes_t attrs[] = {
        CUBLASLT_ALGO_CONFIG_TILE_ID,       CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
        CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING,
        CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, CUBLASLT_ALGO_CONFIG_STAGES_ID,
    };
    linear l = open_linear(3, 40, 96, false);
    cublasLtMatmulHeuristicResult_t results[16], found;
    cublasLtMatmulAlgo_t a;
    int n = algos(&l, CUBLASLT_REDUCTION_SCHEME_MASK, results);

    (void)state;
    assert_true(n >= 4);
    for (int i = 0; i < n; i++) {
        int id = (int)config(&results[i].algo, CUBLASLT_ALGO_CONFIG_ID);
        ok(cublasLtMatmulAlgoInit(lt, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF,
                                  CUDA_R_16BF, CUDA_R_16BF, id, &a));
        for (int j = 0; j < 6; j++) {
            uint32_t v = config(&results[i].algo, attrs[j]);
            ok(cublasLtMatmulAlgoConfigSetAttribute(&a, attrs[j], &v, sizeof v));
        }
        assert_memory_equal(&a, &results[i].algo, sizeof a);
        ok(cublasLtMatmulAlgoCheck(lt, l.desc, l.w, l.x, l.y, l.y, &a, &found));
        assert_int_equal(found.workspaceSize, results[i].workspaceSize);
    }
    close_linear(&l);
}

static void capabilities_are_what_the_check_takes(void **state)
{
    linear l = open_linear(3, 40, 96, false);
    int ids[8], n;
    uint32_t tiles[64], stages[64];
    size_t n_tiles, n_stages;

    (void)state;
    ok(cublasLtMatmulAlgoGetIds(lt, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF,
                                CUDA_R_16BF, CUDA_R_16BF, 8, ids, &n));
    assert_int_equal(n, 3);
    for (int i = 0; i < n; i++) {
        cublasLtMatmulAlgo_t a;
        cublasLtMatmulHeuristicResult_t r;
        ok(cublasLtMatmulAlgoInit(lt, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF,
                                  CUDA_R_16BF, CUDA_R_16BF, ids[i], &a));
        assert_int_equal(cublasLtMatmulAlgoCheck(lt, l.desc, l.w, l.x, l.y, l.y, &a, &r),
                         CUBLAS_STATUS_NOT_SUPPORTED);
        ok(cublasLtMatmulAlgoCapGetAttribute(&a, CUBLASLT_ALGO_CAP_TILE_IDS, tiles, sizeof tiles,
                                             &n_tiles));
        ok(cublasLtMatmulAlgoCapGetAttribute(&a, CUBLASLT_ALGO_CAP_STAGES_IDS, stages,
                                             sizeof stages, &n_stages));
        for (size_t t = 0; t < n_tiles / 4 * (n_stages / 4); t++) {
            ok(cublasLtMatmulAlgoConfigSetAttribute(&a, CUBLASLT_ALGO_CONFIG_TILE_ID,
                                                    &tiles[t % (n_tiles / 4)], 4));
            ok(cublasLtMatmulAlgoConfigSetAttribute(&a, CUBLASLT_ALGO_CONFIG_STAGES_ID,
                                                    &stages[t / (n_tiles / 4)], 4));
            ok(cublasLtMatmulAlgoCheck(lt, l.desc, l.w, l.x, l.y, l.y, &a, &r));
        }
    }
    assert_int_equal(faults, 0);
    close_linear(&l);
}

static void products_are_queued_like_other_work(void **state)
{
    linear l = open_linear(3, 40, 96, false);
    cublasLtMatmulHeuristicResult_t results[16];

    (void)state;
    algos(&l, 0, results);
    emu_cuda_schedule(EMU_LAZY, 1);
    ok(multiply(&l, &results[0].algo));
    assert_int_equal(emu_cuda_stats().matmuls, 0);
    assert_int_equal(cudaFree(l.d_w), cudaErrorInvalidValue);
    assert_non_null(strstr(fault, "still uses it"));
    faults = 0;
    cuda_ok(cudaStreamSynchronize(compute));
    assert_int_equal(emu_cuda_stats().matmuls, 1);
    close_linear(&l);
}

static void wrong_products_are_refused(void **state)
{
    linear l = open_linear(3, 40, 96, false), narrow = open_linear(3, 40, 90, false);
    cublasLtMatmulHeuristicResult_t results[16];
    uint16_t *w = l.d_w;
    int64_t ld = 41;
    int short_type = 1;

    (void)state;
    algos(&l, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, results);
    l.d_w = w + 1;
    refused(multiply(&l, &results[0].algo), "aligned");
    l.d_w = w + 8;
    refused(multiply(&l, &results[0].algo), "one allocation");
    l.d_w = (uint16_t *)l.d_y;
    refused(multiply(&l, &results[0].algo), "one allocation");
    l.d_w = w;
    unsigned char *y = l.d_y;
    l.d_y = (unsigned char *)l.d_w;
    refused(multiply(&l, &results[0].algo), "overlaps");
    l.d_y = y;
    refused(cublasLtMatmul(lt, l.desc, &l.alpha, l.d_w, l.w, l.d_x, l.x, &l.beta, l.d_y, l.y, l.d_y,
                           l.y, &results[0].algo, NULL, 0, compute),
            "workspace");
    refused(multiply(&narrow, &results[0].algo), "multiple of 16");
    ok(cublasLtMatrixLayoutSetAttribute(l.y, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld));
    refused(multiply(&l, &results[0].algo), "multiple of 16");
    ld = 32;
    ok(cublasLtMatrixLayoutSetAttribute(l.y, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld));
    refused(multiply(&l, &results[0].algo), "below");
    refused(cublasLtMatrixLayoutSetAttribute(l.y, CUBLASLT_MATRIX_LAYOUT_LD, &short_type,
                                             sizeof short_type),
            "size");
    close_linear(&l);
    close_linear(&narrow);
}

static void failures_come_on_demand(void **state)
{
    linear l = open_linear(3, 40, 96, false);
    cublasLtMatmulHeuristicResult_t results[16];
    cublasLtHandle_t other;

    (void)state;
    algos(&l, 0, results);
    emu_cuda_fail("cublasLtMatmul:2");
    ok(multiply(&l, &results[0].algo));
    assert_int_equal(multiply(&l, &results[0].algo), CUBLAS_STATUS_EXECUTION_FAILED);
    ok(multiply(&l, &results[0].algo));
    cuda_ok(cudaStreamSynchronize(compute));
    setenv("CUDA_EMU_DEVICES", "0", 1);
    emu_cuda_reset();
    assert_int_equal(cublasLtCreate(&other), CUBLAS_STATUS_NOT_INITIALIZED);
    unsetenv("CUDA_EMU_DEVICES");
    emu_cuda_reset();
    close_linear(&l);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(products_agree_with_double),
        T(rows_may_be_the_order),
        T(rows_do_not_depend_on_each_other),
        T(an_algorithm_that_is_not_pinned_shows),
        T(reduction_in_place_differs_from_run_to_run),
        T(an_algorithm_is_rebuilt_from_its_numbers),
        T(capabilities_are_what_the_check_takes),
        T(products_are_queued_like_other_work),
        T(wrong_products_are_refused),
        T(failures_come_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
