/*
** kern_pack.c - the packed layout of weights, and the rotation table.
*/
#include "kern.h"

#include <math.h>
#include <string.h>

enum {
    PAIR = HI_F32 ? 1 : 2,           /* values of k side by side */
    K_PIECE = 64                     /* of a row at once: 8 or 16 KiB of a panel */
};

int64_t pack_bytes(int64_t n, int64_t k)
{
    return (n + PANEL - 1) / PANEL * PANEL * k * (int64_t)sizeof(elt);
}

/* Where element (row, 0) of a packed matrix lies; (row, i), i a multiple of PAIR: i * PANEL on. */
static int64_t packed_at(int64_t row, int64_t k)
{
    return row / PANEL * PANEL * k + row % PANEL * PAIR;
}

/* Columns [from, from + K_PIECE) of some rows of one panel. */
static void pack_piece(elt *dst, const elt *src, int64_t row0, int64_t rows, int64_t k,
                       int64_t from)
{
    int64_t to = from + K_PIECE < k ? from + K_PIECE : k;
    for (int64_t r = 0; r < rows; r++) {
        elt *d = dst + packed_at(row0 + r, k);
        for (int64_t i = from; i < to; i += PAIR)
            memcpy(d + i * PANEL, src + r * k + i, PAIR * sizeof(elt));
    }
}

void pack_rows(elt *dst, const elt *src, int64_t row0, int64_t rows, int64_t k)
{
    while (rows > 0) {
        int64_t some = PANEL - row0 % PANEL;
        if (some > rows)
            some = rows;
        for (int64_t from = 0; from < k; from += K_PIECE)
            pack_piece(dst, src, row0, some, k, from);
        src += some * k;
        row0 += some;
        rows -= some;
    }
}

void unpack_row(elt *dst, const elt *packed, int64_t row, int64_t k)
{
    packed += packed_at(row, k);
    for (int64_t i = 0; i < k; i += PAIR)
        memcpy(dst + i, packed + i * PANEL, PAIR * sizeof(elt));
}

/* In double and then rounded: the same bits with every mathematics library. */
void rope_row(float *cs, const float *freq, float scale, int64_t pos)
{
    for (int i = 0; i < HEAD_DIM / 2; i++) {
        float angle = (float)pos * freq[i];
        cs[2 * i] = (float)cos(angle) * scale;
        cs[2 * i + 1] = (float)sin(angle) * scale;
    }
}
