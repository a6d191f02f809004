/*
** rope.c - radians per position of each rotated pair, and the scale of cosine and sine.
**
** Source: the reference implementation's rope utilities: f_i = theta^(-2i / d), changed by kind.
** What depends on the length of the context there is fixed here for the planned context.
*/
#include "print.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

/* Interpolated, or not, by wavelength. */
static double llama3(const hi_rope *r, double f)
{
    double wavelength = 2 * PI / f;

    if (wavelength > r->orig_ctx / r->low_freq)
        return f / r->factor;
    if (wavelength < r->orig_ctx / r->high_freq)
        return f;
    double t = (r->orig_ctx / wavelength - r->low_freq) / (r->high_freq - r->low_freq);
    return (1 - t) * f / r->factor + t * f;
}

/* The pair that turns so many times in the original context. */
static double yarn_pair(const hi_rope *r, int dim, double turns)
{
    return dim * log(r->orig_ctx / (turns * 2 * PI)) / (2 * log(r->theta));
}

/* Source: YaRN, arXiv 2309.00071: a ramp over pairs from f to f / factor. */
static double yarn(const hi_rope *r, int dim, int i, double f)
{
    double lo = fmax(floor(yarn_pair(r, dim, r->beta_fast)), 0);
    double hi = fmin(ceil(yarn_pair(r, dim, r->beta_slow)), dim - 1);
    double ramp = (i - lo) / ((hi == lo ? hi + 0.001 : hi) - lo);

    ramp = fmin(fmax(ramp, 0), 1);
    return f / r->factor * ramp + f * (1 - ramp);
}

static double dynamic_theta(const hi_rope *r, int dim, int64_t ctx)
{
    double length = fmax((double)ctx, r->orig_ctx);
    double stretch = r->factor * length / r->orig_ctx - (r->factor - 1);

    return r->theta * pow(stretch, dim / (dim - 2.0));
}

double rope_freq(const hi_spec *s, int64_t ctx, int i)
{
    const hi_rope *r = &s->rope;
    int dim = s->head_dim;
    double theta = r->kind == ROPE_DYNAMIC ? dynamic_theta(r, dim, ctx) : r->theta;
    double f = pow(theta, -2.0 * i / dim);

    switch (r->kind) {
    case ROPE_LINEAR:
        return f / r->factor;
    case ROPE_LLAMA3:
        return llama3(r, f);
    case ROPE_YARN:
        return yarn(r, dim, i, f);
    case ROPE_LONGROPE:
        return f / (rope_is_long(s, ctx) ? r->long_by[i] : r->short_by[i]);
    default:
        return f;
    }
}

bool rope_is_long(const hi_spec *s, int64_t ctx)
{
    return s->rope.kind == ROPE_LONGROPE && (double)ctx > s->rope.orig_ctx;
}

double rope_scale(const hi_spec *s)
{
    return s->rope.kind == ROPE_YARN || s->rope.kind == ROPE_LONGROPE ? s->rope.attn_factor : 1;
}
