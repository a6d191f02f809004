/*
** progress.c - how far a long prefill is, and how long it will take.
*/
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "interrupt.h"

static const double TTY_EVERY = 0.2, LINE_EVERY = 5, LONG = 2; /* seconds */

double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(progress *p, const hi_model *m, int64_t base, int64_t total)
{
    *p = (progress){ .tty = isatty(STDERR_FILENO) == 1,
                     .base = base,
                     .total = total,
                     .layers = m->layers,
                     .panel = m->panel,
                     .start = seconds() };
    p->shown = p->last = p->start;
}

static int layers_before(const progress *p, int panel)
{
    return panel * p->panel < p->layers ? panel * p->panel : p->layers;
}

/* Seconds that rows [from, to) are expected to take in one layer. */
static double expected(const progress *p, double from, double to)
{
    double spread = p->w * p->xx - p->x * p->x;
    double slope = spread > 0 ? (p->w * p->xy - p->x * p->y) / spread : 0;
    if (slope < 0)
        slope = 0;
    double base = p->w > 0 ? (p->y - slope * p->x) / p->w : 0;
    return (to - from) * (base + slope * (from + to) / 2);
}

/* Seconds that the rest is expected to take: of this panel, and of those behind it. */
static double left(const progress *p, const hi_pass *pass)
{
    int before = layers_before(p, pass->panel), behind = layers_before(p, pass->panel + 1);
    double done = (double)(pass->first + pass->rows), all = (double)(p->base + p->total);
    double s = (behind - before) * expected(p, done, all) +
               (p->layers - behind) * expected(p, (double)p->base, all);
    return s > 0 ? s : 0;
}

/* Tokens that the work so far would have brought through all layers. */
static double tokens_done(const progress *p, const hi_pass *pass)
{
    int before = layers_before(p, pass->panel), behind = layers_before(p, pass->panel + 1);
    double rows = (double)(pass->first + pass->rows - p->base);
    return (before * (double)p->total + (behind - before) * rows) / p->layers;
}

static void show(const progress *p, const hi_pass *pass)
{
    double done = tokens_done(p, pass), took = p->last - p->start, wait = left(p, pass);
    int minutes = (int)(wait / 60);

    fprintf(stderr, "%sprefill %.0f/%lld tok  %.1f%%  %.0f tok/s  ETA %dm%02ds%s",
            p->tty ? "\r" : "", done, (long long)p->total, 100.0 * done / (double)p->total,
            took > 0 ? done / took : 0.0, minutes, (int)wait - 60 * minutes, p->tty ? "  " : "\n");
}

void progress_step(progress *p, const hi_pass *pass)
{
    int layers = layers_before(p, pass->panel + 1) - layers_before(p, pass->panel);
    double now = seconds(), n = (double)pass->rows * layers;
    double x = (double)pass->first + (double)pass->rows / 2, y = (now - p->last) / n;
    bool over = pass->panel + 1 == pass->panels && pass->chunk + 1 == pass->chunks;

    p->last = now;
    p->w += n;
    p->x += n * x;
    p->y += n * y;
    p->xx += n * x * x;
    p->xy += n * x * y;
    if (p->brief && !p->said && (over || now - p->start < LONG))
        return;
    if (now - p->shown < (p->tty ? TTY_EVERY : LINE_EVERY) && !(p->tty && over))
        return;
    p->shown = now;
    p->said = true;
    show(p, pass);
}

void progress_end(progress *p)
{
    if (p->tty && p->said)
        fputc('\n', stderr);
}

static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    (void)r;
    progress_step(arg, pass);
}

int progress_prefill(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, bool brief,
                     double *s)
{
    progress g;

    progress_begin(&g, m, hi_length(r), n);
    g.brief = brief;
    hi_set_watch(r, on_pass, &g);
    interrupt_cancels(r);
    int rc = hi_prefill(r, ids, n);
    interrupt_cancels(NULL);
    hi_set_watch(r, NULL, NULL);
    progress_end(&g);
    *s = seconds() - g.start;
    return rc;
}
