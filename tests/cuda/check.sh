#!/bin/sh
# check.sh HI_GEN SPEC ARCHS: hi-gen --check compiles the kernels of a spec with NVRTC, and no
# attention kernel spills at head_dim 64, 96 and 128, at 256 none of those for prompts. 77: no NVRTC.
set -eu
gen=$1 spec=$2 archs=$3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$gen" "$spec" --target cuda --ctx 1024 --out "$out/model" --check "$archs" >"$out/table" 2>"$out/log" || {
    cat "$out/log" "$out/table"
    grep -q 'NVRTC.*cannot be loaded\|libnvrtc' "$out/log" && exit 77
    exit 1
}
head_dim=$(sed -n 's/^#define HEAD_DIM //p' "$out/model/shape.h")
case $head_dim in 64 | 96 | 128) sure=attend ;; 256) sure="attend_[fc]" ;; *) sure=none ;; esac
awk -v sure="$sure" '
    /^sm_/ { arch = $1 }
    /^k_attend/ { n++; if ($1 ~ sure && $5 + $6 > 0) { print arch, $0; bad = 1 } }
    END { if (n < 3) { print n + 0 " attention kernels in the table"; bad = 1 } exit bad }' "$out/table"
