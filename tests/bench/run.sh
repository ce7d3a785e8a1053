#!/usr/bin/env bash
# Builds, runs all benchmarks and writes their figures into docs/results.md; about twenty minutes.
#
#   bash tests/bench/run.sh              everything
#   bash tests/bench/run.sh selection    one part: selection, process, traffic, scoring, loader,
#                                        acquisitions, joint, jest, scale, table, training, policy, survival,
#                                        detection, letter_box
#
# The Python rivals run in .venv-bench, which this script makes; the part "loader" needs PyTorch there
# (a large download): set THRESHER_BENCH_TORCH=1 to have it installed, otherwise that part is left out.
# With it come the rivals of "acquisitions" and "joint"; what does not install is left out of the tables.
#
#   THRESHER_BUILD       build directory (default: build)
#   THRESHER_BENCH_DATA  where the scores are written, 9 GB (default: a directory under TMPDIR)
set -euo pipefail

# shellcheck source=jobs/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../jobs/setup.sh"

install_packages
install_python
build_target all
venv=$root/.venv-bench

if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
has() {
    "$venv/bin/python" -c 'import importlib.util, sys
sys.exit(not all(importlib.util.find_spec(name) for name in sys.argv[1:]))' "$@"
}

if ! has numpy h5py sklearn; then install numpy h5py scikit-learn; fi
if ! has pycocotools faster_coco_eval; then install pycocotools faster-coco-eval || true; fi

# What needs no more than the libraries of science, and what asks for training frameworks, notebooks
# or test tools that the part of it that is timed does not use.
rivals=(modAL-python scikit-activeml small-text submodlib-py numba tqdm psutil)
rivals_alone=(baal torchmetrics lightning-utilities structlog packaging pillow torchvision
              batchbald_redux toma apricot-select)
modules=(modAL baal skactiveml small_text submodlib batchbald_redux toma apricot)
if [ "${THRESHER_BENCH_TORCH:-0}" = 1 ]; then
    if ! has torch; then install torch; fi
    if ! has "${modules[@]}"; then
        for rival in "${rivals[@]}"; do install "$rival" || true; done
        for rival in "${rivals_alone[@]}"; do install --no-deps "$rival" || true; done
    fi
fi

exec "$venv/bin/python" "$root/tests/bench/run.py" --build "$build" --results "$root/docs/results.md" "$@"
