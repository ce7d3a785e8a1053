#!/usr/bin/env bash
# ActiveCLIP on images with captions of which half are those of another image: learnability against uniform training, with a reference that learned
# from a few clean pairs. Every run over 3 seeds, then the table and the figure. About ten minutes of one core.
#
#   bash jobs/activeclip.sh PACK [SEED...]      PACK: folder or tar of at least 1000 images with captions.tsv; default: seeds 1 to 3
#
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

[ $# -gt 0 ] || {
    echo "usage: bash jobs/activeclip.sh PACK [SEED...]" >&2
    exit 2
}
pack=$(realpath "$1")
shift
cd "$root"
out=runs/activeclip
export PATH="$build:$venv/bin:$PATH"
seeds=("$@")
[ "${#seeds[@]}" -gt 0 ] || seeds=(1 2 3)

# train POOL RUN OPTION...: unless it was done before.
train() {
    local pool=$1 directory=$2
    shift 2
    unless_made "$directory/model.pt" thresher train --config jobs/configs/activeclip_train.toml --pool "$pool" --run "$directory" \
        --log-level warning --resume "$@"
}

one_seed() {
    local seed=$1 runs=$out/seed-$1 pools=$out/pools/seed-$1
    unless_made "$pools/web.h5" thresher derive --pool "$out/pairs.h5" --split test=300,reference=200,web=rest --spoil web --shuffle-captions 0.5 --seed "$seed" \
            --log-level warning -o "$pools"
    train "$pools/reference.h5" "$runs/reference" --updates 200 --seed "$seed"
    local common=(--validation-pool "$pools/test.h5" --seed "$seed")
    local chosen=(--updates 300 --temperature 0.05 --reference "$runs/reference/model.pt" "${common[@]}")
    train "$pools/web.h5" "$runs/uniform" --updates 600 "${common[@]}"
    train "$pools/web.h5" "$runs/uniform-300" --updates 300 "${common[@]}"
    train "$pools/web.h5" "$runs/learnability" --method learnability "${chosen[@]}"
    train "$pools/web.h5" "$runs/learnability-rho4" --method learnability --filter-ratio 4 "${chosen[@]}"
    train "$pools/web.h5" "$runs/easy-reference" --method easy-reference "${chosen[@]}"
    train "$pools/web.h5" "$runs/hard-learner" --method hard-learner "${chosen[@]}"
    # Scorers that cost a thirteenth of the learner.
    train "$pools/reference.h5" "$runs/small-reference" --image-tower mlp --hidden 64 --updates 200 --seed "$seed"
    train "$pools/web.h5" "$runs/learnability-small" --method learnability --filter-ratio 4 --updates 300 --temperature 0.05 \
        --reference "$runs/small-reference/model.pt" "${common[@]}"
    # What the clean pairs are worth to a learner that simply trains on them, from scratch or at the end.
    train "$pools/reference.h5" "$runs/clean-pairs-alone" --updates 600 "${common[@]}"
    train "$pools/reference.h5" "$runs/uniform-then-clean" --updates 100 --init "$runs/uniform/model.pt" --model "" --learning-rate 3e-4 "${common[@]}"
}

install_packages
install_python
build_target thresher
mkdir -p "$out"
unless_made "$out/pairs.h5" thresher import image-text "$pack" --size 32 --colour rgb --token-length 8 --vocabulary-size 1000 -o "$out/pairs.h5"
for seed in "${seeds[@]}"; do one_seed "$seed"; done

names=(uniform uniform-300 learnability learnability-rho4 learnability-small easy-reference hard-learner clean-pairs-alone uniform-then-clean)
runs=()
for name in "${names[@]}"; do
    for seed in "${seeds[@]}"; do runs+=("$out/seed-$seed/$name"); done
done
thresher-compare "${runs[@]}" --baseline uniform --metric recall_at_5 --figure "$out/activeclip.png" \
    --show uniform uniform-300 learnability learnability-rho4 learnability-small easy-reference | tee "$out/table.md"
