/*
** progress.c - how far a long prefill is, and how long it will take.
*/
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const double TTY_EVERY = 0.2, LINE_EVERY = 5;     /* seconds */

double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(progress *p, int64_t total)
{
    *p = (progress){ .tty = isatty(STDERR_FILENO) == 1, .total = total, .start = seconds() };
    p->shown = p->start;
}

double progress_left(const progress *p, int64_t done)
{
    double spread = p->w * p->xx - p->x * p->x;
    double slope = spread > 0 ? (p->w * p->xy - p->x * p->y) / spread : 0;
    if (slope < 0)
        slope = 0;
    double base = p->w > 0 ? (p->y - slope * p->x) / p->w : 0;
    double n = (double)(p->total - done), mid = (double)(p->total + done) / 2;
    double left = n * (base + slope * mid);
    return left > 0 ? left : 0;
}

static void show(const progress *p, int64_t done)
{
    double left = progress_left(p, done), took = seconds() - p->start;
    int minutes = (int)(left / 60);

    fprintf(stderr, "%sprefill %lld/%lld tok  %.1f%%  %.0f tok/s  ETA %dm%02ds%s", p->tty ? "\r" : "",
            (long long)done, (long long)p->total, 100.0 * (double)done / (double)p->total,
            took > 0 ? (double)done / took : 0.0, minutes, (int)left - 60 * minutes, p->tty ? "  " : "\n");
}

void progress_step(progress *p, int64_t from, int64_t to, double took)
{
    double n = (double)(to - from), x = (double)(from + to) / 2, y = took / n;

    p->w += n;
    p->x += n * x;
    p->y += n * y;
    p->xx += n * x * x;
    p->xy += n * x * y;
    if (seconds() - p->shown < (p->tty ? TTY_EVERY : LINE_EVERY) && !(p->tty && to == p->total))
        return;
    p->shown = seconds();
    show(p, to);
}

void progress_end(progress *p)
{
    if (p->tty)
        fputc('\n', stderr);
}
