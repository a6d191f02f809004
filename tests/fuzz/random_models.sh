#!/bin/sh
# random_models.sh BUILD CASES SEED [FIRST]: random models under random plans against the plan
# that keeps everything on the device, bit for bit.
#
# Cases FIRST, FIRST + 1, .. (from 0); PLANS cases share a model. Every second case runs harsh
# (scrambled store, poisoned slots, random delays, guarded heap). Sanitizers are the build's.
# A failure prints spec, plan and run, and how to repeat the case alone.
set -u
PLANS=3
build=$(cd "$1" && pwd) cases=$2 seed=$3 first=${4:-0}
here=$(cd "$(dirname "$0")" && pwd)
home=$(cd "$here/../.." && pwd)
r=$home/runtime
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
sanitize=$(cached HI_SANITIZE)
cc="$(cached CMAKE_C_COMPILER) -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -pthread -I$r"
[ -z "$sanitize" ] ||
    cc="$cc -fsanitize=$sanitize -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
harsh="-DHI_HARSH -DHI_GUARD"
wrap="-Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=free"
libs="$(pkg-config --libs jansson) -lm"

# Said where a log takes the place of stderr, too.
exec 3>&2
stop() { echo "random_models: $*" >&3; exit 1; }

compile() { $cc -c "$@" || stop "does not compile: $*"; }

# The runtime's objects, plain and harsh.
build_runtime()
{
    for kind in plain harsh; do
        mkdir "$work/$kind"
        checks=$harsh
        [ $kind = harsh ] || checks=
        for c in run pass ring weight_ring hidden kv attend steps memory guard weights safetensors infile convert random_weights \
            cpu/pool cpu/stream; do
            compile $checks -o "$work/$kind/$(basename $c).o" "$r/$c.c"
        done
    done
    compile -o "$work/dump.o" "$home/tests/e2e/dump.c"
    echo kern_portable >"$work/isas"
    case $(uname -m) in
    x86_64) own=kern_a ;;
    aarch64) own=kern_neon ;;
    *) return ;;
    esac
    sed -n "s/.*set(HI_FLAGS_\\($own[a-z0-9]*\\) \\([^)]*\\)).*/\\1 \\2/p" "$r/runtime.cmake" \
        >>"$work/isas"
}

# Kernels and device of the model in $work/spec.lua.
build_shape()
{
    rm -rf "$work/shape"
    "$build/gen/hi-gen" "$work/spec.lua" --out "$work/shape" --numerics "$numerics" --ctx 64 \
        >"$work/log" 2>&1 || { cat "$work/log" "$work/spec.lua"; stop "hi-gen refuses a model"; }
    for c in kern kern_pack kern_quant; do
        compile -ffp-contract=off -I"$work/shape" -o "$work/shape/$c.o" "$r/cpu/$c.c"
    done
    while read -r kernel flags; do
        compile -O3 -ffp-contract=off $flags -I"$work/shape" -o "$work/shape/$kernel.o" \
            "$r/cpu/$kernel.c"
    done <"$work/isas"
    compile -I"$work/shape" -o "$work/shape/device_plain.o" "$r/cpu/device.c"
    compile $harsh -I"$work/shape" -o "$work/shape/device_harsh.o" "$r/cpu/device.c"
}

# A program: its folder of emitted code, kind.
build_program()
{
    for c in model prefill decode; do
        compile -I"$1" -o "$1/$c.o" "$1/$c.c"
    done
    extra=
    [ "$2" = plain ] || extra=$wrap
    $cc $extra -o "$1/dump" "$work/dump.o" "$1"/*.o "$work/$2"/*.o "$work/shape/device_$2.o" \
        "$work"/shape/kern*.o $libs || stop "does not link"
}

# Compares the scores that both programs give: with --logits last, those from the prompt's end on.
same_scores()
{
    if [ "$logits" = all ]; then
        cmp "$work/reference.bits" "$work/case.bits"
        return
    fi
    tail -c $(((decode + 1) * vocab * 4)) "$work/reference.bits" >"$work/a"
    tail -c $(((decode + 1) * vocab * 4)) "$work/case.bits" >"$work/b"
    cmp "$work/a" "$work/b"
}

# Emits to $work/NAME within BUDGET: place NAME BUDGET [hi-gen options].
place()
{
    to=$work/$1 within=$2
    shift 2
    sh "$home/tests/e2e/place.sh" "$build/gen/hi-gen" "$work/spec.lua" "$to" "$within" \
        --numerics "$numerics" --weights-type "$weights" --ctx "$ctx" "$@"
}

run_case()
{
    rm -rf "$work/reference" "$work/case"
    place reference none --logits all || return 1
    place case "$budget" --logits "$logits" $options || return 1
    build_program "$work/reference" plain
    build_program "$work/case" $kind
    awk -v n="$used" -v vocab="$vocab" -v s="$((n + 1))" 'BEGIN {
        for (i = 0; i < n; i++) { s = s * 16807 % 2147483647; print s % vocab } }' >"$work/ids"
    [ "$isa" != best ] && "$work/reference/dump" random:$n "$work/ids" "$work/reference.bits" \
        decode="$decode" threads=1 isa="$isa" 2>/dev/null && run="$run isa=$isa" || isa=best
    [ $isa != best ] || "$work/reference/dump" random:$n "$work/ids" "$work/reference.bits" \
        decode="$decode" threads=1 || return 1
    "$work/case/dump" random:$n "$work/ids" "$work/case.bits" decode="$decode" $run || return 1
    [ -s "$work/case.bits" ] && same_scores
}

cd "$work" || exit 1
cp -r "$home/specs/family" family
build_runtime
failures=0 streamed=0 built=-1
for n in $(awk "BEGIN { for (i = 0; i < $cases; i++) print $first + i }"); do
    model=$((n / PLANS))
    if [ $model != $built ]; then
        eval "$(awk -v seed="$seed" -v what=model -v n=$model -v spec="$work/spec.lua" \
            -v family="$work/family/random.lua" \
            -f "$here/random_models.awk")"
        build_shape
        built=$model
    fi
    eval "$(awk -v seed="$seed" -v what=plan -v n="$n" -v most="$most" -v kv_heads="$kv_heads" -v layers="$layers" -v tied="$tied" -v win="$win" -v all_roll="$all_roll" \
        -f "$here/random_models.awk")"
    case $((n % 5)) in 1) weights=q8 ;; 3) weights=q4 ;; *) weights=stored ;; esac
    [ $((n % 2)) = 0 ] && kind=plain || kind=harsh
    if ! run_case >"$work/log" 2>&1; then
        failures=$((failures + 1))
        printf '%s\n' "---- case $n of seed $seed FAILED; to repeat: $0 $1 1 $seed $n"
        tail -n 20 "$work/log"
        cat "$work/spec.lua" "$work/family/random.lua"
        echo "budget $budget; hi-gen --numerics $numerics --weights-type $weights --ctx $ctx --logits $logits$options"
        echo "$kind; $used tokens; dump random:$n decode=$decode $run"
    fi
    grep -q 'offload = true' "$work/case/model.c" && [ "$used" -gt 256 ] &&
        streamed=$((streamed + 1))
done
echo "random_models: $cases cases of seed $seed, $streamed with a ring and over a split;" \
    "$failures failed"
[ $failures = 0 ]
