/*
** sizes.h - where each tensor lies in its part of the weights.
**
** The byte counts of gen.h ('sizes.c') are sums over this layout.
*/
#ifndef SIZES_H
#define SIZES_H

#include "gen.h"

enum {
    WEIGHT_ALIGN = 64
}; /* every tensor's offset, and the sum, are multiples */

typedef enum {
    W_ROWS,   /* row-major rows x cols, as stored: the embedding that is only looked up */
    W_PACKED, /* panels of PANEL rows: matrix_bytes(rows, cols, f) */
    W_VECTOR  /* rows elements, cols = 1: a norm or a bias */
} weight_kind;

/* Where a tensor's part begins; offsets count from there. */
typedef enum {
    PART_ONCE, /* the start of the buffer 'weights' */
    PART_LAYER, /* the start of the layer's weights, wherever they lie */
    PART_EMBED /* the start of the host's embedding */
} weight_part;

/*
** One tensor. Packed matrices that are made of several tensors of the checkpoint carry the
** first one's role: T_Q stands for q, k and v below each other, T_GATE for gate and up,
** T_Q_BIAS and T_GATE_BIAS for their biases in the same order.
*/
typedef struct weight_slot {
    hi_tensor_role role;
    int layer;             /* -1: once in a model */
    weight_part part;
    int64_t offset, bytes;
    int64_t rows, cols;
    weight_kind kind;
} weight_slot;

/*
** The tensors: embed, [lm_head], final_norm, then per layer attn_norm, qkv, [its bias],
** [q_norm, k_norm], o, [its bias], [attn_post_norm], mlp_norm, gate_up, [its bias], down, [its
** bias], [mlp_post_norm].
**
** embed_on_host  the embedding is a part of its own; never where it is tied
** out            (count) receives the tensors in this order; NULL: count only
** Returns the count.
*/
int64_t weight_layout(const hi_spec *s, hi_format f, bool embed_on_host, weight_slot *out);

#endif
