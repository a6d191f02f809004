/*
** device.c - the cpu target: an arena in memory, copy threads, kernels on a thread pool.
**
** Compiled once per shape. Compute is synchronous: when a call returns its work is done, so
** a copy started later is started after it. The arena stands for a device of its size; where
** nothing moves between it and the host, no copy thread exists.
*/
#include "../device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../memory.h"
#include "kern_quant.h"
#include "pool.h"
#include "stream.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

enum {
    PAGE = 4096,
    TOUCHES = 4,                     /* items of every thread when it asks for pages */
    ROWS_PER_ITEM = 128,             /* rows of one work item where a row is little work */
    PRODUCT_ROWS = 256,              /* of one item of a product at most: what a kernel works on */
    PRODUCT_PANELS = 16,             /*   together */
    LEAST_ROWS = 64,
    /* What the kernel packs keys for at once: in whole vectors. */
    ATTEND_ROWS = HEAD_DIM < 64 ? 512 : 1024 / HEAD_DIM * 32,
    MOST_SPLITS = 16,                /* of one item: 1 MiB of a head of 64 as bf16 */
    FEW_FLOATS = 1 << 16             /* up to here merging parts is not worth a hand-over */
};

struct hi_device {
    const hi_model *m;
    const hi_kernels *k;
    pool *pool;
    stream *stream[DEV_STREAMS];     /* NULL where nothing is copied */
    unsigned char *map, *arena;      /* the arena ends where the guard page begins */
    size_t map_bytes;
    unsigned char *host;
    const int32_t *ids;              /* of the prompt under way; borrowed */
    int64_t gathered_bytes;          /* rows of the embedding read from the host */
    double stall_s;
};

const char hi_target_help[] =
    "  -t, --threads N            compute threads (default: one per core); no influence on "
    "the answer\n"
    "      --link-gbps X          copies in each direction no faster than X GB/s, as a bus "
    "would be\n"
    "      --isa NAME             instruction set (HI_ISA): " KERN_NAMES "\n";

const bool hi_row_classes = false;

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* ---- open and close ---- */

static size_t whole_pages(int64_t bytes)
{
    return ((size_t)bytes + PAGE - 1) / PAGE * PAGE;
}

static void *map_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* The arena's last byte lies right before a page that may not be touched. */
static bool map_arena(hi_device *d)
{
    size_t bytes = whole_pages(d->m->arena_bytes);

    d->map_bytes = bytes + PAGE;
    d->map = map_pages(d->map_bytes);
    if (d->map == NULL || mprotect(d->map + bytes, PAGE, PROT_NONE) != 0)
        return false;
    madvise(d->map, bytes, MADV_HUGEPAGE);
    d->arena = d->map + bytes - d->m->arena_bytes;
    dev_poison(d, d->map, (int64_t)bytes);
    return true;
}

static bool map_host(hi_device *d)
{
    if (d->m->host_bytes == 0)
        return true;
    d->host = map_pages((size_t)d->m->host_bytes);
    if (d->host == NULL)
        return false;
    madvise(d->host, (size_t)d->m->host_bytes, MADV_HUGEPAGE);
    return true;
}

static bool open_streams(hi_device *d, double gbps)
{
    if (!d->m->offload && d->m->weight_slots == 0 && !d->m->hidden_on_host)
        return true;
    for (int i = 0; i < DEV_STREAMS; i++) {
        d->stream[i] = stream_open(gbps, d->host, d->m->host_bytes);
        if (d->stream[i] == NULL)
            return false;
    }
    return true;
}

static int open_parts(hi_device *d, const hi_options *o, int *code, char *err, size_t n)
{
    const char *isa = o->isa != NULL ? o->isa : getenv("HI_ISA"), *why = "";
    int threads = o->threads > 0 ? o->threads : pool_cores();

    d->k = kern_pick(isa, &why);
    if (d->k == NULL) {
        *code = 2;
        snprintf(err, n, "--isa or HI_ISA %s: %s", isa, why);
        return -1;
    }
    *code = 3;
    if (!memory_left(d->m->name, d->m->arena_bytes + d->m->host_bytes, err, n))
        return -1;
    if (!map_arena(d) || !map_host(d)) {
        snprintf(err, n, "cannot map %lld bytes of arena and %lld of host",
                 (long long)d->m->arena_bytes, (long long)d->m->host_bytes);
        return -1;
    }
    *code = 1;
    d->pool = pool_open(threads, d->k->thread_begin);
    if (d->pool == NULL || !open_streams(d, o->link_gbps)) {
        snprintf(err, n, "cannot start %d threads", threads + 2);
        return -1;
    }
    return 0;
}

hi_device *dev_open(const hi_model *m, const hi_options *o, int *code, char *err, size_t n)
{
    hi_device *d = calloc(1, sizeof *d);

    if (d == NULL) {
        *code = 1;
        snprintf(err, n, "out of memory for a device");
        return NULL;
    }
    d->m = m;
    if (open_parts(d, o, code, err, n) != 0) {
        dev_close(d);
        return NULL;
    }
    return d;
}

void dev_close(hi_device *d)
{
    if (d == NULL)
        return;
    for (int i = 0; i < DEV_STREAMS; i++)
        stream_close(d->stream[i]);
    pool_close(d->pool);
    if (d->map != NULL) {
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(d->map, d->map_bytes);
#endif
        munmap(d->map, d->map_bytes);
    }
    if (d->host != NULL)
        munmap(d->host, (size_t)d->m->host_bytes);
    free(d);
}

unsigned char *dev_arena(hi_device *d)
{
    return d->arena;
}

unsigned char *dev_host(hi_device *d)
{
    return d->host;
}

#if defined(__SANITIZE_ADDRESS__)
/* Buffers lie in the order of their numbers. Those that stay are never fenced, not even for a
   moment: a copy into the ring of weight slots may be under way. */
void dev_layout(hi_device *d, const hi_buffer *buffers)
{
    int64_t end = 0;

    for (int i = 0; i < HI_BUFFERS; i++)
        if (buffers[i].bytes > 0) {
            __asan_poison_memory_region(d->arena + end, (size_t)(buffers[i].offset - end));
            __asan_unpoison_memory_region(d->arena + buffers[i].offset, (size_t)buffers[i].bytes);
            end = buffers[i].offset + buffers[i].bytes;
        }
    __asan_poison_memory_region(d->arena + end, (size_t)(d->m->arena_bytes - end));
}
#else
void dev_layout(hi_device *d, const hi_buffer *buffers)
{
    (void)d, (void)buffers;
}
#endif

const char *dev_isa(const hi_device *d)
{
    return d->k->isa;
}

int dev_threads(const hi_device *d)
{
    return pool_threads(d->pool);
}

const char *dev_note(const hi_device *d)
{
    (void)d;
    return "";
}

const char *dev_error(hi_device *d)
{
    (void)d;
    return NULL;
}

int64_t dev_touched_bytes(const hi_device *d)
{
    size_t pages = d->map_bytes / PAGE - 1;
    unsigned char in_core[4096];

    for (size_t end = pages; end > 0;) {
        size_t first = end > sizeof in_core ? end - sizeof in_core : 0;
        if (mincore(d->map + first * PAGE, (end - first) * PAGE, in_core) != 0)
            return -1;
        for (; end > first; end--)
            if (in_core[end - 1 - first] & 1)
                return (int64_t)(end * PAGE) - (d->arena - d->map);
    }
    return 0;
}

/* ---- copies ---- */

uint64_t dev_start(hi_device *d, dev_stream s, const dev_copy *c)
{
    return stream_start(d->stream[s], d->stream[!s], c);
}

void dev_wait(hi_device *d, dev_stream s, uint64_t event)
{
    if (event > 0)
        stream_wait(d->stream[s], event, &d->stall_s);
}

void dev_copy_stats(hi_device *d, hi_stats *s)
{
    s->stall_s = d->stall_s;
    s->h2d_bytes = d->gathered_bytes;
    if (d->stream[DEV_H2D] == NULL)
        return;
    s->h2d_bytes += stream_bytes(d->stream[DEV_H2D]);
    s->d2h_bytes = stream_bytes(d->stream[DEV_D2H]);
    s->link_s = stream_seconds(d->stream[DEV_H2D]);
}

void dev_move(hi_device *d, const dev_copy *c)
{
    (void)d;
    for (int i = 0; i < c->planes; i++)
        memcpy(c->dst + i * c->dst_pitch, c->src + i * c->src_pitch, (size_t)c->bytes);
}

void dev_poison(hi_device *d, void *p, int64_t bytes)
{
    (void)d;
#ifdef HI_HARSH
    memset(p, 0xff, (size_t)bytes);
#else
    (void)p, (void)bytes;
#endif
}

/* ---- weights ---- */

static const kern_type TYPE[] = {
    [HI_STORED] = KERN_PLAIN, [HI_Q8] = KERN_Q8, [HI_Q4] = KERN_Q4
};

/* Where the part of the weights begins that a tensor belongs to. */
static unsigned char *tensor_part(const hi_device *d, const hi_tensor *t)
{
    const hi_model *m = d->m;
    unsigned char *weights = d->arena + m->buf[HI_PREFILL][HI_B_WEIGHTS].offset;

    if (t->layer < 0)
        return t->kind == HI_ROWS && m->embed < 0 ? d->host + m->host[HI_H_EMBED].offset : weights;
    return (m->layer[t->layer].streamed ? d->host : weights) + m->layer[t->layer].at;
}

static kern_type tensor_type(const hi_device *d, const hi_tensor *t)
{
    return TYPE[t->layer < 0 ? d->m->head_type : d->m->layer_type];
}

int dev_put_rows(void *to, const hi_tensor *t, int64_t row, int64_t n_rows, const void *elts)
{
    hi_device *d = to;
    elt *dst = (elt *)(tensor_part(d, t) + t->offset);
    int64_t first = t->row0 + row;
    kern_type type = tensor_type(d, t);

    if (t->kind == HI_PACKED && type != KERN_PLAIN)
        d->k->quant_rows(type, dst, elts, first, n_rows, t->cols);
    else if (t->kind == HI_PACKED)
        pack_rows(dst, elts, first, n_rows, t->cols);
    else if (t->kind == HI_ROWS)
        memcpy(dst + first * t->cols, elts, (size_t)(n_rows * t->cols) * sizeof(elt));
    else
        memcpy(dst + first, elts, (size_t)n_rows * sizeof(elt));
    return 0;
}

/* The bytes of a matrix, in as many items for every thread. */
typedef struct touch_job {
    unsigned char *at;
    int64_t panel_bytes;
    int panels, items;
} touch_job;

/* Asks for the pages; where the system cannot be asked, whoever writes them first has them. */
static void touch_item(void *arg, int item)
{
    const touch_job *j = arg;
    int64_t first = (int64_t)item * j->panels / j->items;
    int64_t end = (int64_t)(item + 1) * j->panels / j->items;
    uintptr_t page = (uintptr_t)(j->at + first * j->panel_bytes) / PAGE * PAGE;

    if (first < end)
        madvise((void *)page, (uintptr_t)(j->at + end * j->panel_bytes) - page,
                MADV_POPULATE_WRITE);
}

/* Pages of weights come from the memory near the thread that first needs them, and threads ask at
   once: a thread asks for the panels that it will multiply with. */
static void touch_matrices(hi_device *d)
{
    const hi_model *m = d->m;

    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i], *u;
        int64_t rows = t->rows;
        if (t->kind != HI_PACKED || t->row0 > 0)
            continue;
        for (u = t + 1; u < m->tensor + m->n_tensors; u++)
            if (u->layer == t->layer && u->offset == t->offset && u->kind == HI_PACKED)
                rows += u->rows;
        kern_type type = tensor_type(d, t);
        touch_job j = { .at = tensor_part(d, t) + t->offset,
                        .panel_bytes = type == KERN_PLAIN ? pack_bytes(PANEL, t->cols)
                                                          : quant_bytes(type, PANEL, t->cols),
                        .panels = (int)((rows + PANEL - 1) / PANEL),
                        .items = TOUCHES * pool_threads(d->pool) };
        pool_run(d->pool, touch_item, &j, j.items);
    }
}

static void run_crew(void *device, void (*job)(void *arg, int i), void *arg, int n)
{
    hi_device *d = device;

    touch_matrices(d);
    pool_run(d->pool, job, arg, n);
}

weights_crew dev_crew(hi_device *d)
{
    return (weights_crew){ pool_threads(d->pool), run_crew, d };
}

void dev_loaded(hi_device *d)
{
    const hi_buffer *layers = &d->m->host[HI_H_LAYERS];
    if (layers->bytes > 0)
        stream_scramble(d->host, layers->offset, layers->bytes);
}

/* ---- rows ---- */

/* A job over the rows of a pass, ROWS_PER_ITEM at a time. */
typedef struct row_job {
    hi_device *d;
    int rows, head, n;               /* rotated: heads [head, head + n) */
    bool add;                        /* normalised rows are added */
    const elt *q_norm, *k_norm;      /* QK_NORM */
    void *y;
    const void *x, *w;
    const int32_t *ids;
    int64_t pos0;
    const dev_run *run;
} row_job;

static void run_rows(hi_device *d, pool_job *job, row_job *j)
{
    j->d = d;
    pool_run(d->pool, job, j, (j->rows + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM);
}

static int last_row(const row_job *j, int item)
{
    int end = (item + 1) * ROWS_PER_ITEM;
    return end < j->rows ? end : j->rows;
}

static const elt *embedding(const hi_device *d)
{
    const hi_model *m = d->m;
    if (m->embed < 0)
        return (const elt *)(d->host + m->host[HI_H_EMBED].offset);
    return (const elt *)(d->arena + m->buf[HI_PREFILL][HI_B_WEIGHTS].offset + m->embed);
}

static void embed_rows(void *arg, int item)
{
    const row_job *j = arg;
    const elt *table = j->w;
    kern_type type = j->d->m->tied ? TYPE[j->d->m->head_type] : KERN_PLAIN;

    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++) {
        elt *x = (elt *)j->y + (int64_t)i * HIDDEN;
        if (type != KERN_PLAIN)
            quant_unpack_row(type, x, table, j->ids[i], HIDDEN);
        else if (j->d->m->tied)
            unpack_row(x, table, j->ids[i], HIDDEN);
        else
            memcpy(x, table + (int64_t)j->ids[i] * HIDDEN, HIDDEN * sizeof(elt));
        if (EMBED_SCALE != 1)
            j->d->k->scale(x, EMBED_SCALE);
    }
}

void dev_begin(hi_device *d, const int32_t *ids, int64_t n)
{
    (void)n;
    d->ids = ids;
}

void dev_finish(hi_device *d)
{
    (void)d;
}

void dev_pace(hi_device *d)
{
    (void)d;
}

bool dev_token(hi_device *d, int64_t pos)
{
    (void)d, (void)pos;
    return false;
}

void dev_token_issued(hi_device *d)
{
    (void)d;
}

const float *dev_scores(hi_device *d, const float *p, int64_t n)
{
    (void)d, (void)n;
    return p;
}

void dev_embed(hi_device *d, void *x, int32_t *ids, int64_t first, int rows)
{
    memcpy(ids, d->ids + first, (size_t)rows * sizeof *ids);
    run_rows(d, embed_rows, &(row_job){ .rows = rows, .y = x, .w = embedding(d), .ids = ids });
    if (d->m->embed < 0)
        d->gathered_bytes += (int64_t)rows * HIDDEN * (int64_t)sizeof(elt);
}

static void rope_rows(void *arg, int item)
{
    const row_job *j = arg;
    const hi_model *m = j->d->m;
    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++)
        rope_row((float *)j->y + (int64_t)i * HEAD_DIM, m->rope_freq, m->rope_scale, j->pos0 + i);
}

void dev_rope_table(hi_device *d, float *cs, int64_t pos0, int rows)
{
    run_rows(d, rope_rows, &(row_job){ .rows = rows, .y = cs, .pos0 = pos0 });
}

static void norm_rows(void *arg, int item)
{
    const row_job *j = arg;
    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++)
        j->d->k->rmsnorm((elt *)j->y + (int64_t)i * HIDDEN, (const elt *)j->x + (int64_t)i * HIDDEN,
                         j->w, j->d->m->norm_eps, j->add);
}

void dev_rmsnorm(hi_device *d, void *y, const void *x, const void *w, int rows, dev_mode mode)
{
    run_rows(d, norm_rows,
             &(row_job){ .rows = rows, .y = y, .x = x, .w = w, .add = mode == DEV_ADD });
}

enum { QKV_COLS = (HEADS + 2 * KV_HEADS) * HEAD_DIM };

static void rotate_rows(void *arg, int item)
{
    const row_job *j = arg;
    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++) {
        elt *row = (elt *)j->y + (int64_t)i * QKV_COLS;
        const float *cs = (const float *)j->x + (int64_t)i * HEAD_DIM;
        for (int h = j->head; h < j->head + j->n; h++) {
            elt *x = row + h * HEAD_DIM;
            if (QK_NORM)
                j->d->k->head_norm(x, h < HEADS ? j->q_norm : j->k_norm, j->d->m->norm_eps);
            j->d->k->rope(x, x, cs);
        }
    }
}

static void append_rows(void *arg, int item)
{
    const row_job *j = arg;
    const dev_run *run = j->run;
    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++) {
        const elt *k = (const elt *)j->x + (int64_t)(run->row + i) * QKV_COLS + HEADS * HEAD_DIM;
        for (int h = 0; h < KV_HEADS; h++, k += HEAD_DIM) {
            unsigned char *dst = run->dst + h * run->head_pitch +
                                 i * HEAD_DIM * (int64_t)sizeof(elt);
            memcpy(dst, k, HEAD_DIM * sizeof(elt));
            memcpy(dst + run->v_offset, k + KV_HEADS * HEAD_DIM, HEAD_DIM * sizeof(elt));
        }
    }
}

/* Rotates n heads from 'head' on, queries before keys, of rows from 'row' on. */
static void rotate(hi_device *d, const dev_placing *p, int row, int head, int n)
{
    run_rows(d, rotate_rows,
             &(row_job){ .rows = p->rows - row,
                         .head = head,
                         .n = n,
                         .q_norm = p->q_norm,
                         .k_norm = p->k_norm,
                         .y = (elt *)p->qkv + (int64_t)row * QKV_COLS,
                         .x = p->cs + (int64_t)row * HEAD_DIM });
}

void dev_place(hi_device *d, const dev_placing *p)
{
    if (p->q_row == 0)
        rotate(d, p, 0, 0, HEADS + KV_HEADS);
    else {
        if (p->q_row < p->rows)
            rotate(d, p, p->q_row, 0, HEADS);
        rotate(d, p, 0, HEADS, KV_HEADS);
    }
    for (int i = 0; i < p->n_runs; i++)
        run_rows(d, append_rows,
                 &(row_job){ .rows = p->run[i].rows, .x = p->qkv, .run = &p->run[i] });
}

static void activate_rows(void *arg, int item)
{
    const row_job *j = arg;
    for (int i = item * ROWS_PER_ITEM; i < last_row(j, item); i++) {
        elt *row = (elt *)j->y + (int64_t)i * 2 * FFN;
        j->d->k->act_mul(row, row, row + FFN, FFN, j->d->m->gelu);
    }
}

void dev_activate(hi_device *d, void *mlp, int rows)
{
    run_rows(d, activate_rows, &(row_job){ .rows = rows, .y = mlp });
}

/* ---- products ---- */

typedef struct product_job {
    const hi_kernels *k;
    kern_matmul a;
    int panel, panels;               /* first and end */
    int rows, some;                  /* rows and panels of one item */
    int row_items, items;            /* row blocks x panel blocks, rows the faster */
} product_job;

static void product_item(void *arg, int item)
{
    const product_job *j = arg;
    int m0 = item % j->row_items * j->rows, j0 = j->panel + item / j->row_items * j->some;
    j->k->matmul(&j->a, m0, min_int(m0 + j->rows, j->a.m), j0, min_int(j0 + j->some, j->panels));
}

static void count_items(product_job *j)
{
    j->row_items = (j->a.m + j->rows - 1) / j->rows;
    j->items = j->row_items * ((j->panels - j->panel + j->some - 1) / j->some);
}

/* Large items read x and weights less often; all threads should have two at least. */
static void cut_items(product_job *j, int threads)
{
    count_items(j);
    while (j->items < 2 * threads && (j->some > 2 || j->rows > LEAST_ROWS)) {
        if (j->some > 2)
            j->some /= 2;
        else
            j->rows /= 2;
        count_items(j);
    }
}

void dev_matmul(hi_device *d, const dev_product *p)
{
    static const mm_mode MODE[] = {
        [DEV_STORE] = MM_STORE, [DEV_ADD] = MM_ADD, [DEV_F32] = MM_F32
    };
    product_job j = {
        .k = d->k,
        .a = { p->x, p->w, p->bias, p->y, p->x_stride, p->n, p->rows, p->n, p->k, MODE[p->mode],
               TYPE[p->type] },
        .panel = p->from / PANEL,
        .panels = (p->to + PANEL - 1) / PANEL,
        .rows = PRODUCT_ROWS,
        .some = PRODUCT_PANELS,
    };
    cut_items(&j, pool_threads(d->pool));
    pool_run(d->pool, product_item, &j, j.items);
}

/* ---- attention ---- */

static float *carry_ml(float *carry, int n, int rows)
{
    return carry + (int64_t)n * rows * GQA * HEAD_DIM;
}

void dev_open_heads(hi_device *d, float *carry, int n, int rows)
{
    int64_t states = (int64_t)n * rows * GQA;
    float *ml = carry_ml(carry, n, rows);

    (void)d;
    memset(carry, 0, (size_t)(states * HEAD_DIM) * sizeof *carry);
    for (int64_t i = 0; i < states; i++) {
        ml[2 * i] = -__builtin_inff();
        ml[2 * i + 1] = 0;
    }
}

typedef struct attend_job {
    const hi_kernels *k;
    const dev_attention *a;
    int64_t rows;                    /* of one KV head: tokens x GQA */
    int block;                       /* rows of one item */
    int items, splits;               /* per head: row blocks or runs of splits; splits */
    int run;                         /* splits of one item */
    float *part_ml;
} attend_job;

/* The kernel's view of KV head h of the group. */
static kern_attend head_attention(const attend_job *j, int h)
{
    const dev_attention *a = j->a;
    const unsigned char *k = a->k + h * a->head_pitch;

    return (kern_attend){
        .q = (const elt *)a->q + h * GQA * HEAD_DIM,
        .q_stride = a->q_stride,
        .k = (const elt *)k,
        .v = (const elt *)(k + a->v_offset),
        .key0 = a->key0,
        .n_keys = a->n_keys,
        .pos0 = a->pos0,
        .window = a->window,
        .o = a->carry + h * j->rows * HEAD_DIM,
        .ml = carry_ml(a->carry, a->n, a->rows) + h * j->rows * 2,
    };
}

static void attend_item(void *arg, int item)
{
    const attend_job *j = arg;
    kern_attend k = head_attention(j, item / j->items);
    int64_t r0 = (int64_t)(item % j->items) * j->block;
    int64_t r1 = r0 + j->block < j->rows ? r0 + j->block : j->rows;
    j->k->attend(&k, r0, r1);
}

/* Item: run 'item % items' of splits of head 'item / items', its parts beside the others. */
static void part_item(void *arg, int item)
{
    const attend_job *j = arg;
    int h = item / j->items, first = item % j->items * j->run;
    int end = min_int(first + j->run, j->splits);
    int64_t at = ((int64_t)h * j->splits + first) * j->rows;
    kern_attend k = head_attention(j, h);
    j->k->attend_parts(&k, first, end, 0, j->rows, j->a->parts + at * HEAD_DIM,
                       j->part_ml + at * 2);
}

static void merge_item(void *arg, int h)
{
    const attend_job *j = arg;
    kern_attend k = head_attention(j, h);
    for (int64_t i = (int64_t)h * j->splits; i < (int64_t)(h + 1) * j->splits; i++)
        j->k->merge(k.o, k.ml, j->a->parts + i * j->rows * HEAD_DIM, j->part_ml + i * j->rows * 2,
                    j->rows);
}

void dev_attend(hi_device *d, const dev_attention *a)
{
    attend_job j = { .k = d->k, .a = a, .rows = (int64_t)a->rows * GQA };

    if (a->parts == NULL) {
        j.block = ATTEND_ROWS;
        while (j.block > 32 && a->n * j.rows / j.block < 2 * pool_threads(d->pool))
            j.block /= 2;            /* too few items for the threads */
        j.items = (int)((j.rows + j.block - 1) / j.block);
        pool_run(d->pool, attend_item, &j, a->n * j.items);
        return;
    }
    j.splits = (int)((a->n_keys + KEY_SPLIT - 1) / KEY_SPLIT);
    j.part_ml = a->parts + a->n * j.splits * j.rows * HEAD_DIM;
    /* Long runs are read ahead; there are enough of them for all threads to end together. */
    j.run = min_int(a->n * j.splits / (4 * pool_threads(d->pool)) + 1, MOST_SPLITS);
    j.items = (j.splits + j.run - 1) / j.run;
    pool_run(d->pool, part_item, &j, a->n * j.items);
    if (a->n * j.splits * j.rows * HEAD_DIM < FEW_FLOATS)
        for (int h = 0; h < a->n; h++)
            merge_item(&j, h);
    else
        pool_run(d->pool, merge_item, &j, a->n);
}

typedef struct close_job {
    const hi_kernels *k;
    elt *o;
    int64_t o_stride;
    const float *carry, *ml;
    int rows;
} close_job;

static void close_head(void *arg, int h)
{
    const close_job *j = arg;
    for (int t = 0; t < j->rows; t++)
        for (int g = 0; g < GQA; g++) {
            int64_t i = ((int64_t)h * j->rows + t) * GQA + g;
            j->k->finish(j->o + t * j->o_stride + (h * GQA + g) * HEAD_DIM, j->carry + i * HEAD_DIM,
                         j->ml + 2 * i);
        }
}

void dev_close_heads(hi_device *d, void *o, int64_t o_stride, const float *carry, int n, int rows)
{
    close_job j = { d->k, o, o_stride, carry, carry_ml((float *)carry, n, rows), rows };
    pool_run(d->pool, close_head, &j, n);
}
