"""The checker: what makes a spec unsound, found before any model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lpca.base.numbers import plural
from lpca.checker import attainable, controls, expectations, inference, repetition, selection, whole
from lpca.checker.rule import Fault, Rule, Severity
from lpca.gatespec.model import Spec

RULES: tuple[Rule, ...] = tuple(
    rule
    for module in (attainable, expectations, inference, controls, whole, selection, repetition)
    for rule in vars(module).values()
    if isinstance(rule, Rule)
)
"""Every rule, in the order of the documentation; one more is one more function of a module."""


@dataclass(frozen=True)
class Finding(Fault):
    """One broken rule at one place."""

    rule: str
    severity: Severity

    def __str__(self) -> str:
        return (
            f"{self.position}: {self.severity}: {self.rule}: {self.wrong} "
            f"({self.number}); write instead: {self.instead}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        said = {"wrong": self.wrong, "number": self.number, "instead": self.instead}
        return {**vars(self.position), "rule": self.rule, "severity": self.severity, **said}


UNREADABLE = "unreadable"
"""The rule named when a row, or a file, cannot be read at all."""


@dataclass(frozen=True)
class RowFinding(Finding):
    """One broken rule in one row, which begins on the line `row`."""

    row: int


def check_spec(spec: Spec, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Find what makes a spec unsound.

    Args:
        spec: the spec; nothing is read but what it says.
        rules: those that are tried.

    Returns:
        Every finding, in the order of the file.

    Example:
        >>> from lpca.gatespec.load import load_spec
        >>> check_spec(load_spec("gate_specs.yaml"))
        []
        >>> refused = check_spec(load_spec("examples/original_gates.yaml"))
        >>> has_errors(refused), refused[0].rule
        (True, 'seed-overlap')
    """
    findings = [
        Finding(**vars(fault), rule=rule.name, severity=rule.severity)
        for rule in rules
        for fault in rule.faults(spec)
    ]
    return sorted(findings, key=lambda found: (found.position.line, found.position.column))


def tally(findings: Sequence[Finding]) -> str:
    """How many there are of each kind: `2 errors, 1 warning`."""
    errors = sum(finding.severity == "error" for finding in findings)
    return f"{plural(errors, 'error')}, {plural(len(findings) - errors, 'warning')}"


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether a spec with these findings must not be run."""
    return any(finding.severity == "error" for finding in findings)


def by_rule(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    """Yield the findings rule by rule, in the order in which rules first find anything."""
    for rule in dict.fromkeys(one.rule for one in findings):
        yield [one for one in findings if one.rule == rule]
