#!/bin/sh
# run.sh [SECONDS [PART..]]: the measurements of this folder, made by tests/gpu/pack.sh, for at most
# so many seconds (1800). Tables come last; every line measured is in $OUT/bench/lines.json
# (scratch/bench without OUT), with the logs. Parts, in this order if none is named:
#
#   kernels  limits of the device; attention of prompts and of tokens; products of a token; the rest
#   link     copies between host and device
#   models   Llama-3-8B's shape to 100K tokens: all on the device, and within 24G
#   sdpa     prefill attention by PyTorch, where it is
#   peers    schedules of an offloaded cache by PyTorch, where it is
#   long     400K tokens: all on the device, and within 24G
#   library  the offloaded cache of transformers, where it is (only if named)
#
# Status 77 where there is no GPU.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-1800}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- kernels link models sdpa peers long
end=$(($(date +%s) + seconds))
out=${OUT:-scratch}/bench
rm -rf "$out"
mkdir -p "$out"
lines=$out/lines.json
: >"$lines"
LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
products=$(./find_products.sh)
[ -n "$products" ] && LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$products
export LD_LIBRARY_PATH
bin/gpu_present >"$out/device" 2>&1 || { cat "$out/device"; exit 77; }

left() { echo $((end - $(date +%s))); }

# run NAME MOST COMMAND..: for MOST seconds or what is left. Its lines are kept; NAME.log has the
# rest.
run() {
    name=$1 most=$2
    shift 2
    time=$(left)
    [ "$time" -gt "$most" ] && time=$most
    [ "$time" -gt 3 ] || { echo "$name: no time left"; return; }
    from=$(date +%s)
    BENCH_SECONDS=$time timeout -k 5 "$time" "$@" >"$out/$name.json" 2>"$out/$name.log"
    status=$?
    cat "$out/$name.json" >>"$lines"
    why=
    [ $status -eq 0 ] || why=", status $status: $(tail -n 1 "$out/$name.log" | cut -c 1-200)"
    printf '%s: %d s%s\n' "$name" $(($(date +%s) - from)) "$why"
}

# What bounds are made of, where no part before has measured it.
limits() {
    grep -q '"limits"' "$lines" || run limits 60 bin/bench_kernels_d128 limits
    grep -q '"link"' "$lines" || run link_in 60 bin/bench_link in
}

for part; do
    case $part in
    kernels)
        run kernels_d128 90 bin/bench_kernels_d128
        run kernels_d64 60 bin/bench_kernels_d64 attend decode
        ;;
    link) run link 90 bin/bench_link ;;
    models)
        limits
        run resident 150 bin/bench_model_resident resident 16 1024 4096 16384 65536 102400
        run 24g 180 bin/bench_model_24g 24G 8 1024 4096 16384 65536 102400
        ;;
    long)
        limits
        run resident_long 330 bin/bench_model_resident resident 8 409600
        run 24g_long 330 bin/bench_model_24g_long 24G 4 409600
        ;;
    sdpa) run sdpa 60 python3 bench/peers.py sdpa 50 ;;
    peers) run peers 200 python3 bench/peers.py schedules 170 ;;
    library) run library 200 python3 bench/peers.py library 170 ;;
    *) echo "$part: no such part" && exit 2 ;;
    esac
done
printf '\n%s\n' "$(cat "$out/device")"
awk -f bench/table.awk "$lines"
