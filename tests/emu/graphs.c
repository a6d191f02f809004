/*
** graphs.c - recording of streams into graphs, and their replay, in the emulated CUDA runtime.
**
** A recording stream has the nodes that its next one comes after. An event recorded there stands
** for those nodes; a stream that waits for it joins. A replayed graph is one operation of its
** stream, whose nodes run one by one, in any order that their parents allow.
*/
#include "queue.h"

#include <stdlib.h>
#include <string.h>

struct CUgraph_st {
    struct CUgraph_st *next;
    uint64_t number;
    bool open;
    graph_body *body;
};

struct CUgraphExec_st {
    struct CUgraphExec_st *next;
    graph_body *body;
    cudaStream_t stream;             /* of its latest launch */
    uint64_t launched;
};

static cudaGraph_t graphs;
static cudaGraphExec_t execs;
static uint64_t numbers;

static void *zeroed(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (p == NULL)
        abort();
    return p;
}

/* ---- recording ---- */

uint64_t graph_number(const struct CUgraph_st *g)
{
    return g->number;
}

struct CUgraph_st *graph_open(uint64_t number)
{
    for (cudaGraph_t g = graphs; g != NULL; g = g->next)
        if (g->number == number && g->open)
            return g;
    return NULL;
}

static bool has(const int *list, int n, int x)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

cudaError_t parents_add(cudaStream_t s, const int *parent, int n)
{
    for (int i = 0; i < n; i++) {
        if (has(s->parent, s->n_parents, parent[i]))
            continue;
        if (s->n_parents == MOST_PARENTS)
            return emu_complain(cudaErrorNotSupported, "a node with more than %d parents",
                                MOST_PARENTS);
        s->parent[s->n_parents++] = parent[i];
    }
    return cudaSuccess;
}

cudaError_t graph_add(cudaStream_t s, work *w)
{
    graph_body *b = s->capture->body;

    if (b->n == b->room) {
        b->room = 2 * b->room + 16;
        b->node = realloc(b->node, (size_t)b->room * sizeof *b->node);
        if (b->node == NULL)
            abort();
    }
    node *n = &b->node[b->n];
    n->work = w;
    n->n_parents = s->n_parents;
    memcpy(n->parent, s->parent, sizeof n->parent);
    s->parent[0] = b->n++;
    s->n_parents = 1;
    return cudaSuccess;
}

static cudaError_t begin(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    if (s->capture != NULL)
        return emu_complain(cudaErrorStreamCaptureUnsupported, "the stream records already");
    cudaGraph_t g = zeroed(sizeof *g);
    g->body = zeroed(sizeof *g->body);
    g->body->users = 1;
    g->number = ++numbers;
    g->open = true;
    g->next = graphs;
    graphs = g;
    s->capture = g;
    s->origin = true;
    s->mode = mode;
    s->n_parents = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (s != NULL)
        e = begin(s, mode);
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}

/* Does all that joined streams have recorded come before the end of the origin? */
static bool joined(const struct CUgraph_st *g, const struct CUstream_st *origin)
{
    const graph_body *b = g->body;
    bool *before = zeroed((size_t)b->n + 1), all = true;

    for (int i = 0; i < origin->n_parents; i++)
        before[origin->parent[i]] = true;
    for (int i = b->n - 1; i >= 0; i--)
        for (int p = 0; before[i] && p < b->node[i].n_parents; p++)
            before[b->node[i].parent[p]] = true;
    for (int i = 0; i < emu_n_streams; i++)
        for (int p = 0; emu_streams[i]->capture == g && p < emu_streams[i]->n_parents; p++)
            all = all && before[emu_streams[i]->parent[p]];
    free(before);
    return all;
}

static cudaError_t end(cudaStream_t s, cudaGraph_t *graph)
{
    cudaGraph_t g = s->capture;

    if (g == NULL || !s->origin)
        return emu_complain(cudaErrorStreamCaptureUnmatched, "the recording did not begin here");
    bool whole = joined(g, s);
    for (int i = 0; i < emu_n_streams; i++)
        if (emu_streams[i]->capture == g)
            emu_streams[i]->capture = NULL;
    s->origin = false;
    g->open = false;
    if (!whole)
        return emu_complain(cudaErrorStreamCaptureUnjoined,
                            "a stream that joined the recording was not waited for");
    *graph = g;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = stream_of(handle, __func__);

    *graph = NULL;
    if (s == NULL)
        return emu_leave(cudaErrorInvalidResourceHandle);
    cudaError_t own = end(s, graph);
    return emu_leave(e != cudaSuccess ? e : own);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (s != NULL)
        *status = s->capture != NULL ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}

/* ---- graphs ---- */

static cudaGraph_t *find_graph(cudaGraph_t g)
{
    for (cudaGraph_t *p = &graphs; *p != NULL; p = &(*p)->next)
        if (*p == g && !g->open)
            return p;
    emu_complain(cudaErrorInvalidValue, "no graph, or a destroyed one");
    return NULL;
}

static cudaGraphExec_t *find_exec(cudaGraphExec_t x)
{
    for (cudaGraphExec_t *p = &execs; *p != NULL; p = &(*p)->next)
        if (*p == x)
            return p;
    emu_complain(cudaErrorInvalidValue, "no instantiated graph, or a destroyed one");
    return NULL;
}

/* Nodes that later updates of either side leave alone. */
static graph_body *share(graph_body *b)
{
    b->users++;
    return b;
}

static cudaError_t instantiate(cudaGraphExec_t *exec, cudaGraph_t g)
{
    if (find_graph(g) == NULL)
        return cudaErrorInvalidValue;
    cudaGraphExec_t x = zeroed(sizeof *x);
    x->body = share(g->body);
    x->next = execs;
    execs = x;
    *exec = x;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long flags)
{
    cudaError_t e = emu_enter(__func__);
    (void)flags;
    return emu_leave(e != cudaSuccess ? e : instantiate(exec, g));
}

/* Two launches of one graph never overlap, in whatever streams. */
static cudaError_t launch(cudaGraphExec_t x, cudaStream_t s)
{
    if (s->capture != NULL)
        return emu_complain(cudaErrorNotSupported, "launch of a graph while recording");
    if (x->stream != NULL)
        stream_after(s, x->stream, x->launched);
    emu_count.graph_launches++;
    x->stream = s;
    x->launched = stream_submit_graph(s, x->body);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t handle)
{
    cudaError_t e = emu_enter(__func__);
    cudaStream_t s = e == cudaSuccess ? stream_of(handle, __func__) : NULL;

    if (s != NULL)
        e = find_exec(x) != NULL ? launch(x, s) : cudaErrorInvalidValue;
    else if (e == cudaSuccess)
        e = cudaErrorInvalidResourceHandle;
    return emu_leave(e);
}

static enum cudaGraphExecUpdateResult compare(const graph_body *a, const graph_body *b)
{
    if (a->n != b->n)
        return cudaGraphExecUpdateErrorTopologyChanged;
    for (int i = 0; i < a->n; i++) {
        const node *x = &a->node[i], *y = &b->node[i];
        if (x->n_parents != y->n_parents ||
            memcmp(x->parent, y->parent, (size_t)x->n_parents * sizeof *x->parent) != 0)
            return cudaGraphExecUpdateErrorTopologyChanged;
        if (x->work->run != y->work->run)
            return cudaGraphExecUpdateErrorNodeTypeChanged;
        if (strcmp(x->work->what, y->work->what) != 0)
            return cudaGraphExecUpdateErrorFunctionChanged;
    }
    return cudaGraphExecUpdateSuccess;
}

static cudaError_t update(cudaGraphExec_t x, cudaGraph_t g, cudaGraphExecUpdateResultInfo *info)
{
    if (find_exec(x) == NULL || find_graph(g) == NULL)
        return cudaErrorInvalidValue;
    *info = (cudaGraphExecUpdateResultInfo){ .result = compare(x->body, g->body) };
    if (info->result != cudaGraphExecUpdateSuccess)
        return cudaErrorGraphExecUpdateFailure;
    body_drop(x->body);
    x->body = share(g->body);
    return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t x, cudaGraph_t g,
                                cudaGraphExecUpdateResultInfo *info)
{
    cudaError_t e = emu_enter(__func__);
    return emu_leave(e != cudaSuccess ? e : update(x, g, info));
}

static void drop_exec(cudaGraphExec_t *p)
{
    cudaGraphExec_t x = *p;

    *p = x->next;
    body_drop(x->body);
    free(x);
}

static void drop_graph(cudaGraph_t *p)
{
    cudaGraph_t g = *p;

    *p = g->next;
    body_drop(g->body);
    free(g);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
    cudaError_t e = emu_enter(__func__);
    cudaGraphExec_t *p = find_exec(x);

    if (p == NULL)
        return emu_leave(cudaErrorInvalidValue);
    drop_exec(p);
    return emu_leave(e);
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    cudaError_t e = emu_enter(__func__);
    cudaGraph_t *p = find_graph(g);

    if (p == NULL)
        return emu_leave(cudaErrorInvalidValue);
    drop_graph(p);
    return emu_leave(e);
}

void graphs_reset(void)
{
    while (execs != NULL)
        drop_exec(&execs);
    while (graphs != NULL)
        drop_graph(&graphs);
}
