/*
** test_spec.c - good specs give the published sizes, wrong ones their message.
**
** Run from the source folder, or compile with -DHI_SOURCE_DIR="\"...\"". Every file of
** tests/bad-specs carries the message that it must cause in its first line.
*/
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sizes.h"

#ifndef HI_SOURCE_DIR
#define HI_SOURCE_DIR "."
#endif

static hi_spec load(const char *file)
{
    char path[512];
    hi_error e = { 0 };
    hi_spec s;

    snprintf(path, sizeof path, "%s/%s", HI_SOURCE_DIR, file);
    if (spec_load(path, &s, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

/* ---- good specs ---- */

typedef struct expected {
    const char *file, *name;
    int layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    int64_t ctx, params, kv_token; /* KV bytes per token in 16 bits */
} expected;

/* Parameters and KV bytes: published counts where there is a published model. */
static const expected GOOD[] = {
    { "specs/llama3_8b.lua", "llama3_8b", 32, 4096, 32, 8, 128, 14336, 128256, 8192, 8030261248,
      131072 },
    { "specs/llama3_2_1b.lua", "llama3_2_1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 1235814400,
      32768 },
    { "specs/llama3_70b.lua", "llama3_70b", 80, 8192, 64, 8, 128, 28672, 128256, 8192, 70553706496,
      327680 },
    { "specs/llama2_7b.lua", "llama2_7b", 32, 4096, 32, 32, 128, 11008, 32000, 4096, 6738415616,
      524288 },
    { "specs/needle.lua", "needle", 2, 128, 16, 4, 64, 16, 256, 1048576, 733824, 2048 },
    { "tests/specs/toy_gqa.lua", "toy_gqa", 3, 64, 8, 2, 16, 96, 320, 8192, 158144, 384 },
    { "tests/specs/toy_mha.lua", "toy_mha", 2, 64, 4, 4, 16, 80, 257, 8192, 81216, 512 },
};

enum {
    N_GOOD = sizeof GOOD / sizeof *GOOD
};

static void test_good(void **state)
{
    (void)state;
    for (int i = 0; i < N_GOOD; i++) {
        const expected *x = &GOOD[i];
        hi_spec s = load(x->file);
        assert_string_equal(s.name, x->name);
        assert_string_equal(s.family, "llama");
        assert_int_equal(s.layers, x->layers);
        assert_int_equal(s.hidden, x->hidden);
        assert_int_equal(s.heads, x->heads);
        assert_int_equal(s.kv_heads, x->kv_heads);
        assert_int_equal(s.head_dim, x->head_dim);
        assert_int_equal(s.ffn, x->ffn);
        assert_int_equal(s.vocab, x->vocab);
        assert_int_equal(s.ctx, x->ctx);
        assert_true(s.norm_eps == 1e-5);
        assert_int_equal(param_count(&s), x->params);
        assert_int_equal(kv_token_bytes(&s, 2), x->kv_token);
        assert_int_equal(kv_token_bytes(&s, 4), 2 * x->kv_token);
        assert_int_equal(s.n_parts, N_PARTS);
        for (int p = 0; p < N_PARTS; p++)
            assert_int_equal(s.part[p], p);
    }
}

static void test_llama3_8b(void **state)
{
    hi_spec s = load("specs/llama3_8b.lua");

    (void)state;
    assert_int_equal(s.rope.kind, ROPE_DEFAULT);
    assert_true(s.rope.theta == 500000);
    assert_int_equal(s.act, ACT_SILU);
    assert_false(s.tied || s.qkv_bias || s.o_bias || s.mlp_bias);
    assert_int_equal(s.bos, 128000);
    assert_int_equal(s.n_eos, 2);
    assert_int_equal(s.eos[0], 128001);
    assert_int_equal(s.eos[1], 128009);
    assert_string_equal(s.tensor[T_LM_HEAD], "lm_head.weight");
    assert_string_equal(s.tensor[T_EMBED], "model.embed_tokens.weight");
    assert_string_equal(s.tensor[T_MLP_NORM], "model.layers.%d.post_attention_layernorm.weight");
    for (int i = T_Q_BIAS; i < N_TENSORS; i++)
        assert_string_equal(s.tensor[i], "");
}

static void test_llama3_rope(void **state)
{
    hi_spec s = load("specs/llama3_2_1b.lua");

    (void)state;
    assert_int_equal(s.rope.kind, ROPE_LLAMA3);
    assert_true(s.rope.theta == 500000 && s.rope.factor == 32);
    assert_true(s.rope.low_freq == 1 && s.rope.high_freq == 4 && s.rope.orig_ctx == 8192);
    assert_true(s.tied);
    assert_string_equal(s.tensor[T_LM_HEAD], "");
    assert_int_equal(s.n_eos, 3);
    assert_int_equal(s.eos[2], 128009);
}

static void test_needle(void **state)
{
    hi_spec s = load("specs/needle.lua");

    (void)state;
    assert_true(s.rope.theta == 1e16);
    assert_int_equal(s.bos, 0);
    assert_int_equal(s.n_eos, 1);
    assert_int_equal(s.eos[0], 0);
}

static void test_toys(void **state)
{
    hi_spec mha = load("tests/specs/toy_mha.lua");
    hi_spec gqa = load("tests/specs/toy_gqa.lua");

    (void)state;
    assert_true(mha.tied && mha.qkv_bias && mha.o_bias && mha.mlp_bias);
    assert_int_equal(mha.act, ACT_GELU_TANH);
    assert_string_equal(mha.tensor[T_DOWN_BIAS], "model.layers.%d.mlp.down_proj.bias");
    assert_int_equal(gqa.bos, -1);
    assert_int_equal(gqa.n_eos, 0);
    assert_true(gqa.rope.theta == 10000);
}

/* ---- the layout of the weights ---- */

/* Where a part begins when once, layers and embedding stand one after the other. */
static int64_t part_begin(const hi_spec *s, hi_format f, bool host, const weight_slot *w)
{
    int64_t once = once_bytes(s, f, host), layer = layer_weight_bytes(s, f);

    switch (w->part) {
    case PART_ONCE:
        return 0;
    case PART_LAYER:
        return once + w->layer * layer;
    default:
        return once + s->layers * layer;
    }
}

static void check_layout(const hi_spec *s, hi_format f, bool host)
{
    int64_t n = weight_layout(s, f, host, NULL);
    int64_t end = 0, params = 0;
    weight_slot *slot = calloc((size_t)n, sizeof *slot);

    assert_non_null(slot);
    assert_int_equal(weight_layout(s, f, host, slot), n);
    assert_int_equal(slot[0].part, host ? PART_EMBED : PART_ONCE);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = part_begin(s, f, host, &slot[i]) + slot[i].offset;
        if (slot[i].part != PART_EMBED) {
            assert_true(at >= end && at < end + BUF_ALIGN);   /* no hole but the alignment */
            assert_int_equal(at % WEIGHT_ALIGN, 0);
            end = at + slot[i].bytes;
        }
        hi_format own = { f.elt, slot[i].layer < 0 ? head_type(f.type) : f.type };
        assert_int_equal(slot[i].bytes % f.elt, 0);
        if (slot[i].kind == W_PACKED)
            assert_int_equal(slot[i].bytes, matrix_bytes(slot[i].rows, slot[i].cols, own));
        else
            assert_int_equal(slot[i].bytes, slot[i].rows * slot[i].cols * f.elt);
        params += slot[i].rows * slot[i].cols;
    }
    assert_int_equal(round_up(end, BUF_ALIGN),
                     once_bytes(s, f, host) + s->layers * layer_weight_bytes(s, f));
    if (host)
        assert_int_equal(slot[0].bytes, embed_bytes(s, f.elt));
    else
        assert_int_equal(round_up(end, BUF_ALIGN), weight_bytes(s, f));
    assert_int_equal(params, param_count(s));
    assert_int_equal(slot[0].role, T_EMBED);
    assert_int_equal(slot[n - 1].layer, s->layers - 1);
    free(slot);
}

static void test_layout(void **state)
{
    (void)state;
    for (int i = 0; i < N_GOOD; i++) {
        hi_spec s = load(GOOD[i].file);
        for (int host = 0; host <= !s.tied; host++)
            for (int type = 0; type < N_WEIGHTS_TYPES; type++) {
                check_layout(&s, (hi_format){ 2, (hi_weights_type)type }, host);
                check_layout(&s, (hi_format){ 4, (hi_weights_type)type }, host);
            }
    }
}

/* The order and kinds of a tied spec with all biases and of an untied one without. */
static void test_layout_order(void **state)
{
    static const hi_tensor_role MHA[] = { T_EMBED,  T_FINAL_NORM, T_ATTN_NORM, T_Q,
                                          T_Q_BIAS, T_O,          T_O_BIAS,    T_MLP_NORM,
                                          T_GATE,   T_GATE_BIAS,  T_DOWN,      T_DOWN_BIAS };
    static const hi_tensor_role GQA[] = { T_EMBED, T_LM_HEAD,  T_FINAL_NORM, T_ATTN_NORM, T_Q,
                                          T_O,     T_MLP_NORM, T_GATE,       T_DOWN };
    hi_spec mha = load("tests/specs/toy_mha.lua"), gqa = load("tests/specs/toy_gqa.lua");
    weight_slot slot[64];

    (void)state;
    assert_int_equal(weight_layout(&mha, (hi_format){ .elt = 2 }, false, slot), 2 + 2 * 10);
    for (size_t i = 0; i < sizeof MHA / sizeof *MHA; i++)
        assert_int_equal(slot[i].role, MHA[i]);
    assert_int_equal(slot[0].kind, W_PACKED);
    assert_int_equal(slot[0].bytes, 5 * PANEL * 64 * 2); /* 257 rows: five panels */
    assert_int_equal(slot[1].layer, -1);
    assert_int_equal(slot[3].rows, 3 * 64);
    assert_int_equal(slot[8].rows, 2 * 80);
    assert_int_equal(weight_layout(&gqa, (hi_format){ .elt = 2 }, false, slot), 3 + 3 * 6);
    for (size_t i = 0; i < sizeof GQA / sizeof *GQA; i++)
        assert_int_equal(slot[i].role, GQA[i]);
    assert_int_equal(slot[0].kind, W_ROWS);
    assert_int_equal(slot[1].kind, W_PACKED);
    assert_int_equal(slot[4].rows, (8 + 2 * 2) * 16);
    assert_int_equal(slot[3].offset, 0);
    assert_int_equal(slot[3].part, PART_LAYER);
}

static void test_arithmetic(void **state)
{
    hi_spec s = load("specs/llama3_8b.lua");

    (void)state;
    assert_int_equal(elt_bytes(NUM_BF16), 2);
    assert_int_equal(elt_bytes(NUM_F32), 4);
    assert_int_equal(round_up(0, 64), 0);
    assert_int_equal(round_up(1, 64), 64);
    assert_int_equal(round_up(64, 64), 64);
    assert_int_equal(matrix_bytes(65, 10, (hi_format){ .elt = 2 }), 128 * 10 * 2);
    assert_int_equal(matrix_bytes(65, 34, (hi_format){ 2, WEIGHTS_Q8 }), 128 * 2 * (32 + 2));
    assert_int_equal(matrix_bytes(65, 32, (hi_format){ 4, WEIGHTS_Q4 }), 128 * (16 + 2));
    assert_true(weight_size((hi_format){ 4, WEIGHTS_STORED }) == 4);
    assert_true(weight_size((hi_format){ 2, WEIGHTS_Q8 }) == 34. / 32);
    assert_true(weight_size((hi_format){ 4, WEIGHTS_Q4 }) == 18. / 32);
    assert_int_equal(head_type(WEIGHTS_STORED), WEIGHTS_STORED);
    assert_int_equal(head_type(WEIGHTS_Q8), WEIGHTS_Q8);
    assert_int_equal(head_type(WEIGHTS_Q4), WEIGHTS_Q8);
    assert_int_equal(kv_row_bytes(&s, 2), 512);
}

/* ---- wrong specs ---- */

/* The message without the folder's name. */
static void shorten(char *out, const char *message, const char *dir)
{
    size_t n = strlen(dir);

    while (*message != '\0') {
        if (strncmp(message, dir, n) == 0)
            message += n;
        *out++ = *message++;
    }
    *out = '\0';
}

static void check_bad(const char *dir, const char *file)
{
    static const char MARK[] = "-- expect: ";
    char path[600], line[1200], got[1200], own[300];
    hi_error e = { 0 };
    hi_spec s, before;
    const char *text = got;
    FILE *f;

    snprintf(path, sizeof path, "%s%s", dir, file);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, MARK, sizeof MARK - 1) != 0)
        fail_msg("%s: no '%s' in its first line", path, MARK);
    memset(&before, 0x5a, sizeof before);
    s = before;
    if (spec_load(path, &s, &e) != -1)
        fail_msg("%s: was accepted", path);
    assert_memory_equal(&s, &before, sizeof s); /* filled on success only */
    shorten(got, e.text, dir);
    snprintf(own, sizeof own, "%s: ", file);
    if (strncmp(got, own, strlen(own)) == 0)
        text += strlen(own);
    if (strcmp(text, line + sizeof MARK - 1) != 0)
        fail_msg("%s:\n  says    %s\n  expects %s", path, text, line + sizeof MARK - 1);
}

static void test_bad(void **state)
{
    static const char DIR_NAME[] = HI_SOURCE_DIR "/tests/bad-specs/";
    struct dirent *d;
    int n = 0;
    DIR *dir = opendir(DIR_NAME);

    (void)state;
    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL) {
        size_t len = strlen(d->d_name);
        if (len < 4 || strcmp(d->d_name + len - 4, ".lua") != 0)
            continue;
        check_bad(DIR_NAME, d->d_name);
        n++;
    }
    closedir(dir);
    assert_true(n >= 100);
}

/* ---- files that are none ---- */

static void expect_path(const char *path, const char *want)
{
    hi_error e = { 0 };
    hi_spec s;

    assert_int_equal(spec_load(path, &s, &e), -1);
    if (strstr(e.text, want) == NULL)
        fail_msg("says '%s', without '%s'", e.text, want);
}

static void write_bytes(const char *path, const char *start, size_t fill)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(start, f);
    for (size_t i = strlen(start); i < fill; i++)
        fputc(' ', f);
    assert_int_equal(fclose(f), 0);
}

static void test_paths(void **state)
{
    char dir[] = "/tmp/hi_specXXXXXX", path[300], longer[300];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.lua", dir);
    expect_path(path, "/a.lua: cannot be opened: No such file or directory");
    assert_int_equal(mkdir(path, 0700), 0);
    expect_path(path, "/a.lua: not a regular file; give the path of a .lua file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_path(path, "/a.lua: not a regular file");
    assert_int_equal(unlink(path), 0);
    write_bytes(path, "return { }", 1 << 20);
    expect_path(path, "/a.lua: family: missing; must be a name of a-z, 0-9 and _ in quotes");
    write_bytes(path, "return { }", (1 << 20) + 1);
    expect_path(path, "/a.lua: has 1048577 bytes; at most 1 MiB is read");
    write_bytes(path, "", 0);
    expect_path(path, "/a.lua: returns a nil; it must end in: return { ... }");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    memset(longer, 'a', sizeof longer);
    strcpy(longer + 252, ".lua");
    expect_path(longer, ": path of 256 characters; at most 255");
    expect_path("a.txt", "a.txt: a spec's file is called <name>.lua");
    expect_path(".lua", ".lua: a spec's file is called <name>.lua");
    expect_path("", ": a spec's file is called <name>.lua");
}

/* The first message of a call stays. */
static void test_first_error(void **state)
{
    hi_error e = { 0 };

    (void)state;
    assert_int_equal(gen_fail(&e, "first %d", 1), -1);
    assert_int_equal(gen_fail(&e, "second"), -1);
    assert_string_equal(e.text, "first 1");
    assert_int_equal(gen_fail(NULL, "nobody reads it"), -1);
}

static void test_arena(void **state)
{
    hi_arena *a = arena_new();
    char *s;

    (void)state;
    assert_non_null(a);
    for (size_t n = 0; n < 200000; n = n * 2 + 1) {
        unsigned char *p = arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    s = arena_strdup(a, "text");
    assert_string_equal(s, "text");
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX - 40));
    arena_free(a);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_llama3_8b),
        cmocka_unit_test(test_llama3_rope),  cmocka_unit_test(test_needle),
        cmocka_unit_test(test_toys),         cmocka_unit_test(test_layout),
        cmocka_unit_test(test_layout_order), cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_paths),
        cmocka_unit_test(test_first_error),  cmocka_unit_test(test_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
