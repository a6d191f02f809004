#!/bin/sh
# plan.sh BUILD: what planning costs: milliseconds of the whole hi-gen process (spec's sandbox, search,
# replay, reasons, predictions), and seconds to compile what it emits with cc -O2.
set -eu
build=$1
gen=$build/gen/hi-gen
work=$build/bench/plan
mkdir -p "$work"

# cost NAME RUNS hi-gen-arguments..
cost() {
    name=$1 runs=$2
    shift 2
    for run in $(seq "$runs"); do
        from=$(date +%s%N)
        "$gen" "$@" --explain >/dev/null 2>&1
        echo $((($(date +%s%N) - from) / 1000))
    done | sort -n | awk -v name="$name" '{ t[NR] = $1 }
        END { printf "%-44s %6.1f ms (%.1f to %.1f)\n", name, t[int((NR + 1) / 2)] / 1e3, t[1] / 1e3, t[NR] / 1e3 }'
    "$gen" "$@" --out "$work/sources" >/dev/null 2>&1
    from=$(date +%s%N)
    for file in model prefill decode; do
        cc -O2 -Iruntime -I"$work/sources" -c "$work/sources/$file.c" -o "$work/$file.o"
    done
    awk -v us=$((($(date +%s%N) - from) / 1000)) -v lines="$(cat "$work"/sources/*.c | wc -l)" \
        'BEGIN { printf "%-44s %6.2f s for %d lines\n", "  compiled", us / 1e6, lines }'
}

cost "Llama-3-8B, 1M tokens in 24 GB" 9 specs/llama3_8b.lua --vram 24G --ctx 1048576
cost "Llama-3-70B, 1M tokens in 24 GB" 9 specs/llama3_70b.lua --vram 24G --ctx 1048576
cost "Llama-3-70B, 4M, groups of 1, 4 bands" 9 specs/llama3_70b.lua --vram 24G --ctx 4194304 \
    --group 1 --tile 16384 --bands 4 --panel 1
cost "Llama-3-70B, longest context" 9 specs/llama3_70b.lua --vram 24G --ctx max
