"""The command thresher-policy: what jobs/policy.sh made, over its seeds, as tables in Markdown."""

import argparse
import json
import pathlib
import re
import sys

import numpy

from thresher_report import games, policy, style
from thresher_report.files import ReportError, dataset, kind_of, open_file, read
from thresher_report.runs import mean_and_spread, read_run

SEED = re.compile(r"(.+)-(\d+)")


def read_gains(path):
    """method -> gains [environments], of a file of `policy evaluate`."""
    kind, file = kind_of(str(path))
    run = read_run(file) if kind == "run" else None
    gains = policy.split_evaluation(run) if run else None
    if not gains:
        raise ReportError(f"{path}: is no file of thresher policy evaluate")
    return gains


def by_seed(directory, name, suffix=".h5"):
    """seed -> path of NAME-SEED.h5, or of another suffix, in a directory."""
    found = {}
    for path in pathlib.Path(directory).glob(f"{name}-*{suffix}"):
        match = SEED.fullmatch(str(path.relative_to(directory)).removesuffix(suffix))
        if match and match[1] == name:
            found[int(match[2])] = path
    return dict(sorted(found.items()))


def over_seeds(directory, name):
    """seed -> {method -> gains [environments]} of all evaluations of one name."""
    return {seed: read_gains(path) for seed, path in by_seed(directory, name).items()}


def means(evaluations, method):
    """Mean gain of each seed, [seeds]."""
    return numpy.array([gains[method].mean() for gains in evaluations.values() if method in gains])


def share_above(evaluations, method):
    """In what share of all environments the policy is above the method."""
    pairs = [(gains["policy"], gains[method]) for gains in evaluations.values() if method in gains]
    return float(numpy.concatenate([ours > theirs for ours, theirs in pairs]).mean())


def markdown(head, rows):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def with_seeds(values):
    """The mean, and each seed behind it."""
    if not len(values):
        return "–"
    return f"{values.mean():.2f}" + (f" ({', '.join(f'{value:.2f}' for value in values)})" if len(values) > 1 else "")


def gains_table(options):
    """Policies by name, then choosers as the first policy's evaluations have them."""
    rows, first = [], options.policies[0]
    for directory in map(pathlib.Path, options.inputs):
        known = {name: over_seeds(directory, name) for name in options.policies}
        if not known[first]:
            raise ReportError(f"{directory}: there is no {first}-SEED.h5 to make a row of")
        cells = [directory.name, *(with_seeds(means(known[name], "policy")) for name in options.policies)]
        if options.share:
            ours, theirs = (means(known[name], "policy") for name in options.policies[:2])
            cells.append(style.percent(ours.mean() / theirs.mean()) if len(theirs) else "–")
        many = len(next(iter(known[first].values()))["policy"]) > 1
        for chooser in options.choosers:
            values = means(known[first], chooser)
            wins = f" ({100 * share_above(known[first], chooser):.0f} %)" if many and len(values) else ""
            cells.append(f"{values.mean():.2f}{wins}" if len(values) else "–")
        rows.append(cells)
    kept = [f"{options.policies[0]} / {options.policies[1]}"] if options.share else []
    return markdown([options.what_is, *options.policies, *kept, *options.choosers], rows)


def training_in(directory):
    kind, file = kind_of(str(directory))
    training = policy.split_training(read_run(file)) if kind == "run" else None
    if training is None or not training.fidelity:
        raise ReportError(f"{directory}: is no run of thresher policy train with a table")
    return training


def fidelity_table(options):
    """How far the last estimates are off, and whether they order batches as retraining does."""
    rows = []
    for directory in map(pathlib.Path, options.inputs):
        for name in options.policies:
            found = [training_in(path.parent) for path in by_seed(directory, name, "/run.h5").values()]
            if not found:
                raise ReportError(f"{directory}: there is no {name}-SEED/run.h5 to make a row of")
            cells = [directory.name, name]
            for kind in ("random", "policy"):
                errors, correlations = numpy.array([policy.fidelity_of(training, kind) for training in found]).T
                cells += [with_seeds(errors), f"{numpy.nanmean(correlations):.2f}"]
            rows.append(cells)
    return markdown(["environment", "policy", "random batches: off by [SD]", "rank r", "the policy's: off by [SD]", "rank r"], rows)


def checks_in(path):
    """What the JSON line of `table check` tells of each estimator and number of records."""
    try:
        return json.loads(path.read_text().splitlines()[-1])["checks"]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ReportError(f"{path}: holds no JSON line of thresher table check --json: {error}") from None


def check_of(path, estimator):
    """Of one estimator, with the most records."""
    return max((check for check in checks_in(path) if check["estimator"] == estimator), key=lambda check: check["records"])


def estimators_table(options):
    """JSON lines of `table check`, named DIRECTORY/CASE-SEED.json: correlations with retraining, by records."""
    found = {}
    for path in map(pathlib.Path, options.inputs):
        match = SEED.fullmatch(path.name.removesuffix(".json"))
        for check in checks_in(path):
            key = path.parent.name, match[1] if match else path.name, check["estimator"]
            found.setdefault(key, {}).setdefault(check["records"], []).append(check)
    sizes = sorted({records for one in found.values() for records in one})
    rows = []
    for key, by_size in found.items():
        cells = list(key)
        for size in sizes:
            values = numpy.array([check["correlation"] for check in by_size.get(size, [])])
            cells.append(f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})" if len(values) else "–")
        last = by_size[max(by_size)]
        cells.append(f"{numpy.mean([check['mean_error'] / check['mean_error_of_mean'] for check in last]):.2f}")
        cells.append(f"{numpy.mean([check['rank_correlation'] for check in last]):.2f}")
        rows.append(cells)
    return markdown(["environment", "table", "estimator", *(f"r, {size} records" for size in sizes),
                     "error / of the mean", "rank r"], rows)


def rewards_in(path):
    """(subsets as rows of words, accuracy or average precision on the reward points) of a lookup table."""
    with open_file(path) as file:
        metric = "average-precision" if "metrics/average-precision" in file else "accuracy"
        return read(dataset(file, "/subsets", 2)), read(dataset(file, f"/metrics/{metric}", 2, "f")).mean(axis=1)


def proxies_table(options):
    """Of directories that hold table-SEED.h5 and .json, own-SEED and own-SEED.h5; rewards against the first directory's."""
    rows, first = [], None
    for directory in map(pathlib.Path, options.inputs):
        rewards = {seed: rewards_in(path) for seed, path in by_seed(directory, "table").items()}
        first = first or rewards
        for seed, (subsets, _) in rewards.items():
            if seed not in first or not numpy.array_equal(subsets, first[seed][0]):
                raise ReportError(f"{directory}/table-{seed}.h5: has other subsets than that of the first directory")
        checks = [check_of(path, "kernel") for path in by_seed(directory, "table", ".json").values()]
        random = [read_run(str(path)).curves[f"{policy.ENVIRONMENTS}random_mean"].mean()
                  for path in by_seed(directory, "own").values()]
        agreement = numpy.array([policy.rank_correlation(values, first[seed][1]) for seed, (_, values) in rewards.items()])
        rows.append([directory.name, style.percent(numpy.mean(random)),
                     with_seeds(100 * numpy.array([values.std(ddof=1) for _, values in rewards.values()])),
                     with_seeds(numpy.array([check["rank_correlation"] for check in checks])),
                     "–" if first is rewards else with_seeds(agreement),
                     with_seeds(means(over_seeds(directory, "own"), "policy"))])
    base = pathlib.Path(options.inputs[0]).name
    return markdown(["proxy", "test metric after random batches", "SD of rewards [%]", "estimates against retraining, rank r",
                     f"rewards against {base}, rank r", "policy, own environment"], rows)


def games_table(options):
    tables = []
    for path in options.inputs:
        kind, file = kind_of(path)
        run = read_run(file) if kind == "run" else None
        played = games.split(run) if run else None
        if not played:
            raise ReportError(f"{path}: is no file of thresher env run")
        for curve, told in (("metric", f"{run.metric.name} [%]"), ("test_loss", "test loss")):
            tables.append(markdown([told, *(f"batches of {batch}" for batch in played)], games.table_rows(played, curve)))
    return "\n\n".join(tables)


TABLES = {"gains": gains_table, "fidelity": fidelity_table, "estimators": estimators_table, "games": games_table,
          "proxies": proxies_table}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="thresher-policy", description=__doc__)
    parser.add_argument("table", choices=TABLES, help="gains and fidelity: of directories that hold NAME-SEED and NAME-SEED.h5 "
                        "for each of --policies; estimators: of JSON files of table check; games: of files of env run; proxies: see jobs/policy.sh")
    parser.add_argument("inputs", nargs="+", metavar="PATH")
    parser.add_argument("--policies", nargs="+", default=["own"], metavar="NAME", help="default: own")
    parser.add_argument("--choosers", nargs="*", default=["entropy", "margin", "badge", "k-center"], metavar="NAME")
    parser.add_argument("--share", action="store_true", help="gains: also the first policy's as a share of the second's")
    parser.add_argument("--what-is", default="environment", metavar="WORD", help="gains: what a directory stands for")
    options = parser.parse_args(arguments)
    try:
        if options.share and len(options.policies) < 2:
            raise ReportError("--share compares the first two of --policies; there is one")
        print(TABLES[options.table](options))
    except ReportError as problem:
        print(f"thresher-policy: {problem}", file=sys.stderr)
        return 1
    return 0
