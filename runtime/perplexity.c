/*
** perplexity.c - the verb 'perplexity': how well the model predicts a text.
**
** As llama.cpp measures it: windows of N tokens, each a sequence of its own whose first token
** is BOS where the tokenizer adds one; the tokens behind the first half of a window are
** scored, so that every one has at least N / 2 before it. The sum of -log p is over tokens in
** their order: the same number whatever the threads.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cpu/pool.h"
#include "interrupt.h"
#include "progress.h"
#include "prompt.h"

/* One window; what its passes have scored. */
typedef struct window {
    const hi_model *m;
    pool *pool;
    const int32_t *ids;  /* (n) */
    int64_t n, first;    /* tokens; rows from 'first' on are scored */
    double *nll;         /* (n) -log p of token i + 1 behind tokens 0..i */
    progress *progress;  /* NULL: not shown */
    const hi_pass *pass; /* under way */
    const float *scores; /* its rows */
} window;

/* Of all scored tokens so far. */
typedef struct tally {
    int64_t n;
    double sum, squares;
} tally;

static void score_row(void *arg, int row)
{
    window *w = arg;
    int64_t at = w->pass->first + row;
    const float *x = w->scores + (int64_t)row * w->m->vocab;
    float most = x[0];
    double sum = 0;

    if (at < w->first || at + 1 >= w->n)
        return;
    for (int i = 1; i < w->m->vocab; i++)
        most = x[i] > most ? x[i] : most;
    for (int i = 0; i < w->m->vocab; i++)
        sum += exp((double)x[i] - most);
    w->nll[at] = log(sum) + most - x[w->ids[at + 1]];
}

static void on_pass(void *arg, hi_run *r, const hi_pass *p)
{
    window *w = arg;

    if (w->progress != NULL)
        progress_step(w->progress, p);
    if (!p->scored || p->first + p->rows <= w->first)
        return;
    w->pass = p;
    w->scores = hi_logits(r);
    pool_run(w->pool, score_row, w, (int)p->rows);
}

static int run_window(hi_run *r, window *w, bool show, tally *t, char *err, size_t n)
{
    progress g;

    if (hi_rewind(r, 0) != 0) {
        snprintf(err, n, "%s", hi_error_text(r));
        return -1;
    }
    progress_begin(&g, w->m, 0, w->n);
    w->progress = show ? &g : NULL;
    hi_set_watch(r, on_pass, w);
    interrupt_cancels(r);
    int rc = hi_prefill(r, w->ids, w->n);
    interrupt_cancels(NULL);
    hi_set_watch(r, NULL, NULL);
    if (show)
        progress_end(&g);
    if (rc != 0)
        snprintf(err, n, "%s", hi_error_text(r));
    for (int64_t i = w->first; rc == 0 && i + 1 < w->n; i++) {
        t->n++;
        t->sum += w->nll[i];
        t->squares += w->nll[i] * w->nll[i];
    }
    if (rc == 0 && isfinite(t->sum))
        return 0;
    if (rc == 0)
        snprintf(err, n, "the scores are not finite: the weights are damaged or not this model's");
    return -1;
}

/* exp of the mean, and its standard error to first order. */
static double estimate(const tally *t, double *error)
{
    double mean = t->sum / (double)t->n, spread = t->squares / (double)t->n - mean * mean;

    *error = t->n > 1 && spread > 0 ? exp(mean) * sqrt(spread / (double)(t->n - 1)) : 0;
    return exp(mean);
}

/* The token that begins every window; -1: the text's own. */
static int32_t first_token(const hi_model *m, const prompt *p)
{
    tok_options o = { .bos = true };
    char err[256];
    size_t n = 0;
    int32_t first = -1;

    if (p->tok == NULL)
        return m->bos >= 0 && p->ids[0] == m->bos ? m->bos : -1;
    int32_t *ids = tok_encode(p->tok, "", 0, &o, &n, err, sizeof err);
    if (ids != NULL && n > 0)
        first = ids[0];
    free(ids);
    return first;
}

/* All windows; prints as it goes. */
static int run_windows(hi_run *r, window *w, const prompt *p, int64_t n_windows)
{
    int32_t first = first_token(w->m, p);
    double start = seconds(), error, ppl;
    tally t = { 0 };
    char err[512];
    int code = 0;

    interrupt_begin();
    for (int64_t i = 0; i < n_windows && code == 0; i++) {
        int32_t *ids = p->ids + i * w->n;
        if (first >= 0)
            ids[0] = first;
        w->ids = ids;
        if (run_window(r, w, n_windows == 1, &t, err, sizeof err) != 0) {
            code = interrupted() ? EXIT_INTERRUPTED : cli_fail(err, EXIT_FAILED);
            break;
        }
        ppl = estimate(&t, &error);
        if (n_windows > 1)
            fprintf(stderr, "[%lld]%.4f%s", (long long)i + 1, ppl, i + 1 < n_windows ? "," : "\n");
    }
    if (code == EXIT_INTERRUPTED && t.n > 0)
        fprintf(stderr, "\nnote: interrupted; of the windows so far:\n");
    if (t.n == 0 || (code != 0 && code != EXIT_INTERRUPTED))
        return code;
    ppl = estimate(&t, &error);
    printf("PPL = %.4f +/- %.5f\n", ppl, error);
    fprintf(stderr, "scored %lld of %zu tokens, windows of %lld, %.2f s\n", (long long)t.n, p->n,
            (long long)w->n, seconds() - start);
    cli_say_weights(w->m, stderr);
    return cli_flush(code);
}

static int open_and_run(const hi_model *m, const cli *c, const prompt *p, int64_t n_window)
{
    char err[4096] = "";
    int code, threads = c->run.threads > 0 ? c->run.threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    hi_run *r = hi_open(m, &c->run, &code, err, sizeof err);
    window w = { .m = m, .n = n_window, .first = n_window / 2 };
    int64_t n_windows = (int64_t)p->n / n_window;

    if (r == NULL)
        return cli_fail(err, code);
    if (hi_note(r)[0] != '\0')
        fprintf(stderr, "note: %s\n", hi_note(r));
    if (c->chunks > 0 && c->chunks < n_windows)
        n_windows = c->chunks;
    w.nll = calloc((size_t)n_window, sizeof *w.nll);
    w.pool = pool_open(threads, NULL);
    if (w.nll == NULL || w.pool == NULL)
        code = cli_fail("out of memory for a window", EXIT_FAILED);
    else {
        interrupt_catch();
        code = run_windows(r, &w, p, n_windows);
    }
    if (w.pool != NULL)
        pool_close(w.pool);
    free(w.nll);
    hi_close(r);
    return code;
}

/* Tokens of a window; 0 with a message. */
static int64_t window_size(const hi_model *m, const cli *c, const prompt *p, int *code, char *err,
                           size_t n)
{
    int64_t size = c->whole ? (int64_t)p->n : c->window > 0 ? c->window : 512;

    *code = EXIT_NO_FIT;
    if (size > m->ctx)
        snprintf(err, n,
                 "a window of %lld tokens; the program was generated for a context of %lld: pass "
                 "--window %lld, or run hi-gen with --ctx %lld",
                 (long long)size, (long long)m->ctx, (long long)m->ctx, (long long)size);
    else if ((int64_t)p->n < size || size < 4) {
        *code = EXIT_USAGE;
        snprintf(
            err, n,
            "the text has %zu tokens: at least one window (%lld) is needed; pass a longer text "
            "or a smaller --window",
            p->n, (long long)(size < 4 ? 4 : size));
    } else
        return size;
    return 0;
}

int cli_perplexity(const hi_model *m, const cli *c)
{
    char err[4096] = "";
    int code = EXIT_USAGE;
    prompt p = { 0 };
    int64_t n_window = 0;

    if (!m->logits_all)
        snprintf(err, sizeof err,
                 "perplexity needs the scores of every token: run hi-gen with --logits "
                 "all; this program keeps those of a prompt's last one");
    else if (prompt_read(&p, m, c, &code, err, sizeof err) == 0)
        n_window = window_size(m, c, &p, &code, err, sizeof err);
    code = n_window == 0 ? cli_fail(err, code) : open_and_run(m, c, &p, n_window);
    prompt_free(&p);
    return code;
}
