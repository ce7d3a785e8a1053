"""A pool as the report needs it: one pass over its labels, and single images. Never the whole of its inputs."""

import json
import pathlib
from dataclasses import dataclass, field

import numpy

from thresher_report.files import ReportError, dataset, open_file, read, text_of

PIECE_ROWS = 1 << 20
MOST_CLASSES = 1 << 16  # where the pool does not say how many there are


@dataclass
class Shard:
    path: str
    first_row: int
    rows: int


@dataclass
class Labels:
    """Labels and truth of some rows, -1 where unknown; `truth` is None where the pool has no /clean_targets."""

    targets: numpy.ndarray
    truth: numpy.ndarray | None

    def noise(self):
        """(wrong, compared): how many labels differ from the truth, of those where both are known."""
        compared = (self.targets >= 0) & (self.truth >= 0)
        return int(((self.targets != self.truth) & compared).sum()), int(compared.sum())


@dataclass
class Survey:
    """What one pass over a pool's labels found."""

    counts: numpy.ndarray  # rows by class
    unlabelled: int
    wrong: int | None  # None where the pool has no /clean_targets
    compared: int
    wanted: numpy.ndarray  # ids asked for, ascending
    rows: numpy.ndarray  # where they are
    labels: Labels = field(repr=False)

    def of(self, ids):
        """Rows and labels of ids that were asked for."""
        places = numpy.searchsorted(self.wanted, ids)
        truth = None if self.labels.truth is None else self.labels.truth[places]
        return self.rows[places], Labels(self.labels.targets[places], truth)


class Pool:
    def __init__(self, path):
        self.path = str(path)
        self.shards = _shards(pathlib.Path(path))
        self.rows = sum(shard.rows for shard in self.shards)
        with open_file(self.shards[0].path) as file:
            inputs = dataset(file, "/inputs")
            self.shape = inputs.shape[1:]
            self.floats = inputs.dtype.kind == "f"
            self.has_targets = "targets" in file
            self.has_truth = "clean_targets" in file and self.has_targets
            self.has_ids = "ids" in file
            self.has_boxes = "boxes" in file
            self.class_names, self.classes = [], 0
            if self.has_targets:
                attrs = file["targets"].attrs
                self.class_names = [text_of(name) for name in attrs.get("class_names", [])]
                self.classes = len(self.class_names) or int(attrs.get("classes", 0))
            if inputs.dtype != numpy.uint8 and not self.floats:
                raise ReportError(f"{inputs.file.filename}: /inputs holds {inputs.dtype}, expected u8 or f32 rows")

    def class_name(self, target):
        if target < 0:
            return "unlabelled"
        return self.class_names[target] if target < len(self.class_names) else str(target)

    def has_images(self):
        return len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[0] in (1, 3))

    def survey(self, wanted=()):
        """Counts classes and wrong labels, and finds the rows of the ids `wanted`, in one pass over the labels."""
        wanted = numpy.unique(numpy.asarray(wanted, dtype=numpy.int64))
        rows = numpy.full(len(wanted), -1, dtype=numpy.int64)
        targets = numpy.full(len(wanted), -1, dtype=numpy.int64)
        truth = numpy.full(len(wanted), -1, dtype=numpy.int64) if self.has_truth else None
        counts = numpy.zeros(self.classes, dtype=numpy.int64)
        unlabelled = wrong = compared = 0
        for first_row, piece_ids, labels in self._pieces():
            if self.has_ids:
                places = numpy.minimum(numpy.searchsorted(wanted, piece_ids), max(len(wanted) - 1, 0))
                here = numpy.flatnonzero(wanted[places] == piece_ids) if len(wanted) else numpy.empty(0, int)
                places = places[here]
            else:
                begin, end = numpy.searchsorted(wanted, [first_row, first_row + len(labels.targets)])
                places = numpy.arange(begin, end)
                here = wanted[begin:end] - first_row
            rows[places] = first_row + here
            targets[places] = labels.targets[here]
            known = labels.targets[labels.targets >= 0]
            unlabelled += len(labels.targets) - len(known)
            found = numpy.bincount(known, minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
            if truth is not None:
                truth[places] = labels.truth[here]
                piece_wrong, piece_compared = labels.noise()
                wrong += piece_wrong
                compared += piece_compared
        return Survey(counts, unlabelled, wrong if self.has_truth else None, compared, wanted, rows,
                      Labels(targets, truth))

    def check_found(self, survey, ids, path):
        """Throws, naming `path`, where ids that it holds are not in the pool."""
        rows, _ = survey.of(ids)
        lost = numpy.asarray(ids)[rows < 0]
        if len(lost):
            raise ReportError(f"{path}: {len(lost)} of its {len(ids)} ids, such as {lost[0]}, are not in the pool "
                              f"{self.path} of {self.rows} rows; name the pool it was made from with --pool")

    def all_ids(self):
        """The id of every row."""
        if not self.has_ids:
            return numpy.arange(self.rows)
        return numpy.concatenate([ids for _, ids, _ in self._pieces()])

    def images(self, rows):
        """The images of some rows, for showing: [H, W] or [H, W, 3], floats from 0 to 1."""
        return [_displayable(row, self.floats) for row in self._rows(rows)]

    def inputs(self, rows):
        """The inputs of some rows as they are stored, [rows, ...] as floats."""
        return numpy.array(self._rows(rows), dtype=numpy.float64)

    def _rows(self, rows):
        found = [None] * len(rows)
        for shard in self.shards:
            own = [i for i, row in enumerate(rows) if shard.first_row <= row < shard.first_row + shard.rows]
            if not own:
                continue
            with open_file(shard.path) as file:
                inputs = dataset(file, "/inputs", 1 + len(self.shape))
                for i in own:
                    found[i] = read(inputs, int(rows[i]) - shard.first_row)
        return found

    def _pieces(self):
        """(first row, ids or None, Labels) of at most PIECE_ROWS rows at a time."""
        limit = self.classes or MOST_CLASSES
        for shard in self.shards:
            with open_file(shard.path) as file:
                columns = {}
                for name, held in (("ids", self.has_ids), ("targets", self.has_targets),
                                   ("clean_targets", self.has_truth)):
                    if held:
                        columns[name] = dataset(file, "/" + name, 1, "iu")
                        if len(columns[name]) != shard.rows:
                            raise ReportError(f"{shard.path}: /{name} has {len(columns[name])} rows, "
                                              f"/inputs has {shard.rows}")
                for begin in range(0, shard.rows, PIECE_ROWS):
                    part = slice(begin, min(shard.rows, begin + PIECE_ROWS))
                    values = {name: read(column, part).astype(numpy.int64) for name, column in columns.items()}
                    for name in ("targets", "clean_targets"):
                        if name in values:
                            values[name][(values[name] < 0) | (values[name] >= limit)] = -1
                    targets = values.get("targets")
                    if targets is None:
                        targets = numpy.full(part.stop - part.start, -1, dtype=numpy.int64)
                    yield shard.first_row + begin, values.get("ids"), Labels(targets, values.get("clean_targets"))


def _shards(place):
    if not place.is_dir():
        with open_file(place) as file:
            return [Shard(str(place), 0, len(_inputs(file)))]
    manifest = place / "manifest.json"
    try:
        entries = json.loads(manifest.read_text())["shards"]
        listed = [(str(entry["file"]), int(entry["rows"])) for entry in entries]
    except FileNotFoundError:
        raise ReportError(f"{place}: is a directory without manifest.json, so no sharded pool") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{manifest}: is no manifest of a sharded pool: {type(error).__name__} {error}") from None
    if not listed:
        raise ReportError(f"{manifest}: lists no shard")
    shards, first_row = [], 0
    for name, rows in listed:
        with open_file(place / name) as file:
            if len(_inputs(file)) != rows:
                raise ReportError(f"{place / name}: /inputs has {len(_inputs(file))} rows, manifest.json says {rows}")
        shards.append(Shard(str(place / name), first_row, rows))
        first_row += rows
    return shards


def _inputs(file):
    inputs = dataset(file, "/inputs")
    if not inputs.ndim or not len(inputs):
        raise ReportError(f"{file.filename}: /inputs has shape {list(inputs.shape)}: the pool is empty")
    return inputs


def _displayable(image, floats):
    image = numpy.asarray(image, dtype=numpy.float64)
    if image.ndim == 3:
        image = image[0] if image.shape[0] == 1 else numpy.moveaxis(image, 0, -1)
    if not floats:
        return image / 255.0
    image = numpy.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = image.min(), image.max()
    if low >= 0.0 and high <= 1.0:
        return image
    return (image - low) / (high - low) if high > low else numpy.zeros_like(image)
