/*
** jinja_filter.c - filters of one value, and the table of all.
*/
#include "jinja_inner.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CASE(name, how)                                              \
    static jj_value name(jj_run *r, jj_args *a)                      \
    {                                                                \
        return jj_recase(&r->heap, jj_text(&r->heap, a->self), how); \
    }

CASE(to_lower, 'l')
CASE(to_upper, 'u')
CASE(capitalize, 'c')

/* Words begin behind blanks, "-" and opening brackets. */
static jj_value title(jj_run *r, jj_args *a)
{
    jj_heap *h = &r->heap;
    jj_value s = jj_text(h, a->self);
    jj_buf b = { 0 };
    for (size_t i = 0, from = 0, k; i < s.s.n; i += k) {
        int32_t c = jj_char(s.s.p + i, s.s.n - i, &k);
        bool gap = jj_is_space(c) || (c < 0x80 && c > 0 && strchr("-({[<", c));
        if (gap || i + k == s.s.n)
            jj_put_value(h, &b, jj_recase(h, jj_part(s, from, i + k), 'c'));
        if (gap) /* one of these has no case: a capital follows */
            from = i + k;
    }
    return jj_finish(&b);
}

static jj_value trim(jj_run *r, jj_args *a)
{
    jj_value chars = a->a[0];
    if (chars.kind != JJ_ABSENT && chars.kind != JJ_NONE)
        jj_text_arg(r, chars, "trim: chars");
    return jj_strip(&r->heap, jj_text(&r->heap, a->self), chars, true, true);
}

static jj_value length(jj_run *r, jj_args *a)
{
    jj_value v = a->self;
    if (v.kind == JJ_STRING)
        return jj_int((int64_t)jj_length(&r->heap, v));
    if (v.kind == JJ_LIST && v.list->type != JJ_LAZY)
        return jj_int((int64_t)v.list->n);
    if (v.kind == JJ_DICT)
        return jj_int((int64_t)v.dict->n);
    if (v.kind == JJ_LOOP)
        return jj_int((int64_t)v.loop->over->n);
    if (v.kind != JJ_UNDEFINED)
        jj_raise(&r->heap, "object of type '%s' has no length", jj_type(v));
    return jj_int(0);
}

static jj_value or_default(jj_run *r, jj_args *a)
{
    (void)r;
    bool use = a->self.kind == JJ_UNDEFINED || (jj_truth(a->a[1]) && !jj_truth(a->self));
    return !use ? a->self : a->a[0].kind == JJ_ABSENT ? jj_str("", 0) : a->a[0];
}

static jj_value replace(jj_run *r, jj_args *a)
{
    jj_value from = jj_text(&r->heap, a->a[0]), to = jj_text(&r->heap, a->a[1]);
    int64_t count = a->a[2].kind == JJ_NONE ? -1 : jj_int_arg(r, a->a[2], -1, "replace: count");
    return jj_replace(&r->heap, jj_text(&r->heap, a->self), from, to, count);
}

static jj_value string(jj_run *r, jj_args *a)
{
    return jj_text(&r->heap, a->self);
}

static jj_value safe(jj_run *r, jj_args *a)
{
    jj_value v = jj_text(&r->heap, a->self);
    v.safe = true;
    return v;
}

static jj_value escape(jj_run *r, jj_args *a)
{
    return jj_escape(&r->heap, jj_text(&r->heap, a->self));
}

static jj_value copy_list(jj_run *r, const jj_list *l, jj_list_type type)
{
    jj_value v = jj_list_new(&r->heap, type);
    for (size_t i = 0; i < l->n; i++)
        jj_list_add(&r->heap, v.list, l->v[i]);
    return v;
}

static jj_value list(jj_run *r, jj_args *a)
{
    jj_value v = copy_list(r, jj_walk(&r->heap, a->self), JJ_PLAIN);
    v.user = a->self.user;
    return v;
}

static jj_value items(jj_run *r, jj_args *a)
{
    if (a->self.kind == JJ_UNDEFINED)
        return jj_list_new(&r->heap, JJ_LAZY);
    if (a->self.kind != JJ_DICT)
        jj_raise(&r->heap, "items: only of a mapping, not of a %s", jj_type(a->self));
    return jj_items(r, a->self.dict, JJ_LAZY);
}

static jj_value first(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    return l->n > 0 ? l->v[0] : jj_undefined(&r->heap, "No first item, sequence was empty.");
}

static jj_value last(jj_run *r, jj_args *a)
{
    if (a->self.kind == JJ_LIST && a->self.list->type == JJ_LAZY)
        jj_raise(&r->heap, "'generator' object is not reversible");
    const jj_list *l = jj_walk(&r->heap, a->self);
    return l->n > 0 ? l->v[l->n - 1] : jj_undefined(&r->heap, "No last item, sequence was empty.");
}

static jj_value reverse(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    if (a->self.kind == JJ_STRING) {
        jj_buf b = { 0 };
        for (size_t i = l->n; i-- > 0;)
            jj_put_value(&r->heap, &b, l->v[i]);
        return jj_finish(&b);
    }
    jj_value v = jj_list_new(&r->heap, JJ_LAZY);
    for (size_t i = l->n; i-- > 0;)
        jj_list_add(&r->heap, v.list, l->v[i]);
    return v;
}

static jj_value join(jj_run *r, jj_args *a)
{
    jj_heap *h = &r->heap;
    jj_value by = a->a[0].kind == JJ_ABSENT ? jj_str("", 0) : jj_text(h, a->a[0]);
    const jj_list *l = jj_walk(h, a->self);
    bool path = a->a[1].kind != JJ_ABSENT && a->a[1].kind != JJ_NONE;
    jj_buf b = { 0 };
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            jj_put_value(h, &b, by);
        jj_value v = path ? jj_at_path(r, l->v[i], a->a[1], (jj_value){ 0 }) : l->v[i];
        jj_put_value(h, &b, jj_text(h, v));
    }
    return jj_finish(&b);
}

static jj_value indent(jj_run *r, jj_args *a)
{
    jj_heap *h = &r->heap;
    bool at_first = jj_truth(a->a[1]), blank = jj_truth(a->a[2]);
    jj_value by = a->a[0];
    if (by.kind != JJ_STRING) {
        int64_t n = jj_int_arg(r, by, 4, "indent: width");
        n = n < 0 ? 0 : n > 1000 ? 1000 : n;
        char *blanks = jj_alloc(h, (size_t)n + 1);
        memset(blanks, ' ', (size_t)n);
        by = jj_str(blanks, (size_t)n);
    }
    jj_value s = jj_concat(h, jj_text(h, a->self), jj_str("\n", 1)); /* as the reference does */
    const jj_list *l = jj_split_lines(r, s, false).list;
    jj_buf b = { 0 };
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            jj_put(h, &b, "\n", 1, false);
        if (i == 0 ? at_first : blank || l->v[i].s.n > 0)
            jj_put_value(h, &b, by);
        jj_put_value(h, &b, l->v[i]);
    }
    return jj_finish(&b);
}

/* ---- numbers ---- */

/* A number's text in C's terms: no white around it, no underscores between digits. */
static bool copy_number(jj_run *r, jj_value s, char *to, size_t n)
{
    size_t k = 0;
    s = jj_strip(&r->heap, s, (jj_value){ 0 }, true, true);
    for (size_t i = 0; i < s.s.n; i++) {
        bool between = i > 0 && i + 1 < s.s.n && isxdigit((unsigned char)s.s.p[i - 1]) &&
                       isxdigit((unsigned char)s.s.p[i + 1]);
        if (s.s.p[i] == '_' && between)
            continue;
        if (k == n - 1 || !isgraph((unsigned char)s.s.p[i]))
            return false;
        to[k++] = s.s.p[i];
    }
    to[k] = '\0';
    return k > 0;
}

static bool read_whole(jj_run *r, jj_value s, int base, int64_t *to)
{
    char text[80], *end;
    if (!copy_number(r, s, text, sizeof text))
        return false;
    *to = strtoll(text, &end, base);
    return *end == '\0' && *to != INT64_MAX && *to != INT64_MIN;
}

static bool read_real(jj_run *r, jj_value s, double *to)
{
    char text[400], *end;
    if (!copy_number(r, s, text, sizeof text) || strpbrk(text, "xX(")) /* hexadecimal, nan(...) */
        return false;
    *to = strtod(text, &end);
    return *end == '\0';
}

static jj_value to_int(jj_run *r, jj_args *a)
{
    jj_value v = a->self, absent = a->a[0].kind == JJ_ABSENT ? jj_int(0) : a->a[0];
    int64_t base = jj_int_arg(r, a->a[1], 10, "int: base"), whole;
    double real;
    if (v.kind == JJ_UNDEFINED)
        jj_raise(&r->heap, "%.*s", (int)v.s.n, v.s.p);
    if (base != 10 && base != 16 && base != 8 && base != 2)
        jj_raise(&r->heap, "int: base must be 2, 8, 10 or 16");
    if (v.kind == JJ_BOOL)
        return jj_int(v.b);
    if (v.kind == JJ_INT)
        return v;
    if (v.kind == JJ_STRING && read_whole(r, v, (int)base, &whole))
        return (jj_value){ .kind = JJ_INT, .user = v.user, .i = whole };
    if (v.kind == JJ_FLOAT)
        real = v.f;
    else if (v.kind != JJ_STRING || !read_real(r, v, &real))
        return absent;
    if (isnan(real) || isinf(real))
        return absent;
    if (fabs(real) >= 9e18)
        jj_raise(&r->heap, "a whole number of more than 64 bits");
    return (jj_value){ .kind = JJ_INT, .user = v.user, .i = (int64_t)real };
}

static jj_value to_float(jj_run *r, jj_args *a)
{
    jj_value v = a->self;
    double real;
    if (v.kind == JJ_UNDEFINED)
        jj_raise(&r->heap, "%.*s", (int)v.s.n, v.s.p);
    if (jj_is_number(v))
        real = jj_double(v);
    else if (v.kind != JJ_STRING || !read_real(r, v, &real))
        return a->a[0].kind == JJ_ABSENT ? jj_float(0) : a->a[0];
    return (jj_value){ .kind = JJ_FLOAT, .user = v.user, .f = real };
}

static jj_value absolute(jj_run *r, jj_args *a)
{
    jj_value v = a->self;
    if (!jj_is_number(v))
        jj_raise(&r->heap, "bad operand type for abs: '%s'", jj_type(v));
    if (v.kind == JJ_FLOAT)
        v.f = fabs(v.f);
    else if (v.kind == JJ_INT && v.i < 0)
        v = jj_math(r, '-', jj_int(0), v);
    else if (v.kind == JJ_BOOL)
        v = jj_int(v.b);
    return v;
}

/* Decimal places as printing rounds them: half to even on the exact value. */
static jj_value round_to(jj_run *r, jj_args *a)
{
    char text[400];
    jj_value v = a->self, how = a->a[1];
    int64_t places = jj_int_arg(r, a->a[0], 0, "round: precision");
    bool up = jj_same(how, "ceil"), down = jj_same(how, "floor");
    if (!jj_is_number(v) || places < 0 || places > 15)
        jj_raise(&r->heap, "round: only a number, to 0 to 15 places");
    if (how.kind != JJ_ABSENT && !up && !down && !jj_same(how, "common"))
        jj_raise(&r->heap, "round: method must be common, ceil or floor");
    if (up || down) {
        double scale = pow(10, (double)places), x = jj_double(v) * scale;
        return jj_float((up ? ceil(x) : floor(x)) / scale);
    }
    if (v.kind != JJ_FLOAT)
        return v.kind == JJ_BOOL ? jj_int(v.b) : v;
    snprintf(text, sizeof text, "%.*f", (int)places, v.f);
    v.f = strtod(text, NULL);
    return v;
}

const jj_entry jj_filters[] = {
    { "abs", "", absolute },
    { "capitalize", "", capitalize },
    { "count", "", length },
    { "d", "default_value? boolean?", or_default },
    { "default", "default_value? boolean?", or_default },
    { "dictsort", "case_sensitive? by? reverse?", jj_filter_dictsort },
    { "e", "", escape },
    { "escape", "", escape },
    { "first", "", first },
    { "float", "default?", to_float },
    { "indent", "width? first? blank?", indent },
    { "int", "default? base?", to_int },
    { "items", "", items },
    { "join", "d? attribute?", join },
    { "last", "", last },
    { "length", "", length },
    { "list", "", list },
    { "lower", "", to_lower },
    { "map", "*", jj_filter_map },
    { "max", "case_sensitive? attribute?", jj_filter_max },
    { "min", "case_sensitive? attribute?", jj_filter_min },
    { "reject", "*", jj_filter_reject },
    { "rejectattr", "*", jj_filter_rejectattr },
    { "replace", "old new count?", replace },
    { "reverse", "", reverse },
    { "round", "precision? method?", round_to },
    { "safe", "", safe },
    { "select", "*", jj_filter_select },
    { "selectattr", "*", jj_filter_selectattr },
    { "sort", "reverse? case_sensitive? attribute?", jj_filter_sort },
    { "string", "", string },
    { "sum", "attribute? start?", jj_filter_sum },
    { "title", "", title },
    { "tojson", "ensure_ascii? indent? separators? sort_keys?", jj_filter_tojson },
    { "trim", "chars?", trim },
    { "unique", "case_sensitive? attribute?", jj_filter_unique },
    { "upper", "", to_upper },
    { NULL, NULL, NULL },
};
