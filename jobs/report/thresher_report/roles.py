"""Runs in which some ranks trained and others scored: who waited for whom, and how old the scores were that were used."""

import numpy

from thresher_report import charts, style

ROLES = ("learners", "actors")
DOINGS = ("computed", "waited", "communicated")
KINDS = (*ROLES, "staleness")  # of the ledger


def shares_of(ledger):
    """Role -> share of its time for each of DOINGS; roles that took no time are left out."""
    seconds = {role: numpy.array([ledger.get(role, {}).get(what, 0.0) for what in DOINGS]) for role in ROLES}
    return {role: values / values.sum() for role, values in seconds.items() if values.sum() > 0}


def staleness_of(ledger):
    """(updates behind [n], candidates [n]), from 0 to the most that was met."""
    counts = {int(updates): rows for updates, rows in ledger.get("staleness", {}).items()}
    behind = numpy.arange(max(counts, default=-1) + 1)
    return behind, numpy.array([counts.get(int(updates), 0.0) for updates in behind])


def table_rows(ledger):
    shares = shares_of(ledger)
    return [(role, *map(style.percent, shares[role]),
             style.quantity(sum(ledger[role].get(what, 0.0) for what in DOINGS), "s")) for role in shares]


@charts.styled
def chart(name, ledger):
    shares, (behind, rows) = shares_of(ledger), staleness_of(ledger)
    figure = charts._figure(charts.WIDTH, 2.6)
    times, ages = figure.subplots(1, 2, width_ratios=(3, 2))
    places = numpy.arange(len(shares))[::-1]
    begin = numpy.zeros(len(shares))
    for index, what in enumerate(DOINGS):
        widths = numpy.array([share[index] for share in shares.values()])
        times.barh(places, widths, 0.55, left=begin, label=what, **style.bar(index))
        for place, left, width in zip(places, begin, widths):
            if width >= 0.08:
                times.text(left + width / 2, place, f"{100 * width:.0f} %", ha="center", va="center", fontsize=9.5,
                           bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
        begin += widths
    times.set_yticks(places, list(shares), color=style.INK)
    times.set_xlim(0, 1)
    times.set_ylim(-0.6, len(shares) - 0.4)
    times.xaxis.set_visible(False)
    times.tick_params(axis="y", length=0)
    times.grid(False)
    times.set_title("Share of time", pad=26)
    times.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.3)
    share = rows / max(1.0, rows.sum())
    bars = ages.bar(behind, share, 0.8, **style.bar(0))
    if len(behind) <= 10:
        ages.bar_label(bars, [f"{100 * value:.0f} %" for value in share], fontsize=9.0, padding=1.5)
    ages.set_xticks(behind[::max(1, len(behind) // 10)])
    ages.yaxis.set_visible(False)
    ages.grid(False)
    ages.margins(y=0.15)
    ages.set_xlabel("updates behind")
    ages.set_title("Age of the scores used", pad=26)
    told = [f"{role} " + ", ".join(f"{what} {style.percent(value)}" for what, value in zip(DOINGS, values))
            for role, values in shares.items()]
    told += [f"scores {updates} updates behind {style.percent(value)}" for updates, value in zip(behind, share) if value]
    return charts._finish(figure, f"{name}-roles", "Who waited for whom: " + "; ".join(told) + ".")
