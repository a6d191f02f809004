/*
** replay.h - runs a plan's steps on a model of the machine; for plan_check.c only.
*/
#ifndef REPLAY_H
#define REPLAY_H

#include "gen.h"

/*
** Runs passes at the positions where something changes (splits, tiles, the ends of what is
** resident, the context's end), cold and after a chat turn, and looks for hazards.
**
** p   a plan whose numbers, groups, arguments and buffers plan_check.c has found in order
** Returns 0, or -1 with the first hazard: list, step index, its line, the pass, and why.
*/
int replay_plan(const hi_spec *s, const hi_plan *p, hi_error *e);

#endif
