/*
** cudart.c - the emulated CUDA runtime: settings, errors, the device's properties.
**
** The rest of the API lies in memory.c, copies.c, streams.c, graphs.c, launch.c and cublaslt.c.
*/
#include "queue.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAILURES = 8, NAME_LEN = 64 };

typedef struct failure {
    char name[NAME_LEN];
    unsigned long left;              /* calls until it occurs, that one included; 0: occurred */
    int code;                        /* 0: what fits the name */
} failure;

emu_settings emu_set;
emu_cuda_counts emu_count;
void (*emu_cuda_on_error)(const char *message);

static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local int depth;      /* calls under way: a host function of a stream may not call */
static _Thread_local cudaError_t last;
static cudaError_t broken;           /* the device failed: every call says so */
static failure failures[MOST_FAILURES];
static int n_failures;
static bool failed;

/* ---- settings ---- */

static size_t bytes_of(const char *name, size_t otherwise)
{
    const char *s = getenv(name);
    char *end;

    if (s == NULL)
        return otherwise;
    size_t n = strtoull(s, &end, 10);
    if (*end == 'K')
        n <<= 10;
    else if (*end == 'M')
        n <<= 20;
    else if (*end == 'G')
        n <<= 30;
    return n;
}

static emu_cuda_mode mode_of(const char *s)
{
    static const char *const names[] = { "random", "late", "lazy", "eager" };

    for (int i = 0; s != NULL && i < 4; i++)
        if (strcmp(s, names[i]) == 0)
            return (emu_cuda_mode)i;
    if (s != NULL)
        emu_complain(cudaErrorInvalidValue, "CUDA_EMU_MODE=%s: is not a mode", s);
    return EMU_RANDOM;
}

static void read_settings(void)
{
    const char *cc = getenv("CUDA_EMU_CC");

    emu_set = (emu_settings){
        .devices = (int)bytes_of("CUDA_EMU_DEVICES", 1),
        .major = 8,
        .sms = (int)bytes_of("CUDA_EMU_SMS", 4),
        .memory = bytes_of("CUDA_EMU_MEMORY", (size_t)1 << 30),
        .pinned = bytes_of("CUDA_EMU_PINNED", SIZE_MAX),
        .pageable = bytes_of("CUDA_EMU_PAGEABLE", 1) != 0,
        .lt_version = bytes_of("CUDA_EMU_LT", 130100),
        .mode = mode_of(getenv("CUDA_EMU_MODE")),
        .seed = bytes_of("CUDA_EMU_SEED", 1),
    };
    if (cc != NULL && sscanf(cc, "%d.%d", &emu_set.major, &emu_set.minor) != 2)
        emu_complain(cudaErrorInvalidValue, "CUDA_EMU_CC=%s: is not like 8.0", cc);
    streams_seed(emu_set.seed);
}

/* ---- failures to come ---- */

static void add_failure(const char *text)
{
    failure f = { .left = 0 };

    if (n_failures == MOST_FAILURES || sscanf(text, "%63[^:]:%lu=%d", f.name, &f.left, &f.code) < 2)
        emu_complain(cudaErrorInvalidValue, "failure '%s': is not name:n or name:n=code", text);
    else
        failures[n_failures++] = f;
}

static void set_failures(const char *text)
{
    char copy[256];
    char *rest;

    n_failures = 0;
    failed = false;
    if (text == NULL)
        return;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *s = strtok_r(copy, ",", &rest); s != NULL; s = strtok_r(NULL, ",", &rest))
        add_failure(s);
}

bool emu_fails(const char *name, cudaError_t *code)
{
    for (int i = 0; i < n_failures; i++) {
        failure *f = &failures[i];
        if (strcmp(f->name, name) != 0 || f->left == 0 || --f->left > 0)
            continue;
        if (f->code != 0)
            *code = (cudaError_t)f->code;
        failed = true;
        return true;
    }
    return false;
}

/* ---- calls ---- */

static void begin_once(void)
{
    pthread_mutexattr_t a;

    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &a);
    pthread_mutexattr_destroy(&a);
    read_settings();
    set_failures(getenv("CUDA_EMU_FAIL"));
}

/* For the hooks of tests, which are no calls of the API. */
static void take(void)
{
    pthread_once(&once, begin_once);
    pthread_mutex_lock(&lock);
}

static void give(void)
{
    pthread_mutex_unlock(&lock);
}

static bool allocates(const char *call)
{
    return strstr(call, "alloc") != NULL || strstr(call, "Alloc") != NULL ||
           strcmp(call, "cudaHostRegister") == 0;
}

cudaError_t emu_enter(const char *call)
{
    cudaError_t code = allocates(call) ? cudaErrorMemoryAllocation : cudaErrorUnknown;

    take();
    emu_count.calls++;
    if (depth++ > 0)
        return emu_complain(cudaErrorNotPermitted, "%s is called by a host function", call);
    if (emu_fails("any", &code) || emu_fails(call, &code))
        return code;
    if (emu_set.devices == 0)
        return cudaErrorNoDevice;
    return broken;
}

cudaError_t emu_leave(cudaError_t e)
{
    if (e != cudaSuccess && e != cudaErrorNotReady)
        last = e;
    else if (broken != cudaSuccess)
        e = broken;                  /* work that ran meanwhile failed */
    depth--;
    give();
    return e;
}

cudaError_t emu_complain(cudaError_t code, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (emu_cuda_on_error != NULL) {
        emu_cuda_on_error(text);
        return code;
    }
    fprintf(stderr, "emulated CUDA: %s\n", text);
    streams_print();
    abort();
}

void emu_break(cudaError_t code)
{
    if (broken == cudaSuccess)
        broken = code;
}

bool emu_broken(void)
{
    return broken != cudaSuccess;
}

bool emu_failed(void)
{
    return failed;
}

/* ---- hooks of tests ---- */

emu_cuda_counts emu_cuda_stats(void)
{
    take();
    emu_cuda_counts c = emu_count;
    give();
    return c;
}

void emu_cuda_reset(void)
{
    take();
    broken = last = cudaSuccess;
    streams_reset();
    events_reset();
    graphs_reset();
    launch_reset();
    memory_reset();
    emu_count = (emu_cuda_counts){ 0 };
    read_settings();
    set_failures(getenv("CUDA_EMU_FAIL"));
    give();
}

void emu_cuda_schedule(emu_cuda_mode mode, uint64_t seed)
{
    take();
    emu_set.mode = mode;
    streams_seed(seed);
    give();
}

void emu_cuda_fail(const char *text)
{
    take();
    set_failures(text);
    give();
}

bool emu_cuda_failed(void)
{
    take();
    bool is = emu_failed();
    give();
    return is;
}

void emu_cuda_check_host(const void *p, size_t bytes)
{
    area a = area_of(p, bytes);

    take();
    const char *what = queued_touching(&a);
    if (what != NULL)
        emu_complain(cudaErrorInvalidValue, "a queued %s still uses some of %zu bytes at %p", what,
                     bytes, p);
    give();
}

void emu_cuda_print(void)
{
    take();
    streams_print();
    give();
}

/* ---- errors ---- */

static const struct {
    cudaError_t code;
    const char *name, *text;
} errors[] = {
#define E(name, text) { name, #name, text }
    E(cudaSuccess, "no error"),
    E(cudaErrorInvalidValue, "invalid argument"),
    E(cudaErrorMemoryAllocation, "out of memory"),
    E(cudaErrorInitializationError, "initialization error"),
    E(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    E(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    E(cudaErrorInvalidHostPointer, "invalid host pointer"),
    E(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    E(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    E(cudaErrorStubLibrary, "CUDA driver is a stub library"),
    E(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    E(cudaErrorInvalidDeviceFunction, "invalid device function"),
    E(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    E(cudaErrorInvalidDevice, "invalid device ordinal"),
    E(cudaErrorInvalidKernelImage, "device kernel image is invalid"),
    E(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
    E(cudaErrorUnsupportedPtxVersion,
      "the provided PTX was compiled with an unsupported toolchain."),
    E(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    E(cudaErrorSymbolNotFound, "named symbol not found"),
    E(cudaErrorNotReady, "device not ready"),
    E(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    E(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    E(cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already "
                                            "mapped"),
    E(cudaErrorHostMemoryNotRegistered,
      "pointer does not correspond to a registered memory region"),
    E(cudaErrorLaunchFailure, "unspecified launch failure"),
    E(cudaErrorNotPermitted, "operation not permitted"),
    E(cudaErrorNotSupported, "operation not supported"),
    E(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    E(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    E(cudaErrorStreamCaptureMerge,
      "operation would result in a merge of separate capture sequences"),
    E(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    E(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    E(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    E(cudaErrorStreamCaptureImplicit,
      "operation would make the legacy stream depend on a capturing blocking stream"),
    E(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing "
                              "stream"),
    E(cudaErrorGraphExecUpdateFailure,
      "the graph update was not performed because it included changes which violated constraints "
      "specific to instantiated graph update"),
    E(cudaErrorUnknown, "unknown error"),
#undef E
};

enum { N_ERRORS = sizeof errors / sizeof errors[0] };

const char *cudaGetErrorName(cudaError_t e)
{
    for (int i = 0; i < N_ERRORS; i++)
        if (errors[i].code == e)
            return errors[i].name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t e)
{
    for (int i = 0; i < N_ERRORS; i++)
        if (errors[i].code == e)
            return errors[i].text;
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError(void)
{
    take();
    cudaError_t e = broken != cudaSuccess ? broken : last;
    give();
    return e;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = cudaPeekAtLastError();
    last = cudaSuccess;
    return e;
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    cudaError_t e = emu_enter(__func__);
    if (e == cudaSuccess)
        *count = emu_set.devices;
    else if (e == cudaErrorNoDevice)
        *count = 0;
    return emu_leave(e);
}

static cudaError_t check_device(cudaError_t e, int device)
{
    if (e == cudaSuccess && (device < 0 || device >= emu_set.devices))
        return cudaErrorInvalidDevice;
    return e;
}

cudaError_t cudaSetDevice(int device)
{
    return emu_leave(check_device(emu_enter(__func__), device));
}

cudaError_t cudaGetDevice(int *device)
{
    cudaError_t e = emu_enter(__func__);
    if (e == cudaSuccess)
        *device = 0;
    return emu_leave(e);
}

int emu_most_smem(void)
{
    int cc = emu_set.major * 10 + emu_set.minor;

    if (cc < 80)
        return 64 << 10;
    if (cc == 86 || cc == 89 || cc >= 120)
        return 99 << 10;
    return (cc < 90 ? 163 : 227) << 10;
}

static void describe(struct cudaDeviceProp *p)
{
    *p = (struct cudaDeviceProp){
        .name = "Emulated GPU",
        .totalGlobalMem = emu_set.memory,
        .sharedMemPerBlock = 48 << 10,
        .regsPerBlock = 65536,
        .warpSize = 32,
        .memPitch = INT32_MAX,
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = { 1024, 1024, 64 },
        .maxGridSize = { INT32_MAX, 65535, 65535 },
        .major = emu_set.major,
        .minor = emu_set.minor,
        .multiProcessorCount = emu_set.sms,
        .canMapHostMemory = 1,
        .concurrentKernels = 1,
        .asyncEngineCount = 2,
        .unifiedAddressing = 1,
        .l2CacheSize = 4 << 20,
        .maxThreadsPerMultiProcessor = 1536,
        .sharedMemPerMultiprocessor = (size_t)emu_most_smem() + 1024,
        .sharedMemPerBlockOptin = (size_t)emu_most_smem(),
        .hostRegisterSupported = 1,
    };
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    cudaError_t e = check_device(emu_enter(__func__), device);
    if (e == cudaSuccess)
        describe(prop);
    return emu_leave(e);
}

static cudaError_t attribute(int *value, enum cudaDeviceAttr attr)
{
    struct cudaDeviceProp p;

    describe(&p);
    const struct {
        enum cudaDeviceAttr attr;
        int value;
    } list[] = {
        { cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock },
        { cudaDevAttrMaxSharedMemoryPerBlock, (int)p.sharedMemPerBlock },
        { cudaDevAttrWarpSize, p.warpSize },
        { cudaDevAttrMaxPitch, (int)p.memPitch },
        { cudaDevAttrMultiProcessorCount, p.multiProcessorCount },
        { cudaDevAttrIntegrated, p.integrated },
        { cudaDevAttrCanMapHostMemory, p.canMapHostMemory },
        { cudaDevAttrCanUseHostPointerForRegisteredMem, p.canMapHostMemory },
        { cudaDevAttrPciBusId, p.pciBusID },
        { cudaDevAttrPciDeviceId, p.pciDeviceID },
        { cudaDevAttrPciDomainId, p.pciDomainID },
        { cudaDevAttrL2CacheSize, p.l2CacheSize },
        { cudaDevAttrAsyncEngineCount, p.asyncEngineCount },
        { cudaDevAttrUnifiedAddressing, p.unifiedAddressing },
        { cudaDevAttrComputeCapabilityMajor, p.major },
        { cudaDevAttrComputeCapabilityMinor, p.minor },
        { cudaDevAttrPageableMemoryAccess, p.pageableMemoryAccess },
        { cudaDevAttrMaxSharedMemoryPerBlockOptin, (int)p.sharedMemPerBlockOptin },
        { cudaDevAttrHostRegisterSupported, p.hostRegisterSupported },
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (list[i].attr == attr) {
            *value = list[i].value;
            return cudaSuccess;
        }
    return emu_complain(cudaErrorInvalidValue, "device attribute %d is not emulated", attr);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    cudaError_t e = check_device(emu_enter(__func__), device);
    return emu_leave(e != cudaSuccess ? e : attribute(value, attr));
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    cudaError_t e = emu_enter(__func__);
    if (e == cudaSuccess) {
        *free = emu_set.memory - emu_count.device_bytes;
        *total = emu_set.memory;
    }
    return emu_leave(e);
}

/* Versions are known without a device. */
cudaError_t cudaDriverGetVersion(int *version)
{
    cudaError_t e = emu_enter(__func__);
    *version = CUDART_VERSION;
    return emu_leave(e == cudaErrorNoDevice ? cudaSuccess : e);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    cudaError_t e = emu_enter(__func__);
    *version = CUDART_VERSION;
    return emu_leave(e == cudaErrorNoDevice ? cudaSuccess : e);
}
