"""The checker: what makes a spec unsound, found before any model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lpca.checker.rules import RULES, Rule, Severity
from lpca.gatespec.model import Position, Spec


@dataclass(frozen=True)
class Finding:
    """One broken rule at one place."""

    position: Position
    rule: str
    severity: Severity
    wrong: str
    number: str
    instead: str

    def __str__(self) -> str:
        return (
            f"{self.position}: {self.severity}: {self.rule}: {self.wrong} "
            f"({self.number}); write instead: {self.instead}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "file": self.position.file,
            "line": self.position.line,
            "column": self.position.column,
            "rule": self.rule,
            "severity": self.severity,
            "wrong": self.wrong,
            "number": self.number,
            "instead": self.instead,
        }


def check_spec(spec: Spec, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Every finding in a spec, in the order of the file."""
    findings = [
        Finding(fault.position, rule.name, rule.severity, fault.wrong, fault.number, fault.instead)
        for rule in rules
        for fault in rule.faults(spec)
    ]
    return sorted(findings, key=lambda one: (one.position.line, one.position.column))


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether a spec with these findings must not be run."""
    return any(finding.severity == "error" for finding in findings)
