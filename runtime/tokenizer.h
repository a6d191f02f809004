/*
** tokenizer.h - text to token ids and back, from a folder's tokenizer.json.
*/
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hi_tokenizer hi_tokenizer;

/* Reads folder/tokenizer.json. NULL with a message naming file, field, value and remedy. */
hi_tokenizer *tok_open(const char *folder, char *err, size_t n);
void tok_close(hi_tokenizer *t);

int tok_size(const hi_tokenizer *t);             /* 1 + the largest id */

/* Id of the token that is spelled so (added token or vocabulary); -1: none. */
int32_t tok_id(const hi_tokenizer *t, const char *text, size_t n_text);

typedef struct tok_span {
    size_t begin, end;               /* bytes [begin, end) */
} tok_span;

typedef struct tok_options {
    bool bos;                        /* add what the post-processor adds */
    const tok_span *trusted;         /* (n_trusted) ascending: special added tokens are recognised
                                        only where they lie wholly inside one of these; elsewhere
                                        their text is text. NULL: everywhere */
    size_t n_trusted;                /* 0 and trusted not NULL: nowhere */
} tok_options;

/* Ids of n_text bytes, malloc'd (also where there are none) and *n_ids of them; NULL with a
   message. Text that is not UTF-8 is refused with the byte's position; it may hold NUL bytes. */
int32_t *tok_encode(const hi_tokenizer *t, const char *text, size_t n_text, const tok_options *o,
                    size_t *n_ids, char *err, size_t n);

/* Text of ids, malloc'd and 0-terminated, *n_text bytes of it; NULL with a message. */
char *tok_decode(const hi_tokenizer *t, const int32_t *ids, size_t n_ids, bool specials,
                 size_t *n_text, char *err, size_t n);

/* The text of ids one after the other, never a part of a character. */
typedef struct tok_stream tok_stream;

tok_stream *tok_stream_open(const hi_tokenizer *t, bool specials);   /* NULL: out of memory */
/* Bytes that are certain now; borrowed until the next call; NULL: out of memory. */
const char *tok_stream_put(tok_stream *s, int32_t id, size_t *n_text);
/* The rest, a broken character as U+FFFD. */
const char *tok_stream_end(tok_stream *s, size_t *n_text);
void tok_stream_close(tok_stream *s);

#endif
