/*
** plan_print.c - what a plan says of itself: names, byte counts, the memory table.
*/
#include "print.h"
#include "target.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *what;
} BUFFER[N_BUFFERS] = {
#define B(name, phases, what) { #name, what },
#include "buffers.def"
#undef B
};

void wrap_print(text *out, int indent, const char *fmt, ...)
{
    char line[2048], *at = line;
    int room = PRINT_COLUMNS;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    while ((int)strlen(at) > room) {
        int cut = room;
        while (cut > 0 && at[cut] != ' ')
            cut--;
        if (cut == 0)                /* a word without a space: it cannot be broken */
            break;
        text_printf(out, "%.*s\n%*s", cut, at, indent, "");
        at += cut + 1;
        room = PRINT_COLUMNS - indent;
    }
    text_printf(out, "%s\n", at);
}

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

/* Is it made for another target than its machine's? */
static bool foreign_target(const hi_plan *p)
{
    return p->req.target != target_default(&p->machine, &p->req);
}

void plan_name(const hi_spec *s, const hi_plan *p, char *out, size_t n)
{
    char size[32] = "resident";
    hi_weights_type type = p->req.weights_type;
    const char *weights = type == WEIGHTS_STORED ? "" : WEIGHTS_WORDS[type];

    if (p->req.vram_bytes >= 0)
        size_text(p->req.vram_bytes, size, sizeof size);
    snprintf(out, n, "%s-%s%s%s%s%s%s", s->name, size, p->req.numerics == NUM_F32 ? "-f32" : "",
             *weights ? "-" : "", weights, foreign_target(p) ? "-" : "",
             foreign_target(p) ? TARGET[p->req.target].name : "");
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

static void add_word(text *t, const char *flag, const char *const *word, int value)
{
    if (value > 0)
        text_printf(t, " %s %s", flag, word[value]);
}

void plan_command(const hi_spec *s, const hi_plan *p, char *out, size_t n)
{
    const hi_request *q = &p->req;
    text t = { 0 };

    text_printf(&t, "hi-gen %s.lua", s->name);
    add_size(&t, "--vram", q->vram_bytes);
    add_size(&t, "--ram", q->ram_bytes);
    if (q->ctx != 0)
        text_printf(&t, " --ctx %" PRId64, p->ctx);
    text_printf(&t, " --machine %s", p->machine.name);
    if (strcmp(p->machine.host, p->machine.name) != 0)
        text_printf(&t, " --host %s", p->machine.host);
    add_word(&t, "--for", GOAL_WORDS, q->goal);
    add_word(&t, "--policy", POLICY_WORDS, q->policy);
    add_number(&t, "--chunk", q->chunk, 1);
    add_number(&t, "--mlp-rows", q->mlp_rows, 1);
    add_number(&t, "--tile", q->tile, 1);
    add_number(&t, "--group", q->group, 1);
    add_number(&t, "--bands", q->bands, 1);
    add_number(&t, "--slots", q->slots, 1);
    add_number(&t, "--resident", q->resident, 0);
    add_number(&t, "--weights", q->weights, 0);
    add_number(&t, "--weight-slots", q->weight_slots, 1);
    add_number(&t, "--panel", q->panel, 1);
    add_word(&t, "--hidden", PLACE_WORDS, q->hidden);
    add_word(&t, "--embed", PLACE_WORDS, q->embed);
    if (foreign_target(p))
        text_printf(&t, " --target %s", TARGET[q->target].name);
    text_printf(&t, "%s%s", q->logits_all ? " --logits all" : "",
                q->numerics == NUM_F32 ? " --numerics f32" : "");
    add_word(&t, "--weights-type", WEIGHTS_WORDS, q->weights_type);
    snprintf(out, n, "%s", t.failed ? "" : t.data);
    text_free(&t);
}

int64_t streamed_rows(const hi_plan *p, const hi_band *b, int layer, hi_phase phase)
{
    int64_t rows = (b->upto - 1) / KEY_SPLIT * KEY_SPLIT - p->resident[phase][layer];

    return p->offload && rows > 0 ? rows : 0;
}

/* What a pass at the full context copies to the device. */
static int64_t pass_bytes(const hi_spec *s, const hi_plan *p, hi_phase phase)
{
    int64_t bytes = 0;

    for (int l = 0; l < s->layers; l++) {
        bytes += streamed_rows(p, &p->band[p->n_bands - 1], l, phase) * s->kv_heads * kv_row_bytes(s, p->elt);
        if (p->streamed[l] && !(phase == PREFILL && p->hold))
            bytes += layer_weight_bytes(s, plan_format(p));
    }
    return bytes;
}

static void print_residency(const hi_spec *s, const hi_plan *p, text *out)
{
    char size[32];

    for (int phase = PREFILL; phase <= DECODE; phase++) {
        int64_t least = p->ctx, most = 0;
        for (int l = 0; l < s->layers; l++) {
            if (layer_rolls(s, l, p->ctx))
                continue;
            least = p->resident[phase][l] < least ? p->resident[phase][l] : least;
            most = p->resident[phase][l] > most ? p->resident[phase][l] : most;
        }
        mib_text(pass_bytes(s, p, phase), size, sizeof size);
        wrap_print(out, 4, "%s: %" PRId64 "-%" PRId64 " of %" PRId64 " rows per KV head resident; a full pass "
                   "copies %s", phase == PREFILL ? "prefill" : "decode", least,
                   most > p->ctx ? p->ctx : most, p->ctx, size);
    }
}

static void print_prefill(const hi_plan *p, text *out)
{
    char panels[96] = "";

    if (p->panels > 1)
        snprintf(panels, sizeof panels, ", %d panels of %d layers; hidden states wait on the %s", p->panels,
                 p->panel, PLACE_WORDS[p->hidden]);
    text_printf(out, "prefill in chunks of %" PRId64 " tokens%s\n", p->chunk, panels);
}

static void print_windows(const hi_spec *s, const hi_plan *p, text *out)
{
    int n = rolling_layers(s, p->ctx);

    if (n > 0)
        wrap_print(out, 4, "%d layers see the last %" PRId64 " tokens alone: they keep %" PRId64
                   " rows per KV head on the device and have no place in the host store", n,
                   s->window.size, p->near_rows);
}

/* What the checkpoint's makers say about long contexts, and is not the same here. */
static void print_notes(const hi_spec *s, const hi_plan *p, text *out)
{
    if (s->dual_chunk > 0 && p->ctx > s->dual_chunk)
        wrap_print(out, 4, "note: beyond %" PRId64 " tokens the checkpoint's authors use dual chunk "
                   "attention; this program keeps plain rotation", s->dual_chunk);
    if (p->ctx > s->ctx)
        wrap_print(out, 4, "note: the checkpoint was made for %" PRId64 " tokens", s->ctx);
    if (s->rope.kind == ROPE_LONGROPE)
        text_printf(out, "rotation: longrope's %s factors, for a context of %" PRId64 " tokens\n",
                    rope_is_long(s, p->ctx) ? "long" : "short", p->ctx);
    if (s->rope.kind == ROPE_DYNAMIC)
        text_printf(out, "rotation: dynamic, fixed for a context of %" PRId64 " tokens\n", p->ctx);
}

const char *weights_text(const hi_plan *p)
{
    static const char *const TEXT[N_WEIGHTS_TYPES] = {
        [WEIGHTS_STORED] = "as stored",
        [WEIGHTS_Q8] = "8-bit (blocks of 32), not exact: made from the checkpoint's at load",
        [WEIGHTS_Q4] = "4-bit (blocks of 32), head 8-bit, not exact: made from the checkpoint's at load",
    };
    return TEXT[p->req.weights_type];
}

static void print_decisions(const hi_spec *s, const hi_plan *p, text *out)
{
    wrap_print(out, 4, "%s: %d layers, %d KV heads, context %" PRId64 " tokens, %s; planned for %s", s->name,
               s->layers, s->kv_heads, p->ctx, p->req.numerics == NUM_F32 ? "f32" : "bf16", p->machine.name);
    if (p->req.weights_type != WEIGHTS_STORED)
        wrap_print(out, 4, "weights: %s", weights_text(p));
    if (p->weight_slots > 0)
        text_printf(out, "weights of %d layers are resident, of %d they come through a ring of %d slots\n",
                    p->resident_layers, s->layers - p->resident_layers, p->weight_slots);
    print_prefill(p, out);
    print_windows(s, p, out);
    print_notes(s, p, out);
    if (!p->offload)
        text_printf(out, "keys and values are all resident: no host store\n");
    for (int i = 0; i < p->n_bands && p->offload; i++)
        wrap_print(out, 4, "up to %" PRId64 " tokens: %d KV heads move together, tiles of %" PRId64
                   " tokens, %d slots", p->band[i].upto, p->band[i].group, p->band[i].tile, p->slots);
    if (p->offload)
        print_residency(s, p, out);
}

static void print_host(const hi_plan *p, text *out)
{
    static const char *const NAME[] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
    };
    static const char *const WHAT[] = {
#define H(name, what) what,
#include "hosts.def"
#undef H
    };
    char size[32];

    for (int id = 0; id < N_HOSTS; id++)
        if (p->host[id].bytes > 0)
            text_printf(out, "host %-9s %14" PRId64 "  %s\n", NAME[id], p->host[id].bytes, WHAT[id]);
    mib_text(p->host_bytes, size, sizeof size);
    text_printf(out, "host    %15" PRId64 "  = %s in all\n", p->host_bytes, size);
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
    print_host(p, out);
}
