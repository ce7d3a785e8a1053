"""The example in each verb's help runs as it is printed, on small files of the names that quickstart.sh makes."""

import os
import pathlib
import re
import subprocess
import tomllib
import unittest

from support import ENVIRONMENT, THRESHER, JobTest

VERBS = ("import", "derive", "predict", "score", "select", "label", "train", "evaluate", "map", "loop", "table", "env", "policy", "cost", "submit",
         "status", "info", "list")


class Examples(JobTest):
    def test_every_verb_shows_an_example_that_runs(self):
        (self.directory / "quickstart").mkdir()
        for name in ("clean", "test", "web"):
            self.make_pool(f"quickstart/{name}.h5", rows=3000, shape=(1, 28, 28))
        for role in ("learner", "reference"):
            self.train(self.path("quickstart/web.h5"), f"quickstart/{role}", "--epochs", 1)
        pathlib.Path(self.path("quickstart/boxes.json")).write_text(
            '{"images": [{"id": 1}], "categories": [{"id": 1, "name": "cup"}], '
            '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}')
        pathlib.Path(self.path("quickstart/detections.json")).write_text(
            '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]')
        path = f"{pathlib.Path(THRESHER).parent}:{os.environ['PATH']}"
        environment = dict(ENVIRONMENT, PATH=path, OMPI_MCA_rmaps_base_oversubscribe="1")
        listed = self.run_ok("--help").out
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", listed)
            text = self.run_ok(verb, "--help").out
            example = re.search(r"Example.*:\n +(.+)\n", text).group(1)
            self.assertIn(f"thresher {verb}", example)
            if "/usr/share/datasets/fashion-mnist" in example and not os.path.exists("/usr/share/datasets/fashion-mnist"):
                continue
            process = subprocess.run(example, shell=True, cwd=self.directory, env=environment, capture_output=True, text=True,
                                     timeout=200)
            self.assertEqual(process.returncode, 0, f"{example}\n{process.stderr}")
            if verb not in ("info", "list", "policy", "submit"):  # which take no settings, or another word before them
                self.check_config_reads_back(example, environment)

    def check_config_reads_back(self, example, environment):
        """What --print-config prints of a command is accepted from a file, and printed again."""
        words = re.search(r"thresher (\w+)(.*)", example)
        run = lambda arguments: subprocess.run(f"thresher {words.group(1)} {arguments}", shell=True, cwd=self.directory,
                                               env=environment, capture_output=True, text=True, timeout=200)
        printed = run(words.group(2) + " --print-config")
        self.assertEqual(printed.returncode, 0, f"{example}\n{printed.stderr}")
        pathlib.Path(self.path("printed.toml")).write_text(printed.stdout)
        again = run("--config printed.toml --print-config")
        self.assertEqual(again.returncode, 0, f"{example}\n{again.stderr}")
        self.assertEqual(len(again.stdout.splitlines()), len(printed.stdout.splitlines()), example)

    def test_what_print_config_writes_runs_again(self):
        pathlib.Path(self.path("table.csv")).write_text("x,y,kind\n1,2,0\n3,4,1\n")
        pool, names = self.path("pöol's.h5"), ["naïve", "it's"]
        arguments = ("import", "csv", self.path("table.csv"), "--target-column", "kind", "--class-names", ",".join(names), "-o", pool)
        printed = self.run_ok(*arguments, "--print-config").out
        options = tomllib.loads(printed)
        self.assertEqual((options["output"], options["class-names"], options["class-map"]), (pool, names, []))
        self.assertEqual((options["max-bad"], options["size"], options["append"]), ("1%", 0, False))
        pathlib.Path(self.path("import.toml")).write_text(printed)
        self.run_ok("import", "--config", self.path("import.toml"))
        self.assertIn("naïve, it's", self.run_ok("info", pool).out)

    def test_what_print_config_writes_keeps_a_flag_that_says_no(self):
        arguments = ("table", "check", self.path("table.h5"), "--print-config")
        for given in ((), ("--no-rescale",)):
            printed = self.run_ok(*arguments, *given).out
            self.assertIs(tomllib.loads(printed)["no-rescale"], bool(given))
            pathlib.Path(self.path("check.toml")).write_text(printed)
            self.assertEqual(self.run_ok("table", "--config", self.path("check.toml"), "--print-config").out, printed)


if __name__ == "__main__":
    unittest.main()
