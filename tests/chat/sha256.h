/*
** sha256.h - SHA-256 of a text, in hexadecimal. Source: FIPS 180-4.
*/
#ifndef SHA256_H
#define SHA256_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The first 32 bits of the fraction of a root of the n-th prime. */
static uint32_t sha256_root(int n, double (*root)(double))
{
    int prime = 2;
    for (int k = 0;; prime++) {
        int d = 2;
        while (d * d <= prime && prime % d != 0)
            d++;
        if (d * d > prime && k++ == n)
            break;
    }
    double r = root(prime);
    return (uint32_t)((r - floor(r)) * 4294967296.0);
}

static uint32_t sha256_turn(uint32_t v, int by)
{
    return v >> by | v << (32 - by);
}

static void sha256_block(uint32_t s[8], const uint32_t k[64], const unsigned char *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha256_turn(a, 7) ^ sha256_turn(a, 18) ^ a >> 3) +
               (sha256_turn(b, 17) ^ sha256_turn(b, 19) ^ b >> 10);
    }
    memcpy(v, s, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t = v[7] + (sha256_turn(e, 6) ^ sha256_turn(e, 11) ^ sha256_turn(e, 25)) +
                     ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        uint32_t u = (sha256_turn(a, 2) ^ sha256_turn(a, 13) ^ sha256_turn(a, 22)) +
                     ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t;
        v[0] = t + u;
    }
    for (int i = 0; i < 8; i++)
        s[i] += v[i];
}

static inline void sha256_hex(const char *text, size_t n, char hex[65])
{
    uint32_t s[8], k[64];
    unsigned char last[128] = { 0 };
    size_t whole = n / 64 * 64, rest = n - whole, end = rest < 56 ? 64 : 128;
    for (int i = 0; i < 64; i++)
        k[i] = sha256_root(i, cbrt);
    for (int i = 0; i < 8; i++)
        s[i] = sha256_root(i, sqrt);
    for (size_t i = 0; i < whole; i += 64)
        sha256_block(s, k, (const unsigned char *)text + i);
    memcpy(last, text + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[end - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
    for (size_t i = 0; i < end; i += 64)
        sha256_block(s, k, last + i);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", (unsigned)s[i]);
}

#endif
