/*
** view.c - what templates see of spec and plan: plain Lua tables of strings and integers.
**
** Every line a template prints as a whole is made here; templates only place it.
*/
#include "view.h"

#include <ctype.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "print.h"
#include "sizes.h"

enum { PER_LINE = 5, LINE_LEN = 512 };

static const char *const PHASE_NAME[] = { "prefill", "decode" };

/* ---- table fields ---- */

static void set_int(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/* Appends a line to the list on top of the stack. */
static void add_line(lua_State *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_line(lua_State *L, const char *fmt, ...)
{
    char line[LINE_LEN];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    lua_pushstring(L, line);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* A C float: digits that give the same float back, with a point or an exponent. */
static void float_text(double value, char *out, size_t n)
{
    snprintf(out, n, "%.9g", (double)(float)value);
    if (strpbrk(out, ".e") == NULL)
        strncat(out, ".0", n - strlen(out) - 1);
}

/* ---- spec ---- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void set_rope_lines(lua_State *L, const hi_spec *s)
{
    char line[LINE_LEN] = "", number[64];

    lua_newtable(L);
    for (int i = 0; i < s->head_dim / 2; i++) {
        float_text(rope_freq(s, i), number, sizeof number);
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%sf,", *line ? " " : "", number);
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

static const hi_tensor_role QKV[] = { T_Q, T_K, T_V }, QKV_BIAS[] = { T_Q_BIAS, T_K_BIAS, T_V_BIAS };
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
        snprintf(name, sizeof name, "%.*s%d%s", (int)(hole - s->tensor[role]), s->tensor[role], w->layer,
                 hole + 2);
    add_line(L, "{ \"%s\", %" PRId64 ", %" PRId64 ", %s, %" PRId64 ", %" PRId64 " },", name, rows,
             w->kind == W_VECTOR ? 0 : w->cols, KIND[w->kind], w->offset, row0);
}

/* The tensors that make up one fused matrix or vector, one below the other. */
static void add_fused(lua_State *L, const hi_spec *s, const weight_slot *w, const hi_tensor_role *role,
                      int n)
{
    int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim, row0 = 0;

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

/* Columns of hi_layer in order, in two lines; -1 where the model has no such part. */
static void add_layer_lines(lua_State *L, const weight_slot *w, int64_t n, int layer)
{
    static const hi_tensor_role COLUMN[] = { T_ATTN_NORM, T_Q, T_Q_BIAS, T_O, T_O_BIAS, T_MLP_NORM,
                                             T_GATE, T_GATE_BIAS, T_DOWN, T_DOWN_BIAS };
    enum { COLUMNS = sizeof COLUMN / sizeof *COLUMN, HALF = COLUMNS / 2 };
    char line[LINE_LEN] = "{ ";

    for (int c = 0; c < COLUMNS; c++) {
        int64_t offset = -1;
        for (int64_t i = 0; i < n; i++)
            if (w[i].layer == layer && w[i].role == COLUMN[c])
                offset = w[i].offset;
        const char *after = c == HALF - 1 ? "," : c == COLUMNS - 1 ? " }," : ", ";
        snprintf(line + strlen(line), sizeof line - strlen(line), "%" PRId64 "%s", offset, after);
        if (c == HALF - 1) {
            add_line(L, "%s", line);
            strcpy(line, "  ");
        }
    }
    add_line(L, "%s", line);
}

static int64_t once_offset(const weight_slot *w, int64_t n, hi_tensor_role role)
{
    for (int64_t i = 0; i < n; i++)
        if (w[i].role == role)
            return w[i].offset;
    return -1;
}

/* The layout lies in Lua's memory, below the table being filled: an error frees it. */
static void set_tensors(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    int64_t n = weight_layout(s, p->elt, NULL), per_layer = 0;
    weight_slot *w = lua_newuserdatauv(L, (size_t)n * sizeof *w, 0);

    lua_insert(L, -2);
    weight_layout(s, p->elt, w);
    lua_newtable(L);
    for (int64_t i = 0; i < n; i++)
        add_slot(L, s, &w[i]);
    lua_setfield(L, -2, "tensor_lines");
    for (int64_t i = 0; i < n; i++)
        per_layer += w[i].layer == 0;
    int64_t once = n - per_layer * s->layers;
    lua_newtable(L);
    for (int l = 0; l < s->layers; l++)
        add_layer_lines(L, w + once + l * per_layer, per_layer, l);
    lua_setfield(L, -2, "layer_lines");
    int64_t embed = once_offset(w, n, T_EMBED), head = once_offset(w, n, T_LM_HEAD);
    set_int(L, "embed_offset", embed);
    set_int(L, "final_norm_offset", once_offset(w, n, T_FINAL_NORM));
    set_int(L, "lm_head_offset", head < 0 ? embed : head);
    lua_remove(L, -2);
}

static void push_spec(lua_State *L, const hi_spec *s, const hi_plan *p)
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
    set_text(L, "tied", s->tied ? "true" : "false");
    set_text(L, "gelu", s->act == ACT_GELU_TANH ? "true" : "false");
    set_rope_lines(L, s);
    set_eos(L, s);
    set_tensors(L, s, p);
}

/* ---- plan ---- */

/* lua_CFunction: a text's lines as a list. */
static int push_lines(lua_State *L)
{
    const text *t = lua_touserdata(L, 1);

    if (t->failed)
        return luaL_error(L, "out of memory");
    lua_newtable(L);
    for (char *line = t->data; line != NULL && *line;) {
        char *end = strchr(line, '\n');
        *end = '\0';
        add_line(L, "%s", line);
        line = end + 1;
    }
    return 1;
}

/* The memory table, as the inside of C string literals. An error must pass by text_free. */
static void set_plan_text(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    text t = { 0 };

    lua_pushcfunction(L, push_lines);
    lua_pushlightuserdata(L, &t);
    plan_print(s, p, &t);
    int rc = lua_pcall(L, 1, 1, 0);
    text_free(&t);
    if (rc != LUA_OK)
        lua_error(L);
    lua_setfield(L, -2, "text");
}

static void set_groups(lua_State *L, const hi_plan *p)
{
    int width = p->group_of[p->n_groups - 1].layer >= 100 ? 3 : 2;

    lua_newtable(L);
    for (int g = 0; g < p->n_groups; g++)
        add_line(L, "L%0*d_H%d,", width, p->group_of[g].layer, p->group_of[g].head);
    lua_setfield(L, -2, "group_lines");
    lua_newtable(L);
    for (int g = 0; g < p->n_groups; g++) {
        const hi_group *gr = &p->group_of[g];
        add_line(L, "[L%0*d_H%d] = { %d, %d, %d, { %d, %d } },", width, gr->layer, gr->head, gr->layer,
                 gr->head, gr->n, gr->resident[PREFILL], gr->resident[DECODE]);
    }
    lua_setfield(L, -2, "ring_lines");
}

static void set_buffers(lua_State *L, const hi_plan *p, hi_phase phase, const char *name)
{
    static const char *const NAME[] = {
#define B(name, phases, what) #name,
#include "buffers.def"
#undef B
    };

    lua_newtable(L);
    for (int id = 0; id < N_BUFFERS; id++) {
        char constant[32];
        snprintf(constant, sizeof constant, "HI_B_%s", NAME[id]);
        for (char *c = constant; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        if (p->buf[phase][id].bytes > 0)
            add_line(L, "[%s] = { %" PRId64 ", %" PRId64 " },", constant, p->buf[phase][id].offset,
                     p->buf[phase][id].bytes);
    }
    lua_setfield(L, -2, name);
}

static void push_plan(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    const struct {
        const char *name;
        int64_t value;
    } number[] = {
        { "elt", p->elt },
        { "f32", p->req.numerics == NUM_F32 },
        { "ctx", p->ctx },
        { "tile", p->tile },
        { "split", KEY_SPLIT },
        { "group", p->group },
        { "slots", p->slots },
        { "rows_prefill", p->rows[PREFILL] },
        { "rows_decode", p->rows[DECODE] },
        { "budget", p->req.vram_bytes },
        { "arena", p->arena_bytes },
        { "reserve", p->reserve_bytes },
        { "store", p->store_bytes },
    };
    char name[256];

    lua_newtable(L);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        set_int(L, number[i].name, number[i].value);
    plan_name(s, p, name, sizeof name);
    set_text(L, "name", name);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    set_text(L, "target_name", name);
    set_text(L, "offload_text", p->offload ? "true" : "false");
    set_text(L, "logits_all", p->req.logits_all ? "true" : "false");
    lua_pushboolean(L, p->offload);
    lua_setfield(L, -2, "offload");
    set_plan_text(L, s, p);
    set_groups(L, p);
    set_buffers(L, p, PREFILL, "prefill_buffers");
    set_buffers(L, p, DECODE, "decode_buffers");
}

/*
** The command line twice: 'command', the lines of a comment, and 'command_string', those of a
** C string behind ".command = ". Lines break before an option.
*/
static void set_command(lua_State *L, const char *command)
{
    enum { MOST = 80 };              /* the longer margin is 16 columns, with a quote and a comma */
    size_t n;

    lua_newtable(L);                 /* command */
    lua_newtable(L);                 /* command_string */
    for (const char *at = command; *at; at += n) {
        n = strlen(at);
        while (n > MOST) {           /* the last " --" that leaves a line of at most MOST */
            size_t shorter = n - 1;
            while (shorter > 0 && strncmp(at + shorter, " --", 3) != 0)
                shorter--;
            if (shorter == 0)
                break;
            n = shorter;
        }
        lua_insert(L, -2);
        add_line(L, "%.*s", (int)n - (*at == ' '), at + (*at == ' '));
        lua_insert(L, -2);
        add_line(L, "%s\"%.*s\"%s", at == command ? ".command = " : "           ", (int)n, at,
                 at[n] ? "" : ",");
    }
    lua_setfield(L, -3, "command_string");
    lua_setfield(L, -2, "command");
}

void view_push(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    char command[LINE_LEN];

    lua_newtable(L);
    push_spec(L, s, p);
    lua_setfield(L, -2, "spec");
    push_plan(L, s, p);
    lua_setfield(L, -2, "plan");
    plan_command(s, p, command, sizeof command);
    if (command[0] == '\0')
        luaL_error(L, "out of memory");
    set_command(L, command);
}

/* ---- one phase's schedule ---- */

static void heads_text(const hi_group *g, char *out, size_t n)
{
    if (g->n == 1)
        snprintf(out, n, "head %d", g->head);
    else
        snprintf(out, n, "heads %d-%d", g->head, g->head + g->n - 1);
}

/* The paragraph's comment: what stays, what streams, what the ring fetches after it. */
static void add_group_comment(lua_State *L, const hi_plan *p, hi_phase phase, int g)
{
    const hi_group *gr = &p->group_of[g], *next = &p->group_of[(g + 1) % p->n_groups];
    char heads[64], after[64], stay[64];

    heads_text(gr, heads, sizeof heads);
    heads_text(next, after, sizeof after);
    int resident = gr->resident[phase];
    snprintf(stay, sizeof stay, "%d tile%s resident", resident, resident == 1 ? "" : "s");
    if (resident >= p->tiles)
        add_line(L, "/* %s: all %d tiles resident */", heads, p->tiles);
    else
        add_line(L, "/* %s: %s, the rest streamed; next in the ring: layer %d, %s */", heads, stay,
                 next->layer, after);
}

static void add_cost(lua_State *L, const hi_spec *s, const hi_plan *p, hi_phase phase, int layer)
{
    char copied[32], resident[32];
    int64_t rows = 0, stay = 0;

    for (int g = 0; g < p->n_groups; g++)
        if (p->group_of[g].layer == layer) {
            rows += streamed_rows(p, &p->group_of[g], phase) * p->group_of[g].n;
            stay += p->group_of[g].resident[phase] * p->tile * p->group_of[g].n;
        }
    mib_text(rows * kv_row_bytes(s, p->elt), copied, sizeof copied);
    mib_text(stay * kv_row_bytes(s, p->elt), resident, sizeof resident);
    lua_newtable(L);
    add_line(L, "Layer %d: %d KV heads in groups of %d.", layer, s->kv_heads, p->group);
    if (p->offload)
        add_line(L, "At %" PRId64 " tokens: %s copied from the host, %s resident.", p->ctx, copied,
                 resident);
    else
        add_line(L, "Nothing is copied: %s of k and v are resident.", resident);
    lua_setfield(L, -2, "cost");
}

typedef struct walk {                /* over the steps of one phase */
    const hi_spec *s;
    const hi_plan *p;
    hi_phase phase;
    int at, group;
} walk;

static const hi_step *step_at(const walk *w)
{
    return &w->p->steps[w->phase][w->at];
}

/* The next step's line, indented inside the loop over tiles. */
static void add_step(lua_State *L, walk *w, bool inside)
{
    char line[LINE_LEN];

    step_text(w->p, step_at(w), line, sizeof line);
    add_line(L, "%s%s", inside ? "    " : "", line);
    w->at++;
}

/* Steps up to the end of one head group, with its comment. */
static void add_group_paragraph(lua_State *L, walk *w)
{
    bool inside = false;

    lua_newtable(L);
    add_group_comment(L, w->p, w->phase, w->group++);
    for (bool last = false; !last;) {
        hi_step_kind kind = step_at(w)->kind;
        last = kind == STEP_close_heads;
        if (kind == STEP_end_tiles)
            inside = false;
        add_step(L, w, inside);
        if (kind == STEP_each_tile)
            inside = true;
    }
}

/* One layer: paragraphs until the step after out_mlp. */
static void push_layer(lua_State *L, walk *w, int layer)
{
    int width = w->s->layers > 100 ? 3 : 2, n = 0;
    char number[16];

    lua_newtable(L);
    snprintf(number, sizeof number, "%0*d", width, layer);
    set_text(L, "number", number);
    add_cost(L, w->s, w->p, w->phase, layer);
    lua_newtable(L);
    for (bool last = false; !last;) {
        if (step_at(w)->kind == STEP_open_heads)
            add_group_paragraph(L, w);
        else {
            lua_newtable(L);
            while (step_at(w)->kind != STEP_open_heads && !last) {
                last = step_at(w)->kind == STEP_out_mlp;
                add_step(L, w, false);
            }
        }
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "paragraphs");
}

static void set_enter(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    char line[LINE_LEN], size[32];
    int64_t bytes = 0;

    lua_newtable(L);
    lua_newtable(L);
    for (int i = 0; i < p->n_enter; i++) {
        const int *a = p->enter[i].arg;
        step_text(p, &p->enter[i], line, sizeof line);
        add_line(L, "%s", line);
        bytes += (int64_t)a[2] * (a[4] - a[3]) * p->tile * kv_row_bytes(s, p->elt);
    }
    if (p->n_enter == 0)
        add_line(L, "(void)r;");
    lua_setfield(L, -2, "lines");
    lua_newtable(L);
    mib_text(bytes, size, sizeof size);
    if (p->n_enter > 0) {
        add_line(L, "From prefill to decode: room that activations needed now holds resident tiles.");
        add_line(L, "Up to %s copied from the host.", size);
    } else
        add_line(L, "From prefill to decode: the same tiles stay.");
    lua_setfield(L, -2, "cost");
    lua_setfield(L, -2, "enter");
}

static void set_header(lua_State *L, const hi_plan *p, hi_phase phase)
{
    lua_newtable(L);
    if (phase == PREFILL)
        add_line(L, "A pass appends up to %d tokens.", p->rows[PREFILL]);
    else
        add_line(L, "A pass appends one token.");
    if (p->offload) {
        add_line(L, "r->tiles counts the tiles of %" PRId64 " tokens that were begun before the pass; the",
                 p->tile);
        add_line(L, "leading ones are resident, the others come through a ring of %d slots.", p->slots);
    }
    lua_setfield(L, -2, "header");
}

void view_set_pass(lua_State *L, const hi_spec *s, const hi_plan *p, hi_phase phase)
{
    walk w = { .s = s, .p = p, .phase = phase };

    lua_newtable(L);
    set_text(L, "name", PHASE_NAME[phase]);
    set_text(L, "what", phase == PREFILL ? "the schedule of one prefill chunk." :
                                           "the schedule of one decoded token.");
    set_text(L, "whole", phase == PREFILL ? "One chunk through all layers." :
                                            "One token through all layers.");
    set_header(L, p, phase);
    lua_newtable(L);
    add_step(L, &w, false);
    lua_setfield(L, -2, "before");
    lua_newtable(L);
    for (int layer = 0; layer < s->layers; layer++) {
        push_layer(L, &w, layer);
        lua_rawseti(L, -2, layer + 1);
    }
    lua_setfield(L, -2, "layers");
    lua_newtable(L);
    while (w.at < p->n_steps[phase])
        add_step(L, &w, false);
    lua_setfield(L, -2, "after");
    if (phase == DECODE)
        set_enter(L, s, p);
    else {
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "enter");
    }
    lua_setfield(L, -2, "pass");
}
