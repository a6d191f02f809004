/*
** view_spec.c - the model's half of the templates' view: shape, rotation, tensors.
*/
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "convert.h"
#include "print.h"
#include "sizes.h"
#include "view_fields.h"

enum {
    PER_LINE = 5
};

/* A C float: digits that give the same float back, with a point or an exponent. */
static void float_text(double value, char *out, size_t n)
{
    snprintf(out, n, "%.9g", (double)(float)value);
    if (strpbrk(out, ".e") == NULL)
        strncat(out, ".0", n - strlen(out) - 1);
}

/* The nearest bf16. */
static float bf16_of(float value)
{
    uint16_t rounded;
    float out;

    convert_f32_to_bf16(&value, &rounded, 1);
    convert_bf16_to_f32(&rounded, &out, 1);
    return out;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void set_rope_lines(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    char line[LINE_LEN] = "", number[64];

    lua_newtable(L);
    for (int i = 0; i < s->head_dim / 2; i++) {
        float_text(rope_freq(s, p->ctx, i), number, sizeof number);
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%sf,", *line ? " " : "",
                 number);
        if (i % PER_LINE == PER_LINE - 1 || i == s->head_dim / 2 - 1) {
            add_line(L, "%s", line);
            line[0] = '\0';
        }
    }
    lua_setfield(L, -2, "rope_lines");
}

static void set_eos(lua_State *L, const hi_spec *s)
{
    char list[LINE_LEN] = "";

    for (int i = 0; i < s->n_eos; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%d", i ? ", " : "", s->eos[i]);
    if (s->n_eos > 0)
        set_text(L, "eos", list);
    else {
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "eos");
    }
}

/* ---- tensors: the checkpoint's names over the layout of 'weights' ---- */

static const hi_tensor_role QKV[] = { T_Q, T_K, T_V },
                            QKV_BIAS[] = { T_Q_BIAS, T_K_BIAS, T_V_BIAS };
static const hi_tensor_role GATE_UP[] = { T_GATE, T_UP };
static const hi_tensor_role GATE_UP_BIAS[] = { T_GATE_BIAS, T_UP_BIAS };

static void add_tensor(lua_State *L, const hi_spec *s, const weight_slot *w, hi_tensor_role role,
                       int64_t rows, int64_t row0)
{
    static const char *const KIND[] = { "HI_ROWS", "HI_PACKED", "HI_VECTOR" };
    char name[TENSOR_NAME_LEN + 32];
    const char *hole = strstr(s->tensor[role], "%d");

    if (hole == NULL)
        snprintf(name, sizeof name, "%s", s->tensor[role]);
    else
        snprintf(name, sizeof name, "%.*s%d%s", (int)(hole - s->tensor[role]), s->tensor[role],
                 w->layer, hole + 2);
    add_line(L, "{ \"%s\", %" PRId64 ", %" PRId64 ", %s, %d, %" PRId64 ", %" PRId64 " },", name,
             rows, w->kind == W_VECTOR ? 0 : w->cols, KIND[w->kind], w->layer, w->offset, row0);
}

/* The tensors that make up one fused matrix or vector, one below the other. */
static void add_fused(lua_State *L, const hi_spec *s, const weight_slot *w,
                      const hi_tensor_role *role, int n)
{
    int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim, row0 = 0;

    if (s->tensor[role[0]][0] == '\0') { /* the checkpoint has them packed as they are here */
        add_tensor(L, s, w, n == 2 ? T_GATE_UP : T_QKV, w->rows, 0);
        return;
    }
    for (int i = 0; i < n; i++) {
        int64_t rows = n == 2 ? s->ffn : i == 0 ? q : kv;
        add_tensor(L, s, w, role[i], rows, row0);
        row0 += rows;
    }
}

static void add_slot(lua_State *L, const hi_spec *s, const weight_slot *w)
{
    switch (w->role) {
    case T_Q:
        add_fused(L, s, w, QKV, 3);
        break;
    case T_Q_BIAS:
        add_fused(L, s, w, QKV_BIAS, 3);
        break;
    case T_GATE:
        add_fused(L, s, w, GATE_UP, 2);
        break;
    case T_GATE_BIAS:
        add_fused(L, s, w, GATE_UP_BIAS, 2);
        break;
    default:
        add_tensor(L, s, w, w->role, w->rows, 0);
    }
}

/* The columns of hi_layer's parts in order: offsets in a layer, -1 where it has no such part. */
static void set_parts(lua_State *L, const weight_slot *w, int64_t n)
{
    static const hi_tensor_role COLUMN[] = {
        T_ATTN_NORM,      T_Q,        T_Q_BIAS, T_Q_NORM,    T_K_NORM, T_O,         T_O_BIAS,
        T_ATTN_POST_NORM, T_MLP_NORM, T_GATE,   T_GATE_BIAS, T_DOWN,   T_DOWN_BIAS, T_MLP_POST_NORM
    };
    enum {
        COLUMNS = sizeof COLUMN / sizeof *COLUMN
    };
    char line[LINE_LEN] = "";

    for (int c = 0; c < COLUMNS; c++) {
        int64_t offset = -1;
        for (int64_t i = 0; i < n; i++)
            if (w[i].layer == 0 && w[i].role == COLUMN[c])
                offset = w[i].offset;
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%" PRId64, c > 0 ? ", " : "",
                 offset);
    }
    set_text(L, "layer_parts", line);
}

/* Layers stand one after the other: in 'weights' those that stay, on the host the others. */
static void set_layers(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    int64_t bytes = layer_weight_bytes(s, plan_format(p)), host = p->host[HOST_layers].offset;
    int64_t device = once_bytes(s, plan_format(p), p->embed == AT_HOST);

    lua_newtable(L);
    for (int l = 0; l < s->layers; l++) {
        int64_t *at = p->streamed[l] ? &host : &device;
        add_line(L, "{ %" PRId64 ", %s, %" PRId64 ", { %" PRId64 ", %" PRId64 " }, PARTS },", *at,
                 p->streamed[l] ? "true" : "false",
                 layer_rolls(s, l, p->ctx) ? s->window.size : 0, p->resident[PREFILL][l],
                 p->resident[DECODE][l]);
        *at += bytes;
    }
    lua_setfield(L, -2, "layer_lines");
}

/* Offset in 'weights' of a tensor that no layer owns; -1: not there. */
static int64_t once_offset(const weight_slot *w, int64_t n, hi_tensor_role role)
{
    for (int64_t i = 0; i < n; i++)
        if (w[i].role == role && w[i].part == PART_ONCE)
            return w[i].offset;
    return -1;
}

/* The layout lies in Lua's memory, below the table being filled: an error frees it. */
static void set_tensors(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    bool host = p->embed == AT_HOST;
    int64_t n = weight_layout(s, plan_format(p), host, NULL);
    weight_slot *w = lua_newuserdatauv(L, (size_t)n * sizeof *w, 0);

    lua_insert(L, -2);
    weight_layout(s, plan_format(p), host, w);
    lua_newtable(L);
    for (int64_t i = 0; i < n; i++)
        add_slot(L, s, &w[i]);
    lua_setfield(L, -2, "tensor_lines");
    set_parts(L, w, n);
    set_layers(L, s, p);
    int64_t embed = once_offset(w, n, T_EMBED), head = once_offset(w, n, T_LM_HEAD);
    set_int(L, "embed_offset", embed);
    set_int(L, "final_norm_offset", once_offset(w, n, T_FINAL_NORM));
    set_int(L, "lm_head_offset", head < 0 ? embed : head);
    lua_remove(L, -2);
}

/* A number for a template to print; false where the model has no such thing. */
static void set_option(lua_State *L, const char *name, bool there, double value)
{
    char number[64];

    lua_pushboolean(L, false);
    if (there) {
        lua_pop(L, 1);
        snprintf(number, sizeof number, "%.17g", value);
        lua_pushstring(L, number);
    }
    lua_setfield(L, -2, name);
}

/* What of the shape not every model has. */
static void set_shape(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    float scale = sqrtf((float)s->hidden);

    set_option(L, "query_scalar", s->query_scalar != s->head_dim, s->query_scalar);
    set_option(L, "attn_softcap", s->attn_softcap > 0, s->attn_softcap);
    set_option(L, "final_softcap", s->final_softcap > 0, s->final_softcap);
    set_option(L, "attn_window", s->window.size > 0, (double)s->window.size);
    set_option(L, "embed_scale", s->embed_scale != 0, p->elt == 2 ? bf16_of(scale) : scale);
    set_bool(L, "qk_norm", s->tensor[T_Q_NORM][0] != '\0');
    set_bool(L, "norm_offset", s->norm_offset != 0);
}

void push_spec(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    const struct {
        const char *name;
        int64_t value;
    } number[] = {
        { "layers", s->layers },     { "hidden", s->hidden }, { "heads", s->heads },
        { "kv_heads", s->kv_heads }, { "ffn", s->ffn },       { "head_dim", s->head_dim },
        { "vocab", s->vocab },       { "bos", s->bos },
    };
    char eps[64];

    lua_newtable(L);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        set_int(L, number[i].name, number[i].value);
    set_text(L, "name", s->name);
    set_text(L, "file", file_name(s->path));
    float_text(s->norm_eps, eps, sizeof eps);
    set_text(L, "norm_eps", eps);
    snprintf(eps, sizeof eps, "%.17g", s->rope.theta);
    set_text(L, "rope_theta", eps);
    set_text(L, "tied", s->tied ? "true" : "false");
    set_text(L, "gelu", s->act == ACT_GELU_TANH ? "true" : "false");
    set_rope_lines(L, s, p);
    float_text(rope_scale(s), eps, sizeof eps);
    set_text(L, "rope_scale", eps);
    set_shape(L, s, p);
    set_eos(L, s);
    set_tensors(L, s, p);
}
