/*
** tokenizer.h - text to token ids and back, from a folder's tokenizer.json.
**
** BPE, byte-level or with byte fallback, with the normalizers, splits, added tokens and
** decoders of the Llama, Mistral, Qwen, Gemma and Phi families. What the file asks for is done
** as its authors' library does it, or refused by name; never skipped. One thread at a time.
*/
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hi_tokenizer hi_tokenizer;

/* NULL with a message naming file, field, value and remedy. */
hi_tokenizer *tok_open(const char *folder, char *err, size_t n);
void tok_close(hi_tokenizer *t);

/* 1 + the largest id. */
int tok_size(const hi_tokenizer *t);

/* Id of the token that is spelled so in the file, added or of the vocabulary; -1: none. */
int32_t tok_id(const hi_tokenizer *t, const char *text, size_t n_text);

/* Bytes [begin, end). */
typedef struct tok_span {
    size_t begin, end;
} tok_span;

typedef struct tok_options {
    bool bos;                /* add what the post-processor adds */
    const tok_span *trusted; /* (n_trusted) ascending: special added tokens are recognised only
                                where they lie wholly inside one of these, elsewhere their text
                                is text. NULL: everywhere; with n_trusted 0: nowhere */
    size_t n_trusted;
} tok_options;

/*
** Ids of n_text bytes, which may hold NUL bytes but must be UTF-8. Returns a malloc'd array
** (for 0 ids too) and its length; NULL with a message, which has the offending byte's position.
*/
int32_t *tok_encode(const hi_tokenizer *t, const char *text, size_t n_text, const tok_options *o,
                    size_t *n_ids, char *err, size_t n);

/*
** Text of n_ids ids, malloc'd and 0-terminated; NULL with a message. Special tokens only if
** 'specials'; ids that are no token give nothing. What is not UTF-8 becomes U+FFFD.
*/
char *tok_decode(const hi_tokenizer *t, const int32_t *ids, size_t n_ids, bool specials,
                 size_t *n_text, char *err, size_t n);

/*
** Text of ids that come one after the other, never a part of a character. All of it together
** is tok_decode's, but for byte tokens that are not UTF-8: tok_decode turns each byte of their
** run into U+FFFD, here characters that were whole before the first bad byte stay.
*/
typedef struct tok_stream tok_stream;
tok_stream *tok_stream_open(const hi_tokenizer *t, bool specials); /* NULL: out of memory */
/* Bytes that are certain now; borrowed until the next call. NULL: out of memory. */
const char *tok_stream_put(tok_stream *s, int32_t id, size_t *n_text);
/* The rest, a broken character as U+FFFD; s is as new. */
const char *tok_stream_end(tok_stream *s, size_t *n_text);
void tok_stream_close(tok_stream *s);

#endif
