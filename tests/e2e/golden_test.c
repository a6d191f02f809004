/*
** golden_test.c - scores of an emitted plan against those of a reference we did not write.
**
**   golden_test FOLDER [round]    every instruction set of this machine within the tolerances
**   golden_test FOLDER refuses    bf16 plan, f32 checkpoint: not without round_weights
**
** FOLDER holds a checkpoint and golden.bin; tests/golden/hf/README.md has the format and where
** the tolerances come from. The plan gives the scores of all rows: some are compared whole, and
** of a version 2 file every row's best token, that token's score, mean and root mean square. Each
** run is made twice: prefill of the whole prompt, and prefill of all but the last 50 tokens, which
** are decoded; both must give the same bits, or, where the target has row classes, both be within.
*/
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "e2e.h"

enum { DECODED = 50, MAX_TOKENS = 4096, DIGEST = 3 };

/* Golden logits: at n_pos positions of a prompt of n_ids tokens, and in brief at all. */
typedef struct golden {
    uint32_t n_ids, n_pos, vocab;
    bool brief;                      /* version 2: best and digest are there */
    int32_t ids[MAX_TOKENS], pos[MAX_TOKENS];
    float *f32, *bf16;               /* (n_pos, vocab) each */
    int32_t best[MAX_TOKENS];        /* in float32 */
    float digest[MAX_TOKENS][DIGEST]; /* of a float32 row: the best token's score, mean, rms */
} golden;

typedef struct distance {
    double mean, max;                /* of absolute differences; infinite if one is not finite */
    double behind;                   /* most that a best score is above the golden best token's */
} distance;

static const distance F32_LIMIT = { 1e-4, 1e-4, 0 };
static const distance BF16_LIMIT = { 0.08, 0.75, 0 }, BF16_BRIEF_LIMIT = { 0.04, 0.9, 0.6 };

/* Of quantised weights, in float32 or bf16: a quarter to a half above the worst toy. The loss grows with
   the square of a weight's error: one bit less of a value costs four times as much. */
static const distance Q8_LIMIT = { 0.14, 1.3, 0 }, Q4_LIMIT = { 1.25, 8.5, 0 };
static const double Q8_LOSS = 0.009, Q4_LOSS = 0.85;  /* nats a token */

/* ---- the fixture ---- */

static void take(FILE *f, void *to, size_t bytes)
{
    if (fread(to, 1, bytes, f) != bytes)
        die("golden.bin: too short");
}

static float *take_logits(FILE *f, const golden *g)
{
    size_t bytes = (size_t)g->n_pos * g->vocab * sizeof(float);
    float *p = take_memory(bytes);
    take(f, p, bytes);
    return p;
}

/* n indices, each below the limit. */
static void take_indices(FILE *f, int32_t *to, uint32_t n, uint32_t limit)
{
    take(f, to, n * sizeof *to);
    for (uint32_t i = 0; i < n; i++)
        if (to[i] < 0 || (uint32_t)to[i] >= limit)
            die("golden.bin: index %d is not below %u", to[i], limit);
}

static void read_golden(golden *g, const char *folder)
{
    char path[4096], magic[8];

    snprintf(path, sizeof path, "%s/golden.bin", folder);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die("%s: cannot open", path);
    take(f, magic, sizeof magic);
    take(f, &g->n_ids, sizeof g->n_ids);
    g->brief = memcmp(magic, "HIGOLD2\n", 8) == 0;
    bool golden_file = g->brief || memcmp(magic, "HIGOLD1\n", 8) == 0;
    if (!golden_file || g->n_ids > MAX_TOKENS || g->n_ids <= DECODED)
        die("%s: not a golden file of %d to %d tokens", path, DECODED + 1, MAX_TOKENS);
    take(f, g->ids, g->n_ids * sizeof *g->ids);
    take(f, &g->n_pos, sizeof g->n_pos);
    take(f, &g->vocab, sizeof g->vocab);
    if (g->n_pos < 1 || g->n_pos > g->n_ids || (int)g->vocab != hi_the_model.vocab)
        die("%s: %u positions, vocabulary %u: not of this model", path, g->n_pos, g->vocab);
    take_indices(f, g->pos, g->n_pos, g->n_ids);
    g->f32 = take_logits(f, g);
    g->bf16 = take_logits(f, g);
    if (g->brief) {
        take_indices(f, g->best, g->n_ids, g->vocab);
        take(f, g->digest, g->n_ids * sizeof *g->digest);
    }
    if (fgetc(f) != EOF)
        die("%s: too long", path);
    fclose(f);
}

/* ---- runs ---- */

/* A chunk's scores to their rows of 'arg' (n_ids, vocab). */
static void on_pass(void *arg, hi_run *r, const hi_pass *pass)
{
    size_t row = (size_t)hi_the_model.vocab;

    if (pass->scored)
        memcpy((float *)arg + (size_t)pass->first * row, hi_logits(r),
               (size_t)pass->rows * row * sizeof(float));
}

/* Scores (n_ids, vocab) of the prompt, the last 'decoded' tokens of it one by one. */
static void run_prompt(hi_run *r, const golden *g, int decoded, float *scores)
{
    int prompt = (int)g->n_ids - decoded;
    size_t row = g->vocab * sizeof *scores;

    must(r, "rewind", hi_rewind(r, 0));
    hi_set_watch(r, on_pass, scores);
    feed(r, g->ids, prompt);
    for (int at = prompt; at < (int)g->n_ids; at++) {
        must(r, "decode", hi_decode(r, g->ids[at]));
        memcpy(scores + (size_t)at * g->vocab, hi_logits(r), row);
    }
}

/* ---- distances ---- */

/* What a difference at a position is divided by. Angles are products in float32, whose error
   grows with the position, and version 2 prompts are long. */
static double unit_at(const golden *g, int pos)
{
    return g->brief && hi_the_model.elt == 4 ? 1 + pos / 256.0 : 1;
}

/* Takes one difference into a distance, whose mean is a sum as yet. */
static void add_difference(distance *d, double a, double b, double unit)
{
    double x = fabs(a - b) / unit;

    if (!isfinite(x))
        x = INFINITY;
    d->mean += x;
    d->max = x > d->max ? x : d->max;
}

/* Of the scores at the recorded positions from want (n_pos, vocab). */
static distance measure(const golden *g, const float *scores, const float *want)
{
    distance d = { 0, 0, 0 };

    for (size_t p = 0; p < g->n_pos; p++)
        for (size_t i = 0; i < g->vocab; i++)
            add_difference(&d, scores[(size_t)g->pos[p] * g->vocab + i], want[p * g->vocab + i],
                           unit_at(g, g->pos[p]));
    d.mean /= (double)g->n_pos * g->vocab;
    return d;
}

/* Of every row's digest, and how far the golden best token is behind anywhere. */
static distance measure_brief(const golden *g, const float *scores)
{
    distance d = { 0, 0, 0 };

    for (size_t p = 0; p < g->n_ids; p++) {
        const float *row = scores + p * g->vocab;
        double sum = 0, squares = 0, most = -INFINITY, best = row[g->best[p]];
        for (size_t i = 0; i < g->vocab; i++) {
            sum += row[i];
            squares += (double)row[i] * row[i];
            most = row[i] > most ? row[i] : most;
        }
        const double found[DIGEST] = { best, sum / g->vocab, sqrt(squares / g->vocab) };
        for (size_t i = 0; i < DIGEST; i++)
            add_difference(&d, found[i], g->digest[p][i], unit_at(g, (int)p));
        d.behind = most - best > d.behind ? most - best : d.behind;
    }
    d.mean /= (double)g->n_ids * DIGEST;
    return d;
}

/* Prints a distance; true if it is too large. */
static bool too_far(const char *set, distance d, distance limit)
{
    bool far = !(d.mean <= limit.mean && d.max <= limit.max && d.behind <= limit.behind);
    printf("  %s mean %.2e max %.2e", set, d.mean, d.max);
    if (d.behind > 0)
        printf(" behind %.2e", d.behind);
    printf("%s", far ? " TOO FAR" : "");
    return far;
}

/* log of the sum of exp, of a row's scores. */
static double log_sum(const float *row, size_t n)
{
    double most = row[0], sum = 0;

    for (size_t i = 1; i < n; i++)
        most = row[i] > most ? row[i] : most;
    for (size_t i = 0; i < n; i++)
        sum += exp(row[i] - most);
    return most + log(sum);
}

/* What the scores lose as predictions of the golden ones' tokens, nats a token: mean cross entropy with
   softmax of the golden scores, less that of the golden scores themselves. */
static double measure_loss(const golden *g, const float *scores, const float *want)
{
    double loss = 0;

    for (size_t p = 0; p < g->n_pos; p++, want += g->vocab) {
        const float *row = scores + (size_t)g->pos[p] * g->vocab;
        double all = log_sum(row, g->vocab), golden_all = log_sum(want, g->vocab);
        for (size_t i = 0; i < g->vocab; i++) {
            double log_p = want[i] - golden_all;
            loss += exp(log_p) * (log_p - (row[i] - all));
        }
    }
    return loss / g->n_pos;
}

/* Quantised weights: far from the golden scores by what their type costs, and no more. */
static int quantised_too_far(const golden *g, const float *scores)
{
    bool q8 = hi_the_model.layer_type == HI_Q8;
    double loss = measure_loss(g, scores, g->f32), most = q8 ? Q8_LOSS : Q4_LOSS;
    int wrong = too_far("f32", measure(g, scores, g->f32), q8 ? Q8_LIMIT : Q4_LIMIT);

    printf("  loss %.2e nats a token%s", loss, loss <= most ? "" : " TOO MUCH");
    return wrong + !(loss <= most);
}

/* How many of the references are too far from the scores. */
static int all_too_far(const golden *g, const float *scores)
{
    if (hi_the_model.layer_type != HI_STORED)
        return quantised_too_far(g, scores);
    bool exact = hi_the_model.elt == 4;
    distance limit = exact ? F32_LIMIT : BF16_LIMIT;
    int wrong = too_far("f32", measure(g, scores, g->f32), limit);

    if (!exact)
        wrong += too_far("bf16", measure(g, scores, g->bf16), limit);
    if (g->brief)
        wrong += too_far("all rows", measure_brief(g, scores), exact ? limit : BF16_BRIEF_LIMIT);
    return wrong;
}

/* Scores of one open run: how many checks failed. */
static int check_run(hi_run *r, const golden *g, float *whole, float *parts)
{
    int wrong = 0;

    run_prompt(r, g, 0, whole);
    run_prompt(r, g, DECODED, parts);
    wrong += all_too_far(g, whole);
    if (hi_row_classes) {
        printf("  decoded");
        return wrong + all_too_far(g, parts) + (printf("\n") < 0);
    }
    bool same = memcmp(whole, parts, (size_t)g->n_ids * g->vocab * sizeof *whole) == 0;
    printf("  decoded %s, %lld bytes copied\n", same ? "the same" : "DIFFERS",
           (long long)copied_bytes(r));
    return wrong + !same;
}

/* Those that need a thread's state set up come last: seen once, amx in memory that a closed
   run without it had used took this thread for one of its own and stopped it (SIGILL). */
static int check_all(const golden *g, hi_options *o)
{
    static const char *const ISA[] = { "portable", "neon",       "neonbf16", "avx2",
                                       "avx512",   "avx512bf16", "amx" };
    size_t n = hi_row_classes ? 1 : sizeof ISA / sizeof *ISA;    /* a GPU has but one */
    size_t floats = (size_t)g->n_ids * g->vocab;
    float *scores = take_memory(2 * floats * sizeof *scores);
    int wrong = 0, ran = 0;

    for (size_t i = 0; i < n; i++) {
        char err[4096];
        int code = 0;
        o->isa = n == 1 ? NULL : ISA[i];
        hi_run *r = hi_open(&hi_the_model, o, &code, err, sizeof err);
        printf("%-10s", n == 1 ? "gpu" : ISA[i]);
        if (r == NULL && (code != 2 || i == 0))
            die(" open: %s", err);
        if (r == NULL) {
            printf("  skipped: %s\n", err);
            continue;
        }
        wrong += check_run(r, g, scores, scores + floats);
        ran++;
        hi_close(r);
    }
    free(scores);
    printf("%d instruction sets ran\n", ran);
    return wrong;
}

/* The message must name a tensor, the type found and both ways out. */
static int check_refusal(const hi_options *o)
{
    static const char *const PARTS[] = { "model.safetensors: model.", "dtype = F32",
                                         "--round-weights accepts it", "--numerics f32" };
    char err[4096];
    int code = 0, wrong = 0;
    hi_run *r = hi_open(&hi_the_model, o, &code, err, sizeof err);

    if (r != NULL)
        die("a bf16 plan took f32 weights without round_weights");
    printf("%.*s\n", (int)strcspn(err, "\n"), err);
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        if (strstr(err, PARTS[i]) == NULL) {
            fprintf(stderr, "the message lacks \"%s\"\n", PARTS[i]);
            wrong++;
        }
    if (code != 4)
        fprintf(stderr, "exit code %d, not 4\n", code);
    return wrong + (code != 4);
}

int main(int argc, char **argv)
{
    static golden g;

    if (argc < 2)
        die("usage: golden_test FOLDER [round|refuses]");
    hi_options o = { .weights = argv[1], .threads = hi_row_classes ? 0 : 2 };
    if (argc > 2 && strcmp(argv[2], "refuses") == 0)
        return check_refusal(&o) != 0;
    o.round_weights = argc > 2 && strcmp(argv[2], "round") == 0;
    read_golden(&g, argv[1]);
    printf("%s, %s, %u tokens%s\n", hi_the_model.name, hi_the_model.elt == 4 ? "f32" : "bf16",
           g.n_ids, o.round_weights ? ", stored weights ROUNDED to bf16" : "");
    int wrong = check_all(&g, &o);
    free(g.f32);
    free(g.bf16);
    return wrong != 0;
}
