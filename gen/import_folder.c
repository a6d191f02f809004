/*
** import_folder.c - where a checkpoint lies, and what it is called.
**
** A folder is taken as it is; "org/name" is looked up in the hub's cache as downloads left it,
** without a network. Folders that hold something else than a checkpoint are told by it.
*/
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"
#include "infile.h"

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_file(const char *folder, const char *file)
{
    char path[IMPORT_PATH];
    struct stat st;

    return snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path &&
           lstat(path, &st) == 0;
}

int import_absolute(const char *path, char *out, size_t n, hi_error *e)
{
    char here[IMPORT_PATH] = "";

    if (path[0] != '/' && getcwd(here, sizeof here) == NULL)
        return gen_fail(e, "the current folder: %s", strerror(errno));
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (strcmp(path, ".") == 0)
        path = "";
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    int need =
        snprintf(out, n, "%s%s%.*s", here, here[0] != '\0' && len > 0 ? "/" : "", (int)len, path);
    return need < (int)n ? 0 : import_fail(e, "%.64s...: path too long", path);
}

/* ---- the hub's cache ---- */

/* "org/name" of letters, digits, '.', '_' and '-'. */
static bool is_repository(const char *arg)
{
    const char *slash = strchr(arg, '/');

    if (slash == NULL || strchr(slash + 1, '/') != NULL || arg[0] == '.' || slash[1] == '.')
        return false;
    for (const char *c = arg; *c; c++)
        if (c != slash && !isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            return false;
    return slash > arg && slash[1] != '\0';
}

/* Where downloads lie; "" where nothing tells. */
static void cache_folder(char *out, size_t n)
{
    static const struct {
        const char *variable, *below;
    } PLACE[] = { { "HF_HUB_CACHE", "" },
                  { "HF_HOME", "/hub" },
                  { "XDG_CACHE_HOME", "/huggingface/hub" },
                  { "HOME", "/.cache/huggingface/hub" } };

    out[0] = '\0';
    for (size_t i = 0; i < sizeof PLACE / sizeof *PLACE && out[0] == '\0'; i++) {
        const char *v = getenv(PLACE[i].variable);
        if (v != NULL && v[0] != '\0' && snprintf(out, n, "%s%s", v, PLACE[i].below) >= (int)n)
            out[0] = '\0';
    }
}

/* The revision that refs/main names: a file name, whatever the file holds. */
static int read_revision(const char *repository, char *revision, size_t n, hi_error *e)
{
    char path[IMPORT_PATH + 16];
    hi_error why = { "" };
    text t = { 0 };

    snprintf(path, sizeof path, "%s/refs/main", repository);
    if (text_read(&t, path, n - 1, &why) != 0) {
        text_free(&t);
        return import_fail(e, "%s; give the folder of one of its snapshots", why.text);
    }
    size_t len = strcspn(t.data, " \t\r\n");
    bool good = len > 0 && len < n && strspn(t.data, "0123456789abcdef") == len;
    if (good)
        snprintf(revision, n, "%.*s", (int)len, t.data);
    text_free(&t);
    return good ? 0 : import_fail(e, "%s: is no revision; download the repository again", path);
}

static int find_in_cache(const char *arg, char *folder, hi_error *e)
{
    char cache[IMPORT_PATH], repository[IMPORT_PATH], revision[80];
    const char *slash = strchr(arg, '/');

    cache_folder(cache, sizeof cache);
    if (snprintf(repository, sizeof repository, "%s/models--%.*s--%s", cache, (int)(slash - arg),
                 arg, slash + 1) >= (int)sizeof repository)
        return import_fail(e, "%.64s...: path too long", cache);
    if (cache[0] == '\0' || !is_folder(repository))
        return import_fail(e,
                           "%s: no such folder, and %s is not there either; download the "
                           "repository first, or give a folder",
                           arg, repository);
    if (read_revision(repository, revision, sizeof revision, e) != 0)
        return -1;
    if (snprintf(folder, IMPORT_PATH, "%s/snapshots/%s", repository, revision) >= IMPORT_PATH)
        return import_fail(e, "%.64s...: path too long", repository);
    return is_folder(folder) ? 0
                             : import_fail(e,
                                           "%s: missing, though refs/main names it; download "
                                           "the repository again",
                                           folder);
}

/* ---- the name ---- */

int import_name(const char *from, char *out, hi_error *e)
{
    size_t n = 0;

    if (isdigit((unsigned char)from[0]))
        n = (size_t)sprintf(out, "m_");
    for (const char *c = from; *c && n < NAME_LEN; c++)
        out[n++] = isalnum((unsigned char)*c) && (unsigned char)*c < 128
                       ? (char)tolower((unsigned char)*c)
                       : '_';
    if (n == 0 || n >= NAME_LEN)
        return import_fail(e, "%.80s: no name for a spec, 1 to %d characters; give one by --name",
                           from, NAME_LEN - 1);
    out[n] = '\0';
    return 0;
}

/* The folder's own name; of a snapshot in a cache "org/name" of its repository. */
static void label_folder(const char *folder, char *label)
{
    char path[IMPORT_PATH];

    snprintf(path, sizeof path, "%s", folder);
    char *base = strrchr(path, '/');
    const char *own = base == NULL ? path : base + 1;
    snprintf(label, IMPORT_LABEL, "%.*s", IMPORT_LABEL - 1, own);
    if (base == NULL)
        return;
    *base = '\0';
    char *snapshots = strrchr(path, '/');
    if (snapshots == NULL || strcmp(snapshots, "/snapshots") != 0)
        return;
    *snapshots = '\0';
    const char *models = strrchr(path, '/');
    const char *org = models == NULL ? "" : models + 1;
    const char *name = strncmp(org, "models--", 8) == 0 ? strstr(org + 8, "--") : NULL;
    if (name == NULL)
        return;
    int n = name - org - 8 < IMPORT_LABEL / 2 ? (int)(name - org - 8) : IMPORT_LABEL / 2;
    snprintf(label, IMPORT_LABEL, "%.*s/", n, org + 8);
    strncat(label, name + 2, IMPORT_LABEL / 2 - 2);
}

static int name_model(hf_model *m, const char *name, hi_error *e)
{
    const char *slash = strrchr(m->label, '/');

    for (char *c = m->label; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (name == NULL)
        return import_name(slash == NULL ? m->label : slash + 1, m->name, e);
    size_t n = strlen(name);
    if (n == 0 || n >= NAME_LEN || isdigit((unsigned char)name[0]) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        return import_fail(e,
                           "--name %.80s: must consist of a-z, 0-9 and _, not beginning with a "
                           "digit, at most %d characters",
                           name, NAME_LEN - 1);
    memcpy(m->name, name, n + 1);
    return 0;
}

/* ---- is it a checkpoint? ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* What of a kind lies in the folder: its first file's name. */
typedef struct holding {
    char gguf[256], bin[256], consolidated[256];
} holding;

static int look_around(const char *folder, holding *h, hi_error *e)
{
    DIR *d = opendir(folder);

    if (d == NULL)
        return import_fail(e, "%s: %s", folder, strerror(errno));
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        char *into =
            ends_with(f->d_name, ".gguf") ? h->gguf
            : ends_with(f->d_name, ".bin") || ends_with(f->d_name, ".pth") ||
                    ends_with(f->d_name, ".pt")
                ? h->bin
            : strncmp(f->d_name, "consolidated", 12) == 0 && ends_with(f->d_name, ".safetensors")
                ? h->consolidated
                : NULL;
        if (into != NULL && (into[0] == '\0' || strcmp(f->d_name, into) < 0))
            snprintf(into, sizeof h->gguf, "%s", f->d_name);
    }
    closedir(d);
    return 0;
}

static int check_kind(const char *folder, hi_error *e)
{
    holding h = { "", "", "" };
    bool weights =
        has_file(folder, "model.safetensors.index.json") || has_file(folder, "model.safetensors");

    if (weights && has_file(folder, "config.json"))
        return 0;
    if (look_around(folder, &h, e) != 0)
        return -1;
    if (!weights && has_file(folder, "adapter_config.json"))
        return import_fail(e,
                           "%s: adapter_config.json: an adapter, not a model; merge it into its "
                           "base model and save that as safetensors",
                           folder);
    if (!weights && h.gguf[0] != '\0')
        return import_fail(e,
                           "%s: %s: GGUF files are not read; give the folder of the model's "
                           "safetensors files",
                           folder, h.gguf);
    if (!weights && h.consolidated[0] != '\0')
        return import_fail(e,
                           "%s: %s: the author's own format, rows in another order; give the "
                           "folder with model.safetensors and config.json",
                           folder, h.consolidated);
    if (!weights && h.bin[0] != '\0')
        return import_fail(e,
                           "%s: %s: pickled weights are not read; save the model as "
                           "safetensors",
                           folder, h.bin);
    if (!weights)
        return import_fail(e,
                           "%s: neither model.safetensors nor model.safetensors.index.json: no "
                           "checkpoint",
                           folder);
    return import_fail(e, "%s: no config.json; fetch the whole repository", folder);
}

int import_folder(const char *arg, const char *name, hf_model *m, hi_error *e)
{
    char found[IMPORT_PATH];
    struct stat st;

    if (arg[0] == '\0')
        return gen_fail(e, "import: the folder's name is empty");
    if (stat(arg, &st) == 0 && !S_ISDIR(st.st_mode))
        return import_fail(e, "%s: a file; give the folder that holds config.json%s", arg,
                           ends_with(arg, ".gguf") ? " (GGUF files are not read)" : "");
    if (is_folder(arg)) {
        if (import_absolute(arg, m->folder, sizeof m->folder, e) != 0)
            return -1;
        label_folder(m->folder, m->label);
    } else if (is_repository(arg)) {
        if (find_in_cache(arg, found, e) != 0 ||
            import_absolute(found, m->folder, sizeof m->folder, e) != 0)
            return -1;
        snprintf(m->label, sizeof m->label, "%s", arg);
    } else
        return import_fail(e, "%s: %s", arg, strerror(ENOENT));
    return name_model(m, name, e) != 0 ? -1 : check_kind(m->folder, e);
}
