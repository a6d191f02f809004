/*
** random_weights.c - weights made up from a seed.
**
** A counter-based generator: one 64-bit mix of (seed, name, index / 4) gives four 16-bit
** uniform values, so neither the order nor the size of the pieces matters. Matrices have
** standard deviation 1/sqrt(cols), which keeps activations of order one; those of query and
** key twice that, so that attention is not flat. Norm weights are 1 +- 1/16, biases
** +- 1/16.
** Source: the mix is the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
*/
#include "random_weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checked.h"
#include "convert.h"

#define GOLDEN 0x9e3779b97f4a7c15u

enum {
    CHUNK = 2048,         /* elements made at once: stays in the first cache */
    PIECE_BYTES = 4 << 20 /* handed to the sink at once, at most, unless a row is longer */
};

typedef struct stream {
    uint64_t key;
    float scale, offset; /* value = offset + scale * odd, |odd| < 65536 */
} stream;

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t key_of(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return mix(mix(seed + GOLDEN) ^ h);
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

/* Offset and scale are such that offset + scale * odd rounds once, fused or not. */
static stream stream_of(const hi_tensor *t, uint64_t seed)
{
    stream s = { .key = key_of(seed, t->name), .scale = 0x1p-20f };
    if (t->cols > 0) {
        bool looks = strstr(t->name, "q_proj") || strstr(t->name, "k_proj");
        double sigma = (looks ? 2 : 1) / sqrt((double)t->cols);
        s.scale = (float)(sigma * sqrt(3) / 65536); /* uniform: bound = sqrt(3) sigma */
    } else if (!ends_with(t->name, ".bias")) {
        s.offset = 1;
    }
    return s;
}

static float value(const stream *s, uint64_t bits)
{
    return s->offset + s->scale * (float)((int32_t)(bits & 0xffff) * 2 - 65535);
}

static void four(const stream *s, uint64_t block, float *out)
{
    uint64_t bits = mix(s->key + block * GOLDEN);
    out[0] = value(s, bits);
    out[1] = value(s, bits >> 16);
    out[2] = value(s, bits >> 32);
    out[3] = value(s, bits >> 48);
}

static void make_floats(const stream *s, uint64_t first, size_t n, float *out)
{
    size_t i = 0;
    float some[4];
    for (; i < n && (first + i) % 4 != 0; i++) { /* up to a whole block */
        four(s, (first + i) / 4, some);
        out[i] = some[(first + i) % 4];
    }
    for (; n - i >= 4; i += 4)
        four(s, (first + i) / 4, out + i);
    if (i < n) {
        four(s, (first + i) / 4, some);
        memcpy(out + i, some, (n - i) * sizeof *out);
    }
}

void random_elements(const hi_tensor *t, uint64_t seed, int elt, uint64_t first, size_t n,
                     void *out)
{
    stream s = stream_of(t, seed);
    if (elt == 4) {
        make_floats(&s, first, n, out);
        return;
    }
    float some[CHUNK];
    uint16_t *to = out;
    while (n > 0) {
        size_t k = n < CHUNK ? n : CHUNK;
        make_floats(&s, first, k, some);
        convert_f32_to_bf16(some, to, k);
        to += k;
        first += k;
        n -= k;
    }
}

static int64_t width(const hi_tensor *t)
{
    return t->cols > 0 ? t->cols : 1;
}

/* Rows of t in one piece, and that piece's bytes; 0 if a row's bytes overflow. */
static int64_t piece_rows(const hi_model *m, const hi_tensor *t, uint64_t *bytes)
{
    uint64_t row;
    if (!checked_mul((uint64_t)width(t), (uint64_t)m->elt, &row))
        return 0;
    int64_t rows = row < PIECE_BYTES ? (int64_t)(PIECE_BYTES / row) : 1;
    if (rows > t->rows)
        rows = t->rows > 0 ? t->rows : 1;
    return checked_mul((uint64_t)rows, row, bytes) ? rows : 0;
}

static int make_tensor(const hi_model *m, const hi_tensor *t, uint64_t seed, weights_sink sink,
                       void *to, void *piece)
{
    uint64_t bytes;
    int64_t step = piece_rows(m, t, &bytes);
    for (int64_t row = 0; row < t->rows; row += step) {
        int64_t n = t->rows - row < step ? t->rows - row : step;
        random_elements(t, seed, m->elt, (uint64_t)(row * width(t)), (size_t)(n * width(t)), piece);
        if (sink(to, t, row, n, piece) != 0)
            return -1;
    }
    return 0;
}

int random_weights(const hi_model *m, uint64_t seed, weights_sink sink, void *to, char *err,
                   size_t n)
{
    uint64_t most = 1;
    for (int i = 0; i < m->n_tensors; i++) {
        uint64_t bytes;
        if (piece_rows(m, &m->tensor[i], &bytes) == 0) {
            snprintf(err, n, "random weights: %s: too large", m->tensor[i].name);
            return -1;
        }
        most = bytes > most ? bytes : most;
    }
    void *piece = malloc(most);
    if (!piece) {
        snprintf(err, n, "random weights: out of memory (%llu bytes)", (unsigned long long)most);
        return -1;
    }
    int rc = 0;
    for (int i = 0; i < m->n_tensors && rc == 0; i++) {
        rc = make_tensor(m, &m->tensor[i], seed, sink, to, piece);
        if (rc != 0)
            snprintf(err, n, "random weights: %s: refused by the receiver", m->tensor[i].name);
    }
    free(piece);
    return rc;
}
