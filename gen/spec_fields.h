/*
** spec_fields.h - a flat table checked against a table of fields.
**
** spec.c and machine.c write the tables of fields; here are their types, the checks that
** concern one field alone, and the form of every message: "file: field = value: remedy".
*/
#ifndef SPEC_FIELDS_H
#define SPEC_FIELDS_H

#include "sandbox.h"

typedef enum {
    WHOLE,   /* int in lo .. hi, a multiple of step */
    WHOLE64, /* the same into an int64_t */
    WHOLE_F, /* the same into a double */
    BYTES,   /* the same into an int64_t, also where Lua made a float of it: 24 * 2^30 */
    NUMBER,  /* double between lo and hi, both excluded */
    RANGE,   /* double from lo to hi, both included */
    YES_NO,
    CHOICE, /* one of words, stored as its index */
    NAME,   /* [a-z0-9_]+ */
    TOKEN,  /* int below vocab: see check_token */
    TENSOR, /* name of a tensor, with "%d" where it stands for a layer */
    TEXT,   /* any text but an empty one; not stored */
    TABLE,
    LIST, /* checked by its own function, as are its items "name[i]" */
    NUMBERS, /* likewise: numbers */
    IDS   /* the same, or one number */
} field_type;

typedef struct field {
    const char *name;
    const char *hf; /* another name that people write: for the hint on unknown fields */
    field_type type;
    bool optional;
    size_t at; /* offset in the struct that field_load fills */
    double lo, hi;
    int step;
    const char *const *words;
    unsigned ropes; /* spec.c: bit of each rope.kind that has it; 0: all, or no rope */
} field;

/* One file's values, and where to complain about them. */
typedef struct source {
    const char *path;
    const field *fields;
    int n_fields;
    flat values;
    hi_error *e;
} source;

/* The value of a field, or NULL. */
const flat_entry *field_value(const source *c, const char *name);

/* Index of a text in words, or -1. */
int field_word(const char *const *words, const flat_entry *x);

/* [a-z0-9_]+, shorter than NAME_LEN. */
bool field_is_name(const char *s);

/* A value as the file has it, for messages. */
void field_text(char *out, size_t n, const flat_entry *x);

/* "file: field = value: text", or "file: field: missing; text". Returns -1. */
int field_refuse(const source *c, const char *name, const char *text);

/* The same with what the field's type and range demand. Returns -1. */
int field_refuse_rule(const source *c, const field *f);

/* Does the value have the field's type, and lie in its range? */
bool field_fits(const field *f, const flat_entry *x);

/* Refuses the first field that the table does not have, with the nearest that it has. */
int field_check_known(const source *c);

/*
** Checks one field and stores it at 'f->at' of 'into'. Token ids, tensors, texts, tables and
** lists are checked for their type only; who needs them stores them.
**
** into  a hi_spec or a hi_machine, as the table of fields has it
*/
int field_load(const source *c, const field *f, void *into);

#endif
