/*
** pool.c - threads that share the items of one job at a time.
**
** A thread's stretch of the items is one word, its end above the next item, so that taking one is
** an addition, whoever takes it. Whose addition finds an item left has one of the job under way,
** however late it comes, and the job is not over until that item is counted as done: so nobody
** waits for threads that sleep or whose core is taken. A job is published by a new epoch, which
** waiting threads watch; a lock is taken only where somebody sleeps.
*/
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum {
    STACK_BYTES = 4 << 20,
    MOST_THREADS = 256,
    LINE = 128,                      /* processors fetch cache lines in pairs */
    PAUSES = 16,                     /* between looks at the clock */
    SPIN_NS = 200000,                /* longer than what lies between two jobs of a pass */
    CROWDED_SPIN_NS = 2000           /* more threads than cores: who is awaited may await us */
};

typedef struct lane {                /* of one thread; the caller's is the first */
    alignas(LINE) atomic_uint_fast64_t stretch;  /* end << 32 | next item */
    alignas(LINE) atomic_uint_fast64_t done;     /* items of all jobs that it has done */
    struct pool *pool;
    int index;
    pthread_t thread;
} lane;

struct pool {
    void *memory;                    /* that this lies in */
    unsigned id;                     /* never that of another pool, even at the same address */
    int n, started;
    int64_t spin_ns;
    void (*begin)(void);
    pool_job *job;
    void *arg;
    uint64_t items;                  /* of all jobs so far */
    alignas(LINE) atomic_uint epoch;
    atomic_bool asleep;              /* a worker, since the last waking */
    atomic_bool caller_asleep;
    atomic_bool closing;
    alignas(LINE) pthread_mutex_t lock;
    pthread_cond_t wake, over;
    lane lane[];
};

static atomic_uint pools;
static _Thread_local unsigned begun;     /* id of the pool this thread last worked for */

/* ---- waiting ---- */

typedef struct spin {
    unsigned turns;
    int64_t end;
} spin;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Passes a moment; false when 'ns' have passed: by the clock: a pause takes 40 or 140 cycles. */
static bool spin_on(spin *s, int64_t ns)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
    if (++s->turns % PAUSES != 0)
        return true;
    int64_t now = now_ns();
    if (s->end == 0)
        s->end = now + ns;
    return now < s->end;
}

/* Waits until the epoch differs from 'seen'; returns it. */
static unsigned next_epoch(pool *p, unsigned seen)
{
    spin s = { 0 };
    unsigned e;

    do {
        if ((e = atomic_load(&p->epoch)) != seen)
            return e;
    } while (spin_on(&s, p->spin_ns));
    pthread_mutex_lock(&p->lock);
    for (;;) {
        atomic_store(&p->asleep, true);          /* then a last look: who publishes looks after */
        if ((e = atomic_load(&p->epoch)) != seen)
            break;
        pthread_cond_wait(&p->wake, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

static void publish(pool *p)
{
    atomic_fetch_add(&p->epoch, 1);
    if (!atomic_load(&p->asleep))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->asleep, false);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->wake);
}

static bool is_over(pool *p)
{
    uint64_t done = 0;
    for (int i = 0; i < p->n; i++)
        done += atomic_load(&p->lane[i].done);
    return done == p->items;
}

static void wait_over(pool *p)
{
    spin s = { 0 };

    do {
        if (is_over(p))
            return;
    } while (spin_on(&s, p->spin_ns));
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_asleep, true);
    while (!is_over(p))
        pthread_cond_wait(&p->over, &p->lock);
    atomic_store(&p->caller_asleep, false);
    pthread_mutex_unlock(&p->lock);
}

static void report(pool *p, int self, uint64_t done)
{
    atomic_fetch_add(&p->lane[self].done, done);
    if (self == 0 || !atomic_load(&p->caller_asleep))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->over);
    pthread_mutex_unlock(&p->lock);
}

/* ---- work ---- */

static void begin_thread(pool *p)
{
    if (begun == p->id)
        return;
    begun = p->id;
    if (p->begin != NULL)
        p->begin();
}

/* An item of the lane, or -1. One that is empty is only looked at: its line stays with all. */
static int64_t take_item(lane *l)
{
    uint64_t s = atomic_load_explicit(&l->stretch, memory_order_relaxed);

    if ((uint32_t)s >= s >> 32)
        return -1;
    s = atomic_fetch_add(&l->stretch, 1);
    return (uint32_t)s < s >> 32 ? (int64_t)(uint32_t)s : -1;
}

/* The job is read after an item is taken: only then is it sure to be that item's. */
static void take_items(pool *p, int self)
{
    uint64_t done = 0;
    int64_t item;

    for (int i = 0; i < p->n; i++) {
        lane *l = &p->lane[self + i < p->n ? self + i : self + i - p->n];
        for (; (item = take_item(l)) >= 0; done++)
            p->job(p->arg, (int)item);
    }
    if (done > 0)
        report(p, self, done);
}

static void *work(void *arg)
{
    const lane *l = arg;
    pool *p = l->pool;
    unsigned seen = 0;

    begin_thread(p);
    for (;;) {
        seen = next_epoch(p, seen);
        if (atomic_load(&p->closing))
            return NULL;
        take_items(p, l->index);
    }
}

static void run_alone(pool_job *job, void *arg, int items)
{
    for (int i = 0; i < items; i++)
        job(arg, i);
}

void pool_run(pool *p, pool_job *job, void *arg, int items)
{
    begin_thread(p);
    if (items <= 1 || p->n == 1) {
        run_alone(job, arg, items);
        return;
    }
    p->job = job;
    p->arg = arg;
    p->items += (uint64_t)items;
    for (int i = 0; i < p->n; i++) {
        uint64_t first = (uint64_t)items * (uint64_t)i / (uint64_t)p->n;
        uint64_t end = (uint64_t)items * (uint64_t)(i + 1) / (uint64_t)p->n;
        atomic_store(&p->lane[i].stretch, end << 32 | first);
    }
    publish(p);
    take_items(p, 0);
    wait_over(p);
}

/* ---- open and close ---- */

int pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set);
}

/* Workers to one core each, in the order of the cores, but the one the caller is on. With fewer
   threads than cores the system places them: another program may have chosen the same. The
   caller's thread is left as it is: threads that it starts would take over where it is pinned. */
static void pin(pool *p)
{
    cpu_set_t all, one;
    int own = sched_getcpu(), core = 0;

    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) != p->n || own < 0 ||
        !CPU_ISSET(own, &all))
        return;
    CPU_CLR(own, &all);
    for (int i = 1; i < p->n; i++, core++) {
        while (!CPU_ISSET(core, &all))
            core++;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        pthread_setaffinity_np(p->lane[i].thread, sizeof one, &one);
    }
}

static int start(pool *p)
{
    pthread_attr_t attr;
    int rc = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (; p->started < p->n - 1 && rc == 0; p->started += rc == 0) {
        lane *l = &p->lane[p->started + 1];
        rc = pthread_create(&l->thread, &attr, work, l);
    }
    pthread_attr_destroy(&attr);
    return rc;
}

pool *pool_open(int n, void (*begin)(void))
{
    if (n > MOST_THREADS)
        n = MOST_THREADS;
    void *memory = calloc(1, sizeof(pool) + (size_t)n * sizeof(lane) + LINE);

    if (memory == NULL)
        return NULL;
    pool *p = (pool *)(((uintptr_t)memory + LINE - 1) / LINE * LINE);
    p->memory = memory;
    p->id = atomic_fetch_add(&pools, 1) + 1;
    p->n = n;
    p->spin_ns = n > pool_cores() ? CROWDED_SPIN_NS : SPIN_NS;
    p->begin = begin;
    for (int i = 0; i < n; i++) {
        p->lane[i].pool = p;
        p->lane[i].index = i;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->over, NULL);
    if (start(p) != 0) {
        pool_close(p);
        return NULL;
    }
    pin(p);
    return p;
}

void pool_close(pool *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->closing, true);
    publish(p);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->lane[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->over);
    free(p->memory);
}

int pool_threads(const pool *p)
{
    return p->n;
}
