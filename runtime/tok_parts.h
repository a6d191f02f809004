/*
** tok_parts.h - a tokenizer's parts, in the order in which text passes through them.
*/
#ifndef TOK_PARTS_H
#define TOK_PARTS_H

#include "tok_added.h"
#include "tok_bpe.h"
#include "tok_decode.h"
#include "tok_normalize.h"
#include "tok_split.h"
#include "tokenizer.h"

struct hi_tokenizer {
    tok_vocab vocab; /* of the model, and added tokens */
    tok_added_list added;
    tok_normalizers normalizers;
    tok_splits splits;
    tok_bpe *bpe;          /* its cache changes with every text */
    tok_ids front, behind; /* what the post-processor puts around a text */
    tok_decoder decoder;
};

#endif
