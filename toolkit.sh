#!/bin/sh
# toolkit.sh - the parts of CUDA that building for a GPU needs; neither a GPU nor a driver.
#
#   ./toolkit.sh [--libraries] [FOLDER]
#
# Prints the folder of a toolkit: one of CUDA 12.8 or newer that is on PATH, in $CUDA_HOME or in
# /usr/local/cuda; otherwise FOLDER (build/cuda if none is given), where it then installs CUDA 13.0
# from Python wheels: nvcc, headers, the static runtime, NVRTC. Downloads 0.6 GB, keeps 0.3.
#
#   --libraries   cuBLASLt itself too, not its header alone: programs need it where they run; 0.5 GB
#
# Installs the Debian packages that it needs (as root or by sudo; otherwise it prints the command).
set -eu

# ~=13.0.0 is the newest 13.0.x.
cuda="nvidia-cuda-nvcc~=13.0.0 nvidia-nvvm~=13.0.0 nvidia-cuda-crt~=13.0.0
    nvidia-cuda-runtime~=13.0.0 nvidia-cuda-nvrtc~=13.0.0 nvidia-cuda-cccl~=13.0.0"
cublas="nvidia-cublas~=13.1.0.0" # that of CUDA 13.0

say() { printf '%s\n' "$*" >&2; }
die() { say "toolkit.sh: $*"; exit 1; }

libraries=false
folder=
for argument; do
    case $argument in
    --libraries) libraries=true ;;
    -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) [ -z "$folder" ] || die "$argument: one folder at a time"; folder=$argument ;;
    esac
done
[ -n "$folder" ] || folder=$(dirname "$0")/build/cuda

# has FOLDER FILE..: all of them, libraries in lib or lib64?
has() {
    root=$1
    shift
    for file; do
        [ -e "$root/$file" ] || [ -e "$root/lib64/${file#lib/}" ] || return 1
    done
}

# good FOLDER: a toolkit to build with?
good() {
    release=$("$1/bin/nvcc" --version 2>/dev/null |
        sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$release" ] && [ $((${release% *} * 100 + ${release#* })) -ge 1208 ] &&
        has "$1" include/cuda_runtime_api.h include/cublasLt.h &&
        has "$1" lib/libcudart_static.a lib/libnvrtc.so
}

enough() { good "$1" && { ! $libraries || has "$1" lib/libcublasLt.so; }; }

# A good toolkit that is there already.
present() {
    nvcc=$(command -v nvcc) && nvcc=$(readlink -f "$nvcc") || nvcc=
    for place in "${nvcc%/bin/nvcc}" "${CUDA_HOME-}" /usr/local/cuda "$folder"; do
        if [ -n "$place" ] && enough "$place"; then
            (cd "$place" && pwd)
            return 0
        fi
    done
    return 1
}

# What runs pip, and the compiler that nvcc calls.
need() {
    missing=
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    command -v g++ >/dev/null || missing="$missing g++"
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null || die "these must be installed:$missing"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "missing packages; run as root: apt-get install$missing"
        as_root=sudo
    fi
    say "installing:$missing"
    $as_root apt-get update -qq >&2 || die "apt-get update failed; then: apt-get install$missing"
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >&2 ||
        die "could not install; run: apt-get install$missing"
}

# pip COMMAND..: its messages only if it fails.
pip() {
    TMPDIR=$work "$work/venv/bin/python" -m pip -q --disable-pip-version-check --no-cache-dir "$@" \
        >"$work/log" 2>&1 || {
        cat "$work/log" >&2
        die "pip failed; is the package index within reach?"
    }
}

# The wheels' files, in one folder as nvcc expects them.
fetch_cuda() {
    # shellcheck disable=SC2086
    pip install --no-deps --no-compile --only-binary :all: --target "$work/site" $cuda
    [ -x "$new/bin/nvcc" ] || die "the wheels no longer hold nvcc where it was"
    rm -f "$new"/lib/*.alt.so* "$new"/lib/libnvvm.so* # other builds of the same, 180 MB
    ln -s lib "$new/lib64"
}

# cuBLAS's headers, which come only with 0.5 GB of libraries; of those what is asked for.
fetch_cublas() {
    pip download --no-deps --only-binary :all: --dest "$work/wheel" "$cublas"
    # shellcheck disable=SC2046
    "$work/venv/bin/python" -c '
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[2], [n for n in wheel.namelist() if any(w in n for w in sys.argv[3:])])
' "$work"/wheel/*.whl "$work/site" /include/ $($libraries && echo /lib/libcublasLt.) ||
        die "could not unpack the wheel of cuBLAS"
}

# libx.so beside libx.so.1, for linkers and cmake.
link_names() {
    for file in "$1"/lib/*.so.*; do
        ln -sf "$(basename "$file")" "${file%%.so.*}.so"
    done
}

# Whether it works is seen before it is put where it belongs.
try() {
    printf '__global__ void k(float *x) { *x = 1; }\n' >"$work/try.cu"
    "$new/bin/nvcc" -fatbin -arch=sm_80 -o "$work/try.fatbin" "$work/try.cu" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; die "the installed nvcc does not compile"; }
}

present && exit 0
need
mkdir -p "$(dirname "$folder")"
good "$folder" || [ ! -e "$folder" ] || rmdir "$folder" 2>/dev/null ||
    die "$folder: is there, but is no toolkit; remove it or name another"
work=$(mktemp -d "$folder.XXXXXX")
new=$work/site/nvidia/cu13
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
say "installing CUDA 13.0 in $folder ..."
python3 -m venv "$work/venv" || die "python3 -m venv failed"
if [ -e "$folder" ]; then # lacks but the libraries
    fetch_cublas
    mv "$new"/lib/* "$folder/lib"
    link_names "$folder"
else
    fetch_cuda
    fetch_cublas
    link_names "$new"
    try
    mv "$new" "$folder"
fi
(cd "$folder" && pwd)
