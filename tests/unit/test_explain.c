/*
** test_explain.c - what is told of a plan: --explain, plan.json, report.html, the timeline.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "command.h"
#include "emit.h"
#include "failing_alloc.h"
#include "forecast.h"
#include "methods.h"
#include "print.h"
#include "timeline.h"
#include "units.h"

enum {
    MOST_WORDS = 32,
    MOST_DEPTH = 64
};

static const char *const LINES[] = {
    "specs/llama3_8b.lua --vram 24G --ctx 1048576 --machine rtx4090",
    "specs/llama3_8b.lua --vram 8G --ctx 102400 --machine rtx3060-12g",
    "specs/llama3_8b.lua --vram 24G --ctx 4096000 --machine rtx4090 --tile 16384 --group 1 --bands "
    "4",
    "specs/llama3_8b.lua --vram 24G --ctx 300000 --machine rtx4090 --policy head --slots 8 --for "
    "decode",
    "specs/llama3_8b.lua --vram 12G --ctx 60000 --machine rtx3060-12g --weights 10 --weight-slots "
    "4 --slots 8",
    "specs/llama3_70b.lua --vram 24G --ctx 131072 --machine h200 --panel 4 --logits all",
    "specs/llama3_2_1b.lua --ctx 32768 --machine h200",
    "specs/llama3_2_1b.lua --vram 24G --ctx max --machine rtx4090 --numerics f32",
    "tests/specs/toy_gqa.lua --vram 1200K --ctx 2304 --machine cpu",
    "specs/llama3_2_1b.lua --vram 900M --ctx 65536 --machine cpu --weights-type q8",
    "specs/llama3_8b.lua --vram 4G --ctx 65536 --machine cpu --weights-type q4",
    "tests/specs/toy_llama3.lua --ctx 1 --machine cpu",
    "specs/gemma_2_2b.lua --vram 2G --ctx 16384 --machine cpu",
    "specs/mistral_7b_v0_1.lua --vram 8G --ctx 32768 --machine rtx3060-12g",
};
enum {
    N_LINES = sizeof LINES / sizeof *LINES
};

typedef struct made {
    hi_arena *a;
    hi_spec s;
    hi_plan *p;
} made;

static void load_machine(const char *name, hi_machine *m)
{
    char path[256];
    hi_error e = { "" };

    snprintf(path, sizeof path, "specs/machine/%s.lua", name);
    if (machine_load(path, NULL, m, &e) != 0)
        fail_msg("%s", e.text);
}

/* The plan of a command line of hi-gen. */
static void make(const char *line, made *x)
{
    char copy[1024];
    char *argv[MOST_WORDS] = { "hi-gen" };
    int argc = 1;
    hi_error e = { "" };
    hi_command c;
    hi_machine m;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok(copy, " "); w != NULL && argc < MOST_WORDS - 1; w = strtok(NULL, " "))
        argv[argc++] = w;
    x->a = arena_new();
    assert_non_null(x->a);
    if (command_parse(argc, argv, &c, &e) != 0 || spec_load(c.spec, &x->s, &e) != 0)
        fail_msg("%s: %s", line, e.text);
    load_machine(c.machine, &m);
    x->p = plan_make(x->a, &x->s, &c.request, &m, NULL, &e);
    if (x->p == NULL)
        fail_msg("%s: %s", line, e.text);
}

/* As many layers as a spec may have, a name as long, a context as long. */
static void make_wide(made *x)
{
    hi_request q = { .vram_bytes = (int64_t)4 << 40,
                     .ram_bytes = -1,
                     .ctx = 1 << 30,
                     .resident = -1,
                     .weights = -1 };
    hi_error e = { "" };
    hi_machine m;

    make(LINES[0], x);
    load_machine("rtx4090", &m);
    x->s.layers = MAX_LAYERS;
    memset(x->s.name, 'n', NAME_LEN - 1);
    memset(m.name, 'm', NAME_LEN - 1);
    memset(m.host, 'h', NAME_LEN - 1);
    x->p = plan_make(x->a, &x->s, &q, &m, NULL, &e);
    if (x->p == NULL)
        fail_msg("%s", e.text);
}

static void print(const made *x, void (*printer)(const hi_spec *, const hi_plan *, text *), text *t)
{
    *t = (text){ 0 };
    printer(&x->s, x->p, t);
    assert_false(t->failed);
    assert_int_equal(t->data[t->len - 1], '\n');
}

/* ---- figures for people ---- */

static void test_units(void **state)
{
    static const struct {
        double v;
        const char *time, *bytes;
    } FIGURE[] = {
        { 0, "0 ms", "0" },
        { 1e-6, "0.0010 ms", "0 B" },
        { 0.0331, "33.1 ms", "0 B" },
        { 0.9994, "999 ms", "1 B" },
        { 0.99951, "1.00 s", "1 B" },
        { 9.9949, "9.99 s", "10 B" },
        { 9.9951, "10.0 s", "10 B" },
        { 2033, "2033 s", "1.99 KiB" },
        { 27114, "7.53 h", "26.5 KiB" },
        { 1048576, "291 h", "1.00 MiB" },
        { 1.374389534e11, "3.8e+07 h", "128 GiB" },
        { 1.9e14, "5.3e+10 h", "173 TiB" },
    };
    static const struct {
        int64_t n;
        const char *tokens, *digits;
    } COUNT[] = {
        { 0, "0", "0" },
        { 100, "100", "100" },
        { 1000, "1000", "1,000" },
        { 1024, "1K", "1,024" },
        { 10240, "10K", "10,240" },
        { 1024000, "1M", "1,024,000" },
        { 1048576, "1024K", "1,048,576" },
        { 16060522497, "16060522497", "16,060,522,497" },
        { 16060522496, "15684104K", "16,060,522,496" },
    };
    char out[UNIT_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof FIGURE / sizeof *FIGURE; i++) {
        time_text(FIGURE[i].v, out);
        assert_string_equal(out, FIGURE[i].time);
        bytes_text(FIGURE[i].v, out);
        assert_string_equal(out, FIGURE[i].bytes);
    }
    for (size_t i = 0; i < sizeof COUNT / sizeof *COUNT; i++) {
        tokens_text(COUNT[i].n, out);
        assert_string_equal(out, COUNT[i].tokens);
        digits_text(COUNT[i].n, out);
        assert_string_equal(out, COUNT[i].digits);
    }
    rate_text(155e12, "FLOP", out);
    assert_string_equal(out, "155 TFLOP/s");
    rate_text(25e9, "B", out);
    assert_string_equal(out, "25.0 GB/s");
}

static void test_reasons(void **state)
{
    static const struct {
        hi_decision d;
        const char *want;
    } REASON[] = {
        { { .other = "x", .forced = true }, "forced" },
        { { .slower = 1 }, "no alternative" },
        { { .other = "4", .lacks = 12897485 }, "4 does not fit: 12.3 MiB short" },
        { { .other = "4", .slower = 0.032 }, "runner-up 4: +3.2% time" },
        { { .other = "4", .slower = 0.0012 }, "runner-up 4: +0.12% time" },
        { { .other = "4", .slower = 0 }, "4 as fast, more memory" },
        { { .other = "4", .slower = -0.01 }, "4 1.00% faster, but more memory" },
        { { .other = "4", .slower = 99 }, "runner-up 4: 100.0 times as long" },
    };
    char out[160];

    (void)state;
    for (size_t i = 0; i < sizeof REASON / sizeof *REASON; i++) {
        reason_text(&REASON[i].d, out, sizeof out);
        assert_string_equal(out, REASON[i].want);
    }
}

/* ---- --explain ---- */

static void check_columns(const text *t, const char *name)
{
    int column = 0, line = 1;

    for (size_t i = 0; i < t->len; i++) {
        column = t->data[i] == '\n' ? 0 : column + 1;
        line += t->data[i] == '\n';
        if (column > PRINT_COLUMNS || t->data[i] == '\t' || (t->data[i] & 0x80) ||
            (t->data[i] == '\n' && i > 0 && t->data[i - 1] == ' '))
            fail_msg("%s: line %d: long, with a tab, or a space at its end:\n%s", name, line,
                     t->data);
    }
}

/* A line that begins with 'head', somewhere after it 'rest'. */
static void must_say(const text *t, const char *head, const char *rest)
{
    char start[128];

    snprintf(start, sizeof start, "\n%s", head);
    for (const char *at = t->data; (at = strstr(at, start)) != NULL; at++) {
        const char *end = strchr(at + 1, '\n'), *found = strstr(at, rest);
        if (found != NULL && found < end)
            return;
    }
    fail_msg("no line '%s .. %s' in\n%s", head, rest, t->data);
}

static void must_say_bytes(const text *t, const char *head, int64_t bytes)
{
    char digits[UNIT_LEN];
    snprintf(digits, sizeof digits, " %lld", (long long)bytes);
    must_say(t, head, digits);
}

static const char *const BUFFER[N_BUFFERS] = {
#define B(name, phases, what) #name,
#include "buffers.def"
#undef B
};

static const char *const HOST[N_HOSTS] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
};

static void check_explain(const made *x, const char *name)
{
    text t;
    char tokens[UNIT_LEN], head[64];

    print(x, explain_print, &t);
    check_columns(&t, name);
    for (int id = 0; id < N_BUFFERS; id++)
        for (int phase = PREFILL; phase <= DECODE; phase++)
            if (x->p->buf[phase][id].bytes > 0)
                must_say_bytes(&t, BUFFER[id], x->p->buf[phase][id].bytes);
    for (int id = 0; id < N_HOSTS; id++) {
        snprintf(head, sizeof head, "host %s", HOST[id]);
        if (x->p->host[id].bytes > 0)
            must_say_bytes(&t, head, x->p->host[id].bytes);
    }
    for (int i = 0; i < x->p->n_why; i++)
        must_say(&t, x->p->why[i].what, x->p->why[i].chosen);
    tokens_text(x->p->ctx, tokens);
    snprintf(head, sizeof head, "%10s  ", tokens);
    must_say(&t, head, "%");
    must_say(&t, "machine ", x->p->machine.name);
    must_say(&t, "host ", x->p->machine.host);
    must_say(&t, "longest context: ", x->p->req.vram_bytes < 0 ? "no limit" : " tokens within ");
    text_free(&t);
}

static void test_explain(void **state)
{
    made x;

    (void)state;
    for (int i = 0; i < N_LINES; i++) {
        make(LINES[i], &x);
        check_explain(&x, LINES[i]);
        arena_free(x.a);
    }
    make_wide(&x);
    check_explain(&x, "wide");
    arena_free(x.a);
}

static void test_wrap(void **state)
{
    text t = { 0 };

    (void)state;
    wrap_print(&t, 3, "%099d b c", 0);
    wrap_print(&t, 2, "%0110d", 0);
    wrap_print(&t, 2, "%0100d", 0);
    assert_int_equal(t.len, 99 + 1 + 3 + 4 + 111 + 101);
    assert_memory_equal(t.data + 99, "\n   b c\n0", 9);
    text_free(&t);
}

/* ---- plan.json ---- */

static json_t *at(json_t *j, const char *name)
{
    json_t *v = json_object_get(j, name);
    if (v == NULL)
        fail_msg("no '%s' in plan.json", name);
    return v;
}

static void whole_is(json_t *j, const char *name, int64_t want)
{
    assert_true(json_is_integer(at(j, name)));
    assert_int_equal(json_integer_value(at(j, name)), want);
}

static void real_is(json_t *j, const char *name, double want)
{
    assert_true(json_is_number(at(j, name)));
    assert_true(json_number_value(at(j, name)) == want);
}

static void string_is(json_t *j, const char *name, const char *want)
{
    assert_true(json_is_string(at(j, name)));
    assert_string_equal(json_string_value(at(j, name)), want);
}

static void truth_is(json_t *j, const char *name, bool want)
{
    assert_true(json_is_boolean(at(j, name)));
    assert_int_equal(json_is_true(at(j, name)), want);
}

static void check_numbers(json_t *root, const made *x)
{
    json_t *plan = at(root, "plan"), *bands = at(plan, "bands");

    string_is(at(root, "model"), "name", x->s.name);
    whole_is(at(root, "model"), "weight_bytes", weight_bytes(&x->s, plan_format(x->p)));
    string_is(at(root, "machine"), "name", x->p->machine.name);
    real_is(at(root, "machine"), "h2d_bytes_s", x->p->machine.h2d);
    string_is(at(at(root, "machine"), "host"), "name", x->p->machine.host);
    whole_is(plan, "ctx", x->p->ctx);
    truth_is(plan, "offload", x->p->offload);
    truth_is(plan, "hold", x->p->hold);
    whole_is(plan, "chunk", x->p->chunk);
    whole_is(plan, "mlp_rows", x->p->mlp_rows);
    whole_is(plan, "slots", x->p->slots);
    whole_is(plan, "panel", x->p->panel);
    whole_is(plan, "panels", x->p->panels);
    whole_is(plan, "resident_layers", x->p->resident_layers);
    whole_is(plan, "weight_slots", x->p->weight_slots);
    assert_int_equal(json_array_size(at(plan, "streamed_layers")),
                     x->s.layers - x->p->resident_layers);
    for (size_t i = 0; i < json_array_size(at(plan, "streamed_layers")); i++)
        assert_true(
            x->p->streamed[json_integer_value(json_array_get(at(plan, "streamed_layers"), i))]);
    for (int phase = PREFILL; phase <= DECODE; phase++) {
        json_t *rows = at(at(plan, "resident_rows"), phase == PREFILL ? "prefill" : "decode");
        assert_int_equal(json_array_size(rows), x->s.layers);
        for (int l = 0; l < x->s.layers; l++)
            assert_int_equal(json_integer_value(json_array_get(rows, (size_t)l)),
                             x->p->resident[phase][l]);
    }
    assert_int_equal(json_array_size(bands), x->p->n_bands);
    for (int i = 0; i < x->p->n_bands; i++) {
        whole_is(json_array_get(bands, (size_t)i), "upto", x->p->band[i].upto);
        whole_is(json_array_get(bands, (size_t)i), "group", x->p->band[i].group);
        whole_is(json_array_get(bands, (size_t)i), "tile", x->p->band[i].tile);
    }
}

static void check_memory(json_t *root, const hi_plan *p)
{
    json_t *device = at(root, "device"), *host = at(root, "host");
    size_t n = 0;

    whole_is(device, "arena_bytes", p->arena_bytes);
    whole_is(device, "reserve_bytes", p->reserve_bytes);
    for (int id = 0; id < N_BUFFERS; id++) {
        if (p->buf[PREFILL][id].bytes == 0 && p->buf[DECODE][id].bytes == 0)
            continue;
        json_t *b = json_array_get(at(device, "buffers"), n++);
        string_is(b, "name", BUFFER[id]);
        for (int phase = PREFILL; phase <= DECODE; phase++) {
            json_t *place = at(b, phase == PREFILL ? "prefill" : "decode");
            whole_is(place, "offset", p->buf[phase][id].offset);
            whole_is(place, "bytes", p->buf[phase][id].bytes);
        }
    }
    assert_int_equal(json_array_size(at(device, "buffers")), n);
    whole_is(host, "bytes", p->host_bytes);
    n = 0;
    for (int id = 0; id < N_HOSTS; id++) {
        if (p->host[id].bytes == 0)
            continue;
        json_t *b = json_array_get(at(host, "buffers"), n++);
        string_is(b, "name", HOST[id]);
        whole_is(b, "offset", p->host[id].offset);
        whole_is(b, "bytes", p->host[id].bytes);
    }
    assert_int_equal(json_array_size(at(host, "buffers")), n);
}

static void check_decisions(json_t *root, const hi_plan *p)
{
    json_t *list = at(root, "decisions");

    assert_int_equal(json_array_size(list), p->n_why);
    for (int i = 0; i < p->n_why; i++) {
        json_t *d = json_array_get(list, (size_t)i);
        string_is(d, "what", p->why[i].what);
        string_is(d, "chosen", p->why[i].chosen);
        string_is(d, "other", p->why[i].other);
        truth_is(d, "forced", p->why[i].forced);
        whole_is(d, "lacks_bytes", p->why[i].lacks);
        if (isfinite(p->why[i].slower))
            real_is(d, "slower", p->why[i].slower);
    }
}

static void cost_is(json_t *j, const hi_cost *c)
{
    real_is(j, "seconds", c->seconds);
    real_is(j, "compute_s", c->compute_s);
    real_is(j, "link_s", c->link_s);
    real_is(j, "hbm_s", c->hbm_s);
    real_is(j, "dram_s", c->dram_s);
    real_is(j, "flops", c->flops);
    real_is(j, "fraction", c->fraction);
    string_is(j, "bound", bound_text(c->bound));
    whole_is(j, "h2d_bytes", c->h2d_bytes);
    whole_is(j, "d2h_bytes", c->d2h_bytes);
}

/* At the contexts that are asked for, no more and no fewer. */
static void check_predictions(json_t *root, const made *x)
{
    static const int64_t WANT[] = { 1, 10, 20, 40, 100, 200, 400, 1000, 2000, 4000 };
    json_t *list = at(root, "predictions");
    size_t n = 0;

    for (size_t i = 0; i <= sizeof WANT / sizeof *WANT; i++) {
        int64_t tokens = i < sizeof WANT / sizeof *WANT ? WANT[i] * 1024 : x->p->ctx;
        hi_cost c;
        if (i < sizeof WANT / sizeof *WANT && tokens >= x->p->ctx)
            continue;
        json_t *j = json_array_get(list, n++);
        whole_is(j, "tokens", tokens);
        cost_prefill(&x->s, x->p, tokens, &c);
        cost_is(at(j, "prefill"), &c);
        cost_decode(&x->s, x->p, tokens - 1, &c);
        cost_is(at(j, "decode"), &c);
    }
    assert_int_equal(json_array_size(list), n);
}

static void check_longest(json_t *root, const made *x)
{
    int64_t longest = plan_longest(&x->s, &x->p->req, &x->p->machine);
    bool fits = x->p->host_bytes <= forecast_ram(x->p);

    if (x->p->req.vram_bytes < 0)
        assert_true(json_is_null(at(root, "longest_ctx")));
    else
        whole_is(root, "longest_ctx", fits && longest < x->p->ctx ? x->p->ctx : longest);
}

/* A host that has no room for all layers' rows up to the window has some for those of the layers
   without one, beyond it. */
static void test_longest_beyond_a_window(void **state)
{
    static const struct {
        const char *ram;
        int64_t ctx;
    } CASE[] = { { "9700M", 3840 }, { "9800M", 4352 }, { "9900M", 5120 } };
    char line[160];

    (void)state;
    for (size_t i = 0; i < sizeof CASE / sizeof *CASE; i++) {
        made x;
        snprintf(line, sizeof line,
                 "specs/gemma_2_9b.lua --vram 10G --ram %s --machine cpu --ctx max", CASE[i].ram);
        make(line, &x);
        assert_int_equal(x.p->ctx, CASE[i].ctx);
        arena_free(x.a);
    }
}

static void check_json(const made *x)
{
    text t;
    json_error_t e;

    print(x, json_print, &t);
    json_t *root = json_loadb(t.data, t.len, JSON_REJECT_DUPLICATES, &e);
    if (root == NULL)
        fail_msg("plan.json:%d: %s", e.line, e.text);
    check_numbers(root, x);
    check_memory(root, x->p);
    check_decisions(root, x->p);
    check_predictions(root, x);
    check_longest(root, x);
    json_decref(root);
    text_free(&t);
}

static void test_json(void **state)
{
    made x;

    (void)state;
    for (int i = 0; i < N_LINES; i++) {
        make(LINES[i], &x);
        check_json(&x);
        arena_free(x.a);
    }
    make_wide(&x);
    check_json(&x);
    arena_free(x.a);
}

/* ---- methods ---- */

/* HeadInfer's figure 1, Llama-3-8B at 1M tokens: 207 = 15 + 128 + 64 GiB for the standard method.
 */
static void test_methods(void **state)
{
    made x;
    methods m;
    const int64_t GiB = 1 << 30;

    (void)state;
    make(LINES[0], &x);
    assert_int_equal(methods_make(&x.s, x.p, &m), 0);
    for (int i = 0; i < N_METHODS; i++) {
        assert_true(m.of[i].known);
        assert_int_equal(m.of[i].built, i != M_4BIT);
        assert_int_equal(m.of[i].host,
                         i == M_LAYER || i == M_HEAD || i >= M_PREFILL ? 128 * GiB : 0);
        assert_int_equal(m.of[i].weights, weight_bytes(&x.s, (hi_format){ .elt = 2 }));
        assert_int_equal(m.of[i].device, m.of[i].weights + m.of[i].kv + m.of[i].rest);
    }
    assert_int_equal(m.of[M_STANDARD].kv, 128 * GiB);
    assert_int_equal(m.of[M_CHUNKED].kv, 128 * GiB);
    assert_int_equal(m.of[M_4BIT].kv, 32 * GiB);
    assert_int_equal(m.of[M_4BIT].rest, m.of[M_STANDARD].rest);
    assert_in_range(m.of[M_STANDARD].rest, 64 * GiB, 160 * GiB);
    assert_in_range(m.of[M_CHUNKED].rest, GiB / 2, 2 * GiB);
    assert_in_range(m.of[M_LAYER].kv, 8 * GiB, 20 * GiB);
    assert_in_range(m.of[M_HEAD].kv, GiB, 3 * GiB);
    assert_true(m.of[M_PREFILL].device <= x.p->arena_bytes);
    assert_true(m.has_resident && !m.resident.offload);
    arena_free(x.a);
}

/* What layers with a window keep are keys and values. */
static void test_windows_hold_kv(void **state)
{
    made x;
    methods m;

    (void)state;
    make("specs/mistral_7b_v0_1.lua --ctx 32768 --machine cpu", &x);
    assert_int_equal(methods_make(&x.s, x.p, &m), 0);
    for (int phase = PREFILL; phase <= DECODE; phase++) {
        const hi_buffer *b = x.p->buf[phase];
        assert_true(b[BUF_near].bytes > 0);
        assert_int_equal(m.of[M_PREFILL + phase].kv,
                         b[BUF_near].bytes + b[BUF_tails].bytes + b[BUF_window].bytes);
    }
    arena_free(x.a);
}

/* ---- report.html ---- */

typedef struct page {
    const char *open[MOST_DEPTH]; /* names of elements, not 0-terminated */
    int depth;
} page;

static size_t name_length(const char *tag)
{
    return strcspn(tag, " />\n");
}

/* One tag from '<' to '>'; quotes hold no '<', '>' or '"' of their own. */
static void take_tag(page *g, const char *tag, const char *end)
{
    const char *name = tag + 1 + (tag[1] == '/');
    size_t n = name_length(name);
    int quotes = 0;

    for (const char *c = tag + 1; c < end; c++) {
        quotes += *c == '"';
        if (*c == '<')
            fail_msg("'<' in a tag: %.60s", tag);
    }
    if (quotes % 2 != 0)
        fail_msg("an open quote: %.60s", tag);
    if (tag[1] == '!' || strncmp(name, "meta", n) == 0 || end[-1] == '/')
        return;
    if (tag[1] != '/') {
        assert_true(g->depth < MOST_DEPTH);
        g->open[g->depth++] = name;
        return;
    }
    if (g->depth == 0 || name_length(g->open[g->depth - 1]) != n ||
        strncmp(g->open[g->depth - 1], name, n) != 0)
        fail_msg("unbalanced: %.60s", tag);
    g->depth--;
}

static void check_tags(const char *html)
{
    page g = { .depth = 0 };

    for (const char *c = strchr(html, '<'); c != NULL; c = strchr(c, '<')) {
        const char *end = strchr(c, '>');
        if (end == NULL)
            fail_msg("no end: %.60s", c);
        take_tag(&g, c, end);
        c = end;
    }
    assert_int_equal(g.depth, 0);
}

static void must_have(const text *t, const char *words)
{
    if (strstr(t->data, words) == NULL)
        fail_msg("'%s' is not in the report", words);
}

static void must_have_bytes(const text *t, int64_t bytes)
{
    char digits[UNIT_LEN], cell[64];

    digits_text(bytes, digits);
    snprintf(cell, sizeof cell, ">%s<", digits);
    if (bytes > 0)
        must_have(t, cell);
}

static void check_report(const made *x)
{
    static const char *const NEVER[] = { "http",    "<script", "<link", "url(",
                                         "@import", "nan",     "inf<",  "-inf" };
    text t, again;

    print(x, report_print, &t);
    check_tags(t.data);
    for (size_t i = 0; i < sizeof NEVER / sizeof *NEVER; i++)
        if (strstr(t.data, NEVER[i]) != NULL)
            fail_msg("'%s' in the report: %.80s", NEVER[i], strstr(t.data, NEVER[i]));
    for (int id = 0; id < N_BUFFERS; id++)
        for (int phase = PREFILL; phase <= DECODE; phase++)
            must_have_bytes(&t, x->p->buf[phase][id].bytes);
    for (int id = 0; id < N_HOSTS; id++)
        must_have_bytes(&t, x->p->host[id].bytes);
    must_have_bytes(&t, x->p->arena_bytes);
    must_have(&t, "not built: arithmetic");
    must_have(&t, "prefers-color-scheme:dark");
    print(x, report_print, &again);
    assert_int_equal(t.len, again.len);
    assert_memory_equal(t.data, again.data, t.len);
    text_free(&again);
    text_free(&t);
}

static void test_report(void **state)
{
    made x;

    (void)state;
    for (int i = 0; i < N_LINES; i++) {
        make(LINES[i], &x);
        check_report(&x);
        arena_free(x.a);
    }
    make_wide(&x);
    check_report(&x);
    arena_free(x.a);
}

/* ---- the timeline ---- */

static const double EPS = 1e-9; /* seconds */

typedef struct seen {
    const made *x;
    double lane_end[N_LANES];
    double copy_end[2][MAX_SLOTS +
                       MAX_WEIGHT_SLOTS]; /* of the copy that lies in the slot: tiles, weights */
    int64_t copy_number[2][MAX_SLOTS + MAX_WEIGHT_SLOTS];
    double released[MAX_SLOTS]; /* when the slot's tile had been read */
    bool was_read[MAX_SLOTS];
    int64_t copies, reads;    /* of tiles */
    int64_t in, out;          /* bytes of the token's own copies */
    int64_t rows[MAX_LAYERS]; /* attended, times KV heads */
    double stored[MAX_LAYERS];
    double last;
    int spans;
} seen;

static void see_copy(seen *w, const span *x)
{
    bool tile = x->kind == SPAN_COPY_TILE;

    w->in += x->pass == 0 ? x->bytes : 0;
    if (x->slot < 0)
        return;
    w->copy_end[tile][x->slot] = x->end;
    w->copy_number[tile][x->slot] = x->copy;
    if (!tile)
        return;
    if (w->was_read[x->slot] && x->start < w->released[x->slot] - EPS)
        fail_msg("a tile comes into slot %d before it is released", x->slot);
    if (x->pass == 1 && x->start < w->stored[x->layer] - EPS)
        fail_msg("a tile of the next token is fetched before layer %d is stored", x->layer);
    w->copies++;
    assert_true(w->copies - w->reads <= w->x->p->slots);
}

static void see_compute(seen *w, const span *x)
{
    bool tile = x->kind == SPAN_TILE;

    assert_int_equal(x->pass, 0);
    if (x->slot >= 0 || tile) {
        assert_int_equal(x->copy, w->copy_number[tile][x->slot]);
        assert_true(x->copy_end == w->copy_end[tile][x->slot]);
        assert_true(x->start >= x->copy_end - EPS && x->copy_end > x->copy_start);
    }
    if (tile) {
        w->reads++;
        w->released[x->slot] = x->end;
        w->was_read[x->slot] = true;
    }
    if (x->layer >= 0)
        w->rows[x->layer] += x->rows * x->n;
}

static void see(const span *x, void *to)
{
    seen *w = to;

    assert_true(x->end >= x->start && x->bytes > 0);
    if (x->start < w->lane_end[x->lane] - EPS)
        fail_msg("lane %d: %s begins at %g, the one before ends at %g", x->lane, x->step, x->start,
                 w->lane_end[x->lane]);
    w->lane_end[x->lane] = x->end;
    w->spans++;
    if (x->lane == LANE_IN)
        see_copy(w, x);
    else if (x->lane == LANE_COMPUTE)
        see_compute(w, x);
    else {
        w->out += x->bytes;
        w->stored[x->layer] = x->end;
    }
}

/* The first key that the row at n is compared with: of a window, the first of the split in which it
   begins. */
static int64_t first_key(const made *x, int l, int64_t n)
{
    int64_t first = n + 1 - x->s.window.size;

    return layer_rolls(&x->s, l, x->p->ctx) && first > 0 ? first / KEY_SPLIT * KEY_SPLIT : 0;
}

static void check_timeline(const made *x, int64_t n, const char *name)
{
    seen *w = calloc(1, sizeof *w);
    hi_cost c;

    assert_non_null(w);
    w->x = x;
    for (int l = 0; l < x->s.layers; l++)
        w->stored[l] = INFINITY;
    for (int i = 0; i < N_LANES; i++)
        w->lane_end[i] = -INFINITY;
    double seconds = timeline_run(&x->s, x->p, n, see, w);
    cost_decode(&x->s, x->p, n, &c);
    if (llabs(w->in - c.h2d_bytes) > 1 || llabs(w->out - c.d2h_bytes) > 1)
        fail_msg("%s, token %lld: %lld and %lld bytes cross; predicted: %lld and %lld", name,
                 (long long)n, (long long)w->in, (long long)w->out, (long long)c.h2d_bytes,
                 (long long)c.d2h_bytes);
    for (int l = 0; l < x->s.layers; l++)
        assert_int_equal(w->rows[l], (n + 1 - first_key(x, l, n)) * x->s.kv_heads);
    assert_true(w->lane_end[LANE_COMPUTE] <= seconds + EPS);
    if (seconds < 0.75 * c.seconds || seconds > 1.5 * c.seconds)
        fail_msg("%s, token %lld: %g s run, %g s predicted", name, (long long)n, seconds,
                 c.seconds);
    free(w);
}

static void test_timeline(void **state)
{
    made x;

    (void)state;
    for (int i = 0; i < N_LINES; i++) {
        make(LINES[i], &x);
        for (int64_t n = x.p->ctx - 1; n > 0; n /= 7)
            check_timeline(&x, n, LINES[i]);
        check_timeline(&x, 0, LINES[i]);
        arena_free(x.a);
    }
}

/* ---- beside the sources ---- */

static void check_file(const char *folder, const char *file, const text *want)
{
    char path[256];
    text t = { 0 };
    hi_error e = { "" };

    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (text_read(&t, path, 1 << 22, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(t.len, want->len);
    assert_memory_equal(t.data, want->data, t.len);
    text_free(&t);
}

static void test_emit(void **state)
{
    char folder[] = "/tmp/test_explain.XXXXXX", command[64];
    made x;
    text json, report;
    hi_error e = { "" };

    (void)state;
    assert_non_null(mkdtemp(folder));
    make("tests/specs/toy_gqa.lua --vram 1200K --ctx 2304 --machine cpu", &x);
    print(&x, json_print, &json);
    print(&x, report_print, &report);
    if (emit(&x.s, x.p, "templates", folder, false, &e) != 0)
        fail_msg("%s", e.text);
    check_file(folder, "plan.json", &json);
    check_file(folder, "report.html", &report);
    text_free(&json);
    text_free(&report);
    arena_free(x.a);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* ---- memory that runs out ---- */

/* Each allocation fails in turn: the text is whole, or says that it is not. */
static void climb(const made *x, void (*printer)(const hi_spec *, const hi_plan *, text *),
                  long least)
{
    text whole, t;
    long n = 0;

    print(x, printer, &whole);
    for (bool refused_one = true; refused_one; n++) {
        t = (text){ 0 };
        left = n;
        printer(&x->s, x->p, &t);
        refused_one = left < 0;
        left = -1;
        if (!t.failed) {
            assert_int_equal(t.len, whole.len);
            assert_memory_equal(t.data, whole.data, t.len);
        } else
            assert_true(refused_one);
        text_free(&t);
    }
    assert_true(n > least);
    text_free(&whole);
}

static void test_memory_runs_out(void **state)
{
    made x;

    (void)state;
    for (int i = 0; i < N_LINES; i += N_LINES - 2) {
        make(LINES[i], &x);
        climb(&x, explain_print, 2);
        climb(&x, json_print, 8);
        climb(&x, report_print, 8);
        arena_free(x.a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),  cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_wrap),   cmocka_unit_test(test_explain),
        cmocka_unit_test(test_json),   cmocka_unit_test(test_methods),
        cmocka_unit_test(test_report), cmocka_unit_test(test_timeline),
        cmocka_unit_test(test_emit),   cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_longest_beyond_a_window), cmocka_unit_test(test_windows_hold_kv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
