#!/bin/sh
# refresh.sh HI_GEN: writes the golden sources anew. Each folder's 'command' holds the arguments.
# A golden changes only in a commit that says so.
set -eu
gen=$(realpath "$1")
cd "$(dirname "$0")/../../.."
for folder in tests/golden/emit/*/; do
    # shellcheck disable=SC2046
    "$gen" $(cat "$folder/command") --out "${folder%/}"
    rm "$folder/plan.json" "$folder/report.html"     # test_explain.c has their tests
done
