"""Scores by acquisition, and batches. A column of scores is read twice in pieces: range and extremes, then histogram."""

from dataclasses import dataclass

import h5py
import numpy

from thresher_report.files import ReportError, attributes, dataset, open_file, read

PIECE_ROWS = 1 << 20
BINS = 64


@dataclass
class Extremes:
    """The ids with the highest, or the lowest, scores; the best first, ties by row."""

    ids: numpy.ndarray
    scores: numpy.ndarray


@dataclass
class Scores:
    """One acquisition of a scores file."""

    path: str
    acquisition: str
    rows: int
    quarantined: int  # not finite
    mean: float
    edges: numpy.ndarray  # of the histogram, [BINS + 1]
    counts: numpy.ndarray
    highest: Extremes
    lowest: Extremes


@dataclass
class Batch:
    path: str
    ids: numpy.ndarray
    scores: numpy.ndarray
    acquisition: str
    selector: str
    name: str = ""  # short, for charts


def read_scores(path, extremes):
    """All acquisitions of a scores file, each with its `extremes` highest and lowest rows."""
    with open_file(path) as file:
        group = file.get("scores")
        if not isinstance(group, h5py.Group) or not len(group):
            held = ", ".join(sorted(file)) or "nothing"
            raise ReportError(f"{path}: there is no dataset /scores/<acquisition>; the file has {held}")
        ids = dataset(file, "/ids", 1, "iu") if "ids" in file else None
        found = []
        for acquisition in sorted(group):
            column = dataset(file, f"/scores/{acquisition}", 1, "f")
            if ids is not None and len(ids) != len(column):
                raise ReportError(f"{path}: /ids has {len(ids)} rows, {column.name} has {len(column)}")
            found.append(_read_column(path, acquisition, column, ids, extremes))
        return found


def _pieces(column):
    for begin in range(0, len(column), PIECE_ROWS):
        values = read(column, slice(begin, begin + PIECE_ROWS)).astype(numpy.float64)
        finite = numpy.isfinite(values)
        yield begin + numpy.flatnonzero(finite), values[finite]


def _read_column(path, acquisition, column, ids, extremes):
    low, high, total, count = numpy.inf, -numpy.inf, 0.0, 0
    best = worst = (numpy.empty(0, dtype=numpy.int64), numpy.empty(0))
    for rows, values in _pieces(column):
        if not len(values):
            continue
        low, high = min(low, values.min()), max(high, values.max())
        total += values.sum()
        count += len(values)
        best = _first(best, rows, values, extremes, -1.0)
        worst = _first(worst, rows, values, extremes, 1.0)
    if count == 0:
        raise ReportError(f"{path}: {column.name} has no finite score among its {len(column)} rows")
    if high == low:
        low, high = low - 0.5, high + 0.5
    edges = numpy.linspace(low, high, BINS + 1)
    counts = numpy.zeros(BINS, dtype=numpy.int64)
    for _, values in _pieces(column):
        counts += numpy.histogram(values, edges)[0]

    def with_ids(rows, values):
        named = rows if ids is None else numpy.array([int(read(ids, int(row))) for row in rows], dtype=numpy.int64)
        return Extremes(named, values)

    return Scores(path, acquisition, len(column), len(column) - count, total / count, edges, counts,
                  with_ids(*best), with_ids(*worst))


def _first(so_far, rows, values, count, sign):
    """The `count` smallest sign * value of what was found so far and of a piece, ties by row."""
    keys = sign * values
    if len(keys) > count:
        last = numpy.partition(keys, count - 1)[count - 1]
        kept = numpy.concatenate([numpy.flatnonzero(keys < last), numpy.flatnonzero(keys == last)[:count]])
        rows, values = rows[kept], values[kept]
    rows, values = numpy.concatenate([so_far[0], rows]), numpy.concatenate([so_far[1], values])
    order = numpy.lexsort((rows, sign * values))[:count]
    return rows[order], values[order]


def read_batch(path):
    with open_file(path) as file:
        ids, scores = dataset(file, "/ids", 1, "iu"), dataset(file, "/scores", 1, "f")
        if len(ids) != len(scores):
            raise ReportError(f"{path}: /ids has {len(ids)} rows, /scores has {len(scores)}")
        if not len(ids):
            raise ReportError(f"{path}: /ids is empty, a batch holds at least one row")
        root = attributes(file)
        return Batch(path, read(ids).astype(numpy.int64), read(scores).astype(numpy.float64),
                     root.get("acquisition", ""), root.get("selector", ""))
