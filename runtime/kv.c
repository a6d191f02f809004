/*
** kv.c - where keys and values lie, and how new rows get there.
**
** The store on the host has all rows. On the device every layer keeps its leading rows: those
** of both phases in 'kept', decode's further ones in 'frames'. The newest rows, past the last
** split that was complete before the pass, lie in the window (prefill, one layer) and in the
** tails (two splits of every layer, round about); a prefill pass takes them over from the tails
** and leaves there what the next one needs.
**
** A layer whose rows see a window alone keeps nothing else: its rows lie in 'near', round about,
** and in window and tails like others'. It has no place in the store.
*/
#include "state.h"

unsigned char *store_row(hi_run *r, int layer, int head, int64_t pos)
{
    const hi_model *m = r->in->m;
    int64_t plane = (r->in->store_at[layer] * m->kv_heads + head) * 2;
    return run_host(r, HI_H_KV) + (plane * m->ctx + pos) * row_bytes(m);
}

kv_rows resident_rows(hi_run *r, int layer, int64_t pos)
{
    const struct hi_state *s = r->in;
    const int64_t *resident = s->m->layer[layer].resident;
    int64_t kept = resident[HI_PREFILL], row = row_bytes(s->m);

    if (pos < kept)
        return (kv_rows){ run_buffer(r, HI_B_KEPT) + s->kept_at[layer] + pos * row, kept * row,
                          kept };
    return (kv_rows){ run_buffer(r, HI_B_FRAMES) + s->frames_at[layer] + (pos - kept) * row,
                      (resident[HI_DECODE] - kept) * row, INT64_MAX };
}

static kv_rows tail_rows(hi_run *r, int layer, int64_t pos)
{
    const hi_model *m = r->in->m;
    int64_t plane = 2 * m->split * row_bytes(m);

    return (kv_rows){ run_buffer(r, HI_B_TAILS) + r->in->tails_at[layer] +
                          pos % (2 * m->split) * row_bytes(m),
                      plane, r->in->pass.pos + r->in->pass.n };
}

kv_rows near_rows(hi_run *r, int layer, int64_t pos)
{
    const struct hi_state *s = r->in;
    int64_t rows = s->m->near_rows, row = row_bytes(s->m);

    return (kv_rows){ run_buffer(r, HI_B_NEAR) + s->near_at[layer] + pos % rows * row, rows * row,
                      pos - pos % rows + rows };
}

kv_rows newest_rows(hi_run *r, int layer, int64_t pos)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;

    if (s->phase == HI_DECODE)
        return tail_rows(r, layer, pos);
    return (kv_rows){ run_buffer(r, HI_B_WINDOW) + (pos - r->complete) * row_bytes(m),
                      (m->split + m->rows[HI_PREFILL]) * row_bytes(m), s->pass.pos + s->pass.n };
}

/* ---- new rows ---- */

/* Rows [pos, end) of the pass belong there, too. */
static void add_run(hi_run *r, dev_placing *p, kv_rows to, int64_t pos, int64_t end)
{
    p->run[p->n_runs++] = (dev_run){
        .dst = to.k,
        .head_pitch = 2 * to.plane,
        .v_offset = to.plane,
        .row = (int)(pos - r->in->pass.pos),
        .rows = (int)(end - pos),
    };
}

static void add_resident(hi_run *r, int layer, dev_placing *p)
{
    const struct hi_state *s = r->in;
    int64_t end = min64(s->pass.pos + s->pass.n, s->m->layer[layer].resident[s->phase]);

    for (int64_t pos = s->pass.pos; pos < end;) {
        kv_rows to = resident_rows(r, layer, pos);
        int64_t next = min64(end, to.end);
        add_run(r, p, to, pos, next);
        pos = next;
    }
}

/* In prefill the window has all new rows, the tails those that are in no complete split. */
static void add_newest(hi_run *r, int layer, dev_placing *p)
{
    const struct hi_state *s = r->in;
    int64_t pos = s->pass.pos, end = pos + s->pass.n, complete = complete_before(s->m, end);
    int64_t keep = s->phase == HI_DECODE || complete < pos ? pos : complete;

    if (s->phase == HI_PREFILL)
        add_run(r, p, newest_rows(r, layer, pos), pos, end);
    if (keep < end)
        add_run(r, p, tail_rows(r, layer, keep), keep, end);
}

/* In decode a row takes its place at once: what it replaces has left the window. */
static void add_near(hi_run *r, int layer, dev_placing *p)
{
    const pass_state *pass = &r->in->pass;

    if (r->in->phase == HI_DECODE)
        add_run(r, p, near_rows(r, layer, pass->pos), pass->pos, pass->pos + 1);
}

void keep_near(hi_run *r, int layer)
{
    const struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t end = s->pass.pos + s->pass.n, pos = s->pass.pos;

    if (pos < end - m->near_rows)
        pos = end - m->near_rows;
    while (pos < end && run_ok(r)) {
        kv_rows from = newest_rows(r, layer, pos), to = near_rows(r, layer, pos);
        int64_t next = min64(end, to.end);
        dev_copy c = { to.k,     from.k,
                       to.plane, from.plane,
                       (next - pos) * row_bytes(m), 2 * m->kv_heads,
                       0 };
        dev_move(s->dev, &c);
        pos = next;
    }
}

void near_reaches(hi_run *r, int64_t end)
{
    struct hi_state *s = r->in;

    if (s->m->near_rows > 0 && s->near_from < end - s->m->near_rows)
        s->near_from = end - s->m->near_rows;
}

/* The window begins with the rows of a split that was begun before the pass. */
static void take_over_tails(hi_run *r, int layer)
{
    const hi_model *m = r->in->m;
    kv_rows to = newest_rows(r, layer, r->complete), from = tail_rows(r, layer, r->complete);
    dev_copy c = { to.k,   from.k,
                   to.plane, from.plane,
                   (r->in->pass.pos - r->complete) * row_bytes(m), 2 * m->kv_heads,
                   0 };

    if (c.bytes > 0)
        dev_move(r->in->dev, &c);
}

void place_rows(hi_run *r, int layer, int q_row)
{
    struct hi_state *s = r->in;
    const hi_layer *l = &s->m->layer[layer];
    const unsigned char *w = layer_weights(r, layer);
    dev_placing p = {
        .qkv = run_buffer(r, HI_B_QKV),
        .cs = (const float *)run_buffer(r, HI_B_ROPE),
        .q_norm = l->q_norm < 0 ? NULL : w + l->q_norm,
        .k_norm = l->k_norm < 0 ? NULL : w + l->k_norm,
        .rows = s->pass.n,
        .q_row = q_row,
    };

    if (s->m->offload || l->window > 0) {
        if (s->phase == HI_PREFILL)
            take_over_tails(r, layer);
        add_newest(r, layer, &p);
    }
    if (l->window > 0)
        add_near(r, layer, &p);
    else
        add_resident(r, layer, &p);
    dev_place(s->dev, &p);
}

/* ---- to the store and back ---- */

void await_store(hi_run *r)
{
    if (run_ok(r))
        dev_wait(r->in->dev, DEV_D2H, r->in->last_store);
}

void store(hi_run *r, int layer)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return;
    kv_rows from = newest_rows(r, layer, s->pass.pos);
    dev_copy c = {
        .dst = store_row(r, layer, 0, s->pass.pos),
        .src = from.k,
        .dst_pitch = s->m->ctx * row_bytes(s->m),
        .src_pitch = from.plane,
        .bytes = s->pass.n * row_bytes(s->m),
        .planes = 2 * s->m->kv_heads,
    };
    s->last_store = s->stored[layer] = run_copy(r, DEV_D2H, &c);
}

/* Starts the copy of rows [pos, end) of all heads of the layer from the store. */
static uint64_t fetch(hi_run *r, int layer, kv_rows to, int64_t pos, int64_t end)
{
    const hi_model *m = r->in->m;
    dev_copy c = {
        .dst = to.k,
        .src = store_row(r, layer, 0, pos),
        .dst_pitch = to.plane,
        .src_pitch = m->ctx * row_bytes(m),
        .bytes = (end - pos) * row_bytes(m),
        .planes = 2 * m->kv_heads,
        .after = r->in->last_store,
    };
    return run_copy(r, DEV_H2D, &c);
}

void settle(hi_run *r, int layer, int64_t first, int64_t last)
{
    struct hi_state *s = r->in;
    int64_t end = min64(last, s->length);

    if (run_ok(r) && first < end)
        dev_wait(s->dev, DEV_H2D, fetch(r, layer, resident_rows(r, layer, first), first, end));
}

static void tails_from_near(hi_run *r, int layer, int64_t first)
{
    const struct hi_state *s = r->in;
    kv_rows to = tail_rows(r, layer, first), from = near_rows(r, layer, first);
    dev_copy c = { to.k,     from.k,
                   to.plane, from.plane,
                   (s->length - first) * row_bytes(s->m), 2 * s->m->kv_heads,
                   0 };

    dev_move(s->dev, &c);
}

void restore_tails(hi_run *r)
{
    struct hi_state *s = r->in;
    int64_t first = complete_before(s->m, s->length);
    uint64_t event = 0;

    for (int layer = 0; layer < s->m->layers && first < s->length; layer++) {
        if (s->m->layer[layer].window > 0)
            tails_from_near(r, layer, first);
        else if (s->m->offload)
            event = fetch(r, layer, tail_rows(r, layer, first), first, s->length);
    }
    dev_wait(s->dev, DEV_H2D, event);
}
