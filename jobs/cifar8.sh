#!/usr/bin/env bash
# Prioritised training where the scorers cost next to nothing beside the learner: a convolutional network on CIFAR-10 as the web would give
# it, scored by perceptrons. Every run over 5 seeds, then the table and the figure. A quarter of an hour on one core.
#
#   bash jobs/cifar8.sh ARCHIVE [SEED...]      ARCHIVE: CIFAR-10 in its binary layout, a .tar.gz or a directory; default: seeds 1 to 5
#
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

[ $# -gt 0 ] || { echo "usage: bash jobs/cifar8.sh ARCHIVE [SEED...]" >&2; exit 2; }
archive=$(realpath "$1")
shift
cd "$root"
out=runs/cifar8
export PATH="$build:$venv/bin:$PATH"
seeds=("$@")
[ "${#seeds[@]}" -gt 0 ] || seeds=(1 2 3 4 5)

# train POOL RUN OPTION...: unless it was done before.
train() {
    local pool=$1 directory=$2
    shift 2
    unless_made "$directory/model.pt" thresher train --config jobs/configs/cifar8_train.toml --pool "$pool" --run "$directory" \
        --log-level warning --resume "$@"
}

one_seed() {
    local seed=$1 runs=$out/seed-$1
    local derive=(thresher derive --seed "$seed" --log-level warning)
    mkdir -p "$runs"
    unless_made "$runs/split/rest.h5" "${derive[@]}" --pool "$out/train.h5" --split reference=800,validation=200,rest=rest \
        -o "$runs/split" --overwrite
    unless_made "$runs/web.h5" "${derive[@]}" --config jobs/configs/cifar8.toml --pool "$runs/split/rest.h5" -o "$runs/web.h5"
    local clean=$runs/split/reference.h5 web=$runs/web.h5
    train "$clean" "$runs/reference" --model mlp --hidden 32 --epochs 60 --updates 0 --evaluate-every 25 --patience 10 \
        --validation-pool "$runs/split/validation.h5" --schedule constant --seed "$seed"
    local reference=(--reference "$runs/reference/model.pt")
    train "$web" "$runs/uniform" --updates 2000 --seed "$seed"
    train "$web" "$runs/uniform-1000" --updates 1000 --seed "$seed"
    train "$web" "$runs/learnability" --updates 1000 --seed "$seed" --method learnability "${reference[@]}"
    train "$web" "$runs/learnability-rho4" --updates 1000 --seed "$seed" --method learnability --filter-ratio 4 --temperature 0.5 \
        "${reference[@]}"
    train "$web" "$runs/easy-reference" --updates 1000 --seed "$seed" --method easy-reference "${reference[@]}"
    train "$web" "$runs/hard-learner" --updates 1000 --seed "$seed" --method hard-learner --online mlp --online-hidden 32
    train "$clean" "$runs/clean-images-alone" --updates 2000 --seed "$seed"
    train "$clean" "$runs/uniform-then-clean" --updates 250 --init "$runs/uniform/model.pt" --model "" --learning-rate 1e-4 \
        --seed "$seed"
}

install_packages
install_python
build_target thresher
mkdir -p "$out"
unless_made "$out/train.h5" thresher import cifar "$archive" -o "$out/train.h5"
unless_made "$out/test.h5" thresher import cifar "$archive" --split test -o "$out/test.h5"
for seed in "${seeds[@]}"; do one_seed "$seed"; done

runs=()
for name in uniform uniform-1000 learnability learnability-rho4 easy-reference hard-learner clean-images-alone uniform-then-clean; do
    for seed in "${seeds[@]}"; do runs+=("$out/seed-$seed/$name"); done
done
thresher-compare "${runs[@]}" --baseline uniform --figure "$out/cifar8.png" \
    --show uniform uniform-1000 learnability learnability-rho4 easy-reference | tee "$out/table.md"
