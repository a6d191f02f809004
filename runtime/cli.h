/*
** cli.h - the command line of an emitted program.
*/
#ifndef CLI_H
#define CLI_H

#include <stdio.h>
#include "hi.h"
#include "sample.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_FIT = 3, EXIT_BAD_MODEL = 4, EXIT_INTERRUPTED = 130 };

/* ORDER VERBS: cli.c */
typedef enum {
    CLI_GENERATE, CLI_CHAT, CLI_PERPLEXITY, CLI_BENCH, CLI_INFO, CLI_SELFTEST, CLI_HELP, CLI_VERSION
} cli_verb;

enum { CLI_STOPS = 64, CLI_BIASES = 1024, CLI_TEMPLATE_ARGS = 64 };

/* What was not given is NAN, or -1 where that is no value. */
typedef struct cli_sampling {
    double temp, top_p, min_p, repeat, frequency, presence;
    int64_t top_k, last_n;           /* -1; -2: not given */
    int64_t seed;                    /* -1: from the clock */
    bool ignore_eos;
    const char *stop[CLI_STOPS];     /* (n_stops) */
    int n_stops;
    sample_bias bias[CLI_BIASES];    /* (n_biases) */
    int n_biases;
} cli_sampling;

typedef struct cli {
    cli_verb verb;
    cli_verb help;                   /* CLI_HELP: of this verb; CLI_HELP: of the program */
    hi_options run;
    const char *prompt;              /* -p */
    const char *prompt_file;         /* -f; "-": standard input */
    const char *ids_file;            /* --ids */
    int64_t new_tokens;              /* -n; -1: to the end, or till the context is full */
    bool no_bos, parse_special;
    cli_sampling sampling;
    const char *system;              /* chat --system */
    const char *template_file;
    const char *template_arg[CLI_TEMPLATE_ARGS];   /* (n_template_args) NAME=JSON */
    int n_template_args;
    int64_t window, chunks;          /* perplexity; chunks 0: all */
    bool whole;                      /* perplexity --long */
    const char *bench_prompt, *bench_new, *bench_depth, *bench_form;
    int64_t repetitions;
    bool plan;                       /* info --plan */
} cli;

/* Returns 0, or -1 with a message that names the argument and what would be right. */
int cli_parse(const hi_model *m, int argc, char **argv, cli *c, char *err, size_t n);
void cli_help(const hi_model *m, cli_verb verb);

/* The verbs: each returns the program's exit code. */
int cli_generate(const hi_model *m, const cli *c);
int cli_chat(const hi_model *m, const cli *c);
int cli_perplexity(const hi_model *m, const cli *c);
int cli_bench(const hi_model *m, const cli *c);
int cli_info(const hi_model *m, const cli *c);
int cli_selftest(const hi_model *m, const cli *c);

/* Says why on stderr; returns the code. */
int cli_fail(const char *text, int code);

/* Says how the weights are kept, where that is not exact: a line of a summary. */
void cli_say_weights(const hi_model *m, FILE *out);

/* Writes out stdout; returns the code, or says why not on stderr and returns EXIT_FAILED. */
int cli_flush(int code);

#endif
