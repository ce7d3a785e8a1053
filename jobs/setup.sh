#!/usr/bin/env bash
# Makes a machine ready for Thresher: installs the packages that are missing, makes .venv with LibTorch, configures and
# builds. Sourced by quickstart.sh and tests/run.sh; `bash jobs/setup.sh` does all of it by itself.
#
#   THRESHER_BUILD   build directory (default: build)
#   THRESHER_VENV    Python environment (default: .venv)
#   THRESHER_TORCH   a LibTorch prefix to use instead of the wheel
#   THRESHER_WERROR  ON: compiler warnings are errors (where the build directory is configured)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${THRESHER_BUILD:-$root/build}
venv=${THRESHER_VENV:-$root/.venv}
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # without which mpirun refuses
fi
# Open MPI's hwloc would look for displays, and resolve localhost for each: seconds where /etc/hosts lacks it.
export HWLOC_COMPONENTS=${HWLOC_COMPONENTS:--gl}

# Debian 12 and Ubuntu 24.04 call these the same.
packages=(g++ cmake ninja-build git pkg-config libopenmpi-dev openmpi-bin libhdf5-openmpi-dev
          libcli11-dev catch2 libspdlog-dev libfmt-dev nlohmann-json3-dev libpugixml-dev librandom123-dev libhwy-dev
          libxxhash-dev libsentencepiece-dev libjpeg-dev libpng-dev zlib1g-dev python3 python3-venv python3-pip
          ccache mold dataset-fashion-mnist)

say() { printf '\n== %s\n' "$*"; }
show() { printf '   $ %s\n' "$*"; }

# run <command...>: prints the command so that it can be pasted, then runs it.
run() {
    local word words=()
    for word in "$@"; do
        [[ $word =~ ^[[:alnum:]_./,:=@%+-]+$ ]] || printf -v word %q "$word"
        words+=("$word")
    done
    show "${words[*]}"
    "$@"
}

# unless_made <path> <command...>: runs the command, unless what it makes is there already.
unless_made() {
    [ -e "$1" ] || run "${@:2}"
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

# What a machine without apt, root or sudo must bring, from modules for example; names what it lacks.
check_by_hand() {
    local lacking=() name
    for name in g++ cmake ninja mpicxx mpirun python3; do
        command -v "$name" >/dev/null || lacking+=("$name")
    done
    command -v h5pcc >/dev/null || command -v h5pcc.openmpi >/dev/null || lacking+=("parallel HDF5 (h5pcc)")
    if [ ${#lacking[@]} -gt 0 ]; then
        printf 'thresher setup: these are missing and cannot be installed without root or sudo:\n' >&2
        printf '  %s\n' "${lacking[@]}" >&2
    fi
    cat >&2 <<'TEXT'
On a cluster, load the site's modules first, for example
  module load gcc/12 cmake openmpi hdf5/1.14-mpi python
and ask for, or build into $HOME/.local, the libraries
  CLI11 Catch2 spdlog fmt nlohmann-json pugixml Random123 Highway xxHash SentencePiece libjpeg libpng zlib
(docs/install.md has the Spack line that brings them all).
TEXT
    [ ${#lacking[@]} -eq 0 ]
}

install_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        check_by_hand || exit 1
        return
    fi
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] && return
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            sudo=(sudo)
        elif command -v sudo >/dev/null && [ -t 0 ]; then
            sudo=(sudo)
        else
            printf 'thresher setup: neither root nor sudo. These packages are missing; ask your administrator for\n' >&2
            printf '  apt-get install %s\n' "${missing[*]}" >&2
            check_by_hand || exit 1
            printf 'thresher setup: compilers and libraries were found without them; going on\n' >&2
            return
        fi
    fi
    say "Installing ${#missing[@]} missing packages"
    show "apt-get install -y --no-install-recommends ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_python() {
    [ -x "$venv/bin/python" ] || { say "Making the Python environment $venv"; python3 -m venv "$venv"; }
    if ! "$venv/bin/python" -c 'import h5py, numpy, matplotlib' 2>/dev/null; then
        show "$venv/bin/pip install h5py numpy matplotlib"
        "$venv/bin/pip" install -q --disable-pip-version-check h5py numpy matplotlib
    fi
    if [ -z "${THRESHER_TORCH:-}" ] && ! "$venv/bin/python" -c '
import importlib.metadata as m; m.version("torch"); m.version("nvidia-cuda-runtime")' 2>/dev/null; then
        say "Installing LibTorch (the wheel torch 2.11.0, without its CUDA packages)"
        show "$venv/bin/pip install --no-deps torch==2.11.0 nvidia-cuda-cupti nvidia-cuda-runtime"
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps torch==2.11.0 nvidia-cuda-cupti \
            nvidia-cuda-runtime
    fi
    if [ ! -x "$venv/bin/thresher-policy" ]; then
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -e "$root/jobs/report"
    fi
}

# build_target <ninja target>: configures where needed, then builds.
build_target() {
    local options=()
    [ -n "${THRESHER_TORCH:-}" ] && options+=("-DCMAKE_PREFIX_PATH=$THRESHER_TORCH")
    [ -n "${THRESHER_WERROR:-}" ] && options+=("-DTHRESHER_WERROR=$THRESHER_WERROR")
    if [ ! -f "$build/build.ninja" ]; then
        say "Configuring"
        show "cmake --preset release"
        (cd "$root" && cmake --preset release -B "$build" "${options[@]}" >"$build.configure.log" 2>&1) ||
            { cat "$build.configure.log" >&2; exit 1; }
        rm -f "$build.configure.log"
    fi
    say "Building ($1)"
    # As many compilers as cores: more of them at once, ninja's default, take a quarter more of each one's time. (nproc
    # would take OMP_NUM_THREADS for their number.)
    local cores
    cores=$(env -u OMP_NUM_THREADS nproc)
    show "ninja -C $build -j $cores $1"
    ninja -C "$build" -j "$cores" "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    install_packages
    install_python
    build_target all
    say "Ready: $build/thresher --help"
fi
