"""Training, evaluation and cycles, as a user runs them."""

import pathlib
import unittest

import h5py
import numpy

from support import JobTest


class Training(JobTest):
    def log_probs(self, pool, model):
        name = self.path("predictions.h5")
        self.run_ok("predict", "--pool", pool, "--learner", model, "-o", name, "--overwrite")
        with h5py.File(name) as file:
            return file["log_probs"][:]

    def test_reproducible_training_is_the_same_for_any_ranks(self):
        pool = self.make_pool(rows=2000, shape=(1, 16, 16))
        for model in ("mlp", "cnn", "resnet18"):
            found = {}
            for ranks in (1, 2, 4):
                options = ("--epochs", 1, "--updates", 8, "--reproducible", "--augment", "crop-flip")
                path = self.train(pool, f"{model}-{ranks}", *options, model=model, ranks=ranks)
                found[ranks] = self.log_probs(pool, path)
            self.assertEqual(found[1].tobytes(), found[2].tobytes(), model)
            self.assertEqual(found[1].tobytes(), found[4].tobytes(), model)

    def test_a_model_learns_from_a_table(self):
        random = numpy.random.default_rng(3)
        points = random.normal([5.0, -300.0], [1.0, 50.0], (400, 2))
        kinds = numpy.where((points[:, 0] - 5) + (points[:, 1] + 300) / 50 > 0, "up", "down")
        for name in ("train", "test"):
            with open(self.path(name + ".csv"), "w") as file:
                file.write("x,y,kind\n" + "".join(f"{x},{y},{kind}\n" for (x, y), kind in zip(points, kinds)))
            self.run_ok("import", "csv", self.path(name + ".csv"), "--target-column", "kind", "--class-names", "down,up", "-o",
                        self.path(name + ".h5"))
        model = self.train(self.path("train.h5"), "run", "--epochs", 20)
        self.assertGreater(self.run_ok("evaluate", "--pool", self.path("test.h5"), "--model", model, "--json").json()["accuracy"], 0.95)

    def test_a_model_learns_and_is_evaluated(self):
        pool, test = self.make_pool(rows=4000), self.make_pool("test.h5", seed=1)
        model = self.train(pool, "run", "--epochs", 8)
        one = self.run_ok("evaluate", "--pool", test, "--model", model, "--json").json()
        self.assertGreater(one["accuracy"], 0.9)
        three = self.run_ok("evaluate", "--pool", test, "--model", model, "--json", ranks=3).json()
        for name in ("accuracy", "loss", "calibration_error"):
            self.assertEqual(one[name], three[name])
        with h5py.File(self.path("run/run.h5")) as file:
            self.assertEqual(file["curves/evaluations/train_loss"].shape, (8,))
            self.assertGreater(file["ledger"]["flops"]["learner"][()], 0)

    def test_training_on_a_batch_and_on_labels(self):
        pool = self.make_pool(rows=2000)
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 100, "-o", self.path("batch.h5"))
        result = self.run_any("train", "--pool", pool, "--rows", self.path("batch.h5"), "--model", "mlp", "--epochs", 1,
                              "--batch-size", 20, "--run", self.path("on-batch"), "--json")
        self.assertEqual(result.json()["updates"], 5)
        pathlib.Path(self.path("labels.csv")).write_text("id,label\n5,1\n9,0\n3,2\n")
        self.run_ok("train", "--pool", pool, "--labels", self.path("labels.csv"), "--model", "mlp", "--epochs", 1,
                    "--batch-size", 3, "--run", self.path("on-labels"))
        pathlib.Path(self.path("wrong.csv")).write_text("id,label\n5,1\n9,77\n")
        self.assert_fails(1, ["wrong.csv", "3", "77"], "train", "--pool", pool, "--labels", self.path("wrong.csv"), "--model",
                          "mlp", "--run", self.path("never"))

    def test_options_come_from_a_file_and_the_command_line_wins(self):
        pool = self.make_pool()
        pathlib.Path(self.path("job.toml")).write_text(f'pool = "{pool}"\nacquisition = ["random"]\nk = 7\noutput = "b.h5"\n')
        self.run_ok("select", "--config", self.path("job.toml"), ranks=2)
        self.assertEqual(len(self.batch("b.h5")[0]), 7)
        self.run_ok("select", "--config", self.path("job.toml"), "-k", 9, "--overwrite")
        self.assertEqual(len(self.batch("b.h5")[0]), 9)
        printed = self.run_ok("select", "--config", self.path("job.toml"), "--print-config").out
        self.assertIn("k=7", printed.replace(" ", ""))
        # What is printed can be read back, empty options and lists included.
        pathlib.Path(self.path("printed.toml")).write_text(printed)
        self.run_ok("select", "--config", self.path("printed.toml"), "--overwrite")
        self.assertEqual(len(self.batch("b.h5")[0]), 7)
        self.train(pool, "first")
        self.run_ok("train", "--config", self.path("first/config.toml"), "--run", self.path("second"))
        pathlib.Path(self.path("bad.toml")).write_text("kk = 7\n")
        self.assert_fails(2, ["bad.toml", "kk"], "select", "--config", self.path("bad.toml"), "-k", 1, "-o", "x.h5")


    def test_a_failed_start_does_not_stand_in_the_way(self):
        pool = self.make_pool()
        self.assert_fails(2, ["resnet19", "resnet18"], "train", "--pool", pool, "--model", "resnet19", "--run", self.path("run"))
        self.assert_fails(2, ["mlp has no trunk", "ssd"], "train", "--pool", pool, "--model", "mlp", "--trunk", "small", "--run",
                          self.path("run"))
        self.assert_fails(1, ["no boxes", "ssd"], "train", "--pool", pool, "--model", "ssd", "--run", self.path("run"))
        self.train(pool, "run")

    def test_nothing_to_train_on(self):
        pool = self.make_pool()
        with h5py.File(pool, "a") as file:
            file["targets"][:] = -1
        self.assert_fails(1, ["pool.h5", "no row has a target", "--labels"], "train", "--pool", pool, "--model", "mlp", "--run",
                          self.path("run"))
        with h5py.File(pool, "a") as file:
            file["targets"][:] = 0
            file["targets"][:40] = 99
        self.assert_fails(1, ["40 of 1000 rows", "--max-bad"], "train", "--pool", pool, "--model", "mlp", "--run",
                          self.path("run"), ranks=2)


class Loop(JobTest):
    def test_what_the_model_cannot_give_is_refused_before_it_is_trained(self):
        pool, test = self.make_pool(), self.make_pool("test.h5", seed=1)
        loop = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--initial", 10, "-k", 5, "--cycles", 2, "--updates",
                5, "--batch-size", 5, "--run", self.path("run"))
        result = self.assert_fails(2, ["dropout"], *loop, "--acquisitions", "random,bald", ranks=2)
        self.assertNotIn("labelled, accuracy", result.err)
        # Nothing was left in the way of the next try.
        self.run_ok(*loop, "--acquisitions", "random,bald", "--dropout", 0.5, "--samples", 2)

    def test_a_person_labels(self):
        pool, test = self.make_pool(), self.make_pool("test.h5", seed=1)
        with h5py.File(pool) as file:
            targets = file["targets"][:]
        with h5py.File(pool, "a") as file:
            file["targets"][:] = -1
        command = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--acquisitions", "entropy", "--initial", 10,
                   "-k", 5, "--cycles", 3, "--updates", 20, "--batch-size", 10, "--oracle", "person", "--run",
                   self.path("run"))
        result = self.run_ok(*command, ranks=2)
        for expected in (10, 5, 5):
            self.assertIn(f"{expected} rows wait for labels", result.out)
            with open(self.path("run/batch.csv")) as file:
                header, *lines = file.read().splitlines()
            self.assertTrue(header.startswith("id,"))
            self.assertEqual(len(lines), expected)
            ids = [int(line.split(",")[0]) for line in lines]
            pathlib.Path(self.path("labels.csv")).write_text(
                "id,label\n" + "".join(f"{i},{targets[i]}\n" for i in ids[1:]))
            self.assert_fails(1, ["labels.csv", f"ids {ids[0]}"], *command, "--resume", "--labels", self.path("labels.csv"))
            with open(self.path("labels.csv"), "a") as file:
                file.write(f"{ids[0]},{targets[ids[0]]}\n")
            result = self.run_ok(*command, "--resume", "--labels", self.path("labels.csv"), ranks=2)
        with h5py.File(self.path("run/run.h5")) as file:
            numpy.testing.assert_array_equal(file["curves/entropy/labelled"][0], [10, 15, 20])
        with open(self.path("run/labels.csv")) as file:
            labels = dict(map(int, line.split(",")) for line in file.read().splitlines()[1:])
        self.assertEqual(labels, {i: targets[i] for i in labels})
        self.assertEqual(len(labels), 20)

    def test_what_a_person_filled_in_is_not_lost(self):
        pool, test = self.make_pool(), self.make_pool("test.h5", seed=1)
        command = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--acquisitions", "k-center", "--initial",
                   6, "-k", 4, "--cycles", 2, "--updates", 5, "--batch-size", 6, "--oracle", "person", "--run",
                   self.path("run"))
        self.run_ok(*command)
        batch = pathlib.Path(self.path("run/batch.csv"))
        with h5py.File(self.path("run/batch.h5")) as file:
            self.assertEqual(file.attrs["acquisition"], "random")
        begun = batch.read_text().replace(",\n", ",1\n", 3)  # half filled in
        batch.write_text(begun)
        result = self.run_ok(*command, "--resume")  # --labels forgotten
        self.assertIn("6 rows wait for labels", result.out)
        self.assertEqual(batch.read_text(), begun)
        batch.write_text(begun.replace(",\n", ",0\n"))
        self.run_ok(*command, "--resume", "--labels", str(batch))  # replaces the file it has just read
        with h5py.File(self.path("run/batch.h5")) as file:
            self.assertEqual(file.attrs["acquisition"], "k-center")
            self.assertEqual(file.attrs["selector"], "joint")
            scores = file["scores"][:]
        self.assertTrue(numpy.isfinite(scores).all())
        batch.unlink()
        self.assertIn("4 rows wait", self.run_ok(*command, "--resume").out)  # the first six are kept
        with h5py.File(self.path("run/batch.h5")) as file:
            numpy.testing.assert_array_equal(file["scores"][:], scores)

    def test_the_ledger_counts_all_parts_of_a_run(self):
        pool, test = self.make_pool(), self.make_pool("test.h5", seed=1)
        command = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--acquisitions", "entropy", "--initial",
                   6, "-k", 4, "--updates", 5, "--batch-size", 6, "--oracle", "person", "--run", self.path("run"))
        self.run_ok(*command, "--cycles", 2)
        batch = pathlib.Path(self.path("run/batch.csv"))
        batch.write_text(batch.read_text().replace(",\n", ",0\n"))
        ledgers = []
        for _ in range(2):
            self.run_ok(*command, "--cycles", 2, "--resume", "--labels", str(batch), ranks=2)
            with h5py.File(self.path("run/run.h5")) as file:
                ledgers.append({f"{kind}/{name}": float(file["ledger"][kind][name][0])
                                for kind in file["ledger"] for name in file["ledger"][kind]})
            batch.write_text(batch.read_text().replace(",\n", ",0\n"))
        first, second = ledgers
        for name in ("flops/learner", "flops/scoring_learner", "seconds/train", "seconds/select", "bytes/exchanged"):
            self.assertGreater(first[name], 0, name)
            self.assertGreaterEqual(second[name], first[name], name)
        self.assertGreater(second["flops/learner"], first["flops/learner"])

    def test_curves_of_a_comparison(self):
        pool, test = (self.make_pool(f"{seed}.h5", seed=seed, shape=(1, 64, 64)) for seed in (0, 1))  # two blocks each
        common = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--initial", 10, "-k", 10, "--cycles", 3,
                  "--repeats", 2, "--updates", 10, "--batch-size", 10, "--acquisitions", "random,margin", "--reproducible")
        self.run_ok(*common, "--run", self.path("one"))
        self.run_ok(*common, "--run", self.path("three"), ranks=3)
        with h5py.File(self.path("one/run.h5")) as one, h5py.File(self.path("three/run.h5")) as three:
            for name in ("random", "margin"):
                self.assertEqual(one[f"curves/{name}/test_accuracy"].shape, (2, 3))
                for curve in ("labelled", "test_accuracy", "test_loss"):
                    numpy.testing.assert_array_equal(one[f"curves/{name}/{curve}"], three[f"curves/{name}/{curve}"])
            # Both begin with the same rows and the same weights.
            numpy.testing.assert_array_equal(one["curves/random/test_loss"][:, 0], one["curves/margin/test_loss"][:, 0])


if __name__ == "__main__":
    unittest.main()
