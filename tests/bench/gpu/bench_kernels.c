/*
** bench_kernels.c - kernels of the cuda target, of one shape, against what the device can do.
**
**   bench_kernels [limits] [attend] [decode] [products] [rows]      (all)
**
** One line of JSON for each measurement. Prefill attention: as a fraction of the rate of a large
** matrix product; decode attention and the kernels over rows: of the bandwidth of a copy.
*/
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "args.h"
#include "bench_gpu.h"
#include "geometry.h"
#include "tensor_map.h"

extern const unsigned char hi_kernels_image[];

static cudaLibrary_t library;
static cudaStream_t stream;
static bool copies_tiles;            /* the device has Hopper's copy engine */

/* A kernel, or NULL where this program has none of that name. */
static cudaKernel_t find(const char *name, int shared)
{
    cudaKernel_t k = NULL;

    if (cudaLibraryGetKernel(&k, library, name) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    bench_check(cudaFuncSetAttribute((const void *)k, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     shared),
                name);
    return k;
}

typedef struct job {
    const char *name;
    cudaKernel_t kernel;
    int64_t x;
    int y, z, threads, shared;
    void *args;
    void (*turn)(struct job *j, int i);      /* other data for call i, or NULL */
} job;

static void launch(void *arg, cudaStream_t s, int i)
{
    job *j = arg;
    void *list[1] = { j->args };
    dim3 grid = { (unsigned)j->x, (unsigned)j->y, (unsigned)j->z };
    dim3 block = { (unsigned)j->threads, 1, 1 };

    if (j->turn != NULL)
        j->turn(j, i);
    bench_check(cudaLaunchKernel((const void *)j->kernel, grid, block, list, (size_t)j->shared, s),
                j->name);
}

static int64_t blocks(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* ---- prefill attention ---- */

typedef struct prefill {
    attend_args a;
    attend_sm90_args maps;
    double flops;
} prefill;

/* Products of scores and of values, of the keys that rows see. */
static double flops_of(const attend_args *a)
{
    double seen = 0;
    for (int i = 0; i < a->rows; i++)
        seen += (double)(a->pos0 + i + 1 < a->n_keys ? a->pos0 + i + 1 : a->n_keys);
    return 4 * seen * HEAD_DIM * GQA * a->n;
}

static void print_attend(const char *kernel, const prefill *p, double ms)
{
    double tflops = p->flops / ms / 1e9;
    printf("{\"bench\": \"attend\", \"kernel\": \"%s\", \"head_dim\": %d, \"gqa\": %d, "
           "\"queries\": %d, \"keys\": %lld, \"ms\": %.4f, \"tflops\": %.1f, "
           "\"of_matrix\": %.3f}\n",
           kernel, HEAD_DIM, GQA, p->a.rows, p->a.n_keys, ms, tflops,
           tflops / bench_matrix_tflops(stream));
    fflush(stdout);
}

static void time_generic(prefill *p, const char *name)
{
    job j = { .name = name, .kernel = find(name, ATTEND_SMEM), .y = p->a.n, .z = 1,
              .x = blocks((int64_t)p->a.rows * GQA, ATTEND_ROWS), .threads = ATTEND_THREADS,
              .shared = ATTEND_SMEM, .args = &p->a };
    print_attend(name, p, bench_ms(launch, &j, stream));
}

static void time_sm90(prefill *p, const char *name)
{
    job j = { .name = name, .y = p->a.n, .z = 1, .threads = ATTEND_SM90_THREADS,
              .x = blocks((int64_t)p->a.rows * GQA, ATTEND_SM90_ROWS), .shared = ATTEND_SM90_SMEM,
              .args = &p->maps };

    if (!ATTEND_SM90 || !copies_tiles || (j.kernel = find(name, ATTEND_SM90_SMEM)) == NULL)
        return;
    p->maps.attend = p->a;
    if (tensor_map_heads(&p->maps.k, p->a.k, p->a.n, p->a.head_pitch, p->a.n_keys, HEAD_DIM,
                         ATTEND_SM90_KEYS) != 0 ||
        tensor_map_heads(&p->maps.v, p->a.k + p->a.v_offset, p->a.n, p->a.head_pitch, p->a.n_keys,
                         HEAD_DIM, ATTEND_SM90_KEYS) != 0)
        bench_die(name, "no tensor map");
    print_attend(name, p, bench_ms(launch, &j, stream));
}

static void bench_attend(void)
{
    int64_t most = bench_size(128 << 10, 1024);
    int queries = (int)bench_size(4096, 64);
    size_t states = (size_t)queries * HEADS;
    static prefill p;

    p.a = (attend_args){ .q_stride = QKV_COLS, .n = KV_HEADS, .rows = queries, .fresh = 1,
                         .scale_log2 = (float)(M_LOG2E / sqrt(HEAD_DIM)) };
    size_t q_bytes = (size_t)queries * QKV_COLS * 2;
    size_t kv_bytes = (size_t)most * KV_HEADS * HEAD_DIM * 4;
    void *q = bench_alloc(q_bytes), *kv = bench_alloc(kv_bytes);
    bench_fill(q, q_bytes);
    bench_fill(kv, kv_bytes);
    p.a.q = q;
    p.a.k = kv;
    p.a.o = bench_alloc(states * HEAD_DIM * sizeof(float));
    p.a.ml = bench_alloc(states * 2 * sizeof(float));
    for (int64_t keys = bench_size(4096, 1024); keys <= most; keys *= keys < 16384 ? 4 : 2) {
        p.a.n_keys = keys;
        p.a.v_offset = keys * HEAD_DIM * 2;
        p.a.head_pitch = 2 * p.a.v_offset;
        p.a.pos0 = keys;             /* behind all keys */
        p.flops = flops_of(&p.a);
        time_generic(&p, "k_attend_full");
        time_sm90(&p, "k_attend_full_sm90");
        p.a.pos0 = keys - queries;   /* the last of them its own */
        p.flops = flops_of(&p.a);
        time_generic(&p, "k_attend_causal");
        time_sm90(&p, "k_attend_causal_sm90");
    }
    void *const all[] = { q, kv, p.a.o, p.a.ml };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bench_check(cudaFree(all[i]), "freeing");
}

/* ---- decode attention ---- */

typedef struct decode {
    attend_args a;
    const unsigned char *kv;
    int64_t kv_bytes;                /* of one set of keys and values */
    int sets;                        /* that take turns, so that no cache holds them */
    job part, merge;
} decode;

static void next_keys(job *j, int i)
{
    decode *d = (decode *)j->args;   /* its first member is the argument */
    d->a.k = d->kv + i % d->sets * d->kv_bytes;
}

static void launch_both(void *arg, cudaStream_t s, int i)
{
    decode *d = arg;
    launch(&d->part, s, i);
    launch(&d->merge, s, i);
}

static void time_decode(decode *d, int64_t keys, int64_t room)
{
    attend_args *a = &d->a;
    int64_t states = GQA, splits = blocks(keys, KEY_SPLIT);

    a->n_keys = keys;
    a->pos0 = keys - 1;
    a->splits = (int)splits;
    a->v_offset = keys * HEAD_DIM * 2;
    a->head_pitch = 2 * a->v_offset;
    d->kv_bytes = keys * KV_HEADS * HEAD_DIM * 4;
    d->sets = (int)(room / d->kv_bytes);
    a->part_ml = a->part_o + a->n * splits * states * HEAD_DIM;
    d->part = (job){ "k_attend_part", find("k_attend_part", PART_SMEM), splits, a->n,
                     (int)blocks(states, PART_ROWS), PART_THREADS, PART_SMEM, d, next_keys };
    d->merge = (job){ "k_merge",     find("k_merge", 0), a->n * states, 1, 1,
                      MERGE_THREADS, 0,                  d,             NULL };
    double part = bench_ms(launch, &d->part, stream), merge = bench_ms(launch, &d->merge, stream);
    double both = bench_ms(launch_both, d, stream), gbs = (double)d->kv_bytes / both / 1e6;
    printf("{\"bench\": \"decode\", \"head_dim\": %d, \"gqa\": %d, \"kv_heads\": %d, "
           "\"keys\": %lld, \"part_us\": %.2f, \"merge_us\": %.2f, \"both_us\": %.2f, "
           "\"gbs\": %.1f, \"of_copy\": %.3f, \"part_of_copy\": %.3f}\n",
           HEAD_DIM, GQA, KV_HEADS, (long long)keys, part * 1e3, merge * 1e3, both * 1e3, gbs,
           gbs / bench_copy_gbs(stream),
           (double)d->kv_bytes / part / 1e6 / bench_copy_gbs(stream));
    fflush(stdout);
}

static void bench_decode(void)
{
    int64_t most = bench_size(1 << 20, 1024), room = most * KV_HEADS * HEAD_DIM * 4;
    size_t q_bytes = QKV_COLS * 2;
    static decode d;
    void *q = bench_alloc(q_bytes), *kv = bench_alloc((size_t)room);
    size_t parts = (size_t)blocks(most, KEY_SPLIT) * HEADS * (HEAD_DIM + 2) * sizeof(float);

    bench_fill(q, q_bytes);
    bench_fill(kv, (size_t)room);
    d.kv = kv;
    d.a = (attend_args){ .q = q, .q_stride = QKV_COLS, .n = KV_HEADS, .rows = 1, .fresh = 1,
                         .scale_log2 = (float)(M_LOG2E / sqrt(HEAD_DIM)) };
    d.a.o = bench_alloc(HEADS * HEAD_DIM * sizeof(float));
    d.a.ml = bench_alloc(HEADS * 2 * sizeof(float));
    d.a.part_o = bench_alloc(parts);
    for (int64_t keys = bench_size(1024, 512); keys <= most; keys *= bench_size(4, 2))
        time_decode(&d, keys, room);
    void *const all[] = { q, kv, d.a.o, d.a.ml, d.a.part_o };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bench_check(cudaFree(all[i]), "freeing");
}

/* ---- products of a token ---- */

typedef struct token_product {
    product_args a;
    const unsigned char *w;
    int64_t bytes;                   /* of one matrix */
    int sets;                        /* that take turns, so that no cache holds them */
} token_product;

static void next_matrix(job *j, int i)
{
    token_product *p = (token_product *)j->args;     /* its first member is the argument */
    p->a.w = p->w + i % p->sets * p->bytes;
}

static void time_product(token_product *p, const char *matrix, int n, int k, int64_t room)
{
    p->a.x_stride = k;
    p->a.n = p->a.to = n;
    p->a.k = k;
    p->bytes = (int64_t)n * k * 2;
    p->sets = (int)(room / p->bytes);
    job j = { "k_product", find("k_product", PRODUCT_SMEM), blocks(p->a.rows, PRODUCT_ROWS),
              (int)blocks(n, PRODUCT_COLS), 1, PRODUCT_THREADS, PRODUCT_SMEM, p, next_matrix };
    double ms = bench_ms(launch, &j, stream), gbs = (double)p->bytes / ms / 1e6;
    printf("{\"bench\": \"product\", \"matrix\": \"%s\", \"n\": %d, \"k\": %d, \"us\": %.2f, "
           "\"gbs\": %.1f, \"of_copy\": %.3f}\n",
           matrix, n, k, ms * 1e3, gbs, gbs / bench_copy_gbs(stream));
    fflush(stdout);
}

static void bench_products(void)
{
    enum { WIDE = 2 * FFN > QKV_COLS ? 2 * FFN : QKV_COLS, WIDEST = VOCAB > WIDE ? VOCAB : WIDE };
    int64_t room = 2 * 2LL * HIDDEN * WIDEST;        /* two of the largest matrix */
    size_t x = 2 * (HIDDEN + FFN + HEADS * HEAD_DIM), y = 4 * (VOCAB + 2 * FFN + QKV_COLS);
    token_product p = { .a = { .y = bench_alloc(y), .x = bench_alloc(x), .rows = 1 },
                        .w = bench_alloc((size_t)room) };

    bench_fill((void *)p.a.x, x);
    bench_fill((void *)p.w, (size_t)room);
    time_product(&p, "qkv", QKV_COLS, HIDDEN, room);
    time_product(&p, "o", HIDDEN, HEADS * HEAD_DIM, room);
    time_product(&p, "gate, up", 2 * FFN, HIDDEN, room);
    time_product(&p, "down", HIDDEN, FFN, room);
    p.a.mode = PRODUCT_F32;
    time_product(&p, "scores", VOCAB, HIDDEN, room);
    bench_check(cudaFree(p.a.y), "freeing");
    bench_check(cudaFree((void *)p.a.x), "freeing");
    bench_check(cudaFree((void *)p.w), "freeing");
}

/* ---- kernels over rows ---- */

static void time_rows(const char *name, int64_t x, int threads, int shared, void *args,
                      double bytes)
{
    job j = { .name = name, .kernel = find(name, shared), .x = x, .y = 1, .z = 1,
              .threads = threads, .shared = shared, .args = args };
    double ms = bench_ms(launch, &j, stream), gbs = bytes / ms / 1e6;
    printf("{\"bench\": \"rows\", \"kernel\": \"%s\", \"hidden\": %d, \"ms\": %.4f, \"gbs\": %.1f, "
           "\"of_copy\": %.3f}\n",
           name, HIDDEN, ms, gbs, gbs / bench_copy_gbs(stream));
    fflush(stdout);
}

/* ids of rows all over the table */
static int *make_ids(int rows)
{
    static int ids[1 << 14];
    int *d = bench_alloc(sizeof ids);
    for (int i = 0; i < rows; i++)
        ids[i] = (int)((int64_t)i * 7919 % VOCAB);
    bench_check(cudaMemcpy(d, ids, sizeof ids, cudaMemcpyHostToDevice), "token ids");
    return d;
}

static void bench_place(void *qkv, void *kv, float *cs, int rows)
{
    double r = rows;
    place_args a = { .qkv = qkv, .cs = cs, .rows = rows, .n_runs = 1 };
    a.run[0] = (place_run){ .dst = kv, .v_offset = (i64)rows * HEAD_DIM * 2, .rows = rows,
                            .head_pitch = (i64)rows * HEAD_DIM * 4 };
    time_rows("k_place", rows, ROW_THREADS, 0, &a, r * 2 * (2 * QKV_COLS) + r * HEAD_DIM * 4);
}

static void bench_rows(void)
{
    int rows = (int)bench_size(1 << 14, 8);
    double r = rows;
    size_t wide = 2 * FFN > QKV_COLS ? 2 * FFN : QKV_COLS, table_bytes = (size_t)VOCAB * HIDDEN * 2;
    size_t bytes = (size_t)rows * wide * 2, state = (size_t)rows * HEADS * (HEAD_DIM + 2) * 4;
    void *a = bench_alloc(bytes), *b = bench_alloc(bytes), *w = bench_alloc(HIDDEN * 2);
    float *cs = bench_alloc((size_t)rows * HEAD_DIM * 4), *o = bench_alloc(state);
    void *table = bench_alloc(table_bytes);
    int *ids = make_ids(rows);
    norm_args norm = { .y = b, .x = a, .w = w, .rows = rows, .eps = 1e-5f };
    activate_args act = { a, rows, 0 };
    embed_args embed = { b, table, ids, rows };
    close_args close = { b, HEADS * HEAD_DIM, o, o + (size_t)rows * HEADS * HEAD_DIM,
                         KV_HEADS, rows };
    static rope_args rope;

    bench_fill(a, bytes);
    bench_fill(w, HIDDEN * 2);
    bench_fill(o, state);
    bench_fill(table, table_bytes);
    rope.cs = cs;
    rope.rows = rows;
    rope.scale = 1;
    time_rows("k_rope_table", rows, ROPE_THREADS, 0, &rope, r * HEAD_DIM * 4);
    time_rows("k_embed", rows, ROW_THREADS, 0, &embed, r * HIDDEN * 4);
    time_rows("k_rmsnorm", rows, ROW_THREADS, NORM_SMEM, &norm, r * HIDDEN * 4);
    bench_place(a, b, cs, rows);
    time_rows("k_close", blocks((int64_t)rows * HEADS, CLOSE_ROWS), CLOSE_THREADS, 0, &close,
              r * HEADS * (HEAD_DIM * 6 + 8));
    time_rows("k_activate", (int64_t)rows * ACTIVATE_BLOCKS, ACTIVATE_THREADS, 0, &act,
              r * FFN * 6);
    void *const all[] = { a, b, w, cs, o, table, ids };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bench_check(cudaFree(all[i]), "freeing");
}

/* ---- all of it ---- */

static void open_device(void)
{
    struct cudaDeviceProp p;
    int n = 0;

    bench_check(cudaGetDeviceCount(&n), "looking for a GPU");
    bench_check(n > 0 ? cudaSuccess : cudaErrorNoDevice, "looking for a GPU");
    bench_check(cudaGetDeviceProperties(&p, 0), "the GPU's properties");
    bench_check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
    bench_check(cudaLibraryLoadData(&library, hi_kernels_image, NULL, NULL, 0, NULL, NULL, 0),
                "loading the kernels");
    copies_tiles = p.major == 9 && tensor_map_load() == 0;
}

static bool asked(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    open_device();
    if (asked(argc, argv, "limits"))
        printf("{\"bench\": \"limits\", \"copy_gbs\": %.1f, \"tflops\": %.1f}\n",
               bench_copy_gbs(stream), bench_matrix_tflops(stream));
    fflush(stdout);
    if (asked(argc, argv, "attend"))
        bench_attend();
    if (asked(argc, argv, "decode"))
        bench_decode();
    if (asked(argc, argv, "products"))
        bench_products();
    if (asked(argc, argv, "rows"))
        bench_rows();
    return 0;
}
