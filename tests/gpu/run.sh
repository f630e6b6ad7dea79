#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/gpu/run.sh [--stand-in FOLDER]   builds and runs all that needs a GPU, on one NVIDIA GPU, in under 8 minutes.
#
# One line for each part, then "N passed, N failed, N skipped"; all figures are in
# ${OUT:-benchmarks/results}/gpu-<GPU>-<date>.json. Exits with 77 where there is no GPU, CUDA, NCCL or fmt.
# MUSTER_CUDA_ROOT, MUSTER_NCCL_ROOT and MUSTER_FMT_INCLUDE say where to look first, MUSTER_BUILD_DIR names another
# folder than build/, MUSTER_JOBS how many compilers run at once.
#
# --stand-in tests this script itself without a GPU: FOLDER has libstandin.so in place of NCCL and the CUDA runtime. The
# figures, which say nothing about a GPU then, go to a temporary folder.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

stand_in=
case ${1-} in
    '') ;;
    --stand-in) stand_in=$(cd "${2:?the folder of libstandin.so}" && pwd) || exit 1 ;;
    *) sed -n '3,11s/^# \{0,1\}//p' tests/gpu/run.sh >&2; exit 2 ;;
esac

missing() { echo "skipped: $*"; exit 77; }
quietly() { "$@" 2>/dev/null; }

# library ROOT NAME: the file of the shared library, whose name may have a version behind it as in Python's packages.
library() {
    local folder file
    for folder in lib64 lib "lib/$(uname -m)-linux-gnu" "targets/$(uname -m)-linux/lib"; do
        for file in "$1/$folder/lib$2.so" "$1/$folder/lib$2.so".*; do
            [ ! -e "$file" ] || { echo "$file"; return; }
        done
    done
    return 1
}

# root HEADER LIBRARY ROOT...: the first that has both; without a GPU the header is enough.
root() {
    local header=$1 name=$2 folder
    for folder in "${@:3}"; do
        [ -e "$folder/include/$header" ] || continue
        [ -n "$stand_in" ] || library "$folder" "$name" >/dev/null || continue
        echo "$folder"
        return
    done
    return 1
}

# The folders of Python's NVIDIA packages: nvidia/nccl, nvidia/cu13, ...
python_folders() {
    quietly python3 -c 'import glob, nvidia; [print(f) for p in nvidia.__path__ for f in sorted(glob.glob(p + "/*"))]'
}

# system_include ROOT: -isystem of what the compiler does not search anyway.
system_include() { [ "$1" = /usr ] || [ "$1" = /usr/local ] || printf '%s\n' -isystem "$1/include"; }

# ---- what is here

command -v g++ >/dev/null || missing 'there is no g++'
command -v python3 >/dev/null || missing 'there is no python3'
if [ -z "$stand_in" ]; then
    [[ $(quietly nvidia-smi -L) == GPU\ * ]] || missing 'nvidia-smi lists no GPU'
    mode=$(nvidia-smi --query-gpu=compute_mode --format=csv,noheader | head -n 1)
    [ "$mode" = Default ] || missing "the GPU's compute mode is $mode: several processes cannot share it"
fi
mapfile -t packages < <(python_folders)
cuda_roots=("${MUSTER_CUDA_ROOT-}" "${CUDA_HOME-}" /usr/local/cuda /usr "${packages[@]}")
cuda=$(root cuda_fp8.h cudart "${cuda_roots[@]}") ||
    missing 'no CUDA runtime: MUSTER_CUDA_ROOT names no folder with cuda_fp8.h and libcudart.so'
nccl=$(root nccl.h nccl "${MUSTER_NCCL_ROOT-}" "$cuda" "${cuda_roots[@]}") ||
    missing 'no NCCL: MUSTER_NCCL_ROOT names no folder with nccl.h and libnccl.so'

if [ -n "${MUSTER_FMT_INCLUDE-}" ]; then
    fmt=(-DFMT_HEADER_ONLY -isystem "$MUSTER_FMT_INCLUDE")
elif quietly pkg-config --exists fmt; then
    read -ra fmt <<<"$(pkg-config --cflags --libs fmt)"
elif [ -e /usr/include/fmt/format.h ]; then
    fmt=(-DFMT_HEADER_ONLY)
else
    missing 'no fmt: MUSTER_FMT_INCLUDE names no folder with fmt/format.h'
fi

build=${MUSTER_BUILD_DIR:-build}/gpu
out=${OUT:-benchmarks/results}
if [ -n "$stand_in" ]; then
    build+=-stand-in
    out=$(mktemp -d)
    libraries=("-L$stand_in" -lstandin "-Wl,-rpath,$stand_in")
    export MUSTER_GPU_STAND_IN=1
else
    nccl_library=$(library "$nccl" nccl)
    cuda_library=$(library "$cuda" cudart)
    libraries=("$nccl_library" "$cuda_library"
        "-Wl,-rpath,$(dirname "$(realpath "$nccl_library")"):$(dirname "$(realpath "$cuda_library")")")
fi
mapfile -t includes < <(system_include "$nccl"; [ "$nccl" = "$cuda" ] || system_include "$cuda")
flags=(-std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Iinclude "${includes[@]}" -pthread)

# ---- build

warned= # programs with warnings

# up_to_date PROGRAM COMMAND: the same command made it, from sources that are older.
up_to_date() {
    local file files
    [ -x "$1" ] && [ -e "$1.d" ] && [ "$(quietly cat "$1.command")" = "$2" ] || return 1
    read -rd '' -a files < <(sed 's/^[^:]*://; s/\\$//' "$1.d")
    for file in "${files[@]}"; do
        [ "$file" -ot "$1" ] || return 1
    done
}

# compile SOURCE
compile() {
    local program command
    program=$build/$(basename "$1" .cpp)
    command="g++ ${flags[*]} $1 ${fmt[*]} ${libraries[*]} -ldl"
    up_to_date "$program" "$command" && return
    rm -f "$program"
    g++ "${flags[@]}" -MMD -MF "$program.d" "$1" "${fmt[@]}" "${libraries[@]}" -ldl -o "$program" \
        >"$program.log" 2>&1 && echo "$command" >"$program.command"
}

# compile_cuda SOURCE: with nvcc; nothing where there is none.
compile_cuda() {
    local program nvcc
    program=$build/$(basename "$1" .cpp)
    if [ -n "$stand_in" ]; then
        local flags=("${flags[@]}" -DEXAMPLE_CPU_REACHES_GPU_MEMORY)
        compile "$1"
        return
    fi
    nvcc=$(PATH=$PATH:$cuda/bin type -P nvcc) || return 0
    rm -f "$program"
    "$nvcc" -x cu -std=c++20 --extended-lambda -O2 -DFMT_USE_CONSTEXPR=1 -Iinclude "${includes[@]}" "${fmt[@]}" \
        -c "$1" -o "$program.o" >"$program.log" 2>&1 &&
        g++ "$program.o" "${fmt[@]}" "${libraries[@]}" -ldl -pthread -o "$program" >>"$program.log" 2>&1
}

build_all() {
    local source program failed=0
    local sources=(tests/gpu/*.cpp tests/support/worker.cpp tests/support/store_server.cpp docs/examples/quickstart.cpp)
    for source in "${sources[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "${MUSTER_JOBS:-$(nproc)}" ]; do wait -n; done
        compile "$source" &
    done
    compile_cuda docs/examples/train_3d.cpp
    wait
    head -n 40 "$build/train_3d.log" 2>/dev/null # without the program its part says so
    for source in "${sources[@]}"; do
        program=$build/$(basename "$source" .cpp)
        if [ ! -x "$program" ]; then
            failed=1
            head -n 40 "$program.log"
        elif [ -s "$program.log" ]; then
            warned+=" $(basename "$program")" # by a compiler that is newer than the code: no reason to measure nothing
            head -n 40 "$program.log"
        fi
    done
    return $failed
}

# ---- run

passed=0 failed=0 skipped=0
all_limit=${MUSTER_GPU_LIMIT:-465} # seconds; the lines after the last part take a moment

# part NAME LIMIT: one line, and all that was said when it failed.
part() {
    local name=$1 limit=$2 log=$build/parts/$1.log start=$SECONDS status=0
    [ -z "$stand_in" ] || limit=$((3 * limit)) # on a small machine
    [ "$limit" -le $((all_limit - SECONDS)) ] || limit=$((all_limit - SECONDS))
    if [ "$limit" -lt 5 ]; then
        status=77
        echo 'no time left' >"$log"
    else
        timeout --kill-after=5 "$limit" python3 tests/gpu/parts.py "$name" "$build" >"$log" 2>&1 </dev/null || status=$?
    fi
    case $status in
        0) passed=$((passed + 1)) && echo "ok      $name ($((SECONDS - start)) s)" ;;
        77) skipped=$((skipped + 1)) && echo "skipped $name: $(tail -n 1 "$log")" ;;
        *)
            failed=$((failed + 1))
            echo "FAILED  $name ($((SECONDS - start)) s)"
            [ $status -ne 124 ] && [ $status -ne 137 ] || echo "it ran past its $limit s" >>"$log"
            tail -n 60 "$log" | sed 's/^/        /'
            ;;
    esac
    printf '%s\n' "$status" "$((SECONDS - start))" >"$build/parts/$name.status"
}

rm -rf "$build/parts"
mkdir -p "$build/parts" "$out"
[ -z "$stand_in" ] || all_limit=$((3 * all_limit))
start=$SECONDS
if ! build_all; then
    echo "FAILED  build ($((SECONDS - start)) s)"
    echo '0 passed, 1 failed, 0 skipped'
    exit 1
fi
echo "built in $((SECONDS - start)) s"
"$build/machine" >"$build/parts/machine.log" 2>&1
case $? in
    0) ;;
    77) missing "$(tail -n 1 "$build/parts/machine.log")" ;;
    *) cat "$build/parts/machine.log" ;;
esac

if [ -z "$warned" ]; then
    passed=$((passed + 1)) && echo 'ok      no warnings'
else
    failed=$((failed + 1)) && echo "FAILED  no warnings: there are some in$warned"
fi
# What there is only one of comes before what only adds to the same.
part alone 60
part several-ranks 120
part operations-2x1x1 80
part shared-gpu 30
for mode in killed unjoined unwinding thread; do part "abort-$mode" 35; done
part missing-rank 45
part init-times 160
for mesh in 2x2x1 1x2x1 2x1x2; do part "operations-$mesh" 80; done
part training 90
part many-meshes 270
part launchers 120

python3 tests/gpu/parts.py report "$build" "$out" || failed=$((failed + 1))
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
