/*
** test_kern.h - what the kernel tests share: the tables to test, made-up numbers, bits.
*/
#ifndef TEST_KERN_H
#define TEST_KERN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kern.h"

extern const hi_kernels *tables[8];          /* usable on this machine */
extern int n_tables;

#define FOR_TABLES(t) for (const hi_kernels *const *at_ = tables, *t = *at_;                       \
                           at_ < tables + n_tables; t = *++at_)

/* Half a unit in the last place of an element, relative, at most: of 8 significant bits (float:
   24), so right above a power of two; of a float. The smallest element above 0. */
#define HALF_ULP (HI_F32 ? 0x1p-24 : 0x1p-8)
#define HALF_ULP_FLOAT 0x1p-24
#define NEAR ((HI_F32 ? 8 : 4) * HALF_ULP)   /* two roundings that went another way */
#define SMALLEST (HI_F32 ? 0x1p-149 : 0x1p-133)

elt to_elt(float x);
float of_elt(elt e);

/* Uniform in [-1, 1), the same sequence in every run. */
float uniform(void);

/* n elements of 'scale' x uniform in memory of exactly that size, for the sanitizers. */
elt *random_elts(size_t n, float scale);
void *alloc(size_t bytes);

#define assert_bits(a, b, bytes) assert_memory_equal(a, b, bytes)
#define assert_near(got, want, tolerance) check_near(got, want, tolerance, __FILE__, __LINE__)
void check_near(double got, double want, double tolerance, const char *file, int line);

/* Elements of the same bits, or NaN both. */
void check_same_elts(const elt *got, const elt *want, size_t n);

/* Elements that differ from the reference's rounding: one in fifty may, by one unit and what
   the second rounding makes of it, where a value lies next to a tie; by 'least' in any case. */
void check_rounded(const elt *got, const elt *want, size_t n, double relative, double least);

/* The operands of a product, in memory of their size. */
typedef struct matrices {
    int m, n, k;
    int64_t x_stride, y_stride;
    elt *x, *w, *packed, *bias;
} matrices;

/* x and w uniform up to the scales. */
matrices make_matrices(int m, int n, int k, float x_scale, float w_scale);
void pack_matrices(matrices *a);             /* once more, after w was written */
void free_matrices(matrices *a);
kern_matmul call_of_matrices(const matrices *a, void *y, mm_mode mode, bool bias);

/* Sums against double, in every mode, cut in every way. */
void check_matmul(const hi_kernels *t, const matrices *a);

/* y = round(round(x / root of the mean square) * w) */
void norm_of(elt *y, const elt *x, const elt *w, int n);

/* test_numbers.c */
void test_matmul_random(void **state);
void test_matmul_magnitudes(void **state);
void test_matmul_strange(void **state);
void test_matmul_overflow(void **state);
void test_norm_magnitudes(void **state);
void test_norm_strange(void **state);
void test_rope_magnitudes(void **state);
void test_scale_magnitudes(void **state);
void test_act_magnitudes(void **state);
void test_act_strange(void **state);
void test_finish_magnitudes(void **state);

/* test_quant.c */
void test_quant_rows(void **state);
void test_quant_again(void **state);
void test_quant_unpack(void **state);
void test_quant_matmul(void **state);

/* test_attend.c */
void test_attend_reference(void **state);
void test_attend_saturated(void **state);
void test_attend_cut(void **state);
void test_attend_window(void **state);
void test_attend_causal(void **state);
void test_attend_garbage(void **state);
void test_attend_later_keys(void **state);
void test_attend_negative_zero(void **state);
void test_attend_nan(void **state);
void test_attend_ones(void **state);
void test_attend_permuted(void **state);
void test_merge_empty(void **state);
void test_probabilities(void **state);
void test_exp2(void **state);

#endif
