#!/usr/bin/env bash
# From a bare machine to a report: installs what is missing, builds, and runs the main job on Fashion-MNIST over 2 ranks.
#
#   bash jobs/quickstart.sh [DIRECTORY]      default: quickstart; it is made anew
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/setup.sh"

out=$(realpath -m --relative-base="$root" "${1:-$root/quickstart}")
cd "$root"
data=/usr/share/datasets/fashion-mnist
export PATH="$build:$venv/bin:$PATH"
export OMP_NUM_THREADS=1

is_ours() { [ -e "$out/.quickstart" ] || { [ -e "$out/web.h5" ] && [ -e "$out/clean.h5" ]; }; }
if [ -n "$(ls -A "$out" 2>/dev/null)" ] && ! is_ours; then
    echo "quickstart: $(realpath "$out") is to be made anew, but holds files of something else; name another directory, or remove it" >&2
    exit 1
fi

begin=$(date +%s)
install_packages
install_python
build_target thresher
[ -d "$data" ] || { echo "quickstart: $data is missing; apt-get install dataset-fashion-mnist" >&2; exit 1; }
ready=$(date +%s)

rm -rf "$out"
mkdir -p "$out"
touch "$out/.quickstart"

say "Commands below can be pasted after these two lines"
show "cd $root && export PATH=$build:$venv/bin:\$PATH"
show "export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"

classes=t-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot
say "1. Import Fashion-MNIST into pools"
run thresher import idx "$data" --class-names "$classes" -o "$out/clean.h5"
run thresher import idx "$data" --split test --class-names "$classes" -o "$out/test.h5"

say "2. Set 2000 clean images apart for the reference, and spoil the rest the way web data is spoiled"
run thresher derive --pool "$out/clean.h5" --split reference=2000,rest=rest -o "$out/split"
run thresher derive --pool "$out/split/rest.h5" --imbalance 5 --repeat 2 --jitter 0.1 --label-noise 0.2 -o "$out/web.h5"
run thresher info "$out/web.h5"

say "3. Train the reference on the clean images, and the learner briefly on the spoiled pool"
run mpirun -n 2 --oversubscribe thresher train --pool "$out/split/reference.h5" --validation-pool "$out/test.h5" \
    --model cnn --dropout 0.1 --epochs 30 --run "$out/reference"
run mpirun -n 2 --oversubscribe thresher train --pool "$out/web.h5" --model mlp --epochs 1 --run "$out/learner"
run thresher evaluate --pool "$out/test.h5" --model "$out/reference/model.pt"

say "4. Score the pool with both over 2 ranks, and agree on one globally prioritised batch"
run mpirun -n 2 --oversubscribe thresher score --pool "$out/web.h5" --learner "$out/learner/model.pt" \
    --reference "$out/reference/model.pt" --acquisition learnability,hard-learner,entropy -o "$out/scores.h5"
run mpirun -n 2 --oversubscribe thresher select --scores "$out/scores.h5" --pool "$out/web.h5" \
    --acquisition learnability -k 1000 -o "$out/batch.h5"
run mpirun -n 2 --oversubscribe thresher select --scores "$out/scores.h5" --pool "$out/web.h5" \
    --acquisition hard-learner -k 1000 -o "$out/batch-hard.h5"

say "5. Active-learning cycles on the clean pool: random against entropy"
run mpirun -n 2 --oversubscribe thresher loop --pool "$out/clean.h5" --test-pool "$out/test.h5" --model mlp \
    --acquisitions random,entropy --initial 100 -k 100 --cycles 6 --repeats 3 --updates 300 --batch-size 64 \
    --optimizer adamw --learning-rate 0.001 --run "$out/loop" --progress none

say "6. Prioritised training: uniform, 3000 updates, against the rows that small models find learnable, 1500"
run thresher derive --config jobs/configs/web8.toml --pool "$out/split/rest.h5" -o "$out/web8.h5"
train=(thresher train --model mlp --optimizer adamw --learning-rate 0.001 --batch-size 32 --validation-pool "$out/test.h5"
       --threads 1 --progress none)
run "${train[@]}" --pool "$out/split/reference.h5" --hidden 32 --epochs 20 --run "$out/prioritised/reference"
run "${train[@]}" --pool "$out/web8.h5" --hidden 256,256 --evaluate-every 100 --updates 3000 --run "$out/prioritised/uniform"
run "${train[@]}" --pool "$out/web8.h5" --hidden 256,256 --evaluate-every 100 --updates 1500 --method learnability \
    --reference "$out/prioritised/reference/model.pt" --run "$out/prioritised/learnability"
run thresher-compare "$out/prioritised/uniform" "$out/prioritised/learnability" --baseline uniform \
    --figure "$out/prioritised.png"

# Four boxes and what a detector made of them, for thresher map.
cat >"$out/boxes.json" <<'JSON'
{"images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "plate"}], "annotations": [
 {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 40, 50]}, {"id": 2, "image_id": 1, "category_id": 2, "bbox": [60, 30, 90, 80]},
 {"id": 3, "image_id": 2, "category_id": 1, "bbox": [15, 5, 30, 60]}, {"id": 4, "image_id": 2, "category_id": 2, "bbox": [0, 40, 120, 100]}]}
JSON
cat >"$out/detections.json" <<'JSON'
[{"image_id": 1, "category_id": 1, "bbox": [12, 21, 40, 48], "score": 0.9}, {"image_id": 1, "category_id": 2, "bbox": [58, 35, 90, 80], "score": 0.8},
 {"image_id": 2, "category_id": 1, "bbox": [70, 5, 30, 60], "score": 0.7}, {"image_id": 2, "category_id": 2, "bbox": [5, 45, 110, 90], "score": 0.6}]
JSON

say "7. Write the report"
run thresher-report "$out/loop" "$out/reference" "$out/prioritised/learnability" "$out/scores.h5" "$out/batch.h5" "$out/batch-hard.h5" \
    --pool "$out/web.h5" --figures "$out/figures" -o "$out/report.html"
end=$(date +%s)

say "Done in $((end - ready)) s after $((ready - begin)) s of installing and building. Open $out/report.html and $out/prioritised.png, then try"
show "thresher info $out/batch.h5"
show "mpirun -n 2 --oversubscribe thresher train --pool $out/web.h5 --rows $out/batch.h5 --init $out/learner/model.pt --epochs 2 --run $out/continued"
show "thresher select --pool $out/web.h5 --learner $out/learner/model.pt --reference $out/reference/model.pt --acquisition learnability --selector softmax -k 1000 -o $out/sample.h5"
