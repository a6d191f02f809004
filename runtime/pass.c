/*
** pass.c - prompts and tokens: the order of things around the passes, which are emitted code.
**
** A prompt of n tokens is cut into chunks; every panel of layers takes all chunks before the
** next panel begins. A decoded token is one pass through all layers. The sequence is longer only
** when a prompt or token is through.
*/
#include "guard.h"
#include "state.h"

/* ---- which pass ---- */

int64_t complete_before(const hi_model *m, int64_t pos)
{
    return pos / m->split * m->split;
}

int band_of(const hi_model *m, int64_t complete)
{
    int band = 0;

    while (band + 1 < m->n_bands && complete > m->band[band].upto)
        band++;
    return band;
}

int64_t chunk_pos(const hi_run *r, int chunk)
{
    return r->in->prompt.base + (int64_t)chunk * r->in->m->rows[HI_PREFILL];
}

int chunk_rows(const hi_run *r, int chunk)
{
    const prompt_state *p = &r->in->prompt;
    int64_t most = r->in->m->rows[HI_PREFILL], left = p->base + p->n - chunk_pos(r, chunk);
    return (int)(left < most ? left : most);
}

static void set_pass(hi_run *r, pass_state pass)
{
    struct hi_state *s = r->in;

    s->pass = pass;
    r->complete = complete_before(s->m, pass.pos);
    r->band = band_of(s->m, r->complete);
    r->last = pass.chunk + 1 == r->chunks;
}

void begin_pass(hi_run *r, int panel, int chunk)
{
    if (!run_ok(r))
        return;
    set_pass(r, (pass_state){ .panel = panel,
                              .chunk = chunk,
                              .number = panel * r->chunks + chunk,
                              .pos = chunk_pos(r, chunk),
                              .n = chunk_rows(r, chunk) });
}

void end_pass(hi_run *r)
{
    struct hi_state *s = r->in;
    const pass_state *p = &s->pass;
    bool over = p->panel + 1 == s->m->panels;

    if (!run_ok(r))
        return;
    s->pass.first = 0;
    if (over)
        dev_poison(s->dev, hidden_states(r), (int64_t)p->n * s->m->hidden * s->m->elt);
    dev_pace(s->dev);
    if (s->watch == NULL)
        return;
    hi_pass pass = { .first = p->pos,
                     .rows = p->n,
                     .chunk = p->chunk,
                     .chunks = r->chunks,
                     .panel = p->panel,
                     .panels = s->m->panels,
                     .scored = over && (r->last || s->m->logits_all) };
    guard_end(); /* what it allocates is not ours */
    s->watch(s->watch_arg, r, &pass);
    guard_begin();
}

/* ---- prompts and tokens ---- */

static int check_ids(hi_run *r, const int32_t *ids, int64_t n)
{
    const hi_model *m = r->in->m;
    int64_t length = r->in->length;

    if (n > m->ctx - length)
        return run_fail(r,
                        "%lld tokens behind %lld do not fit the planned context of %lld: generate "
                        "the program with a larger --ctx",
                        (long long)n, (long long)length, (long long)m->ctx);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->vocab)
            return run_fail(r, "token %lld: id %d is not in 0..%d", (long long)(length + i), ids[i],
                            m->vocab - 1);
    return 0;
}

/* No copy may still use the layout that ends here; weights on their way stay where they are. */
static void enter_phase(hi_run *r, hi_phase phase)
{
    struct hi_state *s = r->in;

    if (s->phase == phase)
        return;
    ring_reset(r);
    dev_wait(s->dev, DEV_D2H, s->last_copy[DEV_D2H]);
    s->phase = phase;
    dev_layout(s->dev, s->m->buf[phase]);
    if (phase == HI_DECODE)
        s->m->enter_decode(r);
}

static int end_prompt(hi_run *r)
{
    struct hi_state *s = r->in;

    dev_finish(s->dev);
    guard_end();
    if (!run_ok(r))
        return -1;
    s->length += s->prompt.n;
    near_reaches(r, s->length);
    return 0;
}

int hi_prefill(hi_run *r, const int32_t *ids, int64_t n)
{
    struct hi_state *s = r->in;
    int64_t most = s->m->rows[HI_PREFILL];

    if (!run_ok(r))
        return -1;
    if (n < 1)
        return run_fail(r, "a prompt of %lld tokens: at least 1", (long long)n);
    if (check_ids(r, ids, n) != 0)
        return -1;
    guard_begin();
    s->prompt = (prompt_state){ s->length, n };
    dev_begin(s->dev, ids, n);
    r->chunks = (int)((n + most - 1) / most);
    enter_phase(r, HI_PREFILL);
    if (s->ring.issued > r->turn) /* tiles of a pass that did not come? */
        ring_reset(r);
    s->m->prefill(r);
    return end_prompt(r);
}

int hi_decode(hi_run *r, int32_t id)
{
    struct hi_state *s = r->in;

    if (!run_ok(r) || check_ids(r, &id, 1) != 0)
        return -1;
    guard_begin();
    s->prompt = (prompt_state){ s->length, 1 };
    dev_begin(s->dev, &id, 1);
    r->chunks = 1;
    enter_phase(r, HI_DECODE);
    set_pass(r, (pass_state){ .pos = s->length, .n = 1 });
    if (!dev_token(s->dev, s->length)) {
        s->m->decode(r);
        dev_token_issued(s->dev);
    }
    return end_prompt(r);
}

void hi_set_watch(hi_run *r, hi_watch *watch, void *arg)
{
    r->in->watch = watch;
    r->in->watch_arg = arg;
}
