/*
** bench.c - the verb 'bench': speed of prompts and of tokens, in the columns and keys of
** llama-bench.
**
** A test is a prompt of p tokens (pp) or n tokens one by one (tg) behind 'depth' tokens. The
** sequence is at any time the beginning of one list of random tokens, so that what lies before
** a test is computed once.
*/
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli.h"
#include "progress.h"

enum {
    MOST_VALUES = 256,
    WARM_UP = 4
};

typedef struct values {
    int64_t at[MOST_VALUES];
    int n;
} values;

typedef enum {
    FORM_MD,
    FORM_JSON,
    FORM_JSONL,
    FORM_CSV,
    FORMS
} form;

static const char *const FORM_NAME[FORMS] = { "md", "json", "jsonl", "csv" };

typedef struct bench {
    const hi_model *m;
    const cli *c;
    hi_run *r;
    form form;
    int32_t *ids; /* (ctx) */
    double *ns;   /* (repetitions) of the test under way */
    int rows;     /* printed so far */
} bench;

typedef struct test {
    int64_t n_prompt, n_gen, depth; /* one of the first two is 0 */
} test;

/* ---- lists ---- */

static int add_value(values *v, int64_t x, int64_t most)
{
    if (v->n == MOST_VALUES || x > most)
        return -1;
    v->at[v->n++] = x;
    return 0;
}

/* A number, or FIRST-LAST with +STEP or *FACTOR; *text moves behind it. */
static int take_range(const char **text, values *v, int64_t most)
{
    char *end, how = '+';
    int64_t step = 1, first = strtoll(*text, &end, 10), last = first;

    if (end == *text || **text == '-' || **text == '+' || first < 0)
        return -1;
    if (*end == '-') {
        const char *from = end + 1;
        last = strtoll(from, &end, 10);
        if (end == from || last < first)
            return -1;
        if (*end == '+' || *end == '*') {
            how = *end;
            from = end + 1;
            step = strtoll(from, &end, 10);
            if (end == from || step < (how == '*' ? 2 : 1))
                return -1;
        }
    }
    *text = end;
    for (int64_t x = first;; x = how == '+' ? x + step : x * step) {
        if (add_value(v, x, most) != 0 || (how == '*' && x == 0))
            return -1;
        if (how == '+' ? step > last - x : step > last / x) /* the next one is beyond the last */
            return 0;
    }
}

static int take_list(const char *flag, const char *text, int64_t most, values *v, char *err,
                     size_t n)
{
    const char *at = text;

    v->n = 0;
    for (;;) {
        if (take_range(&at, v, most) != 0 || (*at != ',' && *at != '\0')) {
            snprintf(err, n,
                     "%s %s: must be numbers up to the context of %lld, as 512,2048 or "
                     "0-4096+1024 or 512-4096*2; at most %d of them",
                     flag, text, (long long)most, MOST_VALUES);
            return -1;
        }
        if (*at == '\0')
            return 0;
        at++;
    }
}

/* ---- running ---- */

/* The sequence is the first n tokens. */
static int bring_to(bench *b, int64_t n)
{
    int64_t length = hi_length(b->r);

    if (length > n) {
        length = n == 0 || n >= hi_rewind_least(b->r) ? n : 0;
        if (hi_rewind(b->r, length) != 0)
            return -1;
    }
    return length < n ? hi_prefill(b->r, b->ids + length, n - length) : 0;
}

static int run_once(bench *b, const test *t, int64_t n_gen)
{
    if (t->n_prompt > 0)
        return hi_prefill(b->r, b->ids + t->depth, t->n_prompt);
    for (int64_t i = 0; i < n_gen; i++)
        if (hi_decode(b->r, b->ids[t->depth + i]) != 0)
            return -1;
    return 0;
}

/* What moved while it was timed. */
typedef struct traffic {
    double h2d_bytes, link_s, stall_s;
} traffic;

static int measure(bench *b, const test *t, traffic *moved)
{
    hi_stats before, after;

    if (bring_to(b, t->depth) != 0 || run_once(b, t, t->n_gen < WARM_UP ? t->n_gen : WARM_UP) != 0)
        return -1;
    for (int64_t i = 0; i < b->c->repetitions; i++) {
        if (bring_to(b, t->depth) != 0)
            return -1;
        hi_get_stats(b->r, &before);
        double start = seconds();
        if (run_once(b, t, t->n_gen) != 0)
            return -1;
        b->ns[i] = 1e9 * (seconds() - start);
        hi_get_stats(b->r, &after);
        moved->h2d_bytes += (double)(after.h2d_bytes - before.h2d_bytes);
        moved->link_s += after.link_s - before.link_s;
        moved->stall_s += after.stall_s - before.stall_s;
    }
    return 0;
}

/* ---- what was measured ---- */

static double mean(const double *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

static double deviation(const double *x, int64_t n)
{
    double m = mean(x, n), sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (x[i] - m) * (x[i] - m);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

static int64_t parameters(const hi_model *m)
{
    int64_t n = 0;

    for (int i = 0; i < m->n_tensors; i++)
        n += m->tensor[i].rows * (m->tensor[i].cols > 0 ? m->tensor[i].cols : 1);
    return n;
}

/* Bytes of them: 34 or 18 for 32 weights of a quantised matrix. */
static int64_t weight_bytes(const hi_model *m)
{
    static const int BLOCK[] = { [HI_Q8] = 34, [HI_Q4] = 18 };
    int64_t bytes = 0;

    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        hi_weights_type type = t->layer < 0 ? m->head_type : m->layer_type;
        if (t->kind == HI_PACKED && type != HI_STORED)
            bytes += t->rows * ((t->cols + 31) / 32) * BLOCK[type];
        else
            bytes += t->rows * (t->cols > 0 ? t->cols : 1) * m->elt;
    }
    return bytes;
}

static void processor(char *name, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];

    name[0] = '\0';
    while (f != NULL && name[0] == '\0' && fgets(line, sizeof line, f) != NULL) {
        const char *at = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && at != NULL)
            snprintf(name, n, "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
    }
    if (f != NULL)
        fclose(f);
}

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

static void put_whole(json_t *o, const char *key, int64_t x)
{
    json_object_set_new(o, key, json_integer(x));
}

static void put_real(json_t *o, const char *key, double x)
{
    json_object_set_new(o, key, json_real(isfinite(x) ? x : 0));
}

/* What is the same for all tests of the program. */
static void put_program(json_t *o, const bench *b)
{
    const hi_model *m = b->m;
    bool host = hi_threads(b->r) > 0;
    char cpu[256], plan[128] = "all on the device", now[32];
    time_t t = time(NULL);
    struct tm utc;

    processor(cpu, sizeof cpu);
    if (m->offload)
        snprintf(plan, sizeof plan, "%.2f MiB of keys and values on the host; ring of %d slots",
                 (double)m->host[HI_H_KV].bytes / (1 << 20), m->slots);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
    put_text(o, "build_commit", "hi-gen 0.1");
    put_text(o, "cpu_info", cpu);
    put_text(o, "gpu_info", host ? "" : hi_isa(b->r));
    put_text(o, "backends", host ? "CPU" : "CUDA");
    put_text(o, "model_filename", b->c->run.weights);
    put_text(o, "model_type", m->name);
    put_whole(o, "model_size", weight_bytes(m));
    put_whole(o, "model_n_params", parameters(m));
    put_whole(o, "n_batch", m->rows[HI_PREFILL]);
    put_whole(o, "n_ubatch", m->rows[HI_PREFILL]);
    put_whole(o, "n_threads", hi_threads(b->r));
    put_text(o, "type_k", m->elt == 4 ? "f32" : "bf16");
    put_text(o, "type_v", m->elt == 4 ? "f32" : "bf16");
    put_whole(o, "n_gpu_layers", m->layers);
    put_text(o, "kv_plan", plan);
    put_text(o, "test_time", now);
}

static json_t *result(const bench *b, const test *t, const traffic *moved)
{
    json_t *o = json_object(), *ns = json_array(), *ts = json_array();
    int64_t reps = b->c->repetitions, tokens = t->n_prompt + t->n_gen;
    double total_s = 1e-9 * mean(b->ns, reps) * (double)reps;

    put_program(o, b);
    put_whole(o, "n_prompt", t->n_prompt);
    put_whole(o, "n_gen", t->n_gen);
    put_whole(o, "n_depth", t->depth);
    put_whole(o, "avg_ns", (int64_t)mean(b->ns, reps));
    put_whole(o, "stddev_ns", (int64_t)deviation(b->ns, reps));
    for (int64_t i = 0; i < reps; i++) {
        json_array_append_new(ns, json_integer((json_int_t)b->ns[i]));
        b->ns[i] = b->ns[i] > 0 ? 1e9 * (double)tokens / b->ns[i] : 0;
        json_array_append_new(ts, json_real(b->ns[i]));
    }
    put_real(o, "avg_ts", mean(b->ns, reps));
    put_real(o, "stddev_ts", deviation(b->ns, reps));
    put_real(o, "link_gbps", moved->link_s > 0 ? 1e-9 * moved->h2d_bytes / moved->link_s : 0);
    put_real(o, "stall_pct", total_s > 0 ? 100 * moved->stall_s / total_s : 0);
    json_object_set_new(o, "samples_ns", ns);
    json_object_set_new(o, "samples_ts", ts);
    return o;
}

/* ---- printing ---- */

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void print_md(const bench *b, const test *t, const json_t *o)
{
    char size[32], params[32], name[64], ts[64];
    double bytes = real(o, "model_size"), n = real(o, "model_n_params");
    int at = snprintf(name, sizeof name, "%s%lld", t->n_prompt > 0 ? "pp" : "tg",
                      (long long)(t->n_prompt + t->n_gen));

    if (t->depth > 0)
        snprintf(name + at, sizeof name - (size_t)at, " @ d%lld", (long long)t->depth);
    snprintf(size, sizeof size, bytes < 1e9 ? "%.2f MiB" : "%.2f GiB",
             bytes / (bytes < 1e9 ? 1 << 20 : 1 << 30));
    snprintf(params, sizeof params, n < 1e9 ? "%.2f M" : "%.2f B", n / (n < 1e9 ? 1e6 : 1e9));
    snprintf(ts, sizeof ts, "%.2f ± %.2f", real(o, "avg_ts"), real(o, "stddev_ts"));
    if (b->rows == 0)
        printf("| %-30s | %10s | %10s | %-10s | %3s | %15s | %20s |\n"
               "| %.30s | %.9s: | %.9s: | %.10s | %.2s: | %.14s: | %.19s: |\n",
               "model", "size", "params", "backend", "ngl", "test", "t/s",
               "------------------------------", "----------", "----------", "----------", "---",
               "---------------", "--------------------");
    printf("| %-30s | %10s | %10s | %-10s | %3d | %15s | %21s |\n", b->m->name, size, params,
           hi_threads(b->r) > 0 ? "CPU" : "CUDA", b->m->layers, name, ts);
}

static void print_csv(const bench *b, const json_t *o)
{
    const char *key;
    json_t *v;

    if (b->rows == 0) {
        const char *comma = "";
        json_object_foreach((json_t *)o, key, v)
        {
            if (!json_is_array(v)) {
                printf("%s%s", comma, key);
                comma = ",";
            }
        }
        putchar('\n');
    }
    const char *comma = "";
    json_object_foreach((json_t *)o, key, v)
    {
        if (json_is_array(v))
            continue;
        printf("%s\"", comma);
        comma = ",";
        for (const char *c = json_is_string(v) ? json_string_value(v) : ""; *c != '\0'; c++)
            printf(*c == '"' ? "\"\"" : "%c", *c);
        if (json_is_integer(v))
            printf("%lld", (long long)json_integer_value(v));
        if (json_is_real(v))
            printf("%f", json_real_value(v));
        putchar('"');
    }
    putchar('\n');
}

static int print_result(bench *b, const test *t, const json_t *o)
{
    if (b->form == FORM_MD)
        print_md(b, t, o);
    else if (b->form == FORM_CSV)
        print_csv(b, o);
    else {
        if (b->form == FORM_JSON)
            printf(b->rows == 0 ? "[\n" : ",\n");
        if (json_dumpf(o, stdout, b->form == FORM_JSON ? JSON_INDENT(2) : JSON_COMPACT) != 0)
            return -1;
        if (b->form == FORM_JSONL)
            putchar('\n');
    }
    b->rows++;
    return fflush(stdout) == EOF ? -1 : 0;
}

/* ---- all tests ---- */

static int run_test(bench *b, const test *t)
{
    traffic moved = { 0 };

    if (measure(b, t, &moved) != 0)
        return cli_fail(hi_error_text(b->r), EXIT_FAILED);
    json_t *o = result(b, t, &moved);
    int rc = o == NULL ? -1 : print_result(b, t, o);
    json_decref(o);
    return rc == 0 ? 0 : cli_fail("cannot write the result, or out of memory for it", EXIT_FAILED);
}

static int run_tests(bench *b, const values *prompts, const values *news, const values *depths)
{
    int code = 0;

    for (int d = 0; d < depths->n; d++) {
        for (int i = 0; i < prompts->n && code == 0; i++)
            if (prompts->at[i] > 0)
                code = run_test(b, &(test){ prompts->at[i], 0, depths->at[d] });
        for (int i = 0; i < news->n && code == 0; i++)
            if (news->at[i] > 0)
                code = run_test(b, &(test){ 0, news->at[i], depths->at[d] });
    }
    if (b->form == FORM_JSON && b->rows > 0)
        printf("\n]\n");
    return code == 0 && fflush(stdout) == EOF ? cli_fail(strerror(errno), EXIT_FAILED) : code;
}

static int64_t largest(const values *v)
{
    int64_t most = 0;

    for (int i = 0; i < v->n; i++)
        most = v->at[i] > most ? v->at[i] : most;
    return most;
}

/* Anything that is not the same token again; the same in every run. */
static void fill_ids(int32_t *ids, int64_t n, int vocab)
{
    uint64_t x = 1;

    for (int64_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        ids[i] = (int32_t)((x >> 33) % (uint64_t)vocab);
    }
}

static int open_and_run(bench *b, const values *prompts, const values *news, const values *depths)
{
    char err[4096] = "";
    int code;

    b->r = hi_open(b->m, &b->c->run, &code, err, sizeof err);
    if (b->r == NULL)
        return cli_fail(err, code);
    if (hi_note(b->r)[0] != '\0')
        fprintf(stderr, "note: %s\n", hi_note(b->r));
    cli_say_weights(b->m, stderr);
    b->ids = malloc((size_t)b->m->ctx * sizeof *b->ids);
    b->ns = calloc((size_t)b->c->repetitions, sizeof *b->ns);
    if (b->ids == NULL || b->ns == NULL)
        code = cli_fail("out of memory for token ids", EXIT_FAILED);
    else {
        fill_ids(b->ids, b->m->ctx, b->m->vocab);
        code = run_tests(b, prompts, news, depths);
    }
    free(b->ids);
    free(b->ns);
    hi_close(b->r);
    return code;
}

int cli_bench(const hi_model *m, const cli *c)
{
    bench b = { .m = m, .c = c, .form = FORMS };
    values prompts, news, depths;
    char err[512];

    if (take_list("-p", c->bench_prompt, m->ctx, &prompts, err, sizeof err) != 0 ||
        take_list("-n", c->bench_new, m->ctx, &news, err, sizeof err) != 0 ||
        take_list("-d", c->bench_depth, m->ctx, &depths, err, sizeof err) != 0)
        return cli_fail(err, EXIT_USAGE);
    for (int i = 0; i < FORMS; i++)
        if (strcmp(c->bench_form, FORM_NAME[i]) == 0)
            b.form = (form)i;
    if (b.form == FORMS) {
        snprintf(err, sizeof err, "-o %s: must be md, json, jsonl or csv", c->bench_form);
        return cli_fail(err, EXIT_USAGE);
    }
    int64_t need = largest(&depths) +
                   (largest(&prompts) > largest(&news) ? largest(&prompts) : largest(&news));
    if (need > m->ctx) {
        snprintf(err, sizeof err,
                 "%lld tokens are needed; the program was generated for a context of %lld: "
                 "pass a smaller -p, -n or -d, or run hi-gen with --ctx %lld",
                 (long long)need, (long long)m->ctx, (long long)need);
        return cli_fail(err, EXIT_NO_FIT);
    }
    return open_and_run(&b, &prompts, &news, &depths);
}
