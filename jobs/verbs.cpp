#include "jobs/verbs.hpp"

namespace thresher::jobs {

const std::vector<Verb>& verbs() {
    static const std::vector<Verb> table{
        {"import", "idx, cifar, images, image-text, csv, hdf5, voc, coco -> pool",
         "thresher import idx /usr/share/datasets/fashion-mnist -o quickstart/example-pool.h5",
         run_import},
        {"derive", "pool -> pool: repeat, label noise, imbalance, subset, split; the truth is kept",
         "thresher derive --pool quickstart/clean.h5 --label-noise 0.2 -o "
         "quickstart/example-noisy.h5",
         run_derive},
        {"predict", "pool + models + strategy -> predictions",
         "mpirun -n 2 thresher predict --pool quickstart/web.h5 --learner "
         "quickstart/learner/model.pt "
         "-o quickstart/example-predictions.h5",
         run_predict, true},
        {"score", "predictions (or pool + models) + acquisitions -> scores",
         "mpirun -n 2 thresher score --predictions quickstart/example-predictions.h5 --acquisition "
         "entropy,margin "
         "-o quickstart/example-scores.h5",
         run_score, true},
        {"select", "scores (or predictions, or pool + models) + selector -> batch",
         "mpirun -n 2 thresher select --pool quickstart/web.h5 --learner "
         "quickstart/learner/model.pt "
         "--reference quickstart/reference/model.pt --acquisition learnability -k 1000 -o "
         "quickstart/example-batch.h5",
         run_select, true},
        {"label", "what people answered (csv, Label Studio, CVAT) -> labels file",
         "thresher label --batch quickstart/example-batch.h5 --answers "
         "quickstart/example-batch.csv --pool "
         "quickstart/clean.h5 -o quickstart/example-labels.csv",
         run_label},
        {"train", "supervised training on a pool, or on the rows of a batch or label file -> run",
         "mpirun -n 2 thresher train --pool quickstart/clean.h5 --model mlp --epochs 2 --run "
         "quickstart/example-train",
         run_train, true},
        {"evaluate", "model + pool -> accuracy, loss, per-class table, calibration",
         "thresher evaluate --pool quickstart/test.h5 --model quickstart/learner/model.pt",
         run_evaluate, true},
        {"map",
         "ground truth + detections (COCO's JSON) -> average precision by COCO's rule or VOC's",
         "mpirun -n 2 thresher map --ground-truth quickstart/boxes.json --detections "
         "quickstart/detections.json",
         run_map},
        {"loop", "active-learning cycles: train, evaluate, predict, score, select, label",
         "mpirun -n 2 thresher loop --pool quickstart/clean.h5 --test-pool quickstart/test.h5 "
         "--model mlp "
         "--acquisitions random,entropy --initial 100 -k 100 --cycles 3 --run "
         "quickstart/example-loop",
         run_loop, true},
        {"table", "what batches are worth by retraining, and estimates for others",
         "mpirun -n 2 thresher table build --environment pool --pool quickstart/clean.h5 "
         "--components 40 --test-points 400 --records 200 -o quickstart/example-table.h5",
         run_table},
        {"env", "the games in which batches are chosen: run, oracle, influence",
         "mpirun -n 2 thresher env run --environment ringdup --seeds 2 -o "
         "quickstart/example-env.h5",
         run_env},
        {"cost", "does prioritised training pay?",
         "thresher cost --learner resnet18 --online cnn --reference cnn --speedup 0.26 --pool "
         "quickstart/clean.h5",
         run_cost},
        {"policy", "learn to select: train a policy in environments, pick with it, and judge it",
         "mpirun -n 2 thresher policy train --environment ring -k 5 --environments 4 --updates 50 "
         "--run "
         "quickstart/example-policy",
         run_policy, true},
        {"submit", "write a Slurm job for another verb, and submit it",
         "thresher submit train --pool quickstart/clean.h5 --model mlp --epochs 2 --run "
         "quickstart/example-submit --nodes 4 --time 2:00:00 --dry-run",
         run_submit},
        {"status", "how a run stands, from its files: progress, checkpoint, requeues, errors",
         "thresher status quickstart/learner", run_status},
        {"info", "what a Thresher file holds, or what this build can do",
         "thresher info quickstart/clean.h5", run_info},
        {"list",
         "the tables of strategies, acquisitions, models, environments, estimators and so on",
         "thresher list", run_list},
    };
    return table;
}

}  // namespace thresher::jobs
