/*
** fuzz_tokenizer.c - damaged tokenizer.json files and any bytes as text.
**
**   fuzz_tokenizer [-s SECONDS] FOLDER..     for that long (5 s) changes the tokenizer.json of
**                                            one of the folders, the same way every time
**
** A file that is still accepted must encode to ids that it has, or refuse the text, and
** decode any ids to UTF-8.
*/
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "folder.h"
#include "tok_text.h"

enum {
    MOST = 1 << 16,
    MOST_TEXT = 300
};

static const char *const PIECE[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\xff",
    "\xc3\xa9",
    "\xe2\x96\x81",
    " ",
    "0",
    "-1",
    "4194303",
    "1e5",
    "null",
    "true",
    "false",
    "\"\"",
    "\" \"",
    "[]",
    "{}",
    "[[\"a\",\"b\"]]",
    "\"NFKC\"",
    "\"Isolated\"",
    "\"Removed\"",
    "\"MergedWithNext\"",
    "\"Contiguous\"",
    "\"invert\":true",
    "\"Regex\":\"(a|b)*\"",
    "\"Regex\":\"\\\\s|(?=a)\"",
    "\"String\":\"a\"",
    "\"Sequence\"",
    "\"Fuse\"",
    "\"Metaspace\"",
    "\"ByteLevel\"",
    "\"ByteFallback\"",
    "\"Digits\"",
    "\"normalized\":true",
    "\"lstrip\":true",
    "\"rstrip\":true",
    "\"single_word\":true",
    "\"special\":true",
    "\"<0x41>\"",
};

static uint64_t random_state = 1;

static size_t below(size_t n) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return n > 0 ? (size_t)((random_state * 0x2545f4914f6cdd1du) >> 33) % n : 0;
}

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* ---- files ---- */

static size_t splice(char *b, size_t used, size_t at, size_t out, const char *in, size_t n)
{
    static char copy[MOST];
    if (used - out + n > MOST)
        return used;
    memcpy(copy, in, n);
    memmove(b + at + n, b + at + out, used - at - out);
    memcpy(b + at, copy, n);
    return used - out + n;
}

/* A place where a value, a name or a list begins: damage elsewhere is mostly bad JSON. */
static size_t place(const char *b, size_t used)
{
    size_t at = below(used);
    while (below(8) > 0 && at < used - 1 && !strchr("\":,[{", b[at]))
        at++;
    return at;
}

static size_t mutate(char *b, size_t used)
{
    size_t at = place(b, used), n = below(used - at < 24 ? used - at : 24);
    const char *piece = PIECE[below(sizeof PIECE / sizeof *PIECE)];
    char digits[24];
    switch (below(16)) {
    case 0:
        b[at] ^= (char)(1 << below(8));
        return used;
    case 1:
        return splice(b, used, at, n, "", 0);
    case 2:
        return splice(b, used, at, n, b + place(b, used - n), n);
    case 3:
        return splice(b, used, at, 0, piece, strlen(piece));
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: /* one whole string or number by a piece */
        for (at++, n = 0; at + n < used && !strchr(",:]}", b[at + n]) && n < 40;)
            n++;
        return at < used ? splice(b, used, at, n, piece, strlen(piece)) : used;
    default:
        snprintf(digits, sizeof digits, "%zu", below(600));
        return splice(b, used, at, 1, digits, strlen(digits));
    }
}

/* ---- texts ---- */

static size_t make_text(char *text)
{
    size_t n = below(MOST_TEXT), kind = below(4);
    for (size_t i = 0; i < n; i++)
        text[i] = kind == 0 ? (char)below(256) : kind == 1 ? 'a' : (char)(0x20 + below(0x60));
    for (size_t i = 0; kind == 3 && i + 3 < n; i += 3 + below(9))
        memcpy(text + i, below(2) ? "\xe2\x96\x81" : "<s>", 3);
    return n;
}

static void decode(const hi_tokenizer *t, const int32_t *ids, size_t n_ids)
{
    char err[256];
    size_t n, all = 0, part;
    char *text = tok_decode(t, ids, n_ids, below(2), &n, err, sizeof err);
    check(text && tok_utf8_valid(text, n) == n, "decoded to what is not UTF-8");
    tok_stream *s = tok_stream_open(t, true);
    for (size_t i = 0; i <= n_ids; i++) {
        const char *more = i < n_ids ? tok_stream_put(s, ids[i], &part) : tok_stream_end(s, &part);
        check(more && tok_utf8_valid(more, part) == part, "streamed what is not UTF-8");
        all += part;
    }
    tok_stream_close(s);
    free(text);
}

static void use(const hi_tokenizer *t)
{
    char text[MOST_TEXT], err[256] = "";
    int32_t any[16];
    size_t n = make_text(text), n_ids;
    tok_span span = { below(n + 1), n };
    tok_options o = { .bos = below(2), .trusted = below(2) ? &span : NULL, .n_trusted = below(2) };
    int32_t *ids = tok_encode(t, text, n, &o, &n_ids, err, sizeof err);
    check(ids || err[0] != '\0', "refused without a message");
    for (size_t i = 0; ids && i < n_ids; i++)
        check(ids[i] >= 0 && ids[i] < tok_size(t), "an id out of range");
    if (ids)
        decode(t, ids, n_ids);
    free(ids);
    for (size_t i = 0; i < sizeof any / sizeof *any; i++)
        any[i] = (int32_t)below((size_t)tok_size(t) + 3) - 1;
    decode(t, any, sizeof any / sizeof *any);
}

static void mutate_for(double seconds, const char *const *folders, size_t n_folders)
{
    static char seed[MOST], b[MOST];
    long runs = 0, accepted = 0;
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    for (; runs % 64 != 0 || clock() < end; runs++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/tokenizer.json", folders[below(n_folders)]);
        FILE *f = fopen(path, "r");
        check(f, path);
        size_t used = fread(seed, 1, sizeof seed, f);
        fclose(f);
        memcpy(b, seed, used);
        for (size_t k = 1 + below(2); k > 0; k--)
            used = mutate(b, used);
        hi_tokenizer *t = folder_open(b, used);
        check(t || folder_err[0] != '\0', "refused without a message");
        for (int k = 0; t && k < 8; k++)
            use(t);
        accepted += t != NULL;
        tok_close(t);
    }
    printf("%ld files, %ld accepted\n", runs, accepted);
    check(accepted > 0, "no file was accepted");
}

int main(int argc, char **argv)
{
    bool timed = argc > 2 && strcmp(argv[1], "-s") == 0;
    int first = timed ? 3 : 1;
    if (argc <= first) {
        fprintf(stderr, "usage: fuzz_tokenizer [-s SECONDS] FOLDER..\n");
        return 2;
    }
    if (folder_make() != 0)
        return 1;
    mutate_for(timed ? atof(argv[2]) : 5, (const char *const *)argv + first,
               (size_t)(argc - first));
    return folder_remove();
}
