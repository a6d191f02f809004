/*
** sample.c - which token comes next.
**
** Biases and penalties change scores; top-k, top-p and min-p each keep a leading part of the tokens
** in descending order, so that only that part is ever sorted; temperature and one random number
** choose among them. Sums are in double and in a fixed order: by rank, or by id where all are kept.
*/
#include "sample.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    float score;
    int32_t id;
} candidate;

struct sampler {
    sample_options o; /* bias: owned */
    int vocab, tokens;
    uint64_t noise[4];
    float *row;             /* (tokens) scores after biases and penalties */
    int32_t *seen;          /* (vocab) occurrences in the history; 0 between calls */
    candidate *heap, *kept; /* (tokens) */
    double *weight;         /* (tokens) of kept ones */
};

/* ---- random numbers: xoshiro256**, seeded by splitmix64 (Blackman and Vigna) ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* In [0, 1). */
static double uniform(uint64_t *s)
{
    uint64_t x = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return (double)(x >> 11) * 0x1p-53;
}

void sampler_begin(sampler *s, uint64_t number)
{
    uint64_t x = mix(s->o.seed + 0x9e3779b97f4a7c15u) + number;

    for (int i = 0; i < 4; i++)
        s->noise[i] = mix(mix(x) + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u);
}

/* ---- open and close ---- */

static bool allocate(sampler *s, const sample_bias *bias)
{
    size_t n = (size_t)s->tokens;

    s->row = calloc(n, sizeof *s->row);
    s->seen = calloc((size_t)s->vocab, sizeof *s->seen);
    s->heap = calloc(n, sizeof *s->heap);
    s->kept = calloc(n, sizeof *s->kept);
    s->weight = calloc(n, sizeof *s->weight);
    sample_bias *copy = calloc((size_t)s->o.n_bias + 1, sizeof *copy);
    s->o.bias = copy;
    for (int i = 0; copy != NULL && i < s->o.n_bias; i++)
        copy[i] = bias[i];
    return s->row && s->seen && s->heap && s->kept && s->weight && copy;
}

sampler *sampler_open(const sample_options *o, int vocab, int tokens, char *err, size_t n)
{
    tokens = tokens < vocab ? tokens : vocab;
    for (int i = 0; i < o->n_bias; i++)
        if (o->bias[i].id < 0 || o->bias[i].id >= vocab) {
            snprintf(err, n, "a bias for token %d: must be from 0 to %d", o->bias[i].id, vocab - 1);
            return NULL;
        }
    sampler *s = tokens > 0 ? calloc(1, sizeof *s) : NULL;
    if (s != NULL) {
        s->o = *o;
        s->vocab = vocab;
        s->tokens = tokens;
    }
    if (s == NULL || !allocate(s, o->bias)) {
        sampler_close(s);
        snprintf(err, n, "sampling from %d tokens: out of memory", tokens);
        return NULL;
    }
    sampler_begin(s, 0);
    return s;
}

void sampler_close(sampler *s)
{
    if (s == NULL)
        return;
    free((sample_bias *)s->o.bias);
    free(s->row);
    free(s->seen);
    free(s->heap);
    free(s->kept);
    free(s->weight);
    free(s);
}

/* ---- scores ---- */

/* The exponent's bits are all ones in what is not finite. */
static bool all_finite(const float *x, int n)
{
    enum {
        BLOCK = 256
    };
    uint32_t bits[BLOCK];

    for (int at = 0; at < n; at += BLOCK) {
        int m = n - at < BLOCK ? n - at : BLOCK;
        uint32_t bad = 0;
        memcpy(bits, x + at, (size_t)m * sizeof *bits);
        for (int i = 0; i < m; i++)
            bad |= (bits[i] & 0x7f800000u) == 0x7f800000u;
        if (bad)
            return false;
    }
    return true;
}

/* Stays finite, so that only a bias can exclude a token. */
static float narrow(double x)
{
    return (float)fmax(-FLT_MAX, fmin(FLT_MAX, x));
}

static void add_biases(sampler *s)
{
    for (int i = 0; i < s->o.n_bias; i++) {
        const sample_bias *b = &s->o.bias[i];
        if (b->id >= s->tokens || s->row[b->id] == -INFINITY)
            continue;
        s->row[b->id] = b->add == -INFINITY ? -INFINITY : narrow(s->row[b->id] + b->add);
    }
}

static void penalise(sampler *s, const int32_t *newest, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        s->seen[newest[i]]++;
    for (int64_t i = 0; i < n; i++) {
        int32_t id = newest[i];
        double times = s->seen[id];
        s->seen[id] = 0; /* a token's further occurrences change nothing more */
        if (times == 0 || id >= s->tokens || s->row[id] == -INFINITY)
            continue;
        double x = s->row[id] > 0 ? s->row[id] / s->o.repeat : s->row[id] * s->o.repeat;
        s->row[id] = narrow(x - times * s->o.frequency - s->o.presence);
    }
}

/* The row after biases and penalties; the given one if there are none. */
static const float *adjust(sampler *s, const float *scores, const int32_t *history, int64_t n)
{
    const sample_options *o = &s->o;
    bool penalties = o->repeat != 1 || o->frequency != 0 || o->presence != 0;
    int64_t back = !penalties ? 0 : o->last_n < 0 || o->last_n > n ? n : o->last_n;

    if (back == 0 && o->n_bias == 0)
        return scores;
    memcpy(s->row, scores, (size_t)s->tokens * sizeof *s->row);
    add_biases(s);
    penalise(s, history + n - back, back);
    return s->row;
}

/* ---- order: by score, then by id ---- */

static bool before(candidate a, candidate b)
{
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/* The heap's root is the one that is before all others; 'last': behind all others. */
static void sift_down(candidate *heap, int at, int n, bool last)
{
    candidate c = heap[at];

    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child]) != last)
            child++;
        if (before(heap[child], c) == last)
            break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

static void make_heap(candidate *heap, int n, bool last)
{
    for (int i = n / 2 - 1; i >= 0; i--)
        sift_down(heap, i, n, last);
}

/* The best k in order, in 'kept'. Excluded ones may be among them: nothing draws them. */
static void keep_best(sampler *s, const float *row, int k)
{
    candidate *heap = s->kept;

    for (int id = 0; id < k; id++)
        heap[id] = (candidate){ row[id], id };
    make_heap(heap, k, true);
    for (int id = k; id < s->tokens; id++)
        if (row[id] > heap[0].score) { /* equal: the lower id is in it */
            heap[0] = (candidate){ row[id], id };
            sift_down(heap, 0, k, true);
        }
    for (int i = k; i-- > 1;) { /* the last one goes to the end */
        candidate c = heap[0];
        heap[0] = heap[i];
        heap[i] = c;
        sift_down(heap, 0, i, true);
    }
}

/* ---- which are left ---- */

/* Of n kept ones in order: as many as top-p and min-p leave. */
static int leading(const sampler *s, int n)
{
    double best = s->kept[0].score, total = 0, sum = 0;

    for (int i = 0; i < n; i++)
        total += exp(s->kept[i].score - best);
    for (int i = 0; i < n; i++) {
        double e = exp(s->kept[i].score - best);
        if (e < s->o.min_p)
            return i;
        sum += e;
        if (s->o.top_p < 1 && sum >= s->o.top_p * total)
            return i + 1;
    }
    return n;
}

/* Takes the best ones off a heap until their sum is there. */
static int keep_nucleus(sampler *s, const float *row, double best)
{
    int n = s->tokens, kept = 0;
    double total = 0, sum = 0;

    for (int id = 0; id < n; id++) {
        s->heap[id] = (candidate){ row[id], id };
        total += exp(row[id] - best);
    }
    make_heap(s->heap, n, false);
    do {
        double e = exp(s->heap[0].score - best);
        if (e < s->o.min_p)
            break;
        sum += e;
        s->kept[kept++] = s->heap[0];
        s->heap[0] = s->heap[--n];
        sift_down(s->heap, 0, n, false);
    } while (n > 0 && sum < s->o.top_p * total);
    return kept;
}

/* Those with enough of the best one's probability, by id. */
static int keep_likely(sampler *s, const float *row, double best)
{
    int kept = 0;

    for (int id = 0; id < s->tokens; id++)
        if (s->o.min_p <= 0 || exp(row[id] - best) >= s->o.min_p)
            s->kept[kept++] = (candidate){ row[id], id };
    return kept;
}

static int32_t best_id(const float *row, int n)
{
    int32_t best = 0;

    for (int i = 1; i < n; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

static int32_t draw(sampler *s, int n, double best)
{
    double total = 0, sum = 0;
    int32_t last = s->kept[0].id;

    for (int i = 0; i < n; i++)
        total += s->weight[i] = exp((s->kept[i].score - best) / s->o.temp);
    double at = uniform(s->noise) * total;
    for (int i = 0; i < n; i++) {
        sum += s->weight[i];
        if (sum > at)
            return s->kept[i].id;
        if (s->weight[i] > 0)
            last = s->kept[i].id;
    }
    return last;
}

int32_t sampler_pick(sampler *s, const float *scores, const int32_t *history, int64_t n_history)
{
    int n;

    if (!all_finite(scores, s->vocab))
        return SAMPLE_DAMAGED;
    const float *row = adjust(s, scores, history, n_history);
    int32_t best = best_id(row, s->tokens);
    if (row[best] == -INFINITY)
        return SAMPLE_NONE;
    if (s->o.temp <= 0)
        return best;
    if (s->o.top_k > 0 && s->o.top_k < s->tokens) {
        keep_best(s, row, (int)s->o.top_k);
        n = leading(s, (int)s->o.top_k);
    } else if (s->o.top_p < 1)
        n = keep_nucleus(s, row, row[best]);
    else
        n = keep_likely(s, row, row[best]);
    return draw(s, n, row[best]);
}
