/*
** rates.c - measures every piece of work in turn, round after round.
**
** Machines are shared and change their clock: neighbouring figures see the same conditions,
** and the median of the rounds forgets the ones that were disturbed.
*/
#include "rates.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum {
    LEAST_ROUNDS = 3,
    ROUNDS = 9,
    MOST_ROUNDS = 15
};

/* A figure: what is run, its share of a round's time. ORDER RATES */
static const struct {
    work_piece *run;
    int weight;
    bool one;   /* one thread instead of all */
    bool sized; /* the piece has levels */
} FIGURE[RATE_DRAM + 1] = {
    [RATE_MATMUL] = { work_products, 4, .sized = true },
    [RATE_MATMUL_ONE] = { work_products, 2, .one = true, .sized = true },
    [RATE_ATTEND] = { work_prefill, 3, .sized = true },
    [RATE_ATTEND_ONE] = { work_prefill, 2, .one = true, .sized = true },
    [RATE_READ] = { work_row, 3 },
    [RATE_ATTEND_READ] = { work_decode, 3 },
    [RATE_H2D] = { work_h2d, 2 },
    [RATE_D2H] = { work_d2h, 2 },
    [RATE_BOTH] = { work_duplex, 2 },
    [RATE_COPY] = { work_copy, 2 },
    [RATE_HANDOVER] = { work_handover, 1 },
    [RATE_DRAM] = { work_read, 2 },
};

typedef struct round_plan {
    work *w;
    int figures; /* RATE_DRAM + pools */
    int level[N_RATES];
    double slot[N_RATES]; /* seconds in a round */
    double seconds;       /* of a round, predicted */
} round_plan;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int row_of(int figure)
{
    return figure < RATE_DRAM ? figure : RATE_DRAM;
}

static int pool_of(const work *w, int figure)
{
    if (figure >= RATE_DRAM)
        return figure - RATE_DRAM;
    return FIGURE[figure].one ? 0 : work_pools(w) - 1;
}

static done run_piece(const round_plan *p, int figure)
{
    return FIGURE[row_of(figure)].run(p->w, pool_of(p->w, figure), p->level[figure]);
}

/* The largest piece that fits the figure's time; this also warms up. */
static void choose_level(round_plan *p, int figure)
{
    int levels = FIGURE[row_of(figure)].sized ? WORK_LEVELS : 1;
    done d;

    run_piece(p, figure);
    d = run_piece(p, figure);
    while (p->level[figure] + 1 < levels && 4 * d.seconds <= p->slot[figure]) {
        p->level[figure]++;
        d = run_piece(p, figure);
    }
    p->seconds += d.seconds > p->slot[figure] ? d.seconds : p->slot[figure];
}

/* 'seconds' are left for all rounds. */
static void plan_rounds(round_plan *p, work *w, double seconds)
{
    int weights = 0;

    p->w = w;
    p->figures = RATE_DRAM + work_pools(w);
    for (int i = 0; i < p->figures; i++)
        weights += FIGURE[row_of(i)].weight;
    for (int i = 0; i < p->figures; i++) {
        p->slot[i] = seconds * FIGURE[row_of(i)].weight / weights / (ROUNDS + 2);
        choose_level(p, i);
    }
}

/* Pieces one after the other until the figure's time is nearly over. */
static double measure(const round_plan *p, int figure)
{
    done sum = { 0 };

    do {
        done d = run_piece(p, figure);
        sum.amount += d.amount;
        sum.seconds += d.seconds;
    } while (sum.seconds < 0.8 * p->slot[figure]);
    return sum.amount / sum.seconds;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static rate summary(double *sample, int n)
{
    qsort(sample, (size_t)n, sizeof *sample, by_size);
    return (rate){ (sample[(n - 1) / 2] + sample[n / 2]) / 2, sample[0], sample[n - 1] };
}

/* All figures of a round; what is measured of both directions becomes a share of each alone. */
static void measure_round(const round_plan *p, double sample[N_RATES][MOST_ROUNDS], int n)
{
    for (int i = 0; i < p->figures; i++)
        sample[i][n] = measure(p, i);
    double share = sample[RATE_BOTH][n] / (sample[RATE_H2D][n] + sample[RATE_D2H][n]);
    sample[RATE_BOTH][n] = share < 1 ? share : 1;
}

static void measure_rounds(const round_plan *p, double end, FILE *log, rates *out)
{
    double sample[N_RATES][MOST_ROUNDS];
    int n = 0;

    while (n < LEAST_ROUNDS || (n < MOST_ROUNDS && now() + p->seconds <= end)) {
        measure_round(p, sample, n++);
        if (log != NULL)
            fprintf(log, "calibrate: round %d: %.3g GFLOP/s, reads %.3g GB/s\n", n,
                    sample[RATE_MATMUL][n - 1] / 1e9, sample[RATE_READ][n - 1] / 1e9);
    }
    for (int i = 0; i < p->figures; i++)
        out->of[i] = summary(sample[i], n);
    out->rounds = n;
}

int rates_measure(double seconds, int64_t bytes, const char *isa, FILE *log, rates *out, char *err,
                  size_t n)
{
    double start = now();
    round_plan p = { 0 };
    work *w = work_open(bytes, isa, err, n);

    if (w == NULL)
        return -1;
    *out = (rates){ .pools = work_pools(w) };
    snprintf(out->isa, sizeof out->isa, "%s", work_isa(w));
    for (int i = 0; i < out->pools; i++)
        out->threads[i] = work_threads(w, i);
    if (log != NULL)
        fprintf(log, "calibrate: %s, %d threads, %lld MiB of memory\n", out->isa,
                out->threads[out->pools - 1], (long long)(bytes >> 20));
    plan_rounds(&p, w, fmax(start + seconds - now(), seconds / 4));
    measure_rounds(&p, start + seconds, log, out);
    work_close(w);
    return 0;
}
