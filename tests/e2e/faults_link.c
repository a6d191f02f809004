/*
** faults_link.c - faults between runtime and link, by the linker's --wrap.
**
** FAULT chooses one: DROP the VICTIM-th copy to the device, take a STALE one (tiles: the one
** before), or copy before what it reads is there (EARLY). Counted are copies FROM one buffer of the
** host. dev_start is the runtime's only way to a copy. SLOW_STORE makes the device-to-host stream a
** thousand times slower than the other.
*/
#include "device.h"
#include "stream.h"

enum {
    NONE,
    DROP,
    STALE,
    EARLY
};

#ifndef FAULT
#define FAULT NONE
#endif

#ifndef FROM
#define FROM HI_H_KV
#endif
#ifndef VICTIM
#define VICTIM 40
#endif

enum {
    SLOWER = 1000
};

extern const hi_model hi_the_model;

uint64_t __real_dev_start(hi_device *d, dev_stream s, const dev_copy *c);
uint64_t __wrap_dev_start(hi_device *d, dev_stream s, const dev_copy *c);
stream *__real_stream_open(double gbps, const unsigned char *host, int64_t host_bytes);
stream *__wrap_stream_open(double gbps, const unsigned char *host, int64_t host_bytes);

static bool counts(hi_device *d, const dev_copy *c)
{
    const hi_buffer *from = &hi_the_model.host[FROM];
    const unsigned char *first = dev_host(d) + from->offset;
    return c->src >= first && c->src < first + from->bytes;
}

uint64_t __wrap_dev_start(hi_device *d, dev_stream s, const dev_copy *c)
{
    static uint64_t started;
    static int n;
    dev_copy bad = *c;

    if (s != DEV_H2D || !counts(d, c))
        return __real_dev_start(d, s, c);
    n++;
    if (FAULT == DROP && n == VICTIM)
        return started;
    if (FAULT == STALE && n == VICTIM) /* the first tile is resident: there is one before */
        bad.src -= c->dst_pitch;
    if (FAULT == EARLY)
        bad.after = 0;
    return started = __real_dev_start(d, s, &bad);
}

/* The device opens one stream for each direction, in the order of dev_stream. */
stream *__wrap_stream_open(double gbps, const unsigned char *host, int64_t host_bytes)
{
    static int n;

#ifdef SLOW_STORE
    if (n++ % DEV_STREAMS == DEV_D2H)
        gbps /= SLOWER;
#endif
    (void)n;
    return __real_stream_open(gbps, host, host_bytes);
}
