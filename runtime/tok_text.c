/*
** tok_text.c - UTF-8, growing arrays and the byte-level alphabet.
*/
#include "tok_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- growing arrays ---- */

/* The array grown to hold n + more entries of 'size' bytes; NULL: out of memory. */
static void *grow(void *at, size_t n, size_t more, size_t size, size_t *cap)
{
    size_t most = SIZE_MAX / 4 / size;
    if (more > most || n > most - more)
        return NULL;
    size_t want = n + more > *cap * 2 ? n + more : *cap * 2;
    want = want < 64 ? 64 : want;
    void *grown = realloc(at, want * size);
    if (grown)
        *cap = want;
    return grown;
}

bool tok_bytes_reserve(tok_bytes *b, size_t more)
{
    if (b->cap - b->n >= more && b->at)
        return true;
    char *grown = grow(b->at, b->n, more, 1, &b->cap);
    if (grown)
        b->at = grown;
    return grown;
}

bool tok_ids_reserve(tok_ids *v, size_t more)
{
    if (v->cap - v->n >= more && v->at)
        return true;
    int32_t *grown = grow(v->at, v->n, more, sizeof *v->at, &v->cap);
    if (grown)
        v->at = grown;
    return grown;
}

bool tok_bytes_put(tok_bytes *b, const char *s, size_t n)
{
    if (!tok_bytes_reserve(b, n))
        return false;
    if (n > 0)
        memcpy(b->at + b->n, s, n);
    b->n += n;
    return true;
}

/* ---- UTF-8 ---- */

/* Bytes that 'lead' announces and what its second byte must lie in; 0: no lead byte. */
static size_t announce(unsigned lead, unsigned *low, unsigned *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

int32_t tok_utf8_next(const char *s, size_t n, size_t *len)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned low, high;
    size_t want = announce(u[0], &low, &high);
    *len = 1;
    if (want == 0)
        return TOK_BROKEN;
    for (; *len < want; ++*len) {
        if (*len == n)
            return TOK_CUT;
        if (u[*len] < low || u[*len] > high)
            return TOK_BROKEN;
        low = 0x80;
        high = 0xbf;
    }
    return tok_utf8_get(s);
}

size_t tok_utf8_valid(const char *s, size_t n)
{
    size_t at = 0, len;
    while (at < n) {
        uint64_t word;
        if (n - at >= sizeof word) { /* eight ASCII characters? */
            memcpy(&word, s + at, sizeof word);
            if ((word & 0x8080808080808080) == 0) {
                at += sizeof word;
                continue;
            }
        }
        if (tok_utf8_next(s + at, n - at, &len) < 0)
            return at;
        at += len;
    }
    return n;
}

bool tok_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* ---- the byte-level alphabet ---- */

int tok_byte_of(int32_t c)
{
    if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xff && c != 0xad))
        return c;
    int other = c - 0x100; /* the others in order: 0-20, 7f-a0, ad */
    if (other < 0 || other > 67)
        return -1;
    return other <= 0x20 ? other : other < 67 ? 0x7f + other - 33 : 0xad;
}

bool tok_bytes_put_byte_level(tok_bytes *b, const char *s, size_t n, bool *is_text)
{
    size_t start = b->n;
    *is_text = true;
    if (!tok_bytes_reserve(b, n))
        return false;
    for (size_t i = 0; i < n; i += tok_utf8_len(s[i])) {
        int byte = tok_byte_of(tok_utf8_get(s + i));
        if (byte < 0) {
            *is_text = false;
            b->n = start;
            return tok_bytes_put(b, s, n);
        }
        b->at[b->n++] = (char)byte;
    }
    return true;
}
