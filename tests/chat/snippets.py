"""Small templates, one construct each, and random ones: see make_vectors.py."""
import random

GIVEN = {"s": "Hello, World", "n": 7, "m": -3, "f": 2.5, "t": True, "z": None, "e": "",
         "l": [3, 1, 2], "d": {"b": 1, "a": 2, "items_": 3}, "nest": [[1, 2], [3], []]}
USER = {"u": "  Grüße 世界 🌍 \n", "names": ["Bob", "alice", "Émile", "bob"],
        "q": "it's \"q\"\\ \t\x7f\u00ad", "rows": [{"k": "x", "v": 1}, {"k": "y", "v": None},
        {"k": "x", "v": 2.0, "w": {"deep": [1, "é"]}}], "big": 9007199254740993, "bare": {}}

EXPRESSIONS = """
1 + 2 * 3 | 7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3 | 2 ** 10 | 2 ** -1 | -2 ** 2 | 7 / 2 | 6 / 2
1.0 | 1e16 | 1e15 | 123456789012345680.0 | 1e-5 | 0.0001 | 0.1 + 0.2 | 1.5e300 * 1e10 | -0.0 | 1_000
7.5 // 2 | -7.5 // 2 | -7.5 % 2 | 7.5 % -2 | 1 / 0 | 1 % 0 | 9223372036854775807 | 2 ** 0.5
s[0], s[-1], s[100] is defined | s[1:4] | s[::-1] | s[-3:] | s[:-3] | s[::2] | s[10:2:-3] | u[2:4]
u[::-1] | l[::-1] | l[1:] | l[:1] | l[5:] | l[-1] | l[9] | d['a'], d.a | d.zz is defined | d['zz']
d.b ~ d['b'] | s ~ n ~ f ~ t ~ z ~ l ~ d | "a" "b" | 'it\\'s' | "\\n\\t\\x41\\u00e9\\101\\q" | "\\U0001F30D"
s == 'Hello, World' | n == 7.0 | t == 1 | z == none | l == [3, 1, 2] | (1, 2) == [1, 2] | d == {'a': 2}
1 < 2 < 3 | 1 < 3 < 2 | 'a' < 'b' | [1, 2] < [1, 3] | 1 < 'a' | none < 1 | 'B' < 'a' | 'z' < 'é'
'World' in s | 3 in l | 4 not in l | 'a' in d | 1 in s | 'x' in undefined_thing | none in [none]
not t | not e | t and e | e or s | n and m or f | not n in l | t and not e
s if t else e | s if e | (s if e) is defined | 1 if e else 2 if e else 3 | s if t
undefined_thing | undefined_thing.x | undefined_thing['x'] | undefined_thing is defined | undefined_thing + 1
undefined_thing ~ 'x' | undefined_thing == other_thing | undefined_thing | length | undefined_thing() | z.x
z.x is defined | n.x is defined | d.x.y | 'x' + 1 | 1 + 'x' | 'x' * 3 | 3 * 'ab' | [1] * 2 | 'x' * -1 | [1] + [2] | (1,) + (2,)
[1, 2, 3] | (1, 2) | (1,) | () | {} | {'a': 1, 'b': [1, 2.0, none, true]} | {1: 2, none: 3, 1.5: 4} | [[], [[]], {}]
q | [q] | ['a\\'b', 'a"b', 'a\\'"b', 'tab\\t', 'é', '\\x00\\x1f'] | rows | names | nest | big | big + 1 | bare
+n | -n | -f | +m | - -3 | -t | 1,2 | n is integer and not t is integer | 3 is odd, 4 is even
n is number, t is number, f is float, t is boolean, 1 is boolean | t is true, 1 is true, e is false, not t is false
s is string, l is string | l is sequence, s is sequence, d is sequence, n is sequence | l is iterable, n is iterable, d is iterable
d is mapping, l is mapping | z is none, e is none | n is divisibleby 7 | n is divisibleby(2) | n is eq 7 | n is sameas n | n is in [7] | n is gt 3 and n is lt 9
'a' is lower, 'A' is lower, 'A' is upper | raise_exception is callable | s is callable | s is undefined | n is ge(7), n is le(6), n is ne 7
s|upper | s|lower | s|length | u|length | u|trim | u|trim|length | 'xxaxx'|trim('x') | s|title | 'hello wORLD-foo (bar'|title | s|capitalize
l|sort | l|sort(reverse=true) | names|sort | names|sort(case_sensitive=true) | rows|sort(attribute='v') | rows|map(attribute='k')|sort|join
l|join | l|join(', ') | names|join('|') | rows|join('-', attribute='k') | s|join('.') | e|join('x') | d|join(',')
l|first, l|last, s|first, s|last | []|first is defined | l|min, l|max | names|min, names|max | l|sum | rows|sum(attribute='n') | []|max is defined
l|list | s|list | d|list | d|items|list | d.items()|list | d.keys()|list | d.values()|list | d.items() | d.keys() | d.values() | d|dictsort | d|dictsort(by='value', reverse=true)
l|reverse|list | s|reverse | range(5)|list | range(2, 10, 3)|list | range(5, 0, -2)|list | range(3)|length | range(0)|length | range(10)[3] | range(1000000)
l|map('string')|join('+') | names|map('upper')|list | names|map('length')|list | rows|map(attribute='v')|list | rows|map(attribute='w.deep.1', default='?')|list | rows|map(attribute='w', default=0)|list
rows|selectattr('v')|list | rows|selectattr('k', 'equalto', 'x')|list|length | rows|rejectattr('v', 'none')|list | rows|rejectattr('k', 'equalto', 'x')|map(attribute='k')|list
l|select('odd')|list | l|reject('odd')|list | l|select('gt', 1)|list | [0, 1, '', 'a']|select|list | names|reject('equalto', 'Bob')|join(',') | (l|select('odd')) and 1 | l|select('odd')|length
n|default(1) | zz|default(1) | e|default('x', true) | z|default('x') | z|default('x', boolean=true) | zz|default | zz.y|default(1)
'5'|int + 1 | '5.7'|int | 'x'|int | 'x'|int(9) | ' 12 '|int | '0x1f'|int(0, 16) | 5.9|int | -5.9|int | t|int | z|int | '1_000'|int | '3.5'|float | 'x'|float | '1e3'|float | n|float | 'inf'|float | 'nan'|float
f|round | 2.567|round(2) | 2.5|round(0, 'floor') | 2.1|round(0, 'ceil') | n|round | 3.5|round | m|abs | f|abs | 2.675|round(2)
s|replace('l', 'L') | s|replace('l', 'L', 1) | s|replace('', '-') | 'a.b.c'|replace('.', '') | n|replace('7', '8') | s|replace('xyz', 'a')
s|string | n|string + '!' | l|string | s|safe | s|e | '<a href="x">\\'&'|e | ('<'|safe) ~ '<' | s|count | 'a b'|list|unique|list | names|unique|list | l|unique|list
"a\\nb\\n\\nc"|indent | "a\\nb\\n\\nc"|indent(2, true) | "a\\nb\\n\\nc\\n"|indent(2, blank=true) | "a\\nb"|indent('> ') | ''|indent | "a\\nb"|indent(width=1, first=true)
l|tojson | d|tojson | rows|tojson | q|tojson | u|tojson | s|tojson | z|tojson | f|tojson | 1e16|tojson | t|tojson | {}|tojson | []|tojson | {'a': [], 'b': {}}|tojson(indent=2)
rows|tojson(indent=4) | rows|tojson(ensure_ascii=true) | d|tojson(sort_keys=true) | l|tojson(separators=(',', ':')) | d|tojson(separators=(', ', ' = ')) | {1: 2, none: 3, true: 4, 1.5: 5}|tojson | (1, 2)|tojson | zz|tojson | '</script>'|tojson | "\\x00\\x1f\\x7f\\u2028🌍"|tojson | "é🌍"|tojson(ensure_ascii=true)
s.split(',') | s.split() | u.split() | 'a,b,,c'.split(',') | 'a,b,c'.split(',', 1) | ' a  b c '.split(none, 1) | ''.split() | ''.split(',') | 'abc'.split('') | 'a b c'.rsplit(' ', 1) | 'a</think>b</think>c'.split('</think>')[-1]
u.strip() | 'xxaxx'.strip('x') | 'xyaxy'.lstrip('yx') | 'xyaxy'.rstrip('yx') | '\\n\\na\\n'.strip('\\n') | 'éaé'.strip('é') | ' a '.lstrip() | ' a '.rstrip() | '\\u3000a\\u00a0'.strip()
s.startswith('Hell'), s.endswith('x'), s.startswith('') | s.startswith(('a', 'H')) | s.upper() | s.lower() | 'hello world'.title() | "they're".title() | 'hELLO'.capitalize() | 'straße ΑΣ ß'.upper() | 'ΑΣ ΣΑΣ İ'.lower() | 'ǆ'.title()
s.replace('l', 'L') | s.replace('l', 'L', 1) | s.find('o'), s.rfind('o'), s.find('zz'), u.find('世') | s.count('l'), s.count('') | s.index('W') | s.index('zz') | ','.join(['a', 'b']) | ','.join([1]) | ''.join(names)
'a-b-c'.partition('-') | 'a-b-c'.rpartition('-') | 'ab'.partition('-') | 'a\\nb\\r\\nc\\x0bd'.splitlines() | 'a\\nb\\n'.splitlines(true) | '12'.isdigit(), 'a1'.isalnum(), 'ab'.isalpha(), ' '.isspace(), ''.isdigit(), 'ab'.islower(), 'AB'.isupper()
'x'.removeprefix('x') | 'abc'.removesuffix('bc') | '{} and {}'.format(1, 'b') | '{0}{1}{0} {x} {{}}'.format(1, 2, x=3) | '{}'.format()
d.get('a'), d.get('zz'), d.get('zz', 5) | d.get('a').b is defined | d.keys() is iterable | d.items is defined | d.copy() | l.index(1) | l.count(3) | l.index(99) | l.append(4) | d.pop('a') | d.update({}) | l.append is defined
namespace(a=1).a | namespace(a=1).b is defined | dict(a=1, b=2) | dict([('x', 1)]) | dict(d, c=3) | strftime_now('%d %b %Y') | strftime_now('%Y-%m-%dT%H:%M:%S') | raise_exception('Stop: é') | raise_exception(n)
loop is defined | s.x is defined | s['upper']() | d['items'] is defined | rows[0].k | rows[2].w.deep[1] | rows[-1]['w']['deep'][0] | nest[0][1] | names[1][0] | l.0 | l[true] | d[l] is defined
[1, 2, 3,] | {'a': 1,} | ((1)) | [(1, 2), (3,)] | 1 if (2, ) else 3 | 'a' in 'abc' and 'd' not in 'abc' | (1, 2)[0] | 'abc'[1] | {'a': {'b': 1}}.a.b | [1, [2, [3]]][1][1][0] | (l|length) - 1 | l|length - 1 | n * 2 ~ 'x' | 1 ~ 2 + 3 | -n|abs | 'a'|upper ~ 'b' | 'a' ~ 'b'|upper | [z, t, f] | 'x' is string is defined | n is not none | l is not string and l is iterable | not n is none
s is something | s.foo() | foo(1) | foo() if foo is defined else 'no' | s|format(1) | f(*l) | 1 + | ] | 'abc | a.b. | {1 2} | [1 2] | 1 is | x | y | | s|trim| 
"""

STATEMENTS = r"""
{% set x = 1 %}{{ x }}
{% set x, y = 1, 2 %}{{ x }}{{ y }}
{% set x, y = [1] %}
{% set x %}a{{ n }}b{% endset %}[{{ x }}]
{% set x | upper | trim %} abc {% endset %}[{{ x }}]
{% set ns = namespace(a=1, b='x') %}{% set ns.a = ns.a + 1 %}{% set ns.c = 5 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}
{% set d2 = {'a': 1} %}{% set d2.a = 2 %}{{ d2.a }}
{% set ns = namespace(n=0) %}{% for i in l %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}
{% for i in l %}{% set x = i %}{% endfor %}{{ x is defined }}
{% set x = 0 %}{% for i in l %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}
{% if true %}{% set x = 1 %}{% endif %}{{ x }}
{% set s = 'new' %}{{ s }}
{% for i in l %}{{ s }}{% set s = i %}{{ s }} {% endfor %}{{ s }}
{% if n %}a{% elif e %}b{% else %}c{% endif %}
{% if e %}a{% elif n > 5 %}b{% elif n %}d{% else %}c{% endif %}
{% if e %}a{% elif z %}b{% else %}c{% endif %}{% if e %}x{% endif %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}
{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }} {% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}
{% for i in zz %}x{% else %}empty{% endfor %}
{% for i in z %}x{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for c in u %}[{{ c }}]{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d | items %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d.items() if v > 1 %}{{ loop.index }}{{ k }}={{ v }};{% endfor %}
{% for a, b in l %}{% endfor %}
{% for (a, b) in [(1, 2), (3, 4)] %}{{ a }}{{ b }} {% endfor %}
{% for i in l if i > 1 %}{{ i }}{{ loop.length }}{% else %}none{% endfor %}
{% for i in l if i > 9 %}{{ i }}{% else %}none{% endfor %}
{% for i in range(6) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in l %}{% for k in l %}{% if k == i %}{% break %}{% endif %}{{ k }}{% endfor %}|{{ loop.index }}{{ loop.depth }}{% endfor %}
{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for i in l[::-1] %}{{ i }}{% endfor %}
{% for i in l|sort %}{{ i }}{% endfor %}
{% for i in 1, 2, 3 %}{{ i }}{% endfor %}
{% for i in l %}{{ i }}{% endfor %}{{ i is defined }}{{ loop is defined }}
{% macro m(a, b=2, c='x') %}[{{ a }}|{{ b }}|{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m() %}{{ n }}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}
{% macro m() %}{% set x = 9 %}{{ x }}{% endmacro %}{{ m() }}{{ x is defined }}
{% macro m(i) %}{{ i }}{% if i > 0 %}{{ m(i - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m(x) %}<{{ caller() }}{{ x }}>{% endmacro %}{% call m(1) %}body{{ n }}{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}
{% macro m() %}x{% endmacro %}{{ m() | upper }}{{ m()|length }}
{% macro m() %}x{% endmacro %}{{ m is callable }}{{ m is defined }}{{ m is string }}
{% set x = m() %}{% macro m() %}x{% endmacro %}{{ x }}
{% filter upper %}abc{{ s }}{% endfilter %}
{% filter replace('a', 'b') | indent(2) %}aXa
aa{% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a is defined }}
{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}abc{{ n }}{% set x = 1 %}{% endgeneration %}{{ x is defined }}
{% raw %}{{ not }} {% this %}{% endraw %}!
{%- raw -%}  {{ x }}  {%- endraw -%}  !
  {% raw %}  a {% endraw %}
b
{# comment #}a{# {{ n }} {% if %} #}b
a {#- x -#} b
a
{# alone #}
b
a
   {# alone, indented #}
b
a
   {% if t %}
   x
   {% endif %}
b
  {%+ if t %}x{% endif +%}
  y
  {%- if t -%}
   x
  {%- endif -%}
  y
a  {{- n -}}  b
a  {{ n }}
  {{ n }}
   x {% if t %} y {% endif %} z
{% if t %}

a{% endif %}

{%- set x = 1 -%}

b
{{ "a" -}}
b
{{- '' }}{%- if t %} x{%- endif %}
{% for i in l -%}
  {{ i }}
{% endfor %}
{% for i in l -%}
  {{ i }},
{%- endfor %}
x{{ '{{' }}{{ '%}' }}{{ "}}" }}
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': {}}}}
{{ raise_exception('wrong ' ~ n) }}
{% if e %}{{ raise_exception('no') }}{% endif %}fine
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{% do l.append(1) %}
{% unknown %}
{% if %}
{% if t %}
{% endif %}
{% for in l %}{% endfor %}
{% for i l %}{% endfor %}
{% else %}
{% set %}
{% set 1 = 2 %}
{% set true = 2 %}
{% break %}
{{ }}
{{ n
{% if t
{# open
{% raw %} open
{{ n }
}} %} #}
{{ n }}}
{{{ n }}}
{ {n} } %
é{{ u }}é
{{ n }}
{{ n }}

{% if t: %}x{% endif %}
{{ (1 if t) ~ (1 if e) }}
{% set x = [] %}{% for i in l %}{% set x = x + [i * 2] %}{% endfor %}{{ x }}
{% set ns = namespace(x=[]) %}{% for i in l %}{% set ns.x = ns.x + [i * 2] %}{% endfor %}{{ ns.x }}
{% set x = rows | selectattr('v') | list %}{{ x | length }}{% for r in x %}{{ r.k }}{% endfor %}
{% set x = l | map('string') %}{{ x | join }}{{ x | join }}
{% for r in rows %}{{ loop.index }}{% for k, v in r.items() %}{{ k }}:{{ v | tojson }}{{ "," if not loop.last }}{% endfor %}
{% endfor %}
{%- for r in rows %}
{%- if r.v is none %}null{% elif r.v is float %}float{% elif r.v is integer %}int{% endif %}
{%- endfor %}
{% set a = {'x': 1} %}{% set b = dict(a, y=2) %}{{ a }}{{ b }}
{% set f2 = namespace(hit=false) %}{% for i in l %}{% if i == 1 %}{% set f2.hit = true %}{% endif %}{% endfor %}{{ f2.hit }}
{{ s[:5] ~ s[5:] == s }}{{ (s ~ '')[3] }}
{% if 'a' in d and d.a is defined and d['a'] is number and d.a != 3 %}yes{% endif %}
{% if n is defined and n is not none and n %}yes{% endif %}
{% if loop is defined %}x{% endif %}
{% set l = l + [4] %}{{ l[-1] }}{{ l | length }}
{% set x = s.split(', ') %}{{ x[0] }}{{ x[-1] }}{{ x | length }}
{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = 1 %}{{ ns['x'] }}
{% set x = namespace(a=1) %}{% set y = x %}{% set y.a = 2 %}{{ x.a }}{{ x == y }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{% macro a() %}{% for i in l %}{{ loop.index }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}{% endmacro %}{{ a() }}
{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}
{% for i in l %}{% if loop.first %}{% set x = 'f' %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{{ x }}{% for x in 'ab' %}{{ x }}{% endfor %}{{ x }}{% endfor %}
""" + "x\r\ny{{ n }}\r\n\n\n"


def whitespace(rng):
    """Tags with random signs, blanks and newlines between them."""
    out = []
    for _ in range(rng.randrange(2, 6)):
        out.append(rng.choice(["", " ", "\n", "a", "  \n", "\n  ", " b\n", "\t", "\n\n", "\r\n"]))
        begin, end = rng.choice(["", "-", "+"]), rng.choice(["", "-", "+"])
        kind = rng.randrange(4)
        if kind == 0:
            out.append("{{%s n %s}}" % (begin.replace("+", ""), end.replace("+", "")))
        elif kind == 1:
            out.append("{#%s c %s#}" % (begin, end))
        elif kind == 2:
            out.append("{%%%s if t %s%%} x\n {%%%s endif %s%%}" % (begin, end, end, begin))
        else:
            out.append("{%%%s set x = 1 %s%%}" % (begin, end))
    out.append(rng.choice(["", " ", "\n", "z", " \n"]))
    return "".join(out)


def expression(rng, depth):
    atoms = ["n", "m", "f", "t", "z", "e", "s", "u", "l", "d", "names", "rows", "1", "0", "2.5", "'x'",
             "''", "none", "true", "[]", "{}", "zz", "q"]
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(atoms)
    a, b = expression(rng, depth - 1), expression(rng, depth - 1)
    forms = ["(%s) + (%s)", "(%s) ~ (%s)", "(%s) * (%s)", "(%s) == (%s)", "(%s) < (%s)", "(%s) in (%s)",
             "(%s) and (%s)", "(%s) or (%s)", "[%s, %s]", "(%s)[%s]", "{'k': %s, 'j': %s}", "(%s) - (%s)",
             "(%s) // (%s)", "(%s) if (%s) else 0", "(%s)|default(%s)", "(s ~ (%s))[:%s]"]
    single = ["(%s)|length", "(%s)|string", "(%s)|tojson", "not (%s)", "(%s)|list", "(%s)|first",
              "(%s)|upper", "(%s) is string", "(%s) is none", "(%s)|int", "(%s)|join(',')", "-(%s)",
              "(l + [%s])[::-1]", "(%s)|trim", "(%s)|sort", "(%s).k", "(%s) is iterable", "(%s)|default('D')"]
    if rng.random() < 0.5:
        return rng.choice(forms) % (a, b)
    return rng.choice(single) % a


def all_of_them():
    rng = random.Random(1)
    out = ["{{ %s }}" % e.replace("\\\\", "\\") for line in EXPRESSIONS.strip().split("\n")
           for e in line.split(" | ") if e.strip()]
    out += STATEMENTS.strip("\n").split("\n")
    blocks = STATEMENTS.strip("\n").split("\n")
    out += ["\n".join(blocks[i:i + 3]) for i in range(0, len(blocks) - 2)]
    out += [whitespace(rng) for _ in range(300)]
    out += ["{{ %s }}" % expression(rng, 3) for _ in range(700)]
    return list(dict.fromkeys(out))
