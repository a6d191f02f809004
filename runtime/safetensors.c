/*
** safetensors.c - checks and reads safetensors files.
**
** A header may have 100 MB, and a document tree of it twenty times that. So the outer object
** is walked here, member by member, and only one tensor's description at a time is given to
** the JSON library, whose strictness (UTF-8, numbers, duplicate keys) thus covers every
** byte that is not white space or a bracket. A first walk counts, so that memory is taken
** once and only after the limits hold.
*/
#include "safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checked.h"
#include "infile.h"

typedef unsigned long long ull;

static const struct { /* ORDER DTYPES: safetensors.h */
    const char *name;
    unsigned bits;
} DTYPE[] = {
    { "BOOL", 8 },    { "F4", 4 },          { "F6_E2M3", 6 },     { "F6_E3M2", 6 },
    { "U8", 8 },      { "I8", 8 },          { "F8_E5M2", 8 },     { "F8_E4M3", 8 },
    { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 }, { "I16", 16 },
    { "U16", 16 },    { "F16", 16 },        { "BF16", 16 },       { "I32", 32 },
    { "U32", 32 },    { "F32", 32 },        { "C64", 64 },        { "F64", 64 },
    { "I64", 64 },    { "U64", 64 },
};

static_assert(sizeof DTYPE / sizeof *DTYPE == ST_DTYPES, "one row per st_dtype");

const char *st_dtype_name(st_dtype t)
{
    return DTYPE[t].name;
}

/* ---- walking a JSON object without building it ---- */

typedef struct slice {
    const char *p;
    size_t n;
} slice;

typedef struct parser {
    const char *file, *json;
    const char *at, *end;
    st_file *out;
    char *err, *name; /* where the next name goes in out->names */
    size_t n_err;
    bool metadata; /* seen */
} parser;

static int fail(parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(parser *p, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    infile_fail_list(text, sizeof text, fmt, args);
    va_end(args);
    return infile_fail(p->err, p->n_err, "%s: %s", p->file, text);
}

static int fail_at(parser *p, const char *what)
{
    return fail(p, "header byte %td: %s: the file is damaged, fetch it again", p->at - p->json,
                what);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Next character that is not white space; 0 at the end (a NUL in the text is no JSON either). */
static char peek(parser *p)
{
    while (p->at < p->end && is_space(*p->at))
        p->at++;
    return p->at < p->end ? *p->at : 0;
}

static int walk_string(parser *p)
{
    p->at++;
    while (p->at < p->end && *p->at != '"')
        p->at += *p->at == '\\' && p->end - p->at > 1 ? 2 : 1;
    if (p->at == p->end)
        return fail_at(p, "not JSON: a string does not end");
    p->at++;
    return 0;
}

/* Brackets only have to balance in number here: the JSON library looks again. */
static int walk_nested(parser *p)
{
    int depth = 1; /* of the object around */
    do {
        char c = p->at < p->end ? *p->at : 0;
        if (p->at == p->end)
            return fail_at(p, "not JSON: an object or array does not end");
        if (c == '"') {
            if (walk_string(p) != 0)
                return -1;
            continue;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth > ST_MAX_DEPTH)
            return fail_at(p, "nested more than 4 deep");
        p->at++;
    } while (depth > 1);
    return 0;
}

static int walk_value(parser *p, slice *v)
{
    char c = peek(p);
    v->p = p->at;
    if (c == '"') {
        if (walk_string(p) != 0)
            return -1;
    } else if (c == '{' || c == '[') {
        if (walk_nested(p) != 0)
            return -1;
    } else {
        while (p->at < p->end && !is_space(*p->at) && !memchr(",}]", *p->at, 3))
            p->at++;
    }
    v->n = (size_t)(p->at - v->p);
    return v->n > 0 ? 0 : fail_at(p, "not JSON: a value is missing");
}

/* The next member of the header: 1, or 0 after the last one, or -1. */
static int walk_member(parser *p, bool first, slice *key, slice *value)
{
    char c = peek(p);
    if (c == '}') {
        p->at++;
        return 0;
    }
    if (!first) {
        if (c != ',')
            return fail_at(p, "not JSON: ',' or '}' expected");
        p->at++;
        c = peek(p);
    }
    key->p = p->at;
    if (c != '"')
        return fail_at(p, "not JSON: a name in quotes expected");
    if (walk_string(p) != 0)
        return -1;
    key->n = (size_t)(p->at - key->p);
    if (peek(p) != ':')
        return fail_at(p, "not JSON: ':' expected");
    p->at++;
    return walk_value(p, value) == 0 ? 1 : -1;
}

/* Calls take for every member; take may be NULL. */
static int walk_header(parser *p, int (*take)(parser *p, slice key, slice value), size_t *n_members,
                       size_t *key_bytes)
{
    slice key, value;
    *n_members = *key_bytes = 0;
    p->at = p->json;
    if (peek(p) != '{')
        return fail_at(p, "not JSON: the header must be an object");
    p->at++;
    int rc;
    while ((rc = walk_member(p, *n_members == 0, &key, &value)) == 1) {
        ++*n_members;
        *key_bytes += key.n; /* a part of the header: cannot overflow */
        if (take && take(p, key, value) != 0)
            return -1;
    }
    if (rc == 0 && (peek(p) != 0 || p->at != p->end))
        return fail_at(p, "not JSON: text after the header's end");
    return rc;
}

/* ---- one tensor's description ---- */

static json_t *parse_slice(parser *p, slice s, const char *name)
{
    json_error_t e;
    json_t *v = infile_parse(s.p, s.n, &e);
    if (v)
        return v;
    if (e.text[0] == '\0')
        fail(p, "%s: out of memory", name);
    else
        fail(p, "%s: header byte %td: not JSON: %s: the file is damaged, fetch it again", name,
             s.p - p->json + e.position, e.text);
    return NULL;
}

static int fail_field(parser *p, const st_tensor *t, const char *field, const char *what)
{
    return fail(p, "%s: %s: %s: the file is damaged, fetch it again", t->name, field, what);
}

static int take_dtype(parser *p, st_tensor *t, const json_t *v)
{
    if (!json_is_string(v))
        return fail_field(p, t, "dtype", "must be a string");
    for (int i = 0; i < ST_DTYPES; i++) {
        if (strcmp(json_string_value(v), DTYPE[i].name) == 0) {
            t->dtype = (st_dtype)i;
            return 0;
        }
    }
    return fail(p, "%s: dtype = %.64s: not a type of this format", t->name, json_string_value(v));
}

/* Counts of JSON are never negative here: the library's integers are signed 64-bit. */
static int take_counts(parser *p, const st_tensor *t, const char *field, const json_t *v,
                       size_t most, uint64_t *count)
{
    if (!json_is_array(v))
        return fail_field(p, t, field, "must be an array");
    if (json_array_size(v) > most)
        return fail(p, "%s: %s has %zu numbers: at most %zu", t->name, field, json_array_size(v),
                    most);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *x = json_array_get(v, i);
        if (!json_is_integer(x) || json_integer_value(x) < 0)
            return fail_field(p, t, field, "must hold whole numbers from 0 on");
        count[i] = (uint64_t)json_integer_value(x);
    }
    return 0;
}

static int take_fields(parser *p, st_tensor *t, const json_t *entry)
{
    const char *const fields[] = { "dtype", "shape", "data_offsets" };
    const json_t *v[3];
    if (!json_is_object(entry))
        return fail(p, "%s: must be an object: the file is damaged, fetch it again", t->name);
    for (int i = 0; i < 3; i++) {
        v[i] = json_object_get(entry, fields[i]);
        if (!v[i])
            return fail_field(p, t, fields[i], "missing");
    }
    uint64_t offsets[2];
    if (take_dtype(p, t, v[0]) != 0 || take_counts(p, t, "shape", v[1], ST_MAX_RANK, t->dim) != 0 ||
        take_counts(p, t, "data_offsets", v[2], 2, offsets) != 0)
        return -1;
    if (json_array_size(v[2]) != 2)
        return fail_field(p, t, "data_offsets", "must hold two numbers");
    t->rank = (int)json_array_size(v[1]);
    t->begin = offsets[0];
    t->end = offsets[1];
    return 0;
}

/* __metadata__ is checked and forgotten. */
static int take_metadata(parser *p, slice value)
{
    if (p->metadata)
        return fail(p, "__metadata__: appears twice: the file is damaged, fetch it again");
    p->metadata = true;
    if (value.n > ST_MAX_METADATA)
        return fail(p, "__metadata__: %zu bytes: at most %d", value.n, ST_MAX_METADATA);
    json_t *v = parse_slice(p, value, "__metadata__");
    if (!v)
        return -1;
    int rc = 0;
    const char *key;
    json_t *text;
    if (!json_is_object(v))
        rc = fail(p, "__metadata__: must be an object of strings");
    json_object_foreach(v, key, text) if (rc == 0 && !json_is_string(text)) rc =
        fail(p, "__metadata__: %.64s: must be a string", key);
    json_decref(v);
    return rc;
}

/* A key that reads as it stands: most names, and asking the library takes time. */
static bool is_plain(slice key)
{
    for (size_t i = 1; i < key.n - 1; i++)
        if ((unsigned char)key.p[i] < 0x20 || (unsigned char)key.p[i] > 0x7e || key.p[i] == '\\')
            return false;
    return true;
}

static int keep_name(parser *p, const char *name, size_t n)
{
    if (n > ST_MAX_NAME)
        return fail(p, "%.64s...: a tensor's name of %zu bytes: at most %d", name, n, ST_MAX_NAME);
    memcpy(p->name, name, n); /* shorter than its key in quotes */
    p->name[n] = '\0';
    return 0;
}

/* Writes the name, unescaped, to p->name. */
static int take_name(parser *p, slice key)
{
    if (is_plain(key))
        return keep_name(p, key.p + 1, key.n - 2);
    if (key.n > 6 * ST_MAX_NAME + 2) /* were every byte an escape */
        return fail(p, "%.64s...: a tensor's name of %zu bytes: at most %d", key.p + 1, key.n - 2,
                    ST_MAX_NAME);
    json_t *v = parse_slice(p, key, "a tensor's name");
    if (!v)
        return -1;
    int rc = keep_name(p, json_string_value(v), json_string_length(v));
    json_decref(v);
    return rc;
}

static int take_member(parser *p, slice key, slice value)
{
    st_tensor *t = &p->out->tensor[p->out->n_tensors];
    if (take_name(p, key) != 0)
        return -1;
    if (strcmp(p->name, "__metadata__") == 0)
        return take_metadata(p, value);
    t->name = p->name;
    p->name += strlen(p->name) + 1;
    if (value.n > ST_MAX_ENTRY)
        return fail(p, "%s: a description of %zu bytes: at most %d", t->name, value.n,
                    ST_MAX_ENTRY);
    json_t *entry = parse_slice(p, value, t->name);
    if (!entry)
        return -1;
    int rc = take_fields(p, t, entry);
    json_decref(entry);
    p->out->n_tensors += rc == 0;
    return rc;
}

/* ---- all tensors together ---- */

static int by_name(const void *a, const void *b)
{
    const st_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Empty tensors come before the one that begins at the same place. */
static int by_place(const void *a, const void *b)
{
    const st_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_names(parser *p)
{
    st_file *f = p->out;
    for (size_t i = 0; i < f->n_tensors; i++)
        f->by_name[i] = &f->tensor[i];
    qsort(f->by_name, f->n_tensors, sizeof *f->by_name, by_name);
    for (size_t i = 1; i < f->n_tensors; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return fail(p, "%s: appears twice: the file is damaged, fetch it again",
                        f->by_name[i]->name);
    return 0;
}

/* The bytes of t: elements times size. */
static int check_bytes(parser *p, const st_tensor *t)
{
    uint64_t bits = DTYPE[t->dtype].bits, bytes;
    for (int i = 0; i < t->rank; i++)
        if (!checked_mul(bits, t->dim[i], &bits))
            return fail_field(p, t, "shape", "its bits overflow 64-bit arithmetic");
    if (bits % 8 != 0)
        return fail(p, "%s: shape: %llu bits of %s are not whole bytes", t->name, (ull)bits,
                    DTYPE[t->dtype].name);
    if (!checked_sub(t->end, t->begin, &bytes) || bytes != bits / 8)
        return fail(p,
                    "%s: data_offsets = [%llu, %llu]: shape and dtype (%s) make %llu bytes: "
                    "the file is damaged, fetch it again",
                    t->name, (ull)t->begin, (ull)t->end, DTYPE[t->dtype].name, (ull)(bits / 8));
    return 0;
}

/* No gap, no overlap, nothing left over. */
static int check_places(parser *p, uint64_t data_bytes)
{
    const st_file *f = p->out;
    uint64_t at = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const st_tensor *t = &f->tensor[i];
        if (t->begin != at || t->end < t->begin)
            return fail(p,
                        "%s: data_offsets = [%llu, %llu]: must begin at %llu and not end before: "
                        "the file is damaged, fetch it again",
                        t->name, (ull)t->begin, (ull)t->end, (ull)at);
        if (check_bytes(p, t) != 0)
            return -1;
        at = t->end;
    }
    if (at != data_bytes)
        return fail(p,
                    "%llu bytes follow the header, its tensors take %llu: the file is %s, fetch it "
                    "again",
                    (ull)data_bytes, (ull)at, data_bytes < at ? "cut short" : "damaged");
    return 0;
}

/* n_members > 0. */
static int take_memory(parser *p, size_t n_members, size_t key_bytes)
{
    uint64_t table, index;
    if (!checked_mul(n_members, sizeof *p->out->tensor, &table) ||
        !checked_mul(n_members, sizeof *p->out->by_name, &index))
        return fail(p, "%zu tensors: their table overflows", n_members);
    p->out->tensor = malloc(table);
    p->out->by_name = malloc(index);
    p->out->names = malloc(key_bytes);
    p->name = p->out->names;
    if (!p->out->tensor || !p->out->by_name || !p->out->names)
        return fail(p, "out of memory (%llu bytes for %zu tensors)", (ull)table + index + key_bytes,
                    n_members);
    return 0;
}

int st_parse(const char *file, const char *json, size_t n_json, uint64_t data_bytes, st_file *out,
             char *err, size_t n)
{
    parser p = {
        .file = file, .json = json, .end = json + n_json, .out = out, .err = err, .n_err = n
    };
    size_t n_members, key_bytes;
    if (n_json > ST_MAX_HEADER)
        return fail(&p, "header of %zu bytes: at most %d", n_json, ST_MAX_HEADER);
    if (walk_header(&p, NULL, &n_members, &key_bytes) != 0)
        return -1;
    if (n_members > ST_MAX_TENSORS)
        return fail(&p, "%zu tensors: at most %d", n_members, ST_MAX_TENSORS);
    if (n_members > 0 && (take_memory(&p, n_members, key_bytes) != 0 ||
                          walk_header(&p, take_member, &n_members, &key_bytes) != 0))
        return -1;
    if (out->n_tensors > 0)
        qsort(out->tensor, out->n_tensors, sizeof *out->tensor, by_place);
    if (out->n_tensors > 0 && check_names(&p) != 0)
        return -1;
    return check_places(&p, data_bytes);
}

/* ---- files ---- */

static uint64_t little_endian(const unsigned char b[8])
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | b[i];
    return v;
}

/* Reads and checks the header of an open file of 'bytes' bytes. */
static int read_header(st_file *f, uint64_t bytes, char *err, size_t n)
{
    unsigned char length[8];
    uint64_t n_json, data_bytes;
    if (bytes < 8)
        return infile_fail(err, n, "%s: %llu bytes: too short for a safetensors file", f->path,
                           (ull)bytes);
    if (infile_read(f->fd, f->path, length, 8, 0, err, n) != 0)
        return -1;
    if (memcmp(length, "version ", 8) == 0)
        return infile_fail(err, n, "%s: a git-lfs pointer, not the file: fetch it by git lfs pull",
                           f->path);
    n_json = little_endian(length);
    if (n_json > ST_MAX_HEADER)
        return infile_fail(err, n, "%s: header of %llu bytes: at most %d: not a safetensors file",
                           f->path, (ull)n_json, ST_MAX_HEADER);
    if (!checked_add(8, n_json, &f->data_start) || !checked_sub(bytes, f->data_start, &data_bytes))
        return infile_fail(
            err, n,
            "%s: header of %llu bytes in a file of %llu: the file is cut short, fetch "
            "it again",
            f->path, (ull)n_json, (ull)bytes);
    char *json = malloc(n_json > 0 ? n_json : 1);
    if (!json)
        return infile_fail(err, n, "%s: out of memory (%llu bytes)", f->path, (ull)n_json);
    int rc = infile_read(f->fd, f->path, json, n_json, 8, err, n);
    if (rc == 0)
        rc = st_parse(f->path, json, n_json, data_bytes, f, err, n);
    free(json);
    return rc;
}

int st_open(const char *path, st_file *out, char *err, size_t n)
{
    uint64_t bytes;
    *out = (st_file){ .fd = -1 };
    out->path = malloc(strlen(path) + 1);
    if (!out->path)
        return infile_fail(err, n, "%s: out of memory", path);
    strcpy(out->path, path);
    out->fd = infile_open(path, &bytes, err, n);
    return out->fd < 0 ? -1 : read_header(out, bytes, err, n);
}

void st_close(st_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f->tensor);
    free(f->by_name);
    free(f->names);
    *f = (st_file){ .fd = -1 };
}

const st_tensor *st_find(const st_file *f, const char *name)
{
    const st_tensor key = { .name = name }, *p = &key;
    if (f->n_tensors == 0)
        return NULL;
    const st_tensor **found = bsearch(&p, f->by_name, f->n_tensors, sizeof *f->by_name, by_name);
    return found ? *found : NULL;
}

int st_read(const st_file *f, const st_tensor *t, uint64_t offset, void *to, size_t n_bytes,
            char *err, size_t n)
{
    uint64_t at, end;
    if (!checked_add(t->begin, offset, &at) || !checked_add(at, n_bytes, &end) || end > t->end ||
        !checked_add(f->data_start, at, &at))
        return infile_fail(err, n, "%s: %s: bytes past the tensor's end wanted", f->path, t->name);
    char where[1024];
    snprintf(where, sizeof where, "%s: %s", f->path, t->name);
    return infile_read(f->fd, where, to, n_bytes, at, err, n);
}
