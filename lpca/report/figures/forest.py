"""The forest plot: every criterion's estimate and interval against where its claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lpca.base.numbers import PERCENT, POINTS, RATIO, Unit, level, number
from lpca.report.figures.page import LEFT, LINE, MARGIN, PLOT, RIGHT, Block, wrapped
from lpca.report.figures.readings import Reading, Scale
from lpca.report.figures.style import FAINT, GROUND, INK, MARKS, MUTED

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


def forest_blocks(rows: Sequence[Reading]) -> list[Block]:
    """One panel for each scale that the criteria are on."""
    blocks = []
    for scale in LABELS:
        if own := [row for row in rows if row.scale == scale]:
            height = sum(map(_height, own))
            blocks.append(Block(height, partial(_draw, scale, own), below=0.5))
    return blocks


def key_block(rows: Sequence[Reading]) -> Block:
    """What marks and shades mean."""
    present = [verdict for verdict in MARKS if any(r.result.verdict == verdict for r in rows)]
    return Block(0.32, partial(_draw_key, present), wide=True)


def _label(row: Reading) -> tuple[list[str], list[str]]:
    return wrapped(row.label, ID_WIDTH, 3), wrapped(row.result.text, CLAIM_WIDTH, 2)


def _height(row: Reading) -> float:
    return sum(map(len, _label(row))) * LINE + PADDING


def _draw(scale: Scale, rows: Sequence[Reading], axes: Axes) -> None:
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
        height = _height(row)
        _draw_row(axes, row, top, height)
        top += height
        if row is not rows[-1]:
            axes.axhline(top, color=GROUND, linewidth=0.6, clip_on=False, zorder=0, **span)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    ticks = [step * 10.0**power for power in decades for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.set_xticks([], minor=True)


def _draw_row(axes: Axes, row: Reading, top: float, height: float) -> None:
    _draw_label(axes, row, top)
    result, mark = row.result, MARKS[row.result.verdict]
    y = top + height / 2
    right: Any = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": "center"}
    bold: Any = {"weight": "bold", "size": 7.5}
    x = 1 + 0.12 / PLOT
    _draw_margins(axes, row, top, height)
    if result.interval is None:
        axes.text(x, y, result.verdict, color=mark.colour, **bold, **right)
        _hatch(axes, row, top, height)
        return
    axes.text(x, y - LINE / 2, result.verdict, color=mark.colour, **bold, **right)
    axes.text(x, y + LINE / 2, _numbers(row), color=INK, size=7, **right)
    _shade(axes, row, top, height)
    _draw_interval(axes, row, y)


def _draw_label(axes: Axes, row: Reading, top: float) -> None:
    ids, claim = _label(row)
    left: Any = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
    for index, line in enumerate([*ids, *claim]):
        how: Any = {"weight": "bold"} if index < len(ids) else {"color": MUTED}
        y = top + PADDING / 2 + LINE * (index + 0.5)
        axes.text(-0.12 / PLOT, y, line, size=7.2, **how, **left)


def _hatch(axes: Axes, row: Reading, top: float, height: float) -> None:
    """Where there is nothing to read."""
    axes.add_patch(
        Rectangle(
            (0.0, top + 0.04),
            1.0,
            height - 0.08,
            transform=axes.get_yaxis_transform(),
            hatch="////",
            fill=False,
            edgecolor=FAINT,
            linewidth=0.0,
            label=f"unread {row.label}",
        )
    )


def _shade(axes: Axes, row: Reading, top: float, height: float) -> None:
    """Where the claim holds."""
    low, high = axes.get_xlim()
    start, stop = max(low, row.region.low), min(high, row.region.high)
    area = (start, top + 0.03), max(0.0, stop - start), height - 0.06
    axes.add_patch(Rectangle(*area, facecolor=GROUND, edgecolor="none", zorder=0))


def _draw_margins(axes: Axes, row: Reading, top: float, height: float) -> None:
    for margin in row.result.margins:
        axes.plot(
            [margin, margin],
            [top + 0.03, top + height - 0.03],
            color=INK,
            linewidth=1.0,
            linestyle=(0, (2, 1)),
            label=f"margin {row.label}",
        )


def _draw_interval(axes: Axes, row: Reading, y: float) -> None:
    result, mark = row.result, MARKS[row.result.verdict]
    assert result.interval is not None
    edges = axes.get_xlim()
    low, high = result.interval.low, result.interval.high
    ends = [max(low, edges[0]), min(high, edges[1])]
    axes.plot(
        ends, [y, y], color=mark.colour, linewidth=1.8, label=f"interval {row.label}", zorder=3
    )
    for value, end, arrow in ((low, ends[0], "<"), (high, ends[1], ">")):
        shape = "|" if value == end else arrow
        axes.plot(end, y, shape, color=mark.colour, markersize=5, clip_on=False, zorder=3)
    if result.estimate is not None:
        axes.plot(
            max(result.estimate, edges[0]),
            y,
            mark.marker,
            color=mark.colour,
            markerfacecolor=mark.colour if mark.filled else "white",
            markersize=7 if mark.marker == "X" else 5.5,
            markeredgewidth=1.4 if mark.filled is False else 0.6,
            label=f"estimate {row.label}",
            zorder=4,
        )


def _numbers(row: Reading) -> str:
    result = row.result
    assert result.interval is not None
    unit = UNITS[row.scale]

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        signed = unit is POINTS
        return number(value, unit, column=True, signed=signed).replace("-", "−")

    confidence = "" if result.confidence is None else f"{level(result.confidence)} "
    low, high = shown(result.interval.low), shown(result.interval.high)
    return f"{shown(result.estimate)}  {confidence}[{low}, {high}]"


def _limits(scale: Scale, rows: Sequence[Reading]) -> tuple[float, float]:
    """Everything finite is within; on the ratio's logarithmic scale zero lies beyond the edge."""
    if scale == "rate":
        return -0.01, 1.01
    values = [value for row in rows for value in _values(row) if math.isfinite(value)]
    if scale == "ratio":
        positive = [1.0, *(value for value in values if value > 0.0)]
        return min(positive) / 1.5, max(positive) * 1.5
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.06 * max(high - low, 0.1)
    return low - room, high + room


def _values(row: Reading) -> Iterator[float]:
    yield from row.result.margins
    if row.result.estimate is not None:
        yield row.result.estimate
    if row.result.interval is not None:
        yield from (row.result.interval.low, row.result.interval.high)


def _draw_key(verdicts: Sequence[str], axes: Axes) -> None:
    x = 0.0
    for verdict in verdicts:
        mark = MARKS[verdict]
        if mark.marker:
            face = mark.colour if mark.filled else "white"
            axes.plot(
                x + 0.06, 0.07, mark.marker, color=mark.colour, markerfacecolor=face, markersize=6
            )
        else:
            box = Rectangle((x, 0.02), 0.13, 0.1, hatch="////", fill=False, edgecolor=MUTED)
            axes.add_patch(box)
        text = f"{verdict}: {mark.meaning}"
        axes.text(x + 0.18, 0.07, text, size=7, va="center", color=MUTED)
        x += 0.4 + 0.065 * len(text)
    note = "Shaded: where a claim holds; dashed: its margins. Line: the criterion's interval."
    axes.text(0.0, 0.07 + LINE * 1.2, note, size=7, va="center", color=MUTED)
