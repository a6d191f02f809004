/*
** test_tokenizer.c - tokenizer.json: what is read, and what is refused by name.
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

/*
** jansson's buffer of a string grows by doubling; where that fails it loses the character and,
** if that was the last one, reads on behind its end. So the buffer is not what runs out here.
*/
static void *json_malloc(size_t n)
{
    bool is_buffer = n <= 1024 && (n & (n - 1)) == 0;
    return is_buffer ? __real_malloc(n) : malloc(n);
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

static const tok_options WITH = { .bos = true }, WITHOUT = { 0 };

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

/* Encodes and compares; "" for no ids. */
static void expect_ids(const hi_tokenizer *t, const char *text, size_t n_text, const tok_options *o,
                       const int32_t *want, size_t n_want)
{
    size_t n = 99;
    int32_t *ids = tok_encode(t, text, n_text, o, &n, err, sizeof err);
    assert_non_null(ids);
    assert_int_equal(n, n_want);
    assert_memory_equal(ids, want, n * sizeof *ids);
    free(ids);
}

#define EXPECT_IDS(t, text, o, ...)                                            \
    expect_ids(t, text, sizeof(text) - 1, o, (const int32_t[]){ __VA_ARGS__ }, \
               sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t))

static void expect_text(const hi_tokenizer *t, const int32_t *ids, size_t n_ids, bool specials,
                        const char *want, size_t n_want)
{
    size_t n = 99, done = 0, k;
    char *text = tok_decode(t, ids, n_ids, specials, &n, err, sizeof err);
    assert_non_null(text);
    assert_int_equal(n, n_want);
    assert_memory_equal(text, want, n + 1); /* with its 0 */
    free(text);
    tok_stream *s = tok_stream_open(t, specials);
    assert_non_null(s);
    for (size_t i = 0; i <= n_ids; i++) {
        const char *more = i < n_ids ? tok_stream_put(s, ids[i], &k) : tok_stream_end(s, &k);
        assert_non_null(more);
        assert_true(done + k <= n_want);
        assert_memory_equal(more, want + done, k);
        done += k;
    }
    assert_int_equal(done, n_want);
    tok_stream_close(s);
}

#define EXPECT_TEXT(t, want, specials, ...)                                                 \
    expect_text(t, (const int32_t[]){ __VA_ARGS__ },                                        \
                sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t), specials, want, \
                sizeof(want) - 1)

/* Every character there is, in both directions. */
static void every_byte_there_and_back(void **state)
{
    (void)state;
    write_parts(&(parts){ .vocab = vocab(3, 77), .added = "[]", .post = "null" });
    hi_tokenizer *t = must_open();
    assert_int_equal(tok_size(t), 259);
    for (int b = 0; b < 128; b++) {
        char c = (char)b;
        int32_t id = 3 + b * 77 % 256;
        expect_ids(t, &c, 1, &WITH, &id, 1);
        expect_text(t, &id, 1, true, (char[]){ c, '\0' }, 1);
    }
    for (int b = 128; b < 256; b++) { /* alone, no character */
        int32_t id = 3 + b * 77 % 256;
        expect_text(t, &id, 1, true, "\xef\xbf\xbd", 3);
    }
    EXPECT_IDS(t, "\xc3\xa9", &WITH, 3 + 0xc3 * 77 % 256, 3 + 0xa9 * 77 % 256);
    EXPECT_TEXT(t, "\xc3\xa9", true, 3 + 0xc3 * 77 % 256, 3 + 0xa9 * 77 % 256);
    EXPECT_TEXT(t, "", true, -1, 0, 2, 259, INT32_MAX, INT32_MIN); /* no tokens */
    tok_close(t);
}

/* The needle model's file: id 0 is BOS, and byte 0's symbol. */
static void special_token_with_a_bytes_id(void **state)
{
    (void)state;
    write_parts(&(parts){ 0 });
    hi_tokenizer *t = must_open();
    EXPECT_IDS(t, "a\0b", &WITH, 0, 'a', 0, 'b');
    EXPECT_IDS(t, "a\xc4\x80", &WITH, 0, 'a', 0); /* the special token's spelling */
    EXPECT_IDS(t, "a\xc4\x80",
               &((tok_options){ .trusted = (tok_span[]){ { 0, 2 } }, .n_trusted = 1 }), 'a', 0xc4,
               0x80);
    EXPECT_IDS(t, "", &WITH, 0);
    expect_ids(t, "", 0, &WITHOUT, NULL, 0);
    EXPECT_TEXT(t, "a", false, 0, 'a', 0);
    EXPECT_TEXT(t, "\0a", true, 0, 'a');
    assert_int_equal(tok_id(t, "\xc4\x80", 2), 0);
    assert_int_equal(tok_id(t, "a", 1), 'a');
    assert_int_equal(tok_id(t, "aa", 2), -1);
    assert_int_equal(tok_id(t, "", 0), -1);
    assert_int_equal(tok_size(t), 256);
    tok_close(t);
}

static void what_is_put_around(void **state)
{
    (void)state;
    write_parts(&(parts){
        .added = "[{\"id\":300,\"content\":\"<s>\",\"special\":true},"
                 "{\"id\":302,\"content\":\"<t>\",\"special\":true}]",
        .post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
                "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
                "{\"SpecialToken\":{\"id\":\"<t>\"}},{\"Sequence\":{\"id\":\"A\"}},"
                "{\"SpecialToken\":{\"id\":\"<s>\"}}],"
                "\"special_tokens\":{\"<s>\":{\"ids\":[300]},\"<t>\":{\"ids\":[302,300]}}}]}",
    });
    hi_tokenizer *t = must_open();
    assert_int_equal(tok_size(t), 303);
    EXPECT_IDS(t, "x<s>", &WITH, 300, 302, 300, 'x', 300, 300);
    EXPECT_IDS(t, "x<s>", &WITHOUT, 'x', 300);
    EXPECT_TEXT(t, "<t>a<s>", true, 302, 'a', 301, 300);
    EXPECT_TEXT(t, "a", false, 302, 'a', 301, 300);
    tok_close(t);
}

static void nothing_around(void **state)
{
    (void)state;
    static const parts p[] = {
        { .post = "null", .flags = ",\"dropout\":null,\"ignore_merges\":true" },
        { .post = "{\"type\":\"ByteLevel\"}", .flags = ",\"dropout\":0" },
        { .post = "{\"type\":\"Sequence\",\"processors\":[]}", .merges = "null" },
        { .post = "null", .added = "null", .flags = ",\"end_of_word_suffix\":\"\"" },
        { .post = "null", .flags = ",\"unk_token\":\"<none>\"" }, /* nothing is unknown */
    };
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        write_parts(&p[i]);
        hi_tokenizer *t = must_open();
        expect_ids(t, "", 0, &WITH, NULL, 0);
        EXPECT_IDS(t, "ab", &WITH, 'a', 'b');
        tok_close(t);
    }
}

/* ---- what is refused ---- */

#define REMEDY "; pass the prompt as --ids FILE"
#define NOT ": not supported" REMEDY
#define SPLIT(pattern) \
    "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"Isolated\",\"invert\":false}"
#define REGEX(pattern) SPLIT("{\"Regex\":\"" pattern "\"}")
#define REGEX_FIELD ": pre_tokenizer.pattern.Regex has "
#define ADD(fields) "[{\"content\":\"<x>\",\"id\":256" fields "}]"
#define SINGLE(items)                                                                             \
    "{\"type\":\"TemplateProcessing\",\"single\":[" items "],\"special_tokens\":{\"S\":{\"ids\":" \
    "[256]},\"T\":{\"ids\":[0.5]}}}"

static const struct {
    parts p;
    const char *message;
} BAD[] = {
    { { .version = "\"2.0\"" }, ": version = 2.0: must be \"1.0\"" },
    { { .version = "1" }, ": version = (missing): must be \"1.0\"" },
    { { .type = "\"Unigram\"" }, ": model = Unigram" NOT },
    { { .type = "3" }, ": model = (no type)" NOT },
    { { .merges = "{}" }, ": model.merges: must be an array" },
    { { .merges = "[3]" }, ": model.merges[0]: must be \"a b\" or [\"a\", \"b\"]" },
    { { .merges = "[\"ab\"]" }, ": model.merges[0]: must be \"a b\" or [\"a\", \"b\"]" },
    { { .merges = "[\"a b c\"]" }, ": model.merges[0]: must be \"a b\" or [\"a\", \"b\"]" },
    { { .merges = "[[\"a\"]]" }, ": model.merges[0]: must be \"a b\" or [\"a\", \"b\"]" },
    { { .merges = "[[\"a\",1]]" }, ": model.merges[0]: must be \"a b\" or [\"a\", \"b\"]" },
    { { .merges = "[\"a b\"]" }, ": model.merges[0]: ab: not in model.vocab" },
    { { .merges = "[[\"a\",\"xy\"]]" }, ": model.merges[0]: xy: not in model.vocab" },
    { { .merges = "[\" b\"]" }, ": model.merges[0]: : not in model.vocab" },
    { { .flags = ",\"continuing_subword_prefix\":\"##\"" },
      ": model.continuing_subword_prefix: must be null" NOT },
    { { .flags = ",\"end_of_word_suffix\":\"</w>\"" },
      ": model.end_of_word_suffix: must be null" NOT },
    { { .flags = ",\"dropout\":0.1" }, ": model.dropout: must be null" NOT },
    { { .flags = ",\"fuse_unk\":1" }, ": model.fuse_unk: must be true or false" },
    { { .flags = ",\"byte_fallback\":\"yes\"" }, ": model.byte_fallback: must be true or false" },
    { { .flags = ",\"ignore_merges\":[]" }, ": model.ignore_merges: must be true or false" },
    { { .flags = ",\"unk_token\":7" }, ": model.unk_token: must be a string or null" },
    { { .flags = ",\"unk_token\":\"u\"", .vocab = "{\"a\":1}" },
      ": model.unk_token = u: must be in model.vocab" },
    { { .flags = ",\"byte_fallback\":true", .vocab = "{\"a\":1}" },
      ": model.byte_fallback: must be false for a byte-level vocabulary that lacks bytes" REMEDY },
    { { .normalizer = "{\"type\":\"BertNormalizer\"}" }, ": normalizer = BertNormalizer" NOT },
    { { .normalizer = "7" }, ": normalizer = (no type)" NOT },
    { { .normalizer = "{\"type\":\"Sequence\"}" }, ": normalizer.normalizers: must be an array" },
    { { .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Sequence\"}]}" },
      ": normalizer = Sequence" NOT },
    { { .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,"
                      "16,17]}" },
      ": normalizer: 17 steps: at most 16" },
    { { .normalizer = "{\"type\":\"Prepend\"}" },
      ": normalizer.prepend: must be a string of at most 64 bytes" REMEDY },
    { { .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}" },
      ": normalizer.pattern: only a String is supported for Replace" REMEDY },
    { { .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}" },
      ": normalizer.pattern.String: must be a string that is not empty" },
    { { .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}" },
      ": normalizer.content: must be a string of at most 64 bytes" REMEDY },
    { { .pre = "{\"type\":\"Whitespace\"}" }, ": pre_tokenizer = Whitespace" NOT },
    { { .pre = "{\"type\":\"ByteLevel\",\"use_regex\":3}" },
      ": pre_tokenizer.use_regex: must be true or false" },
    { { .pre = "{\"type\":\"Sequence\",\"pretokenizers\":{}}" },
      ": pre_tokenizer.pretokenizers: must be an array" },
    { { .pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" PRE ",{\"type\":\"Digits\"}]}" },
      ": pre_tokenizer: Digits behind ByteLevel" NOT },
    { { .pre = "{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}" },
      ": pre_tokenizer.pattern.String: must be a string that is not empty" },
    { { .pre = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Kept\"}" },
      ": pre_tokenizer.behavior = Kept" NOT },
    { { .pre = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"}}" },
      ": pre_tokenizer.behavior: must be a string that is not empty" },
    { { .pre = "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}" },
      ": pre_tokenizer.replacement: must be one character" },
    { { .pre = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}" },
      ": pre_tokenizer.prepend_scheme = last: must be first, always or never" },
    { { .pre = REGEX("(") },
      ": pre_tokenizer.pattern.Regex: not a regular expression: missing closing "
      "parenthesis" REMEDY },
    { { .pre = REGEX("\\\\p{Nope}") },
      ": pre_tokenizer.pattern.Regex: not a regular expression: unknown property after \\P or "
      "\\p" REMEDY },
    { { .pre = REGEX("\\\\w+") },
      REGEX_FIELD "an escape that is not one of \\p \\P \\s \\S \\d \\D \\r \\n \\t \\f \\x" NOT },
    { { .pre = REGEX("[\\\\S]") },
      REGEX_FIELD "an escape that is not one of \\p \\P \\s \\S \\d \\D \\r \\n \\t \\f \\x" NOT },
    { { .pre = REGEX("a\\\\") },
      REGEX_FIELD "an escape that is not one of \\p \\P \\s \\S \\d \\D \\r \\n \\t \\f \\x" NOT },
    { { .pre = REGEX("^a") }, REGEX_FIELD "^ or $" NOT },
    { { .pre = REGEX("a$") }, REGEX_FIELD "^ or $" NOT },
    { { .pre = REGEX("a{1,2}+") }, REGEX_FIELD "}+" NOT },
    { { .pre = REGEX("[a&&b]") }, REGEX_FIELD "&& inside [ ]" NOT },
    { { .pre = REGEX("[a[b]]") }, REGEX_FIELD "a [ inside [ ]" NOT },
    { { .pre = REGEX("[]a]") }, REGEX_FIELD "an empty [ ]" NOT },
    { { .pre = REGEX("[^]a]") }, REGEX_FIELD "an empty [ ]" NOT },
    { { .pre = REGEX("(*UCP)a") }, REGEX_FIELD "(*" NOT },
    { { .pre = REGEX("(?m)a") },
      REGEX_FIELD "a group that is not one of (?: (?i: (?= (?! (?> (?<" NOT },
    { { .decoder = "null" }, ": decoder: missing" NOT },
    { { .decoder = "{\"type\":\"WordPiece\"}" },
      ": decoder: WordPiece: not supported, or not at this place" REMEDY },
    { { .decoder = "{\"type\":\"Sequence\"}" }, ": decoder.decoders: must be an array" },
    { { .decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":"
                   "\"ByteFallback\"}]}" },
      ": decoder: ByteFallback: not supported, or not at this place" REMEDY },
    { { .decoder = "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" },
      ": decoder: Strip is supported behind Fuse and with stop = 0" REMEDY },
    { { .decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},"
                   "{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}]}" },
      ": decoder.start: must be a whole number from 0 to 2147483647" },
    { { .decoder = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"}" },
      ": decoder.pattern: only a String is supported for Replace" REMEDY },
    { { .decoder = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}" },
      ": decoder.content: must be a string" },
    { { .vocab = "[]" }, ": model.vocab: must be an object with tokens" },
    { { .vocab = "{}" }, ": model.vocab: must be an object with tokens" },
    { { .vocab = "{\"a\":1,\"b\":1}" }, ": model.vocab: b: id 1 appears twice" },
    { { .vocab = "{\"b\":-1}" },
      ": model.vocab: b: its id must be a whole number from 0 to 4194303" },
    { { .vocab = "{\"b\":4194304}" },
      ": model.vocab: b: its id must be a whole number from 0 to 4194303" },
    { { .vocab = "{\"b\":1.5}" },
      ": model.vocab: b: its id must be a whole number from 0 to 4194303" },
    { { .vocab = "{\"b\":\"1\"}" },
      ": model.vocab: b: its id must be a whole number from 0 to 4194303" },
    { { .vocab = "{\"a\":1,\"a\":2}" }, ":1: not JSON: duplicate object key near '\"a\"'" },
    { { .added = "{}" }, ": added_tokens: must be an array" },
    { { .added = "[1]" }, ": added_tokens[0].content: must be a string that is not empty" },
    { { .added = "[{\"content\":\"\",\"id\":256}]" },
      ": added_tokens[0].content: must be a string that is not empty" },
    { { .added = "[{\"content\":\"x\",\"id\":4194304}]" },
      ": added_tokens[0].id: must be a whole number from 0 to 4194303" },
    { { .added = ADD(",\"special\":0") }, ": added_tokens[0].special: must be true or false" },
    { { .added = ADD(",\"lstrip\":0") }, ": added_tokens[0].lstrip: must be true or false" },
    { { .added = ADD(",\"rstrip\":0") }, ": added_tokens[0].rstrip: must be true or false" },
    { { .added = ADD(",\"single_word\":0") },
      ": added_tokens[0].single_word: must be true or false" },
    { { .added = ADD(",\"normalized\":0") },
      ": added_tokens[0].normalized: must be true or false" },
    { { .added = "[{\"content\":\"x\",\"id\":256}]" },
      ": added_tokens[0] = x: id = 256: there already as 120" },
    { { .added = "[{\"content\":\"<x>\",\"id\":7}]" },
      ": added_tokens[0] = <x>: id 7 is another token's" },
    { { .added = "[{\"content\":\"<x>\",\"id\":256},{\"content\":\"<x>\",\"id\":256}]" },
      ": added_tokens[1] = <x>: twice in added_tokens" },
    { { .added = "[{\"content\":\"<x>\",\"id\":256},{\"content\":\"<x>\",\"id\":257}]" },
      ": added_tokens[1] = <x>: id = 257: there already as 256" },
    { { .added = "[{\"content\":\"<x>\",\"id\":256},{\"content\":\"<y>\",\"id\":256}]" },
      ": added_tokens[1] = <y>: id 256 is another token's" },
    { { .added = ADD(""),
        .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"<x>\"},"
                      "\"content\":\"\"}" },
      ": added_tokens[0]: nothing is left of its content when normalized" },
    { { .added = "[{\"content\":\"<x>\",\"id\":256},{\"content\":\"<y>\",\"id\":257}]",
        .normalizer =
            "{\"type\":\"Replace\",\"pattern\":{\"String\":\"<y>\"},\"content\":\"<x>\"}" },
      ": added_tokens[1]: searched for like added_tokens[0]" },
    { { .post = "{\"type\":\"BertProcessing\"}" }, ": post_processor = BertProcessing" NOT },
    { { .post = "{\"type\":\"Sequence\"}" }, ": post_processor.processors: must be an array" },
    { { .post = "{\"type\":\"Sequence\",\"processors\":[" TEMPLATE "," TEMPLATE "]}" },
      ": post_processor: more than one TemplateProcessing" NOT },
    { { .post = SINGLE("") }, ": post_processor.single: must hold sequence A once" },
    { { .post = SINGLE("{\"Sequence\":{\"id\":\"A\"}},{\"Sequence\":{\"id\":\"A\"}}") },
      ": post_processor.single: must hold sequence A once" },
    { { .post = SINGLE("{\"Sequence\":{\"id\":\"B\"}}") },
      ": post_processor.single[0]: must be a SpecialToken or Sequence A" },
    { { .post = SINGLE("{\"SpecialToken\":{}}") },
      ": post_processor.single[0]: must be a SpecialToken or Sequence A" },
    { { .post = SINGLE("{\"SpecialToken\":{\"id\":\"N\"}}") },
      ": post_processor.special_tokens: N: must have ids" },
    { { .post = SINGLE("{\"SpecialToken\":{\"id\":\"S\"}}") },
      ": post_processor.special_tokens: S: ids must be tokens of this file" },
    { { .post = SINGLE("{\"SpecialToken\":{\"id\":\"T\"}}") },
      ": post_processor.special_tokens: T: ids must be tokens of this file" },
};

static void refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        write_parts(&BAD[i].p);
        refuse(BAD[i].message);
    }
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
    refuse(": model: must be an object");
    write_text("{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}");
    refuse(": nested 17 deep: at most 16");
    write_text("{");
    assert_int_equal(truncate(path, (256 << 20) + 1), 0);
    refuse(": 268435457 bytes: at most 268435456");
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name);
    long_name[4999] = '\0';
    assert_null(tok_open(long_name, err, sizeof err));
    assert_non_null(strstr(err, "path too long"));
}

/* Every way to be no UTF-8, behind more than the eight bytes that are looked at together. */
static void texts_that_are_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = { "\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xc3",
                                       "\xc3(",
                                       "\xe0\x80\x80",
                                       "\xe2\x82",
                                       "\xed\xa0\x80",
                                       "\xf0\x80\x80\x80",
                                       "\xf0\x9f\x98",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff" };
    write_parts(&(parts){ 0 });
    hi_tokenizer *t = must_open();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[32], want[128];
        size_t n_ids;
        snprintf(text, sizeof text, "0123456789\xc3\xa9%s", bad[i]);
        snprintf(want, sizeof want, "the text is not UTF-8: byte 12 is 0x%02x: convert it to UTF-8",
                 (unsigned char)*bad[i]);
        assert_null(tok_encode(t, text, strlen(text), &WITH, &n_ids, err, sizeof err));
        assert_string_equal(err, want);
    }
    size_t n_ids;
    assert_null(tok_encode(t, "a", 1 << 30, &WITH, &n_ids, err, sizeof err));
    assert_string_equal(err, "text of 1073741824 bytes: at most 1073741823");
    tok_close(t);
}

/* ---- memory ---- */

/* A file with every part in it. */
static const parts FULL = {
    .added = "[{\"id\":0,\"content\":\"\xc4\x80\",\"special\":true},"
             "{\"id\":260,\"content\":\"<w>\",\"single_word\":true,\"normalized\":true}]",
    .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
                  "{\"type\":\"Replace\",\"pattern\":{\"String\":\"~\"},\"content\":\"--\"}]}",
    .pre =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Metaspace\",\"replacement\":\"_\","
        "\"prepend_scheme\":\"first\",\"split\":true}," REGEX("[x-z]+") "," PRE "]}",
    .flags = ",\"ignore_merges\":true",
    .merges = "[\"#version: 1\",[\"e\",\"e\"]]",
};

static char *full_vocab(void)
{
    static char text[8192];
    snprintf(text, sizeof text, "%.*s,\"ee\":256}", (int)strlen(vocab(0, 1)) - 1, vocab(0, 1));
    return text;
}

/* One use of everything that takes memory; 0 if it ran out somewhere. */
static int use_all(const hi_tokenizer *t)
{
    static const char text[] =
        "a <w> eeeeee~e\xcc\x81\xcc\xa3 <w> eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
        "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
        "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    size_t n_ids, n;
    tok_options o = { .bos = true, .trusted = &(tok_span){ 0, 3 }, .n_trusted = 1 };
    int32_t *ids = tok_encode(t, text, sizeof text - 1, &o, &n_ids, err, sizeof err);
    if (!ids)
        return 0;
    char *back = tok_decode(t, ids, n_ids, true, &n, err, sizeof err);
    tok_stream *s = tok_stream_open(t, true);
    bool done = back && s;
    for (size_t i = 0; done && i < n_ids; i++)
        done = tok_stream_put(s, ids[i], &n);
    done = done && tok_stream_end(s, &n);
    free(ids);
    free(back);
    tok_stream_close(s);
    return done;
}

static void memory_runs_out(void **state)
{
    (void)state;
    parts p = FULL;
    p.vocab = full_vocab();
    write_parts(&p);
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
        int done = 0;
        for (n = 0; !done; n++) {
            left = n;
            done = use_all(t);
            left = -1;
        }
        assert_true(n > 10);
        tok_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_there_and_back),
        cmocka_unit_test(special_token_with_a_bytes_id),
        cmocka_unit_test(what_is_put_around),
        cmocka_unit_test(nothing_around),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(files),
        cmocka_unit_test(texts_that_are_not_utf8),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
