"""The forest plot: every criterion's estimate and interval against where its claim holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lpca.report.figures.page import LINE, PLOT, Block, wrapped
from lpca.report.figures.readings import Reading, Scale
from lpca.report.figures.style import FAINT, GROUND, INK, MARKS, MUTED

LABELS: Mapping[Scale, str] = MappingProxyType(
    {
        "rate": "success rate",
        "difference": "difference of success rates, episode by episode",
        "ratio": "ratio of success rates",
    }
)
LABEL_WIDTH = 37
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


def _label(row: Reading) -> list[str]:
    return [*wrapped(row.label, LABEL_WIDTH - 4, 2), *wrapped(row.result.text, LABEL_WIDTH, 2)]


def _height(row: Reading) -> float:
    return max(2, len(_label(row))) * LINE + PADDING


def _draw(scale: Scale, rows: Sequence[Reading], axes: Axes) -> None:
    low, high = _limits(scale, rows)
    axes.set_xlim(low, high)
    axes.set_xlabel(LABELS[scale])
    axes.spines["left"].set_visible(False)
    if low < 0.0 < high:
        axes.axvline(0.0, color=MUTED, linewidth=0.7, zorder=1)
    top = 0.0
    for row in rows:
        height = _height(row)
        _draw_row(axes, row, top, height)
        top += height
        axes.axhline(top, color="#eeeeee", linewidth=0.6, xmin=-LINE, clip_on=False, zorder=0)


def _draw_row(axes: Axes, row: Reading, top: float, height: float) -> None:
    result, mark = row.result, MARKS[row.result.verdict]
    y = top + height / 2
    _draw_region(axes, row, top, height)
    lines = _label(row)
    ids = len(wrapped(row.label, LABEL_WIDTH - 4, 2))
    beside = axes.get_yaxis_transform()
    first = y - LINE * (len(lines) - 1) / 2
    for index, line in enumerate(lines):
        how: Any = {"weight": "bold", "size": 7.5} if index < ids else {"color": MUTED, "size": 7}
        at = first + LINE * index
        axes.text(-0.12 / PLOT, at, line, transform=beside, ha="right", va="center", **how)
    verdict_at, numbers_at = y - LINE / 2, y + LINE / 2
    right: Any = {"transform": beside, "ha": "left", "va": "center"}
    x = 1 + 0.12 / PLOT
    if result.interval is None:
        axes.text(x, y, result.verdict, color=mark.colour, weight="bold", size=7.5, **right)
        area = (0.0, top + 0.04), 1.0, height - 0.08
        hatch = Rectangle(*area, transform=beside, hatch="////", fill=False, edgecolor=FAINT)
        hatch.set_linewidth(0.0)
        hatch.set_label(f"unread {row.label}")
        axes.add_patch(hatch)
        return
    axes.text(x, verdict_at, result.verdict, color=mark.colour, weight="bold", size=7.5, **right)
    axes.text(x, numbers_at, _numbers(row), color=INK, size=7, **right)
    _draw_interval(axes, row, y)


def _draw_region(axes: Axes, row: Reading, top: float, height: float) -> None:
    """Shade where the claim holds, and draw its margins."""
    low, high = axes.get_xlim()
    start, stop = max(low, row.region.low), min(high, row.region.high)
    area = (start, top + 0.03), max(0.0, stop - start), height - 0.06
    axes.add_patch(Rectangle(*area, facecolor=GROUND, edgecolor="none", zorder=0))
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
        shape = "|" if math.isfinite(value) else arrow
        axes.plot(end, y, shape, color=mark.colour, markersize=5, clip_on=False, zorder=3)
    if result.estimate is not None:
        axes.plot(
            result.estimate,
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
    sign = "+" if row.scale == "difference" else ""

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return f"{value:{sign}.3f}".replace("-", "−")

    level = "" if result.confidence is None else f"{result.confidence:.0%}".replace("%", " % ")
    low, high = shown(result.interval.low), shown(result.interval.high)
    return f"{shown(result.estimate)}  {level}[{low}, {high}]"


def _limits(scale: Scale, rows: Sequence[Reading]) -> tuple[float, float]:
    if scale == "rate":
        return -0.01, 1.01
    values = [0.0]
    for row in rows:
        values += row.result.margins
        if row.result.estimate is not None:
            values.append(row.result.estimate)
        if row.result.interval is not None:
            ends = row.result.interval.low, row.result.interval.high
            values += [end for end in ends if math.isfinite(end)]
    low, high = min(values), max(values)
    room = 0.06 * max(high - low, 0.1)
    return (-room / 3 if scale == "ratio" else low - room), high + room


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
