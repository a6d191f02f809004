/*
** test_specs.c - every published model's spec in specs/ against published.h.
**
** Each field by itself, from the file as a table, and the sizes that the project's own
** arithmetic makes of the loaded spec.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "published.h"
#include "sandbox.h"

static flat spec;          /* the file under test */
static const published *m; /* what it should say */

static void spec_path(char *out, size_t n)
{
    snprintf(out, n, "specs/%s.lua", m->name);
}

/* ---- fields ---- */

/* NULL: there is none. */
static const flat_entry *flat_find(const char *path)
{
    for (int i = 0; i < spec.n; i++)
        if (strcmp(spec.entry[i].path, path) == 0)
            return &spec.entry[i];
    return NULL;
}

/* A number; -1 where there is none. */
static double flat_number(const char *path)
{
    const flat_entry *x = flat_find(path);

    if (x == NULL || (x->type != FLAT_INT && x->type != FLAT_FLOAT))
        return -1;
    return x->type == FLAT_INT ? (double)x->i : x->f;
}

/* Text and truth values; "" and -1 where there are none. */
static const char *flat_text(const char *path)
{
    const flat_entry *x = flat_find(path);
    return x != NULL && x->type == FLAT_TEXT ? x->s : "";
}

static int flat_bool(const char *path)
{
    const flat_entry *x = flat_find(path);
    return x != NULL && x->type == FLAT_BOOL ? (int)x->i : -1;
}

static void want(const char *field, double should)
{
    double is = flat_number(field);

    if (!(is == should))
        fail_msg("%s: %s = %.17g, published %.17g", m->name, field, is, should);
}

/* A field that only some specs have: 0 is none. */
static void want_if(const char *field, double should)
{
    if (should != 0)
        want(field, should);
    else if (flat_find(field) != NULL)
        fail_msg("%s: %s: should not be there", m->name, field);
}

static void want_text(const char *field, const char *should)
{
    if (strcmp(flat_text(field), should) != 0)
        fail_msg("%s: %s = \"%s\", published \"%s\"", m->name, field, flat_text(field), should);
}

static void want_bool(const char *field, bool should)
{
    if (flat_bool(field) != should)
        fail_msg("%s: %s is not %s", m->name, field, should ? "true" : "false");
}

static void want_sizes(void)
{
    want("layers", m->layers);
    want("hidden", m->hidden);
    want("heads", m->heads);
    want("kv_heads", m->kv_heads);
    want("head_dim", m->head_dim);
    want("ffn", m->ffn);
    want("vocab", m->vocab);
    want("ctx", (double)m->ctx);
    want("norm_eps", m->norm_eps);
}

static void want_list(const char *list, const double *should)
{
    char field[32];

    for (int i = 0; i < PHI_PAIRS; i++) {
        snprintf(field, sizeof field, "%s[%d]", list, i + 1);
        want(field, should[i]);
    }
    snprintf(field, sizeof field, "%s[%d]", list, PHI_PAIRS + 1);
    assert_null(flat_find(field));
}

static void want_rope(void)
{
    bool longrope = strcmp(m->rope, "longrope") == 0, llama3 = strcmp(m->rope, "llama3") == 0;

    want_text("rope.kind", m->rope);
    want("rope.theta", m->theta);
    want_if("rope.factor", m->factor);
    want_if("rope.orig_ctx", m->orig_ctx);
    want_if("rope.low_freq", llama3 ? 1 : 0);
    want_if("rope.high_freq", llama3 ? 4 : 0);
    if (!longrope)
        return;
    want_list("rope.long", PHI_LONG);
    want_list("rope.short", PHI_SHORT);
    assert_true(fabs(flat_number("rope.attn_factor") - PHI_ATTN_FACTOR) < 1e-6);
}

static void want_others(void)
{
    bool gemma = strcmp(m->family, "gemma2") == 0;

    want_text("act", gemma ? "gelu_tanh" : "silu");
    want_bool("qkv_bias", strcmp(m->family, "qwen2") == 0);
    want_bool("o_bias", false);
    want_bool("mlp_bias", false);
    want_bool("tied", m->tied);
    want_if("window.size", m->window[0]);
    if (m->window[0] != 0) {
        want("window.first", m->window[1]);
        want("window.every", m->window[2]);
    }
    want_if("softcap.attn", m->attn_cap);
    want_if("softcap.final", m->final_cap);
    want_if("query_pre_attn_scalar", m->score_scale);
    want_if("dual_chunk", m->dual_chunk);
}

static void want_ids(void)
{
    char field[16];

    want("bos", m->bos);
    if (m->eos[1] == 0) {
        want("eos", m->eos[0]);
        return;
    }
    for (int i = 0; i < 4; i++) {
        snprintf(field, sizeof field, "eos[%d]", i + 1);
        want_if(field, m->eos[i]);
    }
}

static void test_fields(void **state)
{
    hi_arena *a = arena_new();
    hi_error e = { "" };
    char path[128];

    (void)state;
    for (int i = 0; i < N_PUBLISHED; i++) {
        size_t len;
        m = &PUBLISHED[i];
        spec_path(path, sizeof path);
        const char *lua = sandbox_read(a, path, &len, &e);
        if (lua == NULL || sandbox_run(a, path, lua, len, &SANDBOX_LIMITS, &spec, &e) != 0)
            fail_msg("%s", e.text);
        want_text("family", m->family);
        want_sizes();
        want_rope();
        want_others();
        want_ids();
    }
    arena_free(a);
}

/* ---- sizes that follow ---- */

static void check_derived(const hi_spec *s)
{
    double gib = (double)param_count(s) * 2 / (1 << 30);
    int64_t packed = weight_bytes(s, (hi_format){ .elt = 2 });

    if (param_count(s) != m->params)
        fail_msg("%s: %lld parameters, published %lld", m->name, (long long)param_count(s),
                 (long long)m->params);
    assert_int_equal(kv_token_bytes(s, 2), (int64_t)m->kv_kib * 1024);
    assert_true(fabs(gib - m->gib) < 0.0051);
    assert_true(packed >= 2 * m->params && (double)packed < 1.01 * 2 * (double)m->params);
}

static void test_derived(void **state)
{
    char path[128];
    hi_spec s;

    (void)state;
    for (int i = 0; i < N_PUBLISHED; i++) {
        hi_error e = { "" };
        m = &PUBLISHED[i];
        spec_path(path, sizeof path);
        if (spec_load(path, &s, &e) != 0)
            fail_msg("%s", e.text);
        check_derived(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_derived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
