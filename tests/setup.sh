# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016
# Sourced by tests/run.sh and docs/examples/run.sh: installs what they need and this machine lacks (Debian, Ubuntu).
#
#   setup_packages GROUP...   build: compile and launch with Gloo; tests: Catch2; full: launchers and checkers of
#                             --full; pip: with which the next three download
#   setup_torch               makes MUSTER_TORCH_PYTHON, a Python that has torch
#   setup_old_torch           adds to MUSTER_OLD_TORCH_PYTHONS, Pythons that have older ones, separated by ":"
#   setup_nccl                makes MUSTER_CUDA_ROOT and MUSTER_NCCL_ROOT, each with include/ and lib/ or lib64/
#   setup_nccl_versions       prints the folders of several versions of NCCL, oldest first
#   setup_openmpi             prints the name of Open MPI's mpirun
#   setup_llvm NAME           prints the name of clang-format or clang-tidy of the version that the house uses
#
# All is quiet and nothing is downloaded when all is there.

setup_interactive=$([ -t 0 ] && echo yes || echo no)
PATH=$PATH:/usr/sbin:/sbin # Slurm's and Munge's daemons, which a user's PATH may lack
setup_cuda_roots=(/usr/local/cuda /usr)
setup_llvm_version=14 # two versions of clang-format do not agree, and clang-tidy finds more in each

setup_say() { printf 'set-up: %s\n' "$*" >&2; }
setup_has() { command -v "$1" >/dev/null 2>&1; }

setup_includes() { printf '#include <%s>\n' "$1" | "${CXX:-g++}" -std=c++20 -fsyntax-only -x c++ - 2>/dev/null; }

setup_meson_is_new() {
    local version
    version=$(meson --version 2>/dev/null) && [ "${version%%.*}" -ge 1 ]
}

setup_openmpi() {
    if setup_has mpirun.openmpi; then
        echo mpirun.openmpi
    elif setup_has mpirun && [[ $(mpirun --version 2>/dev/null) == *'Open MPI'* ]]; then
        echo mpirun
    else
        return 1
    fi
}

setup_llvm() {
    local name
    for name in "$1-$setup_llvm_version" "$1"; do
        if setup_has "$name" && [[ $("$name" --version) == *"version $setup_llvm_version."* ]]; then
            echo "$name"
            return
        fi
    done
    return 1
}

# setup_want PACKAGE WORDS PROBE...: prints "PACKAGE WORDS" when the probe fails.
setup_want() {
    local package=$1 words=$2
    shift 2
    "$@" >/dev/null 2>&1 || printf '%s %s\n' "$package" "$words"
}

setup_missing() {
    local group
    for group in "$@"; do
        case $group in
            build)
                setup_want g++ 'a C++20 compiler' setup_includes barrier
                setup_want meson 'Meson 1.0 or newer' setup_meson_is_new
                setup_want ninja-build 'Ninja' setup_has ninja
                setup_want cmake 'CMake, through which Gloo is found' setup_has cmake
                setup_want pkg-config 'pkg-config' setup_has pkg-config
                setup_want python3 'Python 3' setup_has python3
                setup_want libfmt-dev 'fmt 9 or newer' pkg-config --atleast-version=9 fmt
                setup_want libgloo-dev 'Gloo' setup_includes gloo/context.h
                setup_want openmpi-bin "Open MPI's mpirun" setup_openmpi
                ;;
            tests)
                setup_want catch2 'Catch2 3' pkg-config --atleast-version=3 catch2-with-main
                setup_want make 'make, for a program that is built with pkg-config' setup_has make
                ;;
            pip)
                setup_want python3-pip 'pip' python3 -m pip --version
                ;;
            full)
                setup_want slurm-wlm 'Slurm' eval 'setup_has slurmctld && setup_has slurmd && setup_has srun'
                setup_want munge "Munge, Slurm's authentication" setup_has munged
                setup_want mpich "MPICH's mpiexec.hydra" setup_has mpiexec.hydra
                setup_want libopenmpi-dev "Open MPI's headers" pkg-config --exists ompi-c
                setup_want clang 'clang++' setup_has clang++
                setup_want doxygen 'Doxygen, for the API reference' setup_has doxygen
                setup_want python3-venv 'Python virtual environments' python3 -c 'import ensurepip, venv'
                ;;
            benchmarks)
                setup_want valgrind "Valgrind's callgrind" setup_has valgrind
                setup_want libopenmpi-dev "Open MPI's headers" pkg-config --exists ompi-c
                ;;
            checkers) # not every distribution has them
                setup_want "clang-format-$setup_llvm_version" 'clang-format' setup_llvm clang-format
                setup_want "clang-tidy-$setup_llvm_version" 'clang-tidy' setup_llvm clang-tidy
                ;;
        esac
    done
}

setup_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ "$setup_interactive" = yes ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

setup_apt() {
    setup_as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -q -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" </dev/null 2>&1
}

setup_on_debian_12() { (. /etc/os-release && [ "$ID $VERSION_ID" = 'debian 12' ]) 2>/dev/null; }

# Debian 12 has Catch2 2; its backports have Catch2 3, on the mirror that the machine already uses.
setup_backports() {
    local targets mirror key=/usr/share/keyrings/debian-archive-keyring.gpg
    targets=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI) ' "Created-By: Packages" "Component: main")
    [[ $'\n'$targets == *$'\n''bookworm-backports '* ]] && return
    mirror=$(sed -n 's/^bookworm \([^ ]*\) .*/\1/p' <<<"$targets" | head -n 1)
    [ -n "$mirror" ] || return 0
    setup_say 'adding /etc/apt/sources.list.d/muster-bookworm-backports.list, for Catch2 3'
    [ -e "$key" ] && key="[signed-by=$key] " || key=
    echo "deb $key$mirror bookworm-backports main" |
        setup_as_root tee /etc/apt/sources.list.d/muster-bookworm-backports.list >/dev/null
}

# setup_install PACKAGE...
setup_install() {
    local package chosen=()
    if ! setup_has apt-get; then
        setup_say 'this is neither Debian nor Ubuntu: install what is listed above with your own package manager'
        return 1
    fi
    if [ "$(id -u)" -ne 0 ] && ! setup_has sudo; then
        setup_say "there is no sudo; as root run: apt-get install $*"
        return 1
    fi
    if setup_on_debian_12 && [[ " $* " == *' catch2 '* ]]; then
        setup_backports || return 1
    fi
    setup_apt update || setup_say 'apt-get update failed; going on with the package lists that are there'
    for package in "$@"; do
        if [ "$package" = catch2 ] && setup_on_debian_12; then
            chosen+=(catch2/bookworm-backports)
        elif [[ $package != clang-*-* ]] || [ -n "$(apt-cache madison "$package")" ]; then
            chosen+=("$package")
        fi
    done
    setup_apt install "${chosen[@]}"
}

setup_list() {
    local package words
    while read -r package words; do printf '  %s (package %s)\n' "$words" "$package"; done <<<"$1" >&2
}

setup_packages() {
    local missing packages log needed=("$@")
    missing=$(setup_missing "$@")
    [ -n "$missing" ] || return 0
    setup_say 'missing:'
    setup_list "$missing"
    mapfile -t packages <<<"$(cut -d ' ' -f 1 <<<"$missing")"
    log=$(mktemp)
    if ! setup_install "${packages[@]}" >"$log"; then
        tail -n 30 "$log" >&2
        setup_say 'the installation failed'
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    missing=$(setup_missing "${needed[@]/checkers/}")
    if [ -n "$missing" ]; then
        setup_say "this distribution's packages are too old or incomplete; still missing:"
        setup_list "$missing"
        return 1
    fi
    setup_say 'installed'
}

# setup_make_torch FOLDER: a virtual environment with torch. The state file tells a half-made one, which is made anew, from
# somebody else's, which is used when it has torch and never touched.
setup_make_torch() {
    local folder=$1 state=$1/.muster
    if [ -e "$folder" ] && [ ! -e "$state" ] && [ -n "$(ls -A "$folder")" ]; then
        setup_say "$folder has no torch and was not made by this script: name another folder in MUSTER_TORCH_VENV"
        return 1
    fi
    setup_say "installing torch in $folder"
    rm -rf "$folder" && mkdir -p "$folder" && echo making >"$state" && python3 -m venv "$folder" || return 1
    local pip=("$folder/bin/python" -m pip --quiet --no-input --disable-pip-version-check install)
    # The CUDA libraries are the larger part of torch; a build for the CPU does without them.
    "${pip[@]}" --no-deps torch && "${pip[@]}" filelock typing_extensions sympy networkx jinja2 fsspec || return 1
    if ! setup_imports_torch "$folder"; then
        setup_say 'this torch needs its CUDA libraries: installing them too'
        "${pip[@]}" torch && setup_imports_torch "$folder" || return 1
    fi
    echo complete >"$state"
}

setup_imports_torch() { "$1/bin/python" -c 'import torch.distributed' >/dev/null 2>&1; }

setup_torch_is_in() {
    local state
    state=$(cat "$1/.muster" 2>/dev/null)
    case $state in
        complete) "$1/bin/python" -c '' 2>/dev/null ;;
        making) return 1 ;;
        *) setup_imports_torch "$1" ;;
    esac
}

setup_torch() {
    local folder=${MUSTER_TORCH_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/muster/torch}
    if ! setup_torch_is_in "$folder"; then
        mkdir -p "$(dirname "$folder")" || return 1
        ( # two runs at once make it once
            flock 9
            setup_torch_is_in "$folder" || setup_make_torch "$folder"
        ) 9>"$folder.lock" || return 1
    fi
    export MUSTER_TORCH_PYTHON=$folder/bin/python
}

# setup_make_old_torch FOLDER VERSION: as setup_make_torch. Its CUDA libraries would be larger than all else; no GPU is
# touched, so that stand-ins do.
setup_make_old_torch() {
    local folder=$1 package
    setup_say "installing torch $2 in $folder"
    rm -rf "$folder" && mkdir -p "$folder" && echo making >"$folder/.muster" && python3 -m venv "$folder" || return 1
    local pip=("$folder/bin/python" -m pip --quiet --no-input --disable-pip-version-check --no-cache-dir install)
    "${pip[@]}" filelock typing_extensions sympy networkx jinja2 fsspec &&
        TMPDIR=$folder "${pip[@]}" --no-deps --only-binary :all: "torch==$2" || return 1
    package=$(echo "$folder"/lib/python3*/site-packages/torch)
    rm -rf "${package:?}"/{include,test}
    python3 "$(dirname "${BASH_SOURCE[0]}")/support/cuda_stubs.py" "$package" >&2 && setup_imports_torch "$folder" || return 1
    echo complete >"$folder/.muster"
}

# The first and the last that speak torch's wire protocol without PING, and the last before it had VALIDATE: 1.4 GB and
# half a minute each. There are none for a Python that is newer than they are.
setup_old_torch() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster version folder
    mkdir -p "$cache" || return 1
    for version in 2.4.1 2.2.2 2.1.2; do
        folder=$cache/torch-$version
        ( # two runs at once make it once
            flock 9
            [ "$(cat "$folder/.muster" 2>/dev/null)" = complete ] || setup_make_old_torch "$folder" "$version"
        ) 9>"$folder.lock" || setup_say "torch $version could not be made"
    done
    for folder in "$cache"/torch-[0-9]*/; do
        [ "$(cat "$folder.muster" 2>/dev/null)" = complete ] || continue
        MUSTER_OLD_TORCH_PYTHONS=${MUSTER_OLD_TORCH_PYTHONS:+$MUSTER_OLD_TORCH_PYTHONS:}${folder}bin/python
    done
    export MUSTER_OLD_TORCH_PYTHONS
}

setup_has_library() {
    local folder
    for folder in lib64 lib "lib/$(uname -m)-linux-gnu"; do
        [ ! -e "$1/$folder/lib$2.so" ] || return 0
    done
    return 1
}

setup_has_cuda() {
    local header
    for header in cuda_runtime cuda_fp16 cuda_bf16 cuda_fp8; do
        [ -e "$1/include/$header.h" ] || return 1
    done
    setup_has_library "$1" cudart
}

setup_has_nccl() {
    [ -e "$1/include/nccl.h" ] && setup_has_library "$1" nccl && # 2.18.1 is the oldest that muster compiles with
        [ "$(sed -n 's/^#define NCCL_VERSION_CODE \([0-9]*\).*/\1/p' "$1/include/nccl.h")" -ge 21801 ] 2>/dev/null
}

# setup_finds_nccl ROOT...: the first of them that has CUDA and, itself or in /usr, NCCL.
setup_finds_nccl() {
    local cuda nccl
    for cuda in "$@"; do
        if [ -z "$cuda" ] || ! setup_has_cuda "$cuda"; then continue; fi
        for nccl in "${MUSTER_NCCL_ROOT:-$cuda}" "$cuda" /usr; do
            if setup_has_nccl "$nccl"; then
                export MUSTER_CUDA_ROOT=$cuda MUSTER_NCCL_ROOT=$nccl
                return
            fi
        done
    done
    return 1
}

# The newest major version of CUDA that has packages and that this machine's driver runs.
setup_cuda_major() {
    local driver
    driver=$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA[A-Z ]*Version: *\([0-9]*\).*/\1/p' | head -n 1) || true
    [ "${driver:-13}" -lt 13 ] && echo 12 || echo 13
}

# setup_unpack FOLDER: takes headers and libraries out of the wheels in it and adds the links that a linker follows. Most
# of CUDA's headers are its C++ libraries, which nothing here includes.
setup_unpack() {
    python3 - "$1" <<'END'
import pathlib, re, shutil, sys, zipfile

folder = pathlib.Path(sys.argv[1])
left_out = "(?:cccl|cub|cuda|thrust)/|__init__"
wanted = re.compile(rf"nvidia/[^/]+/(include/(?!{left_out}).*[^/]|lib/lib(?:nccl|cudart)\.so\.\d+)")
for wheel in folder.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if match := wanted.fullmatch(name):
                target = folder / match[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    wheel.unlink()
for library in (folder / "lib").glob("*.so.*"):
    library.with_suffix("").symlink_to(library.name)
END
}

setup_wheels_are_in() { [ "$(cat "$1/.muster" 2>/dev/null)" = complete ]; }

# setup_wheels FOLDER PACKAGE...: makes FOLDER/include and FOLDER/lib from packages of the Python registry. The state
# file tells a half-made one, which is made anew. A wheel has up to 300 MB: none in pip's cache, none in a small /tmp.
setup_wheels() {
    local folder=$1 pip=(python3 -m pip --quiet --no-input --disable-pip-version-check --no-cache-dir)
    if ! setup_wheels_are_in "$folder"; then
        setup_packages pip && mkdir -p "$(dirname "$folder")" || return 1
        ( # two runs at once make it once
            flock 9
            ! setup_wheels_are_in "$folder" || exit 0
            setup_say "installing ${*:2} in $folder"
            rm -rf "$folder" && mkdir "$folder" && echo making >"$folder/.muster" &&
                TMPDIR=$folder "${pip[@]}" download --no-deps --only-binary :all: --dest "$folder" "${@:2}" >&2 &&
                setup_unpack "$folder" && setup_has_nccl "$folder" && echo complete >"$folder/.muster"
        ) 9>"$folder.lock" || { setup_say "$folder could not be made"; return 1; }
    fi
}

setup_nccl() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster major folder
    ! setup_finds_nccl "${MUSTER_CUDA_ROOT-}" "${CUDA_HOME-}" "${CUDA_PATH-}" "${setup_cuda_roots[@]}" || return 0
    major=$(setup_cuda_major)
    folder=$cache/nccl-cuda-$major
    if [ "$major" = 12 ]; then
        setup_wheels "$folder" nvidia-{nccl,cuda-runtime,cuda-nvcc,cuda-cccl}-cu12 || return 1
    else
        setup_wheels "$folder" nvidia-nccl-cu13 nvidia-cuda-{runtime,crt,cccl} || return 1
    fi
    setup_finds_nccl "$folder"
}

# The newest NCCL that the registry has; without a network, the newest that is here.
setup_newest_nccl() {
    local newest
    newest=$(python3 -m pip --no-input --disable-pip-version-check index versions nvidia-nccl-cu13 2>/dev/null |
        sed -n 's/^Available versions: \([^, ]*\).*/\1/p') || true
    if [ -z "$newest" ]; then
        newest=$(cd "$1" && grep -lsx complete nccl-[0-9]*/.muster | sort -V | tail -n 1) || true
        newest=${newest#nccl-} newest=${newest%/.muster}
        setup_say "the registry does not tell its newest NCCL; here it is ${newest:-none}"
        [ -n "$newest" ] || return 1
    fi
    echo "$newest"
}

# The first of 2.18, with which muster compiles, the first of 2.27, with which it runs, and two more.
setup_nccl_versions() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster newest version major
    setup_packages pip && mkdir -p "$cache" && newest=$(setup_newest_nccl "$cache") || return 1
    for version in $(printf '%s\n' 2.18.1 2.27.3 2.28.9 "$newest" | sort -Vu); do
        case $version in 2.18.* | 2.27.*) major=12 ;; *) major=13 ;; esac # these two have no package for CUDA 13
        setup_wheels "$cache/nccl-$version" "nvidia-nccl-cu$major==$version" || return 1
        echo "$cache/nccl-$version"
    done
}
