/*
** cost.c - predicted seconds and bytes of a plan, from its numbers alone.
**
** A pass (panel P, chunk c) of r rows, the first at position c x chunk, takes the longest of
**   device  layer by layer: products at 'matmul', but not before their weights are read; attention
**           at 'attend', but not before keys and values are read; 'step_s' for every step; and the
**           time that it waits for copies that could not run ahead (cost_pass.c)
**   link    what crosses in that time: streamed tiles, weights, hidden states; new rows
**   DRAM    what the copies of that time read and write in host memory
** Where the device is the host, its copies take cores and its reads go to DRAM as well.
** A panel takes the sum of its passes, but no less than the link needs for all that crosses
** meanwhile: with 'hold' that includes weights of the next panel, as many as have a slot.
**
** Both directions at once: while the shorter copy runs each has 'both' of its speed, then the
** longer one is alone again: link = max(in, out) + min(in, out) (1 / both - 1).
**
** The planner asks thousands of times. So layers with equal residency are one kind, panels
** that are made alike are counted once, and the passes of a band, whose times are piecewise
** linear in their position, are summed by the trapezoid rule from a few of them; bytes and
** FLOPs are sums in closed form. All arithmetic is in double: whole numbers below 2^53.
*/
#include "cost.h"

#include <math.h>
#include "cost_pass.h"

enum {
    EARLY_SPANS = 4, /* of the trapezoid rule in a band that another follows */
    LAST_SPANS = 12,  /* in the last band, which holds most of a long prompt */
    STAIRS = 12,     /* tiles that are counted one by one */
    STARTS = 4,      /* kinds of layers whose first streamed tile is looked for */
    PANELS_KEPT = 16 /* panels of different make that are remembered */
};

/* ---- panels ---- */

static void add_kind(panel *q, int64_t resident)
{
    int i = 0;

    while (i < q->n && q->of[i].resident != resident)
        i++;
    if (i == q->n)
        q->of[q->n++] = (kind){ resident, 0 };
    q->of[i].layers++;
    q->layers++;
}

static int streamed_in(const hi_plan *p, int first, int end)
{
    int n = 0;

    for (int l = first; l < end; l++)
        n += p->streamed[l];
    return n;
}

/* Layers [first, end); 'of' has room for as many kinds. */
static panel panel_of(const model *k, int first, int end, kind *of)
{
    panel q = { .first = first == 0, .last = end == k->s->layers, .of = of };
    const int64_t *resident = k->p->resident[k->phase];

    q.cut = q.last && k->cut;
    for (int l = first; l < end - q.cut; l++)
        add_kind(&q, resident[l]);
    for (int l = first; l < end - q.cut; l++)
        q.rolling += layer_rolls(k->s, l, k->p->ctx);
    if (q.cut) {
        q.cut_resident = resident[end - 1];
        q.cut_rolls = layer_rolls(k->s, end - 1, k->p->ctx);
    }
    q.streamed = streamed_in(k->p, first, end);
    return q;
}

/* Would they take the same time? The model's last is alone, and only that one is cut. */
static bool alike(const panel *a, const panel *b)
{
    if (a->layers != b->layers || a->rolling != b->rolling || a->first != b->first ||
        a->last != b->last ||
        a->streamed != b->streamed || a->begin != b->begin || a->again != b->again ||
        a->ahead != b->ahead || a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++) {
        if (a->of[i].resident != b->of[i].resident || a->of[i].layers != b->of[i].layers)
            return false;
    }
    return true;
}

/* ---- the passes of a panel ---- */

/* Adds the seconds; what several passes move together is panel_bytes' business. */
static void add_seconds(times *sum, const times *x, double weight)
{
    sum->seconds += weight * x->seconds;
    sum->compute += weight * x->compute;
    sum->hbm += weight * x->hbm;
    sum->read += weight * x->read;
}

static const hi_band *band_at(const hi_plan *p, int64_t pos)
{
    int b = 0;

    while (b < p->n_bands - 1 && pos / KEY_SPLIT * KEY_SPLIT > p->band[b].upto)
        b++;
    return &p->band[b];
}

static const hi_band *last_band(const hi_plan *p)
{
    return &p->band[p->n_bands - 1];
}

static int64_t complete_at(const model *k, int64_t c)
{
    return c * k->p->chunk / KEY_SPLIT * KEY_SPLIT;
}

/* The first pass before which more than so many rows are complete. */
static int64_t pass_beyond(const model *k, int64_t rows)
{
    return ((rows / KEY_SPLIT + 1) * KEY_SPLIT + k->p->chunk - 1) / k->p->chunk;
}

/* The first pass that no longer belongs to the band. */
static int64_t band_end(const model *k, const hi_band *b)
{
    if (b == last_band(k->p))
        return k->passes;
    return pass_beyond(k, b->upto);
}

static double gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return (double)a;
}

/*
** Passes [c, end), which are whole chunks of one band: all of them where they are few, else the
** trapezoid rule over equal spans. Between two nodes lie g - 1 passes, whose sum on a line is
** g - 1 times the mean of the nodes.
*/
static void add_line(const model *k, const panel *q, pass x, int64_t c, int64_t end, int64_t spans,
                     times *sum)
{
    int64_t n = end - c - 1, at = c, next;

    spans = n < spans ? n : spans;
    for (int64_t i = 0, before = 0; i <= spans; i++, at = next) {
        times t;
        next = i < spans ? c + n * (i + 1) / spans : at + 1;
        x.pos = at * k->p->chunk;
        t = pass_times(k, q, &x);
        add_seconds(sum, &t, 1 + (double)(before + next - at - 1) / 2);
        before = next - at - 1;
    }
}

/*
** Passes [c, end) in which the same layers stream. The number of tiles is a staircase: a few
** steps of it are taken one by one, many of them as the line through their middle.
*/
static void add_stairs(const model *k, const panel *q, const hi_band *b, int64_t c, int64_t end,
                       times *sum)
{
    int64_t tile = b->tile, low = complete_at(k, c) / tile, high = complete_at(k, end - 1) / tile;
    pass x = { .rows = k->p->chunk, .layer = &k->full, .band = b, .weights = q->again };
    int64_t spans = b == last_band(k->p) ? LAST_SPANS : EARLY_SPANS;

    if (high - low >= STAIRS && end - c > spans)
        x.grain = fmax(KEY_SPLIT, gcd(k->p->chunk, tile));
    if (x.grain > 0 || end - c <= spans) {
        add_line(k, q, x, c, end, spans, sum);
        return;
    }
    spans = (spans + high - low) / (high - low + 1);
    while (c < end) {
        int64_t top = (complete_at(k, c) + tile - 1) / tile * tile, next = pass_beyond(k, top);
        next = next < end ? next : end;
        add_line(k, q, x, c, next, spans, sum);
        c = next;
    }
}

/* Where the next kind of layers begins to stream, if that is among passes (c, end). */
static int64_t next_start(const model *k, const panel *q, int64_t c, int64_t end)
{
    for (int i = 0; i < q->n && i < STARTS && k->p->offload; i++) {
        int64_t start = pass_beyond(k, q->of[i].resident);
        end = start > c && start < end ? start : end;
    }
    return end;
}

/* The passes between a panel's first and its last. */
static void add_middle(const model *k, const panel *q, times *sum)
{
    int64_t c = 1;

    for (int b = 0; b < k->p->n_bands; b++) {
        int64_t end = band_end(k, &k->p->band[b]);
        end = end < k->passes - 1 ? end : k->passes - 1;
        while (c < end) {
            int64_t next = next_start(k, q, c, end);
            add_stairs(k, q, &k->p->band[b], c, next, sum);
            c = next;
        }
    }
}

/* The pass that begins a panel, or ends it. */
static void add_pass(const model *k, const panel *q, int64_t c, double weights, times *sum)
{
    int64_t rows = c == k->passes - 1 ? k->last : k->p->chunk;
    products layer = layer_products(k, rows);
    times t;
    pass x = { .pos = c * k->p->chunk,
               .rows = rows,
               .last = c == k->passes - 1,
               .layer = &layer,
               .weights = weights };

    x.band = band_at(k->p, x.pos);
    t = pass_times(k, q, &x);
    add_seconds(sum, &t, 1);
}

/* Rows that one KV head streams in passes [0, passes): the sum of complete - resident. */
static double rows_in_prompt(const model *k, int64_t resident)
{
    int64_t chunk = k->p->chunk, first = pass_beyond(k, resident);
    double n = (double)(k->passes - first), halves;

    if (!k->p->offload || n <= 0)
        return 0;
    /* a chunk of an odd number of half splits: every second pass begins inside of a split */
    halves = chunk % KEY_SPLIT == 0 ? 0 : (double)(k->passes / 2 - first / 2);
    return n * (double)(k->passes - 1 + first) / 2 * (double)chunk - halves * KEY_BLOCK -
           n * (double)resident;
}

/* What a panel moves, exactly. */
static void panel_bytes(const model *k, const panel *q, times *t)
{
    double n = (double)((k->passes - 1) * k->p->chunk + k->last);
    pass all = { .rows = (int64_t)n };
    pass end = { .pos = (k->passes - 1) * k->p->chunk };

    end.band = band_at(k->p, end.pos);
    t->in = t->out = 0;
    for (int i = 0; i < q->n; i++)
        t->in += q->of[i].layers * rows_in_prompt(k, q->of[i].resident) * k->row;
    if (q->cut)
        stream_tiles(k, &end, q->cut_resident, 1, t);
    add_rows(k, q, &all, t);
    t->in += q->begin + q->again * (double)(k->passes - 1) + q->ahead;
}

static times panel_times(const model *k, const panel *q)
{
    times sum = { 0 };

    add_pass(k, q, 0, q->begin, &sum);
    add_middle(k, q, &sum);
    if (k->passes > 1)
        add_pass(k, q, k->passes - 1, q->again, &sum);
    panel_bytes(k, q, &sum);
    if (k->copiers > 0)
        sum.seconds += q->ahead / k->copiers;
    sum.seconds = fmax(sum.seconds, least_link_seconds(k, sum.in, sum.out));
    sum.seconds = fmax(sum.seconds, dram_seconds(k, &sum));
    return sum;
}

/* ---- a prompt ---- */

/* Panels of different make and what they take. */
typedef struct kept {
    panel made[PANELS_KEPT];
    times took[PANELS_KEPT];
    int n;
} kept;

static times take_panel(const model *k, const panel *q, kept *seen)
{
    times t;

    for (int i = seen->n - 1; i >= 0; i--) {
        if (alike(&seen->made[i], q))
            return seen->took[i];
    }
    t = panel_times(k, q);
    if (seen->n < PANELS_KEPT) {
        seen->made[seen->n] = *q;
        seen->took[seen->n++] = t;
    }
    return t;
}

/*
** How weights reach a panel: slots that were free beside those of the panel before have been
** filled during its passes; the others are filled during the panel's first, as they come
** released.
**
** ready  of its layers whose weights are there
** next   streamed layers of the panel after it
** Returns how many of those will be there.
*/
static int place_weights(const model *k, panel *q, int ready, int next)
{
    int spare = k->p->weight_slots - q->streamed;
    int ahead = !k->p->hold || spare < 0 ? 0 : spare < next ? spare : next;

    q->begin = (q->streamed - ready) * k->layer;
    q->again = k->p->hold ? 0 : q->streamed * k->layer;
    q->ahead = ahead * k->layer;
    return ahead;
}

/* Before the first pass its first layer's weights have crossed, with nothing to do meanwhile. */
static int wait_for_first(const model *k, const panel *q, times *sum)
{
    if (q->streamed == 0)
        return 0;
    sum->in = k->layer;
    sum->seconds = fmax(k->layer / k->m->h2d, dram_seconds(k, sum));
    return 1;
}

static void add_panels(const model *k, times *sum)
{
    kind pool[MAX_LAYERS], *of = pool;
    kept seen;
    int layers = k->s->layers, size = k->p->panel, ready = 0;

    seen.n = 0;
    for (int first = 0; first < layers; first += size) {
        int end = first + size < layers ? first + size : layers;
        int after = end + size < layers ? end + size : layers;
        panel q = panel_of(k, first, end, of);
        times t;
        if (q.first)
            ready = wait_for_first(k, &q, sum);
        ready = place_weights(k, &q, ready, streamed_in(k->p, end, after));
        t = take_panel(k, &q, &seen);
        add_seconds(sum, &t, 1);
        sum->in += t.in;
        sum->out += t.out;
        of += q.n;
    }
}

/* ---- the result ---- */

static int64_t whole(double x)
{
    return x < 0x1p62 ? (int64_t)x : (int64_t)1 << 62;
}

static void set_cost(const model *k, const times *t, double flops, hi_cost *out)
{
    double of[] = { t->compute, least_link_seconds(k, t->in, t->out), dram_seconds(k, t),
                    t->hbm }; /* ORDER hi_bound */
    int bound = 0;

    for (int i = 1; i < 4; i++)
        bound = of[i] > of[bound] ? i : bound;
    *out = (hi_cost){ .seconds = fmax(t->seconds, of[bound]),
                      .compute_s = of[BOUND_COMPUTE],
                      .link_s = of[BOUND_LINK],
                      .dram_s = of[BOUND_DRAM],
                      .hbm_s = of[BOUND_HBM],
                      .flops = flops,
                      .h2d_bytes = whole(t->in),
                      .d2h_bytes = whole(t->out),
                      .bound = (hi_bound)bound };
    out->fraction = of[bound] / out->seconds;
}

/* Of rows [pos, pos + rows) in all layers, the last for its last row alone where it is cut. */
static double attention_flops(const hi_spec *s, double pos, double rows, bool cut)
{
    int64_t n = (int64_t)(pos + rows);
    double pair = 4.0 * s->heads * s->head_dim, keys = 0; /* of a query and a key */

    for (int l = 0; l < s->layers; l++) {
        bool rolls = layer_rolls(s, l, n), one = cut && l == s->layers - 1;
        keys += one ? keys_seen(s, (double)(n - 1), 1, rolls) : keys_seen(s, pos, rows, rolls);
    }
    return pair * keys;
}

double prefill_flops(const hi_spec *s, int64_t n, bool cut)
{
    matrices w = matrices_of(s);
    double rows = (double)n, one = 2 * rows * (w.kv + w.qo + w.mlp);
    double last = 2 * rows * w.kv + 2 * (w.qo + w.mlp);

    return (s->layers - 1) * one + (cut ? last : one) + attention_flops(s, 0, rows, cut) + 2 * w.head;
}

void cost_prefill(const hi_spec *s, const hi_plan *p, int64_t n, hi_cost *out)
{
    model k = model_of(s, p, PREFILL);
    bool all = p->req.logits_all;
    times sum = { 0 };

    k.passes = (n + p->chunk - 1) / p->chunk;
    k.last = n - (k.passes - 1) * p->chunk;
    k.cut = !all;
    k.hidden = p->hidden == AT_HOST && k.passes > 1;
    k.full = layer_products(&k, p->chunk);
    add_panels(&k, &sum);
    set_cost(&k, &sum, prefill_flops(s, n, !all) + (all ? 2 * (double)(n - 1) * k.params.head : 0),
             out);
}

void cost_decode(const hi_spec *s, const hi_plan *p, int64_t n, hi_cost *out)
{
    model k = model_of(s, p, DECODE);
    kind pool[MAX_LAYERS];
    panel q = panel_of(&k, 0, s->layers, pool);
    products layer = layer_products(&k, 1);
    pass x = { .pos = n,
               .rows = 1,
               .last = true,
               .layer = &layer,
               .band = band_at(p, n),
               .weights = q.streamed * k.layer };
    times t = pass_times(&k, &q, &x);
    double params = k.params.kv + k.params.qo + k.params.mlp;

    t.seconds += STEPS_TOKEN * k.m->step_s;
    set_cost(&k, &t,
             s->layers * 2 * params + attention_flops(s, (double)n, 1, false) + 2 * k.params.head, out);
}

const char *bound_text(hi_bound b)
{
    static const char *const TEXT[] = { "compute", "link", "DRAM", "HBM" }; /* ORDER hi_bound */

    return TEXT[b];
}
