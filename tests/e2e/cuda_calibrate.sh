#!/bin/sh
# cuda_calibrate.sh HI_GEN PROGRAM SPEC DRIVER: the machine file that hi-gen writes of the emulated
# GPU, and a plan made with it; what is said where there is no GPU, too little of it, or one that
# fails; and how the program is built, by a cmake that only notes it. DRIVER: folder of fake_driver.c.
set -u
gen=$1 program=$2 spec=$3 driver=$4
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
failures=0

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out"
    sed 's/^/    err: /' "$t/err"
}

calibrate() { "$gen" calibrate --target cuda --seconds 5 "$@" >"$t/out" 2>"$t/err"; }

# refuse TEXT ARGUMENTS..: exit code 1, no file, and a message that has this.
refuse() {
    text=$1
    shift
    calibrate "$@"
    [ $? -eq 1 ] || wrong "'$text': not exit code 1"
    [ ! -s "$t/out" ] || wrong "'$text': a file all the same"
    grep -q -e "$text" "$t/err" || wrong "'$text' is not said"
}

# ---- building it ----
mkdir "$t/bin" "$t/home"
cat >"$t/bin/cmake" <<END
#!/bin/sh
echo "\$*" >>"$t/args"
echo message
[ "\$1" != "\${FAIL-}" ] || exit 1
printf '#!/bin/sh\necho "error built"\nexit 1\n' >"$t/home/build/calibrate/hi-calibrate-cuda"
chmod +x "$t/home/build/calibrate/hi-calibrate-cuda"
END
chmod +x "$t/bin/cmake"

(
    failures=0
    export LD_LIBRARY_PATH="$driver" PATH="$t/bin:$PATH" HI_HOME="$t/home"
    FAKE_GPUS=0 refuse "hi-gen: calibrate: --target cuda measures an NVIDIA GPU: none is visible here"
    FAKE_INIT=100 refuse "none is visible here"
    FAKE_INIT=999 refuse "its driver fails with error 999"
    FAKE_MAJOR=7 refuse "compute capability 7.0; 8.0 or newer is needed"
    [ ! -e "$t/home/build" ] || wrong "something is made without a GPU"
    FAIL=-S refuse "configuring what measures failed; the messages are in $t/home/build\|no nvcc"
    FAIL=--build refuse "compiling what measures failed; the messages are in $t/home/build\|no nvcc"
    [ "$(cat "$t/home/build/calibrate/build.log")" = "$(printf 'message\nmessage')" ] ||
        wrong "the log does not hold cmake's messages"
    rm "$t/args"
    FAKE_MAJOR=8 refuse "hi-gen: calibrate: built"
    refuse "hi-gen: calibrate: built"
    folder=$t/home/build/calibrate
    configure="-S $t/home/gen/calibrate/cuda -B $folder -DCMAKE_BUILD_TYPE=Release -DHI_HOME=$t/home"
    printf '%s\n' "$configure -DHI_CUDA_ARCHS=80" "--build $folder --parallel" \
        "$configure -DHI_CUDA_ARCHS=90a" "--build $folder --parallel" >"$t/expected"
    cmp "$t/args" "$t/expected" || wrong "cmake gets other arguments: $(cat "$t/args")"
    [ $failures -eq 0 ]
) || failures=1

# ---- running it ----
set -- --program "$program"
CUDA_EMU_DEVICES=0 refuse "hi-gen: calibrate: no NVIDIA GPU is visible here" "$@"
CUDA_EMU_MEMORY=32M refuse "MiB of device memory in one piece" "$@"
CUDA_EMU_FAIL=launch:40 refuse "hi-gen: calibrate: CUDA, " "$@"

calibrate "$@" || wrong "measuring fails"
cp "$t/out" "$t/mine.lua"
for line in 'memory = 1073741824, .*bytes that the GPU has' 'reserve = 67108864, .* took 0 MiB' \
    'shared = false,' 'source = "measured by hi-gen calibrate: sm_80 ' \
    'host = {'; do
    grep -q "^    $line" "$t/mine.lua" || wrong "the file has no line '$line'"
done
"$gen" "$spec" --machine "$t/mine.lua" --vram 300M --explain >"$t/out" 2>"$t/err" || wrong "no plan"
grep -q 'planned for mine' "$t/out" || wrong "the plan is not for that machine"
grep -q 'of it 67108864 for the driver' "$t/out" || wrong "the plan has no reserve"
"$gen" "$spec" --machine "$t/mine.lua" --vram 64M --explain >"$t/out" 2>"$t/err" &&
    wrong "a plan within the reserve"

[ $failures -eq 0 ]
