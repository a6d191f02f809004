#!/bin/sh
# import_test.sh HI_GEN HOME: hi-gen import as a user meets it: what is printed, what is written
# where, and that a spec so made gives the same program again.
set -u
gen=$1 home=$2
toy=$home/tests/golden/hf/toy_gqa
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cd "$t" || exit 1
failures=0

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %.200s\n' "$*"
    sed 's/^/    out: /' "$t/out" | head -n 5
    sed 's/^/    err: /' "$t/err" | head -n 5
}

# run CODE TEXT ARGUMENTS..: exit code, a part of stderr; leaves $t/out and $t/err.
run() {
    code=$1 text=$2
    shift 2
    timeout 60 "$gen" "$@" >"$t/out" 2>"$t/err" </dev/null
    got=$?
    [ $got -eq "$code" ] || wrong "$* gives $got, not $code"
    [ -z "$text" ] || grep -qF -e "$text" "$t/err" || wrong "$* does not say '$text'"
}

# refuse CODE TEXT ARGUMENTS..: the same; nothing on stdout, nothing written.
refuse() {
    run "$@"
    shift 2
    [ ! -s "$t/out" ] || wrong "$* prints on stdout"
    [ ! -e "$t/refused" ] && [ ! -e build-models ] || wrong "$* writes files"
}

# ---- usage ----
refuse 2 "import: no folder given" import
refuse 2 "import: no folder given" import --vram 1G
refuse 2 "one folder at a time" import "$toy" "$toy"
refuse 2 "--checkpoint: import knows the folder" import "$toy" --checkpoint "$toy" --out refused
refuse 2 "--name: only for hi-gen import" "$home/tests/specs/toy_gqa.lua" --name x --out refused
refuse 2 "--spec-out: only for hi-gen import" "$home/tests/specs/toy_gqa.lua" --spec-out refused
refuse 2 "--explain: writes nothing; leave --spec-out away" import "$toy" --explain \
    --spec-out refused
refuse 2 "--chunk 100: must be a multiple" import "$toy" --chunk 100 --out refused

# ---- wrong checkpoints ----
refuse 4 "No such file or directory" import /not/there --out refused
refuse 4 "no checkpoint" import . --out refused
refuse 4 "--name Upper: must consist of" import "$toy" --name Upper --out refused
HF_HUB_CACHE=$t refuse 4 "models--org--absent is not there either" import org/absent --out refused

# ---- the spec alone ----
run 0 "" import "$toy"
cp out printed.lua
grep -qF "layers = 3, -- num_hidden_layers" printed.lua || wrong "no layers in the spec"
! grep -qF "$home" printed.lua || wrong "the spec tells where the checkpoint lies"
run 0 "" import "$toy" --spec-out written.lua
[ ! -s out ] && cmp -s printed.lua written.lua || wrong "--spec-out is not what is printed"
run 0 "" written.lua --explain            # its family is hi-gen's own
run 1 "No such file or directory" import "$toy" --spec-out absent/written.lua

# ---- with a plan ----
run 0 "" import "$toy" --vram 4M
[ "$(cat out)" = build-models/toy_gqa-4M ] || wrong "another folder than build-models/toy_gqa-4M"
cmp -s printed.lua build-models/toy_gqa-4M/toy_gqa.lua || wrong "no spec beside the sources"
grep -qF ".checkpoint = CHECKPOINT," build-models/toy_gqa-4M/model.c || wrong "no checkpoint"
run 0 "" import "$toy" --name other --out o --spec-out other.lua --vram 4M
[ -e other.lua ] && [ ! -e o/other.lua ] || wrong "--spec-out is not where the spec goes"
run 0 "" build-models/toy_gqa-4M/toy_gqa.lua --vram 4M --checkpoint "$toy" --out again
diff -r -x toy_gqa.lua build-models/toy_gqa-4M again >out || wrong "the spec gives other sources"
run 0 "" build-models/toy_gqa-4M/toy_gqa.lua --vram 4M --out none
! grep -q CHECKPOINT none/model.c || wrong "a checkpoint that nobody gave"
run 0 "" import "$toy" --explain
[ "$(ls | wc -l)" -eq 9 ] || wrong "--explain writes files: $(ls)"

# ---- context: the model's own, or the longest that fits, and then it is said ----
run 0 "" import "$toy" --vram 1M --ram 64M --explain
! grep -q "longest that fit" err || wrong "the model's own context would fit"
run 0 "toy_gqa was made for 8192 tokens; planned for 2560, the longest that fit" import "$toy" \
    --vram 1M --ram 1M --explain
run 3 "8192 tokens need" import "$toy" --vram 1M --ram 1M --ctx 8192

# ---- any folder's name becomes a C string ----
odd='a "b" \c ??/d */é'
mkdir -p "$odd" && cp "$toy"/config.json "$toy"/model.safetensors "$odd"
run 0 "" import "$odd" --name odd --vram 4M --out odd-out
{
    echo '#include <stdio.h>'
    sed -n '/^static const char CHECKPOINT/,/;$/p' odd-out/model.c
    echo 'int main(void) { return puts(CHECKPOINT) < 0; }'
} >odd.c
${CC:-cc} -std=c11 -Wall -Wextra -Werror odd.c -o odd-c 2>err || wrong "the path is no C string"
[ "$(./odd-c)" = "$t/$odd" ] || wrong "the path is another one in C: $(./odd-c)"

[ $failures -eq 0 ] || exit 1
echo "all as it should be"
