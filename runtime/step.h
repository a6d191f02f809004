/*
** step.h - what an emitted schedule may call: one function per step kind.
**
** A step returns nothing; the first failure sticks to the run and later steps do
** nothing. Every step is issued from the run's one thread; copies run beside it.
** The names and arguments are those of gen/steps.def.
*/
#ifndef STEP_H
#define STEP_H

#include "hi.h"

struct hi_run {
    int tiles;                       /* tiles that hold rows complete before this pass */
    int64_t turn;                    /* streamed tiles consumed so far: the ring's position */
    struct hi_state *in;             /* everything else: state.h */
};

/* Pass: look up this pass's tokens, fill the rotation table, start the first copies. */
void embed(hi_run *r);

/* Compute waits until the rows stored last have left the device. */
void await_store(hi_run *r);

/* Normalise, project q k v, rotate, append k and v to window or tails and to resident tiles. */
void norm_qkv(hi_run *r, int layer);

/* Starts the device-to-host copy of the layer's new rows. */
void store(hi_run *r, int layer);

/* Clears the running max, sum and output of the query rows of KV heads [head, head + n). */
void open_heads(hi_run *r, int layer, int head, int n);

/* Attention over the leading 'tiles' tiles, which are on the device. */
void attend_resident(hi_run *r, int layer, int head, int n, int tiles);

/* Compute waits until every copy into the slot that has been started is complete. */
void await(hi_run *r, int64_t slot);

/* Attention over streamed tile t in the slot. */
void attend(hi_run *r, int layer, int head, int n, int t, int64_t slot);

/* Releases the slot, turns the ring and starts the copies that now have room; beyond this
   pass only for layers before the group's, whose rows are stored. */
void refill(hi_run *r, int64_t slot, int group);

/* Attention over the rows past the last split that was complete before this pass. */
void attend_newest(hi_run *r, int layer, int head, int n);

/* Divides by the sum: attention output of these heads. */
void close_heads(hi_run *r, int layer, int head, int n);

/* Output projection, residual, normalise, feed-forward, residual. */
void out_mlp(hi_run *r, int layer);

/* Final norm and scores of the last row, or of all. */
void logits(hi_run *r);

/* Copies resident tiles [first, last) of the heads from the host store. */
void settle(hi_run *r, int layer, int head, int n, int first, int last);

#endif
