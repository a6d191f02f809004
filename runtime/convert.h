/*
** convert.h - element formats of checkpoints: bf16, fp16, fp32.
**
** Widening is exact for every bit pattern, subnormals, infinities and NaN payloads included.
** Narrowing rounds to nearest, ties to even. Inputs and outputs do not overlap.
*/
#ifndef CONVERT_H
#define CONVERT_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CONVERT_BF16,
    CONVERT_F16,
    CONVERT_F32
} convert_type;

size_t convert_bytes(convert_type t); /* of one element */

void convert_bf16_to_f32(const uint16_t *in, float *out, size_t n);
void convert_f16_to_f32(const uint16_t *in, float *out, size_t n);
void convert_f32_to_bf16(const float *in, uint16_t *out, size_t n);
void convert_f16_to_bf16(const uint16_t *in, uint16_t *out, size_t n);

/* Index of the first infinity or NaN among n elements of type t; n: all are finite. */
size_t convert_not_finite(convert_type t, const void *elts, size_t n);

#endif
