/*
** test_rows.c - the kernels that go over rows once, against double.
**
** A result that rounds to bf16 must be one that the true value rounds to, moved by no more than
** the error that arithmetic in fp32 may have: one rounding too few or too many shows. Copies, and
** memory that is not to be written, are compared bit for bit.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
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
    HALF = HEAD_DIM / 2
};

static void *alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
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

static uint16_t to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The bf16 that a double rounds to, as a number. */
static double rounded(double x)
{
    return of_bf16(to_bf16((float)x));
}

static uint16_t *random_bf16(size_t n, float scale)
{
    uint16_t *x = alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = to_bf16(scale * uniform());
    return x;
}

static void *on_device(const void *host, size_t bytes)
{
    void *d = dev_new(bytes);
    dev_put(d, host, bytes);
    return d;
}

static void *from_device(void *d, size_t bytes)
{
    void *host = alloc(bytes);
    dev_get(host, d, bytes);
    dev_free(d);
    return host;
}

/* Both ends of what a result may be. */
typedef struct range {
    double low, high;
} range;

static const range NOTHING = { INFINITY, -INFINITY };

static void widen(range *r, double x)
{
    r->low = fmin(r->low, x);
    r->high = fmax(r->high, x);
}

static void check_in(uint16_t got, range r)
{
    double x = of_bf16(got);
    if (!(x >= r.low && x <= r.high))
        fail_msg("%.9g, not in [%.9g, %.9g]", x, r.low, r.high);
}

/* ---- embedding, table of rotations ---- */

static void test_embed(void **unused)
{
    static const int ids[] = { 7, 0, VOCAB - 1, 7, 1 };
    enum { ROWS = sizeof ids / sizeof ids[0], BYTES = HIDDEN * 2 };
    (void)unused;
    uint16_t *table = random_bf16((size_t)VOCAB * HIDDEN, 1);
    embed_args a = { .rows = ROWS };
    void *d_ids = on_device(ids, sizeof ids), *d_table = on_device(table, (size_t)VOCAB * BYTES);
    a.ids = d_ids;
    a.table = d_table;
    a.x = dev_new(ROWS * BYTES);
    dev_launch("k_embed", ROWS, 1, 1, ROW_THREADS, 0, &a, sizeof a);
    uint16_t *x = from_device(a.x, ROWS * BYTES);
    for (int r = 0; r < ROWS; r++) {
        const uint16_t *from = table + (size_t)ids[r] * HIDDEN;
        for (int i = 0; i < HIDDEN; i++)
            assert_true(of_bf16(x[r * HIDDEN + i]) == rounded(of_bf16(from[i]) * (double)EMBED_SCALE));
    }
    dev_free(d_ids);
    dev_free(d_table);
    free(table);
    free(x);
}

/* Positions whose float differs from the integer, and products up to 1e7, included. */
static void test_rope_table(void **unused)
{
    static const i64 positions[] = { 0, 1000, 131072, 4194303, 16777210 };
    enum { ROWS = 9, BYTES = ROWS * HEAD_DIM * 4 };
    (void)unused;
    for (int p = 0; p < 10; p++) {
        const float scale = p % 3 ? 1.1902381f : 1;
        i64 pos0 = positions[p / 2];
        void *pos = on_device(&pos0, sizeof pos0);
        rope_args a = { .pos0 = p % 2 ? -99 : pos0, .pos = p % 2 ? pos : NULL, .rows = ROWS,
                        .scale = scale };
        for (int i = 0; i < HALF; i++)
            a.freq[i] = (float)pow(500000, -2.0 * i / HEAD_DIM) * (pos0 > 10000000 ? 0.59f : 1);
        a.cs = dev_new(BYTES);
        dev_launch("k_rope_table", ROWS, 1, 1, ROPE_THREADS, 0, &a, sizeof a);
        float *cs = from_device(a.cs, BYTES);
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < HALF; i++) {
                volatile float angle = (float)(pos0 + r) * a.freq[i];
                const float *got = cs + (r * HALF + i) * 2;
                assert_true(fabs(got[0] - scale * cos(angle)) < 2e-7);
                assert_true(fabs(got[1] - scale * sin(angle)) < 2e-7);
            }
        free(cs);
        dev_free(pos);
    }
}

/* ---- norm ---- */

enum { SCALES = 3 };                 /* the factor of a row, a little less, a little more */

static void norm_scales(double *scale, const uint16_t *x, int n, float eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)of_bf16(x[i]) * of_bf16(x[i]);
    scale[0] = 1 / sqrt(sum / n + eps);
    scale[1] = scale[0] * (1 - 0x1p-20);
    scale[2] = scale[0] * (1 + 0x1p-20);
}

static double normed(uint16_t x, double scale, uint16_t w)
{
    return NORM_OFFSET ? rounded(of_bf16(x) * scale * (1 + (double)of_bf16(w)))
                       : rounded(rounded(of_bf16(x) * scale) * of_bf16(w));
}

static void norm(void *y, const void *x, const void *w, int rows, float eps, int add)
{
    norm_args a = { y, x, w, rows, eps, add };
    dev_launch("k_rmsnorm", (unsigned)rows, 1, 1, ROW_THREADS, NORM_SMEM, &a, sizeof a);
}

static void test_norm(void **unused)
{
    enum { ROWS = 6, ROW = HIDDEN * 2, BYTES = ROWS * ROW };
    const float eps = 1e-5f;
    (void)unused;
    uint16_t *x = random_bf16(ROWS * HIDDEN, 1), *w = random_bf16(HIDDEN, 1.5f);
    for (int i = 0; i < HIDDEN; i++) {
        x[i] = to_bf16(x[i] & 1 ? 1 : -1);                     /* factor 1 but for eps */
        x[HIDDEN + i] = to_bf16(of_bf16(x[HIDDEN + i]) * 1e-4f);       /* eps counts */
        x[2 * HIDDEN + i] = to_bf16(of_bf16(x[2 * HIDDEN + i]) * 1000);
        x[3 * HIDDEN + i] = i ? 0 : to_bf16(3);
        x[4 * HIDDEN + i] = 0;
    }
    void *d_x = on_device(x, BYTES), *d_w = on_device(w, ROW), *d_y = dev_new(BYTES);
    norm(d_y, d_x, d_w, ROWS, eps, 0);
    for (int r = ROWS - 1; r >= 0; r--)          /* each row alone, in place */
        norm((char *)d_x + r * ROW, (char *)d_x + r * ROW, d_w, 1, eps, 0);
    uint16_t *y = from_device(d_y, BYTES), *alone = from_device(d_x, BYTES);
    assert_memory_equal(y, alone, BYTES);
    for (int r = 0; r < ROWS; r++) {
        double scale[SCALES];
        norm_scales(scale, x + r * HIDDEN, HIDDEN, eps);
        for (int i = 0; i < HIDDEN; i++) {
            range want = NOTHING;
            for (int s = 0; s < SCALES; s++)
                widen(&want, normed(x[r * HIDDEN + i], scale[s], w[i]));
            check_in(y[r * HIDDEN + i], want);
        }
    }
    dev_free(d_w);
    free(x);
    free(w);
    free(y);
    free(alone);
}

/* What is added is what would be stored. */
static void test_add_norm(void **unused)
{
    enum { ROWS = 3, N = ROWS * HIDDEN };
    const float eps = 1e-6f;
    (void)unused;
    uint16_t *x = random_bf16(N, 2), *w = random_bf16(HIDDEN, 1.5f), *before = random_bf16(N, 3);
    void *d_x = on_device(x, N * 2), *d_w = on_device(w, HIDDEN * 2);
    void *d_stored = dev_new(N * 2), *d_added = on_device(before, N * 2);
    norm(d_stored, d_x, d_w, ROWS, eps, 0);
    norm(d_added, d_x, d_w, ROWS, eps, 1);
    uint16_t *stored = from_device(d_stored, N * 2), *added = from_device(d_added, N * 2);
    for (int i = 0; i < N; i++)
        assert_true(of_bf16(added[i]) == rounded((double)of_bf16(before[i]) + of_bf16(stored[i])));
    dev_free(d_x);
    dev_free(d_w);
    free(x);
    free(w);
    free(before);
    free(stored);
    free(added);
}

/* ---- place ---- */

enum {
    PLACE_ROWS = 7,
    QKV_BYTES = PLACE_ROWS * QKV_COLS * 2,
    HEAD_BYTES = HEAD_DIM * 2,
    KEPT = PLACE_ROWS + 3,           /* rows of a destination's head */
    DST_BYTES = 2 * KV_HEADS * (KEPT * HEAD_BYTES + 32),
    DSTS = 3
};

/* What goes in, what came out. */
typedef struct placing {
    uint16_t *qkv, *got, *q_norm, *k_norm;
    float *cs;
    unsigned char *dst[DSTS];
    place_args a;                    /* its runs' destinations: offsets into dst[], until run */
    int dst_of[MOST_RUNS];
} placing;

static const float PLACE_EPS = 1e-6f;

static placing make_placing(void)
{
    placing p = { .qkv = random_bf16(PLACE_ROWS * QKV_COLS, 3),
                  .q_norm = random_bf16(HEAD_DIM, 2),
                  .k_norm = random_bf16(HEAD_DIM, 2),
                  .cs = alloc(PLACE_ROWS * HEAD_DIM * sizeof *p.cs),
                  .a = { .rows = PLACE_ROWS, .q_row = 2, .eps = PLACE_EPS, .n_runs = 4 } };
    for (int i = 0; i < PLACE_ROWS * HALF; i++) {
        double angle = 4 * uniform();
        p.cs[2 * i] = (float)cos(angle);
        p.cs[2 * i + 1] = (float)sin(angle);
    }
    /* k and v apart; k and v of a head together; the last rows also where run 0 has them */
    const i64 rows = KEPT * HEAD_BYTES;
    p.a.run[0] = (place_run){ NULL, rows, KV_HEADS * rows, 0, PLACE_ROWS };
    p.a.run[1] = (place_run){ NULL, 2 * rows + 32, rows, 1, 3 };
    p.a.run[2] = (place_run){ NULL, rows + 16, KV_HEADS * (rows + 16), 6, 1 };
    p.a.run[3] = p.a.run[0];
    p.a.run[3].row = 5;
    p.a.run[3].rows = 2;
    p.dst_of[1] = 1;
    p.dst_of[2] = 2;
    return p;
}

static void free_placing(placing *p)
{
    free(p->qkv);
    free(p->got);
    free(p->q_norm);
    free(p->k_norm);
    free(p->cs);
    for (int i = 0; i < DSTS; i++)
        free(p->dst[i]);
}

/* Where run r begins in its destination. */
static i64 begin_of(const placing *p, int r)
{
    return r == 3 ? p->a.run[3].row * HEAD_BYTES : 0;
}

static void run_place(placing *p, const i64 *pos)
{
    place_args a = p->a;
    unsigned char *d_dst[DSTS];
    void *d_cs = on_device(p->cs, PLACE_ROWS * HEAD_DIM * sizeof *p->cs);
    void *d_q = on_device(p->q_norm, HEAD_BYTES), *d_k = on_device(p->k_norm, HEAD_BYTES);
    void *d_pos = pos ? on_device(pos, sizeof *pos) : NULL;
    for (int i = 0; i < DSTS; i++) {
        p->dst[i] = alloc(DST_BYTES);
        d_dst[i] = on_device(p->dst[i], DST_BYTES);
        free(p->dst[i]);
    }
    for (int r = 0; r < a.n_runs; r++)
        a.run[r].dst = d_dst[p->dst_of[r]] + begin_of(p, r);
    a.qkv = on_device(p->qkv, QKV_BYTES);
    a.cs = d_cs;
    a.q_norm = d_q;
    a.k_norm = d_k;
    a.pos = d_pos;
    dev_launch("k_place", PLACE_ROWS, 1, 1, ROW_THREADS, 0, &a, sizeof a);
    p->got = from_device(a.qkv, QKV_BYTES);
    for (int i = 0; i < DSTS; i++)
        p->dst[i] = from_device(d_dst[i], DST_BYTES);
    dev_free(d_cs);
    dev_free(d_q);
    dev_free(d_k);
    if (d_pos)
        dev_free(d_pos);
}

/* What pair i of a head may turn to. */
static void pair_ranges(range *low, range *high, const uint16_t *x, const double *scale,
                        const uint16_t *w, const float *cs, int i)
{
    *low = *high = NOTHING;
    for (int s = 0; s < (QK_NORM ? SCALES : 1); s++) {
        double a = QK_NORM ? normed(x[i], scale[s], w[i]) : of_bf16(x[i]);
        double b = QK_NORM ? normed(x[i + HALF], scale[s], w[i + HALF]) : of_bf16(x[i + HALF]);
        double c = cs[2 * i], n = cs[2 * i + 1], error = (fabs(a) + fabs(b)) * 0x1p-23;
        for (int sign = -1; sign <= 1; sign++) {
            widen(low, rounded(a * c - b * n + sign * error));
            widen(high, rounded(b * c + a * n + sign * error));
        }
    }
}

static void check_turned(const uint16_t *got, const uint16_t *x, const uint16_t *w, const float *cs)
{
    double scale[SCALES];
    range low, high;
    norm_scales(scale, x, HEAD_DIM, PLACE_EPS);
    for (int i = 0; i < HALF; i++) {
        pair_ranges(&low, &high, x, scale, w, cs, i);
        check_in(got[i], low);
        check_in(got[i + HALF], high);
    }
}

/* Queries turned from q_row on; everything else of qkv as it was. */
static void check_queries(const placing *p)
{
    for (int row = 0; row < PLACE_ROWS; row++) {
        const uint16_t *x = p->qkv + row * QKV_COLS, *got = p->got + row * QKV_COLS;
        size_t same = row < p->a.q_row ? 0 : HEADS * HEAD_DIM;
        assert_memory_equal(got + same, x + same, (QKV_COLS - same) * 2);
        for (int h = 0; h < HEADS && row >= p->a.q_row; h++)
            check_turned(got + h * HEAD_DIM, x + h * HEAD_DIM, p->q_norm,
                         p->cs + row * HEAD_DIM);
    }
}

static unsigned char *key_in(const placing *p, unsigned char *const *dst, int r, int row, int head,
                             i64 moved)
{
    const place_run *run = &p->a.run[r];
    return dst[p->dst_of[r]] + begin_of(p, r) + (row - run->row + moved) * HEAD_BYTES +
           head * run->head_pitch;
}

/* Keys that run 0 has are turned; with them and the values the destinations are what they must
   be, to the last byte. */
static void check_runs(const placing *p, i64 moved)
{
    unsigned char *want[DSTS];
    for (int i = 0; i < DSTS; i++)
        want[i] = alloc(DST_BYTES);
    for (int r = 0; r < p->a.n_runs; r++)
        for (int row = p->a.run[r].row; row < p->a.run[r].row + p->a.run[r].rows; row++)
            for (int h = 0; h < KV_HEADS; h++) {
                const uint16_t *x = p->qkv + row * QKV_COLS + (HEADS + h) * HEAD_DIM;
                unsigned char *k = key_in(p, p->dst, 0, row, h, moved);
                unsigned char *to = key_in(p, want, r, row, h, moved);
                check_turned((uint16_t *)k, x, p->k_norm, p->cs + row * HEAD_DIM);
                memcpy(to, k, HEAD_BYTES);
                memcpy(to + p->a.run[r].v_offset, x + KV_HEADS * HEAD_DIM, HEAD_BYTES);
            }
    for (int i = 0; i < DSTS; i++) {
        assert_memory_equal(p->dst[i], want[i], DST_BYTES);
        free(want[i]);
    }
}

static void test_place(void **unused)
{
    static const i64 pos = 3;
    (void)unused;
    for (int moved = 0; moved < 2; moved++) {
        placing p = make_placing();
        run_place(&p, moved ? &pos : NULL);
        check_queries(&p);
        check_runs(&p, moved ? pos : 0);
        free_placing(&p);
    }
}

/* A value passes as it is: NaN with its bits, infinities; no runs: nothing is written. */
static void test_place_special(void **unused)
{
    static const uint16_t special[] = { 0x7fc1, 0xff81, 0x7f80, 0xff80, 0x8000, 0x0001 };
    (void)unused;
    placing p = make_placing();
    for (int i = 0; i < KV_HEADS * HEAD_DIM; i++)
        p.qkv[QKV_COLS + (HEADS + KV_HEADS) * HEAD_DIM + i] = special[i % 6];
    p.a.q_row = PLACE_ROWS;
    run_place(&p, NULL);
    check_queries(&p);
    check_runs(&p, 0);
    free(p.got);
    for (int i = 0; i < DSTS; i++)
        free(p.dst[i]);
    p.a.n_runs = 0;
    run_place(&p, NULL);
    check_runs(&p, 0);
    free_placing(&p);
}

/* ---- activation ---- */

/* round(round(act) * up), act within the error of exp2, of its argument and of a quotient. */
static range activated(float x, float up, int gelu)
{
    double u = gelu ? 1.5957691216057308 * (x + 0.044715 * x * x * x) : x;
    double act = x / (1 + exp(-u)), error = fabs(act) * (4 + 3 * fabs(u)) * 0x1p-23;
    range r = NOTHING;
    if (!(fabs(act) > 1e-34))        /* the quotient may be 0: infinity is in it */
        error = 1e-34;
    for (int sign = -1; sign <= 1; sign++)
        widen(&r, rounded(rounded(act + sign * error) * up));
    return r;
}

static void test_activate(void **unused)
{
    static const float special[] = { 0, -0.0f, 1e-30f, -1e-30f, 87, -87, -89, 500, -500, -11, 3e38f,
                                     -3e38f };
    enum { ROWS = 5, COLS = 2 * FFN, SPECIAL = sizeof special / sizeof special[0] };
    (void)unused;
    for (int gelu = 0; gelu < 2; gelu++) {
        uint16_t *x = random_bf16((size_t)ROWS * COLS, 6);
        for (int i = 0; i < SPECIAL; i++)
            x[COLS + 3 + i] = to_bf16(special[i]);
        for (int i = 0; i < SPECIAL; i++)
            x[COLS + FFN + 3 + i] = to_bf16(0.75f);            /* 3e38 stays finite */
        size_t bytes = (size_t)ROWS * COLS * 2;
        activate_args a = { on_device(x, bytes), ROWS, gelu };
        dev_launch("k_activate", ROWS * ACTIVATE_BLOCKS, 1, 1, ACTIVATE_THREADS, 0, &a, sizeof a);
        uint16_t *y = from_device(a.mlp, bytes);
        for (int r = 0; r < ROWS; r++) {
            const uint16_t *gate = x + r * COLS, *up = gate + FFN, *got = y + r * COLS;
            for (int i = 0; i < FFN; i++)
                check_in(got[i], activated(of_bf16(gate[i]), of_bf16(up[i]), gelu));
            assert_memory_equal(got + FFN, up, FFN * 2);
        }
        free(x);
        free(y);
    }
}

/* ---- the end of attention ---- */

/* Several KV heads and tokens; what lies between the tokens' rows is left alone. */
static void test_close(void **unused)
{
    enum { N = KV_HEADS < 3 ? KV_HEADS : 3, TOKENS = 5, ROWS = N * TOKENS * GQA,
           STRIDE = HEADS * HEAD_DIM + 8, OUT = (TOKENS - 1) * STRIDE + N * GQA * HEAD_DIM };
    (void)unused;
    uint16_t *want = alloc(OUT * 2);
    float *o = alloc(sizeof *o * ROWS * HEAD_DIM), *ml = alloc(sizeof *ml * ROWS * 2);
    void *d_o, *d_ml;
    close_args a = { .out = on_device(want, OUT * 2), .out_stride = STRIDE, .n = N,
                     .rows = TOKENS };
    for (int r = 0; r < ROWS; r++) {
        int head = r / (TOKENS * GQA), i = r % (TOKENS * GQA);
        ml[2 * r] = uniform();
        ml[2 * r + 1] = 1.5f + uniform();
        for (int c = 0; c < HEAD_DIM; c++) {
            o[r * HEAD_DIM + c] = uniform();
            want[i / GQA * STRIDE + (head * GQA + i % GQA) * HEAD_DIM + c] =
                to_bf16(o[r * HEAD_DIM + c] / ml[2 * r + 1]);
        }
    }
    a.o = d_o = on_device(o, sizeof *o * ROWS * HEAD_DIM);
    a.ml = d_ml = on_device(ml, sizeof *ml * ROWS * 2);
    dev_launch("k_close", (ROWS + CLOSE_ROWS - 1) / CLOSE_ROWS, 1, 1, CLOSE_THREADS, 0, &a,
               sizeof a);
    uint16_t *got = from_device(a.out, OUT * 2);
    assert_memory_equal(got, want, OUT * 2);
    dev_free(d_o);
    dev_free(d_ml);
    free(o);
    free(ml);
    free(got);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),    cmocka_unit_test(test_rope_table),
        cmocka_unit_test(test_norm),     cmocka_unit_test(test_place),
        cmocka_unit_test(test_activate), cmocka_unit_test(test_place_special),
        cmocka_unit_test(test_close),    cmocka_unit_test(test_add_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
