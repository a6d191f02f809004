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

/* L07_H2: a group's layer and first head; layers get 3 digits where there are over 100. */
static void put_group(line *w, const hi_plan *p, int g)
{
    if (g < 0 || g >= p->n_groups) {
        put(w, "%d", g);
        return;
    }
    int width = p->group_of[p->n_groups - 1].layer >= 100 ? 3 : 2;
    put(w, "L%0*d_H%d", width, p->group_of[g].layer, p->group_of[g].head);
}

void step_text(const hi_plan *p, const hi_step *st, char *out, size_t n)
{
    if (n == 0)
        return;
    line w = { out, n, 0 };
    out[0] = '\0';
    if (st->kind == STEP_each_tile) {
        put(&w, "for (int t = %d; t < r->tiles; t++) {", st->arg[0]);
        return;
    }
    if (st->kind == STEP_end_tiles) {
        put(&w, "}");
        return;
    }
    put(&w, "%s(r", step_name[st->kind]);
    const char *at = step_args[st->kind];
    for (int i = 0; *at != '\0'; i++) {
        size_t len = strcspn(at, " ");
        put(&w, ", ");
        if (is_word(at, len, "slot"))
            put(&w, "SLOT");
        else if (is_word(at, len, "tile"))
            put(&w, "t");
        else if (is_word(at, len, "group"))
            put_group(&w, p, st->arg[i]);
        else
            put(&w, "%d", st->arg[i]);
        at += len + strspn(at + len, " ");
    }
    put(&w, ");");
}
