/*
** tokenizer.h - text to token ids and back, from a folder's tokenizer.json.
**
** Read today: the byte-level alphabet with one token per byte and no merges. Any other
** tokenizer is refused by the name of its model or pre-tokenizer.
*/
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

typedef struct hi_tokenizer hi_tokenizer;

typedef struct tok_span {
    size_t begin, end; /* bytes [begin, end) */
} tok_span;

/* NULL with a message naming file, field, value and remedy. */
hi_tokenizer *tok_open(const char *folder, char *err, size_t n);
void tok_close(hi_tokenizer *t);

/* Ids of n_text bytes, with the post-processor's tokens (BOS) in front. Returns a malloc'd
   array the caller frees and its length in *n_ids; NULL with a message. */
int32_t *tok_encode(const hi_tokenizer *t, const char *text, size_t n_text, size_t *n_ids, char *err,
                    size_t n);

/* Bytes of one token: *n_bytes of them; special tokens give none. Borrowed. */
const char *tok_bytes(const hi_tokenizer *t, int32_t id, size_t *n_bytes);

#endif
