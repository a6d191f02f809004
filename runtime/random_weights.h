/*
** random_weights.h - weights made up from a seed, for benchmarks and tests without files.
*/
#ifndef RANDOM_WEIGHTS_H
#define RANDOM_WEIGHTS_H

#include "weights.h"

/*
** Makes every tensor of m and hands it to the sink as weights_load does.
**
** A value depends on the seed, the tensor's name, its shape and the element's index alone.
** Returns 0, or -1 with a message.
*/
int random_weights(const hi_model *m, uint64_t seed, const weights_crew *crew, weights_sink *sink,
                   void *to, char *err, size_t n);

/* Elements [first, first + n) of tensor t as m->elt = 2 (bf16) or 4 (f32) byte elements. */
void random_elements(const hi_tensor *t, uint64_t seed, int elt, uint64_t first, size_t n,
                     void *out);

#endif
