/*
** test_attend_sm90.c - Hopper's prefill attention: against double, cut in every way.
**
** Rows are compared bit for bit wherever a row must not notice: other tokens, calls, which of the
** two kernels, NaN behind the last key. Skipped where the driver makes no tensor maps.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dev.h"
#include "scene.h"
#include "tensor_map.h"

enum { TWO = KV_HEADS < 2 ? KV_HEADS : 2, SKIPPED = 77 };

/* The call with maps of its keys and values. */
static attend_sm90_args with_maps(const attend_args *a)
{
    attend_sm90_args x = { .attend = *a };
    const unsigned char *v = a->k + a->v_offset;
    assert_int_equal(0, tensor_map_heads(&x.k, a->k, a->n, a->head_pitch, a->n_keys, HEAD_DIM,
                                         ATTEND_SM90_KEYS));
    assert_int_equal(0, tensor_map_heads(&x.v, v, a->n, a->head_pitch, a->n_keys, HEAD_DIM,
                                         ATTEND_SM90_KEYS));
    x.attend.k = NULL;
    return x;
}

static void attend(const char *kernel, const attend_args *a)
{
    attend_sm90_args x = with_maps(a);
    unsigned tiles = (unsigned)(a->rows * GQA + ATTEND_SM90_ROWS - 1) / ATTEND_SM90_ROWS;
    dev_launch(kernel, tiles, (unsigned)a->n, 1, ATTEND_SM90_THREADS, ATTEND_SM90_SMEM, &x,
               sizeof x);
}

static void run(const char *kernel, const data *d)
{
    attend_args a = call_of(d);
    attend(kernel, &a);
    fetch(d);
}

/* ---- against double ---- */

/* Tokens at the end of the keys, in the middle, before and behind them; keys about blocks of 128,
   rows about warps, warp groups and tiles. */
static const scene CAUSAL[] = {
    { TWO, 1, 0, 0, 1 },           { 1, 3, 126, 0, 129 },
    { TWO, 33, 95, 0, 128 },       { 1, 64 / GQA + 1, 63, 0, 64 + 64 / GQA },
    { 1, 128 / GQA, 127, 0, 255 }, { TWO, 128 / GQA + 1, 250, 0, 251 + 128 / GQA },
    { 1, 3, 254, 0, 257 },         { TWO, 5, 251, 0, 256 },
    { 1, 20, 246, 256, 10 },       { 1, 300 / GQA + 1, 256, 256, 301 },
    { 1, 7, 1000, 512, 90 },       { 1, 9, 540, 512, 20 },
    { KV_HEADS, 2, 510, 0, 512 },  { 1, 1, 640, 0, 641 },
};

/* Every key is seen. */
static const scene FULL[] = {
    { TWO, 3, 128, 0, 128 },
    { 1, 130 / GQA + 1, 5000, 512, 128 },
    { 1, 64 / GQA + 1, 700, 0, 640 },
};

enum { N_CAUSAL = sizeof CAUSAL / sizeof CAUSAL[0], N_FULL = sizeof FULL / sizeof FULL[0] };

static void test_causal(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_CAUSAL * N_WINDOWS; i++) {
        data d = make_windowed(CAUSAL[i / N_WINDOWS], WINDOWS[i % N_WINDOWS], 2);
        run("k_attend_causal_sm90", &d);
        check_rows(&d);
        free_data(&d);
    }
}

/* ... and the causal kernel gives the same bits. */
static void test_full(void **unused)
{
    (void)unused;
    for (int i = 0; i < N_FULL; i++) {
        data d = make_data(FULL[i], 2);
        run("k_attend_full_sm90", &d);
        check_rows(&d);
        state full = keep(&d);
        run("k_attend_causal_sm90", &d);
        check_same(&d, &full);
        drop(&full);
        free_data(&d);
    }
}

/* Scores of some +-600: one key holds nearly all. */
static void test_saturated(void **unused)
{
    (void)unused;
    data d = make_data((scene){ 1, 40, 260, 0, 300 }, 1000 / sqrtf(HEAD_DIM));
    run("k_attend_causal_sm90", &d);
    check_rows(&d);
    free_data(&d);
}

/* ---- the same bits ---- */

/* Calls of 'step' keys each; by the full kernel where all rows see all of them. */
static void run_cut(const data *d, i64 step, int full)
{
    for (i64 key = 0; key < d->s.n_keys; key += step) {
        attend_args a = call_of(d);
        i64 left = d->s.n_keys - key;
        a.k += key * HEAD_DIM * 2;
        a.key0 += key;
        a.n_keys = left < step ? left : step;
        a.fresh = key == 0;
        int all = !a.window && a.key0 + a.n_keys <= a.pos0 + 1 &&
                  a.n_keys % ATTEND_SM90_KEYS == 0;
        attend(full && all ? "k_attend_full_sm90" : "k_attend_causal_sm90", &a);
    }
    fetch(d);
}

static void test_cut(void **unused)
{
    (void)unused;
    for (int w = 0; w < N_WINDOWS; w++) {
        data d = make_windowed((scene){ TWO, 128 / GQA + 3, 560, 0, 700 }, WINDOWS[w], 4);
        run("k_attend_causal_sm90", &d);
        check_rows(&d);
        state whole = keep(&d);
        for (int full = 0; full < (w ? 1 : 2); full++) {
            for (i64 step = KEY_SPLIT; step < 4 * KEY_SPLIT; step += KEY_SPLIT) {
                run_cut(&d, step, full);
                check_same(&d, &whole);
            }
        }
        drop(&whole);
        free_data(&d);
    }
}

/* Tokens [t, t + tokens) in a launch of their own. */
static void run_part(const data *d, int t, int tokens)
{
    attend_args a = call_of(d);
    size_t rows = (size_t)tokens * GQA;
    float *o = dev_new(rows * HEAD_DIM * sizeof *o);
    float *ml = dev_new(rows * 2 * sizeof *ml);
    a.q = (const uint16_t *)a.q + (i64)t * STRIDE;
    a.pos0 += t;
    a.n = 1;
    a.rows = tokens;
    a.o = o;
    a.ml = ml;
    attend("k_attend_causal_sm90", &a);
    dev_get(d->o + (i64)t * GQA * HEAD_DIM, o, rows * HEAD_DIM * sizeof *o);
    dev_get(d->ml + (i64)t * GQA * 2, ml, rows * 2 * sizeof *ml);
    dev_free(o);
    dev_free(ml);
}

static void test_alone(void **unused)
{
    static const int PART[] = { 1, 2, 17, 1, 40, 3 };
    (void)unused;
    for (int w = 0; w < N_WINDOWS; w++) {
        data d = make_windowed((scene){ 1, 64, 200, 0, 264 }, WINDOWS[w], 4);
        run("k_attend_causal_sm90", &d);
        state together = keep(&d);
        for (int i = 0, t = 0; i < 6; t += PART[i++])
            run_part(&d, t, PART[i]);
        check_same(&d, &together);
        drop(&together);
        free_data(&d);
    }
}

/* Keys that no row sees: an empty state if it is fresh, else the state as it was. */
static void test_unseen(void **unused)
{
    (void)unused;
    data d = make_data((scene){ TWO, 128 / GQA + 2, 256, 256, 300 }, 2);
    run("k_attend_causal_sm90", &d);
    state before = keep(&d);
    attend_args a = call_of(&d);
    a.key0 = 2048;
    a.fresh = 0;
    attend("k_attend_causal_sm90", &a);
    fetch(&d);
    check_same(&d, &before);
    a.fresh = 1;
    attend("k_attend_causal_sm90", &a);
    fetch(&d);
    d.s.key0 = 2048;
    check_rows(&d);
    drop(&before);
    free_data(&d);
}

static void run_causal(attend_args *a)
{
    attend("k_attend_causal_sm90", a);
}

/* Tokens about a block of threads; a window that begins within one block of keys and another. */
static void test_windows(void **unused)
{
    (void)unused;
    check_windows((scene){ TWO, 128 / GQA + 3, 900, 0, 903 + 128 / GQA }, run_causal);
    check_windows((scene){ 1, 2, 700, 0, 702 }, run_causal);
}

/* ---- properties ---- */

/* v = 1 gives 1: what the probabilities lose to rounding is all that differs. */
static void test_ones(void **unused)
{
    (void)unused;
    data d = make_data((scene){ 1, 40, 160, 0, 200 }, 2);
    for (i64 i = 0; i < d.s.n_keys * HEAD_DIM; i++)
        value_of(&d, 0, 0)[i] = to_bf16(1);
    upload(&d);
    run("k_attend_causal_sm90", &d);
    for (i64 i = 0; i < d.rows * HEAD_DIM; i++)
        check_near(d.o[i] / d.ml[i / HEAD_DIM * 2 + 1], 1, 0x1p-9);
    free_data(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal), cmocka_unit_test(test_full),
        cmocka_unit_test(test_saturated), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_alone), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_windows), cmocka_unit_test(test_ones),
    };
    if (tensor_map_load()) {
        printf("no tensor maps: skipped\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
