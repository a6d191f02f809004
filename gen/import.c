/*
** import.c - 'hi-gen import': the order of things.
**
** Folder, config.json, tensors, tokenizer and chat template, then the spec: what is cheap and
** most often wrong comes first. What follows is hi-gen's ordinary way with a spec.
*/
#include "import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_all(const hi_command *c, hf_model *m, text *notes, hi_error *e)
{
    if (import_folder(c->spec, c->name, m, e) != 0 || import_config(m, notes, e) != 0 ||
        import_tensors(m, notes, e) != 0)
        return -1;
    if (import_texts(m, notes, e) != 0)
        return -1;
    return notes->failed ? gen_fail(e, "%s: out of memory", m->label) : 0;
}

static void say(const hf_model *m, const text *notes)
{
    const char *line = notes->data;

    while (line != NULL && *line) {
        size_t n = strcspn(line, "\n");
        fprintf(stderr, "hi-gen: %s: %.*s\n", m->label, (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static int load(const hf_model *m, hi_spec *s, text *lua, hi_error *e)
{
    char path[NAME_LEN + 8];

    import_write(m, lua);
    if (lua->failed)
        return gen_fail(e, "%s: out of memory for the spec", m->label);
    snprintf(path, sizeof path, "%s.lua", m->name);
    return spec_load_text(path, lua->data, lua->len, s, e);
}

int import_spec(const hi_command *c, hi_spec *s, text *lua, char *folder, hi_error *e)
{
    hf_model *m = calloc(1, sizeof *m);
    text notes = { 0 };

    if (m == NULL)
        return gen_fail(e, "import: out of memory");
    int rc = read_all(c, m, &notes, e);
    say(m, &notes);
    if (rc == 0)
        rc = load(m, s, lua, e);
    snprintf(folder, IMPORT_PATH, "%s", m->folder);
    text_free(&notes);
    free(m);
    return rc;
}
