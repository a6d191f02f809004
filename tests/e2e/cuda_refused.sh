#!/bin/sh
# cuda_refused.sh PROGRAM REFERENCE IDS: what a program of the cuda target says of a machine that
# does not serve it, and of options that it does not have. PROGRAM has a ring and its embedding on the
# host; REFERENCE is the same model with everything resident. stdout stays empty unless there is an
# answer.
set -u
program=$1 reference=$2
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
head -n 400 "$3" >"$t/ids"
failures=0
for name in $(env | sed -n 's/^\(CUDA_EMU_[A-Z]*\)=.*/\1/p'); do
    unset "$name"
done

wrong() {
    failures=$((failures + 1))
    printf 'WRONG: %s\n' "$*"
    sed 's/^/    out: /' "$t/out" | head -n 5
    sed 's/^/    err: /' "$t/err" | head -n 5
}

# run CODE TEXT SETTING OPTIONS..: the answer's exit code, a part of stderr.
run() {
    code=$1 text=$2 setting=$3
    shift 3
    env "$setting" timeout 60 "$program" generate -w random:1 --ids "$t/ids" -n 8 --ignore-eos "$@" \
        >"$t/out" 2>"$t/err"
    got=$?
    [ $got -eq "$code" ] || wrong "$setting $* gives $got, not $code"
    [ -z "$text" ] || grep -qF -e "$text" "$t/err" || wrong "$setting $* does not say '$text'"
}

refuse() {
    run "$@"
    [ ! -s "$t/out" ] || wrong "$3 prints on stdout"
}

# answer TEXT SETTING: the reference's tokens.
answer() {
    run 0 "$1" "$2"
    cmp -s "$t/out" "$t/answer" || wrong "$2 gives another answer"
}

"$reference" generate -w random:1 --ids "$t/ids" -n 8 --ignore-eos >"$t/answer" 2>"$t/err" || {
    cat "$t/err"
    exit 1
}
[ "$(wc -w <"$t/answer")" -eq 8 ] || { cat "$t/answer"; exit 1; }

# ---- options of the other target ----
refuse 2 "-t: only programs of the cpu target have it" X= -t 2
refuse 2 "--isa: only programs of the cpu target have it" X= --isa avx2
refuse 2 "--link-gbps: only programs of the cpu target have it" X= --link-gbps 2

# ---- the device ----
refuse 1 "no NVIDIA GPU is visible here; without one, generate the program with --target cpu" \
    CUDA_EMU_DEVICES=0
refuse 1 "has compute capability 7.5; 8.0 or newer is needed" CUDA_EMU_CC=7.5
refuse 1 "no NVIDIA driver, or one older than CUDA 13." CUDA_EMU_FAIL=cudaGetDeviceCount:1=35
refuse 3 "of device memory in one piece; 8 of 8 MiB are free" CUDA_EMU_MEMORY=8M
refuse 3 "of device memory in one piece" CUDA_EMU_FAIL=cudaMalloc:1
refuse 1 "CUDA, making a copy stream: unknown error (cudaErrorUnknown)" \
    CUDA_EMU_FAIL=cudaStreamCreateWithFlags:2
refuse 1 "CUDA, loading the kernels:" CUDA_EMU_FAIL=cudaLibraryLoadData:1=209
refuse 1 "CUDA, copying to the device:" CUDA_EMU_FAIL=copy:1

# ---- failures on the way ----
run 1 "an illegal memory access was encountered (cudaErrorIllegalAddress)" CUDA_EMU_FAIL=launch:20
run 1 "cuBLASLt, product with a matrix (" CUDA_EMU_FAIL=cublasLtMatmul:20
run 1 "CUDA, " CUDA_EMU_FAIL=copy:50

# ---- pinned memory: what is not the store's takes 33.6 MB; the store has 0.4 MB ----
some="GiB of host memory could be pinned; the rest is copied twice"
answer "" X=
grep -q pinned "$t/err" && wrong "all is pinned, and yet there is a note"
refuse 1 "CUDA, pinning " CUDA_EMU_PINNED=1M
for mode in late lazy random; do
    CUDA_EMU_MODE=$mode
    export CUDA_EMU_MODE
    answer "note: 0.00 of 0.00 $some" CUDA_EMU_PINNED=33800000
    answer "note: 0.00 of 0.00 $some" CUDA_EMU_PINNED=33950000
done
answer "" CUDA_EMU_FAIL=cudaHostRegister:1
grep -q pinned "$t/err" && wrong "a smaller slab is pinned, and yet there is a note"

[ $failures -eq 0 ] || { echo "$failures wrong"; exit 1; }
