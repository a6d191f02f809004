#!/bin/sh
# decode.sh BUILD: decode of the Llama-3.2-1B shape, random weights, against the read bandwidth
# measured between its runs. The bound is bytes of weights over bandwidth.
set -eu
build=$1
work=$build/bench
mkdir -p "$work"
program=$("$build/gen/hi-gen" specs/llama3_2_1b.lua --vram 4G --ctx 2048 --out "$work/1b" --build)
weights=$("$program" info --plan | awk '$1 == "weights" { print $2 }')
seq 1 512 >"$work/ids.txt"
echo "Llama-3.2-1B shape, bf16, $(nproc) threads; weights $weights bytes"
for run in 1 2 3; do
    bandwidth=$("$build/tests/bench/bench_read")
    "$program" generate -w random:1 --ids "$work/ids.txt" -n 65 >/dev/null 2>"$work/log"
    awk -v run=$run -v gbs="$bandwidth" -v w="$weights" '
        $1 == "prompt" { prefill = $(NF - 1) }
        $1 == "generation" { sub(/.*\(/, ""); ms = $1 }
        END { printf "run %d: prefill of 512 %.0f tokens/s; decode %.1f ms per token = %.1f GB/s of weights; reads %.1f GB/s; %.0f %% of the bound\n",
              run, prefill, ms, w / ms / 1e6, gbs, 100 * w / ms / 1e6 / gbs }' "$work/log"
done
