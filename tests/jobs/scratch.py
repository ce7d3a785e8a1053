"""A scratch directory for a test, removed at its end."""

import pathlib
import shutil
import tempfile
import unittest


class ScratchTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="thresher-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return str(self.directory / name)
