/*
** schedule.h - a plan's steps: every line of the emitted schedules.
*/
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "gen.h"

/*
** Fills the bands' groups, steps and panels and the change to decode, in 'a'.
** Returns 0, or -1 when memory runs out.
*/
int schedule_make(hi_arena *a, const hi_spec *s, hi_plan *p, hi_error *e);

#endif
