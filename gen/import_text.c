/*
** import_text.c - tokenizer, chat template and sampling, opened as the program will open them.
**
** The one place of the generator that knows the runtime's text modules: what they refuse is
** refused when a model is imported, not when it is run.
*/
#include "chat_template.h"
#include "generation_config.h"
#include "import.h"
#include "tokenizer.h"

enum {
    WHY = 900
};

static int check_tokenizer(const hf_model *m, text *notes, hi_error *e)
{
    char why[WHY] = "";

    if (!import_has(m->folder, "tokenizer.json")) {
        import_note(notes, "no tokenizer.json%s: the program takes and prints token ids only",
                    import_has(m->folder, "tokenizer.model") ? " (tokenizer.model is not read)"
                                                             : "");
        return 0;
    }
    hi_tokenizer *t = tok_open(m->folder, why, sizeof why);
    if (t == NULL)
        return import_fail(e, "%s", why);
    if (tok_size(t) > m->vocab)
        import_note(notes,
                    "tokenizer.json has ids up to %d, the embedding %lld rows: text with the "
                    "ids above is refused",
                    tok_size(t) - 1, (long long)m->vocab);
    tok_close(t);
    return 0;
}

/* Does the folder say anything of chats? 1, 0 or -1. */
static int has_template(const hf_model *m, hi_error *e)
{
    json_t *o;

    if (import_has(m->folder, "chat_template.jinja"))
        return 1;
    int rc = hf_open(m->folder, "tokenizer_config.json", &o, e);
    if (rc <= 0)
        return rc;
    const hf_object c = { o, "tokenizer_config.json", "", e };
    rc = hf_get(&c, "chat_template") != NULL;
    json_decref(o);
    return rc;
}

static int check_template(const hf_model *m, text *notes, hi_error *e)
{
    char why[WHY] = "";
    int there = has_template(m, e);

    if (there < 0)
        return -1;
    if (there == 0) {
        import_note(notes, "no chat template: a base model, or give the program one by "
                           "--chat-template-file");
        return 0;
    }
    chat_template *t = chat_template_open(m->folder, NULL, why, sizeof why);
    if (t == NULL)
        return import_fail(e, "%s; for import: a chat_template.jinja in the folder takes its place",
                           why);
    chat_template_close(t);
    return 0;
}

static int check_sampling(const hf_model *m, hi_error *e)
{
    char why[WHY] = "";
    generation_config g;

    return generation_config_read(&g, m->folder, why, sizeof why) == 0 ? 0
                                                                       : import_fail(e, "%s", why);
}

int import_texts(const hf_model *m, text *notes, hi_error *e)
{
    if (check_tokenizer(m, notes, e) != 0 || check_template(m, notes, e) != 0)
        return -1;
    return check_sampling(m, e);
}
