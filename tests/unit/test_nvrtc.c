/*
** test_nvrtc.c - kernels compiled in memory: what comes out, and what is said of what is wrong.
** Needs libnvrtc and nothing else of CUDA; without it the tests that compile are skipped. Linked
** with --wrap=dlopen.
*/
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "check.h"
#include "../../runtime/cuda/nvrtc.h"

static nvrtc *rt;
static char err[1024];

static const char KERNEL[] = "#include \"shape.h\"\n"
                             "extern \"C\" __global__ void k_scale(float *x)\n"
                             "{\n"
                             "    x[threadIdx.x] *= WIDTH * FACTOR;\n"
                             "}\n";
static const nvrtc_source SHAPE = { "shape.h", "#define WIDTH 3\n" };
static const char *const FACTOR = "FACTOR=2";

static nvrtc_program program(const char *text)
{
    return (nvrtc_program){ { "kernels.cu", text }, &SHAPE, 1, &FACTOR, 1 };
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

static void need_library(void)
{
    if (rt == NULL)
        skip();
}

static void expect(const char *text, const char *part)
{
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("'%s': does not hold '%s'", text != NULL ? text : "(nothing)", part);
}

static void compiles(void **state)
{
    nvrtc_program p = program(KERNEL);
    nvrtc_output out, again;

    (void)state;
    need_library();
    if (nvrtc_compile(rt, &p, "sm_90a", &out, err, sizeof err) != 0)
        fail_msg("%s", err);
    assert_true(out.bytes > 512);
    assert_memory_equal(out.cubin, "\177ELF", 4);
    expect(out.log, "Compiling entry function 'k_scale' for 'sm_90a'");
    assert_int_equal(nvrtc_compile(rt, &p, "sm_90a", &again, err, sizeof err), 0);
    assert_int_equal(again.bytes, out.bytes);
    assert_memory_equal(again.cubin, out.cubin, out.bytes);
    nvrtc_output_free(&again);
    nvrtc_output_free(&out);
    assert_null(out.cubin);
}

/* The program is wrong: the message names it, the log file and line. */
static void refused(const char *text, const char *in_log)
{
    nvrtc_program p = program(text);
    nvrtc_output out;

    need_library();
    assert_int_equal(nvrtc_compile(rt, &p, "sm_80", &out, err, sizeof err), -1);
    expect(err, "kernels.cu: does not compile for sm_80");
    expect(out.log, in_log);
    assert_null(out.cubin);
    nvrtc_output_free(&out);
}

static void syntax_error(void **state)
{
    (void)state;
    refused("extern \"C\" __global__ void k()\n{\n    int x = ;\n}\n", "kernels.cu(3): error");
}

static void header_missing(void **state)
{
    (void)state;
    refused("\n#include \"other.h\"\n",
            "kernels.cu(2): catastrophic error: cannot open source file \"other.h\"");
}

static void define_missing(void **state)
{
    nvrtc_program p = program(KERNEL);
    nvrtc_output out;

    (void)state;
    need_library();
    p.n_defines = 0;
    assert_int_equal(nvrtc_compile(rt, &p, "sm_80", &out, err, sizeof err), -1);
    expect(out.log, "\"FACTOR\" is undefined");
    nvrtc_output_free(&out);
}

static void unknown_archs(void **state)
{
    static const char *const WRONG[] = { "sm_70",      "sm_80a", "sm_90f", "sm_90ab",
                                         "sm_",        "90",     "",       "sm_-90",
                                         "compute_90", "sm_090", "sm_99999999999999999999" };
    nvrtc_program p = program(KERNEL);
    nvrtc_output out;

    (void)state;
    need_library();
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        assert_int_equal(nvrtc_compile(rt, &p, WRONG[i], &out, err, sizeof err), -1);
        expect(err, "does not know it; it knows sm_");
        expect(err, " sm_90 ");
        assert_null(out.cubin);
        assert_null(out.log);
    }
    assert_int_equal(nvrtc_check_arch(rt, "sm_90a", err, sizeof err), 0);
    assert_int_equal(nvrtc_check_arch(rt, "sm_120", err, sizeof err), 0);
    char tiny[8];
    assert_int_equal(nvrtc_check_arch(rt, "sm_70", tiny, sizeof tiny), -1);
    assert_string_equal(tiny, "sm_70: ");
}

/* ---- loading ---- */

/* What the loader is made to find: everything; nothing; the C library under that name; all but
   the second half. */
static enum { ALL, NOTHING, OTHER, HALF } loader;
static char tried[16][256];
static int n_tried;

void *__real_dlopen(const char *path, int flags);
void *__wrap_dlopen(const char *path, int flags);

void *__wrap_dlopen(const char *path, int flags)
{
    if (n_tried < 16)
        snprintf(tried[n_tried++], sizeof tried[0], "%s", path);
    switch (loader) {
    case ALL:
        return __real_dlopen(path, flags);
    case OTHER:
        return __real_dlopen("libc.so.6", flags);
    case HALF:
        return __real_dlopen(strstr(path, "builtins") == NULL ? path : "/absent/half.so", flags);
    default:
        return __real_dlopen("/absent/libnvrtc.so", flags);
    }
}

static void open_fails(int how, const char *message)
{
    const char *home = getenv("CUDA_HOME");
    char *saved = home != NULL ? strdup(home) : NULL;

    loader = how;
    n_tried = 0;
    setenv("CUDA_HOME", "/absent", 1);
    nvrtc *opened = nvrtc_open(NULL, err, sizeof err);
    loader = ALL;
    unsetenv("CUDA_HOME");
    if (saved != NULL)
        setenv("CUDA_HOME", saved, 1);
    free(saved);
    assert_null(opened);
    expect(err, message);
}

static void library_missing(void **state)
{
    (void)state;
    open_fails(NOTHING, "libnvrtc.so"); /* not found, or found and not loaded */
    assert_string_equal(tried[0], "libnvrtc.so.13");
    open_fails(OTHER, "libnvrtc.so: has no nvrtcVersion; CUDA 12.8 or newer is needed");
    if (rt != NULL)
        open_fails(HALF, "cannot open shared object file");
}

/* A folder need not be on the loader's path: both halves are then opened by their paths, and the
   second is taken from where the first is in any case. */
static void both_halves(void **state)
{
    char half[64];

    (void)state;
    need_library();
    n_tried = 0;
    nvrtc *opened = nvrtc_open(NULL, err, sizeof err);
    assert_non_null(opened);
    assert_string_equal(tried[0], "libnvrtc.so.13");
    snprintf(half, sizeof half, "/libnvrtc-builtins.so.%s", nvrtc_version(opened));
    expect(tried[n_tried - 1], half);
    assert_int_equal(tried[n_tried - 1][0], '/');
    nvrtc_close(opened);
}

/* ---- hi-gen --check ---- */

static char folder[] = "/tmp/test_nvrtc.XXXXXX";
static FILE *said;
static char *told;
static size_t n_told;

static void write_text(const char *name, const char *body)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(body, f);
    assert_int_equal(fclose(f), 0);
}

static const char *const FILES[] = { "model/shape.h", "model/kernels.cu", "runtime/cuda/kernels.cu",
                                     "runtime/cuda/half.cuh", "runtime/cuda/shape.h" };

static int make_folder(void **state)
{
    static const char *const FOLDERS[] = { "model", "runtime", "runtime/cuda" };
    char path[256];

    (void)state;
    strcpy(strrchr(folder, '.') + 1, "XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FOLDERS[i]);
        if (mkdir(path, 0700) != 0)
            return -1;
    }
    write_text("model/shape.h", "#define WIDTH 5\n");
    write_text("runtime/cuda/shape.h", "#error the model's own shape.h comes first\n");
    write_text("runtime/cuda/half.cuh",
               "#include \"shape.h\"\n__device__ float half_of(float x) { return x / WIDTH; }\n");
    write_text("runtime/cuda/kernels.cu",
               "#include \"half.cuh\"\n"
               "extern \"C\" __global__ void k_a(float *x)\n"
               "{\n"
               "    __shared__ float s[64];\n"
               "    s[threadIdx.x] = half_of(x[threadIdx.x]);\n"
               "    __syncthreads();\n"
               "    x[threadIdx.x] = s[63 - threadIdx.x];\n"
               "}\n"
               "extern \"C\" __global__ void __launch_bounds__(1024) k_b(float *x, int n)\n"
               "{\n"
               "    float v[200];\n"
               "    for (int i = 0; i < 200; i++) v[i] = x[i * n];\n"
               "    for (int k = 0; k < n; k++)\n"
               "        for (int i = 0; i < 200; i++) v[i] *= v[(i * 7 + k) % 200];\n"
               "    for (int i = 0; i < 200; i++) x[i * n] = v[i];\n"
               "}\n");
    return 0;
}

static int remove_folder(void **state)
{
    static const char *const FOLDERS[] = { "runtime/cuda", "runtime", "model", "." };
    char path[256];

    (void)state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FILES[i]);
        unlink(path);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FOLDERS[i]);
        rmdir(path);
    }
    free(told);
    told = NULL;
    return rmdir(folder);
}

/* What --check prints in 'told', and its message in e. */
static int check(const char *model, const char *archs, hi_error *e)
{
    char path[256];

    free(told);
    snprintf(path, sizeof path, "%s/%s", folder, model);
    said = open_memstream(&told, &n_told);
    assert_non_null(said);
    e->text[0] = '\0';
    int rc = check_kernels(path, folder, archs, said, e);
    fclose(said);
    return rc;
}

/* The figures in the line that begins with a kernel's name. */
static int figures(const char *from, const char *kernel, int *f)
{
    const char *line = strstr(from, kernel);

    assert_non_null(line);
    return sscanf(line + strlen(kernel), "%d %d %d %d %d %d", f, f + 1, f + 2, f + 3, f + 4, f + 5);
}

static void check_tells(void **state)
{
    hi_error e;
    int a[6], b[6];

    (void)state;
    need_library();
    if (check("model", "sm_80,sm_90a", &e) != 0)
        fail_msg("%s", e.text);
    expect(told, "\nsm_80  registers  shared  stack  spill stores  spill loads  constant\nk_a ");
    const char *second = strstr(told, "\nsm_90a ");
    assert_non_null(second);
    assert_int_equal(figures(told, "\nk_a", a), 6);
    assert_int_equal(figures(told, "\nk_b", b), 6);
    assert_in_range(a[0], 4, 32);
    assert_int_equal(a[1], 256);
    assert_true(a[2] == 0 && a[3] == 0 && a[4] == 0);
    assert_in_range(b[0], 16, 64);   /* 1024 threads leave it 64 */
    assert_int_equal(b[1], 0);
    assert_true(b[2] >= 800 && b[3] > 0 && b[4] > 0);
    assert_true(b[5] > a[5] && a[5] > 0);
    a[5] = -1;
    assert_true(figures(second, "\nk_a", a) >= 5 && a[5] != 0); /* "-" where it is not told */
    assert_int_equal(a[1], 256);
}

static void check_own_kernels(void **state)
{
    static const char *const ARCHS[] = { "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120" };
    hi_error e;

    (void)state;
    need_library();
    write_text("model/kernels.cu",
               "#include \"half.cuh\"\nextern \"C\" __global__ void k_own() {}\n");
    assert_int_equal(check("model", "all", &e), 0);
    for (size_t i = 0; i < sizeof ARCHS / sizeof *ARCHS; i++)
        expect(told, ARCHS[i]);
    expect(told, "k_own");
    assert_null(strstr(told, "k_a"));
    write_text("model/kernels.cu", "#include \"half.cuh\"\nint x = ;\n");
    assert_int_equal(check("model", "sm_80", &e), -1);
    expect(e.text, "--check kernels.cu: does not compile for sm_80");
    expect(told, "kernels.cu(2): error");
    write_text("model/kernels.cu", "#include \"half.cuh\"\n");
    assert_int_equal(check("model", "sm_80", &e), -1);
    expect(e.text, "exports no kernels");
    write_text("model/kernels.cu", "");
    assert_int_equal(check("model", "sm_80", &e), -1);
    expect(e.text, "exports no kernels");
}

static void check_wrong_input(void **state)
{
    hi_error e;

    (void)state;
    assert_int_equal(check("absent", "sm_80", &e), -1);
    expect(e.text, "absent/shape.h: No such file or directory");
    assert_int_equal(check("runtime", "sm_80", &e), -1);
    expect(e.text, "the folder of an emitted model is needed");
    need_library();
    assert_int_equal(check("model", "sm_80,sm_70", &e), -1);
    expect(e.text, "--check sm_70: NVRTC");
    assert_string_equal(told, "");   /* before anything was compiled */
    assert_int_equal(check("model", "sm_80,", &e), -1);
    expect(e.text, "write sm_80,sm_90a or all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiles),
        cmocka_unit_test(syntax_error),
        cmocka_unit_test(header_missing),
        cmocka_unit_test(define_missing),
        cmocka_unit_test(unknown_archs),
        cmocka_unit_test(library_missing),
        cmocka_unit_test(both_halves),
        cmocka_unit_test_setup_teardown(check_tells, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(check_own_kernels, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(check_wrong_input, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, open_library, close_library);
}
