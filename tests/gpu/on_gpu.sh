#!/bin/sh
# on_gpu.sh COMMAND..: the command, or status 77 (skipped) where there is no GPU.
[ "${HI_GPU_PRESENT-}" = yes ] || bin/gpu_present >/dev/null || exit 77
exec "$@"
