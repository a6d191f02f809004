/*
** test_vectors.c - small tokenizers with the pipelines of the large families: the same ids and
** texts as recorded by make_vectors.py, none different.
**
**   test_vectors FOLDER..     each holds tokenizer.json and vectors.jsonl
*/
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer.h"

enum {
    SHOWN = 10 /* differences printed per folder */
};

typedef struct run {
    const hi_tokenizer *t;
    const char *folder;
    const json_t *before; /* ids that the post-processor puts in front */
    int line, bad, texts;
} run;

static char err[1024];

static void differs(run *r, const char *what)
{
    if (r->bad++ < SHOWN)
        fprintf(stderr, "%s/vectors.jsonl:%d: %s differs\n", r->folder, r->line, what);
}

static bool same_ids(const int32_t *ids, size_t n, const json_t *before, const json_t *want)
{
    size_t front = json_array_size(before);
    bool same = n == front + json_array_size(want);
    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(i < front ? json_array_get(before, i)
                                                      : json_array_get(want, i - front));
    return same;
}

static void check_ids(run *r, const json_t *text, const json_t *v, bool bos)
{
    const json_t *ids = json_object_get(v, "ids"), *bare = json_object_get(v, "bare");
    size_t n = 0;
    int32_t *got = tok_encode(r->t, json_string_value(text), json_string_length(text),
                              &(tok_options){ .bos = bos }, &n, err, sizeof err);
    bool same = got && (bos && ids ? same_ids(got, n, NULL, ids)
                                   : same_ids(got, n, bos ? r->before : NULL, bare));
    if (!same)
        differs(r, bos ? "ids" : "bare");
    free(got);
}

/* Every single step gives whole characters. */
static bool same_stream(run *r, const int32_t *ids, size_t n_ids, bool specials, const char *want,
                        size_t n_want)
{
    tok_stream *s = tok_stream_open(r->t, specials);
    size_t done = 0, n;
    bool same = s;
    for (size_t i = 0; same && i <= n_ids; i++) {
        const char *more = i < n_ids ? tok_stream_put(s, ids[i], &n) : tok_stream_end(s, &n);
        same = more && n <= n_want - done && memcmp(more, want + done, n) == 0;
        done += same ? n : 0;
        same = same && (done == n_want || (want[done] & 0xc0) != 0x80);
    }
    tok_stream_close(s);
    return same && done == n_want;
}

static void check_text(run *r, const int32_t *ids, size_t n_ids, bool specials, const json_t *want)
{
    size_t n = 0, n_want = json_string_length(want);
    const char *text = json_string_value(want), *what = specials ? "all" : "plain";
    char *got = tok_decode(r->t, ids, n_ids, specials, &n, err, sizeof err);
    bool broken = strstr(text, "\xef\xbf\xbd"); /* see tok_stream */
    if (!got || n != n_want || memcmp(got, text, n) != 0)
        differs(r, what);
    else if (!broken && !same_stream(r, ids, n_ids, specials, text, n_want))
        differs(r, "the stream");
    free(got);
}

static void check_line(run *r, const json_t *v)
{
    const json_t *text = json_object_get(v, "text"), *all = json_object_get(v, "all");
    const json_t *plain = json_object_get(v, "plain");
    const json_t *list = json_object_get(v, text ? "bare" : "ids");
    size_t n = json_array_size(list);
    int32_t *ids = calloc(n + 1, sizeof *ids);
    for (size_t i = 0; ids && i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    if (text) {
        check_ids(r, text, v, true);
        check_ids(r, text, v, false);
    }
    all = all ? all : text;
    plain = plain ? plain : all;
    if (!ids || !json_is_string(plain))
        differs(r, "the record");
    else if (!json_is_null(all)) {
        check_text(r, ids, n, true, all);
        check_text(r, ids, n, false, plain);
    }
    free(ids);
    r->texts++;
}

static void check_lines(run *r, FILE *f)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    json_t *first = NULL;
    while ((n = getline(&line, &cap, f)) > 0) {
        json_error_t e;
        json_t *v = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &e);
        r->line++;
        if (!v)
            differs(r, e.text);
        else
            check_line(r, v);
        if (first)
            json_decref(v);
        else
            r->before = json_object_get(first = v, "ids");
    }
    json_decref(first);
    free(line);
}

static int check_folder(const char *folder)
{
    run r = { .folder = folder };
    char path[4096];
    snprintf(path, sizeof path, "%s/vectors.jsonl", folder);
    hi_tokenizer *t = tok_open(folder, err, sizeof err);
    FILE *f = fopen(path, "r");
    r.t = t;
    if (!t || !f) {
        fprintf(stderr, "%s\n", !t ? err : path);
        r.bad++;
    } else {
        check_lines(&r, f);
    }
    if (r.texts == 0)
        r.bad++;
    printf("%s: %d records, %d differences\n", folder, r.texts, r.bad);
    if (f)
        fclose(f);
    tok_close(t);
    return r.bad;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++)
        bad += check_folder(argv[i]);
    return bad > 0;
}
