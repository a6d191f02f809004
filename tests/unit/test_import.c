/*
** test_import.c - 'hi-gen import' on folders made here: what it reads, refuses and says.
**
** Folders hold a config.json and safetensors files whose elements are a hole.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "hf_folder.h"
#include "import.h"
#include "sandbox.h"

static const published TOY = { "toy", "org/Toy", "llama", 2,    64,    4,         2, 16, 96,
                               256,   10000,     1e-5,    1024, false, "default", 0, 0,  { 0 },
                               0,     0,         0,       0,    1,     { 2 },     0, 0,  0 };

static char root[] = "/tmp/test_import.XXXXXX";
static hf_model got;
static text notes, lua;
static hi_error e;

/* ---- one import ---- */

/* An empty folder of a name, in the test's. */
static void make_folder(const char *name)
{
    char command[1024];

    snprintf(hf_folder, sizeof hf_folder, "%s/%s", root, name);
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", hf_folder, hf_folder);
    assert_int_equal(system(command), 0);
}

/* A folder as it should be, without anything but config.json and weights. */
static void make_toy(const published *m)
{
    st_writer w = writer_of(m);

    make_folder("toy");
    put_json("config.json", config_old(m));
    put_model(m, &w);
}

static int import(const char *arg, const char *name)
{
    text_free(&notes);
    text_free(&lua);
    e.text[0] = '\0';
    memset(&got, 0, sizeof got);
    if (import_folder(arg, name, &got, &e) != 0 || import_config(&got, &notes, &e) != 0 ||
        import_tensors(&got, &notes, &e) != 0 || import_texts(&got, &notes, &e) != 0)
        return -1;
    text_printf(&notes, "%s", "");
    import_write(&got, &lua);
    return 0;
}

static void good(void)
{
    if (import(hf_folder, NULL) != 0)
        fail_msg("%s", e.text);
}

/* Refused, with these words, and soon. */
static void refuse(const char *words)
{
    struct timespec from, to;

    clock_gettime(CLOCK_MONOTONIC, &from);
    if (import(hf_folder, NULL) == 0)
        fail_msg("accepted, where this should be said: %s", words);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (strstr(e.text, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, e.text);
    assert_true((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec) < 1);
}

static void note(const char *words)
{
    good();
    if (strstr(notes.data, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, notes.data);
}

static void no_note(const char *words)
{
    good();
    if (strstr(notes.data, words) != NULL)
        fail_msg("'%s' is in '%s'", words, notes.data);
}

static void has_line(const char *words)
{
    good();
    if (strstr(lua.data, words) == NULL)
        fail_msg("'%s' is not in:\n%s", words, lua.data);
}

/* The toy's config.json with a field of this JSON text; "" takes it away. */
static void with(const char *field, const char *value)
{
    json_t *o = config_old(&TOY);

    if (value[0] == '\0')
        json_object_del(o, field);
    else
        json_object_set_new(o, field, json_loads(value, JSON_DECODE_ANY, NULL));
    put_json("config.json", o);
}

static void refuse_with(const char *field, const char *value, const char *words)
{
    with(field, value);
    refuse(words);
}

static void line_with(const char *field, const char *value, const char *words)
{
    with(field, value);
    has_line(words);
}

/* ---- published models ---- */

/* The other ids that end an answer are in generation_config.json. */
static void put_generation(const published *m)
{
    json_t *list = json_array(), *o = json_object();

    for (int i = 0; i < 4 && m->eos[i] != 0; i++)
        json_array_append_new(list, json_integer(m->eos[i]));
    json_object_set_new(o, "eos_token_id", list);
    put_json("generation_config.json", o);
}

static void load_flat(hi_arena *a, const char *what, const char *source, size_t len, flat *out)
{
    if (source == NULL || sandbox_run(a, what, source, len, &SANDBOX_LIMITS, out, &e) != 0)
        fail_msg("%s", e.text);
}

static void compare_entry(const published *m, const flat_entry *x, const flat_entry *y)
{
    bool same = strcmp(x->path, y->path) == 0 && x->type == y->type;

    if (same && x->type == FLAT_TEXT)
        same = strcmp(x->s, y->s) == 0;
    else if (same && x->type == FLAT_FLOAT)
        same = fabs(x->f - y->f) <= 1e-15 * fabs(y->f);
    else if (same && x->type != FLAT_TABLE)
        same = x->i == y->i;
    if (!same)
        fail_msg("%s: %s is not as in specs/", m->name, x->path);
}

/* The imported text says what specs/ has, field by field. */
static void compare_spec(const published *m)
{
    hi_arena *a = arena_new();
    flat mine, theirs;
    char path[128];
    size_t len;

    snprintf(path, sizeof path, "specs/%s.lua", m->name);
    load_flat(a, "imported", lua.data, lua.len, &mine);
    const char *source = sandbox_read(a, path, &len, &e);
    load_flat(a, path, source, len, &theirs);
    for (int i = 0; i < mine.n && i < theirs.n; i++)
        compare_entry(m, &mine.entry[i], &theirs.entry[i]);
    assert_int_equal(mine.n, theirs.n);
    arena_free(a);
}

static void test_published(void **state)
{
    (void)state;
    for (int i = 0; i < N_PUBLISHED; i++) {
        const published *m = &PUBLISHED[i];
        st_writer w = writer_of(m);
        hi_spec s;
        make_folder(m->name);
        put_model(m, &w);
        put_generation(m);
        put_json("config.json", config_old(m));
        good();
        assert_string_equal(got.name, m->name);
        compare_spec(m);
        if (spec_load_text("x.lua", lua.data, lua.len, &s, &e) != 0 || param_count(&s) != m->params)
            fail_msg("%s: %s", m->name, e.text);
        char *old = strdup(lua.data);
        put_json("config.json", config_new(m));
        good();
        assert_string_equal(lua.data, old);
        free(old);
    }
}

/* Nothing of a spec tells where its folder lies. */
static void test_no_path_in_spec(void **state)
{
    (void)state;
    make_toy(&TOY);
    good();
    assert_null(strstr(lua.data, root));
    assert_non_null(strstr(lua.data, "-- toy, by hi-gen import."));
}

/* ---- spellings ---- */

static void test_spellings(void **state)
{
    (void)state;
    make_toy(&TOY);
    line_with("head_dim", "null", "head_dim = 16,");
    line_with("rope_theta", "5e5", "rope = { kind = \"default\", theta = 500000 }");
    line_with("rope_theta", "12345.5", "theta = 12345.5 }");
    line_with("rope_theta", "1e16", "theta = 1e16 }");
    line_with("rms_norm_eps", "1e-06", "norm_eps = 1e-6,");
    line_with("max_position_embeddings", "2048.0", "ctx = 2048,");
    line_with("eos_token_id", "[7, 8, 7]", "eos = { 7, 8 },");
    line_with("sliding_window", "null", "eos = 2,");
    line_with("model_type", "null", "family = \"llama\",");
    line_with("architectures", "null", "family = \"llama\",");
    line_with("rope_scaling", "{\"rope_type\": \"default\"}", "kind = \"default\"");
    line_with("rope_scaling", "{\"type\": \"linear\", \"factor\": 4.0}",
              "kind = \"linear\",\n        theta = 10000,\n        factor = 4,\n    },");
    line_with("rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}",
              "factor = 2,\n        orig_ctx = 1024,\n    },");
    line_with("rope_scaling",
              "{\"rope_type\": \"yarn\", \"factor\": 4.0, "
              "\"original_max_position_embeddings\": 256}",
              "factor = 4,\n        orig_ctx = 256,\n        beta_fast = 32,\n"
              "        beta_slow = 1,\n        attn_factor = 1.138629436111989,\n    },");
    line_with("rope_scaling",
              "{\"type\": \"yarn\", \"rope_type\": \"yarn\", \"factor\": 4, \"beta_fast\": 16, "
              "\"attention_factor\": 1.5}",
              "orig_ctx = 1024,\n        beta_fast = 16,\n        beta_slow = 1,\n"
              "        attn_factor = 1.5,");
    line_with("an_unknown_field", "{\"of\": [\"any\", {\"depth\": 1}]}", "layers = 2,");
}

static const char LONGROPE[] = "\"long_factor\": [1, 2, 3, 4, 5, 6, 7, 8.5], "
                               "\"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1]";

static void test_longrope(void **state)
{
    char scaling[256];

    (void)state;
    make_toy(&TOY);
    snprintf(scaling, sizeof scaling,
             "{\"type\": \"su\", %s, \"original_max_position_embeddings\": 256}", LONGROPE);
    line_with("rope_scaling", scaling,
              "kind = \"longrope\",\n        theta = 10000,\n        orig_ctx = 256,\n"
              "        attn_factor = 1.118033988749895,\n        long = {\n"
              "            1, 2, 3, 4, 5, 6, 7, 8.5,\n        },\n        short = {");
    snprintf(scaling, sizeof scaling, "{\"type\": \"longrope\", %s, \"short_mscale\": 1.1}",
             LONGROPE);
    refuse_with("rope_scaling", scaling, "rope_scaling.short_mscale = 1.1: is not supported");
    refuse_with("rope_scaling", "{\"type\": \"su\", \"long_factor\": [1, 2]}",
                "rope_scaling.long_factor = [ ... ]: must be 8 numbers above 0");
    refuse_with("rope_scaling", "{\"type\": \"su\", \"long_factor\": [1,2,3,4,5,6,7,-8]}",
                "must be 8 numbers above 0");
}

/* rope_parameters for each kind of layer. */
static void test_nested_rope(void **state)
{
    (void)state;
    make_toy(&TOY);
    line_with("rope_parameters",
              "{\"full_attention\": {\"rope_type\": \"linear\", \"rope_theta\": 7.0, "
              "\"factor\": 2}, \"sliding_attention\": {\"rope_type\": \"linear\", "
              "\"rope_theta\": 7.0, \"factor\": 2}}",
              "kind = \"linear\",\n        theta = 7,\n        factor = 2,");
    refuse_with("rope_parameters",
                "{\"full_attention\": {\"rope_type\": \"default\", \"rope_theta\": 7.0}, "
                "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 8.0}}",
                "layers of two rotations are not supported");
    refuse_with("rope_parameters", "[]", "rope_parameters = [ ... ]: must be an object or null");
}

static void test_windows(void **state)
{
    published m = TOY;
    json_t *o;

    (void)state;
    m.layers = 6;
    m.family = "qwen2";
    make_toy(&m);
    o = config_old(&m);
    json_object_set_new(o, "use_sliding_window", json_true());
    set_whole(o, "max_window_layers", 4);
    set_whole(o, "sliding_window", 512);
    put_json("config.json", json_incref(o));
    has_line("window = { size = 512, first = 4, every = 1 },");
    json_object_set_new(o, "layer_types",
                        json_loads("[\"full_attention\", \"sliding_attention\", "
                                   "\"full_attention\", \"full_attention\", "
                                   "\"sliding_attention\", \"full_attention\"]",
                                   0, NULL));
    put_json("config.json", json_incref(o));
    has_line("window = { size = 512, first = 1, every = 3 },");
    json_array_set_new(json_object_get(o, "layer_types"), 5, json_string("sliding_attention"));
    put_json("config.json", json_incref(o));
    refuse("layer_types = [ ... ]: sliding layers must be evenly spaced");
    json_array_set_new(json_object_get(o, "layer_types"), 5, json_string("linear_attention"));
    put_json("config.json", json_incref(o));
    refuse("layer_types = [ ... ]: only \"full_attention\" and \"sliding_attention\"");
    json_object_del(o, "layer_types");
    json_object_del(o, "max_window_layers");
    put_json("config.json", o);
    refuse("config.json: max_window_layers: missing");
}

/* Where config.json says nothing of it; null says that there is none. */
static void test_usual_windows(void **state)
{
    static const struct {
        const char *family, *line;
    } CASE[] = {
        { "llama", "" },
        { "phi3", "" },
        { "mistral", "window = { size = 4096, first = 0, every = 1 }," },
        { "qwen2", "window = { size = 4096, first = 1, every = 1 }," },
        { "qwen3", "window = { size = 4096, first = 1, every = 1 }," },
        { "gemma2", "window = { size = 4096, first = 0, every = 2 }," },
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASE / sizeof *CASE; i++) {
        published m = TOY;
        m.layers = 4;
        m.family = CASE[i].family;
        make_toy(&m);
        json_t *o = config_old(&m);
        json_object_set_new(o, "use_sliding_window", json_true());
        set_whole(o, "max_window_layers", 1);
        set_whole(o, "head_dim", m.head_dim);
        json_object_del(o, "sliding_window");
        put_json("config.json", json_incref(o));
        good();
        assert_true((strstr(lua.data, "window = ") != NULL) == (CASE[i].line[0] != '\0'));
        assert_non_null(strstr(lua.data, CASE[i].line));
        json_object_set_new(o, "sliding_window", json_null());
        put_json("config.json", o);
        good();
        assert_null(strstr(lua.data, "window = "));
    }
}

/* ---- what is refused ---- */

static void test_refused_config(void **state)
{
    (void)state;
    make_toy(&TOY);
    refuse_with("quantization_config", "{\"bits\": 4}",
                "config.json: quantization_config = { ... }: quantised checkpoints");
    refuse_with("rope_scaling", "{\"type\": \"mrope\", \"factor\": 2}",
                "rope_scaling.type = \"mrope\": is not supported; \"default\", \"linear\"");
    refuse_with("rope_scaling", "{\"factor\": 2}", "rope_scaling.type: missing");
    refuse_with("rope_scaling", "{\"type\": \"linear\"}", "rope_scaling.factor: missing");
    refuse_with("rope_scaling", "{\"type\": \"linear\", \"factor\": 0}",
                "rope_scaling.factor = 0: must be a number above 0");
    refuse_with("rope_scaling", "{\"type\": \"yarn\", \"rope_type\": \"linear\", \"factor\": 2}",
                "rope_scaling.rope_type = \"linear\": contradicts type");
    refuse_with("rope_scaling", "{\"type\": \"yarn\", \"factor\": 2, \"mscale\": 1}",
                "rope_scaling.mscale = 1: is not supported");
    refuse_with("rope_scaling", "7", "rope_scaling = 7: must be an object or null");
    refuse_with("architectures", "[\"MixtralForCausalLM\"]",
                "architectures = \"MixtralForCausalLM\": is not supported; these are: "
                "LlamaForCausalLM, ");
    refuse_with("architectures", "[\"Qwen2ForCausalLM\"]",
                "architectures = \"Qwen2ForCausalLM\": contradicts model_type = \"llama\"");
    refuse_with("architectures", "[]", "architectures = [ ... ]: must be a list of one name");
    refuse_with("model_type", "\"gpt2\"",
                "model_type = \"gpt2\": is not supported; these are: llama, mistral, qwen2, ");
    refuse_with("hidden_act", "\"relu\"", "hidden_act = \"relu\": is not supported; \"silu\"");
    refuse_with("hidden_act", "", "hidden_act: missing");
    refuse_with("partial_rotary_factor", "0.5",
                "partial_rotary_factor = 0.5: heads that are rotated in part");
    refuse_with("num_local_experts", "8", "num_local_experts = 8: mixtures of experts");
    refuse_with("tie_word_embeddings", "\"no\"", "tie_word_embeddings = \"no\": must be true");
}

static void test_refused_bias(void **state)
{
    published m = TOY;
    json_t *o;

    (void)state;
    m.family = "gemma2";
    m.tied = true;
    m.score_scale = 16;
    make_toy(&m);
    o = config_old(&m);
    set_whole(o, "head_dim", 16);
    json_object_set_new(o, "attention_bias", json_true());
    put_json("config.json", json_incref(o));
    refuse("attention_bias = true: is supported for model_type llama and qwen3 only");
    json_object_set_new(o, "attention_bias", json_false());
    json_object_set_new(o, "mlp_bias", json_true());
    put_json("config.json", o);
    refuse("mlp_bias = true: is supported for model_type llama only");
    m = TOY;
    m.family = "qwen3";
    make_toy(&m);
    o = config_old(&m);
    set_whole(o, "head_dim", 16);
    json_object_set_new(o, "attention_bias", json_true());
    put_json("config.json", o);
    refuse("model.layers.0.self_attn.q_proj.bias: missing; the spec of family qwen3 needs it");
    make_toy(&TOY);
    refuse_with("attention_bias", "true",
                "model.layers.0.self_attn.q_proj.bias: missing; the spec of family llama needs it");
    refuse_with("mlp_bias", "1", "mlp_bias = 1: must be true or false");
}

static void test_refused_numbers(void **state)
{
    (void)state;
    make_toy(&TOY);
    refuse_with("hidden_size", "64.5",
                "config.json: hidden_size = 64.5: must be a whole number from 1 to 1073741824");
    refuse_with("hidden_size", "\"64\"", "hidden_size = \"64\": must be a whole number");
    refuse_with("hidden_size", "-64", "hidden_size = -64: must be a whole number");
    refuse_with("hidden_size", "9223372036854775807", "must be a whole number");
    refuse_with("hidden_size", "1e300", "must be a whole number");
    refuse_with("hidden_size", "", "config.json: hidden_size: missing; the spec needs it");
    refuse_with("hidden_size", "null", "config.json: hidden_size = null: the spec needs it");
    refuse_with("hidden_size", "66", "hidden_size = 66: must be a multiple");
    refuse_with("num_hidden_layers", "0", "num_hidden_layers = 0: must be a whole number from 1");
    refuse_with("num_key_value_heads", "5",
                "num_key_value_heads = 5: must be a whole number from "
                "1 to 4");
    refuse_with("rms_norm_eps", "0", "rms_norm_eps = 0: must be a number above 0");
    refuse_with("rms_norm_eps", "true", "rms_norm_eps = true: must be a number above 0");
    refuse_with("eos_token_id", "[1, 2, 3, 4, 5, 6, 7, 8, 9]", "list more than 8; keep 8");
    refuse_with("eos_token_id", "1.5", "eos_token_id = 1.5: must be a token id");
    refuse_with("bos_token_id", "-1", "bos_token_id = -1: must be a whole number from 0");
}

static void test_refused_json(void **state)
{
    (void)state;
    make_toy(&TOY);
    put_file("config.json", "{\"model_type\": \"llama\",\n \"rms_norm_eps\": NaN}");
    refuse("/toy/config.json:2: not JSON: ");
    put_file("config.json", "{\"rms_norm_eps\": 1e999}");
    refuse("/toy/config.json:1: not JSON: ");
    put_file("config.json", "{\"hidden_size\": 1, \"hidden_size\": 2}");
    refuse("not JSON: duplicate object key");
    put_file("config.json", "");
    refuse("not JSON");
    put_file("config.json", "[]");
    refuse("/toy/config.json: must be an object");
    put_json("config.json", config_old(&TOY));
    put_file("generation_config.json", "{\"eos_token_id\": [\"</s>\"]}");
    refuse("generation_config.json: eos_token_id = [ ... ]: must be a token id");
}

/* ---- folders ---- */

static void test_folders(void **state)
{
    (void)state;
    make_folder("other");
    refuse("/other: neither model.safetensors nor model.safetensors.index.json: no checkpoint");
    put_file("pytorch_model.bin", "");
    refuse("/other: pytorch_model.bin: pickled weights are not read");
    put_file("consolidated.safetensors", "");
    refuse("/other: consolidated.safetensors: the author's own format");
    put_file("model-q4_k_m.gguf", "");
    refuse("/other: model-q4_k_m.gguf: GGUF files are not read");
    put_file("adapter_config.json", "{}");
    refuse("/other: adapter_config.json: an adapter, not a model");
    put_file("model.safetensors", "");
    refuse("/other: no config.json; fetch the whole repository");
    put_json("config.json", config_old(&TOY));
    refuse("model.safetensors: 0 bytes: too short for a safetensors file");
    strcat(hf_folder, "/model-q4_k_m.gguf");
    refuse("a file; give the folder that holds config.json (GGUF files are not read)");
    strcat(hf_folder, "-or/not/there");
    refuse("No such file or directory");
}

static void test_names(void **state)
{
    char name[NAME_LEN];

    (void)state;
    e.text[0] = '\0';
    assert_int_equal(import_name("Qwen2.5-7B-Instruct-1M", name, &e), 0);
    assert_string_equal(name, "qwen2_5_7b_instruct_1m");
    assert_int_equal(import_name("3B \xc3\xa9", name, &e), 0);
    assert_string_equal(name, "m_3b___");
    assert_int_equal(import_name("", name, &e), -1);
    e.text[0] = '\0';
    assert_int_equal(
        import_name("0123456789012345678901234567890123456789012345678901234567890123", name, &e),
        -1);
    assert_non_null(strstr(e.text, "give one by --name"));
    make_toy(&TOY);
    assert_int_equal(import(hf_folder, "mine_2"), 0);
    assert_string_equal(got.name, "mine_2");
    assert_int_equal(import(hf_folder, "Mine"), -1);
    assert_non_null(strstr(e.text, "--name Mine: must consist of a-z, 0-9 and _"));
}

/* A file's name may hold what a terminal obeys. */
static void test_control_characters(void **state)
{
    (void)state;
    make_toy(&TOY);
    refuse_with("hidden_act", "\"\\u001b[2J\"", "hidden_act = \"?[2J\"");
    make_folder("a\033b");
    refuse("a?b: neither");
}

/* org/name in the hub's cache, by each of the variables; the snapshot's files may be links. */
static void test_hub_cache(void **state)
{
    char snapshot[] = "hub/models--Org--Toy-1.5B/snapshots/0123abcd", path[512];
    st_writer w = writer_of(&TOY);

    (void)state;
    make_folder(snapshot);
    put_model(&TOY, &w);
    make_folder("hub/models--Org--Toy-1.5B/blobs");
    put_json("c0ffee", config_old(&TOY));
    snprintf(path, sizeof path, "%s/%s/config.json", root, snapshot);
    assert_int_equal(symlink("../../blobs/c0ffee", path), 0);
    make_folder("hub/models--Org--Toy-1.5B/refs");
    put_file("main", "0123abcd\n");
    snprintf(path, sizeof path, "%s/hub", root);
    setenv("HF_HUB_CACHE", path, 1);
    assert_int_equal(import("Org/Toy-1.5B", NULL), 0);
    assert_string_equal(got.name, "toy_1_5b");
    assert_non_null(strstr(lua.data, "-- Org/Toy-1.5B, by hi-gen import."));
    assert_non_null(strstr(got.folder, "snapshots/0123abcd"));
    unsetenv("HF_HUB_CACHE");
    setenv("HF_HOME", root, 1);
    assert_int_equal(import("Org/Toy-1.5B", NULL), 0);
    snprintf(hf_folder, sizeof hf_folder, "%s/%s", root, snapshot); /* given as a folder */
    good();
    assert_string_equal(got.label, "Org/Toy-1.5B");
    strcpy(hf_folder, "Org/Toy-2B");
    refuse("Org/Toy-2B: no such folder, and /tmp/test_import.");
    make_folder("hub/models--Org--Toy-1.5B/refs");
    put_file("main", "../../elsewhere");
    strcpy(hf_folder, "Org/Toy-1.5B");
    refuse("refs/main: is no revision; download the repository again");
    snprintf(hf_folder, sizeof hf_folder, "%s/hub/models--Org--Toy-1.5B/refs", root);
    put_file("main", "0123abce");
    strcpy(hf_folder, "Org/Toy-1.5B");
    refuse("snapshots/0123abce: missing, though refs/main names it");
    unsetenv("HF_HOME");
}

static void test_absolute(void **state)
{
    char path[IMPORT_PATH], here[IMPORT_PATH], should[IMPORT_PATH + 8];

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(import_absolute("/a/b//", path, sizeof path, &e), 0);
    assert_string_equal(path, "/a/b");
    assert_int_equal(import_absolute("./b/", path, sizeof path, &e), 0);
    snprintf(should, sizeof should, "%s/b", here);
    assert_string_equal(path, should);
    assert_int_equal(import_absolute(".", path, sizeof path, &e), 0);
    assert_string_equal(path, here);
}

/* ---- tensors ---- */

/* Tokens beyond the embedding are of no use, and the file that has them is named. */
static void test_ids_beyond(void **state)
{
    (void)state;
    make_toy(&TOY);
    refuse_with("bos_token_id", "256", "bos_token_id = 256: the embedding has 256 rows; correct");
    refuse_with("eos_token_id", "[2, 300]", "eos_token_id = 300: the embedding has 256 rows");
    line_with("bos_token_id", "255", "bos = 255,");
}

/* What a clone without git-lfs leaves. */
static void test_pointer(void **state)
{
    (void)state;
    make_toy(&TOY);
    put_file("model.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    refuse("model.safetensors: a git-lfs pointer");
}

static void test_shapes(void **state)
{
    st_writer w = writer_of(&TOY);

    (void)state;
    make_toy(&TOY);
    w.odd = "model.layers.1.mlp.down_proj.weight";
    put_model(&TOY, &w);
    refuse("model.safetensors: model.layers.1.mlp.down_proj.weight: shape = [65, 96]: "
           "config.json's sizes give [64, 96]");
    w = writer_of(&TOY);
    w.absent = "model.layers.0.input_layernorm.weight";
    put_model(&TOY, &w);
    refuse("model.layers.0.input_layernorm.weight: missing; the spec of family llama needs it");
    w.absent = "model.embed_tokens.weight";
    put_model(&TOY, &w);
    refuse("model.embed_tokens.weight: missing; the checkpoint is not of family llama");
    w = writer_of(&TOY);
    put_model(&TOY, &w);
    with("num_hidden_layers", "40");
    refuse("and 336 more");
    w = writer_of(&TOY);
    w.dtype = "I16";
    put_model(&TOY, &w);
    with("num_hidden_layers", "2");
    refuse("dtype = I16: only BF16, F16 and F32 are read");
}

static void test_cut_short(void **state)
{
    st_writer w = writer_of(&TOY);

    (void)state;
    make_toy(&TOY);
    add_tensor(&w, "model.embed_tokens.weight", TOY.vocab, TOY.hidden);
    put_tensors("model.safetensors", &w, 1);
    refuse("/toy/model.safetensors: ");
}

/* Two shards, the second with the head alone; the index maps as it is told. */
static void put_shards(const char *head_in, double total, int64_t cut)
{
    st_writer w = writer_of(&TOY);
    published tied = TOY;
    char index[512];

    tied.tied = true;
    put_model(&tied, &w);
    snprintf(index, sizeof index, "%s/model.safetensors", hf_folder);
    char to[600];
    snprintf(to, sizeof to, "%s/model-00001-of-00002.safetensors", hf_folder);
    assert_int_equal(rename(index, to), 0);
    add_tensor(&w, "lm_head.weight", TOY.vocab, TOY.hidden);
    put_tensors("model-00002-of-00002.safetensors", &w, cut);
    json_t *map = json_object(), *o = json_object();
    static const char *const FIRST[] = { "model.embed_tokens.weight", "model.norm.weight" };
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(map, FIRST[i], json_string("model-00001-of-00002.safetensors"));
    static const char *const LAYER[] = { "input_layernorm",  "post_attention_layernorm",
                                         "self_attn.q_proj", "self_attn.k_proj",
                                         "self_attn.v_proj", "self_attn.o_proj",
                                         "mlp.gate_proj",    "mlp.up_proj",
                                         "mlp.down_proj" };
    for (int l = 0; l < TOY.layers; l++)
        for (size_t i = 0; i < sizeof LAYER / sizeof *LAYER; i++) {
            snprintf(index, sizeof index, "model.layers.%d.%s.weight", l, LAYER[i]);
            json_object_set_new(map, index, json_string("model-00001-of-00002.safetensors"));
        }
    json_object_set_new(map, "lm_head.weight", json_string(head_in));
    json_object_set_new(o, "metadata", json_pack("{s:f}", "total_size", total));
    json_object_set_new(o, "weight_map", map);
    put_json("model.safetensors.index.json", o);
}

static const char SECOND[] = "model-00002-of-00002.safetensors";
static const double TOTAL =
    2.0 * (2 * 256 * 64 + 64 + 2 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64));

static void test_shards(void **state)
{

    (void)state;
    make_folder("toy");
    put_json("config.json", config_old(&TOY));
    put_shards(SECOND, TOTAL, 0);
    no_note("total_size");
    assert_false(got.tied);
    put_shards(SECOND, TOTAL + 2, 0);
    note("metadata.total_size = ");
    put_shards("model-00001-of-00002.safetensors", TOTAL, 0);
    refuse("lm_head.weight: not in model-00001-of-00002.safetensors, where the index has it");
    put_shards("../toy/model.safetensors", TOTAL, 0);
    refuse("lm_head.weight: must name a file of this folder");
    put_shards(SECOND, TOTAL, 1);
    refuse("model-00002-of-00002.safetensors: ");
    take_file(SECOND);
    refuse("model-00002-of-00002.safetensors: missing, though model.safetensors.index.json names "
           "it; download it");
    put_file("model.safetensors.index.json", "{\"weight_map\": []}");
    refuse("weight_map: must be an object of file names");
    put_file("model.safetensors.index.json", "{");
    refuse("model.safetensors.index.json:1: not JSON");
}

static void test_tied(void **state)
{
    published m = TOY;

    (void)state;
    make_toy(&TOY);
    line_with("tie_word_embeddings", "false", "tied = false,");
    line_with("tie_word_embeddings", "", "tied = false,");
    line_with("tie_word_embeddings", "true", "tied = true,");
    note("lm_head.weight is there, but tie_word_embeddings is true: the embedding is used");
    m.tied = true;
    make_toy(&m);
    line_with("tie_word_embeddings", "", "tied = true,");
    line_with("tie_word_embeddings", "false", "tied = true,");
    note("tie_word_embeddings = false, but there is no lm_head.weight");
    m = PUBLISHED[23]; /* Gemma: tied where nothing is said */
    assert_string_equal(m.name, "gemma_2_2b");
    m.tied = false;
    make_toy(&m);
    note("tie_word_embeddings is true by default");
    assert_true(got.tied);
}

/* ---- what is said aloud ---- */

static void test_notes(void **state)
{
    (void)state;
    make_toy(&TOY);
    good();
    no_note("vocab_size");
    with("vocab_size", "250");
    note("vocab_size = 250 in config.json, but model.embed_tokens.weight has 256 rows");
    has_line("vocab = 256,");
    with("vocab_size", "");
    has_line("vocab = 256,");
    with("rope_theta", "2804339835.0");
    note("rope_theta = 2804339835: an early revision's");
    with("eos_token_id", "null");
    note("no eos_token_id");
    with("rope_scaling", "{\"type\": \"yarn\", \"factor\": 4.0}");
    note("max_position_embeddings = 1024, but yarn stretches to 4096 tokens");
    with("rope_scaling", "{\"type\": \"dynamic\", \"factor\": 4.0}");
    note("rope dynamic: frequencies are fixed for the planned context");
    with("dual_chunk_attention_config", "{\"original_max_position_embeddings\": 512}");
    note("beyond 512 tokens the authors use dual chunk attention");
    has_line("dual_chunk = 512,");
    put_file("adapter_config.json", "{}");
    note("adapter_config.json: the adapter beside the model is not used");
    with("dual_chunk_attention_config", "{}");
    refuse("dual_chunk_attention_config.original_max_position_embeddings: missing");
}

static void test_notes_of_tensors(void **state)
{
    st_writer w = writer_of(&TOY);

    (void)state;
    make_toy(&TOY);
    add_tensor(&w, "model.layers.0.self_attn.rotary_emb.inv_freq", 8, 0);
    put_model(&TOY, &w);
    no_note("not used");
    add_tensor(&w, "model.layers.0.self_attn.rotary_emb.inv_freq", 8, 0);
    add_tensor(&w, "value_head.weight", 8, 64);
    w.dtype = "F32";
    put_model(&TOY, &w);
    note("1 tensor is not used, value_head.weight first");
    note("21 tensors are F32: programs in bf16 need --round-weights");
}

static void test_notes_of_families(void **state)
{
    published m = TOY;
    json_t *o;

    (void)state;
    m.family = "mistral";
    m.ctx = 1024000;
    make_toy(&m);
    note("max_position_embeddings = 1024000: Mistral-Nemo's first revisions");
    m = TOY;
    m.family = "gemma2";
    m.score_scale = 224;
    m.tied = true;
    make_toy(&m);
    o = config_old(&m);
    set_whole(o, "head_dim", 16);
    json_object_set_new(o, "attn_logit_softcapping", json_null());
    json_object_set_new(o, "final_logit_softcapping", json_real(12.5));
    put_json("config.json", o);
    note("query_pre_attn_scalar = 224: gemma-2-9b had it");
    has_line("softcap = { final = 12.5 },");
}

/* ---- from a command to a spec ---- */

static void test_import_spec(void **state)
{
    hi_command c = { .spec = hf_folder, .import = true };
    char folder[IMPORT_PATH];
    text written = { 0 };
    hi_spec s;

    (void)state;
    make_toy(&TOY);
    e.text[0] = '\0';
    if (import_spec(&c, &s, &written, folder, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(s.name, "toy");
    assert_string_equal(s.path, "toy.lua");
    assert_string_equal(folder, hf_folder);
    assert_int_equal(s.kv_heads, 2);
    text_free(&written);
    with("max_position_embeddings", "1073741824"); /* what a spec allows is looked at, too */
    with("rms_norm_eps", "5");
    assert_int_equal(import_spec(&c, &s, &written, folder, &e), -1);
    assert_non_null(strstr(e.text, "toy.lua: norm_eps = 5: must be"));
    text_free(&written);
}

/* Standard error is not for what thousands of imports note. */
static int silence(void)
{
    int was = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);

    fflush(stderr);
    dup2(null, STDERR_FILENO);
    close(null);
    return was;
}

static void climb(bool from_then_on)
{
    long n = 0;
    int rc = -1, was = silence();

    for (; rc != 0 && n < 100000; n++) {
        hi_command c = { .spec = hf_folder, .import = true };
        char folder[IMPORT_PATH];
        text written = { 0 };
        hi_spec s;
        e.text[0] = '\0';
        for_ever = from_then_on;
        left = n;
        rc = import_spec(&c, &s, &written, folder, &e);
        left = -1;
        text_free(&written);
        if (rc != 0 && e.text[0] == '\0')
            break;
    }
    dup2(was, STDERR_FILENO);
    close(was);
    print_message("%ld allocations\n", n);
    if (rc != 0)
        fail_msg("allocation %ld: '%s'", n, e.text);
    assert_true(n > 100);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    make_folder("toy");
    put_json("config.json", config_old(&TOY));
    put_shards(SECOND, TOTAL, 0);
    climb(false);
    climb(true);
}

/* ---- tokenizer and chat template ---- */

static void test_no_texts(void **state)
{
    (void)state;
    make_toy(&TOY);
    note("no tokenizer.json: the program takes and prints token ids only");
    note("no chat template: a base model, or give the program one by --chat-template-file");
    put_file("tokenizer.model", "");
    note("no tokenizer.json (tokenizer.model is not read)");
}

static void test_tokenizer(void **state)
{
    (void)state;
    make_toy(&TOY);
    put_file("tokenizer.json",
             "{\"version\": \"1.0\", \"added_tokens\": ["
             "{\"id\": 0, \"content\": \"<a>\", \"special\": true, \"single_word\": false, "
             "\"lstrip\": false, \"rstrip\": false, \"normalized\": false}, "
             "{\"id\": 0, \"content\": \"<b>\", \"special\": true, \"single_word\": false, "
             "\"lstrip\": false, \"rstrip\": false, \"normalized\": false}], "
             "\"normalizer\": null, \"pre_tokenizer\": null, \"post_processor\": null, "
             "\"decoder\": null, \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1, \"b\": 2}, "
             "\"merges\": []}}");
    refuse("tokenizer.json");
    put_file("tokenizer.json", "{\"model\": NaN}");
    refuse("tokenizer.json:1: not JSON");
}

/* What the program would refuse is refused at import. */
static void test_generation_config(void **state)
{
    (void)state;
    make_toy(&TOY);
    put_file("generation_config.json", "{\"do_sample\": true, \"temperature\": \"0.7\"}");
    refuse("generation_config.json: temperature");
    take_file("generation_config.json");
}

static void test_chat_template(void **state)
{
    size_t n = 11 << 20;
    char *large = malloc(n);

    (void)state;
    make_toy(&TOY);
    put_file("chat_template.jinja", "{% if %}");
    refuse("chat_template.jinja");
    memset(large, 'x', n);
    put_bytes("chat_template.jinja", large, n);
    refuse("chat_template.jinja");
    take_file("chat_template.jinja");
    memcpy(large, "{\"chat_template\": \"", 19);
    memcpy(large + n - 2, "\"}", 2);
    put_bytes("tokenizer_config.json", large, n);
    refuse("tokenizer_config.json");
    free(large);
    put_file("tokenizer_config.json", "{\"chat_template\": \"{{ messages[0].content }}\"}");
    no_note("chat template");
}


static int open_root(void **state)
{
    (void)state;
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    char command[64];

    (void)state;
    text_free(&notes);
    text_free(&lua);
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_no_path_in_spec),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_longrope),
        cmocka_unit_test(test_nested_rope),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_usual_windows),
        cmocka_unit_test(test_refused_config),
        cmocka_unit_test(test_refused_bias),
        cmocka_unit_test(test_refused_numbers),
        cmocka_unit_test(test_refused_json),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_hub_cache),
        cmocka_unit_test(test_absolute),
        cmocka_unit_test(test_ids_beyond),
        cmocka_unit_test(test_pointer),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_tied),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_notes_of_tensors),
        cmocka_unit_test(test_notes_of_families),
        cmocka_unit_test(test_import_spec),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_no_texts),
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_generation_config),
        cmocka_unit_test(test_chat_template),
    };
    return cmocka_run_group_tests(tests, open_root, remove_root);
}
