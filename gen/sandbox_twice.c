/*
** sandbox_twice.c - finds fields that a table constructor names twice.
**
** A scan of tokens that knows strings, comments and braces, no grammar: a word after
** '{', ',' or ';' and before '=' is a field. It gives up at a function inside of
** braces, where statements look the same; a function cannot be sent anyway.
*/
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "sandbox_job.h"

enum {
    MAX_NAMES = FLAT_ENTRIES,
    MAX_BRACES = 32
};

typedef struct scan {
    lua_State *L;
    const char *p, *end;
    int line;
    int braces;
    int first[MAX_BRACES]; /* index of each open constructor's first name */
    int n;
    struct {
        const char *s;
        size_t len;
    } name[MAX_NAMES];
} scan;

static char at(const scan *s, int i)
{
    return s->end - s->p > i ? s->p[i] : '\0';
}

static void step(scan *s, long n)
{
    for (; n > 0 && s->p < s->end; n--)
        s->line += *s->p++ == '\n';
}

/* Number of '=' of a long bracket that opens here, or -1. */
static int long_bracket(const scan *s)
{
    int n = 0;

    if (at(s, 0) != '[')
        return -1;
    while (at(s, n + 1) == '=')
        n++;
    return at(s, n + 1) == '[' ? n : -1;
}

static void skip_long(scan *s, int level)
{
    for (step(s, level + 2); s->p < s->end; step(s, 1)) {
        int n = 0;
        if (at(s, 0) != ']')
            continue;
        while (n < level && at(s, n + 1) == '=')
            n++;
        if (n == level && at(s, n + 1) == ']') {
            step(s, level + 2);
            return;
        }
    }
}

static void skip_short(scan *s)
{
    char quote = at(s, 0);

    for (step(s, 1); s->p < s->end && at(s, 0) != quote; step(s, 1)) {
        if (at(s, 0) == '\\')
            step(s, 1);
    }
    step(s, 1);
}

static void skip_comment(scan *s)
{
    step(s, 2);
    if (long_bracket(s) >= 0) {
        skip_long(s, long_bracket(s));
        return;
    }
    while (s->p < s->end && at(s, 0) != '\n')
        step(s, 1);
}

/* Is the word at p (len) followed by a single '='? */
static bool is_assigned(const scan *s, size_t len)
{
    const char *q = s->p + len;

    while (q < s->end && (*q == ' ' || *q == '\t' || *q == '\r' || *q == '\n'))
        q++;
    return q < s->end && *q == '=' && !(q + 1 < s->end && q[1] == '=');
}

static void note_name(scan *s, size_t len)
{
    for (int i = s->first[s->braces - 1]; i < s->n; i++) {
        if (s->name[i].len == len && memcmp(s->name[i].s, s->p, len) == 0) {
            lua_pushlstring(s->L, s->p, len < FLAT_KEY ? len : FLAT_KEY);
            luaL_error(s->L, "line:%d: %s is given twice; keep one", s->line,
                       lua_tostring(s->L, -1));
        }
    }
    if (s->n == MAX_NAMES) /* more than can be sent */
        luaL_error(s->L, "more than %d values", FLAT_ENTRIES);
    s->name[s->n].s = s->p;
    s->name[s->n++].len = len;
}

/* Returns false at the end, or where the scan cannot go on. 'open': a field may start. */
static bool scan_token(scan *s, bool *open)
{
    char c = at(s, 0);
    size_t len = 0;

    while ((size_t)(s->end - s->p) > len && sandbox_is_word(s->p[len]))
        len++;
    if (len > 0) {
        if (len == 8 && memcmp(s->p, "function", 8) == 0 && s->braces > 0)
            return false; /* its statements look like fields */
        if (*open && s->braces > 0 && is_assigned(s, len))
            note_name(s, len);
        step(s, (long)len);
    } else if (c == '-' && at(s, 1) == '-') {
        skip_comment(s);
        return true;
    } else if (long_bracket(s) >= 0) {
        skip_long(s, long_bracket(s));
    } else if (c == '"' || c == '\'') {
        skip_short(s);
    } else {
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            step(s, 1);
            return true;
        }
        if (c == '{' && s->braces == MAX_BRACES)
            return false;
        if (c == '{')
            s->first[s->braces++] = s->n;
        if (c == '}' && s->braces > 0)
            s->n = s->first[--s->braces];
        step(s, 1);
        *open = c == '{' || c == ',' || c == ';';
        return true;
    }
    *open = false;
    return true;
}

void sandbox_refuse_twice(lua_State *L, const char *text, size_t len)
{
    scan *s = lua_newuserdatauv(L, sizeof *s, 0); /* Lua frees it, also after an error */
    bool open = false;

    s->L = L;
    s->p = text;
    s->end = text + len;
    s->line = 1;
    s->braces = s->n = 0;
    while (s->p < s->end && scan_token(s, &open))
        continue;
    lua_pop(L, 1);
}
