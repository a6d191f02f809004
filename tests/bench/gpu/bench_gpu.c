/*
** bench_gpu.c - what measurements on a GPU share.
*/
#include "bench_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include "lt_load.h"

enum { REPEATS = 9, WARM_UP = 2, MOST_CALLS = 200, PATTERN = 1 << 21, WORKSPACE = 32 << 20 };

static const double LEAST_MS = 5;    /* of a measurement: events are good to some microseconds */

void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void bench_check(cudaError_t e, const char *action)
{
    if (e == cudaSuccess)
        return;
    fprintf(stderr, "bench: %s: %s\n", action, cudaGetErrorString(e));
    exit(e == cudaErrorNoDevice || e == cudaErrorInsufficientDriver ? BENCH_SKIPPED : 1);
}

bool bench_tiny(void)
{
    return getenv("BENCH_TINY") != NULL;
}

int64_t bench_size(int64_t full, int64_t tiny)
{
    return bench_tiny() ? tiny : full;
}

void *bench_alloc(size_t bytes)
{
    void *p = NULL;
    bench_check(cudaMalloc(&p, bytes), "memory of the device");
    return p;
}

void bench_fill(void *device, size_t bytes)
{
    static uint16_t pattern[PATTERN];
    static uint64_t word = 1;
    unsigned char *to = device;

    for (int i = 0; i < PATTERN && pattern[PATTERN - 1] == 0; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        float f = (float)(word >> 40) * 0x1p-23f - 1;
        union {
            float f;
            uint32_t u;
        } bits = { f };
        pattern[i] = (uint16_t)(bits.u >> 16 | 1);
    }
    for (size_t at = 0; at < bytes; at += sizeof pattern)
        bench_check(cudaMemcpy(to + at, pattern,
                               bytes - at < sizeof pattern ? bytes - at : sizeof pattern,
                               cudaMemcpyHostToDevice),
                    "random data");
}

/* ---- time ---- */

static double once(bench_call *call, void *arg, cudaStream_t s, int calls, int *turn)
{
    static cudaEvent_t begin, end;
    float ms = 0;

    if (begin == NULL) {
        bench_check(cudaEventCreate(&begin), "an event");
        bench_check(cudaEventCreate(&end), "an event");
    }
    bench_check(cudaEventRecord(begin, s), "measuring");
    for (int i = 0; i < calls; i++)
        call(arg, s, (*turn)++);
    bench_check(cudaEventRecord(end, s), "measuring");
    bench_check(cudaEventSynchronize(end), "what is measured");
    bench_check(cudaEventElapsedTime(&ms, begin, end), "measuring");
    return ms;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_ms(bench_call *call, void *arg, cudaStream_t s)
{
    double ms[REPEATS], first = 0;
    int turn = 0, repeats = bench_tiny() ? 1 : REPEATS;

    for (int i = 0; i < WARM_UP; i++)
        first = once(call, arg, s, 1, &turn);
    int calls = first * MOST_CALLS < LEAST_MS ? MOST_CALLS : (int)(LEAST_MS / first) + 1;
    if (bench_tiny())
        calls = 1;
    for (int i = 0; i < repeats; i++)
        ms[i] = once(call, arg, s, calls, &turn) / calls;
    qsort(ms, (size_t)repeats, sizeof *ms, by_size);
    return ms[repeats / 2];
}

/* ---- the limits of the device ---- */

typedef struct copy_job {
    unsigned char *from, *to;
    size_t bytes;
} copy_job;

static void copy(void *arg, cudaStream_t s, int i)
{
    const copy_job *j = arg;
    (void)i;
    bench_check(cudaMemcpyAsync(j->to, j->from, j->bytes, cudaMemcpyDeviceToDevice, s), "copying");
}

double bench_copy_gbs(cudaStream_t s)
{
    static double gbs;

    if (gbs > 0)
        return gbs;
    copy_job j = { .bytes = (size_t)bench_size(4LL << 30, 1 << 20) };
    j.from = bench_alloc(j.bytes);
    j.to = bench_alloc(j.bytes);
    bench_fill(j.from, j.bytes);
    gbs = 2 * (double)j.bytes / bench_ms(copy, &j, s) / 1e6;
    bench_check(cudaFree(j.from), "freeing");
    bench_check(cudaFree(j.to), "freeing");
    return gbs;
}

typedef struct product_job {
    const lt_api *api;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t layout;   /* of all three: squares */
    cublasLtMatmulAlgo_t algo;
    void *a, *b, *c, *work;
} product_job;

static void must(cublasStatus_t s, const char *action)
{
    if (s != CUBLAS_STATUS_SUCCESS)
        bench_die(action, "refused by cuBLASLt");
}

static void multiply(void *arg, cudaStream_t s, int i)
{
    product_job *j = arg;
    const float one = 1, zero = 0;
    (void)i;
    must(j->api->cublasLtMatmul(j->handle, j->desc, &one, j->a, j->layout, j->b, j->layout, &zero,
                                j->c, j->layout, j->c, j->layout, &j->algo, j->work, WORKSPACE, s),
         "multiplying");
}

/* A transposed, as the products of the cuda target have it. */
static void prepare(product_job *j, uint64_t n)
{
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    int32_t transposed = CUBLAS_OP_T;
    uint64_t workspace = WORKSPACE;
    int n_found = 0;

    must(j->api->cublasLtCreate(&j->handle), "opening cuBLASLt");
    must(j->api->cublasLtMatmulDescCreate(&j->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing");
    must(j->api->cublasLtMatmulDescSetAttribute(j->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                                sizeof transposed),
         "transposing");
    must(j->api->cublasLtMatrixLayoutCreate(&j->layout, CUDA_R_16BF, n, n, (int64_t)n),
         "laying out");
    must(j->api->cublasLtMatmulPreferenceCreate(&preference), "preferring");
    must(j->api->cublasLtMatmulPreferenceSetAttribute(
             preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace),
         "preferring");
    must(j->api->cublasLtMatmulAlgoGetHeuristic(j->handle, j->desc, j->layout, j->layout, j->layout,
                                                j->layout, preference, 1, &found, &n_found),
         "looking for an algorithm");
    if (n_found == 0)
        bench_die("cuBLASLt", "no algorithm");
    j->algo = found.algo;
    must(j->api->cublasLtMatmulPreferenceDestroy(preference), "closing");
}

double bench_matrix_tflops(cudaStream_t s)
{
    static double tflops;
    char why[512];

    if (tflops > 0)
        return tflops;
    uint64_t n = (uint64_t)bench_size(8192, 64);
    size_t bytes = 2 * (size_t)(n * n);
    product_job j = { .api = lt_load(why, sizeof why) };
    if (j.api == NULL)
        bench_die("cuBLASLt", why);
    prepare(&j, n);
    j.a = bench_alloc(bytes);
    j.b = bench_alloc(bytes);
    j.c = bench_alloc(bytes);
    j.work = bench_alloc(WORKSPACE);
    bench_fill(j.a, bytes);
    bench_fill(j.b, bytes);
    tflops = 2.0 * (double)n * (double)n * (double)n / bench_ms(multiply, &j, s) / 1e9;
    void *const blocks[] = { j.a, j.b, j.c, j.work };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        bench_check(cudaFree(blocks[i]), "freeing");
    must(j.api->cublasLtMatrixLayoutDestroy(j.layout), "closing");
    must(j.api->cublasLtMatmulDescDestroy(j.desc), "closing");
    must(j.api->cublasLtDestroy(j.handle), "closing");
    return tflops;
}
