/*
** kern_body.h - everything else of a table: products with epilogues, norm, rope, activation.
**
** Included last by the translation unit of an instruction set, which then says KERNELS(...).
*/
#ifndef KERN_BODY_H
#define KERN_BODY_H

#include "kern_quantise.h"

/* Elements of sums: the bits of elt_of. */
#if HI_F32
typedef vf ve;
INLINE ve elts_of(vf x)
{
    return x;
}
#else
typedef vh ve;
INLINE ve elts_of(vf x)
{
#ifdef __AVX512BF16__                /* the instruction takes subnormals for 0 */
    if (__builtin_expect(_mm512_fpclass_ps_mask(x, 0x20) == 0, 1))
        return (ve)_mm512_cvtneps_pbh(x);
#endif
    return low_v(round_any(x));
}
#endif

INLINE vf floats_of(ve e)
{
    elt out[VL];
    memcpy(out, &e, sizeof e);
    return load_elts(out);
}

/* n columns of one row: acc + bias, rounded, to y or onto y. */
static void store_row(elt *restrict y, const float *restrict acc, const elt *restrict bias, int n,
                      bool add)
{
    int i = 0;
    for (; i + VL <= n; i += VL) {
        vf v = load(acc + i);
        ve e = elts_of(bias ? v + load_elts(bias + i) : v);
        if (add)
            e = elts_of(load_elts(y + i) + floats_of(e));
        memcpy(y + i, &e, sizeof e);
    }
    for (; i < n; i++) {
        float v = bias ? acc[i] + float_of(bias[i]) : acc[i];
        y[i] = add ? elt_of(float_of(y[i]) + float_of(elt_of(v))) : elt_of(v);
    }
}

static void store_scores(float *restrict y, const float *restrict acc, int n)
{
    if (FINAL_SOFTCAP > 0) {
        float cap[PANEL];
        for (int i = 0; i < PANEL; i += VL) /* all of the panel's sums exist */
            store(cap + i, cap_v(load(acc + i), 1, (float)FINAL_SOFTCAP));
        memcpy(y, cap, (size_t)n * sizeof *y);
    } else {
        memcpy(y, acc, (size_t)n * sizeof *y);
    }
}

static void store_rows(const kern_matmul *m, const float *c, int j, int64_t row, int rows)
{
    int col = j * PANEL, n = m->n - col < PANEL ? m->n - col : PANEL;
    for (int r = 0; r < rows; r++, c += PANEL) {
        int64_t at = (row + r) * m->y_stride + col;
        if (m->mode == MM_F32)
            store_scores((float *)m->y + at, c, n);
        else
            store_row((elt *)m->y + at, c, m->bias ? m->bias + col : NULL, n, m->mode == MM_ADD);
    }
}

/* 1 / root of the mean square of n elements, a multiple of 16. */
INLINE vf norm_scale(const elt *x, int n, float eps)
{
    vf sum[16 / VL];                 /* 16 partial sums whatever the width */
    for (int j = 0; j < 16 / VL; j++)
        sum[j] = splat(0);
    for (int i = 0; i < n; i += 16)
        for (int j = 0; j < 16 / VL; j++) {
            vf v = load_elts(x + i + j * VL);
            sum[j] = fma_v(v, v, sum[j]);
        }
    for (int j = 1; j < 16 / VL; j++)
        sum[0] += sum[j];
    return splat(1 / sqrtf(reduce_add(sum[0])[0] / (float)n + eps));
}

/* Normalised elements times their weights, not rounded. */
INLINE vf normed(vf x, vf scale, vf w)
{
    return NORM_OFFSET ? x * scale * (1.0f + w) : round_elts(x * scale) * w;
}

static void rmsnorm(elt *y, const elt *x, const elt *w, float eps, bool add)
{
    vf scale = norm_scale(x, HIDDEN, eps);
    for (int i = 0; i < HIDDEN; i += VL) {
        vf v = normed(load_elts(x + i), scale, load_elts(w + i));
        store_elts(y + i, add ? load_elts(y + i) + round_elts(v) : v);
    }
}

static void head_norm(elt *x, const elt *w, float eps)
{
    vf scale = norm_scale(x, HEAD_DIM, eps);
    for (int i = 0; i < HEAD_DIM; i += VL)
        store_elts(x + i, normed(load_elts(x + i), scale, load_elts(w + i)));
}

static void scale_elts(elt *x, float by)
{
    for (int i = 0; i < HIDDEN; i += VL)
        store_elts(x + i, load_elts(x + i) * by);
}

static void rope(elt *y, const elt *x, const float *cs)
{
    enum { HALF = HEAD_DIM / 2 };
    float a[HALF], b[HALF];          /* a copy: y may be x */
    for (int i = 0; i < HALF; i++) {
        a[i] = float_of(x[i]);
        b[i] = float_of(x[i + HALF]);
    }
    for (int i = 0; i < HALF; i++) {
        y[i] = elt_of(a[i] * cs[2 * i] - b[i] * cs[2 * i + 1]);
        y[i + HALF] = elt_of(b[i] * cs[2 * i] + a[i] * cs[2 * i + 1]);
    }
}

/* x / (1 + e^-z): silu for z = x; gelu's tanh form too, (1 + tanh u) / 2 being the sigmoid
   of 2u. Beyond exp2_v's range the quotient is 0 to within 1e-36: infinity does. */
static inline vf sigmoid_times(vf x, vf z)
{
    vf t = z * -1.44269504f;
    vu far = (vu)(t > 127.0f), e = (vu)exp2_v(t);
    return x / (1.0f + (vf)((e & ~far) | (0x7f800000 & far)));
}

static inline vf act(vf x, bool gelu)
{
    vf u = (x + x * x * x * 0.044715f) * 1.59576912f;      /* 2 sqrt(2 / pi) */
    return sigmoid_times(x, gelu ? u : x);
}

static void act_mul(elt *y, const elt *gate, const elt *up, int64_t n, bool gelu)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        store_elts(y + i, round_elts(act(load_elts(gate + i), gelu)) * load_elts(up + i));
    if (i == n)
        return;
    elt g[VL] = { 0 }, u[VL] = { 0 };
    memcpy(g, gate + i, (size_t)(n - i) * sizeof *g);
    memcpy(u, up + i, (size_t)(n - i) * sizeof *u);
    store_elts(g, round_elts(act(load_elts(g), gelu)) * load_elts(u));
    memcpy(y + i, g, (size_t)(n - i) * sizeof *g);
}

static void finish(elt *y, const float *o, const float *ml)
{
    for (int d = 0; d < HEAD_DIM; d++)
        y[d] = elt_of(o[d] / ml[1]);
}

#define KERNELS(name, usable, thread_begin)                                                        \
    const hi_kernels kern_##name = { #name, usable, thread_begin, matmul, attend, attend_parts,    \
                                     merge, rmsnorm, head_norm, scale_elts, rope, act_mul,         \
                                     finish, quant_rows };

#endif
