#!/bin/sh
# cli_test.sh PROGRAM FOLDER: the command line of an emitted program (needle, context 2304):
# arguments, exit code, what stderr says;
# stdout stays empty unless there is an answer.
set -u
program=$1 folder=$2
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
failures=0

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out" | head -n 5
    sed 's/^/    err: /' "$t/err" | head -n 5
}

# run CODE TEXT ARGUMENTS..: exit code, a part of stderr; leaves $t/out.
run() {
    code=$1 text=$2
    shift 2
    timeout 60 "$program" "$@" >"$t/out" 2>"$t/err" <"$t/in"
    got=$?
    [ $got -eq "$code" ] || wrong "$* gives $got, not $code"
    [ -z "$text" ] || grep -qF -e "$text" "$t/err" || wrong "$* does not say '$text'"
}

# refuse CODE TEXT ARGUMENTS..: the same, and nothing on stdout.
refuse() {
    run "$@"
    [ ! -s "$t/out" ] || { shift 2; wrong "$* prints on stdout"; }
}

# answer ARGUMENTS..: succeeds; the answer is in $t/out.
answer() {
    run 0 "" "$@"
    [ -s "$t/out" ] || wrong "$* prints nothing"
}

: >"$t/in"
question='The pass key: 48213. What is the pass key: '
printf '%s' "$question" >"$t/prompt"

# ---- usage ----
refuse 2 "no verb"
refuse 2 "frobnicate: unknown verb" frobnicate
refuse 2 "unknown verb" ""
refuse 2 "--frobnicate: unknown option" generate --frobnicate
refuse 2 "-x: unknown option" generate -x
refuse 2 "-w: needs a value" generate -w
refuse 2 "--frobnicate: unknown option" generate - --frobnicate
refuse 2 "--prompt: needs a value" generate -w "$folder" --prompt
refuse 2 "-n abc" generate -w "$folder" -p a -n abc
refuse 2 "-n -2" generate -w "$folder" -p a -n -2
refuse 2 "-n 5x" generate -w "$folder" -p a -n 5x
refuse 2 "-t 0" generate -w "$folder" -p a -t 0
refuse 2 "-t 100000" generate -w "$folder" -p a -t 100000
refuse 2 "--link-gbps x" generate -w "$folder" -p a --link-gbps x
refuse 2 "--link-gbps 0" generate -w "$folder" -p a --link-gbps 0
refuse 2 "--link-gbps nan" generate -w "$folder" -p a --link-gbps nan
refuse 2 "one prompt only" generate -w "$folder" -p a -f "$t/prompt"
refuse 2 "one prompt only" generate -w "$folder" -p a --ids "$t/prompt"
refuse 2 "one prompt only" generate -w "$folder" -p a -
refuse 2 "extra" generate -w "$folder" -p a extra
refuse 2 "no weights" generate -p a
refuse 2 "info: -n: not for this verb" info -n 3
refuse 2 "info: --isa: not for this verb" info --isa avx2
refuse 2 "info: --ids: not for this verb" info --ids x
refuse 2 "selftest: -p: not for this verb" selftest -p a
refuse 2 "selftest: --ignore-eos: not for this verb" selftest --ignore-eos
refuse 2 "extra" info extra
refuse 2 "--ignore-eos=x: takes no value" generate -w "$folder" --ignore-eos=x
refuse 2 "--temp -1: must be a number from 0 to 100" generate -w "$folder" -p a --temp -1
refuse 2 "--top-p 2" generate -w "$folder" -p a --top-p 2
refuse 2 "--min-p x" generate -w "$folder" -p a --min-p x
refuse 2 "--top-k 1.5" generate -w "$folder" -p a --top-k 1.5
refuse 2 "--repeat-penalty 0:" generate -w "$folder" -p a --repeat-penalty 0
refuse 2 "--repeat-last-n -2" generate -w "$folder" -p a --repeat-last-n -2
refuse 2 "-s -2" generate -w "$folder" -p a --seed -2
refuse 2 "--logit-bias 5*2: must be ID+X" generate -w "$folder" -p a --logit-bias '5*2'
refuse 2 "--logit-bias 5+inf: must be ID+X" generate -w "$folder" -p a --logit-bias 5+inf
refuse 2 "--logit-bias -1+2" generate -w "$folder" -p a --logit-bias -1+2
refuse 2 "--stop: an empty text" generate -w "$folder" -p a --stop ''
refuse 2 "--stop needs text" generate -w "$folder" --ids "$t/prompt" --stop a
refuse 2 "--ids are taken as they are" generate -w "$folder" --ids "$t/prompt" --no-bos
refuse 2 "generate: --system: not for this verb" generate -w "$folder" --system a
refuse 2 "generate: -d: not for this verb" generate -w "$folder" -d 5
refuse 2 "bench: --temp: not for this verb" bench --temp 1
refuse 2 "perplexity: -n: not for this verb" perplexity -n 1
refuse 2 "selftest: --seed: not for this verb" selftest --seed 1
refuse 2 "unknown instruction set: one of" generate -w "$folder" -p a --isa nonsense
HI_ISA=nonsense refuse 2 "unknown instruction set: one of" generate -w "$folder" -p a

# ---- prompts ----
refuse 2 "empty" generate -w "$folder" --ids "$t/in"
refuse 2 "random:1 has no tokenizer" generate -w random:1 -p a
refuse 2 "$t/nowhere: No such file" generate -w "$folder" -f "$t/nowhere"
printf 'ab\377' >"$t/latin1"
refuse 2 "byte 2 is 0xff" generate -w "$folder" -f "$t/latin1"
refuse 2 "$t" generate -w "$folder" -f "$t"
echo '1 2 320' >"$t/ids"
refuse 2 "id 3 is \"320\": must be a number from 0 to" generate -w "$folder" --ids "$t/ids"
echo '1 -2' >"$t/ids"
refuse 2 "id 2 is \"-2\"" generate -w "$folder" --ids "$t/ids"
echo '1 two 3' >"$t/ids"
refuse 2 "id 2 is \"two\"" generate -w "$folder" --ids "$t/ids"
echo '1 99999999999999999999' >"$t/ids"
refuse 2 "id 2 is" generate -w "$folder" --ids "$t/ids"
head -c 2400 /dev/zero | tr '\0' a >"$t/long"
refuse 3 "context of 2304" generate -w "$folder" -f "$t/long"
grep -q '240[01] tokens' "$t/err" || wrong "a long prompt's message has no count"
refuse 3 "--ctx" generate -w "$folder" -p a -n 2304

# ---- model files ----
refuse 4 "$t/nowhere" generate -w "$t/nowhere" -p a
mkdir "$t/empty"
refuse 4 "$t/empty" generate -w "$t/empty" -p a
echo 5 >"$t/ids"
refuse 4 "$t/empty" generate -w "$t/empty" --ids "$t/ids"
refuse 4 "random:x" generate -w random:x --ids "$t/ids"
copy() { rm -rf "$t/copy" && cp -r "$folder" "$t/copy" && chmod -R u+w "$t/copy"; }
copy
echo '{}' >"$t/copy/tokenizer.json"
refuse 4 "tokenizer.json" generate -w "$t/copy" -p a
refuse 4 "No such file or directory; -w must name a checkpoint folder, or pass --ids FILE" \
    generate -w "$t/nowhere" -p a
copy
truncate -s -100 "$t/copy"/model.safetensors
refuse 4 "safetensors" generate -w "$t/copy" -p a
copy
# The last tensor's last element: 0x7fc0 is a NaN in bf16.
size=$(wc -c <"$t/copy/model.safetensors")
printf '\300\177' | dd of="$t/copy/model.safetensors" bs=1 seek=$((size - 2)) conv=notrunc 2>/dev/null
refuse 4 "non-finite weight" generate -w "$t/copy" -p a

# ---- success ----
for verb in info help version --help --version; do
    answer $verb
    [ ! -s "$t/err" ] || wrong "$verb writes to stderr"
done
for verb in generate chat perplexity bench info selftest; do
    answer $verb --help
    grep -q "^usage: .* $verb" "$t/out" || wrong "$verb --help is another verb's"
    cp "$t/out" "$t/help"
    answer help $verb
    cmp -s "$t/out" "$t/help" || wrong "help $verb is not $verb --help"
    # What a help lists, the verb takes.
    for option in $(sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p' "$t/help"); do
        timeout 60 "$program" $verb $option=x >"$t/out" 2>"$t/err" </dev/null
        grep -q -e 'unknown option' -e 'not for this verb' "$t/err" && wrong "$verb does not take $option"
    done
done
for option in --temp --seed --stop --logit-bias --no-bos --ids --round-weights; do
    answer generate --help
    grep -q -e " $option" "$t/out" || wrong "the help has no $option"
done
answer generate --help
answer info --plan
for text in "^buffer " "^decision " "^host " "^longest context"; do
    grep -q "$text" "$t/out" || wrong "info --plan has no '$text'"
done
refuse 2 "generate: --plan: not for this verb" generate --plan
run 0 "" selftest -w "$folder"

answer generate -w "$folder" -p "$question" -n 6
cp "$t/out" "$t/expected"
for text in "plan  *measured" "^prompt, s " "^token, ms " "^to the device, MiB " "^device memory, MiB "; do
    grep -q "$text" "$t/err" || wrong "the summary has no '$text'"
done
[ "$(cat "$t/expected")" = "48213." ] || wrong "the answer is not 48213."
same() {
    answer "$@"
    cmp -s "$t/out" "$t/expected" || wrong "$* answers differently"
}
same generate -w "$folder" -f "$t/prompt" -n 6
same generate -w "$folder" -p "$question" -n 6 -t 1 --isa portable
same generate -w "$folder" -p "$question" -n 6 --link-gbps 0.5
cp "$t/prompt" "$t/in"
same generate -w "$folder" -n 6
same generate -w "$folder" -f - -n 6
same generate -w "$folder" - -n 6
same generate -w "$folder" -n 6 -
: >"$t/in"
# The needle's tokens: 0 begins, then each byte is one.
{ echo 0; od -An -v -tu1 "$t/prompt"; } >"$t/ids"
answer generate -w "$folder" --ids "$t/ids" -n 6
for id in $(cat "$t/out"); do printf "\\$(printf %03o "$id")"; done >"$t/bytes"
echo >>"$t/bytes"
cmp -s "$t/bytes" "$t/expected" || wrong "--ids answers differently"
run 0 "generation  0 tokens" generate -w "$folder" -p "$question" -n 0
# What a decoder strips from a text's beginning is not stripped behind a prompt.
copy
sed -i '/"decoder": {/,/}/c "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, \
    {"type": "Strip", "content": "4", "start": 1, "stop": 0}]},' "$t/copy/tokenizer.json"
grep -q '"Strip"' "$t/copy/tokenizer.json" || wrong "the decoder is not replaced"
answer generate -w "$t/copy" -p "$question" -n 5
[ "$(cat "$t/out")" = 48213 ] || wrong "a continuation has lost its first character"

for verb in help info version; do
    timeout 60 "$program" $verb >/dev/full 2>"$t/err"
    [ $? -eq 1 ] && grep -q 'standard output: ' "$t/err" || wrong "$verb: a full stdout is not said"
done

# ---- what is chosen ----
# says TEXT: on stderr
says() { grep -qF -e "$1" "$t/err" || wrong "does not say '$1'"; }
answer generate -w "$folder" -p "$question" -n 6
says "sampling    greedy"
same generate -w "$folder" -p "$question" -n 6 --top-k 40
says "note: the answer is greedy"
same generate -w "$folder" -p "$question" -n 6 --temp 0.7
says "sampling    temperature 0.7, top-k 40, top-p 0.95, min-p 0.05, seed "
seed=$(sed -n 's/^sampling.* seed //p' "$t/err")
hot='--temp 70 --top-k 0 --top-p 1 --min-p 0'
# shellcheck disable=SC2086
answer generate -w "$folder" -p "$question" -n 40 $hot --ignore-eos
seed=$(sed -n 's/^sampling.* seed //p' "$t/err")
cp "$t/out" "$t/hot"
# shellcheck disable=SC2086
answer generate -w "$folder" -p "$question" -n 40 $hot --ignore-eos --seed "$seed" -t 1
cmp -s "$t/out" "$t/hot" || wrong "the seed of the summary does not repeat the answer"
# shellcheck disable=SC2086
answer generate -w "$folder" -p "$question" -n 40 $hot --ignore-eos --seed "$((seed + 1))"
cmp -s "$t/out" "$t/hot" && wrong "two seeds give one answer"
printf '48213\n' >"$t/expected"
same generate -w "$folder" -p "$question" -n -1 --stop .
says "generation  6 tokens"
printf '482\n' >"$t/expected"
same generate -w "$folder" -p "$question" -n 20 --stop x --stop 13.
answer generate -w "$folder" -p "$question" -n 6 --logit-bias 49-inf
grep -q 1 "$t/out" && wrong "an excluded token is chosen"
printf '48213.\n' >"$t/expected"
run 0 "" generate -w "$folder" -p abc -n 20 --logit-bias 0+1000
[ ! -s "$t/out" ] || wrong "an end token is written"
run 0 "note: the context of 2304 tokens is full" generate -w "$folder" -f "$t/prompt" -n -1 --ignore-eos
says "generation  2260 tokens"
copy
echo '{"do_sample": true, "temperature": 0.25, "top_p": 0.5, "eos_token_id": [50]}' >"$t/copy/generation_config.json"
answer generate -w "$t/copy" -p "$question" -n 20
says "sampling    temperature 0.25, top-k 50, top-p 0.5, min-p 0, seed "
[ "$(cat "$t/out")" = 48 ] || wrong "an end token of generation_config.json ends nothing"
answer generate -w "$t/copy" -p "$question" -n 6 --temp 0 --ignore-eos
[ "$(head -c 2 "$t/out")" = 48 ] || wrong "--temp does not go before the file's"
grep -q 2 "$t/out" && wrong "--ignore-eos chooses an end token"
echo '{"repetition_penalty": 1.25}' >"$t/copy/generation_config.json"
run 0 "penalties: repeat 1.25, frequency 0, presence 0, last -1" generate -w "$t/copy" -p "$question" -n 6
run 0 "repeat 1.25, frequency 0, presence 0, last 9" generate -w "$t/copy" -p "$question" -n 6 \
    --repeat-last-n 9
run 0 "repeat 1.5, frequency 0, presence 0, last 64" generate -w "$t/copy" -p "$question" -n 6 \
    --repeat-penalty 1.5
echo '{"top_p": 7}' >"$t/copy/generation_config.json"
refuse 4 "top_p = 7" generate -w "$t/copy" -p "$question"
printf '\304\200x' >"$t/special"
run 0 "prompt      4 tokens" generate -w "$folder" -f "$t/special" -n 0
run 0 "prompt      3 tokens" generate -w "$folder" -f "$t/special" -n 0 --parse-special
says "the prompt begins with two BOS"
run 0 "prompt      2 tokens" generate -w "$folder" -f "$t/special" -n 0 --parse-special --no-bos
grep -q 'two BOS' "$t/err" && wrong "one BOS is called two"

# ---- stdout that takes nothing ----
# Without a stdout the text must not land in some other file.
closed() {
    timeout 60 "$program" "$@" >&- 2>"$t/err" <"$t/in"
    [ $? -eq 1 ] || wrong "$* with a closed stdout is not an error"
}
full() {
    timeout 60 "$program" "$@" >/dev/full 2>"$t/err" <"$t/in"
    [ $? -eq 1 ] || wrong "$* with a full stdout is not an error"
}
: >"$t/out"
for stdout in closed full; do
    $stdout generate -w "$folder" -p "$question" -n 6
    grep -qF 'prompt  ' "$t/err" || wrong "$stdout: no summary"
    $stdout info
    $stdout help
    $stdout version
    $stdout selftest -w "$folder"
done

# ---- Ctrl-C: at a slow link, until the summary ----
# interrupted CODE WHEN ARGUMENTS..: WHEN is a command that ends when it is time
interrupted() {
    code=$1 when=$2
    shift 2
    "$program" "$@" >"$t/out" 2>"$t/err" </dev/null &
    pid=$!
    $when
    kill -INT $pid
    wait $pid
    got=$?
    [ $got -eq "$code" ] || wrong "$* interrupted gives $got, not $code"
    grep -qF 'generation  ' "$t/err" || wrong "$* interrupted: no summary"
}
# A program in the background ignores SIGINT until it catches it: bit 1 of SigCgt.
catching() {
    i=0
    until sed -n 's/^SigCgt:.*\(.\)$/\1/p' /proc/$pid/status | grep -q '[2367abef]' || [ $i -eq 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    sleep 0.3
}
written() { i=0; while [ ! -s "$t/out" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done; }
seq 1 2200 | awk '{ print $1 % 200 + 1 }' >"$t/ids"
interrupted 130 catching generate -w random:1 --ids "$t/ids" --link-gbps 0.001 -n 1
[ ! -s "$t/out" ] || wrong "an interrupted prompt has an answer"
seq 1 700 | awk '{ print $1 % 200 + 1 }' >"$t/ids"
interrupted 0 written generate -w random:1 --ids "$t/ids" --ignore-eos -n 1500 --link-gbps 0.01
grep -q 'generation  1500' "$t/err" && wrong "decoding was not interrupted"

[ $failures -eq 0 ]
