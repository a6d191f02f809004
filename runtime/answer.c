/*
** answer.c - one answer.
*/
#include "answer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "generation_config.h"
#include "interrupt.h"
#include "progress.h"

/* ---- how to choose ---- */

static void override(double *value, double given)
{
    if (!isnan(given))
        *value = given;
}

/* From the clock, so short that it is typed easily. */
static uint64_t new_seed(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return ((uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec * 1000003u) % 1000000000u;
}

static void choose_options(sample_options *o, const generation_config *g, const cli_sampling *c)
{
    *o = g->sample;
    override(&o->temp, c->temp);
    override(&o->top_p, c->top_p);
    override(&o->min_p, c->min_p);
    override(&o->repeat, c->repeat);
    override(&o->frequency, c->frequency);
    override(&o->presence, c->presence);
    if (c->top_k >= 0)
        o->top_k = c->top_k;
    if (c->last_n >= -1)
        o->last_n = c->last_n;
    else if (!isnan(c->repeat)) /* the user's own penalty, not the file's */
        o->last_n = 64;
    o->seed = c->seed >= 0 ? (uint64_t)c->seed : new_seed();
    if (o->temp <= 0 && (c->top_k >= 0 || !isnan(c->top_p) || !isnan(c->min_p) || c->seed >= 0))
        fprintf(stderr, "note: the answer is greedy, in which --top-k, --top-p, --min-p and --seed "
                        "change nothing; pass --temp, too\n");
}

/* The model's ends and the checkpoint's, each once. */
static int gather_ends(speaker *s, const generation_config *g)
{
    s->end = calloc((size_t)(s->m->n_eos + g->n_ends) + 1, sizeof *s->end);
    if (s->end == NULL)
        return -1;
    for (int i = 0; i < s->m->n_eos; i++)
        s->end[s->n_ends++] = s->m->eos[i];
    for (int i = 0; i < g->n_ends; i++) {
        bool known = g->end[i] >= s->m->vocab; /* it never comes */
        for (int j = 0; j < s->n_ends && !known; j++)
            known = s->end[j] == g->end[i];
        if (!known)
            s->end[s->n_ends++] = g->end[i];
    }
    return 0;
}

/* The user's biases, and with --ignore-eos the ends excluded. */
static int open_sampler(speaker *s, const cli_sampling *c, char *err, size_t n)
{
    sample_bias *bias = calloc((size_t)(c->n_biases + s->n_ends) + 1, sizeof *bias);

    if (bias == NULL)
        return -1;
    sample_options o = s->sample;
    o.bias = bias;
    for (int i = 0; i < c->n_biases; i++)
        bias[o.n_bias++] = c->bias[i];
    for (int i = 0; i < s->n_ends && c->ignore_eos; i++)
        bias[o.n_bias++] = (sample_bias){ s->end[i], -INFINITY };
    s->sampler =
        sampler_open(&o, s->m->vocab, s->tok != NULL ? tok_size(s->tok) : s->m->vocab, err, n);
    free(bias);
    return s->sampler == NULL ? -1 : 0;
}

int speaker_open(speaker *s, const hi_model *m, const cli *c, const hi_tokenizer *tok, int *code,
                 char *err, size_t n)
{
    generation_config g;

    *s = (speaker){ .m = m, .tok = tok };
    *code = EXIT_BAD_MODEL;
    if (generation_config_read(&g, c->run.weights, err, n) != 0)
        return -1;
    *code = EXIT_FAILED;
    choose_options(&s->sample, &g, &c->sampling);
    snprintf(err, n, "out of memory for an answer");
    if (gather_ends(s, &g) != 0 || open_sampler(s, &c->sampling, err, n) != 0)
        return -1;
    s->stop = stop_open(c->sampling.stop, c->sampling.n_stops);
    s->stream = tok != NULL ? tok_stream_open(tok, false) : NULL;
    return s->stop == NULL || (tok != NULL && s->stream == NULL) ? -1 : 0;
}

void speaker_close(speaker *s)
{
    free(s->end);
    sampler_close(s->sampler);
    stop_close(s->stop);
    tok_stream_close(s->stream);
    *s = (speaker){ 0 };
}

int speaker_follow(const speaker *s, const int32_t *ids, size_t n)
{
    size_t n_text;

    for (size_t i = 0; i < n && s->stream != NULL; i++)
        if (tok_stream_put(s->stream, ids[i], &n_text) == NULL)
            return -1;
    return 0;
}

void speaker_describe(const speaker *s, char *text, size_t n)
{
    const sample_options *o = &s->sample;
    size_t at = 0;

    if (o->temp > 0)
        at = (size_t)snprintf(text, n, "temperature %g, top-k %lld, top-p %g, min-p %g, seed %llu",
                              o->temp, (long long)o->top_k, o->top_p, o->min_p,
                              (unsigned long long)o->seed);
    else
        at = (size_t)snprintf(text, n, "greedy");
    if (at < n && (o->repeat != 1 || o->frequency != 0 || o->presence != 0))
        snprintf(text + at, n - at, "; penalties: repeat %g, frequency %g, presence %g, last %lld",
                 o->repeat, o->frequency, o->presence, (long long)o->last_n);
}

/* ---- text ---- */

/* What of the text is certainly no part of a stop string. */
static int put_text(const answer *a, const speaker *s, const char *text, size_t n_text)
{
    size_t n = 0;
    const char *shown = text == NULL ? NULL : stop_put(s->stop, text, n_text, &n);

    if (shown == NULL) {
        errno = ENOMEM;
        return -1;
    }
    return n > 0 ? a->put(a->arg, shown, n) : 0;
}

/* One token's text, or its id. */
static int put_token(const answer *a, const speaker *s, int32_t id)
{
    char number[16];
    size_t n = 0;

    if (s->tok != NULL) {
        const char *text = tok_stream_put(s->stream, id, &n);
        return put_text(a, s, text, n);
    }
    n = (size_t)snprintf(number, sizeof number, "%s%d", a->n_new > 1 ? " " : "", id);
    return a->put(a->arg, number, n);
}

/* What was held back, and a new answer may begin. */
static int end_text(const answer *a, const speaker *s)
{
    size_t n = 0;
    int rc = 0;

    if (s->tok != NULL) {
        const char *text = tok_stream_end(s->stream, &n);
        rc = put_text(a, s, text, n);
    }
    if (rc == 0 && !stop_found(s->stop)) {
        const char *text = stop_end(s->stop, &n);
        rc = n > 0 ? a->put(a->arg, text, n) : 0;
    }
    stop_reset(s->stop);
    return rc;
}

/* ---- tokens ---- */

static bool is_end(const speaker *s, int32_t id)
{
    for (int i = 0; i < s->n_ends; i++)
        if (s->end[i] == id)
            return true;
    return false;
}

static answer_end fail(answer *a, const char *why)
{
    snprintf(a->error, sizeof a->error, "%s", why);
    return ANSWER_FAILED;
}

/* Scores of the last row of the last pass. */
static const float *last_scores(hi_run *r, const hi_model *m, int64_t n_last)
{
    int64_t row = m->logits_all ? (n_last - 1) % m->rows[HI_PREFILL] : 0;
    return hi_logits(r) + row * m->vocab;
}

static answer_end fail_choice(answer *a, hi_run *r, int32_t id)
{
    if (hi_error_text(r)[0] != '\0') /* of the device */
        return fail(a, hi_error_text(r));
    return fail(a, id == SAMPLE_NONE
                       ? "no token is left to choose: --logit-bias and --ignore-eos exclude all"
                       : "the scores are not finite: the weights are damaged or not this model's");
}

static answer_end give(answer *a, const speaker *s, hi_run *r, int32_t *ids, int64_t *n,
                       int64_t n_last)
{
    while (a->most < 0 || a->n_new < a->most) {
        int32_t id = sampler_pick(s->sampler, last_scores(r, s->m, n_last), ids, *n);
        if (id < 0)
            return fail_choice(a, r, id);
        if (is_end(s, id))
            return ANSWER_ENDED;
        ids[(*n)++] = id;
        a->n_new++;
        if (put_token(a, s, id) != 0)
            return fail(a, strerror(errno));
        if (stop_found(s->stop))
            return ANSWER_ENDED;
        if (interrupted())
            return ANSWER_INTERRUPTED;
        if (a->n_new == a->most)
            break;
        if (hi_length(r) == s->m->ctx)
            return ANSWER_FULL;
        if (hi_decode(r, id) != 0)
            return fail(a, hi_error_text(r));
        a->passes++;
        n_last = 1;
    }
    return ANSWER_MOST;
}

answer_end answer_give(answer *a, const speaker *s, hi_run *r, int32_t *ids, int64_t *n,
                       int64_t n_last)
{
    double start = seconds();

    a->n_new = a->passes = 0;
    sampler_begin(s->sampler, a->number);
    answer_end end = give(a, s, r, ids, n, n_last);
    if (end_text(a, s) != 0 && end != ANSWER_FAILED)
        end = fail(a, strerror(errno));
    a->s = seconds() - start;
    return end;
}
