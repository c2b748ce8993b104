"""What `lpca diagnose` measured beside scales: reversals and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.report.figures.style import BLUE, FAINT, MUTED, VERMILLION, picture


@picture
def reversals_figure(part: Mapping[str, Any], title: str) -> Figure:
    """Draw each episode's NLL with its own and another's message, and who reverses.

    Raises:
        FigureError: the part is incomplete.
    """
    figure = Figure(figsize=(8.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _scatter(left, part["episodes"])
    _shares(right, part["reversed"])
    figure.suptitle(title, x=0.01, ha="left", size=9)
    return figure


@picture
def noise_figure(part: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw success and NLL against the size of the noise.

    Raises:
        FigureError: the part is incomplete.
    """
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [one["size"] for one in part]
    rates = [one["successes"] / one["n"] for one in part]
    left.plot(sizes, rates, color=BLUE, marker="o", markersize=4)
    for one in part:
        left.plot([one["size"]] * 2, one["interval"], color=BLUE, linewidth=1.2)
    left.set_ylim(-0.03, 1.03)
    left.set_ylabel("success rate (likelihood)")
    right.plot(sizes, [one["nll"] for one in part], color=BLUE, marker="o", markersize=4)
    right.set_ylim(bottom=0.0)
    right.set_ylabel("right answer's −log p, nats")
    for axes in (left, right):
        axes.set_xlabel("noise / norm of the prefix")
    figure.suptitle(title, x=0.01, ha="left", size=9)
    return figure


def _scatter(axes: Axes, episodes: Sequence[Mapping[str, Any]]) -> None:
    normal = [one["nll"]["normal"] for one in episodes]
    shuffled = [one["nll"]["shuffle"] for one in episodes]
    most = 1.05 * max(*normal, *shuffled, 0.1)
    axes.plot([0, most], [0, most], color=FAINT, linewidth=1.0)
    for turned, colour, marker in ((False, BLUE, "o"), (True, VERMILLION, "x")):
        rows = zip(episodes, normal, shuffled, strict=True)
        pairs = [(a, b) for one, a, b in rows if one["reversed"] == turned]
        name = "reversed" if turned else "not reversed"
        axes.scatter(
            [a for a, _ in pairs],
            [b for _, b in pairs],
            s=14,
            color=colour,
            marker=marker,
            label=f"{name}: {len(pairs)}",
            linewidths=1.0,
        )
    axes.set_xlabel("−log p of the right answer, normal (nats)")
    axes.set_ylabel("the same, shuffle")
    axes.legend(loc="best")


def _shares(axes: Axes, found: Mapping[str, Any]) -> None:
    rows = [("all", found)]
    rows += [
        (f"{name}: {one['kind']}", one) for name, kinds in found["by"].items() for one in kinds
    ]
    for at, (_, one) in enumerate(rows):
        axes.plot(one["interval"], [at, at], color=BLUE, linewidth=1.2)
        axes.plot([one["reversed"] / one["n"]], [at], color=BLUE, marker="o", markersize=4)
    axes.set_yticks(range(len(rows)), [f"{name} (n = {one['n']})" for name, one in rows])
    axes.axvline(found["reversed"] / found["n"], color=MUTED, linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("share reversed, with interval")
