/*
** pool.h - threads that share the items of one job at a time.
**
** Items are dealt out in order, a stretch of neighbours to each thread, so that from job to job the
** same thread meets the same weights; who is done takes items of others. Jobs are written so that
** it has no influence on any bit who took what. Waiting threads spin for a while, then sleep.
*/
#ifndef POOL_H
#define POOL_H

typedef struct pool pool;

typedef void pool_job(void *arg, int item);

/* n threads, the caller's included; begin (or NULL) runs first in every thread that works,
   the caller's on its first job. Where there is a thread for every usable core, each but the
   caller's is pinned to one. NULL: a thread could not be started. */
pool *pool_open(int n, void (*begin)(void));
void pool_close(pool *p);
int pool_threads(const pool *p);

/* Cores that this process may use. */
int pool_cores(void);

/* Runs job(arg, 0 .. items - 1); returns when all are done. One caller at a time, never a job. */
void pool_run(pool *p, pool_job *job, void *arg, int items);

#endif
