/*
** stream.h - a copy thread with a queue: what a GPU's copy engine is to the cuda target.
**
** Copies run in the order in which they were started. Each has an event, its number in
** that order, counted from 1; event e is over when e copies are complete.
*/
#ifndef STREAM_H
#define STREAM_H

#include "../device.h"

typedef struct stream stream;

/*
** gbps    bytes per nanosecond at most; 0: no limit
** host, host_bytes  the host's allocation: a checked build (HI_HARSH) keeps what is copied to
**         and from it scrambled, so that nothing else can read it, and delays copies at random
** Returns NULL when out of memory or threads.
*/
stream *stream_open(double gbps, const unsigned char *host, int64_t host_bytes);
void stream_close(stream *s);

/* Bytes [at, at + bytes) of 'host' were written directly: scrambles them in a checked build. */
void stream_scramble(unsigned char *host, int64_t at, int64_t bytes);

/* Queues a copy that first waits for event c->after of 'other'; blocks while the queue is full. */
uint64_t stream_start(stream *s, stream *other, const dev_copy *c);

/* Returns when the event is over; adds the seconds spent waiting to *stall, if not NULL. */
void stream_wait(stream *s, uint64_t event, double *stall);

int64_t stream_bytes(const stream *s);           /* copied so far */
double stream_seconds(const stream *s);          /* spent copying */

#endif
