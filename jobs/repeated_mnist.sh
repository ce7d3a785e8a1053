#!/usr/bin/env bash
# RepeatedMNIST (Kirsch et al., "BatchBALD", NeurIPS 2019): on a pool of repeats, picking the K best scores picks one image K times.
# Five methods, three repeats, in one loop; then the report and the table.
#
#   bash jobs/repeated_mnist.sh [MNIST]      MNIST: directory of the four idx files; default: Fashion-MNIST
#   bash jobs/repeated_mnist.sh --full [MNIST]   the paper's protocol (240 000 rows, 100 samples, 5 repeats); for a GPU
#
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

config=repeated_mnist
rows=2000
if [ "${1:-}" = --full ]; then
    config=repeated_mnist_full
    rows=0
    shift
fi
data=$(realpath -m "${1:-/usr/share/datasets/fashion-mnist}")
cd "$root"
out=runs/$config
export PATH="$build:$venv/bin:$PATH"

install_packages
install_python
build_target thresher
mkdir -p "$out"
unless_made "$out/train.h5" thresher import idx "$data" -o "$out/train.h5"
unless_made "$out/test.h5" thresher import idx "$data" --split test -o "$out/test.h5"
unless_made "$out/pool.h5" thresher derive --pool "$out/train.h5" --subset "$rows" --repeat 4 --jitter 0.1 -o "$out/pool.h5"
run thresher loop --config "jobs/configs/$config.toml" --resume
run thresher-report "$out/loop" --figures "$out/figures" -o "$out/report.html"
run thresher-table "$out/loop" --at 100 200 300
