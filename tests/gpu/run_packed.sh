#!/bin/sh
# run_packed.sh [SECONDS [LABEL..]]: runs the tests of this folder, made by pack.sh, for at most so
# many seconds (540), first those of the first label (gpu gpu-sanitize gpu-long). Needs sh, a driver
# and libcublasLt.so.13. A table comes last; logs are in $OUT, or else in scratch.
#
# Status 1 if a test failed. JOBS: tests at a time (4). ONLY: a pattern for names, as grep has them.
set -u
cd "$(dirname "$0")" || exit 1

# One line of tests.txt: its result to $HI_LOGS/results as 'status|seconds|name'.
one() {
    IFS='|' read -r name label stage limit command <<LINE
$1
LINE
    log=$HI_LOGS/$name.log
    from=$(date +%s)
    left=$((HI_DEADLINE - from))
    status=late
    if [ "$left" -gt 0 ]; then
        [ "$limit" -gt "$left" ] && limit=$left
        timeout -k 5 "$limit" sh -c "$command" >"$log" 2>&1
        case $? in
        0) status=passed ;;
        77) status=skipped ;;
        124 | 137) status=late && echo "ended after $limit s" >>"$log" ;;
        *) status=failed ;;
        esac
    else
        echo "no time left" >"$log"
    fi
    echo "$status|$(($(date +%s) - from))|$name" >>"$HI_LOGS/results"
}
[ "${1-}" = --one ] && { one "$2"; exit 0; }

seconds=${1:-540}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- gpu gpu-sanitize gpu-long
HI_DEADLINE=$(($(date +%s) + seconds))
HI_LOGS=${OUT:-scratch}/gpu-tests
rm -rf "$HI_LOGS"
mkdir -p "$HI_LOGS" scratch
: >"$HI_LOGS/results"
HI_LOGS=$(cd "$HI_LOGS" && pwd)
LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

products=$(./find_products.sh)
[ -n "$products" ] && LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$products
export HI_DEADLINE HI_LOGS LD_LIBRARY_PATH

if bin/gpu_present >"$HI_LOGS/device" 2>&1; then
    export HI_GPU_PRESENT=yes
else
    HI_GPU_PRESENT=no
fi
device=$(tail -n 1 "$HI_LOGS/device")

# select_lines LABEL STAGE: lines of tests.txt.
select_lines() {
    awk -F'|' -v l="$1" -v s="$2" -v o="${ONLY:-.}" '$2 == l && $3 == s && $1 ~ o' tests.txt
}

for label; do
    for stage in first any alone; do
        at_once=${JOBS:-4}
        [ $stage = alone ] && at_once=1
        if [ $HI_GPU_PRESENT = no ]; then
            select_lines "$label" $stage | while IFS='|' read -r name rest; do
                echo "$device" >"$HI_LOGS/$name.log"
                echo "skipped|0|$name" >>"$HI_LOGS/results"
            done
        else
            select_lines "$label" $stage | tr '\n' '\0' |
                xargs -0 -r -n 1 -P "$at_once" sh ./run_packed.sh --one
        fi
    done
done

# ---- what came of it ----

names() { awk -F'|' -v s="$1" '$1 == s { print $3 }' "$HI_LOGS/results" | sort; }

printf '\ndevice: %s\n' "$device"
for name in $(names passed | grep -e near_cpu -e vram -e products -e find_); do
    printf '%s: %s\n' "$name" "$(tail -n 1 "$HI_LOGS/$name.log")"
done
for name in $(names failed | head -n 12); do
    printf '\nFAILED %s\n' "$name"
    tail -n 6 "$HI_LOGS/$name.log" | cut -c 1-300
done
for status in skipped late; do
    for name in $(names $status); do
        why=$(grep -h -e skipped -e 'time left' -e 'ended after' "$HI_LOGS/$name.log" | tail -n 1)
        printf '%s|%s\n' "${why:-$status}" "$name"
    done | sort | awk -F'|' '
        $1 != why { if (NR > 1) print ""; why = $1; printf "\n%s:", why }
        { sub(/^gpu\./, "", $2); printf " %s", $2 }
        END { if (NR > 0) print "" }'
done
printf '\n| %-14s | passed | failed | skipped | no time | seconds |\n' tests
echo '|---|---|---|---|---|---|'
awk -F'|' '
    function add(group) { n[group, $1]++; took[group] += $2; seen[group] = 1 }
    { split($3, part, "."); add(part[2]); add("~ all") }
    END {
        for (g in seen)
            printf "| %-14s | %6d | %6d | %7d | %7d | %7d |\n", g, n[g, "passed"], n[g, "failed"],
                n[g, "skipped"], n[g, "late"], took[g]
    }' "$HI_LOGS/results" | LC_ALL=C sort
! grep -q '^failed|' "$HI_LOGS/results"
