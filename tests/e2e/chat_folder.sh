#!/bin/sh
# chat_folder.sh NEEDLE OUT: the needle's folder with a chat template of our own: a letter for the role,
# a colon, the text, a line's end.
set -eu
rm -rf "$2"
cp -r "$1" "$2"
chmod -R u+w "$2"
# BOS is the character of byte 0.
printf '{"bos_token": "\304\200", "eos_token": "\304\200"}\n' >"$2/tokenizer_config.json"
cat >"$2/chat_template.jinja" <<'END'
{{- bos_token -}}
{%- for m in messages -%}
    {%- if m.content == 'refuse' -%}{{- raise_exception('no such talk here') -}}{%- endif -%}
    {%- if m.role == 'user' -%}u{%- elif m.role == 'system' -%}s{%- else -%}a{%- endif -%}
    {{- ': ' + m.content + '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'a: ' -}}{%- endif -%}
END
# Only what is said: the needle answers what the question's end recalls.
cat >"$2/bare.jinja" <<'END'
{{- bos_token -}}
{%- if prefix is defined -%}{{- prefix -}}{%- endif -%}
{%- for m in messages -%}{{- m.content -}}{%- if not loop.last -%}{{- '\n' -}}{%- endif -%}{%- endfor -%}
END
