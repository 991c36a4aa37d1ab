"""Small templates that between them use every part of the language that lib/text/jinja knows. See templates.py."""

_EXPRESSIONS = r"""
1 + 2 * 3
(1 + 2) * 3
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7 / 2
6 / 2
2 ** 10
2 ** -1
-2 ** 2
7.5 // 2
-7.5 % 2
1.5 + 1
0.1 + 0.2
1e16
1e15
123456789.123
1e-5
0.0001
1e22
-0.0
1 / 3
3.0
1_000_000
0x1f
0o17
0b101
9223372036854775807
True
none
None
true and false
1 and 2
0 or 'x'
'' or none
not 1
not not 1
true + 1
true == 1
1 == 1.0
'1' == 1
none == false
1 < 2 < 3
1 < 3 < 2
1 < 2 > 1
'a' < 'b'
[1, 2] < [1, 3]
(1, 2) == (1, 2)
[1] == (1,)
{'a': 1} == {'a': 1.0}
'a' in 'abc'
'x' not in 'abc'
2 in [1, 2]
2 in (1, 2)
'a' in {'a': 1}
'a' in none
1 in 'abc'
'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1]
'a' + 1
'a' * 3
3 * 'ab'
[1] * 2
'ab' 'cd'
"a\nb\tc\\d\"e\'f\x41\u00e9\U0001F642\101\q"
'it''s'
[1, 'a', "it's", 'q"', 'b"\'', none, true, 1.0, [], {}, (), (1,), {'k': 'v'}]
{'a': 1, 'b': [1, 2], 3: none, 1.5: 'x', true: 'y', 'a': 2}
[1, 2, 3,]
{'a': 1,}
(1, 2,)
1, 2
['é', '\n', '\x07', '\u2028', '🙂', '\xad', '\u200b', '\\']
'x' if true else 'y'
'x' if false
'x' if false else 'y' if false else 'z'
('x' if false) is defined
undefined_name
undefined_name is defined
undefined_name is undefined
undefined_name.x
undefined_name['x']
undefined_name + 'a'
undefined_name ~ 'a'
undefined_name == undefined_other
undefined_name | default('d')
undefined_name.x | default('d')
undefined_name()
undefined_name or 'x'
not undefined_name
undefined_name | length
undefined_name | list
undefined_name | join(',')
undefined_name | upper
undefined_name | tojson
undefined_name < 1
-undefined_name
'x' in undefined_name
undefined_name in 'x'
undefined_name in ['x']
undefined_name is none
undefined_name is string
undefined_name is iterable
undefined_name is sequence
undefined_name is mapping
undefined_name | int
undefined_name | first
undefined_name | items | list
undefined_name | string
undefined_name | trim
[undefined_name]
none.x
none['x'] is defined
none.x.y
'abc'[0]
'abc'[-1]
'abc'[5] is defined
'añb'[1]
'abcdef'[1:3]
'abcdef'[:-1]
'abcdef'[::-1]
'abcdef'[::2]
'abcdef'[4:1:-1]
'abcdef'[-3:]
'abcdef'[10:]
'abcdef'[-100:2]
'añ🙂b'[1:3]
[1, 2, 3][::-1]
[1, 2, 3][1:]
[1, 2, 3][-2:]
[1, 2, 3][100:0:-1]
(1, 2, 3)[1:]
[1, 2][0]
[1, 2].0
[[1, 2], [3]].0.1
[1, 2][true]
[1, 2]['x'] is defined
[1, 2][7] is defined
'abc'[::0]
none[1:]
messages[0].role
messages[0]['role']
messages[-1]['content']
messages[0].nothing is defined
messages[0].items is defined
messages[0].items() | list
messages[0]['items'] is defined
messages[0].keys() | list
messages[0].values() | list
messages[0].get('role')
messages[0].get('nothing')
messages[0].get('nothing', 'x')
messages | length
tools[0].function.parameters.properties | length
messages[1].tool_calls[0].function.arguments
messages[1].tool_calls[0].function.arguments | tojson
messages[1].tool_calls[0].function.arguments | tojson(indent=2)
messages[1].tool_calls[0].function.arguments | items | list
tools[1] | tojson
tools[1] | tojson(ensure_ascii=true)
tools | tojson(indent=4)
tools[0] | tojson(sort_keys=true)
tools[0] | tojson(separators=(',', ':'))
tools[0] | tojson(indent='\t')
[] | tojson(indent=2)
{} | tojson(indent=2)
[[], {}] | tojson(indent=2)
[1, 2] | tojson(indent=0)
'</script> & "q" \\ \n \u2028 \x7f \x01' | tojson
1.0 | tojson
1e100 | tojson
{1: 'a', none: 'b', true: 'c', 1.5: 'd'} | tojson
(1, 2) | tojson
{'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true, indent=1)
undefined_name | tojson(indent=2)
'  x  ' | trim
'xxaxx' | trim('x')
'\u00a0 a \u3000' | trim
'\n a \n' | trim | length
'aBc' | upper
'aBc' | lower
'straße' | upper
'éÀ' | upper ~ 'éÀ' | lower
'hello wORLD' | capitalize
'hello wORLD foo-bar (baz) [qux]' | title
"it's o'neill" | title
'hello' | length
'añ🙂' | length
'hello' | count
{'a': 1} | length
5 | length
none | length
[3, 1, 2] | sort
[3, 1, 2] | sort(reverse=true)
['b', 'A', 'c'] | sort
['b', 'A', 'c'] | sort(case_sensitive=true)
[{'n': 2}, {'n': 1}] | sort(attribute='n')
[{'n': {'m': 2}}, {'n': {'m': 1}}] | sort(attribute='n.m')
[{'a': 1, 'b': 2}, {'a': 1, 'b': 1}, {'a': 0, 'b': 3}] | sort(attribute='a,b')
[1, 'a'] | sort
[3, 1, 2] | max
['b', 'A'] | min
[] | max is defined
[1, 2] | sum
[1.5, 2] | sum
[{'n': 1}, {'n': 2}] | sum(attribute='n')
[1, 2] | sum(start=10)
[1, 2, 1, 'a', 'A'] | unique | list
[1, 2, 3] | reverse | list
'abc' | reverse
[1, 2] | first
[] | first is defined
[1, 2] | last
'abc' | first
'abc' | last
'abc' | list
{'a': 1} | list
5 | list
[1, 2] | join('-')
[1, none, 'x', 1.5] | join
[{'n': 1}, {'n': 2}] | join(',', attribute='n')
'abc' | join('.')
{'a': 1, 'b': 2} | join(',')
'a-b-c' | replace('-', '+')
'a-b-c' | replace('-', '+', 1)
'abc' | replace('', '.')
123 | replace('2', 'x')
'x' | default('d')
'' | default('d')
'' | default('d', true)
none | default('d')
none | default('d', boolean=true)
0 | d('z', true)
42 | string ~ 'x'
none | string
'42' | int
'4x' | int
'4x' | int(7)
'4.9' | int
4.9 | int
-4.9 | int
'ff' | int(base=16)
' 12 ' | int
none | int
[] | int(3)
true | int
'1_000' | int
'1.5' | float
'x' | float
'x' | float(2.5)
3 | float
-5 | abs
-5.5 | abs
2.5 | round
3.5 | round
2.675 | round(2)
2.61 | round(1, 'ceil')
2.69 | round(1, 'floor')
5 | round
42.55 | round | int
'a b  c' | wordcount
{'b': 2, 'a': 1} | dictsort
{'b': 1, 'a': 2} | dictsort(by='value')
{'b': 2, 'A': 1} | dictsort(true)
{'b': 2, 'a': 1} | dictsort(reverse=true)
{'b': 2, 'a': 1} | items | list
[1] | items | list
'x' | items | list
'l1\nl2\n\nl3' | indent
'l1\nl2\n\nl3' | indent(2, true)
'l1\nl2\n\nl3' | indent(2, blank=true)
'l1\nl2' | indent('> ')
'l1\r\nl2\u2028l3' | indent(1)
'' | indent(2, true)
messages | map(attribute='role') | list
messages | map(attribute='nothing', default='-') | list
messages | map(attribute='tool_calls.0.function.name', default='-') | join(' ')
['a', 'b'] | map('upper') | join
[' a ', 'b '] | map('trim') | list
['1', '2'] | map('int') | sum
['a-b'] | map('replace', '-', '+') | list
[1, 2, 3, 4] | select('odd') | list
[1, 2, 3, 4] | reject('odd') | list
[1, 2, 3, 4] | select('gt', 2) | list
[0, 1, '', 'a', none] | select | list
[0, 1, '', 'a', none] | reject | list
messages | selectattr('role', 'equalto', 'tool') | map(attribute='content') | list
messages | selectattr('role', '==', 'tool') | list | length
messages | selectattr('tool_calls') | list | length
messages | rejectattr('role', 'in', ['tool', 'user']) | map(attribute='role') | list
messages | selectattr('tool_calls', 'defined') | list | length
messages | selectattr('nothing.deeper', 'defined') | list
messages | map('nofilter') | list
messages | select('notest') | list
(messages | selectattr('role', 'equalto', 'nobody')) is iterable
'yes' if messages | selectattr('role', 'equalto', 'nobody') else 'no'
messages | selectattr('role', 'equalto', 'nobody') | length
messages | selectattr('role', 'equalto', 'tool') | first
[1, 2, 3, 4, 5] | batch(2) | list
[1, 2, 3] | batch(2, 'x') | list
'%s and %s' | format('a', 1)
'%(x)s' | format(x=1)
'%s' % 'a'
'%d %5.2f %05d %x %-5s|' % (1, 2.345, 42, 255, 'ab')
'%s %s' % ('a',)
'%s' % [1]
'%%'  % ()
'%r' % 'a'
'x' | safe
'x' | unknownfilter
1 is unknowntest
1 is number
true is number
1.5 is number
'1' is number
1 is integer
true is integer
1.0 is integer
1.0 is float
true is boolean
1 is boolean
true is true
1 is true
false is false
0 is false
none is none
0 is none
'a' is string
1 is string
{} is mapping
[] is mapping
[] is sequence
'a' is sequence
{} is sequence
1 is sequence
[] is iterable
'a' is iterable
{} is iterable
1 is iterable
1 is odd
2 is even
9 is divisibleby 3
9 is divisibleby(3)
'a' is lower
'A1' is upper
'aB' is lower
1 is eq 1
1 is equalto 1
'a' is in 'abc'
'a' is in ['b']
1 is not none
1 is not number
none is not none
1 is ne 2
1 is lt 2
2 is ge 2
1 is sameas 1
none is sameas none
range is callable
1 is callable
'a' is defined and 'b' is defined
'a' is string or false
not 'a' is string
'upper' is filter
'nofilter' is filter
'odd' is test
'a,b,,c'.split(',')
'  a  b '.split()
'a b c d'.split(' ', 2)
'a b c d'.split(none, 1)
'a b c d'.rsplit(' ', 1)
' a b c '.rsplit(none, 1)
'abc'.split('')
''.split(',')
''.split()
'a\nb\r\nc'.splitlines()
'a\nb\n'.splitlines(true)
'  x '.strip() ~ '|'
'  x '.lstrip() ~ '|'
'  x '.rstrip() ~ '|'
'xyx'.strip('x')
'xxyxx'.lstrip('x')
'xxyxx'.rstrip('x')
'abcba'.strip('ab')
'éaé'.strip('é')
'abc'.startswith('a')
'abc'.startswith(('x', 'a'))
'abc'.endswith('bc')
'abc'.endswith('')
'abc'.startswith(1)
'aBc'.upper()
'aBc'.lower()
'abc def'.title()
"they're"  .title()
'abc def'.capitalize()
'aaa'.replace('a', 'b')
'aaa'.replace('a', 'b', 2)
'aaa'.replace('a', 'b', -1)
','.join(['a', 'b'])
','.join('abc')
','.join([1, 2])
'abc'.find('c')
'añb'.find('b')
'abc'.find('x')
'abcabc'.rfind('b')
'abc'.index('b')
'abc'.index('x')
'banana'.count('an')
'abc'.count('')
'12'.isdigit()
'1a'.isdigit()
''.isdigit()
'abc'.isalpha()
'ab1'.isalpha()
'ab1'.isalnum()
'日本'.isalpha()
' \n'.isspace()
'AB'.isupper()
'ab1'.islower()
'12'.isnumeric()
'42'.zfill(5)
'-42'.zfill(5)
' a b c '.split(none, 1)
'ab'.ljust(4) ~ '|'
'ab'.rjust(4) ~ '|'
'ab'.center(5) ~ '|'
'ab'.center(6, '*')
'a'.center(4, '*')
'abc'.removeprefix('a')
'abc'.removesuffix('c')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'{} and {}'.format('a', 1)
'{1} {0} {x}'.format('a', 'b', x='c')
'{{}}'.format()
'{}'.format()
'Straße'.casefold()
'abc'.nomethod()
'abc'.nomethod is defined
[1, 2].append(3)
[1, 2].index(2)
[1, 2, 1].count(1)
[2, 1].sort()
{'a': 1}.update({'b': 2})
{'a': 1}.pop('a')
{'a': 1}.copy()
{'a': 1}.setdefault('b', 2)
{'a': 1}.items() | list
{'items': 1}['items']
{'a': 1}.a
{'a': 1}['b'] is defined
{'a': 1}.keys() | join
{'a': 1}.keys() | length
{'_x': 1}._x
{'a': {'b': 1}}.a.b
'a'.__class__
[].__class__.__mro__
messages.__class__ is defined
dict(a=1, b='x')
dict({'a': 1}, b=2)
range(3) | list
range(1, 4) | list
range(5, 0, -2) | list
range(0) | list
range(1, 3, 0)
range(200000) | length
range(3) | length
namespace(a=1).a
namespace({'a': 1}).a
namespace(a=1).b is defined
raise_exception('stop')
strftime_now('%Y-%m-%d')
strftime_now('%d %b %Y')
strftime_now('%H:%M')
strftime_now('%A %a, %-d %e %B %b %y, %j %U %W %w %u, %I %p %M:%S.%f, %c|%x|%X')
strftime_now('%z|%Z|%%z|%%|%G-W%V|%s' | replace('%s', ''))
strftime_now('')
strftime_now('no marks')
1 / 0
1 // 0
1 % 0
9223372036854775807 + 0
bos_token + eos_token
bos_token is defined
add_generation_prompt
documents
documents is none
tools is not none
[1, 2, 3] | length > 2
'a' ~ 'b' | upper
'a' + 'b' | upper
-5 | abs
(-5) | abs
1 - 1 ~ 'x'
2 * 3 ~ 'x'
not 1 == 2
1 if 2 > 1 else 0
messages[messages | length - 1].role
messages[(messages | length) - 1].role
('a', 'b')[0]
{'a': [1, {'b': 'c'}]}.a[1].b
[x]
x
{{'a': 1}: 2}
{[1]: 2}
{(1, 2): 3}
"unterminated
'a' 'b
1 +
(1
[1, 2
{'a'
foo(
foo.
a b
1 1
| upper
'a' |
is defined
'x' is
'x' is string is string
@
1 ? 2 : 3
""".strip("\n").split("\n")

_TEMPLATES = [
    "",
    "plain",
    "plain\n",
    "plain\n\n",
    "a\r\nb\rc",
    "{{ 'x' }}\n",
    "{{ 'x' }}\ny",
    "{% if true %}\nx\n{% endif %}\ny",
    "  {% if true %}\n  x\n  {% endif %}\n  y",
    "a  {% if true %}  b  {% endif %}  c",
    "a \n {%- if true -%} \n b \n {%- endif -%} \n c",
    "a {{- ' x ' -}} b",
    "  {{ 'x' }}  y",
    "\n  {%+ if true %}\nx{% endif +%}\n y",
    "{# c #}\nx",
    "  {# c #}\nx",
    "x {#- c -#} y",
    "{# {{ not }} {% parsed %} #}x",
    "{# unclosed",
    "{% raw %}{{ x }} {% if %}{% endraw %}",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  y",
    "  {% raw %}\n  x\n  {% endraw %}\ny",
    "{% raw %} unclosed",
    "{ {x} {% if true %}{{ '}}' }}{% endif %} }",
    "{{ {'a': {'b': 1}} }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ '%}' }}{% if '}}' == '}}' %}ok{% endif %}",
    "{{",
    "{{ }}",
    "{% %}",
    "{% if %}x{% endif %}",
    "{% if true %}",
    "{% endif %}",
    "{% if true %}x{% endfor %}",
    "{% unknown %}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "{% for x in [1,2,3] %}{{ x }}{% endfor %}",
    "{% for x in [] %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}"
    "{{ loop.last }}{{ loop.length }}{{ loop.depth }} {% endfor %}",
    "{% for x in [1,2,3] %}{{ loop.previtem | default('-') }}<{{ x }}>{{ loop.nextitem | default('-') }} {% endfor %}",
    "{% for x in [1,1,2] %}{{ loop.changed(x) }} {{ loop.cycle('a', 'b') }} {% endfor %}",
    "{% for x in [1,2,3,4] if x is even %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in [1,3] if x is even %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2} | items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}",
    "{% for a, b in ['xy', [1, 2]] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}",
    "{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for c in 'añ🙂' %}[{{ c }}]{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in undefined_name %}x{% else %}empty{% endfor %}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in [1,2,3,4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in [1,2] %}{% for y in [1,2] %}{{ loop.index }}{% if y == 1 %}{% break %}{% endif %}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% break %}",
    "{% for x in [1,2] %}{% set y = x %}{{ y }}{% endfor %}{{ y is defined }}",
    "{% set y = 0 %}{% for x in [1,2] %}{% set y = y + x %}{{ y }}{% endfor %}{{ y }}",
    "{% set ns = namespace(n=0) %}{% for x in [1,2] %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b is defined }}",
    "{% set x = 1 %}{% set x.y = 2 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1, 2] %}{{ b }}{{ a }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set x %}  block {{ 1 + 1 }}  {% endset %}[{{ x }}]",
    "{% set x | upper | trim %}  block {{ 1 + 1 }}  {% endset %}[{{ x }}]",
    "{% set x %}{% set inner = 1 %}{% endset %}{{ inner is defined }}",
    "{% set ns = namespace(t='') %}{% set ns.t %}text{% endset %}{{ ns.t }}",
    "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% if false %}{% set x = 1 %}{% endif %}{{ x is defined }}",
    "{% set loop = 5 %}{{ loop }}",
    "{% set true = 1 %}",
    "{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}{% if 0 %}a{% elif '' %}b{% else %}c{% endif %}",
    "{% if not tools %}a{% elif tools | length > 1 and tools[1].function.name %}b{% endif %}",
    "{% macro m(a, b=2) %}({{ a }},{{ b }}){% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=5) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 'x', k=2) }}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(3) }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}",
    "{% macro m() %}{{ messages | length }}{% set x = 1 %}{% endmacro %}{{ m() }}{{ x is defined }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m(xs) %}{% for x in xs %}{{ caller(x) }};{% endfor %}{% endmacro %}{% call(y) m([1, 2]) %}<{{ y }}>{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% call 5 %}{% endcall %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m() %} x {% endmacro %}{{ m() | trim ~ '|' }}",
    "{% for x in [1,2] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% filter upper %}abc {{ 'def' }}{% endfilter %}",
    "{% filter upper | replace('A', 'x') %}abc{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a is defined }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}",
    "{% for x in [1,2,3] %}{% with y = x %}{% if y == 2 %}{% break %}{% endif %}{{ y }}{% endwith %}{% endfor %}",
    "{% generation %}answer {{ 1 }}{% endgeneration %}",
    "{%- for m in messages -%}\n{%- generation -%}\n {{ m.role }}\n{%- endgeneration -%}\n{%- endfor -%}",
    "{% generation %}{% set x = 1 %}{% endgeneration %}{{ x is defined }}",
    "{% for x in [1, 2, 3] %}{% generation %}{{ loop.index }}{{ x }}{% endgeneration %}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% generation %}{% set ns.n = 2 %}{% for x in [1] %}{{ x }}{% endfor %}{% endgeneration %}{{ ns.n }}",
    "{% macro m(x) %}{% generation %}<{{ x }}>{% endgeneration %}{% endmacro %}{{ m(1) | upper }}{{ m('a') | length }}",
    "a\n  {% generation %}\n  b\n  {% endgeneration %}\nc",
    "{% generation %}{% generation %}in{% endgeneration %}{% endgeneration %}",
    "{% generation %}",
    "{% endgeneration %}",
    "{% print 1, 'a' %}",
    "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }} {% endfor %}",
    "{% for x in [[1, [2, [3]]], [4]] recursive %}{{ loop.depth }}:{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %};{% endfor %}",
    "{% for x in [1] %}{{ loop([2]) }}{% endfor %}",
    "{{ [1, 2] | join(', ') }}{{ ', ' ~ loop is defined }}",
    "{% for i in range(3) %}{% for j in range(i) %}{{ loop.length }}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}"
    "({% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson if v is not string else v }}"
    "{{ ', ' if not loop.last }}{% endfor %}){% endfor %}{% endif %}{% endfor %}",
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + (m['content'] or '') | trim + '\\n' }}{% endfor %}",
    "{%- if messages[0].role == 'system' %}\n    {%- set system = messages[0].content %}\n{%- else %}\n    {%- set system = 'none' %}\n{%- endif %}\n{{- system }}",
    "{{ messages | tojson }}",
    "{% set roles = messages | map(attribute='role') | list %}{{ roles }}{{ roles | unique | join(',') }}",
    "{{ raise_exception('bad ' ~ messages[0].content) }}",
    "{% if tools %}{% for t in tools %}{{ t.function.parameters.properties | dictsort | map('first') | join(',') }};{% endfor %}{% endif %}",
    "{{ messages[0].content.split('A-')[1] | int }}",
    "{%- macro type_of(p) -%}\n{%- if p.type == 'array' -%}\n{{ type_of(p['items']) }}[]\n{%- else -%}\n{{ p.type }}\n{%- endif -%}\n{%- endmacro -%}\n"
    "{%- for name, p in tools[0].function.parameters.properties.items() %}\n{{ name }}: {{ type_of(p) }}\n{%- endfor %}",
    "{{ 'a' if messages is string else 'b' }}{{ 1 if none is none and 2 is even else 0 }}",
    "{% set x = [] %}{% set x = x + [1] %}{% set x = x + [2] %}{{ x }}",
    "{% set d = {'a': 1} %}{% set d = dict(d, b=2) %}{{ d }}",
    "{{ [[1, 2], [3]] | map('join', '+') | list }}{{ [[1, 2], [3]] | sum(start=[]) }}",
    "{{ {'a': none} | tojson }}{{ {'a': none} }}",
    "a{{ none }}b{{ true }}c{{ 1.0 }}d{{ [none] }}",
    "{%set x=1%}{{x}}{%if x%}y{%endif%}",
    "{{x.y.z}}",
    "line 1\n{% for x in [1,2] %}\n  - {{ x }}\n{% endfor %}\nend\n",
    "\t{% if true %}\t\n\tx\n\t{% endif %}\t\n",
    "{% if true -%}\n\n  x  \n\n{%- endif %}",
    "{{ 'a' -}}   \n  {{- 'b' }}",
    "{%- if true %} x {% endif -%}\n\n y",
    "{{ '\\n' }}|{{ \"\\t\" }}|",
    "{{ 'multi\nline' }}",
    "{{ 1 }}{# x #}{{ 2 }}\n{# y #}\n{{ 3 }}",
    "{{ (messages | first).role }}{{ messages | map(attribute='role') | join('') | length }}",
    "{% set a = namespace(list=[]) %}{% for m in messages %}{% set a.list = a.list + [m.role] %}{% endfor %}{{ a.list | join(' ') }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{{ [1,2,3][1:] | map('string') | join('/') }}",
    "{{ {'a': 1} | tojson | length }}{{ '{' ~ '}' }}",
    "{% for a in [1] %}{% endfor %}{{ a is defined }}",
    "{% if messages %}{{ messages|length }}{% endif %}{{ messages|length }}x",
    "{{ 'x' if messages|length > 1 and messages[1]['role'] == 'assistant' else 'y' }}",
]

SNIPPETS = ["{{ " + e + " }}" for e in _EXPRESSIONS] + _TEMPLATES
