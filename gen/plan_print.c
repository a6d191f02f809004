/*
** plan_print.c - what a plan says of itself: names, byte counts, the memory table.
*/
#include "print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *what;
} BUFFER[N_BUFFERS] = {
#define B(name, phases, what) { #name, what },
#include "buffers.def"
#undef B
};

void size_text(int64_t bytes, char *out, size_t n)
{
    static const char UNIT[] = "BKMGT";
    int u = 0;

    while (u < 4 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        u++;
    }
    snprintf(out, n, "%" PRId64 "%c", bytes, UNIT[u]);
}

void mib_text(int64_t bytes, char *out, size_t n)
{
    if (bytes >= (int64_t)10 << 30)
        snprintf(out, n, "%.1f GiB", (double)bytes / (1 << 30));
    else
        snprintf(out, n, "%.1f MiB", (double)bytes / (1 << 20));
}

void plan_name(const hi_spec *s, const hi_plan *p, char *out, size_t n)
{
    char size[32] = "resident";

    if (p->req.vram_bytes >= 0)
        size_text(p->req.vram_bytes, size, sizeof size);
    snprintf(out, n, "%s-%s%s", s->name, size, p->req.numerics == NUM_F32 ? "-f32" : "");
}

static void add_size(text *t, const char *flag, int64_t bytes)
{
    char size[32];
    size_text(bytes, size, sizeof size);
    if (bytes >= 0)
        text_printf(t, " %s %s", flag, size);
}

static void add_number(text *t, const char *flag, int64_t value, int64_t least)
{
    if (value >= least)
        text_printf(t, " %s %" PRId64, flag, value);
}

void plan_command(const hi_spec *s, const hi_plan *p, char *out, size_t n)
{
    const hi_request *q = &p->req;
    text t = { 0 };

    text_printf(&t, "hi-gen %s.lua", s->name);
    add_size(&t, "--vram", q->vram_bytes);
    add_size(&t, "--ram", q->ram_bytes);
    add_number(&t, "--ctx", q->ctx, 1);
    add_number(&t, "--chunk", q->chunk, 1);
    add_number(&t, "--tile", q->tile, 1);
    add_number(&t, "--group", q->group, 1);
    add_number(&t, "--slots", q->slots, 1);
    add_number(&t, "--resident", q->resident, 0);
    text_printf(&t, "%s%s", q->logits_all ? " --logits all" : "",
                q->numerics == NUM_F32 ? " --numerics f32" : "");
    snprintf(out, n, "%s", t.failed ? "" : t.data);
    text_free(&t);
}

int64_t streamed_rows(const hi_plan *p, const hi_group *g, hi_phase phase)
{
    int64_t complete = (p->ctx - 1) / KEY_SPLIT * KEY_SPLIT;
    int64_t rows = complete - g->resident[phase] * p->tile;

    return p->offload && rows > 0 ? rows : 0;
}

static void print_decisions(const hi_spec *s, const hi_plan *p, text *out)
{
    char size[32];

    text_printf(out, "%s: %d layers, %d KV heads, context %" PRId64 " tokens, %s\n", s->name, s->layers,
                s->kv_heads, p->ctx, p->req.numerics == NUM_F32 ? "f32" : "bf16");
    if (!p->offload) {
        text_printf(out, "everything is resident: no host store, nothing is copied\n");
        text_printf(out, "prefill in chunks of %" PRId64 " tokens\n", p->chunk);
        return;
    }
    text_printf(out, "%d KV heads move together, tiles of %" PRId64 " tokens, %d slots, chunks of %" PRId64
                     " tokens\n",
                p->group, p->tile, p->slots, p->chunk);
    for (int phase = PREFILL; phase <= DECODE; phase++) {
        int64_t least = p->tiles, most = 0, bytes = 0;
        for (int g = 0; g < p->n_groups; g++) {
            const hi_group *gr = &p->group_of[g];
            least = gr->resident[phase] < least ? gr->resident[phase] : least;
            most = gr->resident[phase] > most ? gr->resident[phase] : most;
            bytes += streamed_rows(p, gr, phase) * gr->n * kv_row_bytes(s, p->elt);
        }
        mib_text(bytes, size, sizeof size);
        text_printf(out, "%s: %" PRId64 "-%" PRId64 " of %d tiles per KV head resident; a pass at full "
                         "context copies %s\n",
                    phase == PREFILL ? "prefill" : "decode", least, most, p->tiles, size);
    }
}

void plan_print(const hi_spec *s, const hi_plan *p, text *out)
{
    char size[32];

    print_decisions(s, p, out);
    text_printf(out, "\n%-8s %14s %14s  %s\n", "buffer", "prefill", "decode", "holds");
    for (int id = 0; id < N_BUFFERS; id++) {
        int64_t a = p->buf[PREFILL][id].bytes, b = p->buf[DECODE][id].bytes;
        if (a > 0 || b > 0)
            text_printf(out, "%-8s %14" PRId64 " %14" PRId64 "  %s\n", BUFFER[id].name, a, b,
                        BUFFER[id].what);
    }
    mib_text(p->arena_bytes, size, sizeof size);
    text_printf(out, "device  %15" PRId64 "  = %s with the gaps between buffers\n", p->arena_bytes, size);
    if (p->req.vram_bytes >= 0)
        text_printf(out, "budget  %15" PRId64 "  of it %" PRId64 " for the driver\n", p->req.vram_bytes,
                    p->reserve_bytes);
    mib_text(p->store_bytes, size, sizeof size);
    text_printf(out, "host    %15" PRId64 "  = %s of KV store\n", p->store_bytes, size);
}
