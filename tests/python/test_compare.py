"""thresher-compare: runs of training against a baseline."""

import json
import pathlib
import unittest
from unittest import mock

import h5py
import numpy

from report_test import NAN, ReportTest  # first: it finds thresher_report
from thresher_report import charts
from thresher_report.compare import main


class Compare(ReportTest):
    def make_run(self, seed, name, updates, accuracy, flops, seconds=10.0, **attributes):
        with self.file(f"seed-{seed}/{name}/run.h5", "run", **attributes) as file:
            file["curves/evaluations/update"] = [float(u) for u in updates]
            file["curves/evaluations/validation_accuracy"] = accuracy
            for role, value in flops.items():
                file[f"ledger/flops/{role}"] = [float(value)]
            file["ledger/seconds/compute"] = [seconds]
            file["ledger/seconds/evaluate"] = [1000.0]
        return self.path(f"seed-{seed}/{name}")

    def table(self, *arguments, code=0):
        found = self.table_of(main, *arguments, code=code)
        return found if code else {row[0]: row[1:] for row in found[2:]}

    def two_seeds(self):
        """Uniform ends at 0.80 on the mean; the other is there for good from update 60 of 100 on."""
        runs = []
        for seed, final in ((1, 0.79), (2, 0.81)):
            runs.append(self.make_run(seed, "uniform", [100, 200], [0.5, final], {"learner": 1000}, 20.0))
        for seed, curve in ((1, [0.85, 0.70, 0.80, 0.82]), (2, [0.85, 0.70, 0.80, 0.80])):
            runs.append(self.make_run(seed, "chosen", [20, 40, 60, 100], curve,
                                      {"learner": 500, "online": 100, "score_online": 50, "score_reference": 50,
                                       "reference_pretraining": 80}))
        return runs

    def test_updates_and_compute_to_the_target(self):
        found = self.table(*self.two_seeds(), "--baseline", "uniform", "--figure", self.directory / "figure.png")
        self.assertEqual(found["uniform"][:3], ["200", "80.0 ± 1.4 (79.0 to 81.0)", "-"])
        # 60 of 200 updates. 0.6 x 700 + 80 = 500 of 1000, without pretraining 420, without online training 360.
        self.assertEqual(found["chosen"], ["100", "81.0 ± 1.4 (80.0 to 82.0)", "1 of 2", "70 % less", "50 % less",
                                           "58 % less", "64 % less", "6 s"])
        self.assertEqual((self.directory / "figure.png").read_bytes()[:4], b"\x89PNG")

    def test_another_metric_and_what_is_wrong(self):
        runs = self.two_seeds()
        for run, share in zip(runs, (0.5, 0.4, 0.2, 0.1)):
            with h5py.File(run + "/run.h5", "a") as file:
                file.move("curves/evaluations/validation_accuracy", "curves/evaluations/validation_recall_at_5")
                file["curves/steps/noisy_share"] = [share - 0.1, share + 0.1]
        found = self.table(*runs, "--baseline", "uniform", "--metric", "recall_at_5")
        self.assertEqual(found["uniform"][1], "80.0 ± 1.4 (79.0 to 81.0)")
        self.assertEqual((found["uniform"][-1], found["chosen"][-1]), ("45.0 %", "15.0 %"))
        self.assertIn("has no validation accuracy to compare by (--metric); it has recall_at_5", self.table(*runs, "--baseline", "uniform", code=1))

    def test_never_there(self):
        runs = self.two_seeds()
        runs += [self.make_run(seed, "late", [50, 100], [0.9, 0.7], {"learner": 500}) for seed in (1, 2)]
        found = self.table(*runs, "--baseline", "uniform")
        self.assertEqual(found["late"][2:], ["0 of 2", "never", "never", "never", "never", "never"])

    def test_what_went_before_is_charged(self):
        runs = self.two_seeds()
        runs += [self.make_run(seed, "on", [10], [0.9], {"learner": 100, "init": 1000}) for seed in (1, 2)]
        found = self.table(*runs, "--baseline", "uniform")
        self.assertEqual(found["on"], ["+ 10", "90.0 ± 0.0 (90.0 to 90.0)", "2 of 2", "-", "10 % more", "10 % more",
                                       "10 % more", "-"])

    def test_a_reference_or_a_beginning_of_unknown_cost_is_not_free(self):
        runs, scored = self.two_seeds(), {"learner": 500, "score_reference": 50}
        told = {"learner": 500, "score_reference": 50, "reference_pretraining": 80}
        for seed in (1, 2):
            runs += [self.make_run(seed, "one-known", [50, 100], [0.7, 0.9], told if seed == 1 else scored),
                     self.make_run(seed, "trained-beside", [50, 100], [0.7, 0.9], scored | {"reference": 10}),
                     self.make_run(seed, "on", [10], [0.9], {"learner": 100}, config='init="model.pt"\n'),
                     self.make_run(seed, "looked-up", [50, 100], [0.7, 0.9], {"learner": 500}, config='reference-losses="losses.h5"\n'),
                     self.make_run(seed, "late", [50, 100], [0.9, 0.7], scored)]
        found = self.table(*runs, "--baseline", "uniform", "--figure", self.directory / "figure.png")
        self.assertEqual(found["one-known"][3:6], ["50 % less", "unknown", "45 % less"])
        self.assertEqual(found["trained-beside"][3:6], ["50 % less", "44 % less", "44 % less"])
        self.assertEqual((found["on"][0], found["on"][3:7]), ("+ 10", ["-", "unknown", "unknown", "unknown"]))
        self.assertEqual(found["looked-up"][3:6], ["50 % less", "unknown", "50 % less"])
        self.assertEqual(found["late"][3:6], ["never", "never", "never"])
        self.assertEqual(found["chosen"][4], "50 % less")
        self.assertTrue(any("unknown: one-known, on, looked-up, late used a model" in line for line in found))
        against = self.table(*runs, "--baseline", "one-known")
        self.assertEqual(against["trained-beside"][4:6], ["unknown", "2 % more"])

    def test_runs_that_have_not_finished_are_named(self):
        runs = self.two_seeds()
        for run, code in zip(runs, (0, 85, -1)):
            status = {"parts": [{"exit_code": 1}, {"exit_code": code}]}
            pathlib.Path(run, "status.json").write_text(json.dumps(status))
        found = list(self.table(*runs, "--baseline", "uniform"))
        self.assertEqual(found[-2:], [f"Not finished: {runs[1]} ended with exit code 85.", f"Not finished: {runs[2]}."])
        pathlib.Path(runs[0], "status.json").write_text("{")
        self.assertIn("status.json: is damaged", self.table(*runs, "--baseline", "uniform", code=1))

    def test_only_shares_are_compared(self):
        runs = self.two_seeds()
        for run in runs:
            with h5py.File(run + "/run.h5", "a") as file:
                file["curves/evaluations/validation_loss"] = file["curves/evaluations/validation_accuracy"][:]
        self.assertIn("has no validation loss to compare by (--metric); it has accuracy\n",
                      self.table(*runs, "--baseline", "uniform", "--metric", "loss", code=1))

    def test_every_line_s_end_is_in_the_figure(self):
        drawn = []
        with mock.patch.object(charts, "_finish", lambda figure, *_: drawn.extend(figure.axes)):
            charts.comparison("figure", [("a", [1, 2], numpy.array([[0.1, 0.8]]), [1, 2]),
                                         ("b", [1, 2], numpy.array([[0.1, 0.4]]), [NAN, NAN])], 0.8)
        by_update, by_compute = drawn
        self.assertAlmostEqual(by_update.get_ylim()[0], 0.38)
        self.assertAlmostEqual(by_compute.get_ylim()[0], 0.65)
        self.assertEqual([[text.get_text() for text in panel.texts] for panel in drawn], [["b"], ["a"]])

    def test_refused(self):
        runs = self.two_seeds()
        self.assertIn("no run called other; there are uniform, chosen", self.table(*runs, "--baseline", "other", code=1))
        odd = self.make_run(3, "chosen", [10, 100], [0.1, 0.2], {"learner": 1})
        self.assertIn("other updates", self.table(*runs, odd, "--baseline", "uniform", code=1))
        self.assertIn("seed-9", self.table(self.directory / "seed-9", "--baseline", "uniform", code=1))


if __name__ == "__main__":
    unittest.main()
