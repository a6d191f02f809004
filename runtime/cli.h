/*
** cli.h - the command line of an emitted program.
*/
#ifndef CLI_H
#define CLI_H

#include "hi.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_FIT = 3, EXIT_BAD_MODEL = 4, EXIT_INTERRUPTED = 130 };

typedef enum { CLI_HELP, CLI_VERSION, CLI_GENERATE, CLI_INFO, CLI_SELFTEST } cli_verb;

typedef struct cli {
    cli_verb verb;
    hi_options run;
    const char *prompt;              /* -p */
    const char *prompt_file;         /* -f; "-": standard input */
    const char *ids_file;            /* --ids */
    int64_t new_tokens;              /* -n */
    bool ignore_eos;
    bool plan;                       /* info --plan */
} cli;

/* Returns 0, or -1 with a message that names the argument and what would be right. */
int cli_parse(int argc, char **argv, cli *c, char *err, size_t n);
void cli_help(const hi_model *m);

/* The verbs: each returns the program's exit code. */
int cli_generate(const hi_model *m, const cli *c);
int cli_info(const hi_model *m, const cli *c);
int cli_selftest(const hi_model *m, const cli *c);

#endif
