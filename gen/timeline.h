/*
** timeline.h - one decoded token as it should run: what computes, what crosses the link, and when.
*/
#ifndef TIMELINE_H
#define TIMELINE_H

#include "text.h"

typedef enum {
    LANE_COMPUTE,
    LANE_IN,
    LANE_OUT,
    N_LANES
} span_lane;

typedef enum {
    SPAN_PRODUCTS, /* compute: weights meet one row */
    SPAN_RESIDENT, /* compute: attention over rows that stay */
    SPAN_TILE,     /* compute: attention over a streamed tile */
    SPAN_NEWEST,   /* compute: attention over the newest rows */
    SPAN_COPY_TILE,
    SPAN_COPY_WEIGHTS,
    SPAN_COPY_EMBED, /* in */
    SPAN_STORE       /* out: the new row of a layer */
} span_kind;

/* Something that takes time in a lane. What it uses came by a copy where slot >= 0. */
typedef struct span {
    span_lane lane;
    span_kind kind;
    const char *step;            /* "out_mlp": the step's name in the schedule, or "copy" */
    int pass;                    /* of the token whose step it serves: 0 is the one looked at, 1 the
                                    next, whose first copies run ahead */
    double start, end;           /* seconds since the token's step began */
    int layer;                   /* -1: none */
    int head, n;                 /* KV heads; n 0: none */
    int64_t row, rows;           /* of the tile */
    int64_t bytes;               /* that cross, or are read */
    int64_t copy;                /* number of the copy in its ring, counted from some start */
    int slot;                    /* of the ring of tiles, or of weights; -1: none */
    double copy_start, copy_end; /* compute: of what lies in the slot */
} span;

/* Receives spans in the order in which they are issued: a copy before what uses it. */
typedef void (*timeline_sink)(const span *x, void *to);

/*
** Runs the plan's schedule for the token after n others, 0 <= n < p->ctx, on a model of the
** machine: one compute lane, one copy lane each way, the rings of tiles and weights. The token
** before runs first, unseen, so that copies ahead are where they are in the long run.
** Returns the step's seconds. 'f' may be NULL.
*/
double timeline_run(const hi_spec *s, const hi_plan *p, int64_t n, timeline_sink f, void *to);

/* "attend: layer 7, heads 2-3, rows 4096-8191, 2.00 MiB; from 1.20 ms, 0.11 ms long". */
void span_print(const span *x, text *out);

#endif
