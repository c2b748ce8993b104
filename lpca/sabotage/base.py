"""What a sabotage is, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lpca.sabotage.stage import Result, Stage

Source = Literal["earlier", "field", "building"]
"""Who met the fault: the earlier attempts, others in the field, or we while building this."""


@dataclass(frozen=True)
class Sabotage:
    """One fault in an otherwise sound run.

    `plant` changes one thing on a stage. `caught_by` names the validity checks (verdict INVALID),
    the criteria (FAIL or INCONCLUSIVE) or the checker's rules and refusals (REFUSED: the run does
    not begin) that must find it.
    """

    name: str
    source: Source
    fault: str
    caught_by: frozenset[str]
    verdict: str
    plant: Callable[[Stage], None]

    def is_caught(self, result: Result) -> bool:
        """Whether the named ones found it, with the verdict due, and no check accuses wrongly."""
        if result.verdict != self.verdict:
            return False
        if result.verdict == "INVALID":
            return result.fired == self.caught_by
        if result.verdict == "REFUSED":
            return result.refused == self.caught_by
        return not result.fired and self.caught_by <= result.not_passed


def sabotage(
    source: Source, fault: str, caught_by: str, verdict: str = "INVALID"
) -> Callable[[Callable[[Stage], None]], Sabotage]:
    """Make a sabotage of the function that plants it; `caught_by` holds names and spaces."""

    def made(plant: Callable[[Stage], None]) -> Sabotage:
        names = frozenset(caught_by.split())
        return Sabotage(plant.__name__, source, fault, names, verdict, plant)

    return made
