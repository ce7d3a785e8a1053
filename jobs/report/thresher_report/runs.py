"""What run.h5 holds: curves of cycles (`loop`) or of training (`train`), the batches of cycles, and the ledger."""

from dataclasses import dataclass, field

import h5py
import numpy

from thresher_report.files import ReportError, dataset, open_file, read, text_of


@dataclass(frozen=True)
class Metric:
    """What a loop measures on its test pool: a share between 0 and 1."""

    curve: str
    name: str  # "test accuracy"
    title: str  # of a chart
    loss_title: str
    labelled: str  # what is labelled


METRICS = {metric.curve: metric for metric in (
    Metric("test_accuracy", "test accuracy", "Test accuracy", "Test loss, nats", "labelled examples"),
    Metric("test_average_precision", "test mAP at overlap .5", "Test mAP at overlap .5", "Test loss, per image",
           "labelled images"))}
LOOP_CURVES = ("labelled", "test_loss", "seconds")  # and that of the metric


@dataclass
class Run:
    path: str
    name: str = ""
    loops: dict = field(default_factory=dict)  # acquisition -> {curve of LOOP_CURVES, or "metric" -> [repeats, cycles]}
    metric: Metric | None = None  # of the loops
    config: str = ""  # TOML
    curves: dict = field(default_factory=dict)  # "evaluations/train_loss" -> [length]; all that is no loop's
    grids: dict = field(default_factory=dict)  # the same with more axes
    not_shown: dict = field(default_factory=dict)  # curves that no chart knows -> their shape
    batches: dict = field(default_factory=dict)  # acquisition -> [repeats][cycles] of ids, in pick order
    ledger: dict = field(default_factory=dict)  # "flops" -> {"learner": number}

    def all_batches(self):
        return [ids for repeats in self.batches.values() for cycles in repeats for ids in cycles]


@dataclass
class Band:
    """One curve over repeats, by cycle; NaN where no repeat has come so far."""

    middle: numpy.ndarray
    low: numpy.ndarray
    high: numpy.ndarray


def read_run(path):
    run = Run(path)
    with open_file(path) as file:
        run.config = text_of(file.attrs.get("config", ""))
        for name in _names(file, "curves"):
            run.curves[name] = read(dataset(file, f"/curves/{name}", None, "iuf")).astype(numpy.float64)
        run.batches = _batches(file)
        for name in _names(file, "ledger"):
            column = dataset(file, f"/ledger/{name}", None, "iuf")
            if column.size != 1:
                raise ReportError(f"{path}: {column.name} has shape {list(column.shape)}, expected one number")
            kind, _, item = name.partition("/")
            run.ledger.setdefault(kind, {})[item or kind] = float(read(column, ...).reshape(-1)[0])
    _take_loops(run)
    for name, curve in list(run.curves.items()):
        if curve.ndim > 1 and curve.size:
            run.grids[name] = run.curves.pop(name)
        elif curve.ndim != 1 or not len(curve):
            run.not_shown[name] = list(run.curves.pop(name).shape)
    return run


def _take_loops(run):
    """Moves the curves of loops from `run.curves` to `run.loops`, the metric's under the name "metric"."""
    found = {}
    for name, curve in run.curves.items():
        acquisition, _, last = name.rpartition("/")
        if last in METRICS and curve.ndim == 2:
            found[acquisition] = METRICS[last]
    if len(set(found.values())) > 1:
        raise ReportError(f"{run.path}: some acquisitions have the curve {' and others '.join(sorted(METRICS))}; a loop "
                          "has one metric")
    for acquisition, metric in sorted(found.items()):
        run.metric, loop = metric, {}
        for curve in (metric.curve, *LOOP_CURVES):
            name = f"{acquisition}/{curve}"
            if name not in run.curves:
                raise ReportError(f"{run.path}: there is no dataset /curves/{name}, though /curves/{acquisition} has others")
            loop["metric" if curve == metric.curve else curve] = run.curves.pop(name)
        shape = loop["labelled"].shape
        for curve, values in loop.items():
            if values.ndim != 2 or values.shape != shape or not values.size:
                name = f"{acquisition}/{metric.curve if curve == 'metric' else curve}"
                raise ReportError(f"{run.path}: /curves/{name} has shape {list(values.shape)}, expected "
                                  f"[repeats, cycles], the same for all of /curves/{acquisition}")
        run.loops[acquisition] = loop


def _batches(file):
    """Of a loop's cycles, whose names are /cycles/<acquisition>/<repeat>/<cycle>/batch_ids."""
    found = {}
    for name in _names(file, "cycles"):
        acquisition, *place = name.rsplit("/", 3)
        if len(place) == 3 and place[2] == "batch_ids" and place[0].isdigit() and place[1].isdigit():
            ids = read(dataset(file, f"/cycles/{name}", 1, "iu")).astype(numpy.int64)
            found.setdefault(acquisition, {}).setdefault(int(place[0]), {})[int(place[1])] = ids
    return {acquisition: [[cycles[cycle] for cycle in sorted(cycles)] for _, cycles in sorted(repeats.items())]
            for acquisition, repeats in found.items()}


def _names(file, group):
    names = []

    def visit(name, thing):
        if isinstance(thing, h5py.Dataset):
            names.append(name)

    if isinstance(file.get(group), h5py.Group):
        file[group].visititems(visit)
    return names


def band_of(values):
    """Mean over repeats with its band: from the lowest to the highest repeat. values: [repeats, cycles]."""
    some = numpy.isfinite(values).any(axis=0)
    middle, low, high = (numpy.full(values.shape[1], numpy.nan) for _ in range(3))
    middle[some] = numpy.nanmean(values[:, some], axis=0)
    low[some] = numpy.nanmin(values[:, some], axis=0)
    high[some] = numpy.nanmax(values[:, some], axis=0)
    return Band(middle, low, high)


def last_cycle(loop):
    """Index of the last cycle that any repeat has finished; None where none has."""
    done = numpy.flatnonzero(numpy.isfinite(loop["metric"]).any(axis=0))
    return int(done[-1]) if len(done) else None


def mean_and_spread(values):
    """(mean, sample standard deviation or NaN, count) of the finite values."""
    finite = values[numpy.isfinite(values)]
    if not len(finite):
        return numpy.nan, numpy.nan, 0
    return finite.mean(), finite.std(ddof=1) if len(finite) > 1 else numpy.nan, len(finite)
