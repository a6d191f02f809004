/*
** pieces.c - pieces of what a program of the cuda target does, each timed where it stands.
**
** They run on a device opened for a model of one layer whose arena is laid out here: weights of
** several layers, keys and values of a long context, rows. All of it holds numbers, as the clock of
** a GPU that multiplies zeros is not the one that it has at work.
*/
#include "pieces.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cuda/geometry.h"
#include "device.h"

enum {
    Q_COLS = HEADS * HEAD_DIM,
    ELT = 2, /* bytes: bf16 */

    LAYERS = 2,       /* of weights, in turn */
    MOST_ROWS = 4096, /* of a pass */
    MOST_KEYS = 131072,
    COPY = 4 << 20,         /* bytes of one copy */
    LINK_BYTES = 64 << 20,  /* on the device, of each direction */
    HOST_BYTES = 128 << 20, /* in the store, of each direction */
    PATTERN = 4 << 20,      /* bytes of numbers that memory repeats */
    WORK_BYTES = 8 << 20    /* as in gen/target.c */
};

/* ---- the arena ---- */

#define LAYER_ELTS                                                                       \
    ((int64_t)HIDDEN * QKV_COLS + (int64_t)HIDDEN * Q_COLS + (int64_t)HIDDEN * 2 * FFN + \
     (int64_t)HIDDEN * FFN)
#define STATE_BYTES ((int64_t)(HEAD_DIM + 2) * (int64_t)sizeof(float))

/* What lies in it, and how many bytes. */
enum {
    WORK,
    WEIGHTS,
    X,
    Q,
    QKV,
    H,
    MLP,
    KEYS,
    CARRY,
    PARTS,
    LINK,
    N_AREAS
};

static const int64_t AREA[N_AREAS] = {
    [WORK] = WORK_BYTES,
    [WEIGHTS] = LAYERS * LAYER_ELTS * ELT,
    [X] = (int64_t)MOST_ROWS * HIDDEN * ELT,
    [Q] = (int64_t)MOST_ROWS * Q_COLS * ELT,
    [QKV] = (int64_t)MOST_ROWS * QKV_COLS * ELT,
    [H] = (int64_t)MOST_ROWS * HIDDEN * ELT,
    [MLP] = (int64_t)MOST_ROWS * 2 * FFN * ELT,
    [KEYS] = (int64_t)KV_HEADS * MOST_KEYS * 2 * HEAD_DIM * ELT,
    [CARRY] = (int64_t)MOST_ROWS * HEADS * STATE_BYTES,
    [PARTS] = (int64_t)(MOST_KEYS / KEY_SPLIT) * HEADS * STATE_BYTES,
    [LINK] = 2 * (int64_t)LINK_BYTES,
};

static const hi_layer LAYER = { .qkv_bias = -1, .o_bias = -1, .gate_up_bias = -1, .down_bias = -1,
                                .attn_post_norm = -1, .mlp_post_norm = -1 };

struct pieces {
    hi_model m;
    hi_device *d;
    unsigned char *area[N_AREAS];
    int layer;                   /* of WEIGHTS, next */
    int64_t copied[DEV_STREAMS]; /* bytes so far */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static hi_model model(void)
{
    hi_model m = {
        .name = "the measuring program",
        .layers = 1,
        .hidden = HIDDEN,
        .heads = HEADS,
        .kv_heads = KV_HEADS,
        .head_dim = HEAD_DIM,
        .ffn = FFN,
        .vocab = VOCAB,
        .elt = ELT,
        .norm_eps = 1e-5f,
        .layer = &LAYER,
        .ctx = MOST_KEYS,
        .split = KEY_SPLIT,
        .rows = { MOST_ROWS, 1 },
        .panel = 1,
        .panels = 1,
        .budget_bytes = -1,
        .host_bytes = 2 * (int64_t)HOST_BYTES,
        .buf = { { [HI_B_WORK] = { 0, WORK_BYTES } }, { [HI_B_WORK] = { 0, WORK_BYTES } } },
    };

    for (int a = 0; a < N_AREAS; a++)
        m.arena_bytes += (AREA[a] + 255) / 256 * 256;
    return m;
}

/* Elements in [-1, 1): nothing overflows, no score is special. */
static void fill_store(pieces *p)
{
    unsigned char *store = dev_host(p->d);
    uint32_t s = 1;

    for (int64_t at = 0; at < PATTERN; at += ELT) {
        s = s * 1664525u + 1013904223u;
        float x = (float)(int32_t)s * 0x1p-31f;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        memcpy(store + at, &(uint16_t){ (uint16_t)(bits >> 16) }, ELT);
    }
    for (int64_t at = PATTERN; at < p->m.host_bytes; at += PATTERN)
        memcpy(store + at, store, PATTERN);
}

/* The arena gets the store's numbers, again and again. */
static void fill_arena(pieces *p)
{
    int64_t most = p->m.host_bytes;
    uint64_t event = 0;

    for (int64_t at = 0; at < p->m.arena_bytes; at += most) {
        int64_t left = p->m.arena_bytes - at;
        dev_copy c = { .dst = dev_arena(p->d) + at,
                       .src = dev_host(p->d),
                       .bytes = left < most ? left : most,
                       .planes = 1 };
        event = dev_start(p->d, DEV_H2D, &c);
    }
    dev_wait(p->d, DEV_H2D, event);
    dev_finish(p->d);
}

pieces *pieces_open(char *err, size_t n)
{
    static const hi_options NONE = { 0 };
    pieces *p = calloc(1, sizeof *p);
    int code;

    if (p == NULL) {
        snprintf(err, n, "out of memory");
        return NULL;
    }
    p->m = model();
    p->d = dev_open(&p->m, &NONE, &code, err, n);
    if (p->d == NULL) {
        free(p);
        return NULL;
    }
    unsigned char *at = dev_arena(p->d);
    for (int a = 0; a < N_AREAS; at += (AREA[a++] + 255) / 256 * 256)
        p->area[a] = at;
    fill_store(p);
    fill_arena(p);
    return p;
}

void pieces_close(pieces *p)
{
    dev_close(p->d);
    free(p);
}

const char *pieces_gpu(const pieces *p)
{
    return dev_isa(p->d);
}

int64_t pieces_bytes(const pieces *p)
{
    return p->m.arena_bytes;
}

const char *pieces_error(pieces *p)
{
    return dev_error(p->d);
}

/* ---- products ---- */

/* A layer's products. What is added to is not read: nothing but H grows from call to call. */
static const struct {
    int n, k, x_stride, y, x;
    dev_mode mode;
} PRODUCT[] = {
    { QKV_COLS, HIDDEN, HIDDEN, QKV, X, DEV_STORE },
    { HIDDEN, Q_COLS, Q_COLS, H, Q, DEV_ADD },
    { 2 * FFN, HIDDEN, HIDDEN, MLP, X, DEV_STORE },
    { HIDDEN, FFN, 2 * FFN, H, MLP, DEV_ADD },
};

static void run_layer(pieces *p, int rows, bool decode)
{
    const unsigned char *w = p->area[WEIGHTS] + p->layer * LAYER_ELTS * ELT;

    for (size_t i = 0; i < sizeof PRODUCT / sizeof *PRODUCT; i++) {
        dev_product x = { .y = p->area[PRODUCT[i].y],
                          .x = p->area[PRODUCT[i].x],
                          .w = w,
                          .x_stride = PRODUCT[i].x_stride,
                          .rows = rows,
                          .n = PRODUCT[i].n,
                          .k = PRODUCT[i].k,
                          .to = PRODUCT[i].n,
                          .mode = PRODUCT[i].mode,
                          .decode = decode };
        dev_matmul(p->d, &x);
        w += (int64_t)x.n * x.k * ELT;
    }
    p->layer = (p->layer + 1) % LAYERS;
}

/* How often, and with how many rows or keys. */
typedef struct size {
    int times, rows, keys;
} size;

#define TIMES(n) \
    {            \
        n, 0, 0  \
    }

static double run_matmul(pieces *p, size s)
{
    for (int i = 0; i < s.times; i++)
        run_layer(p, s.rows, false);
    return 2.0 * (double)LAYER_ELTS * s.rows * s.times;
}

static double run_read(pieces *p, size s)
{
    for (int i = 0; i < s.times; i++)
        run_layer(p, 1, true);
    return (double)(LAYER_ELTS * ELT) * s.times;
}

/* ---- attention ---- */

static void attend(pieces *p, size s, float *parts)
{
    float *carry = (float *)(void *)p->area[CARRY];
    dev_attention a = { .q = p->area[Q],
                        .q_stride = Q_COLS,
                        .k = p->area[KEYS],
                        .head_pitch = (int64_t)MOST_KEYS * 2 * HEAD_DIM * ELT,
                        .v_offset = (int64_t)MOST_KEYS * HEAD_DIM * ELT,
                        .n = KV_HEADS,
                        .rows = s.rows,
                        .n_keys = s.keys,
                        .pos0 = MOST_KEYS,
                        .carry = carry,
                        .parts = parts };

    for (int i = 0; i < s.times; i++) {
        dev_open_heads(p->d, carry, KV_HEADS, s.rows);
        dev_attend(p->d, &a);
    }
}

static double run_attend(pieces *p, size s)
{
    attend(p, s, NULL);
    return 4.0 * HEAD_DIM * HEADS * s.rows * s.keys * s.times;
}

static double run_attend_read(pieces *p, size s)
{
    attend(p, s, (float *)(void *)p->area[PARTS]);
    return (double)KV_HEADS * 2 * HEAD_DIM * ELT * s.keys * s.times;
}

/* ---- copies ---- */

/* Each direction walks through its own half of the store, and its own half of LINK. */
static uint64_t copy(pieces *p, dev_stream s)
{
    int64_t at = p->copied[s];
    unsigned char *host = dev_host(p->d) + s * (int64_t)HOST_BYTES + at % HOST_BYTES;
    unsigned char *device = p->area[LINK] + s * (int64_t)LINK_BYTES + at % LINK_BYTES;
    dev_copy c = { .dst = s == DEV_H2D ? device : host,
                   .src = s == DEV_H2D ? host : device,
                   .bytes = COPY,
                   .planes = 1 };

    p->copied[s] += COPY;
    return dev_start(p->d, s, &c);
}

static double run_copies(pieces *p, size s, bool h2d, bool d2h)
{
    uint64_t event[DEV_STREAMS] = { 0 };

    for (int i = 0; i < s.times; i++) {
        if (h2d)
            event[DEV_H2D] = copy(p, DEV_H2D);
        if (d2h)
            event[DEV_D2H] = copy(p, DEV_D2H);
    }
    for (int i = 0; i < DEV_STREAMS; i++)
        dev_wait(p->d, (dev_stream)i, event[i]);
    return (double)COPY * s.times;
}

static double run_h2d(pieces *p, size s)
{
    return run_copies(p, s, true, false);
}

static double run_d2h(pieces *p, size s)
{
    return run_copies(p, s, false, true);
}

static double run_both(pieces *p, size s)
{
    return run_copies(p, s, true, true);
}

/* ---- launches ---- */

static double run_step_s(pieces *p, size s)
{
    for (int i = 0; i < s.times; i++)
        dev_rmsnorm(p->d, p->area[H], p->area[X], p->area[WEIGHTS], 1, DEV_STORE);
    return s.times;
}

/* ---- all of them ---- */

static const struct {
    double (*run)(pieces *p, size s);
    size size[PIECE_LEVELS];
} PIECE[N_FIGURES] = {
    [FIGURE_matmul] = { run_matmul,
                        { { 1, 64, 0 },
                          { 1, 256, 0 },
                          { 1, 1024, 0 },
                          { 1, MOST_ROWS, 0 },
                          { 4, MOST_ROWS, 0 } } },
    [FIGURE_attend] = { run_attend,
                        { { 1, 128, 1024 },
                          { 1, 256, 2048 },
                          { 1, 1024, 2048 },
                          { 1, MOST_ROWS, 4096 },
                          { 1, MOST_ROWS, 16384 } } },
    [FIGURE_read] = { run_read, { TIMES(1), TIMES(4), TIMES(16), TIMES(64), TIMES(256) } },
    [FIGURE_attend_read] = { run_attend_read,
                             { { 1, 1, 2048 },
                               { 1, 1, 8192 },
                               { 1, 1, 32768 },
                               { 1, 1, MOST_KEYS },
                               { 8, 1, MOST_KEYS } } },
    [FIGURE_h2d] = { run_h2d, { TIMES(1), TIMES(4), TIMES(16), TIMES(64), TIMES(256) } },
    [FIGURE_d2h] = { run_d2h, { TIMES(1), TIMES(4), TIMES(16), TIMES(64), TIMES(256) } },
    [FIGURE_both] = { run_both, { TIMES(1), TIMES(4), TIMES(16), TIMES(64), TIMES(256) } },
    [FIGURE_step_s] = { run_step_s,
                        { TIMES(16), TIMES(64), TIMES(256), TIMES(1024), TIMES(4096) } },
};

done pieces_run(pieces *p, figure f, int level)
{
    double start = now(), amount = PIECE[f].run(p, PIECE[f].size[level]);

    dev_finish(p->d);
    return (done){ amount, now() - start };
}
