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
#include "bench_peaks.h"
#include "kern.h"

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
        double start = bench_now();
        if (b->threads == 2 && pthread_create(&other, NULL, work_once, &w[1]))
            abort();
        work_once(&w[0]);
        if (b->threads == 2)
            pthread_join(other, NULL);
        double t = bench_now() - start;
        shortest = t < shortest ? t : shortest;
    }
    return shortest;
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
    double compute = bench_peak_flops(b->t->isa, b->t->thread_begin, b->threads);
    double memory = bench_peak_reads(b->k, KV_BYTES / 2, b->threads, REPEAT);
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
