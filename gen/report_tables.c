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
    text_printf(r->out, "<h2>Decisions</h2>\n"
                        "<table class=\"wide why\"><thead><tr>"
                        "<th>decision</th><th>chosen</th><th>why</th></tr></thead><tbody>\n");
    for (int i = 0; i < r->p->n_why; i++) {
        const hi_decision *d = &r->p->why[i];
        char why[160];
        reason_text(d, why, sizeof why);
        text_printf(r->out, "<tr><td>%s</td><td>%s</td><td class=\"m\">%s</td></tr>\n", d->what,
                    d->chosen, why);
    }
    text_printf(r->out, "</tbody></table>\n");
}

/* ---- cells ---- */

static void print_number(text *t, const char *figure)
{
    text_printf(t, "<td class=\"n\">%s</td>", figure);
}

static void print_bytes(text *t, int64_t bytes)
{
    char digits[UNIT_LEN];

    digits_text(bytes, digits);
    print_number(t, bytes > 0 ? digits : "");
}

static void end_row(text *t, const char *what)
{
    text_printf(t, "<td class=\"m\">%s</td></tr>\n", what);
}

/* ---- predictions ---- */

static void print_cost(text *t, int64_t tokens, const hi_cost *c)
{
    char figure[UNIT_LEN];

    text_printf(t, "<tr>");
    tokens_text(tokens, figure);
    print_number(t, figure);
    time_text(c->seconds, figure);
    print_number(t, figure);
    text_printf(t, "<td class=\"m g\">%s %.0f%%</td>", bound_text(c->bound), c->fraction * 100);
    bytes_text((double)c->h2d_bytes, figure);
    print_number(t, figure);
    bytes_text((double)c->d2h_bytes, figure);
    print_number(t, figure);
    text_printf(t, "</tr>\n");
}

static void print_costs(const report *r, bool prompt)
{
    text_printf(r->out, "<h3>%s</h3>\n<table><thead><tr>",
                prompt ? "A prompt of so many tokens" : "Decoding the last of so many tokens");
    text_printf(r->out, "<th class=\"n\">tokens</th><th class=\"n\">time</th>"
                        "<th class=\"g\">bound by</th><th class=\"n\">link in</th>"
                        "<th class=\"n\">link out</th></tr></thead><tbody>\n");
    for (int i = 0; i < r->f.n; i++)
        print_cost(r->out, r->f.at[i].tokens, prompt ? &r->f.at[i].prompt : &r->f.at[i].token);
    text_printf(r->out, "</tbody></table>\n");
}

/* ---- buffers ---- */

static void print_device(const report *r)
{
    text *t = r->out;

    text_printf(t, "<h3>On the device, bytes</h3>\n<table class=\"wide\"><thead><tr>"
                   "<th>buffer</th><th class=\"n\">prefill</th><th class=\"n\">decode</th>"
                   "<th>holds</th></tr></thead><tbody>\n");
    for (int id = 0; id < N_BUFFERS; id++) {
        int64_t prefill = r->p->buf[PREFILL][id].bytes, decode = r->p->buf[DECODE][id].bytes;
        if (prefill == 0 && decode == 0)
            continue;
        text_printf(t, "<tr><td>%s</td>", BUFFER[id].name);
        print_bytes(t, prefill);
        print_bytes(t, decode);
        end_row(t, BUFFER[id].what);
    }
    text_printf(t, "<tr class=\"t\"><td>arena</td><td></td>");
    print_bytes(t, r->p->arena_bytes);
    end_row(t, "the larger of the two, with the gaps between buffers");
    text_printf(t, "</tbody></table>\n");
}

static void print_host(const report *r)
{
    text *t = r->out;

    if (r->p->host_bytes == 0)
        return;
    text_printf(t, "<h3>On the host, bytes</h3>\n<table class=\"wide\"><thead><tr>"
                   "<th>buffer</th><th></th><th class=\"n\">bytes</th>"
                   "<th>holds</th></tr></thead><tbody>\n");
    for (int id = 0; id < N_HOSTS; id++) {
        if (r->p->host[id].bytes == 0)
            continue;
        text_printf(t, "<tr><td>%s</td><td></td>", HOST[id].name);
        print_bytes(t, r->p->host[id].bytes);
        end_row(t, HOST[id].what);
    }
    text_printf(t, "<tr class=\"t\"><td>host</td><td></td>");
    print_bytes(t, r->p->host_bytes);
    end_row(t, "one allocation");
    text_printf(t, "</tbody></table>\n");
}

void report_tables(const report *r)
{
    print_decisions(r);
    text_printf(r->out, "<h2>Predictions</h2>\n<p class=\"note\">K is 1024 tokens, M 1000 K. "
                        "The bound is the slowest of compute, link, DRAM (the host's memory) "
                        "and HBM (the device's); its share of the time follows.</p>\n");
    print_costs(r, true);
    print_costs(r, false);
    text_printf(r->out, "<h2>Buffers</h2>\n");
    print_device(r);
    print_host(r);
}
