"""A grid's codecs as a forest: how much more its own message helps B than another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import POINTS, level, number
from lpca.report.figures import style

EFFECT = "normal - shuffle"
ROW, PADDING = 0.17, 0.1
UNMEASURED = "Not measured, not drawn: "

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
    every = {f"{name}, k = {k}" if several else name: own for (name, k), own in groups.items()}
    # a row of which nothing is known has nothing to be drawn; one that is measured in part has
    rows = [(name, own) for name, own in every.items() if any(map(_effect, own))]
    lacking = [name for name in every if name not in dict(rows)]
    head = style.Block(style.LINE * 3.2, partial(_head, table), 0.1, True)
    height = sum(_height(own) for _, own in rows)
    forest = [style.Block(height, partial(_draw, table, rows), 0.5)] if rows else []
    told = style.wrapped(UNMEASURED + "; ".join(lacking), 125, 4) if lacking else []
    below = style.LINE * len(told)
    return style.page([head, *forest, style.Block(0.3 + below, partial(_key, told), wide=True)])


def _effect(codec: Codec) -> Mapping[str, Any] | None:
    """What is drawn of a codec; None of one that is not measured."""
    found = codec.get("effects", {}).get(EFFECT)
    return None if codec["verdict"] is None else found


def _span(codecs: Sequence[Codec]) -> tuple[float, float]:
    """The axis: all that is known of the codecs, and 0, with some room."""
    known = [effect for codec in codecs if (effect := _effect(codec)) is not None]
    ends = [one[name] for one in known for name in ("low", "mean", "high")]
    values = [0.0, *(end for end in ends if end is not None)]
    room = max(0.06 * (max(values) - min(values)), 0.005)
    open_low, open_high = (any(one[end] is None for one in known) for end in ("low", "high"))
    low = -1.0 if open_low else min(values)
    high = 1.0 if open_high else max(values)
    return low - room, high + room


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
    axes.set_xlim(*_span([codec for _, own in rows for codec in own]))
    axes.xaxis.set_major_formatter(lambda at, _: number(at, POINTS, signed=True).replace("-", "−"))
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
    effect = _effect(codec)
    if effect is None:
        told = f"{seed}: {verdict or 'to be measured'}"
        style.write_right(axes, y, told, color=style.MUTED, size=7)
        return
    mark = style.MARKS[verdict]
    ends = zip((effect["low"], effect["high"]), axes.get_xlim(), strict=True)
    interval = [edge if end is None else end for end, edge in ends]
    name = f"{codec['row']} k={codec['k']} seed {seed}"
    style.draw_span(axes, interval, y, mark.colour, label=f"interval {name}")
    how: Any = {"label": f"estimate {name}", "zorder": 4, "clip_on": False}
    style.draw_mark(axes, effect["mean"], y, mark, 4.2, markeredgewidth=0.6, **how)
    style.write_right(axes, y, f"{seed}: {verdict}, {codec['signature']}", color=style.INK, size=7)


def _key(unmeasured: Sequence[str], axes: Axes) -> None:
    note = (
        "Filled circle: the gate passes; cross: it fails; hollow diamond: not decided. An interval "
        "that reaches 0:\nnothing shows that B reads this message. On the right: training seed, "
        "verdict, signature."
    )
    axes.text(0.0, 0.1, note, size=7, va="center", color=style.MUTED)
    for index, line in enumerate(unmeasured):
        at = 0.3 + style.LINE * (index + 0.3)
        axes.text(0.0, at, line, size=7, va="center", color=style.MUTED)
