"""Whatever is wrong with the input, the error names it, all ranks end together, and nothing is half written."""

import os
import pathlib
import shutil
import subprocess
import unittest

import h5py
import numpy

from support import THRESHER, JobTest


class BadInput(JobTest):
    def assert_nothing_written(self, *names):
        for name in names:
            self.assertFalse(pathlib.Path(self.path(name)).exists(), name)
        self.assertEqual(list(self.directory.rglob("*.tmp")), [])

    def refuse(self, code, words, *arguments):
        """The same refusal without ranks and over two."""
        self.assert_fails(code, words, *arguments)
        result = self.assert_fails(code, words, *arguments, ranks=2)
        message = [line for line in result.err.splitlines() if words[0] in line]
        self.assertEqual(len(message), 1, result.err)  # said once, not once a rank
        self.assert_nothing_written("out.h5")

    def select_random(self, pool, *options):
        return ("select", "--pool", pool, "--acquisition", "random", "-k", 5, "-o", self.path("out.h5"), *options)

    def test_truncated_file(self):
        pool = self.make_pool()
        size = os.path.getsize(pool)
        os.truncate(pool, size // 2)
        self.refuse(1, ["pool.h5", "truncated"], *self.select_random(pool))

    def test_missing_file(self):
        self.refuse(1, ["nowhere.h5"], *self.select_random(self.path("nowhere.h5")))

    def test_hdf5_that_is_no_pool(self):
        with h5py.File(self.path("other.h5"), "w") as file:
            file.create_dataset("something", data=numpy.zeros(3))
        self.refuse(1, ["other.h5", "/inputs"], *self.select_random(self.path("other.h5")))

    def test_no_hdf5_at_all(self):
        pathlib.Path(self.path("text.h5")).write_text("hello")
        self.refuse(1, ["text.h5"], *self.select_random(self.path("text.h5")))

    def test_missing_dataset(self):
        pool = self.make_pool()
        self.refuse(1, ["/elsewhere"], *self.select_random(pool, "--inputs", "/elsewhere"))

    def test_targets_of_the_wrong_length(self):
        pool = self.make_pool()
        with h5py.File(pool, "a") as file:
            del file["targets"]
            file.create_dataset("targets", data=numpy.zeros(7, "i8"))
        self.refuse(1, ["targets", "7", "1000"], *self.select_random(pool))

    def test_targets_out_of_range_are_quarantined_by_id(self):
        pool = self.make_pool()
        learner = self.train(pool, "learner")
        with h5py.File(pool, "a") as file:
            file["targets"][17] = 99
        command = ("select", "--pool", pool, "--learner", learner, "--acquisition", "hard-learner", "-k", 999, "--classes", 4,
                   "-o", self.path("out.h5"), "--json", "--overwrite")
        for ranks in (0, 2):
            result = self.run_ok(*command, ranks=ranks)
            self.assertEqual(result.json()["quarantined"], 1)
            self.assertIn("17", result.err)
            self.assertNotIn(17, self.batch("out.h5")[0])
        os.remove(self.path("out.h5"))
        os.remove(self.path("out.csv"))
        self.refuse(1, ["1 of 1000 rows", "--max-bad"], *command, "--max-bad", 0)

    def test_model_that_does_not_fit_the_classes(self):
        learner = self.train(self.make_pool("four.h5"), "learner")
        ten = self.make_pool("ten.h5", classes=10)
        self.refuse(1, ["model.pt", "4 classes", "10"], "select", "--pool", ten, "--learner", learner, "--acquisition",
                    "entropy", "-k", 5, "-o", self.path("out.h5"))

    def test_k(self):
        pool = self.make_pool()
        for k, code, words in ((0, 2, ["-k is missing or 0", "how many rows"]), (1001, 1, ["k is 1001", "1000 rows"])):
            self.refuse(code, words, "select", "--pool", pool, "--acquisition", "random", "-k", k, "-o", self.path("out.h5"))

    def test_empty_pool(self):
        with h5py.File(self.path("empty.h5"), "w") as file:
            file.create_dataset("inputs", data=numpy.zeros((0, 1, 8, 8), "u1"))
        self.refuse(1, ["empty.h5", "the pool is empty"], *self.select_random(self.path("empty.h5")))

    def test_more_ranks_than_blocks(self):
        pool = self.make_pool(rows=20)
        self.run_ok(*self.select_random(pool), ranks=4)
        self.assertEqual(len(self.batch("out.h5")[0]), 5)

    def test_scores_that_are_not_finite(self):
        path = self.make_scores([1.0, numpy.nan, 3.0, numpy.inf, 2.0])
        for ranks in (0, 2):
            result = self.run_ok("select", "--scores", path, "-k", 3, "--max-bad", "2", "-o", self.path("b.h5"), "--overwrite",
                                 "--json", ranks=ranks)
            self.assertEqual(self.batch("b.h5")[0].tolist(), [2, 4, 0])
            self.assertEqual(result.json()["quarantined"], 2)
        self.refuse(1, ["2 of 5 rows"], "select", "--scores", path, "-k", 3, "-o", self.path("out.h5"))

    def test_ids_that_occur_twice(self):
        path = self.path("found.h5")
        with h5py.File(path, "w") as file:
            file["probabilities"] = numpy.full((6, 2), 0.5, "f4")
            file["ids"] = numpy.array([4, 3, 2, 1, 2, 0])
        self.refuse(1, ["found.h5: the id 2 occurs more than once"], "score", "--predictions", path, "--acquisition", "entropy", "-o",
                    self.path("out.h5"))

    def test_scores_in_another_shape_or_type(self):
        path = self.path("mine.h5")
        for name, scores, words in (("scores", numpy.zeros(5, "f4"), ["/scores is a dataset", "/scores/mine"]),
                                    ("scores/mine", numpy.zeros(5), ["/scores/mine is f64", 'astype("float32")'])):
            with h5py.File(path, "w") as file:
                file[name] = scores
            self.refuse(1, words, "select", "--scores", path, "-k", 3, "-o", self.path("out.h5"))

    def test_corrupt_jpeg(self):
        folder = self.directory / "photos"
        folder.mkdir()
        from PIL import Image
        for name in ("a", "b", "c"):
            Image.fromarray(numpy.full((20, 20, 3), 128, "u1")).save(folder / f"{name}.jpg")
        whole = (folder / "b.jpg").read_bytes()
        (folder / "b.jpg").write_bytes(whole[:len(whole) // 4])
        self.assert_fails(1, ["b.jpg"], "import", "images", folder, "-o", self.path("out.h5"))
        self.assert_nothing_written("out.h5")
        result = self.run_ok("import", "images", folder, "-o", self.path("out.h5"), "--max-bad", "1", "--json")
        self.assertEqual(result.json(), {**result.json(), "rows": 2, "quarantined": 1})
        self.assertIn("b.jpg", result.err)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs, which needs root")
    def test_full_disk(self):
        small = self.directory / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", small])
        scores = self.make_scores(numpy.random.default_rng(0).normal(size=100000))
        for ranks in (0, 2):
            self.assert_fails(1, ["small/out.h5", "No space left"], "select", "--scores", scores, "-k", 50000, "-o",
                              small / "out.h5", ranks=ranks)
            self.assertEqual(list(small.iterdir()), [])
        pool = self.make_pool(rows=20000)
        for ranks in (0, 2):
            self.assert_fails(1, ["small/s.h5"], "score", "--pool", pool, "--acquisition", "random", "-o", small / "s.h5",
                              ranks=ranks)
            self.assertEqual(list(small.iterdir()), [])

    def test_output_that_exists(self):
        pool = self.make_pool()
        self.run_ok(*self.select_random(pool))
        before = pathlib.Path(self.path("out.h5")).read_bytes()
        for ranks in (0, 2):
            self.assert_fails(1, ["out.h5", "exists", "--overwrite"], *self.select_random(pool), ranks=ranks)
        self.assertEqual(pathlib.Path(self.path("out.h5")).read_bytes(), before)
        self.run_ok(*self.select_random(pool, "--overwrite"), ranks=2)

    def test_output_that_is_the_input(self):
        scores = self.make_scores([1.0, 2.0, 3.0])
        before = pathlib.Path(scores).read_bytes()
        self.assert_fails(2, ["scores.h5", "elsewhere"], "select", "--scores", scores, "-k", 1, "-o", scores, "--overwrite")
        self.assertEqual(pathlib.Path(scores).read_bytes(), before)

    def test_output_that_any_other_option_names(self):
        pool, scores = self.make_pool(), self.make_scores([1.0, 2.0, 3.0])
        model = self.train(pool, "learner", "--epochs", 1)
        self.run_ok("select", "--scores", scores, "-k", 1, "-o", self.path("old.h5"))
        table = pathlib.Path(self.path("table.csv"))
        table.write_text("a,label\n1,0\n2,1\n")
        for output, *arguments in ((model, "predict", "--pool", pool, "--learner", model),
                                   (pool, "derive", "--pool", pool, "--subset", 10),
                                   (table, "import", "csv", table, "--target-column", "label"),
                                   (table, "select", "--scores", scores, "-k", 1, "--exclude", table),
                                   (self.path("old.h5"), "select", "--scores", scores, "-k", 1, "--exclude", self.path("old.h5")),
                                   (pool, "label", "--batch", self.path("old.h5"), "--answers", table, "--pool", pool)):
            with self.subTest(arguments=arguments):
                before = pathlib.Path(output).read_bytes()
                self.assert_fails(2, ["is what the job reads"], *arguments, "-o", output, "--overwrite")
                self.assertEqual(pathlib.Path(output).read_bytes(), before)
        # So does a split that would get the name of its own pool.
        shutil.copy(pool, self.path("web.h5"))
        self.assert_fails(2, ["web.h5", "is what the job reads"], "derive", "--pool", self.path("web.h5"), "--split", "web=10,rest=rest",
                          "-o", self.path("."), "--overwrite")
        # The list for people beside the batch counts as well.
        self.assert_fails(2, ["table.csv", "is what the job reads"], "select", "--scores", scores, "-k", 1, "--exclude", table, "-o",
                          self.path("table.h5"), "--overwrite")

    def test_job_that_fails_leaves_what_another_is_writing(self):
        pool = self.make_pool()
        others = pathlib.Path(self.path("out.h5.tmp"))
        others.write_text("half of it")
        self.assert_fails(1, ["nowhere.pt"], "predict", "--pool", pool, "--learner", self.path("nowhere.pt"), "-o", self.path("out.h5"))
        self.assertEqual(others.read_text(), "half of it")

    def test_ids_beyond_the_largest(self):
        ids = numpy.arange(1000, dtype="u8") + numpy.uint64(2**63)
        self.refuse(1, ["pool.h5", "/ids", "2^63"], *self.select_random(self.make_pool(ids=ids)))

    def test_too_few_rows_because_the_others_are_bad(self):
        pool = self.make_pool()
        model = self.train(pool, "learner", "--epochs", 1)
        with h5py.File(pool, "a") as file:
            file["targets"][:995] = -1
        self.refuse(1, ["995 of 1000 rows are bad", "no target"], "select", "--pool", pool, "--learner", model, "--acquisition",
                    "hard-learner", "-k", 10, "-o", self.path("out.h5"))

    def test_pool_that_was_not_scored(self):
        pool, scores = self.make_pool(), self.make_scores([1.0, 2.0, 3.0])
        self.refuse(2, ["pool.h5", "1000 rows", "3 scores"], "select", "--scores", scores, "--pool", pool, "-k", 1, "-o",
                    self.path("out.h5"))

    def test_unknown_acquisition(self):
        pool = self.make_pool()
        self.refuse(2, ["entrpy", "known: random, least-confidence, margin, entropy"], "select", "--pool", pool,
                    "--acquisition", "entrpy", "-k", 5, "-o", self.path("out.h5"))

    def test_acquisition_that_does_not_fit(self):
        pool = self.make_pool()
        learner = self.train(pool, "learner")
        self.run_ok("predict", "--pool", pool, "--learner", learner, "-o", self.path("p.h5"))
        self.refuse(2, ["learnability", "losses/learner", "fit what is there: random, least-confidence, margin, entropy"],
                    "select", "--predictions", self.path("p.h5"), "--acquisition", "learnability", "-k", 5, "-o",
                    self.path("out.h5"))

    @unittest.skipIf(os.geteuid() == 0 and not os.path.exists("/proc"), "root may write anywhere")
    def test_run_directory_that_cannot_be_written(self):
        pool = self.make_pool()
        (self.directory / "file").write_text("")
        for ranks in (0, 2):
            self.assert_fails(1, ["file/run"], "train", "--pool", pool, "--model", "mlp", "--run", self.path("file/run"),
                              ranks=ranks)

    def test_resume_and_overwrite(self):
        self.assert_fails(2, ["--resume", "--overwrite", "one of them"], "train", "--pool", self.make_pool(), "--model", "mlp", "--run",
                          self.path("run"), "--resume", "--overwrite")

    def test_two_jobs_on_one_run_directory(self):
        pool = self.make_pool(rows=20000)
        first = self.start("train", "--pool", pool, "--model", "mlp", "--epochs", 10000, "--run", self.path("run"))
        self.addCleanup(self.kill_all, first)
        while not pathlib.Path(self.path("run/config.toml")).exists():
            self.assertIsNone(first.poll())
        for ranks in (0, 2):
            self.assert_fails(1, ["run", str(first.pid)], "train", "--pool", pool, "--model", "mlp", "--run",
                              self.path("run"), "--resume", ranks=ranks)

    def test_stdout_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            process = subprocess.run([THRESHER, "list"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=self.directory)
        self.assertEqual(process.returncode, 1)
        self.assertIn("stdout cannot be written", process.stderr)

    def test_rank_that_may_run_on_one_core(self):
        one = {min(os.sched_getaffinity(0))}
        process = subprocess.run([THRESHER, "list", "--log-level", "debug"], capture_output=True, text=True, cwd=self.directory,
                                 preexec_fn=lambda: os.sched_setaffinity(0, one))
        self.assertIn("1 thread each", process.stderr)

    def test_usage(self):
        for arguments, words in (
                (("bake",), ["unknown verb \"bake\""]),
                (("select", "--pool"), ["--pool"]),
                (("select", "-k", "1", "-o", "out.h5", "--bogus", "1"), ["--bogus"]),
                (("select", "-k", "x", "-o", "out.h5"), ["-k"]),
                (("train", "--pool", "p.h5", "--run", "r", "--hidden", "0"), ["--hidden", "is 0; allowed are numbers above 0"]),
                (("train", "--pool", "p.h5", "--run", "r", "--hidden", "nan"), ["--hidden", "is nan"]),
                (("train", "--pool", "p.h5", "--run", "r", "--optimizer", "rmsprop", "--model", "mlp"), ["rmsprop", "adamw"])):
            process = subprocess.run([THRESHER, *arguments], capture_output=True, text=True, cwd=self.directory)
            self.assertEqual(process.returncode, 2, process.stderr)
            for word in words:
                self.assertIn(word, process.stderr)


if __name__ == "__main__":
    unittest.main()
