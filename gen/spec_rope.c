/*
** spec_rope.c - the checks of a spec's rotation, whose fields depend on its kind.
**
** What the numbers mean: rope.c.
*/
#include "spec_rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const ROPE_WORDS[] = { "default",  "linear",  "llama3", "yarn",
                                   "longrope", "dynamic", NULL };

_Static_assert(sizeof ROPE_WORDS / sizeof *ROPE_WORDS == N_ROPES + 1, "a name for each kind");

int spec_rope_kind(const source *c)
{
    static const char *const OTHERS[] = { "su", "mrope", "ntk", "proportional", NULL };
    const flat_entry *x = field_value(c, "rope.kind");

    if (x == NULL || field_word(OTHERS, x) < 0)
        return 0;
    if (strcmp(x->s, "su") == 0)
        return field_refuse(c, "rope.kind", "is called \"longrope\" here");
    return field_refuse(c, "rope.kind",
                        "is not supported; \"default\", \"linear\", \"llama3\", \"yarn\", "
                        "\"longrope\" and \"dynamic\" are: use a checkpoint with one of them");
}

static int check_fields(const source *c, const hi_spec *s)
{
    char text[160];

    for (int i = 0; i < c->n_fields; i++) {
        const field *f = &c->fields[i];
        bool used = (f->ropes & 1u << s->rope.kind) != 0;
        bool given = field_value(c, f->name) != NULL;
        if (f->ropes == 0 || used == given)
            continue;
        snprintf(text, sizeof text,
                 used ? "rope.kind = \"%s\" needs it"
                      : "rope.kind = \"%s\" does not use it; remove it",
                 ROPE_WORDS[s->rope.kind]);
        return field_refuse(c, f->name, text);
    }
    return 0;
}

/* The first of two numbers must be below the second. */
static int check_below(const source *c, const char *low, double a, const char *high, double b)
{
    char value[80], text[160];

    if (a < b)
        return 0;
    field_text(value, sizeof value, field_value(c, high));
    snprintf(text, sizeof text, "must be below %s (%s)", high, value);
    return field_refuse(c, low, text);
}

/* Divisors of the frequencies: head_dim / 2 numbers. */
static int load_list(const source *c, const char *name, int n, double *out)
{
    char item[40], text[120];

    for (int i = 0; i < n; i++) {
        snprintf(item, sizeof item, "%s[%d]", name, i + 1);
        const flat_entry *x = field_value(c, item);
        double v = x == NULL ? NAN : x->type == FLAT_INT ? (double)x->i
                                 : x->type == FLAT_FLOAT ? x->f : NAN;
        if (!(v > 0) || isinf(v)) {
            snprintf(text, sizeof text, "must be a finite number above 0; head_dim / 2 = %d are needed",
                     n);
            return field_refuse(c, item, text);
        }
        out[i] = v;
    }
    snprintf(item, sizeof item, "%s[%d]", name, n + 1);
    snprintf(text, sizeof text, "is one too many; head_dim / 2 = %d are needed", n);
    return field_value(c, item) == NULL ? 0 : field_refuse(c, item, text);
}

int spec_rope_load(const source *c, hi_spec *s)
{
    hi_rope *r = &s->rope;

    if (check_fields(c, s) != 0)
        return -1;
    switch (r->kind) {
    case ROPE_LLAMA3:
        return check_below(c, "rope.low_freq", r->low_freq, "rope.high_freq", r->high_freq);
    case ROPE_YARN:
        return check_below(c, "rope.beta_slow", r->beta_slow, "rope.beta_fast", r->beta_fast);
    case ROPE_LONGROPE:
        if (load_list(c, "rope.long", s->head_dim / 2, r->long_by) != 0)
            return -1;
        return load_list(c, "rope.short", s->head_dim / 2, r->short_by);
    default:
        return 0;
    }
}
