/*
** jinja_select.c - filters that choose, order or fold the entries of a list.
*/
#include "jinja_inner.h"

#include <stdlib.h>

/* ---- paths ---- */

static const jj_value NO_DEFAULT = { .kind = JJ_ABSENT };

static jj_value or_absent(jj_value v, jj_value absent)
{
    return v.kind == JJ_UNDEFINED && absent.kind > JJ_NONE ? absent : v;
}

jj_value jj_at_path(jj_run *r, jj_value v, jj_value path, jj_value absent)
{
    if (path.kind != JJ_STRING)
        return or_absent(jj_item(r, v, path), absent);
    for (size_t at = 0; at <= path.s.n;) {
        const char *dot = memchr(path.s.p + at, '.', path.s.n - at);
        size_t end = dot ? (size_t)(dot - path.s.p) : path.s.n;
        jj_value part = jj_part(path, at, end);
        bool digits = end > at && end - at < 10;
        for (size_t i = at; i < end; i++)
            digits &= path.s.p[i] >= '0' && path.s.p[i] <= '9';
        v = jj_item(r, v, digits ? jj_int(strtol(part.s.p, NULL, 10)) : part);
        v = or_absent(v, absent);
        at = end + 1;
    }
    return v;
}

/* The value that is compared: an attribute where one is named, small letters where asked. */
static jj_value sort_key(jj_run *r, jj_value v, jj_value path, bool fold)
{
    if (path.kind != JJ_ABSENT && path.kind != JJ_NONE)
        v = jj_at_path(r, v, path, NO_DEFAULT);
    return fold && v.kind == JJ_STRING ? jj_recase(&r->heap, v, 'l') : v;
}

/* ---- map, select, reject ---- */

static const jj_entry *named_entry(jj_run *r, const jj_entry *table, jj_value name,
                                   const char *what)
{
    const jj_entry *e = jj_lookup(table, jj_text_arg(r, name, what));
    if (!e)
        jj_raise(&r->heap, "%s '%.*s' is not supported", what, (int)name.s.n, name.s.p);
    return e;
}

static jj_value lazy(jj_run *r)
{
    return jj_list_new(&r->heap, JJ_LAZY);
}

/* As the reference does: what is false, none too, has no entries. */
static const jj_list *entries(jj_run *r, jj_value v)
{
    return jj_walk(&r->heap, jj_truth(v) ? v : jj_list_new(&r->heap, JJ_PLAIN));
}

static jj_value map_attribute(jj_run *r, jj_args *a)
{
    jj_value path = jj_none(), absent = NO_DEFAULT, all = lazy(r);
    const jj_list *l = entries(r, a->self);
    for (size_t i = 0; i < a->n_named; i++) {
        if (jj_same(a->names[i], "attribute"))
            path = a->named[i];
        else if (jj_same(a->names[i], "default"))
            absent = a->named[i];
        else
            jj_raise(&r->heap, "map: an argument '%.*s' is not supported", (int)a->names[i].s.n,
                     a->names[i].s.p);
    }
    for (size_t i = 0; i < l->n; i++)
        jj_list_add(&r->heap, all.list, jj_at_path(r, l->v[i], path, absent));
    return all;
}

jj_value jj_filter_map(jj_run *r, jj_args *a)
{
    if (a->n_pos == 0 && a->n_named > 0)
        return map_attribute(r, a);
    if (a->n_pos == 0)
        jj_raise(&r->heap, "map: names neither a filter nor an attribute");
    const jj_entry *e = named_entry(r, jj_filters, a->pos[0], "filter");
    const jj_list *l = entries(r, a->self);
    jj_value all = lazy(r);
    for (size_t i = 0; i < l->n; i++) {
        jj_args one = *a;
        one.self = l->v[i];
        one.pos++;
        one.n_pos--;
        jj_list_add(&r->heap, all.list, jj_call_entry(r, e, &one));
    }
    return all;
}

/* Keeps what passes a test, or fails it; 'attr': the first argument is a path. */
static jj_value choose(jj_run *r, jj_args *a, bool attr, bool keep)
{
    size_t skip = attr;
    if (a->n_pos < skip)
        jj_raise(&r->heap, "an attribute's name is missing");
    const jj_entry *e = a->n_pos > skip ? named_entry(r, jj_tests, a->pos[skip], "test") : NULL;
    const jj_list *l = entries(r, a->self);
    jj_value some = lazy(r);
    for (size_t i = 0; i < l->n; i++) {
        jj_args one = *a;
        one.self = attr ? jj_at_path(r, l->v[i], a->pos[0], NO_DEFAULT) : l->v[i];
        one.pos += e ? skip + 1 : 0;
        one.n_pos -= e ? skip + 1 : 0;
        if (jj_truth(e ? jj_call_entry(r, e, &one) : one.self) == keep)
            jj_list_add(&r->heap, some.list, l->v[i]);
    }
    return some;
}

jj_value jj_filter_select(jj_run *r, jj_args *a)
{
    return choose(r, a, false, true);
}

jj_value jj_filter_reject(jj_run *r, jj_args *a)
{
    return choose(r, a, false, false);
}

jj_value jj_filter_selectattr(jj_run *r, jj_args *a)
{
    return choose(r, a, true, true);
}

jj_value jj_filter_rejectattr(jj_run *r, jj_args *a)
{
    return choose(r, a, true, false);
}

/* ---- order ---- */

typedef struct sorted {
    jj_value key, value;
} sorted;

/* Stable, and its comparisons may raise: so not qsort. */
static void merge_sort(jj_run *r, sorted *v, sorted *spare, size_t n, bool down)
{
    if (n < 2)
        return;
    size_t half = n / 2, i = 0, k = half, at = 0;
    merge_sort(r, v, spare, half, down);
    merge_sort(r, v + half, spare, n - half, down);
    memcpy(spare, v, n * sizeof *v);
    while (i < half || k < n) {
        bool right = i == half;
        if (i < half && k < n) {
            jj_charge(&r->heap, 32);
            right = jj_order(&r->heap, spare[down ? i : k].key, spare[down ? k : i].key, "<") == -1;
        }
        v[at++] = right ? spare[k++] : spare[i++];
    }
}

static jj_value sort_pairs(jj_run *r, sorted *v, size_t n, bool down)
{
    jj_value l = jj_list_new(&r->heap, JJ_PLAIN);
    merge_sort(r, v, jj_alloc(&r->heap, (n + 1) * sizeof *v), n, down);
    for (size_t i = 0; i < n; i++)
        jj_list_add(&r->heap, l.list, v[i].value);
    return l;
}

jj_value jj_filter_sort(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    sorted *v = jj_alloc(&r->heap, (l->n + 1) * sizeof *v);
    if (a->a[2].kind == JJ_STRING && memchr(a->a[2].s.p, ',', a->a[2].s.n))
        jj_raise(&r->heap, "sort: more than one attribute is not supported");
    for (size_t i = 0; i < l->n; i++)
        v[i] = (sorted){ sort_key(r, l->v[i], a->a[2], !jj_truth(a->a[1])), l->v[i] };
    return sort_pairs(r, v, l->n, jj_truth(a->a[0]));
}

jj_value jj_filter_dictsort(jj_run *r, jj_args *a)
{
    if (a->self.kind != JJ_DICT)
        jj_raise(&r->heap, "dictsort: '%s' object has no items", jj_type(a->self));
    const jj_dict *d = a->self.dict;
    sorted *v = jj_alloc(&r->heap, (d->n + 1) * sizeof *v);
    bool by_value = jj_same(a->a[1], "value");
    if (a->a[1].kind != JJ_ABSENT && !by_value && !jj_same(a->a[1], "key"))
        jj_raise(&r->heap, "dictsort: by must be 'key' or 'value'");
    for (size_t i = 0; i < d->n; i++) {
        jj_value pair = jj_list_new(&r->heap, JJ_TUPLE);
        jj_list_add(&r->heap, pair.list, d->e[i].key);
        jj_list_add(&r->heap, pair.list, d->e[i].value);
        jj_value key = by_value ? d->e[i].value : d->e[i].key;
        v[i] = (sorted){ sort_key(r, key, NO_DEFAULT, !jj_truth(a->a[0])), pair };
    }
    return sort_pairs(r, v, d->n, jj_truth(a->a[2]));
}

jj_value jj_filter_unique(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    jj_value some = lazy(r), seen = jj_dict_new(&r->heap);
    for (size_t i = 0; i < l->n; i++) {
        jj_value key = sort_key(r, l->v[i], a->a[1], !jj_truth(a->a[0]));
        if (jj_dict_find(&r->heap, seen.dict, key))
            continue;
        jj_dict_put(&r->heap, seen.dict, key, jj_none());
        jj_list_add(&r->heap, some.list, l->v[i]);
    }
    return some;
}

static jj_value extreme(jj_run *r, jj_args *a, int wanted)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    if (l->n == 0)
        return jj_undefined(&r->heap, "No aggregated item, sequence was empty.");
    size_t best = 0;
    jj_value key = sort_key(r, l->v[0], a->a[1], !jj_truth(a->a[0]));
    for (size_t i = 1; i < l->n; i++) {
        jj_value other = sort_key(r, l->v[i], a->a[1], !jj_truth(a->a[0]));
        if (jj_order(&r->heap, other, key, wanted < 0 ? "<" : ">") == wanted) {
            key = other;
            best = i;
        }
    }
    return l->v[best];
}

jj_value jj_filter_min(jj_run *r, jj_args *a)
{
    return extreme(r, a, -1);
}

jj_value jj_filter_max(jj_run *r, jj_args *a)
{
    return extreme(r, a, 1);
}

jj_value jj_filter_sum(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->self);
    jj_value sum = a->a[1].kind == JJ_ABSENT ? jj_int(0) : a->a[1];
    bool path = a->a[0].kind != JJ_ABSENT && a->a[0].kind != JJ_NONE;
    for (size_t i = 0; i < l->n; i++) {
        jj_value v = path ? jj_at_path(r, l->v[i], a->a[0], NO_DEFAULT) : l->v[i];
        if (sum.kind == JJ_STRING)
            jj_raise(&r->heap, "sum: strings cannot be summed: use join");
        sum = jj_math(r, '+', sum, v);
    }
    return sum;
}
