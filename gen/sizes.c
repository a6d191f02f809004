/*
** sizes.c - bytes and elements that follow from a spec, arithmetic only.
**
** One walk over the tensors gives the layout of the weights and their size, so
** that the two cannot disagree. spec.c has bounded every factor: no
** product here comes near 2^63.
*/
#include "sizes.h"

int elt_bytes(hi_numerics n)
{
    return n == NUM_F32 ? 4 : 2;
}

int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Of one column's block: an fp16 scale, and values. */
static int64_t block_bytes(hi_weights_type t)
{
    return 2 + (t == WEIGHTS_Q8 ? WEIGHT_BLOCK : WEIGHT_BLOCK / 2);
}

int64_t matrix_bytes(int64_t rows, int64_t cols, hi_format f)
{
    int64_t panels = round_up(rows, PANEL);

    if (f.type == WEIGHTS_STORED)
        return panels * cols * f.elt;
    return panels * (round_up(cols, WEIGHT_BLOCK) / WEIGHT_BLOCK) * block_bytes(f.type);
}

double weight_size(hi_format f)
{
    return f.type == WEIGHTS_STORED ? f.elt : (double)block_bytes(f.type) / WEIGHT_BLOCK;
}

/* Scores are chosen among by small differences: they get 8 bits at least. */
hi_weights_type head_type(hi_weights_type t)
{
    return t == WEIGHTS_Q4 ? WEIGHTS_Q8 : t;
}

/* ---- layout of the weights ---- */

typedef struct walk {
    weight_slot *out; /* NULL: count and sum only */
    hi_format format; /* of a layer's */
    int64_t n;
    int64_t end; /* bytes of the present part so far */
} walk;

static int64_t slot_bytes(weight_kind kind, int64_t rows, int64_t cols, hi_format f)
{
    return kind == W_PACKED ? matrix_bytes(rows, cols, f) : rows * cols * f.elt;
}

static void add(walk *w, hi_tensor_role role, int layer, weight_kind kind, int64_t rows,
                int64_t cols)
{
    hi_weights_type type = layer < 0 ? head_type(w->format.type) : w->format.type;
    int64_t bytes = slot_bytes(kind, rows, cols, (hi_format){ w->format.elt, type });
    weight_part part = layer < 0 ? PART_ONCE : PART_LAYER;

    if (w->out != NULL)
        w->out[w->n] = (weight_slot){ role, layer, part, w->end, bytes, rows, cols, kind };
    w->n++;
    w->end = round_up(w->end + bytes, WEIGHT_ALIGN);
}

static void add_once(walk *w, const hi_spec *s, bool embed_on_host)
{
    add(w, T_EMBED, -1, s->tied ? W_PACKED : W_ROWS, s->vocab, s->hidden);
    if (embed_on_host) {
        w->end = 0;
        if (w->out != NULL)
            w->out[w->n - 1].part = PART_EMBED;
    }
    if (!s->tied)
        add(w, T_LM_HEAD, -1, W_PACKED, s->vocab, s->hidden);
    add(w, T_FINAL_NORM, -1, W_VECTOR, s->hidden, 1);
}

static bool has(const hi_spec *s, hi_tensor_role role)
{
    return s->tensor[role][0] != '\0';
}

/* A norm of so many elements, where the family has it. */
static void add_norm(walk *w, const hi_spec *s, int l, hi_tensor_role role, int64_t n)
{
    if (has(s, role))
        add(w, role, l, W_VECTOR, n, 1);
}

static void add_layer(walk *w, const hi_spec *s, int l)
{
    int64_t q = (int64_t)s->heads * s->head_dim;
    int64_t qkv = q + 2 * (int64_t)s->kv_heads * s->head_dim;
    int64_t gate_up = 2 * (int64_t)s->ffn;

    w->end = 0;
    add(w, T_ATTN_NORM, l, W_VECTOR, s->hidden, 1);
    add(w, T_Q, l, W_PACKED, qkv, s->hidden);
    if (s->qkv_bias)
        add(w, T_Q_BIAS, l, W_VECTOR, qkv, 1);
    add_norm(w, s, l, T_Q_NORM, s->head_dim);
    add_norm(w, s, l, T_K_NORM, s->head_dim);
    add(w, T_O, l, W_PACKED, s->hidden, q);
    if (s->o_bias)
        add(w, T_O_BIAS, l, W_VECTOR, s->hidden, 1);
    add_norm(w, s, l, T_ATTN_POST_NORM, s->hidden);
    add(w, T_MLP_NORM, l, W_VECTOR, s->hidden, 1);
    add(w, T_GATE, l, W_PACKED, gate_up, s->hidden);
    if (s->mlp_bias)
        add(w, T_GATE_BIAS, l, W_VECTOR, gate_up, 1);
    add(w, T_DOWN, l, W_PACKED, s->hidden, s->ffn);
    if (s->mlp_bias)
        add(w, T_DOWN_BIAS, l, W_VECTOR, s->hidden, 1);
    add_norm(w, s, l, T_MLP_POST_NORM, s->hidden);
}

int64_t weight_layout(const hi_spec *s, hi_format f, bool embed_on_host, weight_slot *out)
{
    walk w = { out, f, 0, 0 };

    add_once(&w, s, embed_on_host);
    for (int l = 0; l < s->layers; l++)
        add_layer(&w, s, l);
    return w.n;
}

int64_t once_bytes(const hi_spec *s, hi_format f, bool embed_on_host)
{
    walk w = { NULL, f, 0, 0 };

    add_once(&w, s, embed_on_host);
    return round_up(w.end, BUF_ALIGN);
}

int64_t embed_bytes(const hi_spec *s, int elt)
{
    return s->tied ? 0 : (int64_t)s->vocab * s->hidden * elt;
}

int64_t layer_weight_bytes(const hi_spec *s, hi_format f)
{
    walk w = { NULL, f, 0, 0 };

    add_layer(&w, s, 0);
    return round_up(w.end, BUF_ALIGN);
}

int64_t weight_bytes(const hi_spec *s, hi_format f)
{
    return once_bytes(s, f, false) + s->layers * layer_weight_bytes(s, f);
}

/* ---- keys and values, parameters ---- */

int64_t kv_row_bytes(const hi_spec *s, int elt)
{
    return 2 * (int64_t)s->head_dim * elt;
}

int64_t kv_token_bytes(const hi_spec *s, int elt)
{
    return (int64_t)s->layers * s->kv_heads * kv_row_bytes(s, elt);
}

int64_t store_token_bytes(const hi_spec *s, int64_t ctx, int elt)
{
    return (int64_t)(s->layers - rolling_layers(s, ctx)) * s->kv_heads * kv_row_bytes(s, elt);
}

bool layer_rolls(const hi_spec *s, int layer, int64_t ctx)
{
    const hi_window *w = &s->window;

    return w->size > 0 && w->size < ctx && layer >= w->first && (layer - w->first) % w->every == 0;
}

int rolling_layers(const hi_spec *s, int64_t ctx)
{
    int n = 0;

    for (int l = 0; l < s->layers; l++)
        n += layer_rolls(s, l, ctx);
    return n;
}

static int64_t layer_params(const hi_spec *s)
{
    int64_t d = s->hidden, ff = s->ffn;
    int64_t q = (int64_t)s->heads * s->head_dim;
    int64_t kv = (int64_t)s->kv_heads * s->head_dim;
    int64_t n = 2 * d + (q + 2 * kv) * d + q * d + 3 * d * ff;

    if (s->qkv_bias)
        n += q + 2 * kv;
    if (s->o_bias)
        n += d;
    if (s->mlp_bias)
        n += 2 * ff + d;
    if (has(s, T_Q_NORM))
        n += 2 * (int64_t)s->head_dim;
    n += d * (has(s, T_ATTN_POST_NORM) + has(s, T_MLP_POST_NORM));
    return n;
}

int64_t param_count(const hi_spec *s)
{
    int64_t embed = (int64_t)s->vocab * s->hidden;

    return s->layers * layer_params(s) + (s->tied ? 1 : 2) * embed + s->hidden;
}
