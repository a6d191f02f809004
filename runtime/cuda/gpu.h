/*
** gpu.h - what kernels are written in: one source for nvcc, NVRTC and a C++ compiler.
**
** nvcc and NVRTC get inline PTX for sm_80 and later, without any CUDA header; a C++ compiler
** gets the emulation of tests/emu, where every collective is checked. Arithmetic that must not
** be contracted or approximated has a name here; the rest is plain C.
*/
#ifndef GPU_H
#define GPU_H

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

struct bf16 {
    u16 x;
};

struct alignas(16) u32x4 {
    u32 x, y, z, w;
};

struct alignas(8) f32x2 {
    float x, y;
};

struct alignas(16) f32x4 {
    float x, y, z, w;
};

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)

#define GPU_FN static __device__ __forceinline__
#define GPU_UNROLL _Pragma("unroll")
#define GPU_INF __int_as_float(0x7f800000)

/* GPU_KERNEL(k_name, k_args, threads, blocks) { .. a.field .. } */
#define GPU_KERNEL(name, args_type, max_threads, min_blocks)                                       \
    extern "C" __global__ void __launch_bounds__(max_threads, min_blocks)                          \
        name(const __grid_constant__ args_type a)
#define GPU_DYN_SMEM(name) unsigned char *const name = gpu_smem

/* A block's shared memory: one name for all kernels. */
extern __shared__ __align__(1024) unsigned char gpu_smem[];

/* threadIdx.x, read now: not kept in a register from where it was read before. */
GPU_FN int gpu_thread(void)
{
    int x;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(x));
    return x;
}

GPU_FN void gpu_sync(void)
{
    __syncthreads();
}

GPU_FN void gpu_syncwarp(void)
{
    __syncwarp();
}

/* All 32 lanes take part. */
GPU_FN float gpu_shfl_xor(float v, int lanes)
{
    return __shfl_xor_sync(0xffffffffu, v, lanes);
}

GPU_FN float gpu_shfl(float v, int lane)
{
    return __shfl_sync(0xffffffffu, v, lane);
}

/* Is p so in any lane of the warp? */
GPU_FN bool gpu_any(bool p)
{
    return __any_sync(0xffffffffu, p) != 0;
}

/* exp2(0) = 1, exp2(-inf) = 0; results below 2^-126 are 0. */
GPU_FN float gpu_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
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
    return rsqrtf(x);
}

GPU_FN float gpu_sqrt(float x)
{
    return __fsqrt_rn(x);
}

/* Accurate for every finite x. */
GPU_FN void gpu_sincos(float x, float *s, float *c)
{
    sincosf(x, s, c);
}

GPU_FN float gpu_max(float a, float b)
{
    return fmaxf(a, b);
}

GPU_FN float gpu_fma(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}

/* Never part of an fma. */
GPU_FN float gpu_mul(float a, float b)
{
    return __fmul_rn(a, b);
}

GPU_FN float gpu_add(float a, float b)
{
    return __fadd_rn(a, b);
}

GPU_FN float gpu_div(float a, float b)
{
    return __fdiv_rn(a, b);
}

/* Within two units in the last place; 0 where b is above 2^126. */
GPU_FN float gpu_div_fast(float a, float b)
{
    float y;
    asm("div.approx.ftz.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}

GPU_FN float gpu_from_bits(u32 x)
{
    return __uint_as_float(x);
}

/* Two floats, rounded to nearest even. */
GPU_FN u32 gpu_pack_bf16(float lo, float hi)
{
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}

/* 16 aligned bytes. */
GPU_FN u32x4 gpu_load16(const void *p)
{
    return *(const u32x4 *)p;
}

GPU_FN void gpu_store16(void *p, u32x4 v)
{
    *(u32x4 *)p = v;
}

/* The same from global memory that no one writes meanwhile, read once: not kept in L1. */
GPU_FN u32x4 gpu_load16_once(const void *p)
{
    u32x4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(__cvta_generic_to_global(p)));
    return v;
}

/* A place in shared memory: half the registers of a pointer. */
typedef u32 gpu_shared;

GPU_FN gpu_shared gpu_shared_at(const void *p)
{
    return (u32)__cvta_generic_to_shared(p);
}

GPU_FN u32 gpu_smem_address(const void *p)
{
    return gpu_shared_at(p);
}

/* 16 bytes of global memory to shared; ok == 0 writes zeros and does not read src. */
GPU_FN void gpu_cp_async16(gpu_shared dst, const void *src, bool ok)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(dst),
                 "l"(__cvta_generic_to_global(src)), "r"(ok ? 16 : 0)
                 : "memory");
}

GPU_FN void gpu_cp_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most N of this thread's groups are under way. */
template <int N> GPU_FN void gpu_cp_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Four 8 x 8 matrices of bf16; lane l brings the address of row l % 8 of matrix l / 8. */
GPU_FN void gpu_ldmatrix_x4(u32 *r, gpu_shared p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p)
                 : "memory");
}

/* Each matrix transposed. */
GPU_FN void gpu_ldmatrix_x4_t(u32 *r, gpu_shared p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p)
                 : "memory");
}

/* d (16 x 8) += a (16 x 16) b (16 x 8) */
GPU_FN void gpu_mma_bf16(float *d, const u32 *a, const u32 *b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#else
#include "emu_gpu.h"
#endif

GPU_FN float gpu_bf16_lo(u32 x)
{
    return gpu_from_bits(x << 16);
}

GPU_FN float gpu_bf16_hi(u32 x)
{
    return gpu_from_bits(x & 0xffff0000u);
}

GPU_FN float gpu_bf16(bf16 v)
{
    return gpu_bf16_lo(v.x);
}

GPU_FN bf16 gpu_to_bf16(float f)
{
    bf16 r;
    r.x = (u16)gpu_pack_bf16(f, 0);
    return r;
}

#endif
