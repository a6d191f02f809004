/*
** conversation_test.c - what a conversation keeps changes no answer.
**
**   conversation FOLDER [OPTION VALUE ..]      options of 'chat'
**
** Turns, a new system message, another answer to a question and a forgotten conversation: each
** answer is compared, id by id, with that of the same prompt in an empty run with the same
** seed.
*/
#include <string.h>
#include "conversation.h"
#include "e2e.h"
#include "interrupt.h"

enum {
    TOKENS = 40
};

static char error[4096];
static conversation talking;
static const speaker *voice;
static int64_t kept; /* tokens, over all answers */

static int put(void *arg, const char *text, size_t n)
{
    (void)arg, (void)text, (void)n;
    return 0;
}

/* The last answer again, from nothing. */
static void compare(const char *what)
{
    const answer *a = &talking.answer;
    int64_t n = talking.n_prompt, all = n + a->n_new;
    int32_t *ids = take_memory(((size_t)hi_the_model.ctx + 1) * sizeof *ids);
    int32_t *was = take_memory((size_t)all * sizeof *was);
    answer again = { .number = a->number, .most = TOKENS, .put = put };

    memcpy(was, talking.ids, (size_t)all * sizeof *was);
    memcpy(ids, was, (size_t)n * sizeof *ids);
    must(talking.r, "rewind", hi_rewind(talking.r, 0));
    feed(talking.r, ids, (int)n);
    interrupt_begin(); /* else an answer ends after a token */
    if (answer_give(&again, voice, talking.r, ids, &n, n) != talking.end)
        die("%s: ends otherwise: %s", what, again.error);
    if (n != all || memcmp(ids, was, (size_t)n * sizeof *ids) != 0)
        die("%s: %lld kept tokens change the answer", what, (long long)talking.n_kept);
    printf("%s: kept %lld of %lld, %lld new\n", what, (long long)talking.n_kept,
           (long long)talking.n_prompt, (long long)a->n_new);
    kept += talking.n_kept;
    free(was);
    free(ids);
}

static void ask(const char *text, bool fresh)
{
    if (conversation_ask(&talking, text, strlen(text), TOKENS, put, NULL, error, sizeof error) !=
        TALK_ANSWERED)
        die("%s: %s", text, error);
    if (fresh)
        compare(text);
}

static void again(void)
{
    if (conversation_again(&talking, TOKENS, put, NULL, error, sizeof error) != TALK_ANSWERED)
        die("again: %s", error);
    compare("again");
}

static void scenes(void)
{
    static char long_text[900];

    for (size_t i = 0; i + 1 < sizeof long_text; i++)
        long_text[i] = (char)('a' + i * i % 23);
    ask("The pass key: 48213. Remember it.", false);
    ask("What is the pass key: ", true);
    ask("And what was it?", false);
    again();
    again();
    ask(long_text, false);
    ask("Short.", true);
    if (conversation_system(&talking, "Be brief.", error, sizeof error) != 0)
        die("%s", error);
    ask("With another beginning?", true);
    conversation_clear(&talking);
    ask("All new.", false);
    ask("The same?", true);
    conversation_clear(&talking);
    ask("All new.", true);
    if (conversation_system(&talking, "", error, sizeof error) != 0)
        die("%s", error);
    ask("Nobody says anything.", true);
}

int main(int argc, char **argv)
{
    static cli c;
    char *words[32] = { "conversation", "chat", "-w" };
    int code, n = 3;
    speaker s;

    for (int i = 1; i < argc && n < 31; i++)
        words[n++] = argv[i];
    if (argc < 2 || cli_parse(&hi_the_model, n, words, &c, error, sizeof error) != 0)
        die("usage: conversation FOLDER [OPTION VALUE ..]: %s", error);
    hi_tokenizer *tok = tok_open(argv[1], error, sizeof error);
    chat_template *t = tok == NULL ? NULL : chat_template_open(argv[1], NULL, error, sizeof error);
    if (t == NULL || speaker_open(&s, &hi_the_model, &c, tok, &code, error, sizeof error) != 0)
        die("%s", error);
    hi_run *r = open_run(&c.run);
    if (conversation_open(&talking, &s, r, t, NULL, error, sizeof error) != 0)
        die("%s", error);
    voice = &s;
    scenes();
    if (kept == 0)
        die("nothing was kept: this tests nothing");
    conversation_close(&talking);
    hi_close(r);
    speaker_close(&s);
    chat_template_close(t);
    tok_close(tok);
    return 0;
}
