"""A page of panels, measured in inches from its top: labels keep their size, the page grows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0
LEFT, RIGHT = 2.3, 2.05
"""Beside a panel: room for labels and for numbers."""
MARGIN = 0.2
LINE = 0.145
"""Height of a line of small text."""
PLOT = WIDTH - LEFT - RIGHT
GAP = 0.12
"""Between a panel and what stands beside it."""


@dataclass(frozen=True)
class Block:
    """One panel: its height, room below it, and what draws it; y counts inches from its top.

    A `wide` block spans the page and x counts inches too; another one is a plot.
    """

    height: float
    draw: Callable[[Axes], None]
    below: float = 0.0
    wide: bool = False


def page(blocks: Sequence[Block]) -> Figure:
    """Put blocks below one another."""
    height = sum(block.height + block.below for block in blocks) + 2 * MARGIN
    figure = Figure(figsize=(WIDTH, height))
    top = MARGIN
    for block in blocks:
        left, width = (MARGIN, WIDTH - 2 * MARGIN) if block.wide else (LEFT, PLOT)
        bottom = height - top - block.height
        axes = figure.add_axes(
            (left / WIDTH, bottom / height, width / WIDTH, block.height / height)
        )
        axes.set_ylim(block.height, 0.0)
        axes.set_yticks([])
        if block.wide:
            axes.set_xlim(0.0, width)
            axes.set_axis_off()
        block.draw(axes)
        top += block.height + block.below
    return figure


def write_left(axes: Axes, y: float, text: str, **how: Any) -> None:
    """Write a plot's label to the left of it."""
    across = axes.get_yaxis_transform()
    axes.text(-GAP / PLOT, y, text, transform=across, ha="right", va="center", **how)


def write_right(axes: Axes, y: float, text: str, **how: Any) -> None:
    """Write to the right of a plot."""
    across = axes.get_yaxis_transform()
    axes.text(1 + GAP / PLOT, y, text, transform=across, ha="left", va="center", **how)


def wrapped(text: str, width: int, most: int) -> list[str]:
    """Text in lines of `width` characters, `most` of them; what is left out is marked.

    A_name_that_is_longer_than_a_line is broken after its underscores.
    """
    words = (word if len(word) <= width else word.replace("_", "_ ") for word in text.split())
    lines = textwrap.wrap(" ".join(words), width, max_lines=most, placeholder=" …")
    return [line.replace("_ ", "_") for line in lines]
