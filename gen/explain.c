/*
** explain.c - a plan in words and numbers: what --explain prints.
**
** The memory table is plan_print.c's; here are the machine, each decision with its reason and the
** runner-up, and what is predicted at contexts that people compare.
*/
#include "print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "forecast.h"
#include "units.h"

static const double SAME = 5e-5; /* of a time: less is no difference */

/* ---- the machine ---- */

static void print_machine(const hi_plan *p, text *out)
{
    const hi_machine *m = &p->machine;
    char matmul[UNIT_LEN], attend[UNIT_LEN], read[UNIT_LEN], keys[UNIT_LEN], in[UNIT_LEN],
        back[UNIT_LEN];
    char memory[UNIT_LEN] = "as asked", ram[UNIT_LEN], dram[UNIT_LEN];

    rate_text(m->matmul, "FLOP", matmul);
    rate_text(m->attend, "FLOP", attend);
    rate_text(m->read, "B", read);
    rate_text(m->attend_read, "B", keys);
    rate_text(m->h2d, "B", in);
    rate_text(m->d2h, "B", back);
    rate_text(m->dram, "B", dram);
    bytes_text((double)m->ram, ram);
    if (m->memory > 0)
        bytes_text((double)m->memory, memory);
    wrap_print(
        out, 10,
        "machine   %s: memory %s, products %s, prefill attention %s, decode reads weights at %s, "
        "keys at %s; link %s in, %s out, %.0f%% of it each when both",
        m->name, memory, matmul, attend, read, keys, in, back, m->both * 100);
    wrap_print(out, 10, "host      %s: memory %s, reads %s, %d cores", m->host, ram, dram,
               m->cores);
    text_printf(out, "goal      %s\n", GOAL_WORDS[p->req.goal]);
}

/* ---- decisions ---- */

void reason_text(const hi_decision *d, char *out, size_t n)
{
    char lacks[UNIT_LEN];

    if (d->forced)
        snprintf(out, n, "forced");
    else if (d->other[0] == '\0')
        snprintf(out, n, "no alternative");
    else if (d->lacks > 0) {
        bytes_text((double)d->lacks, lacks);
        snprintf(out, n, "%s does not fit: %s short", d->other, lacks);
    } else if (d->slower >= 9.995)
        snprintf(out, n, "runner-up %s: %.1f times as long", d->other, d->slower + 1);
    else if (d->slower >= SAME)
        snprintf(out, n, "runner-up %s: +%.*f%% time", d->other, d->slower < 0.0095 ? 2 : 1,
                 d->slower * 100);
    else if (d->slower > -SAME)
        snprintf(out, n, "%s as fast, more memory", d->other);
    else
        snprintf(out, n, "%s %.2f%% faster, but more memory", d->other, -d->slower * 100);
}

static void print_reasons(const hi_plan *p, text *out)
{
    text_printf(out, "\n%-18s %-26s  why\n", "decision", "chosen");
    for (int i = 0; i < p->n_why; i++) {
        const hi_decision *d = &p->why[i];
        char why[160];
        reason_text(d, why, sizeof why);
        wrap_print(out, 47, "%-18s %-26s  %s", d->what, d->chosen, why);
    }
}

/* ---- predictions ---- */

/* "   33.9 s  compute  98%  1.25 GiB  128 MiB": 43 columns. */
static void print_cost(const hi_cost *c, text *out)
{
    char time[UNIT_LEN], in[UNIT_LEN], back[UNIT_LEN];

    time_text(c->seconds, time);
    bytes_text((double)c->h2d_bytes, in);
    bytes_text((double)c->d2h_bytes, back);
    text_printf(out, "  %9s  %-7s %3.0f%% %9s %9s", time, bound_text(c->bound), c->fraction * 100,
                in, back);
}

static void print_forecast(const hi_spec *s, const hi_plan *p, text *out)
{
    forecast f;

    forecast_make(s, p, &f);
    text_printf(out, "\n%10s  prompt of so many tokens %20s decoding the last of them\n", "", "");
    text_printf(out, "%10s", "context");
    for (int i = 0; i < 2; i++)
        text_printf(out, "  %9s  %-12s %9s %9s", "time", "bound by", "link in", "link out");
    text_printf(out, "\n");
    for (int i = 0; i < f.n; i++) {
        char tokens[UNIT_LEN];
        tokens_text(f.at[i].tokens, tokens);
        text_printf(out, "%10s", tokens);
        print_cost(&f.at[i].prompt, out);
        print_cost(&f.at[i].token, out);
        text_printf(out, "\n");
    }
    text_printf(
        out,
        "predicted; bound by: the slowest of compute, link, DRAM (the host's memory) and HBM (the "
        "device's),\nand its share of the time. K: 1024 tokens, M: 1000 K; KiB, MiB, GiB: powers "
        "of "
        "1024; GB/s: 10^9.\n");
}

/* ---- the longest context ---- */

static void print_longest(const hi_spec *s, const hi_plan *p, text *out)
{
    int64_t longest = forecast_longest(s, p);
    char device[UNIT_LEN], host[UNIT_LEN], tokens[UNIT_LEN];

    out->failed |= longest < 0;
    if (p->req.vram_bytes < 0) {
        text_printf(out, "\nlongest context: no limit without --vram\n");
        return;
    }
    digits_text(longest, tokens);
    bytes_text((double)p->req.vram_bytes, device);
    bytes_text((double)forecast_ram(p), host);
    text_printf(out, "\nlongest context: %s tokens within %s on the device and %s on the host\n",
                tokens, device, host);
}

void explain_print(const hi_spec *s, const hi_plan *p, text *out)
{
    char command[1024];

    plan_command(s, p, command, sizeof command);
    out->failed |= command[0] == '\0';
    wrap_print(out, 4, "%s", command);
    print_machine(p, out);
    text_printf(out, "\n");
    plan_print(s, p, out);
    print_reasons(p, out);
    print_forecast(s, p, out);
    print_longest(s, p, out);
}
