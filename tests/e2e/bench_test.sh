#!/bin/sh
# bench_test.sh PROGRAM CHECK: what 'bench' prints (needle, context 2304).
set -u
program=$1 check=$2
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
failures=0

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out" | head -n 5
    sed 's/^/    err: /' "$t/err" | head -n 5
}

# run CODE TEXT ARGUMENTS..: exit code, a part of stderr
run() {
    code=$1 text=$2
    shift 2
    timeout 60 "$program" bench "$@" >"$t/out" 2>"$t/err" </dev/null
    got=$?
    [ $got -eq "$code" ] || wrong "$* gives $got, not $code"
    grep -qF -e "$text" "$t/err" || [ -z "$text" ] || wrong "$* does not say '$text'"
}

# rows EXPECTED..: the tests of a table in its order
rows() {
    sed -n '3,$s/^|.*|.*|.*|.*|.*| *\([^|]*[^ |]\) *|.*± .*|$/\1/p' "$t/out" >"$t/rows"
    printf '%s\n' "$@" >"$t/expected"
    cmp -s "$t/rows" "$t/expected" || wrong "the rows are $(tr '\n' ',' <"$t/rows")"
}

run 0 "" -r 2
rows pp512 tg128
run 0 "" -r 1 -p 16,32-64+16 -n 0-3 -d 0,600
rows pp16 pp32 pp48 pp64 tg1 tg2 tg3 'pp16 @ d600' 'pp32 @ d600' 'pp48 @ d600' 'pp64 @ d600' \
    'tg1 @ d600' 'tg2 @ d600' 'tg3 @ d600'
run 0 "" -r 1 -p 100-1000*3 -n 0
rows pp100 pp300 pp900
run 0 "" -r 1 -p 100-101+9223372036854775807,102-103*9223372036854775807 -n 0
rows pp100 pp102
run 0 "" -r 1 -p 2304 -n 0
rows pp2304
run 0 "" -r 3 -p 64 -n 4 -d 0,512 -o json
"$check" 4 3 <"$t/out" || wrong "not JSON as it should be"
run 0 "" -r 3 -p 64 -n 4 -o jsonl
[ "$(wc -l <"$t/out")" -eq 2 ] || wrong "not two lines of JSON"
{ echo '['; sed '1s/$/,/' "$t/out"; echo ']'; } | "$check" 2 3 || wrong "not JSON lines"
run 0 "" -r 1 -p 64 -n 4 -o csv
[ "$(awk -F , '{ print NF }' "$t/out" | sort -u | wc -l)" -eq 1 ] || wrong "rows of several lengths"
head -n 1 "$t/out" | grep -q '^build_commit,.*,avg_ts,stddev_ts' || wrong "no header"
run 0 "" -r 1 -p 0 -n 0
[ ! -s "$t/out" ] || wrong "no test prints something"

for list in abc 5x -5 5- 9-5 5-9+0 5-9*1 0-9*2 5,,6 5, '' 99999999999999999999; do
    run 2 "-p $list: must be numbers up to the context of 2304" -p "$list"
done 2>/dev/null
run 2 "-d 2305" -d 2305
run 3 "2816 tokens are needed" -d 2304
run 3 "--ctx 2405" -d 2304 -p 101 -n 0
run 2 "-o xml" -o xml
run 2 "-r 0" -r 0
run 2 "bench: -f: not for this verb" -f x

[ $failures -eq 0 ]
