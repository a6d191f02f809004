/*
** progress.h - how far a long prefill is, and how long it will take.
*/
#ifndef PROGRESS_H
#define PROGRESS_H

#include "hi.h"

/* Seconds per row and layer grow linearly with the row's position: a line fitted to the passes so
   far. Work is counted in rows times layers. */
typedef struct progress {
    bool tty;
    int64_t total;                   /* rows of the prompt */
    int layers, panel;               /* of the model, of a panel */
    double start, shown, last;       /* seconds; last: end of the pass before */
    double w, x, y, xx, xy;          /* sums of the fit, weighted by work */
} progress;

double seconds(void);                /* monotonic */

/* A prompt of 'total' tokens into an empty sequence. */
void progress_begin(progress *p, const hi_model *m, int64_t total);
/* A pass has ended. Shows a line on stderr now and then. */
void progress_step(progress *p, const hi_pass *pass);
void progress_end(progress *p);

#endif
