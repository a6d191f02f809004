/*
** test_random_weights.c - weights from a seed: the same in any pieces, and plausible.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "random_weights.h"

static char err[256];

static const hi_tensor LONG[] = {
    { .name = "k_proj", .rows = 5, .cols = 1500000 }, /* a row is more than a piece */
    { .name = "many", .rows = 70001, .cols = 31 },
    { .name = "norm", .rows = 1300000 },
};

typedef struct tally {
    int64_t next, calls;
    uint64_t seed;
    int elt;
} tally;

/* Compares with the elements made in one go, or one by one. */
static int compare_random(void *to, const hi_tensor *t, int64_t row, int64_t n_rows,
                          const void *elts)
{
    tally *y = to;
    int64_t width = t->cols > 0 ? t->cols : 1, n = n_rows * width;
    char *want = malloc((size_t)(n * y->elt));
    assert_int_equal(row, row == 0 ? 0 : y->next);
    random_elements(t, y->seed, y->elt, (uint64_t)(row * width), (size_t)n, want);
    assert_memory_equal(elts, want, (size_t)(n * y->elt));
    for (int64_t i = 0, step = 1; i + step <= n; i += step, step = step % 97 + 3)
        random_elements(t, y->seed, y->elt, (uint64_t)(row * width + i), (size_t)step,
                        want + i * y->elt);
    assert_memory_equal(elts, want, (size_t)(n * y->elt));
    free(want);
    y->next = row + n_rows;
    y->calls++;
    return 0;
}

static hi_model long_model(int elt)
{
    return (hi_model){ .elt = elt, .tensor = LONG, .n_tensors = 3 };
}

static void random_pieces(void **state)
{
    (void)state;
    for (int elt = 2; elt <= 4; elt += 2) {
        hi_model m = long_model(elt);
        tally y = { .seed = UINT64_MAX, .elt = elt };
        int rc = weights_load(&m, "random:18446744073709551615", false, NULL, compare_random, &y,
                              err, sizeof err);
        assert_int_equal(rc, 0);
        assert_true(y.calls > 3 && y.calls < 30);
    }
}

static void moments(const hi_tensor *t, double *mean, double *sigma, double *most)
{
    size_t n = (size_t)(t->rows * (t->cols > 0 ? t->cols : 1));
    float *x = malloc(n * sizeof *x);
    random_elements(t, 1, 4, 0, n, x);
    double sum = 0, squares = 0;
    *most = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        *most = fmax(*most, fabs((double)x[i]));
    }
    free(x);
    *mean = sum / (double)n;
    *sigma = sqrt(squares / (double)n - *mean * *mean);
}

static void random_values(void **state)
{
    (void)state;
    static const struct {
        hi_tensor t;
        double mean, sigma, most;
    } rows[] = {
        { { .name = "l.0.down_proj.weight", .rows = 400, .cols = 100 }, 0, 0.1, 0.1733 },
        { { .name = "l.0.q_proj.weight", .rows = 400, .cols = 100 }, 0, 0.2, 0.3465 },
        { { .name = "l.0.input_layernorm.weight", .rows = 40000 }, 1, 0.0361, 1.0625 },
        { { .name = "l.0.q_proj.bias", .rows = 40000 }, 0, 0.0361, 0.0625 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double mean, sigma, most;
        moments(&rows[i].t, &mean, &sigma, &most);
        assert_true(fabs(mean - rows[i].mean) < 0.02 * rows[i].sigma);
        assert_true(fabs(sigma - rows[i].sigma) < 0.01 * rows[i].sigma);
        assert_true(most <= rows[i].most);
    }
}

/* Pinned: a change would make old measurements incomparable. */
static void random_bits(void **state)
{
    (void)state;
    const hi_tensor a = { .name = "a", .rows = 1, .cols = 6 },
                    b = { .name = "b", .rows = 1, .cols = 6 };
    const hi_tensor norm = { .name = "norm", .rows = 6 };
    static const uint16_t want[6] = { 0x3f06, 0xbe9c, 0xbf25, 0xbed5, 0xbee7, 0x3e15 };
    static const float want_norm[6] = { 0x1.04cf1p+0f, 0x1.0e183p+0f, 0x1.05c69p+0f,
                                        0x1.f085ap-1f, 0x1.e742ap-1f, 0x1.0848bp+0f };
    uint16_t x[6];
    float v[6];
    random_elements(&a, 1, 2, 0, 6, x);
    assert_memory_equal(x, want, sizeof x);
    random_elements(&norm, 1, 4, 0, 6, v);
    assert_memory_equal(v, want_norm, sizeof v);
    random_elements(&b, 1, 2, 0, 6, x);
    assert_memory_not_equal(x, want, sizeof x);
    random_elements(&a, 2, 2, 0, 6, x);
    assert_memory_not_equal(x, want, sizeof x);
}

static void bad_seeds(void **state)
{
    (void)state;
    static const char *const seeds[] = { "",    "x",   "-1",
                                         "+1",  " 1",  "1x",
                                         "0x1", "1.0", "18446744073709551616" };
    hi_model m = long_model(2);
    char path[64], message[256];
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        snprintf(path, sizeof path, "random:%s", seeds[i]);
        snprintf(message, sizeof message,
                 "%s: the seed must be a whole number below 2^64, as in random:1", path);
        int rc = weights_load(&m, path, false, NULL, compare_random, NULL, err, sizeof err);
        assert_int_equal(rc, -1);
        assert_string_equal(err, message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_pieces),
        cmocka_unit_test(random_values),
        cmocka_unit_test(random_bits),
        cmocka_unit_test(bad_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
