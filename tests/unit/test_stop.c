/*
** test_stop.c - stop strings, however the text is cut.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "stop.h"

enum {
    LONGEST = 40,
    LONG = 1000
};

static uint64_t noise = 7;

static int below(int n)
{
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    return (int)((noise >> 33) % (uint64_t)n);
}

static void random_text(char *text, int n, int letters)
{
    for (int i = 0; i < n; i++)
        text[i] = (char)('a' + below(letters));
    text[n] = '\0';
}

/* Bytes before the first stop string that is complete, the longest of those; all of them if none.
 */
static size_t reference(const char *text, const char *const *strings, int n, bool *found)
{
    for (size_t end = 1; end <= strlen(text); end++) {
        size_t longest = 0;
        for (int i = 0; i < n; i++) {
            size_t len = strlen(strings[i]);
            if (len <= end && len > longest && strncmp(text + end - len, strings[i], len) == 0)
                longest = len;
        }
        if (longest > 0) {
            *found = true;
            return end - longest;
        }
    }
    *found = false;
    return strlen(text);
}

/* Might text that begins at 'at' go on as a stop string? */
static bool open_at(const char *text, size_t at, const char *const *strings, int n)
{
    for (int i = 0; i < n; i++)
        if (strncmp(text + at, strings[i], strlen(text + at)) == 0)
            return true;
    return false;
}

/* Feeds the text in random pieces. Shown is always a beginning of the result, and all of it that is
   certain. */
static void feed(stop *s, const char *text, const char *const *strings, int n)
{
    char shown[2 * LONGEST] = "", sofar[LONGEST + 1] = "";
    size_t len = strlen(text), all = 0, n_out;
    bool found;
    size_t expected = reference(text, strings, n, &found);

    for (size_t at = 0; at < len && !stop_found(s);) {
        size_t piece = (size_t)below(5);
        piece = piece > len - at ? len - at : piece;
        const char *out = stop_put(s, text + at, piece, &n_out);
        assert_non_null(out);
        memcpy(shown + all, out, n_out);
        all += n_out;
        at += piece;
        memcpy(sofar, text, at);
        sofar[at] = '\0';
        assert_true(all <= expected);
        if (!stop_found(s) && all < at)
            assert_true(open_at(sofar, all, strings, n));
    }
    assert_int_equal(stop_found(s), found);
    if (!found) {
        const char *out = stop_end(s, &n_out);
        memcpy(shown + all, out, n_out);
        all += n_out;
    }
    assert_int_equal(all, expected);
    assert_memory_equal(shown, text, expected);
    stop_put(s, "more", found ? 4 : 0, &n_out);
    assert_int_equal(n_out, 0);
    stop_reset(s);
    assert_false(stop_found(s));
}

static void however_it_is_cut(void **state)
{
    char text[LONGEST + 1], storage[4][8];
    const char *strings[4];

    (void)state;
    for (int i = 0; i < 4000; i++) {
        int n = below(5);
        for (int j = 0; j < n; j++) {
            random_text(storage[j], 1 + below(6), 2 + i % 2);
            strings[j] = storage[j];
        }
        stop *s = stop_open(strings, n);
        assert_non_null(s);
        for (int j = 0; j < 8; j++) {
            random_text(text, below(LONGEST + 1), 2 + i % 2);
            feed(s, text, strings, n);
        }
        stop_close(s);
    }
}

static void nothing_to_stop_at(void **state)
{
    size_t n;
    stop *s = stop_open(NULL, 0);

    (void)state;
    assert_memory_equal(stop_put(s, "abc\0d", 5, &n), "abc\0d", 5);
    assert_int_equal(n, 5);
    stop_end(s, &n);
    assert_int_equal(n, 0);
    stop_close(s);
}

/* Much is held back, and then is the beginning of nothing. */
static void long_ones(void **state)
{
    static char text[LONG + 1], string[LONG / 2 + 2];
    const char *const strings[] = { string };
    size_t all = 0, n;

    (void)state;
    memset(string, 'a', LONG / 2);
    string[LONG / 2] = 'b';
    memset(text, 'a', LONG);
    for (int c = 'b'; c <= 'c'; c++) {
        stop *s = stop_open(strings, 1);
        all = 0;
        for (size_t at = 0; at < LONG; at += 7) {
            stop_put(s, text + at, LONG - at < 7 ? LONG - at : 7, &n);
            all += n;
            assert_true(all <= LONG / 2);
        }
        stop_put(s, (const char[]){ (char)c }, 1, &n);
        assert_int_equal(stop_found(s), c == 'b');
        assert_int_equal(all + n, c == 'b' ? LONG / 2 : LONG + 1);
        stop_close(s);
    }
}

static void memory_runs_out(void **state)
{
    static const char *const strings[] = { "stop" };
    static char long_text[1000];
    size_t n;

    (void)state;
    for (int i = 0; i < 2; i++) {
        left = i;
        assert_null(stop_open(strings, 1));
        left = -1;
    }
    stop *s = stop_open(strings, 1);
    left = 0;
    assert_null(stop_put(s, long_text, sizeof long_text, &n));
    left = -1;
    stop_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_it_is_cut),
        cmocka_unit_test(nothing_to_stop_at),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
