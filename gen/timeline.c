/*
** timeline.c - one decoded token as it should run: what computes, what crosses the link, and when.
**
** Follows the schedule step by step. A step begins when the one before has ended and what it needs
** has arrived; it takes the longer of its arithmetic and of reading its bytes, and step_s. A copy
** begins when its slot is free, the copy before it has ended and the rows it fetches are stored.
** Left out, for they hardly show in one token: both directions at once, and the limit of host
** memory. Constants of cost.c that say how many steps a layer has are repeated here as weights of
** the steps that are drawn.
*/
#include "timeline.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "units.h"

enum {
    STEPS_BEGIN = 2,    /* embed and the turn */
    STEPS_QKV = 4,      /* two awaits, norm_qkv, store */
    STEPS_RESIDENT = 2, /* open_heads, attend_resident */
    STEPS_TILE = 3,     /* await, attend, refill */
    STEPS_NEWEST = 2,   /* attend_newest, close_heads */
    STEPS_OUT = 2,      /* out_mlp, refill_weights */
    STEPS_SCORES = 2,
    STEPS_TOKEN = 10 /* sampling, until the next token's id is there */
};

typedef struct flight {
    double start, end;
    int64_t number;
} flight;

typedef struct machine_now {
    const hi_spec *s;
    const hi_plan *p;
    const hi_band *b;
    int64_t n, complete;
    int pass;    /* the token under way: -1 to warm up, then 0 */
    double zero; /* when pass 0 began */
    double now, in_free, out_free;
    double stored[MAX_LAYERS]; /* when the layer's newest row has left the device */
    int cursor_pass, cursor_layer, cursor_head; /* the next tile to fetch */
    int64_t cursor_row;                         /* -1: the group's first */
    int64_t issued, used;                       /* tiles */
    int64_t layers_issued;                      /* copies of weights */
    int next_layer;                             /* to be fetched */
    int weights_pass;                           /* it serves */
    flight tile[MAX_SLOTS], weights[MAX_WEIGHT_SLOTS];
    timeline_sink sink;
    void *to;
} machine_now;

static void tell(const machine_now *q, span x)
{
    if (q->sink == NULL || x.pass < 0)
        return;
    x.start -= q->zero;
    x.end -= q->zero;
    x.copy_start -= q->zero;
    x.copy_end -= q->zero;
    q->sink(&x, q->to);
}

/* ---- the link ---- */

static flight copy_in(machine_now *q, double ready, int64_t bytes, span x)
{
    flight f = { .start = fmax(fmax(q->now, ready), q->in_free), .number = x.copy };

    f.end = f.start + (double)bytes / q->p->machine.h2d;
    q->in_free = f.end;
    x.lane = LANE_IN;
    x.step = "copy";
    x.start = f.start;
    x.end = f.end;
    x.bytes = bytes;
    tell(q, x);
    return f;
}

static void store(machine_now *q, int layer)
{
    int64_t bytes = q->s->kv_heads * kv_row_bytes(q->s, q->p->elt);
    double start = fmax(q->now, q->out_free);

    q->out_free = start + (double)bytes / q->p->machine.d2h;
    q->stored[layer] = q->out_free;
    tell(q, (span){ .lane = LANE_OUT,
                    .kind = SPAN_STORE,
                    .step = "store",
                    .pass = q->pass,
                    .start = start,
                    .end = q->out_free,
                    .layer = layer,
                    .n = q->s->kv_heads,
                    .row = q->n,
                    .rows = 1,
                    .bytes = bytes,
                    .slot = -1 });
}

/* ---- the ring of tiles ---- */

static bool pass_after(const machine_now *q, int pass)
{
    return pass < 0 || q->n + 1 < q->p->ctx;
}

/* Moves the cursor to the next tile there is, as the run's ring does; 'stored' is the last layer
   whose row of the token under way is on its way. */
static bool find_tile(machine_now *q, int stored)
{
    for (;;) {
        if (q->cursor_layer == q->s->layers) {
            if (q->cursor_pass > q->pass || !pass_after(q, q->cursor_pass))
                return false;
            q->cursor_pass++;
            q->cursor_layer = q->cursor_head = 0;
            q->cursor_row = -1;
        }
        if (q->cursor_pass > q->pass && q->cursor_layer > stored)
            return false;
        if (q->cursor_row < 0)
            q->cursor_row = q->p->resident[DECODE][q->cursor_layer];
        if (q->cursor_row < q->complete)
            return true;
        q->cursor_row = -1;
        q->cursor_head += q->b->group;
        if (q->cursor_head == q->s->kv_heads) {
            q->cursor_head = 0;
            q->cursor_layer++;
        }
    }
}

static void fetch_tiles(machine_now *q, int stored)
{
    int slots = q->p->slots;

    while (q->p->offload && q->issued - q->used < slots && find_tile(q, stored)) {
        int64_t left = q->complete - q->cursor_row, rows = left < q->b->tile ? left : q->b->tile;
        span x = { .kind = SPAN_COPY_TILE,
                   .pass = q->cursor_pass,
                   .layer = q->cursor_layer,
                   .head = q->cursor_head,
                   .n = q->b->group,
                   .row = q->cursor_row,
                   .rows = rows,
                   .copy = q->issued,
                   .slot = (int)(q->issued % slots) };
        q->tile[x.slot] =
            copy_in(q, q->stored[x.layer], rows * x.n * kv_row_bytes(q->s, q->p->elt), x);
        q->issued++;
        q->cursor_row += q->b->tile;
    }
}

/* ---- the ring of weights ---- */

static void fetch_weights(machine_now *q)
{
    span x = { .kind = SPAN_COPY_WEIGHTS,
               .pass = q->weights_pass,
               .copy = q->layers_issued,
               .slot = (int)(q->layers_issued % q->p->weight_slots) };

    while (!q->p->streamed[q->next_layer])
        q->next_layer++;
    x.layer = q->next_layer;
    q->weights[x.slot] = copy_in(q, 0, layer_weight_bytes(q->s, plan_format(q->p)), x);
    q->layers_issued++;
    do {
        q->next_layer++;
    } while (q->next_layer < q->s->layers && !q->p->streamed[q->next_layer]);
    if (q->next_layer == q->s->layers) {
        q->next_layer = 0;
        q->weights_pass++;
    }
}

/* The slot of a streamed layer's weights; used up in the order of the copies. */
static int weights_slot(const machine_now *q, int64_t layers_used)
{
    return (int)(layers_used % q->p->weight_slots);
}

/* ---- compute ---- */

/* One step of the compute lane: 'steps' of the schedule's, so many FLOPs at a rate, bytes read. */
static void compute(machine_now *q, span x, int steps, double arithmetic_s, double read_s)
{
    x.lane = LANE_COMPUTE;
    x.pass = q->pass;
    x.start = q->now;
    x.end = q->now + steps * q->p->machine.step_s + fmax(arithmetic_s, read_s);
    q->now = x.end;
    tell(q, x);
}

/* Copies by the cores that compute. */
static double taken_by_copies(const machine_now *q, int64_t bytes)
{
    const hi_machine *m = &q->p->machine;
    return m->shared && m->copy > 0 ? (double)bytes / (m->copy * m->cores) : 0;
}

static void products(machine_now *q, const char *step, int layer, int steps, int64_t params,
                     double extra_s)
{
    const hi_machine *m = &q->p->machine;
    hi_format f = plan_format(q->p);
    hi_weights_type type = layer < 0 ? head_type(f.type) : f.type;
    int64_t bytes = (int64_t)((double)params * weight_size((hi_format){ f.elt, type }));
    span x = { .kind = SPAN_PRODUCTS, .step = step, .layer = layer, .bytes = bytes, .slot = -1 };
    int streamed = 0;

    for (int l = 0; l < layer; l++)
        streamed += q->p->streamed[l];
    if (layer >= 0 && q->p->streamed[layer]) {
        int64_t used = streamed;
        for (int l = 0; l < q->s->layers && q->pass == 0; l++)
            used += q->p->streamed[l];
        x.slot = weights_slot(q, used);
        x.copy = q->weights[x.slot].number;
        x.copy_start = q->weights[x.slot].start;
        x.copy_end = q->weights[x.slot].end;
        q->now = fmax(q->now, x.copy_end);
    }
    compute(q, x, steps, 2.0 * (double)params / m->matmul, (double)bytes / m->read + extra_s);
}

static void attend(machine_now *q, span x, int steps)
{
    const hi_machine *m = &q->p->machine;
    double flops = 4.0 * (q->s->heads / q->s->kv_heads) * x.n * q->s->head_dim * (double)x.rows;

    x.bytes = x.rows * x.n * kv_row_bytes(q->s, q->p->elt);
    double copies_s = x.kind == SPAN_TILE ? taken_by_copies(q, x.bytes) : 0;
    compute(q, x, steps, flops / m->attend, (double)x.bytes / m->attend_read + copies_s);
}

static void attend_tiles(machine_now *q, int layer, int head)
{
    int64_t tile = q->b->tile;

    for (int64_t row = q->p->resident[DECODE][layer]; row < q->complete; row += tile) {
        int slot = (int)(q->used % q->p->slots);
        const flight *f = &q->tile[slot];
        q->now = fmax(q->now, f->end);
        attend(q,
               (span){ .kind = SPAN_TILE,
                       .step = "attend",
                       .layer = layer,
                       .head = head,
                       .n = q->b->group,
                       .row = row,
                       .rows = q->complete - row < tile ? q->complete - row : tile,
                       .copy = f->number,
                       .slot = slot,
                       .copy_start = f->start,
                       .copy_end = f->end },
               STEPS_TILE);
        q->used++;
        fetch_tiles(q, layer);
    }
}

static void attend_group(machine_now *q, int layer, int head)
{
    int64_t resident = q->p->resident[DECODE][layer], seen = q->n + 1,
            most = q->p->offload ? q->complete : seen;
    span x = { .kind = SPAN_RESIDENT,
               .step = "attend_resident",
               .layer = layer,
               .head = head,
               .n = q->b->group,
               .rows = resident < most ? resident : most,
               .slot = -1 };

    if (layer_rolls(q->s, layer, q->p->ctx)) {
        int64_t first = seen > q->s->window.size ? seen - q->s->window.size : 0;
        x.step = "attend_near";
        x.row = first / KEY_SPLIT * KEY_SPLIT;
        x.rows = q->complete - x.row;
        most = q->complete;
    }
    if (x.rows > 0)
        attend(q, x, STEPS_RESIDENT);
    if (most == seen)
        return;
    attend_tiles(q, layer, head);
    x.kind = SPAN_NEWEST;
    x.step = "attend_newest";
    x.row = q->complete;
    x.rows = seen - q->complete;
    attend(q, x, STEPS_NEWEST);
}

/* ---- a token ---- */

static void run_layer(machine_now *q, int l)
{
    const hi_spec *s = q->s;
    int64_t h = s->hidden, d = s->head_dim;
    int64_t layer_bytes = q->p->streamed[l] ? layer_weight_bytes(s, plan_format(q->p)) : 0;

    products(q, "norm_qkv", l, STEPS_QKV, h * d * (s->heads + 2 * s->kv_heads), 0);
    if (q->p->offload && !layer_rolls(s, l, q->p->ctx))
        store(q, l);
    for (int head = 0; head < s->kv_heads; head += q->b->group)
        attend_group(q, l, head);
    products(q, "out_mlp", l, STEPS_OUT, h * d * s->heads + 3 * h * s->ffn,
             taken_by_copies(q, layer_bytes));
    if (q->p->streamed[l])
        fetch_weights(q);
}

static void run_token(machine_now *q)
{
    const hi_plan *p = q->p;

    fetch_tiles(q, -1);
    if (p->embed == AT_HOST) {
        span x = { .kind = SPAN_COPY_EMBED, .pass = q->pass, .layer = -1, .slot = -1 };
        q->now = copy_in(q, 0, (int64_t)q->s->hidden * p->elt, x).end;
    }
    q->now += STEPS_BEGIN * p->machine.step_s;
    for (int l = 0; l < q->s->layers; l++)
        run_layer(q, l);
    products(q, "logits", -1, STEPS_SCORES, (int64_t)q->s->hidden * q->s->vocab, 0);
    q->now += STEPS_TOKEN * p->machine.step_s;
}

static void begin(machine_now *q, const hi_spec *s, const hi_plan *p, int64_t n)
{
    const hi_band *b = p->band;

    memset(q, 0, sizeof *q);
    q->s = s;
    q->p = p;
    q->n = n;
    q->complete = n / KEY_SPLIT * KEY_SPLIT;
    while (b < &p->band[p->n_bands - 1] && q->complete > b->upto)
        b++;
    q->b = b;
    q->pass = q->cursor_pass = q->weights_pass = -1;
    q->cursor_row = -1;
}

double timeline_run(const hi_spec *s, const hi_plan *p, int64_t n, timeline_sink f, void *to)
{
    machine_now q;
    double zero = 0;

    for (int seen = 0; seen < 2; seen++) { /* at first to learn when the step begins */
        begin(&q, s, p, n);
        q.zero = zero;
        q.sink = seen ? f : NULL;
        q.to = to;
        for (int i = 0; i < p->weight_slots; i++)
            fetch_weights(&q);
        run_token(&q);
        zero = q.now;
        q.pass = 0;
    }
    run_token(&q);
    return q.now - zero;
}

/* ---- text ---- */

void span_print(const span *x, text *out)
{
    char bytes[UNIT_LEN], start[UNIT_LEN], end[UNIT_LEN];

    bytes_text((double)x->bytes, bytes);
    time_text(x->start, start);
    time_text(x->end - x->start, end);
    text_printf(out, "%s%s:", x->step, x->kind == SPAN_COPY_WEIGHTS ? " weights" : "");
    if (x->layer >= 0)
        text_printf(out, " layer %d,", x->layer);
    if (x->n == 1)
        text_printf(out, " head %d,", x->head);
    else if (x->n > 1)
        text_printf(out, " heads %d-%d,", x->head, x->head + x->n - 1);
    if (x->rows > 0)
        text_printf(out, " rows %" PRId64 "-%" PRId64 ",", x->row, x->row + x->rows - 1);
    text_printf(out, " %s; from %s, %s long", bytes, start, end);
}
