/*
** scene.c - attention's inputs on host and device, and its state against double precision.
*/
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#include "dev.h"

void *alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

float uniform(void)
{
    static uint64_t word = 1;
    word = word * 6364136223846793005u + 1442695040888963407u;
    return (float)(word >> 40) * 0x1p-23f - 1;
}

float of_bf16(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

uint16_t to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

uint16_t *key_of(const data *d, int head, i64 key)
{
    return (uint16_t *)(d->kv + head * d->pitch + key * HEAD_DIM * 2);
}

uint16_t *value_of(const data *d, int head, i64 key)
{
    return (uint16_t *)((unsigned char *)key_of(d, head, key) + d->v_offset);
}

void upload(const data *d)
{
    dev_put(d->d_q, d->q, d->q_bytes);
    dev_put(d->d_kv, d->kv, d->kv_bytes);
}

static void fill(const data *d, float q_scale)
{
    memset(d->kv, 0xff, d->kv_bytes);
    for (size_t i = 0; i < d->q_bytes / 2; i++)
        d->q[i] = to_bf16(q_scale * uniform());
    for (int h = 0; h < d->s.n; h++) {
        for (i64 i = 0; i < d->s.n_keys * HEAD_DIM; i++) {
            key_of(d, h, 0)[i] = to_bf16(2 * uniform());
            value_of(d, h, 0)[i] = to_bf16(uniform());
        }
    }
}

data make_data(scene s, float q_scale)
{
    data d = { .s = s, .rows = (i64)s.tokens * GQA };
    d.v_offset = (s.n_keys + SPARE_KEYS) * HEAD_DIM * 2;
    d.pitch = 2 * d.v_offset + 48;
    d.q_bytes = ((size_t)(s.tokens - 1) * STRIDE + (size_t)s.n * GQA * HEAD_DIM) * 2;
    d.kv_bytes = (size_t)((s.n - 1) * d.pitch + d.v_offset + s.n_keys * HEAD_DIM * 2);
    d.o_bytes = (size_t)(s.n * d.rows) * HEAD_DIM * sizeof *d.o;
    d.ml_bytes = (size_t)(s.n * d.rows) * 2 * sizeof *d.ml;
    d.q = alloc(d.q_bytes);
    d.kv = alloc(d.kv_bytes);
    d.o = alloc(d.o_bytes);
    d.ml = alloc(d.ml_bytes);
    d.d_q = dev_new(d.q_bytes);
    d.d_kv = dev_new(d.kv_bytes);
    d.d_o = dev_new(d.o_bytes);
    d.d_ml = dev_new(d.ml_bytes);
    fill(&d, q_scale);
    upload(&d);
    return d;
}

void free_data(data *d)
{
    free(d->q);
    free(d->kv);
    free(d->o);
    free(d->ml);
    dev_free(d->d_q);
    dev_free(d->d_kv);
    dev_free(d->d_o);
    dev_free(d->d_ml);
}

attend_args call_of(const data *d)
{
    return (attend_args){ .q = d->d_q,
                          .q_stride = STRIDE,
                          .k = d->d_kv,
                          .head_pitch = d->pitch,
                          .v_offset = d->v_offset,
                          .key0 = d->s.key0,
                          .n_keys = d->s.n_keys,
                          .pos0 = d->s.pos0,
                          .window = d->window,
                          .n = d->s.n,
                          .rows = d->s.tokens,
                          .fresh = 1,
                          .scale_log2 = (float)(M_LOG2E / sqrt(QUERY_SCALAR)),
                          .o = d->d_o,
                          .ml = d->d_ml };
}

void fetch(const data *d)
{
    dev_get(d->o, d->d_o, d->o_bytes);
    dev_get(d->ml, d->d_ml, d->ml_bytes);
}

state keep(const data *d)
{
    state s = { alloc(d->o_bytes), alloc(d->ml_bytes) };
    memcpy(s.o, d->o, d->o_bytes);
    memcpy(s.ml, d->ml, d->ml_bytes);
    return s;
}

void drop(state *s)
{
    free(s->o);
    free(s->ml);
}

void check_same(const data *d, const state *want)
{
    assert_memory_equal(d->ml, want->ml, d->ml_bytes);
    assert_memory_equal(d->o, want->o, d->o_bytes);
}

/* ---- against double ---- */

void check_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g, not %.9g within %.2g", got, want, tolerance);
}

/* The row's first visible key; *end: the first that is not. */
static i64 visible(const data *d, i64 row, i64 *end)
{
    i64 seen = d->s.pos0 + row / GQA - d->s.key0 + 1;
    *end = seen < d->s.n_keys ? seen : d->s.n_keys;
    return d->window && seen > d->window ? seen - d->window : 0;
}

/* Scores in units of log2 to x; returns the error that one may have. */
static double scores(const data *d, int head, i64 row, double *x, i64 low, i64 end)
{
    const uint16_t *q = d->q + row / GQA * STRIDE + (head * GQA + row % GQA) * HEAD_DIM;
    double size = 0, cap = ATTN_SOFTCAP;
    for (i64 j = low; j < end; j++) {
        const uint16_t *k = key_of(d, head, j);
        double sum = 0, abs = 0;
        for (int i = 0; i < HEAD_DIM; i++) {
            double p = (double)of_bf16(q[i]) * of_bf16(k[i]);
            sum += p;
            abs += fabs(p);
        }
        sum /= sqrt(QUERY_SCALAR);
        x[j] = (cap != 0 ? cap * tanh(sum / cap) : sum) * M_LOG2E;
        size = fmax(size, abs / sqrt(QUERY_SCALAR) * M_LOG2E);
    }
    return (sqrt(HEAD_DIM) + 8) * 0x1p-23 * (size + 1 + cap);
}

/*
** Output of a row whose probabilities are p[low, end). Each rounds to bf16 on its own, by 2^-8 at
** most: 4 times that is beyond six standard deviations of their sum. Below 2^-126 one is 0.
*/
static void check_output(const data *d, int head, i64 row, const double *p, i64 low, i64 end,
                         double relative)
{
    const float *o = d->o + (head * d->rows + row) * HEAD_DIM;
    for (int i = 0; i < HEAD_DIM; i++) {
        double want = 0, squares = 0, abs = 0;
        for (i64 j = low; j < end; j++) {
            double term = p[j] * of_bf16(value_of(d, head, j)[i]);
            want += term;
            squares += term * term;
            abs += fabs(term);
        }
        check_near(o[i], want, 0x1p-6 * sqrt(squares) + relative * abs + 0x1p-126 * (double)end);
    }
}

/*
** A score is a sum of HEAD_DIM products, an absolute error of the exponent; exp2, sums and
** merges are some 2^-19 relative.
*/
static void check_row(const data *d, int head, i64 row, double *x)
{
    const float *ml = d->ml + (head * d->rows + row) * 2;
    i64 end, low = visible(d, row, &end);
    if (end <= low) {
        assert_true(ml[0] == -INFINITY && ml[1] == 0);
        check_output(d, head, row, x, 0, 0, 0);
        return;
    }
    double max = -INFINITY, sum = 0, exponent = scores(d, head, row, x, low, end);
    double relative = exponent * 2 + 0x1p-19;
    for (i64 j = low; j < end; j++)
        max = fmax(max, x[j]);
    check_near(ml[0], max, exponent);
    for (i64 j = low; j < end; j++)
        sum += x[j] = exp2(x[j] - ml[0]);
    check_near(ml[1], sum, relative * sum);
    check_output(d, head, row, x, low, end, relative);
}

void check_rows(const data *d)
{
    double *x = alloc((size_t)d->s.n_keys * sizeof *x);
    for (int h = 0; h < d->s.n; h++) {
        for (i64 r = 0; r < d->rows; r++)
            check_row(d, h, r, x);
    }
    free(x);
}

/* ---- windows ---- */

const i64 WINDOWS[] = { 0, ATTN_WINDOW, 1, 128 };

data make_windowed(scene s, i64 window, float q_scale)
{
    data d = make_data(s, q_scale);
    d.window = window;
    return d;
}

/* Keys and values [from, to) of every head. */
static void set_keys(const data *d, i64 from, i64 to, uint16_t k, uint16_t v)
{
    for (int h = 0; h < d->s.n; h++)
        for (i64 i = from * HEAD_DIM; i < to * HEAD_DIM; i++) {
            key_of(d, h, 0)[i] = k;
            value_of(d, h, 0)[i] = v;
        }
    upload(d);
}

/* The rows of tokens from 't' on. */
static void check_same_from(const data *d, const state *want, int t)
{
    for (int h = 0; h < d->s.n; h++) {
        i64 row = h * d->rows + (i64)t * GQA;
        size_t rows = (size_t)(d->s.tokens - t) * GQA;
        assert_memory_equal(d->ml + row * 2, want->ml + row * 2, rows * 2 * sizeof *d->ml);
        assert_memory_equal(d->o + row * HEAD_DIM, want->o + row * HEAD_DIM,
                            rows * HEAD_DIM * sizeof *d->o);
    }
}

static void check_begin(scene s, i64 window, void (*run)(attend_args *a))
{
    data d = make_windowed(s, window, 2);
    const i64 first = s.pos0 - window + 1, splits = first / KEY_SPLIT * KEY_SPLIT;
    attend_args a = call_of(&d);
    run(&a);
    fetch(&d);
    check_rows(&d);
    state want = keep(&d);
    for (i64 key = KEY_SPLIT; key <= splits; key += KEY_SPLIT) {
        a = call_of(&d);
        a.k += key * HEAD_DIM * 2;
        a.key0 += key;
        a.n_keys -= key;
        run(&a);
        fetch(&d);
        check_same(&d, &want);
    }
    for (int t = 0; t < s.tokens; t += s.tokens > 1 ? s.tokens - 1 : 1) {
        set_keys(&d, 0, splits, 0x7fc1, 0xffc1);
        set_keys(&d, splits, first + t, to_bf16(t ? -1e30f : 1e30f), to_bf16(3e38f));
        a = call_of(&d);
        run(&a);
        fetch(&d);
        check_same_from(&d, &want, t);
    }
    drop(&want);
    free_data(&d);
}

/* The call goes on with tokens that are far behind its keys. */
static void check_passed(scene s, i64 window, void (*run)(attend_args *a))
{
    data d = make_windowed(s, window, 2);
    attend_args a = call_of(&d);
    run(&a);
    fetch(&d);
    state before = keep(&d);
    a.pos0 += 100000;
    a.fresh = 0;
    run(&a);
    fetch(&d);
    check_same(&d, &before);
    a.fresh = 1;
    run(&a);
    fetch(&d);
    d.s.pos0 = a.pos0;
    check_rows(&d);
    drop(&before);
    free_data(&d);
}

static void check_wide(scene s, void (*run)(attend_args *a))
{
    data d = make_data(s, 2);
    attend_args a = call_of(&d);
    a.window = 0;
    run(&a);
    fetch(&d);
    state all = keep(&d);
    a.window = s.pos0 + s.tokens;
    run(&a);
    fetch(&d);
    check_same(&d, &all);
    drop(&all);
    free_data(&d);
}

void check_windows(scene s, void (*run)(attend_args *a))
{
    for (int w = 1; w < N_WINDOWS; w++) {
        check_begin(s, WINDOWS[w], run);
        check_passed(s, WINDOWS[w], run);
    }
    if (N_WINDOWS > 1)
        check_wide(s, run);
}
