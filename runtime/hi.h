/*
** hi.h - what a program may call, and the model description that emitted code fills in.
**
** A run is one loaded model and one mutable sequence of tokens. It is used from one thread.
** Every function that can fail returns 0 or -1 and keeps the first failure in the run
** (hi_error_text); later calls on a failed run fail at once. Memory is taken in hi_open and
** given back in hi_close; nothing else allocates.
*/
#ifndef HI_H
#define HI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hi_run hi_run;

/* ---- the model: constants of one emitted program (model.c) ---- */

typedef enum { HI_PREFILL, HI_DECODE, HI_PHASES } hi_phase;
typedef enum { HI_ROWS, HI_PACKED, HI_VECTOR } hi_tensor_kind;

/* How matrices of layers, or the head's, are kept: as elements; in blocks of 32 with a scale each, made
   when they are loaded and not exact, of 8 or of 4 bits. ORDER WEIGHTS: gen/gen.h, cpu/kern.h */
typedef enum { HI_STORED, HI_Q8, HI_Q4 } hi_weights_type;

/* A tensor of the checkpoint and its place. HI_ROWS is an embedding that is only looked up. */
typedef struct hi_tensor {
    const char *name;                /* as in the safetensors header */
    int64_t rows, cols;              /* shape in the file; cols 0: a vector of 'rows' */
    hi_tensor_kind kind;
    int layer;                       /* that it belongs to; -1: none */
    int64_t offset;                  /* of the whole matrix or vector, bytes from its layer's 'at', into
                                        'weights', or (hi_model.embed -1) into HI_H_EMBED */
    int64_t row0;                    /* this tensor's first row in a fused matrix or vector */
} hi_tensor;

/* KV heads [head, head + n) of one layer, which move together. */
typedef struct hi_group {
    int layer, head, n;
} hi_group;

/* How a pass before which at most 'upto' rows lie in whole splits fills the ring's slots. */
typedef struct hi_band {
    int64_t upto, tile;              /* rows; tokens */
    int group;                       /* KV heads of a group */
    const hi_group *ring;            /* (n_groups) in the order in which a pass meets them */
    int n_groups;
} hi_band;

/* Where one layer's weights are, and its parts' byte offsets from there; -1: no such part. */
typedef struct hi_layer {
    int64_t at;                      /* into 'weights'; streamed: into the host's allocation */
    bool streamed;                   /* weights come through the ring of weight slots */
    int64_t window;                  /* keys that a row sees, its own included: the layer keeps no
                                        more, in 'near', and has no place in the store; 0: all */
    int64_t resident[HI_PHASES];     /* leading rows of every KV head on the device; of a layer with
                                        a window the whole context, in words */
    int64_t attn_norm, qkv, qkv_bias, q_norm, k_norm, o, o_bias, attn_post_norm, mlp_norm, gate_up,
        gate_up_bias, down, down_bias, mlp_post_norm;
} hi_layer;

typedef struct hi_buffer {
    int64_t offset, bytes;           /* bytes 0: not there (in this phase) */
} hi_buffer;

enum {                               /* ORDER BUFFERS: gen/buffers.def */
    HI_B_WEIGHTS, HI_B_LAYERS, HI_B_TAILS, HI_B_KEPT, HI_B_NEAR, HI_B_WORK, HI_B_FRAMES, HI_B_SLOTS,
    HI_B_WINDOW, HI_B_IDS, HI_B_ROPE, HI_B_HIDDEN, HI_B_X, HI_B_H, HI_B_QKV, HI_B_O, HI_B_MLP, HI_B_CARRY,
    HI_B_PARTS, HI_B_LOGITS, HI_BUFFERS
};

enum { HI_H_KV, HI_H_LAYERS, HI_H_EMBED, HI_H_HIDDEN, HI_HOSTS };   /* ORDER HOSTS: gen/hosts.def */

/* What the plan predicts for a prompt of so many tokens, and for one token decoded after them:
   seconds, bytes to the device, bytes to the host. */
typedef struct hi_forecast {
    int64_t tokens;
    double prefill_s, prefill_in, prefill_out;
    double decode_s, decode_in, decode_out;
} hi_forecast;

typedef struct hi_model {
    const char *name;                /* "needle-8M" */
    const char *command;             /* the hi-gen command line that made it */
    const char *checkpoint;          /* weights where none are named: a folder; NULL: none */
    const char *plan_text;           /* memory table, decisions, predicted times: 'info --plan' */
    const char *machine;             /* what was planned for */
    const hi_forecast *forecast;     /* (n_forecasts) by tokens, ascending, to ctx */
    int n_forecasts;
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    int elt;                         /* bytes per element: 2 bf16, 4 f32 */
    hi_weights_type layer_type;      /* of layers' HI_PACKED tensors */
    hi_weights_type head_type;       /* of the other one: lm_head, or the embedding where tied */
    float norm_eps;
    bool tied, gelu;
    int bos;                         /* -1: none */
    const int *eos;                  /* (n_eos) */
    int n_eos;
    double rope_theta;               /* what the checkpoint's config.json must say, if it does */
    const float *rope_freq;          /* (head_dim / 2) */
    float rope_scale;                /* of cosine and sine */
    int64_t embed, final_norm, lm_head;    /* offsets in 'weights'; lm_head == embed when tied;
                                        embed -1: the embedding is in the host's HI_H_EMBED */
    const hi_layer *layer;           /* (layers) */
    const hi_tensor *tensor;         /* (n_tensors) */
    int n_tensors;

    int64_t ctx;                     /* capacity, tokens */
    bool offload;                    /* host store, ring and tails exist */
    bool logits_all;
    int64_t split;                   /* tokens */
    int64_t near_rows;               /* of every KV head of a layer with a window, by position modulo
                                        this; a multiple of split */
    int slots;                       /* of the KV ring */
    int64_t piece;                   /* resident rows that decode attends to at once at most */
    int rows[HI_PHASES];             /* rows of a pass at most */
    int panel, panels;               /* layers of a panel; prefill runs each panel over all chunks */
    bool hidden_on_host;             /* between panels; else, with several panels, in HI_B_HIDDEN */
    int weight_slots;                /* of the ring of layers; 0: none is streamed */
    int64_t layer_bytes;             /* of one weight slot */
    bool hold;                       /* prefill: streamed layers stay in the ring for a whole panel */
    int64_t budget_bytes;            /* --vram; -1: none */
    int64_t arena_bytes, reserve_bytes, host_bytes;
    hi_buffer buf[HI_PHASES][HI_BUFFERS];
    hi_buffer host[HI_HOSTS];        /* in the host's one allocation */
    const hi_band *band;             /* (n_bands) by 'upto', ascending */
    int n_bands;

    void (*prefill)(hi_run *r);      /* the emitted schedules: a whole prompt */
    void (*decode)(hi_run *r);       /* one token */
    void (*enter_decode)(hi_run *r); /* prefill -> decode layout */
} hi_model;

/* ---- running ---- */

/* The target's own options, as lines of a help text. */
extern const char hi_target_help[];

/* Do the rows of prompts and of decoded tokens get their bits in different ways? Within either, bits
   depend on nothing but weights and tokens. */
extern const bool hi_row_classes;

typedef struct hi_options {
    const char *weights;             /* checkpoint folder, or "random:SEED" */
    int threads;                     /* 0: one per usable core */
    double link_gbps;                /* each direction, GB/s; 0: as fast as memory */
    const char *isa;                 /* forces an instruction set; NULL: HI_ISA or the best */
    bool round_weights;              /* accept fp16/fp32 tensors into bf16: not exact */
} hi_options;

/* One pass of a prefill has ended: one chunk through one panel of layers. */
typedef struct hi_pass {
    int64_t first, rows;             /* of the sequence: the chunk's */
    int chunk, chunks, panel, panels;
    bool scored;                     /* hi_logits has the pass's scores: of its last row, or all */
} hi_pass;

typedef void hi_watch(void *arg, hi_run *r, const hi_pass *p);

/* What was moved and how long it took since hi_open. */
typedef struct hi_stats {
    int64_t h2d_bytes, d2h_bytes;
    int64_t arena_peak_bytes;        /* end of the last arena buffer any pass has used */
    int64_t arena_touched_bytes;     /* end of the last arena page that was ever written */
    double stall_s;                  /* compute waited for the link */
    double link_s;                   /* the host-to-device stream was busy */
} hi_stats;

/*
** Opens a run: arena, store, threads, weights.
**
** err, n  receives the message on failure
** Returns NULL on failure; *code, if not NULL, is then the exit code that fits (1 runtime,
** 2 usage, 3 cannot fit, 4 bad model files).
*/
hi_run *hi_open(const hi_model *m, const hi_options *o, int *code, char *err, size_t n);
void hi_close(hi_run *r);

/* Calls watch(arg, ..) after every pass of a prefill, from the run's thread; NULL: nobody. It may
   read scores and call hi_cancel, nothing else. */
void hi_set_watch(hi_run *r, hi_watch *watch, void *arg);

/* Appends n >= 1 tokens, in chunks of at most rows[HI_PREFILL]. Scores of the last row (or of
   the rows of the last chunk) are in hi_logits. On failure the run is over (but see hi_recover). */
int hi_prefill(hi_run *r, const int32_t *ids, int64_t n);

/* Appends one token. */
int hi_decode(hi_run *r, int32_t id);

/* Keeps the first n_tok tokens of the sequence, drops the rest: 0, or at least hi_rewind_least,
   which is 1 unless layers keep a window of their rows alone. */
int hi_rewind(hi_run *r, int64_t n_tok);
int64_t hi_rewind_least(const hi_run *r);

/*
** After a prompt that was cancelled: the run goes on, with the sequence as it was before that prompt;
** or with an empty one, where the prompt took the place of rows that layers' windows need. Scores are undefined until the next prompt or token. Nothing failed: takes back a cancel that
** nothing has heard. Returns -1 where the run cannot go on: another failure, or a cancelled token.
*/
int hi_recover(hi_run *r);

int64_t hi_length(const hi_run *r);              /* tokens in the sequence */
const float *hi_logits(hi_run *r);               /* (rows, vocab) of the last pass */
int32_t hi_argmax(const float *logits, int n);   /* lowest index among equals; -1: not finite */
const char *hi_error_text(const hi_run *r);      /* "" while nothing has failed */
const char *hi_isa(const hi_run *r);
int hi_threads(const hi_run *r);                 /* of the host that compute; 0: a device does */
const char *hi_note(const hi_run *r);            /* what a user should know of how it was opened; "" */
void hi_get_stats(const hi_run *r, hi_stats *s);
/* From any thread or a signal handler: the pass under way fails with "cancelled", and with it
   the run, until hi_recover. */
void hi_cancel(hi_run *r);

#endif
