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
    WEIGHT_BLOCK = 32,   /* weights of a row that share a scale, where they are quantised */
    MIN_SLOTS = 2,
    MAX_SLOTS = 64,
    MIN_WEIGHT_SLOTS = 2,
    MAX_WEIGHT_SLOTS = 64,
    MAX_BANDS = 4,
    BAND_TILES = 4,      /* a band is used while the rows before a pass fill at most 4 of its tiles */
    MAX_LAYERS = 1024,
    MAX_KV_HEADS = 1024,
    MAX_EOS = 8,
    MAX_HEAD_DIM = 256,
    NAME_LEN = 64,
    TENSOR_NAME_LEN = 128
};

typedef struct hi_error {
    char text[1024];
} hi_error;

/* Writes the message (first one wins) and returns -1. */
int gen_fail(hi_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* home.c: hi-gen's folder: $HI_HOME, or where it was built. */
const char *home_folder(void);

/* ---- arena.c: memory that is freed together ---- */

typedef struct hi_arena hi_arena;
hi_arena *arena_new(void);                     /* NULL: out of memory */
void *arena_alloc(hi_arena *a, size_t bytes);  /* zeroed, 16-byte aligned; NULL: out of memory */
char *arena_strdup(hi_arena *a, const char *s);
void arena_free(hi_arena *a);

/* ---- spec: the model's shape ---- */

typedef enum { NUM_BF16, NUM_F32 } hi_numerics;

/* How matrices that are multiplied with are kept: elements, or blocks of WEIGHT_BLOCK along a row with
   an fp16 scale each, made of the elements at load: not exact. ORDER WEIGHTS: hi.h, cpu/kern.h */
typedef enum { WEIGHTS_STORED, WEIGHTS_Q8, WEIGHTS_Q4, N_WEIGHTS_TYPES } hi_weights_type;

/* What bytes of weights follow from, beside the shape. */
typedef struct hi_format {
    int elt;                         /* bytes per element, 2 or 4 */
    hi_weights_type type;            /* of layers' matrices: head_type() has the head's */
} hi_format;

typedef enum { ACT_SILU, ACT_GELU_TANH } hi_act;
typedef enum {
    ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_LONGROPE, ROPE_DYNAMIC, N_ROPES
} hi_rope_kind;

typedef struct hi_rope {
    hi_rope_kind kind;
    double theta;
    double factor;       /* linear, llama3, yarn, dynamic */
    double low_freq;     /* llama3 low_freq_factor */
    double high_freq;    /* llama3 high_freq_factor */
    double orig_ctx;     /* llama3, yarn, longrope, dynamic: original_max_position_embeddings */
    double beta_fast;    /* yarn */
    double beta_slow;    /* yarn */
    double attn_factor;  /* yarn, longrope: of cosine and sine */
    double long_by[MAX_HEAD_DIM / 2];    /* longrope (head_dim / 2): planned contexts beyond orig_ctx */
    double short_by[MAX_HEAD_DIM / 2];   /* longrope: others */
} hi_rope;

/* Layers first, first + every, .. see the last 'size' keys alone, a row's own included. */
typedef struct hi_window {
    int64_t size;        /* tokens; 0: no layer has a window */
    int first, every;
} hi_window;

/* A block's parts in order; the family file lists them by these names. */
typedef enum { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP, N_PARTS } hi_part;

/* The tensors a family names; "%d" stands for the layer. ORDER TENSOR */
typedef enum {
    T_EMBED, T_FINAL_NORM, T_LM_HEAD,                      /* once */
    T_ATTN_NORM, T_Q, T_K, T_V, T_O, T_MLP_NORM, T_GATE, T_UP, T_DOWN,  /* per layer */
    T_QKV, T_GATE_UP,                                      /* in place of q k v, of gate and up */
    T_Q_NORM, T_K_NORM, T_ATTN_POST_NORM, T_MLP_POST_NORM, /* of families whose block has them */
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
    hi_window window;
    double attn_softcap, final_softcap;  /* cap * tanh(score / cap); 0: none */
    double query_scalar;             /* scores are scaled by its -0.5th power */
    int norm_offset;                 /* 1: norms' weights are stored minus 1 */
    int embed_scale;                 /* 1: embeddings are multiplied by the root of 'hidden' */
    int64_t dual_chunk;              /* tokens beyond which the checkpoint's authors use dual chunk
                                        attention, which is not done here; 0: they do not */
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
** path   the spec's file; its family file is family/<family>.lua beside it, or hi-gen's own
** s      filled on success only
** Returns 0, or -1 with "file: field = value: remedy".
*/
int spec_load(const char *path, hi_spec *s, hi_error *e);

/* The same of a text that is not in a file yet; path names it. */
int spec_load_text(const char *path, const char *text, size_t len, hi_spec *s, hi_error *e);

/* ---- machine: what a device, its link and its host can do ---- */

typedef struct hi_machine {
    char name[NAME_LEN];             /* the file's, without ".lua" */
    char host[NAME_LEN];             /* "epyc_rome": the host class; of a measured file: its own name */
    int64_t memory;                  /* device bytes; 0: as large as asked */
    int64_t reserve;                 /* device bytes that driver and libraries take beside the arena */
    double matmul;                   /* FLOP/s of bf16 matrix products of many rows */
    double attend;                   /* FLOP/s of prefill attention */
    double read;                     /* bytes/s at which one decoded token reads weights */
    double attend_read;              /* bytes/s at which decode attention reads keys and values */
    double h2d, d2h;                 /* link bytes/s, one direction alone */
    double both;                     /* share of its own speed that each keeps while both run */
    double step_s;                   /* seconds that a step costs whatever its size */
    int64_t ram;                     /* host bytes */
    double dram;                     /* bytes/s that the host's cores can read */
    double copy;                     /* bytes/s of one host core copying; 0: copies cost no core */
    int cores;                       /* of the host */
    bool shared;                     /* the device is the host: copies take cores from compute */
} hi_machine;

/*
** Loads and checks a machine's file: specs/machine/<name>.lua, or what `calibrate` wrote.
**
** path  the device's file; its 'host' names a file in host/ beside it, or is a table of its own
** host  a host's file that takes the place of that, or NULL
** Returns 0, or -1 with "file: field = value: remedy".
*/
int machine_load(const char *path, const char *host, hi_machine *m, hi_error *e);

/* ---- sizes.c: bytes, arithmetic only ---- */

int elt_bytes(hi_numerics n);                                    /* 2 or 4 */
int64_t round_up(int64_t n, int64_t to);
int64_t matrix_bytes(int64_t rows, int64_t cols, hi_format f);   /* packed panels of rows x cols */
double weight_size(hi_format f);                                 /* bytes that a weight of them takes */
hi_weights_type head_type(hi_weights_type t);                    /* of the scores' matrix: the tied
                                                                    embedding, or its own */
int64_t layer_weight_bytes(const hi_spec *s, hi_format f);       /* one layer; a multiple of BUF_ALIGN */
int64_t embed_bytes(const hi_spec *s, int elt);                  /* the embedding, if it can lie on the
                                                                    host; 0 where it is tied */
int64_t once_bytes(const hi_spec *s, hi_format f, bool embed_on_host);  /* what no layer owns, on the
                                                                    device; a multiple of BUF_ALIGN */
int64_t weight_bytes(const hi_spec *s, hi_format f);             /* all of it: once + every layer */
int64_t kv_row_bytes(const hi_spec *s, int elt);                 /* k and v of one entry, one token */
int64_t kv_token_bytes(const hi_spec *s, int elt);               /* whole model, one token */
int64_t store_token_bytes(const hi_spec *s, int64_t ctx, int elt);   /* the same without the layers that
                                                                    roll in such a context */
int64_t param_count(const hi_spec *s);

/* Does the layer see no more than its window in a context of so many tokens? */
bool layer_rolls(const hi_spec *s, int layer, int64_t ctx);
int rolling_layers(const hi_spec *s, int64_t ctx);               /* how many do */

/* ---- plan: what hi-gen decided ---- */

typedef enum { PREFILL, DECODE, N_PHASES } hi_phase;

typedef enum {
#define B(name, phases, what) BUF_##name,
#include "buffers.def"
#undef B
    N_BUFFERS
} hi_buffer_id;

typedef enum {
#define H(name, what) HOST_##name,
#include "hosts.def"
#undef H
    N_HOSTS
} hi_host_id;

typedef struct hi_buffer {
    int64_t offset;                  /* into the device arena, or the host's allocation */
    int64_t bytes;                   /* 0: not there (in this phase); offset is then 0 too */
} hi_buffer;

typedef enum {
#define S(name, args, what) STEP_##name,
#include "steps.def"
#undef S
    N_STEPS
} hi_step_kind;

/* One line of the schedule. arg[] holds the constants in steps.def's order; 'slot' and
   'at' hold 0 there. */
typedef struct hi_step {
    hi_step_kind kind;
    int arg[5];
} hi_step;

/* KV heads [head, head + n) of one layer: they move together. The groups stand in the
   order in which a pass through all layers meets them, which is the ring's order. */
typedef struct hi_group {
    int layer, head, n;
} hi_group;

/*
** One context band: the schedule of passes before which between the last band's 'upto' + 1
** and this one's 'upto' rows lie in whole splits. Bands differ in how a slot is filled: group x tile is
** the same in all of them. Widest groups first; the last band has upto = ctx.
*/
typedef struct hi_band {
    int group;                       /* KV heads per group; divides kv_heads */
    int64_t tile;                    /* tokens per tile; multiple of KEY_SPLIT */
    int64_t upto;                    /* rows */
    hi_group *group_of;              /* (n_groups) layers x (kv_heads / group) */
    int n_groups;
    hi_step *steps[N_PHASES];        /* (n_steps[phase]) one pass through all layers; prefill's is
                                        cut into panels: panel_at */
    int n_steps[N_PHASES];
    int *panel_at;                   /* (panels + 1) first prefill step of each panel, then the end */
} hi_band;

typedef enum { GOAL_BALANCED, GOAL_PREFILL, GOAL_DECODE } hi_goal;
typedef enum { POLICY_AUTO, POLICY_STANDARD, POLICY_CHUNKED, POLICY_LAYER, POLICY_HEAD } hi_policy;

/* Where hidden states wait between panels, and the embedding lies. */
typedef enum { AT_NONE, AT_DEVICE, AT_HOST } hi_place;

/* words.c: by value, NULL behind the last. ORDER hi_goal, hi_policy, hi_place, hi_weights_type */
extern const char *const GOAL_WORDS[], *const POLICY_WORDS[], *const PLACE_WORDS[], *const WEIGHTS_WORDS[];

/* What is emitted for: a row of target.c. ORDER TARGET */
typedef enum { TARGET_CPU, TARGET_CUDA, N_TARGETS } hi_target_id;

/* What the user may force; 0 (or -1 where said) means: the planner decides. */
typedef struct hi_request {
    int64_t vram_bytes;              /* -1: no budget, everything resident */
    int64_t ram_bytes;               /* of the whole host allocation; -1: the machine's */
    int64_t ctx;                     /* tokens, prompt and answer; 0: the spec's; -1: the longest that fits */
    int64_t chunk, tile;             /* tokens; tile: the last band's */
    int group, slots;                /* group: the last band's */
    int bands;                       /* at most */
    int resident;                    /* leading tiles per entry in both phases; -1: planner */
    int weights;                     /* layers whose weights are resident; -1: planner */
    int weight_slots;
    int panel;                       /* layers per panel */
    int64_t mlp_rows;
    hi_place hidden, embed;          /* AT_NONE: planner */
    hi_goal goal;
    hi_policy policy;
    bool logits_all;
    hi_numerics numerics;
    hi_weights_type weights_type;
    hi_target_id target;
    const char *checkpoint;          /* folder whose weights the program takes by default; NULL: none */
} hi_request;

/* Why a quantity is what it is: for --explain and report. */
typedef struct hi_decision {
    const char *what;                /* "chunk" */
    char chosen[48];                 /* "4096 tokens" */
    char other[48];                  /* the runner-up; "" where there is none */
    double slower;                   /* its predicted time over the chosen one's, minus 1 */
    int64_t lacks;                   /* > 0: it does not fit; device bytes that are missing */
    bool forced;                     /* by a flag or a policy */
} hi_decision;

enum { MAX_DECISIONS = 16 };

typedef struct hi_plan {
    hi_request req;                  /* as asked */
    hi_machine machine;              /* planned for */
    int64_t ctx;                     /* capacity of the context, tokens */
    int elt;                         /* bytes per element of weights, activations, KV */
    bool offload;                    /* false: the context fits; no store, no ring, no tails */
    int64_t chunk;                   /* rows of a prefill pass at most; multiple of KEY_BLOCK */
    int64_t mlp_rows;                /* rows of the feed-forward part at once; multiple of KEY_BLOCK,
                                        <= chunk */
    int slots;                       /* ring of KV slots, both phases */
    int panel, panels;               /* layers of a panel; panels = ceil(layers / panel). Panel i is
                                        layers [i * panel, (i + 1) * panel), the last one shorter */
    hi_place hidden;                 /* AT_NONE where panels is 1 */
    hi_place embed;                  /* AT_DEVICE, or AT_HOST: only rows are fetched */
    int resident_layers;             /* whose weights stay; = layers: no weight ring */
    int weight_slots;                /* of the ring of layers; 0: no ring */
    bool hold;                       /* prefill: a panel's streamed layers all fit the ring, so each crosses
                                        the link once a prompt; false: once a chunk */
    bool streamed[MAX_LAYERS];       /* (layers) weights come through the ring */
    int64_t near_rows;               /* rows that a layer with a window keeps of every KV head, by
                                        position modulo this; a multiple of KEY_SPLIT; 0: none does */
    int64_t resident[N_PHASES][MAX_LAYERS];  /* (layers) leading rows that stay on the device, for every
                                        KV head of the layer; multiples of the last band's tile
                                        (where !offload: ctx rounded up to KEY_SPLIT); decode's >= prefill's.
                                        A layer that rolls has them all, so that nothing is streamed,
                                        but in 'near' */
    int rows[N_PHASES];              /* rows of a pass at most: chunk, 1 */
    int64_t piece;                   /* resident rows that decode attends to in one call at most */
    int logit_rows[N_PHASES];        /* 1, or rows where --logits all */
    int64_t arena_bytes;             /* end of the last buffer of the larger phase */
    int64_t reserve_bytes;           /* what a driver takes beside the arena: 0 on cpu */
    int64_t host_bytes;              /* end of the last host buffer */
    hi_buffer buf[N_PHASES][N_BUFFERS];
    hi_buffer host[N_HOSTS];
    hi_band band[MAX_BANDS];
    int n_bands;
    hi_step *enter;                  /* (n_enter) steps of the change prefill -> decode */
    int n_enter;
    hi_decision why[MAX_DECISIONS];  /* (n_why) */
    int n_why;
} hi_plan;

/* What its bytes of weights follow from. */
static inline hi_format plan_format(const hi_plan *p)
{
    return (hi_format){ p->elt, p->req.weights_type };
}

/*
** From a checked spec and a request to a plan. Pure: same input, same plan.
**
** machine   what the time is predicted for
** Returns a plan in 'a'; NULL with the numbers and "smallest budget that works: N bytes"
** where the request cannot be met. *min_bytes, when not NULL, receives that budget on a
** refusal for device memory (0 on other refusals; -1 where the request is wrong in itself).
*/
hi_plan *plan_make(hi_arena *a, const hi_spec *s, const hi_request *q, const hi_machine *machine,
                   int64_t *min_bytes, hi_error *e);

/* The longest context, in whole splits, that fits the request's vram and ram (the machine's ram
   where it says none), whatever its ctx is; 0: none. Returns -1 where memory runs out. */
int64_t plan_longest(const hi_spec *s, const hi_request *q, const hi_machine *machine);

/*
** Replays a plan on a model of the machine; shares no code with plan.c.
**
** Returns 0, or -1 with the first hazard or overrun: the step's index, its line, and what
** would be read before it is filled, overwritten in use, or lie outside its buffer.
*/
int plan_check(const hi_spec *s, const hi_plan *p, hi_error *e);

/* Text of one step, as it stands in a band's emitted schedule: "attend(r, 7, 2, 2, t, SLOT);". */
void step_text(const hi_band *b, const hi_step *st, char *out, size_t n);

/* Name of a band's group: "L07_H2", or "L07_H2_5" for several heads. */
void group_text(const hi_band *b, int g, char *out, size_t n);

#endif
