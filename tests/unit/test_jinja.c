/*
** test_jinja.c - the interpreter of chat templates: errors and their lines, limits, marks.
**
** What templates render is compared with the reference in tests/chat.
*/
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <jansson.h>
#include "failing_alloc.h"
#include "jinja.h"

static char err[5000];

static void *json_malloc(size_t n)
{
    return malloc(n);
}

static int use_failing_alloc(void **state)
{
    (void)state;
    json_set_alloc_funcs(json_malloc, free);
    return 0;
}

static json_t *parse_json(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    return v;
}

/* Returns 0, or -1 with the message of parsing or rendering in err. */
static int render(const char *text, size_t n, const char *given, const char *user, jinja_text *out)
{
    err[0] = '\0';
    *out = (jinja_text){ 0 };
    jinja *j = jinja_parse("t", text, n, err, sizeof err);
    if (!j)
        return -1;
    json_t *g = given ? parse_json(given) : NULL, *u = user ? parse_json(user) : NULL;
    int rc = jinja_render(j, g, u, out, err, sizeof err);
    json_decref(g);
    json_decref(u);
    jinja_free(j);
    return rc;
}

static void expect(const char *text, const char *given, const char *user, const char *wanted)
{
    jinja_text t;
    if (render(text, strlen(text), given, user, &t) != 0)
        fail_msg("%s: %s", text, err);
    assert_string_equal(t.text, wanted);
    assert_int_equal(t.n, strlen(wanted));
    jinja_text_free(&t);
}

static void refuse_bytes(const char *text, size_t n, const char *message)
{
    jinja_text t;
    assert_int_equal(render(text, n, NULL, NULL, &t), -1);
    assert_null(t.text);
    assert_string_equal(err, message);
}

/* ---- errors ---- */

static const struct {
    const char *text, *message;
} REFUSED[] = {
    { "a\n\n{% block x %}", "t:3: {% block %} is not supported here" },
    { "{% include 'x' %}", "t:1: {% include %} is not supported here" },
    { "{% endif %}", "t:1: {% endif %} is not supported here" },
    { "\n{% for i in l recursive %}", "t:2: 'recursive' loops are not supported" },
    { "{#\n#}\n{{ x | wordwrap }}", "t:3: filter 'wordwrap' is not supported" },
    { "{{ x |\n\nfancy }}", "t:3: filter 'fancy' is not supported" },
    { "\n{{ l | map('fancy') }}", "t:2: filter 'fancy' is not supported" },
    { "{{ l | select('fancy') }}", "t:1: test 'fancy' is not supported" },
    { "{{ l | rejectattr('a', 'fancy', 1) }}", "t:1: test 'fancy' is not supported" },
    { "{{ x is fancy }}", "t:1: test 'fancy' is not supported" },
    { "\n{{ 'a'.encode() }}", "t:2: method 'encode' is not supported" },
    { "{{ a }}\n{{ lipsum() }}", "t:2: function 'lipsum' is not supported" },
    { "{% if 0 %}{{ cycler() }}{% endif %}", "t:1: function 'cycler' is not supported" },
    { "{{ f(*a) }}", "t:1: *args and **kwargs in a call are not supported" },
    { "{{ f(a=1, **a) }}", "t:1: *args and **kwargs in a call are not supported" },
    { "{{ f(a=1, 2) }}", "t:1: an argument without a name behind one with a name" },
    { "{{ a[1, 2] }}", "t:1: an index of more than one part is not supported" },
    { "{{ 0x1f }}", "t:1: number '0x...' is not supported: write it in decimal" },
    { "{{ 99999999999999999999 }}", "t:1: number 99999999999999999999 is too large" },
    { "{{ '\\ud800' }}", "t:1: a string's \\ud800 is not a character" },
    { "{{ '\\xg' }}", "t:1: a string's \\x, \\u or \\U has too few hexadecimal digits" },
    { "{{ '\\N{DASH}' }}", "t:1: a string's \\N{...} is not supported: write the character" },
    { "\n\n{{ 'abc }}", "t:3: a string without its closing '" },
    { "{{ 1 + }}", "t:1: unexpected }}: expected an expression" },
    { "{{ (1 }}", "t:1: unexpected '}'" },
    { "{{ (1", "t:1: {{ without }}" },
    { "\n{% if x", "t:2: {% without %}" },
    { "{# x", "t:1: {# without #}" },
    { "\n{% raw %} x", "t:2: {% raw %} without {% endraw %}" },
    { "{% if x %}\n", "t:1: unexpected end of the template: expected endif" },
    { "{% for i in l %}{% if x %}{% endfor %}", "t:1: {% endfor %} is not supported here" },
    { "{% for i l %}", "t:1: unexpected 'l': expected 'in'" },
    { "{% for loop in l %}{% endfor %}", "t:1: cannot assign to 'loop'" },
    { "{% set 1 = 2 %}", "t:1: unexpected number: expected a name" },
    { "{% break %}", "t:1: 'break' outside of a loop" },
    { "{% for i in l %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}",
      "t:1: 'continue' outside of a loop" },
    { "{% call x %}{% endcall %}", "t:1: {% call %} needs a call" },
    { "{% macro m(a=1, b) %}{% endmacro %}",
      "t:1: parameter 'b' has no default, the one before has" },
    { "{{ a ? b }}", "t:1: unexpected character '?'" },
    { "{{ \xc3\xa9 }}", "t:1: unexpected character '\xc3\xa9'" },
    { "{% set x = %}", "t:1: unexpected %}: expected an expression" },
    { "{{ x is defined is defined is }}", "t:1: a test behind a test" },
    { "{{ x is }}", "t:1: unexpected }}: expected a name" },
    { "{{ a == }}{{ b", "t:1: {{ without }}" },
};

/* Known before anything is rendered, also in places that are never reached. */
static void refused_when_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        err[0] = '\0';
        jinja *j = jinja_parse("t", REFUSED[i].text, strlen(REFUSED[i].text), err, sizeof err);
        if (j)
            fail_msg("%s: not refused", REFUSED[i].text);
        assert_string_equal(err, REFUSED[i].message);
    }
    assert_null(jinja_parse("t", "{{ \xff", 4, err, sizeof err));
    assert_string_equal(err, "t:1: byte 3: not UTF-8");
    assert_null(jinja_parse("t", "\n\xed\xa0\x80", 4, err, sizeof err));
    assert_string_equal(err, "t:2: byte 1: not UTF-8");
}

static const struct {
    const char *text, *message;
} FAILING[] = {
    { "\n{{ x.y }}", "t:2: 'x' is undefined" },
    { "{{ n.x.y }}", "t:1: 'int object' has no attribute 'x'" },
    { "{% if n %}\n{{ n +\n'x' }}{% endif %}",
      "t:2: unsupported operand types for +: 'int' and 'str'" },
    { "{{ 1 // 0 }}", "t:1: division by zero" },
    { "{{ 9223372036854775807 + 1 }}", "t:1: a whole number of more than 64 bits" },
    { "{{ 3 ** 99 }}", "t:1: a whole number of more than 64 bits" },
    { "{{ -(-9223372036854775807 - 1) }}", "t:1: a whole number of more than 64 bits" },
    { "{{ (-9223372036854775807 - 1) // -1 }}", "t:1: a whole number of more than 64 bits" },
    { "{{ 1e300 | int }}", "t:1: a whole number of more than 64 bits" },
    { "{{ '%s' % 1 }}", "t:1: '%' of a string is not supported: use ~" },
    { "\n{% for i in n %}{% endfor %}", "t:2: 'int' object is not iterable" },
    { "{{ [1].append(2) }}", "t:1: method 'append' would change a list: that is not allowed" },
    { "{{ {}.update({}) }}", "t:1: method 'update' would change a dict: that is not allowed" },
    { "{{ raise_exception }}", "t:1: printing a function is not supported" },
    { "{{ raise_exception('a\nb') }}", "a?b" },
    { "{{ namespace() }}", "t:1: printing a Namespace is not supported" },
    { "{{ namespace() | tojson }}",
      "t:1: tojson: Object of type Namespace is not JSON serializable" },
    { "{{ [1] | map('upper') }}",
      "t:1: printing a generator is not supported: make it a list first" },
    { "{{ 'x' | replace('a') }}", "t:1: replace: argument 'new' is missing" },
    { "{{ 'x' | trim('a', 'b') }}", "t:1: trim: 2 arguments: at most 1 are supported" },
    { "{{ 'x' | trim(tail=1) }}", "t:1: trim: an argument 'tail' is not supported" },
    { "{{ 'x' | trim('a', chars='b') }}", "t:1: trim: two values for 'chars'" },
    { "{{ '{:>5}'.format(1) }}", "t:1: format: a field {:>5} is not supported" },
    { "{{ '{'.format(1) }}", "t:1: format: a single '{'" },
    { "{% set a, b = [1] %}", "t:1: 1 values for 2 names" },
    { "{% set d = {} %}{% set d.x = 1 %}",
      "t:1: cannot assign attribute 'x': 'd' is not a namespace" },
    { "{{ {[]: 1} }}", "t:1: unhashable type: 'list'" },
    { "{{ caller() }}", "t:1: 'caller' is undefined" },
    { "{{ n() }}{% set n = 1 %}", "t:1: 'int' object is not callable" },
    { "{{ 'abc'[::0] }}", "t:1: slice step cannot be zero" },
    { "{{ range(100001) | length }}", "t:1: range of more than 100000 numbers" },
};

static void errors_of_a_rendering(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof FAILING / sizeof *FAILING; i++) {
        jinja_text t;
        const char *text = FAILING[i].text;
        if (render(text, strlen(text), "{\"n\": 7}", NULL, &t) == 0)
            fail_msg("%s: rendered %s", text, t.text);
        assert_string_equal(err, FAILING[i].message);
    }
}

/* ---- what the reference cannot tell ---- */

static void clock_is_pinned(void **state)
{
    (void)state;
    static const char TEXT[] = "{{ strftime_now('%d %b %Y %H:%M') }}";
    jinja *j = jinja_parse("t", TEXT, strlen(TEXT), err, sizeof err);
    jinja_text t;
    assert_non_null(j);
    jinja_set_clock(j, 951782400 + 3600); /* 29 Feb 2000, 1:00 */
    assert_int_equal(jinja_render(j, NULL, NULL, &t, err, sizeof err), 0);
    assert_string_equal(t.text, "29 Feb 2000 01:00");
    jinja_text_free(&t);
    jinja_set_clock(j, INT64_MAX);
    assert_int_equal(jinja_render(j, NULL, NULL, &t, err, sizeof err), -1);
    assert_string_equal(err, "t:1: strftime_now: no such time");
    jinja_free(j);
}

static void variables(void **state)
{
    (void)state;
    expect("{{ a }}{{ b }}{{ c is defined }}", "{\"a\": 1, \"b\": 2}", "{\"b\": 3}", "13False");
    expect("{{ range is defined }}{{ range }}", "{\"range\": 1}", NULL, "True1");
    expect("{{ f() if f is defined else 'no' }}", NULL, NULL, "no");
    expect("", NULL, NULL, "");
    expect("{{ b }}{{ i }}{{ d }}", "{\"b\": true, \"i\": -9223372036854775808, \"d\": 1e22}", NULL,
           "True-92233720368547758081e+22");
}

/* A template is rendered again and again: nothing of one rendering is left in the next. */
static void renderings_are_alike(void **state)
{
    (void)state;
    static const char TEXT[] = "{% set ns = namespace(n=k) %}{% set k = k + 1 %}"
                               "{% set ns.n = ns.n + k %}{{ ns.n }}";
    jinja *j = jinja_parse("t", TEXT, strlen(TEXT), err, sizeof err);
    json_t *given = parse_json("{\"k\": 1}");
    for (int i = 0; i < 3; i++) {
        jinja_text t;
        assert_int_equal(jinja_render(j, given, NULL, &t, err, sizeof err), 0);
        assert_string_equal(t.text, "3");
        jinja_text_free(&t);
    }
    json_decref(given);
    jinja_free(j);
}

/* ---- marks ---- */

/* The text with '<' and '>' around what is the user's. */
static char *show(const jinja_text *t)
{
    static char shown[4096];
    size_t k = 0, span = 0;
    bool user = false;
    for (size_t i = 0; i <= t->n; i++) {
        while (span < t->n_trusted && i >= t->trusted[span].end)
            span++;
        bool now = i < t->n && !(span < t->n_trusted && i >= t->trusted[span].begin);
        if (now != user)
            shown[k++] = now ? '<' : '>';
        user = now;
        if (i < t->n)
            shown[k++] = t->text[i];
    }
    shown[k] = '\0';
    return shown;
}

#define USER                                                                               \
    "{\"u\": \" Ab cd \", \"w\": \"xy\", \"l\": [\"p\", \"q\"], \"n\": 5, "                \
    "\"d\": {\"k\": \"v\", \"f\": 1.5}, \"m\": {\"role\": \"user\", \"content\": \"c\"}, " \
    "\"o\": {\"role\": \"root\"}}"

static const char *const MARKS[][2] = {
    { "a{{ u }}b", "a< Ab cd >b" },
    { "{{ g }}{{ w }}{{ g }}", "G<xy>G" },
    { "{{ u | trim }}|{{ u.strip() }}|{{ w.strip('x') }}", "<Ab cd>|<Ab cd>|<y>" },
    { "{{ w ~ '-' ~ g ~ w }}", "<xy>-G<xy>" },
    { "{{ w + g + w }}{{ (w + g)[1:] }}{{ (w + g)[::-1] }}", "<xy>G<xyy>GG<yx>" },
    { "{{ (g ~ w ~ g)[1] }}{{ (g ~ w)[-1] }}", "<xy>" },
    { "{{ u.split() | join('+') }}", "<Ab>+<cd>" },
    { "{{ (g ~ ',' ~ w).split(',')[1] }}", "<xy>" },
    { "{{ w.replace('x', 'X') }}{{ 'axb' | replace('x', w) }}", "X<y>a<xy>b" },
    { "{{ w.join(['1', '2']) }}{{ l | join(',') }}", "1<xy>2<p>,<q>" },
    { "{{ w | upper }}{{ (g ~ w) | lower }}{{ w | title }}{{ w | capitalize }}", "<XY>g<xyXyXy>" },
    { "{{ w | tojson }}{{ l | tojson }}{{ n }}{{ n + 1 }}", "<\"xy\"[\"p\", \"q\"]56>" },
    { "{{ d | tojson }}{{ {'a': w} | tojson }}", "<{\"k\": \"v\", \"f\": 1.5}>{\"a\": <\"xy\">}" },
    { "{{ d | tojson(indent=1) }}", "<{\n \"k\": \"v\",\n \"f\": 1.5\n}>" },
    { "{{ l }}{{ [g, w] }}{{ d }}", "<['p', 'q']>['G', <'xy'>]<{'k': 'v', 'f': 1.5}>" },
    { "{% for c in w %}{{ c }}.{% endfor %}", "<x>.<y>." },
    { "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "<k>=<v>;<f>=<1.5>;" },
    { "{% set x %}({{ w }}){% endset %}{{ x }}", "(<xy>)" },
    { "{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(w) }}", "[<xy>]" },
    { "{% filter upper %}q{{ w }}{% endfilter %}", "Q<XY>" },
    { "{% set ns = namespace(t='') %}{% for i in l %}{% set ns.t = ns.t ~ i ~ ';' %}{% endfor %}"
      "{{ ns.t }}",
      "<p>;<q>;" },
    { "{{ w * 2 }}{{ '-' * n }}", "<xyxy>-----" },
    { "{{ w | default('z') }}{{ zz | default(w) }}{{ '' or w }}", "<xyxyxy>" },
    { "{{ ('a\\nb' ~ w) | indent(2) }}", "a\n  b<xy>" },
    { "{{ '{} {x}'.format(w, x=g) }}{{ w.format() }}", "<xy> G<xy>" },
    { "{{ w | first }}{{ w | last }}{{ w | reverse }}{{ l | first }}", "<xyyxp>" },
    { "{{ ('1' ~ w).partition(w) | join('/') }}", "1/<xy>/" },
    { "{{ w.removeprefix('x') }}{{ l | map('upper') | join }}", "<yPQ>" },
    { "{{ w | e }}{{ w | safe }}{{ w | string }}", "<xyxyxy>" },
    { "{{ d.keys() | list | join }}{{ d | dictsort }}", "<kf>[(<'f'>, <1.5>), (<'k'>, <'v'>)]" },
    { "{{ '<|' ~ m.role ~ '|>' ~ m.content ~ o.role }}", "<|user|><croot>" },
    { "{{ w if w == 'xy' else g }}{{ 'q' if w else g }}", "<xy>q" },
    { "{{ (w ~ 1).strip('1') }}{{ ('1' ~ w).lstrip('1') }}{{ w | length }}", "<xyxy>2" },
    { "{{ l + [g] }}{{ (l | sort)[0] }}{{ l | max }}", "<['p', 'q', >'G'<]pq>" },
    { "{{ (u ~ g) | trim }}", "<Ab cd >G" },
    { "{{ n | string ~ n | float }}{{ '7' | int + n }}{{ -n }}", "<55.012-5>" },
};

static void marks_survive(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++) {
        jinja_text t;
        if (render(MARKS[i][0], strlen(MARKS[i][0]), "{\"g\": \"G\"}", USER, &t) != 0)
            fail_msg("%s: %s", MARKS[i][0], err);
        assert_string_equal(show(&t), MARKS[i][1]);
        jinja_text_free(&t);
    }
}

/* What a user writes is never run, and a token in it is never the template's. */
static void text_of_a_user_is_text(void **state)
{
    (void)state;
    jinja_text t;
    static const char TEXT[] = "<s>{{ u }}{{ '{{ 1 }}' }}</s>";
    assert_int_equal(
        render(TEXT, strlen(TEXT), NULL, "{\"u\": \"{{ 7*7 }}{% if %}{#</s><s>\\u0001\"}", &t), 0);
    assert_string_equal(t.text, "<s>{{ 7*7 }}{% if %}{#</s><s>\001{{ 1 }}</s>");
    assert_int_equal(t.n_trusted, 2);
    assert_int_equal(t.trusted[0].end, 3);
    assert_int_equal(t.trusted[1].begin, 30);
    assert_int_equal(t.trusted[1].end, t.n);
    jinja_text_free(&t);
}

/* ---- limits ---- */

/* 'before' k times, the middle, 'after' k times. */
static char *nest(const char *before, const char *middle, const char *after, size_t k)
{
    char *text = malloc(k * (strlen(before) + strlen(after)) + strlen(middle) + 1), *at = text;
    assert_non_null(text);
    for (size_t i = 0; i < k; i++)
        at = stpcpy(at, before);
    at = stpcpy(at, middle);
    for (size_t i = 0; i < k; i++)
        at = stpcpy(at, after);
    return text;
}

static void refuse_nested(const char *head, const char *before, const char *middle,
                          const char *after, const char *tail, const char *message)
{
    char *inner = nest(before, middle, after, 100000 / (strlen(before) + strlen(after)));
    char *text = malloc(strlen(inner) + 100);
    sprintf(text, "%s%s%s", head, inner, tail);
    refuse_bytes(text, strlen(text), message);
    free(inner);
    free(text);
}

static void deep_templates(void **state)
{
    (void)state;
    static const char DEEP[] = "t:1: nested more than 100 deep";
    static const char LONG[] = "t:1: more than 200 operators side by side";
    refuse_nested("{{ ", "(", "1", ")", " }}", DEEP);
    refuse_nested("{{ ", "[", "1", "]", " }}", DEEP);
    refuse_nested("{{ ", "{1:", "1", "}", " }}", DEEP);
    refuse_nested("{{ ", "f(", "1", ")", " }}", DEEP);
    refuse_nested("{{ ", "a[", "1", "]", " }}", DEEP);
    refuse_nested("{{ ", "- ", "1", "", " }}", DEEP);
    refuse_nested("{{ ", "not ", "1", "", " }}", DEEP);
    refuse_nested("{{ ", "1 if 1 else ", "1", "", " }}", DEEP);
    refuse_nested("", "{% if 1 %}", "1", "{% endif %}", "", DEEP);
    refuse_nested("", "{% for i in l %}", "1", "{% endfor %}", "", DEEP);
    refuse_nested("", "{% macro m() %}", "1", "{% endmacro %}", "", DEEP);
    refuse_nested("{% for ", "(", "i", ")", " in l %}{% endfor %}", DEEP);
    refuse_nested("{{ 1", "+1", "", "", " }}", LONG);
    refuse_nested("{{ 1", "**1", "", "", " }}", LONG);
    refuse_nested("{{ 1", "|int", "", "", " }}", LONG);
    refuse_nested("{{ 1", ".a", "", "", " }}", LONG);
    refuse_nested("{{ f", "()", "", "", " }}", LONG);
    refuse_nested("{{ 1", " and 1", "", "", " }}", LONG);
    refuse_nested("{{ 1", " if 1", "", "", " }}", LONG);
    char *wide = nest("{% if 0 %}{% elif 0 %}{% endif %}", "", "", 30000);
    expect(wide, NULL, NULL, "");
    free(wide);
    wide = nest("{% elif 0 %}", "", "", 80000);
    char *text = malloc(strlen(wide) + 100);
    sprintf(text, "{%% if 0 %%}%s{%% else %%}x{%% endif %%}{{ 1%s }}", wide, " ~ 1");
    expect(text, NULL, NULL, "x11");
    free(text);
    free(wide);
}

static void large_templates(void **state)
{
    (void)state;
    size_t n = 11 << 20;
    char *text = malloc(n);
    memset(text, 'x', n);
    assert_null(jinja_parse("t", text, n, err, sizeof err));
    assert_string_equal(err, "t: 11534336 bytes: a template has at most 1048576");
    jinja_text t;
    assert_int_equal(render(text, 1 << 20, NULL, NULL, &t), 0);
    assert_int_equal(t.n, 1 << 20);
    jinja_text_free(&t);
    free(text);
    text = nest("{{", "", "", 1 << 19);
    assert_int_equal(render(text, 1 << 20, NULL, NULL, &t), -1);
    free(text);
    text = nest("{%  raw  ", "", "", 100000);
    assert_int_equal(render(text, 900000, NULL, NULL, &t), -1);
    free(text);
}

#define MANY "{% for a in range(100000) %}"
#define END "{% endfor %}"

static const char *const ENDLESS[][2] = {
    { MANY MANY "x" END END, NULL },
    { "{% set x = 'x' * 50000000 %}{% set y = x ~ x %}", "t:1: a text of more than 64 MiB" },
    { "{{ 'x' * 9000000000000000000 }}", "t:1: a text of more than 64 MiB" },
    { "{{ [1] * 9000000000000000000 }}", NULL },
    { MANY MANY END END, NULL },
    { MANY MANY "{% set x = [a] %}" END END, NULL },
    { "{% set s = 'x' * 60000000 %}" MANY "{% if s[a] == 'y' %}{% endif %}" END, NULL },
    { "{% set s = 'x' * 60000000 %}" MANY "{{ s is lower }}" END, NULL },
    { "{% set s = 'x' * 60000000 %}" MANY "{% if 'y' in s %}{% endif %}" END, NULL },
    { "{% set s = 'x' * 60000000 %}" MANY "{% if s.startswith(s) %}{% endif %}" END, NULL },
    { "{% set s = ' ' * 60000000 %}" MANY "{% if s | trim %}{% endif %}" END, NULL },
    { "{% set s = 'x' * 60000000 %}{% set q = 'y' * 60000 %}{{ s.strip(q ~ 'x') }}", NULL },
    { "{% set s = 'x' * 6000000 %}{{ s.rfind('x' * 3000000 ~ 'y') }}", NULL },
    { "{% set s = 'xy' * 3000000 %}{{ s.find('x' * 3000 ~ 'y') }}", "" },
    { "{% set ns = namespace(x=[]) %}" MANY "{% set ns.x = [ns.x, ns.x] %}" END "{{ ns.x == ns.x }}"
      "{{ ns.x }}",
      "t:1: nested more than 400 deep" },
    { "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}" END
      "{{ ns.x }}",
      NULL },
    { "{% set ns = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}" END "{{ ns.x == ns.y }}",
      NULL },
    { "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "t:1: nested more than 400 deep" },
    { "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "t:1: nested more than 400 deep" },
    { "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
      NULL },
    { "{% set ns = namespace(s='ab') %}" MANY "{% set ns.s = ns.s | replace('a', 'aa') %}" END,
      NULL },
    { "{{ range(100000) | list | tojson(indent=1000) }}", "t:1: a text of more than 64 MiB" },
    { "{% set d = namespace(x={}) %}" MANY "{% set d.x = dict(d.x, **{}) %}" END,
      "t:1: *args and **kwargs in a call are not supported" },
    { "{{ range(100000) | unique | list | length }}", NULL },
};

/* Each ends, and soon: within some seconds, also on a slow machine. */
static void endless_templates(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ENDLESS / sizeof *ENDLESS; i++) {
        jinja_text t;
        time_t began = time(NULL);
        int rc = render(ENDLESS[i][0], strlen(ENDLESS[i][0]), NULL, NULL, &t);
        jinja_text_free(&t);
        if (ENDLESS[i][1] && rc != 0)
            assert_string_equal(err, ENDLESS[i][1]);
        else if (rc != 0 && !strstr(err, "does not end") && !strstr(err, "MiB of memory") &&
                 !strstr(err, "more than 64 MiB"))
            fail_msg("%s: %s", ENDLESS[i][0], err);
        if (time(NULL) - began > 60)
            fail_msg("%s: took %ld seconds", ENDLESS[i][0], (long)(time(NULL) - began));
    }
}

/* JSON deeper than any template needs. */
static void deep_values(void **state)
{
    (void)state;
    char *json = nest("[", "1", "]", 1000);
    jinja_text t;
    json_t *user = json_pack("{s:o}", "x", parse_json(json));
    jinja *j = jinja_parse("t", "{{ x }}", 7, err, sizeof err);
    assert_int_equal(jinja_render(j, NULL, user, &t, err, sizeof err), -1);
    assert_string_equal(err, "t:1: nested more than 400 deep");
    jinja_free(j);
    json_decref(user);
    free(json);
}

/* ---- memory ---- */

#define ALL                                                                                   \
    "{% macro m(a, b=1) %}{{ a ~ b }}{{ caller() if caller }}{% endmacro %}"                  \
    "{% set ns = namespace(x='') %}{% for k, v in d.items() if k %}{% set ns.x = ns.x + k %}" \
    "{{ loop.index }}{% endfor %}{% set t | upper %}{{ ns.x }}{% endset %}{{ t[::-1] }}"      \
    "{{ l | sort | map('upper') | join(',') }}{{ d | tojson(indent=2) }}{{ m(1) }}"           \
    "{{ u.split('a')[0].strip() | replace('b', 'cc') }}{{ '%c' ~ 1.5 }}{{ [l, d] }}"          \
    "{% call m(2) %}z{% endcall %}{{ l * 300 }}{% for i in range(3000) %}{% endfor %}"

static void memory_runs_out(void **state)
{
    (void)state;
    json_t *user = parse_json("{\"u\": \"xaby\", \"l\": [\"b\", \"a\"], \"d\": {\"k\": [1, {}]}}");
    for (int mode = 0; mode < 2; mode++) {
        long n = 0;
        bool done = false;
        for (for_ever = mode; !done; n++) {
            jinja_text t = { 0 };
            err[0] = '\0';
            left = n;
            jinja *j = jinja_parse("t", ALL, strlen(ALL), err, sizeof err);
            done = j && jinja_render(j, NULL, user, &t, err, sizeof err) == 0;
            left = -1;
            if (!done && !strstr(err, "out of memory"))
                fail_msg("request %ld: %s", n, err);
            jinja_text_free(&t);
            jinja_free(j);
        }
        assert_true(n > 8);
    }
    json_decref(user);
}

/* With an argument: the test that takes its time. */
int main(int argc, char **argv)
{
    const struct CMUnitTest limits[] = { cmocka_unit_test(endless_templates) };
    (void)argv;
    if (argc > 1)
        return cmocka_run_group_tests(limits, use_failing_alloc, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_when_parsed),    cmocka_unit_test(errors_of_a_rendering),
        cmocka_unit_test(clock_is_pinned),        cmocka_unit_test(variables),
        cmocka_unit_test(renderings_are_alike),   cmocka_unit_test(marks_survive),
        cmocka_unit_test(text_of_a_user_is_text), cmocka_unit_test(deep_templates),
        cmocka_unit_test(large_templates),        cmocka_unit_test(deep_values),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, use_failing_alloc, NULL);
}
