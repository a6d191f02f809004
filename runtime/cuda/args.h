/*
** args.h - what each kernel is given: one struct, the same for nvcc, NVRTC, the emulation and the
** host, which is C.
**
** Elements are bf16. Strides in elements, pitches and offsets in bytes, positions in tokens. Where
** a struct has 'pos' and it is not NULL, the word it points to on the device replaces 'pos0': a
** recorded graph then serves every token.
*/
#ifndef ARGS_H
#define ARGS_H

#ifndef __cplusplus
#include <stdalign.h>
#endif

typedef long long i64;

/* x (rows, HIDDEN) = rows of 'table' (VOCAB, HIDDEN), which may be pinned host memory, times
   EMBED_SCALE. */
typedef struct embed_args {
    void *x;
    const void *table;
    const int *ids;                  /* (rows) */
    int rows;
} embed_args;

enum { MOST_FREQUENCIES = 128 };     /* head_dim / 2 at most */

/* cs (rows, HEAD_DIM / 2, 2): cosine and sine of the float product (pos0 + row) * freq[i], times
   'scale'. */
typedef struct rope_args {
    float *cs;
    i64 pos0;
    const i64 *pos;
    int rows;
    float scale;
    float freq[MOST_FREQUENCIES];
} rope_args;

/* y (rows, HIDDEN) = round(round(x * rsqrt(mean(x^2) + eps)) * w), or with NORM_OFFSET
   round(x * rsqrt(mean(x^2) + eps) * (1 + w)); or 'add': round(y + that). y may equal x. */
typedef struct norm_args {
    void *y;
    const void *x, *w;               /* w (HIDDEN) */
    int rows;
    float eps;
    int add;
} norm_args;

/* Where new rows go: k of token 'row' of the pass, first KV head, to dst; its v v_offset behind;
   the next row HEAD_DIM elements on, the next head head_pitch. */
typedef struct place_run {
    unsigned char *dst;
    i64 head_pitch, v_offset;
    int row, rows;
} place_run;

enum { MOST_RUNS = 4 };

/* Rotates q in place and sends k, rotated, and v to every run that has their row. qkv (rows, (HEADS
   + 2 KV_HEADS) HEAD_DIM); its k and v are left as they were. */
typedef struct place_args {
    void *qkv;
    const float *cs;                 /* (rows, HEAD_DIM / 2, 2) */
    const void *q_norm, *k_norm;     /* (HEAD_DIM), where QK_NORM */
    float eps;                       /* of those norms */
    int rows;
    int q_row;                       /* queries of rows before it are not wanted */
    int n_runs;
    place_run run[MOST_RUNS];
    const i64 *pos;                  /* not NULL: dst is moved on by *pos rows */
} place_args;

/* Attention of n KV heads over a run of keys. Row i of a KV head = token i / GQA, query head
   i % GQA of its group; a row at pos0 + i / GQA sees keys at positions <= its own. */
typedef struct attend_args {
    const void *q;                   /* token 0, first query head of the first KV head */
    i64 q_stride;                    /* between tokens; query heads lie HEAD_DIM apart */
    const unsigned char *k;          /* first KV head's rows (n_keys, HEAD_DIM), contiguous */
    i64 head_pitch, v_offset;        /* next KV head; v of the same head */
    i64 key0, n_keys;                /* the first key's position, a multiple of 256; with 'pos':
                                        keys at most */
    i64 pos0;
    const i64 *pos;
    i64 window;                      /* keys that a row sees, its own included; 0: all before it.
                                        Not 0 only where ATTN_WINDOW is not */
    int n, rows;                     /* KV heads; tokens */
    int fresh;                       /* the state is empty: do not read it */
    float scale_log2;                /* log2(e) / sqrt(QUERY_SCALAR) */
    float *o;                        /* state: (n, rows * GQA, HEAD_DIM) output, not yet divided */
    float *ml;                       /* (n, rows * GQA, 2): max of scores times log2(e), sum */
    float *part_o, *part_ml;         /* decode: (n, splits, rows * GQA, ..) likewise */
    int splits;                      /* the launch's, of KEY_SPLIT keys each */
} attend_args;

/* o = round(state output / sum): token 0, first query head; o_stride between tokens. */
typedef struct close_args {
    void *out;
    i64 out_stride;
    const float *o, *ml;             /* as in attend_args */
    int n, rows;
} close_args;

/* mlp (rows, 2 FFN): first half = round(round(act(first half)) * second half). */
typedef struct activate_args {
    void *mlp;
    int rows;
    int gelu;                        /* tanh form; else SiLU */
} activate_args;

/* y (rows, n) from x (rows, k) and w (n, k), columns [from, to): as dev_product says, but for one
   rounding where y is added to, and FINAL_SOFTCAP where mode is PRODUCT_F32. k is a multiple of
   8. */
typedef struct product_args {
    void *y;
    const void *x, *w, *bias;        /* rows of x and w begin at multiples of 16 bytes */
    i64 x_stride;
    int rows, n, k, from, to;
    int mode;
} product_args;

enum { PRODUCT_STORE, PRODUCT_ADD, PRODUCT_F32 };

/* A matrix stack as the copy engine sees it: filled by tensor_map.c, opaque to all else. */
typedef struct tensor_map {
    alignas(128) unsigned char opaque[128];
} tensor_map;

/* attend_args where the kernel has the copy engine fetch k and v, of 'attend' unused. 'pos' is
   NULL, and n_keys is at least 1. */
typedef struct attend_sm90_args {
    tensor_map k, v;
    attend_args attend;
} attend_sm90_args;

#endif
