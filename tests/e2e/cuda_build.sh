#!/bin/sh
# cuda_build.sh HI_GEN HOME SPEC NVCC: a program for the cuda target is compiled, needs no library but
# those that the README names, and starts without a GPU. 77: no nvcc.
set -eu
gen=$1 home=$2 spec=$3 nvcc=$4
[ -x "$nvcc" ] || { echo "no nvcc: ./hi toolkit installs it"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$gen" "$spec" --target cuda --machine cpu --vram 64M --ctx 65536 --out "$out/model" >/dev/null
cmake -S "$out/model" -B "$out/build" -DHI_HOME="$home" -DHI_CUDA_ARCHS=90a -DCMAKE_BUILD_TYPE=Release \
    >"$out/log" 2>&1 && cmake --build "$out/build" >>"$out/log" 2>&1 || { tail -n 40 "$out/log"; exit 1; }
program=$(find "$out/build" -maxdepth 1 -name 'needle-64M*' -type f -perm -u+x)
more=$(ldd "$program" | awk '{ print $1 }' |
    grep -v -e '^linux-vdso' -e '^libm\.' -e '^libc\.' -e '^libdl\.' -e '^librt\.' \
        -e '^libpthread\.' -e 'ld-linux') && { echo "needs more libraries: $more"; exit 1; }
"$program" info | grep -q 'needle-64M' || { echo "info fails"; exit 1; }
"$program" --help | grep -q 'selftest' || { echo "--help fails"; exit 1; }
"$program" --help | grep -q 'link-gbps' && { echo "--help has the other target's options"; exit 1; }
code=0
"$program" selftest >"$out/said" 2>&1 || code=$?
grep -q -e passed -e 'no NVIDIA' "$out/said" && [ $code -le 1 ] || { cat "$out/said"; exit 1; }
