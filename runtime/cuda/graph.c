/*
** graph.c - one token as a CUDA graph: recorded once, then launched by one call.
**
** Where nothing moves between host and device, the work of a token differs from the next one's in
** its position alone. Kernels read that from a word on the device, which the graph fetches first,
** as it does the token's id. The last keys are launched for more than there are yet, so that one
** graph serves REACH tokens; then it is recorded anew.
*/
#include "inside.h"

enum { REACH = 2048 };

/* Has a layer a window? Where its newest row goes then hangs on the position in another way than a
   graph can tell: modulo near_rows. */
static bool has_window(const hi_model *m)
{
    for (int l = 0; l < m->layers; l++)
        if (m->layer[l].window > 0)
            return true;
    return false;
}

/* Does a token move nothing, and is there a word for its position? */
static bool can_repeat(const hi_model *m)
{
    return !has_window(m) && !m->offload && m->weight_slots == 0 && m->embed >= 0 &&
           m->buf[HI_DECODE][HI_B_WORK].bytes > WORD_BYTES;
}

static void forget(hi_device *d)
{
    if (d->graph.ready != NULL)
        (void)cudaGraphExecDestroy(d->graph.ready);
    d->graph.ready = NULL;
}

/* Rows from the last piece's first to where the graph must be recorded anew. */
static void set_reach(hi_device *d, int64_t pos)
{
    token_graph *g = &d->graph;
    int64_t piece = d->m->piece, rows = pos + 1;

    g->first = pos / piece * piece;
    g->end = (rows + REACH - 1) / REACH * REACH;
    if (g->end > g->first + piece)
        g->end = g->first + piece;
}

static void launch(hi_device *d)
{
    CUDA(d, "launching a token", cudaGraphLaunch(d->graph.ready, d->compute));
    d->issued++;
}

bool dev_token(hi_device *d, int64_t pos)
{
    token_graph *g = &d->graph;

    if (!can_repeat(d->m) || cuda_failed(d))
        return false;
    if (!g->warm) {                  /* the first one is issued: what it loads cannot be recorded */
        g->warm = true;
        return false;
    }
    *d->pos = pos;
    if (g->ready != NULL && pos >= g->first && pos < g->end) {
        launch(d);
        return true;
    }
    forget(d);
    set_reach(d, pos);
    unsigned char *work = d->arena + d->m->buf[HI_DECODE][HI_B_WORK].offset;
    g->word = (i64 *)(void *)(work + d->m->buf[HI_DECODE][HI_B_WORK].bytes - WORD_BYTES);
    g->pos = pos;
    g->recording = CUDA(d, "recording a token",
                        cudaStreamBeginCapture(d->compute, cudaStreamCaptureModeThreadLocal));
    CUDA(d, "sending a position",
         cudaMemcpyAsync(g->word, d->pos, sizeof *d->pos, cudaMemcpyHostToDevice, d->compute));
    return false;
}

void dev_token_issued(hi_device *d)
{
    token_graph *g = &d->graph;
    cudaGraph_t graph = NULL;

    if (!g->recording)
        return;
    g->recording = false;
    cudaError_t e = cudaStreamEndCapture(d->compute, &graph);    /* also behind a failure */
    cuda_check(d, e, "recording a token");
    CUDA(d, "preparing a token", cudaGraphInstantiate(&g->ready, graph, 0));
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    if (!cuda_failed(d))
        launch(d);
}

void graph_close(hi_device *d)
{
    forget(d);
}
