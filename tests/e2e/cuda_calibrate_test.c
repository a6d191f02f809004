/*
** cuda_calibrate_test.c - what the pieces of a measured GPU count is what the device does.
**
** On the emulated GPU, whose counts are not ours; with the shape of toy_gqa. Times are looked at
** nowhere.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "cuda/geometry.h"
#include "emu_cuda.h"
#include "pieces.h"

/* Sizes that are run: larger ones take the emulation too long. */
enum {
    LEVELS = 3
};

/* What a piece of one level does, by hand. */
static const struct expected {
    figure f;
    double amount[LEVELS], down[LEVELS], up[LEVELS]; /* bytes to the device, to the host */
    int launches[LEVELS], products[LEVELS];
} EXPECTED[] = {
    { FIGURE_matmul, { 2 * 64, 2 * 256, 2 * 1024 }, { 0 }, { 0 }, { 0 }, { 4, 4, 4 } },
    { FIGURE_attend, { 128 * 1024, 256 * 2048, 1024 * 2048 }, { 0 }, { 0 }, { 1, 1, 1 }, { 0 } },
    { FIGURE_read, { 2, 8, 32 }, { 0 }, { 0 }, { 4, 16, 64 }, { 0 } },
    { FIGURE_attend_read, { 2048, 8192, 32768 }, { 0 }, { 0 }, { 2, 2, 2 }, { 0 } },
    { FIGURE_h2d, { 1, 4, 16 }, { 1, 4, 16 }, { 0 }, { 0 }, { 0 } },
    { FIGURE_d2h, { 1, 4, 16 }, { 0 }, { 1, 4, 16 }, { 0 }, { 0 } },
    { FIGURE_both, { 1, 4, 16 }, { 1, 4, 16 }, { 1, 4, 16 }, { 0 }, { 0 } },
    { FIGURE_step_s, { 16, 64, 256 }, { 0 }, { 0 }, { 16, 64, 256 }, { 0 } },
};

/* One unit of 'amount': a layer's parameters, FLOPs of all heads for a query and a key, bytes of a
   token's keys and values, 4 MiB, a launch. */
static double unit(figure f)
{
    double q = (double)HEADS * HEAD_DIM, kv = (double)KV_HEADS * HEAD_DIM;

    if (f == FIGURE_matmul || f == FIGURE_read)
        return HIDDEN * (2 * q + 2 * kv) + 3.0 * HIDDEN * FFN;
    if (f == FIGURE_attend)
        return 4 * q;
    if (f == FIGURE_attend_read)
        return 2 * kv * 2;
    return f == FIGURE_step_s ? 1 : 4 << 20;
}

static int differs(const struct expected *x, int level, const char *what, double got, double want)
{
    if (got == want)
        return 0;
    printf("figure %d, size %d: %s is %.17g, not %.17g\n", x->f, level, what, got, want);
    return 1;
}

static int check(pieces *p, const struct expected *x, int l)
{
    emu_cuda_counts a = emu_cuda_stats();
    done d = pieces_run(p, x->f, l);
    emu_cuda_counts b = emu_cuda_stats();

    return differs(x, l, "amount", d.amount, x->amount[l] * unit(x->f)) +
           differs(x, l, "to the device", (double)(b.h2d_bytes - a.h2d_bytes),
                   x->down[l] * (4 << 20)) +
           differs(x, l, "to the host", (double)(b.d2h_bytes - a.d2h_bytes), x->up[l] * (4 << 20)) +
           differs(x, l, "launches", (double)(b.launches - a.launches), x->launches[l]) +
           differs(x, l, "products", (double)(b.matmuls - a.matmuls), x->products[l]) +
           differs(x, l, "pageable copies", (double)(b.pageable_copies - a.pageable_copies), 0) +
           differs(x, l, "work left", b.queued, 0) +
           differs(x, l, "seconds > 0", isfinite(d.seconds) && d.seconds > 0, 1);
}

int main(void)
{
    char why[512] = "";
    pieces *p = pieces_open(why, sizeof why);
    int wrong = 0;

    if (p == NULL) {
        printf("%s\n", why);
        return 1;
    }
    for (size_t i = 0; i < sizeof EXPECTED / sizeof *EXPECTED; i++)
        for (int l = 0; l < LEVELS; l++)
            wrong += check(p, &EXPECTED[i], l);
    if (pieces_error(p) != NULL)
        wrong += printf("%s\n", pieces_error(p));
    pieces_close(p);
    emu_cuda_counts left = emu_cuda_stats();
    if (left.blocks + left.streams + left.events != 0)
        wrong += printf("not everything is given back\n");
    return wrong != 0;
}
