/*
** main.c - hi-gen: command line -> spec -> plan -> check -> emit.
*/
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "build.h"
#include "command.h"
#include "emit.h"
#include "print.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_FIT = 3, EXIT_BAD_SPEC = 4 };

static int failed(const hi_error *e, int code)
{
    fprintf(stderr, "hi-gen: %s\n", e->text);
    return code;
}

static int explain(const hi_spec *s, const hi_plan *p)
{
    text t = { 0 };

    plan_print(s, p, &t);
    int rc = t.failed || fputs(t.data, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILED : 0;
    text_free(&t);
    return rc;
}

static const char *home(void)
{
    const char *h = getenv("HI_HOME");
    return h != NULL ? h : HI_HOME;
}

static int write_sources(const hi_command *c, const hi_spec *s, const hi_plan *p, hi_error *e)
{
    char folder[4096], templates[4096], name[256];

    plan_name(s, p, name, sizeof name);
    if (snprintf(templates, sizeof templates, "%s/templates", home()) >= (int)sizeof templates ||
        snprintf(folder, sizeof folder, "%s%s", c->out != NULL ? c->out : "build-models/",
                 c->out != NULL ? "" : name) >= (int)sizeof folder)
        return failed((gen_fail(e, "path too long"), e), EXIT_USAGE);
    if (emit(s, p, templates, folder, c->line_marks, e) != 0)
        return failed(e, EXIT_FAILED);
    if (c->build && build_model(folder, name, home(), e) != 0)
        return failed(e, EXIT_FAILED);
    printf("%s%s%s\n", folder, c->build ? "/" : "", c->build ? name : "");
    return fflush(stdout) == EOF ? EXIT_FAILED : 0;
}

static int generate(const hi_command *c, hi_arena *a, hi_error *e)
{
    hi_spec *s = arena_alloc(a, sizeof *s);
    int64_t least = 0;

    if (s == NULL)
        return failed((gen_fail(e, "out of memory"), e), EXIT_FAILED);
    if (spec_load(c->spec, s, e) != 0)
        return failed(e, EXIT_BAD_SPEC);
    hi_plan *p = plan_make(a, s, &c->request, &least, e);
    if (p == NULL)
        return failed(e, EXIT_NO_FIT);
    if (plan_check(s, p, e) != 0)
        return failed(e, EXIT_FAILED);
    if (p->ctx > s->ctx)
        fprintf(stderr, "hi-gen: note: %s was made for %lld tokens; --ctx %lld goes beyond\n", s->name,
                (long long)s->ctx, (long long)p->ctx);
    return c->explain ? explain(s, p) : write_sources(c, s, p, e);
}

int main(int argc, char **argv)
{
    hi_command c;
    hi_error e = { "" };

    if (command_parse(argc, argv, &c, &e) != 0)
        return failed(&e, EXIT_USAGE);
    if (c.help || c.version) {
        fputs(c.help ? COMMAND_HELP : "hi-gen 0.1\n", stdout);
        return fflush(stdout) == EOF ? EXIT_FAILED : 0;
    }
    hi_arena *a = arena_new();
    if (a == NULL)
        return failed((gen_fail(&e, "out of memory"), &e), EXIT_FAILED);
    int rc = generate(&c, a, &e);
    arena_free(a);
    return rc;
}
