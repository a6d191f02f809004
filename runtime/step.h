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
    int chunks;                      /* of the prompt under way */
    int band;                        /* of the pass under way: index in hi_model.band */
    bool last;                       /* this is the prompt's last chunk; in decode always */
    int64_t complete;                /* rows of splits complete before this pass: what tiles hold */
    int64_t turn;                    /* streamed tiles consumed so far: the ring's position */
    struct hi_state *in;             /* everything else: state.h */
};

/* ---- around the steps of a prefill pass: chunk 'chunk' through the layers of panel 'panel' ---- */

/* Sets 'band', 'last' and 'complete'. */
void begin_pass(hi_run *r, int panel, int chunk);

/* Tells who watches. */
void end_pass(hi_run *r);

/* ---- steps ---- */

/* Pass: look up this pass's tokens, fill the rotation table, start the first copies; where hidden
   states wait on the host, start fetching the next pass's. */
void embed(hi_run *r);

/* Pass of a later panel: the rotation table, the first copies; where hidden states wait on the
   host, compute waits for this pass's and the next pass's start. */
void take_hidden(hi_run *r);

/* Compute waits until the layer's weights are in their slot. */
void await_weights(hi_run *r, int layer);

/* Compute waits until the rows stored last have left the device. */
void await_store(hi_run *r);

/* Normalise, project q k v, rotate, append k and v to window or tails and to resident rows. */
void norm_qkv(hi_run *r, int layer);

/* The same where only the prompt's last row goes on: k and v of all rows, q of that row. */
void norm_kv(hi_run *r, int layer);

/* Starts the device-to-host copy of the layer's new rows. */
void store(hi_run *r, int layer);

/* Is this the prompt's last pass? Then the steps that follow are for its last row alone, to the
   end of the pass. */
bool last_row(hi_run *r);

/* Clears the running max, sum and output of the query rows of KV heads [head, head + n). */
void open_heads(hi_run *r, int layer, int head, int n);

/* Attention over the leading 'rows' rows, which are on the device. */
void attend_resident(hi_run *r, int layer, int head, int n, int64_t rows);

/* Attention over the rows of the layer's window that lie in complete splits. */
void attend_near(hi_run *r, int layer, int head, int n);

/* Compute waits until every copy into the slot that has been started is complete. */
void await(hi_run *r, int64_t slot);

/* Attention over the streamed tile whose first row is 'at', in the slot. */
void attend(hi_run *r, int layer, int head, int n, int64_t at, int64_t slot);

/* Releases the slot, turns the ring and starts the copies that now have room; of the next pass
   only those whose rows are stored. 'group' indexes the band's ring. */
void refill(hi_run *r, int64_t slot, int group);

/* Attention over the rows past the last split that was complete before this pass. */
void attend_newest(hi_run *r, int layer, int head, int n);

/* Divides by the sum: attention output of these heads. */
void close_heads(hi_run *r, int layer, int head, int n);

/* Output projection, residual; then 'rows' rows at a time: normalise, feed-forward, residual. */
void out_mlp(hi_run *r, int layer, int rows);

/* The pass's newest rows take the place of older ones among those that the layer's window keeps. */
void keep_near(hi_run *r, int layer);

/* Releases the layer's weight slot and starts the copies that now have room. */
void refill_weights(hi_run *r, int layer);

/* The same after the prompt's last chunk; before, the weights stay for the next chunk. */
void retire_weights(hi_run *r, int layer);

/* Starts the device-to-host copy of the pass's hidden states. */
void put_hidden(hi_run *r);

/* Final norm and scores: of all rows with --logits all, else of the prompt's last row, in its last
   pass alone. */
void logits(hi_run *r);

/* Copies resident rows [first, last) of all KV heads of the layer from the host store. */
void settle(hi_run *r, int layer, int64_t first, int64_t last);

#endif
