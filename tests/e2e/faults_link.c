/*
** faults_link.c - faults between runtime and link, by the linker's --wrap.
**
** FAULT chooses one: DROP a tile's copy, take a STALE one, or copy before what it reads is there
** (EARLY). dev_start is the runtime's only way to a copy; the copies counted are those that the
** ring starts. SLOW_STORE makes the device-to-host stream a thousand times slower than the other.
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

enum {
    VICTIM = 40,
    SLOWER = 1000
};

extern const hi_model hi_the_model;

uint64_t __real_dev_start(hi_device *d, dev_stream s, const dev_copy *c);
uint64_t __wrap_dev_start(hi_device *d, dev_stream s, const dev_copy *c);
stream *__real_stream_open(double gbps, const unsigned char *scrambled, int64_t scrambled_bytes);
stream *__wrap_stream_open(double gbps, const unsigned char *scrambled, int64_t scrambled_bytes);

uint64_t __wrap_dev_start(hi_device *d, dev_stream s, const dev_copy *c)
{
    static uint64_t started;
    static int n;
    dev_copy bad = *c;

    if (s != DEV_H2D)
        return __real_dev_start(d, s, c);
    n++;
    if (FAULT == DROP && n == VICTIM)
        return started;
    if (FAULT == STALE && n == VICTIM) /* the first tile is resident: there is one before */
        bad.src -= hi_the_model.tile * hi_the_model.head_dim * hi_the_model.elt;
    if (FAULT == EARLY)
        bad.after = 0;
    return started = __real_dev_start(d, s, &bad);
}

/* The device opens one stream for each direction, in the order of dev_stream. */
stream *__wrap_stream_open(double gbps, const unsigned char *scrambled, int64_t scrambled_bytes)
{
    static int n;

#ifdef SLOW_STORE
    if (n++ % DEV_STREAMS == DEV_D2H)
        gbps /= SLOWER;
#endif
    (void)n;
    return __real_stream_open(gbps, scrambled, scrambled_bytes);
}
