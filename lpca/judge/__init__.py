"""Decides gates from outcomes, without any model."""

from lpca.evidence import CriterionResult, GateResult
from lpca.judge.decide import (
    is_decided,
    judge,
    judge_family,
    judge_gate,
    look_sizes,
    passes,
    required_gates_pass,
)
from lpca.judge.outcomes import OutcomeError, OutcomeTable

__all__ = [
    "CriterionResult",
    "GateResult",
    "OutcomeError",
    "OutcomeTable",
    "is_decided",
    "judge",
    "judge_family",
    "judge_gate",
    "look_sizes",
    "passes",
    "required_gates_pass",
]
