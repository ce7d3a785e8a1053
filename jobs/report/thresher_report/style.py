"""How charts look: light, printable, and readable without colour (line styles, markers, hatches, labels at the lines)."""

import numpy

INK, SOFT, GRID = "#1f2933", "#5f6c7b", "#dde3ea"

# Okabe and Ito's colours, which people with any colour vision tell apart; no yellow, which print loses.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a4508b", "#b97b00", "#3b3f46")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#9aa5b1",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # names may hold $
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def line(index):
    """Keywords of the index-th line of a chart: the first six differ in all three, the first 36 in one at least."""
    turn = index // 6
    return {"color": COLOURS[index % 6], "linestyle": LINES[(index + turn) % 6], "marker": MARKERS[(index + 2 * turn) % 6],
            "markerfacecolor": "white", "markeredgewidth": 1.6}


def bar(index):
    """Keywords of the index-th series of bars: the first is pale and plain, the others filled and hatched."""
    if index == 0:
        return {"color": "#d3dae3", "edgecolor": "#7b8794", "linewidth": 0.8}
    return {"color": COLOURS[(index - 1) % 6], "edgecolor": "white", "hatch": HATCHES[(index - 1) % 6],
            "linewidth": 0.8}


def spread(places, gap):
    """Moves places apart until neighbours are at least `gap` apart, keeping their order and, nearly, their centre."""
    order = numpy.argsort(places, kind="stable")
    moved = numpy.asarray(places, dtype=float)[order]
    for _ in range(100):
        short = gap - numpy.diff(moved)
        if not (short > 1e-9).any():
            break
        for i in numpy.flatnonzero(short > 1e-9):
            moved[i] -= short[i] / 2
            moved[i + 1] += short[i] / 2
    result = numpy.empty_like(moved)
    result[order] = moved
    return result


def number(value):
    """A number for a person: 1,234 or 0.0123."""
    if value is None or not numpy.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.3g}"


def score(value):
    """A score under an image: always three digits, so that neighbours compare."""
    if not numpy.isfinite(value):
        return "no score"
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:#.3g}".rstrip(".")


def percent(share):
    return f"{100 * share:.1f} %" if numpy.isfinite(share) else "–"


def is_share(name):
    """Whether a curve of this name is told in percent."""
    return name.endswith("accuracy") or any(share in name.replace(" ", "_") for share in ("recall_at", "average_precision"))


def quantity(value, unit):
    """A number with its unit and an SI prefix, or for seconds minutes and hours."""
    if unit == "s":
        if value >= 3600:
            return f"{value / 3600:.1f} h"
        if value >= 120:
            return f"{value / 60:.1f} min"
        return f"{value:.3g} s" if value >= 0.1 or value == 0 else f"{1000 * value:.3g} ms"
    step = 1024.0 if unit == "B" else 1000.0
    prefixes = ("", "Ki", "Mi", "Gi", "Ti", "Pi") if unit == "B" else ("", "k", "M", "G", "T", "P", "E")
    index = 0
    while abs(value) >= step and index + 1 < len(prefixes):
        value /= step
        index += 1
    text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text} {prefixes[index]}{unit}".rstrip()
