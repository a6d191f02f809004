/*
** small_model.h - a model of four tensors and checkpoints of it, for the tests of weights.c.
**
** To be included by one file of a program, after cmocka.h.
*/
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include <pthread.h>
#include "weights.h"

static char err[4096];

/* ---- a model of four tensors ---- */

enum {
    EMBED,
    NORM,
    DOWN,
    BIAS,
    N_TENSORS
};

static const hi_tensor TENSOR[N_TENSORS] = {
    { .name = "embed", .rows = 4, .cols = 6, .kind = HI_ROWS },
    { .name = "norm.weight", .rows = 6, .kind = HI_VECTOR },
    { .name = "down", .rows = 6, .cols = 8, .kind = HI_PACKED },
    { .name = "q.bias", .rows = 3, .kind = HI_VECTOR },
};

static inline hi_model model(int elt)
{
    return (hi_model){
        .name = "small",
        .layers = 1,
        .hidden = 6,
        .heads = 2,
        .kv_heads = 1,
        .head_dim = 3,
        .ffn = 8,
        .vocab = 4,
        .elt = elt,
        .norm_eps = 1e-5f,
        .rope_theta = 7,
        .tied = true,
        .tensor = TENSOR,
        .n_tensors = N_TENSORS,
    };
}

/* ---- files ---- */

static char folder[] = "/tmp/test_weights.XXXXXX";

static inline void path_of(char *path, const char *name)
{
    sprintf(path, "%s/%.100s", folder, name);
}

static inline void clean(void)
{
    static const char *const names[] = { "config.json", "model.safetensors.index.json",
                                         "model.safetensors", "a.safetensors", "b.safetensors" };
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(path, names[i]);
        unlink(path);
    }
}

static inline int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    clean();
    return rmdir(folder);
}

static inline void write_text(const char *name, const char *text)
{
    char path[256];
    path_of(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

typedef struct stored {
    const char *name, *dtype;
    int rows, cols, size; /* cols 0: a vector; bytes of an element */
    const void *data;
} stored;

static inline size_t stored_bytes(const stored *s)
{
    return (size_t)s->rows * (size_t)(s->cols > 0 ? s->cols : 1) * (size_t)s->size;
}

static inline void write_tensors(const char *name, const stored *s, int n)
{
    char path[256], json[4096], shape[64];
    size_t at = 0;
    int used = sprintf(json, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < n; at += stored_bytes(&s[i]), i++) {
        sprintf(shape, s[i].cols > 0 ? "%d,%d" : "%d", s[i].rows, s[i].cols);
        used += sprintf(json + used,
                        ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                        s[i].name, s[i].dtype, shape, at, at + stored_bytes(&s[i]));
    }
    used += sprintf(json + used, "}");
    path_of(path, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)((uint64_t)used >> 8 * i & 0xff), f);
    fwrite(json, 1, (size_t)used, f);
    for (int i = 0; i < n; i++)
        fwrite(s[i].data, 1, stored_bytes(&s[i]), f);
    assert_int_equal(fclose(f), 0);
}

static uint16_t numbers[64]; /* bf16 1.0, 1.0078125, ...: any finite bits will do */

static inline stored good(int i)
{
    return (stored){ TENSOR[i].name,      "BF16", (int)TENSOR[i].rows,
                     (int)TENSOR[i].cols, 2,      numbers + i };
}

/* Fills s with good tensors in an order that is not the model's, and two it does not know. */
static inline int all_good(stored *s)
{
    static const int order[] = { BIAS, DOWN, EMBED, NORM };
    for (int i = 0; i < 64; i++)
        numbers[i] = (uint16_t)(0x3f80 + i);
    for (int i = 0; i < N_TENSORS; i++)
        s[i] = good(order[i]);
    s[4] = (stored){ "lm_head.weight", "F8_E4M3", 3, 3, 1, numbers };
    s[5] = (stored){ "rotary_emb.inv_freq", "F32", 2, 0, 4, numbers };
    return 6;
}

/* ---- the receiver ---- */

typedef struct received {
    unsigned char data[N_TENSORS][64 * 4];
    int64_t next[N_TENSORS]; /* row */
    char order[64];          /* tensors as they came */
    int elt, stop_at;        /* refuses the n-th call; 0: none */
    int calls;
} received;

static inline int receive(void *to, const hi_tensor *t, int64_t row, int64_t n_rows,
                          const void *elts)
{
    received *r = to;
    ptrdiff_t i = t - TENSOR;
    size_t row_bytes = (size_t)(t->cols > 0 ? t->cols : 1) * (size_t)r->elt;
    assert_int_equal(row, r->next[i]);
    assert_true(n_rows > 0 && row + n_rows <= t->rows);
    r->order[r->calls++] = (char)('0' + i);
    r->next[i] += n_rows;
    memcpy(r->data[i] + (size_t)row * row_bytes, elts, (size_t)n_rows * row_bytes);
    return r->calls == r->stop_at ? -1 : 0;
}

static inline int load(int elt, bool round_weights, received *r)
{
    hi_model m = model(elt);
    int stop_at = r->stop_at;
    *r = (received){ .elt = elt, .stop_at = stop_at };
    strcpy(err, "untouched");
    return weights_load(&m, folder, round_weights, NULL, receive, r, err, sizeof err);
}

static inline void must_load(int elt, bool round_weights, received *r)
{
    int rc = load(elt, round_weights, r);
    assert_string_equal(err, "");
    assert_int_equal(rc, 0);
    for (int i = 0; i < N_TENSORS; i++)
        assert_int_equal(r->next[i], TENSOR[i].rows);
}

static inline void refuse_as(int elt, bool round_weights, const char *message)
{
    received r = { 0 };
    int rc = load(elt, round_weights, &r);
    assert_string_equal(err, message);
    assert_int_equal(rc, -1);
    assert_int_equal(r.calls, 0);
}

static inline void refuse(const char *message)
{
    refuse_as(2, false, message);
}

/* The message begins with the folder's path. */
static inline void refuse_file(const char *message)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", folder, message);
    refuse(whole);
}

static inline void check_numbers(const received *r)
{
    for (int i = 0; i < N_TENSORS; i++) {
        size_t n = (size_t)(TENSOR[i].rows * (TENSOR[i].cols > 0 ? TENSOR[i].cols : 1));
        for (size_t k = 0; k < n; k++) {
            uint32_t bits = (uint32_t)numbers[(size_t)i + k] << 16, have = 0;
            if (r->elt == 2)
                bits >>= 16;
            memcpy(&have, r->data[i] + k * (size_t)r->elt, (size_t)r->elt);
            assert_int_equal(have, bits);
        }
    }
}

/* ---- several threads ---- */

enum {
    CREW = 5
};

typedef struct sailor {
    void (*job)(void *arg, int i);
    void *arg;
    int i;
} sailor;

static inline void *sail(void *arg)
{
    const sailor *s = arg;
    s->job(s->arg, s->i);
    return NULL;
}

static inline void run_crew(void *with, void (*job)(void *arg, int i), void *arg, int n)
{
    pthread_t thread[CREW];
    sailor s[CREW];
    (void)with;
    assert_int_equal(n, CREW);
    for (int i = 0; i < n; i++) {
        s[i] = (sailor){ job, arg, i };
        assert_int_equal(pthread_create(&thread[i], NULL, sail, &s[i]), 0);
    }
    for (int i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
}

static const weights_crew CREW_OF_FIVE = { .n = CREW, .run = run_crew };

#define INDEX(map) "{\"metadata\":{\"total_size\":1e9},\"weight_map\":{" map "}}"
#define MAP                                                                                     \
    "\"embed\":\"b.safetensors\",\"norm.weight\":\"a.safetensors\",\"down\":\"b.safetensors\"," \
    "\"q.bias\":\"a.safetensors\""

static inline void write_shards(void)
{
    stored s[8];
    all_good(s);
    stored a[] = { good(NORM), good(BIAS) };
    stored b[] = { s[5], good(DOWN), good(EMBED) };
    clean();
    write_tensors("a.safetensors", a, 2);
    write_tensors("b.safetensors", b, 3);
    write_text("model.safetensors.index.json", INDEX(MAP));
}

/* The bias of three elements as F16 or F32, the rest good. */
static inline void write_bias(const char *dtype, int size, const void *data)
{
    stored s[8];
    clean();
    int n = all_good(s);
    s[0] = (stored){ "q.bias", dtype, 3, 0, size, data };
    write_tensors("model.safetensors", s, n);
}

#endif
