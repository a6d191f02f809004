/*
** hf_folder.h - checkpoint folders for tests: config.json in either spelling, and safetensors files
** that have a header and a hole where the elements would be.
*/
#ifndef HF_FOLDER_H
#define HF_FOLDER_H

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "published.h"
#include "text.h"

static char hf_folder[256]; /* under test */

static inline void put_bytes(const char *file, const char *data, size_t n)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", hf_folder, file);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

static inline void put_file(const char *file, const char *content)
{
    put_bytes(file, content, strlen(content));
}

static inline void take_file(const char *file)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", hf_folder, file);
    remove(path);
}

static inline void put_json(const char *file, json_t *o)
{
    char *dump = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    put_file(file, dump);
    free(dump);
    json_decref(o);
}

/* ---- config.json ---- */

static inline void set_text(json_t *o, const char *name, const char *v)
{
    json_object_set_new(o, name, json_string(v));
}

static inline void set_whole(json_t *o, const char *name, int64_t v)
{
    json_object_set_new(o, name, json_integer(v));
}

static inline void set_real(json_t *o, const char *name, double v)
{
    json_object_set_new(o, name, json_real(v));
}

static inline json_t *reals(const double *v)
{
    json_t *list = json_array();

    for (int i = 0; i < PHI_PAIRS; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

/* rope_scaling's fields; 'kind' is what type or rope_type is called. NULL: none. */
static inline json_t *scaling_of(const published *m, const char *kind)
{
    json_t *o = json_object();

    if (strcmp(m->rope, "default") == 0) {
        json_decref(o);
        return NULL;
    }
    set_text(o, kind, m->rope);
    if (strcmp(m->rope, "longrope") == 0) {
        json_object_set_new(o, "long_factor", reals(PHI_LONG));
        json_object_set_new(o, "short_factor", reals(PHI_SHORT));
        return o;
    }
    set_whole(o, "factor", m->factor);
    set_whole(o, "low_freq_factor", 1);
    set_whole(o, "high_freq_factor", 4);
    set_whole(o, "original_max_position_embeddings", m->orig_ctx);
    return o;
}

static inline void set_sizes(json_t *o, const published *m)
{
    set_whole(o, "num_hidden_layers", m->layers);
    set_whole(o, "hidden_size", m->hidden);
    set_whole(o, "num_attention_heads", m->heads);
    set_whole(o, "intermediate_size", m->ffn);
    set_whole(o, "vocab_size", m->vocab);
    set_whole(o, "max_position_embeddings", m->ctx);
    set_real(o, "rms_norm_eps", m->norm_eps);
    set_whole(o, "bos_token_id", m->bos);
    set_whole(o, "eos_token_id", m->eos[0]);
    set_text(o, "model_type", m->family);
}

static inline json_t *architecture(const published *m)
{
    static const char *const NAME[][2] = {
        { "llama", "LlamaForCausalLM" },   { "mistral", "MistralForCausalLM" },
        { "qwen2", "Qwen2ForCausalLM" },   { "qwen3", "Qwen3ForCausalLM" },
        { "gemma2", "Gemma2ForCausalLM" }, { "phi3", "Phi3ForCausalLM" },
    };

    for (size_t i = 0; i < sizeof NAME / sizeof *NAME; i++)
        if (strcmp(NAME[i][0], m->family) == 0)
            return json_pack("[s]", NAME[i][1]);
    return json_array();
}

static inline void set_gemma(json_t *o, const published *m)
{
    set_text(o, "hidden_activation", "gelu_pytorch_tanh");
    set_real(o, "attn_logit_softcapping", m->attn_cap);
    set_real(o, "final_logit_softcapping", m->final_cap);
    set_whole(o, "query_pre_attn_scalar", m->score_scale);
}

/* What both spellings have alike. */
static inline json_t *config_begin(const published *m)
{
    json_t *o = json_object();

    json_object_set_new(o, "architectures", architecture(m));
    set_sizes(o, m);
    set_text(o, "hidden_act", m->score_scale > 0 ? "gelu_pytorch_tanh" : "silu");
    if (m->score_scale > 0)
        set_gemma(o, m);
    else
        json_object_set_new(o, "tie_word_embeddings", json_boolean(m->tied));
    if (m->dual_chunk > 0)
        json_object_set_new(o, "dual_chunk_attention_config",
                            json_pack("{s:i,s:i}", "chunk_size", m->dual_chunk,
                                      "original_max_position_embeddings", m->dual_chunk));
    return o;
}

/* As transformers 4 and its forerunners wrote it: what follows from other fields is left out. */
static inline json_t *config_old(const published *m)
{
    json_t *o = config_begin(m), *scaling = scaling_of(m, "type");

    if (m->kv_heads != m->heads)
        set_whole(o, "num_key_value_heads", m->kv_heads);
    if (m->head_dim * m->heads != m->hidden)
        set_whole(o, "head_dim", m->head_dim);
    if (m->theta != 10000)
        set_real(o, "rope_theta", m->theta);
    json_object_set_new(o, "rope_scaling", scaling != NULL ? scaling : json_null());
    if (strcmp(m->rope, "longrope") == 0)
        set_whole(o, "original_max_position_embeddings", m->orig_ctx);
    json_object_set_new(o, "sliding_window",
                        m->window[0] > 0 ? json_integer(m->window[0]) : json_null());
    if (m->family[0] == 'q') {
        set_whole(o, "sliding_window", 131072);
        set_whole(o, "max_window_layers", m->layers / 2);
        json_object_set_new(o, "use_sliding_window", json_false());
    }
    set_text(o, "torch_dtype", "bfloat16");
    return o;
}

/* As transformers 5 writes it: rope_parameters, dtype, layer_types, nothing left out. */
static inline json_t *config_new(const published *m)
{
    json_t *o = config_begin(m), *rope = scaling_of(m, "rope_type"), *types = json_array();

    if (rope == NULL)
        rope = json_pack("{s:s}", "rope_type", "default");
    set_real(rope, "rope_theta", m->theta);
    if (strcmp(m->rope, "longrope") == 0)
        set_whole(rope, "original_max_position_embeddings", m->orig_ctx);
    json_object_set_new(o, "rope_parameters", rope);
    set_whole(o, "num_key_value_heads", m->kv_heads);
    set_whole(o, "head_dim", m->head_dim);
    for (int l = 0; l < m->layers; l++) {
        bool slides =
            m->window[0] > 0 && l >= m->window[1] && (l - m->window[1]) % m->window[2] == 0;
        json_array_append_new(types, json_string(slides ? "sliding_attention" : "full_attention"));
    }
    json_object_set_new(o, "layer_types", types);
    json_object_set_new(o, "sliding_window",
                        m->window[0] > 0 ? json_integer(m->window[0]) : json_null());
    set_text(o, "dtype", "bfloat16");
    return o;
}

/* ---- safetensors files ---- */

typedef struct st_writer {
    text header;
    uint64_t at;        /* bytes of elements so far */
    const char *dtype;  /* of all tensors but the odd one */
    const char *odd;    /* a tensor with another shape: rows + 1 */
    const char *absent; /* one that is left out */
    const char *family;
} st_writer;

/* cols 0: a vector. */
static inline void add_tensor(st_writer *w, const char *name, int64_t rows, int64_t cols)
{
    char shape[64];
    uint64_t bytes;

    if (w->absent != NULL && strcmp(name, w->absent) == 0)
        return;
    rows += w->odd != NULL && strcmp(name, w->odd) == 0;
    bytes = (uint64_t)rows * (uint64_t)(cols > 0 ? cols : 1) * (strcmp(w->dtype, "F32") ? 2 : 4);
    if (cols > 0)
        snprintf(shape, sizeof shape, "%lld, %lld", (long long)rows, (long long)cols);
    else
        snprintf(shape, sizeof shape, "%lld", (long long)rows);
    text_printf(&w->header,
                "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [%s], \"data_offsets\": "
                "[%llu, %llu]}",
                w->header.len > 0 ? ", " : "{", name, w->dtype, shape, (unsigned long long)w->at,
                (unsigned long long)(w->at + bytes));
    w->at += bytes;
}

static inline void add_in_layer(st_writer *w, int l, const char *name, int64_t rows, int64_t cols)
{
    char full[160];

    snprintf(full, sizeof full, "model.layers.%d.%s", l, name);
    add_tensor(w, full, rows, cols);
}

static inline void add_attention(st_writer *w, const published *m, int l)
{
    int64_t q = (int64_t)m->heads * m->head_dim, kv = (int64_t)m->kv_heads * m->head_dim;

    if (strcmp(w->family, "phi3") == 0)
        add_in_layer(w, l, "self_attn.qkv_proj.weight", q + 2 * kv, m->hidden);
    else {
        add_in_layer(w, l, "self_attn.q_proj.weight", q, m->hidden);
        add_in_layer(w, l, "self_attn.k_proj.weight", kv, m->hidden);
        add_in_layer(w, l, "self_attn.v_proj.weight", kv, m->hidden);
    }
    if (strcmp(w->family, "qwen2") == 0) {
        add_in_layer(w, l, "self_attn.q_proj.bias", q, 0);
        add_in_layer(w, l, "self_attn.k_proj.bias", kv, 0);
        add_in_layer(w, l, "self_attn.v_proj.bias", kv, 0);
    }
    if (strcmp(w->family, "qwen3") == 0) {
        add_in_layer(w, l, "self_attn.q_norm.weight", m->head_dim, 0);
        add_in_layer(w, l, "self_attn.k_norm.weight", m->head_dim, 0);
    }
    add_in_layer(w, l, "self_attn.o_proj.weight", m->hidden, q);
}

static inline void add_layer(st_writer *w, const published *m, int l)
{
    add_in_layer(w, l, "input_layernorm.weight", m->hidden, 0);
    add_in_layer(w, l, "post_attention_layernorm.weight", m->hidden, 0);
    if (strcmp(w->family, "gemma2") == 0) {
        add_in_layer(w, l, "pre_feedforward_layernorm.weight", m->hidden, 0);
        add_in_layer(w, l, "post_feedforward_layernorm.weight", m->hidden, 0);
    }
    add_attention(w, m, l);
    if (strcmp(w->family, "phi3") == 0)
        add_in_layer(w, l, "mlp.gate_up_proj.weight", 2 * (int64_t)m->ffn, m->hidden);
    else {
        add_in_layer(w, l, "mlp.gate_proj.weight", m->ffn, m->hidden);
        add_in_layer(w, l, "mlp.up_proj.weight", m->ffn, m->hidden);
    }
    add_in_layer(w, l, "mlp.down_proj.weight", m->hidden, m->ffn);
}

/* Writes length, header and a hole; 'cut' bytes fewer than there should be. */
static inline void put_tensors(const char *file, st_writer *w, int64_t cut)
{
    char path[512];
    unsigned char length[8];
    int64_t bytes;

    if (w->header.len == 0)
        text_printf(&w->header, "{");
    text_printf(&w->header, "}");
    assert_false(w->header.failed);
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)w->header.len >> 8 * i);
    put_bytes(file, (const char *)length, 8);
    snprintf(path, sizeof path, "%s/%s", hf_folder, file);
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(w->header.data, 1, w->header.len, f), w->header.len);
    assert_int_equal(fclose(f), 0);
    bytes = 8 + (int64_t)w->header.len + (int64_t)w->at - cut;
    if (truncate(path, bytes) != 0)
        fail_msg("%s: %lld bytes: %s", path, (long long)bytes, strerror(errno));
    text_free(&w->header);
    w->at = 0;
}

static inline st_writer writer_of(const published *m)
{
    return (st_writer){ .dtype = "BF16", .family = m->family };
}

static inline void put_model(const published *m, st_writer *w)
{
    add_tensor(w, "model.embed_tokens.weight", m->vocab, m->hidden);
    for (int l = 0; l < m->layers; l++)
        add_layer(w, m, l);
    add_tensor(w, "model.norm.weight", m->hidden, 0);
    if (!m->tied)
        add_tensor(w, "lm_head.weight", m->vocab, m->hidden);
    put_tensors("model.safetensors", w, 0);
}

#endif
