/*
** kern_portable.c - the kernels for any machine: vectors of four floats, no FMA.
*/
#define VL 4
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

static bool usable(void)
{
    return true;
}

KERNELS(portable, usable, NULL)
