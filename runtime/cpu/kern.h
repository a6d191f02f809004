/*
** kern.h - the serial kernels of the cpu target, one table per instruction set.
**
** Compiled once per shape: shape.h gives HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN,
** VOCAB and HI_F32 (1: elements are float; 0: elements are bf16). Threads, arena
** and order of calls are the caller's (device.c).
**
** The bits. Every function is row-invariant: what it computes for one row depends
** on that row's inputs alone, never on how many rows or columns a call covers, how
** they are cut into calls, or which thread makes it. Products add over k in one
** fixed order per instruction set. Results of different instruction sets may differ.
**
** Subnormals. The dot products of amx (tdpbf16ps), avx512bf16 (vdpbf16ps) and neonbf16 (bfdot)
** take subnormal elements and sums for 0 and give 0 for subnormal results, whatever modes the
** process has set: a product misses its terms of subnormal elements and, for each of its k terms,
** at most 2^-125. bfdot also rounds to odd, with errors of up to a unit, not half of one. All else
** computes with subnormals as IEEE 754 has it, but for probabilities, 0 below 2^-126.
*/
#ifndef KERN_H
#define KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shape.h"

/* What a shape that says nothing of them has. */
#ifndef QUERY_SCALAR
#define QUERY_SCALAR HEAD_DIM        /* scores are scaled by its -0.5th power */
#endif
#ifndef ATTN_SOFTCAP
#define ATTN_SOFTCAP 0               /* scores = cap * tanh(scores / cap); 0: none */
#endif
#ifndef FINAL_SOFTCAP
#define FINAL_SOFTCAP 0              /* the same for the scores of tokens */
#endif
#ifndef ATTN_WINDOW
#define ATTN_WINDOW 0                /* keys that rows of some layers see; 0: there are no such */
#endif
#ifndef QK_NORM
#define QK_NORM 0                    /* 1: RMSNorm of every query and key head before rotation */
#endif
#ifndef NORM_OFFSET
#define NORM_OFFSET 0                /* 1: weights of norms are stored minus 1 */
#endif
#ifndef EMBED_SCALE
#define EMBED_SCALE 1                /* of embeddings */
#endif

#if HI_F32
typedef float elt;
#else
typedef uint16_t elt;                /* bf16 */
#endif

enum {
    KEY_BLOCK = 128,                 /* ORDER NUMERICS: gen.h */
    KEY_SPLIT = 256,
    PANEL = 64,
    GQA = HEADS / KV_HEADS           /* query rows per token and KV head */
};

/*
** Packed weights of a product y = x W^T, W of shape (n, k): panels of PANEL output columns,
**     bf16  [ceil(n / PANEL)][k / 2][PANEL][2]     k even
**     f32   [ceil(n / PANEL)][k][PANEL]
** Columns past n in the last panel are zero. Same layout for every instruction set.
*/
typedef enum {
    MM_STORE,                        /* y = round(acc + bias), elements */
    MM_ADD,                          /* y = round(y + round(acc + bias)), elements */
    MM_F32                           /* y = acc, capped by FINAL_SOFTCAP; floats (scores) */
} mm_mode;

typedef enum {                       /* ORDER WEIGHTS: hi.h */
    KERN_PLAIN,                      /* elements, packed as above */
    KERN_Q8, KERN_Q4                 /* kern_quant.h */
} kern_type;

typedef struct kern_matmul {
    const elt *x;                    /* (m, k), rows x_stride elements apart */
    const elt *w;                    /* packed (n, k), of 'type' */
    const elt *bias;                 /* (n) or NULL */
    void *y;                         /* (m, n), rows y_stride elements (floats) apart */
    int64_t x_stride, y_stride;
    int m, n, k;
    mm_mode mode;
    kern_type type;
} kern_matmul;

/*
** Attention of one KV head: the GQA query heads that share it, over a run of keys.
**
** Row i = token i / GQA, query head i % GQA of the group; a row at position
** pos0 + i / GQA sees keys at positions <= its own. Keys advance in blocks of
** KEY_BLOCK at absolute positions with a running (max, sum, output) in fp32, anew
** for every split of KEY_SPLIT keys; a split's part is then merged into the row's
** carry. Blocks of finite keys and values past a row's position change nothing, to
** the bit. Memory past n_keys rows of k and v is never read and may hold anything,
** NaN included.
** Probabilities are rounded to elements before they meet v; the sum is of the
** unrounded ones. Scores are scaled by 1/sqrt(QUERY_SCALAR), then capped. With a
** window a row sees its own key and those of the window - 1 positions before it;
** blocks before that change nothing either, to the bit, whatever finite rows they hold.
**
** Source: online softmax, Milakov & Gimelshein, arXiv 1805.02867; splits and their
** merge as in FlashDecoding.
*/
typedef struct kern_attend {
    const elt *q;                    /* token t's GQA heads at q + t * q_stride, HEAD_DIM each */
    int64_t q_stride;                /* elements */
    const elt *k, *v;                /* (n_keys, HEAD_DIM), contiguous rows */
    int64_t key0;                    /* position of k's first row: a multiple of KEY_SPLIT */
    int64_t n_keys;
    int64_t pos0;                    /* position of token 0 */
    int64_t window;                  /* keys that a row sees, ATTN_WINDOW; 0: all before it */
    float *o;                        /* carry: (tokens * GQA, HEAD_DIM) running output */
    float *ml;                       /* carry: (tokens * GQA, 2) running max and sum */
} kern_attend;

/* The instruction sets of this architecture that there are tables for, best first; a build of tests
   may name fewer. */
#if defined(KERN_TABLES)
#define KERN_NAMES "those of this build"
#elif defined(__x86_64__) && HI_F32
#define KERN_TABLES(T) T(avx512) T(avx2) T(portable)
#define KERN_NAMES "avx512, avx2, portable (for float elements)"
#elif defined(__x86_64__)
#define KERN_TABLES(T) T(amx) T(avx512bf16) T(avx512) T(avx2) T(portable)
#define KERN_NAMES "amx, avx512bf16, avx512, avx2, portable"
#elif defined(__aarch64__) && HI_F32
#define KERN_TABLES(T) T(neon) T(portable)
#define KERN_NAMES "neon, portable (for float elements)"
#elif defined(__aarch64__)
#define KERN_TABLES(T) T(neonbf16) T(neon) T(portable)
#define KERN_NAMES "neonbf16, neon, portable"
#else
#define KERN_TABLES(T) T(portable)
#define KERN_NAMES "portable"
#endif

typedef struct hi_kernels {
    const char *isa;                 /* one of KERN_TABLES */
    bool (*usable)(void);            /* may run on this machine? Asks for AMX permission */
    void (*thread_begin)(void);      /* once in every worker thread; may be NULL (AMX tile state) */

    /* Rows [m0, m1) and panels [j0, j1) of a product. */
    void (*matmul)(const kern_matmul *a, int m0, int m1, int j0, int j1);

    /* Rows [r0, r1) (token * GQA + head) over all of a's keys, merged into the carry in
       ascending order of splits. */
    void (*attend)(const kern_attend *a, int64_t r0, int64_t r1);

    /* Rows [r0, r1) over splits [s0, s1), split s beginning at a->key0 + s * KEY_SPLIT: the parts
       alone, to part_o (s1 - s0, r1 - r0, HEAD_DIM) and part_ml (s1 - s0, r1 - r0, 2). Merging
       the parts of all splits in ascending order gives the bits of attend. Several splits in one
       call are fetched ahead of one another. */
    void (*attend_parts)(const kern_attend *a, int64_t s0, int64_t s1, int64_t r0, int64_t r1,
                         float *part_o, float *part_ml);
    void (*merge)(float *o, float *ml, const float *part_o, const float *part_ml, int64_t rows);

    /* y = round(round(x * rsqrt(mean(x^2) + eps)) * w), one row of HIDDEN elements; with
       NORM_OFFSET round(x * rsqrt(..) * (1 + w)). add: y = round(y + that). */
    void (*rmsnorm)(elt *y, const elt *x, const elt *w, float eps, bool add);

    /* The same of one head in place: HEAD_DIM elements. */
    void (*head_norm)(elt *x, const elt *w, float eps);

    /* x = round(x * by), one row of HIDDEN elements. */
    void (*scale)(elt *x, float by);

    /* Rotates one head in place of a copy: pairs (i, i + HEAD_DIM / 2); cs is (HEAD_DIM / 2, 2)
       cosine and sine; fp32 inside, rounded once. y may equal x. */
    void (*rope)(elt *y, const elt *x, const float *cs);

    /* y[i] = round(round(act(gate[i])) * up[i]) for n elements; gelu: the tanh form. y may equal
       gate. */
    void (*act_mul)(elt *y, const elt *gate, const elt *up, int64_t n, bool gelu);

    /* Carry -> attention output: y = round(o / sum), one row of HEAD_DIM. */
    void (*finish)(elt *y, const float *o, const float *ml);

    /* Rows [row0, row0 + rows) of the (n, k) matrix at dst, of KERN_Q8 or KERN_Q4, from row-major
       elements src (rows, k): the same bits with every instruction set. A row depends on its own
       elements alone and touches no byte of another: several threads may fill one matrix. */
    void (*quant_rows)(kern_type type, void *dst, const elt *src, int64_t row0, int64_t rows,
                       int64_t k);
} hi_kernels;

/*
** The best table this machine can run, or the one named: HI_ISA's value, or NULL.
** NULL with *why set when the name is unknown or its instruction set is missing.
*/
const hi_kernels *kern_pick(const char *isa, const char **why);

/* kern_pack.c: same code for every instruction set. */
int64_t pack_bytes(int64_t n, int64_t k);              /* of a packed (n, k) matrix */
/* Rows [row0, row0 + rows) of the (n, k) matrix from row-major elements src (rows, k). */
void pack_rows(elt *dst, const elt *src, int64_t row0, int64_t rows, int64_t k);
void unpack_row(elt *dst, const elt *packed, int64_t row, int64_t k);

/* cs (HEAD_DIM / 2, 2) of one position: cos and sin of the float product pos * freq[i], the
   reference implementation's rounding, times 'scale'. freq (HEAD_DIM / 2). */
void rope_row(float *cs, const float *freq, float scale, int64_t pos);

#endif
