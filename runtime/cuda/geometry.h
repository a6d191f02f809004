/*
** geometry.h - how the kernels of one shape are launched: threads, rows and keys of a block,
** shared memory. Included by kernels and host alike.
*/
#ifndef GEOMETRY_H
#define GEOMETRY_H

#include "shape.h"

/* What a model may have; numbers that need not be whole are tested in C, never by #if. */
#ifndef QUERY_SCALAR
#define QUERY_SCALAR HEAD_DIM        /* scores are scaled by its -0.5th power */
#endif
#ifndef ATTN_SOFTCAP
#define ATTN_SOFTCAP 0               /* scores = cap * tanh(scores / cap); 0: none */
#endif
#ifndef FINAL_SOFTCAP
#define FINAL_SOFTCAP 0              /* the same of the model's own scores */
#endif
#ifndef ATTN_WINDOW
#define ATTN_WINDOW 0                /* keys a row sees, its own included, in layers that have a
                                        window: attend_args.window; 0: none has */
#endif
#ifndef QK_NORM
#define QK_NORM 0                    /* 1: RMSNorm of every query and key head before rotation */
#endif
#ifndef NORM_OFFSET
#define NORM_OFFSET 0                /* 1: norms multiply by 1 + w, and round once */
#endif
#ifndef EMBED_SCALE
#define EMBED_SCALE 1                /* of the embedding */
#endif

#define ATTN_CAPPED (ATTN_SOFTCAP > 0)
#define ATTN_CAP ((float)(ATTN_CAPPED ? ATTN_SOFTCAP : 1))     /* also where none is: to divide by */
#define FINAL_CAPPED (FINAL_SOFTCAP > 0)
#define FINAL_CAP ((float)(FINAL_CAPPED ? FINAL_SOFTCAP : 1))

enum {
    KEY_SPLIT = 256,                 /* ORDER NUMERICS: gen.h */
    GQA = HEADS / KV_HEADS,
    QKV_COLS = (HEADS + 2 * KV_HEADS) * HEAD_DIM,

    /* Rows of shared memory are an odd number of 16-byte chunks apart: eight rows at one column,
       what ldmatrix reads at once, then lie in eight different banks. */
    SMEM_ROW = HEAD_DIM * 2 + 16,

    /* prefill attention: a block takes ATTEND_ROWS query rows of one KV head, a warp
       ATTEND_TILES times 16 of them, so that what it reads of K and V serves them all */
    ATTEND_TILES = HEAD_DIM > 128 ? 1 : 2,
    ATTEND_WARPS = HEAD_DIM > 128 ? 8 : 4,
    ATTEND_BLOCKS = HEAD_DIM > 128 ? 1 : 2, /* per multiprocessor, what registers allow */
    ATTEND_THREADS = 32 * ATTEND_WARPS,
    ATTEND_ROWS = 16 * ATTEND_TILES * ATTEND_WARPS,
    ATTEND_KEYS = HEAD_DIM > 96 ? 32 : 64,
    ATTEND_SMEM = (ATTEND_ROWS + 2 * ATTEND_KEYS) * HEAD_DIM * 2,

    /* the same on Hopper: one warp group that fetches, two of 64 rows each that compute */
    ATTEND_SM90 = HEAD_DIM == 64 || HEAD_DIM == 128, /* is there one for this shape? */
    ATTEND_SM90_ROWS = 128,
    ATTEND_SM90_KEYS = 128,
    ATTEND_SM90_THREADS = 3 * 128,
    ATTEND_SM90_STAGES = HEAD_DIM > 64 ? 2 : 4,      /* tiles of keys under way; of values */
    ATTEND_SM90_TILE = 128 * HEAD_DIM * 2,           /* bytes of 128 rows of q, k or v */
    ATTEND_SM90_SMEM = (1 + 2 * ATTEND_SM90_STAGES) * ATTEND_SM90_TILE + 1024,

    /* decode attention: a block takes 16 query rows of one KV head and one split, each warp its
       share of the keys. They stream through the warp's own ring of PART_UNITS units of 16 keys:
       blocks of some 75 KB, three to a multiprocessor of 228 KB, one to 100 KB. */
    PART_WARPS = 4,
    PART_THREADS = 32 * PART_WARPS,
    PART_ROWS = 16,
    PART_KEYS = KEY_SPLIT / PART_WARPS,
    PART_UNIT = 16,
    PART_UNITS = HEAD_DIM > 128 ? 2 : HEAD_DIM > 64 ? 4 : 8,
    PART_SMEM = (PART_ROWS + PART_WARPS * PART_UNITS * PART_UNIT) * SMEM_ROW,
    PART_BLOCKS = HEAD_DIM > 128 ? 2 : 3,        /* on a multiprocessor, for registers */

    /* merge of the parts: a block takes a row, a thread a column */
    MERGE_THREADS = (HEAD_DIM + 31) / 32 * 32,
    MERGE_BATCH = 32,                /* parts at a time: one for each lane */
    MERGE_GROUP = 8,                 /* of a batch, passed over where all are behind the last */

    /* kernels over rows */
    ROW_THREADS = 256,
    ROW_CHUNKS = HIDDEN / 8,         /* of 16 bytes */
    ROPE_THREADS = 128,
    NORM_CHUNKS = (ROW_CHUNKS + ROW_THREADS - 1) / ROW_THREADS,    /* of a thread, in registers */
    NORM_SMEM = ROW_THREADS / 32 * 4,

    /* A head takes so many lanes, a power of two: a lane has 8 elements of its first half and
       the 8 they are paired with. */
    PLACE_LANES = HEAD_DIM > 128 ? 16
                  : HEAD_DIM > 64 ? 8
                  : HEAD_DIM > 32 ? 4
                  : HEAD_DIM > 16 ? 2 : 1,
    PLACE_HEADS = ROW_THREADS / PLACE_LANES,     /* of a row at a time */

    ACTIVATE_THREADS = 256,
    ACTIVATE_BLOCKS = (FFN / 8 + ACTIVATE_THREADS - 1) / ACTIVATE_THREADS,     /* of a row */

    CLOSE_THREADS = 128,
    CLOSE_ROWS = 8,                  /* of a block */

    /* products of a few rows: a block takes PRODUCT_COLS columns, few enough for 4096 of them to
       fill a device; or more, so that x, which every block reads, costs less where it has many
       rows. Its warps take pieces of k in turns, which come through the warp's own ring: blocks of
       64 KB, three to a multiprocessor of 228 KB, one to 100 KB. */
    PRODUCT_ROWS = 16,
    PRODUCT_COLS = 16,
    PRODUCT_WIDE_COLS = 32,
    PRODUCT_WIDE_FROM = 5,           /* rows, and */
    PRODUCT_WIDE_LEAST = 4096,       /* columns, from which on that is better */
    PRODUCT_WARPS = 8,               /* that the bits hang on, and on the piece */
    PRODUCT_THREADS = 32 * PRODUCT_WARPS,
    PRODUCT_PIECE = 64,              /* elements: 128 bytes of a row */
    PRODUCT_RING = 8 << 10,          /* of a warp: pieces of all its columns, four or two */
    PRODUCT_SMEM = PRODUCT_WARPS * PRODUCT_RING,
    PRODUCT_BLOCKS = 3,              /* on a multiprocessor, for registers */
    PRODUCT_WIDE_BLOCKS = 2
};

#endif
