/*
** queue.c - the two copy queues, and how compute waits for them.
**
** A queue is a stream. Copy number n leaves an event in slot n mod EVENTS, before which the host
** has waited for copy n - EVENTS: an event that has left its slot is over. Before a copy the queue
** waits for the compute issued so far. Pageable memory goes through two halves of pinned memory, in
** pieces: while one half is on the link, a second stream fills or empties the other.
*/
#include "inside.h"

#include <string.h>

enum {
    PLANE_BYTES = 256 << 10,         /* larger planes are copied one by one: as fast, and simpler */
};

static const char *const NAMES[DEV_STREAMS] = { "copying to the device", "copying to the host" };

/* ---- open and close ---- */

static bool open_event(hi_device *d, cudaEvent_t *e, unsigned flags)
{
    return CUDA(d, "making an event", cudaEventCreateWithFlags(e, flags));
}

static bool open_bounce(hi_device *d, copy_queue *q)
{
    void *p = NULL;

    CUDA(d, "pinning a bounce buffer",
         cudaHostAlloc(&p, 2 * (size_t)BOUNCE_BYTES, cudaHostAllocDefault));
    q->bounce = p;
    if (!CUDA(d, "making a stream", cudaStreamCreateWithFlags(&q->stage, cudaStreamNonBlocking)))
        return false;
    for (int i = 0; i < PIECES; i++)
        if (!open_event(d, &q->piece[i].full, cudaEventDisableTiming) ||
            !open_event(d, &q->piece[i].empty, cudaEventDisableTiming))
            return false;
    return true;
}

bool queues_open(hi_device *d)
{
    for (int s = 0; s < DEV_STREAMS; s++) {
        copy_queue *q = &d->queue[s];
        if (!CUDA(d, "making a copy stream",
                  cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking)) ||
            !open_bounce(d, q))
            return false;
        for (int i = 0; i < EVENTS; i++)
            if (!open_event(d, &q->begin[i], cudaEventDefault) ||
                !open_event(d, &q->end[i], cudaEventDefault))
                return false;
    }
    return true;
}

static void close_event(cudaEvent_t e)
{
    if (e != NULL)
        (void)cudaEventDestroy(e);
}

void queues_close(hi_device *d)
{
    queues_drain(d);
    for (int s = 0; s < DEV_STREAMS; s++) {
        copy_queue *q = &d->queue[s];
        for (int i = 0; i < EVENTS; i++) {
            close_event(q->begin[i]);
            close_event(q->end[i]);
        }
        for (int i = 0; i < PIECES; i++) {
            close_event(q->piece[i].full);
            close_event(q->piece[i].empty);
        }
        if (q->bounce != NULL)
            (void)cudaFreeHost(q->bounce);
        if (q->stage != NULL)
            (void)cudaStreamDestroy(q->stage);
        if (q->stream != NULL)
            (void)cudaStreamDestroy(q->stream);
    }
}

void queues_drain(hi_device *d)
{
    for (int s = 0; s < DEV_STREAMS; s++) {
        const copy_queue *q = &d->queue[s];
        if (q->stage != NULL)
            cuda_check(d, cudaStreamSynchronize(q->stage), NAMES[s]);
        if (q->stream != NULL)
            cuda_check(d, cudaStreamSynchronize(q->stream), NAMES[s]);
    }
}

/* ---- times ---- */

static double seconds_between(hi_device *d, cudaEvent_t begin, cudaEvent_t end)
{
    float ms = 0;

    if (CUDA(d, "waiting for the device", cudaEventSynchronize(end)))
        CUDA(d, "reading a time", cudaEventElapsedTime(&ms, begin, end));
    return (double)ms * 1e-3;
}

/* Adds up copies until at most 'left' are not counted; waits for them. */
static void reap_copies(hi_device *d, copy_queue *q, uint64_t left)
{
    for (; q->started - q->reaped > left && !cuda_failed(d); q->reaped++) {
        uint64_t slot = (q->reaped + 1) % EVENTS;
        q->busy_s += seconds_between(d, q->begin[slot], q->end[slot]);
    }
}

static void reap_waits(hi_device *d, uint64_t left)
{
    for (; d->waits - d->waits_reaped > left && !cuda_failed(d); d->waits_reaped++) {
        uint64_t slot = (d->waits_reaped + 1) % EVENTS;
        d->stall_s += seconds_between(d, d->wait_begin[slot], d->wait_end[slot]);
    }
}

/* ---- a piece through the bounce buffer ---- */

static void copy_piece(void *arg)
{
    const bounce_piece *p = arg;
    memcpy(p->dst, p->src, p->bytes);
}

static void piece_to_device(hi_device *d, copy_queue *q, bounce_piece *p, unsigned char *half,
                            unsigned char *dst)
{
    p->dst = half;
    CUDA(d, NAMES[DEV_H2D], cudaLaunchHostFunc(q->stage, copy_piece, p));
    CUDA(d, NAMES[DEV_H2D], cudaEventRecord(p->full, q->stage));
    CUDA(d, NAMES[DEV_H2D], cudaStreamWaitEvent(q->stream, p->full, 0));
    CUDA(d, NAMES[DEV_H2D],
         cudaMemcpyAsync(dst, half, p->bytes, cudaMemcpyHostToDevice, q->stream));
    CUDA(d, NAMES[DEV_H2D], cudaEventRecord(p->empty, q->stream));
}

static void piece_to_host(hi_device *d, copy_queue *q, bounce_piece *p, unsigned char *half,
                          const unsigned char *src)
{
    p->src = half;
    CUDA(d, NAMES[DEV_D2H],
         cudaMemcpyAsync(half, src, p->bytes, cudaMemcpyDeviceToHost, q->stream));
    CUDA(d, NAMES[DEV_D2H], cudaEventRecord(p->full, q->stream));
    CUDA(d, NAMES[DEV_D2H], cudaStreamWaitEvent(q->stage, p->full, 0));
    CUDA(d, NAMES[DEV_D2H], cudaLaunchHostFunc(q->stage, copy_piece, p));
    CUDA(d, NAMES[DEV_D2H], cudaEventRecord(p->empty, q->stage));
}

/* Piece n uses the half that piece n - 2 has left. */
static void bounce(hi_device *d, dev_stream s, unsigned char *dst, const unsigned char *src,
                   int64_t bytes)
{
    copy_queue *q = &d->queue[s];

    for (int64_t at = 0; at < bytes && !cuda_failed(d); at += BOUNCE_BYTES) {
        uint64_t n = q->pieces++;
        bounce_piece *p = &q->piece[n % PIECES], *before = &q->piece[(n + PIECES - 2) % PIECES];
        unsigned char *half = q->bounce + n % 2 * BOUNCE_BYTES;
        int64_t left = bytes - at;
        CUDA(d, NAMES[s], cudaEventSynchronize(p->empty));   /* of piece n - PIECES: its job is ours */
        p->bytes = (size_t)(left < BOUNCE_BYTES ? left : BOUNCE_BYTES);
        p->dst = dst + at;
        p->src = src + at;
        CUDA(d, NAMES[s],
             cudaStreamWaitEvent(s == DEV_H2D ? q->stage : q->stream, before->empty, 0));
        if (s == DEV_H2D)
            piece_to_device(d, q, p, half, dst + at);
        else
            piece_to_host(d, q, p, half, src + at);
        if (s == DEV_D2H)            /* the copy is over when the store has it */
            CUDA(d, NAMES[s], cudaStreamWaitEvent(q->stream, p->empty, 0));
    }
}

void queue_upload(hi_device *d, unsigned char *dst, const void *src, int64_t bytes)
{
    copy_queue *q = &d->queue[DEV_H2D];

    for (int64_t at = 0; at < bytes && !cuda_failed(d); at += BOUNCE_BYTES) {
        uint64_t n = q->pieces++;
        cudaEvent_t left_half = q->piece[(n + PIECES - 2) % PIECES].empty;
        unsigned char *half = q->bounce + n % 2 * BOUNCE_BYTES;
        int64_t left = bytes - at;
        size_t size = (size_t)(left < BOUNCE_BYTES ? left : BOUNCE_BYTES);
        CUDA(d, NAMES[DEV_H2D], cudaEventSynchronize(left_half));
        memcpy(half, (const unsigned char *)src + at, size);
        CUDA(d, NAMES[DEV_H2D],
             cudaMemcpyAsync(dst + at, half, size, cudaMemcpyHostToDevice, q->stream));
        CUDA(d, NAMES[DEV_H2D], cudaEventRecord(q->piece[n % PIECES].empty, q->stream));
    }
}

/* ---- copies ---- */

static enum cudaMemcpyKind kind_of(dev_stream s)
{
    return s == DEV_H2D ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
}

/* One run of bytes, cut where the store's slabs end. */
static void copy_bytes(hi_device *d, dev_stream s, unsigned char *dst, const unsigned char *src,
                       int64_t bytes)
{
    const host_store *store = &d->store;
    int64_t host = (s == DEV_H2D ? src : dst) - store->base;

    for (int64_t at = 0; at < bytes && !cuda_failed(d);) {
        bool pinned;
        int64_t run = store_run(store, host + at, &pinned) - (host + at);
        if (run > bytes - at)
            run = bytes - at;
        if (pinned)
            CUDA(d, NAMES[s],
                 cudaMemcpyAsync(dst + at, src + at, (size_t)run, kind_of(s), d->queue[s].stream));
        else
            bounce(d, s, dst + at, src + at, run);
        at += run;
    }
}

/* Can all planes go in one call? Small ones must: a call costs more than they do. */
static bool in_one_call(const hi_device *d, dev_stream s, const dev_copy *c)
{
    const unsigned char *host = s == DEV_H2D ? c->src : c->dst;
    int64_t pitch = s == DEV_H2D ? c->src_pitch : c->dst_pitch, at = host - d->store.base;
    bool pinned;

    return c->planes > 1 && c->bytes < PLANE_BYTES && c->src_pitch <= d->memory_pitch &&
           c->dst_pitch <= d->memory_pitch &&
           store_run(&d->store, at, &pinned) >= at + (c->planes - 1) * pitch + c->bytes && pinned;
}

static void copy_planes(hi_device *d, dev_stream s, const dev_copy *c)
{
    if (in_one_call(d, s, c))
        CUDA(d, NAMES[s],
             cudaMemcpy2DAsync(c->dst, (size_t)c->dst_pitch, c->src, (size_t)c->src_pitch,
                               (size_t)c->bytes, (size_t)c->planes, kind_of(s), d->queue[s].stream));
    else
        for (int i = 0; i < c->planes; i++)
            copy_bytes(d, s, c->dst + i * c->dst_pitch, c->src + i * c->src_pitch, c->bytes);
}

/* The queue's next copy begins after all compute issued so far. */
static void wait_for_compute(hi_device *d, copy_queue *q)
{
    if (q->seen == d->issued)
        return;
    CUDA(d, "marking compute", cudaEventRecord(d->mark, d->compute));
    CUDA(d, "waiting for compute", cudaStreamWaitEvent(q->stream, d->mark, 0));
    q->seen = d->issued;
}

/* Is the copy of this number still in its slot? If not, it is over. */
static bool in_slot(const copy_queue *q, uint64_t event)
{
    return event > 0 && q->started - event < EVENTS;
}

/* What comes before a copy: it waits for compute, and for one of the other queue. */
static void begin_copy(hi_device *d, dev_stream s, uint64_t after)
{
    copy_queue *q = &d->queue[s];
    const copy_queue *other = &d->queue[!s];

    reap_copies(d, q, EVENTS - 1);
    wait_for_compute(d, q);
    if (in_slot(other, after)) {
        cudaEvent_t e = other->end[after % EVENTS];
        CUDA(d, NAMES[s], cudaStreamWaitEvent(q->stream, e, 0));
        CUDA(d, NAMES[s], cudaStreamWaitEvent(q->stage, e, 0));
    }
    CUDA(d, NAMES[s], cudaEventRecord(q->begin[(q->started + 1) % EVENTS], q->stream));
}

static uint64_t end_copy(hi_device *d, dev_stream s, int64_t bytes)
{
    copy_queue *q = &d->queue[s];
    uint64_t n = ++q->started;

    CUDA(d, NAMES[s], cudaEventRecord(q->end[n % EVENTS], q->stream));
    q->bytes += bytes;
    return n;
}

uint64_t dev_start(hi_device *d, dev_stream s, const dev_copy *c)
{
    begin_copy(d, s, c->after);
    copy_planes(d, s, c);
    return end_copy(d, s, c->planes * c->bytes);
}

void queue_gather(hi_device *d, void *x, const int *ids, int rows, int64_t row_bytes)
{
    const unsigned char *table = d->store.base + d->m->host[HI_H_EMBED].offset;

    begin_copy(d, DEV_H2D, 0);
    for (int i = 0; i < rows; i++)
        copy_bytes(d, DEV_H2D, (unsigned char *)x + i * row_bytes, table + ids[i] * row_bytes,
                   row_bytes);
    dev_wait(d, DEV_H2D, end_copy(d, DEV_H2D, rows * row_bytes));
}

void dev_wait(hi_device *d, dev_stream s, uint64_t event)
{
    copy_queue *q = &d->queue[s];

    if (!in_slot(q, event) || cudaEventQuery(q->end[event % EVENTS]) == cudaSuccess)
        return;
    reap_waits(d, EVENTS - 1);
    uint64_t n = ++d->waits;
    CUDA(d, "marking a wait", cudaEventRecord(d->wait_begin[n % EVENTS], d->compute));
    CUDA(d, "waiting for a copy", cudaStreamWaitEvent(d->compute, q->end[event % EVENTS], 0));
    CUDA(d, "marking a wait", cudaEventRecord(d->wait_end[n % EVENTS], d->compute));
    d->issued++;                     /* what is started later is behind the wait, too */
}

void dev_copy_stats(hi_device *d, hi_stats *s)
{
    for (int i = 0; i < DEV_STREAMS; i++)
        reap_copies(d, &d->queue[i], 0);
    reap_waits(d, 0);
    s->stall_s = d->stall_s;
    s->h2d_bytes = d->queue[DEV_H2D].bytes + d->gathered_bytes;
    s->d2h_bytes = d->queue[DEV_D2H].bytes;
    s->link_s = d->queue[DEV_H2D].busy_s;
}
