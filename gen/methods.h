/*
** methods.h - the memory of other ways to run the same context: for comparison with a plan.
*/
#ifndef METHODS_H
#define METHODS_H

#include "forecast.h"

typedef enum {
    M_STANDARD,
    M_CHUNKED,
    M_4BIT,
    M_LAYER,
    M_HEAD,
    M_PREFILL,
    M_DECODE,
    N_METHODS
} method_id;

/* Bytes on the device by what they hold, and on the host. */
typedef struct method {
    const char *name;          /* "layer-wise" */
    const char *what;          /* "KV of a layer moves whole" */
    bool known;                /* false: no plan of this kind is possible */
    bool built;                /* hi-gen makes it; false: arithmetic alone */
    int64_t weights, kv, rest; /* rest: activations, scores, scratch */
    int64_t device, host;
} method;

typedef struct methods {
    method of[N_METHODS];
    hi_plan resident; /* chunked: nothing crosses the link; for cost_*, without steps */
    bool has_resident;
} methods;

/* At the plan's context and numerics, without a budget. Returns 0, or -1: out of memory. */
int methods_make(const hi_spec *s, const hi_plan *p, methods *out);

/* What a buffer counts as. */
typedef enum {
    HOLDS_WEIGHTS,
    HOLDS_KV,
    HOLDS_REST
} holding;
holding buffer_holds(hi_buffer_id id);

#endif
