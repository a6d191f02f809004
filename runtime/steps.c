/*
** steps.c - the steps around attention: what has weights.
**
** A pass's rows are worked on together. Behind last_row only its last row is left, at its place
** in every buffer but h and mlp, which hold what a step needs from their beginning on.
*/
#include "state.h"

static int q_cols(const hi_model *m)
{
    return m->heads * m->head_dim;
}

/* A part of weights that begin at 'w'. */
static const void *part(const unsigned char *w, int64_t offset)
{
    return offset < 0 ? NULL : w + offset;
}

/* Element (row, 0) of a buffer with rows of 'cols' elements. */
static unsigned char *row_of(const hi_model *m, unsigned char *p, int64_t row, int64_t cols)
{
    return p + row * cols * m->elt;
}

/* Normalised hidden states of all rows of the pass, in h. */
static unsigned char *normalise(hi_run *r, const void *w)
{
    struct hi_state *s = r->in;
    unsigned char *h = run_buffer(r, HI_B_H);

    dev_rmsnorm(s->dev, h, hidden_states(r), w, s->pass.n, DEV_STORE);
    return h;
}

/* Columns [from, to) of q k v of 'rows' rows from 'row' on; h has all rows. */
static void project(hi_run *r, int layer, const unsigned char *h, int row, int rows, int from,
                    int to)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    const hi_layer *l = &m->layer[layer];
    const unsigned char *w = layer_weights(r, layer);
    dev_product p = {
        .y = row_of(m, run_buffer(r, HI_B_QKV), row, qkv_cols(m)),
        .x = h + (int64_t)row * m->hidden * m->elt,
        .w = part(w, l->qkv),
        .bias = part(w, l->qkv_bias),
        .x_stride = m->hidden,
        .rows = rows,
        .n = qkv_cols(m),
        .k = m->hidden,
        .from = from,
        .to = to,
        .mode = DEV_STORE,
        .type = m->layer_type,
        .decode = s->phase == HI_DECODE,
    };
    dev_matmul(s->dev, &p);
}

void norm_qkv(hi_run *r, int layer)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;

    if (!run_ok(r))
        return;
    const unsigned char *h = normalise(r, part(layer_weights(r, layer), m->layer[layer].attn_norm));
    project(r, layer, h, 0, s->pass.n, 0, qkv_cols(m));
    place_rows(r, layer, 0);
}

void norm_kv(hi_run *r, int layer)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;

    if (!run_ok(r))
        return;
    const unsigned char *h = normalise(r, part(layer_weights(r, layer), m->layer[layer].attn_norm));
    project(r, layer, h, 0, s->pass.n, q_cols(m), qkv_cols(m));
    if (r->last)
        project(r, layer, h, s->pass.n - 1, 1, 0, q_cols(m));
    place_rows(r, layer, r->last ? s->pass.n - 1 : s->pass.n);
}

bool last_row(hi_run *r)
{
    struct hi_state *s = r->in;

    if (!run_ok(r) || !r->last)
        return false;
    s->pass.first = s->pass.n - 1;
    return true;
}

/* All columns of a product. */
static void multiply(hi_run *r, dev_product p)
{
    p.to = p.n;
    p.decode = r->in->phase == HI_DECODE;
    dev_matmul(r->in->dev, &p);
}

/* A product added to x, which has its rows; or through h and a norm, where the block has one. */
static void add_product(hi_run *r, dev_product p, const void *norm)
{
    void *x = p.y;

    p.mode = DEV_ADD;
    if (norm != NULL) {
        p.y = run_buffer(r, HI_B_H);
        p.mode = DEV_STORE;
    }
    multiply(r, p);
    if (norm != NULL)
        dev_rmsnorm(r->in->dev, x, p.y, norm, p.rows, DEV_ADD);
}

/* Output projection of the active rows, added to x. */
static void add_attention(hi_run *r, const hi_layer *l, const unsigned char *w)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    dev_product p = { .y = hidden_states(r),
                               .x = row_of(m, run_buffer(r, HI_B_O), s->pass.first, q_cols(m)),
                               .w = part(w, l->o),
                               .bias = part(w, l->o_bias),
                               .x_stride = q_cols(m),
                               .rows = active_rows(r),
                               .n = m->hidden,
                               .k = q_cols(m),
                               .type = m->layer_type };
    add_product(r, p, part(w, l->attn_post_norm));
}

/* Feed-forward of 'rows' rows, added to x (rows, hidden). */
static void add_mlp(hi_run *r, const hi_layer *l, const unsigned char *w, unsigned char *x,
                    int rows)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    unsigned char *h = run_buffer(r, HI_B_H), *mlp = run_buffer(r, HI_B_MLP);

    dev_rmsnorm(s->dev, h, x, part(w, l->mlp_norm), rows, DEV_STORE);
    multiply(r, (dev_product){ .y = mlp,
                               .x = h,
                               .w = part(w, l->gate_up),
                               .bias = part(w, l->gate_up_bias),
                               .x_stride = m->hidden,
                               .rows = rows,
                               .n = 2 * m->ffn,
                               .k = m->hidden,
                               .mode = DEV_STORE,
                               .type = m->layer_type });
    dev_activate(s->dev, mlp, rows);
    dev_product down = { .y = x,
                         .x = mlp,
                         .w = part(w, l->down),
                         .bias = part(w, l->down_bias),
                         .x_stride = 2 * m->ffn,
                         .rows = rows,
                         .n = m->hidden,
                         .k = m->ffn,
                         .type = m->layer_type };
    add_product(r, down, part(w, l->mlp_post_norm));
}

void out_mlp(hi_run *r, int layer, int rows)
{
    const hi_model *m = r->in->m;
    const hi_layer *l = &m->layer[layer];

    if (!run_ok(r))
        return;
    const unsigned char *w = layer_weights(r, layer);
    unsigned char *x = hidden_states(r);
    int n = active_rows(r);
    add_attention(r, l, w);
    for (int row = 0; row < n && run_ok(r); row += rows)
        add_mlp(r, l, w, row_of(m, x, row, m->hidden), n - row < rows ? n - row : rows);
}

void logits(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int rows = m->logits_all ? s->pass.n : 1;

    if (!run_ok(r) || (!m->logits_all && !r->last))
        return;
    const unsigned char *w = run_buffer(r, HI_B_WEIGHTS);
    unsigned char *h = run_buffer(r, HI_B_H);
    dev_rmsnorm(s->dev, h, row_of(m, hidden_states(r), active_rows(r) - rows, m->hidden),
                part(w, m->final_norm), rows, DEV_STORE);
    multiply(r, (dev_product){ .y = run_buffer(r, HI_B_LOGITS),
                               .x = h,
                               .w = part(w, m->lm_head),
                               .x_stride = m->hidden,
                               .rows = rows,
                               .n = m->vocab,
                               .k = m->hidden,
                               .mode = DEV_F32,
                               .type = m->head_type });
}
