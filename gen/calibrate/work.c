/*
** work.c - pieces of what a program of the cpu target does, each timed where it stands.
*/
#include "work.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "kern.h"
#include "pool.h"
#include "stream.h"

enum {
    /* As in device.c. */
    PRODUCT_ROWS = 256,
    PANELS_PER_ITEM = 4,
    ATTEND_ROWS = 32768 / HEAD_DIM,
    PIECE = 256 << 10, /* as in stream.c */

    MOST_ROWS = 1024,    /* of a pass */
    DECODE_KEYS = 16384, /* of one head: 64 MiB of all heads */
    DECODE_SPLITS = DECODE_KEYS / KEY_SPLIT,
    HEAD_KEY_BYTES = 2 * HEAD_DIM * (int)sizeof(elt),
    PATTERN = 4 << 20, /* bytes of numbers that memory repeats */
    CHUNK = 4 << 20,   /* bytes of one item of a read */
    READ_CHUNKS = 64,
    COPY = 1 << 20, /* bytes of one copy */
    COPIES = 128,
    HANDOVERS = 1000
};

struct work {
    const hi_kernels *k;
    pool *pool[WORK_POOLS];
    int pools;
    stream *h2d, *d2h;
    unsigned char *memory;     /* host: first half, arena: second half */
    int64_t bytes;             /* a multiple of 4 CHUNKs */
    int64_t at;                /* where the next piece reads */
    int64_t copy_at[2];        /* where the next copy of each direction begins */
    elt *x, *y;                /* (MOST_ROWS, FFN), (MOST_ROWS, 2 FFN) */
    float *o, *ml;             /* carry: (KV_HEADS, MOST_ROWS * GQA, HEAD_DIM), (.., 2) */
    float *part_o, *part_ml;   /* (KV_HEADS, DECODE_SPLITS, GQA, HEAD_DIM), (.., 2) */
    uint64_t sum[READ_CHUNKS]; /* keeps reads from being dropped */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* ---- open and close ---- */

/* Elements in [-1, 1): nothing overflows, no score is special. */
static void fill_elements(elt *p, size_t n)
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

static void *map_memory(int64_t bytes)
{
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    return p;
}

static void *aligned(size_t bytes)
{
    return aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
}

/* Everything but 'memory'; its size does not depend on the machine. */
static int64_t fixed_bytes(void)
{
    int64_t states = (int64_t)KV_HEADS * GQA * (MOST_ROWS + DECODE_SPLITS);
    return (int64_t)MOST_ROWS * 3 * FFN * (int64_t)sizeof(elt) +
           states * (HEAD_DIM + 2) * (int64_t)sizeof(float);
}

static bool open_memory(work *w, int64_t bytes)
{
    size_t states = (size_t)KV_HEADS * MOST_ROWS * GQA,
           parts = (size_t)KV_HEADS * DECODE_SPLITS * GQA;

    w->bytes = (bytes - fixed_bytes()) / (4 * CHUNK) * (4 * CHUNK);
    w->memory = map_memory(w->bytes);
    w->x = aligned((size_t)MOST_ROWS * FFN * sizeof *w->x);
    w->y = aligned((size_t)MOST_ROWS * 2 * FFN * sizeof *w->y);
    w->o = calloc(states * HEAD_DIM, sizeof *w->o);
    w->ml = calloc(states * 2, sizeof *w->ml);
    w->part_o = calloc(parts * HEAD_DIM, sizeof *w->part_o);
    w->part_ml = calloc(parts * 2, sizeof *w->part_ml);
    if (w->memory == NULL || w->x == NULL || w->y == NULL || w->o == NULL || w->ml == NULL ||
        w->part_o == NULL || w->part_ml == NULL)
        return false;
    fill_elements(w->x, (size_t)MOST_ROWS * FFN);
    fill_elements((elt *)w->memory, PATTERN / sizeof(elt));
    for (int64_t at = PATTERN; at < w->bytes; at += PATTERN)
        memcpy(w->memory + at, w->memory, PATTERN);
    return true;
}

static bool open_threads(work *w)
{
    cpu_set_t set;
    int all = sched_getaffinity(0, sizeof set, &set) == 0 ? min_int(CPU_COUNT(&set), 256) : 1;

    for (int n = 1;; n = min_int(2 * n, all)) {
        w->pool[w->pools] = pool_open(n, w->k->thread_begin);
        if (w->pool[w->pools++] == NULL)
            return false;
        if (n == all)
            break;
    }
    w->h2d = stream_open(0, NULL, 0);
    w->d2h = stream_open(0, NULL, 0);
    return w->h2d != NULL && w->d2h != NULL;
}

work *work_open(int64_t bytes, const char *isa, char *err, size_t n)
{
    const char *why = "";
    const hi_kernels *k = kern_pick(isa, &why);

    if (k == NULL) {
        snprintf(err, n, "HI_ISA %s: %s", isa, why);
        return NULL;
    }
    if (bytes >> 20 < WORK_LEAST_MIB) {
        snprintf(err, n, "%lld MiB of memory to measure with; %d are needed: end other programs",
                 (long long)(bytes >> 20), WORK_LEAST_MIB);
        return NULL;
    }
    work *w = calloc(1, sizeof *w);
    if (w != NULL)
        w->k = k;
    if (w == NULL || !open_memory(w, bytes) || !open_threads(w)) {
        snprintf(err, n, "cannot get %lld MiB of memory and the threads to measure with",
                 (long long)(bytes >> 20));
        work_close(w);
        return NULL;
    }
    return w;
}

void work_close(work *w)
{
    if (w == NULL)
        return;
    stream_close(w->h2d);
    stream_close(w->d2h);
    for (int i = 0; i < w->pools; i++)
        pool_close(w->pool[i]);
    if (w->memory != NULL)
        munmap(w->memory, (size_t)w->bytes);
    free(w->x);
    free(w->y);
    free(w->o);
    free(w->ml);
    free(w->part_o);
    free(w->part_ml);
    free(w);
}

const char *work_isa(const work *w)
{
    return w->k->isa;
}

int work_pools(const work *w)
{
    return w->pools;
}

int work_threads(const work *w, int pool)
{
    return pool_threads(w->pool[pool]);
}

/* The next 'bytes' of memory to read. */
static unsigned char *next_bytes(work *w, int64_t bytes)
{
    if (w->at + bytes > w->bytes)
        w->at = 0;
    unsigned char *p = w->memory + w->at;
    w->at += (bytes + 4095) / 4096 * 4096;
    return p;
}

/* ---- products ---- */

static const struct {
    int n, k;
} LAYER[] = {
    { (HEADS + 2 * KV_HEADS) * HEAD_DIM, HIDDEN },
    { HIDDEN, HEADS *HEAD_DIM },
    { 2 * FFN, HIDDEN },
    { HIDDEN, FFN },
};

enum {
    MATRICES = sizeof LAYER / sizeof LAYER[0],
    LARGEST = 2
};

typedef struct product_job {
    const hi_kernels *k;
    kern_matmul a;
    int panels, row_items;
} product_job;

static void product_item(void *arg, int item)
{
    const product_job *j = arg;
    int m0 = item % j->row_items * PRODUCT_ROWS, j0 = item / j->row_items * PANELS_PER_ITEM;
    j->k->matmul(&j->a, m0, min_int(m0 + PRODUCT_ROWS, j->a.m), j0,
                 min_int(j0 + PANELS_PER_ITEM, j->panels));
}

static void run_product(work *w, pool *p, int rows, int n, int k)
{
    const elt *weights = (const elt *)next_bytes(w, pack_bytes(n, k));
    product_job j = {
        .k = w->k,
        .a = { w->x, weights, NULL, w->y, k, n, rows, n, k, MM_STORE },
        .panels = n / PANEL,
        .row_items = (rows + PRODUCT_ROWS - 1) / PRODUCT_ROWS,
    };
    pool_run(p, product_item, &j,
             j.row_items * ((j.panels + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM));
}

/* One layer's products with a 'cut'-th of their columns; returns the number of weights. */
static int64_t run_layer(work *w, pool *p, int rows, int cut)
{
    int64_t weights = 0;

    while (pack_bytes(LAYER[LARGEST].n, LAYER[LARGEST].k) / cut > w->bytes / 2)
        cut *= 2;
    for (int i = 0; i < MATRICES; i++) {
        int n = (LAYER[i].n / cut + PANEL - 1) / PANEL * PANEL;
        run_product(w, p, rows, n, LAYER[i].k);
        weights += (int64_t)n * LAYER[i].k;
    }
    return weights;
}

static const struct {
    int rows, cut;
} PASS[WORK_LEVELS] = { { 256, 16 }, { 256, 4 }, { 256, 1 }, { MOST_ROWS, 1 } };

/* Are there items for all threads in the product with the fewest, or would some wait? */
static bool keeps_busy(int level, int threads)
{
    int columns = PANELS_PER_ITEM * PANEL * PASS[level].cut;
    return threads == 1 || PASS[level].rows / PRODUCT_ROWS * (HIDDEN / columns) >= 2 * threads;
}

done work_products(work *w, int pool, int level)
{
    while (level < WORK_LEVELS - 1 && !keeps_busy(level, work_threads(w, pool)))
        level++;
    double start = now();
    int64_t weights = run_layer(w, w->pool[pool], PASS[level].rows, PASS[level].cut);

    return (done){ 2.0 * (double)weights * PASS[level].rows, now() - start };
}

done work_row(work *w, int pool, int level)
{
    double start = now();
    int64_t weights = run_layer(w, w->pool[pool], 1, 1);

    (void)level;
    return (done){ (double)weights * sizeof(elt), now() - start };
}

/* ---- attention ---- */

typedef struct attend_job {
    const work *w;
    const elt *kv;            /* (heads, 2, keys, HEAD_DIM) */
    int64_t rows, keys, pos0; /* rows of one head: tokens x GQA */
    int block, items, splits;
} attend_job;

static kern_attend head_attention(const attend_job *j, int h)
{
    const elt *k = j->kv + h * j->keys * 2 * HEAD_DIM;

    return (kern_attend){
        .q = j->w->x + h * GQA * HEAD_DIM,
        .q_stride = HEADS * HEAD_DIM,
        .k = k,
        .v = k + j->keys * HEAD_DIM,
        .n_keys = j->keys,
        .pos0 = j->pos0,
        .o = j->w->o + h * j->rows * HEAD_DIM,
        .ml = j->w->ml + h * j->rows * 2,
    };
}

static void open_heads(work *w, int heads, int64_t rows)
{
    for (int64_t i = 0; i < heads * rows; i++) {
        w->ml[2 * i] = -INFINITY;
        w->ml[2 * i + 1] = 0;
    }
}

static void attend_item(void *arg, int item)
{
    const attend_job *j = arg;
    kern_attend k = head_attention(j, item / j->items);
    int64_t r0 = (int64_t)(item % j->items) * j->block;
    int64_t r1 = r0 + j->block < j->rows ? r0 + j->block : j->rows;
    j->w->k->attend(&k, r0, r1);
}

done work_prefill(work *w, int pool, int level)
{
    static const struct {
        int heads, tokens, depth;
    } SIZE[WORK_LEVELS] = {
        { 2, 256, 2048 }, { 8, 256, 2048 }, { 8, 512, 4096 }, { KV_HEADS, MOST_ROWS, 8192 }
    };
    int heads = SIZE[level].heads, tokens = SIZE[level].tokens, depth = SIZE[level].depth;
    attend_job j = { .w = w,
                     .rows = (int64_t)tokens * GQA,
                     .keys = depth + tokens,
                     .pos0 = depth,
                     .block = ATTEND_ROWS };
    double start = now();

    j.kv = (const elt *)next_bytes(w, heads * j.keys * HEAD_KEY_BYTES);
    open_heads(w, heads, j.rows);
    while (j.block > 32 && heads * j.rows / j.block < 2 * work_threads(w, pool))
        j.block /= 2;
    j.items = (int)((j.rows + j.block - 1) / j.block);
    pool_run(w->pool[pool], attend_item, &j, heads * j.items);
    double pairs = (double)heads * (double)j.rows * (depth + (tokens + 1) / 2.0);
    return (done){ 4.0 * HEAD_DIM * pairs, now() - start };
}

static void part_item(void *arg, int item)
{
    const attend_job *j = arg;
    kern_attend k = head_attention(j, item / j->splits);
    int split = item % j->splits;
    j->w->k->attend_parts(&k, split, split + 1, 0, GQA,
                          j->w->part_o + (int64_t)item * GQA * HEAD_DIM,
                          j->w->part_ml + (int64_t)item * GQA * 2);
}

static void merge_item(void *arg, int h)
{
    const attend_job *j = arg;
    kern_attend k = head_attention(j, h);
    for (int64_t i = (int64_t)h * j->splits; i < (int64_t)(h + 1) * j->splits; i++)
        j->w->k->merge(k.o, k.ml, j->w->part_o + i * GQA * HEAD_DIM, j->w->part_ml + i * GQA * 2,
                       GQA);
}

done work_decode(work *w, int pool, int level)
{
    attend_job j = {
        .w = w, .rows = GQA, .keys = DECODE_KEYS, .pos0 = DECODE_KEYS, .splits = DECODE_SPLITS
    };
    int64_t bytes = (int64_t)KV_HEADS * DECODE_KEYS * HEAD_KEY_BYTES;
    double start = now();

    (void)level;
    j.kv = (const elt *)next_bytes(w, bytes);
    open_heads(w, KV_HEADS, GQA);
    pool_run(w->pool[pool], part_item, &j, KV_HEADS * DECODE_SPLITS);
    pool_run(w->pool[pool], merge_item, &j, KV_HEADS);
    return (done){ (double)bytes, now() - start };
}

/* ---- memory ---- */

typedef struct read_job {
    const unsigned char *from;
    uint64_t *sum; /* (items) */
} read_job;

static void read_item(void *arg, int item)
{
    const read_job *j = arg;
    const uint64_t *p = (const uint64_t *)(j->from + (int64_t)item * CHUNK);
    uint64_t sum[8] = { 0 };

    for (size_t i = 0; i < CHUNK / sizeof *p; i += 8) {
        __builtin_prefetch(p + i + 512);
        for (size_t c = 0; c < 8; c++)
            sum[c] ^= p[i + c];
    }
    for (int c = 0; c < 8; c++)
        j->sum[item] ^= sum[c];
}

done work_read(work *w, int pool, int level)
{
    int chunks = w->bytes / CHUNK < READ_CHUNKS ? (int)(w->bytes / CHUNK) : READ_CHUNKS;
    double start = now();
    read_job j = { next_bytes(w, (int64_t)chunks * CHUNK), w->sum };

    (void)level;
    pool_run(w->pool[pool], read_item, &j, chunks);
    return (done){ (double)chunks * CHUNK, now() - start };
}

/* ---- copies ---- */

/*
** The next copy of direction 0, host to device, or 1. Memory is four quarters: host of h2d,
** host of d2h, device of h2d, device of d2h; so both directions can run at once.
*/
static dev_copy next_copy(work *w, int direction)
{
    int64_t quarter = w->bytes / 4, at = direction * quarter + w->copy_at[direction];
    unsigned char *host = w->memory + at, *device = host + 2 * quarter;

    w->copy_at[direction] = (w->copy_at[direction] + COPY) % quarter;
    return (dev_copy){
        .dst = direction == 0 ? device : host,
        .src = direction == 0 ? host : device,
        .bytes = COPY,
        .planes = 1,
    };
}

static done run_stream(work *w, stream *s, int direction)
{
    uint64_t event = 0;
    double start = now();

    for (int i = 0; i < COPIES; i++) {
        dev_copy c = next_copy(w, direction);
        event = stream_start(s, NULL, &c);
    }
    stream_wait(s, event, NULL);
    return (done){ (double)COPIES * COPY, now() - start };
}

done work_h2d(work *w, int pool, int level)
{
    (void)pool, (void)level;
    return run_stream(w, w->h2d, 0);
}

done work_d2h(work *w, int pool, int level)
{
    (void)pool, (void)level;
    return run_stream(w, w->d2h, 1);
}

/* Counts until the faster direction is done: from then on the other one is alone. */
done work_duplex(work *w, int pool, int level)
{
    int64_t h2d = stream_bytes(w->h2d), d2h = stream_bytes(w->d2h), down = 0, up = 0;
    uint64_t down_event = 0, up_event = 0;
    done both = { 0 };
    double start = now();

    (void)pool, (void)level;
    for (int i = 0; i < COPIES; i++) {
        dev_copy to = next_copy(w, 0), from = next_copy(w, 1);
        down_event = stream_start(w->h2d, NULL, &to);
        up_event = stream_start(w->d2h, NULL, &from);
    }
    while (down < (int64_t)COPIES * COPY && up < (int64_t)COPIES * COPY) {
        nanosleep(&(struct timespec){ 0, 100000 }, NULL);
        down = stream_bytes(w->h2d) - h2d;
        up = stream_bytes(w->d2h) - d2h;
        both = (done){ (double)(down + up), now() - start };
    }
    stream_wait(w->h2d, down_event, NULL);
    stream_wait(w->d2h, up_event, NULL);
    return both;
}

done work_copy(work *w, int pool, int level)
{
    double start = now();

    (void)pool, (void)level;
    for (int i = 0; i < COPIES; i++) {
        dev_copy c = next_copy(w, 0);
        for (int at = 0; at < COPY; at += PIECE)
            memcpy(c.dst + at, c.src + at, PIECE);
    }
    return (done){ (double)COPIES * COPY, now() - start };
}

/* ---- hand-over ---- */

static void nothing(void *arg, int item)
{
    (void)arg, (void)item;
}

done work_handover(work *w, int pool, int level)
{
    double start = now();

    (void)level;
    for (int i = 0; i < HANDOVERS; i++)
        pool_run(w->pool[pool], nothing, NULL, 2 * work_threads(w, pool));
    return (done){ HANDOVERS, now() - start };
}
