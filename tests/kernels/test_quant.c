/*
** test_quant.c - weights of 8 and 4 bits: what rows become, and what products make of that.
**
** A product of a quantised matrix must have the bits of a product of the elements that it stands for;
** what these are is compared with scale x value, here in double.
*/
#include "test_kern.h"
#include "kern_quant.h"

static const kern_type TYPES[] = { KERN_Q8, KERN_Q4 };

#define FOR_TYPES(q) for (const kern_type *q = TYPES; q < TYPES + 2; q++)

static int most_value(kern_type q)
{
    return q == KERN_Q8 ? 127 : 8;
}

/* A matrix and what a table makes of it; every byte that no row has is 0x55. */
typedef struct matrix {
    int n, k;
    elt *w;
    unsigned char *packed;
} matrix;

/* Rows of many sizes: usual, all zeros, single elements, beyond the range of scales on either side. */
static elt *make_rows(int n, int k)
{
    static const float SIZES[] = { 1, 0, 0.02f, 0x1p-13f, 3e-6f, 0x1p-24f, 1e-8f, 1e-30f, 0x1p-130f,
                                   1e4f, 4e6f, 7e6f, 1e7f, 1e30f };
    elt *w = alloc((size_t)n * (size_t)k * sizeof *w);
    for (int r = 0; r < n; r++)
        for (int i = 0; i < k; i++) {
            float x = uniform() * SIZES[r % 14];
            w[r * k + i] = to_elt(r % 5 == 4 && i % 37 != 3 ? 0 : x);
        }
    return w;
}

/* In pieces of 37 rows, the last first. */
static matrix quantise(const hi_kernels *t, kern_type q, const elt *w, int n, int k)
{
    matrix m = { n, k, NULL, alloc((size_t)quant_bytes(q, n, k)) };
    memset(m.packed, 0x55, (size_t)quant_bytes(q, n, k));
    for (int r = (n - 1) / 37 * 37; r >= 0; r -= 37)
        t->quant_rows(q, m.packed, w + r * k, r, n - r < 37 ? n - r : 37, k);
    return m;
}

static elt *unpack(kern_type q, const matrix *m)
{
    elt *w = alloc((size_t)m->n * (size_t)m->k * sizeof *w);
    for (int r = 0; r < m->n; r++)
        quant_unpack_row(q, w + r * m->k, m->packed, r, m->k);
    return w;
}

/* ---- rows ---- */

/* Scale and values of a column's block. */
typedef struct column {
    double scale;
    int value[QUANT_BLOCK];
} column;

static column column_of(kern_type q, const matrix *m, int row, int block)
{
    int blocks = (m->k + QUANT_BLOCK - 1) / QUANT_BLOCK, c = row % PANEL;
    const unsigned char *b = m->packed + (row / PANEL * blocks + block) * quant_block_bytes(q);
    _Float16 scale;
    column out;
    memcpy(&scale, b + 2 * c, 2);
    out.scale = (double)scale;
    b += 2 * PANEL;
    for (int i = 0; i < QUANT_BLOCK; i++)
        out.value[i] = q == KERN_Q8 ? b[i / 2 * 2 * PANEL + 2 * c + i % 2] - 128
                                    : (b[i / 2 * PANEL + c] >> 4 * (i % 2) & 15) - 8;
    return out;
}

static double missed(const column *c, double scale, const double *w, bool nearest)
{
    double sum = 0;
    for (int i = 0; i < QUANT_BLOCK; i++) {
        double v = scale == 0 ? 0 : fmin(7, fmax(-8, rint(w[i] / scale)));
        double off = w[i] - scale * (nearest ? v : c->value[i]);
        sum += off * off;
    }
    return sum;
}

/* The scale that kern_quant.h promises; values within half a step, or at the end of their range. */
static void check_column(kern_type q, const column *c, const double *w)
{
    double most = 0, signed_most = 0;
    for (int i = 0; i < QUANT_BLOCK; i++)
        if (fabs(w[i]) > most || (fabs(w[i]) == most && w[i] > 0)) {
            signed_most = w[i];
            most = fabs(w[i]);
        }
    double whole = q == KERN_Q8 ? most / 127 : signed_most / -8;
    double scale = fmin(65504, fmax(-65504, (double)(_Float16)(float)whole));
    if (q == KERN_Q8) {
        if (most > 127.5 * scale && scale < 65504)
            scale += 0x1p-24;
        assert_true(c->scale == scale);
    } else if (whole != 0 && fabs(whole) > 0x1p-14 && fabs(whole) < 65504) {
        assert_true(c->scale != 0);
        assert_true(missed(c, c->scale, w, false) <= missed(c, scale, w, true) * (1 + 1e-5));
    }
    for (int i = 0; i < QUANT_BLOCK; i++) {
        int low = q == KERN_Q8 ? -127 : -8, high = q == KERN_Q8 ? 127 : 7;
        double at = c->scale == 0 ? 0 : fmin(high, fmax(low, w[i] / c->scale));
        assert_true(c->value[i] >= low && c->value[i] <= high);
        assert_near(c->value[i], at, 0.5 + 1e-5);
    }
}

void test_quant_rows(void **state)
{
    (void)state;
    enum { N = 130, K = 80 };
    elt *w = make_rows(N, K);
    FOR_TYPES(q) {
        matrix m = quantise(tables[0], *q, w, N, K);
        elt *elts = unpack(*q, &m);
        for (int r = 0; r < N; r++)
            for (int b = 0; b < (K + QUANT_BLOCK - 1) / QUANT_BLOCK; b++) {
                double in[QUANT_BLOCK] = { 0 };
                column c = column_of(*q, &m, r, b);
                for (int i = 0; i < QUANT_BLOCK && b * QUANT_BLOCK + i < K; i++) {
                    int at = r * K + b * QUANT_BLOCK + i;
                    elt want = to_elt((float)(c.scale * c.value[i]) + 0.0f);
                    in[i] = of_elt(w[at]);
                    assert_bits(&elts[at], &want, sizeof want);
                }
                check_column(*q, &c, in);
            }
        FOR_TABLES(t) {
            matrix other = quantise(t, *q, w, N, K);
            assert_bits(other.packed, m.packed, (size_t)quant_bytes(*q, N, K));
            free(other.packed);
        }
        free(elts);
        free(m.packed);
    }
    free(w);
}

/* Elements that a matrix of the type can have are kept, whatever the rest of their row. */
void test_quant_again(void **state)
{
    (void)state;
    enum { N = 66, K = 96 };
    FOR_TYPES(q) {
        elt *w = alloc(N * K * sizeof *w);
        for (int i = 0; i < N * K; i++) {
            int value = (int)(uniform() * 7.99f);
            w[i] = to_elt(ldexpf((float)(i % QUANT_BLOCK == 9 ? -most_value(*q) : value), i / K % 20 - 12));
        }
        matrix m = quantise(tables[0], *q, w, N, K);
        elt *elts = unpack(*q, &m);
        assert_bits(elts, w, N * K * sizeof *w);
        free(elts);
        free(m.packed);
        free(w);
    }
}

/* ---- products ---- */

static int panels(int n)
{
    return (n + PANEL - 1) / PANEL;
}

/* Products with the unit vectors are the elements themselves. */
void test_quant_unpack(void **state)
{
    (void)state;
    enum { N = 130, K = 112 };
    elt *w = make_rows(N, K), *x = alloc(K * K * sizeof *x), *y = alloc(K * N * sizeof *y);
    for (int i = 0; i < K * K; i++)
        x[i] = to_elt(i % (K + 1) == 0);
    FOR_TYPES(q) {
        matrix m = quantise(tables[0], *q, w, N, K);
        elt *elts = unpack(*q, &m);
        FOR_TABLES(t) {
            kern_matmul call = { x, (elt *)m.packed, NULL, y, K, N, K, N, K, MM_STORE, *q };
            t->matmul(&call, 0, K, 0, panels(N));
            for (int r = 0; r < N; r++)
                for (int i = 0; i < K; i++)
                    assert_bits(&y[i * N + r], &elts[r * K + i], sizeof *y);
        }
        free(elts);
        free(m.packed);
    }
    free(w);
    free(x);
    free(y);
}

/* Against a matrix of the elements, and against sums in double. */
static void check_product(const hi_kernels *t, kern_type q, int rows, int n, int k, float size)
{
    elt *w = random_elts((size_t)n * (size_t)k, size), *x = random_elts((size_t)rows * (size_t)k, 1);
    matrix m = quantise(t, q, w, n, k);
    elt *elts = unpack(q, &m), *plain = alloc((size_t)pack_bytes(n, k));
    float *y = alloc((size_t)rows * (size_t)n * sizeof *y), *want = alloc((size_t)rows * (size_t)n * sizeof *y);
    memset(plain, 0, (size_t)pack_bytes(n, k));
    pack_rows(plain, elts, 0, n, k);
    kern_matmul a = { x, (elt *)m.packed, NULL, y, k, n, rows, n, k, MM_F32, q };
    kern_matmul b = { x, plain, NULL, want, k, n, rows, n, k, MM_F32, KERN_PLAIN };
    t->matmul(&b, 0, rows, 0, panels(n));
    t->matmul(&a, 0, rows, 0, panels(n));
    assert_bits(y, want, (size_t)rows * (size_t)n * sizeof *y);
    for (int r = 0; r < rows; r += 7)            /* one row and one panel a call */
        for (int j = 0; j < panels(n); j++)
            t->matmul(&a, r, r + 1, j, j + 1);
    assert_bits(y, want, (size_t)rows * (size_t)n * sizeof *y);
    for (int i = 0; FINAL_SOFTCAP == 0 && i < rows * n; i++) {
        double sum = 0, sizes = 0, flushed = k * 0x1p-126;
        for (int at = 0; at < k; at++) {
            double v = of_elt(x[i / n * k + at]), u = of_elt(elts[i % n * k + at]);
            sum += v * u;
            sizes += fabs(v * u);
        }
        assert_near(y[i], sum, k * HALF_ULP_FLOAT * sizes + flushed);
    }
    free(w);
    free(x);
    free(m.packed);
    free(elts);
    free(plain);
    free(y);
    free(want);
}

void test_quant_matmul(void **state)
{
    (void)state;
    static const int NS[] = { 1, 17, 64, 65, 130 }, KS[] = { 16, 48, 64, 1104 };
    FOR_TABLES(t)
        FOR_TYPES(q) {
            for (int i = 0; i < 20; i++)
                check_product(t, *q, 2 * i + 1, NS[i % 5], KS[i % 4], i % 3 == 2 ? 1e-5f : 1);
            check_product(t, *q, 131, 70, 4112, 1);
        }
}
