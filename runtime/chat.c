/*
** chat.c - the verb 'chat': a conversation on standard input and output.
**
** Answers go to stdout, all else to stderr. What is remembered and computed: conversation.c.
*/
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "chat_template.h"
#include "conversation.h"
#include "infile.h"
#include "interrupt.h"
#include "prompt.h"

typedef struct chat {
    const cli *c;
    conversation talk;
    bool tty;     /* somebody types */
    bool refused; /* some question was not answered */
    char *before; /* (n_before) malloc'd: text of -f, until the first question */
    size_t n_before;
} chat;

/* ---- lines ---- */

/* Appends to malloc'd text, 0-terminated; -1 out of memory, and then it is freed. */
static int append(char **text, size_t *n, const char *more, size_t n_more)
{
    char *longer = realloc(*text, *n + n_more + 1);

    if (longer == NULL) {
        free(*text);
        *text = NULL;
        return -1;
    }
    memcpy(longer + *n, more, n_more);
    *n += n_more;
    longer[*n] = '\0';
    *text = longer;
    return 0;
}

/* A line of stdin and those that go on from it, malloc'd; NULL at the end. */
static char *read_line(const chat *k, size_t *n)
{
    char *text = NULL, *line = NULL;
    size_t room = 0;
    bool more = true;

    *n = 0;
    if (k->tty)
        fputs("> ", stderr);
    while (more) {
        ssize_t got = getline(&line, &room, stdin);
        if (got < 0)
            break;
        while (got > 0 && (line[got - 1] == '\n' || line[got - 1] == '\r'))
            got--;
        more = got > 0 && line[got - 1] == '\\';
        if (more)
            line[got - 1] = '\n';
        if (append(&text, n, line, (size_t)got) != 0)
            break;
    }
    free(line);
    if (text == NULL && k->tty)
        fputc('\n', stderr);
    return text;
}

/* ---- answers ---- */

static int put(void *arg, const char *text, size_t n)
{
    (void)arg;
    fwrite(text, 1, n, stdout);
    return fflush(stdout) == EOF ? -1 : 0;
}

static double per_second(int64_t n, double s)
{
    return s > 0 ? (double)n / s : 0;
}

static void say_stats(const conversation *t)
{
    const answer *a = &t->answer;

    fprintf(
        stderr,
        "[kept %lld of %lld tokens; prompt %lld in %.2f s; answer %lld in %.2f s, %.1f tokens/s]\n",
        (long long)t->n_kept, (long long)t->n_prompt, (long long)(t->n_prompt - t->n_kept),
        t->prefill_s, (long long)a->n_new, a->s, per_second(a->passes, a->s));
}

static void say_end(const chat *k)
{
    const conversation *t = &k->talk;

    if (t->end == ANSWER_FULL)
        fprintf(stderr,
                "note: the context of %lld tokens is full, so the answer ends here; /clear "
                "begins a new conversation\n",
                (long long)t->speaker->m->ctx);
    else if (t->end == ANSWER_MOST)
        fprintf(stderr, "note: the answer was cut at %lld tokens, as -n says\n",
                (long long)k->c->new_tokens);
    else if (t->end == ANSWER_INTERRUPTED)
        fprintf(stderr, "note: interrupted; the answer so far is part of the conversation\n");
    say_stats(t);
}

/* What came of a question; returns the program's exit code, or -1 to go on. */
static int report(chat *k, talk t, const char *err)
{
    if (t == TALK_ANSWERED || (t == TALK_LOST && k->talk.answer.n_new > 0)) {
        putchar('\n');
        fflush(stdout);
    }
    if (t == TALK_ANSWERED && ferror(stdout))
        return cli_fail(strerror(errno), EXIT_FAILED);
    if (t == TALK_LOST)
        return cli_fail(err, EXIT_FAILED);
    if (t == TALK_ANSWERED)
        say_end(k);
    else if (t == TALK_CANCELLED)
        fprintf(stderr, "note: cancelled before the answer began; the question is dropped\n");
    else {
        fprintf(stderr, "%s\n", err);
        k->refused = true;
    }
    return -1;
}

/* The text of -f, a blank line and the question, or one of them alone; malloc'd. NULL: out of
   memory. */
static char *with_text(const chat *k, const char *question, size_t n_question, size_t *n)
{
    char *text = NULL;
    size_t end = k->n_before;

    *n = 0;
    while (end > 0 && (k->before[end - 1] == '\n' || k->before[end - 1] == '\r'))
        end--;
    if (append(&text, n, k->before, end) == 0 && question != NULL &&
        (end == 0 || append(&text, n, "\n\n", 2) == 0))
        append(&text, n, question, n_question);
    return text;
}

static int ask(chat *k, const char *question, size_t n_question)
{
    char err[4096] = "", *whole = NULL;
    size_t n = n_question;

    k->talk.answer.n_new = 0;
    if (k->before != NULL) {
        whole = with_text(k, question, n_question, &n);
        if (whole == NULL)
            return cli_fail("out of memory for a question", EXIT_FAILED);
    }
    talk t = conversation_ask(&k->talk, whole != NULL ? whole : question, n, k->c->new_tokens, put,
                              NULL, err, sizeof err);
    free(whole);
    if (t == TALK_ANSWERED) { /* else it comes before the next one */
        free(k->before);
        k->before = NULL;
    }
    return report(k, t, err);
}

/* ---- commands: each returns the program's exit code, or -1 to go on ---- */

static int do_help(chat *k, const char *rest);

static int do_clear(chat *k, const char *rest)
{
    (void)rest;
    conversation_clear(&k->talk);
    fprintf(stderr, "the conversation is forgotten%s\n",
            json_array_size(k->talk.messages) > 0 ? "; the system message stays" : "");
    return -1;
}

static int do_system(chat *k, const char *rest)
{
    char err[512];

    if (conversation_system(&k->talk, rest, err, sizeof err) != 0)
        fprintf(stderr, "%s\n", err);
    return -1;
}

static int do_regen(chat *k, const char *rest)
{
    char err[4096] = "";

    (void)rest;
    k->talk.answer.n_new = 0;
    talk t = conversation_again(&k->talk, k->c->new_tokens, put, NULL, err, sizeof err);
    return report(k, t, err);
}

static int do_save(chat *k, const char *rest)
{
    errno = 0;
    if (rest[0] == '\0')
        fprintf(stderr, "/save FILE: where to?\n");
    else if (json_dump_file(k->talk.messages, rest, JSON_INDENT(2)) != 0)
        fprintf(stderr, "%s: %s\n", rest, errno != 0 ? strerror(errno) : "cannot write");
    return -1;
}

static int do_stats(chat *k, const char *rest)
{
    const hi_model *m = k->talk.speaker->m;
    char how[256];
    hi_stats s;

    (void)rest;
    hi_get_stats(k->talk.r, &s);
    speaker_describe(k->talk.speaker, how, sizeof how);
    say_stats(&k->talk);
    fprintf(stderr,
            "context     %lld of %lld tokens\nsampling    %s\n"
            "link        %.2f MiB to the device, %.2f MiB back; compute waited %.2f s\n",
            (long long)hi_length(k->talk.r), (long long)m->ctx, how,
            (double)s.h2d_bytes / (1 << 20), (double)s.d2h_bytes / (1 << 20), s.stall_s);
    return -1;
}

static int do_exit(chat *k, const char *rest)
{
    (void)k, (void)rest;
    return 0;
}

static const struct {
    const char *name, *what;
    int (*run)(chat *k, const char *rest);
} COMMANDS[] = {
    { "help", "this list", do_help },
    { "clear", "forgets the conversation", do_clear },
    { "system", "TEXT: the system message from now on; without TEXT none", do_system },
    { "regen", "another answer to the last question", do_regen },
    { "save", "FILE: the conversation as JSON messages", do_save },
    { "stats", "tokens, times and sampling", do_stats },
    { "exit", "ends the program; so does the end of input", do_exit },
};
enum {
    N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS
};

static int do_help(chat *k, const char *rest)
{
    (void)k, (void)rest;
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(stderr, "  /%-8s %s\n", COMMANDS[i].name, COMMANDS[i].what);
    fprintf(stderr,
            "A line that begins with // is a question that begins with /; one that ends in \\ "
            "goes on in the next.\n");
    return -1;
}

static int command(chat *k, const char *line, size_t n_line)
{
    size_t n = strcspn(line, " \t\n");
    const char *rest = line + n + strspn(line + n, " \t\n");

    if (strlen(line) < n_line) {
        fprintf(stderr, "/%.*s: a NUL byte in a command; it is not done\n", (int)n, line);
        return -1;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strlen(COMMANDS[i].name) == n && memcmp(COMMANDS[i].name, line, n) == 0)
            return COMMANDS[i].run(k, rest);
    fprintf(stderr, "/%.*s: no such command; /help lists them\n", (int)n, line);
    return -1;
}

/* ---- the session ---- */

/* Questions and commands until the end of input; returns the exit code. */
static int session(chat *k)
{
    int code = -1;

    if (k->c->prompt != NULL)
        code = ask(k, k->c->prompt, strlen(k->c->prompt));
    while (code < 0) {
        size_t n;
        char *line = read_line(k, &n);
        if (line == NULL)
            break;
        if (line[0] == '/' && line[1] != '/')
            code = command(k, line + 1, n - 1);
        else if (n > 0)
            code = ask(k, line + (line[0] == '/'), n - (line[0] == '/'));
        free(line);
    }
    if (code < 0 && k->before != NULL && !k->tty)
        code = ask(k, NULL, 0);
    if (code >= 0)
        return code;
    return k->refused && !k->tty ? EXIT_FAILED : 0;
}

/* --template-arg NAME=JSON as an object; -1 with a message. */
static int read_arguments(const cli *c, json_t **to, char *err, size_t n)
{
    *to = c->n_template_args > 0 ? json_object() : NULL;
    for (int i = 0; i < c->n_template_args; i++) {
        const char *text = c->template_arg[i], *equals = strchr(text, '=');
        json_error_t e;
        json_t *value = infile_parse(equals + 1, strlen(equals + 1), &e);
        if (value == NULL) {
            snprintf(err, n, "--template-arg %s: %s; text is written \"so\"", text,
                     e.text[0] != '\0' ? e.text : "out of memory");
            return -1;
        }
        char *name = strndup(text, (size_t)(equals - text));
        int rc = name == NULL ? -1 : json_object_set_new(*to, name, value);
        free(name);
        if (rc != 0) {
            snprintf(err, n, "--template-arg %s: must be UTF-8 text (or out of memory)", text);
            return -1;
        }
    }
    return 0;
}

static int open_and_talk(chat *k, const speaker *s, const chat_template *t, json_t *arguments)
{
    char err[4096] = "";
    int code;
    hi_run *r = hi_open(s->m, &k->c->run, &code, err, sizeof err);

    if (r == NULL)
        return cli_fail(err, code);
    if (hi_note(r)[0] != '\0')
        fprintf(stderr, "note: %s\n", hi_note(r));
    if (conversation_open(&k->talk, s, r, t, arguments, err, sizeof err) != 0 ||
        (k->c->system != NULL && conversation_system(&k->talk, k->c->system, err, sizeof err) != 0))
        code = cli_fail(err, EXIT_FAILED);
    else {
        char how[256];
        interrupt_catch();
        speaker_describe(s, how, sizeof how);
        cli_say_weights(s->m, stderr);
        fprintf(stderr, "sampling    %s%s\n", how, k->tty ? "\n/help lists commands" : "");
        code = session(k);
    }
    conversation_close(&k->talk);
    hi_close(r);
    return code;
}

int cli_chat(const hi_model *m, const cli *c)
{
    char err[4096] = "";
    int code = EXIT_USAGE;
    chat k = { .c = c, .tty = isatty(STDIN_FILENO) == 1 };
    speaker s = { 0 };
    json_t *arguments = NULL;
    hi_tokenizer *tok = NULL;
    chat_template *t = NULL;

    if (strncmp(c->run.weights, "random:", 7) == 0)
        snprintf(err, sizeof err, "%s has no tokenizer: chat needs a checkpoint folder",
                 c->run.weights);
    else if (read_arguments(c, &arguments, err, sizeof err) == 0 &&
             (c->prompt_file == NULL ||
              (k.before = prompt_file(c->prompt_file, &k.n_before, err, sizeof err)) != NULL)) {
        code = EXIT_BAD_MODEL;
        tok = prompt_tokenizer(c->run.weights, false, err, sizeof err);
        if (tok != NULL)
            t = chat_template_open(c->run.weights, c->template_file, err, sizeof err);
    }
    if (t == NULL || speaker_open(&s, m, c, tok, &code, err, sizeof err) != 0)
        code = cli_fail(err, code);
    else
        code = open_and_talk(&k, &s, t, arguments);
    chat_template_close(t);
    speaker_close(&s);
    tok_close(tok);
    json_decref(arguments);
    free(k.before);
    return code;
}
