"""Evidence as Markdown tables, for attempt pages and for a pull request's summary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from lpca.base.numbers import PERCENT, POINTS, amount, counted, level, number, span
from lpca.evidence.model import CriterionResult, Evidence
from lpca.gatespec.claims import unit_of
from lpca.report.sentences import checks_passed, unsaid

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
    known = all(numbers.undecided is not None for numbers in evidence.conditions.values())
    for name, numbers in evidence.conditions.items():
        found, other = numbers.under(evidence.score), numbers.under(evidence.other_score)
        ends = span(found.interval.low, found.interval.high, PERCENT, column=True)
        row = [f"`{name}`", counted(found.successes, numbers.n), ends]
        tied = numbers.undecided if known else numbers.near_ties
        rows.append([*row, counted(other.successes, numbers.n), str(tied)])
    interval = f"{level(evidence.confidence)} interval"
    head = ["condition", f"success ({evidence.score})", interval, evidence.other_score]
    return table([*head, "undecided" if known else "near-ties"], rows)


def criteria_table(criteria: Iterable[CriterionResult]) -> list[str]:
    """Every criterion with its numbers and verdict; nothing where nothing was read."""
    head = ["criterion", "claim", "estimate", "interval", "margin", "counts", "verdict"]
    return table(head, map(_criterion, criteria))


def validity_line(evidence: Evidence) -> str:
    """How many of the validity checks that apply passed, and which could not say anything."""
    told = [checks_passed(evidence, "validity checks that apply"), *unsaid(evidence)]
    return "; ".join(map(plain, told))


def _criterion(result: CriterionResult) -> list[str]:
    numbers = criterion_numbers(result)
    return [
        f"`{result.id}`",
        code(result.text),
        *(numbers[name] or "-" for name in ("estimate", "interval", "margin", "counts")),
        f"**{result.standing}**",
    ]


def criterion_numbers(result: CriterionResult) -> dict[str, str]:
    """A criterion's numbers by name, as every table shows them; empty where nothing was read."""
    unit = unit_of(result.claim)
    signed = unit is POINTS
    estimate = interval = counts = ""
    if result.estimate is not None:
        estimate = amount(result.estimate, unit, column=True, signed=signed)
    if result.interval is not None and result.confidence is not None:
        ends = span(result.interval.low, result.interval.high, unit, column=True, signed=signed)
        interval = f"{level(result.confidence)}: {ends}"
    if result.table is not None:
        counts = " ".join(map(str, asdict(result.table).values()))
    elif result.successes is not None:
        counts = f"{result.successes}/{result.n}"
    margin = " to ".join(number(margin, unit, signed=signed) for margin in result.margins)
    margin = unit.behind(margin)
    return {"estimate": estimate, "interval": interval, "margin": margin, "counts": counts}
