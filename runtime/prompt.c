/*
** prompt.c - the prompt as token ids. Nothing is ever cut: what does not fit is refused.
*/
#include "prompt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

/* The whole stream; malloc'd, 0-terminated. NULL with errno set. */
static char *slurp(FILE *f, size_t *n)
{
    size_t cap = 1 << 16;
    char *data = malloc(cap);

    *n = 0;
    while (data != NULL) {
        *n += fread(data + *n, 1, cap - *n - 1, f);
        if (*n < cap - 1)
            break;
        char *more = cap < MOST_BYTES ? realloc(data, cap *= 2) : NULL;
        if (more == NULL) {
            free(data);
            errno = ENOMEM;
            return NULL;
        }
        data = more;
    }
    if (data == NULL || ferror(f)) {
        free(data);
        return NULL;
    }
    data[*n] = '\0';
    return data;
}

char *prompt_file(const char *path, size_t *bytes, char *err, size_t n)
{
    bool is_stdin = strcmp(path, "-") == 0;

    errno = 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    char *data = f == NULL ? NULL : slurp(f, bytes);
    if (data == NULL)
        snprintf(err, n, "%s: %s", is_stdin ? "standard input" : path,
                 errno != 0 ? strerror(errno) : f == NULL ? "cannot open" : "cannot read");
    if (f != NULL && !is_stdin)
        fclose(f);
    return data;
}

/* One id; *at moves past it. -1: not a number of the vocabulary. */
static int64_t next_id(const char **at, int vocab)
{
    char *end;

    errno = 0;
    long v = strtol(*at, &end, 10);
    if (end == *at || errno != 0 || v < 0 || v >= vocab || (*end != '\0' && !isspace((unsigned char)*end)))
        return -1;
    *at = end;
    return v;
}

static int parse_ids(prompt *p, const char *path, const char *text, size_t bytes, int vocab, char *err,
                     size_t n)
{
    p->ids = malloc((bytes / 2 + 1) * sizeof *p->ids);
    if (p->ids == NULL) {
        snprintf(err, n, "%s: out of memory", path);
        return -1;
    }
    for (const char *at = text;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (at == text + bytes)
            return 0;
        int64_t id = next_id(&at, vocab);
        if (id < 0) {
            int len = (int)strcspn(at, " \t\r\n");
            snprintf(err, n, "%s: id %zu is \"%.*s\": must be a number from 0 to %d", path, p->n + 1,
                     len > 40 ? 40 : len, at, vocab - 1);
            return -1;
        }
        p->ids[p->n++] = (int32_t)id;
    }
}

static int read_ids(prompt *p, const hi_model *m, const char *path, char *err, size_t n)
{
    size_t bytes = 0;
    char *text = prompt_file(path, &bytes, err, n);

    if (text == NULL)
        return -1;
    int rc = parse_ids(p, path, text, bytes, m->vocab, err, n);
    free(text);
    return rc;
}

hi_tokenizer *prompt_tokenizer(const char *folder, bool ids, char *err, size_t n)
{
    hi_tokenizer *tok = tok_open(folder, err, n);
    size_t len = strlen(err);

    if (tok == NULL && strstr(err, "--ids") == NULL)
        snprintf(err + len, n - len, "; -w must name a checkpoint folder%s",
                 ids ? ", or pass --ids FILE" : "");
    return tok;
}

/* Special tokens in a text are text, unless the user says otherwise. */
static int32_t *encode(prompt *p, const cli *c, const char *text, size_t bytes, char *err, size_t n)
{
    static const tok_span nowhere = { 0, 0 };
    tok_options o = { .bos = !c->no_bos, .trusted = c->parse_special ? NULL : &nowhere };

    return tok_encode(p->tok, text, bytes, &o, &p->n, err, n);
}

static int read_text(prompt *p, const cli *c, int *code, char *err, size_t n)
{
    const char *path = c->prompt_file != NULL ? c->prompt_file : "-";
    size_t bytes = c->prompt != NULL ? strlen(c->prompt) : 0;

    *code = EXIT_USAGE;
    if (strncmp(c->run.weights, "random:", 7) == 0) {
        snprintf(err, n, "%s has no tokenizer: pass the prompt as --ids FILE", c->run.weights);
        return -1;
    }
    char *text = c->prompt != NULL ? strdup(c->prompt) : prompt_file(path, &bytes, err, n);
    if (text == NULL)
        return -1;
    p->tok = prompt_tokenizer(c->run.weights, true, err, n);
    if (p->tok == NULL)
        *code = EXIT_BAD_MODEL;
    else
        p->ids = encode(p, c, text, bytes, err, n);
    free(text);
    return p->ids == NULL ? -1 : 0;
}

/* How many tokens are generated if none ends the answer: at least one is asked for by -n -1. */
static int check_room(const prompt *p, const hi_model *m, const cli *c, char *err, size_t n)
{
    int64_t more = c->new_tokens < 0 ? 1 : c->new_tokens, all = (int64_t)p->n + more;

    if (all <= m->ctx)
        return 0;
    snprintf(err, n, "the prompt has %zu tokens and -n asks for %lld more; the program was generated for "
                     "a context of %lld: pass a smaller -n, or run hi-gen with --ctx %lld",
             p->n, (long long)more, (long long)m->ctx, (long long)all);
    return -1;
}

static int check(const prompt *p, const hi_model *m, const cli *c, int *code, char *err, size_t n)
{
    *code = EXIT_USAGE;
    for (size_t i = 0; i < p->n; i++)
        if (p->ids[i] >= m->vocab) {
            *code = EXIT_BAD_MODEL;
            snprintf(err, n, "tokenizer.json: token id %d: the model has %d tokens", p->ids[i], m->vocab);
            return -1;
        }
    if (p->n == 0) {
        snprintf(err, n, "the %s is empty", c->verb == CLI_GENERATE ? "prompt" : "text");
        return -1;
    }
    if (p->tok != NULL && m->bos >= 0 && p->n > 1 && p->ids[0] == m->bos && p->ids[1] == m->bos)
        fprintf(stderr, "note: the prompt begins with two BOS (token %d), as no training text did; pass "
                        "--no-bos, or leave it out of the text\n",
                m->bos);
    *code = EXIT_NO_FIT;
    return c->verb == CLI_GENERATE ? check_room(p, m, c, err, n) : 0;
}

int prompt_read(prompt *p, const hi_model *m, const cli *c, int *code, char *err, size_t n)
{
    *p = (prompt){ 0 };
    *code = EXIT_USAGE;
    int rc = c->ids_file != NULL ? read_ids(p, m, c->ids_file, err, n) : read_text(p, c, code, err, n);
    return rc != 0 ? -1 : check(p, m, c, code, err, n);
}

void prompt_free(prompt *p)
{
    free(p->ids);
    tok_close(p->tok);
    *p = (prompt){ 0 };
}
