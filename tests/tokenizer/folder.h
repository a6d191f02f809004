/*
** folder.h - a tokenizer.json in a folder of its own, for one test program each.
*/
#ifndef FOLDER_H
#define FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tokenizer.h"

static char folder[] = "/tmp/test_tokenizer.XXXXXX";
static char folder_file[64];
static char folder_err[1024];

static inline int folder_make(void)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(folder_file, sizeof folder_file, "%s/tokenizer.json", folder);
    return 0;
}

static inline int folder_remove(void)
{
    unlink(folder_file);
    return rmdir(folder);
}

/* Writes the file and opens it; NULL: folder_err says why. */
static inline hi_tokenizer *folder_open(const char *json, size_t n)
{
    FILE *f = fopen(folder_file, "w");
    if (!f || fwrite(json, 1, n, f) != n || fclose(f) != 0) {
        perror(folder_file);
        exit(1);
    }
    folder_err[0] = '\0';
    return tok_open(folder, folder_err, sizeof folder_err);
}

#endif
