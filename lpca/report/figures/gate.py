"""One glance at a gate: its verdict, success per condition, and every criterion's estimate."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import PERCENT, amount, level, tally
from lpca.evidence.model import Evidence
from lpca.evidence.runs import receiver_name
from lpca.report.figures import style
from lpca.report.figures.forest import forest_blocks
from lpca.report.sentences import checks_passed

MOST_REASONS = 8
ROW = 0.22
HEAD = 0.04


@style.picture
def gate_figure(evidence: Evidence) -> Figure:
    """Draw one gate's evidence. Of an INVALID gate no criterion is drawn.

    Args:
        evidence: a run's, or that of a recorded attempt.

    Returns:
        The figure; `lpca.report.figures.style.svg` makes a file's content of it.

    Raises:
        FigureError: the evidence cannot be drawn.
    """
    blocks = [_head(evidence), _rates(evidence)]
    if not evidence.is_invalid:
        blocks += forest_blocks(evidence)
    return style.page(blocks)


@style.picture
def conditions_figure(evidence: Evidence) -> Figure:
    """Draw the rates by condition alone; FigureError where the evidence cannot be drawn.

    Without its legend: `rates_legend` has it, for the page to write.
    """
    figure = style.page([replace(_rates(evidence), below=0.15)])
    figure.axes[0].set_xlabel("")
    return figure


def rates_legend(evidence: Evidence) -> str:
    """What the rates' picture shows, in words."""
    if evidence.is_invalid:
        return "as measured; must not be read"
    what = f"success rate ({evidence.score}) with its {level(evidence.confidence)} interval"
    return f"{what}; hollow: {evidence.other_score}; dashed: p0"


@style.picture
def criteria_figure(evidence: Evidence) -> Figure:
    """Draw the criteria alone; FigureError where the evidence cannot be drawn."""
    return style.page(list(forest_blocks(evidence)))


def _rates(evidence: Evidence) -> style.Block:
    height = HEAD + ROW * len(evidence.conditions)
    return style.Block(height, partial(_draw_conditions, evidence), below=0.5)


def _head(evidence: Evidence) -> style.Block:
    said = _verdict_in_words(evidence)
    if len(said) > MOST_REASONS + 1:
        said = [*said[:MOST_REASONS], f"and {len(said) - MOST_REASONS} more"]
    lines = [line for sentence in said for line in style.wrapped(sentence, 105, 3)]
    small = [*style.wrapped(evidence.title, 95, 2), *style.wrapped(_setting(evidence), 110, 3)]
    size = 30 if evidence.is_invalid else 17
    top = size / 72 + 0.08
    height = top + style.LINE * (len(small) + len(lines)) + 0.12

    def draw(axes: Axes) -> None:
        verdict, mark, base = evidence.verdict, style.MARKS[evidence.verdict], top - 0.1
        if mark.marker:
            style.draw_mark(axes, 0.12, base - 0.085, mark, 13, markeredgewidth=2, clip_on=False)
        x = 0.32 if mark.marker else 0.0
        title = axes.text(x, base, verdict, size=size, weight="bold", color=mark.colour)
        title.set_label("verdict")
        name = style.wrapped(style.name_of(evidence), 42, 1)[0]
        axes.text(axes.get_xlim()[1], base, name, size=13, weight="bold", ha="right")
        for index, line in enumerate([*small, *lines]):
            colour = style.INK if index >= len(small) or index == 0 else style.MUTED
            axes.text(0.0, top + style.LINE * (index + 0.8), line, color=colour, size=8)

    return style.Block(height, draw, 0.15, True)


def _verdict_in_words(evidence: Evidence) -> list[str]:
    """Why it is not read, or how many criteria went which way."""
    checks = checks_passed(evidence)
    if evidence.is_invalid:
        return [f"No criterion may be read; {checks}:", *evidence.reasons]
    ids: dict[str, list[str]] = {}
    deciding = evidence.result.deciding
    for result in deciding:
        ids.setdefault(result.verdict, []).append(result.id)
    total, held = len(deciding), len(ids.get("PASS", ()))
    sentences = [f"{held} of {total} criteria hold; {checks}"]
    said = {"FAIL": "contradicted", "INCONCLUSIVE": "not decided by the data"}
    sentences += [f"{what}: {', '.join(ids[v])}" for v, what in said.items() if v in ids]
    if warning := [f"{one.id} {one.verdict}" for one in evidence.criteria if not one.decides]:
        sentences.append(f"only warnings: {', '.join(warning)}")
    if "NOT MEASURED" in ids:
        sentences.append(f"not measured: {'; '.join(evidence.reasons)}")
    return sentences


def _setting(evidence: Evidence) -> str:
    """Receiver, episodes and codec in a line."""
    receiver, codec, looks = evidence.receiver, evidence.codec, evidence.looks
    parts = [
        f"receiver {receiver_name(evidence)} ({receiver.dtype}, {receiver.device})",
        f"n = {looks.used}",
        f"answers {evidence.answers}",
        f"scored by {evidence.score}",
    ]
    if codec:
        # whoever trained a codec of their own need not say with which seed
        if codec.seed is None:
            parts.append(f"codec {codec.architecture} ({codec.origin})")
        else:
            parts.append(f"codec {codec.origin} (seed {codec.seed})")
    if looks.rule is not None:
        parts.append(f"ended at look {looks.look} of {len(looks.sizes)} ({looks.rule})")
    return " · ".join(parts)


def _draw_conditions(evidence: Evidence, axes: Axes) -> None:
    """Rates with their intervals; pale and without numbers where they must not be read."""
    readable, score, other = not evidence.is_invalid, evidence.score, evidence.other_score
    ink, pale = (style.INK, style.MUTED) if readable else (style.FAINT, style.FAINT)
    axes.set_xlim(*style.RATES)
    style.rate_ticks(axes.xaxis)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(rates_legend(evidence))
    if readable and "p0" in evidence.conditions:
        base = evidence.conditions["p0"].rate(score)
        axes.axvline(base, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, (name, numbers) in enumerate(evidence.conditions.items()):
        y, rate, counted = HEAD + ROW * (index + 0.5), numbers.rate(score), numbers.under(score)
        style.draw_span(axes, [counted.interval.low, counted.interval.high], y, ink)
        dot: Any = {"linestyle": "none", "marker": "o", "clip_on": False, "zorder": 4}
        axes.plot(rate, y, color=ink, markersize=3.8, label=f"rate {name}", **dot)
        # below the line: on it, it would hide what it is held against
        hollow: Any = {"markerfacecolor": "white", "markersize": 3.4, "markeredgewidth": 0.8}
        axes.plot(
            numbers.rate(other), y + 0.062, color=pale, label=f"other {name}", **hollow, **dot
        )
        style.write_left(axes, y, style.wrapped(name, 34, 1)[0], color=ink)
        if readable:
            told = f"{tally(counted.successes, numbers.n)}  {amount(rate, PERCENT, column=True)}"
            at, across = 1 + 1.75 / style.PLOT, axes.get_yaxis_transform()
            axes.text(at, y, told, transform=across, ha="right", va="center", size=7.5)
