/*
** jinja_exec.c - statements, macros, and a template from its text to a rendering.
*/
#include "jinja_inner.h"

#include <stdlib.h>
#include <utf8proc.h>
#include "infile.h"

struct jinja {
    jj_heap heap;
    char *name, *text;
    size_t n_text;
    jj_node *body;
    time_t now;
    bool now_fixed;
};

/* ---- scopes ---- */

static jj_scope *push_scope(jj_run *r, jj_scope *up)
{
    jj_scope *old = r->scope;
    r->scope = jj_alloc(&r->heap, sizeof *r->scope);
    r->scope->up = up;
    return old;
}

static void assign_attr(jj_run *r, const jj_node *target, jj_value v)
{
    jj_value ns = jj_eval(r, target->a);
    if (ns.kind != JJ_NAMESPACE)
        jj_raise(&r->heap, "cannot assign attribute '%.*s': '%.*s' is not a namespace",
                 (int)target->value.s.n, target->value.s.p, (int)target->a->value.s.n,
                 target->a->value.s.p);
    jj_dict_put(&r->heap, ns.dict, target->value, v);
}

static void assign(jj_run *r, const jj_node *target, jj_value v)
{
    if (target->kind == JJ_N_NAME) {
        jj_dict_put(&r->heap, &r->scope->vars, target->value, v);
    } else if (target->kind == JJ_N_ATTR) {
        assign_attr(r, target, v);
    } else {
        const jj_list *l = jj_walk(&r->heap, v);
        size_t i = 0, n = 0;
        for (const jj_node *t = target->a; t; t = t->next)
            n++;
        if (l->n != n)
            jj_raise(&r->heap, "%zu values for %zu names", l->n, n);
        for (const jj_node *t = target->a; t; t = t->next)
            assign(r, t, l->v[i++]);
    }
}

/* ---- blocks ---- */

/* Renders a body into a string, in a scope of its own. */
static jj_value capture(jj_run *r, const jj_node *body, jj_scope *up, jj_flow *flow)
{
    jj_buf text = { 0 }, *out = r->out;
    jj_scope *old = r->scope;
    if (up)
        push_scope(r, up);
    r->out = &text;
    *flow = jj_exec(r, body);
    r->out = out;
    r->scope = old;
    return jj_finish(&text);
}

static jj_flow exec_set(jj_run *r, const jj_node *n)
{
    jj_flow flow = JJ_ON;
    jj_value v;
    if (n->kind == JJ_N_SET_BLOCK) {
        v = capture(r, n->body, r->scope, &flow);
        if (flow != JJ_ON)
            return flow;
        v = jj_filter_block(r, n->b, v);
    } else {
        v = jj_eval(r, n->b);
    }
    r->heap.line = n->line;
    assign(r, n->a, v);
    return flow;
}

static jj_flow exec_if(jj_run *r, const jj_node *n)
{
    while (!jj_truth(jj_eval(r, n->a))) {
        if (!n->op)
            return jj_exec(r, n->other);
        n = n->other;
    }
    return jj_exec(r, n->body);
}

static jj_list *filter_items(jj_run *r, const jj_node *n, const jj_list *all)
{
    jj_list *some = jj_list_new(&r->heap, JJ_PLAIN).list;
    for (size_t i = 0; i < all->n; i++) {
        jj_scope *old = push_scope(r, r->scope);
        assign(r, n->a, all->v[i]);
        if (jj_truth(jj_eval(r, n->c)))
            jj_list_add(&r->heap, some, all->v[i]);
        r->scope = old;
    }
    return some;
}

static jj_flow exec_for(jj_run *r, const jj_node *n)
{
    jj_list *over = jj_walk(&r->heap, jj_eval(r, n->b));
    jj_flow flow = JJ_ON;
    if (n->c)
        over = filter_items(r, n, over);
    jj_value loop = { .kind = JJ_LOOP, .loop = jj_alloc(&r->heap, sizeof(jj_loop)) };
    *loop.loop = (jj_loop){ .over = over, .depth = ++r->loops };
    jj_scope *old = r->scope;
    for (size_t i = 0; i < over->n && flow != JJ_BREAK; i++) {
        loop.loop->at = i;
        push_scope(r, old);
        jj_charge(&r->heap, 64);
        jj_dict_put(&r->heap, &r->scope->vars, jj_str("loop", 4), loop);
        assign(r, n->a, over->v[i]);
        flow = jj_exec(r, n->body);
    }
    r->loops--;
    flow = JJ_ON;
    if (over->n == 0) {
        push_scope(r, old);
        flow = jj_exec(r, n->other);
    }
    r->scope = old;
    return flow;
}

static jj_flow exec_with(jj_run *r, const jj_node *n)
{
    jj_scope *outer = r->scope, *inner;
    push_scope(r, outer);
    inner = r->scope;
    for (const jj_node *set = n->a; set; set = set->next) {
        r->scope = outer;
        jj_value v = jj_eval(r, set->b);
        r->scope = inner;
        assign(r, set->a, v);
    }
    jj_flow flow = jj_exec(r, n->body);
    r->scope = outer;
    return flow;
}

static jj_value new_macro(jj_run *r, const jj_node *n)
{
    jj_value v = { .kind = JJ_MACRO, .macro = jj_alloc(&r->heap, sizeof(jj_macro)) };
    *v.macro = (jj_macro){ n, r->scope };
    return v;
}

/* ---- macros ---- */

static const jj_value *find_named(const jj_args *a, jj_value name)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (a->names[i].s.n == name.s.n && memcmp(a->names[i].s.p, name.s.p, name.s.n) == 0)
            return &a->named[i];
    return NULL;
}

static void bind_parameter(jj_run *r, const jj_node *p, const jj_args *a, size_t i)
{
    const jj_value *named = find_named(a, p->value);
    if (named && i < a->n_pos)
        jj_raise(&r->heap, "two values for parameter '%.*s'", (int)p->value.s.n, p->value.s.p);
    jj_value v = named          ? *named
                 : i < a->n_pos ? a->pos[i]
                 : p->a         ? jj_eval(r, p->a)
                                : jj_undefined(&r->heap, "parameter '%.*s' was not provided",
                                               (int)p->value.s.n, p->value.s.p);
    assign(r, p, v);
}

/* What the parameters do not take: varargs and kwargs, or an error. */
static void bind_rest(jj_run *r, const jj_node *n, const jj_args *a, size_t n_params)
{
    jj_heap *h = &r->heap;
    jj_value rest = jj_list_new(h, JJ_TUPLE), others = jj_dict_new(h);
    jj_charge(h, 16 * n_params * a->n_named);
    for (size_t i = n_params; i < a->n_pos; i++)
        jj_list_add(h, rest.list, a->pos[i]);
    for (size_t i = 0; i < a->n_named; i++) {
        const jj_node *p = n->a;
        for (; p; p = p->next)
            if (p->value.s.n == a->names[i].s.n &&
                memcmp(p->value.s.p, a->names[i].s.p, p->value.s.n) == 0)
                break;
        if (p)
            continue;
        if (jj_same(a->names[i], "caller"))
            jj_dict_put(h, &r->scope->vars, a->names[i], a->named[i]);
        else if (!n->kwargs)
            jj_raise(h, "macro '%.*s' takes no argument '%.*s'", (int)n->value.s.n, n->value.s.p,
                     (int)a->names[i].s.n, a->names[i].s.p);
        else
            jj_dict_put(h, others.dict, a->names[i], a->named[i]);
    }
    if (rest.list->n > 0 && !n->varargs)
        jj_raise(h, "macro '%.*s' takes at most %zu arguments, got %zu", (int)n->value.s.n,
                 n->value.s.p, n_params, a->n_pos);
    if (n->varargs)
        jj_dict_put(h, &r->scope->vars, jj_str("varargs", 7), rest);
    if (n->kwargs)
        jj_dict_put(h, &r->scope->vars, jj_str("kwargs", 6), others);
}

jj_value jj_call_macro(jj_run *r, const jj_macro *m, jj_args *a)
{
    size_t n_params = 0;
    int loops = r->loops;
    jj_flow flow;
    jj_scope *old = push_scope(r, m->scope);
    r->loops = 0;
    for (const jj_node *p = m->node->a; p; p = p->next)
        bind_parameter(r, p, a, n_params++);
    bind_rest(r, m->node, a, n_params);
    jj_value text = capture(r, m->node->body, NULL, &flow);
    r->scope = old;
    r->loops = loops;
    return text;
}

/* ---- statements ---- */

static void print(jj_run *r, jj_value v)
{
    jj_put_value(&r->heap, r->out, jj_text(&r->heap, v));
}

static jj_flow exec_one(jj_run *r, const jj_node *n)
{
    jj_flow flow = JJ_ON;
    jj_value v;
    switch (n->kind) {
    case JJ_N_TEXT:
        print(r, n->value);
        break;
    case JJ_N_PRINT:
        print(r, jj_eval(r, n->a));
        break;
    case JJ_N_SET:
    case JJ_N_SET_BLOCK:
        return exec_set(r, n);
    case JJ_N_IF:
        return exec_if(r, n);
    case JJ_N_FOR:
        return exec_for(r, n);
    case JJ_N_MACRO:
        jj_dict_put(&r->heap, &r->scope->vars, n->value, new_macro(r, n));
        break;
    case JJ_N_CALL_BLOCK:
        print(r, jj_eval_call_block(r, n->b, new_macro(r, n)));
        break;
    case JJ_N_FILTER_BLOCK:
        v = capture(r, n->body, r->scope, &flow);
        if (flow == JJ_ON)
            print(r, jj_filter_block(r, n->a, v));
        break;
    case JJ_N_WITH:
        return exec_with(r, n);
    case JJ_N_GENERATION:
        print(r, capture(r, n->body, r->scope, &flow));
        break;
    case JJ_N_BREAK:
        return JJ_BREAK;
    default:
        return JJ_CONTINUE;
    }
    return flow;
}

jj_flow jj_exec(jj_run *r, const jj_node *n)
{
    jj_flow flow = JJ_ON;
    jj_enter(&r->heap, JJ_MAX_DEPTH);
    for (; n && flow == JJ_ON; n = n->next) {
        jj_charge(&r->heap, 32);
        r->heap.line = n->line;
        flow = exec_one(r, n);
    }
    r->heap.depth--;
    return flow;
}

/* ---- a template ---- */

/* One kind of newline, and none at the end; in place. Returns the bytes left. */
static size_t fold_newlines(char *text, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n')
            continue;
        text[k++] = text[i] == '\r' ? '\n' : text[i];
    }
    return k > 0 && text[k - 1] == '\n' ? k - 1 : k;
}

static int check_text(const char *name, const char *text, size_t n_text, char *err, size_t n)
{
    int line = 1;
    if (n_text > JJ_MAX_TEXT)
        return infile_fail(err, n, "%s: %zu bytes: a template has at most %d", name, n_text,
                           JJ_MAX_TEXT);
    for (size_t i = 0; i < n_text;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                              (utf8proc_ssize_t)(n_text - i), &c);
        if (k <= 0)
            return infile_fail(err, n, "%s:%d: byte %zu: not UTF-8", name, line, i);
        line += c == '\n';
        i += (size_t)k;
    }
    return 0;
}

static void start_heap(jj_heap *h, const char *name, char *err, size_t n)
{
    if (n > 0)
        err[0] = '\0';
    h->name = name;
    h->err = err;
    h->n_err = n;
    h->line = 1;
}

static int parse_guarded(jinja *j, char *err, size_t n)
{
    start_heap(&j->heap, j->name, err, n);
    if (setjmp(j->heap.failed))
        return -1;
    j->body = jj_parse(&j->heap, j->text, j->n_text);
    return 0;
}

jinja *jinja_parse(const char *name, const char *text, size_t n_text, char *err, size_t n)
{
    if (check_text(name, text, n_text, err, n) != 0)
        return NULL;
    jinja *j = calloc(1, sizeof *j);
    if (j) {
        j->name = strdup(name);
        j->text = malloc(n_text + 1);
    }
    if (!j || !j->name || !j->text) {
        jinja_free(j);
        infile_fail(err, n, "%s: out of memory", name);
        return NULL;
    }
    if (n_text > 0)
        memcpy(j->text, text, n_text);
    j->n_text = fold_newlines(j->text, n_text);
    if (parse_guarded(j, err, n) == 0)
        return j;
    jinja_free(j);
    return NULL;
}

void jinja_free(jinja *j)
{
    if (!j)
        return;
    jj_heap_free(&j->heap);
    free(j->name);
    free(j->text);
    free(j);
}

void jinja_set_clock(jinja *j, time_t now)
{
    j->now = now;
    j->now_fixed = true;
}

static void import_globals(jj_run *r, json_t *from, bool user)
{
    jj_value all = from ? jj_import(&r->heap, from, user) : jj_none();
    for (size_t i = 0; all.kind == JJ_DICT && i < all.dict->n; i++)
        jj_dict_put(&r->heap, r->globals, all.dict->e[i].key, all.dict->e[i].value);
}

/* The text and its marks leave the heap. */
static void give(jj_run *r, const jj_buf *b, jinja_text *out)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += !b->mask[i] && (i == 0 || b->mask[i - 1]);
    out->text = malloc(b->n + 1);
    out->trusted = malloc((n > 0 ? n : 1) * sizeof *out->trusted);
    if (!out->text || !out->trusted)
        jj_raise(&r->heap, "out of memory");
    if (b->n > 0)
        memcpy(out->text, b->p, b->n);
    out->text[b->n] = '\0';
    out->n = b->n;
    for (size_t i = 0; i < b->n; i++) {
        if (b->mask[i])
            continue;
        if (i == 0 || b->mask[i - 1])
            out->trusted[out->n_trusted++].begin = i;
        out->trusted[out->n_trusted - 1].end = i + 1;
    }
}

static int render_guarded(jj_run *r, const jinja *j, json_t *given, json_t *user, jinja_text *out)
{
    jj_buf text = { 0 };
    if (setjmp(r->heap.failed))
        return -1;
    r->globals = jj_alloc(&r->heap, sizeof *r->globals);
    import_globals(r, given, false);
    import_globals(r, user, true);
    push_scope(r, NULL);
    r->out = &text;
    jj_exec(r, j->body);
    give(r, &text, out);
    return 0;
}

int jinja_render(const jinja *j, json_t *given, json_t *user, jinja_text *out, char *err, size_t n)
{
    jj_run r = { .now = j->now_fixed ? j->now : time(NULL), .now_fixed = j->now_fixed };
    *out = (jinja_text){ 0 };
    start_heap(&r.heap, j->name, err, n);
    int rc = render_guarded(&r, j, given, user, out);
    if (rc != 0)
        jinja_text_free(out);
    jj_heap_free(&r.heap);
    return rc;
}

void jinja_text_free(jinja_text *t)
{
    free(t->text);
    free(t->trusted);
    *t = (jinja_text){ 0 };
}
