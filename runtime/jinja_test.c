/*
** jinja_test.c - tests ("is ...") and global functions.
*/
#include "jinja_inner.h"

#include <stdio.h>

#define TEST(name, condition)                   \
    static jj_value name(jj_run *r, jj_args *a) \
    {                                           \
        jj_value v = a->self;                   \
        (void)r;                                \
        (void)v;                                \
        return jj_bool(condition);              \
    }

TEST(is_defined, v.kind != JJ_UNDEFINED)
TEST(is_undefined, v.kind == JJ_UNDEFINED)
TEST(is_none, v.kind == JJ_NONE)
TEST(is_boolean, v.kind == JJ_BOOL)
TEST(is_true, v.kind == JJ_BOOL && v.b)
TEST(is_false, v.kind == JJ_BOOL && !v.b)
TEST(is_integer, v.kind == JJ_INT)
TEST(is_float, v.kind == JJ_FLOAT)
TEST(is_number, jj_is_number(v))
TEST(is_string, v.kind == JJ_STRING)
TEST(is_mapping, v.kind == JJ_DICT)
TEST(is_iterable, v.kind == JJ_STRING || v.kind == JJ_LIST || v.kind == JJ_DICT ||
                      v.kind == JJ_UNDEFINED || v.kind == JJ_LOOP)
TEST(is_sequence, v.kind == JJ_STRING || v.kind == JJ_DICT || v.kind == JJ_UNDEFINED ||
                      (v.kind == JJ_LIST && v.list->type <= JJ_RANGE))
TEST(is_callable, v.kind == JJ_FUNCTION || v.kind == JJ_METHOD || v.kind == JJ_MACRO ||
                      v.kind == JJ_UNDEFINED || v.kind == JJ_LOOP)
TEST(is_equal, jj_compare(r, '=' << 8 | '=', v, a->a[0]))
TEST(is_other, jj_compare(r, '!' << 8 | '=', v, a->a[0]))
TEST(is_less, jj_compare(r, '<', v, a->a[0]))
TEST(is_greater, jj_compare(r, '>', v, a->a[0]))
TEST(is_at_most, jj_compare(r, '<' << 8 | '=', v, a->a[0]))
TEST(is_at_least, jj_compare(r, '>' << 8 | '=', v, a->a[0]))
TEST(is_in, jj_compare(r, 'i', v, a->a[0]))
TEST(is_filter, v.kind == JJ_STRING && jj_lookup(jj_filters, v))
TEST(is_test, v.kind == JJ_STRING && jj_lookup(jj_tests, v))

static jj_value is_same(jj_run *r, jj_args *a)
{
    jj_value v = a->self, w = a->a[0];
    if (v.kind != w.kind)
        return jj_bool(false);
    return jj_bool(v.kind == JJ_LIST   ? v.list == w.list
                   : v.kind == JJ_DICT ? v.dict == w.dict
                                       : jj_equal(&r->heap, v, w));
}

static jj_value is_cased(jj_run *r, jj_value v, char how)
{
    v = jj_text(&r->heap, v);
    jj_value other = jj_recase(&r->heap, v, how == 'l' ? 'u' : 'l');
    jj_value same = jj_recase(&r->heap, v, how);
    return jj_bool(jj_equal(&r->heap, v, same) && !jj_equal(&r->heap, v, other));
}

static jj_value is_lower(jj_run *r, jj_args *a)
{
    return is_cased(r, a->self, 'l');
}

static jj_value is_upper(jj_run *r, jj_args *a)
{
    return is_cased(r, a->self, 'u');
}

static int64_t whole(jj_run *r, jj_args *a)
{
    return jj_int_arg(r, a->self, 0, "the value");
}

TEST(is_even, whole(r, a) % 2 == 0)
TEST(is_odd, whole(r, a) % 2 != 0)

static jj_value is_divisible(jj_run *r, jj_args *a)
{
    int64_t v = whole(r, a), by = jj_int_arg(r, a->a[0], 0, "divisibleby: num");
    if (by == 0)
        jj_raise(&r->heap, "division by zero");
    return jj_bool(by == -1 || v % by == 0);
}

const jj_entry jj_tests[] = {
    { "defined", "", is_defined },
    { "undefined", "", is_undefined },
    { "none", "", is_none },
    { "boolean", "", is_boolean },
    { "true", "", is_true },
    { "false", "", is_false },
    { "integer", "", is_integer },
    { "float", "", is_float },
    { "number", "", is_number },
    { "string", "", is_string },
    { "mapping", "", is_mapping },
    { "iterable", "", is_iterable },
    { "sequence", "", is_sequence },
    { "callable", "", is_callable },
    { "eq", "b", is_equal },
    { "equalto", "b", is_equal },
    { "==", "b", is_equal },
    { "ne", "b", is_other },
    { "!=", "b", is_other },
    { "lt", "b", is_less },
    { "lessthan", "b", is_less },
    { "<", "b", is_less },
    { "gt", "b", is_greater },
    { "greaterthan", "b", is_greater },
    { ">", "b", is_greater },
    { "le", "b", is_at_most },
    { "<=", "b", is_at_most },
    { "ge", "b", is_at_least },
    { ">=", "b", is_at_least },
    { "in", "seq", is_in },
    { "sameas", "other", is_same },
    { "lower", "", is_lower },
    { "upper", "", is_upper },
    { "even", "", is_even },
    { "odd", "", is_odd },
    { "divisibleby", "num", is_divisible },
    { "filter", "", is_filter },
    { "test", "", is_test },
    { NULL, NULL, NULL },
};

/* ---- functions ---- */

static jj_value call_range(jj_run *r, jj_args *a)
{
    bool one = a->a[1].kind == JJ_ABSENT;
    int64_t first = jj_int_arg(r, a->a[0], 0, "range: a bound");
    int64_t from = one ? 0 : first, to = one ? first : jj_int_arg(r, a->a[1], 0, "range: a bound");
    int64_t step = jj_int_arg(r, a->a[2], 1, "range: step");
    if (step == 0)
        jj_raise(&r->heap, "range: step must not be zero");
    jj_value v = jj_list_new(&r->heap, JJ_RANGE);
    while (step > 0 ? from < to : from > to) {
        if (v.list->n == JJ_MAX_RANGE)
            jj_raise(&r->heap, "range of more than %d numbers", JJ_MAX_RANGE);
        jj_list_add(&r->heap, v.list, jj_int(from));
        if (__builtin_add_overflow(from, step, &from))
            break;
    }
    return v;
}

/* dict(a=1), dict(mapping), dict(pairs). */
static jj_value call_dict(jj_run *r, jj_args *a)
{
    jj_heap *h = &r->heap;
    jj_value v = jj_dict_new(h);
    if (a->n_pos > 1)
        jj_raise(h, "dict: %zu arguments: at most 1", a->n_pos);
    if (a->n_pos == 1 && a->pos[0].kind == JJ_DICT) {
        for (size_t i = 0; i < a->pos[0].dict->n; i++)
            jj_dict_put(h, v.dict, a->pos[0].dict->e[i].key, a->pos[0].dict->e[i].value);
    } else if (a->n_pos == 1) {
        const jj_list *pairs = jj_walk(h, a->pos[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            const jj_list *pair = jj_walk(h, pairs->v[i]);
            if (pair->n != 2)
                jj_raise(h, "dict: entry %zu is not a key and a value", i);
            jj_dict_put(h, v.dict, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < a->n_named; i++)
        jj_dict_put(h, v.dict, a->names[i], a->named[i]);
    return v;
}

static jj_value call_namespace(jj_run *r, jj_args *a)
{
    jj_value v = call_dict(r, a);
    v.kind = JJ_NAMESPACE;
    return v;
}

static jj_value call_raise(jj_run *r, jj_args *a)
{
    jj_value text = jj_text(&r->heap, a->a[0]);
    jj_raise_bare(&r->heap, text.s.p, text.s.n);
}

static jj_value call_strftime(jj_run *r, jj_args *a)
{
    jj_value v = jj_text_arg(r, a->a[0], "strftime_now: format");
    char format[200], text[2000];
    struct tm tm;
    if (v.s.n >= sizeof format || memchr(v.s.p, '\0', v.s.n))
        jj_raise(&r->heap, "strftime_now: a format of %zu bytes", v.s.n);
    memcpy(format, v.s.p, v.s.n);
    format[v.s.n] = '\0';
    if (!(r->now_fixed ? gmtime_r(&r->now, &tm) : localtime_r(&r->now, &tm)))
        jj_raise(&r->heap, "strftime_now: no such time");
    size_t n = strftime(text, sizeof text, format, &tm);
    jj_buf b = { 0 };
    jj_put(&r->heap, &b, text, n, v.s.mask ? true : v.user);
    return jj_finish(&b);
}

const jj_entry jj_functions[] = {
    { "range", "start stop? step?", call_range }, { "dict", "*", call_dict },
    { "namespace", "*", call_namespace },         { "raise_exception", "message", call_raise },
    { "strftime_now", "format", call_strftime },  { NULL, NULL, NULL },
};
