/*
** reasons.c - why each decision is what it is: the best other value, and what it would cost.
*/
#include "search.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void value_text(const choice *c, decision d, int layers, char *out, size_t n)
{
    switch (d) {
    case D_WEIGHTS:
        if (c->weights == MOST)
            snprintf(out, n, "as many layers as fit");
        else
            snprintf(out, n,
                     c->weights == layers ? "all %d layers"
                     : c->weights         ? "%d layers"
                                          : "none",
                     c->weights);
        break;
    case D_PANEL:
        snprintf(out, n, c->panel >= layers ? "all layers" : "%d layer%s", c->panel,
                 c->panel == 1 ? "" : "s");
        break;
    case D_HIDDEN:
        snprintf(out, n, "%s", PLACE_WORDS[c->hidden]);
        break;
    case D_EMBED:
        snprintf(out, n, "%s", PLACE_WORDS[c->embed]);
        break;
    case D_CHUNK:
        snprintf(out, n, "%" PRId64 " tokens", c->chunk);
        break;
    case D_MLP_ROWS:
        snprintf(out, n, "%" PRId64 " rows", c->mlp_rows);
        break;
    case D_TILE:
        snprintf(out, n, "%d head%s x %" PRId64 " tokens", c->group, c->group == 1 ? "" : "s",
                 c->tile);
        break;
    case D_BANDS:
        snprintf(out, n, "%d", c->bands);
        break;
    default:
        snprintf(out, n, "%d", c->slots);
    }
}

static bool is_forced(const search *q, decision d)
{
    const hi_request *r = &q->q;
    const bool forced[N_DECISIONS] = {
        [D_WEIGHTS] = r->weights >= 0,
        [D_PANEL] = r->panel > 0,
        [D_HIDDEN] = r->hidden != AT_NONE,
        [D_EMBED] = r->embed != AT_NONE,
        [D_CHUNK] = r->chunk > 0,
        [D_MLP_ROWS] = r->mlp_rows > 0,
        [D_TILE] = r->tile > 0 && r->group > 0,
        [D_BANDS] = r->bands > 0,
        [D_SLOTS] = r->slots > 0,
    };
    return forced[d];
}

/* Does the decision matter in the plan at all? */
static bool is_open(const search *q, decision d)
{
    const choice *c = &q->best;

    switch (d) {
    case D_HIDDEN:
        return c->panel < q->s->layers;
    case D_EMBED:
        return !q->s->tied;
    case D_BANDS:
    case D_SLOTS:
        return c->offload;
    default:
        return true;
    }
}

static double plain_seconds(search *q, const choice *c)
{
    return choice_evaluate(q, c) == INFINITY ? INFINITY : choice_seconds(q);
}

static void explain_decision(search *q, decision d, double chosen_s, hi_decision *out)
{
    static const char *const WHAT[N_DECISIONS] = {
        "weights resident",  "panel",        "hidden states", "embedding", "chunk",
        "feed-forward rows", "group x tile", "bands at most", "slots",
    };
    choice next = q->best;
    double least = INFINITY;

    *out = (hi_decision){ .what = WHAT[d], .forced = is_forced(q, d) };
    value_text(&q->best, d, q->s->layers, out->chosen, sizeof out->chosen);
    for (int i = 0; !out->forced && choice_value(q, &next, d, i); i++, next = q->best) {
        if (choice_same(&next, &q->best) || !choice_sensible(q, &next))
            continue;
        double t = plain_seconds(q, &next);
        int64_t lacks = q->p->arena_bytes - q->budget;
        bool nearer = least == INFINITY && t == INFINITY && q->budget >= 0 && lacks > 0 &&
                      (out->lacks == 0 || lacks < out->lacks);
        if (t >= least && !nearer)
            continue;
        value_text(&next, d, q->s->layers, out->other, sizeof out->other);
        out->lacks = nearer ? lacks : 0;
        out->slower = nearer ? 0 : t / chosen_s - 1;
        least = t < least ? t : least;
    }
}

void reasons_fill(search *q)
{
    hi_decision why[MAX_DECISIONS];
    int n = 0;
    double chosen = plain_seconds(q, &q->best);

    for (int d = 0; d < N_DECISIONS; d++)
        if (is_open(q, d))
            explain_decision(q, d, chosen, &why[n++]);
    memcpy(q->p->why, why, sizeof why);
    q->p->n_why = n;
}
