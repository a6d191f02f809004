/*
** test_plans.c - the plan of every spec, for both targets and two budgets, is the recorded one.
**
** tests/golden/plans/<spec>.txt has each plan in words, and digests of its steps. Where a plan
** changes the test prints the difference; a change that is meant is recorded by
**
**     tests/golden/plans/refresh.sh build/test/tests/unit/test_plans
*/
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "print.h"
#include "target.h"

enum {
    MOST_SPECS = 128
};

/* A card with less memory than most models want, and a host; each once with room. */
static const struct place {
    const char *machine;
    hi_target_id target;
    int64_t vram, ctx;
} PLACES[] = {
    { "rtx4090", TARGET_CUDA, (int64_t)24 << 30, 32768 },
    { "rtx3060-12g", TARGET_CUDA, (int64_t)8 << 30, 131072 },
    { "cpu", TARGET_CPU, -1, 4096 },
    { "cpu", TARGET_CPU, (int64_t)6 << 30, 65536 },
};
enum {
    N_PLACES = sizeof PLACES / sizeof *PLACES
};

static char spec_name[MOST_SPECS][NAME_LEN + 8];
static int n_specs;

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void find_specs(void)
{
    DIR *d = opendir("specs");
    const struct dirent *f;

    assert_non_null(d);
    while ((f = readdir(d)) != NULL) {
        size_t n = strlen(f->d_name);
        if (n < 5 || n >= sizeof spec_name[0] || strcmp(f->d_name + n - 4, ".lua") != 0)
            continue;
        assert_true(n_specs < MOST_SPECS);
        snprintf(spec_name[n_specs++], sizeof spec_name[0], "%.*s", (int)n - 4, f->d_name);
    }
    closedir(d);
    qsort(spec_name, (size_t)n_specs, sizeof spec_name[0], by_name);
}

/* Digest of a list of steps as they are emitted. FNV-1a. */
static uint64_t steps_digest(uint64_t h, const hi_band *b, const hi_step *st, int n)
{
    char line[160];

    for (int i = 0; i < n; i++) {
        step_text(b, &st[i], line, sizeof line);
        for (const char *c = line; *c != '\0'; c++)
            h = (h ^ (unsigned char)*c) * 0x100000001b3u;
        h = (h ^ '\n') * 0x100000001b3u;
    }
    return h;
}

static void print_steps(const hi_plan *p, text *out)
{
    const uint64_t start = 0xcbf29ce484222325u;

    for (int i = 0; i < p->n_bands; i++) {
        const hi_band *b = &p->band[i];
        text_printf(out, "steps of band %d: prefill %d %016" PRIx64 ", decode %d %016" PRIx64 "\n", i,
                    b->n_steps[PREFILL],
                    steps_digest(start, b, b->steps[PREFILL], b->n_steps[PREFILL]),
                    b->n_steps[DECODE],
                    steps_digest(start, b, b->steps[DECODE], b->n_steps[DECODE]));
    }
    text_printf(out, "steps between: %d %016" PRIx64 "\n", p->n_enter,
                steps_digest(start, &p->band[0], p->enter, p->n_enter));
}

static void print_place(const hi_spec *s, const struct place *x, text *out)
{
    hi_request q = { .vram_bytes = x->vram, .ram_bytes = -1, .resident = -1, .weights = -1,
                     .ctx = x->ctx, .target = x->target };
    char path[256], command[512];
    hi_error e = { "" };
    hi_machine m;
    hi_arena *a = arena_new();

    snprintf(path, sizeof path, "specs/machine/%s.lua", x->machine);
    assert_int_equal(machine_load(path, NULL, &m, &e), 0);
    hi_plan *p = plan_make(a, s, &q, &m, NULL, &e);
    if (p == NULL) {
        text_printf(out, "== %s, %s: refused\n%s\n\n", x->machine, TARGET[x->target].name, e.text);
    } else {
        assert_int_equal(plan_check(s, p, &e), 0);
        plan_command(s, p, command, sizeof command);
        text_printf(out, "== %s, %s\n", command, TARGET[x->target].name);
        plan_print(s, p, out);
        print_steps(p, out);
        text_printf(out, "\n");
    }
    arena_free(a);
}

static void print_spec(const char *name, text *out)
{
    char path[256];
    hi_error e = { "" };
    hi_spec s;

    snprintf(path, sizeof path, "specs/%.*s.lua", NAME_LEN, name);
    if (spec_load(path, &s, &e) != 0)
        fail_msg("%s", e.text);
    text_printf(out, "%s: %" PRId64 " parameters, %" PRId64 " bytes of weights, %" PRId64
                     " bytes of k and v a token\n\n", name, param_count(&s), weight_bytes(&s, (hi_format){ .elt = 2 }),
                kv_token_bytes(&s, 2));
    for (int i = 0; i < N_PLACES; i++)
        print_place(&s, &PLACES[i], out);
}

static void write_text(const char *path, const text *t)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(t->data, 1, t->len, f), t->len);
    assert_int_equal(fclose(f), 0);
}

static bool is_recorded(const char *path, const text *t)
{
    FILE *f = fopen(path, "r");
    char *have = malloc(t->len + 1);
    bool same = f != NULL && have != NULL && fread(have, 1, t->len + 1, f) == t->len &&
                memcmp(have, t->data, t->len) == 0;

    free(have);
    if (f != NULL)
        fclose(f);
    return same;
}

static void test_plans(void **state)
{
    const char *record = getenv("HI_RECORD");
    int changed = 0;

    (void)state;
    find_specs();
    assert_true(n_specs > 20);
    for (int i = 0; i < n_specs; i++) {
        char golden[256], got[64] = "/tmp/hi_plan_XXXXXX", diff[512];
        text t = { 0 };
        print_spec(spec_name[i], &t);
        snprintf(golden, sizeof golden, "tests/golden/plans/%.*s.txt", NAME_LEN, spec_name[i]);
        if (record != NULL) {
            write_text(golden, &t);
        } else if (!is_recorded(golden, &t)) {
            changed++;
            close(mkstemp(got));
            write_text(got, &t);
            snprintf(diff, sizeof diff, "diff -u %s %s >&2", golden, got);
            if (system(diff) == 0)
                print_error("%s: differs\n", golden);
            unlink(got);
        }
        text_free(&t);
    }
    assert_int_equal(changed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_plans) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
