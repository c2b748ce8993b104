"""One glance at a gate: its verdict, success per condition, and every criterion's estimate."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import PERCENT, amount, level
from lpca.evidence.model import Evidence
from lpca.report.figures.forest import criterion_rows, forest_blocks
from lpca.report.figures.page import LINE, PLOT, Block, page, wrapped, write_left
from lpca.report.figures.style import (
    FAINT,
    INK,
    MARKS,
    MUTED,
    draw_mark,
    name_of,
    picture,
    rate_ticks,
    receiver_of,
)

MOST_REASONS = 8
ROW = 0.2
HEAD = 0.04


@picture
def gate_figure(evidence: Evidence) -> Figure:
    """Draw one gate's evidence. Of an INVALID gate no criterion is drawn.

    Args:
        evidence: a run's, or that of a recorded attempt.

    Returns:
        The figure; `lpca.report.figures.svg` makes a file's content of it.

    Raises:
        FigureError: the evidence cannot be drawn.
    """
    blocks = [_head(evidence), _conditions(evidence)]
    if not evidence.is_invalid:
        blocks += forest_blocks(criterion_rows(evidence))
    return page(blocks)


def _head(evidence: Evidence) -> Block:
    said = _verdict_in_words(evidence)
    if len(said) > MOST_REASONS + 1:
        said = [*said[:MOST_REASONS], f"and {len(said) - MOST_REASONS} more"]
    lines = [line for sentence in said for line in wrapped(sentence, 105, 3)]
    small = [*wrapped(evidence.title, 95, 2), *wrapped(_setting(evidence), 110, 3)]
    size = 30 if evidence.is_invalid else 17
    top = size / 72 + 0.08
    height = top + LINE * (len(small) + len(lines)) + 0.12
    return Block(height, partial(_draw_head, evidence, size, top, small, lines), 0.15, True)


def _draw_head(
    evidence: Evidence, size: int, top: float, small: list[str], lines: list[str], axes: Axes
) -> None:
    verdict, mark, base = evidence.verdict, MARKS[evidence.verdict], top - 0.1
    if mark.marker:
        draw_mark(axes, 0.12, base - 0.085, mark, 13, markeredgewidth=2, clip_on=False)
    x = 0.32 if mark.marker else 0.0
    title = axes.text(x, base, verdict, size=size, weight="bold", color=mark.colour)
    title.set_label("verdict")
    right = axes.get_xlim()[1]
    name = wrapped(name_of(evidence), 42, 1)[0]
    axes.text(right, base, name, size=13, weight="bold", ha="right")
    for index, line in enumerate([*small, *lines]):
        colour = INK if index >= len(small) or index == 0 else MUTED
        axes.text(0.0, top + LINE * (index + 0.8), line, color=colour, size=8)


def _verdict_in_words(evidence: Evidence) -> list[str]:
    """Why it is not read, or how many criteria went which way."""
    run, failed = evidence.applied_checks, evidence.failed_checks
    checks = f"{len(run) - len(failed)} of {len(run)} validity checks passed"
    if evidence.is_invalid:
        return [f"No criterion may be read; {checks}:", *evidence.reasons]
    ids: dict[str, list[str]] = {}
    for result in evidence.criteria:
        ids.setdefault(result.verdict, []).append(result.id)
    total, held = len(evidence.criteria), len(ids.get("PASS", ()))
    sentences = [f"{held} of {total} criteria hold; {checks}"]
    said = {"FAIL": "contradicted", "INCONCLUSIVE": "not decided by the data"}
    sentences += [f"{what}: {', '.join(ids[v])}" for v, what in said.items() if v in ids]
    if "NOT MEASURED" in ids:
        sentences.append(f"not measured: {'; '.join(evidence.reasons)}")
    return sentences


def _setting(evidence: Evidence) -> str:
    """Receiver, episodes and codec in a line."""
    receiver, codec, looks = evidence.receiver, evidence.codec, evidence.looks
    parts = [
        f"receiver {receiver_of(evidence)} ({receiver.dtype}, {receiver.device})",
        f"n = {looks.used}",
        f"answers {evidence.answers}",
        f"scored by {evidence.score}",
    ]
    if codec:
        # whoever trained a codec of their own need not say with which seed
        own = f"{codec.architecture} ({codec.origin})"
        parts.append(
            f"codec {own if codec.seed is None else f'{codec.origin} (seed {codec.seed})'}"
        )
    if looks.rule is not None:
        parts.append(f"ended at look {looks.look} of {len(looks.sizes)} ({looks.rule})")
    return " · ".join(parts)


def _conditions(evidence: Evidence) -> Block:
    """Rates with their intervals; pale and without numbers where they must not be read."""
    height = HEAD + ROW * len(evidence.conditions)
    return Block(height, partial(_draw_conditions, evidence), below=0.5)


def _draw_conditions(evidence: Evidence, axes: Axes) -> None:
    readable, score, other = not evidence.is_invalid, evidence.score, evidence.other_score
    ink, pale = (INK, MUTED) if readable else (FAINT, FAINT)
    axes.set_xlim(-0.01, 1.01)
    rate_ticks(axes.xaxis)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    what = f"success rate ({score}) with its {level(evidence.confidence)} interval"
    what += f"; hollow: {other}; dashed: p0"
    axes.set_xlabel(what if readable else "as measured; must not be read")
    if readable and "p0" in evidence.conditions:
        base = evidence.conditions["p0"].rate(score)
        axes.axvline(base, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for index, (name, numbers) in enumerate(evidence.conditions.items()):
        y, rate, counted = HEAD + ROW * (index + 0.5), numbers.rate(score), numbers.under(score)
        interval = [counted.interval.low, counted.interval.high]
        axes.plot(interval, [y, y], color=ink, linewidth=1.6)
        axes.plot(rate, y, "o", color=ink, markersize=5, label=f"rate {name}")
        axes.plot(
            numbers.rate(other),
            y,
            "o",
            color=pale,
            markerfacecolor="none",
            markersize=7.5,
            markeredgewidth=0.7,
            label=f"other {name}",
        )
        write_left(axes, y, wrapped(name, 34, 1)[0], color=ink)
        if readable:
            told = f"{counted.successes}/{numbers.n}  {amount(rate, PERCENT, column=True)}"
            across = axes.get_yaxis_transform()
            at = 1 + 1.75 / PLOT
            axes.text(at, y, told, transform=across, ha="right", va="center", size=7.5)
