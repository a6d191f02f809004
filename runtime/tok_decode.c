/*
** tok_decode.c - the decoders: ByteLevel; Replace, Metaspace, ByteFallback, Fuse, Strip.
*/
#include "tok_decode.h"

#include <stdlib.h>
#include <string.h>

/* ---- read ---- */

static int take_text(const tok_file *f, const char *where, const char *s, size_t n, char to[64])
{
    if (n > 64)
        return TOK_FAIL(f, "%s: %zu bytes: at most 64; " TOK_REMEDY, where, n);
    memcpy(to, s, n);
    return 0;
}

static int add_swap(tok_decoder *d, const tok_file *f, const char *from, size_t n_from,
                    const char *to, size_t n_to, bool drop_first)
{
    tok_swap *s = &d->swap[d->n_swaps++];
    s->n_from = n_from;
    s->n_to = n_to;
    s->drop_first = drop_first;
    if (take_text(f, "decoder.pattern", from, n_from, s->from) != 0)
        return -1;
    return take_text(f, "decoder.content", to, n_to, s->to);
}

static int take_replace(tok_decoder *d, const tok_file *f, const json_t *v)
{
    const json_t *pattern = json_object_get(v, "pattern"), *content = json_object_get(v, "content");
    const char *from;
    size_t n;
    if (json_object_get(pattern, "Regex"))
        return TOK_FAIL(f, "%s",
                        "decoder.pattern: only a String is supported for Replace; " TOK_REMEDY);
    if (tok_string(f, pattern, "decoder.pattern", "String", &from, &n) != 0)
        return -1;
    if (!json_is_string(content))
        return TOK_FAIL(f, "%s", "decoder.content: must be a string");
    return add_swap(d, f, from, n, json_string_value(content), json_string_length(content), false);
}

static int take_metaspace(tok_decoder *d, const tok_file *f, const json_t *v)
{
    const char *from, *scheme = json_string_value(json_object_get(v, "prepend_scheme"));
    size_t n;
    bool prefix;
    if (tok_string(f, v, "decoder", "replacement", &from, &n) != 0 ||
        tok_flag(f, v, "decoder", "add_prefix_space", true, &prefix) != 0)
        return -1;
    return add_swap(d, f, from, n, " ", 1, scheme ? strcmp(scheme, "never") != 0 : prefix);
}

static int take_strip(tok_decoder *d, const tok_file *f, const json_t *v, bool fused)
{
    const char *s;
    int64_t start, stop;
    if (tok_string(f, v, "decoder", "content", &s, &d->n_strip) != 0 ||
        tok_number(f, v, "decoder", "start", INT32_MAX, &start) != 0 ||
        tok_number(f, v, "decoder", "stop", INT32_MAX, &stop) != 0)
        return -1;
    if (d->n_strip != tok_utf8_len(*s))
        return TOK_FAIL(f, "%s", "decoder.content: must be one character for Strip");
    if (!fused || stop != 0)
        return TOK_FAIL(f, "%s",
                        "decoder: Strip is supported behind Fuse and with stop = 0; " TOK_REMEDY);
    memcpy(d->strip, s, d->n_strip);
    d->n_strips = (size_t)start;
    return 0;
}

/* How far a sequence has got: its parts are done in this order, so they must come in it. */
typedef enum stage {
    SWAPS,
    BYTES,
    FUSED,
    STRIPPED
} stage;

static int take_step(tok_decoder *d, const tok_file *f, const json_t *v, stage *at)
{
    if (*at <= SWAPS && tok_is_type(v, "Replace"))
        return take_replace(d, f, v);
    if (*at <= SWAPS && tok_is_type(v, "Metaspace"))
        return take_metaspace(d, f, v);
    if (*at < BYTES && tok_is_type(v, "ByteFallback")) {
        *at = BYTES;
        d->byte_tokens = true;
        return 0;
    }
    if (*at < FUSED && tok_is_type(v, "Fuse")) {
        *at = FUSED;
        return 0;
    }
    if (*at < STRIPPED && tok_is_type(v, "Strip")) {
        int rc = take_strip(d, f, v, *at == FUSED);
        *at = STRIPPED;
        return rc;
    }
    return TOK_FAIL(f, "decoder: %.64s: not supported, or not at this place; " TOK_REMEDY,
                    tok_type(v));
}

int tok_decoder_open(tok_decoder *d, const tok_file *f, const json_t *v)
{
    size_t n;
    stage at = SWAPS;
    *d = (tok_decoder){ 0 };
    if (tok_absent(v))
        return TOK_FAIL(f, "%s", "decoder: missing: not supported; " TOK_REMEDY);
    if (tok_parts(f, v, "decoder", "decoders", &n) != 0)
        return -1;
    if (n > TOK_MAX_DECODERS)
        return TOK_FAIL(f, "decoder: %zu steps: at most %d", n, TOK_MAX_DECODERS);
    d->byte_level = n == 1 && tok_is_type(tok_part(v, "decoders", 0), "ByteLevel");
    for (size_t i = 0; !d->byte_level && i < n; i++)
        if (take_step(d, f, tok_part(v, "decoders", i), &at) != 0)
            return -1;
    return 0;
}

/* ---- spell ---- */

static bool swap(const tok_swap *p, const char *s, size_t n, bool first, tok_bytes *out)
{
    const char *end = s + n, *at;
    while ((at = memmem(s, (size_t)(end - s), p->from, p->n_from))) {
        if (!tok_bytes_put(out, s, (size_t)(at - s)))
            return false;
        if (!(first && p->drop_first) && !tok_bytes_put(out, p->to, p->n_to))
            return false;
        s = at + p->n_from;
    }
    return tok_bytes_put(out, s, (size_t)(end - s));
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte that <0xHH> names, or -1. */
static int byte_token(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[3]) < 0 || hex(s[4]) < 0)
        return -1;
    return hex(s[3]) << 4 | hex(s[4]);
}

int tok_decoder_spell(const tok_decoder *d, const tok_vocab *v, int32_t id, bool first,
                      tok_bytes *out)
{
    const char *s = v->text.at + v->begin[id];
    size_t n = v->length[id], before = out->n;
    bool is_text;
    if (d->byte_level)
        return tok_bytes_put_byte_level(out, s, n, &is_text) ? -1 : -2;
    if (!tok_bytes_put(out, s, n))
        return -2;
    for (size_t i = 0; i < d->n_swaps; i++) {
        tok_bytes next = { 0 };
        bool done = swap(&d->swap[i], out->at + before, out->n - before, first, &next);
        out->n = before;
        done = done && tok_bytes_put(out, next.at, next.n);
        free(next.at);
        if (!done)
            return -2;
    }
    int byte = d->byte_tokens ? byte_token(out->at + before, out->n - before) : -1;
    if (byte >= 0)
        out->n = before;
    return byte;
}
