/*
** kern_avx512.c - the kernels for AVX-512 (x86-64-v4), sums with fp32 FMA; bf16 is widened.
*/
#include "kern.h"

#if defined(__x86_64__)
#define VL 16
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

KERNELS(avx512, usable, NULL)
#endif
