/*
** kern.c - the tables of this machine, best first, and the choice among them.
*/
#include "kern.h"

#include <string.h>

#define DECLARE(name) extern const hi_kernels kern_##name;
#define ADDRESS(name) &kern_##name,

KERN_TABLES(DECLARE)

static const hi_kernels *const TABLES[] = { KERN_TABLES(ADDRESS) };

const hi_kernels *kern_pick(const char *isa, const char **why)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
        bool named = isa && !strcmp(isa, TABLES[i]->isa);
        if ((!isa || named) && TABLES[i]->usable())
            return TABLES[i];
        if (named) {
            *why = "this machine lacks the instruction set; there are " KERN_NAMES;
            return NULL;
        }
    }
    *why = "unknown instruction set: one of " KERN_NAMES;
    return NULL;
}
