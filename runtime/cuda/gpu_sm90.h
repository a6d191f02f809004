/*
** gpu_sm90.h - what only Hopper has: the copy engine, its barriers, matrix multiplication by warp
** groups, registers that change hands. Beside gpu.h, in the same two halves: inline PTX for
** sm_90a, the emulation of tests/emu/emu_sm90.h else.
**
** A warp group is four warps, the first a multiple of four. Its 64 x N accumulator: thread t holds
** in d[4 i + 2 h + c] row 16 (t / 32) + (t % 32) / 4 + 8 h, column 8 i + 2 (t % 4) + c. A 64 x 16
** operand in registers is laid out likewise, two bf16 a word: {a[0], a[1]} rows h = 0, 1 of columns
** 0..7, {a[2], a[3]} of columns 8..15.
**
** Matrices in shared memory are in 128-byte rows, 64 bf16, whose 16-byte chunks are permuted within
** 8 rows: chunk c of row r lies at c ^ (r % 8). Every such matrix starts at a multiple of 1024. The
** copy engine writes this form, gpu_swizzle128 gives it to other writers.
*/
#ifndef GPU_SM90_H
#define GPU_SM90_H

#include "args.h"
#include "gpu.h"

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)

/* p, in shared memory, as barriers, copy engine and wgmma are told of it. */
GPU_FN u32 gpu_async_address(const void *p)
{
    return (u32)__cvta_generic_to_shared(p);
}

/* x, which is the same in all lanes, where the compiler knows that it is. */
GPU_FN int gpu_uniform(int x)
{
    return __shfl_sync(0xffffffffu, x, 0);
}

/* A barrier of 'count' arrivals and of bytes announced; it has phases, whose parity starts at 0. */
GPU_FN void gpu_mbar_init(u64 *bar, u32 count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(gpu_async_address(bar)), "r"(count)
                 : "memory");
}

/* Barriers this thread made exist for the copy engine, too; before the gpu_sync that shows them
   to the other threads. */
GPU_FN void gpu_mbar_publish(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

GPU_FN void gpu_mbar_arrive(u64 *bar)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(gpu_async_address(bar))
                 : "memory");
}

/* Arrives, and announces bytes that the copy engine is going to bring in the same phase. */
GPU_FN void gpu_mbar_expect(u64 *bar, u32 bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     gpu_async_address(bar)),
                 "r"(bytes)
                 : "memory");
}

/* Until the phase of that parity is complete; at once on parity 1 of a new barrier. */
GPU_FN void gpu_mbar_wait(u64 *bar, u32 parity)
{
    asm volatile("{\n"
                 ".reg .pred p;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@p bra done;\n"
                 "bra again;\n"
                 "done:\n"
                 "}" ::"r"(gpu_async_address(bar)),
                 "r"(parity)
                 : "memory");
}

GPU_FN void gpu_tma_prefetch(const tensor_map *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* One box of a tensor of four dimensions, the first element at c0, c1, c2, c3, to shared memory;
   arrives at 'bar' as bytes. Elements outside of the tensor come as zeros. One thread's call. */
GPU_FN void gpu_tma_load(void *dst, const tensor_map *map, u64 *bar, int c0, int c1, int c2, int c3)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(gpu_async_address(dst)),
                 "l"(map), "r"(gpu_async_address(bar)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
                 : "memory");
}

/* What this thread stored to shared memory is seen by wgmma and the copy engine after the next
   barrier. */
GPU_FN void gpu_async_fence(void)
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Barrier 'id' (1..15) of the block: waits for that many threads, the arriving ones included. */
GPU_FN void gpu_bar_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

GPU_FN void gpu_bar_arrive(int id, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* Registers of each thread of this warp group from here on: fewer, or more once others gave. */
template <int N> GPU_FN void gpu_registers_fewer(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

template <int N> GPU_FN void gpu_registers_more(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* Before the first wgmma, and before any whose registers were touched by other instructions. */
GPU_FN void gpu_wgmma_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Closes a group of the wgmma issued so far. */
GPU_FN void gpu_wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

#define GPU_D4(d, i) "+f"((d)[i]), "+f"((d)[i + 1]), "+f"((d)[i + 2]), "+f"((d)[i + 3])
#define GPU_D16(d, i) GPU_D4(d, i), GPU_D4(d, i + 4), GPU_D4(d, i + 8), GPU_D4(d, i + 12)
#define GPU_D32(d) GPU_D16(d, 0), GPU_D16(d, 16)
#define GPU_D64(d) GPU_D32(d), GPU_D16(d, 32), GPU_D16(d, 48)
#define GPU_N32                                                                                    \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GPU_N64                                                                                    \
    GPU_N32                                                                                        \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "           \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

/* Until at most PENDING groups are under way. The accumulator of the last one waited for passes
   through the statement: nothing that reads it can be moved before. */
template <int PENDING> GPU_FN void gpu_wgmma_wait(float (&d)[32])
{
    asm volatile("wgmma.wait_group.sync.aligned %32;" : GPU_D32(d) : "n"(PENDING) : "memory");
}

template <int PENDING> GPU_FN void gpu_wgmma_wait(float (&d)[64])
{
    asm volatile("wgmma.wait_group.sync.aligned %64;" : GPU_D64(d) : "n"(PENDING) : "memory");
}

/* These values are computed before anything that follows and waits. */
GPU_FN void gpu_settle(float (&d)[64])
{
    asm volatile("" : GPU_D64(d)::"memory");
}

/* d (64 x 128) = a (64 x 16) b, or += where 'add'. b has 128 rows of 16, a 64: both transposed. */
template <bool ADD> GPU_FN void gpu_wgmma_rows(float (&d)[64], u64 a, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" GPU_N64
                 "}, %64, %65, %66, 1, 1, 0, 0;"
                 : GPU_D64(d)
                 : "l"(a), "l"(b), "n"(ADD ? 1 : 0)
                 : "memory");
}

/* d (64 x N) += a (64 x 16) b (16 x N); a in registers, that stay as they are until the wait. */
GPU_FN void gpu_wgmma_columns(float (&d)[32], const u32 *a, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" GPU_N32
                 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : GPU_D32(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)
                 : "memory");
}

GPU_FN void gpu_wgmma_columns(float (&d)[64], const u32 *a, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" GPU_N64
                 "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
                 : GPU_D64(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)
                 : "memory");
}

/* 16 bytes to shared memory, for a later gpu_async_fence. */
GPU_FN void gpu_smem_store16(void *p, u32x4 v)
{
    *(u32x4 *)p = v;
}

#else
#include "emu_sm90.h"
#endif

/* Where 16-byte chunk 'chunk' (0..7) of row 'row' lies in a matrix of 128-byte rows. */
GPU_FN u32 gpu_swizzle128(int row, int chunk)
{
    return (u32)(row * 128 + ((chunk ^ (row & 7)) << 4));
}

/*
** What wgmma is told of a matrix in shared memory, PTX ISA "matrix descriptor": its address, two
** distances in bytes, 128-byte swizzle. Where the summed index runs along the 128-byte rows
** (gpu_wgmma_rows): 'groups' from 8 rows to the next 8, 'columns' unused. Where it runs down them
** (gpu_wgmma_columns): 'groups' likewise, 'columns' from 64 columns to the next 64. The address
** moves on by 32 bytes for 16 elements of a row, by 2048 for 16 rows.
*/
GPU_FN u64 gpu_wgmma_matrix(const void *p, u32 columns, u32 groups)
{
    u64 at = gpu_async_address(p);
    return (at & 0x3ffff) >> 4 | (u64)(columns >> 4) << 16 | (u64)(groups >> 4) << 32 | 1ull << 62;
}

#endif
