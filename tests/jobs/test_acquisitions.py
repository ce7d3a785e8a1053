"""Every acquisition, from predictions and from models, picks the same batch over any number of ranks."""

import re
import unittest

import h5py
import numpy

from support import JobTest

ROWS, SAMPLES, CLASSES, WIDTH, BOXES = 1203, 3, 4, 6, 5


class Acquisitions(JobTest):
    def names(self, table):
        text = self.run_ok("list", table).out
        return re.findall(r"^  (\S+) ", text, re.MULTILINE)

    def make_predictions(self, name, rows, seed):
        random = numpy.random.default_rng(seed)
        logits = random.normal(0, 2, (rows, SAMPLES, CLASSES))
        with h5py.File(self.path(name), "w") as file:
            file.create_dataset("logits", data=logits.astype("f4"))
            file.create_dataset("embeddings", data=random.normal(0, 1, (rows, WIDTH)).astype("f4"))
            for role in ("learner", "reference", "predicted"):
                file.create_dataset(f"losses/{role}", data=random.exponential(1, rows).astype("f4"))
            boxes = random.normal(0, 2, (rows, BOXES, CLASSES))
            boxes -= numpy.log(numpy.exp(boxes).sum(2, keepdims=True))
            none = numpy.arange(BOXES) >= random.integers(0, BOXES + 1, (rows, 1))  # after the last box of a row
            boxes[none] = numpy.nan
            shares = -numpy.sort(-random.random((3, rows, BOXES)))
            shares[:, none] = numpy.nan
            for field, data in (("log_probs", boxes), ("scores", shares[0]), ("flips", shares[1]), ("discrepancies", shares[2])):
                file.create_dataset(f"box_{field}", data=data.astype("f4"))
        return self.path(name)

    def make_ids(self, name, ids):
        with open(self.path(name), "w") as file:
            file.write("\n".join(map(str, ids)))
        return self.path(name)

    def check_same(self, ranks, *arguments):
        """The batch of one process, once more with each number of ranks."""
        first = None
        for count in (0, *ranks):
            self.run_ok("select", *arguments, "-o", self.path("batch.h5"), "--overwrite", ranks=count)
            found = self.batch()
            first = first or found
            self.assertEqual(found[0].tobytes(), first[0].tobytes(), f"{arguments}, {count} ranks")
            self.assertEqual(found[1].tobytes(), first[1].tobytes(), f"{arguments}, {count} ranks")
        return first

    def test_every_acquisition_from_predictions(self):
        pool = self.make_pool(rows=ROWS, classes=CLASSES)
        predictions = self.make_predictions("predictions.h5", ROWS, 1)
        target = self.make_predictions("target.h5", 100, 2)
        labelled = list(range(5, 300, 29))
        common = ("--predictions", predictions, "--pool", pool, "--target-predictions", target, "--labelled",
                  self.make_ids("labelled.txt", labelled), "-k", 6)
        names = self.names("acquisitions") + self.names("joint")
        self.assertGreaterEqual(len(names), 32)
        for name in names:
            ids, scores = self.check_same((2, 3, 4), *common, "--acquisition", name)
            self.assertEqual(len(set(ids.tolist())), 6, name)
            self.assertFalse(set(ids.tolist()) & set(labelled), name)
            self.assertTrue(numpy.isfinite(scores).all(), name)

    def test_every_acquisition_from_models(self):
        pool = self.make_pool(rows=5003, shape=(1, 40, 40))  # three blocks
        learner, reference = (("--" + role, self.train(pool, role, "--epochs", epochs, "--dropout", 0.5))
                              for role, epochs in (("learner", 1), ("reference", 2)))
        samples = ("--samples", 3)
        of_detectors = re.compile("box-|predicted-loss")  # test_detectors.py
        names = [name for name in self.names("acquisitions") if not of_detectors.match(name)]
        asked = dict.fromkeys(names + self.names("joint"), learner)
        asked |= dict.fromkeys(("bald", "average-kl", "mean-std", "variation-ratio", "vote-entropy", "expected-entropy",
                                "batchbald"), learner + samples)
        asked |= {"epig": learner + samples + ("--target-pool", pool), "easy-reference": reference,
                  "learnability": learner + reference, "random": ()}
        labelled = self.make_ids("labelled.txt", range(0, 5003, 131))
        for name, options in asked.items():
            self.check_same((2, 3, 4), "--pool", pool, "--acquisition", name, "-k", 100, "--labelled", labelled, *options)

    def test_samples_that_are_compared_across_rows_are_of_one_model(self):
        pool = self.make_pool(rows=300, shape=(1, 28, 28))
        learner = self.train(pool, "learner", "--epochs", 1, "--dropout", 0.5, model="cnn")
        predict = ("predict", "--pool", pool, "--learner", learner, "--strategy", "monte-carlo", "--samples", 4)
        self.run_ok(*predict, "-o", self.path("own-masks.h5"))
        self.run_ok(*predict, "--consistent-masks", "-o", self.path("one-mask.h5"), ranks=2)
        joint = ("--acquisition", "batchbald", "-k", 5)
        self.assert_fails(2, ["batchbald", "needs consistent-samples", "--consistent-masks"], "select", "--predictions",
                          self.path("own-masks.h5"), *joint, "-o", self.path("never.h5"), ranks=2)
        self.run_ok("select", "--predictions", self.path("one-mask.h5"), *joint, "-o", self.path("file.h5"))
        # Where the models are run for it, the masks are right without being asked for.
        self.run_ok("select", "--pool", pool, "--learner", learner, "--samples", 4, *joint, "-o", self.path("models.h5"), ranks=2)
        for found, expected in zip(self.batch("models.h5"), self.batch("file.h5")):
            numpy.testing.assert_array_equal(found, expected)

    def test_predictions_without_ids_have_those_of_their_pool(self):
        pool = self.make_pool(rows=300, ids=numpy.arange(300) * 3 + 11)
        predictions = self.make_predictions("predictions.h5", 300, 4)
        first = self.check_same((2,), "--predictions", predictions, "--acquisition", "margin", "-k", 20)
        by_pool = self.check_same((2,), "--predictions", predictions, "--pool", pool, "--acquisition", "margin", "-k", 20)
        self.assertEqual(by_pool[0].tolist(), (first[0] * 3 + 11).tolist())

    def test_k_center_is_the_greedy_one(self):
        predictions = self.make_predictions("predictions.h5", 400, 3)
        labelled = [3, 77]
        ids, scores = self.check_same((3,), "--predictions", predictions, "--acquisition", "k-center", "-k", 10,
                                      "--labelled", self.make_ids("labelled.txt", labelled))
        with h5py.File(predictions) as file:
            points = file["embeddings"][:].astype("f8")
        nearest = numpy.min([((points - points[i]) ** 2).sum(1) for i in labelled], axis=0)
        for picked, score in zip(ids, scores):
            self.assertEqual(picked, nearest.argmax())
            self.assertAlmostEqual(score, nearest.max() ** 0.5, places=5)
            nearest = numpy.minimum(nearest, ((points - points[picked]) ** 2).sum(1))

    def test_what_does_not_fit_is_refused_with_the_reason_and_what_would(self):
        pool = self.make_pool(rows=60)
        learner = self.train(pool, "learner", "--epochs", 1)
        with h5py.File(self.path("one.h5"), "w") as file:
            file.create_dataset("probabilities", data=numpy.full((60, 4), 0.25, "f4"))
        out = ("-k", 3, "-o", self.path("b.h5"))
        one = ("--predictions", self.path("one.h5"), *out)
        self.assert_fails(2, ["bald", "needs samples", "monte-carlo or ensemble", "entropy"], "select", *one,
                          "--acquisition", "bald", ranks=2)
        self.assert_fails(2, ["k-center", "needs embeddings", "strategy embedding"], "select", *one, "--acquisition",
                          "k-center")
        self.assert_fails(2, ["distance-to-labelled", "--labelled"], "select", *one, "--acquisition",
                          "distance-to-labelled")
        self.assert_fails(2, ["dropout"], "select", "--pool", pool, "--learner", learner, "--acquisition", "bald", *out)
        self.assert_fails(2, ["badge", "thresher select"], "score", "--pool", pool, "--learner", learner,
                          "--acquisition", "badge", "-o", self.path("s.h5"))
        self.assert_fails(2, ["--balance predictions", "class predictions"], "select", "--pool", pool, "--acquisition",
                          "random", "--balance", "predictions", "--strategy", "random", *out)

    def test_options_that_no_acquisition_reads_are_pointed_out(self):
        predictions, scores = self.make_predictions("predictions.h5", 60, 4), self.path("scores.h5")
        self.run_ok("score", "--predictions", predictions, "--acquisition", "entropy", "-o", scores)
        given = ("--similarity", "rbf", "--exact-rows", 7, "--configurations", 9, "--margin-factor", 2, "--sample")
        of_others = {("--predictions", predictions, "--acquisition", "entropy"):
                         "--sample, --similarity, --exact-rows, --configurations, --margin-factor not read by entropy",
                     ("--predictions", predictions, "--acquisition", "facility-location"):
                         "--sample, --configurations, --margin-factor not read by facility-location",
                     ("--scores", scores):
                         "--sample, --similarity, --exact-rows, --configurations, --margin-factor not read by a choice"}
        for common, said in of_others.items():
            with self.subTest(common=common):
                self.assertIn(said, self.run_ok("select", *common, *given, "-k", 3, "-o", self.path("b.h5"), "--overwrite").err)

    def test_options_of_models_are_pointed_out_where_none_predicts(self):
        predictions, scores = self.make_predictions("predictions.h5", 60, 4), self.path("scores.h5")
        given = ("--samples", 7, "--strategy", "monte-carlo")
        scored = self.run_ok("score", "--predictions", predictions, "--acquisition", "entropy", *given, "-o", scores)
        picked = self.run_ok("select", "--scores", scores, *given, "-k", 3, "-o", self.path("b.h5"))
        for ended, file in ((scored, predictions), (picked, scores)):
            self.assertIn(f"--strategy, --samples not read: no model predicts, as {file} is there already", ended.err)

    def test_shares_budgets_and_weights(self):
        random = numpy.random.default_rng(4)
        minutes = random.integers(1, 40, 500).astype("f4") / 8
        pool = self.make_pool(rows=500, minutes=minutes)
        predictions = self.make_predictions("predictions.h5", 500, 5)
        common = ("--predictions", predictions, "--pool", pool, "--acquisition", "entropy")
        ids, _ = self.check_same((3,), *common, "-k", 42, "--balance", "targets")
        with h5py.File(pool) as file:
            self.assertEqual(sorted(numpy.bincount(file["targets"][:][ids])), [10, 10, 11, 11])
        ids, scores = self.check_same((3,), *common, "--budget", 20, "--cost", "/minutes")
        self.assertLessEqual(minutes[ids].sum(), 20)
        self.assertTrue((numpy.diff(scores / minutes[ids]) <= 0).all())
        self.check_same((3,), *common, "-k", 20, "--selector", "power", "--weights")
        with h5py.File(self.path("batch.h5")) as file:
            numpy.testing.assert_allclose(file["weights"][:] * file["inclusion_probabilities"][:] * 500, 1)

    def test_a_bad_row_is_never_picked_and_counted_once(self):
        predictions = self.make_predictions("predictions.h5", 40, 7)
        with h5py.File(predictions, "a") as file:
            file["logits"][7, 0, 1] = numpy.nan  # its embedding and losses are good
        for name in ("k-center", "centroid", "typiclust", "facility-location", "hard-learner"):
            result = self.run_ok("select", "--predictions", predictions, "--acquisition", name, "-k", 39, "--max-bad",
                                 1, "-o", self.path("batch.h5"), "--overwrite", "--json", ranks=3)
            self.assertEqual(result.json()["quarantined"], 1, name)
            self.assertNotIn(7, self.batch()[0], name)
        result = self.run_ok("score", "--predictions", predictions, "--acquisition", "entropy,margin,hard-learner",
                             "--max-bad", 1, "-o", self.path("scores.h5"), "--json")
        self.assertEqual(result.json()["quarantined"], 1)

    def test_predictions_of_another_pool_are_pointed_out(self):
        pool, other = self.make_pool(rows=300), self.make_pool("other.h5", rows=300, seed=1)
        learner = self.train(pool, "learner", "--epochs", 1)
        self.run_ok("predict", "--pool", pool, "--learner", learner, "-o", self.path("predictions.h5"))
        for path, warned in ((pool, False), (other, True)):
            result = self.run_ok("select", "--predictions", self.path("predictions.h5"), "--pool", path,
                                 "--acquisition", "entropy", "-k", 5, "-o", self.path("batch.h5"), "--overwrite",
                                 ranks=2)
            self.assertEqual("another file" in result.err, warned)

    def test_what_a_predictions_file_sets_apart_stays_apart(self):
        predictions = self.make_predictions("predictions.h5", 40, 8)
        with h5py.File(predictions, "a") as file:
            file["quarantine/ids"] = numpy.array([3, 21])
            file["quarantine/reasons"] = ["no target", "no target"]
        result = self.run_ok("select", "--predictions", predictions, "--acquisition", "entropy", "-k", 38, "--max-bad",
                             2, "-o", self.path("batch.h5"), "--json", ranks=2)
        self.assertEqual(result.json()["quarantined"], 2)
        self.assertFalse({3, 21} & set(self.batch()[0].tolist()))
        self.assertIn("no target", result.err)

    def test_candidates_narrow_a_joint_choice(self):
        predictions = self.make_predictions("predictions.h5", 500, 6)
        common = ("--predictions", predictions)
        best, _ = self.check_same((), *common, "--acquisition", "margin", "-k", 30)
        ids, _ = self.check_same((2,), *common, "--acquisition", "k-center", "-k", 8, "--candidates", 30,
                                 "--candidates-by", "margin")
        self.assertLessEqual(set(ids.tolist()), set(best.tolist()))


if __name__ == "__main__":
    unittest.main()
