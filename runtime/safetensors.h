/*
** safetensors.h - one safetensors file: its tensors by name, and their bytes.
**
** Everything in a file is checked before any of it is used, in time linear in its size (a
** sort aside) and before memory is taken for it. Files are read with pread, never mapped:
** one that shrinks meanwhile gives an error. Which tensors a model wants is weights.c's
** business.
*/
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

enum {
    ST_MAX_HEADER = 100000000, /* bytes, the format's own limit */
    ST_MAX_TENSORS = 1000000,
    ST_MAX_NAME = 512, /* bytes */
    ST_MAX_RANK = 8,
    ST_MAX_DEPTH = 4,         /* of nested objects and arrays, the header included */
    ST_MAX_ENTRY = 65536,     /* bytes of one tensor's description */
    ST_MAX_METADATA = 4 << 20 /* bytes of __metadata__ */
};

typedef enum { /* ORDER DTYPES: safetensors.c */
    ST_BOOL,
    ST_F4,
    ST_F6_E2M3,
    ST_F6_E3M2,
    ST_U8,
    ST_I8,
    ST_F8_E5M2,
    ST_F8_E4M3,
    ST_F8_E8M0,
    ST_F8_E4M3FNUZ,
    ST_F8_E5M2FNUZ,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_C64,
    ST_F64,
    ST_I64,
    ST_U64,
    ST_DTYPES
} st_dtype;

typedef struct st_tensor {
    const char *name;
    st_dtype dtype;
    int rank;
    uint64_t dim[ST_MAX_RANK];
    uint64_t begin, end; /* bytes, from data_start */
} st_tensor;

typedef struct st_file {
    char *path;
    int fd;                    /* -1: not open */
    uint64_t data_start;       /* file offset of the tensors' bytes */
    st_tensor *tensor;         /* (n_tensors), in the order of their bytes */
    const st_tensor **by_name; /* (n_tensors), sorted */
    char *names;
    size_t n_tensors;
} st_file;

const char *st_dtype_name(st_dtype t);

/*
** Checks a header against the number of data bytes that follow it.
**
** file    name for messages
** json    (n_json) bytes, not changed or kept
** out     receives the tensors; st_close gives back its memory, also after a failure
** Returns 0 or -1.
** Source: safetensors/src/tensor.rs of huggingface/safetensors; stricter: names appear once.
*/
int st_parse(const char *file, const char *json, size_t n_json, uint64_t data_bytes, st_file *out,
             char *err, size_t n);

/* Opens and checks one file; st_close after success and after failure. Returns 0 or -1. */
int st_open(const char *path, st_file *out, char *err, size_t n);
void st_close(st_file *f);

/* NULL: no tensor of that name. */
const st_tensor *st_find(const st_file *f, const char *name);

/* Bytes [offset, offset + n_bytes) of tensor t, within its end. Returns 0 or -1. */
int st_read(const st_file *f, const st_tensor *t, uint64_t offset, void *to, size_t n_bytes,
            char *err, size_t n);

#endif
