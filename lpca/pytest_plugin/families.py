"""Gates that name every k they try: what the whole family comes to, from the k that were run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lpca.base.exit_codes import worst
from lpca.evidence import Evidence, exit_code
from lpca.gatespec.model import Gate, Spec
from lpca.judge import judge_family
from lpca.judge.measured import table_of_evidence
from lpca.report.layout import WIDTH, wrapped
from lpca.stats import AnyOf, Verdict

UNREAD = (Verdict.NOT_MEASURED, Verdict.INVALID)


@dataclass(frozen=True)
class FamilyVerdict:
    """A gate of which any k suffices; `found` is None where some k could not be read."""

    gate: Gate
    verdict: Verdict
    found: AnyOf | None

    def lines(self, width: int = WIDTH) -> list[str]:
        """For the terminal: the family's verdict, each k's p-value, and how many were not run."""
        names = ", ".join(map(str, self.gate.family))
        if len(names) > width // 2:
            names = f"{names[: width // 4].rpartition(',')[0]}, ... ({len(self.gate.family)} k)"
        told = wrapped(f"{self.gate.name} any k of {names}: {self.verdict}", width, 0, 2)
        if self.found is None:
            return told + wrapped("a k that was run could not be read", width)
        missing = [k for k, v in self.found.verdicts.items() if v is Verdict.NOT_MEASURED]
        rest = f"k={missing[0]}" if len(missing) == 1 else f"{len(missing)} other k"
        lines = [self._line(k, self.found) for k in self.gate.family if k not in missing]
        lines += [f"{rest}: not run, counts as p 1"] if missing else []
        return told + [line for text in lines for line in wrapped(text, width, 2, 4)]

    def _line(self, k: int, found: AnyOf) -> str:
        return (
            f"k={k}: {found.verdicts[k]}, p {found.pvalues[k]:.2g}, "
            f"{found.adjusted[k]:.2g} after Holm over {len(self.gate.family)} k"
        )


def family_verdict(
    spec: Spec, gate: Gate, verdicts: Mapping[int, Verdict], evidence: Mapping[int, Evidence | None]
) -> FamilyVerdict:
    """Judge a gate with `k: {any: ...}` from verdict and evidence of every k that was run.

    One k that is INVALID or NOT MEASURED makes the family so: what broke there may be anywhere.
    """
    unread = [one for one in verdicts.values() if one in UNREAD]
    if unread:
        code = worst(map(exit_code, unread))
        return FamilyVerdict(gate, next(one for one in unread if exit_code(one) == code), None)
    tables = {k: table_of_evidence(found) for k, found in evidence.items() if found is not None}
    found = judge_family(gate, tables, spec.evaluation)
    return FamilyVerdict(gate, found.verdict, found)
