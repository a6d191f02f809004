/*
** sandbox_flat.c - the way of a table from the child to the parent.
**
** An entry is its path, a type and a value; texts carry their length in front. The
** child packs in the order of the sorted keys. The parent takes the bytes for
** hostile: a child that broke out of Lua could send anything.
*/
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "sandbox_job.h"

bool sandbox_is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* ---- child: from a table to bytes ---- */

typedef struct key {
    const char *s; /* NULL: list item i */
    lua_Integer i;
} key;

typedef struct place {
    char path[FLAT_PATH + 1];
    const void *above[FLAT_DEPTH]; /* the open tables */
    int depth;
} place;

static void put(lua_State *L, const void *p, size_t n)
{
    job *j = sandbox_job(L);

    if (n > REPLY_MAX - j->n_reply)
        luaL_error(L, "more than %d bytes of values; shorten it", FLAT_BYTES);
    memcpy(j->reply + j->n_reply, p, n);
    j->n_reply += n;
}

static void put_text(lua_State *L, const char *s, size_t n)
{
    uint32_t len = (uint32_t)n;

    put(L, &len, sizeof len);
    put(L, s, n);
}

static bool is_name(const char *s, size_t len)
{
    if (len == 0 || len > FLAT_KEY || (*s >= '0' && *s <= '9'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!sandbox_is_word(s[i]))
            return false;
    }
    return true;
}

static key read_key(lua_State *L, int at_index, const char *path)
{
    key k = { NULL, 0 };
    size_t len;

    if (lua_isinteger(L, at_index)) {
        k.i = lua_tointeger(L, at_index);
    } else if (lua_type(L, at_index) == LUA_TSTRING) {
        k.s = lua_tolstring(L, at_index, &len);
        if (!is_name(k.s, len))
            luaL_error(L, "%s: a key is not a name; names are letters, digits and _", path);
    } else {
        luaL_error(L, "%s: a key is a %s; keys are names, or 1, 2, 3, ...", path,
                   luaL_typename(L, at_index));
    }
    return k;
}

static bool key_after(const key *a, const key *b)
{
    if (a->s == NULL || b->s == NULL)
        return a->s == b->s ? a->i > b->i : a->s != NULL;
    return strcmp(a->s, b->s) > 0;
}

/* By insertion: qsort asks the system for the size of its memory, which is forbidden here. */
static void sort_keys(key *k, int n)
{
    for (int i = 1; i < n; i++) {
        key x = k[i];
        int at_i = i;
        for (; at_i > 0 && key_after(&k[at_i - 1], &x); at_i--)
            k[at_i] = k[at_i - 1];
        k[at_i] = x;
    }
}

static int count_keys(lua_State *L, int table)
{
    job *j = sandbox_job(L);
    int n = 0;

    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (++n > FLAT_ENTRIES - j->n_entries)
            luaL_error(L, "more than %d values", FLAT_ENTRIES);
    }
    j->n_entries += n;
    return n;
}

/* Pushes the array that owns the sorted keys; they borrow the table's strings. */
static key *sorted_keys(lua_State *L, int table, const char *path, int *n)
{
    key *k;
    int i = 0;

    *n = count_keys(L, table);
    k = lua_newuserdatauv(L, ((size_t)*n + 1) * sizeof *k, 0);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
        k[i++] = read_key(L, -2, path);
    sort_keys(k, *n);
    for (i = 0; i < *n && k[i].s == NULL; i++) {
        if (k[i].i != i + 1)
            luaL_error(L, "%s: a list with a gap; number its items 1, 2, 3, ...", path);
    }
    return k;
}

static void pack_table(lua_State *L, place *at_place);

static void pack_string(lua_State *L, const char *path)
{
    size_t len;
    const char *s = lua_tolstring(L, -1, &len);

    if (len > FLAT_STRING || memchr(s, '\0', len) != NULL)
        luaL_error(L, "%s: a string longer than %d bytes or with a zero byte", path, FLAT_STRING);
    put(L, "s", 1);
    put_text(L, s, len);
}

/* The value on top of the stack. */
static void pack_value(lua_State *L, place *pl)
{
    lua_Integer i = lua_tointeger(L, -1);
    lua_Number f = lua_tonumber(L, -1);
    uint8_t b = (uint8_t)lua_toboolean(L, -1);

    put_text(L, pl->path, strlen(pl->path));
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        pack_string(L, pl->path);
        break;
    case LUA_TBOOLEAN:
        put(L, "b", 1);
        put(L, &b, 1);
        break;
    case LUA_TNUMBER:
        put(L, lua_isinteger(L, -1) ? "i" : "f", 1);
        put(L, lua_isinteger(L, -1) ? (void *)&i : (void *)&f, 8);
        break;
    case LUA_TTABLE:
        put(L, "t", 1);
        pack_table(L, pl);
        break;
    default:
        luaL_error(L, "%s: a %s; use a number, a string, true, false or a table", pl->path,
                   luaL_typename(L, -1));
    }
}

static void enter_table(lua_State *L, place *pl)
{
    const void *t = lua_topointer(L, -1);

    for (int i = 0; i < pl->depth; i++) {
        if (pl->above[i] == t)
            luaL_error(L, "%s: a table inside itself", pl->path);
    }
    if (pl->depth == FLAT_DEPTH)
        luaL_error(L, "%s: tables more than %d deep", pl->path, FLAT_DEPTH);
    luaL_checkstack(L, 8, "too deep");
    pl->above[pl->depth++] = t;
}

static void pack_table(lua_State *L, place *pl)
{
    int table = lua_gettop(L), n;
    size_t len = strlen(pl->path);
    char *tail = pl->path + len;
    key *k;

    enter_table(L, pl);
    k = sorted_keys(L, table, len > 0 ? pl->path : "the table", &n);
    for (int i = 0; i < n; i++) {
        if (k[i].s != NULL) {
            snprintf(tail, sizeof pl->path - len, "%s%s", len > 0 ? "." : "", k[i].s);
            lua_getfield(L, table, k[i].s);
        } else {
            snprintf(tail, sizeof pl->path - len, "[%d]", (int)k[i].i);
            lua_rawgeti(L, table, k[i].i);
        }
        pack_value(L, pl);
        lua_pop(L, 1);
    }
    *tail = '\0';
    lua_pop(L, 1); /* the keys */
    pl->depth--;
}

void sandbox_pack(lua_State *L)
{
    place pl = { .depth = 0 };

    pack_table(L, &pl);
}

/* ---- parent: from bytes to a list ---- */

typedef struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
} reader;

static void take(reader *r, void *out, size_t n)
{
    memset(out, 0, n);
    if (r->bad || n > r->left) {
        r->bad = true;
        return;
    }
    memcpy(out, r->p, n);
    r->p += n;
    r->left -= n;
}

/* A string of 'min' to 'max' bytes without a zero, copied to 'a'; NULL: bad, or no memory. */
static char *take_text(reader *r, hi_arena *a, size_t min, size_t max)
{
    uint32_t n;
    char *s;

    take(r, &n, sizeof n);
    if (r->bad || n < min || n > max || n > r->left || memchr(r->p, '\0', n) != NULL) {
        r->bad = true;
        return NULL;
    }
    s = arena_alloc(a, (size_t)n + 1);
    if (s != NULL)
        take(r, s, n);
    return s;
}

/* Names, dots and [numbers] only; printed as it stands. */
static bool is_path(const char *s)
{
    for (; *s != '\0'; s++) {
        if (!sandbox_is_word(*s) && strchr(".[]", *s) == NULL)
            return false;
    }
    return true;
}

/* Returns 0, or -1: not a value (r->bad) or no memory. */
static int take_value(reader *r, hi_arena *a, flat_entry *x)
{
    uint8_t type, b = 0;

    take(r, &type, 1);
    x->type = (flat_type)type;
    switch (type) {
    case FLAT_TABLE:
        break;
    case FLAT_TEXT:
        x->s = take_text(r, a, 0, FLAT_STRING);
        return x->s == NULL ? -1 : 0;
    case FLAT_INT:
        take(r, &x->i, sizeof x->i);
        break;
    case FLAT_FLOAT:
        take(r, &x->f, sizeof x->f);
        break;
    case FLAT_BOOL:
        take(r, &b, 1);
        x->i = b;
        r->bad = r->bad || b > 1;
        break;
    default:
        r->bad = true;
    }
    return r->bad ? -1 : 0;
}

static bool is_repeated(const flat *out, const char *path)
{
    for (int i = 0; i < out->n; i++) {
        if (strcmp(out->entry[i].path, path) == 0)
            return true;
    }
    return false;
}

static int take_table(reader *r, hi_arena *a, flat *out)
{
    out->n = 0;
    out->entry = arena_alloc(a, FLAT_ENTRIES * sizeof *out->entry);
    while (out->entry != NULL && r->left > 0) {
        flat_entry x = { 0 };
        if (out->n == FLAT_ENTRIES)
            r->bad = true;
        x.path = take_text(r, a, 1, FLAT_PATH);
        if (x.path == NULL || take_value(r, a, &x) != 0)
            return -1;
        if (!is_path(x.path) || is_repeated(out, x.path)) {
            r->bad = true;
            return -1;
        }
        out->entry[out->n++] = x;
    }
    return out->entry == NULL ? -1 : 0;
}

/* "line:7: text" of Lua becomes "line 7: text"; what cannot be printed a '?'. */
static int fail_text(const char *path, const reader *r, hi_error *e)
{
    char text[TEXT_MAX + 1];
    size_t n = r->left < TEXT_MAX ? r->left : TEXT_MAX;

    if (n == 0)
        return gen_fail(e, "%s: failed without a message", path);
    for (size_t i = 0; i < n; i++)
        text[i] = r->p[i] >= ' ' && r->p[i] <= '~' ? (char)r->p[i] : '?';
    text[n] = '\0';
    if (strncmp(text, "line:", 5) == 0)
        text[4] = ' ';
    return gen_fail(e, "%s: %s", path, text);
}

int sandbox_decode(hi_arena *a, const char *path, const uint8_t *bytes, size_t n, flat *out,
                   hi_error *e)
{
    reader r = { bytes, n, false };
    uint8_t tag;
    uint32_t len;
    int rc = -1;

    take(&r, &tag, 1);
    take(&r, &len, sizeof len);
    r.bad = r.bad || len != r.left || (tag != TAG_TABLE && tag != TAG_ERROR);
    if (!r.bad && tag == TAG_ERROR)
        return fail_text(path, &r, e);
    if (!r.bad)
        rc = take_table(&r, a, out);
    if (rc != 0)
        gen_fail(e,
                 r.bad ? "%s: its process sent a damaged table; run it again" : "%s: out of memory",
                 path);
    return rc;
}
