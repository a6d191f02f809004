/*
** test_sample.c - the sampler against a reference that sorts everything, and against chance.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "sample.h"

enum {
    N = 24,
    DRAWS = 12000
};

static const sample_options PLAIN = { .repeat = 1, .top_p = 1, .temp = 1, .seed = 1, .last_n = 64 };

static uint64_t noise = 1;

static double below_one(void)
{
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    return (double)(noise >> 11) * 0x1p-53;
}

static sampler *open_one(const sample_options *o, int vocab, int tokens)
{
    char err[256];
    sampler *s = sampler_open(o, vocab, tokens, err, sizeof err);
    assert_non_null(s);
    return s;
}

/* ---- the reference ---- */

typedef struct rank {
    double score;
    int id;
} rank;

static int by_rank(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? 1 : -1) : x->id - y->id;
}

static int times(const int32_t *history, int64_t n, int64_t last, int id)
{
    int count = 0;
    for (int64_t i = last < 0 || last > n ? 0 : n - last; i < n; i++)
        count += history[i] == id;
    return count;
}

/* Probability of every token, p (n). */
static void reference(const sample_options *o, const float *scores, int n, const int32_t *history,
                      int64_t n_history, double *p)
{
    rank r[N];
    double all = 0, sum = 0;
    int left = n;

    for (int i = 0; i < n; i++) {
        r[i] = (rank){ scores[i], i };
        p[i] = 0;
        for (int j = 0; j < o->n_bias; j++)
            r[i].score += o->bias[j].id == i ? o->bias[j].add : 0;
        int count = times(history, n_history, o->last_n, i);
        if (count > 0) {
            r[i].score = r[i].score > 0 ? r[i].score / o->repeat : r[i].score * o->repeat;
            r[i].score -= count * o->frequency + o->presence;
        }
    }
    qsort(r, (size_t)n, sizeof *r, by_rank);
    if (o->temp <= 0) {
        p[r[0].id] = 1;
        return;
    }
    if (o->top_k > 0 && o->top_k < left)
        left = (int)o->top_k;
    for (int i = 0; i < left; i++)
        all += exp(r[i].score - r[0].score);
    for (int i = 0; i < left && o->top_p < 1; i++) {
        sum += exp(r[i].score - r[0].score);
        if (sum >= o->top_p * all)
            left = i + 1;
    }
    while (exp(r[left - 1].score - r[0].score) < o->min_p)
        left--;
    all = 0;
    for (int i = 0; i < left; i++)
        all += exp((r[i].score - r[0].score) / o->temp);
    for (int i = 0; i < left; i++)
        p[r[i].id] = exp((r[i].score - r[0].score) / o->temp) / all;
}

/* Draws, and compares how often each token came with what is expected: chi square, by the
   Wilson-Hilferty cube root as standard deviations. A wrong probability gives hundreds. */
static void compare(const char *what, const sample_options *o, const float *scores,
                    const int32_t *history, int64_t n_history)
{
    double p[N], chi = 0;
    int count[N] = { 0 }, freedom = -1;
    sampler *s = open_one(o, N, N);

    reference(o, scores, N, history, n_history, p);
    for (int i = 0; i < DRAWS; i++)
        count[sampler_pick(s, scores, history, n_history)]++;
    sampler_close(s);
    for (int i = 0; i < N; i++) {
        if (p[i] == 0 && count[i] > 0)
            fail_msg("%s: token %d is chosen, which is excluded", what, i);
        if (p[i] * DRAWS < 5)
            continue;
        double off = count[i] - p[i] * DRAWS;
        chi += off * off / (p[i] * DRAWS);
        freedom++;
    }
    if (freedom < 1)
        return;
    double k = 2.0 / (9 * freedom), z = (cbrt(chi / freedom) - (1 - k)) / sqrt(k);
    if (z > 4.5)
        fail_msg("%s: %.1f standard deviations from what is expected", what, z);
}

/* ---- tests ---- */

static void random_scores(float *x, int n, double range)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)(range * (below_one() - 0.5));
}

/* As hi_argmax: the lowest id among equals. */
static int argmax(const float *x, int n)
{
    int best = 0;

    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void greedy_is_argmax(void **state)
{
    sample_options o = PLAIN;
    float x[300];

    (void)state;
    o.temp = 0;
    sampler *s = open_one(&o, 300, 300);
    for (int i = 0; i < 2000; i++) {
        random_scores(x, 300, i % 2 ? 20 : 1e30);
        if (i % 3 == 0)
            for (int j = 0; j < 300; j++)
                x[j] = floorf(x[j] / 8); /* ties, and -0 beside 0 */
        assert_int_equal(sampler_pick(s, x, NULL, 0), argmax(x, 300));
    }
    sampler_close(s);
}

static void every_filter_as_the_reference(void **state)
{
    static const struct {
        const char *what;
        double temp, top_p, min_p;
        int top_k;
    } CASES[] = {
        { "all", 1, 1, 0, 0 },          { "hot", 3, 1, 0, 0 },
        { "cold", 0.3, 1, 0, 0 },       { "top-k 1", 1, 1, 0, 1 },
        { "top-k 5", 1, 1, 0, 5 },      { "top-k is all", 1, 1, 0, N },
        { "top-p", 1, 0.7, 0, 0 },      { "top-p 0", 1, 0, 0, 0 },
        { "min-p", 1, 1, 0.2, 0 },      { "min-p 1", 1, 1, 1, 0 },
        { "top-p, hot", 4, 0.6, 0, 0 }, { "min-p, hot", 4, 1, 0.3, 0 },
        { "k p", 1, 0.8, 0, 6 },        { "k p min, hot", 2, 0.9, 0.1, 8 },
        { "p min", 1, 0.9, 0.25, 0 },   { "k min", 0.7, 1, 0.05, 12 },
        { "k min 1", 1, 1, 1, 6 },      { "p min 1", 1, 0.9, 1, 0 },
    };
    float x[N];

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        for (int j = 0; j < 4; j++) {
            sample_options o = PLAIN;
            o.temp = CASES[i].temp;
            o.top_p = CASES[i].top_p;
            o.min_p = CASES[i].min_p;
            o.top_k = CASES[i].top_k;
            o.seed = 100 * i + (unsigned)j;
            random_scores(x, N, 8);
            if (j == 3)
                for (int k = 0; k < N; k++)
                    x[k] = floorf(x[k]); /* ties: the lower id is before */
            compare(CASES[i].what, &o, x, NULL, 0);
        }
}

static void penalties_and_biases_as_the_reference(void **state)
{
    sample_bias bias[] = { { 3, 2.5 }, { 7, -INFINITY }, { 0, -1 } };
    int32_t history[40];
    float x[N];

    (void)state;
    for (int i = 0; i < 60; i++) {
        sample_options o = PLAIN;
        o.temp = i % 3; /* greedy as well */
        o.last_n = i % 4 == 0 ? -1 : 5 * (i % 4);
        o.repeat = i % 2 ? 1.7 : 1;
        o.frequency = i % 5 ? 0.4 : 0;
        o.presence = i % 7 ? 0.3 : -0.5;
        o.bias = bias;
        o.n_bias = i % 4;
        o.seed = (unsigned)i;
        random_scores(x, N, 4);
        for (int j = 0; j < 40; j++)
            history[j] = (int32_t)(N * below_one() * below_one());
        compare("penalties", &o, x, history, i < 20 ? i : 40);
    }
}

/* Penalties work before top-k, temperature after top-p: else other tokens are left. */
static void order(void **state)
{
    static const float x[] = { 2, 1.5f, 1, 0 };
    static const int32_t history[] = { 0 };
    sample_options o = PLAIN;

    (void)state;
    o.top_k = 1;
    o.presence = 1;
    sampler *s = open_one(&o, 4, 4);
    assert_int_equal(sampler_pick(s, x, history, 1), 1);
    sampler_close(s);
    o = PLAIN;
    o.top_p = 0.5; /* e^0 + e^-.5 are more than half; at 100 they are not */
    o.temp = 100;
    s = open_one(&o, 4, 4);
    for (int i = 0; i < 500; i++)
        assert_true(sampler_pick(s, x, NULL, 0) < 2);
    sampler_close(s);
}

static void what_is_no_token(void **state)
{
    sample_options o = PLAIN;
    float x[600] = { 0 };
    sample_bias all[] = { { 0, -INFINITY }, { 1, -INFINITY }, { 2, -INFINITY } };

    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        o.temp = mode == 0 ? 0 : 1;
        o.top_k = mode == 1 ? 2 : 0;
        o.top_p = mode == 2 ? 0.9 : 1;
        sampler *s = open_one(&o, 600, 3);
        for (int i = 3; i < 600; i++)
            x[i] = 50; /* rows behind the last token */
        for (int i = 0; i < 200; i++)
            assert_true(sampler_pick(s, x, NULL, 0) < 3);
        for (int at = 0; at < 600; at += 599) {
            const float bad[] = { NAN, INFINITY, -INFINITY };
            for (int i = 0; i < 3; i++) {
                float kept = x[at];
                x[at] = bad[i];
                assert_int_equal(sampler_pick(s, x, NULL, 0), SAMPLE_DAMAGED);
                x[at] = kept;
            }
        }
        sampler_close(s);
        o.bias = all;
        for (o.n_bias = 2; o.n_bias <= 3; o.n_bias++) {
            s = open_one(&o, 600, 3);
            for (int i = 0; i < 50; i++)
                assert_int_equal(sampler_pick(s, x, NULL, 0), o.n_bias == 2 ? 2 : SAMPLE_NONE);
            sampler_close(s);
        }
        o.n_bias = 0;
    }
    char err[256];
    all[0].id = 600;
    o.n_bias = 1;
    assert_null(sampler_open(&o, 600, 3, err, sizeof err));
    assert_string_equal(err, "a bias for token 600: must be from 0 to 599");
}

/* Scores at the end of what a float holds must not become excluded or chosen by accident. */
static void extremes(void **state)
{
    float x[] = { 3e38f, -3e38f, 3e38f, 0 };
    static const int32_t history[] = { 2, 1 };
    sample_options o = PLAIN;

    (void)state;
    o.repeat = 0.01;
    sampler *s = open_one(&o, 4, 4);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sampler_pick(s, x, history, 2), 2);
    sampler_close(s);
    o.repeat = 1;
    o.temp = 1e-300;
    s = open_one(&o, 4, 4);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sampler_pick(s, x, NULL, 0) % 2, 0);
    sampler_close(s);
}

/* What a seed gave once it must always give: computed apart from xoshiro256** and splitmix64. */
static void a_seed_is_for_ever(void **state)
{
    static const int FIRST[] = { 79, 124, 116, 36, 81, 25, 117, 122 };
    static const int SECOND[] = { 30, 38, 89, 175, 114, 228, 83, 109 };
    float x[256] = { 0 };
    sample_options o = PLAIN;

    (void)state;
    o.seed = 42;
    sampler *s = open_one(&o, 256, 256);
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < sizeof FIRST / sizeof *FIRST; i++)
            assert_int_equal(sampler_pick(s, x, NULL, 0), FIRST[i]);
        sampler_begin(s, 1);
        for (size_t i = 0; i < sizeof SECOND / sizeof *SECOND; i++)
            assert_int_equal(sampler_pick(s, x, NULL, 0), SECOND[i]);
        sampler_begin(s, 0);
    }
    sampler_close(s);
}

static void memory_runs_out(void **state)
{
    sample_bias bias = { 1, 1 };
    sample_options o = PLAIN;
    char err[256];

    (void)state;
    o.bias = &bias;
    o.n_bias = 1;
    for (int mode = 0; mode < 2; mode++) {
        sampler *s = NULL;
        long n = 0;
        for (for_ever = mode; s == NULL; n++) {
            left = n;
            s = sampler_open(&o, 10, 10, err, sizeof err);
            left = -1;
            if (s == NULL)
                assert_string_equal(err, "sampling from 10 tokens: out of memory");
        }
        assert_true(n > 5);
        sampler_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_is_argmax),
        cmocka_unit_test(every_filter_as_the_reference),
        cmocka_unit_test(penalties_and_biases_as_the_reference),
        cmocka_unit_test(order),
        cmocka_unit_test(what_is_no_token),
        cmocka_unit_test(extremes),
        cmocka_unit_test(a_seed_is_for_ever),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
