/*
** infile.c - files that come from outside: opened, read, and refused with a message.
*/
#include "infile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <threads.h>
#include <unistd.h>

typedef unsigned long long ull;

int infile_fail_list(char *err, size_t n, const char *fmt, va_list args)
{
    if (n == 0)
        return -1;
    vsnprintf(err, n, fmt, args);
    for (char *c = err; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return -1;
}

int infile_fail(char *err, size_t n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    infile_fail_list(err, n, fmt, args);
    va_end(args);
    return -1;
}

/* Returns the bytes read, fewer only at the file's end, or -1 with errno. */
static ssize_t read_fully(int fd, void *to, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = pread(fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        if (k == 0)
            break;
        done += (size_t)k;
    }
    return (ssize_t)done;
}

int infile_read(int fd, const char *what, void *to, size_t n, uint64_t offset, char *err,
                size_t n_err)
{
    ssize_t got = read_fully(fd, to, n, offset);
    if (got < 0)
        return infile_fail(err, n_err, "%s: %s", what, strerror(errno));
    if ((size_t)got < n)
        return infile_fail(err, n_err,
                           "%s: ended %zu bytes early: the file has shrunk, fetch it again", what,
                           n - (size_t)got);
    return 0;
}

int infile_open(const char *path, uint64_t *bytes, char *err, size_t n)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not stop us */
    if (fd < 0 || fstat(fd, &s) != 0) {
        int why = errno;
        infile_fail(err, n, "%s: %s", path, strerror(why));
        if (fd >= 0)
            close(fd);
        errno = why;
        return -1;
    }
    if (!S_ISREG(s.st_mode)) {
        close(fd);
        errno = 0;
        return infile_fail(err, n, "%s: not a regular file", path);
    }
    *bytes = (uint64_t)s.st_size;
    return fd;
}

/* ---- JSON files ---- */

/*
** The library drops characters of a long string when memory runs out and then calls the rest
** a good document. So its requests are watched; whoever set its allocator is still asked.
*/
static json_malloc_t inner_malloc;
static _Thread_local bool starved;

static void *watched_malloc(size_t n)
{
    void *p = inner_malloc(n);
    starved |= !p;
    return p;
}

static void watch_malloc(void)
{
    json_free_t inner_free;
    json_get_alloc_funcs(&inner_malloc, &inner_free);
    json_set_alloc_funcs(watched_malloc, inner_free);
}

json_t *infile_parse(const char *text, size_t n, json_error_t *e)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, watch_malloc);
    starved = false;
    e->text[0] = '\0';
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, e);
    if (!starved)
        return v;
    e->text[0] = '\0';
    json_decref(v);
    return NULL;
}

static int json_depth(const char *p, size_t n)
{
    int depth = 0, most = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            quoted = !quoted;
        else if (quoted)
            i += p[i] == '\\';
        else
            depth += (p[i] == '{' || p[i] == '[') - (p[i] == '}' || p[i] == ']');
        most = depth > most ? depth : most;
    }
    return most;
}

static int parse_json(const char *path, const char *text, size_t bytes, int max_depth, json_t **out,
                      char *err, size_t n)
{
    json_error_t e;
    int depth = json_depth(text, bytes);
    if (depth > max_depth) /* the library recurses: its own limit is 2048 */
        return infile_fail(err, n, "%s: nested %d deep: at most %d", path, depth, max_depth);
    *out = infile_parse(text, bytes, &e);
    if (*out)
        return 1;
    if (e.text[0] == '\0')
        return infile_fail(err, n, "%s: out of memory", path);
    return infile_fail(err, n, "%s:%d: not JSON: %s", path, e.line, e.text);
}

int infile_json(const char *path, uint64_t max_bytes, int max_depth, json_t **out, char *err,
                size_t n)
{
    uint64_t bytes = 0;
    char *text = NULL;
    int fd = infile_open(path, &bytes, err, n);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int rc = -1;
    if (bytes > max_bytes)
        infile_fail(err, n, "%s: %llu bytes: at most %llu", path, (ull)bytes, (ull)max_bytes);
    else if (!(text = malloc(bytes > 0 ? bytes : 1)))
        infile_fail(err, n, "%s: out of memory (%llu bytes)", path, (ull)bytes);
    else if (infile_read(fd, path, text, bytes, 0, err, n) == 0)
        rc = parse_json(path, text, bytes, max_depth, out, err, n);
    free(text);
    close(fd);
    return rc;
}
