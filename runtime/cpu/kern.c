/*
** kern.c - the tables of this machine, best first, and the choice among them.
*/
#include "kern.h"

#include <string.h>

#if defined(__x86_64__)
#if !HI_F32
extern const hi_kernels kern_amx, kern_avx512bf16;
#endif
extern const hi_kernels kern_avx512, kern_avx2;
#endif
extern const hi_kernels kern_portable;

static const hi_kernels *const TABLES[] = {
#if defined(__x86_64__)
#if !HI_F32
    &kern_amx, &kern_avx512bf16,
#endif
    &kern_avx512, &kern_avx2,
#endif
    &kern_portable,
};

const hi_kernels *kern_pick(const char *isa, const char **why)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof TABLES[0]; i++) {
        bool named = isa && !strcmp(isa, TABLES[i]->isa);
        if ((!isa || named) && TABLES[i]->usable())
            return TABLES[i];
        if (named) {
            *why = "this machine lacks the instruction set";
            return NULL;
        }
    }
    *why = HI_F32 ? "unknown instruction set: one of avx512, avx2, portable (for float elements)"
                  : "unknown instruction set: one of amx, avx512bf16, avx512, avx2, portable";
    return NULL;
}
