"""The part "joint": batches that are chosen as a whole, against others, over ranks, and at size."""

import sys
from dataclasses import asdict, dataclass

import h5py
import numpy as np

from joint_rivals import RIVALS
from measure import cpu_seconds, keep_best, last_json, load, output_of, over_ranks
from measure import random_log_probs

ROUNDS = 3


@dataclass
class Job:
    acquisition: str
    rows: int
    k: int
    embedding_size: int = 0
    samples: int = 0
    classes: int = 0
    similarity: str = ""

    def shape(self):
        return {name: value for name, value in asdict(self).items() if value}

    def options(self):
        """Of bench_joint."""
        return [part for name, value in self.shape().items()
                for part in (f"--{name.replace('_', '-')}", value)]


JOBS = (
    Job("batchbald", rows=2000, k=5, samples=10, classes=10),
    Job("k-center", rows=20000, k=100, embedding_size=64),
    Job("badge", rows=20000, k=20, embedding_size=64, samples=1, classes=10),
    Job("facility-location", rows=8000, k=100, embedding_size=64,
        similarity="neg-squared-distance"),
    Job("facility-location", rows=8000, k=100, embedding_size=64, similarity="cosine"),
)
LARGE = Job("k-center", rows=2 * 10**6, k=1000, embedding_size=128)
SCORED = Job("bald", rows=500_000, k=0, samples=10, classes=10)


class Inputs:
    """Random embeddings and predictions, in memory and in the files that Thresher reads."""

    def __init__(self, bench, job):
        self.k, self.similarity = job.k, job.similarity
        self.predictions = bench.data / f"predictions-{job.acquisition}.h5"
        self.files, self.arrays = [], {}
        random = np.random.default_rng(1)
        if job.embedding_size:
            self.embeddings = random.standard_normal((job.rows, job.embedding_size),
                                                     dtype=np.float32)
            self._keep(bench, "embeddings", self.embeddings)
        if job.samples:
            self.log_probs = random_log_probs(random, (job.rows, job.samples, job.classes))
            self.probabilities = np.exp(self.log_probs.astype(np.float64))
            self._keep(bench, "log_probs", self.log_probs)
        with h5py.File(self.predictions, "w") as file:
            for name, values in self.arrays.items():
                file[name] = values

    def _keep(self, bench, name, values):
        path = bench.data / f"joint-{name}.f32"
        values.tofile(path)
        self.files += [f"--{name.replace('_', '-')}", path]
        self.arrays[name] = values


def agreement(line, rival):
    """What the two batches have in common, in words."""
    picks, gains = rival
    same = [int(a) == int(b) for a, b in zip(line["ids"], picks)]
    first = same.index(False) if False in same else len(same)
    words = "equal picks" if first == len(same) else f"first {first} of {len(same)} picks equal"
    if gains is not None:
        ours, theirs = np.asarray(line["scores"]), np.asarray(gains)
        apart = np.max(np.abs(ours - theirs) / np.abs(theirs))
        words += ", equal gains to 1e-6" if apart <= 1e-6 else f", gains {apart:.0e} apart"
    return words


def ready_rivals(job, inputs):
    rivals = {}
    for name, make in RIVALS[job.acquisition].items():
        try:
            rivals[name] = make(inputs)
        except ImportError as error:
            print(f"joint: {error} in .venv-bench, left out", file=sys.stderr)
    return rivals


def against_rivals(bench, job):
    """Processor seconds of one thread."""
    inputs = Inputs(bench, job)
    rivals = ready_rivals(job, inputs)
    best, agrees, batches = {}, {}, {}
    for _ in range(ROUNDS):
        line = last_json(output_of([bench.program("joint"), *job.options(), *inputs.files,
                                    "--repeats", 5, "--threads", 1, "--picks", "yes"]))
        keep_best(best, {"thresher_cpu_s": line["thresher_cpu_s"]})
        for name, choose in rivals.items():
            keep_best(best, {f"{name}_s": cpu_seconds(lambda: batches.update({name: choose()}))})
            agrees[name] = agreement(line, batches[name])
    return {"benchmark": "joint", **job.shape(), **best, "agrees": agrees, "load": load()}


def batch_of(path):
    with h5py.File(path) as file:
        return [file[name][...].tolist() for name in ("ids", "scores") if name in file]


def over_two_ranks(bench, job, verb, phases, what_was_chosen):
    """Seconds that pass in `phases` of the verb, on one rank and on two, of one thread each."""
    inputs = Inputs(bench, job)
    best, outputs = {}, {}
    for _ in range(ROUNDS + 2):
        for ranks in (1, 2):
            output = bench.data / f"ranks-{ranks}.h5"
            facts = last_json(output_of(over_ranks(ranks, [
                bench.thresher, *verb, "--predictions", inputs.predictions, "--acquisition",
                job.acquisition, "--threads", 1, "-o", output, "--overwrite", "--json",
                "--progress", "none"])))
            spent = sum(facts["seconds"].get(phase, 0.0) for phase in phases)
            keep_best(best, {f"ranks_{ranks}_s": spent})
            outputs[ranks] = what_was_chosen(output)
    return {"benchmark": "joint ranks", **job.shape(), **best,
            "equal": outputs[1] == outputs[2], "load": load()}


def chosen_over_two_ranks(bench, job):
    similarity = ["--similarity", job.similarity] if job.similarity else []
    return over_two_ranks(bench, job, ["select", "-k", job.k, *similarity], ["select"], batch_of)


def scored_over_two_ranks(bench):
    def scores_of(path):
        with h5py.File(path) as file:
            return file["scores/bald"][...].tobytes()

    return over_two_ranks(bench, SCORED, ["score"], ["score", "wait"], scores_of)


def large(bench):
    line = last_json(output_of([bench.program("joint"), *LARGE.options(), "--repeats", 1,
                                "--threads", 1]))
    return line | {"benchmark": "joint large", "load": load()}


def joint(bench):
    """Batches chosen as a whole: k-center, batchbald, badge, facility-location."""
    for job in JOBS:
        yield against_rivals(bench, job)
    yield large(bench)
    for job in JOBS:
        yield chosen_over_two_ranks(bench, job)
    yield scored_over_two_ranks(bench)
