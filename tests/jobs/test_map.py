"""Average precision of detections, as a user asks for it."""

import json
import pathlib
import unittest

import h5py

from support import JobTest

GOLDEN = pathlib.Path(__file__).parents[3] / "shared/data/golden/cocoapi-val2014-100"


class Map(JobTest):
    def write(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        pathlib.Path(self.path(name)).write_text(text)
        return self.path(name)

    def instances(self, annotations, images=(5, 3, 9, 7)):
        return {"images": [{"id": image, "file_name": f"{image}.jpg"} for image in images],
                "categories": [{"id": 4, "name": "dog"}, {"id": 2, "name": "cat"}],
                "annotations": annotations}

    @staticmethod
    def annotation(number, image, category, box, **more):
        return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}

    @staticmethod
    def detection(image, category, box, score):
        return {"image_id": image, "category_id": category, "bbox": box, "score": score}

    def small(self):
        """Two dogs, of which one is found behind a false alarm; a cat that is set aside as difficult."""
        box, far = [10, 10, 50, 50], [300, 10, 50, 50]
        truth = self.write("truth.json", self.instances([
            self.annotation(1, 3, 4, box), self.annotation(2, 9, 4, box), self.annotation(3, 5, 2, box, ignore=1)]))
        found = self.write("found.json", [
            self.detection(5, 4, far, 0.9), self.detection(3, 4, box, 0.8), self.detection(5, 2, box, 0.7)])
        return ("map", "--ground-truth", truth, "--detections", found)

    def test_cocos_numbers_of_a_small_case(self):
        facts = self.run_ok(*self.small(), "--json").json()
        # Dogs: precision 1/2 until recall 1/2, at 51 of 101 recalls. Cats: "ignore" is nothing to COCO, so 1.
        self.assertAlmostEqual(facts["AP50"], (0.5 * 51 / 101 + 1) / 2, places=12)
        self.assertAlmostEqual(facts["AR100"], 0.75, places=12)
        self.assertEqual((facts["images"], facts["objects"], facts["detections"]), (4, 3, 3))
        self.assertEqual([line["name"] for line in facts["classes"]], ["cat", "dog"])
        self.assertEqual([line["detections"] for line in facts["classes"]], [1, 2])
        self.assertEqual(facts["APsmall"], -1)

    def test_vocs_numbers_of_a_small_case(self):
        for metric, expected in (("voc07", 0.5 * 6 / 11), ("voc10", 0.25)):
            facts = self.run_ok(*self.small(), "--metric", metric, "--json").json()
            self.assertAlmostEqual(facts["mean_average_precision"], expected, places=12)
            self.assertEqual(facts["classes"][0]["average_precision"], -1)  # the one cat is set aside
        text = self.run_ok(*self.small(), "--metric", "voc10").out
        self.assertIn("mAP 0.2500 at an overlap of 0.5, voc10", text)
        self.assertRegex(text, r"cat +0 +1 +- +-")

    def test_the_pixel_of_the_development_kit_is_an_option(self):
        truth = self.write("truth.json", self.instances([self.annotation(1, 3, 4, [0, 0, 9, 9])]))
        found = self.write("found.json", [self.detection(3, 4, [0, 0, 9, 4], 0.9)])  # 10 x 5 of 10 x 10 pixels
        job = ("map", "--ground-truth", truth, "--detections", found, "--metric", "voc10", "--json")
        self.assertEqual(self.run_ok(*job).json()["mean_average_precision"], 1)
        self.assertEqual(self.run_ok(*job, "--pixel", 0).json()["mean_average_precision"], 0)
        self.assertEqual(self.run_ok(*job, "--iou", 0.51).json()["mean_average_precision"], 0)

    def test_ranks_agree_to_the_last_bit(self):
        for metric in ("coco", "voc10"):
            facts = []
            for ranks in (0, 1, 2, 3, 4):
                line = self.run_ok(*self.small(), "--metric", metric, "--json", ranks=ranks).json()
                facts.append({key: value for key, value in line.items()
                              if key not in ("ranks", "seconds", "collectives", "collective_bytes")})
            self.assertTrue(all(one == facts[0] for one in facts), facts)

    def test_the_output_holds_classes_and_curves(self):
        self.run_ok(*self.small(), "-o", self.path("map.h5"))
        with h5py.File(self.path("map.h5")) as file:
            self.assertEqual(list(file.attrs["class_names"]), ["cat", "dog"])
            self.assertAlmostEqual(file.attrs["AP50"], (0.5 * 51 / 101 + 1) / 2, places=12)
            self.assertEqual(file["classes/objects"][:].tolist(), [1, 2])
            self.assertEqual(file["curves/offsets"][:].tolist(), [0, 1, 2])
            self.assertEqual(file["curves/recall"][:].tolist(), [1, 0.5])
            self.assertEqual(file["curves/precision"][:].tolist(), [1, 0.5])
            self.assertEqual(file["curves/score"][:].tolist(), [0.7, 0.8])
        self.assertIn("average_precision", self.run_ok("info", self.path("map.h5")).out)
        self.assert_fails(1, ["map.h5", "--overwrite"], *self.small(), "-o", self.path("map.h5"))
        self.assert_fails(2, ["found.json", "what the job reads"], *self.small(), "-o", self.path("found.json"))

    def test_settings_that_were_printed_run_again(self):
        for metric in ("coco", "voc10"):
            job = (*self.small(), "--metric", metric)
            printed = self.write("printed.toml", self.run_ok(*job, "--print-config").out)
            self.assertEqual(self.run_ok("map", "--config", printed).out, self.run_ok(*job).out)

    def test_no_detection_is_no_error(self):
        truth = self.small()[2]
        empty = self.write("empty.json", [])
        facts = self.run_ok("map", "--ground-truth", truth, "--detections", empty, "--json").json()
        self.assertEqual((facts["AP"], facts["AR100"], facts["detections"]), (0, 0, 0))

    @unittest.skipUnless(GOLDEN.exists(), f"no {GOLDEN}")
    def test_cocos_numbers_are_those_of_pycocotools(self):
        expected = json.loads((GOLDEN / "expected.json").read_text())["bbox"]
        job = ("map", "--ground-truth", GOLDEN / "instances_val2014_100.json", "--detections",
               GOLDEN / "instances_val2014_fakebbox100_results.json")
        for ranks in (0, 3):
            facts = self.run_ok(*job, "--json", ranks=ranks).json()
            for name, value in expected.items():
                self.assertAlmostEqual(facts[name], value, delta=1e-12)
        text = self.run_ok(*job).out
        self.assertIn(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.505", text)
        self.assertIn(" Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.564", text)

    def refuse(self, code, words, *arguments):
        """The same refusal without ranks and over two, said once."""
        self.assert_fails(code, words, *arguments)
        result = self.assert_fails(code, words, *arguments, ranks=2)
        self.assertEqual(sum(words[0] in line for line in result.err.splitlines()), 1, result.err)

    def test_broken_files_are_named(self):
        _, _, truth, _, found = self.small()
        as_truth = lambda path: ("map", "--ground-truth", path, "--detections", found)
        as_found = lambda path: ("map", "--ground-truth", truth, "--detections", path)
        self.refuse(1, ["blank.json: is empty"], *as_found(self.write("blank.json", "")))
        self.refuse(1, ["cut.json: is no JSON: byte 40"], *as_found(self.write("cut.json", json.dumps([
            self.detection(3, 4, [1, 2, 3, 4], 0.5)])[:40])))
        self.refuse(1, ["nowhere.json: cannot be read"], *as_truth(self.path("nowhere.json")))
        self.refuse(1, ["strange.json: begins with {", "a list ["], *as_found(self.write("strange.json", {})))
        self.refuse(1, ["NaN", "byte", "annotations 0"], *as_truth(self.write("nan.json", self.instances(
            [self.annotation(1, 3, 4, [float("nan"), 2, 3, 4])]))))

    def test_everything_that_is_wrong_with_a_file_is_said_together(self):
        _, _, truth, _, found = self.small()
        box = [1, 2, 3, 4]
        bad_truth = self.write("bad.json", self.instances([
            self.annotation(1, 3, 4, box), self.annotation(1, 3, 4, box), self.annotation(2, 8, 4, box),
            self.annotation(6, 3, 1, box), self.annotation(7, 3, 4, [1, 2, -3, 4])]))
        self.refuse(1, ["annotation id 1 is there 2 times", "annotation 2 is of image 8", "annotation 6 is of category 1",
                        "annotation 7 has the box [1, 2, -3, 4]"], "map", "--ground-truth", bad_truth, "--detections", found)
        bad_found = self.write("wrong.json", [
            self.detection(8, 4, box, 0.5), self.detection(3, 1, box, 0.5), self.detection(3, 4, box[:3], 0.5),
            self.detection(3, 4, [1, 2, 3, -4], 0.5), {"image_id": 3, "category_id": 4, "bbox": box}])
        self.refuse(1, ["detections 0 is of image 8", "detections 1 is of category 1", "detections 2 lacks \"bbox\"",
                        "detections 3 has the box", "detections 4 lacks a number \"score\""],
                    "map", "--ground-truth", truth, "--detections", bad_found)

    def test_options_that_do_not_fit_are_refused(self):
        self.refuse(2, ["--iou", "voc07"], *self.small(), "--iou", 0.6)
        self.refuse(2, ["--iou is 0;"], *self.small(), "--metric", "voc10", "--iou", 0)
        self.refuse(2, ["--pixel is 2;"], *self.small(), "--metric", "voc10", "--pixel", 2)
        self.refuse(2, ["voc12"], *self.small(), "--metric", "voc12")


if __name__ == "__main__":
    unittest.main()
