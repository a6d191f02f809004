/*
** emu_sm90.c - the copy engine, its barriers, wgmma and named barriers of the emulated GPU.
**
** A machine on top of emu.c's: one state for each OS thread, cleared with the first call of every
** block. Warps of a warp group compute their 16 rows each for themselves, as late and as far apart
** as the schedule has them; that they issue the same products is compared at the end. Compiled
** without a sanitizer, as emu.c is, and telling it the same things.
*/
#include "emu_sm90.h"
#include "emu_tell.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_BARRIERS = 64,
    MOST_LOADS = 64,
    MOST_NAMED = 16,
    MOST_WARPS = 32,
    MOST_PRODUCTS = 64,              /* under way in a warp */
    MOST_SUMS = 4,                   /* accumulators they are added to */
    MOST_COLUMNS = 128,
    MOST_CHUNKS = (227 << 10) / 16,  /* of shared memory */
    SUM_ROWS = 16,                   /* of a warp */
    DEPTH = 16                       /* summed up in one wgmma */
};

/* What the emulated cuTensorMapEncodeTiled leaves in the 128 bytes. */
typedef struct map_bytes {
    uint64_t is_map;
    const unsigned char *base;
    uint64_t size[4], stride[3];     /* elements; bytes */
    uint32_t box[4], element_bytes;
} map_bytes;

static const uint64_t IS_MAP = 0x746f6e6e616d6170ull;

typedef struct barrier {
    void *at;
    unsigned count, missing;         /* arrivals */
    long bytes;                      /* announced and not yet here */
    unsigned phase;
    bool published;
    char tag;
} barrier;

typedef struct load {
    const map_bytes *map;
    int at[4];
    unsigned char *dst;
    barrier *bar;
} load;

typedef struct named {
    int threads, arrived;
    unsigned turn;
    char tag;
} named;

/* 16 rows of an accumulator while products are under way; its registers are then NaN. */
typedef struct sum {
    float *d[32];                    /* by lane */
    int columns, users;
    float value[SUM_ROWS][MOST_COLUMNS];
} sum;

typedef struct product {
    emu_product p;                   /* lane 0's */
    const uint32_t *words[32];       /* by lane, and what they were */
    uint32_t was[32][4];
    sum *sum;
    unsigned group;
    const char *file;
    int line;
} product;

typedef struct warp_state {
    product ring[MOST_PRODUCTS];
    sum sums[MOST_SUMS];
    unsigned head, tail, group, issued, pending;
    bool fenced;
    uint64_t trace;                  /* of all it issued */
    char tag;
} warp_state;

typedef struct hopper {
    barrier bar[MOST_BARRIERS];
    load loads[MOST_LOADS];
    named named[MOST_NAMED];
    warp_state warp[MOST_WARPS];
    emu_product given[32 * MOST_WARPS];
    unsigned short stored[MOST_CHUNKS];  /* 1 + thread, until its gpu_async_fence */
    unsigned n_bars, n_loads, n_stored, rng;
} hopper;

static __thread hopper *H;

static const char *block_end(void);

/* Not by memset, which TSan would take for the doing of a CUDA thread. */
static void clear(hopper *h)
{
    volatile uint64_t *word = (void *)h;
    for (size_t i = 0; i < sizeof *h / sizeof *word; i++)
        word[i] = 0;
}

/* The state of the current block. */
static hopper *machine(void)
{
    if (!H)
        H = malloc(sizeof *H);
    if (!H)
        emu_fail("out of memory");
    if (!emu_block_end) {
        clear(H);
        emu_block_end = block_end;
    }
    return H;
}

/* In a random schedule: what others do after an arrival comes before what this thread does. */
static void maybe_yield(void)
{
    if (!emu_seed)
        return;
    H->rng = (H->rng + emu_seed) * 1664525u + 1013904223u;
    if (H->rng >> 30)
        emu_yield();
}

static unsigned offset_of(const void *p)
{
    return (unsigned)((const unsigned char *)p - emu_smem);
}

/* ---- mbarrier ---- */

static barrier *find_barrier(const void *at, const char *file, int line)
{
    hopper *h = machine();
    for (unsigned i = 0; i < h->n_bars; i++) {
        if (h->bar[i].at == at)
            return &h->bar[i];
    }
    emu_fail("%s:%d: no mbarrier was made at shared address %u", file, line, offset_of(at));
}

void emu_mbar_init(void *at, unsigned count, const char *file, int line)
{
    hopper *h = machine();
    emu_check_smem(at, 8, "mbarrier", file, line);
    for (unsigned i = 0; i < h->n_bars; i++) {
        if (h->bar[i].at == at)
            emu_fail("%s:%d: the mbarrier exists already", file, line);
    }
    if (h->n_bars == MOST_BARRIERS || !count)
        emu_fail("%s:%d: mbarrier number %u of %u arrivals", file, line, h->n_bars, count);
    h->bar[h->n_bars++] = (barrier){ .at = at, .count = count, .missing = count };
    memset(at, 0, 8);
    IS_WRITTEN(at, 8);
}

void emu_mbar_publish(void)
{
    hopper *h = machine();
    for (unsigned i = 0; i < h->n_bars; i++)
        h->bar[i].published = true;
}

static void end_phase(barrier *b)
{
    if (b->missing || b->bytes)
        return;
    b->phase++;
    b->missing = b->count;
    emu_wake();
}

void emu_mbar_arrive(void *at, unsigned bytes, const char *file, int line)
{
    barrier *b = find_barrier(at, file, line);
    IS_READ(at, 8);
    if (!b->missing)
        emu_fail("%s:%d: more than %u arrivals at the mbarrier", file, line, b->count);
    ORDER_RELEASE(&b->tag);
    b->bytes += bytes;
    b->missing--;
    end_phase(b);
    emu_wake();                      /* a waiting thread may now fetch the bytes */
    maybe_yield();
}

/* ---- the copy engine ---- */

static unsigned swizzled(unsigned at)
{
    return at ^ (at >> 7 & 7) << 4;
}

static size_t box_bytes(const map_bytes *m)
{
    return (size_t)m->box[0] * m->box[1] * m->box[2] * m->box[3] * m->element_bytes;
}

/* One row of the box, 16 bytes at a time: memcpy is what the sanitizers watch. */
static void load_row(const load *l, const unsigned *i, unsigned char *to)
{
    const map_bytes *m = l->map;
    const unsigned char *from = m->base + (uint64_t)l->at[0] * m->element_bytes;
    volatile size_t chunk = 16;
    bool inside = true;
    for (int k = 1; k < 4; k++) {
        int64_t at = (int64_t)l->at[k] + i[k];
        inside = inside && at >= 0 && (uint64_t)at < m->size[k];
        from += at * (int64_t)m->stride[k - 1];
    }
    for (unsigned c = 0; c < m->box[0] * m->element_bytes; c += 16) {
        unsigned char *dst = emu_smem + swizzled(offset_of(to + c));
        if (inside)
            memcpy(dst, from + c, chunk);
        else
            memset(dst, 0, chunk);
    }
    IS_WRITTEN(to, m->box[0] * m->element_bytes);
}

static void deliver(const load *l)
{
    const map_bytes *m = l->map;
    unsigned i[4] = { 0 };
    unsigned char *to = l->dst;
    for (i[3] = 0; i[3] < m->box[3]; i[3]++) {
        for (i[2] = 0; i[2] < m->box[2]; i[2]++) {
            for (i[1] = 0; i[1] < m->box[1]; i[1]++) {
                load_row(l, i, to);
                to += m->box[0] * m->element_bytes;
            }
        }
    }
    l->bar->bytes -= (long)box_bytes(m);
}

/* Brings a tile that the barrier waits for. Returns whether there was one. */
static bool deliver_one(barrier *b)
{
    for (unsigned i = 0; i < H->n_loads; i++) {
        if (H->loads[i].bar != b)
            continue;
        load l = H->loads[i];
        H->loads[i] = H->loads[--H->n_loads];
        ORDER_ACQUIRE(&b->tag);      /* the copy comes after its issue */
        deliver(&l);
        ORDER_RELEASE(&b->tag);
        end_phase(b);
        return true;
    }
    return false;
}

void emu_mbar_wait(void *at, unsigned parity, const char *file, int line)
{
    barrier *b = find_barrier(at, file, line);
    IS_READ(at, 8);
    while ((b->phase & 1) == parity) {
        if (b->missing || !deliver_one(b))
            emu_wait(file, line);
    }
    ORDER_ACQUIRE(&b->tag);
}

void emu_tma_load(void *dst, const void *map, void *bar, const int *at, const char *file, int line)
{
    const map_bytes *m = map;
    hopper *h = machine();
    barrier *b = find_barrier(bar, file, line);
    emu_check_align(map, 128, file, line);
    if (m->is_map != IS_MAP)
        emu_fail("%s:%d: no tensor map", file, line);
    if (!b->published)
        emu_fail("%s:%d: the copy engine does not know the mbarrier yet", file, line);
    if (at[0] || m->size[0] != m->box[0])
        emu_fail("%s:%d: only whole rows are emulated", file, line);
    unsigned char *end = (unsigned char *)dst + box_bytes(m) - 1;
    emu_check_smem(end, 1, "tensor copy", file, line);
    emu_check_smem(dst, 1024, "tensor copy", file, line);
    if (h->n_loads == MOST_LOADS)
        emu_fail("%s:%d: more than %d tensor copies under way", file, line, MOST_LOADS);
    h->loads[h->n_loads++] = (load){ m, { at[0], at[1], at[2], at[3] }, dst, b };
    memset(dst, 0xff, box_bytes(m));
    IS_WRITTEN(dst, box_bytes(m));
    IS_UNDEFINED(dst, box_bytes(m));
    ORDER_RELEASE(&b->tag);
    emu_wake();
}

/* ---- the driver's function that makes tensor maps ---- */

static bool map_allowed(const void *map, const void *base, const uint64_t *size,
                        const uint64_t *stride, const uint32_t *box, const uint32_t *step)
{
    bool ok = (uintptr_t)map % 128 == 0 && (uintptr_t)base % 16 == 0 && box[0] * 2 == 128;
    for (int i = 0; i < 4; i++)
        ok = ok && size[i] > 0 && size[i] <= 1ull << 32 && box[i] > 0 && box[i] <= 256 &&
             step[i] == 1;
    for (int i = 0; i < 3; i++)
        ok = ok && stride[i] % 16 == 0 && stride[i] > 0 && stride[i] < 1ull << 40;
    return ok;
}

/* bf16, four dimensions, 128-byte swizzle, zeros outside: all that is emulated. */
static int encode_tiled(void *map, int type, unsigned rank, void *base, const uint64_t *size,
                        const uint64_t *stride, const uint32_t *box, const uint32_t *step,
                        int interleave, int swizzle, int promotion, int fill)
{
    (void)promotion;
    if (type != 9 || rank != 4 || interleave || swizzle != 3 || fill ||
        !map_allowed(map, base, size, stride, box, step))
        return 1;                    /* CUDA_ERROR_INVALID_VALUE */
    map_bytes m = { .is_map = IS_MAP, .base = base, .element_bytes = 2 };
    memcpy(m.size, size, sizeof m.size);
    memcpy(m.stride, stride, sizeof m.stride);
    memcpy(m.box, box, sizeof m.box);
    memset(map, 0, 128);
    memcpy(map, &m, sizeof m);
    IS_DEFINED(map, 128);
    return 0;
}

/* The runtime's way to it, unless an emulated runtime has one of its own. */
int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                     unsigned long long flags, int *found);
__attribute__((weak)) int cudaGetDriverEntryPointByVersion(const char *name, void **function,
                                                           unsigned version,
                                                           unsigned long long flags, int *found)
{
    union {
        int (*encode)(void *, int, unsigned, void *, const uint64_t *, const uint64_t *,
                      const uint32_t *, const uint32_t *, int, int, int, int);
        void *p;
    } f = { encode_tiled };
    (void)version;
    (void)flags;
    bool known = !strcmp(name, "cuTensorMapEncodeTiled");
    *function = known ? f.p : NULL;
    *found = !known;
    IS_DEFINED(function, sizeof *function);
    IS_DEFINED(found, sizeof *found);
    return 0;
}

/* ---- ordinary stores that the asynchronous readers must be told of ---- */

void emu_async_store(void *p, const char *file, int line)
{
    hopper *h = machine();
    emu_check_smem(p, 16, "store", file, line);
    unsigned short *s = &h->stored[offset_of(p) / 16];
    h->n_stored += !*s;
    *s = (unsigned short)(emu_self->index + 1);
}

void emu_async_fence(void)
{
    hopper *h = machine();
    for (unsigned i = 0; i < MOST_CHUNKS && h->n_stored; i++) {
        if (h->stored[i] == emu_self->index + 1) {
            h->stored[i] = 0;
            h->n_stored--;
        }
    }
}

/* ---- named barriers ---- */

void emu_bar(int id, int threads, int wait, const char *file, int line)
{
    hopper *h = machine();
    if (id < 1 || id >= MOST_NAMED || threads <= 0 || threads % 32)
        emu_fail("%s:%d: barrier %d of %d threads", file, line, id, threads);
    named *b = &h->named[id];
    if (b->arrived && b->threads != threads)
        emu_fail("%s:%d: barrier %d of %d threads, others say %d", file, line, id, threads,
                 b->threads);
    unsigned turn = b->turn;
    b->threads = threads;
    ORDER_RELEASE(&b->tag);
    if (++b->arrived == threads) {
        b->arrived = 0;
        b->turn++;
        emu_wake();
    }
    while (wait && b->turn == turn)
        emu_wait(file, line);
    if (wait)
        ORDER_ACQUIRE(&b->tag);
}

/* ---- wgmma; collectives of a warp, performed by the last lane to come ---- */

static warp_state *state_of(const emu_thread *t)
{
    return &machine()->warp[t->index / 32];
}

static float wide(uint16_t x)
{
    union {
        uint32_t u;
        float f;
    } v = { (uint32_t)x << 16 };
    return v.f;
}

/* Eight bf16 that a descriptor's rule puts at 'at'. */
static const uint16_t *chunk_at(const product *p, unsigned at)
{
    at = swizzled(at);
    const unsigned char *c = emu_smem + at;
    emu_check_smem(c, 16, "wgmma", p->file, p->line);
    if (H->n_stored && H->stored[at / 16])
        emu_fail("wgmma at %s:%d reads what thread %d stored without gpu_async_fence", p->file,
                 p->line, H->stored[at / 16] - 1);
    IS_READ(c, 16);
    MUST_BE_DEFINED(c, 16);
    return (const uint16_t *)c;
}

/* The descriptor's parts. Swizzle 1 is 128 bytes; its pattern starts at multiples of 1024. */
static void open_matrix(const product *p, uint64_t m, bool down, unsigned *start,
                        unsigned *columns, unsigned *groups)
{
    *start = (unsigned)(m & 0x3fff) << 4;
    *columns = (unsigned)(m >> 16 & 0x3fff) << 4;
    *groups = (unsigned)(m >> 32 & 0x3fff) << 4;
    unsigned beyond = *start % 1024;
    if (m >> 62 != 1 || (m >> 46 & 0xffff) || (down ? beyond : beyond % 32 || beyond >= 128))
        emu_fail("wgmma at %s:%d: bad matrix descriptor %016llx", p->file, p->line,
                 (unsigned long long)m);
}

/* 'rows' rows of 16 from row 'row' on, the summed index along them; out[i][row]. */
static void read_rows(const product *p, uint64_t m, unsigned row, unsigned rows, float *out,
                      unsigned pitch)
{
    unsigned start, columns, groups;
    open_matrix(p, m, false, &start, &columns, &groups);
    for (unsigned r = 0; r < rows; r++) {
        unsigned at = start + (row + r) / 8 * groups + (row + r) % 8 * 128;
        for (unsigned i = 0; i < DEPTH; i += 8) {
            const uint16_t *c = chunk_at(p, at + i * 2);
            for (unsigned j = 0; j < 8; j++)
                out[(i + j) * pitch + r] = wide(c[j]);
        }
    }
}

/* 16 rows of n columns, the summed index down them; out[i][column]. */
static void read_columns(const product *p, uint64_t m, unsigned n, float *out, unsigned pitch)
{
    unsigned start, columns, groups;
    open_matrix(p, m, true, &start, &columns, &groups);
    for (unsigned i = 0; i < DEPTH; i++) {
        for (unsigned j = 0; j < n; j += 8) {
            const uint16_t *c = chunk_at(p, start + i / 8 * groups + i % 8 * 128 +
                                                j / 64 * columns + j % 64 * 2);
            for (unsigned k = 0; k < 8; k++)
                out[i * pitch + j + k] = wide(c[k]);
        }
    }
}

/* a as a warp's lanes hold it; out[i][row] */
static void read_words(const product *p, float (*out)[SUM_ROWS])
{
    for (unsigned l = 0; l < 32; l++) {
        for (unsigned i = 0; i < 4; i++) {
            if (p->words[l][i] != p->was[l][i])
                emu_fail("wgmma at %s:%d: lane %u changed the operand before the wait", p->file,
                         p->line, l);
            unsigned row = l / 4 + i % 2 * 8, col = l % 4 * 2 + i / 2 * 8;
            out[col][row] = wide((uint16_t)p->was[l][i]);
            out[col + 1][row] = wide((uint16_t)(p->was[l][i] >> 16));
        }
    }
}

static void do_product(const product *p, unsigned warp)
{
    float a[DEPTH][SUM_ROWS], b[DEPTH][MOST_COLUMNS];
    unsigned n = (unsigned)p->p.columns;
    if (p->p.a_words)
        read_words(p, a);
    else
        read_rows(p, p->p.a, warp % 4 * SUM_ROWS, SUM_ROWS, a[0], SUM_ROWS);
    if (p->p.b_down)
        read_columns(p, p->p.b, n, b[0], MOST_COLUMNS);
    else
        read_rows(p, p->p.b, 0, n, b[0], MOST_COLUMNS);
    if (!p->p.add)
        memset(p->sum->value, 0, sizeof p->sum->value);
    for (unsigned m = 0; m < SUM_ROWS; m++) {
        for (unsigned k = 0; k < DEPTH; k++) {
            float x = a[k][m], *to = p->sum->value[m];
            for (unsigned j = 0; j < n; j++)
                to[j] += x * b[k][j];
        }
    }
}

/* Between the registers of all lanes and the sum. */
static float *register_of(const sum *s, unsigned row, unsigned column)
{
    unsigned lane = row % 8 * 4 + column % 8 / 2;
    return &s->d[lane][column / 8 * 4 + row / 8 * 2 + column % 2];
}

static void sum_open(sum *s, const emu_product *given, bool add)
{
    s->columns = given->columns;
    for (unsigned l = 0; l < 32; l++)
        s->d[l] = given[l].d;
    for (unsigned r = 0; r < SUM_ROWS; r++) {
        for (unsigned c = 0; c < (unsigned)s->columns; c++)
            s->value[r][c] = add ? *register_of(s, r, c) : 0;
    }
    size_t bytes = (size_t)s->columns / 2 * sizeof(float);
    for (unsigned l = 0; l < 32; l++) {
        if (add)
            MUST_BE_DEFINED(s->d[l], bytes);
        for (int i = 0; i < s->columns / 2; i++)
            s->d[l][i] = NAN;
        IS_UNDEFINED(s->d[l], bytes);
    }
}

static void sum_close(sum *s)
{
    for (unsigned r = 0; r < SUM_ROWS; r++) {
        for (unsigned c = 0; c < (unsigned)s->columns; c++)
            *register_of(s, r, c) = s->value[r][c];
    }
    for (unsigned l = 0; l < 32; l++)
        IS_DEFINED(s->d[l], (size_t)s->columns / 2 * sizeof(float));
}

static sum *find_sum(warp_state *w, const emu_product *given, bool add, const char *file, int line)
{
    sum *empty = NULL;
    for (int i = 0; i < MOST_SUMS; i++) {
        if (w->sums[i].users && w->sums[i].d[0] == given->d)
            return &w->sums[i];
        if (!w->sums[i].users)
            empty = &w->sums[i];
    }
    if (!empty)
        emu_fail("wgmma at %s:%d: more than %d accumulators under way", file, line, MOST_SUMS);
    sum_open(empty, given, add);
    return empty;
}

static void check_given(const emu_product *given, const emu_thread *t)
{
    for (unsigned l = 1; l < 32; l++) {
        const emu_product *p = &given[l];
        if (p->a != given->a || p->b != given->b || !p->a_words != !given->a_words)
            emu_fail("wgmma at %s:%d: lanes 0 and %u describe different matrices", t->file, t->line,
                     l);
    }
}

static void do_issue(emu_thread *lanes)
{
    warp_state *w = state_of(lanes);
    const emu_product *given = &H->given[lanes->index];
    check_given(given, lanes);
    if (!w->fenced)
        emu_fail("wgmma at %s:%d: no gpu_wgmma_fence since the last wait", lanes->file,
                 lanes->line);
    if (w->tail - w->head == MOST_PRODUCTS)
        emu_fail("wgmma at %s:%d: more than %d under way", lanes->file, lanes->line, MOST_PRODUCTS);
    product *p = &w->ring[w->tail++ % MOST_PRODUCTS];
    p->p = *given;
    p->file = lanes->file;
    p->line = lanes->line;
    p->group = w->group;
    p->sum = find_sum(w, given, given->add, p->file, p->line);
    p->sum->users++;
    for (unsigned l = 0; l < 32 && given->a_words; l++) {
        p->words[l] = given[l].a_words;
        MUST_BE_DEFINED(p->words[l], sizeof p->was[l]);
        for (unsigned i = 0; i < 4; i++)
            p->was[l][i] = p->words[l][i];
    }
    w->issued++;
    w->trace = (w->trace ^ given->a ^ given->b << 7 ^ (unsigned)given->columns) * 0x100000001b3ull;
}

void emu_wgmma(const emu_product *p, const char *file, int line)
{
    machine()->given[emu_self->index] = *p;
    emu_warp_call(do_issue, file, line);
}

static void do_fence(emu_thread *lanes)
{
    state_of(lanes)->fenced = true;
}

void emu_wgmma_fence(const char *file, int line)
{
    emu_warp_call(do_fence, file, line);
}

static void do_commit(emu_thread *lanes)
{
    state_of(lanes)->group++;
}

void emu_wgmma_commit(const char *file, int line)
{
    emu_warp_call(do_commit, file, line);
}

static void do_wait(emu_thread *lanes)
{
    warp_state *w = state_of(lanes);
    w->fenced = false;
    while (w->head != w->tail) {
        const product *p = &w->ring[w->head % MOST_PRODUCTS];
        if (p->group + w->pending >= w->group)
            break;
        do_product(p, lanes->index / 32);
        if (!--p->sum->users)
            sum_close(p->sum);
        w->head++;
    }
    ORDER_RELEASE(&w->tag);
}

/* Until at most 'pending' groups are under way; d must not be in one of those. */
void emu_wgmma_wait(unsigned pending, const float *d, const char *file, int line)
{
    warp_state *w = state_of(emu_self);
    w->pending = pending;
    emu_warp_call(do_wait, file, line);
    ORDER_ACQUIRE(&w->tag);
    for (int i = 0; i < MOST_SUMS; i++) {
        if (w->sums[i].users && w->sums[i].d[emu_self->lane] == d)
            emu_fail("%s:%d: the accumulator waited for is still under way", file, line);
    }
}

/* ---- the end of a block ---- */

static const char *block_end(void)
{
    static __thread char text[100];
    if (H->n_loads)
        return "a tensor copy that no one waited for";
    for (unsigned i = 0; i < H->n_bars; i++) {
        if (H->bar[i].bytes)
            return "an mbarrier waits for bytes that no copy brings";
    }
    for (int i = 1; i < MOST_NAMED; i++) {
        if (H->named[i].arrived) {
            snprintf(text, sizeof text, "barrier %d has %d threads too many", i,
                     H->named[i].arrived);
            return text;
        }
    }
    for (unsigned i = 0; i < MOST_WARPS; i++) {
        const warp_state *w = &H->warp[i], *first = &H->warp[i / 4 * 4];
        if (w->head != w->tail)
            return "a wgmma that no one waited for";
        if (w->issued != first->issued || w->trace != first->trace)
            return "warps of a group issued different wgmma";
    }
    return NULL;
}
