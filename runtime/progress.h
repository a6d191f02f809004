/*
** progress.h - how far a long prefill is, and how long it will take.
*/
#ifndef PROGRESS_H
#define PROGRESS_H

#include "hi.h"

/* Seconds per row and layer grow linearly with the row's position: a line fitted to the passes so
   far. Work is counted in rows times layers. */
typedef struct progress {
    bool tty, brief;                 /* brief: says nothing of a prompt that is soon over */
    bool said;
    int64_t base, total;             /* rows before the prompt; its own */
    int layers, panel;               /* of the model, of a panel */
    double start, shown, last;       /* seconds; last: end of the pass before */
    double w, x, y, xx, xy;          /* sums of the fit, weighted by work */
} progress;

double seconds(void);                /* monotonic */

/* A prompt of 'total' tokens behind 'base'. */
void progress_begin(progress *p, const hi_model *m, int64_t base, int64_t total);
/* A pass has ended. Shows a line on stderr now and then. */
void progress_step(progress *p, const hi_pass *pass);
void progress_end(progress *p);

/* hi_prefill, its progress shown; brief: only if it takes long. Ctrl-C cancels it. *s: seconds. */
int progress_prefill(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, bool brief,
                     double *s);

#endif
