/*
** rounds.h - each figure is the median of rounds in which all of them are measured in turn.
*/
#ifndef ROUNDS_H
#define ROUNDS_H

#include "pieces.h"

typedef struct sample {
    double median, least, most;
} sample;

typedef struct rounds {
    sample of[N_FIGURES];
    int n;
} rounds;

/*
** Measures for about so many seconds, slow machines longer: there are at least three rounds. Tells
** standard error how far it is. Returns 0, or -1 where a piece has failed.
*/
int rounds_measure(pieces *p, double seconds, rounds *out);

#endif
