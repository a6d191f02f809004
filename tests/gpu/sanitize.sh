#!/bin/sh
# sanitize.sh TOOL PROGRAM..: the program under a tool of compute-sanitizer; status 77 (skipped)
# where there is none, or it does not work on this machine. Of races only those of our kernels are
# looked for: the library's would take minutes.
set -u
tool=$1
shift
sanitizer=
for path in "$(command -v compute-sanitizer)" "${CUDA_HOME-}/bin/compute-sanitizer" \
    /usr/local/cuda/bin/compute-sanitizer /usr/local/cuda/compute-sanitizer/compute-sanitizer; do
    [ -z "$sanitizer" ] && [ -x "$path" ] && sanitizer=$path
done
[ -n "$sanitizer" ] || { echo "skipped: no compute-sanitizer here"; exit 77; }
filter=
[ "$tool" = racecheck ] && filter="--kernel-name kernel_substring=k_"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
"$sanitizer" --tool "$tool" $filter --error-exitcode 9 "$@" >"$log" 2>&1
status=$?
tail -n 60 "$log"
if grep -q -i -e "device not supported" -e "debugger is not supported" "$log"; then
    echo "skipped: compute-sanitizer does not work on this machine"
    exit 77
fi
grep -q "ERROR SUMMARY\|RACECHECK SUMMARY" "$log" || exit 1
exit $status
