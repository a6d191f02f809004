/*
** state.h - the inside of a run, shared by run.c, ring.c and steps.c.
*/
#ifndef STATE_H
#define STATE_H

#include <stdatomic.h>
#include "device.h"
#include "step.h"

/* Where the ring's next copy comes from: groups in order, tiles in order, then the next pass. */
typedef struct ring_cursor {
    int64_t issued;                  /* copies started so far; minus turn: in flight or unread */
    int group, tile;
    bool next_pass;                  /* the cursor has left this pass */
    bool placed;                     /* 'tile' is valid for 'group' */
} ring_cursor;

struct hi_state {
    const hi_model *m;
    hi_device *dev;
    unsigned char *arena, *store;    /* device and host */
    hi_phase phase;
    int64_t length;                  /* tokens in the sequence, this pass's not included */
    int n;                           /* rows of this pass */
    int64_t complete;                /* rows of splits complete before this pass */
    bool more;                       /* another pass of this phase follows */
    const int32_t *ids;                  /* (n) of this pass; borrowed */
    ring_cursor ring;
    uint64_t *filled;                /* (slots) event of the last copy into each slot */
    uint64_t *stored;                /* (layers) event of the last store of each layer */
    uint64_t last_store;             /* event of the last store of all */
    int64_t *kept_at;                /* (layers * kv_heads) first kept frame of the entry, bytes */
    int64_t *frames_at;              /* likewise in 'frames' */
    int *resident;                   /* (2, layers * kv_heads) leading tiles by phase */
    hi_stats stats;
    atomic_bool cancelled;
    bool failed;
    char error[512];
};

/* Keeps the first failure; returns -1. */
int run_fail(hi_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* May steps go on? Notices a cancel. */
bool run_ok(hi_run *r);

/* Bytes of one head's k (or v) row. */
int64_t row_bytes(const hi_model *m);

/* A phase's buffer in the arena; its use counts towards the peak. */
unsigned char *run_buffer(hi_run *r, int id);

/* Row 'pos' of the store: k of (layer, head); its v and the next heads lie one plane on each. */
unsigned char *store_row(hi_run *r, int layer, int head, int64_t pos);

/* Frame of an entry's resident tile t in the present phase: k rows, then v rows. */
unsigned char *run_frame(hi_run *r, int layer, int head, int t);

/* ---- ring.c ---- */

void ring_reset(hi_run *r);          /* forget copies ahead; first slot next */
void ring_begin(hi_run *r);          /* a pass begins: the cursor's next pass is this one */
void ring_pump(hi_run *r, int before_layer);   /* start copies while there is room */

#endif
