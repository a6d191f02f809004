/*
** tokenizer.c - byte-level tokenizers without merges: one token per byte.
**
** What tokenizer.json asks for is either done or refused by name, never skipped, for a
** skipped rule would give other ids than the model was trained on. A text is bytes: each
** becomes the id of its symbol, byte 0 and the spelling of special tokens included.
*/
#include "tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checked.h"
#include "infile.h"

enum {
    MAX_PATH = 4096,
    FILE_BYTES = 128 << 20,
    FILE_DEPTH = 16,
    MAX_TOKENS = 1 << 21,
    SYMBOLS = 256,
    NO_BYTE = -1
};

#define SO_FAR "only byte-level tokenizers without merges are read so far; pass --ids FILE"

struct hi_tokenizer {
    int32_t id[SYMBOLS]; /* of each byte */
    int32_t n_ids;       /* largest id + 1 */
    int16_t *byte;       /* (n_ids) of each id; NO_BYTE: none */
    char text[SYMBOLS];  /* every byte, for tok_bytes to point at */
    int32_t *prefix;     /* (n_prefix) in front of every text */
    size_t n_prefix;
};

typedef struct reader {
    hi_tokenizer *t;
    const char *path;
    char *err;
    size_t n_err;
} reader;

#define FAIL(r, fmt, ...) infile_fail((r)->err, (r)->n_err, "%s: " fmt, (r)->path, __VA_ARGS__)

/* ---- fields ---- */

static bool is_absent(const json_t *v)
{
    return !v || json_is_null(v);
}

/* The "type" of a component, for messages too. */
static const char *type_name(const json_t *v)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    return type ? type : "(no type)";
}

static bool is_type(const json_t *v, const char *type)
{
    return strcmp(type_name(v), type) == 0;
}

static bool is_false(const json_t *v, const char *field)
{
    return json_is_false(json_object_get(v, field));
}

static bool is_id(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < MAX_TOKENS;
}

/* ---- model ---- */

/*
** The byte a vocabulary symbol stands for, or NO_BYTE: printable Latin-1 is itself, the
** other 68 bytes are in order from U+0100 on.
*/
static int byte_of_symbol(const char *symbol)
{
    const unsigned char *s = (const unsigned char *)symbol;
    int c = s[0] < 0x80 ? s[0] : (s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    if (s[0] == 0 || s[s[0] < 0x80 ? 1 : 2] != 0 || s[0] >= 0xe0)
        return NO_BYTE;
    int others = 0x100;
    for (int b = 0; b < SYMBOLS; b++) {
        bool plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (c == (plain ? b : others))
            return b;
        others += !plain;
    }
    return NO_BYTE;
}

/* The text before the first merge's count is what users of large vocabularies will see. */
static int check_model(const reader *r, const json_t *model)
{
    const json_t *type = json_object_get(model, "type"), *merges = json_object_get(model, "merges");
    static const char *const empty[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    if (!json_is_object(model))
        return FAIL(r, "%s", "model: missing: " SO_FAR);
    if (type && !is_type(model, "BPE"))
        return FAIL(r, "model.type = %.64s: " SO_FAR, type_name(model));
    if (merges && !json_is_array(merges))
        return FAIL(r, "%s", "model.merges: must be an array");
    if (json_array_size(merges) > 0)
        return FAIL(r, "model.merges has %zu entries: " SO_FAR, json_array_size(merges));
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const json_t *v = json_object_get(model, empty[i]);
        if (!is_absent(v) && !(json_is_string(v) && json_string_length(v) == 0))
            return FAIL(r, "model.%s: must be null: " SO_FAR, empty[i]);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (!is_absent(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return FAIL(r, "%s", "model.dropout: must be null: " SO_FAR);
    return 0;
}

static int take_symbol(const reader *r, const char *symbol, const json_t *id)
{
    int b = byte_of_symbol(symbol);
    if (b == NO_BYTE)
        return FAIL(r, "model.vocab: %.64s: not one of the 256 byte symbols: " SO_FAR, symbol);
    if (!is_id(id))
        return FAIL(r, "model.vocab: %s: its id must be a whole number from 0 to %d", symbol,
                    MAX_TOKENS - 1);
    r->t->id[b] = (int32_t)json_integer_value(id);
    if (r->t->id[b] >= r->t->n_ids)
        r->t->n_ids = r->t->id[b] + 1;
    return 0;
}

/* Exactly the 256 symbols: as many entries as bytes, none twice, each a symbol. */
static int take_vocab(const reader *r, json_t *vocab)
{
    const char *symbol;
    json_t *id;
    if (!json_is_object(vocab))
        return FAIL(r, "%s", "model.vocab: must be an object");
    if (json_object_size(vocab) != SYMBOLS)
        return FAIL(r, "model.vocab has %zu entries: must be the 256 byte symbols: " SO_FAR,
                    json_object_size(vocab));
    json_object_foreach(vocab, symbol, id) if (take_symbol(r, symbol, id) != 0) return -1;
    return 0;
}

/* ---- added tokens ---- */

/* Checks one added token; *id receives its id. */
static int take_added(const reader *r, size_t i, const json_t *v, const json_t *vocab, int32_t *id)
{
    const json_t *number = json_object_get(v, "id");
    const char *content = json_string_value(json_object_get(v, "content"));
    if (!content || !is_id(number))
        return FAIL(r, "added_tokens[%zu]: must have a content and an id from 0 to %d", i,
                    MAX_TOKENS - 1);
    if (!json_is_true(json_object_get(v, "special")))
        return FAIL(r,
                    "added_tokens[%zu] = %.64s: special must be true: tokens that texts are "
                    "searched for are not read; pass --ids FILE",
                    i, content);
    const json_t *same = json_object_get(vocab, content);
    if (same && json_integer_value(same) != json_integer_value(number))
        return FAIL(r, "added_tokens[%zu] = %.64s: id = %lld: model.vocab has it as %lld", i,
                    content, (long long)json_integer_value(number),
                    (long long)json_integer_value(same));
    *id = (int32_t)json_integer_value(number);
    return 0;
}

/* Sizes the table of ids. */
static int count_ids(const reader *r, const json_t *added, const json_t *vocab)
{
    if (!is_absent(added) && !json_is_array(added))
        return FAIL(r, "%s", "added_tokens: must be an array");
    for (size_t i = 0; i < json_array_size(added); i++) {
        int32_t id = 0;
        if (take_added(r, i, json_array_get(added, i), vocab, &id) != 0)
            return -1;
        if (id >= r->t->n_ids)
            r->t->n_ids = id + 1;
    }
    return 0;
}

/* Which byte an id is; special tokens are none, even where a byte has the same id. */
static int fill_bytes(const reader *r, const json_t *added)
{
    hi_tokenizer *t = r->t;
    t->byte = malloc((size_t)t->n_ids * sizeof *t->byte); /* n_ids <= MAX_TOKENS */
    if (!t->byte)
        return FAIL(r, "%s", "out of memory");
    for (int32_t i = 0; i < t->n_ids; i++)
        t->byte[i] = NO_BYTE;
    for (int b = 0; b < SYMBOLS; b++) {
        if (t->byte[t->id[b]] != NO_BYTE)
            return FAIL(r, "model.vocab: id %d appears twice", t->id[b]);
        t->byte[t->id[b]] = (int16_t)b;
        t->text[b] = (char)b;
    }
    for (size_t i = 0; i < json_array_size(added); i++)
        t->byte[json_integer_value(json_object_get(json_array_get(added, i), "id"))] = NO_BYTE;
    return 0;
}

/* ---- what happens before, between and after ---- */

static int check_pre_tokenizer(const reader *r, const json_t *v)
{
    if (is_absent(v))
        return FAIL(r, "%s", "pre_tokenizer: missing: must be ByteLevel; pass --ids FILE");
    if (!is_type(v, "ByteLevel"))
        return FAIL(r, "pre_tokenizer = %.64s: only ByteLevel is read so far; pass --ids FILE",
                    type_name(v));
    if (!is_false(v, "add_prefix_space"))
        return FAIL(r, "%s", "pre_tokenizer.add_prefix_space: must be false; pass --ids FILE");
    if (!is_false(v, "use_regex"))
        return FAIL(r, "%s", "pre_tokenizer.use_regex: must be false; pass --ids FILE");
    return 0;
}

static int check_decoder(const reader *r, const json_t *v)
{
    if (is_absent(v))
        return FAIL(r, "%s", "decoder: missing: must be ByteLevel; pass --ids FILE");
    if (!is_type(v, "ByteLevel"))
        return FAIL(r, "decoder = %.64s: only ByteLevel is read so far; pass --ids FILE",
                    type_name(v));
    return 0;
}

static int append_prefix(const reader *r, const json_t *ids)
{
    hi_tokenizer *t = r->t;
    uint64_t n, bytes;
    if (!checked_add(t->n_prefix, json_array_size(ids), &n) ||
        !checked_mul(n, sizeof *t->prefix, &bytes))
        return FAIL(r, "%s", "post_processor: too many special tokens");
    if (n == 0)
        return 0;
    int32_t *grown = realloc(t->prefix, bytes);
    if (!grown)
        return FAIL(r, "%s", "out of memory");
    t->prefix = grown;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!is_id(id) || json_integer_value(id) >= t->n_ids)
            return FAIL(r, "%s", "post_processor.special_tokens: ids must be tokens of this file");
        t->prefix[t->n_prefix++] = (int32_t)json_integer_value(id);
    }
    return 0;
}

/* One item of "single": special tokens, then the text, then nothing. */
static int take_item(const reader *r, const json_t *item, const json_t *tokens, bool *text_seen)
{
    const json_t *special = json_object_get(item, "SpecialToken");
    const json_t *sequence = json_object_get(item, "Sequence");
    const char *name = json_string_value(json_object_get(special ? special : sequence, "id"));
    if (!name || *text_seen)
        return FAIL(r, "%s",
                    "post_processor.single: must be special tokens, then the text; pass "
                    "--ids FILE");
    if (sequence) {
        *text_seen = true;
        return strcmp(name, "A") == 0 ? 0
                                      : FAIL(r,
                                             "post_processor.single: sequence %.64s: must "
                                             "be A",
                                             name);
    }
    const json_t *ids = json_object_get(json_object_get(tokens, name), "ids");
    if (!json_is_array(ids))
        return FAIL(r, "post_processor.special_tokens: %.64s: missing", name);
    return append_prefix(r, ids);
}

static int take_template(const reader *r, const json_t *v)
{
    const json_t *single = json_object_get(v, "single");
    const json_t *tokens = json_object_get(v, "special_tokens");
    bool text_seen = false;
    for (size_t i = 0; i < json_array_size(single); i++)
        if (take_item(r, json_array_get(single, i), tokens, &text_seen) != 0)
            return -1;
    return text_seen ? 0 : FAIL(r, "%s", "post_processor.single: must hold the text, sequence A");
}

/* ByteLevel only trims offsets into the text, which nobody asks for. */
static int take_processor(const reader *r, const json_t *v, bool *template_seen)
{
    if (is_type(v, "ByteLevel"))
        return 0;
    if (!is_type(v, "TemplateProcessing"))
        return FAIL(r,
                    "post_processor = %.64s: only TemplateProcessing and ByteLevel are read so "
                    "far; pass --ids FILE",
                    type_name(v));
    if (*template_seen)
        return FAIL(r, "%s", "post_processor: more than one TemplateProcessing; pass --ids FILE");
    *template_seen = true;
    return take_template(r, v);
}

static int take_post_processor(const reader *r, const json_t *v)
{
    bool template_seen = false;
    if (is_absent(v))
        return 0;
    if (!is_type(v, "Sequence"))
        return take_processor(r, v, &template_seen);
    const json_t *list = json_object_get(v, "processors");
    if (!json_is_array(list))
        return FAIL(r, "%s", "post_processor.processors: must be an array");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (take_processor(r, json_array_get(list, i), &template_seen) != 0)
            return -1;
    return 0;
}

static int read_all(const reader *r, const json_t *file)
{
    const json_t *model = json_object_get(file, "model");
    const json_t *added = json_object_get(file, "added_tokens");
    const json_t *normalizer = json_object_get(file, "normalizer");
    const char *version = json_string_value(json_object_get(file, "version"));
    json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(file))
        return FAIL(r, "%s", "must be an object");
    if (!version || strcmp(version, "1.0") != 0)
        return FAIL(r, "version = %.64s: must be \"1.0\"", version ? version : "(missing)");
    if (check_model(r, model) != 0)
        return -1;
    if (!is_absent(normalizer))
        return FAIL(r, "normalizer = %.64s: none is read so far; pass --ids FILE",
                    type_name(normalizer));
    if (check_pre_tokenizer(r, json_object_get(file, "pre_tokenizer")) != 0 ||
        check_decoder(r, json_object_get(file, "decoder")) != 0 || take_vocab(r, vocab) != 0 ||
        count_ids(r, added, vocab) != 0 || fill_bytes(r, added) != 0)
        return -1;
    return take_post_processor(r, json_object_get(file, "post_processor"));
}

/* ---- what others call ---- */

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
    hi_tokenizer *t = calloc(1, sizeof *t);
    reader r = { .t = t, .path = path, .err = err, .n_err = n };
    int rc = t ? read_all(&r, file) : FAIL(&r, "%s", "out of memory");
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
    free(t->byte);
    free(t->prefix);
    free(t);
}

int32_t *tok_encode(const hi_tokenizer *t, const char *text, size_t n_text, size_t *n_ids,
                    char *err, size_t n)
{
    uint64_t count, bytes;
    int32_t *ids = NULL;
    if (checked_add(n_text, t->n_prefix, &count) && checked_mul(count, sizeof *ids, &bytes))
        ids = malloc(bytes > 0 ? bytes : 1);
    if (!ids) {
        infile_fail(err, n, "text of %zu bytes: out of memory", n_text);
        return NULL;
    }
    for (size_t i = 0; i < t->n_prefix; i++)
        ids[i] = t->prefix[i];
    for (size_t i = 0; i < n_text; i++)
        ids[t->n_prefix + i] = t->id[(unsigned char)text[i]];
    *n_ids = count;
    return ids;
}

const char *tok_bytes(const hi_tokenizer *t, int32_t id, size_t *n_bytes)
{
    int b = id >= 0 && id < t->n_ids ? t->byte[id] : NO_BYTE;
    *n_bytes = b != NO_BYTE;
    return b != NO_BYTE ? &t->text[b] : "";
}
