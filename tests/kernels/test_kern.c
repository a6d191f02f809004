/*
** test_kern.c - every table this machine can run: packing, products, norm, rope, activation.
**
** References are in double, from the rounded inputs. Tolerances follow from the number of
** roundings; where a result's bits are determined, bits are compared.
*/
#include <stdio.h>
#include "test_kern.h"

const hi_kernels *tables[8];
int n_tables;

/* ---- shared ---- */

elt to_elt(float x)
{
#if HI_F32
    return x;
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (isnan(x))
        return (elt)(u >> 16 | 0x40);
    return (elt)((u + 0x7fff + (u >> 16 & 1)) >> 16);
#endif
}

float of_elt(elt e)
{
#if HI_F32
    return e;
#else
    uint32_t u = (uint32_t)e << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
#endif
}

float uniform(void)
{
    static uint32_t s = 12345;
    s ^= s << 13;
    s ^= s >> 17;
    s ^= s << 5;
    return (float)(int32_t)s * 0x1p-31f;
}

void *alloc(size_t bytes)
{
    void *p = malloc(bytes);
    assert_non_null(p);
    return p;
}

elt *random_elts(size_t n, float scale)
{
    elt *p = alloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = to_elt(uniform() * scale);
    return p;
}

void check_near(double got, double want, double tolerance, const char *file, int line)
{
    if (isfinite(want) ? fabs(got - want) <= tolerance : got == want)
        return;
    print_error("got %.9g, want %.9g within %.3g\n", got, want, tolerance);
    _fail(file, line);
}

void check_same_elts(const elt *got, const elt *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(of_elt(got[i])) || !isnan(of_elt(want[i])))
            assert_bits(&got[i], &want[i], sizeof *got);
}

void check_rounded(const elt *got, const elt *want, size_t n, double relative, double least)
{
    size_t differ = 0;
    for (size_t i = 0; i < n; i++) {
        double w = of_elt(want[i]);
        assert_near(of_elt(got[i]), w, relative * fabs(w) + least);
        differ += of_elt(got[i]) != of_elt(want[i]);
    }
    assert_true(HI_F32 || differ <= 1 + n / 50);
}

/* ---- kern.c, kern_pack.c ---- */

#define NAME(name) #name,
static const char *const NAMES[] = { KERN_TABLES(NAME) };

/* A refusal names what this architecture has, and nothing of another one. */
static void check_refused(const char *isa)
{
    const char *why = NULL;
    assert_null(kern_pick(isa, &why));
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        assert_non_null(strstr(why, NAMES[i]));
#if defined(__x86_64__)
    assert_null(strstr(why, "neon"));
#else
    assert_null(strstr(why, "avx"));
#endif
}

static void test_pick(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_ptr_equal(kern_pick(NULL, &why), tables[0]);
    assert_ptr_equal(kern_pick("portable", &why), tables[n_tables - 1]);
    check_refused("sse");
    check_refused("");
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (kern_pick(NAMES[i], &why) == NULL)
            check_refused(NAMES[i]);
}

/* Packed in uneven pieces, element (r, i) is where kern.h says; nothing else is written. */
static void test_pack(void **state)
{
    (void)state;
    enum { N = 130, K = 48, PAIR = HI_F32 ? 1 : 2 };
    elt *w = random_elts(N * K, 1), row[K];
    elt *packed = alloc((size_t)pack_bytes(N, K));
    assert_int_equal(pack_bytes(N, K), 3 * PANEL * K * (int)sizeof(elt));
    memset(packed, 0, (size_t)pack_bytes(N, K));
    for (int r = 0, n; r < N; r += n) {
        n = N - r < 37 ? N - r : 37;
        pack_rows(packed, w + r * K, r, n, K);
    }
    for (int r = 0; r < 3 * PANEL; r++)
        for (int i = 0; i < K; i++) {
            int panel = r / PANEL * PANEL * K, pair = i / PAIR * PAIR * PANEL;
            elt e = packed[panel + pair + r % PANEL * PAIR + i % PAIR];
            elt want = r < N ? w[r * K + i] : 0;
            assert_bits(&e, &want, sizeof e);
        }
    for (int r = 0; r < N; r++) {
        unpack_row(row, packed, r, K);
        assert_bits(row, w + r * K, sizeof row);
    }
    free(w);
    free(packed);
}

static void test_rope_row(void **state)
{
    (void)state;
    float freq[HEAD_DIM / 2], cs[HEAD_DIM];
    for (int i = 0; i < HEAD_DIM / 2; i++)
        freq[i] = (float)pow(10000, -2.0 * i / HEAD_DIM);
    rope_row(cs, freq, 1, 123457);
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        float angle = 123457.0f * freq[i];
        assert_near(cs[2 * i], cos(angle), HALF_ULP_FLOAT);
        assert_near(cs[2 * i + 1], sin(angle), HALF_ULP_FLOAT);
    }
}

/* ---- products ---- */

matrices make_matrices(int m, int n, int k, float x_scale, float w_scale)
{
    matrices a = { m, n, k, k, n + 3, NULL, NULL, NULL, NULL };
    a.x = random_elts((size_t)m * (size_t)k, x_scale);
    a.w = random_elts((size_t)n * (size_t)k, w_scale);
    a.bias = random_elts((size_t)n, 1);
    a.packed = alloc((size_t)pack_bytes(n, k));
    memset(a.packed, 0, (size_t)pack_bytes(n, k));
    pack_matrices(&a);
    return a;
}

void pack_matrices(matrices *a)
{
    pack_rows(a->packed, a->w, 0, a->n, a->k);
}

void free_matrices(matrices *a)
{
    free(a->x);
    free(a->w);
    free(a->bias);
    free(a->packed);
}

kern_matmul call_of_matrices(const matrices *a, void *y, mm_mode mode, bool bias)
{
    return (kern_matmul){ a->x, a->packed, bias ? a->bias : NULL, y, a->x_stride, a->y_stride,
                          a->m, a->n, a->k, mode, KERN_PLAIN };
}

static int panels(int n)
{
    return (n + PANEL - 1) / PANEL;
}

/* The instructions of these take what is subnormal for zero: elements and sums (kern.h). */
static bool flushes(const hi_kernels *t)
{
    return !strcmp(t->isa, "amx") || strstr(t->isa, "bf16");
}

/* |error| of k additions and k products, each rounded once: at most k half units of the sum of
   magnitudes; of half the smallest float where all is subnormal. bfdot's roundings are whole
   units. What an instruction flushes is allowed to miss: terms of subnormal elements, and two
   results a term, of less than the smallest normal number each. */
static void check_sums(const hi_kernels *t, const matrices *a, const float *y)
{
    bool flush = flushes(t);
    double unit = a->k * HALF_ULP_FLOAT * (strcmp(t->isa, "neonbf16") ? 1 : 2);
    for (int r = 0; r < a->m; r++)
        for (int c = 0; c < a->n; c++) {
            double want = 0, size = 0, lost = a->k * (flush ? 0x1p-125 : 0x1p-149);
            for (int i = 0; i < a->k; i++) {
                double x = of_elt(a->x[r * a->x_stride + i]), w = of_elt(a->w[c * a->k + i]);
                want += x * w;
                size += fabs(x * w);
                lost += flush && (fabs(x) < 0x1p-126 || fabs(w) < 0x1p-126) ? fabs(x * w) : 0;
            }
            assert_near(y[r * a->y_stride + c], want, unit * size + lost);
        }
}

/* y's columns past n keep their mark. */
static void check_outside(const matrices *a, const char *y, size_t size)
{
    for (int r = 0; r < a->m; r++)
        for (size_t i = (size_t)a->n * size; i < (size_t)a->y_stride * size; i++)
            assert_int_equal(y[(size_t)r * (size_t)a->y_stride * size + i], 0x55);
}

/* From the sums of MM_F32 the bits of the other modes follow. */
static void check_stored(const hi_kernels *t, const matrices *a, const float *sums, bool bias,
                         bool add)
{
    size_t n = (size_t)a->m * (size_t)a->y_stride, size = n * sizeof(elt);
    elt *y = alloc(size), *old = alloc(size);
    memset(old, 0x55, size);
    for (int r = 0; add && r < a->m; r++)
        for (int c = 0; c < a->n; c++)
            old[r * a->y_stride + c] = to_elt(uniform());
    memcpy(y, old, size);
    kern_matmul call = call_of_matrices(a, y, add ? MM_ADD : MM_STORE, bias);
    t->matmul(&call, 0, a->m, 0, panels(a->n));
    for (int r = 0; r < a->m; r++)
        for (int c = 0; c < a->n; c++) {
            int64_t at = r * a->y_stride + c;
            float v = bias ? sums[at] + of_elt(a->bias[c]) : sums[at];
            elt want = add ? to_elt(of_elt(old[at]) + of_elt(to_elt(v))) : to_elt(v);
            assert_bits(&y[at], &want, sizeof want);
        }
    check_outside(a, (char *)y, sizeof *y);
    free(y);
    free(old);
}

/* Rows one by one, the last first, and panels one by one: the same bits. */
static void check_cut(const hi_kernels *t, const matrices *a, const float *sums)
{
    size_t size = (size_t)a->m * (size_t)a->y_stride * sizeof(float);
    float *y = alloc(size);
    memset(y, 0x55, size);
    kern_matmul call = call_of_matrices(a, y, MM_F32, false);
    for (int r = a->m - 1; r >= 0; r--)
        for (int j = 0; j < panels(a->n); j++)
            t->matmul(&call, r, r + 1, j, j + 1);
    assert_bits(y, sums, size);

    memset(y, 0x55, size);
    for (int r = 0, step = 1; r < a->m; r += step, step = step * 2 + 1)
        t->matmul(&call, r, r + step < a->m ? r + step : a->m, 0, panels(a->n));
    assert_bits(y, sums, size);

    /* A matrix of one row: nothing behind it may be read. */
    matrices one = *a;
    one.m = 1;
    one.x = alloc((size_t)a->k * sizeof(elt));
    memcpy(one.x, a->x + (a->m - 1) * a->x_stride, (size_t)a->k * sizeof(elt));
    call = call_of_matrices(&one, y, MM_F32, false);
    t->matmul(&call, 0, 1, 0, panels(a->n));
    assert_bits(y, sums + (a->m - 1) * a->y_stride, (size_t)a->n * sizeof(float));
    free(one.x);
    free(y);
}

void check_matmul(const hi_kernels *t, const matrices *a)
{
    size_t size = (size_t)a->m * (size_t)a->y_stride * sizeof(float);
    float *y = alloc(size);
    memset(y, 0x55, size);
    kern_matmul call = call_of_matrices(a, y, MM_F32, false);
    t->matmul(&call, 0, a->m, 0, panels(a->n));
    check_sums(t, a, y);
    check_outside(a, (char *)y, sizeof *y);
    check_cut(t, a, y);
    for (int i = 0; i < 4; i++)
        check_stored(t, a, y, i & 1, i & 2);
    free(y);
}

/* Sums of about 1. */
static matrices make_unit(int m, int n, int k)
{
    return make_matrices(m, n, k, 1, 1 / sqrtf((float)k));
}

static void test_matmul(void **state)
{
    (void)state;
    static const int ns[] = { 1, 17, 64, 65, 130 }, ks[] = { 16, 48, 128, 1104 };
    for (int i = 0; i < 40; i++) {
        matrices a = make_unit(i + 1, ns[i % 5], ks[i / 2 % 4]);
        FOR_TABLES(t)
            check_matmul(t, &a);
        free_matrices(&a);
    }
}

/* Products of the model's own widths, and with more rows, panels and k than are worked on
   together. */
static void test_matmul_large(void **state)
{
    (void)state;
    matrices a = make_unit(131, FFN, HIDDEN), b = make_unit(50, 70, 8208);
    matrices c = make_unit(545, 130, 560), d = make_unit(35, 1100, 2096);
    FOR_TABLES(t) {
        check_matmul(t, &a);
        check_matmul(t, &b);
        check_matmul(t, &c);
        check_matmul(t, &d);
    }
    free_matrices(&a);
    free_matrices(&b);
    free_matrices(&c);
    free_matrices(&d);
}

/* ---- one row ---- */

/* n normalised elements times their weights. */
void norm_of(elt *y, const elt *x, const elt *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)of_elt(x[i]) * of_elt(x[i]);
    double scale = 1 / sqrt(sum / n + 1e-5f);
    for (int i = 0; i < n; i++) {
        double v = of_elt(x[i]) * scale;
        y[i] = NORM_OFFSET ? to_elt((float)(v * (1 + (double)of_elt(w[i]))))
                           : to_elt(of_elt(to_elt((float)v)) * of_elt(w[i]));
    }
}

static void test_rmsnorm(void **state)
{
    (void)state;
    static const float scales[] = { 1, 1e-3f, 1e4f };
    for (int s = 0; s < 3; s++) {
        elt *x = random_elts(HIDDEN, scales[s]), *w = random_elts(HIDDEN, 2);
        elt y[HIDDEN], want[HIDDEN];
        FOR_TABLES(t) {
            norm_of(want, x, w, HIDDEN);
            t->rmsnorm(y, x, w, 1e-5f, false);
            check_rounded(y, want, HIDDEN, NEAR, 2 * SMALLEST);
            for (int i = 0; i < HIDDEN; i++) /* what was there and what is added have one sign */
                y[i] = to_elt(of_elt(want[i]) > 0 ? 0.5f : -0.5f);
            for (int i = 0; i < HIDDEN; i++)
                want[i] = to_elt(of_elt(y[i]) + of_elt(want[i]));
            t->rmsnorm(y, x, w, 1e-5f, true);
            check_rounded(y, want, HIDDEN, NEAR, 2 * SMALLEST);
        }
        free(x);
        free(w);
    }
}

/* One head, and nothing behind it. */
static void test_head_norm(void **state)
{
    (void)state;
    elt *x = random_elts(HEAD_DIM + 1, 3), *w = random_elts(HEAD_DIM, 2);
    elt y[HEAD_DIM + 1], want[HEAD_DIM];
    norm_of(want, x, w, HEAD_DIM);
    FOR_TABLES(t) {
        memcpy(y, x, sizeof y);
        t->head_norm(y, w, 1e-5f);
        check_rounded(y, want, HEAD_DIM, NEAR, 2 * SMALLEST);
        assert_true(y[HEAD_DIM] == x[HEAD_DIM]);
    }
    free(x);
    free(w);
}

static void test_scale(void **state)
{
    (void)state;
    elt *x = random_elts(HIDDEN, 3), y[HIDDEN], want[HIDDEN];
    for (int i = 0; i < HIDDEN; i++)
        want[i] = to_elt(of_elt(x[i]) * 59.75f);
    FOR_TABLES(t) {
        memcpy(y, x, sizeof y);
        t->scale(y, 59.75f);
        assert_bits(y, want, sizeof y);
    }
    free(x);
}

static void test_rope(void **state)
{
    (void)state;
    enum { HALF = HEAD_DIM / 2 };
    elt *x = random_elts(HEAD_DIM, 3), y[HEAD_DIM], want[HEAD_DIM];
    float cs[HEAD_DIM];
    for (int i = 0; i < HALF; i++) {
        cs[2 * i] = cosf((float)i);
        cs[2 * i + 1] = sinf((float)i);
    }
    for (int i = 0; i < HALF; i++) {
        float a = of_elt(x[i]), b = of_elt(x[i + HALF]), c = cs[2 * i], s = cs[2 * i + 1];
        float ac = a * c, bs = b * s, bc = b * c, as = a * s;
        want[i] = to_elt(ac - bs);
        want[i + HALF] = to_elt(bc + as);
    }
    FOR_TABLES(t) {
        t->rope(y, x, cs);
        assert_bits(y, want, sizeof y);
        memcpy(y, x, sizeof y);
        t->rope(y, y, cs);
        assert_bits(y, want, sizeof y);
    }
    free(x);
}

static double act_of(double x, bool gelu)
{
    double u = gelu ? 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x) : x;
    return x / (1 + exp(-u));
}

/* Every finite bf16 as a gate (floats: as many, of the same values). The exponent is rounded
   before exp: a relative error of |u| / 2^23 where the result is small. */
static void test_act(void **state)
{
    (void)state;
    enum { N = 65536 - 256 };
    elt *gate = alloc(N * sizeof *gate), *up = random_elts(N, 2), *want = alloc(N * sizeof *want);
    elt *y = alloc(N * sizeof *y);
    for (uint32_t i = 0, n = 0; i < 65536; i++) {
        uint32_t bits = i << 16;
        float x;
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x))
            gate[n++] = to_elt(x);
    }
    for (int gelu = 0; gelu < 2; gelu++) {
        for (int i = 0; i < N; i++) {
            float a = (float)act_of(of_elt(gate[i]), gelu);
            want[i] = to_elt(of_elt(to_elt(a)) * of_elt(up[i]));
        }
        FOR_TABLES(t) {
            t->act_mul(y, gate, up, N, gelu);
            check_rounded(y, want, N, HI_F32 ? 2e-5 : NEAR, 1e-36);
            memcpy(y, gate, N * sizeof *y);
            for (int i = 0; i < N; i += 1021)              /* in pieces, in place */
                t->act_mul(y + i, y + i, up + i, N - i < 1021 ? N - i : 1021, gelu);
            check_rounded(y, want, N, HI_F32 ? 2e-5 : NEAR, 1e-36);
        }
    }
    free(gate);
    free(up);
    free(want);
    free(y);
}

/* Gates so large that silu and gelu leave them as they are, times elements of 8 bits: products
   of 16 bits, exact in float, ties among them. */
static void test_ties(void **state)
{
    (void)state;
    enum { N = 128 };
    elt gate[N], up[N], y[N], want[N];
    for (int m = 0; m < N; m++) {
        for (int i = 0; i < N; i++) {
            gate[i] = to_elt((float)(128 + i));
            up[i] = to_elt((float)(m & 1 ? 128 + m : -128 - m) / 128);
            want[i] = to_elt(of_elt(gate[i]) * of_elt(up[i]));
        }
        FOR_TABLES(t) {
            t->act_mul(y, gate, up, N, m & 2);
            assert_bits(y, want, sizeof y);
        }
    }
}

static void test_finish(void **state)
{
    (void)state;
    float o[HEAD_DIM], ml[2] = { 3, 7.3f };
    elt y[HEAD_DIM], want[HEAD_DIM];
    for (int i = 0; i < HEAD_DIM; i++) {
        o[i] = 10 * uniform();
        want[i] = to_elt(o[i] / ml[1]);
    }
    o[1] = NAN;
    FOR_TABLES(t) {
        t->finish(y, o, ml);
        assert_true(isnan(of_elt(y[1])));
        y[1] = want[1];
        assert_bits(y, want, sizeof y);
    }
}

static void find_tables(void)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *why;
        const hi_kernels *t = kern_pick(NAMES[i], &why);
        printf("%-10s %s\n", NAMES[i], t ? "tested" : why);
        if (!t)
            continue;
        tables[n_tables++] = t;
        if (t->thread_begin)
            t->thread_begin();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_rope_row),
        cmocka_unit_test(test_head_norm),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_attend_window),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_matmul_large),
        cmocka_unit_test(test_quant_rows),
        cmocka_unit_test(test_quant_again),
        cmocka_unit_test(test_quant_unpack),
        cmocka_unit_test(test_quant_matmul),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_act),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_matmul_random),
        cmocka_unit_test(test_matmul_magnitudes),
        cmocka_unit_test(test_matmul_strange),
        cmocka_unit_test(test_matmul_overflow),
        cmocka_unit_test(test_norm_magnitudes),
        cmocka_unit_test(test_norm_strange),
        cmocka_unit_test(test_rope_magnitudes),
        cmocka_unit_test(test_scale_magnitudes),
        cmocka_unit_test(test_act_magnitudes),
        cmocka_unit_test(test_act_strange),
        cmocka_unit_test(test_finish_magnitudes),
        cmocka_unit_test(test_probabilities),
        cmocka_unit_test(test_exp2),
        cmocka_unit_test(test_attend_reference),
        cmocka_unit_test(test_attend_saturated),
        cmocka_unit_test(test_attend_cut),
        cmocka_unit_test(test_attend_causal),
        cmocka_unit_test(test_attend_garbage),
        cmocka_unit_test(test_attend_later_keys),
        cmocka_unit_test(test_attend_negative_zero),
        cmocka_unit_test(test_attend_nan),
        cmocka_unit_test(test_attend_ones),
        cmocka_unit_test(test_attend_permuted),
        cmocka_unit_test(test_merge_empty),
    };
    find_tables();
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
