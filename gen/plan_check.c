/*
** plan_check.c - is a plan safe to run and within its budget?
**
** Checks a plan's numbers against its request, bands and groups, what stays on the device, and the
** arguments of every step. Sizes and places are plan_check_bytes.c's; whether the steps come in
** an order that works is replay.c's. Shares no code with what makes plans.
*/
#include "plan_check.h"

#include <inttypes.h>
#include <string.h>

#include "replay.h"

/* ---- what a number must be ---- */

int want(const char *what, int64_t is, int64_t should, hi_error *e)
{
    if (is == should)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be %" PRId64, what, is, should);
}

int want_within(const char *what, int64_t is, int64_t lo, int64_t hi, hi_error *e)
{
    if (lo <= is && is <= hi)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be within %" PRId64 " and %" PRId64, what, is, lo,
                    hi);
}

int want_multiple(const char *what, int64_t is, int64_t of, hi_error *e)
{
    if (is % of == 0)
        return 0;
    return gen_fail(e, "%s = %" PRId64 ": must be a multiple of %" PRId64, what, is, of);
}

static int64_t less(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool sees_window(const hi_spec *s, const hi_plan *p, int l)
{
    const hi_window *w = &s->window;
    if (w->size == 0 || w->size >= p->ctx)
        return false;
    for (int i = w->first; i <= l; i += w->every)
        if (i == l)
            return true;
    return false;
}

/* A whole window must stay while the row after it is written. */
static int check_near(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    bool any = false;
    for (int l = 0; l < s->layers; l++)
        any = any || sees_window(s, p, l);
    if (!any)
        return want("near_rows", p->near_rows, 0, e);
    return want_within("near_rows", p->near_rows, s->window.size, INT32_MAX, e) != 0 ||
                   want_multiple("near_rows", p->near_rows, KEY_SPLIT, e) != 0
               ? -1
               : 0;
}

static const hi_band *last_band(const hi_plan *p)
{
    return &p->band[p->n_bands - 1];
}

/* ---- numbers that later checks divide by and count with ---- */

static int check_rows(const hi_plan *p, hi_error *e)
{
    if (want("elt", p->elt, p->req.numerics == NUM_F32 ? 4 : 2, e) ||
        want_within("weights_type", p->req.weights_type, WEIGHTS_STORED, WEIGHTS_Q4, e) ||
        want_within("ctx", p->ctx, 1, INT64_MAX / 4, e) ||
        want_within("chunk", p->chunk, 1, INT32_MAX, e) ||
        want_multiple("chunk", p->chunk, KEY_BLOCK, e) ||
        want_within("mlp_rows", p->mlp_rows, 1, p->chunk, e) ||
        want_multiple("mlp_rows", p->mlp_rows, KEY_BLOCK, e) ||
        (p->offload && want_within("slots", p->slots, MIN_SLOTS, MAX_SLOTS, e)))
        return -1;
    bool all = p->req.logits_all;
    if (want("rows in prefill", p->rows[PREFILL], p->chunk, e) ||
        want("rows in decode", p->rows[DECODE], 1, e) ||
        want("rows of logits in prefill", p->logit_rows[PREFILL], all ? p->chunk : 1, e) ||
        want("rows of logits in decode", p->logit_rows[DECODE], 1, e))
        return -1;
    return 0;
}

/* Streamed layers of layers [first, end). */
static int count_streamed(const hi_plan *p, int first, int end)
{
    int n = 0;
    for (int l = first; l < end; l++)
        n += p->streamed[l];
    return n;
}

/* Do every panel's streamed layers fit the ring together? */
static bool panels_fit(const hi_spec *s, const hi_plan *p)
{
    for (int first = 0; first < s->layers; first += p->panel)
        if (count_streamed(p, first, (int)less(first + (int64_t)p->panel, s->layers)) >
            p->weight_slots)
            return false;
    return true;
}

static int check_layers(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    if (want_within("panel", p->panel, 1, s->layers, e) ||
        want("panels", p->panels, (s->layers + p->panel - 1) / p->panel, e) ||
        want_within("resident_layers", p->resident_layers, 0, s->layers, e))
        return -1;
    int streamed = s->layers - p->resident_layers;
    int fewest = streamed < MIN_WEIGHT_SLOTS ? streamed : MIN_WEIGHT_SLOTS;
    if (want("streamed layers", count_streamed(p, 0, s->layers), streamed, e) ||
        want_within("weight_slots", p->weight_slots, fewest, less(streamed, MAX_WEIGHT_SLOTS), e) ||
        want("hold", p->hold, panels_fit(s, p), e))
        return -1;
    if (p->panels > 1 && !p->hold)
        return gen_fail(e, "panel = %d: the streamed layers of a panel do not fit %d weight slots",
                        p->panel, p->weight_slots);
    if (p->panels == 1 ? p->hidden != AT_NONE : p->hidden != AT_DEVICE && p->hidden != AT_HOST)
        return gen_fail(e, "hidden = %d: not what %d panels need", (int)p->hidden, p->panels);
    if (p->embed != AT_DEVICE && (p->embed != AT_HOST || s->tied))
        return gen_fail(e, "embed = %d: is read as scores' matrix too, or is nowhere",
                        (int)p->embed);
    return 0;
}

/* ---- bands, groups, what stays ---- */

/* Layers in order, in each the KV heads in groups of the band's, each head once. */
static int check_groups(const hi_spec *s, const hi_band *b, hi_error *e)
{
    int per_layer = s->kv_heads / b->group;
    if (want("n_groups", b->n_groups, (int64_t)s->layers * per_layer, e))
        return -1;
    for (int i = 0; i < b->n_groups; i++) {
        const hi_group *g = &b->group_of[i];
        if (want("layer of a group", g->layer, i / per_layer, e) ||
            want("heads of a group", g->n, b->group, e) ||
            want("first head of a group", g->head, i % per_layer * b->group, e))
            return -1;
    }
    return 0;
}

static int check_band(const hi_spec *s, const hi_plan *p, int i, hi_error *e)
{
    const hi_band *b = &p->band[i];
    if (want_within("group", b->group, 1, s->kv_heads, e) ||
        want("kv_heads / group, remainder", s->kv_heads % b->group, 0, e) ||
        want_within("tile", b->tile, 1, INT32_MAX, e) ||
        want_multiple("tile", b->tile, KEY_SPLIT, e) ||
        want("group x tile", b->group * b->tile, p->band[0].group * p->band[0].tile, e))
        return -1;
    if (i > 0 && want_within("group", b->group, 1, b[-1].group - 1, e) != 0)
        return -1;
    if (b == last_band(p) ? want("upto of the last band", b->upto, p->ctx, e) != 0
                          : want("upto", b->upto, BAND_TILES * b->tile, e) != 0 ||
                                want_within("upto", b->upto, 1, p->ctx - 1, e) != 0)
        return -1;
    return check_groups(s, b, e);
}

static int check_bands(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    if (want_within("n_bands", p->n_bands, 1, p->offload ? MAX_BANDS : 1, e) != 0)
        return -1;
    for (int i = 0; i < p->n_bands; i++)
        if (check_band(s, p, i, e) != 0)
            return -1;
    return 0;
}

/* Whole tiles of each layer, of the context at most; all of it where nothing is streamed. */
static int check_resident(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    int64_t of = p->offload ? last_band(p)->tile : KEY_SPLIT, all = up_to(p->ctx, of);
    for (int l = 0; l < s->layers; l++) {
        int64_t in_prefill = p->resident[PREFILL][l], in_decode = p->resident[DECODE][l];
        bool streams = p->offload && !sees_window(s, p, l);
        if (want_within("resident rows in decode", in_decode, streams ? 0 : all,
                        less(all, INT32_MAX), e) ||
            want_within("resident rows in prefill", in_prefill, streams ? 0 : all, in_decode, e) ||
            want_multiple("resident rows in decode", in_decode, of, e) ||
            want_multiple("resident rows in prefill", in_prefill, of, e))
            return -1;
    }
    return 0;
}

/* ---- what the request forces ---- */

static int check_forced_layers(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    const hi_request *q = &p->req;
    int streamed = s->layers - p->resident_layers;
    if ((q->weights >= 0 && want("resident_layers", p->resident_layers, q->weights, e)) ||
        (q->weight_slots > 0 &&
         want("weight_slots", p->weight_slots, less(q->weight_slots, streamed), e)) ||
        (q->panel > 0 && want("panel", p->panel, q->panel, e)) ||
        (q->hidden != AT_NONE && p->panels > 1 && want("hidden", p->hidden, q->hidden, e)) ||
        (q->embed != AT_NONE && want("embed", p->embed, q->embed, e)))
        return -1;
    return 0;
}

/* Resident tiles up to a full context's. */
static int check_forced_rows(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    int64_t tile = last_band(p)->tile, rows = mul(p->req.resident, tile);
    int whole = 0;
    for (int l = 0; l < s->layers; l++)
        whole += !sees_window(s, p, l);
    if (p->req.resident < 0)
        return 0;
    if (whole == 0)
        return gen_fail(e, "resident = %d: every layer sees a window alone", p->req.resident);
    if (!p->offload)
        return want_within("resident rows asked for", rows, p->ctx, INT64_MAX, e);
    for (int phase = 0; phase < N_PHASES; phase++)
        for (int l = 0; l < s->layers; l++)
            if (!sees_window(s, p, l) && want("resident rows", p->resident[phase][l], less(rows, up_to(p->ctx, tile)), e))
                return -1;
    return 0;
}

static int check_request(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    const hi_request *q = &p->req;
    if ((q->ctx >= 0 && want("ctx", p->ctx, q->ctx > 0 ? q->ctx : s->ctx, e)) ||
        (q->chunk > 0 && want("chunk", p->chunk, q->chunk, e)) ||
        (q->tile > 0 && want("tile", last_band(p)->tile, q->tile, e)) ||
        (q->group > 0 && want("group", last_band(p)->group, q->group, e)) ||
        (q->slots > 0 && p->offload && want("slots", p->slots, q->slots, e)) ||
        (q->bands > 0 && want_within("n_bands", p->n_bands, 1, q->bands, e)) ||
        (q->mlp_rows > 0 && want("mlp_rows", p->mlp_rows, q->mlp_rows, e)))
        return -1;
    return check_forced_layers(s, p, e) != 0 ? -1 : check_forced_rows(s, p, e);
}

/* ---- arguments of steps: the range that each name in steps.def allows ---- */

static int64_t arg_limit(const hi_spec *s, const hi_plan *p, const hi_band *b, const char *name,
                         size_t len)
{
    int64_t rows = less(up_to(p->ctx, last_band(p)->tile), INT32_MAX);
    const struct {
        const char *name;
        int64_t limit;
    } limit[] = {
        { "layer", s->layers - 1 },
        { "head", s->kv_heads - 1 },
        { "n", s->kv_heads },
        { "rows", rows > p->chunk ? rows : p->chunk },
        { "first", rows },
        { "last", rows },
        { "tile", b->tile },
        { "group", b->n_groups - 1 },
        { "slot", 0 },
        { "at", 0 },
    };
    for (size_t i = 0; i < sizeof limit / sizeof limit[0]; i++)
        if (strlen(limit[i].name) == len && memcmp(limit[i].name, name, len) == 0)
            return limit[i].limit;
    return -1;
}

static int check_args(const hi_spec *s, const hi_plan *p, const hi_band *b, const hi_step *st,
                      hi_error *e)
{
    static const char *const args[N_STEPS] = {
#define S(name, args, what) args,
#include "steps.def"
#undef S
    };
    if ((unsigned)st->kind >= N_STEPS)
        return gen_fail(e, "no such step: %d", (int)st->kind);
    const char *name = args[st->kind];
    for (int i = 0; *name != '\0'; i++) {
        size_t len = strcspn(name, " ");
        int64_t limit = arg_limit(s, p, b, name, len);
        if (st->arg[i] < 0 || st->arg[i] > limit) {
            char line[128];
            step_text(b, st, line, sizeof line);
            return gen_fail(e, "%s: %.*s = %d: must be within 0 and %" PRId64, line, (int)len, name,
                            st->arg[i], limit);
        }
        name += len + strspn(name + len, " ");
    }
    return 0;
}

static int check_list(const hi_spec *s, const hi_plan *p, const hi_band *b, const char *where,
                      const hi_step *list, int n, hi_error *e)
{
    for (int i = 0; i < n; i++) {
        hi_error why = { "" };
        if (check_args(s, p, b, &list[i], &why) != 0)
            return gen_fail(e, "%s step %d: %.900s (band of %" PRId64 " rows)", where, i, why.text,
                            b->upto);
    }
    return 0;
}

/* Hidden states are looked up in the first panel, taken from the one before in others. */
static int check_begin(const char *where, const hi_step *list, int at, bool first, hi_error *e)
{
    if (list[at].kind == (first ? STEP_embed : STEP_take_hidden))
        return 0;
    return gen_fail(e, "%s step %d: a pass does not begin there", where, at);
}

/* Prefill's steps are cut into panels from the first one to the end. */
static int check_begins(const hi_plan *p, const hi_band *b, hi_error *e)
{
    if (want("first step of the first panel", b->panel_at[0], 0, e) ||
        want("end of the last panel", b->panel_at[p->panels], b->n_steps[PREFILL], e))
        return -1;
    for (int i = 0; i < p->panels; i++)
        if (want_within("first step of a panel", b->panel_at[i], 0, b->panel_at[i + 1] - 1, e) ||
            check_begin("prefill", b->steps[PREFILL], b->panel_at[i], i == 0, e))
            return -1;
    if (want_within("steps in decode", b->n_steps[DECODE], 1, INT32_MAX, e) != 0)
        return -1;
    return check_begin("decode", b->steps[DECODE], 0, true, e);
}

static int check_steps(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    for (int i = 0; i < p->n_bands; i++) {
        const hi_band *b = &p->band[i];
        if (check_begins(p, b, e) != 0 ||
            check_list(s, p, b, "prefill", b->steps[PREFILL], b->n_steps[PREFILL], e) != 0 ||
            check_list(s, p, b, "decode", b->steps[DECODE], b->n_steps[DECODE], e) != 0)
            return -1;
    }
    return check_list(s, p, last_band(p), "enter", p->enter, p->n_enter, e);
}

int plan_check(const hi_spec *s, const hi_plan *p, hi_error *e)
{
    if (check_rows(p, e) != 0 || check_layers(s, p, e) != 0 || check_bands(s, p, e) != 0 ||
        check_resident(s, p, e) != 0 || check_near(s, p, e) != 0 || check_request(s, p, e) != 0)
        return -1;
    if (check_steps(s, p, e) != 0 || check_bytes(s, p, e) != 0)
        return -1;
    return replay_plan(s, p, e);
}
