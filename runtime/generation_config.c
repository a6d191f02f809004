/*
** generation_config.c - generation_config.json: a few of its fields, checked; the others ignored.
*/
#include "generation_config.h"

#include <stdio.h>
#include <string.h>
#include "infile.h"

enum {
    FILE_BYTES = 1 << 20,
    FILE_DEPTH = 32,
    MOST_PATH = 4096
};

typedef struct reader {
    json_t *file;
    const char *path;
    char *err;
    size_t n;
} reader;

/* A number of the file, from 'least' to 'most', into *to; left alone where absent or null. */
static int take_number(const reader *r, const char *name, double least, double most, double *to)
{
    const json_t *v = json_object_get(r->file, name);

    if (v == NULL || json_is_null(v))
        return 0;
    double x = json_number_value(v);
    if (!json_is_number(v))
        return infile_fail(r->err, r->n, "%s: %s: must be a number from %g to %g; correct the file",
                           r->path, name, least, most);
    if (!(x >= least && x <= most))
        return infile_fail(r->err, r->n, "%s: %s = %g: must be from %g to %g; correct the file",
                           r->path, name, x, least, most);
    *to = x;
    return 0;
}

static int take_flag(const reader *r, const char *name, bool *to)
{
    const json_t *v = json_object_get(r->file, name);

    if (v == NULL || json_is_null(v))
        return 0;
    if (!json_is_boolean(v))
        return infile_fail(r->err, r->n, "%s: %s: must be true or false; correct the file", r->path,
                           name);
    *to = json_is_true(v);
    return 0;
}

static int add_end(const reader *r, const json_t *v, generation_config *g)
{
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v) || id < 0 || id > INT32_MAX)
        return infile_fail(
            r->err, r->n,
            "%s: eos_token_id: must be a token's id or a list of them; correct the file", r->path);
    if (g->n_ends == GENERATION_ENDS)
        return infile_fail(r->err, r->n, "%s: eos_token_id: more than %d of them; correct the file",
                           r->path, GENERATION_ENDS);
    g->end[g->n_ends++] = (int32_t)id;
    return 0;
}

static int take_ends(const reader *r, generation_config *g)
{
    const json_t *v = json_object_get(r->file, "eos_token_id");

    if (v == NULL || json_is_null(v))
        return 0;
    if (!json_is_array(v))
        return add_end(r, v, g);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (add_end(r, json_array_get(v, i), g) != 0)
            return -1;
    return 0;
}

static int take_all(const reader *r, generation_config *g)
{
    sample_options *s = &g->sample;
    bool sample = false;
    double top_k, temp = 1;

    if (!json_is_object(r->file))
        return infile_fail(r->err, r->n, "%s: must be an object", r->path);
    if (take_flag(r, "do_sample", &sample) != 0)
        return -1;
    if (sample) { /* what the library that wrote the file would fill in */
        s->top_k = 50;
        s->top_p = 1;
        s->min_p = 0;
    }
    top_k = (double)s->top_k;
    if (take_number(r, "temperature", 0, 100, &temp) != 0 ||
        take_number(r, "top_k", 0, 1 << 30, &top_k) != 0 ||
        take_number(r, "top_p", 0, 1, &s->top_p) != 0 ||
        take_number(r, "min_p", 0, 1, &s->min_p) != 0 ||
        take_number(r, "repetition_penalty", 0.01, 100, &s->repeat) != 0)
        return -1;
    if (top_k != (double)(int64_t)top_k)
        return infile_fail(r->err, r->n, "%s: top_k = %g: must be a whole number; correct the file",
                           r->path, top_k);
    if (s->repeat != 1) /* of all tokens: what the field means where it comes from */
        s->last_n = -1;
    s->top_k = (int64_t)top_k;
    s->temp = sample ? temp : 0;
    return take_ends(r, g);
}

int generation_config_read(generation_config *g, const char *folder, char *err, size_t n)
{
    char path[MOST_PATH];
    json_t *file;

    *g = (generation_config){
        .sample = { .last_n = 64, .repeat = 1, .top_k = 40, .top_p = 0.95, .min_p = 0.05 },
    };
    if (folder == NULL || strncmp(folder, "random:", 7) == 0)
        return 0;
    if (snprintf(path, sizeof path, "%s/generation_config.json", folder) >= MOST_PATH)
        return infile_fail(err, n, "%.64s...: path too long", folder);
    int rc = infile_json(path, FILE_BYTES, FILE_DEPTH, &file, err, n);
    if (rc <= 0)
        return rc;
    g->there = true;
    reader r = { file, path, err, n };
    rc = take_all(&r, g);
    json_decref(file);
    return rc;
}
