#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# benchmarks/run.sh NAME   installs what is missing, builds, measures, prints a JSON object a line, and writes them with
# the machine and the versions to benchmarks/results/NAME-DATE.json.
#
#   rendezvous  time of the roll call of 8 to 1024 ranks beside torch's store, Gloo's file store and bare sockets; of a
#               whole mesh under mpirun beside MPI_Init and torch's process group; memory of the server
#   wrapper     instructions and allocations of a call on muster's NCCL communicator beside the raw NCCL call
#   topology    time and memory of a question to a topology, in worlds of 64 to 10 million ranks
#   compile     time that a compiler takes for a header of muster, beside what it includes of others, and torch's headers
#
# MUSTER_BUILD_DIR names another folder than build/, MUSTER_CUDA_ROOT and MUSTER_NCCL_ROOT a CUDA toolkit and NCCL,
# MUSTER_TORCH_VENV a Python environment that has torch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/setup.sh

build_dir=${MUSTER_BUILD_DIR:-build}/benchmarks

# build TARGET...: optimised, whatever the environment says, with `options`; only set up without a target. The output is
# shown when it fails.
build() {
    local log again=
    log=$(mktemp)
    [ ! -e "$build_dir/build.ninja" ] || again=--reconfigure
    if ! {
        CXXFLAGS='' meson setup $again "$build_dir" -Doptimization=2 -Ddebug=true -Dbenchmarks=enabled \
            -Dtests=disabled -Dexamples=disabled "${options[@]}" && { [ $# -eq 0 ] || ninja -C "$build_dir" "$@"; }
    } >"$log" 2>&1 </dev/null; then
        tail -n 200 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Prints the folder of the Python package torch; nothing where there is none.
torch_folder() {
    if setup_torch; then
        "$MUSTER_TORCH_PYTHON" -c \
            'import importlib.util; print(*importlib.util.find_spec("torch").submodule_search_locations)'
    else
        echo "torch is not here and could not be installed: $1" >&2
    fi
}

rendezvous() {
    local torch
    setup_packages build benchmarks
    torch=$(torch_folder 'its numbers will be null')
    [ -z "$torch" ] || setup_torch
    options=(-Dnccl=disabled -Dgloo=enabled -Dtorch_root="$torch")
    build rendezvous
    python3 benchmarks/rendezvous/rendezvous.py "$build_dir" "$(setup_openmpi)" "${torch:+$MUSTER_TORCH_PYTHON}"
}

wrapper() {
    setup_packages build benchmarks
    setup_nccl
    options=(-Dnccl=enabled -Dgloo=auto -Dtorch_root= -Dcudart_root="$MUSTER_CUDA_ROOT" -Dnccl_root="$MUSTER_NCCL_ROOT")
    build benchmarks/wrapper benchmarks/wrapper-allocations
    python3 benchmarks/wrapper.py "$build_dir"
}

topology() {
    setup_packages build benchmarks
    options=(-Dnccl=disabled -Dgloo=disabled -Dtorch_root=)
    build benchmarks/topology
    python3 benchmarks/topology.py "$build_dir"
}

compile() {
    local torch
    setup_packages build benchmarks
    setup_nccl
    torch=$(torch_folder 'its headers will be left out')
    options=(-Dnccl=enabled -Dgloo=enabled -Dtorch_root= -Dcudart_root="$MUSTER_CUDA_ROOT" -Dnccl_root="$MUSTER_NCCL_ROOT")
    build
    python3 benchmarks/compile.py "$build_dir" ${torch:+"$torch"}
}

case "$#:${1-}" in
    1:rendezvous | 1:wrapper | 1:topology | 1:compile) "$1" ;;
    *) sed -n '3,13s/^# \{0,1\}//p' benchmarks/run.sh >&2; exit 2 ;;
esac
