/*
** needle_folder.c - writes the needle model as a checkpoint folder: config.json,
** tokenizer.json, model.safetensors.
**
** Each file is composed in memory, written beside its place and renamed, so that
** a full disk or a signal leaves no half of one.
*/
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "needle.h"

/* ---- files ---- */

static int write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, data, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put == 0 ? ENOSPC : errno;
            return -1;
        }
        data += put;
        n -= (size_t)put;
    }
    return 0;
}

/* Creates 'path' with n bytes. Returns 0, or -1 with errno set. */
static int create_file(const char *path, const char *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return -1;
    int failed = write_all(fd, data, n) < 0 ? errno : 0;
    if (close(fd) < 0 && !failed)
        failed = errno;
    errno = failed;
    return failed ? -1 : 0;
}

static int write_file(const char *dir, const char *name, const char *data, size_t n,
                      needle_error *e)
{
    char *path, *temp;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return needle_fail(e, "%s: out of memory", name);
    if (asprintf(&temp, "%s.tmp", path) < 0) {
        free(path);
        return needle_fail(e, "%s: out of memory", name);
    }
    int rc = create_file(temp, data, n);
    if (rc == 0)
        rc = rename(temp, path);
    if (rc < 0) {
        needle_fail(e, "%s: %s", path, strerror(errno));
        unlink(temp);
    }
    free(temp);
    free(path);
    return rc;
}

/* ---- config.json ---- */

/* Always with a point or an exponent: 1e20 as an integer would overflow a reader's. */
static void print_real(FILE *f, const char *name, double x)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", x);
    fprintf(f, "  \"%s\": %s%s,\n", name, text, strpbrk(text, ".e") ? "" : ".0");
}

static void print_config(FILE *f, const needle_opts *o, const needle_model *m)
{
    (void)m;
    fprintf(f, "{\n"
               "  \"architectures\": [\"LlamaForCausalLM\"],\n"
               "  \"model_type\": \"llama\",\n");
    const struct {
        const char *name;
        int value;
    } numbers[] = {
        { "vocab_size", NEEDLE_VOCAB },
        { "hidden_size", NEEDLE_HIDDEN },
        { "intermediate_size", NEEDLE_FFN },
        { "num_hidden_layers", o->layers },
        { "num_attention_heads", NEEDLE_HEADS },
        { "num_key_value_heads", NEEDLE_KV_HEADS },
        { "head_dim", NEEDLE_HEAD_DIM },
        { "max_position_embeddings", 1 << 20 },
        { "bos_token_id", 0 },
        { "eos_token_id", 0 },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        fprintf(f, "  \"%s\": %d,\n", numbers[i].name, numbers[i].value);
    print_real(f, "rope_theta", o->theta);
    fprintf(f, "  \"rope_scaling\": null,\n"
               "  \"rms_norm_eps\": 1e-05,\n"
               "  \"hidden_act\": \"silu\",\n"
               "  \"attention_bias\": false,\n"
               "  \"mlp_bias\": false,\n"
               "  \"tie_word_embeddings\": false,\n"
               "  \"torch_dtype\": \"bfloat16\"\n"
               "}\n");
}

/* ---- tokenizer.json: token id = byte, no merges ---- */

/*
** The code point that stands for a byte in a byte-level vocabulary: printable
** Latin-1 for itself, the other 68 bytes in increasing order from U+0100 on.
*/
static int byte_symbol(int byte)
{
    int others = 0;
    for (int b = 0; b <= byte; b++) {
        bool plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return plain ? byte : 0x100 + others;
        others += !plain;
    }
    return 0;
}

/* Symbols lie below U+0144: at most two bytes of UTF-8. */
static void print_symbol(FILE *f, int byte)
{
    int c = byte_symbol(byte);
    if (c == '"' || c == '\\')
        fprintf(f, "\\%c", c);
    else if (c < 0x80)
        fprintf(f, "%c", c);
    else
        fprintf(f, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

/*
** Token 0 is both the symbol of byte 0 and, as a special token of the same
** content, BOS: an added token takes the id its content has in the vocabulary.
** Byte 0 is thus not for texts, and the character of that symbol would be read
** as BOS.
*/
static const char TOKENIZER_HEAD[] =
    "{\n"
    "  \"version\": \"1.0\",\n"
    "  \"truncation\": null,\n"
    "  \"padding\": null,\n"
    "  \"added_tokens\": [\n"
    "    {\n"
    "      \"id\": 0,\n"
    "      \"content\": \"\xc4\x80\",\n"
    "      \"single_word\": false,\n"
    "      \"lstrip\": false,\n"
    "      \"rstrip\": false,\n"
    "      \"normalized\": false,\n"
    "      \"special\": true\n"
    "    }\n"
    "  ],\n"
    "  \"normalizer\": null,\n"
    "  \"pre_tokenizer\": {\n"
    "    \"type\": \"ByteLevel\",\n"
    "    \"add_prefix_space\": false,\n"
    "    \"trim_offsets\": true,\n"
    "    \"use_regex\": false\n"
    "  },\n"
    "  \"post_processor\": {\n"
    "    \"type\": \"TemplateProcessing\",\n"
    "    \"single\": [\n"
    "      { \"SpecialToken\": { \"id\": \"\xc4\x80\", \"type_id\": 0 } },\n"
    "      { \"Sequence\": { \"id\": \"A\", \"type_id\": 0 } }\n"
    "    ],\n"
    "    \"pair\": [\n"
    "      { \"SpecialToken\": { \"id\": \"\xc4\x80\", \"type_id\": 0 } },\n"
    "      { \"Sequence\": { \"id\": \"A\", \"type_id\": 0 } },\n"
    "      { \"Sequence\": { \"id\": \"B\", \"type_id\": 1 } }\n"
    "    ],\n"
    "    \"special_tokens\": {\n"
    "      \"\xc4\x80\": { \"id\": \"\xc4\x80\", \"ids\": [0], \"tokens\": [\"\xc4\x80\"] }\n"
    "    }\n"
    "  },\n"
    "  \"decoder\": {\n"
    "    \"type\": \"ByteLevel\",\n"
    "    \"add_prefix_space\": false,\n"
    "    \"trim_offsets\": true,\n"
    "    \"use_regex\": false\n"
    "  },\n"
    "  \"model\": {\n"
    "    \"type\": \"BPE\",\n"
    "    \"dropout\": null,\n"
    "    \"unk_token\": null,\n"
    "    \"continuing_subword_prefix\": null,\n"
    "    \"end_of_word_suffix\": null,\n"
    "    \"fuse_unk\": false,\n"
    "    \"byte_fallback\": false,\n"
    "    \"ignore_merges\": false,\n"
    "    \"vocab\": {\n";

static const char TOKENIZER_TAIL[] = "    },\n    \"merges\": []\n  }\n}\n";

static void print_tokenizer(FILE *f, const needle_opts *o, const needle_model *m)
{
    (void)o, (void)m;
    fputs(TOKENIZER_HEAD, f);
    for (int b = 0; b < NEEDLE_VOCAB; b++) {
        fprintf(f, "      \"");
        print_symbol(f, b);
        fprintf(f, "\": %d%s\n", b, b < NEEDLE_VOCAB - 1 ? "," : "");
    }
    fputs(TOKENIZER_TAIL, f);
}

/* ---- model.safetensors ---- */

/* The header's JSON: tensors by type (all bf16) then name, as the format's own writer sorts. */
static void print_header(FILE *f, const needle_opts *o, const needle_model *m)
{
    (void)o;
    fprintf(f, "{\"__metadata__\":{\"format\":\"pt\"}");
    long offset = 0;
    for (int i = 0; i < m->n_tensors; i++) {
        const needle_tensor *t = &m->tensor[i];
        long end = offset + 2 * needle_count(t);
        fprintf(f, ",\"%s\":{\"dtype\":\"BF16\",\"shape\":[%d", t->name, t->rows);
        if (t->cols)
            fprintf(f, ",%d", t->cols);
        fprintf(f, "],\"data_offsets\":[%ld,%ld]}", offset, end);
        offset = end;
    }
    fprintf(f, "}");
    while (ftell(f) % 8 != 0) /* spaces, so that the data is aligned */
        fputc(' ', f);
}

static void put_little(FILE *f, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(x >> 8 * i & 0xff), f);
}

/* ---- composing in memory ---- */

typedef void print_fn(FILE *f, const needle_opts *o, const needle_model *m);

/* What 'print' writes, in a buffer the caller frees; NULL when out of memory. */
static char *compose(print_fn *print, const needle_opts *o, const needle_model *m, size_t *n)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    if (!f)
        return NULL;
    print(f, o, m);
    bool bad = ferror(f);
    if (fclose(f) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}

/* The header's length comes first, so it is filled in when the header is known. */
static void print_safetensors(FILE *f, const needle_opts *o, const needle_model *m)
{
    put_little(f, 0, 8);
    print_header(f, o, m);
    long end = ftell(f);
    rewind(f);
    put_little(f, (uint64_t)end - 8, 8);
    fseek(f, end, SEEK_SET);
    for (int i = 0; i < m->n_tensors; i++)
        for (long j = 0; j < needle_count(&m->tensor[i]); j++)
            put_little(f, m->tensor[i].bits[j], 2);
}

static const struct {
    const char *name;
    print_fn *print;
} FILES[] = {
    { "config.json", print_config },
    { "tokenizer.json", print_tokenizer },
    { "model.safetensors", print_safetensors },
};

static int write_files(const char *dir, const needle_opts *o, const needle_model *m,
                       needle_error *e)
{
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        size_t n;
        char *data = compose(FILES[i].print, o, m, &n);
        if (!data)
            return needle_fail(e, "%s: out of memory", FILES[i].name);
        int rc = write_file(dir, FILES[i].name, data, n, e);
        free(data);
        if (rc < 0)
            return -1;
    }
    return 0;
}

int needle_write(const char *dir, const needle_opts *o, needle_error *e)
{
    needle_model m;
    int rc = needle_build(o, &m, e);
    if (rc == 0 && mkdir(dir, 0777) < 0 && errno != EEXIST)
        rc = needle_fail(e, "%s: %s", dir, strerror(errno));
    if (rc == 0)
        rc = write_files(dir, o, &m, e);
    needle_free(&m);
    return rc;
}
