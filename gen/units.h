/*
** units.h - numbers for people: times, bytes and tokens with three digits that count.
*/
#ifndef UNITS_H
#define UNITS_H

#include <stddef.h>
#include <stdint.h>

enum {
    UNIT_LEN = 32
}; /* of every text made here */

/* "0.12 ms", "33.1 ms", "6.41 s", "2033 s", "7.53 h". */
void time_text(double seconds, char *out);

/* "512 B", "1.50 KiB", "16.0 GiB", "97.4 TiB". */
void bytes_text(double bytes, char *out);

/* "155 TFLOP/s", "25.0 GB/s" for the units "FLOP" and "B": thousands. */
void rate_text(double per_second, const char *unit, char *out);

/* "10K", "1M" for 1024 x 10 and 1024 x 1000; else all digits. */
void tokens_text(int64_t tokens, char *out);

/* "16,060,522,496". */
void digits_text(int64_t n, char *out);

#endif
