/*
** work.h - pieces of what a program of the cpu target does, each timed where it stands.
**
** The kernels, the pool and the copy threads are the runtime's own, the blocking is that of
** runtime/cpu/device.c. One large piece of memory is weights, keys and values, host store and
** arena alike; whatever is said to read memory walks through all of it, so that caches hold
** nothing of what is read next.
*/
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <stdint.h>

enum {
    WORK_LEVELS = 4, /* sizes of a piece; each is about four times the last */
    WORK_POOLS = 10, /* pools of 1, 2, 4, .. and all threads */
    WORK_LEAST_MIB = 256
};

typedef struct work work;

/* FLOPs, bytes or hand-overs, and the seconds they took. */
typedef struct done {
    double amount, seconds;
} done;

/*
** bytes  of memory in all, at least WORK_LEAST_MIB MiB
** isa    the kernels' instruction set, or NULL: the best
** Returns NULL with a message.
*/
work *work_open(int64_t bytes, const char *isa, char *err, size_t n);
void work_close(work *w);

const char *work_isa(const work *w);
int work_pools(const work *w);
int work_threads(const work *w, int pool); /* of that pool; the last one has all */

/* 'pool' works; level 0 .. WORK_LEVELS - 1 is the size, where there are several. */
typedef done work_piece(work *w, int pool, int level);

work_piece work_products;      /* FLOPs: a layer's products, many rows */
work_piece work_prefill;       /* FLOPs: attention of a prompt's tokens */
work_piece work_row;           /* bytes of weights: a layer's products, one row */
work_piece work_decode;        /* bytes of keys and values: attention of one token */
work_piece work_read;          /* bytes, read and no more */
work_piece work_h2d, work_d2h; /* bytes, by a copy thread; no pool */
work_piece work_duplex;        /* bytes of both directions at once; no pool */
work_piece work_copy;          /* bytes, by the calling thread; no pool */
work_piece work_handover;      /* jobs without work */

#endif
