/*
** test_merges.c - BPE beside a slow one that looks through all merges for each step, on random
** vocabularies and texts; and that long texts cost about as much per byte as short ones.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>
#include "folder.h"

enum {
    MERGES = 200,
    MOST = 600, /* symbols of a text */
    LONG = 40   /* bytes of a token */
};

static uint64_t seed = 1;

static unsigned below(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* ---- a random vocabulary ---- */

typedef struct book {
    bool byte_level, whole;
    const char *symbol[8]; /* as the file spells them */
    const char *text[8];   /* as texts do */
    int n_symbols;
    char token[8 + MERGES][LONG * 4]; /* the symbols first */
    char plain[8 + MERGES][LONG * 4]; /* the text of each */
    int left[MERGES], right[MERGES], made[MERGES];
    int n_tokens, n_merges;
} book;

static int find_token(const book *b, const char *token)
{
    for (int i = 0; i < b->n_tokens; i++)
        if (strcmp(b->token[i], token) == 0)
            return i;
    return -1;
}

static void add_token(book *b, const char *token, const char *plain)
{
    strcpy(b->token[b->n_tokens], token);
    strcpy(b->plain[b->n_tokens++], plain);
}

/* Some merges make a token that another one makes too; parts may come later than what they make. */
static void fill(book *b)
{
    for (int i = 0; i < b->n_symbols; i++)
        add_token(b, b->symbol[i], b->text[i]);
    while (b->n_merges < MERGES) {
        int l = (int)below((unsigned)b->n_tokens), r = (int)below((unsigned)b->n_tokens);
        char token[LONG * 8], plain[LONG * 8];
        sprintf(token, "%s%s", b->token[l], b->token[r]);
        sprintf(plain, "%s%s", b->plain[l], b->plain[r]);
        bool there = false;
        for (int i = 0; i < b->n_merges; i++)
            there |= b->left[i] == l && b->right[i] == r;
        if (there || strlen(token) >= LONG)
            continue;
        if (find_token(b, token) < 0)
            add_token(b, token, plain);
        b->left[b->n_merges] = l;
        b->right[b->n_merges] = r;
        b->made[b->n_merges++] = find_token(b, token);
    }
    for (int i = 0; i < b->n_merges; i++) { /* ranks in any order */
        int j = (int)below(MERGES), l = b->left[i], r = b->right[i], m = b->made[i];
        b->left[i] = b->left[j], b->right[i] = b->right[j], b->made[i] = b->made[j];
        b->left[j] = l, b->right[j] = r, b->made[j] = m;
    }
}

/* The byte-level file has all 256 symbols, the other 256 byte tokens: pieces are cut then. */
static void print_rest(FILE *f, const book *b, bool all)
{
    int id = b->n_tokens, others = 0x100;
    for (int i = 0; all && i < 256; i++) {
        char name[16];
        bool plain = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        int c = plain ? i : others;
        others += !plain;
        if (!b->byte_level)
            sprintf(name, "<0x%02X>", i);
        else if (c == '"' || c == '\\')
            sprintf(name, "\\%c", c);
        else if (c < 0x80)
            sprintf(name, "%c", c);
        else
            sprintf(name, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
        if (find_token(b, name) < 0)
            fprintf(f, ",\"%s\":%d", name, id++);
    }
}

static hi_tokenizer *open_book(const book *b, bool all)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    fprintf(f,
            "{\"version\":\"1.0\",\"pre_tokenizer\":%s,\"decoder\":%s,\"model\":{\"type\":\"BPE\","
            "\"ignore_merges\":%s,\"byte_fallback\":%s,\"vocab\":{",
            b->byte_level
                ? "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
                : "null",
            b->byte_level ? "{\"type\":\"ByteLevel\"}" : "{\"type\":\"Fuse\"}",
            b->whole ? "true" : "false", b->byte_level || !all ? "false" : "true");
    for (int i = 0; i < b->n_tokens; i++)
        fprintf(f, "%s\"%s\":%d", i > 0 ? "," : "", b->token[i], i);
    print_rest(f, b, all);
    fprintf(f, "},\"merges\":[");
    for (int i = 0; i < b->n_merges; i++)
        fprintf(f, "%s[\"%s\",\"%s\"]", i > 0 ? "," : "", b->token[b->left[i]],
                b->token[b->right[i]]);
    fprintf(f, "]}}");
    fclose(f);
    hi_tokenizer *t = folder_open(text, n);
    if (!t)
        fail_msg("%s", folder_err);
    free(text);
    return t;
}

/* ---- the slow one ---- */

static int merge_slowly(const book *b, int *symbol, int n)
{
    for (;;) {
        int best = MERGES, at = -1;
        for (int i = 0; i + 1 < n; i++)
            for (int m = 0; m < best; m++)
                if (b->left[m] == symbol[i] && b->right[m] == symbol[i + 1]) {
                    best = m;
                    at = i;
                }
        if (at < 0)
            return n;
        symbol[at] = b->made[best];
        memmove(symbol + at + 1, symbol + at + 2, (size_t)(n - at - 2) * sizeof *symbol);
        n--;
    }
}

static void compare(const book *b, const hi_tokenizer *t)
{
    static char text[MOST * 4];
    static int want[MOST];
    int n = 1 + (int)below(below(4) == 0 ? MOST : 40), run = 0, last = 0;
    size_t n_text = 0, n_ids;
    for (int i = 0; i < n; i++) {
        run = run > 0 ? run - 1 : below(20) == 0 ? (int)below(100) : 0;
        last = run > 0 ? last : (int)below((unsigned)b->n_symbols);
        want[i] = last;
        n_text += (size_t)sprintf(text + n_text, "%s", b->text[last]);
    }
    int whole = -1;
    for (int i = 0; b->whole && i < b->n_tokens; i++)
        if (strcmp(b->plain[i], text) == 0)
            whole = i;
    if (whole >= 0)
        n = 1, want[0] = whole;
    else
        n = merge_slowly(b, want, n);
    int32_t *ids = tok_encode(t, text, n_text, &(tok_options){ 0 }, &n_ids, folder_err, 1024);
    assert_non_null(ids);
    bool same = n_ids == (size_t)n;
    for (int i = 0; same && i < n; i++)
        same = ids[i] == want[i];
    if (!same)
        fail_msg("%s: other ids", text);
    size_t n_back;
    char *back = tok_decode(t, ids, n_ids, true, &n_back, folder_err, 1024);
    assert_int_equal(n_back, n_text);
    assert_memory_equal(back, text, n_text);
    free(back);
    free(ids);
}

static const book BYTES = { .byte_level = true,
                            .symbol = { "a", "b", "c", "\xc4\xa0" },
                            .text = { "a", "b", "c", " " },
                            .n_symbols = 4 };
static const book CHARS = { .symbol = { "a", "b", "c", "\xe2\x96\x81", "\xc3\xa9" },
                            .text = { "a", "b", "c", "\xe2\x96\x81", "\xc3\xa9" },
                            .n_symbols = 5 };

static void as_the_slow_one(void **state)
{
    (void)state;
    static book b;
    for (int i = 0; i < 40; i++) {
        b = i % 2 == 0 ? BYTES : CHARS;
        b.whole = i / 2 % 2;
        fill(&b);
        hi_tokenizer *t = open_book(&b, i / 4 % 2);
        for (int k = 0; k < 100; k++)
            compare(&b, t);
        tok_close(t);
    }
}

/* What is a token stays whole as a piece, but not as a part of a longer piece that is cut. */
static void parts_are_no_pieces(void **state)
{
    (void)state;
    static const int32_t whole[] = { 6 }, apart[] = { 1, 2 };
    static book b;
    size_t n;
    b = (book){ .whole = true, .symbol = { "a", "x", "y", "q" }, .n_symbols = 4, .n_merges = 2 };
    for (int i = 0; i < b.n_symbols; i++)
        add_token(&b, b.symbol[i], b.symbol[i]);
    add_token(&b, "ax", "ax");
    add_token(&b, "axy", "axy"); /* so x and y may lie at a seam */
    add_token(&b, "xy", "xy");
    b.left[0] = 0, b.right[0] = 1, b.made[0] = 4;
    b.left[1] = 4, b.right[1] = 2, b.made[1] = 5;
    hi_tokenizer *t = open_book(&b, true);
    for (int twice = 0; twice < 2; twice++) {
        int32_t *ids = tok_encode(t, "xy", 2, &(tok_options){ 0 }, &n, folder_err, 1024);
        assert_int_equal(n, 1);
        assert_memory_equal(ids, whole, sizeof whole);
        free(ids);
        ids = tok_encode(t, "xyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", 38, &(tok_options){ 0 }, &n,
                         folder_err, 1024);
        assert_int_equal(n, 38);
        assert_memory_equal(ids, apart, sizeof apart);
        free(ids);
    }
    tok_close(t);
}

/* ---- long texts ---- */

static double seconds(const hi_tokenizer *t, const char *text, size_t n)
{
    struct timespec from, to;
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        size_t n_ids;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        int32_t *ids = tok_encode(t, text, n, &(tok_options){ 0 }, &n_ids, folder_err, 1024);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        assert_non_null(ids);
        free(ids);
        double s = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        best = s < best ? s : best;
    }
    return best;
}

/* Sixteen times the text must not take the square of that, in any pipeline. */
static void long_texts(void **state)
{
    (void)state;
    enum {
        N = 1 << 19
    };
    static book b;
    char *text = malloc(N);
    assert_non_null(text);
    for (int i = 0; i < 4; i++) {
        b = i % 2 == 0 ? BYTES : CHARS;
        fill(&b);
        hi_tokenizer *t = open_book(&b, i < 2);
        for (int kind = 0; kind < 2; kind++) {
            for (size_t k = 0; k < N; k++)
                text[k] = kind == 0 ? 'a' : (char)('a' + below(3));
            double few = seconds(t, text, N / 16), many = seconds(t, text, N);
            if (many > 16 * 5 * few + 0.05)
                fail_msg("%d bytes take %.3f s, a sixteenth %.3f s", N, many, few);
        }
        tok_close(t);
    }
    free(text);
}

static int make(void **state)
{
    (void)state;
    return folder_make();
}

static int clear(void **state)
{
    (void)state;
    return folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_slow_one),
        cmocka_unit_test(parts_are_no_pieces),
        cmocka_unit_test(long_texts),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
