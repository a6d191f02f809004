/*
** copies.c - copies and fills of the emulated CUDA runtime.
**
** From and to pinned memory a copy is queued and sees the source when it runs. A source that is
** not pinned is copied at the call; a destination that is not keeps the call from returning
** before the copy has run; within the host nothing is asynchronous.
*/
#include "queue.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PITCH = INT32_MAX };

typedef struct copy {
    unsigned char *dst;
    const unsigned char *src;        /* NULL: the bytes follow, rows without gaps */
    size_t dst_pitch, src_pitch, width, height;
    uint64_t *counted;               /* bytes of its direction */
} copy;

/* A copy as a call describes it. */
typedef struct request {
    const char *call;
    copy c;
    enum cudaMemcpyKind kind;
    area_place from, to;
} request;

static area source(const copy *c)
{
    return (area){ c->src, c->src_pitch, c->width, c->height };
}

static area target(const copy *c)
{
    return (area){ c->dst, c->dst_pitch, c->width, c->height };
}

static void run_copy(const void *args)
{
    const copy *c = args;
    const unsigned char *src = c->src != NULL ? c->src : (const unsigned char *)(c + 1);
    size_t pitch = c->src != NULL ? c->src_pitch : c->width;
    cudaError_t code = cudaErrorIllegalAddress;

    if (emu_fails("copy", &code)) {
        emu_break(code);
        return;
    }
    for (size_t i = 0; i < c->height; i++)
        memcpy(c->dst + i * c->dst_pitch, src + i * pitch, c->width);
    *c->counted += c->width * c->height;
    emu_count.copies++;
}

/* ---- what a copy may be ---- */

static cudaError_t check_pitch(const request *r)
{
    const copy *c = &r->c;

    if (c->dst_pitch < c->width || c->src_pitch < c->width)
        return emu_complain(cudaErrorInvalidPitchValue, "%s: width %zu, pitches %zu and %zu",
                            r->call, c->width, c->dst_pitch, c->src_pitch);
    if (c->height > 1 && (c->dst_pitch > MOST_PITCH || c->src_pitch > MOST_PITCH))
        return emu_complain(cudaErrorInvalidValue, "%s: pitches %zu and %zu, at most %d", r->call,
                            c->dst_pitch, c->src_pitch, MOST_PITCH);
    return cudaSuccess;
}

static bool fits(area_place p, bool device)
{
    return (p == IN_DEVICE) == device;
}

static cudaError_t check_places(request *r)
{
    area from = source(&r->c), to = target(&r->c);
    enum cudaMemcpyKind k = r->kind;

    r->from = memory_place(&from);
    r->to = memory_place(&to);
    if (r->from == IN_PIECES || r->to == IN_PIECES)
        return emu_complain(cudaErrorInvalidValue,
                            "%s: the %s, %zu rows of %zu bytes at %p, is not in one allocation or "
                            "registered region",
                            r->call, r->to == IN_PIECES ? "target" : "source", r->c.height,
                            r->c.width, r->to == IN_PIECES ? (const void *)to.at : from.at);
    if (k == cudaMemcpyDefault)
        return cudaSuccess;
    if (!fits(r->from, k == cudaMemcpyDeviceToHost || k == cudaMemcpyDeviceToDevice) ||
        !fits(r->to, k == cudaMemcpyHostToDevice || k == cudaMemcpyDeviceToDevice))
        return emu_complain(cudaErrorInvalidValue, "%s: kind %d, from %s to %s", r->call, k,
                            r->from == IN_DEVICE ? "device" : "host",
                            r->to == IN_DEVICE ? "device" : "host");
    return cudaSuccess;
}

static cudaError_t check(request *r)
{
    cudaError_t e = check_pitch(r);

    if (e == cudaSuccess)
        e = check_places(r);
    if (e != cudaSuccess)
        return e;
    area from = source(&r->c), to = target(&r->c);
    if (area_overlaps(&from, &to))
        return emu_complain(cudaErrorInvalidValue, "%s: source and target overlap", r->call);
    return cudaSuccess;
}

/* ---- from request to work ---- */

static uint64_t *counter(const request *r)
{
    if (r->from == IN_DEVICE)
        return r->to == IN_DEVICE ? &emu_count.d2d_bytes : &emu_count.d2h_bytes;
    return r->to == IN_DEVICE ? &emu_count.h2d_bytes : &emu_count.h2h_bytes;
}

static const char *name_of(const request *r)
{
    if (r->from == IN_DEVICE)
        return r->to == IN_DEVICE ? "copy within the device" : "copy to the host";
    return r->to == IN_DEVICE ? "copy to the device" : "copy within the host";
}

/* A copy whose source is taken along. */
static work *staged(const request *r)
{
    size_t bytes = r->c.width * r->c.height;
    copy *c = malloc(sizeof *c + bytes);

    if (c == NULL)
        abort();
    *c = r->c;
    c->src = NULL;
    for (size_t i = 0; i < c->height; i++)
        memcpy((unsigned char *)(c + 1) + i * c->width, r->c.src + i * c->src_pitch, c->width);
    work *w = work_new(name_of(r), run_copy, c, sizeof *c + bytes);
    free(c);
    work_touches(w, target(&r->c));
    return w;
}

static work *queued(const request *r)
{
    work *w = work_new(name_of(r), run_copy, &r->c, sizeof r->c);
    work_touches(w, source(&r->c));
    work_touches(w, target(&r->c));
    return w;
}

static cudaError_t submit(request *r, cudaStream_t s)
{
    bool pageable = r->from == IN_PAGEABLE || r->to == IN_PAGEABLE;
    bool stage = r->from == IN_PAGEABLE && r->to == IN_DEVICE;

    emu_count.pageable_copies += pageable;
    if (pageable && !emu_set.pageable)
        return emu_complain(cudaErrorInvalidValue, "%s: %p is not pinned", r->call,
                            r->from == IN_PAGEABLE ? (const void *)r->c.src : r->c.dst);
    bool inside_host = r->from != IN_DEVICE && r->to != IN_DEVICE;
    if ((pageable || inside_host) && s->capture != NULL)
        return emu_complain(cudaErrorStreamCaptureUnsupported,
                            "%s while recording: it would not be asynchronous", r->call);
    cudaError_t e = stream_submit(s, stage ? staged(r) : queued(r));
    if (e == cudaSuccess && ((pageable && !stage) || inside_host))
        stream_finish(s, s->issued);
    return e;
}

static cudaError_t copy_async(request *r, cudaStream_t handle)
{
    cudaStream_t s = stream_of(handle, r->call);

    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    if (r->c.width == 0 || r->c.height == 0)
        return cudaSuccess;
    cudaError_t e = check(r);
    r->c.counted = counter(r);
    return e != cudaSuccess ? e : submit(r, s);
}

/* On the null stream. The call does not wait where the driver's would not: for a staged source and
   within the device. */
static cudaError_t copy_now(request *r)
{
    if (r->c.width == 0)
        return cudaSuccess;
    cudaError_t e = check(r);
    if (e != cudaSuccess)
        return e;
    bool stage = r->from == IN_PAGEABLE && r->to == IN_DEVICE;
    bool inside = r->from == IN_DEVICE && r->to == IN_DEVICE;
    r->c.counted = counter(r);
    return stream_submit_null(stage ? staged(r) : queued(r), !stage && !inside, r->call);
}

/* ---- calls ---- */

cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind)
{
    cudaError_t e = emu_enter(__func__);
    request r = { __func__, { dst, src, n, n, n, 1, NULL }, kind, IN_PIECES, IN_PIECES };
    return emu_leave(e != cudaSuccess ? e : copy_now(&r));
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t s)
{
    cudaError_t e = emu_enter(__func__);
    request r = { __func__, { dst, src, n, n, n, 1, NULL }, kind, IN_PIECES, IN_PIECES };
    return emu_leave(e != cudaSuccess ? e : copy_async(&r, s));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t s)
{
    cudaError_t e = emu_enter(__func__);
    request r = { __func__, { dst, src, dpitch, spitch, width, height, NULL }, kind, IN_PIECES,
                  IN_PIECES };
    return emu_leave(e != cudaSuccess ? e : copy_async(&r, s));
}

/* ---- fills ---- */

typedef struct fill {
    unsigned char *dst;
    size_t pitch, width, height;
    int value;
} fill;

static void run_fill(const void *args)
{
    const fill *f = args;
    for (size_t i = 0; i < f->height; i++)
        memset(f->dst + i * f->pitch, f->value, f->width);
}

static cudaError_t fill_async(const char *call, const fill *f, cudaStream_t handle)
{
    area a = { f->dst, f->pitch, f->width, f->height };
    cudaStream_t s = stream_of(handle, call);

    if (s == NULL)
        return cudaErrorInvalidResourceHandle;
    if (f->width == 0 || f->height == 0)
        return cudaSuccess;
    if (f->pitch < f->width || (f->height > 1 && f->pitch > MOST_PITCH))
        return emu_complain(cudaErrorInvalidPitchValue, "%s: width %zu, pitch %zu", call, f->width,
                            f->pitch);
    area_place p = memory_place(&a);
    if (p != IN_DEVICE && p != IN_PINNED)
        return emu_complain(cudaErrorInvalidValue, "%s: %zu rows of %zu bytes at %p are not in one "
                                                   "allocation",
                            call, f->height, f->width, (void *)f->dst);
    work *w = work_new("fill", run_fill, f, sizeof *f);
    work_touches(w, a);
    return stream_submit(s, w);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t s)
{
    cudaError_t e = emu_enter(__func__);
    fill f = { p, n, n, 1, value };
    return emu_leave(e != cudaSuccess ? e : fill_async(__func__, &f, s));
}

cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t s)
{
    cudaError_t e = emu_enter(__func__);
    fill f = { p, pitch, width, height, value };
    return emu_leave(e != cudaSuccess ? e : fill_async(__func__, &f, s));
}
