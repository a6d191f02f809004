/*
** test_weights.c - checkpoints that load: single, in shards, of every type, with little memory.
*/
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>
#include "failing_alloc.h"
#include "small_model.h"

static void *json_malloc(size_t n)
{
    return malloc(n);
}

/* ---- what loads ---- */

static void single_file(void **state)
{
    (void)state;
    stored s[8];
    received r = { 0 };
    clean();
    write_tensors("model.safetensors", s, all_good(s));
    must_load(2, false, &r);
    check_numbers(&r);
    assert_string_equal(r.order, "3201"); /* as they lie in the file */
    must_load(4, false, &r);
    check_numbers(&r);
}

static void shards(void **state)
{
    (void)state;
    received r = { 0 };
    write_shards();
    write_text("model.safetensors", "not looked at beside an index");
    must_load(2, false, &r);
    check_numbers(&r);
    assert_string_equal(r.order, "1320");
}

/* ---- element types ---- */

static void check_elements(const received *r, int tensor, const void *want, size_t n_bytes)
{
    assert_memory_equal(r->data[tensor], want, n_bytes);
}

static void half_precision(void **state)
{
    (void)state;
    received r = { 0 };
    static const uint16_t a[] = { 0x0001, 0x83ff, 0x7bff }, b[] = { 0x8000, 0x0400, 0x3c01 };
    static const float wide_a[] = { 0x1p-24f, -0x1.ff8p-15f, 65504 };
    static const float wide_b[] = { -0.0f, 0x1p-14f, 0x1.004p0f };
    static const uint16_t near_a[] = { 0x3380, 0xb880, 0x4780 },
                          near_b[] = { 0x8000, 0x3880, 0x3f80 };
    write_bias("F16", 2, a);
    must_load(4, false, &r);
    check_elements(&r, BIAS, wide_a, sizeof wide_a);
    must_load(2, true, &r);
    check_elements(&r, BIAS, near_a, sizeof near_a);
    refuse("model.safetensors: q.bias: dtype = F16: the program computes in BF16; --round-weights "
           "accepts it, rounded: not exact; or generate with --numerics f32");
    write_bias("F16", 2, b);
    must_load(4, false, &r);
    check_elements(&r, BIAS, wide_b, sizeof wide_b);
    must_load(2, true, &r);
    check_elements(&r, BIAS, near_b, sizeof near_b);
}

static void single_precision(void **state)
{
    (void)state;
    received r = { 0 };
    static const float x[] = { 0x1.01p0f, 0x1.03p0f, -0x1p-149f };
    static const uint16_t near[] = { 0x3f80, 0x3f82, 0x8000 }; /* ties to even */
    write_bias("F32", 4, x);
    must_load(4, false, &r);
    check_elements(&r, BIAS, x, sizeof x);
    must_load(2, true, &r);
    check_elements(&r, BIAS, near, sizeof near);
    refuse("model.safetensors: q.bias: dtype = F32: the program computes in BF16; --round-weights "
           "accepts it, rounded: not exact; or generate with --numerics f32");
}

/* ---- pieces ---- */

static const hi_tensor LONG[] = {
    { .name = "k_proj", .rows = 5, .cols = 1500000 }, /* a row is more than a piece */
    { .name = "many", .rows = 70001, .cols = 31 },
    { .name = "norm", .rows = 1300000 },
};

enum {
    N_LONG = 3,
    LONG_ELTS = 7500000, /* of the longest */
    LONG_PIECES = 5 + 5 + 3
};

typedef struct tally {
    int64_t next, calls; /* next row */
    atomic_int all;      /* rows */
    int elt;
} tally;

static hi_model long_model(int elt)
{
    hi_model m = model(elt);
    m.tensor = LONG;
    m.n_tensors = N_LONG;
    return m;
}

static void compare_elements(const tally *y, const hi_tensor *t, int64_t row, int64_t n_rows,
                             const void *elts)
{
    int64_t width = t->cols > 0 ? t->cols : 1;
    for (int64_t i = 0; i < n_rows * width; i++) {
        uint32_t want = (uint32_t)((row * width + i) % 30000), have = 0;
        memcpy(&have, (const char *)elts + i * y->elt, (size_t)y->elt);
        if (have != (y->elt == 4 ? want << 16 : want))
            fail_msg("%s: element %lld", t->name, (long long)(row * width + i));
    }
}

static int compare_file(void *to, const hi_tensor *t, int64_t row, int64_t n_rows, const void *elts)
{
    tally *y = to;
    assert_int_equal(row, row == 0 ? 0 : y->next);
    compare_elements(y, t, row, n_rows, elts);
    y->next = row + n_rows;
    y->calls++;
    return 0;
}

/* From several threads: nothing is asserted here, where a failure could not be caught. */
static int count_rows(void *to, const hi_tensor *t, int64_t row, int64_t n_rows, const void *elts)
{
    tally *y = to;
    uint32_t first = (uint32_t)(row * (t->cols > 0 ? t->cols : 1) % 30000), have = 0;
    memcpy(&have, elts, (size_t)y->elt);
    if (have != (y->elt == 4 ? first << 16 : first) || (row % 64 > 0 && t->cols < 1500000))
        return -1;
    atomic_fetch_add(&y->all, (int)n_rows);
    return 0;
}

static void write_long(void)
{
    stored s[N_LONG];
    uint16_t *data = malloc(LONG_ELTS * sizeof *data);
    for (int i = 0; i < LONG_ELTS; i++)
        data[i] = (uint16_t)(i % 30000);
    for (int i = 0; i < N_LONG; i++)
        s[i] = (stored){ LONG[i].name, "BF16", (int)LONG[i].rows, (int)LONG[i].cols, 2, data };
    clean();
    write_tensors("model.safetensors", s, N_LONG);
    free(data);
}

static void drop_long(void)
{
    char path[256];
    path_of(path, "model.safetensors");
    assert_int_equal(truncate(path, 1000000), 0);
    clean();
}

/* Tensors longer than a piece, rows longer than a piece. */
static void file_pieces(void **state)
{
    (void)state;
    write_long();
    for (int elt = 2; elt <= 4; elt += 2) {
        hi_model m = long_model(elt);
        tally y = { .elt = elt };
        int rc = weights_load(&m, folder, false, NULL, compare_file, &y, err, sizeof err);
        assert_int_equal(rc, 0);
        assert_int_equal(y.calls, LONG_PIECES);
    }
    drop_long();
}

/* By several threads: every row, and what is told of a failure is the first one in the file. */
static void file_pieces_together(void **state)
{
    (void)state;
    char path[256];
    static const uint16_t bad = 0x7f80;
    hi_model m = long_model(2);
    write_long();
    path_of(path, "model.safetensors");
    for (int elt = 2; elt <= 4; elt += 2) {
        hi_model whole = long_model(elt);
        tally y = { .elt = elt };
        assert_int_equal(weights_load(&whole, folder, false, &CREW_OF_FIVE, count_rows, &y, err,
                                      sizeof err),
                         0);
        assert_int_equal(atomic_load(&y.all), 5 + 70001 + 1300000);
    }
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    for (int from = 1; from <= 9; from += 4) { /* pieces from the file's end on are damaged */
        fseek(f, -2600000 - from * 450000, SEEK_END);
        fwrite(&bad, sizeof bad, 1, f);
        fflush(f);
        long long element = 2170031 - from * 225000;
        char message[256];
        snprintf(message, sizeof message,
                 "model.safetensors: many: element %lld: non-finite weight: the file is damaged, "
                 "fetch it again",
                 element);
        for (int again = 0; again < 3; again++) {
            tally y = { .elt = 2 };
            assert_int_equal(weights_load(&m, folder, false, &CREW_OF_FIVE, count_rows, &y, err,
                                          sizeof err),
                             -1);
            assert_string_equal(err, message);
        }
    }
    fclose(f);
    drop_long();
}

/* ---- memory ---- */

static void runs_out(const char *path, long least)
{
    hi_model m = model(4);
    for (int mode = 0; mode < 2; mode++) {
        int rc = -1;
        long n = 0;
        for (for_ever = mode; rc != 0; n++) {
            received r = { .elt = 4 };
            left = n;
            rc = weights_load(&m, path, false, NULL, receive, &r, err, sizeof err);
            left = -1;
            if (rc != 0 && (!strstr(err, "out of memory") || r.calls > 0))
                fail_msg("request %ld: %s", n, err);
        }
        assert_true(n > least);
    }
}

static void memory_runs_out(void **state)
{
    (void)state;
    write_shards();
    write_text("config.json", "{\"vocab_size\":4,\"a_long_name_that_makes_buffers_grow\":[1,2]}");
    runs_out(folder, 100);
    stored s[8];
    clean();
    write_tensors("model.safetensors", s, all_good(s));
    runs_out(folder, 40);
    runs_out("random:1", 1);
}

static int watch_json(void **state)
{
    json_set_alloc_funcs(json_malloc, free);
    return make_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_file),    cmocka_unit_test(shards),
        cmocka_unit_test(half_precision), cmocka_unit_test(single_precision),
        cmocka_unit_test(file_pieces),    cmocka_unit_test(file_pieces_together),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, watch_json, remove_folder);
}
