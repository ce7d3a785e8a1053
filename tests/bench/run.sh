#!/usr/bin/env bash
# Runs all benchmarks and writes their figures into docs/results.md; about ten minutes.
#
#   bash tests/bench/run.sh              everything
#   bash tests/bench/run.sh selection    one part: selection, process, traffic, scoring, loader,
#                                        acquisitions
#
# Build first (cmake --preset release && cmake --build --preset release). The Python rivals run in
# .venv-bench, which this script makes; the part "loader" needs PyTorch there (a large download):
# set THRESHER_BENCH_TORCH=1 to have it installed, otherwise that part is left out. With it come modAL
# and baal, the rivals of "acquisitions"; what does not install is left out of the table.
#
#   THRESHER_BUILD       build directory (default: build)
#   THRESHER_BENCH_DATA  where the scores are written, 5 GB (default: a directory under TMPDIR)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${THRESHER_BUILD:-$root/build}
venv=$root/.venv-bench

if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
if ! "$venv/bin/python" -c 'import numpy, h5py' 2>/dev/null; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check numpy h5py
fi
if [ "${THRESHER_BENCH_TORCH:-0}" = 1 ] && ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check torch
fi

rivals=(modAL-python)
# baal without the training frameworks that its heuristics do not use.
rivals_alone=(baal torchmetrics lightning-utilities structlog tqdm packaging pillow torchvision)
if [ "${THRESHER_BENCH_TORCH:-0}" = 1 ] && ! "$venv/bin/python" -c 'import modAL, baal' 2>/dev/null; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${rivals[@]}" || true
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${rivals_alone[@]}" || true
fi

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec "$venv/bin/python" "$root/tests/bench/run.py" --build "$build" --results "$root/docs/results.md" "$@"
