/*
** rates.h - what this machine does in a second: each figure is the median of rounds in which
** all of them are measured in turn.
*/
#ifndef RATES_H
#define RATES_H

#include <stdio.h>
#include "work.h"

/* ORDER RATES: rates.c */
typedef enum {
    RATE_MATMUL,
    RATE_MATMUL_ONE, /* FLOP/s: all threads, one thread */
    RATE_ATTEND,
    RATE_ATTEND_ONE,
    RATE_READ, /* bytes/s */
    RATE_ATTEND_READ,
    RATE_H2D,
    RATE_D2H,      /* one direction alone */
    RATE_BOTH,     /* share of its speed alone that each keeps beside the other */
    RATE_COPY,     /* one core */
    RATE_HANDOVER, /* 1/s */
    RATE_DRAM,     /* bytes/s; first of one for each pool */
    N_RATES = RATE_DRAM + WORK_POOLS
} rate_id;

typedef struct rate {
    double median, least, most;
} rate;

typedef struct rates {
    rate of[N_RATES];
    int threads[WORK_POOLS]; /* of RATE_DRAM + i */
    int pools, rounds;
    char isa[16];
} rates;

/*
** seconds  that all of it may take; slow machines need longer: there are at least three rounds
** bytes    of memory to use, at least WORK_LEAST_MIB MiB
** isa      instruction set, or NULL: the best
** log      is told how far it is, or NULL
** Returns 0, or -1 with a message.
*/
int rates_measure(double seconds, int64_t bytes, const char *isa, FILE *log, rates *out, char *err,
                  size_t n);

#endif
