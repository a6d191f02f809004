/*
** test_convert.c - element formats, every 16-bit pattern of them.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "convert.h"

static double slow_half(unsigned h)
{
    int e = h >> 10 & 31;
    double f = (double)(h & 1023) / 1024;
    double v = e == 0 ? ldexp(f, -14) : ldexp(1 + f, e - 15);
    return h & 0x8000 ? -v : v;
}

/* Every 16-bit pattern, against arithmetic in double. */
static void every_half(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        uint16_t in = (uint16_t)h, b, back;
        float f;
        uint32_t bits;
        convert_f16_to_f32(&in, &f, 1);
        convert_f16_to_bf16(&in, &b, 1);
        memcpy(&bits, &f, 4);
        if ((h & 0x7c00) == 0x7c00) { /* infinities and NaNs keep their bits */
            assert_int_equal(bits, (h & 0x8000u) << 16 | 0x7f800000u | (h & 1023u) << 13);
            assert_int_equal(convert_not_finite(CONVERT_F16, &in, 1), 0);
            assert_int_equal(b & 0x7f, (h & 1023) ? (h >> 3 & 0x7f) | 0x40 : 0);
        } else {
            assert_true((double)f == slow_half(h) && !signbit(f) == !(h & 0x8000));
            assert_int_equal(convert_not_finite(CONVERT_F16, &in, 1), 1);
        }
        convert_bf16_to_f32(&in, &f, 1);
        memcpy(&bits, &f, 4);
        assert_int_equal(bits, h << 16);
        convert_f32_to_bf16(&f, &back, 1);
        assert_int_equal(back, isnan(f) ? h | 0x40 : h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
