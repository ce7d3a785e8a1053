"""The command thresher-table: the accuracies of a `loop` run at some numbers of labels, as Markdown."""

import argparse
import sys

import numpy

from thresher_report.files import ReportError, kind_of
from thresher_report.runs import mean_and_spread, read_run


def cell(loop, labels):
    """Mean ± standard deviation over repeats of the test accuracy with `labels` labels, and its range."""
    found = loop["test_accuracy"][loop["labelled"] == labels]
    mean, spread, count = mean_and_spread(100 * found)
    if not count:
        return "-"
    if count == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {spread:.1f} ({numpy.nanmin(100 * found):.1f} to {numpy.nanmax(100 * found):.1f})"


def table(run, at):
    rows = [["test accuracy [%] with", *(f"{labels} labels" for labels in at)], ["---"] * (1 + len(at))]
    rows += [[name, *(cell(loop, labels) for labels in at)] for name, loop in run.loops.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="thresher-table", description=__doc__)
    parser.add_argument("run", help="directory of a run of loop, or its run.h5")
    parser.add_argument("--at", type=int, nargs="+", required=True, metavar="LABELS", help="numbers of labels to show")
    options = parser.parse_args(arguments)
    try:
        kind, path = kind_of(options.run)
        run = read_run(path) if kind == "run" else None
        if run is None or not run.loops:
            raise ReportError(f"{options.run}: is no run of loop; a table is made of active-learning cycles")
    except ReportError as problem:
        print(f"thresher-table: {problem}", file=sys.stderr)
        return 1
    print(table(run, options.at))
    return 0
