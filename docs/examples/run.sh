#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/examples/run.sh [--tp N] [--dp N] [--cp N] [--ranks N] [--backend gloo|nccl] [--train]
#
# Builds quickstart.cpp, or train_3d.cpp with --train, and launches it with Open MPI. An extent that is not given is 2. With
# all three, their product is launched, else 8, and the program finds out what does not fit. --ranks launches another
# number. The backend is NCCL where each rank can have a GPU of its own, else Gloo; --train needs nvcc then. The exit
# status is the program's.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tests/setup.sh"

declare -A extents=([tp]=2 [dp]=2 [cp]=2)
given=''
ranks=
backend=
program=quickstart
while [ $# -gt 0 ]; do
    if [ "$1" = --train ]; then
        program=train_3d
        shift
        continue
    fi
    case "$1 ${2-}" in
        '--backend gloo' | '--backend nccl') backend=$2 why='as asked' ;;
        *)
            if ! [[ $1 =~ ^--(tp|dp|cp|ranks)$ && ${2-} =~ ^[1-9][0-9]{0,5}$ ]]; then
                sed -n '3,8s/^# \{0,1\}//p' "$root/docs/examples/run.sh" >&2
                exit 2
            fi
            if [ "$1" = --ranks ]; then ranks=$2; else extents[${1#--}]=$2 given+=$1; fi
            ;;
    esac
    shift 2
done
if [ -z "$ranks" ]; then
    ranks=8
    [[ $given != *--tp* || $given != *--dp* || $given != *--cp* ]] || ranks=$((extents[tp] * extents[dp] * extents[cp]))
fi
arguments=(--tp "${extents[tp]}" --dp "${extents[dp]}" --cp "${extents[cp]}")
if [ -z "$backend" ]; then
    gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ') || true
    [ "$gpus" -ge "$ranks" ] && backend=nccl || backend=gloo
    why="$gpus GPUs for $ranks ranks"
fi
echo "backend: $backend ($why)" >&2

setup_packages build
if [ "$backend" = nccl ]; then
    setup_nccl
    program+=_nccl
    options=(-Dnccl=enabled -Dcudart_root="$MUSTER_CUDA_ROOT" -Dnccl_root="$MUSTER_NCCL_ROOT")
else
    options=(-Dnccl=disabled -Dgloo=enabled)
fi

build_dir=$root/build/examples-$backend
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! {
    { [ -e "$build_dir/build.ninja" ] ||
        meson setup "$build_dir" "$root" -Dtests=disabled -Dexamples=enabled "${options[@]}"; } &&
        meson compile -C "$build_dir" $program
} >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
fi

as_root=()
[ "$(id -u)" -ne 0 ] || as_root=(--allow-run-as-root)
"$(setup_openmpi)" "${as_root[@]}" --oversubscribe -n "$ranks" \
    "$build_dir/docs/examples/$program" "${arguments[@]}" </dev/null
