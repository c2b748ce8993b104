"""What judging gives: one result per criterion, one per gate, and both as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpca.base.exit_codes import ExitCode
from lpca.gatespec.model import Position
from lpca.stats import Interval, PairedTable, Verdict

_EXIT_CODES = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.INVALID: ExitCode.INVALID,
    Verdict.NOT_MEASURED: ExitCode.NOT_MEASURED,
}


def exit_code(verdict: Verdict) -> ExitCode:
    """The exit code of a run that came to one verdict."""
    return _EXIT_CODES[verdict]


@dataclass(frozen=True)
class CriterionResult:
    """One criterion decided.

    Rates, differences, `interval` and `margins` are proportions, not percent. `margins` holds
    the claim's bound, or both ends of a band or an equivalence. A claim on a pair carries
    `table`, a claim on one rate `successes`; both carry `n`. Without a reading (INVALID, NOT
    MEASURED) the numbers are None. `needed_n` is set for an INCONCLUSIVE claim that more
    episodes would probably decide: the n that reaches power 0.8 at the observed rates.
    """

    id: str
    text: str
    why: str
    position: Position
    verdict: Verdict
    message: str
    margins: tuple[float, ...]
    estimate: float | None = None
    interval: Interval | None = None
    confidence: float | None = None
    method: str | None = None
    table: PairedTable | None = None
    successes: int | None = None
    n: int | None = None
    p_pass: float | None = None
    p_fail: float | None = None
    needed_n: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values; infinite or undefined numbers become None."""
        table = self.table
        return {
            "id": self.id,
            "claim": self.text,
            "why": self.why,
            "file": self.position.file,
            "line": self.position.line,
            "column": self.position.column,
            "verdict": self.verdict.value,
            "message": self.message,
            "margins": list(self.margins),
            "estimate": _finite(self.estimate),
            "interval": [_finite(self.interval.low), _finite(self.interval.high)]
            if self.interval
            else None,
            "confidence": self.confidence,
            "method": self.method,
            "table": {"a": table.a, "b": table.b, "c": table.c, "d": table.d} if table else None,
            "successes": self.successes,
            "n": self.n,
            "p_pass": _finite(self.p_pass),
            "p_fail": _finite(self.p_fail),
            "needed_n": self.needed_n,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> CriterionResult:
        """Read what `to_dict` wrote; a bound that JSON could not hold is infinite again."""
        interval, table = data["interval"], data["table"]
        return CriterionResult(
            id=data["id"],
            text=data["claim"],
            why=data["why"],
            position=Position(data["file"], data["line"], data["column"]),
            verdict=Verdict(data["verdict"]),
            message=data["message"],
            margins=tuple(data["margins"]),
            estimate=data["estimate"],
            interval=_interval(*interval) if interval else None,
            confidence=data["confidence"],
            method=data["method"],
            table=PairedTable(**table) if table else None,
            successes=data["successes"],
            n=data["n"],
            p_pass=data["p_pass"],
            p_fail=data["p_fail"],
            needed_n=data["needed_n"],
        )


@dataclass(frozen=True)
class GateResult:
    """One gate decided; `reasons` say why it is INVALID or NOT MEASURED."""

    name: str
    verdict: Verdict
    reasons: tuple[str, ...]
    criteria: tuple[CriterionResult, ...]

    @property
    def exit_code(self) -> ExitCode:
        """How a run ends that decided this gate alone."""
        return exit_code(self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "gate": self.name,
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "criteria": [criterion.to_dict() for criterion in self.criteria],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> GateResult:
        """Read what `to_dict` wrote."""
        return GateResult(
            name=data["gate"],
            verdict=Verdict(data["verdict"]),
            reasons=tuple(data["reasons"]),
            criteria=tuple(CriterionResult.from_dict(one) for one in data["criteria"]),
        )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _interval(low: float | None, high: float | None) -> Interval:
    return Interval(-math.inf if low is None else low, math.inf if high is None else high)
