/*
** nvrtc.c - kernels compiled where they are to run.
**
** NVRTC is a library of 110 MB which needs no driver, and most programs never need it: it is
** loaded by name by those that do. The prototypes below have been its own since CUDA 11.1.
*/
#include "nvrtc.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LEN = 4096, VERSION_LEN = 32, ERROR_COMPILATION = 6 };

/* Once loaded it stays: it frees nothing that it keeps for itself, and would again each time. */
enum { LOAD = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE };

const char *const NVRTC_OPTION[NVRTC_OPTIONS] = {
    "-std=c++17",
    "-default-device",               /* a function without a mark is the device's */
    "--ptxas-options=-v",            /* registers and spills, in the log */
};

/* NVRTC's functions: result, name, arguments. A result of 0 is success. */
#define CALLS(F)                                                                                   \
    F(int, Version, (int *major, int *minor))                                                      \
    F(int, GetNumSupportedArchs, (int *n))                                                         \
    F(int, GetSupportedArchs, (int *archs))                                                        \
    F(const char *, GetErrorString, (int result))                                                  \
    F(int, CreateProgram,                                                                          \
      (void **prog, const char *text, const char *name, int n_headers, const char *const *headers, \
       const char *const *names))                                                                  \
    F(int, DestroyProgram, (void **prog))                                                          \
    F(int, CompileProgram, (void *prog, int n_options, const char *const *options))                \
    F(int, GetProgramLogSize, (void *prog, size_t *bytes))                                         \
    F(int, GetProgramLog, (void *prog, char *log))                                                 \
    F(int, GetCUBINSize, (void *prog, size_t *bytes))                                              \
    F(int, GetCUBIN, (void *prog, char *cubin))

#define MEMBER(result, name, arguments) result(*name) arguments;
#define SYMBOL(result, name, arguments) { "nvrtc" #name, offsetof(struct nvrtc, name) },

struct nvrtc {
    void *library, *builtins;
    char version[VERSION_LEN];
    int n_archs, *archs;             /* (n_archs) 80 stands for sm_80 */
    CALLS(MEMBER)
};

static const struct {
    const char *name;
    size_t at;                       /* of its pointer in struct nvrtc */
} SYMBOLS[] = { CALLS(SYMBOL) };

static int fail(char *err, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(char *err, size_t n, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(err, n, fmt, args);
    va_end(args);
    return -1;
}

/* ---- loading ---- */

/* The library of that name in a toolkit's folder. One that is there and cannot be loaded leaves
   the reason in 'why'. */
static void *load_from(const char *toolkit, const char *name, char *why, size_t n)
{
    static const char *const LIBS[] = { "lib64", "lib" };
    void *library = NULL;

    for (int i = 0; i < 2 && library == NULL && toolkit != NULL && toolkit[0] != '\0'; i++) {
        char path[PATH_LEN];
        if (snprintf(path, sizeof path, "%s/%s/%s", toolkit, LIBS[i], name) >= (int)sizeof path ||
            access(path, F_OK) != 0)
            continue;
        library = dlopen(path, LOAD);
        if (library == NULL)
            fail(why, n, "NVRTC: %s", dlerror());
    }
    return library;
}

static const char NOT_FOUND[] =
    "libnvrtc.so.13 not found: not on the loader's path, nor in lib64 of $CUDA_HOME, $CUDA_PATH "
    "or /usr/local/cuda; install CUDA 13, or what is needed of it by ./toolkit.sh FOLDER, and set "
    "CUDA_HOME to where it is";

/* The version that this was tested with, wherever it is, before any other. */
static void *load(const char *toolkit, char *err, size_t n)
{
    static const char *const NAMES[] = { "libnvrtc.so.13", "libnvrtc.so" };
    const char *places[] = { getenv("CUDA_HOME"), getenv("CUDA_PATH"), toolkit, "/usr/local/cuda" };
    char why[PATH_LEN] = "";
    void *library = NULL;

    for (int i = 0; i < 2 && library == NULL; i++) {
        library = dlopen(NAMES[i], LOAD);
        for (int k = 0; k < 4 && library == NULL; k++)
            library = load_from(places[k], NAMES[i], why, sizeof why);
    }
    if (library == NULL)
        fail(err, n, "%s", why[0] != '\0' ? why : NOT_FOUND);
    return library;
}

static int find_symbols(nvrtc *rt, char *err, size_t n)
{
    for (size_t i = 0; i < sizeof SYMBOLS / sizeof *SYMBOLS; i++) {
        void *f = dlsym(rt->library, SYMBOLS[i].name);
        if (f == NULL)
            return fail(err, n, "libnvrtc.so: has no %s; CUDA 12.8 or newer is needed",
                        SYMBOLS[i].name);
        memcpy((char *)rt + SYMBOLS[i].at, &f, sizeof f);
    }
    return 0;
}

/* NVRTC asks the loader for its second half by bare name, which fails where the folder is not on
   the loader's path, or finds another version's: the one beside it is loaded first. */
static int load_builtins(nvrtc *rt, char *err, size_t n)
{
    char path[PATH_LEN];
    Dl_info info;

    if (dladdr(dlsym(rt->library, "nvrtcVersion"), &info) == 0)
        return fail(err, n, "NVRTC: the loader does not tell where it is");
    const char *slash = strrchr(info.dli_fname, '/');
    int folder = slash != NULL ? (int)(slash + 1 - info.dli_fname) : 0;
    if (snprintf(path, sizeof path, "%.*slibnvrtc-builtins.so.%s", folder, info.dli_fname,
                 rt->version) >= (int)sizeof path)
        return fail(err, n, "%s: path too long", info.dli_fname);
    rt->builtins = dlopen(path, LOAD);
    return rt->builtins != NULL ? 0 : fail(err, n, "NVRTC %s: %s", rt->version, dlerror());
}

static int ask(nvrtc *rt, char *err, size_t n)
{
    int major, minor, rc = rt->Version(&major, &minor);

    if (rc == 0)
        rc = rt->GetNumSupportedArchs(&rt->n_archs);
    if (rc != 0)
        return fail(err, n, "NVRTC: %s", rt->GetErrorString(rc));
    snprintf(rt->version, sizeof rt->version, "%d.%d", major, minor);
    rt->archs = malloc((size_t)rt->n_archs * sizeof *rt->archs);
    if (rt->archs == NULL)
        return fail(err, n, "NVRTC: out of memory");
    rc = rt->GetSupportedArchs(rt->archs);
    return rc == 0 ? load_builtins(rt, err, n) : fail(err, n, "NVRTC: %s", rt->GetErrorString(rc));
}

nvrtc *nvrtc_open(const char *toolkit, char *err, size_t n)
{
    nvrtc *rt = calloc(1, sizeof *rt);

    if (rt == NULL) {
        fail(err, n, "NVRTC: out of memory");
        return NULL;
    }
    rt->library = load(toolkit, err, n);
    if (rt->library == NULL || find_symbols(rt, err, n) != 0 || ask(rt, err, n) != 0) {
        nvrtc_close(rt);
        return NULL;
    }
    return rt;
}

void nvrtc_close(nvrtc *rt)
{
    if (rt == NULL)
        return;
    if (rt->library != NULL)
        dlclose(rt->library);
    if (rt->builtins != NULL)
        dlclose(rt->builtins);
    free(rt->archs);
    free(rt);
}

const char *nvrtc_version(const nvrtc *rt)
{
    return rt->version;
}

/* ---- architectures ---- */

/* "sm_90a": number and suffix. Features of one chip alone (a) came with sm_90, those of a family
   (f) with sm_100. Returns 0, or -1 if it is not written so. */
static int parse_arch(const char *arch, int *number)
{
    char *end;

    if (strncmp(arch, "sm_", 3) != 0 || arch[3] < '1' || arch[3] > '9')
        return -1;
    long v = strtol(arch + 3, &end, 10);
    if (v > 9999 || (strcmp(end, "") != 0 && (strcmp(end, "a") != 0 || v < 90) &&
                     (strcmp(end, "f") != 0 || v < 100)))
        return -1;
    *number = (int)v;
    return 0;
}

int nvrtc_check_arch(const nvrtc *rt, const char *arch, char *err, size_t n)
{
    int number, used;

    if (parse_arch(arch, &number) == 0)
        for (int i = 0; i < rt->n_archs; i++)
            if (rt->archs[i] == number)
                return 0;
    used = snprintf(err, n, "%s: NVRTC %s does not know it; it knows", arch, rt->version);
    for (int i = 0; i < rt->n_archs && used >= 0 && (size_t)used < n; i++)
        used += snprintf(err + used, n - (size_t)used, " sm_%d", rt->archs[i]);
    return -1;
}

/* ---- compiling ---- */

/* The program as NVRTC takes it: parallel arrays in one block. */
typedef struct arguments {
    const char **texts, **names;     /* (n_headers) */
    char **options;                  /* (n_options) */
    int n_options;
} arguments;

static void arguments_free(arguments *a)
{
    for (int i = 0; a->options != NULL && i < a->n_options; i++)
        free(a->options[i]);
    free(a->options);
    free(a->texts);
    free(a->names);
}

static char *joined(const char *first, const char *second)
{
    size_t n = strlen(first) + strlen(second) + 1;
    char *s = malloc(n);

    if (s != NULL)
        snprintf(s, n, "%s%s", first, second);
    return s;
}

/* Returns 0, or -1 without memory; to be freed in any case. */
static int arguments_make(arguments *a, const nvrtc_program *p, const char *arch)
{
    size_t headers = (size_t)p->n_headers + 1;

    *a = (arguments){ .n_options = NVRTC_OPTIONS + 1 + p->n_defines };
    a->texts = calloc(headers, sizeof *a->texts);
    a->names = calloc(headers, sizeof *a->names);
    a->options = calloc((size_t)a->n_options, sizeof *a->options);
    if (a->texts == NULL || a->names == NULL || a->options == NULL)
        return -1;
    for (int i = 0; i < p->n_headers; i++) {
        a->texts[i] = p->headers[i].text;
        a->names[i] = p->headers[i].name;
    }
    for (int i = 0; i < a->n_options; i++) {
        int k = i - NVRTC_OPTIONS;
        a->options[i] = k < 0    ? joined(NVRTC_OPTION[i], "")
                        : k == 0 ? joined("--gpu-architecture=", arch)
                                 : joined("-D", p->defines[k - 1]);
        if (a->options[i] == NULL)
            return -1;
    }
    return 0;
}

/* Returns 0, or the result of the call that failed. */
static int take_log(const nvrtc *rt, void *prog, nvrtc_output *out)
{
    size_t bytes = 0;
    int rc = rt->GetProgramLogSize(prog, &bytes);

    if (rc == 0 && (out->log = calloc(1, bytes + 1)) != NULL)
        rc = rt->GetProgramLog(prog, out->log);
    return rc;
}

static int take_cubin(const nvrtc *rt, void *prog, nvrtc_output *out)
{
    int rc = rt->GetCUBINSize(prog, &out->bytes);

    if (rc == 0 && (out->cubin = malloc(out->bytes)) != NULL)
        rc = rt->GetCUBIN(prog, out->cubin);
    return rc;
}

static int compile(const nvrtc *rt, void *prog, const arguments *a, const char *what,
                   const char *arch, nvrtc_output *out, char *err, size_t n)
{
    int rc = rt->CompileProgram(prog, a->n_options, (const char *const *)a->options);
    int log = take_log(rt, prog, out);

    if (rc == ERROR_COMPILATION)
        return fail(err, n, "%s: does not compile for %s (NVRTC %s)", what, arch, rt->version);
    if (rc == 0)
        rc = log != 0 ? log : take_cubin(rt, prog, out);
    if (rc != 0)
        return fail(err, n, "%s: NVRTC %s for %s: %s", what, rt->version, arch,
                    rt->GetErrorString(rc));
    if (out->log == NULL || out->cubin == NULL)
        return fail(err, n, "%s: out of memory", what);
    return 0;
}

int nvrtc_compile(const nvrtc *rt, const nvrtc_program *p, const char *arch, nvrtc_output *out,
                  char *err, size_t n)
{
    arguments a = { 0 };
    void *prog = NULL;
    int rc = -1;

    *out = (nvrtc_output){ 0 };
    if (nvrtc_check_arch(rt, arch, err, n) != 0)
        return -1;
    if (arguments_make(&a, p, arch) != 0)
        fail(err, n, "%s: out of memory", p->main.name);
    else if (rt->CreateProgram(&prog, p->main.text, p->main.name, p->n_headers, a.texts,
                               a.names) != 0)
        fail(err, n, "%s: NVRTC %s does not take it", p->main.name, rt->version);
    else
        rc = compile(rt, prog, &a, p->main.name, arch, out, err, n);
    if (prog != NULL)
        rt->DestroyProgram(&prog);
    arguments_free(&a);
    return rc;
}

void nvrtc_output_free(nvrtc_output *out)
{
    free(out->cubin);
    free(out->log);
    *out = (nvrtc_output){ 0 };
}
