"""What a sabotage is, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lpca.sabotage.faulty_run import Result, Stage

Source = Literal["earlier", "field", "building"]
"""Who met the fault: the earlier attempts, others in the field, or we while building this."""


@dataclass(frozen=True)
class Sabotage:
    """One fault in an otherwise sound run.

    `plant` changes one thing on a stage. `caught_by` names the validity checks (verdict INVALID),
    the criteria (FAIL) or the checker's rules and refusals (REFUSED: the run does not begin) that
    must find it. Where criteria find it, INCONCLUSIVE will do for FAIL: whether the episodes show
    that a useless channel is below a margin is a matter of their number, but it never passes.
    """

    name: str
    source: Source
    fault: str
    caught_by: frozenset[str]
    verdict: str
    plant: Callable[[Stage], None]

    def is_caught(self, result: Result) -> bool:
        """Whether the named ones found it, with the verdict due, and no check accuses wrongly."""
        if self.verdict == "FAIL":
            unread = result.verdict not in ("FAIL", "INCONCLUSIVE")
            return not unread and not result.fired and self.caught_by <= result.not_passed
        found = result.fired if self.verdict == "INVALID" else result.refused
        return result.verdict == self.verdict and found == self.caught_by


def sabotage(
    source: Source, fault: str, caught_by: str, verdict: str = "INVALID"
) -> Callable[[Callable[[Stage], None]], Sabotage]:
    """Make a sabotage of the function that plants it; `caught_by` holds names and spaces."""

    def made(plant: Callable[[Stage], None]) -> Sabotage:
        names = frozenset(caught_by.split())
        return Sabotage(plant.__name__, source, fault, names, verdict, plant)

    return made
