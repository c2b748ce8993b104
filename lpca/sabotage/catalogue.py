"""The sabotages by name: which fault, who met it, and what must catch it.

To add one, write a function in a module of `lpca.sabotage.faults` that changes one thing in a sound
run; nothing else has to know of it:

    @sabotage("building", "null is a small constant", "null_is_zero")
    def null_is_small(run: FaultyRun) -> None:
        ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lpca.base.registry import Registry
from lpca.sabotage.faulty_run import FaultyRun, Result

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
