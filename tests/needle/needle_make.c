/*
** needle_make.c - the program needle-make: writes the needle checkpoint.
*/
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "needle.h"

enum { EXIT_USAGE = 2 };

static const char USAGE[] =
    "usage: needle-make DIR [--unit U] [--layers N] [--theta T]\n"
    "\n"
    "Writes config.json, tokenizer.json and model.safetensors of a small Llama model\n"
    "that is constructed to retrieve needles. Token = byte, token 0 = not found.\n"
    "\n"
    "  --unit U     nats of score per agreeing bit (18; 4 notices lost precision)\n"
    "  --layers N   2, 3 or 4 (2)\n"
    "  --theta T    rope_theta (1e16)\n";

static int number(const char *name, const char *text, double *x)
{
    char *end;
    *x = strtod(text, &end);
    if (end != text && *end == '\0')
        return 0;
    fprintf(stderr, "needle-make: --%s %s: must be a number\n", name, text);
    return -1;
}

/* Returns the folder's name, or NULL when the program should stop with 'status'. */
static const char *parse(int argc, char **argv, needle_opts *o, int *status)
{
    static const struct option options[] = {
        { "unit", required_argument, NULL, 'u' },
        { "layers", required_argument, NULL, 'l' },
        { "theta", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    double layers = o->layers;
    int c, bad = 0;
    *status = EXIT_USAGE;
    while (!bad && (c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'u':
            bad = number("unit", optarg, &o->unit);
            break;
        case 'l':
            bad = number("layers", optarg, &layers);
            break;
        case 't':
            bad = number("theta", optarg, &o->theta);
            break;
        case 'h':
            fputs(USAGE, stdout);
            *status = EXIT_SUCCESS;
            return NULL;
        default:
            bad = -1; /* getopt has said what */
        }
    }
    if (bad)
        return NULL;
    if (!(layers >= 0 && layers <= 1000 && layers == (int)layers)) {
        fprintf(stderr, "needle-make: --layers %g: must be %d..%d\n", layers, NEEDLE_MIN_LAYERS,
                NEEDLE_MAX_LAYERS);
        return NULL;
    }
    o->layers = (int)layers;
    if (optind == argc - 1)
        return argv[optind];
    fputs(USAGE, stderr);
    return NULL;
}

int main(int argc, char **argv)
{
    needle_opts o = NEEDLE_DEFAULTS;
    needle_error e;
    int status;
    const char *dir = parse(argc, argv, &o, &status);
    if (!dir)
        return status;
    status = needle_check(&o, &e) < 0 ? EXIT_USAGE : EXIT_FAILURE;
    if (status == EXIT_USAGE || needle_write(dir, &o, &e) < 0) {
        fprintf(stderr, "needle-make: %s\n", e.text);
        return status;
    }
    return EXIT_SUCCESS;
}
