/*
** main.c - hi-gen: command line -> spec or checkpoint, machine -> plan -> check -> emit.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "build.h"
#include "calibrate.h"
#include "check.h"
#include "command.h"
#include "emit.h"
#include "import.h"
#include "print.h"
#include "target.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_FIT = 3,
    EXIT_BAD_SPEC = 4,
    PATH_LEN = 4096
};

static int failed(const hi_error *e, int code)
{
    fprintf(stderr, "hi-gen: %s\n", e->text);
    return code;
}

/* What --explain and --json print. */
static int print_plan(const hi_command *c, const hi_spec *s, const hi_plan *p)
{
    text t = { 0 };

    if (c->json)
        json_print(s, p, &t);
    else
        explain_print(s, p, &t);
    int rc = t.failed || fputs(t.data, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILED : 0;
    text_free(&t);
    return rc;
}

/* A profile's file, or the file that is named. */
static void profile_path(const char *folder, const char *name, char *out, size_t n)
{
    size_t len = strlen(name);
    if (strchr(name, '/') != NULL || (len > 4 && strcmp(name + len - 4, ".lua") == 0))
        snprintf(out, n, "%s", name);
    else
        snprintf(out, n, "%s/specs/machine/%s%s.lua", home_folder(), folder, name);
}

/* Is it for one target, whatever the machine? */
static bool only_for(const hi_command *c, hi_target_id target)
{
    const hi_request *q = &c->request;

    if (c->target_given)
        return q->target == target;
    return target == TARGET_CPU && (q->numerics == NUM_F32 || q->weights_type != WEIGHTS_STORED);
}

/* The card that a budget suggests: the largest that is no larger; none where none can be used. */
static const char *suggested(const hi_command *c)
{
    int64_t vram = c->request.vram_bytes;
    static const struct {
        int64_t gib;
        const char *name;
    } CARD[] = { { 141, "h200" },   { 80, "a100-80g" },      { 32, "rtx5090" },
                 { 24, "rtx4090" }, { 16, "rtx4070ti-16g" }, { 12, "rtx3060-12g" } };

    if (only_for(c, TARGET_CPU))
        return "cpu";
    for (size_t i = 0; i < sizeof CARD / sizeof *CARD; i++)
        if (vram >= CARD[i].gib << 30)
            return CARD[i].name;
    if (only_for(c, TARGET_CUDA))    /* a program for a card, whatever its share of it */
        return vram < 0 ? "rtx4090" : "rtx3060-12g";
    return "cpu";
}

static int load_machine(const hi_command *c, hi_machine *m, hi_error *e)
{
    char path[PATH_LEN], host[PATH_LEN];
    const char *name = c->machine != NULL ? c->machine : suggested(c);

    profile_path("", name, path, sizeof path);
    if (c->host != NULL)
        profile_path("host/", c->host, host, sizeof host);
    if (machine_load(path, c->host != NULL ? host : NULL, m, e) != 0)
        return -1;
    if (c->machine == NULL)
        fprintf(stderr, "hi-gen: planned for %s with host %s; --machine and --host change that\n",
                m->name, m->host);
    return 0;
}

/* An imported spec, where it was asked for, or beside the sources; folder NULL: there are none. */
static int write_spec(const hi_command *c, const hi_spec *s, const text *lua, const char *folder, hi_error *e)
{
    char path[PATH_LEN + NAME_LEN + 8];

    if (c->spec_out != NULL)
        return text_write(c->spec_out, lua->data, lua->len, e);
    if (folder == NULL)
        return fputs(lua->data, stdout) == EOF || fflush(stdout) == EOF
                   ? gen_fail(e, "the spec cannot be written to standard output") : 0;
    snprintf(path, sizeof path, "%s/%s.lua", folder, s->name);
    return text_write(path, lua->data, lua->len, e);
}

static int write_sources(const hi_command *c, const hi_spec *s, const text *lua, const hi_plan *p, hi_error *e)
{
    char folder[PATH_LEN], templates[PATH_LEN], name[256];

    plan_name(s, p, name, sizeof name);
    if (snprintf(templates, sizeof templates, "%s/templates", home_folder()) >= (int)sizeof templates ||
        snprintf(folder, sizeof folder, "%s%s", c->out != NULL ? c->out : "build-models/",
                 c->out != NULL ? "" : name) >= (int)sizeof folder)
        return failed((gen_fail(e, "path too long"), e), EXIT_USAGE);
    if (emit(s, p, templates, folder, c->line_marks, e) != 0)
        return failed(e, EXIT_FAILED);
    if (c->import && write_spec(c, s, lua, folder, e) != 0)
        return failed(e, EXIT_FAILED);
    if (c->check != NULL && check_kernels(folder, home_folder(), c->check, stdout, e) != 0)
        return failed(e, EXIT_FAILED);
    if (c->build && build_model(folder, name, home_folder(), e) != 0)
        return failed(e, EXIT_FAILED);
    printf("%s%s%s\n", folder, c->build ? "/" : "", c->build ? name : "");
    return fflush(stdout) == EOF ? EXIT_FAILED : 0;
}

/* What a user should know though nothing is wrong. */
static void say_notes(const hi_spec *s, const hi_plan *p)
{
    if (p->ctx > s->ctx)
        fprintf(stderr, "hi-gen: note: %s was made for %lld tokens; this plan holds %lld\n",
                s->name, (long long)s->ctx, (long long)p->ctx);
    if (p->req.ram_bytes < 0 && p->machine.ram > 0 && p->host_bytes > p->machine.ram)
        fprintf(stderr, "hi-gen: note: the host needs %lld MiB; %s has %lld\n",
                (long long)(p->host_bytes >> 20), p->machine.host,
                (long long)(p->machine.ram >> 20));
}

/* A flag that this plan has no use for is not ignored in silence. */
static void say_unused(const hi_plan *p)
{
    const hi_request *q = &p->req;
    const struct {
        bool unused;
        const char *flag, *why;
    } FLAG[] = {
        { q->slots > 0 && !p->offload, "--slots", "keys and values are all resident" },
        { q->bands > 0 && !p->offload, "--bands", "keys and values are all resident" },
        { q->weight_slots > p->weight_slots, "--weight-slots", "fewer layers are streamed" },
        { q->hidden != AT_NONE && p->panels == 1, "--hidden", "there is one panel" },
    };

    for (size_t i = 0; i < sizeof FLAG / sizeof *FLAG; i++)
        if (FLAG[i].unused)
            fprintf(stderr, "hi-gen: note: %s has no effect: %s\n", FLAG[i].flag, FLAG[i].why);
}

/* Is the whole of the host's memory, where nobody allowed more, too little? */
static bool overflows(const hi_plan *p)
{
    return p->req.ram_bytes < 0 && p->machine.ram > 0 && p->host_bytes > p->machine.ram;
}

/* A plan; of an imported model whose own context does not fit one for the longest that does. */
static hi_plan *make_plan(const hi_command *c, hi_arena *a, const hi_spec *s, const hi_machine *m, int64_t *least,
                          hi_error *e)
{
    hi_request q = c->request;

    if (!c->target_given)
        q.target = target_default(m, &q);
    hi_plan *p = plan_make(a, s, &q, m, least, e);
    if (!c->import || q.ctx != 0 || *least < 0 || (p != NULL && !overflows(p)))
        return p;
    q.ctx = plan_longest(s, &q, m);
    if (q.ctx <= 0 || q.ctx >= s->ctx)
        return p;
    fprintf(stderr, "hi-gen: %s was made for %lld tokens; planned for %lld, the longest that fit; --ctx changes "
                    "that\n",
            s->name, (long long)s->ctx, (long long)q.ctx);
    e->text[0] = '\0';
    return plan_make(a, s, &q, m, least, e);
}

static int generate(const hi_command *c, hi_arena *a, const hi_spec *s, const text *lua, hi_error *e)
{
    hi_machine *m = arena_alloc(a, sizeof *m);
    int64_t least = 0;

    if (m == NULL)
        return failed((gen_fail(e, "out of memory"), e), EXIT_FAILED);
    if (load_machine(c, m, e) != 0)
        return failed(e, EXIT_BAD_SPEC);
    hi_plan *p = make_plan(c, a, s, m, &least, e);
    if (p == NULL)
        return failed(e, least < 0 ? EXIT_USAGE : EXIT_NO_FIT);
    if (plan_check(s, p, e) != 0)
        return failed(e, EXIT_FAILED);
    if (c->check != NULL && p->req.target != TARGET_CUDA)
        return failed((gen_fail(e, "--check: only the cuda target has kernels to compile; add "
                                   "--target cuda"), e), EXIT_USAGE);
    say_notes(s, p);
    say_unused(p);
    return c->explain || c->json ? print_plan(c, s, p) : write_sources(c, s, lua, p, e);
}

/* The spec: a file's, or a checkpoint's, whose text is then in lua. 'folder' (IMPORT_PATH) receives
   what the program is to take its weights from, if that is known. */
static int load_model(const hi_command *c, hi_spec *s, text *lua, char *folder, hi_error *e)
{
    folder[0] = '\0';
    if (c->import)
        return import_spec(c, s, lua, folder, e);
    if (c->request.checkpoint != NULL && import_absolute(c->request.checkpoint, folder, IMPORT_PATH, e) != 0)
        return -1;
    return spec_load(c->spec, s, e);
}

static int run(const hi_command *given, hi_arena *a, hi_error *e)
{
    hi_spec *s = arena_alloc(a, sizeof *s);
    char *folder = arena_alloc(a, IMPORT_PATH);
    hi_command c = *given;
    text lua = { 0 };
    int rc;

    if (s == NULL || folder == NULL)
        return failed((gen_fail(e, "out of memory"), e), EXIT_FAILED);
    if (load_model(&c, s, &lua, folder, e) != 0)
        rc = failed(e, EXIT_BAD_SPEC);
    else if (c.import && !c.plans)
        rc = write_spec(&c, s, &lua, NULL, e) != 0 ? failed(e, EXIT_FAILED) : 0;
    else {
        c.request.checkpoint = folder[0] != '\0' ? folder : NULL;
        rc = generate(&c, a, s, &lua, e);
    }
    text_free(&lua);
    return rc;
}

int main(int argc, char **argv)
{
    hi_command c;
    hi_error e = { "" };

    if (argc > 1 && strcmp(argv[1], "calibrate") == 0)
        return calibrate_command(argc - 1, argv + 1, home_folder());
    if (command_parse(argc, argv, &c, &e) != 0)
        return failed(&e, EXIT_USAGE);
    if (c.help || c.version) {
        fputs(c.help ? COMMAND_HELP : "hi-gen 0.1\n", stdout);
        return fflush(stdout) == EOF ? EXIT_FAILED : 0;
    }
    hi_arena *a = arena_new();
    if (a == NULL)
        return failed((gen_fail(&e, "out of memory"), &e), EXIT_FAILED);
    int rc = run(&c, a, &e);
    arena_free(a);
    return rc;
}
