"""Evidence as Markdown tables, for attempt pages and for a pull request's summary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lpca.evidence import CriterionResult, Evidence

_MARKS = re.compile(r"([\\|*_`\[\]{}<>#~])")
_INSIDE_WORDS = re.compile(r"(?<=\w)\\_(?=\w)")


def plain(text: object) -> str:
    """Any text as one line of Markdown that shows it as it is."""
    escaped = _MARKS.sub(r"\\\1", " ".join(str(text).split()))
    return _INSIDE_WORDS.sub("_", escaped).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: object) -> str:
    """Any text as one line of code, also within a table."""
    line = " ".join(str(text).split())
    runs = {len(run) for run in re.findall("`+", line)}
    fence = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    pad = " " * ("`" in line)
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|") if line else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def conditions_table(evidence: Evidence) -> list[str]:
    """Success of every condition by the gate's score, with its interval, and by the other one."""
    rows = []
    for name, numbers in evidence.conditions.items():
        counted, other = numbers.under(evidence.score), numbers.under(evidence.other_score)
        rows.append(
            [
                f"`{name}`",
                _rate(counted.successes, numbers.n),
                f"[{counted.interval.low:.3f}, {counted.interval.high:.3f}]",
                _rate(other.successes, numbers.n),
                str(numbers.near_ties),
            ]
        )
    level = f"{_level(evidence.confidence)} interval"
    head = ["condition", f"success ({evidence.score})", level, evidence.other_score, "near-ties"]
    return table(head, rows)


def criteria_table(criteria: Iterable[CriterionResult]) -> list[str]:
    """Every criterion with its numbers and verdict; nothing where nothing was read."""
    head = ["criterion", "claim", "estimate", "interval", "margin", "counts", "verdict"]
    return table(head, map(_criterion, criteria))


def validity_line(evidence: Evidence) -> str:
    """How many of the validity checks that apply passed."""
    applied, failed = evidence.applied_checks, evidence.failed_checks
    return f"{len(applied) - len(failed)} of {len(applied)} validity checks that apply passed"


def _criterion(result: CriterionResult) -> list[str]:
    interval = "-"
    if result.interval is not None and result.confidence is not None:
        low, high = result.interval.low, result.interval.high
        interval = f"{_level(result.confidence)} [{low:+.3f}, {high:+.3f}]"
    return [
        f"`{result.id}`",
        code(result.text),
        "-" if result.estimate is None else f"{result.estimate:+.3f}",
        interval,
        ", ".join(f"{margin:+.2f}" for margin in result.margins),
        _counts(result),
        f"**{result.verdict}**",
    ]


def _counts(result: CriterionResult) -> str:
    if result.table is not None:
        return f"{result.table.a} {result.table.b} {result.table.c} {result.table.d}"
    return "-" if result.successes is None else f"{result.successes}/{result.n}"


def _rate(successes: int, n: int) -> str:
    return f"{successes}/{n} = {successes / n:.1%}"


def _level(confidence: float) -> str:
    return f"{round(100 * confidence, 2):g} %"
