/*
** generate.c - the verb 'generate': a prompt in, its continuation out.
*/
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "forecast.h"
#include "progress.h"
#include "prompt.h"

static atomic_int interrupts;
static _Atomic(hi_run *) running;

/* The first Ctrl-C ends the pass or the answer, the second the program. */
static void on_interrupt(int sig)
{
    (void)sig;
    if (atomic_fetch_add(&interrupts, 1) > 0)
        _exit(EXIT_INTERRUPTED);
    hi_run *r = atomic_load(&running);
    if (r != NULL)
        hi_cancel(r);
}

typedef struct answer {
    const prompt *p;
    tok_stream *text; /* NULL: ids out */
    int64_t n_prompt, n_new;
    double prefill_s, decode_s;
    bool prefilled; /* the whole prompt */
} answer;

static int say_error(const char *text, int code)
{
    fprintf(stderr, "%s\n", text);
    return code;
}

static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    (void)r;
    progress_step(arg, pass);
}

/* The whole prompt, or up to where it was cancelled; 0 or -1. */
static int prefill(hi_run *r, const hi_model *m, answer *a)
{
    progress g;

    progress_begin(&g, m, a->n_prompt);
    hi_set_watch(r, on_pass, &g);
    int rc = hi_prefill(r, a->p->ids, a->n_prompt);
    hi_set_watch(r, NULL, NULL);
    progress_end(&g);
    a->prefill_s = seconds() - g.start;
    return rc;
}

static bool is_end(const hi_model *m, int32_t id)
{
    for (int i = 0; i < m->n_eos; i++)
        if (m->eos[i] == id)
            return true;
    return false;
}

/* Writes what is certain of the text after one more token, or the token's id. */
static int put_token(const answer *a, int32_t id)
{
    size_t n = 0;

    if (a->text == NULL)
        printf("%s%d", a->n_new > 0 ? " " : "", id);
    else {
        const char *bytes = tok_stream_put(a->text, id, &n);
        if (bytes == NULL) {
            errno = ENOMEM;
            return -1;
        }
        fwrite(bytes, 1, n, stdout);
    }
    return fflush(stdout) == EOF ? -1 : 0;
}

/* The last token may have left a character unfinished. */
static void put_rest(const answer *a)
{
    size_t n = 0;
    const char *bytes = a->text != NULL ? tok_stream_end(a->text, &n) : NULL;

    if (bytes != NULL)
        fwrite(bytes, 1, n, stdout);
    if (a->n_new > 0)
        putchar('\n');
}

/* Scores of the last row of the last pass. */
static const float *last_scores(hi_run *r, const hi_model *m, int64_t n_prompt, bool prefilled)
{
    int64_t row = prefilled && m->logits_all ? (n_prompt - 1) % m->rows[HI_PREFILL] : 0;
    return hi_logits(r) + row * m->vocab;
}

static int decode(hi_run *r, const hi_model *m, const cli *c, answer *a)
{
    double start = seconds();
    int rc = 0;

    for (int64_t i = 0; i < c->new_tokens && rc == 0; i++) {
        int32_t id = hi_argmax(last_scores(r, m, a->n_prompt, i == 0), m->vocab);
        if (id < 0) {
            if (hi_error_text(r)[0] != '\0') /* of the device */
                rc = -1;
            else
                rc = say_error("the scores are not finite: the weights are damaged or not this "
                               "model's",
                               EXIT_FAILED);
            break;
        }
        if (is_end(m, id) && !c->ignore_eos)
            break;
        if (put_token(a, id) != 0) {
            rc = say_error(strerror(errno), EXIT_FAILED);
            break;
        }
        a->n_new++;
        if (i + 1 < c->new_tokens && hi_decode(r, id) != 0)
            rc = -1;
    }
    a->decode_s = seconds() - start;
    return rc;
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double per_second(int64_t n, double s)
{
    return s > 0 ? (double)n / s : 0;
}

static void compare_line(const char *what, double planned, double measured)
{
    fprintf(stderr, "%-28s %14.2f %14.2f\n", what, planned, measured);
}

/* What the plan said of this run, and what was. Decoding is compared at its middle. */
static void compare(const hi_model *m, const answer *a, const hi_stats *s)
{
    int64_t passes = a->n_new > 0 ? a->n_new - 1 : 0;
    hi_forecast prompt = forecast_at(m, a->n_prompt),
                token = forecast_at(m, a->n_prompt + passes / 2);
    double in = prompt.prefill_in, out = prompt.prefill_out;

    if (passes > 0) {
        in += forecast_enter(m, a->n_prompt) + (double)passes * token.decode_in;
        out += (double)passes * token.decode_out;
    }
    fprintf(stderr, "%-28s %14s %14s   (plan: %s", "", "plan", "measured", m->machine);
    if (m->budget_bytes >= 0)
        fprintf(stderr, ", budget %.2f MiB", mib(m->budget_bytes));
    fprintf(stderr, ")\n");
    compare_line("prompt, s", prompt.prefill_s, a->prefill_s);
    if (passes > 0)
        compare_line("token, ms", 1e3 * token.decode_s, 1e3 * a->decode_s / (double)passes);
    compare_line("to the device, MiB", in / (1 << 20), mib(s->h2d_bytes));
    compare_line("to the host, MiB", out / (1 << 20), mib(s->d2h_bytes));
    compare_line("device memory, MiB", mib(m->arena_bytes), mib(s->arena_touched_bytes));
}

static void summary(const hi_run *r, const hi_model *m, const answer *a)
{
    hi_stats s;
    int64_t passes = a->n_new > 0 ? a->n_new - 1 : 0; /* the first token came with the prompt */

    hi_get_stats(r, &s);
    if (a->prefilled)
        fprintf(stderr, "\nprompt      %lld tokens, %.2f s, %.1f tokens/s\n",
                (long long)a->n_prompt, a->prefill_s, per_second(a->n_prompt, a->prefill_s));
    else
        fprintf(stderr, "\nprompt      %lld tokens, not finished in %.2f s\n",
                (long long)a->n_prompt, a->prefill_s);
    fprintf(stderr, "generation  %lld tokens, %.2f s, %.1f tokens/s (%.2f ms per token)\n",
            (long long)a->n_new, a->decode_s, per_second(passes, a->decode_s),
            passes > 0 ? 1e3 * a->decode_s / (double)passes : 0.0);
    fprintf(stderr, "compute     %s", hi_isa(r));
    if (hi_threads(r) > 0)
        fprintf(stderr, ", %d threads", hi_threads(r));
    fprintf(stderr, "\nlink        busy %.2f s to the device; compute waited %.2f s\n", s.link_s,
            s.stall_s);
    if (a->prefilled)
        compare(m, a, &s);
}

static int answer_prompt(hi_run *r, const hi_model *m, const cli *c, const prompt *p)
{
    answer a = { .p = p, .n_prompt = (int64_t)p->n };
    if (p->tok != NULL && (a.text = tok_stream_open(p->tok, false)) == NULL)
        return say_error("out of memory", EXIT_FAILED);
    int rc = prefill(r, m, &a);

    a.prefilled = rc == 0;
    if (rc == 0)
        rc = decode(r, m, c, &a);
    put_rest(&a);
    tok_stream_close(a.text);
    summary(r, m, &a);
    if (rc >= 0)
        return rc;
    if (atomic_load(&interrupts) == 0)
        return say_error(hi_error_text(r), EXIT_FAILED);
    return a.prefilled ? 0 : EXIT_INTERRUPTED;
}

int cli_generate(const hi_model *m, const cli *c)
{
    char err[4096] = "";
    int code = EXIT_FAILED;
    prompt p;

    if (prompt_read(&p, m, c, &code, err, sizeof err) != 0) {
        prompt_free(&p);
        return say_error(err, code);
    }
    hi_run *r = hi_open(m, &c->run, &code, err, sizeof err);
    if (r == NULL) {
        prompt_free(&p);
        return say_error(err, code);
    }
    if (hi_note(r)[0] != '\0')
        fprintf(stderr, "note: %s\n", hi_note(r));
    atomic_store(&running, r);
    signal(SIGINT, on_interrupt);
    signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error of ours, not a death */
    code = answer_prompt(r, m, c, &p);
    atomic_store(&running, NULL);
    hi_close(r);
    prompt_free(&p);
    return code;
}
