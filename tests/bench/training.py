"""A training update against its parts, and against the same update in PyTorch."""

import time

import h5py
import numpy as np

from measure import keep_best, last_json, load, output_of, over_ranks

ROWS, BATCH, REPEATS = 8192, 32, 3
OPTIMIZER = ("--optimizer", "adamw", "--learning-rate", 0.001, "--weight-decay", 0.01)

# Two-towers: that of jobs/configs/activeclip.toml, and one whose towers are both transformers, in the default sizes.
PAIRS, TOKENS, VOCABULARY = 64, 8, 1000
TOWERS = {"cnn": {"text-width": 64, "text-layers": 1, "embedding-size": 64},
          "vit-tiny": {"text-width": 128, "text-layers": 2, "embedding-size": 128}}


def make_pool(path):
    random = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        inputs = file.create_dataset("/inputs", data=random.integers(0, 256, (ROWS, 1, 28, 28), dtype=np.uint8))
        inputs.attrs["scale"] = 1 / 255
        targets = file.create_dataset("/targets", data=random.integers(0, 10, ROWS))
        targets.attrs["class_names"] = [str(label) for label in range(10)]


def make_pair_pool(path):
    """Images with captions of 2 tokens and more."""
    random = np.random.default_rng(1)
    tokens = random.integers(1, VOCABULARY, (ROWS, TOKENS), dtype=np.int32)
    tokens[np.arange(TOKENS) >= random.integers(2, TOKENS + 1, (ROWS, 1))] = 0
    with h5py.File(path, "w") as file:
        inputs = file.create_dataset("/inputs", data=random.integers(0, 256, (ROWS, 3, 32, 32), dtype=np.uint8))
        inputs.attrs["scale"] = 1 / 255
        file.create_dataset("/tokens", data=tokens).attrs["vocabulary"] = VOCABULARY


def seconds_of_update(bench, pool, model, updates, *options, batch=BATCH):
    """Seconds by phase of one update, start-up and checkpoints left out."""
    facts = last_json(output_of(
        [bench.thresher, "train", "--pool", pool, "--model", model, "--dropout", 0, "--updates", updates, "--batch-size",
         batch, *OPTIMIZER, "--threads", 1, "--run", bench.data / f"run-{model}", "--overwrite", "--json", "--progress",
         "none", *options]))
    phases = ("read", "score", "choose", "compute", "reduce", "update")
    return {phase: facts["seconds"].get(phase, 0.0) / updates for phase in phases}


def seconds_in_torch(network, loss_of, batch, updates, pool_rows=ROWS):
    """Seconds of one update as people write it; loss_of(rows) gives the loss of these rows. A tenth as many more warm up, where
    Thresher's are all counted."""
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001, weight_decay=0.01)
    order = torch.randperm(pool_rows)
    begin = None
    warm_up = max(1, updates // 10)
    for update in range(warm_up + updates):
        if update == warm_up:
            begin = time.perf_counter()
        loss = loss_of(order[update * batch % (pool_rows - batch):][:batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - begin) / updates


def update_in_torch(pool, model, updates):
    """The examples in memory as bytes."""
    import torch

    from loader import make_network

    with h5py.File(pool) as file:
        inputs, targets = torch.from_numpy(file["/inputs"][:]), torch.from_numpy(file["/targets"][:])
    network = make_network(model).train()
    return seconds_in_torch(
        network, lambda rows: torch.nn.functional.cross_entropy(network(inputs[rows].float().mul_(1 / 255)), targets[rows]),
        BATCH, updates)


def pair_update_in_torch(pool, image, updates):
    import torch

    from two_tower import TwoTower

    with h5py.File(pool) as file:
        inputs, tokens = torch.from_numpy(file["/inputs"][:]), torch.from_numpy(file["/tokens"][:])
    network = TwoTower(image, VOCABULARY, TOKENS, *TOWERS[image].values()).train()
    return seconds_in_torch(network, lambda rows: network(inputs[rows].float().mul_(1 / 255), tokens[rows]), PAIRS, updates)


def prioritised(bench, pool, learner, updates):
    """An update of learnability with cnn scorers, and each of its parts in a run of its own."""
    reference = bench.data / "run-cnn-reference"
    output_of([bench.thresher, "train", "--pool", pool, "--model", "cnn", "--dropout", 0, "--updates", 1, "--run", reference,
               "--overwrite", "--progress", "none"])
    model = reference / "model.pt"
    best = {}
    for _ in range(REPEATS):
        step = seconds_of_update(bench, pool, learner, updates, "--method", "learnability", "--reference", model)
        alone = seconds_of_update(bench, pool, learner, updates)
        online = seconds_of_update(bench, pool, "cnn", 20 * updates)
        # Both scorers over two candidates for each row that is kept.
        facts = last_json(output_of(
            [bench.thresher, "predict", "--pool", pool, "--strategy", "loss", "--learner", model, "--reference", model,
             "--threads", 1, "-o", bench.data / "losses.h5", "--overwrite", "--json", "--progress", "none"]))
        keep_best(best, {"step_s": sum(step.values()), "choose_s": step["choose"], "learner_s": sum(alone.values()),
                         "online_s": sum(online.values()),
                         "scoring_s": facts["seconds"]["predict"] * 2 * BATCH / ROWS})
    return {"benchmark": "training", "learner": learner, "scorers": "cnn", **best, "load": load()}


def with_actors(bench, pool, updates):
    """An update where scoring costs what training does: one rank that does both, and an actor beside a learner."""
    train = [bench.thresher, "train", "--pool", pool, "--model", "cnn", "--dropout", 0, "--updates", updates, "--batch-size",
             4 * BATCH, "--method", "hard-learner", "--online", "learner", "--filter-ratio", 3, *OPTIMIZER, "--threads", 1,
             "--run", bench.data / "run-actors", "--overwrite", "--json", "--progress", "none"]
    works, best = ("read", "choose", "compute", "reduce", "update"), {}
    for _ in range(REPEATS):
        alone = last_json(output_of(train))["seconds"]
        beside = last_json(output_of(over_ranks(2, [*train, "--actors", 1])))["seconds"]
        busy = sum(beside.get(phase, 0.0) for phase in works)
        idle = beside["wait"] + beside["publish"]
        keep_best(best, {"co_located_s": (sum(alone.get(phase, 0.0) for phase in works) + alone["score"]) / updates,
                         "scoring_s": alone["score"] / updates, "actors_s": (busy + idle) / updates,
                         "idle_share": idle / (busy + idle)})
    return {"benchmark": "training", "actors": 1, **best, "load": load()}


def against_torch(bench, pool, model, updates):
    best = {}
    for _ in range(REPEATS):
        keep_best(best, {"thresher_s": sum(seconds_of_update(bench, pool, model, updates).values()),
                         "torch_s": update_in_torch(pool, model, updates)})
    return {"benchmark": "training", "model": model, **best, "load": load()}


def pairs_against_torch(bench, pool, image, updates):
    shape = [part for name, value in TOWERS[image].items() for part in (f"--{name}", value)]
    best = {}
    for _ in range(REPEATS):
        ours = seconds_of_update(bench, pool, "two-tower", updates, "--image-tower", image, *shape, batch=PAIRS)
        keep_best(best, {"thresher_s": sum(ours.values()), "torch_s": pair_update_in_torch(pool, image, updates)})
    return {"benchmark": "training", "model": f"two-tower of {image} and {TOWERS[image]['text-layers']} layers of text, "
            f"{PAIRS} pairs", **best, "load": load()}


def training(bench):
    """An update of learnability against its parts, and with an actor; of uniform training, of classes and of pairs,
    against PyTorch eager."""
    pool = bench.data / "pool-training.h5"
    make_pool(pool)
    yield prioritised(bench, pool, "resnet18", 8)
    yield with_actors(bench, pool, 100)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    for model, updates in (("mlp", 1000), ("cnn", 100)):
        yield against_torch(bench, pool, model, updates)
    pairs = bench.data / "pool-pairs.h5"
    make_pair_pool(pairs)
    for image, updates in (("cnn", 100), ("vit-tiny", 8)):
        yield pairs_against_torch(bench, pairs, image, updates)
