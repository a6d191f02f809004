/*
** sandbox_job.h - what the files of the sandbox share.
**
** sandbox.c starts the child and builds its walls, sandbox_lua.c runs the text there,
** sandbox_twice.c looks for fields given twice, sandbox_flat.c packs the table for the
** way back and unpacks it.
*/
#ifndef SANDBOX_JOB_H
#define SANDBOX_JOB_H

#include <lua.h>

#include "sandbox.h"

/* A reply is a tag, the payload's length (4 bytes), the payload. */
enum {
    REPLY_HEAD = 5,
    REPLY_MAX = REPLY_HEAD + FLAT_BYTES,
    TEXT_MAX = 400, /* bytes of an error text */
    TAG_TABLE = 'T',
    TAG_ERROR = 'E'
};

typedef struct job {
    void (*body)(struct job *j);
    const sandbox_limits *lim;
    const char *text; /* (len) the Lua source */
    size_t len;
    void (*probe)(void *arg); /* instead of a text: sandbox_try */
    void *arg;
    int64_t heap; /* bytes that Lua holds */
    bool capped;  /* the last refusal of memory was ours */
    bool no_memory;
    bool stopped;   /* ran out of instructions */
    uint8_t *reply; /* (REPLY_MAX + 1) */
    size_t n_reply; /* bytes packed, the head's place included */
    int n_entries;
} job;

/* Child only: send a reply, once. */
void sandbox_reply_table(const job *j);
void sandbox_reply_error(const char *text);

/* A job's body that runs its text: replies with the table or with an error. */
void sandbox_lua(job *j);

/* The job whose Lua state this is. */
job *sandbox_job(lua_State *L);

/*
** Raises "line:N: x is given twice; keep one" where a constructor names a field twice: Lua
** keeps the last without a word. The text is one that Lua has compiled.
*/
void sandbox_refuse_twice(lua_State *L, const char *text, size_t len);

/* Packs the table on top of the stack into the reply; raises what cannot be sent. */
void sandbox_pack(lua_State *L);

/* [A-Za-z0-9_] */
bool sandbox_is_word(char c);

#endif
