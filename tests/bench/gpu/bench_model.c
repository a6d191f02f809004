/*
** bench_model.c - a whole program, as emitted: prompts of several lengths and tokens decoded behind
** them. The model is opened once, with weights made up.
**
**   bench_model NAME DECODED TOKENS..
**
** One line of JSON for each length that the context holds: seconds of the prompt, of short ones the
** median of three; the median of DECODED tokens behind it, without the first two; bytes that one
** token moved. NAME is printed, to tell plans apart. Ends before a length that cannot be done in
** the seconds of BENCH_SECONDS, judged by the length before.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "hi.h"

extern const hi_model hi_the_model;

enum { SHORT = 20000, REPEATS = 3, SKIP = 2, WARM_UP = 512, MOST_DECODED = 256 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_model: %s: %s\n", what, why);
    exit(strstr(why, "NVIDIA") != NULL ? 77 : 1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

/* Seconds of one prompt on an empty sequence. */
static double prefill(hi_run *r, const int32_t *ids, int64_t n)
{
    if (hi_length(r) > 0 && hi_rewind(r, 0) != 0)
        die("rewind", hi_error_text(r));
    double from = now();
    if (hi_prefill(r, ids, n) != 0)
        die("prefill", hi_error_text(r));
    return now() - from;
}

static void measure(hi_run *r, const char *name, const int32_t *ids, int64_t n, int decoded)
{
    const hi_model *m = &hi_the_model;
    double seconds[REPEATS], token[MOST_DECODED];
    int repeats = n <= SHORT ? REPEATS : 1;
    hi_stats before, prompt, after;

    hi_get_stats(r, &before);
    for (int i = 0; i < repeats; i++)
        seconds[i] = prefill(r, ids, n);
    hi_get_stats(r, &prompt);
    for (int i = 0; i < decoded + SKIP; i++) {
        if (i == SKIP)
            hi_get_stats(r, &after);
        double from = now();
        if (hi_decode(r, ids[n + i]) != 0)
            die("decode", hi_error_text(r));
        (void)hi_logits(r);
        token[i < SKIP ? 0 : i - SKIP] = now() - from;
    }
    before.h2d_bytes = (prompt.h2d_bytes - before.h2d_bytes) / repeats;
    int64_t first = after.h2d_bytes;
    hi_get_stats(r, &after);
    printf("{\"bench\": \"model\", \"plan\": \"%s\", \"model\": \"%s\", \"tokens\": %lld, "
           "\"prefill_s\": %.4f, \"decode_ms\": %.3f, \"prefill_in_bytes\": %lld, "
           "\"token_in_bytes\": %lld, \"budget\": %lld, \"arena\": %lld}\n",
           name, m->name, (long long)n, median(seconds, repeats), 1e3 * median(token, decoded),
           (long long)before.h2d_bytes, (long long)(after.h2d_bytes - first) / decoded,
           (long long)m->budget_bytes, (long long)m->arena_bytes);
    fflush(stdout);
}

/* Room in the context for the prompt and what is decoded behind it. */
static bool fits(int64_t n, int decoded)
{
    return n > 0 && n + decoded + SKIP <= hi_the_model.ctx;
}

int main(int argc, char **argv)
{
    const char *limit = getenv("BENCH_SECONDS"), *weights = getenv("BENCH_WEIGHTS");
    hi_options o = { .weights = weights != NULL ? weights : "random:1" };
    double begin = now(), left = limit != NULL ? atof(limit) : 1e9;
    char err[4096];

    if (argc < 4)
        die("usage", "bench_model NAME DECODED TOKENS..");
    int decoded = atoi(argv[2]);
    if (decoded < 1 || decoded > MOST_DECODED)
        die("DECODED", "must be 1 to 256");
    int64_t ctx = hi_the_model.ctx;
    int32_t *ids = malloc((size_t)ctx * sizeof *ids);
    if (ids == NULL)
        die("ids", "out of memory");
    for (int64_t i = 0; i < ctx; i++)
        ids[i] = (int32_t)(i * 7919 % (hi_the_model.vocab - 1) + 1);
    hi_run *r = hi_open(&hi_the_model, &o, NULL, err, sizeof err);
    if (r == NULL)
        die("open", err);
    printf("{\"bench\": \"open\", \"plan\": \"%s\", \"seconds\": %.2f, \"host_bytes\": %lld, "
           "\"device\": \"%s\", \"note\": \"%s\"}\n",
           argv[1], now() - begin, (long long)hi_the_model.host_bytes, hi_isa(r), hi_note(r));
    fflush(stdout);
    if (fits(WARM_UP, decoded))
        (void)prefill(r, ids, WARM_UP);
    double rate = 0;                 /* seconds of the last prompt by the square of its tokens */
    for (int i = 3; i < argc; i++) {
        int64_t n = atoll(argv[i]);
        if (!fits(n, decoded))
            continue;
        double squares = (double)n * (double)n, from = now();
        if (now() - begin + rate * squares > left) {
            fprintf(stderr, "bench_model: no time left for %lld tokens\n", (long long)n);
            break;
        }
        measure(r, argv[1], ids, n, decoded);
        rate = (now() - from) / squares;
    }
    hi_close(r);
    free(ids);
    return 0;
}
