/*
** check.c - what the kernels of a generated folder cost: compiled in memory by NVRTC, figures
** from what its assembler says of them.
**
** Dynamic shared memory is the launch's and not known here: geometry.h has it.
*/
#include "check.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/cuda/nvrtc.h"
#include "text.h"

enum { PATH_LEN = 4096, MOST_SOURCES = 64, MOST_BYTES = 1 << 22 };

static const char ALL_ARCHS[] = "sm_80,sm_86,sm_89,sm_90a,sm_100,sm_120";

/* ---- sources ---- */

/* The program, and what it borrows. */
typedef struct sources {
    nvrtc_program program;
    nvrtc_source header[MOST_SOURCES];
    char *name[MOST_SOURCES];        /* malloc'd, as are the texts */
    text body[MOST_SOURCES], main;
} sources;

static void sources_free(sources *s)
{
    for (int i = 0; i < s->program.n_headers; i++) {
        free(s->name[i]);
        text_free(&s->body[i]);
    }
    text_free(&s->main);
    free(s);
}

static int read_source(text *t, const char *folder, const char *name, hi_error *e)
{
    char path[PATH_LEN];

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return gen_fail(e, "%s: path too long", folder);
    if (text_read(t, path, MOST_BYTES, e) != 0)
        return -1;
    if (t->data == NULL || strlen(t->data) != t->len)
        return gen_fail(e, "%s: not a text: it holds zero bytes", path);
    return 0;
}

/* A name that is there already keeps the text it has. */
static int add_header(sources *s, const char *folder, const char *name, hi_error *e)
{
    int n = s->program.n_headers;

    for (int i = 0; i < n; i++)
        if (strcmp(s->name[i], name) == 0)
            return 0;
    if (n == MOST_SOURCES)
        return gen_fail(e, "%s: more than %d headers", folder, MOST_SOURCES);
    s->name[n] = strdup(name);
    if (s->name[n] == NULL)
        return gen_fail(e, "out of memory for %s", name);
    s->program.n_headers = n + 1;
    if (read_source(&s->body[n], folder, name, e) != 0)
        return -1;
    s->header[n] = (nvrtc_source){ s->name[n], s->body[n].data };
    return 0;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

static int is_kernel_header(const struct dirent *d)
{
    return ends_with(d->d_name, ".cuh");
}

static int is_header(const struct dirent *d)
{
    return ends_with(d->d_name, ".h") || is_kernel_header(d);
}

static int add_headers(sources *s, const char *folder, int (*wanted)(const struct dirent *),
                       hi_error *e)
{
    struct dirent **list;
    int n = scandir(folder, &list, wanted, alphasort), rc = 0;

    if (n < 0)
        return gen_fail(e, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = add_header(s, folder, list[i]->d_name, e);
        free(list[i]);
    }
    free(list);
    return rc;
}

/* The folder's own files first: they stand for those of the same name in the runtime. */
static int read_sources(sources *s, const char *folder, const char *home, hi_error *e)
{
    char runtime[PATH_LEN], own[PATH_LEN], shape[PATH_LEN];

    if (snprintf(runtime, sizeof runtime, "%s/runtime/cuda", home) >= (int)sizeof runtime ||
        snprintf(own, sizeof own, "%s/kernels.cu", folder) >= (int)sizeof own ||
        snprintf(shape, sizeof shape, "%s/shape.h", folder) >= (int)sizeof shape)
        return gen_fail(e, "%s: path too long", folder);
    if (access(shape, R_OK) != 0)
        return gen_fail(e, "--check: %s: %s; the folder of an emitted model is needed", shape,
                        strerror(errno));
    if (add_header(s, folder, "shape.h", e) != 0 ||
        add_headers(s, folder, is_kernel_header, e) != 0 ||
        add_headers(s, runtime, is_header, e) != 0 ||
        read_source(&s->main, access(own, F_OK) == 0 ? folder : runtime, "kernels.cu", e) != 0)
        return -1;
    s->program.main = (nvrtc_source){ "kernels.cu", s->main.data };
    s->program.headers = s->header;
    return 0;
}

/* ---- figures ---- */

enum { REGISTERS, SHARED, STACK, STORES, LOADS, CONSTANT, N_FIGURES };

static const char *const TITLE[N_FIGURES] = { "registers",    "shared",      "stack",
                                              "spill stores", "spill loads", "constant" };

/* How the assembler words a figure: the number stands before. What it says more than once, of the
   functions that a kernel calls too, adds up, or the largest counts. */
static const struct {
    int figure;
    bool sum;
    const char *words;
} SAID[] = {
    { REGISTERS, false, " registers" },
    { SHARED, false, " bytes smem" },
    { STACK, false, " bytes stack frame" },
    { STACK, false, " bytes cumulative stack size" },
    { STORES, true, " bytes spill stores" },
    { LOADS, true, " bytes spill loads" },
    { CONSTANT, true, " bytes cmem[" },
};
enum { N_SAID = sizeof SAID / sizeof *SAID, NOT_SAID = -1 };

typedef struct kernel {
    const char *name;                /* (len), in the log */
    int len;
    long long figure[N_FIGURES];
} kernel;

static long long number_before(const char *from, const char *p)
{
    while (p > from && isdigit((unsigned char)p[-1]))
        p--;
    return strtoll(p, NULL, 10);
}

/* The figures of a kernel, from what is said of it up to 'end'. */
static void read_figures(const char *from, const char *end, kernel *k)
{
    for (int i = 0; i < N_FIGURES; i++)
        k->figure[i] = i == CONSTANT ? NOT_SAID : 0; /* from sm_90 on it is not told */
    for (int i = 0; i < N_SAID; i++) {
        long long *to = &k->figure[SAID[i].figure];
        const char *p = from;
        while ((p = strstr(p, SAID[i].words)) != NULL && p < end) {
            long long v = number_before(from, p);
            *to = SAID[i].sum && *to > 0 ? *to + v : v > *to ? v : *to;
            p++;
        }
    }
}

static const char ENTRY[] = "Compiling entry function '";

/* The next kernel in the log; NULL, or where to go on. */
static const char *next_kernel(const char *log, kernel *k)
{
    const char *entry = strstr(log, ENTRY);

    if (entry == NULL)
        return NULL;
    k->name = entry + strlen(ENTRY);
    k->len = (int)strcspn(k->name, "'\n");
    const char *end = strstr(k->name, ENTRY);
    if (end == NULL)
        end = k->name + strlen(k->name);
    read_figures(k->name, end, k);
    return end;
}

static int by_name(const void *a, const void *b)
{
    const kernel *x = a, *y = b;
    int n = x->len < y->len ? x->len : y->len, order = strncmp(x->name, y->name, (size_t)n);
    return order != 0 ? order : x->len - y->len;
}

static void print_table(const char *arch, const kernel *k, int n, FILE *out)
{
    int width = (int)strlen(arch);

    for (int i = 0; i < n; i++)
        width = k[i].len > width ? k[i].len : width;
    fprintf(out, "\n%-*s", width, arch);
    for (int f = 0; f < N_FIGURES; f++)
        fprintf(out, "  %s", TITLE[f]);
    for (int i = 0; i < n; i++) {
        fprintf(out, "\n%-*.*s", width, k[i].len, k[i].name);
        for (int f = 0; f < N_FIGURES; f++)
            if (k[i].figure[f] == NOT_SAID)
                fprintf(out, "  %*s", (int)strlen(TITLE[f]), "-");
            else
                fprintf(out, "  %*lld", (int)strlen(TITLE[f]), k[i].figure[f]);
    }
    fputc('\n', out);
}

static int print_figures(const char *arch, const char *log, FILE *out, hi_error *e)
{
    enum { MOST_KERNELS = 256 };
    kernel k[MOST_KERNELS];
    int n = 0;

    while (n < MOST_KERNELS && (log = next_kernel(log, &k[n])) != NULL)
        n++;
    if (n == 0)
        return gen_fail(e, "--check %s: kernels.cu exports no kernels", arch);
    if (n == MOST_KERNELS)
        return gen_fail(e, "--check %s: more than %d kernels", arch, n - 1);
    qsort(k, (size_t)n, sizeof *k, by_name);
    print_table(arch, k, n, out);
    return 0;
}

/* ---- architectures ---- */

static int check_arch(const nvrtc *rt, const nvrtc_program *p, const char *arch, FILE *out,
                      hi_error *e)
{
    char err[sizeof e->text];
    nvrtc_output made;
    int rc = nvrtc_compile(rt, p, arch, &made, err, sizeof err);

    if (rc == 0)
        rc = print_figures(arch, made.log, out, e);
    else {
        if (made.log != NULL)
            fputs(made.log, out);
        gen_fail(e, "--check %s", err);
    }
    nvrtc_output_free(&made);
    return rc;
}

/* Every architecture is known before the first is compiled for. */
static int check_archs(const nvrtc *rt, const nvrtc_program *p, char *archs, FILE *out, hi_error *e)
{
    char err[sizeof e->text], *arch;
    const char *end = archs + strlen(archs);

    for (char *c = archs; (c = strchr(c, ',')) != NULL;)
        *c++ = '\0';
    for (arch = archs; arch <= end; arch += strlen(arch) + 1)
        if (arch[0] == '\0')
            return gen_fail(e, "--check: an architecture is empty; write sm_80,sm_90a or all");
        else if (nvrtc_check_arch(rt, arch, err, sizeof err) != 0)
            return gen_fail(e, "--check %s", err);
    fprintf(out, "NVRTC %s; bytes, but for registers\n", nvrtc_version(rt));
    for (arch = archs; arch <= end; arch += strlen(arch) + 1)
        if (check_arch(rt, p, arch, out, e) != 0)
            return -1;
    return 0;
}

static int check_sources(const sources *s, const char *home, const char *archs, FILE *out,
                         hi_error *e)
{
    char err[sizeof e->text], toolkit[PATH_LEN];
    char *list = strdup(strcmp(archs, "all") == 0 ? ALL_ARCHS : archs);
    int rc;

    if (list == NULL)
        return gen_fail(e, "out of memory");
    snprintf(toolkit, sizeof toolkit, "%s/build/cuda", home);
    nvrtc *rt = nvrtc_open(toolkit, err, sizeof err);
    if (rt == NULL)
        rc = gen_fail(e, "--check: %s", err);
    else
        rc = check_archs(rt, &s->program, list, out, e);
    nvrtc_close(rt);
    free(list);
    return rc;
}

int check_kernels(const char *folder, const char *home, const char *archs, FILE *out, hi_error *e)
{
    sources *s = calloc(1, sizeof *s);

    if (s == NULL)
        return gen_fail(e, "out of memory");
    int rc = read_sources(s, folder, home, e);
    if (rc == 0)
        rc = check_sources(s, home, archs, out, e);
    sources_free(s);
    if (rc == 0 && fflush(out) == EOF)
        rc = gen_fail(e, "--check: %s", strerror(errno));
    return rc;
}
