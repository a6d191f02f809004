/*
** test_attend.c - attention of every table: against double, cut in every way, properties.
*/
#include "test_kern.h"

/* A run of keys and the tokens that look at it. */
typedef struct scene {
    int64_t tokens, pos0, key0, n_keys;
} scene;

typedef struct data {
    scene s;
    int64_t window;                  /* ATTN_WINDOW, or 0 */
    int64_t rows, q_stride;
    elt *q, *k, *v;
    float *o, *ml;                   /* the carry */
} data;

static void empty_carry(data *d)
{
    memset(d->o, 0, (size_t)d->rows * HEAD_DIM * sizeof *d->o);
    for (int64_t r = 0; r < d->rows; r++) {
        d->ml[2 * r] = -INFINITY;
        d->ml[2 * r + 1] = 0;
    }
}

static data make_data(scene s, float q_scale)
{
    data d = { .s = s, .rows = s.tokens * GQA, .q_stride = GQA * HEAD_DIM + 16 };
    d.q = random_elts((size_t)(s.tokens * d.q_stride), q_scale);
    d.k = random_elts((size_t)s.n_keys * HEAD_DIM, 2);
    d.v = random_elts((size_t)s.n_keys * HEAD_DIM, 1);
    d.o = alloc((size_t)d.rows * HEAD_DIM * sizeof *d.o);
    d.ml = alloc((size_t)d.rows * 2 * sizeof *d.ml);
    empty_carry(&d);
    return d;
}

static void free_data(data *d)
{
    free(d->q);
    free(d->k);
    free(d->v);
    free(d->o);
    free(d->ml);
}

static kern_attend call_of(const data *d)
{
    return (kern_attend){ .q = d->q, .q_stride = d->q_stride, .k = d->k, .v = d->v,
                          .key0 = d->s.key0, .n_keys = d->s.n_keys, .pos0 = d->s.pos0,
                          .window = d->window, .o = d->o, .ml = d->ml };
}

static void run(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    empty_carry(d);
    t->attend(&a, 0, d->rows);
}

/* The carry of one call, kept to compare others with. */
typedef struct carry {
    float *o, *ml;
    size_t o_bytes, ml_bytes;
} carry;

static carry keep(const data *d)
{
    carry c = { NULL, NULL, (size_t)d->rows * HEAD_DIM * sizeof *d->o,
                (size_t)d->rows * 2 * sizeof *d->ml };
    c.o = alloc(c.o_bytes);
    c.ml = alloc(c.ml_bytes);
    memcpy(c.o, d->o, c.o_bytes);
    memcpy(c.ml, d->ml, c.ml_bytes);
    return c;
}

static void check_same(const carry *c, const data *d)
{
    assert_bits(c->ml, d->ml, c->ml_bytes);
    assert_bits(c->o, d->o, c->o_bytes);
}

static void drop(carry *c)
{
    free(c->o);
    free(c->ml);
}

/* ---- against double ---- */

static double capped(double x)
{
    return ATTN_SOFTCAP > 0 ? ATTN_SOFTCAP * tanh(x / ATTN_SOFTCAP) : x;
}

/* Row's scores in units of log2 (x), -inf before its window, and the largest sum of magnitudes
   behind one. */
static int64_t scores_of(const data *d, int64_t row, double *x, double *size)
{
    int64_t seen = d->s.pos0 + row / GQA - d->s.key0 + 1, first = seen - d->window;
    const elt *q = d->q + row / GQA * d->q_stride + row % GQA * HEAD_DIM;
    *size = 0;
    seen = seen < d->s.n_keys ? seen : d->s.n_keys;
    for (int64_t j = 0; j < seen; j++) {
        double sum = 0, abs = 0;
        for (int i = 0; i < HEAD_DIM; i++) {
            double p = (double)of_elt(q[i]) * of_elt(d->k[j * HEAD_DIM + i]);
            sum += p;
            abs += fabs(p);
        }
        bool hidden = d->window > 0 && j < first;
        x[j] = hidden ? -INFINITY : capped(sum / sqrt(QUERY_SCALAR)) / M_LN2;
        *size = fmax(*size, abs / sqrt(QUERY_SCALAR) / M_LN2);
    }
    return d->window > 0 && first >= seen ? 0 : seen;
}

/*
** Errors of a row: a score is a sum of HEAD_DIM products and is scaled, about
** sqrt(HEAD_DIM) + 4 roundings of the sum of magnitudes, an absolute error of the exponent;
** exp2, sums and merges are some 2^-20 relative, 2^-18 with bf16; below 2^-126 a probability is 0.
** Roundings of probabilities are independent, at most HALF_ULP each: 3 is beyond five standard
** deviations of their sum. A cap adds a few roundings of itself.
*/
static void check_row(const data *d, int64_t row, double *x)
{
    const float *o = d->o + row * HEAD_DIM, *ml = d->ml + row * 2;
    double size, max = -INFINITY, sum = 0;
    int64_t seen = scores_of(d, row, x, &size);
    if (seen <= 0) {
        assert_true(ml[0] == -INFINITY && ml[1] == 0);
        return;
    }
    double exponent = (sqrt(HEAD_DIM) + 4) * HALF_ULP_FLOAT * (size + 1) + ATTN_SOFTCAP * 0x1p-20;
    double relative = exponent * 2 + (HI_F32 ? 0x1p-20 : 0x1p-18);
    for (int64_t j = 0; j < seen; j++)
        max = fmax(max, x[j]);
    assert_near(ml[0], max, exponent);
    for (int64_t j = 0; j < seen; j++)
        sum += x[j] = exp2(x[j] - ml[0]);
    assert_near(ml[1], sum, relative * sum);
    for (int i = 0; i < HEAD_DIM; i++) {
        double want = 0, squares = 0, abs = 0;
        for (int64_t j = 0; j < seen; j++) {
            double p = x[j] * of_elt(d->v[j * HEAD_DIM + i]);
            want += p;
            squares += p * p;
            abs += fabs(p);
        }
        double lost = 0x1p-126 * (double)seen;
        assert_near(o[i], want, 3 * HALF_ULP * sqrt(squares) + relative * abs + lost);
    }
}

static void check_rows(const data *d, int64_t step)
{
    double *x = alloc((size_t)d->s.n_keys * sizeof *x);
    for (int64_t r = 0; r < d->rows; r += step)
        check_row(d, r, x);
    check_row(d, d->rows - 1, x);
    free(x);
}

/* Tokens at their own, at later and at earlier keys; lengths about a block and a split; more
   rows than are worked on together. */
static const scene SCENES[] = {
    { 1, 0, 0, 1 },        { 1, 4, 0, 5 },          { 1, 126, 0, 127 },    { 1, 127, 0, 128 },
    { 1, 128, 0, 129 },    { 1, 255, 0, 256 },      { 1, 256, 0, 257 },    { 1, 699, 0, 700 },
    { 1, 5000, 512, 384 }, { 3, 900, 256, 300 },    { 40, 0, 0, 40 },      { 100, 100, 0, 200 },
    { 17, 250, 256, 11 },  { 100, 200, 256, 300 },  { 60, 700, 512, 248 }, { 530, 20, 0, 550 },
};

enum { N_SCENES = sizeof SCENES / sizeof SCENES[0] };

/* Scenes with and without the window, where the shape has one. */
enum { N_SEEN = N_SCENES * (ATTN_WINDOW > 0 ? 2 : 1) };

static data seen_scene(int i)
{
    data d = make_data(SCENES[i % N_SCENES], 2);
    d.window = i < N_SCENES ? 0 : ATTN_WINDOW;
    return d;
}

void test_attend_reference(void **state)
{
    (void)state;
    for (int i = 0; i < N_SEEN; i++) {
        data d = seen_scene(i);
        FOR_TABLES(t) {
            run(t, &d);
            check_rows(&d, 1 + d.rows / 48);
        }
        free_data(&d);
    }
}

/* Scores of some +-600: one key holds nearly all. */
void test_attend_saturated(void **state)
{
    (void)state;
    data d = make_data((scene){ 20, 500, 0, 520 }, 1000 / sqrtf(HEAD_DIM));
    for (int64_t i = 0; i < 40; i++)             /* a subnormal here and there */
        d.v[i * 13] = to_elt(3e-39f);
    FOR_TABLES(t) {
        run(t, &d);
        check_rows(&d, 1);
    }
    free_data(&d);
}

/* ---- the same bits ---- */

static void run_rows_alone(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    empty_carry(d);
    for (int64_t r = d->rows - 1; r >= 0; r--)
        t->attend(&a, r, r + 1);
}

static void run_uneven_rows(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    empty_carry(d);
    for (int64_t r = 0, n = 5; r < d->rows; r += n, n += 17)
        t->attend(&a, r, r + n < d->rows ? r + n : d->rows);
}

static void run_tiles(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    empty_carry(d);
    for (int64_t key = 0, n = KEY_SPLIT; key < d->s.n_keys; key += n, n *= 2) {
        a.k = d->k + key * HEAD_DIM;
        a.v = d->v + key * HEAD_DIM;
        a.key0 = d->s.key0 + key;
        a.n_keys = d->s.n_keys - key < n ? d->s.n_keys - key : n;
        t->attend(&a, 0, d->rows);
    }
}

static void run_parts(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    int64_t splits = (d->s.n_keys + KEY_SPLIT - 1) / KEY_SPLIT, half = d->rows / 2;
    float *o = alloc((size_t)d->rows * HEAD_DIM * sizeof *o);
    float *ml = alloc((size_t)d->rows * 2 * sizeof *ml);
    empty_carry(d);
    for (int64_t s = 0; s < splits; s++) {
        t->attend_parts(&a, s, s + 1, 0, half, o, ml);
        t->attend_parts(&a, s, s + 1, half, d->rows, o + half * HEAD_DIM, ml + half * 2);
        t->merge(d->o, d->ml, o, ml, d->rows);
    }
    free(o);
    free(ml);
}

/* Three splits in a call. */
static void run_runs(const hi_kernels *t, data *d)
{
    kern_attend a = call_of(d);
    int64_t splits = (d->s.n_keys + KEY_SPLIT - 1) / KEY_SPLIT;
    float *o = alloc((size_t)d->rows * 3 * HEAD_DIM * sizeof *o);
    float *ml = alloc((size_t)d->rows * 3 * 2 * sizeof *ml);
    empty_carry(d);
    for (int64_t s = 0; s < splits; s += 3) {
        int64_t end = s + 3 < splits ? s + 3 : splits;
        t->attend_parts(&a, s, end, 0, d->rows, o, ml);
        for (int64_t i = 0; i < end - s; i++)
            t->merge(d->o, d->ml, o + i * d->rows * HEAD_DIM, ml + i * d->rows * 2, d->rows);
    }
    free(o);
    free(ml);
}

void test_attend_cut(void **state)
{
    static void (*const cuts[])(const hi_kernels *, data *) = {
        run_rows_alone, run_uneven_rows, run_tiles, run_parts, run_runs,
    };
    (void)state;
    for (int i = 0; i < N_SEEN; i++) {
        data d = seen_scene(i);
        FOR_TABLES(t) {
            run(t, &d);
            carry whole = keep(&d);
            for (int c = 0; c < 5; c++) {
                cuts[c](t, &d);
                check_same(&whole, &d);
            }
            drop(&whole);
        }
        free_data(&d);
    }
}

/* Finite keys and values before all windows change nothing, nor does it where the call begins. */
void test_attend_window(void **state)
{
    (void)state;
    const int64_t pos0 = 1900, tokens = 30, first = pos0 - ATTN_WINDOW + 1;
    if (ATTN_WINDOW == 0)
        return;
    data d = make_data((scene){ tokens, pos0, 0, pos0 + tokens }, 2);
    d.window = ATTN_WINDOW;
    FOR_TABLES(t) {
        run(t, &d);
        carry clean = keep(&d);
        for (int64_t i = 0; i < first * HEAD_DIM; i++) {
            d.k[i] = to_elt(of_elt(d.k[i]) + 3);
            d.v[i] = to_elt(1e30f);
        }
        run(t, &d);
        check_same(&clean, &d);
        kern_attend a = call_of(&d);
        int64_t skip = first / KEY_SPLIT * KEY_SPLIT;
        a.k += skip * HEAD_DIM;
        a.v += skip * HEAD_DIM;
        a.key0 += skip;
        a.n_keys -= skip;
        empty_carry(&d);
        t->attend(&a, 0, d.rows);
        check_same(&clean, &d);
        drop(&clean);
    }
    free_data(&d);
}

/* A row has the same bits where later keys exist and where they do not. */
void test_attend_causal(void **state)
{
    (void)state;
    data d = make_data((scene){ 300, 90, 0, 390 }, 2);
    FOR_TABLES(t) {
        run(t, &d);
        carry whole = keep(&d);
        for (int64_t token = 0; token < 300; token += 37) {
            kern_attend a = call_of(&d);
            empty_carry(&d);
            a.n_keys = d.s.pos0 + token + 1;
            t->attend(&a, token * GQA, (token + 1) * GQA);
            assert_bits(d.o + token * GQA * HEAD_DIM, whole.o + token * GQA * HEAD_DIM,
                        GQA * HEAD_DIM * sizeof *d.o);
            assert_bits(d.ml + token * GQA * 2, whole.ml + token * GQA * 2, GQA * 2 * sizeof *d.ml);
        }
        drop(&whole);
    }
    free_data(&d);
}

/* NaN behind the last key changes nothing. */
void test_attend_garbage(void **state)
{
    (void)state;
    for (int64_t n = 250; n < 263; n += 3) {
        data d = make_data((scene){ 9, 300, 0, n + 300 }, 2);
        d.s.n_keys = n;
        FOR_TABLES(t) {
            run(t, &d);
            carry clean = keep(&d);
            for (int64_t i = n * HEAD_DIM; i < (n + 300) * HEAD_DIM; i++)
                d.k[i] = d.v[i] = to_elt(NAN);
            run(t, &d);
            check_same(&clean, &d);
            drop(&clean);
        }
        free_data(&d);
    }
}

/* What a kernel leaves unset is NaN. */
static __attribute__((noinline)) void dirty_stack(void)
{
    volatile uint32_t nan[1 << 19];
    for (size_t i = 0; i < sizeof nan / sizeof *nan; i++)
        nan[i] = 0xffffffff;
}

/* A block that only tokens after the last row's see adds nothing. */
void test_attend_later_keys(void **state)
{
    (void)state;
    for (int64_t tokens = 17; tokens < 60; tokens += 7) {
        data d = make_data((scene){ tokens, 128 - tokens, 0, 256 }, 2);
        FOR_TABLES(t) {
            run_rows_alone(t, &d);
            carry alone = keep(&d);
            dirty_stack();
            run(t, &d);
            check_same(&alone, &d);
            drop(&alone);
        }
        free_data(&d);
    }
}

/* An output so small that it is flushed to -0 stays what it is in rows for which the next block
   holds nothing, and so adds +0 at most. */
void test_attend_negative_zero(void **state)
{
    (void)state;
    data d = make_data((scene){ 40, 100, 0, 140 }, 2);
    memset(d.k, 0, 140 * HEAD_DIM * sizeof *d.k);          /* all probabilities are 1 */
    for (int i = 0; i < HEAD_DIM; i++) {
        for (int j = 0; j < 140; j++)
            d.v[j * HEAD_DIM + i] = to_elt(j < KEY_BLOCK ? -0.0f : 1);
        d.v[i] = to_elt(-0x1.8p-126f);
        d.v[(KEY_BLOCK - 2) * HEAD_DIM + i] = to_elt(0x1p-126f);
    }
    FOR_TABLES(t) {
        run_rows_alone(t, &d);
        carry alone = keep(&d);
        run(t, &d);
        check_same(&alone, &d);
        run_runs(t, &d);
        check_same(&alone, &d);
        drop(&alone);
    }
    free_data(&d);
}

/* A row that sees a NaN is NaN, wherever the key lies and however many rows share the call. */
void test_attend_nan(void **state)
{
    static const int64_t AT[] = { 0, 3, 127, 128, 200, 255, 256, 270 };
    (void)state;
    for (size_t i = 0; i < sizeof AT / sizeof *AT; i++) {
        data d = make_data((scene){ 40, 300, 0, 340 }, 2);
        for (int j = 0; j < HEAD_DIM; j++)
            d.k[AT[i] * HEAD_DIM + j] = to_elt(NAN);
        FOR_TABLES(t) {
            run(t, &d);
            carry together = keep(&d);
            run_rows_alone(t, &d);
            for (int64_t r = 0; r < d.rows; r++) {
                assert_true(isnan(d.ml[2 * r + 1]) && isnan(together.ml[2 * r + 1]));
                assert_bits(&d.ml[2 * r], &together.ml[2 * r], sizeof *d.ml);
            }
            drop(&together);
        }
        free_data(&d);
    }
}

/* ---- properties ---- */

/* v = 1 gives 1, within the roundings of the probabilities. */
void test_attend_ones(void **state)
{
    (void)state;
    data d = make_data((scene){ 30, 470, 0, 500 }, 2);
    for (int64_t i = 0; i < 500 * HEAD_DIM; i++)
        d.v[i] = to_elt(1);
    FOR_TABLES(t) {
        run(t, &d);
        for (int64_t i = 0; i < d.rows * HEAD_DIM; i++)
            assert_near(d.o[i] / d.ml[i / HEAD_DIM * 2 + 1], 1, HALF_ULP + 0x1p-20);
    }
    free_data(&d);
}

static void swap_rows(elt *m, int64_t a, int64_t b)
{
    elt row[HEAD_DIM];
    memcpy(row, m + a * HEAD_DIM, sizeof row);
    memcpy(m + a * HEAD_DIM, m + b * HEAD_DIM, sizeof row);
    memcpy(m + b * HEAD_DIM, row, sizeof row);
}

/* Reversing the pairs (k, v) of a block that all rows see changes only the order of sums. */
void test_attend_permuted(void **state)
{
    (void)state;
    data d = make_data((scene){ 10, 400, 0, 410 }, 2);
    FOR_TABLES(t) {
        run(t, &d);
        carry before = keep(&d);
        for (int64_t i = 0; i < KEY_BLOCK / 2; i++) {
            swap_rows(d.k, KEY_BLOCK + i, 2 * KEY_BLOCK - 1 - i);
            swap_rows(d.v, KEY_BLOCK + i, 2 * KEY_BLOCK - 1 - i);
        }
        run(t, &d);
        for (int64_t r = 0; r < d.rows; r++) {
            double sum = before.ml[2 * r + 1];
            assert_true(d.ml[2 * r] == before.ml[2 * r]);
            assert_near(d.ml[2 * r + 1], sum, sum * 0x1p-20);
            for (int i = 0; i < HEAD_DIM; i++)   /* |v| <= 1: terms add up to the sum at most */
                assert_near(d.o[r * HEAD_DIM + i], before.o[r * HEAD_DIM + i], sum * 0x1p-18);
        }
        drop(&before);
    }
    free_data(&d);
}

void test_merge_empty(void **state)
{
    (void)state;
    float o[HEAD_DIM], zero[HEAD_DIM] = { 0 }, got[HEAD_DIM];
    float ml[2] = { 1.5f, 2.5f }, empty[2] = { -INFINITY, 0 }, got_ml[2];
    for (int i = 0; i < HEAD_DIM; i++)
        o[i] = uniform();
    o[0] = -0.0f;
    FOR_TABLES(t) {
        memcpy(got, o, sizeof o);
        memcpy(got_ml, ml, sizeof ml);
        t->merge(got, got_ml, zero, empty, 1);
        assert_bits(got, o, sizeof o);
        assert_bits(got_ml, ml, sizeof ml);
        memcpy(got, zero, sizeof o);
        memcpy(got_ml, empty, sizeof ml);
        t->merge(got, got_ml, o, ml, 1);
        assert_bits(got, o, sizeof o);
        assert_bits(got_ml, ml, sizeof ml);
    }
}

/* The sum of two keys' probabilities, one of which is the largest, 1, is 1 more than the other's.
   Both keys are the same for all rows; what is rounded is said in kern_vec.h (exp2_low_v). */
void test_probabilities(void **state)
{
    (void)state;
    enum { TOKENS = 512 };
    const double limit = HI_F32 ? 2e-7 : 3.1e-6;
    data d = make_data((scene){ TOKENS, 1, 0, 2 }, 0);
    memset(d.k, 0, 2 * HEAD_DIM * sizeof *d.k);
    d.k[HEAD_DIM] = to_elt(-1);
    for (int t = 0; t < TOKENS; t++)
        for (int g = 0; g < GQA; g++)
            d.q[t * d.q_stride + g * HEAD_DIM] = to_elt(4 * (float)(t + 1) / TOKENS);
    FOR_TABLES(t) {
        double worst = 0;
        run(t, &d);
        for (int64_t r = 0; r < d.rows; r++) {
            double q = of_elt(d.q[r / GQA * d.q_stride]);
            double p = exp(capped(-q / sqrt(QUERY_SCALAR)));
            assert_true(d.ml[2 * r] == 0);
            worst = fmax(worst, (fabs(d.ml[2 * r + 1] - 1 - p) - 0x1p-24) / p);
        }
        print_message("%-10s probabilities: relative error %.2e\n", t->isa, worst);
        assert_true(worst <= limit + (ATTN_SOFTCAP > 0 ? ATTN_SOFTCAP * 0x1p-20 : 0x1p-22));
    }
    free_data(&d);
}

/* Merging an empty sum at maximum 0 into a sum of 1 at maximum x leaves exp2(x) as the sum. */
void test_exp2(void **state)
{
    (void)state;
    float o[HEAD_DIM] = { 0 }, zero[HEAD_DIM] = { 0 }, none[2] = { 0, 0 };
    FOR_TABLES(t) {
        double worst = 0;
        for (int i = 0; i <= 300000; i++) {
            float x = -126 + 126 * (float)i / 300000, ml[2] = { x, 1 };
            t->merge(o, ml, zero, none, 1);
            worst = fmax(worst, fabs(ml[1] / exp2(x) - 1));
            assert_true(i < 300000 || ml[1] == 1);
        }
        print_message("%-10s exp2: relative error %.2e\n", t->isa, worst);
        assert_true(worst <= 2e-7);
        static const float far[] = { -126.00001f, -149, -600, -1e30f };
        for (int i = 0; i < 4; i++) {
            float ml[2] = { far[i], 1 };
            t->merge(o, ml, zero, none, 1);
            assert_true(ml[1] == 0);
        }
    }
}
