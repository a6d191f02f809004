/*
** command.c - hi-gen's command line.
*/
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "target.h"

const char COMMAND_HELP[] =
    "usage: hi-gen SPEC [--vram SIZE] [options]\n"
    "       hi-gen import FOLDER [--name NAME] [--spec-out FILE] [options]\n"
    "       hi-gen calibrate [--target T] [--seconds N] > MACHINE.lua\n"
    "\n"
    "Reads a model spec, plans every byte and every transfer within the budget, and emits the\n"
    "sources of one executable for that model. 'calibrate' measures this machine for --machine.\n"
    "\n"
    "'import' makes the spec: FOLDER is a Hugging Face checkpoint (config.json, safetensors), or\n"
    "org/name in the hub's cache. Its tensors are checked against config.json. Without options the\n"
    "spec is printed; with any of those below it goes beside the sources, and the program knows\n"
    "the checkpoint.\n"
    "\n"
    "  --name NAME        of the spec, a-z, 0-9 and _ (default: from the folder's)\n"
    "  --spec-out FILE    where the spec goes\n"
    "\n"
    "  --vram SIZE        device memory, driver included: 24G, 1.5G, 500M or bytes (units of 1024);\n"
    "                     without it everything is resident\n"
    "  --ram SIZE         host memory at most, for keys and values, weights, hidden states\n"
    "  --ctx N            tokens of context, prompt and answer (default: the spec's; import: as far as\n"
    "                     it fits); max: the longest that fits --vram and --ram (or the machine's\n"
    "                     host memory)\n"
    "  --for GOAL         what must be fast: prefill, decode or balanced (default)\n"
    "  --machine M        what times are predicted for: a profile of specs/machine or a .lua file\n"
    "                     (default: the profile that --vram suggests)\n"
    "  --host H           another host: a profile of specs/machine/host or a .lua file\n"
    "  --target T         cpu, or cuda: an NVIDIA GPU (default: what the machine has)\n"
    "  --numerics T       bf16 (default) or f32 (cpu)\n"
    "  --weights-type T   stored (default): as the checkpoint has them; q8, q4 (cpu): made at load, in\n"
    "                     blocks of 32, 8 bits or 4 with the head in 8: not exact\n"
    "  --logits W         scores of the last token of a prompt (last, default) or of all (all)\n"
    "  --out DIR          where the sources go (default: build-models/<name>-<budget>)\n"
    "  --build            compile them too\n"
    "  --checkpoint DIR   the folder whose weights the program takes where none is named\n"
    "  --check ARCHS      compile the kernels of the cuda target, needing neither nvcc nor a GPU, and\n"
    "                     print registers and spills: sm_80,sm_90a .. or all\n"
    "  --explain          print the plan, its reasons and predicted times; write nothing\n"
    "  --json             print plan.json; write nothing\n"
    "  --line             #line directives in the emitted C: errors name the template\n"
    "\n"
    "Decisions of the planner that can be forced:\n"
    "  --policy P         auto (default), or a baseline: standard (all resident, one pass), chunked,\n"
    "                     layer (a layer's KV moves whole), head (head groups move whole)\n"
    "  --chunk N          prompt tokens that pass through a layer together; multiple of 128\n"
    "  --mlp-rows N       of them, rows of the feed-forward part at once; multiple of 128\n"
    "  --tile N           tokens per tile; multiple of 256\n"
    "  --group N          KV heads that move together; divides the spec's kv_heads\n"
    "  --bands N          context bands at most, 1 to 4: shorter contexts move 2, 4, 8 times the\n"
    "                     heads in tiles as much shorter\n"
    "  --slots N          staging slots in the ring, 2 to 64\n"
    "  --resident N       leading tiles of every KV head that stay on the device\n"
    "  --weights N        layers whose weights stay on the device; the others are streamed\n"
    "  --weight-slots N   layers in the ring of streamed weights, 2 to 64\n"
    "  --panel N          layers that a prompt passes through before the next ones are begun\n"
    "  --hidden PLACE     where hidden states wait between panels: device or host\n"
    "  --embed PLACE      where an untied embedding lies: device or host\n"
    "\n"
    "  --help  --version\n"
    "\n"
    "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 does not fit, 4 wrong spec or machine.\n";

enum { O_VRAM = 256, O_RAM, O_CTX, O_FOR, O_MACHINE, O_HOST, O_TARGET, O_NUMERICS, O_WEIGHTS_TYPE, O_LOGITS, O_OUT, O_BUILD, O_CHECK,
       O_EXPLAIN, O_JSON, O_LINE, O_POLICY, O_CHUNK, O_MLP_ROWS, O_TILE, O_GROUP, O_BANDS, O_SLOTS, O_RESIDENT,
       O_WEIGHTS, O_WEIGHT_SLOTS, O_PANEL, O_HIDDEN, O_EMBED, O_CHECKPOINT, O_NAME, O_SPEC_OUT,
       O_HELP, O_VERSION };

static const struct option OPTIONS[] = {
    { "vram", 1, NULL, O_VRAM },         { "ram", 1, NULL, O_RAM },
    { "ctx", 1, NULL, O_CTX },           { "for", 1, NULL, O_FOR },
    { "machine", 1, NULL, O_MACHINE },   { "host", 1, NULL, O_HOST },
    { "target", 1, NULL, O_TARGET },     { "numerics", 1, NULL, O_NUMERICS },
    { "logits", 1, NULL, O_LOGITS },     { "out", 1, NULL, O_OUT },
    { "build", 0, NULL, O_BUILD },       { "explain", 0, NULL, O_EXPLAIN },
    { "json", 0, NULL, O_JSON },         { "line", 0, NULL, O_LINE },
    { "policy", 1, NULL, O_POLICY },     { "chunk", 1, NULL, O_CHUNK },
    { "mlp-rows", 1, NULL, O_MLP_ROWS }, { "tile", 1, NULL, O_TILE },
    { "group", 1, NULL, O_GROUP },       { "bands", 1, NULL, O_BANDS },
    { "slots", 1, NULL, O_SLOTS },       { "resident", 1, NULL, O_RESIDENT },
    { "weights", 1, NULL, O_WEIGHTS },   { "weight-slots", 1, NULL, O_WEIGHT_SLOTS },
    { "panel", 1, NULL, O_PANEL },       { "hidden", 1, NULL, O_HIDDEN },
    { "embed", 1, NULL, O_EMBED },       { "help", 0, NULL, O_HELP },
    { "version", 0, NULL, O_VERSION },   { "check", 1, NULL, O_CHECK },
    { "checkpoint", 1, NULL, O_CHECKPOINT }, { "name", 1, NULL, O_NAME },
    { "spec-out", 1, NULL, O_SPEC_OUT }, { "weights-type", 1, NULL, O_WEIGHTS_TYPE },
    { NULL, 0, NULL, 0 },
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
    } else if (strcmp(end, "B") == 0)
        end++;
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

/* One of 'words' (NULL ends them): its index. */
static int word_option(const char *flag, const char *text, const char *const *words, int *out, hi_error *e)
{
    char all[128] = "";

    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return 0;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ",
                 words[i]);
    }
    return gen_fail(e, "%s %s: must be %s", flag, text, all);
}

static int int_option(const char *flag, const char *text, int64_t least, int *out, hi_error *e)
{
    int64_t v;
    if (number_option(flag, text, least, &v, e) != 0)
        return -1;
    *out = (int)v;
    return 0;
}

static int ctx_option(const char *text, int64_t *out, hi_error *e)
{
    if (strcmp(text, "max") != 0)
        return number_option("--ctx", text, 1, out, e);
    *out = -1;
    return 0;
}

static int place_option(const char *flag, const char *text, hi_place *out, hi_error *e)
{
    int i;

    if (word_option(flag, text, PLACE_WORDS + AT_DEVICE, &i, e) != 0)
        return -1;
    *out = (hi_place)(AT_DEVICE + i);
    return 0;
}

/* Options that take one of a few words. */
static int take_word(int opt, hi_request *q, hi_error *e)
{
    static const char *const NUMERICS[] = { "bf16", "f32", NULL };
    static const char *const LOGITS[] = { "last", "all", NULL };
    int i = 0, rc;

    switch (opt) {
    case O_TARGET:
        rc = word_option("--target", optarg, TARGET_WORDS, &i, e);
        q->target = (hi_target_id)i;
        return rc;
    case O_NUMERICS:
        rc = word_option("--numerics", optarg, NUMERICS, &i, e);
        q->numerics = i == 1 ? NUM_F32 : NUM_BF16;
        return rc;
    case O_WEIGHTS_TYPE:
        rc = word_option("--weights-type", optarg, WEIGHTS_WORDS, &i, e);
        q->weights_type = (hi_weights_type)i;
        return rc;
    case O_LOGITS:
        rc = word_option("--logits", optarg, LOGITS, &i, e);
        q->logits_all = i == 1;
        return rc;
    case O_FOR:
        rc = word_option("--for", optarg, GOAL_WORDS, &i, e);
        q->goal = i;
        return rc;
    case O_POLICY:
        rc = word_option("--policy", optarg, POLICY_WORDS, &i, e);
        q->policy = i;
        return rc;
    case O_HIDDEN:
        return place_option("--hidden", optarg, &q->hidden, e);
    default:
        return place_option("--embed", optarg, &q->embed, e);
    }
}

/* Options that take a size or a number. */
static int take_number(int opt, hi_request *q, hi_error *e)
{
    switch (opt) {
    case O_VRAM:
        return size_option("--vram", optarg, &q->vram_bytes, e);
    case O_RAM:
        return size_option("--ram", optarg, &q->ram_bytes, e);
    case O_CTX:
        return ctx_option(optarg, &q->ctx, e);
    case O_CHUNK:
        return number_option("--chunk", optarg, 1, &q->chunk, e);
    case O_MLP_ROWS:
        return number_option("--mlp-rows", optarg, 1, &q->mlp_rows, e);
    case O_TILE:
        return number_option("--tile", optarg, 1, &q->tile, e);
    case O_GROUP:
        return int_option("--group", optarg, 1, &q->group, e);
    case O_BANDS:
        return int_option("--bands", optarg, 1, &q->bands, e);
    case O_SLOTS:
        return int_option("--slots", optarg, 1, &q->slots, e);
    case O_RESIDENT:
        return int_option("--resident", optarg, 0, &q->resident, e);
    case O_WEIGHTS:
        return int_option("--weights", optarg, 0, &q->weights, e);
    case O_WEIGHT_SLOTS:
        return int_option("--weight-slots", optarg, 1, &q->weight_slots, e);
    case O_PANEL:
        return int_option("--panel", optarg, 1, &q->panel, e);
    default:
        return take_word(opt, q, e);
    }
}

static int take_option(int opt, hi_command *c, hi_error *e)
{
    switch (opt) {
    case O_MACHINE:
        c->machine = optarg;
        return 0;
    case O_HOST:
        c->host = optarg;
        return 0;
    case O_OUT:
        c->out = optarg;
        return 0;
    case O_BUILD:
        c->build = true;
        return 0;
    case O_CHECK:
        c->check = optarg;
        return 0;
    case O_CHECKPOINT:
        c->request.checkpoint = optarg;
        return 0;
    case O_NAME:
        c->name = optarg;
        return 0;
    case O_SPEC_OUT:
        c->spec_out = optarg;
        return 0;
    case O_EXPLAIN:
        c->explain = true;
        return 0;
    case O_JSON:
        c->json = true;
        return 0;
    case O_LINE:
        c->line_marks = true;
        return 0;
    case O_HELP:
        c->help = true;
        return 0;
    case O_VERSION:
        c->version = true;
        return 0;
    case O_TARGET:
        c->target_given = true;
        return take_number(opt, &c->request, e);
    default:
        return take_number(opt, &c->request, e);
    }
}

/* What 'import' cannot do, and what only it can. */
static int check_import(const hi_command *c, hi_error *e)
{
    if (!c->import && (c->name != NULL || c->spec_out != NULL))
        return gen_fail(e, "%s: only for hi-gen import", c->name != NULL ? "--name" : "--spec-out");
    if (c->import && c->request.checkpoint != NULL)
        return gen_fail(e, "--checkpoint: import knows the folder; leave it away");
    if (c->spec_out != NULL && (c->explain || c->json))
        return gen_fail(e, "%s: writes nothing; leave --spec-out away",
                        c->json ? "--json" : "--explain");
    return 0;
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
    *c = (hi_command){ .request = { .vram_bytes = -1, .ram_bytes = -1, .resident = -1, .weights = -1 } };
    if (argc > 1 && strcmp(argv[1], "import") == 0) {
        c->import = true;
        argc--;
        argv++;
    }
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
        c->plans |= opt != O_NAME && opt != O_SPEC_OUT;
    }
    if (c->help || c->version)
        return 0;
    if (optind == argc && c->import)
        return gen_fail(e, "import: no folder given: hi-gen import FOLDER; see hi-gen --help");
    if (optind == argc)
        return gen_fail(e, "no spec given: hi-gen specs/llama3_8b.lua --vram 24G; see hi-gen --help");
    if (optind + 1 < argc)
        return gen_fail(e, "%s: one %s at a time", argv[optind + 1],
                        c->import ? "folder" : "spec");
    if (check_import(c, e) != 0)
        return -1;
    if (c->explain && c->json)
        return gen_fail(e, "--explain and --json: one of them");
    if ((c->explain || c->json) && (c->build || c->out != NULL || c->check != NULL))
        return gen_fail(e, "%s: writes nothing; leave %s away", c->json ? "--json" : "--explain",
                        c->build ? "--build" : c->out != NULL ? "--out" : "--check");
    c->spec = argv[optind];
    return 0;
}
