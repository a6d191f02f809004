/*
** weights.h - a checkpoint's tensors, read, checked and converted to elements.
**
** Owns the files (safetensors.c) and the conversion; where an element ends up in memory is
** the sink's business.
*/
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "hi.h"

/* Takes rows [row, row + n_rows) of tensor t, elements of m->elt bytes, row-major (vectors:
   rows of one element). Returns 0, or -1 to stop. */
typedef int weights_sink(void *to, const hi_tensor *t, int64_t row, int64_t n_rows,
                         const void *elts);

/* Threads that load together, all of which may call the sink at the same time.
   run(with, job, arg, n) returns when it has called job(arg, 0 .. n - 1); NULL: the caller's
   thread is all. */
typedef struct weights_crew {
    int n;
    void (*run)(void *with, void (*job)(void *arg, int i), void *arg, int n);
    void *with;
} weights_crew;

/*
** Loads every tensor of m from a folder (config.json checked against m, then
** model.safetensors.index.json or model.safetensors) or makes them ("random:SEED").
**
** round_weights  accept F16 and F32 tensors in a bf16 model (rounded: not exact)
** crew           NULL: one thread, and the sink sees rows in the order of the files
** err, n         message: all missing, misshapen or mistyped tensors at once, one line each
** Returns 0 or -1. Nothing stays allocated or mapped.
*/
int weights_load(const hi_model *m, const char *path, bool round_weights, const weights_crew *crew,
                 weights_sink *sink, void *to, char *err, size_t n);

#endif
