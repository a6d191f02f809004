/*
** jinja_expr.c - expressions of a template: tokens to nodes.
**
** Levels from loose to tight: if-else, or, and, not, comparisons, + -, ~, * / // %, **, signs,
** then calls, indices, filters and tests.
*/
#include "jinja_inner.h"

#define TWO(a, b) ((a) << 8 | (b))
#define MAX_CHAIN 200 /* of operators side by side: they nest to the left */

static jj_node *parse_unary(jj_parser *p, bool filters);

static void count(jj_parser *p, int *n)
{
    if (++*n > MAX_CHAIN)
        jj_raise(p->h, "more than %d operators side by side", MAX_CHAIN);
}

static jj_node *join(jj_parser *p, jj_node_kind kind, int op, jj_node *a, jj_node *b)
{
    jj_node *n = jj_node_new(p, kind);
    n->op = op;
    n->a = a;
    n->b = b;
    return n;
}

/* ---- literals ---- */

static jj_node *parse_list(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_LIST), **end = &n->a;
    p->t++;
    while (!jj_is_op(p, ']')) {
        if (n->a)
            jj_expect_op(p, ',');
        if (jj_is_op(p, ']'))
            break;
        *end = jj_parse_expression(p, true);
        end = &(*end)->next;
    }
    p->t++;
    return n;
}

static jj_node *parse_dict(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_DICT), **end = &n->a;
    p->t++;
    while (!jj_is_op(p, '}')) {
        if (n->a)
            jj_expect_op(p, ',');
        if (jj_is_op(p, '}'))
            break;
        jj_node *key = jj_parse_expression(p, true);
        jj_expect_op(p, ':');
        key->next = jj_parse_expression(p, true);
        *end = key;
        end = &key->next->next;
    }
    p->t++;
    return n;
}

static jj_node *constant(jj_parser *p, jj_value v)
{
    jj_node *n = jj_node_new(p, JJ_N_CONST);
    n->value = v;
    return n;
}

static jj_node *parse_name(jj_parser *p)
{
    static const struct {
        const char *name;
        int value; /* -1: none */
    } CONSTANTS[] = { { "true", 1 },  { "True", 1 },  { "false", 0 },
                      { "False", 0 }, { "none", -1 }, { "None", -1 } };
    jj_value name = p->t->v;
    for (size_t i = 0; i < sizeof CONSTANTS / sizeof *CONSTANTS; i++)
        if (jj_same(name, CONSTANTS[i].name)) {
            int v = CONSTANTS[i].value;
            p->t++;
            return constant(p, v < 0 ? jj_none() : jj_bool(v));
        }
    p->varargs |= jj_same(name, "varargs");
    p->kwargs |= jj_same(name, "kwargs");
    jj_node *n = jj_node_new(p, JJ_N_NAME);
    n->value = jj_expect_name(p);
    return n;
}

static jj_node *parse_primary(jj_parser *p)
{
    jj_token *t = p->t;
    jj_node *n;
    if (t->kind == JJ_NAME)
        return parse_name(p);
    if (t->kind == JJ_TEXT) {
        n = constant(p, t->v);
        for (p->t++; p->t->kind == JJ_TEXT; p->t++) /* strings side by side are one */
            n->value = jj_concat(p->h, n->value, p->t->v);
        return n;
    }
    if (t->kind == JJ_WHOLE || t->kind == JJ_REAL) {
        p->t++;
        return constant(p, t->v);
    }
    if (jj_skip_op(p, '(')) {
        n = jj_parse_tuple(p, true, true);
        jj_expect_op(p, ')');
        return n;
    }
    if (jj_is_op(p, '['))
        return parse_list(p);
    if (jj_is_op(p, '{'))
        return parse_dict(p);
    jj_unexpected(p, "an expression");
}

/* ---- calls, indices ---- */

static jj_node *parse_arguments(jj_parser *p)
{
    jj_node *first = NULL, **end = &first;
    bool named = false;
    jj_expect_op(p, '(');
    while (!jj_is_op(p, ')')) {
        if (first)
            jj_expect_op(p, ',');
        if (jj_is_op(p, ')'))
            break;
        if (jj_is_op(p, '*') || jj_is_op(p, TWO('*', '*')))
            jj_raise(p->h, "*args and **kwargs in a call are not supported");
        jj_node *n = jj_node_new(p, JJ_N_ARG);
        if (p->t->kind == JJ_NAME && p->t[1].kind == JJ_OP && p->t[1].op == '=') {
            n->value = jj_expect_name(p);
            jj_note(p, p->known, n->value, n->line);
            p->t++;
            named = true;
        } else if (named) {
            jj_raise(p->h, "an argument without a name behind one with a name");
        }
        n->a = jj_parse_expression(p, true);
        *end = n;
        end = &n->next;
    }
    p->t++;
    return first;
}

static bool is_method(jj_value name)
{
    jj_value list = { .kind = JJ_LIST, .list = &(jj_list){ 0 } };
    jj_value dict = { .kind = JJ_DICT, .dict = &(jj_dict){ 0 } };
    for (const jj_entry *const *m = jj_methods; *m; m++)
        if (jj_lookup(*m, name))
            return true;
    return jj_is_unsafe(list, name) || jj_is_unsafe(dict, name);
}

static jj_node *parse_call(jj_parser *p, jj_node *callee)
{
    jj_node *n = join(p, JJ_N_CALL, 0, callee, NULL);
    if (callee->kind == JJ_N_NAME)
        jj_note(p, p->called, callee->value, callee->line);
    else if (callee->kind == JJ_N_ATTR && !is_method(callee->value))
        jj_note(p, p->called, callee->value, -callee->line);
    n->b = parse_arguments(p);
    return n;
}

static jj_node *slice_part(jj_parser *p)
{
    if (jj_is_op(p, ':') || jj_is_op(p, ']'))
        return NULL;
    return jj_parse_expression(p, true);
}

static jj_node *parse_index(jj_parser *p, jj_node *of)
{
    jj_node *n = join(p, JJ_N_ITEM, 0, of, NULL);
    n->b = slice_part(p);
    if (jj_is_op(p, ':')) {
        jj_node *slice = join(p, JJ_N_SLICE, 0, n->b, NULL);
        p->t++;
        slice->b = slice_part(p);
        if (jj_skip_op(p, ':'))
            slice->c = slice_part(p);
        n->b = slice;
    } else if (!n->b) {
        jj_unexpected(p, "an index");
    }
    if (jj_is_op(p, ','))
        jj_raise(p->h, "an index of more than one part is not supported");
    jj_expect_op(p, ']');
    return n;
}

static jj_node *parse_postfix(jj_parser *p, jj_node *n)
{
    for (int chain = 0;; count(p, &chain)) {
        if (jj_is_op(p, '(')) {
            n = parse_call(p, n);
        } else if (jj_skip_op(p, '[')) {
            n = parse_index(p, n);
        } else if (jj_skip_op(p, '.')) {
            n = join(p, p->t->kind == JJ_WHOLE ? JJ_N_ITEM : JJ_N_ATTR, 0, n, NULL);
            if (p->t->kind == JJ_WHOLE)
                n->b = parse_primary(p);
            else
                n->value = jj_expect_name(p);
        } else {
            return n;
        }
    }
}

/* ---- filters and tests ---- */

/* Names of filters and tests that are arguments: map('upper'), select('equalto', 1). */
static void check_named(jj_parser *p, const jj_node *n)
{
    const jj_node *first = n->b;
    bool map = jj_same(n->value, "map");
    bool attr = jj_same(n->value, "selectattr") || jj_same(n->value, "rejectattr");
    if (!map && !attr && !jj_same(n->value, "select") && !jj_same(n->value, "reject"))
        return;
    const jj_node *name = attr && first ? first->next : first;
    if (!name || name->value.kind == JJ_STRING || name->a->kind != JJ_N_CONST ||
        name->a->value.kind != JJ_STRING)
        return;
    jj_value v = name->a->value;
    if (!jj_lookup(map ? jj_filters : jj_tests, v))
        jj_raise(p->h, "%s '%.*s' is not supported", map ? "filter" : "test", (int)v.s.n, v.s.p);
}

static jj_node *parse_filter(jj_parser *p, jj_node *subject)
{
    jj_node *n = join(p, JJ_N_FILTER, 0, subject, NULL);
    n->value = jj_expect_name(p);
    n->entry = jj_lookup(jj_filters, n->value);
    if (!n->entry)
        jj_raise(p->h, "filter '%.*s' is not supported", (int)n->value.s.n, n->value.s.p);
    if (jj_is_op(p, '('))
        n->b = parse_arguments(p);
    check_named(p, n);
    return n;
}

jj_node *jj_parse_filters(jj_parser *p, jj_node *subject, bool first)
{
    for (int chain = 0; first || jj_is_op(p, '|'); count(p, &chain)) {
        if (!first)
            p->t++;
        subject = parse_filter(p, subject);
        first = false;
    }
    return subject;
}

static bool starts_test_argument(const jj_parser *p)
{
    jj_token_kind k = p->t->kind;
    if (k == JJ_NAME)
        return !jj_is_name(p, "else") && !jj_is_name(p, "or") && !jj_is_name(p, "and");
    return k == JJ_TEXT || k == JJ_WHOLE || k == JJ_REAL || jj_is_op(p, '(') || jj_is_op(p, '[') ||
           jj_is_op(p, '{');
}

static jj_node *parse_test(jj_parser *p, jj_node *subject)
{
    jj_node *n = join(p, JJ_N_TEST, 0, subject, NULL);
    p->t++;
    bool negated = jj_skip_name(p, "not");
    n->value = jj_expect_name(p);
    n->entry = jj_lookup(jj_tests, n->value);
    if (!n->entry)
        jj_raise(p->h, "test '%.*s' is not supported", (int)n->value.s.n, n->value.s.p);
    if (subject->kind == JJ_N_NAME && jj_same(n->value, "defined"))
        jj_note(p, p->known, subject->value, n->line); /* its author knows it may be missing */
    if (jj_is_op(p, '(')) {
        n->b = parse_arguments(p);
    } else if (starts_test_argument(p)) {
        if (jj_is_name(p, "is"))
            jj_raise(p->h, "a test behind a test");
        n->b = join(p, JJ_N_ARG, 0, NULL, NULL);
        n->b->a = parse_postfix(p, parse_primary(p));
    }
    return negated ? join(p, JJ_N_NOT, 0, n, NULL) : n;
}

/* ---- operators ---- */

static jj_node *parse_unary(jj_parser *p, bool filters)
{
    jj_node *n;
    jj_enter(p->h, JJ_MAX_NEST);
    if (jj_is_op(p, '-') || jj_is_op(p, '+')) {
        n = jj_node_new(p, p->t->op == '-' ? JJ_N_NEG : JJ_N_POS);
        p->t++;
        n->a = parse_unary(p, false);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    for (int chain = 0; filters; count(p, &chain)) {
        if (jj_is_op(p, '|'))
            n = jj_parse_filters(p, n, false);
        else if (jj_is_name(p, "is"))
            n = parse_test(p, n);
        else if (jj_is_op(p, '('))
            n = parse_call(p, n);
        else
            break;
    }
    p->h->depth--;
    return n;
}

static jj_node *parse_power(jj_parser *p)
{
    jj_node *n = parse_unary(p, true);
    for (int chain = 0; jj_is_op(p, TWO('*', '*')); count(p, &chain)) {
        p->t++;
        n = join(p, JJ_N_MATH, TWO('*', '*'), n, NULL);
        n->b = parse_unary(p, true);
    }
    return n;
}

static jj_node *parse_product(jj_parser *p)
{
    jj_node *n = parse_power(p);
    for (int chain = 0;
         jj_is_op(p, '*') || jj_is_op(p, '/') || jj_is_op(p, TWO('/', '/')) || jj_is_op(p, '%');
         count(p, &chain)) {
        n = join(p, JJ_N_MATH, p->t->op, n, NULL);
        p->t++;
        n->b = parse_power(p);
    }
    return n;
}

static jj_node *parse_concat(jj_parser *p)
{
    jj_node *n = parse_product(p);
    if (!jj_is_op(p, '~'))
        return n;
    jj_node *all = join(p, JJ_N_CONCAT, 0, n, NULL);
    for (; jj_skip_op(p, '~'); n = n->next)
        n->next = parse_product(p);
    return all;
}

static jj_node *parse_sum(jj_parser *p)
{
    jj_node *n = parse_concat(p);
    for (int chain = 0; jj_is_op(p, '+') || jj_is_op(p, '-'); count(p, &chain)) {
        n = join(p, JJ_N_MATH, p->t->op, n, NULL);
        p->t++;
        n->b = parse_concat(p);
    }
    return n;
}

/* The comparison at this place, 0 for none: its operator, 'i' for in, 'n' for not in. */
static int comparison(jj_parser *p)
{
    static const int OPS[] = {
        TWO('=', '='), TWO('!', '='), '>', '<', TWO('>', '='), TWO('<', '=')
    };
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
        if (jj_skip_op(p, OPS[i]))
            return OPS[i];
    if (jj_skip_name(p, "in"))
        return 'i';
    jj_token *next = p->t + 1;
    if (!jj_is_name(p, "not") || next->kind != JJ_NAME || !jj_same(next->v, "in"))
        return 0;
    p->t += 2;
    return 'n';
}

static jj_node *parse_compare(jj_parser *p)
{
    jj_node *first = parse_sum(p), *n = NULL, **end = NULL;
    int op;
    while ((op = comparison(p)) != 0) {
        if (!n) {
            n = join(p, JJ_N_COMPARE, 0, first, NULL);
            end = &n->b;
        }
        *end = join(p, JJ_N_ARG, op, NULL, NULL);
        (*end)->a = parse_sum(p);
        end = &(*end)->next;
    }
    return n ? n : first;
}

static jj_node *parse_not(jj_parser *p)
{
    if (!jj_is_name(p, "not"))
        return parse_compare(p);
    jj_enter(p->h, JJ_MAX_NEST);
    jj_node *n = jj_node_new(p, JJ_N_NOT);
    p->t++;
    n->a = parse_not(p);
    p->h->depth--;
    return n;
}

static jj_node *parse_or(jj_parser *p)
{
    jj_node *n = NULL;
    for (int chain = 0; !n || jj_skip_name(p, "or"); count(p, &chain)) {
        jj_node *all = NULL;
        for (int inner = 0; !all || jj_skip_name(p, "and"); count(p, &inner)) {
            jj_node *one = parse_not(p);
            all = all ? join(p, JJ_N_AND, 0, all, one) : one;
        }
        n = n ? join(p, JJ_N_OR, 0, n, all) : all;
    }
    return n;
}

jj_node *jj_parse_expression(jj_parser *p, bool cond)
{
    jj_enter(p->h, JJ_MAX_NEST);
    jj_node *n = parse_or(p);
    for (int chain = 0; cond && jj_skip_name(p, "if"); count(p, &chain)) {
        n = join(p, JJ_N_COND, 0, NULL, n);
        n->a = parse_or(p);
        if (jj_skip_name(p, "else"))
            n->c = jj_parse_expression(p, true);
    }
    p->h->depth--;
    return n;
}

static bool is_tuple_end(const jj_parser *p)
{
    return p->t->kind == JJ_VAR_END || p->t->kind == JJ_BLOCK_END || jj_is_op(p, ')') ||
           jj_is_name(p, "recursive");
}

jj_node *jj_parse_tuple(jj_parser *p, bool cond, bool parentheses)
{
    jj_node *first = NULL, **end = &first;
    bool tuple = false;
    while (!is_tuple_end(p)) {
        *end = jj_parse_expression(p, cond);
        end = &(*end)->next;
        if (!jj_skip_op(p, ','))
            break;
        tuple = true;
    }
    if (!first && !parentheses)
        jj_unexpected(p, "an expression");
    return first && !tuple ? first : join(p, JJ_N_TUPLE, 0, first, NULL);
}
