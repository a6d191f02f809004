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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "calibrate.h"
#include "calibrate/cuda/measure.h"
#include "sandbox.h"

static const double SECONDS = 1;
static const int64_t BYTES = 300 << 20;

static char folder[] = "/tmp/test_calibrate.XXXXXX", path[64], program[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/mine.lua", folder);
    snprintf(program, sizeof program, "%s/program", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(program);
    return rmdir(folder);
}

/* The file is written, by a measuring program or by none, read back by who needs it, and its text
   returned. */
static const char *measured(const char *by, hi_machine *m)
{
    static char text[1 << 14];
    hi_error e = { "" };
    FILE *f = fopen(path, "w+");

    assert_non_null(f);
    if ((by != NULL ? calibrate_cuda(f, by, SECONDS, BYTES, NULL, &e)
                    : calibrate_run(f, SECONDS, BYTES, NULL, &e)) != 0 ||
        machine_load(path, NULL, m, &e) != 0)
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
    const char *text = measured(NULL, &m);
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

/* ---- a GPU: what its measuring program says, here a shell script ---- */

/* What it prints; what a test prints after that takes its place. */
static const char GOOD[] = "gpu sm_90 A \\\\ \\\"GPU\\\"\n"
                           "memory 150109159424\n"
                           "beside 700000000\n"
                           "rounds 9\n"
                           "matmul 7.1e14 7e14 7.2e14\n"
                           "attend 4e14 4e14 4e14\n"
                           "read 4.3e12 4e12 4.4e12\n"
                           "attend_read 4.2e12 4e12 4.4e12\n"
                           "h2d 5.5e10 5e10 5.6e10\n"
                           "d2h 5.4e10 5e10 5.6e10\n"
                           "both 0.85 0.8 1\n"
                           "step_s 3e-06 2e-06 4e-06\n";

static void write_program(const char *text, const char *then)
{
    FILE *f = fopen(program, "w");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\ncat <<END\n%s\nEND\n%s\n", text, then);
    fclose(f);
    assert_int_equal(chmod(program, 0700), 0);
}

/* GOOD with 'line' for the one that begins with 'word', NULL: without it. */
static const char *changed(const char *word, const char *line)
{
    static char text[2 * sizeof GOOD];
    const char *at = strstr(GOOD, word), *end = strchr(at, '\n');

    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - GOOD), GOOD, line != NULL ? line : "",
             line != NULL ? end : end + 1);
    text[strlen(text) - 1] = '\0';
    return text;
}

static void test_gpu(void **state)
{
    hi_machine m;

    (void)state;
    write_program(changed("rounds", "rounds 9"), "[ $# -eq 1 ] && [ $1 = 0.666667 ]");
    const char *text = measured(program, &m);
    check("memory", (double)m.memory, 150109159424, 150109159424);
    check("reserve", (double)m.reserve, 764e6, 1e9);     /* more than what was taken */
    check("matmul", m.matmul, 7.1e14, 7.1e14);
    check("attend", m.attend, 4e14, 4e14);
    check("read", m.read, 4.3e12, 4.3e12);
    check("attend_read", m.attend_read, 4.2e12, 4.2e12);
    check("h2d", m.h2d, 5.5e10, 5.5e10);
    check("d2h", m.d2h, 5.4e10, 5.4e10);
    check("both", m.both, 0.85, 0.85);
    check("step_s", m.step_s, 3e-6, 3e-6);
    check("dram", m.dram, 1e6, 1e18);
    check("copy", m.copy, 1e6, 1e18);
    check("ram", (double)m.ram, (double)(4 * BYTES), 1e18);
    assert_false(m.shared);
    assert_string_equal(m.host, "mine");
    assert_non_null(strstr(text, "Medians of 9 rounds"));
    assert_non_null(strstr(text, "\n    source = \"measured by hi-gen calibrate: sm_90 A  GPU, "));
    assert_null(strstr(text, "1 thread: "));
}

static void expect_no_gpu(const char *text, const char *then, const char *message)
{
    hi_error e = { "" };

    write_program(text, then);
    assert_int_equal(calibrate_cuda(stderr, program, SECONDS, BYTES, NULL, &e), -1);
    if (strstr(e.text, message) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", e.text, message);
}

static void test_gpu_program_fails(void **state)
{
    static const char *const RATE[] = { "matmul", "attend ", "read", "attend_read",
                                        "h2d",    "d2h",     "both", "step_s" };

    (void)state;
    expect_no_gpu("error no GPU: buy one", "exit 1", "calibrate: no GPU: buy one");
    expect_no_gpu(changed("rounds", "rounds 9"), "exit 1", "program failed");
    expect_no_gpu(changed("rounds", "rounds 9"), "kill -9 $$", "program failed");
    expect_no_gpu("Segmentation fault", "", "says \"Segmentation fault\"");
    expect_no_gpu("", "", "was it built for another hi-gen?");
    for (size_t i = 0; i < sizeof RATE / sizeof *RATE; i++)
        expect_no_gpu(changed(RATE[i], NULL), "", "says nothing of ");
    expect_no_gpu(changed("matmul", "matmul 1"), "", "says \"matmul 1\"");
    expect_no_gpu(changed("matmul", "matmul nan 1 2"), "", "says \"matmul nan 1 2\"");
    expect_no_gpu(changed("matmul", "matmul 0 0 0"), "", "says \"matmul 0 0 0\"");
    expect_no_gpu(changed("matmul", "matmul 3 1 2"), "", "says \"matmul 3 1 2\"");
    expect_no_gpu(changed("beside", NULL), "", "does not tell what the GPU has");
    expect_no_gpu(changed("memory", "memory 700000000"), "", "does not tell what the GPU has");
    expect_no_gpu(changed("gpu", NULL), "", "does not tell what the GPU has");
}

static void test_gpu_no_program(void **state)
{
    hi_error e = { "" };

    (void)state;
    assert_int_equal(calibrate_cuda(stderr, "/nowhere/x", SECONDS, BYTES, NULL, &e), -1);
    assert_string_equal(e.text, "calibrate: /nowhere/x: No such file or directory");
}

/* With a GPU and without one. */
static void test_nowhere_to_build(void **state)
{
    char built[64], home[5000];
    hi_error e = { "" };

    (void)state;
    assert_int_equal(measure_build("/nowhere", NULL, built, sizeof built, &e), -1);
    assert_true(strncmp(e.text, "calibrate: ", 11) == 0);
    memset(home, 'x', sizeof home - 1);
    home[sizeof home - 1] = '\0';
    e.text[0] = '\0';
    assert_int_equal(measure_build(home, NULL, built, sizeof built, &e), -1);
    assert_non_null(strstr(e.text, "path too long"));
}

static void test_usage(void **state)
{
    static char *const WRONG[][3] = {
        { "calibrate", "--seconds" },        { "calibrate", "--seconds", "4" },
        { "calibrate", "--seconds", "601" }, { "calibrate", "--seconds", "nan" },
        { "calibrate", "--seconds", "10s" }, { "calibrate", "--minutes" },
        { "calibrate", "mine.lua" },         { "calibrate", "-xy" },
        { "calibrate", "--target", "tpu" },  { "calibrate", "--target" },
        { "calibrate", "--program", "x" },   { "calibrate", "--target", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        char *argv[4] = { WRONG[i][0], WRONG[i][1], WRONG[i][2], NULL };
        assert_int_equal(calibrate_command(WRONG[i][2] != NULL ? 3 : 2, argv, "/nowhere"), 2);
    }
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(test_figures),       cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_little_memory), cmocka_unit_test(test_unknown_isa),
        cmocka_unit_test(test_gpu),           cmocka_unit_test(test_gpu_program_fails),
        cmocka_unit_test(test_gpu_no_program), cmocka_unit_test(test_nowhere_to_build),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(TESTS, make_folder, remove_folder);
}
