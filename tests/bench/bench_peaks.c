/*
** bench_peaks.c - what this machine could do: arithmetic from registers, reading from memory.
*/
#include "bench_peaks.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    REPEAT = 7,
    MOST_THREADS = 256
};

typedef struct part {
    void (*begin)(void);
    void (*task)(void); /* NULL: read */
    const uint64_t *from;
    size_t n; /* words, a multiple of 8 */
    uint64_t sum;
} part;

static volatile float sink;
static volatile uint64_t read_sink;

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_part(part *p)
{
    uint64_t sum[8] = { 0 };

    for (size_t i = 0; i < p->n; i += 8) {
        __builtin_prefetch(p->from + i + 512);
        for (int j = 0; j < 8; j++)
            sum[j] ^= p->from[i + (size_t)j];
    }
    for (int j = 0; j < 8; j++)
        p->sum ^= sum[j];
}

static void *run_part(void *arg)
{
    part *p = arg;

    if (p->begin != NULL)
        p->begin();
    if (p->task != NULL)
        p->task();
    else
        read_part(p);
    return NULL;
}

/* Seconds that all of them took together. */
static double run_parts(part *parts, int n)
{
    pthread_t thread[MOST_THREADS];
    double start = bench_now();

    for (int i = 1; i < n; i++)
        if (pthread_create(&thread[i], NULL, run_part, &parts[i]) != 0)
            abort();
    run_part(&parts[0]);
    for (int i = 1; i < n; i++)
        pthread_join(thread[i], NULL);
    return bench_now() - start;
}

/* ---- arithmetic ---- */

enum {
    LOOPS = 1 << 20
};

typedef float v4 __attribute__((vector_size(16)));

static void peak_portable(void)
{
    v4 a[8] = { 0 }, x = { 0.5f, 0.5f, 0.5f, 0.5f };
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            a[j] = a[j] * x + x;
    for (int j = 0; j < 8; j++)
        sink = a[j][0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void peak_avx2(void)
{
    __m256 a[12], x = _mm256_set1_ps(0.5f);
    for (int j = 0; j < 12; j++)
        a[j] = x;
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink = a[j][0];
}

__attribute__((target("avx512f"))) static void peak_avx512(void)
{
    __m512 a[12], x = _mm512_set1_ps(0.5f);
    for (int j = 0; j < 12; j++)
        a[j] = x;
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink = a[j][0];
}

__attribute__((target("avx512f,avx512bf16"))) static void peak_avx512bf16(void)
{
    __m512 a[12];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f003f00);
    for (int j = 0; j < 12; j++)
        a[j] = _mm512_setzero_ps();
    for (int n = 0; n < LOOPS; n++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm512_dpbf16_ps(a[j], x, x);
    for (int j = 0; j < 12; j++)
        sink = a[j][0];
}

static void peak_amx(void)
{
    for (int n = 0; n < LOOPS; n++)
        __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm6, %tmm4, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm4, %tmm2\n\ttdpbf16ps %tmm6, %tmm4, %tmm3");
}
#endif

static const struct peak {
    const char *isa;
    void (*task)(void);
    double flops; /* of one loop */
} PEAKS[] = {
#if defined(__x86_64__)
    { "amx", peak_amx, 4 * 16 * 16 * 64 }, { "avx512bf16", peak_avx512bf16, 12 * 64 },
    { "avx512", peak_avx512, 12 * 32 },    { "avx2", peak_avx2, 12 * 16 },
#endif
    { "portable", peak_portable, 8 * 8 },  { NULL, NULL, 0 },
};

double bench_peak_flops(const char *isa, void (*begin)(void), int threads)
{
    part parts[MOST_THREADS];
    double shortest = 1e30;
    const struct peak *p = PEAKS;

    while (p->isa != NULL && strcmp(p->isa, isa) != 0)
        p++;
    if (p->isa == NULL || threads > MOST_THREADS)
        return 0;
    for (int r = 0; r < REPEAT; r++) {
        for (int i = 0; i < threads; i++)
            parts[i] = (part){ .begin = begin, .task = p->task };
        double t = run_parts(parts, threads);
        shortest = t < shortest ? t : shortest;
    }
    return p->flops * LOOPS * threads / shortest;
}

/* ---- memory ---- */

double bench_peak_reads(const void *data, size_t n, int threads, int passes)
{
    part parts[MOST_THREADS];
    double best = 0;

    if (threads > MOST_THREADS)
        return 0;
    size_t share = n / 8 / (size_t)threads / 8 * 8;
    for (int r = 0; r < passes; r++) {
        for (int i = 0; i < threads; i++)
            parts[i] = (part){ .from = (const uint64_t *)data + (size_t)i * share, .n = share };
        double rate = (double)share * (size_t)threads * 8 / run_parts(parts, threads);
        best = rate > best ? rate : best;
        for (int i = 0; i < threads; i++)
            read_sink ^= parts[i].sum;
    }
    return best;
}
