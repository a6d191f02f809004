/*
** ladder_test.c - every failure of malloc, mmap and pthread_create, one after the other.
**
**   ladder_test FOLDER
**
** A run is: open, 300 tokens of prompt, two decoded, close. For n = 1, 2, .. the n-th call of one
** kind fails, once or from then on, until a run needs fewer than n. Each run ends with a message
** or succeeds; none crashes, hangs, or leaves memory, mappings or threads behind.
**
** malloc and its kin, mmap, munmap, pthread_create and pthread_join are wrapped by the linker.
*/
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "e2e.h"

enum {
    PROMPT = 300,
    DECODED = 2,
    MOST = 100000,
    SECONDS = 60
};

typedef enum {
    MEMORY,
    MAPS,
    THREADS,
    KINDS
} call_kind;

static const char *const KIND[] = { "malloc", "mmap", "pthread_create" };

static struct {
    bool armed, on; /* on: fail from the n-th on, not once */
    call_kind kind;
    atomic_int left; /* calls that still succeed; below 0: has failed */
    atomic_long blocks, maps, threads;
} ladder;

static bool refused(call_kind kind)
{
    if (!ladder.armed || kind != ladder.kind)
        return false;
    int left = atomic_fetch_sub(&ladder.left, 1);
    return left == 0 || (left < 0 && ladder.on);
}

/* ---- the wrapped functions ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t n);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __real_pthread_join(pthread_t t, void **result);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t n);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **result);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *counted(void *p)
{
    ladder.blocks += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return refused(MEMORY) ? no_memory() : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused(MEMORY) ? no_memory() : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refused(MEMORY))
        return no_memory();
    return p == NULL ? counted(__real_realloc(p, n)) : __real_realloc(p, n);
}

void __wrap_free(void *p)
{
    ladder.blocks -= p != NULL;
    __real_free(p);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (refused(MAPS)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *p = __real_mmap(at, n, prot, flags, fd, offset);
    ladder.maps += p != MAP_FAILED;
    return p;
}

int __wrap_munmap(void *p, size_t n)
{
    ladder.maps--;
    return __real_munmap(p, n);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    if (refused(THREADS))
        return EAGAIN;
    int rc = __real_pthread_create(t, a, f, arg);
    ladder.threads += rc == 0;
    return rc;
}

int __wrap_pthread_join(pthread_t t, void **result)
{
    ladder.threads--;
    return __real_pthread_join(t, result);
}

/* ---- one run ---- */

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++) {
        int copy = dup(fd);
        n += copy >= 0;
        if (copy >= 0)
            close(copy);
    }
    return n;
}

static void pass_tokens(hi_run *r)
{
    int32_t ids[PROMPT];

    for (int i = 0; i < PROMPT; i++)
        ids[i] = i * 7 % (hi_the_model.vocab - 1) + 1;
    feed(r, ids, PROMPT);
    for (int i = 0; i < DECODED; i++)
        must(r, "decode", hi_decode(r, ids[i]));
}

static char last_message[4096];

/* True when the run succeeded; dies on a refusal without a message or on what it leaves. */
static bool one_run(const hi_options *o)
{
    char *err = last_message;
    err[0] = '\0';
    int code = 0, files = open_files();
    long blocks = ladder.blocks, maps = ladder.maps, threads = ladder.threads;

    alarm(SECONDS);
    ladder.armed = true;
    hi_run *r = hi_open(&hi_the_model, o, &code, err, sizeof last_message);
    if (r != NULL)
        pass_tokens(r);
    hi_close(r);
    ladder.armed = false;
    alarm(0);
    if (r == NULL && (err[0] == '\0' || code < 1 || code > 4))
        die("refused with code %d and the message '%s'", code, err);
    if (ladder.blocks != blocks || ladder.maps != maps || ladder.threads != threads ||
        open_files() != files)
        die("left behind: %ld blocks, %ld mappings, %ld threads, %d files; %s",
            ladder.blocks - blocks, ladder.maps - maps, ladder.threads - threads,
            open_files() - files, err);
    return r != NULL;
}

/* Fails one call later each time, until none was left to fail. */
static void climb(const hi_options *o, call_kind kind, bool on)
{
    int n = 0, survived = 0;
    bool failed;

    do {
        ladder.kind = kind;
        ladder.on = on;
        ladder.left = n++;
        bool ok = one_run(o);
        failed = ladder.left < 0;
        survived += failed && ok;
        if (!failed && !ok)
            die("%s: fails with nothing wrong: %s", KIND[kind], last_message);
    } while (failed && n < MOST);
    printf("%-15s %-5s %4d calls, %d of them not needed\n", KIND[kind], on ? "on" : "once", n - 1,
           survived);
    if (n < 3)
        die("%s: %d calls: are they wrapped?", KIND[kind], n - 1);
}

static void *json_malloc(size_t n)
{
    return malloc(n);
}

static void json_free(void *p)
{
    free(p);
}

int main(int argc, char **argv)
{
    json_set_alloc_funcs(json_malloc, json_free);
    if (argc != 2)
        die("usage: ladder_test FOLDER");
    hi_options o = { .weights = argv[1], .threads = 3 };
    ladder.left = MOST;
    if (!one_run(&o))
        die("the run without failures fails: %s", last_message);
    for (int kind = 0; kind < KINDS; kind++)
        for (int on = 0; on < 2; on++)
            climb(&o, kind, on);
    return 0;
}
