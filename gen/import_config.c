/*
** import_config.c - config.json and generation_config.json as a model's sizes.
**
** The table at the top is what is supported. Defaults are those of transformers' configuration
** classes, for the fields that it leaves out; every number's range that a spec demands is
** checked once more where the spec is loaded.
*/
#include <stdio.h>
#include <string.h>

#include "import.h"

enum {
    MAX_SIZE = 1 << 30,
    MAX_ID = 1 << 30,
    USUAL_WINDOW = 4096
};

/* Which layers a sliding window is for, where layer_types does not say it. */
typedef enum {
    NO_LAYERS,
    ALL_LAYERS,
    EVEN_LAYERS,
    LATE_LAYERS
} windows;

/* What a family has, and what else its config.json may ask for. */
enum {
    IS_TIED = 1,  /* where config.json does not say it */
    QKV_BIAS = 2, /* always */
    MAY_BIAS = 4, /* q, k, v and o: attention_bias */
    MAY_MLP_BIAS = 8,
    SOFTCAPS = 16,
    WINDOW = 32 /* where config.json does not say it; null: none */
};

typedef struct family {
    const char *model_type, *architecture, *spec;
    int64_t head_dim; /* where config.json has none; 0: hidden / heads */
    windows windows;
    unsigned has;
} family;

static const family FAMILY[] = {
    { "llama", "LlamaForCausalLM", "llama", 0, NO_LAYERS, MAY_BIAS | MAY_MLP_BIAS },
    { "mistral", "MistralForCausalLM", "mistral", 0, ALL_LAYERS, WINDOW },
    { "qwen2", "Qwen2ForCausalLM", "qwen2", 0, LATE_LAYERS, QKV_BIAS | WINDOW },
    { "qwen3", "Qwen3ForCausalLM", "qwen3", 128, LATE_LAYERS, MAY_BIAS | WINDOW },
    { "gemma2", "Gemma2ForCausalLM", "gemma2", 256, EVEN_LAYERS, IS_TIED | SOFTCAPS | WINDOW },
    { "phi3", "Phi3ForCausalLM", "phi3", 0, ALL_LAYERS, 0 },
};
enum {
    N_FAMILIES = sizeof FAMILY / sizeof *FAMILY
};

/* ---- which model ---- */

static int refuse_model(const hf_object *c, const char *field, const char *name)
{
    bool type = strcmp(field, "model_type") == 0;
    char all[256] = "";

    for (int i = 0; i < N_FAMILIES; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? ", " : "",
                 type ? FAMILY[i].model_type : FAMILY[i].architecture);
    return import_fail(c->e, "%s: %s = \"%.60s\": is not supported; these are: %s", c->file, field,
                       name, all);
}

/* architectures: a list of one. It may name the family where model_type is missing. */
static int check_architecture(const hf_object *c, const family **f)
{
    const json_t *v = hf_get(c, "architectures");
    const char *name = json_string_value(json_array_get(v, 0));
    const family *found = NULL;

    if (v == NULL)
        return 0;
    if (json_array_size(v) != 1 || name == NULL)
        return hf_refuse(c, "architectures", "must be a list of one name");
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(FAMILY[i].architecture, name) == 0)
            found = &FAMILY[i];
    if (found == NULL)
        return refuse_model(c, "architectures", name);
    if (*f != NULL && found != *f)
        return import_fail(c->e,
                           "%s: architectures = \"%s\": contradicts model_type = \"%s\"; keep the "
                           "one that is right",
                           c->file, name, (*f)->model_type);
    *f = found;
    return 0;
}

static int find_family(const hf_object *c, const family **f)
{
    const char *type = hf_text(c, "model_type");

    *f = NULL;
    if (type == NULL)
        return -1;
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(FAMILY[i].model_type, type) == 0)
            *f = &FAMILY[i];
    if (type[0] != '\0' && *f == NULL)
        return refuse_model(c, "model_type", type);
    if (check_architecture(c, f) != 0)
        return -1;
    return *f != NULL ? 0 : refuse_model(c, "model_type", type);
}

/* What is in the way whatever the sizes are. */
static int refuse_others(const hf_object *c)
{
    static const char *const EXPERTS[] = { "num_local_experts", "num_experts", "n_routed_experts" };

    if (hf_get(c, "quantization_config") != NULL)
        return hf_refuse(c, "quantization_config",
                         "quantised checkpoints are not read; give the one with bf16 weights");
    for (size_t i = 0; i < sizeof EXPERTS / sizeof *EXPERTS; i++) {
        int64_t n = 0;
        if (hf_whole(c, EXPERTS[i], 0, MAX_SIZE, &n) != 0)
            return -1;
        if (n > 1)
            return hf_refuse(c, EXPERTS[i], "mixtures of experts are not supported");
    }
    return 0;
}

/* ---- sizes ---- */

static int take_heads(const hf_object *c, const family *f, hf_model *m)
{
    m->kv_heads = m->heads;
    m->head_dim = f->head_dim;
    if (hf_whole(c, "num_key_value_heads", 1, m->heads, &m->kv_heads) != 0 ||
        hf_whole(c, "head_dim", 1, MAX_SIZE, &m->head_dim) != 0)
        return -1;
    if (m->head_dim > 0)
        return 0;
    if (m->hidden % m->heads != 0)
        return hf_refuse(c, "hidden_size",
                         "must be a multiple of num_attention_heads where there is no head_dim");
    m->head_dim = m->hidden / m->heads;
    return 0;
}

static int take_sizes(const hf_object *c, const family *f, hf_model *m)
{
    if (hf_need_whole(c, "num_hidden_layers", 1, MAX_LAYERS, &m->layers) != 0 ||
        hf_need_whole(c, "hidden_size", 1, MAX_SIZE, &m->hidden) != 0 ||
        hf_need_whole(c, "num_attention_heads", 1, MAX_SIZE, &m->heads) != 0 ||
        take_heads(c, f, m) != 0 ||
        hf_need_whole(c, "intermediate_size", 1, MAX_SIZE, &m->ffn) != 0 ||
        hf_whole(c, "vocab_size", 1, MAX_SIZE, &m->vocab) != 0 ||
        hf_need_whole(c, "max_position_embeddings", 1, MAX_SIZE, &m->ctx) != 0)
        return -1;
    return hf_need_positive(c, "rms_norm_eps", &m->norm_eps);
}

static int take_act(const hf_object *c, hf_model *m)
{
    static const struct {
        const char *hf, *spec;
    } ACT[] = { { "silu", "silu" },
                { "swish", "silu" },
                { "gelu_pytorch_tanh", "gelu_tanh" },
                { "gelu_new", "gelu_tanh" } };
    const char *field = hf_get(c, "hidden_activation") != NULL ? "hidden_activation" : "hidden_act";
    const char *name = hf_text(c, field);

    if (name == NULL)
        return -1;
    for (size_t i = 0; i < sizeof ACT / sizeof *ACT; i++)
        if (strcmp(name, ACT[i].hf) == 0) {
            m->act = ACT[i].spec;
            return 0;
        }
    return hf_refuse(c, field, "is not supported; \"silu\" and \"gelu_pytorch_tanh\" are");
}

static int take_bias(const hf_object *c, const family *f, hf_model *m)
{
    bool attention = false, mlp = false;

    if (hf_bool(c, "attention_bias", &attention) != 0 || hf_bool(c, "mlp_bias", &mlp) != 0)
        return -1;
    if (attention && (f->has & (MAY_BIAS | QKV_BIAS)) == 0)
        return hf_refuse(c, "attention_bias", "is supported for model_type llama and qwen3 only");
    if (mlp && (f->has & MAY_MLP_BIAS) == 0)
        return hf_refuse(c, "mlp_bias", "is supported for model_type llama only");
    m->o_bias = attention && (f->has & MAY_BIAS) != 0;
    m->qkv_bias = m->o_bias || (f->has & QKV_BIAS) != 0;
    m->mlp_bias = mlp;
    return 0;
}

static int take_tied(const hf_object *c, const family *f, hf_model *m)
{
    bool usual = (f->has & IS_TIED) != 0, tied = usual;

    if (hf_bool(c, "tie_word_embeddings", &tied) != 0)
        return -1;
    bool given = hf_get(c, "tie_word_embeddings") != NULL;
    m->tied_default = usual;
    m->says_tied = !given ? TIED_ABSENT : tied ? TIED_YES : TIED_NO;
    return 0;
}

/* ---- sliding windows ---- */

static int read_layer_types(const hf_object *c, const hf_model *m, bool *slides)
{
    const json_t *v = hf_get(c, "layer_types");

    if (!json_is_array(v) || (int64_t)json_array_size(v) != m->layers)
        return hf_refuse(c, "layer_types", "must be a list with a name for each layer");
    for (int64_t l = 0; l < m->layers; l++) {
        const char *name = json_string_value(json_array_get(v, (size_t)l));
        if (name == NULL ||
            (strcmp(name, "full_attention") != 0 && strcmp(name, "sliding_attention") != 0))
            return hf_refuse(c, "layer_types",
                             "only \"full_attention\" and \"sliding_attention\" are supported");
        slides[l] = name[0] == 's';
    }
    return 0;
}

static int guess_layers(const hf_object *c, const family *f, const hf_model *m, bool *slides)
{
    int64_t first = 0, every = f->windows == EVEN_LAYERS ? 2 : 1;

    if (f->windows == LATE_LAYERS &&
        hf_need_whole(c, "max_window_layers", 0, MAX_SIZE, &first) != 0)
        return -1;
    for (int64_t l = first; l < m->layers; l += every)
        slides[l] = true;
    return 0;
}

/* first, first + every, ..: are these the layers that slide, all of them? */
static bool is_regular(const bool *slides, const hf_model *m)
{
    for (int64_t l = 0; l < m->layers; l++)
        if (slides[l] != (l >= m->window_first && (l - m->window_first) % m->window_every == 0))
            return false;
    return true;
}

static int set_window(const hf_object *c, const bool *slides, int64_t size, hf_model *m)
{
    int64_t first = 0;

    while (first < m->layers && !slides[first])
        first++;
    if (first == m->layers)
        return 0;
    m->window = size;
    m->window_first = first;
    m->window_every = 1;
    while (first + m->window_every < m->layers && !slides[first + m->window_every])
        m->window_every++;
    if (is_regular(slides, m))
        return 0;
    return hf_refuse(c, "layer_types",
                     "sliding layers must be evenly spaced: every layer, every second one ..");
}

static int take_window(const hf_object *c, const family *f, hf_model *m)
{
    bool slides[MAX_LAYERS] = { false }, used = f->windows != LATE_LAYERS;
    int64_t size = 0;

    if (f->windows == NO_LAYERS)
        return 0;
    if ((f->has & WINDOW) != 0 && json_object_get(c->o, "sliding_window") == NULL)
        size = USUAL_WINDOW;
    if (hf_whole(c, "sliding_window", 1, MAX_SIZE, &size) != 0 ||
        hf_bool(c, "use_sliding_window", &used) != 0)
        return -1;
    if (size == 0 || !used)
        return 0;
    int rc = hf_get(c, "layer_types") != NULL ? read_layer_types(c, m, slides)
                                              : guess_layers(c, f, m, slides);
    return rc != 0 ? -1 : set_window(c, slides, size, m);
}

/* ---- what one family has ---- */

/* A softcap: transformers' default where the field is absent, none where it is null. */
static int take_cap(const hf_object *c, const char *name, double usual, double *out)
{
    *out = json_object_get(c->o, name) == NULL ? usual : 0;
    return hf_positive(c, name, out);
}

static int take_softcaps(const hf_object *c, const family *f, hf_model *m, text *notes)
{
    if ((f->has & SOFTCAPS) == 0)
        return 0;
    m->score_scale = 256;
    if (take_cap(c, "attn_logit_softcapping", 50, &m->attn_cap) != 0 ||
        take_cap(c, "final_logit_softcapping", 30, &m->final_cap) != 0 ||
        hf_positive(c, "query_pre_attn_scalar", &m->score_scale) != 0)
        return -1;
    if (m->score_scale == 224)
        import_note(notes, "query_pre_attn_scalar = 224: gemma-2-9b had it in its first weeks, by "
                           "mistake; its present config.json has 256");
    return 0;
}

static int take_dual_chunk(const hf_object *c, hf_model *m, text *notes)
{
    const json_t *v = hf_get(c, "dual_chunk_attention_config");
    const hf_object d = { v, c->file, "dual_chunk_attention_config.", c->e };

    if (v == NULL)
        return 0;
    if (!json_is_object(v))
        return hf_refuse(c, "dual_chunk_attention_config", "must be an object");
    if (hf_need_whole(&d, "original_max_position_embeddings", 1, MAX_SIZE, &m->dual_chunk) != 0)
        return -1;
    import_note(notes,
                "beyond %lld tokens the authors use dual chunk attention, which is not done "
                "here: attention is plain at every length",
                (long long)m->dual_chunk);
    return 0;
}

/* ---- token ids ---- */

static int add_eos(const hf_object *c, const json_t *v, hf_model *m)
{
    int64_t id = json_integer_value(v);

    if (!json_is_integer(v) || id < 0 || id > MAX_ID)
        return hf_refuse(c, "eos_token_id", "must be a token id or a list of them");
    for (int i = 0; i < m->n_eos; i++)
        if (m->eos[i] == id)
            return 0;
    if (m->n_eos == MAX_EOS)
        return hf_refuse(c, "eos_token_id",
                         "config.json and generation_config.json list more than 8; keep 8");
    m->eos[m->n_eos++] = id;
    return 0;
}

static int take_eos(const hf_object *c, hf_model *m)
{
    const json_t *v = hf_get(c, "eos_token_id");

    if (v == NULL)
        return 0;
    if (!json_is_array(v))
        return add_eos(c, v, m);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (add_eos(c, json_array_get(v, i), m) != 0)
            return -1;
    return 0;
}

/* generation_config.json often knows the end of a turn where config.json does not. */
static int take_generation(hf_model *m, hi_error *e)
{
    json_t *o;
    int rc = hf_open(m->folder, "generation_config.json", &o, e);

    if (rc <= 0)
        return rc;
    const hf_object c = { o, "generation_config.json", "", e };
    rc = take_eos(&c, m);
    if (rc == 0 && m->bos < 0)
        rc = hf_whole(&c, "bos_token_id", 0, MAX_ID, &m->bos);
    json_decref(o);
    return rc;
}

/* ---- all of it ---- */

static int take_all(const hf_object *c, hf_model *m, text *notes)
{
    const family *f;

    if (find_family(c, &f) != 0 || refuse_others(c) != 0)
        return -1;
    m->family = f->spec;
    m->bos = -1;
    if (take_sizes(c, f, m) != 0 || take_act(c, m) != 0 || take_bias(c, f, m) != 0 ||
        take_tied(c, f, m) != 0 || take_window(c, f, m) != 0 || import_rope(c, m, notes) != 0 ||
        take_softcaps(c, f, m, notes) != 0 || take_dual_chunk(c, m, notes) != 0)
        return -1;
    if (m->ctx == 1024000 && strcmp(m->family, "mistral") == 0)
        import_note(notes, "max_position_embeddings = 1024000: Mistral-Nemo's first revisions; "
                           "later ones have 131072");
    return hf_whole(c, "bos_token_id", 0, MAX_ID, &m->bos) != 0 ? -1 : take_eos(c, m);
}

int import_config(hf_model *m, text *notes, hi_error *e)
{
    json_t *o;
    int rc = hf_open(m->folder, "config.json", &o, e);

    if (rc == 0)
        return import_fail(e, "%s: no config.json; fetch the whole repository", m->folder);
    if (rc < 0)
        return -1;
    const hf_object c = { o, "config.json", "", e };
    rc = take_all(&c, m, notes);
    json_decref(o);
    if (rc == 0)
        rc = take_generation(m, e);
    if (import_has(m->folder, "adapter_config.json"))
        import_note(notes, "adapter_config.json: the adapter beside the model is not used");
    if (rc == 0 && m->n_eos == 0)
        import_note(notes, "no eos_token_id: answers end only where -n says so");
    return rc;
}
