/*
** rope.c - radians per position of each rotated pair.
**
** Source: the reference implementation's rope utilities: f_i = theta^(-2i / d), and for
** llama3 a band-wise interpolation between f and f / factor by wavelength.
*/
#include "print.h"

#include <math.h>

static double llama3(const hi_rope *r, double f)
{
    double wavelength = 2 * 3.14159265358979323846 / f;

    if (wavelength > r->orig_ctx / r->low_freq)
        return f / r->factor;
    if (wavelength < r->orig_ctx / r->high_freq)
        return f;
    double t = (r->orig_ctx / wavelength - r->low_freq) / (r->high_freq - r->low_freq);
    return (1 - t) * f / r->factor + t * f;
}

double rope_freq(const hi_spec *s, int i)
{
    double f = pow(s->rope.theta, -2.0 * i / s->head_dim);

    if (s->rope.kind == ROPE_LINEAR)
        return f / s->rope.factor;
    return s->rope.kind == ROPE_LLAMA3 ? llama3(&s->rope, f) : f;
}
