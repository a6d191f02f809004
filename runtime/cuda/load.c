/*
** load.c - weights of the cuda target: rows as in the checkpoint, on the device or in the store.
*/
#include "inside.h"

#include <string.h>

enum { ELT = 2 };                    /* bytes: bf16 */

/* Where the part of the weights begins that a tensor belongs to. */
static unsigned char *tensor_part(const hi_device *d, const hi_tensor *t)
{
    const hi_model *m = d->m;
    unsigned char *weights = d->arena + m->buf[HI_PREFILL][HI_B_WEIGHTS].offset;

    if (t->layer < 0)
        return t->kind == HI_ROWS && m->embed < 0 ? d->store.base + m->host[HI_H_EMBED].offset
                                                  : weights;
    return (m->layer[t->layer].streamed ? d->store.base : weights) + m->layer[t->layer].at;
}

int dev_put_rows(void *to, const hi_tensor *t, int64_t row, int64_t n_rows, const void *elts)
{
    hi_device *d = to;
    int64_t row_bytes = (t->kind == HI_VECTOR ? 1 : t->cols) * ELT;
    unsigned char *dst = tensor_part(d, t) + t->offset + (t->row0 + row) * row_bytes;

    if (store_has(&d->store, dst))
        memcpy(dst, elts, (size_t)(n_rows * row_bytes));
    else
        queue_upload(d, dst, elts, n_rows * row_bytes);
    return cuda_failed(d) ? -1 : 0;
}

weights_crew dev_crew(hi_device *d)
{
    (void)d;
    return (weights_crew){ .n = 1 };             /* uploads go through one queue */
}

void dev_loaded(hi_device *d)
{
    queues_drain(d);                 /* compute is told of no copy before the first pass */
}
