"""What the parts of run.py share: input files, the programs and what they print, seconds, memory."""

import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np


def output_of(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: ended with {done.returncode}")
    return done.stdout


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def over_ranks(ranks, command):
    """The command on so many ranks, each bound to a core of its own."""
    return ["mpirun", "--oversubscribe", "--bind-to", "core", "-n", ranks, *command]


def cpu_seconds(body):
    begin = time.process_time()
    body()
    return time.process_time() - begin


def run_and_measure(command):
    """Wall seconds, processor seconds and peak memory in bytes of one process."""
    begin = time.perf_counter()
    with open(os.devnull, "w") as null:
        process = subprocess.Popen([str(part) for part in command], stdout=null, stderr=null)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: ended with status {status}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def random_log_probs(random, shape):
    """Log-probabilities of normal logits of deviation 2; the last axis of `shape` is the classes."""
    logits = 2 * random.standard_normal(shape, dtype=np.float32)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def load():
    return round(os.getloadavg()[0], 1)


def keep_best(best, times):
    """The least of each time that it was ever told."""
    for name, value in times.items():
        best[name] = min(value, best.get(name, float("inf")))


class Bench:
    def __init__(self, build, data):
        self.build, self.data = build, data
        self.thresher = build / "thresher"

    def program(self, name):
        return self.build / "tests" / "bench" / f"bench_{name}"

    def scores(self, rows):
        """A raw file of `rows` normal scores, made once."""
        path = self.data / f"scores-{rows}.f32"
        if not path.exists():
            random = np.random.default_rng(1)
            with open(path, "wb") as file:
                for begin in range(0, rows, 10**7):
                    count = min(10**7, rows - begin)
                    random.standard_normal(count, dtype=np.float32).tofile(file)
        return path

    def scores_file(self, rows):
        """The same as an HDF5 scores file of anyone's."""
        path = self.data / f"scores-{rows}.h5"
        if not path.exists():
            with h5py.File(path, "w") as file:
                values = np.memmap(self.scores(rows), dtype=np.float32, mode="r")
                file.create_dataset("/scores/score", data=values)
        return path
