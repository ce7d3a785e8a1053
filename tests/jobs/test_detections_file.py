"""What a detector found, as COCO's results: the same for any number of ranks, and what other tools read."""

import json
import pathlib
import unittest

import h5py
import numpy

from scenes import SIDE, Scenes
from support import JobTest

SIZES = ((96, 72), (48, 48), (40, 80))  # of the original images: height, width


def scale_of(height, width):
    """What pixels of the input become pixels of the original image by, x and y: see docs/file-formats.md."""
    scale = SIDE / max(height, width)
    return width / round(width * scale), height / round(height * scale)


class DetectionsFile(JobTest):
    def setUp(self):
        super().setUp()
        self.pool = self.scenes()
        self.run_ok("train", "--pool", self.pool, "--model", "ssd", "--optimizer", "adamw", "--learning-rate", 0.003,
                    "--batch-size", 8, "--epochs", 12, "--run", self.path("run"))
        self.model = self.path("run/model.pt")

    def scenes(self, name="scenes.h5", rows=40, seed=0):
        """Bright squares and frames on dark letter-boxed images, of which every fourth is empty; ids are no rows."""
        scenes, sizes = Scenes(rows, seed), []
        random = scenes.random
        for row in range(rows):
            sizes.append(SIZES[row % 3])
            width = round(SIDE * min(1.0, sizes[-1][1] / sizes[-1][0]))
            height = round(SIDE * min(1.0, sizes[-1][0] / sizes[-1][1]))
            if row % 4:
                size, kind = int(random.integers(10, 20)), int(random.integers(0, 2))
                scenes.add(int(random.integers(0, width - size)), int(random.integers(0, height - size)), size, kind)
            scenes.end_row()
        scenes.write(self.path(name), image_sizes=numpy.array(sizes, "i4"), ids=1000 - 7 * numpy.arange(rows))
        return self.path(name)

    def instances(self, category_ids=(0, 1)):
        """The pool's boxes as COCO's ground truth, in pixels of the original images."""
        with h5py.File(self.pool) as file:
            ids, sizes, offsets = file["ids"][:], file["image_sizes"][:], file["box_offsets"][:]
            boxes, classes = file["boxes"][:].astype("f8"), file["box_classes"][:]
        annotations = []
        for row, image in enumerate(ids):
            x_scale, y_scale = scale_of(*sizes[row])
            for i in range(offsets[row], offsets[row + 1]):
                x0, y0, x1, y1 = boxes[i] * [x_scale, y_scale, x_scale, y_scale]
                annotations.append({"id": i + 1, "image_id": int(image), "category_id": category_ids[classes[i]], "iscrowd": 0,
                                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)})
        content = {"images": [{"id": int(image), "height": int(height), "width": int(width)}
                              for image, (height, width) in zip(ids, sizes)],
                   "categories": [{"id": category_ids[1], "name": "frame"}, {"id": category_ids[0], "name": "square"}],
                   "annotations": annotations}
        pathlib.Path(self.path("truth.json")).write_text(json.dumps(content))
        return self.path("truth.json")

    def evaluate(self, name, *options, ranks=0):
        """(what was printed, what was found)."""
        path = self.path(name)
        facts = self.run_ok("evaluate", "--pool", self.pool, "--model", self.model, "--detections", path, *options, "--json",
                            ranks=ranks).json()
        return facts, json.loads(pathlib.Path(path).read_text())

    def test_it_has_the_same_bytes_for_any_number_of_ranks(self):
        facts, found = self.evaluate("0.json")
        whole = pathlib.Path(self.path("0.json")).read_bytes()
        for ranks in (1, 2, 3, 4):
            self.evaluate(f"{ranks}.json", ranks=ranks)
            self.assertEqual(pathlib.Path(self.path(f"{ranks}.json")).read_bytes(), whole)
        self.assertEqual(len(found), facts["detections"])
        order = {int(image): row for row, image in enumerate(1000 - 7 * numpy.arange(40))}
        places = [(order[one["image_id"]], -one["score"]) for one in found]
        self.assertEqual(places, sorted(places))  # images as in the pool, and in each the best first
        self.assertEqual({one["category_id"] for one in found}, {0, 1})

    def test_map_makes_the_same_numbers_of_it(self):
        truth = self.instances()
        for metric, pixel in (("coco", ()), ("voc10", ("--pixel", 0))):
            facts, _ = self.evaluate(f"{metric}.json", "--metric", metric)
            found = self.run_ok("map", "--ground-truth", truth, "--detections", self.path(f"{metric}.json"), "--metric", metric,
                                *pixel, "--json").json()
            self.assertGreater(facts["mean_average_precision"], 0.3)
            for name in ("mean_average_precision", *(("AP", "AP75", "APsmall", "AR100") if metric == "coco" else ())):
                self.assertAlmostEqual(found[name], facts[name], places=9, msg=name)
            self.assertEqual((found["images"], found["objects"], found["detections"]),
                             (facts["images"], facts["objects"], facts["detections"]))

    def test_boxes_are_in_pixels_of_the_original_images(self):
        # The best detection of most images lies on the object there, which it would not at another scale.
        with open(self.instances()) as file:
            truth = {one["image_id"]: one["bbox"] for one in json.load(file)["annotations"]}
        _, found = self.evaluate("found.json")
        best = {}
        for one in found:
            best.setdefault(one["image_id"], one["bbox"])
        overlaps = []
        for image, (x, y, w, h) in truth.items():
            a, b, c, d = best[image]
            inside = max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
            overlaps.append(inside / (w * h + c * d - inside))
        self.assertGreater(numpy.median(overlaps), 0.5)

    def test_category_ids_are_those_of_a_file_where_one_is_named(self):
        truth = self.instances(category_ids=(17, 3))
        plain, numbers = self.evaluate("plain.json")
        facts, found = self.evaluate("named.json", "--categories", truth)
        self.assertEqual([one["category_id"] for one in found], [{0: 17, 1: 3}[one["category_id"]] for one in numbers])
        mapped = self.run_ok("map", "--ground-truth", truth, "--detections", self.path("named.json"), "--metric", "voc10",
                             "--pixel", 0, "--json").json()
        self.assertAlmostEqual(mapped["mean_average_precision"], facts["mean_average_precision"], places=9)
        job = ("evaluate", "--pool", self.pool, "--model", self.model)
        other = self.path("other.json")
        pathlib.Path(other).write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}]}')
        self.assert_fails(1, ["other.json", "no category is called frame", "class 1"], *job, "--detections", self.path("x.json"),
                          "--categories", other)
        self.assert_fails(2, ["--categories", "--detections"], *job, "--categories", truth)

    def test_what_does_not_fit_is_refused_before_work(self):
        job = ("evaluate", "--pool", self.pool, "--model", self.model, "--detections")
        self.assert_fails(2, ["both name", "x.json"], *job, self.path("x.json"), "-o", self.path("x.json"))
        self.assert_fails(1, ["gone/x.json", "does not exist"], *job, self.path("gone/x.json"))
        self.assert_fails(2, ["what the job reads"], *job, self.pool)
        pathlib.Path(self.path("there.json")).write_text("mine")
        self.assert_fails(1, ["there.json", "--overwrite"], *job, self.path("there.json"))
        self.assertEqual(pathlib.Path(self.path("there.json")).read_text(), "mine")
        classes = self.make_pool(rows=60)
        plain = self.train(classes, "plain", "--epochs", 1)
        self.assert_fails(2, ["--detections", "for detectors"], "evaluate", "--pool", classes, "--model", plain, "--detections",
                          self.path("x.json"))
        self.assertFalse(pathlib.Path(self.path("x.json")).exists())


if __name__ == "__main__":
    unittest.main()
