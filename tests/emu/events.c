/*
** events.c - events of the emulated CUDA runtime.
**
** An event is the number of an operation of a stream, as of its latest record; inside a recording,
** the nodes that came last.
*/
#include "queue.h"

#include <stdlib.h>
#include <string.h>

struct CUevent_st {
    struct CUevent_st *next;
    bool dead, recorded, happened;
    unsigned flags;
    cudaStream_t stream;
    uint64_t number;
    double us;                       /* when it happened */
    uint64_t capture;                /* the recording it was last recorded in; 0: none */
    int parent[MOST_PARENTS], n_parents;
};

static cudaEvent_t all;

void events_reset(void)
{
    for (cudaEvent_t e = all, next; e != NULL; e = next) {
        next = e->next;
        free(e);
    }
    all = NULL;
}

void event_happened(cudaEvent_t e, cudaStream_t s, uint64_t number, double us)
{
    if (e->stream != s || e->number != number)
        return;                      /* recorded anew meanwhile */
    e->happened = true;
    e->us = us;
}

/* e, unless the handle is of no use. */
static cudaError_t check(cudaError_t e, cudaEvent_t event, const char *call)
{
    if (e == cudaSuccess && (event == NULL || event->dead))
        return emu_complain(cudaErrorInvalidResourceHandle, "%s: no event, or a destroyed one",
                            call);
    return e;
}

static cudaError_t create(cudaError_t e, cudaEvent_t *event, unsigned flags)
{
    if (e == cudaSuccess) {
        *event = calloc(1, sizeof **event);
        if (*event == NULL)
            abort();
        (*event)->flags = flags;
        (*event)->next = all;
        all = *event;
        emu_count.events++;
    }
    return emu_leave(e);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return create(emu_enter(__func__), event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    return create(emu_enter(__func__), event, flags);
}

/* Waits for it that are queued stay. */
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaError_t e = emu_enter(__func__);

    if (check(cudaSuccess, event, __func__) != cudaSuccess)
        return emu_leave(cudaErrorInvalidResourceHandle);
    event->dead = true;
    emu_count.events--;
    return emu_leave(e);
}

static void record(cudaEvent_t event, cudaStream_t s)
{
    event->recorded = true;
    event->happened = false;
    if (s->capture != NULL) {
        event->capture = graph_number(s->capture);
        event->n_parents = s->n_parents;
        memcpy(event->parent, s->parent, sizeof event->parent);
        return;
    }
    event->capture = 0;
    event->stream = s;
    event->number = stream_submit_record(s, event);
    streams_drift();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    cudaError_t e = check(emu_enter(__func__), event, __func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (s != NULL)
        record(event, s);
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}

/* Inside of a recording, the stream joins it. */
static cudaError_t join(cudaStream_t s, cudaEvent_t event)
{
    struct CUgraph_st *g = graph_open(event->capture);

    if (g == NULL)
        return emu_complain(cudaErrorCapturedEvent,
                            "wait for an event of a recording that is over");
    if (s->capture != NULL && s->capture != g)
        return emu_complain(cudaErrorStreamCaptureMerge, "wait for an event of another recording");
    if (s->capture == NULL)
        s->n_parents = 0;
    s->capture = g;
    return parents_add(s, event->parent, event->n_parents);
}

static cudaError_t wait(cudaStream_t s, cudaEvent_t event)
{
    if (!event->recorded)
        return cudaSuccess;
    if (event->capture != 0)
        return join(s, event);
    if (s->capture != NULL)
        return emu_complain(cudaErrorStreamCaptureIsolation,
                            "a stream that records waits for an event from outside");
    stream_after(s, event->stream, event->number);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags)
{
    cudaError_t e = check(emu_enter(__func__), event, __func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (s != NULL && flags != cudaEventWaitDefault)
        e = emu_complain(cudaErrorNotSupported, "%s: flags %u are not emulated", __func__, flags);
    else if (s != NULL)
        e = wait(s, event);
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}

static cudaError_t check_outside(cudaError_t e, cudaEvent_t event, const char *call)
{
    e = check(e, event, call);
    if (e == cudaSuccess && event->recorded && event->capture != 0)
        return emu_complain(cudaErrorCapturedEvent, "%s: an event of a recording", call);
    return e;
}

static bool over(const struct CUevent_st *event)
{
    return !event->recorded || event->stream->done >= event->number;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t e = check_outside(emu_enter(__func__), event, __func__);

    if (e == cudaSuccess && !over(event)) {
        stream_nudge(event->stream);
        e = over(event) ? cudaSuccess : cudaErrorNotReady;
    }
    return emu_leave(e);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t e = check_outside(emu_enter(__func__), event, __func__);

    if (e == cudaSuccess && event->recorded)
        stream_finish(event->stream, event->number);
    return emu_leave(e);
}

static cudaError_t elapsed(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    if (((start->flags | end->flags) & cudaEventDisableTiming) != 0 || !start->recorded ||
        !end->recorded)
        return emu_complain(cudaErrorInvalidResourceHandle,
                            "time between events that take none, or never occurred");
    if (!start->happened || !end->happened)
        return cudaErrorNotReady;
    *ms = (float)((end->us - start->us) * 1e-3);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    cudaError_t e = check_outside(emu_enter(__func__), start, __func__);

    e = check_outside(e, end, __func__);
    return emu_leave(e != cudaSuccess ? e : elapsed(ms, start, end));
}
