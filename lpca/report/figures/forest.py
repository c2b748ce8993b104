"""The forest plot: every criterion's estimate and interval against where its claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lpca.base.numbers import PERCENT, POINTS, RATIO, Unit, level, number
from lpca.evidence.model import CriterionResult, Evidence
from lpca.report.figures.page import (
    LEFT,
    LINE,
    MARGIN,
    PLOT,
    RIGHT,
    Block,
    wrapped,
    write_left,
    write_right,
)
from lpca.report.figures.style import FAINT, GROUND, INK, MARKS, MUTED, draw_mark
from lpca.stats.claims import Band, Claim, Rate, Ratio, beyond
from lpca.stats.tables import Interval

Scale = Literal["rate", "difference", "ratio"]
UNITS: Mapping[Scale, Unit] = MappingProxyType(
    {"rate": PERCENT, "difference": POINTS, "ratio": RATIO}
)
LABELS: Mapping[Scale, str] = MappingProxyType(
    {
        "rate": "success rate in %",
        "difference": "difference of success rates in points, episode by episode",
        "ratio": "ratio of success rates",
    }
)
ID_WIDTH, CLAIM_WIDTH = 30, 37
PADDING = 0.09


@dataclass(frozen=True)
class CriterionRow:
    """A criterion as it is drawn: `region` is where its claim holds, on its `scale`."""

    label: str
    result: CriterionResult
    scale: Scale
    region: Interval

    @property
    def lines(self) -> tuple[list[str], list[str]]:
        """Its name and its claim, as they stand beside the plot."""
        return wrapped(self.label, ID_WIDTH, 3), wrapped(self.result.text, CLAIM_WIDTH, 2)

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


def criterion_rows(evidence: Evidence) -> list[CriterionRow]:
    """The criteria of the required gates, then the gate's own."""
    required = [
        _row(f"{gate.name}: {result.id}", result)
        for gate in evidence.required
        for result in gate.criteria
    ]
    return [*required, *(_row(result.id, result) for result in evidence.criteria)]


def _row(label: str, result: CriterionResult) -> CriterionRow:
    return CriterionRow(label, result, _scale(result.claim), _region(result.claim, result.margins))


def _scale(claim: Claim) -> Scale:
    match claim:
        case Rate() | Band():
            return "rate"
        case Ratio():
            return "ratio"
    return "difference"


def _region(claim: Claim, margins: tuple[float, ...]) -> Interval:
    """The margins are the evidence's; the claim says on which side of them it holds."""
    if len(margins) == 2:
        return Interval(*margins)
    (margin,) = margins
    return beyond(margin, "<" if claim.region.low == -math.inf else ">")


def forest_blocks(rows: Sequence[CriterionRow]) -> Iterator[Block]:
    """One panel for each scale that the criteria are on, then the key to marks and shades."""
    for scale in LABELS:
        if own := [row for row in rows if row.scale == scale]:
            yield Block(sum(row.height for row in own), partial(_draw, scale, own), below=0.5)
    present = [verdict for verdict in MARKS if any(r.result.verdict == verdict for r in rows)]
    yield Block(0.32, partial(_draw_key, present), wide=True)


def _draw(scale: Scale, rows: Sequence[CriterionRow], axes: Axes) -> None:
    low, high = _limits(scale, rows)
    axes.set_xlim(low, high)
    axes.set_xlabel(LABELS[scale])
    axes.spines["left"].set_visible(False)
    if scale == "ratio":
        _logarithmic(axes)
    else:
        unit = UNITS[scale]
        axes.xaxis.set_major_formatter(lambda at, _: number(at, unit).replace("-", "−"))
    neutral = 1.0 if scale == "ratio" else 0.0
    if low < neutral < high:
        axes.axvline(neutral, color=MUTED, linewidth=0.7, zorder=1)
    span = {"xmin": (MARGIN - LEFT) / PLOT, "xmax": 1 + (RIGHT - MARGIN) / PLOT}
    top = 0.0
    for row in rows:
        _draw_row(axes, row, top, top + row.height)
        top += row.height
        if row is not rows[-1]:
            axes.axhline(top, color=GROUND, linewidth=0.6, clip_on=False, zorder=0, **span)


def _limits(scale: Scale, rows: Sequence[CriterionRow]) -> tuple[float, float]:
    """Everything finite is within; on the ratio's logarithmic scale zero lies beyond the edge."""
    if scale == "rate":
        return -0.01, 1.01
    values = [value for row in rows for value in row.numbers if math.isfinite(value)]
    if scale == "ratio":
        positive = [1.0, *(value for value in values if value > 0.0)]
        return min(positive) / 1.5, max(positive) * 1.5
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.06 * max(high - low, 0.1)
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
        how: Any = {"weight": "bold"} if index < len(ids) else {"color": MUTED}
        write_left(axes, top + PADDING / 2 + LINE * (index + 0.5), line, size=7.2, **how)
    for margin in row.result.margins:
        axes.plot(
            [margin, margin],
            [top + 0.03, bottom - 0.03],
            color=INK,
            linewidth=1.0,
            linestyle=(0, (2, 1)),
            label=f"margin {row.label}",
        )
    verdict, y = row.result.verdict, top + row.height / 2
    named: Any = {"color": MARKS[verdict].colour, "weight": "bold", "size": 7.5}
    if row.result.interval is None:
        write_right(axes, y, verdict, **named)
        _hatch(axes, row, top)
        return
    write_right(axes, y - LINE / 2, verdict, **named)
    write_right(axes, y + LINE / 2, _numbers(row, row.result.interval), color=INK, size=7)
    low, high = axes.get_xlim()
    start, stop = max(low, row.region.low), min(high, row.region.high)
    holds = (start, top + 0.03), max(0.0, stop - start), row.height - 0.06
    axes.add_patch(Rectangle(*holds, facecolor=GROUND, edgecolor="none", zorder=0))
    _draw_interval(axes, row, row.result.interval, y)


def _hatch(axes: Axes, row: CriterionRow, top: float) -> None:
    """Where there is nothing to read."""
    axes.add_patch(
        Rectangle(
            (0.0, top + 0.04),
            1.0,
            row.height - 0.08,
            transform=axes.get_yaxis_transform(),
            hatch="////",
            fill=False,
            edgecolor=FAINT,
            linewidth=0.0,
            label=f"unread {row.label}",
        )
    )


def _draw_interval(axes: Axes, row: CriterionRow, interval: Interval, y: float) -> None:
    """What lies beyond the plot ends in an arrow at its edge."""
    estimate, mark = row.result.estimate, MARKS[row.result.verdict]
    edges = axes.get_xlim()
    ends = [max(interval.low, edges[0]), min(interval.high, edges[1])]
    axes.plot(
        ends, [y, y], color=mark.colour, linewidth=1.8, label=f"interval {row.label}", zorder=3
    )
    for value, end, arrow in ((interval.low, ends[0], "<"), (interval.high, ends[1], ">")):
        shape = "|" if value == end else arrow
        axes.plot(end, y, shape, color=mark.colour, markersize=5, clip_on=False, zorder=3)
    if estimate is not None:
        size, edge = 7 if mark.marker == "X" else 5.5, 0.6 if mark.filled else 1.4
        how: Any = {"markeredgewidth": edge, "label": f"estimate {row.label}", "zorder": 4}
        draw_mark(axes, max(estimate, edges[0]), y, mark, size, **how)


def _numbers(row: CriterionRow, interval: Interval) -> str:
    unit = UNITS[row.scale]

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        told = number(value, unit, column=True, signed=unit is POINTS)
        return told.replace("-", "−")

    confidence = row.result.confidence
    at_level = "" if confidence is None else f"{level(confidence)} "
    ends = f"{shown(interval.low)}, {shown(interval.high)}"
    return f"{shown(row.result.estimate)}  {at_level}[{ends}]"


def _draw_key(verdicts: Sequence[str], axes: Axes) -> None:
    x = 0.0
    for verdict in verdicts:
        mark = MARKS[verdict]
        if mark.marker:
            draw_mark(axes, x + 0.06, 0.07, mark, 6)
        else:
            box = Rectangle((x, 0.02), 0.13, 0.1, hatch="////", fill=False, edgecolor=MUTED)
            axes.add_patch(box)
        text = f"{verdict}: {mark.meaning}"
        axes.text(x + 0.18, 0.07, text, size=7, va="center", color=MUTED)
        x += 0.4 + 0.065 * len(text)
    note = "Shaded: where a claim holds; dashed: its margins. Line: the criterion's interval."
    axes.text(0.0, 0.07 + LINE * 1.2, note, size=7, va="center", color=MUTED)
