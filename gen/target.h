/*
** target.h - what differs between targets: one row each, nothing elsewhere.
*/
#ifndef TARGET_H
#define TARGET_H

#include "gen.h"

/* A template and the file that it becomes. */
typedef struct hi_target_file {
    const char *template, *file;
} hi_target_file;

enum { MAX_TARGET_FILES = 4 };

typedef struct hi_target {
    const char *name;
    bool f32;                        /* computes in f32, too */
    bool quantised;                  /* and with weights of other types than stored */
    int64_t work_bytes;              /* of the arena, for matrix products */
    int64_t piece;                   /* resident rows that fill it in decode, or a tile where that is more */
    int head_dim_step, most_head_dim, width_step;   /* head_dim; hidden and ffn: multiples of */
    hi_target_file file[MAX_TARGET_FILES];          /* beside those that all targets have */
} hi_target;

extern const hi_target TARGET[N_TARGETS];
extern const char *const TARGET_WORDS[];            /* by value, NULL behind the last */

/* The target where none is asked for: the machine's, and cpu for numerics and weights that it has
   alone. */
hi_target_id target_default(const hi_machine *m, const hi_request *q);

/* Can the target compute this model in these numerics, with such weights? Returns 0, or -1 with the remedy. */
int target_check(const hi_spec *s, const hi_request *q, hi_error *e);

#endif
