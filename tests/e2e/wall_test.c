/*
** wall_test.c - the budget is a wall: what a run writes, and where.
**
**   wall_test FOLDER|random:SEED [streams]
**
** Runs harsh: the arena is filled with 0xff before anything else, so what differs was written.
** After loading, a prefill that fills the context but for the last tokens, and these decoded:
**
**   the highest byte written is the last of the larger phase's last buffer; the arena is that,
**   rounded up by less than ALIGN, and with the reserve within the budget;
**   no byte outside both phases' buffers was written;
**   the byte behind the arena cannot be written: a child that tries dies of SIGSEGV;
**   the heap holds at most HEAP_BYTES besides, the same after every pass, nothing after close;
**   with 'streams', keys and values were copied to the device, so that there is a wall to keep;
**   under AddressSanitizer, buffers can be touched and the gaps around them cannot.
*/
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "e2e.h"
#include "guard.h"
#include "state.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/* Looks at, or writes, what a sanitizer would not let us. */
#define UNCHECKED __attribute__((no_sanitize_address, no_sanitize_thread, noinline))

enum {
    DECODED = 64,
    ALIGN = 256,                     /* ORDER BUFFERS: BUF_ALIGN of gen/gen.h */
    UNTOUCHED = 0xff,
    HEAP_BYTES = 64 << 10            /* two copy queues, the pool, the run's tables: 36 KiB here */
};

typedef struct wall {
    const hi_model *m;
    hi_run *r;
    bool streams;
    int64_t high;                    /* end of the last byte seen written */
    long before, heap;               /* bytes allocated by us; by hi_open */
    int wrong;
} wall;

static void check(wall *w, bool good, const char *what)
{
    if (!good)
        fprintf(stderr, "WRONG: %s\n", what);
    w->wrong += !good;
}

/* ---- what was written ---- */

static int64_t last_end(const hi_model *m)
{
    int64_t end = 0;

    for (int phase = 0; phase < HI_PHASES; phase++)
        for (int i = 0; i < HI_BUFFERS; i++) {
            const hi_buffer *b = &m->buf[phase][i];
            if (b->bytes > 0 && b->offset + b->bytes > end)
                end = b->offset + b->bytes;
        }
    return end;
}

UNCHECKED static int64_t written_end(const unsigned char *arena, int64_t bytes)
{
    while (bytes > 0 && arena[bytes - 1] == UNTOUCHED)
        bytes--;
    return bytes;
}

/* Bytes that differ where no buffer is ('used' 0). */
UNCHECKED static int64_t stray_bytes(const unsigned char *arena, const unsigned char *used,
                                     int64_t n)
{
    int64_t stray = 0;

    for (int64_t i = 0; i < n; i++)
        stray += !used[i] && arena[i] != UNTOUCHED;
    return stray;
}

static void check_gaps(wall *w)
{
    const hi_model *m = w->m;
    unsigned char *used = take_memory((size_t)m->arena_bytes);
    int64_t gaps = 0;

    memset(used, 0, (size_t)m->arena_bytes);
    for (int phase = 0; phase < HI_PHASES; phase++)
        for (int i = 0; i < HI_BUFFERS; i++)
            memset(used + m->buf[phase][i].offset, 1, (size_t)m->buf[phase][i].bytes);
    for (int64_t i = 0; i < m->arena_bytes; i++)
        gaps += !used[i];
    int64_t stray = stray_bytes(w->r->in->arena, used, m->arena_bytes);
    printf("bytes in no buffer   %9lld  written %lld\n", (long long)gaps, (long long)stray);
    check(w, gaps > 0 && stray == 0, "bytes between the buffers were written");
    free(used);
}

/* No copy may be under way while others look. */
static void quiet(wall *w)
{
    struct hi_state *s = w->r->in;

    for (int i = 0; i < DEV_STREAMS; i++)
        dev_wait(s->dev, i, s->last_copy[i]);
}

static void look(wall *w)
{
    quiet(w);
    int64_t end = written_end(w->r->in->arena, w->m->arena_bytes);
    w->high = end > w->high ? end : w->high;
    check(w, guard_allocations() - w->before == w->heap, "a pass left the heap larger or smaller");
}

/* ---- the fences of AddressSanitizer ---- */

#if defined(__SANITIZE_ADDRESS__)
static void check_fences(wall *w)
{
    const struct hi_state *s = w->r->in;
    int fences = 0;

    for (int i = 0; i < HI_BUFFERS; i++) {
        const hi_buffer *b = &w->m->buf[s->phase][i];
        unsigned char *first = s->arena + b->offset, *end = first + b->bytes;
        if (b->bytes == 0)
            continue;
        check(w, !__asan_address_is_poisoned(first) && !__asan_address_is_poisoned(end - 1),
              "a buffer is fenced off");
        check(w, b->offset == 0 || __asan_address_is_poisoned(first - 1),
              "no fence before a buffer");
        if (end == s->arena + w->m->arena_bytes)
            continue;                /* the guard page is its fence */
        check(w, __asan_address_is_poisoned(end), "no fence behind a buffer");
        fences++;
    }
    check(w, fences > 0, "no buffer has a gap behind it");
    printf("fences               %9d\n", fences);
}
#else
static void check_fences(wall *w)
{
    (void)w;
}
#endif

/* ---- the guard page ---- */

UNCHECKED static void poke(volatile unsigned char *p)
{
    *p = 1;
}

/* The signal that ends a child which writes there; 0: none. */
static int signal_of_write(unsigned char *p)
{
    int status;
    fflush(stdout);
    pid_t child = fork();

    if (child < 0)
        die("cannot fork");
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        poke(p);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child)
        die("lost the child");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void check_guard_page(wall *w)
{
    unsigned char *end = w->r->in->arena + w->m->arena_bytes;

    check(w, signal_of_write(end - 1) == 0, "the arena's last byte cannot be written");
    check(w, signal_of_write(end) == SIGSEGV, "the byte behind the arena can be written");
}

/* ---- the run ---- */

static void check_sizes(wall *w)
{
    const hi_model *m = w->m;
    int64_t end = last_end(m);
    hi_stats stats;

    hi_get_stats(w->r, &stats);
    printf("last buffer ends at  %9lld\nhighest byte written %9lld\narena                %9lld\n"
           "budget               %9lld\n",
           (long long)end, (long long)w->high, (long long)m->arena_bytes,
           (long long)m->budget_bytes);
    printf("heap                 %9ld\ncopied to the device %9lld\n", w->heap,
           (long long)stats.h2d_bytes);
    check(w, !w->streams || stats.h2d_bytes > 0, "nothing was copied to the device");
    check(w, w->high == end, "the highest byte written is not the last buffer's last");
    check(w, stats.arena_peak_bytes == end, "the peak told is not the last buffer's end");
    check(w, m->arena_bytes >= end && m->arena_bytes - end < ALIGN, "the arena is not as planned");
    check(w, m->budget_bytes < 0 || m->arena_bytes + m->reserve_bytes <= m->budget_bytes,
          "the arena exceeds the budget");
    check(w, w->heap > 0 && w->heap <= HEAP_BYTES, "the heap holds too much");
}

static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    (void)r, (void)pass;
    look(arg);
}

static void run_all(wall *w)
{
    int tokens = (int)w->m->ctx, prompt = tokens - DECODED;
    int32_t *ids = take_memory((size_t)tokens * sizeof *ids);

    for (int i = 0; i < tokens; i++)
        ids[i] = (int32_t)((i * 7919LL + i / 13) % w->m->vocab);
    w->before = guard_allocations() - w->heap;       /* the ids are ours */
    hi_set_watch(w->r, on_pass, w);
    feed(w->r, ids, prompt);
    check_fences(w);
    for (int at = prompt; at < tokens; at++) {
        must(w->r, "decode", hi_decode(w->r, ids[at]));
        look(w);
    }
    check_fences(w);
    free(ids);
}

int main(int argc, char **argv)
{
    wall w = { .m = &hi_the_model };

    if (argc < 2 || (argc > 2 && strcmp(argv[2], "streams") != 0) || DECODED >= w.m->ctx)
        die("usage: wall_test FOLDER [streams]");
    w.streams = argc > 2;
    hi_options o = { .weights = argv[1], .threads = 2 };
    long start = guard_allocations();
    w.r = open_run(&o);
    w.heap = guard_allocations() - start;
    printf("%s\n", w.m->name);
    run_all(&w);
    check_sizes(&w);
    check_gaps(&w);
    check_guard_page(&w);
    hi_close(w.r);
    check(&w, guard_allocations() == start, "hi_close left something on the heap");
    return w.wrong != 0;
}
