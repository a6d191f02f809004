/*
** test_decode.c - decode attention: parts and merge against double, cut in every way, properties.
**
** Rows are compared bit for bit wherever a row must not notice: other tokens, calls, empty splits,
** a position that is read on the device, NaN behind the last key.
*/
#include <stdlib.h>
#include <string.h>

#include "dev.h"
#include "scene.h"

static int splits_of(i64 n_keys)
{
    return (int)((n_keys + KEY_SPLIT - 1) / KEY_SPLIT);
}

/* All of d, in parts. */
static attend_args parts_of(const data *d)
{
    attend_args a = call_of(d);
    a.splits = splits_of(a.n_keys);
    return a;
}

static void merge(attend_args *a)
{
    dev_launch("k_merge", (unsigned)(a->n * a->rows * GQA), 1, 1, MERGE_THREADS, 0, a, sizeof *a);
}

/* Parts in memory that is NaN before, then their merge. */
static void attend(attend_args *a)
{
    size_t parts = (size_t)a->n * (size_t)a->splits * (size_t)a->rows * GQA;
    unsigned tiles = (unsigned)(a->rows * GQA + PART_ROWS - 1) / PART_ROWS;
    a->part_o = dev_new(parts * HEAD_DIM * sizeof *a->part_o);
    a->part_ml = dev_new(parts * 2 * sizeof *a->part_ml);
    dev_launch("k_attend_part", (unsigned)a->splits, (unsigned)a->n, tiles, PART_THREADS, PART_SMEM,
               a, sizeof *a);
    merge(a);
    dev_free(a->part_o);
    dev_free(a->part_ml);
}

static void run(const data *d)
{
    attend_args a = parts_of(d);
    attend(&a);
    fetch(d);
}

/* ---- against double ---- */

enum { TWO = KV_HEADS < 2 ? KV_HEADS : 2 };

/* Tokens at the end of the keys, in the middle, before and behind them; keys about a unit, a
   warp's share and a split; one tile of rows and several; a window that begins with the last key
   of a split. */
static const scene SCENES[] = {
    { TWO, 1, 0, 0, 1 },
    { TWO, 1, 4, 0, 5 },
    { 1, 1, 15, 0, 16 },
    { 1, 1, 16, 0, 17 },
    { 1, 1, 63, 0, 64 },
    { 1, 1, 64, 0, 65 },
    { TWO, 1, 254, 0, 255 },
    { 1, 1, 255, 0, 256 },
    { TWO, 1, 256, 0, 257 },
    { KV_HEADS, 1, 699, 0, 700 },
    { TWO, 1, 5000, 512, 384 },
    { TWO, 3, 600, 512, 91 },
    { TWO, 4, 254, 0, 258 },
    { 1, 7, 250, 256, 1 },
    { 1, 16, 500, 0, 516 },
    { 1, 16, 247, 0, 300 },
    { 1, 2, 3000, 0, 1111 },
    { 1, 3, 254, 256, 300 },
    { 1, 1, 254 + ATTN_WINDOW, 0, 255 + ATTN_WINDOW },
};

enum { N_SCENES = sizeof SCENES / sizeof SCENES[0] };

static void test_reference(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_SCENES * N_WINDOWS; i++) {
        data d = make_windowed(SCENES[i / N_WINDOWS], WINDOWS[i % N_WINDOWS], 2);
        run(&d);
        check_rows(&d);
        free_data(&d);
    }
    assert_true(dev_conflicts() == 0);
}

/* Scores of some +-600: one key holds nearly all. */
static void test_saturated(void **unused)
{
    (void)unused;
    data d = make_data((scene){ 1, 5, 595, 0, 600 }, 1000 / sqrtf(HEAD_DIM));
    run(&d);
    check_rows(&d);
    free_data(&d);
}

/* ---- the same bits ---- */

/* Calls of 'step' splits each. */
static void run_cut(const data *d, i64 step)
{
    for (i64 key = 0; key < d->s.n_keys; key += step * KEY_SPLIT) {
        attend_args a = parts_of(d);
        a.k += key * HEAD_DIM * 2;
        a.key0 += key;
        a.n_keys -= key;
        if (a.n_keys > step * KEY_SPLIT)
            a.n_keys = step * KEY_SPLIT;
        a.splits = splits_of(a.n_keys);
        a.fresh = key == 0;
        attend(&a);
    }
    fetch(d);
}

static void test_cut(void **unused)
{
    (void)unused;
    for (int w = 0; w < N_WINDOWS; w++) {
        data d = make_windowed((scene){ 1, 3, 1290, 0, 1293 }, WINDOWS[w], 2);
        run(&d);
        state whole = keep(&d);
        for (i64 step = 1; step < 4; step++) {
            run_cut(&d, step);
            check_same(&d, &whole);
        }
        drop(&whole);
        free_data(&d);
    }
}

/* Token t alone, over n_keys keys, has the bits it has among many. */
static void check_alone(const data *d, const state *all, int t, i64 n_keys)
{
    size_t o_bytes = GQA * HEAD_DIM * sizeof(float), ml_bytes = GQA * 2 * sizeof(float);
    attend_args a = parts_of(d);
    a.q = (const uint16_t *)a.q + (i64)t * STRIDE;
    a.rows = 1;
    a.pos0 += t;
    a.n_keys = n_keys;
    a.splits = splits_of(n_keys);
    attend(&a);
    fetch(d);
    for (int h = 0; h < d->s.n; h++) {
        i64 row = h * d->rows + (i64)t * GQA;
        assert_memory_equal(d->ml + (i64)h * GQA * 2, all->ml + row * 2, ml_bytes);
        assert_memory_equal(d->o + (i64)h * GQA * HEAD_DIM, all->o + row * HEAD_DIM, o_bytes);
    }
}

static void test_alone(void **unused)
{
    static const scene scenes[] = { { TWO, 7, 500, 0, 507 }, { 1, 16, 240, 0, 256 },
                                    { 1, 5, 800, 256, 300 } };
    (void)unused;
    for (int i = 0; i < 3 * N_WINDOWS; i++) {
        data d = make_windowed(scenes[i / N_WINDOWS], WINDOWS[i % N_WINDOWS], 2);
        run(&d);
        state all = keep(&d);
        for (int t = 0; t < d.s.tokens; t += 3) {
            i64 own = d.s.pos0 - d.s.key0 + t + 1;
            check_alone(&d, &all, t, d.s.n_keys);
            if (own < d.s.n_keys)
                check_alone(&d, &all, t, own);
        }
        drop(&all);
        free_data(&d);
    }
}

/* A position read on the device, with keys and splits for the longest; behind the position the
   memory is there and NaN. */
static void test_pos(void **unused)
{
    static const scene scenes[] = { { TWO, 1, 300, 0, 301 }, { TWO, 3, 510, 0, 513 },
                                    { 1, 2, 700, 512, 190 }, { 1, 1, 1, 0, 2 } };
    (void)unused;
    i64 *pos = dev_new(sizeof *pos);
    for (int i = 0; i < 4; i++) {
        scene most = scenes[i];
        most.n_keys += 700;
        data d = make_data(most, 2);
        for (int h = 0; h < most.n; h++) {
            size_t bytes = (size_t)(most.n_keys - scenes[i].n_keys) * HEAD_DIM * 2;
            memset(key_of(&d, h, scenes[i].n_keys), 0xff, bytes);
            memset(value_of(&d, h, scenes[i].n_keys), 0xff, bytes);
        }
        upload(&d);
        attend_args a = parts_of(&d);
        a.n_keys = scenes[i].n_keys;
        a.splits = splits_of(a.n_keys);
        attend(&a);
        fetch(&d);
        state want = keep(&d);
        a = parts_of(&d);
        a.pos0 = -12345;
        a.pos = pos;
        dev_put(pos, &most.pos0, sizeof *pos);
        attend(&a);
        fetch(&d);
        check_same(&d, &want);
        drop(&want);
        free_data(&d);
    }
    dev_free(pos);
}

/* Keys that no token sees leave a state as it is, -0 included; a fresh one becomes empty. */
static void test_empty(void **unused)
{
    (void)unused;
    data d = make_data((scene){ TWO, 3, 100, 512, 600 }, 2);
    attend_args a = parts_of(&d);
    run(&d);
    check_rows(&d);
    for (i64 i = 0; i < d.s.n * d.rows; i++) {
        d.ml[2 * i] = (float)i - 3;
        d.ml[2 * i + 1] = 1.5f;
        for (int c = 0; c < HEAD_DIM; c++)
            d.o[i * HEAD_DIM + c] = c % 3 ? uniform() : -0.0f;
    }
    state before = keep(&d);
    dev_put(d.d_o, d.o, d.o_bytes);
    dev_put(d.d_ml, d.ml, d.ml_bytes);
    a.fresh = 0;
    attend(&a);
    fetch(&d);
    check_same(&d, &before);
    drop(&before);
    free_data(&d);
}

static void attend_all(attend_args *a)
{
    a->splits = splits_of(a->n_keys);
    attend(a);
}

static void test_windows(void **unused)
{
    (void)unused;
    check_windows((scene){ TWO, 1, 900, 0, 901 }, attend_all);
    check_windows((scene){ 1, 16, 760, 0, 776 }, attend_all);
}

/* ---- merge alone ---- */

/* One part after the other, in double. */
static void merge_row(double *o, double *ml, const float *part_o, const float *part_ml)
{
    if (part_ml[0] == -INFINITY)
        return;
    double max = fmax(ml[0], part_ml[0]);
    double old = exp2(ml[0] - max), new = exp2(part_ml[0] - max);
    for (int i = 0; i < HEAD_DIM; i++)
        o[i] = o[i] * old + part_o[i] * new;
    ml[0] = max;
    ml[1] = ml[1] * old + part_ml[1] * new;
}

enum { MERGE_ROWS = 2 * GQA };

/* Parts of every size; one in four is empty, its output NaN. */
static void random_parts(float *o, float *ml, i64 parts)
{
    for (i64 p = 0; p < parts; p++) {
        int empty = uniform() > 0.5f;
        ml[2 * p] = empty ? -INFINITY : uniform() * (p % 5 ? 3 : 100);
        ml[2 * p + 1] = empty ? 0 : 1.5f + uniform();
        for (int i = 0; i < HEAD_DIM; i++)
            o[p * HEAD_DIM + i] = empty ? NAN : uniform();
    }
}

static void check_merged(const float *o, const float *ml, const float *part_o, const float *part_ml,
                         int splits)
{
    for (int r = 0; r < MERGE_ROWS; r++) {
        double want[HEAD_DIM] = { 0 }, want_ml[2] = { -INFINITY, 0 };
        for (int s = 0; s < splits; s++) {
            i64 p = (i64)s * MERGE_ROWS + r;
            merge_row(want, want_ml, part_o + p * HEAD_DIM, part_ml + p * 2);
        }
        assert_true(ml[2 * r] == (float)want_ml[0]);
        check_near(ml[2 * r + 1], want_ml[1], want_ml[1] * 0x1p-18);
        for (int i = 0; i < HEAD_DIM; i++)
            check_near(o[r * HEAD_DIM + i], want[i], want_ml[1] * 0x1p-17);
    }
}

static void check_merge(int splits)
{
    enum { O = MERGE_ROWS * HEAD_DIM, ML = MERGE_ROWS * 2 };
    float *part_o = alloc(sizeof(float) * O * (size_t)splits), o[O], ml[ML], o_1[O], ml_1[ML];
    float *part_ml = alloc(sizeof(float) * ML * (size_t)splits);
    attend_args a = { .n = 1, .rows = 2, .fresh = 1, .splits = splits };
    float *d_o = a.part_o = dev_new(sizeof(float) * O * (size_t)splits);
    float *d_ml = a.part_ml = dev_new(sizeof(float) * ML * (size_t)splits);
    a.o = dev_new(sizeof o);
    a.ml = dev_new(sizeof ml);
    random_parts(part_o, part_ml, (i64)splits * MERGE_ROWS);
    dev_put(d_o, part_o, sizeof(float) * O * (size_t)splits);
    dev_put(d_ml, part_ml, sizeof(float) * ML * (size_t)splits);
    merge(&a);
    dev_get(o, a.o, sizeof o);
    dev_get(ml, a.ml, sizeof ml);
    check_merged(o, ml, part_o, part_ml, splits);
    for (int from = 0, n = 1; from < splits; from += n, n = n * 3 + 1) {       /* 1, 4, 13, 40 */
        a.fresh = from == 0;
        a.splits = splits - from < n ? splits - from : n;
        a.part_o = d_o + (i64)from * O;
        a.part_ml = d_ml + (i64)from * ML;
        merge(&a);
    }
    dev_get(o_1, a.o, sizeof o);
    dev_get(ml_1, a.ml, sizeof ml);
    assert_memory_equal(ml, ml_1, sizeof ml);
    assert_memory_equal(o, o_1, sizeof o);
    dev_free(d_o);
    dev_free(d_ml);
    dev_free(a.o);
    dev_free(a.ml);
    free(part_o);
    free(part_ml);
}

static void test_merge(void **unused)
{
    static const int splits[] = { 1, 2, 31, 32, 33, 64, 65, 100 };
    (void)unused;
    for (int i = 0; i < 8; i++)
        check_merge(splits[i]);
}

/* ---- properties ---- */

static void fill_values(data *d, float (*value)(float), const data *of)
{
    for (int h = 0; h < d->s.n; h++)
        for (i64 i = 0; i < d->s.n_keys * HEAD_DIM; i++)
            value_of(d, h, 0)[i] = to_bf16(value(of_bf16(value_of(of, h, 0)[i])));
    upload(d);
}

static float one(float v)
{
    (void)v;
    return 1;
}

static float minus_twice(float v)
{
    return -2 * v;
}

static float quarters(float v)
{
    return rintf(v * 4) / 4;
}

static float rest(float v)
{
    return v - quarters(v);
}

/* v = 1 gives 1, within the roundings of the probabilities. */
static void test_ones(void **unused)
{
    (void)unused;
    data d = make_data((scene){ TWO, 3, 597, 0, 600 }, 2);
    fill_values(&d, one, &d);
    run(&d);
    for (i64 i = 0; i < d.s.n * d.rows * HEAD_DIM; i++)
        check_near(d.o[i] / d.ml[i / HEAD_DIM * 2 + 1], 1, 0x1p-9 + 0x1p-20);
    free_data(&d);
}

/* Linear in v: to the bit where numbers only double, else but for the order of sums. */
static void test_linear(void **unused)
{
    (void)unused;
    data d = make_data((scene){ TWO, 2, 350, 0, 352 }, 2);
    run(&d);
    state whole = keep(&d);
    i64 n = d.s.n * d.rows * HEAD_DIM;
    float *sum = alloc(d.o_bytes);
    unsigned char *kv = alloc(d.kv_bytes);
    memcpy(kv, d.kv, d.kv_bytes);
    data original = d;
    original.kv = kv;
    fill_values(&d, minus_twice, &original);
    run(&d);
    for (i64 i = 0; i < n; i++)
        assert_true(d.o[i] == -2 * whole.o[i]);
    fill_values(&d, quarters, &original);
    run(&d);
    memcpy(sum, d.o, d.o_bytes);
    fill_values(&d, rest, &original);
    run(&d);
    for (i64 i = 0; i < n; i++)
        check_near(sum[i] + d.o[i], whole.o[i], whole.ml[i / HEAD_DIM * 2 + 1] * 0x1p-17);
    free(sum);
    free(kv);
    drop(&whole);
    free_data(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_saturated),
        cmocka_unit_test(test_cut),       cmocka_unit_test(test_alone),
        cmocka_unit_test(test_pos),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_merge),     cmocka_unit_test(test_ones),
        cmocka_unit_test(test_linear),    cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
