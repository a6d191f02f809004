/*
** compute.c - what the cuda target computes: kernels and products on the compute stream.
**
** Compiled once per shape: shape.h and geometry.h say how kernels are launched.
*/
#include "inside.h"

#include <assert.h>
#include <math.h>
#include "args.h"
#include "geometry.h"
#include "tensor_map.h"

const int kernel_shared[N_KERNELS] = {
    [K_rmsnorm] = NORM_SMEM,
    [K_product] = PRODUCT_SMEM,
    [K_product_wide] = PRODUCT_SMEM,
    [K_attend_full] = ATTEND_SMEM,
    [K_attend_causal] = ATTEND_SMEM,
    [K_attend_part] = PART_SMEM,
    [K_attend_full_sm90] = ATTEND_SM90_SMEM,
    [K_attend_causal_sm90] = ATTEND_SM90_SMEM,
};

const bool kernels_hopper = ATTEND_SM90;

static int64_t blocks(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* Where a token that is recorded finds its position. */
static const i64 *word(const hi_device *d)
{
    return d->graph.recording ? d->graph.word : NULL;
}

/* ---- rows ---- */

/* Where a kernel finds the embedding, on the device or pinned; NULL: copies must fetch its rows. */
static const unsigned char *embedding(const hi_device *d)
{
    const hi_model *m = d->m;
    const hi_buffer *host = &m->host[HI_H_EMBED];
    bool pinned;

    if (m->embed >= 0)
        return d->arena + m->buf[HI_PREFILL][HI_B_WEIGHTS].offset + m->embed;
    int64_t end = store_run(&d->store, host->offset, &pinned);
    return pinned && d->reads_host && end >= host->offset + host->bytes
               ? d->store.base + host->offset
               : NULL;
}

void dev_embed(hi_device *d, void *x, int32_t *ids, int64_t first, int rows)
{
    embed_args a = { .x = x, .table = embedding(d), .ids = ids, .rows = rows };

    if (a.table == NULL) {
        queue_gather(d, x, d->ids + first, rows, HIDDEN * 2);
        return;
    }
    CUDA(d, "sending token ids",
         cudaMemcpyAsync(ids, d->ids + first, (size_t)rows * sizeof *ids, cudaMemcpyHostToDevice,
                         d->compute));
    kernel_launch(d, K_embed, (launch_shape){ rows, 1, 1, ROW_THREADS }, &a);
    if (d->m->embed < 0)
        d->gathered_bytes += (int64_t)rows * HIDDEN * 2;
}

void dev_rope_table(hi_device *d, float *cs, int64_t pos0, int rows)
{
    rope_args a = { .cs = cs, .pos0 = pos0, .pos = word(d), .rows = rows,
                    .scale = d->m->rope_scale };

    for (int i = 0; i < HEAD_DIM / 2; i++)
        a.freq[i] = d->m->rope_freq[i];
    kernel_launch(d, K_rope_table, (launch_shape){ rows, 1, 1, ROPE_THREADS }, &a);
}

void dev_rmsnorm(hi_device *d, void *y, const void *x, const void *w, int rows, dev_mode mode)
{
    norm_args a = { y, x, w, rows, d->m->norm_eps, mode == DEV_ADD };
    kernel_launch(d, K_rmsnorm, (launch_shape){ rows, 1, 1, ROW_THREADS }, &a);
}

void dev_place(hi_device *d, const dev_placing *p)
{
    place_args a = { .qkv = p->qkv, .cs = p->cs, .q_norm = p->q_norm, .k_norm = p->k_norm,
                     .eps = d->m->norm_eps, .rows = p->rows, .q_row = p->q_row,
                     .n_runs = p->n_runs, .pos = word(d) };
    int64_t moved = a.pos != NULL ? d->graph.pos * HEAD_DIM * 2 : 0; /* the kernel moves it on */

    for (int i = 0; i < p->n_runs; i++) {
        const dev_run *r = &p->run[i];
        a.run[i] = (place_run){ r->dst - moved, r->head_pitch, r->v_offset, r->row, r->rows };
    }
    kernel_launch(d, K_place, (launch_shape){ p->rows, 1, 1, ROW_THREADS }, &a);
}

void dev_activate(hi_device *d, void *mlp, int rows)
{
    activate_args a = { mlp, rows, d->m->gelu };
    kernel_launch(d, K_activate,
                  (launch_shape){ (int64_t)rows * ACTIVATE_BLOCKS, 1, 1, ACTIVATE_THREADS },
                  &a);
}

/* Of decoded tokens and for scores: few rows, mostly; the weights are read once for 16 of them. */
static void multiply_few(hi_device *d, const dev_product *p)
{
    static const int MODE[] = { [DEV_STORE] = PRODUCT_STORE,
                                [DEV_ADD] = PRODUCT_ADD,
                                [DEV_F32] = PRODUCT_F32 };
    product_args a = { p->y, p->x,    p->w,  p->bias, p->x_stride, p->rows,
                       p->n, p->k, p->from, p->to,   MODE[p->mode] };
    int cols = p->to - p->from;
    bool wide = p->rows >= PRODUCT_WIDE_FROM && cols >= PRODUCT_WIDE_LEAST;
    int64_t of_cols = blocks(cols, wide ? PRODUCT_WIDE_COLS : PRODUCT_COLS);

    kernel_launch(d, wide ? K_product_wide : K_product,
                  (launch_shape){ of_cols * blocks(p->rows, PRODUCT_ROWS), 1, 1, PRODUCT_THREADS },
                  &a);
}

void dev_matmul(hi_device *d, const dev_product *p)
{
    char why[ERROR_LEN];

    if (p->decode || p->mode == DEV_F32) {
        multiply_few(d, p);
        return;
    }
    if (cuda_failed(d))
        return;
    if (!lt_multiply(d->plans, p, why, sizeof why))
        cuda_fail(d, "%s", why);
    d->issued++;
}

void dev_move(hi_device *d, const dev_copy *c)
{
    CUDA(d, "moving rows",
         cudaMemcpy2DAsync(c->dst, (size_t)c->dst_pitch, c->src, (size_t)c->src_pitch,
                           (size_t)c->bytes, (size_t)c->planes, cudaMemcpyDeviceToDevice,
                           d->compute));
    d->issued++;
}

void dev_poison(hi_device *d, void *p, int64_t bytes)
{
#ifdef HI_HARSH
    CUDA(d, "poisoning", cudaMemsetAsync(p, 0xff, (size_t)bytes, d->compute));
    d->issued++;
#else
    (void)d, (void)p, (void)bytes;
#endif
}

/* ---- attention ---- */

static float *carry_ml(float *carry, int n, int rows)
{
    return carry + (int64_t)n * rows * GQA * HEAD_DIM;
}

void dev_open_heads(hi_device *d, float *carry, int n, int rows)
{
    (void)carry, (void)n, (void)rows;
    d->fresh = true;                 /* the first keys begin the state */
}

/* Is every key there for every row, in whole blocks? Then no block needs a mask. */
static bool all_visible(const attend_args *a, int block)
{
    return a->window == 0 && a->n_keys % block == 0 && a->key0 + a->n_keys <= a->pos0 + 1;
}

/* Hopper's copy engine fetches k and v by maps of where they are now. */
static void attend_hopper(hi_device *d, const attend_args *a)
{
    attend_sm90_args x = { .attend = *a };
    launch_shape s = { blocks((int64_t)a->rows * GQA, ATTEND_SM90_ROWS), a->n, 1,
                       ATTEND_SM90_THREADS };
    bool full = all_visible(a, ATTEND_SM90_KEYS);

    if (tensor_map_heads(&x.k, a->k, a->n, a->head_pitch, a->n_keys, HEAD_DIM,
                         ATTEND_SM90_KEYS) != 0 ||
        tensor_map_heads(&x.v, a->k + a->v_offset, a->n, a->head_pitch, a->n_keys, HEAD_DIM,
                         ATTEND_SM90_KEYS) != 0) {
        cuda_fail(d, "the driver makes no tensor map of %lld keys", a->n_keys);
        return;
    }
    kernel_launch(d, full ? K_attend_full_sm90 : K_attend_causal_sm90, s, &x);
}

static void attend_rows(hi_device *d, const attend_args *a)
{
    bool full = all_visible(a, ATTEND_KEYS);
    launch_shape s = { blocks((int64_t)a->rows * GQA, ATTEND_ROWS), a->n, 1, ATTEND_THREADS };
    kernel_launch(d, full ? K_attend_full : K_attend_causal, s, a);
}

static void attend_parts(hi_device *d, attend_args *a, float *parts)
{
    int64_t states = (int64_t)a->rows * GQA;

    a->splits = (int)blocks(a->n_keys, KEY_SPLIT);
    a->part_o = parts;
    a->part_ml = parts + a->n * a->splits * states * HEAD_DIM;
    kernel_launch(d, K_attend_part,
                  (launch_shape){ a->splits, a->n, (int)blocks(states, PART_ROWS), PART_THREADS },
                  a);
    kernel_launch(d, K_merge,
                  (launch_shape){ a->n * states, 1, 1, MERGE_THREADS }, a);
}

void dev_attend(hi_device *d, const dev_attention *p)
{
    attend_args a = {
        .q = p->q,
        .q_stride = p->q_stride,
        .k = p->k,
        .head_pitch = p->head_pitch,
        .v_offset = p->v_offset,
        .key0 = p->key0,
        .n_keys = p->n_keys,
        .pos0 = p->pos0,
        .pos = word(d),
        .window = p->window,
        .n = p->n,
        .rows = p->rows,
        .fresh = d->fresh,
        .scale_log2 = (float)(M_LOG2E / sqrt(QUERY_SCALAR)),
        .o = p->carry,
        .ml = carry_ml(p->carry, p->n, p->rows),
    };

    assert(a.window == 0 || ATTN_WINDOW != 0);
    d->fresh = false;
    if (a.pos != NULL && a.key0 == d->graph.first)
        a.n_keys = d->graph.end - a.key0;        /* most of them are yet to come */
    if (p->parts == NULL && d->hopper)
        attend_hopper(d, &a);
    else if (p->parts == NULL)
        attend_rows(d, &a);
    else
        attend_parts(d, &a, p->parts);
}

void dev_close_heads(hi_device *d, void *o, int64_t o_stride, const float *carry, int n, int rows)
{
    close_args a = { o, o_stride, carry, carry_ml((float *)carry, n, rows), n, rows };
    int64_t states = (int64_t)n * rows * GQA;

    kernel_launch(d, K_close,
                  (launch_shape){ blocks(states, CLOSE_ROWS), 1, 1, CLOSE_THREADS }, &a);
}
