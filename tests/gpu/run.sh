#!/bin/sh
# run.sh [ctest options]: builds the tests that need a GPU, in build/gpu, and runs those of the
# labels gpu and gpu-sanitize. Counts and names what was skipped: without a GPU, or without nvcc,
# everything.
#
# BUILD: the build folder. JOBS: of the build (all cores). AT_ONCE: tests at a time (4).
# HI_CUDA_ARCHS: as in cuda.cmake (what the GPU is, where nvidia-smi says so).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build/gpu}
mkdir -p "$build"

native() {
    cap=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
    case $(echo "$cap" | tr -d .) in
    90) echo 90a ;;
    [1-9][0-9] | [1-9][0-9][0-9]) echo "$cap" | tr -d . ;;
    *) echo 90a ;;
    esac
}
archs=${HI_CUDA_ARCHS:-$(native)}
echo "building the tests that need a GPU, for sm_$archs ..." >&2
{
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHI_TESTS=ON -DHI_GPU_TESTS=ON \
        -DHI_CUDA_ARCHS="$archs" &&
        cmake --build "$build" -j "${JOBS:-$(nproc)}" -t gpu_tests
} >"$build/build.log" 2>&1 || { tail -n 40 "$build/build.log" >&2; exit 1; }

log=$build/tests.log
ctest --test-dir "$build" -L '^gpu(-sanitize)?$' -j "${AT_ONCE:-4}" --output-on-failure "$@" \
    >"$log" 2>&1 && ok=true || ok=false
grep -q 'tests passed' "$log" || { tail -n 20 "$log" >&2; exit 1; }
count() { grep -c "^ *[0-9]*/[0-9]* Test.*$1" "$log" || true; }
$ok || grep -v -e '^ *Start' -e ' Passed ' "$log" | tail -n 100
skipped=$(sed -n 's/.*Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*/\1/p' "$log")
[ -z "$skipped" ] || printf 'skipped: %s\n' "$(echo "$skipped" | tr '\n' ' ')"
n_skipped=$(count 'Skipped')
n_passed=$(count ' Passed ')
n_all=$(count '')
printf '%d passed, %d failed, %d skipped; the whole log is %s\n' "$n_passed" \
    $((n_all - n_passed - n_skipped)) "$n_skipped" "$log"
$ok
