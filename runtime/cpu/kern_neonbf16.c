/*
** kern_neonbf16.c - the kernels for aarch64 with bf16 dot products (bfdot).
*/
#include "kern.h"

#if defined(__aarch64__) && !HI_F32
#include <sys/auxv.h>

#define VL 4
#define NEON
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

enum { BF16 = 1 << 14 };             /* HWCAP2_BF16 of asm/hwcap.h */

static bool usable(void)
{
    return (getauxval(AT_HWCAP2) & BF16) != 0;
}

KERNELS(neonbf16, usable, NULL)
#endif
