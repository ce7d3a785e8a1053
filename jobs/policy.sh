#!/usr/bin/env bash
# Learning to select 10 candidates: each part is one experiment of docs/policy.md, with 3 seeds, and prints its table. Learners are retrained and
# judged on test points that no training and no table in that environment has seen.
#
#   bash jobs/policy.sh [--digits FILE] [--mnist DIRECTORY] [PART...]      default: all parts, in this order
#
#     own         policies in the environment that they were trained in, with a table that is refreshed and in paper mode
#     rewards     the same with retrained rewards for as many updates
#     fresh       policies trained in 64 environments, in fresh ones
#     estimators  what lookup tables can tell, by their size and the size of batches
#     transfer    policies of one kind of environment in another
#     games       labels against accuracy and loss in batches of 1, 5, 10 and 20, where every candidate is there four times
#     cycles      classes, distances and images of what a loop picks
#     compare     the same loop with every acquisition that needs no labels of what it chooses from
#     agents      in a loop, a policy that never changes, one that learns on in every cycle, and a new one in every cycle
#     ablations   heads, baselines, entropy bonus, replay, tables, numbers of environments
#     proxies     learners with and without semi-supervision
#
# --digits: digits.csv.gz of UCI (1797 x 64 and the class); --mnist: the four idx files. Parts leave out what is not given, and say so.
# Run again after a stop, it goes on where it was. Needs quickstart/clean.h5 and test.h5 (bash jobs/quickstart.sh).
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

out=runs/policy
pool=quickstart/clean.h5
export PATH="$build:$venv/bin:$PATH"
export OMP_NUM_THREADS=1
seeds=(1 2 3)
digits='' mnist='' parts=()
while [ "$#" -gt 0 ]; do
    case $1 in
        --digits) digits=$(realpath "$2"); shift 2 ;;
        --mnist) mnist=$(realpath "$2"); shift 2 ;;
        *) parts+=("$1") && shift ;;
    esac
done
cd "$root"
[ -e "$pool" ] || { echo "policy: $pool is missing; bash jobs/quickstart.sh makes it" >&2; exit 1; }
mkdir -p "$out"
kinds=(ring ringdup fashion50 fashion dup4)
if [ -n "$digits" ]; then
    unless_made "$out/digits.h5" thresher import csv "$digits" --target-column 64 -o "$out/digits.h5"
    kinds+=(digits)
else
    echo "policy: no --digits, so they are left out"
fi
if [ -n "$mnist" ]; then
    unless_made "$out/mnist.h5" thresher import idx "$mnist" -o "$out/mnist.h5"
else
    echo "policy: no --mnist, so it is left out"
fi
quiet=(--threads 1 --log-level warning --progress none)

# of KIND: sets `options` to those of an environment.
of() {
    options=(--environment pool --components 40)
    case $1 in
        ring | ringdup) options=(--environment "$1") ;;
        fashion*) options+=(--pool "$pool") ;;
        dup4) options+=(--pool "$pool" --repeat 4) ;;
        digits) options+=(--pool "$out/digits.h5" --reward-points 300 --test-points 300) ;;
        mnist) options+=(--pool "$out/mnist.h5") ;;
    esac
    [ "$1" = fashion50 ] && options+=(--candidates 50) || options+=(--candidates 200)
}
# learn DIRECTORY SEED OPTION...: a policy in environments of `options`.
learn() {
    unless_made "$1/policy.h5" thresher policy train "${options[@]}" "${quiet[@]}" --seed "$2" -k 10 --run "$1" --resume "${@:3}"
}
# judge FILE SEED DIRECTORY OPTION...: what the batches of the policy in DIRECTORY are worth.
judge() {
    unless_made "$1" thresher policy evaluate "${options[@]}" "${quiet[@]}" --seed "$2" --policy "$3/policy.h5" -o "$1" "${@:4}"
}
# with_seeds COMMAND...: the command with each seed behind it, side by side.
with_seeds() {
    local seed pids=()
    for seed in "${seeds[@]}"; do
        "$@" "$seed" &
        pids+=("$!")
    done
    for seed in "${pids[@]}"; do wait "$seed"; done
}
many=(--environments 64 --updates 500 --rewards retrained)

# judge_own KIND SEED: in its own environment, beside all that knows the rewards there.
judge_own() {
    judge "$out/$1/own-$2.h5" "$2" "$out/$1/own-$2" --own --environments 1 --choosers entropy,margin,badge,k-center,best-of-table,search,oracle
}

# own KIND SEED, and so on: one seed of a part.
own() {
    learn "$out/$1/own-$2" "$2" --environments 1
    judge_own "$1" "$2"
    learn "$out/$1/paper-$2" "$2" --environments 1 --head walk --estimator knn --records 500 --refresh-every 0 --entropy-bonus 0
    judge "$out/$1/paper-$2.h5" "$2" "$out/$1/paper-$2" --own --environments 1
}

part_own() {
    local kind
    for kind in "${kinds[@]}"; do
        of "$kind"
        with_seeds own "$kind"
    done
    run thresher-policy gains "${kinds[@]/#/$out/}" --policies own paper --choosers entropy margin badge k-center best-of-table search oracle
    run thresher-policy fidelity "${kinds[@]/#/$out/}" --policies own paper
    run thresher-report "$out/fashion/own-1" "$out/fashion/own-1.h5" --figures "$out/figures" -o "$out/own.html"
}

rewards() {
    learn "$out/$1/own-$2" "$2" --environments 1
    learn "$out/$1/true-$2" "$2" --environments 1 --rewards retrained
    judge_own "$1" "$2"
    judge "$out/$1/true-$2.h5" "$2" "$out/$1/true-$2" --own --environments 1
}

part_rewards() {
    local kind some=(ring fashion50 fashion dup4)
    for kind in "${some[@]}"; do
        of "$kind"
        with_seeds rewards "$kind"
    done
    run thresher-policy gains "${some[@]/#/$out/}" --policies own true --share --choosers
}

fresh() {
    learn "$out/$1/fresh-$2" "$2" "${many[@]}"
    judge "$out/$1/fresh-$2.h5" "$2" "$out/$1/fresh-$2" --choosers entropy,margin,badge,k-center,oracle
}

part_fresh() {
    local kind
    for kind in "${kinds[@]}"; do
        of "$kind"
        with_seeds fresh "$kind"
    done
    run thresher-policy gains "${kinds[@]/#/$out/}" --policies fresh --choosers entropy margin badge k-center oracle
}

# table FILE SEED OPTION...: a lookup table of 625 records, and FILE.json, what its estimators are worth.
table() {
    unless_made "$1.h5" thresher table build "${options[@]}" "${quiet[@]}" --seed "$2" --records 625 -o "$1.h5" "${@:3}"
    [ -e "$1.json" ] || { thresher table check "$1.h5" --json --log-level warning | tail -n 1 >"$1.json.tmp" && mv "$1.json.tmp" "$1.json"; }
}

estimators() {
    table "$out/$1/b$2-$3" "$3" --subset-size "$2"
}

part_estimators() {
    local kind b
    for kind in fashion50 fashion; do
        of "$kind"
        mkdir -p "$out/$kind"
        for b in 5 10 20; do with_seeds estimators "$kind" "$b"; done
    done
    run thresher-policy estimators "$out"/fashion*/b*-*.json
}

transfer() {
    local from
    for from in fashion dup4 ring; do
        [ -e "$out/$from/fresh-$2/policy.h5" ] || { echo "policy: transfer needs the policies of part fresh" >&2; exit 1; }
        judge "$out/transfer/$1/$from-$2.h5" "$2" "$out/$from/fresh-$2" --choosers entropy,k-center
    done
}

part_transfer() {
    local to
    for to in fashion ring ${digits:+digits} ${mnist:+mnist}; do
        of "$to"
        mkdir -p "$out/transfer/$to"
        with_seeds transfer "$to"
    done
    run thresher-policy gains "$out"/transfer/* --policies fashion dup4 ring --choosers entropy k-center --what-is "in fresh"
}

part_games() {
    of dup4
    learn "$out/dup4/fresh-1" 1 "${many[@]}"
    unless_made "$out/games.h5" thresher env run "${options[@]}" "${quiet[@]}" --seed 101 --seeds 8 --budget 40 --batches 1,5,10,20 \
        --choosers random,entropy,k-center,policy,oracle --policy "$out/dup4/fresh-1/policy.h5" -o "$out/games.h5"
    run thresher-policy games "$out/games.h5"
    run thresher-report "$out/games.h5" --figures "$out/figures" -o "$out/games.html"
}

# cycle RUN OPTION...: a loop on a pool where every image is there four times, with noise. Its images, and those it is tested on, are of the
# other file of Fashion-MNIST, which no policy was trained with.
cycle() {
    unless_made "$out/loop/test.h5" thresher derive --pool quickstart/test.h5 --split pool=500,test=rest -o "$out/loop" --overwrite
    unless_made "$out/redundant.h5" thresher derive --pool "$out/loop/pool.h5" --repeat 4 --jitter 0.1 -o "$out/redundant.h5"
    run thresher loop --pool "$out/redundant.h5" --test-pool "$out/loop/test.h5" --model mlp --hidden 64 --updates 300 --batch-size 32 \
        --optimizer adamw --learning-rate 0.001 -k 10 --cycles 9 --repeats 3 "${quiet[@]}" --run "$1" --resume "${@:2}"
}

part_cycles() {
    of dup4
    learn "$out/dup4/fresh-1" 1 "${many[@]}"
    cycle "$out/cycles" --initial 20 --acquisitions random,entropy,k-center,badge,policy --policy "$out/dup4/fresh-1/policy.h5"
    run thresher-report "$out/cycles" --pool "$out/redundant.h5" --figures "$out/figures" -o "$out/cycles.html"
    run thresher-table "$out/cycles" --at 30 60 100
}

part_compare() {
    of dup4
    learn "$out/dup4/fresh-1" 1 "${many[@]}"
    local of_uncertainty=least-confidence,margin,entropy,expected-entropy,bald,average-kl,mean-std,variation-ratio,vote-entropy,epig,gradient-norm
    local of_embeddings=distance-to-labelled,typicality,batchbald,k-center,centroid,badge,typiclust,facility-location,cluster-margin
    cycle "$out/compare" --initial 20 --acquisitions "random,$of_uncertainty,$of_embeddings,policy" --policy "$out/dup4/fresh-1/policy.h5" \
        --dropout 0.2 --samples 20 --consistent-masks --target-pool quickstart/split/reference.h5
    run thresher-report "$out/compare" --pool "$out/redundant.h5" -o "$out/compare.html"
    run thresher-table "$out/compare" --at 30 60 100
}

part_agents() {
    local agent
    of dup4
    learn "$out/dup4/fresh-1" 1 "${many[@]}"
    cycle "$out/agents/fixed" --initial 40 --acquisitions random,policy --policy "$out/dup4/fresh-1/policy.h5"
    for agent in single per-cycle; do
        cycle "$out/agents/$agent" --initial 40 --acquisitions policy --agent "$agent"
    done
    cycle "$out/agents/single-begun" --initial 40 --acquisitions policy --agent single --policy "$out/dup4/fresh-1/policy.h5"
    run thresher-table "$out"/agents/* --at 50 80 120
}

ablation() {
    local to=$out/ablations/$1 seed=${*: -1}
    learn "$to/own-$seed" "$seed" --config jobs/configs/policy.toml "${@:2:$#-2}"
    judge "$to/own-$seed.h5" "$seed" "$to/own-$seed" --own --environments "${trained:-8}" --choosers random
    judge "$to/fresh-$seed.h5" "$seed" "$to/own-$seed" --choosers random
}
# variant NAME OPTION...: of jobs/configs/policy.toml with 50 candidates; judged in 8 environments of its training (or `trained`), and in 10 fresh ones.
variant() {
    variants+=("$out/ablations/$1")
    with_seeds ablation "$@"
}

part_ablations() {
    local variants=()
    of fashion50
    variant default
    variant records-584-no-refresh --records 584 --refresh-every 0
    variant rewards-retrained --rewards retrained
    variant head-walk --head walk
    variant head-plackett-luce --head plackett-luce
    variant head-batch --head batch
    variant baseline-none --baseline none
    variant baseline-leave-one-out --baseline leave-one-out
    variant baseline-value --baseline value
    variant entropy-bonus-0 --entropy-bonus 0
    variant entropy-bonus-0.1 --entropy-bonus 0.1
    variant records-50 --records 50
    trained=4 variant environments-4 --environments 4
    variant head-label-or-not --head label-or-not
    trained=1 variant environments-1 --environments 1
    trained=1 variant environments-1-replay-32 --environments 1 --replay 32
    variant environments-64 --environments 64 --rewards retrained
    run thresher-policy gains "${variants[@]}" --policies own fresh --choosers --what-is variant
}

proxies() {
    local to=$out/proxies/$1
    table "$to/table-$2" "$2" --proxy "$1"
    learn "$to/own-$2" "$2" --environments 1 --proxy "$1"
    judge "$to/own-$2.h5" "$2" "$to/own-$2" --own --environments 1 --proxy "$1"
}

part_proxies() {
    local proxy
    of fashion50
    for proxy in supervised pseudo-label mean-teacher; do
        mkdir -p "$out/proxies/$proxy"
        with_seeds proxies "$proxy"
    done
    run thresher-policy proxies "$out"/proxies/{supervised,pseudo-label,mean-teacher}
}

[ "${#parts[@]}" -gt 0 ] || parts=(own rewards fresh estimators transfer games cycles compare agents ablations proxies)
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null || { echo "policy: there is no part $part; bash jobs/policy.sh's first lines list them" >&2; exit 1; }
    say "$part"
    "part_$part"
done
