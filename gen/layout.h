/*
** layout.h - a plan's buffers: how many bytes each takes, and where it lies.
*/
#ifndef LAYOUT_H
#define LAYOUT_H

#include "gen.h"

/*
** Fills buf, host, arena_bytes and host_bytes from the plan's numbers (chunk, tiles, slots,
** residency, ..). Groups and steps need not exist.
*/
void layout_buffers(const hi_spec *s, hi_plan *p);

/* End of the phase's last buffer. */
int64_t layout_end(const hi_plan *p, hi_phase phase);

#endif
