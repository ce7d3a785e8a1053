"""The boxes of a pool of images: one pass that counts them, and those of single rows. Classes, sizes, flags."""

from dataclasses import dataclass

import numpy

from thresher_report.files import ReportError, dataset, open_file, read, text_of

PIECE_ROWS = 1 << 16
DIFFICULT, CROWD = 1, 2  # flags
SIZES = ("small", "medium", "large")  # COCO's: up to 32 x 32 pixels, up to 96 x 96, and above
SIZE_LIMITS = (32.0 ** 2, 96.0 ** 2)
MOST_CLASSES = 1 << 16  # where the pool does not say how many there are


@dataclass
class RowBoxes:
    """Of one image. Corners in pixels of the input; areas and `back` lead to those of the original image."""

    corners: numpy.ndarray  # [n, 4], x0 y0 x1 y1
    classes: numpy.ndarray  # [n]
    flags: numpy.ndarray  # [n]
    areas: numpy.ndarray  # [n]
    back: numpy.ndarray  # what pixels of the input become pixels of the original image by, x and y
    shown: numpy.ndarray  # height and width of the image within the input, which may be letter-boxed

    def counting(self):
        """Which are objects that count: neither difficult nor crowds."""
        return self.flags == 0


@dataclass
class Piece:
    """Of consecutive rows: the boxes of all of them, and where each row's begin."""

    first_row: int
    offsets: numpy.ndarray  # [rows + 1], from 0 on
    corners: numpy.ndarray
    classes: numpy.ndarray
    flags: numpy.ndarray
    areas: numpy.ndarray
    back: numpy.ndarray  # [rows, 2]
    shown: numpy.ndarray  # [rows, 2]

    def row(self, place):
        own = slice(self.offsets[place], self.offsets[place + 1])
        return RowBoxes(self.corners[own], self.classes[own], self.flags[own], self.areas[own], self.back[place], self.shown[place])


@dataclass
class BoxSurvey:
    """Numbers by class [C], unless they say otherwise."""

    boxes: numpy.ndarray
    images: numpy.ndarray  # that have one of the class
    sizes: numpy.ndarray  # [C, 3], by SIZES
    difficult: numpy.ndarray
    crowds: numpy.ndarray
    lengths: float  # sum over boxes of the root of their areas
    rows: int
    empty: numpy.ndarray  # rows without a box

    def grow(self, count):
        """Room for classes below `count`."""
        for name in ("boxes", "images", "sizes", "difficult", "crowds"):
            old = getattr(self, name)
            if len(old) < count:
                setattr(self, name, numpy.concatenate([old, numpy.zeros((count - len(old), *old.shape[1:]), dtype=old.dtype)]))

    @property
    def mean_length(self):
        return self.lengths / self.boxes.sum() if self.boxes.sum() else numpy.nan


def size_of(areas):
    """Place in SIZES of each area; both ends of medium belong to two of COCO's ranges, here to the smaller."""
    return numpy.searchsorted(SIZE_LIMITS, areas, side="left")


def way_back(sizes, shape):
    """Of images of `sizes` [n, 2] (or of n of them, unknown) in inputs of `shape`, both height and width: factors (x, y) to the
    original image [n, 2], and the (height, width) that it takes of the input [n, 2].

    As the importers letter-box (docs/file-formats.md): scaled to fit, to the top left of a square."""
    if isinstance(sizes, int) or shape[0] != shape[1]:
        count = sizes if isinstance(sizes, int) else len(sizes)
        return numpy.ones((count, 2)), numpy.tile(numpy.array(shape), (count, 1))
    sizes = numpy.maximum(1, sizes)
    shown = numpy.floor(sizes * (shape[0] / sizes.max(axis=1, keepdims=True)) + 0.5).clip(1, shape[0])
    return (sizes / shown)[:, ::-1], shown.astype(numpy.int64)


class PoolBoxes:
    """Of a pool that has some: thresher_report.pool.Pool with `has_boxes`."""

    def __init__(self, pool):
        self.pool = pool
        self.shape = tuple(pool.shape[-2:])
        with open_file(pool.shards[0].path) as file:
            attrs = dataset(file, "/box_classes", 1, "iu").attrs
            self.class_names = [text_of(name) for name in attrs.get("class_names", [])]
            self.classes = len(self.class_names) or int(attrs.get("classes", 0))
            self.has_sizes = "image_sizes" in file
            self.has_flags = "box_flags" in file
            self.has_areas = "box_areas" in file

    def class_name(self, index):
        return self.class_names[index] if index < len(self.class_names) else str(index)

    @property
    def pixels(self):
        """Of which image the pixels are that sizes are told in."""
        return "the original image" if self.has_sizes else "the input"

    def survey(self):
        """One pass over all boxes. Throws ReportError where offsets or classes do not fit."""
        count = self.classes
        found = BoxSurvey(*(numpy.zeros(count, dtype=numpy.int64) for _ in range(2)),
                          numpy.zeros((count, 3), dtype=numpy.int64),
                          *(numpy.zeros(count, dtype=numpy.int64) for _ in range(2)), 0.0, self.pool.rows, None)
        empty = []
        for piece in self._pieces():
            lengths = numpy.diff(piece.offsets)
            empty.append(piece.first_row + numpy.flatnonzero(lengths == 0))
            if not len(piece.classes):
                continue
            found.grow(int(piece.classes.max()) + 1)
            count = len(found.boxes)
            in_row = numpy.unique(numpy.repeat(numpy.arange(len(lengths)), lengths) * count + piece.classes)
            for into, classes in ((found.boxes, piece.classes), (found.images, in_row % count),
                                  (found.difficult, piece.classes[piece.flags & DIFFICULT > 0]),
                                  (found.crowds, piece.classes[piece.flags & CROWD > 0])):
                into += numpy.bincount(classes, minlength=count)
            found.sizes += numpy.bincount(piece.classes * 3 + size_of(piece.areas), minlength=3 * count).reshape(-1, 3)
            found.lengths += float(numpy.sqrt(piece.areas).sum())
        found.empty = numpy.concatenate(empty)
        self.classes = len(found.boxes)
        return found

    def all_rows(self):
        """RowBoxes of every row of the pool, in order."""
        for piece in self._pieces():
            for place in range(len(piece.offsets) - 1):
                yield piece.row(place)

    def of(self, rows):
        """RowBoxes of some rows."""
        found = [None] * len(rows)
        for shard in self.pool.shards:
            own = [i for i, row in enumerate(rows) if shard.first_row <= row < shard.first_row + shard.rows]
            if own:
                with open_file(shard.path) as file:
                    columns = self._columns(file, shard)
                    for i in own:
                        found[i] = self._piece(columns, shard, int(rows[i]) - shard.first_row, 1).row(0)
        return found

    def images(self, rows):
        """The images of some rows for showing, without what a letter-box adds, and their RowBoxes."""
        found = self.of(rows)
        images = self.pool.images(rows)
        return [image[:one.shown[0], :one.shown[1]] for image, one in zip(images, found)], found

    def _pieces(self):
        for shard in self.pool.shards:
            with open_file(shard.path) as file:
                columns = self._columns(file, shard)
                for begin in range(0, shard.rows, PIECE_ROWS):
                    yield self._piece(columns, shard, begin, min(PIECE_ROWS, shard.rows - begin))

    def _columns(self, file, shard):
        columns = {name: dataset(file, "/" + name, axes, kinds)
                   for name, axes, kinds in (("boxes", 2, "f"), ("box_classes", 1, "iu"), ("box_offsets", 1, "iu"),
                                             ("box_flags", 1, "iu"), ("box_areas", 1, "f"), ("image_sizes", 2, "iu"))
                   if name in file or name in ("boxes", "box_classes", "box_offsets")}
        count = len(columns["boxes"])
        for name, length in (("box_classes", count), ("box_flags", count), ("box_areas", count),
                             ("box_offsets", shard.rows + 1), ("image_sizes", shard.rows)):
            if name in columns and len(columns[name]) != length:
                raise ReportError(f"{shard.path}: /{name} has {len(columns[name])} entries, expected {length} of {shard.rows} "
                                  f"rows and {count} boxes")
        if columns["boxes"].shape[1] != 4:
            raise ReportError(f"{shard.path}: /boxes has shape {list(columns['boxes'].shape)}, expected [boxes, 4]")
        return columns

    def _piece(self, columns, shard, begin, count):
        offsets = read(columns["box_offsets"], slice(begin, begin + count + 1)).astype(numpy.int64)
        boxes = columns["boxes"]
        path = boxes.file.filename
        if (numpy.diff(offsets) < 0).any() or offsets[0] < 0 or offsets[-1] > len(boxes):
            raise ReportError(f"{path}: /box_offsets of rows {begin} to {begin + count - 1} descend, or leave the "
                              f"{len(boxes)} boxes")
        part = slice(int(offsets[0]), int(offsets[-1]))
        corners = read(boxes, part).astype(numpy.float64)
        classes = read(columns["box_classes"], part).astype(numpy.int64)
        limit = self.classes or MOST_CLASSES
        wrong = numpy.flatnonzero((classes < 0) | (classes >= limit))
        if len(wrong):
            raise ReportError(f"{path}: box {part.start + wrong[0]} is of class {classes[wrong[0]]}; allowed: 0 to {limit - 1}")
        flags = read(columns["box_flags"], part) if "box_flags" in columns else numpy.zeros(len(classes), dtype=numpy.uint8)
        areas = read(columns["box_areas"], part).astype(numpy.float64) if "box_areas" in columns else None
        sizes = read(columns["image_sizes"], slice(begin, begin + count)) if "image_sizes" in columns else count
        back, shown = way_back(sizes, self.shape)
        factors = numpy.repeat(back.prod(axis=1), numpy.diff(offsets))
        of_boxes = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]) * factors
        areas = of_boxes if areas is None else numpy.where(areas > 0, areas, of_boxes)
        return Piece(shard.first_row + begin, offsets - offsets[0], corners, classes, flags, areas, back, shown)



TABLE = ("class", "boxes", "share", "images with one", *SIZES, "difficult", "crowds")


def table_rows(survey, class_name):
    """A row for each class, and one for all."""
    total = survey.boxes.sum()

    def row(name, values, images, sizes, difficult, crowds):
        share = f"{100 * values / total:.1f} %" if total else "–"
        return (name, f"{int(values):,}", share, f"{int(images):,}",
                *(f"{int(value):,}" for value in (*sizes, difficult, crowds)))

    rows = [row(class_name(c), survey.boxes[c], survey.images[c], survey.sizes[c], survey.difficult[c], survey.crowds[c])
            for c in range(len(survey.boxes))]
    return rows + [row("all", total, survey.rows - len(survey.empty), survey.sizes.sum(axis=0), survey.difficult.sum(),
                       survey.crowds.sum())]
