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

/* The prompt of 'generate', or the text of 'perplexity'. Returns 0, or -1 with a message and the exit
   code that fits. prompt_free in either case. */
int prompt_read(prompt *p, const hi_model *m, const cli *c, int *code, char *err, size_t n);
void prompt_free(prompt *p);

/* A whole file, "-": standard input; malloc'd and 0-terminated, or NULL with a message. */
char *prompt_file(const char *path, size_t *bytes, char *err, size_t n);

/* The tokenizer of -w; NULL with a message. 'ids': a folder without a readable tokenizer.json can
   still be asked in ids. */
hi_tokenizer *prompt_tokenizer(const char *folder, bool ids, char *err, size_t n);

#endif
