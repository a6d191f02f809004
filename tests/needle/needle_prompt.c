/*
** needle_prompt.c - the program needle-prompt: prints a pass key prompt.
*/
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "needle_text.h"

enum { EXIT_USAGE = 2 };

static const char USAGE[] =
    "usage: needle-prompt --tokens N --depth PCT --key DIGITS [--seed S]\n"
    "\n"
    "Prints invented sentences with \"The pass key: DIGITS.\" among them and the question\n"
    "\"What is the pass key: \" at the end: N - 1 bytes, with BOS N tokens of the model\n"
    "that needle-make writes.\n"
    "\n"
    "  --tokens N    length of the prompt, BOS included\n"
    "  --depth PCT   how much of the text comes before the needle, 0..100\n"
    "  --key DIGITS  1 to 16 digits\n"
    "  --seed S      another text (0)\n";

typedef struct request {
    unsigned long long tokens;
    passkey key;
} request;

static int wrong(const char *name, const char *text, const char *want)
{
    fprintf(stderr, "needle-prompt: --%s %s: must be %s\n", name, text, want);
    return -1;
}

static int whole(const char *name, const char *text, unsigned long long *x)
{
    char *end;
    errno = 0;
    *x = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno)
        return wrong(name, text, "a whole number");
    return 0;
}

static int percent(const char *text, double *x)
{
    char *end;
    *x = strtod(text, &end);
    if (end == text || *end != '\0' || !(*x >= 0 && *x <= 100))
        return wrong("depth", text, "0 to 100 percent");
    return 0;
}

/* Returns whether to go on; else 'status' says how to stop. */
static bool parse(int argc, char **argv, request *r, int *status)
{
    static const struct option options[] = {
        { "tokens", required_argument, NULL, 't' }, { "depth", required_argument, NULL, 'd' },
        { "key", required_argument, NULL, 'k' },    { "seed", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    unsigned long long seed = 0;
    int c, bad = 0;
    *status = EXIT_USAGE;
    while (!bad && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 't':
            bad = whole("tokens", optarg, &r->tokens);
            break;
        case 'd':
            bad = percent(optarg, &r->key.depth);
            break;
        case 'k':
            r->key.key = optarg;
            break;
        case 's':
            bad = whole("seed", optarg, &seed);
            break;
        case 'h':
            fputs(USAGE, stdout);
            *status = EXIT_SUCCESS;
            return false;
        default:
            bad = -1; /* getopt has said what */
        }
    }
    r->key.seed = seed;
    if (bad)
        return false;
    if (optind == argc && r->tokens && r->key.key && r->key.depth >= 0)
        return true;
    fputs(USAGE, stderr);
    return false;
}

static int print(const char *text, size_t n)
{
    if (fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "needle-prompt: standard output: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    request r = { .key.depth = -1 };
    int status;
    if (!parse(argc, argv, &r, &status))
        return status;
    if (r.tokens - 1 < passkey_least(r.key.key)) {
        fprintf(stderr, "needle-prompt: --tokens %llu: must be %zu or more for this key\n",
                r.tokens, passkey_least(r.key.key) + 1);
        return EXIT_USAGE;
    }
    size_t n = r.tokens - 1, at;
    char *text = malloc(n);
    if (!text) {
        fprintf(stderr, "needle-prompt: --tokens %llu: out of memory\n", r.tokens);
        return EXIT_FAILURE;
    }
    const char *refused = passkey_make(text, n, &r.key, &at);
    if (refused)
        fprintf(stderr, "needle-prompt: %s\n", refused);
    status = refused ? EXIT_USAGE : print(text, n);
    free(text);
    return status;
}
