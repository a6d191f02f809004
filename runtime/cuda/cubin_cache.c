/*
** cubin_cache.c - compiled kernels, kept in the user's cache folder.
**
** One file per key, <arch>-<key>.cubin: a header, then the cubin. It is written under another
** name and renamed, so that of several programs that start at once each finds all of a file or
** none; whoever is last wins, with the same kernels.
*/
#include "cubin_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_LEN = 4096, MOST_BYTES = 1 << 28 };

static const char MAGIC[8] = "HICUBIN1";

typedef struct header {
    char magic[8];
    uint64_t bytes;                  /* of the cubin behind it */
    cubin_key key, sum;              /* sum: hash of the cubin */
} header;

/* ---- the key ---- */

typedef unsigned __int128 u128;

/* Offset and prime of Fowler, Noll, Vo for 128 bits. */
static const u128 FNV_START = (u128)0x6c62272e07bb0142 << 64 | 0x62b821756295c58d;
static const u128 FNV_PRIME = (u128)1 << 88 | 0x13b;

static u128 mix(u128 h, const void *data, size_t bytes)
{
    const uint8_t *b = data;

    for (size_t i = 0; i < bytes; i++)
        h = (h ^ b[i]) * FNV_PRIME;
    return h;
}

/* A string with its end: two strings never look like two others. */
static u128 mix_text(u128 h, const char *s)
{
    return mix(h, s, strlen(s) + 1);
}

static cubin_key to_key(u128 h)
{
    cubin_key k;

    for (int i = 0; i < 16; i++)
        k.byte[i] = (uint8_t)(h >> (120 - 8 * i));
    return k;
}

cubin_key cubin_hash(const void *data, size_t bytes)
{
    return to_key(mix(FNV_START, data, bytes));
}

cubin_key cubin_key_of(const nvrtc *rt, const nvrtc_program *p, const char *arch)
{
    u128 h = mix_text(mix_text(FNV_START, nvrtc_version(rt)), arch);

    for (int i = 0; i < NVRTC_OPTIONS; i++)
        h = mix_text(h, NVRTC_OPTION[i]);
    h = mix(h, &p->n_defines, sizeof p->n_defines);
    for (int i = 0; i < p->n_defines; i++)
        h = mix_text(h, p->defines[i]);
    h = mix_text(mix_text(h, p->main.name), p->main.text);
    for (int i = 0; i < p->n_headers; i++)
        h = mix_text(mix_text(h, p->headers[i].name), p->headers[i].text);
    return to_key(h);
}

/* ---- the folder ---- */

/* A file of the cache; 'why' is set, once, to the reason that it is not used. */
typedef struct place {
    char folder[PATH_LEN], path[PATH_LEN];
    char why[PATH_LEN + 128];
} place;

static int refuse(place *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(place *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(at->why, sizeof at->why, fmt, args);
    va_end(args);
    return -1;
}

/* The user's cache folder as freedesktop.org has it: a relative path there does not count. */
static int find_folder(place *at, const char *folder)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;

    if (folder != NULL)
        n = snprintf(at->folder, sizeof at->folder, "%s", folder);
    else if (cache != NULL && cache[0] == '/')
        n = snprintf(at->folder, sizeof at->folder, "%s/hi-gen", cache);
    else if (home != NULL && home[0] == '/')
        n = snprintf(at->folder, sizeof at->folder, "%s/.cache/hi-gen", home);
    else
        return refuse(at, "no folder for it: neither HOME nor XDG_CACHE_HOME is set");
    return n < (int)sizeof at->folder ? 0 : refuse(at, "the path of its folder is too long");
}

static int find_place(place *at, const char *folder, const char *arch, const cubin_key *k)
{
    char hex[2 * sizeof k->byte + 1];

    if (find_folder(at, folder) != 0)
        return -1;
    for (size_t i = 0; i < sizeof k->byte; i++)
        snprintf(hex + 2 * i, 3, "%02x", k->byte[i]);
    if (snprintf(at->path, sizeof at->path, "%s/%s-%s.cubin", at->folder, arch, hex) >=
        (int)sizeof at->path)
        return refuse(at, "the path of its folder is too long");
    return 0;
}

/* With the folders above it, for this user alone. */
static int make_folder(place *at)
{
    char path[PATH_LEN];

    memcpy(path, at->folder, sizeof path);
    for (char *c = path + (path[0] == '/');; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        char saved = *c;
        *c = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return refuse(at, "%s: %s", path, strerror(errno));
        *c = saved;
        if (saved == '\0')
            return 0;
    }
}

/* ---- reading ---- */

/* What is wrong with a file of the cache; NULL and the cubin if nothing is. */
static const char *load(FILE *f, const cubin_key *key, cubin *out)
{
    header h;

    if (fread(&h, sizeof h, 1, f) != 1 || memcmp(h.magic, MAGIC, sizeof MAGIC) != 0)
        return "is no kept cubin";
    if (memcmp(&h.key, key, sizeof *key) != 0)
        return "holds other kernels";
    if (h.bytes == 0 || h.bytes > MOST_BYTES)
        return "is damaged";
    out->bytes = h.bytes;
    out->data = malloc(out->bytes);
    if (out->data == NULL)
        return "does not fit into memory";
    if (fread(out->data, 1, out->bytes, f) != out->bytes)
        return "is cut short";
    cubin_key sum = cubin_hash(out->data, out->bytes);
    return memcmp(&sum, &h.sum, sizeof sum) == 0 && fgetc(f) == EOF ? NULL : "is damaged";
}

/* Returns 0 with the cubin, or -1; that there is none yet is no reason to tell. */
static int find(place *at, const cubin_key *key, cubin *out)
{
    FILE *f = fopen(at->path, "rb");

    if (f == NULL)
        return errno == ENOENT ? -1 : refuse(at, "%s: %s", at->path, strerror(errno));
    const char *wrong = load(f, key, out);
    fclose(f);
    if (wrong == NULL)
        return 0;
    cubin_free(out);
    return refuse(at, "%s %s", at->path, wrong);
}

/* ---- writing ---- */

static int write_file(int fd, const header *h, const cubin *c)
{
    FILE *f = fdopen(fd, "wb");

    if (f == NULL) {
        close(fd);
        return -1;
    }
    bool done = fwrite(h, sizeof *h, 1, f) == 1 && fwrite(c->data, 1, c->bytes, f) == c->bytes;
    return fclose(f) == 0 && done ? 0 : -1;
}

/* Returns 0, or -1 with the reason in at->why. */
static int keep(place *at, const cubin_key *key, const cubin *c)
{
    header h = { .bytes = c->bytes, .key = *key, .sum = cubin_hash(c->data, c->bytes) };
    char path[PATH_LEN + 8];

    memcpy(h.magic, MAGIC, sizeof MAGIC);
    if (make_folder(at) != 0)
        return -1;
    snprintf(path, sizeof path, "%s.XXXXXX", at->path);
    int fd = mkstemp(path);
    if (fd < 0)
        return refuse(at, "%s: %s", at->folder, strerror(errno));
    if (write_file(fd, &h, c) == 0 && rename(path, at->path) == 0)
        return 0;
    refuse(at, "%s: %s", at->path, strerror(errno));
    unlink(path);
    return -1;
}

/* ---- both ---- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compile(const nvrtc *rt, const nvrtc_program *p, const char *arch, cubin *out,
                   FILE *log, char *err, size_t n)
{
    nvrtc_output made;
    int rc = nvrtc_compile(rt, p, arch, &made, err, n);

    if (rc == 0) {
        out->data = made.cubin;
        out->bytes = made.bytes;
        made.cubin = NULL;
    } else if (log != NULL && made.log != NULL)
        fputs(made.log, log);
    nvrtc_output_free(&made);
    return rc;
}

static void say_compiled(const nvrtc *rt, const char *arch, const cubin *c, const place *at,
                         bool kept, FILE *log)
{
    fprintf(log, "kernels: compiled for %s in %.1f s (NVRTC %s), %s%s\n", arch, c->seconds,
            nvrtc_version(rt), kept ? "kept in " : "not kept: ", kept ? at->folder : at->why);
}

int cubin_build(const nvrtc *rt, const nvrtc_program *p, const char *arch, const char *folder,
                cubin *out, FILE *log, char *err, size_t n)
{
    double start = now();
    place at = { .why = "" };
    cubin_key key = cubin_key_of(rt, p, arch);

    *out = (cubin){ 0 };
    bool placed = find_place(&at, folder, arch, &key) == 0;
    out->cached = placed && find(&at, &key, out) == 0;
    if (placed && at.why[0] != '\0' && log != NULL)
        fprintf(log, "kernels: %s: not used\n", at.why);
    if (!out->cached && compile(rt, p, arch, out, log, err, n) != 0)
        return -1;
    out->seconds = now() - start;
    bool kept = !out->cached && placed && keep(&at, &key, out) == 0;
    if (log != NULL && out->cached)
        fprintf(log, "kernels: %s from the cache\n", arch);
    else if (log != NULL)
        say_compiled(rt, arch, out, &at, kept, log);
    return 0;
}

void cubin_free(cubin *c)
{
    free(c->data);
    *c = (cubin){ 0 };
}
