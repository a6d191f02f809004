#!/bin/sh
# same_end.sh DUMP WEIGHTS IDS REFERENCE BYTES [options]: the last BYTES bytes of the dump are the
# reference's: what 'last' logits and all logits have in common.
set -eu
dump=$1 weights=$2 ids=$3 reference=$4 bytes=$5
shift 5
out=$(mktemp)
trap 'rm -f "$out" "$out.end" "$out.want"' EXIT
"$dump" "$weights" "$ids" "$out" "$@"
[ "$(wc -c <"$out")" -gt "$bytes" ] && [ "$(wc -c <"$out")" -lt "$(wc -c <"$reference")" ]
tail -c "$bytes" "$out" >"$out.end"
tail -c "$bytes" "$reference" >"$out.want"
cmp "$out.end" "$out.want"
