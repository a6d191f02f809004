/*
** progress.h - how far a long prefill is, and how long it will take.
*/
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds per token grow linearly with the position: a line fitted to the chunks so far. */
typedef struct progress {
    bool tty;
    int64_t total;
    double start, shown;             /* seconds */
    double w, x, y, xx, xy;          /* sums of the fit, weighted by tokens */
} progress;

double seconds(void);                /* monotonic */

void progress_begin(progress *p, int64_t total);
/* Tokens [from, to) took 'took' seconds. Shows a line on stderr now and then. */
void progress_step(progress *p, int64_t from, int64_t to, double took);
void progress_end(progress *p);

/* Seconds the rest is expected to take. */
double progress_left(const progress *p, int64_t done);

#endif
