#!/bin/sh
# aarch64.sh - what runs on a cpu compiles for aarch64 without a warning. 77: no cross compiler.
#
#   aarch64.sh CC HOME kernels FOLDER [INCLUDE..]   the kernels and their tests; FOLDER holds shape.h
#   aarch64.sh CC HOME runtime HI_GEN [INCLUDE..]   the runtime and an emitted program
#
# INCLUDE: folders of the libraries' headers, searched after the cross compiler's own.
set -eu
cc=$1 home=$2 what=$3 of=$4
shift 4
command -v "$cc" >/dev/null || { echo "no cross compiler: gcc-aarch64-linux-gnu"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
libraries=$(printf -- '-idirafter %s ' "$@")
r="$home/runtime"

compile() {
    # shellcheck disable=SC2086
    "$cc" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -ffp-contract=off -I"$r" -I"$r/cpu" "$@" \
        $libraries -c
}

kernels() {
    echo kern_portable >"$out/isas"
    sed -n 's/.*set(HI_FLAGS_\(kern_neon[a-z0-9]*\) \([^)]*\)).*/\1 \2/p' "$r/runtime.cmake" >>"$out/isas"
    [ "$(wc -l <"$out/isas")" -gt 2 ] || { echo "runtime.cmake names no instruction sets"; exit 1; }
    while read -r kernel flags; do
        # shellcheck disable=SC2086
        compile -O3 $flags -I"$of" "$r/cpu/$kernel.c" -o "$out/$kernel.o"
    done <"$out/isas"
    for file in "$r"/cpu/kern.c "$r"/cpu/kern_pack.c "$r"/cpu/device.c "$home"/tests/kernels/*.c; do
        compile -O2 -I"$of" "$file" -o "$out/$(basename "$file" .c).o"
    done
}

# Every file but those of the kernels, which are a shape's; those too, of the program's.
runtime() {
    "$of" "$home/specs/llama3_2_1b.lua" --ctx 1024 --out "$out/model" >/dev/null
    for file in "$r"/*.c "$r/cpu/pool.c" "$r/cpu/stream.c" "$out"/model/*.c; do
        compile -O1 -I"$out/model" "$file" -o "$out/file.o"
    done
    of=$out/model
    kernels
}

case $what in
kernels | runtime) $what ;;
*) echo "aarch64.sh: $what?" && exit 2 ;;
esac
