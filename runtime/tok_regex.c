/*
** tok_regex.c - Oniguruma's regular expressions, run by PCRE2 with its just-in-time compiler.
**
** The engines agree on what the known tokenizers use but for \s, which is rewritten: PCRE2's
** also has U+180E. Constructs that they read differently are refused by name, so that no text
** is ever cut in other places than the model was trained on.
*/
#include "tok_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "tok_text.h"

struct tok_regex {
    pcre2_general_context *general;
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    bool is_fast; /* compiled just in time */
};

enum {
    STACK_START = 32 << 10,
    STACK_MOST = 1 << 20
};

#define SPACES                                                                                   \
    "\\t-\\r\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}" \
    "\\x{3000}"

/* ---- from one engine's language to the other's ---- */

typedef struct rewriter {
    const char *s;
    size_t n, at;
    bool in_class; /* inside [] */
    size_t opened; /* where it began */
    const char *wrong;
    tok_bytes out;
} rewriter;

static bool put(rewriter *w, const char *s)
{
    return tok_bytes_put(&w->out, s, strlen(s));
}

static bool copy(rewriter *w, size_t n)
{
    bool done = tok_bytes_put(&w->out, w->s + w->at, n);
    w->at += n;
    return done;
}

/* An escape: letters that both read alike, signs, and \s. */
static bool rewrite_escape(rewriter *w)
{
    char c = w->at + 1 < w->n ? w->s[w->at + 1] : '\0';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (c == 's' || (c == 'S' && !w->in_class)) {
        w->at += 2;
        return put(w, w->in_class ? SPACES : c == 's' ? "[" SPACES "]" : "[^" SPACES "]");
    }
    if (c == '\0' || (letter && !strchr("pPrntfdDx", c)))
        w->wrong = "an escape that is not one of \\p \\P \\s \\S \\d \\D \\r \\n \\t \\f \\x";
    size_t n = w->at + 2 <= w->n ? 2 : 1;
    if (w->at + n < w->n && strchr("pPx", c) && w->s[w->at + n] == '{') /* a name, no count */
        while (w->at + n < w->n && w->s[w->at + n - 1] != '}')
            n++;
    return copy(w, n);
}

static bool rewrite_class(rewriter *w)
{
    char c = w->s[w->at];
    bool first = w->at == w->opened + 1 || (w->at == w->opened + 2 && w->s[w->at - 1] == '^');
    if (c == '[')
        w->wrong = "a [ inside [ ]";
    if (c == '&' && w->at + 1 < w->n && w->s[w->at + 1] == '&')
        w->wrong = "&& inside [ ]";
    if (c == ']' && first)
        w->wrong = "an empty [ ]";
    w->in_class = c != ']';
    return copy(w, 1);
}

static bool rewrite_one(rewriter *w)
{
    char c = w->s[w->at];
    if (c == '\\')
        return rewrite_escape(w);
    if (w->in_class)
        return rewrite_class(w);
    if (c == '^' || c == '$')
        w->wrong = "^ or $";
    if (c == '}' && w->at + 1 < w->n && w->s[w->at + 1] == '+')
        w->wrong = "}+";
    if (c == '(' && w->at + 2 < w->n && w->s[w->at + 1] == '?' &&
        !strchr(":=!>i<", w->s[w->at + 2]))
        w->wrong = "a group that is not one of (?: (?i: (?= (?! (?> (?<";
    if (c == '(' && w->at + 1 < w->n && w->s[w->at + 1] == '*')
        w->wrong = "(*";
    w->in_class = c == '[';
    w->opened = w->at;
    return copy(w, 1);
}

/* ---- compile ---- */

static void *get_memory(size_t n, void *unused)
{
    (void)unused;
    return malloc(n);
}

static void give_memory(void *p, void *unused)
{
    (void)unused;
    free(p);
}

static int compile(tok_regex *r, const tok_file *f, const char *where, const tok_bytes *pattern)
{
    PCRE2_SIZE at;
    int code;
    char why[128] = "";
    r->general = pcre2_general_context_create(get_memory, give_memory, NULL);
    pcre2_compile_context *how = r->general ? pcre2_compile_context_create(r->general) : NULL;
    if (!how)
        return tok_file_no_memory(f);
    r->code = pcre2_compile((PCRE2_SPTR)pattern->at, pattern->n,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, how);
    pcre2_compile_context_free(how);
    if (!r->code && code == PCRE2_ERROR_HEAP_FAILED)
        return tok_file_no_memory(f);
    if (!r->code) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return TOK_FAIL(f, "%s: not a regular expression: %s; " TOK_REMEDY, where, why);
    }
    r->is_fast = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE) == 0;
    r->data = pcre2_match_data_create_from_pattern(r->code, r->general);
    r->context = pcre2_match_context_create(r->general);
    r->stack = r->is_fast ? pcre2_jit_stack_create(STACK_START, STACK_MOST, r->general) : NULL;
    if (!r->data || !r->context || (r->is_fast && !r->stack))
        return tok_file_no_memory(f);
    if (r->stack)
        pcre2_jit_stack_assign(r->context, NULL, r->stack);
    return 0;
}

tok_regex *tok_regex_open(const tok_file *f, const char *where, const char *pattern, size_t n)
{
    rewriter w = { .s = pattern, .n = n };
    tok_regex *r = calloc(1, sizeof *r);
    bool done = r && put(&w, "");
    int rc;
    while (done && !w.wrong && w.at < n)
        done = rewrite_one(&w);
    if (!done)
        rc = tok_file_no_memory(f);
    else if (w.wrong)
        rc = TOK_FAIL(f, "%s has %s: not supported; " TOK_REMEDY, where, w.wrong);
    else
        rc = compile(r, f, where, &w.out);
    free(w.out.at);
    if (rc == 0)
        return r;
    tok_regex_close(r);
    return NULL;
}

void tok_regex_close(tok_regex *r)
{
    if (!r)
        return;
    pcre2_jit_stack_free(r->stack);
    pcre2_match_context_free(r->context);
    pcre2_match_data_free(r->data);
    pcre2_code_free(r->code);
    pcre2_general_context_free(r->general);
    free(r);
}

/* ---- match ---- */

int tok_regex_find(const tok_regex *r, const char *s, size_t n, size_t *begin, size_t *end)
{
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (r->is_fast)
        rc = pcre2_jit_match(r->code, (PCRE2_SPTR)s, n, *begin, PCRE2_NO_UTF_CHECK, r->data,
                             r->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(r->code, (PCRE2_SPTR)s, n, *begin, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         r->data, r->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0)
        return -1;
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(r->data);
    *begin = place[0];
    *end = place[1];
    return 1;
}
