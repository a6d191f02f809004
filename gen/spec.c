/*
** spec.c - from a Lua file to a checked hi_spec.
**
** The two tables at the top are the format: every field of a spec and of a family
** file with its type and range. What follows are the checks of what fields say about
** each other. spec_fields.c checks each by itself, sandbox.c runs the files; how the
** numbers are used is plan.c's business.
*/
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "spec_rope.h"

/* ---- the fields ---- */

static const char *const ACTS[] = { "silu", "gelu_tanh", NULL };            /* ORDER hi_act */
static const char *const PARTS[] = { "norm_qkv", "attend", "out_mlp", NULL }; /* ORDER hi_part */
static const char *const EMBED_SCALES[] = { "none", "sqrt_hidden", NULL };

_Static_assert(sizeof PARTS / sizeof *PARTS == N_PARTS + 1, "a name for each part");

enum {
    MAX_CTX = 1 << 30,
    MAX_NAME = TENSOR_NAME_LEN - 8
};

/* Keys and values of a full context stay below this, so that a plan's sums cannot wrap. */
static const int64_t MAX_STORE_BYTES = (int64_t)1 << 60;

#define AT(member) offsetof(hi_spec, member)
#define INT(name, hf, lo, hi, step) #name, hf, WHOLE, false, AT(name), lo, hi, step, NULL, 0
#define BOOL(name, hf) #name, hf, YES_NO, false, AT(name), 0, 0, 0, NULL, 0
#define WORD(name, hf, at, words) name, hf, CHOICE, false, AT(at), 0, 0, 0, words, 0
#define ROPE(name, hf, lo, ropes) \
    "rope." #name, hf, NUMBER, false, AT(rope.name), lo, INFINITY, 0, NULL, ropes
#define ROPE_LIST(name, hf) "rope." #name, hf, NUMBERS, false, 0, 0, 0, 0, NULL, HAS_LONGROPE
#define OPTION(name, hf, at) name, hf, NUMBER, true, AT(at), 0, INFINITY, 0, NULL, 0

static const field SPEC[] = {
    { "family", "model_type", NAME, false, AT(family), 0, 0, 0, NULL, 0 },
    { INT(layers, "num_hidden_layers", 1, MAX_LAYERS, 1) },
    { INT(hidden, "hidden_size", 16, 65536, 16) },
    { INT(heads, "num_attention_heads", 1, 1024, 1) },
    { INT(kv_heads, "num_key_value_heads", 1, MAX_KV_HEADS, 1) },
    { INT(head_dim, "head_dim", 16, 256, 16) },
    { INT(ffn, "intermediate_size", 16, 1 << 20, 16) },
    { INT(vocab, "vocab_size", 2, 1 << 22, 1) },
    { "ctx", "max_position_embeddings", WHOLE64, false, AT(ctx), 1, MAX_CTX, 1, NULL, 0 },
    { "norm_eps", "rms_norm_eps", NUMBER, false, AT(norm_eps), 0, 0.1, 0, NULL, 0 },
    { "rope", "rope_scaling", TABLE, false, 0, 0, 0, 0, NULL, 0 },
    { WORD("rope.kind", "rope.rope_type", rope.kind, ROPE_WORDS) },
    { ROPE(theta, "rope_theta", 1, 0) },
    { ROPE(factor, "rope.factor", 0, HAS_LINEAR | HAS_LLAMA3 | HAS_YARN | HAS_DYNAMIC) },
    { ROPE(low_freq, "rope.low_freq_factor", 0, HAS_LLAMA3) },
    { ROPE(high_freq, "rope.high_freq_factor", 0, HAS_LLAMA3) },
    { ROPE(beta_fast, "rope.beta_fast", 0, HAS_YARN) },
    { ROPE(beta_slow, "rope.beta_slow", 0, HAS_YARN) },
    { ROPE(attn_factor, "rope.attention_factor", 0, HAS_YARN | HAS_LONGROPE) },
    { ROPE_LIST(long, "rope.long_factor") },
    { ROPE_LIST(short, "rope.short_factor") },
    { "rope.orig_ctx", "rope.original_max_position_embeddings", WHOLE_F, false, AT(rope.orig_ctx),
      1, MAX_CTX, 1, NULL, HAS_LLAMA3 | HAS_YARN | HAS_LONGROPE | HAS_DYNAMIC },
    { WORD("act", "hidden_act", act, ACTS) },
    { "window", "sliding_window", TABLE, true, 0, 0, 0, 0, NULL, 0 },
    { "window.size", "window.sliding_window", WHOLE64, true, AT(window.size), 1, MAX_CTX, 1, NULL, 0 },
    { "window.first", "window.max_window_layers", WHOLE, true, AT(window.first), 0, MAX_LAYERS - 1, 1,
      NULL, 0 },
    { "window.every", "window.sliding_window_pattern", WHOLE, true, AT(window.every), 1, MAX_LAYERS, 1,
      NULL, 0 },
    { "softcap", "softcapping", TABLE, true, 0, 0, 0, 0, NULL, 0 },
    { OPTION("softcap.attn", "attn_logit_softcapping", attn_softcap) },
    { OPTION("softcap.final", "final_logit_softcapping", final_softcap) },
    { OPTION("query_pre_attn_scalar", "attention_multiplier", query_scalar) },
    { "dual_chunk", "dual_chunk_attention_config", WHOLE64, true, AT(dual_chunk), 1, MAX_CTX, 1, NULL,
      0 },
    { BOOL(qkv_bias, "attention_bias") },
    { BOOL(o_bias, "") },
    { BOOL(mlp_bias, "mlp_bias") },
    { BOOL(tied, "tie_word_embeddings") },
    { "bos", "bos_token_id", TOKEN, true, 0, 0, 0, 0, NULL, 0 },
    { "eos", "eos_token_id", IDS, true, AT(eos), 0, 0, 0, NULL, 0 },
};

#define ONCE(name, role) "tensors." name, "", TENSOR, true, AT(tensor[role]), 0, 0, 0, NULL, 0
#define LAYER(name, role) ONCE("layer." name, role)
#define N_FIELDS(table) ((int)(sizeof(table) / sizeof *(table)))

enum {
    FAMILY_TENSORS = 6 /* index of the first tensor below */
};

/* A tensor may be missing where no spec of the family needs it: see load_tensors. */
static const field FAMILY[] = {
    { "family", "", NAME, false, AT(family), 0, 0, 0, NULL, 0 },
    { "block", "", LIST, false, 0, 0, 0, 0, NULL, 0 },
    { "norm_offset", "", WHOLE, true, AT(norm_offset), 0, 1, 1, NULL, 0 },
    { "embed_scale", "", CHOICE, true, AT(embed_scale), 0, 0, 0, EMBED_SCALES, 0 },
    { "tensors", "", TABLE, false, 0, 0, 0, 0, NULL, 0 },
    { "tensors.layer", "", TABLE, false, 0, 0, 0, 0, NULL, 0 },
    /* ORDER TENSOR */
    { ONCE("embed", T_EMBED) },
    { ONCE("final_norm", T_FINAL_NORM) },
    { ONCE("lm_head", T_LM_HEAD) },
    { LAYER("attn_norm", T_ATTN_NORM) },
    { LAYER("q", T_Q) },
    { LAYER("k", T_K) },
    { LAYER("v", T_V) },
    { LAYER("o", T_O) },
    { LAYER("mlp_norm", T_MLP_NORM) },
    { LAYER("gate", T_GATE) },
    { LAYER("up", T_UP) },
    { LAYER("down", T_DOWN) },
    { LAYER("qkv", T_QKV) },
    { LAYER("gate_up", T_GATE_UP) },
    { LAYER("q_norm", T_Q_NORM) },
    { LAYER("k_norm", T_K_NORM) },
    { LAYER("attn_post_norm", T_ATTN_POST_NORM) },
    { LAYER("mlp_post_norm", T_MLP_POST_NORM) },
    { LAYER("q_bias", T_Q_BIAS) },
    { LAYER("k_bias", T_K_BIAS) },
    { LAYER("v_bias", T_V_BIAS) },
    { LAYER("o_bias", T_O_BIAS) },
    { LAYER("gate_bias", T_GATE_BIAS) },
    { LAYER("up_bias", T_UP_BIAS) },
    { LAYER("down_bias", T_DOWN_BIAS) },
};

_Static_assert(N_FIELDS(FAMILY) == FAMILY_TENSORS + N_TENSORS, "a field for each tensor");

/* ---- fields that depend on each other: the spec ---- */

static int check_kv_heads(const source *c, const hi_spec *s)
{
    char text[512];
    size_t n;
    int last = s->heads;

    if (s->heads % s->kv_heads == 0)
        return 0;
    n = (size_t)snprintf(text, sizeof text, "must divide heads (%d); use 1", s->heads);
    for (int i = 2; i <= last && n < sizeof text - 16; i++) {
        if (s->heads % i == 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", i == last ? " or " : ", ", i);
    }
    return field_refuse(c, "kv_heads", text);
}

/* Would the keys and values of a full context wrap a plan's sums? In float32, the larger. */
static int check_store(const source *c, const hi_spec *s)
{
    int64_t token = kv_token_bytes(s, elt_bytes(NUM_F32));
    char text[160];

    if (s->ctx <= MAX_STORE_BYTES / token)
        return 0;
    snprintf(text, sizeof text, "its keys and values take 2^60 bytes or more; at most %lld",
             (long long)(MAX_STORE_BYTES / token));
    return field_refuse(c, "ctx", text);
}

/* A window has all three numbers, and a layer. */
static int check_window(const source *c, const hi_spec *s)
{
    static const char *const PARTS_OF[] = { "window.size", "window.first", "window.every", NULL };
    char text[80];

    if (field_value(c, "window") == NULL)
        return 0;
    for (int i = 0; PARTS_OF[i] != NULL; i++)
        if (field_value(c, PARTS_OF[i]) == NULL)
            return field_refuse(c, PARTS_OF[i], "a window has size, first and every");
    if (s->window.first < s->layers)
        return 0;
    snprintf(text, sizeof text, "must be below layers (%d)", s->layers);
    return field_refuse(c, "window.first", text);
}

static int check_token(const source *c, const char *name, const hi_spec *s)
{
    const flat_entry *x = field_value(c, name);
    char text[80];

    if (x == NULL || (x->type == FLAT_INT && x->i >= 0 && x->i < s->vocab))
        return 0;
    snprintf(text, sizeof text, "must be a token id from 0 to %d (vocab - 1)", s->vocab - 1);
    return field_refuse(c, name, text);
}

static int add_eos(const source *c, const char *name, hi_spec *s)
{
    const flat_entry *x = field_value(c, name);

    if (check_token(c, name, s) != 0)
        return -1;
    for (int i = 0; i < s->n_eos; i++) {
        if (s->eos[i] == (int)x->i)
            return field_refuse(c, name, "is listed twice; keep one");
    }
    if (s->n_eos == MAX_EOS)
        return field_refuse(c, name, "is one too many; at most 8 are kept");
    s->eos[s->n_eos++] = (int)x->i;
    return 0;
}

static int load_bos(const source *c, hi_spec *s)
{
    const flat_entry *x = field_value(c, "bos");

    if (check_token(c, "bos", s) != 0)
        return -1;
    s->bos = x == NULL ? -1 : (int)x->i;
    return 0;
}

static int load_eos(const source *c, hi_spec *s)
{
    const flat_entry *x = field_value(c, "eos");
    char name[24] = "eos[1]";

    s->n_eos = 0;
    if (x == NULL)
        return 0;
    if (x->type == FLAT_INT)
        return add_eos(c, "eos", s);
    if (field_value(c, name) == NULL)
        return field_refuse(c, "eos", "is empty; list token ids or remove it");
    for (int i = 1; field_value(c, name) != NULL; i++) {
        if (add_eos(c, name, s) != 0)
            return -1;
        snprintf(name, sizeof name, "eos[%d]", i + 1);
    }
    return 0;
}

/* The one field of a family file that people look for in a spec. */
static int check_no_head(const source *c)
{
    const flat_entry *tied = field_value(c, "tied");

    if (field_value(c, "lm_head") == NULL)
        return 0;
    if (tied != NULL && tied->type == FLAT_BOOL && tied->i)
        return field_refuse(c, "lm_head", "contradicts tied = true; remove one of them");
    return field_refuse(c, "lm_head", "tensors are named in the family file; remove it");
}

static int load_spec(const source *c, hi_spec *s)
{
    if (check_no_head(c) != 0 || field_check_known(c) != 0 || spec_rope_kind(c) != 0)
        return -1;
    for (int i = 0; i < c->n_fields; i++) {
        if (field_load(c, &c->fields[i], s) != 0)
            return -1;
    }
    if (check_kv_heads(c, s) != 0 || spec_rope_load(c, s) != 0 || check_window(c, s) != 0 ||
        check_store(c, s) != 0)
        return -1;
    if (s->query_scalar == 0)
        s->query_scalar = s->head_dim;
    return load_bos(c, s) != 0 ? -1 : load_eos(c, s);
}

/* ---- fields that depend on each other: the family ---- */

static int load_block(const source *c, hi_spec *s)
{
    char name[24], text[160];

    for (int i = 0; i < N_PARTS; i++) {
        const flat_entry *x;
        snprintf(name, sizeof name, "block[%d]", i + 1);
        x = field_value(c, name);
        if (x == NULL || field_word(PARTS, x) != i) {
            snprintf(text, sizeof text, "must be \"%s\": a block is norm_qkv, attend, out_mlp",
                     PARTS[i]);
            return field_refuse(c, name, text);
        }
        s->part[i] = (hi_part)i;
    }
    s->n_parts = N_PARTS;
    snprintf(name, sizeof name, "block[%d]", N_PARTS + 1);
    if (field_value(c, name) != NULL)
        return field_refuse(c, name, "is one too many: a block is norm_qkv, attend, out_mlp");
    return 0;
}

static bool is_per_layer(hi_tensor_role role)
{
    return role >= T_ATTN_NORM;
}

/* Does the family name the tensor at all? */
static bool is_named(const source *c, hi_tensor_role role)
{
    return field_value(c, c->fields[FAMILY_TENSORS + role].name) != NULL;
}

/* Must the family name the tensor for this spec? What is optional is needed where it is named. */
static bool is_needed(const source *c, const hi_spec *s, hi_tensor_role role)
{
    switch (role) {
    case T_LM_HEAD:
        return !s->tied;
    case T_Q:
    case T_K:
    case T_V:
        return !is_named(c, T_QKV);
    case T_GATE:
    case T_UP:
        return !is_named(c, T_GATE_UP);
    case T_QKV:
    case T_GATE_UP:
    case T_ATTN_POST_NORM:
    case T_MLP_POST_NORM:
        return is_named(c, role);
    case T_Q_NORM:
    case T_K_NORM:
        return is_named(c, T_Q_NORM) || is_named(c, T_K_NORM);
    case T_Q_BIAS:
    case T_K_BIAS:
    case T_V_BIAS:
        return s->qkv_bias;
    case T_O_BIAS:
        return s->o_bias;
    case T_GATE_BIAS:
    case T_UP_BIAS:
    case T_DOWN_BIAS:
        return s->mlp_bias;
    default:
        return true;
    }
}

/* A packed matrix and its parts, or the biases of its parts, are not named together. */
static int check_packed(const source *c)
{
    static const struct {
        hi_tensor_role packed, apart[4];
        int n;
    } PACKED[] = { { T_QKV, { T_Q, T_K, T_V, T_Q_BIAS }, 4 },
                   { T_GATE_UP, { T_GATE, T_UP, T_GATE_BIAS }, 3 } };
    char text[160];

    for (size_t i = 0; i < sizeof PACKED / sizeof *PACKED; i++)
        for (int j = 0; j < PACKED[i].n && is_named(c, PACKED[i].packed); j++) {
            if (!is_named(c, PACKED[i].apart[j]))
                continue;
            snprintf(text, sizeof text, "cannot stand beside %s; remove one of them",
                     c->fields[FAMILY_TENSORS + PACKED[i].packed].name);
            return field_refuse(c, c->fields[FAMILY_TENSORS + PACKED[i].apart[j]].name, text);
        }
    return 0;
}

/* Does the name hold "%d" exactly 'want' times and no other '%'? */
static bool has_layers(const char *s, int want)
{
    for (; (s = strchr(s, '%')) != NULL; s += 2) {
        if (s[1] != 'd')
            return false;
        want--;
    }
    return want == 0;
}

static int check_tensor(const source *c, const field *f, const flat_entry *x, bool per_layer)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._%-";
    size_t n;
    char text[80];

    if (!field_fits(f, x))
        return field_refuse_rule(c, f);
    n = strlen(x->s);
    if (n == 0 || n > MAX_NAME) {
        snprintf(text, sizeof text, "must have 1 to %d characters", MAX_NAME);
        return field_refuse(c, f->name, text);
    }
    if (strspn(x->s, ALLOWED) != n)
        return field_refuse(c, f->name, "must consist of letters, digits, '.', '_' and '-'");
    if (!has_layers(x->s, per_layer))
        return field_refuse(c, f->name,
                            per_layer ? "must hold %d once, where the layer's number stands"
                                      : "must not hold %: there is one in a model");
    return 0;
}

static int check_distinct(const source *c, const hi_spec *s, int role)
{
    char text[160];

    for (int i = 0; i < role; i++) {
        if (strcmp(s->tensor[i], s->tensor[role]) != 0 || *s->tensor[i] == '\0')
            continue;
        snprintf(text, sizeof text, "is %s already; give the checkpoint's name of each",
                 FAMILY[FAMILY_TENSORS + i].name);
        return field_refuse(c, FAMILY[FAMILY_TENSORS + role].name, text);
    }
    return 0;
}

/* Names that this spec does not use are checked too, and left "". */
static int load_tensors(const source *c, hi_spec *s)
{
    if (check_packed(c) != 0)
        return -1;
    for (int i = 0; i < N_TENSORS; i++) {
        const field *f = &c->fields[FAMILY_TENSORS + i];
        const flat_entry *x = field_value(c, f->name);
        bool needed = is_needed(c, s, (hi_tensor_role)i);
        if (x == NULL && needed)
            return field_refuse(c, f->name, "the spec needs this tensor; give its name in quotes");
        if (x == NULL)
            continue;
        if (check_tensor(c, f, x, is_per_layer((hi_tensor_role)i)) != 0)
            return -1;
        if (needed)
            memcpy(s->tensor[i], x->s, strlen(x->s) + 1);
        if (check_distinct(c, s, i) != 0)
            return -1;
    }
    return 0;
}

static int load_family(const source *c, hi_spec *s)
{
    const flat_entry *x = field_value(c, "family");
    char text[128];

    if (field_check_known(c) != 0)
        return -1;
    if (x == NULL || x->type != FLAT_TEXT || strcmp(x->s, s->family) != 0) {
        snprintf(text, sizeof text, "must be \"%s\", the file's name", s->family);
        return field_refuse(c, "family", text);
    }
    for (int i = 0; i < FAMILY_TENSORS; i++) {
        if (field_load(c, &c->fields[i], s) != 0)
            return -1;
    }
    return load_block(c, s) != 0 ? -1 : load_tensors(c, s);
}

/* ---- the two files ---- */

static int run_source(hi_arena *a, source *c)
{
    size_t len;
    const char *text = sandbox_read(a, c->path, &len, c->e);

    if (text == NULL)
        return -1;
    return sandbox_run(a, c->path, text, len, &SANDBOX_LIMITS, &c->values, c->e);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* Sets name and path of s; a spec's name becomes part of names in C. */
static int name_spec(const char *path, hi_spec *s, hi_error *e)
{
    const char *base = base_name(path);
    size_t n = strlen(base);

    if (strlen(path) >= sizeof s->path)
        return gen_fail(e, "%.60s...: path of %zu characters; at most %zu", path, strlen(path),
                        sizeof s->path - 1);
    if (n > 4 && n - 4 < NAME_LEN && strcmp(base + n - 4, ".lua") == 0)
        memcpy(s->name, base, n - 4);
    if (!field_is_name(s->name) || (s->name[0] >= '0' && s->name[0] <= '9'))
        return gen_fail(e,
                        "%s: a spec's file is called <name>.lua, its name of a-z, 0-9 and _, "
                        "not beginning with a digit, at most %d characters",
                        path, NAME_LEN - 1);
    memcpy(s->path, path, strlen(path) + 1);
    return 0;
}

static int load_both(hi_arena *a, hi_spec *s, hi_error *e)
{
    source spec = { .path = s->path, .fields = SPEC, .n_fields = N_FIELDS(SPEC), .e = e };
    source family = { .fields = FAMILY, .n_fields = N_FIELDS(FAMILY), .e = e };
    int dir = (int)(base_name(s->path) - s->path);
    char path[sizeof s->path + NAME_LEN + 16], text[sizeof path + 64];

    if (run_source(a, &spec) != 0 || load_spec(&spec, s) != 0)
        return -1;
    snprintf(path, sizeof path, "%.*sfamily/%s.lua", dir, s->path, s->family);
    if (access(path, F_OK) != 0) {
        snprintf(text, sizeof text, "there is no %s; add it or name another family", path);
        return field_refuse(&spec, "family", text);
    }
    family.path = path;
    return run_source(a, &family) != 0 ? -1 : load_family(&family, s);
}

int spec_load(const char *path, hi_spec *s, hi_error *e)
{
    hi_spec made;
    hi_arena *a;
    int rc;

    memset(&made, 0, sizeof made); /* the padding too: same file, same bytes */
    if (name_spec(path, &made, e) != 0)
        return -1;
    a = arena_new();
    if (a == NULL)
        return gen_fail(e, "%s: out of memory", path);
    rc = load_both(a, &made, e);
    arena_free(a);
    if (rc == 0)
        memcpy(s, &made, sizeof made);
    return rc;
}
