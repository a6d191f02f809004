/*
** bench_checkpoint.c - random weights of one model as a checkpoint, for us and for llama.cpp.
**
** usage: bench_checkpoint hf FOLDER            config.json and model.safetensors, bf16
**        bench_checkpoint bf16|q8|q4 FILE      GGUF: matrices of that type, vectors fp32
**
** The shape is that of the emitted model that is linked in, of the Llama family. Both forms hold
** the same numbers, those of 'random:1', so both programs compute the same model. What is written
** lies beside its place until it is whole.
** Source: GGUF as in llama.cpp's docs/gguf.md, version 3; blocks as in ggml's ggml-common.h.
*/
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "convert.h"
#include "hi.h"
#include "random_weights.h"

extern const hi_model hi_the_model;

enum {
    SEED = 1,
    MOST_NAME = 128,
    BLOCK = 32,
    ALIGNMENT = 32,
    BUFFER_BYTES = 1 << 22
};

/* Bytes of n weights, as BLOCK of them are stored; GGUF's number of the type. */
typedef struct format {
    const char *name;
    uint32_t gguf;
    int64_t block_bytes;
    void (*store)(const float *x, uint8_t *to); /* one block */
} format;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_checkpoint: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *take(size_t n)
{
    void *p = malloc(n);
    if (p == NULL)
        die("memory");
    return p;
}

/* ---- blocks ---- */

static void store_half(float x, uint8_t *to)
{
    _Float16 h = (_Float16)x;
    memcpy(to, &h, sizeof h);
}

static void store_f32(const float *x, uint8_t *to)
{
    memcpy(to, x, BLOCK * sizeof *x);
}

static void store_bf16(const float *x, uint8_t *to)
{
    convert_f32_to_bf16(x, (uint16_t *)to, BLOCK);
}

/* The value of largest magnitude, with its sign. */
static float extreme(const float *x)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(most))
            most = x[i];
    return most;
}

static void store_q8(const float *x, uint8_t *to)
{
    float d = fabsf(extreme(x)) / 127, inverse = d > 0 ? 1 / d : 0;

    store_half(d, to);
    for (int i = 0; i < BLOCK; i++)
        to[2 + i] = (uint8_t)(int8_t)lrintf(x[i] * inverse);
}

static uint8_t four_bits(float x)
{
    int v = (int)(x + 8.5f);
    return (uint8_t)(v > 15 ? 15 : v);
}

/* The first half of the block is in the low nibbles. */
static void store_q4(const float *x, uint8_t *to)
{
    float d = extreme(x) / -8, inverse = d != 0 ? 1 / d : 0;

    store_half(d, to);
    for (int i = 0; i < BLOCK / 2; i++)
        to[2 + i] =
            (uint8_t)(four_bits(x[i] * inverse) | four_bits(x[i + BLOCK / 2] * inverse) << 4);
}

static const format F32 = { "f32", 0, 4 * BLOCK, store_f32 };
static const format FORMATS[] = {
    { "bf16", 30, 2 * BLOCK, store_bf16 },
    { "q8", 8, 2 + BLOCK, store_q8 },
    { "q4", 2, 2 + BLOCK / 2, store_q4 },
};

/* ---- files ---- */

typedef struct file {
    FILE *f;
    char path[4096], temp[4096 + 8];
    int64_t at; /* bytes written */
} file;

static void begin(file *o, const char *path)
{
    snprintf(o->path, sizeof o->path, "%s", path);
    snprintf(o->temp, sizeof o->temp, "%s.tmp", path);
    o->at = 0;
    o->f = fopen(o->temp, "wb");
    if (o->f == NULL || setvbuf(o->f, NULL, _IOFBF, BUFFER_BYTES) != 0)
        die(o->temp);
}

static void put(file *o, const void *data, size_t n)
{
    if (fwrite(data, 1, n, o->f) != n)
        die(o->temp);
    o->at += (int64_t)n;
}

static void finish(file *o)
{
    if (fclose(o->f) != 0 || rename(o->temp, o->path) != 0)
        die(o->path);
}

static int64_t padded(int64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void pad(file *o)
{
    static const char zeros[ALIGNMENT];
    put(o, zeros, (size_t)(padded(o->at) - o->at));
}

/* ---- Hugging Face's folder ---- */

static int64_t width(const hi_tensor *t)
{
    return t->cols > 0 ? t->cols : 1;
}

static void write_config(const hi_model *m, const char *folder)
{
    char path[4096];
    file o;

    snprintf(path, sizeof path, "%s/config.json", folder);
    begin(&o, path);
    fprintf(
        o.f,
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\",\n"
        " \"vocab_size\": %d, \"hidden_size\": %d, \"intermediate_size\": %d,\n"
        " \"num_hidden_layers\": %d, \"num_attention_heads\": %d, \"num_key_value_heads\": %d,\n"
        " \"head_dim\": %d, \"rms_norm_eps\": %.9g, \"rope_theta\": %.1f,\n"
        " \"tie_word_embeddings\": %s, \"torch_dtype\": \"bfloat16\"}\n",
        m->vocab, m->hidden, m->ffn, m->layers, m->heads, m->kv_heads, m->head_dim,
        (double)m->norm_eps, m->rope_theta, m->tied ? "true" : "false");
    finish(&o);
}

static void put_rows(file *o, const hi_tensor *t)
{
    uint16_t *row = take((size_t)width(t) * sizeof *row);

    for (int64_t r = 0; r < t->rows; r++) {
        random_elements(t, SEED, 2, (uint64_t)(r * width(t)), (size_t)width(t), row);
        put(o, row, (size_t)width(t) * sizeof *row);
    }
    free(row);
}

static void write_safetensors(const hi_model *m, const char *folder)
{
    char path[4096], *header = NULL;
    size_t n = 0;
    long long end = 0;
    file o;
    FILE *f = open_memstream(&header, &n);

    if (f == NULL)
        die("memory");
    fprintf(f, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        long long from = end;
        end += 2 * t->rows * width(t);
        fprintf(f, ",\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld", t->name, (long long)t->rows);
        if (t->cols > 0)
            fprintf(f, ",%lld", (long long)t->cols);
        fprintf(f, "],\"data_offsets\":[%lld,%lld]}", from, end);
    }
    fputc('}', f);
    while (ftell(f) % 8 != 0)
        fputc(' ', f);
    if (fclose(f) != 0)
        die("memory");
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    begin(&o, path);
    put(&o, &(uint64_t){ n }, sizeof(uint64_t));
    put(&o, header, n);
    free(header);
    for (int i = 0; i < m->n_tensors; i++)
        put_rows(&o, &m->tensor[i]);
    finish(&o);
}

/* ---- GGUF ---- */

static void put_text(file *o, const char *s)
{
    put(o, &(uint64_t){ strlen(s) }, sizeof(uint64_t));
    put(o, s, strlen(s));
}

static void put_u32(file *o, uint32_t x)
{
    put(o, &x, sizeof x);
}

enum {
    GGUF_U32 = 4,
    GGUF_F32 = 6,
    GGUF_TEXT = 8
}; /* GGUF's numbers of types of values */

static void key_u32(file *o, const char *key, int x)
{
    put_text(o, key);
    put_u32(o, GGUF_U32);
    put_u32(o, (uint32_t)x);
}

static void key_f32(file *o, const char *key, double x)
{
    put_text(o, key);
    put_u32(o, GGUF_F32);
    put(o, &(float){ (float)x }, sizeof(float));
}

static void key_text(file *o, const char *key, const char *text)
{
    put_text(o, key);
    put_u32(o, GGUF_TEXT);
    put_text(o, text);
}

/* Its name in GGUF. */
static void rename_tensor(const hi_tensor *t, char *name)
{
    static const char *const names[][2] = {
        { "embed_tokens.weight", "token_embd.weight" },
        { "model.norm.weight", "output_norm.weight" },
        { "lm_head.weight", "output.weight" },
        { "input_layernorm.weight", "attn_norm.weight" },
        { "q_proj.weight", "attn_q.weight" },
        { "k_proj.weight", "attn_k.weight" },
        { "v_proj.weight", "attn_v.weight" },
        { "o_proj.weight", "attn_output.weight" },
        { "post_attention_layernorm.weight", "ffn_norm.weight" },
        { "gate_proj.weight", "ffn_gate.weight" },
        { "up_proj.weight", "ffn_up.weight" },
        { "down_proj.weight", "ffn_down.weight" },
    };
    size_t length = strlen(t->name);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i][0]);
        if (n > length || strcmp(t->name + length - n, names[i][0]) != 0)
            continue;
        if (t->layer < 0)
            snprintf(name, MOST_NAME, "%s", names[i][1]);
        else
            snprintf(name, MOST_NAME, "blk.%d.%s", t->layer, names[i][1]);
        return;
    }
    errno = EINVAL;
    die(t->name);
}

static const format *format_of(const hi_tensor *t, const format *matrices)
{
    return t->cols > 0 ? matrices : &F32;
}

static int64_t gguf_bytes(const hi_tensor *t, const format *f)
{
    return t->rows * width(t) / BLOCK * f->block_bytes;
}

/* A tensor's entry; shapes have the fastest dimension first. */
static void put_entry(file *o, const char *name, int64_t rows, int64_t cols, uint32_t type,
                      int64_t offset)
{
    put_text(o, name);
    put_u32(o, cols > 0 ? 2 : 1);
    if (cols > 0)
        put(o, &cols, sizeof cols);
    put(o, &rows, sizeof rows);
    put_u32(o, type);
    put(o, &offset, sizeof offset);
}

enum {
    KEYS = 13
};

static void put_keys(file *o, const hi_model *m)
{
    key_text(o, "general.architecture", "llama");
    key_text(o, "general.name", m->name);
    key_u32(o, "llama.block_count", m->layers);
    key_u32(o, "llama.context_length", 131072);
    key_u32(o, "llama.embedding_length", m->hidden);
    key_u32(o, "llama.feed_forward_length", m->ffn);
    key_u32(o, "llama.attention.head_count", m->heads);
    key_u32(o, "llama.attention.head_count_kv", m->kv_heads);
    key_u32(o, "llama.rope.dimension_count", m->head_dim);
    key_u32(o, "llama.vocab_size", m->vocab);
    key_f32(o, "llama.attention.layer_norm_rms_epsilon", (double)m->norm_eps);
    key_f32(o, "llama.rope.freq_base", m->rope_theta);
    key_text(o, "tokenizer.ggml.model", "no_vocab");
}

static void put_entries(file *o, const hi_model *m, const format *matrices)
{
    int64_t offset = padded(m->head_dim / 2 * (int64_t)sizeof(float));

    put_entry(o, "rope_freqs.weight", m->head_dim / 2, 0, F32.gguf, 0);
    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        const format *f = format_of(t, matrices);
        char name[MOST_NAME];
        rename_tensor(t, name);
        put_entry(o, name, t->rows, t->cols, f->gguf, offset);
        offset = padded(offset + gguf_bytes(t, f));
    }
}

/* By how much each frequency is below that of freq_base. */
static void put_frequencies(file *o, const hi_model *m)
{
    for (int i = 0; i < m->head_dim / 2; i++) {
        double plain = pow(m->rope_theta, -2.0 * i / m->head_dim);
        put(o, &(float){ (float)(plain / (double)m->rope_freq[i]) }, sizeof(float));
    }
    pad(o);
}

/* Row of ours that is row r there: GGUF's query and key have the rotated pairs side by side. */
static int64_t source_row(const hi_model *m, const hi_tensor *t, int64_t r)
{
    int64_t d = m->head_dim, i = r % d;

    if (strstr(t->name, "q_proj") == NULL && strstr(t->name, "k_proj") == NULL)
        return r;
    return r - i + i % 2 * (d / 2) + i / 2;
}

static void put_matrix(file *o, const hi_model *m, const hi_tensor *t, const format *f)
{
    int64_t blocks = t->cols / BLOCK;
    uint16_t *bits = take((size_t)t->cols * sizeof *bits);
    float *x = take((size_t)t->cols * sizeof *x);
    uint8_t *row = take((size_t)(blocks * f->block_bytes));

    for (int64_t r = 0; r < t->rows; r++) {
        int64_t from = source_row(m, t, r);
        random_elements(t, SEED, 2, (uint64_t)(from * t->cols), (size_t)t->cols, bits);
        convert_bf16_to_f32(bits, x, (size_t)t->cols);
        for (int64_t b = 0; b < blocks; b++)
            f->store(x + b * BLOCK, row + b * f->block_bytes);
        put(o, row, (size_t)(blocks * f->block_bytes));
    }
    free(bits);
    free(x);
    free(row);
}

static void put_vector(file *o, const hi_tensor *t)
{
    uint16_t *bits = take((size_t)t->rows * sizeof *bits);
    float *x = take((size_t)t->rows * sizeof *x);

    random_elements(t, SEED, 2, 0, (size_t)t->rows, bits);
    convert_bf16_to_f32(bits, x, (size_t)t->rows);
    put(o, x, (size_t)t->rows * sizeof *x);
    free(bits);
    free(x);
}

static void write_gguf(const hi_model *m, const char *path, const format *matrices)
{
    file o;

    begin(&o, path);
    put(&o, "GGUF", 4);
    put_u32(&o, 3);
    put(&o, &(int64_t){ m->n_tensors + 1 }, sizeof(int64_t));
    put(&o, &(int64_t){ KEYS }, sizeof(int64_t));
    put_keys(&o, m);
    put_entries(&o, m, matrices);
    pad(&o);
    put_frequencies(&o, m);
    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        if (t->cols > 0)
            put_matrix(&o, m, t, matrices);
        else
            put_vector(&o, t);
        pad(&o);
    }
    finish(&o);
}

int main(int argc, char **argv)
{
    const hi_model *m = &hi_the_model;

    if (argc == 3 && strcmp(argv[1], "hf") == 0) {
        if (mkdir(argv[2], 0777) != 0 && errno != EEXIST)
            die(argv[2]);
        write_config(m, argv[2]);
        write_safetensors(m, argv[2]);
        return 0;
    }
    for (size_t i = 0; argc == 3 && i < sizeof FORMATS / sizeof *FORMATS; i++) {
        if (strcmp(argv[1], FORMATS[i].name) == 0) {
            write_gguf(m, argv[2], &FORMATS[i]);
            return 0;
        }
    }
    fprintf(stderr, "usage: bench_checkpoint hf FOLDER | bench_checkpoint bf16|q8|q4 FILE\n");
    return 2;
}
