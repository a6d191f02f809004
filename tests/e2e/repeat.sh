#!/bin/sh
# repeat.sh TIMES COMMAND..: succeeds where every run of the command does.
set -eu
times=$1
shift
while [ "$times" -gt 0 ]; do
    "$@"
    times=$((times - 1))
done
