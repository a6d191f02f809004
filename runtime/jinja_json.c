/*
** jinja_json.c - tojson: values as Python's json.dumps writes them, in their own order.
*/
#include "jinja_inner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct json_style {
    jj_heap *h;
    jj_buf *to;
    bool ascii, sort, lines;
    jj_value indent, comma, colon;
} json_style;

static void put(const json_style *s, const char *text, bool user)
{
    jj_put(s->h, s->to, text, strlen(text), user);
}

static void write_string(const json_style *s, jj_value v)
{
    static const char SHORT[] = "\b\f\n\r\t\"\\", LETTER[] = "bfnrt\"\\";
    put(s, "\"", v.s.mask ? v.s.mask[0] : v.user);
    for (size_t i = 0, k; i < v.s.n; i += k) {
        char t[16] = "";
        int32_t c = jj_char(v.s.p + i, v.s.n - i, &k);
        const char *at = c > 0 && c < 0x80 ? strchr(SHORT, c) : NULL;
        bool user = v.s.mask ? v.s.mask[i] : v.user;
        if (at)
            snprintf(t, sizeof t, "\\%c", LETTER[at - SHORT]);
        else if (c < 0x20 || (s->ascii && c >= 0x7f && c < 0x10000))
            snprintf(t, sizeof t, "\\u%04x", (unsigned)c);
        else if (s->ascii && c >= 0x10000)
            snprintf(t, sizeof t, "\\u%04x\\u%04x", 0xd800 + (((unsigned)c - 0x10000) >> 10),
                     0xdc00 + (((unsigned)c - 0x10000) & 0x3ff));
        if (t[0])
            put(s, t, user);
        else
            jj_put(s->h, s->to, v.s.p + i, k, user);
    }
    put(s, "\"", v.s.mask ? v.s.mask[v.s.n - 1] : v.user);
}

static void new_line(const json_style *s, int depth, bool user)
{
    if (!s->lines)
        return;
    put(s, "\n", user);
    for (int i = 0; i < depth; i++)
        jj_put(s->h, s->to, s->indent.s.p, s->indent.s.n, user);
}

static void write_value(const json_style *s, jj_value v, int depth);

static void separate(const json_style *s, size_t i, int depth, bool user)
{
    if (i > 0)
        jj_put(s->h, s->to, s->comma.s.p, s->comma.s.n, user);
    new_line(s, depth, user);
}

static void write_key(const json_style *s, jj_value key)
{
    if (key.kind == JJ_STRING) {
        write_string(s, key);
    } else if (key.kind <= JJ_FLOAT && key.kind != JJ_UNDEFINED) {
        put(s, "\"", key.user);
        write_value(s, key, 0);
        put(s, "\"", key.user);
    } else {
        jj_raise(s->h, "tojson: a key of type %s", jj_type(key));
    }
}

static int by_key(const void *a, const void *b)
{
    const jj_string *x = &((const jj_pair *)a)->key.s, *y = &((const jj_pair *)b)->key.s;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = n > 0 ? memcmp(x->p, y->p, n) : 0;
    return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

static void write_dict(const json_style *s, jj_value v, int depth)
{
    const jj_dict *d = v.dict;
    jj_pair *e = d->e;
    if (s->sort && d->n > 1) {
        for (size_t i = 0; i < d->n; i++)
            if (e[i].key.kind != JJ_STRING)
                jj_raise(s->h, "tojson: sort_keys of keys that are not strings");
        e = jj_grow(s->h, e, d->n * sizeof *e, d->n * sizeof *e);
        qsort(e, d->n, sizeof *e, by_key);
    }
    put(s, "{", v.user);
    for (size_t i = 0; i < d->n; i++) {
        separate(s, i, depth + 1, v.user);
        write_key(s, e[i].key);
        jj_put(s->h, s->to, s->colon.s.p, s->colon.s.n, v.user);
        write_value(s, e[i].value, depth + 1);
    }
    if (d->n > 0)
        new_line(s, depth, v.user);
    put(s, "}", v.user);
}

static void write_list(const json_style *s, jj_value v, int depth)
{
    const jj_list *l = v.list;
    if (l->type > JJ_TUPLE)
        jj_raise(s->h, "tojson: a %s is not JSON", jj_type(v));
    put(s, "[", v.user);
    for (size_t i = 0; i < l->n; i++) {
        separate(s, i, depth + 1, v.user);
        write_value(s, l->v[i], depth + 1);
    }
    if (l->n > 0)
        new_line(s, depth, v.user);
    put(s, "]", v.user);
}

static void write_float(const json_style *s, jj_value v)
{
    char t[400];
    if (isnan(v.f))
        put(s, "NaN", v.user);
    else if (isinf(v.f))
        put(s, v.f > 0 ? "Infinity" : "-Infinity", v.user);
    else
        jj_put(s->h, s->to, t, jj_print_float(t, sizeof t, v.f), v.user);
}

static void write_value(const json_style *s, jj_value v, int depth)
{
    jj_enter(s->h, JJ_MAX_DEPTH);
    if (v.kind == JJ_NONE)
        put(s, "null", v.user);
    else if (v.kind == JJ_BOOL)
        put(s, v.b ? "true" : "false", v.user);
    else if (v.kind == JJ_INT)
        jj_put_value(s->h, s->to, jj_text(s->h, v));
    else if (v.kind == JJ_FLOAT)
        write_float(s, v);
    else if (v.kind == JJ_STRING && v.s.n > 0)
        write_string(s, v);
    else if (v.kind == JJ_STRING)
        put(s, "\"\"", v.user);
    else if (v.kind == JJ_DICT)
        write_dict(s, v, depth);
    else if (v.kind == JJ_LIST)
        write_list(s, v, depth);
    else
        jj_raise(s->h, "tojson: Object of type %s is not JSON serializable", jj_type(v));
    s->h->depth--;
}

/* indent: a number of blanks, or text; none: all in one line. */
static void set_indent(jj_run *r, json_style *s, jj_value v)
{
    if (v.kind == JJ_ABSENT || v.kind == JJ_NONE)
        return;
    s->lines = true;
    s->comma = jj_str(",", 1);
    if (v.kind == JJ_STRING) {
        s->indent = v;
        return;
    }
    int64_t n = jj_int_arg(r, v, 0, "tojson: indent");
    n = n < 0 ? 0 : n > 1000 ? 1000 : n;
    char *blanks = jj_alloc(&r->heap, (size_t)n + 1);
    memset(blanks, ' ', (size_t)n);
    s->indent = jj_str(blanks, (size_t)n);
}

jj_value jj_filter_tojson(jj_run *r, jj_args *a)
{
    jj_buf to = { 0 };
    json_style s = { .h = &r->heap,
                     .to = &to,
                     .indent = jj_str("", 0),
                     .comma = jj_str(", ", 2),
                     .colon = jj_str(": ", 2) };
    s.ascii = jj_truth(a->a[0]);
    set_indent(r, &s, a->a[1]);
    if (a->a[2].kind == JJ_LIST && a->a[2].list->n == 2) {
        s.comma = jj_text_arg(r, a->a[2].list->v[0], "tojson: separators");
        s.colon = jj_text_arg(r, a->a[2].list->v[1], "tojson: separators");
    } else if (a->a[2].kind != JJ_ABSENT && a->a[2].kind != JJ_NONE) {
        jj_raise(&r->heap, "tojson: separators must be two strings");
    }
    s.sort = jj_truth(a->a[3]);
    write_value(&s, a->self, 0);
    return jj_finish(&to);
}
