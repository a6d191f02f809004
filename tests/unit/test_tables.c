/*
** test_tables.c - HeadInfer's tables (arXiv 2502.12574), on paper: an RTX 4090 with 1 TB of host memory.
**
** The policies are the real planner under forced decisions. Where a figure is more than 15%
** from the paper's, the comment beside it says why.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cost.h"

static const int64_t GIB = (int64_t)1 << 30, K = 1024, M = 1 << 20;

static hi_machine rtx4090;

static int load(void **state)
{
    hi_error e = { "" };

    (void)state;
    if (machine_load("specs/machine/rtx4090.lua", NULL, &rtx4090, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

/* ---- the models, in numbers ---- */

static hi_spec model(const char *name, int layers, int hidden, int heads, int kv_heads, int head_dim, int ffn,
                     int vocab, bool qkv_bias, bool tied)
{
    hi_spec s = { .layers = layers, .hidden = hidden, .heads = heads, .kv_heads = kv_heads, .head_dim = head_dim,
                  .ffn = ffn, .vocab = vocab, .qkv_bias = qkv_bias, .tied = tied, .ctx = 8192,
                  .part = { PART_NORM_QKV, PART_ATTEND, PART_OUT_MLP }, .n_parts = 3 };
    snprintf(s.name, sizeof s.name, "%s", name);
    snprintf(s.path, sizeof s.path, "%s", name);
    return s;
}

static hi_spec llama3_8b(void)
{
    return model("llama3_8b", 32, 4096, 32, 8, 128, 14336, 128256, false, false);
}

static hi_spec llama3_70b(void)
{
    return model("llama3_70b", 80, 8192, 64, 8, 128, 28672, 128256, false, false);
}

enum { MODELS = 5 };

static void all_models(hi_spec *s)
{
    s[0] = llama3_8b();
    s[1] = model("llama2_7b", 32, 4096, 32, 32, 128, 11008, 32000, false, false);
    s[2] = model("mistral_7b", 32, 4096, 32, 8, 128, 14336, 32000, false, false);
    s[3] = model("qwen2_7b", 28, 3584, 28, 4, 128, 18944, 152064, true, false);
    s[4] = model("gemma2_9b", 42, 3584, 16, 8, 256, 14336, 256000, false, true);
}

static hi_request request(int64_t vram, int64_t ctx, hi_policy policy)
{
    return (hi_request){ .vram_bytes = vram, .ram_bytes = -1, .ctx = ctx, .resident = -1, .weights = -1,
                         .policy = policy };
}

static hi_plan *plan(hi_arena *a, const hi_spec *s, hi_request q)
{
    hi_error e = { "" };
    hi_plan *p = plan_make(a, s, &q, &rtx4090, NULL, &e);

    if (p == NULL || plan_check(s, p, &e) != 0)
        fail_msg("%s: %s", s->name, e.text);
    return p;
}

static double prefill_seconds(const hi_spec *s, const hi_plan *p, int64_t n)
{
    hi_cost c;
    cost_prefill(s, p, n, &c);
    return c.seconds;
}

/* ---- the largest contexts within 24 GB ---- */

typedef enum {
    NEAR,        /* within 15% of the paper's */
    TOO_LARGE,   /* ours is larger: what the paper's program keeps and ours does not; see LARGEST */
    BEYOND       /* 'auto': streams tiles, not whole heads: the host's memory alone ends it */
} reason;

/*
** Thousands (1024) of tokens, the paper's and ours. What makes ours larger:
** - standard: the paper's library computes scores of all tokens (Llama-3: 256 KiB a token in bf16, as much
**   as all its activations), ours of the last one;
** - chunked: the library's cache is concatenated anew for every chunk, so that a layer's old and new copy
**   stand side by side, and its memory is fragmented: the paper's own arithmetic (table 11) has 19.5 of 24 GB
**   in use at 30K. Qwen2-7B, whose KV is smallest, loses most by that;
** - layer: activations of the whole prompt at once bound it in both, with the scores of all tokens in the paper's;
** - head: whole heads in two slots; the paper's program has up to four alive (evicted, old, concatenated,
**   prefetched). Llama-2-7B ends at the host's 1 TB here (512 KiB of KV a token), at half of it there.
*/
static const struct {
    hi_policy policy;
    double paper[MODELS], ours[MODELS];
    reason why[MODELS];
} LARGEST[] = {
    { POLICY_STANDARD, { 25, 10, 30, 35, 10 }, { 37, 17.5, 43.75, 55, 13.5 },
      { TOO_LARGE, TOO_LARGE, TOO_LARGE, TOO_LARGE, TOO_LARGE } },
    { POLICY_CHUNKED, { 30, 20, 40, 70, 10 }, { 56.75, 19, 68.5, 141.75, 14.5 },
      { TOO_LARGE, NEAR, TOO_LARGE, TOO_LARGE, TOO_LARGE } },
    { POLICY_LAYER, { 45, 60, 45, 50, 35 }, { 67.5, 67, 80, 72, 42.5 },
      { TOO_LARGE, NEAR, TOO_LARGE, TOO_LARGE, TOO_LARGE } },
    { POLICY_HEAD, { 4096, 1024, 4096, 4200, 1300 }, { 7184.50, 2048, 8192, 7896.50, 2352 },
      { TOO_LARGE, TOO_LARGE, TOO_LARGE, TOO_LARGE, TOO_LARGE } },
    { POLICY_AUTO, { 4096, 1024, 4096, 4200, 1300 }, { 8192, 2048, 8192, 18724.5, 3120.75 },
      { BEYOND, BEYOND, BEYOND, BEYOND, BEYOND } },
};

static void test_largest_contexts(void **state)
{
    static const char *const NAME[] = { "auto", "standard", "chunked", "layer", "head" };
    hi_spec s[MODELS];

    (void)state;
    all_models(s);
    for (size_t i = 0; i < sizeof LARGEST / sizeof *LARGEST; i++)
        for (int m = 0; m < MODELS; m++) {
            hi_request q = request(24 * GIB, 0, LARGEST[i].policy);
            double ours = (double)plan_longest(&s[m], &q, &rtx4090) / K, paper = LARGEST[i].paper[m];
            print_message("%-8s %-10s %9.2fK, the paper's %4.0fK\n", NAME[LARGEST[i].policy], s[m].name, ours, paper);
            if (ours < 0.99 * LARGEST[i].ours[m] || ours > 1.01 * LARGEST[i].ours[m])
                fail_msg("%s of %s: %.2fK, stated %.2fK", NAME[LARGEST[i].policy], s[m].name, ours,
                         LARGEST[i].ours[m]);
            bool near = ours / paper > 0.85 && ours / paper < 1.15;
            assert_true(near == (LARGEST[i].why[m] == NEAR));
            assert_true(near || ours > paper);
        }
}

/* As far as HeadInfer's figure with no more host memory than the cache takes there. */
static void test_auto_reaches_headinfer(void **state)
{
    static const int64_t REACHED[MODELS] = { 4096, 1024, 4096, 4200, 1300 };
    hi_spec s[MODELS];

    (void)state;
    all_models(s);
    for (int m = 0; m < MODELS; m++) {
        hi_arena *a = arena_new();
        hi_request q = request(24 * GIB, REACHED[m] * K, POLICY_AUTO);
        q.ram_bytes = q.ctx * kv_token_bytes(&s[m], 2);
        hi_plan *p = plan(a, &s[m], q);
        assert_true(p->host_bytes <= q.ram_bytes);
        assert_true(p->arena_bytes + p->reserve_bytes <= 24 * GIB);
        arena_free(a);
    }
}

/* 4-bit KV is not built: the paper's row as arithmetic, weights + KV at 4.5 bits + the standard's
   activations of 64 KiB a token. */
static void test_four_bit_kv_on_paper(void **state)
{
    hi_spec s = llama3_8b();
    double token = (double)kv_token_bytes(&s, 2) * 4.5 / 16 + 64 * 1024;
    double fit = (24e9 - (double)weight_bytes(&s, (hi_format){ .elt = 2 })) / token / K;

    (void)state;
    print_message("4-bit KV (not built): %.0fK, the paper's 45K\n", fit);
    assert_true(fit > 45 * 0.85);    /* larger: the paper's library holds a full-precision copy of a layer */
}

/* ---- memory at 1M tokens, and of what fits 24 GB: the paper's tables 10 and 11 ---- */

static double gib(int64_t bytes)
{
    return (double)bytes / (double)GIB;
}

/* Keys and values that the device holds in prefill. */
static double device_kv(const hi_plan *p)
{
    return gib(p->buf[PREFILL][BUF_kept].bytes + p->buf[PREFILL][BUF_slots].bytes);
}

static void within(double is, double should, double share, const char *what)
{
    if (is < should * (1 - share) || is > should * (1 + share))
        fail_msg("%s: %.3f GiB, the paper has %.3f", what, is, should);
}

static void check_memory(hi_policy policy, int64_t ctx, double kv, double all_kv, const char *what)
{
    hi_spec s = llama3_8b();
    hi_arena *a = arena_new();
    hi_request q = request(-1, ctx, policy);

    if (policy == POLICY_HEAD)
        q.bands = 1;                 /* the paper's row is of one head at a time */
    hi_plan *p = plan(a, &s, q);
    within(gib(p->buf[PREFILL][BUF_weights].bytes), 15.08, 0.05, what);
    within(device_kv(p), kv, 0.05, what);
    within(gib(p->offload ? p->host[HOST_kv].bytes : p->buf[PREFILL][BUF_kept].bytes), all_kv, 0.05, what);
    arena_free(a);
}

static void test_memory_tables(void **state)
{
    (void)state;
    check_memory(POLICY_STANDARD, 1 * M, 128, 128, "standard, 1M");
    check_memory(POLICY_CHUNKED, 1 * M, 128, 128, "chunked, 1M");
    check_memory(POLICY_LAYER, 1 * M, 8, 128, "layer, 1M");
    check_memory(POLICY_HEAD, 1 * M, 1, 128, "head, 1M");
    check_memory(POLICY_STANDARD, 25 * K, 25.0 / 8, 25.0 / 8, "standard, 25K");
    check_memory(POLICY_CHUNKED, 30 * K, 30.0 / 8, 30.0 / 8, "chunked, 30K");
    check_memory(POLICY_LAYER, 45 * K, 45.0 / 8 / 16, 45.0 / 8, "layer, 45K");
    check_memory(POLICY_HEAD, 4000 * K, 4000.0 / 8 / 128, 500, "head, 4000K");
}

/* ---- small cards, large models ---- */

static void check_small_card(int64_t ctx)
{
    hi_spec s = llama3_8b();
    hi_arena *a = arena_new();
    hi_plan *small = plan(a, &s, request(4 * GIB, ctx, POLICY_AUTO));       /* driver included */
    hi_plan *large = plan(a, &s, request(24 * GIB, ctx, POLICY_AUTO));
    double is = prefill_seconds(&s, small, ctx), best = prefill_seconds(&s, large, ctx);

    print_message("Llama-3-8B, %lldK tokens: prefill %.0f s in %.2f GiB, %.0f s in 24 GB\n", (long long)(ctx / K), is,
                  gib(small->arena_bytes), best);
    assert_true(small->arena_bytes + small->reserve_bytes <= 4 * GIB);
    assert_true(is <= 1.05 * best);
    arena_free(a);
}

static void test_8b_in_4_gb(void **state)
{
    (void)state;
    check_small_card(1 * M);
    check_small_card(4 * M);
}

static void test_70b_in_24_gb(void **state)
{
    hi_spec s = llama3_70b();
    hi_arena *a = arena_new();
    struct timespec from, to;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &from);
    hi_plan *p = plan(a, &s, request(24 * GIB, 1 * M, POLICY_AUTO));
    clock_gettime(CLOCK_MONOTONIC, &to);
    double bound = prefill_flops(&s, 1 * M, true) / rtx4090.attend, is = prefill_seconds(&s, p, 1 * M);
    print_message("Llama-3-70B, 1M tokens in 24 GB: prefill %.0f s, compute bound %.0f s; planned and checked in "
                  "%.1f ms\n", is, bound, 1e3 * (double)(to.tv_sec - from.tv_sec) + 1e-6 * (double)(to.tv_nsec - from.tv_nsec));
    assert_true(p->arena_bytes + p->reserve_bytes <= 24 * GIB);
    assert_true(is <= 1.1 * bound);
    arena_free(a);
}

/* ---- short contexts ---- */

static void test_what_fits_moves_nothing(void **state)
{
    hi_spec s = llama3_8b();
    hi_arena *a = arena_new();
    hi_cost c;

    (void)state;
    hi_plan *p = plan(a, &s, request(24 * GIB, 40 * K, POLICY_AUTO));
    assert_int_equal(p->host_bytes, 0);
    cost_prefill(&s, p, 40 * K, &c);
    assert_int_equal(c.h2d_bytes + c.d2h_bytes, 0);
    cost_decode(&s, p, 40 * K - 1, &c);
    assert_int_equal(c.h2d_bytes + c.d2h_bytes, 0);
    arena_free(a);
}

static void test_long_plan_at_short_length_reads_nothing(void **state)
{
    static const int64_t CTX[] = { 1, 4 };
    hi_spec s = llama3_8b();

    (void)state;
    for (int i = 0; i < 2; i++) {
        hi_arena *a = arena_new();
        hi_plan *p = plan(a, &s, request(24 * GIB, CTX[i] * M, POLICY_AUTO));
        for (int64_t n = 1; n <= 16 * K; n *= 4) {
            hi_cost c;
            cost_prefill(&s, p, n, &c);
            assert_int_equal(c.h2d_bytes, 0);
            cost_decode(&s, p, n, &c);
            assert_int_equal(c.h2d_bytes, 0);
        }
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_contexts),
        cmocka_unit_test(test_auto_reaches_headinfer),
        cmocka_unit_test(test_four_bit_kv_on_paper),
        cmocka_unit_test(test_memory_tables),
        cmocka_unit_test(test_8b_in_4_gb),
        cmocka_unit_test(test_70b_in_24_gb),
        cmocka_unit_test(test_what_fits_moves_nothing),
        cmocka_unit_test(test_long_plan_at_short_length_reads_nothing),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
