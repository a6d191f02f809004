#!/bin/sh
# plan_vs_real.sh BUILD [ROUNDS] [CASES]: predicted against measured prefill and decode time of plans
# for throttled links and several budgets, and the plan that hi-gen chose against forced ones.
#
# Links are throttled in the run (--link-gbps) and in the machine file that hi-gen plans with. Every
# round measures the machine anew and then runs every case once: a prediction for the rates of the
# round stands beside the time of the same round, as shared machines change theirs from minute to
# minute. The plan is that of the first round: later ones only predict it. Medians of the rounds.
set -eu
build=$1
rounds=${2-3}
only=${3-.}
spec=tests/specs/bench_plan.lua
ctx=8192
new=10
answer=200 # decoded tokens that weigh as one prompt, as in the planner
case $build in /*) ;; *) build=$PWD/$build ;; esac
work=$build/bench/plan_vs_real
mkdir -p "$work"
rm -rf "${work:?}"/*

# Name, link in GB/s (0: no limit), budget (-: everything resident), what is forced. Cases of the same
# link and budget are rivals; the one named 'auto' forces nothing.
cases="
resident      0   -
chunk-1024    0   -     --chunk 1024
auto          1   420M
layers-apart  1   420M  --panel 1
weights-4     1   420M  --weights 4
embed-host    1   420M  --embed host
tile-1024     1   420M  --panel 6 --group 4 --tile 1024
auto          4   240M
no-panels     4   240M  --panel 6
head-groups   4   240M  --group 1 --tile 4096
auto          16  300M
no-panels     16  300M  --panel 6
chunk-512     16  300M  --chunk 512
one-band      16  300M  --bands 1 --group 1
auto          1   180M
auto          4   500M
auto          16  180M
"

hi_gen=$build/gen/hi-gen
fail() { echo "plan_vs_real: $*" >&2; exit 1; }

# The plan alone: what must not change between rounds.
plan_part() { sed -n '/^  "plan": {/,/^  "device": {/p' "$1"; }

# predicted FILE: seconds of the longest prompt and of a token behind it.
predicted() { awk '$1 == "\"seconds\":" { sub(",", "", $2); a = b; b = $2 } END { print a, b }' "$1"; }

# machine LINK CALIBRATED: its machine file with the link. Below its own speed each direction leaves
# the other alone that much longer.
machine() {
    awk -v link="$1" '
        link > 0 && $1 ~ /^(h2d|d2h)$/ { v = $3 + 0; slow = v < link * 1e9 ? 1 : link * 1e9 / v
                                         if (slow < least || !least) least = slow
                                         printf "    %s = %.4g,\n", $1, v * slow; next }
        link > 0 && $1 == "both" { v = ($3 + 0) / least; printf "    both = %.4g,\n", v < 1 ? v : 1; next }
        { print }' "$2"
}

# pinned FILE: the decisions of a plan as options, all but the residency of keys and values.
pinned() {
    awk '
        { key = $1; value = $2; gsub(/[":]/, "", key); gsub(/[",]/, "", value) }
        key == "plan" { inside = 1 }
        key == "device" && value == "{" { exit }
        inside && !(key in v) { v[key] = value }
        key == "group" { group = value }
        key == "tile" { tile = value }
        END {
            printf "--chunk %s --mlp-rows %s --panel %s --embed %s --weights %s", v["chunk"], v["mlp_rows"], v["panel"],
                v["embed"], v["resident_layers"]
            if (v["weight_slots"] > 0) printf " --weight-slots %s", v["weight_slots"]
            if (v["hidden"] != "none") printf " --hidden %s", v["hidden"]
            if (v["offload"] == "true") {
                for (bands = 1; v["group"] > group; group *= 2) bands++
                printf " --slots %s --bands %s --group %s --tile %s", v["slots"], bands, v["group"] / 2 ^ (bands - 1), tile
            }
        }' "$1"
}

calibrate() { "$hi_gen" calibrate --seconds 5 >"$1" 2>"$work/calibrate.log" || fail "$(cat "$work/calibrate.log")"; }

# plan LINK CALIBRATED BUDGET OPTION..: plan.json
plan() {
    machine "$1" "$2" >"$work/machine.lua"
    budget=$3
    shift 3
    [ "$budget" = - ] || set -- --vram "$budget" "$@"
    "$hi_gen" $spec --ctx $ctx --machine "$work/machine.lua" "$@"
}

# ---- programs: one build with what they share ----

calibrate "$work/rates.lua"
printf 'cmake_minimum_required(VERSION 3.25)\nproject(plan_vs_real LANGUAGES C)\nset(HI_HOME "%s")\n' "$PWD" >"$work/CMakeLists.txt"
echo 'include("${HI_HOME}/runtime/runtime.cmake")
hi_runtime_library(runtime)' >>"$work/CMakeLists.txt"
n=0
echo "$cases" | grep -e . | grep -e "$only" >"$work/cases"
while read -r name link budget forced; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    plan "$link" "$work/rates.lua" "$budget" $forced --json >"$work/$n.json" 2>"$work/log" || fail "$name: $(cat "$work/log")"
    # shellcheck disable=SC2086
    plan "$link" "$work/rates.lua" "$budget" $forced --out "$work/$n" >/dev/null 2>"$work/log" || fail "$name: $(cat "$work/log")"
    folder=$work/$n
    [ $n -gt 1 ] || printf 'hi_kernel_library(kernels "%s")\nhi_device_library(device "%s" kernels)\n' "$folder" "$folder" >>"$work/CMakeLists.txt"
    echo "hi_model_executable(case_$n \"$folder\" runtime device)" >>"$work/CMakeLists.txt"
done <"$work/cases"
{ cmake -S "$work" -B "$work/build" -DCMAKE_BUILD_TYPE=Release && cmake --build "$work/build"; } >"$work/log" 2>&1 ||
    fail "$(tail -n 20 "$work/log")"
seq 1 $((ctx - new)) >"$work/ids"

# ---- rounds ----

: >"$work/times"
for round in $(seq "$rounds"); do
    n=0
    rivals=
    echo "round $round, load $(cut -d ' ' -f 1 /proc/loadavg)" >&2
    while read -r name link budget forced; do
        n=$((n + 1))
        [ "$link $budget" = "$rivals" ] || calibrate "$work/rates.lua"
        rivals="$link $budget"
        # shellcheck disable=SC2046
        plan "$link" "$work/rates.lua" "$budget" $(pinned "$work/$n.json") --json >"$work/now.json" 2>"$work/log" ||
            fail "$name, round $round: $(cat "$work/log")"
        plan_part "$work/$n.json" >"$work/then"
        plan_part "$work/now.json" | cmp -s - "$work/then" || echo "$name, $link GB/s, $budget: not the same plan in round $round" >&2
        [ "$link" = 0 ] && limit= || limit="--link-gbps $link"
        # shellcheck disable=SC2086
        ms=$("$work/build/case_$n" generate -w random:1 --ids "$work/ids" -n $new --ignore-eos $limit 2>"$work/log" |
            "$build/tests/bench/bench_tokens") || fail "$name: $(cat "$work/log")"
        prompt=$(awk '$1 == "prompt" { print $4 }' "$work/log")
        echo "$n $(predicted "$work/now.json") $prompt $ms" | tee -a "$work/times" >"$work/log"
        awk -v name="$name" -v link="$link" -v budget="$budget" -v r="$round" '
            { printf "round %d  %-12s %2s GB/s %5s  prefill %6.2f s, predicted %6.2f; token %6.1f ms, predicted %6.1f\n",
              r, name, link, budget, $4, $2, $5, 1e3 * $3 }' "$work/log" >&2
    done <"$work/cases"
done

# ---- report: of each case and figure the round with the median error ----

awk -v answer=$answer -v cases="$work/cases" '
    function sort(list, n,    i, j, t) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    }
    function median(list, n) { sort(list, n); return (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2 }
    function size(x) { return x < 0 ? -x : x }
    # The round of case i in which predicted / measured is the lower median; sets "error".
    function middle(i, field,    r, list, all) {
        for (r = 1; r <= rounds[i]; r++) list[r] = all[r] = value[i, r, field] / value[i, r, field + 2]
        sort(list, rounds[i])
        error = list[int((rounds[i] + 1) / 2)] - 1
        for (r = 1; all[r] != error + 1 && r < rounds[i]; r++) if (size(all[r] - error - 1) < 1e-9) break
        return r
    }
    function times_of(i, r) { return value[i, r, 4] + answer * value[i, r, 5] }
    { r = ++rounds[$1]; for (f = 2; f <= 5; f++) value[$1, r, f] = f == 5 ? $f / 1000 : $f }
    END {
        printf "%-13s %5s %6s  %9s %9s %6s  %10s %10s %6s\n", "case", "GB/s", "budget", "prefill", "measured", "error",
            "token", "measured", "error"
        while ((getline line < cases) > 0) {
            n++
            split(line, c, " ")
            p = middle(n, 2); pre[n] = all_errors[2 * n - 1] = size(error)
            printf "%-13s %5s %6s  %7.2f s %7.2f s %+5.0f%%", c[1], c[2] ? c[2] : "-", c[3], value[n, p, 2], value[n, p, 4], 100 * error
            d = middle(n, 3); dec[n] = all_errors[2 * n] = size(error)
            printf "  %7.1f ms %7.1f ms %+5.0f%%\n", 1e3 * value[n, d, 3], 1e3 * value[n, d, 5], 100 * error
            key = c[2] ? c[2] " GB/s, " c[3] : "no link"
            if (c[1] == "auto") { auto[key] = n; order[++keys] = key; best[key] = 1; who[key] = "auto" }
            else if (key in auto) {
                for (r = 1; r <= rounds[n]; r++) ratio[r] = times_of(auto[key], r) / times_of(n, r)
                ratio_here = median(ratio, rounds[n])
                if (ratio_here > best[key]) { best[key] = ratio_here; who[key] = c[1] }
                rivals[key]++
            }
        }
        median_p = median(pre, n); median_d = median(dec, n); median_all = median(all_errors, 2 * n)
        printf "\nerror of prefill: median %.0f%%, largest %.0f%%; of a token: median %.0f%%, largest %.0f%%; of all: median %.0f%%\n",
            100 * median_p, 100 * pre[n], 100 * median_d, 100 * dec[n], 100 * median_all
        print "the prompt and " answer " tokens, auto over the best of its forced rivals in the same round:"
        for (k = 1; k <= keys; k++) if (rivals[order[k]])
            printf "  %s: %.2f (%s)\n", order[k], best[order[k]], who[order[k]]
    }' "$work/times"
