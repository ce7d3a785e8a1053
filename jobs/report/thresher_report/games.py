"""Games of `env run`: the same choosers with batches of several sizes, side by side."""

import re

import numpy
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thresher_report import charts, style
from thresher_report.runs import mean_and_spread

NAME = re.compile(r"(.+)/b(\d+)")


def split(run):
    """Takes batch size -> {chooser -> loop} out of the loops of `run`; nothing unless all of them are games."""
    matches = {name: NAME.fullmatch(name) for name in run.loops}
    if not matches or not all(matches.values()):
        return None
    games = {}
    for name, match in matches.items():
        games.setdefault(int(match[2]), {})[match[1]] = run.loops[name]
    run.loops = {}
    return dict(sorted(games.items()))


def at_end(loop, curve):
    """`curve` is "metric" or one of LOOP_CURVES. (mean, standard deviation, seeds) after the last round."""
    return mean_and_spread(loop[curve][:, -1])


def choosers_of(games):
    return list(dict.fromkeys(chooser for loops in games.values() for chooser in loops))


def table_rows(games, curve):
    rows = []
    for chooser in choosers_of(games):
        cells = []
        for loops in games.values():
            if chooser not in loops:
                cells.append("–")
                continue
            factor, digits = (100.0, 1) if curve == "metric" else (1.0, 3)
            mean, spread, _ = at_end(loops[chooser], curve)
            cells.append(f"{factor * mean:.{digits}f}" + (f" ± {factor * spread:.{digits}f}" if numpy.isfinite(spread) else ""))
        rows.append((chooser, *cells))
    return rows


@charts.styled
def chart(name, games, metric):
    figure = charts._figure(charts.WIDTH, 5.6)
    panels = figure.subplots(2, len(games), sharex=True, sharey="row", squeeze=False)
    choosers, told = choosers_of(games), []
    for column, (batch, loops) in enumerate(games.items()):
        for row, curve in enumerate(("metric", "test_loss")):
            panel = panels[row][column]
            for index, chooser in enumerate(choosers):
                if chooser not in loops:
                    continue
                labelled, values = loops[chooser]["labelled"].mean(axis=0), loops[chooser][curve]
                middle, look = values.mean(axis=0), style.line(index)
                look.update(label=chooser, markersize=4.0, markevery=max(1, len(middle) // 8))
                if len(values) > 1:
                    error = values.std(axis=0, ddof=1) / len(values) ** 0.5
                    panel.fill_between(labelled, middle - error, middle + error, color=look["color"], alpha=0.12, linewidth=0)
                panel.plot(labelled, middle, **look)
            panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0][column].set_title(f"batches of {batch}")
        panels[1][column].set_xlabel(metric.labelled)
        told.append(f"in batches of {batch}: " + ", ".join(
            f"{chooser} {style.percent(at_end(loop, 'metric')[0])}" for chooser, loop in loops.items()))
    panels[0][0].yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.4g} %"))
    panels[0][0].set_ylabel(metric.name)
    panels[1][0].set_ylabel(metric.loss_title.lower())
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=min(6, len(choosers)))
    seeds = max(len(loop["labelled"]) for loops in games.values() for loop in loops.values())
    return charts._finish(figure, f"{name}-games", f"{metric.title} with all labels, " + "; ".join(told) + ".",
                          f"Lines: mean over {seeds} environments. Bands: its standard error.")
