/*
** tmpl.c - turns a template into one Lua chunk with the same line numbers, runs it.
**
** A text line becomes a call emit("text", hole, "text", ...) on the same line of the
** chunk, so Lua's own messages name the template's line. The environment is strict:
** a name it lacks raises, a hole takes strings and integers only.
*/
#include "tmpl.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "text.h"

enum { MOST_BYTES = 1 << 20 };

static const char OUT_KEY[] = "tmpl.out";

static void add_quoted(text *t, const char *s, size_t n)
{
    text_add(t, "\"", 1);
    for (size_t i = 0; i < n; i++)
        if (s[i] == '"' || s[i] == '\\' || iscntrl((unsigned char)s[i]))
            text_printf(t, "\\%03d", (unsigned char)s[i]);
        else
            text_add(t, s + i, 1);
    text_add(t, "\"", 1);
}

/* The ')' that closes a hole opened at s[0] == '('; NULL when the line ends first. */
static const char *hole_end(const char *s, const char *end)
{
    int depth = 0;
    for (; s < end; s++) {
        if (*s == '(')
            depth++;
        else if (*s == ')' && --depth == 0)
            return s;
    }
    return NULL;
}

static int add_text_line(text *t, const char *s, const char *end, const char *name, int line,
                         hi_error *e)
{
    text_add(t, "emit(", 5);
    for (;;) {
        const char *p = s;
        while (p < end && !(p + 1 < end && p[0] == '$' && p[1] == '('))
            p++;
        add_quoted(t, s, (size_t)(p - s));
        if (p == end)
            break;
        const char *close = hole_end(p + 1, end);
        if (close == NULL)
            return gen_fail(e, "%s:%d: unclosed $( hole", name, line);
        text_printf(t, ", hole(%d, ", line);
        text_add(t, p + 2, (size_t)(close - p - 2));
        text_add(t, "), ", 3);
        s = close + 1;
    }
    text_printf(t, ", %d)", line);
    return 0;
}

/* The whole template as a Lua chunk, line by line. */
static int translate(text *chunk, const text *file, const char *name, hi_error *e)
{
    const char *s = file->data, *stop = file->data + file->len;

    for (int line = 1; s < stop; line++) {
        const char *end = memchr(s, '\n', (size_t)(stop - s));
        if (end == NULL)
            end = stop;
        if (end - s >= 3 && memcmp(s, "//%", 3) == 0)
            text_add(chunk, s + 3, (size_t)(end - s - 3));
        else if (add_text_line(chunk, s, end, name, line, e) != 0)
            return -1;
        text_add(chunk, "\n", 1);
        s = end + 1;
    }
    return chunk->failed ? gen_fail(e, "%s: out of memory", name) : 0;
}

/* emit(piece, ..., line): one line of output. Upvalues: line marks wanted, template name. */
static int emit(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, OUT_KEY);
    text *out = lua_touserdata(L, -1);
    lua_pop(L, 1);
    int n = lua_gettop(L) - 1;

    if (lua_toboolean(L, lua_upvalueindex(1)))
        text_printf(out, "#line %d \"%s\"\n", (int)lua_tointeger(L, n + 1),
                    lua_tostring(L, lua_upvalueindex(2)));
    for (int i = 1; i <= n; i++) {
        size_t len;
        const char *s = lua_tolstring(L, i, &len);
        text_add(out, s, len);
    }
    text_add(out, "\n", 1);
    return out->failed ? luaL_error(L, "out of memory") : 0;
}

/* hole(line, value): the value, if it is a string or an integer. */
static int hole(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING && !lua_isinteger(L, 2))
        return luaL_error(L, "hole is a %s: strings and integers only", luaL_typename(L, 2));
    lua_settop(L, 2);
    return 1;
}

static int undefined(lua_State *L)
{
    return luaL_error(L, "undefined name '%s'", luaL_tolstring(L, 2, NULL));
}

/* The environment with emit, hole and ipairs in front, and no other name. */
static void push_env(lua_State *L, int view, bool marks, const char *name)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, view) != 0) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -4);
    }
    lua_pushboolean(L, marks);
    lua_pushstring(L, name);
    lua_pushcclosure(L, emit, 2);
    lua_setfield(L, -2, "emit");
    lua_pushcfunction(L, hole);
    lua_setfield(L, -2, "hole");
    luaL_requiref(L, "_G", luaopen_base, 0);
    lua_getfield(L, -1, "ipairs");
    lua_remove(L, -2);
    lua_setfield(L, -2, "ipairs");
    lua_newtable(L);
    lua_pushcfunction(L, undefined);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

typedef struct rendering {           /* run_chunk's arguments: texts that outlive an error */
    const text *chunk;
    text *result;
    const char *name;
    bool line_marks;
} rendering;

/* lua_CFunction(view, rendering). */
static int run_chunk(lua_State *L)
{
    const rendering *q = lua_touserdata(L, 2);
    char label[256];

    snprintf(label, sizeof label, "=%s", q->name);
    lua_pushlightuserdata(L, q->result);
    lua_setfield(L, LUA_REGISTRYINDEX, OUT_KEY);
    if (luaL_loadbufferx(L, q->chunk->data, q->chunk->len, label, "t") != LUA_OK)
        return lua_error(L);
    push_env(L, 1, q->line_marks, q->name);
    lua_setupvalue(L, -2, 1);
    lua_call(L, 0, 0);
    return 0;
}

static int run(lua_State *L, rendering *q, hi_error *e)
{
    lua_pushcfunction(L, run_chunk);
    lua_pushvalue(L, -2);
    lua_pushlightuserdata(L, q);
    int rc = lua_pcall(L, 2, 0, 0);
    if (rc == LUA_OK)
        return 0;
    if (rc == LUA_ERRMEM)
        gen_fail(e, "%s: out of memory", q->name);
    else
        gen_fail(e, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return -1;
}

int tmpl_render(lua_State *L, const char *path, bool line_marks, tmpl_text *out, hi_error *e)
{
    const char *slash = strrchr(path, '/');
    text file = { 0 }, chunk = { 0 }, result = { 0 };
    rendering q = { &chunk, &result, slash == NULL ? path : slash + 1, line_marks };
    int rc = -1;

    if (text_read(&file, path, MOST_BYTES, e) == 0 && translate(&chunk, &file, q.name, e) == 0)
        rc = run(L, &q, e);
    if (rc == 0) {
        *out = (tmpl_text){ result.data, result.len };
        result.data = NULL;
    }
    text_free(&file);
    text_free(&chunk);
    text_free(&result);
    return rc;
}
