/*
** tok_file.h - fields of a tokenizer.json, with messages that name them.
*/
#ifndef TOK_FILE_H
#define TOK_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "infile.h"

enum {
    TOK_MAX_IDS = 1 << 22 /* the largest id + 1 */
};

typedef struct tok_file {
    const char *path;
    char *err;
    size_t n_err;
} tok_file;

#define TOK_REMEDY "pass the prompt as --ids FILE"
#define TOK_FAIL(f, fmt, ...) infile_fail((f)->err, (f)->n_err, "%s: " fmt, (f)->path, __VA_ARGS__)

int tok_file_no_memory(const tok_file *f);

/* Missing or null. */
bool tok_absent(const json_t *v);

/* The "type" of a part, for messages too. */
const char *tok_type(const json_t *v);
bool tok_is_type(const json_t *v, const char *type);

/* Refuses v by its type's name: "normalizer = BertNormalizer: not supported; ..". */
int tok_refuse_type(const tok_file *f, const char *where, const json_t *v);

/* A true or false; 'missing' where it is absent. */
int tok_flag(const tok_file *f, const json_t *v, const char *where, const char *field, bool missing,
             bool *out);

/* A string that is not empty; borrowed. */
int tok_string(const tok_file *f, const json_t *v, const char *where, const char *field,
               const char **out, size_t *n);

/* A whole number from 0 to 'most'. */
int tok_number(const tok_file *f, const json_t *v, const char *where, const char *field,
               int64_t most, int64_t *out);

/*
** The parts of a pipeline: of a v of type Sequence those in its array 'list', otherwise v
** itself; none if it is absent. *n receives their number.
*/
int tok_parts(const tok_file *f, const json_t *v, const char *where, const char *list, size_t *n);
const json_t *tok_part(const json_t *v, const char *list, size_t i);

#endif
