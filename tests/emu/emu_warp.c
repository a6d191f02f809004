/*
** emu_warp.c - collectives of a warp, checks of addresses and asynchronous copies of the emulated
** GPU.
**
** A collective takes the lanes its mask names: each leaves its operands in its emu_thread and gives
** way, the last to arrive reads and writes for all. Which lane runs next is emu.c's.
*/
#include "emu_machine.h"

#include <string.h>

/* ---- what a collective does; t[0..31] are the lanes of the warp ---- */

static float wide(uint16_t x)
{
    union {
        uint32_t u;
        float f;
    } v = { (uint32_t)x << 16 };
    return v.f;
}

/* k outermost, so that the inner loops become vectors over the 16 rows of a and d. */
static void do_mma(emu_thread *t)
{
    float a[16][16] __attribute__((aligned(64)));
    float b[16][8] __attribute__((aligned(64)));
    float d[8][16] __attribute__((aligned(64)));
    for (unsigned l = 0; l < 32; l++) {
        const uint32_t *fa = t[l].in[0], *fb = t[l].in[1];
        const float *fd = t[l].out;
        unsigned row = l / 4, col = l % 4 * 2;
        for (unsigned i = 0; i < 4; i++) {
            unsigned r = row + i % 2 * 8, c = col + i / 2 * 8;
            a[c][r] = wide((uint16_t)fa[i]);
            a[c + 1][r] = wide((uint16_t)(fa[i] >> 16));
            d[col + i % 2][row + i / 2 * 8] = fd[i];
        }
        for (unsigned i = 0; i < 2; i++) {
            b[col + i * 8][row] = wide((uint16_t)fb[i]);
            b[col + i * 8 + 1][row] = wide((uint16_t)(fb[i] >> 16));
        }
    }
    for (int k = 0; k < 16; k++) {
        for (int n = 0; n < 8; n++) {
            float x = b[k][n];
            for (int m = 0; m < 16; m++)
                d[n][m] += a[k][m] * x;
        }
    }
    for (unsigned l = 0; l < 32; l++) {
        float *fd = t[l].out;
        for (unsigned i = 0; i < 4; i++)
            fd[i] = d[l % 4 * 2 + i % 2][l / 4 + i / 2 * 8];
        IS_DEFINED(fd, 16);
    }
    M->stat.mma++;
}

/* Passes that the eight 16-byte rows of one matrix need beyond the first. */
static unsigned conflicts_of(const emu_thread *t)
{
    unsigned count[8] = { 0 }, worst = 0;
    for (int r = 0; r < 8; r++) {
        unsigned n = ++count[(uintptr_t)t[r].in[0] / 16 % 8];
        worst = n > worst ? n : worst;
    }
    return worst - 1;
}

static void do_ldmatrix(emu_thread *t, bool transposed)
{
    for (unsigned m = 0; m < 4; m++) {
        const emu_thread *rows = t + m * 8;
        M->stat.conflicts += conflicts_of(rows);
        for (unsigned l = 0; l < 32; l++) {
            uint32_t *out = t[l].out;
            uint16_t pair[2];
            for (unsigned i = 0; i < 2; i++) {
                unsigned row = transposed ? l % 4 * 2 + i : l / 4;
                unsigned col = transposed ? l / 4 : l % 4 * 2 + i;
                pair[i] = ((const uint16_t *)rows[row].in[0])[col];
            }
            out[m] = pair[0] | (uint32_t)pair[1] << 16;
            IS_DEFINED(&out[m], 4);
        }
    }
    M->stat.ldmatrix++;
}

static void do_shfl(emu_thread *t, unsigned mask)
{
    unsigned v[32];
    for (unsigned l = 0; l < 32; l++)
        v[l] = t[l].val;
    for (unsigned l = 0; l < 32; l++) {
        if (!(mask >> l & 1))
            continue;
        if (!(mask >> (t[l].n & 31) & 1))
            FAIL("shfl at %s:%d: lane %u reads lane %d, which takes no part", t[l].file, t[l].line,
                 l, t[l].n & 31);
        t[l].val = v[t[l].n & 31];
    }
    M->stat.shfl++;
}

static void do_any(emu_thread *t, unsigned mask)
{
    unsigned any = 0;
    for (unsigned l = 0; l < 32; l++)
        any |= mask >> l & 1 ? t[l].val : 0;
    for (unsigned l = 0; l < 32; l++)
        t[l].val = any;
}

static void run_op(emu_thread *t, emu_op op, unsigned mask)
{
    if (op == EMU_MMA_BF16)
        do_mma(t);
    else if (op == EMU_LDMATRIX || op == EMU_LDMATRIX_T)
        do_ldmatrix(t, op == EMU_LDMATRIX_T);
    else if (op == EMU_SHFL)
        do_shfl(t, mask);
    else if (op == EMU_CALL)
        t->call(t);
    else if (op == EMU_ANY)
        do_any(t, mask);
}

/* ---- arriving at one ---- */

/* Everyone the mask names must be alive, and whoever waits already, at this very line. */
static void check_warp(const emu_thread *t, emu_op op, unsigned mask, const char *file, int line)
{
    const warp *w = warp_of(t);
    const emu_thread *t0 = t - t->lane;
    if (UNLIKELY(!(mask >> t->lane & 1)))
        FAIL("%s at %s:%d: lane %u is not in its own mask %08x", emu_op_name[op], file, line,
             t->lane, mask);
    if (UNLIKELY(mask & ~w->live))
        FAIL("%s at %s:%d: mask %08x names lanes that have ended (live: %08x)", emu_op_name[op],
             file, line, mask, w->live);
    unsigned peers = (w->waiting | w->at_barrier) & mask;
    if (!peers)
        return;
    const emu_thread *p = t0 + __builtin_ctz(peers);
    if (UNLIKELY(p->op != op || p->mask != mask || p->line != line || p->file != file))
        FAIL("warp divergence: lane %u at %s %s:%d, lane %u at %s %s:%d", t->lane, emu_op_name[op],
             file, line, p->lane, emu_op_name[p->op], p->file, p->line);
}

static void check_operands(emu_thread *t, emu_op op)
{
    if (op == EMU_LDMATRIX || op == EMU_LDMATRIX_T) {
        IS_READ(t->in[0], 16);
        MUST_BE_DEFINED(t->in[0], 16);
    } else if (op == EMU_MMA_BF16) {
        MUST_BE_DEFINED(t->in[0], 16);
        MUST_BE_DEFINED(t->in[1], 8);
        MUST_BE_DEFINED(t->out, 16);
    } else if (op == EMU_SHFL || op == EMU_ANY) {
        MUST_BE_DEFINED(&t->val, 4);
    }
}

void emu_warp_op(emu_op op, unsigned mask, const char *file, int line)
{
    emu_thread *t = emu_self, *t0 = t - t->lane;
    warp *w = warp_of(t);
    unsigned me = 1u << t->lane;
    check_warp(t, op, mask, file, line);
    check_operands(t, op);
    t->op = op;
    t->mask = mask;
    t->file = file;
    t->line = line;
    if (op == EMU_SYNCWARP)          /* the one collective that orders memory */
        ORDER_RELEASE(&t0->warp_tag);
    if (((w->waiting | me) & mask) == mask) {
        w->waiting &= ~mask;
        w->runnable |= mask;
        run_op(t0, op, mask);
    } else {
        w->waiting |= me;
        w->runnable &= ~me;
        give_way(t);
    }
    if (op == EMU_SYNCWARP)
        ORDER_ACQUIRE(&t0->warp_tag);
}

void emu_warp_call(void (*call)(emu_thread *lanes), const char *file, int line)
{
    emu_self->call = call;
    emu_warp_op(EMU_CALL, ~0u, file, line);
}

/* ---- addresses ---- */

void emu_check_threads(const char *kernel, unsigned most)
{
    if (UNLIKELY(M->n_threads > most))
        FAIL("%s: %u threads, launch bounds say %u", kernel, M->n_threads, most);
}

void emu_check_align(const void *p, unsigned bytes, const char *file, int line)
{
    if (UNLIKELY((uintptr_t)p % bytes))
        FAIL("%s:%d: address is not a multiple of %u", file, line, bytes);
}

void emu_check_smem(const void *p, unsigned bytes, const char *what, const char *file, int line)
{
    const unsigned char *b = p;
    if (UNLIKELY(b < emu_smem || b + bytes > emu_smem + M->job->smem_bytes))
        FAIL("%s at %s:%d: shared address out of bounds: %td of %zu bytes", what, file, line,
             b - emu_smem, M->job->smem_bytes);
    if (UNLIKELY((uintptr_t)p % bytes))
        FAIL("%s at %s:%d: misaligned shared address %td", what, file, line, b - emu_smem);
}

/* ---- cp.async: the target is NaN from issue to wait ---- */

void emu_cp_async(void *dst, const void *src, unsigned bytes, unsigned valid, const char *file,
                  int line)
{
    emu_thread *t = emu_self;
    emu_check_smem(dst, bytes, "cp.async", file, line);
    emu_check_align(src, bytes, file, line);
    if (t->copy_tail - t->copy_head == MOST_COPIES)
        FAIL("cp.async at %s:%d: more than %d copies in flight", file, line, MOST_COPIES);
    t->copies[t->copy_tail++ % MOST_COPIES] =
        (emu_copy){ dst, src, bytes, valid, t->copy_group };
    memset(dst, 0xff, bytes);
    IS_WRITTEN(dst, bytes);
    IS_UNDEFINED(dst, bytes);
}

void emu_cp_commit(void)
{
    emu_self->copy_group++;
}

void emu_cp_wait(unsigned n)
{
    emu_thread *t = emu_self;
    while (t->copy_head != t->copy_tail) {
        const emu_copy *c = &t->copies[t->copy_head % MOST_COPIES];
        if ((int)(t->copy_group - n - c->group) <= 0)
            break;
        memcpy(c->dst, c->src, c->valid);
        memset((char *)c->dst + c->valid, 0, c->bytes - c->valid);
        IS_WRITTEN(c->dst, c->bytes);
        M->stat.async_bytes += c->valid;
        t->copy_head++;
    }
}
