/*
** run.c - a run's life: open, rewind, close, and what it can be asked.
**
** Owns memory and tables, and the first failure. Prompts and tokens: pass.c.
*/
#include "state.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    struct hi_state *s = r->in;
    const char *error = s->failed ? NULL : dev_error(s->dev);

    if (error != NULL)
        run_fail(r, "%s", error);
    if (!s->failed && atomic_load_explicit(&s->cancelled, memory_order_relaxed)) {
        run_fail(r, "cancelled");
        s->cancel_failed = true;
    }
    return !s->failed;
}

unsigned char *run_buffer(hi_run *r, int id)
{
    struct hi_state *s = r->in;
    const hi_buffer *b = &s->m->buf[s->phase][id];
    if (b->offset + b->bytes > s->stats.arena_peak_bytes)
        s->stats.arena_peak_bytes = b->offset + b->bytes;
    return s->arena + b->offset;
}

unsigned char *run_host(hi_run *r, int id)
{
    return r->in->host + r->in->m->host[id].offset;
}

uint64_t run_copy(hi_run *r, dev_stream s, const dev_copy *c)
{
    return r->in->last_copy[s] = dev_start(r->in->dev, s, c);
}

/* ---- open and close ---- */

/* Where each layer's rows begin: k of a head, its v, the next head's. */
static void find_rows(struct hi_state *s)
{
    const hi_model *m = s->m;
    int64_t kept = 0, frames = 0, near = 0, tails = 0, stored = 0;
    int64_t row = 2 * m->kv_heads * row_bytes(m);

    for (int layer = 0; layer < m->layers; layer++) {
        const int64_t *resident = m->layer[layer].resident;
        bool rolls = m->layer[layer].window > 0;
        s->kept_at[layer] = kept;
        s->frames_at[layer] = frames;
        s->near_at[layer] = near;
        s->tails_at[layer] = tails;
        s->store_at[layer] = stored;
        kept += rolls ? 0 : resident[HI_PREFILL] * row;
        frames += rolls ? 0 : (resident[HI_DECODE] - resident[HI_PREFILL]) * row;
        near += rolls ? m->near_rows * row : 0;
        tails += rolls || m->offload ? 2 * m->split * row : 0;
        stored += !rolls;
    }
}

static bool allocate(hi_run *r)
{
    struct hi_state *s = r->in;
    size_t layers = (size_t)s->m->layers;

    s->filled = calloc((size_t)s->m->slots + 1, sizeof *s->filled);
    s->stored = calloc(layers, sizeof *s->stored);
    s->kept_at = calloc(layers, sizeof *s->kept_at);
    s->frames_at = calloc(layers, sizeof *s->frames_at);
    s->near_at = calloc(layers, sizeof *s->near_at);
    s->tails_at = calloc(layers, sizeof *s->tails_at);
    s->store_at = calloc(layers, sizeof *s->store_at);
    return s->filled && s->stored && s->kept_at && s->frames_at && s->near_at && s->tails_at &&
           s->store_at && weights_place(r) == 0;
}

static int load(hi_run *r, const hi_options *o, int *code, char *err, size_t n)
{
    struct hi_state *s = r->in;
    weights_crew crew = dev_crew(s->dev);
    int rc = weights_load(s->m, o->weights, o->round_weights, &crew, dev_put_rows, s->dev, err, n);

    if (rc == 0) {
        dev_loaded(s->dev);
        weights_start(r);
    }
    const char *failed = dev_error(s->dev);      /* not the files' fault */
    *code = failed != NULL ? 1 : 4;
    if (failed != NULL)
        snprintf(err, n, "%s", failed);
    return failed != NULL ? -1 : rc;
}

static int open_parts(hi_run *r, const hi_options *o, int *code, char *err, size_t n)
{
    struct hi_state *s = r->in;

    *code = 1;
    if (!allocate(r)) {
        snprintf(err, n, "out of memory for the run's tables");
        return -1;
    }
    find_rows(s);
    s->dev = dev_open(s->m, o, code, err, n);
    if (s->dev == NULL)
        return -1;
    s->arena = dev_arena(s->dev);
    s->host = dev_host(s->dev);
    dev_layout(s->dev, s->m->buf[HI_PREFILL]);
    return load(r, o, code, err, n);
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
    free(s->near_at);
    free(s->tails_at);
    free(s->store_at);
    weights_free(r);
    free(s);
    free(r);
}

/* What the row at 'n' sees must still be there. */
int64_t hi_rewind_least(const hi_run *r)
{
    const struct hi_state *s = r->in;
    int64_t least = 1;

    for (int l = 0; l < s->m->layers && s->near_from > 0; l++)
        if (s->m->layer[l].window > 0 && s->near_from + s->m->layer[l].window - 1 > least)
            least = s->near_from + s->m->layer[l].window - 1;
    return least;
}

int hi_rewind(hi_run *r, int64_t n_tok)
{
    struct hi_state *s = r->in;

    if (!run_ok(r))
        return -1;
    if (n_tok < 0 || n_tok > s->length)
        return run_fail(r, "rewind to %lld: the sequence has %lld tokens", (long long)n_tok,
                        (long long)s->length);
    if (n_tok > 0 && n_tok < hi_rewind_least(r))
        return run_fail(r,
                        "rewind to %lld: layers keep a window of their rows alone, and can go back to "
                        "%lld or to 0",
                        (long long)n_tok, (long long)hi_rewind_least(r));
    s->length = n_tok;
    if (n_tok == 0)
        s->near_from = 0;
    if (s->m->offload)
        ring_reset(r);
    restore_tails(r);
    return 0;
}

/* Steps behind a cancel were left out, so that counters may stand anywhere and buffers hold
   anything. All copies and all compute end first, for some wait for none of them; then both rings
   begin anew. Rows of the sequence are where they were: a prompt writes none of them but in the
   tails, which come back from the store. Decode's rows are settled again when a token comes; one
   that was left out in the middle of that is why a cancelled token is the end. */
int hi_recover(hi_run *r)
{
    struct hi_state *s = r->in;

    if (s->failed && (!s->cancel_failed || s->token_under_way))
        return -1;
    atomic_store_explicit(&s->cancelled, false, memory_order_relaxed);
    if (!s->failed)
        return 0;
    s->failed = s->cancel_failed = false;
    s->error[0] = '\0';
    if (!run_ok(r))                  /* has the device failed meanwhile? */
        return -1;
    for (int i = 0; i < DEV_STREAMS; i++)
        dev_wait(s->dev, (dev_stream)i, s->last_copy[i]);
    dev_finish(s->dev);
    weights_restart(r);
    near_reaches(r, s->prompt.base + s->prompt.n);
    return hi_rewind(r, s->length < hi_rewind_least(r) ? 0 : s->length);
}

/* ---- questions ---- */

int64_t hi_length(const hi_run *r)
{
    return r->in->length;
}

const float *hi_logits(hi_run *r)
{
    const struct hi_state *s = r->in;
    const hi_buffer *b = &s->m->buf[s->phase][HI_B_LOGITS];
    int64_t rows = s->m->logits_all ? s->pass.n : 1;
    const float *p = (const float *)(s->arena + b->offset);
    const float *scores = dev_scores(s->dev, p, rows * s->m->vocab);
    run_ok(r);                       /* keeps the failure of the device, if that was one */
    return scores;
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

const char *hi_note(const hi_run *r)
{
    return dev_note(r->in->dev);
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
