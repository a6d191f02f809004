/*
** tok_stream.c - ids to text, at once or one after the other.
**
** Bytes that are not yet a character wait in 'held': those of a byte-level vocabulary, or of
** a run of byte tokens. Everything else is certain at once.
*/
#include <stdlib.h>
#include <string.h>
#include "infile.h"
#include "tok_parts.h"

#define REPLACEMENT "\xef\xbf\xbd"

struct tok_stream {
    const hi_tokenizer *t;
    bool specials;
    bool at_once;  /* a run of byte tokens is judged as a whole */
    bool begun;    /* a token has come */
    bool broken;   /* the run of byte tokens is not UTF-8 */
    size_t strips; /* characters that may still be taken from the text's start */
    tok_bytes held, out;
};

static void begin(tok_stream *s)
{
    s->begun = s->broken = false;
    s->strips = s->t->decoder.n_strips;
    s->held.n = 0;
}

/* Whole characters to the text, but for those that are stripped from its start. */
static bool emit(tok_stream *s, const char *text, size_t n)
{
    const tok_decoder *d = &s->t->decoder;
    for (; s->strips > 0 && n >= d->n_strip && memcmp(text, d->strip, d->n_strip) == 0;
         s->strips--) {
        text += d->n_strip;
        n -= d->n_strip;
    }
    if (n > 0)
        s->strips = 0;
    return tok_bytes_put(&s->out, text, n);
}

static bool emit_broken(tok_stream *s, size_t n)
{
    bool done = true;
    for (size_t i = 0; done && i < n; i++)
        done = emit(s, REPLACEMENT, strlen(REPLACEMENT));
    return done;
}

static void drop_held(tok_stream *s, size_t n)
{
    s->held.n -= n;
    memmove(s->held.at, s->held.at + n, s->held.n);
}

/* ---- byte-level ---- */

/* Characters that are whole or surely broken; at the end a cut one is broken too. */
static bool settle_bytes(tok_stream *s, bool end)
{
    size_t at = 0, len;
    bool done = true;
    while (done && at < s->held.n) {
        size_t whole = tok_utf8_valid(s->held.at + at, s->held.n - at);
        done = emit(s, s->held.at + at, whole);
        at += whole;
        if (at == s->held.n)
            break;
        if (tok_utf8_next(s->held.at + at, s->held.n - at, &len) == TOK_CUT && !end)
            break;
        done = done && emit_broken(s, 1);
        at += len;
    }
    drop_held(s, at);
    return done;
}

/* ---- byte tokens ---- */

static bool end_run(tok_stream *s)
{
    size_t n = s->held.n;
    bool whole = !s->broken && tok_utf8_valid(s->held.at, n) == n;
    s->held.n = 0;
    s->broken = false;
    return n == 0 || (whole ? emit(s, s->held.at, n) : emit_broken(s, n));
}

/* A stream gives the characters of a run as they become whole. */
static bool put_byte(tok_stream *s, int byte)
{
    char c = (char)byte;
    size_t len;
    if (!tok_bytes_put(&s->held, &c, 1))
        return false;
    if (s->at_once)
        return true;
    int32_t point = s->broken ? TOK_BROKEN : tok_utf8_next(s->held.at, s->held.n, &len);
    if (point == TOK_CUT)
        return true;
    size_t n = s->held.n;
    s->held.n = 0;
    s->broken = point == TOK_BROKEN;
    return s->broken ? emit_broken(s, n) : emit(s, s->held.at, n);
}

/* ---- tokens ---- */

static bool put(tok_stream *s, int32_t id)
{
    const hi_tokenizer *t = s->t;
    if (!tok_vocab_has(&t->vocab, id) || (!s->specials && (t->vocab.kind[id] & TOK_SPECIAL)))
        return true;
    bool first = !s->begun;
    s->begun = true;
    if (t->decoder.byte_level)
        return tok_decoder_spell(&t->decoder, &t->vocab, id, first, &s->held) == -1 &&
               (s->at_once || settle_bytes(s, false));
    tok_bytes text = { 0 };
    int byte = tok_decoder_spell(&t->decoder, &t->vocab, id, first, &text);
    bool done = byte >= -1;
    if (byte >= 0)
        done = put_byte(s, byte);
    else if (done)
        done = end_run(s) && emit(s, text.at, text.n);
    free(text.at);
    return done;
}

static bool finish(tok_stream *s)
{
    bool done = s->t->decoder.byte_level ? settle_bytes(s, true) : end_run(s);
    begin(s);
    return done && tok_bytes_put(&s->out, "", 1);
}

tok_stream *tok_stream_open(const hi_tokenizer *t, bool specials)
{
    tok_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->t = t;
    s->specials = specials;
    begin(s);
    if (tok_bytes_reserve(&s->held, 16) && tok_bytes_reserve(&s->out, 64))
        return s;
    tok_stream_close(s);
    return NULL;
}

const char *tok_stream_put(tok_stream *s, int32_t id, size_t *n_text)
{
    s->out.n = 0;
    if (!put(s, id) || !tok_bytes_put(&s->out, "", 1))
        return NULL;
    *n_text = s->out.n - 1;
    return s->out.at;
}

const char *tok_stream_end(tok_stream *s, size_t *n_text)
{
    s->out.n = 0;
    if (!finish(s))
        return NULL;
    *n_text = s->out.n - 1;
    return s->out.at;
}

void tok_stream_close(tok_stream *s)
{
    if (!s)
        return;
    free(s->held.at);
    free(s->out.at);
    free(s);
}

char *tok_decode(const hi_tokenizer *t, const int32_t *ids, size_t n_ids, bool specials,
                 size_t *n_text, char *err, size_t n)
{
    tok_stream *s = tok_stream_open(t, specials);
    bool done = s;
    char *text = NULL;
    if (s)
        s->at_once = true;
    for (size_t i = 0; done && i < n_ids; i++)
        done = put(s, ids[i]);
    if (done && finish(s)) {
        text = s->out.at;
        *n_text = s->out.n - 1;
        s->out = (tok_bytes){ 0 };
    } else {
        infile_fail(err, n, "text of %zu tokens: out of memory", n_ids);
    }
    tok_stream_close(s);
    return text;
}
