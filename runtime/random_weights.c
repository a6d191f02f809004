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
#include <string.h>
#include "convert.h"
#include "pieces.h"

#define GOLDEN 0x9e3779b97f4a7c15u

enum {
    CHUNK = 2048 /* elements made at once: stays in the first cache */
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

typedef struct maker {
    const hi_model *m;
    uint64_t seed;
    weights_sink *sink;
    void *to;
} maker;

static const hi_tensor *tensor_of(const void *arg, int i)
{
    const maker *k = arg;
    return &k->m->tensor[i];
}

static int make_piece(void *arg, const piece *p, char *err, size_t n)
{
    const maker *k = arg;
    const hi_tensor *t = &k->m->tensor[p->tensor];
    uint64_t width = (uint64_t)pieces_width(t);
    random_elements(t, k->seed, k->m->elt, (uint64_t)p->row * width, (uint64_t)p->n_rows * width,
                    p->room);
    if (k->sink(k->to, t, p->row, p->n_rows, p->room) == 0)
        return 0;
    snprintf(err, n, "random weights: %s: refused by the receiver", t->name);
    return -1;
}

int random_weights(const hi_model *m, uint64_t seed, const weights_crew *crew, weights_sink *sink,
                   void *to, char *err, size_t n)
{
    maker k = { m, seed, sink, to };
    piecework w = { .what = "random weights",
                    .n_tensors = m->n_tensors,
                    .tensor = tensor_of,
                    .job = make_piece,
                    .arg = &k };
    for (int i = 0; i < m->n_tensors; i++) {
        const hi_tensor *t = &m->tensor[i];
        uint64_t elts = (uint64_t)pieces_rows(t) * (uint64_t)pieces_width(t);
        if (elts * (uint64_t)m->elt > w.room_bytes)
            w.room_bytes = elts * (uint64_t)m->elt;
    }
    return pieces_run(&w, crew, err, n);
}
