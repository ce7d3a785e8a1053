"""Killed at random moments with SIGKILL, and resumed: the same model and the same curves as undisturbed."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from scenes import make_scenes  # noqa: E402
from support import JobTest, curves  # noqa: E402

KILLS = int(os.environ.get("THRESHER_KILLS", "10"))


class Kill(JobTest):
    def undisturbed(self, *arguments):
        """Runs the job and returns its seconds: moments to kill its like at are shares of them."""
        begin = time.monotonic()
        self.run_ok(*arguments, ranks=2)
        return time.monotonic() - begin

    def torture(self, seed, seconds, finished, *arguments):
        """Runs `arguments` with --resume, killing all ranks at random moments, until KILLS kills were made or it ended.

        Every other moment, the first among them, is one soon after a new checkpoint, so that the job is resumed in the middle on any machine."""
        moments = random.Random(seed)
        checkpoints = pathlib.Path(self.path(finished)).parent / "checkpoints"
        kills = 0

        def written():
            """Those that have their name, not those that are being written."""
            return {name for name in os.listdir(checkpoints) if name.isdigit()} if checkpoints.exists() else set()

        while kills < KILLS:
            before = written()
            process = self.start(*arguments, "--resume", ranks=2)
            after_checkpoint = kills % 2 == 0
            while after_checkpoint and process.poll() is None and written() <= before:
                time.sleep(0.002)
            try:
                _, error = process.communicate(timeout=moments.uniform(0.0, seconds * (0.02 if after_checkpoint else 0.2)))
                self.assertEqual(process.returncode, 0, error)
                break  # ended before the moment came
            except subprocess.TimeoutExpired:
                self.kill_all(process)
                kills += 1
        result = self.run_ok(*arguments, "--resume", ranks=2)
        self.assertTrue(pathlib.Path(self.path(finished)).exists())
        self.assertGreater(kills, 1)
        self.assertIn("resumed from", result.err)

    def test_train(self):
        pool = self.make_pool(rows=3000, shape=(1, 28, 28))

        def command(run):
            return ("train", "--pool", pool, "--model", "cnn", "--epochs", 16, "--batch-size", 100, "--augment", "crop-flip",
                    "--checkpoint-every", 0.2, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(11, seconds, "killed/model.pt", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))
        for model in ("whole", "killed"):
            self.run_ok("predict", "--pool", pool, "--learner", self.path(f"{model}/model.pt"), "-o", self.path(f"{model}.h5"))
        with h5py.File(self.path("whole.h5")) as whole, h5py.File(self.path("killed.h5")) as killed:
            numpy.testing.assert_array_equal(killed["log_probs"][:], whole["log_probs"][:])
        self.assertFalse(list(pathlib.Path(self.path("killed")).rglob("*.tmp")))

    def test_detector(self):
        pool = make_scenes(self.path("scenes.h5"), rows=64)

        def command(run):
            return ("train", "--pool", pool, "--validation-pool", pool, "--model", "ssd", "--optimizer", "adamw", "--augment", "boxes",
                    "--epochs", 25, "--batch-size", 8, "--checkpoint-every", 0.2, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(17, seconds, "killed/model.pt", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))
        self.assertEqual(pathlib.Path(self.path("killed/model.pt")).read_bytes(), pathlib.Path(self.path("whole/model.pt")).read_bytes())

    def test_prioritised(self):
        pool = self.make_pool(rows=3000, shape=(1, 28, 28))
        reference = self.train(pool, "reference", "--hidden", 16)

        def command(run):
            return ("train", "--pool", pool, "--model", "mlp", "--method", "learnability", "--reference", reference,
                    "--updates", 3000, "--batch-size", 50, "--checkpoint-every", 0.2, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(13, seconds, "killed/model.pt", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))

    def test_pairs(self):
        tokens = numpy.random.default_rng(3).integers(1, 20, (1500, 4)).astype("i4")
        pool = self.make_pool(rows=1500, tokens=tokens, image_ids=numpy.arange(1500) // 2)
        with h5py.File(pool, "a") as file:
            file["tokens"].attrs["vocabulary"] = 20
        towers = ("--pool", pool, "--model", "two-tower", "--image-tower", "mlp", "--hidden", 16, "--text-width", 32,
                  "--text-layers", 1, "--embedding-size", 16, "--optimizer", "adamw", "--learning-rate", 1e-3)
        self.run_ok("train", *towers, "--updates", 10, "--run", self.path("reference"))

        def command(run):
            return ("train", *towers, "--method", "learnability", "--reference", self.path("reference/model.pt"), "--updates", 400,
                    "--batch-size", 50, "--checkpoint-every", 0.2, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(14, seconds, "killed/model.pt", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))

    def test_loop(self):
        pool, test = self.make_pool(rows=3000), self.make_pool("test.h5", rows=500, seed=1)

        def command(run):
            return ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--acquisitions", "random,entropy",
                    "--initial", 20, "-k", 20, "--cycles", 4, "--repeats", 2, "--updates", 1500, "--batch-size", 20,
                    "--checkpoint-every", 0.2, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(12, seconds, "killed/run.h5", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))

    def test_policy(self):
        def command(run):
            return ("policy", "train", "--environment", "ring", "--candidates", 40, "-k", 5, "--environments", 3, "--updates", 240,
                    "--records", 60, "--head", "walk", "--estimator", "ridge", "--checkpoint-every", 0.1, "--run", self.path(run))

        seconds = self.undisturbed(*command("whole"))
        self.torture(15, seconds, "killed/policy.h5", *command("killed"))
        self.assertEqual(curves(self.path("killed/run.h5")), curves(self.path("whole/run.h5")))
        with h5py.File(self.path("whole/policy.h5")) as whole, h5py.File(self.path("killed/policy.h5")) as killed:
            numpy.testing.assert_array_equal(killed["parameters"][:], whole["parameters"][:])

    def test_table(self):
        def command(output):
            return ("table", "build", "--environment", "ring", "--records", 6000, "--near", 0.2, "--proxy-steps", 300, "-o",
                    self.path(output))

        def records(path):
            with h5py.File(path) as file:
                return [file[name][...].tobytes() for name in ("subsets", "numbers", "metrics/accuracy")]

        seconds = self.undisturbed(*command("whole.h5"))
        log = pathlib.Path(self.path("killed.h5.records"))
        moments, kills = random.Random(15), 0
        while kills < min(KILLS, 5):
            before = log.stat().st_size if log.exists() else 0
            process = self.start(*command("killed.h5"), ranks=2)
            while process.poll() is None and (not log.exists() or log.stat().st_size <= before):
                pass
            try:
                _, error = process.communicate(timeout=moments.uniform(0.0, 0.02 * seconds))
                self.assertEqual(process.returncode, 0, error)
                break
            except subprocess.TimeoutExpired:
                self.kill_all(process)
                kills += 1
        self.assertGreater(kills, 1)
        if log.exists():
            result = self.run_ok(*command("killed.h5"), ranks=2)
            self.assertIn("resumed", result.err)
        self.assertFalse(log.exists())
        self.assertEqual(records(self.path("killed.h5")), records(self.path("whole.h5")))

    def test_stop_signal_checkpoints_and_asks_to_be_requeued(self):
        pool = self.make_pool(rows=3000, shape=(1, 28, 28))
        command = ("train", "--pool", pool, "--model", "cnn", "--epochs", 40, "--batch-size", 100, "--run", self.path("run"))
        process = self.start(*command)
        while not pathlib.Path(self.path("run/config.toml")).exists():
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGUSR1)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85, error)
        self.assertIn("--resume", error)
        self.assertTrue(list(pathlib.Path(self.path("run/checkpoints")).iterdir()))
        self.assert_fails(85, ["--resume"], *command, "--resume", "--max-walltime", 1)


if __name__ == "__main__":
    unittest.main()
