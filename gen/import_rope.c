/*
** import_rope.c - rotation as config.json has it, in any of its spellings.
**
** rope_scaling with type or rope_type beside a rope_theta, or rope_parameters with all in one,
** also one for each kind of layer. Defaults are transformers' (modeling_rope_utils.py).
*/
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "import.h"

enum {
    MAX_CTX = 1 << 30
};

/* ---- which object, which kind ---- */

/* Of {"full_attention": {..}, "sliding_attention": {..}} the one, if all are alike. */
static int unnest(const hf_object *c, const json_t **o)
{
    const json_t *first = NULL, *v;
    const char *key;

    json_object_foreach((json_t *)*o, key, v)
    {
        if (json_is_null(v))
            continue;
        if (!json_is_object(v))
            return first == NULL ? 0 : hf_refuse(c, "rope_parameters", "mixes fields and layers");
        if (first != NULL && !json_equal(first, v))
            return hf_refuse(
                c, "rope_parameters",
                "layers of two rotations are not supported; use a checkpoint with one");
        first = v;
    }
    if (first != NULL)
        *o = first;
    return 0;
}

/* Both spellings in one file must not contradict each other. */
static int check_same(const hf_object *c, const json_t *old, const json_t *now)
{
    const char *key;
    const json_t *v;

    json_object_foreach((json_t *)old, key, v)
    {
        const json_t *w = json_object_get(now, key);
        if (w != NULL && !json_equal(v, w))
            return hf_refuse(c, "rope_scaling",
                             "contradicts rope_parameters; keep the one that is right");
    }
    return 0;
}

/* The object that describes the rotation; r->o NULL: there is none. */
static int find_rope(const hf_object *c, hf_object *r)
{
    const json_t *old = hf_get(c, "rope_scaling"), *now = hf_get(c, "rope_parameters");

    if (old != NULL && !json_is_object(old))
        return hf_refuse(c, "rope_scaling", "must be an object or null");
    if (now != NULL && !json_is_object(now))
        return hf_refuse(c, "rope_parameters", "must be an object or null");
    if (now != NULL && unnest(c, &now) != 0)
        return -1;
    if (old != NULL && now != NULL && check_same(c, old, now) != 0)
        return -1;
    *r = (hf_object){ now != NULL ? now : old, c->file,
                      now != NULL ? "rope_parameters." : "rope_scaling.", c->e };
    return 0;
}

static const char *kind_of(const hf_object *r)
{
    static const char *const KIND[] = {
        "default", "linear", "dynamic", "llama3", "yarn", "longrope"
    };
    const char *type = hf_text(r, "type"), *name = hf_text(r, "rope_type");

    if (type == NULL || name == NULL)
        return NULL;
    bool two = type[0] != '\0' && name[0] != '\0';
    type = strcmp(type, "su") == 0 ? "longrope" : type;
    name = strcmp(name, "su") == 0 ? "longrope" : name;
    if (two && strcmp(type, name) != 0) {
        hf_refuse(r, "rope_type", "contradicts type; keep the one that is right");
        return NULL;
    }
    if (name[0] == '\0')
        name = type;
    for (size_t i = 0; i < sizeof KIND / sizeof *KIND; i++)
        if (strcmp(name, KIND[i]) == 0)
            return KIND[i];
    hf_refuse(r, hf_get(r, "rope_type") != NULL ? "rope_type" : "type",
              "is not supported; \"default\", \"linear\", \"dynamic\", \"llama3\", \"yarn\" and "
              "\"longrope\" are");
    return NULL;
}

/* ---- kinds ---- */

/* original_max_position_embeddings: in the object, or beside it, or else 'other'. */
static int take_orig(const hf_object *c, const hf_object *r, int64_t other, int64_t *out)
{
    static const char NAME[] = "original_max_position_embeddings";

    *out = other;
    return hf_whole(c, NAME, 1, MAX_CTX, out) != 0 ? -1 : hf_whole(r, NAME, 1, MAX_CTX, out);
}

static int take_factor(const hf_object *r, hf_rope *p)
{
    return hf_need_positive(r, "factor", &p->factor);
}

static int take_llama3(const hf_object *r, hf_rope *p)
{
    if (take_factor(r, p) != 0 || hf_need_positive(r, "low_freq_factor", &p->low_freq) != 0 ||
        hf_need_positive(r, "high_freq_factor", &p->high_freq) != 0)
        return -1;
    return hf_need_whole(r, "original_max_position_embeddings", 1, MAX_CTX, &p->orig_ctx);
}

static int refuse_given(const hf_object *r, const char *const *names)
{
    for (; *names != NULL; names++)
        if (hf_get(r, *names) != NULL)
            return hf_refuse(r, *names, "is not supported; use a checkpoint without it");
    return 0;
}

static int take_yarn(const hf_object *c, const hf_object *r, const hf_model *m, hf_rope *p)
{
    static const char *const OTHER[] = { "mscale", "mscale_all_dim", NULL };
    bool whole_dims = true;

    p->beta_fast = 32;
    p->beta_slow = 1;
    if (refuse_given(r, OTHER) != 0 || hf_bool(r, "truncate", &whole_dims) != 0 ||
        take_factor(r, p) != 0 || take_orig(c, r, m->ctx, &p->orig_ctx) != 0 ||
        hf_positive(r, "beta_fast", &p->beta_fast) != 0 ||
        hf_positive(r, "beta_slow", &p->beta_slow) != 0)
        return -1;
    if (!whole_dims)
        return hf_refuse(r, "truncate", "is not supported; use a checkpoint without it");
    p->attn_factor = p->factor > 1 ? 0.1 * log(p->factor) + 1 : 1;
    return hf_positive(r, "attention_factor", &p->attn_factor);
}

static int take_list(const hf_object *r, const char *name, const hf_model *m, double *out)
{
    const json_t *v = hf_get(r, name);
    char remedy[96];

    snprintf(remedy, sizeof remedy, "must be %lld numbers above 0, one for each pair of head_dim",
             (long long)m->head_dim / 2);
    if (!json_is_array(v) || json_array_size(v) != (size_t)m->head_dim / 2 ||
        json_array_size(v) > MAX_PAIRS)
        return hf_refuse(r, name, remedy);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *x = json_array_get(v, i);
        out[i] = json_number_value(x);
        if (!json_is_number(x) || !isfinite(out[i]) || out[i] <= 0)
            return hf_refuse(r, name, remedy);
    }
    return 0;
}

static int take_longrope(const hf_object *c, const hf_object *r, const hf_model *m, hf_rope *p)
{
    static const char *const OTHER[] = { "short_mscale", "long_mscale", NULL };
    double factor = 1;

    if (refuse_given(r, OTHER) != 0 || take_list(r, "long_factor", m, p->longer) != 0 ||
        take_list(r, "short_factor", m, p->shorter) != 0 || take_orig(c, r, 0, &p->orig_ctx) != 0 ||
        hf_positive(r, "factor", &factor) != 0)
        return -1;
    p->n_pairs = (int)m->head_dim / 2;
    if (p->orig_ctx > 0)
        factor = (double)m->ctx / (double)p->orig_ctx;
    else
        p->orig_ctx = m->ctx;
    p->attn_factor = factor > 1 ? sqrt(1 + log(factor) / log((double)p->orig_ctx)) : 1;
    return hf_positive(r, "attention_factor", &p->attn_factor);
}

static int take_kind(const hf_object *c, const hf_object *r, hf_model *m)
{
    hf_rope *p = &m->rope;

    if (strcmp(p->kind, "linear") == 0)
        return take_factor(r, p);
    if (strcmp(p->kind, "llama3") == 0)
        return take_llama3(r, p);
    if (strcmp(p->kind, "yarn") == 0)
        return take_yarn(c, r, m, p);
    if (strcmp(p->kind, "longrope") == 0)
        return take_longrope(c, r, m, p);
    if (strcmp(p->kind, "dynamic") != 0)
        return 0;
    static const char *const OTHER[] = { "alpha", NULL };
    return refuse_given(r, OTHER) != 0 || take_factor(r, p) != 0
               ? -1
               : take_orig(c, r, m->ctx, &p->orig_ctx);
}

/* ---- all of it ---- */

/* Part of a head that is not rotated. */
static int check_partial(const hf_object *c)
{
    double share = 1;

    if (hf_positive(c, "partial_rotary_factor", &share) != 0)
        return -1;
    if (share == 1)
        return 0;
    return hf_refuse(c, "partial_rotary_factor",
                     "heads that are rotated in part are not supported; only 1 is");
}

static void note_rope(const hf_model *m, text *notes)
{
    const hf_rope *p = &m->rope;
    double stretched = p->factor * (double)p->orig_ctx;

    if (p->theta == 2804339835.0)
        import_note(notes, "rope_theta = 2804339835: an early revision's; the present one has "
                           "3580165449. Weights and config.json must be of one revision");
    if (strcmp(p->kind, "yarn") == 0 && stretched > (double)m->ctx)
        import_note(notes,
                    "max_position_embeddings = %lld, but yarn stretches to %.0f tokens; "
                    "--ctx allows more than the default",
                    (long long)m->ctx, stretched);
    if (strcmp(p->kind, "dynamic") == 0)
        import_note(notes, "rope dynamic: frequencies are fixed for the planned context, where "
                           "transformers changes them as a text grows");
    if (strcmp(p->kind, "longrope") == 0)
        import_note(notes,
                    "rope longrope: long factors where the planned context is above %lld "
                    "tokens, short ones up to there; the choice is fixed by the plan",
                    (long long)p->orig_ctx);
}

int import_rope(const hf_object *c, hf_model *m, text *notes)
{
    hf_object r;

    m->rope.kind = "default";
    m->rope.theta = 10000;
    if (check_partial(c) != 0 || find_rope(c, &r) != 0 ||
        hf_positive(c, "rope_theta", &m->rope.theta) != 0)
        return -1;
    if (r.o != NULL) {
        double theta = m->rope.theta;
        m->rope.kind = kind_of(&r);
        if (m->rope.kind == NULL || check_partial(&r) != 0 ||
            hf_positive(&r, "rope_theta", &theta) != 0 || take_kind(c, &r, m) != 0)
            return -1;
        if (hf_get(c, "rope_theta") != NULL && theta != m->rope.theta)
            return hf_refuse(&r, "rope_theta",
                             "contradicts rope_theta; keep the one that is right");
        m->rope.theta = theta;
    }
    note_rope(m, notes);
    return 0;
}
