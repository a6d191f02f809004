/*
** plan_check_bytes.c - is every buffer of a plan large enough, and where it should be?
**
** Counts once more what sizes.c and layout.c have counted, from what each buffer holds, and shares
** no code with them.
*/
#include <inttypes.h>
#include <stdlib.h>

#include "plan_check.h"

enum {
    PAGE = 4096,         /* host buffers begin at multiples of it */
    CUDA_WORK = 8 << 20, /* runtime/cuda/lt.c may take so much */
    CUDA_PIECE = 32768,  /* rows that fill a GPU in decode */
    CPU_PIECE = 8192     /* and many cores */
};

/* Where a buffer lives; the names are those of buffers.def. */
typedef enum {
    PLACE_KEEP,
    PLACE_BOTH,
    PLACE_PREFILL,
    PLACE_DECODE
} place;

static const struct {
    const char *name;
    place place;
} buffer[N_BUFFERS] = {
#define B(name, phases, what) { #name, PLACE_##phases },
#include "buffers.def"
#undef B
};

static const char *const host_name[N_HOSTS] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
};

static const char *const phase_name[N_PHASES] = { "prefill", "decode" };

/* ---- weights ---- */

/* The end of a tensor of n elements that follows 'at'; tensors start at multiples of 64. */
static int64_t tensor(int64_t at, int64_t n, int elt)
{
    return add(up_to(at, 64), mul(n, elt));
}

/* Elements, or for every 32 of a row 16 or 32 bytes and two of a scale. */
static int64_t packed(int64_t at, int64_t rows, int64_t cols, int elt, hi_weights_type type)
{
    if (type == WEIGHTS_STORED)
        return tensor(at, mul(up_to(rows, PANEL), cols), elt);
    return tensor(at, mul(up_to(rows, PANEL), up_to(cols, 32) / 32), type == WEIGHTS_Q8 ? 34 : 18);
}

/* A norm that not every family has. */
static int64_t norm(const hi_spec *s, hi_tensor_role role, int64_t at, int64_t n, int elt)
{
    return s->tensor[role][0] == '\0' ? at : tensor(at, n, elt);
}

static int64_t count_layer(const hi_spec *s, const hi_plan *p)
{
    hi_weights_type type = p->req.weights_type;
    int elt = p->elt;
    int64_t qkv = (s->heads + 2 * (int64_t)s->kv_heads) * s->head_dim;
    int64_t at = tensor(0, s->hidden, elt);
    at = packed(at, qkv, s->hidden, elt, type);
    if (s->qkv_bias)
        at = tensor(at, qkv, elt);
    at = norm(s, T_Q_NORM, at, s->head_dim, elt);
    at = norm(s, T_K_NORM, at, s->head_dim, elt);
    at = packed(at, s->hidden, (int64_t)s->heads * s->head_dim, elt, type);
    if (s->o_bias)
        at = tensor(at, s->hidden, elt);
    at = norm(s, T_ATTN_POST_NORM, at, s->hidden, elt);
    at = tensor(at, s->hidden, elt);
    at = packed(at, 2 * (int64_t)s->ffn, s->hidden, elt, type);
    if (s->mlp_bias)
        at = tensor(at, 2 * (int64_t)s->ffn, elt);
    at = packed(at, s->hidden, s->ffn, elt, type);
    if (s->mlp_bias)
        at = tensor(at, s->hidden, elt);
    at = norm(s, T_MLP_POST_NORM, at, s->hidden, elt);
    return up_to(at, BUF_ALIGN);
}

/* The embedding, the scores' matrix, the last norm; one matrix where the first two are tied. That has
   8 bits where the layers have 4. */
static int64_t count_once(const hi_spec *s, const hi_plan *p)
{
    int64_t at = 0;
    if (p->embed == AT_DEVICE && !s->tied)
        at = tensor(at, mul(s->vocab, s->hidden), p->elt);
    at = packed(at, s->vocab, s->hidden, p->elt,
                p->req.weights_type == WEIGHTS_STORED ? WEIGHTS_STORED : WEIGHTS_Q8);
    return up_to(tensor(at, s->hidden, p->elt), BUF_ALIGN);
}

/* ---- buffers ---- */

/* K and V of 'rows' rows of one entry. */
static int64_t kv_bytes(const hi_spec *s, const hi_plan *p, int64_t rows)
{
    return mul(rows, 2 * (int64_t)s->head_dim * p->elt);
}

/* Rows of all entries that stay in a phase. */
static int64_t count_resident(const hi_spec *s, const hi_plan *p, hi_phase phase)
{
    int64_t rows = 0;
    for (int l = 0; l < s->layers; l++)
        if (!sees_window(s, p, l))
            rows = add(rows, mul(p->resident[phase][l], s->kv_heads));
    return rows;
}

/* Entries of the layers that see a window alone. */
static int64_t count_near(const hi_spec *s, const hi_plan *p)
{
    int64_t n = 0;
    for (int l = 0; l < s->layers; l++)
        n += sees_window(s, p, l) ? s->kv_heads : 0;
    return n;
}

/* KV heads of the widest group. */
static int64_t widest_group(const hi_plan *p)
{
    int n = 0;
    for (int b = 0; b < p->n_bands; b++)
        n = p->band[b].group > n ? p->band[b].group : n;
    return n;
}

/* Rows of one call of attention in decode. */
static int64_t count_piece(const hi_plan *p)
{
    int64_t rows = p->req.target == TARGET_CUDA ? CUDA_PIECE : CPU_PIECE;
    if (rows > up_to(p->ctx, KEY_SPLIT))
        rows = up_to(p->ctx, KEY_SPLIT);
    return rows > p->band[0].tile ? rows : p->band[0].tile;
}

/* Rows of hidden states in 'x': in prefill none where 'hidden' holds them, or two halves. */
static int64_t count_x(const hi_plan *p, hi_phase phase)
{
    if (phase == DECODE || p->hidden == AT_NONE)
        return p->rows[phase];
    return p->hidden == AT_HOST ? 2 * (int64_t)p->rows[phase] : 0;
}

/* Bytes a phase needs of a buffer that is there in it. */
static int64_t count(const hi_spec *s, const hi_plan *p, hi_phase phase, hi_buffer_id id)
{
    int64_t rows = p->rows[phase], elt = p->elt;
    int64_t near = count_near(s, p), staged = p->offload ? (int64_t)s->layers * s->kv_heads : near;
    int64_t tiled = mul(p->band[0].group, p->band[0].tile); /* the same in every band */
    int64_t state = mul(mul(rows, s->heads / s->kv_heads * (int64_t)(s->head_dim + 2)), 4);
    switch (id) {
    case BUF_weights:
        return add(count_once(s, p), mul(p->resident_layers, count_layer(s, p)));
    case BUF_layers:
        return mul(p->weight_slots, count_layer(s, p));
    case BUF_tails:
        return mul(staged, kv_bytes(s, p, 2 * KEY_SPLIT));
    case BUF_kept:
        return kv_bytes(s, p, count_resident(s, p, PREFILL));
    case BUF_near:
        return mul(near, kv_bytes(s, p, p->near_rows));
    case BUF_frames:
        return kv_bytes(s, p, count_resident(s, p, DECODE) - count_resident(s, p, PREFILL));
    case BUF_slots:
        return p->offload ? mul(p->slots, kv_bytes(s, p, tiled)) : 0;
    case BUF_window:
        return staged > 0 ? mul(s->kv_heads, kv_bytes(s, p, KEY_SPLIT + p->chunk)) : 0;
    case BUF_work:
        return p->req.target == TARGET_CUDA ? CUDA_WORK : 0;
    case BUF_ids:
        return mul(rows, 4);
    case BUF_rope:
        return mul(rows, s->head_dim * (int64_t)4);
    case BUF_hidden:
        return p->hidden == AT_DEVICE ? mul(p->ctx, s->hidden * elt) : 0;
    case BUF_x:
        return mul(count_x(p, phase), s->hidden * elt);
    case BUF_h:
        return mul(rows, s->hidden * elt);
    case BUF_qkv:
        return mul(rows, (s->heads + 2 * (int64_t)s->kv_heads) * s->head_dim * elt);
    case BUF_o:
        return mul(rows, (int64_t)s->heads * s->head_dim * elt);
    case BUF_mlp:
        return mul(phase == PREFILL ? p->mlp_rows : 1, 2 * (int64_t)s->ffn * elt);
    case BUF_carry:
        return mul(widest_group(p), state);
    case BUF_parts:
        return mul(mul(p->band[0].group, count_piece(p) / KEY_SPLIT), state);
    case BUF_logits:
        return mul(p->logit_rows[phase], s->vocab * (int64_t)4);
    case N_BUFFERS:
        break;
    }
    return 0;
}

static int check_size(const hi_spec *s, const hi_plan *p, hi_phase phase, int id, hi_error *e)
{
    const hi_buffer *b = &p->buf[phase][id];
    place at = buffer[id].place;
    bool absent = at == (phase == PREFILL ? PLACE_DECODE : PLACE_PREFILL);
    int64_t need = absent ? 0 : count(s, p, phase, id);
    if (b->bytes != need)
        return gen_fail(e, "buffer %s in %s: %" PRId64 " bytes, needs %" PRId64, buffer[id].name,
                        phase_name[phase], b->bytes, need);
    if (b->bytes > 0 && (b->offset < 0 || b->offset % BUF_ALIGN != 0))
        return gen_fail(e, "buffer %s in %s: offset %" PRId64 " is not a multiple of %d",
                        buffer[id].name, phase_name[phase], b->offset, BUF_ALIGN);
    const hi_buffer *o = &p->buf[!phase][id];
    if (at == PLACE_KEEP && (b->bytes != o->bytes || (b->bytes > 0 && b->offset != o->offset)))
        return gen_fail(e, "buffer %s: differs between the phases", buffer[id].name);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const hi_buffer *x = *(const hi_buffer *const *)a, *y = *(const hi_buffer *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Those of n buffers that are there, by offset; returns their number. */
static int sort_buffers(const hi_buffer *b, int n, const hi_buffer **order)
{
    int k = 0;
    for (int i = 0; i < n; i++)
        if (b[i].bytes > 0)
            order[k++] = &b[i];
    qsort(order, (size_t)k, sizeof *order, by_offset);
    return k;
}

static int64_t end_of(const hi_buffer *b)
{
    return add(b->offset, b->bytes);
}

/* Finds the end of the phase's last buffer; every buffer has its gap before the next one. */
static int check_places(const hi_plan *p, hi_phase phase, int64_t *end, hi_error *e)
{
    const hi_buffer *order[N_BUFFERS];
    int n = sort_buffers(p->buf[phase], N_BUFFERS, order);
    for (int i = 0; i + 1 < n; i++)
        if (order[i + 1]->offset < add(end_of(order[i]), BUF_GAP))
            return gen_fail(e, "buffers %s and %s in %s: less than %d bytes between them",
                            buffer[order[i] - p->buf[phase]].name,
                            buffer[order[i + 1] - p->buf[phase]].name, phase_name[phase], BUF_GAP);
    int64_t last = n > 0 ? end_of(order[n - 1]) : 0;
    *end = last > *end ? last : *end;
    return 0;
}

/* The arena ends with its last buffer or that buffer's gap, and fits the budget. */
static int check_arena(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    int64_t end = 0;
    for (int phase = 0; phase < N_PHASES; phase++) {
        for (int id = 0; id < N_BUFFERS; id++)
            if (check_size(s, p, phase, id, e) != 0)
                return -1;
        if (check_places(p, phase, &end, e) != 0)
            return -1;
    }
    if (want_within("arena_bytes", p->arena_bytes, end, add(end, BUF_GAP + BUF_ALIGN - 1), e) ||
        want_multiple("arena_bytes", p->arena_bytes, BUF_ALIGN, e) ||
        want("piece", p->piece, count_piece(p), e) ||
        want_within("reserve_bytes", p->reserve_bytes, 0, INT64_MAX, e))
        return -1;
    if (p->req.vram_bytes < 0)
        return 0;
    return want_within("arena_bytes + reserve_bytes", add(p->arena_bytes, p->reserve_bytes), 0,
                       p->req.vram_bytes, e);
}

/* ---- host ---- */

static int64_t count_host(const hi_spec *s, const hi_plan *p, hi_host_id id)
{
    int64_t entries = (int64_t)s->layers * s->kv_heads - count_near(s, p);
    int64_t row = s->hidden * (int64_t)p->elt;
    switch (id) {
    case HOST_kv:
        return p->offload ? mul(p->ctx, mul(entries, kv_bytes(s, p, 1))) : 0;
    case HOST_layers:
        return mul(s->layers - p->resident_layers, count_layer(s, p));
    case HOST_embed:
        return p->embed == AT_HOST ? mul(s->vocab, row) : 0;
    case HOST_hidden:
        return p->hidden == AT_HOST ? mul(p->ctx, row) : 0;
    case N_HOSTS:
        break;
    }
    return 0;
}

static int check_host(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    const hi_buffer *order[N_HOSTS];
    for (int id = 0; id < N_HOSTS; id++) {
        const hi_buffer *b = &p->host[id];
        int64_t need = count_host(s, p, id);
        if (b->bytes != need)
            return gen_fail(e, "host buffer %s: %" PRId64 " bytes, needs %" PRId64, host_name[id],
                            b->bytes, need);
        if (b->bytes > 0 && (b->offset < 0 || b->offset % PAGE != 0))
            return gen_fail(e, "host buffer %s: offset %" PRId64 " is not a multiple of %d",
                            host_name[id], b->offset, PAGE);
    }
    int n = sort_buffers(p->host, N_HOSTS, order);
    for (int i = 0; i + 1 < n; i++)
        if (order[i + 1]->offset < end_of(order[i]))
            return gen_fail(e, "host buffers %s and %s overlap", host_name[order[i] - p->host],
                            host_name[order[i + 1] - p->host]);
    if (want("host_bytes", p->host_bytes, n > 0 ? up_to(end_of(order[n - 1]), PAGE) : 0, e) != 0)
        return -1;
    return p->req.ram_bytes < 0 ? 0
                                : want_within("host_bytes", p->host_bytes, 0, p->req.ram_bytes, e);
}

int check_bytes(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    return check_arena(s, p, e) != 0 ? -1 : check_host(s, p, e);
}
