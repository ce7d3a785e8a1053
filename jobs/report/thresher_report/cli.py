"""The command thresher-report."""

import argparse
import os
import pathlib
import sys

from thresher_report import __version__
from thresher_report.content import make_report
from thresher_report.files import ReportError
from thresher_report.inputs import read_inputs

EXAMPLE = """example (after bash jobs/quickstart.sh):
  thresher-report quickstart/loop quickstart/scores.h5 quickstart/batch.h5 --pool quickstart/web.h5 -o report.html"""


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="thresher-report", description="Write one self-contained HTML page of what Thresher jobs left behind.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="RUN_OR_FILE",
                        help="run directories, files of scores, batches and average precision, and pools, in any order")
    parser.add_argument("--pool", help="the pool that the scores, batches and detections are about (a file, or a directory of shards)")
    parser.add_argument("--detections", metavar="FILE.json",
                        help="what a detector found in the pool: COCO's results, as thresher evaluate --detections writes them")
    parser.add_argument("--categories", metavar="FILE.json", help="COCO's instances, whose category ids the detections have; "
                        "the classes' numbers unless given")
    parser.add_argument("--score", type=float, help="detections with this score or more are shown; the one of the best F1 unless given")
    parser.add_argument("--figures", metavar="DIR", help="write every figure to this directory as PNG, too")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.html",
                        help="the page; an earlier page of this name is replaced")
    parser.add_argument("--version", action="version", version=f"thresher-report {__version__}")
    options = parser.parse_args(arguments)
    if pathlib.Path(options.output).suffix.lower() not in (".html", ".htm"):
        parser.error(f"-o {options.output}: the page must be named .html")
    for name in ("categories", "score"):
        if getattr(options, name) is not None and options.detections is None:
            parser.error(f"--{name} is about --detections")
    return options


def write_all(contents):
    """Writes path -> bytes: all aside first, then renamed, so that a failure leaves no file half written."""
    for path in contents:
        if path.is_dir():
            raise ReportError(f"{path}: cannot be written: is a directory")
    aside = []
    try:
        for path, data in contents.items():
            temporary = pathlib.Path(f"{path}.tmp")
            with open(temporary, "wb") as file:
                aside.append((temporary, path))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in aside:
            os.replace(temporary, path)
    except OSError as error:
        for temporary, _ in aside:
            temporary.unlink(missing_ok=True)
        raise ReportError(f"{error.filename or path}: cannot be written: {error.strerror}") from None


def main(arguments=None):
    options = parse(arguments)
    try:
        text, charts = make_report(read_inputs(options.inputs, options.pool, options.detections, options.categories, options.score))
        contents = {}
        if options.figures is not None:
            directory = pathlib.Path(options.figures)
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ReportError(f"{directory}: cannot be made: {error.strerror}") from None
            contents = {directory / f"{chart.name}.png": chart.png for chart in charts}
        contents[pathlib.Path(options.output)] = text.encode("utf-8")
        write_all(contents)
    except ReportError as problem:
        for line in str(problem).splitlines():
            print(f"thresher-report: {line}", file=sys.stderr)
        return 1
    print(options.output)
    return 0
