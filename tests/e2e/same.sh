#!/bin/sh
# same.sh DUMP WEIGHTS IDS REFERENCE [options]: the dump's scores are the reference's, bit for bit.
set -eu
dump=$1 weights=$2 ids=$3 reference=$4
shift 4
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$dump" "$weights" "$ids" "$out" "$@"
[ "$(wc -c <"$out")" -gt 0 ]
cmp "$out" "$reference"
