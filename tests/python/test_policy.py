"""What is shown of policies: training, gains over random batches, games, picks, and the tables of thresher-policy."""

import json
import math
import pathlib
import unittest

import h5py
import numpy

from report_test import NAN, ReportTest  # first: it finds thresher_report
from thresher_report import picks, policy
from thresher_report.policies import main


class PolicyTest(ReportTest):
    def make_run(self, name, curves, batches=None):
        with self.file(name, "run") as file:
            for curve, values in curves.items():
                file[f"curves/{curve}"] = numpy.array(values, "f8")
            for place, ids in (batches or {}).items():
                file[f"cycles/{place}/batch_ids"] = numpy.array(ids, "i8")
        return self.path(name)

    def make_evaluation(self, name, gains, deviation=0.02):
        count = len(next(iter(gains.values())))
        facts = {"random_mean": [0.6] * count, "random_deviation": [deviation] * count, "labels": [10.0] * count}
        return self.make_run(name, {f"environments/{key}": values for key, values in {**facts, **gains}.items()})

    def make_training(self, name, unit=1.0):
        updates = 40
        curves = {"gain": numpy.linspace(0, 2, updates), "entropy": numpy.linspace(1, 0.2, updates),
                  "hard_share": [0.3] * updates, "easy_share": [0.1] * updates, "gradient_norm": [1.0] * updates,
                  "refresh_update": [10, 20], "predicted": [0.60, 0.64], "retrained": [0.58, 0.70], "retrained_gain": [1.0, NAN],
                  "estimate_error": [0.03, 0.02], "retrained_spread": [0.02, 0.03]}
        random = [[0.0, unit, -unit]]  # of a standard deviation of `unit`
        more = {"picking/update": [1, 20, 40], "picking/share": [[0.5, 0.5], [0.7, 0.3], [0.9, 0.1]],
                "fidelity/random_predicted": random, "fidelity/random_retrained": random,
                "fidelity/policy_predicted": [[2.5, 3.0]], "fidelity/policy_retrained": [[2.0, 1.5]]}
        return self.make_run(name, {**{f"updates/{key}": values for key, values in curves.items()}, **more})

    def table(self, *arguments, code=0):
        return self.table_of(main, *arguments, code=code)


class Numbers(PolicyTest):
    def test_effective_classes(self):
        self.assertAlmostEqual(picks.effective_classes(numpy.array([0, 1, 2, 3])), 4.0)
        self.assertAlmostEqual(picks.effective_classes(numpy.array([5, 5, 5])), 1.0)
        # Shares of 3/4 and 1/4; a row without a label does not count.
        self.assertAlmostEqual(picks.effective_classes(numpy.array([0, 0, 0, 1, -1])), 4 / 3 ** 0.75)
        self.assertTrue(math.isnan(picks.effective_classes(numpy.array([-1]))))

    def test_nearest_distances(self):
        points = numpy.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [0.0, 1.0]])
        numpy.testing.assert_allclose(picks.nearest_distances(points), [1.0, 0.0, 0.0, 1.0], atol=1e-6)
        self.assertEqual(len(picks.nearest_distances(points[:1])), 0)

    def test_rank_correlation(self):
        numpy.testing.assert_array_equal(policy.ranks(numpy.array([3.0, 1.0, 3.0, 2.0])), [2.5, 0.0, 2.5, 1.0])
        values = numpy.array([1.0, 2.0, 3.0, 4.0])
        self.assertAlmostEqual(policy.rank_correlation(values, numpy.exp(values)), 1.0)
        # 1 - 6 (1 + 1) / (4 15)
        self.assertAlmostEqual(policy.rank_correlation(values, numpy.array([1.0, 2.0, 4.0, 3.0])), 0.8)

    def test_warnings_are_told_once(self):
        log = self.directory / "log.txt"
        log.write_text("18:00:00 info: update 1\n18:00:01 warning: reward stalls: at +0.1\n18:00:02 warning: reward stalls: at +0.1\n")
        self.assertEqual(policy.warnings_in(log), ["reward stalls: at +0.1"])
        self.assertEqual(policy.warnings_in(self.directory / "none"), [])


class Tables(PolicyTest):
    def test_gains_over_seeds(self):
        for seed, ours, theirs in ((1, [1.0, 2.0], [1.5, 0.0]), (2, [3.0, 4.0], [0.0, 5.0])):
            self.make_evaluation(f"ring/own-{seed}.h5", {"policy": ours, "k-center": theirs})
            self.make_evaluation(f"ring/true-{seed}.h5", {"policy": [4.0, 6.0]})
        found = self.table("gains", self.directory / "ring", "--policies", "own", "true", "--share", "--choosers", "k-center", "badge")
        self.assertEqual(found[0], ["environment", "own", "true", "own / true", "k-center", "badge"])
        # Means of the seeds: 1.5 and 3.5, of 5; k-center 0.75 and 2.5; the policy is above in 2 of 4.
        self.assertEqual(found[2], ["ring", "2.50 (1.50, 3.50)", "5.00 (5.00, 5.00)", "50.0 %", "1.62 (50 %)", "–"])

    def test_fidelity_is_in_standard_deviations_of_random_batches(self):
        for seed, unit in ((1, 1.0), (2, 2.0)):
            self.make_training(f"ring/own-{seed}/run.h5", unit)
        # Errors of the policy's batches 0.5 and 1.5, of random ones 0 and of a deviation of 1 or 2; the policy's are in the
        # opposite order.
        self.assertEqual(self.table("fidelity", self.directory / "ring")[2],
                         ["ring", "own", "0.00 (0.00, 0.00)", "1.00", "0.75 (1.00, 0.50)", "-1.00"])

    def test_estimators_over_seeds(self):
        for seed, shift in ((1, 0.0), (2, 0.2)):
            checks = [{"estimator": "ridge", "records": records, "correlation": r + shift, "rank_correlation": 0.5,
                       "mean_error": 0.01, "mean_error_of_mean": 0.02} for records, r in ((100, 0.3), (200, 0.6))]
            (self.directory / f"b5-{seed}.json").write_text(json.dumps({"checks": checks}))
        found = self.table("estimators", self.directory / "b5-1.json", self.directory / "b5-2.json")
        self.assertEqual(found[0][3:5], ["r, 100 records", "r, 200 records"])
        self.assertEqual(found[2], [self.directory.name, "b5", "ridge", "0.40 (0.30 to 0.50)", "0.70 (0.60 to 0.80)", "0.50", "0.50"])

    def test_proxies_are_compared_subset_by_subset(self):
        for name, accuracy in (("supervised", [0.1, 0.2, 0.3, 0.4]), ("mean-teacher", [0.1, 0.2, 0.4, 0.3])):
            to = self.directory / name
            to.mkdir()
            with h5py.File(to / "table-1.h5", "w") as file:
                file["subsets"] = numpy.array([[1], [2], [4], [8]], "u8")
                file["metrics/accuracy"] = numpy.array(accuracy)[:, None]
            (to / "table-1.json").write_text(json.dumps({"checks": [{"estimator": "kernel", "records": 9, "rank_correlation": 0.7}]}))
            self.make_evaluation(f"{name}/own-1.h5", {"policy": [2.0]})
        found = self.table("proxies", self.directory / "supervised", self.directory / "mean-teacher")
        self.assertEqual(found[2], ["supervised", "60.0 %", "12.91", "0.70", "–", "2.00"])
        self.assertEqual(found[3][4], "0.80")
        with h5py.File(self.directory / "mean-teacher" / "table-1.h5", "a") as file:
            file["subsets"][0] = 16
        self.assertIn("other subsets", self.table("proxies", self.directory / "supervised", self.directory / "mean-teacher", code=1))

    def test_games_by_size_of_batch(self):
        curves = {}
        for batch, last in ((1, [0.5, 0.7]), (10, [0.4, 0.4])):
            rounds = {"labelled": [[20, 30]] * 2, "test_accuracy": [[0.3, value] for value in last],
                      "test_loss": [[2.0, 1.0]] * 2, "seconds": [[0.0, 0.1]] * 2}
            curves.update({f"entropy/b{batch}/{name}": values for name, values in rounds.items()})
        path = self.make_run("games.h5", curves)
        found = self.table("games", path)
        self.assertEqual(found[:3], [["test accuracy [%]", "batches of 1", "batches of 10"], ["---"] * 3,
                                     ["entropy", "60.0 ± 14.1", "40.0 ± 0.0"]])
        self.assertIn("60.0 ± 14.1", self.report(path))

    def test_refused(self):
        self.assertIn("no own-SEED.h5", self.table("gains", self.directory, code=1))
        other = self.make_run("other-1.h5", {"steps/loss": [1.0]})
        self.assertIn("no file of thresher env run", self.table("games", other, code=1))
        self.assertIn("is no file of thresher policy evaluate", self.table("gains", self.directory, "--policies", "other", code=1))
        (self.directory / "check-1.json").write_text("{}")
        self.assertIn("no JSON line", self.table("estimators", self.directory / "check-1.json", code=1))


class Report(PolicyTest):
    def test_training_of_a_policy(self):
        run = pathlib.Path(self.make_training("own/run.h5")).parent
        (run / "log.txt").write_text("18:00:01 warning: table too small: errors of 0.1\n")
        text = self.report(run)
        self.assertIn("table too small: errors of 0.1", text)
        # Of the last refreshes: 0.02 and -0.06.
        self.assertIn("predicted less retrained metric of its batches, last refreshes -0.02", text)
        self.assertNotIn("Not shown", text)

    def test_gains(self):
        text = self.report(self.make_evaluation("own.h5", {"policy": [1.0, 3.0, 2.0], "badge": [0.0, 4.0, 1.0]}))
        # badge: mean 5/3, deviation 2.08 over sqrt 3; below in 2 of 3.
        for cell in ("+2.00", "+1.67", "1.2", "66.7 %"):
            self.assertIn(f"<td>{cell}</td>", text)

    def test_picks_of_an_evaluation(self):
        curves = {f"environments/{name}": [1.0] for name in ("random_mean", "random_deviation", "labels", "policy", "badge")}
        curves |= {"picks/policy": [[0, 1]], "picks/badge": [[2, -1]], "candidates/target": [[0, 1, 0]],
                   "candidates/features": [[[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]]}
        text = self.report(self.make_run("own.h5", curves))
        self.assertIn("<td>2</td><td>5</td></tr>", text)  # two classes, five apart
        self.assertIn("<td>1</td><td>–</td></tr>", text)  # a batch of one
        self.assertNotIn("Not shown", text)

    def test_what_was_picked(self):
        with h5py.File(self.directory / "pool.h5", "w") as file:
            file.attrs["format"] = "thresher-pool"
            file["inputs"] = numpy.array([0, 10, 0, 10], "u1")[:, None, None] * numpy.ones((1, 2, 2), "u1")
            file["targets"] = numpy.array([0, 1, 0, 1], "i8")
        curves = {f"random/{name}": [[1.0, 2.0]] for name in ("labelled", "test_accuracy", "test_loss", "seconds")}
        run = self.make_run("loop/run.h5", curves, {"random/0/0": [0, 1], "random/0/1": [0, 2]})
        text = self.report(pathlib.Path(run).parent, "--pool", self.directory / "pool.h5")
        # Classes: 2 and 1. Differences: 10 and 0.
        self.assertIn('<th scope="row">random</th><td>1.5</td><td>5</td>', text)


if __name__ == "__main__":
    unittest.main()
