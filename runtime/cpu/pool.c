/*
** pool.c - threads that share the items of one job at a time.
**
** A job is published by a new epoch. Workers that see it take items from a shared counter
** and then report; the caller works too and returns when every worker has reported, so no
** worker can still hold an old job when the next begins.
*/
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SPINS = 4000, STACK_BYTES = 4 << 20, MOST_THREADS = 256 };

struct pool {
    unsigned id;                     /* never that of another pool, even at the same address */
    int n, started;
    void (*begin)(void);
    pthread_t thread[MOST_THREADS];
    pool_job *job;
    void *arg;
    int items;
    atomic_int next;                 /* item to take */
    atomic_int busy;                 /* workers that have not reported */
    atomic_uint epoch;
    atomic_bool closing;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
};

static atomic_uint pools;
static _Thread_local unsigned begun;     /* id of the pool this thread last worked for */

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_items(pool *p)
{
    if (begun != p->id) {
        begun = p->id;
        if (p->begin != NULL)
            p->begin();
    }
    for (;;) {
        int item = atomic_fetch_add(&p->next, 1);
        if (item >= p->items)
            return;
        p->job(p->arg, item);
    }
}

/* Blocks until the epoch differs from 'seen'; returns it. */
static unsigned next_epoch(pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        unsigned e = atomic_load(&p->epoch);
        if (e != seen)
            return e;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->epoch) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->epoch);
}

static void report(pool *p)
{
    if (atomic_fetch_sub(&p->busy, 1) == 1) {    /* the last one? */
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->idle);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *work(void *arg)
{
    pool *p = arg;
    unsigned seen = 0;

    for (;;) {
        seen = next_epoch(p, seen);
        if (atomic_load(&p->closing))
            return NULL;
        take_items(p);
        report(p);
    }
}

static void publish(pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->epoch, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

pool *pool_open(int n, void (*begin)(void))
{
    pool *p = calloc(1, sizeof *p);
    pthread_attr_t attr;

    if (p == NULL)
        return NULL;
    p->id = atomic_fetch_add(&pools, 1) + 1;
    p->n = n > MOST_THREADS ? MOST_THREADS : n;
    p->begin = begin;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    while (p->started < p->n - 1 &&
           pthread_create(&p->thread[p->started], &attr, work, p) == 0)
        p->started++;
    pthread_attr_destroy(&attr);
    if (p->started < p->n - 1) {
        pool_close(p);
        return NULL;
    }
    return p;
}

void pool_close(pool *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->closing, true);
    publish(p);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    free(p);
}

int pool_threads(const pool *p)
{
    return p->n;
}

static void wait_idle(pool *p)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->busy) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy) > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(pool *p, pool_job *job, void *arg, int items)
{
    p->job = job;
    p->arg = arg;
    p->items = items;
    atomic_store(&p->next, 0);
    if (items > 1 && p->started > 0) {
        atomic_store(&p->busy, p->started);
        publish(p);
    }
    take_items(p);
    wait_idle(p);
}
