/*
** bench_kern.c - speed of the kernels: every table this machine can run, 1 and 2 threads.
**
** Each figure stands beside its fraction of a peak that the same number of threads reach in
** the same run: arithmetic from registers, reading from memory. Best of several repetitions:
** machines are shared.
** usage: bench_kern [table]
*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kern.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    M = 512, N = 2048, K = 2048, MATRICES = 8,             /* 64 MiB of weights as bf16 */
    DEPTH_TOK = 8192, TOKENS = 1024,
    KV_BYTES = 64 << 20,
    KV_TOK = KV_BYTES / (2 * HEAD_DIM * (int)sizeof(elt)),
    REPEAT = 7
};

typedef struct bench {
    const hi_kernels *t;
    int threads;
    elt *x, *y, *packed, *k, *v, *q;
    float *o, *ml;
    int round;
} bench;

typedef struct worker {
    const bench *b;
    void (*task)(const bench *b, int i);
    int i;
} worker;

static volatile uint64_t sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *work_once(void *p)
{
    worker *w = p;
    if (w->b->t && w->b->t->thread_begin)
        w->b->t->thread_begin();
    w->task(w->b, w->i);
    return NULL;
}

/* Shortest time of all threads together over REPEAT runs. */
static double best(bench *b, void (*task)(const bench *b, int i))
{
    double shortest = 1e30;
    for (b->round = 0; b->round < REPEAT; b->round++) {
        pthread_t other;
        worker w[2] = { { b, task, 0 }, { b, task, 1 } };
        double start = now();
        if (b->threads == 2 && pthread_create(&other, NULL, work_once, &w[1]))
            abort();
        work_once(&w[0]);
        if (b->threads == 2)
            pthread_join(other, NULL);
        double t = now() - start;
        shortest = t < shortest ? t : shortest;
    }
    return shortest;
}

/* ---- peaks ---- */

enum { LOOPS = 1 << 20 };

typedef float v4 __attribute__((vector_size(16)));

static void peak_portable(const bench *b, int i)
{
    (void)b;
    (void)i;
    v4 a[8] = { 0 }, x = { 0.5f, 0.5f, 0.5f, 0.5f };
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            a[j] = a[j] * x + x;
    for (int j = 0; j < 8; j++)
        sink += (uint64_t)a[j][0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void peak_avx2(const bench *b, int i)
{
    (void)b;
    (void)i;
    __m256 a[12], x = _mm256_set1_ps(0.5f);
    for (int j = 0; j < 12; j++)
        a[j] = x;
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink += (uint64_t)a[j][0];
}

__attribute__((target("avx512f"))) static void peak_avx512(const bench *b, int i)
{
    (void)b;
    (void)i;
    __m512 a[12], x = _mm512_set1_ps(0.5f);
    for (int j = 0; j < 12; j++)
        a[j] = x;
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink += (uint64_t)a[j][0];
}

__attribute__((target("avx512f,avx512bf16"))) static void peak_avx512bf16(const bench *b, int i)
{
    (void)b;
    (void)i;
    __m512 a[12];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f003f00);
    for (int j = 0; j < 12; j++)
        a[j] = _mm512_setzero_ps();
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm512_dpbf16_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink += (uint64_t)a[j][0];
}

static void peak_amx(const bench *b, int i)
{
    (void)b;
    (void)i;
    for (int n = 0; n < LOOPS; n++)
        __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm6, %tmm4, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm4, %tmm2\n\ttdpbf16ps %tmm6, %tmm4, %tmm3");
}
#endif

static const struct peak {
    const char *isa;
    void (*task)(const bench *b, int i);
    double flops;                    /* of one loop */
} PEAKS[] = {
#if defined(__x86_64__)
    { "amx", peak_amx, 4 * 16 * 16 * 64 },
    { "avx512bf16", peak_avx512bf16, 12 * 64 },
    { "avx512", peak_avx512, 12 * 32 },
    { "avx2", peak_avx2, 12 * 16 },
#endif
    { "portable", peak_portable, 8 * 8 },
};

static double peak_of(bench *b)
{
    for (size_t i = 0; i < sizeof PEAKS / sizeof PEAKS[0]; i++)
        if (!strcmp(PEAKS[i].isa, b->t->isa))
            return PEAKS[i].flops * LOOPS * b->threads / best(b, PEAKS[i].task);
    return 0;
}

static void read_memory(const bench *b, int i)
{
    const uint64_t *p = (const uint64_t *)b->k;
    size_t n = KV_BYTES / 2 / 8 / (size_t)b->threads, from = (size_t)i * n;
    uint64_t sum[8] = { 0 };
    for (size_t at = from; at < from + n; at += 8) {
        __builtin_prefetch(p + at + 256);
        for (int j = 0; j < 8; j++)
            sum[j] ^= p[at + (size_t)j];
    }
    for (int j = 0; j < 8; j++)
        sink += sum[j];
}

/* ---- kernels ---- */

static void run_matmul(const bench *b, int i, int m)
{
    int64_t matrix = pack_bytes(N, K) / (int64_t)sizeof(elt) * (b->round % MATRICES);
    kern_matmul a = { b->x, b->packed + matrix, NULL, b->y, K, N, m, N, K, MM_STORE,
                      KERN_PLAIN };
    int panels = N / PANEL / b->threads;
    b->t->matmul(&a, 0, m, i * panels, (i + 1) * panels);
}

static void matmul_many(const bench *b, int i)
{
    run_matmul(b, i, M);
}

static void matmul_one(const bench *b, int i)
{
    run_matmul(b, i, 1);
}

static void prefill(const bench *b, int i)
{
    kern_attend a = { b->q, GQA * HEAD_DIM, b->k, b->v, 0, DEPTH_TOK + TOKENS, DEPTH_TOK,
                      0, b->o, b->ml };
    int64_t rows = (int64_t)TOKENS * GQA / b->threads;
    b->t->attend(&a, i * rows, (i + 1) * rows);
}

/* Each thread has its own run of keys and its own carry. */
static void decode(const bench *b, int i)
{
    int64_t keys = KV_TOK / b->threads, at = i * keys * HEAD_DIM, row = i * GQA;
    kern_attend a = { b->q, GQA * HEAD_DIM, b->k + at, b->v + at, 0, keys, KV_TOK,
                      0, b->o + row * HEAD_DIM, b->ml + row * 2 };
    b->t->attend(&a, 0, GQA);
}

static elt *make_elts(size_t n)
{
    elt *p = aligned_alloc(4096, (n * sizeof *p + 4095) / 4096 * 4096);
    uint32_t s = 1;
    if (!p)
        abort();
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        float x = (float)(int32_t)s * 0x1p-31f;
#if HI_F32
        p[i] = x;
#else
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        p[i] = (elt)(bits >> 16);
#endif
    }
    return p;
}

static void line(const char *what, double value, double peak, const char *unit)
{
    printf("    %-36s %8.1f %s  %3.0f %%\n", what, value / 1e9, unit, 100 * value / peak);
    fflush(stdout);
}

static void bench_table(bench *b)
{
    double compute = peak_of(b), memory = KV_BYTES / 2 / best(b, read_memory);
    double pairs = (double)TOKENS * GQA * (DEPTH_TOK + (TOKENS + 1) / 2.0);
    printf("%s, %d thread%s: %.0f GFLOP/s, reads %.1f GB/s\n", b->t->isa, b->threads,
           b->threads == 1 ? "" : "s", compute / 1e9, memory / 1e9);
    line("matmul 512 x 2048 x 2048", 2.0 * M * N * K / best(b, matmul_many), compute, "GFLOP/s");
    line("matmul 1 x 2048 x 2048", (double)pack_bytes(N, K) / best(b, matmul_one), memory,
         "GB/s   ");
    line("attention, 1024 tokens at 8192", 4.0 * HEAD_DIM * pairs / best(b, prefill), compute,
         "GFLOP/s");
    line("attention, 1 token, 64 MiB", KV_BYTES / best(b, decode), memory, "GB/s   ");
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "amx", "avx512bf16", "avx512", "avx2", "portable" };
    size_t kv = KV_BYTES / 2 / sizeof(elt);
    size_t packed = (size_t)pack_bytes(N, K) / sizeof(elt) * MATRICES;
    size_t rows = (size_t)TOKENS * GQA;
    bench b = { .x = make_elts((size_t)M * K), .y = make_elts((size_t)M * N),
                .packed = make_elts(packed), .k = make_elts(kv), .v = make_elts(kv),
                .q = make_elts(rows * HEAD_DIM), .o = calloc(rows * HEAD_DIM, sizeof(float)),
                .ml = calloc(rows * 2, sizeof(float)) };
    printf("head_dim %d, %d queries per key, %s\n", HEAD_DIM, GQA, HI_F32 ? "float" : "bf16");
    for (int i = 0; i < 5; i++) {
        const char *why;
        b.t = kern_pick(names[i], &why);
        if (!b.t || (argc > 1 && strcmp(argv[1], names[i])))
            continue;
        for (b.threads = 1; b.threads <= 2; b.threads++)
            bench_table(&b);
    }
    return 0;
}
