/*
** test_vectors.c - templates rendered as the reference rendered them.
**
** test_vectors FILE [FOLDER]: FILE is make_vectors.py's: inputs, and templates with what each
** gives for each input: a text, null (an error), or {"raise": the template's own message}.
** Templates that FILE does not hold lie in FOLDER (or where HI_TEMPLATES says) and are known
** by their SHA-256, and so is what they give, by its first 16 digits. With no template at all
** the exit status is 77.
*/
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "infile.h"
#include "jinja.h"
#include "sha256.h"

typedef struct totals {
    int templates, renderings, errors, refused, wrong;
} totals;

static char err[5000];

static void complain(totals *n, const char *name, size_t input, const char *what, const char *got,
                     const char *wanted)
{
    if (n->wrong++ < 25)
        printf("%s, input %zu: %s\n  got:    %.3000s\n  wanted: %.3000s\n", name, input, what, got,
               wanted);
}

/* The text itself, or its digest where the vectors hold only that. */
static bool is_wanted(const char *text, size_t n, json_t *wanted, bool digest)
{
    char sum[65];
    if (digest) {
        sha256_hex(text, n, sum);
        return strncmp(sum, json_string_value(wanted), 16) == 0;
    }
    return n == json_string_length(wanted) && memcmp(text, json_string_value(wanted), n) == 0;
}

static void check_error(totals *n, const char *name, size_t input, json_t *wanted, bool digest)
{
    json_t *message = json_object_get(wanted, "raise");
    n->errors++;
    if (message && !is_wanted(err, strlen(err), message, digest))
        complain(n, name, input, "another message", err, json_string_value(message));
    if (json_is_string(wanted))
        complain(n, name, input, "an error", err, json_string_value(wanted));
}

/* The letters of private use are the user's, all else is not. */
static bool marks_are_right(const jinja_text *t)
{
    size_t span = 0;
    for (size_t i = 0; i < t->n; i++) {
        while (span < t->n_trusted && i >= t->trusted[span].end)
            span++;
        bool trusted = span < t->n_trusted && i >= t->trusted[span].begin;
        bool private = i + 2 < t->n && memcmp(t->text + i, "\xee\x80", 2) == 0;
        if (private == trusted)
            return false;
        i += private ? 2 : 0;
    }
    return true;
}

static void check_one(totals *n, const jinja *j, const char *name, size_t i, json_t *input,
                      json_t *wanted, bool digest)
{
    jinja_text t;
    n->renderings++;
    err[0] = '\0';
    if (jinja_render(j, json_object_get(input, "given"), json_object_get(input, "user"), &t, err,
                     sizeof err) != 0) {
        check_error(n, name, i, wanted, digest);
        return;
    }
    const char *text = json_string_value(wanted);
    if (!text)
        complain(n, name, i, "no error", t.text, "an error");
    else if (!is_wanted(t.text, t.n, wanted, digest))
        complain(n, name, i, "another text", t.text, text);
    else if (json_is_true(json_object_get(input, "private")) && !marks_are_right(&t))
        complain(n, name, i, "marks", t.text, "the user's bytes marked as such");
    jinja_text_free(&t);
}

static void check_template(totals *n, json_t *all, json_t *entry, const char *text, size_t n_text)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    bool digest = json_object_get(entry, "sha256");
    json_t *inputs = json_object_get(all, "inputs"), *out = json_object_get(entry, "out"), *input;
    size_t i;
    name = name ? name : text;
    n->templates++;
    jinja *j = jinja_parse("t", text, n_text, err, sizeof err);
    if (!j) {
        bool any = false;
        json_array_foreach(out, i, input) any |= json_is_string(input);
        n->refused++;
        if (any && !json_is_true(json_object_get(entry, "refused")))
            complain(n, name, 0, "refused", err, "a rendering");
        return;
    }
    jinja_set_clock(j, (time_t)json_integer_value(json_object_get(all, "clock")));
    json_array_foreach(inputs, i, input)
        check_one(n, j, name, i, input, json_array_get(out, i), digest);
    jinja_free(j);
}

/* ---- templates in a folder ---- */

static char *read_whole(const char *path, size_t *n_text)
{
    uint64_t bytes;
    int fd = infile_open(path, &bytes, err, sizeof err);
    if (fd < 0)
        return NULL;
    char *text = malloc(bytes + 1);
    if (text && infile_read(fd, path, text, bytes, 0, err, sizeof err) != 0) {
        free(text);
        text = NULL;
    }
    *n_text = bytes;
    fclose(fdopen(fd, "r"));
    return text;
}

static void check_folder(totals *n, json_t *all, const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[4096], sum[65];
        size_t n_text, i;
        json_t *entry;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        char *text = e->d_name[0] == '.' ? NULL : read_whole(path, &n_text);
        if (!text)
            continue;
        sha256_hex(text, n_text, sum);
        json_array_foreach(json_object_get(all, "templates"), i, entry)
        {
            const char *known = json_string_value(json_object_get(entry, "sha256"));
            if (known && strcmp(sum, known) == 0)
                check_template(n, all, entry, text, n_text);
        }
        free(text);
    }
    if (d)
        closedir(d);
}

int main(int argc, char **argv)
{
    json_t *all = NULL, *entry;
    totals n = { 0 };
    size_t i;
    const char *folder = argc > 2 ? argv[2] : getenv("HI_TEMPLATES");
    if (argc < 2 || infile_json(argv[1], 64 << 20, 64, &all, err, sizeof err) != 1) {
        printf("%s\n", argc < 2 ? "test_vectors FILE [FOLDER]" : err);
        return 2;
    }
    json_array_foreach(json_object_get(all, "templates"), i, entry)
    {
        json_t *text = json_object_get(entry, "text");
        if (text)
            check_template(&n, all, entry, json_string_value(text), json_string_length(text));
    }
    if (folder)
        check_folder(&n, all, folder);
    json_decref(all);
    printf("%d templates (%d refused), %d renderings (%d errors), %d wrong\n", n.templates,
           n.refused, n.renderings, n.errors, n.wrong);
    return n.templates == 0 ? 77 : n.wrong > 0;
}
