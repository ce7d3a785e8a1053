"""What active-learning cycles picked: the classes, and how far apart in the inputs as they are stored."""

import numpy
from matplotlib.ticker import MaxNLocator

from thresher_report import charts, style
from thresher_report.runs import band_of

MOST_PICKS = 20000  # rows that are read
FIRST_PICKS = 8  # images of a batch in a row


def effective_classes(targets):
    """exp of the entropy of the classes: as many equally frequent ones would be as varied. NaN without a label."""
    known = targets[targets >= 0]
    if not len(known):
        return numpy.nan
    share = numpy.bincount(known) / len(known)
    share = share[share > 0]
    return float(numpy.exp(-(share * numpy.log(share)).sum()))


def nearest_distances(inputs):
    """Of each row to the nearest other one, [n]. inputs: [n, d]; none where n is 1."""
    if len(inputs) < 2:
        return numpy.empty(0)
    squares = (inputs ** 2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2.0 * inputs @ inputs.T
    numpy.fill_diagonal(distances, numpy.inf)
    return numpy.sqrt(numpy.maximum(distances.min(axis=1), 0.0))


def measure(batches, pool, survey):
    """{acquisition: {"classes", "distance": [repeats, cycles]}} of the batches {acquisition: [repeats][cycles] of ids}."""
    found = {}
    for acquisition, repeats in batches.items():
        shape = (len(repeats), max(map(len, repeats)))
        curves = {name: numpy.full(shape, numpy.nan) for name in ("classes", "distance")}
        for i, cycles in enumerate(repeats):
            for j, ids in enumerate(cycles):
                rows, labels = survey.of(ids)
                truth = labels.targets if labels.truth is None else labels.truth
                curves["classes"][i, j] = effective_classes(truth)
                inputs = pool.inputs(rows).reshape(len(rows), -1)
                distances = nearest_distances(inputs) / inputs.shape[1] ** 0.5
                curves["distance"][i, j] = distances.mean() if len(distances) else numpy.nan
        found[acquisition] = curves
    return found


TITLES = (("classes", "Classes in a batch, effective number"), ("distance", "Difference (rms) to the nearest other pick"))


@charts.styled
def chart(name, measured):
    figure = charts._figure(charts.WIDTH, 3.9)
    told = []
    for panel, (curve, title) in zip(figure.subplots(1, 2), TITLES):
        ends = []
        for index, (acquisition, curves) in enumerate(measured.items()):
            band, look = band_of(curves[curve]), style.line(index)
            cycles = numpy.arange(1, len(band.middle) + 1)
            panel.fill_between(cycles, band.low, band.high, color=look["color"], alpha=0.12, linewidth=0)
            panel.plot(cycles, band.middle, **look)
            if numpy.isfinite(band.middle[-1]):
                ends.append((band.middle[-1], acquisition, look["color"]))
            told.append(f"{acquisition} {numpy.nanmean(curves[curve]):.3g}" if numpy.isfinite(curves[curve]).any() else "")
        panel.set_title(title)
        panel.set_xlabel("cycle")
        panel.set_ylim(bottom=0.0)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        charts._label_lines(panel, ends)
    half = len(measured)
    return charts._finish(figure, f"{name}-picks", "Effective number of classes in a batch: " + ", ".join(told[:half])
                          + ". Distance to the nearest other pick: " + ", ".join(told[half:]) + ".",
                          "Lines: mean over repeats. Bands: from the lowest to the highest repeat.")


def table_rows(measured):
    return [(acquisition, *(style.number(numpy.nanmean(curves[name])) for name, _ in TITLES))
            for acquisition, curves in measured.items()]
