#!/usr/bin/env bash
# Choosing images for detectors, after MAGRAL (arXiv 2310.08387): each part is one experiment of docs/detection.md, and prints its table.
#
#   bash jobs/magral.sh [--bccd FILE] [PART...]      default: all parts, in this order
#
#     bars        detectors with all labels, 3 seeds: scenes, and blood cells
#     proxy       what heads on frozen features tell of detectors trained whole: 30 subsets, 3 trainings each with common seeds
#     tables      what lookup tables can tell, by their size, for batches of 10 and 30, and for batches of every make-up by classes
#     policies    policies of the paper's mode and of ours, trained on tables, and judged in the environments of their training
#     loop        30 images labelled after the first 30: random, entropy, predicted loss, k-center, two class heads, both policies, and an oracle that knows all boxes; 10 repeats
#     agents      in a loop of 5 repeats, a policy that never changes, one that learns on in every cycle, and a new one in every cycle
#     semi        the proxy with and without semi-supervision
#     cells       the loop on blood cells, by the policies of the scenes (needs --bccd)
#
# Scenes are made of Fashion-MNIST (bash jobs/quickstart.sh makes its pools). --bccd: bccd-voc.tar, 364 images of blood cells in VOC's form.
# Run again after a stop, it goes on where it was.
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

out=runs/magral
export PATH="$build:$venv/bin:$PATH"
export OMP_NUM_THREADS=1
bccd='' parts=()
while [ "$#" -gt 0 ]; do
    case $1 in
        --bccd) bccd=$(realpath "$2"); shift 2 ;;
        *) parts+=("$1") && shift ;;
    esac
done
cd "$root"
[ -e quickstart/clean.h5 ] || { echo "magral: quickstart/clean.h5 is missing; bash jobs/quickstart.sh makes it" >&2; exit 1; }
mkdir -p "$out"
quiet=(--threads 1 --log-level warning --progress none)

# scenes NAME ITEMS COUNT SEED OPTION...: of sandals, dresses, boots, bags and trousers. Those of a loop are lopsided: the first common, the last rare, one class a scene.
scenes() {
    unless_made "$out/$1.h5" thresher derive --pool "$out/items/$2.h5" --scenes "$3" --seed "$4" --scene-classes 5,3,9,8,1 "${@:5}" -o "$out/$1.h5" "${quiet[@]}"
}
lopsided=(--class-shares ".48,.27,.14,.07,.04" --junk 0.3 --alike 1)
unless_made "$out/items/test.h5" thresher derive --pool quickstart/clean.h5 --split agent=20000,train=15000,reward=10000,test=rest -o "$out/items" --overwrite "${quiet[@]}"
scenes agent agent 800 4 "${lopsided[@]}"
scenes train train 400 1 "${lopsided[@]}"
scenes reward reward 150 2
scenes test test 200 3
if [ -n "$bccd" ]; then
    for set in train val test; do
        unless_made "$out/bccd_$set.h5" thresher import voc "$bccd" --set "$set" --size 128 -o "$out/bccd_$set.h5" "${quiet[@]}"
    done
fi

# side_by_side COMMAND... -- COMMAND...: two commands at once, one a core.
side_by_side() {
    local first=()
    while [ "$1" != -- ]; do first+=("$1") && shift; done
    shift
    "${first[@]}" &
    local pid=$! failed=0
    "$@" || failed=$?
    wait "$pid" || failed=$?
    return "$failed"
}

learn() {
    unless_made "$out/bars/$1-$2-$3/model.pt" thresher train --config "jobs/configs/magral_$1.toml" --model "$2" --seed "$3" "${quiet[@]}" --run "$out/bars/$1-$2-$3" --resume
}
bars() {
    local seed
    for seed in 1 2 3; do
        learn "$1" "$2" "$seed"
        say "$1, $2, seed $seed"
        thresher evaluate --pool "$out/$3.h5" --model "$out/bars/$1-$2-$seed/model.pt" "${quiet[@]}"
    done
}
part_bars() {
    bars scenes ssd test
    bars scenes retinanet test
    [ -n "$bccd" ] || return 0
    bars bccd ssd bccd_test
    bars bccd retinanet bccd_test
}

# The detector whose trunk the proxy takes: trained on all scenes of the agent, candidates included, of which no loop labels any.
base() {
    unless_made "$out/base/model.pt" thresher train --config jobs/configs/magral_scenes.toml --pool "$out/agent.h5" --validation-pool "$out/reward.h5" --epochs 15 "${quiet[@]}" \
        --run "$out/base" --resume
}
images=(--environment images --pool "$out/agent.h5" --reward-pool "$out/reward.h5" --test-pool "$out/test.h5" --detector "$out/base/model.pt" --labelled 30 --candidates 200)
# table NAME OPTION...
table() {
    unless_made "$out/$1.h5" mpirun -n 2 --oversubscribe --bind-to none thresher table build "${images[@]}" "${quiet[@]}" -o "$out/$1.h5" "${@:2}"
}

part_proxy() {
    base
    table cheap --subset-size 30 --records 30 --trainings 3
    table full --subset-size 30 --records 30 --trainings 3 --proxy-full --proxy-steps 300
    run thresher table check "$out/cheap.h5" --against "$out/full.h5" --metric negative-loss --log-level warning
    run thresher table info "$out/full.h5" --log-level warning
}

part_tables() {
    local name
    base
    table b10 --subset-size 10 --records 200
    table b30 --subset-size 30 --records 200
    table b30-stratified --subset-size 30 --records 200 --stratified 1
    for name in b10 b30 b30-stratified; do
        run thresher table check "$out/$name.h5" --metric negative-loss --log-level warning
        run thresher table check "$out/$name.h5" --metric average-precision --log-level warning
    done
}

# policy NAME OPTION...: trained in one environment; judged there.
policy() {
    unless_made "$out/$1/policy.h5" mpirun -n 2 --oversubscribe --bind-to none thresher policy train --config jobs/configs/magral_policy.toml "${@:2}" "${quiet[@]}" --run "$out/$1" --resume
}
judge() {
    unless_made "$out/$1.h5" mpirun -n 2 --oversubscribe --bind-to none thresher policy evaluate "${images[@]}" --metric negative-loss --policy "$out/$1/policy.h5" --own --environments 1 \
        --random-batches 30 --choosers entropy,margin,k-center "${quiet[@]}" -o "$out/$1.h5"
}
policies() {
    base
    policy ours
    policy paper --head walk --estimator knn --refresh-every 0 --entropy-bonus 0
}
part_policies() {
    policies
    judge ours
    judge paper
    run thresher-report "$out/ours" "$out/ours.h5" --figures "$out/figures/policy" -o "$out/policy.html"
}

# cycle RUN CONFIG OPTION...
cycle() {
    run thresher loop --config "jobs/configs/magral_loop_$2.toml" "${quiet[@]}" --run "$out/$1" --resume "${@:3}"
}
part_loop() {
    policies
    side_by_side cycle loop/rules scenes --loss-head --acquisitions random,entropy,predicted-loss,k-center,class-balance -- cycle loop/ours scenes --acquisitions policy --policy "$out/ours/policy.h5"
    side_by_side cycle loop/heads scenes --class-heads 2 --acquisitions random,box-discrepancy --aggregate top-n -- \
        cycle loop/paper scenes --acquisitions policy --policy "$out/paper/policy.h5"
    run thresher-table "$out/loop/rules" "$out/loop/ours" "$out/loop/paper" --at 30 60 --against "rules: random"
    run thresher-table "$out/loop/heads" --at 30 60 --against random
    run thresher-report "$out/loop/rules" "$out/loop/ours" --pool "$out/train.h5" --figures "$out/figures/loop" -o "$out/loop.html"
}

part_agents() {
    local smaller=(--initial 40 -k 10 --cycles 3 --repeats 5)
    policies
    side_by_side cycle agents/per-cycle scenes "${smaller[@]}" --acquisitions policy --agent per-cycle -- \
        cycle agents/single scenes "${smaller[@]}" --acquisitions policy --agent single --policy "$out/ours/policy.h5"
    side_by_side cycle agents/random scenes "${smaller[@]}" --acquisitions random -- cycle agents/fixed scenes "${smaller[@]}" --acquisitions policy --policy "$out/ours/policy.h5"
    run thresher-table "$out/agents/random" "$out/agents/fixed" "$out/agents/single" "$out/agents/per-cycle" --at 40 50 60 --against "random: random"
}

part_semi() {
    local proxy
    base
    for proxy in supervised pseudo-label mean-teacher; do
        table "semi-$proxy" --subset-size 30 --records 12 --trainings 3 --proxy "$proxy"
        run thresher table info "$out/semi-$proxy.h5" --log-level warning
    done
}

part_cells() {
    [ -n "$bccd" ] || { echo "magral: no --bccd, so part cells is left out"; return; }
    policies
    side_by_side cycle cells/rules bccd --acquisitions random,entropy,k-center,class-balance -- cycle cells/ours bccd --acquisitions policy --policy "$out/ours/policy.h5"
    run thresher-table "$out/cells/rules" "$out/cells/ours" --at 20 40 --against "rules: random"
    run thresher-report "$out/cells/rules" --pool "$out/bccd_train.h5" --figures "$out/figures/cells" -o "$out/cells.html"
}

[ "${#parts[@]}" -gt 0 ] || parts=(bars proxy tables policies loop agents semi cells)
for part in "${parts[@]}"; do
    declare -F "part_$part" >/dev/null || { echo "magral: there is no part $part; bash jobs/magral.sh's first lines list them" >&2; exit 1; }
    say "$part"
    "part_$part"
done
