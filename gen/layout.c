/*
** layout.c - bytes and places of a plan's buffers on device and host.
**
** The device arena has two layouts, one a phase; what stays in both (buffers.def: KEEP) stands
** first, so that it lies at the same offsets. Takes decisions as they are and makes none.
*/
#include "layout.h"

#include <string.h>
#include "target.h"

enum {
    HOST_ALIGN = 4096
};

typedef enum {
    KEEP = 3,
    BOTH = 4
} phases_wanted; /* PREFILL and DECODE are 0 and 1 */

static const int PHASES_OF[N_BUFFERS] = {
#define B(name, phases, what) phases,
#include "buffers.def"
#undef B
};

static bool in_phase(hi_buffer_id id, hi_phase phase)
{
    return PHASES_OF[id] == KEEP || PHASES_OF[id] == BOTH || PHASES_OF[id] == (int)phase;
}

/* Floats of the running state of one KV head's query rows: output, max and sum. */
static int64_t state_bytes(const hi_spec *s, int64_t rows)
{
    return rows * (s->heads / s->kv_heads) * (s->head_dim + 2) * 4;
}

static int64_t weights_kept(const hi_spec *s, const hi_plan *p)
{
    return once_bytes(s, plan_format(p), p->embed == AT_HOST) +
           p->resident_layers * layer_weight_bytes(s, plan_format(p));
}

/* Rows of one KV head, summed over layers: leading ones of prefill, or those decode adds. Layers
   that roll have theirs in 'near'. */
static int64_t kept_rows(const hi_spec *s, const hi_plan *p, bool frames)
{
    int64_t sum = 0;
    for (int l = 0; l < s->layers; l++)
        if (!layer_rolls(s, l, p->ctx))
            sum += p->resident[frames ? DECODE : PREFILL][l] - (frames ? p->resident[PREFILL][l] : 0);
    return sum;
}

/* Copies of the pass's hidden states in prefill: none where they are worked on in place. */
static int64_t hidden_halves(const hi_plan *p)
{
    return p->hidden == AT_DEVICE ? 0 : p->hidden == AT_HOST ? 2 : 1;
}

static int64_t kv_buffer_bytes(const hi_spec *s, const hi_plan *p, hi_buffer_id id, int64_t rows)
{
    int64_t row = kv_row_bytes(s, p->elt), heads = s->kv_heads;
    const hi_band *widest = &p->band[0];
    int rolling = rolling_layers(s, p->ctx), staged = p->offload ? s->layers : rolling;

    switch (id) {
    case BUF_tails:
        return staged * heads * 2 * KEY_SPLIT * row;
    case BUF_kept:
        return kept_rows(s, p, false) * heads * row;
    case BUF_near:
        return rolling * heads * p->near_rows * row;
    case BUF_frames:
        return kept_rows(s, p, true) * heads * row;
    case BUF_slots:
        return p->offload ? p->slots * widest->group * widest->tile * row : 0;
    case BUF_window:
        return staged > 0 ? heads * (KEY_SPLIT + p->chunk) * row : 0;
    case BUF_carry:
        return widest->group * state_bytes(s, rows);
    default: /* parts */
        return widest->group * (p->piece / KEY_SPLIT) * state_bytes(s, rows);
    }
}

static int64_t buffer_bytes(const hi_spec *s, const hi_plan *p, hi_phase phase, hi_buffer_id id)
{
    int64_t rows = p->rows[phase], q_cols = (int64_t)s->heads * s->head_dim;
    int64_t kv_cols = (int64_t)s->kv_heads * s->head_dim;

    switch (id) {
    case BUF_weights:
        return weights_kept(s, p);
    case BUF_layers:
        return p->weight_slots * layer_weight_bytes(s, plan_format(p));
    case BUF_work:
        return TARGET[p->req.target].work_bytes;
    case BUF_ids:
        return rows * 4;
    case BUF_rope:
        return rows * s->head_dim * 4;
    case BUF_hidden:
        return p->hidden == AT_DEVICE ? p->ctx * s->hidden * p->elt : 0;
    case BUF_x:
        return (phase == PREFILL ? hidden_halves(p) : 1) * rows * s->hidden * p->elt;
    case BUF_h:
        return rows * s->hidden * p->elt;
    case BUF_qkv:
        return rows * (q_cols + 2 * kv_cols) * p->elt;
    case BUF_o:
        return rows * q_cols * p->elt;
    case BUF_mlp:
        return (phase == PREFILL ? p->mlp_rows : 1) * 2 * s->ffn * p->elt;
    case BUF_logits:
        return p->logit_rows[phase] * (int64_t)s->vocab * 4;
    default:
        return kv_buffer_bytes(s, p, id, rows);
    }
}

int64_t layout_end(const hi_plan *p, hi_phase phase)
{
    int64_t end = 0;
    for (int id = 0; id < N_BUFFERS; id++) {
        const hi_buffer *b = &p->buf[phase][id];
        if (b->bytes > 0 && b->offset + b->bytes > end)
            end = b->offset + b->bytes;
    }
    return end;
}

static void lay_out_device(const hi_spec *s, hi_plan *p)
{
    int64_t end[N_PHASES] = { 0, 0 };

    memset(p->buf, 0, sizeof p->buf);
    for (int id = 0; id < N_BUFFERS; id++)
        for (int phase = PREFILL; phase <= DECODE; phase++) {
            hi_buffer *b = &p->buf[phase][id];
            b->bytes = in_phase(id, phase) ? buffer_bytes(s, p, phase, id) : 0;
            if (b->bytes == 0)
                continue;
            b->offset = end[phase] == 0 ? 0 : round_up(end[phase] + BUF_GAP, BUF_ALIGN);
            end[phase] = b->offset + b->bytes;
        }
    p->arena_bytes = round_up(end[PREFILL] > end[DECODE] ? end[PREFILL] : end[DECODE], BUF_ALIGN);
}

static void lay_out_host(const hi_spec *s, hi_plan *p)
{
    const int64_t bytes[N_HOSTS] = {
        [HOST_kv] = p->offload ? p->ctx * store_token_bytes(s, p->ctx, p->elt) : 0,
        [HOST_layers] = (s->layers - p->resident_layers) * layer_weight_bytes(s, plan_format(p)),
        [HOST_embed] = p->embed == AT_HOST ? embed_bytes(s, p->elt) : 0,
        [HOST_hidden] = p->hidden == AT_HOST ? p->ctx * s->hidden * p->elt : 0,
    };

    p->host_bytes = 0;
    for (int id = 0; id < N_HOSTS; id++) {
        p->host[id] = (hi_buffer){ bytes[id] > 0 ? p->host_bytes : 0, bytes[id] };
        p->host_bytes = round_up(p->host_bytes + bytes[id], HOST_ALIGN);
    }
}

/* A tile, or more of the context where the target wants more at once. */
static int64_t piece_rows(const hi_plan *p)
{
    int64_t most = TARGET[p->req.target].piece, whole = round_up(p->ctx, KEY_SPLIT);
    int64_t rows = most < whole ? most : whole;
    return rows > p->band[0].tile ? rows : p->band[0].tile;
}

/* A window, and room so that it may be read whole while the next split is written, or after some
   tokens were taken back. */
static int64_t near_rows(const hi_spec *s, int64_t ctx)
{
    return rolling_layers(s, ctx) > 0 ? round_up(s->window.size, KEY_SPLIT) + KEY_SPLIT : 0;
}

void layout_buffers(const hi_spec *s, hi_plan *p)
{
    p->near_rows = near_rows(s, p->ctx);
    p->piece = piece_rows(p);
    lay_out_device(s, p);
    lay_out_host(s, p);
}
