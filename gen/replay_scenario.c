/*
** replay_scenario.c - which prompts and tokens a replay runs.
**
** Something changes at a few positions only: the marks. Around each of them prompts of one, two and
** three chunks and some tokens are run; what lies between two marks is more of the same.
*/
#include <stdlib.h>

#include "replay_machine.h"

enum {
    MAX_MARKS = 8 + 2 * N_PHASES + 2 * MAX_BANDS
};

/* A prompt from m->len on, cut where the context ends. */
static int prompt_some(machine *m, int64_t n)
{
    n = least(n, m->p->ctx - m->len);
    return n > 0 ? run_prompt(m, n) : 0;
}

/* From row 'start' to just before 'mark', tokens across it, a chat turn, tokens. */
static int cross_in_decode(machine *m, int64_t start, int64_t mark)
{
    jump_to(m, start);
    if (prompt_some(m, most(start + 1, mark - 2) - start) != 0 || run_tokens(m, 4) != 0)
        return -1;
    begin_phase(m, PREFILL);
    return prompt_some(m, m->p->chunk + 3) != 0 ? -1 : run_tokens(m, 2);
}

/* The mark inside a chunk, with a chunk after it; then one chunk that begins at the mark. */
static int cross_in_prefill(machine *m, int64_t mark)
{
    jump_to(m, most(0, mark - 5));
    if (prompt_some(m, m->p->chunk + 1) != 0 || run_tokens(m, 1) != 0)
        return -1;
    jump_to(m, least(mark, m->p->ctx - 1));
    return prompt_some(m, m->p->chunk);
}

static int cross(machine *m, int64_t mark)
{
    int64_t before = most(0, mark - m->p->chunk - KEY_SPLIT / 2 - 3);
    return cross_in_decode(m, before, mark) != 0 ? -1 : cross_in_prefill(m, mark);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Where resident rows end: the fewest and the most of any layer. */
static int mark_resident(const machine *m, hi_phase phase, int64_t *mark)
{
    const int64_t *rows = m->p->resident[phase];
    mark[0] = mark[1] = rows[0];
    for (int l = 1; l < m->s->layers; l++) {
        mark[0] = least(mark[0], rows[l]);
        mark[1] = most(mark[1], rows[l]);
    }
    return 2;
}

/* Returns the number of marks written, in ascending order. */
static int find_marks(const machine *m, int64_t *mark)
{
    int64_t ctx = m->p->ctx;
    int n = 0;
    mark[n++] = KEY_SPLIT;
    mark[n++] = m->p->band[m->p->n_bands - 1].tile;
    mark[n++] = split_floor(ctx - 1);
    mark[n++] = ctx;
    mark[n++] = m->s->window.size;   /* rows begin to leave the window, and what is kept of it */
    mark[n++] = m->p->near_rows;
    for (int b = 0; b + 1 < m->p->n_bands; b++) {
        mark[n++] = m->p->band[b].upto;
        mark[n++] = m->p->band[b].upto + KEY_SPLIT;
    }
    for (int phase = 0; phase < N_PHASES; phase++)
        n += mark_resident(m, phase, mark + n);
    qsort(mark, (size_t)n, sizeof *mark, ascending);
    return n;
}

/* Prompts of three, one and two chunks, the last two in one sequence. */
static int from_the_start(machine *m)
{
    int64_t chunk = m->p->chunk;
    if (cross_in_decode(m, 0, 2 * chunk + KEY_SPLIT / 2 + 7) != 0)
        return -1;
    jump_to(m, 0);
    if (prompt_some(m, chunk) != 0 || prompt_some(m, 2 * chunk) != 0)
        return -1;
    jump_to(m, 0);
    return run_tokens(m, 2);
}

int run_scenarios(machine *m)
{
    int64_t mark[MAX_MARKS], done = 0;
    int n = find_marks(m, mark);
    if (from_the_start(m) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (mark[i] > done && mark[i] <= m->p->ctx) {
            done = mark[i];
            if (cross(m, done) != 0)
                return -1;
        }
    return 0;
}
