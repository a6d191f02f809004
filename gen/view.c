/*
** view.c - what templates see of spec and plan: plain Lua tables of strings and integers.
**
** Every line a template prints as a whole is made here; templates only place it.
*/
#include "view.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "print.h"
#include "view_fields.h"

void set_int(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

void set_text(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

void set_bool(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

void add_line(lua_State *L, const char *fmt, ...)
{
    char line[LINE_LEN];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    lua_pushstring(L, line);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

int layer_width(const hi_spec *s)
{
    return s->layers > 100 ? 3 : 2;
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
