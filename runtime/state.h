/*
** state.h - the inside of a run, shared by the files that implement its steps.
*/
#ifndef STATE_H
#define STATE_H

#include <stdatomic.h>
#include "device.h"
#include "step.h"

/* What hi_prefill was given. */
typedef struct prompt_state {
    int64_t base, n;                 /* rows of the sequence before it; its own */
} prompt_state;

/* One pass: 'n' rows from 'pos' on through the layers of one panel, in decode through all. */
typedef struct pass_state {
    int panel, chunk, number;        /* in prefill; number: passes of the prompt before this one */
    int64_t pos;
    int n;
    int first;                       /* rows before it are done: n - 1 behind last_row, else 0 */
} pass_state;

/* What of a pass the ring's cursor needs. */
typedef struct ring_pass {
    const hi_band *band;
    int64_t complete;                /* rows of splits complete before the pass */
    int layer, layer_end;            /* layers that attend to streamed tiles */
} ring_pass;

/* Where the ring's next copy comes from: groups in order, tiles in order, then the next pass. */
typedef struct ring_cursor {
    int64_t issued;                  /* copies started so far; minus turn: in flight or unread */
    ring_pass pass;                  /* the one the cursor is in */
    bool ahead;                      /* that is the pass after the one under way */
    int group;
    int64_t row;                     /* first row of the next tile; -1: the group's first */
} ring_cursor;

/* The ring of layers: streamed ones in ascending order, again and again. */
typedef struct weight_ring {
    int *cycle;                      /* (n) streamed layers */
    int *place;                      /* (layers) index in 'cycle'; -1: resident */
    int n;
    int64_t issued, turn;            /* copies started; layers released */
    uint64_t *filled;                /* (weight_slots) event of the last copy into each slot */
} weight_ring;

struct hi_state {
    const hi_model *m;
    hi_device *dev;
    unsigned char *arena, *host;
    hi_phase phase;
    int64_t length;                  /* tokens in the sequence, those of the prompt under way not
                                        included */
    prompt_state prompt;
    pass_state pass;
    hi_watch *watch;                 /* NULL: nobody */
    void *watch_arg;
    ring_cursor ring;
    weight_ring weights;
    uint64_t *filled;                /* (slots) event of the last copy into each slot */
    uint64_t *stored;                /* (layers) event of the last store of each layer */
    uint64_t last_store;             /* of all layers */
    uint64_t put[2], last_put;       /* of hidden states: out of each half of x, of both */
    uint64_t fetched;                /* of hidden states: the next pass's */
    uint64_t last_copy[DEV_STREAMS]; /* of any kind */
    int64_t *kept_at;                /* (layers) first kept row of the layer, bytes */
    int64_t *frames_at;              /* likewise in 'frames' */
    int64_t *near_at, *tails_at;     /* likewise in 'near' and 'tails' */
    int64_t *store_at;               /* (layers) the layer's place among those in the store */
    int64_t near_from;               /* rows of windows from here to the length are in 'near' */
    hi_stats stats;
    atomic_bool cancelled;
    bool failed;
    char error[512];
};

/* ---- sizes ---- */

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int qkv_cols(const hi_model *m)
{
    return (m->heads + 2 * m->kv_heads) * m->head_dim;
}

static inline int64_t row_bytes(const hi_model *m)   /* of one head's k (or v) row */
{
    return (int64_t)m->head_dim * m->elt;
}

/* ---- run.c ---- */

/* Keeps the first failure; returns -1. */
int run_fail(hi_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* May steps go on? Notices a cancel. */
bool run_ok(hi_run *r);

/* A phase's buffer in the arena; its use counts towards the peak. */
unsigned char *run_buffer(hi_run *r, int id);

/* A buffer of the host. */
unsigned char *run_host(hi_run *r, int id);

/* Starts a copy; returns its event. */
uint64_t run_copy(hi_run *r, dev_stream s, const dev_copy *c);

/* ---- pass.c ---- */

/* Rows of splits complete before row 'pos', and the band of a pass that begins there. */
int64_t complete_before(const hi_model *m, int64_t pos);
int band_of(const hi_model *m, int64_t complete);

/* Row and rows of a chunk of the prompt. */
int64_t chunk_pos(const hi_run *r, int chunk);
int chunk_rows(const hi_run *r, int chunk);

/* ---- kv.c: keys and values ---- */

/* Rows of one layer from a position on: k of the first head, its v one plane on, then the next
   head's. */
typedef struct kv_rows {
    unsigned char *k;
    int64_t plane;                   /* bytes */
    int64_t end;                     /* up to here they lie one after the other */
} kv_rows;

/* Row 'pos' of the store: k of (layer, head); its v and the next heads lie one plane on each. */
unsigned char *store_row(hi_run *r, int layer, int head, int64_t pos);

kv_rows resident_rows(hi_run *r, int layer, int64_t pos);    /* in the present phase */
kv_rows newest_rows(hi_run *r, int layer, int64_t pos);      /* window or tails */
kv_rows near_rows(hi_run *r, int layer, int64_t pos);        /* of a layer with a window */

/* Rotates the pass's queries from row q_row on and its keys; new rows of k and v go into window or
   tails, and where they stay on the device. */
void place_rows(hi_run *r, int layer, int q_row);

/* The tails hold rows from the last complete split on: brings those of the length back. */
void restore_tails(hi_run *r);

/* Rows up to 'end' have been written, or may have been. */
void near_reaches(hi_run *r, int64_t end);

/* ---- hidden.c ---- */

/* Hidden states of the pass's rows from its active first on. */
unsigned char *hidden_states(hi_run *r);
int active_rows(const hi_run *r);

/* ---- ring.c: tiles ---- */

void ring_reset(hi_run *r);          /* forget copies ahead; first slot next */
void ring_begin(hi_run *r);          /* a pass begins: the cursor's next pass is this one */
unsigned char *ring_slot(hi_run *r, int64_t slot);
int64_t ring_slot_bytes(const hi_model *m);

/* ---- weight_ring.c ---- */

int weights_place(hi_run *r);        /* tables; 0, or -1 when out of memory */
void weights_free(hi_run *r);
void weights_start(hi_run *r);       /* first copies, once everything is loaded */

/* Where the layer's parts are now. */
const unsigned char *layer_weights(hi_run *r, int layer);

#endif
