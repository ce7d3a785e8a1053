#!/usr/bin/env bash
# Policies beside other ways to choose 10 of 200 candidates: in their own environment, trained there with a table that is refreshed, and in fresh
# ones, trained in 64 others. Learners are retrained and judged on test points that are in no training of that environment
# (those of a pool may be candidates of other environments); docs/policy.md shows the tables.
# About seven minutes on 2 cores.
#
#   bash jobs/policy.sh [SEED...]      default: seeds 1 to 3
#
# Run again after a stop, it goes on where it was. Needs quickstart/clean.h5 (bash jobs/quickstart.sh).
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

cd "$root"
out=runs/policy
pool=quickstart/clean.h5
export PATH="$build:$venv/bin:$PATH"
export OMP_NUM_THREADS=1
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
seeds=("$@")
[ "${#seeds[@]}" -gt 0 ] || seeds=(1 2 3)
[ -e "$pool" ] || { echo "policy: $pool is missing; bash jobs/quickstart.sh makes it" >&2; exit 1; }

# compare NAME SEED OPTION...: of the environment.
compare() {
    local name=$1 seed=$2
    shift 2
    local thresher=(mpirun --oversubscribe --bind-to none -n 2 thresher policy)
    local common=("$@" --candidates 200 --seed "$seed" --threads 1 --log-level warning)
    local own=$out/$name/own-$seed paper=$out/$name/paper-$seed many=$out/$name/many-$seed
    unless_made "$own/policy.h5" "${thresher[@]}" train "${common[@]}" --environments 1 -k 10 --run "$own" --resume
    unless_made "$own.h5" "${thresher[@]}" evaluate "${common[@]}" --environments 1 --own --policy "$own/policy.h5" -o "$own.h5"
    unless_made "$paper/policy.h5" "${thresher[@]}" train "${common[@]}" --environments 1 -k 10 --head walk --estimator knn --records 500 \
        --refresh-every 0 --entropy-bonus 0 --run "$paper" --resume
    unless_made "$paper.h5" "${thresher[@]}" evaluate "${common[@]}" --environments 1 --own --policy "$paper/policy.h5" -o "$paper.h5"
    unless_made "$many/policy.h5" "${thresher[@]}" train "${common[@]}" --environments 64 -k 10 --updates 500 --rewards retrained --run "$many" \
        --resume
    unless_made "$many.h5" "${thresher[@]}" evaluate "${common[@]}" --policy "$many/policy.h5" -o "$many.h5"
}

for seed in "${seeds[@]}"; do
    compare ring "$seed" --environment ring
    compare ringdup "$seed" --environment ringdup
    compare fashion "$seed" --environment pool --pool "$pool" --components 40
    compare dup4 "$seed" --environment pool --pool "$pool" --components 40 --repeat 4
done
