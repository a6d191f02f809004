#!/bin/sh
# cuda_nvrtc.sh DUMP WEIGHTS IDS REFERENCE [options]: on a GPU that the program carries no code for,
# kernels are compiled once, then come from the cache; the scores are the reference's. 77: no NVRTC.
set -eu
dump=$1 weights=$2 ids=$3 reference=$4
shift 4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder" CUDA_EMU_CC=12.0

# run WORDS: the program says so, and gives the reference
run() {
    "$dump" "$weights" "$ids" "$folder/bits" "$@" 2>"$folder/log" || {
        cat "$folder/log" >&2
        grep -q 'NVRTC, which could compile it, cannot be loaded' "$folder/log" && exit 77
        exit 1
    }
    cmp "$folder/bits" "$reference"
}

run "$@"
grep -q 'compiled for sm_120' "$folder/log" || { cat "$folder/log" >&2; exit 1; }
run "$@"
grep -q 'sm_120 from the cache' "$folder/log" || { cat "$folder/log" >&2; exit 1; }
