/*
** test_needle_make.c - the needle checkpoint's files and weights, and the texts
** that are asked of it.
**
** Tensors are compared with their formulas after undoing the stored basis, and
** with one checksum of all bits: two other programs, in C and in Python, written
** from the same description, give the same.
*/
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "../needle/needle.h"
#include "../needle/needle_text.h"

static const needle_opts DEFAULTS = NEEDLE_DEFAULTS;

/* ---- helpers ---- */

static char folder[256];

static char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/needleXXXXXX", base ? base : P_tmpdir);
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    static const char *const names[] = { "config.json", "tokenizer.json", "model.safetensors" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder); /* fails on any other file left behind */
}

/* A whole file with a zero byte behind it; the caller frees it. */
static unsigned char *slurp(const char *name, size_t *n)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    *n = (size_t)st.st_size;
    unsigned char *data = calloc(*n + 1, 1);
    FILE *f = fopen(in_folder(name), "rb");
    assert_true(data && f);
    assert_int_equal(fread(data, 1, *n, f), *n);
    fclose(f);
    return data;
}

static json_t *load_json(const char *name)
{
    json_error_t err;
    json_t *j = json_load_file(in_folder(name), JSON_REJECT_DUPLICATES, &err);
    if (!j)
        fail_msg("%s:%d: %s", name, err.line, err.text);
    return j;
}

static void write_default(void)
{
    needle_error e;
    if (needle_write(folder, &DEFAULTS, &e) < 0)
        fail_msg("%s", e.text);
}

static uint64_t fnv1a(const unsigned char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* ---- the folder ---- */

static void test_config(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double value;
    } want[] = {
        { "vocab_size", 256 },
        { "hidden_size", 128 },
        { "intermediate_size", 16 },
        { "num_hidden_layers", 2 },
        { "num_attention_heads", 16 },
        { "num_key_value_heads", 4 },
        { "head_dim", 64 },
        { "max_position_embeddings", 1048576 },
        { "rope_theta", 1e16 },
        { "rms_norm_eps", 1e-5 },
        { "bos_token_id", 0 },
        { "eos_token_id", 0 },
    };
    write_default();
    json_t *c = load_json("config.json");
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (json_number_value(json_object_get(c, want[i].name)) != want[i].value)
            fail_msg("config.json: %s", want[i].name);
    assert_string_equal(json_string_value(json_object_get(c, "model_type")), "llama");
    assert_string_equal(json_string_value(json_object_get(c, "hidden_act")), "silu");
    assert_string_equal(json_string_value(json_object_get(c, "torch_dtype")), "bfloat16");
    assert_true(json_is_real(json_object_get(c, "rope_theta")));
    assert_true(json_is_false(json_object_get(c, "tie_word_embeddings")));
    json_t *arch = json_object_get(c, "architectures");
    assert_string_equal(json_string_value(json_array_get(arch, 0)), "LlamaForCausalLM");
    json_decref(c);
}

/* The alphabet by its own rule: the 68 bytes that cannot be printed follow U+0100 in order. */
static void test_tokenizer(void **state)
{
    (void)state;
    write_default();
    json_t *t = load_json("tokenizer.json");
    json_t *vocab = json_object_get(json_object_get(t, "model"), "vocab");
    assert_int_equal(json_object_size(vocab), 256);
    int other = 0x100;
    for (int b = 0; b < 256; b++) {
        bool plain = b > 0x20 && b != 0x7f && !(b >= 0x80 && b <= 0xa0) && b != 0xad;
        int c = plain ? b : other++;
        char s[3] = { (char)c, 0, 0 };
        if (c >= 0x80)
            s[0] = (char)(0xc0 | c >> 6), s[1] = (char)(0x80 | (c & 0x3f));
        json_t *id = json_object_get(vocab, s);
        if (!id || json_integer_value(id) != b)
            fail_msg("byte %d: symbol %s", b, s);
    }
    assert_int_equal(other, 0x100 + 68);
    json_t *bos = json_array_get(json_object_get(t, "added_tokens"), 0);
    assert_int_equal(json_integer_value(json_object_get(bos, "id")), 0);
    assert_string_equal(json_string_value(json_object_get(bos, "content")), "\xc4\x80");
    assert_true(json_is_true(json_object_get(bos, "special")));
    assert_int_equal(json_array_size(json_object_get(json_object_get(t, "model"), "merges")), 0);
    json_decref(t);
}

static void check_entry(json_t *entry, json_int_t *offset)
{
    json_t *shape = json_object_get(entry, "shape");
    json_t *range = json_object_get(entry, "data_offsets");
    json_int_t count = 1;
    for (size_t i = 0; i < json_array_size(shape); i++)
        count *= json_integer_value(json_array_get(shape, i));
    assert_string_equal(json_string_value(json_object_get(entry, "dtype")), "BF16");
    assert_int_equal(json_integer_value(json_array_get(range, 0)), *offset);
    *offset += 2 * count;
    assert_int_equal(json_integer_value(json_array_get(range, 1)), *offset);
}

static void test_safetensors(void **state)
{
    (void)state;
    write_default();
    size_t n, header = 0, entries = 0;
    unsigned char *data = slurp("model.safetensors", &n);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | data[i];
    assert_int_equal(header % 8, 0);
    /* 733,824 parameters. Other writers' headers (blanks, no metadata) differ in length. */
    assert_int_equal(n, 8 + header + 2 * 733824);
    assert_int_equal(n, 1469848);
    json_t *j = json_loadb((char *)data + 8, header, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    json_int_t offset = 0;
    const char *name, *before = "";
    json_t *entry;
    json_object_foreach(j, name, entry)
    { /* in the order of the file */
        if (strcmp(name, "__metadata__") == 0)
            continue;
        assert_true(strcmp(before, name) < 0);
        check_entry(entry, &offset);
        before = name;
        entries++;
    }
    assert_int_equal(entries, 21);
    assert_int_equal(offset, 2 * 733824);
    assert_int_equal(fnv1a(data + 8 + header, n - 8 - header), 0xac3ea970fc37c3c7u);
    json_decref(j);
    free(data);
}

/* A disk that fills up while the weights are written leaves neither a part of them nor the rest. */
static void test_full_disk(void **state)
{
    (void)state;
    struct rlimit was, small;
    needle_error e;
    struct stat st;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = needle_write(folder, &DEFAULTS, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(e.text, "model.safetensors: File too large"));
    assert_int_equal(stat(in_folder("model.safetensors"), &st), -1);
    assert_int_equal(stat(in_folder("model.safetensors.tmp"), &st), -1);
}

static void test_wrong_place(void **state)
{
    (void)state;
    needle_error e;
    assert_int_equal(needle_write(in_folder("no/such"), &DEFAULTS, &e), -1);
    assert_non_null(strstr(e.text, "no/such: No such file or directory"));
}

static void test_wrong_options(void **state)
{
    (void)state;
    static const struct {
        needle_opts opts;
        const char *message;
    } wrong[] = {
        { { 0, 1e16, 2 }, "unit = 0: must be 0.5..64 (18 is robust, 4 sensitive)" },
        { { NAN, 1e16, 2 }, "unit = nan: must be 0.5..64 (18 is robust, 4 sensitive)" },
        { { 18, 1, 2 }, "theta = 1: must be 100..1e30 (1e16 serves 4M tokens)" },
        { { 18, INFINITY, 2 }, "theta = inf: must be 100..1e30 (1e16 serves 4M tokens)" },
        { { 18, 1e16, 1 }, "layers = 1: must be 2..4" },
        { { 18, 1e16, 5 }, "layers = 5: must be 2..4" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        needle_model m;
        needle_error e;
        assert_int_equal(needle_build(&wrong[i].opts, &m, &e), -1);
        assert_string_equal(e.text, wrong[i].message);
        needle_free(&m);
    }
}

/* ---- weights against formulas ---- */

static const needle_tensor *find(const needle_model *m, const char *name)
{
    for (int i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensor[i].name, name) == 0)
            return &m->tensor[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static double weight(const needle_tensor *t, int row, int col)
{
    uint32_t u = (uint32_t)t->bits[row * (t->cols ? t->cols : 1) + col] << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return (double)f;
}

static double mix(int i, int j)
{
    int ones = 0;
    for (int b = 0; b < 7; b++)
        ones += (i & j) >> b & 1;
    return (ones % 2 ? -1 : 1) * (j % 3 == 1 ? -1 : 1);
}

/* What row 'row' of a matrix that reads the normalised stream takes of coordinate j. */
static double reads(const needle_tensor *t, int row, int j)
{
    static const double norm[] = { 0.5, 1, 2 };
    double sum = 0;
    for (int i = 0; i < 128; i++)
        sum += weight(t, row, i) * norm[i % 3] * mix(i, j);
    return sum;
}

/* What column 'col' of a matrix that writes to the stream adds to coordinate j. */
static double writes(const needle_tensor *t, int col, int j)
{
    double sum = 0;
    for (int i = 0; i < 128; i++)
        sum += weight(t, i, col) * mix(i, j) / 128;
    return sum;
}

/* Half a unit of bf16's last place, relative, and nothing where nothing should be. */
static void expect(double got, double want)
{
    if (fabs(got - want) > fabs(want) / 256 + 1e-9)
        fail_msg("%.9g, expected %.9g", got, want);
}

static void test_embedding(void **state)
{
    (void)state;
    needle_model m;
    needle_error e;
    assert_int_equal(needle_build(&DEFAULTS, &m, &e), 0);
    const needle_tensor *t = find(&m, "model.embed_tokens.weight");
    for (int i = 0; i < 128; i++) {
        double sum = 1; /* coordinate 0: column 0 of the basis is all ones */
        for (int b = 0; b < 8; b++)
            sum += mix(i, 2 + b) * (0x41 >> b & 1 ? 1 : -1);
        assert_true(weight(t, 0x41, i) == sum); /* small integers: exact in bf16 */
        expect(weight(t, 0, i), 1 + mix(i, 1) * sqrt(8));
    }
    const needle_tensor *norm = find(&m, "model.norm.weight");
    assert_int_equal(norm->cols, 0);
    assert_true(weight(norm, 3, 0) == 0.5 && weight(norm, 4, 0) == 1 && weight(norm, 5, 0) == 2);
    needle_free(&m);
}

static void test_layer_0(void **state)
{
    (void)state;
    needle_model m;
    needle_error e;
    assert_int_equal(needle_build(&DEFAULTS, &m, &e), 0);
    const needle_tensor *q = find(&m, "model.layers.0.self_attn.q_proj.weight");
    const needle_tensor *k = find(&m, "model.layers.0.self_attn.k_proj.weight");
    const needle_tensor *o = find(&m, "model.layers.0.self_attn.o_proj.weight");
    /* head (2, 1) looks 2 back; pair 0: phase 0, radius 3 * 64 * 8 / 16 */
    expect(reads(q, 9 * 64, 0), 96 * cos(-2));
    expect(reads(q, 9 * 64 + 32, 0), 96 * sin(-2));
    /* pair 3 of the same head: phase 3 pi, frequency theta^(-3/32), radius 3 * 24 * 8 / 16 */
    expect(reads(q, 9 * 64 + 3, 0), 36 * cos(3 * M_PI - 2 * pow(1e16, -3 / 32.0)));
    expect(reads(k, 2 * 64 + 3, 0), -48);
    expect(reads(k, 2 * 64 + 15, 0), 0);             /* the slow pairs are layer 1's */
    expect(writes(o, 9 * 64, 10 + 8 + 4), 1 / 64.0); /* PREV(2, bit 4), Hadamard row 0 */
    expect(writes(o, 9 * 64 + 1, 10 + 8 + 4), -1 / 64.0);
    expect(writes(o, 9 * 64, 10 + 4), 0);
    expect(reads(find(&m, "model.layers.0.mlp.gate_proj.weight"), 15, 0), 8 * sqrt(41));
    expect(reads(find(&m, "model.layers.0.mlp.up_proj.weight"), 3, 2 + 3), sqrt(41));
    expect(writes(find(&m, "model.layers.0.mlp.down_proj.weight"), 3, 42 + 3), 1 / 7.9973);
    needle_free(&m);
}

static void test_layer_1(void **state)
{
    (void)state;
    needle_model m;
    needle_error e;
    assert_int_equal(needle_build(&DEFAULTS, &m, &e), 0);
    const needle_tensor *q = find(&m, "model.layers.1.self_attn.q_proj.weight");
    const needle_tensor *k = find(&m, "model.layers.1.self_attn.k_proj.weight");
    /* KV head 1, code bit 0 is in slot 8: dim 23; bit 8 in slot 16: dim 47 */
    expect(reads(k, 64 + 23, 10), 84);
    expect(reads(k, 64 + 47, 10 + 8), 84);
    expect(reads(k, 64 + 31, 1), 124 * 3 / sqrt(8));
    expect(reads(k, 64 + 31, 0), 0);
    expect(reads(q, 5 * 64 + 23, 42), 84); /* bit 0 of this token, by way of QC */
    expect(reads(q, 5 * 64 + 47, 10), 84); /* bit 0 of the token before */
    expect(reads(q, 5 * 64 + 31, 0), 252);
    expect(reads(find(&m, "model.layers.1.self_attn.v_proj.weight"), 64, 2 + 2), 7);
    expect(writes(find(&m, "model.layers.1.self_attn.o_proj.weight"), 5 * 64, 50 + 2), 1 / 1024.0);
    expect(reads(find(&m, "model.layers.1.mlp.up_proj.weight"), 7, 50 + 7), 4 * sqrt(49.5));
    expect(reads(find(&m, "lm_head.weight"), 0, 0), 896);
    expect(reads(find(&m, "lm_head.weight"), 0x41, 58), 128);
    expect(reads(find(&m, "lm_head.weight"), 0x41, 59), -128);
    needle_free(&m);
}

static bool same_bits(const needle_model *a, const needle_model *b, const char *name)
{
    const needle_tensor *x = find(a, name), *y = find(b, name);
    return memcmp(x->bits, y->bits, 2 * (size_t)needle_count(x)) == 0;
}

/* The score unit is in layer 1's queries and keys; its square root is a code bit's size. */
static void test_unit(void **state)
{
    (void)state;
    needle_model m, m4;
    needle_error e;
    needle_opts o = DEFAULTS;
    o.unit = 4.5;
    assert_int_equal(needle_build(&DEFAULTS, &m, &e), 0);
    assert_int_equal(needle_build(&o, &m4, &e), 0);
    expect(reads(find(&m4, "model.layers.1.self_attn.k_proj.weight"), 64 + 23, 10), 42);
    expect(reads(find(&m4, "model.layers.1.self_attn.k_proj.weight"), 31, 1), 31 * 3 / sqrt(8));
    for (int i = 0; i < m.n_tensors; i++) {
        const char *name = m.tensor[i].name;
        bool code = strcmp(name, "model.layers.1.self_attn.q_proj.weight") == 0 ||
                    strcmp(name, "model.layers.1.self_attn.k_proj.weight") == 0;
        assert_int_equal(same_bits(&m, &m4, name), !code);
    }
    needle_free(&m);
    needle_free(&m4);
}

static void test_layers(void **state)
{
    (void)state;
    needle_model m;
    needle_error e;
    needle_opts o = DEFAULTS;
    o.layers = 4;
    assert_int_equal(needle_build(&o, &m, &e), 0);
    assert_int_equal(m.n_tensors, 39);
    expect(writes(find(&m, "model.layers.2.self_attn.o_proj.weight"), 0, 50), 1 / 3072.0);
    expect(reads(find(&m, "model.layers.2.mlp.up_proj.weight"), 0, 50), 0);
    expect(reads(find(&m, "model.layers.3.mlp.up_proj.weight"), 0, 50), 4 * sqrt(49.5));
    expect(reads(find(&m, "lm_head.weight"), 0, 0), 128 * (8 - 1 / 3.0));
    needle_free(&m);
}

/* ---- texts ---- */

static void test_hay_random(void **state)
{
    (void)state;
    static uint8_t a[65536], b[65536];
    size_t count[256] = { 0 };
    hay_random(a, sizeof a, 7);
    hay_random(b, sizeof b / 2, 7);
    assert_memory_equal(a, b, sizeof b / 2); /* a prefix does not depend on the length */
    hay_random(b, sizeof b, 8);
    assert_memory_not_equal(a, b, sizeof b);
    for (size_t i = 0; i < sizeof a; i++)
        count[a[i]]++;
    assert_int_equal(count[0], 0);
    for (int t = 1; t < 256; t++)
        assert_in_range(count[t], 150, 370); /* 257 expected */
}

static void test_recall(void **state)
{
    (void)state;
    static uint8_t hay[16384];
    hay_random(hay, sizeof hay, 1);
    for (int depth = 0; depth <= 100; depth += 10) {
        recall r;
        assert_int_equal(recall_make(hay, sizeof hay, depth, &r), 0);
        assert_in_range(r.at + 1, (sizeof hay - 9) * (size_t)depth / 100,
                        (sizeof hay - 9) * (size_t)depth / 100 + 3);
        assert_memory_equal(r.question, hay + r.at, 4);
        assert_memory_equal(r.answer, hay + r.at + 4, 5);
    }
}

/* A second copy of any of the five windows, or the question's own overlap, makes a place unfit. */
static void test_recall_rejects(void **state)
{
    (void)state;
    static uint8_t hay[4096];
    recall r;
    for (int i = 0; i < 5; i++) {
        hay_random(hay, sizeof hay, 2);
        assert_int_equal(recall_at(hay, sizeof hay, 1000, &r), 0);
        memcpy(hay + 3000, hay + 1000 + i, 4);
        assert_int_equal(recall_at(hay, sizeof hay, 1000, &r), -1);
    }
    hay_random(hay, sizeof hay, 2);
    memset(hay + 1000, 'x', 5); /* xxxx is followed by x and by another */
    assert_int_equal(recall_at(hay, sizeof hay, 1000, &r), -1);
    assert_int_equal(recall_make(hay, sizeof hay, 100.0 * 1000 / (4096 - 9), &r), 0);
    assert_int_equal(r.at, 1002); /* the first place that has no xxxx on its way */
    assert_int_equal(recall_at(hay, 9, 0, &r), 0);
    assert_int_equal(recall_at(hay, 9, 1, &r), -1);
    assert_int_equal(recall_make(hay, 8, 0, &r), -1);
    memset(hay, 'x', sizeof hay);
    assert_int_equal(recall_make(hay, sizeof hay, 50, &r), -1);
}

/* The haystack's end and the question together may hold the window too. */
static void test_recall_across_the_end(void **state)
{
    (void)state;
    static const char text[] = "aaab, then b and more: aab";
    uint8_t hay[sizeof text - 1];
    recall r;
    memcpy(hay, text, sizeof hay);
    assert_int_equal(recall_at(hay, sizeof hay, 4, &r), 0);
    /* the haystack ends in "ab" and the question is "abab": asked two bytes too early */
    static const uint8_t meets[] = "abab-12345678ab";
    assert_int_equal(recall_at(meets, sizeof meets - 1, 0, &r), -1);
}

static void test_sentences(void **state)
{
    (void)state;
    static char a[20000], b[20000];
    hay_sentences(a, sizeof a, 1);
    for (size_t i = 0; i < sizeof a; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ,.", a[i]))
            fail_msg("byte %zu: '%c'", i, a[i]);
    assert_memory_equal(a + sizeof a - 4, "... ", 4);
    hay_sentences(b, sizeof b, 2);
    assert_memory_not_equal(a, b, 200);
    for (size_t n = 0; n < 300; n++) { /* never past the end */
        memset(b, '#', 301);
        hay_sentences(b, n, 1);
        assert_int_equal(b[n], '#');
        assert_null(memchr(b, '#', n));
    }
}

static void expect_needle(const char *buf, size_t n, size_t at, const char *key)
{
    char needle[64];
    int len = snprintf(needle, sizeof needle, "The pass key: %s. ", key);
    assert_true(at + (size_t)len <= n - 22);
    assert_memory_equal(buf + at, needle, (size_t)len);
    assert_memory_equal(buf + n - 22, "What is the pass key: ", 22);
    size_t asked = 0;
    for (size_t i = 0; i + 4 <= n; i++)
        asked += memcmp(buf + i, "ey: ", 4) == 0;
    assert_int_equal(asked, 2);
}

static void test_passkey(void **state)
{
    (void)state;
    static char buf[8192];
    size_t least = passkey_least("48213");
    assert_int_equal(least, 43);
    for (size_t n = least; n < sizeof buf; n = n * 5 / 4 + 1) {
        for (int depth = 0; depth <= 100; depth += 25) {
            size_t at, body = n - least, want = (body * (size_t)depth + 50) / 100;
            memset(buf, '#', sizeof buf);
            passkey p = { .key = "48213", .seed = n, .depth = depth };
            assert_null(passkey_make(buf, n, &p, &at));
            expect_needle(buf, n, at, p.key);
            assert_true(at <= want && want <= at + 160); /* a sentence at most before it */
            assert_true(at == 0 || buf[at - 2] == '.');
            assert_int_equal(buf[n], '#');
            if (depth == 100)
                assert_int_equal(at, body > 1 ? body : 0);
        }
    }
}

static void test_passkey_in_text(void **state)
{
    (void)state;
    static const char text[] = "Gr\xc3\xbc\xc3\x9f"
                               "e an alle, ohne Punkt und ohne Ende ";
    static char buf[2048];
    for (size_t n = 700; n < sizeof buf; n++) {
        size_t at;
        passkey p = { "90125", text, sizeof text - 1, 0, 50 };
        assert_null(passkey_make(buf, n, &p, &at));
        expect_needle(buf, n, at, p.key);
        /* no character is cut in two: jansson takes valid UTF-8 only */
        json_t *s = json_stringn(buf, n);
        assert_non_null(s);
        json_decref(s);
    }
}

static void test_passkey_refused(void **state)
{
    (void)state;
    static const char other[] = "The turkey: a bird. ";
    static const struct {
        passkey p;
        size_t n;
        const char *message;
    } wrong[] = {
        { { "", NULL, 0, 0, 50 }, 500, "the key must be 1 to 16 digits" },
        { { "12a45", NULL, 0, 0, 50 }, 500, "the key must be 1 to 16 digits" },
        { { "12345678901234567", NULL, 0, 0, 50 }, 500, "the key must be 1 to 16 digits" },
        { { "48213", NULL, 0, 0, 100.5 }, 500, "the depth must be 0 to 100 percent" },
        { { "48213", NULL, 0, 0, NAN }, 500, "the depth must be 0 to 100 percent" },
        { { "48213", NULL, 0, 0, 50 }, 42, "too short for the needle and the question" },
        { { "48213", "", 0, 0, 50 }, 500, "the haystack's text is empty" },
        { { "48213", "a\0b", 3, 0, 50 }, 500, "the haystack's text holds a zero byte" },
        { { "77777", NULL, 0, 0, 50 }, 500, "the answer would not be unique" },
        { { "48213", other, sizeof other - 1, 0, 50 }, 500, "the answer would not be unique" },
        { { "48213", "in 1 4821 b", 11, 0, 50 }, 500, "the answer would not be unique" },
    };
    static char buf[512];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t at;
        const char *said = passkey_make(buf, wrong[i].n, &wrong[i].p, &at);
        assert_non_null(said);
        assert_true(strncmp(said, wrong[i].message, strlen(wrong[i].message)) == 0);
    }
    passkey fits = { .key = "7777", .depth = 50 }; /* four equal digits are told apart */
    size_t at;
    assert_null(passkey_make(buf, sizeof buf, &fits, &at));
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_config),
        IN_FOLDER(test_tokenizer),
        IN_FOLDER(test_safetensors),
        IN_FOLDER(test_full_disk),
        IN_FOLDER(test_wrong_place),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_layer_0),
        cmocka_unit_test(test_layer_1),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_hay_random),
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_recall_rejects),
        cmocka_unit_test(test_recall_across_the_end),
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_passkey),
        cmocka_unit_test(test_passkey_in_text),
        cmocka_unit_test(test_passkey_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
