/*
** device.h - what a device can do. One folder per target: cpu/device.c, cuda/device.c.
**
** A device owns the arena, the host's one allocation, one compute stream and two copy streams
** (host to device, device to host). Compute calls are issued in order and each sees the
** results of those before it. A copy starts after all compute issued before it; it may
** also be told to wait for an event of the other copy stream. Compute waits for copies
** only where dev_wait says so. Device to host never waits for the other, so that no two wait
** for each other. Pointers into the arena are device pointers: only the device reads them.
** Calls may return before their work is done; dev_finish and dev_scores wait for it.
**
** Weights are packed as the target likes (cpu: kern.h; cuda: rows as in the checkpoint).
** 'elements' are bf16 or float, as the program was generated.
*/
#ifndef DEVICE_H
#define DEVICE_H

#include "weights.h"

typedef struct hi_device hi_device;

/* Returns NULL with a message and the exit code that fits. */
hi_device *dev_open(const hi_model *m, const hi_options *o, int *code, char *err, size_t n);
void dev_close(hi_device *d);

unsigned char *dev_arena(hi_device *d);          /* arena_bytes */
unsigned char *dev_host(hi_device *d);           /* host_bytes of host memory, or NULL */
const char *dev_isa(const hi_device *d);         /* what computes: "avx512", "sm_90 NVIDIA H200" */
int dev_threads(const hi_device *d);             /* of the host that compute; 0: none */
/* What a user should know of how the device was opened; "" if nothing. */
const char *dev_note(const hi_device *d);
/* The first failure of a call, or of what an earlier call began; NULL: none so far. */
const char *dev_error(hi_device *d);
/* The arena is now laid out as these HI_BUFFERS say; checked builds fence the gaps. */
void dev_layout(hi_device *d, const hi_buffer *buffers);

int64_t dev_touched_bytes(const hi_device *d);   /* end of the last arena page ever written */

/* A weights_sink: rows of a tensor to their place on device or host. 'to' is the device. */
int dev_put_rows(void *to, const hi_tensor *t, int64_t row, int64_t n_rows, const void *elts);
/* Who may call it. */
weights_crew dev_crew(hi_device *d);
/* All tensors have been put: those on the host may be copied from now on. */
void dev_loaded(hi_device *d);

/* ---- copies ---- */

typedef enum { DEV_H2D, DEV_D2H, DEV_STREAMS } dev_stream;

/* 'planes' runs of 'bytes' bytes each, one pitch apart on either side. */
typedef struct dev_copy {
    unsigned char *dst;
    const unsigned char *src;
    int64_t dst_pitch, src_pitch, bytes;
    int planes;
    uint64_t after;                  /* event of the other stream to wait for; 0: none */
} dev_copy;

uint64_t dev_start(hi_device *d, dev_stream s, const dev_copy *c);   /* returns its event */
void dev_wait(hi_device *d, dev_stream s, uint64_t event);           /* compute waits */
void dev_copy_stats(hi_device *d, hi_stats *s);

/* ---- compute ---- */

/* A prompt, or a token, begins: its ids (n), read until dev_finish. */
void dev_begin(hi_device *d, const int32_t *ids, int64_t n);

/* Waits until all that was begun is done. */
void dev_finish(hi_device *d);

/* A pass of a prompt has been issued: waits until those before it are done, so that progress is
   what it says, and a cancel soon heard. */
void dev_pace(hi_device *d);

/* The token at 'pos' begins. True: it is under way, as a repetition of one before, and no step of it
   must be issued. False: they must, and then dev_token_issued. */
bool dev_token(hi_device *d, int64_t pos);
void dev_token_issued(hi_device *d);

/* x (rows, hidden) = embeddings, on device or host, of ids [first, first + rows) of dev_begin's,
   times EMBED_SCALE; 'ids' is room for them on the device. */
void dev_embed(hi_device *d, void *x, int32_t *ids, int64_t first, int rows);

/* 'n' floats of the arena, for the host to read until the next call. */
const float *dev_scores(hi_device *d, const float *p, int64_t n);

/* cs (rows, head_dim / 2, 2): cosines and sines of positions pos0 .. pos0 + rows - 1, times the
   model's rope_scale. */
void dev_rope_table(hi_device *d, float *cs, int64_t pos0, int rows);

typedef enum { DEV_STORE, DEV_ADD, DEV_F32 } dev_mode;     /* y =, y +=, y = in float */

/* y = or y += normalised x times w, (rows, hidden) elements; with NORM_OFFSET times 1 + w. */
void dev_rmsnorm(hi_device *d, void *y, const void *x, const void *w, int rows, dev_mode mode);

/* y (rows, n) from x (rows, k), rows x_stride elements apart, and packed w (n, k); bias (n)
   or NULL. Only columns [from, to) are asked for; DEV_STORE may give more, with the same bits.
   DEV_F32 is for scores: with FINAL_SOFTCAP y = cap tanh(y / cap). */
typedef struct dev_product {
    void *y;
    const void *x, *w, *bias;
    int64_t x_stride;
    int rows, n, k, from, to;
    dev_mode mode;
    hi_weights_type type;            /* of w */
    bool decode;                     /* the row class: of a decoded token, not of a prompt */
} dev_product;

void dev_matmul(hi_device *d, const dev_product *p);

/* Rows [row, row + rows) of the pass as contiguous rows: the first head's k to dst, its v v_offset
   bytes behind, the next head head_pitch on. */
typedef struct dev_run {
    unsigned char *dst;
    int64_t head_pitch, v_offset;
    int row, rows;
} dev_run;

enum { DEV_RUNS = 4 };

/* What follows the projection of qkv (rows, (heads + 2 kv_heads) head_dim): with QK_NORM every head
   of queries and keys is normalised; queries of rows from q_row on are rotated in place; k, rotated, and v of all rows go to every run that has them. cs
   has the rows' part of the rotation table. What qkv then holds of k is undefined. */
typedef struct dev_placing {
    void *qkv;
    const float *cs;
    const void *q_norm, *k_norm;     /* (head_dim) elements, or NULL without QK_NORM */
    int rows, q_row;
    int n_runs;
    dev_run run[DEV_RUNS];
} dev_placing;

void dev_place(hi_device *d, const dev_placing *p);

/* Copies within the device. */
void dev_move(hi_device *d, const dev_copy *c);

/* Attention of n KV heads of 'rows' tokens over a run of keys; kern.h has the numerics. */
typedef struct dev_attention {
    const void *q;                   /* token 0, first query head of the first KV head */
    int64_t q_stride;                /* elements between tokens */
    const unsigned char *k;          /* first head's rows; the next head_pitch bytes on */
    int64_t head_pitch, v_offset;
    int n, rows;
    int64_t key0, n_keys, pos0;
    int64_t window;                  /* keys that a row sees, its own included; 0: all before it */
    float *carry;                    /* (n, rows * gqa, head_dim) outputs, then (.., 2) max, sum */
    float *parts;                    /* room for one state per head, row and split, or NULL */
} dev_attention;

void dev_open_heads(hi_device *d, float *carry, int n, int rows);
void dev_attend(hi_device *d, const dev_attention *a);
/* o: token 0, first query head; o_stride elements between tokens. */
void dev_close_heads(hi_device *d, void *o, int64_t o_stride, const float *carry, int n, int rows);

/* Checked builds fill released memory with NaN, so that a stale read shows; others do nothing. */
void dev_poison(hi_device *d, void *p, int64_t bytes);

/* mlp (rows, 2 ffn): first half = act(first half) * second half. */
void dev_activate(hi_device *d, void *mlp, int rows);

#endif
