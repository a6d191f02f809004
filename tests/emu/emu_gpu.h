/*
** emu_gpu.h - the emulation's half of gpu.h: every primitive by the machine of emu.h.
**
** Only gpu.h includes it, where the compiler is a C++ one. Collectives carry the line of the
** kernel that calls them: lanes that meet must have come from the same one.
*/
#ifndef EMU_GPU_H
#define EMU_GPU_H

#include <math.h>
#include <string.h>

#include "emu.h"

#define GPU_FN static inline
#define GPU_UNROLL
#define GPU_INF __builtin_inff()

#define GPU_KERNEL(name, args_type, max_threads, min_blocks)                                       \
    static void name##_body(const args_type &a);                                                   \
    extern "C" const unsigned long name##_args_bytes;                                              \
    const unsigned long name##_args_bytes = sizeof(args_type);                                     \
    extern "C" void name(const void *args);                                                        \
    extern "C" void name(const void *args)                                                         \
    {                                                                                              \
        emu_check_threads(#name, max_threads);                                                     \
        name##_body(*(const args_type *)args);                                                     \
    }                                                                                              \
    static void name##_body(const args_type &a)
#define GPU_DYN_SMEM(name) unsigned char *const name = emu_smem

#define threadIdx (emu_self->tid)
#define blockIdx emu_block
#define blockDim emu_block_dim
#define gridDim emu_grid_dim

/* The caller's line: a default argument is evaluated where the call stands. */
#define EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

enum { EMU_ALL_LANES = -1 };

GPU_FN int gpu_thread(void)
{
    return (int)threadIdx.x;
}

GPU_FN void gpu_sync(EMU_SITE)
{
    emu_barrier(file, line);
}

GPU_FN void gpu_syncwarp(EMU_SITE)
{
    emu_warp_op(EMU_SYNCWARP, (u32)EMU_ALL_LANES, file, line);
}

GPU_FN float gpu_shfl(float v, int lane, EMU_SITE)
{
    emu_thread *t = emu_self;
    memcpy(&t->val, &v, 4);
    t->n = lane;
    emu_warp_op(EMU_SHFL, (u32)EMU_ALL_LANES, file, line);
    memcpy(&v, &t->val, 4);
    return v;
}

GPU_FN float gpu_shfl_xor(float v, int lanes, EMU_SITE)
{
    return gpu_shfl(v, (int)emu_self->lane ^ lanes, file, line);
}

GPU_FN bool gpu_any(bool p, EMU_SITE)
{
    emu_self->val = p;
    emu_warp_op(EMU_ANY, (u32)EMU_ALL_LANES, file, line);
    return emu_self->val != 0;
}

GPU_FN float gpu_exp2(float x)
{
    float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

GPU_FN float gpu_exp(float x)
{
    return expf(x);
}

GPU_FN float gpu_tanh(float x)
{
    return tanhf(x);
}

GPU_FN float gpu_rsqrt(float x)
{
    return 1 / sqrtf(x);
}

GPU_FN float gpu_sqrt(float x)
{
    return sqrtf(x);
}

GPU_FN void gpu_sincos(float x, float *s, float *c)
{
    *s = sinf(x);
    *c = cosf(x);
}

GPU_FN float gpu_max(float a, float b)
{
    return a > b || b != b ? a : b;
}

GPU_FN float gpu_fma(float a, float b, float c)
{
    return fmaf(a, b, c);
}

GPU_FN float gpu_mul(float a, float b)
{
    return a * b;
}

GPU_FN float gpu_add(float a, float b)
{
    return a + b;
}

GPU_FN float gpu_div(float a, float b)
{
    return a / b;
}

GPU_FN float gpu_div_fast(float a, float b)
{
    return b > 0x1p126f ? 0 : a / b;
}

GPU_FN float gpu_from_bits(u32 x)
{
    float f;
    memcpy(&f, &x, 4);
    return f;
}

GPU_FN u32 emu_round_bf16(float f)
{
    u32 u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

GPU_FN u32 gpu_pack_bf16(float lo, float hi)
{
    return emu_round_bf16(lo) | emu_round_bf16(hi) << 16;
}

GPU_FN u32x4 gpu_load16(const void *p, EMU_SITE)
{
    emu_check_align(p, 16, file, line);
    return *(const u32x4 *)p;
}

GPU_FN void gpu_store16(void *p, u32x4 v, EMU_SITE)
{
    emu_check_align(p, 16, file, line);
    *(u32x4 *)p = v;
}

GPU_FN u32x4 gpu_load16_once(const void *p, EMU_SITE)
{
    return gpu_load16(p, file, line);
}

typedef unsigned char *gpu_shared;

GPU_FN gpu_shared gpu_shared_at(unsigned char *p)
{
    return p;
}

GPU_FN void gpu_cp_async16(gpu_shared dst, const void *src, bool ok, EMU_SITE)
{
    emu_cp_async(dst, src, 16, ok ? 16 : 0, file, line);
}

GPU_FN void gpu_cp_commit(void)
{
    emu_cp_commit();
}

template <int N> GPU_FN void gpu_cp_wait(void)
{
    emu_cp_wait(N);
}

GPU_FN void gpu_ldmatrix_x4(u32 *r, const void *p, EMU_SITE)
{
    emu_thread *t = emu_self;
    emu_check_smem(p, 16, "ldmatrix", file, line);
    t->out = r;
    t->in[0] = p;
    emu_warp_op(EMU_LDMATRIX, (u32)EMU_ALL_LANES, file, line);
}

GPU_FN void gpu_ldmatrix_x4_t(u32 *r, const void *p, EMU_SITE)
{
    emu_thread *t = emu_self;
    emu_check_smem(p, 16, "ldmatrix", file, line);
    t->out = r;
    t->in[0] = p;
    emu_warp_op(EMU_LDMATRIX_T, (u32)EMU_ALL_LANES, file, line);
}

GPU_FN void gpu_mma_bf16(float *d, const u32 *a, const u32 *b, EMU_SITE)
{
    emu_thread *t = emu_self;
    t->out = d;
    t->in[0] = a;
    t->in[1] = b;
    emu_warp_op(EMU_MMA_BF16, (u32)EMU_ALL_LANES, file, line);
}

#endif
