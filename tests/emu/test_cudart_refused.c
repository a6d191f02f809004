/*
** test_cudart_refused.c - the emulated CUDA runtime: what a GPU would refuse is reported, limits
** hold, failures come on demand.
*/
#include "test_cudart.h"

void t_sizeless(const void *args);
void t_sizeless(const void *args)
{
    (void)args;
}

/* ---- memory that is refused ---- */

static void device_memory_is_limited(void **state)
{
    size_t left, all;
    void *p, *q;

    (void)state;
    setenv("CUDA_EMU_MEMORY", "64K", 1);
    emu_cuda_reset();
    ok(cudaMalloc(&p, 40000));
    assert_int_equal(cudaMalloc(&q, 40000), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    ok(cudaGetLastError());
    ok(cudaMemGetInfo(&left, &all));
    assert_int_equal(all, 65536);
    assert_int_equal(left, 65536 - 40000);
    ok(cudaFree(p));
    ok(cudaMalloc(&p, 40000));
    assert_int_equal(emu_cuda_stats().peak_device_bytes, 40000);
    unsetenv("CUDA_EMU_MEMORY");
}

static void pinned_memory_is_limited(void **state)
{
    unsigned char *p = aligned_alloc(PAGE, 4 * PAGE);
    void *q;

    (void)state;
    setenv("CUDA_EMU_PINNED", "8K", 1);
    emu_cuda_reset();
    ok(cudaHostRegister(p, PAGE, cudaHostRegisterDefault));
    assert_int_equal(cudaHostRegister(p + PAGE, 2 * PAGE, 0), cudaErrorMemoryAllocation);
    assert_int_equal(cudaHostAlloc(&q, 2 * PAGE, 0), cudaErrorMemoryAllocation);
    assert_int_equal(cudaHostRegister(p + 10, 10, 0), cudaErrorHostMemoryAlreadyRegistered);
    ok(cudaHostRegister(p + PAGE, PAGE, 0));
    ok(cudaHostUnregister(p));
    assert_int_equal(cudaHostUnregister(p), cudaErrorHostMemoryNotRegistered);
    ok(cudaHostUnregister(p + PAGE));
    ok(cudaHostRegister(p + 200, 100, 0));       /* pages are pinned as wholes */
    assert_int_equal(cudaHostRegister(p, 100, 0), cudaErrorHostMemoryAlreadyRegistered);
    assert_int_equal(cudaHostRegister(p + 400, 100, 0), cudaErrorHostMemoryAlreadyRegistered);
    ok(cudaHostUnregister(p + 200));
    assert_int_equal(faults, 0);
    unsetenv("CUDA_EMU_PINNED");
    free(p);
}

static void copies_stay_in_one_piece_of_memory(void **state)
{
    unsigned char *p = aligned_alloc(PAGE, 4 * PAGE);
    unsigned char *x;
    void *v;
    cudaStream_t s = stream();

    (void)state;
    memset(p, 0, 4 * PAGE);
    ok(cudaMalloc(&v, 4 * PAGE));
    x = v;
    ok(cudaHostRegister(p, PAGE, 0));
    ok(cudaHostRegister(p + PAGE, PAGE, 0));
    ok(cudaMemcpyAsync(x, p, PAGE, cudaMemcpyHostToDevice, s));
    refused(cudaMemcpyAsync(x, p + 1, PAGE, cudaMemcpyHostToDevice, s), "one allocation");
    refused(cudaMemcpyAsync(x, p + PAGE, 2 * PAGE, cudaMemcpyHostToDevice, s), "one allocation");
    refused(cudaMemcpyAsync(p, x + 3 * PAGE + 1, PAGE, cudaMemcpyDeviceToHost, s),
            "one allocation");
    refused(cudaMemcpy2DAsync(x, PAGE, p, 100, 100, 41, cudaMemcpyHostToDevice, s),
            "one allocation");
    refused(cudaMemcpy2DAsync(x, 8, p, 16, 16, 2, cudaMemcpyHostToDevice, s), "pitch");
    refused(cudaMemcpy2DAsync(x, 1u << 31, p, 16, 16, 2, cudaMemcpyHostToDevice, s), "pitch");
    refused(cudaMemcpyAsync(x, p, 16, cudaMemcpyDeviceToHost, s), "kind");
    refused(cudaMemcpyAsync(x, x + 8, 16, cudaMemcpyDeviceToDevice, s), "overlap");
    refused(cudaMemsetAsync(p + 2 * PAGE, 0, 16, s), "one");
    ok(cudaMemcpy2DAsync(x, 16, x + 8, 16, 8, 10, cudaMemcpyDeviceToDevice, s));
    ok(cudaStreamSynchronize(s));
    ok(cudaHostUnregister(p));
    ok(cudaHostUnregister(p + PAGE));
    free(p);
}

static void pointers_have_attributes(void **state)
{
    struct cudaPointerAttributes a;
    float plain, *x = device(), *p = pinned(0);
    void *d;

    (void)state;
    ok(cudaPointerGetAttributes(&a, x + 3));
    assert_int_equal(a.type, cudaMemoryTypeDevice);
    ok(cudaPointerGetAttributes(&a, p));
    assert_int_equal(a.type, cudaMemoryTypeHost);
    ok(cudaPointerGetAttributes(&a, &plain));
    assert_int_equal(a.type, cudaMemoryTypeUnregistered);
    ok(cudaHostGetDevicePointer(&d, p, 0));
    assert_ptr_equal(d, p);
    assert_int_equal(cudaHostGetDevicePointer(&d, &plain, 0), cudaErrorInvalidValue);
}

static void memory_in_use_is_not_freed(void **state)
{
    cudaStream_t s = stream();
    float *src = pinned(1), *x = device(), *y = device();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    put(x, src, s);
    add(kernel(), y, x, 1, s);
    refused(cudaFree(y), "t_add");
    refused(cudaFreeHost(src), "copy to the device");
    refused(cudaFree(x + 1), "begins");
    emu_cuda_fail("cudaStreamSynchronize:1");
    assert_int_equal(cudaStreamSynchronize(s), cudaErrorUnknown);
    ok(cudaFree(x));                 /* as a driver does */
    ok(cudaFree(y));
    assert_int_equal(emu_cuda_stats().queued, 0);
}

static void the_null_stream_beside_others_is_refused(void **state)
{
    float *src = pinned(1), *x = device();

    (void)state;
    ok(cudaMemcpyAsync(x, src, BYTES, cudaMemcpyHostToDevice, NULL));
    ok(cudaStreamSynchronize(NULL));
    stream();
    refused(cudaMemcpyAsync(x, src, BYTES, cudaMemcpyHostToDevice, NULL), "null stream");
}

static void call_again(void *data)
{
    *(cudaError_t *)data = cudaDeviceSynchronize();
}

static void host_functions_do_not_call(void **state)
{
    cudaStream_t s = stream();
    cudaError_t e = cudaSuccess;

    (void)state;
    ok(cudaLaunchHostFunc(s, call_again, &e));
    ok(cudaStreamSynchronize(s));
    refused(e, "host function");
}

/* ---- kernels ---- */

static void launches_are_checked(void **state)
{
    static const char code[] = "code";
    cudaStream_t s = stream();
    add_args a = { 0 };
    void *args[] = { &a };
    struct cudaFuncAttributes f;
    cudaLibrary_t l;
    cudaKernel_t k = kernel(), other;
    dim3 one = { 1, 1, 1 };

    (void)state;
    ok(cudaLibraryLoadData(&l, code, NULL, NULL, 0, NULL, NULL, 0));
    assert_int_equal(cudaLibraryGetKernel(&other, l, "t_none"), cudaErrorSymbolNotFound);
    refused(cudaLibraryGetKernel(&other, l, "t_sizeless"), "t_sizeless_args_bytes");
    refused(cudaLaunchKernel(k, one, (dim3){ 1025, 1, 1 }, args, 0, s), "blocks");
    refused(cudaLaunchKernel(k, (dim3){ 1, 65536, 1 }, one, args, 0, s), "grid");
    refused(cudaLaunchKernel(k, (dim3){ 0, 1, 1 }, one, args, 0, s), "grid");
    refused(cudaLaunchKernel(k, one, one, args, 50000, s), "shared");
    assert_int_equal(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20),
                     cudaErrorInvalidValue);
    ok(cudaFuncSetAttribute(k, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
    ok(cudaFuncGetAttributes(&f, k));
    assert_int_equal(f.maxDynamicSharedSizeBytes, 50000);
    ok(cudaLaunchKernel(k, one, one, args, 50000, s));
    ok(cudaStreamSynchronize(s));
    assert_int_equal(emu_cuda_stats().launches, 1);
    ok(cudaLibraryUnload(l));
    refused(cudaLibraryGetKernel(&other, l, "t_add"), "unloaded");
}

static void arguments_are_copied_at_the_launch(void **state)
{
    cudaStream_t s = stream();
    float *x = pinned(1), *y = pinned(0);
    add_args a = { x, y, 1, N };
    void *args[] = { &a };

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    ok(cudaLaunchKernel(kernel(), (dim3){ 1, 1, 1 }, (dim3){ N, 1, 1 }, args, 0, s));
    a = (add_args){ NULL, NULL, 0, 0 };
    ok(cudaStreamSynchronize(s));
    assert_true(all_are(y, 2));
}

/* ---- failures to come ---- */

static void calls_fail_on_demand(void **state)
{
    void *p;

    (void)state;
    emu_cuda_fail("cudaMalloc:2,cudaSetDevice:1=46");
    ok(cudaMalloc(&p, 16));
    assert_false(emu_cuda_failed());
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorMemoryAllocation);
    assert_true(emu_cuda_failed());
    ok(cudaMalloc(&p, 16));
    assert_int_equal(cudaSetDevice(0), 46);
    emu_cuda_fail("any:3");
    ok(cudaSetDevice(0));
    ok(cudaSetDevice(0));
    assert_int_equal(cudaSetDevice(0), cudaErrorUnknown);
    ok(cudaSetDevice(0));
}

/* The launch succeeds; what comes after its failure reports it, for good. */
static void work_fails_on_demand(void **state)
{
    cudaStream_t s = stream();
    float *x = pinned(0), *y = pinned(0), *z = device();
    cudaKernel_t k = kernel();

    (void)state;
    emu_cuda_schedule(EMU_LAZY, 1);
    emu_cuda_fail("launch:2");
    add(k, y, x, 1, s);
    add(k, y, x, 2, s);
    add(k, y, x, 3, s);
    assert_int_equal(cudaStreamSynchronize(s), cudaErrorIllegalAddress);
    assert_true(all_are(y, 1));
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    assert_int_equal(cudaFree(z), cudaErrorIllegalAddress);
    void *p = &z;
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorIllegalAddress);
    assert_ptr_equal(p, &z);
    emu_cuda_reset();
    emu_cuda_fail("copy:1=719");
    s = stream();
    put(device(), pinned(0), s);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
}

static void there_may_be_no_device(void **state)
{
    int n = 7;
    void *p;

    (void)state;
    setenv("CUDA_EMU_DEVICES", "0", 1);
    emu_cuda_reset();
    assert_int_equal(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    assert_int_equal(n, 0);
    assert_int_equal(cudaMalloc(&p, 16), cudaErrorNoDevice);
    ok(cudaRuntimeGetVersion(&n));
    unsetenv("CUDA_EMU_DEVICES");
}

static void the_device_is_what_the_environment_says(void **state)
{
    struct cudaDeviceProp p;
    int n;

    (void)state;
    setenv("CUDA_EMU_CC", "8.9", 1);
    setenv("CUDA_EMU_SMS", "128", 1);
    emu_cuda_reset();
    ok(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    ok(cudaGetDeviceProperties(&p, 0));
    assert_int_equal(p.major * 10 + p.minor, 89);
    assert_int_equal(p.sharedMemPerBlockOptin, 99 << 10);
    ok(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 0));
    assert_int_equal(n, 128);
    assert_int_equal(cudaSetDevice(1), cudaErrorInvalidDevice);
    unsetenv("CUDA_EMU_CC");
    unsetenv("CUDA_EMU_SMS");
}

static void nothing_is_left_over(void **state)
{
    cudaStream_t s = stream();
    cudaEvent_t e = event();
    float *x = device(), *p = pinned(0);

    (void)state;
    emu_cuda_counts c = emu_cuda_stats();
    assert_int_equal(c.blocks, 2);
    assert_int_equal(c.streams, 1);
    assert_int_equal(c.events, 1);
    ok(cudaFree(x));
    ok(cudaFreeHost(p));
    ok(cudaEventDestroy(e));
    ok(cudaStreamDestroy(s));
    c = emu_cuda_stats();
    assert_int_equal(c.blocks + c.streams + c.events + c.queued, 0);
    assert_int_equal(c.device_bytes + c.pinned_bytes, 0);
    assert_int_equal(c.device_allocations + c.host_allocations, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(device_memory_is_limited),
        T(pinned_memory_is_limited),
        T(copies_stay_in_one_piece_of_memory),
        T(pointers_have_attributes),
        T(memory_in_use_is_not_freed),
        T(the_null_stream_beside_others_is_refused),
        T(host_functions_do_not_call),
        T(launches_are_checked),
        T(arguments_are_copied_at_the_launch),
        T(calls_fail_on_demand),
        T(work_fails_on_demand),
        T(there_may_be_no_device),
        T(the_device_is_what_the_environment_says),
        T(nothing_is_left_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
