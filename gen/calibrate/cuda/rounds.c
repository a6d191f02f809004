/*
** rounds.c - measures every piece in turn, round after round.
**
** A GPU changes its clock with heat and load: neighbouring figures see the same conditions, and the
** median of the rounds forgets the ones that were disturbed.
*/
#include "rounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    LEAST_ROUNDS = 3,
    ROUNDS = 9,
    MOST_ROUNDS = 15
};

typedef struct round_plan {
    pieces *p;
    int level[N_FIGURES];
    double slot;    /* seconds of each figure in a round */
    double seconds; /* of a round, predicted */
} round_plan;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The largest piece that fits the figure's time; this also warms up. */
static void choose_level(round_plan *r, figure f)
{
    done d;

    pieces_run(r->p, f, 0);
    d = pieces_run(r->p, f, 0);
    while (r->level[f] + 1 < PIECE_LEVELS && 4 * d.seconds <= r->slot &&
           pieces_error(r->p) == NULL) {
        r->level[f]++;
        pieces_run(r->p, f, r->level[f]);
        d = pieces_run(r->p, f, r->level[f]);
    }
    r->seconds += fmax(d.seconds, r->slot);
}

/* Pieces one after the other until the figure's time is nearly over. */
static double measure(const round_plan *r, figure f)
{
    done sum = { 0 };

    do {
        done d = pieces_run(r->p, f, r->level[f]);
        sum.amount += d.amount;
        sum.seconds += d.seconds;
    } while (sum.seconds < 0.8 * r->slot && pieces_error(r->p) == NULL);
    return sum.amount / fmax(sum.seconds, 1e-9);
}

/*
** The planner takes for two copies at once max(a, b) + min(a, b) (1 / both - 1) seconds, where a
** and b are those of each alone (gen/cost.c). So much is 'both' where they took 1 / rate.
*/
static double share(double h2d, double d2h, double rate)
{
    double a = 1 / h2d, b = 1 / d2h, more = 1 / rate - fmax(a, b);

    return 1 / (1 + fmin(fmax(more / fmin(a, b), 0), 99));
}

static void measure_round(const round_plan *r, double of[N_FIGURES][MOST_ROUNDS], int n)
{
    for (int f = 0; f < N_FIGURES; f++)
        of[f][n] = measure(r, (figure)f);
    of[FIGURE_both][n] = share(of[FIGURE_h2d][n], of[FIGURE_d2h][n], of[FIGURE_both][n]);
    of[FIGURE_step_s][n] = 1 / of[FIGURE_step_s][n];
}

static void tell(double of[N_FIGURES][MOST_ROUNDS], int n)
{
    fprintf(stderr,
            "calibrate: round %d: %.3g TFLOP/s, attention %.3g, reads %.4g GB/s, link %.3g\n",
            n + 1, of[FIGURE_matmul][n] / 1e12, of[FIGURE_attend][n] / 1e12,
            of[FIGURE_read][n] / 1e9, of[FIGURE_h2d][n] / 1e9);
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static sample summary(double *of, int n)
{
    qsort(of, (size_t)n, sizeof *of, by_size);
    return (sample){ (of[(n - 1) / 2] + of[n / 2]) / 2, of[0], of[n - 1] };
}

int rounds_measure(pieces *p, double seconds, rounds *out)
{
    double of[N_FIGURES][MOST_ROUNDS], end = now() + seconds;
    round_plan r = { .p = p, .slot = seconds / (N_FIGURES * (ROUNDS + 2)) };
    int n = 0;

    for (int f = 0; f < N_FIGURES; f++)
        choose_level(&r, (figure)f);
    for (; n < LEAST_ROUNDS || (n < MOST_ROUNDS && now() + r.seconds <= end); n++) {
        measure_round(&r, of, n);
        if (pieces_error(p) != NULL)
            return -1;
        tell(of, n);
    }
    for (int f = 0; f < N_FIGURES; f++)
        out->of[f] = summary(of[f], n);
    out->n = n;
    return 0;
}
