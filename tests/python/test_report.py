"""The report: are its numbers right, does it stand alone, and what does it say of broken inputs?"""

import contextlib
import html
import io
import json
import os
import pathlib
import re
import struct
import unittest
from unittest import mock

import numpy

from report_test import NAN, Page, ReportTest  # first: it finds thresher_report
from thresher_report import charts, pool as pool_module
from thresher_report import runs, scores as scores_module, style
from thresher_report.cli import main
from thresher_report.pool import Pool
from thresher_report.table import main as table_main


class Report(ReportTest):
    def file(self, name, kind):
        return super().file(name, kind, command_line=f"thresher made {name} <with> & \"quotes\"", config="k = 3\n")

    def make_pool(self, name="pool.h5", inputs=None, targets=(0, 1, 2, 0, 1, 0), truth=(0, 1, 2, 0, 2, 1), ids=None,
                  class_names=("cat", "dog", "cow")):
        with self.file(name, "pool") as file:
            if inputs is None:
                inputs = numpy.arange(len(targets) * 16, dtype="u1").reshape(len(targets), 1, 4, 4)
            file["inputs"] = inputs
            if targets is not None:
                file["targets"] = numpy.array(targets, "i8")
                file["targets"].attrs["class_names"] = list(class_names)
            if truth is not None:
                file["clean_targets"] = numpy.array(truth, "i8")
            if ids is not None:
                file["ids"] = numpy.array(ids, "i8")
        return self.path(name)

    def make_batch(self, ids, name="batch.h5", acquisition="entropy", scores=None):
        with self.file(name, "batch") as file:
            file.attrs["acquisition"] = acquisition
            file["ids"] = numpy.array(ids, "i8")
            file["scores"] = numpy.arange(len(ids), 0, -1, dtype="f4") if scores is None else numpy.array(scores, "f4")
        return self.path(name)

    def make_scores(self, columns, name="scores.h5", ids=None):
        with self.file(name, "scores") as file:
            for acquisition, values in columns.items():
                file[f"scores/{acquisition}"] = numpy.array(values, "f4")
            if ids is not None:
                file["ids"] = numpy.array(ids, "i8")
        return self.path(name)

    def make_loop(self, name="loop", **changes):
        curves = {"labelled": [[10, 20], [10, 20]], "test_accuracy": [[0.5, 0.6], [0.7, 0.8]],
                  "test_loss": [[2.0, 1.0], [3.0, 1.5]], "seconds": [[1.0, 2.0], [3.0, 4.0]], **changes}
        with self.file(f"{name}/run.h5", "run") as file:
            for curve, values in curves.items():
                if values is not None:
                    file[f"curves/entropy/{curve}"] = numpy.array(values, "f8")
            file["ledger/flops/learner"] = numpy.array([2.5e12])
            file["ledger/seconds/read"] = numpy.array([90.0])
        return self.path(name)

    def row(self, text, first, *rest):
        """That some table has this row."""
        self.assertIn([first, *rest], Page(text).rows)


class Numbers(Report):
    def test_noise_of_pool_and_batch(self):
        # Of 6 labels 2 are wrong (rows 4 and 5); of the batch's 4 rows 1 is (row 4).
        text = self.report(self.make_batch([4, 0, 1, 2]), "--pool", self.make_pool())
        self.row(text, "pool pool", "6", "2", "33.3 %", "1.00 ×")
        self.row(text, "batch (entropy)", "4", "1", "25.0 %", "0.75 ×")

    def test_rows_without_label_or_truth_are_not_compared(self):
        pool = self.make_pool(targets=(0, -1, 2, 0, 1, 7), truth=(1, 1, -1, 0, 1, 0))
        self.row(self.report(pool), "pool pool", "3", "1", "33.3 %", "1.00 ×")

    def test_class_counts_of_pool_and_batch(self):
        text = self.report(self.make_batch([5, 3, 2]), "--pool", self.make_pool(targets=(0, 1, 2, 0, 1, -1)))
        self.row(text, "cat", "2", "1")
        self.row(text, "dog", "2", "0")
        self.row(text, "cow", "1", "1")
        self.row(text, "without a label", "1", "1")
        self.row(text, "all", "6", "3")

    def test_ids_that_are_not_rows_are_found(self):
        pool = self.make_pool(ids=(60, 10, 50, 20, 40, 30))
        text = self.report(self.make_batch([50, 60, 40]), "--pool", pool)  # rows 2, 0, 4
        self.row(text, "cat", "3", "1")
        self.row(text, "dog", "2", "1")
        self.row(text, "cow", "1", "1")
        self.row(text, "batch (entropy)", "3", "1", "33.3 %", "1.00 ×")

    def test_a_pool_of_shards_is_one_pool_and_pieces_do_not_matter(self):
        for ids in (None, (60, 10, 50, 20, 40, 30)):
            for shard, part in (("a.h5", slice(0, 4)), ("b.h5", slice(4, 6))):
                self.make_pool(f"shards/{shard}", targets=(0, 1, 2, 0, 1, 0)[part], truth=(0, 1, 2, 0, 2, 1)[part],
                               ids=None if ids is None else ids[part])
            pathlib.Path(self.path("shards/manifest.json")).write_text(
                json.dumps({"format": "thresher-shards", "rows": 6, "classes": 3,
                            "shards": [{"file": "a.h5", "rows": 4}, {"file": "b.h5", "rows": 2}]}))
            batch = self.make_batch([4, 0, 3] if ids is None else [40, 60, 20])
            for piece in (1, 3, 1 << 20):
                with mock.patch.object(pool_module, "PIECE_ROWS", piece):
                    text = self.report(batch, "--pool", self.path("shards"))
                self.row(text, "pool shards", "6", "2", "33.3 %", "1.00 ×")
                self.row(text, "batch (entropy)", "3", "1", "33.3 %", "1.00 ×")
                self.row(text, "cat", "3", "2")

    def test_cycles_end_with_mean_and_standard_deviation(self):
        text = self.report(self.make_loop())
        # 0.6 and 0.8: mean 0.7, sample deviation 0.1414; 1 and 1.5: 1.25, 0.3536; seconds: 2.5.
        self.row(text, "entropy", "20", "70.00 ± 14.14 %", "1.250 ± 0.354", "2.5 s", "2 of 2", "2 of 2")

    def test_a_table_has_the_accuracies_at_some_numbers_of_labels(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(table_main([self.make_loop(), "--at", "20", "30"]), 0)
        # As above; nothing was measured with 30 labels.
        self.assertEqual(out.getvalue(), "| test accuracy [%] with | 20 labels | 30 labels |\n| --- | --- | --- |\n"
                                         "| entropy | 70.0 ± 14.1 (60.0 to 80.0) | - |\n")
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            self.assertEqual(table_main([self.make_batch([1, 2]), "--at", "20"]), 1)
        self.assertIn("is no run of loop", err.getvalue())

    def test_several_loops_share_a_table(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(table_main([self.make_loop("one"), self.make_loop("two", test_accuracy=[[0.5, 0.9], [0.7, 0.9]]), "--at", "20"]), 0)
        self.assertEqual(out.getvalue().splitlines()[2:], ["| one: entropy | 70.0 ± 14.1 (60.0 to 80.0) |", "| two: entropy | 90.0 ± 0.0 (90.0 to 90.0) |"])

    def test_a_table_compares_with_one_row_repeat_by_repeat(self):
        runs = [self.make_loop("one"), self.make_loop("two", test_accuracy=[[0.5, 0.9], [0.7, 0.9]])]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(table_main([*runs, "--at", "20", "30", "--against", "one: entropy"]), 0)
        # At 20 labels 60 and 80 against 90 and 90: 30 and 10 points, whose deviation is 10 sqrt 2; t is 12.706 for one degree of freedom.
        self.assertEqual(out.getvalue().splitlines()[-3:], [
            "| test accuracy [points] above one: entropy with | 20 labels | 30 labels |", "| --- | --- | --- |",
            "| two: entropy | +20.0 [-107.1, +147.1] | - |"])
        with contextlib.redirect_stderr(err):
            self.assertEqual(table_main([*runs, "--at", "20", "--against", "random"]), 1)
        self.assertIn("no row has this name; there are one: entropy, two: entropy", err.getvalue())

    def test_cycles_that_have_not_run_are_left_out(self):
        late = {name: [[1.0, 2.0], [3.0, NAN]] for name in ("labelled", "test_loss", "seconds")}
        text = self.report(self.make_loop(test_accuracy=[[0.5, 0.6], [0.7, NAN]], **late))
        self.row(text, "entropy", "2", "60.00 %", "2.000", "2 s", "2 of 2", "1 of 2")
        nothing = {name: [[NAN], [NAN]] for name in ("test_accuracy", *runs.LOOP_CURVES)}
        self.row(self.report(self.make_loop(**nothing)), "entropy", "–", "–", "–", "–", "0 of 1", "0 of 2")

    def test_a_loop_without_a_finite_loss_is_drawn(self):
        self.row(self.report(self.make_loop(test_loss=[[NAN, NAN], [NAN, NAN]])), "entropy", "20", "70.00 ± 14.14 %", "–", "2.5 s", "2 of 2", "2 of 2")

    def test_a_band_goes_from_the_lowest_to_the_highest_repeat(self):
        band = runs.band_of(numpy.array([[1.0, 2.0, NAN], [3.0, NAN, NAN]]))
        numpy.testing.assert_array_equal(band.middle, [2.0, 2.0, NAN])
        numpy.testing.assert_array_equal(band.low, [1.0, 2.0, NAN])
        numpy.testing.assert_array_equal(band.high, [3.0, 2.0, NAN])

    def test_training_curves_and_ledger(self):
        with self.file("run/run.h5", "run") as file:
            file["curves/steps/loss"] = numpy.linspace(2.0, 1.0, 5000)
            file["curves/steps/learning_rate"] = numpy.full(5000, 0.1)
            file["curves/evaluations/train_loss"] = [2.0, 1.0, 1.5]
            file["curves/evaluations/validation_accuracy"] = [0.5, 0.75, 0.625]
            file["curves/evaluations/validation_alignment"] = [0.5, 2.0, 1.0]
            file["curves/other"] = [1.0, 2.0]
            file["ledger/flops/learner"] = numpy.array([2.5e12])
            file["ledger/seconds/read"] = numpy.array([7200.0])
            file["ledger/bytes/select"] = numpy.array([2048.0])
        text = self.report(self.path("run"))
        self.row(text, "train loss", "1.5", "1", "3")
        self.row(text, "validation accuracy", "62.5 %", "75.0 %", "3")
        self.row(text, "validation alignment", "1", "2", "3")
        for told in ("learner 2.5 TFLOP", "read 2.0 h", "select 2 KiB"):
            self.assertIn(told, text)

    def test_who_waited_for_whom(self):
        with self.file("run/run.h5", "run") as file:
            file["curves/steps/staleness"] = [0.0, 2.5]
            for name, value in {"learners/computed": 6.0, "learners/waited": 1.5, "learners/communicated": 0.5,
                                "actors/computed": 180.0, "actors/waited": 20.0, "actors/passed_over": 1.0,
                                "staleness/0": 100.0, "staleness/2": 50.0, "staleness/3": 50.0,
                                "seconds/wait": 1.5}.items():
                file["ledger/" + name] = numpy.array([value])
        text = self.report(self.path("run"))
        self.row(text, "learners", "75.0 %", "18.8 %", "6.2 %", "8 s")
        self.row(text, "actors", "90.0 %", "10.0 %", "0.0 %", "3.3 min")
        self.assertIn("scores 0 updates behind 50.0 %; scores 2 updates behind 25.0 %; scores 3 updates behind 25.0 %", text)
        self.assertIn("did not answer and others took over: 1.", text)
        self.assertIn("Seconds by phase: wait 1.5 s.", text)  # and nothing of the roles
        with self.file("run/run.h5", "run") as file:
            file["ledger/seconds/read"] = numpy.array([2.0])
        self.assertNotIn("Who waited", self.report(self.path("run")))

    def test_influence_of_candidates_over_the_plane(self):
        with self.file("i.h5", "run") as file:
            file["curves/influence/test_loss"] = [-0.5, 0.25, 0.25, 0.0]
            file["curves/influence/test_accuracy"] = [0.5, 0.0, 0.0, 0.0]
            for name in ("x", "y", "target", "id"):
                file[f"curves/candidates/{name}"] = [0.0, 1.0, 2.0, 3.0]
        text = self.report(self.path("i.h5"))
        self.row(text, "test loss", "0", "-0.5", "0.25", "50 %")
        self.row(text, "test accuracy", "0.125", "0", "0.5", "25 %")
        self.assertIn("Effect of labelling each of 4 candidates", text)
        self.assertNotIn("Not shown", text)
        with self.file("i.h5", "run") as file:  # without a plane: not shown, and no error
            file["curves/influence/test_loss"] = [-0.5, 0.25]
        self.assertNotIn("Effect of labelling", self.report(self.path("i.h5")))

    def test_curves_that_are_empty_or_of_another_shape_are_named(self):
        with self.file("run/run.h5", "run") as file:
            file["curves/steps/loss"] = [2.0, NAN, 1.0]
            file["curves/evaluations/train_loss"] = numpy.empty(0)
            file["curves/other"] = numpy.zeros((2, 3, 4))
        text = self.report(self.path("run"))
        self.assertIn("Not shown: /curves/evaluations/train_loss of shape [0], /curves/other of shape [2, 3, 4].", text)
        with self.file("run/run.h5", "run"):
            pass
        self.assertIn("no curves yet", self.report(self.path("run")))

    def test_names_are_drawn_as_they_are(self):
        drawn = []
        with mock.patch.object(charts, "_finish", lambda figure, *_: (figure.savefig(io.BytesIO()), drawn.append(figure.axes[0]))):
            charts.class_shares("pool", ["$\\frac$", "dog"], [("pool", numpy.array([1, 1])), ("_batch", numpy.array([2, 0]))])
        self.assertEqual([text.get_text() for text in drawn[0].get_legend().get_texts()], ["pool", "_batch"])

    def test_inputs_of_one_name_are_told_apart(self):
        with self.file("ours.h5", "run") as file:
            file["curves/steps/loss"] = [2.0, 1.0]
        text = self.report(self.make_loop("ours"), self.path("ours.h5"), self.make_batch([1]))
        self.assertIn("ours (run), ours.h5 (run), batch (batch)", Page(text).text)

    def test_scores_are_summed_up_in_pieces(self):
        values = numpy.array([3, 1, NAN, 2, 1, 3, float("inf"), 0.5], "f4")
        for piece in (1, 3, 1 << 20):
            with mock.patch.object(scores_module, "PIECE_ROWS", piece):
                one = scores_module.read_scores(self.make_scores({"entropy": values}), 3)[0]
            self.assertEqual((one.rows, one.quarantined), (8, 2))
            self.assertAlmostEqual(one.mean, 10.5 / 6)
            self.assertEqual(one.counts.sum(), 6)
            self.assertEqual(one.highest.ids.tolist(), [0, 5, 3])  # ties by row
            self.assertEqual(one.lowest.ids.tolist(), [7, 1, 4])
            self.assertEqual((one.edges[0], one.edges[-1]), (0.5, 3.0))
        self.row(self.report(self.make_scores({"entropy": values})), "entropy", "8", "2", "0.5", "1.75", "3")

    def test_equal_scores_have_a_histogram(self):
        one = scores_module.read_scores(self.make_scores({"random": numpy.full(1000, 2.0)}), 4)[0]
        self.assertEqual(one.counts.sum(), 1000)
        self.assertEqual(one.highest.ids.tolist(), [0, 1, 2, 3])
        self.assertEqual(one.lowest.ids.tolist(), [0, 1, 2, 3])

    def test_captions_tell_label_and_truth(self):
        pool = self.make_pool()
        text = self.report(self.make_scores({"entropy": [0, 1, 2, 3, 4, 5]}), self.make_batch([5, 4]), "--pool", pool)
        told = [tag["alt"] for name, tag in Page(text).tags if name == "img" and "Images by" in tag["alt"]][0]
        self.assertIn("5.00, label cat, truth dog; 4.00, label dog, truth cow; 3.00, cat; 2.00, cow", told)
        self.assertIn("2 of these 6 selected", told)

    def test_images_of_any_kind(self):
        random = numpy.random.default_rng(0)
        for inputs in (random.integers(0, 255, (6, 3, 5, 4), "u1"), random.random((6, 1, 4, 4), "f4"),
                       random.normal(0, 1, (6, 3, 4, 4)).astype("f4"), random.random((6, 4, 4), "f4")):
            pool = Pool(self.make_pool(inputs=inputs))
            for image in pool.images([5, 0]):
                self.assertIn(image.shape, ((4, 4), (4, 4, 3), (5, 4, 3)))
                self.assertGreaterEqual(image.min(), 0.0)
                self.assertLessEqual(image.max(), 1.0)
            self.report(self.make_scores({"entropy": [1, 2, 3, 4, 5, 6]}), "--pool", pool.path)
        text = self.report(self.make_scores({"entropy": [1, 2, 3, 4, 5, 6]}), "--pool",
                           self.make_pool(inputs=random.random((6, 10), "f4")))
        self.assertIn("no grey or RGB images", text)

    def test_unlabelled_pools_many_classes_and_unknown_scores_are_shown(self):
        scores = self.make_scores({"entropy": [1, 2, 3, 4, 5, 6]})
        batch = self.make_batch([1, 2], scores=[NAN, NAN])
        plain = self.make_pool(targets=None, truth=None, inputs=numpy.zeros((6, 1, 4, 4), "u1"))
        self.assertIn("no labels", self.report(scores, batch, "--pool", plain))
        many = self.make_pool(targets=range(60), truth=None, class_names=[f"class number {i}" for i in range(60)])
        self.assertIn("20 of 60 classes", self.report(self.make_batch([1, 2]), "--pool", many))
        self.assertIn("Images of batch", self.report(batch, "--pool", plain))

    def test_quantities_for_a_person(self):
        self.assertEqual(style.quantity(2.5e12, "FLOP"), "2.5 TFLOP")
        self.assertEqual(style.quantity(1536, "B"), "1.5 KiB")
        self.assertEqual([style.quantity(s, "s") for s in (0.05, 9.7, 240, 7200)], ["50 ms", "9.7 s", "4.0 min", "2.0 h"])
        moved = style.spread([0.5, 0.5, 0.1], 0.1)
        self.assertGreaterEqual(round(abs(moved[0] - moved[1]), 6), 0.1)
        self.assertEqual(round(moved[0] + moved[1], 6), 1.0)
        self.assertEqual(moved[2], 0.1)


class ThePage(Report):
    def everything(self, *more):
        return self.report(self.make_loop(), self.make_scores({"entropy": [1, 2, 3, 4, 5, 6]}), self.make_batch([5, 4]),
                           "--pool", self.make_pool(), *more)

    def test_stands_alone_and_tells_every_picture_in_words(self):
        text = self.everything()
        pictures = 0
        ids = {tag.get("id") for _, tag in Page(text).tags}
        for name, tag in Page(text).tags:
            self.assertNotIn(name, ("script", "link", "iframe", "object"))
            for attribute in ("src", "href"):
                if attribute in tag:
                    self.assertRegex(tag[attribute], r"^(data:image/png;base64,|#)")
                    if tag[attribute].startswith("#"):
                        self.assertIn(tag[attribute][1:], ids)
            if name == "img":
                pictures += 1
                self.assertGreater(len(tag["alt"]), 20)
        self.assertEqual(pictures, 6)
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)

    def test_shows_how_each_input_was_made_as_text(self):
        text = self.everything()
        self.assertIn(html.escape('thresher made pool.h5 <with> & "quotes"'), text)
        self.assertNotIn("<with>", text)
        self.assertEqual(text.count("<pre>k = 3"), 4)

    def test_figures_are_written_as_png(self):
        text = self.everything("--figures", self.path("figures/here"))
        names = sorted(path.name for path in pathlib.Path(self.path("figures/here")).iterdir())
        self.assertEqual(names, ["loop-learning-curves.png", "loop-ledger.png", "pool-classes.png",
                                 "scores-entropy-images.png", "scores-entropy.png", "selected-noise.png"])
        for name in names:
            data = pathlib.Path(self.path("figures/here"), name).read_bytes()
            self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
            self.assertGreater(struct.unpack(">I", data[16:20])[0], 500)
        self.assertEqual(len(re.findall("data:image/png", text)), len(names))

    def test_is_the_same_each_time(self):
        self.assertEqual(self.everything(), self.everything())

    def test_inputs_of_one_name_are_told_apart(self):
        text = self.report(self.make_batch([1], "a/batch.h5"), self.make_batch([2], "b/batch.h5"), "--pool", self.make_pool())
        self.row(text, "a/batch (entropy)", "1", "0", "0.0 %", "0.00 ×")
        self.row(text, "b/batch (entropy)", "1", "0", "0.0 %", "0.00 ×")


class Refusals(Report):
    def test_inputs_that_are_not_there_or_not_known(self):
        self.assert_refused(["gone.h5", "no such file"], self.path("gone.h5"))
        pathlib.Path(self.path("notes.txt")).write_text("hello")
        self.assert_refused(["notes.txt", "no HDF5 file"], self.path("notes.txt"))
        os.mkdir(self.path("empty"))
        self.assert_refused(["empty", "run.h5", "manifest.json"], self.path("empty"))
        with self.file("predictions.h5", "predictions"):
            pass
        self.assert_refused(["predictions.h5", "thresher-predictions", "scores files"], self.path("predictions.h5"))
        with self.file("other.h5", "") as file:
            file["weights"] = [1.0]
        self.assert_refused(["other.h5", "weights"], self.path("other.h5"))

    def test_all_problems_are_told_at_once_one_a_line(self):
        err = self.assert_refused([], self.path("one.h5"), self.path("two.h5"), self.make_batch([1]))
        self.assertEqual(len(err.splitlines()), 2)
        self.assertTrue(all(line.startswith("thresher-report: ") for line in err.splitlines()))

    def test_files_of_a_newer_format(self):
        with self.file("new.h5", "batch") as file:
            file.attrs["format_version"] = 2
        self.assert_refused(["new.h5", "format_version 2", "up to 1"], self.path("new.h5"))

    def test_truncated_files(self):
        path = self.make_scores({"entropy": numpy.arange(10000)})
        whole = pathlib.Path(path).read_bytes()
        pathlib.Path(path).write_bytes(whole[: len(whole) // 2])
        self.assert_refused(["scores.h5", "truncated"], path)

    def test_broken_datasets_are_named(self):
        with self.file("bad.h5", "batch") as file:
            file["ids"] = [1, 2]
            file["scores"] = [1.0]
        self.assert_refused(["bad.h5", "/ids has 2 rows", "/scores has 1"], self.path("bad.h5"))
        with self.file("bad.h5", "batch") as file:
            file["ids"] = [1.5]
        self.assert_refused(["bad.h5", "/ids holds float64"], self.path("bad.h5"))
        with self.file("bad.h5", "scores"):
            pass
        self.assert_refused(["bad.h5", "/scores/<acquisition>"], self.path("bad.h5"))
        self.assert_refused(["no finite score"], self.make_scores({"entropy": [NAN, NAN]}))
        self.assert_refused(["/ids has 2 rows"], self.make_scores({"entropy": [1, 2, 3]}, ids=[1, 2]))
        self.assert_refused(["/curves/entropy/test_loss"], self.make_loop(test_loss=None))
        self.assert_refused(["/curves/entropy/test_loss", "[2]"], self.make_loop(test_loss=[1, 2]))
        with self.file("bad.h5", "pool") as file:
            file["targets"] = [1]
        self.assert_refused(["bad.h5", "no dataset /inputs"], self.path("bad.h5"))
        inputs = numpy.zeros((7, 1, 4, 4), "u1")
        self.assert_refused(["pool.h5", "/targets has 6 rows", "/inputs has 7"], self.make_pool(inputs=inputs))

    def test_a_pool_that_the_batch_was_not_made_from(self):
        pool = self.make_pool()
        self.assert_refused(["batch.h5", "1 of its 3 ids", "such as 99", "--pool"], self.make_batch([1, 99, 2]), "--pool", pool)
        self.assert_refused(["2 pools", "--pool"], pool, self.make_pool("second.h5"), self.make_batch([1]))
        self.assert_refused(["--pool", "is a batch file"], pool, "--pool", self.make_batch([1]))

    def test_a_manifest_that_does_not_fit_its_shards(self):
        self.make_pool("shards/a.h5")
        manifest = pathlib.Path(self.path("shards/manifest.json"))
        manifest.write_text('{"shards": [{"file": "a.h5", "rows": 5}]}')
        self.assert_refused(["a.h5", "has 6 rows", "says 5"], self.path("shards"))
        manifest.write_text("{")
        self.assert_refused(["manifest.json", "no manifest"], self.path("shards"))

    def test_a_place_that_cannot_be_written_leaves_nothing_behind(self):
        batch = self.make_batch([1])
        os.mkdir(self.path("report.html"))
        code, _, err = self.run_any(main, batch, "--pool", self.make_pool(), "--figures", self.path("f"), "-o",
                                  self.path("gone/report.html"))
        self.assertEqual(code, 1)
        self.assertIn("gone/report.html", err)
        self.assertEqual(os.listdir(self.path("f")), [])
        code, _, err = self.run_any(main, batch, "--pool", self.make_pool(), "--figures", self.path("f"), "-o",
                                  self.path("report.html"))
        self.assertEqual(code, 1)
        self.assertIn("report.html: cannot be written: is a directory", err)
        self.assertEqual(os.listdir(self.path("f")), [])
        self.assertEqual(list(self.directory.glob("*.tmp")), [])

    def test_usage(self):
        self.assert_refused(["RUN_OR_FILE"], code=2)
        self.assertEqual(self.run_any(main, self.make_batch([1]))[0], 2)
        batch = self.make_batch([1])
        before = pathlib.Path(batch).read_bytes()
        self.assertEqual(self.run_any(main, batch, "-o", batch)[0], 2)
        self.assertEqual(pathlib.Path(batch).read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
