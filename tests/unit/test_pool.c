/*
** test_pool.c - every item of every job is done once, whoever sleeps meanwhile.
**
** Items count in plain memory: under ThreadSanitizer this shows that a job sees what the job
** before it wrote, and the caller what the job wrote.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "cpu/pool.h"

enum { MOST = 300 };

static const int THREADS[] = { 1, 2, 3, 7, 64 };

#define EACH_COUNT(i) (size_t i = 0; i < sizeof THREADS / sizeof *THREADS; i++)

static atomic_int begins;

static void count_begin(void)
{
    atomic_fetch_add(&begins, 1);
}

typedef struct board {
    int done[MOST];
    long ns;                         /* an item sleeps so long */
} board;

static void nap(long ns)
{
    nanosleep(&(struct timespec){ 0, ns }, NULL);
}

static void mark(void *arg, int item)
{
    board *b = arg;
    if (b->ns > 0)
        nap(b->ns);
    b->done[item]++;
}

static void run_once(pool *p, board *b, int items)
{
    memset(b->done, 0, sizeof b->done);
    pool_run(p, mark, b, items);
    for (int i = 0; i < MOST; i++)
        if (b->done[i] != (i < items))
            fail_msg("%d threads, item %d of %d: done %d times", pool_threads(p), i, items,
                     b->done[i]);
}

static int next_items(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    int most = *seed >> 30 == 0 ? MOST : 5;
    return (int)((*seed >> 8) % (uint32_t)(most + 1));
}

/* One job on the heels of the other: threads meet the next one late, early, or never. */
static void many_jobs(void **state)
{
    (void)state;
    for EACH_COUNT (i) {
        uint32_t seed = 1;
        board b = { 0 };
        pool *p = pool_open(THREADS[i], NULL);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), THREADS[i]);
        for (int n = 0; n < 20000 / THREADS[i]; n++)
            run_once(p, &b, next_items(&seed));
        pool_close(p);
    }
}

/* Counters go on from job to job. */
static void jobs_see_each_other(void **state)
{
    (void)state;
    for EACH_COUNT (i) {
        int jobs = 3000 / THREADS[i];
        board b = { 0 };
        pool *p = pool_open(THREADS[i], NULL);
        for (int n = 0; n < jobs; n++)
            pool_run(p, mark, &b, 1 + n % 97);
        pool_close(p);
        for (int item = 0; item < 97; item++)
            assert_int_equal(b.done[item], jobs / 97 * (97 - item) +
                                               (jobs % 97 > item ? jobs % 97 - item : 0));
    }
}

/* Workers sleep between jobs; then the caller, while others work. */
static void sleeping_and_waking(void **state)
{
    (void)state;
    for EACH_COUNT (i) {
        uint32_t seed = 2;
        board b = { 0 };
        pool *p = pool_open(THREADS[i], NULL);
        for (int n = 0; n < 60; n++) {
            nap(n % 3 * 400000);
            b.ns = n % 4 == 0 ? 500000 : 0;
            run_once(p, &b, b.ns > 0 ? n % 7 : next_items(&seed));
        }
        pool_close(p);
    }
}

/* Spinning, asleep, or not yet begun. */
static void closing(void **state)
{
    (void)state;
    for EACH_COUNT (i)
        for (int n = 0; n < 12; n++) {
            board b = { 0 };
            pool *p = pool_open(THREADS[i], NULL);
            if (n % 2 > 0)
                run_once(p, &b, 10);
            nap(n % 3 * 1000000);
            pool_close(p);
        }
    pool_close(NULL);
}

/* In every thread once, the caller's too; anew for the next pool. */
static void begin_runs_once(void **state)
{
    (void)state;
    for EACH_COUNT (i) {
        board b = { 0 };
        atomic_store(&begins, 0);
        pool *p = pool_open(THREADS[i], count_begin);
        for (int n = 0; n < 50; n++)
            run_once(p, &b, 1 + n % 3);
        pool_close(p);
        assert_int_equal(atomic_load(&begins), THREADS[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_jobs), cmocka_unit_test(jobs_see_each_other),
        cmocka_unit_test(sleeping_and_waking), cmocka_unit_test(closing),
        cmocka_unit_test(begin_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
