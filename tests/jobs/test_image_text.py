"""Images with captions: imported, described, spoilt and split, and read back with h5py."""

import io
import json
import tarfile
import unittest

import h5py
import matplotlib.image
import numpy

from support import JobTest

COLOURS = ("red", "green", "blue")


class ImageText(JobTest):
    def images(self, count):
        """PNG files by name; image i has the colour i % 3."""
        files = {}
        for i in range(count):
            pixels = numpy.full((8, 8, 3), 10 + i, "u1")
            pixels[:, :, i % 3] = 200
            buffer = io.BytesIO()
            matplotlib.image.imsave(buffer, pixels, format="png")
            files[f"images/{i:02d}.png"] = buffer.getvalue()
        return files

    def table(self, count):
        lines = [f"images/{i:02d}.png\ta {COLOURS[i % 3]} square number {i}\t{COLOURS[i % 3]}" for i in range(count)]
        return "\n".join(["file\tcaption\tcolour", *lines, ""]).encode()

    def make_tar(self, files, name="pack.tar"):
        with tarfile.open(self.path(name), "w") as archive:
            for file, content in files.items():
                entry = tarfile.TarInfo("pack/" + file)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return self.path(name)

    def import_pack(self, count=30, *options, name="pool.h5"):
        source = self.make_tar({**self.images(count), "captions.tsv": self.table(count)})
        self.run_ok("import", "image-text", source, "-o", self.path(name), "--target-column", "colour", *options)
        return self.path(name)

    def test_a_pack_becomes_a_pool_that_h5py_reads(self):
        pool = self.import_pack(30, "--token-length", 40, "--vocabulary-size", 50)
        with h5py.File(pool) as file:
            self.assertEqual(file["inputs"].shape, (30, 3, 8, 8))
            self.assertEqual(file["tokens"].shape, (30, 40))
            self.assertEqual(file["tokens"].dtype, "i4")
            tokens = file["tokens"][:]
            self.assertTrue(tokens.min() == 0 and 2 <= tokens.max() < file["tokens"].attrs["vocabulary"] <= 50)
            self.assertEqual(file["captions"][4], b"a green square number 4")
            self.assertEqual(list(file["targets"].attrs["class_names"]), list(COLOURS))
            self.assertEqual(list(file["targets"][:6]), [0, 1, 2, 0, 1, 2])
            self.assertNotIn("image_ids", file)
            self.assertTrue((file["inputs"][:, 0, 0, 0] == [200 if i % 3 == 0 else 10 + i for i in range(30)]).all())
        words = self.run_ok("info", pool).out
        self.assertIn("40 tokens each, of a vocabulary of", words)
        self.assertIn("a red square number 0", words)

    def test_captions_of_coco_share_their_images_and_are_split_with_them(self):
        annotations = [{"image_id": i // 2, "caption": f"caption {i} is {COLOURS[i // 2 % 3]}"} for i in range(60)]
        images = [{"id": i, "file_name": f"{i:02d}.png"} for i in range(30)]
        captions = json.dumps({"images": images, "annotations": annotations}).encode()
        source = self.make_tar({**self.images(30), "annotations/captions_val.json": captions})
        self.run_ok("import", "image-text", source, "-o", self.path("coco.h5"))
        self.run_ok("derive", "--pool", self.path("coco.h5"), "--split", "clean=20,web=rest", "--spoil", "web",
                    "--shuffle-captions", 0.5, "-o", self.path("parts"))
        with h5py.File(self.path("parts/clean.h5")) as clean, h5py.File(self.path("parts/web.h5")) as web:
            self.assertEqual(len(clean["image_ids"]), 20)
            self.assertEqual(len(web["image_ids"]), 40)
            self.assertFalse(set(clean["image_ids"]) & set(web["image_ids"]))
            self.assertNotIn("caption_of", clean)
            own = [int(text.split()[1]) // 2 * 2 for text in web["captions"][:]]
            self.assertEqual(list(web["caption_of"][:]), own)
            noise = web["caption_of"][:] != web["image_ids"][:]
            self.assertTrue(14 <= noise.sum() <= 20)
            self.assertTrue((clean["vocabulary"][:] == web["vocabulary"][:]).all())

    def test_a_two_tower_knows_classes_by_their_names(self):
        pool = self.import_pack(60, "--token-length", 12, "--vocabulary-size", 50)
        self.run_ok("train", "--pool", pool, "--model", "two-tower", "--image-tower", "mlp", "--hidden", 16, "--text-width", 32,
                    "--text-layers", 1, "--embedding-size", 16, "--optimizer", "adamw", "--learning-rate", 0.005, "--batch-size",
                    20, "--epochs", 30, "--run", self.path("run"))
        evaluate = ("evaluate", "--pool", pool, "--model", self.path("run/model.pt"))
        facts = self.run_ok(*evaluate, "--prompt", "a {} square", "--json", ranks=2).json()
        self.assertEqual(facts["pairs"], 60)
        self.assertGreater(facts["zero_shot"]["accuracy"], 0.9)
        self.assertIn('zero-shot, "a {} square"', self.run_ok(*evaluate, "--prompt", "a {} square").out)
        self.assert_fails(2, ['"a square"', "{}"], *evaluate, "--prompt", "a square")
        captions = "file\tcaption\n" + "".join(f"images/{i:02d}.png\tjust {i} boxes\n" for i in range(20))
        source = self.make_tar({**self.images(20), "captions.tsv": captions.encode()}, "other.tar")
        self.run_ok("import", "image-text", source, "--token-length", 12, "--vocabulary-size", 30, "-o", self.path("other.h5"))
        self.assert_fails(1, ["another vocabulary", "--vocabulary"], "evaluate", "--pool", self.path("other.h5"), "--model",
                          self.path("run/model.pt"))
        # The vocabulary is in the model's file; a pool without captions will do.
        with h5py.File(pool, "a") as file:
            for name in ("tokens", "captions", "vocabulary"):
                del file[name]
        alone = self.run_ok(*evaluate, "--prompt", "a {} square", "--json").json()
        self.assertEqual(alone["zero_shot"]["accuracy"], facts["zero_shot"]["accuracy"])

    def test_a_test_pool_takes_over_the_vocabulary(self):
        pool = self.import_pack()
        source = self.make_tar({**self.images(3), "captions.tsv": b"file\tcaption\nimages/00.png\ta red elephant\n"}, "t.tar")
        self.run_ok("import", "image-text", source, "-o", self.path("test.h5"), "--vocabulary", pool)
        with h5py.File(pool) as first, h5py.File(self.path("test.h5")) as second:
            self.assertTrue((first["vocabulary"][:] == second["vocabulary"][:]).all())

    def test_what_cannot_be_used_is_set_apart_or_refused(self):
        images = self.images(2)
        bad = {**images, "captions.tsv": b"file\tcaption\nimages/00.png\tcaf\xe9\nimages/01.png\tblue\n"}
        source = self.make_tar(bad)
        self.assert_fails(1, ["line 2: holds bytes that are no UTF-8", "--max-bad"],
                          "import", "image-text", source, "-o", self.path("bad.h5"))
        result = self.run_ok("import", "image-text", source, "-o", self.path("bad.h5"), "--max-bad", 1)
        self.assertIn("quarantined 1 row", result.err)
        self.assert_fails(1, ["holds neither captions.tsv nor captions*.json", "--captions"],
                          "import", "image-text", self.make_tar(images, "images.tar"), "-o", self.path("none.h5"))
        self.assert_fails(2, ["no captions to shuffle"], "derive", "--pool", self.make_pool("plain.h5", rows=20),
                          "--shuffle-captions", 0.5, "-o", self.path("shuffled.h5"))
        self.assert_fails(2, ["--token-length is 0"], "import", "image-text", source, "-o", self.path("zero.h5"),
                          "--token-length", 0)


if __name__ == "__main__":
    unittest.main()
