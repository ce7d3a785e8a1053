#!/usr/bin/env bash
# ActiveCLIP and JEST on images with captions of which half are those of another image: against uniform training, with a reference that learned
# from a few clean pairs. Every run over 3 seeds, then the tables and the figures. About half an hour of one core.
#
#   bash jobs/activeclip.sh PACK [SEED...]           PACK: folder or tar of at least 1000 images with captions.tsv; default: seeds 1 to 3
#   bash jobs/activeclip.sh --coco PACK [SEED...]    PACK: folder or tar of images with COCO's captions of train2017 and val2017
#
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

out=runs/activeclip
split=test=300,reference=200,web=rest
more=()
pairs=$out/pairs.h5
import=(--size 32 --colour rgb --token-length 8 --vocabulary-size 1000)
if [ "${1:-}" = --coco ]; then
    out=runs/activeclip_coco
    split=test=200,reference=150,web=rest
    pairs=$out/pairs  # a directory, to which the captions of val2017 are added
    import=(--size 32 --colour rgb --token-length 24 --vocabulary-size 1000 --captions annotations/captions_train2017.json --rows-per-shard 1000000)
    more=(--size 32 --colour rgb --token-length 24 --captions annotations/captions_val2017.json --append)
    shift
fi
[ $# -gt 0 ] || {
    echo "usage: bash jobs/activeclip.sh [--coco] PACK [SEED...]" >&2
    exit 2
}
pack=$(realpath "$1")
shift
cd "$root"
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
    unless_made "$pools/web.h5" thresher derive --pool "$pairs" --split "$split" --spoil web --shuffle-captions 0.5 --seed "$seed" \
            --log-level warning -o "$pools" --overwrite
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
    [ -d "$pools/with-clean" ] || {
        rm -rf "$pools/with-clean.tmp"
        run thresher derive --pool "$pools/web.h5" --rows-per-shard 50000 --log-level warning -o "$pools/with-clean.tmp"
        run thresher import hdf5 "$pools/reference.h5" --append -o "$pools/with-clean.tmp" --log-level warning
        mv "$pools/with-clean.tmp" "$pools/with-clean"
    }
    train "$pools/with-clean" "$runs/uniform-with-clean" --updates 600 "${common[@]}"
    train "$pools/reference.h5" "$runs/uniform-then-clean" --updates 100 --init "$runs/uniform/model.pt" --model "" --learning-rate 3e-4 "${common[@]}"
    # JEST chooses by the sigmoid loss; beside it, under the same loss, uniform training and pairs that are chosen one by one. About 40 updates
    # of warm-up: without them the towers fall together at the start, as every image is pulled to its caption and hardly pushed from others.
    local sigmoid=(--contrastive sigmoid --seed "$seed" --warmup-epochs)
    train "$pools/reference.h5" "$runs/sigmoid-reference" --updates 200 "${sigmoid[@]}" 13
    sigmoid=(--validation-pool "$pools/test.h5" "${sigmoid[@]}")
    train "$pools/web.h5" "$runs/sigmoid-uniform" --updates 600 "${sigmoid[@]}" 2
    train "$pools/web.h5" "$runs/sigmoid-uniform-300" --updates 300 "${sigmoid[@]}" 2
    sigmoid=(--updates 300 --filter-ratio 5 --reference "$runs/sigmoid-reference/model.pt" "${sigmoid[@]}")
    train "$pools/web.h5" "$runs/sigmoid-learnability" --method learnability --online learner --temperature 0.05 "${sigmoid[@]}" 10
    train "$pools/web.h5" "$runs/jest" --method jest "${sigmoid[@]}" 10
}

install_packages
install_python
build_target thresher
mkdir -p "$out"
[ -e "$pairs" ] || {
    rm -rf "$pairs.tmp"
    run thresher import image-text "$pack" "${import[@]}" -o "$pairs.tmp"
    [ ${#more[@]} -eq 0 ] || run thresher import image-text "$pack" "${more[@]}" -o "$pairs.tmp"
    mv "$pairs.tmp" "$pairs"
}
for seed in "${seeds[@]}"; do one_seed "$seed"; done

# compare BASELINE NAME...: table and figure of these runs over all seeds.
compare() {
    local runs=() name seed
    for name in "$@"; do
        for seed in "${seeds[@]}"; do runs+=("$out/seed-$seed/$name"); done
    done
    thresher-compare "${runs[@]}" --baseline "$1" --metric recall_at_5 --figure "$out/$1.png" --show "${shown[@]}"
}
{
    shown=(uniform uniform-300 learnability learnability-rho4 learnability-small easy-reference)
    compare "${shown[@]}" hard-learner clean-pairs-alone uniform-with-clean uniform-then-clean
    echo
    shown=(sigmoid-uniform sigmoid-uniform-300 sigmoid-learnability jest)
    compare "${shown[@]}"
} | tee "$out/tables.md"
