#!/bin/sh
# pack.sh FOLDER [ARCHS]: builds the tests and measurements that need a GPU, on a machine without
# one, and puts all they need into FOLDER, to be carried to a machine that has one. ARCHS: as
# HI_CUDA_ARCHS (90a). There:
#
#   FOLDER/run_packed.sh SECONDS     the tests
#   FOLDER/bench/run.sh SECONDS      the measurements
#
# BUILD: the build folder (build/pack). JOBS: of the build (all cores).
set -eu
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
archs=${2:-90a}
cd "$(dirname "$0")/../.."
build=${BUILD:-build/pack}
LARGEST=60                           # MB that may be carried

mkdir -p "$build"
echo "building for sm_$archs in $build ..." >&2
{
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHI_TESTS=ON -DHI_GPU_TESTS=ON \
        -DHI_CUDA_ARCHS="$archs" &&
        cmake --build "$build" -j "${JOBS:-$(nproc)}" -t gpu_tests gpu_bench
} >"$build/pack.log" 2>&1 || { tail -n 30 "$build/pack.log" >&2; exit 1; }
[ -d "$build/gpu/bin" ] || { echo "no nvcc: ./hi toolkit installs it" >&2; exit 1; }

rm -rf "$folder/bin" "$folder/lib" "$folder/scratch"
cp -R "$build/gpu/." "$folder/"
rm -rf "$folder/scratch"
strip "$folder"/bin/* "$folder"/lib/*.so

# Libraries that another machine may not have; and nothing else but the C library.
needed() {
    for program in "$folder"/bin/* "$folder"/lib/libgpu*; do
        LD_LIBRARY_PATH=$folder/lib ldd "$program"
    done | awk '{ print $1, $3 }' | sort -u
}
needed | awk '$1 ~ /^lib(jansson|cmocka|pcre2-8|utf8proc)/ { print $2 }' | while read -r library; do
    [ "$(dirname "$library")" = "$folder/lib" ] || cp -L "$library" "$folder/lib/"
done
others=$(needed | awk -v own="$folder/" 'index($0, own) == 0 { print $1 }' |
    grep -v -E -e '^(linux-vdso|.*ld-linux|lib(c|m|dl|rt|pthread)\.so)' || true)
[ -z "$others" ] || { echo "needs more than the C library: $others" >&2; exit 1; }

mega=$(du -sm "$folder" | cut -f 1)
printf '%s: %d MB, %d programs, %d tests\n' "$folder" "$mega" \
    "$(find "$folder/bin" -type f | wc -l)" "$(wc -l <"$folder/tests.txt")"
[ "$mega" -le $LARGEST ] || { echo "more than $LARGEST MB" >&2; exit 1; }
