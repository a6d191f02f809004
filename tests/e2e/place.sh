#!/bin/sh
# place.sh HI_GEN SPEC OUT BUDGET [hi-gen options]: emits a plan within a budget given relative to
# the smallest that works: min, a factor of it (1.5), or none (no --vram).
set -eu
gen=$1 spec=$2 out=$3 budget=$4
shift 4
[ "$budget" = none ] && exec "$gen" "$spec" --out "$out" "$@" >/dev/null
least=$("$gen" "$spec" --vram 1 "$@" 2>&1 | sed -n 's/.*smallest budget that works: \([0-9]*\) bytes.*/\1/p')
[ -n "$least" ] || { "$gen" "$spec" --vram 1 "$@"; exit 1; }
[ "$budget" = min ] && bytes=$least || bytes=$(awk "BEGIN { printf \"%d\", $least * $budget }")
exec "$gen" "$spec" --out "$out" --vram "$bytes" "$@" >/dev/null
