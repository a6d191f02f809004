/*
** units.c - numbers for people: times, bytes and tokens with three digits that count.
*/
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void figure(double v, const char *unit, char *out)
{
    int digits = v >= 99.95 || v == 0 ? 0 : v >= 9.995 ? 1 : v >= 0.1 ? 2 : 4;

    if (v >= 99999.5)
        snprintf(out, UNIT_LEN, "%.1e %s", v, unit);
    else
        snprintf(out, UNIT_LEN, "%.*f %s", digits, v, unit);
}

void time_text(double seconds, char *out)
{
    if (seconds < 0.9995)
        figure(seconds * 1e3, "ms", out);
    else if (seconds < 1e4)
        figure(seconds, "s", out);
    else
        figure(seconds / 3600, "h", out);
}

/* Divides while there is a larger unit. */
static void scaled(double v, double by, const char *const *unit, int n, char *out)
{
    int u = 0;

    while (u < n - 1 && v >= by * 0.9995) {
        v /= by;
        u++;
    }
    if (u == 0) /* whole bytes */
        snprintf(out, UNIT_LEN, "%.0f %s", v, unit[0]);
    else
        figure(v, unit[u], out);
}

void bytes_text(double bytes, char *out)
{
    static const char *const UNIT[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

    if (bytes == 0)
        strcpy(out, "0");
    else
        scaled(bytes, 1024, UNIT, 7, out);
}

void rate_text(double per_second, const char *unit, char *out)
{
    static const char *const UNIT[] = { "", "k", "M", "G", "T", "P" };
    size_t len;

    scaled(per_second, 1000, UNIT, 6, out);
    len = strlen(out);
    snprintf(out + len, UNIT_LEN - len, "%s/s", unit);
}

void tokens_text(int64_t tokens, char *out)
{
    int64_t k = tokens / 1024;

    if (tokens % 1024 != 0 || k == 0)
        snprintf(out, UNIT_LEN, "%" PRId64, tokens);
    else if (k % 1000 != 0)
        snprintf(out, UNIT_LEN, "%" PRId64 "K", k);
    else
        snprintf(out, UNIT_LEN, "%" PRId64 "M", k / 1000);
}

void digits_text(int64_t n, char *out)
{
    char digits[UNIT_LEN];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;

    for (int i = 0; i < len; i++) {
        out[at++] = digits[i];
        if ((len - 1 - i) % 3 == 0 && i < len - 1 && digits[i] != '-')
            out[at++] = ',';
    }
    out[at] = '\0';
}
