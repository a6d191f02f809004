/*
** weights.c - from a checkpoint folder, or a seed, to the tensors of one model.
**
** First everything is checked: config.json against the model, the index against its shards,
** the shards' headers against the model's tensor table; what is wrong is reported together.
** Only then are elements read, in the order they lie in the files, a piece at a time (pieces.c).
*/
#include "weights.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checked.h"
#include "convert.h"
#include "infile.h"
#include "pieces.h"
#include "random_weights.h"
#include "safetensors.h"

enum {
    ALIGN = 64,
    MAX_PATH = 4096,
    MAX_SHARDS = 10000,
    CONFIG_BYTES = 1 << 20,
    CONFIG_DEPTH = 64,
    INDEX_BYTES = 64 << 20,
    INDEX_DEPTH = 4
};

#define INDEX_NAME "model.safetensors.index.json"

typedef unsigned long long ull;

typedef struct item { /* a tensor of the model and where it is stored */
    const hi_tensor *want;
    const st_tensor *have;
    size_t shard;
} item;

typedef struct loader {
    const hi_model *m;
    const char *folder;
    bool round_weights;
    bool says_untied;        /* config.json; the model is tied: then there must be no head */
    json_t *index;           /* NULL: a single file */
    const char **shard_name; /* (n_shards), sorted; text belongs to index */
    st_file *shard;          /* (n_shards) */
    size_t n_shards;
    item *items; /* (m->n_tensors) */
    char *err;
    size_t n_err, used;   /* length of the lines so far */
    int problems, unsaid; /* lines in all, those that did not fit */
} loader;

/* ---- messages ---- */

static int fail(loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void problem(loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(loader *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    infile_fail_list(l->err, l->n_err, fmt, args);
    va_end(args);
    return -1;
}

/* Adds a line to the message, which keeps room for "and N more". */
static void problem(loader *l, const char *fmt, ...)
{
    enum {
        ROOM = 32
    };
    char line[2048];
    va_list args;
    va_start(args, fmt);
    infile_fail_list(line, sizeof line, fmt, args);
    va_end(args);
    size_t n = strlen(line) + (l->problems > 0);
    bool fits = l->unsaid == 0 && l->used + n + ROOM < l->n_err;
    if (l->problems++ == 0 && !fits)
        fail(l, "%s", line); /* cut short is better than nothing */
    else if (!fits)
        l->unsaid++;
    else
        l->used += (size_t)snprintf(l->err + l->used, l->n_err - l->used, "%s%s",
                                    l->problems > 1 ? "\n" : "", line);
}

/* Ends the list of problems: 0 if there were none. */
static int report(loader *l)
{
    if (l->unsaid > 0 && l->used > 0)
        snprintf(l->err + l->used, l->n_err - l->used, "\nand %d more", l->unsaid);
    return l->problems > 0 ? -1 : 0;
}

static int out_of_memory(loader *l, const char *what)
{
    return fail(l, "%s: out of memory for %s", l->folder, what);
}

/* Writes folder/name to path, MAX_PATH bytes. */
static int join(loader *l, const char *name, char *path)
{
    int n = snprintf(path, MAX_PATH, "%s/%s", l->folder, name);
    return n < MAX_PATH ? 0 : fail(l, "%.64s...: path too long", l->folder);
}

/* ---- config.json ---- */

static bool whole(const json_t *v, double *x)
{
    *x = json_number_value(v);
    return json_is_number(v) && *x == floor(*x);
}

static void compare_count(loader *l, const char *field, const json_t *v, int want)
{
    double x;
    if (!v) /* the tensors' shapes will tell */
        return;
    if (!whole(v, &x))
        problem(l, "config.json: %s: must be a whole number", field);
    else if (x != want)
        problem(l,
                "config.json: %s = %.15g: the program was generated for %d; generate it from a "
                "matching spec",
                field, x, want);
}

/* Absent or null: as derived from other fields; those may be absent too (negative). */
static void compare_derived(loader *l, const char *field, const json_t *v, double derived, int want)
{
    if (v && !json_is_null(v))
        compare_count(l, field, v, want);
    else if (derived >= 0 && derived != want)
        problem(l,
                "config.json: %s = %.15g (absent: from other fields): the program was generated "
                "for %d; generate it from a matching spec",
                field, derived, want);
}

static double quotient(const json_t *over, const json_t *under)
{
    double a, b;
    return whole(over, &a) && whole(under, &b) && b >= 1 ? floor(a / b) : -1;
}

static void compare_eps(loader *l, const json_t *v)
{
    double x = json_number_value(v), want = (double)l->m->norm_eps;
    if (!v)
        return;
    if (!json_is_number(v))
        problem(l, "config.json: rms_norm_eps: must be a number");
    else if (fabs((double)(float)x - want) > 1e-9 * fabs(want))
        problem(l,
                "config.json: rms_norm_eps = %.9g: the program was generated for %.9g; generate it "
                "from a matching spec",
                x, want);
}

/* The same shape with another theta is another model: its answers would be nonsense, softly. */
static void compare_theta(loader *l, const json_t *config)
{
    const json_t *v = json_object_get(config, "rope_theta");
    double want = l->m->rope_theta, x;
    if (!v)
        v = json_object_get(json_object_get(config, "rope_parameters"), "rope_theta");
    if (!v || json_is_null(v))
        return;
    x = json_number_value(v);
    if (!json_is_number(v))
        problem(l, "config.json: rope_theta: must be a number");
    else if (fabs(x - want) > 1e-9 * want)
        problem(l,
                "config.json: rope_theta = %.9g: the program was generated for %.9g; generate it "
                "from a matching spec",
                x, want);
}

static void compare_tied(loader *l, const json_t *v)
{
    if (!v) /* each family has its own default */
        return;
    if (!json_is_boolean(v))
        problem(l, "config.json: tie_word_embeddings: must be true or false");
    else if (json_is_true(v) && !l->m->tied)
        problem(l, "config.json: tie_word_embeddings = true: the program was generated for false; "
                   "generate it from a matching spec");
    l->says_untied = json_is_false(v) && l->m->tied;
}

/* vocab_size is not compared: finetunes have other rows than it says, and the rows count. */
static void compare_config(loader *l, const json_t *c)
{
    const hi_model *m = l->m;
    const json_t *heads = json_object_get(c, "num_attention_heads");
    const json_t *hidden = json_object_get(c, "hidden_size");
    const json_t *quantised = json_object_get(c, "quantization_config");
    double n_heads;
    compare_count(l, "hidden_size", hidden, m->hidden);
    compare_count(l, "num_hidden_layers", json_object_get(c, "num_hidden_layers"), m->layers);
    compare_count(l, "num_attention_heads", heads, m->heads);
    compare_derived(l, "num_key_value_heads", json_object_get(c, "num_key_value_heads"),
                    whole(heads, &n_heads) ? n_heads : -1, m->kv_heads);
    compare_derived(l, "head_dim", json_object_get(c, "head_dim"), quotient(hidden, heads),
                    m->head_dim);
    compare_count(l, "intermediate_size", json_object_get(c, "intermediate_size"), m->ffn);
    compare_eps(l, json_object_get(c, "rms_norm_eps"));
    compare_theta(l, c);
    compare_tied(l, json_object_get(c, "tie_word_embeddings"));
    if (quantised && !json_is_null(quantised))
        problem(l, "config.json: quantization_config: quantised checkpoints are not read; give "
                   "the one with bf16 weights");
}

static int check_config(loader *l)
{
    char path[MAX_PATH];
    json_t *c;
    if (join(l, "config.json", path) != 0)
        return -1;
    int rc = infile_json(path, CONFIG_BYTES, CONFIG_DEPTH, &c, l->err, l->n_err);
    if (rc <= 0)
        return rc;
    if (json_is_object(c))
        compare_config(l, c);
    else
        problem(l, "config.json: must be an object");
    json_decref(c);
    return report(l);
}

/* ---- files ---- */

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* A file of this folder and no other. */
static bool is_bare(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return name[0] != '\0' && name[strspn(name, allowed)] == '\0' && !strstr(name, "..") &&
           strcmp(name, ".") != 0;
}

/* The distinct shard names of the index, sorted. */
static int list_shards(loader *l, json_t *map)
{
    const char *tensor;
    json_t *v;
    size_t n = 0, total = json_object_size(map);
    l->shard_name = calloc(total > 0 ? total : 1, sizeof *l->shard_name);
    if (!l->shard_name)
        return out_of_memory(l, "the shards' names");
    json_object_foreach(map, tensor, v)
    {
        const char *name = json_string_value(v);
        if (!name || !is_bare(name))
            problem(l, INDEX_NAME ": %s: must name a file of this folder", tensor);
        else
            l->shard_name[n++] = name;
    }
    qsort(l->shard_name, n, sizeof *l->shard_name, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(l->shard_name[i], l->shard_name[l->n_shards - 1]) != 0)
            l->shard_name[l->n_shards++] = l->shard_name[i];
    if (l->n_shards > MAX_SHARDS)
        problem(l, INDEX_NAME ": %zu shards: at most %d", l->n_shards, MAX_SHARDS);
    return report(l);
}

static int open_index(loader *l)
{
    json_t *map = json_object_get(l->index, "weight_map");
    if (!json_is_object(map))
        return fail(l, INDEX_NAME ": weight_map: must be an object of file names");
    if (json_object_size(map) > ST_MAX_TENSORS)
        return fail(l, INDEX_NAME ": weight_map: %zu tensors: at most %d", json_object_size(map),
                    ST_MAX_TENSORS);
    return list_shards(l, map);
}

static int name_single(loader *l)
{
    l->shard_name = calloc(1, sizeof *l->shard_name);
    if (!l->shard_name)
        return out_of_memory(l, "the file's name");
    l->shard_name[0] = "model.safetensors";
    l->n_shards = 1;
    return 0;
}

static int open_shards(loader *l)
{
    char path[MAX_PATH], why[1024];
    l->shard = calloc(l->n_shards > 0 ? l->n_shards : 1, sizeof *l->shard);
    if (!l->shard)
        return out_of_memory(l, "the table of files");
    for (size_t i = 0; i < l->n_shards; i++)
        l->shard[i].fd = -1;
    for (size_t i = 0; i < l->n_shards; i++) {
        if (join(l, l->shard_name[i], path) != 0)
            return -1;
        if (st_open(path, &l->shard[i], why, sizeof why) != 0)
            problem(l, "%s", why);
    }
    return report(l);
}

static int find_shard(const loader *l, const char *name, size_t *i)
{
    const char **found = bsearch(&name, l->shard_name, l->n_shards, sizeof *l->shard_name, by_text);
    if (!found)
        return -1;
    *i = (size_t)(found - l->shard_name);
    return 0;
}

/* Every mapped tensor is in its shard and in no other. */
static int check_index(loader *l)
{
    const json_t *map = json_object_get(l->index, "weight_map");
    const char *tensor;
    json_t *v;
    size_t s = 0;
    json_object_foreach((json_t *)map, tensor,
                        v) if (find_shard(l, json_string_value(v), &s) == 0 &&
                               !st_find(&l->shard[s], tensor))
        problem(l, INDEX_NAME ": %s: not in %s, where the index has it", tensor,
                json_string_value(v));
    for (s = 0; s < l->n_shards; s++) {
        for (size_t i = 0; i < l->shard[s].n_tensors; i++) {
            tensor = l->shard[s].tensor[i].name;
            const char *where = json_string_value(json_object_get(map, tensor));
            if (where && strcmp(where, l->shard_name[s]) != 0)
                problem(l, "%s: %s: also in %s: which one is meant?", l->shard_name[s], tensor,
                        where);
        }
    }
    return report(l);
}

static int open_files(loader *l)
{
    char path[MAX_PATH];
    if (join(l, INDEX_NAME, path) != 0)
        return -1;
    int rc = infile_json(path, INDEX_BYTES, INDEX_DEPTH, &l->index, l->err, l->n_err);
    if (rc < 0 || (rc ? open_index(l) : name_single(l)) != 0 || open_shards(l) != 0)
        return -1;
    return rc ? check_index(l) : 0;
}

/* ---- the tensor table ---- */

static const st_tensor *find_tensor(const loader *l, const char *name, size_t *shard)
{
    *shard = 0;
    if (l->index) {
        const json_t *map = json_object_get(l->index, "weight_map");
        const char *where = json_string_value(json_object_get(map, name));
        if (!where || find_shard(l, where, shard) != 0)
            return NULL;
    }
    return l->n_shards > 0 ? st_find(&l->shard[*shard], name) : NULL;
}

/* A head that config.json wants used, and the program would not. */
static int check_head(loader *l)
{
    size_t shard;
    if (l->says_untied && find_tensor(l, "lm_head.weight", &shard))
        problem(l, "config.json: tie_word_embeddings = false: the program was generated for true; "
                   "generate it from a matching spec");
    return report(l);
}

/* "[2048, 64]" */
static void print_shape(char *to, size_t n, const uint64_t *dim, int rank)
{
    size_t used = (size_t)snprintf(to, n, "[");
    for (int i = 0; i < rank && used < n; i++)
        used += (size_t)snprintf(to + used, n - used, "%s%llu", i > 0 ? ", " : "", (ull)dim[i]);
    if (used < n)
        snprintf(to + used, n - used, "]");
}

static void check_shape(loader *l, const item *it)
{
    uint64_t dim[2] = { (uint64_t)it->want->rows, (uint64_t)it->want->cols };
    int rank = it->want->cols > 0 ? 2 : 1;
    const st_tensor *t = it->have;
    if (t->rank == rank && memcmp(t->dim, dim, (size_t)rank * sizeof *dim) == 0)
        return;
    char have[256], want[64];
    print_shape(have, sizeof have, t->dim, t->rank);
    print_shape(want, sizeof want, dim, rank);
    problem(l, "%s: %s: shape = %s: the program needs %s", l->shard_name[it->shard], t->name, have,
            want);
}

static bool type_of(st_dtype t, convert_type *c)
{
    *c = t == ST_BF16 ? CONVERT_BF16 : t == ST_F16 ? CONVERT_F16 : CONVERT_F32;
    return t == ST_BF16 || t == ST_F16 || t == ST_F32;
}

static void check_type(loader *l, const item *it)
{
    const char *file = l->shard_name[it->shard], *type = st_dtype_name(it->have->dtype);
    convert_type c;
    if (!type_of(it->have->dtype, &c))
        problem(l, "%s: %s: dtype = %s: only BF16, F16 and F32 are read", file, it->have->name,
                type);
    else if (l->m->elt == 2 && c != CONVERT_BF16 && !l->round_weights)
        problem(l,
                "%s: %s: dtype = %s: the program computes in BF16; --round-weights accepts it, "
                "rounded: not exact; or generate with --numerics f32",
                file, it->have->name, type);
}

static int by_place(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    if (x->have->begin != y->have->begin)
        return x->have->begin < y->have->begin ? -1 : 1;
    return 0;
}

static int check_tensors(loader *l)
{
    size_t n = (size_t)l->m->n_tensors;
    l->items = calloc(n > 0 ? n : 1, sizeof *l->items);
    if (!l->items)
        return out_of_memory(l, "the table of tensors");
    for (size_t i = 0; i < n; i++) {
        item *it = &l->items[i];
        it->want = &l->m->tensor[i];
        it->have = find_tensor(l, it->want->name, &it->shard);
        if (!it->have) {
            problem(l, "%s: %s: missing", l->index ? INDEX_NAME : l->shard_name[0], it->want->name);
            continue;
        }
        check_shape(l, it);
        check_type(l, it);
    }
    if (report(l) != 0)
        return -1;
    qsort(l->items, n, sizeof *l->items, by_place);
    return 0;
}

/* ---- elements ---- */

typedef struct reader {
    const loader *l;
    uint64_t raw_at; /* in a piece's room: bytes as read; before them, as converted */
    weights_sink *sink;
    void *to;
} reader;

/* Elements in the model's type: in place if they are, else in 'to'. */
static const void *convert(const loader *l, convert_type c, const void *raw, void *to, size_t n)
{
    if (l->m->elt == 4 && c == CONVERT_BF16)
        convert_bf16_to_f32(raw, to, n);
    else if (l->m->elt == 4 && c == CONVERT_F16)
        convert_f16_to_f32(raw, to, n);
    else if (l->m->elt == 2 && c == CONVERT_F16)
        convert_f16_to_bf16(raw, to, n);
    else if (l->m->elt == 2 && c == CONVERT_F32)
        convert_f32_to_bf16(raw, to, n);
    else
        return raw;
    return to;
}

/* Reads, checks and converts n elements of an item from element 'first' on; NULL on failure. */
static const void *read_piece(const loader *l, const item *it, uint64_t first, size_t n, void *raw,
                              void *to, char *err, size_t n_err)
{
    const char *file = l->shard_name[it->shard];
    convert_type c;
    uint64_t offset, bytes;
    type_of(it->have->dtype, &c);
    if (!checked_mul(first, convert_bytes(c), &offset) ||
        !checked_mul(n, convert_bytes(c), &bytes) ||
        st_read(&l->shard[it->shard], it->have, offset, raw, bytes, err, n_err) != 0)
        return NULL;
    size_t bad = convert_not_finite(c, raw, n);
    if (bad < n) {
        infile_fail(err, n_err,
                    "%s: %s: element %llu: non-finite weight: the file is damaged, fetch it again",
                    file, it->have->name, (ull)(first + bad));
        return NULL;
    }
    const void *elts = convert(l, c, raw, to, n);
    if (elts != raw && l->m->elt == 2 && (bad = convert_not_finite(CONVERT_BF16, elts, n)) < n) {
        infile_fail(err, n_err,
                    "%s: %s: element %llu: too large for BF16: generate with --numerics f32", file,
                    it->have->name, (ull)(first + bad));
        return NULL;
    }
    return elts;
}

static const hi_tensor *wanted(const void *arg, int i)
{
    const reader *r = arg;
    return r->l->items[i].want;
}

static int load_piece(void *arg, const piece *p, char *err, size_t n_err)
{
    const reader *r = arg;
    const item *it = &r->l->items[p->tensor];
    uint64_t width = (uint64_t)pieces_width(it->want), first, n;
    if (!checked_mul((uint64_t)p->row, width, &first) ||
        !checked_mul((uint64_t)p->n_rows, width, &n))
        return infile_fail(err, n_err, "%s: too large", it->want->name);
    const void *elts =
        read_piece(r->l, it, first, n, (char *)p->room + r->raw_at, p->room, err, n_err);
    if (!elts)
        return -1;
    if (r->sink(r->to, it->want, p->row, p->n_rows, elts) != 0)
        return infile_fail(err, n_err, "%s: %s: refused by the receiver",
                           r->l->shard_name[it->shard], it->want->name);
    return 0;
}

/* The largest piece of all tensors: bytes as read, and as converted if any has to be. */
static bool largest_piece(const loader *l, uint64_t *raw, uint64_t *room)
{
    *raw = *room = 0;
    for (int i = 0; i < l->m->n_tensors; i++) {
        const item *it = &l->items[i];
        convert_type c;
        uint64_t n, in, out;
        type_of(it->have->dtype, &c);
        if (!checked_mul((uint64_t)pieces_rows(it->want), (uint64_t)pieces_width(it->want), &n) ||
            !checked_mul(n, convert_bytes(c), &in) || !checked_mul(n, (uint64_t)l->m->elt, &out))
            return false;
        bool same = l->m->elt == 2 ? c == CONVERT_BF16 : c == CONVERT_F32;
        *raw = in > *raw ? in : *raw;
        *room = !same && out > *room ? out : *room;
    }
    return true;
}

/*
** Files are read, not mapped: with two threads and 2.4 GB in the page cache both took the same time
** (0.30 to 0.32 s, checked and packed), and a mapped file that shrinks would end the program.
*/
static int load_items(loader *l, const weights_crew *crew, weights_sink *sink, void *to)
{
    reader r = { .l = l, .sink = sink, .to = to };
    piecework w = { .what = l->folder,
                    .n_tensors = l->m->n_tensors,
                    .tensor = wanted,
                    .job = load_piece,
                    .arg = &r };
    uint64_t raw;
    if (!largest_piece(l, &raw, &r.raw_at) || !checked_add(r.raw_at, ALIGN - 1, &r.raw_at) ||
        !checked_add(raw, r.raw_at &= ~(uint64_t)(ALIGN - 1), &w.room_bytes))
        return fail(l, "%s: a tensor is too large", l->folder);
    return pieces_run(&w, crew, l->err, l->n_err);
}

/* ---- all of it ---- */

static void loader_close(loader *l)
{
    for (size_t i = 0; l->shard && i < l->n_shards; i++)
        st_close(&l->shard[i]);
    free(l->shard);
    free(l->shard_name);
    free(l->items);
    json_decref(l->index);
}

static int load_random(loader *l, const char *text, const weights_crew *crew, weights_sink *sink,
                       void *to)
{
    char *end;
    errno = 0;
    ull seed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno == ERANGE)
        return fail(l, "random:%s: the seed must be a whole number below 2^64, as in random:1",
                    text);
    return random_weights(l->m, seed, crew, sink, to, l->err, l->n_err);
}

int weights_load(const hi_model *m, const char *path, bool round_weights, const weights_crew *crew,
                 weights_sink *sink, void *to, char *err, size_t n)
{
    loader l = { .m = m, .folder = path, .round_weights = round_weights, .err = err, .n_err = n };
    int rc = -1;
    if (n > 0)
        err[0] = '\0';
    if (strncmp(path, "random:", 7) == 0)
        return load_random(&l, path + 7, crew, sink, to);
    if (check_config(&l) == 0 && open_files(&l) == 0 && check_head(&l) == 0 &&
        check_tensors(&l) == 0)
        rc = load_items(&l, crew, sink, to);
    loader_close(&l);
    if (rc == 0 && n > 0)
        err[0] = '\0'; /* an absent file may have left a note */
    return rc;
}
