/*
** import_json.c - fields of a JSON object, checked one by one.
**
** Every number that a spec takes from config.json passes through here: its kind, its range. Files
** with fields that nobody asks for are fine.
*/
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "import.h"
#include "infile.h"

enum {
    JSON_BYTES = 12 << 20, /* tokenizer_config.json holds the template */
    JSON_DEPTH = 64
};

int import_fail(hi_error *e, const char *fmt, ...)
{
    char line[sizeof e->text];
    va_list args;

    va_start(args, fmt);
    infile_fail_list(line, sizeof line, fmt, args);
    va_end(args);
    return gen_fail(e, "%s", line);
}

void import_note(text *notes, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    infile_fail_list(line, sizeof line, fmt, args);
    va_end(args);
    text_printf(notes, "%s\n", line);
}

const json_t *hf_get(const hf_object *c, const char *name)
{
    const json_t *v = json_object_get(c->o, name);
    return json_is_null(v) ? NULL : v;
}

static void value_text(const json_t *v, char *out, size_t n)
{
    if (json_is_string(v))
        snprintf(out, n, "\"%.60s\"", json_string_value(v));
    else if (json_is_integer(v))
        snprintf(out, n, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, n, "%.15g", json_real_value(v));
    else if (json_is_boolean(v))
        snprintf(out, n, json_is_true(v) ? "true" : "false");
    else
        snprintf(out, n, json_is_null(v) ? "null" : json_is_array(v) ? "[ ... ]" : "{ ... }");
}

int hf_refuse(const hf_object *c, const char *name, const char *remedy)
{
    const json_t *v = json_object_get(c->o, name);
    char value[80];

    if (v == NULL)
        return import_fail(c->e, "%s: %s%s: missing; %s", c->file, c->prefix, name, remedy);
    value_text(v, value, sizeof value);
    return import_fail(c->e, "%s: %s%s = %s: %s", c->file, c->prefix, name, value, remedy);
}

int hf_whole(const hf_object *c, const char *name, int64_t lo, int64_t hi, int64_t *out)
{
    const json_t *v = hf_get(c, name);
    double x = json_number_value(v);
    char remedy[80];

    if (v == NULL)
        return 0;
    if (json_is_number(v) && x == floor(x) && x >= (double)lo && x <= (double)hi) {
        *out = json_is_integer(v) ? json_integer_value(v) : (int64_t)x;
        return 0;
    }
    snprintf(remedy, sizeof remedy, "must be a whole number from %lld to %lld", (long long)lo,
             (long long)hi);
    return hf_refuse(c, name, remedy);
}

int hf_positive(const hf_object *c, const char *name, double *out)
{
    const json_t *v = hf_get(c, name);
    double x = json_number_value(v);

    if (v == NULL)
        return 0;
    if (!json_is_number(v) || !isfinite(x) || x <= 0)
        return hf_refuse(c, name, "must be a number above 0");
    *out = x;
    return 0;
}

static int need(const hf_object *c, const char *name)
{
    if (hf_get(c, name) != NULL)
        return 0;
    return hf_refuse(c, name, "the spec needs it; fetch the whole file again");
}

int hf_need_whole(const hf_object *c, const char *name, int64_t lo, int64_t hi, int64_t *out)
{
    return need(c, name) != 0 ? -1 : hf_whole(c, name, lo, hi, out);
}

int hf_need_positive(const hf_object *c, const char *name, double *out)
{
    return need(c, name) != 0 ? -1 : hf_positive(c, name, out);
}

int hf_bool(const hf_object *c, const char *name, bool *out)
{
    const json_t *v = hf_get(c, name);

    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return hf_refuse(c, name, "must be true or false");
    *out = json_is_true(v);
    return 0;
}

const char *hf_text(const hf_object *c, const char *name)
{
    const json_t *v = hf_get(c, name);

    if (v == NULL)
        return "";
    if (!json_is_string(v))
        hf_refuse(c, name, "must be a text");
    return json_string_value(v);
}

int hf_open(const char *folder, const char *file, json_t **out, hi_error *e)
{
    char path[IMPORT_PATH], why[1024];

    *out = NULL;
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return import_fail(e, "%.64s...: path too long", folder);
    int rc = infile_json(path, JSON_BYTES, JSON_DEPTH, out, why, sizeof why);
    if (rc < 0)
        return import_fail(e, "%s", why);
    if (rc == 1 && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return import_fail(e, "%s: must be an object", path);
    }
    return rc;
}
