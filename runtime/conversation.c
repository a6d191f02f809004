/*
** conversation.c - questions and answers over one run.
**
** Every prompt is the whole conversation as the template writes it, tokenized anew: what a template
** does with earlier turns is its own affair. Tokens that it then has in common with those in the
** run are kept, the others computed.
*/
#include "conversation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "interrupt.h"
#include "progress.h"

int conversation_open(conversation *c, const speaker *s, hi_run *r, const chat_template *t,
                      json_t *arguments, char *err, size_t n)
{
    *c = (conversation){ .speaker = s, .r = r, .template = t, .arguments = arguments };
    c->messages = json_array();
    c->ids = malloc(((size_t)s->m->ctx + 1) * sizeof *c->ids);
    if (c->messages != NULL && c->ids != NULL)
        return 0;
    snprintf(err, n, "out of memory for a conversation of %lld tokens", (long long)s->m->ctx);
    return -1;
}

void conversation_close(conversation *c)
{
    json_decref(c->messages);
    free(c->ids);
    *c = (conversation){ 0 };
}

/* ---- messages ---- */

static json_t *message(const char *role, const char *text, size_t n_text)
{
    return json_pack("{s:s, s:s%}", "role", role, "content", text, n_text);
}

static int say(conversation *c, const char *role, const char *text, size_t n_text, char *err,
               size_t n)
{
    if (json_array_append_new(c->messages, message(role, text, n_text)) == 0)
        return 0;
    snprintf(err, n, "a message of %zu bytes: must be UTF-8 text (or out of memory)", n_text);
    return -1;
}

static bool has_role(const conversation *c, size_t i, const char *role)
{
    const char *is = json_string_value(json_object_get(json_array_get(c->messages, i), "role"));
    return is != NULL && strcmp(is, role) == 0;
}

static void drop_last(conversation *c)
{
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

void conversation_clear(conversation *c)
{
    while (json_array_size(c->messages) > (has_role(c, 0, "system") ? 1 : 0))
        drop_last(c);
}

int conversation_system(conversation *c, const char *text, char *err, size_t n)
{
    json_t *m = text[0] == '\0' ? NULL : message("system", text, strlen(text));

    if (text[0] != '\0' && m == NULL) {
        snprintf(err, n, "the system message: must be UTF-8 text (or out of memory)");
        return -1;
    }
    if (has_role(c, 0, "system"))
        json_array_remove(c->messages, 0);
    if (m == NULL || json_array_insert_new(c->messages, 0, m) == 0)
        return 0;
    snprintf(err, n, "the system message: out of memory");
    return -1;
}

/* ---- prompts ---- */

/* The whole conversation as ids, malloc'd; NULL with a message. */
static int32_t *tokenize(const conversation *c, size_t *n_ids, char *err, size_t n)
{
    static const tok_span nowhere = { 0, 0 };
    const speaker *s = c->speaker;
    jinja_text text;

    if (chat_template_render(c->template, c->messages, true, c->arguments, &text, err, n) != 0)
        return NULL;
    tok_options o = { .bos = false, /* the template writes it */
                      .trusted = text.n_trusted > 0 ? text.trusted : &nowhere,
                      .n_trusted = text.n_trusted };
    int32_t *ids = tok_encode(s->tok, text.text, text.n, &o, n_ids, err, n);
    jinja_text_free(&text);
    return ids;
}

static int check(const conversation *c, const int32_t *ids, int64_t n_ids, char *err, size_t n)
{
    const hi_model *m = c->speaker->m;

    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] >= m->vocab) {
            snprintf(err, n, "tokenizer.json: token id %d: the model has %d tokens", ids[i],
                     m->vocab);
            return -1;
        }
    if (n_ids > 0 && n_ids < m->ctx)
        return 0;
    if (n_ids == 0)
        snprintf(err, n, "the chat template makes no text of this conversation");
    else
        snprintf(err, n,
                 "the conversation would have %lld tokens with this question; the program was "
                 "generated for a context of %lld: /clear begins a new one, hi-gen --ctx %lld "
                 "or more makes a larger one",
                 (long long)n_ids, (long long)m->ctx, (long long)n_ids + 1);
    return -1;
}

/* Tokens at the beginning of the prompt that can stay in the run; at least one is left to compute,
   whose scores are needed. */
static int64_t common(const conversation *c, const int32_t *ids, int64_t n_ids)
{
    int64_t length = hi_length(c->r), n = 0;

    while (n < length && n < n_ids && c->ids[n] == ids[n])
        n++;
    if (n == n_ids)
        n--;
    return n < length && n < hi_rewind_least(c->r) ? 0 : n;
}

static talk lost(const char *why, char *err, size_t n)
{
    snprintf(err, n, "%s", why);
    return TALK_LOST;
}

/* Brings the run to the end of the prompt. */
static talk compute(conversation *c, const int32_t *ids, int64_t n_ids, char *err, size_t n)
{
    hi_recover(c->r); /* from a Ctrl-C that came when the last prompt was through */
    c->n_prompt = n_ids;
    c->n_kept = common(c, ids, n_ids);
    if (c->n_kept < hi_length(c->r) && hi_rewind(c->r, c->n_kept) != 0)
        return lost(hi_error_text(c->r), err, n);
    memcpy(c->ids, ids, (size_t)n_ids * sizeof *ids);
    int rc = progress_prefill(c->r, c->speaker->m, ids + c->n_kept, n_ids - c->n_kept, true,
                              &c->prefill_s);
    if (rc != 0)
        snprintf(err, n, "%s", hi_error_text(c->r));
    if (interrupted())
        return hi_recover(c->r) == 0 ? TALK_CANCELLED : TALK_LOST;
    return rc == 0 ? TALK_ANSWERED : TALK_LOST;
}

/* ---- answers ---- */

/* Passes an answer's text on and keeps it. */
typedef struct recorder {
    answer_put *put;
    void *arg;
    char *text; /* (n) malloc'd */
    size_t n, cap;
} recorder;

static int record(void *arg, const char *text, size_t n)
{
    recorder *k = arg;

    if (n > k->cap - k->n) {
        size_t cap = 2 * (k->n + n);
        char *more = realloc(k->text, cap);
        if (more == NULL) {
            errno = ENOMEM;
            return -1;
        }
        k->text = more;
        k->cap = cap;
    }
    memcpy(k->text + k->n, text, n);
    k->n += n;
    return k->put(k->arg, text, n);
}

/* The answer to the conversation as it is, as its next message. */
static talk reply(conversation *c, int64_t most, answer_put *put, void *arg, char *err, size_t n)
{
    recorder k = { .put = put, .arg = arg };
    int64_t n_ids = c->n_prompt;
    answer *a = &c->answer;

    a->number++;
    a->most = most;
    a->put = record;
    a->arg = &k;
    c->end = answer_give(a, c->speaker, c->r, c->ids, &n_ids, c->n_prompt - c->n_kept);
    talk t = c->end == ANSWER_FAILED ? lost(a->error, err, n) : TALK_ANSWERED;
    if (t == TALK_ANSWERED && say(c, "assistant", k.text != NULL ? k.text : "", k.n, err, n) != 0)
        t = TALK_LOST;
    free(k.text);
    return t;
}

static talk respond(conversation *c, int64_t most, answer_put *put, void *arg, char *err, size_t n)
{
    size_t n_ids = 0;
    int32_t *ids = tokenize(c, &n_ids, err, n);

    if (ids == NULL || check(c, ids, (int64_t)n_ids, err, n) != 0) {
        free(ids);
        return TALK_REFUSED;
    }
    interrupt_begin();
    talk t = compute(c, ids, (int64_t)n_ids, err, n);
    free(ids);
    if (t == TALK_ANSWERED)
        t = reply(c, most, put, arg, err, n);
    interrupt_end();
    return t;
}

talk conversation_ask(conversation *c, const char *text, size_t n_text, int64_t most,
                      answer_put *put, void *arg, char *err, size_t n)
{
    if (say(c, "user", text, n_text, err, n) != 0)
        return TALK_REFUSED;
    talk t = respond(c, most, put, arg, err, n);
    if (t != TALK_ANSWERED)
        drop_last(c);
    return t;
}

talk conversation_again(conversation *c, int64_t most, answer_put *put, void *arg, char *err,
                        size_t n)
{
    size_t last = json_array_size(c->messages);

    if (last == 0 || !has_role(c, last - 1, "assistant")) {
        snprintf(err, n, "there is no answer yet");
        return TALK_REFUSED;
    }
    json_t *old = json_incref(json_array_get(c->messages, last - 1));
    drop_last(c);
    talk t = respond(c, most, put, arg, err, n);
    if (t != TALK_ANSWERED)
        json_array_append(c->messages, old);
    json_decref(old);
    return t;
}
