/*
** search.c - looks for the choice that predicts the least time.
**
** A handful of starts, each the smallest plan of its kind (everything resident, the KV cache
** outside, the weights outside too ..). From each that fits one decision after the other is
** improved until none improves. So a plan is found whenever one of the smallest fits.
*/
#include "search.h"

#include <math.h>

enum {
    MOST_SWEEPS = 4
};

static const int64_t CHUNKS[] = { 128, 256, 512, 1024, 2048, 4096, 8192, 16384 };
static const int64_t TILES[] = { 256, 512, 1024, 2048, 4096, 8192, 16384 };
static const int64_t GROUPS[] = { 1, 2, 4, 8, 0 }; /* 0: all KV heads */
static const int64_t MLP_ROWS[] = { 128, 256, 512, 1024, 2048, 4096 };
static const int64_t PANELS[] = { 1, 2, 4, 8, 16, 0 }; /* 0: all layers */
static const int64_t SLOTS[] = { 3, 4 };
static const int64_t BANDS[] = { 1, 2, 3, 4 };
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/* A forced value stands alone; else the i-th of a list. */
static bool pick(int64_t forced, bool is_forced, const int64_t *list, int n, int i, int64_t *out)
{
    if (i >= (is_forced ? 1 : n))
        return false;
    *out = is_forced ? forced : list[i];
    return true;
}

/* Group and tile are one decision: together they fill a slot. */
static bool pick_tile(const search *q, choice *c, int i)
{
    const hi_request *r = &q->q;
    int64_t groups[COUNT(GROUPS)], group = 0, tile = 0;
    int n = r->group > 0 ? 1 : COUNT(GROUPS);

    for (int g = 0; g < COUNT(GROUPS); g++)
        groups[g] = GROUPS[g] > 0 ? GROUPS[g] : q->s->kv_heads;
    if (!pick(r->tile, r->tile > 0, TILES, COUNT(TILES), i / n, &tile))
        return false;
    pick(r->group, r->group > 0, groups, n, i % n, &group);
    c->group = (int)group;
    c->tile = r->tile > 0 ? tile : min64(tile, round_up(q->p->ctx, KEY_SPLIT));
    return true;
}

static bool pick_place(hi_place forced, int i, hi_place *out)
{
    static const int64_t PLACES[] = { AT_DEVICE, AT_HOST };
    int64_t place;

    if (!pick(forced, forced != AT_NONE, PLACES, 2, i, &place))
        return false;
    *out = (hi_place)place;
    return true;
}

/* Decisions with a list of numbers. */
static bool pick_number(const search *q, choice *c, decision d, int i)
{
    const hi_request *r = &q->q;
    int layers = q->s->layers;
    const int64_t weights[] = { layers, MOST, layers / 2, 0 };
    int64_t v = 0;

    switch (d) {
    case D_WEIGHTS:
        if (!pick(r->weights, r->weights >= 0, weights, COUNT(weights), i, &v))
            return false;
        c->weights = (int)v;
        return true;
    case D_PANEL:
        if (!pick(r->panel, r->panel > 0, PANELS, COUNT(PANELS), i, &v))
            return false;
        c->panel = v > 0 && v < layers ? (int)v : layers;
        return true;
    case D_CHUNK:
        if (!pick(r->chunk, r->chunk > 0, CHUNKS, COUNT(CHUNKS), i, &v))
            return false;
        c->chunk = r->chunk > 0 ? v : min64(v, round_up(q->p->ctx, KEY_BLOCK));
        if (c->chunk < r->mlp_rows)
            c->chunk = r->mlp_rows;
        c->mlp_rows = r->mlp_rows > 0 ? r->mlp_rows : min64(c->mlp_rows, c->chunk);
        return true;
    case D_MLP_ROWS:
        if (!pick(r->mlp_rows, r->mlp_rows > 0, MLP_ROWS, COUNT(MLP_ROWS), i, &v))
            return false;
        c->mlp_rows = r->mlp_rows > 0 ? v : min64(v, c->chunk);
        return true;
    case D_BANDS:
        if (!pick(r->bands, r->bands > 0, BANDS, COUNT(BANDS), i, &v))
            return false;
        c->bands = (int)v;
        return true;
    default:
        if (!pick(r->slots, r->slots > 0, SLOTS, COUNT(SLOTS), i, &v))
            return false;
        c->slots = (int)v;
        return true;
    }
}

bool choice_value(const search *q, choice *c, decision d, int i)
{
    switch (d) {
    case D_HIDDEN:
        return pick_place(q->q.hidden, i, &c->hidden);
    case D_EMBED:
        return pick_place(q->q.embed, i, &c->embed);
    case D_TILE:
        return pick_tile(q, c, i);
    default:
        return pick_number(q, c, d, i);
    }
}

bool choice_same(const choice *a, const choice *b)
{
    return a->offload == b->offload && a->embed == b->embed && a->hidden == b->hidden &&
           a->weights == b->weights && a->panel == b->panel && a->chunk == b->chunk &&
           a->mlp_rows == b->mlp_rows && a->tile == b->tile && a->group == b->group &&
           a->bands == b->bands && a->slots == b->slots;
}

/* A head group must divide the KV heads. */
bool choice_sensible(const search *q, const choice *c)
{
    if (q->s->kv_heads % c->group != 0)
        return false;
    /* a ring as long as what is streamed saves nothing */
    return q->q.weights >= 0 || c->weights == q->s->layers ||
           q->s->layers - c->weights > MIN_WEIGHT_SLOTS;
}

/* ---- the search ---- */

/* Improves one decision; true when it did. */
static bool improve(search *q, choice *c, double *score, decision d)
{
    choice next = *c, best = *c;
    double least = *score;

    for (int i = 0; choice_value(q, &next, d, i); i++, next = *c) {
        if (choice_same(&next, c) || !choice_sensible(q, &next))
            continue;
        double t = choice_evaluate(q, &next);
        if (t < least) {
            least = t;
            best = next;
        }
    }
    bool better = least < *score;
    *c = best;
    *score = least;
    return better;
}

static void descend(search *q, choice c, double score)
{
    for (int sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        bool better = false;
        for (int d = 0; d < N_DECISIONS; d++)
            if (d != D_WEIGHTS ||
                sweep > 0) /* while chunk and tile are the smallest it would mislead */
                better |= improve(q, &c, &score, d);
        if (!better)
            break;
    }
    if (!q->ok || score < q->score) {
        q->ok = true;
        q->best = c;
        q->score = score;
    }
}

/* The smallest plan of a kind; false where the kind is ruled out. */
static bool smallest(const search *q, bool offload, bool stream, bool panels, bool embed_host,
                     choice *c)
{
    const hi_request *r = &q->q;
    int layers = q->s->layers;

    *c = (choice){ .offload = offload, .embed = embed_host ? AT_HOST : AT_DEVICE };
    for (int d = 0; d < N_DECISIONS; d++) /* lists begin with what is smallest */
        if (d != D_EMBED)
            choice_value(q, c, d, 0);
    if (q->q.hidden == AT_NONE)
        c->hidden = AT_HOST;
    if (r->weights < 0)
        c->weights = stream ? MOST : layers;
    if (r->panel <= 0)
        c->panel = panels ? 1 : layers;
    if (r->weights < 0 && stream && layers <= MIN_WEIGHT_SLOTS)
        return false;
    if (r->weights >= 0 && stream != (r->weights < layers))
        return false;
    if (r->embed != AT_NONE && c->embed != r->embed)
        return false;
    if (q->s->tied && embed_host)
        return false;
    return q->force_offload < 0 || q->force_offload == offload;
}

/* One start: from the smallest plan of a kind, if that fits. */
static void start(search *q, bool offload, bool stream, bool panels, bool embed_host, bool just_try)
{
    choice c;

    if (!smallest(q, offload, stream, panels, embed_host, &c))
        return;
    double score = choice_evaluate(q, &c);
    if (score == INFINITY)
        return;
    if (just_try)
        q->ok = true;
    else
        descend(q, c, score);
}

/* Every kind, in the order of what it needs. */
void search_all(search *q, bool just_try)
{
    q->ok = false;
    for (int stream = 0; stream < 2; stream++)
        for (int host = 0; host < 2; host++)
            for (int offload = 0; offload < 2; offload++)
                for (int panels = 0; panels < 1 + stream; panels++)
                    if (!just_try || !q->ok)
                        start(q, offload, stream, panels, host, just_try);
}
