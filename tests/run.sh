#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/run.sh [--full]   installs what is missing, builds, runs every test and ends in "N passed, N failed, N skipped".
#
# --full adds every launcher (a missing one fails instead of being skipped), three older versions of torch, clang++,
# four versions of NCCL, the sanitizers, clang-format and clang-tidy. MUSTER_BUILD_DIR names another folder than build/,
# MUSTER_TORCH_VENV a Python environment that has torch, MUSTER_CUDA_ROOT and MUSTER_NCCL_ROOT a CUDA toolkit and NCCL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/setup.sh

case "$*" in
    '') full=no ;;
    --full) full=yes ;;
    *) sed -n '3,7s/^# \{0,1\}//p' tests/run.sh >&2; exit 2 ;;
esac

build_dir=${MUSTER_BUILD_DIR:-build}
results=$(mktemp)
doing='start' # what an unexpected end is counted as

record() { echo "$*" >>"$results"; }

finish() {
    local status=$? passed failed skipped
    [ -z "$doing" ] || record failed "$doing"
    passed=$(grep -c '^passed ' "$results") || true
    failed=$(grep -c '^failed ' "$results") || true
    skipped=$(grep -c '^skipped ' "$results") || true
    echo
    sed -n 's/^failed /failed: /p' "$results"
    rm -f "$results"
    echo "$passed passed, $failed failed, $skipped skipped"
    if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then
        [ "$status" -ne 0 ] || status=1
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# step NAME COMMAND...: counts as one test; shows its output only when it fails.
step() {
    local name=$1 log start=$SECONDS result=passed
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || result=failed
    echo "$result $name ($((SECONDS - start)) s)"
    record "$result" "$name"
    [ $result = passed ] || tail -n 200 "$log"
    rm -f "$log"
    [ $result = passed ]
}

# build FOLDER SUITES MESON_OPTIONS...: what these suites need; all where none is named.
build() {
    local folder=$1 suites=$2 again='' targets=()
    [ ! -e "$folder/build.ninja" ] || again=--reconfigure
    meson setup $again "$folder" "${@:3}" "${nccl_options[@]}" || return 1
    if [ -n "$suites" ]; then
        # shellcheck disable=SC2086 # its words
        suites=$(python3 tests/support/suite_targets.py "$folder" $suites) || return 1
        [ -n "$suites" ] || return 1
        mapfile -t targets <<<"$suites"
    fi
    ninja -C "$folder" "${targets[@]}"
}

# run_suites LABEL FOLDER SUITES MESON_TEST_ARGUMENTS...: each test counts.
run_suites() {
    local label=$1 folder=$2 suites=$3 logs=$2/meson-logs status=0 start=$SECONDS
    echo "-- $label"
    rm -f "$logs"/testlog*.json
    # shellcheck disable=SC2046,SC2086 # their words
    meson test -C "$folder" --no-rebuild --print-errorlogs $([ -z "$suites" ] || printf -- '--suite %s ' $suites) \
        "${@:4}" </dev/null || status=$?
    python3 tests/support/tally.py "$label" "$logs" "$status" >>"$results"
    echo "-- $label: $((SECONDS - start)) s"
}

# Newer kernels place memory where the thread sanitizer of older compilers does not expect it.
fixed_addresses() { setarch -R true 2>/dev/null && echo 'setarch -R' || echo env; }

check_nccl_versions() {
    local folders
    folders=$(setup_nccl_versions) || return 1
    mapfile -t folders <<<"$folders"
    python3 tests/nccl/versions.py "${folders[@]}"
}

check_with() {
    if setup_llvm "$1" >/dev/null; then
        step "$1" "$2" || true
    else
        echo "skipped $1: version $setup_llvm_version is not there, and others do not agree with it"
        record skipped "$1"
    fi
}

check_format() {
    find include tests docs benchmarks \( -name '*.hpp' -o -name '*.cpp' \) -print0 |
        xargs -0 "$(setup_llvm clang-format)" --dry-run -Werror
}

# One unit that includes every header.
check_tidy() {
    "$(setup_llvm clang-tidy)" --quiet -p "$build_dir/clang" "$build_dir/clang/tests/structure/all_headers_a.cpp"
}

doing='set-up'
if [ $full = yes ]; then
    export MUSTER_FULL=1
    setup_packages build tests pip full checkers
    setup_torch || record failed 'set-up: torch'
    setup_old_torch || record failed 'set-up: older versions of torch'
else
    setup_packages build tests
fi
nccl_options=()
if setup_nccl; then
    nccl_options=(-Dcudart_root="$MUSTER_CUDA_ROOT" -Dnccl_root="$MUSTER_NCCL_ROOT")
elif [ $full = yes ]; then
    record failed 'set-up: NCCL'
else
    echo 'skipped NCCL: it is not here and could not be downloaded'
    record skipped 'NCCL'
fi

doing='default build'
if step 'build' build "$build_dir" '' --buildtype=debug; then
    run_suites 'default' "$build_dir" ''
fi

if [ $full = yes ]; then
    doing='nccl versions'
    step 'nccl versions' check_nccl_versions || true

    doing='clang++'
    suites='unit static headers compile-fail fuzz'
    if CXX=clang++ step 'clang++: build' build "$build_dir/clang" "$suites" --buildtype=release; then
        run_suites 'clang++' "$build_dir/clang" "$suites"
    fi

    # With the sanitizers clang++ compiles in half of g++'s time. Meson's b_lundef does not go with its sanitizers.
    doing='address and undefined sanitizers'
    suites='unit multiprocess'
    if CXX=clang++ step 'asan: build' build "$build_dir/asan" "$suites" --buildtype=debug \
        -Db_sanitize=address,undefined -Db_lundef=false; then
        ASAN_OPTIONS=halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
            LSAN_OPTIONS="suppressions=$PWD/tests/support/leaks.supp:print_suppressions=0" \
            run_suites 'asan' "$build_dir/asan" "$suites" --timeout-multiplier 3
    fi

    # Gloo is not built for the thread sanitizer; what remains is all that runs in one process.
    doing='thread sanitizer'
    if CXX=clang++ step 'tsan: build' build "$build_dir/tsan" unit --buildtype=debug \
        -Db_sanitize=thread -Db_lundef=false -Dgloo=disabled; then
        TSAN_OPTIONS=halt_on_error=1 run_suites 'tsan' "$build_dir/tsan" unit --timeout-multiplier 3 \
            --wrapper "$(fixed_addresses)"
    fi

    doing='docs/examples/run.sh'
    step 'docs/examples/run.sh' docs/examples/run.sh || true

    doing='clang-format'
    check_with clang-format check_format
    doing='clang-tidy'
    check_with clang-tidy check_tidy
fi
doing=
