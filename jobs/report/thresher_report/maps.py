"""Files of average precision (`map -o`, `evaluate -o`): the mean, the numbers of each class, precision over recall."""

from dataclasses import dataclass

import numpy
from matplotlib.ticker import FuncFormatter

from thresher_report import charts, style
from thresher_report.files import ReportError, dataset, open_file, read, setting, text_of

NUMBERS = {  # COCO's twelve, as attributes
    "AP": "average precision, overlaps .5 to .95", "AP50": "at overlap .5", "AP75": "at overlap .75",
    "APsmall": "small objects", "APmedium": "medium objects", "APlarge": "large objects",
    "AR1": "average recall, 1 detection an image", "AR10": "10 detections", "AR100": "100 detections",
    "ARsmall": "small objects, 100 detections", "ARmedium": "medium objects", "ARlarge": "large objects"}
MOST_PANELS = 20
MOST_BARS = 40


@dataclass
class AveragePrecision:
    path: str
    metric: str  # "coco", "voc07" or "voc10"
    overlap: str  # of VOC, ".5"; "" where the file does not say
    mean: float  # NaN where no class has an object, here and below
    names: list
    objects: numpy.ndarray  # by class, here and below
    detections: numpy.ndarray
    precision: numpy.ndarray
    precision_50: numpy.ndarray
    precision_75: numpy.ndarray
    recall: numpy.ndarray
    curves: list  # (recall, precision, score) at each hit
    numbers: dict  # COCO's twelve; empty for VOC
    name: str = ""  # short, for charts

    @property
    def is_coco(self):
        return self.metric == "coco"

    @property
    def headline(self):
        """What the mean is."""
        if self.is_coco:
            return "mAP at overlaps .5 to .95 (COCO)"
        return "mAP" + (f" at overlap {self.overlap}" if self.overlap else "") + f" ({self.metric})"


def _known(values):
    """-1 stands for: no object."""
    return numpy.where(values < 0, numpy.nan, values)


def read_map(path):
    with open_file(path) as file:
        names = [text_of(name) for name in file.attrs.get("class_names", [])]
        for attribute in ("metric", "mean_average_precision"):
            if attribute not in file.attrs:
                raise ReportError(f"{path}: there is no attribute {attribute}; was it written by thresher map or evaluate?")
        columns = [read(dataset(file, f"/classes/{name}", 1, kinds)) for name, kinds in (
            ("objects", "iu"), ("detections", "iu"), ("average_precision", "f"), ("average_precision_50", "f"),
            ("average_precision_75", "f"), ("recall", "f"))]
        offsets = read(dataset(file, "/curves/offsets", 1, "iu")).astype(numpy.int64)
        points = [read(dataset(file, f"/curves/{name}", 1, "f")) for name in ("recall", "precision", "score")]
        for column, name in zip(columns, ("objects", "detections", "average_precision", "average_precision_50",
                                          "average_precision_75", "recall")):
            if len(column) != len(names):
                raise ReportError(f"{path}: /classes/{name} has {len(column)} entries, class_names has {len(names)}")
        lengths = {len(values) for values in points}
        if len(lengths) != 1 or len(offsets) != len(names) + 1 or offsets[0] != 0 or (numpy.diff(offsets) < 0).any() \
                or offsets[-1] != len(points[0]):
            raise ReportError(f"{path}: /curves/offsets does not share the {len(points[0])} points of /curves out to "
                              f"{len(names)} classes")
        metric, config = text_of(file.attrs["metric"]), text_of(file.attrs.get("config", ""))
        overlap = setting(config, "iou")
        return AveragePrecision(
            path, metric, overlap[1:] if overlap.startswith("0.") else overlap,
            float(_known(numpy.float64(file.attrs["mean_average_precision"]))), names, *columns[:2], *map(_known, columns[2:]),
            [tuple(values[a:b] for values in points) for a, b in zip(offsets, offsets[1:])],
            {name: float(_known(numpy.float64(file.attrs[name]))) for name in NUMBERS if name in file.attrs})


def points(share, digits=1):
    """A share in percent without the sign, as tables of average precision have it."""
    return f"{100 * share:.{digits}f}" if numpy.isfinite(share) else "–"


def class_table(found):
    """(columns, rows), the best class first, those without an object last."""
    order = numpy.argsort(-numpy.nan_to_num(found.precision, nan=-1.0), kind="stable")
    columns = ("class", "objects", "detections", "AP [%]", *(("AP50 [%]", "AP75 [%]") if found.is_coco else ()), "recall [%]")
    rows = []
    for c in order:
        more = (points(found.precision_50[c]), points(found.precision_75[c])) if found.is_coco else ()
        rows.append((found.names[c], f"{found.objects[c]:,}", f"{found.detections[c]:,}", points(found.precision[c]), *more,
                     points(found.recall[c])))
    return columns, rows


def number_rows(found):
    return [(name, told, points(found.numbers[name])) for name, told in NUMBERS.items() if name in found.numbers]


@charts.styled
def class_chart(found):
    """Bars by class, the best on top; of COCO the wide pale bar is the one at overlap .5."""
    order = [c for c in numpy.argsort(-numpy.nan_to_num(found.precision, nan=-1.0), kind="stable") if found.objects[c] > 0]
    left_out = len(order) - MOST_BARS
    if left_out > 0:
        order = order[:MOST_BARS // 2] + order[-MOST_BARS // 2:]
    figure = charts._figure(charts.WIDTH * 0.75, 0.9 + 0.27 * len(order))
    axes = figure.subplots()
    places = numpy.arange(len(order))[::-1]
    if found.is_coco:
        axes.barh(places, found.precision_50[order], 0.74, label="at overlap .5", **style.bar(0))
    axes.barh(places, found.precision[order], 0.42 if found.is_coco else 0.62, label="mean over overlaps .5 to .95", **style.bar(1))
    for place, c in zip(places, order):
        end = found.precision_50[c] if found.is_coco else found.precision[c]
        told = points(found.precision[c]) + (f" (at .5: {points(found.precision_50[c])})" if found.is_coco else "")
        axes.annotate(told, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=9.0)
    if numpy.isfinite(found.mean):
        axes.axvline(found.mean, color=style.SOFT, linewidth=1.0, linestyle=(0, (2, 3)))
    axes.set_yticks(places, [f"{found.names[c]}  ({found.objects[c]:,})" for c in order], color=style.INK)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0.0, 1.2 if found.is_coco else 1.08)
    axes.set_xticks(numpy.linspace(0.0, 1.0, 6))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
    axes.set_title("Average precision by class", pad=26 if found.is_coco else 10)
    if found.is_coco:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.3)
    caption = "Behind each class: its objects. Dotted: the mean over classes."
    if left_out > 0:
        caption += f" The {MOST_BARS // 2} best and the {MOST_BARS // 2} worst of {len(order) + left_out} classes with objects."
    told = ", ".join(f"{found.names[c]} {points(found.precision[c])} %" for c in order)
    return charts._finish(figure, f"{found.name}-classes", f"Average precision by class: {told}.", caption)


def envelope(recall, precision):
    """The best precision at each recall or a higher one, as steps: (x, y). Its area is VOC's average precision of 2010."""
    best = numpy.maximum.accumulate(precision[::-1])[::-1]
    x = numpy.concatenate([[0.0], recall, recall[-1:]])
    return x, numpy.concatenate([best[:1], best, [0.0]])


def _thin(values):
    """Some of many points, the last among them."""
    if len(values) <= charts.MOST_POINTS:
        return values
    return values[numpy.unique(numpy.linspace(0, len(values) - 1, charts.MOST_POINTS).round().astype(int))]


@charts.styled
def curves_chart(found):
    """A small chart of precision over recall for each class, those with the most objects."""
    order = [c for c in numpy.argsort(-found.objects, kind="stable") if found.objects[c] > 0]
    shown = sorted(order[:MOST_PANELS], key=order.index)
    columns = min(4, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    figure = charts._figure(charts.WIDTH if columns > 2 else charts.WIDTH * 0.75, 2.5 * rows + 0.3)
    panels = numpy.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for panel, c in zip(panels, shown):
        recall, precision, score = found.curves[c]
        if len(recall):
            x, y = envelope(recall, precision)
            panel.fill_between(x, y, step="pre", color=style.COLOURS[0], alpha=0.16, linewidth=0)
            panel.plot(_thin(recall), _thin(precision), color=style.COLOURS[0], linewidth=1.6)
            sure = numpy.flatnonzero(score >= 0.5)
            if len(sure):
                panel.plot(recall[sure[-1]], precision[sure[-1]], "o", color=style.COLOURS[1], markerfacecolor="white",
                           markeredgewidth=1.6)
        else:
            panel.text(0.5, 0.5, "nothing found", ha="center", va="center", color=style.SOFT)
        precision_told = found.precision_50[c] if found.is_coco else found.precision[c]
        name = found.names[c] if len(found.names[c]) <= 16 else found.names[c][:15] + "…"
        panel.set_title(f"{name}: AP{'50' if found.is_coco else ''} {points(precision_told)} %\n", fontsize=10.0)
        panel.text(0.0, 1.03, f"{found.objects[c]:,} objects, {found.detections[c]:,} detections", transform=panel.transAxes,
                   fontsize=8.2, color=style.SOFT)
        panel.set_xlim(0.0, 1.02)
        panel.set_ylim(0.0, 1.04)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_ticks((0.0, 0.5, 1.0))
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
    for place, panel in enumerate(panels):
        if place >= len(shown):
            panel.set_visible(False)
            continue
        if place % columns == 0:
            panel.set_ylabel("precision")
        if place + columns >= len(shown):
            panel.set_xlabel("recall")
            panel.tick_params(labelbottom=True)
    overlap = ".5" if found.is_coco else found.overlap
    caption = ("Line: precision at each hit" + (f" at overlap {overlap}" if overlap else "") + ". Shaded: the best precision at that "
               "recall or a higher one" + {"voc10": ", whose area is the average precision", "coco": ", of which 101 recalls are "
                                           "averaged", "voc07": ", of which 11 recalls are averaged"}.get(found.metric, "")
               + ". Circle: the last hit whose score is .5 or more.")
    if len(shown) < len(order):
        caption += f" The {len(shown)} of {len(order)} classes with the most objects."
    told = "; ".join(f"{found.names[c]} reaches recall {points(found.curves[c][0][-1] if len(found.curves[c][0]) else 0.0)} % with "
                     f"{found.objects[c]:,} objects and {found.detections[c]:,} detections" for c in shown)
    return charts._finish(figure, f"{found.name}-precision-recall", f"Precision over recall: {told}.", caption)
