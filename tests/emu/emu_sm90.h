/*
** emu_sm90.h - the emulation's half of gpu_sm90.h, and the machine behind it, emu_sm90.c.
**
** Everything asynchronous happens as late as the ISA allows. A tile that the copy engine brings is
** NaN from its issue until someone waits on its barrier and nothing but its bytes is missing there;
** accumulators are NaN from the issue of a product to the wait for it, when the operands are read.
** So a wait or a barrier that is missing shows in the numbers. Errors at once: operands in
** registers that change under way; wgmma without a fence since the last wait; shared memory stored
** without a gpu_async_fence that wgmma then reads; matrices not where the descriptor's swizzle
** allows; barriers not made, not published, or with more arrivals than they count; at the end of a
** block anything still under way, and warps of a group that issued different products.
*/
#ifndef EMU_SM90_H
#define EMU_SM90_H

#include "emu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One wgmma as a lane gives it. */
typedef struct emu_product {
    float *d;
    const uint32_t *a_words;         /* four, or NULL: 'a' describes shared memory */
    uint64_t a, b;                   /* matrix descriptors */
    int columns;
    int add;                         /* else d is overwritten */
    int b_down;                      /* the summed index runs down b's 128-byte rows */
} emu_product;

void emu_mbar_init(void *bar, unsigned count, const char *file, int line);
void emu_mbar_publish(void);
void emu_mbar_arrive(void *bar, unsigned bytes, const char *file, int line);
void emu_mbar_wait(void *bar, unsigned parity, const char *file, int line);
void emu_tma_load(void *dst, const void *map, void *bar, const int *at, const char *file, int line);
void emu_async_store(void *p, const char *file, int line);
void emu_async_fence(void);
void emu_bar(int id, int threads, int wait, const char *file, int line);
void emu_wgmma(const emu_product *p, const char *file, int line);
void emu_wgmma_fence(const char *file, int line);
void emu_wgmma_commit(const char *file, int line);
void emu_wgmma_wait(unsigned pending, const float *d, const char *file, int line);

#ifdef __cplusplus
}
#endif

#ifdef GPU_SM90_H

GPU_FN u32 gpu_async_address(const void *p)
{
    return (u32)((const unsigned char *)p - emu_smem);
}

GPU_FN int gpu_uniform(int x, EMU_SITE)
{
    int first = (int)gpu_shfl((float)x, 0, file, line);
    if (first != x)
        emu_fail("%s:%d: lane %u has %d, lane 0 %d", file, line, emu_self->lane, x, first);
    return first;
}

GPU_FN void gpu_mbar_init(u64 *bar, u32 count, EMU_SITE)
{
    emu_mbar_init(bar, count, file, line);
}

GPU_FN void gpu_mbar_publish(void)
{
    emu_mbar_publish();
}

GPU_FN void gpu_mbar_arrive(u64 *bar, EMU_SITE)
{
    emu_mbar_arrive(bar, 0, file, line);
}

GPU_FN void gpu_mbar_expect(u64 *bar, u32 bytes, EMU_SITE)
{
    emu_mbar_arrive(bar, bytes, file, line);
}

GPU_FN void gpu_mbar_wait(u64 *bar, u32 parity, EMU_SITE)
{
    emu_mbar_wait(bar, parity, file, line);
}

GPU_FN void gpu_tma_prefetch(const tensor_map *map, EMU_SITE)
{
    emu_check_align(map, 128, file, line);
}

GPU_FN void gpu_tma_load(void *dst, const tensor_map *map, u64 *bar, int c0, int c1, int c2, int c3,
                         EMU_SITE)
{
    int at[4] = { c0, c1, c2, c3 };
    emu_tma_load(dst, map, bar, at, file, line);
}

GPU_FN void gpu_async_fence(void)
{
    emu_async_fence();
}

GPU_FN void gpu_smem_store16(void *p, u32x4 v, EMU_SITE)
{
    emu_async_store(p, file, line);
    *(u32x4 *)p = v;
}

GPU_FN void gpu_bar_sync(int id, int threads, EMU_SITE)
{
    emu_bar(id, threads, 1, file, line);
}

GPU_FN void gpu_bar_arrive(int id, int threads, EMU_SITE)
{
    emu_bar(id, threads, 0, file, line);
}

template <int N> GPU_FN void gpu_registers_fewer(void)
{
    static_assert(N % 8 == 0 && N >= 24 && N <= 256, "setmaxnreg");
}

template <int N> GPU_FN void gpu_registers_more(void)
{
    static_assert(N % 8 == 0 && N >= 24 && N <= 256, "setmaxnreg");
}

GPU_FN void gpu_wgmma_fence(EMU_SITE)
{
    emu_wgmma_fence(file, line);
}

GPU_FN void gpu_wgmma_commit(EMU_SITE)
{
    emu_wgmma_commit(file, line);
}

template <int PENDING, int N> GPU_FN void gpu_wgmma_wait(float (&d)[N], EMU_SITE)
{
    emu_wgmma_wait(PENDING, d, file, line);
}

GPU_FN void gpu_settle(float (&)[64]) {}

template <bool ADD> GPU_FN void gpu_wgmma_rows(float (&d)[64], u64 a, u64 b, EMU_SITE)
{
    emu_product p = { d, NULL, a, b, 128, ADD, 0 };
    emu_wgmma(&p, file, line);
}

template <int N> GPU_FN void gpu_wgmma_columns(float (&d)[N], const u32 *a, u64 b, EMU_SITE)
{
    emu_product p = { d, a, 0, b, 2 * N, 1, 1 };
    emu_wgmma(&p, file, line);
}

#endif

#endif
