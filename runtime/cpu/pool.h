/*
** pool.h - threads that share the items of one job at a time.
**
** Who takes which item is left to chance; jobs are written so that it has no influence on
** any bit. Waiting threads spin for a few microseconds, then sleep.
*/
#ifndef POOL_H
#define POOL_H

typedef struct pool pool;

typedef void pool_job(void *arg, int item);

/* n threads, the caller's included; begin (or NULL) runs first in every thread that works,
   the caller's on its first job. NULL: a thread could not be started. */
pool *pool_open(int n, void (*begin)(void));
void pool_close(pool *p);
int pool_threads(const pool *p);

/* Runs job(arg, 0 .. items - 1); returns when all are done. One caller at a time. */
void pool_run(pool *p, pool_job *job, void *arg, int items);

#endif
