/*
** test_generation_config.c - what generation_config.json says, and what its absence means.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "generation_config.h"

static char folder[64], path[128], err[512];
static generation_config g;

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/generation.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int read_text(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    err[0] = '\0';
    return generation_config_read(&g, folder, err, sizeof err);
}

static void check(double temp, int top_k, double top_p, double min_p, double repeat)
{
    const sample_options *s = &g.sample;

    assert_true(s->temp == temp && s->top_k == top_k && s->top_p == top_p && s->min_p == min_p &&
                s->repeat == repeat);
    assert_int_equal(s->last_n, repeat == 1 ? 64 : -1); /* the file's penalty is of all tokens */
    assert_true(s->frequency == 0 && s->presence == 0 && s->n_bias == 0);
}

static void absent(void **state)
{
    const char *const folders[] = { folder, "random:1", NULL };

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(generation_config_read(&g, folders[i], err, sizeof err), 0);
        assert_false(g.there);
        assert_int_equal(g.n_ends, 0);
        check(0, 40, 0.95, 0.05, 1);
    }
}

static void values(void **state)
{
    (void)state;
    assert_int_equal(read_text("{}"), 0);
    assert_true(g.there);
    check(0, 40, 0.95, 0.05, 1);
    assert_int_equal(read_text("{\"temperature\": 0.6, \"top_p\": 0.9, \"eos_token_id\": 7}"), 0);
    check(0, 40, 0.9, 0.05, 1); /* do_sample is false where it is not there */
    assert_int_equal(g.n_ends, 1);
    assert_int_equal(g.end[0], 7);
    assert_int_equal(read_text("{\"do_sample\": true}"), 0);
    check(1, 50, 1, 0, 1);
    assert_int_equal(
        read_text("{\"do_sample\": true, \"temperature\": 0.7, \"top_k\": 20, \"top_p\": "
                  "0.8, \"min_p\": 0.125, \"repetition_penalty\": 1.05, "
                  "\"eos_token_id\": [151645, 151643], \"other\": {\"a\": [1]}}"),
        0);
    check(0.7, 20, 0.8, 0.125, 1.05);
    assert_int_equal(g.n_ends, 2);
    assert_int_equal(g.end[0], 151645);
    assert_int_equal(g.end[1], 151643);
    assert_int_equal(read_text("{\"do_sample\": false, \"temperature\": 0.7, \"top_k\": null, "
                               "\"repetition_penalty\": 1.5, \"eos_token_id\": null}"),
                     0);
    check(0, 40, 0.95, 0.05, 1.5);
    assert_int_equal(read_text("{\"do_sample\": true, \"temperature\": 0, \"top_k\": 0}"), 0);
    check(0, 0, 1, 0, 1);
}

static void wrong(void **state)
{
    static const char *const CASES[][2] = {
        { "{", "generation_config.json" },
        { "[]", "must be an object" },
        { "{\"do_sample\": 1}", "do_sample: must be true or false" },
        { "{\"temperature\": \"hot\"}", "temperature: must be a number from 0 to 100" },
        { "{\"temperature\": -1}", "temperature = -1: must be from 0 to 100" },
        { "{\"top_p\": 1.5}", "top_p = 1.5: must be from 0 to 1" },
        { "{\"min_p\": -0.5}", "min_p = -0.5" },
        { "{\"top_k\": 2.5}", "top_k = 2.5: must be a whole number" },
        { "{\"top_k\": -1}", "top_k = -1" },
        { "{\"repetition_penalty\": 0}", "repetition_penalty = 0: must be from 0.01" },
        { "{\"eos_token_id\": \"</s>\"}", "eos_token_id: must be a token's id" },
        { "{\"eos_token_id\": [1, -2]}", "eos_token_id: must be a token's id" },
        { "{\"eos_token_id\": [[1]]}", "eos_token_id: must be a token's id" },
        { "{\"eos_token_id\": 2147483648}", "eos_token_id: must be a token's id" },
    };
    char many[1024] = "{\"eos_token_id\": [0";

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(read_text(CASES[i][0]), -1);
        if (strstr(err, CASES[i][1]) == NULL || strstr(err, path) == NULL)
            fail_msg("%s: %s", CASES[i][0], err);
    }
    for (int i = 1; i <= GENERATION_ENDS; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ", %d", i);
    strcat(many, "]}");
    assert_int_equal(read_text(many), -1);
    assert_non_null(strstr(err, "more than 64"));
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name);
    long_name[4999] = '\0';
    assert_int_equal(generation_config_read(&g, long_name, err, sizeof err), -1);
    assert_non_null(strstr(err, "path too long"));
}

static void memory_runs_out(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"do_sample\": true, \"eos_token_id\": [1, 2]}"), 0);
    for (int mode = 0; mode < 2; mode++) {
        int rc = -1;
        long n = 0;
        for (for_ever = mode; rc != 0; n++) {
            left = n;
            rc = generation_config_read(&g, folder, err, sizeof err);
            left = -1;
        }
        assert_true(n > 3);
        check(1, 50, 1, 0, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent),
        cmocka_unit_test(values),
        cmocka_unit_test(wrong),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
