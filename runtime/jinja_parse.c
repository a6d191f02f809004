/*
** jinja_parse.c - statements of a template, and what is known to be wrong before it runs.
*/
#include "jinja_inner.h"

static jj_node *parse_body(jj_parser *p, const char *const *ends);

jj_node *jj_node_new(jj_parser *p, jj_node_kind kind)
{
    jj_node *n = jj_alloc(p->h, sizeof *n);
    n->kind = kind;
    n->line = p->h->line = p->t->line;
    return n;
}

bool jj_is_op(const jj_parser *p, int op)
{
    return p->t->kind == JJ_OP && p->t->op == op;
}

bool jj_is_name(const jj_parser *p, const char *name)
{
    return p->t->kind == JJ_NAME && jj_same(p->t->v, name);
}

bool jj_skip_op(jj_parser *p, int op)
{
    bool is = jj_is_op(p, op);
    p->t += is;
    return is;
}

bool jj_skip_name(jj_parser *p, const char *name)
{
    bool is = jj_is_name(p, name);
    p->t += is;
    return is;
}

void jj_unexpected(jj_parser *p, const char *wanted)
{
    const jj_token *t = p->t;
    p->h->line = t->line;
    if (t->kind == JJ_OP && t->op > 0xff)
        jj_raise(p->h, "unexpected '%c%c': expected %s", t->op >> 8, t->op & 0xff, wanted);
    if (t->kind == JJ_OP)
        jj_raise(p->h, "unexpected '%c': expected %s", t->op, wanted);
    if (t->kind == JJ_NAME)
        jj_raise(p->h, "unexpected '%.*s': expected %s", (int)t->v.s.n, t->v.s.p, wanted);
    jj_raise(p->h, "unexpected %s: expected %s",
             t->kind == JJ_EOF                           ? "end of the template"
             : t->kind == JJ_VAR_END                     ? "}}"
             : t->kind == JJ_BLOCK_END                   ? "%}"
             : t->kind == JJ_TEXT                        ? "string"
             : t->kind == JJ_WHOLE || t->kind == JJ_REAL ? "number"
                                                         : "text",
             wanted);
}

void jj_expect_op(jj_parser *p, int op)
{
    char wanted[4] = { '\'', (char)op, '\'', '\0' };
    if (!jj_skip_op(p, op))
        jj_unexpected(p, wanted);
}

jj_value jj_expect_name(jj_parser *p)
{
    if (p->t->kind != JJ_NAME)
        jj_unexpected(p, "a name");
    char c = p->t->v.s.p[0];
    if (c >= '0' && c <= '9')
        jj_unexpected(p, "a name");
    return (p->t++)->v;
}

static void expect(jj_parser *p, jj_token_kind kind, const char *wanted)
{
    if (p->t->kind != kind)
        jj_unexpected(p, wanted);
    p->t++;
}

/* ---- names: a call of one that nothing makes is an error before anything runs ---- */

static unsigned hash(jj_value name)
{
    unsigned h = 5381;
    for (size_t i = 0; i < name.s.n; i++)
        h = h * 33 + (unsigned char)name.s.p[i];
    return h % 256;
}

static bool is_noted(jj_parser *p, jj_name *const *set, jj_value name)
{
    for (const jj_name *n = set[hash(name)]; n; n = n->next) {
        jj_charge(p->h, 16);
        if (n->name.s.n == name.s.n && memcmp(n->name.s.p, name.s.p, name.s.n) == 0)
            return true;
    }
    return false;
}

/* line < 0: a method of that line. */
void jj_note(jj_parser *p, jj_name **set, jj_value name, int line)
{
    if (is_noted(p, set, name))
        return;
    jj_name *n = jj_alloc(p->h, sizeof *n);
    *n = (jj_name){ name, line, set[hash(name)] };
    set[hash(name)] = n;
}

static void check_calls(jj_parser *p)
{
    const jj_name *first = NULL;
    for (int i = 0; i < 256; i++)
        for (const jj_name *n = p->called[i]; n; n = n->next) {
            bool known = is_noted(p, p->known, n->name) || jj_same(n->name, "caller") ||
                         (n->line > 0 && jj_lookup(jj_functions, n->name));
            int line = n->line < 0 ? -n->line : n->line;
            if (!known && (!first || line < (first->line < 0 ? -first->line : first->line)))
                first = n;
        }
    if (!first)
        return;
    p->h->line = first->line < 0 ? -first->line : first->line;
    jj_raise(p->h, "%s '%.*s' is not supported", first->line < 0 ? "method" : "function",
             (int)first->name.s.n, first->name.s.p);
}

/* ---- targets and parameters ---- */

static jj_node *parse_one_target(jj_parser *p, bool attributes)
{
    jj_enter(p->h, JJ_MAX_NEST);
    jj_node *n;
    if (jj_skip_op(p, '(')) {
        n = jj_parse_target(p, false);
        jj_expect_op(p, ')');
    } else {
        static const char *const RESERVED[] = { "true", "false", "none", "True", "False",
                                                "None", "loop",  "not",  "and",  "or",
                                                "if",   "is",    "in" };
        n = jj_node_new(p, JJ_N_NAME);
        n->value = jj_expect_name(p);
        for (size_t i = 0; i < sizeof RESERVED / sizeof *RESERVED; i++)
            if (jj_same(n->value, RESERVED[i]))
                jj_raise(p->h, "cannot assign to '%s'", RESERVED[i]);
        if (attributes && jj_skip_op(p, '.')) {
            jj_node *attr = jj_node_new(p, JJ_N_ATTR);
            attr->a = n;
            attr->value = jj_expect_name(p);
            n = attr;
        }
        jj_note(p, p->known, n->value, n->line);
    }
    p->h->depth--;
    return n;
}

jj_node *jj_parse_target(jj_parser *p, bool attributes)
{
    jj_node *first = parse_one_target(p, attributes), *last = first;
    if (!jj_is_op(p, ','))
        return first;
    jj_node *tuple = jj_node_new(p, JJ_N_TUPLE);
    tuple->a = first;
    while (jj_skip_op(p, ',') && (p->t->kind == JJ_NAME || jj_is_op(p, '(')) &&
           !jj_is_name(p, "in")) {
        last->next = parse_one_target(p, attributes);
        last = last->next;
    }
    return tuple;
}

static jj_node *parse_parameters(jj_parser *p)
{
    jj_node *first = NULL, **end = &first;
    bool defaults = false;
    jj_expect_op(p, '(');
    while (!jj_is_op(p, ')')) {
        if (first)
            jj_expect_op(p, ',');
        jj_node *n = parse_one_target(p, false);
        if (n->kind != JJ_N_NAME)
            jj_unexpected(p, "a name");
        if (jj_skip_op(p, '='))
            n->a = jj_parse_expression(p, true);
        else if (defaults)
            jj_raise(p->h, "parameter '%.*s' has no default, the one before has", (int)n->value.s.n,
                     n->value.s.p);
        defaults = n->a != NULL;
        *end = n;
        end = &n->next;
    }
    p->t++;
    return first;
}

/* ---- statements ---- */

static jj_node *parse_set(jj_parser *p)
{
    static const char *const END[] = { "endset", NULL };
    jj_node *n = jj_node_new(p, JJ_N_SET);
    n->a = jj_parse_target(p, true);
    if (jj_skip_op(p, '=')) {
        n->b = jj_parse_tuple(p, true, false);
        return n;
    }
    n->kind = JJ_N_SET_BLOCK;
    n->b = jj_parse_filters(p, NULL, false);
    n->body = parse_body(p, END);
    p->t++;
    return n;
}

static jj_node *parse_if(jj_parser *p)
{
    static const char *const ENDS[] = { "elif", "else", "endif", NULL };
    jj_node *n = jj_node_new(p, JJ_N_IF), *at = n;
    for (;;) {
        at->a = jj_parse_tuple(p, false, false);
        at->body = parse_body(p, ENDS);
        if (!jj_skip_name(p, "elif"))
            break;
        at->other = jj_node_new(p, JJ_N_IF);
        at->op = 1; /* other is the next test */
        at = at->other;
    }
    if (jj_skip_name(p, "else"))
        at->other = parse_body(p, ENDS + 2);
    p->t++;
    return n;
}

static jj_node *parse_for(jj_parser *p)
{
    static const char *const ENDS[] = { "else", "endfor", NULL };
    jj_node *n = jj_node_new(p, JJ_N_FOR);
    n->a = jj_parse_target(p, false);
    if (!jj_skip_name(p, "in"))
        jj_unexpected(p, "'in'");
    n->b = jj_parse_tuple(p, false, false);
    if (jj_skip_name(p, "if"))
        n->c = jj_parse_expression(p, true);
    if (jj_is_name(p, "recursive"))
        jj_raise(p->h, "'recursive' loops are not supported");
    p->loops++;
    n->body = parse_body(p, ENDS);
    p->loops--;
    if (jj_skip_name(p, "else"))
        n->other = parse_body(p, ENDS + 1);
    p->t++;
    return n;
}

/* The body of a macro, or of a block that is called as one. */
static void parse_macro_body(jj_parser *p, jj_node *n, const char *end)
{
    const char *const ends[] = { end, NULL };
    int loops = p->loops;
    bool varargs = p->varargs, kwargs = p->kwargs;
    p->loops = 0;
    p->varargs = p->kwargs = false;
    n->body = parse_body(p, ends);
    n->varargs = p->varargs;
    n->kwargs = p->kwargs;
    p->loops = loops;
    p->varargs = varargs;
    p->kwargs = kwargs;
    p->t++;
}

static jj_node *parse_macro(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_MACRO);
    n->value = parse_one_target(p, false)->value;
    if (n->value.kind != JJ_STRING)
        jj_unexpected(p, "a macro's name");
    n->a = parse_parameters(p);
    parse_macro_body(p, n, "endmacro");
    return n;
}

static jj_node *parse_call_block(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_CALL_BLOCK);
    n->value = jj_str("caller", 6);
    if (jj_is_op(p, '('))
        n->a = parse_parameters(p);
    n->b = jj_parse_expression(p, true);
    if (n->b->kind != JJ_N_CALL)
        jj_raise(p->h, "{%% call %%} needs a call");
    parse_macro_body(p, n, "endcall");
    return n;
}

static jj_node *parse_filter_block(jj_parser *p)
{
    static const char *const END[] = { "endfilter", NULL };
    jj_node *n = jj_node_new(p, JJ_N_FILTER_BLOCK);
    n->a = jj_parse_filters(p, NULL, true);
    n->body = parse_body(p, END);
    p->t++;
    return n;
}

static jj_node *parse_with(jj_parser *p)
{
    static const char *const END[] = { "endwith", NULL };
    jj_node *n = jj_node_new(p, JJ_N_WITH), **end = &n->a;
    while (p->t->kind != JJ_BLOCK_END) {
        if (n->a)
            jj_expect_op(p, ',');
        jj_node *set = jj_node_new(p, JJ_N_SET);
        set->a = parse_one_target(p, false);
        jj_expect_op(p, '=');
        set->b = jj_parse_expression(p, true);
        *end = set;
        end = &set->next;
    }
    n->body = parse_body(p, END);
    p->t++;
    return n;
}

static jj_node *parse_generation(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_GENERATION);
    parse_macro_body(p, n, "endgeneration");
    return n;
}

static jj_node *parse_jump(jj_parser *p, jj_node_kind kind, const char *name)
{
    if (p->loops == 0)
        jj_raise(p->h, "'%s' outside of a loop", name);
    return jj_node_new(p, kind);
}

static jj_node *parse_break(jj_parser *p)
{
    return parse_jump(p, JJ_N_BREAK, "break");
}

static jj_node *parse_continue(jj_parser *p)
{
    return parse_jump(p, JJ_N_CONTINUE, "continue");
}

static jj_node *parse_print(jj_parser *p)
{
    jj_node *n = jj_node_new(p, JJ_N_PRINT);
    n->a = jj_parse_tuple(p, true, false);
    return n;
}

static jj_node *parse_statement(jj_parser *p)
{
    static const struct {
        const char *name;
        jj_node *(*parse)(jj_parser *p);
    } STATEMENTS[] = {
        { "if", parse_if },           { "set", parse_set },
        { "for", parse_for },         { "macro", parse_macro },
        { "call", parse_call_block }, { "filter", parse_filter_block },
        { "with", parse_with },       { "generation", parse_generation },
        { "break", parse_break },     { "continue", parse_continue },
    };
    for (size_t i = 0; i < sizeof STATEMENTS / sizeof *STATEMENTS; i++)
        if (jj_skip_name(p, STATEMENTS[i].name))
            return STATEMENTS[i].parse(p);
    p->h->line = p->t->line;
    if (p->t->kind == JJ_NAME)
        jj_raise(p->h, "{%% %.*s %%} is not supported here", (int)p->t->v.s.n, p->t->v.s.p);
    jj_unexpected(p, "a statement");
}

/* Up to a block that begins with one of the names in 'ends'; NULL: the end of the template. */
static jj_node *parse_until(jj_parser *p, const char *const *ends)
{
    jj_node *first = NULL, **end = &first;
    for (; p->t->kind != JJ_EOF; end = &(*end)->next) {
        if (p->t->kind == JJ_DATA) {
            *end = jj_node_new(p, JJ_N_TEXT);
            (*end)->value = (p->t++)->v;
        } else if (p->t->kind == JJ_VAR) {
            p->t++;
            *end = parse_print(p);
            expect(p, JJ_VAR_END, "}}");
        } else {
            p->t++;
            for (const char *const *e = ends; e && *e; e++)
                if (jj_is_name(p, *e))
                    return first;
            *end = parse_statement(p);
            expect(p, JJ_BLOCK_END, "%}");
        }
    }
    if (ends)
        jj_unexpected(p, ends[1] && ends[2] ? ends[2] : ends[1] ? ends[1] : ends[0]);
    return first;
}

/* The block's end, then its body; the token at the end is the name that ended it. */
static jj_node *parse_body(jj_parser *p, const char *const *ends)
{
    jj_enter(p->h, JJ_MAX_NEST);
    jj_skip_op(p, ':');
    expect(p, JJ_BLOCK_END, "%}");
    jj_node *body = parse_until(p, ends);
    p->h->depth--;
    return body;
}

jj_node *jj_parse(jj_heap *h, const char *text, size_t n)
{
    jj_parser p = { .h = h };
    p.t = jj_lex(h, text, n).t;
    jj_node *all = parse_until(&p, NULL);
    check_calls(&p);
    return all;
}
