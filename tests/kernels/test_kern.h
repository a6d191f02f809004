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

/* Half a unit in the last place of an element, relative; of a float. */
#define HALF_ULP (HI_F32 ? 0x1p-24 : 0x1p-9)
#define HALF_ULP_FLOAT 0x1p-24

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

/* test_attend.c */
void test_attend_reference(void **state);
void test_attend_saturated(void **state);
void test_attend_cut(void **state);
void test_attend_window(void **state);
void test_attend_causal(void **state);
void test_attend_garbage(void **state);
void test_attend_ones(void **state);
void test_attend_permuted(void **state);
void test_merge_empty(void **state);
void test_probabilities(void **state);
void test_exp2(void **state);

#endif
