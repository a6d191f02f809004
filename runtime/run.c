/*
** run.c - a run's life: open, passes, rewind, close.
**
** Owns the order of things around a pass: which phase's layout holds, what the sequence's
** length is, which failure came first. The passes themselves are emitted code.
*/
#include "state.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guard.h"
#include "weights.h"

int run_fail(hi_run *r, const char *fmt, ...)
{
    struct hi_state *s = r->in;
    va_list ap;

    if (s->failed)
        return -1;
    va_start(ap, fmt);
    vsnprintf(s->error, sizeof s->error, fmt, ap);
    va_end(ap);
    s->failed = true;
    return -1;
}

bool run_ok(hi_run *r)
{
    if (!r->in->failed && atomic_load_explicit(&r->in->cancelled, memory_order_relaxed))
        run_fail(r, "cancelled");
    return !r->in->failed;
}

int64_t row_bytes(const hi_model *m)
{
    return (int64_t)m->head_dim * m->elt;
}

unsigned char *run_buffer(hi_run *r, int id)
{
    struct hi_state *s = r->in;
    const hi_buffer *b = &s->m->buf[s->phase][id];
    if (b->offset + b->bytes > s->stats.arena_peak_bytes)
        s->stats.arena_peak_bytes = b->offset + b->bytes;
    return s->arena + b->offset;
}

unsigned char *store_row(hi_run *r, int layer, int head, int64_t pos)
{
    const hi_model *m = r->in->m;
    int64_t plane = ((int64_t)layer * m->kv_heads + head) * 2;
    return r->in->store + (plane * m->ctx + pos) * row_bytes(m);
}

unsigned char *run_frame(hi_run *r, int layer, int head, int t)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int entry = layer * m->kv_heads + head;
    int kept = s->resident[entry];   /* prefill's: they stay in both phases */
    int64_t frame = 2 * m->tile * row_bytes(m);

    if (t < kept)
        return run_buffer(r, HI_B_KEPT) + s->kept_at[entry] + t * frame;
    return run_buffer(r, HI_B_FRAMES) + s->frames_at[entry] + (t - kept) * frame;
}

/* ---- open and close ---- */

/* Residency by entry, and where each entry's frames begin. */
static void place_frames(struct hi_state *s)
{
    const hi_model *m = s->m;
    int entries = m->layers * m->kv_heads;
    int64_t kept = 0, frames = 0, frame = 2 * m->tile * row_bytes(m);

    for (int g = 0; g < m->n_groups; g++)
        for (int i = 0; i < m->ring[g].n; i++) {
            int entry = m->ring[g].layer * m->kv_heads + m->ring[g].head + i;
            for (int phase = 0; phase < HI_PHASES; phase++)
                s->resident[phase * entries + entry] = m->ring[g].resident[phase];
        }
    for (int entry = 0; entry < entries; entry++) {
        s->kept_at[entry] = kept;
        s->frames_at[entry] = frames;
        kept += s->resident[entry] * frame;
        frames += (s->resident[entries + entry] - s->resident[entry]) * frame;
    }
}

static bool allocate(struct hi_state *s)
{
    size_t entries = (size_t)s->m->layers * (size_t)s->m->kv_heads;

    s->filled = calloc((size_t)s->m->slots, sizeof *s->filled);
    s->stored = calloc((size_t)s->m->layers, sizeof *s->stored);
    s->kept_at = calloc(entries, sizeof *s->kept_at);
    s->frames_at = calloc(entries, sizeof *s->frames_at);
    s->resident = calloc(2 * entries, sizeof *s->resident);
    return s->filled && s->stored && s->kept_at && s->frames_at && s->resident;
}

static int open_parts(hi_run *r, const hi_options *o, int *code, char *err, size_t n)
{
    struct hi_state *s = r->in;

    *code = 1;
    if (!allocate(s)) {
        snprintf(err, n, "out of memory for the run's tables");
        return -1;
    }
    place_frames(s);
    s->dev = dev_open(s->m, o, code, err, n);
    if (s->dev == NULL)
        return -1;
    s->arena = dev_arena(s->dev);
    s->store = dev_store(s->dev);
    dev_layout(s->dev, s->m->buf[HI_PREFILL]);
    *code = 4;
    return weights_load(s->m, o->weights, o->round_weights, dev_put_rows, s->dev, err, n);
}

hi_run *hi_open(const hi_model *m, const hi_options *o, int *code, char *err, size_t n)
{
    hi_run *r = calloc(1, sizeof *r);
    struct hi_state *s = calloc(1, sizeof *s);
    int ignored;

    if (code == NULL)
        code = &ignored;
    if (r == NULL || s == NULL) {
        free(r);
        free(s);
        *code = 1;
        snprintf(err, n, "out of memory for a run");
        return NULL;
    }
    r->in = s;
    s->m = m;
    if (open_parts(r, o, code, err, n) != 0) {
        hi_close(r);
        return NULL;
    }
    return r;
}

void hi_close(hi_run *r)
{
    if (r == NULL)
        return;
    struct hi_state *s = r->in;
    dev_close(s->dev);
    free(s->filled);
    free(s->stored);
    free(s->kept_at);
    free(s->frames_at);
    free(s->resident);
    free(s);
    free(r);
}

/* ---- passes ---- */

static int check_ids(hi_run *r, const int32_t *ids, int n)
{
    const hi_model *m = r->in->m;

    if (r->in->length + n > m->ctx)
        return run_fail(r, "%lld tokens do not fit the planned context of %lld: generate the program "
                           "with a larger --ctx",
                        (long long)(r->in->length + n), (long long)m->ctx);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->vocab)
            return run_fail(r, "token %lld: id %d is not in 0..%d", (long long)(r->in->length + i),
                            ids[i], m->vocab - 1);
    return 0;
}

static void begin_pass(hi_run *r, hi_phase phase, const int32_t *ids, int n, bool more)
{
    struct hi_state *s = r->in;

    s->n = n;
    s->ids = ids;
    s->complete = s->length / s->m->split * s->m->split;
    s->more = more;
    r->tiles = (int)((s->complete + s->m->tile - 1) / s->m->tile);
    if (s->phase == phase)
        return;
    ring_reset(r);                   /* no copy may still use the layout that ends here */
    dev_wait(s->dev, DEV_D2H, s->last_store);
    s->phase = phase;
    dev_layout(s->dev, s->m->buf[phase]);
    if (phase == HI_DECODE)
        s->m->enter_decode(r);
}

static int end_pass(hi_run *r)
{
    guard_end();
    if (!run_ok(r))
        return -1;
    r->in->length += r->in->n;
    return 0;
}

int hi_prefill(hi_run *r, const int32_t *ids, int n, bool more)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return -1;
    if (n < 1 || n > s->m->rows[HI_PREFILL])
        return run_fail(r, "%d rows in one pass: 1 to %d", n, s->m->rows[HI_PREFILL]);
    if (check_ids(r, ids, n) != 0)
        return -1;
    guard_begin();
    begin_pass(r, HI_PREFILL, ids, n, more);
    s->m->prefill(r);
    return end_pass(r);
}

int hi_decode(hi_run *r, int32_t id)
{
    struct hi_state *s = r->in;

    if (!run_ok(r) || check_ids(r, &id, 1) != 0)
        return -1;
    guard_begin();
    begin_pass(r, HI_DECODE, &id, 1, s->length + 1 < s->m->ctx);
    s->m->decode(r);
    return end_pass(r);
}

/* The tails hold rows from the last complete split on: bring those of the new length back. */
static void restore_tails(hi_run *r)
{
    struct hi_state *s = r->in;
    const hi_model *m = s->m;
    int64_t first = s->length / m->split * m->split, plane = 2 * m->split * row_bytes(m);
    uint64_t event = 0;

    if (first == s->length)
        return;
    for (int layer = 0; layer < m->layers; layer++) {
        dev_copy c = {
            .dst = run_buffer(r, HI_B_TAILS) + (int64_t)layer * m->kv_heads * 2 * plane +
                   first % (2 * m->split) * row_bytes(m),
            .src = store_row(r, layer, 0, first),
            .dst_pitch = plane,
            .src_pitch = m->ctx * row_bytes(m),
            .bytes = (s->length - first) * row_bytes(m),
            .planes = 2 * m->kv_heads,
            .after = s->last_store,
        };
        event = dev_start(s->dev, DEV_H2D, &c);
    }
    dev_wait(s->dev, DEV_H2D, event);
}

int hi_rewind(hi_run *r, int64_t n_tok)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return -1;
    if (n_tok < 0 || n_tok > s->length)
        return run_fail(r, "rewind to %lld: the sequence has %lld tokens", (long long)n_tok,
                        (long long)s->length);
    s->length = n_tok;
    if (s->m->offload) {
        ring_reset(r);
        restore_tails(r);
    }
    return 0;
}

/* ---- questions ---- */

int64_t hi_length(const hi_run *r)
{
    return r->in->length;
}

const float *hi_logits(const hi_run *r)
{
    const struct hi_state *s = r->in;
    return (const float *)(s->arena + s->m->buf[s->phase][HI_B_LOGITS].offset);
}

int32_t hi_argmax(const float *scores, int n)
{
    int32_t best = 0;

    for (int i = 0; i < n; i++) {
        if (!isfinite(scores[i]))
            return -1;
        if (scores[i] > scores[best])
            best = i;
    }
    return best;
}

const char *hi_error_text(const hi_run *r)
{
    return r->in->error;
}

const char *hi_isa(const hi_run *r)
{
    return dev_isa(r->in->dev);
}

int hi_threads(const hi_run *r)
{
    return dev_threads(r->in->dev);
}

void hi_get_stats(const hi_run *r, hi_stats *s)
{
    *s = r->in->stats;
    dev_copy_stats(r->in->dev, s);
    s->arena_touched_bytes = dev_touched_bytes(r->in->dev);
}

void hi_cancel(hi_run *r)
{
    atomic_store_explicit(&r->in->cancelled, true, memory_order_relaxed);
}
