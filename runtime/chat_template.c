/*
** chat_template.c - a checkpoint's chat template found, read and rendered.
**
** The interpreter is jinja.h's; here is where a template lies and which variables it gets.
*/
#include "chat_template.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "infile.h"

#define MAX_TEXT (1 << 20)
#define MAX_CONFIG (8 << 20) /* thousands of added tokens are listed in some */
#define MAX_DEPTH 16

struct chat_template {
    jinja *program;
    json_t *tokens; /* the special tokens' names and texts */
};

static int make_path(char *path, const char *folder, const char *name, char *err, size_t n)
{
    int k = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return k < PATH_MAX ? 0 : infile_fail(err, n, "%.64s...: path too long", folder);
}

/* Returns 1 and the text, 0 if there is no such file, or -1. */
static int read_text(const char *path, char **text, size_t *n_text, char *err, size_t n)
{
    uint64_t bytes = 0;
    int fd = infile_open(path, &bytes, err, n), rc = -1;
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    *text = NULL;
    if (bytes > MAX_TEXT)
        infile_fail(err, n, "%s: %llu bytes: a template has at most %d", path,
                    (unsigned long long)bytes, MAX_TEXT);
    else if (!(*text = malloc(bytes > 0 ? bytes : 1)))
        infile_fail(err, n, "%s: out of memory", path);
    else if (infile_read(fd, path, *text, bytes, 0, err, n) == 0)
        rc = 1;
    if (rc < 0)
        free(*text);
    *n_text = bytes;
    close(fd);
    return rc;
}

/* ---- tokenizer_config.json ---- */

/* bos_token and its like: strings, or objects with a content. */
static int add_tokens(chat_template *t, const char *path, json_t *config, char *err, size_t n)
{
    static const char *const NAMES[] = { "bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        json_t *v = json_object_get(config, NAMES[i]);
        if (json_is_object(v))
            v = json_object_get(v, "content");
        else if (!v || json_is_null(v))
            continue;
        if (!json_is_string(v))
            return infile_fail(err, n, "%s: %s: must be a string, or an object with a content",
                               path, NAMES[i]);
        if (json_object_set(t->tokens, NAMES[i], v) != 0)
            return infile_fail(err, n, "%s: out of memory", path);
    }
    return 0;
}

/* The template in the configuration: NULL and no message where there is none. */
static json_t *find_template(const char *path, json_t *config, char *err, size_t n)
{
    json_t *v = json_object_get(config, "chat_template"), *one;
    size_t i;
    if (!v || json_is_null(v) || json_is_string(v))
        return json_is_string(v) ? v : NULL;
    json_array_foreach(v, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        json_t *text = json_object_get(one, "template");
        if (name && strcmp(name, "default") == 0 && json_is_string(text))
            return text;
    }
    infile_fail(err, n,
                "%s: chat_template: must be a string, or a list with a template named \"default\"; "
                "pass --chat-template-file FILE",
                path);
    return NULL;
}

/* ---- opening ---- */

static int parse_config(chat_template *t, const char *path, json_t *config, char *err, size_t n)
{
    char name[PATH_MAX + 32];
    if (!json_is_object(config))
        return infile_fail(err, n, "%s: must be an object", path);
    if (add_tokens(t, path, config, err, n) != 0)
        return -1;
    if (t->program)
        return 0;
    err[0] = '\0';
    json_t *text = find_template(path, config, err, n);
    if (!text)
        return err[0] ? -1 : 0;
    snprintf(name, sizeof name, "%s: chat_template", path);
    t->program = jinja_parse(name, json_string_value(text), json_string_length(text), err, n);
    return t->program ? 0 : -1;
}

/* Tokens, and the template unless a file had one. Returns 0, also where there is no such file. */
static int read_config(chat_template *t, const char *folder, char *err, size_t n)
{
    char path[PATH_MAX];
    json_t *config = NULL;
    if (make_path(path, folder, "tokenizer_config.json", err, n) != 0)
        return -1;
    int rc = infile_json(path, MAX_CONFIG, MAX_DEPTH, &config, err, n);
    if (rc <= 0)
        return rc;
    rc = parse_config(t, path, config, err, n);
    json_decref(config);
    return rc;
}

/* Returns 1, 0 if there is no such file, or -1. */
static int parse_file(chat_template *t, const char *path, char *err, size_t n)
{
    char *text;
    size_t n_text;
    int rc = read_text(path, &text, &n_text, err, n);
    if (rc <= 0)
        return rc;
    t->program = jinja_parse(path, text, n_text, err, n);
    free(text);
    return t->program ? 1 : -1;
}

static int find(chat_template *t, const char *folder, const char *file, char *err, size_t n)
{
    char path[PATH_MAX];
    if (make_path(path, folder, "chat_template.jinja", err, n) != 0)
        return -1;
    int rc = parse_file(t, file ? file : path, err, n);
    if (rc < 0 || (rc == 0 && file) || read_config(t, folder, err, n) != 0)
        return -1;
    if (t->program)
        return 0;
    return infile_fail(err, n,
                       "%s: no chat template: neither chat_template.jinja nor chat_template in "
                       "tokenizer_config.json; pass --chat-template-file FILE",
                       folder);
}

chat_template *chat_template_open(const char *folder, const char *file, char *err, size_t n)
{
    char text[PATH_MAX + 1024] = "";
    chat_template *t = calloc(1, sizeof *t);
    if (t && (t->tokens = json_object()) && find(t, folder, file, text, sizeof text) == 0)
        return t;
    infile_fail(err, n, "%s", text[0] ? text : "chat template: out of memory");
    chat_template_close(t);
    return NULL;
}

void chat_template_close(chat_template *t)
{
    if (!t)
        return;
    jinja_free(t->program);
    json_decref(t->tokens);
    free(t);
}

void chat_template_set_clock(chat_template *t, time_t now)
{
    jinja_set_clock(t->program, now);
}

/* ---- rendering ---- */

static int check_messages(json_t *messages, char *err, size_t n)
{
    size_t i;
    json_t *m;
    if (!json_is_array(messages))
        return infile_fail(err, n, "chat template: messages: must be an array");
    json_array_foreach(messages, i, m)
    {
        if (!json_is_object(m))
            return infile_fail(err, n, "chat template: messages[%zu]: must be an object", i);
        if (!json_is_string(json_object_get(m, "role")))
            return infile_fail(err, n, "chat template: messages[%zu].role: must be a string", i);
    }
    return 0;
}

/* json_copy would drop entries where memory runs out. */
static json_t *copy(json_t *from)
{
    json_t *to = json_object();
    if (!to || !from || json_object_update(to, from) == 0)
        return to;
    json_decref(to);
    return NULL;
}

/* What the reference passes besides the messages, named or not. */
static json_t *make_given(const chat_template *t, bool answer)
{
    json_t *given = copy(t->tokens);
    if (given && json_object_set_new(given, "tools", json_null()) == 0 &&
        json_object_set_new(given, "documents", json_null()) == 0 &&
        json_object_set_new(given, "add_generation_prompt", json_boolean(answer)) == 0)
        return given;
    json_decref(given);
    return NULL;
}

static json_t *make_user(json_t *messages, json_t *kwargs)
{
    json_t *user = copy(kwargs);
    if (user && json_object_set(user, "messages", messages) == 0)
        return user;
    json_decref(user);
    return NULL;
}

int chat_template_render(const chat_template *t, json_t *messages, bool answer, json_t *kwargs,
                         jinja_text *out, char *err, size_t n)
{
    char text[4200] = "out of memory";
    *out = (jinja_text){ 0 };
    if (check_messages(messages, err, n) != 0)
        return -1;
    if (kwargs && !json_is_object(kwargs))
        return infile_fail(err, n, "chat template: variables: must be an object");
    json_t *given = make_given(t, answer), *user = make_user(messages, kwargs);
    int rc = -1;
    if (given && user)
        rc = jinja_render(t->program, given, user, out, text, sizeof text);
    json_decref(given);
    json_decref(user);
    return rc == 0 ? 0 : infile_fail(err, n, "chat template: %s", text);
}
