#!/bin/sh
# gen_cli_test.sh HI_GEN HOME: hi-gen's command line: arguments, exit code, what stderr says, and
# what is written where.
set -u
gen=$1 home=$2
spec=$home/tests/specs/toy_gqa.lua
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

out="--out $t/refused"

# ---- usage ----
refuse 2 "no spec given"
refuse 2 "no spec given" --vram 1G
refuse 2 "one spec at a time" "$spec" "$spec" $out
refuse 2 "--frobnicate: unknown option" "$spec" --frobnicate
refuse 2 "-x: unknown option" "$spec" -x
refuse 2 "--vram: needs a value" "$spec" --vram
for size in abc 0 -1 +1 1.5.5G 5X nan inf 1e30 "" " " 12GB 5BB; do
    refuse 2 "--vram $size: not a size" "$spec" --vram "$size" $out
done
refuse 2 "--ram x: not a size" "$spec" --ram x $out
for number in 0 -1 x 1.5 99999999999999999999 "" 5k; do
    refuse 2 "--ctx $number: not a number" "$spec" --ctx "$number" $out
done
refuse 2 "--target metal: must be cpu or cuda" "$spec" --target metal $out
refuse 2 "--numerics f32: the cuda target computes in bf16; add --target cpu" "$spec" --target cuda \
    --numerics f32 $out
refuse 2 "--numerics fp8: must be bf16 or f32" "$spec" --numerics fp8 $out
refuse 2 "--weights-type q8: the cuda target computes with weights as stored; add --target cpu" \
    "$spec" --target cuda --weights-type q8 $out
refuse 2 "--weights-type q5: must be stored, q8 or q4" "$spec" --weights-type q5 $out
refuse 2 "--logits none: must be last or all" "$spec" --logits none $out
refuse 2 "--for speed: must be balanced, prefill or decode" "$spec" --for speed $out
refuse 2 "--policy lru: must be auto, standard, chunked, layer or head" "$spec" --policy lru $out
refuse 2 "--hidden disk: must be device or host" "$spec" --hidden disk $out
refuse 2 "--embed disk: must be device or host" "$spec" --embed disk $out
refuse 2 "--ctx most: not a number" "$spec" --ctx most $out
for flag in group bands panel weight-slots mlp-rows; do
    refuse 2 "--$flag 0" "$spec" --$flag 0 $out
done
refuse 2 "--weights -1" "$spec" --weights -1 $out
refuse 2 "unknown" calibrate --frobnicate
refuse 2 "--resident -1" "$spec" --resident -1 $out

# ---- what no plan can do ----
refuse 2 "tile" "$spec" --resident 0 --tile 100 $out
refuse 2 "256" "$spec" --resident 0 --tile 100 $out
refuse 2 "chunk" "$spec" --resident 0 --chunk 100 $out
refuse 2 "128" "$spec" --resident 0 --chunk 100 $out
refuse 2 "group" "$spec" --resident 0 --group 3 $out
refuse 2 "slots" "$spec" --resident 0 --slots 1 $out
refuse 2 "slots" "$spec" --resident 0 --slots 65 $out
refuse 3 "ram" "$spec" --vram 300K --ram 10K $out
refuse 2 "--mlp-rows 100: must be a multiple of 128" "$spec" --mlp-rows 100 $out
refuse 2 "--mlp-rows 512: at most --chunk 256" "$spec" --mlp-rows 512 --chunk 256 $out
refuse 2 "--bands 5: must be 1 to 4" "$spec" --bands 5 $out
refuse 2 "--weights 4: $spec has 3 layers" "$spec" --weights 4 $out
refuse 2 "--panel 4: $spec has 3 layers" "$spec" --panel 4 $out
refuse 2 "--weight-slots 1: must be 2 to 64" "$spec" --weight-slots 1 $out
refuse 2 "--policy standard and chunked keep" "$spec" --policy standard --resident 1 $out
refuse 2 "--explain and --json" "$spec" --explain --json
refuse 2 "--explain: writes nothing" "$spec" --explain $out
refuse 2 "must stay on the device" "$home/tests/specs/toy_mha.lua" --embed host $out
refuse 3 "contradict" "$home/tests/specs/toy_wide.lua" --weights 0 --weight-slots 2 --panel 4 $out
refuse 3 "smallest budget that works: " "$spec" --vram 100K $out
least=$(sed -n 's/.*smallest budget that works: \([0-9]*\) bytes.*/\1/p' "$t/err")
run 0 "" "$spec" --vram "${least:-0}" --out "$t/least"
refuse 3 "smallest budget that works: $least bytes" "$spec" --vram $((${least:-1} - 1)) $out

# ---- specs ----
refuse 4 "$t/nowhere.lua" "$t/nowhere.lua" $out
refuse 4 "$home/tests/bad-specs/kv_heads_seven.lua: kv_heads = 7" "$home/tests/bad-specs/kv_heads_seven.lua" $out
refuse 4 "$t" "$t" $out

# ---- machines ----
refuse 4 "specs/machine/abacus.lua: cannot be opened" "$spec" --machine abacus $out
refuse 4 "specs/machine/host/abacus.lua" "$spec" --host abacus $out
printf 'return { memory = -1 }' >"$t/mine.lua"
refuse 4 "$t/mine.lua: " "$spec" --machine "$t/mine.lua" $out

# ---- places ----
echo >"$t/file"
run 1 "$t/file/x: Not a directory" "$spec" --out "$t/file/x"
run 1 "/proc/nowhere" "$spec" --out /proc/nowhere/x
mkdir "$t/taken" "$t/taken/model.c"
run 1 "$t/taken/model.c" "$spec" --out "$t/taken"
ls "$t/taken" | grep -q new && wrong "a temporary is left behind"
HI_HOME=/nowhere refuse 4 "/nowhere/specs/machine/cpu.lua" "$spec" $out
HI_HOME=/nowhere refuse 1 "/nowhere/templates" "$spec" --machine "$home/specs/machine/cpu.lua" $out
long=$(printf '%05000d' 0)
refuse 2 "too long" "$spec" --out "$long"

# ---- success ----
run 0 "" --help
[ -s "$t/out" ] || wrong "--help prints nothing"
run 0 "" --version
grep -q '^hi-gen ' "$t/out" || wrong "--version prints no version"
run 0 "" "$spec" --explain --vram 1500K
grep -q '^buffer ' "$t/out" || wrong "--explain prints no table"
[ ! -e build-models ] || wrong "--explain writes files"
run 0 "note: toy_gqa was made for 8192 tokens" "$spec" --ctx 8193 --explain

run 0 "" "$spec" --ctx max --vram 1500K --ram 1M --explain
grep -q '^longest context: ' "$t/out" || wrong "--explain has no longest context"
run 0 "" "$spec" --ctx max --vram 1500K --ram 1M --json
grep -q '"host_bytes"' "$t/out" || wrong "--json has no host_bytes"
run 0 "note: --slots has no effect" "$spec" --slots 9 --explain
run 0 "note: --hidden has no effect" "$spec" --hidden host --explain
run 0 "planned for rtx4090 with host epyc_rome" "$spec" --vram 24G --explain
for option in "--target cpu" "--numerics f32" "--weights-type q8"; do
    # shellcheck disable=SC2086
    run 0 "planned for cpu with host cpu" "$spec" --vram 24G --explain $option
done
run 0 "" "$spec" --vram 24G --explain --machine rtx3060-12g --host desktop_ddr5
grep -q "planned for rtx3060-12g" "$t/out" || wrong "--machine is not taken"
for policy in standard chunked layer head; do
    run 0 "" "$spec" --policy $policy --explain
done

full() {
    "$gen" "$@" >/dev/full 2>"$t/err"
    [ $? -eq 1 ] || wrong "$* with a full stdout is not an error"
}
full --help
full --version
full "$spec" --explain
full "$spec" --out "$t/full"

set -- --vram 1500K
run 0 "" "$spec" "$@" --out "$t/a"
[ "$(cat "$t/out")" = "$t/a" ] || wrong "the folder is not printed"
run 0 "" "$spec" "$@" --out "$t/b"
(cd "$home" && "$gen" tests/specs/toy_gqa.lua "$@" --out "$t/c" >/dev/null)
for other in b c; do
    diff -r "$t/a" "$t/$other" >"$t/out" || wrong "the folders a and $other differ"
done
[ "$(ls "$t/a" | tr '\n' ' ')" = \
    "CMakeLists.txt Makefile decode.c model.c model.h plan.json prefill.c report.html shape.h " ] ||
    wrong "the folder holds other files"
before=$(stat -c %Y.%i "$t/a/model.c")
run 0 "" "$spec" "$@" --out "$t/a"
[ "$before" = "$(stat -c %Y.%i "$t/a/model.c")" ] || wrong "an unchanged file is written again"
grep -q '^#line' "$t/a/decode.c" && wrong "#line without --line"
run 0 "" "$spec" "$@" --line --out "$t/lines"
for file in prefill.c decode.c; do
    grep -q '^#line 1 "schedule.c"$' "$t/lines/$file" || wrong "$file has no #line"
    grep -v '^#line' "$t/lines/$file" | cmp -s - "$t/a/$file" || wrong "$file differs by more than #line"
done
run 0 "" "$spec" "$@"
[ -e build-models/toy_gqa-1500K/model.c ] || wrong "the default folder is not build-models/toy_gqa-1500K"

[ $failures -eq 0 ]
