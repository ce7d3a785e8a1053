"""Runs the benchmarks, prints one JSON line each, and writes the tables of docs/results.md.

Both sides of a ratio are measured in one run of a part, taking turns, the best of several.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import h5py
import numpy as np

from detection import detection
from joint import joint
from lookup_table import table
from measure import Bench, cpu_seconds, keep_best, last_json, load, output_of, over_ranks
from measure import random_log_probs, run_and_measure
from policy import policy
from survival import survival
from training import training

K = 10**6


def numpy_partition(scores, k):
    top = np.argpartition(scores, len(scores) - k)[-k:]
    top[np.argsort(-scores[top])]


def numpy_threshold(scores, k):
    limit = np.partition(scores, len(scores) - k)[-k]
    top = np.flatnonzero(scores >= limit)[:k]
    top[np.argsort(-scores[top])]


def selection(bench):
    """Selections in memory on one thread against LibTorch and NumPy, in processor seconds."""
    for rows, selector in ((10**8, "top-k"), (10**7, "softmax")):
        path = bench.scores(rows)
        values = np.fromfile(path, dtype=np.float32)
        weights = np.exp(values.astype(np.float64))
        weights /= weights.sum()
        random = np.random.default_rng(1)
        rivals = {
            "top-k": {
                "numpy_argpartition_s": lambda: numpy_partition(values, K),
                "numpy_partition_threshold_s": lambda: numpy_threshold(values, K),
            },
            "softmax": {
                "numpy_choice_s": lambda: random.choice(rows, K, replace=False, p=weights),
            },
        }[selector]
        best = {}
        for _ in range(3):
            line = last_json(output_of([bench.program("selection"), "--scores", path, "--k", K,
                                        "--selector", selector, "--repeats", 3]))
            times = {name: value for name, value in line.items() if name.endswith("_s")}
            times |= {name: cpu_seconds(body) for name, body in rivals.items()}
            keep_best(best, times)
        yield line | best | {"load": load()}

    path = bench.scores(10**9)
    line = last_json(output_of([bench.program("selection"), "--scores", path, "--k", K,
                                "--selector", "softmax", "--repeats", 1, "--rivals", "no"]))
    path.unlink()
    yield line | {"load": load()}


def process(bench):
    """`thresher select` from a scores file in page cache against the selection in memory."""
    rows = 10**8
    path, raw = bench.scores_file(rows), bench.scores(rows)
    batch = bench.data / "batch.h5"
    select = [bench.thresher, "select", "--scores", path, "-k", K, "--threads", 1, "-o", batch,
              "--progress", "none"]

    def remove_batch():
        for made in (batch, batch.with_suffix(".csv")):
            made.unlink(missing_ok=True)

    def read():
        with open(path, "rb", buffering=0) as file:
            while file.readinto(chunk):
                pass

    chunk = bytearray(2**20)
    read()  # into the page cache
    os.sync()  # what was just made is not to be waited for
    best = dict.fromkeys(("select_s", "start_s", "memory_s", "read_s"), float("inf"))
    peak = 0
    for _ in range(5):
        remove_batch()
        _, spent, memory = run_and_measure(select)
        peak = max(peak, memory)
        _, start, _ = run_and_measure([bench.thresher, "list"])
        line = last_json(output_of([bench.program("selection"), "--scores", raw, "--k", K,
                                    "--repeats", 3, "--rivals", "no"]))
        for name, value in (("select_s", spent), ("start_s", start),
                            ("memory_s", line["thresher_s"]), ("read_s", cpu_seconds(read))):
            best[name] = min(best[name], value)
    for ranks in (1, 2):
        phases = []
        for _ in range(5):
            remove_batch()
            facts = last_json(output_of(["mpirun", "--oversubscribe", "-n", ranks, *select, "--json"]))
            phases.append(facts["seconds"]["select"])
        best[f"select_phase_{ranks}_s"] = min(phases)
    yield {"benchmark": "process", "rows": rows, "k": K, "threads": 1, **best,
           "peak_bytes": peak, "allowed_bytes": 12 * rows + 256 * 2**20, "load": load()}


def traffic(bench):
    """What a selection exchanges, for a small and a large pool, less the batch itself."""
    for ranks in (1, 2):
        for selector in ("top-k", "softmax"):
            line = {"benchmark": "traffic", "ranks": ranks, "selector": selector, "k": 1000}
            for rows in (10**5, 10**8):
                facts = last_json(output_of(
                    ["mpirun", "--oversubscribe", "-n", ranks, bench.thresher, "select",
                     "--scores", bench.scores_file(rows), "-k", 1000, "--selector", selector,
                     "--threads", 1, "-o", bench.data / "batch.h5", "--overwrite", "--json",
                     "--progress", "none"]))
                line[f"collectives_{rows}"] = facts["selection_collectives"]
                line[f"bytes_{rows}"] = facts["selection_bytes"]
            yield line | {"load": load()}


def scoring(bench):
    """Images a second of predict and fused select against the bare forward pass."""
    for model, rows in (("mlp", 32768), ("cnn", 2048), ("resnet18", 64)):
        for threads in (1, 2):
            line = last_json(output_of([bench.program("scoring"), "--model", model, "--rows", rows,
                                        "--threads", threads, "--repeats", 25]))
            yield line | {"load": load()}


def loader(bench):
    """`thresher predict` from a file against PyTorch with h5py, as people write it and at best."""
    try:
        import torch
    except ImportError:
        print("loader: no PyTorch in .venv-bench, left out", file=sys.stderr)
        return
    from loader import measure_python

    torch.set_num_threads(1)
    for model, rows in (("mlp", 200000), ("cnn", 40000)):
        pool = bench.data / f"pool-{model}.h5"
        random = np.random.default_rng(1)
        with h5py.File(pool, "w") as file:
            inputs = file.create_dataset(
                "/inputs", data=random.integers(0, 256, (rows, 1, 28, 28), dtype=np.uint8))
            inputs.attrs["scale"] = 1 / 255
            targets = file.create_dataset("/targets", data=random.integers(0, 10, rows))
            targets.attrs["class_names"] = [str(label) for label in range(10)]
        run = bench.data / f"run-{model}"
        output_of([bench.thresher, "train", "--pool", pool, "--model", model, "--epochs", 1,
                   "--run", run, "--overwrite", "--threads", 2, "--progress", "none"])
        weights = next(run.glob("**/*.pt"))
        best = {}
        for _ in range(3):
            facts = last_json(output_of(
                [bench.thresher, "predict", "--pool", pool, "--learner", weights, "--threads", 1,
                 "-o", bench.data / "predictions.h5", "--overwrite", "--json", "--progress",
                 "none"]))
            rates = {"predict_images_per_s": rows / facts["seconds"]["total"]}
            rates |= measure_python(pool, model)
            for name, value in rates.items():
                best[name] = max(value, best.get(name, 0.0))
        yield {"benchmark": "loader", "model": model, "rows": rows, "threads": 1, **best,
               "load": load()}


def modal_entropy(probabilities, k):
    """modAL's entropy sampling, as its users call it; the prediction is made already."""
    from modAL.uncertainty import entropy_sampling

    class Classifier:
        def predict_proba(self, _):
            return probabilities

    return lambda: entropy_sampling(Classifier(), probabilities, n_instances=k)


def baal_bald(probabilities, k):
    """baal's BALD, which takes [N, C, S] and ranks the whole pool."""
    from baal.active.heuristics import BALD

    predictions = np.ascontiguousarray(probabilities.transpose(0, 2, 1))
    return lambda: BALD()(predictions)[:k]


def acquisitions(bench):
    """Scoring class outputs in memory and choosing 1000 rows, against LibTorch, modAL and baal."""
    k, classes = 1000, 10
    for name, rows, samples, rival, make_rival in (
        ("entropy", 10**6, 1, "modal_s", modal_entropy),
        ("bald", 10**5, 10, "baal_s", baal_bald),
    ):
        log_probs = random_log_probs(np.random.default_rng(1), (rows, samples, classes))
        path = bench.data / f"log-probs-{name}.f32"
        log_probs.tofile(path)
        probabilities = np.exp(log_probs).squeeze() if samples == 1 else np.exp(log_probs)
        rivals = {}
        try:
            rivals[rival] = make_rival(probabilities, k)
        except ImportError as error:
            print(f"acquisitions: {error} in .venv-bench, left out", file=sys.stderr)
        for threads in (1, 2):
            best = {}
            for _ in range(3):
                line = last_json(output_of(
                    [bench.program("acquisition"), "--log-probs", path, "--acquisition", name,
                     "--samples", samples, "--classes", classes, "--k", k, "--repeats", 5,
                     "--threads", threads]))
                times = {key: value for key, value in line.items()
                         if key.endswith("_s") and key != "read_gb_per_s"}
                if threads == 1:
                    times |= {key: cpu_seconds(body) for key, body in rivals.items()}
                keep_best(best, times)
            bytes_read = 4 * rows * samples * classes
            yield line | best | {"read_gb_per_s": 1e-9 * bytes_read / best["read_s"],
                                 "load": load()}


# Runs a program, then writes the most memory it had into a file of its rank's: lines of several
# ranks can get mixed on the way to one stdout.
WITH_PEAK = """
import os, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1] + os.environ["OMPI_COMM_WORLD_RANK"], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))
sys.exit(code)
"""


def jest(bench):
    """Joint choices of a fifth and of half of the candidates against LibTorch's products."""
    for filter_ratio in (5, 2):
        line = last_json(output_of([bench.program("jest"), "--filter-ratio", filter_ratio,
                                    "--repeats", 5]))
        yield line | {"load": load()}


def pass_seconds(path, offset, threads):
    """Seconds that pass while threads, a part for each, find the maximum of mapped floats."""
    values = np.memmap(path, dtype=np.float32, mode="r", offset=offset)
    parts = [threading.Thread(target=part.max) for part in np.array_split(values, threads)]
    begin = time.perf_counter()
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    return time.perf_counter() - begin


def scale(bench):
    """A selection of 10^6 rows from 10^9 scores on two ranks, against one pass over the scores."""
    rows, ranks = 10**9, 2
    path = bench.scores_file(rows)
    bench.scores(rows).unlink()
    with h5py.File(path) as file:
        offset = file["/scores/score"].id.get_offset()
    select = [bench.thresher, "select", "--scores", path, "-k", K, "--threads", 1, "-o",
              bench.data / "batch.h5", "--overwrite", "--json", "--progress", "none"]
    pass_seconds(path, offset, ranks)  # into the page cache
    best, peak = {}, 0
    for _ in range(3):
        facts = last_json(output_of(over_ranks(
            ranks, [sys.executable, "-c", WITH_PEAK, bench.data / "peak-", *select])))
        peak = max(peak, sum(int((bench.data / f"peak-{rank}").read_text())
                             for rank in range(ranks)))
        keep_best(best, {"select_s": facts["seconds"]["select"],
                         "total_s": facts["seconds"]["total"],
                         "pass_s": pass_seconds(path, offset, ranks)})
    path.unlink()
    yield {"benchmark": "scale", "rows": rows, "k": K, "ranks": ranks, **best,
           "peak_bytes": peak, "allowed_bytes": 12 * rows + ranks * 256 * 2**20,
           "load": load()}


def letter_box(bench):
    """Decoding and letter-boxing JPEG files to 300 pixels against libjpeg's decoding alone."""
    for pack, folder in (("voc2012-100", "VOC2012-100/JPEGImages"),
                         ("coco-mini-159-boxes-captions", "coco-mini/val2017"),
                         ("bccd-voc", "BCCD/JPEGImages")):
        archive = Path(__file__).parents[3] / "shared" / "data" / f"{pack}.tar"
        if not archive.exists():
            print(f"letter_box: no {archive}, left out", file=sys.stderr)
            continue
        with tarfile.open(archive) as tar:
            tar.extractall(bench.data, [member for member in tar.getmembers()
                                        if member.name.startswith(folder + "/")])
        line = last_json(output_of([bench.program("letter_box"), "--images", bench.data / folder,
                                    "--size", 300, "--repeats", 9]))
        yield line | {"pack": pack, "load": load()}


PARTS = {part.__name__: part for part in (selection, process, traffic, scoring, loader,
                                          acquisitions, joint, jest, scale, table, training, policy,
                                          survival, detection, letter_box)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}")

    if len(arguments.parts) != 1:
        # Each in a process of its own: one that a large process starts seems as large as it is.
        for name in arguments.parts or PARTS:
            subprocess.run([sys.executable, __file__, "--build", arguments.build,
                            "--results", arguments.results, name], check=True)
        return

    from tables import write_tables

    with tempfile.TemporaryDirectory(prefix="thresher-bench-",
                                     dir=os.environ.get("THRESHER_BENCH_DATA")) as data:
        bench = Bench(arguments.build, Path(data))
        lines = []
        for line in PARTS[arguments.parts[0]](bench):
            print(json.dumps(line), flush=True)
            lines.append(line)
            write_tables(arguments.results, arguments.parts[0], lines)


if __name__ == "__main__":
    main()
