/*
** import_check.c - a checkpoint's tensors against the sizes of its config.json.
**
** What they are called says the family's file; which shape they have the table below. Two facts
** come from the tensors themselves: the rows of the vocabulary, and whether there is a head.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "sandbox.h"

/* Sizes that shapes are made of. */
typedef enum {
    ONE,
    VOCAB,
    HIDDEN,
    Q,
    KV,
    QKV,
    FFN,
    FFN2,
    HEAD,
    N_SIZES
} size_name;

/* When a tensor is there. */
typedef enum {
    ALWAYS,
    QKV_BIAS,
    O_BIAS,
    MLP_BIAS,
    UNTIED
} when;

static const struct {
    const char *field;    /* of a family file */
    size_name rows, cols; /* cols ONE: a vector */
    when when;
} TENSOR_OF[] = {
    { "embed", VOCAB, HIDDEN, ALWAYS },
    { "final_norm", HIDDEN, ONE, ALWAYS },
    { "lm_head", VOCAB, HIDDEN, UNTIED },
    { "layer.attn_norm", HIDDEN, ONE, ALWAYS },
    { "layer.q", Q, HIDDEN, ALWAYS },
    { "layer.k", KV, HIDDEN, ALWAYS },
    { "layer.v", KV, HIDDEN, ALWAYS },
    { "layer.qkv", QKV, HIDDEN, ALWAYS },
    { "layer.q_norm", HEAD, ONE, ALWAYS },
    { "layer.k_norm", HEAD, ONE, ALWAYS },
    { "layer.o", HIDDEN, Q, ALWAYS },
    { "layer.attn_post_norm", HIDDEN, ONE, ALWAYS },
    { "layer.mlp_norm", HIDDEN, ONE, ALWAYS },
    { "layer.gate", FFN, HIDDEN, ALWAYS },
    { "layer.up", FFN, HIDDEN, ALWAYS },
    { "layer.gate_up", FFN2, HIDDEN, ALWAYS },
    { "layer.down", HIDDEN, FFN, ALWAYS },
    { "layer.mlp_post_norm", HIDDEN, ONE, ALWAYS },
    { "layer.q_bias", Q, ONE, QKV_BIAS },
    { "layer.k_bias", KV, ONE, QKV_BIAS },
    { "layer.v_bias", KV, ONE, QKV_BIAS },
    { "layer.o_bias", HIDDEN, ONE, O_BIAS },
    { "layer.gate_bias", FFN, ONE, MLP_BIAS },
    { "layer.up_bias", FFN, ONE, MLP_BIAS },
    { "layer.down_bias", HIDDEN, ONE, MLP_BIAS },
};
enum {
    N_ROLES = sizeof TENSOR_OF / sizeof *TENSOR_OF,
    MOST_LINES = 6, /* of problems in one message */
    NAME_MAX_LEN = 320
};

typedef struct checker {
    const hf_shards *shards;
    hf_model *m;
    flat family; /* the family's file */
    int64_t size[N_SIZES];
    char lines[900]; /* problems so far */
    int problems;
    int64_t rounded; /* tensors that are not BF16 */
    char rounded_type[16];
} checker;

/* ---- what is wrong, collected ---- */

static void problem(checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void problem(checker *c, const char *fmt, ...)
{
    size_t used = strlen(c->lines);
    va_list args;

    if (c->problems++ >= MOST_LINES || sizeof c->lines - used < 160)
        return;
    va_start(args, fmt);
    vsnprintf(c->lines + used, sizeof c->lines - used, fmt, args);
    va_end(args);
    strncat(c->lines, "\n", sizeof c->lines - strlen(c->lines) - 1);
}

static int report(checker *c, hi_error *e)
{
    int said = 0;

    if (c->problems == 0)
        return 0;
    for (char *p = c->lines; *p; p++) {
        said += *p == '\n';
        if ((unsigned char)*p < ' ' && *p != '\n')
            *p = '?';
    }
    c->lines[strlen(c->lines) - 1] = '\0';
    if (said < c->problems)
        return gen_fail(e, "%s\nand %d more", c->lines, c->problems - said);
    return gen_fail(e, "%s", c->lines);
}

/* ---- one tensor ---- */

/* The checkpoint's name of a tensor, as the family has it; NULL: the family has none. */
static const char *named(const checker *c, const char *field)
{
    char path[64];

    snprintf(path, sizeof path, "tensors.%s", field);
    for (int i = 0; i < c->family.n; i++)
        if (strcmp(c->family.entry[i].path, path) == 0)
            return c->family.entry[i].type == FLAT_TEXT ? c->family.entry[i].s : NULL;
    return NULL;
}

static void put_layer(const char *name, int64_t layer, char *out, size_t n)
{
    const char *hole = strstr(name, "%d");

    if (hole == NULL)
        snprintf(out, n, "%s", name);
    else
        snprintf(out, n, "%.*s%lld%s", (int)(hole - name), name, (long long)layer, hole + 2);
}

static void shape_text(uint64_t rows, uint64_t cols, int rank, char *out, size_t n)
{
    if (rank == 1)
        snprintf(out, n, "[%llu]", (unsigned long long)rows);
    else if (rank == 2)
        snprintf(out, n, "[%llu, %llu]", (unsigned long long)rows, (unsigned long long)cols);
    else
        snprintf(out, n, "of %d dimensions", rank);
}

static void check_dtype(checker *c, const char *name, const hf_tensor *t)
{
    if (strcmp(t->dtype, "BF16") == 0)
        return;
    if (strcmp(t->dtype, "F16") != 0 && strcmp(t->dtype, "F32") != 0) {
        problem(c, "%s: %s: dtype = %s: only BF16, F16 and F32 are read", t->file, name, t->dtype);
        return;
    }
    c->rounded++;
    snprintf(c->rounded_type, sizeof c->rounded_type, "%s", t->dtype);
}

static void check_one(checker *c, const char *name, size_name rows, size_name cols)
{
    uint64_t want[2] = { (uint64_t)c->size[rows], (uint64_t)c->size[cols] };
    int rank = cols == ONE ? 1 : 2;
    char is[64], should[64];
    hf_tensor t;

    if (!shards_find(c->shards, name, &t)) {
        problem(c, "%s: missing; the spec of family %s needs it", name, c->m->family);
        return;
    }
    check_dtype(c, name, &t);
    if (t.rank == rank && t.dim[0] == want[0] && (rank == 1 || t.dim[1] == want[1]))
        return;
    shape_text(t.dim[0], t.dim[1], t.rank, is, sizeof is);
    shape_text(want[0], want[1], rank, should, sizeof should);
    problem(c, "%s: %s: shape = %s: config.json's sizes give %s", t.file, name, is, should);
}

static bool is_there(const hf_model *m, when w)
{
    switch (w) {
    case QKV_BIAS:
        return m->qkv_bias;
    case O_BIAS:
        return m->o_bias;
    case MLP_BIAS:
        return m->mlp_bias;
    case UNTIED:
        return !m->tied;
    case ALWAYS:
        break;
    }
    return true;
}

static void check_all(checker *c)
{
    char name[NAME_MAX_LEN];

    for (int i = 0; i < N_ROLES; i++) {
        const char *pattern = named(c, TENSOR_OF[i].field);
        bool per_layer = strncmp(TENSOR_OF[i].field, "layer.", 6) == 0;
        if (pattern == NULL || !is_there(c->m, TENSOR_OF[i].when))
            continue;
        for (int64_t l = 0; l < (per_layer ? c->m->layers : 1); l++) {
            put_layer(pattern, l, name, sizeof name);
            check_one(c, name, TENSOR_OF[i].rows, TENSOR_OF[i].cols);
        }
    }
}

/* ---- what only the tensors say ---- */

static int take_vocab(checker *c, text *notes, hi_error *e)
{
    const char *name = named(c, "embed");
    hf_model *m = c->m;
    hf_tensor t;

    if (name == NULL || !shards_find(c->shards, name, &t))
        return import_fail(e, "%s: missing; the checkpoint is not of family %s",
                           name != NULL ? name : "the embedding", m->family);
    if (t.rank != 2 || t.dim[0] > INT32_MAX)
        return import_fail(e, "%s: %s: must have two dimensions", t.file, name);
    if (m->vocab > 0 && m->vocab != (int64_t)t.dim[0])
        import_note(notes, "vocab_size = %lld in config.json, but %s has %llu rows: the rows count",
                    (long long)m->vocab, name, (unsigned long long)t.dim[0]);
    m->vocab = (int64_t)t.dim[0];
    return 0;
}

/* Ids that the embedding has no row for. */
static int check_ids(const hf_model *m, hi_error *e)
{
    const char *remedy = "correct config.json or generation_config.json";

    if (m->bos >= m->vocab)
        return import_fail(e, "bos_token_id = %lld: the embedding has %lld rows; %s",
                           (long long)m->bos, (long long)m->vocab, remedy);
    for (int i = 0; i < m->n_eos; i++)
        if (m->eos[i] >= m->vocab)
            return import_fail(e, "eos_token_id = %lld: the embedding has %lld rows; %s",
                               (long long)m->eos[i], (long long)m->vocab, remedy);
    return 0;
}

/* Tied: there is no head, or config.json (or its default) says so. */
static void take_tied(checker *c, text *notes)
{
    const char *name = named(c, "lm_head");
    hf_model *m = c->m;
    hf_tensor t;
    bool head = name != NULL && shards_find(c->shards, name, &t);

    m->tied = !head || m->says_tied == TIED_YES || (m->says_tied == TIED_ABSENT && m->tied_default);
    if (head && m->tied)
        import_note(notes,
                    "%s is there, but tie_word_embeddings is true%s: the embedding is used "
                    "in its place",
                    name, m->says_tied == TIED_ABSENT ? " by default" : "");
    if (!head && m->says_tied == TIED_NO)
        import_note(notes,
                    "tie_word_embeddings = false, but there is no %s: the embedding is used "
                    "in its place",
                    name != NULL ? name : "head");
}

static void set_sizes(checker *c)
{
    const hf_model *m = c->m;

    c->size[ONE] = 1;
    c->size[VOCAB] = m->vocab;
    c->size[HIDDEN] = m->hidden;
    c->size[Q] = m->heads * m->head_dim;
    c->size[KV] = m->kv_heads * m->head_dim;
    c->size[QKV] = c->size[Q] + 2 * c->size[KV];
    c->size[FFN] = m->ffn;
    c->size[FFN2] = 2 * m->ffn;
    c->size[HEAD] = m->head_dim;
}

/* Tensors that no part of the model reads, but for buffers of old files. */
static void note_unused(const checker *c, text *notes)
{
    const char *first = NULL, *name;
    size_t at = 0;
    int n = 0;

    while ((name = shards_unused(c->shards, &at)) != NULL) {
        if (strstr(name, "rotary_emb.inv_freq") != NULL)
            continue;
        first = first == NULL ? name : first;
        n++;
    }
    if (n > 0)
        import_note(notes, "%d tensor%s not used, %s first", n, n > 1 ? "s are" : " is", first);
}

static int check_tensors(checker *c, text *notes, hi_error *e)
{
    if (take_vocab(c, notes, e) != 0 || check_ids(c->m, e) != 0)
        return -1;
    take_tied(c, notes);
    set_sizes(c);
    check_all(c);
    if (report(c, e) != 0)
        return -1;
    note_unused(c, notes);
    if (c->rounded > 0)
        import_note(notes,
                    "%lld tensors are %s: programs in bf16 need --round-weights, which is "
                    "not exact; --numerics f32 is",
                    (long long)c->rounded, c->rounded_type);
    return 0;
}

/* The family's file, hi-gen's own. */
static int read_family(hi_arena *a, const char *family, flat *out, hi_error *e)
{
    char path[IMPORT_PATH];
    size_t len;

    if (snprintf(path, sizeof path, "%s/specs/family/%s.lua", home_folder(), family) >=
        (int)sizeof path)
        return import_fail(e, "%.64s...: path too long", home_folder());
    const char *lua = sandbox_read(a, path, &len, e);
    return lua == NULL ? -1 : sandbox_run(a, path, lua, len, &SANDBOX_LIMITS, out, e);
}

int import_tensors(hf_model *m, text *notes, hi_error *e)
{
    hi_arena *a = arena_new();
    checker c = { .m = m };
    int rc = -1;

    if (a == NULL)
        return gen_fail(e, "%s: out of memory", m->folder);
    hf_shards *s = shards_open(m->folder, notes, e);
    c.shards = s;
    if (s != NULL && read_family(a, m->family, &c.family, e) == 0)
        rc = check_tensors(&c, notes, e);
    if (s != NULL)
        shards_close(s);
    arena_free(a);
    return rc;
}
