/*
** products.c - bits of a row of a matrix product do not depend on how many rows there are.
**
** The matrices of some models, multiplied as the cuda target does it: for each row class all rows
** at once first, then fewer, and every row must have the bits it had. A result that never differs
** between two rows would prove nothing: that is looked at, too.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cuda_runtime_api.h>
#include "lt.h"

enum {
    CHUNK = 1024,                    /* rows of a prompt's pass at most */
    WORKSPACE = 8 << 20,
    PATTERN = 1 << 20                /* random elements, repeated */
};

typedef struct bench {
    cudaStream_t stream;
    unsigned char *x, *w, *y, *bias, *work;
    unsigned char *want, *got;       /* on the host, pinned */
    lt_plans *plans;
    long compared;
} bench;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "products: %s: %s\n", what, why);
    exit(1);
}

static void check(cudaError_t e, const char *what)
{
    if (e != cudaSuccess)
        die(what, cudaGetErrorString(e));
}

static const hi_layer PLAIN = { .qkv_bias = -1, .o_bias = -1, .gate_up_bias = -1, .down_bias = -1,
                                .attn_post_norm = -1, .mlp_post_norm = -1 };
static const hi_layer BIASED = { .qkv_bias = 0, .o_bias = -1, .gate_up_bias = -1, .down_bias = -1,
                                 .attn_post_norm = -1, .mlp_post_norm = -1 };

static const hi_model MODELS[] = {
    { .name = "toy", .hidden = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 96,
      .vocab = 256, .layer = &PLAIN },
    { .name = "needle", .hidden = 128, .heads = 16, .kv_heads = 4, .head_dim = 64, .ffn = 16,
      .vocab = 256, .layer = &PLAIN },
    { .name = "Llama-3.2-1B", .hidden = 2048, .heads = 32, .kv_heads = 8, .head_dim = 64,
      .ffn = 8192, .vocab = 16032, .layer = &PLAIN },
    { .name = "Qwen2-7B", .hidden = 3584, .heads = 28, .kv_heads = 4, .head_dim = 128, .ffn = 18944,
      .vocab = 16032, .layer = &BIASED },
    { .name = "Llama-3-8B", .hidden = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128,
      .ffn = 14336, .vocab = 16032, .layer = &PLAIN },
    { .name = "Llama-3-70B", .hidden = 8192, .heads = 64, .kv_heads = 8, .head_dim = 128,
      .ffn = 28672, .vocab = 16032, .layer = &PLAIN },
};

/* bf16 in [-1, 1): sign and 7 bits of fraction at random, exponents of 2^-1 to 2^-4. */
static void fill(unsigned char *to, size_t bytes)
{
    static uint16_t pattern[PATTERN];
    static uint64_t word = 1;

    for (int i = 0; i < PATTERN; i++) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        pattern[i] = (uint16_t)((word >> 40 & 0x807f) | (0x3f0 - (word >> 60 & 3) * 8) << 4);
    }
    for (size_t at = 0; at < bytes; at += sizeof pattern)
        check(cudaMemcpy(to + at, pattern,
                         bytes - at < sizeof pattern ? bytes - at : sizeof pattern,
                         cudaMemcpyHostToDevice),
              "filling");
}

/* y of 'rows' rows, fetched to 'to'. */
static void multiply(bench *b, dev_product p, int rows, unsigned char *to)
{
    char why[512];
    size_t bytes = (size_t)rows * (size_t)p.n * 2;

    p.rows = rows;
    check(cudaMemsetAsync(b->y, p.mode == DEV_ADD ? 0 : 0xff, bytes, b->stream), "clearing");
    if (!lt_multiply(b->plans, &p, why, sizeof why))
        die("multiplying", why);
    check(cudaMemcpyAsync(to, b->y, bytes, cudaMemcpyDeviceToHost, b->stream), "fetching");
    check(cudaStreamSynchronize(b->stream), "multiplying");
}

static void compare(bench *b, const hi_model *m, const dev_product *p, int rows)
{
    size_t row = (size_t)p->n * 2;

    multiply(b, *p, rows, b->got);
    for (int i = 0; i < rows; i++)
        if (memcmp(b->got + (size_t)i * row, b->want + (size_t)i * row, row) != 0) {
            fprintf(stderr,
                    "products: %s, matrix (%d, %d): row %d of %d is not what it is among all\n",
                    m->name, p->n, p->k, i, rows);
            exit(1);
        }
    b->compared += rows;
}

/* One matrix: with all rows, then with fewer. */
static void try_product(bench *b, const hi_model *m, const dev_product *p, int most)
{
    size_t row = (size_t)p->n * 2;

    multiply(b, *p, most, b->want);
    if (memcmp(b->want, b->want + row, row) == 0)
        die(m->name, "two rows are the same: nothing is tested");
    for (int rows = 1; rows <= most && rows <= 40; rows++)
        compare(b, m, p, rows);
    for (int rows = 64; rows <= most; rows *= 2) {
        compare(b, m, p, rows - 1);
        compare(b, m, p, rows);
        if (rows < most)
            compare(b, m, p, rows + rows / 3);
    }
}

static void try_model(bench *b, const hi_model *model)
{
    hi_model m = *model;
    char why[512];
    int q = m.heads * m.head_dim, qkv = q + 2 * m.kv_heads * m.head_dim;
    bool bias = m.layer->qkv_bias >= 0;
    const struct {
        int n, k;
        int64_t x_stride;
        dev_mode mode;
        bool bias;
    } SHAPES[] = { { qkv, m.hidden, m.hidden, DEV_STORE, bias },
                   { m.hidden, q, q, DEV_ADD, false },
                   { 2 * m.ffn, m.hidden, m.hidden, DEV_STORE, false },
                   { m.hidden, m.ffn, 2 * m.ffn, DEV_ADD, false } };

    m.rows[HI_PREFILL] = CHUNK;
    m.rows[HI_DECODE] = 1;
    b->plans = lt_plans_open(&m, (lt_place){ b->stream, b->work, WORKSPACE }, why, sizeof why);
    if (b->plans == NULL)
        die(m.name, why);
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        dev_product p = { .y = b->y, .x = b->x, .w = b->w, .x_stride = SHAPES[i].x_stride,
                          .bias = SHAPES[i].bias ? b->bias : NULL, .n = SHAPES[i].n,
                          .k = SHAPES[i].k, .to = SHAPES[i].n, .mode = SHAPES[i].mode };
        try_product(b, &m, &p, CHUNK);
    }
    printf("%s: ok\n", m.name);
    fflush(stdout);
    lt_plans_close(b->plans);
}

/* The most bytes that a matrix of the model takes, n x k of those above. */
static size_t most_weights(const hi_model *m)
{
    size_t k = (size_t)m->hidden, ffn = k * 2 * (size_t)m->ffn, vocab = k * (size_t)m->vocab;
    size_t qkv = k * (size_t)((m->heads + 2 * m->kv_heads) * m->head_dim);
    size_t most = ffn > vocab ? ffn : vocab;
    return 2 * (most > qkv ? most : qkv);
}

/* products [N]: only the first N models, where the GPU is a slow one. */
int main(int argc, char **argv)
{
    size_t n = sizeof MODELS / sizeof *MODELS, asked = argc > 1 ? (size_t)atoi(argv[1]) : n;
    bench b = { 0 };

    n = asked < n ? asked : n;
    const hi_model *widest = &MODELS[n - 1];
    size_t x = (size_t)CHUNK * 2 * (size_t)(2 * widest->ffn + 2 * widest->hidden), y = 2 * x;
    if (y < (size_t)CHUNK * 4 * (size_t)widest->vocab)
        y = (size_t)CHUNK * 4 * (size_t)widest->vocab;
    y += 1 << 20;
    x += 1 << 20;
    check(cudaMalloc((void **)&b.x, x), "room for rows");
    check(cudaMalloc((void **)&b.y, y), "room for results");
    check(cudaMalloc((void **)&b.w, most_weights(widest)), "room for weights");
    check(cudaMalloc((void **)&b.bias, 1 << 20), "room for a bias");
    check(cudaMalloc((void **)&b.work, WORKSPACE), "a workspace");
    check(cudaHostAlloc((void **)&b.want, y, cudaHostAllocDefault), "room for what is wanted");
    check(cudaHostAlloc((void **)&b.got, y, cudaHostAllocDefault), "room for what comes");
    check(cudaStreamCreateWithFlags(&b.stream, cudaStreamNonBlocking), "a stream");
    fill(b.x, x);
    fill(b.w, most_weights(widest));
    fill(b.bias, 1 << 20);
    for (size_t i = 0; i < n; i++)
        try_model(&b, &MODELS[i]);
    printf("%ld rows compared\n", b.compared);
    return 0;
}
