/*
** test_cost.c - predicted seconds and bytes against formulas, and against the sum over every
** pass and layer that cost.c shortens.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cost.h"

#ifndef HI_SOURCE_DIR
#define HI_SOURCE_DIR "."
#endif

enum {
    K = 1024,
    M = 1024 * 1024,
    MILLION = 1000 * K /* "1M" of the published tables */
};

/* ---- models, machines, plans ---- */

static hi_spec llama3_8b(void)
{
    hi_error e = { 0 };
    hi_spec s;

    if (spec_load(HI_SOURCE_DIR "/specs/llama3_8b.lua", &s, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

static hi_spec llama3_70b(void)
{
    hi_spec s = llama3_8b();

    s.layers = 80;
    s.hidden = 8192;
    s.heads = 64;
    s.ffn = 28672;
    return s;
}

static hi_machine machine(const char *name)
{
    char path[512];
    hi_error e = { 0 };
    hi_machine m;

    snprintf(path, sizeof path, "%s/specs/machine/%s.lua", HI_SOURCE_DIR, name);
    if (machine_load(path, NULL, &m, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static void set_residency(const hi_spec *s, hi_plan *p, int64_t prefill, int64_t decode)
{
    for (int l = 0; l < s->layers; l++) {
        p->resident[PREFILL][l] = prefill;
        p->resident[DECODE][l] = decode;
    }
}

static void set_panel(const hi_spec *s, hi_plan *p, int panel, hi_place hidden)
{
    p->panel = panel;
    p->panels = (s->layers + panel - 1) / panel;
    p->hidden = p->panels > 1 ? hidden : AT_NONE;
}

/* Streams the weights of the last 'n' layers. */
static void set_streamed(const hi_spec *s, hi_plan *p, int n, int slots, bool hold)
{
    p->resident_layers = s->layers - n;
    for (int l = 0; l < s->layers; l++)
        p->streamed[l] = l >= s->layers - n;
    p->weight_slots = slots;
    p->hold = hold;
}

/* Everything on the host that can be: all keys and values; weights on the device; one band. */
static hi_plan *plan(const hi_spec *s, const char *on, int64_t ctx, int64_t chunk)
{
    hi_plan *p = test_calloc(1, sizeof *p);

    p->machine = machine(on);
    p->ctx = ctx;
    p->elt = 2;
    p->offload = true;
    p->chunk = chunk;
    p->mlp_rows = chunk < 4096 ? chunk : 4096;
    p->slots = 4;
    p->embed = AT_DEVICE;
    p->resident_layers = s->layers;
    p->n_bands = 1;
    p->band[0].group = 1;
    p->band[0].tile = 16 * K;
    p->band[0].upto = ctx;
    p->req.logits_all = true; /* no cut: the formulas are plain */
    set_panel(s, p, s->layers, AT_NONE);
    return p;
}

static hi_cost prefill(const hi_spec *s, const hi_plan *p, int64_t n)
{
    hi_cost c;

    cost_prefill(s, p, n, &c);
    return c;
}

static hi_cost decode(const hi_spec *s, const hi_plan *p, int64_t n)
{
    hi_cost c;

    cost_decode(s, p, n, &c);
    return c;
}

static void assert_near(double x, double want, double part)
{
    if (fabs(x - want) > part * fabs(want))
        fail_msg("%.6g is not within %g %% of %.6g", x, 100 * part, want);
}

/* ---- FLOPs ---- */

/* The published polynomials of both models, and the table for the smaller one. */
static void test_flops(void **state)
{
    static const struct {
        int64_t n;
        double flops;
    } TABLE[] = { { K, 1.46e13 },          { 10 * K, 1.70e14 },  { 20 * K, 3.96e14 },
                  { 40 * K, 1.01e15 },     { 100 * K, 4.18e15 }, { 200 * K, 1.39e16 },
                  { 400 * K, 4.97e16 },    { MILLION, 2.89e17 }, { 2 * MILLION, 1.13e18 },
                  { 4 * MILLION, 4.46e18 } };
    hi_spec small = llama3_8b(), large = llama3_70b();

    (void)state;
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        double n = (double)TABLE[i].n;
        assert_near(prefill_flops(&small, TABLE[i].n, false), TABLE[i].flops, 0.007);
        assert_near(prefill_flops(&small, TABLE[i].n, false), 13.96e9 * n + 262144 * n * n, 1e-3);
        assert_near(prefill_flops(&large, TABLE[i].n, false), 136.9e9 * n + 1310720 * n * n, 1e-3);
    }
    assert_near(prefill_flops(&large, 100 * K, false), 2.78e16, 0.005);
}

/* The cut saves nearly one layer of all. */
static void test_flops_cut(void **state)
{
    hi_spec small = llama3_8b(), large = llama3_70b();

    (void)state;
    assert_near(1 - prefill_flops(&small, M, true) / prefill_flops(&small, M, false), 0.031, 0.01);
    assert_near(1 - prefill_flops(&large, M, true) / prefill_flops(&large, M, false), 0.0125, 0.01);
    /* one token: nothing to cut */
    assert_true(prefill_flops(&small, 1, true) == prefill_flops(&small, 1, false));
}

static void test_flops_of_costs(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    double scores = 2.0 * s.hidden * s.vocab;

    (void)state;
    assert_near(prefill(&s, p, M).flops, prefill_flops(&s, M, false) + (M - 1) * scores, 1e-12);
    p->req.logits_all = false;
    assert_near(prefill(&s, p, M).flops, prefill_flops(&s, M, true), 1e-12);
    assert_near(decode(&s, p, 0).flops, prefill_flops(&s, 1, false), 1e-12);
    assert_near(decode(&s, p, 9).flops,
                prefill_flops(&s, 10, false) - prefill_flops(&s, 9, false) + scores, 1e-12);
    test_free(p);
}

/* ---- bytes of a prompt ---- */

/* kv N^2 / (2 C) (1 - C / N) in, kv N out. */
static void test_bytes_chunks(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 8 * K);
    hi_cost c;

    (void)state;
    for (int64_t n = 8 * K; n <= 4 * M; n *= 2) {
        c = prefill(&s, p, n);
        assert_int_equal(c.h2d_bytes, 131072 * n * (n - 8 * K) / (2 * 8 * K));
        assert_int_equal(c.d2h_bytes, 131072 * n);
    }
    p->chunk = 10 * K;
    p->mlp_rows = 5 * K;
    assert_near((double)prefill(&s, p, 100 * K).h2d_bytes, 60e9, 0.01);
    assert_near((double)prefill(&s, p, 1000 * K).h2d_bytes, 6644e9, 0.01);
    test_free(p);
}

/* The cut layer is streamed before the last chunk alone, and stored as any other. */
static void test_bytes_cut(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    int64_t layer = 4096, all = 0, last = 127 * 8 * K;
    hi_cost c;

    (void)state;
    p->req.logits_all = false;
    for (int64_t chunk = 0; chunk < 128; chunk++)
        all += chunk * 8 * K * layer;
    c = prefill(&s, p, M);
    assert_int_equal(c.h2d_bytes, 31 * all + last * layer);
    assert_int_equal(c.d2h_bytes, (int64_t)131072 * M);
    test_free(p);
}

static void test_bytes_resident(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 8 * K);

    (void)state;
    set_residency(&s, p, 32 * K, 64 * K);
    p->resident[PREFILL][5] = 48 * K;
    assert_int_equal(prefill(&s, p, 40 * K).h2d_bytes, 0);
    /* passes 5, 6, 7 of 8 stream 8, 16 and 24 K rows; layer 5 but 0, 0, 8 K */
    assert_int_equal(prefill(&s, p, 64 * K).h2d_bytes, (int64_t)(31 * 48 + 8) * K * 4096);
    p->offload = false;
    assert_int_equal(prefill(&s, p, 64 * K).h2d_bytes, 0);
    assert_int_equal(prefill(&s, p, 64 * K).d2h_bytes, 0);
    test_free(p);
}

/* Chunks of half splits: what lies before a pass in whole splits. */
static void test_bytes_half_splits(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 1152);

    (void)state;
    set_residency(&s, p, 16 * K, 16 * K);
    for (int64_t n = 1; n < 64 * K; n += 3001) {
        int64_t rows = 0;
        for (int64_t pos = 0; pos < n; pos += 1152)
            rows += pos / 256 * 256 > 16 * K ? pos / 256 * 256 - 16 * K : 0;
        assert_int_equal(prefill(&s, p, n).h2d_bytes, rows * 131072);
        assert_int_equal(prefill(&s, p, n).d2h_bytes, n * 131072);
    }
    test_free(p);
}

/* W once where the ring holds a panel, W N / C where it does not. */
static void test_bytes_weights(void **state)
{
    hi_spec s = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    int64_t layer = layer_weight_bytes(&s, (hi_format){ .elt = 2 }), kv = (int64_t)327680 * M / 2 * 127;

    (void)state;
    assert_int_equal(prefill(&s, p, M).h2d_bytes, kv);
    set_streamed(&s, p, 70, 4, false);
    assert_int_equal(prefill(&s, p, M).h2d_bytes, kv + 128 * 70 * layer);
    set_panel(&s, p, 2, AT_DEVICE);
    for (int slots = 2; slots <= 6; slots++) {
        set_streamed(&s, p, 70, slots, true);
        assert_int_equal(prefill(&s, p, M).h2d_bytes, kv + 70 * layer);
    }
    set_panel(&s, p, 3, AT_DEVICE); /* the last panel is shorter */
    assert_int_equal(prefill(&s, p, M).h2d_bytes, kv + 70 * layer);
    test_free(p);
}

/* (panels - 1) N h b each way; nothing where one chunk holds the prompt, or the device does. */
static void test_bytes_hidden(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    hi_cost plain = prefill(&s, p, 100 * K), c;

    (void)state;
    set_panel(&s, p, 5, AT_HOST);
    c = prefill(&s, p, 100 * K);
    assert_int_equal(c.h2d_bytes - plain.h2d_bytes, (int64_t)6 * 100 * K * 4096 * 2);
    assert_int_equal(c.d2h_bytes - plain.d2h_bytes, (int64_t)6 * 100 * K * 4096 * 2);
    assert_int_equal(prefill(&s, p, 8 * K).h2d_bytes, 0);
    set_panel(&s, p, 5, AT_DEVICE);
    assert_int_equal(prefill(&s, p, 100 * K).h2d_bytes, plain.h2d_bytes);
    assert_int_equal(prefill(&s, p, 100 * K).d2h_bytes, plain.d2h_bytes);
    p->embed = AT_HOST;
    assert_int_equal(prefill(&s, p, 100 * K).h2d_bytes,
                     plain.h2d_bytes + (int64_t)100 * K * 4096 * 2);
    test_free(p);
}

/* ---- bytes of a token ---- */

static void test_bytes_decode(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 8 * K);
    int64_t layer = layer_weight_bytes(&s, (hi_format){ .elt = 2 });

    (void)state;
    assert_int_equal(decode(&s, p, 255).h2d_bytes, 0); /* all in the tail */
    assert_int_equal(decode(&s, p, M).h2d_bytes, (int64_t)131072 * M);
    assert_int_equal(decode(&s, p, M + 255).h2d_bytes, (int64_t)131072 * M);
    assert_int_equal(decode(&s, p, M + 256).h2d_bytes, (int64_t)131072 * (M + 256));
    assert_int_equal(decode(&s, p, M).d2h_bytes, 131072);
    set_residency(&s, p, 0, 64 * K);
    assert_int_equal(decode(&s, p, 64 * K).h2d_bytes, 0);
    assert_int_equal(decode(&s, p, M).h2d_bytes, (int64_t)131072 * (M - 64 * K));
    p->resident[DECODE][31] = M;
    assert_int_equal(decode(&s, p, M).h2d_bytes, (int64_t)31 * 4096 * (M - 64 * K));
    set_streamed(&s, p, 7, 3, false);
    p->embed = AT_HOST;
    assert_int_equal(decode(&s, p, 64 * K).h2d_bytes, 7 * layer + 8192);
    p->offload = false;
    assert_int_equal(decode(&s, p, M).h2d_bytes, 7 * layer + 8192);
    assert_int_equal(decode(&s, p, M).d2h_bytes, 0);
    test_free(p);
}

/* ---- what bounds ---- */

static void assert_bound(hi_cost c, hi_bound bound, double fraction)
{
    double of[] = { c.compute_s, c.link_s, c.dram_s, c.hbm_s };

    if (c.bound != bound)
        fail_msg("bound by %s, not by %s", bound_text(c.bound), bound_text(bound));
    assert_true(c.fraction >= fraction && c.fraction <= 1);
    for (int i = 0; i < 4; i++)
        assert_true(of[i] <= of[bound]);
    assert_near(c.fraction, of[bound] / c.seconds, 1e-12);
}

static void test_bounds(void **state)
{
    hi_spec s = llama3_8b(), large = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 8 * K);

    (void)state;
    p->band[0].group = 8;
    p->band[0].tile = 2 * K;
    assert_bound(prefill(&s, p, 100 * K), BOUND_COMPUTE, 0.99);
    assert_bound(prefill(&s, p, 4 * M), BOUND_COMPUTE, 0.99);
    assert_bound(prefill(&s, p, 16), BOUND_HBM, 0.9);
    assert_bound(decode(&s, p, M), BOUND_LINK, 0.99);
    set_residency(&s, p, 0, M);
    assert_bound(decode(&s, p, M), BOUND_HBM, 0.9);
    set_residency(&s, p, 0, 0);
    p->machine.dram = 12e9;
    assert_bound(decode(&s, p, M), BOUND_DRAM, 0.99);
    p->machine.step_s = 0.01;
    assert_bound(decode(&s, p, 0), BOUND_COMPUTE, 0.9);
    set_streamed(&large, p, 80, 4, false);
    set_panel(&large, p, 80, AT_NONE);
    p->machine = machine("rtx4090");
    p->chunk = p->mlp_rows = K;
    assert_bound(prefill(&large, p, 16 * K), BOUND_LINK, 0.99);
    test_free(p);
}

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(bound_text(BOUND_COMPUTE), "compute");
    assert_string_equal(bound_text(BOUND_LINK), "link");
    assert_string_equal(bound_text(BOUND_DRAM), "DRAM");
    assert_string_equal(bound_text(BOUND_HBM), "HBM");
}

/* The paper arithmetic's seconds: prompts by kernels of the mma.sync class, tokens by the link. */
static void test_expected_prefill(void **state)
{
    hi_spec s = llama3_8b(), large = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 10 * K);

    (void)state;
    p->mlp_rows = 5 * K;
    p->req.logits_all = false;
    assert_near(prefill(&s, p, 10 * K).seconds, 1.10, 0.04);
    assert_near(prefill(&s, p, 100 * K).seconds, 26, 0.03);
    assert_near(prefill(&s, p, MILLION).seconds, 1780, 0.02);
    assert_near(prefill(&s, p, 4 * MILLION).seconds, 27400, 0.02);
    set_panel(&s, p, 1, AT_HOST); /* in 2 to 4 GB */
    set_streamed(&s, p, 32, 2, true);
    assert_near(prefill(&s, p, MILLION).seconds, 1800, 0.03);
    p->machine = machine("h200");
    assert_near(prefill(&s, p, 100 * K).seconds, 9.2, 0.05);
    assert_near(prefill(&s, p, MILLION).seconds, 740, 0.03);
    p->machine = machine("rtx4090");
    set_panel(&large, p, 2, AT_HOST);
    set_streamed(&large, p, 80, 3, true);
    assert_near(prefill(&large, p, MILLION).seconds, 9700, 0.03);
    test_free(p);
}

static void test_expected_decode(void **state)
{
    hi_spec s = llama3_8b(), large = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 8 * K);

    (void)state;
    assert_near(decode(&s, p, M).seconds, 131072.0 * M / 25e9, 0.01);
    set_residency(&s, p, 0, 64 * K);
    p->band[0].group = 8;
    p->band[0].tile = 2 * K;
    assert_near(decode(&s, p, 40 * K).seconds, (15.01e9 + 131072.0 * 40 * K) / 907e9, 0.1);
    assert_near(decode(&s, p, 100 * K).seconds, 131072.0 * 36 * K / 25e9, 0.01);
    set_streamed(&large, p, 80, 4, false);
    assert_near(decode(&large, p, 0).seconds, 137e9 / 25e9, 0.01);
    test_free(p);
}

/* ---- the link ---- */

/* Two directions: the shorter copy runs at 'both' of its speed, the longer one then alone. */
static void test_both(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    double in, out;
    hi_cost c;

    (void)state;
    for (int i = 1; i <= 10; i++) {
        p->machine.both = i / 10.0;
        c = prefill(&s, p, 24 * K); /* 24 K rows in, 24 K out */
        in = (double)c.h2d_bytes / p->machine.h2d;
        out = (double)c.d2h_bytes / p->machine.d2h;
        assert_near(in, out, 1e-9);
        assert_near(c.link_s, i < 5 ? 2 * in : in / p->machine.both, 1e-9);
    }
    p->machine.both = 0.5;
    c = prefill(&s, p, 8 * K); /* out alone */
    assert_near(c.link_s, 131072.0 * 8 * K / 25e9, 1e-9);
    test_free(p);
}

/* While a layer's products run the link fills the slots and no more: few small ones hide nothing of
   them, large ones all. */
static void test_slots_run_ahead(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    double link, products, few, many;

    (void)state;
    p->machine.step_s = 0;
    p->slots = 2;
    p->band[0].tile = 256;
    few = decode(&s, p, 64 * K).seconds;
    link = decode(&s, p, 64 * K).link_s;
    products = decode(&s, p, 0).seconds; /* weights are read, nothing crosses but a row */
    assert_near(few - link, products, 0.03);
    p->slots = 4;
    p->band[0].group = 8;
    p->band[0].tile = 16 * K;
    many = decode(&s, p, 64 * K).seconds;
    assert_near(many, link + 1.05e9 / p->machine.read, 0.01); /* the scores' weights */
    test_free(p);
}

/* Copies run in order: behind a layer's weights its tiles wait. A third slot has the link bring
   weights while it would wait for compute. */
static void test_weights_hold_up_tiles(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    double two, three, products;

    (void)state;
    p->machine.step_s = 0;
    p->slots = 2;
    p->band[0].tile = 256;
    set_streamed(&s, p, 32, 2, false);
    two = decode(&s, p, 64 * K).seconds;
    p->weight_slots = 3;
    three = decode(&s, p, 64 * K).seconds;
    products = 32 * (double)layer_weight_bytes(&s, (hi_format){ .elt = 2 }) / p->machine.read;
    assert_near(three, decode(&s, p, 64 * K).link_s, 0.01);
    assert_true(two > three && two - three < products);
    test_free(p);
}

/* Weights of the next panel cross during this one: 'free' slots' worth unseen. */
static void test_hold_hides(void **state)
{
    hi_spec s = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", M, 8 * K);
    double wait = (double)layer_weight_bytes(&s, (hi_format){ .elt = 2 }) / p->machine.h2d, plain, held;

    (void)state;
    p->offload = false;
    set_panel(&s, p, 2, AT_DEVICE);
    plain = prefill(&s, p, 64 * K).seconds;
    set_streamed(&s, p, 80, 4, true);
    held = prefill(&s, p, 64 * K).seconds;
    assert_near(held - plain, wait, 1e-6); /* only the first layer's are waited for */
    set_streamed(&s, p, 80, 2, true);      /* no slot is free: during the first pass of each */
    assert_true(prefill(&s, p, 64 * K).seconds >= held);
    p->chunk = p->mlp_rows = K;
    assert_true(prefill(&s, p, 64 * K).seconds > held + 30 * wait);
    test_free(p);
}

/* On a shared machine copies take cores from compute, and memory from reads. */
static void test_shared(void **state)
{
    hi_spec s = llama3_8b();
    hi_plan *p = plan(&s, "cpu", M, 8 * K);
    hi_machine *m = &p->machine;
    double bytes, device;
    hi_cost c;

    (void)state;
    m->dram = 1e15;
    m->h2d = m->d2h = 1e15;
    p->offload = false;
    device = decode(&s, p, 64 * K).seconds;
    p->offload = true;
    m->attend_read = m->read;
    m->step_s = 0; /* tiles cost steps: out of the comparison */
    p->offload = false;
    device = decode(&s, p, 64 * K).seconds;
    p->offload = true;
    c = decode(&s, p, 64 * K);
    bytes = (double)(c.h2d_bytes + c.d2h_bytes);
    assert_near(c.seconds, device + bytes / m->copy / m->cores, 1e-9);
    m->dram = 1e9;
    c = decode(&s, p, 64 * K);
    assert_int_equal(c.bound, BOUND_DRAM);
    assert_near(c.seconds, (2 * bytes + c.hbm_s * m->read) / 1e9, 1e-9);
    m->shared = false;
    assert_near(decode(&s, p, 64 * K).dram_s, bytes / 1e9, 1e-9);
    test_free(p);
}

/* ---- against the sum over every pass and layer ---- */

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double link_of(const hi_machine *m, double in, double out, double lost)
{
    double a = in / m->h2d, b = out / m->d2h;

    return larger(a, b) + (a < b ? a : b) * lost;
}

static double dram_of(const hi_machine *m, double copied, double read)
{
    return (m->shared ? 2 * copied + read : copied) / m->dram;
}

typedef struct slow {
    const hi_spec *s;
    const hi_plan *p;
    hi_phase phase;
    int64_t chunks, chunk; /* of the prompt; the pass's number */
    int64_t pos, rows;
    double copies;                       /* of weights during the pass, for each of its layers */
    double device, in, out, read, stall; /* of the pass */
    double compute;                      /* of all */
    double all_in, all_out, all_read, seconds; /* of the panel */
} slow;

static void slow_steps(slow *w, double steps)
{
    w->device += steps * w->p->machine.step_s;
    w->compute += steps * w->p->machine.step_s;
}

static void slow_product(slow *w, double rows, double params)
{
    double bytes = params * w->p->elt;

    w->device += larger(2 * rows * params / w->p->machine.matmul, bytes / w->p->machine.read);
    w->compute += 2 * rows * params / w->p->machine.matmul;
    w->read += bytes;
}

static double row_bytes(const slow *w)
{
    return 2.0 * w->s->kv_heads * w->s->head_dim * w->p->elt;
}

static double attend_seconds(const slow *w, double keys, double seen)
{
    const hi_machine *m = &w->p->machine;
    double attend = 4 * keys * w->s->heads * w->s->head_dim / m->attend;

    return larger(attend, seen * row_bytes(w) / m->attend_read);
}

static void slow_attend(slow *w, double keys, double seen)
{
    w->device += attend_seconds(w, keys, seen);
    w->compute += 4 * keys * w->s->heads * w->s->head_dim / w->p->machine.attend;
    w->read += seen * row_bytes(w);
}

/* Rows between products, where they are passes over memory of their own. */
static void slow_between(slow *w)
{
    const hi_spec *s = w->s;
    double q = s->heads * s->head_dim, k = s->kv_heads * s->head_dim;
    double norms = 4 * s->hidden, activation = 3 * s->ffn, rotation = 2 * (q + k), append = 4 * k;
    double bytes = (norms + activation + rotation + append + q) * w->p->elt + 2 * q * 4;

    if (!w->p->machine.shared)
        return;
    w->device += (double)w->rows * bytes / w->p->machine.read;
    w->read += (double)w->rows * bytes;
}

static const hi_band *slow_band(const slow *w)
{
    int b = 0;

    while (w->pos / 256 * 256 > w->p->band[b].upto)
        b++;
    return &w->p->band[b];
}

/* How long a layer waits for its tiles, behind so many seconds of weights, where the link filled
   slots for 'idle' seconds before it. */
static double slow_wait(const slow *w, int l, double queries, double before, double attention,
                        double idle, double weights)
{
    const hi_machine *m = &w->p->machine;
    const hi_band *b = slow_band(w);
    double rows = (double)(w->pos / 256 * 256 - w->p->resident[w->phase][l]);
    double slots =
        (double)w->p->slots * b->group * (double)b->tile / w->s->kv_heads * row_bytes(w) / m->h2d;
    int groups = w->s->kv_heads / b->group;
    double tiles = attend_seconds(w, queries * rows, rows), link = rows * row_bytes(w) / m->h2d;
    double other = larger(attention - tiles, 0) / groups + 4 * m->step_s, wait;

    if (!w->p->offload || rows <= 0 || link <= slots)
        return 0;
    wait = link - tiles - groups * ceil(rows / (double)b->tile) * 3 * m->step_s;
    before += other;
    idle += larger(before - weights, 0);
    wait -= idle < slots ? idle : slots;
    for (int g = 1; g < groups; g++)
        wait -= other < slots ? other : slots;
    return larger(weights - before, 0) + larger(wait, 0);
}

/* A layer that took so long without attention; some are behind the copy of another's weights. */
static void slow_stall(slow *w, int l, double took, double attention)
{
    double h = w->s->hidden, d = w->s->head_dim, q = h * d * w->s->heads;
    double kv = 2 * h * d * w->s->kv_heads, mlp = 3 * h * w->s->ffn;
    double before = took * (q + kv) / (2 * q + kv + mlp), behind = took - before;
    double weights = (double)layer_weight_bytes(w->s, plan_format(w->p)) / w->p->machine.h2d;
    double early = w->p->weight_slots < 3 ? 0 : behind < weights ? behind : weights;
    double rows = (double)w->rows;

    w->stall += (1 - w->copies) * slow_wait(w, l, rows, before, attention, behind, 0);
    w->stall +=
        w->copies * slow_wait(w, l, rows, before, attention, behind - early, weights - early);
}

static void slow_tiles(slow *w, int l)
{
    int64_t complete = w->pos / 256 * 256, rows = complete - w->p->resident[w->phase][l];
    double steps = 4;
    const hi_band *b = slow_band(w);

    if (w->p->offload && rows > 0) {
        int64_t tile = b->tile;
        steps += 3 * (double)((rows + tile - 1) / tile);
        w->in += (double)rows * row_bytes(w);
    }
    slow_steps(w, steps * (w->s->kv_heads / b->group));
}

static void slow_mlp(slow *w)
{
    int64_t pieces = (w->rows + w->p->mlp_rows - 1) / w->p->mlp_rows;

    for (int64_t i = 0; i < pieces; i++)
        slow_product(w, (double)w->rows / (double)pieces, 3.0 * w->s->hidden * w->s->ffn);
    slow_steps(w, (double)(pieces - 1));
}

static void slow_layer(slow *w, int l)
{
    double h = w->s->hidden, d = w->s->head_dim, rows = (double)w->rows, pos = (double)w->pos;
    double kv = 2 * h * d * w->s->kv_heads, qo = 2 * h * d * w->s->heads;
    double mlp = 3 * h * w->s->ffn;

    if (w->p->offload)
        w->out += rows * 2 * w->s->kv_heads * d * w->p->elt;
    if (w->p->req.logits_all || l < w->s->layers - 1 || w->phase == DECODE) {
        double keys = rows * pos + rows * (rows + 1) / 2, began = w->device;
        slow_product(w, rows, kv + qo);
        slow_mlp(w);
        slow_between(w);
        slow_steps(w, 6);
        slow_stall(w, l, w->device - began, attend_seconds(w, keys, pos + rows));
        slow_attend(w, keys, pos + rows);
        slow_tiles(w, l);
        return;
    }
    double began = w->device, before;
    slow_product(w, rows, kv);
    before = w->device - began;
    if (w->chunk == w->chunks - 1) {
        slow_product(w, 1, qo + mlp);
        w->device += slow_wait(w, l, 1, before, attend_seconds(w, pos + rows, pos + rows),
                               w->device - began - before, 0);
        slow_attend(w, pos + rows, pos + rows);
        slow_tiles(w, l);
    }
    slow_steps(w, w->chunk == w->chunks - 1 ? 6 : 4);
}

/* Bytes besides tiles and weights; scores. */
static void slow_edges(slow *w, int first, int end)
{
    double token = (double)w->rows * w->s->hidden * w->p->elt;
    bool moves = w->p->hidden == AT_HOST && w->chunks > 1, all = w->p->req.logits_all;

    if (first > 0 && moves)
        w->in += token;
    if (first == 0 && w->p->embed == AT_HOST)
        w->in += token;
    if (end < w->s->layers && moves)
        w->out += token;
    if (end == w->s->layers && (all || w->chunk == w->chunks - 1))
        slow_product(w, all ? (double)w->rows : 1, (double)w->s->hidden * w->s->vocab);
    slow_steps(w, 4);
}

static void slow_pass(slow *w, int first, int end, double weights)
{
    const hi_machine *m = &w->p->machine;
    w->device = w->out = w->read = w->stall = 0;
    w->in = weights;
    w->copies = weights / (double)layer_weight_bytes(w->s, plan_format(w->p)) / (end - first);
    for (int l = first; l < end; l++)
        slow_layer(w, l);
    slow_edges(w, first, end);
    w->device += w->stall;
    if (m->shared)
        w->device += larger(0, (w->in + w->out) / m->copy - w->stall) / m->cores;
    w->seconds += larger(larger(w->device, link_of(m, w->in, w->out, 1 / m->both - 1)),
                         dram_of(m, w->in + w->out, w->read));
    w->all_in += w->in;
    w->all_out += w->out;
    w->all_read += w->read;
}

static int slow_streamed(const hi_plan *p, int layers, int first, int end)
{
    int n = 0;

    for (int l = first; l < end && l < layers; l++)
        n += p->streamed[l];
    return n;
}

/* Seconds of a prompt, with no short cut; and what compute alone takes. */
static double slow_prefill(const hi_spec *s, const hi_plan *p, int64_t n, double *compute)
{
    slow w = { .s = s, .p = p, .chunks = (n + p->chunk - 1) / p->chunk };
    const hi_machine *m = &p->machine;
    double layer = (double)layer_weight_bytes(s, plan_format(p)), seconds = 0;
    int ready = slow_streamed(p, s->layers, 0, p->panel) > 0;

    if (ready)
        seconds += larger(layer / m->h2d, dram_of(m, layer, 0));
    for (int first = 0; first < s->layers; first += p->panel) {
        int end = first + p->panel < s->layers ? first + p->panel : s->layers;
        int own = slow_streamed(p, s->layers, first, end);
        int next = slow_streamed(p, s->layers, end, end + p->panel);
        int ahead = !p->hold ? 0 : p->weight_slots - own < next ? p->weight_slots - own : next;
        w.seconds = w.all_in = w.all_out = w.all_read = 0;
        for (w.chunk = 0; w.chunk < w.chunks; w.chunk++) {
            int cross = w.chunk == 0 ? own - ready : p->hold ? 0 : own;
            w.pos = w.chunk * p->chunk;
            w.rows = n - w.pos < p->chunk ? n - w.pos : p->chunk;
            slow_pass(&w, first, end, cross * layer);
        }
        if (m->shared)
            w.seconds += ahead * layer / m->copy / m->cores;
        w.all_in += ahead * layer;
        w.seconds =
            larger(w.seconds, link_of(m, w.all_in, w.all_out, m->both < 0.5 ? 1 : 1 / m->both - 1));
        seconds += larger(w.seconds, dram_of(m, w.all_in + w.all_out, w.all_read));
        ready = ahead;
    }
    *compute = w.compute;
    return seconds;
}

static double slow_decode(const hi_spec *s, const hi_plan *p, int64_t n)
{
    slow w = { .s = s, .p = p, .chunks = 1, .pos = n, .rows = 1, .phase = DECODE };
    double layer = (double)layer_weight_bytes(s, plan_format(p));

    slow_pass(&w, 0, s->layers, slow_streamed(p, s->layers, 0, s->layers) * layer);
    return w.seconds + 10 * p->machine.step_s;
}

static uint32_t seed;

static int64_t below(int64_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (int64_t)(seed >> 8) % n;
}

static void random_residency(const hi_spec *s, hi_plan *p)
{
    int64_t tile = p->band[p->n_bands - 1].tile, some = below(3) * 40 / (1 + tile / 4096);
    int from = (int)below(s->layers);

    for (int l = 0; l < s->layers; l++) {
        p->resident[PREFILL][l] = tile * (some + (l >= from));
        p->resident[DECODE][l] = tile * (2 * some + (l >= from) + below(2));
    }
}

static void random_bands(hi_plan *p, int kv_heads)
{
    int64_t tile = 256 << below(7);

    p->n_bands = 1 + (int)below(MAX_BANDS);
    for (int b = p->n_bands - 1, group = 1; b >= 0; b--, group *= 2) {
        int64_t wide = group <= kv_heads ? group : kv_heads;
        p->band[b].group = (int)wide;
        p->band[b].tile = round_up(tile * p->band[p->n_bands - 1].group / wide, 256);
        p->band[b].upto = b == p->n_bands - 1 ? p->ctx : BAND_TILES * p->band[b].tile;
    }
}

static void random_weights(const hi_spec *s, hi_plan *p)
{
    int streamed = below(2) ? 0 : 1 + (int)below(s->layers), panel = 1 + (int)below(s->layers);

    p->hold = streamed > 0 && below(2);
    if (p->hold && panel > 60)
        panel = 60;
    set_panel(s, p, streamed > 0 && !p->hold ? s->layers : panel, below(2) ? AT_HOST : AT_DEVICE);
    set_streamed(s, p, streamed, p->hold ? p->panel + (int)below(4) : 2 + (int)below(4), p->hold);
}

static hi_plan *random_plan(const hi_spec *s)
{
    static const char *const ON[] = { "rtx3060-12g", "rtx4090", "h200", "cpu" };
    int64_t chunk = 128 * (1 + below(below(2) ? 4 : 128));
    hi_plan *p = plan(s, ON[below(4)], 4 * M, chunk);

    p->mlp_rows = round_up(1 + below(chunk), 128);
    p->offload = below(4) > 0;
    p->embed = below(2) ? AT_HOST : AT_DEVICE;
    p->req.logits_all = below(3) == 0;
    p->machine.both = (double)(1 + below(10)) / 10;
    if (below(3) == 0)
        p->machine.h2d /= (double)(1 + below(8));
    if (below(3) == 0)
        p->machine.dram /= (double)(1 + below(8));
    random_bands(p, s->kv_heads);
    random_residency(s, p);
    random_weights(s, p);
    return p;
}

static hi_spec random_spec(void)
{
    hi_spec s = below(2) ? llama3_8b() : llama3_70b();

    if (below(4) > 0)
        return s;
    s.layers = 1 + (int)below(6); /* a toy: its time is that of its steps */
    s.hidden = 128;
    s.heads = 8;
    s.kv_heads = 4;
    s.head_dim = 16;
    s.ffn = 256;
    s.vocab = 512;
    return s;
}

static void test_exact_sum(void **state)
{
    double worst = 0;

    (void)state;
    for (int i = 0; i < 400; i++) {
        hi_spec s;
        hi_plan *p;
        seed = (uint32_t)i;
        s = random_spec();
        p = random_plan(&s);
        for (int k = 0; k < 3; k++) {
            int64_t n = 1 + below(k == 0 ? 4 * p->chunk : k == 1 ? 64 * p->chunk : 512 * p->chunk);
            double exact, compute;
            hi_cost got;
            n = n < p->ctx ? n : p->ctx;
            exact = slow_prefill(&s, p, n, &compute);
            got = prefill(&s, p, n);
            worst = larger(worst, fabs(got.seconds / exact - 1));
            if (fabs(got.seconds / exact - 1) >= 0.01)
                fail_msg("seed %d, %lld tokens: %g, exactly %g", i, (long long)n, got.seconds,
                         exact);
            assert_near(got.compute_s, compute, 0.01);
            assert_true(got.fraction > 0 && got.fraction <= 1);
        }
        test_free(p);
    }
    print_message("largest error %.3f %%\n", 100 * worst);
}

/* Few passes are not sampled at all, and a token is one. */
static void test_exact_few(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        hi_spec s;
        hi_plan *p;
        int64_t n;
        double exact, compute;
        seed = 1000 + (uint32_t)i;
        s = random_spec();
        p = random_plan(&s);
        n = 1 + below(8 * p->chunk);
        exact = slow_prefill(&s, p, n, &compute);
        assert_near(prefill(&s, p, n).seconds, exact, 1e-9);
        assert_near(prefill(&s, p, n).compute_s, compute, 1e-9);
        n = below(p->ctx);
        assert_near(decode(&s, p, n).seconds, slow_decode(&s, p, n), 1e-9);
        test_free(p);
    }
}

/* ---- what physics says ---- */

static void assert_not_slower(double x, double than, const char *what, int i)
{
    if (x > than * (1 + 1e-12))
        fail_msg("%s, seed %d: %.12g above %.12g", what, i, x, than);
}

typedef struct both_costs {
    hi_cost prompt, token;
} both_costs;

static both_costs costs(const hi_spec *s, const hi_plan *p, int64_t n)
{
    return (both_costs){ prefill(s, p, n), decode(s, p, n) };
}

static void assert_better(const hi_spec *s, const hi_plan *p, int64_t n, both_costs than,
                          const char *what, int i)
{
    both_costs now = costs(s, p, n);

    assert_not_slower(now.prompt.seconds, than.prompt.seconds, what, i);
    assert_not_slower(now.token.seconds, than.token.seconds, what, i);
}

/* Each change in turn, kept for the next. */
static void test_better(void **state)
{
    (void)state;
    for (int i = 0; i < 400; i++) {
        hi_spec s;
        hi_plan *p;
        int64_t n;
        both_costs now;
        seed = 2000 + (uint32_t)i;
        s = random_spec();
        p = random_plan(&s);
        n = 1 + below(300 * p->chunk < p->ctx - 1 ? 300 * p->chunk : p->ctx - 1);
        now = costs(&s, p, n);
        for (int l = 0; l < s.layers; l++) {
            p->resident[PREFILL][l] += below(2) * p->band[p->n_bands - 1].tile;
            p->resident[DECODE][l] += below(2) * p->band[p->n_bands - 1].tile;
        }
        assert_better(&s, p, n, now, "more residency", i);
        now = costs(&s, p, n);
        p->machine.h2d *= 1.5;
        assert_better(&s, p, n, now, "faster in", i);
        now = costs(&s, p, n);
        p->machine.d2h *= 1.5;
        assert_better(&s, p, n, now, "faster out", i);
        now = costs(&s, p, n);
        p->machine.both = 1;
        assert_better(&s, p, n, now, "more of both", i);
        now = costs(&s, p, n);
        p->machine.dram *= 2;
        p->machine.read *= 1.1;
        p->machine.matmul *= 1.2;
        assert_better(&s, p, n, now, "faster machine", i);
        now = costs(&s, p, n);
        memset(p->streamed, 0, sizeof p->streamed);
        assert_better(&s, p, n, now, "weights resident", i);
        now = costs(&s, p, n);
        p->offload = false;
        assert_better(&s, p, n, now, "nothing offloaded", i);
        test_free(p);
    }
}

static void test_more_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        hi_spec s;
        hi_plan *p;
        int64_t n = 1, step;
        both_costs before = { 0 };
        seed = 3000 + (uint32_t)i;
        s = random_spec();
        p = random_plan(&s);
        step = 1 + below(2 * p->chunk);
        for (int k = 0; k < 100 && n < p->ctx; k++, n += step) {
            both_costs now = costs(&s, p, n);
            assert_not_slower(before.prompt.seconds, now.prompt.seconds, "fewer tokens", i);
            assert_true(before.prompt.h2d_bytes <= now.prompt.h2d_bytes);
            assert_true(before.prompt.d2h_bytes <= now.prompt.d2h_bytes);
            assert_true(before.prompt.flops < now.prompt.flops);
            before = now;
        }
        test_free(p);
    }
}

/* A candidate's price does not grow with its prompt: passes and layers are not walked. */
static void test_quick(void **state)
{
    hi_spec s = llama3_70b();
    hi_plan *p = plan(&s, "rtx4090", 4 * M, 128);
    clock_t start;
    double seconds = 0;

    (void)state;
    set_residency(&s, p, 64 * K, 64 * K);
    start = clock();
    for (int i = 0; i < 300; i++)
        seconds += prefill(&s, p, 4 * M - i).seconds;
    assert_true(seconds > 0);
    assert_true(clock() - start < CLOCKS_PER_SEC / 2); /* a walk takes a minute */
    test_free(p);
}

/* Counts at the end of their range stay whole numbers. */
static void test_largest(void **state)
{
    hi_spec s = llama3_70b();
    hi_plan *p;
    hi_cost c;

    (void)state;
    s.layers = MAX_LAYERS;
    s.kv_heads = 1024;
    p = plan(&s, "cpu", (int64_t)1 << 30, 128);
    c = prefill(&s, p, p->ctx);
    assert_int_equal(c.h2d_bytes, (int64_t)1 << 62);
    assert_true(isfinite(c.seconds) && c.d2h_bytes > 0);
    test_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flops),
        cmocka_unit_test(test_flops_cut),
        cmocka_unit_test(test_flops_of_costs),
        cmocka_unit_test(test_bytes_chunks),
        cmocka_unit_test(test_bytes_cut),
        cmocka_unit_test(test_bytes_resident),
        cmocka_unit_test(test_bytes_half_splits),
        cmocka_unit_test(test_bytes_weights),
        cmocka_unit_test(test_bytes_hidden),
        cmocka_unit_test(test_bytes_decode),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_expected_prefill),
        cmocka_unit_test(test_expected_decode),
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_slots_run_ahead),
        cmocka_unit_test(test_weights_hold_up_tiles),
        cmocka_unit_test(test_hold_hides),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_exact_sum),
        cmocka_unit_test(test_exact_few),
        cmocka_unit_test(test_better),
        cmocka_unit_test(test_more_tokens),
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_largest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
