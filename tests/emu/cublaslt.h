/*
** cublaslt.h - what the files of the emulated cuBLASLt share.
**
** What an opaque object holds, a product as it is queued, and what the three files know of each
** other: cublaslt.c takes the calls, cublaslt_product.c checks and computes, cublaslt_algo.c says
** which algorithms there are.
*/
#ifndef EMU_CUBLASLT_H
#define EMU_CUBLASLT_H

#include <cublasLt.h>
#include "queue.h"

enum { ALIGN = 16 };                 /* bytes: what every address and leading dimension must be */

/* ---- contents of the opaque objects ---- */

typedef struct layout {
    uint32_t type;
    int32_t order;
    uint64_t rows, cols;
    int64_t ld, batch_stride;
    int32_t batches;
} layout;

typedef struct desc {
    int32_t compute, scale, pointer_mode, trans_a, trans_b, trans_c;
    uint32_t epilogue;
    int32_t bias_type;               /* -1: that of D */
    const void *bias;
} desc;

typedef struct preference {
    uint32_t search, schemes, align[4];
    float waves;
    uint64_t workspace, impl;
} preference;

typedef struct algo {
    uint32_t magic;
    int32_t id;
    uint32_t tile;
    int32_t splits;
    uint32_t scheme, swizzle, custom, stages;
    uint16_t inner, cluster;
} algo;

_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "layout");
_Static_assert(sizeof(desc) <= sizeof(cublasLtMatmulDescOpaque_t), "desc");
_Static_assert(sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "preference");
_Static_assert(sizeof(algo) <= sizeof(cublasLtMatmulAlgo_t), "algo");

/* ---- cublaslt.c: calls, attributes ---- */

/* emu_enter and emu_leave, for a call that returns another kind of status. */
cublasStatus_t lt_enter(const char *call);
cublasStatus_t lt_leave(cublasStatus_t s);
/* Reports a fault of the program. Returns s. */
cublasStatus_t lt_refuse(cublasStatus_t s, const char *what);

/* Where an object keeps an attribute. */
typedef struct field {
    int attr;
    size_t at, bytes;
} field;

#define FIELD(type, attr, member) { attr, offsetof(type, member), sizeof(((type *)0)->member) }
#define COUNT(list) ((int)(sizeof(list) / sizeof(list)[0]))

/* That of 'attr' among the n of f, or NULL. */
const field *lt_field(const field *f, int n, int attr);
cublasStatus_t lt_set(void *object, const field *list, int n, int attr, const void *buf,
                      size_t bytes);

/* ---- cublaslt_product.c: operands, checks, arithmetic ---- */

typedef struct matrix {
    const unsigned char *at;
    int64_t down, right;             /* elements to the next row, column */
    bool f32;
} matrix;

typedef struct product {
    matrix a, b, c, d;               /* op(a) (m, k), op(b) (k, n), c and d (m, n) */
    int64_t m, n, k;
    const unsigned char *bias;       /* (m), or NULL */
    bool bias_f32;
    float alpha, beta;
    int splits;
    uint32_t scheme;
    unsigned char *workspace;
    size_t workspace_bytes;
} product;

/* The operands of a product: a, b, c, d. */
typedef struct operands {
    desc desc;
    layout l[4];
} operands;

size_t layout_elt_bytes(const layout *l);
matrix layout_matrix(const void *p, const layout *l, int32_t trans);
area layout_area(const void *p, const layout *l);
operands operands_of(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                     cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to);
/* Fills in m, n, k. */
cublasStatus_t operands_check(const operands *o, product *p);
/* Queued work: args is a product. */
void product_run(const void *args);

/* ---- cublaslt_algo.c: algorithms ---- */

/* Is there such an algorithm, and can it compute this product? */
bool algo_works(const algo *a, const product *p);
/* Bytes that it needs; out_bytes is the size of an element of D. */
size_t algo_workspace(const algo *a, const product *p, size_t out_bytes);

#endif
