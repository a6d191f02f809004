/*
** tok_bpe_load.c - the "model" of a tokenizer.json: vocabulary, merges and flags, to tables.
*/
#include "tok_bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- vocabulary ---- */

static int take_token(const tok_file *f, tok_vocab *v, const char *s, const json_t *number)
{
    int64_t id = json_integer_value(number);
    if (!json_is_integer(number) || id < 0 || id >= TOK_MAX_IDS)
        return TOK_FAIL(f, "model.vocab: %.64s: its id must be a whole number from 0 to %d", s,
                        TOK_MAX_IDS - 1);
    if (tok_vocab_has(v, (int32_t)id))
        return TOK_FAIL(f, "model.vocab: %.64s: id %d appears twice", s, (int)id);
    if (!tok_vocab_put(v, s, strlen(s), (int32_t)id, TOK_IN_MODEL))
        return tok_file_no_memory(f);
    return 0;
}

int tok_bpe_take_vocab(const tok_file *f, json_t *model, tok_vocab *v)
{
    json_t *vocab = json_object_get(model, "vocab"), *id;
    const json_t *type = json_object_get(model, "type");
    const char *s;
    if (!json_is_object(model))
        return TOK_FAIL(f, "%s", "model: must be an object");
    if (type && !tok_is_type(model, "BPE"))
        return tok_refuse_type(f, "model", model);
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return TOK_FAIL(f, "%s", "model.vocab: must be an object with tokens");
    json_object_foreach(vocab, s, id)
    {
        if (take_token(f, v, s, id) != 0)
            return -1;
    }
    return 0;
}

/* ---- flags ---- */

static int check_unused(const tok_file *f, const json_t *model)
{
    static const char *const empty[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const json_t *v = json_object_get(model, empty[i]);
        if (!tok_absent(v) && !(json_is_string(v) && json_string_length(v) == 0))
            return TOK_FAIL(f, "model.%s: must be null: not supported; " TOK_REMEDY, empty[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!tok_absent(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return TOK_FAIL(f, "%s", "model.dropout: must be null: not supported; " TOK_REMEDY);
    return 0;
}

/* Does every byte have a symbol, or a token to fall back to? */
static bool is_complete(const int32_t *id)
{
    bool all = true;
    for (int i = 0; i < 256; i++)
        all = all && id[i] >= 0;
    return all;
}

static int take_unknown(tok_bpe *b, const tok_file *f, const json_t *model)
{
    const json_t *unknown = json_object_get(model, "unk_token");
    b->unknown = -1;
    if (tok_absent(unknown))
        return 0;
    if (!json_is_string(unknown))
        return TOK_FAIL(f, "%s", "model.unk_token: must be a string or null");
    b->unknown = tok_vocab_find(b->vocab, json_string_value(unknown), json_string_length(unknown));
    if (b->unknown >= 0 || is_complete(b->byte_level ? b->symbol : b->byte))
        return 0;
    return TOK_FAIL(f, "model.unk_token = %.64s: must be in model.vocab",
                    json_string_value(unknown));
}

static int take_flags(tok_bpe *b, const tok_file *f, const json_t *model)
{
    if (tok_flag(f, model, "model", "fuse_unk", false, &b->fuse_unknown) != 0 ||
        tok_flag(f, model, "model", "byte_fallback", false, &b->fallback) != 0 ||
        tok_flag(f, model, "model", "ignore_merges", false, &b->whole) != 0 ||
        check_unused(f, model) != 0 || take_unknown(b, f, model) != 0)
        return -1;
    if (b->byte_level && b->fallback && !is_complete(b->symbol))
        return TOK_FAIL(f, "%s",
                        "model.byte_fallback: must be false for a byte-level vocabulary that "
                        "lacks bytes; " TOK_REMEDY);
    return 0;
}

/* ---- symbols ---- */

/* A token of one character is the symbol of that character or of the byte it stands for. */
static void take_symbol(tok_bpe *b, int32_t id)
{
    const tok_vocab *v = b->vocab;
    const char *s = v->text.at + v->begin[id];
    if (v->length[id] == 0 || tok_utf8_len(*s) != v->length[id])
        return;
    int32_t c = tok_utf8_get(s), byte = tok_byte_of(c);
    if (b->byte_level && byte >= 0)
        b->symbol[byte] = id;
    else if (!b->byte_level && c < 0x80)
        b->symbol[c] = id;
    else if (!b->byte_level)
        tok_map_put(&b->chars, (uint64_t)c, id);
}

static size_t count_chars(const tok_vocab *v)
{
    size_t n = 0;
    for (int32_t id = 0; id < v->n_ids; id++)
        n += v->length[id] <= 4;
    return n;
}

static bool take_symbols(tok_bpe *b)
{
    const tok_vocab *v = b->vocab;
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i & 0xff);
        b->symbol[i] = -1;
        b->byte[i] = tok_vocab_find(v, name, strlen(name));
    }
    if (!tok_map_alloc(&b->chars, count_chars(v)))
        return false;
    for (int32_t id = 0; id < v->n_ids; id++)
        if (v->length[id] != TOK_NO_STRING)
            take_symbol(b, id);
    return true;
}

/* ---- merges ---- */

/* Both parts of a merge, "a b" or ["a", "b"]. */
static bool parts_of(const json_t *merge, const char *part[2], size_t n[2])
{
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        for (size_t i = 0; i < 2; i++) {
            part[i] = json_string_value(json_array_get(merge, i));
            n[i] = json_string_length(json_array_get(merge, i));
        }
        return part[0] && part[1];
    }
    const char *s = json_string_value(merge), *space = s ? strchr(s, ' ') : NULL;
    if (!space || strchr(space + 1, ' '))
        return false;
    part[0] = s;
    n[0] = (size_t)(space - s);
    part[1] = space + 1;
    n[1] = json_string_length(merge) - n[0] - 1;
    return true;
}

/* The symbol of the last or first character of a merge's part, -1: no text makes that part. */
static int32_t seam_symbol(const tok_bpe *b, int32_t id, bool last)
{
    const tok_vocab *v = b->vocab;
    const char *s = v->text.at + v->begin[id];
    size_t n = v->length[id], at = n, len;
    if (n == 0)
        return -1;
    do
        at = last ? at - 1 : 0;
    while ((s[at] & 0xc0) == 0x80);
    if (!b->byte_level)
        return tok_bpe_symbol(b, s + at, &len);
    int byte = tok_byte_of(tok_utf8_get(s + at));
    return byte < 0 ? -1 : b->symbol[byte];
}

/* Tokens that stand for other text than they are spelled with: cuts would not know their ends. */
static bool is_stand_in(const tok_bpe *b, int32_t id)
{
    const tok_vocab *v = b->vocab;
    const char *s = v->text.at + v->begin[id];
    if (id == b->unknown)
        return true;
    return v->length[id] == 6 && memcmp(s, "<0x", 3) == 0 && s[5] == '>';
}

static void note_seam(tok_bpe *b, const int32_t id[2])
{
    int32_t left = seam_symbol(b, id[0], true), right = seam_symbol(b, id[1], false);
    if (!b->byte_level && (is_stand_in(b, id[0]) || is_stand_in(b, id[1])))
        b->may_cut = false;
    if (left >= 0 && right >= 0)
        tok_map_put(&b->joined, (uint64_t)left << 32 | (uint32_t)right, 1);
}

static int take_merge(tok_bpe *b, const tok_file *f, size_t i, const json_t *merge, uint32_t rank,
                      tok_bytes *both)
{
    const char *part[2];
    size_t n[2];
    int32_t id[2];
    if (!parts_of(merge, part, n))
        return TOK_FAIL(f, "model.merges[%zu]: must be \"a b\" or [\"a\", \"b\"]", i);
    both->n = 0;
    for (int k = 0; k < 2; k++) {
        id[k] = tok_vocab_find(b->vocab, part[k], n[k]);
        if (id[k] < 0)
            return TOK_FAIL(f, "model.merges[%zu]: %.*s: not in model.vocab", i,
                            n[k] < 64 ? (int)n[k] : 64, part[k]);
        if (!tok_bytes_put(both, part[k], n[k]))
            return tok_file_no_memory(f);
    }
    int32_t made = tok_vocab_find(b->vocab, both->at, both->n);
    if (made < 0)
        return TOK_FAIL(f, "model.merges[%zu]: %.*s: not in model.vocab", i,
                        both->n < 64 ? (int)both->n : 64, both->at);
    tok_merges_put(&b->merges, id[0], id[1], rank, made);
    note_seam(b, id);
    return 0;
}

static bool is_heading(const json_t *merge)
{
    const char *s = json_string_value(merge);
    return s && strncmp(s, "#version", 8) == 0;
}

static int take_merges(tok_bpe *b, const tok_file *f, const json_t *merges)
{
    size_t n = json_array_size(merges);
    tok_bytes both = { 0 };
    uint32_t rank = 0;
    int rc = 0;
    if (!tok_absent(merges) && !json_is_array(merges))
        return TOK_FAIL(f, "%s", "model.merges: must be an array");
    if (!tok_merges_alloc(&b->merges, n) || !tok_map_alloc(&b->joined, n))
        return tok_file_no_memory(f);
    b->may_cut = is_complete(b->byte_level ? b->symbol : b->byte) && (b->byte_level || b->fallback);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!is_heading(json_array_get(merges, i)))
            rc = take_merge(b, f, i, json_array_get(merges, i), rank++, &both);
    free(both.at);
    return rc;
}

/* Tokens by the bytes they stand for, for pieces that stay whole. */
static bool take_raw(tok_bpe *b)
{
    const tok_vocab *v = b->vocab;
    tok_bytes bytes = { 0 };
    bool done = true, is_text;
    for (int32_t id = 0; done && id < v->n_ids; id++) {
        if (v->length[id] == TOK_NO_STRING)
            continue;
        bytes.n = 0;
        done = tok_bytes_put_byte_level(&bytes, v->text.at + v->begin[id], v->length[id], &is_text);
        if (done && is_text)
            done = tok_vocab_put(&b->raw, bytes.at, bytes.n, id, TOK_IN_MODEL);
    }
    free(bytes.at);
    return done;
}

/* ---- what others call ---- */

int tok_bpe_open(tok_bpe *b, const tok_file *f, json_t *model, const tok_vocab *v, bool byte_level)
{
    *b = (tok_bpe){ .byte_level = byte_level, .vocab = v };
    if (!take_symbols(b))
        return tok_file_no_memory(f);
    if (take_flags(b, f, model) != 0 || take_merges(b, f, json_object_get(model, "merges")) != 0)
        return -1;
    if (!tok_bpe_alloc_cache(b) || (byte_level && b->whole && !take_raw(b)))
        return tok_file_no_memory(f);
    return 0;
}

void tok_bpe_close(tok_bpe *b)
{
    tok_merges_free(&b->merges);
    free(b->chars.slot);
    free(b->joined.slot);
    free(b->cache);
    tok_vocab_free(&b->raw);
    *b = (tok_bpe){ 0 };
}
