#!/bin/sh
# differs.sh DUMP WEIGHTS IDS REFERENCE [options]: a broken schedule gives other bits, and ends.
set -eu
dump=$1 weights=$2 ids=$3 reference=$4
shift 4
out=$(mktemp)
trap 'rm -f "$out"' EXIT
timeout 60 "$dump" "$weights" "$ids" "$out" "$@"
[ "$(wc -c <"$out")" -eq "$(wc -c <"$reference")" ]
! cmp -s "$out" "$reference"
