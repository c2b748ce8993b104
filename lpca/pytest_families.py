"""Gates that name every k they try: what the whole family comes to, from the k that were run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpca.exit_codes import worst
from lpca.judge import judge_family
from lpca.judge.measured import measured_of
from lpca.judge.results import exit_code
from lpca.spec.model import Gate, Spec
from lpca.stats import AnyOf, Verdict

UNREAD = (Verdict.NOT_MEASURED, Verdict.INVALID)


@dataclass(frozen=True)
class FamilyVerdict:
    """A gate of which any k suffices; `found` is None where some k could not be read."""

    gate: Gate
    verdict: Verdict
    found: AnyOf | None

    def lines(self) -> list[str]:
        """For the terminal: the family's verdict, and each k's p-value."""
        names = ", ".join(map(str, self.gate.family))
        head = f"{self.gate.name}  any k of {names}: {self.verdict}"
        if self.found is None:
            return [head, "  a k that was run could not be read"]
        return [head, *(self._line(k, self.found) for k in self.gate.family)]

    def _line(self, k: int, found: AnyOf) -> str:
        if found.verdicts[k] is Verdict.NOT_MEASURED:
            return f"  k={k}: not run, counts as p 1"
        return (
            f"  k={k}: {found.verdicts[k]}, p {found.pvalues[k]:.2g}, "
            f"{found.adjusted[k]:.2g} after Holm over {len(self.gate.family)} k"
        )


def family_verdict(
    spec: Spec, gate: Gate, verdicts: Mapping[int, Verdict], evidence: Mapping[int, Any]
) -> FamilyVerdict:
    """Judge a gate with `k: {any: ...}` from verdict and evidence of every k that was run.

    One k that is INVALID or NOT MEASURED makes the family so: what broke there may be anywhere.
    """
    unread = [one for one in verdicts.values() if one in UNREAD]
    if unread:
        code = worst(map(exit_code, unread))
        return FamilyVerdict(gate, next(one for one in unread if exit_code(one) == code), None)
    tables = {k: measured_of(evidence[k]).table for k in verdicts}
    found = judge_family(gate, tables, spec.evaluation)
    return FamilyVerdict(gate, found.verdict, found)
