/*
** cli.c - the command line of an emitted program: verbs and options as tables.
**
** One row per option: which verbs take it, where its value goes, what it may be, and what the help
** says of it. The same letter may be another option of another verb.
*/
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ORDER VERBS */
static const struct {
    const char *name, *usage, *what, *more;
} VERBS[] = {
    { "generate", "-w WEIGHTS [-p TEXT | -f FILE | --ids FILE | -] [options]",
      "continues a prompt; text on stdout, progress on stderr",
      "Values that are not given are those of the checkpoint's generation_config.json; without\n"
      "one, or where it does not say do_sample, the answer is greedy (--temp 0). Penalties,\n"
      "top-k, top-p, min-p and temperature work in this order.\n" },
    { "chat", "-w WEIGHTS [-f FILE] [-p TEXT] [options]",
      "a conversation: lines from stdin, answers on stdout; /help there lists commands",
      "A line that ends in a backslash goes on in the next one. What the conversation has in\n"
      "common with what was computed before is kept, not computed again. Ctrl-C ends an answer;\n"
      "twice, or at the prompt, the program.\n"
      "Values that are not given are those of the checkpoint's generation_config.json; without\n"
      "one, or where it does not say do_sample, answers are greedy (--temp 0). Penalties, top-k,\n"
      "top-p, min-p and temperature work in this order.\n" },
    { "perplexity", "-w WEIGHTS -f FILE | --ids FILE [options]",
      "how well the model predicts a text; of programs generated with --logits all",
      "The text is cut into windows of N tokens, each a prompt of its own that begins with BOS\n"
      "where the tokenizer adds one; the second half of each is scored. PPL is exp of the mean of\n"
      "-log probability, +/- one standard error.\n" },
    { "bench", "[-w WEIGHTS] [options]", "speed of prompts and of tokens; a table on stdout",
      "Lists: 512,2048 or 0-4096+1024 or 512-4096*2. Tokens are random; tokenizing and sampling\n"
      "are not part of the times, nor is a warm-up.\n" },
    { "info", "[--plan]", "what this program was made of", "" },
    { "selftest", "[-w WEIGHTS] [options]",
      "runs the program against itself: placement must not change a bit", "" },
    { "help", "", "", "" },
    { "version", "", "", "" },
};
enum {
    N_VERBS = sizeof VERBS / sizeof *VERBS,
    SHOWN_VERBS = CLI_HELP
};
_Static_assert(N_VERBS == CLI_VERSION + 1, "ORDER VERBS");

enum {
    GEN = 1 << CLI_GENERATE,
    CHAT = 1 << CLI_CHAT,
    PPL = 1 << CLI_PERPLEXITY,
    BENCH = 1 << CLI_BENCH,
    INFO = 1 << CLI_INFO,
    SELF = 1 << CLI_SELFTEST,
    TALK = GEN | CHAT,
    RUN = GEN | CHAT | PPL | BENCH | SELF,
    ALL = ~0
};

typedef enum {
    TEXT,
    WHOLE,
    THREADS,
    REAL,
    FLAG,
    STOP,
    BIAS,
    ARGUMENT,
    HELP,
    VERSION
} kind;

typedef struct option_row {
    char letter; /* 0: none */
    const char *name;
    kind kind;
    size_t at; /* in cli */
    double least, most;
    int verbs;
    const char *value, *help; /* help NULL: the target's own (hi_target_help), or not shown */
} option_row;

#define AT(member) offsetof(cli, member)

static const option_row OPTIONS[] = {
    { 'w', "weights", TEXT, AT(run.weights), 0, 0, GEN | CHAT | PPL, "W",
      "checkpoint folder, or random:SEED" },
    { 'w', "weights", TEXT, AT(run.weights), 0, 0, BENCH | SELF, "W",
      "checkpoint folder, or random:SEED (default random:1)" },
    { 'p', "prompt", TEXT, AT(prompt), 0, 0, GEN, "TEXT", "the prompt; or" },
    { 'f', "file", TEXT, AT(prompt_file), 0, 0, GEN, "FILE",
      "a file with the prompt, - or neither: standard input; or" },
    { 0, "ids", TEXT, AT(ids_file), 0, 0, GEN, "FILE",
      "token ids, whitespace between them; the answer is then ids, too" },
    { 'p', "prompt", TEXT, AT(prompt), 0, 0, CHAT, "TEXT", "the first question" },
    { 'f', "file", TEXT, AT(prompt_file), 0, 0, CHAT, "FILE",
      "a text that comes before the first question" },
    { 'f', "file", TEXT, AT(prompt_file), 0, 0, PPL, "FILE", "the text, - : standard input; or" },
    { 0, "ids", TEXT, AT(ids_file), 0, 0, PPL, "FILE", "its token ids, whitespace between them" },
    { 'n', "new", WHOLE, AT(new_tokens), -1, 1 << 30, GEN, "N",
      "tokens to generate at most (default 128); -1: to the end of the context" },
    { 'n', "new", WHOLE, AT(new_tokens), -1, 1 << 30, CHAT, "N",
      "tokens of an answer at most (default -1: to the end of the context)" },
    { 0, "no-bos", FLAG, AT(no_bos), 0, 0, GEN, NULL,
      "do not put in front what the tokenizer puts there" },
    { 0, "parse-special", FLAG, AT(parse_special), 0, 0, GEN, NULL,
      "read special tokens in the prompt as such, not as text" },
    { 0, "system", TEXT, AT(system), 0, 0, CHAT, "TEXT", "the system message" },
    { 0, "chat-template-file", TEXT, AT(template_file), 0, 0, CHAT, "F",
      "a chat template in place of the checkpoint's" },
    { 0, "template-arg", ARGUMENT, 0, 0, 0, CHAT, "NAME=JSON",
      "a variable of the template, repeatable: enable_thinking=false" },
    { 0, "temp", REAL, AT(sampling.temp), 0, 100, TALK, "X", "temperature; 0: greedy" },
    { 0, "top-k", WHOLE, AT(sampling.top_k), 0, 1 << 30, TALK, "N",
      "of the N best tokens; 0: of all" },
    { 0, "top-p", REAL, AT(sampling.top_p), 0, 1, TALK, "X",
      "of the fewest best ones with probability X together; 1: of all" },
    { 0, "min-p", REAL, AT(sampling.min_p), 0, 1, TALK, "X",
      "of those with X times the best one's probability; 0: of all" },
    { 0, "repeat-penalty", REAL, AT(sampling.repeat), 0.01, 100, TALK, "X",
      "divides scores of tokens that were there; 1: off" },
    { 0, "repeat-last-n", WHOLE, AT(sampling.last_n), -1, 1 << 30, TALK, "N",
      "tokens that penalties look back on (default 64, all for the file's); -1: all" },
    { 0, "presence-penalty", REAL, AT(sampling.presence), -100, 100, TALK, "X",
      "taken off the score of a token that was there" },
    { 0, "frequency-penalty", REAL, AT(sampling.frequency), -100, 100, TALK, "X",
      "taken off as often as it was there" },
    { 's', "seed", WHOLE, AT(sampling.seed), -1, 9007199254740992, TALK, "N",
      "makes an answer repeatable (default -1: from the clock)" },
    { 0, "logit-bias", BIAS, 0, 0, 0, TALK, "ID+X",
      "adds X to the score of token ID; ID-X; ID-inf: never; repeatable" },
    { 0, "stop", STOP, 0, 0, 0, TALK, "S", "ends the answer before the text S; repeatable" },
    { 0, "ignore-eos", FLAG, AT(sampling.ignore_eos), 0, 0, TALK, NULL,
      "end tokens are never chosen" },
    { 0, "window", WHOLE, AT(window), 4, 1 << 30, PPL, "N", "tokens of a window (default 512)" },
    { 0, "chunks", WHOLE, AT(chunks), 1, 1 << 30, PPL, "N", "only the first N windows" },
    { 0, "long", FLAG, AT(whole), 0, 0, PPL, NULL,
      "the whole text as one window; its second half is scored" },
    { 'p', "n-prompt", TEXT, AT(bench_prompt), 0, 0, BENCH, "LIST",
      "tokens of a prompt (default 512); 0: none" },
    { 'n', "n-gen", TEXT, AT(bench_new), 0, 0, BENCH, "LIST",
      "tokens one by one (default 128); 0: none" },
    { 'd', "n-depth", TEXT, AT(bench_depth), 0, 0, BENCH, "LIST",
      "tokens that are there before (default 0)" },
    { 'r', "repetitions", WHOLE, AT(repetitions), 1, 10000, BENCH, "N", "of each (default 5)" },
    { 'o', "output", TEXT, AT(bench_form), 0, 0, BENCH, "FORM",
      "md (default), json, jsonl or csv" },
    { 't', "threads", THREADS, AT(run.threads), 1, 256, RUN, "N", NULL },
    { 0, "link-gbps", REAL, AT(run.link_gbps), 0.001, 10000, RUN, "X", NULL },
    { 0, "isa", TEXT, AT(run.isa), 0, 0, RUN, "NAME", NULL },
    { 0, "round-weights", FLAG, AT(run.round_weights), 0, 0, RUN, NULL,
      "accept fp16 and fp32 tensors in bf16, rounded: not exact" },
    { 0, "plan", FLAG, AT(plan), 0, 0, INFO, NULL, "the plan it was built with" },
    { 'h', "help", HELP, 0, 0, 0, ALL, NULL, NULL },
    { 0, "version", VERSION, 0, 0, 0, ALL, NULL, NULL },
};
enum {
    N_OPTIONS = sizeof OPTIONS / sizeof *OPTIONS,
    LONG = 256,
    HELP_COLUMN = 29
};

/* ---- help ---- */

static void print_option(const option_row *o)
{
    char left[64];
    int n = o->letter ? snprintf(left, sizeof left, "-%c, ", o->letter)
                      : snprintf(left, sizeof left, "    ");

    snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    if (strlen(left) > HELP_COLUMN - 4) {
        printf("  %s\n", left);
        left[0] = '\0';
    }
    printf("  %-*s%s\n", HELP_COLUMN - 2, left, o->help);
}

static void help_verb(const hi_model *m, cli_verb verb)
{
    printf("usage: %s %s %s\n\n%s\n\n", m->name, VERBS[verb].name, VERBS[verb].usage,
           VERBS[verb].what);
    for (int i = 0; i < N_OPTIONS; i++)
        if (OPTIONS[i].help != NULL && (OPTIONS[i].verbs & 1 << verb))
            print_option(&OPTIONS[i]);
    if (RUN & 1 << verb)
        printf("%s", hi_target_help);
    if (m->checkpoint != NULL && ((GEN | CHAT | PPL) & 1 << verb))
        printf("\nWithout -w the weights are those of %s.\n", m->checkpoint);
    if (VERBS[verb].more[0] != '\0')
        printf("\n%s", VERBS[verb].more);
}

void cli_help(const hi_model *m, cli_verb verb)
{
    if ((int)verb < SHOWN_VERBS) {
        help_verb(m, verb);
        return;
    }
    printf("usage: %s VERB [options]\n\n", m->name);
    for (int i = 0; i < SHOWN_VERBS; i++)
        printf("  %-11s %s\n", VERBS[i].name, VERBS[i].what);
    printf("\n'%s VERB --help' lists a verb's options.\n"
           "\n"
           "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 does not fit, 4 bad model files,\n"
           "130 interrupted. Ctrl-C ends the answer and prints the summary; twice ends at once.\n",
           m->name);
}

/* ---- values ---- */

/* The option as a message names it: "-n" or "--temp". */
static const char *flag_of(const option_row *o, char *buffer, size_t n)
{
    if (o->letter)
        snprintf(buffer, n, "-%c", o->letter);
    else
        snprintf(buffer, n, "--%s", o->name);
    return buffer;
}

static int take_whole(const option_row *o, const char *text, int64_t *out, char *err, size_t n)
{
    char *end, flag[32];

    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < (int64_t)o->least ||
        v > (int64_t)o->most) {
        snprintf(err, n, "%s %s: must be a number from %.0f to %.0f", flag_of(o, flag, sizeof flag),
                 text, o->least, o->most);
        return -1;
    }
    *out = v;
    return 0;
}

static int take_real(const option_row *o, const char *text, double *out, char *err, size_t n)
{
    char *end, flag[32];
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(v) || v < o->least || v > o->most) {
        snprintf(err, n, "%s %s: must be a number from %g to %g", flag_of(o, flag, sizeof flag),
                 text, o->least, o->most);
        return -1;
    }
    *out = v;
    return 0;
}

/* ID+X or ID-X; X may be inf behind a minus. */
static int take_bias(const hi_model *m, const char *text, cli_sampling *s, char *err, size_t n)
{
    char *sign, *end;

    errno = 0;
    long id = strtol(text, &sign, 10);
    double add = *sign == '+' || *sign == '-' ? strtod(sign, &end) : NAN;
    if (sign == text || errno != 0 || isnan(add) || add == INFINITY || *end != '\0') {
        snprintf(err, n, "--logit-bias %s: must be ID+X, ID-X or ID-inf", text);
        return -1;
    }
    if (id < 0 || id >= m->vocab) {
        snprintf(err, n, "--logit-bias %s: the token must be from 0 to %d", text, m->vocab - 1);
        return -1;
    }
    if (s->n_biases == CLI_BIASES) {
        snprintf(err, n, "--logit-bias: at most %d of them", CLI_BIASES);
        return -1;
    }
    s->bias[s->n_biases++] = (sample_bias){ (int32_t)id, add };
    return 0;
}

/* One more of a repeatable option's texts. */
static int take_one(const char *flag, const char *text, const char **list, int *count, int most,
                    char *err, size_t n)
{
    if (text[0] == '\0')
        snprintf(err, n, "%s: an empty text", flag);
    else if (*count == most)
        snprintf(err, n, "%s: at most %d of them", flag, most);
    else {
        list[(*count)++] = text;
        return 0;
    }
    return -1;
}

static int take_argument(const char *text, cli *c, char *err, size_t n)
{
    static const char *const OURS[] = { "messages", "add_generation_prompt" };
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text) {
        snprintf(err, n, "--template-arg %s: must be NAME=JSON", text);
        return -1;
    }
    for (size_t i = 0; i < sizeof OURS / sizeof *OURS; i++) {
        size_t len = strlen(OURS[i]);
        if (len == (size_t)(equals - text) && memcmp(OURS[i], text, len) == 0) {
            snprintf(err, n, "--template-arg %s: is the conversation's own variable", text);
            return -1;
        }
    }
    return take_one("--template-arg", text, c->template_arg, &c->n_template_args, CLI_TEMPLATE_ARGS,
                    err, n);
}

static int take(const hi_model *m, const option_row *o, cli *c, char *err, size_t n)
{
    char *at = (char *)c + o->at;
    cli_sampling *s = &c->sampling;
    int64_t v = 0;
    int rc = 0;

    switch (o->kind) {
    case TEXT:
        *(const char **)(void *)at = optarg;
        return 0;
    case WHOLE:
        return take_whole(o, optarg, (int64_t *)(void *)at, err, n);
    case THREADS:
        rc = take_whole(o, optarg, &v, err, n);
        *(int *)(void *)at = (int)v;
        return rc;
    case REAL:
        return take_real(o, optarg, (double *)(void *)at, err, n);
    case FLAG:
        *(bool *)at = true;
        return 0;
    case STOP:
        return take_one("--stop", optarg, s->stop, &s->n_stops, CLI_STOPS, err, n);
    case BIAS:
        return take_bias(m, optarg, s, err, n);
    case ARGUMENT:
        return take_argument(optarg, c, err, n);
    case HELP:
        c->help = c->verb;
        c->verb = CLI_HELP;
        return 0;
    case VERSION:
        c->verb = CLI_VERSION;
    }
    return 0;
}

/* ---- the line ---- */

static int find_verb(const char *word)
{
    while (*word == '-') /* --help and help are the same */
        word++;
    if (strcmp(word, "h") == 0)
        return CLI_HELP;
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(word, VERBS[i].name) == 0)
            return i;
    return -1;
}

static bool has_value(const option_row *o)
{
    return o->kind != FLAG && o->kind != HELP && o->kind != VERSION;
}

static bool first_of_name(int i)
{
    for (int j = 0; j < i; j++)
        if (strcmp(OPTIONS[j].name, OPTIONS[i].name) == 0)
            return false;
    return true;
}

/* What getopt is told: every option of every verb. */
typedef struct getopt_tables {
    char letters[2 * N_OPTIONS + 2];
    struct option option[N_OPTIONS + 1];
} getopt_tables;

static void fill_tables(getopt_tables *t)
{
    char *at = t->letters;
    int names = 0;

    *at++ = ':';
    for (int i = 0; i < N_OPTIONS; i++) {
        const option_row *o = &OPTIONS[i];
        if (first_of_name(i))
            t->option[names++] = (struct option){ o->name, has_value(o), NULL, LONG + i };
        if (o->letter == 0 || memchr(t->letters, o->letter, (size_t)(at - t->letters)) != NULL)
            continue;
        *at++ = o->letter;
        if (has_value(o))
            *at++ = ':';
    }
    *at = '\0';
    t->option[names] = (struct option){ NULL, 0, NULL, 0 };
}

/* The verb's row of what getopt found: a letter, or the first row of a name. NULL: none. */
static const option_row *find_option(int verb, int found)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const option_row *o = &OPTIONS[i];
        bool same =
            found < LONG ? o->letter == found : strcmp(o->name, OPTIONS[found - LONG].name) == 0;
        if (same && (o->verbs & 1 << verb))
            return o;
    }
    return NULL;
}

/* The option that getopt takes next: it moves what is none behind. */
static const char *next_option(int argc, char **argv)
{
    int at = optind;

    while (at + 1 < argc && (argv[at][0] != '-' || argv[at][1] == '\0'))
        at++;
    return at < argc ? argv[at] : "";
}

static int take_options(const hi_model *m, int verb, int argc, char **argv, cli *c, char *err,
                        size_t n)
{
    getopt_tables t;

    fill_tables(&t);
    opterr = 0;
    optind = 2;
    for (;;) {
        const char *option = next_option(argc, argv);
        int opt = getopt_long(argc, argv, t.letters, t.option, NULL);
        if (opt == -1)
            return 0;
        const option_row *o = opt == ':' || opt == '?' ? NULL : find_option(verb, opt);
        if (o == NULL) {
            const char *what = opt == ':'       ? "needs a value"
                               : opt != '?'     ? "not for this verb"
                               : optopt >= LONG ? "takes no value"
                                                : "unknown option";
            snprintf(err, n, "%s: %s: %s; see '%s --help'", argv[1], option, what,
                     VERBS[verb].name);
            return -1;
        }
        if (take(m, o, c, err, n) != 0)
            return -1;
    }
}

/* ---- what goes with what ---- */

static int check(const hi_model *m, cli *c, char *err, size_t n)
{
    int sources = (c->prompt != NULL) + (c->prompt_file != NULL) + (c->ids_file != NULL);
    const char *verb = VERBS[c->verb].name;

    if (c->run.weights == NULL && ((BENCH | SELF) & 1 << c->verb))
        c->run.weights = "random:1";
    if (c->run.weights == NULL)
        c->run.weights = m->checkpoint;
    if (((GEN | CHAT | PPL) & 1 << c->verb) == 0)
        return 0;
    if (c->run.weights == NULL)
        snprintf(err, n, "%s: no weights; pass -w FOLDER%s", verb,
                 c->verb == CLI_CHAT ? "" : " or -w random:SEED");
    else if (c->verb != CLI_CHAT && sources > 1)
        snprintf(err, n, "%s: one %s only: %s-f or --ids", verb,
                 c->verb == CLI_GENERATE ? "prompt" : "text",
                 c->verb == CLI_GENERATE ? "-p, " : "");
    else if (c->verb == CLI_CHAT && c->prompt_file != NULL && strcmp(c->prompt_file, "-") == 0)
        snprintf(err, n, "chat: -f -: standard input is the conversation; name a file");
    else if (c->verb == CLI_PERPLEXITY && sources == 0)
        snprintf(err, n, "perplexity: no text; pass -f FILE or --ids FILE");
    else if (c->whole && (c->window > 0 || c->chunks > 0))
        snprintf(err, n, "perplexity: --long is one window: pass no --window and no --chunks");
    else if (c->ids_file != NULL && c->sampling.n_stops > 0)
        snprintf(err, n, "generate: --stop needs text; answers to --ids are ids");
    else if (c->ids_file != NULL && (c->no_bos || c->parse_special))
        snprintf(err, n,
                 "generate: --ids are taken as they are: pass no --no-bos, --parse-special");
    else
        return 0;
    return -1;
}

static void set_defaults(cli *c)
{
    *c = (cli){ .verb = CLI_HELP, .help = CLI_HELP, .new_tokens = 128, .repetitions = 5 };
    c->sampling.temp = c->sampling.top_p = c->sampling.min_p = NAN;
    c->sampling.repeat = c->sampling.frequency = c->sampling.presence = NAN;
    c->sampling.top_k = c->sampling.seed = -1;
    c->sampling.last_n = -2;
    c->bench_prompt = "512";
    c->bench_new = "128";
    c->bench_depth = "0";
    c->bench_form = "md";
}

int cli_parse(const hi_model *m, int argc, char **argv, cli *c, char *err, size_t n)
{
    int verb = argc < 2 ? -1 : find_verb(argv[1]);

    set_defaults(c);
    if (verb < 0) {
        snprintf(err, n, "%s%s: generate, chat, perplexity, bench, info or selftest; see --help",
                 argc < 2 ? "" : argv[1], argc < 2 ? "no verb" : ": unknown verb");
        return -1;
    }
    c->verb = (cli_verb)verb;
    if (verb == CLI_CHAT)
        c->new_tokens = -1;
    if (take_options(m, verb, argc, argv, c, err, n) != 0)
        return -1;
    if (optind < argc && strcmp(argv[optind], "-") == 0 && c->verb == CLI_GENERATE &&
        c->prompt_file == NULL)
        c->prompt_file = argv[optind++];
    if (optind < argc && verb == CLI_HELP && find_verb(argv[optind]) >= 0)
        c->help = (cli_verb)find_verb(argv[optind++]);
    if (optind < argc) {
        snprintf(err, n, "%s: %s: what is this? A prompt is given by -p or -f", argv[1],
                 argv[optind]);
        return -1;
    }
    return check(m, c, err, n);
}

int cli_fail(const char *text, int code)
{
    fprintf(stderr, "%s\n", text);
    return code;
}

int cli_flush(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "standard output: %s\n", errno != 0 ? strerror(errno) : "cannot write");
    return EXIT_FAILED;
}
