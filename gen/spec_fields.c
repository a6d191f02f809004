/*
** spec_fields.c - a flat table checked against a table of fields.
**
** Three parts: how values and rules are put into words, the hint for a field that does
** not exist, and the check of one field. What fields say about each other is spec.c's.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_fields.h"

/* ---- messages ---- */

/* Fewest digits that give the same number back; "8.0" is told from "8", as in Lua. */
static void number_text(char *out, size_t n, double x)
{
    if (isnan(x)) {
        snprintf(out, n, "nan");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, n, "%.*g", digits, x);
        if (strtod(out, NULL) == x)
            break;
    }
    if (out[strspn(out, "-0123456789")] == '\0')
        snprintf(out + strlen(out), n - strlen(out), ".0");
}

static void quote_text(char *out, size_t n, const char *s)
{
    size_t i = 0;

    out[i++] = '"';
    for (; *s != '\0' && i < n - 6; s++)
        out[i++] = *s >= ' ' && *s <= '~' ? *s : '?';
    snprintf(out + i, n - i, "%s\"", *s != '\0' ? "..." : "");
}

void field_text(char *out, size_t n, const flat_entry *x)
{
    switch (x->type) {
    case FLAT_TABLE:
        snprintf(out, n, "{ ... }");
        break;
    case FLAT_TEXT:
        quote_text(out, n, x->s);
        break;
    case FLAT_INT:
        snprintf(out, n, "%lld", (long long)x->i);
        break;
    case FLAT_FLOAT:
        number_text(out, n, x->f);
        break;
    case FLAT_BOOL:
        snprintf(out, n, "%s", x->i ? "true" : "false");
        break;
    }
}

const flat_entry *field_value(const source *c, const char *path)
{
    for (int i = 0; i < c->values.n; i++) {
        if (strcmp(c->values.entry[i].path, path) == 0)
            return &c->values.entry[i];
    }
    return NULL;
}

int field_refuse(const source *c, const char *name, const char *text)
{
    const flat_entry *x = field_value(c, name);
    char value[80];

    if (x == NULL)
        return gen_fail(c->e, "%s: %s: missing; %s", c->path, name, text);
    field_text(value, sizeof value, x);
    return gen_fail(c->e, "%s: %s = %s: %s", c->path, name, value, text);
}

/* "must be "silu" or "gelu_tanh"" */
static void words_text(char *out, size_t n, const char *const *words)
{
    size_t len = (size_t)snprintf(out, n, "must be ");

    for (int i = 0; words[i] != NULL; i++) {
        const char *join = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        len += (size_t)snprintf(out + len, n - len, "%s\"%s\"", join, words[i]);
    }
}

/* What a field must be, from its row in the table. */
static void rule_text(char *out, size_t n, const field *f)
{
    char hi[32];

    number_text(hi, sizeof hi, f->hi);
    switch (f->type) {
    case WHOLE:
    case WHOLE64:
    case WHOLE_F:
        if (f->step > 1)
            snprintf(out, n, "must be a multiple of %d from %.0f to %.0f", f->step, f->lo, f->hi);
        else
            snprintf(out, n, "must be a whole number from %.0f to %.0f", f->lo, f->hi);
        break;
    case BYTES:
        snprintf(out, n, "must be a whole number of bytes from %.0f to %.0f", f->lo, f->hi);
        break;
    case RANGE:
        snprintf(out, n, "must be a number from %g to %g", f->lo, f->hi);
        break;
    case NUMBER:
        if (isinf(f->hi))
            snprintf(out, n, "must be a finite number above %.0f", f->lo);
        else
            snprintf(out, n, "must be a number above %.0f and below %s", f->lo, hi);
        break;
    case YES_NO:
        snprintf(out, n, "must be true or false");
        break;
    case CHOICE:
        words_text(out, n, f->words);
        break;
    case NAME:
        snprintf(out, n, "must be a name of a-z, 0-9 and _ in quotes");
        break;
    case TOKEN:
        snprintf(out, n, "must be a token id");
        break;
    case TENSOR:
        snprintf(out, n, "must be the name of a tensor in quotes");
        break;
    case TEXT:
        snprintf(out, n, "must be a text in quotes, and not empty");
        break;
    case TABLE:
        snprintf(out, n, "must be a table: { ... }");
        break;
    case LIST:
        snprintf(out, n, "must be { \"norm_qkv\", \"attend\", \"out_mlp\" }");
        break;
    case NUMBERS:
        snprintf(out, n, "must be a list of numbers");
        break;
    case IDS:
        snprintf(out, n, "must be a token id or a list of at most %d of them", MAX_EOS);
        break;
    }
}

int field_refuse_rule(const source *c, const field *f)
{
    const flat_entry *x = field_value(c, f->name);
    char text[160];

    rule_text(text, sizeof text, f);
    if (x != NULL && x->type == FLAT_FLOAT && f->type <= WHOLE_F) /* 1e6, 32.0: not whole to Lua */
        strcat(text, ", written without point or exponent");
    return field_refuse(c, f->name, text);
}

/* ---- unknown fields ---- */

/* Edit distance; names longer than the row are far away from everything. */
static int distance(const char *a, const char *b)
{
    enum {
        ROW = 64
    };
    int row[ROW + 1], n = (int)strlen(b);

    if (strlen(a) > ROW || n > ROW)
        return ROW;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1] != '\0'; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            best = corner + 1 < best ? corner + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

static const char *nearest(const source *c, const char *name)
{
    const char *best = NULL;
    int least = 2 + (int)strlen(name) / 4; /* a hint that is no help is worse than none */

    for (int i = 0; i < c->n_fields; i++) {
        int d = distance(name, c->fields[i].name);
        int d_hf = distance(name, c->fields[i].hf);
        d = d_hf < d ? d_hf : d;
        if (d < least) {
            least = d;
            best = c->fields[i].name;
        }
    }
    return best;
}

static bool is_item_of(const char *path, const field *f)
{
    size_t n = strlen(f->name);

    return (f->type == LIST || f->type == NUMBERS || f->type == IDS) &&
           strncmp(path, f->name, n) == 0 && path[n] == '[' && strchr(path + n, '.') == NULL;
}

static bool is_known(const source *c, const char *path)
{
    for (int i = 0; i < c->n_fields; i++) {
        if (strcmp(path, c->fields[i].name) == 0 || is_item_of(path, &c->fields[i]))
            return true;
    }
    return false;
}

static int refuse_unknown(const source *c, const char *name)
{
    const char *near = nearest(c, name);
    char text[160];

    if (near == NULL)
        return field_refuse(c, name, "unknown field; remove it");
    snprintf(text, sizeof text, "unknown field; did you mean %s?", near);
    return field_refuse(c, name, text);
}

int field_check_known(const source *c)
{
    for (int i = 0; i < c->values.n; i++) {
        if (!is_known(c, c->values.entry[i].path))
            return refuse_unknown(c, c->values.entry[i].path);
    }
    return 0;
}

/* ---- one field ---- */

bool field_is_name(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n < NAME_LEN && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool is_whole(const field *f, const flat_entry *x)
{
    return x->type == FLAT_INT && (double)x->i >= f->lo && (double)x->i <= f->hi &&
           x->i % f->step == 0;
}

/* The value as a double; NaN, which no comparison accepts, where it is no number. */
static double number_of(const flat_entry *x)
{
    if (x->type == FLAT_INT)
        return (double)x->i;
    return x->type == FLAT_FLOAT ? x->f : NAN;
}

static bool is_number(const field *f, const flat_entry *x)
{
    double v = number_of(x);

    return v > f->lo && v < f->hi;
}

static bool is_in_range(const field *f, const flat_entry *x)
{
    double v = number_of(x);

    return v >= f->lo && v <= f->hi;
}

/* Index in words, or -1. */
int field_word(const char *const *words, const flat_entry *x)
{
    for (int i = 0; x->type == FLAT_TEXT && words[i] != NULL; i++) {
        if (strcmp(words[i], x->s) == 0)
            return i;
    }
    return -1;
}

bool field_fits(const field *f, const flat_entry *x)
{
    switch (f->type) {
    case WHOLE:
    case WHOLE64:
    case WHOLE_F:
        return is_whole(f, x);
    case BYTES:
        return is_in_range(f, x) && number_of(x) == floor(number_of(x));
    case NUMBER:
        return is_number(f, x);
    case RANGE:
        return is_in_range(f, x);
    case YES_NO:
        return x->type == FLAT_BOOL;
    case CHOICE:
        return field_word(f->words, x) >= 0;
    case NAME:
        return x->type == FLAT_TEXT && field_is_name(x->s);
    case TOKEN:
        return x->type == FLAT_INT;
    case TENSOR:
        return x->type == FLAT_TEXT;
    case TEXT:
        return x->type == FLAT_TEXT && x->s[0] != '\0';
    case TABLE:
    case LIST:
    case NUMBERS:
        return x->type == FLAT_TABLE;
    case IDS:
        return x->type == FLAT_TABLE || x->type == FLAT_INT;
    }
    return false;
}

/* Stores a value that fits; token ids and tensors are stored by their own functions. */
static void store(const field *f, const flat_entry *x, void *into)
{
    void *at = (char *)into + f->at;

    _Static_assert(sizeof(hi_act) == sizeof(int) && sizeof(hi_rope_kind) == sizeof(int),
                   "choices are stored as int");
    switch (f->type) {
    case WHOLE:
        *(int *)at = (int)x->i;
        break;
    case WHOLE64:
        *(int64_t *)at = x->i;
        break;
    case BYTES:
        *(int64_t *)at = x->type == FLAT_INT ? x->i : (int64_t)x->f;
        break;
    case WHOLE_F:
    case NUMBER:
    case RANGE:
        *(double *)at = number_of(x);
        break;
    case YES_NO:
        *(bool *)at = x->i != 0;
        break;
    case CHOICE: {
        int word = field_word(f->words, x);
        memcpy(at, &word, sizeof word);
        break;
    }
    case NAME:
        memcpy(at, x->s, strlen(x->s) + 1);
        break;
    case TOKEN:
    case TENSOR:
    case TEXT:
    case TABLE:
    case LIST:
    case NUMBERS:
    case IDS:
        break;
    }
}

int field_load(const source *c, const field *f, void *into)
{
    const flat_entry *x = field_value(c, f->name);

    if (x == NULL && (f->optional || f->ropes != 0))
        return 0;
    if (x == NULL || !field_fits(f, x))
        return field_refuse_rule(c, f);
    store(f, x, into);
    return 0;
}
