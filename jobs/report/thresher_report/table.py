"""The command thresher-table: the accuracies, or average precisions, of `loop` runs at some numbers of labels, as Markdown."""

import argparse
import sys

import numpy

from thresher_report.files import ReportError, kind_of, short_names
from thresher_report.runs import mean_and_spread, read_run


# Of Student's distribution, the points that 95 % lie between, for 1, 2, ... degrees of freedom.
STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


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


def against(loops, at, metric, baseline):
    """Differences from the baseline, repeat by repeat, and the 95 % interval of their mean (Student's t)."""
    rows = [[f"{metric.name} [points] above {baseline} with", *(f"{labels} labels" for labels in at)], ["---"] * (1 + len(at))]
    for name, loop in loops.items():
        if name == baseline:
            continue
        cells = []
        for labels in at:
            pairs = [100 * found["metric"][found["labelled"] == labels] for found in (loop, loops[baseline])]
            if len(pairs[0]) != len(pairs[1]) or not len(pairs[0]):
                cells.append("-")
                continue
            difference = (pairs[0] - pairs[1])[numpy.isfinite(pairs[0] - pairs[1])]
            if len(difference) < 2:
                cells.append(f"{difference.mean():+.1f}" if len(difference) else "-")
                continue
            half = STUDENT_95[min(len(difference) - 2, len(STUDENT_95) - 1)] * difference.std(ddof=1) / len(difference) ** 0.5
            cells.append(f"{difference.mean():+.1f} [{difference.mean() - half:+.1f}, {difference.mean() + half:+.1f}]")
        rows.append([name, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="thresher-table", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="directories of runs of loop, or their run.h5; rows of "
                        "several are named RUN: ACQUISITION")
    parser.add_argument("--at", type=int, nargs="+", required=True, metavar="LABELS", help="numbers of labels to show")
    parser.add_argument("--against", metavar="ROW", help="a second table: how far the others are above this row, paired by "
                        "repeats, with the 95 %% interval of the mean")
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
        if options.against and options.against not in loops:
            raise ReportError(f"--against {options.against}: no row has this name; there are {', '.join(loops)}")
    except ReportError as problem:
        print(f"thresher-table: {problem}", file=sys.stderr)
        return 1
    print(table(loops, options.at, metric))
    if options.against:
        print("\n" + against(loops, options.at, metric, options.against))
    return 0
