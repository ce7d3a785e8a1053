"""What checkpoints cost a training run, and how long a job takes to start."""

from measure import last_json, load, output_of, run_and_measure
from training import make_pool

RANKS, EVERY_S = 4, 60


def checkpoints(bench, pool):
    """Training for a few minutes."""
    facts = last_json(output_of(
        [bench.thresher, "train", "--pool", pool, "--model", "resnet18", "--updates", 600, "--batch-size", 32, "--threads", 2,
         "--checkpoint-every", EVERY_S, "--run", bench.data / "run-resnet18", "--overwrite", "--json", "--progress", "none"]))
    seconds = facts["seconds"]
    trained = sum(seconds.get(phase, 0.0) for phase in ("read", "compute", "reduce", "update"))
    return {"benchmark": "survival", "model": "resnet18", "every_s": EVERY_S, "trained_s": trained,
            "checkpoint_s": seconds["checkpoint"], "load": load()}


def start(bench, pool):
    """A whole job over a pool of one small block for each rank, mpirun's start and the file it writes included."""
    run = bench.data / "run-mlp"
    output_of([bench.thresher, "train", "--pool", pool, "--model", "mlp", "--updates", 1, "--run", run, "--overwrite",
               "--progress", "none"])
    predict = [bench.thresher, "predict", "--pool", pool, "--learner", run / "model.pt", "--threads", 1, "-o",
               bench.data / "start.h5", "--overwrite", "--progress", "none"]
    whole = min(run_and_measure(["mpirun", "--oversubscribe", "-n", RANKS, *predict])[0] for _ in range(5))
    return {"benchmark": "survival", "ranks": RANKS, "whole_s": whole, "load": load()}


def survival(bench):
    """Checkpoints every minute of training resnet18; start-up of four ranks."""
    pool = bench.data / "survival.h5"
    make_pool(pool)
    yield start(bench, pool)
    yield checkpoints(bench, pool)
