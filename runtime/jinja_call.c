/*
** jinja_call.c - calls: tables looked up, arguments bound to the names of an entry's params.
*/
#include "jinja_inner.h"

const jj_entry *const jj_methods[] = { jj_string_methods, jj_list_methods, jj_tuple_methods,
                                       jj_dict_methods,   jj_loop_methods, NULL };

const jj_entry *jj_lookup(const jj_entry *table, jj_value name)
{
    for (; table->name; table++)
        if (jj_same(name, table->name))
            return table;
    return NULL;
}

bool jj_is_unsafe(jj_value of, jj_value name)
{
    static const char *const LIST[] = { "append", "clear",  "extend",  "insert",
                                        "pop",    "remove", "reverse", "sort" };
    static const char *const DICT[] = { "clear", "pop", "popitem", "setdefault", "update" };
    bool dict = of.kind == JJ_DICT;
    if (!dict && (of.kind != JJ_LIST || of.list->type != JJ_PLAIN))
        return false;
    const char *const *names = dict ? DICT : LIST;
    for (size_t i = 0; i < (dict ? sizeof DICT : sizeof LIST) / sizeof *LIST; i++)
        if (jj_same(name, names[i]))
            return true;
    return false;
}

/* The next name of "a b? c?": its length; *optional where it ends in '?'. */
static size_t next_param(const char **p, bool *optional)
{
    *p += strspn(*p, " ");
    size_t n = strcspn(*p, " ?");
    *optional = (*p)[n] == '?';
    return n;
}

static jj_value named_value(const jj_args *a, const char *name, size_t n, size_t *used)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (a->names[i].s.n == n && memcmp(a->names[i].s.p, name, n) == 0) {
            ++*used;
            return a->named[i];
        }
    return (jj_value){ .kind = JJ_ABSENT };
}

static void bind(jj_run *r, const jj_entry *e, jj_args *a)
{
    const char *p = e->params;
    size_t i = 0, used = 0, n;
    bool optional;
    for (; (n = next_param(&p, &optional)) > 0; p += n + optional, i++) {
        jj_value named = named_value(a, p, n, &used);
        if (named.kind != JJ_ABSENT && i < a->n_pos)
            jj_raise(&r->heap, "%s: two values for '%.*s'", e->name, (int)n, p);
        a->a[i] = i < a->n_pos ? a->pos[i] : named;
        if (a->a[i].kind == JJ_ABSENT && !optional)
            jj_raise(&r->heap, "%s: argument '%.*s' is missing", e->name, (int)n, p);
    }
    if (a->n_pos > i)
        jj_raise(&r->heap, "%s: %zu arguments: at most %zu are supported", e->name, a->n_pos, i);
    if (used < a->n_named)
        jj_raise(&r->heap, "%s: an argument '%.*s' is not supported", e->name, (int)a->names[0].s.n,
                 a->names[0].s.p);
}

jj_value jj_call_entry(jj_run *r, const jj_entry *e, jj_args *a)
{
    jj_charge(&r->heap, 64);
    if (strcmp(e->params, "*") != 0)
        bind(r, e, a);
    return e->call(r, a);
}

jj_value jj_call(jj_run *r, jj_value callee, jj_args *a)
{
    switch (callee.kind) {
    case JJ_FUNCTION:
        return jj_call_entry(r, callee.entry, a);
    case JJ_METHOD:
        a->self = callee.method->self;
        return jj_call_entry(r, callee.method->entry, a);
    case JJ_MACRO:
        return jj_call_macro(r, callee.macro, a);
    case JJ_UNDEFINED:
        jj_raise(&r->heap, "%.*s", (int)callee.s.n, callee.s.p);
    default:
        jj_raise(&r->heap, "'%s' object is not callable", jj_type(callee));
    }
}

int64_t jj_int_arg(jj_run *r, jj_value v, int64_t absent, const char *what)
{
    if (v.kind == JJ_ABSENT)
        return absent;
    if (v.kind != JJ_INT && v.kind != JJ_BOOL)
        jj_raise(&r->heap, "%s must be an integer, not %s", what, jj_type(v));
    return v.kind == JJ_INT ? v.i : v.b;
}

jj_value jj_text_arg(jj_run *r, jj_value v, const char *what)
{
    if (v.kind != JJ_STRING)
        jj_raise(&r->heap, "%s must be a string, not %s", what, jj_type(v));
    return v;
}
