/*
** tok_post.h - the tokens around a text: the "post_processor".
*/
#ifndef TOK_POST_H
#define TOK_POST_H

#include "tok_file.h"
#include "tok_text.h"
#include "tok_vocab.h"

int tok_post_open(tok_ids *front, tok_ids *behind, const tok_file *f, const json_t *v,
                  const tok_vocab *vocab);

#endif
