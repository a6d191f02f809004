/*
** steps.c - the steps of a schedule, in terms of what a device can do.
**
** Positions: a pass appends rows [length, length + n). 'complete' is the last multiple of
** the split not above length: keys before it lie in resident tiles or come through the
** ring, keys from it on lie in the window (prefill) or the tails (decode).
*/
#include <string.h>
#include "state.h"

static int gqa(const hi_model *m)
{
    return m->heads / m->kv_heads;
}

static int64_t qkv_cols(const hi_model *m)
{
    return (int64_t)(m->heads + 2 * m->kv_heads) * m->head_dim;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const void *weight(hi_run *r, int64_t offset)
{
    return offset < 0 ? NULL : run_buffer(r, HI_B_WEIGHTS) + offset;
}

/* y (n rows of the pass, cols) from x (.., k) and the weights at 'w'. */
static void product(hi_run *r, void *y, const void *x, int64_t w, int64_t bias, int cols, int k,
                    dev_mode mode)
{
    dev_product p = { y, x, weight(r, w), weight(r, bias), k, r->in->n, cols, k, mode };
    dev_matmul(r->in->dev, &p);
}

void embed(hi_run *r)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return;
    memcpy(run_buffer(r, HI_B_IDS), s->ids, (size_t)s->n * sizeof *s->ids);
    dev_embed(s->dev, run_buffer(r, HI_B_X), (const int32_t *)run_buffer(r, HI_B_IDS), s->n);
    dev_rope_table(s->dev, (float *)run_buffer(r, HI_B_ROPE), s->length, s->n);
    if (s->m->offload)
        ring_begin(r);
}

void await_store(hi_run *r)
{
    if (run_ok(r))
        dev_wait(r->in->dev, DEV_D2H, r->in->last_store);
}

/* ---- where new rows go ---- */

/* Bytes between two heads' k rows, and from a head's k to its v, in window or tails. */
static int64_t newest_plane(const struct hi_state *s)
{
    int64_t rows = s->phase == HI_PREFILL ? s->m->split + s->m->rows[HI_PREFILL] : 2 * s->m->split;
    return rows * row_bytes(s->m);
}

static unsigned char *tail(hi_run *r, int layer, int64_t pos)
{
    const hi_model *m = r->in->m;
    int64_t plane = 2 * m->split * row_bytes(m);
    return run_buffer(r, HI_B_TAILS) + (int64_t)layer * m->kv_heads * 2 * plane +
           pos % (2 * m->split) * row_bytes(m);
}

/* Row 'pos' of the layer's first KV head where the pass's newest rows are. */
static unsigned char *newest(hi_run *r, int layer, int64_t pos)
{
    const struct hi_state *s = r->in;
    if (s->phase == HI_DECODE)
        return tail(r, layer, pos);
    return run_buffer(r, HI_B_WINDOW) + (pos - s->complete) * row_bytes(s->m);
}

/* Bytes between the frames of tile t of two neighbouring heads of a group. */
static int64_t frame_pitch(hi_run *r, int layer, int head, int n, int t)
{
    return n > 1 ? run_frame(r, layer, head + 1, t) - run_frame(r, layer, head, t) : 0;
}

/* New rows into the tiles that stay on the device, one tile after the other. */
static void append_resident(hi_run *r, int layer)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t row = row_bytes(m);

    for (int head = 0; head < m->kv_heads; head += m->group) {
        int entry = layer * m->kv_heads + head;
        int resident = s->resident[s->phase * m->layers * m->kv_heads + entry];
        int64_t end = min64(s->length + s->n, resident * m->tile);
        for (int64_t p = s->length; p < end;) {
            int64_t t = p / m->tile, n = min64(end, (t + 1) * m->tile) - p;
            dev_new_rows a = {
                .dst = run_frame(r, layer, head, (int)t) + (p - t * m->tile) * row,
                .head_pitch = frame_pitch(r, layer, head, m->group, (int)t),
                .v_offset = m->tile * row,
                .qkv = run_buffer(r, HI_B_QKV),
                .head = head,
                .n = m->group,
                .row = (int)(p - s->length),
                .rows = (int)n,
            };
            dev_append(s->dev, &a);
            p += n;
        }
    }
}

/* New rows into window or tails; a prefill pass also brings the window's older rows from the
   tails and leaves the rows past its last complete split there. */
static void append_newest(hi_run *r, int layer)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t row = row_bytes(m), plane = newest_plane(s), tail_plane = 2 * m->split * row;
    int64_t end = s->length + s->n, keep = end / m->split * m->split;
    dev_copy c = { .planes = 2 * m->kv_heads };

    if (s->phase == HI_PREFILL && s->length > s->complete) {
        c.dst = newest(r, layer, s->complete);
        c.dst_pitch = plane;
        c.src = tail(r, layer, s->complete);
        c.src_pitch = tail_plane;
        c.bytes = (s->length - s->complete) * row;
        dev_move(s->dev, &c);
    }
    dev_new_rows a = { newest(r, layer, s->length), 2 * plane, plane, run_buffer(r, HI_B_QKV),
                       0, m->kv_heads, 0, s->n };
    dev_append(s->dev, &a);
    if (s->phase == HI_PREFILL && end > keep) {
        int64_t first = keep > s->length ? keep : s->length;
        c.dst = tail(r, layer, first);
        c.dst_pitch = tail_plane;
        c.src = newest(r, layer, first);
        c.src_pitch = plane;
        c.bytes = (end - first) * row;
        dev_move(s->dev, &c);
    }
}

void norm_qkv(hi_run *r, int layer)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    const hi_layer *w = &m->layer[layer];

    if (!run_ok(r))
        return;
    unsigned char *h = run_buffer(r, HI_B_H), *qkv = run_buffer(r, HI_B_QKV);
    dev_rmsnorm(s->dev, h, run_buffer(r, HI_B_X), weight(r, w->attn_norm), s->n);
    product(r, qkv, h, w->qkv, w->qkv_bias, (int)qkv_cols(m), m->hidden, DEV_STORE);
    dev_rotate(s->dev, qkv, (const float *)run_buffer(r, HI_B_ROPE), s->n);
    if (m->offload)
        append_newest(r, layer);
    append_resident(r, layer);
}

void store(hi_run *r, int layer)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;

    if (!run_ok(r))
        return;
    dev_copy c = {
        .dst = store_row(r, layer, 0, s->length),
        .src = newest(r, layer, s->length),
        .dst_pitch = m->ctx * row_bytes(m),
        .src_pitch = newest_plane(s),
        .bytes = s->n * row_bytes(m),
        .planes = 2 * m->kv_heads,
    };
    s->last_store = s->stored[layer] = dev_start(s->dev, DEV_D2H, &c);
}

/* ---- attention ---- */

/* What every attention of the pass's rows by KV heads [head, head + n) has in common. */
static dev_attention attention(hi_run *r, int head, int n)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;

    return (dev_attention){
        .q = run_buffer(r, HI_B_QKV) + (int64_t)head * gqa(m) * m->head_dim * m->elt,
        .q_stride = qkv_cols(m),
        .n = n,
        .rows = s->n,
        .pos0 = s->length,
        .carry = (float *)run_buffer(r, HI_B_CARRY),
        .parts = s->phase == HI_DECODE ? (float *)run_buffer(r, HI_B_PARTS) : NULL,
    };
}

void open_heads(hi_run *r, int layer, int head, int n)
{
    (void)layer, (void)head;         /* one group is open at a time: the carry has no place in it */
    if (run_ok(r))
        dev_open_heads(r->in->dev, (float *)run_buffer(r, HI_B_CARRY), n, r->in->n);
}

void attend_resident(hi_run *r, int layer, int head, int n, int tiles)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t end = min64(tiles * m->tile, m->offload ? s->complete : s->length + s->n);

    for (int t = 0; t * m->tile < end && run_ok(r); t++) {
        dev_attention a = attention(r, head, n);
        a.k = run_frame(r, layer, head, t);
        a.head_pitch = frame_pitch(r, layer, head, n, t);
        a.v_offset = m->tile * row_bytes(m);
        a.key0 = t * m->tile;
        a.n_keys = min64(m->tile, end - a.key0);
        dev_attend(s->dev, &a);
    }
}

void await(hi_run *r, int64_t slot)
{
    if (run_ok(r))
        dev_wait(r->in->dev, DEV_H2D, r->in->filled[slot]);
}

static unsigned char *slot_at(hi_run *r, int64_t slot)
{
    const hi_model *m = r->in->m;
    return run_buffer(r, HI_B_SLOTS) + slot * m->group * 2 * m->tile * row_bytes(m);
}

void attend(hi_run *r, int layer, int head, int n, int t, int64_t slot)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;

    (void)layer;
    if (!run_ok(r))
        return;
    dev_attention a = attention(r, head, n);
    a.k = slot_at(r, slot);
    a.v_offset = m->tile * row_bytes(m);
    a.head_pitch = 2 * a.v_offset;
    a.key0 = t * m->tile;
    a.n_keys = min64(m->tile, s->complete - a.key0);
    dev_attend(s->dev, &a);
}

void refill(hi_run *r, int64_t slot, int group)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return;
    dev_poison(s->dev, slot_at(r, slot), s->m->group * 2 * s->m->tile * row_bytes(s->m));
    r->turn++;
    ring_pump(r, s->m->ring[group].layer);
}

void attend_newest(hi_run *r, int layer, int head, int n)
{
    struct hi_state *s = r->in;
    int64_t plane = newest_plane(s);

    if (!run_ok(r))
        return;
    dev_attention a = attention(r, head, n);
    a.k = newest(r, layer, s->complete) + head * 2 * plane;
    a.head_pitch = 2 * plane;
    a.v_offset = plane;
    a.key0 = s->complete;
    a.n_keys = s->length + s->n - s->complete;
    dev_attend(s->dev, &a);
}

void close_heads(hi_run *r, int layer, int head, int n)
{
    const hi_model *m = r->in->m;

    (void)layer;
    if (!run_ok(r))
        return;
    dev_close_heads(r->in->dev,
                    run_buffer(r, HI_B_O) + (int64_t)head * gqa(m) * m->head_dim * m->elt,
                    (int64_t)m->heads * m->head_dim, (const float *)run_buffer(r, HI_B_CARRY), n,
                    r->in->n);
}

/* ---- the rest of a layer ---- */

void out_mlp(hi_run *r, int layer)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    const hi_layer *w = &m->layer[layer];

    if (!run_ok(r))
        return;
    unsigned char *x = run_buffer(r, HI_B_X), *h = run_buffer(r, HI_B_H);
    unsigned char *mlp = run_buffer(r, HI_B_MLP);
    product(r, x, run_buffer(r, HI_B_O), w->o, w->o_bias, m->hidden, m->heads * m->head_dim, DEV_ADD);
    dev_rmsnorm(s->dev, h, x, weight(r, w->mlp_norm), s->n);
    product(r, mlp, h, w->gate_up, w->gate_up_bias, 2 * m->ffn, m->hidden, DEV_STORE);
    dev_activate(s->dev, mlp, s->n);
    dev_product down = { x, mlp, weight(r, w->down), weight(r, w->down_bias), 2 * m->ffn,
                         s->n, m->hidden, m->ffn, DEV_ADD };
    dev_matmul(s->dev, &down);
}

void logits(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int rows = m->logits_all ? s->n : 1;

    if (!run_ok(r))
        return;
    unsigned char *h = run_buffer(r, HI_B_H);
    dev_rmsnorm(s->dev, h, run_buffer(r, HI_B_X) + (int64_t)(s->n - rows) * m->hidden * m->elt,
                weight(r, m->final_norm), rows);
    dev_product scores = { run_buffer(r, HI_B_LOGITS), h, weight(r, m->lm_head), NULL, m->hidden,
                           rows, m->vocab, m->hidden, DEV_F32 };
    dev_matmul(s->dev, &scores);
}

void settle(hi_run *r, int layer, int head, int n, int first, int last)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;

    uint64_t copied = 0;
    for (int t = first; t < last && t * m->tile < s->length && run_ok(r); t++)
        for (int h = head; h < head + n; h++) {
            dev_copy c = {
                .dst = run_frame(r, layer, h, t),
                .src = store_row(r, layer, h, t * m->tile),
                .dst_pitch = m->tile * row_bytes(m),
                .src_pitch = m->ctx * row_bytes(m),
                .bytes = min64(m->tile, s->length - t * m->tile) * row_bytes(m),
                .planes = 2,
                .after = s->last_store,
            };
            copied = dev_start(s->dev, DEV_H2D, &c);
        }
    dev_wait(s->dev, DEV_H2D, copied);
}
