"""Detections (COCO's results, as `evaluate --detections` writes them) against the boxes of a pool, image by image."""

import json
from dataclasses import dataclass

import numpy

from thresher_report import charts, sheets, style
from thresher_report.boxes import CROWD
from thresher_report.files import ReportError

OVERLAP = 0.5  # from which an object is found
CROWDED = 6.0  # objects an image from which on images are shown larger


@dataclass
class Detections:
    """By falling score within an image; boxes are edges x0 y0 x1 y1 in pixels of the original images."""

    path: str
    ids: numpy.ndarray  # of images, ascending; those with a detection
    begins: numpy.ndarray  # [ids + 1]
    classes: numpy.ndarray
    boxes: numpy.ndarray  # [n, 4]
    scores: numpy.ndarray

    def of(self, image_id):
        """A slice."""
        place = numpy.searchsorted(self.ids, image_id)
        if place == len(self.ids) or self.ids[place] != image_id:
            return slice(0, 0)
        return slice(self.begins[place], self.begins[place + 1])


def _load(path, hook=None):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, object_hook=hook)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path}: is no JSON: {error}") from None


def read_categories(path, class_names):
    """Category id -> class, of the categories in a file of COCO's instances that are called as the classes are."""
    content = _load(path)
    try:
        ids = {str(one["name"]): int(one["id"]) for one in content["categories"]}
    except (TypeError, KeyError, ValueError) as error:
        raise ReportError(f"{path}: is no file of COCO's instances: {type(error).__name__} {error}") from None
    missing = [name for name in class_names if name not in ids]
    if missing:
        raise ReportError(f"{path}: no category is called {missing[0]}, as a class of the pool is")
    return {ids[name]: c for c, name in enumerate(class_names)}


def read_detections(path, classes, category_ids=None):
    """category_ids: category id -> class; None: they are the classes' numbers, below `classes`."""

    def record(one):
        try:
            x, y, width, height = (float(value) for value in one["bbox"])
            return int(one["image_id"]), int(one["category_id"]), x, y, x + width, y + height, float(one["score"])
        except (KeyError, TypeError, ValueError):
            return one  # told below, with its place

    content = _load(path, record)
    if not isinstance(content, list):
        raise ReportError(f"{path}: holds no list of detections; COCO's results are [{{\"image_id\": ...}}, ...]")
    for place, one in enumerate(content):
        if not isinstance(one, tuple) or not numpy.isfinite(one[2:]).all():
            raise ReportError(f"{path}: detection {place} lacks one of image_id, category_id, bbox (4 numbers) and score, or has "
                              "it not finite")
        if one[1] not in category_ids if category_ids is not None else not 0 <= one[1] < classes:
            raise ReportError(f"{path}: detection {place} is of category {one[1]}, but the pool has the classes 0 to {classes - 1}; "
                              "name the file whose category ids these are with --categories" if category_ids is None else
                              f"{path}: detection {place} is of category {one[1]}, which --categories does not have")
    images = numpy.array([one[0] for one in content], dtype=numpy.int64)
    kinds = numpy.array([one[1] if category_ids is None else category_ids[one[1]] for one in content], dtype=numpy.int64)
    values = numpy.array([one[2:] for one in content], dtype=numpy.float64).reshape(-1, 5)
    order = numpy.lexsort((-values[:, 4], images))
    ids, begins = numpy.unique(images[order], return_index=True)
    return Detections(path, ids, numpy.append(begins, len(images)), kinds[order], values[order, :4], values[order, 4])


def overlaps(found, truth, of_crowds):
    """[found, truth]: intersection over union or, where `of_crowds` [truth], over the area of what was found."""
    low = numpy.maximum(found[:, None, :2], truth[None, :, :2])
    high = numpy.minimum(found[:, None, 2:], truth[None, :, 2:])
    inside = numpy.maximum(0.0, high - low).prod(axis=2)
    area = numpy.maximum(0.0, found[:, 2:] - found[:, :2]).prod(axis=1)[:, None]
    whole = numpy.where(of_crowds[None, :], area, area + (truth[:, 2:] - truth[:, :2]).prod(axis=1)[None, :] - inside)
    return numpy.divide(inside, whole, out=numpy.zeros_like(inside), where=whole > 0)


HIT, FALSE, ASIDE = 1, 0, -1


def match(found, classes, truth, truth_classes, flags):
    """For each detection, which come by falling score, HIT, FALSE or ASIDE (it shows what is set aside: difficult, crowds); and
    for each object whether it was found.

    In turn each takes the free object of its class that it overlaps most, where that is half or more."""
    verdicts, free = numpy.full(len(found), FALSE), flags == 0
    if not len(truth) or not len(found):
        return verdicts, numpy.zeros(len(truth), dtype=bool)
    shared = overlaps(found, truth, flags & CROWD > 0)
    shared[classes[:, None] != truth_classes[None, :]] = 0.0
    for i in numpy.flatnonzero(shared.max(axis=1) >= OVERLAP):
        mine = numpy.where(free, shared[i], 0.0)
        best = mine.argmax()
        if mine[best] >= OVERLAP:
            verdicts[i], free[best] = HIT, False
        elif (shared[i][flags != 0] >= OVERLAP).any():
            verdicts[i] = ASIDE
    return verdicts, (flags == 0) & ~free


@dataclass
class Judged:
    """Images of a pool [rows] at one score; by class [C] where it says so."""

    score: float  # what is lower is not looked at
    objects: numpy.ndarray
    hits: numpy.ndarray
    false: numpy.ndarray
    class_objects: numpy.ndarray
    class_hits: numpy.ndarray
    class_false: numpy.ndarray

    @property
    def missed(self):
        return self.objects - self.hits

    @property
    def errors(self):
        """Of each image, mistakes (missed, false) / (objects + detections), 0 to 1: 1 less the F1 of its detections."""
        whole = self.objects + self.hits + self.false
        return (self.missed + self.false) / numpy.maximum(1, whole)


def best_score(scores, verdicts, objects):
    """The score from which on the harmonic mean of precision and recall (F1), over all, is largest."""
    counting = verdicts != ASIDE
    order = numpy.argsort(-scores[counting], kind="stable")
    scores, hits = scores[counting][order], numpy.cumsum(verdicts[counting][order])
    if not len(scores) or not hits[-1]:
        return 0.0
    f1 = 2.0 * hits / (objects + numpy.arange(1, len(hits) + 1))
    f1[:-1][scores[1:] == scores[:-1]] = -1.0  # all of one score are looked at together
    return float(scores[f1.argmax()])


def judge(detections, pool_boxes, row_ids, score=None):
    """Judged, over all rows of the pool. score: None for best_score()."""
    rows, places, verdicts, objects, kinds = [], [], [], [], []
    for row, one in enumerate(pool_boxes.all_rows()):
        own = detections.of(row_ids[row])
        truth = one.corners * numpy.tile(one.back, 2)
        verdicts.append(match(detections.boxes[own], detections.classes[own], truth, one.classes, one.flags)[0])
        places.append(numpy.arange(own.start, own.stop))
        rows.append(numpy.full(len(verdicts[-1]), row))
        objects.append(int(one.counting().sum()))
        kinds.append(one.classes[one.counting()])
    rows, places, verdicts = map(numpy.concatenate, (rows, places, verdicts))
    objects, kinds = numpy.array(objects), numpy.concatenate(kinds)
    scores, classes = detections.scores[places], detections.classes[places]
    score = best_score(scores, verdicts, objects.sum()) if score is None else score
    hit, false = ((verdicts == verdict) & (scores >= score) for verdict in (HIT, FALSE))
    count = pool_boxes.classes
    return Judged(score, objects, *(numpy.bincount(rows[of], minlength=len(objects)) for of in (hit, false)),
                  numpy.bincount(kinds, minlength=count), *(numpy.bincount(classes[of], minlength=count) for of in (hit, false)))


def table_rows(judged, class_name):
    def row(name, objects, hits, false):
        precision = style.percent(hits / (hits + false)) if hits + false else "–"
        return (name, f"{objects:,}", f"{hits:,}", f"{objects - hits:,}", f"{false:,}", precision,
                style.percent(hits / objects) if objects else "–")

    rows = [row(class_name(c), *map(int, numbers))
            for c, numbers in enumerate(zip(judged.class_objects, judged.class_hits, judged.class_false)) if numbers[0] or numbers[2]]
    return rows + [row("all", *(int(values.sum()) for values in (judged.objects, judged.hits, judged.false)))]


TABLE = ("class", "objects", "found", "missed", "false alarms", "precision", "recall")


def choose(judged, count, seed=0):
    """[(heading, rows)]: the worst images, the best ones and, of the others, some at random; no image twice."""
    errors, mistakes = judged.errors, judged.missed + judged.false
    rows = numpy.arange(len(errors))
    each = min(count, max(1, len(rows) // 3))
    worst = numpy.lexsort((rows, -mistakes, -errors))[:each]
    left = numpy.setdiff1d(rows, worst)
    best = left[numpy.lexsort((left, -judged.objects[left], errors[left]))][:each]
    left = numpy.setdiff1d(left, best)
    some = numpy.sort(numpy.random.default_rng(seed).choice(left, min(count, len(left)), replace=False)) if len(left) else left
    return [(heading, list(chosen)) for heading, chosen in (("The most wrong", worst), ("The least wrong", best),
                                                            ("Of the others, at random", some)) if len(chosen)]


def cells(rows, judged, detections, pool_boxes, row_ids):
    """What was found, and what found it, is faint; what was missed or is false stands out."""
    images, found = pool_boxes.images(rows)
    made = []
    for row, image, one in zip(rows, images, found):
        own = detections.of(row_ids[row])
        own = slice(own.start, own.start + int((detections.scores[own] >= judged.score).sum()))
        back = numpy.tile(one.back, 2)
        verdicts, is_found = match(detections.boxes[own], detections.classes[own], one.corners * back, one.classes, one.flags)
        marks = [*sheets.annotated(one, is_found | (one.flags != 0))]
        marks += [sheets.Mark(tuple(box / back), int(c), True, f"{score:.2f}".lstrip("0"), bool(verdict != FALSE)) for box, c, score, verdict
                  in zip(detections.boxes[own], detections.classes[own], detections.scores[own], verdicts)]
        lines = [f"id {row_ids[row]}: {judged.hits[row]} of {judged.objects[row]} found",
                 f"{judged.missed[row]} missed, {judged.false[row]} false"]
        made.append(sheets.Cell(image, lines, False, tuple(marks)))
    return made


def sheet(name, judged, detections, pool_boxes, row_ids, classes):
    columns = 3 if judged.objects.mean() > CROWDED else 4
    groups = [(heading, cells(rows, judged, detections, pool_boxes, row_ids)) for heading, rows in choose(judged, 2 * columns)]
    return sheets.contact_sheet(f"{name}-detections", f"Annotated and detected boxes, of scores from {judged.score:.3g}", groups, columns, classes,
                                "Thin: found. Thick and named: missed (solid) or false (dashed).")


@charts.styled
def error_chart(name, judged):
    """How the images spread over their errors."""
    figure = charts._figure(charts.WIDTH * 0.75, 2.6)
    axes = figure.subplots()
    counts, edges = numpy.histogram(judged.errors, numpy.linspace(0.0, 1.0, 21))
    axes.stairs(counts, edges, fill=True, **style.bar(1))
    axes.axvline(judged.errors.mean(), color=style.INK, linewidth=1.2, linestyle=(0, (2, 3)))
    axes.set_xlabel("mistakes / (objects + detections) of an image")
    axes.set_ylabel("images")
    axes.set_title("Images by their error")
    return charts._finish(figure, f"{name}-errors", f"Errors of {len(judged.errors):,} images: mean {judged.errors.mean():.3g}, "
                          f"{int((judged.errors == 0).sum()):,} without a mistake.",
                          f"Dotted: the mean. {int((judged.errors == 0).sum()):,} of {len(judged.errors):,} images have no mistake.")
