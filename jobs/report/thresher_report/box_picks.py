"""What active-learning cycles picked of a pool with boxes: classes, sizes and numbers of the objects, images without any."""

import numpy
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thresher_report import boxes, charts, picks, style
from thresher_report.runs import band_of

MOST_SHARES = 8  # classes in the table by cycle
PANELS = (("classes", "Classes of objects, effective number"), ("objects", "Objects in an image"),
          ("empty", "Images without an object"), ("length", "Size of an object, root of its area"),
          ("distance", "Difference (rms) to the nearest pick"))


class Picked:
    """Of one batch."""

    def __init__(self, rows, classes):
        """rows: RowBoxes of its images; classes: how many there are."""
        counting = [one for one in rows if len(one.classes)]
        found = numpy.concatenate([one.classes for one in counting]) if counting else numpy.empty(0, dtype=numpy.int64)
        areas = numpy.concatenate([one.areas for one in counting]) if counting else numpy.empty(0)
        self.images, self.empty = len(rows), len(rows) - len(counting)
        self.classes = numpy.bincount(found, minlength=classes)
        self.sizes = numpy.bincount(boxes.size_of(areas), minlength=3)
        self.length = float(numpy.sqrt(areas).mean()) if len(areas) else numpy.nan


def effective(counts):
    """picks.effective_classes() of counts by class."""
    return picks.effective_classes(numpy.repeat(numpy.arange(len(counts)), counts))


def measure(batches, pool_boxes, survey):
    """{acquisition: [repeats][cycles] of Picked} of the batches {acquisition: [repeats][cycles] of ids}."""
    return {acquisition: [[Picked(pool_boxes.of(survey.of(ids)[0]), pool_boxes.classes) for ids in cycles] for cycles in repeats]
            for acquisition, repeats in batches.items()}


def curves_of(measured, distances):
    """{acquisition: {panel -> [repeats, cycles]}}."""
    found = {}
    for acquisition, repeats in measured.items():
        shape = (len(repeats), max(map(len, repeats)))
        curves = {name: numpy.full(shape, numpy.nan) for name, _ in PANELS[:-1]}
        for i, cycles in enumerate(repeats):
            for j, one in enumerate(cycles):
                curves["classes"][i, j] = effective(one.classes)
                curves["objects"][i, j] = one.classes.sum() / max(1, one.images)
                curves["empty"][i, j] = one.empty / max(1, one.images)
                curves["length"][i, j] = one.length
        found[acquisition] = curves | {"distance": distances[acquisition]["distance"]}
    return found


def of_pool(survey):
    """The same of the whole pool; no distance, which depends on how many are picked."""
    return {"classes": effective(survey.boxes), "objects": survey.boxes.sum() / survey.rows, "empty": len(survey.empty) / survey.rows,
            "length": survey.mean_length}


@charts.styled
def chart(name, curves, pool, pixels):
    figure = charts._figure(charts.WIDTH, 5.4)
    panels = figure.subplots(2, 3).ravel()
    handles = {}
    for panel, (what, title) in zip(panels, PANELS):
        for index, (acquisition, values) in enumerate(curves.items()):
            band, look = band_of(values[what]), style.line(index)
            cycles = numpy.arange(1, len(band.middle) + 1)
            panel.fill_between(cycles, band.low, band.high, color=look["color"], alpha=0.12, linewidth=0)
            handles[acquisition], = panel.plot(cycles, band.middle, **look)
        if what in pool and numpy.isfinite(pool[what]):
            handles["the whole pool"] = panel.axhline(pool[what], color=style.INK, linewidth=1.2, linestyle=(0, (2, 3)))
        panel.set_title(title, fontsize=9.5)
        panel.set_xlabel("cycle")
        low, high = panel.get_ylim()
        panel.set_ylim(max(0.0, low - 0.3 * (high - low)), high + 0.1 * (high - low))
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if what == "empty":
            panel.set_ylim(0.0, max(0.05, panel.get_ylim()[1]))
            panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
        if what == "length":
            panel.set_ylabel(f"pixels of {pixels}", fontsize=8.5)
    panels[-1].axis("off")
    panels[-1].legend(handles.values(), handles.keys(), loc="center left")
    told = "; ".join(f"{title}: " + ", ".join(f"{acquisition} {_mean(values[what]):.3g}" for acquisition, values in curves.items())
                     for what, title in PANELS)
    return charts._finish(figure, f"{name}-box-picks", f"What was picked, means over cycles and repeats. {told}.",
                          "Axes need not begin at 0. Lines: mean over repeats. Bands: from the lowest to the highest repeat.")


def _mean(values):
    return float(numpy.nanmean(values)) if numpy.isfinite(values).any() else numpy.nan


def shares(measured):
    """[(acquisition, boxes by class)] over all cycles and repeats."""
    return [(acquisition, sum(one.classes for cycles in repeats for one in cycles)) for acquisition, repeats in measured.items()]


def cycle_table(measured, survey, class_name):
    """(columns, rows): a row for the pool, and one for each acquisition and cycle, summed over repeats."""
    order = numpy.argsort(-survey.boxes, kind="stable")
    order = [c for c in order if survey.boxes[c]][:MOST_SHARES]
    columns = ("picked by", "cycle", "images", "without objects", "boxes", *boxes.SIZES, *(class_name(c) for c in order))

    def row(acquisition, cycle, images, empty, classes, sizes):
        total = classes.sum()
        share = [f"{100 * value / total:.1f} %" if total else "–" for value in (*sizes, *(classes[c] for c in order))]
        return (acquisition, cycle, f"{images:,}", f"{empty:,}", f"{int(total):,}", *share)

    rows = [row("the whole pool", "", survey.rows, len(survey.empty), survey.boxes, survey.sizes.sum(axis=0))]
    for acquisition, repeats in measured.items():
        for cycle in range(max(map(len, repeats))):
            ones = [cycles[cycle] for cycles in repeats if cycle < len(cycles)]
            rows.append(row(acquisition, str(cycle + 1), sum(one.images for one in ones), sum(one.empty for one in ones),
                            sum(one.classes for one in ones), sum(one.sizes for one in ones)))
    return columns, rows
