/*
** test_numbers.c - every table on sizes drawn at random and on numbers out of the ordinary:
** subnormal elements and results, sums near overflow, infinities, NaN.
*/
#include "test_kern.h"

/* One of 0 .. n - 1. */
static int below(int n)
{
    return (int)((uniform() + 1) * 0.5f * (float)n) % n;
}

/* ---- products ---- */

/* Whole tiles and one row more or less; k any that can be packed. */
void test_matmul_random(void **state)
{
    (void)state;
    static const int ms[] = { 1, 2, 15, 16, 17, 33 };
    for (int i = 0; i < 24; i++) {
        int m = i < 12 ? ms[i % 6] : 1 + below(70), n = 1 + below(200), k = 2 + below(350) * 2;
        matrices a = make_matrices(m, n, k, 1, 1 / sqrtf((float)k));
        FOR_TABLES(t)
            check_matmul(t, &a);
        free_matrices(&a);
    }
}

/* Subnormal elements in x, in w, sums that are subnormal, sums up to 2^126. */
void test_matmul_magnitudes(void **state)
{
    (void)state;
    static const float scales[][2] = {
        { 0x1p-124f, 0x1p120f }, { 0x1p120f, 0x1p-124f }, { 0x1p-126f, 0x1p-1f },
        { 0x1p-64f, 0x1p-62f },  { 0x1p-70f, 0x1p-70f },  { 0x1p60f, 0x1p60f },
    };
    for (int i = 0; i < 6; i++) {
        matrices a = make_matrices(19, 70, 80, scales[i][0], scales[i][1]);
        FOR_TABLES(t)
            check_matmul(t, &a);
        free_matrices(&a);
    }
}

static void run_product(const hi_kernels *t, const matrices *a, void *y, mm_mode mode)
{
    kern_matmul call = call_of_matrices(a, y, mode, false);
    t->matmul(&call, 0, a->m, 0, (a->n + PANEL - 1) / PANEL);
}

enum { M = 21, N = 70, K = 82, ROW = 5, COLUMN = 66, N_STRIDE = N + 3 };

/* Sums before and after a change, which is to be seen in ROW (in COLUMN) alone: there it is
   'want' (N of them or M), of the same class and sign. */
static void check_change(const float *before, const float *after, bool in_row, const float *want)
{
    for (int r = 0; r < M; r++)
        for (int c = 0; c < N; c++) {
            int at = r * N_STRIDE + c;
            float w = want[in_row ? c : r];
            if (in_row ? r != ROW : c != COLUMN)
                assert_bits(&after[at], &before[at], sizeof *after);
            else
                assert_true(isnan(w) ? isnan(after[at]) : after[at] == w);
        }
}

/* Infinities and NaN in one row of x, in one column of w: seen there, nowhere else. */
static void check_strange(const hi_kernels *t, matrices *a, bool in_row, float x, float y)
{
    float before[M * N_STRIDE], after[M * N_STRIDE], want[M > N ? M : N];
    elt *at = in_row ? a->x + ROW * K : a->w + COLUMN * K, kept[K];
    const elt *other = in_row ? a->w : a->x;
    run_product(t, a, before, MM_F32);
    memcpy(kept, at, sizeof kept);
    at[7] = to_elt(x);
    at[K - 1] = to_elt(y);
    for (int i = 0; i < (in_row ? N : M); i++)
        want[i] = x * of_elt(other[i * K + 7]) + y * of_elt(other[i * K + K - 1]);
    pack_matrices(a);
    run_product(t, a, after, MM_F32);
    check_change(before, after, in_row, want);
    memcpy(at, kept, sizeof kept);
    pack_matrices(a);
}

void test_matmul_strange(void **state)
{
    (void)state;
    static const float pairs[][2] = {
        { INFINITY, INFINITY }, { -INFINITY, INFINITY }, { NAN, 1 }, { 1, NAN }, { INFINITY, NAN }
    };
    matrices a = make_matrices(M, N, K, 1, 1);
    FOR_TABLES(t)
        for (int i = 0; i < 10; i++)
            check_strange(t, &a, i & 1, pairs[i / 2][0], pairs[i / 2][1]);
    free_matrices(&a);
}

/* Sums beyond the largest float; one that is finite, but nearer to infinity than to the largest
   bf16: halfway, where the even neighbour is infinity. */
void test_matmul_overflow(void **state)
{
    (void)state;
    matrices a = make_matrices(3, 4, K, 0, 0);
    static const float x[3][2] = { { 0x1p127f, 0x1p127f }, { -0x1p127f, -0x1p127f },
                                   { 0x1.fep127f, 0x1p119f } };
    for (int i = 0; i < 6; i++)
        a.x[i / 2 * K + i % 2 * 40] = to_elt(x[i / 2][i % 2]);
    for (int i = 0; i < 4 * K; i++)
        a.w[i] = to_elt(i / K % 2 ? -1 : 1);
    pack_matrices(&a);
    FOR_TABLES(t) {
        float sums[3 * 7];
        elt y[3 * 7];
        run_product(t, &a, sums, MM_F32);
        run_product(t, &a, y, MM_STORE);
        for (int i = 0; i < 12; i++) {
            float sign = i % 2 ? -1 : 1, want = (x[i / 4][0] + x[i / 4][1]) * sign;
            elt rounded = to_elt(want);
            assert_true(sums[i / 4 * 7 + i % 4] == want);
            assert_bits(&y[i / 4 * 7 + i % 4], &rounded, sizeof rounded);
        }
    }
    free_matrices(&a);
}

/* ---- rows: subnormal and large ---- */

static const float SCALES[] = { 1e-43f, 1e-39f, 3e-38f, 1e-20f, 1e17f };

enum { N_SCALES = sizeof SCALES / sizeof *SCALES };

/* Weights that bring large rows back and leave small ones small. */
void test_norm_magnitudes(void **state)
{
    (void)state;
    elt y[HIDDEN], want[HIDDEN];
    for (int s = 0; s < N_SCALES * 2; s++) {
        elt *x = random_elts(HIDDEN, SCALES[s / 2]), *w = random_elts(HIDDEN, s % 2 ? 2 : 1e-37f);
        FOR_TABLES(t) {
            norm_of(want, x, w, HIDDEN);
            t->rmsnorm(y, x, w, 1e-5f, false);
            check_rounded(y, want, HIDDEN, NEAR, 2 * SMALLEST);
            norm_of(want, x, w, HEAD_DIM);
            memcpy(y, x, HEAD_DIM * sizeof *y);
            t->head_norm(y, w, 1e-5f);
            check_rounded(y, want, HEAD_DIM, NEAR, 2 * SMALLEST);
        }
        free(x);
        free(w);
    }
}

/* The mean square of an infinity is one: other elements become 0, itself NaN. */
void test_norm_strange(void **state)
{
    (void)state;
    elt *x = random_elts(HIDDEN, 1), *w = random_elts(HIDDEN, 1), y[HIDDEN];
    FOR_TABLES(t) {
        x[3] = to_elt(-INFINITY);
        t->rmsnorm(y, x, w, 1e-5f, false);
        for (int i = 0; i < HIDDEN; i++)
            assert_true(i == 3 ? isnan(of_elt(y[i])) : of_elt(y[i]) == 0);
        x[3] = to_elt(NAN);
        t->rmsnorm(y, x, w, 1e-5f, false);
        for (int i = 0; i < HIDDEN; i++)
            assert_true(isnan(of_elt(y[i])));
    }
    free(x);
    free(w);
}

/* Also where a result is infinite, and where it is the difference of two infinities. */
void test_rope_magnitudes(void **state)
{
    (void)state;
    enum { HALF = HEAD_DIM / 2 };
    float cs[HEAD_DIM];
    for (int i = 0; i < HALF; i++) {
        cs[2 * i] = cosf((float)i);
        cs[2 * i + 1] = sinf((float)i);
    }
    for (int s = 0; s < N_SCALES + 2; s++) {
        elt *x = random_elts(HEAD_DIM, s < N_SCALES ? SCALES[s] : 3e38f), y[HEAD_DIM], want[HEAD_DIM];
        if (s > N_SCALES) {
            x[1] = x[HALF + 2] = x[3] = x[HALF + 3] = to_elt(INFINITY);
            x[HALF - 1] = to_elt(NAN);
        }
        for (int i = 0; i < HALF; i++) {
            float a = of_elt(x[i]), b = of_elt(x[i + HALF]), c = cs[2 * i], d = cs[2 * i + 1];
            float ac = a * c, bd = b * d, bc = b * c, ad = a * d;
            want[i] = to_elt(ac - bd);
            want[i + HALF] = to_elt(bc + ad);
        }
        FOR_TABLES(t) {
            t->rope(y, x, cs);
            check_same_elts(y, want, HEAD_DIM);
        }
        free(x);
    }
}

void test_scale_magnitudes(void **state)
{
    (void)state;
    elt y[HIDDEN], want[HIDDEN];
    for (int s = 0; s <= N_SCALES; s++)
        for (int down = 0; down < 2; down++) {
            elt *x = random_elts(HIDDEN, s < N_SCALES ? SCALES[s] : 3e38f);
            float by = down ? 0.37f : 59.75f;
            x[0] = to_elt(INFINITY);
            x[1] = to_elt(NAN);
            for (int i = 0; i < HIDDEN; i++)
                want[i] = to_elt(of_elt(x[i]) * by);
            FOR_TABLES(t) {
                memcpy(y, x, sizeof y);
                t->scale(y, by);
                check_same_elts(y, want, HIDDEN);
            }
            free(x);
        }
}

/* Small gates, where the activation is half of them: every subnormal bf16 and as many above,
   of both signs, times large and small. */
void test_act_magnitudes(void **state)
{
    (void)state;
    enum { COUNT = 512 };
    static const float ups[] = { 1, -0.3f, 0x1p100f, 0x1p-60f, 0x1p-130f };
    elt gate[COUNT], up[COUNT], y[COUNT], want[COUNT];
    for (int u = 0; u < 10; u++) {
        for (int i = 0; i < COUNT; i++) {
            gate[i] = to_elt((i & 1 ? -0x1p-133f : 0x1p-133f) * (float)(i / 2));
            up[i] = to_elt(ups[u / 2]);
            want[i] = to_elt(of_elt(to_elt(of_elt(gate[i]) / 2)) * of_elt(up[i]));
        }
        FOR_TABLES(t) {
            t->act_mul(y, gate, up, COUNT, u & 1);
            check_same_elts(y, want, COUNT);
        }
    }
}

/* Large gates are left as they are or become 0; NaN stays. The activation of minus infinity is
   infinity times 0. */
void test_act_strange(void **state)
{
    (void)state;
    static const float gates[] = { INFINITY, 3e38f, 1e30f, 1e10f, -1e10f, -1e30f, -INFINITY, NAN, 1 };
    static const float wants[] = { INFINITY, 3e38f, 1e30f, 1e10f, 0, 0, NAN, NAN, NAN };
    enum { COUNT = sizeof gates / sizeof *gates };
    elt gate[COUNT], up[COUNT], y[COUNT];
    for (int i = 0; i < COUNT; i++) {
        gate[i] = to_elt(gates[i]);
        up[i] = to_elt(i < COUNT - 1 ? 1 : NAN);
    }
    for (int gelu = 0; gelu < 2; gelu++)
        FOR_TABLES(t) {
            t->act_mul(y, gate, up, COUNT, gelu);
            for (int i = 0; i < COUNT; i++)
                assert_true(isnan(wants[i]) ? isnan(of_elt(y[i]))
                                            : of_elt(y[i]) == of_elt(to_elt(wants[i])));
        }
}

void test_finish_magnitudes(void **state)
{
    (void)state;
    float o[HEAD_DIM];
    elt y[HEAD_DIM], want[HEAD_DIM];
    for (int s = 0; s <= N_SCALES; s++) {
        const float ml[2] = { 3, s % 2 ? 0.25f : 700 };
        for (int i = 0; i < HEAD_DIM; i++) {
            o[i] = uniform() * (s < N_SCALES ? SCALES[s] : 3e38f);
            want[i] = to_elt(o[i] / ml[1]);
        }
        FOR_TABLES(t) {
            t->finish(y, o, ml);
            check_same_elts(y, want, HEAD_DIM);
        }
    }
}
