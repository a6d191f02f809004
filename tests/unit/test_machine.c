/*
** test_machine.c - every profile loads, wrong machines get their message.
**
** Every file of tests/bad-machines carries the message that it must cause in its first line;
** the hosts that some of them name lie in host/ beside them.
*/
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "gen.h"

#ifndef HI_SOURCE_DIR
#define HI_SOURCE_DIR "."
#endif

#define PROFILES HI_SOURCE_DIR "/specs/machine/"

static hi_machine load(const char *path, const char *host)
{
    hi_error e = { 0 };
    hi_machine m;

    if (machine_load(path, host, &m, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static hi_machine load_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return load(path, NULL);
}

/* ---- profiles ---- */

typedef struct card {
    const char *name, *host;
    int gib;
    double nominal, bandwidth; /* FLOP/s in bf16 with float32 sums, bytes/s */
} card;

static const card CARDS[] = {
    { "rtx3060-12g", "desktop_ddr5", 12, 25.5e12, 360e9 },
    { "rtx4070ti-16g", "desktop_ddr5", 16, 88.2e12, 672e9 },
    { "rtx4090", "epyc_rome", 24, 165.2e12, 1008e9 },
    { "rtx5090", "desktop_ddr5", 32, 209.5e12, 1792e9 },
    { "a100-80g", "epyc_rome", 79, 312e12, 2039e9 },
    { "h100", "epyc_genoa", 79, 989e12, 3350e9 },
    { "h200", "epyc_genoa", 139, 989e12, 4800e9 },
};

/* What kernels reach is a part of what the card can do, and not a small one. */
static void assert_part(double x, double of)
{
    assert_true(x <= of && x >= of / 3);
}

static void test_cards(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CARDS / sizeof *CARDS; i++) {
        const card *x = &CARDS[i];
        char path[512];
        hi_machine m;
        snprintf(path, sizeof path, PROFILES "%s.lua", x->name);
        m = load(path, NULL);
        assert_string_equal(m.name, x->name);
        assert_string_equal(m.host, x->host);
        assert_int_equal(m.memory, (int64_t)x->gib << 30);
        assert_true(m.reserve >= 512 << 20 && m.reserve <= 2048u << 20);
        assert_part(m.matmul, x->nominal);
        assert_part(m.attend, x->nominal);
        assert_part(m.read, x->bandwidth);
        assert_part(m.attend_read, x->bandwidth);
        assert_true(m.h2d >= 20e9 && m.h2d <= 64e9 && m.d2h == m.h2d);
        assert_true(m.both > 0.5 && m.both <= 1);
        assert_false(m.shared);
        assert_true(m.h2d < m.dram && m.dram < m.read);
    }
}

/* Every file of the folder is one of the above or 'cpu', and every host's is valid. */
static int count_profiles(const char *folder, bool hosts)
{
    char path[700];
    struct dirent *d;
    DIR *dir = opendir(folder);
    int n = 0;

    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL) {
        if (strstr(d->d_name, ".lua") == NULL)
            continue;
        snprintf(path, sizeof path, "%s%s", folder, d->d_name);
        if (hosts)
            load(PROFILES "rtx4090.lua", path);
        else
            load(path, NULL);
        n++;
    }
    closedir(dir);
    return n;
}

static void test_all_profiles(void **state)
{
    (void)state;
    assert_int_equal(count_profiles(PROFILES, false), sizeof CARDS / sizeof *CARDS + 1);
    assert_int_equal(count_profiles(PROFILES "host/", true), 3);
}

static void test_rtx4090(void **state)
{
    hi_machine m = load(PROFILES "rtx4090.lua", NULL);

    (void)state;
    assert_int_equal(m.reserve, 1 << 30);
    assert_true(m.matmul == 155e12 && m.attend == 158e12);
    assert_true(m.read == 907e9 && m.attend_read == 907e9);
    assert_true(m.h2d == 25e9 && m.both == 0.85 && m.step_s == 5e-6);
    assert_int_equal(m.ram, (int64_t)1 << 40);
    assert_true(m.dram == 160e9);
    assert_int_equal(m.cores, 64);
}

static void test_cpu(void **state)
{
    hi_machine m = load(PROFILES "cpu.lua", NULL);

    (void)state;
    assert_string_equal(m.name, "cpu");
    assert_string_equal(m.host, "cpu");
    assert_true(m.shared);
    assert_int_equal(m.memory, 0);
    assert_int_equal(m.reserve, 0);
    assert_int_equal(m.cores, 2);
    assert_true(m.copy > 0 && m.read < m.dram && m.attend <= 850e9 && m.matmul <= 770e9);
}

/* ---- hosts ---- */

/* Only the host's figures change. */
static void test_other_host(void **state)
{
    hi_machine own = load(PROFILES "rtx4090.lua", NULL);
    hi_machine m = load(PROFILES "rtx4090.lua", PROFILES "host/desktop_ddr5.lua");

    (void)state;
    assert_string_equal(m.host, "desktop_ddr5");
    assert_int_equal(m.ram, (int64_t)64 << 30);
    assert_true(m.dram == 70e9 && m.copy == 12e9);
    assert_int_equal(m.cores, 16);
    strcpy(m.host, own.host);
    memset(m.host + strlen(own.host), 0, sizeof m.host - strlen(own.host));
    m.ram = own.ram;
    m.dram = own.dram;
    m.copy = own.copy;
    m.cores = own.cores;
    assert_memory_equal(&m, &own, sizeof m);
}

static void test_other_host_of_inline(void **state)
{
    hi_machine m = load(PROFILES "cpu.lua", PROFILES "host/epyc_genoa.lua");

    (void)state;
    assert_string_equal(m.name, "cpu");
    assert_string_equal(m.host, "epyc_genoa");
    assert_true(m.shared && m.dram == 370e9);
}

static void expect(const char *path, const char *host, const char *want)
{
    hi_error e = { 0 };
    hi_machine m;

    assert_int_equal(machine_load(path, host, &m, &e), -1);
    if (strstr(e.text, want) == NULL)
        fail_msg("says '%s', without '%s'", e.text, want);
}

static void test_wrong_other_host(void **state)
{
    static const char BAD[] = HI_SOURCE_DIR "/tests/bad-machines/";
    static const char CARD[] = PROFILES "rtx4090.lua";
    char path[512], longer[300];

    (void)state;
    expect(CARD, PROFILES "host/absent.lua", "host/absent.lua: cannot be opened");
    expect(CARD, PROFILES "rtx5090.lua", "rtx5090.lua: attend = 197000000000000.0: unknown field");
    expect(CARD, "epyc_rome", "epyc_rome: a machine's file is called <name>.lua");
    snprintf(path, sizeof path, "%shost/no_copy.lua", BAD);
    load(CARD, path); /* there copies cost no core */
    expect(PROFILES "cpu.lua", path,
           "host/no_copy.lua: copy = 0: shared = true: copies take cores");
    memset(longer, 'a', sizeof longer);
    strcpy(longer + 252, ".lua");
    expect(CARD, longer, "...: path of 256 characters; at most 255");
    expect(longer, NULL, "...: path of 256 characters; at most 255");
    /* the field that is overruled must still be right */
    snprintf(path, sizeof path, "%shost_number.lua", BAD);
    expect(path, PROFILES "host/epyc_rome.lua", "host = 1: must be the name of a file");
    snprintf(path, sizeof path, "%shost_absent.lua", BAD);
    assert_string_equal(load(path, PROFILES "host/epyc_rome.lua").host, "epyc_rome");
}

/* ---- the format ---- */

#define RATES \
    "matmul = 1e12, attend = 2000000, read = 3e9, attend_read = 4e9, h2d = 5e9, d2h = 6e9,"

/* A measured file: limits of every range, whole numbers and floats where either is meant. */
static void test_measured(void **state)
{
    char dir[] = "/tmp/hi_machineXXXXXX", path[300];
    hi_machine m;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/my-box_2.lua", dir);
    m = load_text(path, "return { memory = 0, reserve = 0.0, both = 1, step_s = 0," RATES
                        "source = 'here', shared = true, host = { ram = 2^20, dram = 1e3,"
                        "copy = 7000, cores = 4096, source = [[\nand\nhere]] } }");
    assert_string_equal(m.name, "my-box_2");
    assert_string_equal(m.host, "my-box_2");
    assert_int_equal(m.memory, 0);
    assert_true(m.matmul == 1e12 && m.attend == 2e6 && m.read == 3e9 && m.attend_read == 4e9);
    assert_true(m.h2d == 5e9 && m.d2h == 6e9 && m.both == 1 && m.step_s == 0);
    assert_int_equal(m.ram, 1 << 20);
    assert_true(m.dram == 1e3 && m.copy == 7000 && m.shared);
    assert_int_equal(m.cores, 4096);
    m = load_text(path, "return { memory = 2^50, reserve = 1, both = 0.01, step_s = 1," RATES
                        "source = 'here', shared = false, host = { ram = 1 << 50, dram = 1e18,"
                        "copy = 0, cores = 1, source = 'here' } }");
    assert_int_equal(m.memory, (int64_t)1 << 50);
    assert_int_equal(m.ram, (int64_t)1 << 50);
    assert_false(m.shared);
    assert_int_equal(unlink(path), 0);
    expect(path, NULL, "/my-box_2.lua: cannot be opened");
    assert_int_equal(mkdir(path, 0700), 0);
    expect(path, NULL, "/my-box_2.lua: not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
    expect("", NULL, ": a machine's file is called <name>.lua");
    expect(".lua", NULL, ".lua: a machine's file is called <name>.lua");
    expect("a.txt", NULL, "a.txt: a machine's file is called <name>.lua");
}

/* Memory that runs out anywhere, for a while or for good, is an error that names the file. */
static void test_no_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        hi_error e;
        hi_machine m;
        long n = -1;
        for_ever = i == 1;
        do {
            memset(&e, 0, sizeof e);
            left = ++n;
            if (machine_load(PROFILES "rtx4090.lua", NULL, &m, &e) == 0)
                break;
            left = -1;
            assert_non_null(strstr(e.text, ".lua: "));
        } while (n < 10000);
        left = -1;
        assert_in_range(n, 2, 9999);
    }
}

/* ---- wrong machines ---- */

/* The message without the folder's name. */
static void shorten(char *out, const char *message, const char *dir)
{
    size_t n = strlen(dir);

    while (*message != '\0') {
        if (strncmp(message, dir, n) == 0)
            message += n;
        *out++ = *message++;
    }
    *out = '\0';
}

static void check_bad(const char *dir, const char *file)
{
    static const char MARK[] = "-- expect: ";
    char path[600], line[1200], got[1200], own[300];
    hi_error e = { 0 };
    hi_machine m, before;
    const char *text = got;
    FILE *f;

    snprintf(path, sizeof path, "%s%s", dir, file);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, MARK, sizeof MARK - 1) != 0)
        fail_msg("%s: no '%s' in its first line", path, MARK);
    memset(&before, 0x5a, sizeof before);
    m = before;
    if (machine_load(path, NULL, &m, &e) != -1)
        fail_msg("%s: was accepted", path);
    assert_memory_equal(&m, &before, sizeof m); /* filled on success only */
    shorten(got, e.text, dir);
    snprintf(own, sizeof own, "%s: ", file);
    if (strncmp(got, own, strlen(own)) == 0)
        text += strlen(own);
    if (strcmp(text, line + sizeof MARK - 1) != 0)
        fail_msg("%s:\n  says    %s\n  expects %s", path, text, line + sizeof MARK - 1);
}

static void test_bad(void **state)
{
    static const char DIR_NAME[] = HI_SOURCE_DIR "/tests/bad-machines/";
    struct dirent *d;
    int n = 0;
    DIR *dir = opendir(DIR_NAME);

    (void)state;
    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL) {
        size_t len = strlen(d->d_name);
        if (len < 4 || strcmp(d->d_name + len - 4, ".lua") != 0)
            continue;
        check_bad(DIR_NAME, d->d_name);
        n++;
    }
    closedir(dir);
    assert_true(n >= 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cards),      cmocka_unit_test(test_all_profiles),
        cmocka_unit_test(test_rtx4090),    cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_other_host), cmocka_unit_test(test_other_host_of_inline),
        cmocka_unit_test(test_measured),   cmocka_unit_test(test_wrong_other_host),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
