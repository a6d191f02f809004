/*
** attend.c - the steps of attention: one head group after the other, tile after tile.
**
** Keys before the last split that was complete before the pass are in resident rows or come
** through the ring, or are what a layer with a window keeps; from there on they are in the window
** or the tails. Queries are those of the pass's active rows.
*/
#include "state.h"

/* Elements of the query heads of KV heads before 'head', in rows of q, of attention output. */
static int64_t query_cols(const hi_model *m, int head)
{
    return (int64_t)head * (m->heads / m->kv_heads) * m->head_dim;
}

/* Attention of the active rows by KV heads [head, head + n) over rows [pos, end): 'at' is where
   the first of these heads has them. */
static void attend_rows(hi_run *r, int layer, int head, int n, kv_rows at, int64_t pos, int64_t end)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t q = s->pass.first * qkv_cols(m) + query_cols(m, head);
    dev_attention a = {
        .q = run_buffer(r, HI_B_QKV) + q * m->elt,
        .q_stride = qkv_cols(m),
        .k = at.k,
        .head_pitch = 2 * at.plane,
        .v_offset = at.plane,
        .n = n,
        .rows = active_rows(r),
        .key0 = pos,
        .n_keys = end - pos,
        .pos0 = s->pass.pos + s->pass.first,
        .window = m->layer[layer].window,
        .carry = (float *)run_buffer(r, HI_B_CARRY),
        .parts = s->phase == HI_DECODE ? (float *)run_buffer(r, HI_B_PARTS) : NULL,
    };
    dev_attend(s->dev, &a);
}

void open_heads(hi_run *r, int layer, int head, int n)
{
    (void)layer, (void)head; /* one group is open at a time: the carry has no place in it */
    if (run_ok(r))
        dev_open_heads(r->in->dev, (float *)run_buffer(r, HI_B_CARRY), n, active_rows(r));
}

/* Attention over rows [pos, end), which lie where 'rows_at' says: in decode in pieces, as there is
   room for the parts of one. */
static void attend_run(hi_run *r, int layer, int head, int n, int64_t pos, int64_t end,
                       kv_rows (*rows_at)(hi_run *r, int layer, int64_t pos))
{
    const struct hi_state *s = r->in;
    int64_t piece = s->phase == HI_DECODE ? s->m->piece : INT64_MAX / 2;

    while (pos < end && run_ok(r)) {
        kv_rows at = rows_at(r, layer, pos);
        int64_t next = min64(pos + piece, min64(at.end, end));
        at.k += head * 2 * at.plane;
        attend_rows(r, layer, head, n, at, pos, next);
        pos = next;
    }
}

void attend_resident(hi_run *r, int layer, int head, int n, int64_t rows)
{
    const struct hi_state *s = r->in;
    int64_t seen = s->m->offload ? r->complete : s->pass.pos + s->pass.n;

    attend_run(r, layer, head, n, 0, min64(rows, seen), resident_rows);
}

/* From the split on in which the first active row's window begins. */
void attend_near(hi_run *r, int layer, int head, int n)
{
    const struct hi_state *s = r->in;
    int64_t first = s->pass.pos + s->pass.first - s->m->layer[layer].window + 1;

    attend_run(r, layer, head, n, first > 0 ? complete_before(s->m, first) : 0, r->complete,
               near_rows);
}

void await(hi_run *r, int64_t slot)
{
    if (run_ok(r))
        dev_wait(r->in->dev, DEV_H2D, r->in->filled[slot]);
}

void attend(hi_run *r, int layer, int head, int n, int64_t at, int64_t slot)
{
    const struct hi_state *s = r->in;
    int64_t tile = s->m->band[r->band].tile;

    if (run_ok(r))
        attend_rows(r, layer, head, n, (kv_rows){ ring_slot(r, slot), tile * row_bytes(s->m), at + tile },
                    at, min64(at + tile, r->complete));
}

void attend_newest(hi_run *r, int layer, int head, int n)
{
    if (!run_ok(r))
        return;
    kv_rows at = newest_rows(r, layer, r->complete);
    at.k += head * 2 * at.plane;
    attend_rows(r, layer, head, n, at, r->complete, at.end);
}

void close_heads(hi_run *r, int layer, int head, int n)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t cols = (int64_t)m->heads * m->head_dim;

    (void)layer;
    if (!run_ok(r))
        return;
    int64_t o = s->pass.first * cols + query_cols(m, head);
    dev_close_heads(s->dev, run_buffer(r, HI_B_O) + o * m->elt, cols,
                    (const float *)run_buffer(r, HI_B_CARRY), n, active_rows(r));
}
