/*
** jinja_inner.h - what the interpreter's files share: memory, values, nodes, calls.
**
** Memory is one heap for a parse and one for a render, freed whole. jj_raise leaves by
** longjmp to the heap's owner; nothing between holds anything else.
*/
#ifndef JINJA_INNER_H
#define JINJA_INNER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "jinja.h"

#define JJ_MAX_TEXT (1 << 20)    /* bytes of a template */
#define JJ_MAX_OUT (64 << 20)    /* bytes of one rendered text */
#define JJ_MAX_HEAP (1ull << 30) /* bytes of a parse or a render */
#define JJ_MAX_WORK (1ull << 30) /* about the bytes touched: some seconds */
#define JJ_MAX_NEST 100          /* of statements and expressions in a template */
#define JJ_MAX_DEPTH 400         /* of calls and values in a render */
#define JJ_MAX_RANGE 100000      /* as the reference's sandbox */

/* ---- memory and errors: jinja_heap.c ---- */

typedef struct jj_heap {
    jmp_buf failed;
    struct jj_chunk *chunks;
    char *at;
    size_t left;
    uint64_t total, work;
    const char *name;
    int line, depth;
    char *err;
    size_t n_err;
} jj_heap;

void *jj_alloc(jj_heap *h, size_t n); /* zeroed */
void *jj_grow(jj_heap *h, void *old, size_t old_n, size_t n);
void jj_heap_free(jj_heap *h);
void jj_charge(jj_heap *h, uint64_t work);
void jj_enter(jj_heap *h, int most); /* one deeper; the caller takes it back from h->depth */
_Noreturn void jj_raise(jj_heap *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void jj_raise_bare(jj_heap *h, const char *text, size_t n);

/* ---- values ---- */

typedef enum jj_kind {
    JJ_ABSENT, /* an argument that was not given */
    JJ_UNDEFINED,
    JJ_NONE,
    JJ_BOOL,
    JJ_INT,
    JJ_FLOAT,
    JJ_STRING,
    JJ_LIST,
    JJ_DICT,
    JJ_NAMESPACE,
    JJ_FUNCTION,
    JJ_METHOD,
    JJ_MACRO,
    JJ_LOOP,
} jj_kind;

typedef struct jj_string {
    const char *p;
    size_t n;
    const unsigned char *mask; /* (n) 1: the user's byte; NULL: all as value.user says */
} jj_string;

typedef struct jj_value {
    jj_kind kind;
    bool user; /* came from the user, or is computed from such */
    bool safe; /* a string that the reference would not escape */
    union {
        bool b;
        int64_t i;
        double f;
        jj_string s; /* of JJ_UNDEFINED: why it is */
        struct jj_list *list;
        struct jj_dict *dict; /* also of JJ_NAMESPACE */
        const struct jj_entry *entry;
        struct jj_method *method;
        struct jj_macro *macro;
        struct jj_loop *loop;
    };
} jj_value;

typedef enum jj_list_type {
    JJ_PLAIN,
    JJ_TUPLE,
    JJ_RANGE,
    JJ_KEYS,
    JJ_VALUES,
    JJ_ITEMS,
    JJ_LAZY /* a generator: can be walked once, has no length and is always true */
} jj_list_type;

typedef struct jj_list {
    jj_value *v;
    size_t n, cap;
    jj_list_type type;
} jj_list;

typedef struct jj_pair {
    jj_value key, value;
} jj_pair;

typedef struct jj_dict {
    jj_pair *e; /* (n) in the order of insertion */
    size_t n, cap;
} jj_dict;

typedef struct jj_method {
    jj_value self;
    const struct jj_entry *entry;
} jj_method;

typedef struct jj_scope {
    jj_dict vars;
    struct jj_scope *up;
} jj_scope;

typedef struct jj_macro {
    const struct jj_node *node;
    jj_scope *scope;
} jj_macro;

typedef struct jj_loop {
    jj_list *over;
    size_t at;
    int depth;
} jj_loop;

/* Text being put together, each byte with its mark. */
typedef struct jj_buf {
    char *p;
    unsigned char *mask;
    size_t n, cap;
} jj_buf;

static inline jj_value jj_bool(bool b)
{
    return (jj_value){ .kind = JJ_BOOL, .b = b };
}

static inline jj_value jj_int(int64_t i)
{
    return (jj_value){ .kind = JJ_INT, .i = i };
}

static inline jj_value jj_float(double f)
{
    return (jj_value){ .kind = JJ_FLOAT, .f = f };
}

static inline jj_value jj_none(void)
{
    return (jj_value){ .kind = JJ_NONE };
}

static inline jj_value jj_str(const char *p, size_t n)
{
    return (jj_value){ .kind = JJ_STRING, .s = { .p = p, .n = n } };
}

static inline bool jj_is_number(jj_value v)
{
    return v.kind == JJ_BOOL || v.kind == JJ_INT || v.kind == JJ_FLOAT;
}

static inline double jj_double(jj_value v)
{
    return v.kind == JJ_FLOAT ? v.f : v.kind == JJ_INT ? (double)v.i : (double)v.b;
}

static inline bool jj_same(jj_value v, const char *text)
{
    return v.kind == JJ_STRING && v.s.n == strlen(text) && memcmp(v.s.p, text, v.s.n) == 0;
}

/* ---- values: jinja_value.c ---- */

jj_value jj_undefined(jj_heap *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
jj_value jj_list_new(jj_heap *h, jj_list_type type);
void jj_list_add(jj_heap *h, jj_list *l, jj_value v);
jj_value jj_dict_new(jj_heap *h);
jj_value *jj_dict_find(jj_heap *h, const jj_dict *d, jj_value key);
void jj_dict_put(jj_heap *h, jj_dict *d, jj_value key, jj_value value);
const char *jj_type(jj_value v); /* as Python calls it */
bool jj_truth(jj_value v);
bool jj_equal(jj_heap *h, jj_value a, jj_value b);
int jj_order(jj_heap *h, jj_value a, jj_value b, const char *op); /* raises if there is none */
bool jj_contains(jj_heap *h, jj_value in, jj_value what);
/* What a loop walks over: a list's own entries, keys, characters. */
jj_list *jj_walk(jj_heap *h, jj_value v);
jj_value jj_import(jj_heap *h, json_t *json, bool user);

/* ---- text: jinja_text.c ---- */

int32_t jj_char(const char *p, size_t n, size_t *size); /* the character at p of n > 0 bytes */
size_t jj_length(jj_heap *h, jj_value s);               /* in characters */
size_t jj_offset(jj_value s, size_t chars);             /* bytes of the first 'chars' characters */
jj_value jj_part(jj_value s, size_t begin, size_t end); /* bytes [begin, end) */
/* chars: a string, or anything else for all that is white. */
jj_value jj_strip(jj_heap *h, jj_value s, jj_value chars, bool left, bool right);
bool jj_is_space(int32_t c);
void jj_put(jj_heap *h, jj_buf *b, const char *p, size_t n, bool user);
void jj_put_value(jj_heap *h, jj_buf *b, jj_value s); /* a string with its marks */
jj_value jj_finish(jj_buf *b);
jj_value jj_concat(jj_heap *h, jj_value a, jj_value b);
jj_value jj_escape(jj_heap *h, jj_value s); /* safe for HTML */
jj_value jj_text(jj_heap *h, jj_value v);   /* str() */
void jj_repr(jj_heap *h, jj_buf *b, jj_value v);
jj_value jj_recase(jj_heap *h, jj_value s, char how); /* 'l', 'u', 'c'apitalise, 't'itle */
size_t jj_print_float(char *to, size_t n, double f);
size_t jj_find(jj_value s, jj_value what, size_t from); /* byte, or SIZE_MAX */

/* ---- the template: jinja_lex.c, jinja_parse.c, jinja_expr.c ---- */

typedef enum jj_token_kind {
    JJ_DATA,
    JJ_VAR,
    JJ_VAR_END,
    JJ_BLOCK,
    JJ_BLOCK_END,
    JJ_NAME,
    JJ_TEXT,
    JJ_WHOLE,
    JJ_REAL,
    JJ_OP,
    JJ_EOF
} jj_token_kind;

typedef struct jj_token {
    jj_token_kind kind;
    int line;
    int op; /* one character, or the first << 8 | the second */
    jj_value v;
} jj_token;

typedef struct jj_tokens {
    jj_token *t; /* (n), the last is JJ_EOF */
    size_t n, cap;
} jj_tokens;

jj_tokens jj_lex(jj_heap *h, const char *text, size_t n);

typedef enum jj_node_kind {
    JJ_N_TEXT,
    JJ_N_PRINT,
    JJ_N_SET,
    JJ_N_SET_BLOCK,
    JJ_N_IF,
    JJ_N_FOR,
    JJ_N_MACRO,
    JJ_N_CALL_BLOCK,
    JJ_N_FILTER_BLOCK,
    JJ_N_WITH,
    JJ_N_GENERATION,
    JJ_N_BREAK,
    JJ_N_CONTINUE,
    JJ_N_CONST,
    JJ_N_NAME,
    JJ_N_LIST,
    JJ_N_TUPLE,
    JJ_N_DICT,
    JJ_N_ATTR,
    JJ_N_ITEM,
    JJ_N_SLICE,
    JJ_N_CALL,
    JJ_N_FILTER,
    JJ_N_TEST,
    JJ_N_NOT,
    JJ_N_NEG,
    JJ_N_POS,
    JJ_N_AND,
    JJ_N_OR,
    JJ_N_COND,
    JJ_N_COMPARE,
    JJ_N_MATH,
    JJ_N_CONCAT,
    JJ_N_ARG
} jj_node_kind;

/*
** A node; lists of nodes are linked by next.
**
** text, const, name   value
** print               a
** set                 a target, b value;  set block: a target, b filters or NULL, body
** if                  a test, body, other
** for                 a target, b over, c filter or NULL, body, other
** macro, call block   value name, a parameters (names, a: default), b call, body
** filter block        a filters, body;  with: a list of set nodes, body;  generation: body
** list, tuple         a entries;  dict: a keys and values in turn
** attr                a object, value;  item: a object, b index;  slice: a, b, c or NULL
** call                a callee, b arguments (arg nodes: value name or absent, a)
** filter, test        a subject or NULL (a block's text), b arguments, entry
** not, neg, pos       a;  and, or, math: a, b;  cond: a test, b then, c else or NULL
** compare             a first, b list of arg nodes: op, a;  concat: a list
*/
typedef struct jj_node {
    jj_node_kind kind;
    int op, line;
    bool varargs, kwargs; /* of a macro: its body names them */
    jj_value value;
    struct jj_node *a, *b, *c, *body, *other, *next;
    const struct jj_entry *entry;
} jj_node;

typedef struct jj_name {
    jj_value name;
    int line;
    struct jj_name *next;
} jj_name;

typedef struct jj_parser {
    jj_heap *h;
    jj_token *t; /* the current token */
    int loops;   /* that break can leave */
    bool varargs, kwargs;
    jj_name *called[256], *known[256]; /* by a hash of the name */
} jj_parser;

jj_node *jj_parse(jj_heap *h, const char *text, size_t n);
jj_node *jj_node_new(jj_parser *p, jj_node_kind kind);
jj_node *jj_parse_expression(jj_parser *p, bool cond);
jj_node *jj_parse_tuple(jj_parser *p, bool cond, bool parentheses);
jj_node *jj_parse_target(jj_parser *p, bool attributes);
jj_node *jj_parse_filters(jj_parser *p, jj_node *subject, bool first);
bool jj_is_op(const jj_parser *p, int op);
bool jj_is_name(const jj_parser *p, const char *name);
bool jj_skip_op(jj_parser *p, int op);
bool jj_skip_name(jj_parser *p, const char *name);
void jj_expect_op(jj_parser *p, int op);
jj_value jj_expect_name(jj_parser *p);
_Noreturn void jj_unexpected(jj_parser *p, const char *wanted);
void jj_note(jj_parser *p, jj_name **set, jj_value name, int line);

/* ---- rendering: jinja_eval.c, jinja_exec.c ---- */

typedef struct jj_run {
    jj_heap heap;
    jj_scope *scope;
    jj_dict *globals;
    jj_buf *out;
    time_t now;
    bool now_fixed;
    int loops; /* around this point, for loop.depth */
} jj_run;

typedef enum jj_flow {
    JJ_ON,
    JJ_BREAK,
    JJ_CONTINUE
} jj_flow;

jj_value jj_eval(jj_run *r, const jj_node *n);
jj_flow jj_exec(jj_run *r, const jj_node *n);
jj_value jj_item(jj_run *r, jj_value of, jj_value index);    /* of[index] */
jj_value jj_attr(jj_run *r, jj_value of, jj_value name);     /* of.name */
jj_value jj_math(jj_run *r, int op, jj_value a, jj_value b); /* op: its characters */
/* op as in a comparison's node: its characters, 'i' for in, 'n' for not in. */
bool jj_compare(jj_run *r, int op, jj_value a, jj_value b);
/* The call of a {% call %} block, with its body as 'caller'. */
jj_value jj_eval_call_block(jj_run *r, const jj_node *call, jj_value caller);
jj_value jj_filter_block(jj_run *r, const jj_node *filters, jj_value text); /* or NULL */

/* ---- calls: jinja_call.c, jinja_filter.c, jinja_select.c, jinja_method.c, jinja_test.c ---- */

#define JJ_MAX_PARAMS 5

typedef struct jj_args {
    jj_value self;             /* what a filter, test or method is applied to */
    jj_value a[JJ_MAX_PARAMS]; /* as the entry's params name them; absent: JJ_ABSENT */
    const jj_value *pos;       /* (n_pos) as they were given */
    size_t n_pos;
    const jj_value *names, *named; /* (n_named) */
    size_t n_named;
} jj_args;

/*
** A filter, test, function or method. params: names, '?' behind those that may be missing; "*":
** call reads pos and named itself. unsafe: a method that changes its object, refused by the
** reference's sandbox.
*/
typedef struct jj_entry {
    const char *name, *params;
    jj_value (*call)(jj_run *r, jj_args *a);
} jj_entry;

extern const jj_entry jj_filters[], jj_tests[], jj_functions[];
extern const jj_entry jj_string_methods[], jj_list_methods[], jj_tuple_methods[], jj_dict_methods[],
    jj_loop_methods[];
extern const jj_entry *const jj_methods[]; /* all tables of methods, ended by NULL */

const jj_entry *jj_lookup(const jj_entry *table, jj_value name);
jj_value jj_call_entry(jj_run *r, const jj_entry *e, jj_args *a);
jj_value jj_call(jj_run *r, jj_value callee, jj_args *a);
jj_value jj_call_macro(jj_run *r, const jj_macro *m, jj_args *a);
int64_t jj_int_arg(jj_run *r, jj_value v, int64_t absent, const char *what);
jj_value jj_text_arg(jj_run *r, jj_value v, const char *what);
bool jj_is_unsafe(jj_value of, jj_value name); /* a method that would change its object */

/* 'type' says what: JJ_KEYS, JJ_VALUES, or tuples of both. */
jj_value jj_items(jj_run *r, const jj_dict *d, jj_list_type type);
jj_value jj_split_lines(jj_run *r, jj_value s, bool keep);
jj_value jj_replace(jj_heap *h, jj_value s, jj_value from, jj_value to, int64_t count);

/* ---- JSON: jinja_json.c ---- */

jj_value jj_filter_tojson(jj_run *r, jj_args *a);

/* ---- filters that choose and order: jinja_select.c ---- */

jj_value jj_filter_map(jj_run *r, jj_args *a);
jj_value jj_filter_select(jj_run *r, jj_args *a);
jj_value jj_filter_reject(jj_run *r, jj_args *a);
jj_value jj_filter_selectattr(jj_run *r, jj_args *a);
jj_value jj_filter_rejectattr(jj_run *r, jj_args *a);
jj_value jj_filter_sort(jj_run *r, jj_args *a);
jj_value jj_filter_dictsort(jj_run *r, jj_args *a);
jj_value jj_filter_unique(jj_run *r, jj_args *a);
jj_value jj_filter_min(jj_run *r, jj_args *a);
jj_value jj_filter_max(jj_run *r, jj_args *a);
jj_value jj_filter_sum(jj_run *r, jj_args *a);
/* The value at a path like "function.name" of v; 'absent' in place of what is undefined. */
jj_value jj_at_path(jj_run *r, jj_value v, jj_value path, jj_value absent);

#endif
