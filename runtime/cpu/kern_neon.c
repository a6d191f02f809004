/*
** kern_neon.c - the kernels for aarch64: vectors of four floats with FMA; bf16 is widened.
*/
#include "kern.h"

#if defined(__aarch64__)
#define VL 4
#define NEON
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

static bool usable(void)
{
    return true;
}

KERNELS(neon, usable, NULL)
#endif
