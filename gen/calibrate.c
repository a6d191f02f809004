/*
** calibrate.c - hi-gen calibrate: from the measured rates to a machine file.
**
** calibrate/rates.c measures, and for a GPU a program of its own, calibrate/cuda. The file tells
** what was measured and on what kind of processor, and nothing that would name the machine.
*/
#include "calibrate.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "calibrate/cuda/measure.h"
#include "calibrate/rates.h"
#include "target.h"

enum {
    SECONDS = 15,
    LEAST_SECONDS = 5,
    MOST_SECONDS = 600
};

static const int64_t MOST_BYTES = 1400000000; /* several times the caches of most machines */

static const char HELP[] =
    "usage: hi-gen calibrate [--target T] [--seconds N] > mine.lua\n"
    "\n"
    "Measures this machine; hi-gen SPEC --machine mine.lua plans with the figures.\n"
    "\n"
    "  --target T         cpu (default), or cuda: the NVIDIA GPU here and its link, by a program\n"
    "                     that is compiled for it first; needs nvcc\n"
    "  --program FILE     that program, compiled before: hi-gen's build/calibrate has it\n"
    "  --seconds N        how long it may take (default: 15; slow machines need longer)\n"
    "\n"
    "HI_ISA names the instruction set; without it the best is measured. CUDA_VISIBLE_DEVICES\n"
    "chooses one of several GPUs. Nothing else should run.\n";

/* ---- the machine ---- */

typedef struct facts {
    int64_t ram, available; /* bytes */
    char cpu[NAME_LEN];
} facts;

/* The value behind "name :" in a file of /proc, or false. */
static bool proc_value(const char *path, const char *name, char *out, size_t n)
{
    FILE *f = fopen(path, "r");
    size_t len = strlen(name);
    char line[256];
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *colon = strchr(line, ':');
        found = colon != NULL && strncmp(line, name, len) == 0 && strspn(line + len, " \t:") > 0;
        if (found)
            snprintf(out, n, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static int64_t proc_bytes(const char *name)
{
    char value[64];
    return proc_value("/proc/meminfo", name, value, sizeof value) ? atoll(value) * 1024 : 0;
}

/* Only what a Lua string and a comment can hold. */
static void keep_plain(char *s)
{
    char *to = s;

    for (const char *c = s; *c != '\0'; c++)
        if (isalnum((unsigned char)*c) || (*c != '\0' && strchr(" ()-+.,@/_", *c) != NULL))
            *to++ = *c;
    while (to > s && to[-1] == ' ')
        to--;
    *to = '\0';
}

static facts machine_facts(void)
{
    facts f = { .ram = proc_bytes("MemTotal"), .available = proc_bytes("MemAvailable") };

    if (proc_value("/proc/cpuinfo", "model name", f.cpu, sizeof f.cpu))
        keep_plain(f.cpu);
    if (f.cpu[0] == '\0')
        snprintf(f.cpu, sizeof f.cpu, "unnamed processor");
    return f;
}

/* ---- the file ---- */

/* A line of the file: 'name' with its indentation, value, what it is and how it varied. */
static void write_field(FILE *out, const char *name, const rate *r, const char *what)
{
    char field[96];

    snprintf(field, sizeof field, "%s = %.3g,", name, r->median);
    fprintf(out, "%-28s -- %s; %.3g to %.3g\n", field, what, r->least, r->most);
}

static void write_head(FILE *out, int rounds, const rates *host)
{
    fprintf(out,
            "-- What this machine does; hi-gen SPEC --machine FILE plans with it. Medians of %d "
            "rounds,\n"
            "-- the least and the most behind them.\n",
            rounds);
    fprintf(out, "--\n-- memory reads by threads, GB/s:");
    for (int i = 0; i < host->pools; i++)
        fprintf(out, "%s %d: %.1f", i > 0 ? "," : "", host->threads[i],
                host->of[RATE_DRAM + i].median / 1e9);
    fputc('\n', out);
}

static void write_threads(FILE *out, const rates *r)
{
    const rate *all = r->of;

    fprintf(out, "-- products of many rows, GFLOP/s: 1 thread: %.0f, all: %.0f\n",
            all[RATE_MATMUL_ONE].median / 1e9, all[RATE_MATMUL].median / 1e9);
    fprintf(out, "-- attention of a prompt, GFLOP/s: 1 thread: %.0f, all: %.0f\n",
            all[RATE_ATTEND_ONE].median / 1e9, all[RATE_ATTEND].median / 1e9);
}

static void write_device(FILE *out, const rates *r)
{
    const rate *all = r->of, *step = &all[RATE_HANDOVER];
    rate handover = { 1 / step->median, 1 / step->most, 1 / step->least };

    fprintf(out, "%-28s -- as large as asked\n    reserve = 0,\n", "    memory = 0,");
    write_field(out, "    matmul", &all[RATE_MATMUL], "FLOP/s, bf16 products of many rows");
    write_field(out, "    attend", &all[RATE_ATTEND], "FLOP/s, attention of a prompt");
    write_field(out, "    read", &all[RATE_READ], "bytes/s, weights read by products of one row");
    write_field(out, "    attend_read", &all[RATE_ATTEND_READ],
                "bytes/s, keys and values read by one token");
    write_field(out, "    h2d", &all[RATE_H2D], "bytes/s, a copy thread alone");
    write_field(out, "    d2h", &all[RATE_D2H], "bytes/s, a copy thread alone");
    write_field(out, "    both", &all[RATE_BOTH], "share of that which each keeps while both run");
    write_field(out, "    step_s", &handover, "seconds, one hand-over to the threads");
    fprintf(out, "    shared = true,\n");
}

static const rate *best_dram(const rates *r)
{
    const rate *best = &r->of[RATE_DRAM];

    for (int i = 1; i < r->pools; i++)
        if (r->of[RATE_DRAM + i].median > best->median)
            best = &r->of[RATE_DRAM + i];
    return best;
}

static void write_host(FILE *out, const rates *r, int64_t ram, const char *source)
{
    fprintf(out, "    host = {\n        ram = %lld,\n", (long long)ram);
    write_field(out, "        dram", best_dram(r), "bytes/s, all that the cores can read");
    write_field(out, "        copy", &r->of[RATE_COPY], "bytes/s, one core copying");
    fprintf(out, "        cores = %d,\n        source = \"%s\",\n    },\n",
            r->threads[r->pools - 1], source);
}

/* "measured by hi-gen calibrate: WHAT, 2026-01-31" */
static void make_source(const char *what, char *out, size_t n)
{
    time_t t = time(NULL);
    struct tm day;
    char date[16] = "";

    if (gmtime_r(&t, &day) != NULL)
        strftime(date, sizeof date, "%Y-%m-%d", &day);
    snprintf(out, n, "measured by hi-gen calibrate: %s, %s", what, date);
}

static void host_source(const rates *r, const facts *f, char *out, size_t n)
{
    char what[160];

    snprintf(what, sizeof what, "%s, %d threads, %s", f->cpu, r->threads[r->pools - 1], r->isa);
    make_source(what, out, n);
}

static int flush_file(FILE *out, hi_error *e)
{
    if (fflush(out) != 0 || ferror(out))
        return gen_fail(e, "calibrate: cannot write the machine file: %s", strerror(errno));
    return 0;
}

static int write_file(FILE *out, const rates *r, const facts *f, hi_error *e)
{
    char source[256];

    host_source(r, f, source, sizeof source);
    write_head(out, r->rounds, r);
    write_threads(out, r);
    fprintf(out, "return {\n");
    write_device(out, r);
    fprintf(out, "    source = \"%s\",\n", source);
    write_host(out, r, f->ram, source);
    fprintf(out, "}\n");
    return flush_file(out, e);
}

/* ---- the file of a GPU ---- */

/* What was taken, and some more: another shape loads other kernels. In steps of 64 MiB. */
static int64_t reserve_for(int64_t beside)
{
    const int64_t step = 64 << 20;
    return (beside + beside / 8 + step - 1) / step * step + step;
}

static void write_gpu(FILE *out, const gpu_rates *g)
{
    char field[64];

    snprintf(field, sizeof field, "    memory = %lld,", (long long)g->memory);
    fprintf(out, "%-28s -- bytes that the GPU has\n", field);
    snprintf(field, sizeof field, "    reserve = %lld,", (long long)reserve_for(g->beside));
    fprintf(out, "%-28s -- bytes; context, kernels and libraries took %lld MiB\n", field,
            (long long)(g->beside >> 20));
    for (int i = 0; i < N_GPU_RATES; i++) {
        snprintf(field, sizeof field, "    %s", GPU_RATE_NAME[i]);
        write_field(out, field, &g->of[i], GPU_RATE_WHAT[i]);
    }
    fprintf(out, "    shared = false,\n");
}

static int write_gpu_file(FILE *out, gpu_rates *g, const rates *r, const facts *f, hi_error *e)
{
    char source[256], host[256];

    keep_plain(g->gpu);
    make_source(g->gpu, source, sizeof source);
    host_source(r, f, host, sizeof host);
    write_head(out, g->rounds, r);
    fprintf(out, "return {\n");
    write_gpu(out, g);
    fprintf(out, "    source = \"%s\",\n", source);
    write_host(out, r, f->ram, host);
    fprintf(out, "}\n");
    return flush_file(out, e);
}

/* ---- measuring ---- */

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int check_memory(const facts *f, int64_t bytes, hi_error *e)
{
    if (f->ram <= 0 || f->available <= 0)
        return gen_fail(e, "calibrate: /proc/meminfo does not tell MemTotal and MemAvailable");
    if (bytes >> 20 < WORK_LEAST_MIB)
        return gen_fail(e,
                        "calibrate: a quarter of the available memory is %lld MiB, %d are needed: "
                        "end other programs, or plan with a file of specs/machine",
                        (long long)(bytes >> 20), WORK_LEAST_MIB);
    return 0;
}

static int measure_host(double seconds, int64_t bytes, FILE *log, rates *r, hi_error *e)
{
    char why[256] = "";

    if (rates_measure(seconds, bytes, getenv("HI_ISA"), log, r, why, sizeof why) != 0)
        return gen_fail(e, "calibrate: %s", why);
    return 0;
}

int calibrate_run(FILE *out, double seconds, int64_t most_bytes, FILE *log, hi_error *e)
{
    facts f = machine_facts();
    int64_t bytes = least_of(f.available / 4, most_bytes);
    rates r;

    if (check_memory(&f, bytes, e) != 0 || measure_host(seconds, bytes, log, &r, e) != 0)
        return -1;
    return write_file(out, &r, &f, e);
}

/* A third of the time is the host's. */
int calibrate_cuda(FILE *out, const char *program, double seconds, int64_t most_bytes, FILE *log,
                   hi_error *e)
{
    facts f = machine_facts();
    int64_t bytes = least_of(f.available / 4, most_bytes);
    gpu_rates g;
    rates r;

    if (check_memory(&f, bytes, e) != 0 || measure_run(program, seconds * 2 / 3, &g, e) != 0 ||
        measure_host(seconds / 3, bytes, log, &r, e) != 0)
        return -1;
    return write_gpu_file(out, &g, &r, &f, e);
}

/* ---- the command ---- */

typedef struct command {
    double seconds;
    const char *program; /* NULL: to be built */
    bool cuda;
} command;

static int usage(const char *what, const char *value, const char *remedy)
{
    fprintf(stderr, "hi-gen: calibrate: %s%s%s: %s\n", what, value != NULL ? " " : "",
            value != NULL ? value : "", remedy);
    return 2;
}

static bool parse_seconds(const char *text, double *seconds)
{
    char *end;

    *seconds = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*seconds) && *seconds >= LEAST_SECONDS &&
           *seconds <= MOST_SECONDS;
}

static bool parse_target(const char *text, bool *cuda)
{
    *cuda = strcmp(text, TARGET_WORDS[TARGET_CUDA]) == 0;
    return *cuda || strcmp(text, TARGET_WORDS[TARGET_CPU]) == 0;
}

/* One option's value; 0, or 2 where it is wrong. */
static int take(int opt, command *c)
{
    if (opt == 's' && !parse_seconds(optarg, &c->seconds))
        return usage("--seconds", optarg, "not a number from 5 to 600");
    if (opt == 't' && !parse_target(optarg, &c->cuda))
        return usage("--target", optarg, "must be cpu or cuda");
    if (opt == 'p')
        c->program = optarg;
    return 0;
}

static int measure(const command *c, const char *home)
{
    char path[4096];
    const char *program = c->program;
    hi_error e = { "" };
    int rc = 0;

    if (!c->cuda)
        rc = calibrate_run(stdout, c->seconds, MOST_BYTES, stderr, &e);
    else if (program == NULL) {
        rc = measure_build(home, stderr, path, sizeof path, &e);
        program = path;
    }
    if (c->cuda && rc == 0)
        rc = calibrate_cuda(stdout, program, c->seconds, MOST_BYTES, stderr, &e);
    if (rc == 0)
        return 0;
    fprintf(stderr, "hi-gen: %s\n", e.text);
    return 1;
}

int calibrate_command(int argc, char **argv, const char *home)
{
    static const struct option OPTIONS[] = {
        { "target", 1, NULL, 't' }, { "program", 1, NULL, 'p' }, { "seconds", 1, NULL, 's' },
        { "help", 0, NULL, 'h' },   { NULL, 0, NULL, 0 },
    };
    command c = { .seconds = SECONDS };
    int opt;

    opterr = 0;
    optind = 0;
    for (;;) {
        const char *word = argv[optind > 0 ? optind : 1];
        opt = getopt_long(argc, argv, "+:", OPTIONS, NULL);
        if (opt == -1)
            break;
        if (opt == 'h')
            return fputs(HELP, stdout) == EOF || fflush(stdout) == EOF;
        if (opt == ':')
            return usage(word, NULL, "needs a value; see hi-gen calibrate --help");
        if (opt == '?')
            return usage(word, NULL, "unknown option; see hi-gen calibrate --help");
        if (take(opt, &c) != 0)
            return 2;
    }
    if (optind < argc)
        return usage(argv[optind], NULL, "takes no argument; see hi-gen calibrate --help");
    if (c.program != NULL && !c.cuda)
        return usage("--program", NULL, "measures a GPU; add --target cuda");
    return measure(&c, home);
}
