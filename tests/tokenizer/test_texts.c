/*
** test_texts.c - where special tokens may be recognised, and text that comes id by id.
**
** Uses the small tokenizers in vectors/.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tokenizer.h"

static char err[1024];

static hi_tokenizer *open_family(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tests/tokenizer/vectors/%s", name);
    hi_tokenizer *t = tok_open(path, err, sizeof err);
    if (!t)
        fail_msg("%s", err);
    return t;
}

/* How often a token is among the ids of a text, of which only the given spans are trusted. */
static int count(const hi_tokenizer *t, const char *token, const char *text, const tok_span *spans,
                 size_t n_spans)
{
    static const tok_span none[1];
    tok_options o = { .trusted = spans ? spans : none, .n_trusted = n_spans };
    size_t n;
    int found = 0;
    int32_t id = tok_id(t, token, strlen(token));
    assert_true(id >= 0);
    int32_t *ids = tok_encode(t, text, strlen(text), &o, &n, err, sizeof err);
    assert_non_null(ids);
    for (size_t i = 0; i < n; i++)
        found += ids[i] == id;
    free(ids);
    return found;
}

#define COUNT(t, token, text, ...)                           \
    count(t, token, text, (const tok_span[]){ __VA_ARGS__ }, \
          sizeof((const tok_span[]){ __VA_ARGS__ }) / sizeof(tok_span))

static void trusted_spans(void **state)
{
    (void)state;
    static const char text[] = "<|turn|>a<|turn|>b<|turn|>"; /* at 0, 9, 18; 8 bytes each */
    hi_tokenizer *t = open_family("llama3");
    size_t n;
    int32_t *ids = tok_encode(t, text, strlen(text), &(tok_options){ 0 }, &n, err, sizeof err);
    assert_int_equal(n, 5); /* NULL: everywhere */
    free(ids);
    assert_int_equal(count(t, "<|turn|>", text, NULL, 0), 0);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 0, 26 }), 3);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 0, 8 }), 1);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 0, 7 }), 0);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 1, 26 }), 2);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 9, 17 }), 1);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 10, 17 }), 0);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 0, 9 }, { 12, 13 }, { 18, 26 }), 2);
    assert_int_equal(COUNT(t, "<|turn|>", text, { 9, 12 }, { 12, 17 }), 0); /* not in one of them */
    tok_close(t);
}

/* A special token that is not trusted is text, and its text comes back. */
static void untrusted_is_text(void **state)
{
    (void)state;
    static const char text[] = "x<|turn|><|head|>y";
    hi_tokenizer *t = open_family("llama3");
    tok_options o = { .trusted = &(tok_span){ 0, 0 }, .n_trusted = 0 };
    size_t n, n_text;
    int32_t *ids = tok_encode(t, text, strlen(text), &o, &n, err, sizeof err);
    char *back = tok_decode(t, ids, n, false, &n_text, err, sizeof err);
    assert_string_equal(back, text);
    free(back);
    free(ids);
    tok_close(t);
}

/* Added tokens that are not special are found anywhere, also where a special one is not. */
static void others_are_found_anywhere(void **state)
{
    (void)state;
    hi_tokenizer *t = open_family("qwen");
    assert_int_equal(count(t, "<think>", "a<think>b", NULL, 0), 1);
    assert_int_equal(count(t, "<|im_end|>", "a<|im_end|><think>b", NULL, 0), 0);
    assert_int_equal(count(t, "<think>", "a<|im_end|><think>b", NULL, 0), 1);
    tok_close(t);
}

/* Searched for in normalized text, where places are other than in the raw one. */
static void trusted_in_normalized_text(void **state)
{
    (void)state;
    hi_tokenizer *t = open_family("llama2_normalized"); /* a space and the token are replaced */
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 0, 14 }), 3);
    assert_int_equal(count(t, "<s>", "<s>a <s> b <s>", NULL, 0), 0);
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 0, 3 }), 1);
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 4, 8 }), 1);
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 5, 8 }), 0); /* the space is its part */
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 4, 7 }), 0);
    assert_int_equal(COUNT(t, "<s>", "<s>a <s> b <s>", { 10, 14 }), 1);
    tok_close(t);
}

static void expect_put(tok_stream *s, const hi_tokenizer *t, const char *token, const char *want)
{
    size_t n = 99;
    int32_t id = token ? tok_id(t, token, strlen(token)) : 0;
    assert_true(id >= 0);
    const char *text = token ? tok_stream_put(s, id, &n) : tok_stream_end(s, &n);
    assert_non_null(text);
    assert_string_equal(text, want);
    assert_int_equal(n, strlen(want));
}

/* A character of bytes comes when it is whole; the space in front of the text does not. */
static void streams_of_byte_tokens(void **state)
{
    (void)state;
    hi_tokenizer *t = open_family("llama2");
    tok_stream *s = tok_stream_open(t, false);
    for (int twice = 0; twice < 2; twice++) { /* after the end it is as new */
        expect_put(s, t, "<s>", "");
        expect_put(s, t, "\xe2\x96\x81", "");
        expect_put(s, t, "a", "a");
        expect_put(s, t, "\xe2\x96\x81", " ");
        expect_put(s, t, "<0xF0>", "");
        expect_put(s, t, "<0x9F>", "");
        expect_put(s, t, "</s>", ""); /* is not there */
        expect_put(s, t, "<0x98>", "");
        expect_put(s, t, "<0x80>", "\xf0\x9f\x98\x80");
        expect_put(s, t, "<0x41>", "A");
        expect_put(s, t, "<0xE2>", "");
        expect_put(s, t, "b",
                   "\xef\xbf\xbd"
                   "b");
        expect_put(s, t, "<0xE2>", "");
        expect_put(s, t, "<0x41>", "\xef\xbf\xbd\xef\xbf\xbd");
        expect_put(s, t, "<0xC3>", "\xef\xbf\xbd"); /* the rest of a broken run is broken */
        expect_put(s, t, "<0xA9>", "\xef\xbf\xbd");
        expect_put(s, t, "b", "b");
        expect_put(s, t, "<0xE2>", "");
        expect_put(s, t, "<0x96>", "");
        expect_put(s, t, NULL, "\xef\xbf\xbd\xef\xbf\xbd"); /* one per byte */
    }
    tok_stream_close(s);
    s = tok_stream_open(t, true);
    expect_put(s, t, "<s>", "<s>");
    expect_put(s, t, "\xe2\x96\x81", " "); /* no longer in front */
    tok_stream_close(s);
    tok_close(t);
}

static void streams_of_bytes(void **state)
{
    (void)state;
    hi_tokenizer *t = open_family("gpt2");
    tok_stream *s = tok_stream_open(t, false);
    expect_put(s, t, "\xc3\xb0", "");                 /* the byte f0 */
    expect_put(s, t, "\xc5\x81", "");                 /* 9f */
    expect_put(s, t, "\xc4\xba", "");                 /* 98 */
    expect_put(s, t, "\xc4\xa2", "\xf0\x9f\x98\x80"); /* 80 */
    expect_put(s, t, "\xc3\xa2", "");                 /* e2 */
    expect_put(s, t, "\xc4\xb8", "");                 /* 96 */
    expect_put(s, t, "a",
               "\xef\xbf\xbd"
               "a"); /* one for both */
    expect_put(s, t, "\xc4\xb8", "\xef\xbf\xbd");
    expect_put(s, t, "\xc3\xa2", "");
    expect_put(s, t, NULL, "\xef\xbf\xbd");
    tok_stream_close(s);
    tok_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trusted_spans),
        cmocka_unit_test(untrusted_is_text),
        cmocka_unit_test(others_are_found_anywhere),
        cmocka_unit_test(trusted_in_normalized_text),
        cmocka_unit_test(streams_of_byte_tokens),
        cmocka_unit_test(streams_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
