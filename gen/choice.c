/*
** choice.c - a choice of the search as a plan: numbers, buffers, what the budget leaves, seconds.
*/
#include "search.h"

#include <math.h>
#include "cost.h"
#include "layout.h"

enum {
    ANSWER = 200
}; /* decoded tokens that weigh as one prompt in a balanced plan */

static const double LESS_MEMORY = 0.02;  /* time that using all of the budget must save */
static const double LESS_TRAFFIC = 0.02; /* of the link's seconds, though hidden behind compute */
static const double PROMPT_SHARE = 0.02; /* of a prompt's seconds where decoding must be fast */
static const double MOVES = 1.1,
                    MOVES_EMBEDDING = 1.05; /* times as fast it must be to be worth that copies
                           begin where none were needed: what fits moves nothing */
enum {
    SHORT = 1024
}; /* tokens: shorter contexts are not planned for */

/* Streamed layers lie evenly among the others, so that the link is never idle for long. */
static void spread_layers(const search *q, hi_plan *p)
{
    int n = q->s->layers, w = p->resident_layers;
    for (int l = 0; l < n; l++)
        p->streamed[l] = (int64_t)(l + 1) * w / n == (int64_t)l * w / n;
}

static int streamed_in_panel(const search *q, const hi_plan *p)
{
    int most = 0;
    for (int first = 0; first < q->s->layers; first += p->panel) {
        int n = 0;
        for (int l = first; l < first + p->panel && l < q->s->layers; l++)
            n += p->streamed[l];
        most = n > most ? n : most;
    }
    return most;
}

/* A panel's layers and one more, so that the next panel's first is there in time. */
static void set_weight_ring(const search *q, hi_plan *p)
{
    int streamed = q->s->layers - p->resident_layers, in_panel = streamed_in_panel(q, p);

    p->weight_slots = 0;
    p->hold = true;
    if (streamed == 0)
        return;
    p->weight_slots = p->panels > 1 ? in_panel + 1 : MIN_WEIGHT_SLOTS;
    if (q->q.weight_slots > 0)
        p->weight_slots = q->q.weight_slots;
    if (p->weight_slots < MIN_WEIGHT_SLOTS)
        p->weight_slots = MIN_WEIGHT_SLOTS;
    if (p->weight_slots > MAX_WEIGHT_SLOTS)
        p->weight_slots = MAX_WEIGHT_SLOTS;
    if (p->weight_slots > streamed)
        p->weight_slots = streamed;
    p->hold = in_panel <= p->weight_slots;
}

static void set_layers(const search *q, hi_plan *p, int resident)
{
    p->resident_layers = resident;
    spread_layers(q, p);
    set_weight_ring(q, p);
}

/* Wider bands in front of the last: 8, 4 and 2 times its heads where that divides and is of use. */
static void set_bands(const search *q, hi_plan *p, const choice *c)
{
    int64_t complete = (p->ctx - 1) / KEY_SPLIT * KEY_SPLIT;

    p->n_bands = 0;
    for (int k = 8; k >= 1; k /= 2) {
        int64_t tile = c->tile / k;
        bool divides = q->s->kv_heads % (c->group * k) == 0 && c->tile % (k * KEY_SPLIT) == 0;
        bool left = BAND_TILES * tile < complete; /* rows for the bands behind it? */
        if (k > 1 && (!p->offload || !divides || !left || k > 1 << (c->bands - 1)))
            continue;
        p->band[p->n_bands++] = (hi_band){
            .group = c->group * k,
            .tile = tile,
            .upto = k > 1 ? BAND_TILES * tile : p->ctx,
        };
    }
}

static void set_rows(hi_plan *p)
{
    p->rows[PREFILL] = (int)p->chunk;
    p->rows[DECODE] = 1;
    p->logit_rows[PREFILL] = p->req.logits_all ? (int)p->chunk : 1;
    p->logit_rows[DECODE] = 1;
}

/* So many tiles, shared among the layers that do not roll. */
static void set_resident(const search *q, hi_plan *p, hi_phase phase, int64_t units)
{
    int64_t tile = p->band[p->n_bands - 1].tile, most = round_up(p->ctx, tile);
    int layers = q->s->layers - rolling_layers(q->s, p->ctx), i = 0;

    for (int l = 0; l < q->s->layers; l++) {
        bool rolls = layer_rolls(q->s, l, p->ctx);
        int64_t tiles = rolls ? 0 : units / layers + (i < units % layers);
        p->resident[phase][l] = rolls ? most : min64(tiles * tile, most);
        i += !rolls;
    }
}

/* Does a layer that sees all of the context keep all of it on the device? */
static bool all_resident(const search *q, const hi_plan *p)
{
    for (int l = 0; l < q->s->layers; l++)
        if (p->resident[PREFILL][l] < p->ctx)
            return false;
    return true;
}

/* The fewest rows that may stay: all, those that are forced, or none. */
static void set_least_resident(const search *q, hi_plan *p)
{
    int64_t whole = round_up(p->ctx, KEY_SPLIT);
    int full = q->s->layers - rolling_layers(q->s, p->ctx);

    for (int phase = PREFILL; phase <= DECODE; phase++) {
        if (p->offload)
            set_resident(q, p, phase,
                         q->q.resident > 0 ? (int64_t)q->q.resident * full : 0);
        for (int l = 0; l < q->s->layers && !p->offload; l++)
            p->resident[phase][l] = whole;
    }
}

/* As many layers on the host as --ram takes. */
static void place_most_outside(const search *q, hi_plan *p)
{
    int64_t layer = layer_weight_bytes(q->s, plan_format(p));

    set_layers(q, p, 0);
    layout_buffers(q->s, p);
    if (q->ram < 0 || p->host_bytes <= q->ram)
        return;
    int64_t n = div_up(p->host_bytes - q->ram, layer), most = q->s->layers - MIN_WEIGHT_SLOTS - 1;
    set_layers(q, p, (int)min64(n, most > 0 ? most : 0));
}

/* The plan of a choice with the fewest resident layers and rows it allows. */
static void apply(search *q, const choice *c)
{
    hi_plan *p = q->p;

    p->offload = c->offload;
    p->embed = c->embed;
    p->chunk = c->chunk;
    p->mlp_rows = c->mlp_rows;
    p->slots = c->slots;
    p->panel = c->panel;
    p->panels = (int)div_up(q->s->layers, c->panel);
    p->hidden = p->panels > 1 ? c->hidden : AT_NONE;
    set_bands(q, p, c);
    set_rows(p);
    set_least_resident(q, p);
    if (c->weights == MOST)
        place_most_outside(q, p);
    else
        set_layers(q, p, c->weights);
    layout_buffers(q->s, p);
}

/* What cannot be whatever the budget. */
static bool possible(const search *q, const hi_plan *p)
{
    return (p->panels == 1 || p->hold) && p->mlp_rows <= p->chunk &&
           (p->embed == AT_DEVICE || !q->s->tied);
}

/* Keeps the smallest arena of all that the host can serve, and the smallest host allocation. */
static bool fits(search *q)
{
    const hi_plan *p = q->p;

    if (q->least_host < 0 || p->host_bytes < q->least_host)
        q->least_host = p->host_bytes;
    if (q->ram >= 0 && p->host_bytes > q->ram)
        return false;
    if (q->least == 0 || p->arena_bytes < q->least)
        q->least = p->arena_bytes;
    return q->budget < 0 || p->arena_bytes <= q->budget;
}

/* Layers' weights into what the budget leaves. */
static void fill_layers(search *q)
{
    hi_plan *p = q->p;
    int64_t layer = layer_weight_bytes(q->s, plan_format(p));
    int64_t room = q->budget < 0 ? INT64_MAX : q->budget - p->arena_bytes;
    int n = (int)min64(p->resident_layers + room / layer, q->s->layers - p->weight_slots - 1);

    int least = p->resident_layers;

    for (; n > least; n--) { /* fewer streamed layers may need more slots a panel, or fewer */
        set_layers(q, p, n);
        layout_buffers(q->s, p);
        if (q->budget < 0 || p->arena_bytes <= q->budget)
            return;
    }
    set_layers(q, p, least);
    layout_buffers(q->s, p);
}

/* Leading rows into what the budget still leaves: in both phases, then more in decode. */
static void fill_rows(search *q)
{
    hi_plan *p = q->p;
    int64_t unit = p->band[p->n_bands - 1].tile * q->s->kv_heads * kv_row_bytes(q->s, p->elt);
    int64_t slack = 2 * (BUF_GAP + BUF_ALIGN), budget = q->budget < 0 ? INT64_MAX / 2 : q->budget;
    int64_t room = (budget - slack - p->arena_bytes) / unit;

    if (room < 0)
        room = 0;
    set_resident(q, p, PREFILL, room);
    set_resident(q, p, DECODE, room);
    layout_buffers(q->s, p);
    int64_t more = (budget - slack - layout_end(p, DECODE)) / unit;
    if (more > 0)
        set_resident(q, p, DECODE, room + more);
    layout_buffers(q->s, p);
}

/* A prompt of n tokens and an answer, weighed as the goal says; 'traffic' weighs the link's share.
 */
static double seconds_at(const search *q, int64_t n, double traffic)
{
    hi_cost prompt, token;

    cost_prefill(q->s, q->p, n, &prompt);
    cost_decode(q->s, q->p, n - 1, &token);
    double prompt_s = prompt.seconds + traffic * prompt.link_s;
    double token_s = token.seconds + traffic * token.link_s;
    switch (q->q.goal) {
    case GOAL_PREFILL:
        return prompt_s + token_s;
    case GOAL_DECODE:
        return PROMPT_SHARE * prompt_s + ANSWER * token_s;
    default:
        return prompt_s + ANSWER * token_s;
    }
}

static double weighed_seconds(const search *q, double traffic)
{
    int64_t ctx = q->p->ctx, least = min64(ctx, SHORT);
    int64_t some = ctx / 16 > least ? ctx / 16 : least, few = ctx / 256 > least ? ctx / 256 : least;

    return sqrt(seconds_at(q, ctx, traffic) *
                sqrt(seconds_at(q, some, traffic) * seconds_at(q, few, traffic)));
}

double choice_seconds(const search *q)
{
    return weighed_seconds(q, 0);
}

double choice_evaluate(search *q, const choice *c)
{
    hi_plan *p = q->p;

    apply(q, c);
    if (!possible(q, p) || !fits(q))
        return INFINITY;
    int64_t whole = q->budget >= 0
                        ? q->budget
                        : weight_bytes(q->s, plan_format(p)) +
                              p->ctx * store_token_bytes(q->s, p->ctx, p->elt);
    double memory = (double)p->arena_bytes / (double)whole;
    if (c->weights == MOST)
        fill_layers(q);
    if (p->offload && q->q.resident < 0) {
        fill_rows(q);
        if (q->force_offload != 1 && all_resident(q, p))
            return INFINITY; /* a store for nothing: the kind without one fits as well */
    }
    double moves = p->offload || p->weight_slots > 0 ? MOVES : 1;
    if (p->embed == AT_HOST)
        moves *= MOVES_EMBEDDING;
    return weighed_seconds(q, LESS_TRAFFIC) * (1 + LESS_MEMORY * memory) * moves;
}
