"""The charts. Each function takes numbers and returns a Chart: PNG, what it shows in words, and a caption."""

import io
from dataclasses import dataclass

import matplotlib
import numpy
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thresher_report import runs, style

DPI = 150
WIDTH = 10.0  # inches of a chart as wide as the page
MOST_CLASSES = 20  # classes side by side
MOST_POINTS = 1500  # points of one curve
MOST_BANDS = 8  # bands over each other


@dataclass
class Chart:
    name: str  # of the PNG file, without .png
    png: bytes
    alt: str
    caption: str
    width: float  # inches


def _finish(figure, name, alt, caption=""):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Chart(name, buffer.getvalue(), alt, caption, figure.get_figwidth())


def _figure(width, height):
    return Figure(figsize=(width, height), layout="constrained")


def styled(function):
    """Draws with the report's style, whatever the user's own Matplotlib settings are."""

    def wrapped(*arguments, **options):
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(style.RC)
            return function(*arguments, **options)

    return wrapped


def _label_lines(axes, ends):
    """Writes each line's name at its right end, moved apart where they would touch. ends: (y, text, colour)."""
    low, high = axes.get_ylim()
    heights = [(y - low) / (high - low) for y, _, _ in ends]
    rows = axes.get_subplotspec().get_gridspec().nrows
    panel_points = axes.figure.get_figheight() * 72 * 0.72 / rows
    for height, (_, text, colour) in zip(style.spread(heights, 13 / panel_points), ends):
        axes.text(1.015, height, text, transform=axes.transAxes, color=colour, va="center", fontweight="bold",
                  fontsize=9.5)


@styled
def learning_curves(name, loops, metric):
    figure = _figure(WIDTH, max(3.9, 0.9 + 0.24 * len(loops)))  # room for a name at each line's end
    panels = figure.subplots(1, 2)
    told = []
    banded = len(loops) <= MOST_BANDS
    for panel, (curve, title) in zip(panels, (("metric", metric.title), ("test_loss", metric.loss_title))):
        ends = []
        for index, (acquisition, loop) in enumerate(loops.items()):
            labelled, band = runs.band_of(loop["labelled"]).middle, runs.band_of(loop[curve])
            shown = numpy.isfinite(band.middle)
            if not shown.any():
                continue
            look = style.line(index)
            if banded:
                panel.fill_between(labelled[shown], band.low[shown], band.high[shown], color=look["color"], alpha=0.16,
                                   linewidth=0)
            panel.plot(labelled[shown], band.middle[shown], **look)
            ends.append((band.middle[shown][-1], acquisition, look["color"]))
            if curve == "metric":
                told.append(f"{acquisition} reaches {style.percent(band.middle[shown][-1])} with "
                            f"{style.number(labelled[shown][-1])} labels")
                panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
        panel.set_title(title)
        panel.set_xlabel(metric.labelled)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        _label_lines(panel, ends)
    repeats = max(len(loop["labelled"]) for loop in loops.values())
    band = ("One repeat, so no band." if repeats == 1 else
            f"Lines: mean over up to {repeats} repeats. " +
            ("Bands: from the lowest to the highest repeat." if banded else
             f"Of more than {MOST_BANDS} lines the bands are left out."))
    return _finish(figure, f"{name}-learning-curves", f"{metric.title} and test loss against the number of "
                   f"{metric.labelled}: " + "; ".join(told) + ".", band)


def _thin(values):
    """(x, y) with at most MOST_POINTS points: means of equal runs of values."""
    size = -(-len(values) // MOST_POINTS)
    whole = len(values) // size * size
    y = values[:whole].reshape(-1, size).mean(axis=1)
    return (numpy.arange(len(y)) + 0.5) * size + 0.5, y


def _running_mean(values, window):
    """Of the last `window` values, passing over NaN."""
    known = numpy.isfinite(values)
    sums = numpy.cumsum(numpy.insert(numpy.where(known, values, 0.0), 0, 0.0))
    counts = numpy.cumsum(numpy.insert(known.astype(float), 0, 0.0))
    begin = numpy.maximum(numpy.arange(1, len(values) + 1) - window, 0)
    count = counts[1:] - counts[begin]
    return numpy.where(count > 0, (sums[1:] - sums[begin]) / numpy.maximum(count, 1.0), numpy.nan)


def _draw_evaluations(panel, curves, updates, share):
    """curves: (label, values); updates: after which each value was found, or None."""
    ends, told = [], []
    for index, (label, values) in enumerate(curves):
        look = style.line(index)
        if len(values) > 40:
            look["markevery"] = len(values) // 20
        panel.plot(numpy.arange(1, len(values) + 1) if updates is None else updates, values, **look)
        known = values[numpy.isfinite(values)]
        if len(known):
            ends.append((known[-1], label, look["color"]))
            told.append(f"{label} ends at {style.percent(known[-1]) if share else style.number(known[-1])}")
    panel.set_xlabel("evaluation" if updates is None else "update")
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    if share:
        panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
    if len(ends) > 1:
        _label_lines(panel, ends)
    return told


def _draw_steps(panel, values, smooth):
    x, y = _thin(values)
    if not smooth:
        panel.plot(x, y, color=style.INK, linewidth=1.8)
    else:
        window = max(5, len(y) // 40)
        panel.plot(x, y, color="#9fb3c8", linewidth=0.8)
        panel.plot(x, _running_mean(y, window), color=style.COLOURS[0], linewidth=2.2)
    panel.set_xlabel("update")
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))


METRICS = (("loss", "Loss when evaluated, nats"), ("accuracy", "Accuracy when evaluated"),
           ("average_precision", "Validation mAP at overlap .5"),
           *((f"recall_at_{k}", f"Recall at {k} when evaluated") for k in (1, 5, 10)),
           ("alignment", "Alignment of pairs when evaluated"))
STEP_TITLES = {"steps/noisy_share": "Share of rows trained on whose label or caption is wrong",
               "steps/candidate_score": "Score of the candidates, mean",
               "steps/chosen_score": "Score of the rows chosen, mean",
               "steps/staleness": "Updates by which scores were behind, mean"}


@styled
def training_curves(name, curves, detector=False):
    """Loss and accuracy (training against validation), loss and learning rate by update, whatever else."""
    left = dict(curves)
    drawings = []
    metrics, loss_title = dict(METRICS), "Loss by update, nats"
    if detector:  # whose loss is of classes and corners
        metrics |= {"loss": "Loss of an image when evaluated", "accuracy": "Anchors on objects classified right, training"}
        loss_title = "Loss of an image by update"
    updates = left.pop("evaluations/update", None)
    for metric, title in metrics.items():
        pair = [(part, left.pop(f"evaluations/{part}_{metric}")) for part in ("train", "validation")
                if f"evaluations/{part}_{metric}" in left]
        if pair:
            drawings.append((title, lambda panel, pair=pair, metric=metric: [
                f"{metric.replace('_', ' ')} of {told}" for told in _draw_evaluations(panel, pair, updates, style.is_share(metric))]))
    for key, title in (("steps/loss", loss_title), ("steps/learning_rate", "Learning rate by update")):
        if key in left:
            drawings.append((title, lambda panel, v=left.pop(key), k=key: _draw_steps(panel, v, k == "steps/loss")))
    for key, values in left.items():
        title = STEP_TITLES.get(key, key.replace("_", " "))
        drawings.append((title, lambda panel, v=values, k=key: _draw_steps(panel, v, k in STEP_TITLES)))
    rows = -(-len(drawings) // 2)
    figure = _figure(WIDTH if len(drawings) > 1 else WIDTH / 2, 3.0 * rows + 0.2)
    panels = numpy.atleast_1d(figure.subplots(rows, 2 if len(drawings) > 1 else 1)).ravel()
    told = []
    for panel, (title, draw) in zip(panels, drawings):
        told += draw(panel) or []
        panel.set_title(title)
    for panel in panels[len(drawings):]:
        panel.set_visible(False)
    caption = "By update: thin line, as measured; thick line, running mean." if "steps/loss" in curves else ""
    return _finish(figure, f"{name}-training-curves",
                   "Training curves: " + ("; ".join(told) or ", ".join(title for title, _ in drawings)) + ".", caption)


@styled
def comparison(name, curves, target, metric="accuracy"):
    """curves: (label, updates [n], accuracy [seeds, n], operations [n]). Operations that are NaN are unknown: no line by compute."""
    figure = _figure(WIDTH, 3.9)
    panels = figure.subplots(1, 2)
    title, told = metric if metric.startswith("mAP") else metric.capitalize(), []
    unknown = {label for label, _, _, operations in curves if not numpy.isfinite(operations).any()}
    for panel, by_compute in zip(panels, (False, True)):
        ends = []
        for index, (label, updates, accuracy, operations) in enumerate(curves):
            if by_compute and label in unknown:
                continue
            x = numpy.asarray(operations) / 1e9 if by_compute else updates
            band, look = runs.band_of(accuracy), style.line(index)
            look["markevery"] = max(1, len(x) // 10)
            panel.fill_between(x, band.low, band.high, color=look["color"], alpha=0.16, linewidth=0)
            panel.plot(x, band.middle, **look)
            ends.append((band.middle[-1], label, look["color"]))
            if not by_compute:
                told.append(f"{label} ends at {style.percent(band.middle[-1])} after {style.number(updates[-1])} updates")
        panel.axhline(target, color=style.SOFT, linewidth=1.0, linestyle=(0, (2, 3)))
        panel.set_ylim(bottom=max(0.0, min([target - 0.15, *(end - 0.02 for end, _, _ in ends)])))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
        panel.set_title(f"{title} by " + ("compute, everything charged" if by_compute else "update"))
        panel.set_xlabel("GFLOP" if by_compute else "update")
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
        _label_lines(panel, [end for end in ends if by_compute or end[1] in unknown])
    seeds = max(len(accuracy) for _, _, accuracy, _ in curves)
    return _finish(figure, name, f"{title} against updates and compute: " + "; ".join(told) + ".",
                   f"Lines: mean over {seeds} seeds. Bands: from the lowest to the highest seed. Dotted: the target.")


@styled
def score_histogram(name, scores, batches):
    figure = _figure(WIDTH, 3.4 + 0.2 * max(0, len(batches) - 1))
    axes = figure.subplots()
    edges = scores.edges
    axes.stairs(scores.counts, edges, fill=True, **style.bar(0), label=f"all {scores.rows - scores.quarantined:,} rows")
    told = [f"scores from {style.number(scores.lowest.scores[0])} to {style.number(scores.highest.scores[0])}, "
            f"mean {style.number(scores.mean)}"]
    for index, batch in enumerate(batches):
        known = batch.scores[numpy.isfinite(batch.scores)]
        if not len(known):
            continue
        counts = numpy.histogram(numpy.clip(known, edges[0], edges[-1]), edges)[0]
        look = style.bar(index + 1)
        axes.stairs(counts, edges, fill=True, facecolor=look["color"], alpha=0.75 if len(batches) == 1 else 0.3,
                    hatch=look["hatch"] or "///", edgecolor="white", linewidth=0.0,
                    label=f"selected: {batch.name}, {len(known):,} rows from {style.number(known.min())}")
        axes.stairs(counts, edges, color=look["color"], linewidth=1.6, linestyle=style.LINES[index % 6])
        told.append(f"the {len(known):,} selected of {batch.name} from {style.number(known.min())} to "
                    f"{style.number(known.max())}")
    axes.set_yscale("log")
    axes.set_ylim(0.8, max(10.0, scores.counts.max() * 2.0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.set_ylabel("rows in a bin, log scale")
    axes.set_xlabel(f"{scores.acquisition} score (higher = picked first)")
    axes.set_title(scores.acquisition)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3, ncols=2 if len(batches) < 2 else 1)
    axes.margins(x=0.01)
    return _finish(figure, f"{name}-{scores.acquisition}", f"Histogram of {scores.acquisition}: " + "; ".join(told) + ".")


@styled
def class_shares(name, names, series, what="rows"):
    """Bars side by side. series: (label, counts by class); the first is the pool. Shares of what is labelled."""
    shares = [(label, counts / max(1, counts.sum())) for label, counts in series]
    shown = numpy.arange(len(names))
    caption = "Share of the labelled rows with each label." if what == "rows" else f"Share of the {what} of each class."
    if len(names) > MOST_CLASSES:
        caption += f" The {MOST_CLASSES} of {len(names)} classes " + (
            "whose shares differ most are shown." if len(shares) > 1 else "with the largest shares are shown.")
        rest = [share for _, share in shares[1:]] or [numpy.zeros(len(names))]
        difference = numpy.max([abs(share - shares[0][1]) for share in rest], axis=0)
        shown = numpy.sort(numpy.argsort(-difference, kind="stable")[:MOST_CLASSES])
    labels = [names[i] if len(names[i]) <= 18 else names[i][:17] + "…" for i in shown]
    crowded = sum(map(len, labels)) > 100 or len(labels) > 14
    legend_columns = max(1, min(len(shares), 110 // (6 + max(len(label) for label, _ in shares))))
    figure = _figure(WIDTH, 3.6 + 0.2 * -(-len(shares) // legend_columns) + 0.6 * crowded)
    axes = figure.subplots()
    width, handles = 0.8 / len(shares), []
    for index, (label, share) in enumerate(shares):
        places = numpy.arange(len(shown)) + (index - (len(shares) - 1) / 2) * width
        bars = axes.bar(places, share[shown], width * 0.94, **style.bar(index))
        handles.append(bars)
        if len(shown) * len(shares) <= 24:
            axes.bar_label(bars, [f"{100 * value:.0f}" for value in share[shown]], fontsize=7.5, color=style.SOFT,
                           padding=1.5)
    axes.set_xticks(range(len(shown)), labels, rotation=40 if crowded else 0, ha="right" if crowded else "center",
                    rotation_mode="anchor" if crowded else "default", color=style.INK)
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.margins(x=0.01)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
    axes.set_ylabel(f"share of {what}")
    axes.legend(handles, [label for label, _ in shares], loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=legend_columns, borderaxespad=0.3)
    told = [f"{label}: most often {names[int(share.argmax())]} ({style.percent(share.max())}), least often "
            f"{names[int(share.argmin())]} ({style.percent(share.min())})" for label, share in shares]
    return _finish(figure, f"{name}-classes", "Class make-up. " + "; ".join(told) + ".", caption)


def _horizontal(axes, labels, values, texts, looks, title):
    places = numpy.arange(len(labels))[::-1]
    for place, value, text, look in zip(places, values, texts, looks):
        axes.barh(place, value, 0.62, **look)
        axes.annotate(text, (value, place), (5, 0), textcoords="offset points", va="center", fontsize=9.5)
    axes.set_yticks(places, labels, color=style.INK)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlim(0, (max(values) or 1.0) * 1.2)
    axes.tick_params(axis="both", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)
    axes.set_title(title)


@styled
def noise_shares(name, series):
    """series: (label, wrong, compared); the first is the pool."""
    figure = _figure(WIDTH * 0.75, 0.5 + 0.42 * len(series))
    values = [wrong / max(1, compared) for _, wrong, compared in series]
    _horizontal(figure.subplots(), [label for label, _, _ in series], values, [style.percent(v) for v in values],
                [style.bar(i) for i in range(len(series))], "Wrong labels")
    told = [f"{label} {style.percent(value)}" for (label, _, _), value in zip(series, values)]
    return _finish(figure, f"{name}-noise", "Share of wrong labels: " + ", ".join(told) + ".")


TITLES = {"seconds": ("Seconds by phase", "s"), "flops": ("Floating-point operations by role", "FLOP"),
          "bytes": ("Bytes moved", "B")}


@styled
def ledger(name, kinds):
    """kinds: "flops" -> {role: number}, and so on; one panel each."""
    kinds = {kind: kinds[kind] for kind in (*TITLES, *sorted(set(kinds) - set(TITLES))) if kind in kinds}
    heights = [len(items) + 1.6 for items in kinds.values()]
    figure = _figure(WIDTH * 0.75, 0.31 * sum(heights))
    panels = numpy.atleast_1d(figure.subplots(len(kinds), 1, height_ratios=heights))
    told = []
    for panel, (index, (kind, items)) in zip(panels, enumerate(kinds.items())):
        title, unit = TITLES.get(kind, (kind.replace("_", " "), ""))
        ordered = sorted(items.items(), key=lambda item: -item[1])
        texts = [style.quantity(value, unit) for _, value in ordered]
        look = {"color": style.COLOURS[index % 6], "hatch": style.HATCHES[index % 6], "edgecolor": "white",
                "linewidth": 0.0}
        _horizontal(panel, [item.replace("_", " ") for item, _ in ordered], [value for _, value in ordered], texts,
                    [look] * len(ordered), title)
        told.append(f"{title}: " + ", ".join(f"{item} {text}" for (item, _), text in zip(ordered, texts)))
    return _finish(figure, f"{name}-ledger", ". ".join(told) + ".")
