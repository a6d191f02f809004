/*
** pieces.c - work on many tensors, a few rows at a time, by several threads.
*/
#include "pieces.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checked.h"
#include "infile.h"

enum {
    PANEL_ROWS = 64,                 /* a multiple of every target's panels */
    PIECE_ELTS = 1 << 19,            /* small enough for a core's cache, as read and as converted */
    MOST_ELTS = 1 << 23,             /* beyond, a piece is no whole panel */
    ALIGN = 64,
    MESSAGE = 2048
};

typedef struct heap {                /* of pieces */
    const piecework *w;
    uint64_t *first;                 /* (n_tensors + 1) number of each tensor's first piece */
    char *room;
    uint64_t room_bytes;
    atomic_uint_fast64_t next;       /* piece to take */
    atomic_uint_fast64_t end;        /* the first one that failed; none so far: their count */
    pthread_mutex_t lock;            /* of the message */
    char *err;
    size_t n_err;
} heap;

int64_t pieces_width(const hi_tensor *t)
{
    return t->cols > 0 ? t->cols : 1;
}

int64_t pieces_rows(const hi_tensor *t)
{
    int64_t width = pieces_width(t), rows = PIECE_ELTS / width / PANEL_ROWS * PANEL_ROWS;

    if (width > INT64_MAX / (int64_t)sizeof(float))
        return 0;
    if (rows == 0)
        rows = width <= MOST_ELTS / PANEL_ROWS ? PANEL_ROWS : PIECE_ELTS / width;
    if (rows > t->rows)
        rows = t->rows;
    return rows > 0 ? rows : 1;
}

static void keep_failure(heap *h, uint64_t number, const char *why)
{
    pthread_mutex_lock(&h->lock);
    if (number < atomic_load(&h->end)) {
        atomic_store(&h->end, number);
        snprintf(h->err, h->n_err, "%s", why);
    }
    pthread_mutex_unlock(&h->lock);
}

static void work(void *arg, int thread)
{
    heap *h = arg;
    const piecework *w = h->w;
    piece p = { .room = h->room + (uint64_t)thread * h->room_bytes };
    char why[MESSAGE];
    uint64_t number;

    while ((number = atomic_fetch_add(&h->next, 1)) < atomic_load(&h->end)) {
        while (number >= h->first[p.tensor + 1])
            p.tensor++;
        const hi_tensor *t = w->tensor(w->arg, p.tensor);
        int64_t rows = pieces_rows(t);
        p.row = (int64_t)(number - h->first[p.tensor]) * rows;
        p.n_rows = t->rows - p.row < rows ? t->rows - p.row : rows;
        if (w->job(w->arg, &p, why, sizeof why) != 0)
            keep_failure(h, number, why);
    }
}

/* Numbers the pieces; fails if a tensor is too large. */
static int number_pieces(heap *h)
{
    uint64_t n = 0;

    for (int i = 0; i < h->w->n_tensors; i++) {
        const hi_tensor *t = h->w->tensor(h->w->arg, i);
        int64_t rows = pieces_rows(t);
        if (rows == 0)
            return infile_fail(h->err, h->n_err, "%s: %s: too large", h->w->what, t->name);
        h->first[i] = n;
        n += (uint64_t)(t->rows / rows + (t->rows % rows > 0));
    }
    h->first[h->w->n_tensors] = n;
    atomic_init(&h->end, n);
    return 0;
}

static int run(heap *h, const weights_crew *crew)
{
    if (number_pieces(h) != 0)
        return -1;
    uint64_t all = atomic_load(&h->end);
    pthread_mutex_init(&h->lock, NULL);
    if (crew == NULL || crew->run == NULL)
        work(h, 0);
    else
        crew->run(crew->with, work, h, crew->n);
    pthread_mutex_destroy(&h->lock);
    return atomic_load(&h->end) < all ? -1 : 0;
}

int pieces_run(const piecework *w, const weights_crew *crew, char *err, size_t n)
{
    heap h = { .w = w, .err = err, .n_err = n };
    uint64_t threads = crew == NULL || crew->run == NULL ? 1 : (uint64_t)crew->n, bytes;
    int rc = -1;

    if (!checked_add(w->room_bytes, ALIGN - 1, &bytes) ||
        !checked_mul(bytes / ALIGN * ALIGN, threads, &bytes) ||
        !checked_add(bytes, ALIGN, &bytes))
        return infile_fail(err, n, "%s: a tensor is too large", w->what);
    h.room_bytes = (bytes - ALIGN) / threads;
    h.first = malloc(((size_t)w->n_tensors + 1) * sizeof *h.first);
    char *room = malloc(bytes);
    if (h.first == NULL || room == NULL) {
        infile_fail(err, n, "%s: out of memory (%llu bytes)", w->what, (unsigned long long)bytes);
    } else {
        h.room = room + (ALIGN - (uintptr_t)room % ALIGN) % ALIGN;
        rc = run(&h, crew);
    }
    free(room);
    free(h.first);
    return rc;
}
