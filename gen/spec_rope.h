/*
** spec_rope.h - the checks of a spec's rotation, whose fields depend on its kind.
*/
#ifndef SPEC_ROPE_H
#define SPEC_ROPE_H

#include "spec_fields.h"

/* Bits of field.ropes. */
enum {
    HAS_LINEAR = 1 << ROPE_LINEAR,
    HAS_LLAMA3 = 1 << ROPE_LLAMA3,
    HAS_YARN = 1 << ROPE_YARN,
    HAS_LONGROPE = 1 << ROPE_LONGROPE,
    HAS_DYNAMIC = 1 << ROPE_DYNAMIC
};

extern const char *const ROPE_WORDS[]; /* ORDER hi_rope_kind; NULL behind the last */

/* Refuses a kind that others have and this program has not, by name. Returns 0 or -1. */
int spec_rope_kind(const source *c);

/* Are the fields there that the kind needs, and no others? Loads the lists. Returns 0 or -1. */
int spec_rope_load(const source *c, hi_spec *s);

#endif
