/*
** main.c - an emitted program: its model, one verb.
*/
#include <stdio.h>
#include "cli.h"

extern const hi_model hi_the_model;

int main(int argc, char **argv)
{
    const hi_model *m = &hi_the_model;
    char err[512];
    static cli c; /* large */

    if (cli_parse(m, argc, argv, &c, err, sizeof err) != 0) {
        fprintf(stderr, "%s: %s\n", m->name, err);
        return EXIT_USAGE;
    }
    switch (c.verb) {
    case CLI_GENERATE:
        return cli_generate(m, &c);
    case CLI_CHAT:
        return cli_chat(m, &c);
    case CLI_PERPLEXITY:
        return cli_perplexity(m, &c);
    case CLI_BENCH:
        return cli_bench(m, &c);
    case CLI_INFO:
        return cli_info(m, &c);
    case CLI_SELFTEST:
        return cli_selftest(m, &c);
    case CLI_VERSION:
        printf("%s (hi-gen 0.1)\n", m->name);
        break;
    default:
        cli_help(m, c.help);
    }
    return cli_flush(0);
}
