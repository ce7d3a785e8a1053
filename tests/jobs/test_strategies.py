"""Every strategy of predict: the same bits for any number of ranks, and clear refusals."""

import pathlib
import unittest

import h5py
import numpy

from support import JobTest


class Strategies(JobTest):
    def setUp(self):
        super().setUp()
        self.begin_with(rows=300, shape=(1, 16, 16))

    def begin_with(self, **pool):
        self.pool = self.make_pool(**pool)
        self.cnn = self.train(self.pool, "cnn", "--epochs", 1, "--overwrite", model="cnn")
        self.mlp = self.train(self.pool, "mlp", "--epochs", 1, "--overwrite")

    def predict(self, *options, ranks=0, pool=None):
        """All datasets of the predictions, by name."""
        name = self.path("predictions.h5")
        self.run_ok("predict", "--pool", pool or self.pool, *options, "-o", name, "--overwrite", ranks=ranks)
        found = {}
        with h5py.File(name) as file:
            file.visititems(lambda path, item: found.update({path: item[()]})
                            if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" else None)
            found["strategy"] = file.attrs["strategy"]
        return found

    def refuse(self, words, *options):
        output = self.path("out.h5")
        self.assert_fails(2, words, "predict", "--pool", self.pool, *options, "-o", output, ranks=2)
        self.assertFalse(pathlib.Path(output).exists())

    def test_every_strategy_has_the_same_bits_for_any_ranks(self):
        self.begin_with(rows=130, shape=(1, 128, 128))  # two blocks
        cases = {
            "deterministic,embedding,loss": (
                ["--learner", self.cnn, "--reference", self.mlp, "--online", self.mlp],
                {"log_probs": (130, 1, 4), "embeddings": (130, 128), "losses/learner": (130,),
                 "losses/reference": (130,), "losses/online": (130,)}),
            "monte-carlo": (["--learner", self.cnn, "--samples", 3], {"log_probs": (130, 3, 4)}),
            "monte-carlo,embedding": (["--learner", self.cnn, "--samples", 2, "--consistent-masks"],
                                      {"log_probs": (130, 2, 4), "embeddings": (130, 128)}),
            "ensemble": (["--ensemble", f"{self.cnn},{self.mlp}", "--ensemble", self.cnn],
                         {"log_probs": (130, 3, 4)}),
        }
        for strategy, (options, shapes) in cases.items():
            with self.subTest(strategy):
                one = self.predict("--strategy", strategy, *options)
                self.assertEqual(one.pop("strategy"), strategy)
                self.assertEqual({name: values.shape for name, values in one.items()}, shapes)
                for ranks in (1, 2, 3):
                    many = self.predict("--strategy", strategy, *options, ranks=ranks)
                    for name, values in one.items():
                        self.assertEqual(values.tobytes(), many[name].tobytes(), f"{name} over {ranks} ranks")

    def test_samples_are_probabilities_keyed_by_seed_and_round(self):
        options = ("--learner", self.cnn, "--strategy", "monte-carlo", "--samples", 4)
        first = self.predict(*options)["log_probs"]
        numpy.testing.assert_allclose(numpy.exp(first.astype("f8")).sum(2), 1.0, atol=1e-5)
        self.assertEqual(first.tobytes(), self.predict(*options)["log_probs"].tobytes())
        for other in (("--round", 1), ("--seed", 1)):
            self.assertNotEqual(first.tobytes(), self.predict(*options, *other)["log_probs"].tobytes())

    def test_consistent_masks_make_each_pass_one_function(self):
        pool = self.path("doubled.h5")
        with h5py.File(self.pool) as file, h5py.File(pool, "w") as doubled:
            inputs = doubled.create_dataset("inputs", data=numpy.concatenate([file["inputs"][:]] * 2))
            inputs.attrs.update(file["inputs"].attrs)
        options = ("--learner", self.cnn, "--strategy", "monte-carlo", "--samples", 3)
        consistent = self.predict(*options, "--consistent-masks", pool=pool, ranks=2)["log_probs"]
        # Rows meet different neighbours in a micro-batch of the second half: equal up to rounding.
        numpy.testing.assert_allclose(consistent[:300], consistent[300:], atol=1e-5)
        own = self.predict(*options, pool=pool, ranks=2)["log_probs"]
        self.assertTrue((numpy.abs(own[:300] - own[300:]).max(axis=(1, 2)) > 1e-3).all())

    def test_a_model_is_not_changed_by_scoring(self):
        before = pathlib.Path(self.cnn).read_bytes()
        self.predict("--learner", self.cnn, "--strategy", "monte-carlo,embedding,loss", "--samples", 2)
        self.assertEqual(before, pathlib.Path(self.cnn).read_bytes())

    def test_what_does_not_fit_is_refused_with_what_does(self):
        learner = ("--learner", self.cnn)
        self.refuse(["monte-carlo", "5 samples"], *learner, "--samples", 5)
        self.refuse(["consistent masks", "monte-carlo"], *learner, "--consistent-masks")
        self.refuse(["has none", "--dropout"], "--learner", self.mlp, "--strategy", "monte-carlo")
        self.refuse(["deterministic and ensemble"], *learner, "--ensemble", self.mlp, "--strategy",
                    "deterministic,ensemble")
        self.refuse(["--ensemble was given", "--strategy ensemble"], *learner, "--ensemble", self.mlp)
        self.refuse(["--reference was given", "--strategy loss"], *learner, "--reference", self.mlp)
        self.refuse(["random makes no predictions", "monte-carlo"], *learner, "--strategy", "random")
        self.refuse(["guessing", "deterministic, monte-carlo"], *learner, "--strategy", "guessing")
        self.refuse(["no model was given"])

    def test_members_of_an_ensemble_must_have_the_same_classes(self):
        other = self.make_pool("other.h5", rows=200, shape=(1, 16, 16), classes=3)
        three = self.train(other, "three", "--epochs", 1)
        with h5py.File(self.pool, "a") as file:
            del file["targets"]
        result = self.run_any("predict", "--pool", self.pool, "--strategy", "ensemble", "--ensemble",
                              f"{self.mlp},{three}", "-o", self.path("out.h5"))
        self.assertEqual(result.code, 1, result.err)
        self.assertIn("model 2 of the ensemble", result.err)


if __name__ == "__main__":
    unittest.main()
