/*
** generate.c - the verb 'generate': a prompt in, its continuation out.
*/
#include <stdio.h>
#include <stdlib.h>
#include "answer.h"
#include "forecast.h"
#include "interrupt.h"
#include "progress.h"
#include "prompt.h"

/* What was done, for the summary. */
typedef struct work {
    int64_t n_prompt;
    double prefill_s;
    bool prefilled; /* the whole prompt */
    answer answer;
} work;

static int put(void *arg, const char *text, size_t n)
{
    (void)arg;
    fwrite(text, 1, n, stdout);
    return fflush(stdout) == EOF ? -1 : 0;
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
static void compare(const hi_model *m, const work *a, const hi_stats *s)
{
    int64_t passes = a->answer.passes;
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
        compare_line("token, ms", 1e3 * token.decode_s, 1e3 * a->answer.s / (double)passes);
    compare_line("to the device, MiB", in / (1 << 20), mib(s->h2d_bytes));
    compare_line("to the host, MiB", out / (1 << 20), mib(s->d2h_bytes));
    compare_line("device memory, MiB", mib(m->arena_bytes), mib(s->arena_touched_bytes));
}

static void summary(const hi_run *r, const speaker *s, const work *w)
{
    hi_stats stats;
    const answer *a = &w->answer;
    char how[256];

    hi_get_stats(r, &stats);
    if (w->prefilled)
        fprintf(stderr, "\nprompt      %lld tokens, %.2f s, %.1f tokens/s\n",
                (long long)w->n_prompt, w->prefill_s, per_second(w->n_prompt, w->prefill_s));
    else
        fprintf(stderr, "\nprompt      %lld tokens, not finished in %.2f s\n",
                (long long)w->n_prompt, w->prefill_s);
    fprintf(stderr, "generation  %lld tokens, %.2f s, %.1f tokens/s (%.2f ms per token)\n",
            (long long)a->n_new, a->s, per_second(a->passes, a->s),
            a->passes > 0 ? 1e3 * a->s / (double)a->passes : 0.0);
    speaker_describe(s, how, sizeof how);
    fprintf(stderr, "sampling    %s\n", how);
    fprintf(stderr, "compute     %s", hi_isa(r));
    if (hi_threads(r) > 0)
        fprintf(stderr, ", %d threads", hi_threads(r));
    fprintf(stderr, "\n");
    cli_say_weights(s->m, stderr);
    fprintf(stderr, "link        busy %.2f s to the device; compute waited %.2f s\n",
            stats.link_s, stats.stall_s);
    if (w->prefilled)
        compare(s->m, w, &stats);
}

/* Without -n the answer may fill what is left of the context. */
static int64_t most_tokens(const hi_model *m, const cli *c, const prompt *p)
{
    return c->new_tokens >= 0 ? c->new_tokens : m->ctx - (int64_t)p->n;
}

/* ids: (ctx + 1) the prompt, and room for its continuation. */
static int answer_prompt(hi_run *r, const speaker *s, const cli *c, const prompt *p, int32_t *ids)
{
    work w = { .n_prompt = (int64_t)p->n,
               .answer = { .most = most_tokens(s->m, c, p), .put = put } };
    int64_t n = w.n_prompt;
    answer_end end = ANSWER_FAILED;

    interrupt_begin();
    w.prefilled = progress_prefill(r, s->m, ids, n, false, &w.prefill_s) == 0;
    bool stopped = interrupted();
    if (w.prefilled && !stopped)
        end = answer_give(&w.answer, s, r, ids, &n, w.n_prompt);
    interrupt_end();
    if (w.answer.n_new > 0)
        putchar('\n');
    summary(r, s, &w);
    if (end == ANSWER_MOST && c->new_tokens < 0)
        fprintf(stderr, "note: the context of %lld tokens is full\n", (long long)s->m->ctx);
    if (stopped)
        return EXIT_INTERRUPTED;
    if (!w.prefilled)
        return cli_fail(hi_error_text(r), EXIT_FAILED);
    return end == ANSWER_FAILED ? cli_fail(w.answer.error, EXIT_FAILED) : 0;
}

static int run(const speaker *s, const cli *c, const prompt *p)
{
    char err[4096];
    int code;
    hi_run *r = hi_open(s->m, &c->run, &code, err, sizeof err);
    int32_t *ids = r == NULL ? NULL : malloc(((size_t)s->m->ctx + 1) * sizeof *ids);

    if (r == NULL)
        return cli_fail(err, code);
    if (hi_note(r)[0] != '\0')
        fprintf(stderr, "note: %s\n", hi_note(r));
    if (ids != NULL && speaker_follow(s, p->ids, p->n) == 0) {
        for (size_t i = 0; i < p->n; i++)
            ids[i] = p->ids[i];
        interrupt_catch();
        code = answer_prompt(r, s, c, p, ids);
    } else
        code = cli_fail("out of memory for a context of token ids", EXIT_FAILED);
    free(ids);
    hi_close(r);
    return code;
}

int cli_generate(const hi_model *m, const cli *c)
{
    char err[4096] = "";
    int code = EXIT_FAILED;
    prompt p;
    speaker s = { 0 };

    if (prompt_read(&p, m, c, &code, err, sizeof err) != 0 ||
        speaker_open(&s, m, c, p.tok, &code, err, sizeof err) != 0)
        code = cli_fail(err, code);
    else
        code = run(&s, c, &p);
    speaker_close(&s);
    prompt_free(&p);
    return code;
}
