/*
** tok_normalize.c - the normalizers: Prepend, Replace, the Unicode forms, Sequence.
*/
#include "tok_normalize.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- read ---- */

static int take_text(const tok_file *f, const json_t *v, const char *where, const char *field,
                     char to[TOK_MAX_REPLACED], size_t *n)
{
    const char *s = json_string_value(json_object_get(v, field));
    *n = json_string_length(json_object_get(v, field));
    if (!s || *n > TOK_MAX_REPLACED)
        return TOK_FAIL(f, "%s.%s: must be a string of at most %d bytes; " TOK_REMEDY, where, field,
                        TOK_MAX_REPLACED);
    memcpy(to, s, *n);
    return 0;
}

static int take_replace(tok_normalizer *p, const tok_file *f, const json_t *v)
{
    const json_t *pattern = json_object_get(v, "pattern");
    const char *s;
    if (json_object_get(pattern, "Regex"))
        return TOK_FAIL(f, "%s",
                        "normalizer.pattern: only a String is supported for Replace; " TOK_REMEDY);
    if (tok_string(f, pattern, "normalizer.pattern", "String", &s, &p->n_from) != 0)
        return -1;
    if (take_text(f, pattern, "normalizer.pattern", "String", p->from, &p->n_from) != 0)
        return -1;
    return take_text(f, v, "normalizer", "content", p->to, &p->n_to);
}

static int take_step(tok_normalizer *p, const tok_file *f, const json_t *v)
{
    static const char *const forms[] = { "NFC", "NFD", "NFKC", "NFKD" };
    if (tok_is_type(v, "Prepend")) {
        p->kind = TOK_PREPEND;
        return take_text(f, v, "normalizer", "prepend", p->to, &p->n_to);
    }
    if (tok_is_type(v, "Replace")) {
        p->kind = TOK_REPLACE;
        return take_replace(p, f, v);
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (tok_is_type(v, forms[i])) {
            p->kind = (tok_rewrite)(TOK_NFC + i);
            return 0;
        }
    return tok_refuse_type(f, "normalizer", v);
}

int tok_normalizers_open(tok_normalizers *p, const tok_file *f, const json_t *v)
{
    *p = (tok_normalizers){ 0 };
    if (tok_parts(f, v, "normalizer", "normalizers", &p->n) != 0)
        return -1;
    if (p->n > TOK_MAX_NORMALIZERS)
        return TOK_FAIL(f, "normalizer: %zu steps: at most %d", p->n, TOK_MAX_NORMALIZERS);
    for (size_t i = 0; i < p->n; i++)
        if (take_step(&p->step[i], f, tok_part(v, "normalizers", i)) != 0)
            return -1;
    return 0;
}

/* ---- text with its origin ---- */

static bool grow_origin(tok_normal *t, size_t n)
{
    if (!t->origin || n + 1 <= t->cap)
        return true;
    size_t cap = n + 1 > 2 * t->cap ? n + 1 : 2 * t->cap, *grown = NULL;
    if (cap <= SIZE_MAX / sizeof *grown)
        grown = realloc(t->origin, cap * sizeof *grown);
    if (!grown)
        return false;
    t->origin = grown;
    t->cap = cap;
    return true;
}

/* Puts n bytes; from: the origin of each, or NULL: all have the one 'at'. */
static bool put(tok_normal *t, const char *s, size_t n, const size_t *from, size_t at)
{
    size_t before = t->text.n;
    if (!tok_bytes_put(&t->text, s, n) || !grow_origin(t, t->text.n))
        return false;
    for (size_t i = 0; t->origin && i < n; i++)
        t->origin[before + i] = from ? from[i] : at;
    return true;
}

void tok_normal_free(tok_normal *t)
{
    free(t->text.at);
    free(t->origin);
    *t = (tok_normal){ 0 };
}

/* ---- Prepend, Replace ---- */

static const size_t *origin_of(const tok_normal *t, size_t i)
{
    return t->origin ? t->origin + i : NULL;
}

static size_t start_of(const tok_normal *t, size_t i)
{
    return t->origin ? t->origin[i] : 0;
}

static bool copy(const tok_normal *in, size_t begin, size_t end, tok_normal *out)
{
    return put(out, in->text.at + begin, end - begin, origin_of(in, begin), 0);
}

static bool prepend(const tok_normalizer *p, const tok_normal *in, tok_normal *out)
{
    if (in->text.n > 0 && !put(out, p->to, p->n_to, NULL, start_of(in, 0)))
        return false;
    return copy(in, 0, in->text.n, out);
}

static bool replace(const tok_normalizer *p, const tok_normal *in, tok_normal *out)
{
    const char *s = in->text.at, *end = s + in->text.n;
    size_t at = 0;
    for (;;) {
        const char *next = p->n_from == 1
                               ? memchr(s + at, p->from[0], (size_t)(end - s) - at)
                               : memmem(s + at, (size_t)(end - s) - at, p->from, p->n_from);
        size_t here = next ? (size_t)(next - s) : in->text.n;
        if (!copy(in, at, here, out))
            return false;
        if (!next)
            return true;
        if (!put(out, p->to, p->n_to, NULL, start_of(in, here)))
            return false;
        at = here + p->n_from;
    }
}

/* ---- the Unicode forms ---- */

/* Code points decomposed, one behind the other. */
typedef struct points {
    utf8proc_int32_t *at;
    size_t n, cap;
} points;

static int class_of(utf8proc_int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Merges two neighbouring sorted runs; equal classes keep their order. */
static void merge_runs(const utf8proc_int32_t *a, size_t half, size_t n, utf8proc_int32_t *to)
{
    size_t i = 0, j = half;
    for (size_t k = 0; k < n; k++)
        to[k] = j == n || (i < half && class_of(a[i]) <= class_of(a[j])) ? a[i++] : a[j++];
}

/* Sorts n marks by class, stably; room: n more. The order must not cost the square of n. */
static void sort_marks(utf8proc_int32_t *a, size_t n, utf8proc_int32_t *room)
{
    if (n < 2)
        return;
    size_t half = n / 2;
    sort_marks(a, half, room);
    sort_marks(a + half, n - half, room);
    merge_runs(a, half, n, room);
    memcpy(a, room, n * sizeof *a);
}

/* Marks behind a character come in the order of their classes. */
static bool order_marks(points *p)
{
    size_t most = 0, begin = 0;
    for (size_t i = 0; i <= p->n; i++)
        if (i == p->n || class_of(p->at[i]) == 0) {
            most = i - begin > most ? i - begin : most;
            begin = i + 1;
        }
    if (most < 2)
        return true;
    utf8proc_int32_t *room = malloc(most * sizeof *room);
    if (!room)
        return false;
    begin = 0;
    for (size_t i = 0; i <= p->n; i++)
        if (i == p->n || class_of(p->at[i]) == 0) {
            sort_marks(p->at + begin, i > begin ? i - begin : 0, room);
            begin = i + 1;
        }
    free(room);
    return true;
}

static bool decompose_one(points *p, utf8proc_int32_t c, utf8proc_option_t how)
{
    int unused = 0;
    for (;;) {
        utf8proc_ssize_t n = utf8proc_decompose_char(
            c, p->at + p->n, (utf8proc_ssize_t)(p->cap - p->n), how, &unused);
        if (n >= 0 && (size_t)n <= p->cap - p->n) {
            p->n += (size_t)n;
            return true;
        }
        size_t cap = p->cap * 2 + (n > 0 ? (size_t)n : 0);
        utf8proc_int32_t *grown = n < 0 ? NULL : realloc(p->at, cap * sizeof *grown);
        if (!grown)
            return false;
        p->at = grown;
        p->cap = cap;
    }
}

static bool put_points(const points *p, size_t from, tok_normal *out)
{
    for (size_t i = 0; i < p->n; i++) {
        utf8proc_uint8_t c[4];
        utf8proc_ssize_t n = utf8proc_encode_char(p->at[i], c);
        if (!put(out, (const char *)c, (size_t)n, NULL, from))
            return false;
    }
    return true;
}

static bool put_form(tok_rewrite kind, const char *s, size_t n, size_t from, tok_normal *out)
{
    utf8proc_option_t how = UTF8PROC_DECOMPOSE, join = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    points p = { .cap = n + 8 };
    if (kind == TOK_NFKC || kind == TOK_NFKD)
        how |= UTF8PROC_COMPAT;
    p.at = p.cap <= SIZE_MAX / sizeof *p.at ? malloc(p.cap * sizeof *p.at) : NULL;
    bool done = p.at != NULL;
    for (size_t i = 0; done && i < n; i += tok_utf8_len(s[i]))
        done = decompose_one(&p, tok_utf8_get(s + i), how);
    done = done && order_marks(&p);
    if (done && (kind == TOK_NFC || kind == TOK_NFKC))
        p.n = (size_t)utf8proc_normalize_utf32(p.at, (utf8proc_ssize_t)p.n, join);
    done = done && put_points(&p, from, out);
    free(p.at);
    return done;
}

/* Does the form leave this character alone, whatever lies behind it but marks? */
static bool is_plain(tok_rewrite kind, char lead)
{
    return (unsigned char)lead < (kind == TOK_NFC ? 0xcc : 0x80); /* U+0300 is cc 80 */
}

/* Plain characters are copied; the others are rewritten with the plain one before them. */
static bool rewrite_form(tok_rewrite kind, const tok_normal *in, tok_normal *out)
{
    const char *s = in->text.at;
    size_t n = in->text.n, at = 0;
    while (at < n) {
        size_t last = at, i = at;
        for (; i < n && is_plain(kind, s[i]); i += tok_utf8_len(s[i]))
            last = i;
        if (i == n)
            return copy(in, at, n, out);
        if (!copy(in, at, last, out))
            return false;
        while (i < n && !is_plain(kind, s[i]))
            i += tok_utf8_len(s[i]);
        if (!put_form(kind, s + last, i - last, start_of(in, last), out))
            return false;
        at = i;
    }
    return true;
}

/* ---- run ---- */

static bool run_step(const tok_normalizer *p, const tok_normal *in, tok_normal *out)
{
    bool done = tok_bytes_reserve(&out->text, in->text.n + 16);
    if (done && in->origin) {
        out->origin = malloc((in->text.n + 1) * sizeof *out->origin);
        out->cap = in->text.n + 1;
        done = out->origin;
    }
    if (!done)
        return false;
    if (p->kind == TOK_PREPEND)
        done = prepend(p, in, out);
    else if (p->kind == TOK_REPLACE)
        done = replace(p, in, out);
    else
        done = rewrite_form(p->kind, in, out);
    if (done && out->origin)
        out->origin[out->text.n] = in->origin[in->text.n];
    return done;
}

static bool start(const char *s, size_t n, size_t base, bool with_origin, tok_normal *t)
{
    if (!tok_bytes_reserve(&t->text, n) || !tok_bytes_put(&t->text, s, n))
        return false;
    if (!with_origin)
        return true;
    t->origin = n < SIZE_MAX / sizeof *t->origin ? malloc((n + 1) * sizeof *t->origin) : NULL;
    t->cap = n + 1;
    for (size_t i = 0; t->origin && i <= n; i++)
        t->origin[i] = base + i;
    return t->origin;
}

bool tok_normalizers_run(const tok_normalizers *p, const char *s, size_t n, size_t base,
                         bool with_origin, tok_normal *out)
{
    bool done = start(s, n, base, with_origin, out);
    for (size_t i = 0; done && i < p->n; i++) {
        tok_normal next = { 0 };
        done = run_step(&p->step[i], out, &next);
        tok_normal_free(out);
        *out = next;
    }
    return done;
}
