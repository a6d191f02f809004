/*
** import.h - from a Hugging Face folder to a spec: 'hi-gen import'.
**
** import.c owns the order of things; the other files one source each: import_folder.c where the
** folder is, import_config.c and import_rope.c what config.json says, import_shards.c and
** import_check.c the tensors, import_text.c tokenizer and chat template. import_write.c turns
** what they found into a spec. Nothing here plans.
*/
#ifndef IMPORT_H
#define IMPORT_H

#include <jansson.h>

#include "command.h"
#include "text.h"

enum {
    IMPORT_PATH = 4096,
    IMPORT_LABEL = 200,
    MAX_PAIRS = 128 /* head_dim / 2 */
};

/* Rotation as config.json has it. */
typedef struct hf_rope {
    const char *kind; /* the spec's rope.kind */
    double theta, factor, low_freq, high_freq;
    int64_t orig_ctx;
    double beta_fast, beta_slow, attn_factor;
    double longer[MAX_PAIRS], shorter[MAX_PAIRS]; /* (n_pairs) of longrope */
    int n_pairs;
} hf_rope;

typedef enum {
    TIED_ABSENT,
    TIED_NO,
    TIED_YES
} hf_tied;

/* A checkpoint in the terms of a spec. Absent: bos -1; window, softcaps, score_scale, dual_chunk 0.
 */
typedef struct hf_model {
    char label[IMPORT_LABEL]; /* for people: "Qwen/Qwen3-8B", or the folder's name */
    char name[NAME_LEN];      /* the spec's */
    char folder[IMPORT_PATH]; /* absolute */
    const char *family;
    int64_t layers, hidden, heads, kv_heads, head_dim, ffn, ctx;
    int64_t vocab; /* config.json's; after import_tensors: the embedding's rows */
    double norm_eps;
    const char *act;
    bool qkv_bias, o_bias, mlp_bias;
    hf_tied says_tied; /* config.json */
    bool tied_default; /* of the family, where config.json has none */
    bool tied;         /* set by import_tensors */
    hf_rope rope;
    int64_t window, window_first, window_every;
    double attn_cap, final_cap, score_scale; /* score_scale: query_pre_attn_scalar */
    int64_t dual_chunk;
    int64_t bos, eos[MAX_EOS];
    int n_eos;
} hf_model;

/* ---- messages ---- */

/* gen_fail with control characters replaced: names in files are not to be trusted. */
int import_fail(hi_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds a line to what the user is told though nothing is wrong. */
void import_note(text *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- import_folder.c ---- */

/*
** Finds the checkpoint and names it.
**
** arg   a folder, or "org/name" in the hub's cache ($HF_HUB_CACHE, $HF_HOME/hub,
**       ~/.cache/huggingface/hub): no network
** name  of the spec, or NULL: made from the folder's or the repository's
** m     receives folder, label and name
** Returns 0, or -1: no such folder, or one without config.json or safetensors files, by what it
** holds instead.
*/
int import_folder(const char *arg, const char *name, hf_model *m, hi_error *e);

/* Makes a path absolute as it stands, without following links. Returns 0 or -1. */
int import_absolute(const char *path, char *out, size_t n, hi_error *e);

/* "Qwen2.5-7B-Instruct-1M" -> "qwen2_5_7b_instruct_1m". Returns 0, or -1 for a name without end. */
int import_name(const char *from, char *out, hi_error *e);

/* ---- import_config.c, import_rope.c, import_json.c ---- */

/* Reads config.json and generation_config.json into m, everything but 'tied'. Returns 0 or -1. */
int import_config(hf_model *m, text *notes, hi_error *e);

/* An object of a JSON file, and how to complain about its fields. */
typedef struct hf_object {
    const json_t *o;
    const char *file;   /* "config.json" */
    const char *prefix; /* "" or "rope_scaling." */
    hi_error *e;
} hf_object;

/* A field; NULL: absent, or null. */
const json_t *hf_get(const hf_object *c, const char *name);

/* "config.json: name = value: remedy". Returns -1. */
int hf_refuse(const hf_object *c, const char *name, const char *remedy);

/* A whole number from lo to hi. 'out' stays as it is where the field is absent. Returns 0 or -1. */
int hf_whole(const hf_object *c, const char *name, int64_t lo, int64_t hi, int64_t *out);

/* A finite number above 0; likewise. */
int hf_positive(const hf_object *c, const char *name, double *out);

/* The same, but the field must be there. */
int hf_need_whole(const hf_object *c, const char *name, int64_t lo, int64_t hi, int64_t *out);
int hf_need_positive(const hf_object *c, const char *name, double *out);

int hf_bool(const hf_object *c, const char *name, bool *out);

/* A text, "" where absent; NULL with a message where it is something else. */
const char *hf_text(const hf_object *c, const char *name);

/* Opens folder/file, a JSON object. Returns 1 (*out a new reference), 0: no such file, or -1. */
int hf_open(const char *folder, const char *file, json_t **out, hi_error *e);

/* rope_scaling, or rope_parameters of newer files, into m->rope; needs ctx and head_dim. */
int import_rope(const hf_object *config, hf_model *m, text *notes);

/* ---- import_shards.c ---- */

typedef struct hf_shards hf_shards;

/* Opens every shard's header; NULL with a message. */
hf_shards *shards_open(const char *folder, text *notes, hi_error *e);
void shards_close(hf_shards *s);

typedef struct hf_tensor {
    const char *file, *dtype;
    int rank;
    uint64_t dim[2]; /* the first two */
} hf_tensor;

/* False: no such tensor. */
bool shards_find(const hf_shards *s, const char *name, hf_tensor *out);
size_t shards_count(const hf_shards *s);

/* Name of a tensor that no call has found yet, from *at on; NULL: there is none. */
const char *shards_unused(const hf_shards *s, size_t *at);

/* ---- import_check.c ---- */

/*
** Checks every tensor that m's family names: it is there, with the shape that config.json's
** sizes give. Sets m->vocab and m->tied from them.
** Returns 0, or -1 with what is wrong, several lines.
*/
int import_tensors(hf_model *m, text *notes, hi_error *e);

/* ---- import_text.c ---- */

/* Opens tokenizer and chat template as the program will. Notes where there is none. */
int import_texts(const hf_model *m, text *notes, hi_error *e);

/* ---- import_write.c ---- */

/* The spec, reproducible: nothing in it depends on where the folder lies. */
void import_write(const hf_model *m, text *out);

/* ---- import.c ---- */

/*
** All of the above for a command: finds, reads, checks, writes the spec into 'lua' and loads it.
** What was noted goes to stderr, also on failure.
**
** folder  (IMPORT_PATH) receives the checkpoint's
** Returns 0 or -1.
*/
int import_spec(const hi_command *c, hi_spec *s, text *lua, char *folder, hi_error *e);

#endif
