/*
** streams.c - queued work of the emulated CUDA runtime, and the order in which it runs.
**
** A stream is a queue of operations, counted from 1. A wait names an operation of another stream
** by its number, so that an event recorded anew leaves earlier waits alone. Waits only look back:
** some stream can always go on. Everything runs in the thread that must wait, or that queues.
*/
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cudaStream_t *emu_streams;
int emu_n_streams;

static cudaStream_t null_stream;
static double clock_us;              /* of the device, made up */
static uint64_t random_state;
static int activity;                 /* random mode: how readily work runs as it is queued */

/* ---- chance ---- */

uint64_t emu_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1du >> 16;
}

void streams_seed(uint64_t seed)
{
    random_state = (seed + 1) * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 8; i++)
        emu_random();
    activity = (int)(emu_random() % 4);
    for (int i = 0; i < emu_n_streams; i++)
        emu_streams[i]->rank = emu_random();
}

/* ---- work ---- */

work *work_new(const char *what, void (*run)(const void *), const void *args, size_t bytes)
{
    work *w = malloc(sizeof *w + bytes);

    if (w == NULL)
        abort();
    *w = (work){ .run = run, .what = what, .bytes = bytes, .pointers_at = bytes, .users = 1 };
    memcpy(w->args, args, bytes);
    return w;
}

void work_touches(work *w, area a)
{
    if (w->n_areas == MOST_AREAS)
        abort();
    w->area[w->n_areas++] = a;
}

void work_drop(work *w)
{
    if (w != NULL && --w->users == 0)
        free(w);
}

void body_drop(graph_body *b)
{
    if (b == NULL || --b->users > 0)
        return;
    for (int i = 0; i < b->n; i++)
        work_drop(b->node[i].work);
    free(b->node);
    free(b);
}

static void run_work(const work *w)
{
    size_t bytes = 0;

    for (int i = 0; i < w->n_areas; i++)
        bytes += w->area[i].width * w->area[i].height;
    clock_us += 1 + (double)bytes / 25000;
    emu_count.queued--;
    if (!emu_broken())
        w->run(w->args);
}

static bool points_into(const work *w, const area *a)
{
    for (size_t i = w->pointers_at; i + sizeof(void *) <= w->bytes; i += sizeof(void *)) {
        const unsigned char *p;
        memcpy(&p, w->args + i, sizeof p);
        area byte = area_of(p, 1);
        if (area_overlaps(&byte, a))
            return true;
    }
    return false;
}

static bool work_meets(const work *w, const area *a)
{
    for (int i = 0; i < w->n_areas; i++)
        if (area_overlaps(&w->area[i], a))
            return true;
    return points_into(w, a);
}

static const char *op_meets(const op *o, const area *a)
{
    if (o->kind == OP_WORK)
        return work_meets(o->work, a) ? o->work->what : NULL;
    for (int i = 0; o->kind == OP_GRAPH && i < o->body->n; i++)
        if (!o->ran[i] && work_meets(o->body->node[i].work, a))
            return o->body->node[i].work->what;
    return NULL;
}

const char *queued_touching(const area *a)
{
    for (int i = 0; i < emu_n_streams; i++)
        for (const op *o = emu_streams[i]->head; o != NULL; o = o->next) {
            const char *what = op_meets(o, a);
            if (what != NULL)
                return what;
        }
    return NULL;
}

/* ---- one step of one stream ---- */

static bool can_step(const struct CUstream_st *s)
{
    const op *o = s->head;
    return o != NULL && (o->kind != OP_WAIT || o->on->done >= o->number);
}

static bool node_ready(const op *o, int i)
{
    const node *n = &o->body->node[i];

    if (o->ran[i])
        return false;
    for (int p = 0; p < n->n_parents; p++)
        if (!o->ran[n->parent[p]])
            return false;
    return true;
}

/* The first node that can run; late and lazy: the last; random: any. */
static int pick_node(const op *o)
{
    bool down = emu_set.mode == EMU_LATE || emu_set.mode == EMU_LAZY;
    int n = o->body->n, start = emu_set.mode == EMU_RANDOM ? (int)(emu_random() % (uint64_t)n) : 0;

    for (int i = 0; i < n; i++) {
        int at = down ? n - 1 - i : (start + i) % n;
        if (node_ready(o, at))
            return at;
    }
    abort();
}

static bool step_graph(op *o)
{
    if (o->left > 0) {
        int i = pick_node(o);
        o->ran[i] = true;
        o->left--;
        run_work(o->body->node[i].work);
    }
    return o->left == 0;
}

static void op_free(op *o)
{
    work_drop(o->work);
    body_drop(o->body);
    free(o->ran);
    free(o);
}

static void step(cudaStream_t s)
{
    op *o = s->head;

    if (o->kind == OP_GRAPH && !step_graph(o))
        return;
    if (o->kind == OP_WORK)
        run_work(o->work);
    s->done++;
    if (o->kind == OP_RECORD)
        event_happened(o->event, s, s->done, clock_us);
    s->head = o->next;
    if (s->head == NULL)
        s->tail = &s->head;
    op_free(o);
}

/* ---- the scheduler ---- */

/* What must take a step so that s can: it, or what it waits for, and so on. */
static cudaStream_t needed(cudaStream_t s)
{
    for (int i = 0; i <= emu_n_streams && s->head != NULL && !can_step(s); i++)
        s = s->head->on;
    if (!can_step(s)) {
        emu_complain(cudaErrorUnknown, "deadlock");
        abort();
    }
    return s;
}

static cudaStream_t highest(void)
{
    cudaStream_t best = NULL;

    for (int i = 0; i < emu_n_streams; i++)
        if (can_step(emu_streams[i]) && (best == NULL || emu_streams[i]->rank > best->rank))
            best = emu_streams[i];
    if (best != NULL && emu_random() % 4 == 0)
        best->rank = emu_random();
    return best;
}

/* Some stream that can go on, but for this one. */
static cudaStream_t another(cudaStream_t s)
{
    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i] != s && can_step(emu_streams[i]))
            return emu_streams[i];
    return NULL;
}

void stream_nudge(cudaStream_t s)
{
    cudaStream_t next = needed(s), other = NULL;

    if (emu_set.mode == EMU_LATE)
        other = another(next);
    else if (emu_set.mode == EMU_RANDOM)
        other = highest();
    step(other != NULL ? other : next);
}

void stream_finish(cudaStream_t s, uint64_t n)
{
    while (s->done < n)
        stream_nudge(s);
}

void streams_finish(void)
{
    for (int i = 0; i < emu_n_streams; i++)
        stream_finish(emu_streams[i], emu_streams[i]->issued);
}

void streams_drift(void)
{
    static const uint64_t odds[] = { 0, 8, 32, 128 };        /* of 256 */
    cudaStream_t s;

    if (emu_set.mode == EMU_EAGER)
        while ((s = another(NULL)) != NULL)
            step(s);
    if (emu_set.mode != EMU_RANDOM)
        return;
    if (emu_random() % 64 == 0)
        activity = (int)(emu_random() % 4);
    while (emu_random() % 256 < odds[activity] && (s = highest()) != NULL)
        step(s);
}

/* ---- queueing ---- */

static void enqueue(cudaStream_t s, op o)
{
    op *p = malloc(sizeof *p);

    if (p == NULL)
        abort();
    *p = o;
    *s->tail = p;
    s->tail = &p->next;
    s->issued++;
}

void stream_after(cudaStream_t s, cudaStream_t other, uint64_t n)
{
    if (s != other && other->done < n)
        enqueue(s, (op){ .kind = OP_WAIT, .on = other, .number = n });
}

static cudaStream_t add_stream(unsigned flags)
{
    cudaStream_t s = calloc(1, sizeof *s);
    size_t n = (size_t)emu_n_streams + 1;

    emu_streams = realloc(emu_streams, n * sizeof(cudaStream_t));
    if (s == NULL || emu_streams == NULL)
        abort();
    s->flags = flags;
    s->tail = &s->head;
    s->rank = emu_random();
    emu_streams[emu_n_streams++] = s;
    return s;
}

static cudaStream_t null_one(void)
{
    if (null_stream == NULL)
        null_stream = add_stream(cudaStreamDefault);
    return null_stream;
}

/* The null stream and streams that are not non-blocking wait for each other. */
static void order_with_null(cudaStream_t s)
{
    if (s == null_stream) {
        for (int i = 0; i < emu_n_streams; i++)
            if (emu_streams[i]->flags == cudaStreamDefault)
                stream_after(s, emu_streams[i], emu_streams[i]->issued);
    } else if (null_stream != NULL && s->flags == cudaStreamDefault) {
        stream_after(s, null_stream, null_stream->issued);
    }
}

static cudaError_t queue_work(cudaStream_t s, work *w)
{
    order_with_null(s);
    emu_count.queued++;
    enqueue(s, (op){ .kind = OP_WORK, .work = w });
    streams_drift();
    return cudaSuccess;
}

cudaError_t stream_submit(cudaStream_t s, work *w)
{
    return s->capture != NULL ? graph_add(s, w) : queue_work(s, w);
}

cudaError_t stream_submit_null(work *w, bool wait, const char *call)
{
    cudaStream_t s = null_one();

    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i]->flags != cudaStreamDefault && emu_streams[i]->head != NULL) {
            work_drop(w);
            return emu_complain(cudaErrorInvalidResourceHandle,
                                "%s: a non-blocking stream has queued work, which it is in no "
                                "order with",
                                call);
        }
    if (streams_recording(true)) {
        work_drop(w);
        return emu_complain(cudaErrorStreamCaptureImplicit, "%s while recording", call);
    }
    queue_work(s, w);
    if (wait)
        stream_finish(s, s->issued);
    return cudaSuccess;
}

uint64_t stream_submit_graph(cudaStream_t s, graph_body *b)
{
    order_with_null(s);
    b->users++;
    emu_count.queued += b->n;
    bool *ran = calloc((size_t)b->n + 1, sizeof *ran);
    if (ran == NULL)
        abort();
    enqueue(s, (op){ .kind = OP_GRAPH, .body = b, .left = b->n, .ran = ran });
    streams_drift();
    return s->issued;
}

uint64_t stream_submit_record(cudaStream_t s, cudaEvent_t event)
{
    order_with_null(s);
    enqueue(s, (op){ .kind = OP_RECORD, .event = event });
    return s->issued;
}

/* ---- handles ---- */

static cudaStream_t null_of_program(const char *call)
{
    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i]->flags != cudaStreamDefault && !emu_streams[i]->dead) {
            emu_complain(cudaErrorInvalidResourceHandle,
                         "%s: the null stream, which is in no order with non-blocking ones", call);
            return NULL;
        }
    if (streams_recording(true)) {
        emu_complain(cudaErrorStreamCaptureImplicit, "%s: the null stream while recording", call);
        return NULL;
    }
    return null_one();
}

cudaStream_t stream_of(cudaStream_t s, const char *call)
{
    if (s == NULL || s == cudaStreamLegacy)
        return null_of_program(call);
    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i] == s && !s->dead)
            return s;
    emu_complain(cudaErrorInvalidResourceHandle, "%s: no stream, or a destroyed one", call);
    return NULL;
}

bool streams_recording(bool at_all)
{
    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i]->origin &&
            (at_all || emu_streams[i]->mode != cudaStreamCaptureModeRelaxed))
            return true;
    return false;
}

void streams_reset(void)
{
    for (int i = 0; i < emu_n_streams; i++) {
        for (op *o = emu_streams[i]->head, *next; o != NULL; o = next) {
            next = o->next;
            op_free(o);
        }
        free(emu_streams[i]);
    }
    free(emu_streams);
    emu_streams = NULL;
    emu_n_streams = 0;
    null_stream = NULL;
    clock_us = 0;
}

static void print_op(const op *o)
{
    static const char *const names[] = { "", "record", "wait", "graph" };

    fprintf(stderr, "    %s", o->kind == OP_WORK ? o->work->what : names[o->kind]);
    for (int i = 0; o->kind == OP_WAIT && i < emu_n_streams; i++)
        if (emu_streams[i] == o->on)
            fprintf(stderr, " for operation %llu of stream %d", (unsigned long long)o->number, i);
    fprintf(stderr, "\n");
}

void streams_print(void)
{
    for (int i = 0; i < emu_n_streams; i++) {
        const struct CUstream_st *s = emu_streams[i];
        fprintf(stderr, "  stream %d%s: %llu of %llu operations are over\n", i,
                s == null_stream ? " (null)" : "", (unsigned long long)s->done,
                (unsigned long long)s->issued);
        int n = 0;
        for (const op *o = s->head; o != NULL && n < 16; o = o->next, n++)
            print_op(o);
    }
}

/* ---- calls ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    cudaError_t e = emu_enter(__func__);
    if (e == cudaSuccess) {
        *s = add_stream(flags);
        emu_count.streams++;
    }
    return emu_leave(e);
}

cudaError_t cudaStreamCreate(cudaStream_t *s)
{
    return cudaStreamCreateWithFlags(s, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int priority)
{
    (void)priority;                  /* the order is the scheduler's in any case */
    return cudaStreamCreateWithFlags(s, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    cudaError_t e = emu_enter(__func__);
    *least = 0;
    *greatest = -5;
    return emu_leave(e);
}

/* What is queued still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = handle != NULL ? stream_of(handle, __func__) : NULL;

    if (s == NULL)
        return emu_leave(cudaErrorInvalidResourceHandle);
    if (s->capture != NULL)
        return emu_leave(emu_complain(cudaErrorStreamCaptureUnsupported, "%s while recording",
                                      __func__));
    s->dead = true;
    emu_count.streams--;
    return emu_leave(e);
}

/* A stream that can be waited for. */
static cudaStream_t quiet(cudaStream_t handle, const char *call, cudaError_t *e)
{
    cudaStream_t s = handle == NULL ? null_one() : stream_of(handle, call);

    if (s == NULL)
        *e = cudaErrorInvalidResourceHandle;
    else if (s->capture != NULL)
        *e = emu_complain(cudaErrorStreamCaptureUnsupported, "%s while it records", call);
    return *e == cudaSuccess ? s : NULL;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? quiet(handle, __func__, &e) : NULL;

    if (s != NULL)
        stream_finish(s, s->issued);
    return emu_leave(e);
}

/* Every question lets some work run, so that to ask again and again comes to an end. */
cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? quiet(handle, __func__, &e) : NULL;

    if (s != NULL && s->done < s->issued) {
        stream_nudge(s);
        e = s->done < s->issued ? cudaErrorNotReady : cudaSuccess;
    }
    return emu_leave(e);
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t e = emu_enter(__func__);

    if (e == cudaSuccess && streams_recording(true))
        e = emu_complain(cudaErrorStreamCaptureUnsupported, "%s while recording", __func__);
    if (e == cudaSuccess)
        streams_finish();
    return emu_leave(e);
}

typedef struct host_call {
    cudaHostFn_t fn;
    void *data;
} host_call;

static void run_host(const void *args)
{
    const host_call *c = args;
    emu_count.host_functions++;
    c->fn(c->data);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t fn, void *data)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;
    host_call c = { fn, data };

    if (s != NULL)
        e = stream_submit(s, work_new("host function", run_host, &c, sizeof c));
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}
