/*
** selftest.c - the verbs 'info' and 'selftest'.
**
** The self-test needs no reference. The same tokens as one prompt and as two, and partly token by
** token, must give the same bits; where prompts and tokens are computed in different ways (row
** classes), each way must agree with itself, and both nearly. The scores must be finite; the arena
** must end where the plan says.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

#define NEAR 0.02f                   /* of the range of the scores: what bf16 makes of it */

enum {
    DECODED = 8,
    CUT = 77                         /* tokens of a prompt, where there are several */
};

void cli_say_weights(const hi_model *m, FILE *out)
{
    static const char *const BITS[] = { [HI_Q8] = "8-bit (blocks of 32)",
                                        [HI_Q4] = "4-bit (blocks of 32), head 8-bit" };

    if (m->layer_type != HI_STORED)
        fprintf(out, "weights     %s, not exact: made from %s at load\n", BITS[m->layer_type],
                m->elt == 4 ? "f32" : "bf16");
}

int cli_info(const hi_model *m, const cli *c)
{
    if (c->plan)
        printf("%s", m->plan_text);
    else {
        printf("%s\nmade by: %s\nplanned for: %s\n", m->name, m->command, m->machine);
        printf("%d layers, hidden %d, %d heads, %d KV heads of %d, %s; context %lld tokens\n",
               m->layers, m->hidden, m->heads, m->kv_heads, m->head_dim,
               m->elt == 4 ? "f32" : "bf16", (long long)m->ctx);
        cli_say_weights(m, stdout);
        printf("device %.2f MiB, host %.2f MiB; 'info --plan' has the whole plan\n",
               (double)m->arena_bytes / (1 << 20), (double)m->host_bytes / (1 << 20));
    }
    return cli_flush(0);
}

/* Scores after all n tokens, the last 'decoded' of them one by one, the others as prompts of at most
   'most'. */
static int scores_after(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, int decoded,
                        int64_t most, float *out)
{
    int64_t first = n - decoded;

    if (hi_rewind(r, 0) != 0)
        return -1;
    for (int64_t at = 0; at < first; at += most)
        if (hi_prefill(r, ids + at, first - at < most ? first - at : most) != 0)
            return -1;
    for (int i = 0; i < decoded; i++)
        if (hi_decode(r, ids[first + i]) != 0)
            return -1;
    int64_t row = decoded == 0 && m->logits_all ? (n - 1) % most % m->rows[HI_PREFILL] : 0;
    memcpy(out, hi_logits(r) + row * m->vocab, (size_t)m->vocab * sizeof *out);
    return 0;
}

/* Are two rows of scores near each other, as far as rounding goes? */
static bool near(const float *a, const float *b, int n)
{
    float low = a[0], high = a[0], apart = 0;

    for (int i = 0; i < n; i++) {
        low = fminf(low, a[i]);
        high = fmaxf(high, a[i]);
        apart = fmaxf(apart, fabsf(a[i] - b[i]));
    }
    return apart <= NEAR * (high - low);
}

/* The same tokens in other prompts: the same bits? */
static const char *compare(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, float *a,
                           float *b, float *c)
{
    size_t bytes = (size_t)m->vocab * sizeof *a;

    if (scores_after(r, m, ids, n, 0, n, a) != 0 || scores_after(r, m, ids, n, 0, CUT, b) != 0)
        return hi_error_text(r);
    for (int i = 0; i < m->vocab; i++)
        if (!isfinite(a[i]))
            return hi_error_text(r)[0] != '\0' ? hi_error_text(r) : "a score is not finite";
    if (memcmp(a, b, bytes) != 0)
        return "one prompt and several differ in their bits";
    if (scores_after(r, m, ids, n, DECODED, n, b) != 0 ||
        scores_after(r, m, ids, n, DECODED, CUT, c) != 0)
        return hi_error_text(r);
    if (memcmp(b, c, bytes) != 0)
        return "decoded tokens behind one prompt and several differ in their bits";
    if (hi_row_classes ? !near(a, b, m->vocab) : memcmp(a, b, bytes) != 0)
        return "prefill and decode differ";
    return NULL;
}

static const char *verdict(hi_run *r, const hi_model *m, const int32_t *ids, int64_t n, float *a)
{
    const char *wrong = compare(r, m, ids, n, a, a + m->vocab, a + 2 * (int64_t)m->vocab);
    hi_stats s;

    if (wrong != NULL)
        return wrong;
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
    float *scores = malloc(3 * (size_t)m->vocab * sizeof *scores);
    const char *wrong = "out of memory, or a context too short to test";

    if (ids != NULL && scores != NULL && n > DECODED) {
        for (int64_t i = 0; i < n; i++)
            ids[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)m->vocab);
        wrong = verdict(r, m, ids, n, scores);
    }
    free(ids);
    free(scores);
    printf("selftest: %s (%lld tokens, %s", wrong == NULL ? "passed" : wrong, (long long)n, hi_isa(r));
    if (hi_threads(r) > 0)
        printf(", %d threads", hi_threads(r));
    printf(")\n");
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
