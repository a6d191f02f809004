/*
** command.c - hi-gen's command line.
*/
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char COMMAND_HELP[] =
    "usage: hi-gen SPEC [--vram SIZE] [options]\n"
    "\n"
    "Reads a model spec, plans every byte and every transfer within the budget, and emits the\n"
    "sources of one executable for that model.\n"
    "\n"
    "  --vram SIZE        device memory, driver included: 24G, 1.5G, 500M or bytes (units of 1024);\n"
    "                     without it everything is resident\n"
    "  --ram SIZE         host memory for the KV store at most\n"
    "  --ctx N            tokens of context, prompt and answer (default: the spec's)\n"
    "  --target cpu       what to generate for; cpu is all there is so far\n"
    "  --numerics T       bf16 (default) or f32\n"
    "  --logits W         scores of the last token of a pass (last, default) or of all (all)\n"
    "  --out DIR          where the sources go (default: build-models/<name>-<budget>)\n"
    "  --build            compile them too\n"
    "  --explain          print the plan instead of writing sources\n"
    "  --line             #line directives in the emitted C: errors name the template\n"
    "\n"
    "Decisions of the planner that can be forced:\n"
    "  --chunk N          prompt tokens that pass through the model together; multiple of 128\n"
    "  --tile N           tokens per tile; multiple of 256\n"
    "  --group N          KV heads that move together; divides the spec's kv_heads\n"
    "  --slots N          staging slots in the ring, 3 to 64\n"
    "  --resident N       leading tiles of every KV head that stay on the device\n"
    "\n"
    "  --help  --version\n"
    "\n"
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 does not fit, 4 wrong spec.\n";

enum { O_VRAM = 256, O_RAM, O_CTX, O_TARGET, O_NUMERICS, O_LOGITS, O_OUT, O_BUILD, O_EXPLAIN, O_LINE,
       O_CHUNK, O_TILE, O_GROUP, O_SLOTS, O_RESIDENT, O_HELP, O_VERSION };

static const struct option OPTIONS[] = {
    { "vram", 1, NULL, O_VRAM },         { "ram", 1, NULL, O_RAM },
    { "ctx", 1, NULL, O_CTX },           { "target", 1, NULL, O_TARGET },
    { "numerics", 1, NULL, O_NUMERICS }, { "logits", 1, NULL, O_LOGITS },
    { "out", 1, NULL, O_OUT },           { "build", 0, NULL, O_BUILD },
    { "explain", 0, NULL, O_EXPLAIN },   { "line", 0, NULL, O_LINE },
    { "chunk", 1, NULL, O_CHUNK },       { "tile", 1, NULL, O_TILE },
    { "group", 1, NULL, O_GROUP },       { "slots", 1, NULL, O_SLOTS },
    { "resident", 1, NULL, O_RESIDENT }, { "help", 0, NULL, O_HELP },
    { "version", 0, NULL, O_VERSION },   { NULL, 0, NULL, 0 },
};

int64_t parse_size(const char *text)
{
    static const char UNITS[] = "KMGT";
    char *end;
    double value = strtod(text, &end);

    if (end == text || text[0] == '-' || text[0] == '+' || !isfinite(value))
        return -1;
    const char *unit = *end ? strchr(UNITS, *end) : NULL;
    if (unit != NULL) {
        value = ldexp(value, 10 * (int)(unit - UNITS + 1));
        end++;
        if (strcmp(end, "iB") == 0)
            end += 2;
    }
    if (*end != '\0' || value < 1 || value > 9e15)
        return -1;
    return (int64_t)value;
}

static int size_option(const char *flag, const char *text, int64_t *out, hi_error *e)
{
    *out = parse_size(text);
    if (*out < 0)
        return gen_fail(e, "%s %s: not a size; write 24G, 500M or a number of bytes", flag, text);
    return 0;
}

static int number_option(const char *flag, const char *text, int64_t least, int64_t *out, hi_error *e)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || v < least || v > 1 << 30)
        return gen_fail(e, "%s %s: not a number from %lld to %d", flag, text, (long long)least, 1 << 30);
    *out = v;
    return 0;
}

static int word_option(const char *flag, const char *text, const char *no, const char *yes, bool *out,
                       hi_error *e)
{
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
        return gen_fail(e, "%s %s: must be %s or %s", flag, text, no, yes);
    *out = strcmp(text, yes) == 0;
    return 0;
}

static int int_option(const char *flag, const char *text, int64_t least, int *out, hi_error *e)
{
    int64_t v;
    if (number_option(flag, text, least, &v, e) != 0)
        return -1;
    *out = (int)v;
    return 0;
}

static int take_option(int opt, hi_command *c, hi_error *e)
{
    hi_request *q = &c->request;
    bool f32;

    switch (opt) {
    case O_VRAM:
        return size_option("--vram", optarg, &q->vram_bytes, e);
    case O_RAM:
        return size_option("--ram", optarg, &q->ram_bytes, e);
    case O_CTX:
        return number_option("--ctx", optarg, 1, &q->ctx, e);
    case O_TARGET:
        if (strcmp(optarg, "cpu") == 0)
            return 0;
        return gen_fail(e, "--target %s: this version generates for cpu only", optarg);
    case O_NUMERICS:
        if (word_option("--numerics", optarg, "bf16", "f32", &f32, e) != 0)
            return -1;
        q->numerics = f32 ? NUM_F32 : NUM_BF16;
        return 0;
    case O_LOGITS:
        return word_option("--logits", optarg, "last", "all", &q->logits_all, e);
    case O_CHUNK:
        return number_option("--chunk", optarg, 1, &q->chunk, e);
    case O_TILE:
        return number_option("--tile", optarg, 1, &q->tile, e);
    case O_GROUP:
        return int_option("--group", optarg, 1, &q->group, e);
    case O_SLOTS:
        return int_option("--slots", optarg, 1, &q->slots, e);
    case O_RESIDENT:
        return int_option("--resident", optarg, 0, &q->resident, e);
    case O_OUT:
        c->out = optarg;
        return 0;
    case O_BUILD:
        c->build = true;
        return 0;
    case O_EXPLAIN:
        c->explain = true;
        return 0;
    case O_LINE:
        c->line_marks = true;
        return 0;
    case O_HELP:
        c->help = true;
        return 0;
    default:
        c->version = true;
        return 0;
    }
}

/* The option that getopt takes next: it moves what is none behind. */
static const char *next_option(int argc, char **argv)
{
    int at = optind > 0 ? optind : 1;

    while (at + 1 < argc && argv[at][0] != '-')
        at++;
    return at < argc ? argv[at] : "";
}

int command_parse(int argc, char **argv, hi_command *c, hi_error *e)
{
    *c = (hi_command){ .request = { .vram_bytes = -1, .ram_bytes = -1, .resident = -1 } };
    opterr = 0;
    optind = 0;
    for (;;) {
        const char *option = next_option(argc, argv);
        int opt = getopt_long(argc, argv, ":", OPTIONS, NULL);
        if (opt == -1)
            break;
        if (opt == ':')
            return gen_fail(e, "%s: needs a value; see hi-gen --help", option);
        if (opt == '?')
            return gen_fail(e, "%s: unknown option; see hi-gen --help", option);
        if (take_option(opt, c, e) != 0)
            return -1;
    }
    if (c->help || c->version)
        return 0;
    if (optind == argc)
        return gen_fail(e, "no spec given: hi-gen specs/llama3_8b.lua --vram 24G; see hi-gen --help");
    if (optind + 1 < argc)
        return gen_fail(e, "%s: one spec at a time", argv[optind + 1]);
    c->spec = argv[optind];
    return 0;
}
