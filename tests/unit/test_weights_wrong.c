/*
** test_weights_wrong.c - checkpoints that do not fit, or are damaged: what is said of them.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "small_model.h"

static void wrong_indices(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "{}", "model.safetensors.index.json: weight_map: must be an object of file names" },
        { "[]", "model.safetensors.index.json: weight_map: must be an object of file names" },
        { INDEX("\"x\":\"../a\",\"y\":\"b/c\",\"z\":3,\"w\":\"\",\"v\":\"..\",\"u\":\".\""),
          "model.safetensors.index.json: x: must name a file of this folder\n"
          "model.safetensors.index.json: y: must name a file of this folder\n"
          "model.safetensors.index.json: z: must name a file of this folder\n"
          "model.safetensors.index.json: w: must name a file of this folder\n"
          "model.safetensors.index.json: v: must name a file of this folder\n"
          "model.safetensors.index.json: u: must name a file of this folder" },
        { INDEX(MAP ",\"more\":\"b.safetensors\",\"rotary_emb.inv_freq\":\"a.safetensors\""),
          "model.safetensors.index.json: more: not in b.safetensors, where the index has it\n"
          "model.safetensors.index.json: rotary_emb.inv_freq: not in a.safetensors, where the "
          "index has it\n"
          "b.safetensors: rotary_emb.inv_freq: also in a.safetensors: which one is meant?" },
        { INDEX("\"norm.weight\":\"a.safetensors\",\"down\":\"b.safetensors\""),
          "model.safetensors.index.json: embed: missing\n"
          "model.safetensors.index.json: q.bias: missing" },
        { INDEX(""), "model.safetensors.index.json: embed: missing\n"
                     "model.safetensors.index.json: norm.weight: missing\n"
                     "model.safetensors.index.json: down: missing\n"
                     "model.safetensors.index.json: q.bias: missing" },
    };
    write_shards();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_text("model.safetensors.index.json", rows[i].text);
        refuse(rows[i].message);
    }
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":[[[]]]}}");
    refuse_file("model.safetensors.index.json: nested 5 deep: at most 4");
    write_text("model.safetensors.index.json", "{\n\"weight_map\":");
    refuse_file("model.safetensors.index.json:2: not JSON: unexpected token near end of file");
    write_text("model.safetensors.index.json", INDEX("\"a\":\"x.bin\""));
    refuse_file("x.bin: No such file or directory");
}

static void non_finite_weights(void **state)
{
    (void)state;
    static const uint16_t b[] = { 0x3f80, 0x3f80, 0x7f80 }, h[] = { 0, 0xfe00, 0x7c00 };
    static const uint32_t f[] = { 0x7f7fffff, 0x7fc00000, 0x7f800000 };
    static const float big[] = { 1, 1, 3.4e38f };
    received r = { 0 };
    write_bias("BF16", 2, b);
    for (int elt = 2; elt <= 4; elt += 2) {
        assert_int_equal(load(elt, false, &r), -1);
        assert_string_equal(err,
                            "model.safetensors: q.bias: element 2: non-finite weight: the file "
                            "is damaged, fetch it again");
    }
    write_bias("F16", 2, h);
    assert_int_equal(load(4, false, &r), -1);
    assert_non_null(strstr(err, ": q.bias: element 1: non-finite weight"));
    write_bias("F32", 4, f);
    assert_int_equal(load(4, false, &r), -1);
    assert_non_null(strstr(err, ": q.bias: element 1: non-finite weight"));
    write_bias("F32", 4, big);
    assert_int_equal(load(2, true, &r), -1);
    assert_string_equal(err, "model.safetensors: q.bias: element 2: too large for BF16: generate "
                             "with --numerics f32");
    must_load(4, false, &r);
}

/* ---- what is wrong, all of it ---- */

static void write_wrong(void)
{
    stored s[8];
    clean();
    all_good(s);
    s[1].rows = 8, s[1].cols = 6;                      /* down */
    s[2].cols = 0, s[2].rows = 24, s[2].dtype = "F16"; /* embed */
    s[3].dtype = "I16";                                /* norm.weight */
    write_tensors("model.safetensors", s + 1, 3);      /* no bias */
}

#define PROBLEMS                                                                            \
    "model.safetensors: embed: shape = [24]: the program needs [4, 6]\n"                    \
    "model.safetensors: embed: dtype = F16: the program computes in BF16; --round-weights " \
    "accepts it, rounded: not exact; or generate with --numerics f32\n"                     \
    "model.safetensors: norm.weight: dtype = I16: only BF16, F16 and F32 are read\n"        \
    "model.safetensors: down: shape = [8, 6]: the program needs [6, 8]\n"                   \
    "model.safetensors: q.bias: missing"

static void all_problems_at_once(void **state)
{
    (void)state;
    write_wrong();
    refuse(PROBLEMS);
}

/* Whatever fits, and the number of lines that do not. */
static void problems_in_little_room(void **state)
{
    (void)state;
    hi_model m = model(2);
    received r = { .elt = 2 };
    write_wrong();
    char *b = malloc(4096);
    for (size_t n = 0; n < 700; n++) {
        memset(b, '#', 4096);
        assert_int_equal(weights_load(&m, folder, false, NULL, receive, &r, b, n), -1);
        assert_int_equal(b[n], '#');
        if (n == 0)
            continue;
        assert_true(strlen(b) < n);
        const char *more = strstr(b, "\nand ");
        int lines = 1;
        for (const char *c = b; *c; c++)
            lines += *c == '\n';
        if (more)
            assert_int_equal(lines - 1 + atoi(more + 5), 5);
        else if (n > 100) /* one whole line at least */
            assert_string_equal(b, PROBLEMS);
    }
    free(b);
    assert_int_equal(r.calls, 0);
}

static void missing_files(void **state)
{
    (void)state;
    clean();
    refuse_file("model.safetensors: No such file or directory");
    hi_model m = model(2);
    int rc = weights_load(&m, "/no/such/folder", false, NULL, receive, NULL, err, sizeof err);
    assert_int_equal(rc, -1);
    assert_string_equal(err, "/no/such/folder/model.safetensors: No such file or directory");
    char name[5000];
    memset(name, 'x', sizeof name);
    name[4999] = '\0';
    assert_int_equal(weights_load(&m, name, false, NULL, receive, NULL, err, sizeof err), -1);
    assert_non_null(strstr(err, "path too long"));
}

static void receiver_refuses(void **state)
{
    (void)state;
    stored s[8];
    received r = { .stop_at = 2 };
    clean();
    write_tensors("model.safetensors", s, all_good(s));
    assert_int_equal(load(2, false, &r), -1);
    assert_string_equal(err, "model.safetensors: down: refused by the receiver");
    assert_int_equal(r.calls, 2);
    hi_model m = model(2);
    r = (received){ .elt = 2, .stop_at = 3 };
    assert_int_equal(weights_load(&m, "random:1", false, NULL, receive, &r, err, sizeof err), -1);
    assert_string_equal(err, "random weights: down: refused by the receiver");
    assert_int_equal(r.calls, 3);
}

/* An index may name 10,000 files. They are missing here, which is found out after. */
static void shard_limit(void **state)
{
    (void)state;
    char *text = malloc(400000);
    clean();
    for (int n = 9999; n <= 10001; n++) {
        char *at = text + sprintf(text, "{\"weight_map\":{");
        for (int i = 0; i < n; i++)
            at += sprintf(at, "%s\"t%d\":\"s%d\"", i > 0 ? "," : "", i, i);
        strcpy(at, "}}");
        write_text("model.safetensors.index.json", text);
        received r = { 0 };
        assert_int_equal(load(2, false, &r), -1);
        if (n > 10000)
            assert_string_equal(err, "model.safetensors.index.json: 10001 shards: at most 10000");
        else
            assert_non_null(strstr(err, "/s0: No such file or directory\n"));
    }
    free(text);
}

/* ---- config.json ---- */

#define FROM(n) ": the program was generated for " n "; generate it from a matching spec"

/* clang-format off */
static const struct {
    const char *config, *message; /* "": loads */
} CONFIG[] = {
    { "{}", "" },
    { "{\"hidden_size\":6,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
      "\"num_key_value_heads\":1,\"head_dim\":null,\"intermediate_size\":8.0,\"vocab_size\":4,"
      "\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":true,\"quantization_config\":null,"
      "\"rope_theta\":7,\"x\":[[[[[[{}]]]]]]}",
      "" },
    { "{\"hidden_size\":4096}", "config.json: hidden_size = 4096" FROM("6") },
    { "{\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
      "\"intermediate_size\":9,\"rms_norm_eps\":1e-6}",
      "config.json: hidden_size = 8" FROM("6") "\n"
      "config.json: num_hidden_layers = 2" FROM("1") "\n"
      "config.json: num_attention_heads = 4" FROM("2") "\n"
      "config.json: num_key_value_heads = 4 (absent: from other fields)" FROM("1") "\n"
      "config.json: head_dim = 2 (absent: from other fields)" FROM("3") "\n"
      "config.json: intermediate_size = 9" FROM("8") "\n"
      "config.json: rms_norm_eps = 1e-06" FROM("9.99999975e-06") },
    { "{\"rope_theta\":10000000}", "config.json: rope_theta = 10000000" FROM("7") },
    { "{\"rope_parameters\":{\"rope_theta\":7.5}}", "config.json: rope_theta = 7.5" FROM("7") },
    { "{\"rope_parameters\":{\"rope_theta\":7.0,\"rope_type\":\"default\"}}", "" },
    { "{\"rope_theta\":\"7\"}", "config.json: rope_theta: must be a number" },
    { "{\"vocab_size\":5}", "" }, /* the rows of the embedding count */
    { "{\"tie_word_embeddings\":false}", "config.json: tie_word_embeddings = false" FROM("true") },
    { "{\"head_dim\":128,\"num_key_value_heads\":2}",
      "config.json: num_key_value_heads = 2" FROM("1") "\n"
      "config.json: head_dim = 128" FROM("3") },
    { "{\"hidden_size\":6,\"num_attention_heads\":0,\"num_key_value_heads\":1}",
      "config.json: num_attention_heads = 0" FROM("2") },
    { "{\"hidden_size\":\"6\",\"rms_norm_eps\":null,"
      "\"tie_word_embeddings\":1}",
      "config.json: hidden_size: must be a whole number\n"
      "config.json: rms_norm_eps: must be a number\n"
      "config.json: tie_word_embeddings: must be true or false" },
    { "{\"hidden_size\":1e300}", "config.json: hidden_size = 1e+300" FROM("6") },
    { "{\"quantization_config\":{\"bits\":4}}",
      "config.json: quantization_config: quantised checkpoints are not read; give the one with "
      "bf16 weights" },
    { "[]", "config.json: must be an object" },
};
/* clang-format on */

static void configs(void **state)
{
    (void)state;
    stored s[8];
    received r = { 0 };
    clean();
    write_tensors("model.safetensors", s, all_good(s));
    for (size_t i = 0; i < sizeof CONFIG / sizeof *CONFIG; i++) {
        write_text("config.json", CONFIG[i].config);
        if (CONFIG[i].message[0])
            refuse(CONFIG[i].message);
        else
            must_load(2, false, &r);
    }
    write_text("config.json", "{\"tie_word_embeddings\":false}");
    write_tensors("model.safetensors", s, 4); /* no head that could be meant */
    must_load(2, false, &r);
    write_text("config.json", "{");
    refuse_file("config.json:1: not JSON: string or '}' expected near end of file");
    char path[256];
    path_of(path, "config.json");
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    refuse_file("config.json: 1048577 bytes: at most 1048576");
    assert_int_equal(truncate(path, 1 << 20), 0); /* zeros */
    refuse_file("config.json:1: not JSON: string or '}' expected near end of file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_indices),        cmocka_unit_test(non_finite_weights),
        cmocka_unit_test(all_problems_at_once), cmocka_unit_test(problems_in_little_room),
        cmocka_unit_test(missing_files),        cmocka_unit_test(receiver_refuses),
        cmocka_unit_test(shard_limit),          cmocka_unit_test(configs),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
