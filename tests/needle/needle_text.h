/*
** needle_text.h - haystacks and questions for the needle model.
**
** Texts are plain bytes 1..255 without BOS: whoever feeds the model puts token 0
** in front, so n bytes are n + 1 tokens and byte i is token i + 1. Everything is
** a function of its arguments: same seed, same bytes.
*/
#ifndef NEEDLE_TEXT_H
#define NEEDLE_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum {
    RECALL_QUESTION = 4, /* tokens: the model's order */
    RECALL_ANSWER = 5,
    PASSKEY_MAX_KEY = 16
};

/* Fills buf with n random bytes 1..255. */
void hay_random(uint8_t *buf, size_t n, uint64_t seed);

/*
** Fills buf with n bytes of invented English sentences: letters, spaces, commas
** and full stops only. The last sentence is cut by "... ".
*/
void hay_sentences(char *buf, size_t n, uint64_t seed);

typedef struct recall {
    size_t at;                         /* byte offset of the question's original */
    uint8_t question[RECALL_QUESTION]; /* goes behind the haystack */
    uint8_t answer[RECALL_ANSWER];     /* what the model must say then */
} recall;

/*
** Takes four tokens of a haystack as a question.
**
** hay    n bytes
** depth  percent of the haystack before the question's original, 0..100; the
**        position nearest to it is taken whose five windows of four tokens, the
**        ones asked while the answer is copied, occur nowhere else
** Returns 0, or -1 when there is no such position within 4096 bytes or n < 9.
*/
int recall_make(const uint8_t *hay, size_t n, double depth, recall *r);

/* The same at exactly this offset. Returns -1 when a window occurs elsewhere. */
int recall_at(const uint8_t *hay, size_t n, size_t at, recall *r);

typedef struct passkey {
    const char *key;  /* 1 to PASSKEY_MAX_KEY digits */
    const char *text; /* haystack, repeated or cut as needed; NULL: hay_sentences */
    size_t text_bytes;
    uint64_t seed; /* of hay_sentences */
    double depth;  /* percent of the haystack before the needle, 0..100 */
} passkey;

/*
** Writes a prompt of exactly n bytes: haystack with the sentence "The pass key:
** <key>. " in it, then "What is the pass key: ". The needle goes to the last
** start of a sentence at or before its depth (or a character's, where no
** sentence starts within 256 bytes).
**
** at  receives the byte offset of the needle
** Returns NULL, or a message that says what is wrong with the request.
*/
const char *passkey_make(char *buf, size_t n, const passkey *p, size_t *at);

/* Least n that passkey_make takes for this key. */
size_t passkey_least(const char *key);

#endif
