/*
** jinja_eval.c - expressions: names, indices, operators. Calls are jinja_call.c's.
*/
#include "jinja_inner.h"

#include <math.h>

/* ---- names, attributes, indices ---- */

static jj_value eval_name(jj_run *r, jj_value name)
{
    jj_heap *h = &r->heap;
    for (const jj_scope *s = r->scope; s; s = s->up) {
        jj_charge(h, 8);
        const jj_value *v = jj_dict_find(h, &s->vars, name);
        if (v)
            return *v;
    }
    const jj_value *v = jj_dict_find(h, r->globals, name);
    if (v)
        return *v;
    const jj_entry *e = jj_lookup(jj_functions, name);
    if (e)
        return (jj_value){ .kind = JJ_FUNCTION, .entry = e };
    return jj_undefined(h, "'%.*s' is undefined", (int)name.s.n, name.s.p);
}

static jj_value loop_attr(jj_run *r, const jj_loop *l, jj_value name)
{
    int64_t i = (int64_t)l->at, n = (int64_t)l->over->n;
    const struct {
        const char *name;
        int64_t value;
    } NUMBERS[] = { { "index0", i },           { "index", i + 1 }, { "revindex0", n - i - 1 },
                    { "revindex", n - i },     { "length", n },    { "depth", l->depth },
                    { "depth0", l->depth - 1 } };
    for (size_t k = 0; k < sizeof NUMBERS / sizeof *NUMBERS; k++)
        if (jj_same(name, NUMBERS[k].name))
            return jj_int(NUMBERS[k].value);
    if (jj_same(name, "first"))
        return jj_bool(i == 0);
    if (jj_same(name, "last"))
        return jj_bool(i == n - 1);
    if (jj_same(name, "previtem") && i > 0)
        return l->over->v[i - 1];
    if (jj_same(name, "nextitem") && i < n - 1)
        return l->over->v[i + 1];
    return jj_undefined(&r->heap, "there is no loop.%.*s here", (int)name.s.n, name.s.p);
}

static const jj_entry *find_method(jj_value of, jj_value name)
{
    switch (of.kind) {
    case JJ_STRING:
        return jj_lookup(jj_string_methods, name);
    case JJ_DICT:
        return jj_lookup(jj_dict_methods, name);
    case JJ_LIST:
        return of.list->type == JJ_PLAIN   ? jj_lookup(jj_list_methods, name)
               : of.list->type == JJ_TUPLE ? jj_lookup(jj_tuple_methods, name)
                                           : NULL;
    case JJ_LOOP:
        return jj_lookup(jj_loop_methods, name);
    default:
        return NULL;
    }
}

static jj_value method(jj_run *r, jj_value of, jj_value name)
{
    const jj_entry *e = find_method(of, name);
    if (!e)
        return (jj_value){ .kind = JJ_ABSENT };
    jj_value v = { .kind = JJ_METHOD, .method = jj_alloc(&r->heap, sizeof(jj_method)) };
    *v.method = (jj_method){ of, e };
    return v;
}

static jj_value no_attribute(jj_run *r, jj_value of, jj_value name)
{
    if (of.kind == JJ_UNDEFINED)
        jj_raise(&r->heap, "%.*s", (int)of.s.n, of.s.p);
    if (jj_is_unsafe(of, name))
        return jj_undefined(&r->heap, "method '%.*s' would change a %s: that is not allowed",
                            (int)name.s.n, name.s.p, jj_type(of));
    return jj_undefined(&r->heap, "'%s object' has no attribute '%.*s'", jj_type(of), (int)name.s.n,
                        name.s.p);
}

jj_value jj_attr(jj_run *r, jj_value of, jj_value name)
{
    jj_value m = method(r, of, name);
    if (m.kind != JJ_ABSENT)
        return m;
    if (of.kind == JJ_LOOP)
        return loop_attr(r, of.loop, name);
    bool unsafe = of.kind == JJ_DICT && jj_is_unsafe(of, name);
    const jj_value *v = NULL;
    if ((of.kind == JJ_DICT || of.kind == JJ_NAMESPACE) && !unsafe)
        v = jj_dict_find(&r->heap, of.dict, name);
    return v ? *v : no_attribute(r, of, name);
}

static bool is_indexable(jj_value v)
{
    return v.kind == JJ_LIST && v.list->type <= JJ_RANGE;
}

jj_value jj_item(jj_run *r, jj_value of, jj_value index)
{
    jj_heap *h = &r->heap;
    bool whole = index.kind == JJ_INT || index.kind == JJ_BOOL;
    if (whole && (is_indexable(of) || of.kind == JJ_STRING)) {
        int64_t i = index.kind == JJ_INT ? index.i : index.b;
        int64_t n = (int64_t)(of.kind == JJ_STRING ? jj_length(h, of) : of.list->n);
        i += i < 0 ? n : 0;
        if (i < 0 || i >= n)
            return jj_undefined(h, "%s object has no element %lld", jj_type(of),
                                (long long)(index.kind == JJ_INT ? index.i : index.b));
        if (of.kind == JJ_LIST)
            return of.list->v[i];
        size_t k, at = jj_offset(of, (size_t)i);
        jj_char(of.s.p + at, of.s.n - at, &k);
        return jj_part(of, at, at + k);
    }
    const jj_value *v = of.kind == JJ_DICT ? jj_dict_find(h, of.dict, index) : NULL;
    if (v)
        return *v;
    if (index.kind == JJ_STRING)
        return of.kind == JJ_DICT && jj_is_unsafe(of, index) ? no_attribute(r, of, index)
                                                             : jj_attr(r, of, index);
    if (of.kind == JJ_UNDEFINED)
        jj_raise(h, "%.*s", (int)of.s.n, of.s.p);
    return jj_undefined(h, "%s object has no such element", jj_type(of));
}

/* ---- slices ---- */

/* A part of a slice as Python clips it: 'absent' where it is none. */
static int64_t slice_bound(jj_run *r, const jj_node *n, int64_t len, bool down, int64_t absent)
{
    jj_value v = n ? jj_eval(r, n) : jj_none();
    if (v.kind == JJ_NONE)
        return absent;
    if (v.kind != JJ_INT && v.kind != JJ_BOOL)
        jj_raise(&r->heap, "slice indices must be integers or None, not %s", jj_type(v));
    int64_t i = v.kind == JJ_INT ? v.i : v.b;
    if (i < 0)
        i = i + len < 0 ? (down ? -1 : 0) : i + len;
    return i >= len ? (down ? len - 1 : len) : i;
}

/* Every step-th character: where each begins is needed. */
static jj_value slice_string(jj_run *r, jj_value s, int64_t from, int64_t to, int64_t step)
{
    jj_heap *h = &r->heap;
    if (step == 1) {
        size_t begin = jj_offset(s, (size_t)from);
        return jj_part(s, begin, from < to ? jj_offset(s, (size_t)to) : begin);
    }
    size_t *at = jj_alloc(h, (jj_length(h, s) + 1) * sizeof *at), n = 0;
    for (size_t i = 0; i < s.s.n; i++)
        if (((unsigned char)s.s.p[i] & 0xc0) != 0x80)
            at[n++] = i;
    at[n] = s.s.n;
    jj_buf b = { 0 };
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step)
        jj_put_value(h, &b, jj_part(s, at[i], at[i + 1]));
    return jj_finish(&b);
}

static jj_value eval_slice(jj_run *r, jj_value of, const jj_node *n)
{
    jj_heap *h = &r->heap;
    if (of.kind == JJ_UNDEFINED)
        jj_raise(h, "%.*s", (int)of.s.n, of.s.p);
    if (of.kind != JJ_STRING && !is_indexable(of))
        jj_raise(h, "'%s' object cannot be sliced", jj_type(of));
    int64_t len = (int64_t)(of.kind == JJ_STRING ? jj_length(h, of) : of.list->n);
    jj_value v = n->c ? jj_eval(r, n->c) : jj_none();
    int64_t step = v.kind == JJ_NONE ? 1 : v.kind == JJ_BOOL ? v.b : v.i;
    if (v.kind > JJ_INT)
        jj_raise(h, "slice indices must be integers or None, not %s", jj_type(v));
    if (step == 0)
        jj_raise(h, "slice step cannot be zero");
    step = step > len + 1 ? len + 1 : step < -len - 1 ? -len - 1 : step;
    int64_t from = slice_bound(r, n->a, len, step < 0, step < 0 ? len - 1 : 0);
    int64_t to = slice_bound(r, n->b, len, step < 0, step < 0 ? -1 : len);
    if (of.kind == JJ_STRING)
        return slice_string(r, of, from, to, step);
    jj_value part = jj_list_new(h, of.list->type);
    part.user = of.user;
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step)
        jj_list_add(h, part.list, of.list->v[i]);
    return part;
}

/* ---- arithmetic ---- */

static _Noreturn void no_operator(jj_run *r, int op, jj_value a, jj_value b)
{
    char name[3] = { (char)(op > 0xff ? op >> 8 : op), (char)(op > 0xff ? op & 0xff : 0), 0 };
    const jj_value *u = a.kind == JJ_UNDEFINED ? &a : b.kind == JJ_UNDEFINED ? &b : NULL;
    if (u)
        jj_raise(&r->heap, "%.*s", (int)u->s.n, u->s.p);
    if (op == '%' && a.kind == JJ_STRING)
        jj_raise(&r->heap, "'%%' of a string is not supported: use ~");
    jj_raise(&r->heap, "unsupported operand types for %s: '%s' and '%s'", name, jj_type(a),
             jj_type(b));
}

static double python_mod(double a, double b)
{
    double m = fmod(a, b);
    return m != 0 && (m < 0) != (b < 0) ? m + b : m == 0 ? copysign(0, b) : m;
}

static jj_value real_math(jj_run *r, int op, double a, double b)
{
    if (b == 0 && (op == '/' || op == '%' || op == ('/' << 8 | '/')))
        jj_raise(&r->heap, "division by zero");
    switch (op) {
    case '+':
        return jj_float(a + b);
    case '-':
        return jj_float(a - b);
    case '*':
        return jj_float(a * b);
    case '/':
        return jj_float(a / b);
    case '%':
        return jj_float(python_mod(a, b));
    case '/' << 8 | '/':
        return jj_float(floor((a - python_mod(a, b)) / b + 0.5));
    default:
        if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
            jj_raise(&r->heap, "%g ** %g has no value", a, b);
        return jj_float(pow(a, b));
    }
}

static bool power_overflows(int64_t a, int64_t b, int64_t *to)
{
    *to = 1;
    if (a == 1 || a == 0 || a == -1) {
        *to = b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a;
        return false;
    }
    for (; b > 0; b--)
        if (__builtin_mul_overflow(*to, a, to))
            return true;
    return false;
}

static jj_value whole_math(jj_run *r, int op, int64_t a, int64_t b)
{
    int64_t v = 0;
    bool over = false;
    if (op == '/' || (op == ('*' << 8 | '*') && b < 0))
        return real_math(r, op, (double)a, (double)b);
    if (op == '+')
        over = __builtin_add_overflow(a, b, &v);
    else if (op == '-')
        over = __builtin_sub_overflow(a, b, &v);
    else if (op == '*')
        over = __builtin_mul_overflow(a, b, &v);
    else if (op == ('*' << 8 | '*'))
        over = power_overflows(a, b, &v);
    else if (b == 0)
        jj_raise(&r->heap, "division by zero");
    else if (b == -1)
        over = op != '%' && __builtin_sub_overflow(0, a, &v);
    else if (op == '%')
        v = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    else
        v = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
    if (over)
        jj_raise(&r->heap, "a whole number of more than 64 bits");
    return jj_int(v);
}

/* A safe string escapes what is added to it. */
static jj_value add_strings(jj_run *r, jj_value a, jj_value b)
{
    jj_heap *h = &r->heap;
    if (!a.safe && !b.safe)
        return jj_concat(h, a, b);
    jj_value v = jj_concat(h, jj_escape(h, a), jj_escape(h, b));
    v.safe = true;
    return v;
}

static jj_value repeat(jj_run *r, jj_value what, jj_value times)
{
    int64_t n = times.kind == JJ_BOOL ? times.b : times.i;
    if (what.kind == JJ_STRING) {
        jj_buf b = { 0 };
        for (int64_t i = 0; i < n && what.s.n > 0; i++)
            jj_put_value(&r->heap, &b, what);
        return jj_finish(&b);
    }
    jj_value l = jj_list_new(&r->heap, what.list->type);
    for (int64_t i = 0; i < n && what.list->n > 0; i++)
        for (size_t k = 0; k < what.list->n; k++)
            jj_list_add(&r->heap, l.list, what.list->v[k]);
    return l;
}

static bool is_repeatable(jj_value v)
{
    return v.kind == JJ_STRING || (v.kind == JJ_LIST && v.list->type <= JJ_TUPLE);
}

static bool is_whole(jj_value v)
{
    return v.kind == JJ_INT || v.kind == JJ_BOOL;
}

jj_value jj_math(jj_run *r, int op, jj_value a, jj_value b)
{
    jj_value v;
    if (jj_is_number(a) && jj_is_number(b)) {
        if (is_whole(a) && is_whole(b))
            v = whole_math(r, op, a.kind == JJ_BOOL ? a.b : a.i, b.kind == JJ_BOOL ? b.b : b.i);
        else
            v = real_math(r, op, jj_double(a), jj_double(b));
    } else if (op == '+' && a.kind == JJ_STRING && b.kind == JJ_STRING) {
        return add_strings(r, a, b);
    } else if (op == '+' && a.kind == JJ_LIST && b.kind == JJ_LIST &&
               a.list->type == b.list->type && a.list->type <= JJ_TUPLE) {
        v = jj_list_new(&r->heap, a.list->type);
        for (size_t i = 0; i < a.list->n; i++)
            jj_list_add(&r->heap, v.list, a.list->v[i]);
        for (size_t i = 0; i < b.list->n; i++)
            jj_list_add(&r->heap, v.list, b.list->v[i]);
    } else if (op == '*' && is_repeatable(a) && is_whole(b)) {
        v = repeat(r, a, b);
    } else if (op == '*' && is_whole(a) && is_repeatable(b)) {
        v = repeat(r, b, a);
    } else {
        no_operator(r, op, a, b);
    }
    if (v.kind != JJ_STRING)
        v.user = a.user || b.user;
    return v;
}

static jj_value negate(jj_run *r, jj_value v, bool minus)
{
    jj_value zero = jj_int(0);
    if (v.kind == JJ_FLOAT)
        v.f = minus ? -v.f : v.f;
    else
        v = jj_math(r, minus ? '-' : '+', zero, v);
    return v;
}

/* ---- comparisons ---- */

bool jj_compare(jj_run *r, int op, jj_value a, jj_value b)
{
    jj_heap *h = &r->heap;
    int order;
    switch (op) {
    case 'i':
        return jj_contains(h, b, a);
    case 'n':
        return !jj_contains(h, b, a);
    case '=' << 8 | '=':
        return jj_equal(h, a, b);
    case '!' << 8 | '=':
        return !jj_equal(h, a, b);
    case '<':
        return jj_order(h, a, b, "<") == -1;
    case '>':
        return jj_order(h, a, b, ">") == 1;
    case '<' << 8 | '=':
        order = jj_order(h, a, b, "<=");
        return order == -1 || order == 0;
    default:
        order = jj_order(h, a, b, ">=");
        return order == 1 || order == 0;
    }
}

static jj_value eval_compare(jj_run *r, const jj_node *n)
{
    jj_value left = jj_eval(r, n->a);
    for (const jj_node *o = n->b; o; o = o->next) {
        jj_value right = jj_eval(r, o->a);
        r->heap.line = o->line;
        if (!jj_compare(r, o->op, left, right))
            return jj_bool(false);
        left = right;
    }
    return jj_bool(true);
}

/* ---- all expressions ---- */

static jj_value eval_list(jj_run *r, const jj_node *n)
{
    jj_value l = jj_list_new(&r->heap, n->kind == JJ_N_TUPLE ? JJ_TUPLE : JJ_PLAIN);
    for (const jj_node *e = n->a; e; e = e->next)
        jj_list_add(&r->heap, l.list, jj_eval(r, e));
    return l;
}

static jj_value eval_dict(jj_run *r, const jj_node *n)
{
    jj_value d = jj_dict_new(&r->heap);
    for (const jj_node *e = n->a; e; e = e->next->next) {
        jj_value key = jj_eval(r, e);
        jj_dict_put(&r->heap, d.dict, key, jj_eval(r, e->next));
    }
    return d;
}

static jj_value eval_concat(jj_run *r, const jj_node *n)
{
    jj_buf b = { 0 };
    for (const jj_node *e = n->a; e; e = e->next)
        jj_put_value(&r->heap, &b, jj_text(&r->heap, jj_eval(r, e)));
    return jj_finish(&b);
}

static jj_value eval_item(jj_run *r, const jj_node *n)
{
    jj_value of = jj_eval(r, n->a);
    if (n->b->kind == JJ_N_SLICE)
        return eval_slice(r, of, n->b);
    jj_value index = jj_eval(r, n->b);
    r->heap.line = n->line;
    return jj_item(r, of, index);
}

static jj_args eval_arguments(jj_run *r, const jj_node *list)
{
    jj_args a = { .n_pos = 0 };
    size_t n = 0;
    for (const jj_node *e = list; e; e = e->next)
        n++;
    if (n == 0)
        return a;
    jj_value *pos = jj_alloc(&r->heap, 3 * n * sizeof *pos), *names = pos + n, *named = names + n;
    for (const jj_node *e = list; e; e = e->next) {
        jj_value v = jj_eval(r, e->a);
        if (e->value.kind == JJ_STRING) {
            names[a.n_named] = e->value;
            named[a.n_named++] = v;
        } else {
            pos[a.n_pos++] = v;
        }
    }
    a.pos = pos;
    a.names = names;
    a.named = named;
    return a;
}

static jj_value eval_call(jj_run *r, const jj_node *n, const jj_value *caller)
{
    jj_value callee = jj_eval(r, n->a);
    jj_args a = eval_arguments(r, n->b);
    if (caller) {
        jj_value *names = jj_alloc(&r->heap, (a.n_named + 1) * sizeof *names);
        jj_value *named = jj_alloc(&r->heap, (a.n_named + 1) * sizeof *named);
        for (size_t i = 0; i < a.n_named; i++) {
            names[i] = a.names[i];
            named[i] = a.named[i];
        }
        names[a.n_named] = jj_str("caller", 6);
        named[a.n_named++] = *caller;
        a.names = names;
        a.named = named;
    }
    r->heap.line = n->line;
    return jj_call(r, callee, &a);
}

jj_value jj_eval_call_block(jj_run *r, const jj_node *call, jj_value caller)
{
    return eval_call(r, call, &caller);
}

/* A filter or test; what it is applied to, where no expression says so, is 'block'. */
static jj_value eval_filter(jj_run *r, const jj_node *n, jj_value block)
{
    jj_value self =
        n->a ? n->a->kind == JJ_N_FILTER ? eval_filter(r, n->a, block) : jj_eval(r, n->a) : block;
    jj_args a = eval_arguments(r, n->b);
    a.self = self;
    r->heap.line = n->line;
    return jj_call_entry(r, n->entry, &a);
}

jj_value jj_filter_block(jj_run *r, const jj_node *filters, jj_value text)
{
    return filters ? eval_filter(r, filters, text) : text;
}

static jj_value eval_node(jj_run *r, const jj_node *n)
{
    jj_value v;
    switch (n->kind) {
    case JJ_N_CONST:
        return n->value;
    case JJ_N_NAME:
        return eval_name(r, n->value);
    case JJ_N_LIST:
    case JJ_N_TUPLE:
        return eval_list(r, n);
    case JJ_N_DICT:
        return eval_dict(r, n);
    case JJ_N_ATTR:
        v = jj_eval(r, n->a);
        r->heap.line = n->line;
        return jj_attr(r, v, n->value);
    case JJ_N_ITEM:
        return eval_item(r, n);
    case JJ_N_CALL:
        return eval_call(r, n, NULL);
    case JJ_N_FILTER:
    case JJ_N_TEST:
        return eval_filter(r, n, jj_none());
    case JJ_N_NOT:
        return jj_bool(!jj_truth(jj_eval(r, n->a)));
    case JJ_N_NEG:
    case JJ_N_POS:
        return negate(r, jj_eval(r, n->a), n->kind == JJ_N_NEG);
    case JJ_N_AND:
    case JJ_N_OR:
        v = jj_eval(r, n->a);
        return jj_truth(v) == (n->kind == JJ_N_OR) ? v : jj_eval(r, n->b);
    case JJ_N_COND:
        if (jj_truth(jj_eval(r, n->a)))
            return jj_eval(r, n->b);
        return n->c ? jj_eval(r, n->c)
                    : jj_undefined(&r->heap, "the inline if-expression has no else");
    case JJ_N_COMPARE:
        return eval_compare(r, n);
    case JJ_N_MATH: {
        jj_value a = jj_eval(r, n->a), b = jj_eval(r, n->b);
        r->heap.line = n->line;
        return jj_math(r, n->op, a, b);
    }
    default:
        return eval_concat(r, n);
    }
}

jj_value jj_eval(jj_run *r, const jj_node *n)
{
    jj_enter(&r->heap, JJ_MAX_DEPTH);
    jj_charge(&r->heap, 32);
    r->heap.line = n->line;
    jj_value v = eval_node(r, n);
    r->heap.depth--;
    return v;
}
