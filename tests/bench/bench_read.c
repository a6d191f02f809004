/*
** bench_read.c - how fast this machine reads memory with all its cores.
**
** usage: bench_read [threads [MiB]]: prints GB/s, the best of several passes over a buffer
** that is far larger than any one core's share of the caches.
*/
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PASSES = 5, MOST_THREADS = 256 };

typedef struct part {
    const uint64_t *from;
    size_t n;                        /* words, a multiple of 8 */
    uint64_t sum;
} part;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *read_part(void *arg)
{
    part *p = arg;
    uint64_t sum[8] = { 0 };

    for (size_t i = 0; i < p->n; i += 8) {
        __builtin_prefetch(p->from + i + 512);
        for (int j = 0; j < 8; j++)
            sum[j] ^= p->from[i + (size_t)j];
    }
    for (int j = 0; j < 8; j++)
        p->sum ^= sum[j];
    return NULL;
}

static double pass(const uint64_t *data, size_t words, int threads, uint64_t *sink)
{
    pthread_t thread[MOST_THREADS];
    part parts[MOST_THREADS];
    size_t share = words / (size_t)threads / 8 * 8;
    double start = now();

    for (int i = 0; i < threads; i++) {
        parts[i] = (part){ data + (size_t)i * share, share, 0 };
        if (pthread_create(&thread[i], NULL, read_part, &parts[i]) != 0)
            abort();
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        *sink ^= parts[i].sum;
    }
    return (double)share * (size_t)threads * 8 / (now() - start);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    size_t bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 2048) << 20;
    double best = 0;
    uint64_t sink = 0;

    if (threads < 1 || threads > MOST_THREADS || bytes == 0) {
        fprintf(stderr, "usage: bench_read [threads [MiB]]\n");
        return 2;
    }
    uint64_t *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 1, bytes);
    for (int i = 0; i < PASSES; i++) {
        double rate = pass(data, bytes / 8, threads, &sink);
        best = rate > best ? rate : best;
    }
    printf("%.2f\n", best / 1e9);
    return sink == 1;
}
