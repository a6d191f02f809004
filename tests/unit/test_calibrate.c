/*
** test_calibrate.c - the measured machine file: what it holds, and when there is none.
**
** Figures are looked at for sense only: nothing depends on how fast the machine is.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "calibrate.h"
#include "sandbox.h"

static const double SECONDS = 1;
static const int64_t BYTES = 300 << 20;

static char folder[] = "/tmp/test_calibrate.XXXXXX", path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/mine.lua", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* The file is written, read back by who needs it, and its text returned. */
static const char *measured(hi_machine *m)
{
    static char text[1 << 14];
    hi_error e = { "" };
    FILE *f = fopen(path, "w+");

    assert_non_null(f);
    if (calibrate_run(f, SECONDS, BYTES, NULL, &e) != 0 || machine_load(path, NULL, m, &e) != 0)
        fail_msg("%s", e.text);
    rewind(f);
    size_t n = fread(text, 1, sizeof text, f);
    assert_in_range(n, 1, sizeof text - 1);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void check(const char *name, double value, double least, double most)
{
    if (!(value >= least && value <= most))
        fail_msg("%s = %g: not from %g to %g", name, value, least, most);
}

/* Bounds are those of no machine; only what reads memory can be held against dram, and in
   sanitizer builds not even that: they slow compiled loops, but no vector instructions. */
static void test_figures(void **state)
{
    hi_machine m;
    const char *text = measured(&m);
    double most = (SANDBOX_SANITIZED ? 1e4 : 10) * m.dram;

    (void)state;
    assert_int_equal(m.memory, 0);
    assert_int_equal(m.reserve, 0);
    assert_true(m.shared);
    assert_string_equal(m.host, "mine");
    check("matmul", m.matmul, 1e6, 1e18);
    check("attend", m.attend, 1e6, 1e18);
    check("step_s", m.step_s, 1e-12, 1);
    check("both", m.both, 0.01, 1);
    check("ram", (double)m.ram, (double)(4 * BYTES), 1e18);
    check("cores", m.cores, 1, 256);
    check("dram", m.dram, 1e6, 1e18);
    check("read", m.read, 1e6, most);
    check("attend_read", m.attend_read, 1e6, most);
    check("h2d", m.h2d, 1e6, most);
    check("d2h", m.d2h, 1e6, most);
    check("copy", m.copy, 1e6, most);
    assert_non_null(strstr(text, "\n-- memory reads by threads, GB/s: 1: "));
    assert_non_null(strstr(text, "\n-- products of many rows, GFLOP/s: 1 thread: "));
    assert_non_null(strstr(text, "\n-- attention of a prompt, GFLOP/s: 1 thread: "));
    assert_non_null(strstr(text, "\n    source = \"measured by hi-gen calibrate: "));
}

static void expect_failure(FILE *out, int64_t bytes, const char *message)
{
    hi_error e = { "" };

    assert_int_equal(calibrate_run(out, SECONDS, bytes, NULL, &e), -1);
    if (strstr(e.text, message) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", e.text, message);
}

static void test_full_disk(void **state)
{
    FILE *f = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(f);
    expect_failure(f, BYTES, "cannot write the machine file: No space left");
    fclose(f);
}

static void test_little_memory(void **state)
{
    (void)state;
    expect_failure(stderr, 100 << 20, "100 MiB, 256 are needed");
}

static void test_unknown_isa(void **state)
{
    (void)state;
    setenv("HI_ISA", "mmx", 1);
    expect_failure(stderr, BYTES, "HI_ISA mmx: unknown instruction set");
    unsetenv("HI_ISA");
}

static void test_usage(void **state)
{
    static char *const WRONG[][3] = {
        { "calibrate", "--seconds" },        { "calibrate", "--seconds", "4" },
        { "calibrate", "--seconds", "601" }, { "calibrate", "--seconds", "nan" },
        { "calibrate", "--seconds", "10s" }, { "calibrate", "--minutes" },
        { "calibrate", "mine.lua" },         { "calibrate", "-xy" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char *argv[4] = { WRONG[i][0], WRONG[i][1], WRONG[i][2], NULL };
        assert_int_equal(calibrate_command(WRONG[i][2] != NULL ? 3 : 2, argv), 2);
    }
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_figures),       cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_little_memory), cmocka_unit_test(test_unknown_isa),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(TESTS, make_folder, remove_folder);
}
