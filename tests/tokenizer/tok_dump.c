/*
** tok_dump.c - ids and texts of any tokenizer.json, for parity.py to compare.
**
**   tok_dump FOLDER          reads records from stdin: a line with the count of bytes, then the
**                            bytes. Writes a line of ids with what the post-processor adds, one
**                            of ids without, then for the latter's decoding with and without
**                            special tokens, at once and streamed, a line with the count of
**                            bytes and the bytes. A refused text gives the line "refused".
**   tok_dump -t FOLDER FILE  encodes the file some times: MB/s of each, tokens
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tokenizer.h"

static char err[1024];

static void *must(void *p)
{
    if (p)
        return p;
    fprintf(stderr, "tok_dump: %s\n", err[0] ? err : "out of memory");
    exit(1);
}

static void print_ids(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i > 0 ? " " : "", ids[i]);
    putchar('\n');
}

static void print_text(const char *s, size_t n)
{
    printf("%zu\n", n);
    fwrite(s, 1, n, stdout);
    putchar('\n');
}

static void print_streamed(const hi_tokenizer *t, const int32_t *ids, size_t n_ids, bool specials)
{
    tok_stream *s = must(tok_stream_open(t, specials));
    char *text = NULL;
    size_t all = 0, n;
    for (size_t i = 0; i <= n_ids; i++) {
        const char *more = i < n_ids ? tok_stream_put(s, ids[i], &n) : tok_stream_end(s, &n);
        must((void *)more);
        text = must(realloc(text, all + n + 1));
        memcpy(text + all, more, n);
        all += n;
    }
    print_text(text, all);
    free(text);
    tok_stream_close(s);
}

static void dump(const hi_tokenizer *t, const char *text, size_t n)
{
    size_t n_ids, n_text;
    int32_t *ids = tok_encode(t, text, n, &(tok_options){ .bos = true }, &n_ids, err, sizeof err);
    if (!ids) {
        puts("refused");
        return;
    }
    print_ids(ids, n_ids);
    free(ids);
    ids = must(tok_encode(t, text, n, &(tok_options){ 0 }, &n_ids, err, sizeof err));
    print_ids(ids, n_ids);
    for (int specials = 1; specials >= 0; specials--) {
        char *back = must(tok_decode(t, ids, n_ids, specials, &n_text, err, sizeof err));
        print_text(back, n_text);
        free(back);
        print_streamed(t, ids, n_ids, specials);
    }
    free(ids);
}

static void dump_all(const hi_tokenizer *t)
{
    size_t n;
    while (scanf("%zu", &n) == 1) {
        char *text = must(malloc(n + 1));
        getchar();
        if (fread(text, 1, n, stdin) != n)
            exit(1);
        dump(t, text, n);
        free(text);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* other programs may run */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(const hi_tokenizer *t, const char *path)
{
    FILE *f = must(fopen(path, "rb"));
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f), n_ids = 0;
    char *text = must(malloc(n + 1));
    rewind(f);
    if (fread(text, 1, n, f) != n)
        exit(1);
    fclose(f);
    for (int i = 0; i < 5; i++) {
        double start = now();
        free(must(tok_encode(t, text, n, &(tok_options){ 0 }, &n_ids, err, sizeof err)));
        double s = now() - start;
        printf("%.2f MB/s, %zu tokens\n", (double)n / 1e6 / s, n_ids);
    }
    free(text);
}

int main(int argc, char **argv)
{
    bool timed = argc == 4 && strcmp(argv[1], "-t") == 0;
    if (argc != 2 && !timed) {
        fprintf(stderr, "usage: tok_dump FOLDER | tok_dump -t FOLDER FILE\n");
        return 2;
    }
    double start = now();
    hi_tokenizer *t = must(tok_open(argv[timed ? 2 : 1], err, sizeof err));
    if (timed) {
        printf("opened in %.3f s\n", now() - start);
        measure(t, argv[3]);
    } else {
        dump_all(t);
    }
    tok_close(t);
    return 0;
}
