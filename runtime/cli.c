/*
** cli.c - the command line of an emitted program: verbs and options as tables.
*/
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HELP[] =
    "usage: %s generate -w WEIGHTS [prompt] [options]\n"
    "       %s info [--plan]\n"
    "       %s selftest [-w WEIGHTS] [options]\n"
    "\n"
    "  generate           answers a prompt, greedily; text on stdout, progress on stderr\n"
    "  info               what this program was made of; --plan: the plan it was built with\n"
    "  selftest           runs the program against itself: placement must not change a bit\n"
    "\n"
    "  -w, --weights W    checkpoint folder, or random:SEED (selftest: random:1)\n"
    "  -p, --prompt TEXT  the prompt; or\n"
    "  -f, --file FILE    a file with the prompt, - or neither: standard input; or\n"
    "      --ids FILE     token ids, whitespace between them; the answer is then ids, too\n"
    "  -n, --new N        tokens to generate at most (default 128)\n"
    "      --ignore-eos   go on after an end token\n"
    "%s"
    "      --round-weights  accept fp16 and fp32 tensors in bf16, rounded: not exact\n"
    "\n"
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 does not fit, 4 bad model files,\n"
    "130 interrupted. Ctrl-C ends the answer and prints the summary; twice ends at once.\n";

enum { O_IDS = 256, O_IGNORE_EOS, O_PLAN, O_LINK, O_ISA, O_ROUND, O_HELP, O_VERSION };

static const struct option OPTIONS[] = {
    { "weights", 1, NULL, 'w' },      { "prompt", 1, NULL, 'p' },
    { "file", 1, NULL, 'f' },         { "ids", 1, NULL, O_IDS },
    { "new", 1, NULL, 'n' },          { "ignore-eos", 0, NULL, O_IGNORE_EOS },
    { "threads", 1, NULL, 't' },      { "link-gbps", 1, NULL, O_LINK },
    { "isa", 1, NULL, O_ISA },        { "round-weights", 0, NULL, O_ROUND },
    { "plan", 0, NULL, O_PLAN },      { "help", 0, NULL, O_HELP },
    { "version", 0, NULL, O_VERSION }, { NULL, 0, NULL, 0 },
};

/* Which options a verb takes; the others are refused, not ignored. */
static const struct {
    const char *name;
    cli_verb verb;
    const char *short_options;       /* of those above, by letter */
    bool ids, ignore_eos, plan, running;
} VERBS[] = {
    { "generate", CLI_GENERATE, "wpfnt", true, true, false, true },
    { "info", CLI_INFO, "", false, false, true, false },
    { "selftest", CLI_SELFTEST, "wt", false, false, false, true },
    { "help", CLI_HELP, "", false, false, false, false },
    { "version", CLI_VERSION, "", false, false, false, false },
};
enum { N_VERBS = sizeof VERBS / sizeof *VERBS };

void cli_help(const hi_model *m)
{
    printf(HELP, m->name, m->name, m->name, hi_target_help);
}

static bool takes(int verb, int opt)
{
    if (opt == O_HELP || opt == O_VERSION)
        return true;
    if (opt == O_IDS)
        return VERBS[verb].ids;
    if (opt == O_IGNORE_EOS)
        return VERBS[verb].ignore_eos;
    if (opt == O_PLAN)
        return VERBS[verb].plan;
    if (opt >= O_LINK)
        return VERBS[verb].running;
    return strchr(VERBS[verb].short_options, opt) != NULL;
}

static int whole(const char *flag, const char *text, long least, long most, int64_t *out, char *err,
                 size_t n)
{
    char *end;

    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < least || v > most) {
        snprintf(err, n, "%s %s: must be a number from %ld to %ld", flag, text, least, most);
        return -1;
    }
    *out = v;
    return 0;
}

static int rate(const char *text, double *out, char *err, size_t n)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(v) || v < 0.001 || v > 10000) {
        snprintf(err, n, "--link-gbps %s: must be from 0.001 to 10000 (GB per second)", text);
        return -1;
    }
    *out = v;
    return 0;
}

static int take(int opt, cli *c, char *err, size_t n)
{
    int64_t v;

    switch (opt) {
    case 'w':
        c->run.weights = optarg;
        return 0;
    case 'p':
        c->prompt = optarg;
        return 0;
    case 'f':
        c->prompt_file = optarg;
        return 0;
    case O_IDS:
        c->ids_file = optarg;
        return 0;
    case 'n':
        return whole("-n", optarg, 0, 1 << 30, &c->new_tokens, err, n);
    case 't':
        if (whole("-t", optarg, 1, 256, &v, err, n) != 0)
            return -1;
        c->run.threads = (int)v;
        return 0;
    case O_LINK:
        return rate(optarg, &c->run.link_gbps, err, n);
    case O_ISA:
        c->run.isa = optarg;
        return 0;
    case O_IGNORE_EOS:
        c->ignore_eos = true;
        return 0;
    case O_PLAN:
        c->plan = true;
        return 0;
    case O_ROUND:
        c->run.round_weights = true;
        return 0;
    default:
        c->verb = opt == O_HELP ? CLI_HELP : CLI_VERSION;
        return 0;
    }
}

static int find_verb(const char *word)
{
    while (*word == '-')             /* --help and help are the same */
        word++;
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(word, VERBS[i].name) == 0)
            return i;
    return -1;
}

static int check(cli *c, char *err, size_t n)
{
    int sources = (c->prompt != NULL) + (c->prompt_file != NULL) + (c->ids_file != NULL);

    if (c->verb == CLI_SELFTEST && c->run.weights == NULL)
        c->run.weights = "random:1";
    if (c->verb != CLI_GENERATE)
        return 0;
    if (c->run.weights == NULL)
        snprintf(err, n, "generate: no weights; pass -w FOLDER or -w random:SEED");
    else if (sources > 1)
        snprintf(err, n, "generate: one prompt only: -p, -f or --ids");
    else
        return 0;
    return -1;
}

/* The option that getopt takes next: it moves what is none behind. */
static const char *next_option(int argc, char **argv)
{
    int at = optind;

    while (at + 1 < argc && (argv[at][0] != '-' || argv[at][1] == '\0'))
        at++;
    return at < argc ? argv[at] : "";
}

int cli_parse(int argc, char **argv, cli *c, char *err, size_t n)
{
    *c = (cli){ .verb = CLI_HELP, .new_tokens = 128 };
    if (argc < 2) {
        snprintf(err, n, "no verb: generate, info or selftest; see --help");
        return -1;
    }
    int verb = find_verb(argv[1]);
    if (verb < 0) {
        snprintf(err, n, "%s: unknown verb; generate, info or selftest", argv[1]);
        return -1;
    }
    c->verb = VERBS[verb].verb;
    opterr = 0;
    optind = 2;
    for (;;) {
        const char *option = next_option(argc, argv);
        int opt = getopt_long(argc, argv, ":w:p:f:n:t:", OPTIONS, NULL);
        if (opt == -1)
            break;
        if (opt == ':' || opt == '?' || !takes(verb, opt)) {
            const char *what = opt == ':' ? "needs a value" : opt == '?' ? "unknown option" : "not for this verb";
            snprintf(err, n, "%s: %s: %s; see --help", argv[1], option, what);
            return -1;
        }
        if (take(opt, c, err, n) != 0)
            return -1;
    }
    if (optind < argc && strcmp(argv[optind], "-") == 0 && c->verb == CLI_GENERATE) {
        c->prompt_file = argv[optind++];
    }
    if (optind < argc) {
        snprintf(err, n, "%s: %s: what is this? A prompt is given by -p or -f", argv[1], argv[optind]);
        return -1;
    }
    return check(c, err, n);
}
