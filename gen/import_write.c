/*
** import_write.c - a checkpoint's sizes as the text of a spec, like those in specs/.
*/
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

enum {
    NUMBER_LEN = 40,
    PER_LINE = 8
};

/* Fewest digits that give the same number back: "10000", "1e-5", "1.0700000524520874". */
static void number_text(double x, char *out)
{
    char digits[NUMBER_LEN];
    char *e;

    if (x == floor(x) && fabs(x) < 1e15) {
        snprintf(out, NUMBER_LEN, "%.0f", x);
        return;
    }
    for (int n = 1; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (strtod(digits, NULL) == x)
            break;
    }
    snprintf(out, NUMBER_LEN, "%s", digits);
    e = strchr(out, 'e');
    if (e == NULL)
        return;
    char sign = e[1]; /* "1e-05" -> "1e-5" */
    const char *at = strchr(digits, 'e') + 2;
    while (at[0] == '0' && at[1] != '\0')
        at++;
    snprintf(e + 1, NUMBER_LEN - (size_t)(e - out) - 1, "%s%s", sign == '-' ? "-" : "", at);
}

static void put_whole(text *t, const char *field, int64_t v, const char *hf)
{
    text_printf(t, "    %s = %lld,%s%s\n", field, (long long)v, hf[0] ? " -- " : "", hf);
}

static void put_number(text *t, const char *indent, const char *field, double v)
{
    char number[NUMBER_LEN];

    number_text(v, number);
    text_printf(t, "%s%s = %s,\n", indent, field, number);
}

static void put_bool(text *t, const char *field, bool v, const char *hf)
{
    text_printf(t, "    %s = %s,%s%s\n", field, v ? "true" : "false", hf[0] ? " -- " : "", hf);
}

/* ---- rope ---- */

static void put_list(text *t, const char *field, const double *v, int n)
{
    char number[NUMBER_LEN];

    text_printf(t, "        %s = {\n", field);
    for (int i = 0; i < n; i++) {
        number_text(v[i], number);
        text_printf(t, "%s%s,", i % PER_LINE == 0 ? "            " : " ", number);
        if (i % PER_LINE == PER_LINE - 1 || i == n - 1)
            text_printf(t, "\n");
    }
    text_printf(t, "        },\n");
}

/* Fields of a kind in the order of the spec's format. */
static void put_rope_fields(text *t, const hf_rope *r)
{
    const char *k = r->kind, *in = "        ";

    put_number(t, in, "theta", r->theta);
    if (strcmp(k, "longrope") != 0)
        put_number(t, in, "factor", r->factor);
    if (strcmp(k, "llama3") == 0) {
        put_number(t, in, "low_freq", r->low_freq);
        put_number(t, in, "high_freq", r->high_freq);
    }
    if (strcmp(k, "linear") != 0)
        text_printf(t, "%sorig_ctx = %lld,\n", in, (long long)r->orig_ctx);
    if (strcmp(k, "yarn") == 0) {
        put_number(t, in, "beta_fast", r->beta_fast);
        put_number(t, in, "beta_slow", r->beta_slow);
    }
    if (strcmp(k, "yarn") == 0 || strcmp(k, "longrope") == 0)
        put_number(t, in, "attn_factor", r->attn_factor);
    if (strcmp(k, "longrope") == 0) {
        put_list(t, "long", r->longer, r->n_pairs);
        put_list(t, "short", r->shorter, r->n_pairs);
    }
}

static void put_rope(text *t, const hf_rope *r)
{
    char theta[NUMBER_LEN];

    number_text(r->theta, theta);
    if (strcmp(r->kind, "default") == 0) {
        text_printf(t, "    rope = { kind = \"default\", theta = %s }, -- rope_theta\n", theta);
        return;
    }
    text_printf(t, "    rope = { -- rope_theta, rope_scaling\n        kind = \"%s\",\n", r->kind);
    put_rope_fields(t, r);
    text_printf(t, "    },\n");
}

/* ---- what some models have ---- */

static void put_softcaps(text *t, const hf_model *m)
{
    char attn[NUMBER_LEN], final[NUMBER_LEN];
    bool both = m->attn_cap > 0 && m->final_cap > 0;

    if (m->attn_cap == 0 && m->final_cap == 0)
        return;
    number_text(m->attn_cap, attn);
    number_text(m->final_cap, final);
    text_printf(t,
                "    softcap = { %s%s%s%s%s }, -- attn_logit_softcapping, "
                "final_logit_softcapping\n",
                m->attn_cap > 0 ? "attn = " : "", m->attn_cap > 0 ? attn : "", both ? ", " : "",
                m->final_cap > 0 ? "final = " : "", m->final_cap > 0 ? final : "");
}

static void put_others(text *t, const hf_model *m)
{
    char number[NUMBER_LEN];

    if (m->window > 0)
        text_printf(t,
                    "    window = { size = %lld, first = %lld, every = %lld }, -- "
                    "sliding_window, by layer\n",
                    (long long)m->window, (long long)m->window_first, (long long)m->window_every);
    put_softcaps(t, m);
    if (m->score_scale > 0) {
        number_text(m->score_scale, number);
        text_printf(t, "    query_pre_attn_scalar = %s,\n", number);
    }
    if (m->dual_chunk > 0)
        put_whole(t, "dual_chunk", m->dual_chunk,
                  "dual_chunk_attention_config.original_max_position_embeddings");
}

static void put_ids(text *t, const hf_model *m)
{
    if (m->bos >= 0)
        put_whole(t, "bos", m->bos, "bos_token_id");
    if (m->n_eos == 1)
        put_whole(t, "eos", m->eos[0], "eos_token_id");
    if (m->n_eos < 2)
        return;
    text_printf(t, "    eos = { ");
    for (int i = 0; i < m->n_eos; i++)
        text_printf(t, "%s%lld", i > 0 ? ", " : "", (long long)m->eos[i]);
    text_printf(t, " }, -- eos_token_id of config.json and generation_config.json\n");
}

void import_write(const hf_model *m, text *t)
{
    text_printf(t,
                "-- %s, by hi-gen import. Source: its config.json, the fields named behind each\n"
                "-- line, and generation_config.json; vocab and tied are what the tensors say.\n",
                m->label);
    text_printf(t, "return {\n    family = \"%s\", -- model_type\n", m->family);
    put_whole(t, "layers", m->layers, "num_hidden_layers");
    put_whole(t, "hidden", m->hidden, "hidden_size");
    put_whole(t, "heads", m->heads, "num_attention_heads");
    put_whole(t, "kv_heads", m->kv_heads, "num_key_value_heads");
    put_whole(t, "head_dim", m->head_dim, "head_dim, or hidden_size / num_attention_heads");
    put_whole(t, "ffn", m->ffn, "intermediate_size");
    put_whole(t, "vocab", m->vocab, "rows of the embedding");
    put_whole(t, "ctx", m->ctx, "max_position_embeddings");
    char eps[NUMBER_LEN];
    number_text(m->norm_eps, eps);
    text_printf(t, "    norm_eps = %s, -- rms_norm_eps\n", eps);
    put_rope(t, &m->rope);
    text_printf(t, "    act = \"%s\", -- hidden_act\n", m->act);
    put_bool(t, "qkv_bias", m->qkv_bias, "");
    put_bool(t, "o_bias", m->o_bias, "");
    put_bool(t, "mlp_bias", m->mlp_bias, "");
    put_bool(t, "tied", m->tied, "tie_word_embeddings, or no lm_head");
    put_others(t, m);
    put_ids(t, m);
    text_printf(t, "}\n");
}
