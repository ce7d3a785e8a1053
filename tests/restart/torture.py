"""The harness of torture.sh: undisturbed runs, kills at random instants, what goes on after them, and the comparison."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
import zipfile

import h5py
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from support import ENVIRONMENT, JobTest, children_of, command  # noqa: E402

RANKS = int(os.environ.get("THRESHER_RANKS", "2"))
PATIENCE_S = 120
RESUMED = {("train",), ("loop",), ("policy", "train")}


def contents(path):
    """What a result holds, without the times of day and the seconds that it took: name -> bytes."""
    path = pathlib.Path(path)
    if path.is_dir():
        files = [path / "model.pt", path / "run.h5", path / "policy.h5", *path.glob("*.shard*.h5"), *path.glob("shard*.h5")]
        return {f"{file.name}:{name}": value for file in files if file.exists() for name, value in contents(file).items()}
    if path.suffix == ".pt":
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()})
                        if isinstance(item, h5py.Dataset) and "seconds" not in name and not name.startswith("ledger") else None)
    return found


class Target:
    """A job that is killed. `arguments` hold its --run or -o as "{}"."""

    def __init__(self, name, output, *arguments, ranks=RANKS):
        self.name, self.output, self.template, self.ranks = name, output, [str(word) for word in arguments], ranks
        self.resumes = any(tuple(self.template[:len(verb)]) == verb for verb in RESUMED)

    def path(self, which):
        stem, dot, suffix = self.output.rpartition(".")
        return f"{stem}.{which}.{suffix}" if dot and "/" not in suffix else f"{self.output}.{which}"

    def arguments(self, which):
        words = [self.path(which) if word == "{}" else word for word in self.template]
        return words + (["--resume"] if self.resumes and "--resume" not in words else [])

    def start(self, which):
        return subprocess.Popen(command(self.arguments(which), self.ranks), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, env=ENVIRONMENT, start_new_session=True)

    def finish(self, which):
        process = self.start(which)
        _, error = process.communicate(timeout=1200)
        if process.returncode != 0:
            raise SystemExit(f"{self.name}: {' '.join(self.arguments(which))}\nended with exit code {process.returncode}\n{error}")

    def remove(self, which):
        path = pathlib.Path(self.path(which))
        for left in path.parent.glob(path.name + "*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def prepare(self):
        """Runs it undisturbed."""
        self.remove("undisturbed")
        begin = time.monotonic()
        self.finish("undisturbed")
        self.seconds = time.monotonic() - begin
        self.whole = contents(self.path("undisturbed"))
        self.remove("tortured")

    def kill(self, instants):
        """Kills it once; says whom, and what it had come to. A job that had ended is begun anew."""
        process = self.start("tortured")
        instant = instants.uniform(0.0, self.seconds)
        one = instants.random() < 0.5
        try:
            _, error = process.communicate(timeout=instant)
            assert process.returncode == 0, f"ended with exit code {process.returncode}: {error}"
            self.check()
            self.remove("tortured")
            return None
        except subprocess.TimeoutExpired:
            pass
        ranks = children_of(process.pid) if self.ranks > 0 else []
        one = one and len(ranks) > 0
        victims = [instants.choice(ranks)] if one else [*ranks, process.pid]
        for pid in victims:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        try:
            process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SystemExit(f"{self.name}: with one rank killed, the others were still there after {PATIENCE_S} s")
        if not self.resumes and os.path.exists(self.path("tortured")):
            self.check()  # absent or whole, never a part
            self.remove("tortured")
        return f"{'one rank' if one else 'all ranks'} after {instant:.2f} of {self.seconds:.2f} s"

    def check(self):
        """Throws AssertionError where the result is not that of the undisturbed job."""
        result = contents(self.path("tortured"))
        assert result.keys() == self.whole.keys(), f"{sorted(result.keys() ^ self.whole.keys())} are not in both"
        different = [name for name, value in result.items() if value != self.whole[name]]
        assert not different, f"{different} differ"
        left = list(pathlib.Path(self.path("tortured")).rglob("*.tmp")) if os.path.isdir(self.path("tortured")) else []
        assert not left, f"{left} were left"


def built_in(test):
    """Jobs of every kind that writes, on small pools, of about a second each."""
    pool, held_out = test.make_pool(rows=4000, shape=(1, 16, 16)), test.make_pool("test.h5", rows=500, seed=1, shape=(1, 16, 16))
    learner = test.train(pool, "learner", "--hidden", 64)
    with open(test.path("table.csv"), "w") as file:
        file.write("".join(f"{row % 7},{row % 11},{row % 13},{row % 3}\n" for row in range(60000)))
    path = test.path
    train = ("train", "--pool", pool, "--model", "mlp", "--batch-size", 50, "--run", "{}")
    return [
        Target("import", path("imported.h5"), "import", "csv", path("table.csv"), "--target-column", 3, "-o", "{}", ranks=0),
        Target("train", path("run"), *train, "--epochs", 5, "--checkpoint-every", 0.2),
        Target("score", path("scores.h5"), "score", "--pool", pool, "--learner", learner, "--acquisition", "entropy,margin", "-o", "{}"),
        Target("checkpoints", path("checkpoints"), *train, "--updates", 30, "--checkpoint-every", 0.0),
        Target("select", path("batch.h5"), "select", "--pool", pool, "--learner", learner, "--acquisition", "k-center", "-k", 300, "-o", "{}"),
        Target("loop", path("loop"), "loop", "--pool", pool, "--test-pool", held_out, "--model", "mlp", "--acquisitions", "random,entropy",
               "--initial", 20, "-k", 20, "--cycles", 3, "--updates", 60, "--batch-size", 20, "--checkpoint-every", 0.2, "--run", "{}"),
        Target("predict", path("predictions.h5"), "predict", "--pool", pool, "--learner", learner, "-o", "{}"),
        Target("policy", path("policy"), "policy", "train", "--environment", "ring", "--candidates", 40, "-k", 4, "--environments", 2,
               "--records", 100, "--updates", 30, "--checkpoint-every", 0.2, "--run", "{}"),
        Target("table", path("made.h5"), "table", "build", "--environment", "ring", "--records", 3000, "--proxy-steps", 100, "-o", "{}"),
    ]


def own(words):
    for option in ("--run", "-o", "--output"):
        if option in words:
            at = words.index(option) + 1
            return [Target(" ".join(words[:1]), os.path.abspath(words[at]), *words[:at], "{}", *words[at + 1:])]
    raise SystemExit("torture.sh: the job has neither --run nor --output")


class Scratch(JobTest):
    def runTest(self):
        pass


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    scratch = Scratch()
    scratch.setUp()
    try:
        targets = own(sys.argv[2:]) if len(sys.argv) > 2 else built_in(scratch)
        for target in targets:
            target.prepare()
        instants = random.Random(int(os.environ.get("THRESHER_SEED", "0")))
        done, failures = 0, []
        while done < kills:
            target = targets[done % len(targets)]
            said = None
            try:
                while said is None:
                    said = target.kill(instants)
                # Every other kill is followed by another of the same job, so that what was resumed is killed as well.
                if instants.random() < 0.5:
                    target.finish("tortured")
                    target.check()
                    target.remove("tortured")
            except AssertionError as error:
                failures.append(f"{target.name}, {said}: {error}")
                target.remove("tortured")
            done += 1
            print(f"{done:4} {target.name}: {said}", flush=True)
        for target in targets:  # those that were left killed
            try:
                target.finish("tortured")
                target.check()
            except AssertionError as error:
                failures.append(f"{target.name}, at the end: {error}")
        for failure in failures:
            print(f"FAILED {failure}")
        print(f"{kills - len(failures)} of {kills} kills: the same results as undisturbed")
        return 1 if failures else 0
    finally:
        scratch.doCleanups()


if __name__ == "__main__":
    sys.exit(main())
