/*
** kern_vec.h - vectors of VL floats: what the shared kernel code is written in.
**
** A translation unit defines VL (16: AVX-512, 8: AVX2 with FMA, 4: any machine, with NEON
** defined one that has it) and includes this first. GCC's vector extensions do most of the work;
** the few operations they lack are the functions of the first section, once per width.
*/
#ifndef KERN_VEC_H
#define KERN_VEC_H

#include <assert.h>
#include <math.h>
#include <string.h>
#include "kern.h"

#if VL > 4
#include <immintrin.h>
#elif defined(NEON)
#include <arm_neon.h>
#endif

enum { PREFETCH_BYTES = 8192 };

#define LOG2_E 1.44269504f

#define INLINE static inline __attribute__((always_inline, unused))

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));

/* ---- once per width ----
** fma_v    a * b + c; without the instruction rounded twice, which is the same for products
**          of bf16: they are exact, but for those out of a float's range
** max_v    b where either is NaN; min_v likewise
** shift_v  p times 2 to the integer in t's low bits, where x >= -126 or is NaN; else 0
** words_v  VL 16-bit values, zero-extended; low_v the way back
** bytes_v  the same of 8-bit values
** lanes_v  VL / 4 pieces of 16 bytes: those of rows 0, 4, 8, ... of src
** swap_v   every lane's partner, 'by' lanes away
*/
#if VL == 16

#define LANES(X) {X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), \
                  X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15)}

INLINE vf fma_v(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vf max_v(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

INLINE vf min_v(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

INLINE vf shift_v(vf x, vf p, vf t)
{
    __mmask16 normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126), _CMP_NLT_UQ);
    __m512i exponent = _mm512_slli_epi32((__m512i)t, 23);
    return (vf)_mm512_maskz_add_epi32(normal, (__m512i)p, exponent);
}

INLINE vu words_v(const uint16_t *p)
{
    return (vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
}

INLINE vu bytes_v(const uint8_t *p)
{
    return (vu)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}

INLINE vh low_v(vu v)
{
    return (vh)_mm512_cvtepi32_epi16((__m512i)v);
}

/* Inserts from memory need no shuffle port, which is what limits a transposition. */
INLINE vu lanes_v(const char *src, size_t row_bytes)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)src));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + 4 * row_bytes)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + 8 * row_bytes)), 2);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + 12 * row_bytes)), 3);
    return (vu)v;
}

#elif VL == 8

#define LANES(X) {X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7)}

INLINE vf fma_v(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vf max_v(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

INLINE vf min_v(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

INLINE vf shift_v(vf x, vf p, vf t)
{
    vf y = (vf)((vu)p + ((vu)t << 23));
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(-126), _CMP_NLT_UQ), y);
}

INLINE vu words_v(const uint16_t *p)
{
    return (vu)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}

INLINE vu bytes_v(const uint8_t *p)
{
    return (vu)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

INLINE vh low_v(vu v)
{
    return __builtin_convertvector(v, vh);
}

INLINE vu lanes_v(const char *src, size_t row_bytes)
{
    __m128i lo = _mm_loadu_si128((const __m128i *)src);
    __m128i hi = _mm_loadu_si128((const __m128i *)(src + 4 * row_bytes));
    return (vu)_mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1);
}

#elif VL == 4

#define LANES(X) {X(0), X(1), X(2), X(3)}

INLINE vf fma_v(vf a, vf b, vf c)
{
#ifdef NEON
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}

INLINE vf max_v(vf a, vf b)
{
    vu pick = (vu)(a > b);
    return (vf)(((vu)a & pick) | ((vu)b & ~pick));
}

INLINE vf min_v(vf a, vf b)
{
    vu pick = (vu)(a < b);
    return (vf)(((vu)a & pick) | ((vu)b & ~pick));
}

INLINE vf shift_v(vf x, vf p, vf t)
{
    return (vf)(((vu)p + ((vu)t << 23)) & ~(vu)(x < -126.0f));
}

INLINE vu words_v(const uint16_t *p)
{
    vh v;
    memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, vu);
}

INLINE vu bytes_v(const uint8_t *p)
{
    return (vu){ p[0], p[1], p[2], p[3] };
}

INLINE vh low_v(vu v)
{
    return __builtin_convertvector(v, vh);
}

INLINE vu lanes_v(const char *src, size_t row_bytes)
{
    vu v;
    (void)row_bytes;
    memcpy(&v, src, sizeof v);
    return v;
}

#endif

#define BY8(i) (i) ^ 8
#define BY4(i) (i) ^ 4
#define BY2(i) (i) ^ 2
#define BY1(i) (i) ^ 1
#define swap_v(v, by) __builtin_shuffle(v, (vi)LANES(by))

/* ---- loads, stores, elements ---- */

INLINE vf splat(float x)
{
    return x - (vf){0};
}

INLINE vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vu load_dwords(const void *p)
{
    vu v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store_dwords(void *p, vu v)
{
    memcpy(p, &v, sizeof v);
}

/* Nearest bf16, ties to even, of floats that are not NaN: in the low halves. */
INLINE vu round_number(vf x)
{
    vu u = (vu)x;
    return (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

/* The same of any float: a NaN must not round to infinity. */
INLINE vu round_any(vf x)
{
    vu u = (vu)x;
    vu nan = (vu)((u & 0x7fffffff) > 0x7f800000);
    return (round_number(x) & ~nan) | (((u >> 16) | 0x40) & nan);
}

INLINE void store_words(uint16_t *p, vu v)
{
    vh h = low_v(v);
    memcpy(p, &h, sizeof h);
}

#if HI_F32

INLINE vf load_elts(const elt *p)
{
    return load(p);
}

INLINE void store_elts(elt *p, vf x)
{
    store(p, x);
}

INLINE vf round_elts(vf x)
{
    return x;
}

INLINE void store_probabilities(elt *p, vf x, vf y)
{
    store(p, x);
    store(p + VL, y);
}

#else

INLINE vf load_elts(const elt *p)
{
    return (vf)(words_v(p) << 16);
}

INLINE void store_elts(elt *p, vf x)
{
    store_words(p, round_any(x));
}

INLINE vf round_elts(vf x)
{
    return (vf)(round_any(x) << 16);
}

/* Two vectors, neither subnormal (exp2_v) nor read where NaN: the sum then is NaN too. */
INLINE void store_probabilities(elt *p, vf x, vf y)
{
#ifdef __AVX512BF16__
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(y, x));
#else
    store_words(p, round_number(x));
    store_words(p + VL, round_number(y));
#endif
}

#endif

/* Weights pass once through the second cache: those read in about a microsecond. */
INLINE void prefetch_ahead(const elt *p, int bytes)
{
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch((const void *)((uintptr_t)p + PREFETCH_BYTES + (uintptr_t)i));
}

/* ---- reductions: butterflies, the result in every lane ---- */

INLINE vf reduce_add(vf v)
{
#if VL > 8
    v += swap_v(v, BY8);
#endif
#if VL > 4
    v += swap_v(v, BY4);
#endif
    v += swap_v(v, BY2);
    return v + swap_v(v, BY1);
}

INLINE vf reduce_max(vf v)
{
#if VL > 8
    v = max_v(v, swap_v(v, BY8));
#endif
#if VL > 4
    v = max_v(v, swap_v(v, BY4));
#endif
    v = max_v(v, swap_v(v, BY2));
    return max_v(v, swap_v(v, BY1));
}

/*
** 2^x for x <= 127; exactly 0 for x < -126, exactly 1 for x = 0, NaN for NaN.
** Relative error at most 2e-7 (tests/kernels measures it): a polynomial of degree 5 on
** [-1/2, 1/2], minimax with the constant term held at 1, 9.2e-8, and its roundings.
*/
INLINE vf exp2_v(vf x)
{
    vf t = x + 0x1.8p23f;            /* the nearest integer is now in the low bits */
    vf f = x - (t - 0x1.8p23f);
    vf p = splat(0x1.5bba16p-10f);
    p = fma_v(p, f, splat(0x1.3cea8ap-7f));
    p = fma_v(p, f, splat(0x1.c6b752p-5f));
    p = fma_v(p, f, splat(0x1.ebf9bcp-3f));
    p = fma_v(p, f, splat(0x1.62e42ap-1f));
    p = fma_v(p, f, splat(1.0f));
    return shift_v(x, p, t);
}

/*
** 2^x for x <= 127 with a relative error of at most 3.1e-6: what is rounded to elements of 8 bits,
** or summed beside such. Exactly 0 where x < -149 or is -inf, exactly 1 for x = 0, NaN for NaN.
** 16 lanes: a polynomial of degree 4 on [0, 1), minimax with the constant term held at 1, 2.9e-6,
** and its roundings; subnormal results take the processor 100 cycles unless they are flushed.
*/
INLINE vf exp2_low_v(vf x)
{
#if VL == 16 && !HI_F32
    vf f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vf p = splat(0x1.b7f730p-7f);
    p = fma_v(p, f, splat(0x1.abf868p-5f));
    p = fma_v(p, f, splat(0x1.ee2450p-3f));
    p = fma_v(p, f, splat(0x1.62d6c6p-1f));
    p = fma_v(p, f, splat(1.0f));
    return _mm512_scalef_ps(p, x);
#else
    return exp2_v(x);
#endif
}

/* Subnormal operands and results are zeros from here on, and to what it was; only where
   exp2_low_v asks for it. */
INLINE unsigned flush_subnormal(void)
{
#if VL == 16 && !HI_F32
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    return mode;
#else
    return 0;
#endif
}

INLINE void restore_mode(unsigned mode)
{
#if VL == 16 && !HI_F32
    _mm_setcsr(mode);
#else
    (void)mode;
#endif
}

/* cap * tanh(scale * x / cap); tanh as (e^2u - 1) / (e^2u + 1), 1 beyond u = 40; NaN for NaN. */
INLINE vf cap_v(vf x, float scale, float cap)
{
    vf u = max_v(splat(-40), -max_v(splat(-40), -(x * (scale / cap))));
    vf e = exp2_v(u * (2 * LOG2_E));
    return cap * ((e - 1.0f) / (e + 1.0f));
}

/* Transposes dwords: row r of 'rows' (VL of them, row_bytes apart), 4 columns each, to
   dst[4][...], rows of dst_row dwords. */
INLINE void transpose_quad(uint32_t *dst, size_t dst_row, const char *rows, size_t row_bytes)
{
#define LOW32(i) ((i) & ~3) + ((i) & 1) * VL + (((i) & 3) >> 1)
#define LOW64(i) ((i) & ~3) + ((i) & 1) + ((i) & 2) / 2 * VL
    vu a = lanes_v(rows, row_bytes), b = lanes_v(rows + row_bytes, row_bytes);
    vu c = lanes_v(rows + 2 * row_bytes, row_bytes), d = lanes_v(rows + 3 * row_bytes, row_bytes);
    vi low32 = LANES(LOW32), low64 = LANES(LOW64);
    vu ab0 = __builtin_shuffle(a, b, low32), ab1 = __builtin_shuffle(a, b, low32 + 2);
    vu cd0 = __builtin_shuffle(c, d, low32), cd1 = __builtin_shuffle(c, d, low32 + 2);
    store_dwords(dst, __builtin_shuffle(ab0, cd0, low64));
    store_dwords(dst + dst_row, __builtin_shuffle(ab0, cd0, low64 + 2));
    store_dwords(dst + 2 * dst_row, __builtin_shuffle(ab1, cd1, low64));
    store_dwords(dst + 3 * dst_row, __builtin_shuffle(ab1, cd1, low64 + 2));
#undef LOW32
#undef LOW64
}

/* Has a part or carry seen no key? One that has seen NaN alone has a sum of NaN. */
INLINE bool is_empty(const float *ml)
{
    return ml[0] == -INFINITY && ml[1] == 0;
}

/* ---- one element ---- */

INLINE float float_of(elt e)
{
#if HI_F32
    return e;
#else
    uint32_t bits = (uint32_t)e << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
#endif
}

INLINE elt elt_of(float x)
{
#if HI_F32
    return x;
#else
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (elt)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : rounded);
#endif
}

#endif
