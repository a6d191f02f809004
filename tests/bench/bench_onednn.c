/*
** bench_onednn.c - oneDNN's bf16 matrix product, releases 2 and 3.
**
** Source: the developer guide's "Matmul with weights in the format the primitive prefers".
*/
#include "bench_onednn.h"

#include <stdlib.h>

#ifdef HI_ONEDNN
#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <sys/mman.h>

enum {
    MOST_COPIES = 64
};

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t product;
    dnnl_memory_t x, y, w[MOST_COPIES];
    int copies, wanted;
    void *room;   /* the copies, in large pages as ours are */
    size_t bytes; /* of one copy, whole pages */
};

/* Release 2 has descriptors by value, 3 behind pointers. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t layout_view;
#define VIEW(l) (l)

static dnnl_status_t make_layout(layout *l, int64_t rows, int64_t cols, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(l, 2, (dnnl_dims_t){ rows, cols }, dnnl_bf16, tag);
}

static void drop_layout(layout *l)
{
    dnnl_memory_desc_destroy(*l);
}

static dnnl_status_t make_desc(onednn *o, layout *x, layout *w, layout *y)
{
    return dnnl_matmul_primitive_desc_create(&o->desc, o->engine, *x, *w, NULL, *y, NULL);
}
#else
typedef dnnl_memory_desc_t layout;
typedef const dnnl_memory_desc_t *layout_view;
#define VIEW(l) (&(l))

static dnnl_status_t make_layout(layout *l, int64_t rows, int64_t cols, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(l, 2, (dnnl_dims_t){ rows, cols }, dnnl_bf16, tag);
}

static void drop_layout(layout *l)
{
    (void)l;
}

static dnnl_status_t make_desc(onednn *o, layout *x, layout *w, layout *y)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t rc = dnnl_matmul_desc_init(&d, x, w, NULL, y);
    return rc != dnnl_success ? rc
                              : dnnl_primitive_desc_create(&o->desc, &d, NULL, o->engine, NULL);
}
#endif

const char *onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

/* The library has no call for it where its threads are OpenMP's. */
void onednn_threads(int n)
{
    void *p = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (p != NULL)
        ((void (*)(int))(uintptr_t)p)(n);
    else
        fprintf(stderr, "onednn: as many threads as it likes\n");
}

/* Room for all copies of a matrix of that layout. */
static int map_room(onednn *o, int copies, layout_view l)
{
    o->bytes = (dnnl_memory_desc_get_size(l) + 4095) / 4096 * 4096;
    size_t n = o->bytes * (size_t)copies;
    o->wanted = copies;
    o->room = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (o->room == MAP_FAILED)
        o->room = NULL;
    return o->room != NULL ? madvise(o->room, n, MADV_HUGEPAGE) : -1;
}

/* One more copy of the weights, from rows to the product's layout. */
static dnnl_status_t pack(onednn *o, dnnl_memory_t rows, layout_view from, layout_view to)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t *w = &o->w[o->copies];
    dnnl_status_t rc =
        dnnl_memory_create(w, to, o->engine, (char *)o->room + (size_t)o->copies * o->bytes);

    if (rc == dnnl_success)
        o->copies++;
    if (rc == dnnl_success)
        rc = dnnl_reorder_primitive_desc_create(&desc, from, o->engine, to, o->engine, NULL);
    if (rc == dnnl_success)
        rc = dnnl_primitive_create(&reorder, desc);
    if (rc == dnnl_success)
        rc = dnnl_primitive_execute(
            reorder, o->stream, 2,
            (dnnl_exec_arg_t[]){ { DNNL_ARG_FROM, rows }, { DNNL_ARG_TO, *w } });
    dnnl_stream_wait(o->stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    return rc;
}

static dnnl_status_t build(onednn *o, layout *l, int copies, const uint16_t *x, const uint16_t *w,
                           uint16_t *y)
{
    enum {
        X,
        ANY,
        ROWS,
        Y
    };
    dnnl_memory_t rows = NULL;
    dnnl_status_t rc = make_desc(o, &l[X], &l[ANY], &l[Y]);

    if (rc == dnnl_success)
        rc = dnnl_primitive_create(&o->product, o->desc);
    if (rc == dnnl_success)
        rc = dnnl_memory_create(&o->x, VIEW(l[X]), o->engine, (void *)(uintptr_t)x);
    if (rc == dnnl_success)
        rc = dnnl_memory_create(&o->y, VIEW(l[Y]), o->engine, y);
    if (rc == dnnl_success)
        rc = dnnl_memory_create(&rows, VIEW(l[ROWS]), o->engine, (void *)(uintptr_t)w);
    layout_view best =
        rc == dnnl_success ? dnnl_primitive_desc_query_md(o->desc, dnnl_query_weights_md, 0) : NULL;
    if (rc == dnnl_success && map_room(o, copies, best) != 0)
        rc = dnnl_out_of_memory;
    for (int i = 0; i < copies && rc == dnnl_success; i++)
        rc = pack(o, rows, VIEW(l[ROWS]), best);
    dnnl_memory_destroy(rows);
    return rc;
}

onednn *onednn_open(int m, int n, int k, int copies, const uint16_t *x, const uint16_t *w,
                    uint16_t *y)
{
    onednn *o = calloc(1, sizeof *o);
    layout l[4];

    if (o == NULL || copies > MOST_COPIES ||
        dnnl_engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags) != dnnl_success ||
        make_layout(&l[0], m, k, dnnl_ab) != dnnl_success ||
        make_layout(&l[1], k, n, dnnl_format_tag_any) != dnnl_success ||
        make_layout(&l[2], k, n, dnnl_ba) != dnnl_success ||
        make_layout(&l[3], m, n, dnnl_ab) != dnnl_success)
        abort(); /* nothing of a machine is asked here */
    dnnl_status_t rc = build(o, l, copies, x, w, y);
    for (int i = 0; i < 4; i++)
        drop_layout(&l[i]);
    if (rc == dnnl_success)
        return o;
    fprintf(stderr, "onednn: %d x %d x %d: status %d\n", m, n, k, (int)rc);
    onednn_close(o);
    return NULL;
}

void onednn_run(const onednn *o, int copy)
{
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, o->x },
                                     { DNNL_ARG_WEIGHTS, o->w[copy] },
                                     { DNNL_ARG_DST, o->y } };

    if (dnnl_primitive_execute(o->product, o->stream, 3, args) != dnnl_success ||
        dnnl_stream_wait(o->stream) != dnnl_success)
        abort();
}

void onednn_close(onednn *o)
{
    if (o == NULL)
        return;
    dnnl_primitive_destroy(o->product);
    dnnl_primitive_desc_destroy(o->desc);
    for (int i = 0; i < o->copies; i++)
        dnnl_memory_destroy(o->w[i]);
    if (o->room != NULL)
        munmap(o->room, o->bytes * (size_t)o->wanted);
    dnnl_memory_destroy(o->x);
    dnnl_memory_destroy(o->y);
    dnnl_stream_destroy(o->stream);
    dnnl_engine_destroy(o->engine);
    free(o);
}

#else

const char *onednn_version(void)
{
    return NULL;
}

void onednn_threads(int n)
{
    (void)n;
}

onednn *onednn_open(int m, int n, int k, int copies, const uint16_t *x, const uint16_t *w,
                    uint16_t *y)
{
    (void)m, (void)n, (void)k, (void)copies, (void)x, (void)w, (void)y;
    return NULL;
}

void onednn_run(const onednn *o, int copy)
{
    (void)o, (void)copy;
}

void onednn_close(onednn *o)
{
    (void)o;
}

#endif
