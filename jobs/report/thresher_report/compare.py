"""The command thresher-compare: runs of `train` against a baseline, to the accuracy, or another metric, that the baseline ends with."""

import argparse
import json
import pathlib
import sys
from dataclasses import dataclass

import numpy

from thresher_report import style
from thresher_report.charts import comparison
from thresher_report.cli import write_all
from thresher_report.files import ReportError, kind_of, setting
from thresher_report.runs import mean_and_spread, read_run

# What is charged, by accounting. Everything; a frozen reference was there already; and that of Evans et al. 2023,
# where training the online model is not charged either.
LEARNING = ("init", "learner", "score_online", "score_reference", "reference")
ONLINE = ("online", "online_pretraining")
ACCOUNTS = {
    "everything charged": (*LEARNING, *ONLINE, "reference_pretraining"),
    "reference amortised": (*LEARNING, *ONLINE),
    "online training not charged": LEARNING,
}
ONCE = ("reference_pretraining", "online_pretraining", "init")  # paid before the first update


@dataclass
class Group:
    """Runs of one name, one a seed."""

    name: str
    seeds: list  # directory names
    updates: numpy.ndarray  # [evaluations], the same for all seeds
    accuracy: numpy.ndarray  # [seeds, evaluations], or another metric of validation
    flops: dict  # role -> mean over seeds, of the whole run
    unknown: set  # roles that some seed used without the ledger telling what they took
    seconds: float  # of training, evaluation left out, mean over seeds
    noisy: float  # share of the rows trained on whose label or caption is wrong; NaN where that is not known

    def finals(self):
        return self.accuracy[:, -1]

    def share_to(self, target):
        """Share of the updates from which on the mean over seeds is at `target` or above; NaN where it does not end there."""
        below = numpy.flatnonzero(self.accuracy.mean(axis=0) < target)
        if not len(below):
            return self.updates[0] / self.updates[-1]
        return self.updates[below[-1] + 1] / self.updates[-1] if below[-1] + 1 < len(self.updates) else numpy.nan

    def compute(self, roles, share=1.0):
        """Operations of the first `share` of the updates; NaN where some are unknown."""
        if not self.unknown.isdisjoint(roles):
            return numpy.nan
        return sum(value * (1.0 if role in ONCE else share) for role, value in self.flops.items() if role in roles)


def unknown_of(run):
    """Roles of models that were trained before the run, whose own runs it did not find, or whose losses it looked up."""
    flops, unknown = run.ledger["flops"], set()
    trained_before = "score_reference" in flops and "reference" not in flops
    if (trained_before and "reference_pretraining" not in flops) or setting(run.config, "reference-losses"):
        unknown.add("reference_pretraining")
    if setting(run.config, "init") and "init" not in flops:
        unknown.add("init")
    return unknown


def read_group(name, paths, metric):
    curve = f"evaluations/validation_{metric}"
    runs = []
    for path in paths:
        kind, file = kind_of(str(path))
        run = read_run(file) if kind == "run" else None
        if run is None or curve not in run.curves or not style.is_share(metric):
            prefix = "evaluations/validation_"
            known = sorted(name[len(prefix):] for name in (run.curves if run else [])
                           if name.startswith(prefix) and style.is_share(name))
            if known:
                raise ReportError(f"{path}: has no validation {metric} to compare by (--metric); it has {', '.join(known)}")
            raise ReportError(f"{path}: is no run of train with a validation pool; a comparison needs its {metric}")
        runs.append(run)
    updates = runs[0].curves["evaluations/update"]
    for path, run in zip(paths, runs):
        if not numpy.array_equal(run.curves["evaluations/update"], updates):
            raise ReportError(f"{path}: was evaluated at other updates than {paths[0]}; runs of one name are compared "
                              "evaluation by evaluation")
    roles = sorted({role for run in runs for role in run.ledger["flops"]})
    flops = {role: float(numpy.mean([run.ledger["flops"].get(role, 0.0) for run in runs])) for role in roles}
    seconds = [sum(value for phase, value in run.ledger["seconds"].items() if phase not in ("evaluate", "checkpoint"))
               for run in runs]
    noisy = [run.curves["steps/noisy_share"].mean() if "steps/noisy_share" in run.curves else numpy.nan for run in runs]
    return Group(name, [path.parent.name for path in paths], updates,
                 numpy.stack([run.curves[curve] for run in runs]), flops, set().union(*map(unknown_of, runs)),
                 float(numpy.mean(seconds)), float(numpy.mean(noisy)))


def read_groups(paths, metric="accuracy"):
    """Groups by the last part of the path, in the order given."""
    by_name = {}
    for path in map(pathlib.Path, paths):
        by_name.setdefault(path.name, []).append(path)
    return {name: read_group(name, sorted(members), metric) for name, members in by_name.items()}


TOLD = {"average_precision": "mAP at overlap .5"}


def told_of(metric):
    """A metric's name as a person says it."""
    return TOLD.get(metric, metric.replace("_", " "))


def less(share):
    """A share of the baseline's as what it saves: 0.63 -> "37 % less"."""
    if not numpy.isfinite(share):
        return "never"
    return f"{abs(100 * (1 - share)):.0f} % {'less' if share <= 1 else 'more'}"


def row(group, baseline, target):
    mean, spread, count = mean_and_spread(100 * group.finals())
    final = f"{mean:.1f}" + (f" ± {spread:.1f} ({100 * group.finals().min():.1f} to {100 * group.finals().max():.1f})"
                             if count > 1 else "")
    paired = [seed for seed in group.seeds if seed in baseline.seeds]
    wins = sum(group.finals()[group.seeds.index(seed)] >= baseline.finals()[baseline.seeds.index(seed)]
               for seed in paired)
    share = 1.0 if group is baseline else group.share_to(target)
    goes_on = "init" in group.flops or "init" in group.unknown  # from a trained model, whose updates are not counted here
    cells = [group.name, f"{'+ ' if goes_on else ''}{group.updates[-1]:,.0f}", final,
             "-" if group is baseline or not paired else f"{wins} of {len(paired)}",
             "-" if group is baseline or goes_on else less(share * group.updates[-1] / baseline.updates[-1])]
    for roles in ACCOUNTS.values():
        needed = group.compute(roles, share) / baseline.compute(roles)
        cells.append("-" if group is baseline else "unknown" if numpy.isnan(needed) and numpy.isfinite(share) else less(needed))
    cells.append("-" if goes_on else style.quantity(group.seconds * share, "s") if numpy.isfinite(share) else "never")
    cells.append(style.percent(group.noisy))
    return cells


def table(groups, baseline, metric="accuracy"):
    target = baseline.finals().mean()
    head = ["run", "updates", f"final {metric} [%]", f"seeds at or above {baseline.name}",
            f"updates to {100 * target:.1f} %", *(f"compute to it, {account}" for account in ACCOUNTS),
            "seconds to it", "wrong among the rows trained on"]
    rows = [head, ["---"] * len(head), *(row(group, baseline, target) for group in groups.values())]
    if not any(numpy.isfinite(group.noisy) for group in groups.values()):
        rows = [cells[:-1] for cells in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def notes(groups, paths):
    """Lines beneath the table: what it cannot know, and which runs it should not have been made of."""
    lines = []
    unknown = [group.name for group in groups.values() if group.unknown]
    if unknown:
        lines.append(f"Compute unknown: {', '.join(unknown)} used a model (--reference, --init) that lay outside the directory of its run, or "
                     "its losses (--reference-losses), so what that took is not in the ledger. Give the model.pt in its run's directory and "
                     "train again.")
    for path in map(pathlib.Path, paths):
        status = path / "status.json"
        try:
            code = json.loads(status.read_text())["parts"][-1]["exit_code"] if status.exists() else 0
        except (OSError, ValueError, LookupError, TypeError):
            raise ReportError(f"{status}: is damaged") from None
        if code:
            lines.append(f"Not finished: {path}" + (f" ended with exit code {code}." if code > 0 else "."))
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="thresher-compare", description=__doc__,
        epilog="Runs are grouped by the name of their directory, such as learnability in runs/web8/seed-1/learnability; "
               "the members of a group are its seeds.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="directories of runs of train")
    parser.add_argument("--baseline", required=True, metavar="NAME", help="the group whose mean final metric is the "
                        "target")
    parser.add_argument("--metric", default="accuracy", help="what is compared: accuracy; of pairs recall_at_5 "
                        "(or 1, 10); of detectors average_precision")
    parser.add_argument("--figure", metavar="FILE.png", help="draw the metric against updates and against compute")
    parser.add_argument("--show", nargs="+", metavar="NAME", help="groups in the figure; default: all")
    options = parser.parse_args(arguments)
    try:
        groups = read_groups(options.runs, options.metric)
        wanted = [options.baseline, *(options.show or [])]
        for name in wanted:
            if name not in groups:
                raise ReportError(f"there is no run called {name}; there are {', '.join(groups)}")
        baseline = groups[options.baseline]
        if options.figure:
            shown = [groups[name] for name in options.show or groups]
            roles = ACCOUNTS["everything charged"]
            curves = [(group.name, group.updates, group.accuracy,
                       [group.compute(roles, share) for share in group.updates / group.updates[-1]])
                      for group in shown]
            chart = comparison(pathlib.Path(options.figure).stem, curves, baseline.finals().mean(),
                               told_of(options.metric))
            write_all({pathlib.Path(options.figure): chart.png})
        told = notes(groups, options.runs)
    except ReportError as problem:
        print(f"thresher-compare: {problem}", file=sys.stderr)
        return 1
    print(table(groups, baseline, told_of(options.metric)), *told, sep="\n\n")
    return 0
