"""The forest plot: every criterion's estimate and interval against where its claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lpca.base.numbers import PERCENT, POINTS, RATIO, Unit, level, number
from lpca.evidence.model import CriterionResult, Evidence
from lpca.gatespec.claims import unit_of
from lpca.report.figures import style
from lpca.report.figures.style import LEFT, LINE, MARGIN, PLOT, RIGHT, write_right
from lpca.stats.claims import beyond
from lpca.stats.tables import Interval

LABELS: Mapping[Unit, str] = {
    PERCENT: "success rate",
    POINTS: "difference of success rates, episode by episode, in points",
    RATIO: "ratio of success rates",
}
ID_WIDTH, CLAIM_WIDTH = 30, 37
PADDING = 0.09
HATCHED: Mapping[str, Any] = {"hatch": "////", "fill": False}
"""Where there is nothing to read."""


@dataclass(frozen=True)
class CriterionRow:
    """A criterion as it is drawn."""

    label: str
    result: CriterionResult

    @property
    def unit(self) -> Unit:
        """What its numbers are shown in: one panel is drawn for each."""
        return unit_of(self.result.claim)

    @property
    def region(self) -> Interval:
        """Where its claim holds: the margins are the evidence's, the claim says on which side."""
        if len(self.result.margins) == 2:
            return Interval(*self.result.margins)
        (margin,) = self.result.margins
        return beyond(margin, "<" if self.result.claim.region.low == -math.inf else ">")

    @property
    def lines(self) -> tuple[list[str], list[str]]:
        """Its name and its claim, as they stand beside the plot."""
        label = self.label if self.result.decides else f"{self.label} (warns only)"
        claim = self.result.text
        return style.wrapped(label, ID_WIDTH, 3), style.wrapped(claim, CLAIM_WIDTH, 2)

    @property
    def height(self) -> float:
        """In inches."""
        return sum(map(len, self.lines)) * LINE + PADDING

    @property
    def numbers(self) -> list[float]:
        """Margins, estimate and interval, as far as there are any."""
        result = self.result
        estimate = [] if result.estimate is None else [result.estimate]
        interval = [result.interval.low, result.interval.high] if result.interval else []
        return [*result.margins, *estimate, *interval]


def forest_blocks(evidence: Evidence) -> Iterator[style.Block]:
    """The criteria of the required gates, then the gate's own, and the key to marks and shades.

    One panel is drawn for each unit that they are in.
    """
    rows = [
        CriterionRow(f"{gate.name}: {result.id}", result)
        for gate in evidence.required
        for result in gate.criteria
    ]
    rows += [CriterionRow(result.id, result) for result in evidence.criteria]
    for unit in LABELS:
        if own := [row for row in rows if row.unit is unit]:
            yield style.Block(sum(row.height for row in own), partial(_draw, unit, own), below=0.5)
    present = [verdict for verdict in style.MARKS if any(r.result.verdict == verdict for r in rows)]
    yield style.Block(0.32, partial(_draw_key, present), wide=True)


def _draw(unit: Unit, rows: Sequence[CriterionRow], axes: Axes) -> None:
    low, high = _limits(unit, rows)
    axes.set_xlim(low, high)
    axes.set_xlabel(LABELS[unit])
    axes.spines["left"].set_visible(False)
    if unit is RATIO:
        _logarithmic(axes)
    elif unit is PERCENT:
        style.rate_ticks(axes.xaxis)
    else:
        axes.xaxis.set_major_formatter(lambda at, _: number(at, unit).replace("-", "−"))
    neutral = 1.0 if unit is RATIO else 0.0
    if low < neutral < high:
        axes.axvline(neutral, color=style.MUTED, linewidth=0.7, zorder=1)
    span = {"xmin": (MARGIN - LEFT) / PLOT, "xmax": 1 + (RIGHT - MARGIN) / PLOT}
    top = 0.0
    for row in rows:
        _draw_row(axes, row, top, top + row.height)
        top += row.height
        if row is not rows[-1]:
            axes.axhline(top, color=style.GROUND, linewidth=0.6, clip_on=False, zorder=0, **span)


def _limits(unit: Unit, rows: Sequence[CriterionRow]) -> tuple[float, float]:
    """Everything finite is within; on the ratio's logarithmic scale zero lies beyond the edge."""
    if unit is PERCENT:
        return style.RATES
    values = [value for row in rows for value in row.numbers if math.isfinite(value)]
    if unit is RATIO:
        positive = [1.0, *(value for value in values if value > 0.0)]
        return min(positive) / 1.5, max(positive) * 1.5
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.06 * max(high - low, 0.05)
    return low - room, high + room


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    ticks = [step * 10.0**power for power in decades for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.set_xticks([], minor=True)


def _draw_row(axes: Axes, row: CriterionRow, top: float, bottom: float) -> None:
    ids, claim = row.lines
    for index, line in enumerate([*ids, *claim]):
        how: Any = {"weight": "bold"} if index < len(ids) else {"color": style.MUTED}
        at = top + PADDING / 2 + LINE * (index + 0.5)
        style.write_left(axes, at, line, size=7.2, **how)
    for margin in row.result.margins:
        dashed: Any = {"color": style.INK, "linewidth": 1.0, "linestyle": (0, (2, 1))}
        ends = [top + 0.03, bottom - 0.03]
        axes.plot([margin, margin], ends, label=f"margin {row.label}", **dashed)
    verdict, y = row.result.verdict, top + row.height / 2
    named: Any = {"color": style.MARKS[verdict].colour, "weight": "bold", "size": 7.5}
    if row.result.interval is None:
        write_right(axes, y, verdict, **named)
        across, size = axes.get_yaxis_transform(), (1.0, row.height - 0.08)
        blank = {"transform": across, "label": f"unread {row.label}", "linewidth": 0.0, **HATCHED}
        axes.add_patch(Rectangle((0.0, top + 0.04), *size, edgecolor=style.FAINT, **blank))
        return
    write_right(axes, y - LINE / 2, verdict, **named)
    told = _numbers(row, row.result.interval)
    write_right(axes, y + LINE / 2, told, color=style.INK, size=7)
    low, high = axes.get_xlim()
    start, stop = max(low, row.region.low), min(high, row.region.high)
    holds = (start, top + 0.03), max(0.0, stop - start), row.height - 0.06
    axes.add_patch(Rectangle(*holds, facecolor=style.GROUND, edgecolor="none", zorder=0))
    _draw_interval(axes, row, row.result.interval, y)


def _draw_interval(axes: Axes, row: CriterionRow, interval: Interval, y: float) -> None:
    """What lies beyond the plot ends in an arrow at its edge."""
    estimate, mark = row.result.estimate, style.MARKS[row.result.verdict]
    edges = axes.get_xlim()
    ends = [max(interval.low, edges[0]), min(interval.high, edges[1])]
    style.draw_span(axes, ends, y, mark.colour, label=f"interval {row.label}")
    for value, end, arrow in ((interval.low, ends[0], "<"), (interval.high, ends[1], ">")):
        if value != end:
            axes.plot(end, y, arrow, color=mark.colour, markersize=5, clip_on=False, zorder=3)
    if estimate is not None:
        size, edge = 6 if mark.marker == "X" else 4.2, 0.4 if mark.filled else 1.1
        how: Any = {"markeredgewidth": edge, "label": f"estimate {row.label}", "zorder": 4}
        style.draw_mark(axes, max(estimate, edges[0]), y, mark, size, clip_on=False, **how)


def _numbers(row: CriterionRow, interval: Interval) -> str:
    unit = row.unit

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        told = number(value, unit, column=True, signed=unit is POINTS)
        return told.replace("-", "−")

    confidence = row.result.confidence
    at_level = "" if confidence is None else f"{level(confidence)}: "
    ends = f"{shown(interval.low)} to {shown(interval.high)}"
    return f"{shown(row.result.estimate)}   {at_level}{ends}"


def _draw_key(verdicts: Sequence[str], axes: Axes) -> None:
    x = 0.0
    for verdict in verdicts:
        mark = style.MARKS[verdict]
        if mark.marker:
            style.draw_mark(axes, x + 0.06, 0.07, mark, 6)
        else:
            axes.add_patch(Rectangle((x, 0.02), 0.13, 0.1, edgecolor=style.MUTED, **HATCHED))
        text = f"{verdict}: {mark.meaning}"
        axes.text(x + 0.18, 0.07, text, size=7, va="center", color=style.MUTED)
        x += 0.4 + 0.065 * len(text)
    note = "Shaded: where a claim holds; dashed: its margins. Line: the criterion's interval."
    axes.text(0.0, 0.07 + LINE * 1.2, note, size=7, va="center", color=style.MUTED)
