/*
** tok_text.h - UTF-8 and growing arrays, for the tokenizer's parts.
*/
#ifndef TOK_TEXT_H
#define TOK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- growing arrays; all zero: empty. free(at) when done ---- */

typedef struct tok_bytes {
    char *at;
    size_t n, cap;
} tok_bytes;

typedef struct tok_ids {
    int32_t *at;
    size_t n, cap;
} tok_ids;

/* Room for 'more' entries behind the last. false: out of memory, nothing is lost. */
bool tok_bytes_reserve(tok_bytes *b, size_t more);
bool tok_ids_reserve(tok_ids *v, size_t more);
bool tok_bytes_put(tok_bytes *b, const char *s, size_t n);

static inline bool tok_ids_put(tok_ids *v, int32_t id)
{
    if (v->n == v->cap && !tok_ids_reserve(v, 1))
        return false;
    v->at[v->n++] = id;
    return true;
}

/* ---- UTF-8 ---- */

enum {
    TOK_BROKEN = -1, /* bytes that are no character */
    TOK_CUT = -2     /* the start of a character, at the text's end */
};

/*
** The character at s, n > 0 bytes. Returns its code point and *len its bytes. TOK_BROKEN: *len
** bytes are to be replaced by one U+FFFD. TOK_CUT: more bytes would decide; *len is n.
*/
int32_t tok_utf8_next(const char *s, size_t n, size_t *len);

/* How many bytes at the start of s are whole characters; n if all of them. */
size_t tok_utf8_valid(const char *s, size_t n);

/* Bytes of the character that starts with 'lead', in valid text. */
static inline size_t tok_utf8_len(char lead)
{
    unsigned char c = (unsigned char)lead;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* The code point at s, in valid text. */
static inline int32_t tok_utf8_get(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80)
        return u[0];
    if (u[0] < 0xe0)
        return (u[0] & 0x1f) << 6 | (u[1] & 0x3f);
    if (u[0] < 0xf0)
        return (u[0] & 0x0f) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f);
    return (u[0] & 0x07) << 18 | (u[1] & 0x3f) << 12 | (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
}

/* Is it white space (Unicode's White_Space)? */
bool tok_is_space(int32_t c);

/* ---- the byte-level alphabet ---- */

/*
** The byte that a character of a byte-level vocabulary stands for, or -1: printable Latin-1 is
** itself, the other 68 bytes are in order from U+0100 on.
*/
int tok_byte_of(int32_t c);

/* Puts the bytes that a byte-level token stands for; its own where a character is no byte's. */
bool tok_bytes_put_byte_level(tok_bytes *b, const char *s, size_t n, bool *is_text);

#endif
