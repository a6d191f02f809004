/*
** inside.h - the inside of a device of the cuda target, shared by the files that implement it.
**
** Three streams, as device.h says: compute, and one copy queue in each direction. The host issues
** work ahead of the device and never waits inside a pass. The first failure of any call stays with
** the device; later calls do nothing.
*/
#ifndef INSIDE_H
#define INSIDE_H

#include <cuda_runtime_api.h>
#include "../device.h"
#include "args.h"
#include "lt.h"

enum {
    ERROR_LEN = 512,
    EVENTS = 1024,                   /* copies of a queue whose end is not known, at most */
    BOUNCE_BYTES = 8 << 20,          /* each of the two halves of a bounce buffer */
    PIECES = 64,                     /* through a bounce buffer whose end is not known */
    MOST_SLABS = 4096,
    WORD_BYTES = 256                 /* at the workspace's end: the position of a repeated token */
};

/* Makes a CUDA call unless one has failed before. The first failure is kept with what was tried. */
#define CUDA(d, action, call) cuda_check(d, cuda_failed(d) ? cudaSuccess : (call), action)

/* ---- store.c: host memory ---- */

/* The host's allocation: mapped in one piece, pinned in slabs. What could not be pinned goes
   through a bounce buffer. */
typedef struct host_store {
    unsigned char *base;
    int64_t bytes;
    int64_t slab_end[MOST_SLABS];    /* ascending; slab i begins where i - 1 ends */
    int n_slabs;                     /* pinned ones; behind the last, memory is pageable */
} host_store;

/* ---- queue.c: copies ---- */

/* A piece of pageable memory on its way through half of a bounce buffer. */
typedef struct bounce_piece {
    void *dst;
    const void *src;                 /* of the copy that a host thread makes */
    size_t bytes;
    cudaEvent_t full, empty;         /* the half holds it; the half is free again */
} bounce_piece;

typedef struct copy_queue {
    cudaStream_t stream;
    cudaStream_t stage;              /* between pageable memory and the bounce buffer */
    cudaEvent_t begin[EVENTS], end[EVENTS];
    uint64_t started;                /* copies so far; copy n has slot n mod EVENTS */
    uint64_t reaped;                 /* copies whose times are in 'busy_s' */
    uint64_t seen;                   /* compute calls it waits for already */
    unsigned char *bounce;           /* two halves of pinned memory */
    bounce_piece piece[PIECES];      /* piece n has slot n mod PIECES, half n mod 2 */
    uint64_t pieces;                 /* so far */
    int64_t bytes;
    double busy_s;
} copy_queue;

/* ---- graph.c ---- */

/* A token's work, for tokens at positions [first, end). */
typedef struct token_graph {
    cudaGraphExec_t ready;           /* NULL: none */
    int64_t first, end;
    bool warm;                       /* a token has been decoded */
    bool recording;                  /* what is issued is recorded: kernels read 'word' */
    int64_t pos;                     /* that it is recorded at */
    i64 *word;                       /* on the device */
} token_graph;

/* ---- kernels.c ---- */

typedef enum {
#define K(name) K_##name,
#define H(name) K_##name,
#include "kernels.def"
#undef H
#undef K
    N_KERNELS
} kernel_id;

typedef struct hi_device {
    const hi_model *m;
    char isa[128];
    char note[ERROR_LEN];            /* what a user should know of how it was opened; "" */
    char error[ERROR_LEN];           /* the first failure; "" */
    int major, minor;                /* compute capability */
    bool hopper;                     /* prefill attention is Hopper's: wgmma and its copy engine */
    bool reads_host;                 /* kernels read pinned memory by the host's addresses */
    int memory_pitch;                /* bytes, of a copy in planes at most */
    cudaStream_t compute;
    uint64_t issued;                 /* compute calls so far */
    cudaEvent_t mark;                /* the last of them that a queue waits for */
    unsigned char *arena;
    host_store store;
    copy_queue queue[DEV_STREAMS];

    int *ids;                        /* (ctx) pinned: of the prompt under way */
    i64 *pos;                        /* pinned: of the token under way */
    float *scores;                   /* pinned: of one pass */
    int64_t score_floats;
    int64_t gathered_bytes;          /* rows of the embedding read from the host */
    cudaEvent_t wait_begin[EVENTS], wait_end[EVENTS];    /* around compute's waits */
    uint64_t waits, waits_reaped;
    double stall_s;
    cudaEvent_t paced[2];            /* behind the last pass issued, and behind the one before */
    uint64_t passes;

    cudaLibrary_t library;
    cudaKernel_t kernel[N_KERNELS];
    lt_plans *plans;                 /* matrix products */
    token_graph graph;
    bool fresh;                      /* the state of the open heads is empty */
} hi_device;

/* ---- device.c ---- */

bool cuda_failed(const hi_device *d);
/* Keeps the first failure with what was tried. Returns whether there has been none. */
bool cuda_check(hi_device *d, cudaError_t e, const char *action);
bool cuda_fail(hi_device *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- store.c ---- */

/* Maps and pins the host's allocation; *code gets the exit code of a failure. */
bool store_open(hi_device *d, int *code);
void store_close(hi_device *d);
/* End of the run of bytes from offset 'at' that lies in one slab (*pinned), or is pageable. */
int64_t store_run(const host_store *s, int64_t at, bool *pinned);
bool store_has(const host_store *s, const void *p);

/* ---- queue.c ---- */

bool queues_open(hi_device *d);
void queues_close(hi_device *d);
void queues_drain(hi_device *d);     /* waits for all copies */
/* x (rows, row_bytes) = rows 'ids' of the host's embedding; compute waits for them. */
void queue_gather(hi_device *d, void *x, const int *ids, int rows, int64_t row_bytes);
/* Sends bytes that the caller may change at once. */
void queue_upload(hi_device *d, unsigned char *dst, const void *src, int64_t bytes);

/* ---- graph.c ---- */

void graph_close(hi_device *d);

/* ---- kernels.c ---- */

typedef struct launch_shape {        /* of a kernel */
    int64_t x;
    int y, z, threads;
} launch_shape;

/* Of the shape, by compute.c: dynamic shared memory of every kernel, bytes; are there Hopper's? */
extern const int kernel_shared[N_KERNELS];
extern const bool kernels_hopper;

/* For a device of that compute capability. */
bool kernels_open(hi_device *d, int major, int minor);
void kernels_close(hi_device *d);
/* Launches on the compute stream. args: the kernel's one struct. */
void kernel_launch(hi_device *d, kernel_id k, launch_shape s, const void *args);

#endif
