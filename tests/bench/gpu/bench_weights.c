/*
** bench_weights.c - takes the place of the runtime's random_weights, which makes every element of
** its own: a minute of one core for eight billion. Here a tensor repeats the first million of them,
** begun at another place in every piece. Only for times; programs have the runtime in a shared
** library.
*/
#include "random_weights.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECE = 1 << 20, SHIFTS = 1 << 16, STEP = 8191 };     /* elements */

static int make_tensor(const hi_model *m, const hi_tensor *t, weights_sink *sink, void *to,
                       const unsigned char *some)
{
    int64_t width = t->cols > 0 ? t->cols : 1, step = PIECE / width;

    for (int64_t row = 0, i = 0; row < t->rows; row += step, i++) {
        int64_t n = t->rows - row < step ? t->rows - row : step;
        if (sink(to, t, row, n, some + i * STEP % SHIFTS * m->elt) != 0)
            return -1;
    }
    return 0;
}

int random_weights(const hi_model *m, uint64_t seed, const weights_crew *crew, weights_sink *sink,
                   void *to, char *err, size_t n)
{
    (void)crew;
    unsigned char *some = malloc((size_t)(PIECE + SHIFTS) * (size_t)m->elt);

    if (some == NULL) {
        snprintf(err, n, "random weights: out of memory");
        return -1;
    }
    int rc = 0;
    for (int i = 0; i < m->n_tensors && rc == 0; i++) {
        random_elements(&m->tensor[i], seed, m->elt, 0, PIECE + SHIFTS, some);
        rc = make_tensor(m, &m->tensor[i], sink, to, some);
        if (rc != 0)
            snprintf(err, n, "random weights: %s: refused by the receiver", m->tensor[i].name);
    }
    free(some);
    return rc;
}
