/*
** pieces.h - pieces of what a program of the cuda target does, each timed where it stands.
**
** Kernels, products and copies are the runtime's own, called through its device.h with sizes of one
** layer of shape.h. Whatever is said to read memory walks through more than a cache holds.
*/
#ifndef PIECES_H
#define PIECES_H

#include <stddef.h>
#include <stdint.h>

enum {
    PIECE_LEVELS = 5
}; /* sizes of a piece; each is about four times the last */

typedef enum {
#define F(name, what) FIGURE_##name,
#include "figures.def"
#undef F
    N_FIGURES
} figure;

typedef struct pieces pieces;

/* FLOPs, bytes or launches, and the seconds they took. */
typedef struct done {
    double amount, seconds;
} done;

/* Takes the GPU and its memory. NULL with a message. */
pieces *pieces_open(char *err, size_t n);
void pieces_close(pieces *p);

const char *pieces_gpu(const pieces *p); /* "sm_90 NVIDIA H200" */
int64_t pieces_bytes(const pieces *p);   /* device memory that it asked for */
const char *pieces_error(pieces *p);     /* the first failure; NULL: none */

/* Runs the piece of a figure at one of its sizes. 'both' counts the bytes of one direction, of two
   that run at once and move as much; 'step_s' counts launches. */
done pieces_run(pieces *p, figure f, int level);

#endif
