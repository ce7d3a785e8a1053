#!/usr/bin/env bash
# Where prioritised training pays: Fashion-MNIST as the web would give it (repeats, imbalance, 40 % of the labels redrawn), on clean data, and
# with noise alone. Every run over 5 seeds, then the tables and the figure. About a quarter of an hour on 2 cores.
#
#   bash jobs/web8.sh [SEED...]      default: seeds 1 to 5
#
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

cd "$root"
data=/usr/share/datasets/fashion-mnist
out=runs/web8
export PATH="$build:$venv/bin:$PATH"
seeds=("$@")
[ "${#seeds[@]}" -gt 0 ] || seeds=(1 2 3 4 5)

# train POOL RUN OPTION...: unless it was done before.
train() {
    local pool=$1 directory=$2
    shift 2
    unless_made "$directory/model.pt" thresher train --config jobs/configs/web8_train.toml --pool "$pool" --run "$directory" \
        --log-level warning --resume "$@"
}

# methods POOL DIRECTORY REFERENCE OPTION...: uniform training, and the methods with half of its updates.
methods() {
    local pool=$1 directory=$2 reference=$3
    shift 3
    train "$pool" "$directory/uniform" --updates 3000 "$@"
    train "$pool" "$directory/uniform-1500" --updates 1500 "$@"
    train "$pool" "$directory/learnability" --updates 1500 --method learnability --reference "$reference" "$@"
    train "$pool" "$directory/learnability-rho4" --updates 1500 --method learnability --filter-ratio 4 --temperature 0.5 \
        --reference "$reference" "$@"
    train "$pool" "$directory/easy-reference" --updates 1500 --method easy-reference --reference "$reference" "$@"
    train "$pool" "$directory/hard-learner" --updates 1500 --method hard-learner --online mlp --online-hidden 32 "$@"
    train "$pool" "$directory/rho-loss" --updates 1500 --method rho-loss --reference "$reference" "$@"
    train "$pool" "$directory/learnability-online-reference" --updates 1500 --method learnability --online mlp \
        --online-hidden 32 --reference online "$@"
}

one_seed() {
    local seed=$1 web=$out/web/seed-$1 pools=$out/pools/seed-$1
    local derive=(thresher derive --seed "$seed" --log-level warning)
    mkdir -p "$web" "$pools"
    unless_made "$pools/split/rest.h5" "${derive[@]}" --pool "$out/train.h5" --split reference=800,validation=200,rest=rest -o "$pools/split" --overwrite
    local clean=$pools/split/reference.h5
    train "$clean" "$web/reference" --seed "$seed" --hidden 32 --epochs 100 --updates 0 --evaluate-every 25 --patience 10 \
        --validation-pool "$pools/split/validation.h5" --schedule constant
    local reference=$web/reference/model.pt

    unless_made "$pools/web.h5" "${derive[@]}" --config jobs/configs/web8.toml --pool "$pools/split/rest.h5" -o "$pools/web.h5"
    methods "$pools/web.h5" "$web" "$reference" --seed "$seed"
    # What the clean images are worth to a learner that simply trains on them.
    train "$clean" "$web/clean-images-alone" --updates 3000 --seed "$seed"
    [ -d "$pools/with-clean" ] || {
        rm -rf "$pools/with-clean.tmp"
        run "${derive[@]}" --config jobs/configs/web8.toml --pool "$pools/split/rest.h5" --rows-per-shard 50000 \
            -o "$pools/with-clean.tmp"
        run thresher import hdf5 "$clean" --append -o "$pools/with-clean.tmp" --log-level warning
        mv "$pools/with-clean.tmp" "$pools/with-clean"
    }
    train "$pools/with-clean" "$web/uniform-with-clean" --updates 3000 --seed "$seed"
    train "$clean" "$web/uniform-then-clean" --updates 250 --init "$web/uniform/model.pt" --model "" \
        --learning-rate 1e-4 --seed "$seed"

    # Scorers 4, 16 and 68 times smaller than the learner.
    local width method
    for width in 84 21 5; do
        train "$clean" "$web/reference-$width" --seed "$seed" --hidden "$width" --epochs 100 --updates 0 --evaluate-every 25 --patience 10 \
            --validation-pool "$pools/split/validation.h5" --schedule constant
        for method in learnability easy-reference; do
            train "$pools/web.h5" "$web/$method-$width" --updates 1500 --method "$method" --reference "$web/reference-$width/model.pt" \
                --seed "$seed"
        done
    done

    unless_made "$pools/clean.h5" "${derive[@]}" --pool "$pools/split/rest.h5" --subset 40000 -o "$pools/clean.h5"
    methods "$pools/clean.h5" "$out/clean/seed-$seed" "$reference" --seed "$seed"
    unless_made "$pools/noise.h5" "${derive[@]}" --pool "$pools/clean.h5" --label-noise 0.4 -o "$pools/noise.h5"
    methods "$pools/noise.h5" "$out/noise/seed-$seed" "$reference" --seed "$seed"
}

install_packages
install_python
build_target thresher
mkdir -p "$out"
unless_made "$out/train.h5" thresher import idx "$data" -o "$out/train.h5"
unless_made "$out/test.h5" thresher import idx "$data" --split test -o "$out/test.h5"
for seed in "${seeds[@]}"; do one_seed "$seed"; done

compared=(uniform uniform-1500 learnability learnability-rho4 easy-reference hard-learner rho-loss learnability-online-reference)
controls=(clean-images-alone uniform-with-clean uniform-then-clean)
runs_of() {
    local pool=$1 name seed
    shift
    for name in "$@"; do
        for seed in "${seeds[@]}"; do echo "$out/$pool/seed-$seed/$name"; done
    done
}
{
    for pool in web noise clean; do
        names=("${compared[@]}")
        [ "$pool" != web ] || names+=("${controls[@]}")
        mapfile -t runs < <(runs_of "$pool" "${names[@]}")
        printf '\n%s\n\n' "$pool"
        thresher-compare "${runs[@]}" --baseline uniform --figure "$out/$pool.png" \
            --show uniform uniform-1500 learnability learnability-rho4 easy-reference
    done
    printf '\nsmaller\n\n'
    mapfile -t runs < <(runs_of web uniform {learnability,easy-reference}-{84,21,5})
    thresher-compare "${runs[@]}" --baseline uniform
} | tee "$out/tables.md"
