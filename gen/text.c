/*
** text.c - a growing string, and whole files in and out.
*/
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool reserve(text *t, size_t more)
{
    if (t->failed)
        return false;
    if (t->len + more + 1 <= t->cap)
        return true;
    size_t cap = t->cap == 0 ? 1024 : t->cap;
    while (cap < t->len + more + 1)
        cap *= 2;
    char *data = realloc(t->data, cap);
    if (data == NULL) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void text_add(text *t, const char *s, size_t n)
{
    if (!reserve(t, n))
        return;
    memcpy(t->data + t->len, s, n);
    t->len += n;
    t->data[t->len] = '\0';
}

void text_printf(text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(t, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

void text_free(text *t)
{
    free(t->data);
    *t = (text){ 0 };
}

static int read_all(text *t, int fd, const char *path, size_t bytes, hi_error *e)
{
    if (!reserve(t, bytes))
        return gen_fail(e, "%s: out of memory for %zu bytes", path, bytes);
    while (t->len < bytes) {
        ssize_t n = read(fd, t->data + t->len, bytes - t->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return gen_fail(e, "%s: %s", path, n < 0 ? strerror(errno) : "shorter than a moment ago");
        t->len += (size_t)n;
    }
    t->data[t->len] = '\0';
    return 0;
}

int text_read(text *t, const char *path, size_t most, hi_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return gen_fail(e, "%s: %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = gen_fail(e, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = gen_fail(e, "%s: not a regular file", path);
    else if ((size_t)st.st_size > most)
        rc = gen_fail(e, "%s: %lld bytes; at most %zu are read", path, (long long)st.st_size, most);
    else
        rc = read_all(t, fd, path, (size_t)st.st_size, e);
    close(fd);
    return rc;
}

static bool same_file(const char *path, const char *data, size_t n)
{
    hi_error ignored = { "" };
    text t = { 0 };
    bool same = text_read(&t, path, n, &ignored) == 0 && t.len == n && memcmp(t.data, data, n) == 0;
    text_free(&t);
    return same;
}

int text_write(const char *path, const char *data, size_t n, hi_error *e)
{
    char temp[4096];

    if (same_file(path, data, n))
        return 0;
    if (snprintf(temp, sizeof temp, "%s.new", path) >= (int)sizeof temp)
        return gen_fail(e, "%s: path too long", path);
    FILE *f = fopen(temp, "wb");
    if (f == NULL)
        return gen_fail(e, "%s: %s", temp, strerror(errno));
    bool ok = fwrite(data, 1, n, f) == n;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(temp, path) != 0) {
        int err = errno;
        remove(temp);
        return gen_fail(e, "%s: %s", path, strerror(err));
    }
    return 0;
}
