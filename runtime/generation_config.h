/*
** generation_config.h - how a checkpoint's authors want it sampled: generation_config.json.
*/
#ifndef GENERATION_CONFIG_H
#define GENERATION_CONFIG_H

#include <stdbool.h>
#include "sample.h"

enum { GENERATION_ENDS = 64 };

typedef struct generation_config {
    bool there;                      /* the file is */
    sample_options sample;           /* temp 0: greedy, which is what no file means, too */
    double temp;                     /* where sampling is asked for all the same */
    int32_t end[GENERATION_ENDS];    /* (n_ends) eos_token_id */
    int n_ends;
} generation_config;

/*
** folder  of the checkpoint; NULL or "random:SEED": none
** Without a file, or where it says nothing of a value, 'sample' has what llama.cpp samples with
** (top-k 40, top-p 0.95, min-p 0.05, temp 0.8), but temperature 0; where the file says do_sample,
** what the file leaves out is as in transformers (top-k 50, top-p 1, no min-p, temperature 1).
** Returns 0, or -1 with a message that names file, field, value and what would be right.
*/
int generation_config_read(generation_config *g, const char *folder, char *err, size_t n);

#endif
