/*
** tok_post.c - the post-processors: TemplateProcessing of one text, ByteLevel, Sequence.
*/
#include "tok_post.h"

#include <string.h>

static int append(const tok_file *f, const char *name, const json_t *token, const tok_vocab *vocab,
                  tok_ids *to)
{
    const json_t *ids = json_object_get(token, "ids");
    if (!json_is_array(ids))
        return TOK_FAIL(f, "post_processor.special_tokens: %.64s: must have ids", name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t number = json_integer_value(id);
        if (!json_is_integer(id) || number < 0 || number >= TOK_MAX_IDS ||
            !tok_vocab_has(vocab, (int32_t)number))
            return TOK_FAIL(
                f, "post_processor.special_tokens: %.64s: ids must be tokens of this file", name);
        if (!tok_ids_put(to, (int32_t)number))
            return tok_file_no_memory(f);
    }
    return 0;
}

/* The items of "single": special tokens around the text, sequence A. */
static int take_template(const tok_file *f, const json_t *v, const tok_vocab *vocab, tok_ids *front,
                         tok_ids *behind)
{
    const json_t *single = json_object_get(v, "single"),
                 *all = json_object_get(v, "special_tokens");
    size_t texts = 0;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        const json_t *sequence = json_object_get(item, "Sequence");
        const char *name = json_string_value(json_object_get(special ? special : sequence, "id"));
        if (!name || (sequence && strcmp(name, "A") != 0))
            return TOK_FAIL(f, "post_processor.single[%zu]: must be a SpecialToken or Sequence A",
                            i);
        if (sequence)
            texts++;
        else if (append(f, name, json_object_get(all, name), vocab, texts > 0 ? behind : front) !=
                 0)
            return -1;
    }
    return texts == 1 ? 0 : TOK_FAIL(f, "%s", "post_processor.single: must hold sequence A once");
}

int tok_post_open(tok_ids *front, tok_ids *behind, const tok_file *f, const json_t *v,
                  const tok_vocab *vocab)
{
    size_t n, templates = 0;
    if (tok_parts(f, v, "post_processor", "processors", &n) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *part = tok_part(v, "processors", i);
        if (tok_is_type(part, "ByteLevel")) /* only trims places in the text */
            continue;
        if (!tok_is_type(part, "TemplateProcessing"))
            return tok_refuse_type(f, "post_processor", part);
        if (templates++ > 0)
            return TOK_FAIL(
                f, "%s",
                "post_processor: more than one TemplateProcessing: not supported; " TOK_REMEDY);
        if (take_template(f, part, vocab, front, behind) != 0)
            return -1;
    }
    return 0;
}
