#!/bin/sh
# tokenizer.sh BUILD FOLDER TEXT: what encoding TEXT with FOLDER/tokenizer.json costs, in MB/s of
# CPU time on one core; with HI_PYTHON=PROGRAM, a Python that has the package tokenizers, also
# beside that library. Then runs of one letter, whose time must grow about with their length.
set -eu
build=$1 folder=$2 text=$3
work=$build/bench/tokenizer
mkdir -p "$work"
cmake --build "$build" --target tok_dump >/dev/null
tool=$build/tests/tokenizer/tok_dump

best() { awk '$2 == "MB/s," && $1 > most { most = $1; tokens = $3 } END { print most, tokens }'; }

ours=$("$tool" -t "$folder" "$text" | best)
printf '%-36s %8.2f MB/s %10d tokens\n' "$(basename "$text")" $ours
if [ -n "${HI_PYTHON:-}" ]; then
    theirs=$("$HI_PYTHON" "$(dirname "$0")/tokenizer_reference.py" "$folder" "$text" | best)
    printf '%-36s %8.2f MB/s %10d tokens\n' "  the tokenizers library" $theirs
    echo "${ours% *} ${theirs% *}" | awk '{ printf "%-36s %8.1f x\n", "  ratio", $1 / $2 }'
fi
for mb in 1 4; do
    head -c $((mb * 1000000)) /dev/zero | tr '\0' a >"$work/run"
    # shellcheck disable=SC2046
    printf '%-36s %8.2f MB/s %10d tokens\n' "one letter, $mb MB" $("$tool" -t "$folder" "$work/run" | best)
done
