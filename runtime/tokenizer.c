/*
** tokenizer.c - text to ids: added tokens, normalizer, splits, BPE, post-processor.
**
** Opens the parts from one tokenizer.json and passes text through them. The parts know
** nothing of each other; what one does not support it refuses by name.
*/
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include "tok_parts.h"
#include "tok_post.h"

enum {
    MAX_PATH = 4096,
    FILE_BYTES = 256 << 20,
    FILE_DEPTH = 16
};

/* ---- open ---- */

static int open_parts(hi_tokenizer *t, const tok_file *f, const json_t *file)
{
    json_t *model = json_object_get(file, "model");
    const char *version = json_string_value(json_object_get(file, "version"));
    if (!json_is_object(file))
        return TOK_FAIL(f, "%s", "must be an object");
    if (!version || strcmp(version, "1.0") != 0)
        return TOK_FAIL(f, "version = %.64s: must be \"1.0\"", version ? version : "(missing)");
    if (tok_bpe_take_vocab(f, model, &t->vocab) != 0 ||
        tok_normalizers_open(&t->normalizers, f, json_object_get(file, "normalizer")) != 0 ||
        tok_splits_open(&t->splits, f, json_object_get(file, "pre_tokenizer")) != 0 ||
        tok_bpe_open(t->bpe, f, model, &t->vocab, t->splits.byte_level) != 0)
        return -1;
    /* Only now the vocabulary may grow: BPE has taken what is the model's. */
    if (tok_added_open(&t->added, f, json_object_get(file, "added_tokens"), &t->normalizers,
                       &t->vocab) != 0 ||
        tok_post_open(&t->front, &t->behind, f, json_object_get(file, "post_processor"),
                      &t->vocab) != 0)
        return -1;
    return tok_decoder_open(&t->decoder, f, json_object_get(file, "decoder"));
}

hi_tokenizer *tok_open(const char *folder, char *err, size_t n)
{
    char path[MAX_PATH];
    json_t *file;
    if (snprintf(path, sizeof path, "%s/tokenizer.json", folder) >= MAX_PATH) {
        infile_fail(err, n, "%.64s...: path too long", folder);
        return NULL;
    }
    if (infile_json(path, FILE_BYTES, FILE_DEPTH, &file, err, n) <= 0)
        return NULL;
    tok_file f = { path, err, n };
    hi_tokenizer *t = calloc(1, sizeof *t);
    if (t)
        t->bpe = calloc(1, sizeof *t->bpe);
    int rc = t && t->bpe ? open_parts(t, &f, file) : tok_file_no_memory(&f);
    json_decref(file);
    if (rc == 0)
        return t;
    tok_close(t);
    return NULL;
}

void tok_close(hi_tokenizer *t)
{
    if (!t)
        return;
    tok_vocab_free(&t->vocab);
    tok_added_close(&t->added);
    tok_splits_close(&t->splits);
    if (t->bpe)
        tok_bpe_close(t->bpe);
    free(t->bpe);
    free(t->front.at);
    free(t->behind.at);
    free(t);
}

int tok_size(const hi_tokenizer *t)
{
    return t->vocab.n_ids;
}

int32_t tok_id(const hi_tokenizer *t, const char *text, size_t n_text)
{
    return tok_vocab_find(&t->vocab, text, n_text);
}

/* ---- encode ---- */

typedef struct encoder {
    const hi_tokenizer *t;
    const tok_options *options;
    tok_ids ids;
} encoder;

static bool encode_piece(void *arg, const char *s, size_t n)
{
    encoder *e = arg;
    return tok_bpe_encode(e->t->bpe, s, n, &e->ids);
}

/* Text between added tokens: 'first' if it is the very start. */
static bool encode_normal(encoder *e, const char *s, size_t n, size_t base, const size_t *origin,
                          bool first)
{
    const tok_added_list *l = &e->t->added;
    tok_search at = { l, &l->normal, s, n, base, origin, e->options, 0, 0 };
    size_t done = 0, begin, end;
    int32_t id;
    while (l->normal.n > 0 && tok_added_next(&at, &id, &begin, &end)) {
        if (begin > done && !tok_splits_run(&e->t->splits, s + done, begin - done,
                                            first && done == 0, encode_piece, e))
            return false;
        if (!tok_ids_put(&e->ids, id))
            return false;
        done = end;
    }
    return tok_splits_run(&e->t->splits, s + done, n - done, first && done == 0, encode_piece, e);
}

static bool encode_raw(encoder *e, const char *s, size_t n, size_t base)
{
    const hi_tokenizer *t = e->t;
    tok_normal text = { 0 };
    if (n == 0)
        return true;
    if (t->normalizers.n == 0)
        return encode_normal(e, s, n, base, NULL, base == 0);
    bool with_origin = e->options->trusted && t->added.special_normal;
    bool done = tok_normalizers_run(&t->normalizers, s, n, base, with_origin, &text) &&
                encode_normal(e, text.text.at, text.text.n, base, text.origin, base == 0);
    tok_normal_free(&text);
    return done;
}

static bool put_ids(tok_ids *to, const tok_ids *from)
{
    bool done = true;
    for (size_t i = 0; done && i < from->n; i++)
        done = tok_ids_put(to, from->at[i]);
    return done;
}

static bool encode(encoder *e, const char *s, size_t n)
{
    const hi_tokenizer *t = e->t;
    tok_search at = { &t->added, &t->added.raw, s, n, 0, NULL, e->options, 0, 0 };
    size_t done = 0, begin, end;
    int32_t id;
    if (!tok_ids_reserve(&e->ids, n / 3 + 8) || (e->options->bos && !put_ids(&e->ids, &t->front)))
        return false;
    while (t->added.raw.n > 0 && tok_added_next(&at, &id, &begin, &end)) {
        if (begin > done && !encode_raw(e, s + done, begin - done, done))
            return false;
        if (!tok_ids_put(&e->ids, id))
            return false;
        done = end;
    }
    return encode_raw(e, s + done, n - done, done) &&
           (!e->options->bos || put_ids(&e->ids, &t->behind));
}

int32_t *tok_encode(const hi_tokenizer *t, const char *text, size_t n_text, const tok_options *o,
                    size_t *n_ids, char *err, size_t n)
{
    encoder e = { .t = t, .options = o };
    size_t valid = n_text <= INT32_MAX / 2 ? tok_utf8_valid(text, n_text) : 0;
    if (n_text > INT32_MAX / 2) {
        infile_fail(err, n, "text of %zu bytes: at most %d", n_text, INT32_MAX / 2);
        return NULL;
    }
    if (valid < n_text) {
        infile_fail(err, n, "the text is not UTF-8: byte %zu is 0x%02x: convert it to UTF-8", valid,
                    (unsigned char)text[valid]);
        return NULL;
    }
    if (!encode(&e, text, n_text)) {
        infile_fail(err, n,
                    "text of %zu bytes: out of memory, or a pattern of tokenizer.json gave up",
                    n_text);
        free(e.ids.at);
        return NULL;
    }
    *n_ids = e.ids.n;
    return e.ids.at;
}
