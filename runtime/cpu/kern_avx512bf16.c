/*
** kern_avx512bf16.c - the kernels for AVX-512 with bf16 dot products (vdpbf16ps).
*/
#include "kern.h"

#if defined(__x86_64__) && !HI_F32
#define VL 16
#include "kern_product.h"
#include "kern_attend.h"
#include "kern_body.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
}

KERNELS(avx512bf16, usable, NULL)
#endif
