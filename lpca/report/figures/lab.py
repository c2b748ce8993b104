"""A grid's codecs as a forest: how much more its own message helps B than another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import level
from lpca.report.figures import style

EFFECT = "normal - shuffle"
ROW, PADDING = 0.17, 0.1
SPAN = (-1.02, 1.02)

Codec = Mapping[str, Any]


@style.picture
def lab_figure(table: Mapping[str, Any]) -> Figure:
    """Draw `normal - shuffle` of every codec of a grid, row by row, seed by seed.

    Args:
        table: a grid's `table.json`.

    Raises:
        FigureError: the table is incomplete or broken.
    """
    groups: dict[tuple[str, int], list[Codec]] = {}
    for codec in table["codecs"]:
        groups.setdefault((codec["row"], codec["k"]), []).append(codec)
    several = len({k for _, k in groups}) > 1
    rows = [(f"{name}, k = {k}" if several else name, own) for (name, k), own in groups.items()]
    head = style.Block(style.LINE * 3.2, partial(_head, table), 0.1, True)
    height = sum(_height(own) for _, own in rows)
    forest = style.Block(height, partial(_draw, table, rows), 0.5)
    return style.page([head, forest, style.Block(0.3, _key, wide=True)])


def _height(codecs: Sequence[Codec]) -> float:
    return ROW * len(codecs) + PADDING


def _head(table: Mapping[str, Any], axes: Axes) -> None:
    receiver = table["receiver"]
    title = style.wrapped(f"{table['name']}: does this message help more than another?", 90, 1)[0]
    axes.text(0.0, style.LINE * 0.9, title, size=11, weight="bold")
    small = (
        f"gate {table['gate']} · receiver {receiver['name']} ({receiver['dtype']}) · "
        f"n = {table['n']} · answers {table['answers']} · scored by {table['score']}"
    )
    axes.text(0.0, style.LINE * 2.2, style.wrapped(small, 120, 1)[0], size=8, color=style.MUTED)


def _draw(
    table: Mapping[str, Any], rows: Sequence[tuple[str, Sequence[Codec]]], axes: Axes
) -> None:
    axes.set_xlim(*SPAN)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−100", "−50", "0", "+50", "+100"])
    axes.spines["left"].set_visible(False)
    axes.axvline(0.0, color=style.MUTED, linewidth=0.8)
    interval = f"{level(table['confidence'])} interval"
    axes.set_xlabel(f"success, normal − shuffle, in points, with its paired {interval}")
    top = 0.0
    for name, codecs in rows:
        lines = [top + PADDING / 2 + ROW * (index + 0.5) for index in range(len(codecs))]
        for y, text in zip(lines, style.wrapped(name, 30, len(codecs)), strict=False):
            style.write_left(axes, y, text, size=7.5)
        for y, codec in zip(lines, codecs, strict=True):
            _codec(axes, codec, y)
        top += _height(codecs)
        axes.axhline(top, color=style.FAINT, linewidth=0.4)


def _codec(axes: Axes, codec: Codec, y: float) -> None:
    verdict, seed = codec["verdict"], codec["seed"]
    effect = codec.get("effects", {}).get(EFFECT)
    if verdict is None or effect is None:
        told = f"{seed}: {verdict or 'to be measured'}"
        style.write_right(axes, y, told, color=style.MUTED, size=7)
        return
    mark = style.MARKS[verdict]
    ends = zip((effect["low"], effect["high"]), SPAN, strict=True)
    interval = [edge if end is None else end for end, edge in ends]
    name = f"{codec['row']} k={codec['k']} seed {seed}"
    axes.plot(interval, [y, y], color=mark.colour, linewidth=1.6, label=f"interval {name}")
    style.draw_mark(axes, effect["mean"], y, mark, 5, label=f"estimate {name}", zorder=4)
    style.write_right(axes, y, f"{seed}: {verdict}, {codec['signature']}", color=style.INK, size=7)


def _key(axes: Axes) -> None:
    note = (
        "Filled circle: the gate passes; cross: it fails; hollow diamond: not decided. An interval "
        "that reaches 0:\nnothing shows that B reads this message. On the right: training seed, "
        "verdict, signature."
    )
    axes.text(0.0, 0.1, note, size=7, va="center", color=style.MUTED)
