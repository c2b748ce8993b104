"""Success and likelihood of the right answer against the scale of the prefix."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.report.figures.style import BLUE, FAINT, MUTED, VERMILLION, picture

STYLES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "shuffle": {
            "color": VERMILLION,
            "marker": "s",
            "markersize": 8,
            "markerfacecolor": "none",
            "linestyle": "--",
        },
        "normal": {"color": BLUE, "marker": "o", "markersize": 4, "linestyle": "-"},
    }
)
DODGE = 0.004
"""How far apart the intervals of the two stand, as a share of the axis."""
REFERENCES: Mapping[str, Any] = MappingProxyType({"p0": (0, (1, 1.5)), "p1": (0, (5, 2))})


@picture
def scales_figure(sweep: Mapping[str, Any]) -> Figure:
    """Draw what `lpca diagnose` measured.

    Raises:
        FigureError: the sweep is incomplete.
    """
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes in (above, below):
        axes.axvline(1.0, color=FAINT, linewidth=0.8)
    _success(above, sweep)
    _likelihood(below, sweep)
    below.set_xlabel("scale of the prefix (1: as the codec gives it, 0: zeros)")
    below.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=4)
    above.set_title(
        f"{sweep['checkpoint']}, k = {sweep['k']}, receiver {sweep['receiver']['name']}\n"
        f"{sweep['n']} validation episodes: not a verdict; confirm a scale on fresh seeds",
        loc="left",
        size=9,
    )
    return figure


def _success(axes: Axes, sweep: Mapping[str, Any]) -> None:
    scales = [one["scale"] for one in sweep["scales"]]
    for name, style in STYLES.items():
        rates = [one[name]["successes"] / sweep["n"] for one in sweep["scales"]]
        axes.plot(scales, rates, label=name, **style)
        aside = DODGE * max(1.0, max(scales)) * (1 if name == "normal" else -1)
        for scale, one in zip(scales, sweep["scales"], strict=True):
            at = [scale + aside] * 2
            axes.plot(at, one[name]["interval"], color=style["color"], linewidth=1.2)
    for name, dashes in REFERENCES.items():
        rate = sweep["references"][name]["successes"] / sweep["n"]
        axes.axhline(rate, color=MUTED, linestyle=dashes, linewidth=1.0, label=name)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("success rate (likelihood)")


def _likelihood(axes: Axes, sweep: Mapping[str, Any]) -> None:
    scales = [one["scale"] for one in sweep["scales"]]
    for name, style in STYLES.items():
        values = [one[name]["nll"] for one in sweep["scales"]]
        axes.plot(scales, values, label=name, **style)
    for name, dashes in REFERENCES.items():
        value = sweep["references"][name]["nll"]
        axes.axhline(value, color=MUTED, linestyle=dashes, linewidth=1.0, label=name)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("right answer's −log p, nats")
