"""The report on detection: average precision, pools with boxes, what loops over images picked, detections."""

import json
import pathlib
import unittest
import unittest.mock

import h5py
import numpy

from report_test import NAN, Page, ReportTest  # first: it finds thresher_report
from thresher_report import box_picks, boxes, detections, maps, policies, published, runs, sheets
from thresher_report.cli import main
from thresher_report.compare import main as compare_main
from thresher_report.pool import Pool
from thresher_report.table import main as table_main


class DetectionReport(ReportTest):
    def make_map(self, name="map.h5", metric="voc10", mean=0.75, **changes):
        """Three classes, of which the last has no object; cat is found twice of two, dog once of four."""
        columns = {"objects": [2, 4, 0], "detections": [3, 5, 1], "average_precision": [0.875, 0.25, -1.0],
                   "average_precision_50": [0.9, 0.5, -1.0], "average_precision_75": [0.3, 0.125, -1.0], "recall": [1.0, 0.25, -1.0]}
        points = {"recall": [0.5, 1.0, 0.25], "precision": [1.0, 2 / 3, 0.5], "score": [0.9, 0.4, 0.7], "offsets": [0, 2, 3, 3]}
        with self.file(name, "map", config='metric="voc10"\niou=0.6\n') as file:
            file.attrs["metric"], file.attrs["mean_average_precision"] = metric, mean
            file.attrs["class_names"] = ["cat", "dog", "cow"]
            for column, values in (columns | changes).items():
                if column in columns:
                    file[f"classes/{column}"] = numpy.array(values, "i8" if column in ("objects", "detections") else "f8")
            for column, values in points.items():
                file[f"curves/{column}"] = numpy.array(changes.get("curve_" + column, values), "i8" if column == "offsets" else "f8")
            if metric == "coco":
                for i, number in enumerate(maps.NUMBERS):
                    file.attrs[number] = -1.0 if number == "APlarge" else (i + 1) / 16
        return self.path(name)

    def make_pool(self, name="pool.h5", sizes=((200, 100), (100, 100), (50, 100), (100, 100)), **changes):
        """Images of 100 pixels: two cats and a dog; one large cat; a crowd of dogs that is difficult, too; nothing."""
        columns = {"boxes": [[10, 10, 20, 20], [30, 10, 40, 50], [0, 0, 5, 10], [0, 0, 100, 100], [20, 0, 60, 50]],
                   "box_classes": [0, 1, 0, 0, 1], "box_flags": [0, 0, 0, 0, 3], "box_offsets": [0, 3, 4, 5, 5], **changes}
        with self.file(name, "pool") as file:
            file["inputs"] = numpy.random.default_rng(0).integers(0, 255, (4, 3, 100, 100), "u1")
            for column, values in columns.items():
                if values is not None:
                    file[column] = numpy.array(values, {"boxes": "f4", "box_flags": "u1", "box_areas": "f4"}.get(column, "i8"))
            if "box_classes" in file:
                file["box_classes"].attrs["class_names"] = ["cat", "dog"]
            if sizes is not None:
                file["image_sizes"] = numpy.array(sizes, "i4")
        return self.path(name)

    def make_found(self, found, name="found.json"):
        """found: (image id, category id, x, y, width, height, score)."""
        content = [{"image_id": one[0], "category_id": one[1], "bbox": list(one[2:6]), "score": one[6]} for one in found]
        pathlib.Path(self.path(name)).write_text(json.dumps(content))
        return self.path(name)

    def make_loop(self, name="loop", model="ssd", batches=None, **changes):
        curves = {"labelled": [[10, 20], [10, 20]], "test_average_precision": [[0.5, 0.6], [0.7, 0.8]],
                  "test_loss": [[2.0, 1.0], [3.0, 1.5]], "seconds": [[1.0, 2.0], [3.0, 4.0]], **changes}
        with self.file(f"{name}/run.h5", "run", config=f'model="{model}"\n') as file:
            for curve, values in curves.items():
                file[f"curves/entropy/{curve}"] = numpy.array(values, "f8")
            for place, ids in (batches or {}).items():
                file[f"cycles/entropy/{place}/batch_ids"] = numpy.array(ids, "i8")
        return self.path(name)

    def page(self, *arguments):
        return Page(self.report(*arguments))

    def assert_refused(self, words, *arguments, code=1):
        err = super().assert_refused(words, *arguments, code=code)
        self.assertEqual(len(err.splitlines()) if code == 1 else 1, 1, err)

    def alt(self, found, words):
        return [alt for alt in found.alts if words in alt][0]


class AveragePrecision(DetectionReport):
    def test_headline_and_numbers_of_each_class_are_those_of_the_file(self):
        found = self.page(self.make_map())
        self.assertIn("mAP at overlap .6 (voc10): 75.00 %, over 2 of 3 classes with 6 objects and 9 detections.", found.text)
        self.assertIn(["cat", "2", "3", "87.5", "100.0"], found.rows)
        self.assertIn(["dog", "4", "5", "25.0", "25.0"], found.rows)
        self.assertIn(["cow", "0", "1", "–", "–"], found.rows)
        self.assertIn("cat 87.5 %, dog 25.0 %.", self.alt(found, "by class"))
        self.assertIn("cat reaches recall 100.0 % with 2 objects and 3 detections", self.alt(found, "Precision over recall"))

    def test_cocos_twelve_numbers(self):
        found = self.page(self.make_map(metric="coco"))
        self.assertIn("mAP at overlaps .5 to .95 (COCO): 75.00 %", found.text)
        self.assertIn(["cat", "2", "3", "87.5", "90.0", "30.0", "100.0"], found.rows)
        numbers = {row[0]: row[2] for row in found.rows if row[0] in maps.NUMBERS and len(row) == 3}
        self.assertEqual(len(numbers), 12)
        self.assertEqual((numbers["AP"], numbers["AP75"], numbers["APlarge"], numbers["ARlarge"]), ("6.2", "18.8", "–", "75.0"))

    def test_the_shaded_area_is_vocs_average_precision(self):
        # Precision 1/2, 2/3, 3/4, 3/7 at recalls 1/4 to 1: the best from each on are 3/4 three times, then 3/7.
        x, y = maps.envelope(numpy.array([0.25, 0.5, 0.75, 1.0]), numpy.array([1 / 2, 2 / 3, 3 / 4, 3 / 7]))
        self.assertAlmostEqual((numpy.diff(x) * y[1:]).sum(), 0.75 * 3 / 4 + 0.25 * 3 / 7)

    def test_files_without_an_object_or_with_many_classes(self):
        empty = self.make_map(mean=-1.0, objects=[0, 0, 0], curve_recall=[], curve_precision=[], curve_score=[], curve_offsets=[0, 0, 0, 0])
        self.assertIn("No class has an object", self.page(empty).text)
        with self.file("many.h5", "map") as file:
            file.attrs["metric"], file.attrs["mean_average_precision"] = "voc10", 0.5
            file.attrs["class_names"] = [f"class {i}" for i in range(60)]
            for column in ("objects", "detections"):
                file[f"classes/{column}"] = numpy.arange(1, 61)
            for column in ("average_precision", "average_precision_50", "average_precision_75", "recall"):
                file[f"classes/{column}"] = numpy.linspace(0, 1, 60)
            file["curves/offsets"] = numpy.zeros(61, "i8")
            for column in ("recall", "precision", "score"):
                file[f"curves/{column}"] = numpy.empty(0)
        found = self.page(self.path("many.h5"))
        self.assertIn("The 20 best and the 20 worst of 60 classes", found.text)
        self.assertIn("The 20 of 60 classes with the most objects.", found.text)
        self.assertIn("60 rows", found.text)  # folded

    def test_broken_files_are_named(self):
        self.assert_refused(["map.h5", "/classes/recall has 2 entries", "class_names has 3"], self.make_map(recall=[1.0, 0.5]))
        self.assert_refused(["map.h5", "/curves/offsets", "3 points"], self.make_map(curve_offsets=[0, 2, 1, 3]))
        path = self.make_map()
        with h5py.File(path, "a") as file:
            del file["classes/objects"]
        self.assert_refused(["map.h5", "no dataset /classes/objects"], path)
        with self.file("map.h5", "map"):
            pass
        self.assert_refused(["map.h5", "no attribute metric"], path)


class Loops(DetectionReport):
    def test_the_metric_of_the_file_is_told(self):
        found = self.page(self.make_loop())
        # As for accuracy: 0.6 and 0.8 are 0.7, deviation 0.1414; losses 1 and 1.5.
        self.assertIn(["entropy", "20", "70.00 ± 14.14 %", "1.250 ± 0.354", "2.5 s", "2 of 2", "2 of 2"], found.rows)
        self.assertIn("test mAP at overlap .5 with entropy after 20 labelled images", found.text)
        self.assertIn("Test mAP at overlap .5 and test loss against the number of labelled images: entropy reaches 70.0 %",
                      self.alt(found, "Test mAP"))
        self.assertNotIn("ccuracy", found.text + " ".join(found.alts))
        self.assertNotIn("nats", " ".join(found.alts))

    def test_a_published_curve_stands_beside_detectors_alone(self):
        row = ["mAP [%], RetinaNet", "47.18", "58.41", "64.02", "67.72", "69.79", "71.07", "72.27", "77.28"]
        for model in ("ssd", "retinanet"):
            found = self.page(self.make_loop(model=model))
            self.assertIn(row, found.rows)
            self.assertIn("not comparable", found.text)
        self.assertNotIn(row, self.page(self.make_loop(model="")).rows)
        run = runs.read_run(self.make_loop() + "/run.h5")
        run.metric = runs.METRICS["test_accuracy"]
        self.assertEqual(published.beside(run), "")

    def test_a_file_has_one_metric(self):
        path = self.make_loop()
        with h5py.File(path + "/run.h5", "a") as file:
            for curve in ("labelled", "test_loss", "seconds"):
                file[f"curves/random/{curve}"] = numpy.ones((2, 2))
            file["curves/random/test_accuracy"] = numpy.ones((2, 2))
        self.assert_refused(["run.h5", "test_accuracy", "test_average_precision", "one metric"], path)

    def test_tables_take_either_and_never_mix_them(self):
        code, out, _ = self.run_any(table_main, self.make_loop(), "--at", 20)
        self.assertEqual((code, out.splitlines()[0]), (0, "| test mAP at overlap .5 [%] with | 20 labels |"))
        self.assertEqual(out.splitlines()[2], "| entropy | 70.0 ± 14.1 (60.0 to 80.0) |")
        other = self.make_loop("other")
        with h5py.File(other + "/run.h5", "a") as file:
            file.move("curves/entropy/test_average_precision", "curves/entropy/test_accuracy")
        code, _, err = self.run_any(table_main, self.path("loop"), other, "--at", 20)
        self.assertEqual(code, 1)
        self.assertIn("has test accuracy", err)

    def test_training_and_comparison_of_detectors(self):
        paths = []
        for seed, name, last in ((1, "plain", 0.5), (1, "chosen", 0.625)):
            with self.file(f"seed-{seed}/{name}/run.h5", "run", config='model="ssd"\n') as file:
                file["curves/steps/loss"] = numpy.linspace(2.0, 1.0, 50)
                file["curves/evaluations/update"] = [10.0, 20.0]
                file["curves/evaluations/train_accuracy"] = [0.1, 0.2]
                file["curves/evaluations/validation_average_precision"] = [0.25, last]
                file["ledger/flops/learner"] = [1e9]
                file["ledger/seconds/compute"] = [10.0]
            paths.append(self.path(f"seed-{seed}/{name}"))
        found = self.page(*paths)
        self.assertIn(["validation average precision", "62.5 %", "62.5 %", "2"], found.rows)
        self.assertIn("validation mAP at overlap .5 of chosen at the end", found.text)
        self.assertIn("average precision of validation ends at 62.5 %", self.alt(found, "ends at 62.5 %"))
        code, out, _ = self.run_any(compare_main, *paths, "--baseline", "plain", "--metric", "average_precision", "--figure", self.path("f.png"))
        self.assertEqual(code, 0)
        self.assertIn("final mAP at overlap .5 [%]", out)
        self.assertIn("| chosen | 20 | 62.5 | 1 of 1 | 0 % less |", out)
        code, _, err = self.run_any(compare_main, *paths, "--baseline", "plain")
        self.assertEqual(code, 1)
        self.assertIn("has no validation accuracy to compare by (--metric); it has average_precision", err)

    def test_rewards_of_either_metric(self):
        for metric in ("accuracy", "average-precision"):
            with self.file("table.h5", "table") as file:
                file["subsets"] = numpy.ones((2, 1), "u8")
                file[f"metrics/{metric}"] = [[0.25, 0.75], [1.0, 1.0]]
            self.assertEqual(policies.rewards_in(self.path("table.h5"))[1].tolist(), [0.5, 1.0])


class Boxes(DetectionReport):
    def test_boxes_are_counted_by_class_and_size(self):
        found = self.page(self.make_pool())
        self.assertIn("4 images with 5 boxes of 2 classes; without a box: 1 (25.0 %).", found.text)
        # Row 0 was 200 x 100 and has half its size: 10 x 10 becomes 400, 5 x 10 becomes 200, both small; 10 x 40 becomes 1600,
        # medium. Row 1: 100 x 100 = 10000, large. Row 2: 40 x 50 = 2000, medium.
        self.assertIn(["cat", "3", "60.0 %", "2", "2", "0", "1", "0", "0"], found.rows)
        self.assertIn(["dog", "2", "40.0 %", "2", "0", "2", "0", "1", "1"], found.rows)
        self.assertIn(["all", "5", "100.0 %", "3", "2", "2", "1", "1", "1"], found.rows)
        self.assertIn("of the original image", found.text)
        self.assertIn("row 3: no boxes", self.alt(found, "with their boxes"))
        self.assertNotIn("no labels", found.text)

    def test_annotated_areas_and_unknown_sizes(self):
        # Without sizes, pixels are the input's: 10 x 40 = 400 is small. An annotated area goes before that of the box, 0 is none.
        found = self.page(self.make_pool(sizes=None, box_areas=[10000, 0, 0, 900, 9216]))
        self.assertIn(["cat", "3", "60.0 %", "2", "2", "0", "1", "0", "0"], found.rows)
        self.assertIn(["dog", "2", "40.0 %", "2", "1", "1", "0", "1", "1"], found.rows)  # 96 x 96 is medium still
        self.assertIn("of the input", found.text)

    def test_shards_and_pieces_do_not_matter(self):
        whole = boxes.PoolBoxes(Pool(self.make_pool())).survey()
        self.make_pool("shards/a.h5")
        self.make_pool("shards/b.h5")
        pathlib.Path(self.path("shards/manifest.json")).write_text(
            json.dumps({"shards": [{"file": "a.h5", "rows": 4}, {"file": "b.h5", "rows": 4}]}))
        pool = Pool(self.path("shards"))
        for piece in (1, 3, 1 << 16):
            with unittest.mock.patch.object(boxes, "PIECE_ROWS", piece):
                twice = boxes.PoolBoxes(pool).survey()
            for name in ("boxes", "images", "sizes", "difficult", "crowds"):
                numpy.testing.assert_array_equal(getattr(twice, name), 2 * getattr(whole, name))
            self.assertEqual(twice.empty.tolist(), [3, 7])
        rows = boxes.PoolBoxes(pool).of([6, 0])
        self.assertEqual([one.classes.tolist() for one in rows], [[1], [0, 1, 0]])

    def test_letter_boxes_are_taken_off(self):
        own = boxes.PoolBoxes(Pool(self.make_pool(sizes=((200, 100), (333, 500), (50, 100), (1, 400)))))
        images, rows = own.images([0, 1, 2, 3])
        self.assertEqual([image.shape[:2] for image in images], [(100, 50), (67, 100), (50, 100), (1, 100)])
        # 333 x 500 to 67 x 100: the way back differs in x and y, as docs/file-formats.md says.
        numpy.testing.assert_allclose(rows[1].back, [500 / 100, 333 / 67])

    def test_classes_have_tags_and_the_many_their_names(self):
        few = sheets.Classes(["cat", "dog"], [1, 5])
        self.assertEqual([few.tag(0), few.tag(1)], ["B", "A"])  # the most frequent first
        many = sheets.Classes([f"class {i}" for i in range(9)], list(range(9, 0, -1)))
        self.assertEqual([many.tag(c) for c in (0, 4, 5, 8)], ["A", "E", "class 5", "class 8"])
        self.assertEqual(len({many.colour(c) for c in range(6)}), 6)

    def test_broken_pools_are_named(self):
        self.assert_refused(["pool.h5", "/box_offsets", "descend"], self.make_pool(box_offsets=[0, 3, 2, 5, 5]))
        self.assert_refused(["pool.h5", "box 4 is of class 7", "0 to 1"], self.make_pool(box_classes=[0, 1, 0, 0, 7]))
        self.assert_refused(["pool.h5", "/box_classes has 3 entries", "5 boxes"], self.make_pool(box_classes=[0, 1, 0]))
        self.assert_refused(["pool.h5", "no dataset /box_offsets"], self.make_pool(box_offsets=None))

    def test_scored_and_selected_images_are_shown_with_their_boxes(self):
        with self.file("scores.h5", "scores") as file:
            file["scores/entropy"] = numpy.array([4, 3, 2, 1], "f4")
        with self.file("batch.h5", "batch") as file:
            file.attrs["acquisition"] = "entropy"
            file["ids"], file["scores"] = [0, 3], numpy.array([4, 1], "f4")
        found = self.page(self.path("scores.h5"), self.path("batch.h5"), "--pool", self.make_pool())
        self.assertIn("4.00, 3 boxes; 3.00, 1 box; 2.00, 1 box; 1.00, no boxes", self.alt(found, "Images by entropy"))
        self.assertIn("batch (entropy): most often cat (66.7 %)", self.alt(found, "Class make-up"))


class Picks(DetectionReport):
    def test_classes_sizes_and_empty_images_of_each_cycle(self):
        loop = self.make_loop(batches={"0/0": [0, 3], "0/1": [1], "1/0": [0, 1], "1/1": [3]})
        found = self.page(loop, "--pool", self.make_pool())
        # Cycle 1: rows 0 and 3, and 0 and 1: 4 images, 1 empty, 7 boxes (4 small, 2 medium, 1 large), 5 cats, 2 dogs.
        self.assertIn(["entropy", "1", "4", "1", "7", "57.1 %", "28.6 %", "14.3 %", "71.4 %", "28.6 %"], found.rows)
        self.assertIn(["entropy", "2", "2", "1", "1", "0.0 %", "0.0 %", "100.0 %", "100.0 %", "0.0 %"], found.rows)
        self.assertIn(["the whole pool", "", "4", "1", "5", "40.0 %", "40.0 %", "20.0 %", "60.0 %", "40.0 %"], found.rows)
        self.assertIn("entropy: its first picks: id 0: 3 boxes; id 3: no boxes", self.alt(found, "Images picked"))
        # Objects an image: 3/2, 1; 4/2, 0: mean 1.125. Empty: 1/2, 0; 0, 1: 0.375.
        row = [row for row in found.rows if row[0] == "entropy" and len(row) == 6][0]
        self.assertEqual((row[2], row[3]), ("1.12", "0.375"))

    def test_effective_number_of_classes_of_boxes(self):
        self.assertAlmostEqual(box_picks.effective(numpy.array([3, 1, 0])), 4 / 3 ** 0.75)
        self.assertTrue(numpy.isnan(box_picks.effective(numpy.array([0, 0]))))

    def test_a_loop_over_another_pool_is_shown_without_picks(self):
        found = self.page(self.make_loop(batches={"0/0": [99]}), "--pool", self.make_pool())
        self.assertNotIn("What was picked", found.text)


class Detected(DetectionReport):
    # In pixels of the original images: row 0 is twice as large as its input.
    FOUND = ((0, 0, 20, 20, 20, 20, 0.9),  # the first cat
             (0, 0, 21, 20, 20, 20, 0.8),  # again: false
             (0, 1, 60, 20, 20, 80, 0.7),  # the dog
             (1, 1, 0, 0, 100, 100, 0.6),  # the large cat, as a dog: false
             (2, 1, 20, 0, 20, 25, 0.5),  # in the crowd: set aside
             (3, 0, 0, 0, 10, 10, 0.1))  # nothing is there

    def test_what_is_found_missed_and_false(self):
        # F1 over 4 objects: 2/5, 2/6, 4/7, 4/8, 4/9: the best is at .7, two found, one false, two missed.
        found = self.page("--pool", self.make_pool(), "--detections", self.make_found(self.FOUND), self.make_map())
        self.assertIn("a score of 0.7 or more", found.text)
        self.assertIn(["cat", "3", "1", "2", "1", "50.0 %", "33.3 %"], found.rows)
        self.assertIn(["dog", "1", "1", "0", "0", "100.0 %", "100.0 %"], found.rows)
        self.assertIn(["all", "4", "2", "2", "1", "66.7 %", "50.0 %"], found.rows)
        sheet = self.alt(found, "Annotated and detected")
        self.assertIn("The most wrong: id 1: 0 of 1 found, 1 missed, 0 false", sheet)
        self.assertIn("id 0: 2 of 3 found, 1 missed, 1 false", sheet)

    def test_another_score(self):
        found = self.page(self.make_pool(), "--detections", self.make_found(self.FOUND), "--score", 0.05)
        self.assertIn(["cat", "3", "1", "2", "2", "33.3 %", "33.3 %"], found.rows)
        self.assertIn(["all", "4", "2", "2", "3", "40.0 %", "50.0 %"], found.rows)

    def test_categories_by_name(self):
        other = {0: 17, 1: 3}
        found = [(one[0], other[one[1]], *one[2:]) for one in self.FOUND]
        pathlib.Path(self.path("instances.json")).write_text(json.dumps(
            {"categories": [{"id": 3, "name": "dog"}, {"id": 17, "name": "cat"}, {"id": 1, "name": "cow"}]}))
        page = self.page(self.make_pool(), "--detections", self.make_found(found), "--categories", self.path("instances.json"))
        self.assertIn(["all", "4", "2", "2", "1", "66.7 %", "50.0 %"], page.rows)

    def test_a_match_is_greedy_and_within_a_class(self):
        truth = numpy.array([[0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60.0]])
        found = numpy.array([[0, 0, 10, 11], [0, 0, 10, 10], [50, 50, 60, 60], [52, 50, 62, 60], [50, 50, 60, 60.0]])
        # The first overlaps the second object most (11/12 over 10/11), so the second takes the first; the fourth overlaps the crowd's
        # 8 of its 10 columns; the last is of another class.
        verdicts, is_found = detections.match(found, numpy.array([0, 0, 1, 1, 0]), truth, numpy.array([0, 0, 1]), numpy.array([0, 0, 2]))
        self.assertEqual(verdicts.tolist(), [1, 1, -1, -1, 0])
        self.assertEqual(is_found.tolist(), [True, True, False])

    def test_the_worst_the_best_and_others_are_told_apart(self):
        judged = detections.Judged(0.5, *map(numpy.array, ([2, 2, 9, 0, 5], [0, 2, 9, 0, 4], [0, 0, 0, 3, 1], [0], [0], [0])))
        numpy.testing.assert_allclose(judged.errors, [1.0, 0.0, 0.0, 1.0, 2 / 10])
        chosen = detections.choose(judged, count=1)
        self.assertEqual(chosen[0][1], [3])  # three mistakes before two
        self.assertEqual(chosen[1][1], [2])  # nine objects before two
        self.assertEqual(len({row for _, rows in detections.choose(judged, count=6) for row in rows}), 5)

    def test_nothing_found_is_no_error(self):
        found = self.page(self.make_pool(), "--detections", self.make_found([]))
        self.assertIn(["all", "4", "0", "4", "0", "–", "0.0 %"], found.rows)

    def test_what_does_not_fit_is_refused(self):
        pool = self.make_pool()
        self.assert_refused(["found.json", "--pool"], self.make_map(), "--detections", self.make_found(self.FOUND))
        self.assert_refused(["found.json", "1 of its", "such as 99"], pool, "--detections", self.make_found([(99, 0, 1, 1, 1, 1, 0.5)]))
        self.assert_refused(["detection 0 is of category 7", "0 to 1", "--categories"], pool, "--detections",
                            self.make_found([(1, 7, 1, 1, 1, 1, 0.5)]))
        bad = pathlib.Path(self.path("bad.json"))
        bad.write_text('[{"image_id": 1, "category_id": 0, "score": 1}]')
        self.assert_refused(["bad.json", "detection 0 lacks", "bbox"], pool, "--detections", bad)
        bad.write_text('[{"image_id": 1')
        self.assert_refused(["bad.json", "is no JSON"], pool, "--detections", bad)
        bad.write_text('{"annotations": []}')
        self.assert_refused(["bad.json", "no list"], pool, "--detections", bad)
        self.assert_refused(["gone.json", "No such file"], pool, "--detections", self.path("gone.json"))
        bad.write_text('{"categories": [{"id": 1, "name": "cat"}]}')
        self.assert_refused(["bad.json", "no category is called dog"], pool, "--detections", self.make_found(self.FOUND),
                            "--categories", bad)
        self.assert_refused(["--score", "--detections"], pool, "--score", 0.5, code=2)


if __name__ == "__main__":
    unittest.main()
