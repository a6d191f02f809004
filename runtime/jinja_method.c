/*
** jinja_method.c - methods of strings, lists, mappings and loops, as Python has them.
*/
#include "jinja_inner.h"

#include <utf8proc.h>

/* ---- taking strings apart ---- */

static void add_part(jj_run *r, jj_value l, jj_value s, size_t begin, size_t end)
{
    jj_list_add(&r->heap, l.list, jj_part(s, begin, end));
}

static jj_value split_white(jj_run *r, jj_value s, int64_t most)
{
    jj_value l = jj_list_new(&r->heap, JJ_PLAIN);
    for (size_t i = 0, k;;) {
        while (i < s.s.n && jj_is_space(jj_char(s.s.p + i, s.s.n - i, &k)))
            i += k;
        if (i >= s.s.n)
            return l;
        size_t from = i;
        if (most-- == 0) {
            add_part(r, l, s, from, s.s.n);
            return l;
        }
        while (i < s.s.n && !jj_is_space(jj_char(s.s.p + i, s.s.n - i, &k)))
            i += k;
        add_part(r, l, s, from, i);
    }
}

static jj_value separator(jj_run *r, jj_value v)
{
    if (jj_text_arg(r, v, "split: sep").s.n == 0)
        jj_raise(&r->heap, "split: empty separator");
    return v;
}

static jj_value split(jj_run *r, jj_args *a)
{
    jj_value s = a->self, l = jj_list_new(&r->heap, JJ_PLAIN);
    int64_t most = jj_int_arg(r, a->a[1], -1, "split: maxsplit");
    jj_charge(&r->heap, s.s.n);
    if (a->a[0].kind == JJ_ABSENT || a->a[0].kind == JJ_NONE)
        return split_white(r, s, most);
    jj_value by = separator(r, a->a[0]);
    size_t from = 0, at;
    while (most-- != 0 && (at = jj_find(s, by, from)) != SIZE_MAX) {
        add_part(r, l, s, from, at);
        from = at + by.s.n;
    }
    add_part(r, l, s, from, s.s.n);
    return l;
}

/* The last place of 'what' that ends at or before 'end'. */
static size_t find_last(jj_value s, jj_value what, size_t end)
{
    for (size_t at = end < what.s.n ? 0 : end - what.s.n + 1; at-- > 0;)
        if (memcmp(s.s.p + at, what.s.p, what.s.n) == 0)
            return at;
    return SIZE_MAX;
}

static jj_value rsplit(jj_run *r, jj_args *a)
{
    jj_value s = a->self, back = jj_list_new(&r->heap, JJ_PLAIN);
    int64_t most = jj_int_arg(r, a->a[1], -1, "rsplit: maxsplit");
    if (most < 0)
        return split(r, a);
    if (a->a[0].kind == JJ_ABSENT || a->a[0].kind == JJ_NONE)
        jj_raise(&r->heap, "rsplit: maxsplit without sep is not supported");
    jj_value by = separator(r, a->a[0]);
    size_t end = s.s.n, at;
    jj_charge(&r->heap, s.s.n * by.s.n);
    while (most-- > 0 && (at = find_last(s, by, end)) != SIZE_MAX) {
        add_part(r, back, s, at + by.s.n, end);
        end = at;
    }
    add_part(r, back, s, 0, end);
    jj_value l = jj_list_new(&r->heap, JJ_PLAIN);
    for (size_t i = back.list->n; i-- > 0;)
        jj_list_add(&r->heap, l.list, back.list->v[i]);
    return l;
}

jj_value jj_split_lines(jj_run *r, jj_value s, bool keep)
{
    jj_value l = jj_list_new(&r->heap, JJ_PLAIN);
    size_t from = 0;
    jj_charge(&r->heap, s.s.n);
    for (size_t i = 0, k; i < s.s.n; i += k) {
        int32_t c = jj_char(s.s.p + i, s.s.n - i, &k);
        if (!(c >= 10 && c <= 13) && !(c >= 0x1c && c <= 0x1e) && c != 0x85 && c != 0x2028 &&
            c != 0x2029)
            continue;
        size_t end = i;
        if (c == '\r' && i + 1 < s.s.n && s.s.p[i + 1] == '\n')
            k++;
        add_part(r, l, s, from, keep ? i + k : end);
        from = i + k;
    }
    if (from < s.s.n)
        add_part(r, l, s, from, s.s.n);
    return l;
}

static jj_value splitlines(jj_run *r, jj_args *a)
{
    return jj_split_lines(r, a->self, jj_truth(a->a[0]));
}

static jj_value three_parts(jj_run *r, jj_value s, jj_value by, size_t at, bool last)
{
    jj_value l = jj_list_new(&r->heap, JJ_TUPLE);
    size_t begin = at != SIZE_MAX ? at : last ? 0 : s.s.n;
    size_t end = at != SIZE_MAX ? at + by.s.n : begin;
    add_part(r, l, s, 0, begin);
    add_part(r, l, s, begin, end);
    add_part(r, l, s, end, s.s.n);
    return l;
}

static jj_value partition(jj_run *r, jj_args *a)
{
    jj_value by = separator(r, a->a[0]);
    jj_charge(&r->heap, a->self.s.n);
    return three_parts(r, a->self, by, jj_find(a->self, by, 0), false);
}

static jj_value rpartition(jj_run *r, jj_args *a)
{
    jj_value by = separator(r, a->a[0]);
    jj_charge(&r->heap, a->self.s.n * by.s.n);
    return three_parts(r, a->self, by, find_last(a->self, by, a->self.s.n), true);
}

/* ---- strings to strings ---- */

static jj_value strip_sides(jj_run *r, jj_args *a, bool left, bool right)
{
    if (a->a[0].kind != JJ_ABSENT && a->a[0].kind != JJ_NONE)
        jj_text_arg(r, a->a[0], "strip: chars");
    return jj_strip(&r->heap, a->self, a->a[0], left, right);
}

static jj_value strip(jj_run *r, jj_args *a)
{
    return strip_sides(r, a, true, true);
}

static jj_value lstrip(jj_run *r, jj_args *a)
{
    return strip_sides(r, a, true, false);
}

static jj_value rstrip(jj_run *r, jj_args *a)
{
    return strip_sides(r, a, false, true);
}

jj_value jj_replace(jj_heap *h, jj_value s, jj_value from, jj_value to, int64_t count)
{
    jj_buf b = { 0 };
    size_t at = 0, next;
    jj_charge(h, s.s.n);
    while (count-- != 0 && (next = jj_find(s, from, at)) != SIZE_MAX) {
        jj_put_value(h, &b, jj_part(s, at, next));
        jj_put_value(h, &b, to);
        at = next + from.s.n;
        if (from.s.n > 0)
            continue;
        if (at >= s.s.n)
            return jj_finish(&b);
        jj_char(s.s.p + at, s.s.n - at, &next); /* nothing is replaced: between characters */
        jj_put_value(h, &b, jj_part(s, at, at + next));
        at += next;
    }
    jj_put_value(h, &b, jj_part(s, at, s.s.n));
    return jj_finish(&b);
}

static jj_value replace(jj_run *r, jj_args *a)
{
    jj_text_arg(r, a->a[0], "replace: old");
    jj_text_arg(r, a->a[1], "replace: new");
    return jj_replace(&r->heap, a->self, a->a[0], a->a[1],
                      jj_int_arg(r, a->a[2], -1, "replace: count"));
}

#define CASE(name, how)                           \
    static jj_value name(jj_run *r, jj_args *a)   \
    {                                             \
        return jj_recase(&r->heap, a->self, how); \
    }

CASE(lower, 'l')
CASE(upper, 'u')
CASE(capitalize, 'c')
CASE(title, 't')

static jj_value join(jj_run *r, jj_args *a)
{
    const jj_list *l = jj_walk(&r->heap, a->a[0]);
    jj_buf b = { 0 };
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            jj_put_value(&r->heap, &b, a->self);
        jj_put_value(&r->heap, &b, jj_text_arg(r, l->v[i], "join: an entry"));
    }
    return jj_finish(&b);
}

static bool has_end(jj_run *r, jj_value s, jj_value part, bool front)
{
    if (part.s.n > s.s.n)
        return false;
    jj_charge(&r->heap, part.s.n);
    return part.s.n == 0 || memcmp(s.s.p + (front ? 0 : s.s.n - part.s.n), part.s.p, part.s.n) == 0;
}

/* One string, or a tuple of them. */
static jj_value test_end(jj_run *r, jj_args *a, bool front)
{
    jj_value what = a->a[0];
    if (what.kind != JJ_LIST || what.list->type != JJ_TUPLE)
        return jj_bool(
            has_end(r, a->self, jj_text_arg(r, what, "what a string begins or ends with"), front));
    for (size_t i = 0; i < what.list->n; i++)
        if (has_end(r, a->self,
                    jj_text_arg(r, what.list->v[i], "what a string begins or ends with"), front))
            return jj_bool(true);
    return jj_bool(false);
}

static jj_value startswith(jj_run *r, jj_args *a)
{
    return test_end(r, a, true);
}

static jj_value endswith(jj_run *r, jj_args *a)
{
    return test_end(r, a, false);
}

static jj_value removeprefix(jj_run *r, jj_args *a)
{
    jj_value s = a->self, part = jj_text_arg(r, a->a[0], "removeprefix: prefix");
    return has_end(r, s, part, true) ? jj_part(s, part.s.n, s.s.n) : s;
}

static jj_value removesuffix(jj_run *r, jj_args *a)
{
    jj_value s = a->self, part = jj_text_arg(r, a->a[0], "removesuffix: suffix");
    return has_end(r, s, part, false) ? jj_part(s, 0, s.s.n - part.s.n) : s;
}

/* ---- searching strings ---- */

/* A place in characters; -1: nowhere. */
static jj_value place(jj_run *r, jj_value s, size_t at)
{
    return jj_int(at == SIZE_MAX ? -1 : (int64_t)jj_length(&r->heap, jj_part(s, 0, at)));
}

static jj_value find(jj_run *r, jj_args *a)
{
    jj_charge(&r->heap, a->self.s.n);
    return place(r, a->self, jj_find(a->self, jj_text_arg(r, a->a[0], "find: sub"), 0));
}

static jj_value rfind(jj_run *r, jj_args *a)
{
    jj_value what = jj_text_arg(r, a->a[0], "rfind: sub");
    jj_charge(&r->heap, a->self.s.n * (what.s.n + 1));
    return place(r, a->self, find_last(a->self, what, a->self.s.n));
}

static jj_value string_index(jj_run *r, jj_args *a)
{
    jj_value v = find(r, a);
    if (v.i < 0)
        jj_raise(&r->heap, "substring not found");
    return v;
}

static jj_value string_count(jj_run *r, jj_args *a)
{
    jj_value s = a->self, what = jj_text_arg(r, a->a[0], "count: sub");
    int64_t n = 0;
    jj_charge(&r->heap, s.s.n);
    if (what.s.n == 0)
        return jj_int((int64_t)jj_length(&r->heap, s) + 1);
    for (size_t at = 0; (at = jj_find(s, what, at)) != SIZE_MAX; at += what.s.n)
        n++;
    return jj_int(n);
}

static bool is_class(int32_t c, char kind)
{
    utf8proc_category_t k = utf8proc_category(c);
    bool letter = k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
    if (kind == ' ')
        return jj_is_space(c);
    if (kind == '0')
        return k == UTF8PROC_CATEGORY_ND;
    return letter || (kind == 'w' && k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static jj_value all_are(jj_run *r, jj_value s, char kind)
{
    bool all = s.s.n > 0;
    jj_charge(&r->heap, s.s.n);
    for (size_t i = 0, k; i < s.s.n && all; i += k)
        all = is_class(jj_char(s.s.p + i, s.s.n - i, &k), kind);
    return jj_bool(all);
}

static jj_value isspace_(jj_run *r, jj_args *a)
{
    return all_are(r, a->self, ' ');
}

static jj_value isdigit_(jj_run *r, jj_args *a)
{
    return all_are(r, a->self, '0');
}

static jj_value isalpha_(jj_run *r, jj_args *a)
{
    return all_are(r, a->self, 'a');
}

static jj_value isalnum_(jj_run *r, jj_args *a)
{
    return all_are(r, a->self, 'w');
}

static jj_value is_cased(jj_run *r, jj_value s, char how)
{
    jj_value other = jj_recase(&r->heap, s, how == 'l' ? 'u' : 'l');
    jj_value same = jj_recase(&r->heap, s, how);
    return jj_bool(jj_equal(&r->heap, s, same) && !jj_equal(&r->heap, s, other));
}

static jj_value islower_(jj_run *r, jj_args *a)
{
    return is_cased(r, a->self, 'l');
}

static jj_value isupper_(jj_run *r, jj_args *a)
{
    return is_cased(r, a->self, 'u');
}

/* ---- format ---- */

/* The value of a field "{}", "{1}" or "{name}". */
static jj_value format_field(jj_run *r, const jj_args *a, jj_value field, size_t *next)
{
    bool digits = field.s.n > 0 && field.s.n < 6;
    size_t number = 0;
    for (size_t i = 0; i < field.s.n; i++) {
        digits &= field.s.p[i] >= '0' && field.s.p[i] <= '9';
        number = digits ? number * 10 + (size_t)(field.s.p[i] - '0') : 0;
        if (strchr(".[:!", field.s.p[i]))
            jj_raise(&r->heap, "format: a field {%.*s} is not supported", (int)field.s.n,
                     field.s.p);
    }
    if (field.s.n == 0)
        number = (*next)++;
    if ((digits || field.s.n == 0) && number < a->n_pos)
        return a->pos[number];
    for (size_t i = 0; i < a->n_named && field.s.n > 0; i++)
        if (a->names[i].s.n == field.s.n && memcmp(a->names[i].s.p, field.s.p, field.s.n) == 0)
            return a->named[i];
    jj_raise(&r->heap, "format: no argument for {%.*s}", (int)field.s.n, field.s.p);
}

static jj_value format(jj_run *r, jj_args *a)
{
    jj_heap *h = &r->heap;
    jj_value s = a->self;
    jj_buf b = { 0 };
    size_t next = 0;
    for (size_t i = 0; i < s.s.n; i++) {
        char c = s.s.p[i];
        bool twice = i + 1 < s.s.n && s.s.p[i + 1] == c;
        if ((c != '{' && c != '}') || twice) {
            jj_put_value(h, &b, jj_part(s, i, i + 1));
            i += c == '{' || c == '}';
            continue;
        }
        const char *end = c == '{' ? memchr(s.s.p + i, '}', s.s.n - i) : NULL;
        if (!end)
            jj_raise(h, "format: a single '%c'", c);
        jj_value field = jj_part(s, i + 1, (size_t)(end - s.s.p));
        jj_put_value(h, &b, jj_text(h, format_field(r, a, field, &next)));
        i = (size_t)(end - s.s.p);
    }
    return jj_finish(&b);
}

const jj_entry jj_string_methods[] = {
    { "capitalize", "", capitalize },
    { "count", "sub", string_count },
    { "endswith", "suffix", endswith },
    { "find", "sub", find },
    { "format", "*", format },
    { "index", "sub", string_index },
    { "isalnum", "", isalnum_ },
    { "isalpha", "", isalpha_ },
    { "isdigit", "", isdigit_ },
    { "islower", "", islower_ },
    { "isspace", "", isspace_ },
    { "isupper", "", isupper_ },
    { "join", "iterable", join },
    { "lower", "", lower },
    { "lstrip", "chars?", lstrip },
    { "partition", "sep", partition },
    { "removeprefix", "prefix", removeprefix },
    { "removesuffix", "suffix", removesuffix },
    { "replace", "old new count?", replace },
    { "rfind", "sub", rfind },
    { "rpartition", "sep", rpartition },
    { "rsplit", "sep? maxsplit?", rsplit },
    { "rstrip", "chars?", rstrip },
    { "split", "sep? maxsplit?", split },
    { "splitlines", "keepends?", splitlines },
    { "startswith", "prefix", startswith },
    { "strip", "chars?", strip },
    { "title", "", title },
    { "upper", "", upper },
    { NULL, NULL, NULL },
};

/* ---- lists, mappings, loops ---- */

static jj_value list_index(jj_run *r, jj_args *a)
{
    for (size_t i = 0; i < a->self.list->n; i++)
        if (jj_equal(&r->heap, a->self.list->v[i], a->a[0]))
            return jj_int((int64_t)i);
    jj_raise(&r->heap, "index: the value is not in the list");
}

static jj_value list_count(jj_run *r, jj_args *a)
{
    int64_t n = 0;
    for (size_t i = 0; i < a->self.list->n; i++)
        n += jj_equal(&r->heap, a->self.list->v[i], a->a[0]);
    return jj_int(n);
}

static jj_value copy(jj_run *r, jj_args *a)
{
    (void)r;
    return a->self; /* neither of the two can be changed */
}

static jj_value get(jj_run *r, jj_args *a)
{
    const jj_value *v = jj_dict_find(&r->heap, a->self.dict, a->a[0]);
    return v ? *v : a->a[1].kind == JJ_ABSENT ? jj_none() : a->a[1];
}

jj_value jj_items(jj_run *r, const jj_dict *d, jj_list_type type)
{
    jj_value l = jj_list_new(&r->heap, type);
    for (size_t i = 0; i < d->n; i++) {
        jj_value pair = jj_list_new(&r->heap, JJ_TUPLE);
        jj_list_add(&r->heap, pair.list, d->e[i].key);
        jj_list_add(&r->heap, pair.list, d->e[i].value);
        jj_list_add(&r->heap, l.list,
                    type == JJ_KEYS     ? d->e[i].key
                    : type == JJ_VALUES ? d->e[i].value
                                        : pair);
    }
    return l;
}

static jj_value items(jj_run *r, jj_args *a)
{
    return jj_items(r, a->self.dict, JJ_ITEMS);
}

static jj_value keys(jj_run *r, jj_args *a)
{
    return jj_items(r, a->self.dict, JJ_KEYS);
}

static jj_value values(jj_run *r, jj_args *a)
{
    return jj_items(r, a->self.dict, JJ_VALUES);
}

static jj_value cycle(jj_run *r, jj_args *a)
{
    if (a->n_pos == 0)
        jj_raise(&r->heap, "cycle: nothing to cycle through");
    return a->pos[a->self.loop->at % a->n_pos];
}

const jj_entry jj_list_methods[] = {
    { "copy", "", copy },
    { "count", "value", list_count },
    { "index", "value", list_index },
    { NULL, NULL, NULL },
};

const jj_entry jj_tuple_methods[] = {
    { "count", "value", list_count },
    { "index", "value", list_index },
    { NULL, NULL, NULL },
};

const jj_entry jj_dict_methods[] = {
    { "copy", "", copy }, { "get", "key default?", get }, { "items", "", items },
    { "keys", "", keys }, { "values", "", values },       { NULL, NULL, NULL },
};

const jj_entry jj_loop_methods[] = {
    { "cycle", "*", cycle },
    { NULL, NULL, NULL },
};
