/*
** jinja_text.c - strings by characters, their marks, and how values print.
**
** Strings are UTF-8; positions and lengths that a template sees count characters. Marks say
** byte by byte what came from the user, and every function here carries them along.
*/
#include "jinja_inner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

int32_t jj_char(const char *p, size_t n, size_t *size)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)n, &c);
    *size = k > 0 ? (size_t)k : 1;
    return k > 0 ? c : (unsigned char)*p;
}

size_t jj_length(jj_heap *h, jj_value s)
{
    size_t chars = 0;
    jj_charge(h, s.s.n);
    for (size_t i = 0; i < s.s.n; i++)
        chars += ((unsigned char)s.s.p[i] & 0xc0) != 0x80;
    return chars;
}

size_t jj_offset(jj_value s, size_t chars)
{
    size_t at = 0;
    for (; at < s.s.n; at++)
        if (((unsigned char)s.s.p[at] & 0xc0) != 0x80 && chars-- == 0)
            break;
    return at;
}

jj_value jj_part(jj_value s, size_t begin, size_t end)
{
    s.s.p += begin;
    s.s.mask = s.s.mask ? s.s.mask + begin : NULL;
    s.s.n = end - begin;
    return s;
}

bool jj_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Is the character of k bytes at p one of 'chars', or white where there are none? */
static bool is_one_of(const char *p, size_t k, jj_value chars)
{
    if (chars.kind != JJ_STRING) {
        size_t size;
        return jj_is_space(jj_char(p, k, &size));
    }
    for (size_t i = 0, size; i < chars.s.n; i += size) {
        jj_char(chars.s.p + i, chars.s.n - i, &size);
        if (size == k && memcmp(chars.s.p + i, p, k) == 0)
            return true;
    }
    return false;
}

jj_value jj_strip(jj_heap *h, jj_value s, jj_value chars, bool left, bool right)
{
    size_t begin = 0, end = s.s.n, k, cost = 8 + (chars.kind == JJ_STRING ? chars.s.n : 0);
    while (left && begin < end) {
        jj_char(s.s.p + begin, end - begin, &k);
        if (!is_one_of(s.s.p + begin, k, chars))
            break;
        begin += k;
        jj_charge(h, cost);
    }
    while (right && end > begin) {
        for (k = 1; k < end - begin && ((unsigned char)s.s.p[end - k] & 0xc0) == 0x80; k++)
            ;
        if (!is_one_of(s.s.p + end - k, k, chars))
            break;
        end -= k;
        jj_charge(h, cost);
    }
    return jj_part(s, begin, end);
}

size_t jj_find(jj_value s, jj_value what, size_t from)
{
    if (from > s.s.n || what.s.n > s.s.n - from)
        return SIZE_MAX;
    if (what.s.n == 0)
        return from;
    const char *at = memmem(s.s.p + from, s.s.n - from, what.s.p, what.s.n);
    return at ? (size_t)(at - s.s.p) : SIZE_MAX;
}

/* ---- putting text together ---- */

static void reserve(jj_heap *h, jj_buf *b, size_t n)
{
    if (n > JJ_MAX_OUT - b->n)
        jj_raise(h, "a text of more than %d MiB", JJ_MAX_OUT >> 20);
    jj_charge(h, n);
    if (b->n + n <= b->cap)
        return;
    size_t cap = b->cap > 0 ? b->cap * 2 : 32;
    cap = cap < b->n + n ? b->n + n : cap;
    b->p = jj_grow(h, b->p, b->n, cap);
    b->mask = jj_grow(h, b->mask, b->n, cap);
    b->cap = cap;
}

void jj_put(jj_heap *h, jj_buf *b, const char *p, size_t n, bool user)
{
    if (n == 0)
        return;
    reserve(h, b, n);
    memcpy(b->p + b->n, p, n);
    memset(b->mask + b->n, user, n);
    b->n += n;
}

void jj_put_value(jj_heap *h, jj_buf *b, jj_value s)
{
    size_t at = b->n;
    jj_put(h, b, s.s.p, s.s.n, s.user);
    if (s.s.mask && s.s.n > 0)
        memcpy(b->mask + at, s.s.mask, s.s.n);
}

jj_value jj_finish(jj_buf *b)
{
    jj_value v = jj_str(b->n > 0 ? b->p : "", b->n);
    v.user = b->n > 0 && b->mask[0];
    if (b->n > 0 && memchr(b->mask, !b->mask[0], b->n))
        v.s.mask = b->mask;
    return v;
}

jj_value jj_concat(jj_heap *h, jj_value a, jj_value b)
{
    jj_buf to = { 0 };
    reserve(h, &to, a.s.n);
    reserve(h, &to, b.s.n);
    jj_put_value(h, &to, a);
    jj_put_value(h, &to, b);
    return jj_finish(&to);
}

jj_value jj_escape(jj_heap *h, jj_value s)
{
    static const char SPECIAL[] = "<>&'\"";
    static const char *const ESCAPED[] = { "&lt;", "&gt;", "&amp;", "&#39;", "&#34;" };
    jj_buf b = { 0 };
    for (size_t i = 0; i < s.s.n && !s.safe; i++) {
        const char *at = memchr(SPECIAL, s.s.p[i], sizeof SPECIAL - 1);
        const char *to = at ? ESCAPED[at - SPECIAL] : NULL;
        if (to)
            jj_put(h, &b, to, strlen(to), s.s.mask ? s.s.mask[i] : s.user);
        else
            jj_put_value(h, &b, jj_part(s, i, i + 1));
    }
    s = s.safe ? s : jj_finish(&b);
    s.safe = true;
    return s;
}

/* ---- how values print ---- */

/* As Python's repr: the fewest digits that read back as the same number. */
size_t jj_print_float(char *to, size_t n, double f)
{
    char digits[40];
    int precision = 0;
    if (isnan(f) || isinf(f))
        return (size_t)snprintf(to, n, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
    do
        snprintf(digits, sizeof digits, "%.*e", precision, f);
    while (precision++ < 17 && strtod(digits, NULL) != f);
    int power = atoi(strchr(digits, 'e') + 1);
    if (power < -4 || power >= 16)
        return (size_t)snprintf(to, n, "%s", digits);
    int places = precision - 1 - power;
    return (size_t)snprintf(to, n, "%.*f", places > 1 ? places : 1, f);
}

static bool is_printable(int32_t c)
{
    if (c < 0x80)
        return c >= 0x20 && c < 0x7f;
    utf8proc_category_t k = utf8proc_category(c);
    return k != UTF8PROC_CATEGORY_CN && k != UTF8PROC_CATEGORY_CC && k != UTF8PROC_CATEGORY_CF &&
           k != UTF8PROC_CATEGORY_CO && k != UTF8PROC_CATEGORY_CS && k != UTF8PROC_CATEGORY_ZL &&
           k != UTF8PROC_CATEGORY_ZP && k != UTF8PROC_CATEGORY_ZS;
}

static void repr_string(jj_heap *h, jj_buf *b, jj_value s)
{
    bool single = s.s.n > 0 && memchr(s.s.p, '\'', s.s.n);
    char quote = single && !memchr(s.s.p, '"', s.s.n) ? '"' : '\'';
    jj_put(h, b, &quote, 1, s.user);
    for (size_t i = 0, k; i < s.s.n; i += k) {
        char t[16];
        int32_t c = jj_char(s.s.p + i, s.s.n - i, &k);
        bool user = s.s.mask ? s.s.mask[i] : s.user;
        if (c == quote || c == '\\')
            snprintf(t, sizeof t, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(t, sizeof t, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (is_printable(c))
            snprintf(t, sizeof t, "%.*s", (int)k, s.s.p + i);
        else
            snprintf(t, sizeof t,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     (unsigned)c);
        jj_put(h, b, t, strlen(t), user);
    }
    jj_put(h, b, &quote, 1, s.user);
}

static void repr_list(jj_heap *h, jj_buf *b, jj_value v)
{
    static const char *const OPEN[] = { "[",           "(", NULL, "dict_keys([", "dict_values([",
                                        "dict_items([" };
    static const char *const CLOSE[] = { "]", ")", NULL, "])", "])", "])" };
    const jj_list *l = v.list;
    if (l->type == JJ_RANGE || l->type == JJ_LAZY)
        jj_raise(h, "printing a %s is not supported: make it a list first", jj_type(v));
    jj_put(h, b, OPEN[l->type], strlen(OPEN[l->type]), v.user);
    for (size_t i = 0; i < l->n; i++) {
        jj_put(h, b, ", ", i > 0 ? 2 : 0, v.user);
        jj_repr(h, b, l->v[i]);
    }
    jj_put(h, b, ",", l->type == JJ_TUPLE && l->n == 1, v.user);
    jj_put(h, b, CLOSE[l->type], strlen(CLOSE[l->type]), v.user);
}

static void repr_dict(jj_heap *h, jj_buf *b, jj_value v)
{
    jj_put(h, b, "{", 1, v.user);
    for (size_t i = 0; i < v.dict->n; i++) {
        jj_put(h, b, ", ", i > 0 ? 2 : 0, v.user);
        jj_repr(h, b, v.dict->e[i].key);
        jj_put(h, b, ": ", 2, v.user);
        jj_repr(h, b, v.dict->e[i].value);
    }
    jj_put(h, b, "}", 1, v.user);
}

void jj_repr(jj_heap *h, jj_buf *b, jj_value v)
{
    if (v.kind == JJ_STRING) {
        repr_string(h, b, v);
    } else if (v.kind == JJ_LIST || v.kind == JJ_DICT) {
        jj_enter(h, JJ_MAX_DEPTH);
        (v.kind == JJ_LIST ? repr_list : repr_dict)(h, b, v);
        h->depth--;
    } else if (v.kind == JJ_UNDEFINED) {
        jj_put(h, b, "Undefined", 9, v.user);
    } else {
        jj_put_value(h, b, jj_text(h, v));
    }
}

jj_value jj_text(jj_heap *h, jj_value v)
{
    char t[400];
    size_t n = 0;
    jj_buf b = { 0 };
    switch (v.kind) {
    case JJ_STRING:
        return v;
    case JJ_ABSENT:
    case JJ_UNDEFINED:
        break;
    case JJ_NONE:
        n = (size_t)snprintf(t, sizeof t, "None");
        break;
    case JJ_BOOL:
        n = (size_t)snprintf(t, sizeof t, v.b ? "True" : "False");
        break;
    case JJ_INT:
        n = (size_t)snprintf(t, sizeof t, "%lld", (long long)v.i);
        break;
    case JJ_FLOAT:
        n = jj_print_float(t, sizeof t, v.f);
        break;
    case JJ_LIST:
    case JJ_DICT:
        jj_repr(h, &b, v);
        break;
    default:
        jj_raise(h, "printing a %s is not supported", jj_type(v));
    }
    jj_put(h, &b, t, n, v.user);
    return jj_finish(&b);
}

/* ---- upper and lower case ---- */

/* Capitals of characters that become several, as Unicode's SpecialCasing lists them. */
static const struct {
    int32_t from, to[3];
} CAPITALS[] = {
    { 0xdf, { 'S', 'S', 0 } },          { 0x149, { 0x2bc, 'N', 0 } },
    { 0x1f0, { 'J', 0x30c, 0 } },       { 0x390, { 0x399, 0x308, 0x301 } },
    { 0x3b0, { 0x3a5, 0x308, 0x301 } }, { 0x587, { 0x535, 0x552, 0 } },
    { 0xfb00, { 'F', 'F', 0 } },        { 0xfb01, { 'F', 'I', 0 } },
    { 0xfb02, { 'F', 'L', 0 } },        { 0xfb03, { 'F', 'F', 'I' } },
    { 0xfb04, { 'F', 'F', 'L' } },      { 0xfb05, { 'S', 'T', 0 } },
    { 0xfb06, { 'S', 'T', 0 } },
};

static void put_char(jj_heap *h, jj_buf *b, int32_t c, bool user)
{
    utf8proc_uint8_t u[4];
    utf8proc_ssize_t k = utf8proc_encode_char(c, u);
    jj_put(h, b, (const char *)u, (size_t)k, user);
}

static bool is_cased(int32_t c)
{
    return utf8proc_tolower(c) != c || utf8proc_toupper(c) != c;
}

static void put_capital(jj_heap *h, jj_buf *b, int32_t c, bool title, bool user)
{
    for (size_t i = 0; i < sizeof CAPITALS / sizeof *CAPITALS; i++)
        if (CAPITALS[i].from == c) {
            for (int k = 0; k < 3 && CAPITALS[i].to[k]; k++) {
                int32_t to = CAPITALS[i].to[k];
                put_char(h, b, title && k > 0 ? utf8proc_tolower(to) : to, user);
            }
            return;
        }
    put_char(h, b, title ? utf8proc_totitle(c) : utf8proc_toupper(c), user);
}

/* A capital sigma at a word's end has a small letter of its own. */
static bool is_final_sigma(jj_value s, size_t at)
{
    size_t k, before = at;
    while (before > 0 && ((unsigned char)s.s.p[--before] & 0xc0) == 0x80)
        ;
    if (at == 0 || !is_cased(jj_char(s.s.p + before, at - before, &k)))
        return false;
    return at + 2 >= s.s.n || !is_cased(jj_char(s.s.p + at + 2, s.s.n - at - 2, &k));
}

jj_value jj_recase(jj_heap *h, jj_value s, char how)
{
    jj_buf b = { 0 };
    bool first = true;
    for (size_t i = 0, k; i < s.s.n; i += k) {
        int32_t c = jj_char(s.s.p + i, s.s.n - i, &k);
        bool user = s.s.mask ? s.s.mask[i] : s.user;
        if (how == 'u' || (how != 'l' && first))
            put_capital(h, &b, c, how != 'u', user);
        else if (c == 0x3a3 && is_final_sigma(s, i))
            put_char(h, &b, 0x3c2, user);
        else if (c == 0x130)
            jj_put(h, &b, "i\xcc\x87", 3, user);
        else
            put_char(h, &b, utf8proc_tolower(c), user);
        first = how == 't' && !is_cased(c);
    }
    return jj_finish(&b);
}
