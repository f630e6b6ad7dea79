#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# benchmarks/run.sh NAME   installs what is missing, builds, measures, prints a JSON object a line, and writes them with
# the machine and the versions to benchmarks/results/NAME-DATE.json.
#
#   wrapper   instructions and allocations of a call on muster's NCCL communicator beside the raw NCCL call
#
# MUSTER_BUILD_DIR names another folder than build/, MUSTER_CUDA_ROOT and MUSTER_NCCL_ROOT a CUDA toolkit and NCCL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/setup.sh

build_dir=${MUSTER_BUILD_DIR:-build}/benchmarks

# build TARGET...: optimised, whatever the environment says; the output is shown when it fails.
build() {
    local log again=
    log=$(mktemp)
    [ ! -e "$build_dir/build.ninja" ] || again=--reconfigure
    if ! {
        CXXFLAGS='' meson setup $again "$build_dir" -Doptimization=2 -Ddebug=true -Dbenchmarks=enabled \
            -Dtests=disabled -Dexamples=disabled -Dnccl=enabled \
            -Dcudart_root="$MUSTER_CUDA_ROOT" -Dnccl_root="$MUSTER_NCCL_ROOT" && ninja -C "$build_dir" "$@"
    } >"$log" 2>&1 </dev/null; then
        tail -n 200 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

wrapper() {
    setup_packages build benchmarks
    setup_nccl
    build benchmarks/wrapper benchmarks/wrapper-allocations
    python3 benchmarks/wrapper.py "$build_dir"
}

case "$#:${1-}" in
    1:wrapper) "$1" ;;
    *) sed -n '3,8s/^# \{0,1\}//p' benchmarks/run.sh >&2; exit 2 ;;
esac
