#!/bin/sh
# mutate.sh FROM TO FILE SED: the emitted sources FROM with one fault in FILE, made by a sed script.
# A script that changes nothing fails.
set -eu
from=$1 to=$2 file=$3 script=$4
mkdir -p "$to"
for name in shape.h model.h model.c prefill.c decode.c; do
    cp "$from/$name" "$to/$name"
done
sed -E "$script" "$from/$file" >"$to/$file"
! cmp -s "$from/$file" "$to/$file" || { echo "mutate.sh: $file has nothing like '$script'" >&2; exit 1; }
