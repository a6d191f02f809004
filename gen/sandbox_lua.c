/*
** sandbox_lua.c - the Lua state in which a spec runs.
**
** It has arithmetic, tables, math and a few functions: none that reaches the system,
** takes long inside of C, or tells a random number or an address. Memory and
** instructions are counted; the count hook does not run inside C functions, hence the
** process and its limits around this.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "sandbox_job.h"

static void *lua_memory(void *ud, void *p, size_t old, size_t size)
{
    job *j = ud;
    void *q;

    if (p == NULL)
        old = 0; /* there it is the kind of object */
    if (size == 0) {
        free(p);
        j->heap -= (int64_t)old;
        return NULL;
    }
    if (size > old && (int64_t)(size - old) > j->lim->heap_bytes - j->heap) {
        j->capped = true;
        return NULL;
    }
    q = realloc(p, size);
    if (q == NULL && size > old) {
        j->capped = false;
        return NULL;
    }
    j->heap += (int64_t)size - (int64_t)old;
    return q == NULL ? p : q; /* Lua relies on shrinking to work */
}

job *sandbox_job(lua_State *L)
{
    void *ud;

    lua_getallocf(L, &ud);
    return ud;
}

static void count_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    sandbox_job(L)->stopped = true;
    lua_sethook(L, count_hook, LUA_MASKCOUNT, 1); /* whoever catches it runs into it again */
    luaL_error(L, "too many instructions");
}

static void check_order_key(lua_State *L, int key)
{
    int type = lua_type(L, key);

    if (type != LUA_TNUMBER && type != LUA_TSTRING)
        luaL_error(L, "'pairs' over a table with a %s as key", lua_typename(L, type));
}

/* Numbers before strings, strings by their bytes. */
static bool key_less(lua_State *L, int a, int b)
{
    size_t na, nb;
    const char *sa, *sb;
    int order;

    if (lua_type(L, a) != lua_type(L, b))
        return lua_type(L, a) == LUA_TNUMBER;
    if (lua_type(L, a) == LUA_TNUMBER)
        return lua_compare(L, a, b, LUA_OPLT);
    sa = lua_tolstring(L, a, &na);
    sb = lua_tolstring(L, b, &nb);
    order = memcmp(sa, sb, na < nb ? na : nb);
    return order != 0 ? order < 0 : na < nb;
}

/*
** next(t, key) in the order of the keys: Lua's own order depends on a random hash seed.
** Looks at every key each time, which is nothing for the tables of a spec.
*/
static int sorted_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    lua_pushnil(L); /* 3: the smallest key above the one at 2 */
    lua_pushnil(L); /* 4: the key looked at */
    while (lua_next(L, 1)) {
        lua_pop(L, 1);
        check_order_key(L, 4);
        if (!lua_isnil(L, 2) && !key_less(L, 2, 4))
            continue;
        if (lua_isnil(L, 3) || key_less(L, 4, 3))
            lua_copy(L, 4, 3);
    }
    lua_settop(L, 3);
    if (lua_isnil(L, 3))
        return 1;
    lua_pushvalue(L, 3);
    lua_rawget(L, 1);
    return 2;
}

static int sorted_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushcfunction(L, sorted_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* Without addresses, which differ from run to run. */
static int plain_tostring(lua_State *L)
{
    int type = lua_type(L, 1);

    luaL_checkany(L, 1);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN && type != LUA_TNIL)
        return luaL_error(L, "'tostring' of a %s", lua_typename(L, type));
    luaL_tolstring(L, 1, NULL);
    return 1;
}

static const char *const BASE[] = {
    "assert", "error", "ipairs", "select", "tonumber", "type", NULL
};
static const char *const STRING[] = { "byte", "char", "len", "lower", "sub", "upper", NULL };
static const char *const MATH[] = { "abs", "acos",       "asin",  "atan",       "ceil",      "cos",
                                    "deg", "exp",        "floor", "fmod",       "huge",      "log",
                                    "max", "maxinteger", "min",   "mininteger", "modf",      "pi",
                                    "rad", "sin",        "sqrt",  "tan",        "tointeger", "type",
                                    "ult", NULL };

/* Opens a library, leaves a new table with the named members of it on the stack. */
static void open_part(lua_State *L, lua_CFunction open, const char *const *names)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (; *names != NULL; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

static void lock_strings(lua_State *L, int methods)
{
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static void open_libraries(lua_State *L)
{
    static const luaL_Reg OURS[] = { { "next", sorted_next },
                                     { "pairs", sorted_pairs },
                                     { "tostring", plain_tostring },
                                     { NULL, NULL } };

    open_part(L, luaopen_base, BASE);
    luaL_setfuncs(L, OURS, 0);
    open_part(L, luaopen_string, STRING);
    lock_strings(L, lua_gettop(L));
    lua_setfield(L, -2, "string");
    open_part(L, luaopen_math, MATH);
    lua_setfield(L, -2, "math");
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

/* ---- a text, from compiling to the reply ---- */

/* lua_pcall's function: compile, run, pack. */
static int run_text(lua_State *L)
{
    job *j = sandbox_job(L);
    int status;

    open_libraries(L);
    status = luaL_loadbufferx(L, j->text, j->len, "=line", "t");
    if (status != LUA_OK) {
        j->no_memory = status == LUA_ERRMEM;
        return lua_error(L);
    }
    sandbox_refuse_twice(L, j->text, j->len);
    lua_sethook(L, count_hook, LUA_MASKCOUNT, j->lim->instructions);
    lua_call(L, 0, 1);
    lua_sethook(L, NULL, 0, 0);
    if (!lua_istable(L, -1))
        return luaL_error(L, "returns a %s; it must end in: return { ... }", luaL_typename(L, -1));
    sandbox_pack(L);
    return 0;
}

static void tell_error(lua_State *L, const job *j)
{
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    char line[TEXT_MAX];

    if (j->stopped)
        snprintf(line, sizeof line, "ran more than %d instructions; a spec needs a few hundred",
                 j->lim->instructions);
    else if (j->no_memory && j->capped)
        snprintf(line, sizeof line, "needs more than %d MiB of memory; make its tables smaller",
                 (int)(j->lim->heap_bytes >> 20));
    else if (j->no_memory)
        snprintf(line, sizeof line, "out of memory");
    else if (text == NULL)
        snprintf(line, sizeof line, "raised a %s as error; use a string", luaL_typename(L, -1));
    else
        snprintf(line, sizeof line, "%.300s%s", text,
                 strstr(text, "(global '") == NULL
                     ? ""
                     : "; a spec has tables, arithmetic, math and a few functions only");
    sandbox_reply_error(line);
}

void sandbox_lua(job *j)
{
    lua_State *L = lua_newstate(lua_memory, j);
    int status;

    if (L == NULL) {
        sandbox_reply_error("out of memory");
        return;
    }
    lua_pushcfunction(L, run_text);
    status = lua_pcall(L, 0, 0, 0);
    j->no_memory = j->no_memory || status == LUA_ERRMEM;
    if (status != LUA_OK)
        tell_error(L, j);
    else
        sandbox_reply_table(j);
}
