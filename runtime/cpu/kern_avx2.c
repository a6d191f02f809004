/*
** kern_avx2.c - the kernels for AVX2 with FMA; bf16 is widened.
*/
#include "kern.h"

#if defined(__x86_64__)
#define VL 8
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}

KERNELS(avx2, usable, NULL)
#endif
