/*
** stream.c - a copy thread with a queue.
**
** The queue is a ring of jobs; head and tail are counted from the start, so the number of
** completed jobs is the newest event that is over. A limit on the rate is kept over pieces and
** from copy to copy: a piece that was faster than the link would have been is followed by a sleep,
** and a copy that was queued while the link was busy begins when that one should have been over,
** so that sleeps that last too long cost the link nothing. In checked builds the sleep comes first,
** so that nothing is there before its time.
*/
#include "stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE = 256, PIECE = 256 << 10, SPINS = 2000 };

typedef struct job {
    dev_copy copy;
    stream *other;
    int64_t queued;                  /* when */
} job;

struct stream {
    double gbps;
    const unsigned char *host, *host_end;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;          /* a job was queued, or completed, or the end is near */
    job queue[QUEUE];
    uint64_t queued;
    atomic_uint_fast64_t done;
    bool closing;
    atomic_int_fast64_t bytes, nanoseconds;
    int64_t free;                    /* when the link has carried all copies so far */
    uint64_t noise;                  /* HI_HARSH: state of the delays */
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t ns)
{
    struct timespec t = { ns / 1000000000, ns % 1000000000 };
    if (now_ns() >= ns)              /* even a sleep that is over costs a turn of the scheduler */
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

#ifdef HI_HARSH
/* Byte i of the host's allocation is kept xored with this, if copies read it. */
static unsigned char mask_of(uint64_t i)
{
    return (unsigned char)((i * 0x9e3779b97f4a7c15u >> 56) | 1);
}

static void copy_bytes(stream *s, unsigned char *dst, const unsigned char *src, size_t n)
{
    bool in = dst >= s->host && dst < s->host_end;
    bool out = src >= s->host && src < s->host_end;
    uint64_t at = (uint64_t)((in ? dst : src) - s->host);

    if (!in && !out) {
        memcpy(dst, src, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] ^ mask_of(at + i);
}

void stream_scramble(unsigned char *host, int64_t at, int64_t bytes)
{
    for (int64_t i = at; i < at + bytes; i++)
        host[i] ^= mask_of((uint64_t)i);
}

static const bool LATE = true;

static void delay(stream *s)
{
    s->noise = s->noise * 6364136223846793005u + 1442695040888963407u;
    if (s->noise >> 62 == 0)
        sleep_until(now_ns() + (int64_t)(s->noise >> 40 & 0x3ffff));
}
#else
static void copy_bytes(stream *s, unsigned char *dst, const unsigned char *src, size_t n)
{
    (void)s;
    memcpy(dst, src, n);
}

void stream_scramble(unsigned char *host, int64_t at, int64_t bytes)
{
    (void)host, (void)at, (void)bytes;
}

static const bool LATE = false;

static void delay(stream *s)
{
    (void)s;
}
#endif

/* One plane, in pieces, no faster than the link since 'start' when 'sent' bytes had gone. */
static void copy_plane(stream *s, const dev_copy *c, int plane, int64_t start)
{
    unsigned char *dst = c->dst + plane * c->dst_pitch;
    const unsigned char *src = c->src + plane * c->src_pitch;

    for (int64_t at = 0; at < c->bytes; at += PIECE) {
        int64_t n = c->bytes - at < PIECE ? c->bytes - at : PIECE;
        int64_t end = s->gbps > 0 ? (int64_t)((double)(plane * c->bytes + at + n) / s->gbps) : 0;
        if (LATE && end > 0)
            sleep_until(start + end);
        copy_bytes(s, dst + at, src + at, (size_t)n);
        if (!LATE && end > 0)
            sleep_until(start + end);
    }
}

/* When the link begins with the job: it was queued, what it waits for is over, the link is free. */
static int64_t link_start(const stream *s, const job *j, bool waited)
{
    int64_t ready = waited || s->gbps == 0 ? now_ns() : j->queued;
    return ready > s->free ? ready : s->free;
}

static void run_job(stream *s, const job *j)
{
    bool waits = j->copy.after > 0 && atomic_load(&j->other->done) < j->copy.after;
    int64_t bytes = j->copy.planes * j->copy.bytes;

    if (waits)
        stream_wait(j->other, j->copy.after, NULL);
    delay(s);
    int64_t began = now_ns(), start = link_start(s, j, waits);
    for (int i = 0; i < j->copy.planes; i++)
        copy_plane(s, &j->copy, i, start);
    if (s->gbps > 0)
        s->free = start + (int64_t)((double)bytes / s->gbps);
    atomic_fetch_add(&s->nanoseconds, now_ns() - began);
    atomic_fetch_add(&s->bytes, bytes);
}

/* The next job, or false at the end. */
static bool take_job(stream *s, job *j)
{
    pthread_mutex_lock(&s->lock);
    while (s->queued == atomic_load(&s->done) && !s->closing)
        pthread_cond_wait(&s->changed, &s->lock);
    bool any = s->queued > atomic_load(&s->done);
    if (any)
        *j = s->queue[atomic_load(&s->done) % QUEUE];
    pthread_mutex_unlock(&s->lock);
    return any;
}

static void *work(void *arg)
{
    stream *s = arg;
    job j;

    while (take_job(s, &j)) {
        run_job(s, &j);
        pthread_mutex_lock(&s->lock);
        atomic_fetch_add(&s->done, 1);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

stream *stream_open(double gbps, const unsigned char *host, int64_t host_bytes)
{
    stream *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->gbps = gbps;
    s->host = host;
    s->host_end = host + host_bytes;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, work, s) != 0) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
        free(s);
        return NULL;
    }
    return s;
}

void stream_close(stream *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

uint64_t stream_start(stream *s, stream *other, const dev_copy *c)
{
    pthread_mutex_lock(&s->lock);
    while (s->queued - atomic_load(&s->done) == QUEUE)
        pthread_cond_wait(&s->changed, &s->lock);
    s->queue[s->queued++ % QUEUE] = (job){ *c, other, now_ns() };
    uint64_t event = s->queued;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return event;
}

void stream_wait(stream *s, uint64_t event, double *stall)
{
    if (atomic_load(&s->done) >= event)
        return;
    int64_t start = now_ns();
    for (int i = 0; i < SPINS && atomic_load(&s->done) < event; i++)
        ;
    pthread_mutex_lock(&s->lock);
    while (atomic_load(&s->done) < event)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (stall != NULL)
        *stall += (double)(now_ns() - start) * 1e-9;
}

int64_t stream_bytes(const stream *s)
{
    return atomic_load(&s->bytes);
}

double stream_seconds(const stream *s)
{
    return (double)atomic_load(&s->nanoseconds) * 1e-9;
}
