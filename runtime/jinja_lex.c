/*
** jinja_lex.c - a template's text to tokens: data, tags, and what is inside tags.
**
** Whitespace control happens here: "-" strips, a block or comment alone on its line takes the
** line's indentation (lstrip_blocks) and the newline behind it (trim_blocks), "+" keeps them.
*/
#include "jinja_inner.h"

#include <errno.h>
#include <stdlib.h>

typedef struct lexer {
    jj_heap *h;
    const char *text; /* (n) */
    size_t n, at;
    bool line_start; /* the last token ended a line */
    jj_tokens out;
} lexer;

static jj_token *add(lexer *x, jj_token_kind kind)
{
    jj_tokens *o = &x->out;
    if (o->n == o->cap) {
        size_t cap = o->cap > 0 ? o->cap * 2 : 64;
        o->t = jj_grow(x->h, o->t, o->n * sizeof *o->t, cap * sizeof *o->t);
        o->cap = cap;
    }
    o->t[o->n] = (jj_token){ .kind = kind, .line = x->h->line };
    return &o->t[o->n++];
}

static bool starts(const lexer *x, size_t at, const char *what)
{
    size_t k = strlen(what);
    return at <= x->n && x->n - at >= k && memcmp(x->text + at, what, k) == 0;
}

static void advance(lexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        x->h->line += x->text[x->at] == '\n';
}

static size_t skip_space(const lexer *x, size_t at)
{
    size_t k;
    while (at < x->n && jj_is_space(jj_char(x->text + at, x->n - at, &k)))
        at += k;
    return at;
}

/* Data up to 'end', where a tag with this sign begins. */
static void add_data(lexer *x, size_t end, char sign, bool lstrip)
{
    jj_value v = jj_str(x->text + x->at, end - x->at);
    if (sign == '-') {
        v = jj_strip(x->h, v, (jj_value){ 0 }, false, true);
    } else if (sign != '+' && lstrip) {
        size_t line = v.s.n;
        while (line > 0 && v.s.p[line - 1] != '\n')
            line--;
        jj_value last = jj_part(v, line, v.s.n);
        bool blank = jj_strip(x->h, last, (jj_value){ 0 }, true, false).s.n == 0;
        if ((line > 0 || x->line_start) && blank)
            v.s.n = line;
    }
    if (v.s.n > 0)
        add(x, JJ_DATA)->v = v;
    advance(x, end);
}

/* Behind a tag's end: "-" takes all whitespace, a plain block one newline. */
static void end_tag(lexer *x, size_t at, char sign, bool trim)
{
    if (sign == '-')
        at = skip_space(x, at);
    else if (sign != '+' && trim && at < x->n && x->text[at] == '\n')
        at++;
    x->line_start = at > 0 && x->text[at - 1] == '\n';
    advance(x, at);
}

static char sign_at(const lexer *x, size_t at)
{
    return at < x->n && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : '\0';
}

static void lex_comment(lexer *x)
{
    size_t from = x->at + 2 + (sign_at(x, x->at + 2) != '\0'), at = from;
    while (at < x->n && !starts(x, at, "#}"))
        at++;
    if (at >= x->n)
        jj_raise(x->h, "{# without #}");
    end_tag(x, at + 2, at > from ? sign_at(x, at - 1) : '\0', true);
}

/* The tag "{% NAME %}" at 'at', with signs: the byte behind its "%}", or 0. */
static size_t bare_tag(const lexer *x, size_t at, const char *name, char *sign)
{
    at += 2;
    at = skip_space(x, at + (sign_at(x, at) != '\0'));
    if (!starts(x, at, name))
        return 0;
    at = skip_space(x, at + strlen(name));
    *sign = sign_at(x, at);
    at += *sign != '\0';
    return starts(x, at, "%}") ? at + 2 : 0;
}

/* x->at is behind the whole "{% raw %}". */
static void lex_raw(lexer *x)
{
    for (size_t at = x->at; at < x->n; at++) {
        char sign;
        size_t end = starts(x, at, "{%") ? bare_tag(x, at, "endraw", &sign) : 0;
        if (end > 0) {
            add_data(x, at, sign_at(x, at + 2), true);
            end_tag(x, end, sign, true);
            return;
        }
    }
    jj_raise(x->h, "{%% raw %%} without {%% endraw %%}");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void lex_number(lexer *x)
{
    char digits[64];
    size_t k = 0, at = x->at;
    bool real = false, power = false, dotted = at > 0 && x->text[at - 1] == '.';
    for (; at < x->n && k < sizeof digits - 1; at++) {
        char c = x->text[at];
        bool next = at + 1 < x->n && is_digit(x->text[at + 1]);
        bool sign = at + 2 < x->n && (x->text[at + 1] == '-' || x->text[at + 1] == '+');
        if (c == '.' && next && !real && !dotted)
            real = true;
        else if ((c == 'e' || c == 'E') && !dotted && !power &&
                 (next || (sign && is_digit(x->text[at + 2]))))
            real = power = true;
        else if ((c == '-' || c == '+') && (digits[k - 1] == 'e' || digits[k - 1] == 'E'))
            ;
        else if (c == '_' && next)
            continue;
        else if (!is_digit(c))
            break;
        digits[k++] = c;
    }
    digits[k] = '\0';
    if ((at < x->n && is_word(x->text[at])) || (!real && k > 1 && digits[0] == '0'))
        jj_raise(x->h, "number '%s%c...' is not supported: write it in decimal", digits,
                 at < x->n ? x->text[at] : ' ');
    errno = 0;
    jj_value v = real ? jj_float(strtod(digits, NULL)) : jj_int(strtoll(digits, NULL, 10));
    if (k == sizeof digits - 1 || (!real && errno == ERANGE))
        jj_raise(x->h, "number %s is too large", digits);
    add(x, real ? JJ_REAL : JJ_WHOLE)->v = v;
    x->at = at;
}

static void put_utf8(lexer *x, jj_buf *b, uint32_t c)
{
    char u[4];
    size_t k = 0;
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        jj_raise(x->h, "a string's \\u%04x is not a character", c);
    if (c < 0x80) {
        u[k++] = (char)c;
    } else {
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        u[k++] = (char)((0xff << (7 - more) & 0xff) | (int)(c >> 6 * more));
        while (more-- > 0)
            u[k++] = (char)(0x80 | (c >> 6 * more & 0x3f));
    }
    jj_put(x->h, b, u, k, false);
}

/* A character by number: 'most' digits of a base. All of them must be there, but in octal. */
static void put_number(lexer *x, jj_buf *b, const char **p, const char *end, int base, int most)
{
    uint32_t c = 0;
    int k = 0;
    for (; k < most && *p < end; k++, (*p)++) {
        int d = **p >= 'a' ? **p - 'a' + 10 : **p >= 'A' ? **p - 'A' + 10 : **p - '0';
        if (d < 0 || d >= base)
            break;
        c = c * (uint32_t)base + (uint32_t)d;
    }
    if (base == 16 && k < most)
        jj_raise(x->h, "a string's \\x, \\u or \\U has too few hexadecimal digits");
    put_utf8(x, b, c);
}

static void put_escape(lexer *x, jj_buf *b, const char **p, const char *end)
{
    static const char FROM[] = "ntr\\'\"abfv", TO[] = "\n\t\r\\'\"\a\b\f\v";
    char c = *(*p)++;
    const char *simple = memchr(FROM, c, sizeof FROM - 1);
    if (simple) {
        jj_put(x->h, b, TO + (simple - FROM), 1, false);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        put_number(x, b, p, end, 16, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c < '8') {
        (*p)--;
        put_number(x, b, p, end, 8, 3);
    } else if (c == 'N') {
        jj_raise(x->h, "a string's \\N{...} is not supported: write the character");
    } else if (c != '\n') { /* unknown ones stay as they are */
        jj_put(x->h, b, "\\", 1, false);
        jj_put(x->h, b, &c, 1, false);
    }
}

static void lex_string(lexer *x)
{
    size_t from = x->at + 1, at = from;
    bool escaped = false;
    for (; at < x->n && x->text[at] != x->text[x->at]; at++)
        if (x->text[at] == '\\') {
            escaped = true;
            at++;
        }
    if (at >= x->n)
        jj_raise(x->h, "a string without its closing %c", x->text[x->at]);
    jj_value v = jj_str(x->text + from, at - from);
    if (escaped) {
        jj_buf b = { 0 };
        const char *p = v.s.p, *end = p + v.s.n;
        while (p < end) {
            const char *stop = memchr(p, '\\', (size_t)(end - p));
            jj_put(x->h, &b, p, (size_t)((stop ? stop : end) - p), false);
            p = stop ? stop + 1 : end;
            if (stop)
                put_escape(x, &b, &p, end);
        }
        v = jj_finish(&b);
    }
    add(x, JJ_TEXT)->v = v;
    advance(x, at + 1);
}

/* Brackets still open inside a tag: "}}" does not end it then. */
typedef struct brackets {
    char open[JJ_MAX_NEST * 2];
    int n;
} brackets;

static void lex_operator(lexer *x, brackets *open)
{
    static const char TWO[][3] = { "//", "**", "==", "!=", ">=", "<=" };
    static const char ONE[] = "+-/*%~[](){}><=.:|,;";
    for (size_t i = 0; i < sizeof TWO / sizeof *TWO; i++)
        if (starts(x, x->at, TWO[i])) {
            add(x, JJ_OP)->op = TWO[i][0] << 8 | TWO[i][1];
            x->at += 2;
            return;
        }
    char c = x->text[x->at];
    if (!memchr(ONE, c, sizeof ONE - 1)) {
        size_t k;
        jj_char(x->text + x->at, x->n - x->at, &k);
        jj_raise(x->h, "unexpected character '%.*s'", (int)k, x->text + x->at);
    }
    if (c == '(' || c == '[' || c == '{') {
        if (open->n == (int)sizeof open->open)
            jj_raise(x->h, "nested more than %d deep", JJ_MAX_NEST);
        open->open[open->n++] = (char)(c == '(' ? ')' : c + 2);
    } else if (c == ')' || c == ']' || c == '}') {
        if (open->n == 0 || open->open[--open->n] != c)
            jj_raise(x->h, "unexpected '%c'", c);
    }
    add(x, JJ_OP)->op = c;
    x->at++;
}

/* The tag's end at this place: its length with a sign, or 0. */
static size_t tag_end(const lexer *x, bool block, char *sign)
{
    const char *end = block ? "%}" : "}}";
    *sign = sign_at(x, x->at);
    if (*sign == '+' && !block)
        return 0;
    size_t k = *sign != '\0';
    return starts(x, x->at + k, end) ? k + 2 : 0;
}

static void lex_inside(lexer *x, bool block)
{
    brackets open = { .n = 0 };
    for (;;) {
        char sign;
        size_t k = open.n == 0 ? tag_end(x, block, &sign) : 0;
        if (k > 0) {
            add(x, block ? JJ_BLOCK_END : JJ_VAR_END);
            end_tag(x, x->at + k, sign, block);
            return;
        }
        if (x->at >= x->n)
            jj_raise(x->h, "%s without %s", block ? "{%" : "{{", block ? "%}" : "}}");
        char c = x->text[x->at];
        size_t space = skip_space(x, x->at);
        if (space > x->at) {
            advance(x, space);
        } else if (is_digit(c)) {
            lex_number(x);
        } else if (is_word(c)) {
            size_t at = x->at;
            while (at < x->n && is_word(x->text[at]))
                at++;
            add(x, JJ_NAME)->v = jj_str(x->text + x->at, at - x->at);
            x->at = at;
        } else if (c == '"' || c == '\'') {
            lex_string(x);
        } else {
            lex_operator(x, &open);
        }
    }
}

static void lex_tag(lexer *x)
{
    char kind = x->text[x->at + 1], sign;
    size_t raw = kind == '%' ? bare_tag(x, x->at, "raw", &sign) : 0;
    if (kind == '#') {
        lex_comment(x);
    } else if (raw > 0 && sign != '+') {
        end_tag(x, raw, sign, false);
        lex_raw(x);
    } else {
        add(x, kind == '%' ? JJ_BLOCK : JJ_VAR);
        x->at += 2 + (sign_at(x, x->at + 2) != '\0');
        x->line_start = false;
        lex_inside(x, kind == '%');
    }
}

jj_tokens jj_lex(jj_heap *h, const char *text, size_t n)
{
    lexer x = { .h = h, .text = text, .n = n, .line_start = true };
    h->line = 1;
    while (x.at < n) {
        size_t at = x.at;
        while (at + 1 < n && !(text[at] == '{' && strchr("{%#", text[at + 1]) && text[at + 1]))
            at++;
        if (at + 1 >= n) {
            add_data(&x, n, '+', false);
            break;
        }
        add_data(&x, at, sign_at(&x, at + 2), text[at + 1] != '{');
        lex_tag(&x);
    }
    add(&x, JJ_EOF);
    return x.out;
}
