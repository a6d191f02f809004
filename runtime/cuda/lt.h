/*
** lt.h - matrix products of the cuda target's prompts, by cuBLASLt; product.cuh has those of tokens
** and for scores.
**
** The bits of a row must not depend on how many rows a product has: each weight matrix has one
** algorithm, chosen once, when the program starts, for the most rows that a pass can have, and used
** for every number of rows. Algorithms that add up parts of k in parallel are left out, so that the
** order over k is that of a tile.
*/
#ifndef LT_H
#define LT_H

#include <cuda_runtime_api.h>
#include "../device.h"

typedef struct lt_plans lt_plans;

/* What products work with: a stream, and scratch on the device. */
typedef struct lt_place {
    cudaStream_t stream;
    void *scratch;
    int64_t bytes;
} lt_place;

/* Algorithms for every product of the model. NULL with a message. */
lt_plans *lt_plans_open(const hi_model *m, lt_place place, char *err, size_t n);
void lt_plans_close(lt_plans *p);

/* Queues a product. False with a message. */
bool lt_multiply(lt_plans *p, const dev_product *product, char *err, size_t n);

#endif
