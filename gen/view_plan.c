/*
** view_plan.c - the plan's half of the templates' view: numbers, buffers, bands.
*/
#include <ctype.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include "cost.h"
#include "print.h"
#include "view_fields.h"

/* One line of the plan's text as C string literals that fit the emitted file's width. */
static void add_literal(lua_State *L, const char *line, int n)
{
    enum {
        ENOUGH = 76,
        MOST = 88
    };
    char out[LINE_LEN];
    int used = 0;

    for (int i = 0; i < n; i++) {
        if (line[i] == '"' || line[i] == '\\')
            out[used++] = '\\';
        out[used++] = line[i];
        if ((used >= MOST || (used >= ENOUGH && line[i] == ' ')) && i + 1 < n) {
            add_line(L, "\"%.*s\"", used, out);
            used = 0;
        }
    }
    add_line(L, "\"%.*s\\n\"", used, out);
}

/* lua_CFunction: a text's lines as a list of literals. */
static int push_lines(lua_State *L)
{
    const text *t = lua_touserdata(L, 1);

    if (t->failed)
        return luaL_error(L, "out of memory");
    lua_newtable(L);
    for (const char *line = t->data; line != NULL && *line;) {
        const char *end = strchr(line, '\n');
        add_literal(L, line, (int)(end - line));
        line = end + 1;
    }
    return 1;
}

/* A path as C string literals: every byte that is not plain is an octal escape, so that no trigraph
   or escape comes about. */
static void set_checkpoint(lua_State *L, const char *path)
{
    enum {
        MOST = 80
    };
    char out[MOST + 8];
    int used = 0;

    if (path == NULL) {
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "checkpoint");
        return;
    }
    lua_newtable(L);
    for (; *path; path++) {
        bool plain = isalnum((unsigned char)*path) || strchr("/._- +,=@:", *path) != NULL;
        used += snprintf(out + used, sizeof out - (size_t)used, plain ? "%c" : "\\%03o",
                         (unsigned char)*path);
        if (used >= MOST && path[1] != '\0') {
            add_line(L, "\"%s\"", out);
            used = 0;
        }
    }
    out[used] = '\0';
    add_line(L, "\"%s\";", out);
    lua_setfield(L, -2, "checkpoint");
}

/* What --explain prints, for 'info --plan'. An error must pass by text_free. */
static void set_plan_text(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    text t = { 0 };

    lua_pushcfunction(L, push_lines);
    lua_pushlightuserdata(L, &t);
    explain_print(s, p, &t);
    int rc = lua_pcall(L, 1, 1, 0);
    text_free(&t);
    if (rc != LUA_OK)
        lua_error(L);
    lua_setfield(L, -2, "text");
}

static void add_forecast(lua_State *L, const hi_spec *s, const hi_plan *p, int64_t n)
{
    hi_cost prompt, token;

    cost_prefill(s, p, n, &prompt);
    cost_decode(s, p, n < p->ctx ? n : n - 1, &token);
    add_line(L, "{ %" PRId64 ", %.6g, %" PRId64 ", %" PRId64 ", %.6g, %" PRId64 ", %" PRId64 " },",
             n, prompt.seconds, prompt.h2d_bytes, prompt.d2h_bytes, token.seconds, token.h2d_bytes,
             token.d2h_bytes);
}

/* Points so near that what lies between is well told: 1, 64, 96, 128, 192, .. and the context. */
static void set_forecast(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    lua_newtable(L);
    add_forecast(L, s, p, 1);
    for (int64_t n = 64; n < p->ctx; n *= 2) {
        add_forecast(L, s, p, n);
        if (n * 3 / 2 < p->ctx)
            add_forecast(L, s, p, n * 3 / 2);
    }
    if (p->ctx > 1)
        add_forecast(L, s, p, p->ctx);
    lua_setfield(L, -2, "forecast");
}

/* Groups of one band: names for the schedules, lines of its ring. */
static void push_band(lua_State *L, const hi_plan *p, int i)
{
    const hi_band *b = &p->band[i];
    char name[48];

    lua_newtable(L);
    set_int(L, "group", b->group);
    set_int(L, "tile", b->tile);
    set_int(L, "upto", b->upto);
    lua_newtable(L);
    for (int g = 0; g < b->n_groups; g++) {
        group_text(b, g, name, sizeof name);
        add_line(L, "%s,", name);
    }
    lua_setfield(L, -2, "names");
    lua_newtable(L);
    for (int g = 0; g < b->n_groups; g++) {
        const hi_group *gr = &b->group_of[g];
        group_text(b, g, name, sizeof name);
        add_line(L, "[%s] = { %d, %d, %d },", name, gr->layer, gr->head, gr->n);
    }
    lua_setfield(L, -2, "ring");
}

static void set_bands(lua_State *L, const hi_plan *p)
{
    lua_newtable(L);
    for (int i = 0; i < p->n_bands; i++) {
        push_band(L, p, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "bands");
}

static const char *const BUFFER[] = {
#define B(name, phases, what) #name,
#include "buffers.def"
#undef B
};

static const char *const HOST[] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
};

static void add_buffer(lua_State *L, const char *prefix, const char *name, const hi_buffer *b)
{
    char constant[48];

    snprintf(constant, sizeof constant, "%s%s", prefix, name);
    for (char *c = constant; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    if (b->bytes > 0)
        add_line(L, "[%s] = { %" PRId64 ", %" PRId64 " },", constant, b->offset, b->bytes);
}

static void set_buffers(lua_State *L, const hi_plan *p)
{
    static const char *const NAME[N_PHASES] = { "prefill_buffers", "decode_buffers" };

    for (int phase = PREFILL; phase <= DECODE; phase++) {
        lua_newtable(L);
        for (int id = 0; id < N_BUFFERS; id++)
            add_buffer(L, "HI_B_", BUFFER[id], &p->buf[phase][id]);
        lua_setfield(L, -2, NAME[phase]);
    }
    lua_newtable(L);
    for (int id = 0; id < N_HOSTS; id++)
        add_buffer(L, "HI_H_", HOST[id], &p->host[id]);
    lua_setfield(L, -2, "host_buffers");
}

static void set_numbers(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    const struct {
        const char *name;
        int64_t value;
    } number[] = {
        { "elt", p->elt },
        { "f32", p->req.numerics == NUM_F32 },
        { "ctx", p->ctx },
        { "split", KEY_SPLIT },      { "near_rows", p->near_rows },
        { "slots", p->slots },
        { "piece", p->piece },
        { "rows_prefill", p->rows[PREFILL] },
        { "rows_decode", p->rows[DECODE] },
        { "panel", p->panel },
        { "panels", p->panels },
        { "weight_slots", p->weight_slots },
        { "layer_bytes", layer_weight_bytes(s, plan_format(p)) },
        { "budget", p->req.vram_bytes },
        { "arena", p->arena_bytes },
        { "reserve", p->reserve_bytes },
        { "host", p->host_bytes },
    };
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        set_int(L, number[i].name, number[i].value);
}

/* False where they are as stored. */
static void set_weights(lua_State *L, hi_weights_type t)
{
    static const char *const NAME[N_WEIGHTS_TYPES] = { "HI_STORED", "HI_Q8", "HI_Q4" };

    set_bool(L, "quantised", t != WEIGHTS_STORED);
    set_text(L, "layer_type", NAME[t]);
    set_text(L, "head_type", NAME[head_type(t)]);
}

void push_plan(lua_State *L, const hi_spec *s, const hi_plan *p)
{
    char name[256];

    lua_newtable(L);
    set_numbers(L, s, p);
    plan_name(s, p, name, sizeof name);
    set_text(L, "name", name);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    set_text(L, "target_name", name);
    set_text(L, "offload_text", p->offload ? "true" : "false");
    set_text(L, "logits_all", p->req.logits_all ? "true" : "false");
    set_text(L, "hidden_on_host", p->hidden == AT_HOST ? "true" : "false");
    set_text(L, "hold", p->hold ? "true" : "false");
    set_bool(L, "offload", p->offload);
    set_weights(L, p->req.weights_type);
    set_text(L, "machine", p->machine.name);
    set_checkpoint(L, p->req.checkpoint);
    set_plan_text(L, s, p);
    set_forecast(L, s, p);
    set_bands(L, p);
    set_buffers(L, p);
}
