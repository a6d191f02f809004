/*
** report_tables.c - report.html: decisions, predictions and buffers in figures.
*/
#include "report.h"

#include <stdio.h>
#include "print.h"
#include "units.h"

static const struct {
    const char *name, *what;
} BUFFER[N_BUFFERS] = {
#define B(name, phases, what) { #name, what },
#include "buffers.def"
#undef B
}, HOST[N_HOSTS] = {
#define H(name, what) { #name, what },
#include "hosts.def"
#undef H
};

/* ---- decisions ---- */

static void print_decisions(const report *r)
{
    text_printf(r->out, "<h2>Decisions</h2>\n<table class=\"wide "
                        "why\"><thead><tr><th>decision</th><th>chosen</th><th>"
                        "why</th></tr></thead><tbody>\n");
    for (int i = 0; i < r->p->n_why; i++) {
        const hi_decision *d = &r->p->why[i];
        char why[160];
        reason_text(d, why, sizeof why);
        text_printf(r->out, "<tr><td>%s</td><td>%s</td><td class=\"m\">%s</td></tr>\n", d->what,
                    d->chosen, why);
    }
    text_printf(r->out, "</tbody></table>\n");
}

/* ---- predictions ---- */

static void print_cost(text *t, int64_t tokens, const hi_cost *c)
{
    char at[UNIT_LEN], time[UNIT_LEN], in[UNIT_LEN], back[UNIT_LEN];

    tokens_text(tokens, at);
    time_text(c->seconds, time);
    bytes_text((double)c->h2d_bytes, in);
    bytes_text((double)c->d2h_bytes, back);
    text_printf(t,
                "<tr><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"m g\">%s "
                "%.0f%%</td><td class=\"n\">%s"
                "</td><td class=\"n\">%s</td></tr>\n",
                at, time, bound_text(c->bound), c->fraction * 100, in, back);
}

static void print_costs(const report *r, bool prompt)
{
    text_printf(
        r->out,
        "<h3>%s</h3>\n<table><thead><tr><th class=\"n\">tokens</th><th class=\"n\">time</th><th "
        "class=\"g\">bound by"
        "</th><th class=\"n\">link in</th><th class=\"n\">link out</th></tr></thead><tbody>\n",
        prompt ? "A prompt of so many tokens" : "Decoding the last of so many tokens");
    for (int i = 0; i < r->f.n; i++)
        print_cost(r->out, r->f.at[i].tokens, prompt ? &r->f.at[i].prompt : &r->f.at[i].token);
    text_printf(r->out, "</tbody></table>\n");
}

/* ---- buffers ---- */

static void print_bytes(text *t, int64_t bytes)
{
    char digits[UNIT_LEN];

    digits_text(bytes, digits);
    text_printf(t, "<td class=\"n\">%s</td>", bytes > 0 ? digits : "");
}

static void print_device(const report *r)
{
    text_printf(r->out,
                "<h3>On the device, bytes</h3>\n<table "
                "class=\"wide\"><thead><tr><th>buffer</th><th class=\"n\">"
                "prefill</th><th class=\"n\">decode</th><th>holds</th></tr></thead><tbody>\n");
    for (int id = 0; id < N_BUFFERS; id++) {
        int64_t prefill = r->p->buf[PREFILL][id].bytes, decode = r->p->buf[DECODE][id].bytes;
        if (prefill == 0 && decode == 0)
            continue;
        text_printf(r->out, "<tr><td>%s</td>", BUFFER[id].name);
        print_bytes(r->out, prefill);
        print_bytes(r->out, decode);
        text_printf(r->out, "<td class=\"m\">%s</td></tr>\n", BUFFER[id].what);
    }
    text_printf(r->out, "<tr class=\"t\"><td>arena</td><td></td>");
    print_bytes(r->out, r->p->arena_bytes);
    text_printf(r->out,
                "<td class=\"m\">the larger of the two, with the gaps between buffers</td></tr>\n"
                "</tbody></table>\n");
}

static void print_host(const report *r)
{
    if (r->p->host_bytes == 0)
        return;
    text_printf(
        r->out,
        "<h3>On the host, bytes</h3>\n<table class=\"wide\"><thead><tr><th>buffer</th><th></th><th "
        "class=\"n\">bytes</th><th>holds</th></tr></thead><tbody>\n");
    for (int id = 0; id < N_HOSTS; id++) {
        if (r->p->host[id].bytes == 0)
            continue;
        text_printf(r->out, "<tr><td>%s</td><td></td>", HOST[id].name);
        print_bytes(r->out, r->p->host[id].bytes);
        text_printf(r->out, "<td class=\"m\">%s</td></tr>\n", HOST[id].what);
    }
    text_printf(r->out, "<tr class=\"t\"><td>host</td><td></td>");
    print_bytes(r->out, r->p->host_bytes);
    text_printf(r->out, "<td class=\"m\">one allocation</td></tr>\n</tbody></table>\n");
}

void report_tables(const report *r)
{
    print_decisions(r);
    text_printf(
        r->out,
        "<h2>Predictions</h2>\n<p class=\"note\">K is 1024 tokens, M 1000 K. The bound is the "
        "slowest of "
        "compute, link, DRAM (the host's memory) and HBM (the device's); its share of the time "
        "follows.</p>\n");
    print_costs(r, true);
    print_costs(r, false);
    text_printf(r->out, "<h2>Buffers</h2>\n");
    print_device(r);
    print_host(r);
}
