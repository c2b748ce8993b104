"""The panel of success rates, one row per condition."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from lpca.base.numbers import PERCENT, amount, level
from lpca.evidence import Evidence
from lpca.report.figures.page import PLOT, Block, wrapped
from lpca.report.figures.readings import Success, successes
from lpca.report.figures.style import FAINT, INK, MUTED

ROW = 0.2
HEAD = 0.04


def conditions_block(evidence: Evidence) -> Block:
    """Rates with their intervals; pale and without numbers where they must not be read."""
    rows = successes(evidence)
    height = HEAD + ROW * len(rows)
    return Block(height, partial(_draw, evidence, rows), below=0.5)


def _draw(evidence: Evidence, rows: Sequence[Success], axes: Axes) -> None:
    readable = not evidence.is_invalid
    ink = INK if readable else FAINT
    axes.set_xlim(-0.01, 1.01)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    what = f"success rate ({evidence.score}) with its {level(evidence.confidence)} interval"
    what += f"; hollow: {evidence.other_score}; dashed: p0"
    axes.set_xlabel(what if readable else "as measured; must not be read")
    beside = axes.get_yaxis_transform()
    for row in rows:
        if row.condition == "p0" and readable:
            axes.axvline(row.rate, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, row in enumerate(rows):
        y = HEAD + ROW * (index + 0.5)
        axes.plot([row.interval.low, row.interval.high], [y, y], color=ink, linewidth=1.6)
        axes.plot(row.rate, y, "o", color=ink, markersize=5, label=f"rate {row.condition}")
        axes.plot(
            row.other / row.n,
            y,
            "o",
            color=MUTED if readable else FAINT,
            markerfacecolor="none",
            markersize=7.5,
            markeredgewidth=0.7,
            label=f"other {row.condition}",
        )
        label = wrapped(row.condition, 34, 1)[0]
        axes.text(-0.12 / PLOT, y, label, transform=beside, ha="right", va="center", color=ink)
        if readable:
            numbers = f"{row.successes}/{row.n}  {amount(row.rate, PERCENT, column=True)}"
            at = 1 + 1.75 / PLOT
            axes.text(at, y, numbers, transform=beside, ha="right", va="center", size=7.5)
