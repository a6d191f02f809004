/*
** prompt.h - the prompt as token ids, from an argument, a file, standard input or a list.
*/
#ifndef PROMPT_H
#define PROMPT_H

#include "cli.h"
#include "tokenizer.h"

typedef struct prompt {
    int32_t *ids;                    /* (n) malloc'd */
    size_t n;
    hi_tokenizer *tok;               /* NULL: ids in, ids out */
} prompt;

/* Returns 0, or -1 with a message and the exit code that fits. prompt_free in either case. */
int prompt_read(prompt *p, const hi_model *m, const cli *c, int *code, char *err, size_t n);
void prompt_free(prompt *p);

#endif
