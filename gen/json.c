/*
** json.c - a plan for programs: plan.json.
**
** Strings need no escapes: names are made of letters, digits, _ and - (spec.c, machine.c), the
** rest is our own text.
*/
#include "print.h"

#include <inttypes.h>
#include <math.h>
#include "forecast.h"
#include "methods.h"
#include "target.h"

enum {
    FORMAT = 1
}; /* of this file; grows when a field changes its meaning */

static const char *const BUFFER[N_BUFFERS] = {
#define B(name, phases, what) #name,
#include "buffers.def"
#undef B
};

static const char *const BUFFER_WHAT[N_BUFFERS] = {
#define B(name, phases, what) what,
#include "buffers.def"
#undef B
};

static const char *const HOST_NAME[N_HOSTS] = {
#define H(name, what) #name,
#include "hosts.def"
#undef H
};

static const char *const HOST_WHAT[N_HOSTS] = {
#define H(name, what) what,
#include "hosts.def"
#undef H
};


/* ---- a writer ---- */

typedef struct json {
    text *out;
    int depth;
    bool first; /* nothing stands in the open object or list yet */
} json;

/* What stands before a value: comma, line, indentation, and its key; NULL: in a list. */
static void key(json *j, const char *name)
{
    text_printf(j->out, "%s%s%*s", j->first ? "" : ",", j->depth > 0 ? "\n" : "", 2 * j->depth, "");
    if (name != NULL)
        text_printf(j->out, "\"%s\": ", name);
    j->first = false;
}

static void begin(json *j, const char *name, char bracket)
{
    key(j, name);
    text_add(j->out, &bracket, 1);
    j->depth++;
    j->first = true;
}

static void end(json *j, char bracket)
{
    j->depth--;
    if (!j->first)
        text_printf(j->out, "\n%*s", 2 * j->depth, "");
    text_add(j->out, &bracket, 1);
    j->first = false;
}

static void whole(json *j, const char *name, int64_t v)
{
    key(j, name);
    text_printf(j->out, "%" PRId64, v);
}

static void real(json *j, const char *name, double v)
{
    key(j, name);
    if (isfinite(v))
        text_printf(j->out, "%.17g", v);
    else
        text_printf(j->out, "null");
}

static void string(json *j, const char *name, const char *v)
{
    key(j, name);
    text_printf(j->out, "\"%s\"", v);
}

static void truth(json *j, const char *name, bool v)
{
    key(j, name);
    text_printf(j->out, v ? "true" : "false");
}

/* A number of bytes; -1: null. */
static void limit(json *j, const char *name, int64_t v)
{
    if (v >= 0) {
        whole(j, name, v);
        return;
    }
    key(j, name);
    text_printf(j->out, "null");
}

/* ---- the parts ---- */

static void model(json *j, const hi_spec *s, const hi_plan *p)
{
    begin(j, "model", '{');
    string(j, "name", s->name);
    string(j, "family", s->family);
    whole(j, "layers", s->layers);
    whole(j, "hidden", s->hidden);
    whole(j, "heads", s->heads);
    whole(j, "kv_heads", s->kv_heads);
    whole(j, "head_dim", s->head_dim);
    whole(j, "ffn", s->ffn);
    whole(j, "vocab", s->vocab);
    whole(j, "ctx", s->ctx);
    whole(j, "parameters", param_count(s));
    whole(j, "weight_bytes", weight_bytes(s, plan_format(p)));
    whole(j, "kv_token_bytes", kv_token_bytes(s, p->elt));
    whole(j, "window", s->window.size);
    whole(j, "rolling_layers", rolling_layers(s, p->ctx));
    whole(j, "store_token_bytes", store_token_bytes(s, p->ctx, p->elt));
    end(j, '}');
}

static void request(json *j, const hi_plan *p)
{
    const hi_request *q = &p->req;

    begin(j, "request", '{');
    limit(j, "vram_bytes", q->vram_bytes);
    limit(j, "ram_bytes", q->ram_bytes);
    string(j, "for", GOAL_WORDS[q->goal]);
    string(j, "policy", POLICY_WORDS[q->policy]);
    string(j, "numerics", q->numerics == NUM_F32 ? "f32" : "bf16");
    string(j, "weights_type", WEIGHTS_WORDS[q->weights_type]);
    string(j, "target", TARGET[q->target].name);
    string(j, "logits", q->logits_all ? "all" : "last");
    end(j, '}');
}

static void machine(json *j, const hi_machine *m)
{
    begin(j, "machine", '{');
    string(j, "name", m->name);
    whole(j, "memory_bytes", m->memory);
    whole(j, "reserve_bytes", m->reserve);
    real(j, "matmul_flops", m->matmul);
    real(j, "attend_flops", m->attend);
    real(j, "read_bytes_s", m->read);
    real(j, "attend_read_bytes_s", m->attend_read);
    real(j, "h2d_bytes_s", m->h2d);
    real(j, "d2h_bytes_s", m->d2h);
    real(j, "both", m->both);
    real(j, "step_s", m->step_s);
    truth(j, "shared", m->shared);
    begin(j, "host", '{');
    string(j, "name", m->host);
    whole(j, "ram_bytes", m->ram);
    real(j, "dram_bytes_s", m->dram);
    real(j, "copy_bytes_s", m->copy);
    whole(j, "cores", m->cores);
    end(j, '}');
    end(j, '}');
}

static void residency(json *j, const hi_spec *s, const hi_plan *p)
{
    begin(j, "resident_rows", '{');
    for (int phase = PREFILL; phase <= DECODE; phase++) {
        key(j, phase == PREFILL ? "prefill" : "decode");
        for (int l = 0; l < s->layers; l++)
            text_printf(j->out, "%s%" PRId64, l == 0 ? "[" : ", ", p->resident[phase][l]);
        text_printf(j->out, "]");
    }
    end(j, '}');
}

static void streamed(json *j, const hi_spec *s, const hi_plan *p)
{
    const char *comma = "";

    key(j, "streamed_layers");
    text_printf(j->out, "[");
    for (int l = 0; l < s->layers; l++)
        if (p->streamed[l]) {
            text_printf(j->out, "%s%d", comma, l);
            comma = ", ";
        }
    text_printf(j->out, "]");
}

static void bands(json *j, const hi_plan *p)
{
    begin(j, "bands", '[');
    for (int i = 0; i < p->n_bands; i++) {
        begin(j, NULL, '{');
        whole(j, "upto", p->band[i].upto);
        whole(j, "group", p->band[i].group);
        whole(j, "tile", p->band[i].tile);
        end(j, '}');
    }
    end(j, ']');
}

static void plan(json *j, const hi_spec *s, const hi_plan *p)
{
    begin(j, "plan", '{');
    whole(j, "ctx", p->ctx);
    whole(j, "element_bytes", p->elt);
    truth(j, "offload", p->offload);
    whole(j, "chunk", p->chunk);
    whole(j, "mlp_rows", p->mlp_rows);
    whole(j, "slots", p->slots);
    whole(j, "panel", p->panel);
    whole(j, "panels", p->panels);
    string(j, "hidden", PLACE_WORDS[p->hidden]);
    string(j, "embed", PLACE_WORDS[p->embed]);
    whole(j, "resident_layers", p->resident_layers);
    whole(j, "weight_slots", p->weight_slots);
    truth(j, "hold", p->hold);
    streamed(j, s, p);
    residency(j, s, p);
    bands(j, p);
    end(j, '}');
}

static void place(json *j, const char *name, const hi_buffer *b)
{
    begin(j, name, '{');
    whole(j, "offset", b->offset);
    whole(j, "bytes", b->bytes);
    end(j, '}');
}

static void device(json *j, const hi_plan *p)
{
    static const char *const HOLDS[] = { "weights", "kv", "activations" };

    begin(j, "device", '{');
    whole(j, "arena_bytes", p->arena_bytes);
    whole(j, "reserve_bytes", p->reserve_bytes);
    begin(j, "buffers", '[');
    for (int id = 0; id < N_BUFFERS; id++) {
        if (p->buf[PREFILL][id].bytes == 0 && p->buf[DECODE][id].bytes == 0)
            continue;
        begin(j, NULL, '{');
        string(j, "name", BUFFER[id]);
        string(j, "what", BUFFER_WHAT[id]);
        string(j, "holds", HOLDS[buffer_holds(id)]);
        place(j, "prefill", &p->buf[PREFILL][id]);
        place(j, "decode", &p->buf[DECODE][id]);
        end(j, '}');
    }
    end(j, ']');
    end(j, '}');
}

static void host(json *j, const hi_plan *p)
{
    begin(j, "host", '{');
    whole(j, "bytes", p->host_bytes);
    begin(j, "buffers", '[');
    for (int id = 0; id < N_HOSTS; id++) {
        if (p->host[id].bytes == 0)
            continue;
        begin(j, NULL, '{');
        string(j, "name", HOST_NAME[id]);
        string(j, "what", HOST_WHAT[id]);
        whole(j, "offset", p->host[id].offset);
        whole(j, "bytes", p->host[id].bytes);
        end(j, '}');
    }
    end(j, ']');
    end(j, '}');
}

static void decisions(json *j, const hi_plan *p)
{
    begin(j, "decisions", '[');
    for (int i = 0; i < p->n_why; i++) {
        const hi_decision *d = &p->why[i];
        char why[160];
        reason_text(d, why, sizeof why);
        begin(j, NULL, '{');
        string(j, "what", d->what);
        string(j, "chosen", d->chosen);
        truth(j, "forced", d->forced);
        string(j, "other", d->other);
        real(j, "slower", d->slower);
        whole(j, "lacks_bytes", d->lacks);
        string(j, "why", why);
        end(j, '}');
    }
    end(j, ']');
}

static void cost(json *j, const char *name, const hi_cost *c)
{
    begin(j, name, '{');
    real(j, "seconds", c->seconds);
    string(j, "bound", bound_text(c->bound));
    real(j, "fraction", c->fraction);
    real(j, "compute_s", c->compute_s);
    real(j, "link_s", c->link_s);
    real(j, "hbm_s", c->hbm_s);
    real(j, "dram_s", c->dram_s);
    real(j, "flops", c->flops);
    whole(j, "h2d_bytes", c->h2d_bytes);
    whole(j, "d2h_bytes", c->d2h_bytes);
    end(j, '}');
}

static void predictions(json *j, const hi_spec *s, const hi_plan *p)
{
    forecast f;

    forecast_make(s, p, &f);
    begin(j, "predictions", '[');
    for (int i = 0; i < f.n; i++) {
        begin(j, NULL, '{');
        whole(j, "tokens", f.at[i].tokens);
        cost(j, "prefill", &f.at[i].prompt);
        cost(j, "decode", &f.at[i].token);
        end(j, '}');
    }
    end(j, ']');
}

static void other_methods(json *j, const hi_spec *s, const hi_plan *p)
{
    methods all;

    j->out->failed |= methods_make(s, p, &all) != 0;
    begin(j, "methods", '[');
    for (int i = 0; i < N_METHODS; i++) {
        const method *m = &all.of[i];
        if (!m->known)
            continue;
        begin(j, NULL, '{');
        string(j, "name", m->name);
        truth(j, "built", m->built);
        whole(j, "weights_bytes", m->weights);
        whole(j, "kv_bytes", m->kv);
        whole(j, "activations_bytes", m->rest);
        whole(j, "device_bytes", m->device);
        whole(j, "host_bytes", m->host);
        end(j, '}');
    }
    end(j, ']');
}

void json_print(const hi_spec *s, const hi_plan *p, text *out)
{
    json j = { .out = out, .first = true };
    char command[1024];
    int64_t longest = forecast_longest(s, p);

    out->failed |= longest < 0;
    plan_command(s, p, command, sizeof command);
    out->failed |= command[0] == '\0';
    begin(&j, NULL, '{');
    whole(&j, "format", FORMAT);
    string(&j, "command", command);
    model(&j, s, p);
    request(&j, p);
    machine(&j, &p->machine);
    plan(&j, s, p);
    device(&j, p);
    host(&j, p);
    decisions(&j, p);
    predictions(&j, s, p);
    limit(&j, "longest_ctx", longest > 0 ? longest : -1);
    other_methods(&j, s, p);
    end(&j, '}');
    text_printf(out, "\n");
}
