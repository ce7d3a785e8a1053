"""The effect of labelling each single candidate (`env influence`), over the plane of their first two features."""

import numpy

from thresher_report import charts, style

PREFIX, PLACES = "influence/", ("candidates/x", "candidates/y")


def split(curves):
    """Takes what belongs to the influence of candidates out of `curves`; nothing unless all of it is there."""
    effects = {name: curves[name] for name in sorted(curves) if name.startswith(PREFIX)}
    if not effects or any(place not in curves for place in PLACES):
        return None
    if len({len(curve) for curve in [*effects.values(), *(curves[place] for place in PLACES)]}) > 1:
        return None
    taken = {name.removeprefix(PREFIX).replace("_", " "): curves.pop(name) for name in effects}
    x, y = (curves.pop(place) for place in PLACES)
    for name in [name for name in curves if name.startswith("candidates/")]:
        del curves[name]
    return x, y, taken


@charts.styled
def chart(name, x, y, effects):
    rows = (len(effects) + 1) // 2
    figure = charts._figure(charts.WIDTH, 4.2 * rows)
    for place, (effect, values) in enumerate(effects.items()):
        panel = figure.add_subplot(rows, 2, place + 1)
        most = numpy.nanpercentile(numpy.abs(values), 98) or 1.0  # a few extremes would hide the others
        dots = panel.scatter(x, y, c=values, cmap="coolwarm", vmin=-most, vmax=most, s=14)
        figure.colorbar(dots, ax=panel)
        panel.set_title(f"change of {effect}")
    return charts._finish(
        figure, f"influence-{name}", f"Effect of labelling each of {len(x)} candidates on " + ", ".join(effects),
        "Each dot is a candidate at its first two features; its colour is what labelling it alone changes.")


def table_rows(effects):
    return [(effect, style.number(values.mean()), style.number(values.min()), style.number(values.max()),
             f"{100 * (values > 0).mean():.0f} %") for effect, values in effects.items()]
