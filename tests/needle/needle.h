/*
** needle.h - a Llama checkpoint whose weights are constructed so that it
** provably retrieves needles.
**
** No weight is trained. A token is a byte; token 0 is BOS, EOS and the answer
** "not found". If the last four tokens of the context occurred once before, the
** greedy next token is the one that followed them; without such an earlier
** occurrence, or with any KV head of the cache damaged, it is token 0.
**
** needle_weights.c computes the tensors, needle_folder.c writes them with their
** configuration as a checkpoint folder, needle_make.c is the program of it.
*/
#ifndef NEEDLE_H
#define NEEDLE_H

#include <stdint.h>

/* The shape. hidden is a power of two: the residual basis is a Hadamard matrix. */
enum {
    NEEDLE_VOCAB = 256,
    NEEDLE_HIDDEN = 128,
    NEEDLE_FFN = 16,
    NEEDLE_KV_HEADS = 4, /* each carries 2 of the 8 answer bits */
    NEEDLE_ORDER = 4,    /* tokens in a question = query heads per KV head */
    NEEDLE_HEADS = NEEDLE_KV_HEADS * NEEDLE_ORDER,
    NEEDLE_HEAD_DIM = 64,
    NEEDLE_MIN_LAYERS = 2,
    NEEDLE_MAX_LAYERS = 4, /* bf16 leaves no margin with more */
    NEEDLE_MAX_TENSORS = 3 + 9 * NEEDLE_MAX_LAYERS
};

/*
** unit    nats of score per agreeing bit; 18 is robust, 4 notices lost precision
** theta   rope_theta; the default serves contexts up to 4M tokens
** layers  one that looks back, then layers - 1 that retrieve
*/
typedef struct needle_opts {
    double unit;
    double theta;
    int layers;
} needle_opts;

#define NEEDLE_DEFAULTS \
    {                   \
        18.0, 1e16, 2   \
    }

typedef struct needle_error {
    char text[512];
} needle_error;

typedef struct needle_tensor {
    char name[64];
    int rows, cols; /* cols = 0: a vector of 'rows' */
    uint16_t *bits; /* (rows, cols) bf16, owned by the model */
} needle_tensor;

typedef struct needle_model {
    needle_tensor tensor[NEEDLE_MAX_TENSORS]; /* sorted by name */
    int n_tensors;
} needle_model;

/* Writes the message and returns -1. */
int needle_fail(needle_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Returns 0, or -1 with "unit = ...: must be ..." when an option is out of range. */
int needle_check(const needle_opts *o, needle_error *e);

/*
** Computes every tensor.
**
** m  filled; owned by the caller, who releases it with needle_free also after
**    a failure
** Returns 0, or -1 for a wrong option or lack of memory.
*/
int needle_build(const needle_opts *o, needle_model *m, needle_error *e);
void needle_free(needle_model *m);

/* Elements of a tensor. */
long needle_count(const needle_tensor *t);

/*
** Writes config.json, tokenizer.json and model.safetensors into 'dir', which is
** made if it does not exist. Each file appears complete or not at all.
**
** Returns 0, or -1 with "file: what went wrong".
*/
int needle_write(const char *dir, const needle_opts *o, needle_error *e);

#endif
