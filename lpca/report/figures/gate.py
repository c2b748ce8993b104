"""One glance at a gate: its verdict, success per condition, and every criterion's estimate."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.evidence import Evidence
from lpca.report.figures.conditions import conditions_block
from lpca.report.figures.forest import forest_blocks, key_block
from lpca.report.figures.page import LINE, Block, page, wrapped
from lpca.report.figures.readings import in_words, name_of, readings, setting_of
from lpca.report.figures.style import INK, MARKS, MUTED, picture

MOST_REASONS = 8


@picture
def gate_figure(evidence: Evidence) -> Figure:
    """Draw one gate's evidence. Of an INVALID gate no criterion is drawn.

    Raises:
        FigureError: the evidence is incomplete.
    """
    blocks = [_head(evidence), conditions_block(evidence)]
    if not evidence.is_invalid:
        rows = readings(evidence)
        blocks += [*forest_blocks(rows), key_block(rows)]
    return page(blocks)


def _head(evidence: Evidence) -> Block:
    said = in_words(evidence)
    if len(said) > MOST_REASONS + 1:
        said = [*said[:MOST_REASONS], f"and {len(said) - MOST_REASONS} more"]
    lines = [line for one in said for line in wrapped(one, 105, 3)]
    small = [*wrapped(evidence.title, 95, 2), *wrapped(setting_of(evidence), 110, 3)]
    verdict_size = 30 if evidence.is_invalid else 17
    top = verdict_size / 72 + 0.08
    height = top + LINE * (len(small) + len(lines)) + 0.12
    return Block(height, partial(_draw_head, evidence, verdict_size, top, small, lines), 0.15, True)


def _draw_head(
    evidence: Evidence,
    size: int,
    top: float,
    small: list[str],
    lines: list[str],
    axes: Axes,
) -> None:
    verdict = evidence.verdict
    mark = MARKS[verdict]
    base = top - 0.1
    x = 0.0
    if mark.marker:
        face = mark.colour if mark.filled else "white"
        axes.plot(
            0.12,
            base - 0.085,
            mark.marker,
            color=mark.colour,
            markerfacecolor=face,
            markersize=13,
            markeredgewidth=2,
            clip_on=False,
        )
        x = 0.32
    title = axes.text(x, base, verdict, size=size, weight="bold", color=mark.colour)
    title.set_label("verdict")
    right = axes.get_xlim()[1]
    name = wrapped(name_of(evidence), 42, 1)[0]
    axes.text(right, base, name, size=13, weight="bold", ha="right")
    for index, line in enumerate([*small, *lines]):
        colour = INK if index >= len(small) or index == 0 else MUTED
        axes.text(0.0, top + LINE * (index + 0.8), line, color=colour, size=8)
