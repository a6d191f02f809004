/*
** pieces.h - work on many tensors, a few rows at a time, by several threads.
*/
#ifndef PIECES_H
#define PIECES_H

#include "weights.h"

/* Rows [row, row + n_rows) of a tensor. */
typedef struct piece {
    int tensor;
    int64_t row, n_rows;
    void *room;                      /* the thread's own, at a multiple of 64 */
} piece;

typedef struct piecework {
    const char *what;                /* for messages: a folder's name */
    int n_tensors;
    const hi_tensor *(*tensor)(const void *arg, int i);
    /* Returns 0, or -1 with a message. */
    int (*job)(void *arg, const piece *p, char *err, size_t n);
    void *arg;
    uint64_t room_bytes;             /* each thread's */
} piecework;

/* Rows of t in one piece, as many as fill whole panels of the cpu target's where that is not too
   much; 0: their elements, floats, overflow. Every piece of t but the last has as many. */
int64_t pieces_rows(const hi_tensor *t);

int64_t pieces_width(const hi_tensor *t);        /* elements of a row */

/*
** Does the job for every piece: alone in the order of tensors and rows, else by the crew's threads,
** which begin them in that order.
** Returns 0, or -1 with the message of the first piece, in that order, that failed.
*/
int pieces_run(const piecework *w, const weights_crew *crew, char *err, size_t n);

#endif
