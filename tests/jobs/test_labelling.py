"""docs/labelling.md, followed as it is written, by someone who fills in the CSV."""

import csv
import os
import pathlib
import re
import subprocess
import unittest

import matplotlib.image
import numpy

from support import ENVIRONMENT, THRESHER, JobTest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "labelling.md"


class Labelling(JobTest):
    def make_photos(self, count):
        (self.directory / "photos").mkdir()
        random = numpy.random.default_rng(1)
        for photo in range(count):
            pixels = random.integers(0, 100, (20, 30, 3)).astype("u1")
            pixels[:, :, photo % 2] += 100
            matplotlib.image.imsave(self.directory / "photos" / f"{photo:03d}.png", pixels)

    def fill_in(self, name, rows):
        with open(self.path(name)) as file:
            lines = list(csv.reader(file))
        for line in lines[1:rows + 1]:
            line[3] = ("cat", "dog")[int(line[2][:3]) % 2]
        with open(self.path(name), "w") as file:
            csv.writer(file).writerows(lines)

    def test_every_command_of_the_page_runs_as_written(self):
        text = PAGE.read_text().replace("\\\n", " ")
        commands = re.findall(r"^    (thresher .*)$", text, re.MULTILINE)
        self.assertEqual([command.split()[1] for command in commands], ["import", "select", "label", "train", "select"])
        self.make_photos(60)
        path = f"{pathlib.Path(THRESHER).parent}:{os.environ['PATH']}"
        for command in commands:
            if " label " in command:
                self.fill_in("first.csv", 18)
            if " train " in command:
                command = command.replace("--epochs 20", "--epochs 1")
            process = subprocess.run(command, shell=True, cwd=self.directory, env=dict(ENVIRONMENT, PATH=path),
                                     capture_output=True, text=True, timeout=200)
            self.assertEqual(process.returncode, 0, f"{command}\n{process.stderr}")
            if " label " in command:
                self.assertIn("18 of 20 rows are labelled, 2 are still open", process.stdout)
        with open(self.path("labels.csv")) as file:
            labelled = {line.split(",")[0] for line in file}
        self.assertFalse(labelled & set(map(str, self.batch("second.h5")[0])))
        for name in ("first.label-studio.json", "first.label-studio.xml", "first.cvat.xml", "first.images.json"):
            self.assertTrue(os.path.exists(self.path(name)), name)

    def test_labels_that_were_filled_in_are_not_overwritten(self):
        pool = self.make_pool(rows=50, names=numpy.array([b"%03d" % i for i in range(50)]))
        select = ("select", "--pool", pool, "--acquisition", "random", "-k", 5, "--overwrite", "-o", self.path("batch.h5"))
        self.run_ok(*select)
        self.run_ok(*select)
        self.fill_in("batch.csv", 2)
        with open(self.path("batch.csv")) as file:
            before = file.read()
        self.assert_fails(1, ["batch.csv holds 2 labels", "move it away"], *select, "--seed", 1, ranks=2)
        with open(self.path("batch.csv")) as file:
            self.assertEqual(file.read(), before)

    def test_an_answer_by_name_is_for_all_rows_of_that_name(self):
        pool = self.make_pool(rows=40, names=numpy.array([b"%02d.png" % (i // 2) for i in range(40)]))
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 40, "-o", self.path("batch.h5"))
        with open(self.path("answers.csv"), "w") as file:
            file.write("name,label\n" + "".join(f"{i:02d}.png,{i % 4}\n" for i in range(20)))
        result = self.run_ok("label", "--batch", self.path("batch.h5"), "--answers", self.path("answers.csv"), "--class-names",
                             "0,1,2,3", "-o", self.path("labels.csv"))
        self.assertIn("40 of 40 rows are labelled", result.out)
        with open(self.path("labels.csv")) as file:
            labels = dict(line.strip().split(",") for line in file if line[0].isdigit())
        self.assertEqual(labels, {str(i): str(i // 2 % 4) for i in range(40)})

    def test_answers_that_cannot_be_used_are_refused_together(self):
        pool = self.make_pool(rows=50)
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 3, "-o", self.path("batch.h5"))
        ids = self.batch()[0]
        with open(self.path("bad.csv"), "w") as file:
            file.write(f"id,label\n{ids[0]},1\n{ids[0]},2\n{ids[1]},horse\x1b[2J\n999,0\n")
        self.assert_fails(1, ["3 of 4 answers", "line 3", "line 2 says", 'line 4: "horse\\x1b[2J" is no class', "line 5: id 999"],
                          "label", "--batch", self.path("batch.h5"), "--answers", self.path("bad.csv"), "--class-names",
                          "a,b,c,d", "-o", self.path("labels.csv"), ranks=2)
        self.assertFalse(os.path.exists(self.path("labels.csv")))


if __name__ == "__main__":
    unittest.main()
