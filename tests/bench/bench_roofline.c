/*
** bench_roofline.c - products and attention of one shape beside what this machine could do and,
** where it was found, beside oneDNN's matrix product.
**
** usage: bench_roofline [THREADS [product|attention]]
**
** Everything goes through the device, with the threads and cuts of a real run. The two libraries
** alternate, medians of ROUNDS: a shared machine's rates move. Weights of a one-row product, keys
** and values of a decoded token come from more memory than caches should hold.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "../../runtime/device.h"
#include "bench_onednn.h"
#include "bench_peaks.h"
#include "kern.h"

enum {
    ROUNDS = 7,
    MOST_COPIES = 64,
    SETTLE_US = 10000, /* until the other library's threads sleep */
    PREFILL_ROWS = 512,
    LONGEST = 32768
};

#define ROOM ((size_t)1 << 30)   /* of weights, or of keys and values */
#define COLD ((size_t)512 << 20) /* what is gone through before anything is met again */

typedef struct bench {
    hi_model model;
    hi_device *d;
    const hi_kernels *k;
    int threads;
    double flops;       /* the instruction set's peak */
    elt *rows;          /* (ROOM) weights as in a checkpoint; keys and values */
    elt *packed;        /* (ROOM) */
    elt *x, *y, *other; /* (2048, the widest) */
    float *carry, *parts;
} bench;

/* ---- memory ---- */

static void *map(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("bench_roofline");
        exit(1);
    }
    madvise(p, n, MADV_HUGEPAGE);
    return p;
}

/* Uniform in [-1, 1). */
static void fill(elt *p, size_t n)
{
    uint32_t s = 1;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        float x = (float)(int32_t)s * 0x1p-31f;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        p[i] = (elt)(bits >> 16);
    }
}

/* ---- times ---- */

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *t)
{
    qsort(t, ROUNDS, sizeof *t, ascending);
    return t[ROUNDS / 2];
}

static double reads(const bench *b)
{
    return bench_peak_reads(b->rows, ROOM, b->threads, 3);
}

/* ---- products ---- */

typedef struct product {
    const char *name;
    int n, k;
} product;

static const product PRODUCTS[] = {
    { "q k v", (HEADS + 2 * KV_HEADS) * HEAD_DIM, HIDDEN },
    { "o", HIDDEN, HEADS *HEAD_DIM },
    { "gate up", 2 * FFN, HIDDEN },
    { "down", HIDDEN, FFN },
    { "head", VOCAB, HIDDEN },
};

static void run_product(const bench *b, const product *p, int m, int copy)
{
    dev_matmul(b->d,
               &(dev_product){ .y = b->y,
                               .x = b->x,
                               .w = (unsigned char *)b->packed + copy * pack_bytes(p->n, p->k),
                               .x_stride = p->k,
                               .rows = m,
                               .n = p->n,
                               .k = p->k,
                               .to = p->n,
                               .mode = DEV_STORE,
                               .decode = m == 1 });
}

static float widened(elt x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Both sides computed the same product, but for rounding. */
static void compare(const bench *b, const product *p, int m)
{
    double worst = 0, most = 0;
    for (int64_t i = 0; i < (int64_t)m * p->n; i++) {
        double x = (double)widened(b->y[i]), y = (double)widened(b->other[i]);
        worst = fmax(worst, fabs(x - y));
        most = fmax(most, fabs(x));
    }
    if (worst > 0.02 * most)
        printf("%s: oneDNN's differs by %g of %g\n", p->name, worst, most);
}

/* How many times the weights lie in memory: one row reads them from there. */
static int copies_of(const product *p, int m)
{
    size_t bytes = (size_t)pack_bytes(p->n, p->k), n = m == 1 ? COLD / bytes : 2;
    n = n > ROOM / bytes ? ROOM / bytes : n;
    return n < 1 ? 1 : n > MOST_COPIES ? MOST_COPIES : (int)n;
}

/* oneDNN leaves a thread without the tiles that our kernels set up once. */
static void begin_again(const bench *b)
{
    if (b->k->thread_begin != NULL)
        b->k->thread_begin();
}

/* Seconds of one product, ours and oneDNN's (0: none). A round is every copy once. */
static void time_product(const bench *b, const product *p, int m, double *ours, double *theirs)
{
    int copies = copies_of(p, m);
    double t[ROUNDS], u[ROUNDS];
    onednn *o = onednn_open(m, p->n, p->k, copies, b->x, b->rows, b->other);

    for (int i = 0; i < copies; i++)
        pack_rows((elt *)((unsigned char *)b->packed + i * pack_bytes(p->n, p->k)), b->rows, 0,
                  p->n, p->k);
    for (int r = -1; r < ROUNDS; r++) { /* -1: a warm-up */
        begin_again(b);
        double start = bench_now();
        for (int i = 0; i < copies; i++)
            run_product(b, p, m, i);
        t[r < 0 ? 0 : r] = (bench_now() - start) / copies;
        usleep(SETTLE_US);
        start = bench_now();
        for (int i = 0; i < copies && o != NULL; i++)
            onednn_run(o, i);
        u[r < 0 ? 0 : r] = (bench_now() - start) / copies;
        usleep(SETTLE_US);
    }
    if (o != NULL)
        compare(b, p, m);
    *ours = median(t);
    *theirs = o != NULL ? median(u) : 0;
    onednn_close(o);
    begin_again(b);
}

/* One line: rates in 1e9 per second, of 'work' a product; against a limit of the machine. */
static void print_product(const product *p, int m, double work, double limit, const char *unit,
                          double ours, double theirs)
{
    printf("| %d x %d x %d (%s) | %.1f %s | %.0f %% |", m, p->n, p->k, p->name, work / ours / 1e9,
           unit, 100 * work / ours / limit);
    if (theirs > 0)
        printf(" %.1f | %.2f |\n", work / theirs / 1e9, theirs / ours);
    else
        printf(" - | - |\n");
    fflush(stdout);
}

static void products(const bench *b)
{
    static const int ROWS[] = { 512, 2048, 1 };

    printf("| rows x n x k | ours | of peak or reads | oneDNN | ours / oneDNN "
           "|\n|---|---|---|---|---|\n");
    for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++)
        for (size_t i = 0; i < sizeof PRODUCTS / sizeof *PRODUCTS; i++) {
            const product *p = &PRODUCTS[i];
            double ours, theirs, elements = (double)p->n * p->k;
            int m = ROWS[r];
            if (m > 1 && p->n == VOCAB) /* scores are of one row */
                continue;
            time_product(b, p, m, &ours, &theirs);
            if (m > 1)
                print_product(p, m, 2 * m * elements, b->flops, "GFLOP/s", ours, theirs);
            else
                print_product(p, m, elements * sizeof(elt), reads(b), "GB/s", ours, theirs);
        }
}

/* ---- attention ---- */

/* All heads of a layer, 'rows' tokens that follow 'depth' others; keys at 'at'. */
static void run_attention(const bench *b, int rows, int depth, const elt *at)
{
    int64_t keys = depth + rows, plane = keys * HEAD_DIM * (int64_t)sizeof(elt);
    dev_attention a = { .q = b->x,
                        .q_stride = (HEADS + 2 * KV_HEADS) * HEAD_DIM,
                        .k = (const unsigned char *)at,
                        .head_pitch = 2 * plane,
                        .v_offset = plane,
                        .n = KV_HEADS,
                        .rows = rows,
                        .n_keys = keys,
                        .pos0 = depth,
                        .carry = b->carry,
                        .parts = rows == 1 ? b->parts : NULL };

    dev_open_heads(b->d, b->carry, KV_HEADS, rows);
    dev_attend(b->d, &a);
    dev_close_heads(b->d, b->y, HEADS * HEAD_DIM, b->carry, KV_HEADS, rows);
}

/* Seconds of one layer's; a round is as many layers as do not fit caches, or one of many rows. */
static double time_attention(const bench *b, int rows, int depth)
{
    int64_t layer = (int64_t)(depth + rows) * KV_HEADS * 2 * HEAD_DIM;
    int layers = rows == 1 ? (int)(COLD / ((size_t)layer * sizeof(elt))) : 1;
    double t[ROUNDS];

    for (int r = -1; r < ROUNDS; r++) {
        double start = bench_now();
        for (int l = 0; l < layers; l++)
            run_attention(b, rows, depth, b->rows + l * layer);
        t[r < 0 ? 0 : r] = (bench_now() - start) / layers;
    }
    return median(t);
}

static void attention(const bench *b)
{
    static const int DEPTH[] = { 4096, 16384, LONGEST };
    enum {
        DEPTHS = sizeof DEPTH / sizeof *DEPTH
    };

    printf("| attention, one layer | ours | of peak or reads |\n|---|---|---|\n");
    for (int i = 0; i < DEPTHS; i++) {
        double keys = PREFILL_ROWS * (DEPTH[i] + (PREFILL_ROWS + 1) / 2.0);
        double rate = 4.0 * HEAD_DIM * HEADS * keys / time_attention(b, PREFILL_ROWS, DEPTH[i]);
        printf("| %d rows at %d | %.1f GFLOP/s | %.0f %% |\n", PREFILL_ROWS, DEPTH[i], rate / 1e9,
               100 * rate / b->flops);
        fflush(stdout);
    }
    for (int i = 0; i < DEPTHS; i++) {
        double bytes = 2.0 * KV_HEADS * HEAD_DIM * sizeof(elt) * (DEPTH[i] + 1);
        double memory = reads(b), rate = bytes / time_attention(b, 1, DEPTH[i]);
        printf("| 1 row at %d | %.1f GB/s | %.0f %% |\n", DEPTH[i], rate / 1e9,
               100 * rate / memory);
        fflush(stdout);
    }
}

/* ---- all of it ---- */

static void open_device(bench *b)
{
    hi_options o = { .threads = b->threads };
    char err[512];
    const char *why;
    int code;

    b->model = (hi_model){ .name = "bench_roofline", .arena_bytes = 1 << 20 };
    b->d = dev_open(&b->model, &o, &code, err, sizeof err);
    if (b->d == NULL) {
        fprintf(stderr, "bench_roofline: %s\n", err);
        exit(1);
    }
    b->k = kern_pick(dev_isa(b->d), &why);
}

static void run(bench *b, const char *what)
{
    open_device(b);
    onednn_threads(b->threads);
    b->flops = bench_peak_flops(b->k->isa, b->k->thread_begin, b->threads);
    printf(
        "\n%s, %d thread%s: peak %.0f GFLOP/s, reads %.1f GB/s; head_dim %d, %d queries per key; "
        "oneDNN %s\n\n",
        b->k->isa, b->threads, b->threads == 1 ? "" : "s", b->flops / 1e9, reads(b) / 1e9, HEAD_DIM,
        GQA, onednn_version() != NULL ? onednn_version() : "not found");
    if (strcmp(what, "attention") != 0)
        products(b);
    if (strcmp(what, "product") != 0) {
        printf("\n");
        attention(b);
    }
    dev_close(b->d);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[2] : "all";
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), asked = argc > 1 ? atoi(argv[1]) : 0;
    size_t widest = 2048 * (size_t)(2 * FFN > HIDDEN ? 2 * FFN : HIDDEN) * sizeof(elt);
    size_t states = (size_t)KV_HEADS * GQA * (HEAD_DIM + 2) * sizeof(float);
    size_t splits = LONGEST / KEY_SPLIT + 1;
    bench b = { .rows = map(ROOM),
                .packed = map(ROOM + (64 << 20)),
                .x = map(widest),
                .y = map(widest),
                .other = map(widest),
                .carry = map(states * PREFILL_ROWS),
                .parts = map(states * splits) };

    if (HI_F32) {
        fprintf(stderr, "bench_roofline: for bf16\n");
        return 2;
    }
    if ((argc > 1 && asked < 1) ||
        (argc > 2 && strcmp(what, "product") != 0 && strcmp(what, "attention") != 0)) {
        fprintf(stderr, "usage: bench_roofline [THREADS [product|attention]]\n");
        return 2;
    }
    fill(b.rows, ROOM / sizeof(elt));
    fill(b.x, widest / sizeof(elt));
    for (int pass = asked > 0 || cores == 1; pass < 2; pass++) {
        b.threads = asked > 0 ? asked : pass == 0 ? 1 : cores;
        run(&b, what);
    }
    return 0;
}
