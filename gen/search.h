/*
** search.h - how plan.c finds the best choice: what its parts share.
**
** A choice is one value for each decision; choice.c makes a plan of it, search.c looks for the
** best, reasons.c says why it is that.
*/
#ifndef SEARCH_H
#define SEARCH_H

#include "gen.h"

enum { MOST = -1 };                  /* of weights: as many layers as fit */

/* One value for each decision. */
typedef struct choice {
    bool offload;
    hi_place embed, hidden;
    int weights;                     /* resident layers, or MOST */
    int panel;
    int64_t chunk, mlp_rows, tile;
    int group, bands, slots;
} choice;

typedef enum { D_WEIGHTS, D_PANEL, D_HIDDEN, D_EMBED, D_CHUNK, D_MLP_ROWS, D_TILE, D_BANDS, D_SLOTS,
               N_DECISIONS } decision;

typedef struct search {
    const hi_spec *s;
    hi_request q;                    /* with what the policy forces */
    int force_offload;               /* -1: free */
    int64_t budget;                  /* of the arena; -1: none */
    int64_t ram;                     /* of the host; -1: none */
    hi_plan *p;                      /* the candidate being looked at */
    int64_t least;                   /* smallest arena of the candidates met that 'ram' allows; 0: none */
    int64_t least_host;              /* smallest host allocation of all; -1: none was possible */
    bool ok;
    choice best;
    double score;
} search;

static inline int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- choice.c ---- */

/* Makes q->p the plan of a choice, without steps, and fills what the budget leaves. Returns the
   seconds of the request's goal, and a little for the memory needed before filling; INFINITY
   where it does not fit or cannot be. */
double choice_evaluate(search *q, const choice *c);

/* Seconds of the request's goal alone, of the plan in q->p: a geometric mean over the whole context,
   a sixteenth and a 256th of it (1024 tokens at least), so that a long plan loses nothing at short
   lengths. */
double choice_seconds(const search *q);

/* ---- search.c ---- */

/* The i-th value of a decision, put into c; false: there is none. What is forced has one. */
bool choice_value(const search *q, choice *c, decision d, int i);

/* Does trying c make sense beside others? */
bool choice_sensible(const search *q, const choice *c);

bool choice_same(const choice *a, const choice *b);

/* Fills ok, best and score. just_try: ok alone, from the smallest plan of each kind. */
void search_all(search *q, bool just_try);

/* ---- reasons.c ---- */

/* Fills q->p->why from q->best; leaves q->p undefined but for that. */
void reasons_fill(search *q);

#endif
