/*
** bench_read.c - how fast this machine reads memory with all its cores.
**
** usage: bench_read [threads [MiB]]: prints GB/s, the best of several passes over a buffer
** that is far larger than any one core's share of the caches.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench_peaks.h"

enum {
    PASSES = 5
};

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    size_t bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 2048) << 20;

    if (threads < 1 || bytes == 0) {
        fprintf(stderr, "usage: bench_read [threads [MiB]]\n");
        return 2;
    }
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 1, bytes);
    printf("%.2f\n", bench_peak_reads(data, bytes, threads, PASSES) / 1e9);
    return 0;
}
