#!/bin/sh
# chat_test.sh PROGRAM FOLDER: sessions with the needle (context 2304): what is answered, remembered,
# refused and interrupted.
set -u
program=$1
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
trap '' PIPE
failures=0
sh "$(dirname "$0")/chat_folder.sh" "$2" "$t/folder" || exit 1
folder=$t/folder

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out" | tr -cd '\12\40-\176' | cut -c 1-200 | head -n 8
    sed 's/^/    err: /' "$t/err" | cut -c 1-200 | head -n 12
}

# chat CODE ARGUMENTS..: standard input is $t/in; the weights are those of the folder; answers are short.
chat() {
    code=$1
    shift
    timeout 60 "$program" chat -w "$folder" -n 20 "$@" >"$t/out" 2>"$t/err" <"$t/in"
    got=$?
    [ $got -eq "$code" ] || wrong "chat $* gives $got, not $code"
}

bare() { code=$1; shift; chat "$code" --chat-template-file "$folder/bare.jinja" --stop . "$@"; }
says() { grep -qF -e "$1" "$t/err" || wrong "does not say '$1'"; }
answers() { printf '%s\n' "$@" >"$t/expected"; cmp -s "$t/out" "$t/expected" || wrong "does not answer $*"; }
saved() { grep -qF -e "$1" "$t/saved" || { wrong "saved has no $1"; cat "$t/saved"; }; }
lines() { printf '%s\n' "$@" >"$t/in"; }

one='The pass key: 48213. What is the pass key: '
two='Gate code = 77110. So the Gate code = '

# ---- usage ----
: >"$t/in"
chat 2 --ids x
says "chat: --ids: not for this verb"
chat 2 -f -
says "standard input is the conversation"
chat 2 -f "$t/nowhere"
says "$t/nowhere: "
chat 2 --template-arg prefix
says "must be NAME=JSON"
chat 2 --template-arg 'prefix=so'
says 'text is written "so"'
chat 2 --template-arg 'messages=[]'
says "messages=[]: is the conversation's own variable"
chat 2 --logit-bias 300+1
says "the token must be from 0 to 255"
chat 2 --logit-bias 3
says "must be ID+X"
chat 2 --temp nan
says "--temp nan: must be a number from 0 to 100"
chat 2 --stop ''
says "an empty text"
timeout 60 "$program" chat -w "$t/none" >"$t/out" 2>"$t/err" <"$t/in"
[ $? -eq 4 ] || wrong "a folder that is not there does not give 4"
says "-w must name a checkpoint folder"
! grep -qF -e "--ids" "$t/err" || wrong "chat is told of --ids, which it does not take"
timeout 60 "$program" chat -w random:1 >"$t/out" 2>"$t/err" <"$t/in"
[ $? -eq 2 ] || wrong "random weights"
says "random:1 has no tokenizer"
timeout 60 "$program" chat -w "$2" >"$t/out" 2>"$t/err" <"$t/in"
[ $? -eq 4 ] || wrong "a folder without a template"
says "--chat-template-file"
chat 0
[ ! -s "$t/out" ] || wrong "nothing is answered"

# ---- questions and answers ----
lines "$one"
bare 0
answers 48213
lines "$one" "$two" '/stats' "/save $t/saved"
bare 0
answers 48213 77110
says "[kept 0 of 44 tokens"
says "[kept 44 of 89 tokens"
says "sampling    greedy"
says "context     "
saved '"content": "48213"'
saved '"content": "77110"'
lines "$one" '/clear' "$two" '/regen' '/regen' '/exit' "$one"
bare 0
answers 48213 77110 77110 77110
says "[kept 1 of 39 tokens"
says "[kept 38 of 39 tokens"
lines "$one"
bare 0 --stop 13
answers 482
chat 0 --chat-template-file "$folder/bare.jinja" -n 3
answers 482
says "cut at 3 tokens"
bare 0 --logit-bias 52-inf
answers ''
chat 0 --chat-template-file "$folder/bare.jinja" -n 5 --temp 60 --top-k 0 --top-p 1 --min-p 0 --seed 5 --ignore-eos
cp "$t/out" "$t/first"
chat 0 --chat-template-file "$folder/bare.jinja" -n 5 --temp 60 --top-k 0 --top-p 1 --min-p 0 --seed 5 --ignore-eos
cmp -s "$t/out" "$t/first" || wrong "a seed gives two answers"
says "seed 5"
chat 0 --chat-template-file "$folder/bare.jinja" -n 5 --temp 60 --top-k 0 --top-p 1 --min-p 0 --seed 6 --ignore-eos
cmp -s "$t/out" "$t/first" && wrong "two seeds give one answer"
: >"$t/in"
bare 0 -p "$one"
answers 48213
lines 'What is the pass key: '
printf 'The pass key: 48213.\n\n' >"$t/text"
bare 0 -f "$t/text"
answers 48213
: >"$t/in"
printf '%s' "$one" >"$t/text"
bare 0 -f "$t/text"
answers 48213
lines 'key: '
bare 0 --template-arg 'prefix="The pass key: 31001. "'
answers 31001

# ---- what is remembered ----
printf 'The text.\n\n' >"$t/text"
lines 'a\' 'b' '//c' '/nothing' '/save' "/save $t/saved" '/help'
chat 0 -f "$t/text" --system 'Be kind.'
saved '"The text.\n\na\nb"'
saved '"content": "/c"'
saved '"Be kind."'
says "/nothing: no such command"
says "/save FILE: where to?"
says "/regen"
lines 'x' '/system Be short.' 'y' '/system' 'z' "/save $t/saved"
chat 0 --system 'Be kind.'
grep -q 'Be ' "$t/saved" && wrong "a system message is not taken back"
lines '/regen' 'x' '/clear' '/regen' "/save $t/nowhere/x"
chat 1
says "there is no answer yet"
says "$t/nowhere/x: No such file"

# ---- what is refused: the conversation goes on without it ----
lines "$one" 'refuse' "$two" "/save $t/saved"
chat 1
says "no such talk here"
grep -q 'refuse' "$t/saved" && wrong "a refused question is kept"
printf 'a\377b\n' >"$t/in"
chat 1
says "must be UTF-8"
{ echo x; head -c 3000 /dev/zero | tr '\0' a; echo; echo y; echo "/save $t/saved"; } >"$t/in"
chat 1
says "tokens with this question; the program was generated for a context of 2304: /clear"
grep -q 'aaaa' "$t/saved" && wrong "a question that does not fit is kept"
saved '"content": "y"'
printf '/system a\000b\nx\n/save %s\n' "$t/saved" >"$t/in"
chat 0
says "/system: a NUL byte in a command"
grep -q system "$t/saved" && wrong "a part of a command is done"
lines "x" "/save $t/saved"
chat 0 -f /dev/null
saved '"content": "x"'
lines 'Once upon a time' 'And then?' '/clear' "$one" "/save $t/saved"
chat 1 --chat-template-file "$folder/bare.jinja" --ignore-eos --stop 'never to be seen' -n -1
says "the context of 2304 tokens is full, so the answer ends here"
says "tokens with this question"
saved 'pass key'

# A full stdout ends the program.
lines "$one"
timeout 60 "$program" chat -w "$folder" --chat-template-file "$folder/bare.jinja" >/dev/full 2>"$t/err" <"$t/in"
[ $? -eq 1 ] || wrong "a full stdout is no error"

# ---- Ctrl-C ----
# open ARGUMENTS..: a session whose lines come by say
mkfifo "$t/fifo"
open() {
    rm -f "$t/saved"
    "$program" chat -w "$folder" "$@" >"$t/out" 2>"$t/err" <"$t/fifo" &
    pid=$!
    exec 3>"$t/fifo"
}
say() { printf '%s\n' "$@" >&3; }
# closes CODE: the end of input, and what came of it
closes() {
    exec 3>&-
    wait $pid
    got=$?
    [ $got -eq "$1" ] || wrong "the session ends with $got, not $1"
}
# until COMMAND..: within 30 s
until_ok() {
    i=0
    until "$@" || [ $i -ge 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    [ $i -lt 300 ] || wrong "waits in vain for $*"
}
reached() { grep -qF -e "$1" "$t/err"; }

open --ignore-eos --link-gbps 0.01
say 'Tell me a very long story.'
until_ok test -s "$t/out"
kill -INT $pid
until_ok reached "interrupted; the answer so far is part of the conversation"
say "/save $t/saved" 'And then?'
until_ok test -s "$t/saved"
[ "$(grep -c '"role"' "$t/saved")" -eq 2 ] || wrong "an interrupted answer is not kept"
grep -q '"content": ""' "$t/saved" && wrong "an interrupted answer is empty"
sleep 0.5
kill -INT $pid
closes 0
[ "$(grep -c 'interrupted; the answer' "$t/err")" -eq 2 ] || wrong "a second answer is not interrupted"

open --chat-template-file "$folder/bare.jinja" --stop . --link-gbps 0.004
say "$(head -c 2200 /dev/zero | tr '\0' a)"
until_ok reached "sampling  "
sleep 0.5
kill -INT $pid
until_ok reached "the question is dropped"
say "$one" "/save $t/saved"
closes 0
answers 48213
[ "$(grep -c '"role"' "$t/saved")" -eq 2 ] || wrong "a cancelled question is kept"

open --link-gbps 0.004
say "$(head -c 2200 /dev/zero | tr '\0' a)"
until_ok reached "sampling  "
sleep 0.5
kill -INT $pid
kill -INT $pid
sleep 0.1
kill -INT $pid 2>/dev/null
closes 130

open
say "$one"
until_ok reached "[kept"
sleep 0.3
kill -INT $pid
closes 130

[ $failures -eq 0 ]
