/*
** report.c - a plan as one page: report.html, for people; json.c has the same for programs.
**
** No scripts, nothing from elsewhere, no dates: the same plan gives the same bytes.
*/
#include "report.h"

#include <stdio.h>
#include <string.h>
#include "print.h"
#include "units.h"

static void print_head(const report *r)
{
    char command[1024], ctx[UNIT_LEN];
    text *t = r->out;

    plan_command(r->s, r->p, command, sizeof command);
    t->failed |= command[0] == '\0';
    digits_text(r->p->ctx, ctx);
    text_printf(t, "<!DOCTYPE html>\n"
                   "<html lang=\"en\">\n"
                   "<head>\n"
                   "<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n");
    text_printf(t, "<title>%s: the plan</title>\n<style>\n", r->s->name);
    text_add(t, REPORT_STYLE, strlen(REPORT_STYLE));
    text_printf(t, "</style>\n</head>\n<body>\n<h1>%s</h1>\n", r->s->name);
    text_printf(t, "<p class=\"sub\">%s tokens on %s with host %s, %s</p>\n", ctx,
                r->p->machine.name, r->p->machine.host,
                r->p->req.numerics == NUM_F32 ? "f32" : "bf16");
    if (r->p->req.weights_type != WEIGHTS_STORED)
        text_printf(t, "<p class=\"sub\">weights: %s</p>\n", weights_text(r->p));
    text_printf(t, "<p><code>%s</code></p>\n", command);
}

static void print_figure(text *t, const char *name, const char *figure, const char *note)
{
    text_printf(t, "<div><dt>%s</dt><dd>%s<small>%s</small></dd></div>\n", name, figure, note);
}

static void print_bound(text *t, const char *name, const hi_cost *c)
{
    char time[UNIT_LEN], note[64];

    time_text(c->seconds, time);
    snprintf(note, sizeof note, "%s %.0f%%", bound_text(c->bound), c->fraction * 100);
    print_figure(t, name, time, note);
}

static void print_figures(const report *r)
{
    const forecast_point *end = &r->f.at[r->f.n - 1];
    char size[UNIT_LEN], note[64], of[UNIT_LEN];

    text_printf(r->out, "<dl>\n");
    print_bound(r->out, "prefill", &end->prompt);
    print_bound(r->out, "each token after it", &end->token);
    bytes_text((double)(r->p->arena_bytes + r->p->reserve_bytes), size);
    snprintf(note, sizeof note, "no budget");
    if (r->p->req.vram_bytes >= 0) {
        bytes_text((double)r->p->req.vram_bytes, of);
        snprintf(note, sizeof note, "of %s, driver included", of);
    }
    print_figure(r->out, "device", size, note);
    bytes_text((double)r->p->host_bytes, size);
    bytes_text((double)forecast_ram(r->p), of);
    snprintf(note, sizeof note, "of %s", of);
    print_figure(r->out, "host", size, note);
    if (r->longest > 0) {
        digits_text(r->longest, size);
        print_figure(r->out, "longest context", size, "tokens in this memory");
    }
    text_printf(r->out, "</dl>\n");
}

void report_print(const hi_spec *s, const hi_plan *p, text *out)
{
    report r = { .s = s, .p = p, .out = out, .longest = forecast_longest(s, p) };

    out->failed |= methods_make(s, p, &r.m) != 0 || r.longest < 0;
    forecast_make(s, p, &r.f);
    print_head(&r);
    print_figures(&r);
    report_memory(&r);
    report_timeline(&r);
    report_times(&r);
    report_roofline(&r);
    report_tables(&r);
    text_printf(out, "</body>\n</html>\n");
}
