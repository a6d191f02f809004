/*
** queue.h - what the files of the emulated CUDA runtime share.
**
** Every call of the API is emu_enter .. emu_leave: between them one lock is held, under which
** queued work runs as well. A piece of work is a function and a copy of its arguments.
*/
#ifndef QUEUE_H
#define QUEUE_H

#include <cuda_runtime_api.h>
#include "emu_cuda.h"

/* ---- cudart.c: settings, errors, failures to come ---- */

typedef struct emu_settings {
    int devices, major, minor, sms;
    size_t memory, pinned;
    bool pageable;
    size_t lt_version;
    emu_cuda_mode mode;
    uint64_t seed;
} emu_settings;

extern emu_settings emu_set;
extern emu_cuda_counts emu_count;

/* Takes the lock and begins a call; what it returns, unless success, is what the call returns. */
cudaError_t emu_enter(const char *call);
/* Ends the call and gives the lock back. Returns e. */
cudaError_t emu_leave(cudaError_t e);
/* Reports a fault of the program. Returns the code. */
cudaError_t emu_complain(cudaError_t code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The device fails for good. */
void emu_break(cudaError_t code);
bool emu_broken(void);
bool emu_failed(void);               /* has a failure on demand occurred? */
int emu_most_smem(void);             /* dynamic shared bytes of a block at most */
/* Is it the turn of a failure of this kind of work? */
bool emu_fails(const char *kind, cudaError_t *code);

/* ---- memory.c ---- */

/* Rows of memory. */
typedef struct area {
    const unsigned char *at;
    size_t pitch, width, height;
} area;

typedef enum { IN_PAGEABLE, IN_PINNED, IN_DEVICE, IN_PIECES } area_place;

/* IN_PIECES: partly in a block, or across the end of one. */
area_place memory_place(const area *a);
bool area_overlaps(const area *a, const area *b);
static inline area area_of(const void *p, size_t bytes)
{
    return (area){ p, bytes, bytes, 1 };
}
void memory_reset(void);

/* ---- streams.c: work, its order, the scheduler ---- */

enum { MOST_AREAS = 6, MOST_PARENTS = 32 };

typedef struct work {
    void (*run)(const void *args);
    const char *what;
    area area[MOST_AREAS];           /* what it touches */
    int n_areas;
    size_t bytes, pointers_at;       /* args may hold pointers from there on; 'bytes': none */
    int users;                       /* queues and graphs that hold it */
    _Alignas(16) unsigned char args[];
} work;

/* Work with a copy of the arguments; it runs outside of calls, with the lock held. */
work *work_new(const char *what, void (*run)(const void *), const void *args, size_t bytes);
void work_touches(work *w, area a);
void work_drop(work *w);

/* Nodes of a graph; a node comes after its parents. */
typedef struct node {
    work *work;
    int parent[MOST_PARENTS];
    int n_parents;
} node;

typedef struct graph_body {
    node *node;
    int n, room, users;
} graph_body;

void body_drop(graph_body *b);

typedef enum { OP_WORK, OP_RECORD, OP_WAIT, OP_GRAPH } op_kind;

typedef struct op {
    struct op *next;
    op_kind kind;
    work *work;
    cudaEvent_t event;               /* record: gets the time */
    struct CUstream_st *on;          /* wait: until its number-th operation is over */
    uint64_t number;
    graph_body *body;
    bool *ran;                       /* graph: which nodes */
    int left;
} op;

/* Streams and events are kept until the reset, so that the use of a dead one is noticed. */
struct CUstream_st {
    bool dead;
    unsigned flags;
    op *head, **tail;
    uint64_t issued, done;
    uint64_t rank;                   /* random mode: the highest that can run, runs */
    struct CUgraph_st *capture;      /* what it records to, or NULL */
    bool origin;                     /* the recording began here */
    enum cudaStreamCaptureMode mode;
    int parent[MOST_PARENTS];        /* of the next node */
    int n_parents;
};

extern cudaStream_t *emu_streams;
extern int emu_n_streams;

/* The stream that a handle stands for, or NULL after a complaint. */
cudaStream_t stream_of(cudaStream_t handle, const char *call);
/* Queues the work, or records it; takes it over. */
cudaError_t stream_submit(cudaStream_t s, work *w);
/* The same on the null stream. 'wait': returns when the work has run. */
cudaError_t stream_submit_null(work *w, bool wait, const char *call);
/* Queues a replay. Returns its number. */
uint64_t stream_submit_graph(cudaStream_t s, graph_body *b);
/* Queues a record. Returns its number; streams_drift is to follow. */
uint64_t stream_submit_record(cudaStream_t s, cudaEvent_t event);
/* Runs what the mode lets run right after something was queued. */
void streams_drift(void);
/* Makes a stream wait for the n-th operation of another. */
void stream_after(cudaStream_t s, cudaStream_t other, uint64_t n);
/* Runs work until the n-th operation of a stream is over; or only one piece. */
void stream_finish(cudaStream_t s, uint64_t n);
void stream_nudge(cudaStream_t s);
void streams_finish(void);           /* all of them */
/* Is any stream being recorded, in a mode that forbids what no stream can record, or at all? */
bool streams_recording(bool at_all);
/* What of all queued work touches the area; NULL: nothing. */
const char *queued_touching(const area *a);
uint64_t emu_random(void);
void streams_seed(uint64_t seed);
void streams_reset(void);
void streams_print(void);

/* ---- events.c ---- */

void event_happened(cudaEvent_t e, cudaStream_t s, uint64_t number, double us);
void events_reset(void);

/* ---- graphs.c ---- */

/* Appends a node to what the stream records. */
cudaError_t graph_add(cudaStream_t s, work *w);
/* The recording of that number, unless it is over: NULL. */
struct CUgraph_st *graph_open(uint64_t capture);
uint64_t graph_number(const struct CUgraph_st *g);
cudaError_t parents_add(cudaStream_t s, const int *parent, int n);
void graphs_reset(void);

/* ---- launch.c ---- */

void launch_reset(void);

#endif
