/*
** cost_pass.c - what one pass through the layers of a panel takes.
**
** Compute and copies run at the same time, as far as the rings reach:
**   keys     while a layer works on other things than its streamed tiles, the link fills the slots
**            and then waits. What more it has to bring, the tiles' own attention hides or nothing:
**            stall = streamed - held by slots - attention of streamed rows
**   weights  copies run in the order in which they were started. A layer that is released has its
**            successor in the ring started at once, and the next layer's tiles, but those in slots,
**            wait behind it. With more slots than two a part of it has crossed by then, where the
**            link would have waited for slots.
**
** On the cpu target norms, rotation, activation and the state of attention are passes of their own
** over the rows, at the speed of memory; elsewhere the rates of products and attention have theirs.
*/
#include "cost_pass.h"

#include <math.h>

enum {
    STEPS_PASS = 4,  /* of a pass: embed or take_hidden, put_hidden, logits, the turn */
    STEPS_LAYER = 6, /* of a layer: two awaits, norm_qkv, store, out_mlp, refill_weights */
    STEPS_CUT = 4,   /* of the last layer where only keys and values are made */
    STEPS_GROUP = 4, /* open_heads, attend_resident, attend_newest, close_heads */
    STEPS_TILE = 3   /* await, attend, refill */
};

/* ---- what all passes share ---- */

matrices matrices_of(const hi_spec *s)
{
    double h = s->hidden, d = s->head_dim;

    return (matrices){ .kv = 2 * h * d * s->kv_heads,
                       .qo = 2 * h * d * s->heads,
                       .mlp = 3 * h * s->ffn,
                       .head = h * s->vocab };
}

/* weight: bytes that one takes. */
static products product_of(const model *k, double rows, double params, double weight)
{
    products x = { .compute = 2 * rows * params / k->m->matmul, .bytes = params * weight };

    x.hbm = x.bytes / k->m->read;
    x.device = fmax(x.compute, x.hbm);
    return x;
}

static void add_products(products *sum, products x, double times)
{
    sum->compute += times * x.compute;
    sum->hbm += times * x.hbm;
    sum->device += times * x.device;
    sum->bytes += times * x.bytes;
}

static products moved(const model *k, double bytes)
{
    return (products){ 0, bytes / k->m->read, bytes / k->m->read, bytes };
}

/* Its feed-forward part goes through in pieces of mlp_rows rows. */
products layer_products(const model *k, int64_t rows)
{
    double pieces = (double)((rows + k->p->mlp_rows - 1) / k->p->mlp_rows);
    products x = product_of(k, (double)rows, k->params.kv + k->params.qo, k->weight);

    add_products(&x, product_of(k, (double)rows / pieces, k->params.mlp, k->weight), pieces);
    add_products(&x, moved(k, (double)rows * k->between), 1);
    x.compute += (pieces - 1) * k->m->step_s;
    x.device += (pieces - 1) * k->m->step_s;
    return x;
}

/*
** Two norms and the activation read and write rows, rotation and the turn to rows of one head
** queries, keys and values; the state of attention in fp32 is cleared, read, and becomes its
*output.
*/
static double bytes_between(const hi_spec *s, int elt)
{
    double q = (double)s->heads * s->head_dim, kv = 2.0 * s->kv_heads * s->head_dim;
    double rows = 4.0 * s->hidden + 3.0 * s->ffn + 2 * (q + kv / 2) + 2 * kv + q;

    return rows * elt + 2 * q * (double)sizeof(float);
}

model model_of(const hi_spec *s, const hi_plan *p, hi_phase phase)
{
    const hi_machine *m = &p->machine;
    hi_format f = plan_format(p), head = { f.elt, head_type(f.type) };

    return (model){ .s = s,
                    .p = p,
                    .m = m,
                    .params = matrices_of(s),
                    .layer = (double)layer_weight_bytes(s, f),
                    .weight = weight_size(f),
                    .head_weight = weight_size(head),
                    .row = (double)(s->kv_heads * kv_row_bytes(s, p->elt)),
                    .attend = 4.0 * s->heads * s->head_dim,
                    .token = (double)s->hidden * p->elt,
                    .between = m->shared ? bytes_between(s, p->elt) : 0,
                    .both_lost = 1 / m->both - 1,
                    .copiers = m->shared ? m->copy * m->cores : 0,
                    .phase = phase };
}

/* ---- link and memory ---- */

static double link_seconds(const model *k, double in, double out, double lost)
{
    double a = in / k->m->h2d, b = out / k->m->d2h;

    return fmax(a, b) + fmin(a, b) * lost;
}

double least_link_seconds(const model *k, double in, double out)
{
    return link_seconds(k, in, out, fmin(k->both_lost, 1));
}

double dram_seconds(const model *k, const times *t)
{
    double copied = t->in + t->out;

    return (k->m->shared ? 2 * copied + t->read : copied) / k->m->dram;
}

/* ---- attention ---- */

/* Attention of query rows that see 'keys' keys in all, 'seen' different ones. */
static products attention(const model *k, double keys, double seen)
{
    products x = { .compute = k->attend * keys / k->m->attend, .bytes = seen * k->row };

    x.hbm = x.bytes / k->m->attend_read;
    x.device = fmax(x.compute, x.hbm);
    return x;
}

/* Rows before 'pos' that a row of a layer with a window can see. */
static double before(const hi_spec *s, double pos, bool rolls)
{
    return rolls ? fmin(pos, (double)s->window.size - 1) : pos;
}

/* Row i sees i + 1 keys, up to the window. */
double keys_seen(const hi_spec *s, double pos, double rows, bool rolls)
{
    double growing = rolls ? fmin(fmax((double)s->window.size - pos, 0), rows) : rows;

    return growing * pos + growing * (growing + 1) / 2 + (rows - growing) * (double)s->window.size;
}

/* Attention of a pass of so many rows in one layer. */
static products pass_attention(const model *k, double pos, double rows, bool rolls)
{
    return attention(k, keys_seen(k->s, pos, rows, rolls), before(k->s, pos, rolls) + rows);
}

static double streamed_rows(const model *k, const pass *x, int64_t resident)
{
    int64_t complete = x->pos / KEY_SPLIT * KEY_SPLIT;

    return k->p->offload && complete > resident ? (double)(complete - resident) : 0;
}

/* Tiles of one group; on average over the passes that this one stands for. */
static double tiles_in(const pass *x, double rows)
{
    double tile = (double)x->band->tile;

    return x->grain == 0 ? ceil(rows / tile) : rows / tile + (1 - x->grain / tile) / 2;
}

/* Seconds of the link that fill all slots. */
static double slots_seconds(const model *k, const pass *x)
{
    double rows = (double)k->p->slots * (double)x->band->tile * x->band->group / k->s->kv_heads;

    return rows * k->row / k->m->h2d;
}

static double groups_of(const model *k, const pass *x)
{
    return (double)(k->s->kv_heads / x->band->group);
}

double stream_tiles(const model *k, const pass *x, int64_t resident, int layers, times *t)
{
    double rows = streamed_rows(k, x, resident), groups = layers * groups_of(k, x);

    if (rows == 0)
        return groups * STEPS_GROUP;
    t->in += (double)layers * rows * k->row;
    return groups * (STEPS_GROUP + STEPS_TILE * tiles_in(x, rows));
}

/* What a layer does besides its streamed tiles: the link can fill the slots meanwhile. */
typedef struct others {
    double before, behind; /* products in front of attention and behind it */
    double attention;      /* of all rows, streamed or not */
} others;

/*
** Seconds that one layer waits for its tiles.
**
** queries  rows that see each streamed row
** weights  seconds of copies that are queued when the layer begins
** idle     seconds behind attention in which the link has nothing but slots to fill
*/
static double tile_stall(const model *k, const pass *x, int64_t resident, double queries,
                         const others *o, double weights, double idle)
{
    double rows = streamed_rows(k, x, resident), groups = groups_of(k, x);
    double link = rows * k->row / k->m->h2d, ahead = slots_seconds(k, x), other, before, hidden;
    products tiles = attention(k, queries * rows, rows);

    if (link <= ahead)
        return 0;
    other = fmax(0, o->attention - tiles.device) / groups + STEPS_GROUP * k->m->step_s;
    before = o->before + other;
    hidden = fmin(ahead, idle + fmax(0, before - weights)) + (groups - 1) * fmin(ahead, other) +
             tiles.device + groups * STEPS_TILE * tiles_in(x, rows) * k->m->step_s;
    return fmax(0, weights - before) + fmax(0, link - hidden);
}

/* Seconds that all layers of the panel but the cut one wait. */
static double stalls(const model *k, const panel *q, const pass *x, const products *attend)
{
    double share =
        (k->params.kv + k->params.qo / 2) / (k->params.kv + k->params.qo + k->params.mlp);
    double copies = x->weights / k->layer / (q->layers + q->cut); /* of a layer, on average */
    double steps = STEPS_LAYER * k->m->step_s;
    others o = { share * (x->layer->device + steps), (1 - share) * (x->layer->device + steps),
                 attend->device };
    double weights = k->layer / k->m->h2d, sum = 0;
    double early = k->p->weight_slots > MIN_WEIGHT_SLOTS ? fmin(o.behind, weights) : 0;

    for (int i = 0; i < q->n; i++) {
        int64_t resident = q->of[i].resident;
        double rows = (double)x->rows;
        double plain = tile_stall(k, x, resident, rows, &o, 0, o.behind);
        sum += q->of[i].layers * plain;
        if (copies > 0)
            sum +=
                q->of[i].layers * copies *
                (tile_stall(k, x, resident, rows, &o, weights - early, o.behind - early) - plain);
    }
    return sum;
}

/* ---- one pass ---- */

/* The cut layer: keys and values of all rows; the rest for the prompt's last row. */
static double cut_layer(const model *k, const panel *q, const pass *x, products *sum, times *t)
{
    double rows = (double)x->rows;
    double seen = keys_seen(k->s, (double)x->pos + rows - 1, 1, q->cut_rolls);
    products all, one, attend = attention(k, seen, seen);
    others o;

    if (!q->cut)
        return 0;
    all = product_of(k, rows, k->params.kv, k->weight);
    add_products(sum, all, 1);
    if (!x->last)
        return STEPS_CUT;
    one = product_of(k, 1, k->params.qo + k->params.mlp, k->weight);
    add_products(sum, one, 1);
    add_products(sum, attend, 1);
    o = (others){ all.device, one.device, attend.device };
    sum->device += tile_stall(k, x, q->cut_resident, 1, &o, 0, o.behind);
    return STEPS_LAYER + stream_tiles(k, x, q->cut_resident, 1, t);
}

static void add_scores(const model *k, const panel *q, const pass *x, products *sum)
{
    bool all = k->p->req.logits_all;

    if (q->last && (all || x->last))
        add_products(sum, product_of(k, all ? (double)x->rows : 1, k->params.head, k->head_weight),
                     1);
}

void add_rows(const model *k, const panel *q, const pass *x, times *t)
{
    double rows = (double)x->rows;

    if (k->p->offload)
        t->out += rows * k->row * (q->layers - q->rolling + (q->cut && !q->cut_rolls));
    if (k->hidden && !q->first)
        t->in += rows * k->token;
    if (k->hidden && !q->last)
        t->out += rows * k->token;
    if (k->p->embed == AT_HOST && q->first)
        t->in += rows * k->token;
}

times pass_times(const model *k, const panel *q, const pass *x)
{
    double rows = (double)x->rows, pos = (double)x->pos;
    double steps = STEPS_PASS + (double)q->layers * STEPS_LAYER;
    products sum = { 0 }, attend = pass_attention(k, pos, rows, false);
    double waits;
    times t = { .in = x->weights };

    add_products(&sum, *x->layer, q->layers);
    add_products(&sum, attend, q->layers - q->rolling);
    if (q->rolling > 0)
        add_products(&sum, pass_attention(k, pos, rows, true), q->rolling);
    for (int i = 0; i < q->n; i++)
        steps += stream_tiles(k, x, q->of[i].resident, q->of[i].layers, &t);
    steps += cut_layer(k, q, x, &sum, &t);
    add_scores(k, q, x, &sum);
    add_rows(k, q, x, &t);
    t.compute = sum.compute + steps * k->m->step_s;
    t.hbm = sum.hbm;
    t.read = sum.bytes;
    t.seconds = sum.device + steps * k->m->step_s;
    waits = stalls(k, q, x, &attend);
    t.seconds += waits;
    if (k->copiers > 0) /* while compute waits a copy has a core of its own */
        t.seconds += fmax(0, (t.in + t.out) / k->copiers - waits / k->m->cores);
    t.seconds = fmax(t.seconds, link_seconds(k, t.in, t.out, k->both_lost));
    t.seconds = fmax(t.seconds, dram_seconds(k, &t));
    return t;
}
