/*
** infile.h - files that come from outside: opened, read, and refused with a message.
**
** Files are read with pread, never mapped: one that shrinks meanwhile gives an error.
*/
#ifndef INFILE_H
#define INFILE_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/*
** Writes a message, control characters in it replaced by '?', and returns -1.
** Names in a file are not to be trusted with a terminal.
*/
int infile_fail(char *err, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int infile_fail_list(char *err, size_t n, const char *fmt, va_list args);

/* Opens a regular file. Returns its descriptor; -1 with a message, errno ENOENT if absent. */
int infile_open(const char *path, uint64_t *bytes, char *err, size_t n);

/* Reads n bytes at offset, all or an error; 'what' names them in it. Returns 0 or -1. */
int infile_read(int fd, const char *what, void *to, size_t n, uint64_t offset, char *err,
                size_t n_err);

/*
** A JSON value of any kind, no key twice in an object. Returns a new reference, or NULL with
** the reason in e; e->text is empty if memory ran out.
*/
json_t *infile_parse(const char *text, size_t n, json_error_t *e);

/*
** Loads a JSON file whole: at most max_bytes, objects and arrays at most max_depth deep, no
** key twice in an object.
**
** Returns 1 and a new reference, 0 (and a message all the same) if there is no such file,
** or -1.
*/
int infile_json(const char *path, uint64_t max_bytes, int max_depth, json_t **out, char *err,
                size_t n);

#endif
