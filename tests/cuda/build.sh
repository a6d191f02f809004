#!/bin/sh
# build.sh HI_GEN HOME SPEC NVCC ARCH..: nvcc compiles every kernel of a spec without a warning, and
# no attention kernel spills at head_dim 64, 96 and 128, at 256 none of those for prompts. 77: no nvcc.
set -eu
gen=$1 home=$2 spec=$3 nvcc=$4
shift 4
[ -x "$nvcc" ] || { echo "no nvcc: ./hi toolkit installs it"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$gen" "$spec" --target cuda --ctx 1024 --out "$out/model" >/dev/null
head_dim=$(sed -n 's/^#define HEAD_DIM //p' "$out/model/shape.h")

for arch; do
    "$nvcc" -std=c++17 -O3 -gencode "arch=compute_$arch,code=sm_$arch" -cubin -Xptxas -v \
        -Werror all-warnings -I"$out/model" -I"$home/runtime/cuda" "$home/runtime/cuda/kernels.cu" \
        -o "$out/kernels.cubin" 2>"$out/log" || { cat "$out/log"; exit 1; }
    case $head_dim in 64 | 96 | 128) sure=attend ;; 256) sure="attend_[fc]" ;; *) continue ;; esac
    awk -v arch="$arch" -v sure="$sure" '
        /Compiling entry function/ { split($0, part, "'\''"); name = part[2] }
        /bytes spill stores/ && name ~ /attend/ {
            n++
            if (name ~ sure && $0 !~ / 0 bytes spill stores, 0 bytes spill loads/) { print arch, name, $0; bad = 1 }
        }
        END { if (n < 3) { print arch ": " n + 0 " attention kernels in the log"; bad = 1 } exit bad }' "$out/log"
done
