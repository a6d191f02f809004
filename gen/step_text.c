/*
** step_text.c - the text of one step, as it stands in the emitted schedule.
**
** Names and arguments come from steps.def. Knows nothing of what a step does.
*/
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gen.h"

static const char *const step_name[N_STEPS] = {
#define S(name, args, what) #name,
#include "steps.def"
#undef S
};

static const char *const step_args[N_STEPS] = {
#define S(name, args, what) args,
#include "steps.def"
#undef S
};

/* A line that is cut where the buffer ends. */
typedef struct line {
    char *out;
    size_t n, used;
} line;

static void put(line *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(line *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(w->out + w->used, w->n - w->used, fmt, ap);
    va_end(ap);
    if (k > 0)
        w->used += (size_t)k < w->n - w->used ? (size_t)k : w->n - w->used - 1;
}

static bool is_word(const char *at, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(at, word, len) == 0;
}

/* L07_H2, or L07_H2_5 for several heads; layers get 3 digits where there are over 100. */
void group_text(const hi_band *b, int g, char *out, size_t n)
{
    const hi_group *gr = &b->group_of[g];
    int width = b->group_of[b->n_groups - 1].layer >= 100 ? 3 : 2;

    if (gr->n == 1)
        snprintf(out, n, "L%0*d_H%d", width, gr->layer, gr->head);
    else
        snprintf(out, n, "L%0*d_H%d_%d", width, gr->layer, gr->head, gr->head + gr->n - 1);
}

static void put_group(line *w, const hi_band *b, int g)
{
    char name[48];

    if (g < 0 || g >= b->n_groups)
        snprintf(name, sizeof name, "%d", g);
    else
        group_text(b, g, name, sizeof name);
    put(w, "%s", name);
}

/* The kinds that are C's own; false: any other. */
static bool put_own(line *w, const hi_step *st)
{
    switch (st->kind) {
    case STEP_each_tile:
        put(w, "for (int64_t t = %d; t < r->complete; t += %d) {", st->arg[0], st->arg[1]);
        return true;
    case STEP_last_row:
        put(w, "if (last_row(r)) {");
        return true;
    case STEP_end_tiles:
    case STEP_end_last_row:
        put(w, "}");
        return true;
    default:
        return false;
    }
}

void step_text(const hi_band *b, const hi_step *st, char *out, size_t n)
{
    if (n == 0)
        return;
    line w = { out, n, 0 };
    out[0] = '\0';
    if (put_own(&w, st))
        return;
    put(&w, "%s(r", step_name[st->kind]);
    const char *at = step_args[st->kind];
    for (int i = 0; *at != '\0'; i++) {
        size_t len = strcspn(at, " ");
        put(&w, ", ");
        if (is_word(at, len, "slot"))
            put(&w, "SLOT");
        else if (is_word(at, len, "at"))
            put(&w, "t");
        else if (is_word(at, len, "group"))
            put_group(&w, b, st->arg[i]);
        else
            put(&w, "%d", st->arg[i]);
        at += len + strspn(at + len, " ");
    }
    put(&w, ");");
}
