"""Scenes with boxes made of small classified images: on one and on several ranks, of disjoint items, and what is refused."""

import pathlib
import unittest

import h5py
import numpy

from support import JobTest

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
SHARES = (0.48, 0.27, 0.14, 0.07, 0.04)


class Scenes(JobTest):
    def items(self, name="items.h5", rows=420, names=True, **extra):
        """Row r is a rectangle of grey 60 + r / 3 and of class r mod 7."""
        images = numpy.zeros((rows, 1, 12, 12), "u1")
        images[:, :, 3:9, 2:10] = (60 + numpy.arange(rows) // 3).reshape(-1, 1, 1, 1)
        with h5py.File(self.path(name), "w") as file:
            inputs = file.create_dataset("inputs", data=images)
            inputs.attrs["scale"] = 1.0 / 255.0
            targets = file.create_dataset("targets", data=(numpy.arange(rows) % 7).astype("i8"))
            if names:
                targets.attrs["class_names"] = list(NAMES)
            for key, values in extra.items():
                file.create_dataset(key, data=values)
        return self.path(name)

    def datasets(self, name):
        with h5py.File(self.path(name)) as file:
            return {key: file[key][:] for key in file if isinstance(file[key], h5py.Dataset)}

    def test_scenes_are_the_same_on_any_number_of_ranks_and_a_prefix_of_more(self):
        items = self.items()
        options = ("derive", "--pool", items, "--scene-size", 40, "--class-shares", ",".join(map(str, SHARES)), "--junk", 0.3,
                   "--seed", 3)
        facts = self.run_ok(*options, "--scenes", 3000, "-o", self.path("0.h5"), "--json").json()
        alone = self.datasets("0.h5")
        for ranks in (1, 2, 3):
            self.run_ok(*options, "--scenes", 3000, "-o", self.path(f"{ranks}.h5"), ranks=ranks)
            other = self.datasets(f"{ranks}.h5")
            self.assertEqual(alone.keys(), other.keys())
            for key, values in alone.items():
                self.assertTrue((values == other[key]).all(), key)
        with h5py.File(self.path("0.h5")) as file, h5py.File(self.path("3.h5")) as other:
            self.assertEqual(list(file["box_classes"].attrs["class_names"]), list(NAMES[:5]))
            for key in ("mean", "std"):
                self.assertEqual(list(file["inputs"].attrs[key]), list(other["inputs"].attrs[key]))
            pixels = file["inputs"][:] / 255.0
            self.assertAlmostEqual(file["inputs"].attrs["mean"][0], pixels.mean(), places=6)
            self.assertAlmostEqual(file["inputs"].attrs["std"][0], pixels.std(), places=4)
        self.assertEqual(alone["inputs"].shape, (3000, 1, 40, 40))
        self.assertTrue((alone["image_sizes"] == 40).all())
        boxes, counts = alone["boxes"], numpy.diff(alone["box_offsets"])
        self.assertTrue((boxes[:, :2] < boxes[:, 2:]).all() and boxes.min() >= 0 and boxes.max() <= 40)
        self.assertTrue((alone["box_areas"] <= (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).all())
        self.assertEqual((alone["box_flags"].max(), counts.max()), (0, 4))
        self.assertEqual((facts["scenes"], facts["junk"], sum(facts["boxes"])), (3000, int((counts == 0).sum()), len(boxes)))
        self.assertLess(abs((counts == 0).mean() - 0.3), 5 * (0.3 * 0.7 / 3000) ** 0.5)
        for c, share in enumerate(SHARES):
            found = (alone["box_classes"] == c).mean()
            self.assertLess(abs(found - share), 5 * (share * (1 - share) / len(boxes)) ** 0.5)
        self.run_ok(*options, "--scenes", 700, "-o", self.path("less.h5"))
        less = self.datasets("less.h5")
        self.assertTrue((less["inputs"] == alone["inputs"][:700]).all())
        self.assertTrue((less["boxes"] == boxes[:less["box_offsets"][-1]]).all())

    def test_scenes_of_the_parts_of_a_split_share_no_item_and_their_boxes_hold_what_is_seen(self):
        self.run_ok("derive", "--pool", self.items(), "--split", "a=210,b=rest", "-o", self.path("parts"))
        sources = {}
        for part in ("a", "b"):
            self.run_ok("derive", "--pool", self.path(f"parts/{part}.h5"), "--scenes", 400, "--scene-size", 40, "--scene-classes",
                        "gnu,2,bee", "--class-shares", "balanced", "--scene-noise", 0, "-o", self.path(f"{part}.h5"))
            pool = self.datasets(f"{part}.h5")
            with h5py.File(self.path(f"{part}.h5")) as file, h5py.File(self.path(f"parts/{part}.h5")) as items:
                self.assertEqual(list(file["box_classes"].attrs["class_names"]), ["gnu", "cat", "bee"])
                sources[part] = set(items["source_ids"][:])
            # Without noise a scene shows nothing outside its boxes, and each box something at its edges.
            for i in range(400):
                seen = pool["inputs"][i, 0] > 0
                inside = numpy.zeros_like(seen)
                for x0, y0, x1, y1 in pool["boxes"][pool["box_offsets"][i]:pool["box_offsets"][i + 1]].astype(int):
                    inside[y0:y1, x0:x1] = True
                    part_of = seen[y0:y1, x0:x1]
                    self.assertTrue(part_of[0].any() and part_of[-1].any() and part_of[:, 0].any() and part_of[:, -1].any())
                self.assertFalse((seen & ~inside).any())
            for share in numpy.bincount(pool["box_classes"], minlength=3) / len(pool["box_classes"]):
                self.assertLess(abs(share - 1 / 3), 5 * (2 / 9 / len(pool["box_classes"])) ** 0.5)
        self.assertEqual(len(sources["a"] | sources["b"]), 420)
        self.assertFalse(sources["a"] & sources["b"])

    def test_what_does_not_fit_is_named_together_on_all_ranks(self):
        items, out = self.items(), self.path("x.h5")
        for ranks in (0, 2):
            self.assert_fails(
                2, ["--scene-size is 4", "--junk is 1.5", "\"yak\", which is no class of the pool; allowed are 0 to 6 or ant, bee",
                    "larger than scenes of 4 x 4", "--class-shares has 3 shares, the scenes have 2", "the sum 0.9"],
                "derive", "--pool", items, "--scenes", 5, "--scene-size", 4, "--junk", 1.5, "--scene-classes", "yak,1",
                "--class-shares", "0.3,0.3,0.3", "-o", out, ranks=ranks)
        self.assert_fails(2, ["--repeat, --jitter cannot be given with --scenes"], "derive", "--pool", items, "--scenes", 5,
                          "--repeat", 2, "--jitter", 0.1, "-o", out)
        self.assert_fails(2, ["--junk cannot be given without --scenes"], "derive", "--pool", items, "--junk", 0.1, "-o", out)
        self.assert_fails(2, ["\"some\", which is no number"], "derive", "--pool", items, "--scenes", 5, "--class-shares", "some",
                          "-o", out)
        self.assert_fails(2, ["derive runs on one rank unless it makes --scenes"], "derive", "--pool", items, "-o", out, ranks=2)
        self.assert_fails(2, ["--scenes is -1"], "derive", "--pool", items, "--scenes", -1, "-o", out)
        self.assert_fails(2, ["class elk is to have the share 0.2, but no image is of it"], "derive", "--pool",
                          self.items("few.h5", rows=4), "--scenes", 5, "-o", out)
        with h5py.File(self.path("bare.h5"), "w") as file:
            file.create_dataset("inputs", data=numpy.zeros((5, 3, 8, 8), "f4"))
        self.assert_fails(2, ["u8 [1, height, width], but the inputs are f32 [3, 8, 8]", "the pool has no targets"], "derive",
                          "--pool", self.path("bare.h5"), "--scenes", 5, "-o", out)
        self.assertFalse(pathlib.Path(out).exists())
        self.run_ok("derive", "--pool", self.items("nameless.h5", names=False), "--scenes", 5, "--scene-classes", "6,0", "-o", out)
        with h5py.File(out) as file:
            self.assertEqual(list(file["box_classes"].attrs["class_names"]), ["6", "0"])


if __name__ == "__main__":
    unittest.main()
