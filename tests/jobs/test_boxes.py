"""Images with boxes: VOC and COCO imported on one and on several ranks, described, derived and read back with h5py."""

import io
import json
import pathlib
import tarfile
import unittest

import h5py
import numpy
from PIL import Image

from support import JobTest

OBJECT = ("<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
          "<ymax>{}</ymax></bndbox></object>")
CLASSES = ("ant", "bee", "cat")


def jpeg(i, width=60):
    """A picture whose colour is known."""
    stream = io.BytesIO()
    Image.new("RGB", (width, 30), (5 * i, 100, 200)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def boxes_of(i):
    """Picture i has i mod 3 boxes: name, difficult, xmin, ymin, xmax, ymax as VOC counts pixels."""
    return [(CLASSES[(i + j) % 3], j, 1 + 3 * j, 1, 20 + 3 * j, 10 + j) for j in range(i % 3)]


class Boxes(JobTest):
    def voc(self, count=40, bad=None, name="voc"):
        """A VOC folder; `bad` names files whose content is replaced."""
        root = pathlib.Path(self.path(name))
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True)
        for i in range(count):
            objects = "".join(OBJECT.format(*box) for box in boxes_of(i))
            (root / f"JPEGImages/{i:03d}.jpg").write_bytes(jpeg(i))
            (root / f"Annotations/{i:03d}.xml").write_text(
                f"<annotation><size><width>60</width><height>30</height></size>{objects}</annotation>")
        (root / "ImageSets/Main/train.txt").write_text("".join(f"{i:03d}\n" for i in range(0, count, 2)))
        for file, content in (bad or {}).items():
            (root / file).write_bytes(content)
        return root

    def datasets(self, name):
        with h5py.File(self.path(name)) as file:
            return {key: file[key][:] for key in file if isinstance(file[key], h5py.Dataset)}

    def test_a_voc_folder_becomes_the_same_pool_on_any_number_of_ranks(self):
        source = self.voc()
        self.run_ok("import", "voc", source, "--size", 20, "-o", self.path("0.h5"))
        with h5py.File(self.path("0.h5")) as file:
            self.assertEqual(file["inputs"].shape, (40, 3, 20, 20))
            self.assertEqual(list(file["box_classes"].attrs["class_names"]), list(CLASSES))
            offsets, boxes = file["box_offsets"][:], file["boxes"][:]
            self.assertEqual(list(numpy.diff(offsets)), [i % 3 for i in range(40)])
            self.assertTrue((file["image_sizes"][:] == [30, 60]).all())
            for i in range(40):
                expected = [[(x0 - 1) / 3, (y0 - 1) / 3, x1 / 3, y1 / 3] for _, _, x0, y0, x1, y1 in boxes_of(i)]
                found = boxes[offsets[i]:offsets[i + 1]]
                self.assertTrue(numpy.allclose(found, numpy.reshape(expected, (-1, 4)), atol=1e-5))
                self.assertEqual(list(file["box_classes"][offsets[i]:offsets[i + 1]]), [(i + j) % 3 for j in range(i % 3)])
                self.assertEqual(list(file["box_flags"][offsets[i]:offsets[i + 1]]), list(range(i % 3)))
                self.assertTrue((abs(file["inputs"][i, 0, :10].astype(int) - 5 * i) <= 3).all())
            self.assertTrue((file["inputs"][:, :, 10:] == 114).all())
        words = self.run_ok("info", self.path("0.h5")).out
        self.assertIn("39 of 3 classes; 13 difficult, 0 crowds; 14 rows have none", words)
        alone = self.datasets("0.h5")
        for ranks in (1, 2, 3):
            self.run_ok("import", "voc", source, "--size", 20, "-o", self.path(f"{ranks}.h5"), ranks=ranks)
            other = self.datasets(f"{ranks}.h5")
            self.assertEqual(alone.keys(), other.keys())
            for key, values in alone.items():
                self.assertTrue((values == other[key]).all(), key)

    def test_a_pool_with_boxes_is_sharded_verified_and_derived(self):
        self.run_ok("import", "voc", self.voc(), "--size", 20, "--set", "train", "--rows-per-shard", 8, "-o", self.path("pool"))
        self.assertIn("3 checksums hold", self.run_ok("info", self.path("pool"), "--verify").err)
        self.run_ok("derive", "--pool", self.path("pool"), "--split", "a=5,b=rest", "-o", self.path("parts"))
        for name, rows in (("a", 5), ("b", 15)):
            with h5py.File(self.path(f"parts/{name}.h5")) as file:
                pictures = [int(text[-7:-4]) for text in file["names"][:].astype(str)]
                self.assertEqual(len(pictures), rows)
                self.assertEqual(list(numpy.diff(file["box_offsets"][:])), [i % 3 for i in pictures])

    def test_coco_in_an_archive_keeps_its_ids_areas_and_crowds(self):
        instances = {
            "images": [{"id": 50 - i, "file_name": f"{i:03d}.jpg", "width": 60, "height": 30} for i in range(5)],
            "annotations": [{"id": 7, "image_id": 49, "category_id": 2, "bbox": [3, 6, 9, 12], "area": 55.5, "iscrowd": 1,
                             "segmentation": {"counts": [1, 2], "size": [30, 60]}}],
            "categories": [{"id": 2, "name": "bee"}, {"id": 5, "name": "ant"}]}
        files = {f"train/{i:03d}.jpg": jpeg(i) for i in range(5)}
        files["annotations/instances_train.json"] = json.dumps(instances).encode()
        with tarfile.open(self.path("coco.tar"), "w") as archive:
            for file, content in files.items():
                entry = tarfile.TarInfo("coco/" + file)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        facts = self.run_ok("import", "coco", self.path("coco.tar"), "--size", 20, "-o", self.path("pool.h5"), "--json",
                            ranks=2).json()
        self.assertEqual((facts["rows"], facts["quarantined"]), (5, 0))
        pool = self.datasets("pool.h5")
        self.assertEqual(list(pool["ids"]), [50, 49, 48, 47, 46])
        self.assertEqual(list(pool["box_offsets"]), [0, 0, 1, 1, 1, 1])
        self.assertEqual(pool["boxes"].tolist(), [[1, 2, 4, 6]])
        self.assertEqual((list(pool["box_areas"]), list(pool["box_flags"])), ([55.5], [2]))

    def test_coco_images_of_the_same_name_are_told_apart_by_their_folder(self):
        folder = pathlib.Path(self.path("coco"))
        (folder / "siteA").mkdir(parents=True)
        (folder / "siteA/0001.jpg").write_bytes(jpeg(1))
        (folder / "0002.jpg").write_bytes(jpeg(2))
        instances = {"images": [{"id": 1, "file_name": "siteB/0001.jpg", "width": 60, "height": 30},
                                {"id": 2, "file_name": "siteA/0001.jpg", "width": 60, "height": 30},
                                {"id": 3, "file_name": "elsewhere/0002.jpg", "width": 60, "height": 30}],
                     "annotations": [], "categories": [{"id": 1, "name": "bee"}]}
        (folder / "instances.json").write_text(json.dumps(instances))
        result = self.run_ok("import", "coco", folder, "--size", 20, "--max-bad", 1, "-o", self.path("pool.h5"), "--json")
        self.assertEqual((result.json()["rows"], result.json()["quarantined"]), (2, 1))
        self.assertIn("siteB/0001.jpg: the image is missing", result.err)
        self.assertEqual(list(self.datasets("pool.h5")["ids"]), [2, 3])

    def test_a_set_may_lack_a_class_that_is_left_out(self):
        source = self.voc()
        (source / "ImageSets/Main/val.txt").write_text("003\n")  # a picture without boxes
        for name in ("train", "val"):
            self.run_ok("import", "voc", source, "--set", name, "--class-names", "bee,cat", "--class-map", "ant=", "--size", 20, "-o",
                        self.path(f"{name}.h5"))

    def test_what_cannot_be_used_is_named_on_all_ranks_together(self):
        source = self.voc(bad={"JPEGImages/004.jpg": jpeg(4)[:-30], "JPEGImages/006.jpg": jpeg(6, 59)})
        for ranks in (0, 2):
            self.assert_fails(1, ["2 of 40 rows are bad", "JPEGImages/004.jpg: the JPEG cannot be decoded", "--max-bad"],
                              "import", "voc", source, "--size", 20, "-o", self.path("bad.h5"), ranks=ranks)
        self.assertFalse(pathlib.Path(self.path("bad.h5")).exists())
        result = self.run_ok("import", "voc", source, "--size", 20, "-o", self.path("bad.h5"), "--max-bad", 2)
        self.assertIn("the annotation is of 60 x 30 pixels, the image has 59 x 30", result.err)
        self.assert_fails(1, ["39 boxes", "the class \"ant\" is none of --class-names"], "import", "voc", self.voc(name="v"),
                          "--class-names", "bee,cat", "--size", 20, "-o", self.path("x.h5"))
        self.assert_fails(2, ["has no list", "--set nothing", "train.txt"], "import", "voc", source, "--set", "nothing", "-o",
                          self.path("x.h5"))
        self.assert_fails(2, ["--split is read by import idx, cifar", "import voc"], "import", "voc", source, "--split", "test", "-o",
                          self.path("x.h5"))
        self.assert_fails(2, ["--resize is read by import images, image-text"], "import", "voc", source, "--resize", "crop", "-o", self.path("x.h5"))
        self.assert_fails(2, ["import idx runs on one rank"], "import", "idx", source, "-o", self.path("x.h5"), ranks=2)
        result = self.assert_fails(1, ["absent: cannot be opened"], "import", "voc", self.path("absent"), "-o",
                                   self.path("x.h5"), ranks=2)
        self.assertNotIn("MPI_ABORT", result.err)


if __name__ == "__main__":
    unittest.main()
