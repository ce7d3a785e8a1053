"""The command thresher-table: the accuracies, or average precisions, of `loop` runs at some numbers of labels, as Markdown."""

import argparse
import sys

import numpy

from thresher_report.files import ReportError, kind_of, short_names
from thresher_report.runs import mean_and_spread, read_run


def cell(loop, labels):
    """Mean ± standard deviation over repeats of the test metric with `labels` labels, and its range."""
    found = loop["metric"][loop["labelled"] == labels]
    mean, spread, count = mean_and_spread(100 * found)
    if not count:
        return "-"
    if count == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {spread:.1f} ({numpy.nanmin(100 * found):.1f} to {numpy.nanmax(100 * found):.1f})"


def table(loops, at, metric):
    rows = [[f"{metric.name} [%] with", *(f"{labels} labels" for labels in at)], ["---"] * (1 + len(at))]
    rows += [[name, *(cell(loop, labels) for labels in at)] for name, loop in loops.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="thresher-table", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="directories of runs of loop, or their run.h5; rows of "
                        "several are named RUN: ACQUISITION")
    parser.add_argument("--at", type=int, nargs="+", required=True, metavar="LABELS", help="numbers of labels to show")
    options = parser.parse_args(arguments)
    try:
        loops, metric = {}, None
        for run, name in zip(options.runs, short_names(options.runs)):
            kind, path = kind_of(run)
            opened = read_run(path) if kind == "run" else None
            found = opened.loops if opened else {}
            if not found:
                raise ReportError(f"{run}: is no run of loop; a table is made of active-learning cycles")
            if metric not in (None, opened.metric):
                raise ReportError(f"{run}: has {opened.metric.name}, but {options.runs[0]} has {metric.name}; a table has one metric")
            metric = opened.metric
            loops |= {f"{name}: {acquisition}" if len(options.runs) > 1 else acquisition: loop
                      for acquisition, loop in found.items()}
    except ReportError as problem:
        print(f"thresher-table: {problem}", file=sys.stderr)
        return 1
    print(table(loops, options.at, metric))
    return 0
