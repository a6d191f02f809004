/*
** import_shards.c - a checkpoint's tensors by name, from the files' headers alone.
**
** Which files there are says model.safetensors.index.json, or else it is model.safetensors. No
** element is read.
*/
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "infile.h"
#include "safetensors.h"

enum {
    INDEX_BYTES = 64 << 20,
    INDEX_DEPTH = 4,
    MAX_SHARDS = 10000
};

#define INDEX "model.safetensors.index.json"

typedef unsigned long long ull;

struct hf_shards {
    const char *folder;
    json_t *index;     /* NULL: a single file */
    const char **name; /* (n) sorted; text belongs to index */
    st_file *file;     /* (n) */
    bool **used;       /* (n) of each file's tensors, in order */
    size_t n;
    hi_error *e;
};

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* A file of this folder and no other. */
static bool is_bare(const char *name)
{
    static const char ALLOWED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    return name[0] != '\0' && name[0] != '.' && name[strspn(name, ALLOWED)] == '\0';
}

/* ---- the index ---- */

/* The distinct names in the index, sorted. */
static int list_files(hf_shards *s, json_t *map)
{
    const char *tensor;
    json_t *v;
    size_t n = 0;

    s->name = calloc(json_object_size(map) + 1, sizeof *s->name);
    if (s->name == NULL)
        return gen_fail(s->e, INDEX ": out of memory");
    json_object_foreach(map, tensor, v)
    {
        const char *name = json_string_value(v);
        if (name == NULL || !is_bare(name))
            return import_fail(s->e, INDEX ": %s: must name a file of this folder", tensor);
        s->name[n++] = name;
    }
    qsort(s->name, n, sizeof *s->name, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(s->name[i], s->name[s->n - 1]) != 0)
            s->name[s->n++] = s->name[i];
    if (s->n > MAX_SHARDS)
        return gen_fail(s->e, INDEX ": %zu files; at most %d", s->n, MAX_SHARDS);
    return 0;
}

static int read_index(hf_shards *s)
{
    char path[IMPORT_PATH], why[1024];

    snprintf(path, sizeof path, "%s/" INDEX, s->folder);
    int rc = infile_json(path, INDEX_BYTES, INDEX_DEPTH, &s->index, why, sizeof why);
    if (rc < 0)
        return import_fail(s->e, "%s", why);
    if (rc > 0) {
        json_t *map = json_object_get(s->index, "weight_map");
        if (!json_is_object(map) || json_object_size(map) == 0)
            return gen_fail(s->e, INDEX ": weight_map: must be an object of file names");
        return list_files(s, map);
    }
    s->name = calloc(1, sizeof *s->name);
    if (s->name == NULL)
        return gen_fail(s->e, "model.safetensors: out of memory");
    s->name[0] = "model.safetensors";
    s->n = 1;
    return 0;
}

/* ---- the files ---- */

static int open_file(hf_shards *s, size_t i)
{
    char path[IMPORT_PATH], why[1024];

    if (snprintf(path, sizeof path, "%s/%s", s->folder, s->name[i]) >= (int)sizeof path)
        return import_fail(s->e, "%.64s...: path too long", s->folder);
    errno = 0;
    if (st_open(path, &s->file[i], why, sizeof why) != 0) {
        if (s->file[i].fd < 0 && errno == ENOENT)
            return import_fail(s->e, "%s: missing%s; download it", path,
                               s->index != NULL ? ", though " INDEX " names it" : "");
        return import_fail(s->e, "%s", why);
    }
    s->used[i] = calloc(s->file[i].n_tensors + 1, sizeof **s->used);
    return s->used[i] != NULL ? 0 : gen_fail(s->e, "%s: out of memory", s->name[i]);
}

static int open_files(hf_shards *s)
{
    s->file = calloc(s->n, sizeof *s->file);
    for (size_t i = 0; s->file != NULL && i < s->n; i++)
        s->file[i].fd = -1;
    s->used = calloc(s->n, sizeof *s->used);
    if (s->file == NULL || s->used == NULL)
        return import_fail(s->e, "%s: out of memory for %zu files", s->folder, s->n);
    for (size_t i = 0; i < s->n; i++)
        if (open_file(s, i) != 0)
            return -1;
    return 0;
}

static const char *mapped_to(const hf_shards *s, const char *tensor)
{
    return json_string_value(json_object_get(json_object_get(s->index, "weight_map"), tensor));
}

/* Every mapped tensor is in its file, and in no other. */
static int check_map(hf_shards *s)
{
    const char *tensor;
    json_t *v;

    if (s->index == NULL)
        return 0;
    json_object_foreach(json_object_get(s->index, "weight_map"), tensor, v)
    {
        hf_tensor found;
        if (!shards_find(s, tensor, &found))
            return import_fail(s->e,
                               INDEX ": %s: not in %s, where the index has it; both must be "
                                     "of one revision",
                               tensor, json_string_value(v));
    }
    for (size_t i = 0; i < s->n; i++) {
        memset(s->used[i], 0, s->file[i].n_tensors * sizeof **s->used);
        for (size_t k = 0; k < s->file[i].n_tensors; k++) {
            const char *where = mapped_to(s, s->file[i].tensor[k].name);
            if (where != NULL && strcmp(where, s->name[i]) != 0)
                return import_fail(s->e, "%s: %s: also in %s: which one is meant?", s->name[i],
                                   s->file[i].tensor[k].name, where);
        }
    }
    return 0;
}

/* metadata.total_size: what whoever wrote the index had. A check, no more. */
static void note_total(const hf_shards *s, text *notes)
{
    const json_t *v = json_object_get(json_object_get(s->index, "metadata"), "total_size");
    double total = json_number_value(v);
    ull sum = 0;

    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->file[i].n_tensors; k++)
            sum += s->file[i].tensor[k].end - s->file[i].tensor[k].begin;
    if (json_is_number(v) && total != (double)sum)
        import_note(notes, INDEX ": metadata.total_size = %.0f, but the tensors have %llu bytes",
                    total, sum);
}

hf_shards *shards_open(const char *folder, text *notes, hi_error *e)
{
    hf_shards *s = calloc(1, sizeof *s);

    if (s == NULL) {
        gen_fail(e, "%s: out of memory", folder);
        return NULL;
    }
    s->folder = folder;
    s->e = e;
    if (read_index(s) == 0 && open_files(s) == 0 && check_map(s) == 0) {
        note_total(s, notes);
        return s;
    }
    shards_close(s);
    return NULL;
}

void shards_close(hf_shards *s)
{
    for (size_t i = 0; s->file != NULL && i < s->n; i++)
        st_close(&s->file[i]);
    for (size_t i = 0; s->used != NULL && i < s->n; i++)
        free(s->used[i]);
    free(s->file);
    free(s->used);
    free(s->name);
    json_decref(s->index);
    free(s);
}

bool shards_find(const hf_shards *s, const char *name, hf_tensor *out)
{
    size_t i = 0;

    if (s->index != NULL) {
        const char *where = mapped_to(s, name);
        const char **found =
            where == NULL ? NULL : bsearch(&where, s->name, s->n, sizeof *s->name, by_text);
        if (found == NULL)
            return false;
        i = (size_t)(found - s->name);
    }
    const st_tensor *t = st_find(&s->file[i], name);
    if (t == NULL)
        return false;
    s->used[i][t - s->file[i].tensor] = true;
    *out = (hf_tensor){ s->name[i], st_dtype_name(t->dtype), t->rank, { t->dim[0], t->dim[1] } };
    return true;
}

size_t shards_count(const hf_shards *s)
{
    return s->n;
}

const char *shards_unused(const hf_shards *s, size_t *at)
{
    size_t before = 0;

    for (size_t i = 0; i < s->n; before += s->file[i].n_tensors, i++)
        for (size_t k = 0; k < s->file[i].n_tensors; k++)
            if (before + k >= *at && !s->used[i][k]) {
                *at = before + k + 1;
                return s->file[i].tensor[k].name;
            }
    return NULL;
}
