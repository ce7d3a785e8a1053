"""Runs of `policy train`, and files of `policy evaluate`: how a policy learned, and what its batches are worth."""

import pathlib
import re
from dataclasses import dataclass, field

import numpy
from matplotlib.ticker import FuncFormatter, NullFormatter

from thresher_report import charts, picks, style
from thresher_report.runs import mean_and_spread

UPDATES, ENVIRONMENTS, PICKS, CANDIDATES = "updates/", "environments/", "picks/", "candidates/"
FACTS = ("random_mean", "random_deviation", "labels")  # of evaluate: no methods
KINDS = {"hard": "hardest", "easy": "easiest"}
FIDELITY = {"random": "random batches", "policy": "the policy's"}
MOST_DOTS = 2000
MOST_CANDIDATES = 60
LAST = 20  # updates that tell how a training ended
REFRESHES = 5  # and refreshes


@dataclass
class Training:
    curves: dict  # one value an update: gain, entropy, hard_share, ...
    refreshes: dict  # one value a refresh: refresh_update, predicted, retrained, ...
    shares: numpy.ndarray | None = None  # of the rollouts that picked a candidate, [snapshots, candidates]
    at: numpy.ndarray | None = None  # updates of the snapshots
    fidelity: dict = field(default_factory=dict)  # "random", "policy" -> (predicted, retrained) [environments, batches]
    warnings: list = field(default_factory=list)


def split_training(run):
    """Takes what belongs to the training of a policy out of `run`; nothing where it trained none."""
    if UPDATES + "gain" not in run.curves:
        return None
    found = {name.removeprefix(UPDATES): run.curves.pop(name) for name in list(run.curves) if name.startswith(UPDATES)}
    updates = len(found["gain"])
    training = Training({name: values for name, values in found.items() if len(values) == updates},
                        {name: values for name, values in found.items() if len(values) != updates})
    training.shares, training.at = run.grids.pop("picking/share", None), run.curves.pop("picking/update", None)
    for kind in ("random", "policy"):
        pair = [run.grids.pop(f"fidelity/{kind}_{what}", None) for what in ("predicted", "retrained")]
        if pair[0] is not None and pair[1] is not None:
            training.fidelity[kind] = tuple(pair)
    for name in [name for name in run.grids if name.startswith(CANDIDATES)]:
        del run.grids[name]
    training.warnings = warnings_in(pathlib.Path(run.path).parent / "log.txt")
    return training


def warnings_in(log):
    """What a run warned of, each once."""
    try:
        text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return list(dict.fromkeys(re.findall(r"^\S+ warning: (.*)$", text, re.MULTILINE)))


def training_rows(training):
    """(what, value) of how it ended."""
    rows = [("reward, in standard deviations of random batches", style.number(_last(training.curves["gain"])))]
    if "retrained_gain" in training.refreshes:
        known = training.refreshes["retrained_gain"]
        known = known[numpy.isfinite(known)]
        rows.append(("the same, retrained, at the last refresh with proposals", style.number(known[-1] if len(known) else numpy.nan)))
        off = training.refreshes["predicted"] - training.refreshes["retrained"]
        rows.append(("predicted less retrained metric of its batches, last refreshes", style.number(_last(off, REFRESHES))))
        rows.append(("root mean square error of these predictions", style.number(_last(training.refreshes["estimate_error"], REFRESHES))))
    for kind in training.fidelity:
        error, correlation = fidelity_of(training, kind)
        rows.append((f"estimates of {FIDELITY[kind]} off by, in standard deviations", style.number(error)))
        rows.append(("their rank correlation with retraining", style.number(correlation)))
    rows.append(("entropy, share of the uniform law's", style.percent(_last(training.curves["entropy"]))))
    for kind in KINDS:
        if numpy.isfinite(training.curves.get(f"{kind}_share", numpy.array([numpy.nan]))).any():
            rows.append((f"picks among the {KINDS[kind]} candidates", style.percent(_last(training.curves[f"{kind}_share"]))))
    return rows


def ranks(values):
    """From 0; equal values share their mean rank."""
    _, place, count = numpy.unique(values, return_inverse=True, return_counts=True)
    return (numpy.cumsum(count) - (count + 1) / 2)[place]


def rank_correlation(left, right):
    """Spearman's; NaN where all of a side are equal."""
    left, right = ranks(left), ranks(right)
    if left.std() == 0 or right.std() == 0:
        return numpy.nan
    return float(numpy.corrcoef(left, right)[0, 1])


def fidelity_of(training, kind):
    """(mean absolute error of the last estimates in standard deviations of random batches, their rank correlation with
    retraining), means over environments."""
    predicted, retrained = training.fidelity[kind]
    unit = training.fidelity["random"][1].std(axis=1, ddof=1)
    error = numpy.abs(predicted - retrained).mean(axis=1) / unit
    return float(error.mean()), float(numpy.nanmean([rank_correlation(*pair) for pair in zip(predicted, retrained)]))


def _last(values, count=LAST):
    known = values[-count:][numpy.isfinite(values[-count:])]
    return known.mean() if len(known) else numpy.nan


def _draw_gain(panel, training):
    charts._draw_steps(panel, training.curves["gain"], True)
    panel.axhline(0.0, color=style.SOFT, linewidth=1.0, linestyle=(0, (2, 3)))
    if "retrained_gain" in training.refreshes:
        panel.plot(training.refreshes["refresh_update"], training.refreshes["retrained_gain"], "s", color=style.COLOURS[1],
                   markersize=4.5, markerfacecolor="white", label="retrained at a refresh")
        panel.legend(loc="lower right")


def _draw_predictions(panel, training):
    updates, error = training.refreshes["refresh_update"], training.refreshes["estimate_error"]
    predicted, retrained = training.refreshes["predicted"], training.refreshes["retrained"]
    panel.fill_between(updates, predicted - error, predicted + error, color=style.COLOURS[0], alpha=0.16, linewidth=0)
    panel.plot(updates, predicted, **style.line(0), label="predicted ± error")
    panel.plot(updates, retrained, **style.line(1), label="retrained")
    panel.legend(loc="lower right")
    panel.set_xlabel("update")


def _draw_errors(panel, training):
    for index, (name, label) in enumerate((("estimate_error", "error of estimates"),
                                           ("retrained_spread", "spread of retrained rewards"))):
        panel.plot(training.refreshes["refresh_update"], training.refreshes[name], **style.line(index), label=label)
    panel.set_ylim(0.0, 1.35 * panel.get_ylim()[1])
    panel.legend(loc="upper left", ncols=2)
    panel.set_xlabel("update")


def _draw_entropy(panel, training):
    charts._draw_steps(panel, training.curves["entropy"], False)
    panel.set_ylim(0.0, max(1.02, numpy.nanmax(training.curves["entropy"])))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))


def _draw_shares(panel, training):
    for index, kind in enumerate(KINDS):
        x, y = charts._thin(training.curves[f"{kind}_share"])
        look = {name: value for name, value in style.line(index).items() if not name.startswith("marker")}
        panel.plot(x, charts._running_mean(y, max(5, len(y) // 40)), **look, label=KINDS[kind])
    panel.set_ylim(0.0, 1.02)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
    panel.legend(loc="upper right", ncols=2)
    panel.set_xlabel("update")


def _draw_fidelity(panel, training):
    ends = []
    for index, (kind, (predicted, retrained)) in enumerate(training.fidelity.items()):
        panel.plot(predicted.ravel()[:MOST_DOTS], retrained.ravel()[:MOST_DOTS], style.MARKERS[index], markersize=3.0, alpha=0.45,
                   color=style.COLOURS[index], label=FIDELITY[kind])
        ends += [predicted.min(), predicted.max()]
    panel.plot([min(ends), max(ends)], [min(ends), max(ends)], color=style.SOFT, linewidth=1.0, linestyle=(0, (2, 3)))
    panel.legend(loc="upper left")
    panel.set_xlabel("estimated by the table at the end")
    panel.set_ylabel("retrained")


def _draw_norm(panel, training):
    charts._draw_steps(panel, training.curves["gradient_norm"], False)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


PANELS = (
    ("Reward, standard deviations above random", ("gain",), _draw_gain),
    ("Metric of the policy's batches", ("predicted",), _draw_predictions),
    ("Entropy, share of the uniform law's", ("entropy",), _draw_entropy),
    ("Can the table tell rewards apart?", ("estimate_error", "retrained_spread"), _draw_errors),
    ("Picks among the 2 b hardest or easiest", ("hard_share", "easy_share"), _draw_shares),
    ("Metric of batches on reward points", ("fidelity",), _draw_fidelity),
    ("Norm of the gradient, log scale", ("gradient_norm",), _draw_norm),
)


@charts.styled
def training_chart(name, training):
    known = {**training.curves, **training.refreshes}
    if training.fidelity:
        known["fidelity"] = training.fidelity["policy"][0]
    drawn = [(title, draw) for title, needs, draw in PANELS
             if all(numpy.isfinite(known.get(need, numpy.array([]))).any() for need in needs)]
    rows = -(-len(drawn) // 2)
    figure = charts._figure(charts.WIDTH, 2.7 * rows)
    panels = numpy.atleast_1d(figure.subplots(rows, 2)).ravel()
    for panel, (title, draw) in zip(panels, drawn):
        draw(panel, training)
        panel.set_title(title)
    for panel in panels[len(drawn):]:
        panel.set_visible(False)
    told = "; ".join(f"{what} {value}" for what, value in training_rows(training))
    return charts._finish(figure, f"{name}-policy", f"Training of a policy, at its end: {told}.",
                          "Thin line, each update; thick line, running mean. The hardest candidates are those of the largest "
                          "entropy under the labelled set alone.")


@charts.styled
def heat_map(name, shares, at):
    """shares: of the rollouts that picked a candidate, [snapshots, candidates]; at: updates, [snapshots]."""
    order = numpy.argsort(-shares[-(len(shares) + 9) // 10:].mean(axis=0), kind="stable")[:MOST_CANDIDATES]
    figure = charts._figure(charts.WIDTH, 4.2)
    axes = figure.subplots()
    edges = numpy.concatenate([[at[0]], (at[:-1] + at[1:]) / 2, [at[-1]]]) if len(at) > 1 else numpy.array([at[0] - 0.5, at[0] + 0.5])
    mesh = axes.pcolormesh(edges, numpy.arange(len(order) + 1), shares[:, order].T, cmap="viridis", vmin=0.0,
                           vmax=max(1e-12, numpy.nanmax(shares)), rasterized=True)
    figure.colorbar(mesh, ax=axes, label="share of its batches that hold the candidate")
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_xlabel("update")
    axes.set_ylabel("candidates, the likeliest at the end first")
    last = shares[-1][order]
    return charts._finish(figure, f"{name}-picking", f"How often the policy picked {len(order)} of {shares.shape[1]} candidates over the "
                          f"training: at the end from {style.percent(last.min())} to {style.percent(last.max())}.",
                          "A row is a candidate, and grows bright as the policy learns to pick it."
                          + (f" The {len(order)} of {shares.shape[1]} that it picks most are shown." if len(order) < shares.shape[1] else ""))


def split_evaluation(run):
    """Takes method -> gains [environments] out of the curves of `policy evaluate`; nothing where it is another file."""
    if ENVIRONMENTS + "random_deviation" not in run.curves:
        return None
    found = {name.removeprefix(ENVIRONMENTS): run.curves.pop(name) for name in list(run.curves)
             if name.startswith(ENVIRONMENTS)}
    return {name: values for name, values in found.items() if name not in FACTS}


def split_picks(run):
    """Takes method -> {"classes", "distance": [environments]} of the picks out of the grids of `policy evaluate`: as
    picks.measure(), between the features of candidates; empty where the file tells of no picks."""
    taken = {name: run.grids.pop(name) for name in list(run.grids) if name.startswith((PICKS, CANDIDATES))}
    features, targets = taken.get(CANDIDATES + "features"), taken.get(CANDIDATES + "target")
    found = {}
    for name, batches in taken.items():
        if features is None or targets is None or not name.startswith(PICKS):
            continue
        batches = [batch[batch >= 0].astype(int) for batch in batches]  # shorter ones end in -1
        distances = [picks.nearest_distances(features[i][batch]) for i, batch in enumerate(batches)]
        found[name.removeprefix(PICKS)] = {
            "classes": numpy.array([picks.effective_classes(targets[i][batch].astype(int)) for i, batch in enumerate(batches)]),
            "distance": numpy.array([one.mean() if len(one) else numpy.nan for one in distances])}
    return found


def evaluation_table(gains, picked):
    """(columns, rows): mean gain, its standard error, in what share of the environments the policy is above; and of the
    picks the effective number of classes and the distance to the nearest other."""
    columns = ("chosen by", "mean", "standard error", "the policy is above in")
    rows = []
    for name, values in gains.items():
        mean, spread, count = mean_and_spread(values)
        above = "" if name == "policy" else style.percent((gains["policy"] > values).mean())
        row = (name, f"{mean:+.2f}", style.number(spread / max(1, count) ** 0.5), above)
        if picked:
            row += tuple(style.number(mean_and_spread(picked[name][what])[0]) if name in picked else "–"
                         for what in ("classes", "distance"))
        rows.append(row)
    return columns + (("classes in a batch", "distance to the nearest other pick") if picked else ()), rows


@charts.styled
def evaluation_chart(name, gains):
    """Mean gain of each method with its standard error, and a dot for each environment."""
    ordered = sorted(gains, key=lambda method: -numpy.nanmean(gains[method]))
    figure = charts._figure(charts.WIDTH * 0.75, 0.9 + 0.42 * len(ordered))
    axes = figure.subplots()
    places = numpy.arange(len(ordered))[::-1]
    for place, method in zip(places, ordered):
        mean, spread, count = mean_and_spread(gains[method])
        error = spread / count ** 0.5 if count > 1 else 0.0
        axes.barh(place, mean, 0.62, **style.bar(1 if method == "policy" else 0), xerr=error,
                  error_kw={"ecolor": style.INK, "elinewidth": 1.3, "capsize": 3})
        if count > 1:
            axes.plot(gains[method], numpy.full(len(gains[method]), place), ".", color=style.INK, alpha=0.35, markersize=4)
    axes.axvline(0.0, color=style.SOFT, linewidth=1.0)
    axes.set_yticks(places, ordered, color=style.INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlabel("standard deviations of random batches above their mean, on test points")
    told = ", ".join(f"{method} {numpy.nanmean(gains[method]):+.2f}" for method in ordered)
    count = len(next(iter(gains.values())))
    return charts._finish(figure, f"{name}-gains", f"Gain over random batches: {told}.",
                          f"Bars: mean over {count} environments, with its standard error; dots: environments."
                          if count > 1 else "One environment.")
