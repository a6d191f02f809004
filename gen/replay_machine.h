/*
** replay_machine.h - the model of the machine that replay_*.c share.
**
** The model holds no numbers, only which rows of what each buffer holds. Rows come in ascending
** order, so an interval says it; all heads of a layer are appended together, and all heads of a
** group are copied together, so a layer's or a group's state is enough. What the runtime does by
** itself is modelled as it stands there: the cursors of both rings, the copy stream's order, the
** stores that a copy from the host waits for, and the halves of 'x' that hidden states take in
*turn.
*/
#ifndef REPLAY_MACHINE_H
#define REPLAY_MACHINE_H

#include "replay.h"

#define ROWS "rows [%lld, %lld)"

typedef long long ll;

enum {
    REPLAY_CHUNKS = 4 /* of a scenario's longest prompt */
};

/* What the device and the host store hold of one layer, the same for all its heads. */
typedef struct layer_rows {
    int64_t stored;             /* rows [0, stored) are in the host store or on their way */
    int64_t kept;               /* rows [0, kept) were appended to the kept rows they are among */
    int64_t tail_lo, tail_hi;   /* rows in 'tails' */
    int64_t frame_lo, frame_hi; /* rows in 'frames' */
    int64_t near_lo, near_hi;   /* rows in 'near', of a layer that sees a window alone */
    bool settled;
} layer_rows;

typedef struct slot_rows {
    int group;      /* of the band of the pass it is for */
    int64_t at, hi; /* rows [at, hi) */
    bool for_next;  /* fetched for the pass after this one */
    bool awaited, read;
} slot_rows;

/* Hidden states of one chunk: in 'x', a half of it, or their rows of 'hidden'. */
typedef struct x_rows {
    int chunk;
    int layer; /* they are the input of this layer; -1: garbage */
} x_rows;

/* Chunk 'chunk' through panel 'panel'; a decoded token goes through all layers. */
typedef struct pass {
    int panel, chunk;
    int64_t pos, n;   /* rows [pos, pos + n) */
    int64_t complete; /* rows [0, complete) are whole splits */
    const hi_band *band;
    bool last;              /* the prompt's last chunk; a token is always */
    int layer_lo, layer_hi; /* its layers */
    int group_lo, group_hi; /* its band's groups whose tiles it needs */
} pass;

typedef struct machine {
    const hi_spec *s;
    const hi_plan *p;
    hi_error *e;
    replay_log *log; /* NULL: none is kept */
    bool every_tile;

    layer_rows *layer; /* (layers) */
    bool *closed;      /* (kv_heads) the current layer's closed groups */
    int *cycle;        /* (n_cycle) the streamed layers in order */
    int *cycle_of;     /* (layers) index in 'cycle', or -1 */
    int n_cycle;

    hi_phase phase;
    int64_t len;    /* tokens in the context before the prompt or token */
    int64_t prompt; /* rows of the prompt */
    int chunks;

    pass now, next; /* 'next': what the ring may fetch for */
    bool has_next;
    bool storing;                  /* a store may still read 'window' or 'tails' */
    x_rows x_of[REPLAY_CHUNKS];    /* 'hidden': by chunk; 'x': its halves */
    int host_layer[REPLAY_CHUNKS]; /* a chunk's rows on the host are this layer's input; or -1 */
    x_rows *x;                     /* this pass's */
    bool scored, sent;             /* steps 'logits', 'put_hidden' have been */
    int qkv_layer;                 /* 'qkv' and the appended rows are this layer's; -1: none */
    bool qkv_one;                  /* q of the prompt's last row alone */
    int window_layer;  /* 'window' holds this layer's rows from 'complete'; -1: garbage */
    int done_layer;    /* layers of this pass up to here are through */
    int n_released;    /* weight slots, in this pass */
    int open;          /* the group in 'carry', or -1 */
    bool touched;      /* attention over the open group has begun */
    int64_t carry_end; /* keys [0, carry_end) are in 'carry' */
    int n_closed;      /* KV heads closed in the current layer */

    slot_rows ring[MAX_SLOTS];
    int64_t issued, released; /* fetches; the ring's slot is their number mod slots */
    bool ahead;               /* the cursor walks the next pass's groups */
    int next_group;           /* the cursor */
    int64_t next_row;         /* -1: the group's first streamed row */

    int64_t w_issued, w_released; /* fetches of layers, since the start */
    bool w_arrived[MAX_WEIGHT_SLOTS];

    const char *where;
    const hi_step *list;
    int list_at, list_end, at; /* steps [list_at, list_end) of 'list', the one under way */
    int loop;                  /* the each_tile around 'at', or -1 */
    bool in_last;              /* between last_row and end_last_row */
    int64_t t;
} machine;

/* ---- replay.c ---- */

__attribute__((format(printf, 2, 3))) int hazard(machine *m, const char *fmt, ...);
void log_state(machine *m);
bool rolls(const machine *m, int l);  /* does the layer see a window alone? */
bool is_cut(const machine *m); /* does the last layer go on for the prompt's last row alone? */
int run_prompt(machine *m, int64_t n); /* n tokens from m->len on; at most REPLAY_CHUNKS chunks */
int run_tokens(machine *m, int n);     /* fewer where the context ends */
void begin_phase(machine *m, hi_phase phase);

/* The state as if passes had brought the context to 'len' tokens; next comes a prompt. */
void jump_to(machine *m, int64_t len);

/* ---- replay_ring.c ---- */

enum {
    ANY_LAYER = MAX_LAYERS,
    NO_LAYER = -1
};

void ring_reset(machine *m);
void ring_turn(machine *m); /* between two passes */
slot_rows *ring_slot(machine *m, int64_t copy);

/* Issues fetches while there is room; of another pass over these layers only up to 'limit', whose
   rows of this pass have been stored. */
int ring_fill(machine *m, int limit);

/* Is everything fetched and consumed that this pass needs? */
int ring_done(machine *m);

void weights_open(machine *m);
int weights_arrive(machine *m, int l);
int weights_ready(machine *m, int l); /* may compute read them? */
int weights_release(machine *m, int l);

/* ---- replay_step.c ---- */

/* Are the rows from the last whole split on in the window or the tails? */
bool newest_in_place(const machine *m, int l);

/* ---- replay_scenario.c ---- */

int run_scenarios(machine *m);

/* ---- replay_step.c, replay_attend.c: one function per kind of step; 0 or -1 ---- */

#define S(name, args, what) int replay_##name(machine *m, const hi_step *st);
#include "steps.def"
#undef S

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t split_floor(int64_t rows)
{
    return rows / KEY_SPLIT * KEY_SPLIT;
}

#endif
