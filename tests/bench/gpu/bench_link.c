/*
** bench_link.c - the link between host and device: plainly, and through the queues of a program.
**
**   bench_link [in]        in: only the largest tiles, only to the device
**
** Plainly: cudaMemcpyAsync between pinned and device memory, in, out and both at once. Through the
** queues: the same bytes as tiles that dev_start is given, from the store that the program pins
** when it opens. And what pinning costs. One line of JSON for each.
*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "bench_gpu.h"
#include "device.h"

extern const hi_model hi_the_model;

enum { ROUNDS = 5, WARM_UP = 1, MOST_THREADS = 64, PAGE = 4096 };
enum { IN = 1, OUT = 2 };

static const int64_t TILES[] = { 1 << 20, 4 << 20, 16 << 20, 64 << 20 };
enum { N_TILES = sizeof TILES / sizeof *TILES };

static const char *const WAYS[] = { [IN] = "in", [OUT] = "out", [IN | OUT] = "both" };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* One direction's worth of both memories; tiles follow each other and begin again at the end. */
typedef struct link_job {
    unsigned char *host[2], *device[2];      /* in, out */
    int64_t room, tile, total;               /* bytes */
    cudaStream_t stream[2];
    hi_device *d;
} link_job;

/* ---- two ways to move the same tiles ---- */

static double plainly(const link_job *j, int ways)
{
    double from = now();
    for (int64_t at = 0; at < j->total; at += j->tile) {
        int64_t o = at % (j->room - j->tile + 1) / PAGE * PAGE;
        size_t n = (size_t)j->tile;
        if (ways & IN)
            bench_check(cudaMemcpyAsync(j->device[0] + o, j->host[0] + o, n, cudaMemcpyHostToDevice,
                                        j->stream[0]),
                        "copying in");
        if (ways & OUT)
            bench_check(cudaMemcpyAsync(j->host[1] + o, j->device[1] + o, n, cudaMemcpyDeviceToHost,
                                        j->stream[1]),
                        "copying out");
    }
    for (int i = 0; i < 2; i++)
        bench_check(cudaStreamSynchronize(j->stream[i]), "copying");
    return now() - from;
}

/* As attention does: a tile is keys and values, two planes. Compute waits for the last ones. */
static double by_queues(const link_job *j, int ways)
{
    int64_t half = j->tile / 2;
    uint64_t in = 0, out = 0;
    double from = now();

    for (int64_t at = 0; at < j->total; at += j->tile) {
        int64_t o = at % (j->room - j->tile + 1) / PAGE * PAGE;
        if (ways & IN)
            in = dev_start(j->d, DEV_H2D,
                           &(dev_copy){ .dst = j->device[0] + o, .src = j->host[0] + o,
                                    .bytes = half, .planes = 2, .dst_pitch = half,
                                    .src_pitch = half });
        if (ways & OUT)
            out = dev_start(j->d, DEV_D2H,
                            &(dev_copy){ .dst = j->host[1] + o, .src = j->device[1] + o,
                                         .bytes = half, .planes = 2, .dst_pitch = half,
                                         .src_pitch = half });
    }
    if (ways & IN)
        dev_wait(j->d, DEV_H2D, in);
    if (ways & OUT)
        dev_wait(j->d, DEV_D2H, out);
    dev_finish(j->d);
    if (dev_error(j->d) != NULL)
        bench_die("copies", dev_error(j->d));
    return now() - from;
}

/* GB/s of one direction; both move as much. */
static double gbs(double (*way)(const link_job *, int), const link_job *j, int ways)
{
    double s[ROUNDS];
    int rounds = bench_tiny() ? 1 : ROUNDS;

    for (int i = 0; i < WARM_UP; i++)
        (void)way(j, ways);
    for (int i = 0; i < rounds; i++)
        s[i] = way(j, ways);
    qsort(s, (size_t)rounds, sizeof *s, by_size);
    return (double)j->total / s[rounds / 2] / 1e9;
}

static void bench_copies(link_job *j, int64_t tile, int last)
{
    j->tile = tile;
    for (int ways = IN; ways <= last; ways++) {
        double plain = gbs(plainly, j, ways), queues = gbs(by_queues, j, ways);
        printf("{\"bench\": \"link\", \"way\": \"%s\", \"tile_kib\": %lld, \"plain_gbs\": %.2f, "
               "\"queues_gbs\": %.2f, \"of_plain\": %.3f}\n",
               WAYS[ways], (long long)tile >> 10, plain, queues, queues / plain);
        fflush(stdout);
    }
}

/* ---- pinning ---- */

typedef struct touch_job {
    unsigned char *p;
    int64_t bytes;
} touch_job;

static void *touch(void *arg)
{
    touch_job *j = arg;
    for (int64_t i = 0; i < j->bytes; i += PAGE)
        j->p[i] = 0;
    return NULL;
}

/* As store.c: mapped, touched by all cores, registered. */
static void bench_pinning(void)
{
    int64_t bytes = bench_size(4LL << 30, 1 << 22);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int n = cores < MOST_THREADS ? (int)cores : MOST_THREADS;
    pthread_t thread[MOST_THREADS];
    touch_job job[MOST_THREADS];
    unsigned char *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_die("pinning", "cannot map host memory");
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    double from = now();
    for (int i = 0; i < n; i++) {
        job[i] = (touch_job){ p + bytes / n * i, bytes / n };
        if (pthread_create(&thread[i], NULL, touch, &job[i]) != 0)
            bench_die("pinning", "no thread");
    }
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    double touched = now();
    bench_check(cudaHostRegister(p, (size_t)bytes, cudaHostRegisterDefault), "pinning");
    double pinned = now();
    printf("{\"bench\": \"pinning\", \"bytes\": %lld, \"touch_gbs\": %.2f, "
           "\"register_gbs\": %.2f}\n",
           (long long)bytes, (double)bytes / (touched - from) / 1e9,
           (double)bytes / (pinned - touched) / 1e9);
    fflush(stdout);
    bench_check(cudaHostUnregister(p), "unpinning");
    munmap(p, (size_t)bytes);
}

int main(int argc, char **argv)
{
    bool all = argc < 2 || strcmp(argv[1], "in") != 0;
    const hi_model *m = &hi_the_model;
    hi_options o = { 0 };
    char err[1024];
    int code = 0, n = 0;
    link_job j = { .total = bench_size(8LL << 30, 1 << 21) };

    bench_check(cudaGetDeviceCount(&n), "looking for a GPU");
    bench_check(n > 0 ? cudaSuccess : cudaErrorNoDevice, "looking for a GPU");
    j.d = dev_open(m, &o, &code, err, sizeof err);
    if (j.d == NULL)
        bench_die("open", err);
    if (all)
        bench_pinning();
    int64_t least = m->host_bytes < m->arena_bytes ? m->host_bytes : m->arena_bytes;
    j.room = least / 2 < 1LL << 30 ? least / 2 / PAGE * PAGE : 1LL << 30;
    if (j.room < bench_size(TILES[N_TILES - 1], TILES[N_TILES - 1] >> 8))
        bench_die(m->name, "too little memory on one side");
    for (int i = 0; i < 2; i++) {
        j.host[i] = dev_host(j.d) + i * j.room;
        j.device[i] = dev_arena(j.d) + i * j.room;
        bench_check(cudaStreamCreateWithFlags(&j.stream[i], cudaStreamNonBlocking), "a stream");
    }
    for (int i = all ? 0 : N_TILES - 1; i < N_TILES; i++)
        bench_copies(&j, bench_size(TILES[i], TILES[i] >> 8), all ? IN | OUT : IN);
    dev_close(j.d);
    return 0;
}
