/*
** measure.c - hi-gen's side of measuring a GPU: builds a program that does it, runs it, reads it.
**
** The GPU is looked for first, by the driver's library, loaded for the purpose: without one nothing
** need be compiled, and with one its architecture alone.
*/
#include "measure.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PATH_LEN = 4096,
    LINE_LEN = 1024
};

static const char PROGRAM[] = "hi-calibrate-cuda";

const char *const GPU_RATE_NAME[N_GPU_RATES] = {
#define F(name, what) #name,
#include "figures.def"
#undef F
};

const char *const GPU_RATE_WHAT[N_GPU_RATES] = {
#define F(name, what) what,
#include "figures.def"
#undef F
};

/* ---- the GPU ---- */

/* The driver's calls, whose results are 0 for success, and its numbers of two attributes. */
typedef int driver_init(unsigned flags);
typedef int driver_count(int *n);
typedef int driver_get(int *device, int index);
typedef int driver_attribute(int *value, int attribute, int device);

enum {
    COMPUTE_MAJOR = 75,
    COMPUTE_MINOR = 76,
    NO_DEVICE = 100
};

static int no_gpu(hi_error *e, const char *why)
{
    return gen_fail(e,
                    "calibrate: --target cuda measures an NVIDIA GPU: %s; run it where the GPU is, "
                    "or plan with a file of specs/machine",
                    why);
}

/* "90a": as nvcc calls the architecture of the first device. */
static int ask_driver(void *library, char *arch, size_t n, hi_error *e)
{
    driver_init *init = (driver_init *)dlsym(library, "cuInit");
    driver_count *count = (driver_count *)dlsym(library, "cuDeviceGetCount");
    driver_get *get = (driver_get *)dlsym(library, "cuDeviceGet");
    driver_attribute *attribute = (driver_attribute *)dlsym(library, "cuDeviceGetAttribute");
    int devices = 0, device = 0, major = 0, minor = 0, rc;
    char why[80];

    if (init == NULL || count == NULL || get == NULL || attribute == NULL)
        return no_gpu(e, "libcuda.so.1 is not a driver's library");
    rc = init(0);
    if (rc == 0)
        rc = count(&devices);
    if (rc == NO_DEVICE || (rc == 0 && devices == 0))
        return no_gpu(e, "none is visible here");
    if (rc == 0)
        rc = get(&device, 0);
    if (rc == 0)
        rc = attribute(&major, COMPUTE_MAJOR, device);
    if (rc == 0)
        rc = attribute(&minor, COMPUTE_MINOR, device);
    if (rc != 0) {
        snprintf(why, sizeof why, "its driver fails with error %d", rc);
        return no_gpu(e, why);
    }
    if (major < 8)
        return gen_fail(e,
                        "calibrate: the GPU has compute capability %d.%d; 8.0 or newer is needed",
                        major, minor);
    snprintf(arch, n, "%d%d%s", major, minor, major == 9 && minor == 0 ? "a" : "");
    return 0;
}

static int find_arch(char *arch, size_t n, hi_error *e)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return no_gpu(e, "there is no driver here (libcuda.so.1 cannot be loaded)");
    int rc = ask_driver(library, arch, n, e);
    dlclose(library);
    return rc;
}

/* ---- programs ---- */

/* Runs a program with these for its output and its messages; -1: it cannot be started. */
static pid_t start(char *const argv[], int out, int err)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execvp(argv[0], argv);
    dprintf(STDOUT_FILENO, "error %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Waits for its end: did it succeed? */
static bool succeeds(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- the build ---- */

static bool run_logged(char *const argv[], int log)
{
    pid_t pid = start(argv, log, log);
    return pid > 0 && succeeds(pid);
}

/* Is nvcc in any of the places where cuda.cmake looks for it? */
static bool has_nvcc(const char *home)
{
    char own[PATH_LEN], path[PATH_LEN + 16];
    const char *const ROOT[] = { getenv("CUDA_HOME"), getenv("CUDA_PATH"), own, "/usr/local/cuda" };

    snprintf(own, sizeof own, "%s/build/cuda", home);
    for (size_t i = 0; i < sizeof ROOT / sizeof *ROOT; i++) {
        snprintf(path, sizeof path, "%s/bin/nvcc", ROOT[i] != NULL ? ROOT[i] : "");
        if (ROOT[i] != NULL && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static int build_failed(const char *home, const char *action, const char *log_path, hi_error *e)
{
    if (!has_nvcc(home))
        return gen_fail(e, "calibrate: --target cuda compiles what measures, and there is no nvcc: "
                           "'./hi toolkit' installs it; or set CUDA_HOME");
    return gen_fail(e, "calibrate: %s what measures failed; the messages are in %s", action,
                    log_path);
}

/* cmake with fixed arguments, never a shell. */
static int build(const char *home, const char *folder, const char *arch, const char *log_path,
                 int log, hi_error *e)
{
    char source[PATH_LEN + 32], define[PATH_LEN + 32], archs[32];
    char *configure[] = { "cmake", "-S",           source,
                          "-B",    (char *)folder, "-DCMAKE_BUILD_TYPE=Release",
                          define,  archs,          NULL };
    char *compile[] = { "cmake", "--build", (char *)folder, "--parallel", NULL };

    snprintf(source, sizeof source, "%s/gen/calibrate/cuda", home);
    snprintf(define, sizeof define, "-DHI_HOME=%s", home);
    snprintf(archs, sizeof archs, "-DHI_CUDA_ARCHS=%s", arch);
    if (!run_logged(configure, log))
        return build_failed(home, "configuring", log_path, e);
    return run_logged(compile, log) ? 0 : build_failed(home, "compiling", log_path, e);
}

/* home/build and home/build/calibrate, where they are not there. */
static int make_folders(const char *folder, hi_error *e)
{
    char parent[PATH_LEN];

    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(folder, '/') - folder), folder);
    if ((mkdir(parent, 0777) != 0 && errno != EEXIST) ||
        (mkdir(folder, 0777) != 0 && errno != EEXIST))
        return gen_fail(e, "calibrate: %s: %s", folder, strerror(errno));
    return 0;
}

int measure_build(const char *home, FILE *log, char *path, size_t n, hi_error *e)
{
    char folder[PATH_LEN], log_path[PATH_LEN + 16], arch[16];

    if (snprintf(folder, sizeof folder, "%s/build/calibrate", home) >= (int)sizeof folder ||
        snprintf(path, n, "%s/%s", folder, PROGRAM) >= (int)n)
        return gen_fail(e, "calibrate: %.60s..: path too long", home);
    if (find_arch(arch, sizeof arch, e) != 0 || make_folders(folder, e) != 0)
        return -1;
    snprintf(log_path, sizeof log_path, "%s/build.log", folder);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return gen_fail(e, "calibrate: %s: %s", log_path, strerror(errno));
    if (log != NULL)
        fprintf(log, "calibrate: compiling for sm_%s in %s ..\n", arch, folder);
    int rc = build(home, folder, arch, log_path, fd, e);
    close(fd);
    return rc;
}

/* ---- what the program says ---- */

/* What has been read of it. */
typedef struct report {
    gpu_rates *g;
    bool has[N_GPU_RATES];
    char error[LINE_LEN];   /* its own; "" */
    char strange[LINE_LEN]; /* the first line that is none of its own; "" */
} report;

static bool read_rate(const char *text, rate *r)
{
    return sscanf(text, "%lf %lf %lf", &r->median, &r->least, &r->most) == 3 &&
           isfinite(r->median) && isfinite(r->least) && isfinite(r->most) && r->least > 0 &&
           r->least <= r->median && r->median <= r->most;
}

/* A line: a word, a blank, and what that word stands for. */
static bool read_line(report *r, const char *word, const char *value)
{
    gpu_rates *g = r->g;

    for (int i = 0; i < N_GPU_RATES; i++)
        if (strcmp(word, GPU_RATE_NAME[i]) == 0)
            return r->has[i] = read_rate(value, &g->of[i]);
    if (strcmp(word, "error") == 0)
        snprintf(r->error, sizeof r->error, "%s", value);
    else if (strcmp(word, "gpu") == 0)
        snprintf(g->gpu, sizeof g->gpu, "%.*s", (int)sizeof g->gpu - 1, value);
    else if (strcmp(word, "memory") == 0)
        g->memory = atoll(value);
    else if (strcmp(word, "beside") == 0)
        g->beside = atoll(value);
    else if (strcmp(word, "rounds") == 0)
        g->rounds = atoi(value);
    else
        return false;
    return true;
}

static void read_report(FILE *from, report *r)
{
    char line[LINE_LEN], word[32], rest[LINE_LEN];

    while (fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        int n = sscanf(line, "%31s %1023[^\n]", word, rest);
        if ((n != 2 || !read_line(r, word, rest)) && r->strange[0] == '\0')
            snprintf(r->strange, sizeof r->strange, "%s", line);
    }
}

static int check_report(const report *r, const char *program, bool ended_well, hi_error *e)
{
    if (r->error[0] != '\0')
        return gen_fail(e, "calibrate: %s", r->error);
    if (r->strange[0] != '\0')
        return gen_fail(e, "calibrate: %s says \"%.200s\": was it built for another hi-gen?",
                        program, r->strange);
    if (!ended_well)
        return gen_fail(e, "calibrate: %s failed", program);
    for (int i = 0; i < N_GPU_RATES; i++)
        if (!r->has[i])
            return gen_fail(e, "calibrate: %s says nothing of %s: was it built for another hi-gen?",
                            program, GPU_RATE_NAME[i]);
    if (r->g->gpu[0] == '\0' || r->g->memory <= 0 || r->g->beside < 0 ||
        r->g->beside >= r->g->memory)
        return gen_fail(e, "calibrate: %s does not tell what the GPU has", program);
    return 0;
}

int measure_run(const char *program, double seconds, gpu_rates *g, hi_error *e)
{
    char time[32], *argv[] = { (char *)program, time, NULL };
    report r = { .g = g };
    int end[2];

    *g = (gpu_rates){ .beside = -1 };
    snprintf(time, sizeof time, "%g", seconds);
    if (pipe2(end, O_CLOEXEC) != 0)
        return gen_fail(e, "calibrate: %s: %s", program, strerror(errno));
    pid_t pid = start(argv, end[1], STDERR_FILENO);
    close(end[1]);
    FILE *from = pid > 0 ? fdopen(end[0], "r") : NULL;
    if (from == NULL)
        close(end[0]);
    else {
        read_report(from, &r);
        fclose(from);
    }
    bool well = pid > 0 && succeeds(pid);
    return check_report(&r, program, well, e);
}
