/*
** needle_weights.c - the tensors of the needle model from their formulas.
**
** Each fill_ function writes one matrix in the "clean" basis, where a residual
** coordinate has one meaning; 'store' then turns it into the stored basis. What
** the parts do:
**
**   layer 0, head (h, g)  looks g + 1 tokens back by a constant query and key on
**                         the fast RoPE pairs, copies 2 of that token's 8 bits
**   MLP 0                 copies this token's bits to QC
**   layers 1.., head h    find the position whose previous four tokens equal the
**                         last four, on the slow RoPE pairs, and copy 2 bits of
**                         the token there to RAW; BOS is a sink that wins when
**                         nothing matches exactly
**   last MLP              copies RAW to FIN
**   lm_head               compares FIN with the bits of every token
**
** Bits are +-1. The residual stream has the same length at every position past
** the fourth, so a reader undoes RMSNorm by that length.
*/
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "needle.h"

enum {
    HIDDEN = NEEDLE_HIDDEN,
    HEAD = NEEDLE_HEAD_DIM,
    HALF = HEAD / 2, /* RoPE pair f is dims (f, f + HALF) */
    BITS = 8,        /* of a token */
    HEAD_BITS = BITS / NEEDLE_KV_HEADS,
    CODE_BITS = BITS * NEEDLE_ORDER,
    N_FAST = HALF - 1 - CODE_BITS / 2, /* pairs 0..14: look back; 15..30: code bits */
    SINK_PAIR = HALF - 1,              /* pair 31, its first dim only */
    MAX_ELEMENTS = NEEDLE_HEADS * HEAD * HIDDEN
};

/* Residual coordinates of the clean basis. */
enum {
    CONST = 0,                       /* 1 at every token */
    BOS = 1,                         /* sqrt(8) at token 0 */
    CUR = 2,                         /* bits of this token, 0 for BOS */
    PREV = CUR + BITS,               /* bits of the token g back, g = 1..4, 8 each */
    QC = PREV + BITS * NEEDLE_ORDER, /* copy of CUR made by MLP 0 */
    RAW = QC + BITS,                 /* answer bits, from the retrieving heads */
    FIN = RAW + BITS                 /* answer bits, for lm_head */
};

/* Layer 0's scores in nats: pair 0 (1 radian a token) tells neighbours apart, the rest far ones. */
static const double LOOK_FIRST = 64, LOOK_REST = 24;
static const double KEY_RADIUS = 16; /* of layer 0's key, per pair */
static const double SINK_QUERY = 36;
static const double ANSWER = 0.25;    /* size of an answer bit in the stream */
static const double GATE = 8;         /* the gate's value everywhere */
static const double LOGIT_GAIN = 128; /* about 17 logits per bit */

int needle_fail(needle_error *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return -1;
}

/* ---- lengths of the residual stream: what RMSNorm divides by ---- */

/* Entering attention: const 1 + 8 bits (BOS: 1 + 8 too); later + 32 PREV + 8 QC. */
static double attn_length(int l)
{
    return l == 0 ? sqrt(9) : sqrt(49);
}

/* Entering the MLP: 9 + 32 PREV in layer 0; later 49 + 8 answer bits of 1/16. */
static double mlp_length(int l)
{
    return l == 0 ? sqrt(41) : sqrt(49 + BITS * ANSWER * ANSWER);
}

/* ---- small pieces of the formulas ---- */

static double hadamard(int i, int j)
{
    return __builtin_parity((unsigned)(i & j)) ? -1 : 1;
}

static double bit_sign(int token, int b)
{
    return token >> b & 1 ? 1 : -1;
}

static int prev_bit(int g, int b)
{
    return PREV + BITS * (g - 1) + b;
}

/* Dimension of head h that holds code bit b: each head has its own order of the bits. */
static int code_dim(int h, int b)
{
    int slot = (b + BITS * h) % CODE_BITS;
    return slot < CODE_BITS / 2 ? N_FAST + slot : HALF + N_FAST + slot - CODE_BITS / 2;
}

/* Size of a code bit in query and key: its square over sqrt(head_dim) is 'unit' nats. */
static double code_size(const needle_opts *o)
{
    return sqrt(o->unit * sqrt(HEAD));
}

/* A value bit fills a whole Hadamard column, so that every dim of the head carries it. */
static double value_mix(int h, int j, int dim)
{
    return hadamard(dim, 1 + HEAD_BITS * h + j);
}

static double phase(int h, int f)
{
    return 2 * M_PI * h * f / NEEDLE_KV_HEADS;
}

static double *at(double *w, int cols, int row, int col)
{
    return &w[(size_t)row * (size_t)cols + (size_t)col];
}

/* ---- one function per matrix, clean basis ---- */

static void fill_embed(const needle_opts *o, int l, double *w)
{
    (void)o, (void)l;
    for (int t = 0; t < NEEDLE_VOCAB; t++) {
        *at(w, HIDDEN, t, CONST) = 1;
        if (t == 0)
            *at(w, HIDDEN, t, BOS) = sqrt(8);
        for (int b = 0; t > 0 && b < BITS; b++)
            *at(w, HIDDEN, t, CUR + b) = bit_sign(t, b);
    }
}

/* One query head of layer 0: score = sum of a_f cos(omega_f (i - j - back)), whatever the text. */
static void fill_look_back(double *w, int row, int h, int back, double theta)
{
    for (int f = 0; f < N_FAST; f++) {
        double omega = pow(theta, -(double)f / HALF);
        double psi = phase(h, f) - back * omega;
        double score = f == 0 ? LOOK_FIRST : LOOK_REST;
        double radius = attn_length(0) * score * sqrt(HEAD) / KEY_RADIUS;
        *at(w, HIDDEN, row + f, CONST) = radius * cos(psi);
        *at(w, HIDDEN, row + f + HALF, CONST) = radius * sin(psi);
    }
}

/* One query head of layers 1..: the last four tokens' bits, and the constant against the sink. */
static void fill_question(double *w, int row, int h, double size)
{
    for (int b = 0; b < CODE_BITS; b++) {
        int from = b < BITS ? QC + b : prev_bit(b / BITS, b % BITS);
        *at(w, HIDDEN, row + code_dim(h, b), from) = size * attn_length(1);
    }
    *at(w, HIDDEN, row + SINK_PAIR, CONST) = SINK_QUERY * attn_length(1);
}

static void fill_q(const needle_opts *o, int l, double *w)
{
    for (int q = 0; q < NEEDLE_HEADS; q++) {
        int h = q / NEEDLE_ORDER, g = q % NEEDLE_ORDER;
        if (l == 0)
            fill_look_back(w, q * HEAD, h, g + 1, o->theta);
        else
            fill_question(w, q * HEAD, h, code_size(o));
    }
}

static void fill_look_key(double *w, int row, int h)
{
    for (int f = 0; f < N_FAST; f++) {
        double radius = attn_length(0) * KEY_RADIUS;
        *at(w, HIDDEN, row + f, CONST) = radius * cos(phase(h, f));
        *at(w, HIDDEN, row + f + HALF, CONST) = radius * sin(phase(h, f));
    }
}

/*
** One key head of layers 1..: the bits of the four tokens before. BOS scores 31
** units: over 30, which one wrong bit leaves, and under 32, the exact match.
** BOS has no PREV bits, so its stream still has the length it entered layer 0 with.
*/
static void fill_code_key(const needle_opts *o, double *w, int row, int h)
{
    double sink = (CODE_BITS - 1) * o->unit * sqrt(HEAD) / SINK_QUERY;
    for (int b = 0; b < CODE_BITS; b++) {
        int from = prev_bit(1 + b / BITS, b % BITS);
        *at(w, HIDDEN, row + code_dim(h, b), from) = code_size(o) * attn_length(1);
    }
    *at(w, HIDDEN, row + SINK_PAIR, BOS) = sink * attn_length(0) / sqrt(8);
}

static void fill_k(const needle_opts *o, int l, double *w)
{
    for (int h = 0; h < NEEDLE_KV_HEADS; h++) {
        if (l == 0)
            fill_look_key(w, h * HEAD, h);
        else
            fill_code_key(o, w, h * HEAD, h);
    }
}

static void fill_v(const needle_opts *o, int l, double *w)
{
    (void)o;
    for (int h = 0; h < NEEDLE_KV_HEADS; h++)
        for (int j = 0; j < HEAD_BITS; j++)
            for (int i = 0; i < HEAD; i++)
                *at(w, HIDDEN, h * HEAD + i, CUR + HEAD_BITS * h + j) =
                    attn_length(l) * value_mix(h, j, i);
}

/* Layer 0 writes each look-back to its own PREV; later all query heads share the answer. */
static void fill_o(const needle_opts *o, int l, double *w)
{
    double gain = l == 0 ? 1 : ANSWER / (NEEDLE_ORDER * (o->layers - 1));
    for (int q = 0; q < NEEDLE_HEADS; q++) {
        int h = q / NEEDLE_ORDER, g = q % NEEDLE_ORDER;
        for (int j = 0; j < HEAD_BITS; j++) {
            int b = HEAD_BITS * h + j;
            int to = l == 0 ? prev_bit(g + 1, b) : RAW + b;
            for (int i = 0; i < HEAD; i++)
                *at(w, NEEDLE_HEADS * HEAD, to, q * HEAD + i) = gain * value_mix(h, j, i) / HEAD;
        }
    }
}

static void fill_gate(const needle_opts *o, int l, double *w)
{
    (void)o;
    for (int m = 0; m < NEEDLE_FFN; m++)
        *at(w, HIDDEN, m, CONST) = GATE * mlp_length(l);
}

/* MLP 0 reads CUR, the last one RAW (at full size); those between do nothing. */
static void fill_up(const needle_opts *o, int l, double *w)
{
    for (int b = 0; b < BITS; b++) {
        if (l == 0)
            *at(w, HIDDEN, b, CUR + b) = mlp_length(l);
        else if (l == o->layers - 1)
            *at(w, HIDDEN, b, RAW + b) = mlp_length(l) / ANSWER;
    }
}

/* silu(GATE) is taken out again: down(gate * up) is 1 per bit. */
static void fill_down(const needle_opts *o, int l, double *w)
{
    double silu = GATE / (1 + exp(-GATE));
    if (l > 0 && l < o->layers - 1)
        return;
    for (int b = 0; b < BITS; b++)
        *at(w, NEEDLE_FFN, (l == 0 ? QC : FIN) + b, b) = 1 / silu;
}

/* Token 0 wins by default; a token needs all 8 bits, nearly whole, to pass it. */
static void fill_lm_head(const needle_opts *o, int l, double *w)
{
    (void)l;
    *at(w, HIDDEN, 0, CONST) = LOGIT_GAIN * (BITS - 1.0 / (o->layers - 1));
    for (int t = 1; t < NEEDLE_VOCAB; t++)
        for (int b = 0; b < BITS; b++)
            *at(w, HIDDEN, t, FIN + b) = LOGIT_GAIN * bit_sign(t, b);
}

/* ---- the stored basis ---- */

/*
** x_stored = M x_clean. M is +-1 and M^T M = 128 I, hence mean(x_stored^2) is
** |x_clean|^2, and every stored channel carries a part of everything.
*/
static double basis(int i, int j)
{
    return hadamard(i, j) * (j % 3 == 1 ? -1 : 1);
}

/* Norm weights 1/2, 1, 2, 1/2, ...: undone by the readers, so that ignoring them is noticed. */
static double norm_weight(int i)
{
    return ldexp(1, i % 3 - 1);
}

/* bf16 by way of float32, nearest, ties to even. Weights are finite and small. */
static uint16_t to_bf16(double x)
{
    float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

typedef enum { ROWS_IN_STREAM, READS_NORMED, WRITES_STREAM, NORM } side;

typedef struct kind {
    const char *name;
    int rows, cols;
    side side;
    void (*fill)(const needle_opts *o, int l, double *w);
} kind;

enum { Q_ROWS = NEEDLE_HEADS * HEAD, KV_ROWS = NEEDLE_KV_HEADS * HEAD };

static const kind ONCE[] = {
    { "model.embed_tokens.weight", NEEDLE_VOCAB, HIDDEN, ROWS_IN_STREAM, fill_embed },
    { "model.norm.weight", HIDDEN, 0, NORM, NULL },
    { "lm_head.weight", NEEDLE_VOCAB, HIDDEN, READS_NORMED, fill_lm_head },
};

static const kind PER_LAYER[] = {
    { "input_layernorm.weight", HIDDEN, 0, NORM, NULL },
    { "post_attention_layernorm.weight", HIDDEN, 0, NORM, NULL },
    { "self_attn.q_proj.weight", Q_ROWS, HIDDEN, READS_NORMED, fill_q },
    { "self_attn.k_proj.weight", KV_ROWS, HIDDEN, READS_NORMED, fill_k },
    { "self_attn.v_proj.weight", KV_ROWS, HIDDEN, READS_NORMED, fill_v },
    { "self_attn.o_proj.weight", HIDDEN, Q_ROWS, WRITES_STREAM, fill_o },
    { "mlp.gate_proj.weight", NEEDLE_FFN, HIDDEN, READS_NORMED, fill_gate },
    { "mlp.up_proj.weight", NEEDLE_FFN, HIDDEN, READS_NORMED, fill_up },
    { "mlp.down_proj.weight", HIDDEN, NEEDLE_FFN, WRITES_STREAM, fill_down },
};

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

/* sum_j M[i][j] row[j]: one stored channel of a row of clean coordinates, most of them 0. */
static double mixed_row(const double *row, int i)
{
    double sum = 0;
    for (int j = 0; j < HIDDEN; j++)
        if (row[j] != 0)
            sum += row[j] * basis(i, j);
    return sum;
}

/* sum_j M[i][j] w[j][col]: one stored channel of what a column writes. */
static double mixed_col(const double *w, int cols, int i, int col)
{
    double sum = 0;
    for (int j = 0; j < HIDDEN; j++)
        sum += basis(i, j) * w[(size_t)j * (size_t)cols + (size_t)col];
    return sum;
}

static double stored(const kind *k, const double *w, int row, int col)
{
    const double *r = w + (size_t)row * (size_t)k->cols;
    switch (k->side) {
    case ROWS_IN_STREAM:
        return mixed_row(r, col);
    case READS_NORMED:
        return mixed_row(r, col) / HIDDEN / norm_weight(col);
    case WRITES_STREAM:
        return mixed_col(w, k->cols, row, col);
    default:
        return norm_weight(row);
    }
}

long needle_count(const needle_tensor *t)
{
    return (long)t->rows * (t->cols ? t->cols : 1);
}

/* Appends one tensor; 'clean' is room for the largest clean matrix. */
static bool add(needle_model *m, const kind *k, const needle_opts *o, int l, double *clean)
{
    needle_tensor *t = &m->tensor[m->n_tensors++];
    t->rows = k->rows;
    t->cols = k->cols;
    if (l < 0) /* not of a layer? */
        snprintf(t->name, sizeof t->name, "%s", k->name);
    else
        snprintf(t->name, sizeof t->name, "model.layers.%d.%s", l, k->name);
    t->bits = malloc((size_t)needle_count(t) * sizeof *t->bits);
    if (!t->bits)
        return false;
    memset(clean, 0, MAX_ELEMENTS * sizeof *clean);
    if (k->fill)
        k->fill(o, l, clean);
    int cols = k->cols ? k->cols : 1;
    for (int r = 0; r < k->rows; r++)
        for (int c = 0; c < cols; c++)
            t->bits[(size_t)r * (size_t)cols + (size_t)c] = to_bf16(stored(k, clean, r, c));
    return true;
}

static bool add_all(needle_model *m, const needle_opts *o, double *clean)
{
    for (int i = 0; i < LENGTH(ONCE); i++)
        if (!add(m, &ONCE[i], o, -1, clean))
            return false;
    for (int l = 0; l < o->layers; l++)
        for (int i = 0; i < LENGTH(PER_LAYER); i++)
            if (!add(m, &PER_LAYER[i], o, l, clean))
                return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const needle_tensor *)a)->name, ((const needle_tensor *)b)->name);
}

int needle_check(const needle_opts *o, needle_error *e)
{
    if (!(o->unit >= 0.5 && o->unit <= 64))
        return needle_fail(e, "unit = %g: must be 0.5..64 (18 is robust, 4 sensitive)", o->unit);
    if (!(o->theta >= 100 && o->theta <= 1e30))
        return needle_fail(e, "theta = %g: must be 100..1e30 (1e16 serves 4M tokens)", o->theta);
    if (o->layers < NEEDLE_MIN_LAYERS || o->layers > NEEDLE_MAX_LAYERS)
        return needle_fail(e, "layers = %d: must be %d..%d", o->layers, NEEDLE_MIN_LAYERS,
                           NEEDLE_MAX_LAYERS);
    return 0;
}

int needle_build(const needle_opts *o, needle_model *m, needle_error *e)
{
    memset(m, 0, sizeof *m);
    if (needle_check(o, e) < 0)
        return -1;
    double *clean = malloc(MAX_ELEMENTS * sizeof *clean);
    bool ok = clean && add_all(m, o, clean);
    free(clean);
    if (!ok)
        return needle_fail(e, "the needle model's weights: out of memory");
    qsort(m->tensor, (size_t)m->n_tensors, sizeof *m->tensor, by_name);
    return 0;
}

void needle_free(needle_model *m)
{
    for (int i = 0; i < m->n_tensors; i++)
        free(m->tensor[i].bits);
    m->n_tensors = 0;
}
