"""Success against bits: each row of a grid, and text cut short as the curve that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import level
from lpca.gatespec.model import TRUNCATED
from lpca.report.figures import style
from lpca.stats.verdicts import Verdict

WIDTH, HEIGHT = 8.0, 3.7
WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
CLOSE_BITS, CLOSE_RATE = 1.6, 0.025
"""The numbers of marks that are no further apart (as a factor, and in success) stand side by side.
"""
IN_THE_WAY = 0.08
"""A mark as near to the right, and no further up or down, leaves its neighbour's number the left.
"""

Codec = Mapping[str, Any]
Place = tuple[float, float]


def has_bits(table: Mapping[str, Any]) -> bool:
    """Whether a grid's gate has text cut short, beside codecs of known bits."""
    return any(TRUNCATED.among(one["conditions"]) for one in _readable(table))


@style.picture
def bits_figure(tables: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw one panel for each grid, and beside it what its numbered marks are.

    Args:
        tables: `table.json` of grids whose gates have conditions `p2_N`.

    Raises:
        FigureError: a table is incomplete or broken.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT * len(tables)), layout="constrained")
    grid = figure.add_gridspec(len(tables), 2, width_ratios=[2.1, 1])
    for row, table in enumerate(tables):
        axes, beside = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
        _draw(axes, table)
        beside.set_axis_off()
        for line, (number, name, told, mark) in enumerate(_list(table)):
            height = 1 - (line + 0.5) / 20
            style.draw_mark(beside, 0.03, height, mark, 5)
            beside.text(0.08, height, f"{number} {name}: {told}", size=7, va="center")
        beside.set_xlim(0, 1)
        beside.set_ylim(0, 1)
    return figure


def _readable(table: Mapping[str, Any]) -> list[Codec]:
    return [one for one in table["codecs"] if one.get("conditions")]


def _rows(table: Mapping[str, Any]) -> dict[str, list[Codec]]:
    """The codecs of each row at each k, as it is called."""
    found: dict[tuple[str, int], list[Codec]] = {}
    for one in table["codecs"]:
        found.setdefault((one["row"], one["k"]), []).append(one)
    names = [name for name, _ in found]
    return {
        f"{name}, k={k}" if names.count(name) > 1 else name: own for (name, k), own in found.items()
    }


def _mark(codecs: Sequence[Codec]) -> style.Mark:
    verdicts = {one["verdict"] for one in codecs}
    held = next((one.value for one in WORST_FIRST if one.value in verdicts), "NOT MEASURED")
    return style.MARKS[held]


def _list(table: Mapping[str, Any]) -> list[tuple[int, str, str, style.Mark]]:
    """What each numbered mark is: its verdicts, or why there is none to be drawn."""
    found = []
    for number, (name, codecs) in enumerate(_rows(table).items(), 1):
        verdicts = [one["verdict"] or "to be measured" for one in codecs]
        counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        several = len(codecs) > 1
        told = ", ".join(f"{count} {name}" if several else name for name, count in counts.items())
        found.append((number, name, told, _mark(codecs)))
    return found


def _draw(axes: Axes, table: Mapping[str, Any]) -> None:
    readable = _readable(table)
    conditions = readable[0]["conditions"]
    axes.set_xscale("log", base=10)
    axes.margins(x=0.08)
    axes.set_ylim(-0.03, 1.08)
    style.rate_ticks(axes.yaxis)
    axes.grid(color=style.FAINT, linewidth=0.4)
    guessed = conditions["p0"]
    axes.axhspan(guessed["low"], guessed["high"], color=style.FAINT, alpha=0.4, linewidth=0)
    cut = [conditions[name] for name in TRUNCATED.among(conditions)]
    cut = sorted((one for one in cut if one["bits"]), key=lambda one: float(one["bits"]))
    for one in cut:
        _interval(axes, one["bits"], one["low"], one["high"], style.BLUE)
    bits, rates = [one["bits"] for one in cut], [one["successes"] / one["n"] for one in cut]
    axes.plot(
        *(bits, rates),
        color=style.BLUE,
        marker="v",
        markerfacecolor="white",
        linestyle=(0, (1, 1.5)),
        linewidth=1,
        label="text cut to N bytes (p2_N); grey: no message (p0)",
    )
    _marks(axes, table)
    receiver = table["receiver"]
    style.set_title(
        axes,
        f"receiver {receiver['name']} ({receiver['dtype']}), n = {table['n']}, answers "
        f"{table['answers']}",
        f"{level(table['confidence'])} intervals; of several training seeds mean and outer ends",
    )
    low, high = axes.get_xlim()
    decades = [10**power for power in range(ceil(log10(low)), floor(log10(high)) + 1)]
    axes.set_xticks(decades, [f"{bits:,}" for bits in decades])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, high)
    axes.set_xlabel("bits a message: 8 × bytes of text; else the packet's capacity, an upper bound")
    axes.set_ylabel(f"success rate ({table['score']})")
    axes.legend(loc="lower right", fontsize=7)


def _marks(axes: Axes, table: Mapping[str, Any]) -> None:
    drawn: list[tuple[int, Place]] = []
    for number, codecs in enumerate(_rows(table).values(), 1):
        own = [one["conditions"]["normal"] for one in codecs if one.get("conditions")]
        bits = [one["bits"]["bits"] for one in codecs if one.get("bits")]
        if not own or not bits:
            continue
        at, rate = sum(bits) / len(bits), sum(one["successes"] / one["n"] for one in own) / len(own)
        mark = _mark(codecs)
        low, high = min(one["low"] for one in own), max(one["high"] for one in own)
        _interval(axes, at, low, high, mark.colour)
        style.draw_mark(axes, at, rate, mark, 5.5, zorder=4)
        drawn.append((number, (at, rate)))
    for place, (number, (at, rate)) in enumerate(drawn):
        left = any(
            CLOSE_BITS * at > bits > at and abs(there - rate) < IN_THE_WAY
            for _, (bits, there) in drawn
        )
        right = sum(_is_near((at, rate), before) for _, before in drawn[:place])
        axes.annotate(
            str(number),
            (at, rate),
            (-5, 2) if left else (5 + 9 * right, 2),
            textcoords="offset points",
            size=7.5,
            weight="bold",
            ha="right" if left else "left",
            zorder=5,
        )


def _is_near(one: Place, other: Place) -> bool:
    (bits, rate), (bits_there, rate_there) = one, other
    return (
        max(bits, bits_there) < CLOSE_BITS * min(bits, bits_there)
        and abs(rate - rate_there) < CLOSE_RATE
    )


def _interval(axes: Axes, bits: float, low: float, high: float, colour: str) -> None:
    axes.plot([bits, bits], [low, high], color=colour, linewidth=1.3, zorder=3)
