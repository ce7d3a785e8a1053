"""Training on the candidates that small models find worth it, as a user runs it."""

import os
import re
import unittest

import h5py
import numpy

from support import JobTest


class Prioritised(JobTest):
    def setUp(self):
        super().setUp()
        self.clean = self.make_pool("clean.h5", rows=400, seed=5)
        self.reference = self.train(self.clean, "reference", "--hidden", 8, "--epochs", 20)
        self.make_pool("source.h5", rows=4000)
        self.run_ok("derive", "--pool", self.path("source.h5"), "--label-noise", 0.4, "-o", self.path("noisy.h5"))
        self.noisy = self.path("noisy.h5")

    def prioritised(self, run, *options, ranks=0, method="learnability"):
        self.train(self.noisy, run, "--method", method, "--updates", 60, "--learning-rate", 0.02, *options, ranks=ranks)
        with h5py.File(self.path(run + "/run.h5")) as file:
            curves = {name: file["curves/steps/" + name][:] for name in file["curves/steps"]}
            flops = {name: file["ledger/flops/" + name][()].item() for name in file["ledger/flops"]}
        return curves, flops

    def test_the_same_rows_and_the_same_model_for_any_ranks(self):
        for method, *options in (("learnability", "--importance-weights", "--score-clip", 2), ("rho-loss",)):
            found = {}
            for ranks in (1, 2, 3, 4):
                curves, flops = self.prioritised(f"{method}-{ranks}", "--reference", self.reference, "--reproducible", *options,
                                                 ranks=ranks, method=method)
                self.run_ok("predict", "--pool", self.clean, "--learner", self.path(f"{method}-{ranks}/model.pt"), "-o",
                            self.path("predictions.h5"), "--overwrite")
                with h5py.File(self.path("predictions.h5")) as file:
                    found[ranks] = (file["log_probs"][:].tobytes(), {k: v.tobytes() for k, v in curves.items()}, flops)
            for ranks in (2, 3, 4):
                self.assertEqual(found[1], found[ranks], f"{method}, {ranks} ranks")

    def test_noise_is_avoided_and_everything_is_charged(self):
        # One config serves all methods: uniform keeps every row, whatever the ratio.
        uniform, uniform_flops = self.prioritised("uniform", "--filter-ratio", 3, method="uniform")
        curves, flops = self.prioritised("learnability", "--reference", self.reference)
        self.assertAlmostEqual(uniform["noisy_share"].mean(), 0.3, delta=0.03)
        self.assertLess(curves["noisy_share"].mean(), uniform["noisy_share"].mean() - 0.05)
        self.assertGreater(curves["chosen_score"].mean(), curves["candidate_score"].mean())
        self.assertEqual(set(uniform_flops), {"learner"})
        self.assertEqual(set(flops), {"learner", "online", "score_online", "score_reference", "reference_pretraining"})
        self.assertEqual(flops["learner"], uniform_flops["learner"])
        # 64 inputs, 8 hidden units, 4 classes; 100 candidates and 50 rows an update; forward is a third of training.
        forward = 2 * (64 * 8 + 8 * 4)
        self.assertEqual(flops["score_online"], 60 * 100 * forward)
        self.assertEqual(flops["score_reference"], 60 * 100 * forward)
        self.assertEqual(flops["online"], 60 * 50 * 3 * forward)
        self.assertEqual(flops["reference_pretraining"], 20 * 400 * 3 * forward)

    def test_losses_are_looked_up(self):
        self.run_ok("predict", "--pool", self.noisy, "--strategy", "loss", "--reference", self.reference, "-o",
                    self.path("losses.h5"), ranks=2)
        by_model, _ = self.prioritised("by-model", "--reference", self.reference, method="easy-reference")
        by_table, flops = self.prioritised("by-table", "--reference-losses", self.path("losses.h5"), method="easy-reference")
        numpy.testing.assert_allclose(by_table["chosen_score"], by_model["chosen_score"], atol=1e-4)
        self.assertNotIn("score_reference", flops)
        # On some of the rows, in another order.
        rows = numpy.random.default_rng(2).permutation(4000)[:500]
        (self.directory / "rows.txt").write_text("\n".join(map(str, rows)))
        few = ("--rows", self.path("rows.txt"))
        by_model, _ = self.prioritised("few-by-model", "--reference", self.reference, *few, method="easy-reference")
        by_table, _ = self.prioritised("few-by-table", "--reference-losses", self.path("losses.h5"), *few,
                                       method="easy-reference")
        numpy.testing.assert_allclose(by_table["chosen_score"], by_model["chosen_score"], atol=1e-4)
        self.assert_fails(2, ["augmentation", "reference"], "train", "--pool", self.noisy, "--model", "mlp", "--method",
                          "easy-reference", "--reference-losses", self.path("losses.h5"), "--augment", "crop-flip", "--run",
                          self.path("never"))
        self.assert_fails(1, ["losses.h5", "4000", "400", "predict on this pool"], "train", "--pool", self.clean, "--model",
                          "mlp", "--method", "easy-reference", "--reference-losses", self.path("losses.h5"), "--run",
                          self.path("never"))

    def test_a_reference_is_trained_beside_the_learner(self):
        _, flops = self.prioritised("run", "--reference", "online", "--online", "mlp", "--online-hidden", 8, ranks=2)
        self.assertEqual(flops["reference"], 2 * flops["online"])
        self.assert_fails(2, ["--online"], "train", "--pool", self.noisy, "--model", "mlp", "--method", "learnability",
                          "--reference", "online", "--run", self.path("never"))

    def test_refused(self):
        def fails(code, words, *options, pool=None):
            self.assert_fails(code, words, "train", "--pool", pool or self.noisy, "--model", "mlp", "--epochs", 1, "--run",
                              self.path("never"), *options, ranks=2)
            self.assertFalse(os.path.exists(self.path("never/model.pt")))

        fails(2, ["'hardest'", "learnability", "rho-loss"], "--method", "hardest")
        fails(2, ["learnability", "--reference"], "--method", "learnability")
        fails(2, ["hard-learner", "--online"], "--method", "hard-learner")
        fails(2, ["--reference online", "--online"], "--method", "hard-learner", "--reference", "online")
        fails(1, ["nothere.pt", "no such"], "--method", "hard-learner", "--online", "nothere.pt")
        fails(2, ["filter-ratio is 0.5"], "--method", "hard-learner", "--online", "learner", "--filter-ratio", 0.5)
        fails(2, ["--reference", "--reference-losses", "both"], "--method", "learnability", "--reference", self.reference,
              "--reference-losses", "losses.h5")
        fails(2, ["score-clip is -1", "above 0"], "--method", "hard-learner", "--online", "learner", "--score-clip", -1)
        fails(2, ["importance weights", "uniform", "learnability"], "--importance-weights")
        fails(2, ["--on-nan 'ignore'", "stop, skip"], "--on-nan", "ignore")
        other = self.train(self.make_pool("other.h5", classes=3), "other", "--hidden", 4)
        fails(1, ["3", "4", "classes"], "--method", "learnability", "--reference", other)
        with h5py.File(self.make_pool("unlabelled.h5"), "a") as file:
            del file["targets"]
        fails(1, ["no row has a target"], "--method", "learnability", "--reference", self.reference, "--classes", 4,
              pool=self.path("unlabelled.h5"))

    def test_a_loss_that_is_no_number(self):
        values = numpy.random.default_rng(1).normal(size=(200, 6)).astype("f4")
        values[17] = numpy.inf
        with h5py.File(self.path("infinite.h5"), "w") as file:
            file["inputs"] = values
            file["targets"] = numpy.arange(200) % 2
            file["targets"].attrs["classes"] = 2
        train = ("train", "--pool", self.path("infinite.h5"), "--model", "mlp", "--epochs", 2, "--batch-size", 50)
        stopped = self.assert_fails(1, ["the learner has a loss of nan", "--on-nan skip", "newest checkpoint"], *train, "--run",
                                    self.path("stopped"), ranks=2)
        self.assertIn("17", re.search("of the ids ([0-9, ]+);", stopped.err)[1].split(", "))
        facts = self.run_ok(*train, "--on-nan", "skip", "--run", self.path("stopped"), "--resume", "--json", ranks=2).json()
        self.assertEqual((facts["updates"], facts["skipped_updates"]), (8, 2))
        facts = self.run_ok(*train, "--on-nan", "skip", "--run", self.path("skipped"), "--json", ranks=2).json()
        self.assertEqual(facts["skipped_updates"], 2)
        # Scored, the row has no finite score and is never chosen.
        facts = self.run_ok(*train, "--method", "hard-learner", "--online", "learner", "--run", self.path("scored"),
                            "--json").json()
        self.assertEqual((facts["skipped_updates"], facts["candidates_without_score"]), (0, 2))


if __name__ == "__main__":
    unittest.main()
