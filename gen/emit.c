/*
** emit.c - a plan as sources: renders the templates, then writes the files, and beside them what
** the plan says of itself.
*/
#include "emit.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "print.h"
#include "target.h"
#include "tmpl.h"
#include "view.h"

/* What is emitted for every target: the template, the file, the phase it shows (-1: none). */
typedef struct emitted {
    hi_target_file file;
    int phase;
} emitted;

static const emitted FILES[] = {
    { { "common/shape.h", "shape.h" }, -1 },
    { { "common/model.h", "model.h" }, -1 },
    { { "common/model.c", "model.c" }, -1 },
    { { "common/schedule.c", "prefill.c" }, PREFILL },
    { { "common/schedule.c", "decode.c" }, DECODE },
    { { "common/Makefile", "Makefile" }, -1 },
};
enum { N_FILES = sizeof FILES / sizeof *FILES, MAX_FILES = N_FILES + MAX_TARGET_FILES };

/* File i of a plan's: its target's come last. False: there is none. */
static bool emitted_file(const hi_plan *p, int i, emitted *f)
{
    if (i < N_FILES) {
        *f = FILES[i];
        return true;
    }
    if (i >= MAX_FILES)
        return false;
    *f = (emitted){ TARGET[p->req.target].file[i - N_FILES], -1 };
    return f->file.file != NULL;
}

/* What tells of the plan: no templates, their printers know the format. */
static const struct {
    const char *file;
    void (*print)(const hi_spec *s, const hi_plan *p, text *out);
} PRINTED[] = {
    { "plan.json", json_print },
    { "report.html", report_print },
};
enum { N_PRINTED = sizeof PRINTED / sizeof *PRINTED };

static int join(char *out, size_t n, const char *folder, const char *file, hi_error *e)
{
    if (snprintf(out, n, "%s/%s", folder, file) >= (int)n)
        return gen_fail(e, "%s: path too long", folder);
    return 0;
}

static int make_folder(const char *folder, hi_error *e)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return gen_fail(e, "--out %s: path too long", folder);
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0')
            continue;
        char saved = *c;
        *c = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return gen_fail(e, "--out %s: %s", folder, strerror(errno));
        *c = saved;
        if (saved == '\0')
            return 0;
    }
}

static int render(lua_State *L, const hi_spec *s, const hi_plan *p, const char *templates,
                  bool line_marks, tmpl_text *out, hi_error *e)
{
    char path[4096];
    emitted f;

    view_push(L, s, p);
    for (int i = 0; emitted_file(p, i, &f); i++) {
        bool is_c = strstr(f.file.file, ".c") != NULL;
        if (join(path, sizeof path, templates, f.file.template, e) != 0)
            return -1;
        if (f.phase >= 0)
            view_set_pass(L, s, p, f.phase);
        if (tmpl_render(L, path, line_marks && is_c, &out[i], e) != 0)
            return -1;
    }
    return 0;
}

typedef struct request {             /* render's arguments through lua_pcall */
    const hi_spec *s;
    const hi_plan *p;
    const char *templates;
    bool line_marks;
    tmpl_text *out;
    hi_error *e;
    int rc;
} request;

static int render_protected(lua_State *L)
{
    request *q = lua_touserdata(L, 1);
    lua_settop(L, 0);
    q->rc = render(L, q->s, q->p, q->templates, q->line_marks, q->out, q->e);
    return 0;
}

static int print_all(const hi_spec *s, const hi_plan *p, text *told, hi_error *e)
{
    for (int i = 0; i < N_PRINTED; i++) {
        PRINTED[i].print(s, p, &told[i]);
        if (told[i].failed)
            return gen_fail(e, "out of memory for %s", PRINTED[i].file);
    }
    return 0;
}

static int write_file(const char *folder, const char *file, const char *data, size_t n, hi_error *e)
{
    char path[4096];

    if (join(path, sizeof path, folder, file, e) != 0)
        return -1;
    return text_write(path, data, n, e);
}

static int write_all(const hi_plan *p, const tmpl_text *out, const text *told, const char *folder,
                     hi_error *e)
{
    emitted f;

    if (make_folder(folder, e) != 0)
        return -1;
    for (int i = 0; emitted_file(p, i, &f); i++)
        if (write_file(folder, f.file.file, out[i].data, out[i].len, e) != 0)
            return -1;
    for (int i = 0; i < N_PRINTED; i++)
        if (write_file(folder, PRINTED[i].file, told[i].data, told[i].len, e) != 0)
            return -1;
    return 0;
}

int emit(const hi_spec *s, const hi_plan *p, const char *templates, const char *folder, bool line_marks,
         hi_error *e)
{
    tmpl_text out[MAX_FILES] = { { 0 } };
    text told[N_PRINTED] = { { 0 } };
    request q = { s, p, templates, line_marks, out, e, -1 };
    lua_State *L = luaL_newstate();

    if (L == NULL)
        return gen_fail(e, "out of memory for the template engine");
    lua_pushcfunction(L, render_protected);
    lua_pushlightuserdata(L, &q);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        q.rc = gen_fail(e, "templates: %s", lua_tostring(L, -1));
    lua_close(L);
    if (q.rc == 0)
        q.rc = print_all(s, p, told, e);
    if (q.rc == 0)
        q.rc = write_all(p, out, told, folder, e);
    for (int i = 0; i < N_PRINTED; i++)
        text_free(&told[i]);
    for (int i = 0; i < MAX_FILES; i++)
        free(out[i].data);
    return q.rc;
}
