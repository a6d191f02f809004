/*
** test_product.c - products of a few rows, against double and against themselves.
**
** Where x and w are small integers, sums are exact in float in whatever order: results must be so.
** Of others the bits must be the same wherever a row or a column stands and however many there
** are, and within the error of float sums. All that is not to be read is NaN, or out of bounds.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "args.h"
#include "dev.h"
#include "geometry.h"

enum {
    UNTOUCHED = 0x5a,
    STRIDE_GAP = 24,                 /* elements between the rows of x, NaN */
    MOST_ROWS = 33
};

static const uint16_t NOT_A_NUMBER = 0x7fc1;

/* A product of host memory. */
typedef struct problem {
    int rows, n, k, from, to, mode;
    bool wide;                       /* the kernel for more columns */
    uint16_t *x, *w, *bias;          /* (rows, k + STRIDE_GAP), (n, k), (n) or NULL */
} problem;

static void *alloc(size_t bytes)
{
    void *p = malloc(bytes);
    assert_non_null(p);
    memset(p, UNTOUCHED, bytes);
    return p;
}

static float uniform(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-23f - 1;
}

static float of_bf16(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint16_t to_bf16(double x)
{
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Integers up to 'whole'; 0: any numbers below 1. */
static uint16_t *numbers(size_t n, int whole)
{
    uint16_t *x = alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = to_bf16(whole ? round(uniform() * whole) : uniform());
    return x;
}

static problem make(int rows, int n, int k, int whole)
{
    problem p = { .rows = rows, .n = n, .k = k, .to = n, .mode = PRODUCT_F32,
                  .x = numbers((size_t)rows * (size_t)(k + STRIDE_GAP), whole),
                  .w = numbers((size_t)n * (size_t)k, whole),
                  .bias = numbers((size_t)n, whole) };
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < STRIDE_GAP; i++)
            p.x[r * (k + STRIDE_GAP) + k + i] = NOT_A_NUMBER;
    return p;
}

static void discard(problem *p)
{
    free(p->x);
    free(p->w);
    free(p->bias);
}

static size_t element(const problem *p)
{
    return p->mode == PRODUCT_F32 ? sizeof(float) : sizeof(uint16_t);
}

static void *on_device(const void *host, size_t bytes)
{
    void *d = dev_new(bytes);
    dev_put(d, host, bytes);
    return d;
}

/* y of rows [row, row + rows), on the device from its first to its last element. */
static void multiply(const problem *p, int row, int rows, void *y)
{
    size_t stride = (size_t)p->k + STRIDE_GAP, bytes = (size_t)rows * (size_t)p->n * element(p);
    void *x = on_device(p->x + (size_t)row * stride, ((size_t)rows * stride - STRIDE_GAP) * 2);
    void *w = on_device(p->w, (size_t)p->to * (size_t)p->k * 2);
    void *bias = p->bias ? on_device(p->bias, (size_t)p->to * 2) : NULL;
    product_args a = { on_device(y, bytes), x, w, bias, (i64)stride, rows, p->n, p->k, p->from,
                       p->to, p->mode };
    int width = p->wide ? PRODUCT_WIDE_COLS : PRODUCT_COLS;
    unsigned cols = (unsigned)((p->to - p->from + width - 1) / width);
    unsigned tiles = (unsigned)(rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS;

    /* the shape of the grid does not matter */
    dev_launch(p->wide ? "k_product_wide" : "k_product", rows % 2 ? cols : tiles,
               rows % 2 ? tiles : cols, 1, PRODUCT_THREADS, PRODUCT_SMEM, &a, sizeof a);
    dev_get(y, a.y, bytes);
    dev_free(a.y);
    dev_free(x);
    dev_free(w);
    if (bias)
        dev_free(bias);
}

static void *product(const problem *p)
{
    void *y = alloc((size_t)p->rows * (size_t)p->n * element(p));
    multiply(p, 0, p->rows, y);
    return y;
}

/* ---- against double ---- */

/* What the scores of a model are capped at, within 2^-20 of the cap. */
static double capped(double x)
{
    return FINAL_CAPPED ? FINAL_SOFTCAP * tanh(x / FINAL_SOFTCAP) : x;
}

/* The value of an element, and how far float sums may be from it: a warp adds up k / 128 mma. */
static double value(const problem *p, int row, int col, uint16_t before, double *error)
{
    const uint16_t *x = p->x + (size_t)row * (size_t)(p->k + STRIDE_GAP);
    const uint16_t *w = p->w + (size_t)col * (size_t)p->k;
    double sum = 0, size = 0;

    for (int i = 0; i < p->k; i++) {
        sum += (double)of_bf16(x[i]) * of_bf16(w[i]);
        size += fabs((double)of_bf16(x[i]) * of_bf16(w[i]));
    }
    double add = p->bias ? of_bf16(p->bias[col]) : 0;
    if (p->mode == PRODUCT_ADD)
        add += of_bf16(before);
    *error = (size + fabs(add)) * (p->k / 128 + 24) * 0x1p-23;
    return sum + add;
}

static void check(const problem *p, const void *y, const uint16_t *before, bool exact)
{
    for (int r = 0; r < p->rows; r++)
        for (int c = p->from; c < p->to; c++) {
            size_t at = (size_t)r * (size_t)p->n + (size_t)c;
            double error, v = value(p, r, c, before[at], &error), low, high, got;
            if (exact)
                error = 0;
            if (p->mode == PRODUCT_F32) {
                got = ((const float *)y)[at];
                double more = FINAL_SOFTCAP * 0x1p-20;
                low = capped(v - error) - more;
                high = capped(v + error) + more;
            } else {
                got = of_bf16(((const uint16_t *)y)[at]);
                low = of_bf16(to_bf16(v - error));
                high = of_bf16(to_bf16(v + error));
            }
            if (!(got >= low && got <= high))
                fail_msg("(%d, %d) of (%d, %d), k %d, mode %d: %.9g, not in [%.9g, %.9g]", r, c,
                         p->rows, p->n, p->k, p->mode, got, low, high);
        }
}

static void check_modes(int rows, int n, int k, int whole)
{
    problem p = make(rows, n, k, whole);
    uint16_t *bias = p.bias;
    size_t size = (size_t)rows * (size_t)n;

    for (int i = 0; i < 6; i++) {
        p.mode = i / 2;
        p.bias = i % 2 ? bias : NULL;
        uint16_t *before = numbers(size, whole);
        void *y = alloc(size * element(&p));
        if (p.mode == PRODUCT_ADD)
            memcpy(y, before, size * 2);
        multiply(&p, 0, rows, y);
        check(&p, y, before, whole != 0);
        free(before);
        free(y);
    }
    p.bias = bias;
    discard(&p);
}

static void test_modes(void **unused)
{
    (void)unused;
    check_modes(1, 17, 1032, 3);
    check_modes(19, 33, 264, 3);
    check_modes(5, 40, 1032, 0);
    check_modes(16, 16, 2048, 0);
}

/* Rows, columns and k of all kinds of remainders; a ring that is never full, and that turns. */
static void test_shapes(void **unused)
{
    static const int rows[] = { 1, 2, 7, 8, 9, 15, 16, 17, MOST_ROWS };
    static const int shapes[][2] = { { 1, 8 },     { 7, 24 },    { 8, 56 },    { 9, 64 },
                                     { 15, 72 },   { 16, 504 },  { 17, 520 },  { 31, 2048 },
                                     { 33, 1544 }, { 16, 2040 }, { 5, 4648 } };
    enum { SHAPES = sizeof shapes / sizeof shapes[0], ROWS = sizeof rows / sizeof rows[0] };
    (void)unused;
    for (int i = 0; i < SHAPES; i++)
        for (int r = i % 2; r < ROWS; r += 2) {
            problem p = make(rows[r], shapes[i][0], shapes[i][1], 2);
            uint16_t *none = numbers((size_t)p.rows * (size_t)p.n, 1);
            void *y = product(&p);
            check(&p, y, none, true);
            free(none);
            free(y);
            discard(&p);
        }
}

/* ---- against itself ---- */

/* Each row alone, most also in other places of a tile, among fewer rows. */
static void test_rows(void **unused)
{
    (void)unused;
    problem p = make(MOST_ROWS, 19, 1608, 0);
    float *y = product(&p), *some = alloc(sizeof *some * MOST_ROWS * 19);
    for (int r = 0; r < MOST_ROWS; r++)
        for (int rows = 1; rows <= (r % 4 ? 1 : 13) && r + rows <= MOST_ROWS; rows += 6) {
            multiply(&p, r, rows, some);
            assert_memory_equal(some, y + r * p.n, (size_t)(rows * p.n) * sizeof *y);
        }
    free(y);
    free(some);
    discard(&p);
}

/* Ranges of columns have the bits of the whole, and touch nothing else; what another column's
   weights are does not matter. */
static void test_columns(void **unused)
{
    static const int ranges[][2] = { { 0, 1 }, { 1, 40 }, { 7, 24 }, { 16, 32 }, { 39, 40 } };
    enum { RANGES = sizeof ranges / sizeof ranges[0], ROWS = 6, N = 40 };
    (void)unused;
    problem p = make(ROWS, N, 840, 0);
    for (p.mode = PRODUCT_STORE; p.mode <= PRODUCT_F32; p.mode += 2) {
        size_t elt = element(&p);
        unsigned char *y = product(&p), *want = alloc(ROWS * N * elt);
        for (int i = 0; i < RANGES; i++) {
            problem q = p;
            q.from = ranges[i][0];
            q.to = ranges[i][1];
            q.w = alloc(N * 840 * 2);
            memset(q.w, 0xff, N * 840 * 2);
            memcpy(q.w + q.from * 840, p.w + q.from * 840, (size_t)(q.to - q.from) * 840 * 2);
            unsigned char *some = product(&q);
            memset(want, UNTOUCHED, ROWS * N * elt);
            for (int r = 0; r < ROWS; r++) {
                size_t at = (size_t)(r * N + q.from) * elt;
                memcpy(want + at, y + at, (size_t)(q.to - q.from) * elt);
            }
            assert_memory_equal(some, want, ROWS * N * elt);
            free(some);
            free(q.w);
        }
        free(y);
        free(want);
    }
    discard(&p);
}

/* Both kernels have the same bits. */
static void test_wide(void **unused)
{
    static const int shapes[][3] = { { 1, 33, 1032 }, { 16, 64, 520 }, { 18, 70, 1544 },
                                     { 9, 31, 4104 } };
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        problem p = make(shapes[i][0], shapes[i][1], shapes[i][2], 0);
        p.from = (int)i;
        float *y = product(&p);
        p.wide = true;
        float *wide = product(&p);
        assert_memory_equal(wide, y, (size_t)(p.rows * p.n) * sizeof *y);
        free(y);
        free(wide);
        discard(&p);
    }
}

/* The same columns as all of a matrix and as the first of a larger one. */
static void test_narrow(void **unused)
{
    (void)unused;
    problem p = make(3, 40, 1160, 0), q = p;
    q.n = q.to = 3;
    float *y = product(&p), *narrow = product(&q);
    for (int r = 0; r < 3; r++)
        assert_memory_equal(narrow + r * 3, y + r * 40, 3 * sizeof *y);
    free(y);
    free(narrow);
    discard(&p);
}

/* NaN in one row stays there; and infinity in one column. */
static void test_special(void **unused)
{
    (void)unused;
    problem p = make(18, 20, 136, 2);
    p.x[4 * (136 + STRIDE_GAP) + 135] = NOT_A_NUMBER;
    p.w[11 * 136 + 7] = 0x7f80;
    p.bias[19] = 0xff80;
    for (int r = 0; r < p.rows; r++)
        p.x[r * (136 + STRIDE_GAP) + 7] = to_bf16(1);
    float *y = product(&p);
    for (int r = 0; r < p.rows; r++)
        for (int c = 0; c < p.n; c++) {
            float got = y[r * p.n + c];
            if (r == 4)
                assert_true(isnan(got));
            else
                assert_true(c == 11   ? got == capped(INFINITY)
                            : c == 19 ? got == capped(-INFINITY)
                                      : !!isfinite(got));
        }
    free(y);
    discard(&p);
}

/* Powers of two go through, to the bit, where no cap is in their way. */
static void test_linear(void **unused)
{
    (void)unused;
    if (FINAL_CAPPED)
        return;
    problem p = make(4, 16, 712, 0);
    memset(p.bias, 0, 16 * sizeof *p.bias);
    float *y = product(&p);
    for (int r = 0; r < p.rows; r++)
        for (int i = 0; i < p.k; i++) {
            uint16_t *x = &p.x[r * (p.k + STRIDE_GAP) + i];
            *x = to_bf16(of_bf16(*x) * (r % 2 ? 0x1p20 : -0x1p-20));
        }
    float *scaled = product(&p);
    for (int r = 0; r < p.rows; r++)
        for (int c = 0; c < p.n; c++) {
            float want = y[r * p.n + c] * (r % 2 ? 0x1p20f : -0x1p-20f);
            assert_memory_equal(&scaled[r * p.n + c], &want, sizeof want);
        }
    free(y);
    free(scaled);
    discard(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),  cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_columns),
        cmocka_unit_test(test_wide),   cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_linear), cmocka_unit_test(test_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
