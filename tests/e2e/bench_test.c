/*
** bench_test.c - what 'bench -o json' prints is JSON, with the keys and the arithmetic of
** llama-bench.
**
**   bench_test N REPETITIONS < OUTPUT          N: objects that there must be
*/
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "e2e.h"

static const struct {
    const char *name;
    json_type type;
} KEYS[] = {
    { "build_commit", JSON_STRING }, { "cpu_info", JSON_STRING },
    { "gpu_info", JSON_STRING },     { "model_type", JSON_STRING },
    { "model_size", JSON_INTEGER },  { "model_n_params", JSON_INTEGER },
    { "n_batch", JSON_INTEGER },     { "n_ubatch", JSON_INTEGER },
    { "type_k", JSON_STRING },       { "type_v", JSON_STRING },
    { "n_prompt", JSON_INTEGER },    { "n_gen", JSON_INTEGER },
    { "n_depth", JSON_INTEGER },     { "test_time", JSON_STRING },
    { "avg_ns", JSON_INTEGER },      { "stddev_ns", JSON_INTEGER },
    { "avg_ts", JSON_REAL },         { "stddev_ts", JSON_REAL },
    { "samples_ns", JSON_ARRAY },    { "samples_ts", JSON_ARRAY },
    { "kv_plan", JSON_STRING },      { "link_gbps", JSON_REAL },
    { "stall_pct", JSON_REAL },
};

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void check(const json_t *o, size_t repetitions)
{
    const json_t *ns = json_object_get(o, "samples_ns"), *ts = json_object_get(o, "samples_ts");
    double tokens = number(o, "n_prompt") + number(o, "n_gen"), sum = 0, squares = 0;

    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        const json_t *v = json_object_get(o, KEYS[i].name);
        if (v == NULL || json_typeof(v) != KEYS[i].type)
            die("%s is absent or of another type", KEYS[i].name);
    }
    if (json_array_size(ns) != repetitions || json_array_size(ts) != repetitions)
        die("%zu samples, not %zu", json_array_size(ns), repetitions);
    for (size_t i = 0; i < repetitions; i++) {
        double t = json_number_value(json_array_get(ns, i)),
               s = json_number_value(json_array_get(ts, i));
        if (t <= 0 || fabs(s * t / 1e9 / tokens - 1) > 1e-3)
            die("sample %zu: %g tokens in %g ns are not %g per second", i, tokens, t, s);
        sum += s / (double)repetitions;
    }
    for (size_t i = 0; i < repetitions; i++) {
        double off = json_number_value(json_array_get(ts, i)) - sum;
        squares += off * off;
    }
    if (fabs(number(o, "avg_ts") / sum - 1) > 1e-9)
        die("avg_ts is no mean");
    double deviation = sqrt(squares / (double)(repetitions - 1));
    if (fabs(number(o, "stddev_ts") - deviation) > 1e-6 * sum)
        die("stddev_ts is not %g", deviation);
    if (number(o, "stall_pct") < 0 || number(o, "link_gbps") < 0 ||
        (tokens > 0) != (number(o, "avg_ns") > 0))
        die("a value is below zero");
}

int main(int argc, char **argv)
{
    json_error_t e;
    json_t *all = json_loadf(stdin, 0, &e);

    if (argc != 3)
        die("usage: bench_test N REPETITIONS");
    if (!json_is_array(all) || json_array_size(all) != strtoul(argv[1], NULL, 10))
        die("not a list of %s: %s", argv[1], e.text);
    for (size_t i = 0; i < json_array_size(all); i++)
        check(json_array_get(all, i), strtoul(argv[2], NULL, 10));
    json_decref(all);
    return 0;
}
