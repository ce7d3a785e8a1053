"""Policies: trained, judged, and put to picking; the same over ranks."""

import os
import unittest

import h5py
import numpy

from support import JobTest

SMALL = ("--environment", "ring", "--candidates", 30, "--reward-points", 200, "--environments", 2, "-k", 4)


class Policy(JobTest):
    def train_policy(self, run, *options, ranks=0):
        return self.run_ok("policy", "train", *SMALL, "--updates", 12, "--records", 40, "--refresh-every", 5,
                           "--run", self.path(run), "--json", *options, ranks=ranks)

    def policy(self, run="run"):
        return self.path(run + "/policy.h5")

    def make_predictions(self, name="predictions.h5", rows=600, classes=3, size=5, seed=0):
        random = numpy.random.default_rng(seed)
        logits = random.normal(0.0, 2.0, (rows, 1, classes))
        with h5py.File(self.path(name), "w") as file:
            file.create_dataset("logits", data=logits.astype("f4"))
            file.create_dataset("embeddings", data=random.normal(size=(rows, size)).astype("f4"))
        return self.path(name)

    def labelled(self, ids=(3, 7, 11)):
        path = self.path("labelled.txt")
        with open(path, "w") as file:
            file.writelines(f"{i}\n" for i in ids)
        return path

    def assert_tells_apart(self, predicted, retrained, said):
        """Estimates of other batches [environments, batches] that order them as `said` and are off by less than batches differ."""
        def ranks(values):  # the mean of the places of equal ones
            _, place, counts = numpy.unique(values, return_inverse=True, return_counts=True)
            return (numpy.cumsum(counts) - (counts - 1) / 2)[place]

        correlations = [numpy.corrcoef(ranks(p), ranks(r))[0, 1] for p, r in zip(predicted, retrained)]
        self.assertAlmostEqual(numpy.mean(correlations), said, places=9)
        self.assertGreater(said, 0.2)
        self.assertLess(((predicted - retrained) ** 2).mean(), retrained.var(1).mean())

    def test_training_has_the_same_bits_over_ranks(self):
        parameters = []
        for ranks in (0, 2, 3):
            facts = self.train_policy(f"run{ranks}", ranks=ranks).json()
            self.assertEqual(facts["records"], 2 * (40 + 2 * 16))  # two environments, refreshed at 5 and 10
            self.assertTrue(numpy.isfinite([facts["estimated_gain"], facts["retrained_gain"]]).all())
            self.assertNotIn("gain", facts)
            with h5py.File(self.policy(f"run{ranks}")) as file:
                parameters.append(file["parameters"][:].tobytes())
                self.assertEqual(file.attrs["head"], "sequential")
                self.assertEqual(len(file["curves/gain"]), 12)
        self.assertEqual(len(set(parameters)), 1)
        with h5py.File(self.path("run0/run.h5")) as file:
            self.assertEqual(list(file["curves/updates/refresh_update"]), [5, 10])
            retrained, gains = (file[f"curves/updates/{name}"][1] for name in ("retrained", "retrained_gain"))
        # The same from the records: the last 16 of each table are those of the last refresh.
        proposed, units = [], []
        for table in range(2):
            values, random = (numpy.fromfile(self.path(f"run0/checkpoints/000012/table{table}.{name}"), dtype)
                              for name, dtype in (("values", "f8"), ("random", "u1")))
            self.assertEqual((len(values), random[:40].tolist()), (72, [1] * 40))
            self.assertGreaterEqual(random[-16:].sum(), 4)
            proposed.append(values[-16:][random[-16:] == 0].mean())
            units.append((proposed[-1] - values[random == 1].mean()) / values[random == 1].std())
        numpy.testing.assert_allclose((retrained, gains), (numpy.mean(proposed), numpy.mean(units)))

    def test_rollouts_are_used_again_over_ranks_and_after_a_stop(self):
        train = ("policy", "train", "--environment", "standard", "--environments", 1, "-k", 4, "--updates", 6, "--records", 40, "--refresh-every",
                 3, "--head", "walk", "--run")
        parameters = {}
        for run, options in (("alone", ["--replay", 20]), ("shared", ["--replay", 20]), ("without", [])):
            self.run_ok(*train, self.path(run), *options, ranks=2 if run == "shared" else 0)
        again = (*train, self.path("stopped"), "--replay", 20, "--checkpoint-every", 0, "--max-walltime", 1e-6)
        codes = [self.run_any(*again).code]
        while codes[-1] == 85:
            codes.append(self.run_any(*again, "--resume").code)
        self.assertEqual(codes[-1], 0)
        self.assertGreater(len(codes), 3)
        for run in ("alone", "shared", "without", "stopped"):
            with h5py.File(self.policy(run)) as file:
                parameters[run] = file["parameters"][:].tobytes()
        self.assertEqual(parameters["shared"], parameters["alone"])
        self.assertEqual(parameters["stopped"], parameters["alone"])
        self.assertNotEqual(parameters["without"], parameters["alone"])
        self.assert_fails(2, ["50 candidates"], *train, self.path("other"), "--candidates", 60)

    def test_a_training_that_is_stopped_between_tables_goes_on_with_those_it_has(self):
        train = ("policy", "train", *SMALL[:6], "--environments", 3, "-k", 4, "--updates", 4, "--records", 40, "--refresh-every", 2, "--run")
        self.run_ok(*train, self.path("whole"))
        again = (*train, self.path("run"), "--checkpoint-every", 0, "--max-walltime", 1e-6, "--resume")
        said = []
        for _ in range(3 + 4):
            result = self.run_any(*again, ranks=2 if len(said) == 1 else 0)
            self.assertEqual(result.code, 85, result.err)
            said.append(result.err)
            if len(said) == 1:
                files = os.listdir(self.path("run/checkpoints/000000"))
                self.assertIn("table0.values", files)
                self.assertNotIn("table1.values", files)
        for number, words in enumerate(("table 1 of 3", "table 2 of 3", "table 3 of 3", "update 1 of 4", "update 2 of 4")):
            self.assertIn(f"asked to stop after {words}", said[number])
        self.run_ok(*again)
        with h5py.File(self.policy("whole")) as whole, h5py.File(self.policy()) as stopped:
            for name in ("parameters", "curves/gain", "curves/retrained"):
                numpy.testing.assert_array_equal(whole[name][:], stopped[name][:])
        # The ledger is that of all parts; nothing was retrained twice.
        with h5py.File(self.path("whole/run.h5")) as whole, h5py.File(self.path("run/run.h5")) as stopped:
            for name in ("flops/policy", "flops/proxy", "records"):
                numpy.testing.assert_allclose(stopped[f"ledger/{name}"][()], whole[f"ledger/{name}"][()], rtol=1e-12)
            self.assertEqual(set(stopped["ledger/seconds"]), set(whole["ledger/seconds"]))

    def test_a_policy_that_learned_is_above_random_and_says_by_how_much(self):
        self.run_ok("policy", "train", *SMALL[:6], "-k", 4, "--environments", 8, "--rewards", "retrained", "--updates", 150,
                    "--run", self.path("run"))
        judged = ("policy", "evaluate", "--policy", self.policy(), *SMALL[:6], "--environments", 8, "--json")
        facts = self.run_ok(*judged, "--own", "-o", self.path("own.h5")).json()
        self.assertEqual(facts["k"], 4)  # as in training
        self.assertGreater(facts["gain"]["policy"], 0.5)
        self.assertEqual(set(facts["policy_above"]), {"entropy", "margin", "badge", "k-center"})
        with h5py.File(self.path("own.h5")) as file:
            numpy.testing.assert_allclose(file["curves/environments/policy"][:].mean(), facts["gain"]["policy"])
            self.assertTrue(all(len(set(batch)) == 4 for batch in file["curves/picks/policy"][:].tolist()))
            self.assertEqual(file["curves/picks/k-center"].shape, (8, 4))
            self.assertEqual(file["curves/candidates/features"].shape, (8, 30, 2))
        over_ranks = self.run_ok(*judged, "--own", "-o", self.path("own2.h5"), ranks=2).json()
        self.assertEqual(over_ranks["gain"], facts["gain"])
        with h5py.File(self.path("own.h5")) as one, h5py.File(self.path("own2.h5")) as two:
            numpy.testing.assert_array_equal(one["curves/picks/policy"][:], two["curves/picks/policy"][:])
        fresh = self.run_ok(*judged).json()
        self.assertNotEqual(fresh["gain"], facts["gain"])

    def test_a_policy_is_held_against_searches_and_an_oracle(self):
        self.train_policy("run")
        judged = ("policy", "evaluate", "--policy", self.policy(), *SMALL[:8], "--choosers")
        rivals = "oracle,best-of-table,search"
        facts = self.run_ok(*judged, rivals, "--own", "--json").json()
        self.assertEqual(facts["retrainings"], 40 + 2 * 16)  # as many as the policy had in each environment
        self.assertEqual(self.run_ok(*judged, rivals, "--own", "--json", ranks=2).json()["gain"], facts["gain"])
        said = self.run_ok(*judged, rivals, "--retrainings", 100).out
        self.assertIn("no upper bound", said)
        self.assertIn("retrain on 100 batches of each environment; the policy on none of a fresh one", said)
        self.assert_fails(2, ["at 3", "4 or more with --retrainings"], *judged, rivals, "--retrainings", 3)
        self.assert_fails(2, ["searching", "best-of-table"], *judged, "searching")

    def test_batches_that_an_environment_has_no_candidates_for_are_refused(self):
        self.run_ok("policy", "train", *SMALL[:6], "--environments", 1, "-k", 10, "--updates", 1, "--rewards", "retrained", "--run",
                    self.path("run"))
        judged = ("policy", "evaluate", "--environment", "ring", "--policy", self.policy())
        self.assert_fails(2, ["-k is 10", "5 candidates"], *judged, "--candidates", 5)
        self.assert_fails(2, ["-k is 60", "50 candidates"], *judged, "--candidates", 50, "-k", 60, ranks=2)

    def test_environments_that_a_policy_was_not_trained_in_are_not_its_own(self):
        self.train_policy("run", "--seed", 3)
        judged = ("policy", "evaluate", "--policy", self.policy(), "--own", "--environment", "ring", "--candidates", 30, "--choosers", "margin")
        same = (*judged, "--reward-points", 200)
        self.run_ok(*same, "--environments", 2, "--seed", 3)
        self.assert_fails(2, ["environment 0 is not the one", "--seed"], *same, "--environments", 2, "--seed", 4, ranks=2)
        self.assert_fails(2, ["environment 0 is not the one"], *judged, "--environments", 2, "--seed", 3, "--reward-points", 201)
        self.assert_fails(2, ["had 2", "--environments is 3"], *same, "--environments", 3, "--seed", 3)
        with h5py.File(self.policy(), "a") as file:
            self.assertEqual(file["environment_checksums"].shape, (2,))
            del file["environment_checksums"]
        said = self.run_ok(*same, "--environments", 2, "--seed", 4)
        self.assertIn("does not say what it was trained in", said.err)

    def test_environments_of_a_pool_share_no_row_with_those_of_training(self):
        pool = ("--environment", "pool", "--pool", self.make_pool(rows=2000), "--candidates", 200, "--reward-points", 200,
                "--test-points", 200, "--metric", "negative-loss")
        self.run_ok("policy", "train", *pool, "--environments", 3, "-k", 4, "--updates", 3, "--rewards", "retrained", "--run", self.path("run"))
        ids = []
        for name, own in (("own.h5", ["--own"]), ("fresh.h5", [])):
            self.run_ok("policy", "evaluate", "--policy", self.policy(), *pool, "--environments", 3, "--choosers", "margin", *own, "-o",
                        self.path(name))
            with h5py.File(self.path(name)) as file:
                ids.append(set(file["curves/candidates/id"][:].ravel()))
        self.assertGreater(min(map(len, ids)), 400)
        self.assertFalse(ids[0] & ids[1])

    def test_a_run_tells_how_picking_changed_and_what_estimates_are_worth(self):
        facts = self.train_policy("run").json()
        with h5py.File(self.path("run/run.h5")) as file:
            shares = file["curves/picking/share"][:]
            self.assertEqual(shares.shape, (6, 30))  # every other update is in the first environment
            numpy.testing.assert_allclose(shares.sum(1), 4)  # the batch
            self.assertEqual(len(file["curves/picking/update"]), 6)
            for kind in ("random", "policy"):
                predicted, retrained = (file[f"curves/fidelity/{kind}_{what}"][:] for what in ("predicted", "retrained"))
                self.assertEqual(predicted.shape, (2, 200))
                self.assert_tells_apart(predicted, retrained, facts["rank_correlation"][kind])
            self.assertEqual(file["curves/candidates/target"].shape, (1, 30))

    def test_every_head_trains_and_picks(self):
        predictions = self.make_predictions()
        for head in ("sequential", "walk", "batch", "plackett-luce", "label-or-not"):
            self.train_policy(head, "--head", head, "--baseline", "value")
            pick = ("policy", "select", "--policy", self.policy(head), "--predictions", predictions, "--labelled",
                    self.labelled(), "-k", 4, "-o", self.path(f"{head}.h5"))
            if head == "label-or-not":
                self.assert_fails(2, ["label-or-not", "exactly k"], *pick)
                facts = self.run_ok("policy", "evaluate", "--policy", self.policy(head), *SMALL[:6], "--environments", 2,
                                    "--choosers", "margin", "--random-batches", 20, "--json").json()
                # It begins with 4 on average, and the price holds it there: 1.9 is the deviation of one batch, and there are 32.
                self.assertTrue(2 < facts["labels"] < 8, facts["labels"])
                self.assertNotEqual(facts["labels"], facts["k"])
                continue
            self.run_ok(*pick)
            ids, scores = self.batch(f"{head}.h5")
            self.assertEqual(len(ids), 4)
            self.assertEqual(len(set(ids)), len(ids))
            self.assertFalse(set(ids) & {3, 7, 11})
            numpy.testing.assert_array_less(scores, 1e-6)  # logarithms of probabilities

    def test_training_begins_from_tables_of_the_same_environment(self):
        ring = ("--environment", "ring", "--candidates", 30, "--reward-points", 200)
        tables = [self.path(f"table{seed}.h5") for seed in (5, 6)]
        for seed, table in zip((5, 6), tables):
            self.run_ok("table", "build", *ring, "--subset-size", "3-5", "--records", 60, "--seed", seed, "-o", table)
        few = ("policy", "train", "--environment", "ring", "--candidates", 30, "--updates", 7, "--refresh-every", 5, "--json", "--table", *tables)
        train = (*few, "--reward-points", 200, "--environments", 2, "-k", 4)
        facts = [self.run_ok(*train, "--run", self.path(f"run{ranks}"), ranks=ranks).json() for ranks in (0, 2)]
        for name in ("estimated_gain", "retrained_gain", "records"):
            self.assertEqual(facts[0][name], facts[1][name])
        self.assertEqual(facts[0]["records"], 2 * (60 + 16))
        judged = ("policy", "evaluate", "--policy", self.policy("run0"), *SMALL[:8], "--own", "--table", *tables, "--choosers", "margin")
        said = self.run_ok(*judged, "-o", self.path("own.h5"), "--json", ranks=2).json()
        self.assertIn("rank correlation", self.run_ok(*judged).out)
        with h5py.File(self.path("own.h5")) as file:
            predicted, retrained = (file[f"curves/fidelity/policy_{what}"][:] for what in ("predicted", "retrained"))
            self.assertEqual(predicted.shape, (2, 200))
            self.assert_tells_apart(predicted, retrained, said["rank_correlation"]["policy"])
        # A table may lie elsewhere when the run goes on, but must be the same; and so must the seed.
        os.rename(tables[1], self.path("moved.h5"))
        moved = (*train[:len(few) - 1], self.path("moved.h5"), *train[len(few):], "--run", self.path("run0"), "--resume")
        self.run_ok(*moved)
        self.assert_fails(2, ["begun with other settings", "seed was 0, now 7"], *moved, "--seed", 7)
        with h5py.File(self.path("moved.h5"), "a") as file:
            file["metrics/accuracy"][0] += 0.01
        self.assert_fails(2, ["begun with other settings", "tables was"], *moved)
        os.rename(self.path("moved.h5"), tables[1])
        other = ("--run", self.path("other"), "--overwrite")
        self.assert_fails(2, ["2 files", "--environments is 3"], *few, *other, "--environments", 3, "-k", 4)
        self.assert_fails(2, ["table5.h5", "other candidates"], *few, *other, "--environments", 2, "-k", 4, "--reward-points", 300)
        self.assert_fails(2, ["table5.h5", "another proxy", "50 steps"], *train, *other, "--proxy-steps", 50)
        self.assert_fails(2, ["3 to 5", "-k is 8"], *few, *other, "--reward-points", 200, "--environments", 2, "-k", 8)
        self.assert_fails(2, ["--rewards retrained"], *train, *other, "--rewards", "retrained")

    def test_a_pick_is_the_same_over_ranks_and_keeps_to_the_candidates(self):
        self.train_policy("run")
        predictions, labelled = self.make_predictions(), self.labelled()
        pick = ("policy", "select", "--policy", self.policy(), "--predictions", predictions, "--labelled", labelled, "-k", 6)
        for ranks in (0, 2, 3):
            self.run_ok(*pick, "-o", self.path(f"{ranks}.h5"), ranks=ranks)
            numpy.testing.assert_array_equal(self.batch(f"{ranks}.h5")[0], self.batch("0.h5")[0])
            self.run_ok(*pick, "--candidates", 20, "--prefilter", "entropy", "-o", self.path(f"few{ranks}.h5"), ranks=ranks)
            numpy.testing.assert_array_equal(self.batch(f"few{ranks}.h5")[0], self.batch("few0.h5")[0])
        self.run_ok("select", "--predictions", predictions, "--acquisition", "entropy", "--exclude", labelled, "-k", 20, "-o",
                    self.path("entropy.h5"))
        self.assertLessEqual(set(self.batch("few0.h5")[0]), set(self.batch("entropy.h5")[0]))
        with h5py.File(self.path("0.h5")) as file:
            self.assertEqual((file.attrs["acquisition"], file.attrs["selector"]), ("policy", "joint"))
            self.assertEqual(file.attrs["policy"], self.policy())
        # As an acquisition of select; and drawn, where the seed counts.
        self.run_ok("select", "--acquisition", "policy", *pick[2:], "-o", self.path("select.h5"))
        numpy.testing.assert_array_equal(self.batch("select.h5")[0], self.batch("0.h5")[0])
        drawn = []
        for seed in (1, 2):
            self.run_ok(*pick, "--sample", "--seed", seed, "-o", self.path(f"drawn{seed}.h5"))
            drawn.append(tuple(self.batch(f"drawn{seed}.h5")[0]))
        self.assertNotEqual(*drawn)

    def test_rows_without_usable_predictions_are_never_picked(self):
        self.train_policy("run")
        predictions = self.make_predictions(rows=40)
        with h5py.File(predictions, "a") as file:
            file["logits"][:30] = numpy.nan
        self.run_ok("policy", "select", "--policy", self.policy(), "--predictions", predictions, "--labelled",
                    self.labelled((31, 32)), "-k", 4, "--max-bad", 30, "-o", self.path("batch.h5"))
        self.assertTrue(all(i >= 33 for i in self.batch()[0]))

    def test_rows_without_a_finite_embedding_are_set_apart_by_their_id(self):
        self.train_policy("run")
        predictions = self.make_predictions()
        with h5py.File(predictions, "a") as file:
            file["embeddings"][417, 2] = numpy.nan
            file["ids"] = numpy.arange(600) * 10 + 7
        result = self.run_ok("policy", "select", "--policy", self.policy(), "--predictions", predictions, "--labelled",
                             self.labelled((37, 47)), "-k", 4, "-o", self.path("batch.h5"), "--json", ranks=2)
        facts = result.json()
        self.assertEqual((facts["quarantined"], facts["selectable"]), (1, 597))
        self.assertIn("embedding is not finite (ids 4177)", result.err)

    def test_loop_compares_a_policy_with_others(self):
        self.train_policy("run")
        pool, test = self.make_pool(rows=400), self.make_pool("test.h5", rows=100, seed=1)
        self.run_ok("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--acquisitions", "random,entropy,policy",
                    "--policy", self.policy(), "--initial", 10, "-k", 10, "--cycles", 3, "--updates", 20, "--run",
                    self.path("loop"), ranks=2)
        with h5py.File(self.path("loop/run.h5")) as file:
            self.assertEqual(file["curves/policy/test_accuracy"].shape, (1, 3))
            first, second = (set(file[f"cycles/policy/0/{cycle}/batch_ids"]) for cycle in (0, 1))
            self.assertEqual((len(first), len(second), len(first & second)), (10, 10, 0))

    def test_loop_trains_a_policy_on_what_is_labelled(self):
        pool = self.make_pool(rows=400, noise=80.0, shape=(1, 96, 96))  # two blocks
        test = self.make_pool("test.h5", rows=100, seed=1, shape=(1, 96, 96))
        loop = ("loop", "--pool", pool, "--test-pool", test, "--model", "mlp", "--hidden", 16, "--acquisitions", "random,policy", "-k", 5,
                "--cycles", 4, "--updates", 4, "--agent-updates", 5, "--reproducible")

        def picked(run):
            with h5py.File(self.path(f"{run}/run.h5")) as file:
                return [[tuple(file[f"cycles/{name}/0/{cycle}/batch_ids"]) for cycle in range(3)] for name in ("random", "policy")]

        found = {}
        for agent in ("single", "per-cycle"):
            options = (*loop, "--agent", agent, "--initial", 20)
            for run, ranks in (("alone", 0), ("shared", 3)):
                self.run_ok(*options, "--run", self.path(f"{agent}-{run}"), ranks=ranks)
            found[agent] = picked(f"{agent}-alone")
            self.assertEqual(picked(f"{agent}-shared"), found[agent])
        # Stopped again and again, and gone on with.
        stopped = (*loop, "--agent", "single", "--initial", 20, "--max-walltime", 1e-6, "--run", self.path("stopped"))
        results = [self.run_any(*stopped)]
        while results[-1].code == 85:
            results.append(self.run_any(*stopped, "--resume"))
        self.assertEqual(results[-1].code, 0)
        for update in (1, 4, 5):  # of every cycle but the last, which picks nothing
            self.assertEqual(sum(f"update {update} of 5 of the policy" in result.err for result in results), 3)
        self.assertEqual(picked("stopped"), found["single"])
        single, anew = (found[agent][1] for agent in ("single", "per-cycle"))
        self.assertEqual(single[0], anew[0])  # both begin with a policy that has learned nothing
        self.assertNotEqual(single[1:], anew[1:])
        # One that was trained before can be the first.
        self.train_policy("run")
        self.run_ok(*loop, "--agent", "single", "--policy", self.policy(), "--initial", 20, "--run", self.path("begun"))
        self.assertNotEqual(picked("begun")[1], single)
        refused = (*loop, "--run", self.path("refused"), "--initial")
        self.assert_fails(2, ["needs 20 rows", "--initial is 19"], *refused, 19, "--agent", "single")
        self.assert_fails(2, ["--agent single, which goes on"], *refused, 20, "--agent", "per-cycle", "--policy", self.policy())
        self.assert_fails(2, ["give its file with --policy"], *refused, 20)
        with h5py.File(pool, "a") as file:
            file["targets"][:385] = -1
        self.assert_fails(2, ["--initial is 20", "only 15 rows"], *refused, 20, "--agent", "per-cycle")

    def test_bad_input_is_refused_with_what_to_do(self):
        self.train_policy("run", "--features", "entropy,embedding")
        predictions = self.make_predictions()
        pick = ("policy", "select", "--predictions", predictions, "-o", self.path("b.h5"))
        # The ring has embeddings of two numbers, these predictions of five.
        self.assert_fails(1, ["reads 3 features of a candidate, but there are 6"], *pick, "-k", 3, "--policy", self.policy())
        self.assert_fails(1, ["thresher-policy"], *pick, "-k", 3, "--policy", predictions)
        self.train_policy("default")
        self.assert_fails(2, ["distance-to-labelled", "labelled rows"], *pick, "-k", 3, "--policy", self.policy("default"))
        self.assert_fails(2, ["--policy"], "select", "--acquisition", "policy", "--predictions", predictions, "-k", 3, "-o",
                          self.path("b.h5"))
        train = ("policy", "train", "--run", self.path("other"))
        self.assert_fails(2, ["-k is 60", "50 candidates"], *train, "-k", 60)
        self.assert_fails(2, ["unknown head", "sequential"], *train, "--head", "greedy")
        self.assert_fails(2, ["unknown kind of feature"], *train, "--features", "colour")
        self.assert_fails(2, ["multiples of 16"], *train, "--hidden", 20)
        self.assert_fails(2, ["the action comes first"], "policy", "--run", self.path("other"))
        self.assert_fails(2, ["begun with other settings", "head was"], "policy", "train", *SMALL, "--updates", 12, "--records", 40,
                          "--refresh-every", 5, "--run", self.path("default"), "--resume", "--head", "walk")
        # Options that have no effect. A file of options may hold them, as it is for several verbs and trainings.
        retrained = ("--rewards", "retrained")
        for option, value in (("--records", 40), ("--refresh-every", 5), ("--refreshed", 4), ("--estimator", "knn")):
            self.assert_fails(2, [f"{option} has no effect", "--rewards table"], *train, *retrained, option, value)
        self.assert_fails(2, ["--truncation has no effect", "walk"], *train, "--truncation", 4)
        self.assert_fails(2, ["--warm-steps has no effect", "--retrain warm"], *train, "--warm-steps=4")
        self.assert_fails(2, ["--warm-steps has no effect"], "policy", "evaluate", "--policy", self.policy(), "--warm-steps", 4)
        self.assert_fails(2, ["--records has no effect", "--table"], *train, "--environments", 1, "--table", predictions, "--records", 4)
        with open(self.path("policy.toml"), "w") as file:
            file.write("records = 40\nrefresh-every = 5\ntruncation = 4\nwarm-steps = 5\nupdates = 1\nenvironments = 1\n")
        self.run_ok(*train, *retrained, "--environment", "ring", "--config", self.path("policy.toml"))
        # Records of two proxies do not mix.
        self.assert_fails(2, ["begun with other settings", "proxy was"], "policy", "train", *SMALL, "--updates", 12, "--records", 40,
                          "--refresh-every", 5, "--run", self.path("default"), "--resume", "--proxy-steps", 50)


if __name__ == "__main__":
    unittest.main()
