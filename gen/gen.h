/*
** gen.h - the types on the generator's arrows: spec, plan, step.
**
** spec.c makes a checked hi_spec from a Lua file, plan.c a hi_plan from a spec
** and a budget, emit.c sources from a plan. Everything lives in one arena that
** main owns; nothing is freed alone. Functions that can fail take an hi_error
** and return 0 or -1 (pointers: NULL); the message names file, field, value
** and remedy.
*/
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- limits and numerics constants: grep ORDER NUMERICS before a change ---- */

enum {
    KEY_BLOCK = 128,     /* keys per step of the softmax recurrence, absolute positions */
    KEY_SPLIT = 256,     /* keys per attention part; parts merge in ascending order */
    BUF_ALIGN = 256,     /* every buffer's offset and the arena's size are multiples */
    BUF_GAP = 256,       /* unused bytes behind every buffer: the red zone of checked builds */
    PANEL = 64,          /* output columns per packed weight panel */
    MIN_SLOTS = 3,
    MAX_SLOTS = 64,
    MAX_LAYERS = 1024,
    MAX_KV_HEADS = 1024,
    MAX_EOS = 8,
    NAME_LEN = 64,
    TENSOR_NAME_LEN = 128
};

typedef struct hi_error {
    char text[1024];
} hi_error;

/* Writes the message (first one wins) and returns -1. */
int gen_fail(hi_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- arena.c: memory that is freed together ---- */

typedef struct hi_arena hi_arena;
hi_arena *arena_new(void);                     /* NULL: out of memory */
void *arena_alloc(hi_arena *a, size_t bytes);  /* zeroed, 16-byte aligned; NULL: out of memory */
char *arena_strdup(hi_arena *a, const char *s);
void arena_free(hi_arena *a);

/* ---- spec: the model's shape ---- */

typedef enum { NUM_BF16, NUM_F32 } hi_numerics;
typedef enum { ACT_SILU, ACT_GELU_TANH } hi_act;
typedef enum { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3 } hi_rope_kind;

typedef struct hi_rope {
    hi_rope_kind kind;
    double theta;
    double factor;       /* linear, llama3 */
    double low_freq;     /* llama3 low_freq_factor */
    double high_freq;    /* llama3 high_freq_factor */
    double orig_ctx;     /* llama3 original_max_position_embeddings */
} hi_rope;

/* A block's parts in order; the family file lists them by these names. */
typedef enum { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP, N_PARTS } hi_part;

/* The tensors a family names; "%d" stands for the layer. ORDER TENSOR */
typedef enum {
    T_EMBED, T_FINAL_NORM, T_LM_HEAD,                      /* once */
    T_ATTN_NORM, T_Q, T_K, T_V, T_O, T_MLP_NORM, T_GATE, T_UP, T_DOWN,  /* per layer */
    T_Q_BIAS, T_K_BIAS, T_V_BIAS, T_O_BIAS, T_GATE_BIAS, T_UP_BIAS, T_DOWN_BIAS,
    N_TENSORS
} hi_tensor_role;

typedef struct hi_spec {
    char name[NAME_LEN];             /* file name without ".lua": [a-z0-9_]+ */
    char path[256];                  /* as given on the command line */
    char family[NAME_LEN];
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    int64_t ctx;                     /* longest context the checkpoint was made for, tokens */
    double norm_eps;
    hi_rope rope;
    hi_act act;
    bool qkv_bias, o_bias, mlp_bias;
    bool tied;                       /* no lm_head tensor: the embedding is used */
    int bos;                         /* -1: none */
    int eos[MAX_EOS], n_eos;
    hi_part part[8];                 /* the block in order */
    int n_parts;
    char tensor[N_TENSORS][TENSOR_NAME_LEN];   /* "" where the spec has no such tensor */
} hi_spec;

/*
** Loads and checks a spec: the Lua file runs in a sandboxed child process, which
** returns a flat table over a pipe.
**
** path   the spec's file; its family file is specs/family/<family>.lua beside it
** s      filled on success only
** Returns 0, or -1 with "file: field = value: remedy".
*/
int spec_load(const char *path, hi_spec *s, hi_error *e);

/* ---- sizes.c: bytes, arithmetic only ---- */

int elt_bytes(hi_numerics n);                                    /* 2 or 4 */
int64_t round_up(int64_t n, int64_t to);
int64_t matrix_bytes(int64_t rows, int64_t cols, int elt);       /* packed panels of rows x cols */
int64_t layer_weight_bytes(const hi_spec *s, int elt);
int64_t weight_bytes(const hi_spec *s, int elt);                 /* everything in buffer 'weights' */
int64_t kv_row_bytes(const hi_spec *s, int elt);                 /* k and v of one entry, one token */
int64_t kv_token_bytes(const hi_spec *s, int elt);               /* whole model, one token */
int64_t param_count(const hi_spec *s);

/* ---- plan: what hi-gen decided ---- */

typedef enum { PREFILL, DECODE, N_PHASES } hi_phase;

typedef enum {
#define B(name, phases, what) BUF_##name,
#include "buffers.def"
#undef B
    N_BUFFERS
} hi_buffer_id;

typedef struct hi_buffer {
    int64_t offset;                  /* into the device arena; meaningless where bytes is 0 */
    int64_t bytes;                   /* 0: not in this phase */
} hi_buffer;

typedef enum {
#define S(name, args, what) STEP_##name,
#include "steps.def"
#undef S
    N_STEPS
} hi_step_kind;

/* One line of the schedule. arg[] holds the constants in steps.def's order; 'slot' and
   'tile' hold 0 there. */
typedef struct hi_step {
    hi_step_kind kind;
    int arg[5];
} hi_step;

/* KV heads [head, head + n) of one layer: they move together. The groups stand in the
   order in which a pass meets them, which is the ring's order. */
typedef struct hi_group {
    int layer, head, n;
    int resident[N_PHASES];          /* leading tiles on the device; decode's >= prefill's */
} hi_group;

/* What the user may force; 0 (or -1 where said) means: the planner decides. */
typedef struct hi_request {
    int64_t vram_bytes;              /* -1: no budget, everything resident */
    int64_t ram_bytes;               /* -1: unlimited */
    int64_t ctx;                     /* tokens, prompt and answer; 0: the spec's */
    int64_t chunk, tile;             /* tokens */
    int group, slots;
    int resident;                    /* leading tiles per entry in both phases; -1: planner */
    bool logits_all;
    hi_numerics numerics;
} hi_request;

typedef struct hi_plan {
    hi_request req;                  /* as asked */
    int64_t ctx;                     /* capacity of the context, tokens */
    int elt;                         /* bytes per element of weights, activations, KV */
    bool offload;                    /* false: the context fits; no store, no ring, no tails */
    int64_t chunk;                   /* rows of a prefill pass at most; multiple of KEY_BLOCK */
    int64_t tile;                    /* tokens per tile; multiple of KEY_SPLIT */
    int tiles;                       /* tiles of a full context: ceil(ctx / tile) */
    int group;                       /* KV heads per group; divides kv_heads */
    int slots;                       /* ring, both phases */
    int rows[N_PHASES];              /* rows of a pass at most: chunk, 1 */
    int logit_rows[N_PHASES];        /* 1, or rows where --logits all */
    int64_t arena_bytes;             /* end of the last buffer of the larger phase */
    int64_t reserve_bytes;           /* what a driver takes beside the arena: 0 on cpu */
    int64_t store_bytes;             /* host store: kv_token_bytes x ctx, or 0 */
    hi_buffer buf[N_PHASES][N_BUFFERS];
    hi_group *group_of;              /* (n_groups) */
    int n_groups;
    hi_step *steps[N_PHASES];        /* (n_steps[phase]) one pass */
    int n_steps[N_PHASES];
    hi_step *enter;                  /* (n_enter) steps of the change prefill -> decode */
    int n_enter;
} hi_plan;

/*
** From a checked spec and a request to a plan. Pure: same input, same plan.
**
** Returns a plan in 'a'; NULL with the numbers and "smallest budget that works: N bytes"
** where the request cannot be met. *min_bytes, when not NULL, receives that budget on a
** refusal for device memory (0 on other refusals).
*/
hi_plan *plan_make(hi_arena *a, const hi_spec *s, const hi_request *q, int64_t *min_bytes,
                   hi_error *e);

/*
** Replays a plan on a model of the machine; shares no code with plan.c.
**
** Returns 0, or -1 with the first hazard or overrun: the step's index, its line, and what
** would be read before it is filled, overwritten in use, or lie outside its buffer.
*/
int plan_check(const hi_spec *s, const hi_plan *p, hi_error *e);

/* Text of one step, as it stands in the emitted schedule: "attend(r, 7, 2, 2, t, SLOT);". */
void step_text(const hi_plan *p, const hi_step *st, char *out, size_t n);

#endif
