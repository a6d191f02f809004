/*
** replay.h - runs a plan's steps on a model of the machine; for plan_check.c and tests only.
*/
#ifndef REPLAY_H
#define REPLAY_H

#include "gen.h"

/*
** Runs prompts and tokens at the positions where something changes (splits, tiles, the ends of
** what is resident, the bands' ends, the context's end), cold and after a chat turn, and looks
** for hazards.
**
** p   a plan whose numbers, groups, arguments and buffers plan_check.c has found in order
** Returns 0, or -1 with the first hazard: list, step index, its line, the pass, and why.
*/
int replay_plan(const hi_spec *s, const hi_plan *p, hi_error *e);

/* What a replay has done. */
typedef struct replay_log {
    uint64_t digest; /* of the model's state after every pass and in every loop's last turns */
    int64_t passes, steps;
} replay_log;

/* The same, with a log; 'every_tile': steps through tiles that it would otherwise leap over. */
int replay_logged(const hi_spec *s, const hi_plan *p, bool every_tile, replay_log *log,
                  hi_error *e);

#endif
