/*
** sandbox.h - runs a hostile Lua text in a child process and returns its table.
**
** The parent reads the text; the child compiles and runs it under limits, without
** files, clock or system calls, and sends back the table it returned as a flat list
** of (path, type, value). The parent trusts nothing of what arrives.
*/
#ifndef SANDBOX_H
#define SANDBOX_H

#include "gen.h"

enum {
    SOURCE_MAX = 1 << 20, /* bytes of a spec or family file */
    FLAT_ENTRIES = 4096,  /* values and tables of one file */
    FLAT_DEPTH = 4,       /* tables inside each other, the returned one included */
    FLAT_KEY = 63,        /* bytes of one field name */
    FLAT_PATH = 319,      /* bytes of "a.b.c[1]" */
    FLAT_STRING = 4096,   /* bytes of one string */
    FLAT_BYTES = 1 << 20  /* bytes of one reply */
};

typedef struct sandbox_limits {
    int cpu_s;           /* processor time of the child, seconds */
    int wall_ms;         /* from fork to the end, milliseconds */
    int instructions;    /* of the Lua machine */
    int64_t heap_bytes;  /* of the Lua state */
    int64_t space_bytes; /* address space of the child; not in sanitizer builds */
} sandbox_limits;

/* A sanitizer's run time needs address space and system calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

extern const sandbox_limits SANDBOX_LIMITS; /* what spec_load uses */

typedef enum {
    FLAT_TABLE = 't',
    FLAT_TEXT = 's',
    FLAT_INT = 'i',
    FLAT_FLOAT = 'f',
    FLAT_BOOL = 'b'
} flat_type;

typedef struct flat_entry {
    const char *path; /* "rope.theta", "eos[2]"; the returned table itself has none */
    flat_type type;
    int64_t i;     /* FLAT_INT, FLAT_BOOL */
    double f;      /* FLAT_FLOAT */
    const char *s; /* FLAT_TEXT: no zero byte inside */
} flat_entry;

/* Depth first; list items in order, then fields by name: same table, same list. */
typedef struct flat {
    flat_entry *entry; /* (n) */
    int n;
} flat;

/*
** Reads a whole regular file of at most SOURCE_MAX bytes.
**
** Returns the bytes in 'a', *len of them; NULL with "path: what is wrong".
*/
const char *sandbox_read(hi_arena *a, const char *path, size_t *len, hi_error *e);

/*
** Runs a Lua text in a child process.
**
** path  for messages only; nothing is opened
** out   the table that the text returned, in 'a'
** Returns 0, or -1 with "path: ...": a Lua error with its line, a limit, or what in the
** table cannot be sent.
*/
int sandbox_run(hi_arena *a, const char *path, const char *text, size_t len,
                const sandbox_limits *lim, flat *out, hi_error *e);

/* ---- for the tests ---- */

/*
** Runs body(arg) behind the same walls as a Lua text; for trying the walls themselves.
** Returns 0 when it came back, or -1 with the message that a dead child gets.
*/
int sandbox_try(const char *path, void (*body)(void *), void *arg, const sandbox_limits *lim,
                hi_error *e);

/*
** Decodes a child's reply. Every length, type, path and order is checked.
** Returns 0, or -1 with "path: ..." also for a reply that carries an error text.
*/
int sandbox_decode(hi_arena *a, const char *path, const uint8_t *bytes, size_t n, flat *out,
                   hi_error *e);

#endif
