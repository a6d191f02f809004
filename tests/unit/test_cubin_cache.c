/*
** test_cubin_cache.c - compiled kernels are kept and found again; what is not exactly what was
** kept is compiled anew, and a folder that cannot be used is said and done without. Linked with
** --wrap of malloc, calloc and realloc.
*/
#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../runtime/cuda/cubin_cache.h"
#include "failing_alloc.h"

static nvrtc *rt;
static char err[1024], folder[64], file[512];
static char *told;

static const nvrtc_source HEADERS[] = { { "shape.h", "#define WIDTH 3\n" }, { "other.h", "\n" } };
static const char *const DEFINES[] = { "FACTOR=2", "EXTRA" };

static nvrtc_program program(void)
{
    static const char TEXT[] = "#include \"shape.h\"\n"
                               "extern \"C\" __global__ void k(float *x)\n"
                               "{\n"
                               "    *x *= WIDTH * FACTOR;\n"
                               "}\n";
    return (nvrtc_program){ { "kernels.cu", TEXT }, HEADERS, 2, DEFINES, 2 };
}

static int open_library(void **state)
{
    (void)state;
    rt = nvrtc_open(NULL, err, sizeof err);
    if (rt == NULL)
        fprintf(stderr, "tests that compile are skipped: %s\n", err);
    return 0;
}

static int close_library(void **state)
{
    (void)state;
    nvrtc_close(rt);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_cubin.XXXXXX");
    file[0] = '\0';
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    free(told);
    told = NULL;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void need_library(void)
{
    if (rt == NULL)
        skip();
}

static void expect(const char *part)
{
    if (strstr(told, part) == NULL)
        fail_msg("'%s': does not hold '%s'", told, part);
}

/* Builds for sm_80 with the cache in 'where'; what the log says is in 'told'. */
static cubin build_in(const char *where, const nvrtc_program *p)
{
    size_t n;
    cubin c;

    free(told);
    FILE *log = open_memstream(&told, &n);
    assert_non_null(log);
    int rc = cubin_build(rt, p, "sm_80", where, &c, log, err, sizeof err);
    fclose(log);
    if (rc != 0)
        fail_msg("%s", err);
    assert_memory_equal(c.data, "\177ELF", 4);
    assert_true(c.seconds >= 0 && c.seconds < 100);
    return c;
}

/* The only file in the folder: its path in 'file'. */
static void find_file(const char *where)
{
    DIR *d = opendir(where);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", where, e->d_name);
            n++;
        }
    closedir(d);
    assert_int_equal(n, 1);
}

static void same(const cubin *a, const cubin *b)
{
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->data, b->data, a->bytes);
}

static void hashes(void **state)
{
    static const uint8_t NONE[] = { 0x6c, 0x62, 0x27, 0x2e, 0x07, 0xbb, 0x01, 0x42,
                                    0x62, 0xb8, 0x21, 0x75, 0x62, 0x95, 0xc5, 0x8d };
    static const uint8_t FOOBAR[] = { 0x34, 0x3e, 0x16, 0x62, 0x79, 0x3c, 0x64, 0xbf,
                                      0x6f, 0x0d, 0x35, 0x97, 0xba, 0x44, 0x6f, 0x18 };
    cubin_key none = cubin_hash("", 0), foobar = cubin_hash("foobar", 6);

    (void)state;
    assert_memory_equal(none.byte, NONE, 16);
    assert_memory_equal(foobar.byte, FOOBAR, 16);
}

/* Each part of a program changes its key, and so does where a part ends. */
static void keys(void **state)
{
    static const char *const TWO[] = { "FACTOR=3", "EXTRA" };
    static const nvrtc_source CHANGED[] = { { "shape.h", "int width;\n" }, { "other.h", "\n" } };
    static const nvrtc_source RENAMED[] = { { "shape.hh", "#define WIDTH 3\n" },
                                            { "other.h", "\n" } };
    enum { N = 9 };
    nvrtc_program p[N];
    cubin_key k[N];

    (void)state;
    need_library();
    for (int i = 0; i < N; i++)
        p[i] = program();
    p[1].defines = TWO;
    p[2].n_defines = 1;
    p[3].headers = CHANGED;
    p[4].headers = RENAMED;
    p[5].n_headers = 1;
    p[6].main.text = "int x;\n";
    p[7].main.name = "other.cu";
    for (int i = 0; i < N; i++)
        k[i] = cubin_key_of(rt, &p[i], i == 8 ? "sm_80a" : "sm_80");
    for (int i = 0; i < N; i++)
        for (int m = 0; m < i; m++)
            assert_memory_not_equal(&k[i], &k[m], sizeof k[i]);
    nvrtc_program again = program();
    cubin_key first = cubin_key_of(rt, &again, "sm_80");
    assert_memory_equal(&first, &k[0], sizeof first);
}

static void kept_and_found(void **state)
{
    nvrtc_program p = program();
    char inner[128];

    (void)state;
    need_library();
    snprintf(inner, sizeof inner, "%s/a/b", folder); /* made with the folders above it */
    cubin made = build_in(inner, &p);
    assert_false(made.cached);
    expect("kernels: compiled for sm_80 in ");
    expect(" s (NVRTC ");
    expect("), kept in ");
    expect(inner);
    cubin found = build_in(inner, &p);
    assert_true(found.cached);
    assert_string_equal(told, "kernels: sm_80 from the cache\n");
    same(&made, &found);
    find_file(inner);
    p.n_headers = 1;
    cubin other = build_in(inner, &p);
    assert_false(other.cached);
    cubin_free(&other);
    cubin_free(&found);
    cubin_free(&made);
    assert_null(made.data);
}

/* What lies there instead of the file: it is said, not used, and replaced. */
static void replaced(const char *said, const cubin *made)
{
    nvrtc_program p = program();
    cubin again = build_in(folder, &p);

    assert_false(again.cached);
    expect(said);
    expect("not used\nkernels: compiled for sm_80");
    same(&again, made);
    cubin_free(&again);
    again = build_in(folder, &p);
    assert_true(again.cached);
    same(&again, made);
    cubin_free(&again);
}

static void flip(long at)
{
    FILE *f = fopen(file, "r+b");

    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    assert_int_equal(fclose(f), 0);
}

static void write_bytes(const char *how, const char *bytes)
{
    FILE *f = fopen(file, how);

    assert_non_null(f);
    fputs(bytes, f);
    assert_int_equal(fclose(f), 0);
}

/* What is said of a flipped bit: magic, bytes, key, sum. */
static const char *header_fault(long at)
{
    if (at < 8)
        return "is no kept cubin";
    if (at < 16)
        return " is ";               /* cut short or damaged: it depends on which bit */
    return at < 32 ? "holds other kernels" : "is damaged";
}

static void damaged_files(void **state)
{
    nvrtc_program p = program();
    struct stat st;

    (void)state;
    need_library();
    cubin made = build_in(folder, &p);
    find_file(folder);
    assert_int_equal(stat(file, &st), 0);
    for (long keep = st.st_size - 1; keep > 0; keep /= 2) {
        assert_int_equal(truncate(file, keep), 0);
        replaced(keep < 48 ? "is no kept cubin" : "is cut short", &made);
    }
    write_bytes("wb", "");
    replaced("is no kept cubin", &made);
    write_bytes("wb", "what another program has put there, long enough for a header and more\n");
    replaced("is no kept cubin", &made);
    write_bytes("ab", "x");
    replaced("is damaged", &made);
    for (long at = 0; at < 48; at += 3) {
        flip(at);
        replaced(header_fault(at), &made);
    }
    flip(48);
    replaced("is damaged", &made);
    flip(-1);
    replaced("is damaged", &made);
    cubin_free(&made);
}

/* A cubin of other kernels under this name. */
static void foreign_file(void **state)
{
    nvrtc_program p = program();
    char mine[sizeof file];

    (void)state;
    need_library();
    cubin made = build_in(folder, &p);
    find_file(folder);
    strcpy(mine, file);
    assert_int_equal(unlink(mine), 0);
    p.n_headers = 1;
    cubin other = build_in(folder, &p);
    find_file(folder);
    assert_int_equal(rename(file, mine), 0);
    replaced("holds other kernels", &made);
    cubin_free(&other);
    cubin_free(&made);
}

static void not_kept(const char *where, const char *why)
{
    nvrtc_program p = program();
    cubin c = build_in(where, &p);

    assert_false(c.cached);
    expect("not kept: ");
    expect(why);
    cubin_free(&c);
}

/* A folder where the file should be: nothing is left beside it. */
static void name_taken(void **state)
{
    nvrtc_program p = program();
    char inner[sizeof file + 8];

    (void)state;
    need_library();
    cubin c = build_in(folder, &p);
    cubin_free(&c);
    find_file(folder);
    assert_int_equal(unlink(file), 0);
    snprintf(inner, sizeof inner, "%s/inner", file);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    not_kept(folder, "directory");
    find_file(folder);
}

/* Also as root, whom modes do not keep out. */
static void unwritable_folders(void **state)
{
    char path[256], *home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    char *cache = getenv("XDG_CACHE_HOME") != NULL ? strdup(getenv("XDG_CACHE_HOME")) : NULL;

    (void)state;
    if (rt == NULL) {
        free(home);
        free(cache);
        skip();
    }
    not_kept("/proc/hi-gen", "/proc/hi-gen: ");
    snprintf(path, sizeof path, "%s/file", folder);
    strcpy(file, path);
    write_bytes("wb", "no folder");
    not_kept(path, "Not a directory");
    strcat(path, "/below");
    not_kept(path, "Not a directory");
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    not_kept(NULL, "neither HOME nor XDG_CACHE_HOME is set");
    setenv("XDG_CACHE_HOME", "relative", 1);
    not_kept(NULL, "neither HOME nor XDG_CACHE_HOME is set");
    if (home != NULL)
        setenv("HOME", home, 1);
    if (cache != NULL)
        setenv("XDG_CACHE_HOME", cache, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(home);
    free(cache);
}

/* The user's cache folder: what XDG_CACHE_HOME says, or ~/.cache. In a child, whose variables
   are its own. */
static void user_folder(void **state)
{
    static const char *const VARIABLE[] = { "XDG_CACHE_HOME", "HOME" };
    static const char *const MADE[] = { "hi-gen", ".cache/hi-gen" };
    nvrtc_program p = program();
    char path[128];
    int status;

    (void)state;
    need_library();
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            cubin c;
            unsetenv("XDG_CACHE_HOME");
            setenv(VARIABLE[i], folder, 1);
            _exit(cubin_build(rt, &p, "sm_80", NULL, &c, NULL, err, sizeof err) != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        snprintf(path, sizeof path, "%s/%s", folder, MADE[i]);
        find_file(path);
    }
}

static void forget_all(void)
{
    DIR *d = opendir(folder);

    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        size_t n = strlen(e->d_name);
        if (n > 6 && strcmp(e->d_name + n - 6, ".cubin") == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

/* Builds again and again, some of them after what is kept was removed; nothing that another
   program does at the same time may be seen half done. */
static int build_often(bool forget)
{
    nvrtc_program p = program();
    cubin c;

    for (int i = 0; i < 20; i++) {
        FILE *log = tmpfile();
        char line[256];
        if (log == NULL || cubin_build(rt, &p, "sm_80", folder, &c, log, err, sizeof err) != 0)
            return 1;
        rewind(log);
        while (fgets(line, sizeof line, log) != NULL)
            if (strstr(line, "not ") != NULL) /* not used, not kept */
                return 2;
        fclose(log);
        cubin_free(&c);
        if (forget && i % 4 == 0)
            forget_all();
    }
    return 0;
}

/* Programs that start together: each gets its kernels, and one whole file is left. */
static void together(void **state)
{
    enum { PROGRAMS = 6 };
    nvrtc_program p = program();
    pid_t pid[PROGRAMS];
    int status;

    (void)state;
    need_library();
    for (int i = 0; i < PROGRAMS; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            _exit(build_often(i % 2 == 0));
    }
    for (int i = 0; i < PROGRAMS; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    cubin c = build_in(folder, &p);
    cubin_free(&c);
    find_file(folder);
    c = build_in(folder, &p);
    assert_true(c.cached);
    cubin_free(&c);
}

/* A program that does not compile leaves nothing behind, and the log has NVRTC's. */
static void wrong_programs(void **state)
{
    nvrtc_program p = program();
    size_t n;
    cubin c;

    (void)state;
    need_library();
    p.main.text = "\nint x = ;\n";
    FILE *log = open_memstream(&told, &n);
    assert_non_null(log);
    assert_int_equal(cubin_build(rt, &p, "sm_80", folder, &c, log, err, sizeof err), -1);
    assert_non_null(strstr(err, "does not compile for sm_80"));
    p = program();
    assert_int_equal(cubin_build(rt, &p, "sm_1", folder, &c, log, err, sizeof err), -1);
    assert_non_null(strstr(err, "does not know it"));
    fclose(log);
    expect("kernels.cu(2): error");
    assert_null(c.data);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
}

/* Memory runs out at the n-th request: an error that says so, or what was kept is not read. */
static void no_memory(void **state)
{
    nvrtc_program p = program();
    int failed = 0;

    (void)state;
    need_library();
    for (long n = 0;; n++) {
        left = n;
        nvrtc *opened = nvrtc_open(NULL, err, sizeof err);
        bool ran_out = left < 0;
        left = -1;
        nvrtc_close(opened);
        assert_true(opened != NULL || strstr(err, "out of memory") != NULL);
        if (!ran_out)
            break;
        failed++;
    }
    for (long n = 0;; n++) {
        cubin c;
        left = n;
        int rc = cubin_build(rt, &p, "sm_80", folder, &c, NULL, err, sizeof err);
        bool ran_out = left < 0;
        left = -1;
        assert_int_equal(rc == 0, c.data != NULL);
        assert_true(rc == 0 || strstr(err, "out of memory") != NULL);
        cubin_free(&c);
        if (!ran_out)
            break;
        failed++;
    }
    assert_true(failed >= 10);
    cubin c = build_in(folder, &p);
    cubin_free(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes), cmocka_unit_test(keys), TEST(kept_and_found),
        TEST(damaged_files),      TEST(foreign_file),     TEST(unwritable_folders),
        TEST(user_folder),        TEST(together),         TEST(wrong_programs),
        TEST(no_memory),          TEST(name_taken),
    };
    return cmocka_run_group_tests(tests, open_library, close_library);
}
