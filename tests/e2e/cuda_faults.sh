#!/bin/sh
# cuda_faults.sh make LIST NAME FROM TO: a source file with the fault of that name of LIST.
# cuda_faults.sh small FROM TO: a source file with so few slots, and so short a reach of a recorded
# token, that all are used again soon.
# cuda_faults.sh same|catch PROGRAM WEIGHTS REFERENCE PINNED RUNS..: the program's chat is the
# reference's in every run; in some run it is not, or the program is refused, or does not end.
#
# A run is a mode of the emulated streams, with a seed behind ':'; before it p where nothing of the
# store can be pinned, h where some of it can. PINNED: bytes that the program pins beside the store.
set -eu
what=$1
shift

# The text of LIST's fault: lines after its header, '-' or '+' (old, new).
lines() {
    awk -v name="$2" -v sign="$3" '
        /^[a-z]/ { mine = $1 == name }
        mine && substr($0, 1, 1) == sign { print substr($0, 3) }' "$1"
}

make_fault() {
    old=$(lines "$1" "$2" -) new=$(lines "$1" "$2" +) from=$3 to=$4
    [ -n "$old" ] || { echo "cuda_faults.sh: $2: no such fault" >&2; exit 1; }
    OLD=$old NEW=$new awk '
        { text = text $0 "\n" }
        END {
            old = ENVIRON["OLD"]
            at = index(text, old)
            if (at == 0 || index(substr(text, at + 1), old) > 0)
                exit 1
            printf "%s%s%s", substr(text, 1, at - 1), ENVIRON["NEW"], substr(text, at + length(old))
        }' "$from" >"$to" || {
        echo "cuda_faults.sh: $2: not once in $from" >&2
        rm -f "$to"
        exit 1
    }
}

run() {
    mode=${1#[ph]} seed=1
    case $mode in
    *:*) seed=${mode#*:} mode=${mode%:*} ;;
    esac
    case $1 in
    p*) export CUDA_EMU_PINNED=$pinned ;;
    h*) export CUDA_EMU_PINNED=$((pinned + 200000)) ;;
    *) unset CUDA_EMU_PINNED ;;
    esac
    CUDA_EMU_PAGEABLE=0 CUDA_EMU_MODE=$mode CUDA_EMU_SEED=$seed timeout 60 \
        "$program" chat "$weights" "$out" "$reference" 2>"$out.err"
}

case $what in
make)
    make_fault "$@"
    ;;
small)
    sed 's/^    EVENTS = 1024,/    EVENTS = 2,/
        s/BOUNCE_BYTES = 8 << 20,/BOUNCE_BYTES = 4 << 10,/
        s/PIECES = 64,/PIECES = 4,/
        s/^enum { REACH = 2048 };/enum { REACH = 64 };/' "$1" >"$2"
    case $1 in
    *inside.h) changed=3 ;;
    *graph.c) changed=1 ;;
    *) changed=0 ;;
    esac
    [ "$(diff "$1" "$2" | grep -c '^>')" -eq $changed ]
    ;;
same | catch)
    program=$1 weights=$2 reference=$3 pinned=$4
    shift 4
    out=$(mktemp)
    trap 'rm -f "$out" "$out.err"' EXIT
    for r; do
        if run "$r"; then
            [ $what = same ] || continue
        else
            [ $what = catch ] || { echo "$r: $(cat "$out.err")"; exit 1; }
            echo "$r: $(head -n 1 "$out.err")"
            exit 0
        fi
    done
    [ $what = same ]
    ;;
*)
    exit 1
    ;;
esac
