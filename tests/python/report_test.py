"""What the tests of the report share: files made with h5py, the programs, and pages to look into."""

import contextlib
import html.parser
import io
import pathlib
import sys

import h5py
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "jobs" / "report"), str(ROOT / "tests" / "jobs")]

from scratch import ScratchTest  # noqa: E402
from thresher_report.cli import main as report_main  # noqa: E402

NAN = float("nan")


class Page(html.parser.HTMLParser):
    """Every tag with its attributes, the cells of every table row, what pictures show in words, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.alts, self.text, self.cell = [], [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "img":
            self.alts.append(dict(attrs)["alt"])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None

    def handle_data(self, data):
        self.text += data
        if self.cell is not None:
            self.cell += data


class ReportTest(ScratchTest):
    @contextlib.contextmanager
    def file(self, name, kind, **attributes):
        """A file of Thresher's; kind None: of somebody else's."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            if kind:
                file.attrs.update({"format": f"thresher-{kind}", "format_version": numpy.int64(1), **attributes})
            yield file

    def run_any(self, program, *arguments):
        """Exit code, stdout and stderr of a program of jobs/report."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = program([str(argument) for argument in arguments])
            except SystemExit as end:
                code = end.code
        return code, out.getvalue(), err.getvalue()

    def table_of(self, program, *arguments, code=0):
        """The cells of the rows that a program prints; what it says where it ends with another code than 0."""
        found, out, err = self.run_any(program, *arguments)
        self.assertEqual(found, code, err)
        if code:
            return err
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line]

    def report(self, *arguments):
        """The text of a report of these files."""
        code, _, err = self.run_any(report_main, *arguments, "-o", self.path("report.html"))
        self.assertEqual(code, 0, err)
        return pathlib.Path(self.path("report.html")).read_text()

    def assert_refused(self, words, *arguments, code=1):
        """No report of these files: one that says why, and leaves nothing behind. Returns what was said."""
        found, _, err = self.run_any(report_main, *arguments, "-o", self.path("report.html"))
        self.assertEqual(found, code, err)
        for word in words:
            self.assertIn(word, err)
        self.assertNotIn("Traceback", err)
        self.assertEqual([path.name for path in self.directory.glob("*.html*")], [])
        return err
