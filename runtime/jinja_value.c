/*
** jinja_value.c - values: lists, mappings, truth, equality and order as Python has them.
*/
#include "jinja_inner.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

jj_value jj_undefined(jj_heap *h, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = strlen(text);
    char *p = jj_alloc(h, n + 1);
    memcpy(p, text, n);
    return (jj_value){ .kind = JJ_UNDEFINED, .s = { .p = p, .n = n } };
}

jj_value jj_list_new(jj_heap *h, jj_list_type type)
{
    jj_list *l = jj_alloc(h, sizeof *l);
    l->type = type;
    return (jj_value){ .kind = JJ_LIST, .list = l };
}

void jj_list_add(jj_heap *h, jj_list *l, jj_value v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap > 0 ? l->cap * 2 : 4;
        l->v = jj_grow(h, l->v, l->n * sizeof *l->v, cap * sizeof *l->v);
        l->cap = cap;
    }
    jj_charge(h, 32);
    l->v[l->n++] = v;
}

jj_value jj_dict_new(jj_heap *h)
{
    return (jj_value){ .kind = JJ_DICT, .dict = jj_alloc(h, sizeof(jj_dict)) };
}

jj_value *jj_dict_find(jj_heap *h, const jj_dict *d, jj_value key)
{
    jj_charge(h, 4 * d->n);
    for (size_t i = 0; i < d->n; i++) {
        jj_value k = d->e[i].key;
        if (key.kind == JJ_STRING && (k.kind != JJ_STRING || k.s.n != key.s.n))
            continue;
        if (jj_equal(h, k, key))
            return &d->e[i].value;
    }
    return NULL;
}

static void append(jj_heap *h, jj_dict *d, jj_value key, jj_value value)
{
    if (d->n == d->cap) {
        size_t cap = d->cap > 0 ? d->cap * 2 : 4;
        d->e = jj_grow(h, d->e, d->n * sizeof *d->e, cap * sizeof *d->e);
        d->cap = cap;
    }
    d->e[d->n++] = (jj_pair){ key, value };
}

void jj_dict_put(jj_heap *h, jj_dict *d, jj_value key, jj_value value)
{
    if (key.kind == JJ_DICT || key.kind == JJ_NAMESPACE ||
        (key.kind == JJ_LIST && key.list->type == JJ_PLAIN))
        jj_raise(h, "unhashable type: '%s'", jj_type(key));
    jj_value *there = jj_dict_find(h, d, key);
    if (there)
        *there = value;
    else
        append(h, d, key, value);
}

const char *jj_type(jj_value v)
{
    static const char *const NAMES[] = { "argument", "Undefined", "NoneType", "bool", "int",
                                         "float",    "str",       "list",     "dict", "Namespace",
                                         "function", "method",    "macro",    "loop" };
    static const char *const LISTS[] = { "list",        "tuple",      "range",    "dict_keys",
                                         "dict_values", "dict_items", "generator" };
    return v.kind == JJ_LIST ? LISTS[v.list->type] : NAMES[v.kind];
}

bool jj_truth(jj_value v)
{
    switch (v.kind) {
    case JJ_ABSENT:
    case JJ_UNDEFINED:
    case JJ_NONE:
        return false;
    case JJ_BOOL:
        return v.b;
    case JJ_INT:
        return v.i != 0;
    case JJ_FLOAT:
        return v.f != 0;
    case JJ_STRING:
        return v.s.n > 0;
    case JJ_LIST:
        return v.list->n > 0 || v.list->type == JJ_LAZY;
    case JJ_DICT:
        return v.dict->n > 0;
    case JJ_LOOP:
        return v.loop->over->n > 0;
    default:
        return true;
    }
}

/* -1, 0, 1; 2 where a NaN has no order. Whole numbers are compared as such. */
static int order_numbers(jj_value a, jj_value b)
{
    if (a.kind != JJ_FLOAT && b.kind != JJ_FLOAT) {
        int64_t x = a.kind == JJ_BOOL ? a.b : a.i, y = b.kind == JJ_BOOL ? b.b : b.i;
        return (x > y) - (x < y);
    }
    double x = jj_double(a), y = jj_double(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static bool equal_lists(jj_heap *h, const jj_list *a, const jj_list *b)
{
    if (a == b)
        return true;
    if (a->n != b->n || a->type != b->type || a->type == JJ_LAZY || a->type == JJ_VALUES)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jj_equal(h, a->v[i], b->v[i]))
            return false;
    return true;
}

static bool equal_dicts(jj_heap *h, const jj_dict *a, const jj_dict *b)
{
    if (a == b || a->n != b->n)
        return a == b;
    for (size_t i = 0; i < a->n; i++) {
        const jj_value *other = jj_dict_find(h, b, a->e[i].key);
        if (!other || !jj_equal(h, a->e[i].value, *other))
            return false;
    }
    return true;
}

bool jj_equal(jj_heap *h, jj_value a, jj_value b)
{
    if (jj_is_number(a) && jj_is_number(b))
        return order_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    bool same;
    switch (a.kind) {
    case JJ_STRING:
        jj_charge(h, a.s.n == b.s.n ? a.s.n : 1);
        return a.s.n == b.s.n && memcmp(a.s.p, b.s.p, a.s.n) == 0;
    case JJ_LIST:
    case JJ_DICT:
        jj_enter(h, JJ_MAX_DEPTH);
        jj_charge(h, 32);
        same = a.kind == JJ_LIST ? equal_lists(h, a.list, b.list) : equal_dicts(h, a.dict, b.dict);
        h->depth--;
        return same;
    case JJ_NAMESPACE:
        return a.dict == b.dict;
    case JJ_FUNCTION:
        return a.entry == b.entry;
    case JJ_METHOD:
        return a.method->entry == b.method->entry && jj_equal(h, a.method->self, b.method->self);
    case JJ_MACRO:
        return a.macro == b.macro;
    case JJ_LOOP:
        return a.loop == b.loop;
    default: /* nothing and undefined */
        return true;
    }
}

static int order_strings(jj_heap *h, jj_string a, jj_string b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    jj_charge(h, n);
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0; /* UTF-8 sorts as its characters do */
    return c != 0 ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n);
}

int jj_order(jj_heap *h, jj_value a, jj_value b, const char *op)
{
    if (jj_is_number(a) && jj_is_number(b))
        return order_numbers(a, b);
    if (a.kind == JJ_STRING && b.kind == JJ_STRING)
        return order_strings(h, a.s, b.s);
    if (a.kind == JJ_LIST && b.kind == JJ_LIST && a.list->type == b.list->type &&
        a.list->type <= JJ_TUPLE) {
        size_t n = a.list->n < b.list->n ? a.list->n : b.list->n;
        for (size_t i = 0; i < n; i++)
            if (!jj_equal(h, a.list->v[i], b.list->v[i])) {
                jj_enter(h, JJ_MAX_DEPTH);
                int c = jj_order(h, a.list->v[i], b.list->v[i], op);
                h->depth--;
                return c;
            }
        return (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    const jj_value *u = a.kind == JJ_UNDEFINED ? &a : b.kind == JJ_UNDEFINED ? &b : NULL;
    if (u)
        jj_raise(h, "%.*s", (int)u->s.n, u->s.p);
    jj_raise(h, "'%s' not supported between '%s' and '%s'", op, jj_type(a), jj_type(b));
}

jj_list *jj_walk(jj_heap *h, jj_value v)
{
    if (v.kind == JJ_LIST) {
        jj_list *l = v.list;
        if (l->type == JJ_LAZY) { /* what is left of it, and then it is spent */
            jj_list *rest = jj_list_new(h, JJ_PLAIN).list;
            *rest = *l;
            rest->type = JJ_PLAIN;
            *l = (jj_list){ .type = JJ_LAZY };
            return rest;
        }
        return l;
    }
    jj_list *l = jj_list_new(h, JJ_PLAIN).list;
    if (v.kind == JJ_STRING) {
        for (size_t i = 0, k; i < v.s.n; i += k) {
            jj_char(v.s.p + i, v.s.n - i, &k);
            jj_list_add(h, l, jj_part(v, i, i + k));
        }
    } else if (v.kind == JJ_DICT) {
        for (size_t i = 0; i < v.dict->n; i++)
            jj_list_add(h, l, v.dict->e[i].key);
    } else if (v.kind != JJ_UNDEFINED) {
        jj_raise(h, "'%s' object is not iterable", jj_type(v));
    }
    return l;
}

bool jj_contains(jj_heap *h, jj_value in, jj_value what)
{
    if (in.kind == JJ_STRING) {
        if (what.kind != JJ_STRING)
            jj_raise(h, "'in <string>' requires string as left operand, not %s", jj_type(what));
        jj_charge(h, in.s.n);
        return jj_find(in, what, 0) != SIZE_MAX;
    }
    if (in.kind == JJ_DICT)
        return jj_dict_find(h, in.dict, what) != NULL;
    const jj_list *l = jj_walk(h, in);
    jj_charge(h, 4 * l->n);
    for (size_t i = 0; i < l->n; i++)
        if (jj_equal(h, l->v[i], what))
            return true;
    return false;
}

/* ---- JSON comes in; strings stay where they are ---- */

/* Templates make tokens like "<|user|>" of roles: these may take part in them. */
static bool is_role(const char *key, json_t *v)
{
    static const char *const ROLES[] = { "system", "developer", "user",     "assistant",
                                         "model",  "tool",      "function", "ipython" };
    if (strcmp(key, "role") != 0 || !json_is_string(v))
        return false;
    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++)
        if (strcmp(json_string_value(v), ROLES[i]) == 0)
            return true;
    return false;
}

static jj_value import_members(jj_heap *h, json_t *json, bool user)
{
    if (json_is_array(json)) {
        jj_value l = jj_list_new(h, JJ_PLAIN);
        for (size_t i = 0; i < json_array_size(json); i++)
            jj_list_add(h, l.list, jj_import(h, json_array_get(json, i), user));
        return l;
    }
    jj_value d = jj_dict_new(h);
    for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {
        const char *name = json_object_iter_key(i);
        jj_value key = jj_str(name, strlen(name));
        key.user = user;
        json_t *value = json_object_iter_value(i);
        append(h, d.dict, key, jj_import(h, value, user && !is_role(name, value)));
    }
    return d;
}

jj_value jj_import(jj_heap *h, json_t *json, bool user)
{
    jj_value v = jj_none();
    switch (json_typeof(json)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        jj_enter(h, JJ_MAX_DEPTH);
        v = import_members(h, json, user);
        h->depth--;
        break;
    case JSON_STRING:
        v = jj_str(json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        v = jj_int(json_integer_value(json));
        break;
    case JSON_REAL:
        v = jj_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        v = jj_bool(json_is_true(json));
        break;
    case JSON_NULL:
        break;
    }
    v.user = user;
    return v;
}
