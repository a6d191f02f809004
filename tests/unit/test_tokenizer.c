/*
** test_tokenizer.c - byte-level tokenizers: read, or refused by name.
*/
#include <errno.h>
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
#include <jansson.h>
#include "failing_alloc.h"
#include "tokenizer.h"

static char err[1024];

static void *json_malloc(size_t n)
{
    return malloc(n);
}

/* ---- tokenizer.json from parts ---- */

static char folder[] = "/tmp/test_tokenizer.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    json_set_alloc_funcs(json_malloc, free);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

typedef struct parts { /* NULL: as in a good file */
    const char *version, *added, *normalizer, *pre, *post, *decoder, *type, *vocab, *merges, *flags;
} parts;

#define ADDED "[{\"id\":0,\"content\":\"\xc4\x80\",\"special\":true}]"
#define PRE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define DECODER "{\"type\":\"ByteLevel\"}"
#define TEMPLATE                                                                                   \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"B\",\"type_id\":0}}" \
    ","                                                                                            \
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"B\":{\"ids\":[0]}}}"

static const char * or (const char *part, const char *good)
{
    return part ? part : good;
}

/* The character of a byte, as the format's description lists them. */
static void print_symbol(char *to, int byte)
{
    int c = 0x100;
    if ((byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae)
        c = byte;
    else if (byte <= 0x20)
        c += byte;
    else if (byte <= 0xa0)
        c += 33 + byte - 0x7f;
    else
        c += 67;
    if (c == '"' || c == '\\')
        sprintf(to, "\\%c", c);
    else if (c < 0x80)
        sprintf(to, "%c", c);
    else
        sprintf(to, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

/* Byte b has id first + b * step modulo 256. */
static char *vocab(int first, int step)
{
    static char text[8192];
    char *at = text + sprintf(text, "{");
    for (int b = 0; b < 256; b++) {
        char symbol[8];
        print_symbol(symbol, b);
        at += sprintf(at, "%s\"%s\":%d", b > 0 ? "," : "", symbol, first + b * step % 256);
    }
    strcpy(at, "}");
    return text;
}

static void write_parts(const parts *p)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"version\":%s,\"truncation\":null,\"padding\":null,\"added_tokens\":%s,",
            or (p->version, "\"1.0\""), or (p->added, ADDED));
    fprintf(f, "\"normalizer\":%s,\"pre_tokenizer\":%s,", or (p->normalizer, "null"),
            or (p->pre, PRE));
    fprintf(f, "\"post_processor\":%s,\"decoder\":%s,", or (p->post, TEMPLATE),
            or (p->decoder, DECODER));
    fprintf(f, "\"model\":{\"type\":%s%s,\"vocab\":%s,\"merges\":%s}}\n", or (p->type, "\"BPE\""),
            or (p->flags, ""), p->vocab ? p->vocab : vocab(0, 1), or (p->merges, "[]"));
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static hi_tokenizer *must_open(void)
{
    err[0] = '\0';
    hi_tokenizer *t = tok_open(folder, err, sizeof err);
    assert_string_equal(err, "");
    assert_non_null(t);
    return t;
}

static void refuse(const char *message)
{
    err[0] = '\0';
    hi_tokenizer *t = tok_open(folder, err, sizeof err);
    assert_null(t);
    assert_true(strncmp(err, path, strlen(path)) == 0);
    assert_string_equal(err + strlen(path), message);
}

/* ---- what is read ---- */

static void every_byte_there_and_back(void **state)
{
    (void)state;
    char text[256];
    for (int b = 0; b < 256; b++)
        text[b] = (char)b;
    write_parts(&(parts){ .vocab = vocab(3, 77), .added = "[]", .post = "null" });
    hi_tokenizer *t = must_open();
    size_t n, k;
    int32_t *ids = tok_encode(t, text, 256, &n, err, sizeof err);
    assert_non_null(ids);
    assert_int_equal(n, 256);
    for (int b = 0; b < 256; b++) {
        assert_int_equal(ids[b], 3 + b * 77 % 256);
        const char *back = tok_bytes(t, ids[b], &k);
        assert_int_equal(k, 1);
        assert_int_equal((unsigned char)*back, b);
    }
    free(ids);
    static const int32_t none[] = { -1, 0, 2, 259, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_non_null(tok_bytes(t, none[i], &k));
        assert_int_equal(k, 0);
    }
    tok_close(t);
}

/* Id 0 is BOS and the id of byte 0: encoded as any byte, but it has no bytes to print. */
static void special_token_with_a_bytes_id(void **state)
{
    (void)state;
    write_parts(&(parts){ 0 });
    hi_tokenizer *t = must_open();
    size_t n, k;
    int32_t *ids = tok_encode(t, "a\0\xc4\x80", 4, &n, err, sizeof err);
    static const int32_t want[] = { 0, 'a', 0, 0xc4, 0x80 };
    assert_int_equal(n, 5);
    assert_memory_equal(ids, want, sizeof want);
    free(ids);
    tok_bytes(t, 0, &k);
    assert_int_equal(k, 0);
    ids = tok_encode(t, "", 0, &n, err, sizeof err);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 0);
    free(ids);
    tok_close(t);
}

static void special_tokens_of_their_own(void **state)
{
    (void)state;
    write_parts(&(parts){
        .added = "[{\"id\":300,\"content\":\"<s>\",\"special\":true},"
                 "{\"id\":302,\"content\":\"<t>\",\"special\":true}]",
        .post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
                "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
                "{\"SpecialToken\":{\"id\":\"<t>\"}},{\"Sequence\":{\"id\":\"A\"}}],"
                "\"special_tokens\":{\"<s>\":{\"ids\":[300]},\"<t>\":{\"ids\":[302,300]}}}]}",
    });
    hi_tokenizer *t = must_open();
    size_t n, k;
    int32_t *ids = tok_encode(t, "<s>", 3, &n, err, sizeof err); /* stays text */
    static const int32_t want[] = { 300, 302, 300, '<', 's', '>' };
    assert_int_equal(n, 6);
    assert_memory_equal(ids, want, sizeof want);
    free(ids);
    for (int32_t i = 256; i < 304; i++) {
        tok_bytes(t, i, &k);
        assert_int_equal(k, 0);
    }
    tok_close(t);
}

static void nothing_in_front(void **state)
{
    (void)state;
    static const parts p[] = {
        { .post = "null", .flags = ",\"dropout\":null,\"ignore_merges\":true" },
        { .post = "{\"type\":\"ByteLevel\"}" },
        { .post = "{\"type\":\"Sequence\",\"processors\":[]}" },
        { .post = "null", .added = "null", .flags = ",\"end_of_word_suffix\":\"\"" },
    };
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        write_parts(&p[i]);
        hi_tokenizer *t = must_open();
        size_t n = 9;
        int32_t *ids = tok_encode(t, "", 0, &n, err, sizeof err);
        assert_non_null(ids);
        assert_int_equal(n, 0);
        free(ids);
        tok_close(t);
    }
}

/* ---- what is refused ---- */

#define SO_FAR ": only byte-level tokenizers without merges are read so far; pass --ids FILE"

static const struct {
    parts p;
    const char *message;
} BAD[] = {
    { { .version = "\"2.0\"" }, ": version = 2.0: must be \"1.0\"" },
    { { .version = "1" }, ": version = (missing): must be \"1.0\"" },
    { { .type = "\"Unigram\"" }, ": model.type = Unigram" SO_FAR },
    { { .type = "\"WordPiece\"" }, ": model.type = WordPiece" SO_FAR },
    { { .type = "3" }, ": model.type = (no type)" SO_FAR },
    { { .merges = "[[\"a\",\"b\"],\"c d\"]" }, ": model.merges has 2 entries" SO_FAR },
    { { .merges = "{}" }, ": model.merges: must be an array" },
    { { .flags = ",\"continuing_subword_prefix\":\"##\"" },
      ": model.continuing_subword_prefix: must be null" SO_FAR },
    { { .flags = ",\"end_of_word_suffix\":\"</w>\"" },
      ": model.end_of_word_suffix: must be null" SO_FAR },
    { { .flags = ",\"dropout\":0.1" }, ": model.dropout: must be null" SO_FAR },
    { { .normalizer = "{\"type\":\"NFC\"}" },
      ": normalizer = NFC: none is read so far; pass --ids FILE" },
    { { .normalizer = "7" }, ": normalizer = (no type): none is read so far; pass --ids FILE" },
    { { .pre = "null" }, ": pre_tokenizer: missing: must be ByteLevel; pass --ids FILE" },
    { { .pre = "{\"type\":\"Metaspace\"}" },
      ": pre_tokenizer = Metaspace: only ByteLevel is read so far; pass --ids FILE" },
    { { .pre = "{\"type\":\"ByteLevel\",\"use_regex\":false}" },
      ": pre_tokenizer.add_prefix_space: must be false; pass --ids FILE" },
    { { .pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}" },
      ": pre_tokenizer.add_prefix_space: must be false; pass --ids FILE" },
    { { .pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}" },
      ": pre_tokenizer.use_regex: must be false; pass --ids FILE" },
    { { .decoder = "null" }, ": decoder: missing: must be ByteLevel; pass --ids FILE" },
    { { .decoder = "{\"type\":\"WordPiece\"}" },
      ": decoder = WordPiece: only ByteLevel is read so far; pass --ids FILE" },
    { { .vocab = "[]" }, ": model.vocab: must be an object" },
    { { .vocab = "{\"a\":1}" },
      ": model.vocab has 1 entries: must be the 256 byte symbols" SO_FAR },
    { { .added = "{}" }, ": added_tokens: must be an array" },
    { { .added = "[1]" }, ": added_tokens[0]: must have a content and an id from 0 to 2097151" },
    { { .added = "[{\"content\":\"x\",\"special\":true,\"id\":2097152}]" },
      ": added_tokens[0]: must have a content and an id from 0 to 2097151" },
    { { .added = "[{\"content\":\"<x>\",\"special\":false,\"id\":256}]" },
      ": added_tokens[0] = <x>: special must be true: tokens that texts are searched for are not "
      "read; pass --ids FILE" },
    { { .added = "[{\"content\":\"x\",\"special\":true,\"id\":256}]" },
      ": added_tokens[0] = x: id = 256: model.vocab has it as 120" },
    { { .post = "{\"type\":\"BertProcessing\"}" },
      ": post_processor = BertProcessing: only TemplateProcessing and ByteLevel are read so far; "
      "pass --ids FILE" },
    { { .post = "{\"type\":\"Sequence\"}" }, ": post_processor.processors: must be an array" },
    { { .post = "{\"type\":\"Sequence\",\"processors\":[" TEMPLATE "," TEMPLATE "]}" },
      ": post_processor: more than one TemplateProcessing; pass --ids FILE" },
    { { .post = "{\"type\":\"TemplateProcessing\",\"single\":[]}" },
      ": post_processor.single: must hold the text, sequence A" },
    { { .post = "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}" },
      ": post_processor.single: sequence B: must be A" },
    { { .post = "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},"
                "{\"SpecialToken\":{\"id\":\"S\"}}]}" },
      ": post_processor.single: must be special tokens, then the text; pass --ids FILE" },
    { { .post =
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"S\"}}]}" },
      ": post_processor.special_tokens: S: missing" },
    { { .post = "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"S\"}}],"
                "\"special_tokens\":{\"S\":{\"ids\":[256]}}}" },
      ": post_processor.special_tokens: ids must be tokens of this file" },
};

static void refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        write_parts(&BAD[i].p);
        refuse(BAD[i].message);
    }
}

/* One entry of a good vocabulary replaced. */
static void refuse_vocab(const char *from, const char *to, const char *message)
{
    char text[8192], *good = vocab(0, 1), *at = strstr(good, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    write_parts(&(parts){ .vocab = text });
    refuse(message);
}

static void vocabularies(void **state)
{
    (void)state;
    refuse_vocab("\"b\":98", "\"ab\":98",
                 ": model.vocab: ab: not one of the 256 byte symbols" SO_FAR);
    refuse_vocab("\"b\":98", "\"\":98", ": model.vocab: : not one of the 256 byte symbols" SO_FAR);
    refuse_vocab("\"b\":98", "\"\xc5\x84\":98",
                 ": model.vocab: \xc5\x84: not one of the 256 byte symbols" SO_FAR);
    refuse_vocab("\"b\":98", "\"\xe2\x96\x81\":98",
                 ": model.vocab: \xe2\x96\x81: not one of the 256 byte symbols" SO_FAR);
    refuse_vocab("\"b\":98", "\"\\t\":98",
                 ": model.vocab: ?: not one of the 256 byte symbols" SO_FAR);
    refuse_vocab("\"b\":98", "\"b\":97", ": model.vocab: id 97 appears twice");
    refuse_vocab("\"b\":98", "\"b\":-1",
                 ": model.vocab: b: its id must be a whole number from 0 to 2097151");
    refuse_vocab("\"b\":98", "\"b\":2097152",
                 ": model.vocab: b: its id must be a whole number from 0 to 2097151");
    refuse_vocab("\"b\":98", "\"b\":98.5",
                 ": model.vocab: b: its id must be a whole number from 0 to 2097151");
    refuse_vocab("\"b\":98", "\"a\":98", ":1: not JSON: duplicate object key near '\"a\"'");
}

static void files(void **state)
{
    (void)state;
    unlink(path);
    refuse(": No such file or directory");
    write_text("");
    refuse(":1: not JSON: unexpected token near end of file");
    write_text("[]");
    refuse(": must be an object");
    write_text("{}");
    refuse(": version = (missing): must be \"1.0\"");
    write_text("{\"version\":\"1.0\"}");
    refuse(": model: missing" SO_FAR);
    write_text("{\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}");
    refuse(": version = (missing): must be \"1.0\"");
    write_text("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}");
    refuse(": nested 17 deep: at most 16");
    write_text("{");
    assert_int_equal(truncate(path, (128 << 20) + 1), 0);
    refuse(": 134217729 bytes: at most 134217728");
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name);
    long_name[4999] = '\0';
    assert_null(tok_open(long_name, err, sizeof err));
    assert_non_null(strstr(err, "path too long"));
}

/* ---- memory ---- */

static void memory_runs_out(void **state)
{
    (void)state;
    write_parts(&(parts){ 0 });
    for (int mode = 0; mode < 2; mode++) {
        long n = 0;
        hi_tokenizer *t = NULL;
        for (for_ever = mode; !t; n++) {
            left = n;
            err[0] = '\0';
            t = tok_open(folder, err, sizeof err);
            left = -1;
            if (!t && !strstr(err, "out of memory"))
                fail_msg("request %ld: %s", n, err);
        }
        assert_true(n > 256); /* the vocabulary alone */
        size_t n_ids;
        left = 0;
        assert_null(tok_encode(t, "abc", 3, &n_ids, err, sizeof err));
        left = -1;
        assert_string_equal(err, "text of 3 bytes: out of memory");
        assert_null(tok_encode(t, "abc", SIZE_MAX, &n_ids, err, sizeof err));
        tok_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_there_and_back),
        cmocka_unit_test(special_token_with_a_bytes_id),
        cmocka_unit_test(special_tokens_of_their_own),
        cmocka_unit_test(nothing_in_front),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(vocabularies),
        cmocka_unit_test(files),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
