#!/bin/sh
# mutate.sh - puts each fault of mutations.txt into a copy of the kernels; its test must fail.
#
#   mutate.sh short|all CC CXX     in a folder for scratch; msan needs clang++, else it is left out
#
# Every (test, shape, build) must also pass on the kernels as they are.
set -eu
kind=$1 cc=$2 cxx=$3
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
work=mutations.$kind
kernel_options="-x c++ -std=c++17 -w -fno-exceptions -fno-rtti -fno-strict-aliasing -ffp-contract=off"
export TSAN_OPTIONS=halt_on_error=1 EMU_SEED=0

# Compilers, options and the machine's announcement of a build.
use_build() {
    c=$cc cplus=$cxx
    case $1 in
    plain) options="-O1" announce=EMU_PLAIN ;;
    asan) options="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" announce=EMU_ASAN ;;
    tsan) options="-O1 -g -fsanitize=thread" announce=EMU_TSAN ;;
    msan) options="-O1 -g -fsanitize=memory" announce=EMU_MSAN c=clang cplus=clang++ ;;
    *) echo "no build '$1'" >&2; exit 1 ;;
    esac
}

# program OUT KERNELS TEST SHAPE BUILD: the test over the kernels in that folder.
program() {
    use_build "$5"
    include="-I$here/shapes/$4 -I$2 -I$root/tests/emu -I$here"
    machine=$work/machine.$5.o
    test_objects=$work/$3.$4.$5.o
    if [ ! -f "$machine" ]; then
        for part in emu emu_warp emu_sm90; do
            $c -std=gnu11 -O2 -D_GNU_SOURCE -D$announce -I"$root/tests/emu" -I"$root/runtime/cuda" \
                -c "$root/tests/emu/$part.c" -o "$work/part.$part.o"
        done
        ld -r "$work/part.emu.o" "$work/part.emu_warp.o" "$work/part.emu_sm90.o" -o "$machine"
    fi
    if [ ! -f "$test_objects" ]; then
        objects=
        for source in "$here/test_$3" "$here/scene" "$here/dev_emu" "$2/tensor_map"; do
            object=$work/part.${source##*/}.o
            $c -std=gnu11 -D_GNU_SOURCE $options $include -I"$root/tests/emu/include" \
                -c "$source.c" -o "$object"
            objects="$objects $object"
        done
        ld -r $objects -o "$test_objects"
    fi
    $cplus $kernel_options $options $include -c "$2/kernels.cu" -o "$work/kernels.o" || return
    $c $options "$test_objects" "$work/kernels.o" "$machine" -rdynamic -lcmocka -lm -lpthread -ldl \
        -o "$1"
}

# Does it pass, within a time that a fault may exceed?
passes() {
    timeout 120 "$1" >"$work/output" 2>&1
}

mutate() {
    file=$1 test=$2 shape=$3 build=$4 fault=$5
    rm -rf "$work/kernels"
    cp -r "$root/runtime/cuda" "$work/kernels"
    if [ ! -f "$work/sound.$test.$shape.$build" ]; then
        program "$work/sound.$test.$shape.$build" "$work/kernels" "$test" "$shape" "$build"
        passes "$work/sound.$test.$shape.$build" || {
            echo "$test $shape $build fails without a fault:" && tail -n 20 "$work/output"
            return 1
        }
    fi
    sed "$fault" "$root/runtime/cuda/$file" >"$work/kernels/$file"
    if cmp -s "$root/runtime/cuda/$file" "$work/kernels/$file"; then
        echo "changes nothing: $file: $fault"
        return 1
    fi
    # the test takes sizes from geometry.h, and has the host's maps: it is made anew for a fault
    # there, and again after it
    case $file in geometry.h | tensor_map.c) own=true ;; *) own=false ;; esac
    ! $own || rm -f "$work/$test.$shape.$build.o"
    program "$work/faulty" "$work/kernels" "$test" "$shape" "$build" || {
        echo "does not compile: $file: $fault"
        return 1
    }
    ! $own || rm -f "$work/$test.$shape.$build.o"
    if passes "$work/faulty"; then
        echo "NOT FOUND by $test $shape $build: $file: $fault"
        return 1
    fi
    echo "found by $test $shape $build: $file: $fault"
}

rm -rf "$work"
mkdir -p "$work"
tried=0 bad=0
while read -r when file test shape build fault; do
    case $when in '' | '#'*) continue ;; esac
    [ "$kind" = all ] || [ "$when" = "$kind" ] || continue
    [ "$build" != msan ] || command -v clang++ >/dev/null || continue
    tried=$((tried + 1))
    mutate "$file" "$test" "$shape" "$build" "$fault" || bad=$((bad + 1))
done <"$here/mutations.txt"
echo "$tried faults, $bad not found"
[ "$tried" -gt 0 ] && [ "$bad" -eq 0 ]
