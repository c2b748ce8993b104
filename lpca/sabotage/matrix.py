"""Plant every sabotage once, and show what caught it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lpca.sabotage.base import Sabotage
from lpca.sabotage.calls import CALLS
from lpca.sabotage.channels import CHANNELS
from lpca.sabotage.earlier import EARLIER
from lpca.sabotage.episodes import EPISODES
from lpca.sabotage.faulty_run import Result, Theatre
from lpca.sabotage.history import HISTORY
from lpca.sabotage.inference import INFERENCE
from lpca.sabotage.text import TEXT

SABOTAGES: tuple[Sabotage, ...] = (
    *EARLIER,
    *TEXT,
    *EPISODES,
    *CHANNELS,
    *CALLS,
    *HISTORY,
    *INFERENCE,
)
"""Every sabotage, by what it spoils."""
SHOWN = ("p0", "p1", "normal", "null", "random", "shuffle", "static", "same_answer")
"""The conditions whose success, in percent, the documentation shows."""


@dataclass(frozen=True)
class Row:
    """One sabotage and what became of it."""

    sabotage: Sabotage
    result: Result

    @property
    def caught(self) -> bool:
        """Whether it was caught as it must be."""
        return self.sabotage.is_caught(self.result)

    @property
    def found_by(self) -> list[str]:
        """What caught it: checks or refusals, or of the criteria those that are named."""
        result = self.result
        named = self.sabotage.caught_by & result.not_passed
        return sorted(result.refused or result.fired or named)


def run(theatre: Theatre, sabotage: Sabotage) -> Row:
    """Plant one sabotage in a sound run, and decide."""
    with theatre.stage() as stage:
        sabotage.plant(stage)
        return Row(sabotage, stage.decide())


def run_all(
    theatre: Theatre, sabotages: Sequence[Sabotage], report: Callable[[Row], None]
) -> list[Row]:
    """Plant sabotages one after the other."""
    rows = []
    for one in sabotages:
        rows.append(run(theatre, one))
        report(rows[-1])
    return rows


def columns(rows: Sequence[Row]) -> list[str]:
    """Everything that caught something, in the order in which it first did."""
    return list(dict.fromkeys(name for row in rows for name in row.found_by))


def table(rows: Sequence[Row]) -> list[str]:
    """The matrix as lines of text: faults down, what fired across, numbered below."""
    names = columns(rows)
    width = max(len(row.sabotage.name) for row in rows)
    head = "".join(f"{number:>3}" for number in range(1, len(names) + 1))
    lines = [f"{'':<{width}}  {'verdict':<12}{head}"]
    for row in rows:
        marks = "".join("  x" if name in row.found_by else "  ." for name in names)
        note = "" if row.caught else "  NOT CAUGHT AS IT MUST BE"
        lines.append(f"{row.sabotage.name:<{width}}  {row.result.verdict:<12}{marks}{note}")
    lines += ["", *(f"{number:>3} {name}" for number, name in enumerate(names, start=1))]
    caught = sum(row.caught for row in rows)
    return [*lines, "", f"{caught} of {len(rows)} planted faults caught, each by what names it"]


def markdown(rows: Sequence[Row]) -> list[str]:
    """The same for documentation: a line a fault, with its rates where it was measured."""
    head = ["fault", "met by", *SHOWN, "verdict", "caught by"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        by = ", ".join(f"`{name}`" for name in row.found_by) or "nothing"
        one, rates = row.sabotage, row.result.rates
        numbers = [f"{100 * rates[name]:.1f}" if name in rates else "" for name in SHOWN]
        cells = [one.fault, one.source, *numbers, row.result.verdict, by]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
