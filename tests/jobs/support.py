"""Runs the program the way a user does, on small pools made here with h5py."""

import json
import os
import pathlib
import signal
import subprocess

import h5py
import numpy

from scratch import ScratchTest

THRESHER = os.environ["THRESHER_PROGRAM"]
MPIRUN = [os.environ.get("THRESHER_MPIRUN", "mpirun"), "--oversubscribe", "--bind-to", "none"]
ENVIRONMENT = dict(
    os.environ,
    OMP_NUM_THREADS="1",
    OMPI_ALLOW_RUN_AS_ROOT="1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
)


def curves(path):
    """All curves of a run.h5 but the seconds, which are of the clock: name -> bytes."""
    found = {}
    with h5py.File(path) as file:
        file["curves"].visititems(
            lambda name, item: found.update({name: item[()].tobytes()})
            if isinstance(item, h5py.Dataset) and not name.endswith("seconds") else None)
    return found


def command(arguments, ranks):
    program = [THRESHER, *map(str, arguments), *([] if {"--threads", "--help"} & set(arguments) else ["--threads", "1"])]
    return program if ranks == 0 else [*MPIRUN, "-n", str(ranks), *program]


def children_of(parent):
    children = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # what follows the program's name
        except OSError:
            continue  # it has ended since
        if int(fields[1]) == parent:
            children.append(int(stat.parent.name))
    return children


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    def json(self):
        return json.loads(self.out.strip().splitlines()[-1])


class JobTest(ScratchTest):
    """Ways to run the program in a scratch directory. ranks=0 runs without mpirun."""

    def run_any(self, *arguments, ranks=0, environment=None, **options):
        process = subprocess.run(
            command(arguments, ranks), capture_output=True, text=True, timeout=600, cwd=self.directory,
            env=dict(ENVIRONMENT, **(environment or {})), **options)
        return Result(process)

    def run_ok(self, *arguments, ranks=0, **options):
        result = self.run_any(*arguments, ranks=ranks, **options)
        self.assertEqual(result.code, 0, result.err)
        return result

    def assert_fails(self, code, words, *arguments, ranks=0, **options):
        """Fails with this exit code and one message that holds all the words."""
        result = self.run_any(*arguments, ranks=ranks, **options)
        self.assertEqual(result.code, code, result.err)
        for word in words:
            self.assertIn(word, result.err)
        return result

    def start(self, *arguments, ranks=0):
        """Starts the program in a process group of its own, so that all ranks can be killed together."""
        return subprocess.Popen(
            command(arguments, ranks), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            cwd=self.directory, env=ENVIRONMENT, start_new_session=True)

    def kill_all(self, process):
        """SIGKILL for mpirun and every rank. Ranks are in sessions of their own, so they are found by their parent."""
        for pid in [*children_of(process.pid), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.communicate()

    def make_pool(self, name="pool.h5", rows=1000, classes=4, seed=0, shape=(1, 8, 8), noise=40.0, **extra):
        """Images whose class is the quadrant that is bright: learnable, not trivial."""
        random = numpy.random.default_rng(seed)
        targets = random.integers(0, classes, rows)
        images = random.normal(90.0, noise, (rows, *shape))
        half = shape[1] // 2
        for row, target in enumerate(targets):
            top, left = (target // 2) % 2, target % 2
            images[row, :, top * half:(top + 1) * half, left * half:(left + 1) * half] += 60.0
        with h5py.File(self.path(name), "w") as file:
            inputs = file.create_dataset("inputs", data=numpy.clip(images, 0, 255).astype("u1"))
            inputs.attrs["scale"] = 1.0 / 255.0
            inputs.attrs["mean"] = numpy.array([0.4])
            inputs.attrs["std"] = numpy.array([0.2])
            file.create_dataset("targets", data=targets.astype("i8"))
            file["targets"].attrs["classes"] = classes
            for dataset, values in extra.items():
                file.create_dataset(dataset, data=values)
        return self.path(name)

    def make_scores(self, scores, name="scores.h5", ids=None):
        with h5py.File(self.path(name), "w") as file:
            file.attrs["format"] = "thresher-scores"
            file.attrs["format_version"] = numpy.int64(1)
            file.create_dataset("scores/given", data=numpy.asarray(scores, "f4"))
            if ids is None:
                file.attrs["ids"] = "rows"
            else:
                file.create_dataset("ids", data=numpy.asarray(ids, "i8"))
        return self.path(name)

    def train(self, pool, run, *options, model="mlp", ranks=0):
        defaults = [] if "--epochs" in options else ["--epochs", 2]
        self.run_ok("train", "--pool", pool, "--model", model, *defaults, "--batch-size", 50, "--run", self.path(run),
                    *options, ranks=ranks)
        return self.path(run + "/model.pt")

    def batch(self, name="batch.h5"):
        with h5py.File(self.path(name)) as file:
            return file["ids"][:], file["scores"][:]
