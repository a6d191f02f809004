/*
** selftest.c - the verbs 'info' and 'selftest'.
**
** The self-test needs no reference: the same tokens as one prompt, and partly token by token,
** must give the same bits; the scores must be finite; the arena must end where the plan says.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

enum {
    DECODED = 8
};

int cli_info(const hi_model *m, const cli *c)
{
    if (c->plan)
        printf("%s", m->plan_text);
    else {
        printf("%s\nmade by: %s\nplanned for: %s\n", m->name, m->command, m->machine);
        printf("%d layers, hidden %d, %d heads, %d KV heads of %d, %s; context %lld tokens\n",
               m->layers, m->hidden, m->heads, m->kv_heads, m->head_dim,
               m->elt == 4 ? "f32" : "bf16", (long long)m->ctx);
        printf("device %.2f MiB, host %.2f MiB; 'info --plan' has the whole plan\n",
               (double)m->arena_bytes / (1 << 20), (double)m->host_bytes / (1 << 20));
    }
    return fflush(stdout) == EOF ? EXIT_FAILED : 0;
}

/* Scores after all n tokens, the last 'decoded' of them one by one. */
static int scores_after(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, int decoded,
                        float *out)
{
    int64_t first = n - decoded;

    if (hi_rewind(r, 0) != 0 || hi_prefill(r, ids, first) != 0)
        return -1;
    for (int i = 0; i < decoded; i++)
        if (hi_decode(r, ids[first + i]) != 0)
            return -1;
    int64_t row = decoded == 0 && m->logits_all ? (n - 1) % m->rows[HI_PREFILL] : 0;
    memcpy(out, hi_logits(r) + row * m->vocab, (size_t)m->vocab * sizeof *out);
    return 0;
}

static const char *verdict(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, float *a,
                           float *b)
{
    hi_stats s;

    if (scores_after(r, m, ids, n, 0, a) != 0 || scores_after(r, m, ids, n, DECODED, b) != 0)
        return hi_error_text(r);
    for (int i = 0; i < m->vocab; i++)
        if (!isfinite(a[i]))
            return "a score is not finite";
    if (memcmp(a, b, (size_t)m->vocab * sizeof *a) != 0)
        return "prefill and decode differ in their bits";
    hi_get_stats(r, &s);
    if (s.arena_touched_bytes > m->arena_bytes || s.arena_peak_bytes > m->arena_bytes)
        return "the arena is larger than planned";
    return NULL;
}

static int check(hi_run *r, const hi_model *m)
{
    int64_t n = 2 * m->split + 88;
    if (n > m->ctx)
        n = m->ctx;
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    float *scores = malloc(2 * (size_t)m->vocab * sizeof *scores);
    const char *wrong = "out of memory, or a context too short to test";

    if (ids != NULL && scores != NULL && n > DECODED) {
        for (int64_t i = 0; i < n; i++)
            ids[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)m->vocab);
        wrong = verdict(r, m, ids, n, scores, scores + m->vocab);
    }
    free(ids);
    free(scores);
    printf("selftest: %s (%lld tokens, %s, %d threads)\n", wrong == NULL ? "passed" : wrong,
           (long long)n, hi_isa(r), hi_threads(r));
    return wrong == NULL && fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

int cli_selftest(const hi_model *m, const cli *c)
{
    char err[4096];
    int code;
    hi_run *r = hi_open(m, &c->run, &code, err, sizeof err);

    if (r == NULL) {
        fprintf(stderr, "%s\n", err);
        return code;
    }
    code = check(r, m);
    hi_close(r);
    return code;
}
