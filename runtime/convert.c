/*
** convert.c - element formats of checkpoints, by their bits.
**
** Integer arithmetic only where a rounding mode or a flush of subnormals could otherwise
** change a value; the loops are plain so that the compiler vectorises them.
*/
#include "convert.h"

#include <string.h>

size_t convert_bytes(convert_type t)
{
    return t == CONVERT_F32 ? 4 : 2;
}

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Subnormals are n x 2^-24 and so become normal floats: no flush can touch them. */
static float widen_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    uint32_t normal = (magnitude << 13) + (112u << 23); /* exponent bias 15 -> 127 */
    uint32_t subnormal = bits_of((float)(int32_t)magnitude * 0x1p-24f);
    uint32_t special = (magnitude << 13) | 0x7f800000u;
    uint32_t bits = magnitude < 0x0400 ? subnormal : magnitude < 0x7c00 ? normal : special;
    return float_of(sign | bits);
}

static uint16_t round_bf16(float f)
{
    uint32_t bits = bits_of(f);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40; /* a NaN must not round to infinity */
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

void convert_bf16_to_f32(const uint16_t *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = float_of((uint32_t)in[i] << 16);
}

void convert_f16_to_f32(const uint16_t *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = widen_f16(in[i]);
}

void convert_f32_to_bf16(const float *in, uint16_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = round_bf16(in[i]);
}

void convert_f16_to_bf16(const uint16_t *in, uint16_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = round_bf16(widen_f16(in[i]));
}

/* First of n 16-bit elements whose exponent field is all ones. */
static size_t find_special_16(const uint16_t *in, size_t n, uint16_t exponent)
{
    uint16_t any = 0; /* no wider than the elements: as many at once as can be */
    for (size_t i = 0; i < n; i++)
        any |= (uint16_t)((in[i] & exponent) == exponent);
    if (!any) /* nearly always: one pass without a branch per element */
        return n;
    size_t i = 0;
    while ((in[i] & exponent) != exponent)
        i++;
    return i;
}

static size_t find_special_32(const float *in, size_t n)
{
    const uint32_t exponent = 0x7f800000u;
    unsigned any = 0;
    for (size_t i = 0; i < n; i++)
        any |= (bits_of(in[i]) & exponent) == exponent;
    if (!any)
        return n;
    size_t i = 0;
    while ((bits_of(in[i]) & exponent) != exponent)
        i++;
    return i;
}

size_t convert_not_finite(convert_type t, const void *elts, size_t n)
{
    switch (t) {
    case CONVERT_BF16:
        return find_special_16(elts, n, 0x7f80);
    case CONVERT_F16:
        return find_special_16(elts, n, 0x7c00);
    case CONVERT_F32:
        break;
    }
    return find_special_32(elts, n);
}
