"""Two-towers as a user trains, runs and judges them, on images whose captions say what they show."""

import os
import unittest

import h5py
import numpy

from support import JobTest

TOWERS = ("--model", "two-tower", "--image-tower", "mlp", "--hidden", 16, "--text-width", 32, "--text-layers", 1,
          "--embedding-size", 16)
CLASSES = ("red", "green", "blue", "grey")
WORDS = 10  # tokens are below


class Pairs(JobTest):
    def make_pairs(self, name, rows, seed, shuffled=0.0, **changes):
        """Images [3, 8, 8]: a colour on the left, another on the right; captions of 5 tokens that name them in turn."""
        random = numpy.random.default_rng(seed)
        colours = random.integers(0, 4, (rows, 2))
        table = numpy.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [120, 120, 120]])
        images = numpy.repeat(table[colours].transpose(0, 2, 1)[:, :, None, :], 4, axis=3).repeat(8, axis=2)
        images = images + random.normal(0.0, 20.0, images.shape)
        tokens = numpy.zeros((rows, 5), "i4")
        tokens[:, :3] = numpy.stack([1 + colours[:, 0], numpy.full(rows, 9), 5 + colours[:, 1]], axis=1)
        truth = numpy.arange(rows)
        moved = numpy.flatnonzero(random.random(rows) < shuffled)
        truth[moved] = random.integers(0, rows, len(moved))
        with h5py.File(self.path(name), "w") as file:
            inputs = file.create_dataset("inputs", data=numpy.clip(images, 0, 255).astype("u1"))
            inputs.attrs.update(scale=1.0 / 255.0, mean=numpy.array([0.4]), std=numpy.array([0.2]))
            text = file.create_dataset("tokens", data=changes.get("tokens", tokens[truth]))
            text.attrs["vocabulary"] = changes.get("vocabulary", WORDS)
            file["image_ids"] = numpy.arange(rows)
            if shuffled:
                file["caption_of"] = truth
        return self.path(name)

    def setUp(self):
        super().setUp()
        self.clean = self.make_pairs("clean.h5", 400, 1)
        self.noisy = self.make_pairs("noisy.h5", 1280, 2, shuffled=0.5)
        self.test = self.make_pairs("test.h5", 100, 3)

    def train(self, pool, run, *options, ranks=0):
        self.run_ok("train", "--pool", pool, *TOWERS, "--optimizer", "adamw", "--learning-rate", 0.005, "--batch-size", 32,
                    "--run", self.path(run), *options, ranks=ranks)
        return self.path(run + "/model.pt")

    def curves(self, run, axis="steps"):
        with h5py.File(self.path(run + "/run.h5")) as file:
            return {name: curve[:] for name, curve in file["curves/" + axis].items()}

    def flops(self, run):
        with h5py.File(self.path(run + "/run.h5")) as file:
            return {name: value[()].item() for name, value in file["ledger/flops"].items()}

    def test_the_same_pairs_and_the_same_model_for_any_ranks(self):
        reference = self.train(self.clean, "reference", "--epochs", 6)
        found = {}
        for ranks in (1, 2, 3, 4):
            run = f"run-{ranks}"
            model = self.train(self.noisy, run, "--method", "learnability", "--reference", reference, "--temperature", 0.1,
                               "--updates", 30, "--reproducible", "--validation-pool", self.test, ranks=ranks)
            facts = self.run_ok("evaluate", "--pool", self.test, "--model", model, "--json", ranks=ranks).json()
            self.run_ok("predict", "--pool", self.test, "--learner", model, "--strategy", "loss,embedding", "-o",
                        self.path("predictions.h5"), "--overwrite", ranks=ranks)
            with h5py.File(self.path("predictions.h5")) as file:
                predictions = (file["losses/learner"][:].tobytes(), file["embeddings"][:].tobytes())
            recalls = {name: value for name, value in facts.items() if "recall" in name or name in ("alignment", "loss")}
            curves = {name: curve.tobytes() for axis in ("steps", "evaluations") for name, curve in self.curves(run, axis).items()}
            found[ranks] = (predictions, recalls, curves)
        for ranks in (2, 3, 4):
            self.assertEqual(found[1], found[ranks], f"{ranks} ranks")

    def test_shuffled_captions_are_avoided_and_everything_is_charged(self):
        reference = self.train(self.clean, "reference", "--epochs", 12)
        self.train(self.noisy, "uniform", "--updates", 40)
        options = ("--method", "learnability", "--temperature", 0.1, "--updates", 40)
        self.train(self.noisy, "chosen", *options, "--reference", reference)
        uniform, chosen = self.curves("uniform"), self.curves("chosen")
        self.assertAlmostEqual(uniform["noisy_share"].mean(), 0.5, delta=0.04)
        self.assertLess(chosen["noisy_share"].mean(), uniform["noisy_share"].mean() - 0.1)
        # Image 192 x 16 and 16 x 16. Text, 5 tokens: matrices 32 x (96 + 32 + 128 + 128), attention, 32 x 16.
        forward = 2 * (192 * 16 + 16 * 16 + 5 * 32 * (96 + 32 + 128 + 128) + 2 * 5 * 5 * 32 + 32 * 16)
        flops = self.flops("chosen")
        self.assertEqual(flops["learner"], 40 * 32 * 3 * forward)
        self.assertEqual(flops["online"], flops["learner"])
        self.assertEqual(flops["score_online"], 40 * 64 * forward)
        self.assertEqual(flops["score_reference"], 40 * 64 * forward)
        # What the reference says does not change, and can be looked up.
        self.run_ok("predict", "--pool", self.noisy, "--reference", reference, "--strategy", "loss", "-o", self.path("losses.h5"))
        self.train(self.noisy, "looked-up", *options, "--reference-losses", self.path("losses.h5"), "--online", "two-tower",
                   "--online-image-tower", "mlp", "--online-hidden", 16, "--online-text-width", 32, "--online-text-layers", 1,
                   "--online-embedding-size", 16)
        self.assertNotIn("score_reference", self.flops("looked-up"))
        numpy.testing.assert_allclose(self.curves("looked-up")["candidate_score"], chosen["candidate_score"], atol=1e-4)

    def test_images_are_found_and_chosen(self):
        model = self.train(self.clean, "run", "--epochs", 15, "--contrastive", "sigmoid", "--validation-pool", self.test)
        evaluations = self.curves("run", "evaluations")
        facts = self.run_ok("evaluate", "--pool", self.test, "--model", model, "--contrastive", "sigmoid", "--json").json()
        self.assertEqual((facts["pairs"], facts["images"]), (100, 100))
        self.assertAlmostEqual(facts["loss"], evaluations["validation_loss"][-1], places=5)
        self.assertAlmostEqual(facts["recall_at_5"], evaluations["validation_recall_at_5"][-1])
        self.assertGreater(facts["recall_at_10"], 0.5)  # of 16 things to see, 6 images each
        with open(self.path("run/log.txt")) as log:
            self.assertRegex(log.read(), r"recall_at_1 0\.\d+, validation_recall_at_5 0\.\d+, validation_recall_at_10 0\.")
        told = self.run_ok("evaluate", "--pool", self.test, "--model", model).out
        self.assertRegex(told, r"softmax loss +\d")
        self.assertRegex(told, r"image to text +0\.\d+ +0\.\d+ +0\.\d+")
        self.run_ok("select", "--pool", self.test, "--learner", model, "--acquisition", "k-center", "-k", 16, "-o",
                    self.path("batch.h5"))
        with h5py.File(self.path("batch.h5")) as file, h5py.File(self.test) as pool:
            shown = {tuple(row) for row in pool["tokens"][:][file["ids"][:]]}
        self.assertGreater(len(shown), 10)
        self.assertIn("image tower    mlp", self.run_ok("info", model).out)

    def test_refused(self):
        model = self.train(self.clean, "model", "--epochs", 1)

        def fails(code, words, *options, pool=self.noisy):
            self.assert_fails(code, words, "train", "--pool", pool, "--epochs", 1, "--run", self.path("never"), "--overwrite",
                              *options, ranks=2)
            self.assertFalse(os.path.exists(self.path("never/model.pt")))

        fails(1, ["classes.h5", "no captions"], *TOWERS, pool=self.make_pool("classes.h5", shape=(3, 8, 8)))
        fails(1, ["no row has a target", "two-tower"], "--model", "mlp")
        longer = self.make_pairs("longer.h5", 50, 1, tokens=numpy.ones((50, 7), "i4"))
        fails(1, ["captions of 5 tokens", "have 7"], "--init", model, pool=longer)
        more = self.make_pairs("more.h5", 50, 1, vocabulary=20)
        fails(1, ["vocabulary has 10 tokens", "20"], "--init", model, pool=more)
        beyond = self.make_pairs("beyond.h5", 50, 1, tokens=numpy.full((50, 5), 12, "i4"))
        fails(1, ["token 12", "9"], "--init", model, pool=beyond)
        fails(2, ["label smoothing", "0.1"], *TOWERS, "--label-smoothing", 0.1)
        fails(2, ["contrastive 'triplet'", "softmax, sigmoid"], *TOWERS, "--contrastive", "triplet")
        fails(2, ["mlp", "no towers"], "--model", "mlp", "--text-width", 64, pool=self.path("classes.h5"))
        fails(2, ["two of a kind"], *TOWERS, "--batch-size", 16, "--method", "learnability", "--reference", model, "--online", "mlp",
              pool=self.with_targets())
        self.assert_fails(2, ["needs logits"], "predict", "--pool", self.test, "--learner", model, "-o", self.path("p.h5"))
        self.assert_fails(2, ["neither captions nor targets"], "evaluate", "--pool", self.without_captions(), "--model", model)
        self.assert_fails(2, ["two-tower does not"], "loop", "--pool", self.path("classes.h5"), "--test-pool",
                          self.path("classes.h5"), "--model", "two-tower", "--acquisitions", "random", "--initial", 10, "-k", 10,
                          "--cycles", 2, "--run", self.path("loop"))

    def with_targets(self):
        path = self.make_pairs("both.h5", 50, 1)
        with h5py.File(path, "a") as file:
            file["targets"] = numpy.arange(50) % 3
            file["targets"].attrs["classes"] = 3
        return path

    def without_captions(self):
        path = self.make_pairs("images.h5", 50, 1)
        with h5py.File(path, "a") as file:
            for name in ("tokens", "image_ids"):
                del file[name]
        return path


if __name__ == "__main__":
    unittest.main()
