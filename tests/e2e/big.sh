#!/bin/sh
# big.sh HI_GEN HOME SPEC BUDGET: a published model at full size with random weights, end to end: with
# everything resident and within a budget that streams weights and keys, the same answer.
set -eu
gen=$1 home=$2 spec=$3 budget=$4
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
awk 'BEGIN { s = 5; for (i = 0; i < 700; i++) { s = (s * 16807) % 2147483647; print s % 50000 } }' >"$t/ids.txt"

# program NAME OPTIONS..: generates, compiles, answers; the answer goes to $t/NAME.
answer() {
    name=$1
    shift
    program=$("$gen" "$home/specs/$spec.lua" --ctx 4096 --out "$t/$name.src" --build "$@" 2>"$t/err") ||
        { tail -n 20 "$t/err"; exit 1; }
    "$program" generate -w random:1 --ids "$t/ids.txt" -n 12 --ignore-eos >"$t/$name" 2>"$t/$name.err" ||
        { cat "$t/$name.err"; exit 1; }
    sed -n '/^prompt/p; /^generation/p; /^to the device/p; /^device memory/p' "$t/$name.err"
}

answer resident
answer budget --vram "$budget" --tile 256 --chunk 256
[ "$(wc -w <"$t/resident")" -eq 12 ] || { echo "not 12 tokens: $(cat "$t/resident")"; exit 1; }
awk '$1 == "to" && $3 == "device," && $NF + 0 < 100 { exit 1 }' "$t/budget.err" ||
    { echo "the budget streams nothing"; exit 1; }
cmp "$t/resident" "$t/budget" || { echo "the answers differ"; cat "$t/resident" "$t/budget"; exit 1; }
