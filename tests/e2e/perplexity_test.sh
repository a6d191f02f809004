#!/bin/sh
# perplexity_test.sh PROGRAM REFERENCE OTHER FOLDER: 'perplexity' of a program with all scores (context
# 1024) against its definition; OTHER keeps those of the last token.
set -u
program=$1 reference=$2 other=$3 folder=$4
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
failures=0

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out" | head -n 5
    sed 's/^/    err: /' "$t/err" | head -n 5
}

# run CODE TEXT ARGUMENTS..: exit code, a part of stderr; leaves $t/out.
run() {
    code=$1 text=$2
    shift 2
    timeout 60 "$program" perplexity "$@" >"$t/out" 2>"$t/err" </dev/null
    got=$?
    [ $got -eq "$code" ] || wrong "$* gives $got, not $code"
    grep -qF -e "$text" "$t/err" || wrong "$* does not say '$text'"
}

# as IDS WINDOW BOS ARGUMENTS..: what the definition gives
as() {
    "$reference" random:1 "$1" "$2" "$3" >"$t/expected" || wrong "no reference"
    shift 3
    run 0 "scored" -w random:1 "$@"
    cmp -s "$t/out" "$t/expected" || wrong "$*: not $(cat "$t/expected")"
}

awk 'BEGIN { s = 3; for (i = 0; i < 900; i++) { s = (s * 16807) % 2147483647; print s % 255 + 1 } }' >"$t/ids"
{ echo 0; cat "$t/ids"; } >"$t/bos"
head -n 300 "$t/ids" >"$t/some"
as "$t/ids" 64 -1 --ids "$t/ids" --window 64
as "$t/ids" 301 -1 --ids "$t/ids" --window 301
as "$t/ids" 512 -1 --ids "$t/ids"
as "$t/ids" 4 -1 --ids "$t/ids" --window 4
as "$t/bos" 100 0 --ids "$t/bos" --window 100
as "$t/some" 100 -1 --ids "$t/ids" --window 100 --chunks 3
as "$t/ids" 900 -1 --ids "$t/ids" --long
grep -q '^\[9\]' "$t/err" && wrong "--long has several windows"
run 0 "[2]" -w random:1 --ids "$t/ids" --window 300 -t 1
cp "$t/out" "$t/expected"
run 0 "" -w random:1 --ids "$t/ids" --window 300 -t 5
cmp -s "$t/out" "$t/expected" || wrong "threads change the result"

# A text is its tokenizer's ids, BOS in front of every window.
seq 1 200 >"$t/text"
{ echo 0; od -An -v -tu1 "$t/text"; } >"$t/ids"
run 0 "" -w "$folder" -f "$t/text" --window 128
cp "$t/out" "$t/expected"
run 0 "" -w "$folder" --ids "$t/ids" --window 128
cmp -s "$t/out" "$t/expected" || wrong "a text and its ids differ"

run 2 "no text" -w "$folder"
run 2 "one text only" -w "$folder" -f "$t/text" --ids "$t/ids"
run 2 "--long is one window" -w "$folder" -f "$t/text" --long --window 64
run 3 "context of 1024" -w "$folder" -f "$t/text" --window 1025
seq 1 2000 >"$t/text"
run 3 "context of 1024" -w "$folder" -f "$t/text" --long
echo short >"$t/text"
run 2 "the text has 7 tokens" -w "$folder" -f "$t/text"
: >"$t/text"
run 2 "the text has 1 tokens" -w "$folder" -f "$t/text"
run 2 "--window 3: must be" -w "$folder" -f "$t/text" --window 3
program=$other
run 2 "--logits all" -w "$folder" -f "$t/text"

[ $failures -eq 0 ]
