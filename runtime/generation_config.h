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
    int32_t end[GENERATION_ENDS];    /* (n_ends) eos_token_id */
    int n_ends;
} generation_config;

/*
** folder  of the checkpoint; NULL or "random:SEED": none
** Temperature 0 unless the file says do_sample: then what it leaves out is as in transformers
** (temperature 1, top-k 50, top-p 1, no min-p). Else the other values serve those who ask for a
** temperature themselves: the file's, or as in llama.cpp (top-k 40, top-p 0.95, min-p 0.05).
** repetition_penalty is of all tokens (last_n -1), as in transformers.
** Returns 0, or -1 with a message that names file, field, value and what would be right.
*/
int generation_config_read(generation_config *g, const char *folder, char *err, size_t n);

#endif
