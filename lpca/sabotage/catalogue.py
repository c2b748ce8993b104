"""The sabotages by name: which fault, who met it, what must catch it, and what became of it.

Of sound runs none may be accused.

To add one, write a function in a module of `lpca.sabotage.faults` that changes one thing in a sound
run; nothing else has to know of it:

    @sabotage("building", "null is a small constant", "null_is_zero")
    def null_is_small(run: FaultyRun) -> None:
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lpca.base.numbers import PERCENT, number
from lpca.base.registry import Registry
from lpca.gate.plan import task_of
from lpca.gatespec.model import Answers
from lpca.sabotage.faulty_run import FaultyRun, Result, SoundParts

Source = Literal["earlier", "field", "building"]
"""Who met the fault: the earlier attempts, others in the field, or we while building this."""


@dataclass(frozen=True)
class Sabotage:
    """One fault in an otherwise sound run.

    Args:
        name: that of the function.
        source: who met the fault.
        fault: what is wrong, in one line.
        caught_by: the validity checks (verdict INVALID), the criteria (FAIL) or the checker's
            rules and refusals (REFUSED: the run does not begin) that must find it.
        verdict: the one the run must get. Where criteria find it, INCONCLUSIVE will do for FAIL:
            whether the episodes show that a useless channel is below a margin is a matter of their
            number, but it never passes.
        plant: changes one thing in a sound run.
    """

    name: str
    source: Source
    fault: str
    caught_by: frozenset[str]
    verdict: str
    plant: Callable[[FaultyRun], None]

    def is_caught(self, result: Result) -> bool:
        """Whether the named ones found it, with the right verdict, and no check accuses wrongly."""
        if self.verdict == "FAIL":
            unread = result.verdict not in ("FAIL", "INCONCLUSIVE")
            return not unread and not result.fired and self.caught_by <= result.not_passed
        found = result.fired if self.verdict == "INVALID" else result.refused
        return result.verdict == self.verdict and found == self.caught_by


SABOTAGES: Registry[Sabotage] = Registry(
    "sabotage", "lpca.sabotage.faults", order=lambda one: one.plant.__module__
)
"""Every sabotage by its name, by what it spoils."""


def sabotage(
    source: Source, fault: str, caught_by: str, verdict: str = "INVALID"
) -> Callable[[Callable[[FaultyRun], None]], Sabotage]:
    """Return a decorator that enters a sabotage; `caught_by` holds names and spaces."""

    def entered(plant: Callable[[FaultyRun], None]) -> Sabotage:
        names = frozenset(caught_by.split())
        made = Sabotage(plant.__name__, source, fault, names, verdict, plant)
        return SABOTAGES.register(made.name)(made)

    return entered


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


def plant(parts: SoundParts, sabotage: Sabotage) -> Row:
    """Plant one sabotage in a sound run, and decide."""
    with parts.run() as run:
        sabotage.plant(run)
        return Row(sabotage, run.decide())


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
        numbers = [
            number(rates[name], PERCENT, column=True) if name in rates else "" for name in SHOWN
        ]
        cells = [one.fault, one.source, *numbers, row.result.verdict, by]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


STRATA: tuple[Answers, ...] = ("seen", "unseen", "all")
TRAIN_SEEDS, OPTIONS, SIZES = 3, (4, 4, 3, 5, 6), (200, 160, 240, 301)


@dataclass(frozen=True)
class SoundRun:
    """One sound run's settings and what became of it."""

    task_seed: int
    train_seed: int
    answers: Answers
    options: int
    n: int
    result: Result

    @property
    def accused(self) -> bool:
        """Whether a check fired, which must not be."""
        return bool(self.result.fired)


def sound_run(parts: SoundParts, number: int) -> SoundRun:
    """Decide a sound run; by its number, from 0 on, vary seeds, stratum, options and size."""
    seed, train_seed = 1000 + number, number % TRAIN_SEEDS
    options, answers = OPTIONS[number % len(OPTIONS)], STRATA[number % len(STRATA)]
    n = SIZES[number % len(SIZES)]
    with parts.run(train_seed) as run:
        task = replace(run.spec.task, seed=seed, settings={"options": options})
        run.spec = replace(run.spec, task=task)
        run.task = task_of(run.spec)
        run.change_gate(answers=answers, n=n)
        return SoundRun(seed, train_seed, answers, options, n, run.decide())
