/*
** recover_test.c - after a cancelled prompt a run gives the same scores as if there had been
** none.
**
**   recover WEIGHTS SEED [threads=N] [gbps=X] [rounds=N]
**
** A sequence is built, a prompt behind it is cancelled: at the end of some pass, from another
** thread at some moment, or before it begins. Then other tokens follow, as a prompt or one by
** one first, and every score must be that of the same sequence without the cancelled prompt.
*/
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include "e2e.h"

enum {
    MOST = 700,
    TAIL = 40,
    DECODED = 3
};

typedef struct scene {
    hi_run *r;
    uint64_t noise;
    int32_t base[MOST], other[2 * MOST], tail[TAIL];
    int n_base, n_decoded, n_other, n_tail;
    float *scores[2]; /* (DECODED + 1, vocab) */
    int pass;         /* cancel after so many; -1: not so */
    atomic_bool over;
    int64_t wait_us;
} scene;

static int below(scene *s, int n)
{
    s->noise = s->noise * 6364136223846793005u + 1442695040888963407u;
    return (int)((s->noise >> 33) % (uint64_t)n);
}

static void fill(scene *s, int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        ids[i] = below(s, hi_the_model.vocab);
}

/* The sequence before the cancelled prompt: its last tokens came one by one. */
static void build(scene *s)
{
    must(s->r, "rewind", hi_rewind(s->r, 0));
    feed(s->r, s->base, s->n_base);
    for (int i = 0; i < s->n_decoded; i++)
        must(s->r, "decode", hi_decode(s->r, s->base[i]));
}

/* What follows; its scores. */
static void follow(scene *s, float *to, bool decode_first)
{
    int vocab = hi_the_model.vocab, done = decode_first ? 1 : s->n_tail;

    if (decode_first)
        must(s->r, "decode", hi_decode(s->r, s->tail[0]));
    else
        feed(s->r, s->tail, s->n_tail);
    memcpy(to, last_scores(s->r, done), (size_t)vocab * sizeof *to);
    for (int i = 1; i <= DECODED; i++) {
        must(s->r, "decode", hi_decode(s->r, s->tail[i]));
        memcpy(to + (int64_t)i * vocab, last_scores(s->r, 1), (size_t)vocab * sizeof *to);
    }
}

static void on_pass(void *arg, hi_run *r, const hi_pass *p)
{
    scene *s = arg;
    (void)p;
    if (s->pass-- == 0)
        hi_cancel(r);
}

static void *cancel_later(void *arg)
{
    scene *s = arg;
    struct timespec t = { 0, 1000 * s->wait_us };
    nanosleep(&t, NULL);
    if (!atomic_load(&s->over))
        hi_cancel(s->r);
    return NULL;
}

static bool has_window(void)
{
    bool any = false;

    for (int l = 0; l < hi_the_model.layers; l++)
        any = any || hi_the_model.layer[l].window > 0;
    return any;
}

/* A prompt that is cancelled, or is through before. */
static void cancel_prompt(scene *s, int way)
{
    int64_t length = hi_length(s->r);
    pthread_t thread;

    s->pass = way == 0 ? below(s, 6) : -1;
    s->wait_us = below(s, 20000);
    atomic_store(&s->over, false);
    if (way == 2)
        hi_cancel(s->r);
    if (way == 1 && pthread_create(&thread, NULL, cancel_later, s) != 0)
        die("no thread");
    hi_set_watch(s->r, on_pass, s);
    int rc = hi_prefill(s->r, s->other, s->n_other);
    hi_set_watch(s->r, NULL, NULL);
    atomic_store(&s->over, true);
    if (way == 1)
        pthread_join(thread, NULL);
    if (rc != 0 && strcmp(hi_error_text(s->r), "cancelled") != 0)
        die("a cancelled prompt ends with '%s'", hi_error_text(s->r));
    if (way == 2 && rc == 0)
        die("a cancel before a prompt is not heard");
    must(s->r, "recover", hi_recover(s->r));
    if (hi_error_text(s->r)[0] != '\0')
        die("a recovered run says '%s'", hi_error_text(s->r));
    if (rc == 0 && length >= hi_rewind_least(s->r))
        must(s->r, "rewind", hi_rewind(s->r, length));
    else if (has_window() && (rc == 0 || hi_length(s->r) == 0))
        build(s);
    if (hi_length(s->r) != length)
        die("a recovered run has %lld tokens, not %lld", (long long)hi_length(s->r),
            (long long)length);
}

static void round_of(scene *s, int i)
{
    size_t bytes = (size_t)(DECODED + 1) * (size_t)hi_the_model.vocab * sizeof(float);
    int64_t ctx = hi_the_model.ctx;
    bool decode_first = i % 2;

    s->n_base = 1 + below(s, ctx < 2 * MOST ? (int)ctx / 2 : MOST);
    if (i % 5 == 1 && hi_the_model.split <= MOST / 2) /* nothing comes back to the tails */
        s->n_base = (int)hi_the_model.split * (1 + below(s, 2));
    s->n_decoded = i % 4 < 2 ? 0 : 1 + below(s, 5);
    s->n_decoded = s->n_decoded < s->n_base ? s->n_decoded : 0;
    int64_t room = ctx - s->n_base - s->n_decoded;
    s->n_other = 1 + below(s, room < 2 * MOST ? (int)room : 2 * MOST);
    s->n_tail = DECODED + 1 + below(s, TAIL - DECODED - 1);
    fill(s, s->base, s->n_base);
    fill(s, s->other, s->n_other);
    fill(s, s->tail, s->n_tail);
    build(s);
    follow(s, s->scores[0], decode_first);
    build(s);
    for (int times = 0; times < 2; times++)
        cancel_prompt(s, i % 3);
    follow(s, s->scores[1], decode_first);
    if (memcmp(s->scores[0], s->scores[1], bytes) != 0)
        die("round %d: %d + %d tokens, a prompt of %d cancelled (way %d): other scores behind it",
            i, s->n_base, s->n_decoded, s->n_other, i % 3);
}

int main(int argc, char **argv)
{
    hi_options o = { 0 };
    static scene s;
    int64_t vocab = hi_the_model.vocab;
    int rounds = 24;

    if (argc < 3)
        die("usage: recover WEIGHTS SEED [option=value ..]");
    o.weights = argv[1];
    s.noise = strtoull(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        if (sscanf(argv[i], "rounds=%d", &rounds) != 1 &&
            sscanf(argv[i], "threads=%d", &o.threads) != 1 &&
            sscanf(argv[i], "gbps=%lf", &o.link_gbps) != 1)
            die("%s: unknown option", argv[i]);
    s.r = open_run(&o);
    for (int i = 0; i < 2; i++)
        s.scores[i] = take_memory((DECODED + 1) * (size_t)vocab * sizeof(float));
    for (int i = 0; i < rounds; i++)
        round_of(&s, i);
    if (hi_prefill(s.r, s.base, 0) == 0 || hi_recover(s.r) == 0)
        die("a run recovers from what was no cancel");
    hi_close(s.r);
    free(s.scores[0]);
    free(s.scores[1]);
    return 0;
}
